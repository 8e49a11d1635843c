# SPDX-License-Identifier: MIT-0
"""What lesson 1 asks: repair a form that asks too much, and read off events who may be written to.

The lesson takes from here what it works on, too: Warren's form, the shop's own, and Tara's events.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from kit import cards, consent, forms, optin, personal, tidy
from kit.inventory import Inventory
from kit.lesson import Exercise, quiz

WORDS = ("drop", "untick", "explain")
COMPANY, YEAR = "customers.company", "customers.birth_year"
OFFERS, INCENTIVE = "box offers_by_email", "notice, incentive"
GOOD = {COMPANY: "drop", YEAR: "drop", OFFERS: "untick", INCENTIVE: "explain"}
LASTS_DAYS = 730  # as the shop's form says
DAYS = ("2027-04-01", "2027-05-11", "2027-06-01", "2029-06-01")
HISTORY = (  # what happened to Tara's yes of November 2026
    ("confirmed", "link", "2026-11-24"),
    ("withdrawn", "till", "2027-03-01"),
    ("given", "website", "2027-05-10"),
    ("confirmed", "link", "2027-05-12"),
)


# ---- what the lesson works on -------------------------------------------------------------------


def shop_form() -> tuple[forms.Form, forms.Notice]:
    """Return the form and the notice of Fern & Finch: the kit's example, with their name."""
    form, notice = forms.example()
    controller, text = (
        words.replace("Example Corner Shop", "Fern & Finch")
        for words in (notice.controller, notice.text)
    )
    return form, replace(notice, controller=controller, text=text)


def as_printed(form: forms.Form) -> str:
    """Return a form as it lies on the counter: its title, its lines, its boxes."""
    lines = [f"{field.label} ____" for field in form.fields.values()]
    boxes = [f"[{'x' if box.ticked else ' '}] {box.label}" for box in form.boxes.values()]
    return "\n".join([form.title, *lines, *boxes])


def tara_joins() -> tuple[dict[str, str], dict[str, Any]]:
    """Return what Tara fills in, and what the till hands over with it."""
    answers = {"customers.first_name": "Tara", "customers.birthday": "1984-02-29"}
    answers |= {"customers.email": "tara@example.com", "join": "yes", "offers_by_email": "yes"}
    return answers, {"reader": reader(), "customer_id": "cus_0000000000", "record_id": "rec_1"}


def warrens_form() -> tuple[forms.Form, forms.Notice]:
    """Return what Warren drew: a form that asks too much, a notice that says too little."""
    return mend({})


def mend(decisions: Mapping[str, str]) -> tuple[forms.Form, forms.Notice]:
    """Return Warren's form and notice after these decisions, such as ``{COMPANY: "drop"}``."""
    form, notice = shop_form()
    asked = {
        **form.fields,
        COMPANY: forms.Field("Company you work for", "text", ("loyalty",)),
        YEAR: forms.Field("Year of your birth", "text"),
    }
    offers = form.boxes["offers_by_email"]
    boxes = {**form.boxes, "offers_by_email": replace(offers, ticked=True)}
    if decisions.get(OFFERS) == "untick":
        boxes = dict(form.boxes)
    if decisions.get(OFFERS) == "drop":
        del boxes["offers_by_email"]
    if decisions.get(INCENTIVE) != "explain":
        short = notice.text.partition("Points programme:")[0]
        notice = replace(notice, text=short, incentive=forms.Incentive())
    kept = {name: one for name, one in asked.items() if decisions.get(name) != "drop"}
    return replace(form, fields=kept, boxes=boxes), notice


def reader() -> tidy.Tidy:
    """Return what reads one answer, and refuses card numbers and words about health."""
    return tidy.Tidy(cards=_cards, health=_health)


def _cards(texts: Sequence[str]) -> Iterator[bool]:
    look = cards.look(pa.array(texts, pa.string()))
    yield from ((look.trust > cards.ODD) | look.code | look.track).tolist()


def _health(texts: Sequence[str]) -> Iterator[bool]:
    for text in texts:
        yield bool(personal.check("health word", text))


def new_key() -> bytes:
    """Return a fresh random key for links. A shop takes one from its keyring."""
    return os.urandom(optin.KEY_BYTES)


class UsedLinks:
    """Remembers which links were pressed, until the lesson ends. A shop asks its database."""

    def __init__(self) -> None:
        self._until: dict[bytes, datetime] = {}

    def add(self, nonce: bytes, until: datetime) -> bool:
        """Return True the first time, False ever after."""
        first = nonce not in self._until
        self._until[nonce] = until
        return first


def history(given: consent.Event) -> list[consent.Event]:
    """Return Tara's yes and all that happened to it afterwards."""
    events = [given]
    for number, (what, source, day) in enumerate(HISTORY, 1):
        at = datetime.fromisoformat(f"{day}T16:00:00+00:00")
        events.append(
            consent.follow(given, what, consent_id=f"con_{number}", source=source, now=at)
        )
    return events


# ---- what it asks -------------------------------------------------------------------------------


