# SPDX-License-Identifier: MIT-0
"""Write down a theft or leak in one file, so that nothing is decided from memory under stress.

Copy: ``kit copy incident --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

An incident is made in Python, or read from TOML (`read`)::

    format = 1
    name = "Laptop stolen from the van"
    occurred = 2026-11-23T18:00:00-08:00
    discovered = 2026-11-24T08:10:00-08:00     # likewise determined, confirmed, aware
    vendor = ""                                # the firm that held the data for you, if one did

    [more]                                     # optional: other moments a rule may count from
    told_people = 2026-12-01T09:00:00-08:00    # any of MOMENTS

    [[data]]                                   # what was taken in one piece, or can be joined
    name = "customer export"
    elements = ["name", "card_pan", "email"]   # names from the list of elements
    persons = { US-CA = 510, US-NY = "unknown", DE = 3 }
    encrypted = true                           # with algorithm, bits and key_exposed:
    algorithm = "AES-256-GCM"
    bits = 256
    key_exposed = "unknown"                    # true, false or "unknown", which counts as true
    access = "acquired"                        # accessed, acquired or unknown

    [hold]                                     # optional: the police ask you to wait
    agency = "Oakland Police"
    in_writing = true
    until = 2026-12-20

    [no_harm]                                  # optional: your written risk test
    by = "Ana Example, owner"
    at = 2026-11-26T10:00:00-08:00
    reason = "the file was found unopened"
    places = ["US-FL"]

`Incident.exposure` holds what was taken against what one law lists and how it treats encryption.
"""

from __future__ import annotations

import operator
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any, TypeVar

FORMAT = 1
ACCESS = ("accessed", "acquired", "unknown")
FIVE = ("occurred", "discovered", "determined", "confirmed", "aware")
MOMENTS = (
    *("notified", "reason_to_believe", "scope_identified", "able_to_notify", "vendor_told"),
    "told_people",
)
YES, NO, UNKNOWN = "yes", "no", "unknown"
AS_GOOD_AS = {"password_hash": "password", "login_token": "password"}  # may open what it opens
OPS = {">": (operator.gt, "more than"), ">=": (operator.ge, "at least")}
SAFE = "encrypted and key not exposed"
NOT_LISTED = "the data hold no combination that this law lists"
NOT_READ = "this law's list of data was not read"

PLAIN = {"str": str, "bool": bool, "int": int}  # annotation to the only type that will do

Made = TypeVar("Made")


class IncidentError(Exception):
    """Base of the errors below. Messages name parts of the file, never what was taken."""


class BadIncident(IncidentError):
    """A part of it does not make sense, or cannot be read; it is named."""


@dataclass(frozen=True)
class DataSet:
    """What was, or may have been, taken in one piece.

    Attributes:
        name: The shop's word for it, such as "customer export on the laptop".
        elements: Names from the list of elements, such as "name", "card_pan".
        persons: Place ("US-CA", "DE", or "unknown") to how many; None: some, nobody knows how many.
        encrypted: Whether it was encrypted, with which `algorithm` and how many `bits` of key.
        key_exposed: None if nobody knows, which counts as yes.
        access: ``accessed``, ``acquired`` or ``unknown``, for the memo; no rule tells them apart.
    """

    name: str
    elements: frozenset[str]
    persons: Mapping[str, int | None]
    encrypted: bool = False
    algorithm: str = ""
    bits: int = 0
    key_exposed: bool | None = None
    access: str = "unknown"

    def __post_init__(self) -> None:
        if not self.elements:
            raise BadIncident(f"data {self.name!r}: no elements; say what it held")
        if not self.persons:
            raise BadIncident(f"data {self.name!r}: no persons; unknown = 0 if nobody's data")
        if self.encrypted and not self.algorithm.strip():
            raise BadIncident(f"data {self.name!r}: encrypted with what? name the algorithm")
        if self.access not in ACCESS:
            raise BadIncident(f"data {self.name!r}: access is one of {', '.join(ACCESS)}")
        if any(n is not None and n < 0 for n in self.persons.values()):
            raise BadIncident(f"data {self.name!r}: a number of people is below zero")

    @property
    def key_safe(self) -> bool:
        """Tell whether it was encrypted and the key is known not to have been taken."""
        return self.encrypted and self.key_exposed is False

    def people(self, places: Collection[str]) -> int | None:
        """Return how many of its people live in one of these places; None: some, count unknown."""
        mine = [n for place, n in self.persons.items() if place in places]
        return None if None in mine else sum(n for n in mine if n)


