"""An access package for one customer among a million, who bought ten million lines between them.

Run with `python3 start.py bench disclose`, or this file alone; it takes some minutes and 3 GB of
disk to make the shop. The goal: from the request's number to the sealed package in one second.
Beside it stands what one would write instead: a few queries and `json.dumps`, which leaves out
nothing, searches nothing and seals nothing. A smaller shop: `bench_disclose.py 20000`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from kit import agefile, answering, asking, disclose, law, legal
from kit.shop import Shop

CUSTOMERS = 1_000_000
SALES_EACH, LINES_EACH = 2, 5  # ten lines a customer
PRODUCTS = 500
RUNS = 5
GOAL_S = 1.0
AT_ONCE = 50_000
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
WORDS = "ocean-teapot-violin-candle-marble-tunnel"
TABLES = ("customers", "addresses", "sales", "lines", "payments")


def batches(count: int) -> Iterator[range]:
    """Yield ranges of customers."""
    for start in range(0, count, AT_ONCE):
        yield range(start, min(start + AT_ONCE, count))


def fill(shop: Shop, count: int) -> None:
    """Load the shop, sealed as always, in the driver's own loop."""
    tables = shop.tables.tables
    with shop.writing("owner", NOW) as connection:
        connection.execute(sa.insert(tables["stores"]), [{"store_id": "sto_1", "name": "Corner"}])
        goods = [{"product_id": f"p{n}", "name": f"Loaf number {n}"} for n in range(PRODUCTS)]
        connection.execute(sa.insert(tables["products"]), goods)
    for some in batches(count):
        with shop.writing("owner", NOW) as connection:
            add(shop, connection, some)


def add(shop: Shop, connection: sa.Connection, some: range) -> None:
    """Add some customers with all that hangs on them."""

    def load(table: str, columns: str, rows: Iterator[tuple[object, ...]]) -> None:
        marks = ", ".join("?" * len(columns.split(",")))
        insert = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 (our names)
        connection.exec_driver_sql(insert, list(rows))

    ids = [f"c{n}" for n in some]
    cells = {
        "email": [f"person{n}@example.com" for n in some],
        "phone": [f"+1{200 + n // 100 % 800}5550{n % 100 + 100}" for n in some],
        "note": ["orders every Friday"] * len(ids),
    }
    sealed = shop.seal("customers", cells, ids)
    columns = f"customer_id,first_name,last_name,loyalty_points,{','.join(sealed)}"
    people = ((f"c{n}", f"Ana{n}", f"Example{n}", n) for n in some)
    load(
        "customers",
        columns,
        (p + row for p, row in zip(people, zip(*sealed.values(), strict=False), strict=False)),
    )
    streets = {"street": [f"{n} Elm Street" for n in some], "postcode": ["10001"] * len(ids)}
    homes = shop.seal("addresses", streets, [f"a{n}" for n in some])
    columns = f"address_id,customer_id,region,country,{','.join(homes)}"
    where = ((f"a{n}", f"c{n}", "NY", "US") for n in some)
    load(
        "addresses",
        columns,
        (w + row for w, row in zip(where, zip(*homes.values(), strict=False), strict=False)),
    )
    sales = [(n, k, n * SALES_EACH + k) for n in some for k in range(SALES_EACH)]
    load(
        "sales",
        "sale_id,store_id,customer_id,sold_at,net_cents,total_cents,currency",
        (
            (f"s{s}", "sto_1", f"c{n}", f"2026-{k % 12 + 1:02}-11T10:00:00.000000Z", s, s, "USD")
            for n, k, s in sales
        ),
    )
    paid = ((f"y{s}", f"s{s}", "card", "4242", s) for _, _, s in sales)
    load("payments", "payment_id,sale_id,method,card_last4,amount_cents", paid)
    load(
        "lines",
        "line_id,sale_id,product_id,quantity,net_cents",
        (
            (f"l{s}-{k}", f"s{s}", f"p{(s + k) % PRODUCTS}", 1, 499)
            for _, _, s in sales
            for k in range(LINES_EACH)
        ),
    )


def instead(shop: Shop, customer: str) -> str:
    """Return what a few lines of one's own would give: rows as JSON, no more."""
    tables = shop.tables.tables
    sales = sa.select(tables["sales"].c.sale_id).filter_by(customer_id=customer)
    told = {}
    with shop.engine.connect() as connection:
        for name in TABLES:
            table = tables[name]
            mine = (
                table.c.customer_id == customer
                if "customer_id" in table.c
                else table.c.sale_id.in_(sales)
            )
            found = connection.execute(sa.select(table).where(mine)).mappings()
            told[name] = [dict(row) for row in found]
    return json.dumps(told, default=str, indent=2)


def timed(work: Callable[[], object]) -> float:
    """Return seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ready(shop: Shop, laws: legal.Book, number: int) -> str:
    """Take in and verify a request."""
    ask = {"channel": "email", "received": NOW, "actor": "owner", "now": NOW, "laws": laws}
    opened = disclose.open_request(shop, f"person{number}@example.com", "know", **ask)
    by = {"actor": "owner", "now": NOW, "laws": laws}
    asking.verify(shop, opened.request.request_id, None, **by)
    return opened.request.request_id


def main() -> int:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CUSTOMERS
    laws, (_, recipient) = legal.Book(), agefile.new_identity()
    loading = min(timed(legal.Book) for _ in range(RUNS))
    texts = [path.read_text(encoding="utf-8") for path in law.FACTS.glob("*.toml")]
    parsing = min(timed(lambda: [tomllib.loads(text) for text in texts]) for _ in range(RUNS))
    print(f"all laws, loaded: {loading:.3f} s = {loading / parsing:.2f} x reading the TOML alone")
    with tempfile.TemporaryDirectory(prefix="kit-bench-") as folder:
        more = {"name": "Corner", "time_zone": "America/New_York", "now": NOW}
        with Shop.init(Path(folder) / "shop", WORDS, **more) as shop:
            took = timed(lambda: fill(shop, count))
            lines = count * SALES_EACH * LINES_EACH
            print(f"shop: {count:,} customers, {lines:,} lines, made in {took:.0f} s")
            wanted = [count * k // RUNS + 3 for k in range(RUNS)]
            opening = [timed(lambda n=n: ready(shop, laws, n)) for n in wanted]
            found = [one.request_id for one in disclose.listed(shop)]
            with shop.reading() as connection:
                who = [disclose.customer_of(shop, connection, number) for number in found]
            by = {"laws": laws, "recipient": recipient, "actor": "owner", "now": NOW}
            packing = [timed(lambda n=n: answering.access(shop, n, **by)) for n in found]
            plainly = [timed(lambda c=c: instead(shop, c)) for c in who]
            number = ready(shop, laws, 7)
            late = by | {"recipient": "", "now": NOW + timedelta(minutes=1)}
            with_words = timed(lambda: answering.access(shop, number, **late))
    middle, plain = statistics.median(packing), statistics.median(plainly)
    print(f"find, take in, verify: {statistics.median(opening):.3f} s")
    print(f"package, sealed for a key: {middle:.3f} s = {middle / GOAL_S:.2f} x the goal of 1 s")
    print(
        f"  queries and json.dumps alone: {plain:.3f} s; the package takes {middle / plain:.1f} x"
    )
    print(f"package with a passphrase: {with_words:.3f} s, most of it scrypt, which age makes")
    print("  take a second or more on any machine: as much for each word that somebody guesses")
    return 0 if middle <= GOAL_S else 1


if __name__ == "__main__":
    sys.exit(main())
