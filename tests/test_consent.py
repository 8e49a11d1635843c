"""What a customer agreed to can be told for any moment, whatever order the events came in."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import consent, generate, people, trade
from kit.consent import BadEvent, BadProof, ConsentError, Event, State

UNHURRIED = settings(deadline=None)  # a busy machine is no failure
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def day(number):
    """Return noon, so many days after the start."""
    return START + timedelta(days=number)


def event(what, at, number=None, **more):
    """Return an event of customer 1 about offers by e-mail."""
    number = number or f"con_{what}_{at}"
    plain = {"channel": "email", "purpose": "marketing", "wording": "2026-01", "source": "website"}
    return Event(number, "cus_1", event=what, happened_at=day(at), **{**plain, **more})


HISTORY = [
    event("given", 0),
    event("confirmed", 1),
    event("withdrawn", 10),
    event("given", 20),
    event("confirmed", 21),
]


@pytest.mark.parametrize(
    ("at", "status"),
    [
        (-1, "none"),
        (0, "given"),
        (0.5, "given"),
        (1, "confirmed"),
        (9.9, "confirmed"),
        (10, "withdrawn"),
        (19.9, "withdrawn"),
        (20, "given"),
        (21, "confirmed"),
        (9_999, "confirmed"),
    ],
)
def test_what_holds_at_any_moment(at, status):
    """A regulator asks what held on the day of the mailing, not what holds today."""
    now = consent.state(HISTORY, at=day(at))

    assert now.status == status
    assert now.yes == (status in ("given", "confirmed"))
    assert now.confirmed == (status == "confirmed")


def test_a_state_names_the_event_that_decided():
    """From the answer one gets to the proof."""
    now = consent.state(HISTORY, at=day(15))

    assert (now.consent_id, now.since, now.until) == ("con_withdrawn_10", day(10), None)


@pytest.mark.parametrize(
    ("events", "status"),
    [
        pytest.param([event("given", 5), event("withdrawn", 5)], "withdrawn", id="same moment"),
        pytest.param([event("confirmed", 5), event("withdrawn", 5)], "withdrawn", id="likewise"),
        pytest.param([event("given", 5), event("expired", 5)], "expired", id="expired likewise"),
        pytest.param([event("expired", 5), event("withdrawn", 5)], "withdrawn", id="no wins"),
        pytest.param([event("withdrawn", 5)], "withdrawn", id="a no without a yes"),
        pytest.param([event("withdrawn", 5), event("expired", 6)], "withdrawn", id="a no stays"),
        pytest.param([event("confirmed", 5)], "none", id="confirmed without given"),
        pytest.param([event("given", 1), event("withdrawn", 2), event("confirmed", 3)],
                     "withdrawn", id="the link is pressed after the no"),
        pytest.param([event("given", 1), event("confirmed", 1)], "confirmed", id="at the till"),
        pytest.param([event("given", 1), event("confirmed", 2), event("given", 3)],
                     "confirmed", id="a second yes asks for nothing new"),
        pytest.param([event("given", 1), event("withdrawn", 2), event("given", 3)],
                     "given", id="a yes after a no is not confirmed yet"),
        pytest.param([event("stated", 1)], "stated", id="another system says so"),
        pytest.param([event("withdrawn", 1), event("stated", 2)],
                     "withdrawn", id="another system cannot undo a no"),
        pytest.param([event("given", 1), event("stated", 2)], "given", id="nor weaken a yes"),
        pytest.param([event("stated", 1), event("given", 2)], "given", id="our own yes is better"),
        pytest.param([event("stated", 1), event("expired", 2)], "stated", id="only a yes expires"),
    ],
)  # fmt: skip
def test_withdrawal_wins(events, status):
    """A customer who said no gets no offer, however the events were written down."""
    assert consent.state(events, at=day(100)).status == status
    assert consent.state(reversed(events), at=day(100)).status == status


def test_a_second_yes_does_not_change_since_when():
    """Since when, and until when: the first is the oldest day, the second counts from the last."""
    events = [event("given", 0), event("given", 3), event("given", 5)]

    now = consent.state(events, at=day(6), lasts_days=10)

    assert (now.since, now.until) == (day(0), day(15))


def test_a_yes_runs_out():
    """Two years on, nobody remembers having said yes."""
    events = [event("given", 0), event("confirmed", 1)]

    assert consent.state(events, at=day(730.9), lasts_days=730).status == "confirmed"
    out = consent.state(events, at=day(731), lasts_days=730)
    assert (out.status, out.since, out.consent_id) == ("expired", day(731), "con_confirmed_1")
    assert consent.state(events, at=day(9_999)).status == "confirmed"
    again = [*events, event("given", 800)]
    assert consent.state(again, at=day(801), lasts_days=730).status == "given"


def test_what_ran_out_is_written_down_once():
    """The event can be added twice; its number and its time are the same."""
    events = [event("given", 0), event("confirmed", 1), event("given", 9, purpose="loyalty")]
    lasts = {"marketing": 30, "loyalty": 0}

    (expired,) = consent.run_out(events, at=day(40), lasts_days=lasts)

    assert (expired.event, expired.happened_at, expired.source) == ("expired", day(31), "clock")
    assert expired.consent_id == "con_confirmed_1.expired"
    assert consent.run_out(events, at=day(50), lasts_days=lasts) == [expired]
    assert consent.run_out([*events, expired], at=day(50), lasts_days=lasts) == []
    assert consent.state([*events[:2], expired], at=day(40)).status == "expired"


moments = st.integers(0, 6)  # few, so that many fall together
histories = st.lists(
    st.builds(
        lambda what, at, n: event(what, at, f"con_{what}_{at}_{n}"),
        st.sampled_from(consent.EVENTS), moments, st.integers(0, 2),
    ),
    max_size=8,
)  # fmt: skip


@UNHURRIED
@given(histories.flatmap(lambda h: st.tuples(st.just(h), st.permutations(h))), moments,
       st.integers(0, 4))  # fmt: skip
def test_order_makes_no_difference(both, at, lasts):
    """Tills that were offline deliver their events late, and some twice."""
    events, mixed = both
    now = consent.state(events, at=day(at), lasts_days=lasts)

    assert consent.state(mixed, at=day(at), lasts_days=lasts) == now
    assert consent.state(mixed + events, at=day(at), lasts_days=lasts) == now


@UNHURRIED
@given(histories, histories, moments, st.integers(0, 4))
def test_the_past_does_not_change(events, later, at, lasts):
    """What held at a moment still held then, whatever happens afterwards."""
    after = [replace(e, happened_at=e.happened_at + timedelta(days=at + 0.5)) for e in later]

    assert consent.state(events + after, at=day(at), lasts_days=lasts) == consent.state(
        events, at=day(at), lasts_days=lasts
    )


@UNHURRIED
@given(histories, moments, moments, st.integers(0, 4))
def test_a_no_wins_over_all_before_it(events, no, at, lasts):
    """No set of events of that moment or before makes a yes out of a no."""
    before = [e for e in events if e.happened_at <= day(no)]

    now = consent.state([*before, event("withdrawn", no)], at=day(max(at, no)), lasts_days=lasts)

    assert now.status == "withdrawn"


@UNHURRIED
@given(histories, moments)
def test_a_no_makes_no_yes(events, at):
    """One more no never lets an offer out that was not allowed before."""
    for no in range(7):
        if consent.state([*events, event("withdrawn", no)], at=day(at)).yes:
            assert consent.state(events, at=day(at)).yes


@UNHURRIED
@given(histories, moments, st.integers(1, 4))
def test_time_alone_only_takes_away(events, at, lasts):
    """With no new event a yes may run out; it never comes back, and never gets stronger."""
    order = ("expired", "given", "confirmed")
    after = [
        consent.state([e for e in events if e.happened_at <= day(at)], at=day(t), lasts_days=lasts)
        for t in range(at, 14)
    ]
    strength = [order.index(now.status) if now.status in order else -1 for now in after]

    assert strength == sorted(strength, reverse=True)


def test_states_of_everybody():
    """Each customer, channel and purpose stands alone."""
    events = [event("given", 0), event("given", 0, channel="sms"), event("withdrawn", 1)]
    events.append(replace(event("given", 0, "con_other"), customer_id="cus_2"))

    found = consent.states(events, at=day(400), lasts_days={"marketing": 365})

    assert {key[:2]: now.status for key, now in found.items()} == {
        ("cus_1", "email"): "withdrawn",
        ("cus_1", "sms"): "expired",
        ("cus_2", "email"): "expired",
    }
    with pytest.raises(BadEvent, match="several customers"):
        consent.state(events, at=day(1))


def test_the_made_up_shop_agrees():
    """The flag in table customers says what the events in table consents say."""
    parts = (people.People, trade.Trade)
    made = generate.Shop(300, parts=parts, seed=42, locale="en_US")
    rows = pa.Table.from_batches(list(made.batches("consents"))).to_pylist()
    customers = pa.Table.from_batches(list(made.batches("customers"))).to_pylist()

    now = consent.states(map(Event.from_row, rows), at=datetime(2100, 1, 1, tzinfo=UTC))

    yes = {key[0] for key, state in now.items() if key[1] == "email" and state.confirmed}
    assert yes == {row["customer_id"] for row in customers if row["accepts_email"]}
    assert len(yes) > 10


def test_a_row_comes_back():
    """The database gives back what was added; columns of others are left."""
    one = event("given", 0, notice_sha256="ab" * 32, proof='{"asked_by":"emp_1"}')

    assert Event.from_row({**one.row(), "kit_extra": 1}) == one
    assert "asked_by" not in repr(one)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"event": "opened"}, "no such event; it is one of: stated, given", id="event"),
        pytest.param({"consent_id": ""}, "needs its number", id="no number"),
        pytest.param({"customer_id": ""}, "needs its number", id="no customer"),
        pytest.param({"channel": ""}, "needs its number", id="no channel"),
        pytest.param({"purpose": ""}, "needs its number", id="no purpose"),
        pytest.param({"happened_at": datetime(2026, 1, 1)}, "no time with a zone", id="no zone"),  # noqa: DTZ001
        pytest.param({"happened_at": "2026-01-01"}, "no time with a zone", id="text"),
    ],
)
def test_refuses_events(change, says):
    """An event that says too little never gets into the fold."""
    with pytest.raises(BadEvent, match=says) as caught:
        Event.from_row({**event("given", 0).row(), **change})

    assert isinstance(caught.value, ConsentError)


def test_refuses_rows_and_moments():
    """A row read by halves and a moment without a zone are named."""
    with pytest.raises(BadEvent, match="a row lacks event, happened_at; read the whole table"):
        Event.from_row({"consent_id": "con_1", "customer_id": "cus_1"})
    with pytest.raises(BadEvent, match="needs its number"):
        Event.from_row(
            {"consent_id": "c", "customer_id": "cus_1", "event": "given", "happened_at": START}
        )
    with pytest.raises(BadEvent, match="at is no time with a zone"):
        consent.state([], at=datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_next_event_keeps_what_it_is_about():
    """A confirmation points to the same text as the yes; a no carries the proof of the till."""
    first = event("given", 0, notice_sha256="ab" * 32, form="loyalty_signup, version 1")

    no = consent.follow(first, "withdrawn", consent_id="con_2", source="till", now=day(3),
                        proof=consent.till_proof("emp_7"))  # fmt: skip

    assert (no.key, no.wording, no.notice_sha256) == (first.key, "2026-01", "ab" * 32)
    assert json.loads(no.proof) == {"kind": "till", "asked_by": "emp_7"}
    assert consent.state([first, no], at=day(3)).status == "withdrawn"
    yes = consent.follow(first, "confirmed", consent_id="con_3", source="website", now=day(1))
    assert yes.proof is None


def test_what_another_system_says():
    """An imported yes is no proof, an imported no is heeded, and silence is nothing."""
    key = ("cus_{}", "email", "marketing")
    known = {2: "given", 3: "confirmed", 4: "withdrawn", 5: "stated", 6: "expired", 7: "stated"}
    current = {(key[0].format(n), *key[1:]): State(status) for n, status in known.items()}
    said = [("cus_1", True), ("cus_2", False), ("cus_3", True), ("cus_4", True), ("cus_5", True),
            ("cus_6", True), ("cus_7", False), ("cus_8", False), ("cus_9", None)]  # fmt: skip

    made = consent.stated(said, current=current, channel="email", purpose="marketing",
                          vendor="square", now=day(0))  # fmt: skip

    assert [(e.customer_id, e.event) for e in made] == [
        ("cus_1", "stated"),
        ("cus_2", "withdrawn"),
        ("cus_7", "withdrawn"),
    ]
    assert made[0].consent_id == "square.20260101.cus_1.email.marketing"
    assert made[0].source == "as stated by square"
    assert (made[0].notice_sha256, made[0].wording) == (None, None)
    after = {**current, **consent.states(made, at=day(0))}
    assert not consent.stated(said, current=after, channel="email", purpose="marketing",
                              vendor="square", now=day(1))  # fmt: skip


def test_proof_of_the_till_and_of_paper():
    """Who asked, which sheet, and a hash that only this scan has."""
    assert consent.till_proof(" emp_7 ") == {"kind": "till", "asked_by": "emp_7"}
    assert consent.paper_proof("emp_7", paper_number="A-0012", scan=b"a scan") == {
        "kind": "paper",
        "asked_by": "emp_7",
        "paper_number": "A-0012",
        "scan_sha256": sha256(b"a scan").hexdigest(),
    }
    assert consent.paper_proof("emp_7", paper_number="A-0012")["scan_sha256"] == ""
    assert consent.paper_proof("emp_7", scan=b"a scan")["paper_number"] == ""
    with pytest.raises(BadProof, match="says who asked"):
        consent.till_proof(" ")
    with pytest.raises(BadProof, match="which paper was it"):
        consent.paper_proof("emp_7", paper_number=" ")


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ([("Sec-GPC", "1")], True),
        ([("sec-gpc", "1")], True),
        ([(b"SEC-GPC", b"1")], True),
        ([("Sec-GPC", "0"), ("Sec-GPC", "1")], True),
        ([("Host", "example.com"), ("Sec-GPC", "1")], True),
        ([], False),
        ([("Sec-GPC", "0")], False),
        ([("Sec-GPC", "")], False),
        ([("Sec-GPC", "true")], False),
        ([("Sec-GPC", "01")], False),
        ([("Sec-GPC", "1;a=b")], False),
        ([("Sec-GPC", "1, 1")], False),
        ([("Sec-GPC", "\uff11")], False),
        ([("Sec-GPC", "1 ")], False),
        ([(b"Sec-GPC", b"\xb9")], False),
        ([("Sec-GPC-Extra", "1")], False),
        ([("DNT", "1")], False),
    ],
)
def test_the_signal_of_a_browser(headers, answer):
    """Exactly 1 counts, and one of several headers is enough; nothing else does."""
    assert consent.asks_not_to_share(headers) is answer


@UNHURRIED
@given(st.lists(st.tuples(st.text() | st.binary(), st.text() | st.binary())))
def test_any_header_has_an_answer(headers):
    """No request, however broken, brings the shop's website down."""
    assert consent.asks_not_to_share([*headers, ("Sec-GPC", "1")])
    assert consent.asks_not_to_share(headers) in (True, False)


def test_the_signal_of_a_known_customer_is_kept():
    """Who is logged in says no once, for the till too."""
    no = consent.signal("cus_1", consent_id="con_9", now=day(0))

    assert consent.state([no], at=day(1)).status == "withdrawn"
    assert no.key == ("cus_1", "any", "sale or sharing")
    assert json.loads(consent.gpc_file(date(2026, 11, 24))) == {
        "gpc": True,
        "lastUpdate": "2026-11-24",
    }
