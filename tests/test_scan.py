"""A scan names what must not be kept, says why an order number is none, repeats no value."""

from __future__ import annotations

import json
import sqlite3
import traceback
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import (
    cards,
    delimited,
    dirty,
    emit,
    personal,
    practice,
    scan,
    sheets,
    sources,
    unpack,
)

VISA = "4242424242424242"
AMEX = "378282246310005"


class Till:
    """A table in memory, handed over in batches of any size."""

    def __init__(self, *, path="till.csv", place="", kind="csv", rows=1000, **columns):
        self.path, self.place, self.kind, self.header_row = Path(path), place, kind, 1
        self.header, self.rows = tuple(columns), rows
        length = len(next(iter(columns.values())))
        arrays = [pa.array(cells, pa.string()) for cells in columns.values()]
        numbers = pa.array(range(2, length + 2), pa.int64())
        names = [str(at) for at in range(len(arrays) + 1)]
        self.batch = pa.RecordBatch.from_arrays([numbers, *arrays], names)

    def batches(self):
        """Yield slices: their offsets are where a byte view goes wrong."""
        for start in range(0, self.batch.num_rows, self.rows):
            yield self.batch.slice(start, self.rows)


def look(source, region="US"):
    """Scan one table."""
    return scan.scan(source, cards=cards, personal=personal, region=region)


def only(findings, kind):
    """Return the one finding of a kind."""
    (found,) = [f for f in findings if f.kind == kind]
    return found


def ids(count, digits=16, seed=7):
    """Return random numbers of one length."""
    draw = np.random.default_rng(seed).integers(10 ** (digits - 1), 10**digits - 1, count)
    return [str(number) for number in draw]


def test_a_card_number_in_a_note_is_named_with_its_row():
    """The one row of thousands that a clerk typed a card into is found, at any batch size."""
    notes = ["", "ring twice"] * 5000
    notes[7654] = "card 4242 4242 4242 4242 exp 12/27"

    found = only(look(Till(Notes=notes)), "card number")
    assert (found.confidence, found.count, found.rows) == ("confirmed", 1, (7656,))
    assert found.example == "42** **** **** 4242"
    assert found.card_data
    assert "Blank these cells" in found.advice


@pytest.mark.parametrize(
    ("note", "kind"),
    [
        pytest.param("pays w/ 5555-5555-5555-4444", "card number", id="number"),
        pytest.param("her cvv is 123", "security code", id="code"),
        pytest.param("%B4242424242424242^DOE/J^2712101", "track data", id="stripe"),
    ],
)
def test_card_data_in_the_last_of_many_different_notes_are_found(note, kind):
    """Card data are looked for in every cell: a sample of distinct notes would miss the one."""
    notes = [f"order {number}, room {number % 97 + 100}" for number in range(5_000)]

    found = look(Till(Notes=[*notes, note], rows=10_000))

    assert [f.rows for f in found if f.kind == kind and f.card_data] == [(5_002,)]


def test_findings_come_in_the_order_of_what_to_do():
    """Who reads only the first lines reads what cannot wait; what was ruled out comes last."""
    found = look(Till(Trace=ids(300), Email=["a@example.com"] * 300, Notes=[f"cc {VISA}"] * 300))

    assert found[0].card_data
    assert [f.confidence for f in found] == ["confirmed", "confirmed", "vetoed"]


@pytest.mark.parametrize(
    ("name", "confidence"),
    [
        ("Transaction ID", "vetoed"),
        ("Order Id", "vetoed"),
        ("Credit Card Transaction ID", "vetoed"),
        ("Barcode", "vetoed"),
        ("Unknown", "suspected"),
        ("Card number", "suspected"),  # named so, but filled with ids
    ],
)
def test_ten_thousand_random_ids_are_not_confirmed(name, confidence):
    """340 of them pass every check for a card: in a column of ids that is luck."""
    found = only(look(Till(**{name: ids(10_000)})), "card number")

    assert found.confidence == confidence
    assert 300 < found.count < 400
    assert "luck" in found.reason


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("Order Id", [f"13000000157343{n:05}" for n in range(500)], "begins and adds up"),
        ("Card number", ["424242******4242"] * 9, "first six and last four"),
        ("PAN Suffix", ["4242"] * 9, "last four"),
        ("Card Last4", ["4242"] * 9, "last four"),
        ("Card CVC Status", ["pass"] * 9, "result of the security code check"),
        ("Credit Card Auth Code", ["A12345"] * 9, "authorisation"),
        ("card_token", ["tok_1NabcDEF"] * 9, "token"),
        ("Card number", ["tok_1NabcDEF"] * 9, "no cell holds one"),
        ("Created", [str(1795520730123 + n) for n in range(99)], "begins and adds up"),
    ],
)
def test_what_is_no_card_number_is_listed_with_the_reason(name, cells, reason):
    """A reader who wonders about the order numbers is told why they do not count."""
    found = only(look(Till(**{name: cells})), "card number")

    assert found.confidence == "vetoed"
    assert reason in found.reason
    assert not found.card_data


