"""Federal, card, European and British rules, guidance and holidays say what was read."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays
import pytest

from kit import legal

BOOK = legal.Book()
ON = date(2026, 11, 24)
NEW_YORK, BERLIN, LONDON = (
    ZoneInfo(name) for name in ("America/New_York", "Europe/Berlin", "Europe/London")
)


def clock(name, events, *, zone=NEW_YORK, on=None, **more):
    """Count a rule of the files."""
    return BOOK.deadline(name, events, zone=zone, on=on, **more)


@pytest.mark.parametrize(
    ("name", "event"), [("us.canspam.stop", "clicked"), ("us.tcpa.revoke", "revoked")]
)
def test_an_unsubscribe_is_done_in_ten_business_days(name, event):
    """Monday before Thanksgiving: the holiday does not give a day more."""
    due = clock(name, {event: date(2026, 11, 16)})

    assert (due.due, due.send_by, due.latest) == (
        date(2026, 11, 30),
        date(2026, 11, 30),
        date(2026, 12, 1),
    )


def test_words_that_always_stop_texts():
    """Whichever of them a customer writes."""
    words = BOOK.get("us.tcpa.revoke").value["words"]

    assert set(words) == {"stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe"}


@pytest.mark.parametrize(
    ("on", "row"),
    [
        (date(2025, 4, 11), "us-fed.tcpa.all.waived_first"),
        (date(2026, 4, 11), "us-fed.tcpa.all.waived_first"),
        (date(2026, 4, 12), "us-fed.tcpa.all.waived"),
        (date(2027, 1, 31), "us-fed.tcpa.all.waived"),
        (date(2027, 2, 1), "us-fed.tcpa.all"),
    ],
)
def test_one_stop_for_all_messages_is_waived_until_the_end_of_january_2027(on, row):
    """Both waivers answer for their time, and the rule after them."""
    assert [one.id for one in BOOK.rows(on, fact="us.tcpa.all")] == [row]


def test_before_the_rule_about_texts_began_there_is_none():
    """11 April 2025 was its first day."""
    assert not BOOK.rows(date(2025, 4, 10), fact="us.tcpa.revoke")
    assert BOOK.rows(date(2025, 4, 11), fact="us.tcpa.revoke")


def test_receipt_and_screen_differ():
    """Last five and no expiry date on paper; first digits of the bank and last four on screen."""
    assert BOOK.get("us.facta").value == {"last_digits": 5, "expiry": False}
    assert BOOK.get("pci.mask").value == {"last_digits": 4, "first_digits": "bin"}


def test_card_secrets_are_never_kept():
    """Not even encrypted."""
    row = BOOK.get("pci.sad")

    assert set(row.value["elements"]) == {"card_cvv", "card_track", "card_pin"}
    assert "not even encrypted" in row.plain


@pytest.mark.parametrize(
    ("key", "business", "answer"),
    [
        ("pci-dss", {"card_payments": True}, "yes"),
        ("pci-dss", {"card_payments": False}, "no"),
        ("pci-dss", {}, "unknown"),
        ("us.canspam.stop", {"sends_email": False}, "no"),
        ("us.tcpa.revoke", {"sends_texts": True}, "yes"),
        ("us.ftc.s5", {}, "yes"),
        ("us.facta", {"card_payments": True, "prints_receipts": True}, "yes"),
        ("us.facta", {"card_payments": True}, "unknown"),
        ("us.facta", {"card_payments": False}, "no"),
        ("us.coppa", {"serves_children_online": False}, "no"),
        ("us.safeguards", {"is_financial_institution": True}, "yes"),
        ("us.safeguards", {}, "unknown"),
        ("us-ma-wisp", {"residents_of": ["US-MA"], "stores_elements": ["card_pan"]}, "yes"),
        ("us-ma-wisp", {"residents_of": ["US-MA"], "stores_elements": ["email"]}, "no"),
        ("us-ma-wisp", {"residents_of": ["US-NY"], "stores_elements": ["card_pan"]}, "no"),
        ("us-ny-shield", {"residents_of": ["US-NY"], "stores_elements": ["card_pan"]}, "yes"),
        ("us-ny-shield", {"residents_of": ["US-NY"], "stores_elements": ["email"]}, "unknown"),
        ("us-ny-shield", {"residents_of": ["US-CA"]}, "no"),
        ("us-nv-sale", {"residents_of": ["US-NV"], "has_website": True}, "yes"),
        ("us-nv-sale", {"residents_of": ["US-NV"], "has_website": False}, "no"),
        ("us-ca-breach", {"residents_of": ["US-CA"]}, "yes"),
        ("us-ca-breach", {"residents_of": ["US-NV"]}, "no"),
        ("eu-gdpr", {"residents_of": ["DE"]}, "yes"),
        ("eu-gdpr", {"residents_of": ["US-CA"]}, "no"),
        ("uk-gdpr", {"residents_of": ["GB"]}, "yes"),
        ("us-other-breach", {"residents_of": ["US-WY"]}, "unknown"),
    ],
)
def test_whom_a_rule_binds(key, business, answer):
    """A missing fact is unknown, never no."""
    assert BOOK.covered(key, business, ON).answer == answer


def test_colorados_loyalty_rule_binds_whom_its_privacy_law_binds():
    """No number is written twice."""
    for consumers in (99_999, 100_000):
        shop = {"consumers": {"US-CO": consumers}, "residents_of": ["US-CO"], "any_sale": False}
        loyalty = BOOK.covered("us-co-loyalty", shop, ON)

        assert loyalty.answer == BOOK.covered("us-co-privacy", shop, ON).answer
    assert loyalty.answer == "yes"


def test_a_loyalty_benefit_is_not_lost_overnight():
    """24 elapsed hours before, also over the end of summer time."""
    lost = datetime(2026, 11, 1, 20, tzinfo=ZoneInfo("America/Denver"))

    due = clock("co.loyalty", {"benefit_lost": lost}, zone=lost.tzinfo).due

    assert (due.day, due.hour) == (31, 21)
    assert lost - due.astimezone(lost.tzinfo) == timedelta(hours=23)  # on the wall


def test_nevada_answers_in_sixty_days_and_thirty_more():
    """The extension counts from the first day."""
    first = clock("nv.sale", {"received": date(2026, 9, 1)})
    longer = BOOK.extend(first, notice_at=date(2026, 10, 30), reason="many requests at once")

    assert (first.due, longer.due) == (date(2026, 10, 31), date(2026, 11, 30))


def test_own_store_credit_means_telling_the_federal_trade_commission():
    """From 500 customers, within 30 days."""
    row = BOOK.get("us.safeguards")

    assert row.only_if == {"field": "consumers", "op": ">=", "value": 500}
    assert clock(row, {"discovered": date(2026, 9, 1)}).due == date(2026, 10, 1)


def test_a_request_on_the_last_of_january_in_germany():
    """There is no 31 February; with more time it is the last of April."""
    first = clock("eu.access", {"received": date(2026, 1, 31)}, zone=BERLIN)
    longer = BOOK.extend(first, notice_at=date(2026, 2, 27), reason="many requests at once")

    assert (first.due, first.send_by, first.latest) == (
        date(2026, 2, 28),
        date(2026, 2, 27),
        date(2026, 3, 2),
    )
    assert longer.due == date(2026, 4, 30)


def test_seventy_two_hours_are_hours():
    """They run through the night in which the clocks change, and over the weekend."""
    aware = datetime(2026, 10, 24, 15, tzinfo=BERLIN)

    due = clock("eu.breach", {"aware": aware}, zone=BERLIN).due

    assert due == datetime(2026, 10, 27, 14, tzinfo=BERLIN)
    assert due.timestamp() - aware.timestamp() == 72 * 3600


def test_what_a_european_answer_holds():
    """Eleven parts."""
    assert len(BOOK.get("eu.access.content").value["parts"]) == 11


def test_europes_members_are_27():
    """A country outside gives unknown, not GDPR by guess."""
    members = BOOK.laws["eu-gdpr"].includes

    assert len(members) == len(set(members)) == 27
    assert {"DE", "FR", "IE"} <= set(members)
    assert not {"GB", "CH", "NO"} & set(members)


@pytest.mark.parametrize(
    ("events", "due"),
    [
        ({"received": date(2026, 3, 31)}, date(2026, 4, 30)),
        ({"received": date(2026, 3, 2), "id_info": date(2026, 3, 9)}, date(2026, 4, 9)),
        (
            {"received": date(2026, 3, 2), "id_info": date(2026, 3, 9), "fee": date(2026, 3, 12)},
            date(2026, 4, 12),
        ),
        ({"received": date(2026, 3, 2), "id_info": None}, None),
    ],
)
def test_a_british_month_starts_with_the_last_thing_needed(events, due):
    """Request, proof of identity, fee; until the last is there it has not started."""
    one = clock("uk.clock", events, zone=LONDON)

    assert one.due == due
    assert one.state == ("computed" if due else "not_started")


def test_before_february_2026_the_old_british_guidance_counts():
    """No clock stops in it."""
    old = BOOK.rows(date(2026, 2, 4), "GB", "respond")
    new = BOOK.rows(date(2026, 2, 5), "GB", "respond")

    assert [one.id for one in old] == ["uk-gdpr.access.before_2026_02_05"]
    assert [one.id for one in new] == ["uk-gdpr.clock"]
    assert "stop" not in old[0].clock
    assert new[0].clock["stop"] == ["clarification_awaited"]


def test_a_british_complaint_is_confirmed_in_thirty_days():
    """Since 19 June 2026."""
    assert not BOOK.rows(date(2026, 6, 18), fact="uk.complaint")
    assert clock("uk.complaint", {"received": date(2026, 7, 1)}, zone=LONDON).due == date(
        2026, 7, 31
    )


def test_passwords_and_disks_as_nist_has_them():
    """The guide to wiping a disk was replaced on 26 September 2025."""
    said = BOOK.get("nist.pw").value
    assert (said["alone_min"], said["with_mfa_min"], said["accept_at_least"]) == (15, 8, 64)
    assert BOOK.get("nist.wipe", date(2025, 9, 25)).cite == "SP 800-88r1"
    assert BOOK.get("nist.wipe", date(2025, 9, 26)).cite == "SP 800-88r2"


def test_small_in_new_york_is_any_of_three():
    """Staff, revenue of three years, or assets."""
    small = {one["field"]: one["value"] for one in BOOK.get("ny.shield").value["small_any"]}

    assert small == {"employees": 50, "revenue_usd": 3_000_000, "assets_usd": 5_000_000}


def test_what_nobody_read_is_low():
    """The European record of processing: shown, decides nothing."""
    assert not BOOK.get("eu.ropa").usable


def nth(year, month, weekday, n):
    """Return the nth weekday of a month; -1 is the last."""
    first = date(year, month, 1)
    day = first + timedelta(days=(weekday - first.weekday()) % 7)
    days = [day + timedelta(weeks=w) for w in range(5) if (day + timedelta(weeks=w)).month == month]
    return days[n - 1 if n > 0 else n]


def observed(day):
    """Saturday is kept on Friday, Sunday on Monday."""
    return day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


def easter(year):
    """Return Easter Sunday, by the anonymous Gregorian rule."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    k = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * k) // 451
    month, day = divmod(h + k - 7 * m + 114, 31)
    return date(year, month, day + 1)


