# SPDX-License-Identifier: MIT-0
"""Tidy what people type, and refuse what a shop must not keep, before it is stored anywhere.

Copy: ``kit copy tidy --into DIR``, or take this file as it is.
Needs: Python 3.11, email_validator, pandas, phonenumbers, pyarrow. Nothing else from this kit.
Data: none.

`Tidy.read` reads one answer of a form, `Tidy.table` whole columns of an imported table, by the
same rules::

    id         one line                        name    one line; no card number
    text       one line; no card number, no word about health
    note       likewise, and it may have several lines
    email      the address alone, domain in lower case; not asked whether it exists
    phone      E.164; an extension stays, as ``;ext=`` and its digits (RFC 3966)
    date       YYYY-MM-DD, 1900 to 2099        birthday   likewise, and not in the future
    month_day  ``--MM-DD``, of that or of a whole date; the year is left out
    choice     one of the choices              as is      not looked at (tables only)

Text comes back in Unicode's form NFC, without blanks around it and without invisible marks (of
which the joiners stay: Persian and emoji need them). Control characters are refused. What is
accepted once is accepted again, unchanged. Any name is a name, whatever database or spreadsheet
it might hurt: those are guarded where they are written.

A reason says what is wrong, never the value. Card numbers and words about health are told by two
searches that you hand over, such as those of `cards.look` and `personal.check`.

Source: lengths of e-mail addresses, RFC 5321; month and day alone, RFC 6350 (vCard) 4.3.1.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, Protocol, TypeVar

import email_validator
import pandas as pd
import phonenumbers
import pyarrow as pa

ROW = "#row"  # the raw row number, if the table brings it; without it the first row is row 2
AS_IS = "as is"
LONGEST = {  # characters, unless the rule says otherwise
    "id": 100,
    "name": 80,
    "text": 200,
    "note": 1_000,
    "email": 254,
    "phone": 40,
    "date": 10,
    "birthday": 10,
    "month_day": 10,
    "choice": 80,
}
DATES = ("date", "birthday", "month_day")
NO_CARDS, NO_HEALTH = ("name", "text", "note"), ("text", "note")  # which types are searched
RAW = 10_000  # characters; whatever is longer is not even looked at

# zero-width and soft characters, byte order mark, and marks that turn the direction of text
INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
BREAK = re.compile("\r\n?|[\u2028\u2029]")
FORMULA = re.compile(r"[=@]|[+\-](?![0-9.,]+\Z)")  # a number below zero is none
BRACKETS = re.compile(r"(?:[^<>]*<([^<>]+)>|mailto:(.*))", re.I | re.S)
EXTENSION = r"(?:;ext=|[ ,]*(?:extension|ext|x)[.: ]*)[0-9]{1,7}"
PHONE = re.compile(rf"(?:tel:)?[+(]{{0,2}}[0-9][0-9 ()./-]{{3,30}}(?:{EXTENSION})?", re.I)
WHOLE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
PART = re.compile("(?:--)?([0-9]{2}-[0-9]{2})")

Frame = TypeVar("Frame", pd.DataFrame, pa.Table)
Search = Callable[[Sequence[str]], Iterable[bool]]  # texts → which of them hold it


class TidyError(Exception):
    """Base of the errors below. Messages never hold a value."""


class BadRule(TidyError):
    """A rule is unknown or lacking, or the table has one column twice."""


class _No(TidyError):
    """Why a cell is refused; never leaves this module."""


class Asked(Protocol):
    """What is read off a rule, such as `Rule` below or `forms.Field`."""

    @property
    def type(self) -> str:
        """Return one of the types above."""

    @property
    def required(self) -> bool:
        """Return whether it may be missing."""

    @property
    def longest(self) -> int:
        """Return how many characters it may have; 0 for the usual."""

    @property
    def choices(self) -> Sequence[str]:
        """Return what may be chosen."""


@dataclass(frozen=True)
class Rule:
    """What a cell may be."""

    type: str
    required: bool = False
    longest: int = 0
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A cell, tidied. `refused` says why it is not taken; `notes` what else there is to know."""

    value: str | date | None = field(repr=False)
    refused: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reject:
    """One cell of a table that was not taken: where it stands and why, never what it says."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True)
class Tidied(Generic[Frame]):
    """A table, tidied, and what was not taken over.

    Attributes:
        table: The same columns. A refused cell is empty; a row that lacks a required one is out.
        rejects: Every refused cell.
        notes: How many cells of a column were changed or are worth a look, by column and reason.
        rows_out: How many rows are out.
    """

    table: Frame
    rejects: tuple[Reject, ...]
    notes: Mapping[tuple[str, str], int]
    rows_out: int


class Tidy:
    """Reads answers and columns, with one set of searches and one country."""

    def __init__(self, *, cards: Search, health: Search, region: str = "US") -> None:
        """Hand over what tells card numbers and words about health, and the shop's country.

        Args:
            cards: Called with texts; says for each whether it holds a card number or its code.
            health: Likewise, for words about health.
            region: Two letters, for telephone numbers without a country code.
        """
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise BadRule("the shop's country is not known; use two letters like US")
        self._region = region
        self._searches = (
            (NO_CARDS, cards, "holds what looks like a card number; leave it to the terminal"),
            (NO_HEALTH, health, "holds a word about health; leave it out"),
        )

    def read(self, cell: object, rule: Asked, *, today: date) -> Cell:
        """Read one answer.

        Args:
            cell: Text, a date, or None.
            rule: What it may be.
            today: The day in the shop's own zone; no birthday lies behind it.
        """
        return self._cells([cell], rule, today)[0]

    def table(self, frame: Frame, rules: Mapping[str, Asked], *, today: date) -> Tidied[Frame]:
        """Read every column of a DataFrame or an Arrow table; each distinct value once.

        Args:
            frame: Text and dates; ``#row`` holds raw row numbers, if there is such a column.
            rules: One for each column; `Rule` of type ``as is`` for those that another tool read.
            today: As in `read`.

        Raises:
            BadRule: A column has no rule, or stands there twice.
        """
        names = list(frame.columns if isinstance(frame, pd.DataFrame) else frame.column_names)
        if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
            raise BadRule("two columns have one name, or one has a number for a name; rename it")
        if missing := [name for name in names if name != ROW and name not in rules]:
            raise BadRule(f'no rule for {", ".join(missing)}; give each one, or "{AS_IS}"')
        rows = _list(frame, ROW) if ROW in names else range(2, len(frame) + 2)
        keep = [True] * len(frame)
        rejects: list[Reject] = []
        notes: Counter[tuple[str, str]] = Counter()
        done: dict[str, list[str | date | None]] = {}
        for name in names:
            if name == ROW or rules[name].type == AS_IS:
                continue
            codes, distinct = _distinct(_list(frame, name))
            cells = self._cells(distinct, rules[name], today)
            done[name] = [cells[code].value for code in codes]
            for code, times in Counter(codes).items():
                notes.update({(name, note): times for note in cells[code].notes})
            for at, code in enumerate(codes):
                if cells[code].refused:
                    rejects.append(Reject(int(rows[at]), name, cells[code].refused))
                    keep[at] = keep[at] and not rules[name].required
        rejects.sort(key=lambda reject: reject.row)
        return Tidied(_with(frame, done, rules, keep), tuple(rejects), notes, keep.count(False))

    def _cells(self, cells: Sequence[object], rule: Asked, today: date) -> list[Cell]:
        if rule.type not in LONGEST:
            raise BadRule(f"a type is one of: {', '.join(LONGEST)}")
        found = [self._cell(cell, rule, today) for cell in cells]
        for types, search, reason in self._searches:
            at = [i for i, cell in enumerate(found) if rule.type in types and cell.value]
            hits = search([str(found[i].value) for i in at]) if at else []
            for i, hit in zip(at, hits, strict=True):
                if hit:
                    found[i] = Cell(None, reason)
        return found

    def _cell(self, cell: object, rule: Asked, today: date) -> Cell:
        notes: list[str] = []
        try:
            value = self._value(cell, rule, today, notes)
            if value is None and rule.required:
                raise _No("missing; fill it in")
        except _No as refused:
            return Cell(None, str(refused))
        return Cell(value, notes=tuple(notes))

    def _value(self, cell: object, rule: Asked, today: date, notes: list[str]) -> str | date | None:
        if rule.type in DATES and isinstance(cell, date):
            return _day(cell, rule.type, today, notes)
        if cell is None:
            return None
        if isinstance(cell, bytes):
            raise _No("bytes, not text; read the file again with its encoding")
        if not isinstance(cell, str):
            raise _No("not text; read the column as text, so that no leading zero is lost")
        longest = rule.longest or LONGEST[rule.type]
        if len(cell) > max(RAW, 4 * longest):
            raise _No(f"longer than {longest} characters; shorten it")
        text = _plain(cell, rule.type == "note", notes)
        if not text:
            return None
        if rule.type in DATES:
            return _date(text, rule.type, today, notes)
        if rule.type == "email":
            text = _email(text, notes)
        elif rule.type == "phone":
            text = _phone(text, self._region, notes)
        elif rule.type == "choice" and text not in rule.choices:
            raise _No(f"not one of: {', '.join(rule.choices)}")
        elif FORMULA.match(text):
            notes.append("begins like a formula; write it with a tool that guards spreadsheets")
        if len(text) > longest:
            raise _No(f"longer than {longest} characters; shorten it")
        return text


def _plain(cell: str, lines: bool, notes: list[str]) -> str:
    """Return text in one spelling, or refuse what no keyboard types."""
    text = cell
    if not (cell.isascii() and cell.isprintable()):  # most cells are, and need none of this
        if (text := INVISIBLE.sub("", cell)) != cell:
            notes.append("invisible marks removed")
        text = unicodedata.normalize("NFC", text)
        if CONTROL.search(text):
            raise _No("holds a control character; type it again")
        if "\ufffd" in text:
            raise _No("read with the wrong encoding; read the file again with its own")
    return BREAK.sub("\n", text).strip() if lines else " ".join(text.split())


def _email(text: str, notes: list[str]) -> str:
    if wrapped := BRACKETS.fullmatch(text):
        text = (wrapped[1] or wrapped[2] or "").strip()
        notes.append("the address was taken out of what stood around it")
    try:
        return email_validator.validate_email(text, check_deliverability=False).normalized
    except email_validator.EmailNotValidError:
        raise _No("not an e-mail address; look for a missing @, a blank or a comma") from None


def _phone(text: str, region: str, notes: list[str]) -> str:
    text = re.sub("[\u2010-\u2015\u2212]", "-", unicodedata.normalize("NFKC", text))
    try:
        number = phonenumbers.parse(text if PHONE.fullmatch(text) else "", region)
    except phonenumbers.NumberParseException:
        raise _No("not a telephone number; type its digits, with + and the country") from None
    # 0 is IS_POSSIBLE; is_possible_number() would also pass a number that lacks its area code
    if phonenumbers.is_possible_number_with_reason(number) != 0:
        raise _No("no telephone number has so many digits; is one missing, or the area code?")
    if not phonenumbers.is_valid_number(number):
        notes.append("not known to be in use; ring it once")
    plain, again = _e164(number), _e164(phonenumbers.parse(_e164(number), region))
    if plain != again:
        raise _No("no telephone number begins so; compare its first digits")  # a 0 read as a prefix
    return f"{plain};ext={number.extension}" if number.extension else plain


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _date(text: str, kind: str, today: date, notes: list[str]) -> str | date:
    part = PART.fullmatch(text) if kind == "month_day" else None
    if not part and not WHOLE.fullmatch(text):
        how = "month and day, as 02-29" if kind == "month_day" else "a date, as 1984-02-29"
        raise _No(f"not {how}; write it so")
    try:
        day = date.fromisoformat(f"2000-{part[1]}" if part else text)  # 2000 had a 29 February
    except ValueError:
        raise _No("no such day in the calendar; look again") from None
    return f"{day:--%m-%d}" if part else _day(day, kind, today, notes)


def _day(day: date, kind: str, today: date, notes: list[str]) -> str | date:
    if isinstance(day, datetime):
        if day != datetime(day.year, day.month, day.day):  # noqa: DTZ001 (pandas' way to say a day)
            raise _No("a date with a time of day; hand over the date alone")
        day = day.date()
    if kind == "month_day":
        notes.append("the year was left out")
        return f"{day:--%m-%d}"
    if not 1900 <= day.year <= 2099:
        raise _No("not between 1900 and 2099; correct the year")
    if kind == "birthday" and day > today:
        raise _No("a birthday in the future; correct the year")
    return day


def _list(frame: Frame, name: str) -> list[Any]:
    """Return a column as a list, missing cells as None."""
    if isinstance(frame, pa.Table):
        cells: list[Any] = frame[name].to_pylist()
        return cells
    gone = frame[name].isna().tolist()
    return [None if no else cell for cell, no in zip(frame[name].tolist(), gone, strict=True)]


def _distinct(cells: list[Any]) -> tuple[list[int], list[Any]]:
    """Return for each cell the place of its equal among the distinct ones, and those."""
    known: dict[tuple[type, Any], int] = {}
    distinct: list[Any] = []
    codes: list[int] = []
    for cell in cells:
        key = (type(cell), cell if isinstance(cell, (str, date, bytes)) else None)
        if (code := known.get(key)) is None:  # what is neither is refused by its type alone
            code = known[key] = len(distinct)
            distinct.append(cell)
        codes.append(code)
    return codes, distinct


def _with(
    frame: Frame,
    done: Mapping[str, list[str | date | None]],
    rules: Mapping[str, Asked],
    keep: list[bool],
) -> Frame:
    """Return a new table with these columns in place of the old ones, without the rows that go."""
    for name, cells in done.items():
        dates = rules[name].type in ("date", "birthday")
        if isinstance(frame, pd.DataFrame):
            column = pd.Series(cells, frame.index, dtype=object if dates else "str")
            frame = frame.assign(**{name: column})
        else:
            array = pa.array(cells, pa.date32() if dates else pa.string())
            frame = frame.set_column(frame.column_names.index(name), name, array)
    if isinstance(frame, pd.DataFrame):
        return frame.iloc[[at for at, stays in enumerate(keep) if stays]]
    return frame.filter(pa.array(keep, pa.bool_()))
