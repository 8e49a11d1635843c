"""Whatever people type is tidied the same way, or refused in words that do not repeat it."""

from __future__ import annotations

import time
import unicodedata
from datetime import UTC, date, datetime

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import cards, personal, tidy
from kit.tidy import AS_IS, BadRule, Rule, Tidy, TidyError

UNHURRIED = settings(deadline=None)  # a busy machine is no failure
TODAY = date(2026, 11, 24)
CARD = "4242 4242 4242 4242"  # a published test number


def find_cards(texts):
    """Hand `cards` over as `Tidy` wants it."""
    look = cards.look(pa.array(texts, pa.string()))
    return (look.trust >= cards.PLAIN) | look.code | look.track


def find_health(texts):
    """Likewise `personal`."""
    return [bool(personal.check("health word", text)) for text in texts]


TIDY = Tidy(cards=find_cards, health=find_health)
NO_SEARCH = Tidy(
    cards=lambda texts: [False] * len(texts), health=lambda texts: [False] * len(texts)
)
CHOICES = ("small", "large")


def rule(kind, **more):
    """Return a rule of this type."""
    return Rule(kind, **({"choices": CHOICES} if kind == "choice" else {}), **more)


def read(cell, kind, **more):
    """Read one cell."""
    return TIDY.read(cell, rule(kind, **more), today=TODAY)


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        ("  Ana   María ", "name", "Ana María"),
        ("Jose\u0301", "name", "Jos\u00e9"),
        ("Ana\r\nMaría", "name", "Ana María"),
        ("\ufeffAna\u200b", "name", "Ana"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "name",
         "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("Robert'); DROP TABLE customers;--", "name", "Robert'); DROP TABLE customers;--"),
        ("O'Brien", "name", "O'Brien"),
        ("Null", "name", "Null"),
        ("=HYPERLINK(A1)", "name", "=HYPERLINK(A1)"),
        ("likes roses\r\n\r\nand tulips \t", "note", "likes roses\n\nand tulips"),
        ("one\u2028two\rthree", "note", "one\ntwo\nthree"),
        (" \t ", "name", None),
        ("\u200b", "note", None),
        (None, "email", None),
        ("A.B+c@EXAMPLE.Com", "email", "A.B+c@example.com"),
        ("Ana <ana@example.com>", "email", "ana@example.com"),
        ("mailto:ana@example.com", "email", "ana@example.com"),
        ("\u200eana@example.com", "email", "ana@example.com"),
        ("(212) 555-0143", "phone", "+12125550143"),
        ("+1 212.555.0143", "phone", "+12125550143"),
        ("212\u2013555\u20130143", "phone", "+12125550143"),
        ("\uff12\uff11\uff12\u00a0555 0143", "phone", "+12125550143"),
        ("212-555-0143 ext. 12", "phone", "+12125550143;ext=12"),
        ("tel:+1-212-555-0143", "phone", "+12125550143"),
        ("+44 1632 960001", "phone", "+441632960001"),
        ("1984-02-29", "birthday", date(1984, 2, 29)),
        (date(1984, 2, 29), "birthday", date(1984, 2, 29)),
        (TODAY, "birthday", TODAY),
        (pd.Timestamp("1984-02-29"), "birthday", date(1984, 2, 29)),
        ("2027-01-01", "date", date(2027, 1, 1)),
        ("1984-02-29", "month_day", "--02-29"),
        (date(1984, 2, 29), "month_day", "--02-29"),
        ("02-29", "month_day", "--02-29"),
        ("--02-29", "month_day", "--02-29"),
        (" large ", "choice", "large"),
        ("1300000015734303122", "id", "1300000015734303122"),
        ("loves =SUM", "text", "loves =SUM"),
    ],
)  # fmt: skip
def test_accepts(cell, kind, value):
    """Each answer has one spelling, and the same answer given again is left alone."""
    found = read(cell, kind)

    assert (found.value, found.refused) == (value, "")
    assert type(found.value) is type(value)
    assert read(found.value, kind).value == value


