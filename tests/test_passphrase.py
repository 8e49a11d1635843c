"""The passphrase comes from a safe place, cannot be guessed, and appears in no message."""

from __future__ import annotations

import base64
import math
import os
import re
import socket
import sys
import time
import tomllib
import unicodedata
from contextlib import suppress

import keyring
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyring.backends.chainer import ChainerBackend
from keyring.errors import InitError
from keyrings.alt.file import PlaintextKeyring

from kit import passphrase
from kit.keyfile import CannotOpen, KeyFile, Passphrase
from kit.passphrase import (
    BadSource,
    CannotUnwrap,
    Keychain,
    Kms,
    NoPassphrase,
    PassphraseError,
    TooWeak,
    check,
    find,
    store,
    suggest,
)

WORDS = "acorn-violin-harbor-pepper-quilt-tundra"
SHOP = "kit: corner shop"
CONTEXT = b"kit/keyring/root/v1"
CHEAPEST = {"m_kib": 19_456, "t": 2, "p": 1}  # the least that a keyring may cost
ROWS = [(5, "field", "primary", "2026-11-24T09:00:00Z", bytes(range(32)))]
REGION = "eu-central-1"
posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows keeps rights elsewhere")


class Locking(PlaintextKeyring):
    """A keychain in a file that says of itself that it locks its entries."""

    priority = 5


class Locked(Locking):
    """One that the user did not unlock."""

    def get_password(self, service, username):
        """Refuse."""
        raise InitError(f"{WORDS} is locked")


class ReadOnly(Locking):
    """One that opens, and keeps nothing."""

    def set_password(self, service, username, password):
        """Refuse, as some do, with the secret in the message."""
        raise keyring.errors.PasswordSetError(f"cannot store {password}")


class Leaky(Locking):
    """One that says yes and keeps nothing."""

    def set_password(self, service, username, password):
        """Forget it."""


class OneAfterTheOther(ChainerBackend):
    """Several keychains, tried in turn."""

    backends = ()


def in_file(folder, kind=Locking):
    """Return a keychain of a kind that keeps its entries in this folder."""
    keychain = kind()
    keychain.file_path = str(folder / "keychain.cfg")
    return keychain


@pytest.fixture
def keychain(tmp_path):
    """A real keychain backend, in a file."""
    return in_file(tmp_path)


@pytest.fixture
def system(tmp_path):
    """Make a keychain the system's own for one test: call it with the kind."""
    before = keyring.get_keyring()
    yield lambda kind: keyring.set_keyring(in_file(tmp_path, kind)) or keyring.get_keyring()
    keyring.set_keyring(before)


def file_of(folder, data, mode=0o600):
    """Write a passphrase file and return the environment that names it."""
    path = folder / "words.txt"
    path.write_bytes(data)
    path.chmod(mode)
    return {"KIT_PASSPHRASE_FILE": str(path)}


def never(prompt):
    """Stand for a person who must not be asked."""
    raise AssertionError("asked")


# ---- where it comes from ----


def test_the_first_place_that_is_set_wins(tmp_path, keychain):
    """Environment, file, keychain, prompt: each comes before the next."""
    asked = []
    places = {"KIT_PASSPHRASE": "from the environment", **file_of(tmp_path, b"from the file\n")}
    store("from the keychain", SHOP, backend=keychain)
    more = {"service": SHOP, "backend": keychain}

    assert find(places, ask=never, **more) == "from the environment"
    del places["KIT_PASSPHRASE"]
    assert find(places, ask=never, **more) == "from the file"
    assert find({}, ask=never, **more) == "from the keychain"
    for other in ({}, {"service": "another shop", "backend": keychain}, {"backend": keychain}):
        assert find({}, ask=lambda p: asked.append(p) or "typed", **other) == "typed"
    assert asked == ["Passphrase: "] * 3


