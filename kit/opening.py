# SPDX-License-Identifier: MIT-0
"""Open a backup in a private folder and prove that it is what was backed up.

Restoring, drills and rescues all start here: the signed list is checked, the file compared with it,
opened, unpacked, and looked through. What comes out lies in the folder that was handed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kit import archive, backup, manifest, pack, pgdump, snapshot
from kit.backup import CANARIES, MOST_MANIFEST, Progress, quiet
from kit.backup_state import State
from kit.manifest import Checked, Manifest
from kit.places import Place
from kit.shop import CUSTOMERS, Shop

# A disk that was unplugged for some days lacks what was made meanwhile, and lacks it honestly.
HARMLESS = ("no file", "no base", "clock")


class OpeningError(Exception):
    """Base of the error below. Nothing was changed."""


class NotProven(OpeningError):
    """What the place holds does not fit its list, or the restored copy does not fit."""


@dataclass(frozen=True)
class Proven:
    """A restored copy, and what was found in it."""

    manifest: Manifest
    path: Path
    rows: Mapping[str, int]
    marks: Mapping[str, str]  # of a few customers, all as they were when it was made


def look(shop: Shop, place: Place, *, name: str | None, now: datetime, state: State) -> Checked:
    """Check the list of backups in a place.

    Args:
        shop: The shop; its keyring says whose signature counts.
        place: Where.
        name: What shop.toml calls it; None if it is not in there.
        now: The time.
        state: What was seen before: a list whose end was cut off shows only against that.
    """
    names = place.names()
    files = lists(place, names)
    head = state.head if state.head[0] else None
    public = backup.signers(shop.keyring)
    return manifest.check(files, public_keys=public, now=now, names=names, place=name, head=head)


def lists(place: Place, names: Iterable[str]) -> dict[str, bytes]:
    """Return the manifests in a place, and the records of what was let go."""
    ours = (manifest.MANIFEST_NAME, manifest.PRUNED_NAME)
    found = [name for name in names if any(mark.fullmatch(name) for mark in ours)]
    return {name: place.read(name, most=MOST_MANIFEST) for name in found}


def choose(checked: Checked, number: int | None) -> Manifest:
    """Return the backup to restore: the newest, or the one named.

    Raises:
        NotProven: There is none, or the list has a fault, so that the newest may not be it.
    """
    told = [fault.text for fault in checked.faults if fault.kind not in HARMLESS]
    newest = checked.chain[-1] if checked.chain else None
    if newest and newest not in checked.here and newest.seq not in checked.gone:
        told.append(f"the file of backup {newest.seq}, the newest, is not here")
    if number is None and told:
        raise NotProven(
            f"the list of backups does not hold: {'; '.join(told)}. Try another place; to take an "
            "older backup all the same, say its number: --number N"
        )
    found = [one for one in checked.here if number in (None, one.seq)]
    if not found:
        here = ", ".join(str(one.seq) for one in checked.here[-8:]) or "none"
        what = "no backup" if number is None else f"no backup {number}"
        raise NotProven(f"there is {what} in this place; there are: {here}")
    return found[-1]


def fetch(
    shop: Shop,
    place: Place,
    checked: Checked,
    wanted: Manifest,
    work: Path,
    identities: Sequence[str],
    progress: Progress = quiet,
) -> Proven:
    """Bring a backup into a private folder, open it there and prove it.

    Raises:
        NotProven: The copy is not what was backed up.
        ArchiveError, PlaceError: As their modules say.
    """
    base = _base(checked, wanted)
    for one in (base, wanted):
        if one and not (work / one.file).exists():
            place.get(
                one.file,
                work / one.file,
                size=one.size,
                progress=lambda done, total: progress("fetching", done, total),
            )
    copy = work / f"restored-{wanted.seq}"
    squeeze = pack if wanted.page_size else pgdump

    def tick(done: int, total: int) -> None:
        progress("opening", done, total)

    if base is None and not copy.exists():  # it may be there as the base of another one
        archive.unpack_full(
            work / wanted.file, copy, identities, _told(wanted), pack=squeeze, progress=tick
        )
    elif base:
        full = work / f"restored-{base.seq}"
        if not full.exists():
            archive.unpack_full(work / base.file, full, identities, _told(base), pack=pack)
        archive.unpack_diff(
            full, work / wanted.file, copy, identities, _told(wanted), pack=pack, progress=tick
        )
    return _proven(shop, wanted, copy, progress)


def _base(checked: Checked, wanted: Manifest) -> Manifest | None:
    """Return the full backup that a differential needs."""
    if wanted.base is None:
        return None
    for one in checked.here:
        if one.seq == wanted.base:
            return one
    raise NotProven(
        f"backup {wanted.seq} builds on backup {wanted.base}, which is not in this place; try "
        "another place, or an older backup: --number N"
    )


def _told(one: Manifest) -> archive.Sealed:
    return archive.Sealed(one.size, one.sha256, one.plain_size, one.plain_sha256, one.base_sha256)


def _proven(shop: Shop, wanted: Manifest, copy: Path, progress: Progress) -> Proven:
    """Look through the whole copy, and compare it with what the list tells."""
    progress("proving", 0, None)
    marks: dict[int | str, str] = {}
    if wanted.page_size:
        facts = snapshot.facts(copy, hashed=False)  # unpacking it compared the hash
        if facts.problems:
            raise NotProven(
                f"backup {wanted.seq} opens, but the database in it is damaged: "
                f"{facts.problems[0]}; take an older one: --number N"
            )
        rows = facts.rows
        marks = snapshot.canaries(
            copy, CUSTOMERS, "customer_id", key=backup.marks_key(shop), count=CANARIES
        )
        same = facts.schema_sha256 == wanted.schema_sha256
    else:
        rows, same = pgdump.inside(copy), True
    if not same or backup.inside(rows, marks) != wanted.inside_sha256:
        raise NotProven(
            f"backup {wanted.seq} opens, but holds other rows than its list tells; do not use it, "
            "and take an older one: --number N"
        )
    return Proven(wanted, copy, rows, {str(key): mark for key, mark in marks.items()})
