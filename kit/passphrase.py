# SPDX-License-Identifier: MIT-0
"""Get the passphrase from a safe place, never from a command line, and make a good one.

Copy: ``kit copy passphrase --into DIR``, or take this file as it is.
Needs: Python 3.11, boto3, botocore, cryptography, keyring. Nothing else from this kit.
Data: words_for_passphrases.toml.

`find` looks in this order, and stops at the first place that is set::

    KIT_PASSPHRASE        for a program that starts another; the same user's programs can see it
    KIT_PASSPHRASE_FILE   a file that only you can read: one line of UTF-8
    the system's keychain, if a *service* is named: Windows, macOS, GNOME and KDE have one
    a prompt

`Keychain` and `Kms` keep a root key instead of a passphrase: each has ``wrap(secret, context)`` and
``unwrap(wrapped, context)``, and gives back nothing for another context. boto3 is loaded for `Kms`
only, keyring for the keychain only. `Kms` is the one thing here that speaks to another computer.

Source: six words of 2,973 are 69 bits; 10 million cores at 7 Argon2id guesses a second need over
100,000 years for half of them. 15 characters: NIST SP 800-63B-4, for a password that stands alone.
"""

from __future__ import annotations

import os
import secrets
import tomllib
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

WORDS = Path(__file__).with_name("words_for_passphrases.toml")
ENTRY, ROOT_ENTRY = "passphrase", "root key"  # their names in the keychain, under the service
LARGEST_BYTES = 4096  # of a passphrase file; more is another file
LEAST_CHARACTERS = 15
LEAST_GUESSED = 12  # characters that do not simply follow from the one before
LEAST_DISTINCT = 7
LEAST_WORDS = 5  # of our list, which a thief has too: 57 bits
GUESSED_FIRST = (
    "password passwort passphrase contrasena motdepasse letmein welcome iloveyou sunshine dragon "
    "football monkey princess admin login master shadow customer qwertyuiop qwertzuiop qwerty "
    "qwertz azerty asdfghjkl asdf yxcvbnm zxcvbnm 1q2w3e4r5t 1qaz2wsx"
).split()
KEY_BYTES, NONCE_BYTES = 32, 12
TIMEOUT_S = 5  # for AWS to be reached, and again to answer; it is asked twice
NO_KEYCHAIN = (
    "this system has no keychain that locks its entries; use KIT_PASSPHRASE_FILE or the prompt"
)


class PassphraseError(Exception):
    """Base of the errors below. Messages never hold a passphrase or a key."""


class NoPassphrase(PassphraseError):
    """No place had one."""


class BadSource(PassphraseError):
    """A place is set, but what is there cannot be used. The next place is not tried."""


class TooWeak(PassphraseError):
    """A thief with the keyring would guess it."""


class CannotUnwrap(PassphraseError):
    """The keychain or AWS does not give the root key, or it was altered."""


def find(
    environ: Mapping[str, str],
    *,
    ask: Callable[[str], str] | None = None,
    service: str | None = None,
    backend: KeyringBackend | None = None,
) -> str:
    """Return the passphrase from the first place that is set.

    Args:
        environ: The environment, ``os.environ``.
        ask: Shows a prompt and reads a line without showing it, such as ``getpass.getpass``. None
            where nobody sits in front.
        service: The name under which `store` put it in the keychain; None looks there not at all.
        backend: A keychain other than the system's.

    Raises:
        BadSource: A place is set, but is empty, unreadable or no text, or others can read it.
        NoPassphrase: No place is set.
    """
    if (said := environ.get("KIT_PASSPHRASE")) is not None:
        return _usable(said, "KIT_PASSPHRASE")
    if (name := environ.get("KIT_PASSPHRASE_FILE")) is not None:
        return _from_file(Path(_usable(name, "KIT_PASSPHRASE_FILE")))
    if service is not None and (keychain := _keychain(backend)) is not None:
        if (kept := _look_up(keychain, service, ENTRY)) is not None:
            return _usable(kept, "the keychain's entry")
    if ask is not None:
        return _usable(ask("Passphrase: "), "what was typed")
    raise NoPassphrase(
        "no passphrase; set KIT_PASSPHRASE_FILE to a file with it, or KIT_PASSPHRASE, or store it "
        "in the system's keychain, or start this in a terminal"
    )