def test_nothing_set_and_nobody_there_says_what_to_set():
    """A program that runs at night stops with advice instead of waiting for ever."""
    with pytest.raises(NoPassphrase, match="set KIT_PASSPHRASE_FILE .* start this in a te"):
        find({})


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_place_that_is_set_but_empty_is_refused_not_skipped(tmp_path, keychain, blank):
    """A variable that was lost in a script is found out, and no other passphrase used for it."""
    keychain.set_password(SHOP, passphrase.ENTRY, blank)
    for environ in (
        {"KIT_PASSPHRASE": blank, **file_of(tmp_path, b"good words")},
        {"KIT_PASSPHRASE_FILE": blank},
        file_of(tmp_path, blank.strip("\n").encode()),
        {},
    ):
        with pytest.raises(BadSource, match="is empty; put the passphrase there, or unset it"):
            find(environ, ask=never, service=SHOP, backend=keychain)
    with pytest.raises(BadSource, match="what was typed is empty"):
        find({}, ask=lambda prompt: blank)
    with pytest.raises(BadSource, match="the passphrase is empty"):
        store(blank, SHOP, backend=keychain)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"caf\xc3\xa9 words", "caf\u00e9 words"),
        (b"two  words \n", "two  words "),
        (b"words\r\n", "words"),
        (b"\xef\xbb\xbfwords\n", "words"),
        (b"x" * 4096, "x" * 4096),
    ],
    ids=["no line end", "blanks stay", "Windows", "Notepad", "longest"],
)
def test_a_passphrase_file_is_one_line(tmp_path, data, text):
    """Whatever editor wrote it, the line is the passphrase."""
    assert find(file_of(tmp_path, data)) == text


@pytest.mark.parametrize(
    "data",
    [
        b"one\ntwo\n",
        b"words\n\n",
        b"caf\xe9",
        "caf\u00e9".encode("utf-16"),
        b"x" * 4097,
        b"a" * 99_999,
    ],
    ids=["two lines", "empty line after", "Latin-1", "UTF-16", "a byte too long", "another file"],
)
def test_a_passphrase_file_that_is_something_else_is_refused(tmp_path, data):
    """The wrong file is not taken for a passphrase that then opens nothing."""
    with pytest.raises(BadSource, match="not one line of UTF-8 text; save it as that") as caught:
        find(file_of(tmp_path, data))
    assert caught.value.__context__ is None


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o601, 0o777])
def test_a_passphrase_file_that_others_can_read_is_refused(tmp_path, mode):
    """A backup program or a colleague may have read it already."""
    with pytest.raises(BadSource, match="run chmod 600 and change it"):
        find(file_of(tmp_path, b"words\n", mode))


def test_on_windows_rights_are_not_read_off_the_mode(tmp_path, monkeypatch):
    """There every file seems to be open to all."""
    path = tmp_path / "words.txt"
    file_of(tmp_path, b"words\n", 0o644)
    with monkeypatch.context() as patch:
        patch.setattr(passphrase.os, "name", "nt")
        found = passphrase._from_file(path)

    assert found == "words"


