# SPDX-License-Identifier: MIT-0
"""Back up a shop to several places, and say honestly how things stand.

Here the tools for backups meet: `snapshot` copies the database in use, `pack` makes it small,
`archive` seals it for two people, `manifest` signs the list, `places` stores it, `keeping` says
what may go. A backup is there once a place holds it and its manifest is written; whatever fails
before leaves nothing that looks like one. Restoring is in `restore.py`, drills in `drill.py`.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.metadata
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from kit import (
    archive,
    beside,
    keeping,
    manifest,
    pack,
    pgdump,
    recovery,
    rekey,
    settings,
    snapshot,
    storing,
)
from kit.backup_state import BESIDE, END, MANIFESTS, Home, State, text
from kit.keys import Keyring
from kit.manifest import Manifest
from kit.places import Place, PlaceError
from kit.settings import Settings
from kit.shop import CUSTOMERS, INVENTORY, SETTINGS, Shop

PUBLIC = "recovery.pub"  # as in vault.py, which loads pandas: 1 s and 90 MB for a name
OWNER = "owner"  # who has the paper key of `kit keys recovery`
ADD_PLACE = "no place is named; name one: kit backup place NAME ADDRESS"
CANARIES = 20
TWICE = (  # no list can go on after that
    "begin a new list, on one computer only: move .backup out of the shop's folder, name new, "
    "empty places (kit backup place), then: kit backup make. Old backups can still be restored "
    "from where they are, by number"
)
CLOCKS = ("future", "clock")  # faults of a clock, which no list can help
BEFORE = ".before-restore-"  # what a restore replaced is kept under this name, and a time
AHEAD = timedelta(minutes=10)  # clocks differ by so much without being wrong
MOST_MANIFEST = 1 << 20  # bytes
Progress = Callable[[str, int, int | None], None]


class BackupError(Exception):
    """Base of the errors below. Messages never hold a key or a customer's value."""


class NoPeople(BackupError):
    """Fewer than two people could open the backup."""


class NothingStored(BackupError):
    """No place took the backup. There is no new one."""


class Untrue(BackupError):
    """The list of backups does not hold."""


@dataclass(frozen=True)
class Made:
    """A new backup, and what each place said: nothing, or what went wrong."""

    manifest: Manifest
    why_full: str | None
    places: Mapping[str, str]
    notes: tuple[str, ...] = ()


def rules(said: Settings) -> keeping.Rules:
    """Return how many backups are kept."""
    return keeping.Rules(**said.backup.keep)


def quiet(step: str, done: int, total: int | None) -> None:
    """Show no progress."""


def people(folder: Path, said: Settings) -> dict[str, str]:
    """Return who can open the backups: names and public keys."""
    found = dict(said.backup.people)
    public = folder / PUBLIC
    if OWNER not in found and public.exists():
        found[OWNER] = public.read_text(encoding="utf-8").split()[0]
    return found


def add_person(folder: Path, name: str) -> str:
    """Make a paper key for one more person, note its public half in shop.toml, and return it.

    It is to be shown once and stored nowhere.
    """
    path = folder / SETTINGS
    before = settings.read(path)
    if name == OWNER:  # another key under this name would shut the paper key out, unnoticed
        raise BackupError("the owner's key comes from: kit keys recovery; name somebody else")
    if name in settings.parse(before).backup.people:
        raise BackupError(
            f"{name} has a key already, which opens the backups there are; to give them a new one, "
            f"delete their line under [backup.people] in {SETTINGS} first"
        )
    paper, public = recovery.new_paper_key()
    _replace(path, settings.with_line(before, "backup.people", name, public).encode())
    return paper


def add_place(folder: Path, name: str, address: str, *, offsite: bool) -> None:
    """Note in shop.toml one more place for backups, or another address of one."""
    path = folder / SETTINGS
    before = settings.read(path)
    said = settings.parse(before).backup
    away = [one for one in (*said.offsite, name) if one != name or offsite]
    made = before
    for known, where in {**said.places, name: address}.items():
        made = settings.with_line(made, "backup.places", known, where)
    _replace(path, settings.with_line(made, "backup", "offsite", sorted({*away})).encode())


