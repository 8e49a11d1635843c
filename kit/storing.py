# SPDX-License-Identifier: MIT-0
"""Put a backup's files to every place, the list last, and write there how to restore by hand.

A place that is unplugged or full holds up no other; what went wrong is told for each. One that
missed a full backup is given it from another place, before a differential that builds on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kit import beside, pack
from kit.backup_state import State
from kit.manifest import Manifest
from kit.places import Place, PlaceError

SIGNED_BY, RESTORE = "verify.pub", "RESTORE.txt"
POSTGRESQL = """\
How to get the shop's database back, without the program that made this backup.

You need: the file named below; the paper key, or the second person's, in a file key.txt; the
programs age (https://age-encryption.org) and pg_restore, which comes with PostgreSQL; and an empty
database, here called newshop. In an empty folder on an encrypted disk:

    set -e -o pipefail
    umask 077
    age -d -i key.txt {file} > shop.pgdump
    echo "{sha256}  shop.pgdump" | sha256sum -c
    pg_restore --exit-on-error --single-transaction -d newshop shop.pgdump

Then delete shop.pgdump and key.txt. Customers who were erased after this backup are in it again:
erase them again; the newest ledger file lists them.
"""

Progress = Callable[[str, int, int | None], None]


class StoringError(Exception):
    """A place lacks what the new backup builds on."""


def lacking(homes: Mapping[str, Place], state: State, base: Manifest | None) -> str | None:
    """Return why nothing may build on a full backup, or None if places hold it as it was made.

    A differential is stored, read back and right, and restores nothing if its base is altered.

    Args:
        homes: The places by name.
        state: What was stored there, less what was found altered or missing since.
        base: The full backup.
    """
    if base is None:
        return None
    doubtful = [name for name in homes if base.seq not in state.place(name).has]
    if len(doubtful) == len(homes):
        return f"no place is known to hold backup {base.seq} as it was made"
    for name in doubtful:
        try:
            there = base.file in homes[name].names()
        except PlaceError:
            continue  # told when the new backup is stored
        if there:
            return f"backup {base.seq} is not known to be right in {name}"
    return None


def store(
    work: Path,
    homes: Mapping[str, Place],
    done: Manifest,
    base: Manifest | None,
    along: Mapping[str, Path],
    progress: Progress,
) -> dict[str, str]:
    """Put a backup's files to every place.

    Args:
        work: A private folder, in which the backup lies under its name.
        homes: The places by name.
        done: What is told of the backup.
        base: The full one that it builds on, if it is a differential.
        along: Files that go along with it, by name.
        progress: Called with the step, the bytes done and their sum.

    Returns:
        For each place what went wrong, or nothing.
    """
    told = {}
    for where, place in homes.items():

        def tick(bytes_done: int, total: int, where: str = where) -> None:
            progress(f"storing: {where}", bytes_done, total)

        try:
            names = {*place.names()}
            if done.kind == "diff" and base and base.file not in names:
                _bring(work, homes, where, base)
            for name, path in along.items():
                if name not in names:
                    place.put(path, name, sha256=done.beside[name])
            place.put(work / done.file, done.file, sha256=done.sha256, progress=tick)
            told[where] = ""
        except (PlaceError, StoringError) as problem:
            told[where] = str(problem)
    return told


def list_up(
    place: Place,
    manifests: Mapping[str, bytes],
    there: Sequence[Manifest],
    done: Manifest,
    public_key: bytes,
) -> str:
    """Put the list of backups to a place, and how to restore its newest; return what went wrong.

    Args:
        place: Where.
        manifests: All of them by name, the newest last.
        there: Those whose backups the place holds.
        done: The newest of these.
        public_key: Of the key that signed the newest.
    """
    try:
        names = {*place.names()}
        for name, data in manifests.items():
            if name not in names:
                place.put_bytes(data, name)
        place.put_bytes(how_to(there, done).encode(), RESTORE, replace=True)
        place.put_bytes(_pem(public_key), SIGNED_BY, replace=True)
    except PlaceError as problem:
        return str(problem)
    return ""


def how_to(there: Sequence[Manifest], done: Manifest) -> str:
    """Return RESTORE.txt for a place whose newest backup is *done*."""
    full = next((one for one in there if one.seq == (done.base or done.seq)), done)
    along = beside.how(done.beside, SIGNED_BY)
    if not full.page_size:
        return POSTGRESQL.format(file=full.file, sha256=full.plain_sha256) + along
    if done.kind == "full":
        return pack.restore_text(full.file, full.plain_sha256) + along
    return (
        pack.restore_text(
            full.file,
            full.plain_sha256,
            diff=done.file,
            diff_size=done.plain_size,
            diff_sha256=done.plain_sha256,
        )
        + along
    )


def _bring(work: Path, homes: Mapping[str, Place], where: str, base: Manifest) -> None:
    """Give a place the full backup that it lacks, from another one: it was unplugged then."""
    for other in [place for name, place in homes.items() if name != where]:
        try:
            if not (work / base.file).exists():
                other.get(base.file, work / base.file, size=base.size)
            homes[where].put(work / base.file, base.file, sha256=base.sha256)
        except PlaceError:
            (work / base.file).unlink(missing_ok=True)
        else:
            return
    raise StoringError(
        f"it lacks backup {base.seq}, on which this one builds, and no other place has it; run: "
        "kit backup make --full"
    )


def _pem(public: bytes) -> bytes:
    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
