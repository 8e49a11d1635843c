# SPDX-License-Identifier: MIT-0
"""Turn a till's text into amounts, times and contacts, and refuse what could be read two ways.

Copy: ``kit copy convert --into DIR``, or take this file as it is.
Needs: Python 3.11, email_validator, numpy, phonenumbers, pyarrow. Nothing else from this kit.
Data: none.

In: a table of text columns, and the type of each. Out: the same columns typed, and every refusal::

    text     text     NFC; guards and invisible characters removed, line breaks kept
    id       text     the same characters; what a spreadsheet has cut to 4.24E+15 is refused
    money    int64    hundredths of the currency; more decimals round half to even (Toast's taxes)
    number   int64    decimal128(30, 12) if one value of the column is not whole
    date     date32           time     time64[us]          bool     bool
    datetime timestamp[us, UTC]; text without a zone is the shop's own time
    phone    text     E.164; an extension stays, as ``;ext=`` and its digits (RFC 3966)
    email    text     the address alone, its domain in lower case
    consent  bool     yes or no as the vendor states it; null where it states nothing

One rule for what cannot be read: **a row with a refused cell stays out of the table**, so that no
sum is ever taken over a guess. Only a phone, an e-mail or a consent that cannot be read leaves the
row in and its own cell empty: the sale behind it is still true. All are listed in ``rejects``.

What fits two readings is decided by its column or not at all: ``1,234`` needs another amount that
shows the decimal sign, ``3/4/2026`` another date that shows the order. So hand over whole columns,
not chunks. An hour that a clock change repeats or skips is refused unless the text tells which.

Source: distinct values, Arrow's compute functions (RE2); phones and e-mails go through Python once
each, and so do days. Every clock change since 1973 fell on a quarter of an hour (tz database).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import email_validator
import numpy as np
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

ROW = "#row"  # the raw row number, if the table brings it; without it the first row is row 2
KEEPS_ROW = ("phone", "email", "consent")  # a refusal empties the cell and keeps the row
BLANK = ["", "None", "N/A", "n/a", "#N/A", "NULL", "null", "nan", "NaN", "-", "--", "–", "—"]
YEARS, TILL_YEARS = (1900, 2099), (1973, 2099)  # of dates, of datetimes; beyond: a slip
YES, NO = "yes|y|true|t|1|on|x", "no|n|false|f|0|off"
GIVEN = YES + "|subscribed|opt(ed)?[- ]in|granted"
REFUSED = NO + "|(un|not[_ ])subscribed|opt(ed)?[- ]out|denied|bounced|cleaned|invalid"
UNSTATED = "unknown|(never|not) asked|not set|pending"
# Rails' names of zones, which Square writes, and their city; its other names are cities (Tokyo)
ZONES = {"Eastern": "New York", "Central": "Chicago", "Mountain": "Denver", "Alaska": "Juneau"}
ZONES |= {"Pacific": "Los Angeles", "Atlantic": "Halifax", "Hawaii": "Honolulu"}
ZONES |= {"Arizona": "Phoenix", "Indiana (East)": "Indianapolis"}
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
INVISIBLE = "[\u200b\u2060\ufeff\u00ad]"  # a joiner (U+200D) stays: emoji and Persian need it
GUARD = r"(?s)^'([=+\-@\t\r].*|[0-9+\-.,/: ]+)$|^=\"(.*)\"$"
CURRENCY = r"(?:[A-Z]{0,3}\p{Sc}|[A-Z]{3}|kr\.?|zł|Kč|Ft|Fr\.?)"
AMOUNT = rf"^\(? ?[-+]? ?{CURRENCY}? ?[-+]? ?[0-9.,][0-9.,'’ ]*? ?{CURRENCY}?-?\)?$"
GROUPED = r"^(?:\d*|[1-9]\d{{0,2}}(?:(?:{0}\d{{3}})+|(?:['’]\d{{3}})+|(?: \d{{3}})+))"
POINT = GROUPED.format(",") + r"(?:\.[0-9]*)?$"  # fits a reading with a decimal point
COMMA = GROUPED.format(r"\.") + r"(?:,[0-9]*)?$"  # fits one with a decimal comma
SHORT = r"^[0-9]{0,15}(?:\.[0-9]{0,12})?$"  # hundredths of 15 digits fit int64, and all fit EXACT
EXACT = pa.decimal128(30, 12)

MOMENT = (
    r"^(?:(?P<y1>[0-9]{4})[-/.](?P<m1>[0-9]{1,2})[-/.](?P<d1>[0-9]{1,2})"
    r"|(?P<a>[0-9]{1,2})(?P<sep>[-/.])(?P<b>[0-9]{1,2})[-/.](?P<y2>[0-9]{4}|[0-9]{2})"
    r"|(?P<d3>[0-9]{1,2})[-/ .]+(?P<n3>[A-Za-z]{3,9})[-/ .,]+(?P<y3>[0-9]{4})"
    r"|(?P<n4>[A-Za-z]{3,9})\.? (?P<d4>[0-9]{1,2}),? (?P<y4>[0-9]{4}))"
    r"(?:[T, ]+(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})"
    r"(?:[.,](?P<part>[0-9]{1,6})0*)?)?(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?(?: ?(?P<zone>\S.*))?)?$"
)
OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([0-9]{2}):?([0-9]{2})")
QUARTER_US, DAY_US = 900_000_000, 86_400_000_000  # microseconds
TEN_DIGITS = r"^(?:\+?1[ .-]?)?\(?(?P<a>[2-9]\d\d)\)?[ .-]?(?P<b>\d{3})[ .-]?(?P<c>\d{4})$"

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]


class ConvertError(Exception):
    """Base of the errors below. Messages name columns and types, never a value."""


class BadType(ConvertError):
    """A column has no type, or one that this module does not know."""


class BadShop(ConvertError):
    """The shop's time zone or country is not one of the world's."""


@dataclass(frozen=True)
class Reject:
    """One refused cell: where it stands and why, never what it says."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True)
