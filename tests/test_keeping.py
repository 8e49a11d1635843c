"""Which backups stay: the good ones outlive floods, wrong clocks and years, and no longer."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.keeping import Backup, BadRules, BadTime, KeepingError, Plan, Rules, leaves_on, plan

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def every(step, count, *, until=NOW, first=1, full_each=7):
    """Return backups, the newest at *until*: a full one, then differentials on top of it."""
    made, base = [], None
    for index in range(count):
        seq, at = first + index, until - step * (count - 1 - index)
        if index % full_each == 0:
            base = seq
            made.append(Backup(seq, at, "full"))
        else:
            made.append(Backup(seq, at, "diff", base))
    return made


def planned(backups, *, now=NOW, zone=UTC, **more):
    """Plan, and check what must hold for every plan."""
    backups = list(backups)
    made = plan(backups, now=now, zone=zone, **more)
    numbers = {one.seq for one in backups}
    assert set(made.keep) | set(made.remove) == numbers
    assert not set(made.keep) & set(made.remove)
    assert all(made.keep.values())
    for one in backups:
        if one.seq in made.keep and one.base in numbers:
            assert one.base in made.keep
    return made


def left(backups, made):
    """Return the backups that stay."""
    return [one for one in backups if one.seq in made.keep]


def days(backups):
    """Return their days."""
    return [one.at.date() for one in backups]


# ---- an ordinary shop ----


def test_a_shop_that_backs_up_every_hour_keeps_what_the_rules_say():
    """A year of hours: a week complete, then a few weeks, then one for each month."""
    backups = every(HOUR, 24 * 400, full_each=1)
    made = planned(backups)
    kept = left(backups, made)

    week = [one for one in kept if one.at > NOW - 7 * DAY]
    older = [one for one in kept if one.at <= NOW - 7 * DAY]
    assert len(week) == 7 * 24
    assert days(older) == [
        *(date(2025, 12, 1), *(date(2026, month, 1) for month in range(1, 11))),
        *(date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 9), date(2026, 11, 16)),
    ]
    assert all(one.at.hour == 0 for one in older)
    assert made.keep[kept[0].seq] == ("first of its month",)
    assert made.notes == ("none of these backups was ever restored in a drill; run one",)


def test_reasons_are_told_in_words():
    """A shop owner reads why a backup is still there."""
    backups = every(DAY, 60, full_each=30)
    made = planned(backups, rules=Rules(0, 2, 0, 0, within_days=1), proven=5)

    assert made.keep == {
        1: ("backup 5 builds on it",),
        5: ("the newest that was proven",),
        31: ("the newest full one", "backup 59 builds on it", "backup 60 builds on it"),
        59: ("first of its day",),
        60: ("made within 1 days", "first of its day", "the newest"),
    }
    assert made.notes == ("backup 5 stays only because no newer one was proven; run a drill",)


def test_nothing_to_keep():
    """A new shop has no backup, and nothing to note."""
    assert plan([], now=NOW, zone=UTC) == Plan({}, (), ())
    assert leaves_on([], now=NOW, zone=UTC) == NOW.date()


def test_days_are_the_shops_own():
    """What is sold on Monday night in New York is Monday's, though it is Tuesday in London."""
    late = [
        Backup(1, datetime(2026, 11, 17, 2, tzinfo=UTC), "full"),  # Monday 21:00 there
        Backup(2, datetime(2026, 11, 17, 20, tzinfo=UTC), "full"),
        Backup(3, datetime(2026, 11, 17, 22, tzinfo=UTC), "full"),
    ]
    rules = Rules(0, 9, 0, 0, 0)

    assert set(planned(late, zone=NEW_YORK, rules=rules).keep) == {1, 2, 3}
    assert set(planned(late, zone=UTC, rules=rules).keep) == {1, 3}


def test_the_hour_that_comes_twice_counts_twice():
    """When summer ends, 1:30 comes twice; both have a backup, and both stay."""
    first = datetime(
        2026, 11, 1, 5, 30, tzinfo=UTC
    )  # 1:30 in summer time, an hour later in winter's
    twice = [Backup(1, first, "full"), Backup(2, first + HOUR, "full"), Backup(3, NOW, "full")]

    assert set(planned(twice, zone=NEW_YORK, rules=Rules(3, 0, 0, 0, 0)).keep) == {1, 2, 3}


