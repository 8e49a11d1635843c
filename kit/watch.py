# SPDX-License-Identifier: MIT-0
"""Notice the employee who looked at 400 customers at two in the morning.

Copy: ``kit copy watch --into DIR``, or take this file as it is.
Needs: Python 3.11, numpy, pandas. Nothing else from this kit.
Data: none.

It reads the entries of an access log: dicts or a DataFrame with ``at`` (aware), ``actor``,
``role``, ``action``, ``subject`` (the customer, as any stand-in), ``count``, and ``seq`` if there
is one. An action that was not allowed starts with ``refused:``. `unusual` compares the last days
with the days before them::

    many        far more customers in a day than the person, and the role, is used to
    hours       customers looked at outside the person's shifts, or hours when the role never works
    refused     many attempts that were not allowed
    curious     one customer looked up again and again, and hardly by anyone else
    export      data of many customers taken out by somebody who never did that
    clock       the computer's clock was set back, so that times in the log deceive

**A finding is a question to ask, not a proof.** What somebody does slowly for months becomes
their habit and is not found. Without shifts, taking over a colleague's hours is not a finding.

"Far more" is median + 6 x spread; the spread is 1.4826 x the median distance from the median (MAD),
which for a bell curve is its standard deviation, and which one wild day does not move. It is at
least 15 % of the median. A day on which the colleagues were as busy is no finding either.

Source: P. J. Rousseeuw, C. Croux, "Alternatives to the Median Absolute Deviation", 1993.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

import numpy as np
import pandas as pd

NEEDED = ("at", "actor", "role", "action", "subject", "count")
LOOKS = ("look", "search", "list", "print")
EXPORTS = ("export", "disclose")
REFUSED = "refused:"
ZONED = re.compile(r".*(Z|[+-]\d\d:?\d\d)")
MAD = 1.4826  # makes it the standard deviation of a bell curve
DAY = pd.Timedelta(days=1)
URGENT, SOON, NOTE = 3, 2, 1


class WatchError(Exception):
    """The entries cannot be read. Messages never hold what is in them."""


@dataclass(frozen=True)
class Limits:
    """What is never unusual. Raise a number if findings turn out to be ordinary work."""

    days: int = 7  # looked at, if it is not said since when
    least_days: int = 5  # of work before something is a habit
    spreads: float = 6.0  # above the median
    customers: int = 40  # in a day
    customers_at_first: int = 200  # in a day, as long as nothing is a habit
    outside: int = 5  # customers outside hours, in a night or day
    grace_minutes: int = 60  # before and after a shift
    refused: int = 8  # attempts in a day
    returns: int = 6  # times to the same customer on a day when already there, within curious_days
    visits: int = 12  # to the same customer within curious_days
    share: float = 0.75  # of all visits to that customer
    curious_days: int = 30
    exported: int = 50  # customers
    clock_minutes: int = 10  # set back


@dataclass(frozen=True)
class Finding:
    """Something to ask about. `severity` is 3 (today), 2 (this week) or 1 (when there is time)."""

    kind: str
    severity: int
    actor: str
    role: str
    at: datetime  # when it began, in the shop's time
    count: int
    text: str
    subject: Any = None  # of a curious one, as it stands in the log


def unusual(
    entries: pd.DataFrame | Iterable[Mapping[str, Any]],
    *,
    zone: tzinfo,
    since: datetime | None = None,
    shifts: Mapping[str, Sequence[tuple[datetime, datetime]]] | None = None,
    limits: Limits | None = None,
) -> list[Finding]:
    """Return what is unusual, the most urgent first.

    Args:
        entries: The log, with some weeks before *since* to know what is usual.
        zone: The shop's time zone.
        since: Start of what is looked at; otherwise a week before the newest entry.
        shifts: Staff id to shifts, each start and end with their zone. Who is not in it is
            measured by the hours that they, and others in their role, have kept so far.
        limits: Other limits.

    Raises:
        WatchError: A column is missing, or a time has no zone.
    """
    limits = limits or Limits()
    log = _read(entries, zone)
    if log.empty:
        return []
    if since is None:
        start = log["local"].max().normalize() - (limits.days - 1) * DAY
    elif since.tzinfo is None:
        raise WatchError("since has no time zone; hand over an aware datetime")
    else:
        start = pd.Timestamp(since).tz_convert(zone)
    new = log[log["local"] >= start]
    looks = log[log["action"].isin(LOOKS)]
    found = [
        *_many(looks, start, limits),
        *_hours(log, looks[looks["local"] >= start], start, shifts or {}, limits),
        *_refused(log, start, limits),
        *_curious(looks, start, limits),
        *_export(log, start, limits),
        *_clock(new, limits),
    ]
    return sorted(found, key=lambda f: (-f.severity, f.at, f.actor, f.kind))


def _read(entries: pd.DataFrame | Iterable[Mapping[str, Any]], zone: tzinfo) -> pd.DataFrame:
    """Return the entries in order, with local time, day, and the number of people in each."""
    if not isinstance(entries, pd.DataFrame):
        entries = pd.DataFrame(list(entries))
        if entries.empty:
            return entries
    if missing := [name for name in NEEDED if name not in entries]:
        raise WatchError(f"the entries have no {', '.join(missing)}; hand over the whole log")
    log = entries[[*NEEDED, *(["seq"] if "seq" in entries else [])]].copy()
    if not _aware(log["at"]):
        raise WatchError("a time without a zone; hand over aware datetimes, or text that ends in Z")
    log["at"] = pd.to_datetime(log["at"], utc=True, format="ISO8601")
    log = log.sort_values("seq" if "seq" in log else "at", kind="stable", ignore_index=True)
    log["local"] = log["at"].dt.tz_convert(zone)
    log["day"] = log["local"].dt.tz_localize(None).dt.normalize()
    log["hour"] = log["local"].dt.hour
    return log


def _aware(at: pd.Series[Any]) -> bool:
    if isinstance(at.dtype, pd.DatetimeTZDtype):
        return True
    return all(
        ZONED.fullmatch(value) if isinstance(value, str) else getattr(value, "tzinfo", None)
        for value in at.unique()
    )


def _people(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return one row a group: how many customers, from when, to when, in which role."""
    named = rows["subject"].notna()
    groups = rows.assign(counted=rows["count"].where(~named, 0)).groupby(by, sort=True)
    table = groups.agg(
        subjects=("subject", "nunique"),
        counted=("counted", "sum"),
        role=("role", "first"),
        first=("local", "first"),
        last=("local", "last"),
    )
    table["n"] = (table["subjects"] + table["counted"]).astype(int)
    return table.reset_index()


