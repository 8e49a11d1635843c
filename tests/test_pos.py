"""An export is known by the names in its header, and a forbidden column is never loaded."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import pos

HEADERS = {
    row[0]: row[1:]
    for row in csv.reader(
        (Path(__file__).parent / "till_headers.csv").read_text(encoding="utf-8").splitlines()
    )
}
ITEMS = HEADERS["square.items"]
CANARY = "4242424242424242"

GOOD = """
vendor = "Test"
[[layout]]
id = "test.sales"
title = "Test sales"
status = "verified"
source = "made up"
seen = "2026-11"
row = "sale"
header = ["When", "What", "Total", "Card"]
required = ["When", "Total"]
column = [
    { header = "When", field = "sales.sold_at", type = "datetime" },
    { header = "Total", field = "sales.total_cents", type = "money" },
]
[layout.totals]
"Total" = "sales.total_cents"
"""


def folder(tmp_path, *texts):
    """Write layout files into a folder of their own."""
    for number, text in enumerate(texts):
        (tmp_path / f"test{number}.toml").write_text(text, encoding="utf-8")
    return tmp_path


def fields(match):
    """Return field → header positions."""
    return {p.field: [q.index for q in match.picks if q.field == p.field] for p in match.picks}


@settings(max_examples=50, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(HEADERS)))
def test_vendors_may_add_drop_move_and_recase_columns(data, name):
    """A till update that renames nothing that counts does not stop the shop."""
    layout = next(y for y in pos.layouts() if y.id == name)
    needed = {n for h in (*layout.required, *layout.any) for n in layout.accepts(h)}
    rest = [h for h in HEADERS[name] if pos.normal(h) not in needed]
    dropped = data.draw(st.sets(st.sampled_from(rest), max_size=3))
    header = [h for h in HEADERS[name] if h not in dropped]
    header += data.draw(st.lists(st.sampled_from(["New thing", "Other (beta)", ""]), max_size=3))
    header = [data.draw(st.sampled_from([str, str.upper, str.lower]))(h) for h in header]
    header = data.draw(st.permutations(header))

    assert pos.recognise(header).layout.id == name


@pytest.mark.parametrize(
    "disguise",
    [
        lambda h: "\ufeff" + h,
        lambda h: h.replace(" ", "\u00a0"),
        lambda h: f"  {h.replace(' ', '   ')} ",
        lambda h: h.replace("a", "a\u200b"),
        lambda h: "".join(chr(ord(c) + 0xFEE0) if c.isalpha() and c.isascii() else c for c in h),
    ],
    ids=["byte order mark", "no-break blanks", "blanks", "zero width", "full width"],
)
def test_signs_that_nobody_sees_do_not_count(disguise):
    """A header that looks the same to the owner is the same."""
    match = pos.recognise([disguise(h) for h in ITEMS])

    assert match.layout.id == "square.items"
    assert fields(match) == fields(pos.recognise(ITEMS))


def test_columns_are_found_by_name_and_not_by_position():
    """A column that moved is not read as its neighbour."""
    there = fields(pos.recognise(ITEMS))
    back = fields(pos.recognise(ITEMS[::-1]))

    last = len(ITEMS) - 1
    assert back == {field: [last - i for i in places] for field, places in there.items()}


def test_parts_of_a_moment_keep_the_order_of_the_layout():
    """Date, time and zone are joined in that order, wherever they stand."""
    match = pos.recognise(ITEMS[::-1])

    assert [ITEMS[::-1][i] for i in fields(match)["sales.sold_at"]] == ["Date", "Time", "Time Zone"]


def test_every_column_is_loaded_dropped_or_listed():
    """No column disappears without a word."""
    for header in HEADERS.values():
        match = pos.recognise(header)

        assert len(match.picks) + len(match.dropped) + len(match.unmapped) == len(header)


def test_older_names_of_a_column_are_known():
    """Square once wrote Other Tender Note, Shopify writes Variant Barcodes, Toast Discnt."""
    older = {
        "Tender Note": "Other Tender Note",
        "Variant Barcode": "Variant Barcodes",
        "Discount": "Discnt",
        "URL handle": "Handle",
    }
    for name in ("square.transactions", "shopify.products.legacy", "toast.items"):
        match = pos.recognise([older.get(h, h) for h in HEADERS[name]])

        assert match.layout.id == name
        assert fields(match) == fields(pos.recognise(HEADERS[name]))
    assert pos.recognise(
        [older.get(h, h) for h in HEADERS["shopify.products"]]
    ).layout.id == "shopify.products"  # fmt: skip


def test_columns_per_store_carry_the_store():
    """Stock of two places is not mixed up."""
    match = pos.recognise([*HEADERS["square.catalog"], "Current Quantity Harbour"])

    assert [p.group for p in match.picks if p.group] == ["Main St", "Harbour"]


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("shopify.customers", "Birth date (customer.metafields.facts.birth_date)"),
        ("shopify.customers", "Accepts WhatsApp Marketing"),
        ("shopify.products.legacy", "Price / United Kingdom"),
        ("shopify.products.legacy", "Colour (product.metafields.shop.colour)"),
        ("stripe.payments", "order (metadata)"),
        ("square.catalog", "Tax - City (1%)"),
        ("woocommerce.products", "Meta: _note"),
    ],
)
def test_metafields_markets_and_taxes_are_listed_and_not_loaded(name, extra):
    """Columns that each shop adds for itself are shown to the owner, not taken in unseen."""
    match = pos.recognise([*HEADERS[name], extra])

    assert match.layout.id == name
    assert extra in match.unmapped


def test_a_header_that_stands_twice_fills_a_text_together_and_an_amount_once():
    """Lightspeed writes Sub Category three times; two totals must not be joined to one."""
    match = pos.recognise([*HEADERS["lightspeed.items"], "Default Price"])

    assert len(fields(match)["categories.below"]) == 3
    assert len(fields(match)["products.price_cents"]) == 1
    assert "Default Price" in match.unmapped


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("Card Number", "card number"),
        ("card_number", "card number"),
        ("CREDIT CARD #", "card number"),
        ("creditcardnumber", "card number"),
        ("PAN", "card number"),
        ("Full PAN", "card number"),
        ("Kreditkartennummer", "card number"),
        ("Numéro de carte", "card number"),
        ("Número de tarjeta", "card number"),
        ("カード番号", "card number"),
        ("CVV", "security code"),
        ("cvc2", "security code"),
        ("Card CVV Code", "security code"),
        ("Security code", "security code"),
        ("Kartenprüfnummer", "security code"),
        ("Código de seguridad", "security code"),
        ("Track 2", "track data"),
        ("track_1_data", "track data"),
        ("Magnetic stripe", "track data"),
        ("PIN", "card PIN"),
        ("customer_ip_address", "network address"),
        ("IP", "network address"),
        ("Browser IP", "network address"),
        ("customer_user_agent", "browser"),
        ("User Agent", "browser"),
        ("ＣＶＶ\u200b", "security code"),
    ],
)
def test_forbidden_columns_are_dropped_in_every_export(header, why):
    """Card, network and browser data never become cells, whoever exported them."""
    match = pos.recognise([*ITEMS, header])

    assert match.dropped == ((header, why),)
    assert len(ITEMS) not in [p.index for p in match.picks]


@pytest.mark.parametrize(
    "header",
    ["PAN Suffix", "Card CVC Status", "Credit Card Transaction ID", "Credit Card Auth Code",
     "Card", "Card Last4", "Tip", "Zip", "Shipping", "Company", "Trace ID", "Spanish name"],
)  # fmt: skip
def test_harmless_names_are_not_taken_for_card_data(header):
    """The last four digits and the result of a check may be kept."""
    assert pos.forbidden(header) == ""


def test_labels_in_another_language_are_confirmed_once():
    """A WooCommerce shop in Spain reads its own report."""
    words = {"Nombre": "Name", "Usuario": "Username", "Correo electrónico": "Email",
             "Gasto total": "Total Spend", "VMP": "AOV"}  # fmt: skip

    match = pos.recognise([*words], confirmed=words)

    assert match.layout.id == "woocommerce.customers"
    assert fields(match)["customers.email"] == [2]


@pytest.mark.parametrize(
    "confirmed",
    [{"Foo": "No such header"}, {"Kartennummer": "Email"}, {"Foo": "Card number"}],
    ids=["leads nowhere", "from card numbers", "to card numbers"],
)
def test_refuses_mappings(confirmed):
    """A mapping can name a column, not smuggle one in."""
    with pytest.raises(pos.BadMapping):
        pos.recognise(ITEMS, confirmed=confirmed)


def test_unknown_layout_names_the_nearest_and_what_it_needs():
    """The owner learns which export to make again, and which column is nearly right."""
    header = ["Date", "Item", "Quantity", "Gross Sale", "Net Sales", "Transaction ID"]

    with pytest.raises(pos.UnknownLayout) as caught:
        pos.recognise(header)

    assert caught.value.nearest == "square.items"
    assert caught.value.missing == ("Qty", "Gross Sales")
    assert '"Gross Sales" (column 4 is nearly it)' in str(caught.value)


def test_a_wrong_layout_name_gets_a_hint():
    """A slip of the pen costs a second."""
    with pytest.raises(pos.UnknownLayout, match="did you mean square.items; kit tills lists them"):
        pos.recognise(ITEMS, layout="square.item")


def test_the_owner_may_say_which_layout_but_not_without_its_columns():
    """A file is never read as what it is not."""
    assert pos.recognise(ITEMS, layout="square.items").layout.id == "square.items"
    with pytest.raises(pos.UnknownLayout, match="stripe.payments"):
        pos.recognise(ITEMS, layout="stripe.payments")


def test_a_forbidden_header_rules_a_layout_out(tmp_path):
    """Two dialects are told apart by what the other one must not have."""
    where = folder(tmp_path, GOOD.replace('row = "sale"', 'row = "sale"\nforbidden = ["What"]'))

    assert pos.recognise(["When", "Total"], folder=where)
    with pytest.raises(pos.UnknownLayout, match="ruled out"):
        pos.recognise(["When", "Total", "what"], folder=where)


def test_a_tie_is_asked_and_not_guessed(tmp_path):
    """Between two vendors the owner decides."""
    where = folder(tmp_path, GOOD, GOOD.replace("test.sales", "test.other"))

    with pytest.raises(pos.AmbiguousLayout) as caught:
        pos.recognise(["When", "Total"], folder=where)

    assert caught.value.candidates == ("test.sales", "test.other")
    assert pos.recognise(["When", "Total"], layout="test.other", folder=where)


@settings(max_examples=50, deadline=None)  # 25 layouts are compared each time
@given(cells=st.lists(st.text(max_size=20), max_size=8), at=st.integers(0, 8))
def test_a_file_without_a_header_is_not_quoted_in_the_error(cells, at):
    """Where the first line is a customer, the message must not hold the customer."""
    first = [*cells[:at], CANARY, *cells[at:]]

    for layout in (None, "square.items"):
        with pytest.raises(pos.PosError) as caught:
            pos.recognise(first, layout=layout)
        assert CANARY not in f"{caught.value!r} {vars(caught.value)}"


@settings(max_examples=50, deadline=None)
@given(header=st.lists(st.text(max_size=12), max_size=6))
def test_any_header_is_recognised_or_refused_within_the_family(header):
    """Whatever a file begins with, the owner gets one plain line."""
    try:
        pos.recognise(header)
    except pos.PosError as error:
        assert "\n" not in str(error)


def but(old, new):
    """Return the good layout with one thing changed."""
    assert old in GOOD
    return GOOD.replace(old, new)


MONEY = 'type = "money"'
TWICE = 'column = [{ header = "What", field = "sales.sold_at", type = "datetime" },'
BROKEN = {
    "not TOML": ("[[layout]", "the whole file"),
    "no vendor": (but('vendor = "Test"', ""), "the whole file"),
    "unknown key": (but("row =", "rows ="), "test.sales"),
    "missing key": (but('title = "Test sales"', ""), "test.sales"),
    "wrong shape": (but('row = "sale"', "row = 1"), "row"),
    "number in a list": (but('"What", ', "3, "), "header"),
    "bad id": (but("test.sales", "Test Sales"), "id"),
    "bad status": (but("verified", "sure"), "status"),
    "bad month": (but("2026-11", "November"), "seen"),
    "bad row": (but('row = "sale"', 'row = "thing"'), "row"),
    "claims though unverified": (but('"verified"', '"unverified"'), "status"),
    "nothing required": (but('["When", "Total"]', "[]"), "required"),
    "required unknown": (but('["When", "Total"]', '["Nope"]'), "required"),
    "unknown type": (but('"money"', '"cash"'), "Total"),
    "type against name": (but('"money"', '"text"'), "Total"),
    "name against type": (but('sold_at", type = "datetime"', 'x", type = "date"'), "When"),
    "bad field": (but('field = "sales.total_cents"', 'field = "total_cents"'), "Total"),
    "two of a header": (but('header = "When", field', 'header = "total", field'), "Total"),
    "filled twice": (but("column = [", TWICE), "When"),
    "header and match": (but(MONEY, 'type = "money", match = "x"'), "Total"),
    "bad pattern": (but('header = "When"', 'match = "("'), "("),
    "bad sign": (but(MONEY, 'type = "money", sign = 2'), "Total"),
    "fill without a key": (but(MONEY, 'type = "money", fill = true'), "Total"),
    "fill within no column": (
        but('row = "sale"', 'row = "sale"\nforward_fill = "What"'),
        "forward_f",
    ),
    "loads a card number": (but('header = "When"', 'header = "Card number"'), "Card number"),
    "loads what it drops": (but('row = "sale"', 'row = "sale"\ndrop = ["total"]'), "Total"),
    "total of another field": (but('"Total" = "sales.total', '"Total" = "sales.x'), "totals"),
    "foot of no field": (GOOD + '[layout.foots]\n"sales.x_cents" = "sales.y_cents"', "foots"),
    "misspelt column key": (but(MONEY, 'tpye = "money"'), "Total"),
    "column is no table": (but("column = [", 'column = ["x",'), "column"),
}


@pytest.mark.parametrize(("text", "key"), BROKEN.values(), ids=BROKEN)
def test_refuses_broken_layouts(tmp_path, text, key):
    """Whoever edits a layout is told the file and the key."""
    with pytest.raises(pos.TillError) as caught:
        pos.layouts(folder(tmp_path, text))

    assert caught.value.file == "test0.toml"
    assert key in caught.value.key
    assert "\n" not in str(caught.value)


def test_two_files_cannot_claim_one_id(tmp_path):
    """The id stands in a shop's settings: it must mean one thing."""
    with pytest.raises(pos.TillError, match="taken"):
        pos.layouts(folder(tmp_path, GOOD, GOOD))


def test_the_example_in_these_tests_is_sound(tmp_path):
    """Each broken layout above differs from a good one in one thing."""
    assert [y.id for y in pos.layouts(folder(tmp_path, GOOD))] == ["test.sales"]