def test_leap_day_and_new_year():
    """29 February is a day like any other, and week 1 may begin in December."""
    now = datetime(2028, 3, 1, 12, tzinfo=UTC)
    backups = every(DAY, 90, until=now, full_each=1)
    made = planned(backups, now=now, rules=Rules(0, 2, 0, 4, 0))
    assert days(left(backups, made)) == [
        *(date(2027, 12, 3), date(2028, 1, 1), date(2028, 2, 1), date(2028, 2, 29)),
        date(2028, 3, 1),
    ]

    now = datetime(2025, 1, 3, 12, tzinfo=UTC)  # Friday; its week began on 30 December
    backups = every(DAY, 9, until=now, full_each=1)
    made = planned(backups, now=now, rules=Rules(0, 0, 1, 0, 0))
    assert days(left(backups, made)) == [date(2024, 12, 30), date(2025, 1, 3)]


def test_a_shop_that_closed_keeps_what_it_has():
    """After half a year without a backup nothing more goes than went on the last day."""
    backups = every(DAY, 400)
    rules = Rules(within_days=0)
    then = planned(backups, rules=rules)

    assert planned(backups, now=NOW + 180 * DAY, rules=rules).keep == then.keep


# ---- what never goes ----

WRONG = st.lists(
    st.tuples(st.integers(-500 * 24, 500 * 24), st.booleans(), st.integers(0, 30)), max_size=60
)
RULES = st.builds(
    Rules, *(st.integers(0, most) for most in (30, 10, 6, 13)), within_days=st.integers(0, 10)
)


def odd(drawn):
    """Return backups with any dates and any bases."""
    return [
        Backup(seq, NOW + hours * HOUR, "full" if full else "diff", None if full else base)
        for seq, (hours, full, base) in enumerate(drawn, 1)
    ]


@given(WRONG, RULES, st.integers(1, 70))
@settings(max_examples=150, deadline=None)
def test_whatever_the_dates_are_the_last_proven_stays_and_pruning_twice_is_once(
    drawn, rules, proven
):
    """No clock and no order of things costs the one backup that is known to be good."""
    backups = odd(drawn)
    made = planned(backups, rules=rules, proven=proven)
    young = {one.seq for one in backups if one.at > NOW - rules.within_days * DAY}

    assert proven in made.keep or proven > len(backups)
    assert young <= set(made.keep)
    assert not backups or made.keep
    again = planned(left(backups, made), rules=rules, proven=proven)
    if not [note for note in made.notes if "not fit" in note or "cannot be used" in note]:
        assert again.remove == ()


@given(WRONG, RULES)
@settings(max_examples=60, deadline=None)
def test_the_order_in_which_a_place_lists_them_does_not_matter(drawn, rules):
    """Nor does a place that lists one twice."""
    backups = odd(drawn)

    assert planned(backups[::-1] + backups, rules=rules) == planned(backups, rules=rules)


def test_a_flood_of_rubbish_pushes_nothing_good_out():
    """A virus makes a thousand backups of scrambled data at once: as if it had made one."""
    good = every(HOUR, 24 * 60, full_each=24)
    now = NOW + HOUR
    flood = [Backup(len(good) + n, now + n * timedelta(seconds=1), "full") for n in range(1, 1001)]
    made = planned([*good, *flood], now=now + HOUR / 2)
    calm = planned([*good, flood[0]], now=now + HOUR / 2)

    assert set(made.keep) - {one.seq for one in flood} == set(calm.keep) - {flood[0].seq}


@pytest.mark.parametrize("weeks", [1, 8, 60])
def test_a_flood_goes_on_and_the_good_ones_of_before_still_stay(weeks):
    """Nobody looked for weeks: of each time before there is still what the rules promise."""
    good = every(DAY, 500, full_each=1)
    flood = every(HOUR, weeks * 7 * 24, until=NOW + weeks * 7 * DAY, first=501, full_each=1)
    now = flood[-1].at
    proven = 480
    made = planned([*good, *flood], now=now, proven=proven)
    promised = sorted({(one.at.year, one.at.month) for one in [*good, *flood]})[-12:]
    months = {(one.at.year, one.at.month) for one in left(good, made)}

    assert proven in made.keep
    assert months >= {month for month in promised if month <= (NOW.year, NOW.month)}


