"""Where the tools meet: an export is read whole, a scan is compared with the inventory."""

from __future__ import annotations

import csv
import sqlite3
from base64 import b64encode
from contextlib import closing

import pytest

from kit import emit, files, pos, practice, tables
from kit.inventory import Inventory

INVENTORY = Inventory.default()
ZONE = "America/New_York"
CUSTOMERS = 30


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Every till's exports of one made-up shop."""
    folder = tmp_path_factory.mktemp("exports")
    vendors = dict.fromkeys(layout.split(".")[0] for layout in emit.layouts())
    return {
        path.stem: path
        for vendor in vendors
        for path in practice.make_shop(folder, CUSTOMERS, till=vendor)
    }


def test_the_inventory_to_start_from_names_every_field_of_every_till():
    """No owner starts with a gap that we made."""
    columns = [c.field for layout in pos.layouts() for c in layout.columns]
    columns += [layout.repeat_field for layout in pos.layouts() if layout.repeat_field]

    assert len(columns) > 200
    assert INVENTORY.gaps(columns) == []


def test_every_export_is_recognised_and_adds_up(exports):
    """Each file goes back to the layout it was written in; no row is lost, every sum agrees."""
    assert len(exports) >= 24
    for name, path in exports.items():
        read = files.read_export(path, inventory=INVENTORY, time_zone=ZONE)

        assert read.layout.id.replace(".", "_") == name
        assert read.table.num_rows >= read.rows > 0
        assert read.rejects == ()
        assert [check.what for check in read.checks if not check.ok] == []


def test_the_same_sale_reads_the_same_from_every_till(exports):
    """Eight formats, one shop: what was taken that day does not depend on the till."""
    sums = {}
    for name, column in {
        "square_transactions": "sales.net_cents",
        "clover_orders": "sales.tax_cents",
        "square_items": "lines.net_cents",
        "toast_items": "lines.net_cents",
    }.items():
        read = files.read_export(exports[name], inventory=INVENTORY, time_zone=ZONE)
        sums[name] = sum(read.table[column].to_pylist())

    assert sums["square_items"] == sums["toast_items"] != 0


def test_a_field_that_is_not_written_down_is_refused(exports):
    """The purpose comes first: no entry in the inventory, no data in the shop."""
    fields = [f for f in INVENTORY.fields.values() if f.full_name != "customers.birthday"]
    narrow = Inventory(fields, INVENTORY.purposes)

    read = files.read_export(exports["square_customers"], inventory=narrow)

    assert read.gaps == ("customers.birthday",)
    assert "customers.birthday" not in read.table.column_names


def test_network_addresses_are_never_loaded(exports):
    """What the till should not have exported does not enter the shop."""
    path = exports["woocommerce_orders_webtoffee"]

    read = files.read_export(path, inventory=INVENTORY, time_zone=ZONE)

    assert dict(read.dropped).keys() == {"customer_ip_address", "customer_user_agent"}
    assert "203.0.113" in path.read_text(encoding="utf-8")
    assert "203.0.113" not in str(read.table.to_pylist())


def test_times_without_a_zone_are_not_guessed(exports):
    """A sale at 23:30 must not move to another day unnoticed."""
    with pytest.raises(files.NoTimeZone, match="--time-zone America/New_York"):
        files.read_export(exports["toast_items"], inventory=INVENTORY)


def test_a_date_under_a_label_in_another_language_is_asked_for(exports, tmp_path):
    """One message about the header, and not one about each row's date that is fine as it is."""
    path = tmp_path / "items.csv"
    text = exports["square_items"].read_text(encoding="utf-8").replace("Date", "Datum", 1)
    path.write_text(text, encoding="utf-8")

    with pytest.raises(pos.UnknownLayout, match='Square item details .* needs also "Date"'):
        files.read_export(path, inventory=INVENTORY, time_zone=ZONE)
    read = files.read_export(path, inventory=INVENTORY, time_zone=ZONE, confirmed={"Datum": "Date"})

    assert read.rejects == ()


def test_a_failing_control_total_is_told(exports, tmp_path):
    """A figure that was changed by hand shows, although every cell can be read."""
    path = tmp_path / "items.csv"
    header, first, *rest = exports["square_items"].read_text(encoding="utf-8").splitlines(True)
    cells = first.split(",")
    at = header.replace('"', "").split(",").index("Net Sales")
    cells[at] = "$999.99"
    path.write_text("".join([header, ",".join(cells), *rest]), encoding="utf-8")

    read = files.read_export(path, inventory=INVENTORY, time_zone=ZONE)

    assert [check.what for check in read.checks if not check.ok]


def spoiled(exports, tmp_path, cells):
    """Write Square's items anew with other texts in the first row: column → text."""
    with exports["square_items"].open(encoding="utf-8-sig", newline="") as file:
        header, first, *rest = csv.reader(file)
    path = tmp_path / "spoiled.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        row = [cells.get(name, cell) for name, cell in zip(header, first, strict=True)]
        csv.writer(file).writerows([header, row, *rest])
    return path


