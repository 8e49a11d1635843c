# SPDX-License-Identifier: MIT-0
"""Get a shop back from a backup, and never say so unless it was proven.

Everything happens in a private folder first: the signed list is checked, the file compared with
it, opened, unpacked, and looked through; then whoever was erased since is erased again; only then
the database in use is replaced. Until that moment it is not touched, and what it was is kept.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from kit import (
    backup,
    beside,
    ledger,
    manifest,
    opening,
    pgdump,
    recovery,
    removals,
    rescue,
    settings,
    swap,
)
from kit import store as database
from kit.backup import MOST_MANIFEST, PUBLIC, Progress, quiet
from kit.backup_state import MANIFESTS, Home, State, text
from kit.inventory import Inventory
from kit.keyfile import KeyFile, Passphrase
from kit.keys import Keyring
from kit.manifest import Checked, Manifest
from kit.opening import NotProven, Proven
from kit.places import Place, PlaceError
from kit.settings import Settings
from kit.shop import FOLDERS, INVENTORY, KEYRING, LEDGER, SETTINGS, NotAllowed, NotAShop, Shop

KEPT_DAYS = 30  # how long what was replaced is kept: it holds customers too


class RestoreError(Exception):
    """Base of the errors below. The database in use is as it was, and no copy is left lying."""


class WithoutLedger(RestoreError):
    """It is not known who was erased since, so they would come back."""


@dataclass(frozen=True)
class Restored:
    """What was restored."""

    manifest: Manifest
    rows: Mapping[str, int]
    erased: int  # customers who had been erased since the backup, and were again
    took: timedelta
    kept: Path | None  # what was there before; delete it on `delete_on`
    delete_on: date


def restore(
    shop: Shop,
    place: Place,
    identities: Sequence[str],
    *,
    actor: str,
    now: datetime,
    name: str | None = None,
    number: int | None = None,
    without_ledger: bool = False,
    progress: Progress = quiet,
) -> Restored:
    """Replace the shop's database by a proven backup.

    Args:
        shop: The shop; its database may be damaged or gone. Close every other program first.
        place: Where the backup is.
        identities: The paper key, or the second person's.
        actor: Who, for the log.
        now: The time.
        name: What shop.toml calls the place.
        number: Of an older backup; None for the newest.
        without_ledger: It was said in words that erased customers may come back.
        progress: Called with the step, the bytes done and their sum.

    Raises:
        NotProven, WithoutLedger, swap.InUse: Nothing was changed.
        NotEmpty: The PostgreSQL database has tables; choose an empty one in shop.toml.
    """
    role = shop.settings.role(actor)
    if role not in removals.MAY:
        raise NotAllowed(f"a {role} restores nothing; ask {' or '.join(removals.MAY)}")
    began = time.perf_counter()
    home = Home(shop.folder)
    with home.locked(), home.work() as work:
        backup.forget_halves(shop)
        state = home.load()
        checked = opening.look(shop, place, name=name, now=now, state=state)
        wanted = opening.choose(checked, number)
        proven = opening.fetch(shop, place, checked, wanted, work, identities, progress)
        told = newest_ledger(shop, place, checked, state, identities, work, anyway=without_ledger)
        _keep_ledger(shop, told)  # before the copy is: who was erased must not be forgotten
        if shop.files():
            progress("erasing again", 0, None)
            with shop_at(shop, proven.path) as copied:
                copied.ledger = told
                erased = _finish(copied, actor, now)
            kept = swap.replace(shop.files()[0], proven.path, keep=_kept_name(now))
        else:
            _load(shop, home, state, proven)
            progress("erasing again", 0, None)
            shop.ledger, kept = told, None
            erased = _finish(shop, actor, now)
            state.loading = ""
            home.save(state)
        _keep_ledger(shop, told)
        home.forget_base()
        _remember(home, state, place, name, checked, wanted, now)
    took = timedelta(seconds=time.perf_counter() - began)
    until = now.astimezone(shop.settings.zone).date() + timedelta(days=KEPT_DAYS)
    return Restored(wanted, proven.rows, erased, took, kept, until)


def rescue_customer(
    shop: Shop,
    place: Place,
    identities: Sequence[str],
    who: str,
    *,
    actor: str,
    now: datetime,
    confirm: Callable[[rescue.Preview], bool],
    name: str | None = None,
    number: int | None = None,
    on_conflict: str = "skip",
    progress: Progress = quiet,
) -> rescue.Done | None:
    """Bring back one customer from a backup, with all that hung on them.

    Args:
        shop: The shop.
        place: Where the backup is.
        identities: The paper key, or the second person's.
        who: E-mail address, telephone, name or number of the customer, as of the backup.
        actor: Who, for the log.
        now: The time.
        confirm: Called with what would come back; nothing happens unless it returns True.
        name: What shop.toml calls the place.
        number: Of an older backup; None for the newest.
        on_conflict: "skip" leaves rows that were changed since, "replace" takes the backup's.
        progress: Called with the step, the bytes done and their sum.

    Raises:
        NotThere: The backup holds no such customer, or they were erased at their own request.
    """
    removals.allow(shop, actor, "undelete", now)
    home = Home(shop.folder)
    with home.locked(), home.work() as work:
        checked = opening.look(shop, place, name=name, now=now, state=home.load())
        wanted = opening.choose(checked, number)
        if not wanted.page_size:
            raise RestoreError(
                "one customer comes out of a SQLite backup only; load this one into an empty "
                "PostgreSQL database (see RESTORE.txt) and look there"
            )
        proven = opening.fetch(shop, place, checked, wanted, work, identities, progress)
        with shop_at(shop, proven.path) as copied, copied.reading() as copy:
            subject = copied.one(copy, who)["customer_id"]
            if shop.ledger.erased([subject]):
                raise rescue.NotThere(
                    "this customer was erased at their own request; nothing comes back"
                )
            with shop.writing(actor, now) as live:
                seen = rescue.look(copy, live, shop.tables, subject)
                if not confirm(seen):
                    return None
                done = rescue.bring_back(copy, live, shop.tables, seen, on_conflict=on_conflict)
                shop.note(live, actor, "undelete", "proof", now, subject=subject)
    return done


def rebuild(
    folder: Path,
    place: Place,
    paper: str,
    secret: Callable[[], str],
    *,
    compare: Callable[[str], None],
    now: datetime,
) -> Shop:
    """Make a lost shop's folder anew, without its database: keys, settings, inventory.

    Call `restore` with the shop that this returns.

    Args:
        folder: A new folder.
        place: Where the backups are.
        paper: The paper key, or the second person's.
        secret: Gives the new passphrase.
        compare: Called with the fingerprint of the key that signed the list, to be compared with
            the papers; raises if it is another one. Whoever could write into the place could have
            put a list there that they signed themselves.
        now: The time.

    Raises:
        NotProven: What lies there does not fit together.
    """
    if folder.exists() and any(folder.iterdir()):
        again = "; if an earlier try made it, leave out --new" * (folder / KEYRING).exists()
        raise NotAShop(f"{folder.name} is not empty; choose a new folder{again}")
    names = place.names()
    keys = place.read(beside.newest(names, "keys"), most=beside.MOST_BYTES)
    generation, rows = recovery.read(keys, paper)
    existed = folder.exists()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        for part in FOLDERS:
            (folder / part).mkdir(mode=0o700)
        file = KeyFile(folder / KEYRING, Passphrase(secret()))
        ring = Keyring.restore(file, rows, generation=generation + 1)
        compare(backup.fingerprint(ring.public_key()))
        return _with_settings(folder, place, ring, keys, paper, now)
    except BaseException:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not existed:
            folder.rmdir()
        raise


def _with_settings(
    folder: Path, place: Place, ring: Keyring, keys: bytes, paper: str, now: datetime
) -> Shop:
    """Fetch shop.toml and inventory.toml, as the signed list tells of them."""
    names = place.names()
    lists, public = opening.lists(place, names), backup.signers(ring)
    checked = manifest.check(lists, public_keys=public, now=now, names=names)
    newest = opening.choose(checked, None)
    along = {name.partition("-")[0]: name for name in newest.beside}
    if manifest.sha256(keys) != newest.beside.get(along.get("keys", "")):
        raise NotProven("the keys in this place are not those that its newest backup tells of")
    sealed = place.read(along["folder"], most=beside.MOST_BYTES)
    data = beside.unseal(
        along["folder"], sealed, [recovery.check(paper)], sha256=newest.beside[along["folder"]]
    )
    held = beside.unpack(data, (SETTINGS, INVENTORY), allowed=(PUBLIC,))
    for name, content in held.items():
        _put(folder / name, content)
    said, inventory = settings.load(folder / SETTINGS), Inventory.load(folder / INVENTORY)
    return Shop(folder, said, inventory, ring)


def shop_at(shop: Shop, path: Path) -> Shop:
    """Return the shop with another database file."""
    said = replace(shop.settings, database=f"sqlite:///{path.resolve()}")
    return Shop(shop.folder, said, shop.inventory, shop.keyring)


def _load(shop: Shop, home: Home, state: State, proven: Proven) -> None:
    """Load a dump into the empty database, where it can be used at once.

    If the restore ends before it has erased again, the state tells of it, `upkeep.status` warns,
    and the same restore run again goes on from here.
    """
    url = shop.engine.url
    into = f"backup {proven.manifest.seq} into {url.database} at {url.host}:{url.port}"
    before, state.loading = state.loading, into
    home.save(state)
    try:
        pgdump.load(proven.path, backup.address(shop))
    except pgdump.PgdumpError as problem:
        if before == into and isinstance(problem, pgdump.NotEmpty):
            return
        state.loading = before
        home.save(state)
        raise


def _finish(shop: Shop, actor: str, now: datetime) -> int:
    """Erase again who was erased since, and log the restoring; return how many there were."""
    database.check(shop.engine, quick=True)  # every page was looked at when it was proven
    erased = removals.replay(shop, actor=actor, now=now)
    removals.finish(shop, actor=actor, now=now)
    with shop.writing(actor, now) as connection:
        shop.note(connection, actor, "restore", "proof", now)
    database.settle(shop.engine)
    return erased


def newest_ledger(
    shop: Shop,
    place: Place,
    checked: Checked,
    state: State,
    identities: Sequence[str],
    work: Path,
    *,
    anyway: bool,
) -> ledger.Ledger:
    """Return the newest erasure ledger there is, in the private folder.

    Raises:
        WithoutLedger: There was a newer one.
    """
    key = next(k for k in shop.keyring.keys if k.purpose == "ledger" and k.secret).secret
    wanted = max([state.ledger, *(one.ledger for one in checked.chain)])
    hashes = {name: told for one in checked.chain for name, told in one.beside.items()}
    found: list[tuple[int, bytes]] = []
    with suppress(ledger.LedgerError, OSError):
        found.append((shop.ledger.head[0], shop.ledger.path.read_bytes()))
    with suppress(PlaceError, beside.BesideError):
        name = beside.newest(set(place.names()) & set(hashes), "ledger")
        data = place.read(name, most=beside.MOST_BYTES)
        opened = beside.unseal(name, data, identities, sha256=hashes[name])
        found.append((beside.which(name), opened))
    newest = work / LEDGER
    if found:
        newest.write_bytes(max(found)[1])
    told = ledger.Ledger(newest, key)
    try:
        told.expect(*wanted)
    except ledger.LedgerError as problem:
        if not anyway:
            raise WithoutLedger(
                f"{problem}. Without it, customers who were erased come back. If it is lost for "
                "good, say so: --without-ledger"
            ) from None
    return told


def _keep_ledger(shop: Shop, told: ledger.Ledger) -> None:
    if told.path.exists() and told.path != shop.folder / LEDGER:
        _put(shop.folder / LEDGER, told.path.read_bytes())


def _kept_name(now: datetime) -> str:
    """Return under which name what was replaced is kept."""
    return f"{backup.BEFORE}{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def replaced(folder: Path, said: Settings) -> dict[Path, date]:
    """Return what restores replaced and is kept, and the day from which `forget_kept` deletes it.

    Args:
        folder: The shop's folder.
        said: Its settings.
    """
    url = sa.make_url(said.database)
    if url.get_backend_name() != "sqlite" or not url.database:
        return {}
    found = {}
    for path in sorted((folder.resolve() / url.database).parent.glob(f"{backup.BEFORE}*")):
        with suppress(ValueError):  # somebody's own folder
            at = datetime.fromisoformat(path.name.removeprefix(backup.BEFORE)[:16])
            if not path.name.endswith(".part"):  # the next backup deletes that
                found[path] = at.astimezone(said.zone).date() + timedelta(days=KEPT_DAYS)
    return found


def kept(shop: Shop, *, now: datetime) -> list[Path]:
    """Return what was kept of replaced databases, and has been kept long enough."""
    places = {path.parent for path in shop.files()}
    found = [path for place in places for path in sorted(place.glob(f"{backup.BEFORE}*"))]
    over = _kept_name(now - timedelta(days=KEPT_DAYS))
    return [path for path in found if path.name < over]


def forget_kept(shop: Shop, *, now: datetime) -> int:
    """Delete what was kept of replaced databases when its time is over; return how many there were.

    Customers who were erased since are in it.
    """
    found = kept(shop, now=now)
    for path in found:
        shutil.rmtree(path)
    return len(found)


def _remember(
    home: Home,
    state: State,
    place: Place,
    name: str | None,
    checked: Checked,
    wanted: Manifest,
    now: datetime,
) -> None:
    """Keep the list that was found, so that the next backup goes on from it."""
    have = home.manifests()
    files = [manifest.manifest_name(one) for one in checked.chain]
    ours = {name[:6]: name for name in have}
    if any(ours.get(file[:6], file) != file for file in files):
        return  # of a list before ours, or of another computer's: mixed, neither could go on
    for file in files:
        if file not in have:
            home.write(f"{MANIFESTS}/{file}", place.read(file, most=MOST_MANIFEST))
    state.head = max(state.head, checked.head)
    if name:
        there = state.place(name)
        there.has = sorted({*there.has, *(one.seq for one in checked.here)})
        if wanted.seq >= there.seq:
            there.seq, there.made, there.seen = wanted.seq, text(wanted.at), text(now)
    home.save(state)


def _put(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    handle = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
