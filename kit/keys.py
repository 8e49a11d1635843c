# SPDX-License-Identifier: MIT-0
"""Change keys without losing a value: one primary key per purpose, old ones kept while needed.

Copy: ``kit copy keys --into DIR``, or take this file as it is.
Needs: Python 3.11, cryptography. Nothing else from this kit.
Data: none.

A keyring holds keys of several purposes, each with a number that is never used twice. A key goes
one way, and every step is saved before the call returns::

    add, rotate        retire               destroy
    primary -> enabled <-> disabled -> destroyed
    locks     opens  enable   nothing   its number only

Where it is saved is handed over: a `Store`, for example ``keyfile.KeyFile(path, passphrase)``::

    keyring = Keyring.create(KeyFile(path, Passphrase(text)), now=now)
    keyring = Keyring.open(KeyFile(path, Passphrase(text)))

Source: the keyset format is that of Google Tink (AesGcmKey, AesSivKey; output prefix TINK).
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import NoReturn, Protocol, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_BYTES = {
    "field": 32,  # AES-256-GCM
    "deterministic": 64,  # AES-256-SIV, a double key
    "index": 32,  # HMAC-SHA256
    "pseudonyms": 64,  # AES-256-SIV; always with its recipient: "pseudonyms:mailing-house"
    "ledger": 32,  # HMAC-SHA256
    "audit": 32,  # HMAC-SHA256
    "signing": 32,  # Ed25519 seed
}
DEFAULT = ("field", "deterministic", "index", "ledger", "audit", "signing")
STATES = ("primary", "enabled", "disabled", "destroyed")
CREATED = "%Y-%m-%dT%H:%M:%SZ"
PURPOSE = re.compile(
    rf"(?!pseudonyms)({'|'.join(KEY_BYTES)})|pseudonyms:[A-Za-z0-9][\w .@-]{{0,63}}", re.A
)
TINK = {  # its name of the key type, and tag and length of the key in its protocol buffer
    "field": ("AesGcmKey", b"\x1a\x20"),
    "deterministic": ("AesSivKey", b"\x12\x40"),
    "pseudonyms": ("AesSivKey", b"\x12\x40"),
}

Row: TypeAlias = tuple[int, str, str, str, bytes]  # id, purpose, state, created, secret


class KeyringError(Exception):
    """Base of the errors below. Messages never hold a key."""


class NoSuchKey(KeyringError):
    """There is no such key, or it may not be used for this. `key_id` is its number, or None."""

    def __init__(self, message: str, *, key_id: int | None = None) -> None:
        super().__init__(message)
        self.key_id = key_id


class NotAllowed(KeyringError):
    """The step would lose values or leave keys lying about. Nothing was changed."""


class BadKeyring(KeyringError):
    """The rows contradict each other, or come from a newer kit. Nothing was changed."""


class Store(Protocol):
    """Where rows are kept. `save` either replaces them all or raises and changes nothing."""

    @property
    def generation(self) -> int:
        """Return a number that grows at every change."""

    def create(self, rows: Iterable[Row], *, generation: int = 1) -> None:
        """Keep the first rows; refuse if there are some."""

    def load(self, *, at_least: int = 0) -> list[Row]:
        """Return the rows; refuse if the generation is below *at_least*."""

    def save(self, rows: Iterable[Row]) -> None:
        """Replace the rows; refuse if somebody else did since `load`."""


@dataclass(frozen=True)
class Key:
    """One data key. Printing it shows its number and state, never the secret."""

    id: int
    purpose: str
    state: str
    secret: bytes = field(repr=False)
    created: datetime

    def __reduce__(self) -> NoReturn:
        raise NotAllowed("a key is not pickled or copied; open the keyring again over there")


class Keyring:
    """The keys of one shop, ready for use."""

    def __init__(self, store: Store, rows: Iterable[Row]) -> None:
        self.store = store
        self._keys = _by_number(rows)

    @classmethod
    def create(cls, store: Store, *, now: datetime, purposes: Iterable[str] = DEFAULT) -> Keyring:
        """Make a keyring with one fresh key for each purpose.

        Args:
            store: Where to keep it; nothing may be there yet.
            now: The time, with its zone.
            purposes: Names from `KEY_BYTES`, or ``"pseudonyms:"`` and a recipient.
        """
        keys: list[Key] = []
        for purpose in dict.fromkeys(purposes):
            keys.append(_new_key(purpose, keys, now))
        return cls.restore(store, map(_row, keys), generation=1)

    @classmethod
    def open(cls, store: Store, *, at_least: int = 0) -> Keyring:
        """Open a keyring.

        Args:
            store: Where it is kept.
            at_least: The highest `generation` noted elsewhere (database, backup), so that an
                older keyring that somebody put back is seen.

        Raises:
            BadKeyring: The rows cannot be a keyring. The store raises errors of its own.
        """
        return cls(store, store.load(at_least=at_least))

    @classmethod
    def restore(cls, store: Store, rows: Iterable[Row], *, generation: int) -> Keyring:
        """Keep rows that came back from a recovery copy in a new store.

        Args:
            store: Where to keep them; nothing may be there yet.
            rows: All rows of the copy.
            generation: That of the copy; or the highest one noted elsewhere, if that is more.
        """
        rows = list(rows)
        restored = cls(store, rows)  # first: anybody may have written the copy
        store.create(rows, generation=generation)
        return restored

    @property
    def generation(self) -> int:
        """The number of changes so far. Note it in every backup."""
        return self.store.generation

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every key ever made, oldest first; destroyed ones without their secret."""
        return tuple(self._keys.values())

    def primary(self, purpose: str) -> Key:
        """Return the key that locks new values of this purpose."""
        for key in self.keys:
            if key.purpose == purpose and key.state == "primary":
                return key
        raise NoSuchKey("the keyring has no key of this purpose; add one first")

    def find(self, purpose: str, key_id: int) -> Key:
        """Return the key with this number, if it may open values of this purpose."""
        key = self._known(key_id)
        if key.purpose != purpose:
            raise NoSuchKey(
                f"key {key_id} is for {key.purpose}, not for this; was the value moved?",
                key_id=key_id,
            )
        if key.state == "disabled":
            raise NoSuchKey(f"key {key_id} is disabled; enable it first", key_id=key_id)
        if key.state == "destroyed":
            raise NoSuchKey(
                f"key {key_id} was destroyed; only a recovery copy from before still has it",
                key_id=key_id,
            )
        return key

    def status(self) -> list[dict[str, int | str]]:
        """Return a row per key: id, purpose, state, created. No secrets; fit to be shown."""
        rows = map(_row, self.keys)
        return [{"id": n, "purpose": p, "state": s, "created": c} for n, p, s, c, _ in rows]

    def add(self, purpose: str, *, now: datetime) -> Key:
        """Make the first key of a purpose, such as ``"pseudonyms:mailing-house"``."""
        if any(key.purpose == purpose for key in self.keys):
            raise NotAllowed("there is a key of this purpose; rotate it instead")
        key = _new_key(purpose, self.keys, now)
        self._save([*self.keys, key])
        return key

    def rotate(self, purpose: str, *, now: datetime) -> Key:
        """Make a new primary key; the one before goes on opening what it locked.

        Then write a new recovery copy, lock the stored values anew, and `retire` the old key.
        """
        old = self.primary(purpose)
        new = _new_key(purpose, self.keys, now)
        self._save([*(replace(k, state="enabled") if k is old else k for k in self.keys), new])
        return new

    def retire(self, key_id: int, *, in_use: bool | Callable[[int], bool]) -> None:
        """Disable a key that nothing needs any more. `enable` undoes it.

        Args:
            key_id: Its number.
            in_use: Whether any table, history or **kept backup** holds a value that it locked; or
                a function that is given the number and says so.
        """
        self._expect(
            key_id, "enabled", "only an enabled one is retired; rotate a primary one first"
        )
        if in_use(key_id) if callable(in_use) else in_use:
            raise NotAllowed(
                f"key {key_id} is in use; lock those values anew and let old backups run out first"
            )
        self._set_state(key_id, "disabled")

    def enable(self, key_id: int) -> None:
        """Let a disabled key open values again, for example when an old backup came back."""
        self._expect(key_id, "disabled", "only a disabled one is enabled")
        self._set_state(key_id, "enabled")

    def destroy(self, key_id: int) -> None:
        """Forget a disabled key and keep its number. Older recovery copies still hold it."""
        self._expect(key_id, "disabled", "only a disabled one is destroyed; retire it first")
        self._set_state(key_id, "destroyed")

    def covered_by(self, ids: Iterable[int]) -> None:
        """Compare with the key numbers in a recovery copy, for example once a month.

        Raises:
            NoSuchKey: The copy lacks a key that can still be used; `key_id` is the first one.
        """
        held = set(ids)
        for key in self.keys:
            if key.state != "destroyed" and key.id not in held:
                raise NoSuchKey(
                    f"the recovery copy lacks key {key.id}; write a new copy now", key_id=key.id
                )

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of *message*, 64 bytes, by the primary signing key."""
        return Ed25519PrivateKey.from_private_bytes(self.primary("signing").secret).sign(message)

    def public_key(self, key_id: int | None = None) -> bytes:
        """Return the 32 bytes that anyone can check signatures with. Not secret.

        Args:
            key_id: An older signing key; otherwise the primary one.
        """
        key = self.primary("signing") if key_id is None else self.find("signing", key_id)
        return Ed25519PrivateKey.from_private_bytes(key.secret).public_key().public_bytes_raw()

    def export_tink(self, purpose: str) -> str:
        """Return the usable keys of a purpose as a Tink keyset (JSON): **the keys, unlocked**.

        Any Tink, in any language, opens our tokens with it. Let it touch a disk inside an
        encrypted file only, and note in the log that it was made.
        """
        kind = purpose.partition(":")[0]
        if kind not in TINK:
            raise NotAllowed(f"not keys that Tink knows; export {', '.join(TINK)}")
        name, tag = TINK[kind]
        keyset = {
            "primaryKeyId": self.primary(purpose).id,
            "key": [
                {
                    "keyData": {
                        "typeUrl": f"type.googleapis.com/google.crypto.tink.{name}",
                        "value": base64.b64encode(tag + key.secret).decode(),
                        "keyMaterialType": "SYMMETRIC",
                    },
                    "status": "ENABLED",
                    "keyId": key.id,
                    "outputPrefixType": "TINK",
                }
                for key in self.keys
                if key.purpose == purpose and key.state in ("primary", "enabled")
            ],
        }
        return json.dumps(keyset)

    def __repr__(self) -> str:
        return f"Keyring({len(self._keys)} keys, generation {self.generation})"

    def __reduce__(self) -> NoReturn:
        raise NotAllowed("a keyring is not pickled or copied; open it again over there")

    def _save(self, keys: list[Key]) -> None:
        self.store.save(map(_row, keys))
        self._keys = {key.id: key for key in keys}  # only now: the store may have refused

    def _known(self, key_id: int) -> Key:
        if key_id not in self._keys:
            raise NoSuchKey(
                f"the keyring has no key {key_id}; look for it in a recovery copy", key_id=key_id
            )
        return self._keys[key_id]

    def _expect(self, key_id: int, state: str, advice: str) -> None:
        if (found := self._known(key_id).state) != state:
            raise NotAllowed(f"key {key_id} is {found}; {advice}")

    def _set_state(self, key_id: int, state: str) -> None:
        old = self._keys[key_id]
        new = replace(old, state=state, secret=b"" if state == "destroyed" else old.secret)
        self._save([new if key is old else key for key in self.keys])


def _new_key(purpose: str, others: Iterable[Key], now: datetime) -> Key:
    if not PURPOSE.fullmatch(purpose):
        raise NotAllowed(
            f"not a purpose; take one of {', '.join(KEY_BYTES)}, and for pseudonyms a colon and "
            "the recipient"
        )
    if now.utcoffset() is None:
        raise NotAllowed("now has no time zone; hand over an aware datetime")
    taken = {0, *(key.id for key in others)}
    draws = (int.from_bytes(os.urandom(4), "big") for _ in count())
    number = next(draw for draw in draws if draw not in taken)
    created = now.astimezone(UTC).replace(microsecond=0)
    return Key(
        number, purpose, "primary", os.urandom(KEY_BYTES[purpose.partition(":")[0]]), created
    )


def _row(key: Key) -> Row:
    return key.id, key.purpose, key.state, key.created.strftime(CREATED), key.secret


def _key(row: Row) -> Key:
    """Read one row; refuse what `_new_key` and the steps after it cannot have made."""
    number, purpose, state, created, secret = row
    with suppress(ValueError):
        key = Key(
            number, purpose, state, secret, datetime.strptime(created, CREATED).replace(tzinfo=UTC)
        )
        wanted = 0 if state == "destroyed" else KEY_BYTES.get(purpose.partition(":")[0])
        if (
            0 < number < 2**32
            and PURPOSE.fullmatch(purpose)
            and state in STATES
            and len(secret) == wanted
            and _row(key) == row
        ):
            return key
    raise BadKeyring("a row is no key of ours; update the kit, or take another copy")


def _by_number(rows: Iterable[Row]) -> dict[int, Key]:
    keys = [_key(row) for row in rows]
    primary = sorted(key.purpose for key in keys if key.state == "primary")
    if primary != sorted({key.purpose for key in keys}):
        raise BadKeyring("a purpose has no primary key, or two; take another copy")
    if len(found := {key.id: key for key in keys}) < len(keys):
        raise BadKeyring("two keys have one number; take another copy")
    return found
