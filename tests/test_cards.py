"""A card number in a notes column is found, an order number is not taken for one, none is shown."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import cards

VISA = "4242424242424242"
TEST_NUMBERS = (  # published by payment processors; no card has them
    "4242424242424242 4000056655665556 4111111111111111 5555555555554444 5105105105105100 "
    "2223003122003222 378282246310005 371449635398431 6011111111111117 6011000990139424 "
    "3056930009020004 36227206271667 3566002020360505 6200000000000005"
).split()


def trust(text):
    """Return how far the best number in one cell is trusted."""
    return int(cards.look(pa.array([text], pa.string())).trust[0])


def slow_luhn(number):
    """The checksum as the standard words it, one digit after the other."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value // 10 + value % 10
    return total % 10 == 0


@pytest.mark.parametrize("number", TEST_NUMBERS)
def test_every_published_test_number_is_found(number):
    """All brands a shop takes are known, 14 to 16 digits long."""
    assert trust(number) == cards.PLAIN
    assert trust(f"keep {number} for Ana") == cards.PLAIN


@given(st.lists(st.text("0123456789", min_size=0, max_size=21), max_size=40), st.data())
def test_the_fast_checksum_is_the_slow_one(numbers, data):
    """Speed changed no answer, in slices of a column neither."""
    start = data.draw(st.integers(0, len(numbers)))
    column = pa.array(numbers, pa.string()).slice(start)

    expected = [12 <= len(n) <= 19 and slow_luhn(n) for n in numbers[start:]]
    assert cards.luhn(column).tolist() == expected


@given(st.text("0123456789", min_size=13, max_size=19))
def test_one_text_and_a_column_are_judged_alike(number):
    """A form and a scan do not contradict each other."""
    found = cards.find(number)

    assert (max(n.trust for n in found) > 0) == (trust(number) > 0)


def test_nulls_and_blanks_hold_nothing():
    """An empty column is no error."""
    for column in (pa.array([], pa.string()), pa.array([None, ""]), pa.array(["", "x"]).slice(2)):
        assert not cards.look(column).trust.any()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("4242 4242 4242 4242", cards.GROUPED, id="blanks"),
        pytest.param("4242-4242-4242-4242", cards.GROUPED, id="hyphens"),
        pytest.param("4242.4242.4242.4242", cards.GROUPED, id="dots"),
        pytest.param("4242\u00a04242\u00a04242\u00a04242", cards.GROUPED, id="no-break blanks"),
        pytest.param("4242\u20114242\u20114242\u20114242", cards.GROUPED, id="odd hyphens"),
        pytest.param("4242\r\n4242\r\n4242\r\n4242", cards.GROUPED, id="line breaks"),
        pytest.param("4242 - 4242 - 4242 - 4242", cards.GROUPED, id="spaced hyphens"),
        pytest.param("３７８２ ８２２４６３ １０００５", cards.GROUPED, id="full width, 4-6-5"),
        pytest.param("42424242\u200b42424242", cards.PLAIN, id="invisible blank"),
        pytest.param("'4242424242424242", cards.PLAIN, id="apostrophe guard"),
        pytest.param('="4242424242424242"', cards.PLAIN, id="formula guard"),
        pytest.param("4242424242424242.0", cards.PLAIN, id="stored as a number"),
        pytest.param("12 4242 4242 4242 4242 2 pcs", cards.GROUPED, id="other numbers beside it"),
        pytest.param("4242 4242 4242 4242 12-27", cards.SURE, id="expiry date"),
        pytest.param("42 42 42 42 42 42 42 42 12/27", cards.SURE, id="pairs and expiry date"),
        pytest.param("4242424242424242 cvv 123", cards.SURE, id="security code"),
        pytest.param("visa4242424242424242", cards.SURE, id="brand"),
        pytest.param("Kreditkarte: 4242424242424242", cards.SURE, id="German"),
        pytest.param("order 12 card 4242424242424242", cards.SURE, id="the nearer word wins"),
        pytest.param("card refused, order 4242424242424242", cards.ODD, id="the nearer word, id"),
        pytest.param("order 4242424242424242, pick up 12/24", cards.ODD, id="Christmas Eve"),
        pytest.param("pancakes 4242424242424242", cards.PLAIN, id="pan is a word of its own"),
        pytest.param("Bestellnr. 4242424242424242", cards.ODD, id="compound word"),
        pytest.param("tok_4242424242424242", cards.ODD, id="token"),
        pytest.param("https://example.com/o/4242424242424242", cards.ODD, id="web address"),
        pytest.param("0.4142135623730951", cards.NO, id="decimal"),
        pytest.param("4.242424242424242", cards.NO, id="decimal that begins like a card"),
        pytest.param("a1f4242424242424242b0c", cards.NO, id="inside a hash"),
        pytest.param("1 0 " * 40, cards.NO, id="a table of numbers"),
        pytest.param("+4915112345678", cards.NO, id="telephone"),
        pytest.param("4242424242424241", cards.NO, id="checksum"),
        pytest.param("1300000015734303122", cards.NO, id="19-digit id"),
        pytest.param("0000000000000000", cards.NO, id="zeros"),
        pytest.param("8888888888888888", cards.NO, id="eights"),
        pytest.param("1795520730123", cards.NO, id="epoch in milliseconds"),
        pytest.param("20261124093000", cards.NO, id="time stamp"),
        pytest.param("424242******4242", cards.NO, id="truncated"),
        pytest.param("123456789012", cards.NO, id="12-digit reference"),
    ],
)
def test_a_number_is_trusted_by_how_it_is_written(text, expected):
    """Blanks between the digits hide no card; an order number beside its word raises no alarm."""
    assert trust(text) == expected


