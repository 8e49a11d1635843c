"""A request is never lost, never late without a word, and its record never tells who asked."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import request_state
from kit.request_state import (
    BadEvent,
    Deadline,
    NoSuchRequest,
    NotNow,
    RequestError,
    TooLate,
    extend,
    fold,
    fold_all,
    follow,
    receive,
)

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
NAIVE = NOW.replace(tzinfo=None)
ZONE = ZoneInfo("America/New_York")
WHO = "ab" * 32
HASH = "cd" * 32
FIRST = Deadline(
    "respond",
    "us-ca-ccpa.respond",
    date(2026, 4, 16),
    date(2026, 4, 16),
    date(2026, 4, 16),
    ("counted from the day received it is 2026-04-15",),
)
SECOND = Deadline("respond", "us-ca-ccpa.respond", date(2026, 5, 31), date(2026, 5, 29))
GOOD = {
    "received": NOW,
    "channel": "email",
    "kinds": ["know"],
    "jurisdiction": "US-CA",
    "regime": "us-ca-ccpa",
    "deadlines": [FIRST],
    "subject": WHO,
    "now": NOW,
}
DETAILS = {
    "acknowledged": {},
    "asked": {},
    "checked": {"method": "3 answers", "outcome": "verified", "kept": {"declaration": HASH}},
    "reassessed": {"kinds": ["categories"]},
    "noticed": {"what": "loyalty"},
    "told": {"vendor": "Parcel Co", "message": HASH, "chase_on": date(2026, 3, 20)},
    "confirmed": {"vendor": "Parcel Co", "receipt": HASH},
    "answered": {"nature": "access package", "sent": {"package.age": HASH}, "basis": ""},
    "handed_over": {},
    "denied": {"reason": "no_match", "basis": "nobody fits"},
    "revoked": {},
    "expired": {},
}


class Told:
    """A request as it grows."""

    def __init__(self, number="req-1", **change):
        self.number, self.events = number, []
        self.add("received", receive(**{**GOOD, **change}), NOW)

    def add(self, event, detail, at=NOW):
        """Write an event as a database would give it back."""
        detail = json.loads(json.dumps(detail))
        self.events.append({"request_id": self.number, "at": at, "event": event, "detail": detail})
        return self

    def then(self, event, at=NOW, **change):
        """Let something happen."""
        return self.add(event, follow(self.now, event, **{**DETAILS[event], **change}), at)

    @property
    def now(self):
        """Return where it stands."""
        return fold(self.events)


def test_a_request_from_the_letter_to_the_record():
    """Each step is seen, and at the end there are the six fields that the law asks for."""
    told = Told()
    assert (told.now.status, told.now.over, told.now.deadline("respond")) == ("open", False, FIRST)
    told.then("acknowledged", NOW + timedelta(days=1)).then("asked")
    assert (told.now.status, told.now.reason) == ("in_progress", "need_user_verification")
    told.then("checked", outcome="failed", kept={})
    assert (told.now.reason, told.now.attempts) == ("need_user_verification", 1)
    told.then("checked")
    assert (told.now.status, told.now.reason, told.now.outcome) == ("in_progress", "", "verified")
    at = NOW + timedelta(days=9)
    told.then("answered", at, basis="card token is never given").then("handed_over", at)

    assert (told.now.status, told.now.handed_over_at) == ("fulfilled", at)
    record = told.now.record()
    assert list(record.items())[:6] == [
        ("date_of_request", "2026-03-02T15:00:00+00:00"),
        ("nature_of_request", ["know"]),
        ("manner", "email"),
        ("date_of_response", "2026-03-11T15:00:00+00:00"),
        ("nature_of_response", "access package"),
        ("basis_for_denial", "card token is never given"),
    ]
    assert record["sent"] == {"package.age": HASH}
    assert told.now.kept == {"declaration": HASH}
    json.dumps(record)


def test_dates_stay_as_they_were_computed():
    """Days stay days, instants stay instants, and a date that could not be computed says why."""
    hours = Deadline("loyalty_notice", "x.y", NOW, NOW, NOW)
    none = Deadline("confirm_receipt", "x.z", None, why="rule unconfirmed")
    found = Told(deadlines=[FIRST, hours, none]).now

    assert found.deadlines == (FIRST, hours, none)
    assert found.deadline("delete") is None


def test_an_extension_in_time_moves_the_date_once():
    """The notice goes out on the last day, in the shop's own zone; a second one is refused."""
    told = Told()
    last_minute = datetime(2026, 4, 17, 3, 59, tzinfo=UTC)  # 23:59 on 16 April in New York
    given = {"reason": "many requests", "zone": ZONE, "now": last_minute + timedelta(days=1)}
    told.add("extended", extend(told.now, SECOND, noticed=last_minute, **given))

    assert told.now.deadline("respond") == SECOND
    assert told.now.extension == "many requests"
    assert FIRST in told.now.deadlines
    with pytest.raises(NotNow, match="was extended once"):
        extend(told.now, SECOND, noticed=NOW, **given)