@pytest.mark.parametrize(
    ("cell", "kind", "reason"),
    [
        pytest.param(b"Ana", "name", "bytes, not text", id="bytes"),
        pytest.param("Caf\u00e9".encode("latin-1"), "email", "bytes, not text", id="latin bytes"),
        pytest.param(7, "name", "not text; read the column as text", id="a number"),
        pytest.param(2125550143, "phone", "not text; read the column as text", id="a number again"),
        pytest.param(["Ana"], "name", "not text", id="a list"),
        pytest.param({"a": 1}, "name", "not text", id="a mapping"),
        pytest.param(float("nan"), "name", "not text", id="not a number"),
        pytest.param(date(2026, 1, 1), "name", "not text", id="a date"),
        pytest.param("Ana\x00", "name", "holds a control character", id="NUL"),
        pytest.param("Ana\x1b[31m", "note", "holds a control character", id="escape"),
        pytest.param("Ana\x85", "name", "holds a control character", id="C1"),
        pytest.param("Ana\x1c", "name", "holds a control character", id="file separator"),
        pytest.param("\ud800", "name", "holds a control character", id="half a character"),
        pytest.param("Ana\uffff", "id", "holds a control character", id="no character"),
        pytest.param("Jos\ufffd", "name", "read with the wrong encoding", id="replaced"),
        pytest.param("x" * 10_000_000, "note", "longer than 1000 characters", id="10 MB"),
        pytest.param("\u200b" * 10_000_000, "email", "longer than 254", id="10 MB of nothing"),
        pytest.param("x" * 81, "name", "longer than 80 characters", id="a long name"),
        pytest.param(CARD, "name", "looks like a card number", id="a card for a name"),
        pytest.param(f"card {CARD} 12/29 123", "note", "looks like a card number", id="a card"),
        pytest.param("4242\u200b4242 42424242", "text", "looks like a card", id="a hidden card"),
        pytest.param("her cvv is 123", "note", "looks like a card number", id="a security code"),
        pytest.param("allergic to nuts", "note", "holds a word about health", id="health"),
        pytest.param("ALLERGIC TO NUTS", "text", "holds a word about health", id="loud health"),
        pytest.param("ana@", "email", "not an e-mail address", id="half an address"),
        pytest.param("ana example.com", "email", "not an e-mail address", id="no @"),
        pytest.param("ana@localhost", "email", "not an e-mail address", id="no dot"),
        pytest.param("ana@example.com, ben@example.com", "email", "not an e-mail", id="two"),
        pytest.param("ana@example.com\x00", "email", "control character", id="NUL in an address"),
        pytest.param("<>", "email", "not an e-mail address", id="empty brackets"),
        pytest.param("mailto:", "email", "not an e-mail address", id="mailto alone"),
        pytest.param("555-0143", "phone", "no telephone number has so many", id="no area code"),
        pytest.param("212 555 01434", "phone", "no telephone number has so many", id="long"),
        pytest.param("1-800-FLOWERS", "phone", "not a telephone number", id="letters"),
        pytest.param("call 212 555 0143", "phone", "not a telephone number", id="prose"),
        pytest.param("ana@example.com", "phone", "not a telephone number", id="an address"),
        pytest.param("+999 123 4567", "phone", "not a telephone number", id="no such country"),
        pytest.param("3/4/1984", "birthday", "not a date, as 1984-02-29", id="two readings"),
        pytest.param("85-03-01", "birthday", "not a date", id="two digits"),
        pytest.param("1985-03-01T00:00", "date", "not a date", id="text with a time"),
        pytest.param("1983-02-29", "birthday", "no such day in the calendar", id="no leap year"),
        pytest.param("1899-12-31", "birthday", "not between 1900 and 2099", id="too old"),
        pytest.param("2026-11-25", "birthday", "in the future", id="tomorrow"),
        pytest.param(date(2100, 1, 1), "date", "not between 1900 and 2099", id="too far"),
        pytest.param(datetime(1984, 2, 29, 9, tzinfo=UTC), "date", "time of day", id="a moment"),
        pytest.param("30-02", "month_day", "no such day in the calendar", id="day first"),
        pytest.param("2/29", "month_day", "not month and day, as 02-29", id="slash"),
        pytest.param("1983-02-29", "month_day", "no such day in the calendar", id="no leap day"),
        pytest.param("huge", "choice", "not one of: small, large", id="no choice"),
        pytest.param("\u0661\u0669\u0668\u0664-02-29", "date", "not a date", id="other digits"),
    ],
)  # fmt: skip
def test_refuses(cell, kind, reason):
    """Every way to get it wrong has its words; none repeats what was typed."""
    found = read(cell, kind)

    assert found.value is None
    assert reason in found.refused
    assert not found.notes
    if isinstance(cell, str):
        assert cell not in found.refused


