"""Every row of a till export is kept or accounted for, and no amount is counted twice."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import delimited, intake, pos, sources
from kit.intake import Take

CARD = "4242424242424242"
HEADERS = {
    row[0]: row[1:]
    for row in csv.reader(
        (Path(__file__).parent / "till_headers.csv").read_text(encoding="utf-8").splitlines()
    )
}


class Sheet:
    """A table in memory that remembers which columns were asked for."""

    def __init__(self, header, rows, *, first=2, rejects=(), batch=3):
        self.header = tuple(header)
        self.names = tuple(f"{n}:{h}" for n, h in enumerate(header))
        self.rows, self.first, self.batch = rows, first, batch
        self.rejects = list(rejects)
        self.asked = []

    def batches(self, columns):
        """Yield the row numbers and the columns asked for."""
        self.asked += columns
        places = [self.names.index(c) for c in columns]
        for start in range(0, len(self.rows), self.batch):
            rows = self.rows[start : start + self.batch]
            numbers = pa.array(
                range(self.first + start, self.first + start + len(rows)), pa.int64()
            )
            cells = [pa.array([r[p] for r in rows], pa.string()) for p in places]
            yield pa.record_batch([numbers, *cells], names=[intake.ROW, *columns])


def taken(source, match=None):
    """Read a table as the layout that its header says."""
    match = match or pos.recognise(source.header)
    takes = [Take(**vars(pick)) for pick in match.picks]
    layout = match.layout
    return intake.read(
        source, takes, group_field=layout.repeat_field, group_type=layout.repeat_type
    )


def export(name, *rows, extra=(), **more):
    """Read rows given as header → cell, all other cells blank, as one vendor's export."""
    header = [*HEADERS[name], *extra]
    return taken(Sheet(header, [[row.get(h, "") for h in header] for row in rows], **more))


def column(result, name):
    """Return the cells of one field."""
    return result.table[name].to_pylist()


def cents(result, *names):
    """Convert money the plain way: the arithmetic of these tests, not of the kit."""
    table = result.table
    for name in names:
        values = [round(float(v.strip("$").replace(",", "")) * 100) for v in column(result, name)]
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.int64()))
    return table


ITEM = {"Date": "2026-07-18", "Time": "12:59:30", "Time Zone": "Eastern Time (US & Canada)",
        "Item": "Tea", "Qty": "1.0", "Gross Sales": "$8.00", "Discounts": "-$1.00",
        "Net Sales": "$7.00", "Tax": "$0.56", "Transaction ID": "t1"}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_no_column_is_asked_for_that_has_no_use(name):
    """What is not loaded cannot leak: card numbers, addresses of computers, and all the rest."""
    source = Sheet([*HEADERS[name], "Card number", "CVV", "IP", "Notes about her"], [])

    match = pos.recognise(source.header)
    taken(source, match)

    assert source.asked == [source.names[p.index] for p in match.picks]
    asked = {name.partition(":")[2] for name in source.asked}
    assert not any(map(pos.forbidden, asked))
    assert not asked & {"Notes about her", "Card number", "customer_ip_address"}


def test_a_take_is_what_the_recogniser_picks():
    """The two tools fit together though neither knows the other."""
    assert {f.name for f in dataclasses.fields(Take)} == {
        f.name for f in dataclasses.fields(pos.Pick)
    }


def test_cells_stay_text():
    """The postcode 01930 and the 19-digit id come out as they went in."""
    result = export("square.customers", {"Postal Code": "01930", "Square Customer ID": "1" * 19})

    assert column(result, "addresses.postcode") == ["01930"]
    assert column(result, "customers.customer_id") == ["1" * 19]


@pytest.mark.parametrize(
    ("cell", "field", "read"),
    [
        ("'01930", "addresses.postcode", "01930"),
        ("'+573001112233", "customers.phone", "+573001112233"),
        ('="6585954"', "customers.customer_id", "6585954"),
        ('="0123"', "customers.note", "0123"),
        ("'=1+1", "customers.note", "=1+1"),
        ("'-5", "customers.note", "-5"),
        ("'t Hooft", "customers.last_name", "'t Hooft"),
        ('="a"&"b"', "customers.note", '="a"&"b"'),
        ("O'Brien", "customers.last_name", "O'Brien"),
    ],
)
def test_spreadsheet_guards_are_taken_off(cell, field, read):
    """A guard is no part of a phone number, and an apostrophe is part of a name."""
    headers = {"addresses.postcode": "Default Address Zip", "customers.phone": "Phone",
               "customers.customer_id": "Customer ID", "customers.note": "Note",
               "customers.last_name": "Last Name"}  # fmt: skip

    result = export("shopify.customers", {headers[field]: cell, "Email": "a@example.com"})

    assert column(result, field) == [read]


