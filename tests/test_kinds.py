"""An encrypted birthday comes back a date, a price a Decimal, and nothing comes back as another."""

from __future__ import annotations

import traceback
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from math import copysign, inf
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.kinds import KindsError, NotKept, NotRead, read, write

NEW_YORK = ZoneInfo("America/New_York")
FALL = datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK)  # the hour that comes twice

# The format as documented, by hand: a change here would leave old values unreadable.
GOLDEN = [
    ("555-0100", b"t555-0100"),
    ("José", b"tJos\xc3\xa9"),
    ("", b"t"),
    (-42, b"i-42"),
    (Decimal("19.90"), b"n19.90"),
    (Decimal("-0E+3"), b"n-0E+3"),
    (0.1, b"f0.1"),
    (True, b"b1"),
    (False, b"b0"),
    (b"\x00\xff", b"x\x00\xff"),
    (date(1984, 2, 29), b"d1984-02-29"),
    (datetime(2026, 11, 24, 9, 30, tzinfo=UTC), b"w2026-11-24T09:30:00+00:00"),
    (
        datetime(2026, 11, 24, 9, 30, tzinfo=NEW_YORK),
        b"w2026-11-24T09:30:00-05:00[America/New_York]",
    ),
    (FALL, b"w2026-11-01T01:30:00-04:00[America/New_York]"),
    (FALL.replace(fold=1), b"w2026-11-01T01:30:00-05:00[America/New_York]"),
]

offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
values = st.one_of(
    st.text(),
    st.integers(),
    st.decimals(allow_nan=False),
    st.floats(allow_nan=False),
    st.booleans(),
    st.binary(),
    st.dates(),
    st.datetimes(timezones=st.one_of(st.timezones(), offsets), allow_imaginary=False),
)


@pytest.mark.parametrize(("value", "written"), GOLDEN, ids=lambda v: type(v).__name__)
def test_the_format_is_the_documented_one(value, written):
    """Another program can read it from the description alone."""
    back = read(written)

    assert write(value) == written
    assert (back, type(back)) == (value, type(value))


@given(value=values)
def test_every_kind_comes_back_as_it_was(value):
    """Value and type survive, to the last digit and the last zero."""
    back = read(write(value))

    assert type(back) is type(value)
    assert back == value
    assert write(back) == write(value)  # 19.9 is not 19.90, and -0.0 is not 0.0


@given(moment=st.datetimes(timezones=st.timezones(), allow_imaginary=False))
def test_a_moment_keeps_its_zone_and_which_of_two_hours_it_was(moment):
    """A sale at half past one in the night of the clock change is not moved by an hour."""
    back = read(write(moment))

    assert back.tzinfo is moment.tzinfo
    assert back.replace(tzinfo=None) == moment.replace(tzinfo=None)
    assert back.utcoffset() == moment.utcoffset()
    assert back.timestamp() == moment.timestamp()


def test_both_hours_of_the_clock_change_come_back():
    """Half past one comes twice in November; the later one stays the later one."""
    first, second = (read(write(FALL.replace(fold=fold))) for fold in (0, 1))

    assert (first.fold, second.fold) == (0, 1)
    assert second.timestamp() - first.timestamp() == 3600


def test_an_hour_that_the_clock_skips_comes_back_as_it_was_typed():
    """Half past two does not exist on that day in March; it is not corrected behind your back."""
    for fold in (0, 1):
        typed = datetime(2026, 3, 8, 2, 30, tzinfo=NEW_YORK, fold=fold)
        back = read(write(typed))

        assert (back.hour, back.fold) == (2, fold)
        assert back.utcoffset() == typed.utcoffset()


def test_a_zone_whose_rules_changed_keeps_the_moment():
    """A country abolished summer time after the value was sealed; the moment is the same."""
    back = read(b"w2026-07-01T12:00:00-08:00[America/New_York]")

    assert back == datetime(2026, 7, 1, 20, tzinfo=UTC)
    assert back.tzinfo is NEW_YORK
    assert back.hour == 16