def test_a_huge_cell_costs_nothing():
    """A file made to hang the till's computer does not."""
    cells = ["a" * 10_000_000, "e\u0301" * 5_000_000, "<" * 10_000_000, "1" * 10_000_000]
    start = time.perf_counter()

    for kind in tidy.LONGEST:
        assert all("longer than" in read(cell, kind).refused for cell in cells)

    assert time.perf_counter() - start < 0.5  # seconds; 1 ms here


@pytest.mark.parametrize(
    ("cell", "kind", "note"),
    [
        ("=1+1", "name", "begins like a formula; write it with a tool that guards spreadsheets"),
        ("+cmd|' /C calc'!A0", "note", "begins like a formula; write it with a tool that guards "
                                       "spreadsheets"),
        ("@ana", "text", "begins like a formula; write it with a tool that guards spreadsheets"),
        ("\u202eana", "name", "invisible marks removed"),
        ("<ana@example.com>", "email", "the address was taken out of what stood around it"),
        ("+44 1632 960001", "phone", "not known to be in use; ring it once"),
        (date(1984, 2, 29), "month_day", "the year was left out"),
    ],
)  # fmt: skip
def test_notes(cell, kind, note):
    """What was changed, or is worth a second look, is said."""
    assert read(cell, kind).notes == (note,)


@pytest.mark.parametrize("cell", ["-5", "+12.50", "Ana", "(212) 555-0143"])
def test_no_notes(cell):
    """A number below zero is no formula."""
    assert read(cell, "text").notes == ()


def test_required_and_longest():
    """A rule can ask for more than its type does."""
    assert read(" ", "name", required=True).refused == "missing; fill it in"
    assert read("Ana", "name", required=True).value == "Ana"
    assert read("Ana", "name", longest=2).refused == "longer than 2 characters; shorten it"
    assert read("a" * 20_000, "note", longest=20_000).value == "a" * 20_000


def test_a_value_is_not_printed():
    """A cell left as the last line of a lesson is not saved in it."""
    assert "Ana" not in repr(read("Ana", "name"))


def test_refuses_rules():
    """An unknown type or country is named at once."""
    with pytest.raises(BadRule, match="a type is one of: id, name") as caught:
        TIDY.read("x", Rule("fax"), today=TODAY)
    assert isinstance(caught.value, TidyError)
    with pytest.raises(BadRule, match="country is not known"):
        Tidy(cards=find_cards, health=find_health, region="XX")


def test_another_country():
    """A shop in London writes numbers without +44."""
    tidied = Tidy(cards=find_cards, health=find_health, region="GB")

    assert tidied.read("020 7946 0123", Rule("phone"), today=TODAY).value == "+442079460123"


texts = st.text() | st.text(st.sampled_from("a =-<>@.\u0301\u200b\u202e\r\n\u2028\x85\u1100\u1161"))
kinds = st.sampled_from([*tidy.LONGEST])


