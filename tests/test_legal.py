"""The kit's own legal facts, asked as a shop would ask: what binds me, and by when."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import clocks, law, legal
from kit.binding import BindingError

ROOT = Path(__file__).parent.parent
TODAY = date(2026, 11, 24)
CALIFORNIA, BERLIN = ZoneInfo("America/Los_Angeles"), ZoneInfo("Europe/Berlin")


@cache
def book():
    """Return the facts, read once."""
    return legal.Book()


def raw_rows():
    """Return the rows as they stand in the files."""
    for path in sorted([*law.FACTS.glob("*.toml"), *law.FACTS.glob("obsolete/*.toml")]):
        yield from tomllib.loads(path.read_text(encoding="utf-8")).get("row", [])


EXAMPLES = [
    pytest.param(raw["id"], example, id=f"{raw['id']}-{number}")
    for raw in raw_rows()
    for number, example in enumerate(raw.get("examples", []), 1)
]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_every_worked_example_comes_out(rule, example):
    """Each clock in the files gives the dates that a person worked out by hand."""
    assert book().recompute(rule, example) == []


def test_the_facts_have_nothing_to_mend():
    """No fail of any check; every clock has its worked example, every row its source."""
    problems = book().check(max(TODAY, max(row.read_on for row in book().all_rows)))

    assert [one for one in problems if one.level == "fail"] == []
    assert {raw.values[0] for raw in EXAMPLES} >= {r.id for r in book().all_rows if r.clock}


def test_a_worked_example_that_is_wrong_is_named():
    """Each of its words is held against what comes out."""
    good = {"received": date(2026, 3, 2), "due": date(2026, 4, 16)}
    for wrong, says in [
        ({"due": date(2026, 4, 17)}, "due is 2026-04-16, not 2026-04-17"),
        ({"latest": date(2026, 4, 17)}, "latest is 2026-04-16, not 2026-04-17"),
        ({"strict": []}, "strict is"),
        ({"extend_notice": date(2026, 4, 17)}, "the extension is refused"),
        ({"extend_notice": date(2026, 4, 16), "refused": True}, "the extension is granted"),
        ({"not_started": True}, "state is computed, not not_started"),
        ({"received": datetime(2026, 3, 2)}, "no time zone"),  # noqa: DTZ001 (the point)
    ]:
        assert any(says in fault for fault in book().recompute("us-ca-ccpa.respond", good | wrong))
    assert book().recompute("us-ca-ccpa.respond", {"received": date(2026, 3, 2)}) == [
        "says no due date"
    ]


def test_alice_asks_in_california():
    """Worked example E1: acknowledge, answer, extend, and the extension that came a day late."""
    asked = {"received": datetime(2026, 3, 2, 20, tzinfo=CALIFORNIA)}

    ack = book().deadline("ca.ack", asked, zone=CALIFORNIA)
    assert (ack.due, ack.send_by, ack.latest) == (date(2026, 3, 16),) * 3
    assert ack.strict == (date(2026, 3, 13),)
    first = book().deadline("ca.respond", asked, zone=CALIFORNIA)
    assert (first.due, first.send_by, first.latest) == (date(2026, 4, 16),) * 3
    assert first.strict == (date(2026, 4, 15),)
    assert any("2026-04-15" in doubt for doubt in first.doubts)
    longer = book().extend(
        first, notice_at=datetime(2026, 4, 16, 23, tzinfo=CALIFORNIA), reason="many requests"
    )
    assert (longer.due, longer.send_by, longer.latest) == (
        date(2026, 5, 31),
        date(2026, 5, 29),
        date(2026, 6, 1),
    )
    with pytest.raises(clocks.NotExtended):
        book().extend(first, notice_at=date(2026, 4, 17), reason="many requests")


def test_a_request_on_the_last_of_january_in_germany():
    """Worked example E5: there is no 31 February, and the extension counts from the receipt."""
    first = book().deadline("eu.access", {"received": date(2026, 1, 31)}, zone=BERLIN)

    assert (first.due, first.send_by, first.latest) == (
        date(2026, 2, 28),
        date(2026, 2, 27),
        date(2026, 3, 2),
    )
    longer = book().extend(first, notice_at=date(2026, 2, 28), reason="a complex request")
    assert longer.due == date(2026, 4, 30)


def test_till_receipts_and_screens_have_their_numbers_in_rows():
    """Worked example E20: the two rules differ, and a program asks for both."""
    receipt, screen = book().get("us.facta", TODAY), book().get("pci.mask", TODAY)

    assert receipt.value == {"last_digits": 5, "expiry": False}
    assert screen.value == {"last_digits": 4, "first_digits": "bin"}
    assert "card_cvv" in book().get("pci.sad", TODAY).value["elements"]


def test_no_unconfirmed_row_ever_counts_or_decides():
    """Low confidence is shown; it gives no date, no yes and no no."""
    low = [row for row in book().all_rows if not row.usable]
    everything = {"residents_of": [], "state": "US-CA", "consumers": {}}

    assert low
    for row in low:
        made = book().deadline(row, {"received": max(row.starts, TODAY)}, zone=UTC)
        assert (made.state, made.due) == ("cannot", None)
        if row.covered_if:
            day = row.ends or max(row.starts, TODAY)
            assert book().covered(row.id, everything, day).answer == "unknown"


FLOWERS = {  # a flower shop in California with a website and a loyalty programme
    "state": "US-CA",
    "revenue_usd": 400_000,
    "consumers": {"US-CA": 1_200, "US-NV": 40},
    "residents_of": ["US-CA", "US-NV"],
    "sale_share_pct": 0,
    "any_sale": False,
    "sells_sensitive": False,
    "holds_sensitive": False,
    "sba_small": True,
    "has_website": True,
    "card_payments": True,
    "prints_receipts": True,
    "sends_email": True,
    "sends_texts": False,
    "is_financial_institution": False,
    "serves_children_online": False,
    "sales_tax_in": ["US-CA"],
    "stores_elements": ["name", "email"],
}
CHAIN = {**FLOWERS, "revenue_usd": 30_000_000}
TEXAN = {
    **FLOWERS,
    "state": "US-TX",
    "consumers": {"US-TX": 900},
    "residents_of": ["US-TX"],
    "any_sale": True,
    "sells_sensitive": True,
}
GERMAN = {**FLOWERS, "state": "US-NY", "residents_of": ["US-NY", "DE", "GB"], "consumers": {}}


@pytest.mark.parametrize(
    ("business", "key", "answer"),
    [
        pytest.param(FLOWERS, "us-ca-ccpa", "no", id="flowers: too small for California's law"),
        pytest.param(FLOWERS, "us-ca-breach", "yes", id="flowers: breach in California"),
        pytest.param(FLOWERS, "us-nv-breach", "yes", id="flowers: breach, forty people in Nevada"),
        pytest.param(FLOWERS, "us-ny-breach", "no", id="flowers: nobody in New York"),
        pytest.param(FLOWERS, "pci-dss", "yes", id="flowers: cards"),
        pytest.param(FLOWERS, "us.ftc.s5", "yes", id="flowers: no size floor"),
        pytest.param(FLOWERS, "us.facta", "yes", id="flowers: receipts"),
        pytest.param(FLOWERS, "us.canspam.stop", "yes", id="flowers: e-mail"),
        pytest.param(FLOWERS, "us.tcpa.revoke", "no", id="flowers: no texts"),
        pytest.param(FLOWERS, "ca.caloppa", "yes", id="flowers: a website"),
        pytest.param(FLOWERS, "ca.songbev", "yes", id="flowers: a till in California"),
        pytest.param(FLOWERS, "ca.taxrec", "yes", id="flowers: sales tax"),
        pytest.param(FLOWERS, "us.safeguards", "no", id="flowers: no credit of its own"),
        pytest.param(FLOWERS, "eu-gdpr", "no", id="flowers: nobody in Europe"),
        pytest.param(FLOWERS, "us-wy-privacy", "unknown", id="flowers: a law nobody wrote down"),
        pytest.param(FLOWERS, "guidance", "no", id="flowers: advice is no law"),
        pytest.param(CHAIN, "us-ca-ccpa", "yes", id="chain: revenue"),
        pytest.param({**FLOWERS, "sale_share_pct": 50}, "us-ca-ccpa", "yes", id="data seller"),
        pytest.param(TEXAN, "us-tx-privacy", "no", id="Texan: small by the SBA's measure"),
        pytest.param({**TEXAN, "sba_small": False}, "us-tx-privacy", "yes", id="Texan: large"),
        pytest.param(TEXAN, "us-tx-breach", "yes", id="Texan: breach"),
        pytest.param(TEXAN, "us-va-privacy", "no", id="Texan: nobody in Virginia"),
        pytest.param(GERMAN, "eu-gdpr", "yes", id="webshop: one German"),
        pytest.param(GERMAN, "uk-gdpr", "yes", id="webshop: one Briton"),
        pytest.param(GERMAN, "us-ny-breach", "yes", id="webshop: New York"),
        pytest.param(GERMAN, "ny.shield", "unknown", id="webshop: New York's list is longer"),
        pytest.param({**GERMAN, "stores_elements": ["name", "ssn"]}, "ny.shield", "yes",
                     id="webshop: New York's safeguards"),
        pytest.param({"state": "US-CA"}, "us-ca-ccpa", "unknown", id="an owner who said nothing"),
    ],
)  # fmt: skip
def test_what_binds_a_sample_shop(business, key, answer):
    """A shop owner gets a yes, a no or an unknown, with the rows that decided."""
    told = book().covered(key, business, TODAY)

    assert told.answer == answer, told.reason
    assert told.reason.startswith(f"{answer}: ")


def test_the_consent_that_binds_small_sellers_too_is_not_hidden():
    """Texas lets a small shop go, except when it sells sensitive data."""
    told = book().covered("us-tx-privacy", TEXAN, TODAY)

    consents = [one for one in told.partial if book().get(one.key).duty == "consent"]
    assert (told.answer, [one.answer for one in consents]) == ("no", ["yes"])


@pytest.mark.parametrize("key", sorted(book().laws))
def test_every_law_answers_for_every_shop(key):
    """Nothing said gives no false no; all said settles what can be settled."""
    started = book().laws[key].starts is None or book().laws[key].starts <= TODAY
    nothing = book().covered(key, {}, TODAY)
    binding = started and key != "guidance"
    assert nothing.answer in ({"yes", "unknown"} if binding else {"no"}), nothing.reason

    for business in (FLOWERS, CHAIN, TEXAN, GERMAN):
        told = book().covered(key, business, TODAY)
        assert told.answer in ("yes", "no", "unknown")
        assert len(told.reason) > len("unknown: ")


def test_the_book_gives_notice_banner_and_rows_by_id():
    """What stands beside a date is of the rows that gave it."""
    ids = ["us-ca-ccpa.know.ack"]
    row = book().get(ids[0])

    assert f"current to {row.read_on}" in book().disclaimer(ids)
    assert book().banner(ids, row.review_by) == ""
    assert ids[0] in book().banner(ids, row.review_by + timedelta(days=1))
    assert row in book().rows(TODAY, "US-CA", "confirm_receipt", fact="ca.ack", law="us-ca-ccpa")
    assert book().recompute("us-tx-breach.people", {"discovered": TODAY, "due": TODAY}) == [
        "cannot compute: determined is not given"
    ]


def test_the_whole_survey_names_places_without_a_law_here():
    """Wyoming's law may exist; the kit does not know it, and says so."""
    told = {one.key: one for one in book().survey({**FLOWERS, "state": "US-WY"}, TODAY)}

    assert set(book().laws) - set(told) == {"guidance", "us-other-breach"}
    assert "us-other-breach" in {one.key for one in book().survey({"state": "US-CA"}, TODAY)}
    assert told["us-wy-privacy"].answer == "unknown"
    assert told["us-wy-breach"].reason == "unknown: no breach law of Wyoming is in these files"
    assert "us-nv-privacy" in told
    assert "us-ca-privacy-privacy" not in told


