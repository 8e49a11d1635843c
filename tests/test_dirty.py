"""The untidy twin promises exercises with an answer key that has no mistake in it."""

from __future__ import annotations

import datetime
import hashlib
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pytest

from kit import dirty as module
from kit import generate
from kit.dirty import BadTable, Dirty, DirtyError, Exists, NoSuchLevel, dirty
from kit.practice import made_up

COPIES = {"duplicate", "new id", "typo", "nickname", "swapped", "moved"}
CELLS = {kind for kind, _, _ in module.CELLS}
KINDS = COPIES | CELLS | {"ragged"}
TODAY = "2026-11-24"
GOLDEN = "e5e59c29540e11f739461c9924b27d02e7d67c106eea777a66d2b348fa1cdce1"


def shop(customers=120):
    """Return customers, addresses, sales and stores as the made-up shop has them."""
    rows = range(customers)
    first, last = list(module.NICKNAMES), ["Example", "Beispiel", "Núñez", "O'Sample", "Van Test"]
    signed_up = datetime.datetime(2025, 1, 1, 9, 30, tzinfo=datetime.UTC)
    people = {
        "customer_id": [f"cus_{i:08}" for i in rows],
        "first_name": [first[i * 7 % len(first)] for i in rows],
        "last_name": [last[i % 5] for i in rows],
        "email": [f"person{i}@example.com" if i % 4 == 0 else None for i in rows],
        "phone": [f"+1{201 + i // 100}55501{i % 100:02}" if i % 5 else None for i in rows],
        "birthday": [datetime.date(1950 + i % 50, 1 + i % 12, 1 + i % 28) for i in rows],
        "company": [None for _ in rows],
        "note": ["likes tulips" if i % 9 == 0 else None for i in rows],
        "created_at": [signed_up + datetime.timedelta(hours=i) for i in rows],
    }
    homes = [i for i in rows if i % 2]
    addresses = {
        "address_id": [f"adr_{i:08}" for i in range(len(homes))],
        "customer_id": [f"cus_{i:08}" for i in homes],
        "street": [f"{i} Sample Street" for i in homes],
        "postcode": [f"0{i:04}" for i in homes],
    }
    sales = {
        "sale_id": [f"sal_{i:08}" for i in range(3 * customers)],
        "customer_id": [f"cus_{i % customers:08}" for i in range(3 * customers)],
        "total_cents": [1099 + i for i in range(3 * customers)],
    }
    text, whole = pa.string(), pa.int64()
    moment = pa.timestamp("us", "UTC")
    types = {"birthday": pa.date32(), "created_at": moment, "total_cents": whole}
    tables = {"customers": people, "addresses": addresses, "sales": sales}
    return {
        name: pa.table(columns, schema=pa.schema([(c, types.get(c, text)) for c in columns]))
        for name, columns in tables.items()
    } | {"stores": pa.table({"store_id": ["sto_01"]})}


def as_text(table):
    """Return a table's rows as dicts of text, written as the answer key writes them."""
    rows = table.to_pylist()
    return [{column: written(value) for column, value in row.items()} for row in rows]


def written(value):
    """Return a value as the answer key writes it."""
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value if value is None else str(value)


def luhn(number):
    """Say whether the last digit of a card number is the right one."""
    digits = [int(d) for d in reversed(number)]
    return sum(digits[::2] + [d * 2 - 9 * (d > 4) for d in digits[1::2]]) % 10 == 0


def answers(result, kind=None):
    """Return the answer key as rows, of one kind if asked."""
    return [row for row in result.truth.to_pylist() if kind in (None, row["kind"])]


def cell(result, answer):
    """Return the dirty cell that an answer speaks of."""
    return result.tables[answer["table"]][answer["column"]][answer["row"]].as_py()


@pytest.fixture(scope="module")
def clean():
    """A tidy shop."""
    return shop()


@pytest.fixture(scope="module")
def untidy(clean):
    """Its untidy twin."""
    return dirty(clean, seed=7)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_answer_key_leads_back_to_the_tidy_tables(clean, level):
    """Cleaning is marked against the key: one wrong answer and a learner is told off for nothing.

    Both ways at once: with every answer put in, each row equals the tidy row it came from, so no
    change is missing from the key; and every answer differs from the dirty cell.
    """
    result = dirty(clean, seed=3, level=level)
    for name, table in result.tables.items():
        rows = as_text(table)
        origin = list(range(clean[name].num_rows))
        for answer in answers(result):
            if answer["table"] != name or answer["kind"] == "ragged":
                continue
            if answer["kind"] == "duplicate":
                assert answer["row"] == len(origin)
                origin.append(int(answer["clean"]))
            else:
                assert rows[answer["row"]][answer["column"]] != answer["clean"]
                rows[answer["row"]][answer["column"]] = answer["clean"]
        tidy = as_text(clean[name])

        assert rows == [tidy[row] for row in origin]