@given(st.lists(st.integers(-400 * 24, -1), min_size=1, max_size=300), RULES)
@settings(max_examples=60, deadline=None)
def test_rubbish_with_old_dates_takes_no_place(hours, rules):
    """An intruder sets the clock back and back again, to be the first of every day."""
    good = every(DAY, 90, full_each=10)
    flood = [Backup(91 + n, NOW + at * HOUR, "full") for n, at in enumerate(sorted(hours))]
    before = planned(good, rules=rules)
    made = planned([*good, *flood], rules=rules)
    newest = {one.seq for one in good if "the newest" in " ".join(before.keep.get(one.seq, ()))}

    assert set(before.keep) - set(made.keep) <= newest


# ---- wrong clocks ----


def test_a_backup_dated_in_the_future_takes_no_place():
    """The clock was a year ahead for one backup: it stays, is noted, and is not the newest."""
    good = every(DAY, 60, full_each=1)
    strange = Backup(61, NOW + 365 * DAY, "full")
    after = Backup(62, NOW, "full")
    made = planned([*good, strange, after])
    calm = planned([*good, after])

    assert made.keep.pop(61) == ("it is dated in the future", "made within 7 days")
    assert made.keep == calm.keep
    assert "backup 61 is dated in the future; it stays" in made.notes


def test_a_clock_that_went_back_removes_nothing():
    """A flat battery makes it 2001, or last month: the newest backup is from after now."""
    good = every(DAY, 500)
    for now in (datetime(2001, 1, 1, tzinfo=UTC), NOW - 30 * DAY, NOW - DAY):
        made = planned(good, now=now)

        assert made.remove == ()
        assert "the newest backup is dated after now; set the clock, none goes" in made.notes
    assert planned(good, now=NOW - timedelta(minutes=9)).remove


def test_a_clock_that_ran_ahead_removes_little():
    """It says 2036: the rules count what is there, and that is still there."""
    good = every(DAY, 400)
    made = planned(good, now=NOW + 3650 * DAY)

    assert len(made.keep) >= 24 + 12


def test_backups_of_a_day_in_2001_stay_until_the_rules_have_run_out():
    """Made today by a computer with a flat battery, they look old, and are the newest."""
    good = every(DAY, 60, full_each=1)
    flat = [Backup(61 + n, datetime(2001, 1, 1, n, tzinfo=UTC), "full") for n in range(5)]
    rules = Rules(within_days=7)

    made = planned([*good, *flat], rules=rules)
    assert {one.seq for one in flat} <= set(made.keep)
    assert "the date of backup 61 does not fit its number; it stays for now" in made.notes
    more = every(DAY, 500, until=NOW + 500 * DAY, first=66, full_each=1)
    late = planned([*good, *flat, *more], now=NOW + 500 * DAY, rules=rules)
    assert {one.seq for one in flat} <= set(late.remove)


def test_two_with_one_number_both_stay():
    """Which one is right is for a person to say."""
    twins = [Backup(1, NOW - 900 * DAY, "full"), Backup(1, NOW - 800 * DAY, "full")]
    made = planned([*twins, *every(DAY, 9, first=2, full_each=1)])

    assert made.keep[1][0] == "another backup claims the same number"
    assert "two backups claim number 1; both stay" in made.notes


def test_a_differential_without_its_full_one_takes_no_place():
    """It restores nothing; the next of the same day stands for the day."""
    then = NOW - 5 * DAY
    lone = [Backup(1, then, "diff", 99), Backup(2, then + HOUR, "full"), Backup(3, NOW, "full")]
    made = planned(lone, rules=Rules(0, 2, 0, 0, 0))

    assert made.keep[2] == ("first of its day",)
    assert made.keep[1] == ("its date or what it builds on does not fit",)
    assert "backup 1 needs backup 99, which is not here; it cannot be used" in made.notes


