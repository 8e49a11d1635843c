"""Who else has a customer's data is written down once, and told each time."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime

import pytest

from kit import inventory, vendors
from kit.vendors import BadFile, CannotTell, VendorError, load, message, parse

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
KNOWN = list(inventory.Inventory.default().fields)
TEXT = """\
format = 1

[[vendor]]
name = "Parcel Co"
role = "service provider"
gets = ["addresses", "customers.phone"]
why = "brings parcels"
contact = "privacy@parcel.example.com"
find_by = ["phone", "email"]
send = "raw"

[[vendor]]
name = "Mail Co"
role = "contractor"
gets = ["customers.email"]
why = "sends our letters"
contact = "privacy@mail.example.com"
find_by = ["email"]
"""
ANA = {"email": "Ana@Example.com", "phone": None, "first_name": "Ana", "note": "rings the bell"}


def test_who_gets_what_is_read_from_a_file(tmp_path):
    """A table stands for all its columns."""
    path = tmp_path / "vendors.toml"
    path.write_text(TEXT, encoding="utf-8")
    parcel, mail = load(path, KNOWN)

    assert (parcel.name, mail.send) == ("Parcel Co", "sha256")
    assert parcel.has(["addresses.street"])
    assert parcel.has(["customers.phone"])
    assert not parcel.has(["customers.email", "addressesx.street"])


def test_no_file_means_that_nobody_gets_anything(tmp_path):
    """A shop that shares nothing writes nothing."""
    assert load(tmp_path / "vendors.toml") == ()
    assert parse("format = 1\n") == ()


def test_a_message_says_who_and_what_and_no_more():
    """By what the company finds the customer by; not the name, not the note."""
    parcel, mail = parse(TEXT, KNOWN)
    told = json.loads(message(parcel, "delete", ANA, regime="us-ca-ccpa", now=NOW))

    assert told["subject_request_type"] == "erasure"
    assert told["submitted_time"] == "2026-11-24T09:30:00Z"
    assert told["subject_identities"] == [
        {"identity_type": "email", "identity_value": "Ana@Example.com", "identity_format": "raw"}
    ]
    assert uuid.UUID(told["subject_request_id"]).version == 4
    assert "bell" not in str(told)
    hashed = json.loads(message(mail, "delete", ANA, regime="voluntary", now=NOW))
    (identity,) = hashed["subject_identities"]
    assert identity["identity_format"] == "sha256"
    assert identity["identity_value"] == hashlib.sha256(b"ana@example.com").hexdigest()
    assert "ana" not in str(hashed).casefold()


def test_a_company_that_cannot_find_the_customer_is_told_nothing():
    """It is named, so that a person looks into it."""
    parcel, _ = parse(TEXT)
    with pytest.raises(CannotTell, match="Parcel Co") as caught:
        message(parcel, "delete", {"first_name": "Ana"}, regime="voluntary", now=NOW)
    assert "Ana" not in str(caught.value)
    with pytest.raises(VendorError, match="zone"):
        message(parcel, "delete", ANA, regime="voluntary", now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("format = 1", "format = 2", "format = 1"),
        ("format = 1", "format = 1\nmore = 3", "format = 1"),
        ('"Parcel Co"', '"Parcel Co', "missing quote"),
        ('name = "Parcel Co"', "", "vendor 1: name"),
        ('why = "brings parcels"', "why = 3", "vendor 1: why"),
        ('why = "brings parcels"', 'why = "x"\nphone = "y"', "vendor 1: phone"),
        ('"service provider"', '"friend"', "role must be one of"),
        ('send = "raw"', 'send = "md5"', "send must be one of"),
        ('gets = ["addresses", "customers.phone"]', "gets = []", "vendor 1: gets"),
        ("customers.phone", "customers.fone", "customers.fone is no table"),
        ('["phone", "email"]', '["name"]', "find_by is one or more"),
        ("Mail Co", "Parcel Co", "one name"),
    ],
)
def test_refuses(old, new, told):
    """A slip of the pen is found when the file is read, not when a customer is forgotten."""
    with pytest.raises(BadFile, match=told) as caught:
        parse(TEXT.replace(old, new, 1), KNOWN)

    assert isinstance(caught.value, VendorError)


def test_a_file_that_is_no_text_is_named(tmp_path):
    """With what to do."""
    path = tmp_path / "vendors.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="save it again"):
        vendors.load(path)