class Converted:
    """The typed table, every refused cell, and how many rows stayed out because of one."""

    table: pa.Table
    rejects: list[Reject]
    rows_out: int


@dataclass
class _Cells:
    """The distinct cells of one column, cleaned, and why some of them cannot be read."""

    text: pa.Array  # blanks are null
    time_zone: str
    region: str
    day_first: bool | None
    reasons: list[str] = field(default_factory=lambda: [""])

    def __post_init__(self) -> None:
        self.why = np.zeros(len(self.text), np.int64)  # a place in *reasons*

    @property
    def good(self) -> Mask:
        """Say which cells hold something that nobody has refused."""
        return np.asarray(_mask(pc.is_valid(self.text)) & (self.why == 0))

    def refuse(self, where: Mask, reason: str) -> None:
        """Note *reason* for the cells that *where* marks; the first reason of a cell stays."""
        self.why[where & self.good] = len(self.reasons)
        self.reasons.append(reason)

    def split(self, text: pa.Array, pattern: str, what: str) -> dict[str, pa.Array]:
        """Cut *text* into the named parts of *pattern*, refusing what does not match."""
        found = pc.extract_regex(text, pattern)
        self.refuse(_mask(pc.is_null(found)), f"not {what}; correct the cell")
        return {part.name: found.field(i) for i, part in enumerate(found.type)}


