# SPDX-License-Identifier: MIT-0
"""Find card numbers, security codes and track data in text, and tell them from order numbers.

Copy: ``kit copy cards --into DIR``, or take this file as it is.
Needs: Python 3.11, numpy, pyarrow. Nothing else from this kit.
Data: none.

`look` reads a whole Arrow text column at once; `find` reads one text, for a form that must refuse
a card number in its notes field. Neither returns a number: you get places and a degree of trust::

    SURE     beside an expiry date, a security code, or a word such as "card"
    GROUPED  written as on the card, 4242 4242 4242 4242
    PLAIN    13 to 19 digits that begin, end and add up like a card's
    ODD      the same, but beside a word such as "order", or inside a longer code

One in 30 random 16-digit numbers is PLAIN (3.4 %, measured on 200,000), so judge it by its
column too: in a column of order numbers it is luck, alone in a note it is not.

Source: Luhn as in ISO/IEC 7812-1 annex B; issuer ranges as the brands publish them. Twelve-digit
Maestro numbers are left out: twelve digits fit any order number.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NO, ODD, PLAIN, GROUPED, SURE = range(5)  # how far a number is to be trusted to be a card's

LUCK = 0.15  # up to this share of its numbers, a column's hits are luck: Luhn alone gives 0.1
VOTE = 0.6  # this share of a column's cells makes the column

ISSUERS = (  # first six digits from, to, lengths; ranges may overlap, one that fits is enough
    (400000, 499999, (13, 16, 19)),  # Visa
    (510000, 559999, (16,)),  # Mastercard
    (222100, 272099, (16,)),  # Mastercard
    (340000, 349999, (15,)),  # American Express
    (370000, 379999, (15,)),  # American Express
    (601100, 601199, (16, 17, 18, 19)),  # Discover
    (644000, 659999, (16, 17, 18, 19)),  # Discover
    (620000, 629999, (16, 17, 18, 19)),  # UnionPay
    (352800, 358999, (16, 17, 18, 19)),  # JCB
    (300000, 305999, (14, 15, 16, 17, 18, 19)),  # Diners Club
    (360000, 369999, (14, 15, 16, 17, 18, 19)),  # Diners Club
    (380000, 399999, (14, 15, 16, 17, 18, 19)),  # Diners Club
    (500000, 509999, (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (560000, 599999, (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (630000, 639999, (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (670000, 679999, (13, 14, 15, 16, 17, 18, 19)),  # Maestro
)
GROUPS = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 1), (4, 4, 5), (6, 13)}

# Words before a number; the nearest decides. * stands for more letters: Bestell* fits Bestellnr.
NEAR_CARD = (
    "card|cards|card ?(?:no|nr|number)|cardnumber|ccn?|visa|master ?card|mc|amex|american express|"
    "discover|diners|diners club|jcb|maestro|debit|credit|creditcard|pan|karte|karten*|kredit*|"
    "carte|tarjeta|carta|kaart*|cart[aã]o"
)
NEAR_ID = (
    "order*|ref|refs|reference*|refno|invoice*|ticket*|track*|parcel*|shipment*|transaction*|txn*|"
    "trace|receipt*|serial*|imei|ean|gtin|upc|isbn|barcode*|account*|gift*|loyalty*|member*|"
    "voucher*|id|ids|uuid|bestell*|auftrag*|rechnung*|beleg*|sendung*|gutschein*|kundenkarte*|"
    "commande|facture|colis|pedido|factura|ordine|fattura"
)
CODE_WORD = (
    "cvv2?|cvc2?|cvn2?|csc|cav2|security code|sec code|3 ?digits?|three digits?|"
    "code on (?:the )?back|kartenprüfnummer|prüfnummer|prüfziffer|sicherheitscode|cryptogramme|"
    "code de sécurité|código de seguridad|codice di sicurezza|código de segurança"
)

# RE2 has no look-around, and its \d, \s and \b are ASCII only: cells are made plain first.
_SEPARATOR = r"[ \t\r\n.\-]{1,3}"
_WHOLE = (
    rf"^[='\" ]*(?:[0-9]{{13,19}}|[0-9]{{4}}(?:{_SEPARATOR}[0-9]{{4}}){{3}}"
    rf"|[0-9]{{4}}{_SEPARATOR}[0-9]{{6}}{_SEPARATOR}[0-9]{{4,5}})[\"' ]*$"
)
_RUN = r"(?:[0-9][ \t\r\n.\-]{0,3}){12}[0-9]"
_TRACK = r"%?[Bb][0-9 ]{12,23}\^[^^]{2,26}\^[0-9]{4}|;[0-9]{12,19}=[0-9]{4}"
_CODE = (
    rf"(?i)(?:^|[^a-z])(?:{CODE_WORD})[^0-9a-z]{{0,4}}(?:(?:is|code|nr|no|number)[^0-9a-z]{{1,4}})?"
    r"[0-9]{3,4}(?:[^0-9]|$)"
)
_WORD = string.ascii_letters + string.digits
_PY_CODE = re.compile(_CODE.replace("csc|", "csc|cid|"))  # beside a card it is no customer's id
_PY_RUN = re.compile(r"[0-9](?:[ \t\r\n.\-]{0,3}[0-9])+")
_PY_EXPIRY = re.compile(r"(?<![0-9/\-])(?:0?[1-9]|1[0-2]) ?[/\-] ?(?:20)?[2-4][0-9](?![0-9/\-])")
_PY_LONE_CODE = re.compile(r"[\s,;|/]*(?:~+[\s,;|/]*[0-9]{3,4}(?![0-9])|[0-9]{3,4}[\s,;|/]+~)")
_PY_NEAR = re.compile(
    rf"(?<![^\W_])(?:(?P<id>{NEAR_ID})|{NEAR_CARD})(?![^\W\d_])".replace("*", r"[^\W\d_]*"), re.I
)
_PY_VALID = re.compile(r"(?i)exp|thru|valid|gültig|ablauf|vence|caduc|scad")

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Number:
    """Where in a text a number of a card's length stands, and how far it is to be trusted."""

    start: int
    end: int
    trust: int
    code: bool = False  # a security code stands beside it


