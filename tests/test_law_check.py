"""No row with a mistake in it gets as far as a customer's date."""

from __future__ import annotations

import shutil
from datetime import date, timedelta

import pytest

from kit import law
from kit.law_check import GRACE, check, undocumented

TODAY = date(2026, 11, 24)
REVIEW = date(2027, 5, 31)
LAW = """
[law]
key = "us-va-test"
name = "A law of Virginia"
jurisdiction = "US-VA"
kind = "privacy"
in_force = { from = 2023-01-01 }
calendar = "made-up"
"""
APPLIES = """
[[row]]
id = "us-va-test.size"
fact = "va.size"
duty = "applies"
plain = "It is for large ones."
quote = "at least 100 consumers"
cite = "Code 1"
read_on = 2026-11-20
review_by = 2027-05-31
confidence = "high"
quality = "verified"
source = { name = "the state", url = "https://example.org/code/1", kind = "primary" }
in_force = { from = 2023-01-01 }
reviewed_by = { name = "Ann Example", role = "lawyer" }
covered_if = { any = [
  { field = "consumers", place = "US-VA", op = ">=", value = 100, period = "calendar_year" },
  { not = { field = "sba_small" } },
] }
"""
REPLY = """
[[row]]
id = "us-va-test.reply"
fact = "va.reply"
duty = "respond"
plain = "Answer in 10 working days."
quote = ""
cite = "Code 2"
read_on = 2026-11-20
review_by = 2027-05-31
confidence = "medium"
quality = "imported"
doubts = ["one page said so"]
source = { name = "a page", url = "example.org", kind = "host-only" }
in_force = { from = 2023-01-01 }
reviewed_by = { name = "", role = "none yet" }
value = { elements = ["email"] }

  [row.clock]
  start = "received"
  n = 10
  unit = "business_day"
  first_day = "next"
  extend = { n = 5, unit = "business_day", total_from = "received", notice_by = "first_due", needs_reason = true }

  [[row.examples]]
  received = 2026-03-02
  due = 2026-03-16
"""  # noqa: E501 (TOML has no line break there)
TELL = """
[[row]]
id = "us-va-test.people"
fact = "br.va"
duty = "tell_people"
plain = "Tell people."
quote = ""
cite = "Code 3"
read_on = 2026-11-20
review_by = 2027-05-31
confidence = "high"
quality = "imported"
source = { name = "a page", url = "example.org", kind = "host-only" }
in_force = { from = 2023-01-01 }
reviewed_by = { name = "", role = "none yet" }
recipient = "people"
no_fixed_day = "without unreasonable delay"
only_if = { field = "residents", op = ">", value = 500 }

  [row.breach]
  elements = "br.el.va"
  encrypted = "key_matters"
  harm_test = "none"

[[row]]
id = "us-va-test.elements"
fact = "br.el.va"
duty = "elements"
plain = "A name with a card number."
quote = ""
cite = "Code 4"
read_on = 2026-11-20
review_by = 2027-05-31
confidence = "high"
quality = "imported"
source = { name = "a page", url = "example.org", kind = "host-only" }
in_force = { from = 2023-01-01 }
reviewed_by = { name = "", role = "none yet" }

  [row.elements]
  combinations = [[["email"], ["name"]]]
"""
ELEMENTS = '[[element]]\nname = "email"\n[[element]]\nname = "name"\n'
CALENDARS = """
[[calendar]]
key = "made-up"
name = "A made-up place"
from_year = 2026
to_year = 2026
days = [{ on = 2026-12-25, name = "Christmas" }]
source = { name = "the state", url = "https://example.org/days", kind = "primary" }
read_on = 2026-11-20
review_by = 2027-05-31
"""
CHANGES = "# Changes\n\n- `us-va-test.*`: first version\n"