def _limit(numbers: Any, spreads: float) -> float:
    """Return the number above which another one is far from these."""
    middle = float(np.median(numbers))
    spread = MAD * float(np.median(np.abs(np.asarray(numbers) - middle)))
    return middle + spreads * max(spread, 0.15 * middle, 0.5)


def _habits(table: pd.DataFrame, row: Any, limits: Limits) -> tuple[list[float], list[str]]:
    """Return limits from the person's and the role's earlier days, and both in words."""
    before = table[table["day"] < row.day]
    own, role = before["actor"] == row.actor, before["role"] == row.role
    bounds, words = [], []
    for whose, days in (
        ("their own usual day has", before[own]),
        (f"that of another {row.role}", before[role & ~own]),
    ):
        if len(days) >= limits.least_days:
            bounds.append(_limit(days["n"], limits.spreads))
            words.append(f"{whose} {np.median(days['n']):,.0f}")
    peers = table[(table["day"] == row.day) & (table["role"] == row.role)]
    peers = peers[peers["actor"] != row.actor]
    if bounds and len(peers):  # a sale, or the day before a holiday
        bounds.append(3 * float(np.median(peers["n"])))
    return bounds, words


def _many(looks: pd.DataFrame, start: pd.Timestamp, limits: Limits) -> Iterable[Finding]:
    table = _people(looks, ["actor", "day"])
    for row in _rows(table):
        if row.last < start or row.n < limits.customers:
            continue
        bounds, words = _habits(table, row, limits)
        limit = max(bounds, default=limits.customers_at_first)
        if row.n > limit:
            usual = ", ".join(words) or "there are too few days to know what is usual"
            severity = URGENT if row.n > 3 * limit else SOON
            text = f"looked at {row.n:,} customers {_when(row)}; {usual}"
            yield _finding("many", severity, row, text)


