"""A made-up shop is the same everywhere, for ever, or slides, solutions and tests drift apart."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import faker
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faker.config import AVAILABLE_LOCALES
from hypothesis import given
from hypothesis import strategies as st

from kit import generate, people, trade
from kit.generate import (
    BadSize,
    CannotWrite,
    GenerateError,
    Shop,
    UnknownLocale,
    UnknownTable,
    Weighted,
    draw,
    ids,
    key,
    mix,
    pools,
    scaled,
    stream,
)

PARTS = (people.People, trade.Trade)
GOLDEN = tomllib.loads(Path(__file__).with_name("generate_golden.toml").read_text(encoding="utf-8"))


def canonical(table):
    """Return a table as CSV that no library writes differently: UTF-8, LF, UTC with a Z."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(table.column_names)
    columns = []
    for name, field in zip(table.column_names, table.schema, strict=True):
        column = table[name]
        if pa.types.is_timestamp(field.type):
            column = column.cast(pa.int64())
        columns.append(["" if v is None else str(v) for v in column.to_pylist()])
    lines.writerows(zip(*columns, strict=True))
    return out.getvalue().encode()


def digest(shop, name):
    """Return the SHA-256 of one table."""
    return hashlib.sha256(canonical(shop.table(name))).hexdigest()


def test_splitmix64_is_the_published_one():
    """Anybody can make the same draws in another language."""
    steps = np.array([1234567], np.uint64) + generate.GOLDEN * np.arange(1, 4, dtype=np.uint64)

    assert mix(steps).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_draws_have_their_known_answers():
    """A change here would change every shop that was ever made."""
    rows = np.arange(3)

    assert [f"{u:016x}" for u in draw(key(42, 1, 1, 0), rows)] == [
        "2281649f20816030",
        "aea1d53a40e00e26",
        "ffa8bf59a9146d23",
    ]
    assert f"{draw(key(42, 1, 2, 0), rows)[0]:016x}" == "0772571347171fe2"
    assert f"{draw(key(43, 1, 1, 0), rows)[0]:016x}" == "c82ce561f6bd5c57"


def test_purchase_rates_have_their_known_answers():
    """The law of who buys how often does not depend on a machine's `exp`."""
    rates = generate.lognormal("0", "1.35")

    assert len(rates) == 1024
    assert rates[[0, 511, 512, 1023]].tolist() == [11664, 998349, 1001653, 85730702]


@given(
    weights=st.lists(st.integers(1, 10**8), min_size=1, max_size=300),
    seed=st.integers(0, 2**32),
)
def test_choosing_by_weight_is_exact(weights, seed):
    """The guide table is only faster: it never chooses another item than a search would."""
    chooser, exact = Weighted(weights), scaled(weights)
    edges = np.cumsum(exact)
    places = np.concatenate(
        [edges - 1, edges[:-1], draw(seed, np.arange(50)).astype(np.int64) >> 32 & 0xFFFFFFFF]
    )

    assert exact.sum() == 2**32
    assert exact.min() >= 1
    assert chooser.at(places).tolist() == np.searchsorted(edges, places, side="right").tolist()


def test_no_customer_is_out_of_reach():
    """With half a million customers, each can still be drawn."""
    chooser = Weighted(np.arange(1, 500_001))

    assert np.array_equal(chooser.at(chooser.before[:-1]), np.arange(500_000))


def test_ids_have_one_width():
    """Ids sort as text in the order in which they were given."""
    assert ids("sal_", np.array([0, 42, 9_999_999_999])).to_pylist() == [
        "sal_0000000000",
        "sal_0000000042",
        "sal_9999999999",
    ]


@pytest.mark.parametrize("locale", list(GOLDEN))
def test_the_shop_of_version_1_is_still_the_same(locale):
    """Slides and solutions name customers and totals."""
    shop = Shop(60, parts=PARTS, seed=42, locale=locale)

    assert {name: digest(shop, name) for name in shop.tables} == GOLDEN[locale]


@pytest.mark.parametrize("rows", [13, 100, 10**6])
def test_pieces_of_any_size_make_the_same_shop(rows):
    """A laptop may work in small pieces and get the same values."""
    shop = Shop(40, parts=PARTS, seed=3)

    for name in shop.tables:
        pieces = pa.Table.from_batches(shop.batches(name, rows=rows), shop.schema(name))
        assert pieces.equals(shop.table(name)), name


def test_tables_can_be_made_in_any_order():
    """Whoever needs only the sales need not make the rest first."""
    one, two = (Shop(40, parts=PARTS, seed=3) for _ in range(2))
    forward = {name: one.table(name) for name in one.tables}

    assert all(two.table(name).equals(forward[name]) for name in reversed(two.tables))


def test_another_seed_is_another_shop():
    """Each learner can have a shop of their own."""
    one, two = (Shop(40, parts=PARTS, seed=seed) for seed in (1, 2))

    for name in ("customers", "sales", "lines", "payments", "products", "consents"):
        assert not one.table(name).equals(two.table(name)), name


def test_columns_are_those_that_were_promised():
    """Lessons, till layouts and the inventory rely on these names and types."""
    shop = Shop(5, parts=PARTS)

    assert shop.tables == tuple(generate.read("tables"))
    assert len(shop.tables) == 16
    for name in shop.tables:
        assert shop.table(name).schema == shop.schema(name)
    assert shop.schema("sales").field("sold_at").type == pa.timestamp("us", "UTC")
    assert shop.schema("customers").field("birthday").type == pa.date32()


