"""Nobody gets a customer's data by knowing an e-mail address; nobody is asked for a passport."""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import identity
from kit.identity import (
    MOST_FAILED,
    POINTS,
    IdentityError,
    Need,
    NotEnough,
    OverAsking,
    TooMany,
    by_account,
    for_agent,
    forget,
    judge,
    may_ask,
    questions,
)

CATEGORIES = Need(2, "us-ca-ccpa.verify.categories")
SPECIFIC = Need(3, "us-ca-ccpa.verify.specific", declaration=True)
OPT_OUT = Need(0, "us-ca-ccpa.optout.noverify")
ANA = {
    "points": 1250,
    "bought": ["Sourdough loaf, 800 g", "Café au lait"],
    "joined": date(2024, 5, 3),
    "postcode": "10001",
    "phone": "+12125550142",
    "email": "ana@example.com",
}
RIGHT = {
    "points": "1,250 points",
    "bought": "a sourdough",
    "joined": "May 2024",
    "postcode": "10001",
    "phone": "(212) 555-0142",
    "email": "Ana@Example.com ",
}
WRONG = {
    "points": "1,251",
    "bought": "croissant",
    "joined": "June 2024",
    "postcode": "10002",
    "phone": "212-555-0143",
    "email": "anna@example.com",
}


def check(answers, need=SPECIFIC, held=ANA, *, declaration=True, failed=0, **more):
    """Ask and judge."""
    asked = questions(held, need, used=["email"])
    given = {"asked": asked, "failed": failed, "declaration": declaration, **more}
    return judge(held, answers, need, **given)


def test_who_knows_enough_is_let_in():
    """Points, a product and the month of joining: nobody who found a receipt knows all three."""
    outcome = check(RIGHT)

    assert outcome.verified
    assert outcome.method == "3 answers and a signed declaration"
    assert not any(value in str(outcome) for value in ("1250", "sourdough", "2024", "555"))


def test_the_questions_are_few_and_the_strongest_first():
    """One more than must match, and not what found the record."""
    assert [p.name for p in questions(ANA, SPECIFIC, used=["email"])] == [
        "points", "bought", "joined", "postcode",
    ]  # fmt: skip
    assert [p.name for p in questions(ANA, CATEGORIES, disputed=["bought"])] == [
        "points", "joined", "postcode",
    ]  # fmt: skip
    assert questions(ANA, OPT_OUT) == []


def test_only_what_is_held_is_asked():
    """To ask for more would only collect more; nothing is asked of an empty field."""
    held = ANA | {"points": None, "bought": [], "postcode": ""}

    assert [p.name for p in questions(held, CATEGORIES)] == ["joined", "phone", "email"]


def test_what_the_family_knows_is_not_enough():
    """Telephone, address and e-mail are known to an angry ex, too."""
    held = {name: ANA[name] for name in ("postcode", "phone", "email")}
    with pytest.raises(NotEnough, match="known to nobody else"):
        questions(held, CATEGORIES)
    answers = {name: RIGHT[name] for name in ("postcode", "phone")}
    outcome = judge(ANA, answers, CATEGORIES, asked=POINTS.values(), failed=0)

    assert not outcome.verified


def test_the_shop_says_when_it_cannot_check_anybody():
    """Then the customer logs in, or gets the categories."""
    with pytest.raises(NotEnough, match="categories"):
        questions({"points": 3}, SPECIFIC)


@pytest.mark.parametrize("wrong", ["points", "bought", "joined", "postcode"])
def test_a_mismatch_is_never_told_by_field(wrong):
    """Else an impostor asks until each answer is right."""
    said = check(RIGHT | {wrong: WRONG[wrong]})

    assert not said.verified
    assert said == check(WRONG)
    assert said == check({})
    assert said == check(RIGHT | {wrong: WRONG[wrong]}, held=None)
    assert said.message == f"{identity.SORRY}; 2 more attempts"


