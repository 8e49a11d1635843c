"""What an import says: nothing that was left behind goes without a word."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from kit import files, imports, show
from kit.inventory import Inventory

TILLS = Path(__file__).parent.parent / "sample_data" / "tills"
CARD = "4242424242424242"


def edited(tmp_path, change):
    """Write Square's items anew with header and rows changed by a function."""
    with (TILLS / "square_items.csv").open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    rows = rows[:8]
    change(header, rows)
    path = tmp_path / "items.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def told(tmp_path):
    """Return what both kinds of import say about Square's items, changed by a function."""

    def both(change=lambda header, rows: None, inventory=None):
        report = files.read_export(
            edited(tmp_path, change),
            inventory=inventory or Inventory.default(),
            time_zone="America/New_York",
        )
        done = imports.Taken(report, {}, {}, {}, (), report.rejects, 0, None)
        return show.imported(report), show.taken(done)

    return both


def test_card_numbers_that_were_not_loaded_are_told_as_still_in_the_file(told):
    """An owner who hears nothing keeps a file with full card numbers in the downloads."""

    def add(header, rows):
        header += ["Card Number", "IP Address"]
        for row in rows:
            row += [CARD, "203.0.113.7"]

    for text in told(add):
        assert "never loaded: Card Number (card number)" in text
        assert "never loaded: IP Address (network address)" in text
        assert "kit scan FILE" in text
        assert CARD not in text


def test_where_no_card_column_was_nobody_is_sent_to_scan(told):
    """A warning that always comes is one that nobody reads."""
    assert all("kit scan" not in text for text in told())


def test_a_column_that_the_inventory_refuses_is_named(told):
    """Who struck a field from the inventory hears that it did not come in."""
    known = Inventory.default()
    fields = [field for name, field in known.fields.items() if name != "lines.note"]

    for text in told(inventory=Inventory(fields, known.purposes)):
        assert "refused, not in your inventory: lines.note" in text


def test_a_sum_that_does_not_agree_is_named_with_both_amounts(told):
    """Five of six agree is no help in finding the sixth."""

    def wrong(header, rows):
        rows[0][header.index("Gross Sales")] = "$9,999.00"

    for text in told(wrong):
        assert "5 of 6 control totals agree" in text
        assert "NOT EQUAL: lines.net_cents = " in text


def test_an_import_says_how_well_the_layout_is_known(told):
    """A layout that nobody has seen in a file is to be trusted less."""
    assert all("layout verified: a public export" in text for text in told())


def test_reasons_that_do_not_fit_are_counted(told):
    """Five reasons in full, and the rest is not simply gone."""
    columns = {"Qty", "Gross Sales", "Discounts", "Net Sales", "Tax", "Date", "Commission"}

    def spoil(header, rows):
        for number, name in enumerate(sorted(columns & set(header))):
            rows[number][header.index(name)] = "abc"

    assert "more reason" in told(spoil)[1]
