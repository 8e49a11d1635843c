# SPDX-License-Identifier: MIT-0
"""Ask for nothing that you have no reason for, and nothing that your notice does not name.

Copy: ``kit copy forms --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: forms.

A form and the notice above it are data: two TOML files, such as those in `forms`, or the classes
below. Fields are named as in the inventory, ``customers.email``. `check_form` compares the three
and lists everything that does not fit; `ready` gives back a form that may be used, or refuses::

    form      fields    label, type (one of TYPES), purposes, required, longest, choices
              boxes     label, one purpose, channel, needs (a field), required, lasts_days
    notice    text      what the customer reads; every sentence below stands in it, word for word
              fields    says, purposes, keep        purposes   says, basis, recipients
              incentive what a points programme must say before anybody joins

A notice is known by the SHA-256 of its language, a line feed, and its text in UTF-8 (NFC, line
feeds, nothing at either end). Keep each file ever shown: `shelf` finds the one a consent points to.
`Ready.terms` is the notice's half of a consent receipt.

Source: notice at collection, Cal. Civ. Code 1798.100(a); incentive notice, 1798.125(b) and 11 CCR
7016; contact data as a condition of paying by card, Cal. Civ. Code 1747.08; the keys of a receipt,
ISO/IEC TS 27560:2023 as W3C's DPV 2.3 lists them. Not legal advice.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

FORMAT = 1
FOLDER = Path(__file__).with_name("forms")
TYPES = {  # and the most characters that each may have, unless the form says fewer or more
    "id": 100,
    "name": 80,
    "text": 200,
    "note": 1_000,
    "email": 254,  # RFC 5321: 256 with the brackets around it
    "phone": 40,
    "date": 10,
    "birthday": 10,
    "month_day": 10,
    "choice": 80,
}
ONE_OF: dict[str, Collection[str]] = {  # what may stand under these names
    "type": TYPES,
    "kind": ("loyalty", "contact", "order", "checkout"),
    "basis": ("consent", "contract", "legal obligation", "legitimate interest"),
}
SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {  # by the type written beside a name
    "str": (lambda value: isinstance(value, str), "text in quotes"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "int": (lambda value: type(value) is int and value >= 0, "a whole number, 0 or more"),
    "tuple[str, ...]": (
        lambda value: isinstance(value, tuple) and all(isinstance(v, str) and v for v in value),
        'a list of texts, such as ["a", "b"]',
    ),
}
NEVER = ("payment", "government id", "health")  # classes of the inventory that no form asks for
CLAIMS = ("controller", "contact", "sold_or_shared", "withdrawal")  # of a notice

Made = TypeVar("Made", bound="_Part")


class FormsError(Exception):
    """Base of the errors below."""


class BadFile(FormsError):
    """A form or a notice cannot be read, or a part of it is missing or of the wrong kind."""


class NotFit(FormsError):
    """The form may not be used; `problems` holds every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(
            f"{len(problems)} to mend before this form is used: {' | '.join(map(str, problems))}"
        )
        self.problems = tuple(problems)


class Held(Protocol):
    """What is read off one field of the inventory."""

    @property
    def purposes(self) -> tuple[str, ...]:
        """Return what it is held for."""

    @property
    def keep(self) -> object:
        """Return how long; ``str`` of it is ``3 years after last purchase``."""

    @property
    def kind(self) -> str:
        """Return its class, such as ``contact``."""


@dataclass(frozen=True)
class Problem:
    """One thing that does not fit: where, what, and what to do."""

    where: str
    what: str
    do: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.do}"


class _Part:
    """Every value of a part is of the type that stands beside it, also when made in Python."""

    def __post_init__(self) -> None:
        for one in fields(self):  # type: ignore[arg-type]  # the parts below are dataclasses
            fits, words = SHAPES.get(str(one.type), (lambda value: True, ""))
            value = getattr(self, one.name)
            if not fits(value):
                raise BadFile(f"{one.name} must be {words}")
            if value not in ONE_OF.get(one.name, [value]):
                raise BadFile(f"{one.name} must be one of: {', '.join(ONE_OF[one.name])}")


