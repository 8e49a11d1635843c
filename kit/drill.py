# SPDX-License-Identifier: MIT-0
"""Restore for practice, from the copy away from the shop, and keep a certificate of it.

"The last backup ran" proves nothing; a copy that was fetched, opened with a key from paper, looked
through and counted does. Nothing of the shop is touched: all happens in a private folder that is
deleted at the end. What went wrong stands in the certificate, in red.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import sqlalchemy as sa

from kit import (
    backup,
    beside,
    certificate,
    ledger,
    opening,
    pgdump,
    recovery,
    removals,
    restore,
)
from kit.archive import ArchiveError
from kit.backup import Progress, quiet
from kit.backup_state import Home, State, text
from kit.certificate import Drill
from kit.manifest import Checked, Manifest
from kit.opening import NotProven, Proven
from kit.places import Place, PlaceError
from kit.shop import CUSTOMERS, Shop
from kit.snapshot import SnapshotError

RECORDS = "records"
LEAST_FOUND = 0.5  # of the customers marked in an older backup; fewer were never let go in a year
# What a backup can be refused for; each is a finding of the drill, not the end of it.
FINDINGS = (
    *(ArchiveError, PlaceError, NotProven, SnapshotError, restore.RestoreError),
    *(ledger.LedgerError, removals.RemovalsError, pgdump.PgdumpError),
)


class DrillError(Exception):
    """There is nothing to practise with, or no room to practise in."""


@dataclass(frozen=True)
class Drilled:
    """What was certified, and where the certificate is."""

    drill: Drill
    page: Path
    record: Path


def whose(folder_people: Mapping[str, str], identity: str) -> str:
    """Return whose secret key this is, by its public half."""
    try:
        public = str(pyrage.x25519.Identity.from_str(identity).to_public())
    except pyrage.IdentityError:
        raise DrillError("the key is mistyped; compare it with the paper, four at a time") from None
    return next((name for name, key in folder_people.items() if key == public), "another key")


def run(
    shop: Shop,
    place: Place,
    identity: str,
    *,
    actor: str,
    now: datetime,
    name: str | None = None,
    pick: Callable[[Sequence[Manifest]], Manifest] = secrets.choice,
    progress: Progress = quiet,
) -> Drilled:
    """Restore the newest backup and an older one for practice, and certify what was found.

    Args:
        shop: The shop. It is read, not changed; a line in its log is all.
        place: Where from; best one away from the shop.
        identity: The paper key, or the second person's.
        actor: Who, for the log.
        now: The time.
        name: What shop.toml calls the place.
        pick: Chooses the older backup among those there are.
        progress: Called with the step, the bytes done and their sum.
    """
    who = whose(backup.people(shop.folder, shop.settings), identity)
    home, began = Home(shop.folder), time.perf_counter()
    with home.locked(), home.work() as work:
        state = home.load()
        failures: list[str] = []
        checked = opening.look(shop, place, name=name, now=now, state=state)
        if not checked.here:
            raise DrillError("there is no backup in this place; make one: kit backup make")
        had = {*state.place(name).has} if name else set()  # a disk lacks honestly what it never had
        failures += [
            fault.text
            for fault in checked.faults
            if fault.kind not in opening.HARMLESS or (fault.kind == "no file" and fault.seq in had)
        ]
        older = checked.here[:-1]
        wanted = [checked.here[-1], *([pick(older)] if older else [])]
        found = _opened(shop, place, checked, wanted, work, identity, failures, progress)
        absent = _erased(shop, place, checked, state, found, work, identity, actor, now, failures)
        marks, there = _marks(shop, found, failures)
        covers = _covers(place, wanted, identity, failures)
        drill = Drill(
            at=now,
            shop=shop.settings.name,
            place=place.label,
            restored=tuple(
                certificate.Restored(one.manifest.seq, one.manifest.at) for one in found
            ),
            key=who,
            rows=found[0].rows if found else {},
            canaries=there,
            canaries_of=marks,
            erased_absent=absent,
            took=timedelta(seconds=time.perf_counter() - began),
            age=max(now.astimezone(UTC) - wanted[0].at, timedelta(0)),
            chain=checked.head,
            ledger=shop.ledger.head,
            audit=wanted[0].audit,
            versions={
                "kit": importlib.metadata.version("customer-data-kit"),
                "Python": platform.python_version(),
                "SQLite": sqlite3.sqlite_version,
            },
            recovery_covers_keys=covers,
            failures=tuple(failures),
        )
        done = _kept(shop, place, drill, now)
        state.drill = {
            "at": text(now),
            "seq": wanted[0].seq,
            "key": who,
            "ok": drill.passed,
            "place": name or place.label,
            "proven": max(state.proven or 0, wanted[0].seq if drill.passed else 0) or None,
        }
        if who == backup.OWNER and found:
            state.rehearsed = {"at": text(now), "key": who}  # the paper opened a real backup
        home.save(state)
        with shop.writing(actor, now) as connection:
            shop.note(connection, actor, "drill", "proof", now)
    return done


def _opened(
    shop: Shop,
    place: Place,
    checked: Checked,
    wanted: Sequence[Manifest],
    work: Path,
    identity: str,
    failures: list[str],
    progress: Progress,
) -> list[Proven]:
    """Restore each, and note what fails."""
    found = []
    for one in wanted:
        try:
            found.append(opening.fetch(shop, place, checked, one, work, [identity], progress))
        except FINDINGS as problem:
            failures.append(f"backup {one.seq} could not be restored: {problem}")
    return found


def _erased(
    shop: Shop,
    place: Place,
    checked: Checked,
    state: State,
    found: Sequence[Proven],
    work: Path,
    identity: str,
    actor: str,
    now: datetime,
    failures: list[str],
) -> bool:
    """Erase again in each copy whoever was erased since, and tell whether nobody is left."""
    try:
        told = restore.newest_ledger(shop, place, checked, state, [identity], work, anyway=False)
        for one in found:
            with _opened_as_shop(shop, one) as copied:
                copied.ledger = told
                removals.replay(copied, actor=actor, now=now)
                key = copied.tables.tables[CUSTOMERS].c.customer_id
                with copied.reading() as connection:
                    ids = connection.scalars(sa.select(key)).all()
                if told.erased(ids):
                    failures.append(f"backup {one.manifest.seq} still holds who was erased")
                    return False
    except (*FINDINGS, DrillError) as problem:
        failures.append(f"it cannot be said who was erased: {problem}")
        return False
    return True


def practice_name(url: sa.URL) -> str:
    """Return the name of the database in which one shop's dumps are practised, always the same."""
    return f"kit_drill_{hashlib.sha256(f'{url.host}/{url.database}'.encode()).hexdigest()[:8]}"