def test_a_late_notice_extends_nothing():
    """The next day is too late, and the message says which date stands."""
    late = datetime(2026, 4, 17, 4, 0, tzinfo=UTC)
    with pytest.raises(TooLate, match="2026-04-16; that date stands"):
        extend(Told().now, SECOND, reason="many", noticed=late, zone=ZONE, now=late)
    hours = Deadline("respond", "x.y", NOW)
    with pytest.raises(TooLate):
        extend(Told(deadlines=[hours]).now, SECOND, reason="many",
               noticed=NOW + timedelta(seconds=1), zone=ZONE, now=late)  # fmt: skip


@pytest.mark.parametrize(
    ("told", "change", "error"),
    [
        pytest.param(Told(deadlines=[]), {}, NotNow, id="no first date"),
        pytest.param(Told(deadlines=[Deadline("respond", "x", None)]), {}, NotNow, id="unknown"),
        pytest.param(Told().then("revoked"), {}, NotNow, id="taken back"),
        pytest.param(Told(), {"reason": " "}, BadEvent, id="no reason"),
        pytest.param(Told(), {"noticed": NOW + timedelta(days=2)}, BadEvent, id="not sent yet"),
        pytest.param(
            Told(),
            {"noticed": NAIVE},
            BadEvent,
            id="no zone",
        ),
    ],
)
def test_an_extension_needs_a_reason_and_a_date(told, change, error):
    """More time is not taken in silence."""
    given = {"reason": "many", "noticed": NOW, "zone": ZONE, "now": NOW + timedelta(days=1)}
    with pytest.raises(error):
        extend(told.now, SECOND, **{**given, **change})


def test_companies_stay_open_until_they_confirm():
    """Deleting here and not at the parcel service is half a deletion."""
    told = Told().then("told").then("told", vendor="Mail Co").then("answered")
    assert [v.name for v in told.now.waiting_for] == ["Parcel Co", "Mail Co"]
    told.then("confirmed")

    assert [v.name for v in told.now.waiting_for] == ["Mail Co"]
    assert told.now.record()["vendors"] == {"Parcel Co": HASH, "Mail Co": "open"}
    told.then("told")  # told again: its old receipt does not count
    assert len(told.now.waiting_for) == 2
    with pytest.raises(BadEvent, match="no company of this name"):
        told.then("confirmed", vendor="Other Co")


@pytest.mark.parametrize("end", ["answered", "denied", "revoked", "expired"])
def test_what_is_over_stays_over(end):
    """Only companies and the handing over may follow; anything else is a new request."""
    told = Told().then("told").then(end)
    before = told.now

    for event in DETAILS:
        if event in ("told", "confirmed") or (event == "handed_over" and end == "answered"):
            assert told.then(event).now.status == before.status
        else:
            with pytest.raises(NotNow):
                told.then(event)
    assert (told.now.nature, told.now.answered_at) == (before.nature, before.answered_at)


