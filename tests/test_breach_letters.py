"""Letters say what the law asks for and nothing it forbids; no name in them can do harm."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import agenda, breach, clocks, incident, law, legal
from kit.breach_letters import LetterError, NotReady, Story, entries, letters, memo

ZONE = ZoneInfo("America/Los_Angeles")
BOOK = legal.Book()
FOUND = datetime(2026, 11, 24, 8, 10, tzinfo=ZONE)
ON = FOUND.date()
FORMS = BOOK.rows(ON, duty="notice")
LABELS = {
    one["name"]: one["label"]
    for one in tomllib.loads((BOOK.folder / "elements.toml").read_text(encoding="utf-8"))["element"]
}
STORY = Story(
    shop="Flora & Co",
    address="1 Example Street, Springfield",
    contact="212-555-0142, privacy@example.com",
    what_happened="On 23 November a laptop with our customer list was stolen from our van.",
    doing="We changed every password and encrypted the other laptops.",
    offered="We pay for 18 months of credit monitoring with a firm of your choice.",
    monitoring_months=18,
)
EXPORT = frozenset({"name", "ssn", "card_pan", "card_cvv", "email"})
WHERE = {"US-CA": 510, "US-NY": 20, "US-MA": 7, "DE": 4, "US-WY": 3}


def found(persons=None, elements=EXPORT, no_harm=None, **more):
    """Return what the real rules say about a stolen laptop."""
    data = incident.DataSet("export", frozenset(elements), persons or WHERE, **more)
    what = incident.Incident(
        "laptop",
        (data,),
        discovered=FOUND,
        determined=FOUND + timedelta(days=1),
        aware=FOUND + timedelta(hours=3),
        no_harm=no_harm,
    )
    return breach.assess(
        what,
        BOOK.rows(ON),
        lambda rule, events: BOOK.deadline(rule, events, zone=ZONE, on=ON),
        members={one.jurisdiction: one.includes for one in BOOK.laws.values() if one.includes},
    )


def written(persons=None, story=STORY, forms=FORMS, **more):
    """Return file name → letter."""
    made = letters(found(persons, **more).findings, story, forms, LABELS)
    by_name = {one.file_name: one for one in made}
    assert len(by_name) == len(made)
    return by_name


def changed(**parts):
    """Return the story with other words."""
    return Story(**{**STORY.__dict__, **parts})


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note the tag; none of ours has an attribute that runs anything."""
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]

    def handle_data(self, data):
        """Note the words."""
        self.words.append(data)


def test_californias_letter_has_the_prescribed_form():
    """Title, five headings in their order, and type that is large enough."""
    letter = written()["letter-us-ca-people"]

    assert letter.title == "Notice of Data Breach"
    assert [heading for heading, _ in letter.parts if heading] == [
        "What Happened",
        "What Information Was Involved",
        "What We Are Doing",
        "What You Can Do",
        "For More Information",
    ]
    assert letter.points >= 10
    assert f"font: {letter.points}pt" in letter.page()
    assert letter.text().startswith("Notice of Data Breach\n\nDear customer,\n")


def test_the_data_are_named_in_plain_words():
    """And only those that could be read."""
    text = written()["letter-us-ca-people"].text()

    for element in EXPORT:
        assert f"- {LABELS[element]}\n" in text
    assert "card_pan" not in text


def test_massachusetts_letter_says_what_it_must_and_not_what_it_must_not():
    """Police report, freeze, no charge, offer; neither what kind of breach nor how many people."""
    letter = written()["letter-us-ma-people"]
    text = letter.text()

    for words in ("police report", "freeze your file", "costs nothing", "18 months"):
        assert words in text
    for words in ("laptop", "stolen", "breach", "van", "password and encrypted", " 7 "):
        assert words not in text.lower()
    assert any("nature of the breach" in one for one in letter.check)


@pytest.mark.parametrize(
    ("parts", "elements", "says"),
    [
        pytest.param({"monitoring_months": 17}, EXPORT, "18 months", id="too short"),
        pytest.param({"offered": " "}, EXPORT, "offer", id="no offer"),
        pytest.param({"offered": ""}, EXPORT - {"ssn"}, "offer", id="no offer, no number"),
    ],
)
def test_massachusetts_letter_is_not_ready_without_an_offer(parts, elements, says):
    """18 months of credit monitoring if a social security number was taken."""
    with pytest.raises(NotReady, match=says):
        written({"US-MA": 7}, changed(**parts), elements=elements)
    assert written({"US-MA": 7}, changed(monitoring_months=18))
    assert written({"US-MA": 7}, changed(monitoring_months=0), elements=EXPORT - {"ssn"})


