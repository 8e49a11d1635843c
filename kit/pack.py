# SPDX-License-Identifier: MIT-0
"""Make a backup small: all of a database squeezed, or only what changed since the last full one.

Copy: ``kit copy pack --into DIR``, or take this file as it is.
Needs: Python 3.11, backports. Nothing else from this kit.
Data: none.

`whole` is one zstd frame with checksum. `changes` compares two copies in windows of 1 MiB (the
last may be shorter) and gives a tar of those that differ, in order, each named by its number::

    000000.zst  000007.zst  …

A member is one zstd frame with checksum whose prefix is the window of the old copy: a shop's day
in 300 MB takes under 3 MB. Where the old copy has less than 8 bytes there, it is a plain frame.
Standard programs take both apart; `restore_text` says how.

Taking apart trusts nothing: no name, order, size or frame that the two above do not make is
accepted, and never more than the size that was told comes out. Whether what comes out is the
right database, only its hash can say. Neither way holds more than a few windows in memory.

Source: zstd as in RFC 8878, ``--patch-from`` in its program; tar as in POSIX.1-1988 (ustar).
"""

from __future__ import annotations

import re
import sys
import tarfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from shlex import quote
from textwrap import indent
from typing import Protocol

if sys.version_info >= (3, 14):  # pragma: no cover
    from compression import zstd
else:
    from backports import zstd

WINDOW = 1 << 20  # bytes, fixed by the format
MOST_WINDOWS = 1_000_000  # six digits, 1 TiB
LEAST_PREFIX = 8  # bytes; zstd takes no shorter one
MOST_FRAME = WINDOW + WINDOW // 16  # zstd adds 1/256 to what it cannot make smaller
MOST_WINDOW_LOG = 23  # 8 MiB of memory; ours say 21, a forged frame could ask for 2 GiB
BLOCK = tarfile.BLOCKSIZE
WEEK = timedelta(days=7)
MOST_OF_A_FULL = 0.3  # a larger differential saves little, and restoring takes two files

Read = Callable[[int], bytes]

PARAMETER = zstd.CompressionParameter
LEVEL: dict[int, int] = {  # 6 is 12 % smaller and takes 2.6 times as long
    PARAMETER.compression_level: 3,
    PARAMETER.checksum_flag: 1,
}
THREADS = min(2, PARAMETER.nb_workers.bounds()[1])  # 0 where zstd was built without
WHOLE = LEVEL | (
    {PARAMETER.nb_workers: THREADS, PARAMETER.job_size: WINDOW} if THREADS else {}
)  # its own job size takes 56 MB more memory; half a MiB makes it larger
CHANGE = LEVEL | {PARAMETER.window_log: 21}  # under 20, the old window is out of reach
BOUND: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MOST_WINDOW_LOG}

RESTORE = """\
How to get the shop's database back, without the program that made this backup.

You need:
- the files named below, from this folder;
- the paper key, or the second person's: one line that starts with AGE-SECRET-KEY-1. Type it
  into a file key.txt. Delete that file when you are done;
- the free programs age (https://age-encryption.org), zstd, and bash with tar, dd, truncate and
  sha256sum, which Linux has. On a Mac, Homebrew has age, zstd and coreutils; on Windows, use WSL.

Work on an encrypted disk, in an empty folder into which you copied those files and key.txt.
Write these lines to a file restore.sh there, and run: bash restore.sh

{commands}
"shop.sqlite: OK" at the end means: not one byte is wrong. At any other message, stop. Take the
same files from another place where backups are kept, and begin anew in another empty folder.

Then, before anybody works with it:
- Where it shall go, put the old shop.sqlite, shop.sqlite-wal, shop.sqlite-shm and
  shop.sqlite-journal away together. A left-over one of the last three would spoil the new one.
- Customers who were erased after this backup are in it again. Erase them again: the newest
  ledger file in this folder, not the one of the backup's date, lists them.
- Delete key.txt, restore.sh and the folder w.

For an older backup use its file names instead. Its size (plain_size) and hash (plain_sha256) are
in its .manifest.json; a differential says there which full backup it builds on.
"""
UNPACK = """\
set -e -o pipefail
umask 077
age -d -i key.txt {full} | zstd -d > base
echo "{sha256}  base" | sha256sum -c
"""
KEEP = """\
mv base shop.sqlite
echo "{sha256}  shop.sqlite" | sha256sum -c
"""
APPLY = """\
mkdir w
age -d -i key.txt {diff} | tar xf - -C w
cp base shop.sqlite
for f in w/*.zst; do
  [ -e "$f" ] || continue
  n=$((10#$(basename $f .zst)))
  dd if=base of=win.old bs=1048576 skip=$n count=1 status=none
  if [ -s win.old ]; then zstd -q -d -f --patch-from=win.old $f -o win.new
  else zstd -q -d -f $f -o win.new; fi
  dd if=win.new of=shop.sqlite bs=1048576 seek=$n conv=notrunc status=none
done
truncate -s {size} shop.sqlite
echo "{sha256}  shop.sqlite" | sha256sum -c
rm -f base win.old win.new
"""


