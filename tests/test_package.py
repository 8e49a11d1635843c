"""A customer gets all that is held on them, and nothing of anybody else."""

from __future__ import annotations

import csv
import hashlib
import inspect
import io
import json
import traceback
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import inventory, outgoing, package
from kit.package import BadName, NotWrittenDown, PackageError, Words, build, collect, shown, visible

ZONE = ZoneInfo("America/New_York")
FIELDS = inventory.Inventory.default().fields
WORDS = Words(
    categories={"A": "Identifiers", "D": "Commercial information"},
    purposes={"loyalty": "Run the loyalty programme"},
    titles={"customers": "You"},
    sources={"customers": ["the till"]},
    recipients={"customers": ["Mail Co"]},
)
ANA = {
    "customer_id": "cus_1",
    "first_name": "Ana",
    "last_name": "Example",
    "email": "ana@example.com",
    "phone": "+12125550142",
    "birthday": date(1990, 5, 17),
    "accepts_email": True,
    "created_at": datetime(2024, 5, 3, 1, 30, tzinfo=UTC),
    "note": None,
    "spent_cents": -123456,
}
SALE = {
    "sale_id": "sal_1",
    "employee_id": "emp_9",
    "sold_at": datetime(2026, 11, 1, 17, 5, tzinfo=UTC),
    "total_cents": 1250,
    "note": None,
}
PAYMENT = {"payment_id": "pay_1", "card_last4": "4242", "card_token": "tok-secret-77"}
ROWS = {"customers": [ANA], "sales": [SALE], "payments": [PAYMENT]}
ABOUT = {"shop": "Corner Flowers", "request": "req-1"}


@dataclass(frozen=True)
class Field:
    """A field of an inventory, as short as can be."""

    what: str
    kind: str = "identity"
    purposes: tuple[str, ...] = ("loyalty",)
    keep: str = "3 years after last purchase"
    disclose: str = "give"
    ccpa: str = "A"


def collected(rows=ROWS, fields=FIELDS, **more):
    """Sort rows."""
    return collect(rows, fields, words=WORDS, **more)


def made(content, page=json.dumps):
    """Build the files, with the page's content as JSON in place of a page."""
    return build(ABOUT, content, page=page, zone=ZONE)


def read_csv(files, table):
    """Read a table as a spreadsheet would."""
    return list(csv.reader(io.StringIO(files[f"csv/{table}.csv"].decode("utf-8-sig"))))


def noted(text, **more):
    """Return what becomes of a note."""
    content = collected({"customers": [ANA | {"note": text}]}, **more)
    (section,) = content.sections
    return section.rows[0][section.columns.index("note")], content.taken_out


def test_what_is_given_named_and_left_out():
    """As the inventory says, column by column; empty columns take no place."""
    content = collected()
    given = {f"{s.table}.{c}" for s in content.sections for c in s.columns}

    assert "customers.email" in given
    assert "customers.note" not in given
    assert not given & {"payments.card_token", "payments.payment_id", "sales.employee_id"}
    assert [w.what for w in content.withheld] == [FIELDS["payments.card_token"].what]
    assert FIELDS["sales.employee_id"].what in content.internal
    assert {one.letter for one in content.categories} == {"A", "C", "D"}


def test_every_column_is_accounted_for():
    """What could be erased can be shown or named: given, named, kept for order, or empty."""
    content = collected()
    told = {w for s in content.sections for w in s.whats} | {w.what for w in content.withheld}
    told |= {*content.internal}

    for table, rows in ROWS.items():
        for column, cell in rows[0].items():
            assert cell is None or FIELDS[f"{table}.{column}"].what in told


def test_the_kinds_say_why_where_from_and_to_whom():
    """In the shop's words, with the inventory's own where it has none."""
    found = {one.letter: one for one in collected().categories}

    assert found["A"].name == "Identifiers"
    assert found["C"].name == "category C"
    assert "Run the loyalty programme" in found["A"].purposes
    assert found["A"].recipients == ("Mail Co",)
    assert found["D"].sources == ("the till",)
    assert "3 years after last purchase" in found["A"].keeps


def test_a_column_that_nobody_wrote_down_stops_everything():
    """It is named, whether it holds something or not, and nothing is made."""
    with pytest.raises(NotWrittenDown, match=r"customers\.shoe_size") as caught:
        collected({"customers": [ANA | {"shoe_size": "38"}]})
    assert caught.value.columns == ("customers.shoe_size",)
    assert "38" not in str(caught.value)
    with pytest.raises(NotWrittenDown, match=r"sales\.mood"):
        collected(columns={"sales": ["sale_id", "mood"]})
    collected(columns={"sales": ["sale_id", "total_cents"], "stores": ["secret"]})