def test_date_time_and_zone_become_one_moment():
    """12:59 in which town? The zone travels with the time."""
    result = export("square.items", ITEM, ITEM | {"Time": ""})

    assert column(result, "sales.sold_at") == [
        "2026-07-18 12:59:30 Eastern Time (US & Canada)",
        "2026-07-18 Eastern Time (US & Canada)",
    ]
    assert result.types["sales.sold_at"] == "datetime"


def test_a_zone_named_in_the_header_is_written_into_the_cell():
    """`Created (UTC)` must not be read as the shop's own time."""
    result = export("stripe.payments", {"id": "a", "Created date (UTC)": "2026-07-18 12:59:30"},
                    {"id": "b", "Created date (UTC)": " "})  # fmt: skip

    assert column(result, "payments.paid_at") == ["2026-07-18 12:59:30 UTC", " "]


@pytest.mark.parametrize(
    ("written", "read"),
    [("-$1.00", "$1.00"), ("($5.40)", "$5.40"), ("$2.00", "-$2.00"), (" $2.00 ", "-$2.00"),
     ("$0.00", "$0.00"), ("", ""), ("−1,50", "1,50"), ("None", "None"), ("-", "")],
)  # fmt: skip
def test_discounts_get_the_sign_of_the_kit(written, read):
    """Square writes a discount as a negative amount; two minus signs would add it to the price."""
    result = export("square.items", ITEM | {"Discounts": written})

    assert column(result, "lines.discount_cents") == [read]


def test_repeated_header_lines_are_set_aside():
    """Two exports pasted into one file do not make a customer called First Name."""
    result = export("square.items", ITEM, {h: h for h in HEADERS["square.items"]}, ITEM)

    assert result.table.num_rows == 2
    assert result.rejects == [intake.Reject(3, "", intake.HEADER)]


def test_blank_rows_are_set_aside():
    """A blank line is neither a sale nor a reason to stop."""
    result = export("square.items", ITEM, {}, {"Item": " \u00a0"}, ITEM)

    assert [r.row for r in result.rejects] == [3, 4]
    assert {r.reason for r in result.rejects} == {intake.EMPTY}


@pytest.mark.parametrize(
    "label", [{}, {"Date": "Total"}, {"Item": "TOTALS:"}, {"Category": "Summe"}], ids=str
)
def test_a_row_of_totals_is_set_aside_and_used_as_a_control(label):
    """The till's own sum is not a sale: it is the best check there is."""
    sums = {"Qty": "2.0", "Gross Sales": "$16.00", "Discounts": "-$2.00", "Net Sales": "$14.00"}

    result = export("square.items", ITEM, ITEM, label | sums)

    assert result.rejects == [intake.Reject(4, "", intake.SUMS)]
    assert result.totals["lines.net_cents"].stated == 1400
    assert result.totals["lines.discount_cents"].stated == 200
    assert result.totals["lines.tax_cents"].stated is None


def test_an_item_called_total_is_not_a_row_of_totals():
    """Total is also a brand of cereal."""
    result = export("square.items", ITEM | {"Item": "Total"})

    assert result.table.num_rows == 1


ORDER = {"Name": "#1001", "Email": "ana@example.com", "Total": "30.00", "Subtotal": "28.00",
         "Taxes": "2.00", "Created at": "2024-05-01 09:58:12 -0400", "Id": "'9001"}  # fmt: skip
LINE = {"Lineitem quantity": "1", "Lineitem name": "Tea", "Lineitem price": "8.00"}


def test_order_cells_are_filled_down_within_the_order_only():
    """The second line of Ana's order is Ana's; the next order without e-mail is nobody's."""
    result = export(
        "shopify.orders",
        ORDER | LINE,
        {"Name": "#1001"} | LINE,
        {"Name": "#1002"} | LINE,
        LINE,
    )

    assert column(result, "customers.email") == ["ana@example.com"] * 2 + ["", ""]
    assert column(result, "sales.sale_id") == ["9001", "9001", "", ""]


def test_rows_without_an_order_number_share_nothing():
    """Two strays are not one order: the second does not get the first one's address."""
    result = export("shopify.orders", {"Email": "c@example.com"} | LINE, LINE)

    assert column(result, "customers.email") == ["c@example.com", ""]


