# SPDX-License-Identifier: MIT-0
"""Seal the personal columns of a whole table in one call, so that a CSV can leave the till's PC.

Copy: ``kit copy frames --into DIR``, or take this file as it is.
Needs: Python 3.11, pandas, pyarrow. Nothing else from this kit.
Data: none.

A pandas DataFrame or an Arrow table goes in, and the same comes out. What happens to a
column stands in a mapping, in the words of the inventory::

    {"email": "seal and index", "phone": "seal", "customer_id": "pseudonym", "city": "open"}

    open             stays as it is, as do columns that are not named
    seal             becomes tokens: text for a CSV, or bytes for a BLOB
    seal and index   likewise, and a column NAME_index of whole numbers comes beside it
    pseudonym        becomes stand-ins

The cipher, the index and the stand-ins are handed over; each row is bound to its key, so
no token can be moved to another row. Nothing is changed in place, and on any error nothing
comes back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Protocol, TypeVar

import pandas as pd
import pyarrow as pa

PROTECTIONS = ("open", "seal", "seal and index", "pseudonym")
SUFFIX = "_index"
SHORTEST = 22  # bytes of a token; this and the next line as in encrypt.py
TEXT_TOKEN = re.compile(r"\s*k1\.A[Q-Za-f][A-Za-z0-9_-]{28,}=*\s*")

Frame = TypeVar("Frame", pd.DataFrame, pa.Table)
Number = Callable[[str, list[Any]], list[int | None]]
StandIn = Callable[[list[Any]], list[str | None]]
Done = dict[str, tuple[list[Any], Any]]  # new cells, and the Arrow type if they are all empty


class FramesError(Exception):
    """Base of the errors below. Messages never hold a value."""


class BadPlan(FramesError):
    """The mapping and the table do not fit, or something that it needs was not handed over."""


class HalfSealed(FramesError):
    """Some cells of a column are tokens and some are not."""


class Cipher(Protocol):
    """What seals and opens columns, such as `encrypt.Cipher` with `kinds`."""

    def seal_column(
        self, values: Iterable[Any], *, table: str, column: str, rows: Iterable[Any]
    ) -> list[bytes | None]:
        """Return tokens, or raise an error of its own."""

    def unseal_column(
        self, tokens: Iterable[Any], *, table: str, column: str, rows: Iterable[Any]
    ) -> list[Any]:
        """Return values, or raise an error of its own."""


def seal_frame(
    frame: Frame,
    protect: Mapping[str, str],
    *,
    cipher: Cipher,
    table: str,
    key_column: str,
    to_text: Callable[[bytes], str] | None = None,
    number: Number | None = None,
    stand_in: StandIn | None = None,
) -> Frame:
    """Protect the columns that *protect* names, and leave the rest.

    Args:
        frame: A DataFrame or an Arrow table.
        protect: Column name to one of `PROTECTIONS`.
        cipher: Seals whole columns.
        table: Name of the table, part of every token's place.
        key_column: Holds the row ids: none missing, no two alike, and left open.
        to_text: Turns a token into text, for a CSV: `encrypt.to_text`. Otherwise bytes.
        number: For "seal and index": called with ``table.column`` and the values,
            returns the numbers. See `blind_index.py`.
        stand_in: For "pseudonym": called with the values, returns the stand-ins.

    Raises:
        BadPlan: A column is missing or named twice, a protection unknown, the key column
            unfit, or *number* or *stand_in* is wanted.
        HalfSealed: A column holds tokens and other values.
        Exception: Errors of *cipher*, *number* and *stand_in* pass through; a column
            that is sealed already is refused by the cipher.
    """
    names = _names(frame)
    protect = {name: protection for name, protection in protect.items() if protection != "open"}
    for name, protection in protect.items():
        if protection not in PROTECTIONS:
            raise BadPlan(f"{name}: a protection is one of: {', '.join(PROTECTIONS)}")
        if name not in names:
            raise BadPlan(f"{name}: no such column; is it spelled as in the table?")
        if protection == "pseudonym" and stand_in is None:
            raise BadPlan(f"{name}: a pseudonym needs stand_in=, see pseudonyms.py")
        if protection == "seal and index" and number is None:
            raise BadPlan(f"{name}: an index needs number=, see blind_index.py")
        if protection != "pseudonym" and name + SUFFIX in names:  # opening would drop it
            raise BadPlan(f"{name + SUFFIX}: there already, as if it were the index; rename it")
    if key_column in protect:
        raise BadPlan(f"{key_column}: the key column stays open; tokens are bound to it")
    rows = _rows(frame, key_column)
    done: Done = {}
    for name, protection in protect.items():
        cells = _cells(frame, name)
        if _are_sealed(name, cells) and protection == "pseudonym":
            raise BadPlan(f"{name}: sealed already; open it first, or its stand-ins match nothing")
        if protection == "pseudonym" and stand_in:
            done[name] = list(stand_in(cells)), pa.string()
            continue
        tokens = cipher.seal_column(cells, table=table, column=name, rows=rows)
        done[name] = list(tokens), pa.binary()
        if to_text:
            done[name] = [token and to_text(token) for token in tokens], pa.string()
        if protection == "seal and index" and number:
            done[name + SUFFIX] = list(number(f"{table}.{name}", cells)), pa.int64()
    sealed: Frame = _with(frame, done)
    return sealed


def unseal_frame(
    frame: Frame, fields: Iterable[str], *, cipher: Cipher, table: str, key_column: str
) -> Frame:
    """Open the sealed columns named in *fields*; their index columns are dropped.

    Values come back as they were. A column of numbers, dates or flags gets the narrowest
    type of pandas or Arrow that holds it with its gaps, which need not be the one before;
    Decimals of one Arrow column get one number of places.

    Raises:
        BadPlan: A column is missing, the key column is unfit, or an Arrow column cannot
            hold the values as they are.
        HalfSealed: A column holds tokens and other values.
        Exception: Errors of *cipher* pass through.
    """
    names = _names(frame)
    rows = _rows(frame, key_column)
    done: Done = {}
    for name in fields:
        if name not in names:
            raise BadPlan(f"{name}: no such column; is it spelled as in the table?")
        cells = _cells(frame, name)
        _are_sealed(name, cells)
        done[name] = cipher.unseal_column(cells, table=table, column=name, rows=rows), pa.null()
    index = [name + SUFFIX for name in done if name + SUFFIX in names]
    opened: Frame = _with(frame, done, index)
    return opened


def _names(frame: Any) -> list[str]:
    names = list(frame.columns if isinstance(frame, pd.DataFrame) else frame.column_names)
    if len(set(names)) < len(names):
        raise BadPlan("two columns have one name; rename one")
    return names


def _cells(frame: Any, name: str) -> list[Any]:
    """Return a column as a list, missing cells as None."""
    if isinstance(frame, pa.Table):
        cells: list[Any] = frame.column(name).to_pylist()
        return cells
    gone = frame[name].isna().tolist()
    return [None if no else cell for cell, no in zip(frame[name].tolist(), gone, strict=True)]


def _rows(frame: Any, key_column: str) -> list[Any]:
    """Return the row ids, fit to bind tokens to."""
    if key_column not in _names(frame):
        raise BadPlan(f"{key_column}: no such key column; each row needs an id to be bound to")
    rows = _cells(frame, key_column)
    if None in rows or len(set(map(str, rows))) < len(rows):
        raise BadPlan(f"{key_column}: an id is missing or stands twice; tokens could be swapped")
    return rows


def _are_sealed(name: str, cells: list[Any]) -> bool:
    """Tell whether a column is sealed; refuse one of which only a part is."""
    present = [cell for cell in cells if cell is not None]
    sealed = sum(map(_is_sealed, present))
    if 0 < sealed < len(present):
        raise HalfSealed(
            f"{name}: {sealed} of {len(present)} cells are sealed and the others are not; "
            "take the table from before, and see who wrote to it since"
        )
    return sealed > 0


def _is_sealed(cell: Any) -> bool:
    """Tell whether a cell has the form of a token; as looks_sealed in encrypt.py."""
    if isinstance(cell, bytes):
        if len(cell) >= SHORTEST and cell[:1] == b"\x01":
            return True
        cell = cell.decode("latin-1")
    return isinstance(cell, str) and TEXT_TOKEN.fullmatch(cell) is not None


def _with(frame: Any, done: Done, dropped: Iterable[str] = ()) -> Any:
    """Return a new frame with these columns in place of the old ones, new ones at the end."""
    if isinstance(frame, pd.DataFrame):
        made = {name: _series(cells, frame.index) for name, (cells, _) in done.items()}
        return frame.assign(**made).drop(columns=list(dropped))
    for name, (cells, empty) in done.items():
        column = _array(name, cells, empty)
        if name in frame.column_names:
            frame = frame.set_column(frame.column_names.index(name), name, column)
        else:
            frame = frame.append_column(name, column)
    notes = dict(frame.schema.metadata or {})
    if b"pandas" in notes:  # what the columns were, for to_pandas, which insists on it
        told = json.loads(notes[b"pandas"])
        told["columns"] = [note for note in told["columns"] if note.get("field_name") not in done]
        frame = frame.replace_schema_metadata({**notes, b"pandas": json.dumps(told).encode()})
    return frame.drop_columns(list(dropped))


def _kinds(cells: list[Any]) -> set[tuple[type, Any]]:
    """Return the types of cells; two time zones are two types."""
    return {(type(c), getattr(c, "tzinfo", None)) for c in cells if c is not None}


def _array(name: str, cells: list[Any], empty: Any) -> Any:
    """Return an Arrow column; *empty* is the type of one with no values."""
    if not (kinds := _kinds(cells)):
        return pa.nulls(len(cells), empty)
    if len(kinds) == 1:  # of a date and a datetime, Arrow makes two dates
        with suppress(pa.ArrowException, OverflowError, TypeError):  # they hold a value
            return pa.array(cells)
    raise BadPlan(f"{name}: Arrow cannot hold its values as they are; open it with unseal_column")


def _series(cells: list[Any], index: Any) -> pd.Series[Any]:
    """Return a pandas column; numbers and flags with gaps stay what they are."""
    kinds = _kinds(cells)
    kind = kinds.pop()[0] if len(kinds) == 1 else object
    dtype: Any = None if kind in (int, bool, str, float, datetime) else object
    if kind in (int, bool) and None in cells:  # pandas would make floats of them
        fits = all(-(2**63) <= cell < 2**63 for cell in cells if cell is not None)
        dtype = {int: "Int64", bool: "boolean"}[kind] if fits else object
    column: pd.Series[Any] = pd.Series(cells, index=index, dtype=dtype)
    return column
