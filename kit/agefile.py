# SPDX-License-Identifier: MIT-0
"""Seal whole files, so that a lost disk or a wrong e-mail gives nobody your customer list.

Copy: ``kit copy agefile --into DIR``, or take this file as it is.
Needs: Python 3.11, pyrage. Nothing else from this kit.
Data: none.

A sealed file is an age file, which the ``age`` and ``rage`` programs open without this kit::

    age-encryption.org/v1 | a wrapped key per recipient | header check | nonce 16 | chunks

Each chunk is 64 KiB and a 16-byte tag; a chunk changed, moved, added or cut off is noticed.
Its length can be read off the result, and age does not say who wrote the file: anybody who
has your public key can. Somebody who must be sure of that signs the file too.

The file is filled under ``.NAME.8 hex digits.part`` beside the target, readable by its owner
only, and takes the name when it is complete. Whatever fails before leaves nothing. A power cut
leaves that part, which the next run for the same target deletes; on an SSD deleted bytes may
be found again, so unseal only to an encrypted disk.

Source: age-encryption.org/v1, the format; BIP 173 for the checksum of keys; scrypt uses
1 KiB of memory for each step of N at r=8 (RFC 7914), which bounds ``MOST_WORK``.
"""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

import pyrage
from pyrage import passphrase as by_passphrase
from pyrage import x25519

MIB = 1 << 20
MAGIC = b"age-encryption.org/v1\n"
ARMOUR = b"-----BEGIN AGE ENCRYPTED FILE-----"  # the same as text; opened, never written
HEAD_BYTES = 256  # the first stanza ends before this, in armour too
MOST_WORK = 21  # 2**21 steps take 2 GiB; the file says how many, and may be an attacker's
MOST_BY_PASSPHRASE = 64 * MIB  # pyrage holds these in memory, six times over (measured)
LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"  # of Bech32, BIP 173
SHAPES = {"recipient": ("age", 62), "identity": ("age-secret-key-", 74)}  # beginning, characters

T = TypeVar("T")
Progress = Callable[[int, int | None], None]

TOO_MUCH = "asks for more work than is safe here; if you trust it, open it with the age program"
NEXT_STEP = {
    errno.ENOENT: "check the name, and make the folder if it is missing",
    errno.EEXIST: "choose another name, or ask for it to be overwritten",
    errno.EISDIR: "name the file to write in it",
    errno.ENOSPC: "free some space and run it again",
    errno.EFBIG: "the disk takes no file of this size; choose another disk",
    errno.EACCES: "choose a place where you may read and write",
    errno.EROFS: "choose a place that can be written",
}


class AgeFileError(Exception):
    """Base of the errors below. Nothing was written; messages never hold a key or passphrase."""


class BadKey(AgeFileError):
    """A recipient, identity or passphrase is missing, or was mistyped."""


class WrongKey(AgeFileError):
    """The file is not for this key; `needs` says whether a passphrase or an identity opens it."""

    def __init__(self, message: str, needs: str) -> None:
        super().__init__(message)
        self.needs = needs


class NotAgeFile(AgeFileError):
    """The file was never sealed."""


class Damaged(AgeFileError):
    """The file is cut short or altered, or asks for more work than is safe."""


