"""A column is told by its name in any of the tills' languages, and a cell by proof."""

from __future__ import annotations

import pytest

from kit import personal


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Email", "e-mail"),
        ("customers.email", "e-mail"),
        ("billing_email", "e-mail"),
        ("CorreoElectrónico", "e-mail"),
        ("Default Address Phone", "phone"),
        ("Téléphone", "phone"),
        ("Geburtsdatum", "birthday"),
        ("date_of_birth", "birthday"),
        ("firstName", "name"),
        ("Order Employee Name", "name"),
        ("Street Address 1", "address"),
        ("Straße", "address"),
        ("customer_ip_address", "ip address"),
        ("Social Security Number", "government id"),
        ("Ｃａｒｄ　ｎｕｍｂｅｒ", "card number"),
        ("Kreditkartennummer", "card number"),
        ("CVV2", "security code"),
        ("Track 2", "track data"),
        ("Email Subscription Status", ""),
        ("Accepts SMS Marketing", ""),
        ("Item Name", ""),
        ("Device Name", ""),
        ("Card", ""),  # an amount column of one till
        ("Qty", ""),
        ("", ""),
    ],
)
def test_a_name_says_what_its_column_holds(name, kind):
    """Columns are recognised as tills write them, and consent flags are not addresses."""
    assert personal.meaning(name).kind == kind


@pytest.mark.parametrize(
    "name",
    [
        "Order Id",
        "Transaction ID",
        "Trace ID",
        "GTIN",
        "Barcode",
        "UPC",
        "Credit Card Transaction ID",
        "Credit Card Auth Code",
        "PAN Suffix",
        "Card Last4",
        "Card CVC Status",
        "card_token",
        "Gift Card Number",
        "Bestellnummer",
    ],
)
def test_a_name_says_where_no_card_number_is(name):
    """Long numbers in these columns are the till's own."""
    assert personal.meaning(name).id


@pytest.mark.parametrize("name", ["Notes", "Order note", "Payment Note", "Memo", "Bemerkung"])
def test_a_note_about_an_order_is_a_note(name):
    """The word order in its name does not excuse what stands in it."""
    assert personal.meaning(name).free
    assert not personal.meaning(name).id


def test_a_products_name_is_nobodys_name():
    """The file says whose name it is."""
    assert personal.meaning("name", where="products").kind == ""
    assert personal.meaning("products.name").kind == ""
    assert personal.meaning("name", where="customers").kind == "name"


@pytest.mark.parametrize(
    ("kind", "text", "example"),
    [
        ("e-mail", "Ana <ana@example.com>", "a***@example.com"),
        ("e-mail", "mailto:ana@example.com.", "a***@example.com"),
        ("e-mail", "ana@example", ""),
        ("e-mail", "ana..b@example.com", ""),
        ("phone", "ring (212) 555-0142 please", "*** *** **42"),
        ("phone", "+44 20 7946 0958", "*** *** **58"),
        ("phone", "ring (293) 555-0142", ""),  # no such area code
        ("phone", "2125550142", ""),  # ten digits under any other name are an id
        ("phone", "2026-07-18", ""),
        ("phone", "12.12500000", ""),  # tax with eight decimals
        ("phone", "212.555.0142", "*** *** **42"),
        ("iban", "DE89 3704 0044 0532 0130 00 PLEASE", "DE** **** **** **00"),
        ("iban", "DE88370400440532013000", ""),
        ("ip address", "192.0.2.7", "192.*.*.*"),
        ("ip address", "2001:db8:0:0:0:0:0:1", "2001.*.*.*"),
        ("ip address", "999.1.1.1", ""),
        ("ip address", "12:59:30", ""),
        ("government id", "078-05-1120", "***"),
        ("government id", "666-05-1120", ""),
        ("health word", "nut allergy, take care", "***"),
        ("health word", "we chatted", ""),
    ],
)
def test_a_cell_is_told_by_proof(kind, text, example):
    """Syntax, checksum and numbering plan decide, and what is shown is masked."""
    assert personal.check(kind, text) == example


def test_a_column_called_phone_needs_less_proof():
    """Fictional and newly assigned numbers count where the name vouches for them."""
    assert personal.check("phone", "2125550142", named=True) == "*** *** **42"
    assert personal.check("phone", "12", named=True) == ""


def test_refuses_a_country_it_does_not_know():
    """A typing error must not turn into `no telephone numbers found`."""
    with pytest.raises(personal.BadRegion, match="two letters") as caught:
        personal.check("phone", "2125550142", region="Texas")

    assert isinstance(caught.value, personal.PersonalError)
    assert "212" not in str(caught.value)


def test_a_header_that_may_be_data_is_not_a_name():
    """A file without a header begins with a customer, who must not be shown as a column."""
    assert personal.is_name("Address line 2")
    for cell in ("", "4242424242424242", "ana@example.com", "(212) 555-0142", "12/27"):
        assert not personal.is_name(cell)
