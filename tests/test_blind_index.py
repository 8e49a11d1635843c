"""A customer is found by a sealed e-mail address, and the numbers beside it tell a thief little."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import traceback
import unicodedata
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_store import NOW, new_keyring

from kit.blind_index import (
    KINDS,
    BadInput,
    BlindIndex,
    BlindIndexError,
    Plan,
    TooTelling,
    normalise,
    plan,
)
from kit.keys import NoSuchKey

RING = new_keyring()
INDEX = BlindIndex(RING)
EMAIL = {"kind": "e-mail", "bits": 12}
TABLE = [  # rows, and the fewest and most bits: 2 <= rows / 2**bits <= sqrt(rows)
    (16, 2, 3),
    (100, 4, 5),
    (1_000, 5, 8),
    (10_000, 7, 12),
    (100_000, 9, 15),
    (1_000_000, 10, 18),
]


class FixedKey:
    """A key that does not change, for the vectors below."""

    id = 7
    secret = bytes(range(32))

    def primary(self, purpose):
        """Return itself: it is the keyring too."""
        assert purpose == "index"
        return self


def plainly(secret, column, value, bits):
    """Compute a number from the description alone, with Python's own HMAC."""
    framed = b"".join(
        len(part).to_bytes(2, "big") + part
        for part in (b"kit/bidx/v1", column.encode(), value.encode())
    )
    whole = int.from_bytes(hmac.digest(secret, framed, hashlib.sha256), "big")
    return whole >> (256 - bits)


@given(value=st.text(min_size=1), bits=st.integers(1, 63))
def test_a_number_is_the_documented_one(value, bits):
    """Another program can find the same rows from the description alone."""
    found = INDEX.number("customers.name", value, kind="exact", bits=bits)
    normal = unicodedata.normalize("NFC", value)

    assert found == plainly(RING.primary("index").secret, "customers.name", normal, bits)
    assert 0 <= found < 2**bits


@pytest.mark.parametrize(
    ("column", "kind", "value", "bits", "number"),
    [
        ("customers.email", "e-mail", "Ana@Example.COM ", 12, 2604),
        ("customers.email", "e-mail", "ana@example.com", 63, 5864259314218809292),
        ("suppliers.email", "e-mail", "ana@example.com", 12, 525),
        ("customers.phone", "phone", "+1 (212) 555-0143", 9, 124),
        ("customers.phone", "last 4 digits", "(212) 555-0143", 5, 2),
        ("customers.name", "name", "JOSE\u0301  Garc\u00eda", 8, 177),
    ],
)
def test_old_numbers_are_found_again(column, kind, value, bits, number):
    """The numbers stored by the first version still find their rows."""
    assert BlindIndex(FixedKey()).number(column, value, kind=kind, bits=bits) == number


def test_framing_keeps_column_and_value_apart():
    """A value that begins like the end of a column's name is not confused with it."""
    one = INDEX.number("a.b", "c" * 10, kind="exact", bits=63)
    two = INDEX.number("a.bc", "c" * 9, kind="exact", bits=63)

    assert one != two


def test_a_column_and_its_values_agree():
    """What is stored for a whole column is what a search for one value looks for."""
    values = ["ana@example.com", None, "Ben@example.com", "", "  ", float("nan"), pd.NA]
    found = INDEX.numbers("customers.email", values, **EMAIL)

    assert found[0] == INDEX.number("customers.email", "ANA@example.com", **EMAIL)
    assert found[2] == INDEX.number("customers.email", "ben@example.com", **EMAIL)
    assert found[1] is found[3] is found[4] is found[5] is found[6] is None
    for column in (pd.Series(values[:2]), pa.array(values[:2]), np.array(values[:2], dtype=object)):
        assert INDEX.numbers("customers.email", column, **EMAIL) == found[:2]


def test_a_search_finds_every_row_and_few_others():
    """Of 10,000 customers some hundred are decrypted for one search, and the right one is there."""
    emails = [f"customer{i}@example.com" for i in range(10_000)]
    bits = plan(emails).bits
    stored = INDEX.numbers("customers.email", emails, kind="e-mail", bits=bits)
    hits = Counter(stored)

    for wanted in (0, 17, 9_999):
        number = INDEX.number("customers.email", emails[wanted].upper(), kind="e-mail", bits=bits)
        assert stored[wanted] == number
        assert 2 <= hits[number] <= 3 * plan(emails).hits(bits)
    assert max(hits.values()) <= 2 * math.sqrt(10_000)


