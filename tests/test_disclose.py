"""A customer asks: the shop knows by when to answer, who asks, and what comes next."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from asked_shop import (
    ASKED,
    LAWS,
    ME,
    answers,
    buyer,
    change,
    open_request,
    put,
    request,
    verified,
    verify,
)
from real_shop import NOW, content, filled, sound

from kit import asking, audit, clocks, disclose, grounds, identity, request_book, request_state
from kit.shop import NotAllowed

MARCH = datetime.fromisoformat("2026-03-02T10:00:00-05:00")  # E1 of the worked examples


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request, tmp_path):
    """Return a shop with a week of sales, on either database."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres")
    with filled(tmp_path / "shop", url) as made:
        yield made


@pytest.fixture
def lite(tmp_path):
    """Return one on SQLite."""
    with filled(tmp_path / "shop") as made:
        yield made


def actions(shop, subject):
    """Return what the log tells about a customer."""
    with shop.reading() as connection:
        found = audit.entries(connection, subject=shop.log.subject(subject))
        return [(entry["actor"], entry["action"]) for entry in found]


def test_a_request_is_taken_in_with_its_dates(shop):
    """By anybody on the staff; dates run from when it came, not from when it was typed in."""
    ana = buyer(shop)
    given = {**ASKED, "received": MARCH, "actor": "sam", "now": NOW}
    opened = disclose.open_request(shop, ana["email"].upper(), "know", **given)
    found = opened.request

    assert opened.found
    assert found.regime == "voluntary"
    assert opened.coverage.answer == "unknown"
    dates = {one.duty: (one.due, one.send_by, one.latest) for one in found.deadlines}
    assert dates == {
        "confirm_receipt": (date(2026, 3, 16),) * 3,
        "respond": (date(2026, 4, 16),) * 3,
    }
    assert any("2026-04-15" in doubt for doubt in found.deadline("respond").doubts)
    (row,) = content(shop)["privacy_requests"]
    assert (row["customer_id"], row["status"], row["kind"]) == (ana["customer_id"], "open", "know")
    assert actions(shop, ana["customer_id"]) == [("sam", "add")]
    assert found.request_id in [r.request_id for r in disclose.listed(shop)]
    sound(shop)


def test_the_book_knows_nobody(lite):
    """Neither address nor number of the customer is in it, only a keyed hash."""
    ana = buyer(lite)
    verified(lite, ana["email"])
    with lite.reading() as connection:
        text = str(list(request_book.events(connection)))

    for value in ("email", "phone", "last_name", "customer_id"):
        assert ana[value] not in text


@pytest.mark.parametrize(
    ("business", "place", "regime", "answer", "row"),
    [
        ({"revenue_usd": 30_000_000}, "US-CA", "us-ca-ccpa", "yes", "us-ca-ccpa.respond"),
        ({}, "US-CA", "voluntary", "unknown", "us-ca-ccpa.respond"),
        ({"sba_small": True}, "US-TX", "voluntary", "no", "us-ca-ccpa.respond"),
        ({}, "DE", "eu-gdpr", "yes", "eu-gdpr.access"),
        ({}, "US-AK", "voluntary", None, "us-ca-ccpa.respond"),
        ({}, "unknown", "voluntary", None, "us-ca-ccpa.respond"),
        ({}, "US-IA", "voluntary", "unknown", "us-ia-privacy.respond"),
    ],
)
def test_no_law_is_claimed_that_does_not_bind(lite, business, place, regime, answer, row):
    """Where it is not sure, the shop answers of its own will and keeps the stricter dates."""
    lite.settings = replace(lite.settings, business=business)
    opened = disclose.open_request(
        lite, buyer(lite)["email"], "know", **{**ASKED, **ME, "place": place}
    )

    assert opened.request.regime == regime
    assert (opened.coverage and opened.coverage.answer) == answer
    assert opened.request.deadline("respond").row == row


def test_where_a_customer_lives_is_read_from_the_address(lite):
    """By name or by code; nobody guesses."""
    ana = buyer(lite)["customer_id"]
    (home,) = [r for r in content(lite)["addresses"] if r["customer_id"] == ana]
    cases = [("Colorado", "United States", "US-CO"), ("co", None, "US-CO"), ("??", "US", "unknown"),
             (None, "DE", "DE"), (None, "Elsewhere", "unknown")]  # fmt: skip
    for region, country, place in cases:
        change(lite, "addresses", home["address_id"], region=region, country=country)
        with lite.reading() as connection:
            assert grounds.residence(lite, connection, ana) == place
    with lite.reading() as connection:
        assert grounds.residence(lite, connection, "nobody") == "unknown"
    number = open_request(lite, buyer(lite)["email"], place="")
    assert request(lite, number).jurisdiction == "unknown"