def test_a_promise_is_kept():
    """A manifest said "not before", whatever the rules say now."""
    old = Backup(1, NOW - 900 * DAY, "full", None, NOW.date() + DAY)
    backups = [old, *every(DAY, 40, first=2, full_each=1)]
    rules = Rules(0, 1, 0, 0, 0)

    assert planned(backups, rules=rules).keep[1] == (f"promised until {old.keep_until}",)
    assert 1 in planned(backups, rules=rules, now=NOW + DAY).remove
    assert leaves_on(backups, now=NOW, zone=UTC, rules=rules) == old.keep_until


# ---- when an erased customer is gone ----


def gone_on(backups, *, now, zone, rules):
    """Live on day by day with a full backup each, and return when the last of these is removed."""
    mine = {one.seq for one in backups}
    kept, here = list(backups), now.astimezone(zone)
    for index in range(1, 3000):
        if not mine & {one.seq for one in kept}:
            return here.date()
        here += DAY
        at = here.astimezone(UTC)
        seq = max(one.seq for one in kept) + index
        kept.append(Backup(seq, at, "full"))
        kept = left(kept, plan(kept, now=at, zone=zone, rules=rules, proven=seq))
    raise AssertionError("never removed")


@pytest.mark.parametrize(
    ("rules", "day"),
    [
        pytest.param(Rules(), date(2027, 11, 1), id="as shipped: a year"),
        pytest.param(Rules(monthly=3), date(2027, 2, 1), id="three months"),
        pytest.param(Rules(monthly=0), date(2026, 12, 21), id="four weeks"),
        pytest.param(Rules(0, 7, 0, 0), date(2026, 12, 1), id="a week"),
        pytest.param(Rules(0, 0, 0, 0, 0), date(2026, 11, 25), id="tomorrow"),
    ],
)
def test_a_person_erased_today_is_gone_on_a_known_day(rules, day):
    """This is the date that is promised to a customer, so it has to be right to the day."""
    backups = every(HOUR, 24 * 60, full_each=24)

    assert leaves_on(backups, now=NOW, zone=UTC, rules=rules) == day
    kept = left(backups, planned(backups, rules=rules))
    assert gone_on(kept, now=NOW, zone=UTC, rules=rules) == day


@given(
    st.integers(1, 40),
    st.sampled_from([DAY, 12 * HOUR, 5 * HOUR]),
    RULES,
    st.sampled_from([UTC, NEW_YORK, ZoneInfo("Pacific/Auckland"), ZoneInfo("Asia/Kathmandu")]),
    st.integers(0, 900),
)
@settings(max_examples=40, deadline=None)
def test_the_day_is_exact_for_a_shop_with_a_good_clock(count, step, rules, zone, later):
    """Simulated day by day, over ends of summer, leap days and new years."""
    now = NOW + later * DAY
    backups = every(step, count, until=now, full_each=3)
    told = leaves_on(backups, now=now, zone=zone, rules=rules)

    assert gone_on(backups, now=now, zone=zone, rules=rules) == told


@given(WRONG.filter(bool), RULES)
@settings(max_examples=40, deadline=None)
def test_the_day_is_never_too_early_whatever_the_clocks_said(drawn, rules):
    """With wrong dates nobody is promised too much."""
    backups = odd([(hours // 8, full, base) for hours, full, base in drawn])
    told = leaves_on(backups, now=NOW, zone=NEW_YORK, rules=rules)

    assert gone_on(backups, now=NOW, zone=NEW_YORK, rules=rules) <= told


# ---- refused ----


@pytest.mark.parametrize(
    ("work", "error"),
    [
        pytest.param(lambda: Rules(hourly=-1), BadRules, id="less than none"),
        pytest.param(lambda: Rules(monthly=1.5), BadRules, id="half a month"),
        pytest.param(lambda: Rules(daily=True), BadRules, id="yes"),
        pytest.param(lambda: Rules(within_days=10**9), BadRules, id="for ever"),
        pytest.param(lambda: plan([], now=datetime(2026, 1, 1), zone=UTC), BadTime, id="now"),  # noqa: DTZ001
        pytest.param(
            lambda: leaves_on([Backup(1, datetime(2026, 1, 1), "full")], now=NOW, zone=UTC),  # noqa: DTZ001
            BadTime,
            id="a backup",
        ),
    ],
)
def test_refuses(work, error):
    """What cannot be reckoned with is refused before anything is planned."""
    with pytest.raises(KeepingError) as caught:
        work()

    assert type(caught.value) is error
