"""The breach rows say what was read: each state's days, numbers and exceptions, written here again.

The table below was copied by hand from what was read, not from the rows: a slip in either shows.
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from kit import breach, clocks, incident, legal

ZONE = ZoneInfo("America/Chicago")
BOOK = legal.Book()
ON = date(2026, 9, 1)
KEY, SAFE, NOT_READ = "key", "safe", "not read"
EVERYTHING = frozenset({"name", "ssn", "card_pan", "card_cvv", "email", "password"})


class State(NamedTuple):
    """What was read of one state."""

    days: int | None  # None: no fixed number
    counted_from: str
    others: dict  # rule → the first number of residents that counts
    encryption: str
    risk_test: bool
    waits_for_police: bool = False


STATES = {
    "US-CA": State(30, "discovered", {"ag": 501}, KEY, False),
    "US-NY": State(
        30, "discovered", {"ag": 1, "dos": 1, "police": 1, "dfs": 1, "cra": 5_001}, KEY, False, True
    ),
    "US-TX": State(60, "determined", {"ag": 250}, KEY, False),
    "US-FL": State(30, "determined", {"agency": 500, "cra": 1_001}, SAFE, True),
    "US-CO": State(30, "determined", {"ag": 500}, KEY, False),
    "US-WA": State(30, "discovered", {"ag": 501}, KEY, True),
    "US-ME": State(30, "scope_identified", {"cra": 1_001}, NOT_READ, True),
    "US-AL": State(45, "determined", {"ag": 1_001, "cra": 1_001}, KEY, True),
    "US-AZ": State(
        45, "determined", {"ag": 1_001, "dhs": 1_001, "cra": 1_001}, NOT_READ, False, True
    ),
    "US-IN": State(45, "discovered", {"ag": 1}, KEY, False),
    "US-OH": State(45, "discovered", {"cra": 1_001}, NOT_READ, True),
    "US-WI": State(45, "aware", {"cra": 1_000}, NOT_READ, False),
    "US-VT": State(45, "discovered", {"ag": 1, "cra": 1_001}, NOT_READ, False, True),
    "US-RI": State(45, "able_to_notify", {"ag": 501, "cra": 501}, KEY, False),
    "US-MD": State(45, "discovered", {"ag": 1, "cra": 1_001}, KEY, True),
    "US-OR": State(45, "discovered", {"ag": 251, "cra": 1_001}, KEY, True),
    "US-TN": State(45, "discovered", {"cra": 1_001}, KEY, False),
    "US-NM": State(45, "discovered", {"ag": 1_001, "cra": 1_001}, NOT_READ, True),
    "US-CT": State(60, "discovered", {}, NOT_READ, False),
    "US-DE": State(60, "determined", {}, NOT_READ, False),
    "US-LA": State(60, "discovered", {"ag": 1}, SAFE, True),
    "US-SD": State(60, "discovered", {"ag": 251, "cra": 1}, NOT_READ, False, True),
    "US-OK": State(None, "", {"ag": 500}, SAFE, True),
    "US-MA": State(None, "", {"ag": 1, "ocabr": 1}, KEY, True),
    "US-IL": State(None, "", {"ag": 501}, KEY, False),
    "US-NV": State(None, "", {"cra": 1_001}, SAFE, False),
    "US-GA": State(None, "", {"cra": 10_001}, SAFE, False),
    "US-PA": State(None, "", {}, KEY, False),
    "US-MI": State(None, "", {}, KEY, False),
}
MOMENTS = {  # each on another day, so that a wrong start shows
    "discovered": datetime(2026, 9, 1, 9, tzinfo=UTC),
    "aware": datetime(2026, 9, 2, 9, tzinfo=UTC),
    "determined": datetime(2026, 9, 4, 9, tzinfo=UTC),
    "confirmed": datetime(2026, 9, 7, 9, tzinfo=UTC),
}
LATER = {
    "scope_identified": datetime(2026, 9, 9, 9, tzinfo=UTC),
    "able_to_notify": datetime(2026, 9, 11, 9, tzinfo=UTC),
    "told_people": datetime(2026, 9, 30, 9, tzinfo=UTC),
}


def happened(place, number=1, *, data=None, **more):
    """Return an incident with *number* residents, everything in the clear unless said otherwise."""
    data = data or {}
    taken = incident.DataSet("export", data.pop("elements", EVERYTHING), {place: number}, **data)
    return incident.Incident("theft", (taken,), **MOMENTS, more=LATER, **more)


def assessed(what):
    """Ask the real rows with the real clocks; return rule → finding."""
    found = breach.assess(
        what,
        BOOK.rows(ON),
        lambda row, events: BOOK.deadline(row, events, zone=ZONE, on=ON),
    )
    return {one.rule: one for one in found.findings}


def rule(place, name="people"):
    """Return a rule's id."""
    return f"{place.lower()}-breach.{name}"


