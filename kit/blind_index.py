# SPDX-License-Identifier: MIT-0
"""Find an encrypted e-mail address again without decrypting every row, and show a thief little.

Copy: ``kit copy blind_index --into DIR``, or take this file as it is.
Needs: Python 3.11, cryptography. Nothing else from this kit.
Data: none.

Beside the sealed column stands a small number, stored as INTEGER::

    the first b bits of HMAC-SHA256(key, F("kit/bidx/v1") F(table.column) F(value))
    F(x) = length in bytes as u16 BE, then x in UTF-8

so that no two pairs of column and value are framed alike. The value is normalised first.
Few bits are on purpose: several customers share each number, so it is no fingerprint.
**Decrypt every hit and compare**; the number only narrows the search.

Sizing: of R rows, C = R / 2**b share a number on average, and 2 <= C <= sqrt(R):

    rows     16    100   1,000   10,000   100,000   1,000,000
    bits    2-3    4-5     5-8     7-12      9-15       10-18

What shows: which rows share a number, so how often a number occurs. A fast keyed hash is
enough, as the key protects; a slow one (Argon2) makes 300,000 rows take hours.

Source: the sizing rule is CipherSweet's; the same idea is in AWS' beacons.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from math import ceil, floor, log2, sqrt
from typing import Any, Protocol

from cryptography.hazmat.primitives import hashes, hmac

LABEL = "kit/bidx/v1"
MOST_BITS = 63  # SQLite's integers are 64 bits with a sign
FEWEST_ROWS = 16  # below, no number of bits keeps two rows per number and saves work too
COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")
E164 = re.compile(r"\+[1-9][0-9]{6,14}")


class BlindIndexError(Exception):
    """Base of the errors below. Messages never hold a value."""


class BadInput(BlindIndexError):
    """A value, a column name or a number of bits cannot be used as it is."""


class TooTelling(BlindIndexError):
    """An index here would be a fingerprint, or would give the values away by counting."""


class Key(Protocol):
    """What a keyring gives: a secret, 32 bytes, and the number that names it."""

    @property
    def id(self) -> int:
        """1 to 2**32 - 1, never used twice."""

    @property
    def secret(self) -> bytes:
        """Random bytes."""


class Keys(Protocol):
    """A keyring, such as `keys.Keyring`. Both methods raise errors of their own."""

    def primary(self, purpose: str) -> Key:
        """Return the key that new numbers are made with."""

    def find(self, purpose: str, key_id: int) -> Key:
        """Return an older key, while a rotation runs."""


@dataclass(frozen=True)
class Plan:
    """How many bits an index may have, and what it will cost."""

    fewest: int  # the most private: about sqrt(rows) rows share a number, more beside others
    most: int  # the fastest: about two do, counting the other indexes over the column
    rows: int

    @property
    def bits(self) -> int:
        """The number to take; decrypting sqrt(rows) hits is quick: 1,000 of a million in 1 ms."""
        return self.fewest

    def hits(self, bits: int) -> float:
        """Return how many rows a search decrypts on average."""
        return self.rows / (1 << bits)


class BlindIndex:
    """Make the numbers, under the key of purpose "index"."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    @property
    def key_id(self) -> int:
        """The key of new numbers. Store it beside them: they do not carry it themselves."""
        return self._keys.primary("index").id

    def number(
        self, column: str, value: str, *, kind: str, bits: int, key_id: int | None = None
    ) -> int:
        """Return the number to store, or to look for, of one value.

        Args:
            column: ``table.column``. Two columns that give the same name can be joined.
            value: As it was written; it is normalised here.
            kind: One of `KINDS`; the same for storing and for searching.
            bits: From `plan`; the same for the whole column, 1 to 63.
            key_id: An older key, while a rotation runs: search for both numbers then.

        Raises:
            BadInput: One of the above is not as it should be. Errors of the keyring
                pass through.
        """
        found = self.numbers(column, [value], kind=kind, bits=bits, key_id=key_id)[0]
        if found is None:
            raise BadInput("nothing to look for: the value is empty")
        return found

    def numbers(
        self,
        column: str,
        values: Iterable[str | None],
        *,
        kind: str,
        bits: int,
        key_id: int | None = None,
    ) -> list[int | None]:
        """Return the number of every value of a column; None where there is none.

        *values* may be a list, pandas Series, NumPy or Arrow array.
        """
        if not COLUMN.fullmatch(column):
            raise BadInput("a column is written table.column, in letters, digits and _")
        if not 1 <= bits <= MOST_BITS:
            raise BadInput(f"bits are 1 to {MOST_BITS}; let plan() say how many")
        key = self._keys.primary("index") if key_id is None else self._keys.find("index", key_id)
        start = hmac.HMAC(key.secret, hashes.SHA256())
        start.update(_framed(LABEL) + _framed(column))
        found: list[int | None] = []
        for position, value in enumerate(_listed(values), 1):
            try:
                text = None if _missing(value) else normalise(kind, value)
                framed = text and _framed(text)
            except BadInput as error:
                raise BadInput(f"{column}, value {position}: {error}") from None
            if not framed:
                found.append(None)
                continue
            keyed = start.copy()  # half the cost of starting anew
            keyed.update(framed)
            found.append(int.from_bytes(keyed.finalize()[:8], "big") >> (64 - bits))
        return found


