# SPDX-License-Identifier: MIT-0
"""Read an old legal row again in ten minutes, and leave a trace of who did and what they found.

Copy: ``kit copy law_review --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

For each row that is due, a person opens its address and looks for its words. Three answers::

    still_there   read_on and review_by move on
    not_found     the row stays due; a doubt is printed beside every date counted with it
    new_text      a new row with the new words; the old one gets its last day and stays

The files are changed in place, comments and all, and read back before they are saved: what changed
must be what was meant and nothing else. ``CHANGES.md`` in the same folder gets a line each time.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Protocol

LONGEST_QUOTE = 15  # words; as in law_check.py
ROLES = ("not a lawyer", "lawyer")
CHANGES = "CHANGES.md"
ROW = re.compile(r"\s*\[\[row\]\]\s*(#.*)?")
TABLE = re.compile(r"\s*\[\[?[\w.]+\]\]?\s*(#.*)?$")
GONE = "its words were not found at the address on "
ADDRESS = re.compile(r"https?://\S+\.\S+")


class ReviewError(Exception):
    """Base of the errors below. Nothing was changed."""


class NoSuchRow(ReviewError):
    """No file of the folder has a row of that id."""


class BadAnswer(ReviewError):
    """What was said cannot be written down; the message says why."""


class CannotEdit(ReviewError):
    """The file is written in a way that this program cannot change safely; do it by hand."""


class Row(Protocol):
    """What is needed of a row, such as ``law.Row``."""

    @property
    def id(self) -> str:
        """Return its name."""

    @property
    def plain(self) -> str:
        """Return what it says, in our words."""

    @property
    def quote(self) -> str:
        """Return the law's own words, or nothing."""

    @property
    def cite(self) -> str:
        """Return where they stand in the law."""

    @property
    def source(self) -> Mapping[str, Any]:
        """Return where they were read."""

    @property
    def read_on(self) -> date:
        """Return when."""

    @property
    def review_by(self) -> date:
        """Return by when they are to be read again."""

    @property
    def ends(self) -> date | None:
        """Return its last day; a rule that has ended is not read again."""


@dataclass(frozen=True)
class Step:
    """One row to be read again, and what to ask."""

    id: str
    plain: str
    quote: str
    cite: str
    address: str
    read_on: date
    review_by: date

    @property
    def question(self) -> str:
        """What a person is asked."""
        look = "are these words still there" if self.quote else "does it still say so there"
        return f"Open {self.address}: {look}? (y / n / new text)"


def steps(rows: Iterable[Row], today: date) -> list[Step]:
    """Return the rows that should have been read again by now, the longest due first."""
    due = [
        Step(
            row.id,
            row.plain,
            row.quote,
            row.cite,
            str(row.source.get("url") or row.source.get("name")),
            row.read_on,
            row.review_by,
        )
        for row in rows
        if row.review_by < today and (row.ends is None or row.ends >= today)
    ]
    return sorted(due, key=lambda step: (step.review_by, step.id))


def next_reading(step: Step, today: date) -> date:
    """Return by when to read a row again: as far off as it was, 30 days at least."""
    return today + max(step.review_by - step.read_on, timedelta(days=30))


@dataclass(frozen=True)
class Reader:
    """Who reads, and as what; both stand in the row afterwards."""

    name: str
    role: str = "not a lawyer"

    def __post_init__(self) -> None:
        if self.role not in ROLES or not self.name.strip() or not self.name.isprintable():
            raise BadAnswer(f"say your name, and whether you are {' or '.join(ROLES)}")


def still_there(folder: Path, id_: str, *, reader: Reader, today: date, again_by: date) -> None:
    """Write down that the words still stand, and by when they are to be read again."""
    _later(again_by, today)
    place = _Place.find(folder, id_)
    place.set("read_on", today)
    place.set("review_by", again_by)
    place.set("reviewed_by", {"name": reader.name, "role": reader.role})
    left = _without_gone(place.row)
    if left != place.row.get("doubts", []):
        place.set("doubts", left)
        if place.row["confidence"] == "medium" and not left:  # it was the only doubt
            place.set("confidence", "high")
    line = f"- `{id_}`: still there; to be read again by {again_by}"
    _save(place, folder, reader, today, line)


