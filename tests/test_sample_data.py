"""The sample data are made by the kit, are what it makes, and cannot be anybody's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import phonenumbers
import pytest

from kit import cards, files, practice
from kit.inventory import Inventory

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample_data"
PUBLISHED = {  # by payment companies, for tests
    "4242424242424242", "4000056655665556", "4111111111111111", "5555555555554444",
    "5105105105105100", "2223003122003222", "378282246310005", "371449635398431",
    "6011111111111117", "6011000990139424", "3056930009020004", "36227206271667",
    "3566002020360505", "6200000000000005",
}  # fmt: skip


def sample_files():
    """Return every text file of the sample data."""
    return sorted(p for p in SAMPLE.rglob("*") if p.suffix in {".csv", ".toml", ".md"})


def could_ring(number):
    """Say whether somebody could be called: valid, and not set aside for fiction."""
    fiction = re.fullmatch(r"\+1\d{3}55501\d\d", number)
    return not fiction and phonenumbers.is_valid_number(phonenumbers.parse(number))


def test_sample_data_are_what_the_kit_makes():
    """Who runs the generator gets these very files; if not, the message says why."""
    ran = subprocess.run(
        [sys.executable, ROOT / "tests/make_sample_data.py", "--check"],
        capture_output=True,
        text=True,
    )

    assert ran.returncode == 0, ran.stderr


def test_every_address_is_an_example():
    """A message sent by mistake reaches nobody."""
    addresses = re.compile(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)")
    domains = {d.lower() for p in sample_files() for d in addresses.findall(p.read_text("utf-8"))}

    assert domains
    assert domains <= {"example.com", "example.net", "example.org"}


def test_no_phone_number_can_be_called():
    """555-0100 to 555-0199 are set aside for fiction; the rest of ours can never be given out."""
    numbers = set()
    for path in sample_files():
        numbers |= set(re.findall(r"\+1\d{10}\b", path.read_text("utf-8")))

    assert len(numbers) > 50
    assert not [number for number in numbers if could_ring(number)]


def test_every_card_number_is_a_published_one():
    """What looks like a card and adds up like one is on the list of test numbers."""
    found = set()
    for text in (path.read_text("utf-8") for path in sample_files()):
        numbers = [n for n in cards.find(text) if n.trust > cards.NO]
        found |= {re.sub(r"\D", "", text[n.start : n.end]) for n in numbers}

    assert found & PUBLISHED
    assert found <= PUBLISHED


def test_the_planted_card_numbers_are_found_and_no_order_number_is():
    """`kit scan sample_data` names what is planted, and cries wolf over nothing else."""
    report = files.scan_files([SAMPLE], inventory=Inventory.default())
    cards_ = [f for f in report.findings if f.card_data]

    assert {(f.path.parent.name, f.column) for f in cards_} == {
        ("found", "Memo"),
        ("dirty", "note"),
    }
    found = [f for f in cards_ if f.path.parent.name == "found" and f.kind == "card number"]
    assert {row for finding in found for row in finding.rows} == {9, 23, 61}


@pytest.mark.parametrize("locale", ["en_US", "en_GB", "de_DE", "ja_JP", "it_IT"])
def test_no_made_up_customer_can_be_real(locale):
    """In any language: no number that rings, no address that delivers, no card."""
    made = practice.made_up(300, locale=locale)
    for name in made.tables:
        table = made.table(name)
        if "phone" in table.column_names:
            assert not [n for n in table["phone"].drop_null().to_pylist() if could_ring(n)]
        if "email" in table.column_names:
            ends = {e.rpartition("@")[2] for e in table["email"].drop_null().to_pylist()}
            assert ends <= {"example.com", "example.net", "example.org"}
