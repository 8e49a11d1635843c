"""A stolen database is useless, a token opens only in its place, and old tokens open for ever."""

from __future__ import annotations

import base64
import pickle
import traceback
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from types import SimpleNamespace
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import NOW, new_keyring

from kit import encrypt, keys, kinds
from kit.encrypt import (
    AlreadySealed,
    BadContext,
    BadToken,
    BadValue,
    CannotDecrypt,
    Cipher,
    EncryptError,
    UnknownKey,
    looks_sealed,
    to_bytes,
    to_text,
)

SECRETS = {"field": bytes(range(32)), "deterministic": bytes(range(64))}
HERE = "customers.phone.42"
COLUMN = {"table": "customers", "column": "phone"}

# Made with the first version and kept: if one stops opening, old backups have too.
OLD = "k1.AQAAAAcb0j7foT6qCHU1Va6LriNcuWqofFjj_unz7HnX4EemgGAS9AgH"
OLD_ALIKE = "k1.AQAAAAid5_gdMXjA2Ev9VTv_VUkNFoOynK5KKA4v"
GOLDEN = [
    ("555-0100", OLD),
    ("José", "k1.AQAAAAd10quSt47wVo_Njg1IelCtGL5eVfIiUR5oCTUYUQ0n42VU"),
    ("", "k1.AQAAAAfdh4IjXOZsviwD6WJ3t-Anujag3KkfILrQ74DfwA"),
    (-42, "k1.AQAAAAe-EpK_Vxf_Uh73jNMTJi_g9osoJTlYzvshdSkW7SAmCA"),
    (Decimal("19.90"), "k1.AQAAAAeDjA0Mw0Y-81en5diMNSRSR793jeo4XNdGUeiVpj2j6lyb"),
    (0.1, "k1.AQAAAAel3xklZJud-e4aQQwhGZNfpi61irJ8OnvTKZVOhp2DSg"),
    (True, "k1.AQAAAAew2cttwxn3PsJYa-Jy8v6nKa_6Kr9wHFFrO70qC_s"),
    (date(1984, 2, 29), "k1.AQAAAAfkcGqmyFRbEpeFoxzqOh3F7i5BEgtT9MTb4s3OS-WHyYWgr-f02no"),
    (
        datetime(2026, 11, 1, 1, 30, fold=1, tzinfo=ZoneInfo("America/New_York")),
        "k1.AQAAAAcStR3HIGHh9kyHXXV9h_UcqW-O2i3Z1yR6FnG2j0LNi3Z6TYwhYQppRPeVhTQHZTMSL3A4xSrZI3JkS3e"
        "PAN9az1CpbVJvUOM",
    ),
    (b"\x00\x80\x00", "k1.AQAAAAd4tdm_uzsla--fYEGuAufUovZwKL7GiF920XHXfHqFKw"),
    ("yes", "k1.AQAAAAc43OmnEfzJr3Cb3K7Q0XvH9yHwKz8K0N9bQmiaYJFxjdPWQb8ordb1vJdBPg"),  # padded
]


class NotHere(Exception):
    """What the keyring below raises: an error that encrypt.py has never heard of."""


class Ring:
    """A keyring of one key for each purpose."""

    def __init__(self, secrets=None, field=7, deterministic=8):
        ids = {"field": field, "deterministic": deterministic}
        self.keys = {
            purpose: SimpleNamespace(id=ids[purpose], secret=secret)
            for purpose, secret in (SECRETS if secrets is None else secrets).items()
        }

    def primary(self, purpose):
        """Return the key of a purpose."""
        if purpose not in self.keys:
            raise NotHere("no key for this; add one")
        return self.keys[purpose]

    def find(self, purpose, key_id):
        """Return it if it has this id."""
        if self.primary(purpose).id != key_id:
            raise NotHere(f"no key {key_id}; look in the recovery copy")
        return self.primary(purpose)


class Muddled(Ring):
    """A keyring that gives its one key whatever the id."""

    def find(self, purpose, key_id):
        """Return the key of a purpose."""
        return self.primary(purpose)


CIPHER = Cipher(Ring(), kinds=kinds)
OTHER_SHOP = {"field": bytes(32), "deterministic": bytes(64)}


def place(deterministic):
    """Return the context of the one kind of token or the other."""
    return {
        "context": "customers.phone" if deterministic else HERE,
        "deterministic": deterministic,
    }