def test_many_mixed_lines_keep_their_order():
    """What is filled down is the last cell above, in the file's own order."""
    mails = [f"{n}@example.com" if n % 3 == 0 else "" for n in range(60)]
    rows = [{"Name": f"#{n % 2}", "Email": mail} | LINE for n, mail in enumerate(mails)]

    result = export("shopify.orders", *rows)

    wanted = [next((m for m in mails[n::-2] if m), "") for n in range(60)]
    assert column(result, "customers.email") == wanted


def test_lines_of_an_order_may_stand_apart():
    """A sorted export still gives each line to its own order."""
    result = export(
        "shopify.orders", ORDER | LINE, {"Name": "#1000", "Email": "b@example.com"} | LINE,
        {"Name": "#1001"} | LINE,
    )  # fmt: skip

    assert column(result, "customers.email") == [
        "ana@example.com",
        "b@example.com",
        "ana@example.com",
    ]


def test_order_totals_are_not_added_up_per_line():
    """An order of three lines has been paid once."""
    result = export("shopify.orders", ORDER | LINE, *[{"Name": "#1001"} | LINE] * 2)
    table = cents(result, *result.totals.keys() - {"sales.discount_cents", "lines.discount_cents"})
    row = table[intake.ROW].to_numpy()

    assert column(result, "sales.total_cents") == ["30.00"] * 3
    assert result.once("sales.total_cents", row).tolist() == [True, False, False]
    assert result.once("lines.unit_price_cents", row).all()
    assert result.totals["sales.total_cents"].cents.sum() == 3000


def test_extra_picture_rows_are_no_products():
    """Shopify lists a product's second picture as a row of its own."""
    result = export(
        "shopify.products.legacy",
        {"Handle": "tea", "Title": "Tea", "Variant Price": "8.00", "Option1 Value": "small"},
        {"Handle": "tea", "Variant Price": "9.00", "Option1 Value": "large"},
        {"Handle": "tea", "Image Src": "https://example.com/2.png"},
    )

    assert column(result, "products.name") == ["Tea", "Tea"]
    assert column(result, "products.variant") == ["small", "large"]
    assert result.rejects == [intake.Reject(4, "", intake.BARE)]


def test_groups_of_columns_become_rows():
    """WebToffee puts a whole order into one row; each product becomes a line, in its order."""
    order = {"order_id": "7", "order_total": "30.00", "order_date": "2026-01-02 03:04:05"}
    result = export(
        "woocommerce.orders.webtoffee",
        order | {"Product Item 1 Name": "Tea", "Product Item 1 Quantity": "2",
                 "Product Item 3 Name": "Jam", "Product Item 3 Quantity": "1"},
        order | {"order_id": "8"},
    )  # fmt: skip

    assert column(result, "products.name") == ["Tea", "Jam", ""]
    assert column(result, "lines.quantity") == ["2", "1", ""]
    assert column(result, "lines.line_number") == ["1", "3", ""]
    assert column(result, "sales.sale_id") == ["7", "7", "8"]
    assert column(result, intake.ROW) == [2, 2, 3]
    assert result.types["lines.line_number"] == "number"
    assert result.once("sales.total_cents", np.array([2, 2, 3])).tolist() == [True, False, True]


def test_stock_is_kept_per_place():
    """Three in the shop and four in the store room are not thirty-four."""
    result = export(
        "square.catalog",
        {"Token": "a", "Current Quantity Main St": "3", "Current Quantity B": "4"},
        {"Token": "b", "Current Quantity Main St": "5", "Current Quantity B": "6"},
        extra=["Current Quantity B"],
    )  # fmt: skip

    assert column(result, "products.product_id") == ["a", "a", "b", "b"]
    assert column(result, "products.opening_stock") == ["3", "4", "5", "6"]
    assert column(result, "stores.name") == ["Main St", "B"] * 2


def test_a_header_that_stands_three_times_fills_one_field():
    """Lightspeed has up to three sub-categories under one name."""
    header = HEADERS["lightspeed.items"]
    row = ["" for _ in header]
    row[header.index("System ID")] = "1"
    row[header.index("Sub Category")] = "Green"
    row[header.index("Sub Category") + 2] = "Loose"

    assert column(taken(Sheet(header, [row])), "categories.below") == ["Green Loose"]


def test_missing_cells_are_blank():
    """A workbook leaves out blank cells; nothing breaks on that."""
    header = HEADERS["square.items"]
    result = taken(Sheet(header, [[ITEM.get(h) for h in header]]))

    assert column(result, "customers.name") == [""]


def test_a_file_with_a_header_only_is_an_export_of_no_rows():
    """A day without sales is not an error."""
    result = export("square.items")

    assert (result.rows, result.table.num_rows) == (0, 0)
    assert result.table[intake.ROW].type == pa.int64()
    assert [c.ok for c in intake.reconcile(result, cents(result, *result.totals))] == [True] * 5


