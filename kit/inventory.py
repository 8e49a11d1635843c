# SPDX-License-Identifier: MIT-0
"""Write down every field you hold and why, so that nothing is kept by accident.

Copy: ``kit copy inventory --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: inventory.toml.

An inventory is a TOML file. `format`, then `[purposes]` (the only reasons that
count, each in one sentence), then one section per field, ``[table.field]``::

    [customers.email]
    what = "e-mail address"             # in words a customer understands
    class = "contact"                   # one of CLASSES
    purposes = ["receipts"]             # names from [purposes], at least one
    keep = "3 years after last purchase"
    protect = "seal and index"          # one of PROTECTIONS
    see = ["owner", "manager"]          # roles that see it unmasked
    disclose = "give"                   # one of DISCLOSURES
    ccpa = "A"                          # category letter, "none" if it is not about a person
    also = ["Email", "Email Address"]   # optional: its names in the files you have

A key in ``[table]`` itself is the default for that table's fields. Every field
ends up with every key but `also`; what is missing, unknown or endless is an error.

Source: category letters A to L are those of Cal. Civ. Code 1798.140(v)(1).
"""

from __future__ import annotations

import calendar
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

FORMAT = 1
CLASSES = (
    "contact",
    "identity",
    "payment",
    "credential",
    "government id",
    "health",
    "behaviour",
    "loyalty",
    "note",
    "internal",
)
PROTECTIONS = (
    "open",  # stored as it is
    "seal",  # encrypted; cannot be searched
    "seal and index",  # encrypted; found again by an exact match
    "pseudonym",  # replaced by a stable stand-in wherever it leaves the shop
)
DISCLOSURES = ("give", "name only", "internal")
ROLES = ("cashier", "manager", "owner", "marketer", "trainer")
CCPA_LETTERS = (*"ABCDEFGHIJKL", "none")
EVENTS = (
    "collection",
    "sale",
    "last purchase",
    "withdrawal",
    "account closed",
    "employment ended",
    "request answered",
    "last use",
)
UNITS = ("day", "week", "month", "year")
LONGEST_YEARS = 30  # a typing error such as 300 is caught; no shop rule known to us asks for more

REQUIRED = ("what", "class", "purposes", "keep", "protect", "see", "disclose", "ccpa")
KEYS = (*REQUIRED, "also")
NAME = re.compile(r"[a-z][a-z0-9_]*")
KEEP = re.compile(rf"(\d+) ({'|'.join(UNITS)})s? after ({'|'.join(EVENTS)})")


class InventoryError(Exception):
    """Base of the errors below. `line` is the line in the file, or None."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class BadFile(InventoryError):
    """The file cannot be read, is not TOML, or says one thing twice."""


class BadEntry(InventoryError):
    """A field's section lacks something or says something that is not allowed."""


@dataclass(frozen=True)
class Keep:
    """How long a field may be kept: *count* units after an event."""

    count: int
    unit: str
    event: str

    def until(self, start: date) -> date:
        """Return the last day on which the field may be held.

        Args:
            start: Day of the event, in the shop's own time zone.

        Returns:
            The same day number *count* months or years later; the last day of
            the month where that number does not exist (31 January plus one
            month is 28 or 29 February). Months are added in one step.
        """
        if self.unit in ("day", "week"):
            return start + timedelta(days=self.count * (7 if self.unit == "week" else 1))
        months = start.month - 1 + self.count * (12 if self.unit == "year" else 1)
        year, month = start.year + months // 12, months % 12 + 1
        return date(year, month, min(start.day, calendar.monthrange(year, month)[1]))

    def __str__(self) -> str:
        return f"{self.count} {self.unit}{'' if self.count == 1 else 's'} after {self.event}"


@dataclass(frozen=True)
class Field:
    """One field: what it is, why it is held, and what may be done with it."""

    table: str
    name: str
    what: str
    kind: str  # the key `class`, which Python keeps for itself
    purposes: tuple[str, ...]
    keep: Keep
    protect: str
    see: tuple[str, ...]
    disclose: str
    ccpa: str
    also: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """``table.field``, the name used by every part of the kit."""
        return f"{self.table}.{self.name}"

    @property
    def personal(self) -> bool:
        """Whether the field says something about a person."""
        return self.ccpa != "none"