def test_a_stranger_and_a_customer_are_asked_the_same():
    """The questions do not tell whether somebody shops here."""
    assert questions(None, SPECIFIC, used=["email"]) == questions(ANA, SPECIFIC, used=["email"])
    assert not check({name: "" for name in POINTS}, held=None).verified
    assert not check({name: "None" for name in POINTS}, held=None).verified


def test_people_may_forget_but_not_guess():
    """A blank costs nothing; one wrong answer beside three right ones fails."""
    assert check({name: RIGHT[name] for name in ("points", "bought", "joined")}).verified
    assert not check(RIGHT | {"postcode": "99999"}).verified
    assert not check({name: RIGHT[name] for name in ("points", "bought")}).verified


def test_attempts_are_few():
    """After the third a person decides."""
    messages = [check({}, failed=n).message for n in range(MOST_FAILED)]
    assert [m.rpartition("; ")[2] for m in messages] == [
        "2 more attempts", "1 more attempt", "0 more attempts",
    ]  # fmt: skip
    with pytest.raises(TooMany, match="close the request"):
        check(RIGHT, failed=MOST_FAILED)


def test_without_a_declaration_there_are_no_specific_pieces():
    """What is said then does not depend on the answers; the smaller answer may be possible."""
    right = check(RIGHT, declaration=False, less=CATEGORIES)
    wrong = check(WRONG, declaration=False, less=CATEGORIES)

    assert (right.verified, right.enough_for_less) == (False, True)
    assert (wrong.verified, wrong.enough_for_less) == (False, False)
    assert right.message == wrong.message


def test_who_knows_too_little_for_all_may_get_the_categories():
    """The law says so: what cannot be given in full is looked at again as categories."""
    two = {name: RIGHT[name] for name in ("points", "joined")}

    assert check(two, less=CATEGORIES).enough_for_less
    assert not check({"points": RIGHT["points"]}, less=CATEGORIES).enough_for_less
    assert not check(two | {"bought": "croissant"}, less=CATEGORIES).enough_for_less


def test_an_opt_out_is_checked_by_nobody():
    """Whoever finds the record may say no; to ask for proof is forbidden."""
    assert check({}, OPT_OUT, declaration=False).verified
    assert check({}, OPT_OUT, held=None).method == "nothing to check"
    with pytest.raises(OverAsking, match="nobody is checked"):
        may_ask(["points"], OPT_OUT, held=ANA)


@pytest.mark.parametrize(
    ("wanted", "disputed", "what"),
    [
        pytest.param(["government_id"], [], "government_id", id="ID card"),
        pytest.param(["passport"], [], "passport", id="passport"),
        pytest.param(["points", "fee"], [], "fee", id="a fee"),
        pytest.param(["notary"], [], "notary", id="a notary"),
        pytest.param(["ssn"], [], "ssn", id="social security number"),
        pytest.param(["photo"], [], "photo", id="a selfie"),
        pytest.param(["card_last4"], [], "card_last4", id="printed on receipts"),
        pytest.param(["name"], [], "name", id="a name"),
        pytest.param(["mothers_name"], [], "mothers_name", id="something new"),
        pytest.param(["phone"], ["phone"], "phone", id="the field under dispute"),
        pytest.param(["points", "joined", "phone", "email"], [], "email", id="too much"),
    ],
)
def test_refuses_to_ask(wanted, disputed, what):
    """A shop that asks too much is told what and why, before the customer is."""
    with pytest.raises(OverAsking) as caught:
        may_ask(wanted, CATEGORIES, held=ANA, disputed=disputed)

    assert isinstance(caught.value, IdentityError)
    assert caught.value.what == what
    assert not any(str(value) in str(caught.value) for value in ANA.values())


def test_what_is_asked_may_be_asked():
    """The kit's own questions keep its rules."""
    for need in (CATEGORIES, SPECIFIC):
        may_ask([p.name for p in questions(ANA, need)], need, held=ANA)