def test_a_passphrase_in_place_of_a_file_name_is_not_shown(tmp_path):
    """The commonest mistake, and its message goes into the log."""
    for name in (WORDS, str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(BadSource, match="KIT_PASSPHRASE_FILE cannot be read") as caught:
            find({"KIT_PASSPHRASE_FILE": name}, ask=never)
        assert name not in f"{caught.value!r}{caught.value.__context__!r}"


def test_bytes_that_are_no_text_are_refused(keychain):
    """Python hands them over as text that no file, keychain or keyring can take."""
    for attempt in (
        lambda: find({"KIT_PASSPHRASE": f"{WORDS}\udcff"}),
        lambda: find({}, ask=lambda prompt: f"{WORDS}\udce9"),
        lambda: store(f"{WORDS}\udcff", SHOP, backend=keychain),
    ):
        with pytest.raises(BadSource, match="is not UTF-8 text"):
            attempt()
    assert find({"KIT_PASSPHRASE": "\ud7ff\ue000\U0001f600"}) == "\ud7ff\ue000\U0001f600"


# ---- the system's keychain ----


def test_the_systems_keychain_is_used_if_it_locks_its_entries(system):
    """GNOME, KDE, macOS and Windows do."""
    system(Locking)
    store(WORDS, SHOP)

    assert find({}, ask=never, service=SHOP) == WORDS


def test_a_keychain_that_only_writes_a_file_is_not_used(system):
    """Some systems have no better one: then the passphrase would lie about in plain text."""
    system(PlaintextKeyring).set_password(SHOP, passphrase.ENTRY, WORDS)

    assert find({}, ask=lambda prompt: "typed", service=SHOP) == "typed"
    with pytest.raises(BadSource, match="no keychain that locks its entries; use KIT_PASSPHRASE_F"):
        store(WORDS, SHOP)
    for attempt in (
        lambda: Keychain(SHOP).wrap(bytes(32), CONTEXT),
        lambda: Keychain(SHOP).unwrap(bytes(60), CONTEXT),
    ):
        with pytest.raises(CannotUnwrap, match="no keychain that locks"):
            attempt()


@pytest.mark.parametrize("kinds", [(PlaintextKeyring, Locking), (PlaintextKeyring,), ()])
def test_several_keychains_are_used_if_one_of_them_locks(tmp_path, system, monkeypatch, kinds):
    """A desktop with two keychains tries the better one first."""
    each = [in_file(tmp_path, kind) for kind in kinds]
    monkeypatch.setattr(OneAfterTheOther, "backends", each)
    system(OneAfterTheOther)
    if each:
        each[0].set_password(SHOP, passphrase.ENTRY, WORDS)

    expected = WORDS if Locking in kinds else "typed"
    assert find({}, ask=lambda prompt: "typed", service=SHOP) == expected


def test_without_the_package_there_is_no_keychain(monkeypatch):
    """A tool that is lifted out works without it."""
    monkeypatch.setitem(sys.modules, "keyring", None)

    assert find({}, ask=lambda prompt: "typed", service=SHOP) == "typed"
    with pytest.raises(BadSource, match="no keychain"):
        store(WORDS, SHOP)


def test_a_locked_keychain_is_refused_not_skipped(tmp_path):
    """The owner unlocks it instead of typing a passphrase that is another one."""
    locked = in_file(tmp_path, Locked)

    with pytest.raises(BadSource, match=r"does not answer \(InitError\); unlock it") as caught:
        find({}, ask=never, service=SHOP, backend=locked)
    assert WORDS not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "says"),
    [(ReadOnly, r"stores nothing \(PasswordSetError\)"), (Leaky, "did not keep it")],
)
def test_a_keychain_that_keeps_nothing_is_found_out(tmp_path, kind, says):
    """Better now than after the next start."""
    with pytest.raises(BadSource, match=says) as caught:
        store(WORDS, SHOP, backend=in_file(tmp_path, kind))
    assert WORDS not in str(caught.value)
    with pytest.raises(BadSource, match=says):
        Keychain(SHOP, backend=in_file(tmp_path, kind)).wrap(bytes(32), CONTEXT)


# ---- a good one ----


def test_suggested_words_are_of_the_list_and_never_the_same():
    """Six words that no other shop has."""
    known = set(tomllib.loads(passphrase.WORDS.read_text(encoding="utf-8"))["words"].split())
    suggested = [suggest() for _ in range(200)] + [suggest(9) for _ in range(50)]

    assert len(set(suggested)) == 250
    assert {len(text.split("-")) for text in suggested} == {6, 9}
    assert {word for text in suggested for word in text.split("-")} <= known
    assert len({word for text in suggested for word in text.split("-")}) > 900  # of 1,650 drawn