@dataclass(frozen=True)
class Field(_Part):
    """One question of a form."""

    label: str
    type: str
    purposes: tuple[str, ...] = ()
    required: bool = False
    longest: int = 0  # characters; 0 is the usual for its type
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.type == "choice") != bool(self.choices):
            raise BadFile("a field of type choice, and no other, lists its choices")
        object.__setattr__(self, "longest", self.longest or TYPES[self.type])


@dataclass(frozen=True)
class Box(_Part):
    """A box to tick: a yes to one purpose."""

    label: str
    purpose: str
    channel: str = "any"
    needs: str = ""  # the field without which the yes is of no use
    required: bool = False
    ticked: bool = False
    lasts_days: int = 0  # 0 is until withdrawn


@dataclass(frozen=True)
class Said(_Part):
    """What a notice says about one field."""

    says: str
    purposes: tuple[str, ...]
    keep: str


@dataclass(frozen=True)
class Reason(_Part):
    """What a notice says about one purpose."""

    says: str
    basis: str
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True)
class Incentive(_Part):
    """What a points programme must say before anybody joins; each stands in the text."""

    summary: str = ""
    terms: str = ""  # what is given and taken, categories of personal data included
    opt_in: str = ""
    withdraw: str = ""
    value: str = ""  # a good-faith estimate of what the data is worth
    method: str = ""  # how it was estimated
    deletion: str = ""  # what becomes of the points


@dataclass(frozen=True)
class Notice(_Part):
    """What the customer is told before being asked. Never changed once somebody has read it."""

    id: str
    wording: str
    language: str
    controller: str
    contact: str
    text: str
    sold_or_shared: str
    withdrawal: str
    storage: tuple[str, ...]
    fields: Mapping[str, Said]
    purposes: Mapping[str, Reason]
    incentive: Incentive = Incentive()

    @property
    def sha256(self) -> str:
        """64 hex digits that this text, in this language, alone has."""
        plain = unicodedata.normalize("NFC", "\n".join(self.text.splitlines())).strip()
        return hashlib.sha256(f"{self.language}\n{plain}".encode()).hexdigest()

    @classmethod
    def load(cls, path: Path) -> Notice:
        """Read a notice file; `BadFile` says what is wrong with it."""
        data, name = _read(path)
        said = _parts(Said, data, "fields", name)
        reasons = _parts(Reason, data, "purposes", name)
        incentive = _make(Incentive, data.pop("incentive", {}), f"{name}, [incentive]")
        return _make(cls, data, name, fields=said, purposes=reasons, incentive=incentive)


@dataclass(frozen=True)
class Form(_Part):
    """What is asked, where, and under which notice."""

    id: str
    version: int
    title: str
    kind: str
    language: str
    notice: str
    fields: Mapping[str, Field]
    boxes: Mapping[str, Box] = field(default_factory=dict)
    online: tuple[str, ...] = ()  # sources where the customer acts alone
    offline: tuple[str, ...] = ()  # sources that need a proof

    @property
    def sha256(self) -> str:
        """64 hex digits that change with anything the form says."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @classmethod
    def load(cls, path: Path) -> Form:
        """Read a form file; `BadFile` says what is wrong with it."""
        data, name = _read(path)
        asked = _parts(Field, data, "fields", name)
        boxes = _parts(Box, data, "boxes", name)
        return _make(cls, data, name, fields=asked, boxes=boxes)


@dataclass(frozen=True)
class Ready:
    """A form and its notice that fit together and fit the inventory. Made by `ready` alone."""

    form: Form
    notice: Notice

    def terms(self, ticked: Collection[str], given: Collection[str]) -> dict[str, Any]:
        """Return what was agreed to by ticking these boxes and filling in these fields."""
        form, notice = self.form, self.notice
        yes = {form.boxes[name].purpose for name in ticked}
        asked = {purpose for name in given for purpose in form.fields[name].purposes}
        why = {p: reason for p, reason in notice.purposes.items() if p in yes | asked}
        why = {p: reason for p, reason in why.items() if p in yes or reason.basis != "consent"}
        said = {name: notice.fields[name] for name in given}
        return {
            "privacy_notice": notice.id,
            "wording": notice.wording,
            "notice_hash": notice.sha256,
            "language": notice.language,
            "form": f"{form.id}, version {form.version}",
            "form_hash": form.sha256,
            "pii_controller": {"name": notice.controller, "contact": notice.contact},
            "purposes": {p: reason.says for p, reason in why.items()},
            "lawful_basis": {p: reason.basis for p, reason in why.items()},
            "recipients": {p: list(reason.recipients) for p, reason in why.items()},
            "pii_information": {name: one.says for name, one in said.items()},
            "retention_period": {name: one.keep for name, one in said.items()},
            "storage_locations": list(notice.storage),
            "sold_or_shared": notice.sold_or_shared,
            "withdrawal": notice.withdrawal,
        }


def example() -> tuple[Form, Notice]:
    """Return a made-up shop's sign-up form for its points programme, and its notice."""
    form = Form.load(FOLDER / "loyalty_signup.toml")
    return form, Notice.load(FOLDER / f"{form.notice}.toml")