@pytest.mark.parametrize(
    ("name", "held", "said", "same"),
    [
        ("points", 1250, "1250", True),
        ("points", 1250, "about 1.250", True),
        ("points", 1250, "1250 or 1251", False),
        ("points", 0, "", False),
        ("points", 0, "0", True),
        ("points", 0, "none", False),
        ("joined", date(2024, 5, 3), "2024-05", True),
        ("joined", date(2024, 5, 3), "5/2024", True),
        ("joined", date(2024, 5, 3), "3 May 2024", True),
        ("joined", date(2024, 5, 3), "may", False),
        ("joined", date(2024, 5, 3), "2024", False),
        ("joined", date(2024, 5, 3), "May or June 2024", False),
        ("joined", date(2024, 5, 3), "May 2023 or 2024", False),
        ("phone", "+12125550142", "212 555 0142", True),
        ("phone", "+12125550142", "+1 (212) 555-0142", True),
        ("phone", "+12125550142", "555-0142", False),
        ("phone", "+12125550142", "", False),
        ("email", "ana@example.com", "ANA@EXAMPLE.COM", True),
        ("email", "", "", False),
        ("postcode", "SW1A 1AA", "sw1a1aa", True),
        ("postcode", "", " ", False),
        ("bought", ["Café au lait"], "cafe", True),
        ("bought", ["Café au lait"], "cafe latte", False),
        ("bought", ["Café au lait", "Tart"], "au", False),
        ("bought", ["Café au lait"], "", False),
        ("bought", [], "anything", False),
    ],
)
def test_answers_are_read_as_people_give_them(name, held, said, same):
    """Commas, capitals and accents are no lie; half an answer is none."""
    assert POINTS[name].same(held, said) is same


@given(name=st.sampled_from(sorted(POINTS)), said=st.text(max_size=40))
def test_no_answer_breaks_the_check(name, said):
    """Whatever is typed is right or wrong, never an error that tells something."""
    assert POINTS[name].same(ANA[name], said) in (True, False)


@given(st.dictionaries(st.sampled_from(sorted(POINTS)), st.text(max_size=9)))
def test_guesses_are_not_let_in(answers):
    """And the message is the same for all of them."""
    outcome = check(answers)

    assert outcome.verified is False
    assert outcome.message == check({}).message


def test_comparing_takes_as_long_whatever_differs():
    """Every comparison ends in one that takes constant time, of hashes under a fresh key."""
    assert "compare_digest" in inspect.getsource(identity._equal)
    for compare in (identity._same_text, identity._same_number, identity._same_phone,
                    identity._same_month, identity._one_of):  # fmt: skip
        body = inspect.getsource(compare)
        assert "_equal(" in body
        assert " == " not in body.replace("== 1", "")


def test_an_account_holder_signs_in_again():
    """An open session on a shop's tablet is not the customer."""
    assert by_account(signed_in=True, again=True).verified
    assert not by_account(signed_in=True, again=False).verified
    assert not by_account(signed_in=False, again=True).verified


def test_an_agent_brings_a_permission():
    """And the customer is checked all the same, unless a power of attorney says otherwise."""
    assert for_agent(SPECIFIC, permission=True) == SPECIFIC
    assert for_agent(SPECIFIC, permission=False, power_of_attorney=True) == replace(
        SPECIFIC, matches=0, declaration=False
    )
    with pytest.raises(NotEnough, match="customer signed"):
        for_agent(SPECIFIC, permission=False)


def test_evidence_is_deleted(tmp_path):
    """What proved something is gone after the decision; a link is not followed."""
    paper, kept = tmp_path / "permission.pdf", tmp_path / "kept.txt"
    paper.write_bytes(b"signed by Ana")
    kept.write_text("stays")
    link = tmp_path / "link"
    with suppress(OSError):  # Windows lets only some make links
        link.symlink_to(kept)

    assert forget([paper, link, tmp_path / "missing"]) == 1
    assert not paper.exists()
    assert kept.read_text() == "stays"