# ---- control totals


def three_items(**more):
    """Three good lines, converted, with what the till's layout asks to be checked."""
    result = export("square.items", ITEM, ITEM, ITEM, **more)
    return (
        result,
        cents(result, *result.totals),
        pos.recognise(HEADERS["square.items"]).layout.foots,
    )


def failed(checks):
    """Return the checks that are not all right."""
    return [c.what.split(" =")[0] for c in checks if not c.ok]


def test_a_good_import_reconciles():
    """Rows, sums and the price of every line agree with the file."""
    result, table, foots = three_items()
    checks = intake.reconcile(result, table, foots=foots)

    assert failed(checks) == []
    assert {c.what: c.found for c in checks}["sum of lines.net_cents"] == 2100
    assert len(checks) == 1 + 4 + 1


def test_one_cent_too_much_shows():
    """An amount misread by a cent is found, in the sum and in its row."""
    result, table, foots = three_items()
    at = table.column_names.index("lines.net_cents")
    table = table.set_column(at, "lines.net_cents", pa.array([700, 701, 700], pa.int64()))

    assert failed(intake.reconcile(result, table, foots=foots)) == [
        "sum of lines.net_cents",
        "lines.net_cents",
    ]


def test_a_null_amount_shows():
    """A cell that was not converted is missing from the sum, and that is said."""
    result, table, _ = three_items()
    at = table.column_names.index("lines.tax_cents")
    table = table.set_column(at, "lines.tax_cents", pa.array([56, None, 56], pa.int64()))

    assert failed(intake.reconcile(result, table)) == ["sum of lines.tax_cents"]


def test_a_lost_row_shows_unless_it_was_refused():
    """A row may be refused with a reason; it may not vanish."""
    result, table, _ = three_items()
    two = table.slice(0, 2)

    assert failed(intake.reconcile(result, two)) == ["rows"]
    refused = [intake.Reject(4, "lines.tax_cents", "not an amount of money")]
    assert failed(intake.reconcile(result, two, refused=refused)) == []


def test_rows_that_the_source_could_not_read_are_counted():
    """A row with a cell too many is in the count, with its reason."""
    ragged = intake.Reject(5, "", "36 cells where the header has 35")
    result, table, _ = three_items(rejects=[ragged])

    assert result.rejects == [ragged]
    assert intake.reconcile(result, table)[0] == intake.Check("rows", 4, 4)


def test_a_wrong_row_of_totals_shows():
    """Where the file's own sum differs, a row is missing from the file."""
    result = export("square.items", ITEM, {"Gross Sales": "$16.00", "Net Sales": "$7.00"})

    checks = intake.reconcile(result, cents(result, *result.totals))
    assert failed(checks) == ["lines.gross_cents in the file's row of totals"]


@pytest.mark.parametrize("cell", ["8", "1,234", "8.123", "1.2", "None", "eight"])
def test_an_amount_that_fits_two_readings_is_on_neither_side(cell):
    """The control is only as sure as the digits: 1,234 may be a thousand or one and a bit."""
    result = export("square.items", ITEM, ITEM | {"Tax": cell})

    assert result.totals["lines.tax_cents"].unclear.tolist() == [3]
    assert result.totals["lines.tax_cents"].cents.tolist() == [56]
    table = result.table.set_column(
        result.table.column_names.index("lines.tax_cents"),
        "lines.tax_cents",
        pa.array([56, 123400], pa.int64()),
    )
    only = {"lines.tax_cents": result.totals["lines.tax_cents"]}
    assert failed(intake.reconcile(dataclasses.replace(result, totals=only), table)) == []


@pytest.mark.parametrize(
    ("cell", "amount"),
    [("$1,234.56", 123456), ("-$45.00", -4500), ("($5.40)", -540), ('"$1,149.00 "', 114900),
     ("1.234,56 €", 123456), ("0.05", 5), ("−3,10", -310)],
)  # fmt: skip
def test_clear_amounts_are_read_by_their_digits(cell, amount):
    """The control knows every vendor's way to write money."""
    result = export("square.items", ITEM | {"Net Sales": cell})

    assert result.totals["lines.net_cents"].cents.tolist() == [amount]