def spilled(error):
    """Return all that a log could show of an error: its text, its parts, what it came from."""
    texts = ["".join(traceback.format_exception(error))]
    while error is not None:
        texts += [str(error), repr(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


MODES = pytest.mark.parametrize("deterministic", [False, True], ids=["random", "deterministic"])


@given(value=st.text(), row=st.text(min_size=1), deterministic=st.booleans())
def test_text_round_trip(value, row, deterministic):
    """Whatever a customer's name is written in comes back as it was."""
    where = place(deterministic)
    if not deterministic:
        where["context"] = f"customers.phone.{row}"
    token = CIPHER.seal(value, nested=True, **where)

    assert CIPHER.unseal(token, **where) == value
    assert CIPHER.unseal(to_text(token), **where) == value
    assert len(token) == (22 if deterministic else 34) + len(value.encode())


@pytest.mark.parametrize(("value", "token"), GOLDEN, ids=lambda v: type(v).__name__)
def test_old_tokens_still_open(value, token):
    """The format has not changed since the first version, for any kind of value."""
    opened = CIPHER.unseal(token, context=HERE)

    assert (opened, type(opened)) == (value, type(value))


def test_an_old_deterministic_token_is_made_again_byte_for_byte():
    """A join between an old export and a new one still works."""
    assert to_text(CIPHER.seal("555-0100", **place(True))) == OLD_ALIKE
    assert CIPHER.unseal(OLD_ALIKE, **place(True)) == "555-0100"


def test_layout_is_the_documented_one():
    """Version 1, key id in 4 bytes big-endian, then 12 + 1 + n + 16, or 16 + 1 + n bytes."""
    cipher = Cipher(Ring(field=0x01020304, deterministic=0xF1F2F3F4))
    token, alike = cipher.seal("José", context=HERE), cipher.seal("José", **place(True))

    assert token[:5] == bytes.fromhex("0101020304")
    assert alike[:5] == bytes.fromhex("01f1f2f3f4")
    assert (len(token), len(alike)) == (5 + 12 + 1 + 5 + 16, 5 + 16 + 1 + 5)
    assert to_text(token) == "k1." + base64.urlsafe_b64encode(token).decode().rstrip("=")


def test_same_value_twice_gives_different_tokens():
    """A thief cannot tell which customers share a phone number."""
    tokens = CIPHER.seal_column(["555-0100"] * 100_000, rows=range(100_000), **COLUMN)

    assert len(set(tokens)) == 100_000
    assert len({token[5:17] for token in tokens}) == 100_000  # no nonce twice, over all batches


def test_deterministic_tokens_are_alike_within_a_column_only():
    """Equality shows where it was asked for, and nowhere else."""
    phones = CIPHER.seal_column(["555-0100"] * 2, deterministic=True, **COLUMN)
    other = CIPHER.seal("555-0100", context="suppliers.phone", deterministic=True)

    assert phones[0] == phones[1] != other


@MODES
@pytest.mark.parametrize("pad", [None, 32], ids=["as long as it is", "padded"])
def test_every_length_comes_back(deterministic, pad):
    """From nothing to 300 letters, one by one and as a column."""
    values = ["x" * length for length in range(301)]
    where = {"deterministic": True} if deterministic else {"rows": range(301)}
    tokens = CIPHER.seal_column(values, pad_to=pad, **where, **COLUMN)

    assert CIPHER.unseal_column(tokens, **where, **COLUMN) == values
    assert len(set(map(len, tokens))) == (301 if pad is None else 10)
    one = CIPHER.seal(values[300], pad_to=pad, **place(deterministic))
    assert CIPHER.unseal(one, **place(deterministic)) == values[300]


@MODES
def test_every_bit_is_protected(deterministic):
    """No single bit can change unnoticed, in header, nonce, value or tag."""
    token = CIPHER.seal("555-0100", **place(deterministic))
    errors = {}
    for bit in range(len(token) * 8):
        altered = bytearray(token)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EncryptError) as caught:
            CIPHER.unseal(bytes(altered), **place(deterministic))
        errors.setdefault(bit // 8, set()).add(type(caught.value))

    assert errors[0] == {BadToken}
    assert all(errors[byte] == {UnknownKey} for byte in range(1, 5))
    assert all(errors[byte] == {CannotDecrypt} for byte in range(5, len(token)))


@MODES
def test_every_cut_is_noticed(deterministic):
    """A token that a narrow column cut off is refused, whatever is left of it."""
    token = CIPHER.seal("555-0100", **place(deterministic))
    for left in range(len(token)):
        with pytest.raises((BadToken, CannotDecrypt)):
            CIPHER.unseal(token[:left], **place(deterministic))
        with pytest.raises(EncryptError):
            CIPHER.unseal(to_text(token[:left]), **place(deterministic))


def test_a_text_token_has_one_spelling():
    """No letter can be changed, added or left out; not even the idle bits of the last one."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \n"
    spellings = {OLD[:at] + new + OLD[at + 1 :] for at in range(len(OLD)) for new in letters}
    spellings |= {OLD[:at] + new + OLD[at:] for at in range(len(OLD) + 1) for new in letters}
    opened = []
    for spelling in spellings - {OLD}:
        try:
            opened.append(CIPHER.unseal(spelling, context=HERE))
        except EncryptError:
            continue

    assert opened == []


@pytest.mark.parametrize(
    ("token", "cipher", "where", "error", "says"),
    [
        pytest.param(OLD, Cipher(Ring(OTHER_SHOP)), {"context": HERE}, CannotDecrypt, "wrong key",
                     id="replayed in a shop with a key of the same number"),
        pytest.param(OLD, Cipher(Ring(field=9)), {"context": HERE}, UnknownKey, "no key 7",
                     id="replayed in another shop"),
        pytest.param(OLD, Cipher(Ring({})), {"context": HERE}, UnknownKey, "no key",
                     id="no key at all"),
        pytest.param(OLD, CIPHER, {"context": "customers.phone.7"}, CannotDecrypt, "moved",
                     id="moved to another row"),
        pytest.param(OLD, CIPHER, {"context": "customers.email.42"}, CannotDecrypt, "moved",
                     id="moved to another column"),
        pytest.param(OLD, CIPHER, {"context": "suppliers.phone.42"}, CannotDecrypt, "moved",
                     id="moved to another table"),
        pytest.param(OLD, CIPHER, place(True), UnknownKey, "no key 7",
                     id="random where deterministic is wanted"),
        pytest.param(OLD_ALIKE, CIPHER, {"context": HERE}, UnknownKey, "no key 8",
                     id="deterministic where random is wanted"),
        pytest.param(OLD_ALIKE, CIPHER,
                     {"context": "suppliers.phone", "deterministic": True}, CannotDecrypt, "moved",
                     id="deterministic moved to another table"),
        pytest.param(OLD[:23], CIPHER, {"context": HERE}, BadToken, "cut short to 15 bytes",
                     id="cut short between two bytes"),
        pytest.param(OLD[:21], CIPHER, {"context": HERE}, BadToken, "cut off",
                     id="cut short within a byte, so that idle bits are not zero"),
        pytest.param(to_bytes(OLD)[:3], CIPHER, {"context": HERE}, BadToken, "cut short",
                     id="cut short within the key id"),
        pytest.param("555-0100", CIPHER, {"context": HERE}, BadToken, "ever encrypted",
                     id="never encrypted"),
        pytest.param(b"555-0100", CIPHER, {"context": HERE}, BadToken, "never sealed",
                     id="never encrypted bytes"),
        pytest.param("k1.%%", CIPHER, {"context": HERE}, BadToken, "base64url", id="not base64url"),
        pytest.param("k1.A", CIPHER, {"context": HERE}, BadToken, "base64url", id="one letter"),
        pytest.param("k1.é" + OLD[4:], CIPHER, {"context": HERE}, BadToken, "base64url", id="é"),
        pytest.param("k1.", CIPHER, {"context": HERE}, BadToken, "base64url", id="prefix only"),
        pytest.param("", CIPHER, {"context": HERE}, BadToken, "ever encrypted", id="empty"),
        pytest.param(b"", CIPHER, {"context": HERE}, BadToken, "never sealed", id="empty bytes"),
        pytest.param(b"\x02" + to_bytes(OLD)[1:], CIPHER, {"context": HERE}, BadToken, "newer",
                     id="version 2"),
        pytest.param(bytearray(to_bytes(OLD)), CIPHER, {"context": HERE}, BadToken, "use bytes",
                     id="neither bytes nor text"),
        pytest.param(5550100, CIPHER, {"context": HERE}, BadToken, "int", id="a number"),
        pytest.param(OLD, CIPHER, {"context": "customers.phone"}, BadContext, "rowid", id="no row"),
        pytest.param(OLD, CIPHER, {"context": "customers.phone."}, BadContext, "rowid",
                     id="empty row"),
        pytest.param(OLD, CIPHER, {"context": "customers.pho ne.42"}, BadContext, "letters",
                     id="blank in a name"),
        pytest.param(OLD, CIPHER, {"context": "phone.42"}, BadContext, "letters", id="no table"),
        pytest.param(OLD, CIPHER, {"context": HERE, "deterministic": True}, BadContext,
                     "deterministic", id="deterministic with a row"),
        pytest.param(OLD, CIPHER, {"context": "customers.phone.\ud800"}, BadContext, "row id",
                     id="half a character"),
        pytest.param(OLD, Cipher(Muddled(field=9)), {"context": HERE}, UnknownKey,
                     "another kind", id="a keyring that gives another key than was asked for"),
        pytest.param(OLD, Cipher(Ring({"field": bytes(16)})), {"context": HERE}, UnknownKey,
                     "another kind", id="a key of 16 bytes"),
    ],
)  # fmt: skip
def test_refuses(token, cipher, where, error, says):
    """Every way to hold it wrong has its own error, and none of them leaks."""
    with pytest.raises(EncryptError) as caught:
        cipher.unseal(token, **where)

    shown = spilled(caught.value)
    assert type(caught.value) is error
    assert says in str(caught.value)
    assert "555-0100" not in shown
    assert "5550100" not in shown
    assert OLD[5:21] not in shown
    assert repr(bytes(range(32)))[2:-1] not in shown
    if error is UnknownKey:
        assert caught.value.key_id == (8 if token == OLD_ALIKE else 7)


@given(value=st.text(min_size=6), bit=st.integers(0, 271), mode=st.booleans())
def test_no_refusal_shows_a_secret(value, bit, mode):
    """Neither the value nor the token nor the key is in what a log would keep."""
    token = CIPHER.seal("Zyx-" + value, nested=True, **place(mode))
    altered = bytearray(token)
    altered[bit // 8 % len(token)] ^= 1 << bit % 8
    with pytest.raises(EncryptError) as caught:
        CIPHER.unseal(bytes(altered), **place(mode))

    shown = spilled(caught.value)
    assert "Zyx-" not in shown
    for secret in (token[5:], bytes(altered)[5:], *SECRETS.values()):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
        assert base64.urlsafe_b64encode(secret).decode()[4:-4] not in shown


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param("secret\ud800", "half a character", id="half a character"),
        pytest.param(datetime(1984, 2, 29), "zone", id="no zone"),  # noqa: DTZ001
        pytest.param(10**5000, "4300", id="5,001 digits"),
        pytest.param({"secret": 1}, "dict", id="a mapping"),
        pytest.param(pd.Timestamp("1984-02-29T00:00:00.000000001Z"), "nanoseconds", id="ns"),
    ],
)
def test_what_would_not_come_back_is_refused(value, says):
    """Better an error today than a changed birthday in a restored backup; in columns too."""
    for call in (
        lambda: CIPHER.seal(value, context=HERE),
        lambda: CIPHER.seal_column(["fine", None, value], rows=[1, 2, 3], **COLUMN),
    ):
        with pytest.raises(BadValue, match=says) as caught:
            call()
        assert "secret" not in spilled(caught.value)
        assert "1984" not in spilled(caught.value)
    assert "customers.phone, cell 3" in str(caught.value)


def test_without_kinds_only_text_is_taken():
    """The file works alone, and says what to hand over for the rest."""
    alone = Cipher(Ring())

    assert alone.unseal(OLD, context=HERE) == "555-0100"
    with pytest.raises(BadValue, match="kinds=kinds"):
        alone.seal(42, context=HERE)
    with pytest.raises(BadToken, match="kinds=kinds"):
        alone.unseal(dict(GOLDEN)[-42], context=HERE)


def test_a_value_that_kinds_makes_nothing_of_is_refused():
    """Kinds of your own that give back nothing for a value do not make it vanish."""
    forgetful = SimpleNamespace(write=lambda value: None, read=bytes.decode)

    with pytest.raises(BadValue, match="int"):
        Cipher(Ring(), kinds=forgetful).seal(42, context=HERE)


def test_texts_of_a_subclass_are_texts():
    """An answer out of a Python enumeration is sealed like the word; in a mixed column too."""

    class Answer(StrEnum):
        YES = "yes"

    mixed = CIPHER.seal_column([Answer.YES, 1], rows=[Answer.YES, "b"], **COLUMN)

    assert CIPHER.unseal_column(mixed, rows=["yes", "b"], **COLUMN) == ["yes", 1]
    assert Cipher(Ring()).seal(Answer.YES, context=HERE, pad_to=8)


def test_a_value_cannot_pass_itself_off_as_two():
    """A customer who gets a zero byte into a text shifts no cell of the column."""
    for values in (["a\0tb", 5], ["a\0tb", "c"], ["\0t", "\0"], [5, "\0t"]):
        tokens = CIPHER.seal_column(values, rows=[1, 2], **COLUMN)

        assert CIPHER.unseal_column(tokens, rows=[1, 2], **COLUMN) == values


# --- nothing is sealed twice


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(OLD, id="text"),
        pytest.param(f" {OLD}\n", id="with blanks around"),
        pytest.param(OLD.encode(), id="text as bytes"),
        pytest.param(to_bytes(OLD), id="bytes"),
        pytest.param(to_bytes(OLD_ALIKE), id="deterministic"),
        pytest.param(OLD_ALIKE, id="deterministic text"),
    ],
)
def test_a_token_is_not_sealed_again(token):
    """A script that runs twice does not lock a customer behind two keys."""
    assert looks_sealed(token)
    with pytest.raises(AlreadySealed, match="already") as caught:
        CIPHER.seal(token, context=HERE)
    assert "AQAAA" not in spilled(caught.value)
    for deterministic in (True, False):
        rows = None if deterministic else [1, 2, 3]
        with pytest.raises(AlreadySealed, match="customers.phone, cell 3"):
            CIPHER.seal_column(["a", None, token], rows=rows, deterministic=deterministic, **COLUMN)
    with pytest.raises(AlreadySealed):
        CIPHER.seal(token, context=HERE, pad_to=16)


def test_a_value_that_only_looks_like_a_token_can_be_said_to_be_one():
    """One in 256 random byte strings begins with a 1; a flag lets it pass."""
    value = b"\x01" + bytes(40)
    token = CIPHER.seal(value, context=HERE, nested=True)

    assert CIPHER.unseal(token, context=HERE) == value
    assert CIPHER.seal_column([OLD], rows=[1], nested=True, **COLUMN)


@pytest.mark.parametrize(
    "value",
    ["k1.com", "tok1.example.com", "k1.", "see k1.AQ", b"\x01short", 17, None, "k2." + OLD[3:]],
)
def test_ordinary_values_are_not_taken_for_tokens(value):
    """A web address that begins like a token is sealed without fuss."""
    assert not looks_sealed(value)
    assert CIPHER.unseal(CIPHER.seal(value, context=HERE), context=HERE) == value
    column = CIPHER.seal_column([value, "x"], rows=[1, 2], **COLUMN)
    assert CIPHER.unseal_column(column, rows=[1, 2], **COLUMN) == [value, "x"]


# --- padding


@given(
    value=st.one_of(st.text(max_size=60), st.binary(max_size=60), st.integers()),
    pad=st.integers(2, 64),
    deterministic=st.booleans(),
)
def test_padding_hides_the_length_and_comes_off_again(value, pad, deterministic):
    """A yes looks like a no; a value that ends in zeros keeps them."""
    token = CIPHER.seal(value, pad_to=pad, nested=True, **place(deterministic))

    assert (len(token) - (21 if deterministic else 33)) % pad == 0
    assert CIPHER.unseal(token, **place(deterministic)) == value


def test_yes_and_no_are_of_one_length():
    """The length of a token no longer tells who said yes to letters."""
    column = CIPHER.seal_column(["yes", "no", None, True], rows=[1, 2, 3, 4], pad_to=16, **COLUMN)

    assert {len(token) for token in column if token} == {33 + 16}
    assert CIPHER.unseal_column(column, rows=[1, 2, 3, 4], **COLUMN) == ["yes", "no", None, True]


@pytest.mark.parametrize("pad", [0, 1, -16, 4097, 16.0, True, "16"])
def test_a_padding_that_makes_no_sense_is_refused(pad):
    """A digit too many does not fill the disk, and none too few hides nothing."""
    with pytest.raises(BadValue, match="2 to 4096"):
        CIPHER.seal("yes", context=HERE, pad_to=pad)


# --- whole columns

cells = st.one_of(st.none(), st.text(), st.integers(), st.binary(), st.dates(), st.booleans())


@settings(max_examples=50)
@given(values=st.lists(cells), deterministic=st.booleans(), as_text=st.booleans())
def test_a_column_is_its_cells(values, deterministic, as_text):
    """What is sealed in one go opens one by one, and the other way round; gaps stay gaps."""
    rows = [f"row {i}" for i in range(len(values))]
    place = COLUMN | {"deterministic": deterministic}
    if not deterministic:
        place["rows"] = rows
    tokens = CIPHER.seal_column(values, nested=True, **place)
    where = [
        {"context": "customers.phone" + ("" if deterministic else f".{row}"),
         "deterministic": deterministic}
        for row in rows
    ]  # fmt: skip
    one_by_one = [CIPHER.seal(v, nested=True, **at) for v, at in zip(values, where, strict=True)]
    stored = [t and to_text(t) for t in tokens] if as_text else tokens

    assert [CIPHER.unseal(t, **at) for t, at in zip(tokens, where, strict=True)] == values
    assert CIPHER.unseal_column(one_by_one, **place) == values
    assert CIPHER.unseal_column(stored, **place) == values
    assert [token is None for token in tokens] == [value is None for value in values]


@pytest.mark.parametrize("gap", [False, True], ids=["full", "with gaps"])
@MODES
def test_columns_longer_than_a_batch_keep_their_order(gap, deterministic):
    """Cell 9,001 of a long list is in its place, like the first one."""
    values = [None if gap and i % 7 == 0 else f"customer {i}" for i in range(9_100)]
    where = COLUMN | ({"deterministic": True} if deterministic else {"rows": range(9_100)})
    tokens = CIPHER.seal_column(values, **where)

    assert CIPHER.unseal_column(tokens, **where) == values
    for bad in (0, 1, 4_095, 4_096, 9_001):
        broken = list(tokens)
        if broken[bad] is None:
            continue
        broken[bad] = broken[bad][:-1] + bytes([broken[bad][-1] ^ 1])
        with pytest.raises(CannotDecrypt, match=f"cell {bad + 1}:") as caught:
            CIPHER.unseal_column(broken, **where)
        assert caught.value.cell == bad + 1


def test_a_swap_between_two_rows_is_refused():
    """Nobody gives their own row a rich customer's credit limit."""
    tokens = CIPHER.seal_column(["20", "9000"], rows=[1, 2], table="customers", column="limit")

    with pytest.raises(CannotDecrypt, match="customers.limit, cell 1"):
        CIPHER.unseal_column(tokens[::-1], rows=[1, 2], table="customers", column="limit")
    with pytest.raises(CannotDecrypt):
        CIPHER.unseal_column(tokens, rows=[1, 2], table="customers", column="points")
    with pytest.raises(CannotDecrypt):
        CIPHER.unseal_column(tokens, rows=[1, 2], table="suppliers", column="limit")


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        ("555-0100", BadToken, "ever encrypted"),
        (b"555-0100", BadToken, "never sealed"),
        (to_bytes(OLD)[:33], BadToken, "cut short to 33 bytes"),
        (17, BadToken, "not a token but int"),
    ],
)
def test_a_bad_token_in_a_column_is_named_by_its_number(bad, error, says):
    """The owner is told which cell to look at; nothing of the column is returned."""
    tokens = CIPHER.seal_column(["a", None, "b", "c"], rows=[1, 2, 3, 4], **COLUMN)
    tokens[2] = bad

    with pytest.raises(error, match=f"^customers.phone, cell 3: .*{says}") as caught:
        CIPHER.unseal_column(tokens, rows=[1, 2, 3, 4], **COLUMN)
    assert "555" not in spilled(caught.value)


