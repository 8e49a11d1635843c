"""Nothing leaves the shop before every byte of it was searched."""

from __future__ import annotations

import base64
import html
import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.outgoing import BadName, Leak, OutgoingError, is_card, leaks, pack

SECRET = 'tok_live<7"Fé'
CARDS = ["4242424242424242", "5555 5555 5555 4444", "3782-822463-10005", "6011111111111117",
         "2223003122003222", "30569309025904", "3530111333300000"]  # fmt: skip


@pytest.mark.parametrize("card", CARDS)
def test_published_test_cards_are_found(card):
    """Each brand, with and without blanks, in a text and in JSON."""
    for content in (f"paid {card}.", json.dumps({"n": card}), f"<td>{card}</td>"):
        assert leaks({"a.txt": content.encode()}, []) == ["a.txt: a card number"]


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424241", "1234567890123456", "+1 212-555-0142", "2026-11-24T09:30:00.000000Z",
        "9999999999999995", "a" * 64, "0" * 64, "4242424242424242" * 4, "12,345.67 4,242.00",
        "000-12-3456", "123-45-67890", "987-65-4321", "123-456789", "2026-11-24 4242 42",
    ],
)  # fmt: skip
def test_other_numbers_are_left_alone(text):
    """An order number, a time or a SHA-256 stops no answer."""
    assert leaks({"a.txt": text.encode()}, []) == []


def test_social_security_numbers_are_found():
    """Written with hyphens or blanks."""
    for text in ("123-45-6789", "is 123 45 6789."):
        assert leaks({"a.txt": text.encode()}, []) == ["a.txt: a social security number"]


@pytest.mark.parametrize(
    "form",
    [
        SECRET.encode(),
        html.escape(SECRET).encode(),
        json.dumps({"x": SECRET}).encode(),
        SECRET.encode().hex().encode(),
        SECRET.encode("utf-16-le"),
        base64.b64encode(SECRET.encode()),
        base64.b64encode(b"x" + SECRET.encode() + b"yz"),
        base64.b64encode(b"xy" + SECRET.encode() + b"z"),
    ],
)
def test_a_secret_is_found_however_it_is_written(form):
    """Escaped, in hex, in Base64 at any place, as Windows writes text."""
    assert leaks({"a.bin": b"\x00" + form + b"\xff"}, [SECRET]) == ["a.bin: 1 of the secrets"]
    assert leaks({"a.bin": b"nothing"}, [SECRET]) == []


def test_a_name_is_searched_too():
    """And it is not repeated in the message."""
    found = leaks({"tok_live_123.csv": b""}, ["tok_live_123", "abc", ""])

    assert found == ["the name of a file: 1 of the secrets"]


@given(before=st.binary(max_size=60), after=st.binary(max_size=60), secret=st.binary(min_size=9))
def test_no_secret_hides_between_other_bytes(before, after, secret):
    """Whatever stands around it."""
    text = secret.decode("latin-1")
    content = before + text.encode() + after

    assert any("secrets" in one for one in leaks({"a.bin": content}, [text]))
    encoded = base64.b64encode(content)
    assert any("secrets" in one for one in leaks({"a.bin": encoded}, [text]))


def test_what_is_clean_is_packed_the_same_each_time():
    """No time, no user, no folder of this computer in it."""
    files = {"your-data.html": b"<p>hello", "csv/sales.csv": b"a\r\n" * 50}
    packed = pack(files, secrets=[SECRET])

    assert pack(files) == packed
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        assert {i.filename: opened.read(i) for i in opened.infolist()} == files
        assert {i.date_time for i in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert not any(i.extra or i.comment for i in opened.infolist())
        assert not opened.comment
        assert opened.testzip() is None
    assert b"<p>hello" in packed  # stored as it is, so that it could be searched


@pytest.mark.parametrize(
    ("files", "error"),
    [
        pytest.param({"a.txt": b"4242 4242 4242 4242"}, Leak, id="card number"),
        pytest.param({"a.txt": b"123-45-6789"}, Leak, id="social security number"),
        pytest.param({"a.txt": SECRET.encode()}, Leak, id="secret"),
        pytest.param({"../a.txt": b""}, BadName, id="path upwards"),
        pytest.param({"/a.txt": b""}, BadName, id="path from the root"),
        pytest.param({"a\\b.txt": b""}, BadName, id="path as on Windows"),
        pytest.param({"ana@example.com.txt": b""}, BadName, id="an address"),
        pytest.param({"a\u202etxt.exe": b""}, BadName, id="turned around"),
        pytest.param({"": b""}, BadName, id="no name"),
    ],
)
def test_refuses_to_pack(files, error):
    """Nothing is packed, and the message tells nothing of it."""
    with pytest.raises(error) as caught:
        pack({"good.txt": b"good", **files}, secrets=[SECRET])

    assert isinstance(caught.value, OutgoingError)
    assert not any(word in str(caught.value) for word in ("4242", "6789", "tok_live", "ana@"))


def test_a_number_of_a_card_is_told_from_others():
    """By its beginning, its length and its sum."""
    assert all(map(is_card, CARDS))
    assert not is_card("4242424242424241")
    assert not is_card("9999999999999995")