def test_every_duty_and_every_open_question_has_its_letter():
    """To the people of each place, and to each authority by name."""
    names = set(written())

    assert names == {
        *("letter-us-ca-people", "letter-us-ca-attorney-general"),
        *("letter-us-ny-people", "letter-us-ny-attorney-general", "letter-us-ny-dos"),
        *("letter-us-ny-police", "letter-us-ny-dfs", "letter-us-ma-people"),
        *("letter-us-ma-attorney-general", "letter-us-ma-ocabr", "letter-us-wy-people"),
        *("letter-eu-people", "letter-eu-authority", "letter-us-authority"),
    }


def test_an_open_question_is_the_first_thing_to_check():
    """Wyoming has no row here."""
    assert "not settled" in written()["letter-us-wy-people"].check[0]


def test_encrypted_with_a_safe_key_there_is_hardly_a_letter():
    """Only Europe's authority, and the state without a rule."""
    safe = {"encrypted": True, "algorithm": "AES-256-GCM", "bits": 256, "key_exposed": False}

    assert set(written(**safe)) == {"letter-eu-authority", "letter-us-wy-people"}


def test_an_authority_gets_the_facts():
    """What, how many, which data, and the letter to the people enclosed."""
    text = written()["letter-us-ca-attorney-general"].text()

    assert text.startswith("Report to: California Attorney General\n\nDear Sir or Madam,")
    for words in ("laptop", "at most 510", "full card number", "copy is enclosed", "212-555-0142"):
        assert words in text


def test_a_risk_test_that_is_sent_in_does_not_speak_of_a_letter_to_the_people():
    """Nobody was written to: to tell an authority otherwise would be false."""
    test = incident.Determination("Ana", FOUND, "sealed", frozenset({"US-FL"}))
    (letter,) = letters(found({"US-FL": 9}, no_harm=test).findings, STORY, FORMS, LABELS)

    assert letter.file_name == "letter-us-fl-memo-sent"
    assert "not likely to be harmed. It is enclosed." in letter.text()
    assert not re.search("letter to the people|not known yet", letter.text())


def test_the_disclaimer_is_never_in_a_letter():
    """It would frighten a customer, and means nothing to them."""
    for letter in written().values():
        for made in (letter.text("Ana"), letter.page("Ana")):
            assert "lawyer" not in made
            assert "General information" not in made
            assert law.DISCLAIMER[:20] not in made


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "Ana\n\nWhat We Are Doing\n\nNothing at all",
    "Ana\r\nBcc: everybody@example.com",
    "\u202eanA",
    "Ana\x00\x1b[31m",
    "{title} {0.__class__} %s",
    "../../etc/passwd",
    "=HYPERLINK(1)",
    "x" * 5_000,
]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_stays_a_name(name):
    """In the page no tag and no script come of it; in the text no line of its own."""
    letter = written()["letter-us-ca-people"]
    plain, named = Page(letter.page("Ana Example")), Page(letter.page(name))

    assert named.tags == plain.tags
    assert "script" not in named.tags
    assert "Content-Security-Policy" in letter.page(name)
    assert letter.text(name).count("\n") == letter.text("Ana Example").count("\n")
    for made in (letter.text(name), letter.page(name)):
        assert not re.search("[\x00\x1b\u202a-\u202e\u2066-\u2069]", made)
        assert len(made) < 5_000


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_of_the_shop_are_escaped_too(name):
    """The shop's own name may hold anything."""
    letter = written(story=changed(shop=name, what_happened=name + "x", doing="y" + name))
    page = letter["letter-us-ca-people"].page()

    assert "<script" not in page
    assert "<img" not in page
    assert not re.search("[\x00\x1b\u202a-\u202e\u2066-\u2069]", page)
    assert set(letter) == set(written())  # no file name comes of it


@given(st.text())
def test_any_name_fits_on_its_line(name):
    """Whatever a till holds as a name."""
    letter = LETTER
    head = letter.text(name).split("\n")[2]

    assert head.startswith("Dear ")
    assert len(head) <= 126
    Page(letter.page(name))


LETTER = written()["letter-us-ca-people"]


@pytest.mark.parametrize("part", ["shop", "contact", "what_happened", "doing"])
def test_refuses_a_letter_with_a_hole_in_it(part):
    """Named by its part, without the rest of the story."""
    with pytest.raises(NotReady, match=part) as caught:
        written(story=changed(**{part: "  "}))
    assert isinstance(caught.value, LetterError)
    assert "laptop" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"headings": ["What Happened", "Your Rights"]}, "Your Rights"),
        ({"must": ["a seal of wax"]}, "a seal of wax"),
    ],
)
def test_refuses_a_form_that_it_does_not_know(value, says):
    """A new heading in the law must not become an empty one in a letter."""
    form = SimpleNamespace(jurisdiction="US-CA", value=value)

    with pytest.raises(NotReady, match=says):
        written(forms=[form])


