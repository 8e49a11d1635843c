"""Every vendor's export of the made-up shop comes back, through the whole import, as it was."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import convert, delimited, emit, intake, pos, sources
from kit.practice import made_up

ROWS = {"line": "lines", "sale": "sales", "payment": "payments", "customer": "customers"}
ROWS |= {"product": "products"}
UNHURRIED = settings(deadline=None)  # a busy machine is no failure


@cache
def shop(locale="en_US", customers=60):
    """Return a small shop with a second store, so that columns by store stand twice."""
    made = made_up(customers, seed=7, locale=locale)
    tables = {name: made.table(name) for name in made.tables}
    first = tables["stores"].to_pylist()[0]
    second = {**first, "store_id": "sto_second", "name": "Harbour & Sons"}
    tables["stores"] = pa.Table.from_pylist([first, second], schema=tables["stores"].schema)
    return tables


@cache
def rows(locale, name):
    """Return one table as dictionaries."""
    return shop(locale)[name].to_pylist()


@cache
def by(locale, name, key):
    """Return a table's rows by one of its ids."""
    found = {}
    for row in rows(locale, name):
        found.setdefault(row[key], []).append(row)
    return found


def total(locale, name, key, value, column):
    """Add up a column over the rows that have this id."""
    return sum(row[column] for row in by(locale, name, key).get(value, []))


def known(locale, kind, row):
    """Return, for one row of a file, every field that the shop knows: plain Python, no Arrow."""

    def one(name, key, value):
        return by(locale, name, key).get(value, [{}])[0]

    zone = ZoneInfo(rows(locale, "stores")[0]["time_zone"])
    parts = {ROWS[kind]: row}
    if kind in ("line", "payment"):
        parts["sales"] = one("sales", "sale_id", row["sale_id"])
    if kind == "line":
        parts["products"] = one("products", "product_id", row["product_id"])
    if sale := parts.get("sales"):
        parts["stores"] = one("stores", "store_id", sale["store_id"])
        parts["employees"] = one("employees", "employee_id", sale["employee_id"])
        parts["customers"] = one("customers", "customer_id", sale["customer_id"])
        parts.setdefault("payments", one("payments", "sale_id", sale["sale_id"]))
    if product := parts.get("products"):
        parts["categories"] = one("categories", "category_id", product["category_id"])
        parts["suppliers"] = one("suppliers", "supplier_id", product["supplier_id"])
    if customer := parts.get("customers"):
        parts["addresses"] = one("addresses", "customer_id", customer["customer_id"])
    fields = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}
    for name in ("customers", "employees"):
        names = [fields.get(f"{name}.{part}_name") for part in ("first", "last")]
        fields[f"{name}.name"] = " ".join(filter(None, names)) or None
    if sale := parts.get("sales"):
        at = sale["sale_id"]
        fields["sales.order_number"] = at
        fields["sales.refunded_cents"] = total(locale, "refunds", "sale_id", at, "amount_cents")
        fields["sales.paid_cents"] = total(locale, "payments", "sale_id", at, "amount_cents")
        fields["sales.units"] = total(locale, "lines", "sale_id", at, "quantity")
    if payment := parts.get("payments"):
        back = total(locale, "refunds", "payment_id", payment["payment_id"], "amount_cents")
        fields["payments.refunded_cents"] = back
        fields["payments.paid_on"] = payment["paid_at"].astimezone(zone).date()
    if kind == "product":
        at = row["product_id"]
        fields["products.handle"] = at
        fields["stores.name"] = rows(locale, "stores")[0]["name"]
        fields["products.units"] = total(locale, "lines", "product_id", at, "quantity")
        for name in ("gross_cents", "discount_cents", "net_cents"):
            fields[f"products.{name}"] = total(locale, "lines", "product_id", at, name)
    if kind == "customer":
        at = row["customer_id"]
        days = [
            sale["sold_at"].astimezone(zone).date()
            for sale in by(locale, "sales", "customer_id").get(at, [])
        ]
        fields["customers.visits"] = len(days)
        fields["customers.spent_cents"] = total(locale, "sales", "customer_id", at, "total_cents")
        fields["customers.first_visit_on"] = min(days, default=None)
        fields["customers.last_visit_on"] = max(days, default=None)
    return fields


