# SPDX-License-Identifier: MIT-0
"""Make up a whole shop, so that nobody has to practise on real customers.

Copy: ``kit copy generate --into DIR``, or take this file as it is.
Needs: Python 3.11, faker, numpy, pyarrow. Nothing else from this kit.
Data: shop_data.

Sixteen tables that agree with each other (columns: ``shop_data/tables.toml``; the shop's habits:
``shop_data/calibration.toml``). Faker draws pools of names and places, once; all else is integer
arithmetic on row numbers, modulo 2**64, with G = 0x9E3779B97F4A7C15::

    mix(z):   z ^= z>>30; z *= 0xBF58476D1CE4E5B9; z ^= z>>27; z *= 0x94D049BB133111EB; z ^= z>>31
    key:      k = mix(seed + G); for each part of the column's name: k = mix(k + G * (part + 1))
    draw:     mix(key + row * G)

So a row is the same whatever was made before it, in any chunk size, for one version of Faker.
Sales are numbered in the order of time, customers in the order of signing up, and a sale picks its
buyer among those who had signed up before that day. Two things are sums over all sales and take one
pass first: points are spent only when earlier sales earned them (`loyalty`), and every Monday's
delivery covers what that store will sell that week (`stock_moves`). Neither can fall below zero.

Nobody is real: example.com, .net and .org, telephone numbers set aside for fiction or never given
out, in-store barcodes, no card numbers. Simpler than life: one currency, tax rate and time zone.

Source: splitmix64 (Steele, Lea, Flood 2014); guide tables (Chen, Asau 1974); the calibration file.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import tomllib
import unicodedata
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import faker
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from faker.config import AVAILABLE_LOCALES
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Draws = NDArray[np.uint64]
Columns = dict[str, Any]  # whole numbers, or Arrow text, one array per column

VERSION = 1  # of the made-up values: change one, and this changes
MOST_CUSTOMERS = 5_000_000  # 39 million sales, 107 million lines
LINES_PER_CUSTOMER = 21.3  # 7.76 sales of 2.77 lines are 21.5; less, so that `stream` has enough
GOLDEN = 0x9E3779B97F4A7C15
NULL = np.iinfo(np.int64).min  # no value
DAY, MICRO = 86_400, 1_000_000
OPENS = 8  # o'clock; shifts start at 7:45 and 14:30 and end at 21:15
MORNING, HANDOVER, NIGHT = 27_900, 52_200, 76_500  # seconds after midnight
STAFF = 3  # people in a store: early, then late, then a day off
LINES = 16  # line numbers kept for each sale
CONTACTS = {"stores": 0, "employees": 60, "suppliers": 240, "customers": 300}  # first phone number
UNIT_ROWS = {"lines": 3, "stock_moves": 3, "loyalty": 4, "shifts": 2}  # about; 1 for the others
ARROW = {"flag": pa.bool_(), "instant": pa.timestamp("us", "UTC"), "date": pa.date32()}
ARROW |= {"cents": pa.int64(), "int": pa.int64()}  # every other type is text


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
    """The shop has no such table."""


class CannotWrite(GenerateError):
    """The file is already there, or the folder cannot be written to."""


@functools.cache
def _read(name: str) -> dict[str, Any]:
    path = Path(__file__).with_name("shop_data") / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def mix(z: Draws) -> Draws:
    """Stir 64 bits until each depends on all (the last step of splitmix64)."""
    z = (z ^ (z >> 30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> 27)) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> 31)


def key(seed: int, *parts: int | str) -> int:
    """Return the key of one column; a part that is a name counts as its CRC-32."""
    numbers = [part if isinstance(part, int) else zlib.crc32(part.encode()) for part in parts]
    k = mix(np.array([seed], np.uint64) + np.uint64(GOLDEN))
    for number in numbers:
        k = mix(k + np.array([number + 1], np.uint64) * np.uint64(GOLDEN))
    return int(k[0])


def draw(column_key: int, rows: Ints) -> Draws:
    """Return 64 random bits for each row number."""
    return mix(rows.astype(np.uint64) * np.uint64(GOLDEN) + np.uint64(column_key))


def below(u: Draws, n: int | Ints) -> Ints:
    """Turn draws into whole numbers from 0 to *n* - 1, for *n* up to 2**32."""
    return ((u >> 32) * np.asarray(n).astype(np.uint64) >> 32).astype(np.int64)


def scaled(weights: Sequence[int] | Ints, total: int = 2**32) -> Ints:
    """Scale *weights* to sum to *total* exactly: each at least 1, the remainder to the largest."""
    w = np.asarray(weights).astype(np.uint64)
    out = np.maximum(w * np.uint64(total) // w.sum(), 1).astype(np.int64)
    out[np.argmax(out)] += total - out.sum()
    return out


class Weighted:
    """Choose by weight, exactly and without a search: a guide table says where to start looking."""

    def __init__(self, weights: Sequence[int] | Ints) -> None:
        self.before = np.concatenate([[0], np.cumsum(scaled(weights))])  # places before each item
        self._upto = self.before[1:]
        self._shift = 32 - min(20, 8 + len(weights).bit_length())  # at most 2**20 starts, 4 MB
        starts = np.arange(2 ** (32 - self._shift)) << self._shift
        self._guide = np.searchsorted(self._upto, starts, side="right").astype(np.int32)

    def pick(self, u: Draws) -> Ints:
        """Return one item per draw."""
        return self.at((u >> 32).astype(np.int64))

    def at(self, place: Ints) -> Ints:
        """Return the item that holds each place, 0 to 2**32 - 1."""
        item = self._guide[place >> self._shift].astype(np.int64)
        off = np.flatnonzero(self._upto[item] <= place)
        while off.size:  # the few that the guide started too early
            item[off] += 1
            off = off[self._upto[item[off]] <= place[off]]
        return item


def lognormal(mean: str, sigma: str) -> Ints:
    """Return 1,024 equally likely values of exp(mean + sigma * normal), in millionths.

    In decimal, for ``exp`` of a float may end in another digit on another machine.
    """
    half, context = _read("normal")["upper_half"], Context(prec=40)
    steps = [Decimal(z) * Decimal(sigma) / 10**9 for z in [-z for z in reversed(half)] + half]
    return np.array([int(context.exp(Decimal(mean) + step) * 10**6) for step in steps])


def ids(prefix: str, numbers: Ints, digits: int = 10) -> pa.Array:
    """Write numbers as text of one width, e.g. ``sal_0000000042``."""
    quads = np.char.zfill(np.arange(10_000).astype("S4"), 4)
    parts = [quads[numbers // 10**power % 10_000] for power in (8, 4, 0)]
    text = np.stack(parts, axis=1).view(np.uint8).reshape(-1, 12)[:, 12 - digits :]
    head = np.tile(np.frombuffer(prefix.encode(), np.uint8), (len(numbers), 1))
    return _text(np.concatenate([head, text], axis=1))


def _text(letters: NDArray[np.uint8]) -> pa.Array:
    rows, width = letters.shape
    ends = np.arange(rows + 1, dtype=np.int32) * width
    return pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(letters))


def _joined(*parts: Any) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _shuffled(i: Ints, n: int, start: int) -> Ints:
    """Give each *i* below *n* another place below *n*: no two the same, and no list kept."""
    step = next(prime for prime in (26_573_219, 15_485_863, 104_729) if n % prime)
    return (i * step + start) % n


def _shared_out(rows: int, weights: Ints) -> Ints:
    """Share rows out to days: day d gets row first[d] up to, not including, first[d + 1]."""
    return np.concatenate([[0], np.cumsum(weights)]) * rows // weights.sum()


def _each(sizes: Ints) -> tuple[Ints, Ints]:
    """Return (0, 0), (0, 1) … (1, 0) …: for each row, its parent and its place among sisters."""
    parent = np.repeat(np.arange(len(sizes)), sizes)
    return parent, np.arange(len(parent)) - (np.cumsum(sizes) - sizes)[parent]


class Pools(NamedTuple):
    """Names and places to pick from; repeats are kept, so that common names stay common."""

    lists: dict[str, list[str]]
    sha256: str


@functools.lru_cache(maxsize=8)
def pools(locale: str, seed: int) -> Pools:
    """Draw the pools of one locale with a seeded Faker: 0.1 to 1.5 seconds.

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
    columns = zip(("city", "postcode", "region"), zip(*places, strict=True), strict=True)
    lists |= {name: list(column) for name, column in columns}
    text = "\n".join("\t".join(values) for values in lists.values())
    return Pools(lists, hashlib.sha256(text.encode()).hexdigest())


