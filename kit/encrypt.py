# SPDX-License-Identifier: MIT-0
"""Encrypt fields and whole columns, so that a stolen database is not a stolen customer list.

Copy: ``kit copy encrypt --into DIR``, or take this file as it is.
Needs: Python 3.11, cryptography. Nothing else from this kit.
Data: none.

A token is bytes, for a BLOB; `to_text` makes ``k1.`` and base64url of it for a CSV cell::

    random         0x01 | key id u32 BE | nonce 12 | AES-256-GCM ciphertext n | tag 16
    deterministic  0x01 | key id u32 BE | AES-256-SIV: siv 16 | ciphertext n

These are the AEAD and DAEAD formats of Google's Tink, which opens them from
`Keyring.export_tink`. The plaintext is a letter for the kind of value, then the value: ``t``
and UTF-8, or what `kinds.py` writes if it is handed over: ``Cipher(keys, kinds=kinds)``. A
capital letter says that 0x80 and zeros follow, to hide the length.

The associated data bind a token to its place: ``table.column.rowid`` in UTF-8, or
``table.column`` if deterministic; equal values then show as equal tokens. It always shows
which cells are empty, and without *pad_to* how long a value is.

Source: AES-256-GCM as in NIST SP 800-38D, which allows 2**32 encryptions per key
with random nonces; AES-SIV as in RFC 5297; Tink's documentation of its wire format.
"""

from __future__ import annotations

import base64
import os
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Number
from operator import add, call, itemgetter
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

FIRST = b"\x01"  # names the layouts above; a new layout gets a new number
HEADER_BYTES = 5  # version 1, key id 4
NONCE_BYTES = 12  # GCM's own size; random, because a count repeats after a restore
PURPOSE = {False: "field", True: "deterministic"}  # here and below: False random, True alike
KEY_BYTES = {False: 32, True: 64}  # AES-256-GCM; AES-256-SIV takes a double key
BODY = {False: HEADER_BYTES + NONCE_BYTES, True: HEADER_BYTES}  # where the ciphertext starts
SHORTEST = {False: 34, True: 22}  # bytes of a token, its value no more than the letter of its kind
HEADER = itemgetter(slice(HEADER_BYTES))
CIPHER: dict[bool, Any] = {False: AESGCM, True: AESSIV}
SURE = {str, bytes, int}  # never missing; told fast
BATCH = 4096  # cells; a sixth faster than the whole column, which does not fit the CPU's cache
PREFIX = "k1."  # marks the text form
TEXT_TOKEN = re.compile(r"\s*k1\.A[Q-Za-f][A-Za-z0-9_-]{28,}=*\s*")  # "A", then Q to f: version 1
LONGEST_PAD = 4096  # bytes; a digit too many would fill the disk
PLACE = "write table.column.rowid, or table.column if deterministic; in letters, digits and _"
STAYS_SHUT = "wrong key, moved from another row, column or table, or altered; take it from a backup"
WITH_KINDS = "Cipher(keys, kinds=kinds)"
NAME = r"[A-Za-z_][A-Za-z0-9_]*"  # no dot, or ("a.b", "c") and ("a", "b.c") would be one place
CONTEXT = re.compile(rf"({NAME}\.{NAME})(?:\.(.+))?", re.DOTALL)

Pad: TypeAlias = int | None
Token: TypeAlias = bytes | str | None
Rows: TypeAlias = Iterable[str | int | UUID] | None
Cells: TypeAlias = tuple["_Column", list[Any], list[Any]]


class EncryptError(Exception):
    """Base of the errors below. Messages never hold a value, a token or a key.

    `key_id` is the key that is missing; `cell` the cell that does not open, from 1.
    """

    def __init__(self, message: str, *, key_id: int | None = None, cell: int | None = None) -> None:
        super().__init__(message)
        self.key_id, self.cell = key_id, cell


class BadContext(EncryptError):
    """The place is not ``table.column.rowid``, or rows and values do not match one to one."""