def test_one_card_number_among_other_references_is_a_question():
    """Somebody used the reference field for it: nobody but the owner can tell."""
    found = only(look(Till(Reference=["AB12", "AC77", "AD00", VISA, "AF31"])), "card number")

    assert (found.confidence, found.rows) == ("suspected", (5,))


def test_card_numbers_as_customer_numbers_are_confirmed():
    """A column called id that is full of card numbers is full of card numbers."""
    cells = [VISA, AMEX, "4000056655665556", "5555555555554444", "6011111111111117"] * 3

    assert only(look(Till(Member_ID=cells)), "card number").confidence == "confirmed"


def test_numbers_given_in_turn_are_a_question():
    """Loyalty cards have a check digit too, but begin alike."""
    column = pa.array([f"6304990000{n:06}" for n in range(3000)])
    serial = [n for n, ok in zip(column.to_pylist(), cards.luhn(column), strict=True) if ok]

    assert only(look(Till(Points=serial)), "card number").confidence == "suspected"


def test_a_spreadsheet_that_rounded_card_numbers_is_reported():
    """Fifteen of sixteen digits are left: Luhn fails, the numbers are still there."""
    rounded = [f"{number[:15]}0" for number in (VISA, "4000056655665556", "5555555555554444")]
    for cells in (rounded, ["4.24242E+15", "4.00005E+15", "5.55555E+15"]):
        found = only(look(Till(Paid=cells)), "card number")

        assert (found.confidence, found.count) == ("suspected", 3)
        assert "spreadsheet" in found.reason


@pytest.mark.parametrize(
    ("name", "cells", "confidence"),
    [
        ("CVV", ["123", "456", "7890"], "confirmed"),
        ("Security Code", ["123", "", "none"], "confirmed"),
        ("cid", ["123", "124", "125"], "suspected"),
        ("cvv", ["M", "N", "U"], "vetoed"),
        ("Notes", ["cvv 123", "", ""], "confirmed"),
    ],
)
def test_security_codes_are_found_by_their_word(name, cells, confidence):
    """The three digits that no shop may keep, in a column or in a note."""
    assert only(look(Till(**{name: cells})), "security code").confidence == confidence


def test_three_digits_beside_number_and_expiry_are_a_question():
    """A list with no header still has its meaning by what stands side by side."""
    till = Till(a=[VISA, AMEX], b=["12/27", "01/28"], c=["123", "4567"])

    found = only(look(till), "security code")
    assert (found.column, found.confidence) == ("c", "suspected")
    assert not [f for f in look(Till(c=["123", "4567"])) if f.card_data]


def test_track_data_are_found():
    """A reader that writes the stripe into the file makes cards for thieves."""
    swipes = ["%B4242424242424242^DOE/J^2712101", ";4242424242424242=27121010000"]

    found = only(look(Till(Raw=swipes)), "track data")
    assert (found.confidence, found.count) == ("confirmed", 2)


def test_personal_columns_are_told_by_name_and_content():
    """What a shop must write into its inventory, and what only a name can tell."""
    till = Till(
        **{
            "Geburtsdatum": ["1990-05-02", "2.5.1990", ""],
            "First Name": ["Ana", "Ben", "Cleo"],
            "Straße": ["1 Example Street", "", "2 Example Street"],
            "x": ["ana@example.com", "ben@example.com", "N/A"],
            "y": ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
            "Total": ["1.00", "2.00", "3.00"],
        }
    )
    expected = {
        ("Geburtsdatum", "birthday", "confirmed", 2),
        ("First Name", "name", "by name only", 3),
        ("Straße", "address", "by name only", 2),
        ("x", "e-mail", "confirmed", 2),
        ("y", "ip address", "confirmed", 3),
    }

    found = look(till)
    assert {(f.column, f.kind, f.confidence, f.count) for f in found} == expected