def shelf(folder: Path) -> dict[str, Notice]:
    """Return every notice of a folder by its SHA-256, as consents point to it."""
    notices = (Notice.load(path) for path in sorted(folder.glob("notice*.toml")))
    return {notice.sha256: notice for notice in notices}


def ready(form: Form, notice: Notice, inventory: Mapping[str, Held]) -> Ready:
    """Return a form that may be used; `NotFit` lists everything that speaks against it."""
    if problems := check_form(form, notice, inventory):
        raise NotFit(problems)
    return Ready(form, notice)


def check_form(form: Form, notice: Notice, inventory: Mapping[str, Held]) -> list[Problem]:
    """List everything in which a form, its notice and the inventory do not fit, at once.

    Args:
        form: What is asked.
        notice: What the customer reads above it.
        inventory: What the shop has written down, by ``table.field``: `Inventory.fields`.

    Returns:
        One `Problem` for each, in the order of the form; nothing if the form may be used.
    """
    found = [*_form_and_notice(form, notice)]
    for name, asked in form.fields.items():
        found += _field(name, asked, form, notice, inventory)
    for name, box in form.boxes.items():
        found += _box(name, box, form, notice, inventory)
    return found + [*_text(notice)]


def _form_and_notice(form: Form, notice: Notice) -> Iterator[Problem]:
    if form.notice != notice.id:
        yield Problem("notice", "not the one that the form names", f"hand over {form.notice}")
    if form.language != notice.language:
        yield Problem("language", "form and notice are in two languages", "translate one of them")
    if form.kind == "loyalty" and "loyalty" not in {box.purpose for box in form.boxes.values()}:
        yield Problem("boxes", "nobody is asked to join", 'add a box with purpose = "loyalty"')
    for part, says in asdict(notice.incentive).items():
        if form.kind == "loyalty" and not says.strip():
            yield Problem("notice, incentive", f"lacks its {part}", "add it, in the text too")


def _field(
    name: str, asked: Field, form: Form, notice: Notice, inventory: Mapping[str, Held]
) -> Iterator[Problem]:
    held, said = inventory.get(name), notice.fields.get(name)
    off = "or take it off the form"
    if not asked.purposes:
        yield Problem(name, "says no purpose", f"write down what it is for, {off}")
    if held is None:
        yield Problem(name, "not in the inventory", f"write it down there first, {off}")
    if said is None:
        yield Problem(name, "the notice does not name it", f"add it there, text included, {off}")
    if held and held.kind in NEVER:
        yield Problem(name, f"no form asks for {held.kind} data", "take it off the form")
    for purpose in asked.purposes:
        if held and purpose not in held.purposes:
            yield Problem(name, f"not held for {purpose} in the inventory", "drop that purpose")
        if said and purpose not in said.purposes:
            yield Problem(name, f"the notice does not say {purpose}", "say so there, or drop it")
        reason = notice.purposes.get(purpose)
        asks = purpose in {box.purpose for box in form.boxes.values()}
        if reason and reason.basis == "consent" and not asks:
            yield Problem(name, f"{purpose} needs a yes, and no box asks for one", "add a box")
    if held and said and said.keep != str(held.keep):
        yield Problem(name, f"kept {held.keep}, but the notice says {said.keep}", "make them one")
    if form.kind == "checkout" and asked.required:
        yield Problem(name, "nobody has to give it in order to pay", "make it optional")


