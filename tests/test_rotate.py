"""A rotation can stop anywhere and start again; no value is lost and no key retired too early."""

from __future__ import annotations

import sqlite3
import traceback
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import NOW, new_keyring

from kit import kinds
from kit.encrypt import BadContext, CannotDecrypt, Cipher, UnknownKey, to_text
from kit.keys import NotAllowed
from kit.rotate import NotAToken, NotMoved, RotateError, key_ids, reseal

EMAILS = {"table": "customers", "column": "email"}
MODES = pytest.mark.parametrize("deterministic", [False, True], ids=["random", "deterministic"])
FORMS = pytest.mark.parametrize("form", [bytes, to_text], ids=["bytes", "text"])


class Shop:
    """A keyring, a cipher and a sealed column, with the key that is to go and its successor."""

    def __init__(self, size=10, deterministic=False, form=bytes):
        self.ring = new_keyring()
        self.cipher = Cipher(self.ring, kinds=kinds)
        self.purpose = "deterministic" if deterministic else "field"
        self.values = [None if i % 4 == 3 else f"customer{i}@example.com" for i in range(size)]
        self.place = EMAILS | {"deterministic": deterministic}
        if not deterministic:
            self.place["rows"] = list(range(size))
        sealed = self.cipher.seal_column(self.values, **self.place)
        self.old_tokens = [token and form(token) for token in sealed]
        self.old = self.ring.primary(self.purpose).id
        self.new = self.ring.rotate(self.purpose, now=NOW).id

    def reseal(self, tokens, **more):
        """Bring a whole column to the new key."""
        place = self.place | {"cipher": self.cipher, "primary": self.new} | more
        return reseal(tokens, **place)


def shown(error):
    """Return all that a log could show of an error, and of what it came from."""
    texts = ["".join(traceback.format_exception(error))]
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


@FORMS
@MODES
def test_every_value_moves_to_the_new_key(form, deterministic):
    """After it the old key is needed no more, and every address is still there."""
    shop = Shop(deterministic=deterministic, form=form)
    moved = shop.reseal(shop.old_tokens)

    assert key_ids(shop.old_tokens) == {shop.old: 8}
    assert key_ids(moved) == {shop.new: 8}
    assert {type(token) for token in moved} == {type(token) for token in shop.old_tokens}
    shop.ring.retire(shop.old, in_use=lambda key_id: key_id in key_ids(moved))
    assert shop.cipher.unseal_column(moved, **shop.place) == shop.values
    with pytest.raises(UnknownKey, match="disabled"):
        shop.cipher.unseal_column(shop.old_tokens, **shop.place)


@given(done=st.sets(st.integers(0, 9)), deterministic=st.booleans(), as_text=st.booleans())
@settings(max_examples=30)
def test_a_rotation_that_stopped_half_way_goes_on(done, deterministic, as_text):
    """Whatever was moved before the power went is left as it is; the rest follows."""
    shop = Shop(deterministic=deterministic, form=to_text if as_text else bytes)
    first = shop.reseal(shop.old_tokens)
    half = [first[i] if i in done else shop.old_tokens[i] for i in range(10)]
    left = sum(1 for i in range(10) if i not in done and half[i] is not None)
    whole = shop.reseal(half)

    assert key_ids(half).get(shop.old, 0) == left
    assert all(whole[i] is half[i] for i in done)
    assert key_ids(whole) == {shop.new: 8}
    assert shop.cipher.unseal_column(whole, **shop.place) == shop.values


def test_moving_again_changes_nothing():
    """A nightly job that runs twice writes nothing the second time."""
    shop = Shop()
    once = shop.reseal(shop.old_tokens)
    twice = shop.reseal(once)

    assert all(before is after for before, after in zip(once, twice, strict=True))
    assert shop.reseal([], rows=[]) == []


def test_two_rotations_in_a_row_are_one_step():
    """Tokens of three keys, of a rotation on top of one that never ended, all come along."""
    shop = Shop()
    middle = shop.reseal(shop.old_tokens)
    newest = shop.ring.rotate("field", now=NOW).id
    mixed = [*shop.old_tokens[:4], *middle[4:]]

    assert set(key_ids(mixed)) == {shop.old, shop.new}
    assert key_ids(shop.reseal(mixed, primary=newest)) == {newest: 8}


def test_values_of_every_kind_and_padding_come_along():
    """Numbers stay numbers, and what was filled up stays filled up if that is said again."""
    shop = Shop()
    values, place = [1, True, 19.5, "yes", "no"], EMAILS | {"rows": range(5)}
    tokens = shop.cipher.seal_column(values, pad_to=16, **place)
    newest = shop.ring.rotate("field", now=NOW).id
    moved = shop.reseal(tokens, primary=newest, pad_to=16, rows=range(5))

    assert shop.cipher.unseal_column(moved, **place) == values
    assert {len(token) for token in moved} == {33 + 16}


def test_a_value_that_looks_like_a_token_comes_along():
    """What was sealed on purpose although it looks sealed does not stop a rotation."""
    shop = Shop()
    value = b"\x01" + bytes(40)
    token = shop.cipher.seal(value, context="customers.email.1", nested=True)
    newest = shop.ring.rotate("field", now=NOW).id
    moved = shop.reseal([token], primary=newest, rows=[1])

    assert shop.cipher.unseal(moved[0], context="customers.email.1") == value


@pytest.mark.parametrize("library", [pd.Series, np.array], ids=["pandas", "numpy"])
def test_columns_of_pandas_and_numpy_are_counted_and_moved(library):
    """A developer hands over the column as pandas read it, gaps and all."""
    shop = Shop(form=to_text)
    column = library(shop.old_tokens)
    if library is pd.Series:
        column.index = range(100, 110)  # rows go by order, not by label

    assert key_ids(column) == {shop.old: 8}
    moved = shop.reseal(column, rows=pd.Series(range(10), index=range(50, 60)))
    assert shop.cipher.unseal_column(moved, **shop.place) == shop.values