class PackError(Exception):
    """Base of the errors below. Messages say what "it" is not, and hold nothing of it."""


class Broken(PackError):
    """What was to be taken apart is not what `whole` or `changes` made."""


class TooLarge(PackError):
    """A copy has more windows than the format can number."""


Error = PackError  # what the caller that is handed this module catches


class Copy(Protocol):
    """What is read off a copy of the database."""

    @property
    def page_size(self) -> int:
        """Return the size of its pages in bytes."""

    @property
    def schema_sha256(self) -> str:
        """Return a hash of its tables' definitions."""


def whole(read: Read) -> Iterator[bytes]:
    """Yield a copy as one zstd frame, piece by piece; a piece may be empty.

    Args:
        read: Of the copy open for reading: returns as many bytes, less only at the end.
    """
    frame = zstd.ZstdCompressor(options=WHOLE)
    while data := read(WINDOW):
        yield frame.compress(data)
    yield frame.flush()


def changes(old: Read, new: Read) -> Iterator[bytes]:
    """Yield what makes *new* of *old* as a tar, piece by piece. Both are read to their end.

    Raises:
        TooLarge: A copy has over 1 TiB.
    """
    number = 0
    while True:
        before, data = old(WINDOW), new(WINDOW)
        if not before and not data:
            break
        if number == MOST_WINDOWS:
            raise TooLarge("is over 1 TiB, too large for this format; use another tool")
        if data and data != before:
            packer = zstd.ZstdCompressor(options=CHANGE, zstd_dict=_prefix(before))
            frame = packer.compress(data) + packer.flush()
            info = tarfile.TarInfo(f"{number:06}.zst")
            info.size, info.mode = len(frame), 0o600
            yield info.tobuf(tarfile.USTAR_FORMAT) + frame + bytes(-len(frame) % BLOCK)
        number += 1
    yield bytes(2 * BLOCK)


class Whole:
    """Take apart what `whole` made, while it arrives.

    Args:
        put: Called with each piece of the copy, at most 1 MiB.
        size: Of the copy in bytes. Nothing is put beyond it, so that a small forged file cannot
            fill the disk.
    """

    def __init__(self, put: Callable[[bytes], object], size: int) -> None:
        self._put, self._left = put, size
        self._frame = zstd.ZstdDecompressor(options=BOUND)

    def feed(self, data: bytes) -> None:
        """Take the next bytes, however many.

        Raises:
            Broken: They are altered, or forged.
        """
        more = bool(data)
        while more:
            if self._frame.eof:
                raise Broken("goes on behind its end")
            try:
                piece = self._frame.decompress(data, WINDOW)
            except zstd.ZstdError:
                raise Broken("does not inflate") from None
            if len(piece) > self._left:
                raise Broken("holds more than its manifest says")
            self._put(piece)
            self._left -= len(piece)
            data = b""
            more = bool(self._frame.unused_data) or not (self._frame.eof or self._frame.needs_input)

    def finish(self) -> None:
        """Prove that all of it came.

        Raises:
            Broken: It ended too early, of which zstd itself says nothing.
        """
        if self._left or not self._frame.eof:
            raise Broken("ends too early")