def convert(
    table: pa.Table,
    types: Mapping[str, str],
    *,
    time_zone: str = "America/New_York",
    region: str = "US",
    day_first: bool | None = None,
) -> Converted:
    """Read each column of text as what it is meant to be.

    Args:
        table: Text columns, and ``#row`` (int64) with raw row numbers if there is one. Whole
            columns: they decide the decimal sign and the order of day and month.
        types: The type of every column, from the list above; unused entries do no harm.
        time_zone: The shop's own IANA zone, for times that name none.
        region: The shop's country in two letters, for phone numbers without a country code.
        day_first: True for 31/12, False for 12/31, None to let each column show it.

    Returns:
        The typed columns in the same order; rows with a refused cell are left out (see above).

    Raises:
        BadType: If a column has no type or an unknown one.
        BadShop: If *time_zone* is not an IANA zone or *region* no country code.
    """
    if time_zone not in available_timezones():
        raise BadShop("the shop's time zone is not known; use a name like America/New_York")
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise BadShop("the shop's country is not known; use two letters like US")
    rows = table[ROW].to_numpy() if ROW in table.column_names else np.arange(table.num_rows) + 2
    keep = np.ones(table.num_rows, bool)
    rejects, columns = [], {ROW: rows}
    for name in (name for name in table.column_names if name != ROW):
        kind = types.get(name, "")
        if kind not in READERS:
            raise BadType(f'column "{name}" has no known type; give it one of {", ".join(READERS)}')
        coded = pc.dictionary_encode(table[name].cast(pa.string()).combine_chunks())
        cells = _Cells(_clean(coded.dictionary, kind), time_zone, region, day_first)
        values = READERS[kind](cells)
        values = pc.if_else(pa.array(cells.good), values, pa.scalar(None, values.type))
        columns[name] = values.take(coded.indices)
        if cells.why.any():
            why = pa.array(cells.why).take(coded.indices).fill_null(0).to_numpy()
            bad = np.flatnonzero(why)
            rejects += [Reject(int(rows[i]), name, cells.reasons[why[i]]) for i in bad]
            if kind not in KEEPS_ROW:
                keep[bad] = False
    rejects.sort(key=lambda reject: reject.row)
    out = pa.table(columns).select(table.column_names).filter(pa.array(keep))
    return Converted(out, rejects, int((~keep).sum()))


def _mask(where: pa.Array) -> Mask:
    """Return an Arrow mask as NumPy's, null as False."""
    return np.asarray(where.fill_null(False).to_numpy(zero_copy_only=False), bool)


def _has(text: pa.Array, pattern: str) -> Mask:
    return _mask(pc.match_substring_regex(text, pattern))


def _join(*texts: pa.Array | str) -> pa.Array:
    return pc.binary_join_element_wise(*texts, "")


def _clean(text: pa.Array, kind: str) -> pa.Array:
    """Strip what cannot be seen and what guards a cell from a spreadsheet; blanks become null."""
    text = pc.replace_substring_regex(text, INVISIBLE, "")
    if kind in ("text", "email"):
        text = pc.utf8_normalize(pc.replace_substring(text, "\u00a0", " "), "NFC")
    elif kind != "id":  # folds full-width digits, but would turn ² and ½ into other numbers
        text = pc.replace_substring_regex(text, "[\u200c-\u200f\u202a-\u202e]", "")
        odd = pa.array(_has(text, r"[\p{No}\p{Nl}]"))
        text = pc.if_else(odd, text, pc.utf8_normalize(text, "NFKC"))
    text = pc.replace_substring_regex(pc.utf8_trim_whitespace(text), GUARD, r"\1\2")
    return pc.if_else(pc.is_in(text, pa.array(BLANK)), None, text)


def _read_id(cells: _Cells) -> pa.Array:
    lost = _has(cells.text, r"^[+-]?[0-9](?:[.,][0-9]+)?[Ee]\+[0-9]+$")
    cells.refuse(lost, "a spreadsheet has cut off digits; export the file again, unopened")
    return cells.text


