"""A recipient gets stand-ins that join their tables, and that no other recipient can match."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import traceback

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_store import NOW, new_keyring

from kit.keys import NoSuchKey
from kit.pseudonyms import BadId, NotOurs, Pseudonyms, PseudonymsError

HOUSE, LAB = "pseudonyms:mailing-house", "pseudonyms:lab"
RING = new_keyring(HOUSE, LAB)
OURS = Pseudonyms(RING, "mailing-house")
IDS = ["C-1001", 42, None, "José", "C-1001"]
ids = st.one_of(st.text(min_size=1), st.integers())


class FixedKey:
    """A key that does not change, and the keyring that gives it."""

    id = 7
    secret = bytes(range(64))

    def primary(self, purpose):
        """Return itself."""
        return self

    def find(self, purpose, key_id):
        """Return itself, whatever was asked for."""
        return self


FIXED = Pseudonyms(FixedKey(), "mailing-house")
OLD = "k1.AQAAAAcAvpKxOqB7fhPTvAvDFsMh7VyjHhOfyQ"


def shown(error):
    """Return all that a log could show of an error, and of what it came from."""
    texts = ["".join(traceback.format_exception(error))]
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


@given(customers=st.lists(ids, max_size=20))
def test_reversible_stand_ins_come_back(customers):
    """The shop, and only the shop, can tell who answered the mailing."""
    stand_ins = OURS.reversible(customers)

    assert OURS.reveal(stand_ins) == [str(customer) for customer in customers]
    assert all(re.fullmatch(r"k1\.A[Q-f][\w-]{28,}", text, re.ASCII) for text in stand_ins)


@given(customer=ids)
def test_one_way_stand_ins_are_the_documented_ones(customer):
    """HMAC-SHA256 under HKDF of the key, 80 bits, Crockford's base32, computed by hand."""
    secret = RING.primary(HOUSE).secret
    key = hmac.digest(secret, b"kit/pseudonyms/one-way/v1\x01", hashlib.sha256)
    number = int.from_bytes(hmac.digest(key, f"t{customer}".encode(), hashlib.sha256)[:10], "big")
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    by_hand = "".join(letters[number >> 5 * place & 31] for place in reversed(range(16)))

    assert OURS.one_way([customer]) == [by_hand]


def test_old_stand_ins_are_made_again():
    """Next year's mailing list can be joined with last year's."""
    assert FIXED.one_way(["C-1001", 42]) == ["TVQ9A77HE7DS339S", "4Q17N567KV6NZ4VR"]
    assert FIXED.reversible(["C-1001"]) == [OLD]
    assert FIXED.reveal([OLD]) == ["C-1001"]


@pytest.mark.parametrize("sort", ["one_way", "reversible"])
def test_equal_ids_are_equal_for_one_recipient_and_no_other(sort):
    """Sales join customers at one recipient; two recipients cannot put their lists together."""
    ours = getattr(OURS, sort)(IDS)
    theirs = getattr(Pseudonyms(RING, "lab"), sort)(IDS)

    assert ours[0] == ours[4]
    assert len({*ours, *theirs} - {None}) == 6
    assert ours == getattr(Pseudonyms(RING, "mailing-house"), sort)(IDS)
    assert ours[2] is theirs[2] is None


def test_the_two_sorts_cannot_be_matched():
    """Short and long stand-ins of one customer have nothing in common."""
    short, long = OURS.one_way([42])[0], OURS.reversible([42])[0]
    raw = base64.urlsafe_b64decode(long[3:] + "==")

    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{16}", short)
    assert raw[:5] == b"\x01" + RING.primary(HOUSE).id.to_bytes(4, "big")
    assert len(raw) == 5 + 16 + 1 + 2


def test_numbers_and_their_digits_are_one_customer():
    """A CSV file gives back 42 as text; it is the same customer."""
    assert OURS.one_way([42, "42"]) == OURS.one_way([42]) * 2
    assert OURS.reversible(["42"]) == OURS.reversible([42])
    assert OURS.one_way(["042"]) != OURS.one_way([42])


@pytest.mark.parametrize("nothing", [None, float("nan"), pd.NA, np.nan], ids=repr)
def test_a_sale_without_a_customer_has_no_stand_in(nothing):
    """Otherwise all anonymous sales would look like one very good customer."""
    assert OURS.one_way([nothing]) == OURS.reversible([nothing]) == OURS.reveal([nothing]) == [None]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([7, None], dtype="Int64"),
        pd.Series(["7", None]),
        pa.array([7, None]),
        pa.chunked_array([["7"], [None]]),
        np.array([7, None], dtype=object),
        (value for value in (7, None)),
    ],
    ids=lambda column: type(column).__name__,
)
def test_columns_of_every_library_are_taken(column):
    """A developer hands over the column, gaps and all."""
    stand_ins = pd.Series(OURS.reversible(column))

    assert OURS.reveal(stand_ins) == ["7", None]
    assert OURS.one_way(np.array([7])) == OURS.one_way([7])


def test_a_new_key_changes_every_stand_in_and_old_ones_still_come_back():
    """After a leak the recipient's lists no longer match, and the shop still reads the old one."""
    ring = new_keyring(HOUSE)
    ours = Pseudonyms(ring, "mailing-house")
    old, short = ours.reversible([42]), ours.one_way([42])
    before = ring.primary(HOUSE).id
    ring.rotate(HOUSE, now=NOW)

    assert ours.reversible([42]) != old
    assert ours.one_way([42]) != short
    assert ours.reveal([*old, *ours.reversible([42])]) == ["42", "42"]
    ring.retire(before, in_use=False)
    with pytest.raises(NoSuchKey, match="disabled"):
        ours.reveal(old)