@pytest.fixture
def facts(tmp_path):
    """Return what writes a folder of facts, changed by replacing texts."""

    def write(*changes, extra="", folder=tmp_path / "facts"):
        folder.mkdir(exist_ok=True)
        texts = {
            "us-va-test.toml": LAW + APPLIES + REPLY + TELL + extra,
            "elements.toml": ELEMENTS,
            "calendars.toml": CALENDARS,
            "CHANGES.md": CHANGES,
        }
        for before, after in changes:
            assert sum(before in text for text in texts.values()), before
            texts = {name: text.replace(before, after, 1) for name, text in texts.items()}
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        return folder

    return write


def found(folder, level="fail", today=TODAY, **more):
    """Return rows and messages of one level."""
    return [(p.row, p.what) for p in check(folder, today=today, **more) if p.level == level]


def test_a_sound_folder_has_nothing_to_mend(facts):
    """What a person should complete is said, but stops no release."""
    folder = facts()

    assert found(folder) == found(folder, "overdue") == []
    assert ("us-va-test.reply", "quote to be supplied by a person") in found(folder, "warn")
    assert ("us-va-test.reply", "the source has no full address yet") in found(folder, "warn")
    assert ("us-va-test.reply", "nobody has reviewed it") in found(folder, "warn")
    assert not [what for row, what in found(folder, "warn") if row == "us-va-test.size"]


SIZE, ANSWER, PEOPLE = "us-va-test.size", "us-va-test.reply", "us-va-test.people"
SIXTEEN = " ".join(["word"] * 16)


