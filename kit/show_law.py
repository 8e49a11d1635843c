# SPDX-License-Identifier: MIT-0
"""Say what a law asks and by when, in lines that a person reads in a terminal or a lesson.

Every function takes what the tools returned and gives lines; `closing` belongs under all of them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from kit import binding

if TYPE_CHECKING:
    from kit.clocks import Deadline
    from kit.law import Coverage, Row
    from kit.legal import Book

WIDTH = 96  # characters; a terminal and a notebook both show them without a break
LABEL = 11
NOT_SURE = {"low": "unconfirmed: shown, never counted with", "medium": "medium", "high": "high"}
NO_DATE = {"cannot": "no date", "not_started": "not begun", "stopped": "stopped"}


def coverage(book: Book, found: Iterable[Coverage], *, everything: bool = False) -> Iterator[str]:
    """Yield what binds, what is unknown, and how much does not bind (*everything*: which)."""
    every = list(found)
    for answer in ("yes", "unknown", "no"):
        for one in every:
            parts = [part for part in one.partial if part.answer == answer]
            alone = bool(one.rows) and set(one.rows) <= {part.key for part in one.partial}
            if one.answer == answer and not alone and (everything or answer != "no"):
                law = book.laws.get(one.key)
                yield f"{answer:<8} {law.name if law else one.key}"
                yield from _wrapped(_why(one.reason), 9)
            for part in parts if everything or answer != "no" else ():
                yield f"{answer:<8} {part.key}"
                yield from _wrapped(book.get(part.key).plain, 9)
                yield from _wrapped(_why(part.reason), 9)
    hidden = sum(one.answer == "no" for one in every)
    if hidden and not everything:
        yield f"no       {hidden} more do not bind the shop; --all says which and why"
    open_ = " ".join(
        part.reason for one in every for part in (one, *one.partial) if part.answer == "unknown"
    )
    if names := sorted(name for name in binding.FIELDS if re.search(rf"\b{name}\b", open_)):
        yield ""
        yield from _wrapped(f"To know more, say under [business]: {', '.join(names)}", 0)


def deadline(made: Deadline, row: Row) -> Iterator[str]:
    """Yield a deadline: what to do, the day to work to, and how sure it is."""
    yield from _wrapped(row.plain, 0)
    if made.start is not None:
        yield _line("counts from", moment(made.start))
    if made.state == "computed":
        yield _line("send by", moment(made.send_by) if made.send_by else "unknown, see the doubts")
        yield _line("due", moment(made.due) + (" (extended)" if made.extended else ""))
        if made.latest not in (None, made.due):
            yield _line("latest", f"{moment(made.latest)}: a generous reading, nothing to aim at")
    else:
        yield from _wrapped(f"{NO_DATE[made.state]:<{LABEL}} {made.why}", LABEL + 1, first=0)
        if made.floor is not None:
            yield _line("floor", f"{moment(made.floor)}: it cannot be due before that day")
        if made.task:
            yield _line("do", made.task)
    for doubt in made.doubts:
        yield from _wrapped(f"{'doubt':<{LABEL}} {doubt}", LABEL + 1, first=0)
    yield _line("written in", f"{made.cite}, rule {made.rule}")


def rule(row: Row) -> Iterator[str]:
    """Yield all that is known of a rule."""
    yield f"{row.id}  ({row.law.name})"
    yield from _wrapped(row.plain, 2)
    if row.quote:
        yield from _wrapped(f'"{row.quote}"', 2)
    ends = f" to {row.ends}" if row.ends else ""
    yield _line("  written in", row.cite)
    yield _line("  read", f"{row.read_on} at {row.source.get('name')}")
    yield _line("  address", str(row.source.get("url") or "none"))
    yield _line("  in force", f"from {row.starts}{ends}")
    yield _line("  read again", f"by {row.review_by}")
    yield _line("  sure", f"{NOT_SURE[row.confidence]}, {row.quality}")
    for doubt in row.doubts:
        yield from _wrapped(f"  {'doubt':<{LABEL}} {doubt}", LABEL + 3, first=0)
    for name in ("clock", "keep", "value", "only_if"):
        if said := getattr(row, name):
            text = ", ".join(f"{key} {_plain(value)}" for key, value in said.items())
            yield from _wrapped(f"  {name.replace('_', ' '):<{LABEL}} {text}", LABEL + 3, first=0)
    yield ""


def closing(book: Book, ids: Iterable[str], today: date) -> Iterator[str]:
    """Yield what belongs under everything that came of these rows: overdue, and no lawyer."""
    used = list(ids)
    yield ""
    if late := book.banner(used, today):
        yield from _wrapped(late, 0)
    yield from _wrapped(book.disclaimer(used or [row.id for row in book.all_rows]), 0)


def moment(when: date | datetime | None) -> str:
    """Return a day or a time in words: Mon 2026-03-16."""
    if isinstance(when, datetime):
        return f"{when:%a %Y-%m-%d %H:%M %z}"
    return f"{when:%a %Y-%m-%d}" if when else "unknown"


def coverage_data(one: Coverage) -> dict[str, Any]:
    """Return a coverage for JSON."""
    partial = [coverage_data(part) for part in one.partial]
    return {**vars(one), "rows": list(one.rows), "partial": partial}


def deadline_data(made: Deadline) -> dict[str, Any]:
    """Return a deadline for JSON."""
    names = ("rule", "state", "start", "due", "send_by", "latest", "strict", "doubts", "cite")
    return {
        name: _data(getattr(made, name)) for name in (*names, "why", "floor", "task", "extended")
    }


def rule_data(row: Row) -> dict[str, Any]:
    """Return a rule for JSON."""
    return {**{k: _data(v) for k, v in vars(row).items() if k != "law"}, "law": row.law.key}


def _data(value: Any) -> Any:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _data(one) for key, one in value.items()}
    return [_data(one) for one in value] if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{key} {_plain(one)}" for key, one in value.items()) + ")"
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return str(value).replace("_", " ")


def _why(reason: str) -> str:
    return reason.partition(": ")[2] or reason


def _line(label: str, text: str) -> str:
    width = LABEL + (2 if label.startswith(" ") else 0)
    return f"{label:<{width}} {text}"


def _wrapped(text: str, indent: int, *, first: int | None = None) -> list[str]:
    begin = " " * (indent if first is None else first)
    return textwrap.wrap(text, WIDTH, initial_indent=begin, subsequent_indent=" " * indent)