def take_in(path, layout_id, locale="en_US", **settings):
    """Import a file as the kit does: open, recognise, take in, convert."""
    source = sources.open_one(path, readers=[delimited])
    match = pos.recognise(source.header)
    assert match.layout.id == layout_id
    takes = [intake.Take(**vars(pick)) for pick in match.picks]
    layout = match.layout
    export = intake.read(
        source, takes, group_field=layout.repeat_field, group_type=layout.repeat_type
    )
    store = shop(locale)["stores"].to_pylist()[0]
    done = convert.convert(
        export.table,
        export.types,
        time_zone=store["time_zone"],
        region=store["country"],
        **settings,
    )
    assert source.rejects == export.rejects == done.rejects == []
    checks = intake.reconcile(export, done.table, foots=layout.foots)
    assert [check for check in checks if not check.ok] == []
    return match, done.table


def in_file(fields, name, layout):
    """Return what a file can hold of a field: no seconds where the vendor writes none."""
    value = fields.get(name)
    if isinstance(value, datetime):
        style = "".join(column.format for column in layout.columns if column.field == name)
        value = value.replace(microsecond=0, **({} if "%S" in style else {"second": 0}))
    return value


def came_back(layout_id, locale, tmp_path, **settings):
    """Check that every field that was written is read back as it was."""
    path = emit.emit(shop(locale), layout_id, tmp_path / "export.csv")

    match, table = take_in(path, layout_id, locale, **settings)

    layout = match.layout
    expected = [known(locale, layout.row, row) for row in rows(locale, ROWS[layout.row])]
    assert table.num_rows == len(expected)
    fixed = {column.field: layout.constants.get(column.header) for column in layout.columns}
    compared = 0
    for name in table.column_names:
        values = table[name].to_pylist()
        if any(name in fields for fields in expected):
            assert values == [in_file(fields, name, layout) for fields in expected], name
            compared += 1
        elif name != intake.ROW and fixed.get(name) and table[name].type == pa.string():
            assert set(values) == {fixed[name]}, name
    assert compared >= 4  # paymentech, the poorest: date, brand, amount, store
    return table


@pytest.mark.parametrize("layout_id", emit.layouts())
def test_every_layout_comes_back_the_same(layout_id, tmp_path):
    """The import finds in a vendor's file what the shop sold, to the cent and the second."""
    came_back(layout_id, "en_US", tmp_path)


@pytest.mark.parametrize("locale", ["de_DE", "ja_JP"])
@pytest.mark.parametrize(
    "layout_id", ["square.items", "shopify.customers", "stripe.customers", "clover.orders"]
)
def test_other_countries_come_back_the_same(layout_id, locale, tmp_path):
    """Umlauts, kanji and another time zone survive the trip."""
    came_back(layout_id, locale, tmp_path)


def cells(path, delimiter=","):
    """Return the header and the rows as a spreadsheet would show them."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *body = csv.reader(file, delimiter=delimiter)
    return header, body


def test_the_header_is_the_vendors_own(tmp_path):
    """A made-up file is told from a real one by nothing but its contents."""
    for layout in pos.layouts():
        if layout.id in emit.layouts() and not any("<" in name for name in layout.header):
            path = emit.emit(shop(), layout.id, tmp_path / layout.id)
            tab = "\t" if layout.id == "toast.mix" else ","

            assert cells(path, tab)[0] == list(layout.header), layout.id


def test_columns_by_store_stand_once_for_each_store(tmp_path):
    """A shop with two stores gets two columns of stock, in the order of the vendor."""
    header, body = cells(emit.emit(shop(), "square.catalog", tmp_path / "c.csv"))
    stock = [name for name in header if name.startswith(("Current", "New Quantity"))]

    assert [name.split(" ", 2)[0] for name in stock] == ["Current", "New", "Current", "New"]
    assert stock[2] == "Current Quantity Harbour & Sons"
    assert {row[header.index(stock[0])] for row in body} != {""}
    assert "Tax - Sales tax (8.25%)" in header


def test_a_sale_with_many_items_is_one_row_at_webtoffee(tmp_path):
    """Its columns are as many as the longest sale needs, and numbered from 1."""
    header, body = cells(emit.emit(shop(), "woocommerce.orders.webtoffee", tmp_path / "w.csv"))
    most = max(line["line_number"] for line in rows("en_US", "lines"))

    assert len(body) == len(rows("en_US", "sales"))
    assert header[-1] == f"Product Item {most} Subtotal"
    assert header.index("line_item_2") == header.index("line_item_1") + 1


def test_order_level_cells_stand_once_per_order_at_shopify(tmp_path):
    """The trap is in the file: who adds up every row's total counts some orders three times."""
    header, body = cells(emit.emit(shop(), "shopify.orders", tmp_path / "s.csv", rows=7))
    totals = [row[header.index("Total")] for row in body]

    assert len(body) == len(rows("en_US", "lines"))
    assert len([cell for cell in totals if cell]) == len(rows("en_US", "sales"))
    assert all(row[header.index("Name")] for row in body)