class BadFile(AgeFileError):
    """The source cannot be read, or the target cannot be written; `path` says which."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path.name or path}: {message}")
        self.path = path


def new_identity() -> tuple[str, str]:
    """Return a new secret identity (opens files; keep it on paper) and its public recipient."""
    key = x25519.Identity.generate()
    return str(key), str(key.to_public())


def recipient_of(identity: str) -> str:
    """Return the public recipient that belongs to a secret identity.

    Raises:
        BadKey: It was mistyped; the message says at which character.
    """
    keys = _keys("identity", [identity], x25519.Identity.from_str)
    if len(keys) != 1:
        raise BadKey(f"one identity was expected, but there are {len(keys)}; give one")
    return str(keys[0].to_public())


def opens_with(source: Path) -> str:
    """Return what opens a sealed file, "passphrase" or "identity", to know what to ask for.

    Raises:
        NotAgeFile, Damaged, BadFile: As `unseal_file` does.
    """
    with _opened(source) as file:
        return _needs(file, source)


def seal_file(
    source: Path,
    target: Path,
    *,
    recipients: Sequence[str] = (),
    passphrase: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Seal a file so that only the given recipients, or the passphrase, can open it.

    Args:
        source: A file of any size with recipients, up to 64 MiB with a passphrase. It stays.
        target: Name of the sealed file, by custom the source's name with ``.age`` after it.
        recipients: Public keys (``age1…``), each of which opens the file alone; give two. A text
            may hold several lines and comments, as the files of ``age-keygen`` do.
        passphrase: Instead of recipients; any length, spaces count. About 1.5 s of work.
        overwrite: Replace a target that is there.
        progress: Called with the bytes read and the size of the source, about once per MiB.

    Returns:
        The size of the sealed file in bytes.

    Raises:
        BadKey: No recipient, one that was mistyped, or recipients together with a passphrase.
        BadFile: The source is missing, a folder, sealed already or changed while it was read;
            the target is there already or cannot be written.
    """
    keys = _keys("recipient", recipients, x25519.Recipient.from_str)
    secret = _secret("recipient", keys, passphrase)
    with _filled(target, overwrite) as out, _opened(source) as file:
        before = os.fstat(file.fileno())
        if file.read(len(ARMOUR)).startswith((MAGIC, ARMOUR)):
            raise BadFile(source, "is sealed already; choose the file that was meant")
        file.seek(0)
        reader, writer = _Tap(file, source, progress, before.st_size), _Tap(out, target)
        how = (pyrage.encrypt_io, by_passphrase.encrypt, MOST_BY_PASSPHRASE)
        _through(how, reader, writer, keys, secret)
        after = os.fstat(file.fileno())
        same = before.st_size == reader.done == after.st_size
        if not same or before.st_mtime_ns != after.st_mtime_ns:
            raise BadFile(source, "changed while it was read; close what writes it and try again")
    return writer.done


