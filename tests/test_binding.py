"""Does a law bind the shop? Yes, no, or unknown: never what nobody told."""

from __future__ import annotations

import itertools
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.binding import BindingError, both, check_business, either, evaluate, named

ON = date(2026, 11, 24)
WORDS = ["no", "unknown", "yes"]
ANSWERS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5)


def leaf(field, op=">=", value=100, **more):
    """Return a test of a number."""
    return {"field": field, "op": op, "value": value, **more}


def people(value=100, op=">=", **more):
    """Return a test of how many Virginians."""
    return leaf("consumers", op, value, place="US-VA", **more)


def answer(tree, **business):
    """Return the answer alone."""
    return evaluate(tree, business, ON)[0]


@pytest.mark.parametrize(("one", "two"), list(itertools.product(WORDS, repeat=2)))
def test_the_tables_of_three_valued_logic(one, two):
    """The whole table: known is only what cannot turn out otherwise."""

    def outcomes(join):
        could = {"yes": [True], "no": [False], "unknown": [True, False]}
        found = {join([a, b]) for a in could[one] for b in could[two]}
        return {True: "yes", False: "no"}[found.pop()] if len(found) == 1 else "unknown"

    assert either([one, two]) == outcomes(any)
    assert both([one, two]) == outcomes(all)


@given(ANSWERS)
def test_order_and_repetition_change_nothing(answers):
    """Nor does it matter how a law's tests are nested."""
    assert either(answers) == either(reversed(answers * 2))
    assert both(answers) == both(reversed(answers * 2))
    flip = {"yes": "no", "no": "yes", "unknown": "unknown"}
    assert flip[either(answers)] == both(flip[one] for one in answers)


@given(st.lists(st.sampled_from(["any_sale", "sba_small", "has_website"]), min_size=1), st.data())
def test_what_is_learnt_later_never_turns_a_yes_into_a_no(fields, data):
    """Only unknown changes when the owner fills in one more fact."""
    word = data.draw(st.sampled_from(["any", "all"]))
    tree = {word: [{"field": field} for field in fields]}
    facts = {field: data.draw(st.booleans()) for field in set(fields)}
    some = {key: facts[key] for key in facts if data.draw(st.booleans())}

    before = answer(tree, **some)
    assert before in ("unknown", answer(tree, **facts))


@pytest.mark.parametrize(
    ("op", "at", "expected"),
    [
        *[(">", n, yes) for n, yes in [(99, "no"), (100, "no"), (101, "yes")]],
        *[(">=", n, yes) for n, yes in [(99, "no"), (100, "yes"), (101, "yes")]],
        *[("<", n, yes) for n, yes in [(99, "yes"), (100, "no"), (101, "no")]],
        *[("<=", n, yes) for n, yes in [(99, "yes"), (100, "yes"), (101, "no")]],
    ],
)
def test_more_than_is_not_at_least(op, at, expected):
    """One customer more or less decides, so the words are kept as they are."""
    assert answer(leaf("revenue_usd", op), revenue_usd=at) == expected
    assert answer(people(op=op), consumers={"US-VA": at}) == expected