def _hours(
    log: pd.DataFrame,
    looks: pd.DataFrame,
    start: pd.Timestamp,
    shifts: Mapping[str, Sequence[tuple[datetime, datetime]]],
    limits: Limits,
) -> Iterable[Finding]:
    before = log[log["local"] < start]
    outside = []
    groups: Any = looks.groupby(["actor", "role"], sort=True)
    for (actor, role), rows in groups:
        if actor in shifts:
            outside.append(rows[~_on_shift(rows["at"], shifts[actor], limits.grace_minutes)])
        else:
            mine = before[(before["actor"] == actor) | (before["role"] == role)]
            outside.append(rows[~rows["hour"].isin(_usual_hours(mine, limits.least_days))])
    if not outside:
        return
    rows = pd.concat(outside)
    rows["night"] = (rows["local"].dt.tz_localize(None) - pd.Timedelta(hours=6)).dt.normalize()
    for row in _rows(_people(rows, ["actor", "night"])):
        if row.n >= limits.outside:
            whose = "their shifts" if row.actor in shifts else f"the hours of any {row.role} so far"
            severity = URGENT if row.n >= 4 * limits.outside else SOON
            text = f"looked at {row.n:,} customers {_when(row)}, outside {whose}"
            yield _finding("hours", severity, row, text)


def _on_shift(
    at: pd.Series[Any], shifts: Sequence[tuple[datetime, datetime]], grace_minutes: int
) -> Any:
    grace = pd.Timedelta(minutes=grace_minutes)
    if any(moment.tzinfo is None for shift in shifts for moment in shift):
        raise WatchError("a shift without a time zone; hand over aware datetimes")
    if not shifts:
        return np.zeros(len(at), dtype=bool)
    ordered = sorted(shifts)
    starts = pd.DatetimeIndex(pd.to_datetime([s for s, _ in ordered], utc=True)) - grace
    ends = pd.Series(pd.to_datetime([e for _, e in ordered], utc=True)).cummax() + grace
    begun = starts.searchsorted(pd.DatetimeIndex(at), side="right")
    return (begun > 0) & (at.to_numpy() <= ends.to_numpy()[np.maximum(begun, 1) - 1])


def _usual_hours(before: pd.DataFrame, least_days: int) -> set[int]:
    """Return the hours of two days or more, one before and one after; by day if none is known."""
    if before["day"].nunique() < least_days:
        return set(range(5, 24))
    days = before.groupby("hour")["day"].nunique()
    return {(hour + step) % 24 for hour in days[days >= 2].index for step in (-1, 0, 1)}


def _refused(log: pd.DataFrame, start: pd.Timestamp, limits: Limits) -> Iterable[Finding]:
    tried = log["action"].str.startswith(REFUSED)
    table = (
        log.assign(tried=tried, when=log["local"].where(tried))
        .groupby(["actor", "day"], sort=True)
        .agg(
            n=("tried", "sum"),
            all=("tried", "size"),
            role=("role", "first"),
            first=("when", "first"),
            last=("when", "last"),
        )
        .reset_index()
    )
    for row in _rows(table):
        if row.n < limits.refused or row.last < start:
            continue
        bounds, words = _habits(table, row, limits)
        if row.n > max([*bounds, 0.1 * row.all]):  # who does more also slips more
            mine = log[tried & (log["actor"] == row.actor) & (log["day"] == row.day)]
            what = mine["action"].str.removeprefix(REFUSED).mode()[0]
            usual = ", ".join(words) or "there are too few days to know what is usual"
            severity = URGENT if row.n >= 3 * limits.refused else SOON
            text = f"was refused {row.n:,} times {_when(row)}, most often to {what}; {usual}"
            yield _finding("refused", severity, row, text)