YEARS = range(2024, 2029)


@pytest.mark.parametrize("year", YEARS)
def test_federal_holidays_follow_their_rules(year):
    """Computed here from the rules themselves; the list was taken from a package."""
    fixed = [date(year, 1, 1), date(year, 6, 19), date(year, 7, 4), date(year, 11, 11)]
    fixed += [date(year, 12, 25), date(year + 1, 1, 1)]
    moving = [(1, 0, 3), (2, 0, 3), (5, 0, -1), (9, 0, 1), (10, 0, 2), (11, 3, 4)]
    expected = {observed(day) for day in fixed} | {nth(year, *when) for when in moving}

    listed = {day for day in BOOK.calendars["us-federal"].days if day.year == year}
    assert listed == {day for day in expected if day.year == year}


@pytest.mark.parametrize("year", YEARS)
def test_german_holidays_follow_easter(year):
    """The nine that all of Germany has."""
    days = [easter(year) + timedelta(days=n) for n in (-2, 1, 39, 50)]
    days += [date(year, m, d) for m, d in ((1, 1), (5, 1), (10, 3), (12, 25), (12, 26))]

    assert {day for day in BOOK.calendars["de"].days if day.year == year} >= {
        day for day in days if day.weekday() < 5
    }
    assert {day for day in BOOK.calendars["de"].days if day.year == year} <= set(days)