class BadValue(EncryptError):
    """The value is of a kind that would not come back as it went in."""


class AlreadySealed(BadValue):
    """The value is a token itself; sealing it again would hide it behind two keys."""


class BadToken(EncryptError):
    """What should be a token never was one, was cut short, or is of a newer kit."""


class UnknownKey(EncryptError):
    """The keyring does not give the key that is needed; its own words say why."""


class CannotDecrypt(EncryptError):
    """Wrong key, wrong place, or an altered token. Which one cannot be known."""


class Key(Protocol):
    """What a keyring gives: a secret (32 bytes for "field", otherwise 64), and its number."""

    @property
    def id(self) -> int:
        """1 to 2**32 - 1, never used twice."""

    @property
    def secret(self) -> bytes:
        """Random bytes."""


class Keys(Protocol):
    """A keyring. Both methods raise an error of their own if there is no such key."""

    def primary(self, purpose: str) -> Key:
        """Return the key that new tokens are made with."""

    def find(self, purpose: str, key_id: int) -> Key:
        """Return the key of this id, if it may still open tokens of this purpose."""


class Kinds(Protocol):
    """How values become bytes. Both functions raise errors of their own, which hold no value."""

    def write(self, value: Any, /) -> bytes | None:
        """Return a small letter and bytes, or None for a missing value."""

    def read(self, written: bytes, /) -> Any:
        """Undo `write`."""


@dataclass(frozen=True)
class _Column:
    """Cells at hand that are not empty: their numbers, of how many in the column."""

    name: str
    numbers: Sequence[int]
    batch: range
    total: int
    types: set[type]

    def at(self, position: int) -> str:
        return f"{self.name}, cell {self.numbers[position]}" if self.total > 1 else self.name

    def with_gaps(self, found: list[Any]) -> list[Any]:
        if len(found) == len(self.batch):
            return found
        at = dict(zip(self.numbers, found, strict=True))
        return [at.get(number) for number in self.batch]