def _curious(looks: pd.DataFrame, start: pd.Timestamp, limits: Limits) -> Iterable[Finding]:
    named = looks[looks["subject"].notna()]
    named = named[named["local"] >= named["local"].max() - limits.curious_days * DAY]
    named = named.sort_values("at", kind="stable")
    same = named.groupby(["actor", "subject"])["at"].diff()
    visits = named[~(same < pd.Timedelta(minutes=30))]  # what a till asks in one sale is one visit
    table = (
        visits.groupby(["actor", "subject"], sort=True)
        .agg(
            n=("at", "size"),
            days=("day", "nunique"),
            role=("role", "last"),
            first=("local", "first"),
            last=("local", "last"),
        )
        .reset_index()
    )
    table["returns"] = table["n"] - table["days"]
    table["all"] = table.groupby("subject")["n"].transform("sum")
    often = table[table["n"] >= 3]
    many_returns = max(limits.returns, 2 * table["returns"].quantile(0.98) if len(table) else 0)
    # who has few regular customers cannot tell one from a curious colleague by visits alone
    many_visits = _limit(often["n"], limits.spreads) if len(often) >= 20 else np.inf
    for row in _rows(table[table["n"] >= limits.share * table["all"]]):
        again = row.returns >= many_returns
        if row.last >= start and (again or row.n > max(many_visits, limits.visits)):
            text = (
                f"looked up the same customer {row.n:,} times on {row.days:,} "
                f"{'day' if row.days == 1 else 'days'} since {row.first:%Y-%m-%d}, "
                f"all others together {row.all - row.n:,} times"
            )
            yield _finding("curious", SOON if again else NOTE, row, text, row.subject)


def _export(log: pd.DataFrame, start: pd.Timestamp, limits: Limits) -> Iterable[Finding]:
    before = log[log["local"] < start]
    known = before["day"].nunique()
    if known < limits.least_days:
        return
    bulk = log[log["action"].isin(EXPORTS) & (log["count"] >= limits.exported)]
    table = (
        bulk.groupby("actor", sort=True)
        .agg(n=("count", "first"), role=("role", "first"), first=("local", "first"))
        .reset_index()
    )
    did = {*bulk[bulk["local"] < start]["role"]}
    for row in _rows(table[table["first"] >= start]):
        alone = "" if row.role in did else f", nor did any other {row.role}"
        text = (
            f"took out the data of {row.n:,} customers at {row.first:%Y-%m-%d %H:%M}, and never "
            f"did so in {known:,} days before{alone}"
        )
        yield _finding("export", URGENT if alone else SOON, row, text)


def _clock(new: pd.DataFrame, limits: Limits) -> Iterable[Finding]:
    steps = -new["at"].diff()
    back = steps > pd.Timedelta(minutes=limits.clock_minutes)  # never, if sorted by time
    table = new.assign(n=steps.dt.total_seconds() // 60, first=new["local"])[back]
    for row in _rows(table):
        text = (
            f"was at work at {row.first:%Y-%m-%d %H:%M}, entry {row.seq:,}, when the clock had "
            f"gone back by {row.n:,.0f} minutes"
        )
        yield _finding("clock", URGENT, row, text)


def _rows(table: pd.DataFrame) -> Iterable[Any]:
    return table.itertuples(index=False)


def _finding(kind: str, severity: int, row: Any, text: str, subject: Any = None) -> Finding:
    who, at = f"{row.actor} ({row.role})", row.first.to_pydatetime()
    return Finding(kind, severity, row.actor, row.role, at, int(row.n), f"{who} {text}", subject)


def _when(row: Any) -> str:
    first, last = f"{row.first:%Y-%m-%d %H:%M}", f"{row.last:%H:%M}"
    return f"at {first}" if first.endswith(last) else f"between {first} and {last}"