def repair_form(answer: object) -> str | None:
    """Want four decisions after which nothing speaks against the form, and which ask for less."""
    if not isinstance(answer, dict):
        return f'write pairs between curly brackets, such as {{"{COMPANY}": "drop"}}'
    made: dict[object, object] = answer
    if unknown := [where for where in made if where not in GOOD]:
        return f"the table has no {unknown[0]!r}; copy the words from its column where"
    if missing := [where for where in GOOD if where not in made]:
        return f"{missing[0]} is missing; each of the four needs a decision"
    decisions = {where: str(made[where]).strip().casefold() for where in GOOD}
    if wrong := [where for where, word in decisions.items() if word not in WORDS]:
        return f'{wrong[0]}: write "drop", "untick" or "explain"'
    if wrong := [where for where in GOOD if where != OFFERS and decisions[where] == "untick"]:
        return f"{wrong[0]} is no box; only a box can be unticked"
    if decisions[YEAR] == "explain":
        return "explain the year with which reason? a birthday treat needs the day alone"
    if decisions[COMPANY] == "explain":
        return "that would be allowed, but points are counted without it; what nobody needs, drop"
    if decisions[OFFERS] == "explain":
        return "a box that is ticked beforehand is no consent, however well it is explained"
    if decisions[INCENTIVE] == "drop":
        return "the incentive is what is missing; whoever gives points for data says so beforehand"
    problems = forms.check_form(*mend(decisions), Inventory.default().fields)
    return f"then the check finds something new. {problems[0]}" if problems else None


def may_send(answer: object) -> str | None:
    """Want yes or no for each day, as `consent.state` tells them."""
    if not isinstance(answer, list | tuple):
        return 'write a list: square brackets around yes and no in quotes, such as ["yes", "no"]'
    said = [str(one).strip().casefold() for one in answer]
    if len(said) != len(DAYS) or set(said) - {"yes", "no"}:
        return f'write "yes" or "no" for each of the {len(DAYS)} days, in their order'
    first = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
    given = consent.Event(
        "con_0", "cus_0", "email", "marketing", "given", "2026-01", "till", happened_at=first
    )
    for day, word in zip(DAYS, said, strict=True):
        at = datetime.fromisoformat(f"{day}T12:00:00+00:00")
        now = consent.state(history(given), at=at, lasts_days=LASTS_DAYS)
        if now.confirmed != (word == "yes"):
            return f"{day}: {WHY[now.status]}"
    return None


WHY = {  # by what held on a day that was answered wrongly
    "withdrawn": "she had said no in March; a no stays until she says yes again",
    "given": "she had said yes again, but had not pressed the new link yet",
    "confirmed": "she had said yes again, and pressed the new link; nothing speaks against it",
    "expired": "her box said two years, and they are over; she has to be asked again",
}

EXERCISES = (
    Exercise(
        "collect.1",
        8,
        repair_form,
        right="The check has nothing left to say, and the form asks for less than before.",
        hints=(
            "Two fields serve no purpose. One box speaks for the customer. One text is missing.",
            f'Begin with {{"{COMPANY}": "drop", ...}} and copy the other words from the table.',
        ),
        source=(
            "mended = {\n"
            + "".join(f'    "{where}": "{word}",\n' for where, word in GOOD.items())
            + "}"
        ),
        wrong=(
            ("drop", "between curly brackets"),
            ({"company": "drop"}, "the table has no 'company'"),
            ({COMPANY: "drop", YEAR: "drop"}, "box offers_by_email is missing"),
            (GOOD | {YEAR: "delete"}, 'customers.birth_year: write "drop"'),
            (GOOD | {COMPANY: "untick"}, "customers.company is no box"),
            (GOOD | {YEAR: "explain"}, "needs the day alone"),
            (GOOD | {COMPANY: "explain"}, "points are counted without it"),
            (GOOD | {OFFERS: "explain"}, "however well it is explained"),
            (GOOD | {INCENTIVE: "drop"}, "says so beforehand"),
            (GOOD | {OFFERS: "drop"}, "marketing needs a yes, and no box asks for one"),
        ),
    ),
    Exercise(
        "collect.2",
        7,
        may_send,
        right="Only a confirmed yes counts that was not taken back and has not run out.",
        hints=(
            "For each day, cover the lines below it. What was the last thing that happened?",
            "A yes after a no begins anew: it needs a new link. And two years after it, it ends.",
        ),
        source='offer = ["no", "no", "yes", "no"]',
        wrong=(
            ("no", "square brackets"),
            (["no", "yes"], "each of the 4 days"),
            (["no", "no", "perhaps", "no"], 'write "yes" or "no"'),
            (["yes", "no", "yes", "no"], "2027-04-01: she had said no in March"),
            (["no", "yes", "yes", "no"], "2027-05-11: she had said yes again, but"),
            (["no", "no", "no", "no"], "2027-06-01: she had said yes again, and"),
            (["no", "no", "yes", "yes"], "2029-06-01: her box said two years"),
        ),
    ),
    quiz(
        "collect.quiz1",
        3,
        "b",
        {
            "a": "they agreed to another text, and its fingerprint proves which.",
            "b": "A yes covers what stood in the text that was read, and nothing that came later.",
            "c": "silence is no yes, just as a box that is ticked beforehand is none.",
        },
        hint="What did the lesson print beside the purpose that came later?",
    ),
    quiz(
        "collect.quiz2",
        2,
        "a",
        {
            "a": "The signal is a no to selling and sharing. Her yes to your own offers stays.",
            "b": "a no costs nothing: ask for no papers, and for no reason.",
            "c": "a signal that is not written down is forgotten at the next visit.",
        },
        hint="To what does the signal say no, and where should that no be kept?",
    ),
)
