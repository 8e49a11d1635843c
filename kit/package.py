# SPDX-License-Identifier: MIT-0
"""Give a customer all that you hold on them, and not one word about anybody else.

Copy: ``kit copy package --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

Rows of one customer become a package: a page to read, JSON and CSV for other programs, and a
manifest with the SHA-256 of each. What goes in is decided column by column by what the inventory
says under `disclose`, and nothing goes in that it does not name::

    give        the value
    name only   that it is held, why it is not sent, and the rule; never the value
    internal    that such a number or mark is held, for the shop's own order

An ID number, password or other secret is never given, whatever the inventory says. In texts,
what looks like a card or social security number is taken out, and in notes the names, addresses
and telephones of other people. Names of files come from the tables, never from the data. Before
anything leaves, have every byte of it searched: outgoing.py.

Source: what an answer contains, 11 CCR 7024 and Cal. Civ. Code 1798.110; the Luhn sum, ISO/IEC
7812-1; cells that begin a formula, OWASP "CSV Injection".
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, tzinfo
from typing import Any, Protocol

FORMAT = 1
PAGE, DATA, MANIFEST = "your-data.html", "your-data.json", "manifest.json"
NEVER = ("government id", "credential")  # classes of fields whose values stay here
LOG_IN_NAMES = ("username",)  # a credential that is no secret
TABLE = re.compile(r"[a-z][a-z0-9_]{0,40}")  # becomes the name of a file
CARD = re.compile(r"(?<!\d)\d(?:[ .-]{0,2}\d){12,18}(?!\d)")
ISSUED = re.compile(
    r"4\d{12}(\d{3}){0,2}|5[1-5]\d{14}|2(22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(0[0-5]|[689]\d)\d{11,16}|35(2[89]|[3-8]\d)\d{12,15}"
    r"|6(011|4[4-9]\d|5\d\d|2\d\d)\d{12,15}|(5[06-9]|6[37])\d{11,17}"
)
SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}([- ])(?!00)\d\d\1(?!0000)\d{4}(?![\d-])")
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
PHONE = re.compile(r"(?<![\w-])\+?\(?\d(?:[ ().-]{0,2}\d){6,14}(?![\w-])")
HIDDEN = re.compile(  # what turns text around, breaks a page, or cannot be written
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
FORMULA = re.compile(r"^[\s\u200b]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]")
NUMBER, SOMEBODY = "[number taken out]", "[another person]"


class PackageError(Exception):
    """Base of the errors below. Messages never hold a value."""


class NotWrittenDown(PackageError):
    """Columns are held that the inventory does not name; `columns` says which."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(
            f"not in the inventory: {', '.join(columns)}; write down what each is and whether it "
            "is given, then make the package again"
        )
        self.columns = tuple(columns)


class BadName(PackageError):
    """A table or a file has a name that could not be one of a file."""


class Keep(Protocol):
    """How long a field is kept; its text says it."""

    def __str__(self) -> str:
        """Return it in words: "3 years after last purchase"."""


class Field(Protocol):
    """What the inventory says of a column, such as ``inventory.Field``."""

    @property
    def what(self) -> str:
        """Return what it is, in the customer's words."""

    @property
    def kind(self) -> str:
        """Return its class, such as contact, note or credential."""

    @property
    def purposes(self) -> tuple[str, ...]:
        """Return what it is held for."""

    @property
    def keep(self) -> Keep:
        """Return how long."""

    @property
    def disclose(self) -> str:
        """Return give, name only or internal."""

    @property
    def ccpa(self) -> str:
        """Return the letter of its category, or none."""


@dataclass(frozen=True)
class Words:
    """How things are called in front of a customer, and what else they are told.

    Attributes:
        categories: Letter to the name of the category.
        purposes: Word of the inventory to its sentence.
        titles: Table to a title.
        sources: Table to where its data come from.
        recipients: Table to who else has them.
    """

    categories: Mapping[str, str] = field(default_factory=dict)
    purposes: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)
    recipients: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """The rows of one table. A cell is what JSON takes, or a date or time."""

    table: str
    title: str
    columns: tuple[str, ...]
    whats: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...] = field(repr=False)


@dataclass(frozen=True)
class Category:
    """One kind of data: what is held, why, for how long, from where, and who else has it."""

    letter: str
    name: str
    whats: tuple[str, ...]
    purposes: tuple[str, ...]
    keeps: tuple[str, ...]
    sources: tuple[str, ...]
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class Withheld:
    """Something that is held and not sent."""

    what: str
    why: str
    cite: str = ""