def test_a_rule_answers_only_for_its_own_days():
    """Asked by id for a day that is not its own, it gives no date and says where to look."""
    old = next(row for row in book().all_rows if row.ends)
    made = book().deadline(old, {"received": old.ends + timedelta(days=1)}, zone=UTC)

    assert made.state == "cannot"
    assert made.task == f"look for the rule of that day: kit law show {old.fact}"
    future = next(row for row in book().all_rows if row.starts > TODAY and row.clock)
    assert book().deadline(future, {"received": TODAY}, zone=UTC).state == "cannot"


@pytest.mark.parametrize(
    "raw", [raw for raw in raw_rows() if "superseded" in raw], ids=lambda raw: raw["id"]
)
def test_a_row_that_is_followed_ends_the_day_before(raw):
    """No day without a rule, and none with two."""
    row = book().get(raw["id"])
    assert not row.in_force(row.ends + timedelta(days=1))
    if by := raw["superseded"].get("by"):
        assert book().get(by).starts == row.ends + timedelta(days=1)
    else:
        assert raw["superseded"]["reason"] == "expired"


@given(
    start=st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    rule=st.sampled_from([r for r in book().all_rows if r.clock and r.clock["unit"] != "hour"]),
)
def test_every_clock_keeps_its_order(start, rule):
    """Whatever the rule and the day: to work to, due, generous."""
    names = [rule.clock["start"], *rule.clock.get("start_any", [])]
    made = legal.clocks.deadline(
        rule,
        dict.fromkeys(names, start),
        zone=UTC,
        calendar=book().calendars.get(rule.clock.get("calendar") or rule.law.calendar),
    )

    assert made.state == "computed"
    if made.send_by and made.latest:
        assert made.send_by <= made.due <= made.latest
    assert all(strict < made.due for strict in made.strict)