class Inventory:
    """Every field the shop holds, by its full name ``table.field``."""

    def __init__(self, fields: Iterable[Field], purposes: Mapping[str, str]) -> None:
        self.fields = {field.full_name: field for field in fields}
        self.purposes = dict(purposes)
        self._known = {_plain(name): field for name, field in self.fields.items()}
        for field in self.fields.values():
            for other in field.also:
                self._known.setdefault(_plain(other), field)

    @classmethod
    def load(cls, path: Path) -> Inventory:
        """Read an inventory file.

        Raises:
            BadFile: It cannot be read, or is not TOML; the message names the line.
            BadEntry: A field lacks a key or a value is not allowed; likewise.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")  # editors on Windows add a mark
        except FileNotFoundError:
            raise BadFile(
                f"{path.name}: no such file; `kit init` writes one to start from"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise BadFile(
                f"{path.name}: cannot be read ({type(error).__name__}); save it again as UTF-8 text"
            ) from None
        return cls.parse(text, name=path.name)

    @classmethod
    def default(cls) -> Inventory:
        """Return the inventory of a till with a loyalty programme, to start from."""
        return cls.load(Path(__file__).with_name("inventory.toml"))

    @classmethod
    def parse(cls, text: str, *, name: str = "inventory") -> Inventory:
        """Read an inventory from its text; *name* stands in the error messages."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise _not_toml(name, str(error)) from None
        return cls(*_read(data, text, name))

    def find(self, column: str) -> Field | None:
        """Return the field written down for *column*, by full name or by an `also` name.

        Capitals, surrounding blanks and doubled blanks make no difference.
        """
        return self._known.get(_plain(column))

    def gaps(self, columns: Iterable[str]) -> list[str]:
        """Name every column that is not written down, once, in the order given."""
        return [column for column in dict.fromkeys(columns) if self.find(column) is None]


def _plain(name: str) -> str:
    """Fold what differs between two spellings of one header."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _not_toml(name: str, message: str) -> BadFile:
    """Put the parser's complaint into words; it already knows the line."""
    found = re.search(r"at line (\d+)", message)
    line = int(found[1]) if found else None
    where = f"{name}, line {line}" if line else name
    if "twice" in message or "overwrite" in message:
        return BadFile(f"{where}: written twice; keep one and delete the other", line=line)
    return BadFile(
        f"{where}: not TOML here; look for a missing quote, bracket or equals sign", line=line
    )


def _line_of(text: str, table: str, field: str | None = None, key: str | None = None) -> int | None:
    """Return the line where a section, or a key in it, stands. Only for messages."""
    wanted = (f"[{table}.{field}]" if field else f"[{table}]").replace(" ", "")
    section = None
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.split("#")[0].replace(" ", "").replace('"', "").replace("'", "")
        if bare.startswith("["):
            if section is not None:
                break
            section = number if bare.strip() == wanted else None
        elif section and key and bare.split("=")[0] == key:
            return number
    return None if key else section


def _read(data: dict[str, object], text: str, name: str) -> tuple[list[Field], Mapping[str, str]]:
    """Turn parsed TOML into fields, or say what is wrong and where."""
    if data.pop("format", None) != FORMAT:
        raise BadFile(f"{name}: must say `format = {FORMAT}` before the first section; add it")
    purposes = data.pop("purposes", None)
    if not isinstance(purposes, dict) or not purposes:
        raise BadFile(
            f"{name}: has no [purposes]; list the reasons you hold data for, one per line"
        )
    for purpose, sentence in purposes.items():
        if not isinstance(sentence, str) or not sentence.strip():
            line = _line_of(text, "purposes", None, purpose)
            raise BadEntry(
                f"{_where(name, line)}: purpose {purpose!r} must be a sentence in quotes", line=line
            )
    fields: list[Field] = []
    for table, section in data.items():
        if not isinstance(section, dict) or not NAME.fullmatch(table):
            raise BadFile(f"{name}: {table!r} is not a section [table.field]; check its spelling")
        defaults = {key: value for key, value in section.items() if not isinstance(value, dict)}
        if unknown := sorted(set(defaults) - set(KEYS)):
            line = _line_of(text, table, None, unknown[0])
            raise BadEntry(f"{_where(name, line)}, [{table}]: {_unknown(unknown[0])}", line=line)
        for field, entry in section.items():
            if isinstance(entry, dict):
                fields.append(_field(table, field, {**defaults, **entry}, purposes, text, name))
    if not fields:
        raise BadFile(f"{name}: holds no field yet; write one section [table.field] for each")
    owners = {_plain(field.full_name): field for field in fields}
    for one in fields:
        for other in one.also:
            if (first := owners.setdefault(_plain(other), one)) is not one:
                line = _line_of(text, one.table, one.name, "also")
                raise BadEntry(
                    f"{_where(name, line)}, [{one.full_name}]: also {other!r} is a name of "
                    f"[{first.full_name}] already; keep it at one of them",
                    line=line,
                )
    return fields, purposes


