"""After a theft: the same rules, dates and recipients whoever asks, and a reason for each "no"."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import breach, clocks, incident, legal
from kit.breach import DUTY, NO_DUTY, UNKNOWN

ZONE = ZoneInfo("America/Los_Angeles")
BOOK = legal.Book()
MEMBERS = {one.jurisdiction: one.includes for one in BOOK.laws.values() if one.includes}
FOUND = datetime(2026, 11, 24, 8, 10, tzinfo=ZONE)
ON = FOUND.date()
RULES = BOOK.rows(ON)
WHERE = {"US-CA": 510, "US-NY": 20, "US-TX": 300, "DE": 4}
EXPORT = frozenset({"name", "card_pan", "card_cvv", "email"})
LOCKED = {"encrypted": True, "algorithm": "AES-256-GCM", "bits": 256}
MOMENTS = {
    "occurred": FOUND - timedelta(hours=14),
    "discovered": FOUND,
    "determined": FOUND + timedelta(days=1),
    "confirmed": FOUND + timedelta(days=2),
    "aware": FOUND + timedelta(hours=3),
}


def count(rule, events):
    """Count with the real clocks."""
    return BOOK.deadline(rule, events, zone=ZONE, on=ON)


def stolen(elements=EXPORT, persons=None, *, more=None, moments=None, **data):
    """Return a stolen laptop with one export on it."""
    data_set = incident.DataSet("export", frozenset(elements), persons or WHERE, **data)
    return incident.Incident("laptop", (data_set,), **(moments or MOMENTS), **(more or {}))


def assess(what, rules=RULES, **more):
    """Ask all the rows of the kit."""
    return breach.assess(what, rules, count, members=MEMBERS, **more)


def by_rule(found):
    """Return rule → finding."""
    return {one.rule: one for one in found.findings}


# ---- the stolen laptop, E24 ------------------------------------------------------------------


def test_encrypted_with_the_key_elsewhere():
    """California, New York and Texas: no duty, and why. Europe's authority is still a question."""
    found = assess(stolen(**LOCKED, key_exposed=False))

    states = [one for one in found.findings if one.place in ("US-CA", "US-NY", "US-TX")]
    assert {one.verdict for one in states} == {NO_DUTY}
    assert {one.reason for one in states} == {
        "no duty, because encrypted and key not exposed",
    }
    assert {one.rule for one in states} >= {
        *("us-ca-breach.people", "us-ny-breach.people", "us-tx-breach.people")
    }
    europe = by_rule(found)
    assert europe["eu-gdpr.people"].verdict == NO_DUTY
    assert europe["eu-gdpr.breach"].verdict == DUTY
    assert "may be the reason of a risk test" in europe["eu-gdpr.breach"].reason
    assert europe["eu-gdpr.breach.register"].verdict == DUTY


@pytest.mark.parametrize("exposed", [True, None])
def test_with_the_key_on_the_laptop_or_nobody_knows_where(exposed):
    """Identical to the same file in the clear: same rules, same dates, same recipients."""
    clear = assess(stolen())
    locked = assess(stolen(**LOCKED, key_exposed=exposed))

    assert locked == clear
    assert by_rule(clear)["us-ca-breach.people"].verdict == DUTY


def test_in_the_clear():
    """Whom, by when and from which rule, for every place."""
    found = by_rule(assess(stolen()))

    people = found["us-ca-breach.people"]
    assert (people.verdict, people.persons) == (DUTY, 510)
    assert (people.due, people.send_by) == (date(2026, 12, 24), date(2026, 12, 24))
    assert "name, card pan, card cvv" in people.reason
    assert people.taken == ("card_cvv", "card_pan", "email", "name")
    authority = found["us-ca-breach.ag"]
    assert authority.verdict == DUTY
    assert authority.who == "California Attorney General"
    assert authority.due is None
    assert "told people is not given" in authority.when
    assert authority.floor == ON + timedelta(days=15)
    assert authority.task
    assert found["us-ny-breach.people"].due == date(2026, 12, 24)
    assert found["us-ny-breach.cra"].reason == (
        "no duty, because not more than 5,000 people there are affected"
    )
    texas = found["us-tx-breach.people"]
    assert texas.verdict == UNKNOWN  # its list of data was not read
    assert "on California's list they count" in texas.reason
    assert (texas.due, texas.send_by) == (date(2027, 1, 24), date(2027, 1, 22))
    assert found["eu-gdpr.breach"].due == MOMENTS["aware"] + timedelta(hours=72)
    assert found["eu-gdpr.people"].when == "without undue delay"


