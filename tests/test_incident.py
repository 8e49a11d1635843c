"""An incident is written down once; what was taken is held against each law in the same way."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.incident import BadIncident, DataSet, Determination, Hold, Incident, matches, read

NOW = datetime(2026, 11, 24, 8, 10, tzinfo=UTC)
CARD = {
    "combinations": [[["name"], ["card_pan", "ssn"], ["card_cvv"]], [["email"], ["password"]]],
    "complete": True,
}
KEY = {"encrypted": "key_matters"}
LOCKED = {"encrypted": True, "algorithm": "AES-256-GCM", "bits": 256}

WHOLE = """
format = 1
name = "Laptop stolen from the van"
occurred = 2026-11-23T18:00:00-08:00
discovered = 2026-11-24T08:10:00-08:00
vendor = "a till maker"

[more]
told_people = 2026-12-01T09:00:00-08:00

[[data]]
name = "customer export"
elements = ["name", "card_pan", "email"]
persons = { US-CA = 510, US-NY = "unknown", DE = 3 }
encrypted = true
algorithm = "AES-256-GCM"
bits = 256
key_exposed = "unknown"
access = "acquired"

[[data]]
name = "mailing list"
elements = ["email"]
persons = { US-CA = 900 }

[hold]
agency = "Oakland Police"
in_writing = true
until = 2026-12-20

