# SPDX-License-Identifier: MIT-0
"""Keep secret keys in one locked file that neither a thief nor a power cut can spoil.

Copy: ``kit copy keyfile --into DIR``, or take this file as it is.
Needs: Python 3.11, cryptography. Nothing else from this kit.
Data: none.

Without the passphrase the file shows how many keys there are and what for, but no key::

    {"format": 1, "generation": 7,          one more at every change
     "kdf": {"name": "argon2id", "v": 19, "m_kib": 65536, "t": 3, "p": 4, "salt": 16 bytes},
     "keys": [{"id": "1a2b3c4d", "purpose": "field", "state": "primary",
               "created": "2026-11-24T09:00:00Z", "wrapped": nonce 12 | ciphertext | tag 16}],
     "seal": HMAC-SHA256 over all of the above, as canonical JSON}

Bytes are base64. The root key is Argon2id(NFC(passphrase)), or 32 random bytes that something else
keeps for us (``"kdf": {"name": its kind, "wrapped": what it gave}``). Wrapping key and sealing key
are HKDF-Expand-SHA256 of the root. A key is wrapped with AES-256-GCM, bound to its id, purpose and
creation. The seal is checked before anything is unwrapped: AES-GCM alone does not commit to a key.

A change is opened again as a trial, written beside, then put in place: a crash leaves the old file
or the new one. Of two programs that change it at once, the later is told. The file is 0600; Windows
ignores that, so keep it in your user folder there. An old file put back with its old passphrase
opens: note the `generation` elsewhere and hand it to `KeyFile.load` as ``at_least``.

Source: RFC 9106 (Argon2id, second recommended option), RFC 5869 (HKDF), NIST SP 800-38D (GCM).
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import shutil
import sqlite3
import subprocess
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

FORMAT = 1
M_KIB, T, P = 65_536, 3, 4  # 64 MiB, 3 rounds, 4 lanes, as RFC 9106: 0.15 s on a 2-core laptop
BOUNDS = {  # checked before deriving: whoever alters the file could ask for 64 GiB
    "v": (19, 19),
    "m_kib": (19_456, 1_048_576),  # 19 MiB, the least that OWASP allows, to 1 GiB
    "t": (2, 16),
    "p": (1, 16),
}
SALT_BYTES, ROOT_BYTES, NONCE_BYTES = 16, 32, 12
LARGEST_BYTES = 1_048_576  # some 4,000 keys
LOCK_SECONDS = 10  # for another program that is just saving
ROOT_CONTEXT = b"kit/keyring/root/v1"
ANOTHER_COPY = "take another copy of the file"
ALREADY = "is there already; open it, or take another name"
SHAPES: dict[str, dict[str, type]] = {
    "file": {"format": int, "generation": int, "kdf": dict, "keys": list, "seal": str},
    "argon2id": {"name": str, "v": int, "m_kib": int, "t": int, "p": int, "salt": str},
    "wrapped": {"name": str, "wrapped": str},
    "key": {"id": str, "purpose": str, "state": str, "created": str, "wrapped": str},
    "destroyed": {"id": str, "purpose": str, "state": str, "created": str},
}

Row: TypeAlias = tuple[int, str, str, str, bytes]  # id, purpose, state, created, secret


class KeyFileError(Exception):
    """Base of the errors below. Messages never hold a key or a passphrase."""


class BadKeyFile(KeyFileError):
    """The file is missing, is no keyring, is damaged, or comes from a newer kit."""


class OutOfBounds(KeyFileError):
    """One guess of the passphrase would cost too little to be safe, or too much to be meant."""


class CannotOpen(KeyFileError):
    """Wrong passphrase, or an altered file. The message says which, where that can be known."""


class Refused(KeyFileError):
    """Not written, because keys would be lost or published, or the disk says no."""


class Changed(KeyFileError):
    """The file is not the one last seen: changed by another program, or an older one put back."""


class Wrapper(Protocol):
    """Whatever can keep a root key for us: the system's keychain, a cloud's key service."""

    @property
    def kind(self) -> str:
        """Return its name in the file, such as ``"aws-kms"``."""

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Lock 32 bytes."""

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Undo `wrap`, given the same context."""


@dataclass(frozen=True)
class Passphrase:
    """A passphrase, and what one guess of it shall cost: memory in KiB, rounds, lanes.

    The costs count for a new file or passphrase; a file that is opened says its own.
    """

    text: str = field(repr=False)
    m_kib: int = M_KIB
    t: int = T
    p: int = P
    kind = "argon2id"

    def __post_init__(self) -> None:
        if not self.text.strip() or any("\ud800" <= letter <= "\udfff" for letter in self.text):
            raise Refused("the passphrase is empty or not UTF-8 text; take six random words")
        _check_bounds({"v": 19, "m_kib": self.m_kib, "t": self.t, "p": self.p})

    def derive(self, salt: bytes) -> bytes:
        """Return the root key. The same text gives the same key on every system (Unicode NFC)."""
        slow = Argon2id(
            salt=salt, length=ROOT_BYTES, iterations=self.t, lanes=self.p, memory_cost=self.m_kib
        )
        return slow.derive(unicodedata.normalize("NFC", self.text).encode())

    def __reduce__(self) -> NoReturn:
        raise Refused("a passphrase is not pickled or copied: that would leave it lying about")


class KeyFile:
    """A keyring on the disk, and what locks it."""

    def __init__(self, path: Path, wrapper: Passphrase | Wrapper) -> None:
        self.path = Path(path).resolve()  # a link is followed, never replaced
        self.generation = 0  # of the file as last read or written
        self._wrapper = wrapper
        self._kdf: dict[str, object] = {}
        self._root = b""
        self._data: bytes | None = None  # what is on the disk, as far as we know

    def create(self, rows: Iterable[Row], *, generation: int = 1) -> None:
        """Write a new file; refuse if there is one."""
        if self._data is not None:
            raise Refused(f"{self.path.name}: {ALREADY}")
        kdf, root = _new_root(self._wrapper)
        self._put(list(rows), generation, kdf, root)

    def load(self, *, at_least: int = 0) -> list[Row]:
        """Return the rows of the file. Takes as long as one guess of the passphrase.

        Args:
            at_least: The highest generation seen before, kept elsewhere; 0 if none is known.

        Raises:
            BadKeyFile: It is no keyring, or is visibly damaged.
            OutOfBounds: It asks for an absurd amount of memory or work, which was not spent.
            CannotOpen: The passphrase does not fit, or a byte was altered.
            Changed: It is older than *at_least*.
            Exception: What the wrapper raises is passed on.
        """
        data = _read(self.path)
        kdf = _parse(data)["kdf"]
        root = _root(kdf, self._wrapper)
        generation, rows = _unlock(data, root)
        if generation < at_least:
            raise Changed(
                f"{self.path.name}: is generation {generation}, but {at_least} was seen before; "
                "somebody put an older keyring back: look for the newer one"
            )
        self.generation, self._kdf, self._root, self._data = generation, kdf, root, data
        return rows

    def save(self, rows: Iterable[Row]) -> None:
        """Replace the rows. After an error, the old file is still there and still opens.

        Raises:
            Changed: Another program saved meanwhile; load again and repeat the change.
            Refused: The disk is full, read-only or held, or git would publish the file.
        """
        self._expect_open()
        self._put(list(rows), self.generation + 1, self._kdf, self._root)

    def change_passphrase(self, wrapper: Passphrase | Wrapper) -> None:
        """Lock the same keys with another passphrase or wrapper, under a new salt.

        Whoever has the old file and the old passphrase still has the keys: if that can be so,
        rotate them as well.
        """
        _, rows = _unlock(self._expect_open(), self._root)
        kdf, root = _new_root(wrapper)
        self._put(rows, self.generation + 1, kdf, root)
        self._wrapper = wrapper

    def _expect_open(self) -> bytes:
        if self._data is None:
            raise Refused(f"{self.path.name}: not open yet; load it first")
        return self._data

    def _put(self, rows: list[Row], generation: int, kdf: dict[str, object], root: bytes) -> None:
        data = _lock(rows, generation, kdf, root)
        if _unlock(data, root) != (generation, rows):
            raise Refused("the new keyring did not open again, so the old one was kept; try again")
        _write(self.path, data, expected=self._data)
        self.generation, self._kdf, self._root, self._data = generation, kdf, root, data

    def __repr__(self) -> str:
        return f"KeyFile({self.path.name!r}, generation={self.generation})"

    def __reduce__(self) -> NoReturn:
        raise Refused("an open keyring is not pickled or copied; open it again from its path")


# ---- the root key


def _new_root(wrapper: Passphrase | Wrapper) -> tuple[dict[str, object], bytes]:
    """Return a `kdf` block and the root key that it leads to, tried once the way back."""
    if isinstance(wrapper, Passphrase):
        cost = {"v": 19, "m_kib": wrapper.m_kib, "t": wrapper.t, "p": wrapper.p}
        kdf = {"name": wrapper.kind, **cost, "salt": _text(os.urandom(SALT_BYTES))}
        root = _root(kdf, wrapper)
    else:
        root = os.urandom(ROOT_BYTES)
        kdf = {"name": wrapper.kind, "wrapped": _text(wrapper.wrap(root, ROOT_CONTEXT))}
    if not hmac.compare_digest(_root(kdf, wrapper), root):
        raise Refused(f"{wrapper.kind} did not give back what it was to keep; nothing was changed")
    return kdf, root


def _root(kdf: Mapping[str, object], wrapper: Passphrase | Wrapper) -> bytes:
    """Return the root key for a `kdf` block whose shape and bounds were checked."""
    if kdf["name"] != wrapper.kind:
        raise CannotOpen(
            f"the keyring is locked by {kdf['name']}, not by {wrapper.kind}; open it with that"
        )
    if isinstance(wrapper, Passphrase):
        m_kib, t, p = (int(str(kdf[name])) for name in ("m_kib", "t", "p"))
        return replace(wrapper, m_kib=m_kib, t=t, p=p).derive(_bytes(kdf["salt"]))
    return wrapper.unwrap(_bytes(kdf["wrapped"]), ROOT_CONTEXT)


def _check_bounds(kdf: Mapping[str, object]) -> None:
    for name, (least, most) in BOUNDS.items():
        value = kdf[name]
        if not isinstance(value, int) or not least <= value <= most:
            raise OutOfBounds(f"cost {name} of a guess is not {least} to {most}; {ANOTHER_COPY}")


def _subkey(root: bytes, use: str) -> bytes:
    return HKDFExpand(hashes.SHA256(), 32, f"kit/keyring/{use}/v1".encode()).derive(root)


# ---- the bytes of the file


def _lock(rows: list[Row], generation: int, kdf: Mapping[str, object], root: bytes) -> bytes:
    """Return the file's bytes. No line end at the end: then every cut shows."""
    gcm = AESGCM(_subkey(root, "wrap"))
    keys = []
    for number, purpose, state, created, secret in rows:
        entry = {"id": f"{number:08x}", "purpose": purpose, "state": state, "created": created}
        if state != "destroyed":
            nonce = os.urandom(NONCE_BYTES)
            entry["wrapped"] = _text(nonce + gcm.encrypt(nonce, secret, _bound_to(entry)))
        keys.append(entry)
    content = {"format": FORMAT, "generation": generation, "kdf": kdf, "keys": keys}
    seal = hmac.digest(_subkey(root, "seal"), _canonical(content), "sha256")
    data = json.dumps({**content, "seal": _text(seal)}, indent=1).encode()
    if len(data) > LARGEST_BYTES:
        raise Refused("the keyring would hold too many keys; destroy old ones first")
    return data