def test_numbers_of_two_keys_are_searched_while_a_rotation_runs():
    """The number carries no key id; it is stored beside it, and both numbers are looked for."""
    ring = new_keyring()
    index = BlindIndex(ring)
    old_id, old = index.key_id, index.number("customers.email", "ana@example.com", **EMAIL)
    ring.rotate("index", now=NOW)
    again = index.number("customers.email", "ana@example.com", key_id=old_id, **EMAIL)

    assert again == old
    assert index.key_id == ring.primary("index").id != old_id
    wide = {"kind": "e-mail", "bits": 63}
    new = index.number("customers.email", "ana@example.com", **wide)
    assert new != index.number("customers.email", "ana@example.com", key_id=old_id, **wide)
    with pytest.raises(NoSuchKey):
        index.number("customers.email", "ana@example.com", key_id=1, **EMAIL)


# --- one spelling


@pytest.mark.parametrize(
    ("kind", "spellings", "normal"),
    [
        ("name", ["José García", "Jose\u0301 Garci\u0301a", " JOSÉ\tGARCÍA ", "José\u00a0García"],
         "josé garcía"),
        ("name", ["Straße", "STRASSE", "straſſe"], "strasse"),
        ("name", ["ﬁona", "FIONA"], "fiona"),
        ("name", ["ß\u0301", "ss\u0301", "S\u015a"], "s\u015b"),  # takes two rounds
        ("name", ["K", "k", "\u212a"], "k"),
        ("e-mail", ["Ana@Example.com", "ana@example.com\n", " ANA@EXAMPLE.COM", "ａna@example.com"],
         "ana@example.com"),
        ("phone", ["+12125550143", "+1 212 555-0143", "+1 (212) 555.0143"], "+12125550143"),
        ("phone", ["＋１ ２１２ ５５５ ０１４３"], "+12125550143"),
        ("last 4 digits", ["+12125550143", "555-0143", "0143", "555 01 43 ", "０１４３"], "0143"),
        ("exact", ["é", "e\u0301"], "é"),
        ("exact", [" A "], " A "),
    ],
)  # fmt: skip
def test_one_value_has_one_spelling(kind, spellings, normal):
    """A customer is found however the name was typed."""
    assert {normalise(kind, spelling) for spelling in spellings} == {normal}


@given(value=st.text(), kind=st.sampled_from(["e-mail", "name", "exact"]))
def test_how_letters_are_put_together_makes_no_difference(value, kind):
    """One keyboard writes é as one character, another as two."""
    composed, apart = (unicodedata.normalize(form, value) for form in ("NFC", "NFD"))

    assert normalise(kind, composed) == normalise(kind, apart) == normalise(kind, value)


@given(value=st.text(), kind=st.sampled_from(["e-mail", "name", "exact"]))
def test_a_normal_spelling_stays_as_it_is(value, kind):
    """Normalising twice is normalising once."""
    once = normalise(kind, value)

    assert once is None or normalise(kind, once) == once


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"last 4 digits"}))
def test_nothing_is_none(kind):
    """An empty cell has no number; otherwise all empty cells would share one."""
    assert normalise(kind, "") is None
    with pytest.raises(BadInput, match="nothing to look for"):
        INDEX.number("customers.x", "", kind=kind, bits=5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        pytest.param(("customers.email", "Zyx", "surname", 5), "a kind is one of", id="kind"),
        pytest.param(("email", "Zyx", "name", 5), "table.column", id="no table"),
        pytest.param(("a.b.c", "Zyx", "name", 5), "table.column", id="two dots"),
        pytest.param(("a.b\n", "Zyx", "name", 5), "table.column", id="line end"),
        pytest.param(("a.b", "Zyx", "name", 0), "bits are 1 to 63", id="no bits"),
        pytest.param(("a.b", "Zyx", "name", 64), "bits are 1 to 63", id="64 bits"),
        pytest.param(("a.b", b"Zyx", "name", 5), "not text but bytes", id="bytes"),
        pytest.param(("a.b", 5550143, "phone", 5), "not text but int", id="a number"),
        pytest.param(("a.b", "212 555 0143", "phone", 5), "country", id="no country"),
        pytest.param(("a.b", "+012125550143", "phone", 5), "country", id="country 0"),
        pytest.param(("a.b", "Zyx 014", "last 4 digits", 5), "fewer than 4", id="three digits"),
        pytest.param(("a.b", "Zyx\ud800", "name", 5), "half a character", id="half a character"),
        pytest.param(("a.b", "Zyx" + "x" * 65_533, "exact", 5), "65,535", id="65,536 bytes"),
    ],
)
def test_refuses(call, says):
    """What cannot be searched by is refused with its place, and never shown."""
    column, value, kind, bits = call
    with pytest.raises(BadInput, match=says) as caught:
        INDEX.numbers(column, [None, value], kind=kind, bits=bits)

    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert isinstance(caught.value, BlindIndexError)
    assert not re.search(r"Zyx|5550143|555 0143", shown)
    if column == "a.b" and 1 <= bits <= 63:
        assert str(caught.value).startswith("a.b, value 2: ")