@pytest.mark.parametrize(
    ("before", "after", "row", "says"),
    [
        pytest.param("at least 100 consumers", SIXTEEN, SIZE, "16 words", id="a long quote"),
        pytest.param("at least 100", "at least ... 100", SIZE, "ellipsis", id="three dots"),
        pytest.param("at least 100", "at least … 100", SIZE, "ellipsis", id="an ellipsis"),
        pytest.param('quote = "at least 100 consumers"', 'quote = ""', SIZE, "verified, but",
                     id="verified without the words"),
        pytest.param('quote = "at least 100 consumers"\n', "", SIZE, "quote is missing",
                     id="no quote at all"),
        pytest.param('cite = "Code 1"\n', "", SIZE, "cite is missing", id="no citation"),
        pytest.param('plain = "It is for large ones."', 'plain = " "', SIZE, "plain is missing",
                     id="no sentence"),
        pytest.param("read_on = 2026-11-20\n", "", SIZE, "read_on is missing", id="not read"),
        pytest.param("read_on = 2026-11-20", 'read_on = "lately"', SIZE, "read_on is missing",
                     id="read lately"),
        pytest.param("read_on = 2026-11-20", "read_on = 2026-11-25", SIZE, "future",
                     id="read tomorrow"),
        pytest.param("review_by = 2027-05-31\n", "", SIZE, "review_by is missing",
                     id="never to be read again"),
        pytest.param('confidence = "high"\n', "", SIZE, "confidence is missing", id="how sure"),
        pytest.param('confidence = "high"', 'confidence = "sure"', SIZE, "not one of high",
                     id="another word for sure"),
        pytest.param('duty = "applies"', 'duty = "pay"', SIZE, "duty 'pay'", id="unknown duty"),
        pytest.param('source = { name = "the state", url = "https://example.org/code/1", '
                     'kind = "primary" }\n', "", SIZE, "source must have", id="no source"),
        pytest.param('name = "the state", url', 'name = "", url', SIZE, "source has no name",
                     id="a nameless source"),
        pytest.param("https://example.org/code/1", "somewhere", SIZE, "must be an address",
                     id="no address"),
        pytest.param('url = "example.org"', 'url = "example.org/page"', ANSWER, "host alone",
                     id="an address called a host"),
        pytest.param("in_force = { from = 2023-01-01 }\nreviewed",
                     "reviewed", SIZE, "in_force.from is missing", id="in force since when"),
        pytest.param("in_force = { from = 2023-01-01 }\nreviewed",
                     "in_force = { from = 2023-01-01, to = 2022-01-01 }\nreviewed", SIZE,
                     "in_force.to", id="ends before it begins"),
        pytest.param('id = "us-va-test.size"', 'id = "us-xx.size"', "us-xx.size",
                     "must begin with us-va-test", id="an id of another law"),
        pytest.param('id = "us-va-test.size"', 'id = "us-va-test.reply"', ANSWER, "there twice",
                     id="the same id twice"),
        pytest.param('cite = "Code 1"', 'cite = "Code 1"\ncolour = "red"', SIZE, "'colour'",
                     id="a word that nobody reads"),
        pytest.param('period = "calendar_year"', 'period = "summer"', SIZE, "period must be",
                     id="unknown period"),
        pytest.param('op = ">="', 'op = "=="', SIZE, "with an op", id="unknown comparison"),
        pytest.param('place = "US-VA", ', "", SIZE, "must have a place", id="people of nowhere"),
        pytest.param('"sba_small"', '"small"', SIZE, "'small' is not known", id="unknown fact"),
        pytest.param("{ not = { field", "{ not = { any = [], field", SIZE, "each node is one of",
                     id="two tests in one"),
        pytest.param("covered_if = { any", "value = { any", SIZE, "has no covered_if",
                     id="binds nobody knows whom"),
        pytest.param("n = 10\n", "n = -1\n", ANSWER, "must have n, a unit", id="minus one day"),
        pytest.param('unit = "business_day"\n', 'unit = "week"\n', ANSWER, "must have n, a unit",
                     id="weeks"),
        pytest.param('start = "received"', 'start = "recieved"', ANSWER, "must have n, a unit",
                     id="an event misspelt"),
        pytest.param('start = "received"', 'start = "latest_of"', ANSWER, "start_any goes",
                     id="the latest of nothing"),
        pytest.param('first_day = "next"', 'first_day = "last"', ANSWER, "first_day", id="day"),
        pytest.param('first_day = "next"', 'first_day = "next"\n  frist = 1', ANSWER, "'frist'",
                     id="a clock with a typing error"),
        pytest.param('total_from = "received"', 'total_from = "sent"', ANSWER, "own start",
                     id="extended from elsewhere"),
        pytest.param(", needs_reason = true", "", ANSWER, "extend must have", id="no reason"),
        pytest.param('confidence = "medium"', 'confidence = "low"', ANSWER, "must have no clock",
                     id="a clock that nobody confirmed"),
        pytest.param('doubts = ["one page said so"]\n', "", ANSWER, "must say its doubts",
                     id="half sure, without saying why"),
        pytest.param("  [[row.examples]]\n  received = 2026-03-02\n  due = 2026-03-16\n", "",
                     ANSWER, "without a worked example", id="no example"),
        pytest.param('elements = ["email"]', 'elements = ["emial"]', ANSWER, "'emial'",
                     id="an element that is not listed"),
        pytest.param('[["email"], ["name"]]', '[["email"], ["nmae"]]', "us-va-test.elements",
                     "'nmae'", id="a combination of what is not listed"),
        pytest.param('recipient = "people"\n', "", PEOPLE, "must name a recipient", id="whom"),
        pytest.param('no_fixed_day = "without unreasonable delay"\n', "", PEOPLE,
                     "must have a clock", id="by when"),
        pytest.param('op = ">", value = 500', 'op = "!", value = 500', PEOPLE, "only_if",
                     id="a threshold without a comparison"),
        pytest.param('encrypted = "key_matters"', 'encrypted = "yes"', PEOPLE, "breach.encrypted",
                     id="encryption in other words"),
        pytest.param('elements = "br.el.va"', 'elements = "br.el.xx"', PEOPLE, "is no fact",
                     id="a list of elements that is not there"),
        pytest.param('value = { elements = ["email"] }', "value = 5", ANSWER, "wrong kind",
                     id="a number for a table"),
        pytest.param('kind = "privacy"', 'kind = "privat"', "us-va-test", "kind must be",
                     id="an unknown kind of law"),
        pytest.param('jurisdiction = "US-VA"', 'jurisdiction = "Virginia"', "us-va-test",
                     "jurisdiction", id="a state in words"),
        pytest.param('calendar = "made-up"', 'calendar = "none"', "us-va-test",
                     "not in calendars.toml", id="a list of holidays that is not there"),
        pytest.param('calendar = "made-up"', 'covered_if = { field = "revenue_usd", op = ">", '
                     "value = 5 }", "us-va-test", "must hold no number", id="a number without row"),
        pytest.param('key = "us-va-test"', 'key = "us-va-tset"', "us-va-tset", "file's name",
                     id="a key unlike its file"),
        pytest.param("to_year = 2026", "to_year = 2027", "made-up", "in every year",
                     id="a year without holidays"),
        pytest.param('- `us-va-test.*`: first version', "", SIZE, "no line in CHANGES.md",
                     id="nobody said who wrote it"),
        pytest.param('name = "A law of Virginia"\n', "", "us-va-test", "has no name",
                     id="a nameless law"),
        pytest.param('value = { elements = ["email"] }', 'superseded = { reason = "old" }', ANSWER,
                     "superseded needs", id="followed, for no reason"),
        pytest.param('value = { elements = ["email"] }', 'keep = { n = 2, unit = "year", '
                     'start = "answered" }', ANSWER, "keep must have", id="kept for years"),
        pytest.param('first_day = "next"', 'first_day = "next"\n  direction = "after"', ANSWER,
                     "only be before", id="counted in another direction"),
        pytest.param('first_day = "next"', 'first_day = "next"\n  sooner_of = [{ n = 1 }]', ANSWER,
                     "sooner_of must have", id="the sooner of half a clock"),
        pytest.param('harm_test = "none"', 'harm_test = "none"\n  memo = "br.memo.xx"', PEOPLE,
                     "breach.memo", id="a memo kept by no rule"),
        pytest.param('[[["email"], ["name"]]]', "[]", "us-va-test.elements", "must list",
                     id="no combination"),
        pytest.param("covered_if = { any = [\n", "covered_if = { all = [{ any = [] },\n", SIZE,
                     "any is empty", id="an empty test"),
        pytest.param('period = "calendar_year"', 'counting = "twice"', SIZE, "counting must be",
                     id="counted otherwise"),
        pytest.param('{ field = "sba_small" }', '{ field = "stores_element_in", elements = ["x"] }',
                     SIZE, "element 'x'", id="a test of an element that is not listed"),
        pytest.param('name = "Christmas" }]', 'name = "Christmas" }, { on = 2026-12-25, name = '
                     '"again" }]', "made-up", "a day twice", id="Christmas twice"),
        pytest.param('name = "email"', 'name = "name"', "name", "twice in elements.toml",
                     id="an element twice"),
    ],
)  # fmt: skip
def test_refuses(facts, before, after, row, says):
    """Every broken row is named, with what is wrong."""
    folder = facts((before, after))

    assert [what for at, what in found(folder) if at == row and says in what]


