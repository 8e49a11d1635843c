# SPDX-License-Identifier: MIT-0
"""Move sealed columns to a new key, so that an old key can be retired and nothing is lost.

Copy: ``kit copy rotate --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

A token begins ``0x01 | key id u32 BE``, or as text ``k1.`` and base64url of that, so how
far a rotation has come can be counted without any key, in SQL too::

    SELECT hex(substr(email, 2, 4)), count(*) FROM customers GROUP BY 1

Add a key, `reseal` batch after batch, and retire the old key when `key_ids` no longer
names it anywhere: in no table, history or trash, and in no backup that is kept.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol


class RotateError(Exception):
    """Base of the errors below. Messages never hold a token."""


class NotAToken(RotateError):
    """A cell holds something else; it would be lost or stay unsealed."""


class NotMoved(RotateError):
    """The cipher seals with another key than the one that was named."""


class Cipher(Protocol):
    """What opens and seals a column, such as `encrypt.Cipher`."""

    def unseal_column(
        self, tokens: Iterable[Any], *, table: str, column: str, rows: Any, deterministic: bool
    ) -> list[Any]:
        """Return the values, or raise."""

    def seal_column(
        self,
        values: Iterable[Any],
        *,
        table: str,
        column: str,
        rows: Any,
        deterministic: bool,
        pad_to: int | None,
        nested: bool,
    ) -> list[bytes | None]:
        """Return tokens under the primary key, or raise."""


def key_ids(tokens: Iterable[bytes | str | None]) -> dict[int, int]:
    """Count the tokens under each key id; empty cells are left out.

    Raises:
        NotAToken: A cell is neither empty nor a token; the message gives its number.
    """
    found = (_key_id(token, number) for number, token in enumerate(tokens, 1))
    return dict(Counter(number for number in found if number is not None))


def reseal(
    tokens: Iterable[bytes | str | None],
    *,
    cipher: Cipher,
    primary: int,
    table: str,
    column: str,
    rows: Iterable[Any] | None = None,
    deterministic: bool = False,
    pad_to: int | None = None,
) -> list[bytes | str | None]:
    """Bring a batch to the primary key; what is under it already comes back as it is.

    So the work can stop anywhere and start again. When storing, replace a token only if
    it is still the one that was read: ``UPDATE … SET email = :new WHERE id = :id AND
    email = :old``; a change made meanwhile then wins.

    Args:
        tokens: As stored, bytes or text.
        cipher: Opens with any key of the keyring, seals with the primary one.
        primary: Its key id.
        table: As for `Cipher.seal_column`, like the rest; how the column is padded is
            for the caller to say again.
        column: Likewise.
        rows: One row id for each token.
        deterministic: Likewise.
        pad_to: Likewise.

    Returns:
        All tokens, new ones in place of old ones: text where it was text.

    Raises:
        NotAToken: As for `key_ids`.
        NotMoved: The cipher seals with another key than *primary*.
        Exception: Errors of *cipher* pass through. On any error nothing is returned.
    """
    done = list(tokens)
    ids = [_key_id(token, number) for number, token in enumerate(done, 1)]
    place: dict[str, Any] = {"table": table, "column": column, "deterministic": deterministic}
    if rows is not None:
        place["rows"] = list(rows)
    old = [None if i in (None, primary) else token for i, token in zip(ids, done, strict=True)]
    values = cipher.unseal_column(old, **place)  # with gaps, so that errors name the right cell
    fresh = cipher.seal_column(values, pad_to=pad_to, nested=True, **place)
    for i, (token, new) in enumerate(zip(old, fresh, strict=True)):
        if token is None:
            continue
        if new is None or _key_id(new, i + 1) != primary:
            raise NotMoved(f"the cipher does not seal with key {primary}; open the keyring again")
        done[i] = new if isinstance(token, bytes) else _to_text(new)
    return done


def _to_text(token: bytes) -> str:
    return "k1." + base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _key_id(token: bytes | str | None, number: int) -> int | None:
    """Read bytes 1 to 4. Eight letters of base64 are six bytes, so the header is among them."""
    head = token
    if isinstance(token, str):
        try:
            head = base64.b64decode(token[3:11], altchars=b"-_", validate=True)
        except ValueError:
            head = b""
        head = head if token.startswith("k1.") else b""
    if head is None or (not isinstance(head, bytes) and str(head) in ("nan", "<NA>")):
        return None  # pandas fills empty cells of text so
    if not isinstance(head, bytes) or head[:1] != b"\x01" or len(head) < 6:
        raise NotAToken(f"cell {number} is not a token; seal it, or look why it is not")
    return int.from_bytes(head[1:5], "big")
