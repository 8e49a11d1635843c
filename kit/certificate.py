# SPDX-License-Identifier: MIT-0
"""Show on one signed page that a backup was really restored, or in red that it could not be.

Copy: ``kit copy certificate --into DIR``, or take this file as it is.
Needs: Python 3.11, cryptography. Nothing else from this kit.
Data: none.

A restore drill is told as a `Drill`. `to_json` signs it for programs, `to_html` makes the page for
the folder of records, the insurer or the accountant::

    {"format":1,"what":"restore drill","drill":{...},"public_key":hex,"signature":hex}

sorted, no spaces, ASCII; the signature is Ed25519 over the same without ``"signature"``. The page
holds no script and asks nobody for anything; it shows the signature, but only `read` proves it.

Source: RFC 8032 (Ed25519).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

FORMAT = 1
WHAT = "restore drill"


class CertificateError(Exception):
    """Base of the errors below. Messages never hold what stands in a certificate."""


class BadCertificate(CertificateError):
    """It is no certificate, is cut short, or a newer kit wrote it."""


class Forged(CertificateError):
    """It was altered, or somebody else signed it."""


class BadDrill(CertificateError):
    """What is to be certified contradicts itself, or a time has no zone."""


@dataclass(frozen=True)
class Restored:
    """One backup that was restored."""

    seq: int
    at: datetime


@dataclass(frozen=True)
class Drill:
    """What a drill did and found. It passed if `failures` is empty and something was restored."""

    at: datetime  # when the drill was done
    shop: str
    place: str  # label of where the backups came from, without credentials
    restored: tuple[Restored, ...]  # newest first
    key: str  # whose key opened it: owner or escrow
    rows: Mapping[str, int]  # restored rows of each table; customers among them
    canaries: int  # marked rows that were found unchanged
    canaries_of: int  # marked rows that were looked for
    erased_absent: bool  # nobody who was erased is in it, after the ledger was replayed
    took: timedelta  # from the first byte fetched to the proven database
    age: timedelta  # of the newest restored data when the drill began
    chain: tuple[int, str]  # number and hash of the newest manifest
    ledger: tuple[int, str]  # of the erasure ledger
    audit: tuple[int, str]  # of the audit log
    versions: Mapping[str, str]  # program to version
    recovery_covers_keys: bool | None  # the recovery copy opens every token; None: not looked at
    failures: tuple[str, ...] = ()  # sentences

    @property
    def passed(self) -> bool:
        """Whether the drill proved that the shop can be restored."""
        return not self.failures and bool(self.restored)

    @property
    def sentence(self) -> str:
        """What was proven, in one sentence."""
        raise NotImplementedError


def to_json(drill: Drill, sign: Callable[[bytes], bytes], public_key: bytes) -> bytes:
    """Return the signed certificate for programs.

    Args:
        drill: What to certify.
        sign: Makes an Ed25519 signature, such as ``keyring.sign``.
        public_key: Its public half, 32 bytes.

    Raises:
        BadDrill: It contradicts itself, or a time has no zone.
        Forged: *sign* and *public_key* do not belong together.
    """
    raise NotImplementedError


def read(data: bytes, public_keys: Collection[bytes]) -> Drill:
    """Return what a certificate tells, if one of the shop's keys signed it.

    Raises:
        BadCertificate: It is none, or a newer kit wrote it.
        Forged: It was altered, or none of *public_keys* signed it.
    """
    raise NotImplementedError


def to_html(drill: Drill) -> str:
    """Return the page: one sheet of paper, no script, nothing fetched."""
    raise NotImplementedError
