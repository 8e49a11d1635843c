"""A sign-up is taken whole, with proof of what was agreed to, or refused whole."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import cards, collect, consent, forms, generate, people, personal, tidy
from kit.collect import BadCall, CollectError, Refused
from kit.inventory import Inventory

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=ZoneInfo("America/New_York"))
FORM, NOTICE = forms.example()
READY = forms.ready(FORM, NOTICE, Inventory.default().fields)
CARD = "4242 4242 4242 4242"  # a published test number


def find_cards(texts):
    """Hand `cards` over as `Tidy` wants it."""
    look = cards.look(pa.array(texts, pa.string()))
    return (look.trust >= cards.PLAIN) | look.code | look.track


TIDY = tidy.Tidy(
    cards=find_cards,
    health=lambda texts: [bool(personal.check("health word", text)) for text in texts],
)
ANA = {
    "customers.first_name": " Ana ",
    "customers.email": "Ana@Example.COM",
    "customers.phone": "(212) 555-0143",
    "customers.birthday": "1984-02-29",
    "join": "on",
    "offers_by_email": True,
}
ROW = {
    "customers.first_name": "Ana",
    "customers.last_name": None,
    "customers.email": "Ana@example.com",
    "customers.phone": "+12125550143",
    "customers.birthday": "--02-29",
}


def accept(answers, ready=READY, **more):
    """Sign somebody up on the website."""
    call = {"reader": TIDY, "customer_id": "cus_1", "record_id": "rec_1", "source": "website"}
    return collect.accept(ready, answers, **{**call, "now": NOW, **more})


def test_a_sign_up():
    """The row is tidy, each tick is a consent of its own, and the notes say what was changed."""
    taken = accept(ANA)

    assert taken.row == ROW
    assert [(row["consent_id"], row["purpose"], row["channel"]) for row in taken.consents] == [
        ("rec_1.join", "loyalty", "any"),
        ("rec_1.offers_by_email", "marketing", "email"),
    ]
    assert [(note.field, note.why) for note in taken.notes] == [
        ("customers.birthday", "the year was left out")
    ]


def test_consents_fit_the_shops_table():
    """They have all columns of table consents, and four more."""
    made = generate.Shop(50, parts=(people.People,), seed=42, locale="en_US")
    (row, _) = accept(ANA).consents

    assert set(row) - set(made.schema("consents").names) == {
        "notice_sha256",
        "form",
        "receipt_sha256",
        "proof",
    }
    assert set(made.schema("consents").names) <= set(row)
    assert row["happened_at"] == NOW.astimezone(UTC)
    assert (row["event"], row["wording"]) == ("given", "2026-01")
    assert consent.Event.from_row(row).row() == row
    events = map(consent.Event.from_row, accept(ANA).consents)
    assert {state.status for state in consent.states(events, at=NOW).values()} == {"given"}


def test_a_receipt_has_every_field_of_the_standard():
    """The customer can show it to anybody who knows ISO/IEC TS 27560."""
    receipt = accept(ANA).receipt

    assert {
        "record_id", "pii_principal_id", "privacy_notice", "language", "purposes", "lawful_basis",
        "pii_information", "storage_locations", "retention_period", "recipients", "withdrawal",
        "event_time", "validity_duration", "event_state", "notice_hash", "source", "asked_by",
    } <= set(receipt)  # fmt: skip
    assert receipt["event_time"] == "2026-11-24T14:30:00.000000Z"
    assert receipt["notice_hash"] == NOTICE.sha256
    assert receipt["form"] == "loyalty_signup, version 1"
    assert receipt["validity_duration"] == {
        "rec_1.join": "until withdrawn",
        "rec_1.offers_by_email": "P730D",
    }


def test_a_receipt_holds_no_answer():
    """A log of consents is itself personal data, so it is kept small."""
    text = collect.canonical(accept(ANA).receipt).decode()

    for answer in ("Ana", "ana@", "555", "02-29", "1984"):
        assert answer not in text
    assert len(text) < 2_000


def test_a_receipt_is_proven_by_the_consent_row():
    """Years later the row says which receipt is the one that was given."""
    taken = accept(ANA)
    kept = json.loads(json.dumps(taken.receipt))  # as the customer's mail program saved it

    assert kept == taken.receipt
    assert {row["receipt_sha256"] for row in taken.consents} == {collect.digest(kept)}
    assert collect.digest(kept) == sha256(collect.canonical(kept)).hexdigest()
    assert collect.digest({**kept, "withdrawal": "never"}) != collect.digest(kept)


# Made with the first version and kept: receipts that customers have at home.
OLD = {"c": {"e": -2, "d": ""}, "b": [1, True, None], "a": "é"}
DIGEST = "badbb24b7e1d6c9854bd64b561d9bea19d29336532e24985fa603258b7eb51c3"


def test_an_old_receipt_is_still_the_same():
    """The canonical form has not changed since the first version."""
    assert collect.canonical(OLD).decode() == '{"a":"é","b":[1,true,null],"c":{"d":"","e":-2}}'
    assert collect.digest(OLD) == DIGEST


def test_a_receipt_is_bound_to_notice_and_form():
    """Another text or another form, another receipt."""
    told = replace(NOTICE, text=NOTICE.text + "\nMore.")
    asked = replace(FORM, version=2)
    inventory = Inventory.default().fields

    hashes = {
        collect.digest(accept(ANA, ready).receipt)
        for ready in (
            READY,
            forms.ready(FORM, told, inventory),
            forms.ready(asked, NOTICE, inventory),
        )
    }

    assert len(hashes) == 3


def test_only_what_was_filled_in_is_on_the_receipt():
    """It says what the shop holds, not what it would have liked to."""
    taken = accept({"customers.first_name": "Ana", "join": "yes"})

    assert set(taken.receipt["pii_information"]) == {"customers.first_name"}
    assert set(taken.receipt["purposes"]) == {"loyalty"}
    assert len(taken.consents) == 1


def test_what_serves_only_an_unticked_box_is_left_out():
    """An address for offers is not kept of somebody who wants none."""
    asked = replace(
        FORM,
        fields={
            **FORM.fields,
            "customers.email": replace(FORM.fields["customers.email"], purposes=("marketing",)),
        },
    )
    ready = forms.ready(asked, NOTICE, Inventory.default().fields)

    taken = accept({**ANA, "offers_by_email": False}, ready)

    assert taken.row["customers.email"] is None
    assert "customers.email" not in taken.receipt["pii_information"]
    assert ("customers.email", "left out: it serves only what was not ticked") in [
        (note.field, note.why) for note in taken.notes
    ]
    assert accept({**ANA, "customers.email": "", "offers_by_email": False}, ready).notes == (
        collect.Reason("customers.birthday", "the year was left out"),
    )
    assert accept(ANA, ready).row["customers.email"] == "Ana@example.com"


@pytest.mark.parametrize(
    ("change", "field", "why"),
    [
        pytest.param({"customers.first_name": CARD}, "customers.first_name",
                     "looks like a card number", id="a card for a name"),
        pytest.param({"customers.first_name": " "}, "customers.first_name", "missing", id="blank"),
        pytest.param({"customers.first_name": b"Ana"}, "customers.first_name", "bytes, not text",
                     id="bytes"),
        pytest.param({"customers.first_name": "A\x00"}, "customers.first_name",
                     "control character", id="control character"),
        pytest.param({"customers.first_name": "a" * 10_000_000}, "customers.first_name",
                     "longer than 80 characters", id="10 MB"),
        pytest.param({"customers.email": "ana"}, "customers.email", "not an e-mail address",
                     id="no address"),
        pytest.param({"customers.email": None}, "customers.email",
                     "missing; fill it in, or take the tick away", id="offers to nowhere"),
        pytest.param({"customers.phone": "555"}, "customers.phone", "not a telephone", id="phone"),
        pytest.param({"customers.birthday": "3/4"}, "customers.birthday", "month and", id="day"),
        pytest.param({"customers.shoe_size": "42"}, "form", "does not ask for 1 of the answers",
                     id="not asked for"),
        pytest.param({7: "42"}, "form", "does not ask for 1 of the answers", id="number"),
        pytest.param({"join": ""}, "join", "not ticked, and nothing goes on without it",
                     id="not joined"),
        pytest.param({"join": None}, "join", "not ticked", id="box not sent"),
        pytest.param({"offers_by_email": "maybe"}, "offers_by_email", "neither ticked nor not",
                     id="maybe"),
        pytest.param({"offers_by_email": 1}, "offers_by_email", "neither", id="one"),
        pytest.param({"offers_by_email": ["on"]}, "offers_by_email", "neither", id="list"),
    ],
)  # fmt: skip
def test_refuses_answers(change, field, why):
    """Each fault has its field and its words, and none repeats the answer."""
    with pytest.raises(Refused) as caught:
        accept({**ANA, **change})

    (reason,) = caught.value.reasons
    assert reason.field == field
    assert why in reason.why
    assert isinstance(caught.value, CollectError)
    assert str(caught.value) == f"{field}: {reason.why}"
    for answer in (CARD, "aaa", "Ana", "maybe", "3/4", "shoe_size"):
        assert answer not in str(caught.value)


def test_all_reasons_come_at_once():
    """The customer mends the form in one go, and a bad address is named once."""
    with pytest.raises(Refused) as caught:
        accept({"customers.email": "x", "offers_by_email": "on", "pin": "1", "cvv": "2"})

    assert [reason.field for reason in caught.value.reasons] == [
        "form",
        "customers.first_name",
        "customers.email",
        "join",
    ]
    assert str(caught.value).count("; also ") == 3
    assert "does not ask for 2 of" in str(caught.value)


@pytest.mark.parametrize(
    ("word", "ticked"),
    [(True, 1), ("on", 1), ("Yes ", 1), ("TRUE", 1), ("1", 1), (False, 0), ("off", 0), ("No", 0),
     ("false", 0), ("0", 0), ("", 0), (None, 0)],
)  # fmt: skip
def test_boxes(word, ticked):
    """A browser sends on, a till sends true; what is not a clear yes is no yes."""
    assert len(accept({**ANA, "offers_by_email": word}).consents) == 1 + ticked


def test_at_the_till():
    """Away from the website somebody must have asked, and the row and the receipt say who."""
    proof = consent.till_proof("emp_7")

    taken = accept(ANA, source="till", proof=proof)

    assert {row["proof"] for row in taken.consents} == {'{"asked_by":"emp_7","kind":"till"}'}
    assert (taken.receipt["asked_by"], taken.receipt["source"]) == ("emp_7", "till")
    assert accept(ANA).receipt["asked_by"] is None
    assert accept(ANA).consents[0]["proof"] is None


@pytest.mark.parametrize(
    ("call", "says"),
    [
        pytest.param({"source": "fair"}, "its sources are: website, till, paper card", id="source"),
        pytest.param({"source": "till"}, "needs a proof: who asked", id="no proof"),
        pytest.param({"source": "till", "proof": {"asked_by": ""}}, "needs a proof", id="nobody"),
        pytest.param({"source": "till", "proof": {"asked_by": "  "}}, "needs a proof", id="blank"),
        pytest.param({"customer_id": ""}, "needs a customer's number", id="no customer"),
        pytest.param({"record_id": ""}, "needs a customer's number", id="no record"),
        pytest.param({"now": datetime(2026, 11, 24)}, "no time zone", id="no zone"),  # noqa: DTZ001
    ],
)
def test_refuses_calls(call, says):
    """A fault of the program is not blamed on the customer."""
    with pytest.raises(BadCall, match=says):
        accept(ANA, **call)


@pytest.mark.parametrize("answers", [None, [("join", "on")], "join=on", b"join=on", 7])
def test_refuses_malformed_rows(answers):
    """What is no row is refused before anything is read."""
    with pytest.raises(BadCall, match="hand over a mapping"):
        accept(answers)


def test_today_is_that_of_the_shop():
    """Late in the evening in New York it is tomorrow in UTC, and nobody is born tomorrow."""
    asked = replace(
        FORM,
        fields={**FORM.fields, "customers.birthday": forms.Field("x", "birthday", ("loyalty",))},
    )
    ready = forms.ready(asked, NOTICE, Inventory.default().fields)
    late = NOW.replace(hour=22)

    assert accept({**ANA, "customers.birthday": date(2026, 11, 24)}, ready, now=late)
    with pytest.raises(Refused, match="in the future"):
        accept({**ANA, "customers.birthday": date(2026, 11, 25)}, ready, now=late)


def test_nothing_is_printed():
    """A sign-up left as the last line of a lesson is not saved in it."""
    assert repr(accept({"customers.first_name": "Ana", "join": "on"})) == "Accepted(notes=())"


names = st.text(max_size=20) | st.sampled_from(
    ["Robert'); DROP TABLE customers;--", "=cmd|' /C calc'!A0", "\u202eAna", "\u0639\u0644\u06cc",
     CARD]
)  # fmt: skip


@settings(deadline=None)  # a busy machine is no failure
@given(first=names, last=names, email=st.emails(), tick=st.sampled_from(["on", "", None, True]))
def test_what_was_taken_is_taken_again(first, last, email, tick):
    """A row that is read back and saved again does not change, nor does any answer crash."""
    answers = {
        "customers.first_name": first,
        "customers.last_name": last,
        "customers.email": email,
        "join": True,
        "offers_by_email": tick,
    }
    try:
        taken = accept(answers)
    except Refused:
        return

    again = accept({**taken.row, "join": True, "offers_by_email": tick})
    assert again.row == taken.row
    assert again.notes == tuple(n for n in taken.notes if "formula" in n.why)
    assert collect.digest(again.receipt) == collect.digest(taken.receipt)
