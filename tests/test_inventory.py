"""The inventory promises that no field is held without a reason, an end and a reader."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.inventory import UNITS, BadEntry, BadFile, Inventory, InventoryError, Keep

GOOD = """\
format = 1

[purposes]
receipts = "Send a receipt"

[customers]
ccpa = "A"

[customers.email]
what = "e-mail address"
class = "contact"
purposes = ["receipts"]
keep = "3 years after last purchase"
protect = "seal and index"
see = ["owner"]
disclose = "give"
also = ["E-mail Address"]
"""


def test_every_key_reaches_the_field():
    """What the owner wrote is what the tools see."""
    field = Inventory.parse(GOOD).fields["customers.email"]

    assert (field.what, field.kind, field.purposes) == ("e-mail address", "contact", ("receipts",))
    assert field.keep == Keep(3, "year", "last purchase")
    assert (field.protect, field.see, field.disclose) == ("seal and index", ("owner",), "give")
    assert (field.ccpa, field.also, field.personal) == ("A", ("E-mail Address",), True)


def test_a_field_overrides_its_table():
    """One default for a table, one exception where it is needed."""
    text = GOOD + 'ccpa = "D"\n'

    assert Inventory.parse(text).fields["customers.email"].ccpa == "D"


@pytest.mark.parametrize(
    ("old", "new", "error", "line", "says"),
    [
        pytest.param('what = "e-mail address"', "", BadEntry, 9, "lacks what", id="key missing"),
        pytest.param("what =", "whot =", BadEntry, 10, "'whot'", id="unknown key"),
        pytest.param('ccpa = "A"', 'colour = "A"', BadEntry, 7, "'colour'", id="unknown default"),
        pytest.param('["receipts"]', "[]", BadEntry, 12, "no purpose", id="no purpose"),
        pytest.param('["receipts"]', '["fun"]', BadEntry, 12, "'fun'", id="unknown purpose"),
        pytest.param('["receipts"]', '"receipts"', BadEntry, 12, "list", id="purpose not a list"),
        pytest.param('["owner"]', '["owner", "owner"]', BadEntry, 15, "twice", id="role twice"),
        pytest.param('["owner"]', '["thief"]', BadEntry, 15, "'thief'", id="unknown role"),
        pytest.param("3 years after last purchase", "forever", BadEntry, 13, "end", id="forever"),
        pytest.param("3 years after", "300 years after", BadEntry, 13, "digit", id="300 years"),
        pytest.param("3 years after", "99999 years after", BadEntry, 13, "digit", id="99999 years"),
        pytest.param("3 years after", f"{'9' * 5000} days after", BadEntry, 13, "digit",
                     id="thousands of digits"),
        pytest.param("3 years after", "3 yrs after", BadEntry, 13, "NUMBER", id="unknown unit"),
        pytest.param("last purchase", "full moon", BadEntry, 13, "events", id="unknown event"),
        pytest.param('"contact"', '"secret"', BadEntry, 11, "class must", id="unknown class"),
        pytest.param('"seal and index"', '"rot13"', BadEntry, 14, "protect", id="unknown protect"),
        pytest.param('"give"', '"sell"', BadEntry, 16, "disclose", id="unknown disclosure"),
        pytest.param('ccpa = "A"', 'ccpa = "Z"', BadEntry, 7, "ccpa must", id="unknown letter"),
        pytest.param('"Send a receipt"', "1", BadEntry, 4, "sentence", id="purpose not a text"),
        pytest.param("[customers.email]", '[customers."E Mail"]', BadEntry, 9, "small letters",
                     id="field name"),
        pytest.param("[customers]", "[customers.email]", BadFile, 9, "twice", id="field twice"),
        pytest.param('what = "', "what = ", BadFile, 10, "quote", id="not TOML"),
        pytest.param("format = 1", "format = 2", BadFile, None, "format = 1", id="other format"),
        pytest.param('[purposes]\nreceipts = "Send a receipt"', "", BadFile, None, "[purposes]",
                     id="no purposes"),
        pytest.param(GOOD[GOOD.index("[customers]"):], "", BadFile, None, "no field yet",
                     id="no field"),
    ],
)  # fmt: skip
def test_refuses(old, new, error, line, says):
    """Each fault is named, with the line where it stands."""
    assert old in GOOD
    with pytest.raises(error) as caught:
        Inventory.parse(GOOD.replace(old, new, 1), name="inventory.toml")

    assert isinstance(caught.value, InventoryError)
    assert says in str(caught.value)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"inventory.toml{f', line {line}' if line else ''}")


def test_one_header_cannot_stand_for_two_fields():
    """Else the first one wins, and a column to be sealed is taken for an open one."""
    second = GOOD[GOOD.index("[customers.email]") :].replace("customers.email", "customers.mail")

    with pytest.raises(BadEntry, match="name of .customers.email. already") as caught:
        Inventory.parse(GOOD + second.replace("E-mail Address", "e-mail  ADDRESS"))

    assert caught.value.line == 26


def test_a_missing_file_says_what_to_do(tmp_path):
    """The first error an owner may meet names the next step."""
    with pytest.raises(BadFile, match="kit init"):
        Inventory.load(tmp_path / "inventory.toml")


def test_a_file_in_another_encoding_is_refused(tmp_path):
    """A file saved by an old editor is not read with the wrong letters."""
    path = tmp_path / "inventory.toml"
    path.write_bytes(GOOD.replace("e-mail", "\xe9-mail").encode("cp1252"))

    with pytest.raises(BadFile, match="UTF-8"):
        Inventory.load(path)


def test_gaps_names_each_unwritten_column_once():
    """The column nobody wrote down is found, whatever else is fine."""
    inventory = Inventory.parse(GOOD)
    columns = ["customers.email", " e-mail  ADDRESS", "Allergies", "Mood", "Allergies"]

    assert inventory.gaps(columns) == ["Allergies", "Mood"]


@given(
    start=st.dates(date(1990, 1, 1), date(2090, 1, 1)),
    count=st.integers(0, 30),
    unit=st.sampled_from(UNITS),
)
def test_keep_ends_on_the_same_day_or_at_the_month_end(start, count, unit):
    """A period never slips into the month after, and never ends before it starts."""
    end = Keep(count, unit, "sale").until(start)

    assert end >= start
    if unit in ("day", "week"):
        assert end == start + timedelta(days=count * {"day": 1, "week": 7}[unit])
    else:
        months = (end.year - start.year) * 12 + end.month - start.month
        assert months == count * (12 if unit == "year" else 1)
        assert end.day == start.day or (end + timedelta(days=1)).day == 1


@pytest.mark.parametrize(
    ("keep", "start", "end"),
    [
        (Keep(1, "month", "sale"), date(2026, 1, 31), date(2026, 2, 28)),
        (Keep(1, "year", "sale"), date(2024, 2, 29), date(2025, 2, 28)),
        (Keep(4, "year", "sale"), date(2024, 2, 29), date(2028, 2, 29)),
        (Keep(24, "month", "sale"), date(2026, 11, 24), date(2028, 11, 24)),
    ],
)
def test_keep_known_answers(keep, start, end):
    """Short months and leap days, worked out by hand."""
    assert keep.until(start) == end


def test_the_default_inventory_covers_the_made_up_shop():
    """The inventory to start from names every column of the shop that the kit makes."""
    from kit import practice

    made = practice.made_up(10)
    columns = [f"{name}.{c}" for name in made.tables for c in made.table(name).column_names]

    assert len(columns) > 100
    assert Inventory.default().gaps(columns) == []


def test_the_default_inventory_is_careful():
    """What a thief could use is sealed, and nobody sees every field but the owner."""
    fields = Inventory.default().fields

    for name in ("customers.email", "customers.phone", "customers.birthday", "addresses.street"):
        assert fields[name].protect.startswith("seal"), name
    assert all("owner" in field.see for field in fields.values())
    assert all(field.protect == "seal" for field in fields.values() if field.kind == "note")
    assert not [f for f in fields.values() if "card_number" in f.name or "cvv" in f.name]