def test_no_cell_has_two_answers(clean):
    """A cell with two kinds of dirt could not be marked."""
    key = [
        (a["table"], a["row"], a["column"], a["column"] == "" and a["kind"])
        for a in answers(dirty(clean, seed=3, level=3))
    ]

    assert len(set(key)) == len(key)


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1, 42])
def test_every_kind_occurs_in_a_hundred_customers(seed, level):
    """A lesson on mojibake needs some mojibake, whatever the seed."""
    assert {a["kind"] for a in answers(dirty(shop(100), seed=seed, level=level))} == KINDS


def test_level_0_is_the_tidy_shop(clean):
    """The exercise can be switched off."""
    result = dirty(clean, seed=1, level=0)

    assert result.tables == clean
    assert result.truth.num_rows == 0


def test_levels_get_worse(clean):
    """A trainer can choose how hard it gets."""
    counts = [dirty(clean, seed=1, level=level).truth.num_rows for level in range(4)]

    assert counts == sorted(set(counts))


def test_the_same_seed_makes_the_same_mess(clean, untidy):
    """Twelve laptops in a class get the same exercise, and the trainer's slides fit it."""
    again = dirty(clean, seed=7)

    assert again.truth.equals(untidy.truth)
    assert all(again.tables[name].equals(table) for name, table in untidy.tables.items())
    assert not dirty(clean, seed=8).truth.equals(untidy.truth)


def test_as_many_rows_are_dirty_as_the_rates_say():
    """A trainer who asks for level 1 gets a shop that is mostly tidy."""
    tables = shop(1000)
    filled = pc.sum(pc.is_valid(tables["customers"]["phone"])).as_py()
    counts = [len(answers(dirty(tables, seed=1, level=n), "phone format")) for n in (1, 2, 3)]

    assert counts == pytest.approx([filled / 16, filled / 4, filled * 3 / 4], rel=0.05)


def test_untouched_tables_are_handed_through(clean, untidy):
    """Dirt costs nothing where there is none: ten million sale lines are not copied."""
    assert untidy.tables["stores"] is clean["stores"]


def test_card_numbers_are_the_published_test_cards(untidy, clean):
    """No real card number can come out of this module."""
    result = dirty(clean, seed=5, level=3)
    for kind in ("card", "cvv"):
        for answer in answers(result, kind):
            note = cell(result, answer)
            number = re.sub(r"\D", "", re.search(r"\d[\d -]{12,19}\d(?= |$)", note)[0])

            assert number in module.CARDS
            assert luhn(number)
            assert bool(re.search(r"cvv|sec code|CVC", note)) == (kind == "cvv")


def test_made_up_addresses_are_nobodys(clean):
    """An address typed into the phone column cannot be mailed to."""
    result = dirty(clean, seed=5, level=3)

    assert all(cell(result, a).endswith("@example.com") for a in answers(result, "email in phone"))


def test_future_birthdays_lie_in_the_future(clean):
    """A check for impossible birthdays has something to find."""
    result = dirty(clean, seed=5, level=3)

    assert all(cell(result, a) > TODAY for a in answers(result, "future birthday"))


def test_mojibake_can_be_undone(clean):
    """The lesson's remedy (encode as Windows-1252, read as UTF-8) gives the name back."""
    result = dirty(clean, seed=5, level=3)
    undone = [cell(result, a).encode("cp1252").decode() for a in answers(result, "mojibake")]

    assert [text.replace("\xa0", " ").strip() for text in undone] == [
        a["clean"] for a in answers(result, "mojibake")
    ]


def test_copies_have_numbers_of_their_own(clean):
    """Only exact copies share a number; a till would never give one out twice."""
    result = dirty(clean, seed=5, level=3)
    copies = [a["row"] for a in answers(result, "duplicate") if a["table"] == "customers"]
    renumbered = {a["row"] for a in answers(result, "new id") if a["table"] == "customers"}
    exact = len(set(copies) - renumbered)
    numbers = result.tables["customers"]["customer_id"].to_pylist()

    assert len(numbers) - len(set(numbers)) == exact > 0


def test_written_rows_are_ragged_as_the_key_says(untidy, tmp_path):
    """A reader that loses torn rows in silence is found out."""
    untidy.write(tmp_path)
    torn = []
    with (tmp_path / "customers.csv").open("rb") as file:
        table = pacsv.read_csv(
            file,
            read_options=pacsv.ReadOptions(use_threads=False),
            parse_options=pacsv.ParseOptions(
                newlines_in_values=True,
                invalid_row_handler=lambda row: torn.append(row.actual_columns) or "skip",
            ),
        )
    whole = untidy.tables["customers"]
    ragged = [a["row"] for a in answers(untidy, "ragged") if a["table"] == "customers"]

    assert torn == [whole.num_columns + (-1 if row % 2 else 1) for row in ragged]
    assert table.num_rows == whole.num_rows - len(torn)


