"""Deadlines: never a day too late, whatever the weekday, the month, the hour or the extension."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.clocks import (
    Calendar,
    ClockError,
    NoClock,
    NotExtended,
    NoZone,
    Pause,
    add_months,
    deadline,
    extend,
    keep_until,
    read_calendars,
)

NEW_YORK = ZoneInfo("America/New_York")
HOLIDAYS = frozenset(
    date(year, month, day)
    for year in range(2024, 2031)
    for month, day in [(1, 1), (7, 4), (11, 11), (12, 25), (5, 29)]
)
BANK = Calendar("made-up", "A made-up place", 2024, 2030, HOLIDAYS)
DAYS = st.dates(date(2025, 1, 1), date(2029, 6, 30))
NUMBERS = st.integers(1, 120)
UNITS = st.sampled_from(["calendar_day", "business_day", "month"])


@dataclass(frozen=True)
class Rule:
    """A rule as it would come from a file."""

    clock: dict[str, Any] = field(default_factory=dict)
    keep: dict[str, Any] = field(default_factory=dict)
    confidence: str = "high"
    doubts: tuple[str, ...] = ()
    id: str = "xx-law.answer"
    cite: str = "Code 1"


def rule(n, unit, start="received", **more):
    """Return a rule that counts *n* units."""
    return Rule({"start": start, "n": n, "unit": unit, "first_day": "next", **more})


def count(made, events, **more):
    """Count with the made-up holidays, in New York."""
    return deadline(made, events, **{"zone": NEW_YORK, "calendar": BANK, **more})


def three(made):
    """Return the three dates."""
    return made.due, made.send_by, made.latest


def working(day):
    """Say whether somebody works on a day."""
    return day.weekday() < 5 and day not in HOLIDAYS


@given(start=DAYS, n=NUMBERS)
def test_business_days_are_those_one_counts_on_the_fingers(start, n):
    """Weekends are skipped; holidays only in the reading that nobody should aim at."""
    made = count(rule(n, "business_day"), {"received": start})

    after = [start + timedelta(days=i) for i in range(1, 400)]
    assert made.due == [day for day in after if day.weekday() < 5][n - 1]
    assert made.latest == [day for day in after if working(day)][n - 1]


@given(start=DAYS, n=NUMBERS, unit=UNITS)
def test_the_day_to_work_to_is_the_last_working_day_up_to_the_due_one(start, n, unit):
    """Whoever sends by then is in time, even if the post rests on holidays."""
    n = min(n, 12) if unit == "month" else n
    made = count(rule(n, unit), {"received": start})

    assert made.send_by <= made.due <= made.latest
    assert working(made.send_by)
    assert working(made.latest)
    between = (made.due - made.send_by).days
    assert not any(working(made.send_by + timedelta(days=i)) for i in range(1, between + 1))


@given(start=DAYS, later=st.integers(0, 90), n=NUMBERS, more=st.integers(0, 30), unit=UNITS)
def test_who_asks_later_never_gets_an_earlier_date(start, later, n, more, unit):
    """And a longer period never ends sooner."""
    n, more = (min(n, 6), min(more, 5)) if unit == "month" else (n, more)
    first = count(rule(n, unit), {"received": start})
    second = count(rule(n + more, unit), {"received": start + timedelta(days=later)})

    assert all(one <= two for one, two in zip(three(first), three(second), strict=True))


@given(start=DAYS, n=st.integers(0, 60))
def test_months_end_on_the_same_number_or_the_months_last(start, n):
    """No month is 30 days or 720 hours, and none is added after another."""
    end = add_months(start, n)

    assert (end.year * 12 + end.month) - (start.year * 12 + start.month) == n
    assert end.day == start.day or (
        end.day < start.day and (end + timedelta(days=1)).month != end.month
    )
    assert add_months(date(2026, 1, 31), 2) == date(2026, 3, 31)  # not by way of 28 February
    assert add_months(date(2024, 3, 31), -1) == date(2024, 2, 29)


@given(start=DAYS, n=st.integers(1, 45), more=st.integers(1, 45), unit=UNITS, late=st.booleans())
def test_an_extension_counts_from_the_receipt_and_only_if_told_in_time(start, n, more, unit, late):
    """One day late and the first date stands; once only, with a reason."""
    n, more = (min(n, 6), min(more, 6)) if unit == "month" else (n, more)
    by = {"n": more, "unit": unit, "total_from": "received", "notice_by": "first_due"}
    made = rule(n, unit, extend={**by, "needs_reason": True})
    first = count(made, {"received": start})
    notice = first.due + timedelta(days=late)

    if late:
        with pytest.raises(NotExtended, match="first date stands"):
            extend(made, first, notice_at=notice, reason="many")
        return
    longer = extend(made, first, notice_at=notice, reason="many")
    assert three(longer) == three(count(rule(n + more, unit), {"received": start}))
    assert longer.extended
    with pytest.raises(NotExtended, match="once"):
        extend(made, longer, notice_at=notice, reason="many")
    with pytest.raises(NotExtended, match="reason"):
        extend(made, first, notice_at=notice, reason=" ")
    with pytest.raises(NotExtended, match="sent from"):  # the year mistyped, say
        extend(made, first, notice_at=start - timedelta(days=1), reason="many")


@pytest.mark.parametrize(
    ("zone", "found", "due"),
    [
        pytest.param(NEW_YORK, "2026-03-06T22:00-05:00", "2026-03-09T23:00-04:00", id="spring"),
        pytest.param(NEW_YORK, "2026-10-30T22:00-04:00", "2026-11-02T21:00-05:00", id="autumn"),
        pytest.param(ZoneInfo("Europe/Berlin"), "2026-12-30T09:15+01:00",
                     "2027-01-02T09:15+01:00", id="over New Year and a weekend"),
    ],
)  # fmt: skip
def test_hours_are_elapsed_hours(zone, found, due):
    """72 hours are 72 hours: the clock change does not matter, nor does the weekend."""
    made = deadline(rule(72, "hour"), {"received": datetime.fromisoformat(found)}, zone=zone)

    assert made.due == made.send_by == made.latest == datetime.fromisoformat(due)
    assert made.due.tzinfo == zone
    assert made.due - datetime.fromisoformat(found) == timedelta(hours=72)


@given(st.integers(0, 4 * 365 * 24))
def test_hours_survive_every_clock_change(hours):
    """At any hour of four years."""
    found = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
    made = deadline(rule(72, "hour"), {"received": found}, zone=NEW_YORK)

    assert made.due.astimezone(UTC) - found == timedelta(hours=72)


def test_the_day_is_the_one_at_the_shop():
    """An e-mail late in the evening came in on that day, although it is tomorrow in London."""
    evening = datetime(2026, 3, 3, 4, 30, tzinfo=UTC)  # 23:30 on 2 March in New York
    made = rule(10, "business_day")

    assert count(made, {"received": evening}).start == date(2026, 3, 2)
    assert count(made, {"received": evening}, zone=UTC).start == date(2026, 3, 3)


def test_fourteen_business_days_are_not_336_hours():
    """Nor is a month 30 days: the failures of other tools."""
    assert count(rule(14, "business_day"), {"received": date(2026, 3, 2)}).due == date(2026, 3, 20)
    assert count(rule(1, "month"), {"received": date(2026, 2, 1)}).due == date(2026, 3, 1)
    assert count(rule(1, "month"), {"received": date(2026, 7, 31)}).due == date(2026, 8, 31)


def test_stricter_readings_are_doubts_beside_the_date():
    """The shop sees that a day less is possible, and what it would hang on."""
    both = rule(10, "business_day", count_saturday=True, count_first_day=True)
    made = count(both, {"received": date(2026, 3, 4)})

    assert (made.due, made.strict) == (date(2026, 3, 18), (date(2026, 3, 16), date(2026, 3, 17)))
    assert any("Saturdays" in doubt for doubt in made.doubts)
    same = rule(45, "calendar_day", first_day="same")
    assert count(same, {"received": date(2026, 3, 2)}).due == date(2026, 4, 15)
    assert count(rule(1, "month", first_day="same"), {"received": date(2026, 3, 2)}).due == date(
        2026, 4, 1
    )


SPAN = date(2026, 3, 10)
STOP = {"stop": ["clarification_awaited"]}


@pytest.mark.parametrize(
    ("pauses", "due"),
    [
        pytest.param([], date(2026, 4, 2), id="none"),
        pytest.param([(3, 10)], date(2026, 4, 9), id="a week"),
        pytest.param([(3, 10), (5, 8)], date(2026, 4, 9), id="one inside another"),
        pytest.param([(3, 10), (8, 12)], date(2026, 4, 11), id="two that overlap"),
        pytest.param([(12, 14), (3, 10)], date(2026, 4, 11), id="two, in any order"),
        pytest.param([(40, 50)], date(2026, 4, 2), id="begun after the end"),
        pytest.param([(5, 5)], date(2026, 4, 2), id="over on the same day"),
    ],
)
def test_the_clock_stands_while_an_answer_is_awaited(pauses, due):
    """Where the law says so; each day counts once."""
    spans = [
        Pause("clarification_awaited", *(date(2026, 3, 1) + timedelta(days=d) for d in span))
        for span in pauses
    ]

    assert count(rule(1, "month", **STOP), {"received": date(2026, 3, 2)}, pauses=spans).due == due


def test_a_pause_that_goes_on_leaves_no_date():
    """And says what ends it."""
    pause = Pause("clarification_awaited", date(2026, 3, 9), None)
    made = count(rule(1, "month", **STOP), {"received": date(2026, 3, 2)}, pauses=[pause])

    assert (made.state, made.due) == ("stopped", None)
    assert made.why == "stopped: clarification awaited"
    assert made.task


def test_an_hour_clock_can_stand_still_too():
    """By the hour."""
    start = datetime(2026, 3, 2, 9, tzinfo=UTC)
    pause = Pause("clarification_awaited", start, start + timedelta(hours=5))
    made = deadline(rule(72, "hour", **STOP), {"received": start}, zone=UTC, pauses=[pause])

    assert made.due == start + timedelta(hours=77)


LATEST = {"start_any": ["received", "id_info", "fee"], "start_needs": ["received"]}
EARLIEST = {"start_any": ["discovered", "notified"]}
D = {n: date(2026, 3, n) for n in range(1, 32)}


@pytest.mark.parametrize(
    ("start", "several", "events", "begins"),
    [
        pytest.param("latest_of", LATEST, {"received": D[2]}, D[2], id="nothing more was needed"),
        pytest.param("latest_of", LATEST, {"received": D[2], "fee": D[9]}, D[9], id="the fee"),
        pytest.param("latest_of", LATEST, {"received": D[9], "fee": D[2]}, D[9], id="any order"),
        pytest.param("latest_of", LATEST, {"received": D[2], "fee": None}, None, id="no fee yet"),
        pytest.param("latest_of", LATEST, {"fee": D[2]}, None, id="never received"),
        pytest.param("latest_of", {"start_any": ["aware", "scope_identified"]}, {"aware": D[2]},
                     None, id="both are needed"),
        pytest.param("earliest_of", EARLIEST, {"notified": D[5]}, D[5], id="told by others"),
        pytest.param("earliest_of", EARLIEST, {"notified": D[5], "discovered": D[3]}, D[3],
                     id="found before"),
        pytest.param("earliest_of", EARLIEST, {"notified": None}, None, id="neither"),
    ],
)  # fmt: skip
def test_where_several_things_start_the_clock(start, several, events, begins):
    """The latest of what was needed, or the earliest of what happened; else it has not begun."""
    made = count(rule(10, "calendar_day", start=start, **several), events)

    assert made.start == begins
    assert made.due == (begins + timedelta(days=10) if begins else None)
    expected = {"latest_of": "not_started", "earliest_of": "cannot"}[start]
    assert made.state == ("computed" if begins else expected)


def test_what_is_awaited_is_named_with_the_day_it_was_asked_for():
    """The shop sees that the ball is in the customer's court, since when."""
    events = {"received": D[2], "id_info": None, "id_info_asked": D[4]}
    made = count(rule(1, "month", start="latest_of", **LATEST), events)

    assert made.why == "not started: id info is missing (asked for on 2026-03-04)"
    assert made.floor == date(2026, 4, 2)
    assert made.task == "find out and note when: id info"