def _box(
    name: str, box: Box, form: Form, notice: Notice, inventory: Mapping[str, Held]
) -> Iterator[Problem]:
    where = f"box {name}"
    if box.ticked:
        yield Problem(where, "ticked beforehand, which is no consent", "leave it empty")
    if box.required and box.purpose != form.kind:
        yield Problem(where, "makes a yes the price of something else", "make it optional")
    if not any(box.purpose in held.purposes for held in inventory.values()):
        yield Problem(where, f"{box.purpose} is no purpose of the inventory", "take one of those")
    reason = notice.purposes.get(box.purpose)
    if reason is None:
        yield Problem(where, f"the notice does not say {box.purpose}", "add it under [purposes]")
    elif reason.basis != "consent":
        yield Problem(where, f"the notice bases it on {reason.basis}", 'say basis = "consent"')
    needed = form.fields.get(box.needs)
    if box.needs and (needed is None or box.purpose not in needed.purposes):
        yield Problem(where, f"the form does not ask {box.needs} for {box.purpose}", "make it fit")


def _text(notice: Notice) -> Iterator[Problem]:
    """Find what the notice claims to say and its text does not."""
    claims = {key: getattr(notice, key) for key in CLAIMS}
    claims |= {f"storage {n}": place for n, place in enumerate(notice.storage, 1)}
    for name, said in notice.fields.items():
        claims |= {name: said.says, f"keep of {name}": said.keep}
    for name, reason in notice.purposes.items():
        claims[f"purpose {name}"] = reason.says
        claims |= {f"recipient {n} of {name}": who for n, who in enumerate(reason.recipients, 1)}
    promised = asdict(notice.incentive).items()  # what it lacks is found in _form_and_notice
    claims |= {f"incentive, {part}": says for part, says in promised if says.strip()}
    text = _plain(notice.text)
    for where, says in claims.items():
        if not says.strip() or _plain(says) not in text:
            yield Problem(f"notice, {where}", "does not stand in the text", "use the same words")
    for name, said in notice.fields.items():
        for purpose in sorted(set(said.purposes) - set(notice.purposes)):
            yield Problem(f"notice, {name}", f"{purpose} is not explained", "add it to [purposes]")


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """Return what a TOML file says, without its format, and the name to complain by."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        raise BadFile(f"{path.name}: cannot be read; is it there, and UTF-8 text?") from None
    except tomllib.TOMLDecodeError as error:
        raise BadFile(
            f"{path.name}: not TOML: {error}; look for a missing quote or bracket"
        ) from None
    if data.pop("format", None) != FORMAT:
        raise BadFile(f"{path.name}: must say `format = {FORMAT}` on top; add it")
    return data, path.name


def _make(kind: type[Made], entry: object, where: str, **more: object) -> Made:
    """Make one part from its section; say where if it cannot be."""
    if not isinstance(entry, dict):
        raise BadFile(f"{where} must be a section of its own; check its brackets")
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]  # as in _Part
    if unknown := sorted(set(entry) - (set(known) - set(more))):
        raise BadFile(f"{where}: unknown key {unknown[0]!r}; allowed are {', '.join(known)}")
    needed = {n for n, one in known.items() if one.default is one.default_factory is MISSING}
    if missing := sorted(needed - set(entry) - set(more)):
        raise BadFile(f"{where}: lacks {', '.join(missing)}; add a line for each")
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
    try:
        return kind(**values, **more)
    except BadFile as error:
        raise BadFile(f"{where}: {error}") from None


def _parts(kind: type[Made], data: dict[str, Any], section: str, name: str) -> dict[str, Made]:
    """Make every part of ``[section.NAME]``."""
    found = data.pop(section, {})
    if not isinstance(found, dict):
        raise BadFile(f"{name}: {section} must be sections such as [{section}.NAME]")
    return {key: _make(kind, one, f"{name}, [{section}.{key}]") for key, one in found.items()}