@pytest.mark.parametrize(
    "data",
    [{}, {**LOCKED, "key_exposed": False}, {**LOCKED, "key_exposed": True}],
    ids=["clear", "locked", "key gone"],
)
@pytest.mark.parametrize("secret", ["card_cvv", "card_track", "card_pin"])
def test_card_secrets_are_a_finding_of_their_own_in_every_variant(secret, data):
    """You must not have had it, encrypted or not."""
    first = assess(stolen({"name", secret}, **data)).findings[0]

    assert (first.verdict, first.place, first.rule) == (DUTY, "card rules", "pci-dss.sad")
    assert first.recipient == "acquirer"
    assert "must not have had it" in first.reason


def test_without_card_secrets_there_is_no_such_finding():
    """A full card number alone is another matter."""
    assert "card rules" not in {one.place for one in assess(stolen({"name", "card_pan"})).findings}


# ---- unknown is an answer --------------------------------------------------------------------


@pytest.mark.parametrize("place", ["US-WY", "US-ZZ", "GB", "CA", "BR"])
def test_a_place_without_rules_is_unknown_and_never_no_duty(place):
    """Its people may have to be told all the same."""
    found = assess(stolen(persons={place: 3}, **LOCKED, key_exposed=False))

    (one,) = (one for one in found.findings if one.place == place)
    assert one.verdict == UNKNOWN
    assert one.persons == 3
    assert f"ask a lawyer about {place}" in one.task


def test_people_of_whom_nobody_knows_where_they_live():
    """Somebody has to find out."""
    found = assess(stolen(persons={"unknown": 12, "US-CA": 1}))

    (one,) = (one for one in found.findings if one.place == "unknown")
    assert (one.verdict, one.task) == (UNKNOWN, "find out where they live")


def test_a_missing_moment_gives_no_date_but_a_floor_and_a_task():
    """Texas counts from the determination; nobody wrote it down."""
    moments = {**MOMENTS, "determined": None}
    one = by_rule(assess(stolen(moments=moments)))["us-tx-breach.people"]

    assert (one.due, one.send_by) == (None, None)
    assert "determined is not given" in one.when
    assert one.floor == ON + timedelta(days=60)
    assert one.task == "find out and note when: determined"


def test_without_any_moment_not_even_a_floor():
    """No date is made up."""
    rules = BOOK.rows(ON)
    what = stolen(moments={"occurred": None})
    found = breach.assess(what, rules, count, members=MEMBERS)

    assert not [one for one in found.findings if one.due or one.send_by or one.floor]
    assert by_rule(found)["us-ca-breach.people"].task


def test_a_number_nobody_knows_yet_delays_nobody():
    """People are told; whether the Attorney General is, stays open."""
    found = by_rule(assess(stolen(persons={"US-CA": None, "US-MA": None})))

    assert found["us-ca-breach.people"].verdict == DUTY
    assert found["us-ca-breach.people"].persons is None
    assert found["us-ca-breach.ag"].verdict == UNKNOWN
    assert "nobody knows how many" in found["us-ca-breach.ag"].reason
    assert found["us-ma-breach.ag"].verdict == DUTY


@pytest.mark.parametrize(
    ("binds", "verdict"),
    [({"us-fed.safeguards": "yes"}, DUTY), ({"us-fed.safeguards": "no"}, NO_DUTY), ({}, UNKNOWN)],
)
def test_a_rule_with_its_own_test_of_whom_it_binds(binds, verdict):
    """Own store credit: yes, no, or nobody has looked."""
    found = by_rule(assess(stolen(persons={"US-CA": 300, "US-TX": 200}), binds=binds))

    one = found["us-fed.safeguards"]
    assert one.verdict == verdict
    assert one.persons == 500


def test_the_number_for_the_federal_rule_is_that_of_all_states():
    """499 in two states are too few, 500 are not."""
    binds = {"us-fed.safeguards": "yes"}
    few = by_rule(assess(stolen(persons={"US-CA": 299, "US-WY": 200}), binds=binds))
    many = by_rule(assess(stolen(persons={"US-CA": 300, "US-WY": 200}), binds=binds))

    assert few["us-fed.safeguards"].verdict == NO_DUTY
    assert many["us-fed.safeguards"].verdict == DUTY
    assert by_rule(assess(stolen(persons={"DE": 900}))).get("us-fed.safeguards") is None


# ---- reasons for no --------------------------------------------------------------------------


def test_nobody_who_lives_there():
    """A place with no people is asked, and answered."""
    found = by_rule(assess(stolen(persons={"US-CA": 0, "US-NY": 1})))

    assert found["us-ca-breach.people"].reason == "no duty, because nobody affected lives there"


def test_a_name_and_points_are_no_listed_data_where_the_list_is_whole():
    """Florida lists all that counts; California's list was not read to its end."""
    found = by_rule(assess(stolen({"name", "points"}, {"US-FL": 9, "US-CA": 9, "DE": 9})))

    assert found["us-fl-breach.people"].verdict == NO_DUTY
    assert "no combination" in found["us-fl-breach.people"].reason
    assert found["us-ca-breach.people"].verdict == UNKNOWN
    assert found["eu-gdpr.breach"].verdict == DUTY  # no list: any likely risk