def _unlock(data: bytes, root: bytes) -> tuple[int, list[Row]]:
    """Check the seal, then unwrap every key."""
    content = _parse(data)
    seal = _bytes(content.pop("seal"))
    wanted = hmac.digest(_subkey(root, "seal"), _canonical(content), "sha256")
    if not hmac.compare_digest(seal, wanted):
        raise CannotOpen(
            f"wrong passphrase, or an altered file; type it again, then {ANOTHER_COPY}"
            if content["kdf"]["name"] == Passphrase.kind
            else f"the keyring was altered; {ANOTHER_COPY}"
        )
    gcm = AESGCM(_subkey(root, "wrap"))
    rows: list[Row] = []
    for entry in content["keys"]:
        wrapped = _bytes(entry.get("wrapped", ""))
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        try:
            secret = gcm.decrypt(nonce, sealed, _bound_to(entry)) if "wrapped" in entry else b""
        except (InvalidTag, ValueError):
            raise CannotOpen(f"a key in it was altered; {ANOTHER_COPY}") from None
        number = int(entry["id"], 16)
        rows.append((number, entry["purpose"], entry["state"], entry["created"], secret))
    return content["generation"], rows


def _parse(data: bytes) -> Any:
    """Read the JSON strictly: known fields only, each once, of the right kind and size."""
    try:
        content = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise BadKeyFile(f"not a keyring, or cut short; {ANOTHER_COPY}") from None
    _check_shape(content, "file")
    if content["format"] != FORMAT:
        raise BadKeyFile(f"not format {FORMAT}, the one that is known; update the kit")
    kdf = content["kdf"]
    _check_shape(kdf, "argon2id" if kdf.get("name") == Passphrase.kind else "wrapped")
    if kdf["name"] == Passphrase.kind:
        _check_bounds(kdf)
        if len(_bytes(kdf["salt"])) != SALT_BYTES:
            raise BadKeyFile(f"the salt is not {SALT_BYTES} bytes; {ANOTHER_COPY}")
    elif not re.fullmatch("[a-z0-9-]{1,32}", kdf["name"]):  # it is shown in messages
        raise BadKeyFile(f"names no way to open it; {ANOTHER_COPY}")
    for entry in content["keys"]:
        destroyed = isinstance(entry, dict) and entry.get("state") == "destroyed"
        _check_shape(entry, "destroyed" if destroyed else "key")
        if not re.fullmatch("[0-9a-f]{8}", entry["id"]):
            raise BadKeyFile(f"a key's id is not 8 hex digits; {ANOTHER_COPY}")
    return content


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a name given twice: two readers could each take another one."""
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError
    return found


def _check_shape(block: object, name: str) -> None:
    kinds = {key: type(value) for key, value in block.items()} if isinstance(block, dict) else {}
    if kinds != SHAPES[name]:
        raise BadKeyFile(f"not the fields of a keyring; update the kit, or {ANOTHER_COPY}")


def _bytes(text: object) -> bytes:
    """Read base64 in its one proper spelling, so that no bit can be changed unseen."""
    try:
        found = base64.b64decode(str(text), validate=True)
    except ValueError:
        found = b""
    if _text(found) != text:
        raise BadKeyFile(f"holds something that is not base64; {ANOTHER_COPY}")
    return found


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _bound_to(entry: Mapping[str, str]) -> bytes:
    """Return what a wrapped key is tied to. Not its state, which changes without it."""
    return _canonical(["kit/keyring/v1", entry["id"], entry["purpose"], entry["created"]])


# ---- the disk


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise BadKeyFile(f"{path.name}: no such file; create a keyring, or recover it") from None
    except OSError as error:
        name = type(error).__name__
        raise BadKeyFile(f"{path.name}: cannot be read ({name}); is it a file of yours") from None
    if len(data) > LARGEST_BYTES:
        raise BadKeyFile(f"{path.name}: over {LARGEST_BYTES} bytes, so no keyring; {ANOTHER_COPY}")
    return data


def _write(path: Path, data: bytes, *, expected: bytes | None) -> None:
    """Put *data* in place in one step, if the file there is still the *expected* one."""
    new = path.with_name(f"{path.name}.new")
    try:
        _refuse_in_git(path)
        with _locked(path):
            if (path.read_bytes() if path.exists() else None) != expected:
                if expected is None:
                    raise Refused(f"{path.name}: {ALREADY}")
                raise Changed(f"{path.name}: another program saved it; open it again and repeat")
            new.unlink(missing_ok=True)  # left by a program that was killed below
            try:
                handle = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(path)  # a crash before this leaves the old file, after it the new one
            finally:
                new.unlink(missing_ok=True)
            with suppress(OSError):  # Windows opens no folders; it is saved already anyway
                folder = os.open(path.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
    except (OSError, sqlite3.Error) as error:
        raise Refused(
            f"{path.name}: cannot be saved ({type(error).__name__}), nothing was changed; is there "
            "such a folder, space, the right to write, or another program that holds the file"
        ) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one program at a time save. The lock of a killed program is gone with it.

    What is locked is an empty SQLite file: the one lock that Python has alike on all systems.
    """
    beside = path.with_name(f"{path.name}.lock")
    with closing(sqlite3.connect(beside, timeout=LOCK_SECONDS, isolation_level=None)) as lock:
        lock.executescript("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE")  # no file but this
        yield


def _refuse_in_git(path: Path) -> None:
    """Refuse a place from which `git push` would publish the keyring."""
    if not any((folder / ".git").exists() for folder in path.parents):
        return
    names = [path.name, f"{path.name}.new"]  # the second stays if a save is killed
    git = shutil.which("git")
    asked = git and subprocess.run(  # noqa: S603 (no shell, and the names stand behind --)
        [git, "-C", path.parent, "check-ignore", "--", *names], capture_output=True, check=False
    )
    if not asked or len(asked.stdout.splitlines()) < len(names):  # it lists what is ignored
        raise Refused(
            f"{path.name}: git would publish it from here; keep it elsewhere, or add the line "
            f"{path.name}* to .gitignore"
        )
