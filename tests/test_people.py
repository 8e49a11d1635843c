"""Nobody in the made-up shop can be real, and what the tables say about people agrees."""

from __future__ import annotations

import re
from datetime import date
from functools import cache

import numpy as np
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from email_validator import validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import generate, people

LOCALES = ["en_US", "de_DE", "ja_JP", "it_IT", "en_GB"]
FICTION = re.compile(r"\+1\d{3}55501\d\d")
NEVER_GIVEN_OUT = re.compile(r"\+1[2-9]9\d[2-9]\d{6}")
DRAMA = re.compile(r"\+44(1632960|7700900)\d{3}")
SAFE_EMAIL = re.compile(r"[a-z0-9.]+@example\.(com|net|org)")


@cache
def shop(customers, seed=42, locale="en_US"):
    """Return the tables about people, without the trade."""
    made = generate.Shop(customers, parts=(people.People,), seed=seed, locale=locale)
    return {name: made.table(name) for name in made.tables}


def flat(tables, column):
    """Return the values of a column in all tables that have it."""
    found = [t[column].drop_null().to_pylist() for t in tables.values() if column in t.column_names]
    return [value for values in found for value in values]


def refers(child, parent, column):
    """Return whether every reference has something to refer to."""
    known = parent[column].to_pylist()
    return len(set(known)) == len(known) and set(child[column].to_pylist()) <= set(known)


sizes = pytest.mark.parametrize("customers", [1, 10, 100, 1_000, 10_000])
locales = pytest.mark.parametrize("locale", LOCALES)