def unseal_file(
    source: Path,
    target: Path,
    *,
    identities: Sequence[str] = (),
    passphrase: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Open a sealed file; the target appears only after every byte of it was checked.

    Args:
        source: An age file, armoured (text) or not, whoever made it. It stays.
        target: Name of the file to write, readable by its owner only.
        identities: Secret keys (``AGE-SECRET-KEY-1…``) of which one may fit. A text may hold
            several lines and comments, as the files of ``age-keygen`` do; blanks and small
            letters are forgiven, since people type these from paper.
        passphrase: Instead of identities, where the file was sealed with one.
        overwrite: Replace a target that is there.
        progress: As in `seal_file`.

    Returns:
        The size of the opened file in bytes.

    Raises:
        BadKey: No identity and no passphrase, both, or one that was mistyped.
        WrongKey: None of the keys opens it; `needs` says which kind does.
        NotAgeFile: It was never sealed.
        Damaged: It is cut short or altered.
        BadFile: The source cannot be read; the target is there already or cannot be written.
    """
    keys = _keys("identity", identities, x25519.Identity.from_str)
    secret = _secret("identity", keys, passphrase)
    with _filled(target, overwrite) as out, _opened(source) as file:
        needs = _needs(file, source)
        if needs != ("identity" if secret is None else "passphrase"):
            raise WrongKey(f"{source.name} opens with its {needs} only; give that instead", needs)
        size = os.fstat(file.fileno()).st_size
        reader, writer = _Tap(file, source, progress, size), _Tap(out, target)
        how = (pyrage.decrypt_io, by_passphrase.decrypt, 2 * MOST_BY_PASSPHRASE)  # armour: + 1/3
        _through(how, reader, writer, keys, secret)
    return writer.done


def _secret(kind: str, keys: Sequence[object], passphrase: str | None) -> str | None:
    """Return the passphrase in the one form it has on every keyboard; refuse none and both."""
    if (passphrase is None) is not bool(keys):
        raise BadKey(f"give a passphrase, or at least one {kind}; age cannot mix them")
    if passphrase is None:
        return None
    if not passphrase.strip():
        raise BadKey("the passphrase is empty; choose six words or more")
    return unicodedata.normalize("NFC", passphrase)


def _keys(kind: str, texts: Sequence[str], read: Callable[[str], T]) -> list[T]:
    """Read keys from texts of one or more lines; say which one is wrong, and where."""
    keys = []
    for line in "\n".join([texts] if isinstance(texts, str) else texts).splitlines():
        text = "".join(line.lower().split())
        if text and not text.startswith("#"):
            try:
                keys.append(read(text))
            except (pyrage.IdentityError, pyrage.RecipientError):
                raise BadKey(f"{kind} {len(keys) + 1} {_mistyped(text, kind)}") from None
    return keys


def _mistyped(text: str, kind: str) -> str:
    """Say what is wrong with a key, and where, without repeating any of it."""
    begin, length = SHAPES[kind]
    if kind == "recipient" and text.startswith("age-secret-key-"):
        return "is a secret key, which nobody else may see; give the public one (age1…)"
    if not text.startswith(begin + "1"):
        return f"does not begin with {begin}1; only such keys are known here"
    if len(text) != length:
        return f"has {len(text)} characters instead of {length}; compare it letter by letter"
    for n in range(len(begin) + 1, length):
        if text[n] not in LETTERS:
            return f"has a letter at character {n + 1} that keys never have; look at it again"
    for n in range(len(begin) + 1, length):  # one letter mistyped, or swapped with the next
        fixes = [text[:n] + letter + text[n + 1 :] for letter in LETTERS]
        fixes.append(text[:n] + text[n + 1 : n + 2] + text[n] + text[n + 2 :])
        if any(_checksum(fix) == 1 for fix in fixes):
            return f"seems mistyped at character {n + 1}; look at it again"
    return "is mistyped in several places; compare it letter by letter"


def _checksum(text: str) -> int:
    """Return the Bech32 checksum, 1 for a text without typing errors (BIP 173)."""
    begin, _, rest = text.rpartition("1")
    begun = [ord(c) >> 5 for c in begin] + [0] + [ord(c) & 31 for c in begin]
    sum_ = 1
    for value in begun + [LETTERS.index(c) for c in rest]:
        top = sum_ >> 25
        sum_ = (sum_ & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            sum_ ^= term if top >> bit & 1 else 0
    return sum_


def _needs(file: BinaryIO, source: Path) -> str:
    """Read the first lines of a sealed file: what opens it, and that it asks for sane work."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head.startswith(ARMOUR):
        with suppress(binascii.Error):  # then it is no age file, as it says below
            head = base64.b64decode(b"".join(head.splitlines()[1:3]), validate=True)
    if not head.startswith(MAGIC):
        say = "it was never sealed, or its first line is damaged; choose another file"
        raise NotAgeFile(f"{source.name} does not begin as an age file does: {say}")
    first = head.split(b"\n")[1]
    if not first.startswith(b"-> scrypt"):
        return "identity"
    work = re.fullmatch(rb"-> scrypt \S{22} ([1-9]\d?)", first)
    if not work:
        raise Damaged(f"{source.name} is damaged in its second line; take another copy")
    if int(work[1]) > MOST_WORK:
        raise Damaged(f"{source.name} {TOO_MUCH}")
    return "passphrase"


class _Tap:
    """An open file as pyrage sees it: counted, and with its fault kept.

    pyrage turns what a reader or writer raises into a text, be it a full disk or Ctrl-C.
    """

    def __init__(
        self, file: BinaryIO, path: Path, progress: Progress | None = None, total: int = 0
    ) -> None:
        self.file, self.path = file, path
        self.progress, self.total = progress, total
        self.fault: BaseException | None = None
        self.done = self.shown = 0
        if progress:
            progress(0, total)

    def read(self, size: int = -1) -> bytes:
        """Hand out what the file holds next, and tell how far it is."""
        try:
            with _told(self.path):
                data = self.file.read(size)
            self.done += len(data)
            due = self.done - self.shown >= MIB or self.done == self.total
            if self.progress and data and due:
                self.shown = self.done
                self.progress(self.done, self.total)
        except BaseException as fault:
            self.fault = fault
            raise
        return data

    def write(self, data: bytes) -> int:
        """Write all of *data*: a disk that is nearly full takes only a part at first."""
        try:
            with _told(self.path):
                rest = memoryview(data)
                while rest:
                    rest = rest[self.file.write(rest) :]
        except BaseException as fault:
            self.fault = fault
            raise
        self.done += len(data)
        return len(data)


def _through(
    how: tuple[Callable[..., None], Callable[[bytes, str], bytes], int],
    reader: _Tap,
    writer: _Tap,
    keys: Sequence[object],
    secret: str | None,
) -> None:
    """Let pyrage work, as a stream or with a passphrase at once, and say what its errors mean."""
    stream, at_once, most = how
    needs = "identity" if secret is None else "passphrase"
    try:
        if secret is None:
            stream(reader, writer, keys)
        elif reader.total <= most:
            writer.write(at_once(reader.read(), secret))
        else:
            say = f"is over {most // MIB} MiB, too large for a passphrase here; use a recipient"
            raise BadFile(reader.path, f"{say}, or the age program")
    except (pyrage.EncryptError, pyrage.DecryptError, OSError) as problem:
        text, name = str(problem), reader.path.name
        if fault := reader.fault or writer.fault:
            raise fault from None
        if text.startswith("KeyboardInterrupt"):  # Ctrl-C before read() began, so not kept
            raise KeyboardInterrupt from None
        if text.startswith(("No matching keys", "Decryption failed")):
            say = "try another one, or another copy: the beginning of this one may be damaged"
            raise WrongKey(f"this {needs} does not open {name}; {say}", needs) from None
        if text.startswith("Excessive work"):
            raise Damaged(f"{name} {TOO_MUCH}") from None
        say = "is cut short or altered; copy it again in full, or take another copy"
        raise Damaged(f"{name} {say}") from None


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into ours, with the next step."""
    try:
        yield
    except OSError as problem:
        step = NEXT_STEP.get(problem.errno or 0, "check the disk, then run it again")
        raise BadFile(path, f"{os.strerror(problem.errno or 0).lower()}; {step}") from None


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    with _told(source):
        mode = source.stat().st_mode
    if stat.S_ISDIR(mode):
        raise BadFile(source, "is a folder; pack it into one file first (zip or tar), then seal")
    if not stat.S_ISREG(mode):
        raise BadFile(source, "is not an ordinary file; save what it holds to one first")
    with _told(source):
        file = source.open("rb", buffering=MIB)
    with file:
        yield file


@contextmanager
def _filled(target: Path, overwrite: bool) -> Iterator[BinaryIO]:
    """Give a file to fill beside *target*, which takes its place if nothing was raised."""
    with _told(target):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "")
        _clear(target)
        if not overwrite and os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "")
    part = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    try:
        with _told(target):
            part.touch(0o600, exist_ok=False)
            file = part.open("wb", buffering=0)  # closing has nothing left to write and to fail at
        with file:
            yield file
            with _told(target):
                os.fsync(file.fileno())  # before it takes the name: a crash here leaves no target
        with _told(target):
            _take_name(part, target, overwrite)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _clear(target: Path) -> None:
    """Delete what a power cut left of earlier runs for this target."""
    mark = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}\.part")
    for path in [path for path in target.parent.iterdir() if mark.fullmatch(path.name)]:
        with suppress(OSError):  # Windows: another run has it open
            path.unlink()


def _take_name(part: Path, target: Path, overwrite: bool) -> None:
    """Give *part* its name at once and for good; a target that appeared meanwhile stays."""
    if overwrite:
        part.replace(target)
    else:
        try:
            target.hardlink_to(part)  # unlike a rename, refuses if the name is taken
            part.unlink()
        except FileExistsError:
            raise
        except OSError:  # FAT and some network folders know no second name
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "") from None
            part.rename(target)
    with suppress(OSError):  # Windows cannot open a folder
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name survives a power cut too
        finally:
            os.close(folder)