@pytest.mark.parametrize(
    "zone", ["Nowhere/Atlantis", "../../etc/passwd", "America", "\0", "x" * 999]
)
def test_a_zone_that_this_machine_does_not_know_keeps_the_offset(zone):
    """A value sealed on a newer machine still opens, and no name leads out of the zone folder."""
    back = read(f"w2026-07-01T12:00:00-08:00[{zone}]".encode())

    assert back == datetime(2026, 7, 1, 20, tzinfo=UTC)
    assert back.utcoffset() == timedelta(hours=-8)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(-42), -42),
        (np.uint8(7), 7),
        (np.float64(0.1), 0.1),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("José"), "José"),
        (np.bytes_(b"\xff"), b"\xff"),
        (np.datetime64("1984-02-29"), date(1984, 2, 29)),
        (pd.Timestamp("2026-11-24T09:30:00.000001Z"), datetime(2026, 11, 24, 9, 30, 0, 1, UTC)),
        (pd.Timestamp(FALL.replace(fold=1)), FALL.replace(fold=1)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_numpy_and_pandas_kinds_come_back_as_pythons_own(value, plain):
    """It does not matter which library held the value when it was sealed."""
    back = read(write(value))

    assert (back, type(back)) == (plain, type(plain))
    assert write(value) == write(plain)


@pytest.mark.parametrize(
    "nothing",
    [
        None, float("nan"), np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"),
        Decimal("NaN"), Decimal("-NaN"), Decimal("sNaN"), Decimal("NaN123"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_missing_value_stays_missing(nothing):
    """An empty cell is not a value of some kind."""
    assert write(nothing) is None


@pytest.mark.parametrize("number", [inf, -inf, 1e-323, 1.7976931348623157e308, -0.0])
def test_floats_at_the_edge_come_back(number):
    """Infinity is a value, and zero keeps its sign."""
    back = read(write(number))

    assert back == number
    assert copysign(1, back) == copysign(1, number)


class Level(int):
    """A whole number with a meaning that its digits do not say."""


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("Zyx \ud800", id="half a character"),
        pytest.param(7 * 10**5000, id="5,001 digits"),
        pytest.param(datetime(1984, 2, 29), id="no zone"),  # noqa: DTZ001
        pytest.param(pd.Timestamp("1984-02-29"), id="pandas without a zone"),
        pytest.param(pd.Timestamp("1984-02-29T00:00:00.000000001Z"), id="nanoseconds"),
        pytest.param(pd.Timestamp(2**38, unit="s", tz="UTC"), id="the year 10680"),
        pytest.param(np.datetime64("1984-02-29T00:00", "ns"), id="numpy's nanoseconds"),
        pytest.param(np.datetime64("1984-02-29T00:00", "s"), id="numpy without a zone"),
        pytest.param(np.timedelta64(1984, "ns"), id="numpy's span of time"),
        pytest.param(timedelta(1984), id="span of time"),
        pytest.param(datetime(1984, 2, 29, tzinfo=UTC).timetz(), id="time of day"),
        pytest.param(Fraction(1984, 3), id="fraction"),
        pytest.param(1984j, id="complex"),
        pytest.param(Level(1984), id="a kind of its own"),
        pytest.param(["Zyx"], id="list"),
        pytest.param(np.array([1984]), id="array"),
        pytest.param(bytearray(b"Zyx"), id="bytearray"),
        pytest.param(memoryview(b"Zyx"), id="memoryview"),
    ],
)
def test_what_would_not_come_back_is_not_taken(value):
    """Better an error today than another birthday in a restored backup; the error shows nothing."""
    with pytest.raises(NotKept, match="would not come back as it is; use ") as caught:
        write(value)

    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert isinstance(caught.value, KindsError)
    assert caught.value.__context__ is None
    assert type(value).__name__ in str(caught.value)
    assert "Zyx" not in shown
    assert "1984" not in shown
    assert "10680" not in shown
    assert "7000000" not in shown


@pytest.mark.parametrize(
    "written",
    [
        b"", b"q", b"Zyx", b"\xffZyx", b"T555",
        b"t\xff Zyx", b"t\xed\xa0\x80",
        b"i", b"iZyx", b"i1.5", b"i" + b"9" * 5000,
        b"n", b"nZyx", b"f", b"fZyx",
        b"b", b"b2", b"bTrue",
        b"d", b"d1984-02-30", b"dZyx", b"d1984-02-29T00:00",
        b"w", b"w1984-02-29", b"w1984-02-29T00:00:00", b"wZyx[UTC]",
        b"w1984-02-29T00:00:00[America/New_York]", b"w1984-02-29T00:00:00+99:00",
        b"w0001-01-01T00:00:00+23:00[America/New_York]",
    ],
    ids=lambda written: written[:24],
)  # fmt: skip
def test_what_write_never_makes_is_not_read(written):
    """A newer kit's kinds, or another program's, are an error and not a guess."""
    with pytest.raises(NotRead, match="; another program or a newer kit made it") as caught:
        read(written)

    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert isinstance(caught.value, KindsError)
    assert caught.value.__context__ is None
    assert "Zyx" not in shown
    assert "1984" not in shown


@given(written=st.binary())
def test_reading_anything_gives_a_value_or_the_one_error(written):
    """No bytes at all can crash the program that opens a token."""
    try:
        back = read(written)
    except NotRead:
        return

    assert type(back) in {str, int, Decimal, float, bool, bytes, date, datetime}
