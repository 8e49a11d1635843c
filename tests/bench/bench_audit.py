"""Audit log: the kit against a plain chain of `json.dumps` and SHA-256, row by row, in one run.

Run with `python3 start.py bench`, or this file alone. Goals: at most 60 us to append an entry among
many, at least 500,000 entries checked in a second.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kit import audit, store, tamper

ENTRIES = 200_000
APPEND_US = 60
VERIFY_PER_S = 500_000
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
FIELDS = ("seq", "at", "actor", "role", "purpose", "action", "subject", "count", "prev")


def timed(runs: int, work) -> float:
    """Return the shortest processor time in seconds, so that a busy machine tells the same."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def plain_hash(row: tuple) -> str:
    """Hash one row as a script would."""
    fields = dict(zip(FIELDS, row, strict=True))
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def plain_append(database: sqlite3.Connection) -> None:
    """Chain and insert one row after another."""
    prev = "0" * 64
    with database:
        for n in range(ENTRIES):
            subject = hashlib.sha256(f"cus_{n}".encode()).hexdigest()
            row = (n, NOW.isoformat(), f"emp-{n % 9}", "cashier", "sale", "look", subject, 1, prev)
            prev = plain_hash(row)
            database.execute("INSERT INTO log VALUES (?,?,?,?,?,?,?,?,?,?)", (*row, prev))


def plain_verify(database: sqlite3.Connection) -> None:
    """Read and chain again."""
    prev = "0" * 64
    for *row, found in database.execute("SELECT * FROM log ORDER BY seq"):
        assert row[-1] == prev
        prev = plain_hash(row)
        assert prev == found


def main() -> int:
    """Compare appending and checking; fail where a goal is missed."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    log = audit.Log(key=bytes(32), sign=key.sign, public_key=public)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "shop.sqlite")
        path.touch()
        engine = store.connect(path)
        metadata = sa.MetaData()
        audit.table(metadata)
        metadata.create_all(engine)

        def append() -> None:
            events = (
                audit.Event(f"emp-{n % 9}", "cashier", "sale", "look", f"cus_{n}")
                for n in range(ENTRIES)
            )
            with engine.begin() as connection:
                log.extend(connection, events, now=NOW)

        ours = timed(1, append)
        with engine.begin() as connection:
            mark = log.checkpoint(connection, now=NOW).to_json()
        with engine.connect() as connection:
            check = timed(
                5,
                lambda: tamper.verify(connection, public_keys=[public], checkpoints=[mark]),
            )
        with closing(sqlite3.connect(Path(folder, "plain.sqlite"))) as database:
            database.execute(f"CREATE TABLE log ({', '.join(FIELDS)}, hash)")
            plain = timed(1, lambda: plain_append(database))
            plain_check = timed(3, lambda: plain_verify(database))
    append_us, verify_per_s = ours / ENTRIES * 1e6, ENTRIES / check
    print(f"{ENTRIES:,} entries in SQLite; checking: best of several")
    print("                                        append          check")
    print(f"  json.dumps and SHA-256, row by row  {plain / ENTRIES * 1e6:6.1f} us", end="  ")
    print(f"{ENTRIES / plain_check:12,.0f}/s")
    print(f"  kit audit: keyed, locked, guarded   {append_us:6.1f} us  {verify_per_s:12,.0f}/s")
    print(f"  checking: ratio {plain_check / check:.1f}")
    print(f"goals: append at most {APPEND_US} us, check at least {VERIFY_PER_S:,}/s")
    return 0 if append_us <= APPEND_US and verify_per_s >= VERIFY_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