def test_the_list_has_as_many_words_as_promised():
    """Each missing word makes passphrases easier to guess."""
    text = tomllib.loads(passphrase.WORDS.read_text(encoding="utf-8"))["words"].split()

    assert text == sorted(set(text))
    assert f"six words of {len(text):,} are {int(6 * math.log2(len(text)))} bits" in (
        passphrase.__doc__
    )
    assert int(5 * math.log2(len(text))) == 57
    assert {len(word) for word in text} == set(range(3, 9))
    assert all(re.fullmatch("[a-z]+", word) for word in text)
    assert not [w for w in text if any(first in w for first in passphrase.GUESSED_FIRST)]


def test_fewer_than_five_words_are_not_suggested():
    """Four words of a known list fall to a rented cluster."""
    assert suggest(5).count("-") == 4
    for words in (4, 1, 0, -1):
        with pytest.raises(TooWeak, match=f"^{words} words can be guessed; take 5 at least"):
            suggest(words)


def test_whatever_is_suggested_is_accepted():
    """The advice of one function passes the other."""
    for _ in range(300):
        check(suggest())
        check(suggest(5))


@pytest.mark.parametrize(
    "text",
    [
        "winter-garden-bicycle-tomato-lantern",
        "\u00dcber sieben Br\u00fccken mu\u00dft du gehn",
        "my aunt's parrot can't whistle",
        "kJ8#vQ2x!mZ5wR9t",
        "\u6211\u5011\u7684\u5c0f\u5e97\u6bcf\u5929\u65e9\u4e0a\u516b\u9ede\u6e96\u6642"
        "\u958b\u9580\u6b61\u8fce\u5149\u81e8",
    ],
)
def test_a_good_passphrase_of_ones_own_is_accepted(text):
    """In any language, words or characters."""
    check(text, also=["Corner Shop", "Main Street"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "0 characters"),
        ("kJ8#vQ2x!mZ5wR", "14 characters; take 15"),
        ("passwordpassword", "well-known"),
        ("Password123456789", "well-known"),
        ("\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44passwordpassword", "well-known"),
        ("aaaaaaaaaaaaaaaaaaaaaa", "rows, repeats"),
        ("abcdefghijklmnopqrstuvwxyz", "rows"),
        ("zyxwvutsrqponmlkjihgfedcba", "rows"),
        ("0123456789012345678901234", "rows"),
        ("abababababababababababab", "repeats"),
        ("12345678901234567-kxqm", "mostly rows"),
        ("qwertyuiopasdfghjklzxcvbnm", "well-known"),
        ("QwertzQwertzQwertz1", "well-known"),
        ("1qaz2wsx1qaz2wsx1q2w3e4r5t", "well-known"),
        ("iloveyou iloveyou 2024", "well-known"),
        ("welcome-dragon-monkey-princess", "mostly rows"),
        ("               ", "mostly"),
        ("acorn-violin-harbor-pepper", "4 common words"),
        ("harbor harbor harbor", "mostly"),
        ("bicycle,bicycle", "2 common words"),
        ("Corner Shop Main Street", "mostly"),
        ("corner shop corner shop 1", "mostly"),
        ("acorn-violin-corner shop-harbor-pepper", "4 common words"),
    ],
)
def test_what_a_thief_tries_first_is_refused(text, says):
    """Long is not enough: rows of keys, repeats, well-known words and the shop's own name."""
    with pytest.raises(TooWeak, match=says) as caught:
        check(text, also=["Corner Shop ", "MAIN STREET", "", " ", "A"])
    assert len(text) < 3 or text not in str(caught.value)


@given(st.text(max_size=40), st.lists(st.text(max_size=5)))
def test_judging_never_fails_otherwise(text, also):
    """Whatever is typed gets an answer."""
    with suppress(TooWeak):
        check(text, also=also)
        assert len(unicodedata.normalize("NFKC", text).casefold()) >= 15


# ---- a root key in the keychain ----