def plan(values: Iterable[Hashable], *, rows: int | None = None, taken: int = 0) -> Plan:
    """Say how many bits an index over a column may have, or why it may have none.

    Args:
        values: The column as it is, normalised; empty cells are left out.
        rows: How many rows it will grow to, if more.
        taken: Bits of other indexes over the same column, such as one over the last 4
            digits; what they show adds up, so this one gets what is left.

    Returns:
        The fewest and the most bits; the fewest are recommended.

    Raises:
        TooTelling: Under 16 rows; too few different values, such as yes and no; one value
            so frequent that its number gives it away; or no bits left beside *taken*.
    """
    counts = Counter(value for value in _listed(values) if not _missing(value))
    total = max(counts.total(), rows or 0)
    if total < FEWEST_ROWS:
        raise TooTelling(f"{total} rows: decrypt them all, an index needs {FEWEST_ROWS} or more")
    fewest, most = ceil(log2(total) / 2), floor(log2(total)) - 1
    if len(counts) < 2 ** (fewest + 1):
        raise TooTelling(
            f"only {len(counts)} different values: each would have a number of its own; "
            f"decrypt and compare, or index a column with {2 ** (fewest + 1)} or more"
        )
    (_, largest), *_ = counts.most_common(1)
    if (share := largest / counts.total()) * total > sqrt(total):
        raise TooTelling(
            f"one value fills {share:.0%} of the rows: its number would give it away; "
            "index another column, or two together"
        )
    most = min(most, floor(log2(len(counts))) - 1) - taken
    if most < 1:
        raise TooTelling(f"the other indexes over this column take {taken} bits; drop one of them")
    return Plan(min(fewest, most), most, total)


def normalise(kind: str, value: object) -> str | None:
    """Return the one spelling of a value, so that "José" typed in two ways is found.

    Args:
        kind: One of `KINDS`: "e-mail", "name", "phone" (E.164, such as +12125550100),
            "last 4 digits" or "exact".
        value: Text.

    Returns:
        None where nothing is left.

    Raises:
        BadInput: Not text, an unknown kind, or a phone number without its country.
    """
    if kind not in KINDS:
        raise BadInput(f"a kind is one of: {', '.join(KINDS)}")
    if not isinstance(value, str):
        raise BadInput(f"not text but {type(value).__name__}; make it text the same way always")
    return KINDS[kind](value) or None


def _folded(value: str) -> str:
    """NFKC and casefold until nothing changes: "ﬁ" is fi, and K of kelvin is k."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    return folded if folded == value else _folded(folded)


def _phone(value: str) -> str:
    bare = re.sub(r"[\s().\-]", "", unicodedata.normalize("NFKC", value))
    if bare and not E164.fullmatch(bare):
        raise BadInput("not a phone number with + and country; convert the column to E.164 first")
    return bare


def _last4(value: str) -> str:
    digits = "".join(c for c in unicodedata.normalize("NFKC", value) if c in "0123456789")
    if len(digits) < 4:
        raise BadInput("fewer than 4 digits; leave it empty")
    return digits[-4:]


KINDS: dict[str, Callable[[str], str]] = {  # version 1; a new rule needs a new label above
    "e-mail": lambda value: _folded(value).strip(),
    "name": lambda value: " ".join(_folded(value).split()),
    "phone": _phone,
    "last 4 digits": _last4,
    "exact": lambda value: unicodedata.normalize("NFC", value),
}


def _framed(text: str) -> bytes:
    """Return length and text, so that no two pairs run together alike."""
    try:
        data = text.encode()
    except UnicodeEncodeError:  # it holds the text, so nothing may be raised in here
        data = bytes(2**16)
    if len(data) >= 2**16:
        raise BadInput("over 65,535 bytes or with half a character; this is no value to search by")
    return len(data).to_bytes(2, "big") + data


def _listed(values: Iterable[Any]) -> list[Any]:
    """Return Python values, from Arrow, pandas and NumPy too; as in encrypt.py."""
    method = getattr(values, "to_pylist", None) or getattr(values, "tolist", None)
    return list(method() if method else values)


def _missing(value: Any) -> bool:
    if isinstance(value, (str, int)):  # told fast
        return False
    return value is None or str(value) in ("nan", "<NA>", "NaT")