# --- how many bits


@pytest.mark.parametrize(("rows", "fewest", "most"), TABLE)
def test_a_plan_is_the_documented_one(rows, fewest, most):
    """From 16 rows to a million, with all values different."""
    found = plan(range(rows))

    assert found == Plan(fewest, most, rows)
    assert found.bits == fewest
    assert 2 <= found.hits(most) <= found.hits(fewest) <= math.sqrt(rows)
    assert found.hits(most + 1) < 2
    assert found.hits(fewest - 1) > math.sqrt(rows)


@given(rows=st.integers(16, 3_000))
def test_a_plan_keeps_its_rule_at_every_size(rows):
    """Two rows share a number at least; and no search decrypts more than the root of all."""
    found = plan(range(rows))

    assert 2 <= found.hits(found.most) <= found.hits(found.bits) <= math.sqrt(rows)


def test_a_plan_for_a_table_that_grows():
    """A shop with 1,000 customers plans for 100,000; so many values must be there already."""
    assert plan(range(1_024), rows=100_000) == Plan(9, 9, 100_000)
    assert plan(range(1_000), rows=10) == plan(range(1_000))
    with pytest.raises(TooTelling, match="only 1000 different values.* 1024 or more"):
        plan(range(1_000), rows=100_000)


def test_empty_cells_do_not_count():
    """A column that few customers filled in is as small as it is."""
    assert plan([None, float("nan"), pd.NA, *range(100)]) == plan(range(100))
    assert plan(pa.array([None, *range(100)])) == plan(np.arange(100)) == plan(range(100))
    with pytest.raises(TooTelling, match="15 rows: decrypt them all"):
        plan([*range(15), None, None])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param(range(15), "15 rows", id="15 rows"),
        pytest.param([], "0 rows", id="no rows"),
        pytest.param(["yes", "no"] * 500, "only 2 different values", id="yes and no"),
        pytest.param([f"country {i % 40}" for i in range(1_000)], "only 40", id="countries"),
        pytest.param(["Zyx"] * 60 + list(range(940)), "one value fills 6%", id="a common surname"),
        pytest.param(["Zyx"] * 5 + list(range(11)), "one value fills 31%", id="16 rows, skewed"),
    ],
)
def test_a_column_that_counting_gives_away_is_refused(values, says):
    """Whoever knows that most customers are called Smith knows which number is Smith."""
    with pytest.raises(TooTelling, match=says) as caught:
        plan(values)

    assert "; " in str(caught.value) or ", " in str(caught.value)
    assert "Zyx" not in "".join(traceback.format_exception(caught.value))


def test_a_value_as_frequent_as_a_number_may_be_is_taken():
    """The largest number, not the mean, is measured: 31 of 1,000 rows are under the root."""
    assert plan(["Zyx"] * 31 + list(range(969))).fewest == 5
    with pytest.raises(TooTelling, match="one value"):
        plan(["Zyx"] * 32 + list(range(968)))


def test_few_different_values_lower_the_most_bits():
    """With 64 different values in 1,000 rows, two values at least share each number."""
    assert plan([i % 64 for i in range(1_000)]) == Plan(5, 5, 1_000)
    assert plan([i % 128 for i in range(1_000)]) == Plan(5, 6, 1_000)


def test_indexes_over_one_column_share_a_budget():
    """The whole phone number and its last four digits together tell no more than one may."""
    first = plan(range(1_000))
    second = plan(range(1_000), taken=first.bits)

    assert (first.bits, first.most) == (5, 8)
    assert second == Plan(3, 3, 1_000)
    assert first.bits + second.bits <= first.most
    assert plan(range(1_000), taken=2) == Plan(5, 6, 1_000)
    assert plan(range(1_000), taken=7).bits == 1
    with pytest.raises(TooTelling, match="take 8 bits; drop one of them"):
        plan(range(1_000), taken=8)


def test_rows_share_their_numbers_evenly():
    """Even with the most bits of a plan, few rows have a number to themselves."""
    emails = [f"customer{i}@example.org" for i in range(20_000)]
    bits = plan(emails).most
    numbers = BlindIndex(FixedKey()).numbers("t.c", emails, kind="e-mail", bits=bits)
    found = Counter(numbers)
    alone = sum(1 for count in found.values() if count == 1)

    assert len(found) > 0.9 * 2**bits
    assert alone / len(emails) < 0.1
