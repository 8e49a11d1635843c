"""A shop with three customers, for the tests of trash, retention and erasure."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from kit import encrypt, inventory, rows, schema, store, trash

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
INVENTORY = inventory.Inventory.default()
PROTECT = {name: field.protect for name, field in INVENTORY.fields.items()}
PEOPLE = {"customers", "addresses", "consents", "loyalty", "privacy_requests", "employees"}
PEOPLE |= {"sales", "lines", "payments", "refunds"}
KEEP = {name: f.keep for name, f in INVENTORY.fields.items() if f.table in PEOPLE}


@dataclass(frozen=True)
class Key:
    """One key, always the same."""

    id: int = 7
    secret: bytes = bytes(range(32))


class Keys:
    """A keyring of one key."""

    def primary(self, purpose):
        """Return it."""
        return Key()

    def find(self, purpose, key_id):
        """Return it."""
        return Key()


CIPHER = encrypt.Cipher(Keys())


def ago(days=0, years=0):
    """Return a time before `NOW`."""
    return NOW.replace(year=NOW.year - years) - timedelta(days=days)


def tables():
    """Return the shop's tables, the trash among them."""
    made = schema.metadata(PROTECT)
    trash.table(made)
    return made


def opened(url, made):
    """Make the database and return its engine."""
    engine = store.connect(url, wait_s=0)
    store.create(engine, made)
    return engine


def add(connection, made, name, cells):
    """Add rows, sealing what the inventory wants sealed."""
    table = made.tables[name]
    (key,) = table.primary_key.columns
    ready = []
    for row in cells:
        new = dict(row)
        for column, value in row.items():
            if isinstance(table.c[column].type, sa.LargeBinary) and value is not None:
                place = f"{name}.{column}.{row[key.name]}"
                new[column] = CIPHER.seal(value, context=place)
                if f"{column}_index" in table.c:
                    new |= {f"{column}_index": hash(value) % 2**31, f"{column}_index_key": 9}
        ready.append(new)
    rows.load(connection, table, [ready])


def fill(connection, made):
    """Add Ana, who bought this week, Ben, five years ago, and Cleo, who never did."""
    add(connection, made, "stores", [{"store_id": "sto_1", "name": "Corner"}])
    add(connection, made, "employees", [{"employee_id": "emp_1", "store_id": "sto_1"}])
    add(connection, made, "products", [{"product_id": "pro_1", "name": "Tulips"}])
    people = [("cus_1", "Ana", 6, 3), ("cus_2", "Ben", 6, 0), ("cus_3", "Cleo", 2, 0)]
    add(
        connection,
        made,
        "customers",
        [
            {
                "customer_id": number,
                "first_name": name,
                "email": f"{name.lower()}@example.com",
                "phone": "+12125550143",
                "note": f"{name} rings the side bell",
                "accepts_email": points > 0,
                "created_at": ago(years=years),
                "loyalty_points": points,
            }
            for number, name, years, points in people
        ],
    )
    add(
        connection,
        made,
        "addresses",
        [
            {"address_id": f"adr_{n}", "customer_id": f"cus_{n}", "street": f"{n} Elm Street"}
            for n in (1, 2, 3)
        ],
    )
    said = [(1, 1, "given", 6), (2, 2, "given", 6), (3, 2, "withdrawn", 5)]
    add(
        connection,
        made,
        "consents",
        [
            {
                "consent_id": f"con_{n}",
                "customer_id": f"cus_{who}",
                "channel": "email",
                "purpose": "marketing",
                "event": event,
                "happened_at": ago(years=years),
            }
            for n, who, event, years in said
        ],
    )
    sold = [(1, 1, ago(days=2)), (2, 1, ago(years=2)), (3, 2, ago(days=2, years=3))]
    for n, who, at in [*sold, (4, None, ago(days=2)), (5, 2, ago(days=2, years=5))]:
        sale(connection, made, n, who, at)
    asked = [("req_1", "cus_2", 4, ago(years=4)), ("req_2", "cus_1", 1, ago(years=1))]
    add(
        connection,
        made,
        "privacy_requests",
        [
            {"request_id": n, "customer_id": who, "received_at": ago(years=y), "answered_at": at}
            for n, who, y, at in asked
        ],
    )


def sale(connection, made, n, who, at, cents=1_000):
    """Add a sale with a line, a payment and, if somebody bought, a point."""
    customer = who and f"cus_{who}"
    add(
        connection,
        made,
        "sales",
        [
            {
                "sale_id": f"sal_{n}",
                "store_id": "sto_1",
                "employee_id": "emp_1",
                "customer_id": customer,
                "sold_at": at,
                "total_cents": cents,
                "note": f"card {n}: with love",
            }
        ],
    )
    line = {"line_id": f"lin_{n}", "sale_id": f"sal_{n}", "product_id": "pro_1", "net_cents": cents}
    add(connection, made, "lines", [line])
    paid = {"payment_id": f"pay_{n}", "sale_id": f"sal_{n}", "amount_cents": cents}
    add(connection, made, "payments", [paid | {"card_last4": "4242", "card_token": f"tok_{n}"}])
    if customer:
        point = {"entry_id": f"poi_{n}", "customer_id": customer, "sale_id": f"sal_{n}"}
        add(connection, made, "loyalty", [point | {"points": 7, "happened_at": at}])


@contextmanager
def reading(source):
    """Take an engine or a connection; give a connection."""
    if isinstance(source, sa.Connection):
        yield source
    else:
        with source.begin() as connection:
            yield connection


def snapshot(source, made):
    """Return every row of every table."""
    with reading(source) as connection:
        return {
            name: sorted(map(repr, connection.execute(sa.select(table)).mappings()))
            for name, table in made.tables.items()
        }


def totals(source, made):
    """Return what was sold by month."""
    sales = made.tables["sales"]
    sums = {}
    with reading(source) as connection:
        for at, cents in connection.execute(sa.select(sales.c.sold_at, sales.c.total_cents)):
            month = at.strftime("%Y-%m")
            sums[month] = sums.get(month, 0) + cents
    return sums