@pytest.mark.parametrize(
    ("values", "place", "says"),
    [
        (["a", "b"], COLUMN | {"rows": [1]}, "2 values but 1 row ids"),
        ([], COLUMN | {"rows": [1]}, "0 values but 1 row ids"),
        (["a"], COLUMN | {"rows": [None]}, "row id"),
        (["a"], COLUMN | {"rows": [1.0]}, "row id"),
        (["a"], COLUMN | {"rows": [True]}, "row id"),
        (["a"], COLUMN | {"rows": [""]}, "row id"),
        (["a"], COLUMN | {"rows": ["\ud800"]}, "row id"),
        (["a"], COLUMN, "rowid"),
        (["a"], COLUMN | {"rows": [1], "deterministic": True}, "deterministic"),
        (["a"], {"table": "a.b", "column": "c", "rows": [1]}, "letters"),
        (["a"], {"table": "a", "column": "b.c", "rows": [1]}, "letters"),
        (["a"], {"table": "", "column": "c", "rows": [1]}, "letters"),
        (["a"], {"table": "a", "column": "ü", "rows": [1]}, "letters"),
        ([], {"table": "a", "column": "b.c", "rows": []}, "letters"),
        (["a"], {"table": "a", "column": "b\n", "rows": [1]}, "letters"),
    ],
)
def test_a_column_that_does_not_fit_is_refused(values, place, says):
    """No row is lost because a list was short, and no two places share one name."""
    with pytest.raises(BadContext, match=says):
        CIPHER.seal_column(values, **place)
    with pytest.raises(BadContext, match=says):
        CIPHER.unseal_column([to_bytes(OLD) for _ in values], **place)