@pytest.mark.parametrize("kind", ["government id", "credential"])
def test_a_secret_is_never_given_whatever_the_inventory_says(kind):
    """One wrong word in a file does not send a driving licence by mail; deny wins over allow."""
    fields = {"customers.licence": Field("driving licence", kind)}
    content = collected({"customers": [{"licence": "D1234567"}]}, fields)

    assert content.sections == ()
    assert [w.what for w in content.withheld] == ["driving licence"]
    assert b"D1234567" not in b"".join(made(content).values())


def test_a_reason_stands_beside_what_is_not_sent():
    """With the rule it comes from."""
    content = collected(why=lambda one: (f"a thief could use it ({one.kind})", "11 CCR 7024(d)"))

    assert content.withheld[0].why == "a thief could use it (payment)"
    assert content.withheld[0].cite == "11 CCR 7024(d)"


def test_numbers_are_told_by_their_names():
    """A customer bought tulips, not pro_7."""
    rows = {"lines": [{"product_id": "pro_7", "quantity": 2}]}
    content = collected(rows, names={"lines.product_id": {"pro_7": "Tulips"}})

    assert content.sections[0].rows == (("Tulips", 2),)


@pytest.mark.parametrize(
    ("note", "left"),
    [
        ("paid with 4242 4242 4242 4242!", "paid with [number taken out]!"),
        ("4242-4242-4242-4242", "[number taken out]"),
        ("order 4242424242424241", "order 4242424242424241"),
        ("ssn 123-45-6789", "ssn [number taken out]"),
        ("ring 212-555-0199", "ring [another person]"),
        ("ring (212) 555-0142", "ring (212) 555-0142"),
        ("mail ben@example.org or ana@example.com", "mail [another person] or ana@example.com"),
        ("served by Sam Example and Sam", "served by [another person] and [another person]"),
        ("served by SAM EXAMPLE; same time", "served by [another person]; same time"),
        ("came on 2026-11-24, 12/24/2026, order 1234567", None),
        ("will come; Will comes", "will come; [another person] comes"),
        ("Ana Example likes roses", None),
    ],
)
def test_notes_tell_of_nobody_else(note, left):
    """Names of staff and family, other people's telephones and any card number are taken out."""
    others = ["Sam Example", "Sam", "Will"]
    own = ["ana@example.com", "+12125550142"]
    text, taken = noted(note, others=others, own=own)

    assert text == (left or note)
    assert bool(taken) == (text != note)


def test_only_notes_lose_names():
    """A street called after somebody stays."""
    rows = {"addresses": [{"street": "1 Sam Street", "city": "4242 4242 4242 4242"}]}
    content = collected(rows, others=["Sam"])

    assert content.sections[0].rows == (("1 Sam Street", "[number taken out]"),)


def test_the_categories_alone_hold_no_value():
    """For somebody who could not be verified further."""
    files = made(collected().only_categories())

    assert set(files) == {package.PAGE, package.DATA, package.MANIFEST}
    everything = b"".join(files.values())
    for value in ("ana@", "Example", "0142", "4242", "sal_1", "1990"):
        assert value.encode() not in everything
    assert b"Identifiers" in everything


def test_the_files_say_the_same_and_the_manifest_proves_it():
    """For a person, for a spreadsheet, for a program; each with its SHA-256."""
    files = made(collected())
    manifest = json.loads(files.pop(package.MANIFEST))

    assert list(files) == [
        "your-data.html", "your-data.json",
        "csv/customers.csv", "csv/sales.csv", "csv/payments.csv",
    ]  # fmt: skip
    for name, content in files.items():
        assert manifest["files"][name]["sha256"] == hashlib.sha256(content).hexdigest()
    data = json.loads(files["your-data.json"])
    assert data["about"] == ABOUT
    assert data["data"]["customers"][0]["created_at"] == "2024-05-03T01:30:00+00:00"
    assert data["data"]["sales"] == [
        {"sale_id": "sal_1", "sold_at": "2026-11-01T17:05:00+00:00", "total_cents": 1250}
    ]
    assert read_csv(files, "sales") == [
        ["sale_id", "sold_at", "total_cents"], ["sal_1", "2026-11-01 12:05", "12.50"],
    ]  # fmt: skip