@cache
def first_answers(place):
    """Return the findings for one resident."""
    return assessed(happened(place))


@pytest.mark.parametrize("place", STATES)
def test_the_people_are_told_within_the_days_read_counted_from_the_event_read(place):
    """Discovery, determination and confirmation start different clocks."""
    one, said = first_answers(place)[rule(place)], STATES[place]

    assert one.recipient == "people"
    if said.days is None:
        assert one.due is None
        assert re.search("delay|practicable", one.when)
    else:
        start = {**MOMENTS, **LATER}[said.counted_from].date()
        assert one.due == start + timedelta(days=said.days)


@pytest.mark.parametrize(
    ("place", "name", "first"),
    [(place, name, n) for place, said in STATES.items() for name, n in said.others.items()],
)
def test_each_recipient_has_its_own_number(place, name, first):
    """One resident fewer: no duty. "More than" and "at least" are not the same."""
    below = assessed(happened(place, first - 1))[rule(place, name)]
    above = assessed(happened(place, first))[rule(place, name)]

    assert below.verdict == breach.NO_DUTY
    assert above.verdict != breach.NO_DUTY
    if first == 1:
        assert "nobody affected lives there" in below.reason
    else:
        assert re.search(rf"{first:,}|{first - 1:,}", below.reason)


def test_every_row_that_tells_somebody_is_in_the_table():
    """A row added without a line here would go untested."""
    rows = {
        row.id
        for row in BOOK.all_rows
        if row.law.kind == "breach"
        and row.duty in breach.TELL
        and row.recipient != "owner"
        and row.in_force(ON)
    }
    told = {
        rule(place, name) for place, said in STATES.items() for name in ("people", *said.others)
    }

    assert rows - told == {"us-ct-breach.ag", "us-de-breach.ag", "us-other-breach.people"}
    assert told <= rows


@pytest.mark.parametrize("place", STATES)
def test_encrypted_with_a_safe_key(place):
    """Where the treatment of encrypted data was not read, the answer is unknown, not no."""
    data = {"encrypted": True, "algorithm": "AES-256-GCM", "bits": 256, "key_exposed": False}
    one = assessed(happened(place, 9, data=data))[rule(place)]

    if STATES[place].encryption == NOT_READ:
        assert one.verdict == breach.UNKNOWN
        assert "how this law treats encrypted data was not read" in one.reason
    else:
        assert one.reason == "no duty, because encrypted and key not exposed"


def test_rhode_island_asks_for_128_bits():
    """Weaker encryption does not count there."""
    weak = {"encrypted": True, "algorithm": "RC4", "bits": 40, "key_exposed": False}

    assert assessed(happened("US-RI", 9, data={**weak}))[rule("US-RI")].verdict != breach.NO_DUTY
    strong = {**weak, "algorithm": "AES", "bits": 128}
    assert assessed(happened("US-RI", 9, data=strong))[rule("US-RI")].verdict == breach.NO_DUTY


@pytest.mark.parametrize("place", STATES)
def test_a_written_risk_test_ends_the_duty_only_where_the_law_has_one(place):
    """Elsewhere "nobody will be harmed" is no excuse."""
    test = incident.Determination(
        "Ana Example", MOMENTS["determined"], "sealed", frozenset({place})
    )
    one = assessed(happened(place, 9, no_harm=test))[rule(place)]

    assert (one.verdict == breach.NO_DUTY) is STATES[place].risk_test
    assert ("risk test" in one.reason) is STATES[place].risk_test