def test_a_refusal_has_a_reason_and_a_basis():
    """Both stand in the record."""
    found = Told().then("denied").now

    assert (found.status, found.reason, found.basis) == ("denied", "no_match", "nobody fits")
    assert found.nature == "refused"


def test_going_on_with_less_is_written_down():
    """Specific pieces without proof become categories, and the record shows both."""
    found = Told().then("reassessed").now

    assert (found.kinds, found.reassessed_from) == (("categories",), ("know",))


def test_the_first_notice_counts():
    """A second one does not start the day anew."""
    found = Told().then("noticed").then("noticed", NOW + timedelta(hours=5)).now

    assert found.noticed == {"loyalty": NOW}


def test_nobody_hands_over_what_is_not_there():
    """An answer first."""
    with pytest.raises(NotNow, match="answer the request first"):
        Told().then("handed_over")


def test_the_third_request_of_a_year_is_seen():
    """Two are free; refused ones, other people's and old ones do not count."""
    days = [NOW - timedelta(days=n) for n in (364, 40, 30, 20, 10)]
    asked = [Told(f"req-{n}", received=at) for n, at in enumerate(days)]
    asked[3].then("denied")
    asked[4] = Told("req-4", subject="ef" * 32)
    found = [told.now for told in asked]
    count = {"months": 12, "at": NOW}

    assert request_state.count_earlier(found, WHO, ["know"], **count) == 3
    assert request_state.count_earlier(found, WHO, ["know", "delete"], **count) == 3
    assert request_state.count_earlier(found, WHO, ["delete"], **count) == 0
    assert request_state.count_earlier(found, WHO, ["know"], months=2, at=NOW) == 2
    assert request_state.count_earlier(found, "", ["know"], **count) == 0


@given(
    answered=st.datetimes(NAIVE.replace(year=2020), NAIVE, timezones=st.just(UTC)),
    months=st.integers(1, 60),
    after=st.integers(-40, 40),
)
def test_a_record_is_kept_to_its_last_day(answered, months, after):
    """Not a day shorter than the rule, in the shop's zone, month ends included."""
    done = Told(received=answered, now=answered).then("answered", answered).now
    start = answered.astimezone(ZONE).date()
    total = start.year * 12 + start.month - 1 + months
    first_of_next = date((total + 1) // 12, (total + 1) % 12 + 1, 1)
    last = min(start.day, (first_of_next - timedelta(days=1)).day)
    last_day = date(total // 12, total % 12 + 1, last)
    now = datetime.combine(last_day + timedelta(days=after), datetime.min.time(), ZONE)

    gone = request_state.outlived([done], months=months, zone=ZONE, now=now)
    assert gone == (["req-1"] if after > 0 else [])


def test_a_record_stays_while_a_company_is_silent():
    """And while a request is open, however old."""
    old = NOW - timedelta(days=2000)
    silent = Told("req-1", received=old, now=old).then("told", old).then("answered", old)
    open_ = Told("req-2", received=old, now=old)
    after = {"months": 24, "zone": ZONE, "now": NOW}

    assert request_state.outlived([silent.now, open_.now], **after) == []
    silent.then("confirmed")
    assert request_state.outlived([silent.now, open_.now], **after) == ["req-1"]
    with pytest.raises(BadEvent):
        request_state.outlived([], **{**after, "months": 0})


@given(st.lists(st.sampled_from(sorted(DETAILS)), max_size=12))
def test_any_order_of_events_gives_a_known_state(events):
    """Whatever people press, a request is in one of the protocol's states or was refused."""
    told = Told()
    for event in events:
        try:
            told.then(event)
        except RequestError:
            continue
    found = told.now

    assert found.status in ("open", "in_progress", *request_state.OVER)
    assert found.over == (found.answered_at is not None)
    assert found.status != "denied" or found.reason in request_state.REASONS
    assert fold_all(told.events) == [found]


def test_many_requests_are_told_apart():
    """Their events may be mixed, as they are in the book."""
    one, two = Told("req-1").then("asked"), Told("req-2")
    mixed = [e for pair in itertools.zip_longest(one.events, two.events) for e in pair if e]

    assert [(r.request_id, r.status) for r in fold_all(mixed)] == [
        ("req-1", "in_progress"), ("req-2", "open"),
    ]  # fmt: skip
    with pytest.raises(BadEvent, match="several"):
        fold(mixed)
    with pytest.raises(NoSuchRequest, match="no such request"):
        fold([])
    with pytest.raises(BadEvent, match="before its request"):
        fold(one.events[1:])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"received": NAIVE}, id="no zone"),
        pytest.param({"now": NAIVE}, id="now without zone"),
        pytest.param({"received": NOW + timedelta(seconds=1)}, id="in the future"),
        pytest.param({"channel": "pigeon"}, id="channel"),
        pytest.param({"kinds": []}, id="nothing asked"),
        pytest.param({"kinds": ["know", "everything"]}, id="unknown kind"),
        pytest.param({"jurisdiction": ""}, id="no place"),
        pytest.param({"regime": ""}, id="no law"),
        pytest.param({"subject": "cus_1"}, id="a customer's number"),
        pytest.param({"agent": "ana@example.com"}, id="an address"),
        pytest.param({"agent": "ring 212-555-0142"}, id="a telephone number"),
        pytest.param({"agent": "x" * 401}, id="a whole letter"),
    ],
)
def test_refuses_to_receive(change):
    """A faulty entry is refused, and the message repeats none of it."""
    with pytest.raises(BadEvent) as caught:
        receive(**{**GOOD, **change})

    assert not any(part in str(caught.value) for part in ("ana", "212", "cus_1", "xxx"))


