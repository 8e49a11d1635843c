"""The stolen laptop, with and without the key; the stolen password: whose data, whom to tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from asked_shop import LAWS, ME, buyer, change, put
from real_shop import LATER, NOW, ZONE, content, filled, sound

from kit import audit, exposed, grounds, incident, removals
from kit.breach_letters import LetterError, Story
from kit.incident import BadIncident, DataSet, Incident

HOUR = timedelta(hours=1)
STORY = Story(
    "Corner Flowers", "1 Elm Street", "212-555-0142", "A laptop was stolen.", "New locks."
)


@pytest.fixture
def shop(tmp_path):
    """Return a shop with three customers in California, two in New York, one in Germany."""
    with filled(tmp_path / "shop") as made:
        homes = [row["address_id"] for row in content(made)["addresses"]]
        places = [("California", "US")] * 3 + [("NY", "US")] * 2 + [(None, "DE")]
        for home, (region, country) in zip(homes, places, strict=False):
            change(made, "addresses", home, region=region, country=country)
        for home in homes[len(places) :]:
            change(made, "addresses", home, region="??", country=None)
        yield made


def incident_of(shop, **change):
    """Return the theft of the database, found out an hour later."""
    sets = exposed.data_sets(shop, LAWS, **change)
    return incident.read(exposed.draft("laptop stolen", sets, occurred=NOW, discovered=NOW + HOUR))


def findings(shop, what):
    """Hold an incident against the rules."""
    found = exposed.assess(
        what, LAWS, shop.settings.business, zone=shop.settings.zone, today=LATER.date()
    )
    return {(one.place, one.recipient): one for one in found.findings}


def test_a_stolen_database_is_everybody(shop):
    """By where they live, and by what the inventory seals and what it leaves open."""
    sealed, clear = exposed.data_sets(shop, LAWS, key_exposed=False)

    assert (sealed.name, sealed.encrypted, sealed.bits) == ("sealed fields", True, 256)
    assert {"email", "phone", "postal_address", "staff_note"} <= sealed.elements
    assert {"name", "visits", "purchases", "card_last4"} <= clear.elements
    assert not clear.encrypted
    assert "email" not in clear.elements
    assert sealed.persons["US-CA"] == 3
    assert (sealed.persons["US-NY"], sealed.persons["DE"]) == (2, 1)
    assert sum(sealed.persons.values()) == len(content(shop)["customers"])


@pytest.mark.parametrize("key", [None, False, True], ids=["unknown", "safe", "stolen"])
def test_what_is_known_of_the_key_is_written_down(shop, key):
    """Nobody's silence makes it safe: what is not known stays unknown."""
    said = {} if key is None else {"key_exposed": key}
    sealed, _ = exposed.data_sets(shop, LAWS, **said)
    drafted = next(one for one in incident_of(shop, **said).data if one.encrypted)

    assert sealed.key_exposed is drafted.key_exposed is key


def test_a_password_that_was_stolen_exposes_what_was_looked_at(shop):
    """Whom it looked at, and what its role sees, in the clear; the log tells both."""
    ana = buyer(shop)
    shop.find(ana["email"], actor="sam", purpose="sale", now=NOW)
    shop.find(ana["last_name"], actor="max", purpose="sale", now=NOW + HOUR)
    span = {"since": NOW, "until": NOW + HOUR, **ME}
    looked = exposed.looked_at(shop, people=["sam"], **span)
    (clear,) = exposed.data_sets(shop, LAWS, customers=looked.customers, roles=looked.roles)

    assert looked.customers == {ana["customer_id"]}
    assert not looked.everybody
    assert looked.roles == {"cashier"}
    assert sum(clear.persons.values()) == 1
    assert "name" in clear.elements
    assert not {"email", "phone"} & clear.elements  # a cashier does not see them
    assert exposed.looked_at(shop, people=["tom"], **span).customers == frozenset()
    sound(shop)