@pytest.mark.parametrize("place", [place for place, said in STATES.items() if said.days])
def test_the_police_can_stop_the_clock_only_where_it_was_read(place):
    """In New York, Arizona, Vermont and South Dakota, and in writing."""
    hold = incident.Hold("police", in_writing=True, until=date(2027, 3, 1))
    one = assessed(happened(place, 9, hold=hold))[rule(place)]

    assert (one.due == date(2027, 3, 1)) is STATES[place].waits_for_police


@pytest.mark.parametrize(
    ("place", "held", "answer"),
    [
        ("US-CA", "name card_pan", None),  # the list read is not complete: unknown, never no
        ("US-CA", "name card_pan card_cvv", True),
        ("US-CA", "email password", True),
        ("US-CA", "name medical", True),
        ("US-CA", "name plate_reader", True),
        ("US-NY", "name card_pan", True),
        ("US-NY", "name biometric", True),
        ("US-NY", "email security_qa", True),
        ("US-NY", "name email", None),
        ("US-MA", "name card_pan", True),
        ("US-MA", "name bank_account", True),
        ("US-MA", "name driver_licence", True),
        ("US-MA", "name passport", False),
        ("US-MA", "email password", False),
        ("US-FL", "name card_pan", False),
        ("US-FL", "name card_pan card_pin", True),
        ("US-FL", "name passport", True),
        ("US-FL", "username security_qa", True),
        ("US-FL", "ssn", False),
        ("US-AL", "name card_pan card_expiry", True),
        ("US-AL", "name tax_id", True),
        ("US-AL", "email security_qa", False),
        ("US-AL", "email password", True),
        ("US-LA", "name passport", True),
        ("US-LA", "name biometric", True),
        ("US-LA", "name medical", False),
        ("US-LA", "email password", False),
        ("US-LA", "name state_id", False),
        ("US-TX", "name ssn", None),
    ],
)
def test_data_count_by_combination(place, held, answer):
    """A name with a listed element, or a log-in with its password: neither half alone."""
    one = assessed(happened(place, 9, data={"elements": frozenset(held.split())}))[rule(place)]

    expected = {True: breach.DUTY, False: breach.NO_DUTY, None: breach.UNKNOWN}
    assert one.verdict == expected[answer]


@pytest.mark.parametrize(
    ("name", "event"),
    [
        *[(f"br.{place}", "notified") for place in ("ca", "oh", "vt", "md", "or", "tn", "sd")],
        ("br.fl", "reason_to_believe"),
        ("br.fl.agency", "reason_to_believe"),
        ("br.al", "vendor_told"),
        ("br.vendor.al", "reason_to_believe"),
    ],
)
def test_the_earlier_of_two_events_starts_the_clock(name, event):
    """Being told by somebody else counts like finding out; a suspicion like a conclusion."""
    row = BOOK.get(name, ON)
    other = next(one for one in row.clock["start_any"] if one != event)
    first, second = date(2026, 9, 1), date(2026, 9, 8)
    days = timedelta(days=row.clock["n"])

    for one, two in ((event, other), (other, event)):
        due = BOOK.deadline(row, {one: first, two: second}, zone=ZONE, on=ON).due
        assert due == first + days


def test_florida_gives_fifteen_days_more_for_good_cause():
    """If the Department is told in writing within the first thirty."""
    first = BOOK.deadline("br.fl", {"determined": ON}, zone=ZONE, on=ON)
    in_time = BOOK.extend(first, notice_at=date(2026, 10, 1), reason="forensics are not done")

    assert (first.due, in_time.due) == (date(2026, 10, 1), date(2026, 10, 16))
    with pytest.raises(clocks.NotExtended):
        BOOK.extend(first, notice_at=date(2026, 10, 2), reason="forensics are not done")