@locales
@sizes
def test_no_telephone_number_can_ring(customers, locale):
    """A learner who rings a number from a lesson reaches nobody."""
    numbers = flat(shop(customers, locale=locale), "phone")

    assert len(set(numbers)) == len(numbers)
    for number in numbers[:: 1 + len(numbers) // 500]:
        parsed = phonenumbers.parse(number)
        if FICTION.fullmatch(number):
            assert locale == "en_US"
        elif DRAMA.fullmatch(number):
            assert locale == "en_GB"
        else:
            assert NEVER_GIVEN_OUT.fullmatch(number)
            assert not phonenumbers.is_valid_number(parsed)
        assert phonenumbers.is_possible_number(parsed)


def test_every_fiction_number_is_in_an_area_code_that_exists():
    """Software that checks numbers accepts them, so lessons can show the happy path."""
    codes = generate.read("places")["area_codes"]

    assert len(codes) == len(set(codes)) == 359
    for code in codes:
        for last in (100, 199):
            number = phonenumbers.parse(f"+1{code}5550{last}")
            assert phonenumbers.is_valid_number(number)
            assert phonenumbers.region_code_for_number(number) == "US"


def test_numbers_set_aside_are_used_first_and_then_the_others():
    """A shop with more customers than there are fiction numbers still rings nobody."""
    numbers = flat({"customers": shop(60_000)["customers"]}, "phone")
    fiction = [n for n in numbers if FICTION.fullmatch(n)]

    assert 25_000 < len(fiction) < 35_900
    assert all(NEVER_GIVEN_OUT.fullmatch(n) for n in set(numbers) - set(fiction))
    assert len(set(numbers)) == len(numbers)


@locales
@sizes
def test_no_email_address_can_receive(customers, locale):
    """Mail that a learner sends by mistake goes nowhere, and no two people share an address."""
    addresses = flat(shop(customers, locale=locale), "email")

    assert len(set(addresses)) == len(addresses)
    assert all(SAFE_EMAIL.fullmatch(address) for address in addresses)
    for address in addresses[:: 1 + len(addresses) // 100]:
        validate_email(address, check_deliverability=False)


def test_names_in_other_alphabets_give_plain_addresses():
    """An address is never half a name."""
    customers = shop(100, locale="ja_JP")["customers"]

    assert all(re.match(r"c\d+@", e) for e in customers["email"].drop_null().to_pylist())


@locales
@sizes
def test_every_reference_about_people_resolves(customers, locale):
    """A table can be joined to another without losing a row."""
    tables = shop(customers, locale=locale)

    assert refers(tables["employees"], tables["stores"], "store_id")
    for child in ("addresses", "consents", "privacy_requests"):
        assert refers(tables[child], tables["customers"], "customer_id")
    for name, table in tables.items():
        first = table.column(0).to_pylist()
        assert len(set(first)) == len(first), name
        assert table.column(0).null_count == 0


def check_consents(tables):
    """Assert that flags are what the events say, and that events are in order."""
    state, when = {}, {}
    created = dict(
        zip(
            *(tables["customers"][c].to_pylist() for c in ("customer_id", "created_at")),
            strict=True,
        )
    )
    for row in tables["consents"].to_pylist():
        place = row["customer_id"], row["channel"]
        follows = {"given": None, "confirmed": "given", "withdrawn": "confirmed"}
        assert state.get(place) == follows[row["event"]]
        assert row["happened_at"] >= when.get(place, created[row["customer_id"]])
        assert row["happened_at"].date() <= date(2026, 7, 1)
        state[place], when[place] = row["event"], row["happened_at"]
    for row in tables["customers"].to_pylist():
        for channel, contact in (("email", "email"), ("sms", "phone")):
            confirmed = state.get((row["customer_id"], channel)) == "confirmed"
            assert row[f"accepts_{channel}"] == confirmed
            assert row[contact] is not None or not confirmed


@sizes
def test_nobody_is_written_to_without_a_standing_consent(customers):
    """The flag that a newsletter goes by is what was given, confirmed and not withdrawn."""
    check_consents(shop(customers))


@settings(max_examples=10, deadline=None)
@given(customers=st.integers(1, 60), seed=st.integers(0, 2**63 - 1))
def test_consents_hold_for_any_seed(customers, seed):
    """Not one lucky seed, but all."""
    made = generate.Shop(customers, parts=(people.People,), seed=seed, locale="ja_JP")
    check_consents({name: made.table(name) for name in ("customers", "consents")})


def test_customers_are_numbered_as_they_signed_up():
    """The order that `trade` relies on to know who was there already."""
    created = shop(10_000)["customers"]["created_at"].cast(pa.int64()).to_numpy()

    assert (np.diff(created) >= 0).all()


def test_no_customer_is_a_child_and_some_say_no_birthday():
    """A list of birthdays never holds a child's."""
    born = shop(10_000)["customers"]["birthday"]

    assert pc.max(born).as_py() < date(2005, 1, 1)
    assert 0.6 < born.null_count / len(born) < 0.8


def test_as_many_leave_a_phone_number_as_in_life():
    """Shares of contacts follow the calibration: phone .81, e-mail .25, neither .17."""
    customers = shop(10_000)["customers"]
    phone, email = (np.array(customers[c].is_valid()) for c in ("phone", "email"))

    assert abs(phone.mean() - 0.81) < 0.02
    assert abs(email.mean() - 0.25) < 0.02
    assert abs((~phone & ~email).mean() - 0.17) < 0.02


def test_some_people_share_a_name_and_some_a_home():
    """A name is no key: a lesson shows what happens when it is used as one."""
    tables = shop(1_000)
    names = list(
        zip(*(tables["customers"][c].to_pylist() for c in ("first_name", "last_name")), strict=True)
    )
    homes = tables["addresses"].filter(pc.equal(tables["addresses"]["kind"], "home"))
    places = list(zip(*(homes[c].to_pylist() for c in ("street", "city", "postcode")), strict=True))

    assert len(set(names)) < len(names)
    assert 0.02 < 1 - len(set(places)) / len(places) < 0.2


def test_privacy_requests_are_answered_after_they_came():
    """A report on answering times has no negative ones."""
    tables = shop(10_000)
    created = dict(
        zip(
            *(tables["customers"][c].to_pylist() for c in ("customer_id", "created_at")),
            strict=True,
        )
    )
    rows = tables["privacy_requests"].to_pylist()

    assert len(rows) == 51
    assert {row["status"] for row in rows} == {"open", "answered", "refused"}
    assert len({row["customer_id"] for row in rows}) == len(rows)
    for row in rows:
        assert row["received_at"] >= created[row["customer_id"]]
        assert (row["answered_at"] is None) == (row["status"] == "open")
        assert row["answered_at"] is None or row["answered_at"] > row["received_at"]
        assert (row["kind"], row["status"]) != ("delete", "answered")
