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
from collections.abc import Callable, Collection, Iterator, Mapping
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
STAMP, TIME = "%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H:%M:%SZ"
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
Files = Mapping[str, bytes]
Keys = Collection[bytes]


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
    beside: Mapping[str, str]  # files that go along with it: name → SHA-256


Good = dict[int, tuple[bytes, Manifest]]  # by number, each with its file


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
    told["at"] = _utc(manifest.at).strftime(TIME)
    told["keep_until"] = manifest.keep_until and manifest.keep_until.isoformat()
    return _signed({**told, "what": BACKUP}, sign, public_key)


def sign_pruned(pruned: Pruned, sign: Sign, public_key: bytes) -> bytes:
    """Return the file of a record; put it in place **before** the backups are removed."""
    if not pruned.gone or sorted({*pruned.gone}) != list(pruned.gone):
        raise BadManifest("a record names the backups let go once each, in rising order")
    told = {"gone": pruned.gone, "place": pruned.place, "rule": pruned.rule}
    at = _utc(pruned.at).strftime(TIME)
    return _signed({**told, "at": at, "what": PRUNED}, sign, public_key)


def read(data: bytes, *, public_keys: Collection[bytes]) -> Manifest:
    """Return what a manifest tells, if the holder of one of these keys signed it.

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
        public_keys: Those whose signature counts: the keyring's newest and older ones.
        now: The time, with its zone.
        names: Of all files there, to see whether each backup is; None looks at manifests only.
        place: The place's name; records for another place do not count. None takes all.
        head: The newest that was seen before, from a note that is kept elsewhere.
    """
    good, broken, faults = _sorted_out(files, public_keys)
    gone, odd = _let_go(files, public_keys, place)
    faults += odd
    chain = [manifest for _, manifest in good.values()]
    faults += _missing(good, broken, head)
    faults += _links(good, now)
    here = []
    for manifest in (manifest for manifest in chain if manifest.seq not in gone):
        if names is None or manifest.file in names:
            here.append(manifest)
        else:
            say = f"the file of backup {manifest.seq} is missing, and no record let it go"
            faults.append(Fault(manifest.seq, "no file", say))
    faults += _bases(here)
    faults.sort(key=lambda fault: fault.seq)
    newest = (chain[-1].seq, sha256(good[chain[-1].seq][0])) if chain else (0, FIRST)
    return Checked(tuple(chain), tuple(faults), frozenset(gone), tuple(here), newest)


def _sorted_out(files: Files, public_keys: Keys) -> tuple[Good, set[int], list[Fault]]:
    """Return the good manifests by number, the numbers of broken ones, and what is wrong."""
    rivals: dict[int, list[tuple[bytes, Manifest]]] = {}
    broken: set[int] = set()
    faults: list[Fault] = []
    for file in sorted(file for file in files if MANIFEST_NAME.fullmatch(file)):
        seq = int(file[:6])
        try:
            manifest = read(files[file], public_keys=public_keys)
        except ManifestError as problem:
            faults.append(_broken(seq, f"manifest {seq}", problem))
        else:
            if manifest_name(manifest) == file:
                rivals.setdefault(seq, []).append((files[file], manifest))
                continue
            say = f"a file has the name of manifest {seq}, but holds manifest {manifest.seq}"
            faults.append(Fault(seq, "moved", say))
        broken.add(seq)
    good: Good = {}
    for seq in sorted(rivals, reverse=True):
        follows = good[seq + 1][1].prev if seq + 1 in good else ""
        good[seq] = max(rivals[seq], key=lambda one: (sha256(one[0]) == follows, one[1].at))
        if len(rivals[seq]) > 1:
            say = "two computers made them, or one that was set back"
            faults.append(Fault(seq, "twice", f"two backups claim number {seq}: {say}"))
    return dict(sorted(good.items())), broken, faults


def _let_go(files: Files, public_keys: Keys, place: str | None) -> tuple[set[int], list[Fault]]:
    """Return the numbers let go in this place, and which records are broken."""
    gone: set[int] = set()
    faults = []
    for file in sorted(file for file in files if PRUNED_NAME.fullmatch(file)):
        try:
            record = read_pruned(files[file], public_keys=public_keys)
            gone.update(record.gone if place in (None, record.place) else ())
        except ManifestError as problem:
            faults.append(_broken(0, f"the record {file}", problem))
    return gone, faults


def _missing(good: Good, broken: set[int], head: Head | None) -> Iterator[Fault]:
    """Name the numbers that are not there, and an end that was seen and is not there."""
    newest = max(good, default=0)
    known = sorted({0, *good, *(seq for seq in broken if seq < newest)})
    for before, after in pairwise(known):
        first, last = before + 1, after - 1
        if first <= last:
            which = f"manifest {first} is" if first == last else f"manifests {first} to {last} are"
            yield Fault(first, "missing", f"{which} missing")
    if not head or not head[0]:
        return
    seen, digest = head
    if seen > newest and not {*range(newest + 1, seen + 1)} <= broken:
        here = f"newest here is {newest}" if newest else "no good manifest is here"
        say = f"but {seen} was seen: the newer ones were removed, or an older set was put back"
        yield Fault(seen, "older", f"{here}, {say}")
    elif seen in good and sha256(good[seen][0]) != digest:
        yield Fault(seen, "another", f"manifest {seen} is not the one that was seen before")