def test_an_export_may_be_anybody(shop):
    """The log says how many, not who; so all are counted."""
    with shop.writing("mia", NOW) as connection:
        shop.note(connection, "mia", "export", "marketing", NOW, count=9)

    assert exposed.looked_at(shop, since=NOW, until=LATER, **ME).everybody


def test_who_was_erased_since_is_counted(shop):
    """They cannot be told any more, but the memo says that there was somebody."""
    ana = buyer(shop)
    shop.find(ana["email"], actor="sam", purpose="sale", now=NOW)
    removals.erase(shop, removals.plan_erasure(shop, ana["customer_id"], now=NOW), **ME)
    looked = exposed.looked_at(shop, since=NOW, until=LATER, people=["sam"], **ME)

    assert (looked.gone, looked.customers) == (1, frozenset())
    assert exposed.data_sets(shop, LAWS, customers=looked.customers, roles=["cashier"]) == []


def test_looking_is_logged(shop):
    """Also who asks whom a breach touches."""
    exposed.looked_at(shop, since=NOW, until=LATER, **ME)
    with shop.reading() as connection:
        assert [e["action"] for e in audit.entries(connection)][-1] == "list"


def test_a_column_counts_by_its_name_once_it_holds_something(shop):
    """A log-in name that no customer has was not stolen; one customer's was."""
    before = exposed.data_sets(shop, LAWS)
    put(shop, "customers", {"customer_id": "c-1", "username": "ana77"})
    after = exposed.data_sets(shop, LAWS)

    assert not any("username" in one.elements for one in before)
    assert [one.name for one in after if "username" in one.elements] == ["sealed fields"]


def test_the_key_decides(shop):
    """A name with a licence number: sealed and the key safe, nobody is told; else by the dates."""
    base = incident_of(shop)
    risky = replace(
        base.data[0], elements=frozenset({"name", "driver_licence"}), persons={"US-CA": 3, "DE": 1}
    )
    answers = {}
    for exposed_ in (False, True, None):
        what = replace(base, data=(replace(risky, key_exposed=exposed_),))
        answers[exposed_] = findings(shop, what)

    assert answers[False]["US-CA", "people"].verdict == "no duty"
    assert "key not exposed" in answers[False]["US-CA", "people"].reason
    told = answers[True]["US-CA", "people"]
    assert told.verdict == "duty"
    assert told.due == date(2026, 12, 24)  # thirty days after it was found out
    assert {k: (v.verdict, v.due) for k, v in answers[None].items()} == {
        k: (v.verdict, v.due) for k, v in answers[True].items()
    }
    assert answers[False]["EU", "authority"].verdict == "duty"


def test_it_is_written_up(shop, tmp_path):
    """Memo with reasons, calendar, and letters in your words; customers are in none of them."""
    base = incident_of(shop)
    risky = replace(base.data[1], elements=frozenset({"name", "driver_licence"}))
    what = replace(base, data=(risky,))
    found = exposed.assess(what, LAWS, {}, zone=shop.settings.zone, today=LATER.date())
    folder = exposed.folder_of(shop, what.name)
    files = exposed.write_up(
        folder, what, found, LAWS, story=STORY, zone=shop.settings.zone, now=LATER
    )
    names = {path.name for path in files}
    everything = b"".join(path.read_bytes() for path in files).decode()

    assert folder.name == "breach-laptop-stolen"
    assert {"memo.md", "dates.ics", "letter-us-ca-people.html"} <= names
    assert "BEGIN:VCALENDAR" in everything
    assert "Not to be told, and why" in (folder / "memo.md").read_text()
    assert "not legal advice" not in (folder / "letter-us-ca-people.txt").read_text().casefold()
    assert buyer(shop)["last_name"] not in everything
    without = exposed.write_up(tmp_path, what, found, LAWS, zone=shop.settings.zone, now=LATER)
    assert {path.name for path in without} == {"memo.md", "dates.ics"}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("../../etc", "breach-etc"),
        ("Laptop / van <b>", "breach-laptop-van-b"),
        ("\u202e", "breach-incident"),
        ("x" * 99, "breach-" + "x" * 40),
        ('laptop \U0001f600\x7f\t"', "breach-laptop"),
    ],
)
def test_a_name_is_no_path(shop, name, folder):
    """Whatever the incident is called, its folder lies in the shop's records."""
    assert exposed.folder_of(shop, name) == shop.folder / "records" / folder
    sets = exposed.data_sets(shop, LAWS)
    assert incident.read(exposed.draft(name, sets, discovered=NOW)).name == name


