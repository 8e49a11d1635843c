"""Each till layout says only what was seen, and is told apart from all the others."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from kit import pos

HERE = Path(__file__).parent
# The header lines as they were read, one export a line, kept apart from the layouts on purpose.
HEADERS = {
    row[0]: tuple(row[1:])
    for row in csv.reader((HERE / "till_headers.csv").read_text(encoding="utf-8").splitlines())
}
LAYOUTS = {layout.id: layout for layout in pos.layouts()}
KNOWN = {name: layout for name, layout in LAYOUTS.items() if layout.columns}
# Tables of a shop's own data; `payouts` is money from the processor to the shop.
TABLES = set(
    "stores employees suppliers categories products customers addresses sales lines payments"
    " refunds payouts".split()
)
PEOPLE_WITHOUT_PURPOSE = [
    "Card Name", "Card Fingerprint", "Tab Name", "Shipping Name", "customer_ip_address",
    "customer_user_agent", "Card number", "Shipping Address", "Counterparty Status",
]  # fmt: skip


def template(header):
    """Turn ``Current Quantity <location>`` into a pattern for the header of one shop."""
    return re.sub(r"<\w+>", ".+", re.escape(header).replace(r"\<", "<").replace(r"\>", ">"))


def test_every_layout_with_columns_was_seen_somewhere():
    """No layout is made up: each has a header line that somebody read."""
    assert set(HEADERS) == set(KNOWN)


@pytest.mark.parametrize("name", HEADERS)
def test_header_stands_in_the_layout_as_it_was_read(name):
    """An owner who compares a file with our list finds the same words."""
    listed = KNOWN[name].header

    for header in HEADERS[name]:
        assert header in listed or any(
            "<" in h and re.fullmatch(template(h), header) for h in listed
        ), header
    fixed = [h for h in listed if "<" not in h]
    assert fixed == [h for h in HEADERS[name] if h in fixed], "the order is the vendor's"


@pytest.mark.parametrize("name", HEADERS)
def test_header_as_read_is_recognised(name):
    """The export that the layout was made from is known again, and all its mapped columns load."""
    match = pos.recognise(HEADERS[name])

    assert match.layout.id == name
    assert {p.field for p in match.picks} <= {c.field for c in match.layout.columns}
    on_list = [c.header for c in match.layout.columns if c.header in match.layout.header]
    assert not set(on_list) & set(match.missing)


@pytest.mark.parametrize("name", KNOWN)
def test_the_least_header_is_still_told_apart(name):
    """An old export with only the columns that count is not taken for another vendor's."""
    layout = KNOWN[name]

    assert pos.recognise([*layout.required, *layout.any[:1]]).layout.id == name


@pytest.mark.parametrize("name", KNOWN)
def test_layout_shows_what_is_behind_it(name):
    """The owner sees how sure the kit is, and why."""
    layout = KNOWN[name]

    assert layout.title.startswith(layout.vendor)
    assert layout.status in ("verified", "secondary")
    assert layout.source
    assert re.fullmatch(r"2026-\d\d", layout.seen)


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - set(KNOWN)))
def test_unverified_layout_claims_nothing(name):
    """What nobody has seen is listed as such, and never guessed."""
    layout = LAYOUTS[name]

    assert (layout.status, layout.header, layout.required) == ("unverified", (), ())
    with pytest.raises(pos.UnknownLayout):
        pos.recognise(["Name", "Email"], layout=name)


@pytest.mark.parametrize("name", KNOWN)
def test_every_field_belongs_to_a_table_of_the_shop(name):
    """A field that no table holds would be imported into nothing."""
    fields = [c.field for c in KNOWN[name].columns] + [KNOWN[name].repeat_field or "lines.x"]

    assert {field.partition(".")[0] for field in fields} <= TABLES


@pytest.mark.parametrize("name", KNOWN)
def test_moments_and_amounts_say_how_they_are_written(name):
    """Without a format the made-up shop could not be written the vendor's way."""
    for column in KNOWN[name].columns:
        if column.type in ("money", "date", "datetime"):
            assert column.format, column.header


@pytest.mark.parametrize("header", PEOPLE_WITHOUT_PURPOSE)
def test_what_nobody_needs_is_not_mapped(header):
    """What is not loaded cannot be stolen: card holders' names, tabs, gift addresses, trackers."""
    assert not [layout.id for layout in KNOWN.values() if layout.column(header)]


@pytest.mark.parametrize("path", sorted(pos.TILLS.glob("*.toml")), ids=lambda p: p.stem)
def test_file_says_first_where_it_was_read_and_when(path):
    """A person who maintains a layout needs its source before its contents."""
    text = path.read_text(encoding="utf-8")
    comment = " ".join(line[2:] for line in text.partition("vendor =")[0].splitlines())

    assert text.startswith("# ")
    assert re.search(r"\b20\d\d\b", comment)
    assert {y.vendor.lower() for y in pos.layouts() if y.id.startswith(path.stem)} == {path.stem}


def test_the_key_list_is_complete():
    """Each key of a layout is explained in the README beside it, and no other is."""
    text = (pos.TILLS / "README.md").read_text(encoding="utf-8")
    keys = {f.strip() for line in re.findall(r"^([\w, ]+?)  ", text, re.M) for f in line.split(",")}
    keys |= set(re.findall(r"^(\w+) =", text, re.M)) | set(re.findall(r"layout\.(\w+)\]", text))
    known = set(pos.Layout.__dataclass_fields__) | set(pos.Column.__dataclass_fields__)

    assert keys - {""} == known - {"columns", "sources"} | {"column", "from"}