@pytest.mark.parametrize(
    ("place", "missing"), [("US-ME", "scope_identified"), ("US-RI", "able_to_notify")]
)
def test_where_two_things_must_be_known_the_clock_waits_for_both(place, missing):
    """Maine: the scope; Rhode Island: what the letter needs."""
    row = BOOK.get(rule(place), ON)
    (known,) = set(row.clock["start_any"]) - {missing}

    assert BOOK.deadline(row, {known: ON}, zone=ZONE, on=ON).state == "not_started"


def test_who_is_told_when_there_is_no_day():
    """Maryland's Attorney General comes before the people, that of Illinois no later than they."""
    assert "before people are told" in first_answers("US-MD")[rule("US-MD", "ag")].when
    many = assessed(happened("US-IL", 501))
    assert many[rule("US-IL", "ag")].when == "no later than people are told"


@pytest.mark.parametrize(
    ("place", "name", "days"), [("US-CA", "ag", 15), ("US-LA", "ag", 10), ("US-OK", "ag", 60)]
)
def test_some_authorities_are_told_some_days_after_the_people(place, name, days):
    """Not known until the letters are out: then there is only a floor."""
    told = LATER["told_people"].date()

    assert assessed(happened(place, 600))[rule(place, name)].due == told + timedelta(days=days)


@pytest.mark.parametrize(
    ("place", "name", "days", "start"),
    [
        ("US-TX", "ag", 30, "determined"),
        ("US-FL", "agency", 30, "determined"),
        ("US-CO", "ag", 30, "determined"),
        ("US-WA", "ag", 30, "discovered"),
        ("US-AZ", "ag", 45, "determined"),
        ("US-AZ", "dhs", 45, "determined"),
        ("US-AZ", "cra", 45, "determined"),
        ("US-NM", "ag", 45, "discovered"),
        ("US-NM", "cra", 45, "discovered"),
    ],
)
def test_other_authorities_have_days_of_their_own(place, name, days, start):
    """As read, and no others."""
    one = assessed(happened(place, 9_999))[rule(place, name)]

    assert one.due == MOMENTS[start].date() + timedelta(days=days)


def test_vermonts_attorney_general_is_told_first():
    """14 business days, or on the day customers are told if that is sooner."""
    row, start = BOOK.get("us-vt-breach.ag"), date(2026, 9, 1)
    alone = BOOK.deadline(row, {"discovered": start}, zone=ZONE, on=ON)
    sooner = BOOK.deadline(
        row, {"discovered": start, "told_people": date(2026, 9, 10)}, zone=ZONE, on=ON
    )

    assert alone.due == date(2026, 9, 21)
    assert alone.latest == date(2026, 9, 22)  # Labor Day is on the 7th
    assert sooner.due == date(2026, 9, 10)


@pytest.mark.parametrize(
    ("place", "n", "unit"),
    [
        ("US-GA", 24, "hour"),
        ("US-AL", 10, "calendar_day"),
        ("US-FL", 10, "calendar_day"),
        ("US-OR", 10, "calendar_day"),
        ("US-NY", 30, "calendar_day"),
        ("US-NM", 45, "calendar_day"),
        ("US-TN", 45, "calendar_day"),
        ("US-CA", None, ""),
        ("US-IL", None, ""),
        ("US-NV", None, ""),
    ],
)
def test_a_vendor_tells_the_shop(place, n, unit):
    """It is the vendor's duty, so the shop sees it as none of its own."""
    row = BOOK.get(rule(place, "vendor"))
    one = assessed(happened(place, 9, vendor="a till maker"))[row.id]

    assert row.recipient == "owner"
    assert (row.clock.get("n"), row.clock.get("unit", "")) == (n, unit)
    assert n or row.no_fixed_day == "immediately"
    assert not n or row.clock["start"] == ("earliest_of" if place == "US-AL" else "discovered")
    assert one.verdict == breach.NO_DUTY


@pytest.mark.parametrize(("place", "months"), [("fl", 60), ("la", 60), ("md", 36), ("or", 60)])
def test_the_written_risk_test_is_kept(place, months):
    """Five years, in Maryland three."""
    row = BOOK.get(f"br.memo.{place}", ON)

    assert (row.keep["n"], row.keep["unit"]) == (months, "month")
    assert row.keep["start"] == ("discovered" if place == "la" else "determined")