def test_a_story_that_is_none_is_refused(tmp_path):
    """With what it has to say."""
    path = tmp_path / "story.toml"
    full = 'shop = "a"\ncontact = "b"\nwhat_happened = 3\ndoing = "d"\n'
    for text in ("shop = ", 'shop = "x"', 'mood = "bad"', full):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(LetterError, match="what_happened"):
            exposed.read_story(path)
    path.write_bytes(b'shop = "\xff"')
    with pytest.raises(LetterError, match="what_happened"):
        exposed.read_story(path)
    path.write_text('shop = "a"\ncontact = "b"\nwhat_happened = "c"\ndoing = "d"\n')
    assert exposed.read_story(path).doing == "d"


def held(elements, persons):
    """Hold a file of names and numbers against the rules, as somebody wrote it down."""
    data = DataSet("export", frozenset(elements), persons)
    what = Incident("laptop", (data,), discovered=NOW)
    return exposed.assess(what, LAWS, {}, zone=ZoneInfo(ZONE), today=NOW.date()).findings


@pytest.mark.parametrize(
    ("elements", "persons", "says"),
    [
        pytest.param(["name", "card_number"], {"US-FL": 3}, "'card_number'; known are", id="data"),
        pytest.param(["name", "ssn"], {"US-XX": 3}, "'US-XX'; write US-CA", id="no such state"),
        pytest.param(["name", "ssn"], {"TX": 3}, "'TX'; write US-CA", id="no country"),
        pytest.param(["name", "ssn"], {"us-fl": 3}, "'us-fl'; write US-CA", id="small letters"),
        pytest.param(["name", "ssn"], {"New York": 3}, "'New York'; write US-CA", id="in words"),
    ],
)
def test_a_slip_is_refused_and_never_no_duty(elements, persons, says):
    """A word that no rule knows matches none: a mistyped card number would look harmless."""
    with pytest.raises(BadIncident, match=says):
        held(elements, persons)


def test_a_year_too_far_is_refused():
    """All dates would be years late. To tell the people may be planned."""
    data = (DataSet("export", frozenset({"name"}), {"US-CA": 1}),)
    to_come = {"told_people": LATER + 9 * HOUR}
    how = {"zone": ZoneInfo(ZONE), "today": NOW.date()}
    exposed.assess(Incident("x", data, discovered=NOW, more=to_come), LAWS, {}, **how)
    with pytest.raises(BadIncident, match="discovered is in the future"):
        exposed.assess(Incident("x", data, discovered=LATER), LAWS, {}, **how)


def test_a_country_that_may_be_a_state_is_asked_about():
    """CA is Canada, and a shop in California writes it in a hurry."""
    (canada,) = (one for one in held(["name", "ssn"], {"CA": 510}) if one.place == "CA")
    assert canada.verdict == "unknown"
    assert "if California is meant, write US-CA" in canada.task
    assert "write" not in held(["name", "ssn"], {"NZ": 3})[-1].task
    assert held(["name", "ssn"], {"US-PR": 3})[-1].verdict == "unknown"


@pytest.mark.parametrize(
    ("country", "region", "place"),
    [
        ("US", "New York", "US-NY"),
        ("us", "ny", "US-NY"),
        ("US", "Ontario", "unknown"),
        (None, "CA", "US-CA"),
        ("CA", "ON", "CA"),
        ("TX", "", "unknown"),
        ("1\u00e9", "", "unknown"),
        ("France", "", "unknown"),
    ],
)
def test_where_a_customer_lives_is_a_place_or_unknown(country, region, place):
    """What the kit drafts itself, it can assess."""
    assert grounds.place_of({"country": country, "region": region}, "US") == place
    assert held(["name", "ssn"], {place: 3})