def test_an_order_that_lost_a_line_still_has_its_total():
    """A refused first line takes its own amounts along, not the order's."""
    result = export("shopify.orders", ORDER | LINE, {"Name": "#1001"} | LINE)
    table = cents(result, "sales.total_cents").slice(1)
    only = dataclasses.replace(
        result, totals={"sales.total_cents": result.totals["sales.total_cents"]}
    )

    checks = intake.reconcile(only, table, refused=[intake.Reject(2, "lines.quantity", "why")])
    assert checks[1] == intake.Check("sum of sales.total_cents", 3000, 3000)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        pytest.param(lambda: intake.read(Sheet(["a"], []), []), intake.NothingToTake, id="nothing"),
        pytest.param(
            lambda: intake.read(Sheet(["a"], []), [Take(1, "a.b")]),
            intake.NothingToTake,
            id="beyond",
        ),
        pytest.param(
            lambda: intake.reconcile(three_items()[0], pa.table({"a": [CARD]})),
            intake.WrongTable,
            id="no row numbers",
        ),
        pytest.param(
            lambda: intake.reconcile(three_items()[0], three_items()[0].table),
            intake.WrongTable,
            id="not converted",
        ),
        pytest.param(
            lambda: intake.reconcile(three_items()[0], pa.table({intake.ROW: [99]})),
            intake.WrongTable,
            id="another file",
        ),
    ],
)
def test_refuses(call, error):
    """Each wrong use has its own error, of one family, without a cell in it."""
    with pytest.raises(error) as caught:
        call()

    assert isinstance(caught.value, intake.IntakeError)
    assert CARD not in str(caught.value)


CELLS = st.sampled_from(["", " ", "Total", "#1", "#2", "'5", '="7"', "9.99", "-", CARD, "(1.00)"])


@settings(max_examples=50, deadline=None)  # each example reads a table of up to 75 columns
@given(
    name=st.sampled_from(["square.items", "shopify.orders", "shopify.products.legacy",
                          "woocommerce.orders.webtoffee", "square.catalog"]),
    data=st.data(),
)  # fmt: skip
def test_every_row_is_kept_or_set_aside(name, data):
    """Whatever stands in the cells, no row is lost, and none is quoted in a reason."""
    header = HEADERS[name]
    places = data.draw(st.lists(st.sampled_from(range(len(header))), min_size=1, max_size=6))
    rows = [["" for _ in header] for _ in range(data.draw(st.integers(0, 5)))]
    for row in rows:
        for place in places:
            row[place] = data.draw(CELLS)

    result = taken(Sheet(header, rows))

    kept = set(column(result, intake.ROW))
    aside = {r.row for r in result.rejects}
    assert kept | aside == set(range(2, 2 + len(rows)))
    assert not kept & aside
    assert column(result, intake.ROW) == sorted(column(result, intake.ROW))
    assert CARD not in repr(result.rejects)


# ---- real files, opened by kit/sources.py


@pytest.mark.parametrize(
    ("before", "sign", "encoding"),
    [("", ",", "utf-8"), ("", ",", "utf-8-sig"), ("sep=;\r\n", ";", "utf-8-sig"),
     ("", "\t", "utf-16"), ("", "|", "utf-8"), ("Item report\nMain St\n\n", ",", "utf-8"),
     ("", ";", "cp1252")],
    ids=["plain", "mark", "sep=", "UTF-16 tabs", "pipes", "notes above", "cp1252"],
)  # fmt: skip
def test_files_as_tills_and_spreadsheets_save_them(tmp_path, before, sign, encoding):
    """The same sale is read from each of them, with the row number that a spreadsheet shows."""
    row = ITEM | {"Item": "Café “Ünal”", "Notes": "two\nlines", "SKU": "0012"}
    path = tmp_path / "items.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        file.write(before)
        writer = csv.DictWriter(file, HEADERS["square.items"], delimiter=sign, restval="")
        writer.writeheader()
        writer.writerows([row, row])

    source = sources.open_one(path, readers=[delimited])
    result = taken(source)

    assert column(result, "products.name") == ["Café “Ünal”"] * 2
    assert column(result, "lines.note") == ["two\nlines"] * 2
    assert column(result, "products.sku") == ["0012"] * 2
    assert column(result, intake.ROW)[0] == source.header_row + 1
    assert [c.ok for c in intake.reconcile(result, cents(result, *result.totals))] == [True] * 5


def test_ragged_rows_of_a_file_are_counted_with_their_number(tmp_path):
    """A shifted row is shown to the owner, not read into the wrong columns."""
    header = HEADERS["square.items"]
    good = ",".join('"' + ITEM.get(h, "") + '"' for h in header)
    path = tmp_path / "items.csv"
    path.write_text("\n".join([",".join(header), good, good + ",one too many", good]) + "\n")

    result = taken(sources.open_one(path, readers=[delimited]))

    assert [r.row for r in result.rejects] == [3]
    assert result.table.num_rows == 2
    assert intake.reconcile(result, cents(result, *result.totals))[0] == intake.Check("rows", 3, 3)