def _amounts(cells: _Cells, what: str) -> tuple[pa.Array, pa.Array]:
    """Return exact decimals and their currency; the whole column decides the decimal sign."""
    text = pc.replace_substring_regex(cells.text, "[−‐‑]", "-")
    cells.refuse(~_has(text, AMOUNT), f"not {what}; correct the cell")
    odd = _has(text, "[-+(].*[-+(]") | (_has(text, r"\(") != _has(text, r"\)"))
    cells.refuse(odd, f"not {what}; correct its sign or brackets")
    body = pc.replace_substring_regex(text, rf"{CURRENCY}|[-+()]", "")  # cheaper than capturing
    body = pc.utf8_trim_whitespace(body)
    point, comma = _has(body, POINT), _has(body, COMMA)
    cells.refuse(~(point | comma) | ~_has(body, "[0-9]"), f"not {what}; correct the cell")
    shows_point = (cells.good & point & ~comma).any()
    shows_comma = (cells.good & comma & ~point).any()
    if shows_point == shows_comma:
        unclear = point & comma & _has(body, "[.,]")
        cells.refuse(unclear, "fits two amounts, and its column does not show the decimal sign")
    dotted = pc.replace_substring(pc.replace_substring_regex(body, "[.'’ ]", ""), ",", ".")
    by_comma = pa.array(comma & (~point | (shows_comma and not shows_point)))
    plain = pc.if_else(by_comma, dotted, pc.replace_substring_regex(body, "[,'’ ]", ""))
    cells.refuse(~_has(plain, SHORT), f"not {what}: too many digits; correct the cell")
    exact = pc.cast(pc.if_else(pa.array(cells.good), plain, None), EXACT)
    minus = pa.array(_has(text, r"[-(]"))
    currency = pc.replace_substring_regex(text, "[-+()0-9.,'’ ]+", "")
    return pc.if_else(minus, pc.negate(exact), exact), currency


def _read_money(cells: _Cells) -> pa.Array:
    exact, currency = _amounts(cells, "an amount of money")
    marks = pc.dictionary_encode(currency.filter(pa.array(_has(currency, ".") & cells.good)))
    if len(marks.dictionary) > 1:
        main = marks.dictionary[pc.mode(marks.indices)[0]["mode"].as_py()]
        other = _has(currency, ".") & _mask(pc.not_equal(currency, main))
        cells.refuse(other, "another currency than most of its column; import it apart")
    hundredths = pc.multiply(pc.round(exact, 2, "half_to_even"), pa.scalar(100, pa.int8()))
    return pc.cast(hundredths, pa.int64())


def _read_number(cells: _Cells) -> pa.Array:
    exact, currency = _amounts(cells, "a number")
    cells.refuse(_has(currency, "."), "an amount of money where a number should be; check the type")
    whole = pc.all(pc.equal(exact, pc.floor(exact)), min_count=0).as_py()
    return pc.cast(exact, pa.int64()) if whole else exact


def _int(*texts: pa.Array) -> Ints:
    """Return digits as integers, 0 for none; of several columns at most one holds digits."""
    return np.asarray(pc.cast(_join("0", *texts).fill_null("0"), pa.int64()))


def _days(cells: _Cells, part: Mapping[str, pa.Array], years: tuple[int, int]) -> Ints:
    """Return days since 1970; the whole column shows whether the day or the month comes first."""
    a, b, dotted = _int(part["a"]), _int(part["b"]), _has(part["sep"], r"\.")
    slashed = cells.good & ~dotted  # a dot stands in day-first dates only
    shows_day, shows_month = (slashed & (a > 12)).any(), (slashed & (b > 12)).any()
    first: bool | Mask = bool(shows_day) if cells.day_first is None else cells.day_first
    if cells.day_first is None and shows_day == shows_month:
        unclear = slashed & (a <= 12) & (b <= 12) & (a != b)
        cells.refuse(unclear, "fits two dates; say for this file whether the day comes first")
        first = a > 12
    day_leads = dotted | first
    names = pc.utf8_slice_codeunits(pc.utf8_lower(_join(part["n3"], part["n4"])), 0, 3)
    named = pc.index_in(names, pa.array(MONTHS)).fill_null(-1).to_numpy() + 1
    day = np.where(day_leads, a, b) + _int(part["d1"], part["d3"], part["d4"])
    month = np.where(day_leads, b, a) + _int(part["m1"]) + named
    year = _int(part["y1"], part["y2"], part["y3"], part["y4"])
    year = np.where(_has(part["y2"], "^..$"), year + 2000, year)  # no till wrote a file before 2000
    months = (year - 1970) * 12 + month - 1
    days = months.astype("M8[M]").astype("M8[D]") + (day - 1)
    real = (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("M8[M]").astype(int) == months)
    cells.refuse(~real, "no such day in the calendar; correct the cell")
    far = (year < years[0]) | (year > years[1])
    cells.refuse(far, f"not between {years[0]} and {years[1]}; correct the year")
    return np.where(cells.good, days.astype(np.int64), 0)


