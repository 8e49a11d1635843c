# SPDX-License-Identifier: MIT-0
"""Give each recipient stand-ins for your customers, so that two of them cannot compare notes.

Copy: ``kit copy pseudonyms --into DIR``, or take this file as it is.
Needs: Python 3.11, cryptography. Nothing else from this kit.
Data: none.

Each recipient has a key of its own, of purpose ``pseudonyms:`` and the name. Equal ids give
equal stand-ins in every table of one recipient, so that joins still work, and others for the
next. Two sorts::

    reversible  k1. and base64url of 0x01 | key id u32 BE | AES-256-SIV: siv 16 | text
                (Tink's DAEAD format; associated data: the purpose, in UTF-8)
    one-way     16 letters and digits: HMAC-SHA256 cut to 80 bits, Crockford's base32

The text is ``t`` and the id. The HMAC key is HKDF-Expand-SHA256 of the recipient's key. A
million customers collide with odds of 4 in 10**13.

**The data stay personal data**: whoever has the key, or knows a customer by the rest of the
row, can tell who it is. The key's rotation changes every stand-in.

Source: RFC 5297 (SIV), RFC 5869 (HKDF).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

SHORT_BYTES = 10  # 80 bits, 16 characters
SHORTEST = 22  # bytes of a reversible one: header 5, siv 16, and the letter
INFO = b"kit/pseudonyms/one-way/v1"
PREFIX = "k1."
CROCKFORD = bytes.maketrans(  # no I, L, O or U: nothing is misread or reads as a word
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)


class PseudonymsError(Exception):
    """Base of the errors below. Messages never hold an id, a stand-in or a key."""


class BadId(PseudonymsError):
    """An id is neither text nor a whole number, or is empty text."""


class NotOurs(PseudonymsError):
    """Not a reversible stand-in, one of another recipient or shop, or an altered one."""


class Key(Protocol):
    """What a keyring gives: a secret, 64 bytes, and the number that names it."""

    @property
    def id(self) -> int:
        """1 to 2**32 - 1, never used twice."""

    @property
    def secret(self) -> bytes:
        """Random bytes."""


class Keys(Protocol):
    """A keyring, such as `keys.Keyring`. Both methods raise errors of their own."""

    def primary(self, purpose: str) -> Key:
        """Return the key that new stand-ins are made with."""

    def find(self, purpose: str, key_id: int) -> Key:
        """Return the key of this id, if it may still open stand-ins of this purpose."""


class Pseudonyms:
    """The stand-ins of one recipient."""

    def __init__(self, keys: Keys, recipient: str) -> None:
        """Take a keyring that holds a key of purpose ``pseudonyms:`` and *recipient*."""
        self._keys = keys
        self._purpose = f"pseudonyms:{recipient}"

    def one_way(self, ids: Iterable[str | int | None]) -> list[str | None]:
        """Return a short stand-in for each id, which nobody can turn back.

        Args:
            ids: Text or whole numbers, as a list, pandas Series, NumPy or Arrow array; 7 and
                "7" are one customer, as in a CSV file. None, NaN and pandas' NA stay None.
        """
        texts = _texts(ids)
        secret = self._keys.primary(self._purpose).secret
        start = hmac.HMAC(HKDFExpand(hashes.SHA256(), 32, INFO).derive(secret), hashes.SHA256())
        found: list[str | None] = []
        for text in texts:
            if text is None:
                found.append(None)
                continue
            keyed = start.copy()
            keyed.update(text)
            short = base64.b32encode(keyed.finalize()[:SHORT_BYTES])
            found.append(short.translate(CROCKFORD).decode())
        return found

    def reversible(self, ids: Iterable[str | int | None]) -> list[str | None]:
        """Return a stand-in for each id that the shop can turn back; its length shows the id's."""
        key = self._keys.primary(self._purpose)
        header, encrypt = b"\x01" + key.id.to_bytes(4, "big"), AESSIV(key.secret).encrypt
        place = [self._purpose.encode()]
        return [
            None if text is None else _to_text(header + encrypt(text, place))
            for text in _texts(ids)
        ]

    def reveal(self, stand_ins: Iterable[str | None]) -> list[str | None]:
        """Turn reversible stand-ins back into ids, as text.

        Raises:
            NotOurs: One is not, or not for this recipient. Errors of the keyring, for a
                key that it does not give, pass through. Nothing is returned.
        """
        found: list[str | None] = []
        place = [self._purpose.encode()]
        for number, stand_in in enumerate(_listed(stand_ins), 1):
            if _missing(stand_in):
                found.append(None)
                continue
            raw = _to_bytes(stand_in) if isinstance(stand_in, str) else b""
            if raw[:1] != b"\x01" or len(raw) < SHORTEST:
                raise NotOurs(f"number {number} is no reversible stand-in; copy it again in full")
            key = self._keys.find(self._purpose, int.from_bytes(raw[1:5], "big"))
            try:
                text = AESSIV(key.secret).decrypt(raw[5:], place).decode()
            except (InvalidTag, UnicodeDecodeError):  # the latter holds it: not raised in here
                text = ""
            if not text.startswith("t"):
                raise NotOurs(
                    f"number {number} was made for another recipient or shop, or was altered; "
                    "take it from the file as it was sent"
                )
            found.append(text[1:])
        return found


def _texts(ids: Iterable[Any]) -> list[bytes | None]:
    """Return each id as ``t`` and UTF-8."""
    texts: list[bytes | None] = []
    for value in _listed(ids):
        if _missing(value):
            texts.append(None)
            continue
        text = None
        if type(value) in (str, int) and value != "":
            try:
                text = f"t{value}".encode()
            except ValueError:  # half a character, 4300 digits; it holds the id
                pass
        if text is None:
            raise BadId(
                f"id {len(texts) + 1} is {type(value).__name__}, empty or damaged; "
                "an id is text or a whole number"
            )
        texts.append(text)
    return texts


def _listed(values: Iterable[Any]) -> list[Any]:
    """Return Python values, from Arrow, pandas and NumPy too; as in encrypt.py."""
    method = getattr(values, "to_pylist", None) or getattr(values, "tolist", None)
    return list(method() if method else values)


def _missing(value: Any) -> bool:
    return value is None or (not isinstance(value, (str, int)) and str(value) in ("nan", "<NA>"))


def _to_text(token: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _to_bytes(text: str) -> bytes:
    """Undo `_to_text`, or return nothing: only the one spelling is taken."""
    body = text.removeprefix(PREFIX).encode("ascii", "replace")
    try:
        raw = base64.b64decode(body + b"=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return b""
    return raw if _to_text(raw) == text else b""