@pytest.mark.parametrize(
    ("said", "place"),
    [("US-CA", "US-CA"), ("us-ca", "US-CA"), (" California ", "US-CA"), ("de", "DE"), ("UK", "GB"),
     ("unknown", "unknown"), ("US-ZZ", ""), ("US", ""), ("Californai", ""), ("C4", "")],
)  # fmt: skip
def test_a_misspelled_place_gets_no_other_laws_dates(lite, said, place):
    """A covered shop would answer a Californian "of its own will"; the owner is told instead."""
    if place:
        assert request(lite, open_request(lite, "x@example.com", place=said)).jurisdiction == place
    else:
        with pytest.raises(disclose.NotYet, match="US-CA or California"):
            open_request(lite, "x@example.com", place=said)
        assert disclose.listed(lite) == []


def test_a_place_that_may_be_another_is_told_so():
    """CA is Canada; nobody reads that out of two letters."""
    assert grounds.told("CA") == "CA, the country; California is US-CA"
    assert grounds.told("FR") == "FR"
    assert "--place" in grounds.told("unknown")


def test_a_request_ends_in_words_that_are_known(lite):
    """And a refusal has its ground: the law asks for it."""
    number = open_request(lite, buyer(lite)["email"])
    for because in ("acknowledged", "checked", "done"):
        with pytest.raises(disclose.WrongKind, match="revoked"):
            disclose.close(lite, number, because, **ME)
    with pytest.raises(disclose.NotYet, match="--basis"):
        disclose.close(lite, number, "other", basis=" ", **ME)

    assert request(lite, number).acknowledged_at is None
    done = disclose.close(lite, number, "other", basis="Cal. Civ. Code 1798.105(d)", **ME)
    assert done.basis == "Cal. Civ. Code 1798.105(d)"


def test_who_wrote_down_no_company_is_told_what_follows(lite):
    """Else customers read "nobody", and the till's maker is never told to delete."""
    text = disclose.alone(lite)
    (lite.folder / "vendors.toml").write_text(text.partition("first:\n")[2].partition("If no")[0])

    assert [one.name for one in disclose.companies(lite)] == ["Parcel Co"]
    assert disclose.alone(lite) == ""


def test_opting_out_has_its_own_date_and_no_check(lite):
    """Fifteen working days, and nobody is asked who they are."""
    number = open_request(lite, buyer(lite)["email"], "opt_out", received=MARCH)

    assert [one.duty for one in request(lite, number).deadlines] == ["stop_sale"]
    assert request(lite, number).deadline("stop_sale").due == date(2026, 3, 23)
    assert asking.questions(lite, number, laws=LAWS, **ME) == []
    assert verify(lite, number, {}, declaration="").verified
    assert request(lite, number).outcome == "not needed"
    assert "answer" in disclose.next_step(request(lite, number)).command


def test_who_knows_enough_is_verified_and_nothing_of_it_is_kept(shop):
    """The method and the outcome stay; the answers, and papers that were scanned, do not."""
    number = open_request(shop, buyer(shop)["email"])
    paper = shop.folder / "requests" / number / "evidence" / "scan.pdf"
    paper.parent.mkdir(parents=True)
    paper.write_bytes(b"scan")
    said = answers(shop, number)
    assert request(shop, number).reason == "need_user_verification"
    assert len(said) == 3
    assert "email" not in said
    outcome = verify(shop, number, said)

    found = request(shop, number)
    assert outcome.verified
    assert (found.outcome, found.method) == ("verified", "3 answers and a signed declaration")
    assert found.kept == {"declaration": "binder 3, sheet 7"}
    assert found.acknowledged_at == NOW
    assert not paper.exists()
    with shop.reading() as connection:
        book = str(list(request_book.events(connection)))
    assert not any(value in book for value in said.values())
    sound(shop)


def test_somebody_else_asks_in_her_name(lite):
    """Three attempts, the same words each time, and the request is refused."""
    number = open_request(lite, buyer(lite)["email"])
    said = answers(lite, number)
    messages = set()
    for wrong in said:
        outcome = verify(lite, number, answers(lite, number, wrong=[wrong]))
        assert not outcome.verified
        messages.add(outcome.message.partition(";")[0])
    assert messages == {identity.SORRY}
    with pytest.raises(identity.TooMany):
        verify(lite, number, said)
    step = disclose.next_step(request(lite, number))
    assert step.command.endswith(' --basis "no proof" --because insuf_verification')
    disclose.close(lite, number, "insuf_verification", basis="us-ca-ccpa.fallback", **ME)
    found = request(lite, number)
    assert (found.status, found.reason) == ("denied", "insuf_verification")
    again = disclose.open_request(lite, buyer(lite)["email"], "know", **ASKED, **ME)
    assert again.often == f"{found.attempts} checks of who asks have failed before; look twice"
    assert disclose.open_request(lite, "nobody@example.com", "know", **ASKED, **ME).often == ""