@dataclass(eq=False)
class Look:
    """What `look` saw, one entry per cell."""

    text: pa.StringArray = field(repr=False)  # the cells, made plain
    digits: NDArray[np.int32]  # how many digits the cell holds
    trust: NDArray[np.int8]  # of the number most to be trusted, NO to SURE
    tried: Mask  # holds a number of a card's length, card or not
    whole: Mask  # is such a number and nothing else
    checksum: Mask  # is one that passes Luhn, but begins like no card
    rounded: Mask  # is 16 digits, begins like a card, and a spreadsheet made its last digit 0
    code: Mask  # a security code stands in it
    track: Mask  # data of a magnetic stripe stand in it


def look(column: pa.StringArray) -> Look:
    """Look at every cell of a text column.

    Args:
        column: Arrow string array; nulls and blanks hold nothing. Distinct cells are enough.

    Returns:
        Arrays as long as *column*. Nothing of it shows a value when printed, except `Look.text`
        when asked for.
    """
    text = plain(column.fill_null(""))
    digits = _digits(text)
    trust = np.zeros(len(text), np.int8)
    tried, whole, checksum, rounded, code, track = np.zeros((6, len(text)), bool)
    worded = np.flatnonzero(digits >= 3)
    code[worded] = _match(text.take(pa.array(worded)), _CODE)

    at = np.flatnonzero(digits >= 13)
    long = text.take(pa.array(at))
    track[at] = _match(long, _TRACK)
    long = pc.replace_substring_regex(long, r"^([0-9]{13,19})\.0$", r"\1")  # stored as a number
    alone = _match(long, _WHOLE)
    mine, cells = at[alone], long.filter(pa.array(alone))
    numbers = pc.replace_substring_regex(cells, "[^0-9]", "")
    valid, issued = luhn(numbers), _issued(numbers)
    grouped = _match(cells, r"[0-9][ \t\r\n.\-]+[0-9]")
    trust[mine] = np.where(valid & issued, np.where(grouped, GROUPED, PLAIN), NO)
    tried[mine] = whole[mine] = True
    checksum[mine] = valid & ~issued
    rounded[mine] = ~valid & issued & _match(numbers, "^[0-9]{15}0$")

    for i in at[~alone][_match(long.filter(pa.array(~alone)), _RUN)]:
        for number in find(text[i].as_py()):
            tried[i] = True
            trust[i] = max(trust[i], number.trust)
            code[i] |= number.code
    return Look(text, digits, trust, tried, whole, checksum, rounded, code, track)


