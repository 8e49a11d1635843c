"""An owner reads findings only as long as they are rare and right. These are the promises."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from kit.watch import NOTE, SOON, URGENT, Limits, WatchError, unusual

NEW_YORK = ZoneInfo("America/New_York")
FIRST = datetime(2026, 9, 28)  # noqa: DTZ001  a Monday, by the shop's clock
DAYS = 42
SINCE = datetime(2026, 11, 2, tzinfo=NEW_YORK)  # the night before, clocks went back
CASHIERS = ("emp-1", "emp-2", "emp-3", "emp-4")
CUSTOMERS = 1_500
REGULARS = 40


def entry(at, actor, action="look", subject=None, count=1, role="cashier", purpose="sale"):
    """Return one entry as a log gives it; *at* by the shop's clock if it has no zone."""
    at = at if at.tzinfo else at.replace(tzinfo=NEW_YORK)
    return {
        "at": at.astimezone(UTC),
        "actor": actor,
        "role": role,
        "purpose": purpose,
        "action": action,
        "subject": subject,
        "count": count,
    }


def shifts_of(day):
    """Return who works when on a day: four cashiers take turns, early and late."""
    early, late = CASHIERS[day % 4], CASHIERS[(day + 1) % 4]
    if day == DAYS - 4:
        early, late = late, early  # two of them swapped in the last week
    return {early: (7, 45, 14, 30), late: (14, 30, 21, 15)}


def at_shop(day, hour, minute=0, second=0):
    """Return a moment by the shop's clock."""
    return FIRST + timedelta(days=int(day), hours=hour, minutes=minute, seconds=int(second))


@cache
def ordinary(seed):
    """Return six weeks of a shop: regulars, Saturdays, a sale, and what goes wrong each week."""
    draw = np.random.default_rng(seed)
    log = []
    for day in range(DAYS):
        busy = (2 if day % 7 == 5 else 1) * (4 if day == DAYS - 2 else 1)  # the sale
        for actor, (h1, m1, h2, m2) in shifts_of(day).items():
            length = (h2 * 60 + m2 - h1 * 60 - m1) * 60
            for second in np.sort(draw.integers(-600, length + 600, draw.poisson(28 * busy))):
                regular = draw.random() < 0.35
                who = draw.integers(0, REGULARS if regular else CUSTOMERS)
                at = at_shop(day, h1, m1, second)
                log.append(entry(at, actor, "look", f"c{who}"))
                if draw.random() < 0.2:  # the till asks again
                    log.append(entry(at + timedelta(seconds=40), actor, "look", f"c{who}"))
                if draw.random() < 0.05:  # and sometimes a name is searched for
                    found = int(draw.integers(0, 6))
                    log.append(entry(at + timedelta(seconds=9), actor, "search", count=found))
                if draw.random() < 0.01:
                    log.append(entry(at, actor, "refused:export"))
                if draw.random() < 0.05:
                    log.append(entry(at, actor, "change", f"c{who}"))
        for _ in range(draw.poisson(6)):
            at = at_shop(day, 9, 0, draw.integers(0, 10 * 3600))
            who = f"c{draw.integers(0, CUSTOMERS)}"
            log.append(entry(at, "emp-0", "look", who, role="manager"))
        if day % 7 == 1:
            at = at_shop(day, 11)
            log.append(entry(at, "emp-9", "export", count=900, role="marketer"))
        if draw.random() < 0.5:
            at = at_shop(day, 20, 0, draw.integers(0, 7200))
            log.append(entry(at, "owner", "list", count=int(draw.integers(5, 30)), role="owner"))
    return log


def rota():
    """Return everybody's shifts."""
    plan = {actor: [] for actor in CASHIERS}
    for day in range(DAYS):
        for actor, (h1, m1, h2, m2) in shifts_of(day).items():
            ends = at_shop(day, h1, m1).replace(hour=h2, minute=m2)
            plan[actor].append(
                (at_shop(day, h1, m1).replace(tzinfo=NEW_YORK), ends.replace(tzinfo=NEW_YORK))
            )
    return plan


def find(extra=(), *, seed=1, **options):
    """Return what is found in an ordinary log with something added."""
    options = {"zone": NEW_YORK, "since": SINCE} | options
    return unusual([*ordinary(seed), *extra], **options)