@pytest.mark.parametrize("odd", [0, 1])
def test_a_torn_row_at_either_end_is_written(odd, tmp_path):
    """The first and the last row may be torn too."""
    table = pa.table({"a": ["1", "2", "3", "4"][: 3 + odd], "b": ["x"] * (3 + odd)})
    last = table.num_rows - 1
    truth = pa.Table.from_pylist(
        [{"table": "t", "row": r, "column": "", "kind": "ragged"} for r in (0, last)], module.TRUTH
    )
    Dirty({"t": table}, truth).write(tmp_path)
    lines = (tmp_path / "t.csv").read_text().splitlines()

    assert [line.count(",") for line in lines] == [1, 2, 1, *[1] * odd, 0 if last % 2 else 2]


def test_the_key_is_written_beside_the_tables(untidy, tmp_path):
    """A trainer finds the answers without running any code."""
    paths = untidy.write(tmp_path)

    assert [p.stem for p in paths] == [*untidy.tables, "truth"]
    assert pacsv.read_csv(tmp_path / "truth.csv").num_rows == untidy.truth.num_rows
    assert not list(tmp_path.glob(".*"))


def test_draws_are_the_known_ones():
    """The mess is the same on every machine and with every NumPy: integers only."""
    start = np.array([1234567], np.uint64)
    steps = module._mix(start + module.GOLDEN * np.arange(1, 4, dtype=np.uint64))

    assert steps.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_draws_are_those_of_the_made_up_shop():
    """The lines written twice, here and in generate.py, do the same."""
    rows = np.arange(100)
    theirs = generate.draw(generate.key(7, "dirty", "card"), rows)

    assert module._draws(7, "card", rows).tolist() == theirs.tolist()


def test_the_made_up_shop_can_be_dirtied():
    """The tables of kit/generate.py have the columns that are needed here."""
    made = made_up(300, seed=1)
    tables = {name: made.table(name) for name in made.tables}
    result = dirty(tables, seed=1)

    assert {a["kind"] for a in answers(result)} == KINDS
    assert set(result.tables) == set(tables)


def test_the_mess_of_version_1_is_still_the_same(clean):
    """Slides and solutions refer to rows by number."""
    key = "\n".join(str(list(a.values())) for a in answers(dirty(clean, seed=42)))

    assert hashlib.sha256(key.encode()).hexdigest() == GOLDEN


@pytest.mark.parametrize(
    ("tables", "level", "error"),
    [
        pytest.param(shop(2), 4, NoSuchLevel, id="no such level"),
        pytest.param({"sales": shop(2)["sales"]}, 2, BadTable, id="no customers"),
        pytest.param(
            {"customers": shop(2)["customers"].drop(["note"])}, 2, BadTable, id="a column missing"
        ),
    ],
)
def test_refuses(tables, level, error):
    """What cannot be dirtied is named, and no customer is quoted."""
    with pytest.raises(error) as caught:
        dirty(tables, seed=1, level=level)

    assert isinstance(caught.value, DirtyError)
    assert "cus_" not in str(caught.value)


def test_refuses_to_overwrite(untidy, tmp_path):
    """A trainer's edited exercise survives a second run."""
    untidy.write(tmp_path)

    with pytest.raises(Exists):
        untidy.write(tmp_path)

    assert untidy.write(tmp_path, overwrite=True)


@pytest.mark.parametrize("names", [("customers",), ("customers", "sales")])
def test_works_on_part_of_a_shop(clean, names):
    """A lesson may dirty the customers alone."""
    result = dirty({name: clean[name] for name in names}, seed=1)

    assert set(result.tables) == set(names)
    assert {a["table"] for a in answers(result)} == set(names)


def test_a_shop_without_customers_yet_stays_clean():
    """An empty table is no error."""
    result = dirty({name: table.slice(0, 0) for name, table in shop(2).items()}, seed=1, level=3)

    assert result.truth.num_rows == 0


def test_a_change_that_changes_nothing_is_no_answer():
    """A name without capitals cannot have the wrong ones: nobody is asked to correct it."""
    people = shop(100)["customers"]
    same = pa.array(["李"] * 100)
    people = people.set_column(1, "first_name", same).set_column(2, "last_name", same)
    result = dirty({"customers": people}, seed=1, level=3)

    assert {a["kind"] for a in answers(result)} >= {"duplicate", "typo"}
    assert not answers(result, "swapped")
    assert all(cell(result, a) != a["clean"] for a in answers(result) if a["column"])
