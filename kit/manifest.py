# SPDX-License-Identifier: MIT-0
"""Keep a signed list of all backups, so that a missing, altered or forged one is named.

Copy: ``kit copy manifest --into DIR``, or take this file as it is.
Needs: Python 3.11, cryptography. Nothing else from this kit.
Data: none.

Beside each backup lies a small file that tells of it and holds the hash of the one before::

    000123-20261123T184502Z-full.sqlite.zst.age      the backup
    000123-20261123T184502Z-full.manifest.json       {"at":…,"file":…,"prev":…,"signature":…}
    pruned-20261223T184502Z-1f2e3d4c.json            {"gone":[…],"place":…,"rule":…,"signature":…}

All three are written once. A backup that is let go takes its first file with it; the manifest
stays, so that the chain holds from number 1 on, and a signed record says that it was meant.

Each is one line of JSON in ASCII: sorted keys, no spaces, then ``,"signature":"128 hex digits"}``.
The Ed25519 signature is over all that stands before, closed with ``}``. Nothing secret is in
them, and nothing about the shop: its numbers of rows are kept as a hash.

The list alone cannot show that its newest end was cut off. Keep `Checked.head` in another place,
and hand it over the next time. Whoever holds the signing key can sign what they like.

Source: RFC 8032 (Ed25519).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = 1
FIRST = "0" * 64  # stands before the first manifest
BACKUP, PRUNED = "manifest of a backup", "record of backups let go"
KINDS = ("full", "diff")
STAMP = "%Y%m%dT%H%M%SZ"
SUFFIX = ".manifest.json"
STEM = r"(?P<seq>\d{6})-(?P<at>\d{8}T\d{6}Z)-(?P<kind>full|diff)"
DATA_NAME = re.compile(rf"{STEM}(?:\.[a-z0-9]+)*\.age", re.ASCII)
MANIFEST_NAME = re.compile(rf"{STEM}{re.escape(SUFFIX)}", re.ASCII)
PRUNED_NAME = re.compile(r"pruned-\d{8}T\d{6}Z-[0-9a-f]{8}\.json", re.ASCII)
HEX64 = re.compile(r"[0-9a-f]{64}")
SIGNED = re.compile(rb'(\{.*),"signature":"([0-9a-f]{128})"\}', re.DOTALL)
MOST_SEQ = 999_999  # a backup an hour for 114 years
MOST_BYTES = 1 << 20  # of one manifest; ours have about 1,500
SKEW = timedelta(minutes=10)  # by which two good clocks may differ
OTHER = "take it from another place where backups are kept"

Sign = Callable[[bytes], bytes]
Head = tuple[int, str]


class ManifestError(Exception):
    """Base of the errors below. Messages never hold a key or a hash."""


class NotSigned(ManifestError):
    """The file is no manifest: cut short, or something else."""


class Forged(ManifestError):
    """The file was signed by somebody whose key is not among those given."""


class Altered(ManifestError):
    """The file was changed after it was signed."""


class NewerFormat(ManifestError):
    """The file is ours, and written by a newer kit."""


class BadManifest(ManifestError):
    """What it tells cannot be: a hash with a wrong length, a time without a zone, and such."""


@dataclass(frozen=True)
class Manifest:
    """What is told of one backup."""

    seq: int  # from 1
    prev: str  # SHA-256 of the previous manifest's file, or FIRST
    at: datetime  # UTC, whole seconds
    kind: str  # "full" or "diff"
    base: int | None  # number of the full backup that a differential builds on
    file: str  # name of the backup
    size: int  # of the backup, in bytes
    sha256: str  # of the backup
    plain_size: int  # of the copy of the database in it
    plain_sha256: str
    base_sha256: str | None  # of the copy that a differential builds on
    page_size: int  # of the database; 0 if it has none
    schema_sha256: str
    inside_sha256: str  # `digest` of what is kept inside: numbers of rows, marks of customers
    engine: str  # such as "SQLite 3.40.1"
    kit: str  # version of the kit
    recipients: tuple[str, ...]  # `fingerprint` of each key that opens the backup
    key_ids: tuple[int, ...]  # numbers of the keys that its sealed values need
    generation: int  # of the keyring
    ledger: Head  # number and hash of the newest line of the erasure ledger
    audit: Head  # number and hash of the newest entry of the audit log
    keep_until: date | None  # not to be removed before


@dataclass(frozen=True)
class Pruned:
    """Which backups' files were let go in one place, and by which rule."""

    at: datetime
    gone: tuple[int, ...]  # numbers, rising
    place: str  # its name, so that a record for one place excuses nothing in another
    rule: str  # in words


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be, named as what it is."""

    seq: int  # the manifest's number, or 0 if it is about none
    kind: str
    text: str  # a sentence for people


@dataclass(frozen=True)
class Checked:
    """What a place's manifests tell."""

    chain: tuple[Manifest, ...]  # all that were signed by us and are where they belong, by number
    faults: tuple[Fault, ...]
    gone: frozenset[int]  # let go on purpose; finish it if one of their files is still there
    here: tuple[Manifest, ...]  # of the chain, those whose backup is there and was not let go
    head: Head  # the newest good manifest's number and hash; note it elsewhere