@pytest.mark.parametrize(
    ("tree", "business", "expected"),
    [
        pytest.param(people(), {}, "unknown", id="nothing said"),
        pytest.param(people(), {"residents_of": ["US-CA"]}, "no", id="no Virginian at all"),
        pytest.param(people(), {"residents_of": ["US-VA"]}, "unknown", id="some Virginians"),
        pytest.param(people(exclude_payment_only=True), {"consumers": {"US-VA": 99}}, "no",
                     id="too few even with those who only paid"),
        pytest.param(people(exclude_payment_only=True), {"consumers": {"US-VA": 100}}, "unknown",
                     id="nobody counted those who only paid"),
        pytest.param(people(exclude_payment_only=True),
                     {"consumers": {"US-VA": 100}, "payment_only": {"US-VA": 0}}, "yes",
                     id="none only paid"),
        pytest.param(people(exclude_payment_only=True),
                     {"consumers": {"US-VA": 100}, "payment_only": {"US-VA": 1}}, "no",
                     id="one only paid"),
        pytest.param(people(counting="bought_sold_shared"), {"consumers": {"US-VA": 99}}, "no",
                     id="fewer people than that in all"),
        pytest.param(people(counting="bought_sold_shared"), {"consumers": {"US-VA": 100}},
                     "unknown", id="not said whose data were sold"),
        pytest.param(people(counting="bought_sold_shared"),
                     {"consumers": {"US-VA": 500}, "bought_sold_shared": {"US-VA": 3}}, "no",
                     id="few were sold"),
        pytest.param(people(counting="with_devices"), {"consumers": {"US-VA": 99}}, "unknown",
                     id="devices were not counted"),
        pytest.param(people(counting="with_devices"), {"consumers": {"US-VA": 100}}, "yes",
                     id="people alone are enough"),
        pytest.param(people(counting="with_devices"),
                     {"consumers": {"US-VA": 20}, "with_devices": {"US-VA": 99}}, "no",
                     id="too few with devices"),
        pytest.param(people(counting="with_devices"), {"residents_of": ["US-CA"]}, "no",
                     id="nobody there, no device there"),
        pytest.param({"field": "sba_small", "is": False}, {"sba_small": True}, "no", id="small"),
        pytest.param({"field": "sba_small", "is": False}, {"sba_small": False}, "yes", id="large"),
        pytest.param({"field": "sba_small", "is": False}, {}, "unknown", id="size not said"),
        pytest.param({"field": "always"}, {}, "yes", id="every business"),
        pytest.param({"not_in_files": "three tests"}, {}, "unknown", id="the files do not say"),
        pytest.param({"not": {"field": "any_sale"}}, {"any_sale": False}, "yes", id="not"),
        pytest.param({"not": {"field": "any_sale"}}, {}, "unknown", id="not of unknown"),
        pytest.param({"field": "shop_in", "place": "US-CA"}, {"state": "US-CA"}, "yes", id="here"),
        pytest.param({"field": "shop_in", "place": "US-CA"}, {"state": ["US-NV", "US-CA"]}, "yes",
                     id="one of two shops"),
        pytest.param({"field": "shop_in", "place": "US-CA"}, {"state": "US-NV"}, "no", id="there"),
        pytest.param({"field": "shop_in", "place": "US-CA"}, {}, "unknown", id="nowhere said"),
        pytest.param({"field": "sales_tax_in", "place": "US-CA"}, {"state": "US-CA"}, "unknown",
                     id="a shop there may sell nothing taxed"),
        pytest.param({"field": "sales_tax_in", "place": "US-CA"}, {"sales_tax_in": []}, "no",
                     id="no sales tax"),
        pytest.param({"field": "stores_element_in", "elements": ["biometric"]},
                     {"stores_elements": ["email"]}, "no", id="no fingerprints"),
        pytest.param({"field": "stores_element_in", "elements": ["biometric"]},
                     {"stores_elements": ["biometric"]}, "yes", id="fingerprints"),
        pytest.param({"field": "stores_element_in", "elements": ["biometric"]}, {}, "unknown",
                     id="not said what is stored"),
        pytest.param({"field": "residents_of", "place": "US-VA"}, {"consumers": {"US-VA": 1}},
                     "yes", id="one Virginian"),
        pytest.param({"field": "residents_of", "place": "US-VA"}, {"consumers": {"US-VA": 0}},
                     "no", id="counted, and none"),
        pytest.param({"field": "residents_of", "place": "US-VA"},
                     {"consumers": {"US-VA": {"2025": 0, "2026": 0}}}, "no", id="none by year"),
        pytest.param({"field": "residents_of", "place": "US-VA"},
                     {"consumers": {"US-VA": {"2025": 9, "2026": 0}}}, "yes", id="some by year"),
        pytest.param({"field": "residents_of", "place": "US-VA"}, {"consumers": {"US-CA": 9}},
                     "unknown", id="only others were counted"),
        pytest.param({"field": "residents_of", "place": "US-VA"}, {"residents_of": []}, "no",
                     id="a complete list without it"),
    ],
)  # fmt: skip
def test_a_shop_against_one_test(tree, business, expected):
    """What is missing is unknown, and a number is only used for what it says."""
    assert answer(tree, **business) == expected


@pytest.mark.parametrize(
    ("period", "years", "expected"),
    [
        ("preceding_calendar_year", {"2025": 100, "2026": 0}, "yes"),
        ("preceding_calendar_year", {"2025": 99, "2026": 500}, "no"),
        ("preceding_calendar_year", {"2026": 500}, "unknown"),
        ("calendar_year", {"2026": 100}, "yes"),
        ("calendar_year", {"2026": 99}, "no"),
        ("calendar_year", {"2025": 100, "2026": 1}, "yes"),
        ("calendar_year", {"2025": 100}, "yes"),
        ("calendar_year", {"2025": 99}, "unknown"),
        ("one_year", {"2024": 500}, "unknown"),
    ],
)
def test_a_number_is_taken_of_the_year_that_the_law_means(period, years, expected):
    """Last year's customers bind this year, where the law says so; a year not given is unknown."""
    assert answer(people(period=period), consumers={"US-VA": years}) == expected
    assert answer(leaf("revenue_usd", period=period), revenue_usd=years) == expected