@pytest.mark.parametrize("year", YEARS)
def test_british_holidays_follow_their_rules(year):
    """Eight, each on a working day."""
    days = [easter(year) + timedelta(days=n) for n in (-2, 1)]
    days += [nth(year, 5, 0, 1), nth(year, 5, 0, -1), nth(year, 8, 0, -1)]
    new_year = date(year, 1, 1)
    days.append(new_year + timedelta(days={5: 2, 6: 1}.get(new_year.weekday(), 0)))
    boxing = {4: (25, 28), 5: (27, 28), 6: (26, 27)}  # by the weekday of 25 December
    days += [date(year, 12, d) for d in boxing.get(date(year, 12, 25).weekday(), (25, 26))]

    listed = {day for day in BOOK.calendars["gb-eaw"].days if day.year == year}
    assert {day for day in listed if day.weekday() < 5} == set(days)


@pytest.mark.parametrize(
    ("key", "country", "more"),
    [("us-federal", "US", {}), ("de", "DE", {}), ("gb-eaw", "GB", {"subdiv": "ENG"})],
)
def test_the_lists_agree_with_the_package_on_working_days(key, country, more):
    """So that a change there is noticed here."""
    theirs = holidays.country_holidays(country, years=YEARS, **more)
    working = {day for day in theirs if day.weekday() < 5 and day.year in YEARS}

    assert {day for day in BOOK.calendars[key].days if day.weekday() < 5} == working


