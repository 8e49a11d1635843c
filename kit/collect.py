# SPDX-License-Identifier: MIT-0
"""Take a customer's answers with proof of what they agreed to, or refuse and say what to mend.

Copy: ``kit copy collect --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

`accept` takes a form that was compared with its notice and the inventory (such as `forms.ready`
gives), the answers, and something that reads one answer (such as a `tidy.Tidy`). Out come::

    row        the answers, tidied, by the inventory's names; a field left empty is None
    consents   one row of table ``consents`` for each box that was ticked
    receipt    what the customer takes home: agreed to what, for how long, how to stop; JSON
    notes      what was changed, or is worth a second look

All or nothing: one answer that cannot be taken, and nothing is. `Refused.reasons` then holds every
reason, for the form to show beside its fields; none repeats what was typed.

A receipt holds numbers and names of fields, never a value. `canonical` gives it one spelling, and
`digest` the SHA-256 of that, which every consent row keeps: years later it proves which receipt is
the one that was given. The receipt's ``notice_hash`` does the same for the text that was read.

Source: the fields of a receipt, ISO/IEC TS 27560:2023 as W3C's DPV 2.3 lists them; canonical form,
RFC 8785 for text, whole numbers and true or false.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Protocol

YES, NO = ("yes", "on", "true", "1"), ("no", "off", "false", "0", "")  # what a box may send


class CollectError(Exception):
    """Base of the errors below. Messages never hold a value."""


class BadCall(CollectError):
    """The program that calls is at fault, not the customer: a number or a proof is missing."""


class Refused(CollectError):
    """The answers cannot be taken; `reasons` holds every one, and nothing was kept."""

    def __init__(self, reasons: tuple[Reason, ...]) -> None:
        super().__init__("; also ".join(f"{reason.field}: {reason.why}" for reason in reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Reason:
    """Why one answer cannot be taken, or what is to be known about it."""

    field: str
    why: str


@dataclass(frozen=True)
class Accepted:
    """What was taken. Printing it shows no answer.

    Attributes:
        row: Field to value.
        consents: Rows of table ``consents``: its own columns, and ``notice_sha256``, ``form``,
            ``receipt_sha256`` and ``proof`` (JSON, or None where the customer acted alone).
        receipt: For the customer, and for the records.
        notes: What was changed or is worth a look.
    """

    row: dict[str, str | date | None] = field(repr=False)
    consents: tuple[dict[str, str | datetime | None], ...] = field(repr=False)
    receipt: dict[str, Any] = field(repr=False)
    notes: tuple[Reason, ...]


class Box(Protocol):
    """What is read off a box to tick, such as `forms.Box`."""

    @property
    def label(self) -> str:
        """Return the words beside it."""

    @property
    def purpose(self) -> str:
        """Return what a yes is for."""

    @property
    def channel(self) -> str:
        """Return ``email``, ``sms`` or ``any``."""

    @property
    def needs(self) -> str:
        """Return the field without which a yes is of no use, or nothing."""

    @property
    def required(self) -> bool:
        """Return whether the form makes no sense without it."""

    @property
    def lasts_days(self) -> int:
        """Return for how long a yes counts; 0 is until withdrawn."""


class Form(Protocol):
    """What is read off a form, such as `forms.Form`."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Return the questions: by field a rule for the reader, with its ``purposes``."""

    @property
    def boxes(self) -> Mapping[str, Box]:
        """Return the boxes by name."""

    @property
    def online(self) -> Collection[str]:
        """Return the sources where the customer acts alone."""

    @property
    def offline(self) -> Collection[str]:
        """Return the sources that need a proof."""


class Ready(Protocol):
    """A form that may be used, such as `forms.ready` gives."""

    @property
    def form(self) -> Form:
        """Return the form."""

    def terms(self, ticked: Collection[str], given: Collection[str]) -> dict[str, Any]:
        """Return the notice's half of a receipt, ``wording`` and ``notice_hash`` among it."""


class Cell(Protocol):
    """One answer, read."""

    @property
    def value(self) -> str | date | None:
        """Return the answer, tidied."""

    @property
    def refused(self) -> str:
        """Return why it cannot be taken, or nothing."""

    @property
    def notes(self) -> Collection[str]:
        """Return what else there is to know."""


class Reader(Protocol):
    """What reads one answer, such as a `tidy.Tidy`."""

    def read(self, cell: object, rule: Any, *, today: date) -> Cell:
        """Return it tidied, or why not."""