def _place(fake: faker.Faker, locale: str) -> tuple[str, str, str]:
    if locale == "it_IT":  # it_IT.city() depends on PYTHONHASHSEED: it draws from a set
        postcode, _, rest = fake.postcode_city_province().partition(", ")
        city, _, region = rest.removesuffix(")").rpartition(" (")
        return city, postcode, region
    region = fake.administrative_unit() if hasattr(fake, "administrative_unit") else ""
    return fake.city(), fake.postcode(), region


def _ascii(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "".join(letter for letter in plain if letter.isalpha())


class Shop:
    """A shop of two years, complete and free of contradictions.

    Args:
        customers: How many are on file, 1 to 5,000,000; each brings about 8 sales, walk-ins
            included, and 21 sale lines.
        seed: A whole number from 0 to 2**63 - 1; another seed is another shop.
        locale: A Faker locale, e.g. ``"de_DE"``, for names, places and the time zone.

    Raises:
        BadSize: If *customers* or *seed* is out of range.
        UnknownLocale: If Faker does not know *locale*.

    Example:
        >>> Shop(100).table("sales").num_rows
        776
    """

    tables: tuple[str, ...] = tuple(_read("tables"))

    def __init__(self, customers: int = 1_000, *, seed: int = 42, locale: str = "en_US") -> None:
        if not 1 <= customers <= MOST_CUSTOMERS:
            raise BadSize(f"a shop has 1 to {MOST_CUSTOMERS:,} customers; choose another number")
        if not 0 <= seed < 2**63:
            raise BadSize("a seed is a whole number from 0 to 2**63 - 1; choose another")
        self.customers, self.seed, self.locale = customers, seed, locale
        self.law, self.goods, self.pools = (
            _read("calibration"),
            _read("products"),
            pools(locale, seed),
        )
        self.country = locale.partition("_")[2]
        self.time_zone = _read("places")["time_zones"].get(self.country, "UTC")
        self.stores = min(1 + customers // self.law["customers_per_store"], self.law["most_stores"])
        self.sales = max(1, customers * self.law["centi_sales_per_customer"] // 100)
        names = {
            "categories": list(self.goods["categories"]),
            "products": [
                f"{noun}, {v}"
                for nouns in self.goods["categories"].values()
                for noun in nouns
                for v in self.goods["variants"]
            ],
            "country": [self.country],
            "time_zone": [self.time_zone],
        }
        lists = self.pools.lists | self.goods["words"] | names
        for name in ("first", "last"):
            lists[f"{name}_ascii"] = [_ascii(text) for text in lists[name]]
        self._plain = all(lists["first_ascii"]) and all(lists["last_ascii"])
        self._lists = {name: pa.array(values, pa.string()) for name, values in lists.items()}
        self._by = {name: Weighted(weights) for name, weights in self.law["weights"].items()}
        self._rows: dict[str, int] = {}
        self._set_calendar()
        self._set_products()
        rates = lognormal("0", self.law["sigma"])
        self._buyers = Weighted(rates[self._below("customers.rate", np.arange(customers), 1024)])
        self._units = dict.fromkeys(self.tables, self.sales)
        self._units |= dict.fromkeys(("customers", "addresses", "consents", "loyalty"), customers)
        self._units |= {
            "stores": self.stores,
            "employees": self.stores * STAFF,
            "shifts": self.stores * (len(self._trade) - self._first_day),
            "suppliers": self.law["suppliers"],
            "categories": len(names["categories"]),
            "products": len(names["products"]),
            "stock_moves": self._weeks + self.sales,
            "privacy_requests": 1 + customers // 200,
        }

    def _set_calendar(self) -> None:
        """Set how much is sold on each day, and the UTC second of each local midnight."""
        law, zone = self.law, ZoneInfo(self.time_zone)
        begin = law["first_sign_up"]
        dates = [begin + timedelta(days) for days in range((law["end"] - begin).days)]
        marks, rows = [f"{day:%m-%d}" for day in dates], np.arange(len(dates))
        self._epoch_day = (begin - date(1970, 1, 1)).days
        self._first_day = (law["first_sale"] - begin).days
        self._weeks = -(-(len(dates) - self._first_day) // 7)
        noon = [datetime.combine(day, time(12), zone).timestamp() for day in dates]
        self._midnight = np.array(noon, np.int64) - DAY // 2  # no zone changes its clock by day
        self._end = (int(self._midnight[-1]) + DAY) * MICRO
        self._open = ~np.isin(marks, law["closed"])
        habit = [law["weekdays"][day.weekday()] * law["months"][day.month - 1] for day in dates]
        habit *= np.where(np.isin(marks, law["peaks"]), law["peak_halves"], 2) * self._open
        habit *= 80 + self._below("calendar.luck", rows, 41)  # percent
        self._trade = habit * (10_000 + law["growth_per_day"] * rows) // 1_000
        self._sign_ups = _shared_out(self.customers, self._trade)
        self._sold = _shared_out(self.sales, self._trade * (rows >= self._first_day))
        self._hours = np.concatenate([[0], np.cumsum(scaled(law["hours"]))])

    def _set_products(self) -> None:
        """Set the prices, and the weight of each product for each reason to buy."""
        law, context = self.law, Context(prec=40)
        categories, missions = list(self.goods["categories"]), self.goods["missions"].values()
        rows = np.arange(len(self._lists["products"]))
        self._category = rows * len(categories) // len(rows)
        dollars = lognormal(law["price_log_mean"], law["price_log_sigma"]) // 10**6
        dollars = (
            dollars[self._below("products.price_cents", rows // 2, 1024)] * (2 + rows % 2) // 2
        )
        self._price = dollars * 100 + 49 + 50 * self._below("products.ending", rows, 2)
        rank = np.argsort(np.argsort(self._u("products.rank", rows)))
        offset, power = Decimal(law["rank_offset"]), Decimal(law["rank_power"])
        wanted = np.array([int(context.power(int(r) + offset, power) * 10**6) for r in rank])
        self._mission_size = 2**32 // len(missions)
        baskets = []
        for mission in missions:
            fits = np.isin(self._category, [categories.index(name) for name in mission])
            baskets.append(scaled(wanted * np.where(fits, law["favoured"], 1), self._mission_size))
        self._baskets = Weighted(np.concatenate(baskets))

    # --- draws

    def _u(self, column: str, rows: Ints) -> Draws:
        return draw(key(self.seed, *column.split("."), 0), rows)

    def _below(self, column: str, rows: Ints, n: int | Ints) -> Ints:
        return below(self._u(column, rows), n)

    def _share(self, percent: str, rows: Ints) -> NDArray[np.bool_]:
        return self._below(f"{percent}.share", rows, 100) < self.law[percent]

    def _moment(self, column: str, first: Ints, rows: Ints) -> tuple[Ints, Ints]:
        """Return day and second of rows shared out to days: a later row is never earlier."""
        day = np.searchsorted(first, rows, side="right") - 1
        place = ((rows - first[day]) << 32) + self._below(column, rows, 2**32)
        place //= first[day + 1] - first[day]
        hour = np.searchsorted(self._hours, place, side="right") - 1
        second = (place - self._hours[hour]) * 3600 // np.diff(self._hours)[hour]
        return day, (OPENS + hour) * 3600 + second

    def _utc(self, day: Ints, second: Any) -> Ints:
        return (self._midnight[day] + second) * MICRO

    def _sale(self, i: Ints) -> dict[str, Ints]:
        """Return what is known of sales from their numbers alone."""
        day, second = self._moment("sales.sold_at", self._sold, i)
        store = self._below("sales.store_id", i, self.stores)
        days = np.array(self.law["lookback_days"])
        back = day - days[self._by["lookback"].pick(self._u("sales.lookback", i))]
        known, since = self._sign_ups[day], self._sign_ups[np.maximum(back, 0)]
        low = self._buyers.before[np.where(since < known, since, 0)]
        place = low + self._below("sales.customer_id", i, self._buyers.before[known] - low)
        walk_in = self._share("walk_in_percent", i) | (known == 0)
        return {
            "sale_id": i,
            "store_id": store,
            "day": day,
            "sold_at": self._utc(day, second),
            "employee_id": store * STAFF + (day - (second >= HANDOVER)) % STAFF,
            "customer_id": np.where(walk_in, NULL, self._buyers.at(place)),
            "size": self._by["basket"].pick(self._u("sales.size", i)) + 1,
        }

    def _line(self, sale: Ints, k: Ints) -> dict[str, Ints]:
        """Return lines from the number of the sale and of the line in it, counted from 0."""
        number = sale * LINES + k
        mission = self._below("sales.mission", sale, len(self.goods["missions"]))
        place = self._below("lines.product_id", number, self._mission_size)
        product = self._baskets.at(mission * self._mission_size + place) % len(self._price)
        quantity = self._by["quantity"].pick(self._u("lines.quantity", number)) + 1
        price = self._price[product]
        gross = quantity * price
        discount = np.where(self._share("discount_percent", number), (gross + 5) // 10, 0)
        net = gross - discount
        return {
            "line_id": number,
            "sale_id": sale,
            "line_number": k + 1,
            "product_id": product,
            "quantity": quantity,
            "unit_price_cents": price,
            "gross_cents": gross,
            "discount_cents": discount,
            "net_cents": net,
            "tax_cents": (net * self.law["tax_per_10_000"] + 5_000) // 10_000,
        }

    def _bill(self, i: Ints) -> dict[str, Ints]:
        """Return sales with their sums."""
        sale = self._sale(i)
        row, k = _each(sale["size"])
        line, first = self._line(i[row], k), np.flatnonzero(k == 0)
        for name in ("gross_cents", "discount_cents", "net_cents", "tax_cents"):
            sale[name] = np.add.reduceat(line[name], first) if len(i) else i
        tip = 100 * (1 + self._below("sales.tip_cents", i, 5))
        sale["tip_cents"] = np.where(self._share("tip_percent", i), tip, 0)
        sale["total_cents"] = sale["net_cents"] + sale["tax_cents"] + sale["tip_cents"]
        sale["parts"] = 1 + self._share("split_percent", i)
        return sale

    # --- tables: row numbers of customers, sales, stores … in, columns out

    def _stores(self, i: Ints) -> Columns:
        return {
            "store_id": i,
            "name": i,
            **self._place("stores", i),
            "phone": self._phone("stores", i),
            "time_zone": i * 0,
        }

    def _employees(self, i: Ints) -> Columns:
        first, last = (
            self._below(f"employees.{name}", i, 4_000) for name in ("first_name", "last_name")
        )
        return {
            "employee_id": i,
            "store_id": i // STAFF,
            "first_name": first,
            "last_name": last,
            "email": self._email("e", i, first, last),
            "phone": self._phone("employees", i),
            "role": i % STAFF,
            "hired_on": self._epoch_day
            + self._first_day
            - 30
            - self._below("employees.hired_on", i, 2_000),
            "hourly_pay_cents": 1_600
            + 25 * self._below("employees.hourly_pay_cents", i, 25)
            + 700 * (i % STAFF == 0),
        }

    def _shifts(self, i: Ints) -> Columns:
        i = i[self._open[self._first_day + i // self.stores]]
        row, late = _each(np.full(len(i), 2))
        day, store = self._first_day + i[row] // self.stores, i[row] % self.stores
        return {
            "shift_id": i[row] * 2 + late,
            "employee_id": store * STAFF + (day - late) % STAFF,
            "store_id": store,
            "starts_at": self._utc(day, np.where(late, HANDOVER, MORNING)),
            "ends_at": self._utc(day, np.where(late, NIGHT, HANDOVER)),
        }

    def _suppliers(self, i: Ints) -> Columns:
        return {
            "supplier_id": i,
            "name": self._below("suppliers.name", i, 300),
            "email": self._email("orders", i),
            "phone": self._phone("suppliers", i),
            **self._place("suppliers", i),
        }

    def _categories(self, i: Ints) -> Columns:
        return {"category_id": i, "name": i}

    def _products(self, i: Ints) -> Columns:
        codes = [
            f"200{p:05d}{digits:04d}"
            for p, digits in zip(i, self._below("products.barcode", i, 10**4), strict=True)
        ]
        checks = [
            -sum(int(d) * (1 + 2 * (n % 2)) for n, d in enumerate(code)) % 10 for code in codes
        ]
        return {
            "product_id": i,
            "category_id": self._category[i],
            "name": i,
            "price_cents": self._price[i],
            "supplier_id": self._below(
                "products.supplier_id", self._category[i], self.law["suppliers"]
            ),
            "sku": pa.array([f"{self._category[p] + 1:02d}-{p:04d}" for p in i], pa.string()),
            "barcode": pa.array(
                [f"{code}{check}" for code, check in zip(codes, checks, strict=True)], pa.string()
            ),
            "cost_cents": self._price[i] * (45 + self._below("products.cost_cents", i, 20)) // 100,
            "opening_stock": 20 + self._below("products.opening_stock", i, 41),
        }

    def _customers(self, i: Ints) -> Columns:
        first, home = self._below("customers.first_name", i, 4_000), self._home(i)
        last = self._below("customers.last_name", home, 4_000)
        contact = self._by["contacts"].pick(self._u("customers.contact", i))
        created = self._utc(*self._moment("customers.created_at", self._sign_ups, i))
        has_email, has_phone = (contact == 1) | (contact == 2), contact < 2
        born = self._below("customers.birthday", i, 23_700) - 10_957  # 1940 to 2004
        return {
            "customer_id": i,
            "first_name": first,
            "last_name": last,
            "email": self._email("c", i, first, last, has_email),
            "phone": np.where(has_phone, self._phone("customers", i), NULL),
            "birthday": np.where(self._share("birthday_percent", i), born, NULL),
            "company": np.where(
                self._share("company_percent", i), self._below("customers.company", i, 300), NULL
            ),
            "accepts_email": self._consent("email", i, created, has_email)[1],
            "accepts_sms": self._consent("sms", i, created, has_phone)[1],
            "note": np.where(
                self._share("note_percent", i),
                self._below("customers.note", i, len(self._lists["notes"])),
                NULL,
            ),
            "created_at": created,
            "has_email": has_email,
            "has_phone": has_phone,
        }

    def _addresses(self, i: Ints) -> Columns:
        has = np.stack(
            [
                self._below("addresses.home", i, 10) < 7,
                self._below("addresses.delivery", i, 20) < 3,
            ],
            axis=1,
        )
        row, kind = np.nonzero(has)
        where = np.where(
            kind == 0, self._home(i[row]) * 2, i[row] * 2 + 1
        )  # a household has one home
        return {
            "address_id": i[row] * 2 + kind,
            "customer_id": i[row],
            "kind": kind,
            **self._place("addresses", where),
        }

    def _consents(self, i: Ints) -> Columns:
        who = self._customers(i)
        email = self._consent("email", i, who["created_at"], who["has_email"])[0]
        sms = self._consent("sms", i, who["created_at"], who["has_phone"])[0]
        times = np.stack(email + sms, axis=1)
        row, step = np.nonzero(times != NULL)
        number, at = i[row] * 6 + step, times[row, step]
        changed = (
            int(self._midnight[(self.law["new_wording"] - self.law["first_sign_up"]).days]) * MICRO
        )
        return {
            "consent_id": number,
            "customer_id": i[row],
            "channel": step // 3,
            "purpose": step * 0,
            "event": step % 3,
            "wording": (who["created_at"][row] >= changed).astype(np.int64),
            "source": self._below("consents.source", number, 3),
            "happened_at": at,
        }

    def _loyalty(self, i: Ints) -> Columns:
        order, begin, points, _ = self._totals
        sale = order[begin[i[0]] : begin[i[-1] + 1]]
        customer = np.repeat(i, begin[i + 1] - begin[i])
        earned = np.cumsum(points[sale])
        first = np.searchsorted(customer, customer)  # of each customer
        had = earned - points[sale] - (earned - points[sale])[first]
        spent = had // 500 * 500 * (self._below("loyalty.spends", customer, 10) < 6)
        spends = np.diff(spent, prepend=0)
        spends[first] = 0
        both = np.stack([-spends, points[sale]], axis=1)
        row, kind = np.nonzero(both)
        return {
            "entry_id": sale[row] * 2 + kind,
            "customer_id": customer[row],
            "sale_id": sale[row],
            "kind": kind,
            "points": both[row, kind],
            "happened_at": self._sale(sale[row])["sold_at"],
        }

    def _sales(self, i: Ints) -> Columns:
        return self._bill(i)

    def _lines(self, i: Ints) -> Columns:
        row, k = _each(self._by["basket"].pick(self._u("sales.size", i)) + 1)
        return self._line(i[row], k)

    def _payments(self, i: Ints) -> Columns:
        bill = self._bill(i)
        row, part = _each(bill["parts"])
        sale, total, split = i[row], bill["total_cents"][row], bill["parts"][row] == 2
        cash = total * (20 + self._below("payments.cash", sale, 60)) // 100
        card = np.where(split, part == 1, self._share("card_percent", sale))
        who = bill["customer_id"][row]
        wallet = np.where(
            who == NULL,
            2 * MOST_CUSTOMERS + sale,
            2 * who + (self._below("payments.second", sale, 5) == 0),
        )
        return {
            "payment_id": sale * 2 + part,
            "sale_id": sale,
            "method": card.astype(np.int64),
            "card_brand": np.where(
                card, self._by["brands"].pick(self._u("cards.brand", wallet)), NULL
            ),
            "card_last4": np.where(card, self._below("cards.last4", wallet, 10_000), NULL),
            "card_token": np.where(card, self._u("cards.token", wallet).astype(np.int64), NULL),
            "amount_cents": np.where(split, np.where(part, total - cash, cash), total),
            "paid_at": bill["sold_at"][row],
        }

    def _refunds(self, i: Ints) -> Columns:
        i = i[self._share("refund_percent", i) & ~self._share("split_percent", i)]
        day = self._sale(i)["day"] + 1 + self._below("refunds.day", i, 21)
        day = np.minimum(day + ~self._open[np.minimum(day, len(self._open) - 1)], len(self._open))
        i, day = i[day < len(self._open)], day[day < len(self._open)]
        sale = self._sale(i)
        line = self._line(i, self._below("refunds.line_id", i, sale["size"]))
        return line | {
            "refund_id": i,
            "payment_id": i * 2,
            "amount_cents": line["net_cents"] + line["tax_cents"],
            "reason": self._below("refunds.reason", i, 5),
            "store_id": sale["store_id"],
            "refunded_at": self._utc(
                day, OPENS * 3600 + self._below("refunds.refunded_at", i, 13 * 3600)
            ),
        }

    def _stock_moves(self, i: Ints) -> Columns:
        weeks, sales = i[i < self._weeks], i[i >= self._weeks] - self._weeks
        line, back, sums = self._lines(sales), self._refunds(sales), self._totals[3]
        covered = -(-sums // self.law["pack"]) * self.law["pack"]
        brought = np.diff(covered, axis=0, prepend=0)[weeks]
        every = (
            np.arange(brought.size).reshape(brought.shape)
            + (int(weeks[0]) if len(weeks) else 0) * brought[:1].size
        )
        count = (self._below("stock_moves.count", every.ravel(), 20) < 2).reshape(every.shape) * (
            weeks % 13 == 12
        )[:, None, None]
        parts = []
        for kind, quantity, hour in ((0, brought, 6), (1, -1 * count, 7)):
            week, store, product = np.nonzero(quantity)
            parts.append(
                (
                    every[week, store, product] * 4 + kind,
                    product,
                    store,
                    NULL + 0 * week,
                    kind + 0 * week,
                    quantity[week, store, product],
                    self._utc(self._first_day + 7 * weeks[week], hour * 3600),
                )
            )
        facts = self._sale(sales)
        row = np.repeat(np.arange(len(sales)), facts["size"])
        parts.append(
            (
                line["line_id"] * 4 + 2,
                line["product_id"],
                facts["store_id"][row],
                line["sale_id"],
                2 + 0 * row,
                -line["quantity"],
                facts["sold_at"][row],
            )
        )
        parts.append(
            (
                back["refund_id"] * 4 + 3,
                back["product_id"],
                back["store_id"],
                back["sale_id"],
                3 + 0 * back["sale_id"],
                back["quantity"],
                back["refunded_at"],
            )
        )
        names = ("move_id", "product_id", "store_id", "sale_id", "kind", "quantity", "moved_at")
        return dict(
            zip(names, (np.concatenate(column) for column in zip(*parts, strict=True)), strict=True)
        )

    def _privacy_requests(self, i: Ints) -> Columns:
        who = _shuffled(i, self.customers, self.seed % self.customers)
        created = self._customers(who)["created_at"]
        kind = self._below("privacy_requests.kind", i, 4)
        received = (
            created
            + self._below("privacy_requests.received_at", i, (self._end - created) // MICRO) * MICRO
        )
        answered = received + (1 + self._below("privacy_requests.answered_at", i, 40 * DAY)) * MICRO
        done = answered < self._end
        refused = (kind == 1) | (
            self._below("privacy_requests.status", i, 20) == 0
        )  # a deleted customer would be gone
        return {
            "request_id": i,
            "customer_id": who,
            "kind": kind,
            "status": np.where(done, 1 + refused, 0),
            "received_at": received,
            "answered_at": np.where(done, answered, NULL),
        }

    # --- parts of tables

    def _place(self, table: str, i: Ints) -> Columns:
        place = self._below(f"{table}.place", i, 1_000)
        street = (
            self._below(f"{table}.street", i, 4_000) * 1_000
            + 1
            + self._below(f"{table}.house", i, 240)
        )
        return {
            "street": street,
            "city": place,
            "region": place,
            "postcode": place,
            "country": i * 0,
        }

    def _phone(self, table: str, i: Ints) -> Ints:
        """Return numbers nobody has: fiction ranges first, then area codes that cannot be given out."""
        i, safe = i + CONTACTS[table], np.zeros(0, np.int64)
        if self.country == "US":
            codes = np.array(_read("places")["area_codes"])
            safe = (10_005_550_100 + codes[:, None] * 10**7 + np.arange(100)).ravel()
        elif self.country == "GB":
            safe = (np.array(_read("places")["uk_drama"])[:, None] + np.arange(1_000)).ravel()
        n = _shuffled(i, 640_000_000, self.seed % 640_000_000)
        area = (2 + n // 80_000_000) * 100 + 90 + n // 8_000_000 % 10
        number = 10**10 + area * 10**7 + (200 + n // 10_000 % 800) * 10_000 + n % 10_000
        few = np.flatnonzero(i < len(safe))
        if few.size:
            number[few] = safe[_shuffled(i[few], len(safe), self.seed % len(safe))]
        return number

    def _email(
        self,
        tag: str,
        i: Ints,
        first: Ints | None = None,
        last: Ints | None = None,
        has: Any = None,
    ) -> pa.Array:
        rows = np.arange(len(i)) if has is None else np.flatnonzero(has)
        local = _joined(tag, pa.array(i[rows]).cast(pa.string()))
        if first is not None and last is not None and self._plain:
            names = (
                self._lists[f"{kind}_ascii"].take(pa.array(of[rows]))
                for kind, of in (("first", first), ("last", last))
            )
            local = pc.binary_join_element_wise(*names, local, ".")
        ends = pa.array(["@example.com", "@example.net", "@example.org"])
        text = _joined(local, ends.take(pa.array(self._below(f"email.{tag}", i[rows], 3))))
        if has is None:
            return text
        return text.take(pa.array(np.cumsum(has) - 1, mask=~has))

    def _home(self, i: Ints) -> Ints:
        """Return the row whose last name and address count: some neighbours in the list live together."""
        return np.where(self._below("customers.household", i // 2, 100) < 15, i // 2 * 2, i)

    def _consent(self, channel: str, i: Ints, created: Ints, has: Any) -> tuple[list[Ints], Any]:
        """Return when a consent was given, confirmed and withdrawn, and whether it stands."""
        name = f"consents.{channel}"
        given = has & (self._below(f"{name}.given", i, 100) < 60)
        confirmed_at = created + (60 + self._below(f"{name}.after", i, 2 * DAY)) * MICRO
        confirmed = (
            given & (self._below(f"{name}.confirmed", i, 100) < 85) & (confirmed_at < self._end)
        )
        withdrawn_at = confirmed_at + (DAY + self._below(f"{name}.lasts", i, 700 * DAY)) * MICRO
        withdrawn = (
            confirmed & (self._below(f"{name}.withdrawn", i, 100) < 25) & (withdrawn_at < self._end)
        )
        events = ((given, created), (confirmed, confirmed_at), (withdrawn, withdrawn_at))
        return [np.where(flag, at, NULL) for flag, at in events], confirmed & ~withdrawn

    @functools.cached_property
    def _totals(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Return sales by customer, where each customer's begin, points, and pieces sold up to each week."""
        customer, points = np.empty(self.sales, np.int32), np.empty(self.sales, np.int32)
        pieces = np.zeros((self._weeks, self.stores, len(self._price)), np.int32)
        for start in range(0, self.sales, 65_536):
            i = np.arange(start, min(start + 65_536, self.sales))
            sale = self._sale(i)
            row, k = _each(sale["size"])
            line = self._line(i[row], k)
            week = (sale["day"] - self._first_day)[row] // 7
            np.add.at(pieces, (week, sale["store_id"][row], line["product_id"]), line["quantity"])
            points[i] = np.add.reduceat(line["net_cents"], np.flatnonzero(k == 0)) // 100
            customer[i] = np.where(sale["customer_id"] == NULL, -1, sale["customer_id"])
        order = np.argsort(customer, kind="stable")
        begin = np.searchsorted(customer[order], np.arange(self.customers + 1))
        return order, begin, points.astype(np.int64), np.cumsum(pieces, axis=0)

    # --- out

    def _array(self, kind: str, values: Any) -> pa.Array:
        """Write whole numbers as their type says; `NULL` becomes null."""
        if isinstance(values, pa.Array):
            return values
        what, _, of = kind.partition(" ")
        null = values == NULL
        if what in ("word", "pool"):
            return self._lists[of].take(pa.array(values, mask=null))
        if what == "street":
            name = self._lists["street"].take(pa.array(values // 1_000))
            number = pa.array(values % 1_000).cast(pa.string())
            first = self.locale[:2] in _read("places")["number_first"]
            return pc.binary_join_element_wise(*((number, name) if first else (name, number)), " ")
        if what == "phone":
            return _joined("+", pa.array(values, mask=null).cast(pa.string()))
        if what in ("id", "digits"):
            text = ids(of + "_", values) if what == "id" else ids("", values, int(of))
        elif what == "token":
            letters = 97 + (values[:, None] >> np.arange(0, 64, 4) & 15)
            text = _joined("tok_", _text(letters.astype(np.uint8)))
        elif what == "date":
            return pa.array(np.where(null, 0, values).astype(np.int32), pa.date32(), mask=null)
        else:
            return pa.array(values, ARROW[what], mask=null)
        return pc.if_else(null, None, text) if null.any() else text

    def schema(self, name: str) -> pa.Schema:
        """Return names and types of one table's columns."""
        if name not in self.tables:
            raise UnknownTable(f"the shop has no table {name!r}; it has {', '.join(self.tables)}")
        kinds = _read("tables")[name].items()
        return pa.schema([(column, ARROW.get(kind, pa.string())) for column, kind in kinds])

    def batches(self, name: str, *, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """Make one table in pieces of about *rows* rows; the values do not depend on *rows*."""
        schema, make, kinds = self.schema(name), getattr(self, f"_{name}"), _read("tables")[name]
        if rows < 1:
            raise BadSize("a batch has at least one row; give a larger number")
        done, step = 0, max(1, rows // UNIT_ROWS.get(name, 1))
        for start in range(0, self._units[name], step):
            columns = make(np.arange(start, min(start + step, self._units[name])))
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
        """Count one table's rows; it is made for that, unless it was made before or has one row for each unit."""
        if name not in self._rows:
            for _ in self.batches(name):
                pass
        return self._rows[name]

    def manifest(self) -> dict[str, Any]:
        """Return what it takes to make this shop again, and how many rows it has."""
        return {
            "version": VERSION,
            "faker": faker.VERSION,
            "seed": self.seed,
            "locale": self.locale,
            "customers": self.customers,
            "end": self.law["end"].isoformat(),
            "pools": self.pools.sha256,
            "rows": {name: self.rows(name) for name in self.tables},
        }


def stream(
    folder: Path,
    lines: int = 10_000_000,
    *,
    seed: int = 42,
    locale: str = "en_US",
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Write sale lines to Parquet, piece by piece."""
    shop = Shop(-int(-lines // LINES_PER_CUSTOMER), seed=seed, locale=locale)
    folder.mkdir(parents=True, exist_ok=True)
    path, done = folder / "lines.parquet", 0
    with pq.ParquetWriter(
        path, shop.schema("lines"), compression="zstd", compression_level=1
    ) as out:
        for batch in shop.batches("lines"):
            out.write_batch(batch)
            done += batch.num_rows
            if progress:
                progress(done, lines)
    return path
