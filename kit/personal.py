# SPDX-License-Identifier: MIT-0
"""Tell personal data by a column's name and by a cell's shape, in the languages tills speak.

Copy: ``kit copy personal --into DIR``, or take this file as it is.
Needs: Python 3.11, phonenumbers, email_validator. Nothing else from this kit.
Data: words.

`meaning` reads a column's name: ``Geburtsdatum`` promises a birthday, ``Email Subscription
Status`` promises no address, ``Credit Card Transaction ID`` no card number. `SHAPES` holds one
pattern per kind that can be searched for in bulk (RE2 or `re`), and `check` decides about a single
hit. Neither knows everything: a person's name has no shape, and a column may lie about its cells.

`check` gives back a masked example, ``a***@example.com``; nothing else here repeats a value.

Source: what the words and patterns rest on is written beside them, in names.toml and shapes.toml.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import email_validator
import phonenumbers

_WORDS = Path(__file__).with_name("words")
_NAMES, _SHAPES = (
    tomllib.loads((_WORDS / f"{name}.toml").read_text(encoding="utf-8"))
    for name in ("names", "shapes")
)


class PersonalError(Exception):
    """Base of the errors below. Messages never hold a value."""


class BadRegion(PersonalError):
    """The region is not a country whose telephone numbers are known."""


@dataclass
class Meaning:
    """What a column's name says about its cells."""

    kind: str  # what it promises, e.g. "birthday", or nothing
    no_card: str  # why numbers under this name are no card numbers, or nothing
    card: bool  # has a word for card in it
    id: bool  # order numbers and the like
    free: bool  # notes and the like


@dataclass
class Shape:
    """How cells of one kind look."""

    digits: int  # a cell with fewer is not worth a look
    pattern: str = ""  # anywhere
    under_name: str = ""  # wider, in a column whose name promises the kind
    in_text: str = ""  # in free text only
    literal: str = ""  # a cell without it is not worth a look
    single: str = "suspected"  # what one such cell in a column for something else is worth


SHAPES = {kind: Shape(**shape) for kind, shape in _SHAPES["kind"].items()}


def is_name(cell: str) -> bool:
    """Say whether a header cell is safe to show: letters, no ``@``, fewer than seven digits."""
    letters, digits = sum(map(str.isalpha, cell)), sum(map(str.isdigit, cell))
    return letters > 0 and digits < 7 and "@" not in cell


def meaning(name: str, *, where: str = "") -> Meaning:
    """Look a column's name up in the word list.

    Args:
        name: As it stands in the header, or ``table.column``.
        where: The name of its file and sheet: a ``name`` in *products* is nobody's name.
    """
    words = _fold(name)
    no_card = next((why for why, said in _NAMES["not_card"].items() if _says(words, said)), "")
    free = _says(words, _NAMES["text"]["words"])
    thing = _says(_fold(f"{where} {name}"), _NAMES["thing"]["words"])
    other = _says(words, _NAMES["not_personal"]["words"])
    kind = ""
    for candidate, said in _NAMES["kind"].items():
        always = candidate in ("card number", "security code", "track data", "government id")
        if (always or not other) and not (thing and candidate in ("name", "address")):
            if _says(words, said):
                kind = candidate
                break
    return Meaning(
        kind=kind,
        no_card=no_card,
        card=_says(words, _NAMES["card"]["words"]),
        id=bool(no_card) or not free and _says(words, _NAMES["id"]["words"]),
        free=free,
    )


def _fold(name: str) -> str:
    """Return a name's words between blanks: lower case, no accents, camelCase split."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name)).casefold()
    name = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", name))
    return " " + " ".join(re.findall(r"[^\W_]+", name)) + " "


def _says(words: str, phrases: Iterable[str]) -> bool:
    return any(f" {phrase} " in words for phrase in phrases)


def check(kind: str, text: str, *, named: bool = False, region: str = "US") -> str:
    """Decide whether a text that has the shape of a kind is one.

    Args:
        kind: A key of `SHAPES`.
        text: A cell, or a note with one in it.
        named: Whether the column's name promises this kind: then less proof is asked for.
        region: Country (two letters) whose telephone numbers are written without ``+``.

    Returns:
        A masked example of the first one, or nothing where there is none.

    Raises:
        BadRegion: If *region* is unknown.
    """
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise BadRegion("no such country for telephone numbers; give two letters such as US")
    shape = SHAPES[kind]
    pattern = (shape.under_name if named else "") or shape.pattern or shape.in_text
    for match in re.finditer(pattern or r"\Z\A.", text):
        example = _CHECKS[kind](match[0], named, region) if kind in _CHECKS else "***"
        if example:
            return example
    return ""


def _email(text: str, named: bool, region: str) -> str:
    try:
        mail = email_validator.validate_email(text.strip(".'"), check_deliverability=False)
    except email_validator.EmailNotValidError:
        return ""
    return f"{mail.local_part[:1]}***@{mail.domain}"


def _phone(text: str, named: bool, region: str) -> str:
    try:
        number = phonenumbers.parse(text.lstrip("=' \"(,;:"), region)
    except phonenumbers.NumberParseException:
        return ""
    # under a fitting name a possible length is enough; elsewhere it must be assigned
    fits = phonenumbers.is_possible_number if named else phonenumbers.is_valid_number
    return f"*** *** **{str(number.national_number)[-2:]}" if fits(number) else ""


def _iban(text: str, named: bool, region: str) -> str:
    size = _SHAPES["iban_length"].get(text[:2], 0)
    iban = text.replace(" ", "")[:size]  # a word may follow the number
    digits = "".join(str(int(c, 36)) for c in iban[4:] + iban[:4])
    valid = size and len(iban) == size and int(digits) % 97 == 1  # ISO 13616
    return f"{iban[:2]}** **** **** **{iban[-2:]}" if valid else ""


def _ip(text: str, named: bool, region: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ""
    return re.split("[.:]", text)[0] + ".*.*.*"


_CHECKS = {"e-mail": _email, "phone": _phone, "iban": _iban, "ip address": _ip}
