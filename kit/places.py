# SPDX-License-Identifier: MIT-0
"""Put backups where a fire, a thief and a virus do not get all of them: disk, S3, SFTP.

Copy: ``kit copy places --into DIR``, or take this file as it is.
Needs: Python 3.11, fsspec. For s3:// also s3fs.
Data: none.

A place is flat, and only added to: a name that is taken is not written again. What was put is
read back and compared. In a folder and over SFTP it lies under ``.NAME.8 hex digits.part`` until
then; an object store shows only whole files. What fails is tried once more, on a new connection.
A folder is not made: where a USB disk is missing, backups would land on the computer itself.

Give the till's key for an S3 bucket the rights GetObject, PutObject and ListBucket only: a virus
that steals it deletes nothing. The key that removes old backups needs ListBucketVersions and
DeleteObjectVersion too. Let a rule of the bucket end broken uploads after a day.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import fsspec  # type: ignore[import-untyped]

Pieces = Iterable[tuple[bytes, int]]
T = TypeVar("T")
Progress = Callable[[int, int], None]
Connect = Callable[[str, Mapping[str, Any]], tuple[Any, str]]
SILENT: Progress = lambda done, total: None  # noqa: E731
PIECE = 5 << 20  # bytes moved at once: two are held; S3 takes no smaller part
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
PART = re.compile(rf"\.{NAME.pattern}\.[0-9a-f]{{8}}\.part", re.ASCII)
BACKUP = re.compile(r"((\d{6})-(\d{8}T\d{6}Z)-(?:full|diff))\.(?:\S+age|manifest\.json)", re.A)
DAY = timedelta(days=1)
SHOWN_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "az", "oss"}  # no file is seen in part there
NETWORK = "check the network, the address and the credentials"
STEPS = {
    "file": "check that the disk is plugged in and may be written to",
    "sftp": "check the network, the name and key, and that ssh knows this server",
}
AGAIN_S = 1.0  # before what failed is tried once more
O_BINARY = getattr(os, "O_BINARY", 0)  # Windows would write other line ends
WINDOWS_BUSY = {5, 32, 33}  # a virus scanner has the new file open
WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
LOCK_TEXT = (
    "a bucket with object lock keeps each file until its time is over. GOVERNANCE: somebody with "
    "a special right can end it before. COMPLIANCE: nobody can, not even the provider; so the "
    "lock must be no longer than you promise erased customers. If the bucket has no lock, this "
    "key may only add files; remove them with the other one"
)


class PlaceError(Exception):
    """Base of the errors below. Messages never hold a password, a key or any content."""


class NotThere(PlaceError):
    """The file is not in this place, or the place itself is not there."""


class Taken(PlaceError):
    """There is another file of that name; nothing was changed."""


class Unreachable(PlaceError):
    """The place does not answer or refuses us; a later run may succeed."""


class Damaged(PlaceError):
    """What arrived is not what was sent: cut short, longer or altered."""


class NoRoom(PlaceError):
    """The disk is full, or takes no file of this size."""


class Locked(PlaceError):
    """The store refuses to let a file go; `LOCK_TEXT` says why."""


@dataclass(frozen=True)
class _Load:
    source: Path | bytes
    name: str
    size: int
    sha256: str
    show: Progress = SILENT


class Place:
    """One place where backups lie. Close it, or use it with ``with``."""

    def __init__(
        self,
        address: str | Path,
        *,
        options: Mapping[str, Any] | None = None,
        sftp: Connect | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Name a place; nothing is opened yet.

        Args:
            address: A folder, ``s3://bucket/prefix``, ``sftp://user@host/folder`` or the like.
            options: Handed on, such as ``key`` and ``secret`` of an S3 bucket.
            sftp: Connects to an SFTP server (`connect` of sftp.py), as fsspec trusts any server.
            pause: Waits for some seconds before something is tried again.
        """
        text = str(address)
        scheme, found, rest = text.partition("://")
        self._scheme = scheme.lower() if found else "file"
        self._sftp = sftp if self._scheme == "sftp" else None
        strange = self._scheme in ("http", "https", "ssh", *(() if self._sftp else ("sftp",)))
        if not text or "::" in text or strange:
            raise PlaceError("no place for backups; give a folder, s3://… or, with sftp=, sftp://…")
        self._address, self._options, self._pause = text, dict(options or {}), pause
        self._folder, self._whole = self._scheme == "file", self._scheme in SHOWN_WHOLE
        self._open: tuple[Any, str] | None = None
        person, at, place = rest.partition("?")[0].rpartition("@")
        who = person.partition(":")[0] + at if self._sftp else ""
        #: The address as people may see it, without a password.
        self.label = text if self._folder else f"{self._scheme}://{who}{place}"

    def names(self) -> list[str]:
        """Return the names of all files, sorted. Some object stores list a new one late."""
        listed = self._twice(self._listed)
        return sorted(name for name, _ in listed if not PART.fullmatch(name))

    def put(self, source: Path, name: str, *, sha256: str, progress: Progress = SILENT) -> None:
        """Copy a file there under a new name, read it again and compare.

        If the same file is there already, all is done.

        Args:
            source: Any file.
            name: Letters, digits, dots, hyphens and underscores.
            sha256: Its hash in hex.
            progress: Called with the bytes done and their sum, twice the size: there and back.

        Raises:
            Taken: There is another file of that name.
            NotThere, Unreachable, Damaged, NoRoom: It is not there, also not in part.
        """
        with _local(source), source.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        if found != sha256:
            raise Damaged(f"{source.name} is not the file that was made; make the backup again")
        self._put(_Load(source, name, size, sha256, progress))

    def put_bytes(self, data: bytes, name: str, *, replace: bool = False) -> None:
        """Put a small file; *replace* lets it take the place of another. Raises as `put`."""
        load = _Load(data, name, len(data), hashlib.sha256(data).hexdigest())
        self._put(load, replace=replace)

    def get(
        self, name: str, target: Path, *, size: int | None = None, progress: Progress = SILENT
    ) -> None:
        """Copy a file from there; *target* appears when it is complete, for its owner only.

        Args:
            name: As in `names`.
            target: Its new name on this computer, which must be free.
            size: What it should have, in bytes.
            progress: Called with the bytes done and their sum.

        Raises:
            Taken: *target* is there already.
            NotThere, Unreachable, Damaged, NoRoom: *target* is not there, also not in part.
        """
        if os.path.lexists(target):
            raise Taken(f"{target.name} is there already; choose another name")
        self._twice(lambda: self._get(name, target, size, progress))

    def read(self, name: str, *, most: int) -> bytes:
        """Return a small file; `Damaged` if it has more than *most* bytes. Else raises as `get`."""
        if (size := self._twice(lambda: self._expect(name))) > most:
            raise Damaged(f"{name} has over {most} bytes in {self.label}; it cannot be ours")
        return self._twice(lambda: b"".join(piece for piece, _ in self._pieces(name, size)))

    def remove(self, name: str) -> None:
        """Delete a file, with all versions that a bucket keeps; `Locked` if it may not go."""
        self._expect(name)
        with self._told():
            try:
                self._remove(name)
            except PermissionError:
                raise Locked(f"{self.label} does not let {name} go: {LOCK_TEXT}") from None

    def sweep(self, now: datetime) -> list[str]:
        """Delete what an interrupted run left there over a day ago, and return the names.

        That is a file in part, and a backup without a manifest whose number a later backup with
        a manifest has. A backup that only lost its manifest stays. What is locked stays too.
        """
        if now.utcoffset() is None:
            raise PlaceError("now has no time zone; hand over an aware datetime")
        listed = self._twice(self._listed)
        old = [name for name, at in listed if PART.fullmatch(name) and at and at < now - DAY]
        ours = [found for name, _ in listed if (found := BACKUP.fullmatch(name))]
        told = {found[1]: found[2] for found in ours if found[0].endswith(".json")}
        early = f"{now.astimezone(UTC) - DAY:%Y%m%dT%H%M%SZ}"
        lone = [found for found in ours if found[1] not in told and found[3] < early]
        old += [found[0] for found in lone if found[2] in told.values()]
        gone = []
        for name in old:
            with suppress(Locked, NotThere):
                self.remove(name)
                gone.append(name)
        return gone

    def close(self) -> None:
        """End connections; the next call opens them again."""
        opened, self._open = self._open, None
        if opened and hasattr(opened[0], "close"):  # others close with their last use
            opened[0].close()

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, load: _Load, *, replace: bool = False) -> None:
        if self._twice(lambda: self._size(load.name)) is not None:
            if self._twice(lambda: self._same(load.name, load)):
                return
            if not replace:
                raise Taken(f"{self.label} has another {load.name}; nothing was changed")
        try:
            self._twice(lambda: self._arrive(load))
        except Damaged:
            if self._whole:
                with suppress(PlaceError):
                    self.remove(load.name)
            raise

    def _arrive(self, load: _Load) -> None:
        """Send, compare, and only then give it its name."""
        part = load.name if self._whole else f".{load.name}.{os.urandom(4).hex()}.part"
        try:
            with self._told():
                self._send(load, part)
                if not self._same(part, load):
                    raise Damaged(f"{load.name} arrived altered in {self.label}; try again")
                if not self._whole:
                    self._rename(part, load.name)
        except BaseException:
            if not self._whole:
                with suppress(Exception):
                    self._remove(part)
            raise

    def _send(self, load: _Load, name: str) -> None:
        fs, root = self._fs()
        if self._folder:
            path, pieces = Path(f"{root}/{name}"), _read(load.source)
            _fill(path, pieces, lambda done: load.show(done, 2 * load.size))
        elif isinstance(load.source, bytes):
            fs.pipe_file(f"{root}/{name}", load.source)
        else:
            hooks = {"show": lambda size, value, **_: load.show(value, 2 * load.size)}
            tuned = {"chunksize": PIECE, "max_concurrency": 2} if hasattr(fs, "call_s3") else {}
            call = fsspec.callbacks.Callback(hooks=hooks)
            fs.put_file(str(load.source), f"{root}/{name}", callback=call, **tuned)

    def _rename(self, part: str, name: str) -> None:
        fs, root = self._fs()
        if not self._folder:
            fs.mv(f"{root}/{part}", f"{root}/{name}")
            return
        for wait in (*WAITS_S, None):
            try:
                Path(f"{root}/{part}").replace(f"{root}/{name}")
                break
            except PermissionError as problem:
                if wait is None or getattr(problem, "winerror", None) not in WINDOWS_BUSY:
                    raise
                self._pause(wait)
        with suppress(PermissionError):  # Windows cannot open a folder
            handle = os.open(root or "/", os.O_RDONLY)
            try:
                os.fsync(handle)  # the name survives a power cut too
            finally:
                os.close(handle)

    def _remove(self, name: str) -> None:
        fs, root = self._fs()
        if not hasattr(fs, "call_s3"):
            fs.rm_file(f"{root}/{name}")
            return
        # Without a version's number S3 only hides the file, and a lock would not be noticed.
        bucket, key, _ = fs.split_path(f"{root}/{name}")
        found = fs.call_s3("list_object_versions", Bucket=bucket, Prefix=key)
        for one in (*found.get("Versions", ()), *found.get("DeleteMarkers", ())):
            if one["Key"] == key:
                fs.call_s3("delete_object", Bucket=bucket, Key=key, VersionId=one["VersionId"])

    def _get(self, name: str, target: Path, size: int | None, progress: Progress) -> None:
        total = self._expect(name)
        if size not in (None, total):
            say = f"has {total} bytes in {self.label}, not {size}"
            raise Damaged(f"{name} {say}; take it from another place where backups are kept")
        part = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
        try:
            with _local(target):
                _fill(part, self._pieces(name, total), lambda done: progress(done, total), False)
                part.rename(target)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _listed(self) -> list[tuple[str, datetime | None]]:
        """Return each file and when it was changed."""
        with self._told():
            fs, root = self._fs()
            fs.invalidate_cache()
            try:
                found = fs.ls(root or "/", detail=True)
            except FileNotFoundError:
                if not self._whole:
                    raise
                fs.info(root.strip("/").partition("/")[0])  # a bucket without files is all right
                return []
            files = [one for one in found if one["type"] == "file"]
            return [(one["name"].rpartition("/")[2], _changed(one)) for one in files]

    def _size(self, name: str) -> int | None:
        if not (NAME.fullmatch(name) or PART.fullmatch(name)):
            raise PlaceError("a name there has letters, digits, dots, hyphens and underscores only")
        with self._told():
            fs, root = self._fs()
            fs.invalidate_cache()
            try:
                found = fs.info(f"{root}/{name}")
            except FileNotFoundError:
                return None
            return int(found["size"]) if found["type"] == "file" else None

    def _expect(self, name: str) -> int:
        if (size := self._size(name)) is None:
            raise NotThere(f"{self.label} has no {name}; look where else backups are kept")
        return size

    def _same(self, name: str, load: _Load) -> bool:
        digest = hashlib.sha256()
        if self._size(name) != load.size:
            return False
        for piece, done in self._pieces(name, load.size):
            digest.update(piece)
            load.show(load.size + done, 2 * load.size)
        return digest.hexdigest() == load.sha256

    def _pieces(self, name: str, size: int) -> Iterator[tuple[bytes, int]]:
        """Yield the file, and how much of it that is so far."""
        fs, root = self._fs()
        for start in range(0, size, PIECE):
            end = min(start + PIECE, size)
            with self._told():
                piece = bytes(fs.cat_file(f"{root}/{name}", start=start, end=end))
            if len(piece) != end - start:
                raise Damaged(f"{name} is cut short in {self.label}; try again")
            yield piece, end

    def _fs(self) -> tuple[Any, str]:
        """Return the file system and the path in it, connected at the first use."""
        if not self._open:
            if self._sftp:
                self._open = self._sftp(self._address, self._options)
            else:  # never one that an earlier call left open, with its credentials
                more = {"skip_instance_cache": True, **self._options}
                fs, root = fsspec.url_to_fs(self._address, **more)
                self._open = fs, root.rstrip("/")
        return self._open

    def _twice(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (Unreachable, Damaged):
            self.close()
            self._pause(AGAIN_S)
            return work()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn whatever a driver raises into ours; its text may hold credentials."""
        try:
            yield
        except PlaceError:
            raise
        except ImportError:
            say = f"install customer-data-kit[{self._scheme}] and try again"
            raise PlaceError(f"{self.label} needs a package that is not here; {say}") from None
        except FileNotFoundError:
            raise NotThere(f"{self.label} is not there; plug it in, or make it first") from None
        except Exception as problem:
            raise _ours(problem, self.label, STEPS.get(self._scheme, NETWORK)) from None


def _read(source: Path | bytes) -> Iterator[tuple[bytes, int]]:
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece, file.tell()


def _fill(path: Path, pieces: Pieces, show: Callable[[int], None], lasting: bool = True) -> None:
    """Write a new file; *lasting* means that a power cut cannot undo it."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | O_BINARY, 0o600)
    with os.fdopen(handle, "wb") as file:
        for piece, done in pieces:
            file.write(piece)
            show(done)
        file.flush()
        if lasting:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):  # compare with the disk, not with the memory
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _ours(problem: Exception, where: str, step: str) -> PlaceError:
    code = getattr(problem, "errno", None)
    if code in NO_ROOM:
        return NoRoom(f"{where} has no room for it; free some space or take another disk")
    say = os.strerror(code).lower() if isinstance(code, int) else type(problem).__name__
    return Unreachable(f"{where}: {say}; {step}")


@contextmanager
def _local(path: Path) -> Iterator[None]:
    """Turn an error with a file of this computer into ours."""
    try:
        yield
    except OSError as problem:
        raise _ours(problem, path.name, "check the disk and the folder of this computer") from None


def _changed(found: Mapping[str, Any]) -> datetime | None:
    at = found.get("mtime", found.get("LastModified", found.get("created")))
    return datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else at