def test_the_keychain_opens_what_it_locked(keychain):
    """The same user on the same PC needs to type nothing."""
    locked = [Keychain(SHOP, backend=keychain).wrap(bytes(range(32)), CONTEXT) for _ in range(2)]

    assert locked[0] != locked[1]
    assert bytes(range(32)) not in b"".join(locked)
    for one in locked:
        assert Keychain(SHOP, backend=keychain).unwrap(one, CONTEXT) == bytes(range(32))


def test_the_keychain_opens_nothing_else(tmp_path, keychain):
    """Another context, shop, PC or a changed byte: nothing comes out."""
    ours = Keychain(SHOP, backend=keychain)
    locked = ours.wrap(bytes(range(32)), CONTEXT)
    other = Keychain("another shop", backend=keychain)
    with pytest.raises(CannotUnwrap, match="on a new PC, use the recovery copy"):
        other.unwrap(locked, CONTEXT)
    other.wrap(bytes(32), CONTEXT)

    for attempt in (
        lambda: ours.unwrap(locked, b"another"),
        lambda: other.unwrap(locked, CONTEXT),
        lambda: ours.unwrap(locked[:-1], CONTEXT),
        lambda: ours.unwrap(b"", CONTEXT),
        *(
            lambda at=at: ours.unwrap(
                locked[:at] + bytes([locked[at] ^ 1]) + locked[at + 1 :], CONTEXT
            )
            for at in range(len(locked))
        ),
    ):
        with pytest.raises(CannotUnwrap, match="another key, or the file was altered"):
            attempt()


@pytest.mark.parametrize("entry", ["", "*", "\u00e9", base64.b64encode(bytes(31)).decode(), "AAAA"])
def test_an_altered_keychain_entry_is_not_used(keychain, entry):
    """Neither to open nor, worse, to lock."""
    keychain.set_password(SHOP, passphrase.ROOT_ENTRY, entry)

    for attempt in ("wrap", "unwrap"):
        with pytest.raises(CannotUnwrap, match="entry was altered; use the recovery copy"):
            getattr(Keychain(SHOP, backend=keychain), attempt)(bytes(60), CONTEXT)


def test_a_keyring_file_locked_by_the_keychain(tmp_path, keychain):
    """The whole way: no passphrase, and a stolen file alone opens nothing."""
    file = KeyFile(tmp_path / "keyring.json", Keychain(SHOP, backend=keychain))
    file.create(ROWS)

    assert KeyFile(file.path, Keychain(SHOP, backend=keychain)).load() == ROWS
    (tmp_path / "elsewhere").mkdir()
    thief = Keychain(SHOP, backend=in_file(tmp_path / "elsewhere"))
    with pytest.raises(CannotUnwrap):
        KeyFile(file.path, thief).load()
    file.change_passphrase(Passphrase(WORDS, **CHEAPEST))
    assert KeyFile(file.path, Passphrase(WORDS, **CHEAPEST)).load() == ROWS
    with pytest.raises(CannotOpen, match="locked by argon2id, not by keychain"):
        KeyFile(file.path, Keychain(SHOP, backend=keychain)).load()


# ---- a root key in AWS KMS ----


@pytest.fixture
def aws(monkeypatch, tmp_path):
    """Settings of AWS's tools that lead nowhere, and forget this machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("NO_PROXY", "*")
    return lambda endpoint: monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)


@pytest.fixture(scope="module")
def server():
    """A server on this machine that answers as AWS would."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def keys(aws, server):
    """Two keys in KMS."""
    import boto3

    aws(server)
    client = boto3.client("kms")
    yield [client.create_key()["KeyMetadata"]["KeyId"] for _ in range(2)]
    client.close()


def test_kms_opens_what_it_locked(keys):
    """With the key's number or its alias."""
    import boto3

    client = boto3.client("kms")
    client.create_alias(AliasName=f"alias/{keys[0]}", TargetKeyId=keys[0])
    client.close()
    locked = Kms(keys[0]).wrap(bytes(range(32)), CONTEXT)

    assert bytes(range(32)) not in locked
    assert Kms(keys[0]).unwrap(locked, CONTEXT) == bytes(range(32))
    assert Kms(f"alias/{keys[0]}").unwrap(locked, CONTEXT) == bytes(range(32))


