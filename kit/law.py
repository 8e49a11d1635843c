# SPDX-License-Identifier: MIT-0
"""Have every legal rule as a row with its source, and only those in force on the day that counts.

Copy: ``kit copy law --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: facts.

One TOML file is one law, one ``[[row]]`` one rule of it, with the sentence it was read in, the day
it was read, where, and the days it is in force. A program asks for a row instead of holding a legal
number::

    laws = load()
    row = laws.get("ca.ack", on=date(2026, 3, 2))
    row.plain    # "Tell the customer that you received the request within ..."
    row.clock    # {"start": "received", "unit": "business_day", "n": ...}
    row.cite     # "11 CCR 7021(a)"

A rule that was changed keeps its row with a last day, and answers for its own time. Rows of low
confidence are shown and decide nothing (`Row.usable`). Show `disclaimer` and `banner` with whatever
comes of a row; never put them into a letter to a customer.

Tests of whom a law binds: ``binding.py``. Dates: ``clocks.py``. Whether the files hold together:
``law_check.py``. How a person reads an old row again: ``law_review.py``.

Source: each row says its own.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Protocol

FACTS = Path(__file__).with_name("facts")
NOT_LAWS = {"elements", "calendars"}  # files in that folder with another shape
LOW = "low"
UNREAD_START = "first day in force"  # words of a doubt: it may have been the law before
ADVICE = "guidance"  # the kind of a file that is no law
DISCLAIMER = (
    "General information compiled by non-lawyers, current to {current_to}. It may be wrong or out "
    "of date. Ask a lawyer before you rely on it; in a breach ask at once."
)
REQUIRED = (
    *("id", "fact", "duty", "plain", "quote", "cite", "read_on", "review_by", "confidence"),
    *("quality", "source"),
)
OPTIONAL = (
    *("clock", "keep", "value", "breach", "elements", "only_if", "applies_to", "covered_if"),
    *("recipient", "recipient_name", "order", "no_fixed_day", "scope"),
)


class LawError(Exception):
    """Base of the errors below."""


class BadFacts(LawError):
    """A file of the facts cannot be read; it is named."""


class UnknownRule(LawError):
    """No row has that id, or several rows share that name on that day."""


class Evaluate(Protocol):
    """Holds a shop against a test, such as ``binding.evaluate``."""

    def __call__(
        self,
        tree: Mapping[str, Any],
        business: Mapping[str, Any],
        on: date,
        /,
        *,
        members: Mapping[str, set[str]],
    ) -> tuple[str, str]:
        """Return yes, no or unknown, and why."""


@dataclass(frozen=True)
class Law:
    """One law, as its file names it."""

    key: str
    name: str
    jurisdiction: str  # "US-CA", "US", "EU", "GB" or "any"
    kind: str
    calendar: str
    starts: date | None
    covered_if: Mapping[str, Any]
    includes: tuple[str, ...]
    follows: str  # another law's key, whose answer is its own


@dataclass(frozen=True)
class Row:
    """One rule. The mappings are ``{}`` and the texts "" where the row does not have them."""

    id: str
    fact: str
    duty: str
    plain: str
    quote: str
    cite: str
    read_on: date
    review_by: date
    confidence: str
    quality: str
    doubts: tuple[str, ...]
    source: Mapping[str, Any]
    starts: date
    ends: date | None  # the last day, if there is one
    law: Law = field(repr=False)
    clock: Mapping[str, Any] = field(default_factory=dict)
    keep: Mapping[str, Any] = field(default_factory=dict)
    value: Mapping[str, Any] = field(default_factory=dict)
    breach: Mapping[str, Any] = field(default_factory=dict)
    elements: Mapping[str, Any] = field(default_factory=dict)
    only_if: Mapping[str, Any] = field(default_factory=dict)
    applies_to: Mapping[str, Any] = field(default_factory=dict)
    covered_if: Mapping[str, Any] = field(default_factory=dict)
    recipient: str = ""
    recipient_name: str = ""
    order: str = ""
    no_fixed_day: str = ""
    scope: str = ""

    @property
    def jurisdiction(self) -> str:
        """Where it is the law."""
        return self.law.jurisdiction

    @property
    def usable(self) -> bool:
        """Whether it may decide anything; a row that nobody confirmed is only shown."""
        return self.confidence != LOW

    def in_force(self, on: date) -> bool:
        """Tell whether it is the law on a day."""
        return self.starts <= on and (self.ends is None or on <= self.ends)


@dataclass(frozen=True)
class Coverage:
    """Whether a law, or one rule of it, binds a shop on a day.

    Attributes:
        key: The law or rule asked about.
        answer: ``yes``, ``no`` or ``unknown``.
        reason: One sentence with the facts that decided and the rows they were held against.
        rows: Ids of the rows that were used.
        partial: Rules of the same law with a test of their own, each with its own answer, so that
            a "no" for the law does not hide them.
    """

    key: str
    answer: str
    reason: str
    rows: tuple[str, ...] = ()
    partial: tuple[Coverage, ...] = ()


@dataclass(frozen=True)
class Laws:
    """All that was loaded."""

    laws: Mapping[str, Law]
    all_rows: tuple[Row, ...] = field(repr=False)
    evaluate: Evaluate | None = field(default=None, repr=False)

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
        return [
            row
            for row in self.all_rows
            if row.in_force(on)
            and jurisdiction in (None, row.jurisdiction)
            and duty in (None, row.duty)
            and fact in (None, row.fact)
            and law in (None, row.law.key)
        ]

    def get(self, name: str, on: date | None = None) -> Row:
        """Return one row by its id, or by its fact if one row alone has it on that day.

        Raises:
            UnknownRule: There is none, or there are several: they are named.
        """
        for row in self.all_rows:
            if row.id == name:
                return row
        same = [row for row in self.all_rows if row.fact == name]
        found = [row for row in same if on is None or row.in_force(on)]
        if len(timed := [row for row in found if row.clock]) == 1:
            return timed[0]
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownRule(
                f"{name} has {len(found)} rows: {', '.join(row.id for row in found)}; name one"
            )
        if same:
            raise UnknownRule(
                f"{name} is not in force on that day; its rows: {', '.join(r.id for r in same)}"
            )
        names = [*(row.fact for row in self.all_rows), *(row.id for row in self.all_rows)]
        near = difflib.get_close_matches(name, names, n=1)
        raise UnknownRule(
            f"no rule called {name[:60]!r}; "
            + (f"did you mean {near[0]}" if near else "list them with kit law show")
        )

    def covered(self, key: str, business: Mapping[str, Any], on: date) -> Coverage:
        """Tell whether a law or a rule binds a shop on a day.

        A law binds if one of its rows with the duty "applies" does; without such rows, what stands
        under ``[law]`` decides, or else any row with a test of its own. Before the law's first day
        the answer is no. A law that is not in the files is unknown: it may exist all the same, and
        so is what rests on a row that nobody confirmed.

        Args:
            key: A law's key, a row's id or a fact.
            business: Facts about the shop; what is missing is unknown, never zero.
            on: The day of the request, discovery or click that the question is about.

        Raises:
            LawError: `load` was not given what holds a shop against a test; its errors pass, too.
        """
        law = self.laws.get(key)
        if law is None:
            return self._one_rule(key, business, on)
        if law.kind == ADVICE:
            return Coverage(key, "no", "no: it is advice, which binds nobody")
        if law.starts and on < law.starts:
            return Coverage(key, "no", f"no: not in force before {law.starts}")
        mine = [row for row in self.all_rows if row.law.key == key]
        own = [row for row in mine if row.covered_if and row.in_force(on)]
        partial = tuple(self._row(row, business, on) for row in own if row.duty != "applies")
        if any(row.duty == "applies" for row in mine):
            now = [row for row in mine if row.duty == "applies" and row.in_force(on)]
            if not now:
                return Coverage(key, "unknown", "unknown: no row here is for that day", (), partial)
            return self._any(key, now, business, on, partial)
        if law.covered_if:
            answer, why = self._held(law.covered_if, business, on)
            return Coverage(key, answer, f"{answer}: {why}", (), partial)
        if law.follows:
            of = self.covered(law.follows, business, on)
            return Coverage(key, of.answer, of.reason, of.rows, partial)
        if not own:
            return Coverage(key, "unknown", "unknown: nothing here says whom it binds on that day")
        return self._any(key, own, business, on, partial)

    def _one_rule(self, key: str, business: Mapping[str, Any], on: date) -> Coverage:
        rows = [row for row in self.all_rows if key in (row.id, row.fact)]
        if not rows:
            return Coverage(key, "unknown", "unknown: no such law in these files")
        now = [row for row in rows if row.in_force(on)]
        if not now:
            ids, first = tuple(row.id for row in rows), min(rows, key=lambda row: row.starts)
            if on < first.starts and not any(UNREAD_START in doubt for doubt in first.doubts):
                return Coverage(key, "no", f"no: not in force before {first.starts}", ids)
            if all(row.starts < on for row in rows):
                return Coverage(key, "no", "no: no longer in force on that day", ids)
            return Coverage(key, "unknown", "unknown: no row here is for that day", ids)
        tests = [row for row in now if row.duty == "applies"]
        if len(tests) > 1:
            return self._any(key, tests, business, on, ())
        return self._row(next((row for row in now if row.covered_if), now[0]), business, on)

    def _row(self, row: Row, business: Mapping[str, Any], on: date) -> Coverage:
        if not row.covered_if:  # it follows its law
            of = self.covered(row.law.key, business, on)
            return Coverage(row.id, of.answer, of.reason, (row.id, *of.rows))
        answer, why = self._test(row, business, on)
        return Coverage(row.id, answer, f"{answer}: {why} ({row.fact})", (row.id,))

    def _any(
        self,
        key: str,
        rows: Sequence[Row],
        business: Mapping[str, Any],
        on: date,
        partial: tuple[Coverage, ...],
    ) -> Coverage:
        told = [(row, *self._test(row, business, on)) for row in rows]
        answers = {one for _, one, _ in told}
        answer = next(one for one in ("yes", "unknown", "no") if one in answers)
        deciding = [(row, why) for row, one, why in told if one == answer]
        if answer == "yes":
            deciding = deciding[:1]  # one is enough
        why = "; ".join(dict.fromkeys(one for _, why in deciding for one in why.split("; ")))
        facts = _short([row.fact for row, _ in deciding])
        ids = tuple(row.id for row, _ in deciding)
        return Coverage(key, answer, f"{answer}: {why} ({facts})", ids, partial)

    def _test(self, row: Row, business: Mapping[str, Any], on: date) -> tuple[str, str]:
        if not row.usable:
            return "unknown", "the rule is unconfirmed"
        if not row.covered_if:
            return "unknown", "the row has no test"
        return self._held(row.covered_if, business, on)

    def _held(
        self, tree: Mapping[str, Any], business: Mapping[str, Any], on: date
    ) -> tuple[str, str]:
        if self.evaluate is None:
            raise LawError("load(evaluate=...) is needed for that; binding.evaluate is made for it")
        members = {law.jurisdiction: set(law.includes) for law in self.laws.values()}
        return self.evaluate(tree, business, on, members=members)


def load(folder: Path = FACTS, *, evaluate: Evaluate | None = None) -> Laws:
    """Read every law of a folder, those in ``obsolete/`` included.

    Args:
        folder: Where the files are.
        evaluate: Holds a shop against a test, such as ``binding.evaluate``.

    Raises:
        BadFacts: A file is not TOML, or a row lacks what it cannot do without.
    """
    laws: dict[str, Law] = {}
    rows: list[Row] = []
    for path in sorted([*folder.glob("*.toml"), *folder.glob("obsolete/*.toml")]):
        if path.stem in NOT_LAWS:
            continue
        try:
            said = tomllib.loads(path.read_text(encoding="utf-8"))
            head = said["law"]
            law = laws.setdefault(head["key"], _law(head))
            rows += [_row(raw, law) for raw in said.get("row", [])]
        except tomllib.TOMLDecodeError as error:
            raise BadFacts(f"{path.name}: not TOML ({error}); mend it") from None
        except KeyError as error:
            raise BadFacts(f"{path.name}: {error} is missing; kit law check says where") from None
        except (OSError, UnicodeDecodeError, TypeError, AttributeError) as error:
            raise BadFacts(f"{path.name}: cannot be read ({type(error).__name__})") from None
    if not rows:
        raise BadFacts(f"no law in {folder.name}; copy the folder of facts beside the program")
    return Laws(laws, tuple(rows), evaluate)


def disclaimer(rows: Iterable[Row]) -> str:
    """Return what stands on every screen and report, with the oldest day of the rows used."""
    days = [row.read_on for row in rows]
    return DISCLAIMER.format(current_to=min(days) if days else "an unknown day")


def banner(rows: Iterable[Row], today: date) -> str:
    """Return a warning if a row was to be read again before today, else nothing."""
    standing = [row for row in rows if row.ends is None or row.ends >= today]
    late = {row.id: row.review_by for row in standing if row.review_by < today}
    if not late:
        return ""
    first = min(late, key=lambda one: (late[one], one))
    more = f" and {len(late) - 1} more" if len(late) > 1 else ""
    return f"Overdue: {first}{more} should have been read again by {late[first]}. kit law review"


def _short(facts: Sequence[str]) -> str:
    """Return ``ca.cover.*`` for several facts that begin alike."""
    facts = list(dict.fromkeys(facts))
    stems = {fact.rpartition(".")[0] for fact in facts}
    if len(facts) > 1 and len(stems) == 1 and "." in (stem := stems.pop()):
        return f"{stem}.*"
    return ", ".join(facts)


def _law(head: Mapping[str, Any]) -> Law:
    return Law(
        key=head["key"],
        name=head["name"],
        jurisdiction=head["jurisdiction"],
        kind=head["kind"],
        calendar=head.get("calendar", ""),
        starts=head.get("in_force", {}).get("from"),
        covered_if=head.get("covered_if", {}),
        includes=tuple(head.get("includes", ())),
        follows=head.get("follows", ""),
    )


def _row(raw: Mapping[str, Any], law: Law) -> Row:
    optional = {name: raw[name] for name in OPTIONAL if name in raw}
    return Row(
        **{name: raw[name] for name in REQUIRED},
        **optional,
        doubts=tuple(raw.get("doubts", ())),
        starts=raw["in_force"]["from"],
        ends=raw["in_force"].get("to"),
        law=law,
    )