[no_harm]
by = "Ana Example, owner"
at = 2026-11-26T10:00:00-08:00
reason = "the file was found unopened"
places = ["US-FL"]
"""


def taken(elements="name card_pan card_cvv", persons=None, **more):
    """Return one data set."""
    return DataSet("export", frozenset(elements.split()), persons or {"US-CA": 10}, **more)


def incident(*data, **more):
    """Return an incident with these data sets."""
    return Incident("theft", data or (taken(),), **more)


def test_the_file_of_the_documentation_is_read_whole():
    """Every part that the top of the module names."""
    found = read(WHOLE)

    assert [data.name for data in found.data] == ["customer export", "mailing list"]
    assert found.data[0].persons == {"US-CA": 510, "US-NY": None, "DE": 3}
    assert found.data[0].key_exposed is None
    assert not found.data[0].key_safe
    assert found.hold == Hold("Oakland Police", True, date(2026, 12, 20))
    assert found.no_harm.places == {"US-FL"}
    assert set(found.events) == {"discovered", "told_people"}
    assert found.places == {"US-CA", "US-NY", "DE"}
    assert found.elements == {"name", "card_pan", "email"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param("format = 1", "format = 2", "format = 1", id="another format"),
        pytest.param("-08:00\ndiscovered", "\ndiscovered", "time zone", id="no zone"),
        pytest.param("2026-11-24T08:10:00-08:00", "2026-11-24", "time of day", id="a day only"),
        pytest.param("2026-11-23T18", "2026-11-25T18", "discovered before", id="wrong order"),
        pytest.param("vendor =", "vender =", "no part called vender", id="misspelt"),
        pytest.param("told_people", "told_all", "no moment called told_all", id="no such moment"),
        pytest.param('algorithm = "AES-256-GCM"\n', "", "name the algorithm", id="which algorithm"),
        pytest.param("US-CA = 510", "US-CA = -1", "below zero", id="fewer than nobody"),
        pytest.param("US-CA = 510", 'US-CA = "many"', "numbers or unknown", id="many"),
        pytest.param("US-CA = 510", "US-CA = true", "numbers or unknown", id="true is no number"),
        pytest.param('"acquired"', '"seen"', "access is one of", id="access"),
        pytest.param('"unknown"\naccess', '"perhaps"\naccess', "true, false", id="key"),
        pytest.param('["name", "card_pan", "email"]', "[]", "no elements", id="nothing"),
        pytest.param("{ US-CA = 900 }", "{}", "no persons", id="nobody"),
        pytest.param('by = "Ana Example, owner"\n', "", "no_harm", id="decided by nobody"),
        pytest.param("the file was found unopened", " ", "reason", id="no reason"),
        pytest.param("in_writing = true\n", "", "hold", id="hold without writing"),
        pytest.param('name = "Laptop stolen from the van"\n', "", "the incident", id="no name"),
        pytest.param("[[data]]", "[[date]]", "data", id="no data"),
        pytest.param('["name", "card_pan", "email"]', '"name"', "a list", id="one element"),
        pytest.param('["name", "card_pan", "email"]', "[1, 2]", "of texts", id="numbers"),
        pytest.param('["US-FL"]', '"US-FL"', "a list", id="one place"),
        pytest.param("{ US-CA = 900 }", "900", "no persons", id="persons of nowhere"),
        pytest.param("until = 2026-12-20", "until = 2026-12-20T10:00:00Z", "a day", id="until"),
        pytest.param("in_writing = true", 'in_writing = "yes"', "wrong kind", id="writing"),
        pytest.param("bits = 256", 'bits = "256"', "data", id="bits as text"),
        pytest.param("encrypted = true", 'encrypted = "yes"', "data", id="encrypted as text"),
        pytest.param('name = "mailing list"', "name = 5", "data", id="name as number"),
        pytest.param("format", "format =", "not TOML", id="not TOML"),
    ],
)
def test_refuses(old, new, says):
    """A slip in the file is named; nothing is guessed."""
    assert old in WHOLE
    with pytest.raises(BadIncident, match=says):
        read(WHOLE.replace(old, new))


def test_naive_times_are_refused_in_python_too():
    """Also the hidden ones."""
    naive = NOW.replace(tzinfo=None)
    test = Determination("Ana", naive, "found sealed", frozenset({"US-FL"}))

    for more in ({"aware": naive}, {"more": {"notified": naive}}, {"no_harm": test}):
        with pytest.raises(BadIncident, match="time zone"):
            incident(**more)


@pytest.mark.parametrize(
    ("held", "answer"),
    [
        ("name card_pan card_cvv", True),
        ("name card_pan", False),
        ("card_pan card_cvv", False),
        ("name card_cvv", False),
        ("email password", True),
        ("email name", False),
        ("email password_hash", None),
        ("email login_token", None),
        ("password", False),
    ],
)
def test_a_combination_is_all_of_its_groups(held, answer):
    """A name alone is no breach, nor is a card number alone; a scrambled password may be one."""
    assert matches(held.split(), CARD)[0] is answer


def test_a_list_that_is_not_complete_never_says_no():
    """What was not read may list it."""
    assert matches(["birth_date"], {**CARD, "complete": False})[0] is None
    assert matches(["birth_date"], None)[0] is None


ELEMENTS = st.frozensets(
    st.sampled_from(["name", "card_pan", "ssn", "card_cvv", "email", "password", "points"])
)


@given(ELEMENTS, ELEMENTS)
def test_more_data_never_make_less_of_a_breach(some, more):
    """Adding an element to a data set cannot turn yes into no."""
    if matches(some, CARD)[0]:
        assert matches(some | more, CARD)[0]


@given(
    ELEMENTS.filter(bool),
    st.sampled_from(["key_matters", "safe", "ignored", "not_read"]),
    st.sampled_from([True, None]),
)
def test_a_key_that_may_be_out_is_no_protection(elements, treated, exposed):
    """Not knowing where the key is, or knowing that it is gone: the same as no encryption."""
    plain = DataSet("x", elements, {"US-CA": 3})
    locked = DataSet("x", elements, {"US-CA": 3}, **LOCKED, key_exposed=exposed)
    law = {"encrypted": treated}

    assert incident(plain).exposure({"US-CA"}, law, CARD) == incident(locked).exposure(
        {"US-CA"}, law, CARD
    )


@pytest.mark.parametrize(
    ("treated", "answer"),
    [("key_matters", "no"), ("safe", "no"), ("ignored", "yes"), ("not_read", "unknown")],
)
def test_encrypted_with_the_key_safe(treated, answer):
    """As the law treats it; where that was not read, nobody knows."""
    found = incident(taken(**LOCKED, key_exposed=False))
    one = found.exposure({"US-CA"}, {"encrypted": treated}, CARD)

    assert one.answer == answer
    assert one.taken == ()


def test_enough_bits():
    """A law may say how strong the encryption has to be."""
    found = incident(taken(**{**LOCKED, "bits": 56}, key_exposed=False))

    assert found.exposure({"US-CA"}, {**KEY, "min_bits": 56}, CARD).answer == "no"
    assert found.exposure({"US-CA"}, {**KEY, "min_bits": 57}, CARD).answer == "yes"


def test_a_lost_data_set_beside_a_locked_one():
    """One readable list is enough, and only its people count."""
    found = incident(
        taken(persons={"US-CA": 400}, **LOCKED, key_exposed=False), taken(persons={"US-CA": 7})
    )
    one = found.exposure({"US-CA"}, KEY, CARD)

    assert (one.answer, one.least, one.most, one.everybody) == ("yes", 7, 7, 407)


def test_two_lists_that_make_a_breach_only_together():
    """Names in one, card numbers in the other, on the same stolen stick: unknown, not no."""
    names, cards = taken("name"), taken("card_pan card_cvv")

    assert incident(names).exposure({"US-CA"}, KEY, CARD).answer == "no"
    assert incident(cards).exposure({"US-CA"}, KEY, CARD).answer == "no"
    one = incident(names, cards).exposure({"US-CA"}, KEY, CARD)
    assert one.answer == "unknown"
    assert "joined" in one.why
    locked = taken("card_pan card_cvv", **LOCKED, key_exposed=False)
    assert incident(names, locked).exposure({"US-CA"}, KEY, CARD).answer == "no"


def test_the_number_of_people_has_two_ends():
    """Two lists may hold the same customers, or all different ones."""
    found = incident(taken(persons={"US-CA": 300}), taken(persons={"US-CA": 400}))
    one = found.exposure({"US-CA"}, KEY, CARD)

    assert (one.least, one.most) == (400, 700)
    assert one.enough({"op": ">", "value": 399})[0] is True
    assert one.enough({"op": ">", "value": 400})[0] is None
    assert one.enough({"op": ">=", "value": 400})[0] is True
    assert one.enough({"op": ">", "value": 700})[0] is False
    assert one.enough({}) == (True, "")


def test_a_number_that_nobody_knows_is_not_zero():
    """A threshold is then unknown; a known part may be enough."""
    found = incident(taken(persons={"US-CA": None}), taken(persons={"US-CA": 501}))
    one = found.exposure({"US-CA"}, KEY, CARD)

    assert one.most is None
    assert one.enough({"op": ">", "value": 500})[0] is True
    assert one.enough({"op": ">", "value": 501})[0] is None


def test_only_people_of_that_place_count():
    """Germany and France are one place for a European law."""
    found = incident(taken(persons={"US-CA": 10, "DE": 2, "FR": 3}))

    assert found.exposure({"DE", "FR"}, KEY, CARD).most == 5
    assert found.exposure({"US-TX"}, KEY, CARD).everybody == 0


@pytest.mark.parametrize(
    ("hold", "may_wait", "day", "says"),
    [
        (None, True, date(2026, 12, 1), ""),
        (Hold("police", True, date(2026, 12, 20)), True, date(2026, 12, 20), "moved"),
        (Hold("police", True, date(2026, 12, 20)), False, date(2026, 12, 1), "no word"),
        (Hold("police", False, date(2026, 12, 20)), True, date(2026, 12, 1), "not in writing"),
        (Hold("police", True, date(2026, 11, 20)), True, date(2026, 12, 1), ""),
        (Hold("police", True), True, None, "name an end"),
    ],
)
def test_the_police_move_a_date_only_in_writing_and_only_where_the_rule_lets_them(
    hold, may_wait, day, says
):
    """A telephone call moves nothing."""
    moved, why = incident(hold=hold).held_back(date(2026, 12, 1), may_wait)

    assert moved == day
    assert says in why


def test_a_moment_keeps_its_zone():
    """The shop's clock is what counts."""
    zone = ZoneInfo("America/Los_Angeles")
    found = incident(discovered=NOW.astimezone(zone))

    assert found.events["discovered"].tzinfo is zone


def test_all_of_it_goes_into_the_memo():
    """Every part of the file, in words; what is not known is there and empty."""
    told = read(WHOLE).facts()

    assert told["Discovered"] == "2026-11-24 08:10-08:00"
    assert told["Determined"] == ""
    assert told["Told people"] == "2026-12-01 09:00-08:00"
    assert told["Data 1"] == "customer export (acquired): card_pan, email, name"
    assert told["People in data 1"] == "US-CA 510, US-NY unknown, DE 3"
    assert told["Encryption of data 1"] == (
        "AES-256-GCM, 256 bits; key unknown, so taken as exposed"
    )
    assert told["Encryption of data 2"] == "none"
    assert told["Firm that held the data"] == "a till maker"
    assert told["Police hold"] == "Oakland Police, in writing, until 2026-12-20"
    assert told["Risk test"] == "Ana Example, owner for US-FL: the file was found unopened"