def test_the_count_is_the_one_that_sqlite_makes():
    """How far a rotation has come can be seen with no key and no Python."""
    shop = Shop(40)
    tokens = [*shop.reseal(shop.old_tokens)[:20], *shop.old_tokens[20:]]
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, email BLOB)")
        database.executemany("INSERT INTO customers (email) VALUES (?)", [(t,) for t in tokens])
        counted = database.execute(
            "SELECT hex(substr(email, 2, 4)), count(*) FROM customers"
            " WHERE email IS NOT NULL GROUP BY 1"
        ).fetchall()

    assert {int(key_id, 16): count for key_id, count in counted} == key_ids(tokens)
    assert key_ids(tokens) == {shop.new: 15, shop.old: 15}


def test_an_edit_made_meanwhile_wins():
    """A customer who changes the address during the rotation keeps the new one."""
    shop = Shop(8)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, email BLOB)")
        stored = list(enumerate(shop.old_tokens))
        database.executemany("INSERT INTO customers VALUES (?, ?)", stored)
        read = database.execute("SELECT id, email FROM customers ORDER BY id").fetchall()
        moved = shop.reseal([token for _, token in read], rows=[row for row, _ in read])
        edited = shop.cipher.seal("new@example.com", context="customers.email.2")
        database.execute("UPDATE customers SET email = ? WHERE id = 2", (edited,))
        changed = [
            database.execute(
                "UPDATE customers SET email = ? WHERE id = ? AND email = ?", (new, row, old)
            ).rowcount
            for (row, old), new in zip(read, moved, strict=True)
        ]
        after = [row[0] for row in database.execute("SELECT email FROM customers ORDER BY id")]

    assert changed == [1, 1, 0, 0, 1, 1, 1, 0]
    expected = [*shop.values[:2], "new@example.com", *shop.values[3:]]
    assert shop.cipher.unseal_column(after, **shop.place) == expected


# --- what is refused


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param("ana@example.com", id="never sealed"),
        pytest.param("", id="empty text"),
        pytest.param(b"", id="no bytes"),
        pytest.param(b"\x01\0\0\0\x07", id="header only"),
        pytest.param(b"\x02" + bytes(40), id="version 2"),
        pytest.param("k1.AQAAAA", id="cut short"),
        pytest.param("k1.\xe9\xe9\xe9\xe9\xe9\xe9\xe9\xe9", id="foreign letters"),
        pytest.param("k1.Ag" + "A" * 40, id="version 2 as text"),
        pytest.param("k2.AQ" + "A" * 40, id="another beginning"),
        pytest.param(17, id="a number"),
        pytest.param(bytearray(b"\x01" + bytes(40)), id="neither bytes nor text"),
    ],
)
def test_a_cell_that_is_no_token_stops_it(cell):
    """Otherwise a value that nobody sealed would stay unsealed, and nobody would know."""
    shop = Shop()
    tokens = [*shop.old_tokens[:2], cell]
    for call in (lambda: key_ids(tokens), lambda: shop.reseal(tokens, rows=[0, 1, 2])):
        with pytest.raises(NotAToken, match="cell 3 is not a token; ") as caught:
            call()
        assert isinstance(caught.value, RotateError)
        assert "ana@" not in shown(caught.value)
        assert "AQAA" not in shown(caught.value)


def test_gaps_of_every_sort_are_left_out():
    """A database gives None, pandas NaN or NA."""
    shop = Shop()
    token = to_text(shop.old_tokens[0])

    assert key_ids([None, float("nan"), pd.NA, token]) == {shop.old: 1}
    assert key_ids([]) == {}


def test_a_cipher_with_another_primary_key_moves_nothing():
    """A program that opened the keyring before the rotation would seal with the old key again."""
    shop = Shop()

    class Before:
        """The keyring as that program sees it."""

        def primary(self, purpose):
            """Return the key that was the primary one then."""
            return shop.ring.find(purpose, shop.old)

        find = shop.ring.find

    with pytest.raises(NotMoved, match=f"does not seal with key {shop.new}; open the keyring"):
        shop.reseal(shop.old_tokens, cipher=Cipher(Before(), kinds=kinds))


@MODES
def test_one_altered_token_and_nothing_is_given_back(deterministic):
    """The cell is named as it stands in the batch, also when others were moved before."""
    shop = Shop(deterministic=deterministic)
    tokens = [*shop.reseal(shop.old_tokens)[:5], *shop.old_tokens[5:]]
    tokens[8] = tokens[8][:-1] + bytes([tokens[8][-1] ^ 1])

    with pytest.raises(CannotDecrypt, match="customers.email, cell 9") as caught:
        shop.reseal(tokens)
    assert "example.com" not in shown(caught.value)


def test_rows_that_do_not_match_are_refused():
    """No token is bound to a neighbour's row."""
    shop = Shop()
    with pytest.raises(BadContext, match="10 values but 9 row ids"):
        shop.reseal(shop.old_tokens, rows=range(9))
    with pytest.raises(CannotDecrypt):
        shop.reseal(shop.old_tokens, rows=range(1, 11))


def test_a_key_in_use_is_not_retired():
    """The count of what is stored, a kept backup included, decides, and not a feeling."""
    shop = Shop()
    half = [*shop.reseal(shop.old_tokens)[:9], shop.old_tokens[9]]

    with pytest.raises(NotAllowed, match="is in use"):
        shop.ring.retire(shop.old, in_use=lambda key_id: key_id in key_ids([*half, *half]))