def _micros(cells: _Cells, part: Mapping[str, pa.Array]) -> Ints:
    """Return the time of day in microseconds since midnight."""
    hour, minute, second = (_int(part[name]) for name in ("hour", "minute", "second"))
    twelve = _has(part["half"], ".")
    wrong = np.where(twelve, (hour < 1) | (hour > 12), hour > 23) | (minute > 59) | (second > 59)
    cells.refuse(wrong, "no such time of day; correct the cell")
    hour = np.where(twelve, hour % 12 + 12 * _has(part["half"], "[Pp]"), hour)
    micros = _int(pc.utf8_rpad(part["part"], 6, "0"))
    return np.where(cells.good, (hour * 3600 + minute * 60 + second) * 1_000_000 + micros, 0)


def _read_date(cells: _Cells) -> pa.Array:
    part = cells.split(cells.text, MOMENT, "a date")
    timed = (_micros(cells, part) != 0) | _has(part["zone"], ".")
    cells.refuse(timed, "a date with a time of day; read it as a datetime")
    short = _has(part["y2"], "^..$")  # was somebody born in 26 born in 1926?
    cells.refuse(short, "a year of two digits fits two centuries; write four")
    return pa.array(_days(cells, part, YEARS)).cast(pa.int32()).cast(pa.date32())


def _read_time(cells: _Cells) -> pa.Array:
    part = cells.split(_join("2000-01-01T", cells.text), MOMENT, "a time of day")
    cells.refuse(_has(part["zone"], "."), "a time zone without a date; read both together")
    return pa.array(_micros(cells, part)).cast(pa.time64("us"))


def _read_datetime(cells: _Cells) -> pa.Array:
    part = cells.split(cells.text, MOMENT, "a date with a time")
    cells.refuse(~_has(part["hour"], "."), "a date without a time of day; read it as a date")
    local = _days(cells, part, TILL_YEARS) * DAY_US + _micros(cells, part)
    utc = local.copy()
    zones = pc.dictionary_encode(part["zone"].fill_null(""))
    for code, words in enumerate(zones.dictionary.to_pylist()):
        mask = (zones.indices.to_numpy() == code) & cells.good
        if words in ("Z", "UTC", "GMT") or not mask.any():
            continue
        if found := OFFSET.fullmatch(words):
            minutes = int(found[2]) * 60 + int(found[3])
            utc[mask] -= (minutes if found[1] == "+" else -minutes) * 60_000_000
            continue
        name = words if re.fullmatch("[A-Z]{2,5}", words) else ""
        key = _zone(words) if words and not name else cells.time_zone
        if not key:
            cells.refuse(mask, "a time zone of unknown name; use a name like America/New_York")
            continue
        fits = np.ones(len(utc), np.int64)
        utc[mask], fits[mask] = _to_utc(local[mask], key, name)
        foreign = "the shop's zone has no such abbreviation at that time; add an offset like -0500"
        cells.refuse(fits == 0, foreign if name else "the clocks skip this hour; correct the cell")
        cells.refuse(fits == 2, "the clocks repeat this hour; add an offset like -0500")
    return pa.array(utc).cast(pa.timestamp("us", "UTC"))


def _zone(words: str) -> str:
    """Return the IANA name of a zone by that name or its Rails name, or nothing."""
    name = re.sub(r" Time \(.*Canada\)$", "", words)
    name = ZONES.get(name, name).replace(" ", "_")
    ends = sorted(zone for zone in available_timezones() if f"/{zone}".endswith(f"/{name}"))
    return ends[0] if ends else ""