def test_a_shop_in_delaware_may_be_asked_from_germany(shop):
    """Both are DE to somebody; the law of Germany is looked up all the same."""
    shop.settings.business["state"] = "US-DE"
    _, coverage, dates = grounds.ground(shop, LAWS, "know", "DE", NOW)
    assert coverage.answer == "yes"
    assert "eu-gdpr.access" in str(dates)


def test_data_that_the_inventory_forgot_are_not_left_out(shop):
    """A thief takes them all the same."""
    del shop.inventory.fields["customers.birthday"]
    with pytest.raises(BadIncident, match=r"customers\.birthday holds data, .*write it down"):
        exposed.data_sets(shop, LAWS)


def test_who_looks_into_a_theft_is_no_thief(shop):
    """To ask the log twice does not make everybody's data stolen."""
    for _ in range(2):
        looked = exposed.looked_at(shop, since=NOW, until=LATER, **ME)
    assert not looked.everybody
    with shop.writing("owner", NOW) as connection:
        shop.note(connection, "owner", "print", "marketing", NOW, count=9)
    assert exposed.looked_at(shop, since=NOW, until=LATER, **ME).everybody


def risky(tmp_path, now=LATER, laws=LAWS, story=STORY):
    """Write up a theft that has to be told; return the files by name."""
    data = DataSet("export", frozenset({"name", "ssn"}), {"US-MA": 3, "US-CA": 3})
    what = Incident("laptop", (data,), discovered=NOW)
    found = exposed.assess(what, laws, {}, zone=ZoneInfo(ZONE), today=now.date())
    story = replace(story, offered="Credit monitoring, free.", monitoring_months=18)
    exposed.write_up(tmp_path, what, found, laws, story=story, zone=ZoneInfo(ZONE), now=now)
    return {one.name: one.read_text(encoding="utf-8") for one in tmp_path.iterdir()}


def test_what_to_look_at_before_a_letter_goes_out_is_said(tmp_path):
    """The kit sends nothing: a person reads each letter, and the memo says what to look for."""
    memo = risky(tmp_path)["memo.md"]
    assert "## Before a letter goes out" in memo
    assert "- letter-us-ma-people: It must not tell the nature of the breach" in memo
    assert "18 months of credit monitoring" in memo


def test_what_was_decided_and_changed_by_hand_is_kept(tmp_path):
    """Assessing once more must lose neither the first memo nor the owner's own letter."""
    risky(tmp_path)
    letter = tmp_path / "letter-us-ca-people.txt"
    letter.write_text("my own words", encoding="utf-8")
    files = risky(tmp_path, LATER + HOUR)
    earlier = {name for name in files if ".until-" in name}

    assert {name.partition(".until-")[0] for name in earlier} == {"memo", "letter-us-ca-people"}
    assert "my own words" in {files[name] for name in earlier}
    assert files["letter-us-ca-people.txt"] != "my own words"
    assert not [name for name in files if name.endswith(".part")]


def test_overdue_rules_say_so_in_the_memo(tmp_path):
    """A law that nobody has read again for months may be another one by now."""
    assert "Overdue: " not in risky(tmp_path / "now")["memo.md"]
    assert "Overdue: " in risky(tmp_path / "later", NOW.replace(year=2027, month=9))["memo.md"]


def test_deleted_customers_who_lie_in_the_trash_were_stolen_too(shop):
    """For some days all of it can be brought back, by the owner and by a thief with the keys."""
    before = exposed.data_sets(shop, LAWS)
    removals.delete(shop, buyer(shop)["email"], **ME)
    sealed, clear, bin_ = exposed.data_sets(shop, LAWS, key_exposed=True)

    assert len(before) == 2
    assert (bin_.persons, bin_.encrypted, bin_.key_exposed) == ({"unknown": 1}, True, True)
    assert bin_.elements == sealed.elements | clear.elements
    assert len(exposed.data_sets(shop, LAWS, customers=["c-1"], roles=["owner"])) <= 1