@pytest.mark.parametrize("plan", [None, "rota"])
@pytest.mark.parametrize("seed", range(8))
def test_an_ordinary_week_raises_no_alarm(seed, plan):
    """A sale, a swapped shift, regulars and the end of daylight saving time are no findings."""
    assert find(seed=seed, shifts=rota() if plan else None) == []


def test_four_hundred_customers_at_two_in_the_morning():
    """The case that this file is for: found twice over, most urgent, in one plain sentence."""
    night = [entry(at_shop(38, 2, 3, 6 * n), "emp-1", "look", f"c{n}") for n in range(400)]
    found = find(night)

    assert [(f.kind, f.severity, f.actor, f.count) for f in found] == [
        ("hours", URGENT, "emp-1", 400),
        ("many", URGENT, "emp-1", 400),
    ]
    assert found[0].at == datetime(2026, 11, 5, 2, 3, tzinfo=NEW_YORK)
    assert found[0].text == (
        "emp-1 (cashier) looked at 400 customers between 2026-11-05 02:03 and 02:42, outside the "
        "hours of any cashier so far"
    )
    assert re.fullmatch(
        r"emp-1 \(cashier\) looked at 400 customers between 2026-11-05 02:03 and 02:42; their own "
        r"usual day has \d+, that of another cashier \d+",
        found[1].text,
    )


def test_a_search_that_shows_many_counts_as_many():
    """One search that lists 500 customers is not one look."""
    found = find([entry(at_shop(38, 16), "emp-3", "search", count=500)])

    assert [(f.kind, f.severity, f.count >= 500) for f in found] == [("many", URGENT, True)]


def test_far_above_the_habit_but_not_absurd_is_less_urgent():
    """Three times a day's work within a shift is for this week, not for tonight."""
    day = [entry(at_shop(39, 15, 0, 40 * n), "emp-1", "look", f"c{n}") for n in range(170)]

    assert [(f.kind, f.severity) for f in find(day)] == [("many", SOON)]


def test_another_role_has_another_habit():
    """Who answers the telephone looks at hundreds; that neither alarms nor excuses the till."""
    calls = [
        entry(at_shop(day, 10, 0, 20 * n), "emp-20", "look", f"c{n}", role="telephone")
        for day in range(DAYS - 7)
        for n in range(300)
    ]
    new = [
        entry(at_shop(38, 10, 0, 20 * n), "emp-21", "look", f"c{n}", role="telephone")
        for n in range(310)
    ]
    too_much = [entry(at_shop(38, 15, 0, 9 * n), "emp-8", "look", f"c{n}") for n in range(300)]

    assert [f.actor for f in find(calls + new + too_much)] == ["emp-8"]


def test_what_was_told_last_week_is_not_told_again():
    """Only what is new comes up, all the rest is history."""
    day = [entry(at_shop(32, 15, 0, 40 * n), "emp-1", "look", f"c{n}") for n in range(170)]

    assert [f.kind for f in find(day, since=SINCE - timedelta(days=7))] == ["many"]
    assert find(day) == []


def test_somebody_new_is_measured_by_the_role():
    """Who has no habit yet has that of the colleagues, and no alarm on the first day."""
    first_day = [entry(at_shop(38, 15, n), "emp-8", "look", f"c{n}") for n in range(50)]
    too_much = [entry(at_shop(39, 15, 0, 9 * n), "emp-8", "look", f"c{n}") for n in range(300)]

    assert find(first_day) == []
    assert [(f.kind, f.actor) for f in find(too_much)] == [("many", "emp-8")]


def test_a_new_shop_has_no_habits_and_hears_of_the_absurd_only():
    """On the first day 60 customers are nothing, 260 are a question."""
    some = [entry(at_shop(0, 10, n % 60), "emp-1", "look", f"c{n}") for n in range(60)]
    lots = [entry(at_shop(0, 10, n % 60), "emp-2", "look", f"c{n}") for n in range(260)]
    found = unusual(some + lots, zone=NEW_YORK)

    assert [(f.kind, f.actor) for f in found] == [("many", "emp-2")]
    assert found[0].text.endswith("there are too few days to know what is usual")


