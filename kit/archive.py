# SPDX-License-Identifier: MIT-0
"""Seal each backup for two people, so that a thief reads nothing and one lost key loses nothing.

Copy: ``kit copy archive --into DIR``, or take this file as it is.
Needs: Python 3.11, pyrage. Nothing else from this kit.
Data: none.

An archive is an age file that whoever holds one of its keys opens, here or with the age program::

    full   age( zstd( copy ) )                    …-full.sqlite.zst.age
    diff   age( tar( changed windows ) )          …-diff.tar.age, on top of the full one's copy

What is inside is made and taken apart by `pack`, a module that is handed in (pack.py of this kit).
The computer that makes archives needs no secret key, so who steals it can open none. But anybody
who has the public keys can write an archive that opens: keep each `Sealed` in a signed list.
Files stream through a few MiB of memory. Each is filled under ``.NAME.8 hex digits.part`` beside
the target, readable by its owner only, and takes the name when it is complete and proven. Whatever
fails before leaves nothing; what a power cut left, the next run for that target deletes.

Source: age-encryption.org/v1, the format.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import pyrage

MIB = 1 << 20
LEAST_RECIPIENTS = 2  # one lost key must not be the loss of all backups
NEXT_STEP = {
    errno.ENOENT: "check the name, and make the folder if it is missing",
    errno.EEXIST: "choose another name; an archive is never overwritten",
    errno.ENOSPC: "free some space and run it again",
    errno.EFBIG: "the disk takes no file of this size; choose another disk",
    errno.EACCES: "choose a place where you may read and write",
}
OTHER = "take the same file from another place where backups are kept"

T = TypeVar("T")
Progress = Callable[[int, int], None]
Read = Callable[[int], bytes]
Put = Callable[[bytes], object]
Keys = Sequence[object]


class ArchiveError(Exception):
    """Base of the errors below. Nothing was written; messages never hold a key or any content."""


class BadKey(ArchiveError):
    """A recipient or identity is mistyped, or there are too few."""


class WrongKey(ArchiveError):
    """None of the identities opens this archive."""


class WrongBase(ArchiveError):
    """The copy that a differential builds on is missing, or is another one."""


class Damaged(ArchiveError):
    """The archive is not the one that was made: cut short, altered, exchanged or forged."""


class BadFile(ArchiveError):
    """A file cannot be read or written."""


@dataclass(frozen=True)
class Sealed:
    """What identifies an archive and what is in it. Unpacking accepts nothing else."""

    size: int  # of the archive, in bytes
    sha256: str  # of the archive
    plain_size: int  # of the database
    plain_sha256: str  # of the database
    base_sha256: str | None = None  # of the copy that a differential builds on


class Feed(Protocol):
    """Takes apart what it is fed."""

    def feed(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def finish(self) -> None:
        """Raise unless all of it came."""


class Pack(Protocol):
    """Makes backups small: the module `pack`."""

    @property
    def Error(self) -> type[Exception]:
        """Return the base of its errors, whose messages go on from the name of a file."""

    def whole(self, read: Read, /) -> Iterator[bytes]:
        """Pack a copy."""

    def changes(self, old: Read, new: Read, /) -> Iterator[bytes]:
        """Pack how a copy differs from an old one; read both to their end."""

    def Whole(self, put: Put, size: int, /) -> Feed:
        """Undo `whole`, for a copy of *size* bytes."""

    def Changes(self, old: Read, put: Put, size: int, /) -> Feed:
        """Undo `changes`."""


def full(
    source: Path,
    target: Path,
    recipients: Sequence[str],
    *,
    pack: Pack,
    progress: Progress | None = None,
) -> Sealed:
    """Pack a whole copy of the database for those who may restore it; return what to keep of it.

    Args:
        source: A finished copy, not the database in use.
        target: Name of the archive, which must be free.
        recipients: Public keys (``age1…``), each of which opens it alone; two at least, such as
            the owner's and that of a second person.
        pack: The module `pack`.
        progress: Called with the bytes read of the copy and its size, about once per MiB.

    Raises:
        BadKey: A recipient is mistyped, or there are fewer than two different ones.
        BadFile: The copy cannot be read, or the archive cannot be written.
    """
    keys = _recipients(recipients)
    with _opened(source, progress) as plain, _filled(target) as sealed:
        _through(pyrage.encrypt_io, pack.whole(plain.read), sealed.write, keys)
    return Sealed(sealed.done, sealed.sha256, plain.done, plain.sha256)


def diff(
    base: Path,
    source: Path,
    target: Path,
    recipients: Sequence[str],
    *,
    base_sha256: str,
    pack: Pack,
    progress: Progress | None = None,
) -> Sealed:
    """Pack what changed since the last full archive.

    *base* is the copy of which that one was made, never one of a differential, and *base_sha256*
    its hash in that archive's manifest; *source* is a newer copy. The rest is as for `full`.

    Raises:
        WrongBase: *base* is missing or has another hash. Make a full archive instead.
        BadKey, BadFile: As `full`.
    """
    keys = _recipients(recipients)
    _need(base)
    with _opened(base) as old, _opened(source, progress) as new, _filled(target) as sealed:
        try:
            _through(pyrage.encrypt_io, pack.changes(old.read, new.read), sealed.write, keys)
        except pack.Error as problem:
            raise BadFile(f"{source.name} {problem}") from None
        if old.sha256 != base_sha256:
            raise WrongBase(f"{base.name} is not what the last full archive has; make a full one")
    return Sealed(sealed.done, sealed.sha256, new.done, new.sha256, base_sha256)


def unpack_full(
    source: Path,
    target: Path,
    identities: Sequence[str],
    expect: Sealed,
    *,
    pack: Pack,
    progress: Progress | None = None,
) -> None:
    """Open a full archive. *target* appears only if it is the database that was packed.

    Args:
        source: The archive.
        target: Name of the restored copy, which must be free.
        identities: Secret keys (``AGE-SECRET-KEY-1…``); one that fits is enough.
        expect: What its manifest tells of it.
        pack: The module `pack`.
        progress: Called with the bytes restored and their sum.

    Raises:
        WrongKey: No identity opens it.
        Damaged: It is not the archive that *expect* tells of.
        BadKey: An identity is mistyped, or none is given.
        BadFile: The archive cannot be read, or the copy cannot be written.
    """
    keys = _identities(identities)
    with _proven(source, expect) as sealed, _filled(target, expect.plain_size, progress) as plain:
        feed = pack.Whole(plain.write, expect.plain_size)
        _unpack(sealed, feed, plain, keys, expect, pack.Error)


def unpack_diff(
    base: Path,
    source: Path,
    target: Path,
    identities: Sequence[str],
    expect: Sealed,
    *,
    pack: Pack,
    progress: Progress | None = None,
) -> None:
    """Open a differential archive on top of the unpacked full one that it builds on.

    *base* is what `unpack_full` gave for that one, and stays. The rest is as for `unpack_full`.

    Raises:
        WrongBase: *base* is missing, or is not the copy that it builds on.
        WrongKey, Damaged, BadKey, BadFile: As `unpack_full`.
    """
    keys = _identities(identities)
    _need(base)
    size = expect.plain_size
    try:
        with _opened(base) as old, _proven(source, expect) as sealed:
            old.hashing = False  # what comes out is compared; the base only if that fails
            with _filled(target, size, progress) as plain:
                feed = pack.Changes(old.read, plain.write, size)
                _unpack(sealed, feed, plain, keys, expect, pack.Error)
    except Damaged:
        if _digest(base)[1] == expect.base_sha256:
            raise
        say = f"{source.name} does not build on {base.name}; unpack its own full archive"
        raise WrongBase(say) from None


def _unpack(
    sealed: _File, feed: Feed, plain: _File, keys: Keys, expect: Sealed, error: type[Exception]
) -> None:
    """Decrypt, take apart, and prove the result."""
    name = sealed.path.name
    try:
        _through(pyrage.decrypt_io, iter(partial(sealed.read, MIB), b""), feed.feed, keys, name)
        feed.finish()
    except error as problem:
        raise Damaged(f"{name} {problem}; {OTHER}") from None
    if plain.done != expect.plain_size or plain.sha256 != expect.plain_sha256:
        raise Damaged(f"{name} opens, but holds another database than its manifest says; {OTHER}")


def _recipients(texts: Sequence[str]) -> list[pyrage.x25519.Recipient]:
    if any(text.strip().upper().startswith("AGE-SECRET-KEY-") for text in texts):
        raise BadKey("a recipient is a secret key, which belongs on paper; give its public half")
    keys = _keys("recipient", texts, pyrage.x25519.Recipient.from_str)
    if len({str(key) for key in keys}) < LEAST_RECIPIENTS:
        raise BadKey("give the public keys of two persons at least: a lost key opens nothing")
    return keys


def _identities(texts: Sequence[str]) -> list[pyrage.x25519.Identity]:
    if not (keys := _keys("key", texts, pyrage.x25519.Identity.from_str)):
        raise BadKey("no key was given; type the paper key (AGE-SECRET-KEY-1…)")
    return keys


def _keys(kind: str, texts: Sequence[str], read: Callable[[str], T]) -> list[T]:
    keys = []
    for number, text in enumerate(texts, 1):
        try:
            keys.append(read(text.strip()))
        except (pyrage.IdentityError, pyrage.RecipientError):
            raise BadKey(f"{kind} {number} is mistyped; compare it letter by letter") from None
    return keys


class _File:
    """An open file that tells its errors, and how much went through it with which hash."""

    def __init__(
        self, file: BinaryIO, path: Path, total: int = 0, progress: Progress | None = None
    ) -> None:
        self.file, self.path = file, path
        self.total, self.progress, self.hashing = total, progress, True
        self.done, self._hash = 0, hashlib.sha256()
        self.beside: Executor | None = None  # hashes what is large, in another thread
        self._last: Future[None] | None = None

    @property
    def sha256(self) -> str:
        if self._last:
            self._last.result()
        return self._hash.hexdigest()

    def read(self, size: int) -> bytes:
        with _told(self.path):
            data = self.file.read(size)
        self._passed(data)
        return data

    def write(self, data: bytes) -> None:
        with _told(self.path):
            rest = memoryview(data)
            while rest:  # a disk that is nearly full takes only a part at first
                rest = rest[self.file.write(rest) :]
        self._passed(data)

    def _passed(self, data: bytes) -> None:
        if self._last:
            self._last.result()  # one piece at a time, in order
        if self.beside:
            self._last = self.beside.submit(self._hash.update, data)
        elif self.hashing:
            self._hash.update(data)
        self.done += len(data)
        if data and self.progress:
            self.progress(self.done, self.total)


class _Pipe:
    """What pyrage reads from, and what empties the memory that it writes to.

    It makes a text of what a reader raises, and swallows what a writer raises at the very end.
    """

    def __init__(self, pieces: Iterator[bytes], sink: Put) -> None:
        self.pieces, self.sink = pieces, sink
        self.rest, self.out = memoryview(b""), BytesIO()
        self.fault: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            self.empty()
            while not self.rest and (piece := next(self.pieces, None)) is not None:
                self.rest = memoryview(piece)
            data, self.rest = bytes(self.rest[:size]), self.rest[size:]
        except BaseException as fault:
            self.fault = fault
            raise
        return data

    def empty(self) -> None:
        if self.out.tell():
            self.sink(self.out.getvalue())
            self.out.seek(0)
            self.out.truncate()


def _through(
    how: Callable[..., None], pieces: Iterator[bytes], sink: Put, keys: Keys, name: str = ""
) -> None:
    """Let pyrage work, and say what its errors mean."""
    pipe = _Pipe(pieces, sink)
    try:
        how(pipe, pipe.out, keys)
    except (pyrage.EncryptError, pyrage.DecryptError, OSError) as problem:
        if pipe.fault:
            raise pipe.fault from None
        if str(problem).startswith("KeyboardInterrupt"):  # Ctrl-C before read() began
            raise KeyboardInterrupt from None
        if str(problem).startswith("No matching keys"):
            raise WrongKey(f"this key does not open {name}; try the other person's") from None
        raise Damaged(f"{name} is no age file, or is cut short or altered; {OTHER}") from None
    pipe.empty()


def _need(base: Path) -> None:
    if not base.is_file():
        raise WrongBase(f"{base.name}, the copy of the last full archive, is not there")


def _digest(path: Path) -> tuple[int, str]:
    with _opened(path) as file:
        while file.read(MIB):
            pass
    return file.done, file.sha256


@contextmanager
def _proven(source: Path, expect: Sealed) -> Iterator[_File]:
    """Open an archive that is the one its manifest tells of, before anything in it is believed."""
    size, digest = _digest(source)
    if size != expect.size:
        say = "cut short" if size < expect.size else "longer than it was made"
        say += f" ({size} bytes, not {expect.size}), or another file has its name"
        raise Damaged(f"{source.name} is {say}; {OTHER}")
    if digest != expect.sha256:
        raise Damaged(f"{source.name} is altered, or another file has its name; {OTHER}")
    with _opened(source) as file:
        yield file


@contextmanager
def _opened(source: Path, progress: Progress | None = None) -> Iterator[_File]:
    with _told(source):
        file = source.open("rb", buffering=MIB)
    with file:
        yield _File(file, source, os.fstat(file.fileno()).st_size, progress)


@contextmanager
def _filled(target: Path, total: int = 0, progress: Progress | None = None) -> Iterator[_File]:
    """Give a file to fill beside *target*, which takes its name if nothing was raised."""
    part = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    mark = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}\.part")
    with _told(target):
        for old in [path for path in target.parent.iterdir() if mark.fullmatch(path.name)]:
            old.unlink(missing_ok=True)  # left by a power cut
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "")
    try:
        with _told(target):
            part.touch(0o600, exist_ok=False)
            file = part.open("wb", buffering=0)  # closing has nothing left to write and to fail at
        with file, ThreadPoolExecutor(1) as beside:
            filled = _File(file, target, total, progress)
            filled.beside = beside if total else None
            yield filled
            with _told(target):
                os.fsync(file.fileno())  # before it takes the name: a crash here leaves no target
        with _told(target):
            part.rename(target)
            with suppress(PermissionError):  # Windows cannot open a folder
                folder = os.open(target.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)  # the name survives a power cut too
                finally:
                    os.close(folder)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into ours, with the next step."""
    try:
        yield
    except OSError as problem:
        step = NEXT_STEP.get(problem.errno or 0, "check the disk, then run it again")
        raise BadFile(f"{path.name}: {os.strerror(problem.errno or 0).lower()}; {step}") from None