def test_the_same_content_is_the_same_bytes():
    """So that a hash in the book proves what was sent."""
    assert made(collected()) == made(collected())


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (None, "x", ""),
        (True, "x", "yes"),
        (False, "x", "no"),
        (-5, "points", "-5"),
        (-123456, "spent_cents", "-1,234.56"),
        (5, "total_cents", "0.05"),
        (date(2024, 2, 29), "x", "2024-02-29"),
        (datetime(2026, 1, 1, 3, 0, tzinfo=UTC), "x", "2025-12-31 22:00"),
        ("a\u202eb", "x", "a[U+202E]b"),
        ("a\x00b\nc", "x", "a[U+0000]b\nc"),
        ("\ud800", "x", "[U+D800]"),
    ],
)
def test_cells_are_read_as_people_read_them(value, column, text):
    """Money with a point, times in the shop's zone, hidden marks made visible."""
    assert shown(value, column, ZONE) == text


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "＝1", "=cmd|' /C calc'!A0"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula(text):
    """A customer who calls himself =cmd runs nothing on the computer of whoever opens it."""
    files = made(collected({"customers": [ANA | {"first_name": text}]}))
    header, row = read_csv(files, "customers")
    cell = row[header.index("first_name")]

    assert cell.startswith("'") or visible(text) != text
    assert not cell.startswith(("=", "+", "-", "@"))
    assert row[header.index("spent_cents")] == "-1,234.56"


HOSTILE = st.text(
    st.sampled_from("<>&\"'=+-@|%/\\.:;,{}\u202e\u2066\u200f\x00\n\r\ta1é💐"),
    min_size=1,
    max_size=40,
)


@given(name=HOSTILE, note=HOSTILE)
def test_no_name_becomes_the_name_of_a_file_or_breaks_one(name, note):
    """Path separators, quotes and line ends stay within their cell."""
    rows = {"customers": [ANA | {"first_name": name, "note": note}]}
    files = made(collected(rows))

    assert list(files)[2:] == ["csv/customers.csv", "manifest.json"]
    assert json.loads(files["your-data.json"])["data"]["customers"][0]["first_name"] == name
    header, row = read_csv(files, "customers")
    assert len(header) == len(row)
    files["your-data.html"].decode()
    for mark in "\u202e\u2066\u200f":
        assert mark not in files["csv/customers.csv"].decode()


@given(
    secret=st.from_regex(r"[A-Za-z0-9]{8,20}", fullmatch=True),
    table=st.sampled_from(["payments", "customers"]),
)
def test_no_planted_secret_gets_out(secret, table):
    """Of a token, a password or a number of staff no byte is in any file."""
    fields = {
        **FIELDS,
        "customers.password": Field("password", "credential"),
        "customers.row_mark": Field("mark", disclose="internal"),
    }
    rows = {
        "customers": [ANA | {"password": f"pw-{secret}", "row_mark": f"rm-{secret}"}],
        "payments": [PAYMENT | {"card_token": f"tok-{secret}"}],
        "sales": [SALE | {"employee_id": f"emp-{secret}"}],
    }
    files = made(collect(rows, fields, words=WORDS, others=[f"Boss {secret}"]))
    hidden = [f"{mark}-{secret}" for mark in ("pw", "rm", "tok", "emp")]

    assert outgoing.leaks(files, hidden) == []
    outgoing.pack(files, secrets=hidden)


@pytest.mark.parametrize("name", ["../up", "Sales", "sales/x", "", "a" * 60, "sáles"])
def test_a_table_cannot_be_called_anything(name):
    """Its name becomes a file's."""
    fields = {f"{name}.x": Field("x")}
    with pytest.raises(BadName) as caught:
        collect({name: [{"x": "1"}]}, fields, words=WORDS)

    assert isinstance(caught.value, PackageError)


def test_printing_it_shows_nobody():
    """A content left as the last line of a notebook's cell is not saved there."""
    assert "ana@" not in repr(collected())
    with pytest.raises(NotWrittenDown) as caught:
        collected({"customers": [ANA | {"x": "y"}]})
    assert "ana@" not in "".join(traceback.format_exception_only(caught.value))


def test_both_files_know_the_same_card_numbers():
    """The search at the end looks for what the collecting takes out."""
    for name in ("CARD", "ISSUED", "SSN"):
        assert getattr(package, name) == getattr(outgoing, name)
    one, two = (inspect.getsource(f.is_card).partition('"""\n')[2] for f in (package, outgoing))
    assert one == two


def test_nothing_held_gives_an_empty_answer():
    """A customer with no record gets a package that says so."""
    files = made(collected({}))

    assert json.loads(files["your-data.json"])["data"] == {}
    assert replace(collected(), sections=()).only_categories().sections == ()