def test_a_new_shop_still_hears_of_the_night():
    """As long as nobody's hours are known, the night is unusual, the evening is not."""
    night = [entry(at_shop(0, 3, n), "emp-1", "look", f"c{n}") for n in range(6)]
    evening = [entry(at_shop(0, 22, n), "emp-1", "look", f"c{n}") for n in range(6)]

    assert [f.kind for f in unusual(night, zone=NEW_YORK)] == ["hours"]
    assert unusual(evening, zone=NEW_YORK) == []


def test_a_bakery_at_night_is_used_to_the_night():
    """Hours are those of the role, not ours, and a new baker has them from the first night."""
    nights = [
        entry(at_shop(day, 23, 30 + n), "emp-5", "look", f"c{day}{n}", role="baker")
        for day in range(DAYS)
        for n in range(8)
    ]

    new = [entry(at_shop(38, 24, n), "emp-6", "look", f"c{n}", role="baker") for n in range(8)]
    assert unusual(nights + new, zone=NEW_YORK) == []


def test_an_hour_beside_the_usual_ones_is_no_finding():
    """Who opens up early one day is not told about."""
    early = [entry(at_shop(38, 6, 30 + n), "emp-3", "look", f"c{n}") for n in range(8)]

    assert find(early) == []


def test_a_night_is_one_night():
    """Three customers before midnight and three after are six, not twice three."""
    late = [entry(at_shop(38, 23, 57 + n), "emp-3", "look", f"c{n}") for n in range(6)]
    found = find(late)

    assert [(f.kind, f.severity, f.count) for f in found] == [("hours", SOON, 6)]
    assert "between 2026-11-05 23:57 and 00:02" in found[0].text


def test_a_shift_plan_finds_who_was_not_on_duty():
    """With shifts, somebody who comes in on a day off is found, at a colleague's usual hour."""
    off = [a for a in CASHIERS if a not in shifts_of(38)][0]
    extra = [entry(at_shop(38, 16, n), off, "look", f"c{n}") for n in range(6)]
    found = find(extra, shifts=rota())

    assert [(f.kind, f.actor) for f in found] == [("hours", off)]
    assert found[0].text.endswith("outside their shifts")
    assert find(extra) == []


def test_who_has_no_shifts_at_all_should_not_be_there():
    """An empty plan is not the same as no plan."""
    extra = [entry(at_shop(38, 10, n), "emp-7", "look", f"c{n}") for n in range(5)]

    assert [f.actor for f in find(extra, shifts=rota() | {"emp-7": []})] == ["emp-7"]


def test_a_few_minutes_before_the_shift_are_no_finding():
    """People come early and finish what they began."""
    actor, (h, m, _, _) = next(iter(shifts_of(38).items()))
    extra = [entry(at_shop(38, h, m) - timedelta(minutes=50 - n), actor) for n in range(8)]

    assert find(extra, shifts=rota()) == []


def test_the_shop_clock_decides_in_the_night_of_two_half_past_ones():
    """1:30 comes twice when the clocks go back; both are the shop's night."""
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    twice = [
        entry(first + timedelta(hours=hour, seconds=n), "emp-1", "look", f"c{n}{hour}")
        for hour in (0, 1)
        for n in range(5)
    ]
    found = find(twice, since=datetime(2026, 10, 26, tzinfo=NEW_YORK))

    assert [(f.kind, f.count) for f in found] == [("hours", 10)]
    assert "between 2026-11-01 01:30 and 01:30" not in found[0].text
    assert "at 2026-11-01 01:30" in found[0].text


def test_many_refusals():
    """Somebody who tries doors is found, and which door."""
    tries = [entry(at_shop(38, 16, n), "emp-3", "refused:export") for n in range(12)]
    tries += [entry(at_shop(38, 17, n), "emp-3", "refused:erase") for n in range(3)]
    found = find(tries)

    assert [(f.kind, f.severity, f.count) for f in found] == [("refused", SOON, 15)]
    assert "was refused 15 times between 2026-11-05 16:00 and 17:02, most often to export" in (
        found[0].text
    )
    more = [entry(at_shop(38, 18, n), "emp-3", "refused:look") for n in range(9)]
    assert find(tries + more)[0].severity == URGENT