def test_the_risk_test_counts_only_in_writing_and_for_its_places():
    """Florida has one, California none, and Louisiana was not named."""
    test = incident.Determination(
        "Ana Example", FOUND + timedelta(days=2), "sealed", frozenset({"US-FL", "US-CA"})
    )
    persons = {"US-FL": 600, "US-CA": 9, "US-LA": 9}
    with_test = assess(stolen(persons=persons, more={"no_harm": test}))
    without = by_rule(assess(stolen(persons=persons)))
    found = by_rule(with_test)

    assert found["us-fl-breach.people"].verdict == NO_DUTY
    assert "Ana Example wrote down on 2026-11-26" in found["us-fl-breach.people"].reason
    assert found["us-fl-breach.agency"].verdict == NO_DUTY
    assert found["us-ca-breach.people"].verdict == DUTY
    assert found["us-la-breach.people"].verdict == DUTY
    assert without["us-fl-breach.people"].verdict == DUTY


def test_a_risk_test_is_kept_and_in_florida_sent_in():
    """The memo has a period, and the Department gets a copy within 30 days."""
    test = incident.Determination("Ana", FOUND, "sealed", frozenset({"US-FL", "US-LA", "US-MD"}))
    persons = {"US-FL": 9, "US-LA": 9, "US-MD": 9, "US-OR": 9}
    found = assess(stolen(persons=persons, more={"no_harm": test}))

    assert set(found.memo_rules) == {"us-fl-breach.memo", "us-la-breach.memo", "us-md-breach.memo"}
    sent = by_rule(found)["us-fl-breach.memo_sent"]
    assert (sent.verdict, sent.who) == (DUTY, "Florida Department of Legal Affairs")
    assert sent.due == date(2026, 12, 25)
    assert sent.send_by == date(2026, 12, 24)
    assert "us-fl-breach.memo_sent" not in by_rule(assess(stolen(persons=persons)))


def test_a_european_risk_test_may_name_countries():
    """Only if it names every country concerned, or the Union."""
    for places, verdict in (({"DE"}, DUTY), ({"DE", "FR"}, NO_DUTY), ({"EU"}, NO_DUTY)):
        test = incident.Determination("Ana", FOUND, "encrypted", frozenset(places))
        found = by_rule(assess(stolen(persons={"DE": 1, "FR": 1}, more={"no_harm": test})))

        assert found["eu-gdpr.breach"].verdict == verdict


@pytest.mark.parametrize(
    ("hold", "place", "moved"),
    [
        (incident.Hold("police", True, date(2027, 1, 15)), "us-ny-breach.people", True),
        (incident.Hold("police", False, date(2027, 1, 15)), "us-ny-breach.people", False),
        (incident.Hold("police", True, date(2027, 1, 15)), "us-ca-breach.people", False),
    ],
)
def test_a_police_hold_moves_a_date_only_in_writing_and_where_the_rule_says_so(hold, place, moved):
    """Otherwise the date stands, and the reason is beside it."""
    one = by_rule(assess(stolen(more={"hold": hold})))[place]

    assert one.due == (date(2027, 1, 15) if moved else date(2026, 12, 24))
    assert any("police hold" in doubt for doubt in one.doubts)


def test_a_hold_without_an_end_leaves_a_floor():
    """And a task: ask for an end."""
    one = by_rule(assess(stolen(more={"hold": incident.Hold("police", True)})))[
        "us-ny-breach.people"
    ]

    assert (one.due, one.floor) == (None, date(2026, 12, 24))
    assert "name an end" in one.when


def test_a_vendors_duty_is_not_the_shops():
    """It is shown, because the shop waits for it."""
    found = by_rule(assess(stolen(more={"vendor": "a till maker"})))

    assert found["us-ny-breach.vendor"].verdict == NO_DUTY
    assert "binds the firm" in found["us-ny-breach.vendor"].reason
    assert "us-ny-breach.vendor" not in by_rule(assess(stolen()))


def test_what_is_done_whatever_the_rules_say():
    """Acquirer, insurer, lawyer, and GDPR where such people are among them."""
    always = " ".join(assess(stolen(persons={"DE": 1, "GB": 1})).always)

    for word in ("acquirer", "insurer", "lawyer", "no law makes you tell", "GDPR"):
        assert word in always
    assert "United Kingdom" in always
    assert "GDPR" not in " ".join(assess(stolen(persons={"US-CA": 1})).always)