def test_ten_thousand_customers_do_not_collide():
    """80 bits are enough to tell them apart, and 16 letters to read out."""
    found = OURS.one_way(range(10_000))

    assert len(set(found)) == 10_000
    assert {len(stand_in) for stand_in in found} == {16}


def test_tink_opens_them():
    """The format is no invention: the exported keyset opens a reversible stand-in anywhere."""
    tink = pytest.importorskip("tink", reason="no Tink for this system")
    from tink import daead, secret_key_access

    daead.register()
    keyset = tink.json_proto_keyset_format.parse(RING.export_tink(HOUSE), secret_key_access.TOKEN)
    theirs = keyset.primitive(daead.DeterministicAead)
    stand_in = OURS.reversible(["José"])[0]
    raw = base64.urlsafe_b64decode(stand_in[3:] + "==")

    assert theirs.decrypt_deterministically(raw, HOUSE.encode()) == "tJosé".encode()
    assert theirs.encrypt_deterministically("tJosé".encode(), HOUSE.encode()) == raw
    for strange in (b"Zyx", b"t\xffZyx", b""):
        made = theirs.encrypt_deterministically(strange, HOUSE.encode())
        with pytest.raises(NotOurs) as caught:
            OURS.reveal(["k1." + base64.urlsafe_b64encode(made).rstrip(b"=").decode()])
        assert "Zyx" not in shown(caught.value)


# --- what is refused


@pytest.mark.parametrize(
    "customer",
    ["", "Zyx\ud800", 7 * 10**5000, 4.0, True, b"Zyx", ["Zyx"], np.float64(7777), pd.NaT],
    ids=lambda c: type(c).__name__,
)
def test_what_is_no_id_is_refused(customer):
    """42.0 is not 42 to anyone else, so it is said now and not when a join finds nothing."""
    for make in (OURS.one_way, OURS.reversible):
        with pytest.raises(BadId, match=f"id 2 is {type(customer).__name__}.*; an id is") as caught:
            make([1, customer])
        assert isinstance(caught.value, PseudonymsError)
        assert caught.value.__context__ is None
        assert not re.search("Zyx|777|7000", shown(caught.value))


@given(bit=st.integers(0, 8 * 24 - 1))
def test_every_bit_is_protected(bit):
    """No stand-in can be changed into another customer's."""
    raw = bytearray(base64.urlsafe_b64decode(OURS.reversible(["C-1"])[0][3:] + "=="))
    assert len(raw) == 25
    raw[bit // 8] ^= 1 << bit % 8
    altered = "k1." + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    with pytest.raises((NotOurs, NoSuchKey)) as caught:
        OURS.reveal([altered])
    assert isinstance(caught.value, NoSuchKey) == (1 <= bit // 8 <= 4)


@pytest.mark.parametrize(
    ("stand_in", "says"),
    [
        pytest.param("", "number 2 is no reversible", id="empty"),
        pytest.param("C-1001", "number 2 is no reversible", id="an id"),
        pytest.param(OLD[:20], "number 2 is no reversible", id="cut short"),
        pytest.param(OLD[:19], "number 2 is no reversible", id="cut short between two bytes"),
        pytest.param(OLD[:7], "number 2 is no reversible", id="cut short in the header"),
        pytest.param(OLD[3:], "number 2 is no reversible", id="without its beginning"),
        pytest.param(OLD + "=", "number 2 is no reversible", id="with a sign more"),
        pytest.param(OLD[:-1] + "é", "number 2 is no reversible", id="foreign letter"),
        pytest.param("k1.A", "number 2 is no reversible", id="one letter"),
        pytest.param("0123456789ABCDEF", "number 2 is no reversible", id="a one-way one"),
        pytest.param("k1.Ag" + OLD[5:], "number 2 is no reversible", id="version 2"),
        pytest.param(1001, "number 2 is no reversible", id="a number"),
        pytest.param(OLD.encode(), "number 2 is no reversible", id="bytes"),
        pytest.param(OLD[:20] + "x" + OLD[21:], "another recipient or shop, or was", id="altered"),
    ],
)
def test_refuses(stand_in, says):
    """What somebody sends back is opened only if it is what they were sent."""
    with pytest.raises(NotOurs, match=says) as caught:
        FIXED.reveal([None, stand_in])

    assert "; " in str(caught.value)
    assert OLD[8:20] not in shown(caught.value)
    assert "1001" not in shown(caught.value)


def test_another_recipients_stand_in_is_refused():
    """A list that was passed on is noticed, even if somebody gave both the same key."""
    theirs = Pseudonyms(RING, "lab").reversible([42])
    with pytest.raises(NoSuchKey, match="pseudonyms:lab"):
        OURS.reveal(theirs)
    with pytest.raises(NotOurs, match="another recipient"):
        Pseudonyms(FixedKey(), "lab").reveal([OLD])
    with pytest.raises(NoSuchKey, match="recovery copy"):
        Pseudonyms(new_keyring(HOUSE), "mailing-house").reveal(OURS.reversible([42]))


def test_a_recipient_without_a_key_gets_nothing():
    """A stand-in is never made under a key that is another's."""
    for make in ("one_way", "reversible"):
        with pytest.raises(NoSuchKey, match="add one"):
            getattr(Pseudonyms(RING, "nobody"), make)([42])