@dataclass(frozen=True)
class Hold:
    """The police ask you to wait. Only what they ask in writing can move a date."""

    agency: str
    in_writing: bool
    until: date | None = None  # None: no end was named

    def __post_init__(self) -> None:
        if self.until is not None and type(self.until) is not date:  # a datetime is one, too
            raise BadIncident("hold.until is a day, such as 2026-12-20")


@dataclass(frozen=True)
class Determination:
    """Your written decision that nobody in some places is likely to be harmed; keep it."""

    by: str
    at: datetime
    reason: str
    places: frozenset[str]


@dataclass(frozen=True)
class Exposure:
    """What was taken, held against one law, for the people of one place.

    Attributes:
        answer: ``yes`` if listed data could be read, ``no``, or ``unknown``.
        why: In words.
        least: How many people at least have data that count; data sets may hold the same people.
        most: At most; None if nobody knows.
        everybody: How many live there, as `most`, whatever their data.
        taken: Every element of them that could be read.
    """

    answer: str
    why: str
    least: int
    most: int | None
    everybody: int | None
    taken: tuple[str, ...]

    def enough(self, only_if: Mapping[str, Any]) -> tuple[bool | None, str]:
        """Hold a number of people that a rule counts from against how many there are.

        Args:
            only_if: ``op``, ">" or ">=", and ``value``; empty: the rule counts from the first.

        Returns:
            True; False, or None if that cannot be told, each with why in words.
        """
        if not only_if:
            return True, ""
        (op, than), value = OPS[only_if["op"]], only_if["value"]
        least, most = op(self.least, value), self.most is None or op(self.most, value)
        if least == most:
            words = f"not {than} {value:,} people there are affected"
            return least, "" if least else words
        words = "nobody knows how many" if self.most is None else f"at most {self.most:,}"
        return None, f"it needs {than} {value:,} people: there are {self.least:,} or more, {words}"


