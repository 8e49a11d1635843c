# SPDX-License-Identifier: MIT-0
"""Decide which backups stay: many of today, one for each month, never the last proven one gone.

Copy: ``kit copy keeping --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

This module only plans; it deletes nothing. A backup stays if one of these says so:

- it is the newest, the newest full one, or the newest that a drill restored;
- it was made within the last days, whatever was made since;
- it is the first of its hour, day, week or month, and the rules keep that many of those;
- a differential that stays builds on it.

It is the first of each day that stays, not the last, so that nothing made later pushes it out: a
program that writes a thousand backups of rubbish today takes no place from yesterday.

A backup's number rises with each one made, so dates have to rise too. One that is dated in the
future, or does not fit between its neighbours, was made by a wrong clock or by an intruder: it
stays, takes the place of no other, and goes when the longest rule has run out.

Rules count hours, days and months **that have a backup**. A shop that closes for half a year
keeps what it has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

SKEW = timedelta(minutes=10)  # by which two good clocks may differ
MOST_DAYS = 36_500  # a hundred years, so that every date can be reckoned with

Bucket = Callable[[datetime], tuple[object, ...]]
SPANS: dict[str, Bucket] = {  # of a moment in the shop's own time
    # the offset too: when summer ends, one hour comes twice
    "hour": lambda at: (at.date(), at.hour, at.utcoffset()),
    "day": lambda at: (at.date(),),
    "week": lambda at: tuple(at.isocalendar())[:2],
    "month": lambda at: (at.year, at.month),
}


class KeepingError(Exception):
    """Base of the errors below. Nothing was planned and nothing is to be removed."""


class BadRules(KeepingError):
    """The rules cannot be followed."""


class BadTime(KeepingError):
    """A time has no zone."""


@dataclass(frozen=True)
class Rules:
    """How many stay. The first four count hours, days, weeks and months that have a backup."""

    hourly: int = 24
    daily: int = 7
    weekly: int = 4
    monthly: int = 12
    within_days: int = 7  # everything younger stays, whatever else was made meanwhile

    def __post_init__(self) -> None:
        if not all(type(count) is int and 0 <= count <= MOST_DAYS for count in astuple(self)):
            raise BadRules(f"each rule is a whole number from 0 to {MOST_DAYS}; correct it")

    @property
    def longest(self) -> timedelta:
        """How long a backup stays at most in a shop that backs up every day."""
        days = (self.hourly, self.daily, 7 * self.weekly + 7, 31 * self.monthly + 31)
        return timedelta(days=max(self.within_days, *days))

    def counts(self) -> dict[str, int]:
        """Return how many of each span stay."""
        return dict(zip(SPANS, (self.hourly, self.daily, self.weekly, self.monthly), strict=True))


@dataclass(frozen=True)
class Backup:
    """One backup, as its signed manifest tells."""

    seq: int
    at: datetime
    kind: str  # "full" or "diff"
    base: int | None = None  # number of the full one that a differential needs
    keep_until: date | None = None  # not to be removed before


@dataclass(frozen=True)
class Plan:
    """What stays and why, and what may go."""

    keep: dict[int, tuple[str, ...]]  # by number, the reasons in words
    remove: tuple[int, ...]
    notes: tuple[str, ...]  # sentences for people


DEFAULT = Rules()


def plan(
    backups: Iterable[Backup],
    *,
    now: datetime,
    zone: tzinfo,
    rules: Rules = DEFAULT,
    proven: int | None = None,
) -> Plan:
    """Say which backups stay and which may be removed.

    Args:
        backups: All whose files are there, in any order.
        now: The time, with its zone.
        zone: The shop's, in which its days begin and end.
        rules: How many stay.
        proven: Number of the newest backup that a drill restored. It stays, and what it needs.

    Raises:
        BadTime: *now* or a backup's time has no zone.
    """
    sound = _Sorted(backups, now)
    reasons: dict[int, list[str]] = {one.seq: [] for one in sound.all}
    notes = list(sound.notes)
    today = now.astimezone(zone).date()
    for one in sound.all:
        if one.seq in sound.twice:
            reasons[one.seq].append("another backup claims the same number")
        elif one.at > sound.latest:
            reasons[one.seq].append("it is dated in the future")
        elif one.seq in sound.doubtful and now < sound.doubtful[one.seq] + rules.longest:
            reasons[one.seq].append("its date or what it builds on does not fit")
        if one.at > now - timedelta(days=rules.within_days):
            reasons[one.seq].append(f"made within {rules.within_days} days")
        if one.keep_until and today < one.keep_until:
            reasons[one.seq].append(f"promised until {one.keep_until}")
    for span, count in rules.counts().items():
        series = (sound.trusted, sound.first_come)
        firsts = [_firsts(one, SPANS[span], zone)[:count] for one in series]
        for seq in {*firsts[0], *firsts[1]}:
            reasons[seq].append(f"first of its {span}")
    for kind, say in ((("full", "diff"), "the newest"), (("full",), "the newest full one")):
        if newest := [one.seq for one in sound.trusted or sound.all if one.kind in kind][-1:]:
            reasons[newest[0]].append(say)
    if proven in reasons:
        if not any(reasons[proven]):
            say = f"backup {proven} stays only because no newer one was proven; run a drill"
            notes.append(say)
        reasons[proven].append("the newest that was proven")
    elif sound.all:
        notes.append("none of these backups was ever restored in a drill; run one")
    if sound.stopped:
        for why in reasons.values():
            why.append("the clock of this computer may be wrong")
    for one in sound.all:
        if reasons[one.seq] and one.base in reasons:
            reasons[one.base].append(f"backup {one.seq} builds on it")
    keep = {seq: tuple(why) for seq, why in reasons.items() if why}
    return Plan(keep, tuple(seq for seq in reasons if seq not in keep), tuple(notes))


def leaves_on(
    backups: Iterable[Backup], *, now: datetime, zone: tzinfo, rules: Rules = DEFAULT
) -> date:
    """Return the day on which the last of these backups is let go.

    It holds if from now on a backup is made and old ones are removed every day, the next backup
    is a full one, and newer ones are proven by drills. Each day without a backup may add one.

    Args:
        backups: All whose files are there and hold somebody who is erased now.
        now: The time, with its zone.
        zone: The shop's.
        rules: As for `plan`.

    Returns:
        Today, if there is no backup; else tomorrow at the earliest.

    Raises:
        BadTime: *now* or a backup's time has no zone.
    """
    sound = _Sorted(backups, now)
    here = now.astimezone(zone)
    today = here.date()
    if not sound.all:
        return today
    days = [today + timedelta(days=1)]
    for one in sound.all:
        days.append(_run_on(one.at + timedelta(days=rules.within_days), here))
        days.append(one.keep_until or today)
        if sound.odd:
            since = max(one.at, sound.doubtful.get(one.seq, one.at))
            days.append(_run_on(since + rules.longest, here))
    for span, count in rules.counts().items():
        key = SPANS[span]
        found = len(_firsts(sound.trusted, key, zone)[:count])
        # the newest of these goes when as many newer ones have come as the rule counts
        newest = key(sound.trusted[-1].at.astimezone(zone)) if found else ()
        came, day = 0, here
        while found and came < count:
            day += timedelta(days=1)
            came, newest = came + (key(day) != newest), key(day)
        days.append(day.date())
    return max(days)


class _Sorted:
    """Backups by number, and which of them have a date that can be trusted."""

    def __init__(self, backups: Iterable[Backup], now: datetime) -> None:
        self.all = sorted({*backups}, key=lambda one: (one.seq, one.at))
        for at in (now, *(one.at for one in self.all)):
            if at.utcoffset() is None:
                raise BadTime("a time has no zone; hand over aware datetimes")
        self.latest = now + SKEW
        numbers = [one.seq for one in self.all]
        self.twice = {a for a, b in zip(numbers, numbers[1:], strict=False) if a == b}
        fulls = {one.seq for one in self.all if one.kind == "full"} - self.twice
        past = [one for one in self.all if one.at <= self.latest and one.seq not in self.twice]
        whole = [one for one in past if one.kind == "full" or one.base in fulls]
        in_order = _longest_rising([one.at for one in whole])
        self.trusted = [whole[index] for index in in_order]
        # Many with old dates, made in an hour, are the longer series; those before still count.
        self.first_come: list[Backup] = []
        for one in whole:
            if not self.first_come or one.at >= self.first_come[-1].at:
                self.first_come.append(one)
        self.doubtful = self._since(past)
        # the newest was made by a clock that is ahead of this one: which of the two is wrong?
        self.stopped = bool(self.all) and self.all[-1].at > self.latest
        future = [one.seq for one in self.all if one.at > self.latest]
        self.odd = bool(self.doubtful or future or self.twice)
        self.notes = [f"two backups claim number {seq}; both stay" for seq in sorted(self.twice)]
        self.notes += [f"backup {seq} is dated in the future; it stays" for seq in future]
        if self.stopped:
            self.notes.append("the newest backup is dated after now; set the clock, none goes")
        for one in past:
            if one.seq in self.doubtful:
                say = "the date of backup {} does not fit its number; it stays for now"
                if one not in whole:
                    say = (
                        f"backup {{}} needs backup {one.base}, which is not here; it cannot be used"
                    )
                self.notes.append(say.format(one.seq))

    def _since(self, past: Sequence[Backup]) -> dict[int, datetime]:
        """Return when those that cannot be trusted were made, at the earliest.

        A clock that fell back to 2001 must not make a backup of today look old.
        """
        trusted = {one.seq for one in self.trusted}
        since: dict[int, datetime] = {}
        before = datetime.min.replace(tzinfo=UTC)
        for one in past:
            if one.seq in trusted:
                before = max(before, one.at)
            else:
                since[one.seq] = max(before, one.at)
        return since


def _longest_rising(times: Sequence[datetime]) -> list[int]:
    """Return the indexes of a longest series of times none of which is before the one before."""
    ends: list[datetime] = []  # of the best series of each length
    tails: list[int] = []
    before: list[int] = []
    for index, at in enumerate(times):
        length = bisect_right(ends, at)
        before.append(tails[length - 1] if length else -1)
        ends[length : length + 1] = [at]
        tails[length : length + 1] = [index]
    series = []
    index = tails[-1] if tails else -1
    while index >= 0:
        series.append(index)
        index = before[index]
    return series[::-1]


def _firsts(trusted: Sequence[Backup], key: Bucket, zone: tzinfo) -> list[int]:
    """Return the number of the first backup of each span, newest span first."""
    first: dict[tuple[object, ...], int] = {}
    for one in trusted:
        first.setdefault(key(one.at.astimezone(zone)), one.seq)
    return list(first.values())[::-1]


def _run_on(moment: datetime, here: datetime) -> date:
    """Return the day of the first run, at this time of the day, that is not before a moment."""
    day = moment.astimezone(here.tzinfo).date()
    run = datetime.combine(day, here.timetz())
    return day if run.astimezone(UTC) >= moment.astimezone(UTC) else day + timedelta(days=1)