def test_the_sooner_of_two_ends_counts():
    """Fourteen business days, or the day people are told, whichever is sooner."""
    two = {"sooner_of": [{"start": "told_people", "n": 0, "unit": "calendar_day"}]}
    made = rule(14, "business_day", start="discovered", **two)

    assert count(made, {"discovered": D[2]}).due == D[20]
    told = count(made, {"discovered": D[2], "told_people": D[7]})  # a Saturday
    assert three(told) == (D[7], D[6], D[9])
    assert "told people came sooner and decides" in told.doubts
    later = {"discovered": D[2], "told_people": D[31]}
    assert three(count(made, later)) == three(count(made, {"discovered": D[2]}))


def test_a_notice_that_must_come_before_counts_backwards():
    """24 hours before points are lost; never moved to the day after."""
    lost = datetime(2026, 3, 9, 9, tzinfo=NEW_YORK)  # one day after the clocks went forward
    hours = rule(24, "hour", start="benefit_lost", direction="before")
    days = rule(10, "business_day", start="benefit_lost", direction="before")

    assert count(hours, {"benefit_lost": lost}).due == lost.astimezone(UTC) - timedelta(hours=24)
    assert three(count(days, {"benefit_lost": D[16]})) == (D[2], D[2], D[2])
    saturday = rule(2, "calendar_day", start="benefit_lost", direction="before")
    assert three(count(saturday, {"benefit_lost": D[9]})) == (D[7], D[6], D[7])