def not_found(folder: Path, id_: str, *, reader: Reader, today: date) -> None:
    """Write down that the words were not there. The row stays due, and says so beside its dates.

    It goes on counting: a deadline that may be gone makes nobody late.
    """
    place = _Place.find(folder, id_)
    doubt = f"{GONE}{today}; ask a lawyer"
    place.set("doubts", [*place.row.get("doubts", []), doubt])
    if place.row["confidence"] == "high":
        place.set("confidence", "medium")
    _save(place, folder, reader, today, f"- `{id_}`: its words were not found; left as due")


def new_text(
    folder: Path,
    id_: str,
    *,
    quote: str,
    plain: str,
    starts: date,
    reader: Reader,
    today: date,
    again_by: date,
    address: str = "",
    n: int | None = None,
    example: Mapping[str, Any] | None = None,
) -> str:
    """Make a new row of new words, and give the old row its last day.

    Args:
        folder: The folder of facts.
        id_: The row whose words have changed.
        quote: The new words, 15 at most, as they stand there.
        plain: What they say, in your own words.
        starts: The first day on which they are the law; the old row's last day is the one before.
        reader: Who reads.
        today: Becomes `read_on`.
        again_by: Becomes `review_by`.
        address: Where the new words stand, if it is not the old address.
        n: The new number of days, hours or months, if it has changed.
        example: For a row with a clock, one case worked by hand: ``{"received": day, "due": day}``.

    Returns:
        The id of the new row.
    """
    _later(again_by, today)
    words = quote.split()
    if not words or len(words) > LONGEST_QUOTE or "..." in quote or "…" in quote:
        raise BadAnswer(f"copy 1 to {LONGEST_QUOTE} words that stand together, without gaps")
    if not plain.strip():
        raise BadAnswer("say in a sentence of your own what the new words mean")
    place = _Place.find(folder, id_)
    old, force = place.row, place.row["in_force"]
    if starts <= force["from"] or "to" in force:
        raise BadAnswer(f"{id_} must be in force until the new words are; mend the day")
    if address and not ADDRESS.fullmatch(address):
        raise BadAnswer("the address must begin with https:// or http://")
    made = {key: value for key, value in old.items() if key != "examples"}
    made |= {"id": _free_id(folder, f"{id_}.from_{starts:%Y_%m_%d}"), "quote": quote.strip()}
    made |= {"plain": plain.strip(), "quality": "verified", "in_force": {"from": starts}}
    made |= {"read_on": today, "review_by": again_by}
    if "doubts" in old:
        made["doubts"] = _without_gone(old)
    made["reviewed_by"] = {"name": reader.name, "role": reader.role}
    made["source"] = {**old["source"], "current_to": today}
    if address:
        made["source"] |= {"url": address, "kind": "primary"}
    if "clock" in old:
        if not example or "due" not in example:
            raise BadAnswer("a clock needs a case worked by hand: when it came in, when it is due")
        made["clock"] = old["clock"] if n is None else {**old["clock"], "n": n}
        made["examples"] = [dict(example)]
    elif n is not None:
        raise BadAnswer(f"{id_} has no clock to change; put the number in its sentence")
    place.set("in_force", {**force, "to": starts - timedelta(days=1)})
    place.set("superseded", {"by": made["id"], "reason": "amended"})
    place.append(made)
    line = f"- `{id_}`: ends the day before {starts}; followed by `{made['id']}`: new words there"
    _save(place, folder, reader, today, line)
    return str(made["id"])


def _without_gone(row: Mapping[str, Any]) -> list[str]:
    """Return a row's doubts without those that end when its words are found."""
    return [doubt for doubt in row.get("doubts", []) if not doubt.startswith(GONE)]


def _save(place: _Place, folder: Path, reader: Reader, today: date, line: str) -> None:
    """Write the line first: a change without one is the worse half."""
    text = place.checked()
    _note(folder, reader, today, line)
    _write(place.path, text)


