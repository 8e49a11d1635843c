# SPDX-License-Identifier: MIT-0
"""Send along what a restored database is useless without: its keys, settings and erasures.

Copy: ``kit copy beside --into DIR``, or take this file as it is.
Needs: Python 3.11, pyrage. Nothing else from this kit.
Data: none.

A laptop that is stolen takes the keyring along, and without keys a sealed backup of sealed columns
opens to nothing. So small age files lie beside the backups, for the same people::

    keys-000003-5d41402a-7b52009b.age            keys, as `recovery.copy` writes them
    folder-9b74c9897bac-5d41402a-a87ff679.age    shop.toml, inventory.toml, recovery.pub, in a tar
    ledger-000007-5d41402a-e4da3b7f.age          who was erased, as keyed hashes

The name says what is in it, which one (a number that grows, or a hash of the content) and, in 8
digits each, for whom and what its own SHA-256 begins with: sealed once more, the same content is
another file. So the same content for the same people is sealed and sent only once by one computer.
age does not say who wrote a file: compare its hash with a signed list before believing it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pyrage
from pyrage import x25519

KINDS = {
    "keys": "the keys that open the sealed columns",
    "folder": "settings, inventory and the public half of the paper key, in a tar",
    "ledger": "who was erased, as keyed hashes, a line each",
}
NAME = re.compile(rf"({'|'.join(KINDS)})-([0-9a-f]{{6,12}})(-[0-9a-f]{{8}}){{2}}\.age", re.ASCII)
MOST_BYTES = 64 << 20  # of one file; a ledger of 100,000 erasures has 35 MB

HOW = """
Beside the database you need the files below. Each opens with: age -d -i key.txt FILE
{files}
{signed} is the public key that signed the manifests. Compare it with the one on your papers: who
could write into this folder could have put another one here.
"""


class BesideError(Exception):
    """Base of the errors below. Messages never hold a key or any content."""


class WrongKey(BesideError):
    """None of the identities opens the file."""


class Damaged(BesideError):
    """The file is not the one that was sent along."""


class Missing(BesideError):
    """There is no such file."""


def seal(
    folder: Path, parts: Mapping[str, tuple[str, bytes | Callable[[], bytes]]], to: Sequence[str]
) -> dict[str, Path]:
    """Seal what goes along; what has not changed stays as it was sealed before.

    Args:
        folder: Where the sealed files are kept; others in it are deleted.
        parts: For each kind, which one it is (hex digits) and its content; a function returns
            content that is sealed already.
        to: Public keys (``age1…``).

    Returns:
        The files by name.
    """
    whom = hashlib.sha256("\n".join(sorted(to)).encode()).hexdigest()[:8]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {}
    for kind, (which, content) in parts.items():
        start = f"{kind}-{which}-{whom}"
        if not NAME.fullmatch(f"{start}-{whom}.age"):
            raise BesideError(f"{kind} cannot be sent along under this number")
        for path in folder.glob(f"{start}-????????.age"):
            found[path.name] = path
            break
        else:
            keys = [x25519.Recipient.from_str(key) for key in to]
            data = content() if callable(content) else pyrage.encrypt(content, keys)
            path = folder / f"{start}-{hashlib.sha256(data).hexdigest()[:8]}.age"
            _write(path, data)
            found[path.name] = path
    for path in folder.iterdir():
        if path.name not in found:
            path.unlink()
    return found


def newest(names: Iterable[str], kind: str) -> str:
    """Return the name of the newest keys or ledger among files.

    Raises:
        Missing: There is none.
    """
    found = [match for name in names if (match := NAME.fullmatch(name)) and match[1] == kind]
    if not found:
        raise Missing(f"there is no file {kind}-…; look in another place where backups are kept")
    return max(found, key=lambda match: match[2])[0]


def which(name: str) -> int:
    """Return the number in the name of keys or a ledger."""
    match = NAME.fullmatch(name)
    return int(match[2]) if match and match[1] != "folder" and match[2].isdigit() else 0


def unseal(name: str, data: bytes, identities: Collection[str], *, sha256: str | None) -> bytes:
    """Open a file that was sent along.

    Args:
        name: Its name.
        data: The file.
        identities: Secret keys (``AGE-SECRET-KEY-1…``).
        sha256: Its hash in the signed list; None if there is no list to be asked.

    Raises:
        Damaged: It is another file.
        WrongKey: No identity opens it.
    """
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise Damaged(f"{name} is altered, or another file has its name; take it from elsewhere")
    keys = [x25519.Identity.from_str(key) for key in identities]
    try:
        return bytes(pyrage.decrypt(data, keys))
    except pyrage.DecryptError as problem:
        if str(problem).startswith("No matching keys"):
            raise WrongKey(f"this key does not open {name}; try the other person's") from None
        raise Damaged(f"{name} is cut short or altered; take it from elsewhere") from None


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return files as a tar that tells nothing of this computer, the same for the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o600
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def unpack(
    data: bytes, wanted: Collection[str], *, allowed: Collection[str] = ()
) -> dict[str, bytes]:
    """Return the files of a tar; nothing is written by their names.

    Args:
        data: The tar.
        wanted: Names of files that have to be in it.
        allowed: Names of files that may be in it.

    Raises:
        Damaged: It holds others, or lacks one.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for info in tar:
                file = tar.extractfile(info) if info.isreg() else None
                known = info.name in wanted or info.name in allowed
                if file is None or not known or info.name in found:
                    raise Damaged("the settings that were sent along hold something else, too")
                found[info.name] = file.read()
    except tarfile.TarError:
        raise Damaged("the settings that were sent along cannot be read") from None
    if not found.keys() >= {*wanted}:
        raise Damaged("the settings that were sent along lack a file")
    return found


def digest(data: bytes) -> str:
    """Return which one a content is, for a kind that has no number."""
    return hashlib.sha256(data).hexdigest()[:12]


def how(names: Iterable[str], signed: str) -> str:
    """Return the paragraph of RESTORE.txt about these files.

    Args:
        names: Of the newest ones.
        signed: Name of the file with the public key.
    """
    lines = [f"- {name}: {KINDS[match[1]]}" for name in names if (match := NAME.fullmatch(name))]
    return HOW.format(files="\n".join(sorted(lines)), signed=signed)


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # before it takes the name: a crash leaves no half file under it
    part.replace(path)
