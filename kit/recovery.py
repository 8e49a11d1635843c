# SPDX-License-Identifier: MIT-0
"""Survive a lost passphrase: all keys once more, in a file that only a key on paper opens.

Copy: ``kit copy recovery --into DIR``, or take this file as it is.
Needs: Python 3.11, pyrage. Nothing else from this kit.
Data: none.

A paper key is 74 characters that are printed, kept away from the shop, and stored on no computer::

    AGE-SECRET-KEY-1 | 52 characters of key | 6 of check sum       in Bech32, no B, I, O or 1

Its public half (62 characters, ``age1...``) may lie about: it writes recovery copies and cannot
read them. A copy is an age file (any `age` opens it) around JSON::

    {"format": 1, "what": "...", "generation": 7,
     "keys": [{"id": 439041101, "purpose": "field", "state": "primary",
               "created": "2026-11-24T09:00:00Z", "secret": base64}]}

Write a new copy after each new key, and `rehearse` it before relying on it. age does not say who
wrote a file: after a recovery, open a few real values before trusting the keys.

Source: the age format, age-encryption.org/v1; Bech32 as in BIP 173, whose check sum finds the place
of one wrong character among 58.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import reduce
from os.path import commonprefix
from typing import Any, Protocol, TypeAlias

import pyrage

FORMAT = 1
WHAT = "recovery copy of a keyring of customer-data-kit; the secrets are base64"
LETTERS = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"  # of Bech32, in the order of their values
SECRET, PUBLIC = "AGE-SECRET-KEY-", "AGE"  # what stands before the 1
BODY = 58  # characters after it: 32 bytes and a check sum of 30 bits
CONTENT = {"format": int, "what": str, "generation": int, "keys": list}
ENTRY = {"id": int, "purpose": str, "state": str, "created": str, "secret": str}

Row: TypeAlias = tuple[int, str, str, str, bytes]  # id, purpose, state, created, secret


class RecoveryError(Exception):
    """Base of the errors below. Messages never hold a key."""


class Mistyped(RecoveryError):
    """The text cannot be a paper key. `place` counts its characters from 1, blanks left out."""

    def __init__(self, message: str, *, place: int | None = None) -> None:
        super().__init__(message)
        self.place = place


class WrongPaperKey(RecoveryError):
    """A paper key without a typing error, but the copy was made for another one."""


class BadCopy(RecoveryError):
    """The file is no recovery copy, or is cut short or altered."""


class Incomplete(RecoveryError):
    """The copy opens, but lacks the key `key_id`."""

    def __init__(self, key_id: int) -> None:
        super().__init__(f"the copy lacks key {key_id}, or has another one; write a new copy")
        self.key_id = key_id


class Key(Protocol):
    """What is read off a key."""

    @property
    def id(self) -> int:
        """Return its number."""

    @property
    def purpose(self) -> str:
        """Return what it is for."""

    @property
    def state(self) -> str:
        """Return primary, enabled, disabled or destroyed."""

    @property
    def created(self) -> datetime:
        """Return when it was made."""

    @property
    def secret(self) -> bytes:
        """Return the key itself; nothing for a destroyed one."""


class Keyring(Protocol):
    """What is read off a keyring."""

    @property
    def generation(self) -> int:
        """Return the number of its changes."""

    @property
    def keys(self) -> Iterable[Key]:
        """Return all keys."""


def new_paper_key() -> tuple[str, str]:
    """Return a new paper key, to be printed and stored nowhere, and its public half."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def check(typed: str) -> str:
    """Return a paper key or public half as typed, without blanks, in the proper case.

    Raises:
        Mistyped: It has a typing error. The message says where, if it is one wrong character or
            two swapped ones; never what stands there.
    """
    text = "".join(typed.split()).upper()
    public = text.startswith(f"{PUBLIC}1") and len(text) < len(SECRET) + BODY
    prefix = PUBLIC if public else SECRET
    start = len(prefix) + 1
    if not text.startswith(f"{prefix}1"):
        raise Mistyped(
            f"a paper key starts with {SECRET}1, its public half with age1; type it again",
            place=len(commonprefix([text, f"{SECRET}1"])) + 1,
        )
    if len(text) != start + BODY:
        raise Mistyped(
            f"{len(text)} characters, not {start + BODY}; compare with the paper, four at a time"
        )
    for place, letter in enumerate(text[start:], start + 1):
        if letter not in LETTERS:
            raise Mistyped(
                f"character {place} is not one of a paper key, which has no B, I, O and 1; "
                "compare it with the paper",
                place=place,
            )
    body = [LETTERS.index(letter) for letter in text[start:]]
    wrong = _check_sum(prefix, body) ^ 1
    if wrong and (slip := _slip(body, wrong)):
        place, what = start + slip[0] + 1, slip[1]
        raise Mistyped(f"character {place} is {what}; compare it with the paper", place=place)
    if wrong or body[51] & 15:  # 51 * 5 bits and 1 more are the 32 bytes
        raise Mistyped("several characters are wrong; compare again, four at a time")
    return text if prefix == SECRET else text.lower()


