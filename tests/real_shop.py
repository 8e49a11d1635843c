"""A real shop's folder and real exports of made-up tills, for the tests of what is on top."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from kit import history, imports, practice, rows, store
from kit.keyfile import BOUNDS, Passphrase
from kit.shop import SETTINGS, Shop

WORDS = "ocean-teapot-violin-candle-marble-tunnel"
CHEAPEST = {name: least for name, (least, _) in BOUNDS.items() if name != "v"}
ZONE = "America/New_York"
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(days=7)
CUSTOMERS = 40
KEPT = tempfile.mkdtemp(prefix="kit-tests-")
atexit.register(shutil.rmtree, KEPT, ignore_errors=True)


@functools.cache
def template():
    """Make a shop's folder once; its passphrase is quick to try."""
    folder = Path(KEPT) / "shop"
    with Shop.init(folder, WORDS, name="Corner Flowers", time_zone=ZONE, now=NOW) as shop:
        shop.keyring.store.change_passphrase(Passphrase(WORDS, **CHEAPEST))
        shop.expect_generation()
    hire(folder)
    return folder


def hire(folder):
    """Write the staff into a shop's settings."""
    staff = {"max": "manager", "sam": "cashier", "mia": "marketer", "tom": "trainer"}
    with (folder / SETTINGS).open("a", encoding="utf-8") as file:
        file.writelines(f'{name} = "{role}"\n' for name, role in staff.items())


def make(folder, url=None):
    """Return an open shop of its own, in SQLite or in the empty PostgreSQL database at *url*."""
    if url is None:
        shutil.copytree(template(), folder)
    else:
        url = url.replace(":@", "@")  # an empty password is one, too
        more = {"name": "Corner Flowers", "time_zone": ZONE, "now": NOW, "database_url": url}
        Shop.init(folder, WORDS, **more).close()
        hire(folder)
    return Shop.open(folder, WORDS)


def exports(till, customers=CUSTOMERS):
    """Return a till's exports of a made-up shop, by their names."""
    folder = Path(KEPT) / f"{till}-{customers}"
    if not folder.exists():
        practice.make_shop(folder, customers, till=till)
    return {path.stem.removeprefix(f"{till}_"): path for path in sorted(folder.iterdir())}


@functools.cache
def made_up(customers):
    """Return the made-up shop that they are of."""
    shop = practice.made_up(customers)
    return {name: shop.table(name) for name in shop.tables}


def filled(folder, url=None):
    """Return a shop with Square's customers and sales."""
    if url is None:
        shutil.copytree(filled_template(), folder)
        return Shop.open(folder, WORDS)
    return fill(make(folder, url))


@functools.cache
def filled_template():
    """Make such a shop's folder once."""
    with fill(make(Path(KEPT) / "filled")) as shop:
        return shop.folder


def fill(shop):
    """Import Square's customers and sales."""
    for name in ("customers", "items"):
        taken(shop, exports("square")[name])
    return shop


def taken(shop, path, *, actor="owner", now=NOW, **more):
    """Import a file."""
    return imports.import_file(shop, path, actor=actor, now=now, **more)


def content(shop, *, leave_out=("kit_audit", "kit_imports", "kit_checkpoints")):
    """Return all that the database holds, opened; without the log of what was done."""
    found = {}
    with store.begin(shop.engine) as connection:
        for table in shop.tables.sorted_tables:
            if table.name not in leave_out:
                stored = rows.find(connection, table, {})
                kit = table.name.startswith("kit_")
                found[table.name] = stored if kit else shop.opened(table.name, stored)
    return found


def sums(shop, source):
    """Return what a till's sales come to, and how many there are."""
    sales = shop.tables.tables["sales"].c
    query = sa.select(sa.func.count(), sa.func.sum(sales.net_cents), sa.func.sum(sales.tax_cents))
    with store.begin(shop.engine) as connection:
        return tuple(connection.execute(query.where(sales.sale_id.startswith(f"{source}-"))).one())


def sound(shop):
    """Check what must be true at any moment: log, links, pages, and that every token opens."""
    shop.verify_log()
    store.check(shop.engine)
    with store.begin(shop.engine) as connection:
        assert not history.missing(connection, shop.tables, tables=shop.changed_by_people)
    for table, found in content(shop).items():
        assert table.startswith("kit_") or all(row for row in found)
    past = shop.tables.tables["kit_history"].c
    with store.begin(shop.engine) as connection:
        for entry in rows.find(connection, past.seq.table, {}):
            for token in (entry["old"], entry["new"]):
                place = "{table_name}.{column_name}.{row_id}".format_map(entry)
                assert token is None or shop.cipher.unseal(token, context=place) is not None