@pytest.mark.parametrize(
    ("key", "listed"),
    [
        ("us-federal", lambda years: holidays.US(years=years)),
        ("de", lambda years: holidays.DE(years=years)),
        ("gb-eaw", lambda years: holidays.GB(subdiv="ENG", years=years)),
    ],
)
def test_holidays_agree_with_a_package_that_others_keep(key, listed):
    """A list typed by hand is compared with one that is not."""
    found = book().calendars[key]
    years = range(found.from_year, found.to_year + 1)
    theirs = {day for day in listed(years) if day.year in years}
    weekdays = {day for day in found.days ^ theirs if day.weekday() < 5}

    assert weekdays == set()


def test_names_that_lessons_and_tests_use_exist():
    """A row that is renamed is missed here, not in front of a class."""
    texts = [p.read_text(encoding="utf-8") for p in (ROOT / "kit").glob("*.py")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts += ["".join(cell["source"]) for cell in cells]
    texts += [
        path.read_text(encoding="utf-8")
        for path in (ROOT / "tests").glob("*.py")
        if path.stem not in ("test_law", "test_law_check", "test_law_review")
    ]
    keys = "|".join(map(re.escape, book().laws))
    used = {name for text in texts for name in re.findall(rf'"((?:{keys})\.[\w.]+)"', text)}
    used -= {f"{key}.toml" for key in book().laws}

    assert used <= {row.id for row in book().all_rows}


def test_the_command_line_loads_no_law_to_print_its_help():
    """`kit --help` reads no file of facts."""
    code = (
        "import sys, kit.cli_law\n"
        "sys.exit(str({'kit.law', 'kit.legal', 'kit.clocks'} & set(sys.modules)) "
        "if {'kit.law', 'kit.legal', 'kit.clocks'} & set(sys.modules) else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr


def test_refuses_facts_about_the_shop_that_are_not_understood():
    """Also for a law that would not look at them."""
    with pytest.raises(BindingError):
        book().covered("us-ok-privacy", {"residents": ["US-CA"]}, TODAY)  # not in force yet
    with pytest.raises(clocks.NoZone):
        book().deadline("ca.ack", {"received": datetime(2026, 3, 2)}, zone=UTC)  # noqa: DTZ001