def test_countries_belong_to_the_union():
    """A shop with one German customer holds data of people of the EU."""
    tree = {"field": "residents_of", "place": "EU"}
    members = {"EU": {"DE", "FR"}}

    assert evaluate(tree, {"residents_of": ["DE"]}, ON, members=members)[0] == "yes"
    assert evaluate(tree, {"consumers": {"DE": 3}}, ON, members=members)[0] == "yes"
    assert evaluate(tree, {"consumers": {"DE": 0}}, ON, members=members)[0] == "unknown"
    assert evaluate(tree, {"residents_of": ["US-CA"]}, ON, members=members)[0] == "no"


def test_the_reason_names_what_decided_and_nothing_else():
    """An owner can check it: one sufficient fact, or all that are missing."""
    size = leaf("revenue_usd", ">", 5_000_000)
    tree = {"any": [size, people(), {"field": "any_sale"}]}

    no = {"revenue_usd": 1, "consumers": {"US-VA": 7}, "any_sale": False}
    assert evaluate(tree, no, ON) == (
        "no",
        "revenue not above $5,000,000; under 100 people of Virginia whose data are used; "
        "no personal data are sold",
    )
    assert evaluate(tree, {**no, "any_sale": True}, ON) == ("yes", "personal data are sold")
    assert evaluate(tree, {"revenue_usd": 1}, ON) == (
        "unknown",
        "not known how many people of Virginia whose data are used (consumers); "
        "any_sale is not given",
    )
    assert evaluate({"all": [size, people()]}, {"revenue_usd": 1}, ON) == (
        "no",
        "revenue not above $5,000,000",
    )
    assert named("US-NH") == "New Hampshire"


def test_a_shop_may_have_customers_in_a_country_with_the_letters_of_its_state():
    """A shop in California sells to Canada, one in Nevada to Germany."""
    check_business({"state": "US-CA", "residents_of": ["CA", "US-CA"]})
    check_business({"state": "US-NV", "consumers": {"DE": 3}})
    check_business({"state": "DE", "residents_of": ["DE"]})


@pytest.mark.parametrize(
    ("business", "says"),
    [
        pytest.param({"revenu_usd": 1}, "did you mean revenue_usd", id="a typing error"),
        pytest.param({"shoe_size": 1}, "is not known", id="not a fact"),
        pytest.param({"revenue_usd": "lots"}, "a number", id="text for a number"),
        pytest.param({"revenue_usd": -5}, "not below 0", id="below zero"),
        pytest.param({"revenue_usd": True}, "a number", id="true for a number"),
        pytest.param({"revenue_usd": float("nan")}, "a number", id="no number"),
        pytest.param({"revenue_usd": {"last": 5}}, "by year", id="no year"),
        pytest.param({"sale_share_pct": 101}, "at most 100", id="over 100 %"),
        pytest.param({"any_sale": "no"}, "true or false", id="text for yes or no"),
        pytest.param({"consumers": 7341}, "by place", id="people of nowhere"),
        pytest.param({"consumers": {"California": 7341}}, "by place", id="a state in words"),
        pytest.param({"residents_of": ["US-ZZ"]}, "US-CA", id="no such state"),
        pytest.param({"residents_of": ["TX"]}, "US-CA", id="a state that is no country"),
        pytest.param({"consumers": {"NY": 7341}}, "US-CA", id="people of no country"),
        pytest.param({"state": "US-CA", "residents_of": ["CA", "US-NV"]}, "residents_of: CA is a "
                     "country; write US-CA", id="Canada for California"),
        pytest.param({"state": ["US-NV", "US-DE"], "consumers": {"DE": 7341}}, "write US-DE",
                     id="Germany for Delaware"),
        pytest.param({"residents_of": "US-CA"}, "a list", id="text for a list"),
        pytest.param({"state": "california"}, "US-CA", id="a state in words again"),
        pytest.param({"payment_only": {"US-VA": {"2026": 1}}}, "a number", id="parts by year"),
        pytest.param({"residents_of": ["US-CA"], "consumers": {"US-VA": 3}}, "add it there",
                     id="people of a place that is not listed"),
        pytest.param({"any_sale": False, "sells_sensitive": True}, "mend one", id="sold or not"),
    ],
)  # fmt: skip
def test_refuses(business, says):
    """A fact that is not understood is refused: ignored, it would be a wrong "unknown"."""
    for act in (check_business, lambda said: evaluate({"field": "always"}, said, ON)):
        with pytest.raises(BindingError, match=says) as caught:
            act(business)
        assert "7341" not in str(caught.value)
        assert "lots" not in str(caught.value)