def name(seq: int, at: datetime, kind: str, suffix: str) -> str:
    """Return the name of a backup: ``000123-20261123T184502Z-full`` and *suffix*."""
    if not (0 < seq <= MOST_SEQ and kind in KINDS):
        raise BadManifest(f"a number from 1 to {MOST_SEQ}, and full or diff, make a name")
    return f"{seq:06}-{_utc(at).strftime(STAMP)}-{kind}{suffix}"


def manifest_name(manifest: Manifest) -> str:
    """Return the name of the file that holds a manifest."""
    return name(manifest.seq, manifest.at, manifest.kind, SUFFIX)


def pruned_name(data: bytes) -> str:
    """Return the name of the file that holds a signed record of backups let go."""
    text = str(json.loads(data)["at"])
    return f"pruned-{_moment(text).strftime(STAMP)}-{sha256(data)[:8]}.json"


def fingerprint(recipient: str) -> str:
    """Return what a manifest tells of a public key (``age1…``)."""
    return sha256(recipient.strip().encode())[:16]


def digest(inside: Mapping[str, object]) -> str:
    """Return the hash by which a manifest tells of what is kept inside the backup."""
    return sha256(_canonical(inside))


def sha256(data: bytes) -> str:
    """Return the SHA-256 in hex; of a manifest's file it is the next one's `prev`."""
    return hashlib.sha256(data).hexdigest()


def sign(manifest: Manifest, sign: Sign, public_key: bytes) -> bytes:
    """Return the file of a manifest.

    Args:
        manifest: What it tells.
        sign: Returns the Ed25519 signature of a message.
        public_key: Its 32 bytes, by which anybody can check that.

    Raises:
        BadManifest: It tells something that cannot be.
    """
    _sound(manifest)
    told = {field.name: getattr(manifest, field.name) for field in fields(Manifest)}
    told["at"] = _text(manifest.at)
    told["keep_until"] = manifest.keep_until and manifest.keep_until.isoformat()
    return _signed({**told, "what": BACKUP}, sign, public_key)


def sign_pruned(pruned: Pruned, sign: Sign, public_key: bytes) -> bytes:
    """Return the file of a record; put it in place **before** the backups are removed."""
    if not pruned.gone or sorted({*pruned.gone}) != list(pruned.gone):
        raise BadManifest("a record names the backups let go once each, in rising order")
    told = {"gone": pruned.gone, "place": pruned.place, "rule": pruned.rule}
    return _signed({**told, "at": _text(pruned.at), "what": PRUNED}, sign, public_key)


def read(data: bytes, *, public_keys: Collection[bytes]) -> Manifest:
    """Return what a manifest tells, if one of ours signed it.

    Args:
        data: The file.
        public_keys: Those whose signature counts: the keyring's newest and older ones.

    Raises:
        NotSigned, Forged, Altered, NewerFormat, BadManifest: See there.
    """
    told = _opened(data, BACKUP, public_keys)
    try:
        for word in ("recipients", "key_ids", "ledger", "audit"):
            told[word] = tuple(told[word])  # type: ignore[arg-type]
        told["at"] = _moment(str(told["at"]))
        until = told["keep_until"]
        told["keep_until"] = until and date.fromisoformat(str(until))
        manifest = Manifest(**told)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError):
        raise BadManifest(f"the manifest lacks something or holds more; {OTHER}") from None
    _sound(manifest)
    return manifest


def read_pruned(data: bytes, *, public_keys: Collection[bytes]) -> Pruned:
    """Return what a record of backups let go tells. Raises as `read`."""
    told = _opened(data, PRUNED, public_keys)
    try:
        gone = tuple(int(str(seq)) for seq in told["gone"])  # type: ignore[attr-defined]
        return Pruned(_moment(str(told["at"])), gone, str(told["place"]), str(told["rule"]))
    except (KeyError, TypeError, ValueError):
        raise BadManifest(f"the record lacks something; {OTHER}") from None


def check(
    files: Mapping[str, bytes],
    *,
    public_keys: Collection[bytes],
    now: datetime,
    names: Collection[str] | None = None,
    place: str | None = None,
    head: Head | None = None,
) -> Checked:
    """Compare all manifests of a place with each other, and name each fault.

    Args:
        files: Every manifest and every record of backups let go, by name. Others are passed over.
        public_keys: Those whose signature counts.
        now: The time, with its zone.
        names: Of all files there, to see whether each backup is; None looks at manifests only.
        place: The place's name; records for another place do not count. None takes all.
        head: The newest that was seen before, from a note that is kept elsewhere.
    """
    raise NotImplementedError
