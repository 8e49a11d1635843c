# SPDX-License-Identifier: MIT-0
"""Make up a whole shop, so that nobody has to practise on real customers.

Copy: ``kit copy generate people trade --into DIR``, or take these files as they are.
Needs: Python 3.11, faker, numpy, pyarrow. Nothing else from this kit.
Data: shop_data.

This file draws and writes; what is drawn stands in the parts you hand to it: `people.People` and
`trade.Trade`, or your own. Columns are listed in ``shop_data/tables.toml``, the shop's habits in
``shop_data/calibration.toml``. Faker draws pools of names and places, once per shop; all else is
arithmetic on row numbers, modulo 2**64, with G = 0x9E3779B97F4A7C15::

    mix(z):   z ^= z>>30; z *= 0xBF58476D1CE4E5B9; z ^= z>>27; z *= 0x94D049BB133111EB; z ^= z>>31
    key:      k = mix(seed + G); for each part of the column's name: k = mix(k + G * (part + 1))
    draw:     mix(key + row * G)

So a row is the same whatever was made before it, in pieces of any size, on any machine, for one
version of Faker. No float takes part, since the last digit of ``exp`` differs between machines.

Source: splitmix64 (Steele, Lea, Flood 2014); guide tables (Chen, Asau 1974).
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import tomllib
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import faker
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from faker.config import AVAILABLE_LOCALES
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Draws = NDArray[np.uint64]
Columns = Mapping[str, Any]  # whole numbers, or Arrow text, one array per column
Makers = Mapping[
    str, tuple[int, Callable[[Ints], Columns]]
]  # table: how many units, units → columns
Progress = Callable[[int, int | None], None]

VERSION = 1  # of the made-up values: change one, and this changes
MOST_CUSTOMERS = 5_000_000  # 22 million sales, 62 million lines
LINES_PER_CUSTOMER = 12.4  # 4.5 sales of 2.77 lines are 12.47: `stream` reaches its goal
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
NULL = int(np.iinfo(np.int64).min)  # stands for "no value" among whole numbers
DAY, MICRO = 86_400, 1_000_000  # seconds; microseconds
ARROW = {"flag": pa.bool_(), "instant": pa.timestamp("us", "UTC"), "date": pa.date32()}
ARROW |= {"cents": pa.int64(), "int": pa.int64()}  # every other type is text
QUADS = np.char.zfill(np.arange(10_000).astype("S4"), 4)  # 0000 to 9999
UNIT_ROWS = {"lines": 3, "stock_moves": 3, "loyalty": 4, "shifts": 2}  # rows of a unit, about


class GenerateError(Exception):
    """Base of the errors below."""


class UnknownLocale(GenerateError):
    """Faker has no such language and country; `nearest` is one that it has."""

    def __init__(self, locale: str) -> None:
        near = difflib.get_close_matches(locale, AVAILABLE_LOCALES, n=1, cutoff=0.4)
        self.nearest = near[0] if near else "en_US"
        super().__init__(f"Faker has no locale {locale!r}; the nearest is {self.nearest!r}")


class BadSize(GenerateError):
    """A size or a seed that cannot be made."""


class UnknownTable(GenerateError):
    """None of the parts makes such a table."""


class CannotWrite(GenerateError):
    """The file is already there, or its folder cannot be written to."""


def mix(z: Draws) -> Draws:
    """Stir 64 bits until each depends on all (the last step of splitmix64)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def key(seed: int, *parts: int | str) -> int:
    """Return the key of one column; a part that is a name counts as its CRC-32."""
    k = mix(np.array([seed], np.uint64) + GOLDEN)
    for part in parts:
        number = part if isinstance(part, int) else zlib.crc32(part.encode())
        k = mix(k + np.array([number + 1], np.uint64) * GOLDEN)
    return int(k[0])


def draw(column_key: int, rows: Ints) -> Draws:
    """Return 64 random bits for each row number."""
    return mix(rows.astype(np.uint64) * GOLDEN + np.uint64(column_key))


def below(u: Draws, n: int | Ints) -> Ints:
    """Turn draws into whole numbers from 0 to *n* - 1, for *n* up to 2**32."""
    half = np.uint64(32)
    number: Ints = ((u >> half) * np.asarray(n).astype(np.uint64) >> half).astype(np.int64)
    return number