class Changes:
    """Take apart what `changes` made, while it arrives, putting unchanged windows between.

    Args:
        old: Reads the same old copy from its beginning. Prove its hash before.
        put: Called with each window of the new copy.
        size: Of the new copy in bytes.
    """

    def __init__(self, old: Read, put: Callable[[bytes], object], size: int) -> None:
        self._old, self._put = old, put
        self._size, self._done = size, 0
        self._rest = bytearray()
        self._wanted = BLOCK  # bytes, before anything can be done with them
        self._frame_bytes = 0  # of the window that is being received
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes, however many.

        Raises:
            Broken: They are altered or forged, or for another old copy.
        """
        self._rest += data
        while len(self._rest) >= self._wanted:
            piece = bytes(self._rest[: self._wanted])
            del self._rest[: self._wanted]
            if self._frame_bytes:
                self._changed(piece[: self._frame_bytes])
                self._wanted, self._frame_bytes = BLOCK, 0
            elif any(piece):
                self._header(piece)
            else:
                self._ended = True  # only more zeros may follow

    def finish(self) -> None:
        """Put what is unchanged at the end, and prove that all of it came.

        Raises:
            Broken: It ended too early, or lacks a window.
        """
        if self._rest or self._frame_bytes or not self._ended:
            raise Broken("ends too early")
        self._unchanged(self._size)

    def _header(self, block: bytes) -> None:
        """Accept the next member only if it is a window that may come here."""
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise Broken("is no tar of windows") from None
        place = -1
        if info.type == tarfile.REGTYPE and re.fullmatch(r"[0-9]{6}\.zst", info.name):
            place = int(info.name[:6]) * WINDOW
        if self._ended or not self._done <= place < self._size:
            raise Broken("holds a window out of its place, or something else than windows")
        if not 0 < info.size <= MOST_FRAME:
            raise Broken("holds a window of impossible size")
        self._unchanged(place)
        self._frame_bytes = info.size
        self._wanted = info.size + -info.size % BLOCK

    def _changed(self, frame: bytes) -> None:
        size = min(WINDOW, self._size - self._done)
        opener = zstd.ZstdDecompressor(options=BOUND, zstd_dict=_prefix(self._old(WINDOW)))
        try:
            data = opener.decompress(frame, size + 1)
        except zstd.ZstdError:
            raise Broken("does not inflate") from None
        if len(data) != size or not opener.eof or opener.unused_data:
            raise Broken("holds a window of another size than it should")
        self._put(data)
        self._done += size

    def _unchanged(self, end: int) -> None:
        while self._done < end:
            size = min(WINDOW, end - self._done)
            data = self._old(WINDOW)[:size]
            if len(data) < size:
                raise Broken("lacks a window")
            self._put(data)
            self._done += size


def worth_a_full(
    base: Copy | None,
    copy: Copy,
    *,
    age: timedelta,
    erased: bool = False,
    diff_bytes: int = 0,
    full_bytes: int = 0,
) -> str | None:
    """Return why the next backup should be a full one, or None if a differential will do.

    Args:
        base: Facts of the copy that the last full backup holds; None if it is missing, or its
            hash is not the one in the manifest.
        copy: Facts of the new copy.
        age: Time since the last full backup.
        erased: Whether a customer was erased since. Then delete *base* too: it still holds them.
        diff_bytes: Size of the differential, if it was made already.
        full_bytes: Size of the last full backup.
    """
    if base is None:
        return "the copy of the last full backup is missing or altered"
    if erased:
        return "a customer was erased since the last full backup"
    if (base.page_size, base.schema_sha256) != (copy.page_size, copy.schema_sha256):
        return "the tables or the page size changed"
    if not timedelta(0) <= age < WEEK:
        return "the last full backup is a week old, or the clock was changed"
    if diff_bytes > MOST_OF_A_FULL * full_bytes:
        return f"more than {MOST_OF_A_FULL:.0%} changed since the last full backup"
    return None


def restore_text(
    full: str,
    full_sha256: str,
    *,
    diff: str | None = None,
    diff_size: int = 0,
    diff_sha256: str = "",
) -> str:
    """Return RESTORE.txt: how to get the database back by hand, without this kit.

    Args:
        full: File name of the newest full backup, zstd inside age.
        full_sha256: Hash of the database in it.
        diff: File name of the newest differential that builds on it, if there is one.
        diff_size: Bytes of the database that it leads to.
        diff_sha256: Hash of that database.
    """
    commands = UNPACK.format(full=quote(full), sha256=full_sha256)
    if diff:
        commands += APPLY.format(diff=quote(diff), size=diff_size, sha256=diff_sha256)
    else:
        commands += KEEP.format(sha256=full_sha256)
    return RESTORE.format(commands=indent(commands, "    "))


def _prefix(before: bytes) -> tuple[zstd.ZstdDict, int] | None:
    return zstd.ZstdDict(before, is_raw=True).as_prefix if len(before) >= LEAST_PREFIX else None