def store(passphrase: str, service: str, *, backend: KeyringBackend | None = None) -> None:
    """Put the passphrase in the system's keychain, where `find` looks for it.

    Whoever is logged in as you can then open the keyring. Keep it on paper as well.
    """
    _keep(service, ENTRY, _usable(passphrase, "the passphrase"), backend)


def suggest(words: int = 6) -> str:
    """Return *words* random words, joined by hyphens; each adds 11.5 bits."""
    if words < LEAST_WORDS:
        raise TooWeak(f"{words} words can be guessed; take {LEAST_WORDS} at least, better six")
    known = sorted(_words())
    return "-".join(secrets.choice(known) for _ in range(words))


def check(passphrase: str, *, also: Iterable[str] = ()) -> None:
    """Refuse a passphrase that somebody made up and others would think of too.

    A floor, no proof: five lines of a song pass. Prefer `suggest`.

    Args:
        passphrase: The one to judge.
        also: What a thief would try for this shop: its name, its street, the owner's name.

    Raises:
        TooWeak: It is short, plain, or few words; the message says what would help.
    """
    text = _folded(passphrase)
    if len(text) < LEAST_CHARACTERS:
        raise TooWeak(
            f"{len(text)} characters; take {LEAST_CHARACTERS} at least, best six random words"
        )
    own = (_folded(word).strip() for word in also)
    for known in (*GUESSED_FIRST, *(word for word in own if len(word) > 2)):  # an initial is in all
        text = text.replace(known, " ")
    steps = [b for a, b in pairwise(" " + text) if abs(ord(a) - ord(b)) > 1]  # not aaaa, not 1234
    if len(steps) < LEAST_GUESSED or len(set(steps)) < LEAST_DISTINCT:
        raise TooWeak("mostly rows, repeats or well-known words; best take six random words")
    words = "".join(c if c.isalnum() else " " for c in text).split()
    if len(words) < LEAST_WORDS and set(words) <= _words():
        raise TooWeak(f"{len(words)} common words; take {LEAST_WORDS} at least, better six")


