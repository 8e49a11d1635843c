# SPDX-License-Identifier: MIT-0
"""Keep less: the birthday without its year, the region without the street, a band for a number.

Copy: ``kit copy minimise --into DIR``, or take this file as it is.
Needs: Python 3.11, pandas, pyarrow. Nothing else from this kit.
Data: none.

Each step makes less of a value, and there is no way back. `row` and `columns` take a row or whole
columns through them, and drop what they are not told to keep; that alone makes a region of an
address::

    keep            as it is
    month and day   --02-29           of a date: enough for a birthday treat
    age band        25 to 34          of a date, at a day; the oldest and youngest are one band each
    year, month     2026, 2026-11     of a date or a time
    area            902               the first half of a postcode
    initials        A. M.             of a name
    band            50 to 99          of a whole number
    yes or no       True              whether there was anything at all

Less is not nothing: month and day, postcode area and initials together point at one person in a
small town. Whoever publishes needs `trends` too.

Source: age bands as in many surveys, with 13 and 18 as edges, the ages of US rules for children
(16 CFR 312) and of majority; month and day alone, RFC 6350 (vCard) 4.3.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa

AGES = (13, 18, 25, 35, 45, 55, 65)  # first year of each band but the youngest
AMOUNTS = (1, 10, 50, 100, 500, 1_000)  # likewise, for numbers

Frame = TypeVar("Frame", pd.DataFrame, pa.Table)


class MinimiseError(Exception):
    """Base of the errors below. Messages never hold a value."""


class BadStep(MinimiseError):
    """There is no such step, or its edges are no rising row of numbers."""


class NotRead(MinimiseError):
    """A value is not what its step makes less of."""


@dataclass(frozen=True)
class Step:
    """What is made of a column, and what that needs to know.

    Attributes:
        name: One of the words above.
        edges: For bands: the first number of each but the lowest.
    """

    name: str
    edges: tuple[int, ...] = ()


def month_and_day(day: date) -> str:
    """Return a date without its year, such as ``--02-29``."""
    return f"{day:--%m-%d}"


def age(born: date, *, on: date) -> int:
    """Return somebody's age in years on a day; born on 29 February, they turn on 1 March."""
    born = born.date() if isinstance(born, datetime) else born  # pandas knows no plain dates
    if born > on:
        raise NotRead("born after that day; correct the birthday")
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


def age_band(born: date, *, on: date, edges: Sequence[int] = AGES) -> str:
    """Return the band of somebody's age on a day, such as ``25 to 34``."""
    return band(age(born, on=on), edges=edges)


def band(number: int, *, edges: Sequence[int] = AMOUNTS) -> str:
    """Return the band that a number lies in: ``under 1``, ``1 to 9`` ... ``1000 and over``."""
    if not edges or any(low >= high for low, high in zip(edges, edges[1:], strict=False)):
        raise BadStep("edges rise, such as 13, 18, 25; write them so")
    above = sum(number >= edge for edge in edges)
    if above == 0:
        return f"under {edges[0]}"
    if above == len(edges):
        return f"{edges[-1]} and over"
    low, high = edges[above - 1], edges[above] - 1
    return f"{low}" if low == high else f"{low} to {high}"


def area(postcode: str) -> str:
    """Return the part of a postcode that many share: 902 of 90210-1234, SW1A of SW1A 1AA."""
    first = re.split("[ -]", " ".join(postcode.split()).upper())[0]
    if re.search("[A-Z]", first) and " " in postcode.strip():
        return first  # two halves, as in Britain, Canada and Ireland
    return first[: (len(first) + 1) // 2]


def initials(name: str) -> str:
    """Return the first letter of each word of a name, such as ``A. M.``."""
    return " ".join(f"{word[0].upper()}." for word in name.split())


def row(values: Mapping[str, Any], steps: Mapping[str, str | Step], *, on: date) -> dict[str, Any]:
    """Return one row in which each field has been through its step, and no other is left.

    Args:
        values: Field to value; None stays None.
        steps: By field the name of a step, or a `Step` with edges.
        on: The day of ages.
    """
    _check(steps, values)
    return {name: _cells([values[name]], name, step, on)[0] for name, step in steps.items()}


def columns(frame: Frame, steps: Mapping[str, str | Step], *, on: date) -> Frame:
    """Return a table in which each column has been through its step, and no other is left.

    Args:
        frame: A DataFrame or an Arrow table.
        steps: By column the name of a step, or a `Step` with edges.
        on: The day of ages.

    Raises:
        BadStep: There is no such step, or no such column.
        NotRead: A cell is not what its step takes; the message names its column.
    """
    arrow = isinstance(frame, pa.Table)
    _check(steps, frame.column_names if arrow else frame.columns)
    done: dict[str, Any] = {}
    for name, said in steps.items():
        step = _step(said).name
        if step == "keep":
            done[name] = frame[name]
            continue
        cells = _cells(_list(frame, name), name, said, on)
        kind = {"year": "Int64", "yes or no": "bool"}.get(step, "str")
        done[name] = _array(cells, kind) if arrow else pd.Series(cells, frame.index, dtype=kind)
    return pa.table(done) if arrow else pd.DataFrame(done, index=frame.index)


def _array(cells: list[Any], kind: str) -> Any:
    types = {"Int64": pa.int64(), "bool": pa.bool_(), "str": pa.string()}
    return pa.array(cells, types[kind])


def _list(frame: Any, name: str) -> list[Any]:
    """Return a column as a list, missing cells as None."""
    if isinstance(frame, pa.Table):
        cells: list[Any] = frame[name].to_pylist()
        return cells
    gone = frame[name].isna().tolist()
    return [None if no else cell for cell, no in zip(frame[name].tolist(), gone, strict=True)]


def _step(said: str | Step) -> Step:
    return Step(said) if isinstance(said, str) else said


def _check(steps: Mapping[str, str | Step], names: Iterable[str]) -> None:
    if unknown := sorted(set(steps) - set(names)):
        raise BadStep(f"no field {', '.join(unknown)}; is it spelled as in the table?")
    if any(_step(said).name not in STEPS for said in steps.values()):
        raise BadStep(f"a step is one of: {', '.join(STEPS)}")


def _cells(cells: Iterable[Any], name: str, said: str | Step, on: date) -> list[Any]:
    """Take the cells of one column through their step."""
    step = _step(said)
    takes, make = STEPS[step.name]
    made = []
    for cell in cells:
        if cell is None:
            made.append(False if step.name == "yes or no" else None)
        elif takes is not object and (isinstance(cell, bool) or not isinstance(cell, takes)):
            raise NotRead(f"{name}: holds something else than its step takes; convert it first")
        else:
            made.append(make(cell, step.edges, on))
    return made


Make = Callable[[Any, tuple[int, ...], date], Any]
STEPS: dict[str, tuple[type, Make]] = {  # what each takes, and what it makes of it
    "keep": (object, lambda cell, edges, on: cell),
    "month and day": (date, lambda cell, edges, on: month_and_day(cell)),
    "age band": (date, lambda cell, edges, on: age_band(cell, on=on, edges=edges or AGES)),
    "year": (date, lambda cell, edges, on: cell.year),
    "month": (date, lambda cell, edges, on: f"{cell:%Y-%m}"),
    "area": (str, lambda cell, edges, on: area(cell)),
    "initials": (str, lambda cell, edges, on: initials(cell)),
    "band": (int, lambda cell, edges, on: band(cell, edges=edges or AMOUNTS)),
    "yes or no": (object, lambda cell, edges, on: True),
}