def test_without_its_start_there_is_no_date_but_a_floor():
    """Nobody makes a date up; the earliest possible one is called what it is."""
    made = count(rule(60, "calendar_day", start="determined"), {"discovered": D[2]})

    assert (made.state, made.due, made.send_by, made.latest) == ("cannot", None, None, None)
    assert made.floor == date(2026, 5, 1)
    assert made.why == "cannot compute: determined is not given"
    assert made.task == "find out and note when: determined"
    assert count(rule(60, "calendar_day", start="determined"), {}).floor is None
    assert count(rule(72, "hour", start="aware"), {"discovered": D[2]}).floor is None


@given(start=DAYS, later=st.integers(0, 60), n=NUMBERS)
def test_nothing_is_due_before_its_floor(start, later, n):
    """Determining follows discovering."""
    made = rule(n, "calendar_day", start="determined")
    floor = count(made, {"discovered": start}).floor

    assert floor <= count(made, {"determined": start + timedelta(days=later)}).due


def test_an_unconfirmed_rule_never_counts():
    """It is shown, and a person is asked to confirm it; nor is it extended or kept by."""
    low = Rule(
        {"start": "received", "n": 45, "unit": "calendar_day", "extend": {"n": 45}},
        {"start": "answered", "n": 24, "unit": "month"},
        confidence="low",
    )
    made = count(low, {"received": D[2]})

    assert (made.state, made.why) == ("cannot", "cannot compute: rule unconfirmed")
    assert made.task
    assert three(made) == (None, None, None)
    with pytest.raises(NotExtended):
        extend(low, made, notice_at=D[3], reason="many")
    with pytest.raises(NoClock):
        keep_until(low, {"answered": D[2]}, zone=UTC)