def copy(keyring: Keyring, recipient: str, *others: str) -> bytes:
    """Return all keys as an age file for one or more paper keys. Keep it off-site.

    Args:
        keyring: Anything with `generation` and `keys`.
        recipient: The public half of a paper key.
        others: More of them, such as that of a second person you trust.
    """
    to = [pyrage.x25519.Recipient.from_str(_public(text)) for text in (recipient, *others)]
    keys = [
        {
            "id": key.id,
            "purpose": key.purpose,
            "state": key.state,
            "created": key.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "secret": b64encode(key.secret).decode(),
        }
        for key in keyring.keys
    ]
    content = {"format": FORMAT, "what": WHAT, "generation": keyring.generation, "keys": keys}
    return bytes(pyrage.encrypt(json.dumps(content).encode(), to))


def read(sealed: bytes, typed: str) -> tuple[int, list[Row]]:
    """Open a recovery copy with the paper key; the rows are for ``Keyring.restore``.

    Returns:
        The generation of the keyring that was copied, and its rows.

    Raises:
        Mistyped: The paper key has a typing error.
        WrongPaperKey: It has none, and does not fit.
        BadCopy: The file is damaged, or no recovery copy.
    """
    if not (typed := check(typed)).startswith(SECRET):
        raise WrongPaperKey("that is the public half; type the one that starts with AGE-SECRET-KEY")
    identity = pyrage.x25519.Identity.from_str(typed)
    if not sealed.startswith(b"age-encryption.org/v1\n"):
        raise BadCopy("not a recovery copy; look for the file that ends in .age")
    try:
        data = pyrage.decrypt(sealed, [identity])
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise WrongPaperKey("another paper key than the one this copy is for") from None
        raise BadCopy("cut short or altered; take another recovery copy") from None
    return _parse(data)


def rehearse(keyring: Keyring, sealed: bytes, typed: str) -> None:
    """Prove that a copy and the paper key, typed back from the paper, give back every key.

    Setting up is not finished before this has passed. Repeat it after each new key.

    Raises:
        Mistyped, WrongPaperKey, BadCopy: As `read`.
        Incomplete: It opens, but is from before the newest key.
    """
    held = {number: (purpose, secret) for number, purpose, _, _, secret in read(sealed, typed)[1]}
    for key in keyring.keys:
        if key.state != "destroyed" and held.get(key.id) != (key.purpose, key.secret):
            raise Incomplete(key.id)


def _public(text: str) -> str:
    if (text := check(text)).startswith(SECRET):
        raise Mistyped("that is the paper key itself; hand over its public half, which starts age1")
    return text


def _parse(data: bytes) -> tuple[int, list[Row]]:
    """Read the JSON strictly: anyone who has the public half may have written it."""
    content: Any = None
    rows: list[Row] = []
    with suppress(ValueError, RecursionError):  # such an error holds the text, so none is kept
        content = json.loads(data)
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        raise BadCopy(f"not format {FORMAT}, the one that is known; update the kit")
    if _fits(content, CONTENT) and all(_fits(entry, ENTRY) for entry in content["keys"]):
        with suppress(ValueError):
            rows = [_row(entry) for entry in content["keys"]]
    if not rows or len({row[0] for row in rows}) < len(rows):
        raise BadCopy("opens, but holds no keys, or one twice; look for another file")
    return content["generation"], rows


def _fits(block: Any, shape: dict[str, type]) -> bool:
    return isinstance(block, dict) and {name: type(block[name]) for name in block} == shape


def _row(entry: dict[str, Any]) -> Row:
    secret = b64decode(entry["secret"], validate=True)
    return entry["id"], entry["purpose"], entry["state"], entry["created"], secret


def _slip(body: list[int], wrong: int) -> tuple[int, str] | None:
    """Find the one slip that makes the check sum *wrong*; each place has its own effect on it."""
    later: list[int] = []
    effects = list(range(32))  # of each change of the last character; they add up by XOR
    for place in reversed(range(len(body))):
        if wrong in effects:
            return place, "misread"
        if later:
            change = body[place] ^ body[place + 1]
            if effects[change] ^ later[change] == wrong:
                return place, "swapped with the next"
        later, effects = effects, [_step(effect, 0) for effect in effects]
    return None


def _check_sum(prefix: str, body: list[int]) -> int:
    """Return 1 for a text without typing errors (BIP 173)."""
    start = [*(ord(c) >> 5 for c in prefix.lower()), 0, *(ord(c) & 31 for c in prefix.lower())]
    return reduce(_step, start + body, 1)


def _step(total: int, value: int) -> int:
    top = total >> 25
    total = (total & 0x1FFFFFF) << 5 ^ value
    for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
        total ^= generator if top >> bit & 1 else 0
    return total