@UNHURRIED
@given(texts, kinds)
def test_any_text_has_an_answer(text, kind):
    """No text ends in anything but a tidy value or a reason, and a tidy value stays as it is."""
    found = NO_SEARCH.read(text, rule(kind), today=TODAY)

    assert not (found.refused and found.value)
    if isinstance(found.value, str):
        assert unicodedata.is_normalized("NFC", found.value)
        assert found.value == found.value.strip() != ""
    again = NO_SEARCH.read(found.value, rule(kind), today=TODAY)
    assert (again.value, again.refused) == (found.value, "")


@UNHURRIED
@given(st.emails())
def test_addresses_stay_as_they_are(address):
    """An address that was accepted is accepted again, letter for letter."""
    found = NO_SEARCH.read(address, rule("email"), today=TODAY)

    assert NO_SEARCH.read(found.value, rule("email"), today=TODAY).value == found.value


def test_a_number_that_changes_each_time_it_is_read_is_refused():
    """Its zeros would be taken for a prefix again and again."""
    found = Tidy(cards=find_cards, health=find_health).read(
        "+310000000", rule("phone"), today=TODAY
    )

    assert (found.value, found.refused) == (
        None, "no telephone number begins so; compare its first digits",
    )  # fmt: skip


@UNHURRIED
@given(st.from_regex(r"\+?[0-9]{6,15}( ?x[0-9]{1,6})?", fullmatch=True),
       st.sampled_from(["US", "GB", "IT", "MX", "AR"]))  # fmt: skip
def test_numbers_stay_as_they_are(number, region):
    """A number that was accepted is accepted again, digit for digit."""
    tidied = Tidy(cards=find_cards, health=find_health, region=region)
    found = tidied.read(number, rule("phone"), today=TODAY)

    assert tidied.read(found.value, rule("phone"), today=TODAY).value == found.value


@UNHURRIED
@given(st.dates(), st.sampled_from(tidy.DATES))
def test_dates_stay_as_they_are(day, kind):
    """Written out or not, a day is the same day."""
    found = NO_SEARCH.read(day, rule(kind), today=TODAY)

    assert NO_SEARCH.read(day.isoformat(), rule(kind), today=TODAY).value == found.value
    assert NO_SEARCH.read(found.value, rule(kind), today=TODAY).value == found.value


TABLE = {
    "#row": [5, 6, 8, 9],
    "customers.customer_id": ["c1", "c2", None, "c4"],
    "customers.email": ["ANA@Example.com", "x", None, "mailto:b@example.com"],
    "customers.birthday": [date(1984, 2, 29), date(2030, 1, 1), None, None],
    "customers.note": [CARD, "likes roses", "likes roses", "=1"],
    "customers.visits": [1, 2, 3, None],
}
RULES = {
    "customers.customer_id": Rule("id", required=True),
    "customers.email": Rule("email"),
    "customers.birthday": Rule("birthday"),
    "customers.note": Rule("note"),
    "customers.visits": Rule(AS_IS),
}
REJECTS = [
    (5, "customers.note", "holds what looks like a card number; leave it to the terminal"),
    (6, "customers.email", "not an e-mail address; look for a missing @, a blank or a comma"),
    (6, "customers.birthday", "a birthday in the future; correct the year"),
    (8, "customers.customer_id", "missing; fill it in"),
]
NOTES = {
    ("customers.email", "the address was taken out of what stood around it"): 1,
    ("customers.note", "begins like a formula; write it with a tool that guards spreadsheets"): 1,
}


def test_an_arrow_table():
    """A refused cell is empty, its row stays; only a row without its number goes."""
    found = TIDY.table(pa.table(TABLE), RULES, today=TODAY)

    assert found.table.to_pydict() == {
        "#row": [5, 6, 9],
        "customers.customer_id": ["c1", "c2", "c4"],
        "customers.email": ["ANA@example.com", None, "b@example.com"],
        "customers.birthday": [date(1984, 2, 29), None, None],
        "customers.note": [None, "likes roses", "=1"],
        "customers.visits": [1, 2, None],
    }
    assert found.table.schema.field("customers.birthday").type == pa.date32()
    assert [(r.row, r.column, r.reason) for r in found.rejects] == REJECTS
    assert found.notes == NOTES
    assert found.rows_out == 1