class Cipher:
    """Seal and unseal values with the keys of one shop."""

    def __init__(self, keys: Keys, *, kinds: Kinds | None = None) -> None:
        """Take a keyring, such as `keys.Keyring`, and `kinds.py` for more than text."""
        self._keys = keys
        self._kinds = kinds

    def seal(
        self,
        value: Any,
        *,
        context: str,
        deterministic: bool = False,
        pad_to: Pad = None,
        nested: bool = False,
    ) -> bytes | None:
        """Lock one value to one place.

        Args:
            value: Text, or with `kinds.py` more. None and NaN give None.
            context: ``table.column.rowid``, such as ``"customers.phone.42"``; without the row
                id if *deterministic*. Not secret, not in the token, needed again to open it.
            deterministic: Equal values give equal tokens, which a thief can count and join too.
            pad_to: Fill up to a multiple of so many bytes, 2 to 4096: a yes is as long as a no.
            nested: Take even what `looks_sealed`: random bytes, once in 256 times.

        Returns:
            A token of ``34 + n`` bytes for a value of ``n`` bytes, ``22 + n`` if
            deterministic. The same value gives another random token each time.

        Raises:
            EncryptError: `BadContext`, `BadValue`, `AlreadySealed` or `UnknownKey`.
        """
        return self._seal(*_split(context), [value], deterministic, pad_to, nested)[0]

    def unseal(self, token: Token, *, context: str, deterministic: bool = False) -> Any:
        """Undo `seal`, under the same *context*; the token is bytes or text.

        Raises:
            BadToken: Never a token, cut short, or of a newer kit.
            UnknownKey: The keyring does not give the key that the token names.
            CannotDecrypt: The secret or place differs, or a bit was altered.
        """
        return self._unseal(*_split(context), [token], deterministic)[0]

    def seal_column(
        self,
        values: Iterable[Any],
        *,
        table: str,
        column: str,
        rows: Rows = None,
        deterministic: bool = False,
        pad_to: Pad = None,
        nested: bool = False,
    ) -> list[bytes | None]:
        """Lock a whole column, each cell to its row, as `seal` does in ``table.column.rowid``.

        *values* may be a list, pandas Series, NumPy or Arrow array. *rows* holds one row id
        per value, in the same order: text, whole number or UUID, none of them empty; it is
        left out if *deterministic*. The rest is as for `seal`.
        """
        return self._seal(f"{table}.{column}", rows, values, deterministic, pad_to, nested)

    def unseal_column(
        self,
        tokens: Iterable[Token],
        *,
        table: str,
        column: str,
        rows: Rows = None,
        deterministic: bool = False,
    ) -> list[Any]:
        """Undo `seal_column`. One bad token, and nothing is returned; its cell is named."""
        return self._unseal(f"{table}.{column}", rows, tokens, deterministic)

    def _seal(
        self, name: str, rows: Rows, values: Iterable[Any], alike: bool, pad: Pad, nested: bool
    ) -> list[bytes | None]:
        tokens: list[bytes | None] = []
        for column, cells, places in _batches(name, rows, values, alike):
            plains = self._write(cells, pad, nested, column)
            key_id, aead = self._key(alike)
            header, encrypt = FIRST + key_id.to_bytes(4, "big"), aead.encrypt
            if alike:
                found = [header + sealed for sealed in map(encrypt, plains, places)]
            else:
                nonces = _cut(os.urandom(NONCE_BYTES * len(cells)), NONCE_BYTES, len(cells))
                fronts = _cut(header.join((b"", *nonces)), BODY[alike], len(cells))
                found = list(map(add, fronts, map(encrypt, nonces, plains, places)))
            tokens += column.with_gaps(found)
        return tokens

    def _unseal(self, name: str, rows: Rows, tokens: Iterable[Any], alike: bool) -> list[Any]:
        values: list[Any] = []
        for column, cells, places in _batches(name, rows, tokens, alike):
            raws = _raws(cells, column)
            decrypts = {head: self._key(alike, head)[1].decrypt for head in _headers(raws, column)}
            parts = [map(itemgetter(slice(BODY[alike], None)), raws), places]
            if not alike:
                parts.insert(0, map(itemgetter(slice(HEADER_BYTES, BODY[alike])), raws))
            each: Any = map(call, map(decrypts.__getitem__, map(HEADER, raws)), *parts)
            if len(decrypts) == 1:  # nearly always; spares a look-up for each cell
                each = map(decrypts.popitem()[1], *parts)
            plains: list[bytes] = []
            try:
                plains.extend(each)
            except (InvalidTag, ValueError):  # the latter: not even the nonce is whole
                at = len(plains)  # those before it are in the list already
                where, cell, left = column.at(at), column.numbers[at], len(raws[at])
                if left < SHORTEST[alike]:
                    raise BadToken(f"{where}: cut short to {left} bytes; copy it again") from None
                raise CannotDecrypt(f"{where}: {STAYS_SHUT}", cell=cell) from None
            values += column.with_gaps(self._read(plains, column))
        return values

    def _write(self, cells: list[Any], pad_to: Pad, nested: bool, column: _Column) -> list[bytes]:
        """Return each value as the letter of its kind and bytes, filled up."""
        if pad_to is not None and (type(pad_to) is not int or not 2 <= pad_to <= LONGEST_PAD):
            raise BadValue(f"pad_to is a number of bytes from 2 to {LONGEST_PAD}, or None")
        whole = None if pad_to else _utf8("t", cells)
        if whole is not None and (nested or PREFIX not in "".join(cells)):
            return whole
        plains: list[bytes] = []
        for position, cell in enumerate(cells):
            if not nested and looks_sealed(cell):
                raise AlreadySealed(f"{column.at(position)}: a token already; leave it so")
            plain = self._plain(cell, column.at(position))
            if pad_to:
                plain = plain[:1].upper() + plain[1:] + b"\x80"
                plain += bytes(-len(plain) % pad_to)
            plains.append(plain)
        return plains

    def _read(self, plains: list[bytes], column: _Column) -> list[Any]:
        """Undo `_write`, the whole column at once if it is plain text throughout."""
        joined = b"\0".join((b"", *plains))
        with suppress(UnicodeDecodeError):
            texts = joined.decode().split("\0t")[1:]
            if len(texts) == len(plains) == joined.count(b"\0"):
                return texts
        return [self._value(plain, column.at(i)) for i, plain in enumerate(plains)]

    def _plain(self, value: Any, at: str) -> bytes:
        if isinstance(value, str):
            if whole := _utf8("t", [value]):
                return whole[0]
        elif self._kinds:
            try:
                if written := self._kinds.write(value):
                    return written
            except Exception as error:  # of its own family, which this file does not know
                raise BadValue(f"{at}: {error}") from None
        raise BadValue(f"{at}: {type(value).__name__} needs {WITH_KINDS}, or has half a character")

    def _value(self, plain: bytes, at: str) -> Any:
        letter, body = plain[:1].lower(), plain[1:]
        if letter != plain[:1]:
            body, mark, zeros = body.rpartition(b"\x80")
            if not mark or zeros.strip(b"\0"):
                raise BadToken(f"{at}: opened, but not filled up as it should be; who made it?")
        if letter == b"t":
            with suppress(UnicodeDecodeError):
                return body.decode()
        elif self._kinds:
            try:
                return self._kinds.read(letter + body)
            except Exception as error:  # as above
                raise BadToken(f"{at}: opened, but {error}") from None
        raise BadToken(f"{at}: opened, but its kind of value needs {WITH_KINDS}")

    def _key(self, alike: bool, header: bytes = b"") -> tuple[int, Any]:
        """Return the primary key, or the one that a token's header names: its id, and a cipher."""
        wanted = int.from_bytes(header[1:], "big") if header else None
        keys, purpose = self._keys, PURPOSE[alike]
        try:
            key = keys.primary(purpose) if wanted is None else keys.find(purpose, wanted)
        except Exception as error:  # of the keyring's own family, which this file does not know
            raise UnknownKey(str(error), key_id=wanted) from None
        if len(key.secret) != KEY_BYTES[alike] or wanted not in (None, key.id):
            raise UnknownKey("the keyring gave a key of another kind; check it", key_id=wanted)
        return key.id, CIPHER[alike](key.secret)