@contextmanager
def _opened_as_shop(shop: Shop, one: Proven) -> Iterator[Shop]:
    """Give what was restored as a shop; a dump is loaded into a database that is dropped again."""
    if one.manifest.page_size:
        with restore.shop_at(shop, one.path) as copied:
            yield copied
        return
    name = practice_name(shop.engine.url)
    server = shop.engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        with server.connect() as connection:  # a drill that was killed may have left its own
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except sa.exc.ProgrammingError:
        raise DrillError(
            "a dump is practised in a database of its own, and this user may not make one; ask "
            "the server's owner for the right CREATEDB"
        ) from None
    url = shop.engine.url.set(drivername="postgresql", database=name)
    address = url.render_as_string(hide_password=False)
    try:
        pgdump.load(one.path, address, rights=False)
        said = replace(shop.settings, database=address)
        with Shop(shop.folder, said, shop.inventory, shop.keyring) as copied:
            yield copied
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def _marks(shop: Shop, found: Sequence[Proven], failures: list[str]) -> tuple[int, int]:
    """Look in the newest copy for the customers that were marked in the older one.

    Whoever took over the till can sign backups of rubbish; customers of last month tell.
    """
    if not found:
        return 0, 0
    newest, older = found[0], found[-1]
    marked = [key for key in older.marks if key not in shop.ledger.erased(older.marks)]
    if older is newest or not marked:
        return len(newest.marks), len(newest.marks)
    with restore.shop_at(shop, newest.path) as copied, copied.reading() as connection:
        key = copied.tables.tables[CUSTOMERS].c.customer_id
        there = len(connection.scalars(sa.select(key).where(key.in_(marked))).all())
    if there < LEAST_FOUND * len(marked):
        failures.append(
            f"only {there} of {len(marked)} customers of backup {older.manifest.seq} are in backup "
            f"{newest.manifest.seq}: ask who emptied the database, and keep the older backup"
        )
    return len(marked), there


def _covers(
    place: Place, wanted: Sequence[Manifest], identity: str, failures: list[str]
) -> bool | None:
    """Tell whether the keys that went along open everything in these backups."""
    needed = {number for one in wanted for number in one.key_ids}
    try:
        names = {name for one in wanted for name in one.beside} & set(place.names())
        sealed = place.read(beside.newest(names, "keys"), most=beside.MOST_BYTES)
        _, rows = recovery.read(sealed, identity)
    except (*FINDINGS, beside.BesideError, recovery.RecoveryError) as problem:
        failures.append(f"the keys that went along do not open: {problem}")
        return False
    if lacking := needed - {number for number, _, _, _, secret in rows if secret}:
        failures.append(f"{len(lacking)} keys that these backups need did not go along")
        return False
    return True


def _kept(shop: Shop, place: Place, drill: Drill, now: datetime) -> Drilled:
    """Keep the certificate among the shop's records, and beside the backups."""
    ring = shop.keyring
    signed = certificate.to_json(drill, ring.sign, ring.public_key())
    stem = f"drill-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    folder = shop.folder / RECORDS
    folder.mkdir(mode=0o700, exist_ok=True)
    page, record = folder / f"{stem}.html", folder / f"{stem}.json"
    page.write_text(certificate.to_html(drill), encoding="utf-8")
    record.write_bytes(signed)
    try:
        place.put_bytes(signed, f"{stem}.json", replace=True)
    except PlaceError:
        pass  # a place may be read-only for this PC, as it should be; the record is here
    return Drilled(drill, page, record)
