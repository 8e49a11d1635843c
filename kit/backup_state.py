# SPDX-License-Identifier: MIT-0
"""Remember what was seen of the backups, so that one which vanishes or stops is noticed.

Copy: ``kit copy backup_state --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

A folder ``.backup`` beside the database, readable by its owner only::

    state.json         what follows; no secret in it
    last_full.sqlite   the copy that the last full backup holds: differentials build on it
    manifests/         the signed list of all backups, also of those that are gone
    beside/            small sealed files that go with every backup
    lock               held by whoever backs up; the system lets go of it if that program dies

    {"format":1,"head":[43,"hash of manifest 43"],"ledger":[7,"hash of line 7"],
     "places":{"usb":{"has":[12,41,43],"seen":"2026-11-24T09:30:00Z","seq":43,"fault":""}},
     "drill":{"at":"…","seq":43,"key":"escrow","ok":true,"place":"usb",
     "proven":43},
     "rehearsed":{"at":"…","key":"first 16 hex digits of the SHA-256 of a public key"}}

A list of backups cannot show that its own end was cut off; `head` here shows it. Writing is atomic:
a crash leaves the old state or the new one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER, STATE, BASE, LOCK = ".backup", "state.json", "last_full.sqlite", "lock"
MANIFESTS, BESIDE, END = "manifests", "beside", ".manifest.json"
FORMAT = 1
NONE: tuple[int, str] = (0, "0" * 64)  # the head of an empty list


class StateError(Exception):
    """Base of the errors below."""


class Busy(StateError):
    """Another program is backing up or restoring."""


class BadState(StateError):
    """The file was changed by something else than the kit."""


@dataclass
class PlaceState:
    """What is known of one place without looking at it again."""

    has: list[int] = field(default_factory=list)  # backups that were stored there whole
    seq: int = 0  # the newest whose bytes were read back and were right
    made: str = ""  # when that one was made
    seen: str = ""  # when that was
    fault: str = ""  # what went wrong the last time
    wrong: str = ""  # with its list, when all of it was last read: the newest is not restored then


@dataclass
class State:
    """What was seen, and what was proven."""

    head: tuple[int, str] = NONE  # number and hash of the newest manifest
    ledger: tuple[int, str] = NONE  # number and hash of the newest line
    places: dict[str, PlaceState] = field(default_factory=dict)
    drill: dict[str, Any] = field(default_factory=dict)
    rehearsed: dict[str, str] = field(default_factory=dict)
    loading: str = ""  # into PostgreSQL, where a restore was cut short: see restore.py

    @property
    def proven(self) -> int | None:
        """Number of the newest backup that a drill restored, also if a later drill failed."""
        last = self.drill.get("seq") if self.drill.get("ok") else None
        return self.drill.get("proven") or last

    def place(self, name: str) -> PlaceState:
        """Return what is known of a place; nothing at first."""
        return self.places.setdefault(name, PlaceState())


class Home:
    """The folder ``.backup`` of one shop."""

    def __init__(self, shop: Path) -> None:
        """Name it; it is made when something is written.

        Args:
            shop: The shop's folder.
        """
        self.folder = shop / FOLDER
        self.base = self.folder / BASE

    def load(self) -> State:
        """Return the state; an empty one if there is none yet.

        Raises:
            BadState: The file is not one that `save` wrote.
        """
        try:
            said = json.loads((self.folder / STATE).read_bytes())
            if said.pop("format") != FORMAT:
                raise BadState(f"{STATE} was written by a newer kit; update the kit")
            places = {name: PlaceState(**one) for name, one in said.pop("places").items()}
            head, ledger = tuple(said.pop("head")), tuple(said.pop("ledger"))
            return State(head=head, ledger=ledger, places=places, **said)
        except FileNotFoundError:
            return State()
        except (ValueError, TypeError, KeyError, AttributeError):
            raise BadState(
                f"{FOLDER}/{STATE} cannot be read; move it away, then run: kit backup verify"
            ) from None

    def save(self, state: State) -> None:
        """Write the state; a crash leaves the old one or the new one."""
        self.write(STATE, json.dumps({"format": FORMAT, **asdict(state)}, indent=1).encode())

    def write(self, name: str, data: bytes) -> Path:
        """Write a file in the folder at once, readable by its owner only."""
        target = self.folder / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
        try:
            handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # before it takes the name: a crash leaves the old file
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def manifests(self) -> dict[str, bytes]:
        """Return the list of backups as it was signed: file names and what they hold."""
        files = sorted((self.folder / MANIFESTS).glob(f"*{END}"))
        return {path.name: path.read_bytes() for path in files}

    def forget_base(self) -> None:
        """Delete the copy that differentials build on: somebody in it was erased.

        It is as readable as the database was. The next backup is a full one.
        """
        self.base.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else back up or restore this shop meanwhile.

        Raises:
            Busy: Somebody does.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / LOCK).open("a+b") as file:
            try:
                _lock(file.fileno())
            except OSError:
                raise Busy(
                    "another program is backing up or restoring this shop; wait for it, then "
                    "try again"
                ) from None
            yield

    @contextmanager
    def work(self) -> Iterator[Path]:
        """Give an empty folder that only its owner may enter, and delete it with all in it.

        What a power cut left is deleted first; call it while `locked`.
        """
        import shutil
        import tempfile

        for old in self.folder.glob("work-*"):
            shutil.rmtree(old, ignore_errors=True)
        for half in self.folder.rglob(".*.part"):
            half.unlink(missing_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="work-", dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def text(moment: datetime) -> str:
    """Return a moment as it stands in the state."""
    if moment.tzinfo is None:
        raise StateError("the moment has no time zone; hand over an aware datetime")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(written: str) -> datetime | None:
    """Undo `text`; nothing stays None."""
    with suppress(ValueError):
        return datetime.strptime(written, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return None


def _lock(handle: int) -> None:
    """Lock an open file for this program; the system unlocks it however the program ends."""
    if sys.platform == "win32":  # pragma: no cover
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
