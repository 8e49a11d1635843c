# SPDX-License-Identifier: MIT-0
"""Ask the law one question at a time: what binds this shop, and by when.

Here the tools about law meet: the rows (`kit/law.py`), the tests of whom they bind
(`kit/binding.py`), the clocks (`kit/clocks.py`), the checks (`kit/law_check.py`) and what a person
does with an old row (`kit/law_review.py`)::

    book = legal.Book()
    book.covered("us-ca-ccpa", business, on=today)
    book.deadline("ca.respond", {"received": received}, zone=zone)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, tzinfo
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from kit import binding, clocks, law, law_check, law_review
from kit.clocks import Calendar, Deadline, Events, Pause, When
from kit.law import ADVICE, Coverage, Law, Row
from kit.law_check import Problem
from kit.law_review import Step

CALENDARS = "calendars.toml"
REST = "us-other-breach"  # states without a file; with residents_of, each is named by itself
EXPECTED = {  # words of a worked example that are no events
    *("due", "send_by", "latest", "strict", "until", "not_started", "refused", "zone", "calendar"),
    *("pauses", "extend_notice", "extend_reason"),
}


class Book:
    """All that the kit knows of the law, from one folder of facts."""

    def __init__(self, folder: Path = law.FACTS) -> None:
        """Read the rows; holidays are read when they are needed."""
        self.folder = folder
        self._laws = law.load(folder, evaluate=binding.evaluate)

    @property
    def laws(self) -> Mapping[str, Law]:
        """The laws by key."""
        return self._laws.laws

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """Every rule, of whatever day."""
        return self._laws.all_rows

    @cached_property
    def calendars(self) -> dict[str, Calendar]:
        """The lists of holidays by key; none if the folder has no such file."""
        path = self.folder / CALENDARS
        return clocks.read_calendars(path) if path.exists() else {}

    def rows(
        self,
        on: date,
        jurisdiction: str | None = None,
        duty: str | None = None,
        *,
        fact: str | None = None,
        law: str | None = None,
    ) -> list[Row]:
        """Return the rules in force on a day, of those asked for."""
        return self._laws.rows(on, jurisdiction, duty, fact=fact, law=law)

    def get(self, name: str, on: date | None = None) -> Row:
        """Return one rule by its id, or by its fact; see `law.Laws.get`."""
        return self._laws.get(name, on)

    def covered(self, key: str, business: Mapping[str, Any], on: date) -> Coverage:
        """Tell whether a law or a rule binds a shop on a day; see `law.Laws.covered`."""
        binding.check_business(business)
        return self._laws.covered(key, business, on)

    def survey(self, business: Mapping[str, Any], on: date) -> list[Coverage]:
        """Answer for every law, and "unknown" for places of which no law is in the files."""
        found = [
            self.covered(law.key, business, on)
            for law in self.laws.values()
            if law.kind != ADVICE and not (law.key == REST and "residents_of" in business)
        ]
        there = {(one.jurisdiction, one.kind) for one in self.laws.values()}
        said = business.get("state", ())
        places = [*([said] if isinstance(said, str) else said), *business.get("residents_of", ())]
        for place in dict.fromkeys([*places, *business.get("consumers", ())]):
            for kind in ("privacy", "breach"):
                if place.startswith("US-") and (place, kind) not in there:
                    why = f"unknown: no {kind} law of {binding.named(place)} is in these files"
                    found.append(Coverage(f"{place.lower()}-{kind}", "unknown", why))
        return found

    def deadline(
        self,
        rule: str | Row,
        events: Events,
        *,
        zone: tzinfo,
        on: date | None = None,
        pauses: Iterable[Pause] = (),
        calendar: str = "",
    ) -> Deadline:
        """Count a deadline; see `clocks.deadline`.

        Args:
            rule: A row, its id, or a fact with one clock on that day.
            events: What happened and when.
            zone: The shop's own.
            on: The day on which the rule must be in force; else the day of the first event known.
            pauses: Times in which the clock stood still.
            calendar: Another list of holidays than the rule's own.
        """
        days = [_day(moment, zone) for moment in events.values() if moment is not None]
        day = on or min(days, default=None)
        row = self.get(rule, day) if isinstance(rule, str) else rule
        if day is not None and not row.in_force(day):
            why = f"cannot compute: this rule was not in force on {day}"
            task = "look for the rule of that day: kit law show " + row.fact
            return Deadline(row.id, "cannot", row.cite, doubts=row.doubts, why=why, task=task)
        key = calendar or row.clock.get("calendar", "") or row.law.calendar
        return clocks.deadline(
            row, events, zone=zone, calendar=self.calendars.get(key), pauses=pauses
        )

    def extend(self, first: Deadline, *, notice_at: When, reason: str) -> Deadline:
        """Count a deadline anew after an extension; see `clocks.extend`."""
        return clocks.extend(self.get(first.rule), first, notice_at=notice_at, reason=reason)

    def check(self, today: date, *, used: Iterable[str] = ()) -> list[Problem]:
        """Return what is wrong with the folder, worked examples included; see `law_check.check`."""
        return law_check.check(self.folder, today=today, recompute=self.recompute, used=used)

    def steps(self, today: date) -> list[Step]:
        """Return the rows that a person should have read again; see `law_review`."""
        return law_review.steps(self.all_rows, today)

    def recompute(self, rule: str, example: Mapping[str, Any]) -> list[str]:
        """Return what does not come out of a worked example of a row, in sentences."""
        row = next(one for one in self.all_rows if one.id == rule)
        events = {key: when for key, when in example.items() if key not in EXPECTED}
        zone = ZoneInfo(example.get("zone", "UTC"))
        try:
            if "until" in example:
                kept = clocks.keep_until(row, events, zone=zone)
                return _differs("until", kept, example["until"])
            pauses = [
                Pause(one["reason"], one["from"], one.get("to"))
                for one in example.get("pauses", ())
            ]
            made = self.deadline(
                row, events, zone=zone, pauses=pauses, calendar=example.get("calendar", "")
            )
            if example.get("not_started"):
                return _differs("state", made.state, "not_started")
            if "extend_notice" in example:
                reason = example.get("extend_reason", "many requests")
                try:
                    made = self.extend(made, notice_at=example["extend_notice"], reason=reason)
                    refused = False
                except clocks.NotExtended:
                    refused = True
                if refused != example.get("refused", False):
                    return [f"the extension is {'refused' if refused else 'granted'}"]
        except clocks.ClockError as error:
            return [str(error)]
        if "due" not in example:
            return ["says no due date"]
        if made.due is None:
            return [made.why]
        names = [key for key in ("due", "send_by", "latest") if key in example]
        faults = [_differs(key, getattr(made, key), example[key]) for key in names]
        if "strict" in example:
            faults.append(_differs("strict", list(made.strict), example["strict"]))
        return [fault for one in faults for fault in one]

    def disclaimer(self, ids: Iterable[str]) -> str:
        """Return what stands beside everything that came of these rows."""
        return law.disclaimer(self._named(ids))

    def banner(self, ids: Iterable[str], today: date) -> str:
        """Return a warning if one of these rows should have been read again, else nothing."""
        return law.banner(self._named(ids), today)

    def _named(self, ids: Iterable[str]) -> list[Row]:
        wanted = set(ids)
        return [row for row in self.all_rows if row.id in wanted]


def _differs(name: str, made: object, written: object) -> list[str]:
    return [] if made == written else [f"{name} is {made}, not {written}"]


def _day(moment: When, zone: tzinfo) -> date:
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise clocks.NoZone("a time has no time zone; hand over an aware datetime")
    return moment.astimezone(zone).date()