@dataclass(frozen=True)
class Incident:
    """What happened.

    Attributes:
        name: Your word for it; it names files and calendar entries.
        data: Everything that was or may have been taken.
        occurred: When it happened, as far as known.
        discovered: When you found out.
        determined: When you concluded that it is a breach.
        confirmed: When that was beyond doubt.
        aware: When you were reasonably sure that personal data are affected.
        more: Other moments that a rule may count from, named as in MOMENTS.
        hold: What the police asked for.
        no_harm: The written risk test.
        vendor: The firm that held the data for you, if it happened there.
    """

    name: str
    data: tuple[DataSet, ...]
    occurred: datetime | None = None
    discovered: datetime | None = None
    determined: datetime | None = None
    confirmed: datetime | None = None
    aware: datetime | None = None
    more: Mapping[str, datetime] = field(default_factory=dict)
    hold: Hold | None = None
    no_harm: Determination | None = None
    vendor: str = ""

    def __post_init__(self) -> None:
        if not self.data:
            raise BadIncident("nothing was taken? name at least one data set")
        if odd := set(self.more) - set(MOMENTS):
            raise BadIncident(f"more: no moment called {min(odd)}; known: {', '.join(MOMENTS)}")
        moments: dict[str, datetime | None] = {**self.events, "occurred": self.occurred}
        if self.no_harm:
            moments["no_harm.at"] = self.no_harm.at
            if not (self.no_harm.reason.strip() and self.no_harm.by.strip()):
                raise BadIncident("no_harm needs its reason and who decided, in writing")
        for name, moment in moments.items():
            if moment is not None and (
                not isinstance(moment, datetime) or moment.utcoffset() is None
            ):
                raise BadIncident(f"{name} has no time of day or no time zone; add both")
        if self.occurred and self.discovered and self.discovered < self.occurred:
            raise BadIncident("discovered before it occurred; correct one of them")

    @property
    def events(self) -> dict[str, datetime | None]:
        """The moments that clocks start from, as far as they are known."""
        known = {name: getattr(self, name) for name in FIVE[1:]}
        return {**{name: when for name, when in known.items() if when}, **self.more}

    @property
    def elements(self) -> frozenset[str]:
        """Everything that any data set held."""
        return frozenset(one for data in self.data for one in data.elements)

    @property
    def places(self) -> frozenset[str]:
        """Everywhere that affected people live."""
        return frozenset(place for data in self.data for place in data.persons)

    def facts(self) -> dict[str, str]:
        """Return all of it as headings and sentences, for the memo; what is not known is ""."""
        told = {"Incident": self.name}
        moments: dict[str, datetime | None] = {name: getattr(self, name) for name in FIVE}
        for name, when in {**moments, **self.more}.items():
            told[name.replace("_", " ").capitalize()] = (
                when.isoformat(" ", "minutes") if when else ""
            )
        for number, data in enumerate(self.data, 1):
            told[f"Data {number}"] = (
                f"{data.name} ({data.access}): {', '.join(sorted(data.elements))}"
            )
            people = (f"{place} {UNKNOWN if n is None else n}" for place, n in data.persons.items())
            told[f"People in data {number}"] = ", ".join(people)
            key = {True: "exposed", False: "not exposed", None: "unknown, so taken as exposed"}
            locked = f"{data.algorithm}, {data.bits} bits; key {key[data.key_exposed]}"
            told[f"Encryption of data {number}"] = locked if data.encrypted else "none"
        told["Firm that held the data"] = self.vendor or "none, it was with us"
        if self.hold:
            kind = "in writing" if self.hold.in_writing else "not in writing"
            told["Police hold"] = f"{self.hold.agency}, {kind}, until {self.hold.until or 'no end'}"
        if self.no_harm:
            places = ", ".join(sorted(self.no_harm.places))
            told["Risk test"] = f"{self.no_harm.by} for {places}: {self.no_harm.reason}"
        return told

    def held_back(self, due: date | datetime, may_wait: bool) -> tuple[date | datetime | None, str]:
        """Move a date that the police asked you to wait with.

        Args:
            due: The date; it stands if they did not ask in writing.
            may_wait: Whether the rule says that it can wait for the police.

        Returns:
            The date, or None if they named no end; and what was done, "" if they asked nothing.
        """
        if self.hold is None:
            return due, ""
        if not self.hold.in_writing:
            return due, "the police hold moves no date: it is not in writing"
        if not may_wait:
            return due, "the police hold moves no date: this rule, as read, has no word about it"
        if self.hold.until is None:
            return None, "on hold for the police; ask them to name an end, in writing"
        day = due.date() if isinstance(due, datetime) else due
        if self.hold.until <= day:
            return due, ""
        return self.hold.until, f"moved from {day} by the written police hold"

    def exposure(
        self,
        places: Collection[str],
        law: Mapping[str, Any],
        listed: Mapping[str, Any] | None,
    ) -> Exposure:
        """Tell whether data that one law lists could be read, of people who live there.

        Args:
            places: Where that law counts people.
            law: ``encrypted``: "key_matters" or "safe" (not exposed while the key is safe),
                "ignored" (exposed all the same), "not_read"; optional ``min_bits``.
            listed: ``combinations``, each a list of groups of which every one must be met by at
                least one element; ``complete``: no other counts. None: the list was not read.
        """
        here = [(data, data.people(places)) for data in self.data]
        affected = [(data, n) for data, n in here if n != 0]
        everybody = _most([n for _, n in affected])
        told = [(n, *_read_by_thief(data, law, listed)) for data, n in affected]
        answers = {answer for _, answer, _ in told}
        answer = next((one for one in (YES, UNKNOWN, NO) if one in answers), NO)
        why = "; ".join(dict.fromkeys(why for _, one, why in told if one == answer))
        if answer == NO and len(open_ := [d for d, _ in affected if not d.key_safe]) > 1:
            joined = frozenset(one for data in open_ for one in data.elements)
            if matches(joined, listed)[0] is not False:
                answer, why = UNKNOWN, "the data sets count if they can be joined to one another"
                told = [(n, UNKNOWN, why) for _, n in affected]
        counting = [n for n, one, _ in told if one != NO]
        least = max((1 if n is None else n for n in counting), default=0)
        taken = {one for data, _ in affected if not data.key_safe for one in data.elements}
        return Exposure(answer, why, least, _most(counting), everybody, tuple(sorted(taken)))