def test_a_stranger_is_asked_as_a_customer_would_be(lite):
    """Nobody learns from the questions or the answer whether somebody shops here."""
    number = open_request(lite, "nobody@example.com")
    opened = request(lite, number)
    said = answers(lite, number)
    outcome = verify(lite, number, said)

    assert opened.deadline("respond") is not None
    assert opened.subject == ""
    assert set(said) == set(answers(lite, open_request(lite, buyer(lite)["email"])))
    assert outcome.message == f"{identity.SORRY}; 2 more attempts"


def test_a_family_with_one_address_is_told_apart(lite):
    """Two customers share an e-mail address and a telephone: somebody has to say which."""
    ana = buyer(lite)
    twin = {"customer_id": "twin", "first_name": "Ben", "last_name": ana["last_name"]}
    put(lite, "customers", {**twin, "email": ana["email"], "phone": ana["phone"]})
    with pytest.raises(disclose.Several, match="2 customers share") as caught:
        open_request(lite, ana["email"])
    assert ana["email"] not in str(caught.value)
    assert disclose.listed(lite) == []
    number = open_request(lite, ana["email"], customer=ana["customer_id"])
    with lite.reading() as connection:
        known = asking.held(lite, connection, ana["customer_id"])

    assert request(lite, number).subject == lite.log.subject(ana["customer_id"])
    assert known["phone"] is None
    assert known["email"] is None


def test_all_that_is_held_needs_a_declaration(lite):
    """Or the customer settles for the kinds of data; the attempt is not lost by asking."""
    number = open_request(lite, buyer(lite)["email"])
    said = answers(lite, number)
    with pytest.raises(disclose.NotYet, match="settle for the kinds"):
        verify(lite, number, said, declaration="")
    assert request(lite, number).attempts == 0
    verify(lite, number, said, declaration="", settle=True)
    found = request(lite, number)

    assert found.kinds == ("categories",)
    assert found.reassessed_from == ("know",)
    assert found.outcome == "verified"


def test_who_knows_less_gets_less_after_the_last_attempt(lite):
    """Looked at again as a request for the kinds of data, and that is written down."""
    number = open_request(lite, buyer(lite)["email"])
    said = answers(lite, number)
    two = dict(list(said.items())[:2])
    for _ in range(identity.MOST_FAILED):
        assert request(lite, number).kinds == ("know",)
        verify(lite, number, two)

    assert request(lite, number).kinds == ("categories",)
    assert request(lite, number).outcome == "verified"


def test_an_agent_needs_a_permission(lite):
    """And the customer is asked all the same, unless it is a power of attorney."""
    number = open_request(lite, buyer(lite)["email"], agent="lawyer", channel="agent")
    said = answers(lite, number)
    with pytest.raises(disclose.NotYet, match="what the customer signed"):
        verify(lite, number, said)
    wrong = answers(lite, number, wrong=list(said)[:1])
    assert not verify(lite, number, wrong, permission="paper 1").verified
    outcome = verify(lite, number, {}, permission="paper 1", power_of_attorney=True)

    assert outcome.method == "power of attorney"
    assert request(lite, number).kept["permission"] == "paper 1"


def test_an_account_holder_signs_in(lite):
    """That is enough, and needs no declaration."""
    number = open_request(lite, buyer(lite)["email"])
    assert verify(lite, number, None, declaration="").verified
    stranger = open_request(lite, "nobody@example.com")
    assert not verify(lite, stranger, None, declaration="").verified


def test_more_time_is_asked_for_in_time(lite):
    """Ninety days from receipt; the worked example of California to the day."""
    given = {"received": MARCH, "now": MARCH}
    number = open_request(lite, buyer(lite)["email"], **given)
    notice = MARCH + timedelta(days=45)
    later = {"laws": LAWS, "actor": "max", "now": notice + timedelta(days=1)}
    with pytest.raises((request_state.TooLate, clocks.NotExtended), match="2026-04-16"):
        disclose.extend(lite, number, reason="many", noticed=notice + timedelta(days=1), **later)
    found = disclose.extend(lite, number, reason="many requests", noticed=notice, **later)

    longer = found.deadline("respond")
    assert (longer.due, longer.send_by, longer.latest) == (
        date(2026, 5, 31), date(2026, 5, 29), date(2026, 6, 1),
    )  # fmt: skip
    with pytest.raises(request_state.NotNow):
        disclose.extend(lite, number, reason="again", noticed=notice, **later)