def test_who_does_more_also_slips_more():
    """Twelve refusals are a question, but not among hundreds of things done."""
    tries = [entry(at_shop(38, 16, n), "emp-3", "refused:export") for n in range(12)]
    work = [entry(at_shop(38, 17, 0, n), "emp-3", "change", f"c{n}") for n in range(120)]

    assert [f.kind for f in find(tries)] == ["refused"]
    assert find(tries + work) == []


def test_refusals_that_everybody_has_are_no_finding():
    """When a right is missing for a whole role, it is the set-up that is wrong."""
    daily = [
        entry(at_shop(day, 16, n), actor, "refused:print")
        for day in range(DAYS)
        for actor in shifts_of(day)
        for n in range(8)
    ]

    assert find(daily) == []


def test_refusals_in_a_new_shop():
    """Without a habit the fixed number counts."""
    tries = [entry(at_shop(0, 16, n), "emp-3", "refused:export") for n in range(8)]

    assert [f.kind for f in unusual(tries, zone=NEW_YORK)] == ["refused"]
    assert unusual(tries[:7], zone=NEW_YORK) == []


def test_a_curious_colleague():
    """One customer looked up several times a day, by nobody else."""
    looks = [
        entry(at_shop(day, hour), "emp-2", "look", "c-neighbour")
        for day in (36, 37, 38, 40)
        for hour in (15, 17, 19)
    ]
    found = find(looks)

    assert [(f.kind, f.severity, f.actor, f.subject) for f in found] == [
        ("curious", SOON, "emp-2", "c-neighbour")
    ]
    assert found[0].text == (
        "emp-2 (cashier) looked up the same customer 12 times on 4 days since 2026-11-03, "
        "all others together 0 times"
    )


def test_a_look_a_day_at_somebody_who_is_no_regular_of_others():
    """Once a day for weeks stands out where regulars show what is usual."""
    looks = [entry(at_shop(day, 15), "emp-2", "look", "c-neighbour") for day in range(12, DAYS)]
    found = find(looks)

    assert [(f.kind, f.severity, f.count) for f in found] == [("curious", NOTE, 30)]


def test_a_regular_of_the_whole_shop_is_no_curiosity():
    """Who is looked up by all is a good customer."""
    looks = [
        entry(at_shop(day, 13 + 3 * n), actor, "look", "c-regular")
        for day in range(12, DAYS)
        for n, actor in enumerate(shifts_of(day))
    ]

    assert find(looks) == []


def test_two_regulars_of_a_small_shop_are_no_curiosity():
    """One person serves everybody there; who comes daily cannot be told from who is spied on."""
    looks = [
        entry(at_shop(day, 9, n), "emp-1", "look", f"c{n}" if n < 2 else f"c{day}-{n}")
        for day in range(DAYS)
        for n in range(8)
    ]

    assert unusual(looks, zone=NEW_YORK) == []


def test_curiosity_that_ended_before_is_told_no_more():
    """An old matter does not come up each week anew."""
    looks = [entry(at_shop(33, 8 + n), "emp-2", "look", "c-neighbour") for n in range(9)]

    assert [f.kind for f in find(looks, since=SINCE - timedelta(days=7))] == ["curious"]
    assert "on 1 day since" in find(looks, since=SINCE - timedelta(days=7))[0].text
    assert find(looks) == []


def test_the_first_export_of_a_cashier():
    """Data taken out by somebody who never did, in a role that never does."""
    found = find([entry(at_shop(38, 16), "emp-3", "export", count=1200)])

    assert [(f.kind, f.severity, f.count) for f in found] == [("export", URGENT, 1200)]
    assert found[0].text == (
        "emp-3 (cashier) took out the data of 1,200 customers at 2026-11-05 16:00, and never did "
        "so in 35 days before, nor did any other cashier"
    )


def test_the_first_export_in_a_role_that_exports_is_less_urgent():
    """A second marketer's first mailing is asked about, not alarmed about."""
    found = find([entry(at_shop(38, 16), "emp-10", "export", count=800, role="marketer")])

    assert [(f.kind, f.severity) for f in found] == [("export", SOON)]


def test_a_small_export_or_a_new_shop_is_no_finding():
    """A receipt is not a leak, and nobody has exported before on the first day."""
    assert find([entry(at_shop(38, 16), "emp-3", "export", count=3)]) == []
    first = [entry(at_shop(0, 16), "emp-3", "export", count=3000)]
    assert unusual(first, zone=NEW_YORK) == []


