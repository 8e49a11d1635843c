# SPDX-License-Identifier: MIT-0
"""Look after the backups: what there is, whether it is still right, what may go, and what is red.

What stands here is told by evidence, bytes that were read back, and not by what is configured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from kit import backup, keeping, manifest, opening
from kit.backup import Progress, quiet
from kit.backup_state import BadState, Home, State, moment, text
from kit.manifest import Checked, Manifest, Pruned
from kit.places import Locked, Place, PlaceError
from kit.settings import Settings
from kit.shop import Shop

RED_AFTER = timedelta(days=3)  # a long weekend; others noticed after 14 to 62 days (issue trackers)
DRILL_AFTER = timedelta(days=35)  # a drill a month, and a few days


class UpkeepError(Exception):
    """A place's name is not in shop.toml."""


@dataclass(frozen=True)
class Listed:
    """One backup of the list, and in which places it is."""

    manifest: Manifest
    places: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """How one place stands."""

    name: str
    label: str
    offsite: bool
    backups: int
    seq: int  # the newest that was read back and was right
    made: datetime | None  # when it was made
    seen: datetime | None  # when it was read back
    fault: str


@dataclass(frozen=True)
class Status:
    """How all stands. `red` says what is wrong and what to do, most urgent first."""

    red: tuple[str, ...]
    places: tuple[Standing, ...]
    drill: Mapping[str, Any]
    people: tuple[str, ...]
    leaves_on: date | None  # when somebody who is erased today leaves the last backup


@dataclass(frozen=True)
class Verified:
    """What was found in one place."""

    name: str
    checked: Checked | None
    right: tuple[int, ...]  # numbers of backups whose every byte is as it was
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Pruning:
    """What is let go in one place, and what was."""

    name: str
    plan: keeping.Plan
    gone: tuple[int, ...]
    faults: tuple[str, ...]


def listed(folder: Path, said: Settings, public: list[bytes]) -> list[Listed]:
    """Return every backup of the list that some place still holds, oldest first."""
    home = Home(folder)
    state = home.load()
    found = []
    for data in home.manifests().values():
        one = manifest.read(data, public_keys=public)
        where = tuple(name for name in said.backup.places if one.seq in state.place(name).has)
        if where:
            found.append(Listed(one, where))
    return found


def status(folder: Path, said: Settings, *, now: datetime) -> Status:
    """Say how the backups stand. No place is asked and no key is needed, so it is quick.

    Args:
        folder: The shop's folder.
        said: Its settings.
        now: The time.
    """
    state = Home(folder).load()
    who = backup.people(folder, said)
    homes = backup.places(folder, said)
    stand = tuple(
        Standing(
            name,
            place.label,
            name in said.backup.offsite,
            len(state.place(name).has),
            state.place(name).seq,
            moment(state.place(name).made),
            moment(state.place(name).seen),
            "; ".join(filter(None, (state.place(name).wrong, state.place(name).fault))),
        )
        for name, place in homes.items()
    )
    leaves = _leaves_on(folder, said, state, now)
    red = [
        f"{name} is named as away from the shop, but lies in the shop's own folder, which a fire "
        f"or a thief takes as a whole; name another: kit backup place {name} ADDRESS --offsite"
        for name in said.backup.offsite
        if "://" not in (address := said.backup.places.get(name, "://"))
        and (folder / address).resolve().is_relative_to(folder.resolve())
    ]
    red += _red(state, stand, who, now)
    return Status(tuple(red), stand, state.drill, tuple(who), leaves)


def alarm(folder: Path, said: Settings, *, now: datetime) -> str:
    """Return the most urgent thing that is wrong with the backups, or nothing."""
    try:
        red = status(folder, said, now=now).red
    except BadState as problem:
        return str(problem)
    return red[0] if red else ""


def rehearsed(folder: Path, *, now: datetime) -> None:
    """Note that the paper key was read back from the paper and opened what it should."""
    home = Home(folder)
    with home.locked():
        state = home.load()
        state.rehearsed = {"at": text(now), "key": backup.OWNER}
        home.save(state)