def to_text(token: bytes) -> str:
    """Return a token as text for a CSV cell: ``k1.`` and base64url, a third longer."""
    return PREFIX + base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def to_bytes(text: str) -> bytes:
    """Undo `to_text`. Only the one spelling that it gives is taken, all else is `BadToken`."""
    if not text.startswith(PREFIX):
        raise BadToken(f"not a token: it does not start with {PREFIX!r}; was it ever encrypted?")
    raw, body = b"", text[len(PREFIX) :].encode("ascii", "replace")
    with suppress(ValueError):
        raw = base64.urlsafe_b64decode(body + b"==")
    if not raw or to_text(raw) != text:  # the decoder drops foreign letters and idle bits
        raise BadToken("not a token: cut off, or its body is not base64url; copy it again in full")
    return raw


def looks_sealed(value: object) -> bool:
    """Tell whether a value has the form of a token. Random bytes do once in 256 times."""
    if isinstance(value, bytes):
        if len(value) >= SHORTEST[True] and value[:1] == FIRST:
            return True
        value = value.decode("latin-1")
    return isinstance(value, str) and TEXT_TOKEN.fullmatch(value) is not None


def _split(context: str) -> tuple[str, list[str] | None]:
    """Return the column and the row id, if there is one."""
    if not (found := CONTEXT.fullmatch(context)):
        raise BadContext(PLACE)
    return found[1], None if found[2] is None else [found[2]]