def test_what_must_never_be_loaded_is_there_and_is_not_loaded(tmp_path):
    """A visitor's address is in the file, so that the import can be seen to leave it there."""
    path = emit.emit(shop(), "woocommerce.orders.webtoffee", tmp_path / "w.csv")

    match, table = take_in(path, "woocommerce.orders.webtoffee")

    assert "203.0.113.7" in path.read_text(encoding="utf-8")
    assert {name for name, _ in match.dropped} == {"customer_ip_address", "customer_user_agent"}
    assert not any("203.0.113.7" in str(column.to_pylist()) for column in table.columns)


@pytest.mark.parametrize(
    "name", ["=1+1", "@sum", "+shine", "-10% Rose", "'t Bloempje", "a,b", 'a"b', "Zoë\nx"]
)
def test_text_that_could_run_is_guarded_and_comes_back(name, tmp_path):
    """Opening the made-up file in a spreadsheet runs nothing."""
    tables = {key: table.slice(0, 1) for key, table in shop().items()}
    products = tables["products"]
    at = products.column_names.index("name")
    tables["products"] = products.set_column(at, "name", pa.array([name]))
    path = emit.emit(tables, "square.catalog", tmp_path / "c.csv")

    header, body = cells(path)
    _, table = take_in(path, "square.catalog")

    assert body[0][header.index("Item Name")][0] not in "=+-@"
    assert table["products.name"].to_pylist() == [name]


@pytest.mark.parametrize("size", [1, 100, 65_536])
def test_the_chunk_size_changes_nothing(size, tmp_path):
    """Memory stays bounded, and no row is lost between two chunks."""
    seen = []
    path = emit.emit(
        shop(customers=10),
        "square.items",
        tmp_path / "i.csv",
        rows=size,
        progress=lambda *p: seen.append(p),
    )
    whole = emit.emit(shop(customers=10), "square.items", tmp_path / "whole.csv")

    assert path.read_bytes() == whole.read_bytes()
    assert seen[-1] == (shop(customers=10)["lines"].num_rows,) * 2


@pytest.mark.parametrize(
    ("style", "cents", "text"),
    [
        ("$1,234.56", 123456789, "$1,234,567.89"),
        ("$1,234.56", -4500, "-$45.00"),
        ("1234.56", 7, "0.07"),
        ("1,234.56", 100000, "1,000.00"),
        ("1234.56000000", 120, "1.20000000"),
        ("1,234.56", None, None),
    ],
)
def test_money_follows_the_vendors_sample(style, cents, text):
    """Square writes $8.00, Toast eight decimals."""
    assert emit._money(pa.array([cents], pa.int64()), style).to_pylist() == [text]


@UNHURRIED
@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_moments_are_written_as_strftime_would(moment):
    """On every system, in English, whatever the language of the computer."""
    zone = ZoneInfo("America/New_York")
    style = "%Y-%m-%d %H:%M:%S %z|%m/%d/%y %I:%M %p|%d-%b-%Y %Z"

    written = emit._moments(pa.array([moment], pa.timestamp("us", "UTC")), style, zone)

    assert written.to_pylist() == [moment.astimezone(zone).strftime(style)]


def test_months_and_days_without_zeros():
    """Toast writes 7/1/26 5:18 PM."""
    moment = pa.array([datetime(2026, 7, 1, 21, 18, tzinfo=UTC), None])

    written = emit._moments(moment, "%-m/%-d/%y %-I:%M %p", ZoneInfo("America/New_York"))

    assert written.to_pylist() == ["7/1/26 5:18 PM", None]


@pytest.mark.parametrize(
    ("layout", "error"),
    [
        pytest.param("square.itemz", emit.UnknownLayout, id="a slip"),
        pytest.param("square.loyalty", emit.UnknownLayout, id="never seen by anybody"),
        pytest.param("stripe.payouts", emit.NotInShop, id="the shop has no payouts"),
        pytest.param("square.items", emit.AlreadyThere, id="the file exists"),
    ],
)
def test_refuses(layout, error, tmp_path):
    """Nothing is overwritten, and no layout is claimed that nobody has seen."""
    path = tmp_path / "there.csv"
    path.write_text("mine", encoding="utf-8")

    with pytest.raises(error) as caught:
        emit.emit(shop(), layout, path)

    assert isinstance(caught.value, emit.EmitError)
    assert path.read_text(encoding="utf-8") == "mine"


def test_the_nearest_layout_is_named():
    """A slip of the keyboard costs seconds."""
    with pytest.raises(emit.UnknownLayout, match=r"square\.items"):
        emit.emit(shop(), "square.itemz", Path("never.csv"))