def test_outside_the_list_of_holidays_only_the_due_day_is_known():
    """Christmas of a year that nobody listed is not taken for a working day."""
    for events, listed in [({"received": date(2030, 12, 20)}, BANK), ({"received": D[2]}, None)]:
        made = count(rule(45, "calendar_day"), events, calendar=listed)
        assert made.due == events["received"] + timedelta(days=45)
        assert (made.send_by, made.latest) == (None, None)
        assert any("no list of holidays" in doubt for doubt in made.doubts)
    edge = count(rule(10, "business_day"), {"received": date(2023, 12, 27)})
    assert (edge.due, edge.send_by, edge.latest) == (date(2024, 1, 10), date(2024, 1, 10), None)


def test_doubts_of_a_rule_stand_beside_its_date():
    """With those of the list of holidays."""
    doubtful = Rule(rule(1, "month").clock, confidence="medium", doubts=("one page said so",))
    listed = Calendar("x", "X", 2024, 2030, HOLIDAYS, ("states differ",))

    made = count(doubtful, {"received": D[2]}, calendar=listed)
    assert made.doubts == ("one page said so", "states differ")
    assert made.cite == "Code 1"


def test_how_long_to_keep_counts_months_from_its_event():
    """Records of a request, 24 months after the answer."""
    kept = Rule(keep={"start": "answered", "n": 24, "unit": "month"})

    assert keep_until(kept, {"answered": date(2024, 2, 29)}, zone=UTC) == date(2026, 2, 28)
    late = datetime(2026, 3, 2, 3, tzinfo=UTC)  # the evening before in New York
    assert keep_until(kept, {"answered": late}, zone=NEW_YORK) == date(2028, 3, 1)