def test_two_rows_for_one_duty_do_not_overlap(facts):
    """For one day there is one rule; with different scopes there may be two."""
    again = REPLY.replace("us-va-test.reply", "us-va-test.again")
    assert ("us-va-test.again", f"in force at the same time as {ANSWER}, for the same duty") in (
        found(facts(extra=again))
    )
    assert found(facts(extra=again.replace("value =", 'scope = "by post"\nvalue ='))) == []
    followed = again.replace("from = 2023-01-01", "from = 2027-01-01")
    ended = (
        'in_force = { from = 2023-01-01 }\nreviewed_by = { name = "", role = "none yet" }\nvalue',
        'in_force = { from = 2023-01-01, to = 2026-12-31 }\nsuperseded = { by = '
        '"us-va-test.again", reason = "amended" }\nreviewed_by = { name = "" }\nvalue',
    )  # fmt: skip
    assert found(facts(ended, extra=followed)) == []
    assert any("is no row" in what for _, what in found(facts(ended)))


def test_worked_examples_are_recomputed(facts):
    """By what is handed in; what does not come out is a fail of that row."""
    folder = facts()
    asked = []

    def wrong(row, example):
        asked.append((row, example))
        return ["due is another day"]

    assert (ANSWER, "example 1: due is another day") in found(folder, recompute=wrong)
    assert asked == [(ANSWER, {"received": date(2026, 3, 2), "due": date(2026, 3, 16)})]


