# SPDX-License-Identifier: MIT-0
"""Turn values into bytes and back, so that an encrypted birthday comes back a date, not a text.

Copy: ``kit copy kinds --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

One letter for the kind, then the value in its plain written form, UTF-8::

    t text           t555-0100             i whole number   i-42
    n Decimal        n19.90                f float          f0.1 (the shortest that comes back)
    b bool           b1 or b0              x bytes          x and the bytes as they are
    d date           d1984-02-29
    w datetime       w2026-11-24T09:30:00-05:00[America/New_York]

A datetime needs a zone. Its moment always comes back; the zone's name too if it is a
`zoneinfo.ZoneInfo` and the machine that reads it knows that name, otherwise its offset.

Source: ISO 8601, with the name of the zone in brackets as in RFC 9557.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

Value = str | int | float | Decimal | date | datetime | bool | bytes


class KindsError(Exception):
    """Base of the errors below. Messages never hold a value."""


class NotKept(KindsError):
    """A value of this kind would not come back as it is."""


class NotRead(KindsError):
    """The bytes are none that `write` makes."""


def write(value: object) -> bytes | None:
    """Return the letter and the bytes of a value.

    Args:
        value: One of `Value`. NumPy's numbers and dates and pandas' Timestamps are taken
            as Python's own.

    Returns:
        None for None, NaN, and pandas' NA and NaT; otherwise bytes.

    Raises:
        NotKept: Another type; a datetime with no zone or with nanoseconds; text with
            half a character; a whole number of over 4300 digits.
    """
    try:
        plain = _plain(value)
        if plain is None:
            return None
        if type(plain) is bytes:
            return b"x" + plain
        letter, spell = WRITE[type(plain)]
        return (letter + spell(plain)).encode()
    except (ValueError, LookupError):  # it may hold the value, so nothing is raised in here
        pass
    raise NotKept(
        f"this {type(value).__name__} would not come back as it is; use text, a whole number of "
        "up to 4300 digits, Decimal, float, bool, bytes, date, or a datetime with a zone and no "
        "nanoseconds"
    )


def read(written: bytes) -> Value:
    """Undo `write`.

    Raises:
        NotRead: The letter is unknown, or the rest is not written as it should be.
    """
    letter, body = written[:1], written[1:]
    if letter == b"x":
        return body
    try:
        return READ[letter](body.decode())
    except (ValueError, ArithmeticError, LookupError):  # as above
        pass
    raise NotRead("no kind of value that is known here; another program or a newer kit made it")


def _plain(value: Any) -> Any:
    """Return NumPy's and pandas' kinds as Python's own, and what is missing as None."""
    if getattr(value, "shape", None) == ():  # a NumPy number, or a date
        item = value.item()
        if isinstance(item, int) and value.dtype.kind in "Mm":  # nanoseconds, as a bare count
            raise ValueError
        value = item
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, Decimal) and value.is_nan():
        return None
    if getattr(value, "nanosecond", 1) == 0:  # a pandas Timestamp that a datetime can hold
        return value.to_pydatetime()
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _write_moment(moment: datetime) -> str:
    if moment.utcoffset() is None:
        raise ValueError
    zone = moment.tzinfo.key if isinstance(moment.tzinfo, ZoneInfo) else None
    return moment.isoformat() + (f"[{zone}]" if zone else "")


def _read_moment(text: str) -> datetime:
    text, _, zone = text.removesuffix("]").partition("[")
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None:
        raise ValueError
    try:
        place = ZoneInfo(zone) if zone else None
    except (ValueError, KeyError, OSError):  # none that this machine knows
        place = None
    if place is None:
        return moment
    for fold in (0, 1):  # the hour that comes twice in autumn
        local = moment.replace(tzinfo=place, fold=fold)
        if local.utcoffset() == moment.utcoffset():
            return local
    return moment.astimezone(place)  # the zone's rules have changed since


WRITE: dict[type, tuple[str, Callable[[Any], str]]] = {
    str: ("t", str),
    int: ("i", str),
    Decimal: ("n", str),
    float: ("f", repr),
    bool: ("b", "{:d}".format),
    date: ("d", date.isoformat),
    datetime: ("w", _write_moment),
}
READ: dict[bytes, Callable[[str], Value]] = {
    b"t": str,
    b"i": int,
    b"n": Decimal,
    b"f": float,
    b"b": {"0": False, "1": True}.__getitem__,
    b"d": date.fromisoformat,
    b"w": _read_moment,
}