NAIVE = datetime(2026, 3, 2, 9)  # noqa: DTZ001 (the test's point)


@pytest.mark.parametrize(
    ("made", "events", "error"),
    [
        pytest.param(rule(10, "calendar_day"), {"received": NAIVE}, NoZone, id="naive"),
        pytest.param(rule(10, "calendar_day"), {"received": D[2], "told_people": NAIVE}, NoZone,
                     id="naive, though not used"),
        pytest.param(rule(72, "hour"), {"received": D[2]}, NoZone, id="a day for hours"),
        pytest.param(Rule(), {"received": D[2]}, NoClock, id="no clock"),
        pytest.param(rule(2, "week"), {"received": D[2]}, NoClock, id="unknown unit"),
    ],
)  # fmt: skip
def test_refuses(made, events, error):
    """Each way to hold it wrong has its own error; none is guessed around."""
    with pytest.raises(error) as caught:
        count(made, events)

    assert isinstance(caught.value, ClockError)
    assert "2026" not in str(caught.value)


def test_refuses_what_no_rule_allows():
    """A pause for a reason of one's own, an extension that the law does not give, a text."""
    made = rule(45, "calendar_day")
    pause = Pause("checking who asks", D[3], D[9])
    with pytest.raises(NoClock, match="nothing stops this clock"):
        count(made, {"received": D[2]}, pauses=[pause])
    with pytest.raises(NotExtended, match="no extension is known"):
        extend(made, count(made, {"received": D[2]}), notice_at=D[3], reason="many")
    able = rule(45, "calendar_day", extend={"n": 45})
    with pytest.raises(NotExtended, match="no first date"):
        extend(able, count(able, {}), notice_at=D[3], reason="many")
    with pytest.raises(NoZone):
        extend(able, count(able, {"received": D[2]}), notice_at=NAIVE, reason="many")
    with pytest.raises(NoClock, match="not given"):
        keep_until(Rule(keep={"start": "answered", "n": 1, "unit": "month"}), {}, zone=UTC)
    with pytest.raises(TypeError):
        count(made, {"received": "2026-03-02"})


def test_lists_of_holidays_are_read_from_a_file(tmp_path):
    """And one that cannot be read is named."""
    path = tmp_path / "calendars.toml"
    path.write_text(
        '[[calendar]]\nkey = "x"\nname = "X"\nfrom_year = 2026\nto_year = 2026\n'
        'days = [{ on = 2026-12-25, name = "Christmas" }]\ndoubts = ["one"]\n'
    )

    assert read_calendars(path)["x"].days == {date(2026, 12, 25)}
    path.write_text('[[calendar]]\nkey = "x"\n')
    with pytest.raises(ClockError, match="calendars.toml"):
        read_calendars(path)