def _red(
    state: State, stand: tuple[Standing, ...], who: Mapping[str, str], now: datetime
) -> list[str]:
    """Return what is wrong, each with what to do."""
    red = []
    if state.loading:
        red.append(
            f"restoring {state.loading} was cut short, so customers who were erased may be back; "
            "before anybody works there, run the same kit backup restore again"
        )
    if backup.OWNER not in who:
        red.append("there is no paper key; make one: kit keys recovery")
    elif len({*who.values()}) < 2:
        red.append("only one person can open the backups; add a second: kit backup person escrow")
    if not state.head[0]:
        red.append("there is no backup yet; make one: kit backup make")
    made = [one.made for one in stand if one.offsite and one.made]
    past = [at for at in made if at <= now + backup.AHEAD]
    if not any(one.offsite for one in stand):
        red.append(
            "no place is away from the shop, so a fire or a thief takes the backups along; name "
            "one in shop.toml: [backup.places], and in offsite under [backup]"
        )
    elif state.head[0] and not made:
        red.append("no backup was ever proven to be away from the shop: kit backup make")
    elif made and not past:
        red.append(
            "the newest proven backup away from the shop is dated in the future, so its age tells "
            "nothing; set this computer's clock, then: kit backup make"
        )
    elif past and now - max(past) > RED_AFTER:
        days = (now - max(past)).days
        red.append(
            f"the newest proven backup away from the shop is {days} days old; make one, and look "
            "why none came: kit backup make"
        )
    if backup.OWNER in who and not state.rehearsed:
        red.append(
            "nobody has read the paper key back, so a slip of the pen would show too late; with "
            "the paper in your hand: kit keys rehearse"
        )
    drilled = moment(str(state.drill.get("at", "")))
    if state.head[0] and not drilled:
        red.append("no backup was ever restored to see whether it works: kit backup drill")
    elif drilled and not state.drill.get("ok"):
        red.append(
            "the last drill failed; its certificate in records says why. If a backup was at fault: "
            "kit backup verify, then kit backup make; then again: kit backup drill"
        )
    elif drilled and drilled > now + backup.AHEAD:
        red.append("the last drill is dated in the future; set the clock, then: kit backup drill")
    elif drilled and now - drilled > DRILL_AFTER:
        red.append(
            f"the last drill was {(now - drilled).days} days ago, with the key of "
            f"{state.drill['key']}; now with another person's: kit backup drill"
        )
    return red + [f"{one.name}: {one.fault}" for one in stand if one.fault]


def _leaves_on(folder: Path, said: Settings, state: State, now: datetime) -> date | None:
    """Return when somebody who is erased today leaves the last backup."""
    held = {seq for name in said.backup.places for seq in state.place(name).has}
    here = [one for one in _told(Home(folder)) if one.seq in held]
    if not here:
        return None
    return keeping.leaves_on(here, now=now, zone=said.zone, rules=backup.rules(said))


def _told(home: Home) -> list[keeping.Backup]:
    """Return what the names of the manifests tell: enough to plan with, and no key is needed."""
    found = []
    for name, data in home.manifests().items():
        if match := manifest.MANIFEST_NAME.fullmatch(name):
            at = datetime.strptime(match["at"], manifest.STAMP).replace(tzinfo=UTC)
            told = json.loads(data)
            base, until = told.get("base"), told.get("keep_until")
            promised = date.fromisoformat(until) if until else None
            found.append(keeping.Backup(int(match["seq"]), at, match["kind"], base, promised))
    return found


def verify(
    shop: Shop, *, now: datetime, only: str | None = None, progress: Progress = quiet
) -> list[Verified]:
    """Read every backup in every place, and compare each byte with the signed list.

    No secret key is needed, so it can run unattended; that a backup can be restored is shown by a
    drill.

    Args:
        shop: The shop.
        now: The time.
        only: The name of one place.
        progress: Called with the step, the bytes done and their sum.

    Raises:
        UpkeepError: No place is called so.
    """
    home, homes = Home(shop.folder), backup.places(shop.folder, shop.settings)
    if only is not None and only not in homes:
        raise UpkeepError(f"no place is called that; there are: {', '.join(homes)}")
    found = []
    with home.locked(), home.work() as work:
        state = home.load()
        for name, place in homes.items():
            if only not in (None, name):
                continue
            found.append(done := _verified(shop, place, name, state, work, now, progress))
            one = state.place(name)
            if done.checked is None:
                one.fault = "; ".join(done.faults)
                continue
            unlisted = [f.text for f in done.checked.faults if f.kind not in opening.HARMLESS]
            one.wrong = "; ".join(unlisted)  # stays until it is read again: no backup heals it
            one.fault = "; ".join(fault for fault in done.faults if fault not in unlisted)
            one.has = sorted(done.right)
            if done.right:
                newest = next(m for m in done.checked.chain if m.seq == max(done.right))
                one.seq, one.made, one.seen = newest.seq, text(newest.at), text(now)
        home.save(state)
    return found