class Keychain:
    """Keeps a root key by means of a key in the system's keychain: no passphrase to type.

    Without a recovery copy on paper, a broken PC is then the end of the data.
    """

    kind = "keychain"

    def __init__(self, service: str, *, backend: KeyringBackend | None = None) -> None:
        self.service = service
        self._backend = backend

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Lock *secret* with the key in the keychain, which is made at the first time."""
        key = self._key()
        if key is None:
            key = os.urandom(KEY_BYTES)
            _keep(self.service, ROOT_ENTRY, b64encode(key).decode(), self._backend)
        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(key).encrypt(nonce, secret, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Undo `wrap` on the same PC, as the same user."""
        if (key := self._key()) is None:
            raise CannotUnwrap(
                "the keychain has no key for this shop; on a new PC, use the recovery copy"
            )
        try:
            return AESGCM(key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise CannotUnwrap(
                "the keychain has another key, or the file was altered; use the recovery copy"
            ) from None

    def _key(self) -> bytes | None:
        keychain = _keychain(self._backend)
        if keychain is None:
            raise CannotUnwrap(NO_KEYCHAIN)
        try:
            kept = _look_up(keychain, self.service, ROOT_ENTRY)
            key = None if kept is None else b64decode(kept, validate=True)
        except ValueError:
            key = b""
        if key is not None and len(key) != KEY_BYTES:
            raise CannotUnwrap("the keychain's entry was altered; use the recovery copy")
        return key


class Kms:
    """Keeps a root key by means of a key that never leaves AWS; AWS logs each use.

    Region, credentials and endpoint are those that AWS's own tools use (``AWS_REGION`` and so on).
    """

    kind = "aws-kms"

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id  # an id, ARN or alias; not secret

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """Lock up to 4,096 bytes; AWS sees them for that moment."""
        return self._call("encrypt", "CiphertextBlob", context, Plaintext=secret)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Undo `wrap`; this key and no other may have locked it."""
        return self._call("decrypt", "Plaintext", context, CiphertextBlob=wrapped)

    def _call(self, action: str, wanted: str, context: bytes, **what: bytes) -> bytes:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError:
            raise CannotUnwrap("AWS KMS needs the package boto3; install it first") from None
        twice = {"total_max_attempts": 2, "mode": "standard"}
        settings = Config(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries=twice)
        try:
            answer = getattr(boto3.client("kms", config=settings), action)(
                KeyId=self.key_id, EncryptionContext={"for": context.decode()}, **what
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "no reason")
            raise CannotUnwrap(f"AWS KMS refuses ({code}); check the key and your rights") from None
        except (BotoCoreError, ValueError) as error:  # a ValueError: no proper AWS_ENDPOINT_URL
            raise CannotUnwrap(
                f"AWS KMS cannot be asked ({type(error).__name__}); check region, credentials and "
                "network"
            ) from None
        return bytes(answer[wanted])


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


@cache
def _words() -> frozenset[str]:
    return frozenset(str(tomllib.loads(WORDS.read_text(encoding="utf-8"))["words"]).split())


def _usable(text: str, where: str) -> str:
    if not text.strip():
        raise BadSource(f"{where} is empty; put the passphrase there, or unset it")
    if any("\ud800" <= letter <= "\udfff" for letter in text):  # other bytes, as Python reads them
        raise BadSource(f"{where} is not UTF-8 text; put it there as that")
    return text


def _from_file(path: Path) -> str:
    """Read one line from a file that nobody else can read."""
    failed = ""
    try:
        with path.open("rb") as file:
            others = os.fstat(file.fileno()).st_mode & 0o077
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:  # it holds the name, which may be the passphrase, put there by mistake
        failed = type(error).__name__
    if failed:
        raise BadSource(f"KIT_PASSPHRASE_FILE cannot be read ({failed}); check its name and rights")
    if others and os.name == "posix":  # Windows keeps rights elsewhere
        raise BadSource("others can read KIT_PASSPHRASE_FILE; run chmod 600 and change it")
    try:
        text = data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text = "\n"
    if "\n" in text or len(data) > LARGEST_BYTES:
        raise BadSource("KIT_PASSPHRASE_FILE is not one line of UTF-8 text; save it as that")
    return _usable(text, "KIT_PASSPHRASE_FILE")


def _keychain(given: KeyringBackend | None) -> KeyringBackend | None:
    """Return the keychain, if it locks what it keeps: some only write it in a file, unlocked."""
    if given is not None:
        return given
    try:
        import keyring
    except ImportError:
        return None
    found = keyring.get_keyring()
    each = getattr(found, "backends", [found])  # several, tried in turn
    return found if any(one.priority >= 1 for one in each) else None


def _look_up(keychain: KeyringBackend, service: str, entry: str) -> str | None:
    from keyring.errors import KeyringError

    try:
        return keychain.get_password(service, entry)
    except (KeyringError, OSError) as error:
        raise BadSource(
            f"the keychain does not answer ({type(error).__name__}); unlock it and try again"
        ) from None


def _keep(service: str, entry: str, secret: str, backend: KeyringBackend | None) -> None:
    if (keychain := _keychain(backend)) is None:
        raise BadSource(NO_KEYCHAIN)
    from keyring.errors import KeyringError

    try:
        keychain.set_password(service, entry, secret)
        kept = keychain.get_password(service, entry)
    except (KeyringError, OSError) as error:
        raise BadSource(
            f"the keychain stores nothing ({type(error).__name__}); unlock it and try again"
        ) from None
    if kept != secret:
        raise BadSource(f"the keychain did not keep it; {NO_KEYCHAIN}")
