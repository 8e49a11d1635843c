"""The rows of the law: found by name and day, with their source, never for a day not theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from kit import binding, law
from kit.law import BadFacts, LawError, UnknownRule

ROOT = Path(__file__).parent.parent
ON = date(2026, 11, 24)
LAW = """
[law]
key = "us-va-test"
name = "A law of Virginia"
jurisdiction = "US-VA"
kind = "privacy"
in_force = { from = 2023-01-01 }
"""


def row(id_, duty="applies", starts="2023-01-01", more="", *, fact="va", confidence="high"):
    """Return the text of a row; *starts* may go on with a last day."""
    return f"""
[[row]]
id = "us-va-test.{id_}"
fact = "{fact}"
duty = "{duty}"
plain = "Do it."
quote = ""
cite = "Code 1"
read_on = 2026-11-20
review_by = 2027-05-31
confidence = "{confidence}"
quality = "imported"
source = {{ name = "a page", url = "example.org", kind = "host-only" }}
in_force = {{ from = {starts} }}
reviewed_by = {{ name = "", role = "none yet" }}
{more}
"""


SIZE = 'covered_if = { field = "consumers", place = "US-VA", op = ">=", value = 100 }'
SALE = 'covered_if = { field = "any_sale" }'


@pytest.fixture
def laws(tmp_path):
    """Return what loads a folder with one law of the rows given."""

    def load(*rows, head=LAW):
        (tmp_path / "us-va-test.toml").write_text(head + "".join(rows), encoding="utf-8")
        return law.load(tmp_path, evaluate=binding.evaluate)

    return load


def answer(loaded, key="us-va-test", on=ON, **business):
    """Return the answer alone."""
    return loaded.covered(key, business, on).answer


def test_a_row_that_was_followed_answers_for_its_own_time(laws, tmp_path):
    """A request of 2024 is judged by the rule of 2024, also when it was moved aside."""
    loaded = laws(row("new", starts="2025-01-01", more=SIZE))
    (tmp_path / "obsolete").mkdir()
    old = LAW + row("old", starts="2023-01-01, to = 2024-12-31", more=SALE)
    (tmp_path / "obsolete/us-va-test.toml").write_text(old, encoding="utf-8")
    loaded = law.load(tmp_path, evaluate=binding.evaluate)

    assert loaded.get("va", date(2024, 12, 31)).id == "us-va-test.old"
    assert loaded.get("va", date(2025, 1, 1)).id == "us-va-test.new"
    seller = {"any_sale": True, "consumers": {"US-VA": 5}}
    assert answer(loaded, on=date(2024, 12, 31), **seller) == "yes"
    assert answer(loaded, on=date(2025, 1, 1), **seller) == "no"


def test_before_a_law_is_in_force_there_is_no_duty(laws):
    """The reason says from when on there will be; without a known first day it is unknown."""
    loaded = laws(row("size", more=SIZE))
    told = loaded.covered("us-va-test", {"consumers": {"US-VA": 500}}, date(2022, 12, 31))

    assert (told.answer, told.reason) == ("no", "no: not in force before 2023-01-01")
    assert answer(loaded, on=date(2023, 1, 1), consumers={"US-VA": 500}) == "yes"
    unknown_start = laws(row("size", more=SIZE), head=LAW.replace("in_force", "# in_force"))
    assert answer(unknown_start, on=date(2022, 12, 31), consumers={"US-VA": 500}) == "unknown"


def test_a_day_between_two_rows_is_unknown_not_free(laws):
    """A hole in the files is no hole in the law."""
    hole = laws(
        row("old", starts="2023-01-01, to = 2023-12-31", more=SIZE),
        row("new", starts="2025-01-01", more=SIZE),
    )

    assert answer(hole, on=date(2024, 6, 1), consumers={"US-VA": 5}) == "unknown"


def test_a_rule_alone_on_a_day_without_a_row(laws):
    """Enacted for later: no. Ended: no. A hole, or a first day that nobody read: unknown."""
    unread = 'doubts = ["first day in force not read"]'
    loaded = laws(
        row("later", "respond", "2027-01-01", fact="va.later"),
        row("ended", "cure", "2023-01-01, to = 2023-12-31", fact="va.ended"),
        row("old", "verify", "2023-01-01, to = 2023-12-31", fact="va.hole"),
        row("new", "verify", "2025-01-01", fact="va.hole"),
        row("known", "notice", "2026-01-01", fact="va.known", more=unread),
    )

    def told(fact, on):
        return loaded.covered(fact, {}, on).reason

    assert told("va.later", ON) == "no: not in force before 2027-01-01"
    assert told("va.ended", ON) == "no: no longer in force on that day"
    assert told("va.hole", date(2024, 6, 1)) == "unknown: no row here is for that day"
    assert told("va.known", date(2025, 6, 1)) == "unknown: no row here is for that day"


def test_several_tests_bind_if_one_does(laws):
    """The sentence names the one that did, or all that did not."""
    loaded = laws(
        row("size", more=SIZE, fact="va.if.size"), row("sale", more=SALE, fact="va.if.sale")
    )

    yes = loaded.covered("us-va-test", {"any_sale": True}, ON)
    assert (yes.answer, yes.rows) == ("yes", ("us-va-test.sale",))
    no = loaded.covered("us-va-test", {"any_sale": False, "residents_of": []}, ON)
    assert no.reason == (
        "no: under 100 people of Virginia whose data are used; no personal data are sold (va.if.*)"
    )
    assert answer(loaded, any_sale=False) == "unknown"


def test_an_unconfirmed_test_never_decides(laws):
    """Neither way: the other test may say yes, but nothing says no for certain."""
    low = row("sale", more=SALE, confidence="low", fact="va.sale")
    loaded = laws(row("size", more=SIZE), low)

    assert answer(loaded, any_sale=True, consumers={"US-VA": 5}) == "unknown"
    assert answer(loaded, any_sale=False, consumers={"US-VA": 5}) == "unknown"
    assert answer(loaded, any_sale=False, consumers={"US-VA": 100}) == "yes"
    told = loaded.covered("va.sale", {"any_sale": True}, ON)
    assert told.reason == "unknown: the rule is unconfirmed (va.sale)"


def test_a_rule_with_a_test_of_its_own_is_not_hidden_by_its_law(laws):
    """A small shop may sell nothing sensitive without consent, although the law is not for it."""
    consent = row("consent", "consent", more='covered_if = { field = "sells_sensitive" }')
    loaded = laws(row("size", more=SIZE), consent, row("reply", "respond", fact="va.reply"))
    business = {"consumers": {"US-VA": 5}, "sells_sensitive": True}

    told = loaded.covered("us-va-test", business, ON)
    assert told.answer == "no"
    assert [(one.key, one.answer) for one in told.partial] == [("us-va-test.consent", "yes")]
    assert answer(loaded, "us-va-test.consent", **business) == "yes"
    assert answer(loaded, "us-va-test.reply", **business) == "no"  # it follows its law
    assert "consumers" not in told.partial[0].reason


def test_a_fact_of_several_tests_answers_as_all_of_them(laws):
    """Asked by the name in the tables, not one test alone decides."""
    loaded = laws(row("size", more=SIZE), row("sale", more=SALE), row("reply", "respond"))

    assert answer(loaded, "va", consumers={"US-VA": 5}, any_sale=True) == "yes"
    assert answer(loaded, "va", consumers={"US-VA": 5}, any_sale=False) == "no"
    assert answer(loaded, "us-va-test.size", consumers={"US-VA": 5}, any_sale=True) == "no"


def test_laws_without_tests_of_their_own(laws, tmp_path):
    """A breach law binds with the first resident; one that follows another answers as that does."""
    head = LAW + 'covered_if = { field = "residents_of", place = "US-VA" }\n'
    reply = row("reply", "respond", "2024-01-01")
    assert answer(laws(reply, head=head), residents_of=["US-VA"]) == "yes"
    assert answer(laws(reply, head=head), residents_of=[]) == "no"
    assert answer(laws(reply), residents_of=["US-VA"]) == "unknown"
    assert answer(laws(row("own", "consent", more=SALE)), any_sale=True) == "yes"

    laws(row("size", more=SIZE))
    more = LAW.replace("us-va-test", "us-va-more") + 'follows = "us-va-test"\n'
    (tmp_path / "us-va-more.toml").write_text(more, encoding="utf-8")
    both = law.load(tmp_path, evaluate=binding.evaluate)
    assert answer(both, "us-va-more", consumers={"US-VA": 100}) == "yes"
    assert answer(both, "us-va-more", consumers={"US-VA": 99}) == "no"


def test_what_is_not_in_the_files_is_unknown(laws):
    """It never reads as "no duty"."""
    loaded = laws(row("size", more=SIZE))

    assert answer(loaded, "us-wy-privacy") == "unknown"
    assert answer(loaded, "a rule of nowhere") == "unknown"


def test_rows_are_found_by_day_place_duty_and_fact(laws):
    """A program asks for what it needs."""
    loaded = laws(
        row("size", more=SIZE),
        row("reply", "respond", "2024-01-01", fact="va.reply"),
        row("gone", "cure", "2023-01-01, to = 2023-12-31", fact="va.cure"),
    )

    def ids(*wanted, **more):
        return [found.id.rpartition(".")[2] for found in loaded.rows(*wanted, **more)]

    assert ids(ON) == ["size", "reply"]
    assert ids(date(2023, 6, 1)) == ["size", "gone"]
    assert ids(ON, "US-CA") == []
    assert ids(ON, "US-VA", "respond") == ids(ON, fact="va.reply") == ["reply"]
    assert ids(ON, law="us-va-test") == ["size", "reply"]


def test_the_notice_carries_the_oldest_day(laws):
    """Whoever reads a date sees how old the words behind it may be."""
    older = row("b").replace("read_on = 2026-11-20", "read_on = 2025-01-31")
    loaded = laws(row("a"), older)

    assert law.disclaimer(loaded.all_rows) == (
        "General information compiled by non-lawyers, current to 2025-01-31. It may be wrong or "
        "out of date. Ask a lawyer before you rely on it; in a breach ask at once."
    )


def test_a_rule_that_should_have_been_read_again_says_so(laws):
    """From the day after; a rule that has ended does not nag."""
    ended = row("z", "cure", "2023-01-01, to = 2024-01-31")
    loaded = laws(row("a"), row("b"), ended)

    assert law.banner(loaded.all_rows, date(2027, 5, 31)) == ""
    assert law.banner(loaded.all_rows, date(2027, 6, 1)) == (
        "Overdue: us-va-test.a and 1 more should have been read again by 2027-05-31. kit law review"
    )
    assert "more" not in law.banner(loaded.all_rows[:1], date(2027, 6, 1))


@pytest.mark.parametrize(
    ("name", "on", "says"),
    [
        pytest.param("va", ON, "has 2 rows", id="two rows of one fact"),
        pytest.param("va.repli", ON, "did you mean va.reply", id="a typing error"),
        pytest.param("zzzzzz", ON, "kit law show", id="nothing like it"),
        pytest.param("va.reply", date(2023, 1, 1), "not in force", id="not yet"),
    ],
)
def test_refuses_to_guess_which_row_is_meant(laws, name, on, says):
    """A wrong row would give a wrong date."""
    loaded = laws(
        row("size", more=SIZE),
        row("sale", more=SALE),
        row("reply", "respond", "2024-01-01", fact="va.reply"),
    )
    with pytest.raises(UnknownRule, match=says):
        loaded.get(name, on)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("[law", "not TOML", id="not TOML"),
        pytest.param("[law]\nkey = 'x'\n", "'name' is missing", id="no name"),
        pytest.param(LAW + '[[row]]\nid = "us-va-test.a"\n', "is missing", id="half a row"),
        pytest.param("law = 5\n", "cannot be read", id="another shape"),
        pytest.param("", "'law' is missing", id="empty"),
    ],
)
def test_refuses_files_that_cannot_be_read(tmp_path, text, says):
    """The file is named, so that a person can mend it."""
    (tmp_path / "us-va-test.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadFacts, match=says) as caught:
        law.load(tmp_path)
    assert "us-va-test.toml" in str(caught.value)


def test_refuses_an_empty_folder_and_a_question_without_its_tool(tmp_path, laws):
    """Without rows there is no "no duty" to be read out of nothing."""
    with pytest.raises(BadFacts, match="no law in"):
        law.load(tmp_path)
    laws(row("size", more=SIZE))
    with pytest.raises(LawError, match="binding.evaluate"):
        law.load(tmp_path).covered("us-va-test", {}, ON)


def test_the_copied_file_works_alone(tmp_path):
    """A developer takes law.py and its folder, and asks."""
    for name in ("law", "binding"):
        (tmp_path / f"{name}.py").write_bytes((ROOT / f"kit/{name}.py").read_bytes())
    facts = tmp_path / "facts"
    facts.mkdir()
    (facts / "us-va-test.toml").write_text(LAW + row("size", more=SIZE), encoding="utf-8")
    code = (
        "import binding, law, datetime; laws = law.load(evaluate=binding.evaluate); print("
        "laws.covered('us-va-test', {'consumers': {'US-VA': 9}}, datetime.date(2026, 1, 1)).answer)"
    )
    env = {**os.environ, "PYTHONPATH": ""}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )

    assert (ran.stdout.strip(), ran.returncode) == ("no", 0), ran.stderr