def test_a_clock_set_back_is_told_where_entries_are_numbered():
    """Looking at night with the clock set to noon leaves a step in the times."""
    log = sorted(ordinary(1), key=lambda row: row["at"])
    log = [row | {"seq": n} for n, row in enumerate(log, 1)]
    late = next(n for n, row in enumerate(log) if row["at"] > SINCE + timedelta(days=3, hours=12))
    log[late] = log[late] | {"at": log[late]["at"] - timedelta(hours=3, minutes=5)}
    found = unusual(log, zone=NEW_YORK, since=SINCE)

    assert [(f.kind, f.severity) for f in found] == [("clock", URGENT)]
    assert f"entry {late + 1:,}" in found[0].text
    assert found[0].count > 120  # three hours, less the time since the entry before


def test_the_most_urgent_comes_first():
    """Of several findings the one to act on today is on top."""
    extra = [entry(at_shop(36, 15, 0, 40 * n), "emp-1", "look", f"c{n}") for n in range(180)]
    extra += [entry(at_shop(40, 16), "emp-3", "export", count=1200)]
    found = find(extra)

    assert [f.kind for f in found] == ["export", "many"]


@pytest.mark.parametrize("form", ["dicts", "frame", "iso text", "aware columns"])
def test_every_form_of_a_log_gives_the_same(form):
    """Rows, a DataFrame, times as text: what is found does not depend on it."""
    night = [entry(at_shop(38, 2, 3, n), "emp-1", "look", f"c{n}") for n in range(30)]
    log = ordinary(1) + night
    if form == "frame":
        log = pd.DataFrame(log, dtype=object)
    elif form == "iso text":
        log = [row | {"at": row["at"].isoformat().replace("+00:00", "Z")} for row in log]
    elif form == "aware columns":
        log = pd.DataFrame(log).assign(at=lambda t: pd.to_datetime(t["at"], utc=True))

    assert {f.kind for f in unusual(log, zone=NEW_YORK, since=SINCE)} == {"hours"}


def test_without_a_since_the_last_week_is_looked_at():
    """The newest entry decides what the last week is, so that an old log can be read again."""
    night = [entry(at_shop(38, 2, 3, n), "emp-1", "look", f"c{n}") for n in range(30)]
    older = [entry(at_shop(20, 2, 3, n), "emp-1", "look", f"c{n}") for n in range(30)]
    found = unusual(ordinary(1) + night + older, zone=NEW_YORK)

    assert [(f.kind, f.at.day) for f in found] == [("hours", 5)]


def test_limits_can_be_raised():
    """A shop that works at night tells so, and is left in peace."""
    night = [entry(at_shop(38, 2, 3, n), "emp-3", "look", f"c{n}") for n in range(20)]

    assert find(night)[0].kind == "hours"
    assert find(night, limits=Limits(outside=30)) == []


def test_an_empty_log_has_nothing_unusual():
    """Neither has one without looks."""
    assert unusual([], zone=NEW_YORK) == []
    assert unusual([entry(at_shop(0, 9), "emp-1", "sign_in")], zone=NEW_YORK) == []


ROW = entry(at_shop(0, 9), "emp-1", "look", "c1")


@pytest.mark.parametrize(
    ("log", "options", "told"),
    [
        pytest.param([{"at": ROW["at"], "actor": "a"}], {}, "role, action", id="columns missing"),
        pytest.param([ROW | {"at": FIRST}], {}, "without a zone", id="naive time"),
        pytest.param([ROW | {"at": "2026-11-24T09:00:00"}], {}, "without a zone", id="naive text"),
        pytest.param([ROW], {"since": FIRST}, "since has no", id="naive since"),
        pytest.param([ROW], {"shifts": {"emp-1": [(FIRST, FIRST)]}}, "a shift", id="naive shift"),
    ],
)
def test_refuses(log, options, told):
    """What would be misread by hours is refused, and the message holds nothing of the log."""
    with pytest.raises(WatchError, match=told) as caught:
        unusual(log, **{"zone": NEW_YORK} | options)

    assert "emp-1" not in str(caught.value)