@pytest.mark.parametrize(
    ("event", "change"),
    [
        pytest.param("checked", {"outcome": "perhaps"}, id="outcome"),
        pytest.param("checked", {"kept": {"declaration": "ana@example.com"}}, id="kept an address"),
        pytest.param("denied", {"reason": "lazy"}, id="reason"),
        pytest.param("denied", {"basis": ""}, id="no basis"),
        pytest.param("answered", {"basis": "told 212 555 0142"}, id="a number in the basis"),
        pytest.param("answered", {"more": "x"}, id="too much"),
        pytest.param("told", {"message": "hello"}, id="a text, not its hash"),
        pytest.param("reassessed", {"kinds": []}, id="less than nothing"),
    ],
)
def test_refuses_events(event, change):
    """What cannot be right does not get into the book."""
    with pytest.raises(BadEvent) as caught:
        Told().then(event, **change)

    assert "ana@" not in str(caught.value)
    assert "555" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("Cal. Civ. Code 1798.105(d)(8)", "Utah Code 13-61-102(1)", "C.R.S. 6-1-1304(1)"),
        *("many requests since 2026-02-02", "same as req-20260302-5f3c9a11", "1798.199.95(d)"),
    ],
)
def test_a_section_of_the_law_is_no_telephone_number(text):
    """Nor is a day: a refusal must be able to say on what it rests."""
    assert follow(Told().now, "denied", reason="other", basis=text)["basis"] == text


@pytest.mark.parametrize(
    "text",
    [
        *("212.555.0142", "212.555 0142", "212-555-0142", "1-212-555-0142", "(212) 555 0142"),
        *("1798.105 2125550142", "2026-11-02-5550142", "1212.555.0142", "555.0142"),
    ],
)
def test_a_telephone_number_stays_one_however_it_is_written(text):
    """The book never tells who asked."""
    with pytest.raises(BadEvent, match="telephone"):
        follow(Told().now, "denied", reason="other", basis=text)


def test_refuses_unknown_and_half_events():
    """An event lacks nothing and is one of those that are known."""
    with pytest.raises(BadEvent, match="one of"):
        follow(Told().now, "vanished")
    with pytest.raises(BadEvent, match="basis"):
        follow(Told().now, "denied", reason="other")
