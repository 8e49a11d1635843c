"""Make tests/golden_backup/, a backup of a made-up shop that every later kit must restore.

Usage: ``python tests/make_golden_backup.py``. It was run once, for format 1, and refuses to run
again: a golden backup that is made anew proves nothing about backups made before. When a format
changes, make another folder beside it and keep this one.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage

from kit import backup, removals, rows, settings
from kit.shop import SETTINGS, Shop

FOLDER = Path(__file__).with_name("golden_backup")
WORDS = "ocean-teapot-violin-candle-marble-tunnel"
OWNER = "AGE-SECRET-KEY-17MSJ8Q9ZS6VGJ78JJSHFWD8NA9L4SWV4JC0P22JQHVKHWWZ6J09QSDD2ND"
ESCROW = "AGE-SECRET-KEY-1YE27KJW88K0ZWE7CPNKFW58M7K2KHCKVNFW2G02G9MPE7L4VTYXSTFT88U"
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
GONE = "cus-3"  # erased before the first backup
NEW = "cus-4"  # came before the second
PEOPLE = {
    "cus-1": ("Ana", "Example", "ana@example.com", "+12125550142"),
    "cus-2": ("Zoë", "O'Neil-Šmíd", "zoe@example.org", "+442079460958"),
    "cus-3": ("Ben", "Example", "ben@example.net", "+12125550143"),
    "cus-4": ("王", "小明", "wang@example.com", "+16465550199"),
}
NAMES = ("first_name", "last_name", "email", "phone")
SALES = {"sale-1": ("cus-1", 1250), "sale-2": ("cus-2", 399), "sale-3": (None, 500)}
SALES |= {f"sale-{number}": ("cus-1", 100 * number) for number in range(4, 90)}


def public(identity: str) -> str:
    """Return the public half of a secret key."""
    return str(pyrage.x25519.Identity.from_str(identity).to_public())


def add(shop: Shop, *numbers: str) -> None:
    """Add customers."""
    table = shop.tables.tables["customers"]
    with shop.writing("owner", NOW) as connection:
        for number in numbers:
            cells = dict(zip(NAMES, ([value] for value in PEOPLE[number]), strict=True))
            sealed = shop.seal("customers", {"customer_id": [number], **cells}, [number])
            rows.add(connection, table, {name: column[0] for name, column in sealed.items()})


def main() -> int:
    """Make the shop and its two backups, and keep what lies in its place."""
    if FOLDER.exists():
        print(f"{FOLDER.name} is there and is kept as it is, for ever", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shop"
        Shop.init(
            folder, WORDS, name="Golden Flowers", time_zone="America/New_York", now=NOW
        ).close()
        text = (folder / SETTINGS).read_text(encoding="utf-8")
        text = settings.with_line(text, "backup.people", "owner", public(OWNER))
        text = settings.with_line(text, "backup.people", "escrow", public(ESCROW))
        (folder / SETTINGS).write_text(text, encoding="utf-8")
        with Shop.open(folder, WORDS) as shop:
            add(shop, "cus-1", "cus-2", GONE)
            with shop.writing("owner", NOW) as connection:
                for sale, (customer, cents) in SALES.items():
                    table = shop.tables.tables["sales"]
                    more = {"sale_id": sale, "customer_id": customer, "total_cents": cents}
                    rows.add(connection, table, more)
            plan = removals.plan_erasure(shop, GONE, now=NOW)
            removals.erase(shop, plan, actor="owner", now=NOW)
            backup.make(shop, actor="owner", now=NOW)
            add(shop, NEW)
            done = backup.make(shop, actor="owner", now=NOW + timedelta(hours=1))
            assert done.manifest.kind == "diff"  # noqa: S101
            fingerprint = backup.fingerprint(shop.keyring.public_key())
        (folder / "backups").rename(FOLDER)
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{FOLDER.name}: {size} bytes, signed by {fingerprint}; put that into the test")
    return 0


if __name__ == "__main__":
    sys.exit(main())