def find(text: str) -> list[Number]:
    """Find every number of a card's length in one text, however it is grouped.

    Args:
        text: As people type it: blanks, hyphens, dots and line breaks between the groups.

    Returns:
        In order. ``NO`` means that the length fits and nothing else does.
    """
    text = _PY_EXPIRY.sub(lambda m: "~" * len(m[0]), text)  # else 12-27 joins the number before it
    found = list[Number]()
    for run in _PY_RUN.finditer(text):
        groups = [(m.start() + run.start(), m.end() + run.start()) for m in _GROUP(run[0])]
        first, numbers = 0, list[Number]()
        while first < len(groups):
            number, used = _window(text, groups, first)
            numbers += [number] if number else []
            first += used
        passed = sum(number.trust > NO for number in numbers)
        if len(groups) > 12 and passed < len(groups) / 8:  # a table of numbers, and some luck
            numbers = [replace(n, trust=min(n.trust, ODD)) for n in numbers]
        found += numbers
    return found


_GROUP = re.compile("[0-9]+").finditer


def _window(text: str, groups: list[tuple[int, int]], first: int) -> tuple[Number | None, int]:
    """Try the digit groups from *first* on as one number; say how many groups that used up."""
    found: Number | None = None
    digits = ""
    short = len(groups) <= 19  # then all of it may be one number, written digit by digit
    for last in range(first, len(groups) if short else min(first + 5, len(groups))):
        digits += text[slice(*groups[last])]
        whole_run = last + 1 - first == len(groups)
        if len(digits) > 19:
            break
        if len(digits) < 13:
            continue
        shape = tuple(end - start for start, end in groups[first : last + 1])
        usual = len(shape) == 1 or shape in GROUPS
        start, end = groups[first][0], groups[last][1]
        if not (usual or whole_run) or (len(shape) == 2 and "." in text[start:end]):  # 4.142135
            continue
        if _passes(digits):
            number = _around(text, start, end, shape)
            return number, len(shape) if number.trust else 1
        if usual and not found:
            found = Number(start, end, NO)
    return found, 1


def _passes(digits: str) -> bool:
    """Say whether 13 to 19 digits pass checksum, issuer and length. The slow twin of `look`."""
    doubled = sum(2 * int(d) - 9 * (d > "4") for d in digits[-2::-2])
    first, length = int(digits[:6]), len(digits)
    return (doubled + sum(map(int, digits[::-2]))) % 10 == 0 and any(
        low <= first <= high and length in lengths for low, high, lengths in ISSUERS
    )


def _around(text: str, start: int, end: int, shape: tuple[int, ...]) -> Number:
    """Judge a number that passes by the text around it."""
    before, after = text[max(0, start - 40) : start], text[end : end + 30]
    if re.search(r"[0-9]\.$", before) or (before.endswith("+") and shape not in GROUPS):
        return Number(start, end, NO)  # 0.4142135623730951, or a telephone number
    rest = before[len(before.rstrip(_WORD)) :] + after[: len(after) - len(after.lstrip(_WORD))]
    usual = len(shape) == 1 or shape in GROUPS
    code = bool(_PY_LONE_CODE.match(after) or _PY_CODE.search(after))
    expiry = "~" in before[-12:] + after[:16]
    words = list(_PY_NEAR.finditer(before))
    other = bool(words and words[-1]["id"])
    if code or (expiry and not other) or (expiry and _PY_VALID.search(before[-12:] + after)):
        return Number(start, end, SURE, code)
    if words:
        return Number(start, end, ODD if other else SURE)
    if len(rest) > 11 or re.search("[0-9]", rest) or (rest and not usual):
        return Number(start, end, NO)  # inside a hash
    if len(shape) > 1:
        return Number(start, end, GROUPED if usual or len(set(shape)) == 1 else ODD)
    glued = rest or re.search(r"[_/=&?#%]$", before) or re.match(r"[_/=&]|\.[0-9]", after)
    return Number(start, end, ODD if glued or shape == (13,) else PLAIN)


