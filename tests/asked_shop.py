"""A shop in which customers ask, for the tests of what is on top of the tools for requests."""

from __future__ import annotations

import io
import json
import zipfile

import sqlalchemy as sa
from real_shop import NOW, content

from kit import agefile, answering, asking, disclose, gathering, legal, rows

LAWS = legal.Book()
ME = {"actor": "owner", "now": NOW}
ASKED = {"laws": LAWS, "channel": "email", "received": NOW, "place": "US-CA"}
IDENTITY, RECIPIENT = agefile.new_identity()  # the customer's own key
SIGNED = "binder 3, sheet 7"


def buyer(shop):
    """Return the customer with an e-mail address, a telephone and the most sales."""
    found = content(shop)
    sales = [row["customer_id"] for row in found["sales"]]
    known = [row for row in found["customers"] if row["email"] and row["phone"]]
    return max(known, key=lambda row: sales.count(row["customer_id"]))


def open_request(shop, text, kind="know", **change):
    """Take in a request; return its number."""
    return disclose.open_request(shop, text, kind, **{**ASKED, **ME, **change}).request.request_id


def answers(shop, number, wrong=()):
    """Return what the customer would answer, some of it wrong."""
    asked = asking.questions(shop, number, laws=LAWS, **ME)
    with shop.reading() as connection:
        known = asking.held(shop, connection, disclose.customer_of(shop, connection, number)) or {}
    said = {}
    for point in asked:
        value = known.get(point.name)
        value = value[0] if isinstance(value, list) else value
        value = f"{value:%Y-%m}" if hasattr(value, "strftime") else value
        said[point.name] = "croissant 99999" if point.name in wrong else str(value)
    return said


def verified(shop, text, kind="know", **change):
    """Take in a request and verify it; return its number."""
    number = open_request(shop, text, kind, **change)
    verify(shop, number, answers(shop, number))
    return number


def verify(shop, number, said, **change):
    """Verify with a signed declaration."""
    return asking.verify(
        shop, number, said, **{"declaration": SIGNED, "laws": LAWS, **ME, **change}
    )


def request(shop, number):
    """Return where a request stands."""
    with shop.reading() as connection:
        return disclose.get(connection, number)


def unsealed(answered, folder):
    """Open a package as the customer would; return its files."""
    target = folder / "opened.zip"
    target.unlink(missing_ok=True)
    by = {"passphrase": answered.words} if answered.words else {"identities": [IDENTITY]}
    agefile.unseal_file(answered.path, target, **by)
    with zipfile.ZipFile(io.BytesIO(target.read_bytes())) as opened:
        return {info.filename: opened.read(info) for info in opened.infolist()}


def data(files):
    """Return what the JSON of a package tells."""
    return json.loads(files["your-data.json"])["data"]


def access(shop, number, **change):
    """Make the package, for the customer's own key: a passphrase takes seconds of work."""
    return answering.access(shop, number, **{"laws": LAWS, "recipient": RECIPIENT, **ME, **change})


def held(shop, customer):
    """Return all rows about a customer."""
    with shop.reading() as connection:
        return gathering.gather(shop, connection, customer)


def put(shop, table, row):
    """Add a row, sealed as the inventory says."""
    made = shop.tables.tables[table]
    key = row[next(iter(made.primary_key)).name]
    cells = shop.seal(table, {name: [value] for name, value in row.items()}, [key])
    with shop.writing("owner", NOW) as connection:
        rows.add(connection, made, {name: value[0] for name, value in cells.items()})


def change(shop, table, key, **cells):
    """Change a row behind everybody's back; sealed as the inventory says."""
    made = shop.tables.tables[table]
    sealed = shop.seal(table, {name: [value] for name, value in cells.items()}, [key])
    with shop.writing("owner", NOW) as connection:
        one = next(iter(made.primary_key)) == key
        connection.execute(sa.update(made).where(one).values({n: v[0] for n, v in sealed.items()}))