@pytest.mark.parametrize(
    ("name", "encrypted", "risk_test"),
    [
        ("eu.breach", "ignored", "written"),  # assessed for encrypted data, too
        ("eu.people", "safe", "written"),
        ("us.safeguards", "safe", "none"),
        ("br.other", "key_matters", "none"),
    ],
)
def test_how_rules_beyond_the_states_treat_encrypted_data(name, encrypted, risk_test):
    """Europe's authority is told of encrypted data unless a risk is unlikely; people are not."""
    row = BOOK.get(name, ON)

    assert (row.breach["encrypted"], row.breach["harm_test"]) == (encrypted, risk_test)


def test_nobody_is_sent_to_papers_that_are_not_in_the_kit():
    """A doubt is printed beside a date: it names sources, and never a file of whoever wrote it."""
    for row in BOOK.all_rows:
        assert ".md" not in " ".join((row.plain, row.cite, *row.doubts)), row.id


def test_the_way_to_unsubscribe_works_for_thirty_days():
    """From the day the mail was sent, free of charge."""
    row = BOOK.get("us.canspam.mech")

    assert row.keep == {"n": 30, "unit": "calendar_day", "start": "sent"}
    assert row.value["fee"] is False


def test_the_old_british_month_waited_for_the_proof_of_identity():
    """If it was needed and came later than the request."""
    row = BOOK.get("uk.access.old")
    events = {"received": date(2026, 1, 5), "id_info": date(2026, 1, 12)}

    assert clock(row, events, zone=LONDON, on=date(2026, 1, 5)).due == date(2026, 2, 12)
    assert clock(row, {"received": date(2026, 1, 31)}, zone=LONDON, on=date(2026, 1, 31)).due == (
        date(2026, 2, 28)
    )