def test_a_single_address_in_the_wrong_column_is_found():
    """One in ten thousand: a sample alone would have missed it."""
    items = [f"Bun no. {n}" for n in range(10_000)]
    items[9_001] = "ana@example.com"

    found = only(look(Till(Item=items)), "e-mail")
    assert (found.rows, found.confidence) == ((9_003,), "confirmed")


def test_one_true_number_among_thousands_of_look_alikes_is_found():
    """Part numbers written like telephone numbers do not hide the one that is."""
    notes = [f"part 293-555-{n:04}" for n in range(5_000)]  # no such area code
    notes[4_321] = "ring 212-555-0142"

    assert only(look(Till(Notes=notes)), "phone").rows == (4_323,)


def test_order_numbers_of_ten_digits_are_no_telephone_numbers():
    """A third of them could be one by length and area code."""
    assert not look(Till(Counter=ids(2000, digits=10)))


def test_a_file_without_a_header_shows_no_customer_as_a_column():
    """Its first customer would be printed as a heading, in every report."""
    found = look(Till(**{VISA: [AMEX], "ana@example.com": ["ben@example.com"]}))

    assert {f.column for f in found} == {"column 1", "column 2"}
    assert only(found, "card number").rows == (1, 2)
    assert VISA not in repr(found)
    assert "ana@" not in repr(found)


@pytest.mark.parametrize("kind", ["notebook", "text"])
def test_notebooks_and_text_are_read_as_free_text(kind):
    """A saved output is a copy of the data."""
    lines = ["import pandas", "0.4142135623730951", f"   paid {VISA}", "nut allergy noted"]

    found = look(Till(kind=kind, text=lines))
    assert only(found, "card number").rows == (4,)
    assert only(found, "health word").confidence == "suspected"


@pytest.mark.parametrize(
    ("source", "region", "error"),
    [
        pytest.param(Till(a=[VISA]), "Texas", personal.BadRegion, id="no such country"),
        pytest.param("numbers", "US", scan.NotText, id="column of numbers"),
    ],
)
def test_refuses(source, region, error):
    """What cannot be scanned is refused by name, and no message holds a cell."""
    if source == "numbers":
        source = Till(a=["x"])
        arrays = [pa.array([2]), pa.array([int(VISA)])]
        source.batch = pa.RecordBatch.from_arrays(arrays, ["#row", "a"])
    with pytest.raises(error) as caught:
        look(source, region)

    assert isinstance(caught.value, (scan.ScanError, personal.PersonalError))
    assert VISA not in str(caught.value)


SECRETS = (VISA, AMEX, "ana.example@example.com", "+12125550142", "DE89370400440532013000")


@given(
    st.lists(
        st.tuples(st.sampled_from(SECRETS), st.text(max_size=12), st.text(max_size=12)),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["Notes", "Email", "Phone", "Card number", "x", "Order Id", "birthday"]),
    st.booleans(),
)
def test_no_finding_and_no_error_repeats_a_value(cells, name, as_header):
    """The report is mailed around; what it is about must not be in it."""
    texts = [f"{before} {secret} {after}" for secret, before, after in cells]
    columns = {name: texts, texts[0]: texts} if as_header else {name: texts}
    try:
        said = repr(look(Till(**columns)))
    except Exception:  # none is expected; if one comes, it keeps quiet too
        said = "".join(traceback.format_exc())

    for secret in SECRETS:
        assert secret not in said
        assert secret.strip("+")[2:-4] not in said
    assert "Traceback" not in said


def test_memory_is_bounded_by_a_batch():
    """Ten rows or ten million: what is kept of a column does not grow with it."""
    column = scan._Column(Till(x=[VISA]), 0, scan._Experts(cards, personal, "US"))
    for start in range(50):
        cells = pa.array(ids(500, seed=start))
        rows = np.arange(500 * start, 500 * start + 500)
        column.see(scan._Cells(cells, rows, cards))

    assert column.tried == 25_000
    assert len(column.numbers) <= 100
    assert all(len(tally.rows) <= scan.SHOWN for tally in column.trusted.values())


