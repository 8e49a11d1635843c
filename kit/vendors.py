# SPDX-License-Identifier: MIT-0
"""Tell every company that has a customer's data when the customer wants it gone, and miss none.

Copy: ``kit copy vendors --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

A shop writes down once who gets what, in ``vendors.toml``::

    format = 1

    [[vendor]]
    name = "Parcel Co"
    role = "service provider"            # or contractor, buyer
    gets = ["addresses", "customers.phone"]   # tables and columns of the inventory
    why = "brings parcels"
    contact = "privacy@parcel.example.com"
    find_by = ["phone"]                  # columns of customers by which it knows them
    send = "raw"                         # or sha256, if that is how it keeps them

`message` makes what is sent to one of them: JSON in the shape of OpenDSR, which large companies
read by program and small ones by eye. Nothing is sent from here.

Source: OpenDSR, specification section 7.1 (names of the fields); whom to tell, 11 CCR 7022(b).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FORMAT = 1
ROLES = ("service provider", "contractor", "buyer")
SEND = ("raw", "sha256")
KINDS = {"delete": "erasure", "know": "access", "categories": "access"}  # ours to OpenDSR's
IDENTITIES = {"email": "email", "phone": "phone_number", "customer_id": "controller_customer_id"}
TEXTS = ("name", "role", "why", "contact")
EXAMPLE = """\
format = 1

[[vendor]]
name = "Parcel Co"
role = "service provider"
gets = ["addresses", "customers.phone"]
why = "brings parcels"
contact = "privacy@parcel.example.com"
find_by = ["phone"]
send = "raw"
"""


class VendorError(Exception):
    """Base of the errors below. Messages never hold a customer's value."""


class BadFile(VendorError):
    """The file cannot be read, or says something that is not allowed."""


class CannotTell(VendorError):
    """Nothing is known by which the company would find the customer."""


@dataclass(frozen=True)
class Vendor:
    """A company that gets data of customers."""

    name: str
    role: str
    gets: tuple[str, ...]
    why: str
    contact: str
    find_by: tuple[str, ...]
    send: str = "sha256"

    def has(self, full_names: Iterable[str]) -> bool:
        """Return whether it gets any of these columns, ``table.column``."""
        return any(n in self.gets or n.partition(".")[0] in self.gets for n in full_names)


def load(path: Path, known: Iterable[str] = ()) -> tuple[Vendor, ...]:
    """Read the file; none means that nobody gets anything.

    Args:
        path: The file.
        known: Every ``table.column`` of the inventory, to find misspelled ones.

    Raises:
        BadFile: It says something that is not allowed; the message says where.
    """
    try:
        return parse(path.read_text(encoding="utf-8-sig"), known, name=path.name)
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        why = type(error).__name__
    raise BadFile(f"{path.name}: cannot be read ({why}); save it again as UTF-8 text")


def parse(
    text: str, known: Iterable[str] = (), *, name: str = "vendors.toml"
) -> tuple[Vendor, ...]:
    """Read vendors from text; *name* stands in the error messages."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        said = {}
    if said.get("format") != FORMAT or set(said) - {"format", "vendor"}:
        raise BadFile(
            f"{name}: not TOML that begins with `format = {FORMAT}` and goes on with sections "
            "[[vendor]]; look for a missing quote or bracket"
        )
    listed = said.get("vendor", [])
    columns = {*known, *(full.partition(".")[0] for full in known)}
    made = tuple(
        _vendor(entry, columns, f"{name}, vendor {n}") for n, entry in enumerate(listed, 1)
    )
    if len({one.name for one in made}) < len(made):
        raise BadFile(f"{name}: two vendors have one name; give each its own")
    return made


def _vendor(entry: Mapping[str, Any], known: set[str], where: str) -> Vendor:
    fields = {*TEXTS, "gets", "find_by", "send"}
    if odd := sorted({*entry, "send"} ^ fields):
        raise BadFile(
            f"{where}: {odd[0]} is missing, or not known; a vendor has {', '.join(TEXTS)}"
        )
    for key in TEXTS:
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise BadFile(f"{where}: {key} must be a text in quotes")
    for key in ("gets", "find_by"):
        if not isinstance(entry[key], list) or not entry[key]:
            raise BadFile(f'{where}: {key} must be a list such as ["addresses"]')
    if entry["role"] not in ROLES:
        raise BadFile(f"{where}: role must be one of: {', '.join(ROLES)}")
    if entry.get("send", SEND[1]) not in SEND:
        raise BadFile(f"{where}: send must be one of: {', '.join(SEND)}")
    if unknown := [one for one in entry["gets"] if known and one not in known]:
        raise BadFile(f"{where}: {unknown[0]} is no table or column of the inventory")
    if unknown := [one for one in entry["find_by"] if one not in IDENTITIES]:
        raise BadFile(f"{where}: find_by is one or more of: {', '.join(IDENTITIES)}")
    lists = {key: tuple(entry[key]) for key in ("gets", "find_by")}
    return Vendor(**{**entry, **lists})


def message(
    vendor: Vendor,
    kind: str,
    customer: Mapping[str, Any],
    *,
    regime: str,
    now: datetime,
) -> bytes:
    """Return what to send to a company about one customer.

    Args:
        vendor: The company.
        kind: One of `KINDS`: what the customer asked.
        customer: Their row, opened; only what is in `Vendor.find_by` is looked at.
        regime: The law's key, or ``voluntary``.
        now: The time, with its zone.

    Returns:
        JSON. Its number is fresh each time, and tells nothing about the customer.

    Raises:
        CannotTell: The customer has nothing by which the company would find them.
    """
    if now.tzinfo is None:
        raise VendorError("a time without a zone; hand over an aware datetime")
    found = [(name, str(customer[name])) for name in vendor.find_by if customer.get(name)]
    if not found:
        raise CannotTell(f"{vendor.name}: the customer has nothing by which it finds them")
    told = {
        "api_version": "2.0",
        "regulation": regime,
        "subject_request_id": str(uuid.uuid4()),
        "subject_request_type": KINDS[kind],
        "submitted_time": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "subject_identities": [
            {
                "identity_type": IDENTITIES[name],
                "identity_value": _hashed(value) if vendor.send == "sha256" else value,
                "identity_format": vendor.send,
            }
            for name, value in found
        ],
        "status_callback_urls": [],
    }
    return json.dumps(told, indent=2).encode() + b"\n"


def _hashed(value: str) -> str:
    """Return the SHA-256 of an address in small letters, as companies keep it."""
    return hashlib.sha256(value.strip().casefold().encode()).hexdigest()