@pytest.mark.parametrize(
    ("text", "code", "track"),
    [
        pytest.param("cvv 123", True, False, id="word"),
        pytest.param("sec code: 1234", True, False, id="other word"),
        pytest.param("the CVC is 123", True, False, id="in a sentence"),
        pytest.param("4242 4242 4242 4242 12/27 123", True, False, id="beside number and expiry"),
        pytest.param("4242 4242 4242 4242, 123, 12/27", True, False, id="before the expiry"),
        pytest.param("4242 4242 4242 4242 12/27", False, False, id="no code"),
        pytest.param("amex 3782 822463 10005 cid 1234", True, False, id="American Express's word"),
        pytest.param("regular, cid 1234", False, False, id="a customer's id"),
        pytest.param("room 123", False, False, id="some other number"),
        pytest.param("cvv 12345", False, False, id="five digits"),
        pytest.param("%B4242424242424242^DOE/J^2712101", False, True, id="track 1"),
        pytest.param(";4242424242424242=27121010000", False, True, id="track 2"),
    ],
)
def test_codes_and_stripes_are_told_from_other_text(text, code, track):
    """What may never be kept is found wherever it was typed."""
    seen = cards.look(pa.array([text]))

    assert (bool(seen.code[0]), bool(seen.track[0])) == (code, track)


def test_a_printed_table_of_numbers_is_no_list_of_cards():
    """One in 30 of its groups of four passes; a pasted list of cards passes throughout."""
    table = " ".join(f"{n:04}" for n in np.random.default_rng(7).integers(0, 10_000, 600))
    pasted = "\n".join(["4242 4242 4242 4242", "5555 5555 5555 4444"] * 5)

    assert max(n.trust for n in cards.find(table)) == cards.ODD
    assert [n.trust for n in cards.find(pasted)] == [cards.GROUPED] * 10


def test_a_spreadsheet_that_lost_the_last_digit_is_noticed():
    """Fifteen digits of a card number are still nearly a card number."""
    assert cards.look(pa.array(["4242424242424240"])).rounded.tolist() == [True]


def test_chance_gives_what_the_docstring_says():
    """One random 16-digit number in 30 passes: why a column of order numbers is judged as one."""
    draw = np.random.default_rng(7)
    column = pa.array([f"{number:016}" for number in draw.integers(0, 10**16, 20_000)])

    assert 0.031 < np.mean(cards.look(column).trust > 0) < 0.037


@given(st.sampled_from(TEST_NUMBERS), st.text(max_size=10), st.text(max_size=10))
def test_the_number_is_never_shown(number, before, after):
    """Neither the mask nor anything printed repeats it."""
    text = f"{before} {number} {after}"

    shown = cards.mask(text) + repr(cards.find(text)) + repr(cards.look(pa.array([text])))
    assert number not in shown
    assert number[2:-4] not in shown.replace(" ", "").replace("*", "")


def test_the_mask_shows_two_and_four_digits():
    """Enough to recognise the card on a receipt, too little to pay with."""
    assert cards.mask("card 4242-4242-4242-4242!") == "42** **** **** 4242"
    assert cards.mask("no number here") == ""