def _batches(name: str, rows: Rows, values: Iterable[Any], alike: bool) -> Iterator[Cells]:
    """Yield cells that are not empty, and the associated data of each; AES-SIV wants a list."""
    cells = _listed(values)
    if alike != (rows is None) or _split(name)[1]:
        raise BadContext(PLACE)
    ids = [""] * len(cells) if rows is None else _listed(rows)
    if len(ids) != len(cells):
        raise BadContext(f"{len(cells)} values but {len(ids)} row ids; each value needs its own")
    for start in range(0, len(cells), BATCH):
        part, of = cells[start : start + BATCH], ids[start : start + BATCH]
        places: Any = [[name.encode()]] * len(part) if alike else _utf8(f"{name}.", of)
        if places is None and {*map(type, of)} <= {str, int, UUID}:
            places = _utf8(f"{name}.", [*map(str, of)])
        if places is None or (not alike and "" in of):
            raise BadContext("a row id is text, a whole number or a UUID; one is empty or neither")
        batch = range(start + 1, start + len(part) + 1)
        numbers: Sequence[int] = batch
        types = {*map(type, part)}
        if not types <= {str, bytes}:
            full = [i for i, cell in enumerate(part) if type(cell) in SURE or not _missing(cell)]
            part, places = [part[i] for i in full], [places[i] for i in full]
            numbers = [batch[i] for i in full]
        yield _Column(name, numbers, batch, len(cells), types), part, places


def _cut(data: bytes, size: int, count: int) -> tuple[bytes, ...]:
    """Return so many pieces of one size; a third of the time that slices take."""
    return struct.Struct(f"{size}s" * count).unpack(data)


def _utf8(prefix: str, texts: list[str]) -> list[bytes] | None:
    """Encode prefix and text for each, in one go: a third of the time. None: not all are text."""
    try:
        parts = (prefix + ("\0" + prefix).join(texts)).encode().split(b"\0")
        return parts if len(parts) == len(texts) else [(prefix + t).encode() for t in texts]
    except (TypeError, UnicodeEncodeError):  # the latter holds the text: nothing is raised here
        return None


def _listed(values: Iterable[Any]) -> list[Any]:
    """Return Python values, from Arrow, pandas and NumPy too."""
    method = getattr(values, "to_pylist", None) or getattr(values, "tolist", None)
    if getattr(getattr(values, "dtype", None), "kind", None) in ("M", "m"):
        method = None  # NumPy makes whole numbers of times to the nanosecond
    return list(method() if method else values)


def _missing(cell: object) -> bool:
    if isinstance(cell, Number):  # NaN, -NaN, sNaN or NaT; a span of time is a number to NumPy
        return str(cell).lower().lstrip("+-s").startswith(("nan", "nat"))
    kind = type(cell).__name__
    return kind in ("NoneType", "NAType", "NaTType") or kind == "datetime64" and str(cell) == "NaT"


def _raws(cells: list[Any], column: _Column) -> list[bytes]:
    """Return tokens as bytes."""
    if column.types <= {bytes, type(None)}:
        return cells
    raws: list[bytes] = []
    try:
        for cell in cells:
            if not isinstance(cell, (str, bytes)):
                raise BadToken(f"not a token but {type(cell).__name__}; use bytes or text")
            raws.append(to_bytes(cell) if isinstance(cell, str) else cell)
    except BadToken as error:
        raise BadToken(f"{column.at(len(raws))}: {error}") from None
    return raws


def _headers(raws: list[bytes], column: _Column) -> list[bytes]:
    """Return the different headers; refuse a version that is not known here."""
    headers = sorted({*map(HEADER, raws)})
    for header in headers:
        if header[:1] != FIRST or len(header) < HEADER_BYTES:
            at = column.at([*map(HEADER, raws)].index(header))
            raise BadToken(f"{at}: not a token of version 1; never sealed, cut short, or newer?")
    return headers