def _to_utc(local: Ints, key: str, name: str) -> tuple[Ints, Ints]:
    """Return UTC microseconds, and how many moments each local time could be: 0, 1 or 2."""
    zone, epoch = ZoneInfo(key), datetime(1970, 1, 1, tzinfo=UTC)

    def rule(day: int) -> tuple[timedelta | None, str | None]:
        noon = (epoch + timedelta(days=day, hours=12)).replace(tzinfo=zone)
        return noon.utcoffset(), noon.tzname()

    days, of = np.unique(local // DAY_US, return_inverse=True)
    changing = np.array([rule(day - 1) != rule(day + 1) for day in days.tolist()], bool)
    quarters = np.where(changing[of], local // QUARTER_US, days[of] * 96 + 48)  # or that of noon
    quarters, which = np.unique(quarters, return_inverse=True)
    ahead, fits = np.zeros(len(quarters), np.int64), np.zeros(len(quarters), np.int64)
    for i, quarter in enumerate(quarters.tolist()):
        face = (epoch + quarter * timedelta(minutes=15)).replace(tzinfo=zone)
        for there in {at.utcoffset(): at for at in (face, face.replace(fold=1))}.values():
            back = there.astimezone(UTC).astimezone(zone)
            if back.replace(fold=0) == face and name in ("", there.tzname()):
                ahead[i] = (there.utcoffset() or timedelta()) // timedelta(microseconds=1)
                fits[i] += 1
    return local - ahead[which], fits[which]


def _words(cells: _Cells, yes: str, no: str, unstated: str) -> pa.Array:
    """Read words as true, false or null."""
    known = _has(cells.text, f"(?i)^({yes}|{no}|{unstated})$")
    cells.refuse(~known, "neither a yes nor a no; correct the cell")
    silent = pa.array(_has(cells.text, f"(?i)^({unstated})$"))
    return pc.if_else(silent, None, pa.array(_has(cells.text, f"(?i)^({yes})$")))


def _read_phone(cells: _Cells) -> pa.Array:
    found = pc.extract_regex(cells.text, TEN_DIGITS)  # most, and sure to be possible
    plain = _join("+1", *(pc.struct_field(found, name) for name in "abc"))
    if cells.region not in ("US", "CA"):  # where ten digits need no country code
        plain = pc.if_else(pc.starts_with(cells.text, "+"), plain, None)
    numbers = plain.to_pylist()
    for i in np.flatnonzero(cells.good & _mask(pc.is_null(plain))):
        numbers[i] = _phone(cells.text[i].as_py(), cells.region)
    read = pa.array(numbers, pa.string())
    cells.refuse(_mask(pc.is_null(read)), "not a possible phone number; correct the cell")
    return read


def _phone(text: str, region: str) -> str | None:
    if re.match(r"(?!tel:)[A-Za-z]", text):  # the parser looks for digits in prose
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    # 0 is IS_POSSIBLE; is_possible_number() would also pass a number that lacks its area code
    if phonenumbers.is_possible_number_with_reason(number) != 0:
        return None
    plain = str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return f"{plain};ext={number.extension}" if number.extension else plain


def _read_email(cells: _Cells) -> pa.Array:
    text = pc.replace_substring_regex(cells.text, r"^[^<>]*<([^<>]+)>$", r"\1")
    text = pc.replace_substring_regex(pc.utf8_trim_whitespace(text), "(?i)^mailto: *", "")
    read = pa.array([_email(cell) if cell else None for cell in text.to_pylist()], pa.string())
    cells.refuse(_mask(pc.is_null(read)), "not an e-mail address; correct the cell")
    return read


def _email(text: str) -> str | None:
    try:
        return email_validator.validate_email(text, check_deliverability=False).normalized
    except email_validator.EmailNotValidError:
        return None


READERS: dict[str, Callable[[_Cells], pa.Array]] = {
    "text": lambda cells: cells.text,
    "id": _read_id,
    "money": _read_money,
    "number": _read_number,
    "date": _read_date,
    "time": _read_time,
    "datetime": _read_datetime,
    "bool": lambda cells: _words(cells, YES, NO, "unknown"),
    "consent": lambda cells: _words(cells, GIVEN, REFUSED, UNSTATED),
    "phone": _read_phone,
    "email": _read_email,
}