def test_row_ids_of_any_sort_name_the_same_place():
    """Sealed under the number 42, opened under the text "42"; a UUID by its usual form."""
    uuid = UUID(int=42)
    tokens = CIPHER.seal_column(["a", "b", "c"], rows=[42, uuid, "x\0y.z"], **COLUMN)
    texts = ["42", str(uuid), "x\0y.z"]

    assert CIPHER.unseal_column(tokens, rows=texts, **COLUMN) == ["a", "b", "c"]
    assert CIPHER.unseal(tokens[0], context=HERE) == "a"
    assert CIPHER.unseal(CIPHER.seal("a", context="t.c.0"), context="t.c.0") == "a"
    zero = CIPHER.seal_column(["a"], rows=[0], table="t", column="c")
    assert CIPHER.unseal(zero[0], context="t.c.0") == "a"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(pd.Series(["a", None, "b"]), id="pandas text"),
        pytest.param(pd.Series(["a", None, "b"], dtype=object), id="pandas objects"),
        pytest.param(pd.Series(["a", pd.NA, "b"], dtype="string"), id="pandas string"),
        pytest.param(pa.array(["a", None, "b"]), id="arrow"),
        pytest.param(pa.chunked_array([["a"], [None, "b"]]), id="arrow chunks"),
        pytest.param(np.array(["a", None, "b"], dtype=object), id="numpy"),
        pytest.param(iter(["a", float("nan"), "b"]), id="an iterator"),
        pytest.param(["a", Decimal("NaN"), "b"], id="decimal NaN"),
        pytest.param(["a", pd.NaT, "b"], id="NaT"),
    ],
)
def test_columns_of_every_library_are_taken(values):
    """A developer hands over what they have; empty stays empty."""
    tokens = CIPHER.seal_column(values, rows=pd.Series([1, 2, 3]), **COLUMN)
    back = CIPHER.unseal_column(pd.Series(tokens), rows=pa.array([1, 2, 3]), **COLUMN)

    assert back == ["a", None, "b"]
    assert [type(token) for token in tokens] == [bytes, type(None), bytes]