def test_a_frame():
    """The same from pandas, index and all."""
    frame = pd.DataFrame(TABLE, index=[10, 20, 30, 40])

    found = TIDY.table(frame, RULES, today=TODAY)

    assert list(found.table.index) == [10, 20, 40]
    assert list(found.table.columns) == list(TABLE)
    assert found.table["customers.email"].tolist()[::2] == ["ANA@example.com", "b@example.com"]
    assert found.table["customers.email"].isna().tolist() == [False, True, False]
    assert found.table["customers.birthday"].tolist() == [date(1984, 2, 29), None, None]
    assert [(r.row, r.column, r.reason) for r in found.rejects] == REJECTS
    assert found.notes == NOTES


def test_a_malformed_frame():
    """Bytes, lists and numbers between the texts are named by row; rows count from 2."""
    cells = ["Ana", b"Ana", ["Ana"], 1, 1.0, True, None, float("nan"), "Ana", b"Ana"]

    found = TIDY.table(
        pd.DataFrame({"name": cells}, dtype=object), {"name": Rule("name")}, today=TODAY
    )

    assert found.table["name"].dropna().tolist() == ["Ana", "Ana"]
    assert [r.row for r in found.rejects] == [3, 4, 5, 6, 7, 11]
    assert {r.reason[:8] for r in found.rejects} == {"bytes, n", "not text"}


def test_a_tidy_table_stays_as_it_is():
    """Importing the same file twice changes nothing."""
    once = TIDY.table(pa.table(TABLE), RULES, today=TODAY)
    twice = TIDY.table(once.table, RULES, today=TODAY)

    assert twice.table == once.table
    assert twice.rejects == ()


@pytest.mark.parametrize("make", [pa.table, pd.DataFrame])
def test_an_empty_table(make):
    """A file with a header alone is no error."""
    empty = make({"name": pa.array([], pa.string())})

    found = TIDY.table(empty, {"name": Rule("name")}, today=TODAY)

    assert (found.table.shape, found.rejects, found.rows_out) == ((0, 1), (), 0)


def test_refuses_tables():
    """A column that nobody wrote a rule for does not slip through."""
    with pytest.raises(BadRule, match='no rule for b; give each one, or "as is"'):
        TIDY.table(pa.table({"a": ["x"], "b": ["y"]}), {"a": Rule("name")}, today=TODAY)
    with pytest.raises(BadRule, match="two columns have one name"):
        TIDY.table(pa.table([["x"], ["y"]], ["a", "a"]), {"a": Rule("name")}, today=TODAY)
    with pytest.raises(BadRule, match="or one has a number for a name"):
        TIDY.table(pd.DataFrame([["x"]]), {"a": Rule("name")}, today=TODAY)


def test_each_distinct_value_is_read_once():
    """A column of ten million tills' names costs as much as one of ten."""
    seen = []

    def search(texts):
        seen.extend(texts)
        return [False] * len(texts)

    tidied = Tidy(cards=search, health=lambda texts: [False] * len(texts))
    tidied.table(pa.table({"name": ["Ana", "Ben"] * 5_000}), {"name": Rule("name")}, today=TODAY)

    assert seen == ["Ana", "Ben"]


@pytest.mark.slow
def test_a_hundred_thousand_addresses_take_seconds():
    """An import is not the moment for a coffee."""
    addresses = pa.table({"email": [f"person.{i}@example.com" for i in range(100_000)]})
    start = time.perf_counter()

    found = TIDY.table(addresses, {"email": Rule("email")}, today=TODAY)

    assert found.table == addresses
    assert time.perf_counter() - start < 60  # seconds; 3 on two cores of our own