def test_kms_opens_nothing_else(keys):
    """Another context, another key, a changed file, no such key: nothing comes out."""
    locked = Kms(keys[0]).wrap(bytes(range(32)), CONTEXT)

    for key, data, context, says in (
        (keys[0], locked, b"another", "InvalidCiphertextException"),
        (keys[1], locked, CONTEXT, "IncorrectKeyException|AccessDeniedException"),
        (keys[0], locked[:-1], CONTEXT, "AWS KMS refuses"),
        ("none", locked, CONTEXT, "NotFoundException"),
    ):
        with pytest.raises(CannotUnwrap, match=says) as caught:
            Kms(key).unwrap(data, context)
        assert "check the key and your rights" in str(caught.value)
    with pytest.raises(CannotUnwrap, match="NotFoundException"):
        Kms("none").wrap(bytes(32), CONTEXT)


def test_a_keyring_file_locked_by_kms(keys, tmp_path):
    """The whole way: who may not use the key in AWS opens nothing with a stolen file."""
    file = KeyFile(tmp_path / "keyring.json", Kms(keys[0]))
    file.create(ROWS)
    file.save(ROWS)

    assert KeyFile(file.path, Kms(keys[0])).load(at_least=2) == ROWS
    with pytest.raises(CannotUnwrap, match="AWS KMS refuses"):
        KeyFile(file.path, Kms(keys[1])).load()
    file.change_passphrase(Kms(keys[1]))
    assert KeyFile(file.path, Kms(keys[1])).load(at_least=3) == ROWS


def closed_port():
    """Return a port of this machine on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_without_a_server_kms_gives_up_soon(aws):
    """No network: said within the time limit, not after minutes."""
    aws(f"http://127.0.0.1:{closed_port()}")
    clock = time.monotonic()

    with pytest.raises(CannotUnwrap, match="EndpointConnectionError.; check region, credentials"):
        Kms("any").unwrap(bytes(60), CONTEXT)
    assert time.monotonic() - clock < 2 * passphrase.TIMEOUT_S


def test_a_server_that_never_answers_is_given_up_as_well(aws, monkeypatch):
    """A hotel's network that swallows everything."""
    monkeypatch.setattr(passphrase, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        aws(f"http://127.0.0.1:{silent.getsockname()[1]}")
        clock = time.monotonic()

        with pytest.raises(CannotUnwrap, match="ReadTimeoutError"):
            Kms("any").wrap(bytes(range(32)), CONTEXT)
        assert time.monotonic() - clock < 10


def test_settings_that_lead_nowhere_are_refused(aws, monkeypatch):
    """A wrong address, no region and no credentials each say what to check."""
    import boto3

    for name, value, says in (
        ("AWS_ENDPOINT_URL", "no address", "ValueError"),
        ("AWS_DEFAULT_REGION", None, "NoRegionError"),
        ("AWS_ACCESS_KEY_ID", None, "NoCredentialsError"),
    ):
        aws(f"http://127.0.0.1:{closed_port()}")
        with monkeypatch.context() as patch:
            patch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers credentials
            patch.setenv(name, value) if value else patch.delenv(name)
            with pytest.raises(CannotUnwrap, match=f"cannot be asked .({says})"):
                Kms("any").unwrap(bytes(60), CONTEXT)


def test_without_boto3_kms_says_what_to_install(monkeypatch):
    """A tool that is lifted out works without it, until KMS is wanted."""
    monkeypatch.setitem(sys.modules, "boto3", None)

    with pytest.raises(CannotUnwrap, match="needs the package boto3; install it first"):
        Kms("any").wrap(bytes(32), CONTEXT)


def test_all_errors_are_of_one_family():
    """A caller catches one class and has caught them all."""
    for error in (BadSource, CannotUnwrap, NoPassphrase, TooWeak):
        assert issubclass(error, PassphraseError)