def accept(
    ready: Ready,
    answers: Mapping[str, object],
    *,
    reader: Reader,
    customer_id: str,
    record_id: str,
    source: str,
    now: datetime,
    proof: Mapping[str, str] | None = None,
) -> Accepted:
    """Take the answers of one customer, or refuse them all.

    Args:
        ready: A form that fits its notice and the inventory.
        answers: By the names of fields and boxes. A box is ticked by True, yes, on, true or 1.
        reader: Reads one answer by the rule of its field.
        customer_id: The customer's number.
        record_id: A number of this sign-up that was never used; consents are numbered after it.
        source: Where it happens: one of the form's own words, such as ``website``.
        now: The time, with the shop's own zone.
        proof: Away from the website: who asked, and more; see `consent.till_proof`.

    Raises:
        Refused: An answer is missing, wrong, not asked for, or must not be kept.
        BadCall: *source*, *proof*, a number or *now* does not do.
    """
    form = ready.form
    _check_call(form, answers, customer_id, record_id, source, now, proof)
    unknown = len([name for name in answers if name not in form.fields and name not in form.boxes])
    asks = f"does not ask for {unknown} of the answers; take them off the page"
    reasons = [Reason("form", asks)] if unknown else []
    notes: list[Reason] = []
    row: dict[str, str | date | None] = {}
    for name, rule in form.fields.items():
        cell = reader.read(answers.get(name), rule, today=now.date())
        row[name] = cell.value
        notes += [Reason(name, note) for note in cell.notes]
        if cell.refused:
            reasons.append(Reason(name, cell.refused))
    ticked = [name for name in form.boxes if _is_yes(answers.get(name))]
    reasons += _boxes(form, answers, row, ticked, {reason.field for reason in reasons})
    if reasons:
        raise Refused(tuple(reasons))
    for name in _unwanted(form, ticked):
        if row[name] is not None:
            row[name] = None
            notes.append(Reason(name, "left out: it serves only what was not ticked"))
    given = [name for name, value in row.items() if value is not None]
    boxes = {f"{record_id}.{name}": form.boxes[name] for name in ticked}
    receipt = {
        **ready.terms(ticked, given),
        "record_id": record_id,
        "pii_principal_id": customer_id,
        "event_time": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "consents": {
            number: {"box": box.label, "purpose": box.purpose, "channel": box.channel}
            for number, box in boxes.items()
        },
        "event_state": dict.fromkeys(boxes, "given"),
        "validity_duration": {
            number: f"P{box.lasts_days}D" if box.lasts_days else "until withdrawn"
            for number, box in boxes.items()
        },
        "source": source,
        "asked_by": proof["asked_by"] if proof else None,
    }
    consents = tuple(
        {
            "consent_id": number,
            "customer_id": customer_id,
            "channel": box.channel,
            "purpose": box.purpose,
            "event": "given",
            "wording": receipt["wording"],
            "source": source,
            "happened_at": now.astimezone(UTC),
            "notice_sha256": receipt["notice_hash"],
            "form": receipt["form"],
            "receipt_sha256": digest(receipt),
            "proof": canonical(proof).decode() if proof else None,
        }
        for number, box in boxes.items()
    )
    return Accepted(row, consents, receipt, tuple(notes))


def canonical(content: Mapping[str, Any]) -> bytes:
    """Return JSON with one spelling only: keys sorted, no blanks, UTF-8."""
    text = json.dumps(dict(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def digest(receipt: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a receipt, 64 hex digits, as consent rows keep it."""
    return hashlib.sha256(canonical(receipt)).hexdigest()


def _check_call(
    form: Form,
    answers: object,
    customer_id: str,
    record_id: str,
    source: str,
    now: datetime,
    proof: Mapping[str, str] | None,
) -> None:
    if not isinstance(answers, Mapping):
        raise BadCall("answers are not names with their answers; hand over a mapping")
    if not customer_id or not record_id:
        raise BadCall("a sign-up needs a customer's number and one of its own; hand both over")
    if now.tzinfo is None:
        raise BadCall("now has no time zone; hand over an aware datetime")
    if source not in {*form.online, *form.offline}:
        sources = ", ".join([*form.online, *form.offline])
        raise BadCall(f"the form is not used there; its sources are: {sources}")
    if source in form.offline and not (proof and proof.get("asked_by", "").strip()):
        raise BadCall("away from the website a consent needs a proof: who asked; hand it over")


def _is_yes(answer: object) -> bool:
    return answer is True or (isinstance(answer, str) and answer.strip().casefold() in YES)


def _unwanted(form: Form, ticked: Collection[str]) -> Iterator[str]:
    """Name the fields all of whose purposes have a box, none of them ticked."""
    no = {box.purpose for box in form.boxes.values()} - {form.boxes[n].purpose for n in ticked}
    yield from (name for name, rule in form.fields.items() if set(rule.purposes) <= no)


def _boxes(
    form: Form,
    answers: Mapping[str, object],
    row: Mapping[str, str | date | None],
    ticked: Collection[str],
    refused: Collection[str],
) -> Iterator[Reason]:
    """Find what is wrong with the boxes."""
    for name, box in form.boxes.items():
        answer = answers.get(name)
        word = answer.strip().casefold() if isinstance(answer, str) else None
        no = answer is None or answer is False or word in NO
        if name not in ticked and not no:
            yield Reason(name, "neither ticked nor not; send yes or no")
        elif name not in ticked and box.required:
            yield Reason(name, "not ticked, and nothing goes on without it")
        elif name in ticked and box.needs and row[box.needs] is None and box.needs not in refused:
            yield Reason(box.needs, "missing; fill it in, or take the tick away")