def judge(
    trust: int, *, named: str, cells: int, tried: int, whole: int, passed: int, serial: bool
) -> tuple[str, str]:
    """Judge the numbers of one trust by the column they stand in.

    Args:
        trust: `ODD` to `SURE`.
        named: What the column's name says: ``card``, ``id`` or nothing.
        cells: How many cells of the column are filled.
        tried: How many of them hold a number of a card's length.
        whole: How many are such a number and nothing else.
        passed: How many hold a number that passes as a card's.
        serial: Whether the numbers that pass share their first nine digits.

    Returns:
        ``confirmed``, ``suspected`` or ``vetoed``, and why.
    """
    luck = tried >= 20 and passed <= LUCK * tried
    share = f"{passed:,} of {tried:,} numbers of this length pass"
    if trust == SURE:
        return "confirmed", "beside an expiry date, a security code or a word for card"
    if trust == GROUPED and not luck and whole < VOTE * cells:
        return "confirmed", "grouped as on a card; checksum, first digits and length fit"
    if named == "id" and (serial or passed < max(5, VOTE * cells)):
        if luck or whole >= VOTE * cells:
            return "vetoed", f"the column's name says id, and {share}: luck"
        return "suspected", "the column's name says id, but this passes every check for a card"
    if luck and trust == ODD:
        return "vetoed", f"beside words for an order or inside codes, and {share}: luck"
    if luck:
        return "suspected", f"{share}: no more than luck gives, so perhaps an id"
    if serial:
        return "suspected", "passes every check, but all begin alike, as numbers given in turn do"
    if named == "card":
        return "confirmed", "the column's name says so; checksum, first digits and length fit"
    if passed >= VOTE * cells:
        return "confirmed", f"{share} checksum, first digits and length"
    if trust == ODD:
        return "suspected", "passes every check, but stands beside a word for an order or in a code"
    if whole >= VOTE * cells:
        return "suspected", f"{share}, in a column made of such numbers"
    return "confirmed", "stands alone in text; checksum, first digits and length fit"


def mask(text: str) -> str:
    """Show the number in *text* most to be trusted as ``42** **** **** 4242``, or nothing."""
    number = max(find(text), key=lambda n: n.trust, default=None)
    if number is None:
        return ""
    digits = re.sub("[^0-9]", "", text[number.start : number.end])
    return f"{digits[:2]}** **** **** {digits[-4:]}"


def luhn(numbers: pa.StringArray) -> Mask:
    """Return where strings of 12 to 19 ASCII digits pass the Luhn checksum; else False.

    The strings are viewed as a matrix of bytes: 40 times as fast as a loop over them.
    """
    numbers = numbers.fill_null("")
    lengths = pc.binary_length(numbers).to_numpy(zero_copy_only=False)
    fits = (lengths >= 12) & (lengths <= 19) & (_digits(numbers) == lengths)
    padded = pc.utf8_lpad(pc.if_else(pa.array(fits), numbers, ""), 19, "0")
    matrix = _bytes(padded)[0].reshape(len(numbers), 19) - np.uint8(48)
    doubled = matrix[:, 17::-2] * np.uint8(2)
    doubled -= np.uint8(9) * (doubled > 9)
    total = matrix[:, 18::-2].sum(axis=1) + doubled.sum(axis=1)
    valid: Mask = fits & (total % 10 == 0)
    return valid


def _issued(numbers: pa.StringArray) -> Mask:
    """Return where a string of 13 to 19 digits begins like a brand's numbers of that length."""
    lengths = pc.binary_length(numbers).to_numpy(zero_copy_only=False)
    first = pc.cast(pc.utf8_slice_codeunits(numbers, 0, 6), pa.int32()).to_numpy()
    issued = np.zeros(len(numbers), bool)
    for low, high, allowed in ISSUERS:
        issued |= (first >= low) & (first <= high) & np.isin(lengths, allowed)
    return issued


def plain(column: pa.StringArray) -> pa.StringArray:
    """Make full-width digits, odd blanks, odd hyphens and invisible characters plain (NFKC)."""
    if pc.all(pc.string_is_ascii(column)).as_py() is not False:
        return column
    column = pc.utf8_normalize(column, form="NFKC")
    column = pc.replace_substring_regex(column, "[\u200b-\u200f\u2060\ufeff\u00ad]", "")
    return pc.replace_substring_regex(column, "[\u2010-\u2015\u2212]", "-")


def _bytes(values: pa.StringArray) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return a text column's bytes and the offsets into them; a slice's own start is honoured."""
    _, ends, data = values.buffers()
    if not len(values) or data is None:
        return np.zeros(0, np.uint8), np.zeros(len(values) + 1, np.int32)
    offsets = np.frombuffer(ends, np.int32)[values.offset : values.offset + len(values) + 1]
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]], offsets - offsets[0]


def _digits(values: pa.StringArray) -> NDArray[np.int32]:
    """Return how many ASCII digits each cell holds: the cheap test before every costly one."""
    data, offsets = _bytes(values)
    before = np.zeros(len(data) + 1, np.int32)
    np.cumsum((data - np.uint8(48)) < 10, out=before[1:])  # below "0" wraps round to over 200
    return before[offsets[1:]] - before[offsets[:-1]]


def _match(values: pa.StringArray, pattern: str) -> Mask:
    """Return where RE2 finds the pattern."""
    found = pc.match_substring_regex(values, pattern)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)