def scaled(weights: Sequence[int] | Ints, total: int = 2**32) -> Ints:
    """Scale *weights* to sum to *total* exactly: each at least 1, the remainder to the largest."""
    w = np.asarray(weights).astype(np.uint64)
    out: Ints = np.maximum(w * np.uint64(total) // w.sum(), np.uint64(1)).astype(np.int64)
    out[np.argmax(out)] += total - out.sum()
    return out


class Weighted:
    """Choose by weight, exactly and without a search: a guide table says where to start looking."""

    def __init__(self, weights: Sequence[int] | Ints) -> None:
        self.before: Ints = np.concatenate([[0], np.cumsum(scaled(weights))])  # places before each
        self._upto = self.before[1:]
        self._shift = 32 - min(20, 8 + len(weights).bit_length())  # at most 2**20 starts, 4 MB
        starts = np.arange(2 ** (32 - self._shift)) << self._shift
        self._guide = np.searchsorted(self._upto, starts, side="right").astype(np.int32)

    def pick(self, u: Draws) -> Ints:
        """Return one item per draw."""
        return self.at((u >> np.uint64(32)).astype(np.int64))

    def at(self, place: Ints) -> Ints:
        """Return the item that holds each place, 0 to 2**32 - 1."""
        item: Ints = self._guide[place >> self._shift].astype(np.int64)
        off = np.flatnonzero(self._upto[item] <= place)
        while off.size:  # the few that the guide started too early
            item[off] += 1
            off = off[self._upto[item[off]] <= place[off]]
        return item


def lognormal(mean: str, sigma: str) -> Ints:
    """Return 1,024 equally likely values of exp(mean + sigma * normal), in millionths."""
    half, context = read("normal")["upper_half"], Context(prec=40)
    steps = [Decimal(z) * Decimal(sigma) / 10**9 for z in [-z for z in reversed(half)] + half]
    return np.array([int(context.exp(Decimal(mean) + step) * 10**6) for step in steps])


def ids(prefix: str, numbers: Ints, digits: int = 10) -> pa.Array:
    """Write numbers as text of one width, e.g. ``sal_0000000042``."""
    parts = [QUADS[numbers // 10**power % 10_000] for power in (8, 4, 0)]
    text = np.stack(parts, axis=1).view(np.uint8).reshape(-1, 12)[:, 12 - digits :]
    head = np.tile(np.frombuffer(prefix.encode(), np.uint8), (len(numbers), 1))
    return _fixed(np.concatenate([head, text], axis=1))


def _fixed(letters: NDArray[np.uint8]) -> pa.Array:
    rows, width = letters.shape
    ends = np.arange(rows + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(letters))


@functools.cache
def read(name: str) -> dict[str, Any]:
    """Return one file of ``shop_data``."""
    path = Path(__file__).with_name("shop_data") / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=8)
def pools(locale: str, seed: int) -> Mapping[str, list[str]]:
    """Draw names and places with a seeded Faker: 0.1 to 1.5 seconds.

    Repeats are kept, so that common names stay common. A city stays with its postcode and region.

    Raises:
        UnknownLocale: If Faker does not know *locale*.
    """
    if locale not in AVAILABLE_LOCALES:
        raise UnknownLocale(locale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fr_QC is deprecated, and says so
        fake = faker.Faker(locale)
        fake.seed_instance(seed)
        kinds = {"first": fake.first_name, "last": fake.last_name, "street": fake.street_name}
        lists = {name: [make() for _ in range(4_000)] for name, make in kinds.items()}
        places = [_place(fake, locale) for _ in range(1_000)]
        lists["company"] = [fake.company() for _ in range(300)]
    for name, column in zip(("city", "postcode", "region"), zip(*places, strict=True), strict=True):
        lists[name] = list(column)
    return lists


def _place(fake: faker.Faker, locale: str) -> tuple[str, str, str]:
    if locale == "it_IT":  # it_IT.city() draws from a set: other towns for another PYTHONHASHSEED
        postcode, _, rest = fake.postcode_city_province().partition(", ")
        city, _, region = rest.removesuffix(")").rpartition(" (")
        return city, postcode, region
    region = fake.administrative_unit() if hasattr(fake, "administrative_unit") else ""
    return fake.city(), fake.postcode(), region


class Part(Protocol):
    """What makes some of the tables."""

    @property
    def tables(self) -> Makers:
        """Return how many units each table has, and what turns units into columns."""


class Shop:
    """A shop of two years, complete and free of contradictions, made by its parts.

    Args:
        customers: How many are on file, 1 to 5,000,000. Each brings 4.5 sales (walk-ins included)
            and 12 sale lines.
        parts: `people.People` and `trade.Trade`; each is called with this shop.
        seed: A whole number from 0 to 2**63 - 1; another seed is another shop.
        locale: A Faker locale, e.g. ``"de_DE"``, for names, places and the time zone.

    Attributes:
        tables: The names of the tables that the parts make.

    Raises:
        BadSize: If *customers* or *seed* is out of range.
        UnknownLocale: If Faker does not know *locale*.
    """

    weighted = Weighted
    scaled = staticmethod(scaled)
    lognormal = staticmethod(lognormal)

    def __init__(
        self,
        customers: int = 1_000,
        *,
        parts: Sequence[Callable[[Shop], Part]],
        seed: int = 42,
        locale: str = "en_US",
    ) -> None:
        if not 1 <= customers <= MOST_CUSTOMERS:
            raise BadSize(f"a shop has 1 to {MOST_CUSTOMERS:,} customers; choose another number")
        if not 0 <= seed < 2**63:
            raise BadSize("a seed is a whole number from 0 to 2**63 - 1; choose another")
        self.customers, self.seed, self.locale = customers, seed, locale
        self.law, self.goods, self.map = read("calibration"), read("products"), read("places")
        self.country = locale.partition("_")[2]
        self.time_zone = self.map["time_zones"].get(self.country, "UTC")
        self.stores = min(1 + customers // self.law["customers_per_store"], self.law["most_stores"])
        self.sales = max(1, customers * self.law["centi_sales_per_customer"] // 100)
        self.pools = pools(locale, seed)
        lists = {"country": [self.country], "time_zone": [self.time_zone]}
        lists |= self.goods["words"] | dict(self.pools)
        self.lists = {name: pa.array(values, pa.string()) for name, values in lists.items()}
        self._by = {name: Weighted(weights) for name, weights in self.law["weights"].items()}
        self._set_calendar()
        makers = {name: maker for part in parts for name, maker in part(self).tables.items()}
        self.tables = tuple(name for name in read("tables") if name in makers)
        self._makers, self._rows = makers, dict[str, int]()

    def _set_calendar(self) -> None:
        """Set each day's share of the trade, and the UTC second of each local midnight."""
        law, zone, begin = self.law, ZoneInfo(self.time_zone), self.law["first_sign_up"]
        dates = [begin + timedelta(days) for days in range((law["end"] - begin).days)]
        marks, rows = [f"{day:%m-%d}" for day in dates], np.arange(len(dates))
        noon = [datetime.combine(day, time(12), zone).timestamp() for day in dates]
        self.midnight = np.array(noon, np.int64) - DAY // 2  # clocks are not changed by day
        self.end = (int(self.midnight[-1]) + DAY) * MICRO
        self.epoch_day = (begin - date(1970, 1, 1)).days
        self.first_day = (law["first_sale"] - begin).days
        self.open = ~np.isin(marks, law["closed"])
        habit = [law["weekdays"][day.weekday()] * law["months"][day.month - 1] for day in dates]
        habit *= np.where(np.isin(marks, law["peaks"]), law["peak_halves"], 2) * self.open
        habit *= 80 + self.below("calendar.luck", rows, 41)  # percent
        self._trade = habit * (10_000 + law["growth_per_day"] * rows) // 1_000
        self._hours = np.concatenate([[0], np.cumsum(scaled(law["hours"]))])

    # --- for the parts: the same answer for the same column and row, always

    def u(self, column: str, rows: Ints) -> Draws:
        """Return 64 random bits for each row of ``table.column``."""
        return draw(key(self.seed, *column.split("."), 0), rows)

    def below(self, column: str, rows: Ints, n: int | Ints) -> Ints:
        """Draw a number from 0 to *n* - 1 for each row."""
        return below(self.u(column, rows), n)

    def share(self, name: str, rows: Ints) -> Flags:
        """Flag as many percent of the rows as the calibration says under this name."""
        percent: int = self.law[name]
        return self.below(f"share.{name}", rows, 100) < percent

    def pick(self, name: str, column: str, rows: Ints) -> Ints:
        """Draw from the calibration's weights of this name."""
        return self._by[name].pick(self.u(column, rows))

    def spread(self, rows: int, since: int = 0) -> Ints:
        """Share *rows* out to days by trade: day d gets row first[d] up to before first[d + 1]."""
        weights = self._trade * (np.arange(len(self._trade)) >= since)
        first: Ints = np.concatenate([[0], np.cumsum(weights)]) * rows // weights.sum()
        return first

    def moment(self, column: str, first: Ints, rows: Ints) -> tuple[Ints, Ints]:
        """Return day and local second of spread rows: a later row is never earlier."""
        day = np.searchsorted(first, rows, side="right") - 1
        place = ((rows - first[day]) << 32) + self.below(column, rows, 2**32)
        place //= first[day + 1] - first[day]
        hour = np.searchsorted(self._hours, place, side="right") - 1
        second = (place - self._hours[hour]) * 3600 // np.diff(self._hours)[hour]
        return day, (self.law["opens"] + hour) * 3600 + second

    def utc(self, day: Ints, second: Ints | int) -> Ints:
        """Return microseconds since 1970 of local seconds."""
        return np.asarray((self.midnight[day] + second) * MICRO)

    # --- for you

    def schema(self, name: str) -> pa.Schema:
        """Return names and types of one table's columns."""
        if name not in self.tables:
            raise UnknownTable(f"no table {name!r}; there are {', '.join(self.tables)}")
        kinds = read("tables")[name].items()
        return pa.schema([(column, ARROW.get(kind, pa.string())) for column, kind in kinds])

    def batches(self, name: str, *, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """Make one table in pieces of about *rows* rows; the values do not depend on *rows*."""
        schema, kinds = self.schema(name), read("tables")[name]
        if rows < 1:
            raise BadSize("a batch has at least one row; give a larger number")
        units, make = self._makers[name]
        done, step = 0, max(1, rows // UNIT_ROWS.get(name, 1))
        for start in range(0, units, step):
            columns = make(np.arange(start, min(start + step, units)))
            arrays = [self._array(kind, columns[column]) for column, kind in kinds.items()]
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            done += batch.num_rows
            if batch.num_rows:
                yield batch
        self._rows[name] = done

    def table(self, name: str) -> pa.Table:
        """Make one table in memory."""
        return pa.Table.from_batches(self.batches(name), self.schema(name))

    def rows(self, name: str) -> int:
        """Count the rows of one table; it is made once for that if it was not made before."""
        if name not in self._rows:
            for _ in self.batches(name):
                pass
        return self._rows[name]

    def manifest(self) -> dict[str, Any]:
        """Return what it takes to make this shop again, and how many rows it has."""
        text = "\n".join("\t".join(values) for values in self.pools.values())
        return {
            "version": VERSION,
            "faker": faker.VERSION,
            "seed": self.seed,
            "locale": self.locale,
            "customers": self.customers,
            "end": self.law["end"].isoformat(),
            "pools_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "rows": {name: self.rows(name) for name in self.tables},
        }

    def _array(self, kind: str, values: Any) -> pa.Array:
        """Write whole numbers as their type in ``tables.toml`` says; `NULL` becomes null."""
        what, _, of = kind.partition(" ")
        if isinstance(values, pa.Array):
            return values
        null = values == NULL
        if what in ("word", "pool"):
            return self.lists[of].take(pa.array(values, mask=null))
        if what == "date":
            return pa.array(np.where(null, 0, values).astype(np.int32), pa.date32(), mask=null)
        if what in ARROW:
            return pa.array(values, ARROW[what], mask=null)
        if what == "phone":
            number = pa.array(values, mask=null).cast(pa.string())
            return pc.binary_join_element_wise("+", number, "")
        if what == "token":
            letters = (97 + (values[:, None] >> np.arange(0, 64, 4) & 15)).astype(np.uint8)
            text = pc.binary_join_element_wise("tok_", _fixed(letters), "")
        else:
            text = ids(of + "_", values) if what == "id" else ids("", values, int(of))
        return pc.if_else(null, None, text) if null.any() else text


def stream(
    folder: Path,
    lines: int = 10_000_000,
    *,
    parts: Sequence[Callable[[Shop], Part]],
    seed: int = 42,
    locale: str = "en_US",
    progress: Progress | None = None,
) -> Path:
    """Write a great many sale lines to ``lines.parquet``, one piece in memory at a time.

    Args:
        folder: Where to write; made if it is not there.
        lines: How many, about: whole sales only, so there may be some more.
        parts: As for `Shop`.
        seed: As for `Shop`.
        locale: As for `Shop`.
        progress: Called with lines done and lines wanted after each piece.

    Returns:
        The file written.

    Raises:
        BadSize: If *lines* is below 1, or too many for the largest shop.
        CannotWrite: If the file is there already, or cannot be written.
    """
    if lines < 1:
        raise BadSize("at least one line is needed; give a larger number")
    shop = Shop(-int(-lines // LINES_PER_CUSTOMER), parts=parts, seed=seed, locale=locale)
    path, done = folder / "lines.parquet", 0
    if path.exists():
        raise CannotWrite(f"{path} is there already; move it away or choose another folder")
    part = path.with_suffix(".part")  # a file cut short never has the final name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(part, shop.schema("lines"), compression="zstd") as out:
            for batch in shop.batches("lines"):
                out.write_batch(batch)
                done += batch.num_rows
                if progress:
                    progress(min(done, lines), lines)
        part.replace(path)
    except OSError as error:
        raise CannotWrite(
            f"{folder}: {error.strerror}; free some space or choose another"
        ) from None
    finally:
        with suppress(OSError):
            part.unlink()  # a full disk is not left full
    return path
