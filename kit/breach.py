# SPDX-License-Identifier: MIT-0
"""Know after a theft or leak whom you have to tell, by when, and why you need not tell the others.

Copy: ``kit copy breach --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

What happened (such as an ``incident.Incident``), the rules (such as the rows of ``law.py``) and
what counts their days (such as ``clocks.deadline``) are handed over. Out comes one `Finding` for
every rule of every place where an affected person lives, each with its reason and the rule's id::

    duty       tell them; by when, or "without unreasonable delay"
    no duty    and why not: nobody lives there, no listed data, encrypted, a written risk test
    unknown    a rule is missing, unconfirmed or lacks a fact: act as if it were a duty, and ask

Asked in this order: does anybody live there; do the data hold a listed combination (a name
**with** a card number, not either alone); were they encrypted and is the key safe; is there a
written risk test, where the law has one; then each recipient's own number of people and clock. A
key of which nobody knows where it is counts as taken. Not legal advice: in a breach ask a lawyer.

Source: every number and list comes from the rules handed over; the order of the questions and
"unknown counts as exposed" are this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Protocol, TypeAlias

DUTY, NO_DUTY, UNKNOWN = "duty", "no duty", "unknown"
VERDICTS = {"yes": DUTY, "no": NO_DUTY, "unknown": UNKNOWN}  # of an exposure
TELL = ("tell_people", "tell_authority", "tell_agency")
NOWHERE = "unknown"  # the place of people of whom nobody knows where they live
CARDS = "card rules"  # the place of what the card brands ask
USUAL, OTHERS, NEVER_KEPT = "br.el.ca", "br.other", "pci.sad"  # rules used beyond their place
WHO = {
    "people": "the people affected",
    "credit_bureaus": "the nationwide credit bureaus",
    "owner": "you, by that firm",
}
ALWAYS = (
    "Tell your card payment firm (acquirer) or card brands at once if card data may be among it: "
    "the contract asks for it, whatever the law says.",
    "Tell your insurer, if a policy may cover it, before you spend money on it.",
    "Ask a lawyer at once.",
    "Think about telling customers whom no law makes you tell.",
)

When: TypeAlias = date | datetime


class BreachError(Exception):
    """Base of the errors below. Messages name rules, nothing of a customer."""


class NoRule(BreachError):
    """A rule that the others need was not handed over; it is named."""


class Rule(Protocol):
    """What is read of a rule, such as ``law.Row``; "" and {} where it has none."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def fact(self) -> str: ...  # noqa: D102
    @property
    def duty(self) -> str: ...  # noqa: D102
    @property
    def cite(self) -> str: ...  # noqa: D102
    @property
    def doubts(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def clock(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def value(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def breach(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def elements(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def only_if(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def covered_if(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def recipient(self) -> str: ...  # noqa: D102
    @property
    def recipient_name(self) -> str: ...  # noqa: D102
    @property
    def order(self) -> str: ...  # noqa: D102
    @property
    def no_fixed_day(self) -> str: ...  # noqa: D102
    @property
    def scope(self) -> str: ...  # noqa: D102
    @property
    def jurisdiction(self) -> str: ...  # noqa: D102
    @property
    def usable(self) -> bool: ...  # noqa: D102


class Due(Protocol):
    """What counting gives, such as ``clocks.Deadline``; `state` is "computed", or `why` not."""

    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def due(self) -> When | None: ...  # noqa: D102
    @property
    def send_by(self) -> When | None: ...  # noqa: D102
    @property
    def latest(self) -> When | None: ...  # noqa: D102
    @property
    def doubts(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def why(self) -> str: ...  # noqa: D102
    @property
    def floor(self) -> When | None: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102


class Exposure(Protocol):
    """What was taken, held against one law; see ``incident.Exposure``."""

    @property
    def answer(self) -> str: ...  # noqa: D102
    @property
    def why(self) -> str: ...  # noqa: D102
    @property
    def everybody(self) -> int | None: ...  # noqa: D102
    @property
    def taken(self) -> tuple[str, ...]: ...  # noqa: D102

    def enough(self, only_if: Mapping[str, Any], /) -> tuple[bool | None, str]:
        """Hold a number of people that a rule counts from against how many there are."""


class RiskTest(Protocol):
    """A written decision that nobody in some places is likely to be harmed."""

    @property
    def by(self) -> str: ...  # noqa: D102
    @property
    def at(self) -> datetime: ...  # noqa: D102
    @property
    def places(self) -> frozenset[str]: ...  # noqa: D102


class Incident(Protocol):
    """What happened; see ``incident.Incident``."""

    @property
    def vendor(self) -> str: ...  # noqa: D102
    @property
    def events(self) -> Mapping[str, When | None]: ...  # noqa: D102
    @property
    def elements(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def places(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def no_harm(self) -> RiskTest | None: ...  # noqa: D102

    def exposure(
        self, places: Collection[str], law: Mapping[str, Any], listed: Mapping[str, Any] | None, /
    ) -> Exposure:
        """Tell whether listed data of people who live there could be read."""

    def held_back(self, due: When, may_wait: bool, /) -> tuple[When | None, str]:
        """Return the day after what the police asked for, or None if they named none, and why."""


AnyRule: TypeAlias = Any  # a `Rule` of the caller's own class, which its counter takes back
Count: TypeAlias = Callable[[AnyRule, Mapping[str, When | None]], Due]


@dataclass(frozen=True)
class Finding:
    """What one rule says about this incident.

    Attributes:
        verdict: ``duty``, ``no duty`` or ``unknown``; `reason` says why, in one sentence.
        place: Where the people live, or "card rules".
        rule: The rule's id; "" if there is none.
        recipient: For programs; `who` is the same in words.
        persons: How many of them live there at most; None if nobody knows.
        when: By when, in words, where there is no date.
        due: As the rule counts; `send_by` is the one to work to, `latest` the most generous
            reading, `floor` the earliest possible day where nothing can be counted.
        task: What a person has to do or find out.
        doubts: To be shown beside it.
        taken: Every element of these people that could be read.
    """

    verdict: str
    place: str
    rule: str
    reason: str
    cite: str = ""
    recipient: str = ""
    who: str = ""
    persons: int | None = None
    when: str = ""
    due: When | None = None
    send_by: When | None = None
    latest: When | None = None
    floor: When | None = None
    task: str = ""
    doubts: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()


@dataclass(frozen=True)
class Assessment:
    """All findings, what to do whatever the rules say, and what tells how long it is all kept."""

    findings: tuple[Finding, ...]
    always: tuple[str, ...]
    memo_rules: tuple[str, ...]  # ids of the rules that say how long a decision is kept

    def of(self, verdict: str) -> tuple[Finding, ...]:
        """Return the findings with one verdict: "duty", "no duty" or "unknown"."""
        return tuple(one for one in self.findings if one.verdict == verdict)


def assess(
    incident: Incident,
    rules: Iterable[Rule],
    count: Count,
    *,
    members: Mapping[str, Collection[str]] | None = None,
    binds: Mapping[str, str] | None = None,
) -> Assessment:
    """Say for every rule whether it asks you to tell somebody, whom, and by when.

    Args:
        incident: What happened.
        rules: Those in force on the day of discovery, the card rules included.
        count: Counts the days of a rule from the moments known.
        members: Jurisdiction to the countries that belong to it: ``{"EU": ["DE", "FR", ...]}``.
        binds: Id of a rule that has a test of its own of whom it binds, such as one for financial
            institutions, to the answer "yes" or "no". Left out is unknown.

    Raises:
        NoRule: A rule that the others need was not handed over.
    """
    asked = _Asked(incident, list(rules), count, members or {}, binds or {})
    findings = list(asked.cards())
    for place in sorted(asked.places):
        findings += asked.place(place)
    return Assessment(tuple(findings), asked.always(), tuple(dict.fromkeys(asked.memos)))


class _Asked:
    """One incident, held against one set of rules."""

    def __init__(
        self,
        incident: Incident,
        rules: list[Rule],
        count: Count,
        members: Mapping[str, Collection[str]],
        binds: Mapping[str, str],
    ) -> None:
        self.incident, self.rules, self.count, self.binds = incident, rules, count, binds
        self.places: dict[str, set[str]] = {}  # jurisdiction to where its people live
        home = {country: one for one, several in members.items() for country in several}
        for place in incident.places:
            self.places.setdefault(home.get(place, place), set()).add(place)
        states = {place for place in incident.places if place.startswith("US-")}
        if states and self._telling("US"):
            self.places["US"] = states
        self.memos: list[str] = []

    def cards(self) -> Iterator[Finding]:
        """Name card secrets that nobody may keep, encrypted or not."""
        row = self._fact(NEVER_KEPT)
        if row is None:
            raise NoRule(f"the card rule {NEVER_KEPT} is missing; hand over the card rules, too")
        if held := [one for one in row.value["elements"] if one in self.incident.elements]:
            words = ", ".join(held).replace("_", " ")
            why = f"you must not have had it, encrypted or not: {words}"
            one = replace(self._found(DUTY, CARDS, row, why, None), recipient="acquirer")
            task = "delete it everywhere, and find out which program kept it"
            yield replace(one, who="your card payment firm", when="at once", task=task)

    def always(self) -> tuple[str, ...]:
        """Return what to do whatever the rules say."""
        also = []
        if "EU" in self.places:
            also.append("People in the European Union are affected: GDPR counts any likely risk.")
        if "GB" in self.places:
            also.append("People in the United Kingdom are affected: ask about its own GDPR.")
        if self.incident.vendor:
            also.append("Read the contract with the firm that held the data: what must it do now?")
        return (*ALWAYS, *also)

    def place(self, place: str) -> list[Finding]:
        """Ask every rule of one place."""
        rows = [row for row in self._telling(place) if row.recipient != "owner"]
        people = next((row for row in rows if row.duty == "tell_people"), None)
        rows.sort(key=lambda row: row is not people)
        if not rows:
            return [self._nothing_known(place)]
        found = [self._judge(row, row.breach or _breach(people, row), place) for row in rows]
        told = found[0] if people else None
        found = [_ordered(one, row, told) for one, row in zip(found, rows, strict=True)]
        if self.incident.vendor:
            why = "no duty of yours: it binds the firm that held the data for you"
            owner = [row for row in self._telling(place) if row.recipient == "owner"]
            found += [self._found(NO_DUTY, place, row, why, None) for row in owner]
        return found + list(self._written(place, people, found))

    def _judge(self, row: Rule, law: Mapping[str, Any], place: str) -> Finding:
        """Ask one rule: whom it binds, data and encryption, risk test, number, clock."""
        listed = self._listed(law["elements"])
        taken = self.incident.exposure(self.places[place], law, listed)

        def no(why: str) -> Finding:
            return self._found(NO_DUTY, place, row, f"no duty, because {why}", taken.everybody)

        if row.covered_if and self.binds.get(row.id) == "no":
            return no("it does not bind you")
        if taken.everybody == 0:
            return no("nobody affected lives there")
        if taken.answer == "no":
            return no(taken.why)
        test = self._tested(place, law)
        if test:
            return no(f"of the risk test that {test.by} wrote down on {test.at.date()}")
        verdict, reasons = VERDICTS[taken.answer], [taken.why]
        if listed is None and (usual := self._fact(USUAL)):
            hint = self.incident.exposure(self.places[place], law, usual.elements)
            reasons += ["on California's list they count"] if hint.answer == "yes" else []
        enough, number = taken.enough(row.only_if)
        if enough is False:
            return no(number)
        if enough is None:
            verdict, reasons = UNKNOWN, [*reasons, number]
        if row.covered_if and self.binds.get(row.id) != "yes":
            verdict, reasons = UNKNOWN, [*reasons, "whether this rule binds you is not known"]
        if not row.usable:
            verdict, reasons = UNKNOWN, [*reasons, "nobody has confirmed this rule"]
        found = self._found(verdict, place, row, "; ".join(reasons), taken.everybody)
        return self._dated(replace(found, taken=taken.taken), row, law)

    def _dated(self, found: Finding, row: Rule, law: Mapping[str, Any]) -> Finding:
        if not row.clock:
            return replace(found, when=row.no_fixed_day)
        due = self.count(row, self.incident.events)
        found = replace(found, doubts=tuple(dict.fromkeys((*row.doubts, *due.doubts))))
        if due.state != "computed":
            return replace(found, when=due.why, floor=due.floor, task=due.task)
        found = replace(found, due=due.due, send_by=due.send_by, latest=due.latest)
        if due.due is None:
            return found
        day, why = self.incident.held_back(due.due, bool(law.get("hold")))
        if why:
            found = replace(found, doubts=(*found.doubts, why))
        if day is None:
            floor = due.send_by or due.due
            return replace(found, when=why, due=None, send_by=None, latest=None, floor=floor)
        return found if day == due.due else replace(found, due=day, send_by=day, latest=day)

    def _written(
        self, place: str, people: Rule | None, found: Sequence[Finding]
    ) -> Iterator[Finding]:
        """Say what has to be written down, kept or sent in; note how long."""
        persons = max((one.persons for one in found if one.persons), default=None)
        tested = people is not None and self._tested(place, people.breach)
        for row in self.rules:
            if row.jurisdiction != place:
                continue
            if row.duty == "keep_record" and row.scope == "breaches":
                why = "every breach is written down, also one that nobody has to be told of"
                one = self._found(DUTY, place, row, why, persons)
                yield replace(one, recipient="register", who="your own register", when="now")
            if row.duty == "write_memo" and tested:
                if people and row.fact == people.breach.get("memo"):
                    self.memos.append(row.id)
                if name := row.value.get("send_to"):
                    why = "your written risk test has to be sent in"
                    one = replace(self._found(DUTY, place, row, why, persons), who=name)
                    yield self._dated(replace(one, recipient="risk_test"), row, {})

    def _nothing_known(self, place: str) -> Finding:
        nothing: Mapping[str, Any] = {"combinations": ()}
        lives = self.incident.exposure(self.places[place], {"encrypted": "ignored"}, nothing)
        none = Finding(UNKNOWN, place, "", "", persons=lives.everybody, taken=lives.taken)
        if lives.everybody == 0:
            return replace(none, verdict=NO_DUTY, reason="no duty, because nobody lives there")
        why, task = "nobody knows where these people live", "find out where they live"
        if place != NOWHERE:
            why = f"no rule for {place} is among the rules; there may well be one"
            task = f"ask a lawyer about {place} at once"
            none = replace(none, recipient="people", who=WHO["people"])
        none = replace(none, reason=why, task=task)
        row = self._fact(OTHERS) if place.startswith("US-") else None
        if row is None:
            return none
        when = f"in most states {row.no_fixed_day}"
        return replace(none, rule=row.id, cite=row.cite, when=when, doubts=row.doubts)

    def _found(
        self, verdict: str, place: str, row: Rule, reason: str, persons: int | None
    ) -> Finding:
        who = row.recipient_name or WHO.get(row.recipient, row.recipient.replace("_", " "))
        found = Finding(verdict, place, row.id, reason, row.cite, row.recipient, who, persons)
        return replace(found, doubts=row.doubts)

    def _listed(self, fact: str) -> Mapping[str, Any] | None:
        if fact == "any":  # whatever it was, it counts
            return {"combinations": [[sorted(self.incident.elements)]]}
        row = self._fact(fact)
        return row.elements if row and row.usable else None

    def _telling(self, place: str) -> list[Rule]:
        rows = [row for row in self.rules if row.jurisdiction == place and row.duty in TELL]
        return [row for row in rows if row.fact != OTHERS]

    def _fact(self, fact: str) -> Rule | None:
        return next((row for row in self.rules if row.fact == fact), None)

    def _tested(self, place: str, law: Mapping[str, Any]) -> RiskTest | None:
        """Return the risk test, if the law has one and it was made for everybody there."""
        test = self.incident.no_harm
        if test is None or law.get("harm_test") != "written":
            return None
        return test if place in test.places or self.places[place] <= test.places else None


def _breach(people: Rule | None, row: Rule) -> Mapping[str, Any]:
    if people is None or not people.breach:
        raise NoRule(f"{row.id}: the rule about telling people there is missing; hand it over, too")
    return people.breach


def _ordered(one: Finding, row: Rule, told: Finding | None) -> Finding:
    """Say by when, if the rule only says "before the people" or "with them"."""
    if not row.order or told is None or one.verdict == NO_DUTY:
        return one
    day = told.send_by or told.due
    return replace(one, when=f"{one.when} (they are to be told by {day})") if day else one