class _Place:
    """Where a row stands: its file, and the lines of it."""

    def __init__(self, path: Path, text: str, number: int, rows: list[dict[str, Any]]) -> None:
        self.path, self._number = path, number
        self._expected = tomllib.loads(text)
        lines = text.splitlines()
        begins = [at for at, line in enumerate(lines) if ROW.fullmatch(line)]
        if len(begins) != len(rows):
            raise CannotEdit(f"{path.name}: its rows are written unlike [[row]]; edit it by hand")
        end = begins[number + 1] if number + 1 < len(begins) else len(lines)
        self._before, self._block, self._after = (
            lines[: begins[number]],
            lines[begins[number] : end],
            lines[end:],
        )

    @classmethod
    def find(cls, folder: Path, id_: str) -> _Place:
        """Look for a row in all files."""
        for path in sorted([*folder.glob("*.toml"), *folder.glob("obsolete/*.toml")]):
            text = path.read_text(encoding="utf-8")
            if id_ not in text:  # all files read as TOML take 40 ms, as text 2 ms
                continue
            rows = tomllib.loads(text).get("row", [])
            for number, row in enumerate(rows):
                if row.get("id") == id_:
                    return cls(path, text, number, rows)
        raise NoSuchRow(f"no row called {id_[:60]!r}; list them with kit law show")

    @property
    def row(self) -> dict[str, Any]:
        """The row as it will be."""
        found: dict[str, Any] = self._expected["row"][self._number]
        return found

    def set(self, key: str, value: Any) -> None:
        """Change one value of the row, or add it after in_force."""
        block = self._block
        end = next((at for at, x in enumerate(block) if at and TABLE.match(x)), len(block))
        line = f"{key} = {_toml(value)}"
        at = self._at(key, end)
        if at is None:
            after = self._at("in_force", end) or range(1)
            block.insert(after.stop, line)
        else:
            block[at.start : at.stop] = [line]
        self.row[key] = value

    def _at(self, key: str, end: int) -> range | None:
        """Return the lines of a value; a list may go over several."""
        for start in range(1, end):
            if re.match(rf"\s*{key}\s*=", self._block[start]):
                for stop in range(start + 1, end + 1):
                    try:
                        tomllib.loads("\n".join(self._block[start:stop]))
                    except tomllib.TOMLDecodeError:
                        continue
                    return range(start, stop)
        return None

    def append(self, row: dict[str, Any]) -> None:
        """Add a row after this one."""
        simple = {key: value for key, value in row.items() if key not in ("clock", "examples")}
        lines = ["", "[[row]]", *(f"{key} = {_toml(value)}" for key, value in simple.items())]
        if "clock" in row:
            lines += ["", "  [row.clock]"]
            lines += [f"  {key} = {_toml(value)}" for key, value in row["clock"].items()]
        for example in row.get("examples", []):
            lines += ["", "  [[row.examples]]"]
            lines += [f"  {key} = {_toml(value)}" for key, value in example.items()]
        while self._block and not self._block[-1].strip():
            self._block.pop()
        self._block += [*lines, ""]
        self._expected["row"].insert(self._number + 1, row)

    def checked(self) -> str:
        """Return the file's new text, if it reads as it should."""
        text = "\n".join([*self._before, *self._block, *self._after]).rstrip("\n") + "\n"
        try:
            same = tomllib.loads(text) == self._expected
        except tomllib.TOMLDecodeError:
            same = False
        if not same:
            raise CannotEdit(f"{self.path.name}: cannot be changed safely; edit it by hand")
        return text


def _note(folder: Path, reader: Reader, today: date, line: str) -> None:
    """Add a line to the list of changes, newest first."""
    path = folder / CHANGES
    text = path.read_text(encoding="utf-8") if path.exists() else "# Changes to the legal facts\n"
    heading = f"## {today}: read again by {reader.name.replace('`', '')} ({reader.role})\n"
    if heading in text:
        text = text.replace(f"{heading}\n", f"{heading}\n{line}\n", 1)
    else:
        head, mark, rest = text.partition("\n## ")
        text = f"{head.rstrip()}\n\n{heading}\n{line}\n{mark}{rest}"
    _write(path, text)


def _write(path: Path, text: str) -> None:
    """Replace a file: after a power cut it is the old one or the new one."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _free_id(folder: Path, wanted: str) -> str:
    try:
        _Place.find(folder, wanted)
    except NoSuchRow:
        return wanted
    raise BadAnswer(f"{wanted} is there already; a row can be followed once from the same day")


def _later(again_by: date, today: date) -> None:
    if again_by <= today:
        raise BadAnswer(f"the day to read it again must be after {today}")


def _toml(value: Any) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):  # and datetime
        return value.isoformat()
    if isinstance(value, str):
        if not all(sign.isprintable() for sign in value):
            raise BadAnswer("the text has line ends or control signs; write it on one line")
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value)
