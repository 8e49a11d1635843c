# SPDX-License-Identifier: MIT-0
"""Let nobody sign up somebody else: a link, mailed to the address, that works once and for a while.

Copy: ``kit copy optin --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

A token is what stands in the link, ``d1.`` and base64url of::

    expires u64 BE, seconds since 1970 | nonce 16 | address 16 | consent id, UTF-8 | mac 32

``mac`` is HMAC-SHA256 of all before it; ``address`` the first half of HMAC-SHA256 of nonce and
address, so that the link tells nobody whose it is, and says yes to no address that came later.

It is used up by a record that you keep, `Seen`; with SQL one statement is enough::

    INSERT INTO used_links (nonce, until) VALUES (?, ?) ON CONFLICT DO NOTHING
    -- one row written: the first time

Mail programs open links to look for viruses. So let the link show a page with a button, and call
`redeem` when the button is pressed (POST), not when the page is fetched (GET).

Source: HMAC as in RFC 2104, SHA-256; its keys are 32 bytes, the length of the hash.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

PREFIX = "d1."  # names the layout above; a new layout gets a new number
KEY_BYTES = 32
NONCE_BYTES = 16
TAG_BYTES = 16
MAC_BYTES = 32
HEAD_BYTES = 8 + NONCE_BYTES + TAG_BYTES
LONGEST = 1_000  # characters; what is longer was never made here
VALID = timedelta(days=2)  # a weekend
LONGEST_VALID = timedelta(days=30)


class OptinError(Exception):
    """Base of the errors below. Messages never hold a token, a key or an address."""


class BadCall(OptinError):
    """A key, a time or a number does not do."""


class BadToken(OptinError):
    """Not a token of ours, cut short, altered, or made with another key."""


class Expired(OptinError):
    """The token was right, and too old. `since` is when it ran out."""

    def __init__(self, since: datetime) -> None:
        super().__init__("the link has run out; send a new one")
        self.since = since


class Moved(OptinError):
    """The customer has another address by now, or withdrew."""


class UsedUp(OptinError):
    """The link was used before; there is nothing left to do."""


class Seen(Protocol):
    """The record of used tokens."""

    def add(self, nonce: bytes, until: datetime) -> bool:
        """Return True the first time, False ever after, in one step that cannot be interrupted.

        After *until* the token has run out by itself, and the record may be forgotten.
        """


def make(
    consent_id: str, *, address: str, key: bytes, now: datetime, valid: timedelta = VALID
) -> str:
    """Return a token for the link in the mail that asks for a confirmation.

    Args:
        consent_id: Number of the event ``given``. It can be read off the token: no names in it.
        address: Where the mail goes, as it is stored.
        key: 32 random bytes, for this use alone.
        now: The time, with a zone.
        valid: For how long; up to 30 days.
    """
    if len(key) != KEY_BYTES:
        raise BadCall(f"a key is {KEY_BYTES} bytes; take one from the keyring")
    if now.tzinfo is None:
        raise BadCall("now has no time zone; hand over an aware datetime")
    if not timedelta(seconds=1) <= valid <= LONGEST_VALID:
        raise BadCall(f"a link is valid for a second to {LONGEST_VALID.days} days")
    number = _bytes(consent_id)
    if not 0 < len(number) <= 200 or not address:
        raise BadCall("a token needs a consent's number, up to 200 bytes, and an address")
    nonce = os.urandom(NONCE_BYTES)
    expires = int((now + valid).timestamp()).to_bytes(8, "big")
    body = expires + nonce + _tag(key, nonce, address) + number
    return PREFIX + base64.urlsafe_b64encode(body + _mac(key, body)).decode().rstrip("=")


def redeem(
    token: str,
    *,
    keys: Sequence[bytes],
    address_of: Callable[[str], str | None],
    seen: Seen,
    now: datetime,
) -> str:
    """Use a token up, and return the number of the consent that it confirms.

    Args:
        token: As it came in the link.
        keys: The key, and older ones whose tokens may be about.
        address_of: Called with the consent's number once the token is known to be ours; gives the
            address that is stored now, or None if it is gone or the consent was withdrawn.
        seen: The record of used tokens. A token that is refused is not used up.
        now: The time, with a zone.

    Raises:
        BadToken, Expired, Moved, UsedUp: As they say.
    """
    if now.tzinfo is None:
        raise BadCall("now has no time zone; hand over an aware datetime")
    body, key = _open(token, keys)
    until = datetime.fromtimestamp(int.from_bytes(body[:8], "big"), UTC)
    if now >= until:
        raise Expired(until)
    nonce, tag = body[8 : 8 + NONCE_BYTES], body[8 + NONCE_BYTES : HEAD_BYTES]
    consent_id = body[HEAD_BYTES:].decode()
    address = address_of(consent_id)
    if address is None or not hmac.compare_digest(tag, _tag(key, nonce, address)):
        raise Moved("the address has changed since, or the yes was taken back; ask anew")
    if not seen.add(nonce, until):
        raise UsedUp("the link was used before; nothing more is to be done")
    return consent_id


def _open(token: str, keys: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return a token's body and the key that made it."""
    text = token.removeprefix(PREFIX)
    if len(token) > LONGEST or text == token or not token.isascii():
        raise BadToken("not such a link; copy it again in full")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise BadToken("not such a link; copy it again in full") from None
    body, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    for key in keys:
        if len(body) > HEAD_BYTES and hmac.compare_digest(mac, _mac(key, body)):
            return body, key
    raise BadToken("cut short, altered, or made with another key; copy it again or ask for another")


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, b"customer-data-kit d1 token\0" + body, "sha256")


def _tag(key: bytes, nonce: bytes, address: str) -> bytes:
    text = b"customer-data-kit d1 address\0" + nonce + _bytes(address)
    return hmac.digest(key, text, "sha256")[:TAG_BYTES]


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # it holds the value
        pass
    raise BadCall("a number or an address holds half a character; tidy it first")