NEW_YORK = ZoneInfo("America/New_York")
NOON = datetime(2026, 11, 24, 12, 30, tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("values", "back"),
    [
        pytest.param(np.array([1, -2]), [1, -2], id="numpy numbers"),
        pytest.param(np.array([0.5, np.nan]), [0.5, None], id="numpy floats"),
        pytest.param(np.array([True, False]), [True, False], id="numpy flags"),
        pytest.param(np.array(["a", "b"]), ["a", "b"], id="numpy text"),
        pytest.param(np.array([b"a", b"b"]), [b"a", b"b"], id="numpy bytes"),
        pytest.param(
            np.array(["1984-02-29", "NaT"], "datetime64[D]"), [date(1984, 2, 29), None],
            id="numpy dates",
        ),
        pytest.param([np.int64(1), np.str_("k1.b"), 1], [1, "k1.b", 1], id="numpy mixed"),
        pytest.param(pd.Series([1, None], dtype="Int64"), [1, None], id="pandas numbers"),
        pytest.param(pd.Series([True, None], dtype="boolean"), [True, None], id="pandas flags"),
        pytest.param(pd.Series(["a", "b"], dtype="category"), ["a", "b"], id="pandas categories"),
        pytest.param(pd.Series([NOON, None]), [NOON, None], id="pandas moments"),
        pytest.param(pa.array([1, None]), [1, None], id="arrow numbers"),
        pytest.param(pa.array([NOON, None]), [NOON, None], id="arrow moments"),
        pytest.param(pa.array([NOON], pa.timestamp("ns", "UTC")), [NOON], id="arrow nanoseconds"),
        pytest.param(pa.array([date(1984, 2, 29)]), [date(1984, 2, 29)], id="arrow dates"),
        pytest.param(pa.array([Decimal("19.90")]), [Decimal("19.90")], id="arrow decimals"),
        pytest.param(pa.array([b"\0"]), [b"\0"], id="arrow bytes"),
    ],
)  # fmt: skip
def test_a_column_of_any_kind_comes_back_as_it_was(values, back):
    """A birthday comes back a date and a price a Decimal, whatever library held them."""
    rows = range(len(values))
    found = CIPHER.unseal_column(
        CIPHER.seal_column(values, rows=rows, **COLUMN), rows=rows, **COLUMN
    )

    assert found == back
    assert list(map(type, found)) == list(map(type, back))


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.array(["1984-02-29T01:00"], "datetime64[ns]"), id="numpy nanoseconds"),
        pytest.param(np.array(["1984-02-29T01:00"], "datetime64[s]"), id="numpy seconds"),
        pytest.param(np.array([3], "timedelta64[ns]"), id="numpy spans of time"),
        pytest.param(pd.Series(pd.to_datetime(["1984-02-29"])), id="pandas without a zone"),
        pytest.param(pa.array([datetime(1984, 2, 29)]), id="arrow without a zone"),  # noqa: DTZ001
        pytest.param([[1, 2]], id="lists"),
    ],
)
def test_a_column_that_would_come_back_as_another_kind_is_refused(values):
    """NumPy would give out a birthday as a count of nanoseconds, and nobody would notice."""
    with pytest.raises(BadValue, match="would not come back"):
        CIPHER.seal_column(values, rows=[1], **COLUMN)