def _links(good: Good, now: datetime) -> Iterator[Fault]:
    """Name where the chain breaks, and dates that cannot be."""
    latest = _utc(now) + SKEW
    before: Manifest | None = None
    for seq, (_, manifest) in good.items():
        prev = FIRST if seq == 1 else sha256(good[seq - 1][0]) if seq - 1 in good else None
        if prev and manifest.prev != prev:
            say = f"manifest {seq} does not follow what is before it here; two sets were mixed"
            yield Fault(seq, "exchanged", say)
        if manifest.at > latest:
            yield Fault(seq, "future", f"manifest {seq} is dated in the future; check the clock")
        elif before and before.at <= latest and manifest.at < before.at:
            say = f"manifest {seq} is dated before manifest {before.seq}; the clock was wrong"
            yield Fault(seq, "clock", say)
        before = manifest


def _bases(here: list[Manifest]) -> Iterator[Fault]:
    """Name differentials that nothing can be built from."""
    found = {manifest.seq: manifest for manifest in here}
    for seq, told in found.items():
        base = found.get(told.base or 0)
        if told.base and not base:
            yield Fault(seq, "no base", f"backup {seq} needs backup {told.base}, which is not here")
        elif base and (base.kind, base.plain_sha256) != ("full", told.base_sha256):
            say = f"backup {seq} was made from another backup {told.base} than is here"
            yield Fault(seq, "no base", say)


def _broken(seq: int, what: str, problem: ManifestError) -> Fault:
    kind, say = {
        NotSigned: ("altered", "is cut short, or is something else"),
        Altered: ("altered", "was altered"),
        Forged: ("forged", "was signed by somebody else (forged)"),
        NewerFormat: ("newer", "was written by a newer kit; update this one"),
    }.get(type(problem), ("bad", "tells what cannot be"))
    return Fault(seq, kind, f"{what} {say}")


def _signed(told: Mapping[str, object], sign: Sign, public_key: bytes) -> bytes:
    message = _canonical({**told, "format": FORMAT, "public_key": public_key.hex()})
    signature = sign(message)
    if not _verifies(public_key, signature, message):
        raise BadManifest("the signature and the public key do not belong together")
    return message[:-1] + b',"signature":"' + signature.hex().encode() + b'"}'


def _opened(data: bytes, what: str, public_keys: Collection[bytes]) -> dict[str, object]:
    """Return what a file tells if one of ours signed it."""
    found = SIGNED.fullmatch(data) if len(data) <= MOST_BYTES else None
    if not found:
        raise NotSigned(f"no whole {what}: cut short, or something else; {OTHER}")
    message = found[1] + b"}"
    told, key = {}, b""
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        told = json.loads(message)
        key = bytes.fromhex(told.pop("public_key"))
    if not _verifies(key, bytes.fromhex(found[2].decode()), message):
        raise Altered(f"the {what} was altered after it was signed; {OTHER}")
    if key not in public_keys:
        raise Forged(f"the {what} was signed by somebody else; {OTHER}")
    number = told.pop("format", None)
    if type(number) is int and number > FORMAT:
        raise NewerFormat(f"the {what} was written by a newer kit; update this one")
    if number != FORMAT or told.pop("what", None) != what:
        raise BadManifest(f"signed by us, but no {what}; {OTHER}")
    return dict(told)


def _verifies(key: bytes, signature: bytes, message: bytes) -> bool:
    with suppress(InvalidSignature, ValueError):  # the latter for bytes that are no key
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    return False


def _sound(told: Manifest) -> None:
    """Refuse what no backup can be, also if it is signed."""
    heads, base = (*told.ledger, *told.audit), (told.base, told.base_sha256)
    if told.kind != "diff" and base == (None, None):
        base = (0, FIRST)
    sizes = (told.size, told.plain_size, told.page_size, told.generation)
    numbers = (told.seq, base[0], *sizes, *told.key_ids, *heads[::2])
    inside = (told.plain_sha256, told.schema_sha256, told.inside_sha256)
    hashes = (told.prev, told.sha256, *inside, base[1], *heads[1::2], *told.beside.values())
    right = (
        len(heads) == 4
        and all(type(number) is int and number >= 0 for number in numbers)
        and all(isinstance(text, str) and HEX64.fullmatch(text) for text in hashes)
        and all(isinstance(text, str) for text in (told.engine, told.kit, *told.recipients))
        and DATA_NAME.fullmatch(str(told.file))
        and told.file.startswith(name(told.seq, told.at, told.kind, "."))
        and told.at.microsecond == 0
        and bool(base[0]) == (told.kind == "diff")
        and (base[0] or 0) < told.seq
    )
    if not right:
        raise BadManifest("the manifest tells what no backup can be; this is an error in a program")


def _canonical(told: Mapping[str, object]) -> bytes:
    return json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _utc(at: datetime) -> datetime:
    if at.utcoffset() is None:
        raise BadManifest("a time has no zone; hand over an aware datetime")
    return at.astimezone(UTC)


def _moment(text: str) -> datetime:
    return datetime.strptime(text, TIME).replace(tzinfo=UTC)