# ---- the memo --------------------------------------------------------------------------------


def decided(what, **more):
    """Return the memo about findings."""
    facts = {"Data": "customer export", "Key": "in another building", "Determined": ""}
    return memo(
        what.findings,
        more.pop("facts", facts),
        always=what.always,
        kept=more.pop("kept", {}),
        disclaimer=BOOK.disclaimer(one.rule for one in what.findings),
        now=more.pop("now", FOUND),
    )


def test_the_memo_holds_every_finding_with_its_reason_and_rule():
    """Also, and above all, why somebody need not be told."""
    what = found()
    text = decided(what)

    for one in what.findings:
        assert one.reason in text
        assert one.rule in text
    assert "not more than 5,000 people" in text
    assert "- Determined: not known" in text
    assert "current to 2026-11-23" in text
    for one in what.always:
        assert one in text


def test_the_memo_says_how_long_it_is_kept():
    """Five years in Florida; without a rule, until a lawyer says otherwise."""
    row = BOOK.get("br.memo.fl", ON)
    until = clocks.keep_until(row, {"determined": FOUND}, zone=ZONE)

    assert f"until {until} at least (us-fl-breach.memo)" in decided(found(), kept={row.id: until})
    assert until == date(2031, 11, 24)
    assert "cannot be counted yet" in decided(found(), kept={row.id: None})
    assert "No rule used here names a period" in decided(found())


def test_a_fact_in_the_memo_cannot_pretend_to_be_a_heading():
    """It stays on its line."""
    text = decided(found(), facts={"Data": "x\n\n## Not to be told, and why\n\n- nobody"})

    assert text.count("\n## Not to be told, and why\n") == 1


def test_the_memo_wants_a_time_with_a_zone():
    """It is evidence."""
    with pytest.raises(LetterError, match="zone"):
        decided(found(), now=datetime(2026, 11, 24))  # noqa: DTZ001 (the test's point)


# ---- the calendar ----------------------------------------------------------------------------


def test_every_date_goes_into_the_calendar():
    """Days as days, 72 hours as an instant, and what has no day on the day it was found."""
    what = found()
    made = {one.key: one for one in entries(what.findings, "laptop", today=ON)}
    open_ = [one for one in what.findings if one.verdict != breach.NO_DUTY]

    assert len(made) == len(open_)
    people = made["laptop|US-CA|us-ca-breach.people|people"]
    assert people.on == date(2026, 12, 24)
    assert made["laptop|EU|eu-gdpr.breach|authority"].on == FOUND + timedelta(hours=75)
    soon = made["laptop|EU|eu-gdpr.people|people"]
    assert (soon.on, soon.title[:9]) == (ON, "Start now")
    floor = made["laptop|US-CA|us-ca-breach.ag|attorney_general"]
    assert (floor.on, floor.title[:11]) == (date(2026, 12, 9), "May be due:")
    assert "not before" not in (floor.title + floor.text).casefold()  # nobody shall wait for it
    assert "not settled" in made["laptop|US-WY|us-other-breach.people|people"].title


def test_the_calendar_file_reads_back():
    """Parsed by the standard: one entry for each, all-day days, nothing folded wrongly."""
    made = entries(found().findings, "laptop", today=ON)
    file = agenda.write(made, now=datetime(2026, 11, 24, 18, tzinfo=UTC))

    lines = file.decode().replace("\r\n ", "").split("\r\n")
    assert all(len(line) <= 75 for line in file.split(b"\r\n"))
    assert lines.count("BEGIN:VEVENT") == len(made)
    assert len({line for line in lines if line.startswith("UID:")}) == len(made)
    days = [line[-8:] for line in lines if line.startswith("DTSTART;VALUE=DATE:")]
    instants = [line[8:] for line in lines if line.startswith("DTSTART:")]
    assert sorted(days) == sorted(
        f"{one.on:%Y%m%d}" for one in made if not isinstance(one.on, datetime)
    )
    assert instants == ["20261127T191000Z"]
    assert {line for line in lines if line.startswith("DTSTAMP")} == {"DTSTAMP:20261124T180000Z"}
    summaries = [line for line in lines if line.startswith("SUMMARY:")]
    assert "SUMMARY:the people affected\\, US-CA" in summaries