def _verified(
    shop: Shop,
    place: Place,
    name: str,
    state: State,
    work: Path,
    now: datetime,
    progress: Progress,
) -> Verified:
    had = {*state.place(name).has}
    try:
        checked = opening.look(shop, place, name=name, now=now, state=state)
    except PlaceError as problem:
        return Verified(name, None, (), (str(problem),))
    faults = [f.text for f in checked.faults if f.kind != "no file" or f.seq in had]
    right = []
    for one in checked.here:
        try:
            place.get(
                one.file,
                work / "file",
                size=one.size,
                progress=lambda done, total, seq=one.seq: progress(  # type: ignore[misc]
                    f"reading {name}: backup {seq}", done, total
                ),
            )
            with (work / "file").open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == one.sha256
            if same:
                right.append(one.seq)
            else:
                faults.append(f"the file of backup {one.seq} is altered, or another has its name")
        except PlaceError as problem:
            faults.append(f"backup {one.seq}: {problem}")
        finally:
            (work / "file").unlink(missing_ok=True)
    return Verified(name, checked, tuple(right), tuple(faults))


def prune(shop: Shop, *, now: datetime, do: bool, progress: Progress = quiet) -> list[Pruning]:
    """Let go of backups that the rules no longer keep; first it is signed which and why.

    Args:
        shop: The shop.
        now: The time.
        do: False only says what would go.
        progress: Called with the step, how many are done and their sum.
    """
    home, homes = Home(shop.folder), backup.places(shop.folder, shop.settings)
    found = []
    with home.locked():
        state = home.load()
        for name, place in homes.items():
            try:
                found.append(_pruned(shop, place, name, state, now, do, progress))
            except PlaceError as problem:
                found.append(Pruning(name, keeping.Plan({}, (), ()), (), (str(problem),)))
        home.save(state)
    return found


def _pruned(
    shop: Shop, place: Place, name: str, state: State, now: datetime, do: bool, progress: Progress
) -> Pruning:
    checked = opening.look(shop, place, name=name, now=now, state=state)
    here = [keeping.Backup(m.seq, m.at, m.kind, m.base, m.keep_until) for m in checked.here]
    rules = backup.rules(shop.settings)
    plan = keeping.plan(here, now=now, zone=shop.settings.zone, rules=rules, proven=state.proven)
    faults = [f.text for f in checked.faults if f.kind not in opening.HARMLESS]
    if faults and plan.remove:
        faults.append("so nothing is let go there; look into it first: kit backup verify")
    files = {m.seq: m.file for m in checked.chain}
    names = {*place.names()}
    late = [seq for seq in checked.gone if files.get(seq) in names]  # cut short last time
    gone: list[int] = []
    if do and not faults and (plan.remove or late):
        if plan.remove:
            record = Pruned(now.astimezone(UTC), tuple(sorted(plan.remove)), name, str(rules))
            ring = shop.keyring
            data = manifest.sign_pruned(record, ring.sign, ring.public_key())
            place.put_bytes(data, manifest.pruned_name(data))
        todo = sorted({*plan.remove, *late})
        for number, seq in enumerate(todo, 1):
            try:
                place.remove(files[seq])
                gone.append(seq)
            except Locked as problem:
                faults.append(str(problem))
            progress(f"letting go: {name}", number, len(todo))
    if do and not faults:
        place.sweep(now)
        left = {*place.names()}
        one = state.place(name)  # also what went last time, if that was cut short before this line
        one.has = [n for n in one.has if n not in checked.gone | {*gone} or files.get(n) in left]
    return Pruning(name, plan, tuple(gone), tuple(faults))