def test_what_is_overdue_warns_for_a_month_and_then_stops_a_release(facts):
    """A release never leaves with words that nobody has looked at for so long."""
    folder = facts()

    assert found(folder, "overdue", REVIEW) == []
    for today in (REVIEW + timedelta(days=1), REVIEW + GRACE):
        assert len(found(folder, "overdue", today)) == 5  # four rows, one list of holidays
        assert found(folder, today=today) == []
    assert len(found(folder, today=REVIEW + GRACE + timedelta(days=1))) == 5
    told = dict(found(folder, today=REVIEW + GRACE + timedelta(days=1)))
    assert told[SIZE] == "was to be read again by 2027-05-31; kit law review"
    assert "compare the list" in told["made-up"]  # a list of holidays is no row of that review


def test_names_that_lessons_use_must_exist(facts):
    """A lesson that asks for a row that was renamed is found before a learner does."""
    assert found(facts(), used=["va.reply", "va.gone", SIZE]) == [
        ("va.gone", "is used, but there is no such row")
    ]


def test_files_that_cannot_be_read_do_not_hide_the_others(facts):
    """Each problem is listed, the unreadable file first of all."""
    folder = facts(('cite = "Code 1"\n', ""))
    (folder / "us-xx-test.toml").write_text("[law", encoding="utf-8")
    (folder / "elements.toml").unlink()

    rows = [row for row, _ in found(folder)]
    assert {"us-xx-test.toml", "elements.toml", SIZE} <= set(rows)


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("us-va-test.toml", LAW + APPLIES.replace("[[row]]", "[row]"), "each row as [[row]]"),
        ("us-va-test.toml", "row = 5\n" + LAW, "each row as [[row]]"),
        ("us-va-test.toml", 'law = "x"', "[law] has no key"),
        ("elements.toml", 'element = ["name"]', "each element as [[element]]"),
        ("calendars.toml", "[calendar]\nkey = 1", "each calendar as [[calendar]]"),
    ],
)
def test_one_bracket_too_few_is_named(facts, file, text, says):
    """A slip in the shape of a file must not end the check."""
    folder = facts()
    (folder / file).write_text(text, encoding="utf-8")
    assert says in str(found(folder))


def test_a_change_needs_its_line(facts, tmp_path):
    """Who changed what, and why, is written down, or the change is refused."""
    before = facts(folder=tmp_path / "before")
    plain = ("It is for large ones.", "It is for very large ones.")

    silent = facts(plain, folder=tmp_path / "silent")
    assert [p.row for p in undocumented(before, silent)] == [SIZE]
    line = ("# Changes\n", "# Changes\n\n- `us-va-test.size`: said more clearly\n")
    assert undocumented(before, facts(plain, line, folder=tmp_path / "told")) == []
    renamed = facts(("us-va-test.size", "us-va-test.large"), folder=tmp_path / "renamed")
    assert {(p.row, p.what[:11]) for p in undocumented(before, renamed)} == {
        ("us-va-test.large", "changed wit"),
        (SIZE, "was deleted"),
    }
    assert undocumented(before, before) == []


def test_the_kits_own_facts_changed_in_silence_are_found(tmp_path):
    """The same for the real files: one number, and its row is named."""
    shutil.copytree(law.FACTS, tmp_path / "facts")
    path = tmp_path / "facts/us-ca-ccpa.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("  n = 45\n", "  n = 44\n", 1), encoding="utf-8")

    assert len(undocumented(law.FACTS, tmp_path / "facts")) == 1