@dataclass(frozen=True)
class Content:
    """What there is to tell a customer. Printing it shows no value."""

    sections: tuple[Section, ...]
    categories: tuple[Category, ...]
    withheld: tuple[Withheld, ...]
    internal: tuple[str, ...]
    taken_out: tuple[str, ...]  # what was taken out of texts, in words

    def only_categories(self) -> Content:
        """Return it without any value, for somebody who could not be verified further."""
        return replace(self, sections=(), taken_out=())


def collect(
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    fields: Mapping[str, Field],
    *,
    words: Words,
    columns: Mapping[str, Iterable[str]] | None = None,
    names: Mapping[str, Mapping[str, str]] | None = None,
    others: Iterable[str] = (),
    own: Iterable[str] = (),
    why: Callable[[Field], tuple[str, str]] = lambda _: ("it would help a thief", ""),
) -> Content:
    """Sort what is held on one customer into what is given, named and left out.

    Args:
        rows: Table to the customer's rows, opened.
        fields: ``table.column`` to what the inventory says.
        words: How things are called.
        columns: Table to every column that the database has, held or not.
        names: ``table.column`` to what stands for its numbers: products by their names.
        others: Names of other people, to be taken out of notes.
        own: The customer's own address and telephone, which may stay in notes.
        why: Returns the reason and the rule for a field that is not sent.

    Raises:
        NotWrittenDown: A column is not in the inventory.
        BadName: A table's name could not be a file's.
    """
    held = {t: dict.fromkeys(c for row in some for c in row) for t, some in rows.items()}
    every = [
        f"{t}.{c}"
        for t, cs in held.items()
        for c in {**cs, **dict.fromkeys((columns or {}).get(t, ()))}
    ]
    if unknown := [name for name in every if name not in fields]:
        raise NotWrittenDown(unknown)
    if odd := [table for table in rows if not TABLE.fullmatch(table)]:
        raise BadName(f"{len(odd)} tables have names that no file could have; rename them")
    clean = _Cleaner(others, own)
    sections, named, internal = [], [], []
    shown: dict[str, list[tuple[str, Field]]] = {}
    for table, found in rows.items():
        given: dict[str, list[Any]] = {}
        for column in held[table]:
            cells, one = [row.get(column) for row in found], fields[f"{table}.{column}"]
            if all(cell in (None, "") for cell in cells):
                continue
            if (how := _how(column, one)) == "internal":
                internal.append(one.what)
                continue
            if one.ccpa != "none":
                shown.setdefault(one.ccpa, []).append((table, one))
            if how == "name only":
                named.append(Withheld(one.what, *why(one)))
                continue
            known: Mapping[Any, Any] = (names or {}).get(f"{table}.{column}", {})
            given[column] = [clean(known.get(cell, cell), one.kind) for cell in cells]
        if given:
            whats = tuple(fields[f"{table}.{c}"].what for c in given)
            cells_ = tuple(zip(*given.values(), strict=True))
            title = words.titles.get(table, table.replace("_", " ").capitalize())
            sections.append(Section(table, title, tuple(given), whats, cells_))
    return Content(
        tuple(sections),
        tuple(_category(letter, pairs, words) for letter, pairs in sorted(shown.items())),
        tuple(dict.fromkeys(named)),
        tuple(dict.fromkeys(internal)),
        tuple(clean.done),
    )


def _how(column: str, one: Field) -> str:
    secret = one.kind in NEVER and column not in LOG_IN_NAMES
    return "name only" if secret and one.disclose == "give" else one.disclose


def _category(letter: str, found: Sequence[tuple[str, Field]], words: Words) -> Category:
    def each(values: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(values))

    tables = each(table for table, _ in found)
    return Category(
        letter,
        words.categories.get(letter, f"category {letter}"),
        each(one.what for _, one in found),
        each(words.purposes.get(p, p) for _, one in found for p in one.purposes),
        each(str(one.keep) for _, one in found),
        each(text for table in tables for text in words.sources.get(table, ())),
        each(text for table in tables for text in words.recipients.get(table, ())),
    )