def test_the_third_request_in_a_year_is_flagged(lite):
    """It is answered all the same unless the owner decides otherwise; the rule is told."""
    ana = buyer(lite)["email"]
    often = []
    for days in (400, 60, 30, 0):
        received = NOW - timedelta(days=days)
        opened = disclose.open_request(lite, ana, "know", **{**ASKED, **ME, "received": received})
        often.append(opened.often)

    assert often[:3] == ["", "", ""]
    assert "2 times in 12 months" in often[3]


@pytest.mark.parametrize("actor", ["sam", "mia", "tom"])
def test_only_owner_and_manager_decide(lite, actor):
    """A cashier takes a request in; whoever tries more is told, and so is the log."""
    number = open_request(lite, buyer(lite)["email"], actor=actor)
    for call in (
        lambda who: asking.questions(lite, number, laws=LAWS, **who),
        lambda who: disclose.close(lite, number, "revoked", **who),
        lambda who: disclose.purge(lite, laws=LAWS, **who),
    ):
        with pytest.raises(NotAllowed, match="It was noted"):
            call({"actor": actor, "now": NOW})
    with lite.reading() as connection:
        tried = [e["action"] for e in audit.entries(connection, actor=actor)]
    assert tried == ["add"] + ["refused:disclose"] * 3


def test_what_comes_next_is_always_known(lite):
    """From the first day to the last, with a command and a date."""
    number = open_request(lite, buyer(lite)["email"], received=MARCH)
    step = disclose.next_step(request(lite, number))
    assert (step.by, step.command) == (date(2026, 3, 16), f"kit request verify {number}")
    disclose.acknowledge(lite, number, **ME)
    assert disclose.next_step(request(lite, number)).by == date(2026, 4, 16)
    verify(lite, number, answers(lite, number))
    assert disclose.next_step(request(lite, number)).command == f"kit request answer {number}"
    disclose.close(lite, number, "revoked", **ME)
    assert disclose.next_step(request(lite, number)).command == ""
    assert disclose.listed(lite) == []
    assert len(disclose.listed(lite, open_only=False)) == 1


def test_records_go_when_their_time_is_over(shop):
    """After two years, as the rule says; with their files; open ones stay."""
    number = open_request(shop, buyer(shop)["email"])
    other = open_request(shop, "nobody@example.com")
    disclose.close(shop, number, "revoked", **ME)
    folder = shop.folder / "requests" / number
    folder.mkdir()
    (folder / "report.json").write_text("{}")
    almost = NOW.replace(year=NOW.year + 2)
    assert disclose.purge(shop, laws=LAWS, actor="owner", now=almost) == []
    gone = disclose.purge(shop, laws=LAWS, actor="owner", now=almost + timedelta(days=1))

    assert gone == [number]
    assert not folder.exists()
    assert [r.request_id for r in disclose.listed(shop, open_only=False)] == [other]
    assert [r["request_id"] for r in content(shop)["privacy_requests"]] == [other]
    sound(shop)


def test_before_the_first_request_there_is_none(shop):
    """A shop that was never asked anything has no book yet, and says so plainly."""
    with pytest.raises(request_state.NoSuchRequest, match="no such request"):
        request(shop, "req-1")
    assert disclose.listed(shop) == []
    assert disclose.purge(shop, laws=LAWS, **ME) == []


def test_nothing_is_half_written(lite):
    """A log that cannot be written keeps the book from saying so."""
    number = open_request(lite, buyer(lite)["email"])
    with lite.engine.connect() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER stop BEFORE INSERT ON kit_audit BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        connection.commit()
    before = request(lite, number), content(lite)["privacy_requests"]
    with pytest.raises(Exception, match="no|refused|allow"):
        disclose.close(lite, number, "revoked", **ME)

    assert (request(lite, number), content(lite)["privacy_requests"]) == before


@pytest.mark.parametrize(
    ("change_", "error"),
    [
        pytest.param({"received": NOW.replace(tzinfo=None)}, Exception, id="no zone"),
        pytest.param({"received": NOW + timedelta(hours=1)}, request_state.BadEvent, id="future"),
        pytest.param({"channel": "pigeon"}, request_state.BadEvent, id="channel"),
        pytest.param({"kind": "everything"}, request_state.BadEvent, id="kind"),
        pytest.param({"agent": "ben@example.org"}, request_state.BadEvent, id="agent's address"),
    ],
)
def test_refuses(lite, change_, error):
    """A faulty entry is refused, and nothing of it is stored."""
    given = {**ASKED, **ME, "kind": "know", **change_}
    with pytest.raises(error) as caught:
        disclose.open_request(lite, buyer(lite)["email"], given.pop("kind"), **given)

    assert "example.org" not in str(caught.value)
    assert disclose.listed(lite) == []
    assert content(lite)["privacy_requests"] == []