def test_missing_values_stay_missing():
    """An empty cell is not sealed, and does not need a key."""
    empty = Cipher(Ring({}))
    numbers = [float("nan"), np.float32("nan"), *map(Decimal, ("NaN", "-NaN", "sNaN", "NaN7"))]
    times = [pd.NaT, np.datetime64("NaT"), np.timedelta64("NaT")]
    for nothing in (None, pd.NA, *times, *numbers):
        assert empty.unseal(None, context=HERE) is None
        assert CIPHER.seal(nothing, context=HERE) is None
        assert CIPHER.unseal(nothing, context=HERE) is None
    assert CIPHER.seal_column([], rows=[], **COLUMN) == []
    assert CIPHER.unseal_column([None, None], rows=[1, 2], **COLUMN) == [None, None]
    assert CIPHER.seal_column([None, pd.NA], rows=[1, 2], **COLUMN) == [None, None]


# --- with the real keyring, and with Tink


@pytest.fixture
def ring():
    """Return a real keyring, kept in memory."""
    return new_keyring()


def test_tokens_of_two_keys_open_side_by_side_while_a_rotation_runs(ring):
    """Old and new tokens stand in one column; each opens with its own key."""
    cipher = Cipher(ring, kinds=kinds)
    for deterministic, purpose in ((False, "field"), (True, "deterministic")):
        where = COLUMN | ({"deterministic": True} if deterministic else {"rows": range(6)})
        values = ["a", "b", None, "c", 4, "e"]
        old = cipher.seal_column(values, **where)
        first = ring.primary(purpose).id
        ring.rotate(purpose, now=NOW)
        new = cipher.seal_column(values, **where)
        mixed = [*old[:3], *new[3:]]

        assert cipher.unseal_column(mixed, **where) == values
        mixed[3] = mixed[3][:-1] + bytes([mixed[3][-1] ^ 1])
        with pytest.raises(CannotDecrypt, match="cell 4"):
            cipher.unseal_column(mixed, **where)
        ring.retire(first, in_use=False)
        with pytest.raises(UnknownKey, match="disabled") as caught:
            cipher.unseal_column(old, **where)
        assert caught.value.key_id == first