def test_rules_of_low_confidence_decide_nothing():
    """The same row, confirmed or not: a duty, or unknown."""
    low = [replace(row, confidence="low") if row.fact == "br.ca" else row for row in RULES]
    one = by_rule(assess(stolen(), low))["us-ca-breach.people"]

    assert one.verdict == UNKNOWN
    assert one.due is None
    assert "nobody has confirmed this rule" in one.reason
    low = [replace(row, confidence="low") if row.fact == "br.el.fl" else row for row in RULES]
    for held in ({"name", "ssn"}, {"name", "points"}):  # a list that nobody confirmed is no list
        made = by_rule(assess(stolen(held, {"US-FL": 9}), low))["us-fl-breach.people"]
        assert made.verdict == UNKNOWN


def test_doubts_stand_beside_the_date():
    """Medium rows compute, and say what is not certain."""
    one = by_rule(assess(stolen(persons={"US-MD": 9})))["us-md-breach.people"]

    assert one.due
    assert any("investigation" in doubt for doubt in one.doubts)


def test_in_maryland_the_attorney_general_comes_first():
    """With the day on which the people are to be told."""
    one = by_rule(assess(stolen(persons={"US-MD": 9})))["us-md-breach.ag"]

    assert one.when.startswith("before people are told (they are to be told by 2027-01-08")


# ---- properties ------------------------------------------------------------------------------


ELEMENTS = st.frozensets(
    st.sampled_from(["name", "card_pan", "card_cvv", "ssn", "email", "password", "points"]),
    min_size=1,
)
PLACES = st.dictionaries(
    st.sampled_from(["US-CA", "US-NY", "US-TX", "US-FL", "US-MA", "US-WA", "US-NM", "DE", "US-WY"]),
    st.one_of(st.none(), st.integers(1, 12_000)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(ELEMENTS, PLACES, st.sampled_from([True, None]))
def test_a_key_of_which_nobody_knows_is_the_same_as_no_encryption(elements, persons, exposed):
    """For whatever was taken, wherever people live."""
    assert assess(stolen(elements, persons)) == assess(
        stolen(elements, persons, **LOCKED, key_exposed=exposed)
    )


@settings(max_examples=25, deadline=None)
@given(ELEMENTS, PLACES)
def test_every_rule_gets_an_answer_with_a_reason_and_every_duty_a_time_or_a_task(elements, persons):
    """Nothing is left out, and nothing says "duty" without by when."""
    found = assess(stolen(elements, persons))

    asked = {one.place for one in found.findings} - {"card rules", "US"}
    assert asked == {"EU" if place == "DE" else place for place in persons}
    for one in found.findings:
        assert one.verdict in (DUTY, NO_DUTY, UNKNOWN)
        assert one.reason
        assert one.verdict == NO_DUTY or one.due or one.when
        assert one.verdict != NO_DUTY or one.reason.startswith("no duty")


@settings(max_examples=25, deadline=None)
@given(ELEMENTS, PLACES, st.integers(1, 5_000))
def test_more_people_never_mean_fewer_duties(elements, persons, more):
    """One more resident cannot turn a duty into none."""
    grown = {place: None if n is None else n + more for place, n in persons.items()}
    before, after = (
        by_rule(assess(stolen(elements, persons))),
        by_rule(assess(stolen(elements, grown))),
    )

    for rule, one in before.items():
        if one.verdict == DUTY:
            assert after[rule].verdict == DUTY


# ---- refusals --------------------------------------------------------------------------------


def test_naive_moments_never_get_this_far():
    """They are refused where the incident is written, and by the clocks as well."""
    naive = FOUND.replace(tzinfo=None)
    with pytest.raises(incident.BadIncident):
        stolen(moments={"discovered": naive})
    with pytest.raises(clocks.NoZone):
        count(BOOK.get("br.ca", ON), {"discovered": naive})


@pytest.mark.parametrize(
    ("without", "says"),
    [
        pytest.param("pci.sad", "pci.sad", id="the card rule"),
        pytest.param("br.ca", "us-ca-breach.ag", id="the people's rule"),
    ],
)
def test_refuses_to_guess_a_rule_that_was_not_handed_over(without, says):
    """An answer without it would be wrong."""
    rules = [row for row in RULES if row.fact != without]
    with pytest.raises(breach.NoRule, match=says) as caught:
        assess(stolen(), rules)
    assert isinstance(caught.value, breach.BreachError)


def test_the_day_of_discovery_picks_the_rules():
    """Found in December 2025, California had no number of days."""
    found = datetime(2025, 12, 30, 9, tzinfo=UTC)
    rules = BOOK.rows(date(2025, 12, 30))
    rules += [row for row in RULES if row.fact == "pci.sad"]
    what = stolen(persons={"US-CA": 9}, moments={"discovered": found})
    one = by_rule(assess(what, rules))["us-ca-breach.people.until_2025"]

    assert (one.due, one.when) == (None, "in the most expedient time possible")
