"""What is not kept cannot be lost: each step makes less of a value, and refuses what it cannot."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import minimise
from kit.minimise import BadStep, MinimiseError, NotRead, Step

UNHURRIED = settings(deadline=None)  # a busy machine is no failure
TODAY = date(2026, 11, 24)
ROWS = {
    "name": ["Ana María", "Ben", None],
    "birthday": [date(1984, 2, 29), date(2020, 1, 1), None],
    "street": ["1 Example Street", None, None],
    "region": ["Iowa", "Ohio", None],
    "postcode": ["90210-1234", "SW1A 1AA", None],
    "spent": [12, 100, None],
    "joined": [datetime(2026, 3, 1, tzinfo=UTC), None, None],
    "note": ["likes roses", None, None],
}
STEPS = {
    "region": "keep",
    "name": "initials",
    "birthday": "month and day",
    "postcode": "area",
    "spent": "band",
    "joined": "month",
    "note": "yes or no",
}
LESS = {
    "region": ["Iowa", "Ohio", None],
    "name": ["A. M.", "B.", None],
    "birthday": ["--02-29", "--01-01", None],
    "postcode": ["902", "SW1A", None],
    "spent": ["10 to 49", "100 to 499", None],
    "joined": ["2026-03", None, None],
    "note": [True, False, False],
}


def test_a_table_keeps_less():
    """An address becomes a region, a birthday a day of the year; the street is gone."""
    less = minimise.columns(pa.table(ROWS), STEPS, on=TODAY)

    assert less.to_pydict() == LESS


def test_a_frame_keeps_less():
    """The same from pandas, whose own index stays."""
    frame = pd.DataFrame(ROWS, index=[7, 8, 9])
    frame["spent"] = frame["spent"].astype("Int64")

    less = minimise.columns(frame, STEPS, on=TODAY)

    assert list(less.index) == [7, 8, 9]
    assert {n: [None if pd.isna(c) else c for c in less[n]] for n in less} == LESS
    assert less["note"].dtype == bool


def test_a_row_keeps_less():
    """One customer at the counter, before anything is stored."""
    row = {name: cells[0] for name, cells in ROWS.items()}

    assert minimise.row(row, STEPS, on=TODAY) == {name: cells[0] for name, cells in LESS.items()}


def test_years_are_numbers():
    """They are there to be counted, with gaps."""
    frame = pd.DataFrame({"born": [date(1984, 2, 29), None]})

    assert minimise.columns(frame, {"born": "year"}, on=TODAY)["born"].tolist() == [1984, pd.NA]
    arrow = minimise.columns(
        pa.table({"born": [None, date(1984, 2, 29)]}), {"born": "year"}, on=TODAY
    )
    assert arrow["born"].to_pylist() == [None, 1984]
    empty = minimise.columns(pa.table({"born": pa.nulls(2)}), {"born": "year"}, on=TODAY)
    assert empty["born"].type == pa.int64()


@pytest.mark.parametrize(
    ("born", "on", "years", "band"),
    [
        (date(2008, 11, 24), TODAY, 18, "18 to 24"),
        (date(2008, 11, 25), TODAY, 17, "13 to 17"),
        (date(2013, 11, 25), TODAY, 12, "under 13"),
        (date(1926, 1, 1), TODAY, 100, "65 and over"),
        (date(2008, 2, 29), date(2026, 2, 28), 17, "13 to 17"),
        (date(2008, 2, 29), date(2026, 3, 1), 18, "18 to 24"),
        (TODAY, TODAY, 0, "under 13"),
        (datetime(2008, 11, 24), TODAY, 18, "18 to 24"),  # noqa: DTZ001 (pandas' way to say a day)
    ],
)
def test_ages(born, on, years, band):
    """On the birthday one is a year older; who is born on 29 February, on 1 March."""
    assert minimise.age(born, on=on) == years
    assert minimise.age_band(born, on=on) == band


def test_bands_of_ones_own():
    """A wine shop asks one thing."""
    assert minimise.age_band(date(2005, 11, 25), on=TODAY, edges=(21,)) == "under 21"
    row = minimise.row({"b": date(2005, 11, 24)}, {"b": Step("age band", (21,))}, on=TODAY)
    assert row == {"b": "21 and over"}
    assert minimise.band(13, edges=(13, 14)) == "13"


@UNHURRIED
@given(st.integers(), st.lists(st.integers(), min_size=1, unique=True).map(sorted))
def test_every_number_has_one_band(number, edges):
    """No number falls between two bands, and each band is a row of neighbours."""
    bands = [minimise.band(n, edges=edges) for n in (number, number + 1)]

    assert (bands[0] != bands[1]) == (number + 1 in edges)


@pytest.mark.parametrize(
    ("postcode", "area"),
    [("90210", "902"), ("90210-1234", "902"), (" sw1a  1aa ", "SW1A"), ("K1A 0B6", "K1A"),
     ("1012 AB", "10"), ("100-0001", "10"), ("10115", "101"), ("", "")],
)  # fmt: skip
def test_areas(postcode, area):
    """Enough to see where customers come from, too little to find a door."""
    assert minimise.area(postcode) == area


@pytest.mark.parametrize(
    ("values", "steps", "error", "says"),
    [
        pytest.param({"a": 1}, {"b": "keep"}, BadStep, "no field b; is it spelled", id="no field"),
        pytest.param({"a": 1}, {"a": "hide"}, BadStep, "a step is one of: keep, month", id="step"),
        pytest.param({"a": 1}, {"a": Step("band", (5, 5))}, BadStep, "edges rise", id="edges"),
        pytest.param({"a": "1984-02-29"}, {"a": "age band"}, NotRead, "a: holds something else",
                     id="text for a date"),
        pytest.param({"a": True}, {"a": "band"}, NotRead, "a: holds something else", id="flag"),
        pytest.param({"a": b"90210"}, {"a": "area"}, NotRead, "a: holds something", id="bytes"),
        pytest.param({"a": date(2030, 1, 1)}, {"a": "age band"}, NotRead,
                     "born after that day; correct the birthday", id="born in the future"),
    ],
)  # fmt: skip
def test_refuses(values, steps, error, says):
    """What cannot be made less of is named by its column, never repeated."""
    with pytest.raises(error, match=says) as caught:
        minimise.row(values, steps, on=TODAY)

    assert isinstance(caught.value, MinimiseError)
    assert "1984" not in str(caught.value)
    assert "90210" not in str(caught.value)
    with pytest.raises(error):
        minimise.columns(pa.table({name: [cell] for name, cell in values.items()}), steps, on=TODAY)


def test_edges_are_needed():
    """No edges are no bands."""
    with pytest.raises(BadStep, match="edges rise"):
        minimise.band(1, edges=())
