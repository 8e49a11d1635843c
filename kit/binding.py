# SPDX-License-Identifier: MIT-0
"""Hold a shop against a legal test, and say yes, no or unknown, never what nobody told.

Copy: ``kit copy binding --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

A test is a tree, as it stands in a file of law rows::

    test = {"any": [{"field": "revenue_usd", "op": ">", "value": 1_000_000},
                    {"field": "any_sale"}]}
    evaluate(test, {"revenue_usd": 400_000, "any_sale": False}, on=date(2026, 11, 24))
    ("no", "revenue not above $1,000,000; no personal data are sold")

The answer is yes, no or **unknown**, and unknown is an answer: a fact that the shop did not give is
not zero. Numbers are intervals: of 90,000 people some may only have paid by card, so "at least
35,000 without those" is unknown, and "at least 100,000" is no.

Facts about a shop (``[business]`` of shop.toml); leave out what you do not know::

    state = "US-CA"                       # where the shop is; a list for several shops
    revenue_usd = 400_000                 # or by year: { "2025" = 380_000, "2026" = 400_000 }
    consumers = { "US-CA" = 1_200 }       # people whose data are held or used; or by year
    payment_only = { "US-CA" = 0 }        # of these, whose data only completed a payment
    residents_of = ["US-CA", "US-NV"]     # every place of which data are held: none elsewhere
    sale_share_pct = 0                    # % of revenue from selling (or sharing) personal data
    any_sale = false                      # and the other yes-or-no facts of `YES_NO`
    sales_tax_in = ["US-CA"]
    stores_elements = ["email"]           # words of elements.toml
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

STATES = dict(
    line.split(" ", 1)
    for line in (
        "AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|"
        "DE Delaware|DC District of Columbia|FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|"
        "IN Indiana|IA Iowa|KS Kansas|KY Kentucky|LA Louisiana|ME Maine|MD Maryland|"
        "MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi|MO Missouri|MT Montana|"
        "NE Nebraska|NV Nevada|NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York|"
        "NC North Carolina|ND North Dakota|OH Ohio|OK Oklahoma|OR Oregon|PA Pennsylvania|"
        "RI Rhode Island|SC South Carolina|SD South Dakota|TN Tennessee|TX Texas|UT Utah|"
        "VT Vermont|VA Virginia|WA Washington|WV West Virginia|WI Wisconsin|WY Wyoming"
    ).split("|")
)
NO_COUNTRY = frozenset(  # letters of a state that are no country's, too, as CA is Canada's
    "AK CT DC FL HI IA KS MI ND NH NJ NM NV NY OH OK OR RI TX UT VT WA WI WV WY".split()
)
YES_NO = {  # fact → how it reads when true, and when not
    "any_sale": ("personal data are sold", "no personal data are sold"),
    "sells_sensitive": ("sensitive data are sold", "no sensitive data are sold"),
    "holds_sensitive": ("sensitive data are held", "no sensitive data are held"),
    "sba_small": ("small by the SBA's measure", "not small by the SBA's measure"),
    "has_website": ("there is a website", "there is no website"),
    "card_payments": ("cards are taken", "no cards are taken"),
    "prints_receipts": ("card receipts are printed", "no card receipts are printed"),
    "sends_email": ("commercial e-mail is sent", "no commercial e-mail is sent"),
    "sends_texts": ("marketing texts or calls are made", "no marketing texts or calls are made"),
    "is_financial_institution": ("gives credit of its own", "gives no credit of its own"),
    "serves_children_online": ("is for children online", "is not for children online"),
}
NUMBERS = {"revenue_usd": "revenue", "sale_share_pct": "share of revenue from selling data"}
COUNTED = {  # what is counted → how it reads
    "": "people of {place} whose data are used",
    "bought_sold_shared": "people of {place} whose data are bought, sold or shared",
    "sensitive": "people of {place} whose sensitive data are used",
    "offered_for_sale": "people of {place} whose data are offered for sale",
    "with_devices": "people, households or devices of {place}",
}
PARTS = ("payment_only", *filter(None, COUNTED))  # numbers by place, besides "consumers"
LISTS = ("residents_of", "sales_tax_in", "stores_elements")
FIELDS = {*YES_NO, *NUMBERS, "consumers", *LISTS, *PARTS, "state", "country"}
JOIN = "; "  # between reasons; there are commas inside them
OPS = {  # how it reads when it is so, and when not
    ">": ("above", "not above"),
    ">=": ("at least", "under"),
    "<": ("under", "at least"),
    "<=": ("not above", "above"),
}


class BindingError(Exception):
    """What was said of the shop has a name or a kind that is not known."""


def either(answers: Iterable[str]) -> str:
    """Return yes if one is yes, else unknown if one is unknown, else no."""
    found = set(answers)
    return "yes" if "yes" in found else "unknown" if "unknown" in found else "no"


def both(answers: Iterable[str]) -> str:
    """Return no if one is no, else unknown if one is unknown, else yes."""
    found = set(answers)
    return "no" if "no" in found else "unknown" if "unknown" in found else "yes"


def evaluate(
    tree: Mapping[str, Any],
    business: Mapping[str, Any],
    on: date,
    *,
    members: Mapping[str, set[str]] | None = None,
) -> tuple[str, str]:
    """Hold a shop against a ``covered_if`` tree; return the answer and why.

    Args:
        tree: ``any``, ``all``, ``not``, ``not_in_files`` or a test of one ``field``.
        business: Facts about the shop.
        on: The day; which year a number is taken of follows from it.
        members: Places that belong to another, such as the countries of the EU.

    Raises:
        BindingError: A fact has a name or a kind that is not known.
    """
    check_business(business)
    return _held(tree, business, on, members or {})


def _held(
    tree: Mapping[str, Any], business: Mapping[str, Any], on: date, members: Mapping[str, set[str]]
) -> tuple[str, str]:
    if "not_in_files" in tree:
        return "unknown", str(tree["not_in_files"])
    if "not" in tree:
        answer, why = _held(tree["not"], business, on, members)
        return {"yes": "no", "no": "yes"}.get(answer, answer), why
    for word, joined in (("any", either), ("all", both)):
        if word in tree:
            told = [_held(one, business, on, members) for one in tree[word]]
            answer = joined(one for one, _ in told)
            deciding = [why for one, why in told if one == answer]
            if (word, answer) in (("any", "yes"), ("all", "no")):
                deciding = deciding[:1]  # one is enough
            return answer, JOIN.join(dict.fromkeys(deciding))
    return _leaf(tree, business, on, members)


def _leaf(
    leaf: Mapping[str, Any], business: Mapping[str, Any], on: date, members: Mapping[str, set[str]]
) -> tuple[str, str]:
    name, place = leaf["field"], leaf.get("place", "")
    if name == "always":
        return "yes", "it binds every business"
    if name in YES_NO:
        if (said := business.get(name)) is None:
            return "unknown", f"{name} is not given"
        return _yes(said == leaf.get("is", True)), YES_NO[name][0 if said else 1]
    if name == "residents_of":
        return _residents(place, business, members.get(place, set()))
    if name == "stores_element_in":
        if (stored := business.get("stores_elements")) is None:
            return "unknown", "stores_elements is not given"
        found = [one for one in leaf["elements"] if one in stored]
        what = " or ".join(found or leaf["elements"]).replace("_", " ")
        return _yes(bool(found)), f"{what} {'is' if found else 'is not'} stored"
    if name in ("shop_in", "sales_tax_in"):
        key = "state" if name == "shop_in" else name
        if (where := business.get(key)) is None:
            return "unknown", f"{key} is not given"
        what = "a shop" if name == "shop_in" else "sales tax collected"
        yes = place in _places(where)
        return _yes(yes), f"{what} in {named(place)}" if yes else f"no {what} in {named(place)}"
    return _number(leaf, business, on)


def _residents(place: str, business: Mapping[str, Any], members: Iterable[str]) -> tuple[str, str]:
    there = {place, *members}
    listed = business.get("residents_of")
    counts = [_most(business.get("consumers", {}).get(one)) for one in there]
    if (listed and there & set(listed)) or any(counts):
        return "yes", f"data of people of {named(place)} are held"
    if listed is not None or (not members and counts == [0]):
        return "no", f"no data of people of {named(place)} are held"
    return "unknown", f"not said whether data of people of {named(place)} are held (residents_of)"


def _most(count: Any) -> Any:
    """Return the largest of numbers by year."""
    return max(count.values(), default=None) if isinstance(count, Mapping) else count


def _number(leaf: Mapping[str, Any], business: Mapping[str, Any], on: date) -> tuple[str, str]:
    name, op, value = leaf["field"], leaf["op"], leaf["value"]
    missing = f"{name} is not given"
    if name in NUMBERS:
        low, high = _of_period(business.get(name), leaf.get("period", ""), on)
        amount = f"${value:,}" if name == "revenue_usd" else f"{value}%"
        reads = f"{NUMBERS[name]} {{}} {amount}"
    else:
        low, high = _people(leaf, business, on)
        place = named(leaf["place"])
        reads = f"{{}} {value:,} {COUNTED[leaf.get('counting', '')].format(place=place)}"
        counting = leaf.get("counting", "")
        missing = f"not known how many {COUNTED[counting].format(place=place)}"
        missing += f" ({counting or 'consumers'})"
        if leaf.get("exclude_payment_only") and low == 0 < high < math.inf:
            missing = f"payment_only of {place} is not given, and {value:,} might be reached"
    holds = {_holds(low, op, value), _holds(high, op, value)}
    if len(holds) == 2:
        return "unknown", missing
    yes = holds == {True}
    return _yes(yes), reads.format(OPS[op][0 if yes else 1])


def _people(leaf: Mapping[str, Any], business: Mapping[str, Any], on: date) -> tuple[float, float]:
    """Return the least and the most that the number of people can be."""
    place, counting = leaf["place"], leaf.get("counting", "")
    listed = business.get("residents_of")
    said = business.get("consumers", {}).get(place)
    if said is None and listed is not None and place not in listed:
        return 0, 0
    low, high = _of_period(said, leaf.get("period", ""), on)
    if counting:
        part = business.get(counting, {}).get(place)
        if part is not None:
            low, high = part, part
        elif counting == "with_devices":
            high = math.inf  # every one of these people counts, and nobody counted the rest
        else:
            low = 0
    if leaf.get("exclude_payment_only"):
        only = business.get("payment_only", {}).get(place)
        low, high = (0, high) if only is None else (max(low - only, 0), max(high - only, 0))
    return low, high


def _of_period(said: Any, period: str, on: date) -> tuple[float, float]:
    """Return the least and the most of a number in the year that counts."""
    if said is None:
        return 0, math.inf
    if not isinstance(said, Mapping):
        return said, said
    running, before = said.get(str(on.year)), said.get(str(on.year - 1))
    if period == "preceding_calendar_year":
        return (0, math.inf) if before is None else (before, before)
    most = max((one for one in (running, before) if one is not None), default=0)
    return (most, math.inf) if running is None else (most, most)


def _holds(number: float, op: str, value: float) -> bool:
    return {
        ">": number > value,
        ">=": number >= value,
        "<": number < value,
        "<=": number <= value,
    }[op]


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _places(said: Any) -> tuple[str, ...]:
    return (said,) if isinstance(said, str) else tuple(said or ())


def named(place: str) -> str:
    """Return a place in words, such as California for US-CA."""
    return STATES.get(place.removeprefix("US-"), place) if place.startswith("US-") else place


def check_business(business: Mapping[str, Any]) -> None:
    """Refuse facts with a name or a kind that is not known, or that contradict each other.

    Raises:
        BindingError: Says which fact, never its value.
    """
    for key, said in business.items():
        if key not in FIELDS:
            near = difflib.get_close_matches(key, sorted(FIELDS), n=1)
            hint = f"did you mean {near[0]}" if near else f"known are {', '.join(sorted(FIELDS))}"
            raise BindingError(f"[business] {key[:40]!r} is not known; {hint}")
        if wanted := _wrong(key, said):
            raise BindingError(f"[business] {key} must be {wanted}")
    listed = business.get("residents_of")
    for place, count in business.get("consumers", {}).items():
        if listed is not None and place not in listed and _most(count):
            raise BindingError(
                f"[business] consumers names {place}, residents_of does not; add it there"
            )
    for home in _places(business.get("state")):
        code = home.removeprefix("US-")
        for key in ("residents_of", "consumers"):
            if home != code and code in business.get(key, ()) and home not in business.get(key, ()):
                raise BindingError(f"[business] {key}: {code} is a country; write {home}")
    if business.get("any_sale") is False and business.get("sells_sensitive"):
        raise BindingError("[business] sells_sensitive is true and any_sale false; mend one")


def _wrong(key: str, said: Any) -> str:
    """Return what a fact must be if it is not that, else nothing."""
    if key in YES_NO:
        return "" if isinstance(said, bool) else "true or false"
    if key in LISTS or key in ("state", "country"):
        items = list(_places(said)) if key in ("state", "country") else said
        if not isinstance(items, (list, tuple)) or not all(isinstance(one, str) for one in items):
            return "a list of texts"
        if key != "stores_elements" and not all(map(_is_place, items)):
            return 'places such as "US-CA" or "DE"'
        return ""
    numbers: Iterator[Any] | list[Any] = [said]
    if key not in NUMBERS:
        if not isinstance(said, Mapping) or not all(_is_place(place) for place in said):
            return 'numbers by place, such as { "US-CA" = 1200 }'
        numbers = iter(said.values())
    for one in numbers:
        years = one if isinstance(one, Mapping) and key not in PARTS else {"": one}
        if not all(year == "" or (year.isdigit() and len(year) == 4) for year in years):
            return 'a number, or numbers by year, such as { "2025" = 1200 }'
        if not all(
            isinstance(n, (int, float)) and not isinstance(n, bool) and 0 <= n < math.inf
            for n in years.values()
        ):
            return "a number that is not below 0"
    return "at most 100" if key == "sale_share_pct" and _above(said, 100) else ""


def _above(said: Any, most: float) -> bool:
    return any(n > most for n in (said.values() if isinstance(said, Mapping) else [said]))


def _is_place(place: Any) -> bool:
    if not isinstance(place, str):
        return False
    if place.startswith("US-"):
        return place[3:] in STATES
    return re.fullmatch("[A-Z]{2}", place) is not None and place not in NO_COUNTRY