class _Cleaner:
    """Takes out of texts what is not the customer's, or must not travel."""

    def __init__(self, others: Iterable[str], own: Iterable[str]) -> None:
        self.done: dict[str, None] = {}
        self._own = {_bare(text) for text in own if text}
        wanted = sorted({name for name in others if name.strip()}, key=len, reverse=True)
        # "Will" is a name and "will" is not; "will example" is
        parts = [f"(?i:{re.escape(n)})" if " " in n else re.escape(n) for n in wanted]
        self._others = re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)") if parts else None

    def __call__(self, cell: Any, kind: str) -> Any:
        if not isinstance(cell, str):
            return cell
        text = self._out(CARD, cell, NUMBER, "a number that looks like a card's", is_card)
        text = self._out(SSN, text, NUMBER, "a number that looks like a social security number")
        if kind != "note":
            return text
        told = "names, addresses or telephones of other people, in notes"
        text = self._out(ADDRESS, text, SOMEBODY, told, lambda t: _bare(t) not in self._own)
        text = self._out(
            PHONE, text, SOMEBODY, told, lambda t: _is_phone(t) and _bare(t) not in self._own
        )
        return self._out(self._others, text, SOMEBODY, told) if self._others else text

    def _out(
        self,
        shape: re.Pattern[str],
        text: str,
        instead: str,
        told: str,
        wanted: Callable[[str], bool] = lambda _: True,
    ) -> str:
        def swap(found: re.Match[str]) -> str:
            if not wanted(found[0]):
                return found[0]
            self.done[told] = None
            return instead

        return shape.sub(swap, text)


def _bare(text: str) -> str:
    """Return an address in small letters, of a telephone number its last ten digits."""
    digits = re.sub(r"\D", "", text)
    return text.casefold() if "@" in text else digits[-10:]


def _is_phone(text: str) -> bool:
    """Return whether digits are written as a telephone number; a date or an order's are not."""
    plain = text.isdigit() and len(text) < 10
    return not plain and re.fullmatch(r"\d{4}-\d\d-\d\d|\d\d?[./]\d\d?[./]\d{4}", text) is None


def is_card(text: str) -> bool:
    """Return whether digits begin, end and add up like a card's number. Same as in outgoing.py."""
    digits = re.sub(r"\D", "", text)
    doubled = (sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    total = sum(map(int, digits[::-2])) + sum(doubled)
    return total % 10 == 0 and ISSUED.fullmatch(digits) is not None


def visible(text: str) -> str:
    """Make marks visible that would turn a line around or hide something: ``[U+202E]``."""
    return HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def shown(value: Any, column: str, zone: tzinfo) -> str:
    """Return a cell as a person reads it, in the shop's own time."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(zone):%Y-%m-%d %H:%M}"
    if isinstance(value, int) and column.endswith("_cents"):
        return f"{'-' if value < 0 else ''}{abs(value) // 100:,}.{abs(value) % 100:02}"
    return visible(str(value))


def build(
    about: Mapping[str, Any],
    content: Content,
    *,
    page: Callable[[dict[str, Any]], str],
    zone: tzinfo,
) -> dict[str, bytes]:
    """Return the files of a package by their names, the manifest last.

    Args:
        about: What else is told: request, dates, how identity was checked, rights, contact; what
            JSON takes. It stands in the JSON and is handed to the page.
        content: From `collect`.
        page: Makes the HTML of what there is to tell, such as ``package_page.render``.
        zone: The shop's.
    """
    told: dict[str, Any] = {
        "categories": [vars(one) for one in content.categories],
        "withheld": [vars(one) for one in content.withheld],
        "internal": [*content.internal],
        "taken_out": [*content.taken_out],
    }
    data = {
        one.table: [dict(zip(one.columns, map(_json, row), strict=True)) for row in one.rows]
        for one in content.sections
    }
    readable = [
        {
            "table": one.table,
            "title": one.title,
            "whats": [*one.whats],
            "rows": [
                [shown(cell, name, zone) for name, cell in zip(one.columns, row, strict=True)]
                for row in one.rows
            ],
        }
        for one in content.sections
    ]
    whole = {"format": FORMAT, "about": dict(about), **told, "data": data}
    files = {
        PAGE: page({"about": dict(about), **told, "sections": readable}).encode(),
        DATA: json.dumps(whole, indent=2, ensure_ascii=True).encode() + b"\n",
        **{f"csv/{one.table}.csv": _csv(one, zone) for one in content.sections},
    }
    listed = {
        n: {"bytes": len(b), "sha256": hashlib.sha256(b).hexdigest()} for n, b in files.items()
    }
    manifest = json.dumps({"format": FORMAT, "files": listed}, indent=2)
    return {**files, MANIFEST: manifest.encode() + b"\n"}


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _csv(section: Section, zone: tzinfo) -> bytes:
    """Write a table so that no spreadsheet runs anything of it."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(section.columns)
    for row in section.rows:
        texts = [shown(c, n, zone) for n, c in zip(section.columns, row, strict=True)]
        cells = zip(texts, row, strict=True)
        writer.writerow(
            [
                f"'{text}" if isinstance(c, str) and FORMULA.search(text) else text
                for text, c in cells
            ]
        )
    return out.getvalue().encode("utf-8-sig")  # else Excel takes it for another alphabet


def told_of(content: Content) -> Collection[str]:
    """Return every ``table.column`` whose values are given."""
    return {f"{one.table}.{column}" for one in content.sections for column in one.columns}