def scan_folder(folder):
    """Scan every table that lies in a folder."""
    tables = sources.find([folder], readers=[delimited, sheets, unpack], skipped=[])
    return [finding for table in tables for finding in look(table)]


def test_no_vendors_export_raises_an_alarm(tmp_path):
    """Ids of 12, 15 and 19 digits, bar codes, last four: nothing in an honest export is a card."""
    shop = practice.made_up(60)
    tables = {name: shop.table(name) for name in shop.tables}
    for layout in emit.layouts():
        emit.emit(tables, layout, tmp_path / f"{layout}.csv")

    found = scan_folder(tmp_path)
    assert not [f for f in found if f.card_data]
    assert not [f for f in found if f.confidence == "suspected" and f.kind != "health word"]
    assert {"PAN Suffix", "Card number", "GTIN"} <= {
        f.column for f in found if f.confidence == "vetoed"
    }


def note(number):
    """Make a small table with a card number in its notes."""
    return pa.table({"Name": ["Ana", "Ben"], "Notes": ["", f"card {number}"]})


def write_workbook(path):
    """Hide the notes on a second sheet."""
    book = openpyxl.Workbook()
    book.active.append(["Item", "Qty"])
    book.active.append(["Bun", 1])
    hidden = book.create_sheet("Old")
    hidden.append(["Name", "Notes"])
    hidden.append(["Ben", f"card {VISA}"])
    hidden.sheet_state = "hidden"
    book.save(path)


def write_database(path):
    """Keep the notes in a table."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table customers (name text, notes text)")
        database.execute("insert into customers values ('Ben', ?)", [f"card {VISA}"])


def write_notebook(path):
    """Save a notebook whose output shows the notes."""
    output = {"output_type": "stream", "name": "stdout", "text": [f"Ben, card {VISA}\n"]}
    cell = {"cell_type": "code", "source": ["notes"], "outputs": [output], "metadata": {}}
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook), encoding="utf-8")


def write_zip(path):
    """Pack the notes into an archive."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("old/notes.tsv", f"Name\tNotes\nBen\tcard {VISA}\n")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("till.xlsx", write_workbook),
        ("till.sqlite", write_database),
        ("lesson.ipynb", write_notebook),
        ("mail.zip", write_zip),
        ("till.parquet", lambda path: pq.write_table(note(VISA), path)),
        ("till.csv", lambda path: path.write_text(f"Name,Notes\nBen,a,card {VISA}\n")),
        ("till.jsonl", lambda path: path.write_text(f'{{"Notes": "card {VISA}"}}\n')),
        ("till.txt", lambda path: path.write_text(f"Ben\ncard {VISA}\n")),
    ],
)
def test_every_kind_of_file_is_looked_into(tmp_path, name, write):
    """Hidden sheets, saved outputs, torn rows and archives are where card numbers survive."""
    write(tmp_path / name)

    found = only([f for f in scan_folder(tmp_path) if f.card_data], "card number")
    assert (found.confidence, found.count, found.example) == (
        "confirmed",
        1,
        "42** **** **** 4242",
    )


def test_every_planted_card_is_found_and_no_id_confirmed(tmp_path):
    """The untidy shop, its answer key in hand: recall 1.0, not one order number named."""
    shop = practice.made_up(2000)
    tables = {name: shop.table(name) for name in shop.tables}
    mess = dirty.dirty(tables, seed=7, level=3)
    mess.write(tmp_path)
    (tmp_path / "truth.csv").unlink()
    planted = [
        (row["table"], row["row"] + 2)
        for row in mess.truth.to_pylist()
        if row["kind"] in ("card", "cvv")
    ]

    found = scan_folder(tmp_path)
    confirmed = [f for f in found if f.card_data]
    numbers = only(confirmed, "card number")
    assert {(f.path.stem, f.column) for f in confirmed} == {("customers", "note")}
    assert numbers.count == len(planted)
    assert set(numbers.rows) <= {row for _, row in planted}
    assert only(confirmed, "security code").count == sum(
        kind == "cvv" for kind in mess.truth["kind"].to_pylist()
    )