@MODES
def test_a_key_of_another_purpose_does_not_open(ring, deterministic):
    """A random token laid into a deterministic column is refused as such, and the reverse."""
    cipher = Cipher(ring)
    token = cipher.seal("a", **place(deterministic))

    with pytest.raises(UnknownKey, match="is for (field|deterministic), not for this") as caught:
        cipher.unseal(token, **place(not deterministic))
    assert caught.value.key_id == int.from_bytes(token[1:5], "big")


def test_a_token_of_another_shop_is_refused(ring):
    """What a competitor sealed cannot be slipped into this shop's table."""
    token = Cipher(new_keyring()).seal("a", context=HERE)

    with pytest.raises(UnknownKey, match="recovery copy"):
        Cipher(ring).unseal(token, context=HERE)


def test_a_cipher_is_not_pickled(ring):
    """Keys do not end up in a task graph or a cache on disk."""
    with pytest.raises(keys.KeyringError):
        pickle.dumps(Cipher(ring))
    assert "object at" in repr(Cipher(ring))


@pytest.mark.parametrize("purpose", ["field", "deterministic"])
def test_tink_opens_our_tokens_and_we_open_its(ring, purpose):
    """The format is no invention: any Tink reads it from the exported keyset, and we read its."""
    tink = pytest.importorskip("tink", reason="no Tink for this system")
    from tink import aead, daead, secret_key_access

    aead.register()
    daead.register()
    ring.rotate(purpose, now=NOW)
    keyset = tink.json_proto_keyset_format.parse(ring.export_tink(purpose), secret_key_access.TOKEN)
    cipher, deterministic = Cipher(ring, kinds=kinds), purpose == "deterministic"
    where = place(deterministic)
    at = where["context"].encode()
    if deterministic:
        theirs = keyset.primitive(daead.DeterministicAead)
        seal, unseal = theirs.encrypt_deterministically, theirs.decrypt_deterministically
    else:
        theirs = keyset.primitive(aead.Aead)
        seal, unseal = theirs.encrypt, theirs.decrypt

    for value, written in (("José", b"tJos\xc3\xa9"), ("", b"t"), (-42, b"i-42")):
        assert unseal(cipher.seal(value, **where), at) == written
        assert cipher.unseal(seal(written, at), **where) == value
    assert unseal(cipher.seal("yes", pad_to=8, **where), at) == b"Tyes\x80\0\0\0"
    if deterministic:
        assert seal(b"tJos\xc3\xa9", at) == cipher.seal("José", **where)
    with pytest.raises(tink.TinkError):
        unseal(cipher.seal("a", **where), b"customers.phone.43")
    with pytest.raises(CannotDecrypt):
        cipher.unseal(seal(b"ta", b"customers.phone.43"), **where)
    for strange in (
        b"secret, no letter", b"t\xff secret", b"isecret", b"?", b"Tsecret", b"Tsecret\x80\0x",
        b"T", b"T\0",
    ):  # fmt: skip
        with pytest.raises(BadToken, match="opened, but") as caught:
            cipher.unseal(seal(strange, at), **where)
        assert "secret" not in spilled(caught.value)


def test_messages_say_what_to_do():
    """Each error ends in a next step, small and without a full stop."""
    for call in (
        lambda: CIPHER.unseal(OLD, context="customers.phone.7"),
        lambda: CIPHER.unseal("555-0100", context=HERE),
        lambda: CIPHER.seal(OLD, context=HERE),
        lambda: CIPHER.seal("a", context="phone"),
    ):
        with pytest.raises(EncryptError) as caught:
            call()
        assert "; " in str(caught.value)
        assert not str(caught.value).endswith(".")
    assert encrypt.BATCH == 4096