@pytest.mark.parametrize(
    ("column", "text", "field"),
    [
        pytest.param("Notes", "pays w/ 4242 4242 4242 4242", "lines.note", id="in a note"),
        pytest.param("Notes", "CVV 123 for next time", "lines.note", id="a code"),
        pytest.param("Item", "4242424242424242", "products.name", id="as an item's name"),
        pytest.param("Modifiers Applied", "4242-4242-4242-4242", "lines.modifiers", id="modifier"),
        pytest.param("PAN Suffix", "4242424242424242", "payments.card_last4", id="not four"),
        pytest.param("PAN Suffix", "4242 4242", "payments.card_last4", id="first and last four"),
    ],
)
def test_a_card_number_in_a_cell_is_never_taken_over(exports, tmp_path, column, text, field):
    """The rest of the row comes in; the rows written to disk and the shop never hold the number."""
    path = spoiled(exports, tmp_path, {column: text})

    read = files.read_export(path, inventory=INVENTORY, time_zone=ZONE)
    files.write_rows(read, tmp_path / "out")

    assert [(r.row, r.column) for r in read.rejects] == [(2, field)]
    assert read.table[field][0].as_py() is None
    assert read.table.num_rows == read.rows
    assert text not in "".join(str(vars(reject)) for reject in read.rejects)
    assert not any(text in out.read_text("utf-8") for out in (tmp_path / "out").iterdir())


def test_last_four_and_numbers_of_orders_are_taken_over(exports, tmp_path):
    """What a till may show comes in, and an id is not mistaken for a card."""
    cells = {"PAN Suffix": "0042", "Transaction ID": "4242424242424242", "Notes": "ref 123456"}
    path = spoiled(exports, tmp_path, cells)

    read = files.read_export(path, inventory=INVENTORY, time_zone=ZONE)

    assert read.rejects == ()
    assert read.table["payments.card_last4"][0].as_py() == "0042"


def test_rows_that_cannot_be_read_are_written_beside_the_rest(exports, tmp_path):
    """Nothing vanishes: what was not taken over stands in a file of its own, without the value."""
    path = tmp_path / "customers.csv"
    text = exports["stripe_customers"].read_text(encoding="utf-8").splitlines(True)
    cells = text[3].split(",")
    cells[4] = "the 5th of never"
    path.write_text("".join([*text[:3], ",".join(cells), *text[4:]]), encoding="utf-8")

    read = files.read_export(path, inventory=INVENTORY, time_zone=ZONE)
    written = files.write_rows(read, tmp_path / "out")
    back = tables.read(tmp_path / "out")

    assert [(r.row, r.column) for r in read.rejects] == [(4, "customers.created_at")]
    assert read.table.num_rows == read.rows - 1
    assert back["stripe_customers_rejects"]["row"].to_pylist() == [4]
    assert "never" not in (tmp_path / "out/stripe_customers_rejects.csv").read_text("utf-8")
    assert len(written) == 2


def test_a_scan_names_the_column_nobody_wrote_down(tmp_path):
    """A note column can hide anything; a column without a purpose is told by name."""
    path = tmp_path / "customers.csv"
    path.write_text(
        "email,Allergies,Empty\na@example.com,nuts,\nb@example.com,,\n", encoding="utf-8"
    )

    report = files.scan_files([path], inventory=INVENTORY)

    assert [(u.path, u.columns) for u in report.unwritten] == [(path, ("Allergies",))]
    assert not report.card_data


def test_a_scan_says_what_it_could_not_look_into(tmp_path):
    """A clean answer about a photo in a database, or a list in a mail, would be wrong."""
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as database:
        database.execute("CREATE TABLE scans (id INTEGER, picture BLOB)")
        database.execute("INSERT INTO scans VALUES (1, ?)", [b"\0\xff\xd8"])
        database.commit()
    part = b64encode(b"4242 4242 4242 4242").decode()
    mail = f"Subject: hello\n\nContent-Transfer-Encoding: Base64\n\n{part}\n"
    (tmp_path / "b.eml").write_text(mail, encoding="utf-8")
    (tmp_path / "c.eml").write_text("Subject: hello\n\nsee you\n", encoding="utf-8")

    report = files.scan_files([tmp_path], inventory=INVENTORY)

    assert [(s.path.name, s.place, s.reason.partition(",")[0]) for s in report.skipped] == [
        ("a.sqlite", "table scans", "1 binary values"),
        (
            "b.eml",
            "",
            "a mail with encoded parts; save its attachments and text as files",
        ),
    ]


def test_writing_over_somebody_elses_files_is_refused(tmp_path):
    """A second run does not replace what the first one left, unless told."""
    practice.make_shop(tmp_path, 3, till="stripe")

    with pytest.raises(practice.PracticeError, match="already there"):
        practice.make_shop(tmp_path, 3, till="stripe")
    practice.make_shop(tmp_path, 3, till="stripe", overwrite=True)


@pytest.mark.parametrize("format", practice.FORMATS)
def test_every_format_reads_back_the_same(format, tmp_path):
    """CSV, Parquet, SQLite or a spreadsheet: the same shop."""
    from kit import workbook

    made = practice.made_up(20)
    practice.make_shop(tmp_path, 20, format=format)

    read = workbook.read if format == "xlsx" else tables.read
    schemas = {name: made.table(name).schema for name in made.tables}
    source = next(tmp_path.iterdir()) if format == "xlsx" else tmp_path
    back = read(source, schemas=schemas)
    assert all(back[name].equals(made.table(name)) for name in made.tables)