def places(folder: Path, said: Settings) -> dict[str, Place]:
    """Return where backups go; a relative path starts in the shop's folder."""
    return {name: place_at(address, folder) for name, address in said.backup.places.items()}


def place_at(address: str, folder: Path = Path()) -> Place:
    """Return the place at an address; a relative path starts in *folder*."""
    return Place(address if "://" in address else folder.resolve() / address, sftp=_sftp)


def _sftp(address: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    from kit import sftp  # its package is an extra, which many shops do not need

    return sftp.connect(address, options)


def make(
    shop: Shop, *, actor: str, now: datetime, full: bool = False, progress: Progress = quiet
) -> Made:
    """Back up the database in use, and with it the keys, the settings and the erasure ledger.

    Args:
        shop: An open shop. People may go on working.
        actor: Who, for the log.
        now: The moment of the backup.
        full: Make a full one also where a differential would do.
        progress: Called with the step, the bytes done and their sum.

    Raises:
        NoPeople: Fewer than two people could open it.
        NothingStored: No place took it.
        StateError, SnapshotError, ArchiveError: As their modules say.
    """
    keys = _two(people(shop.folder, shop.settings))
    home, homes = Home(shop.folder), places(shop.folder, shop.settings)
    at = now.astimezone(UTC).replace(microsecond=0)
    with home.locked(), home.work() as work:
        forget_halves(shop)
        state, notes = home.load(), list[str]()
        chain = known(shop, home, state, homes, now)
        if chain and chain[-1].at > at + AHEAD:
            notes.append(f"backup {chain[-1].seq} is dated in the future; check this PC's clock")
        with shop.writing(actor, now) as connection:
            shop.note(connection, actor, "backup", "proof", now)
            mark = shop.log.checkpoint(connection, now=now)
        facts, inside = _copied(shop, work / "copy", progress)
        base = newest_full(chain)
        why = "it was asked for" if full else _why(shop, home, base, facts, at)
        why = why or storing.lacking(homes, state, base)
        draft = _draft(shop, home, chain, facts, keys, at)
        draft = replace(draft, inside_sha256=inside, audit=(mark.seq, mark.hash.hex()))
        done, why = _sealed(work, home, base, draft, why, keys, progress)
        along = _beside(shop, home, keys)
        done = replace(done, beside={name: _sha256(path) for name, path in along.items()})
        signed = manifest.sign(done, shop.keyring.sign, shop.keyring.public_key())
        stored = storing.store(work, homes, done, base, along, progress)
        if all(stored.values()):
            told = "; ".join(f"{name}: {fault}" for name, fault in stored.items()) or ADD_PLACE
            raise NothingStored(f"no place took the backup, there is no new one: {told}")
        name = manifest.manifest_name(done)
        home.write(f"{MANIFESTS}/{name}", signed)  # from here on the backup exists
        state.head, state.ledger = (done.seq, manifest.sha256(signed)), done.ledger
        if done.kind == "full" and _is_sqlite(shop):
            (work / "copy").replace(home.base)
        public = shop.keyring.public_key()
        for where, fault in stored.items():
            one = state.place(where)
            if not fault:
                one.has = sorted({*one.has, done.seq, *([done.base] if done.base else [])})
                theirs = [m for m in (*chain, done) if m.seq in one.has]
                fault = storing.list_up(homes[where], home.manifests(), theirs, done, public)
            if not fault:
                one.seq, one.made, one.seen = done.seq, text(done.at), text(now)
            stored[where] = one.fault = fault
        home.save(state)
    return Made(done, why, stored, tuple(notes))


def _draft(
    shop: Shop,
    home: Home,
    chain: Sequence[Manifest],
    facts: snapshot.Facts,
    keys: Sequence[str],
    at: datetime,
) -> Manifest:
    """Return what can be told of a backup before it is sealed."""
    last = chain[-1] if chain else None
    files = home.manifests()
    return Manifest(
        seq=last.seq + 1 if last else 1,
        prev=manifest.sha256(files[manifest.manifest_name(last)]) if last else manifest.FIRST,
        at=at,
        kind="full",
        base=None,
        file="",
        size=0,
        sha256="",
        plain_size=0,
        plain_sha256="",
        base_sha256=None,
        page_size=facts.page_size,
        schema_sha256=facts.schema_sha256,
        inside_sha256="",
        engine=_engine(shop),
        kit=importlib.metadata.version("customer-data-kit"),
        recipients=tuple(sorted(manifest.fingerprint(key) for key in keys)),
        key_ids=tuple(sorted(rekey.in_use(shop))),
        generation=shop.keyring.generation,
        ledger=shop.ledger.head,
        audit=(0, ""),
        keep_until=at.date() + timedelta(days=rules(shop.settings).within_days),
        beside={},
    )


def known(
    shop: Shop, home: Home, state: State, homes: Mapping[str, Place], now: datetime
) -> tuple[Manifest, ...]:
    """Return the list of all backups, with what a place knows and this PC forgot.

    Raises:
        Untrue: The list does not hold; each fault is named.
    """
    files, public = home.manifests(), signers(shop.keyring)
    for place in homes.values():
        try:
            names = place.names()
            for name in [n for n in names if n.endswith(END) and n not in files]:
                found = place.read(name, most=MOST_MANIFEST)
                manifest.read(found, public_keys=public)
                home.write(f"{MANIFESTS}/{name}", found)
                files[name] = found
        except (PlaceError, manifest.ManifestError):
            continue  # told where that place is verified; a forged one is not taken over
    head = state.head if state.head[0] else None
    checked = manifest.check(files, public_keys=public, now=now, head=head)
    faults = [fault for fault in checked.faults if fault.kind not in CLOCKS]
    if told := "; ".join(fault.text for fault in faults):
        todo = TWICE if any(fault.kind == "twice" for fault in faults) else "run: kit backup verify"
        raise Untrue(f"the list of backups does not hold: {told}. Do not delete anything; {todo}")
    return checked.chain


def signers(ring: Keyring) -> list[bytes]:
    """Return the public halves of the keys that may have signed the list."""
    usable = [k for k in ring.keys if k.purpose == "signing" and k.state in ("primary", "enabled")]
    return [ring.public_key(key.id) for key in usable]


def fingerprint(public_key: bytes) -> str:
    """Return what people compare of a public key: 16 hex digits in fours."""
    digits = hashlib.sha256(public_key).hexdigest()[:16]
    return " ".join(digits[i : i + 4] for i in range(0, 16, 4))


def newest_full(chain: Sequence[Manifest]) -> Manifest | None:
    """Return the full backup that the next differential may build on."""
    return next((one for one in reversed(chain) if one.kind == "full"), None)


def forget_halves(shop: Shop) -> None:
    """Delete what a restore that was cut short left beside the database: customers are in it."""
    for live in shop.files()[:1]:
        live.with_name(f".{live.name}.restored").unlink(missing_ok=True)
        for half in live.parent.glob(f"{BEFORE}*.part"):
            shutil.rmtree(half, ignore_errors=True)


def marks_key(shop: Shop) -> bytes:
    """Return the key that a few rows are marked with, to be recognised after a restore."""
    secret = next(k for k in shop.keyring.keys if k.purpose == "ledger" and k.secret).secret
    return hmac.digest(secret, b"kit/canaries/v1", "sha256")


def inside(rows: Mapping[str, int], marks: Mapping[Any, str]) -> str:
    """Return the hash of how many rows a backup holds, and what a few of them look like.

    The numbers themselves are business secrets, and a manifest is not sealed.
    """
    held = {"rows": dict(rows), "marks": {str(key): mark for key, mark in marks.items()}}
    return manifest.digest(held)


def address(shop: Shop) -> str:
    """Return the address of a PostgreSQL database as its own programs take it."""
    return shop.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def _engine(shop: Shop) -> str:
    if _is_sqlite(shop):
        return f"SQLite {sqlite3.sqlite_version}"
    with shop.reading() as connection:
        version = connection.dialect.server_version_info or ()
        return f"PostgreSQL {'.'.join(map(str, version))}"


def _is_sqlite(shop: Shop) -> bool:
    return shop.engine.dialect.name == "sqlite"


def _two(found: Mapping[str, str]) -> list[str]:
    if len({*found.values()}) >= archive.LEAST_RECIPIENTS:
        return [*found.values()]
    todo = "kit backup person escrow" if OWNER in found else "kit keys recovery"
    raise NoPeople(
        f"two people must be able to open a backup, and there {'is' if found else 'are'} "
        f"{len(found)}: a lost key must not be the loss of all. Next: {todo}"
    )


def _copied(shop: Shop, copy: Path, progress: Progress) -> tuple[snapshot.Facts, str]:
    """Copy the database as of one moment; return what identifies the copy."""
    if _is_sqlite(shop):
        # not lasting: 0.2 s for 300 MB; before it is built on, its hash is compared
        snapshot.take(shop.files()[0], copy, lasting=False, progress=partial(progress, "copying"))
        facts = snapshot.facts(copy, check=False, hashed=False)  # sealing it takes the hash
        secret = marks_key(shop)
        marks = snapshot.canaries(copy, CUSTOMERS, "customer_id", key=secret, count=CANARIES)
        return facts, inside(facts.rows, marks)
    rows = pgdump.dump(address(shop), copy, progress=lambda d, t: progress("copying", d, t or None))
    facts = snapshot.Facts(copy.stat().st_size, _sha256(copy), 0, manifest.sha256(b""), rows, None)
    return facts, inside(rows, {})


def _why(
    shop: Shop, home: Home, base: Manifest | None, facts: snapshot.Facts, at: datetime
) -> str | None:
    """Return why this has to be a full backup, or None."""
    if not _is_sqlite(shop):
        return "PostgreSQL is always backed up whole"
    if base is None:
        return "it is the first one"
    here = base if home.base.is_file() else None
    erased = base.ledger[0] != shop.ledger.head[0]
    return pack.worth_a_full(here, facts, age=at - base.at, erased=erased)


def _sealed(
    work: Path,
    home: Home,
    base: Manifest | None,
    draft: Manifest,
    why: str | None,
    keys: Sequence[str],
    progress: Progress,
) -> tuple[Manifest, str | None]:
    """Seal the copy, as a differential if that will do; return its manifest, and why if full."""
    copy = work / "copy"

    def tick(done: int, total: int) -> None:
        progress("sealing", done, total)

    if why is None and base is not None:
        file = manifest.name(draft.seq, draft.at, "diff", ".tar.age")
        try:
            held = archive.diff(
                home.base,
                copy,
                work / file,
                keys,
                base_sha256=base.plain_sha256,
                pack=pack,
                progress=tick,
            )
            why = pack.worth_a_full(
                base, draft, age=timedelta(0), diff_bytes=held.size, full_bytes=base.size
            )
        except archive.WrongBase:
            why = "the copy of the last full backup was altered"
        if why is None:
            return replace(draft, kind="diff", base=base.seq, file=file, **_facts(held)), None
        (work / file).unlink(missing_ok=True)
    sqlite = draft.page_size > 0
    file = manifest.name(
        draft.seq, draft.at, "full", ".sqlite.zst.age" if sqlite else ".pgdump.age"
    )
    held = archive.full(copy, work / file, keys, pack=pack if sqlite else pgdump, progress=tick)
    return replace(draft, file=file, **_facts(held)), why


def _facts(held: archive.Sealed) -> dict[str, Any]:
    return {
        "size": held.size,
        "sha256": held.sha256,
        "plain_size": held.plain_size,
        "plain_sha256": held.plain_sha256,
        "base_sha256": held.base_sha256,
    }


def _beside(shop: Shop, home: Home, keys: Sequence[str]) -> dict[str, Path]:
    """Seal what a new computer needs beside the database: keys, settings, who was erased."""
    parts: dict[str, tuple[str, bytes | Callable[[], bytes]]] = {
        "keys": (
            f"{shop.keyring.generation:06}",
            lambda: recovery.copy(shop.keyring, keys[0], *keys[1:]),
        )
    }
    there = [shop.folder / name for name in (SETTINGS, INVENTORY, PUBLIC)]
    folder = beside.pack({path.name: path.read_bytes() for path in there if path.exists()})
    parts["folder"] = beside.digest(folder), folder
    if lines := shop.ledger.head[0]:
        parts["ledger"] = f"{lines:06}", shop.ledger.path.read_bytes()
    return beside.seal(home.folder / BESIDE, parts, keys)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)