def matches(elements: Collection[str], listed: Mapping[str, Any] | None) -> tuple[bool | None, str]:
    """Tell whether data hold a listed combination, and which one.

    Returns:
        True and the combination; None if that cannot be told, and why: the list was not read or
        is not complete, or a scrambled password would make one; False and why.
    """
    if listed is None:
        return None, NOT_READ
    held = set(elements)
    for combination in listed["combinations"]:
        if all(held & set(group) for group in combination):
            found = dict.fromkeys(e for group in combination for e in group if e in held)
            return True, ", ".join(found).replace("_", " ")
    guessed = held | {AS_GOOD_AS[one] for one in held & set(AS_GOOD_AS)}
    if guessed != held and matches(guessed, listed)[0]:
        return None, "a scrambled password or log-in token may open what the password opens"
    if not listed.get("complete", True):
        return None, "the list of data that was read is not complete"
    return False, NOT_LISTED


def _read_by_thief(
    data: DataSet, law: Mapping[str, Any], listed: Mapping[str, Any] | None
) -> tuple[str, str]:
    match, why = matches(data.elements, listed)
    if match is False:
        return NO, why
    treated, bits = law["encrypted"], law.get("min_bits", 0)
    if data.key_safe and treated in ("key_matters", "safe"):
        if data.bits >= bits:
            return NO, SAFE
        why = f"{why}; encrypted with fewer than {bits} bits"
    elif data.key_safe and treated == "ignored":
        why = f"{why}; encryption alone does not end it, but may be the reason of a risk test"
    elif data.key_safe:
        return UNKNOWN, f"{why}; how this law treats encrypted data was not read"
    return (UNKNOWN, why) if match is None else (YES, f"these data count: {why}")


def _most(numbers: Sequence[int | None]) -> int | None:
    """Return the sum: data sets may hold the same people, or all different ones."""
    return None if None in numbers else sum(n for n in numbers if n)


def read(text: str) -> Incident:
    """Read an incident from TOML.

    Raises:
        BadIncident: It is not TOML, or a part is missing, unknown or does not make sense.
    """
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadIncident(f"not TOML: {error}") from None
    if said.pop("format", None) != FORMAT:
        raise BadIncident(f"format = {FORMAT} must stand in the first line")
    said["data"] = tuple(_data_set(one) for one in _tables(said.get("data")))
    if "hold" in said:
        said["hold"] = _made(Hold, said["hold"], "hold")
    if "no_harm" in said:
        said["no_harm"] = _made(Determination, _with_set(said["no_harm"], "places"), "no_harm")
    return _made(Incident, said, "the incident")


def _data_set(said: Mapping[str, Any]) -> DataSet:
    told = _with_set(said, "elements")
    persons = told.get("persons")
    if not isinstance(persons, dict):
        raise BadIncident("data: no persons; write persons = { US-CA = 12 }")
    odd = [n for n in persons.values() if n != UNKNOWN and type(n) is not int]
    if odd or told.get("key_exposed", UNKNOWN) not in (True, False, UNKNOWN):
        raise BadIncident("data: persons are numbers or unknown, key_exposed true, false, unknown")
    told["persons"] = {place: None if n == UNKNOWN else n for place, n in persons.items()}
    if told.get("key_exposed") == UNKNOWN:
        told["key_exposed"] = None
    return _made(DataSet, told, "data")


def _with_set(said: object, name: str) -> dict[str, Any]:
    """Return a section with one of its lists as a set."""
    some = said.get(name) if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(some, list):
        raise BadIncident(f"{name} must be a list, such as {name} = [...]")
    if not all(isinstance(one, str) for one in some):
        raise BadIncident(f"{name} must be a list of texts")
    return {**said, name: frozenset(some)}


def _tables(said: object) -> Iterable[Mapping[str, Any]]:
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        raise BadIncident("no [[data]] section; write one for everything that was taken")
    return said


def _made(kind: type[Made], said: Any, where: str) -> Made:
    if not isinstance(said, dict):
        raise BadIncident(f"{where} must be a section")
    kinds = {one.name: one.type for one in fields(kind)}  # type: ignore[arg-type]  # dataclasses
    if odd := sorted(set(said) - set(kinds)):
        raise BadIncident(f"{where}: no part called {odd[0]}; known: {', '.join(sorted(kinds))}")
    for name, value in said.items():
        if type(value) is not PLAIN.get(str(kinds[name]), type(value)):
            raise BadIncident(f"{where}: {name} is of the wrong kind ({type(value).__name__})")
    try:
        return kind(**said)
    except (TypeError, AttributeError):
        raise BadIncident(f"{where}: a part is missing or of the wrong kind") from None