def test_florida_wants_the_risk_test_within_thirty_days():
    """The Department of Legal Affairs gets a copy."""
    row = BOOK.get("us-fl-breach.memo_sent")

    assert row.value["send_to"] == "Florida Department of Legal Affairs"
    assert BOOK.deadline(row, {"determined": ON}, zone=ZONE, on=ON).due == date(2026, 10, 1)


def test_california_had_no_number_of_days_before_2026():
    """The old rule answers for its own time."""
    old, new = BOOK.get("br.ca", date(2025, 12, 31)), BOOK.get("br.ca", date(2026, 1, 1))

    assert not old.clock
    assert new.clock["n"] == 30
    assert old.ends + timedelta(days=1) == new.starts
    assert old.breach == new.breach
    assert not [row for row in BOOK.rows(date(2025, 12, 31)) if row.id == "us-ca-breach.ag"]


def test_oklahoma_starts_with_2026():
    """The day before, nothing is known: unknown, not "no duty"."""
    assert not BOOK.rows(date(2025, 12, 31), "US-OK", "tell_people")
    assert BOOK.rows(date(2026, 1, 1), "US-OK", "tell_people")


@pytest.mark.parametrize("place", ["US-CT", "US-DE"])
def test_what_nobody_confirmed_computes_nothing(place):
    """Whether the Attorney General is told there: unknown, whatever the number."""
    one = assessed(happened(place, 100_000))[rule(place, "ag")]

    assert one.verdict == breach.UNKNOWN
    assert one.due is None
    assert "unconfirmed" in one.doubts


@pytest.mark.parametrize("place", STATES)
def test_medium_rows_say_their_doubts_beside_the_date(place):
    """A date from a summary is shown as one."""
    one = first_answers(place)[rule(place)]

    if BOOK.get(one.rule).confidence == "medium":
        assert set(BOOK.get(one.rule).doubts) <= set(one.doubts)
        assert one.doubts


def test_the_letters_forms():
    """California prescribes title, headings and type; Massachusetts what may not be said."""
    form = BOOK.get("br.content.ca", ON).value
    assert form["title"] == "Notice of Data Breach"
    assert form["headings"] == [
        "What Happened",
        "What Information Was Involved",
        "What We Are Doing",
        "What You Can Do",
        "For More Information",
    ]
    assert form["min_point_size"] == 10
    form = BOOK.get("br.content.ma", ON).value
    assert set(form["must_not"]) == {"nature of the breach", "number of residents"}
    assert len(form["must"]) == 4
    assert (form["credit_monitoring_months"], form["credit_monitoring_if"]) == (18, ["ssn"])


def elements():
    """Return the controlled list."""
    text = (BOOK.folder / "elements.toml").read_text(encoding="utf-8")
    return {one["name"]: one for one in tomllib.loads(text)["element"]}


def test_the_list_of_elements_is_the_agreed_one():
    """Rows, inventory and breach reports use these names and no others."""
    assert " ".join(elements()) == (
        "name email phone postal_address birth_date birth_month loyalty_id points tier visits "
        "purchases staff_note ip_address cookie_id card_token card_last4 card_pan card_expiry "
        "card_cvv card_track card_pin bank_account store_credit_account ssn tax_id driver_licence "
        "state_id passport military_id medical health_insurance_id biometric genetic neural "
        "precise_geolocation plate_reader username password password_hash security_qa login_token"
    )


def test_each_element_has_words_and_letters():
    """Words for a customer's letter; letters are those of 1798.140(v)(1)."""
    for one in elements().values():
        assert one["label"][0].islower()
        assert set(one["letters"]) <= set("ABCDEFGHIJKL")
        assert one["letters"]
    expected = {
        "email": ["A", "B"],
        "purchases": ["D"],
        "ip_address": ["A", "F"],
        "tier": ["K"],
        "card_pan": ["B", "L"],
    }
    assert {name: elements()[name]["letters"] for name in expected} == expected