def test_the_manifest_says_how_to_make_it_again():
    """A folder found next year can be told apart from a real one, and made again."""
    shop = Shop(5, parts=PARTS, seed=9, locale="de_DE")
    found = shop.manifest()

    assert found["faker"] == faker.VERSION
    assert (found["seed"], found["customers"], found["locale"]) == (9, 5, "de_DE")
    assert found["rows"] == {name: shop.table(name).num_rows for name in shop.tables}
    assert len(found["pools_sha256"]) == 64


POOLS = """
import hashlib
from faker.config import AVAILABLE_LOCALES
from kit.generate import pools
for locale in sorted(AVAILABLE_LOCALES):
    print(locale, hashlib.sha256(repr(sorted(pools(locale, 7).items())).encode()).hexdigest())
"""


def every_pool(hash_seed):
    """Return a hash of the pools of every locale, from a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", POOLS],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
        text=True,
    ).stdout


def test_names_do_not_depend_on_the_hash_seed():
    """Python shuffles sets anew in every process; a shop must not notice, as it_IT did."""
    script = "from kit.generate import pools; print(pools('it_IT', 7))"
    one, two = (
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    )

    assert one == two


@pytest.mark.slow
def test_no_locale_depends_on_the_hash_seed():
    """The same, for every locale that Faker has."""
    one, two = (every_pool(seed) for seed in ("1", "2"))

    assert one == two
    assert len(one.splitlines()) == len(AVAILABLE_LOCALES)


def test_a_deprecated_locale_is_made_without_a_warning():
    """fr_QC warns; a learner would take that for a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        assert pools("fr_QC", 1)["first"]


def test_stream_writes_whole_sales(tmp_path):
    """A file of sale lines can be added up: no sale is cut in two."""
    seen = []
    path = stream(tmp_path, 2_000, parts=PARTS, progress=lambda done, of: seen.append((done, of)))
    table = pq.read_table(path)

    assert 0.9 * 2_000 < table.num_rows < 1.1 * 2_000
    assert seen[-1][1] == 2_000
    assert table.schema.names == Shop(1, parts=PARTS).schema("lines").names
    assert [p.name for p in tmp_path.iterdir()] == ["lines.parquet"]


def test_a_stream_that_is_stopped_leaves_nothing(tmp_path):
    """Ctrl+C or a full disk: a gigabyte of half a file would be left, and nobody knows of it."""

    def stop(done, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(tmp_path, 2_000, parts=PARTS, progress=stop)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ten_million_lines_fit_in_memory(tmp_path):
    """A trainer's old laptop can make a large file: 600 MB are enough."""
    script = (
        "import sys, pathlib\n"
        "from kit import generate, people, trade\n"
        "parts = (people.People, trade.Trade)\n"
        "path = generate.stream(pathlib.Path(sys.argv[1]), 10_000_000, parts=parts)\n"
        "import pyarrow.parquet as pq\n"
        "print(pq.ParquetFile(path).metadata.num_rows)\n"
        # not ru_maxrss: that begins with the peak of the process that started this one
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
    )
    if sys.platform != "linux":
        pytest.skip("peak memory is read in Linux's units")
    command = [sys.executable, "-c", script, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, check=True, text=True)
    lines, kibibytes = map(int, result.stdout.split())

    assert lines >= 10_000_000
    assert kibibytes < 600 * 1024


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda: Shop(0, parts=PARTS), BadSize, id="no customers"),
        pytest.param(lambda: Shop(5_000_001, parts=PARTS), BadSize, id="too many customers"),
        pytest.param(lambda: Shop(1, parts=PARTS, seed=-1), BadSize, id="negative seed"),
        pytest.param(lambda: Shop(1, parts=PARTS, seed=2**63), BadSize, id="seed too large"),
        pytest.param(lambda: Shop(1, parts=PARTS, locale="en_UK"), UnknownLocale, id="no locale"),
        pytest.param(lambda: Shop(1, parts=PARTS).table("sale"), UnknownTable, id="no table"),
        pytest.param(
            lambda: list(Shop(1, parts=PARTS).batches("sales", rows=0)), BadSize, id="empty piece"
        ),
        pytest.param(lambda: Shop(1, parts=()).table("sales"), UnknownTable, id="no parts"),
        pytest.param(lambda: stream(Path("x"), 0, parts=PARTS), BadSize, id="no lines"),
        pytest.param(lambda: stream(Path("x"), 10**9, parts=PARTS), BadSize, id="too many lines"),
        pytest.param(
            lambda: stream(Path(__file__), 10, parts=PARTS), CannotWrite, id="a file, not a folder"
        ),
    ],
)
def test_refuses(make, error):
    """What cannot be made is refused in one plain sentence."""
    with pytest.raises(error) as caught:
        make()

    assert isinstance(caught.value, GenerateError)
    assert not str(caught.value).endswith(".")


def test_a_mistyped_locale_is_answered_with_the_nearest():
    """Whoever writes en_UK or de-DE is told what Faker calls it."""
    with pytest.raises(UnknownLocale) as caught:
        Shop(1, parts=PARTS, locale="de-DE")

    assert caught.value.nearest == "de_DE"


def test_refuses_to_overwrite(tmp_path):
    """Ten million lines that somebody worked on are not replaced."""
    stream(tmp_path, 10, parts=PARTS)

    with pytest.raises(CannotWrite):
        stream(tmp_path, 10, parts=PARTS)