def _where(name: str, line: int | None) -> str:
    return f"{name}, line {line}" if line else name


def _unknown(key: str) -> str:
    return f"unknown key {key!r}; allowed are {', '.join(KEYS)}"


def _field(
    table: str,
    field: str,
    entry: dict[str, object],
    purposes: Mapping[str, str],
    text: str,
    name: str,
) -> Field:
    """Check one section, key by key, and return the field."""

    def fail(key: str, problem: str) -> BadEntry:
        line = (
            _line_of(text, table, field, key)
            or _line_of(text, table, None, key)
            or _line_of(text, table, field)
        )
        return BadEntry(f"{_where(name, line)}, [{table}.{field}]: {problem}", line=line)

    def one_of(key: str, allowed: tuple[str, ...]) -> str:
        value = entry[key]
        if value not in allowed:
            raise fail(key, f"{key} must be one of: {', '.join(allowed)}")
        return str(value)

    def texts(key: str, allowed: Iterable[str] | None = None) -> tuple[str, ...]:
        value = entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            raise fail(key, f'{key} must be a list of words in quotes, such as ["a", "b"]')
        if len(set(value)) < len(value):
            raise fail(key, f"{key} names something twice; keep it once")
        if allowed is not None and (unknown := sorted(set(value) - set(allowed))):
            raise fail(key, f"{key}: {unknown[0]!r} is not one of: {', '.join(allowed)}")
        return tuple(value)

    if not NAME.fullmatch(field):
        raise fail("", "a field name is small letters, digits and _, and starts with a letter")
    if unknown := sorted(set(entry) - set(KEYS)):
        raise fail(unknown[0], _unknown(unknown[0]))
    if not entry.get("purposes"):
        raise fail("purposes", "has no purpose; say what it is for, or stop holding it")
    if missing := [key for key in REQUIRED if key not in entry]:
        raise fail(missing[0], f"lacks {', '.join(missing)}; add a line for each")
    what = entry["what"]
    if not isinstance(what, str) or not what.strip():
        raise fail("what", "what must say in a few words what the field is")
    return Field(
        table=table,
        name=field,
        what=what.strip(),
        kind=one_of("class", CLASSES),
        purposes=texts("purposes", purposes),
        keep=_keep(entry["keep"], fail),
        protect=one_of("protect", PROTECTIONS),
        see=texts("see", ROLES),
        disclose=one_of("disclose", DISCLOSURES),
        ccpa=one_of("ccpa", CCPA_LETTERS),
        also=texts("also"),
    )


def _keep(value: object, fail: Callable[[str, str], BadEntry]) -> Keep:
    """Read ``"3 years after last purchase"``; refuse what never ends."""
    said = value if isinstance(value, str) else ""
    found = KEEP.fullmatch(" ".join(said.split()))
    if not found:
        if any(word in said.casefold() for word in ("forever", "ever", "always", "indefinite")):
            raise fail("keep", 'keep must end; write for example "3 years after last purchase"')
        raise fail(
            "keep",
            f'keep must read "NUMBER {"|".join(UNITS)} after EVENT"; '
            f"events are: {', '.join(EVENTS)}",
        )
    try:
        keep = Keep(int(found[1]), found[2], found[3])
        too_long = keep.until(date(2000, 1, 1)) > date(2000 + LONGEST_YEARS, 1, 1)
    except (OverflowError, ValueError):  # beyond the year 9999, or thousands of digits
        too_long = True
    if too_long:
        raise fail("keep", f"keep is over {LONGEST_YEARS} years; is a digit too many?")
    return keep
