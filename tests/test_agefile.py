"""Sealing promises that a stolen file is useless, and that nothing half-written is ever left."""

from __future__ import annotations

import base64
import errno
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyrage
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit import agefile
from kit.agefile import (
    AgeFileError,
    BadFile,
    BadKey,
    Damaged,
    NotAgeFile,
    WrongKey,
    new_identity,
    opens_with,
    recipient_of,
    seal_file,
    unseal_file,
)

AGE = shutil.which("age")
posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no such thing")
needs_age = pytest.mark.skipif(not AGE, reason="the age program is not installed")
CHUNK = 64 * 1024  # of the age format
LAST = 50_000  # bytes in the last chunk of the fixture below

# Made once and kept: if these stop opening, old sealed files have too. Both hold TEXT.
TEXT = b"ann@example.com\n"
WORDS = "six plain words in a row"
IDENTITY = "AGE-SECRET-KEY-1QGPRF9DKSZNFCCH5EAJHF2TQ59EWDG0FKUQ2K9D8MRP2Z29CPX7QPJK8SE"
RECIPIENT = "age1mfsmux8zy0s5t622ln9hhz0rga0xs62laq4tcr5mzu2ewxfxcvlqthqdwu"
TO_RECIPIENT = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBmQmFqS2k0eDIzdGx5VzBmSFFWNSsxY3FyT1VhQXZCazlWczds"
    "R2hDVW40CjB0ZVdDSXUvSTlNRmtZSnJrbjNtNWtycmxlV0svTkV3OHF2cU1ObS9YcG8KLT4gJ3pbcTtjLWdyZWFzZQpj"
    "SnlwcERPNjBJWDVnckQrQWRZY3l3bm5CVUE2ZDBMa0x5R05ZYWk3Zm1uMlFXOCtYVGgvT0N5YysvenMrUXZaCi9qRHBr"
    "SmEyZUhhYnR4TVhxd3BCUHltYWhkdzNVbFFTdG5JNFljd3h6aXREK1piZzVjREoxSGsKLS0tIGhvZ2liV1JySTJ6enhr"
    "S2ErZ1A2d0dQaEpWSzFFT1I2aHVwSUhMQjdaVTAKNIxgdEL1kBTfxodIf3RZ9eAFIju6Yy2FXdwHOxWMhubW3MEQ7PW7"
    "VjPYEypEDafC"
)
BY_PASSPHRASE = base64.b64decode(  # scrypt with 2**10 steps, so that tests are quick
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCB4Ty9EbFZpTld4RkJBWnBENE5zdFhnIDEwCm93YlMxNDBxb3ZQ"
    "ZngwTkRGQXJrUnVoK3JxdzRsdW5EU2Y2dkRNM2tHeGcKLS0tIGlpTnNuVFRjRXZKYW56K1I3Tit5UDVhNG9HMTE4T280"
    "SGJ2U0ZaWW1FdGMKhkVD7DJOjPKFL46sGrWFgCtYuQSyOAxdMiTew8DpRPWKzY3/y1M7LCephd8qe/t4"
)


@pytest.fixture
def source(tmp_path):
    """A customer list of a few chunks, the last one not full."""
    path = tmp_path / "customers.csv"
    path.write_bytes(os.urandom(3 * CHUNK + LAST))
    return path


@pytest.fixture
def sealed(source, tmp_path):
    """The same list, sealed to RECIPIENT."""
    seal_file(source, tmp_path / "customers.csv.age", recipients=[RECIPIENT])
    return tmp_path / "customers.csv.age"


def names(folder):
    """Return all names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def put(path, data):
    """Write bytes and return the path."""
    path.write_bytes(data)
    return path


def test_the_bytes_are_on_the_disk_before_the_name(tmp_path, monkeypatch):
    """Or a power cut leaves a name with nothing behind it, when the source is gone already."""
    there, sync = [], os.fsync
    target = tmp_path / "out.age"
    monkeypatch.setattr(os, "fsync", lambda handle: there.append(target.exists()) or sync(handle))

    seal_file(put(tmp_path / "in", TEXT), target, recipients=[RECIPIENT])

    assert there[0] is False


# ---- opens again ----


@settings(max_examples=30, deadline=None)
@given(size=st.integers(0, 3).flatmap(lambda n: st.integers(-17, 17).map(lambda d: n * CHUNK + d)))
@example(size=0)
@example(size=CHUNK)
@example(size=2 * CHUNK)
def test_round_trip_around_the_borders_of_chunks(size):
    """A file opens as it was, whatever its size: no byte lost where two chunks meet."""
    data = os.urandom(max(size, 0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sealed_bytes = seal_file(put(folder / "a", data), folder / "b", recipients=[RECIPIENT])
        opened_bytes = unseal_file(folder / "b", folder / "c", identities=[IDENTITY])

        assert (folder / "c").read_bytes() == data
        assert sealed_bytes == (folder / "b").stat().st_size
        assert opened_bytes == len(data)
        assert names(folder) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("old", "key"),
    [(TO_RECIPIENT, {"identities": [IDENTITY]}), (BY_PASSPHRASE, {"passphrase": WORDS})],
    ids=["recipient", "passphrase"],
)
def test_old_files_still_open(old, key, tmp_path):
    """What was sealed with version 1 opens for ever."""
    unseal_file(put(tmp_path / "old.age", old), tmp_path / "out", **key)

    assert (tmp_path / "out").read_bytes() == TEXT


@pytest.fixture(scope="module")
def by_words(tmp_path_factory):
    """A file sealed with a passphrase at full cost, once for this module, and the progress."""
    folder, shown = tmp_path_factory.mktemp("words"), []
    source, words = put(folder / "a", TEXT), "caf\u00e9 words"
    seal_file(source, folder / "b", passphrase=words, progress=lambda *x: shown.append(x))
    return folder / "b", words, shown


def test_a_passphrase_seals_and_opens(by_words, tmp_path):
    """No key file is needed, and an accent typed on another keyboard still fits."""
    sealed, _, shown = by_words
    elsewhere = "cafe\u0301 words"
    unseal_file(sealed, tmp_path / "c", passphrase=elsewhere)

    assert (tmp_path / "c").read_bytes() == TEXT
    assert opens_with(sealed) == "passphrase"
    assert shown == [(0, len(TEXT)), (len(TEXT), len(TEXT))]


def test_each_recipient_opens_it_alone(source, tmp_path):
    """The owner's paper key and the escrow's each restore the shop."""
    one, two = new_identity(), new_identity()
    seal_file(source, tmp_path / "s", recipients=[one[1], two[1]])

    for number, (identity, _) in enumerate((one, two)):
        unseal_file(tmp_path / "s", tmp_path / str(number), identities=[identity])
        assert (tmp_path / str(number)).read_bytes() == source.read_bytes()
    with pytest.raises(WrongKey):
        unseal_file(tmp_path / "s", tmp_path / "x", identities=[IDENTITY])


def test_one_of_several_identities_is_enough(sealed, source, tmp_path):
    """All paper keys of a drawer can be tried at once."""
    unseal_file(sealed, tmp_path / "out", identities=[new_identity()[0], IDENTITY])

    assert (tmp_path / "out").read_bytes() == source.read_bytes()


def test_a_key_typed_from_paper_is_forgiven_its_blanks(sealed, source, tmp_path):
    """Groups of letters and small letters are how people write keys down."""
    groups = "# the paper key\n\n" + " ".join(re.findall(".{1,5}", IDENTITY.lower())) + "\r\n"
    unseal_file(sealed, tmp_path / "out", identities=groups)

    assert (tmp_path / "out").read_bytes() == source.read_bytes()
    assert recipient_of(groups) == RECIPIENT


def test_armoured_files_open(sealed, source, tmp_path):
    """A sealed file pasted into an e-mail as text opens like any other."""
    data = source.read_bytes()
    recipient = pyrage.x25519.Recipient.from_str(RECIPIENT)
    text = put(tmp_path / "t", pyrage.encrypt(data, [recipient], armored=True))
    unseal_file(text, tmp_path / "out", identities=[IDENTITY])
    body = b"\n".join(re.findall(b".{1,64}", base64.b64encode(BY_PASSPHRASE)))
    ends = (b"-----BEGIN AGE ENCRYPTED FILE-----\n", b"\n-----END AGE ENCRYPTED FILE-----\n")
    unseal_file(put(tmp_path / "p", body.join(ends)), tmp_path / "out2", passphrase=WORDS)

    assert (tmp_path / "out").read_bytes() == data
    assert (tmp_path / "out2").read_bytes() == TEXT
    assert (opens_with(text), opens_with(tmp_path / "p")) == ("identity", "passphrase")


@posix_only
def test_nobody_else_can_read_what_is_written(sealed, tmp_path):
    """Another account of the same computer sees neither the sealed nor the opened file."""
    unseal_file(sealed, tmp_path / "out", identities=[IDENTITY])

    assert {path.stat().st_mode & 0o777 for path in (sealed, tmp_path / "out")} == {0o600}


def test_a_thief_reads_no_text_of_it(tmp_path):
    """Nothing of the customer list stands in the sealed file, and two never look the same."""
    source = put(tmp_path / "a", TEXT * 100)
    for name in ("b", "c"):
        seal_file(source, tmp_path / name, recipients=[RECIPIENT])

    assert b"ann" not in (tmp_path / "b").read_bytes()
    assert (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_progress_grows_to_the_whole(tmp_path):
    """The bar moves about once per MiB and ends full, both ways."""
    size = 3 * agefile.MIB + 5
    source = put(tmp_path / "a", bytes(size))
    sealing, opening = [], []
    seal_file(source, tmp_path / "b", recipients=[RECIPIENT], progress=lambda *x: sealing.append(x))
    unseal_file(tmp_path / "b", tmp_path / "c", identities=[IDENTITY],
                progress=lambda *x: opening.append(x))  # fmt: skip

    for shown, total in ((sealing, size), (opening, (tmp_path / "b").stat().st_size)):
        assert shown[0] == (0, total) and shown[-1] == (total, total)
        assert shown == sorted(set(shown)) and len(shown) == 5


# ---- refuses ----


@pytest.mark.parametrize(
    ("data", "key", "error", "needs"),
    [
        pytest.param(TO_RECIPIENT, {"identities": [new_identity()[0]]}, WrongKey, "identity",
                     id="wrong identity"),
        pytest.param(BY_PASSPHRASE, {"passphrase": "guess"}, WrongKey, "passphrase",
                     id="wrong passphrase"),
        pytest.param(TO_RECIPIENT, {"passphrase": WORDS}, WrongKey, "identity",
                     id="passphrase for a file with recipients"),
        pytest.param(BY_PASSPHRASE, {"identities": [IDENTITY]}, WrongKey, "passphrase",
                     id="identity for a file with a passphrase"),
        pytest.param(b"", {"identities": [IDENTITY]}, NotAgeFile, None, id="empty"),
        pytest.param(TEXT, {"identities": [IDENTITY]}, NotAgeFile, None, id="never sealed"),
        pytest.param(TO_RECIPIENT.replace(b"/v1", b"/v2"), {"identities": [IDENTITY]}, NotAgeFile,
                     None, id="another version"),
        pytest.param(agefile.ARMOUR + b"\n***\n", {"identities": [IDENTITY]}, NotAgeFile, None,
                     id="armour around nothing"),
        pytest.param(TO_RECIPIENT + b"\0", {"identities": [IDENTITY]}, Damaged, None,
                     id="byte appended"),
        pytest.param(TO_RECIPIENT * 2, {"identities": [IDENTITY]}, Damaged, None,
                     id="second file appended"),
        pytest.param(BY_PASSPHRASE + b"\0", {"passphrase": WORDS}, Damaged, None,
                     id="byte appended, passphrase"),
        pytest.param(BY_PASSPHRASE.replace(b" 10\n", b" 22\n"), {"passphrase": WORDS}, Damaged,
                     None, id="4 GiB of work"),
        pytest.param(BY_PASSPHRASE.replace(b" 10\n", b" 010\n"), {"passphrase": WORDS}, Damaged,
                     None, id="work not a number"),
        pytest.param(TO_RECIPIENT, {}, BadKey, None, id="no key"),
        pytest.param(TO_RECIPIENT, {"identities": ["# none\n"]}, BadKey, None, id="only a comment"),
        pytest.param(TO_RECIPIENT, {"identities": [IDENTITY], "passphrase": WORDS}, BadKey, None,
                     id="both"),
        pytest.param(BY_PASSPHRASE, {"passphrase": "  "}, BadKey, None, id="empty passphrase"),
        pytest.param(TO_RECIPIENT, {"identities": [RECIPIENT]}, BadKey, None, id="public key"),
    ],
)  # fmt: skip
def test_refuses(data, key, error, needs, tmp_path):
    """Every way to hold it wrong has its own error, leaves nothing and leaks nothing."""
    source = put(tmp_path / "in.age", data)
    with pytest.raises(error) as caught:
        unseal_file(source, tmp_path / "out", **key)

    assert type(caught.value) is error and issubclass(error, AgeFileError)
    assert getattr(caught.value, "needs", None) == needs
    for secret in ("ann@", WORDS, "guess", IDENTITY[20:30], RECIPIENT[10:20], str(tmp_path)):
        assert secret not in str(caught.value)
    assert str(caught.value)[:1].islower() and not str(caught.value).endswith(".")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert names(tmp_path) == ["in.age"]


def test_what_work_is_safe_is_the_same_on_a_fast_computer(tmp_path):
    """Refused by number, before a passphrase is asked for, whatever age thinks of this machine."""
    for work in (b"22", b"63", b"99"):
        data = BY_PASSPHRASE.replace(b" 10\n", b" %s\n" % work)
        with pytest.raises(Damaged, match="more work"):
            opens_with(put(tmp_path / "in.age", data))
    data = BY_PASSPHRASE.replace(b" 10\n", b" 21\n")
    assert opens_with(put(tmp_path / "in.age", data)) == "passphrase"


def test_work_beyond_this_computer_is_refused_too(tmp_path, monkeypatch):
    """A slow computer says why it cannot open what a fast one made."""
    monkeypatch.setattr(agefile, "MOST_WORK", 63)
    source = put(tmp_path / "in.age", BY_PASSPHRASE.replace(b" 10\n", b" 40\n"))

    with pytest.raises(Damaged, match="more work"):
        unseal_file(source, tmp_path / "out", passphrase=WORDS)


@pytest.mark.parametrize(
    ("recipients", "passphrase", "says"),
    [
        pytest.param([], None, "at least one recipient", id="nobody"),
        pytest.param([RECIPIENT], WORDS, "cannot mix", id="both"),
        pytest.param([], "\n", "empty", id="empty passphrase"),
        pytest.param([IDENTITY], None, "secret key", id="secret key"),
        pytest.param(["ssh-ed25519 AAAA"], None, "begin with age1", id="other kind of key"),
        pytest.param([RECIPIENT, RECIPIENT[:-1]], None, "recipient 2 has 61", id="short"),
        pytest.param([RECIPIENT[:9] + "b" + RECIPIENT[10:]], None, "character 10", id="no letter"),
        pytest.param([RECIPIENT[:9] + "qqqq" + RECIPIENT[13:]], None, "several", id="many"),
    ],
)  # fmt: skip
def test_refuses_to_seal_for_nobody(recipients, passphrase, says, source, tmp_path):
    """A file sealed to a mistyped key would never open again; it is not made."""
    with pytest.raises(BadKey, match=says) as caught:
        seal_file(source, tmp_path / "s", recipients=recipients, passphrase=passphrase)

    assert names(tmp_path) == [source.name]
    assert IDENTITY[16:30].lower() not in str(caught.value).lower()


@settings(max_examples=25, deadline=None)
@given(n=st.integers(4, 61), letter=st.sampled_from(agefile.LETTERS))
def test_one_mistyped_letter_is_pointed_at(n, letter):
    """Whoever types a key from paper is told where to look, not only that it is wrong."""
    typed = RECIPIENT[:n] + letter + RECIPIENT[n + 1 :]
    if typed != RECIPIENT:
        assert f"character {n + 1};" in agefile._mistyped(typed, "recipient")


@pytest.mark.parametrize("n", [20, 33, 72])
def test_two_swapped_letters_are_pointed_at(n):
    """The commonest slip of a hand is found in secret keys too."""
    typed = IDENTITY[:n] + IDENTITY[n + 1] + IDENTITY[n] + IDENTITY[n + 2 :]

    with pytest.raises(BadKey, match=f"identity 1 seems mistyped at character {n + 1}"):
        recipient_of(typed)


def test_recipient_of_wants_one_identity():
    """An empty key file is not taken for a key."""
    with pytest.raises(BadKey, match="there are 0"):
        recipient_of("# empty")


def test_every_byte_of_the_header_is_protected(tmp_path):
    """No flipped bit in a sealed file opens it, and all are refused with our errors."""
    for data, key in (
        (TO_RECIPIENT, {"identities": [IDENTITY]}),
        (BY_PASSPHRASE, {"passphrase": WORDS}),
    ):
        for position in range(len(data)):
            flipped = bytearray(data)
            flipped[position] ^= 1
            source = put(tmp_path / "in.age", flipped)
            with pytest.raises((WrongKey, NotAgeFile, Damaged)):
                unseal_file(source, tmp_path / "out", **key)
            assert names(tmp_path) == ["in.age"], position


def test_a_file_cut_short_never_opens(sealed, tmp_path):
    """An interrupted download or a pulled USB stick never looks like the whole customer list."""
    data = sealed.read_bytes()
    start = len(data) - (3 * (CHUNK + 16) + LAST + 16)  # of the first chunk
    borders = [start + n * (CHUNK + 16) + d for n in range(4) for d in (-1, 0, 1)]
    for size in [
        *borders,
        *range(0, start, 9),
        len(data) - 1,
        *(int.from_bytes(os.urandom(3)) % len(data) for _ in range(20)),
    ]:
        cut = put(tmp_path / "cut.age", data[:size])
        with pytest.raises((Damaged, NotAgeFile, WrongKey)) as caught:
            unseal_file(cut, tmp_path / "out", identities=[IDENTITY])
        assert size < start or type(caught.value) is Damaged
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["customers.csv", "customers.csv.age", "cut.age"]


def test_chunks_cannot_be_moved(sealed, tmp_path):
    """A thief cannot put last month's prices in this month's place."""
    data = sealed.read_bytes()
    start, size = len(data) - (3 * (CHUNK + 16) + LAST + 16), CHUNK + 16
    one, two = data[start : start + size], data[start + size : start + 2 * size]
    sealed.write_bytes(data[:start] + two + one + data[start + 2 * size :])

    with pytest.raises(Damaged):
        unseal_file(sealed, tmp_path / "out", identities=[IDENTITY])


# ---- files and folders ----


@posix_only
@pytest.mark.parametrize("call", [seal_file, unseal_file], ids=["seal", "unseal"])
@pytest.mark.parametrize(
    ("source", "target", "says", "wrong"),
    [
        pytest.param("in", "there", "there: file exists; choose another name", 1, id="exists"),
        pytest.param("in", "link", "file exists", 1, id="link to nowhere"),
        pytest.param("in", "no/out", "no such file.*make the folder", 1, id="no folder"),
        pytest.param("in", "folder", "is a directory; name the file", 1, id="target a folder"),
        pytest.param("in", ".", "is a directory", 1, id="here"),
        pytest.param("in", "in/out", "not a directory", 1, id="target below a file"),
        pytest.param("in", "x" * 250, "too long", 1, id="name too long"),
        pytest.param("none", "out", "none: no such file.*check the name", 0, id="no source"),
        pytest.param("folder", "out", "is a folder; pack it", 0, id="source a folder"),
        pytest.param("pipe", "out", "not an ordinary file", 0, id="source a pipe"),
    ],
)  # fmt: skip
def test_refuses_places(call, source, target, says, wrong, tmp_path, monkeypatch):
    """Nothing is overwritten or guessed; the message says which file and what to do."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "in", TEXT if call is seal_file else TO_RECIPIENT)
    put(tmp_path / "there", b"precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    before = names(tmp_path)
    key = {"recipients": [RECIPIENT]} if call is seal_file else {"identities": [IDENTITY]}
    with pytest.raises(BadFile, match=says) as caught:
        call(Path(source), Path(target), **key)

    assert caught.value.path == Path((source, target)[wrong])
    assert names(tmp_path) == before
    assert (tmp_path / "there").read_bytes() == b"precious"


def test_overwrites_only_when_told(sealed, tmp_path):
    """Yesterday's file gives way when the owner says so, and only if today's one opens."""
    there = put(tmp_path / "there", b"yesterday")
    with pytest.raises(WrongKey):
        unseal_file(sealed, there, identities=[new_identity()[0]], overwrite=True)
    assert there.read_bytes() == b"yesterday"

    unseal_file(sealed, there, identities=[IDENTITY], overwrite=True)

    assert there.read_bytes() == (tmp_path / "customers.csv").read_bytes()


def test_a_target_that_appears_meanwhile_is_not_overwritten(source, tmp_path):
    """Two people sealing at once lose nothing."""
    target = tmp_path / "out"
    with pytest.raises(BadFile, match="file exists"):
        seal_file(source, target, recipients=[RECIPIENT],
                  progress=lambda *_: target.write_bytes(b"first"))  # fmt: skip

    assert target.read_bytes() == b"first"
    assert names(tmp_path) == [source.name, "out"]


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
def test_a_disk_without_hard_links_will_do(taken, source, tmp_path, monkeypatch):
    """A USB stick with an old file system takes sealed files too, and keeps what it holds."""
    target = tmp_path / "out"

    def no_links(self, other):
        if taken:
            target.write_bytes(b"first")
        raise OSError(errno.EPERM, "")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    if taken:
        with pytest.raises(BadFile, match="file exists"):
            seal_file(source, target, recipients=[RECIPIENT])
        assert target.read_bytes() == b"first"
    else:
        seal_file(source, target, recipients=[RECIPIENT])
        assert opens_with(target) == "identity"
    assert names(tmp_path) == [source.name, "out"]


def test_another_run_for_the_same_target_is_harmless(source, tmp_path):
    """Started twice by mistake, one of the two finishes and the other one says so."""
    target, again = tmp_path / "out", []

    def second(done, total):
        if not again:
            again.append(1)
            seal_file(source, target, recipients=[RECIPIENT])

    with pytest.raises(BadFile):
        seal_file(source, target, recipients=[RECIPIENT], progress=second)

    unseal_file(target, tmp_path / "opened", identities=[IDENTITY])
    assert (tmp_path / "opened").read_bytes() == source.read_bytes()
    assert names(tmp_path) == [source.name, "opened", "out"]


def test_a_sealed_file_is_not_sealed_again(sealed, tmp_path):
    """Twice sealed is once too many for whoever must open it in a hurry."""
    with pytest.raises(BadFile, match="sealed already"):
        seal_file(sealed, tmp_path / "twice", recipients=[RECIPIENT])


@pytest.mark.parametrize("way", ["grows", "changes"])
def test_a_source_that_changes_is_not_sealed(way, source, tmp_path):
    """Half of this minute's orders and half of the last's is no backup."""
    then = source.stat().st_mtime_ns

    def meddle(done, total):
        with source.open("ab" if way == "grows" else "r+b") as file:
            file.write(b"x")
        os.utime(source, ns=(then, then + (way == "changes")))

    with pytest.raises(BadFile, match="changed while it was read"):
        seal_file(source, tmp_path / "out", recipients=[RECIPIENT], progress=meddle)

    assert names(tmp_path) == [source.name]


def test_too_large_for_a_passphrase_is_said_before_the_memory_is_gone(tmp_path):
    """A till with little memory is not brought down; the message names the way out."""
    with (tmp_path / "big").open("wb") as file:
        file.truncate(agefile.MOST_BY_PASSPHRASE + 1)
    with (tmp_path / "big.age").open("wb") as file:
        file.write(BY_PASSPHRASE)
        file.truncate(2 * agefile.MOST_BY_PASSPHRASE + 1)

    with pytest.raises(BadFile, match="over 64 MiB.*recipient"):
        seal_file(tmp_path / "big", tmp_path / "out", passphrase=WORDS)
    with pytest.raises(BadFile, match="over 128 MiB"):
        unseal_file(tmp_path / "big.age", tmp_path / "out", passphrase=WORDS)
    assert names(tmp_path) == ["big", "big.age"]


@pytest.fixture
def not_root():
    """A folder that belongs to another account; root would be allowed everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put(folder / "in", TEXT).chmod(0o644)
        put(folder / "secret", TEXT).chmod(0)
        folder.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        yield folder
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@posix_only
def test_without_permission_it_says_so(not_root):
    """A folder that may not be written, or a file that may not be read, is named."""
    with pytest.raises(BadFile, match="out: permission denied; choose a place"):
        seal_file(not_root / "in", not_root / "out", recipients=[RECIPIENT])
    with pytest.raises(BadFile, match="secret: permission denied"):
        opens_with(not_root / "secret")


# ---- faults while it runs ----


@posix_only
@pytest.mark.parametrize("call", [seal_file, unseal_file], ids=["seal", "unseal"])
@pytest.mark.parametrize("room", [0, 100, 100_000, -1])  # -1: the last write does not fit
def test_a_full_disk_is_named_and_leaves_nothing(call, room, sealed, source, tmp_path):
    """The owner reads "disk", not "damaged file", and no half customer list stays behind."""
    resource = pytest.importorskip("resource")
    key = {"recipients": [RECIPIENT]} if call is seal_file else {"identities": [IDENTITY]}
    before, limits = names(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    if room < 0:
        room += sealed.stat().st_size - LAST // 2 if call is seal_file else source.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(BadFile, match="out: file too large; the disk takes") as caught:
            call(source if call is seal_file else sealed, tmp_path / "out", **key)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert caught.value.path == tmp_path / "out"
    assert names(tmp_path) == before


@pytest.mark.parametrize("call", [seal_file, unseal_file], ids=["seal", "unseal"])
def test_a_full_disk_says_free_some_space(call, sealed, source, monkeypatch, tmp_path):
    """The device that is always full takes not one byte; the error keeps its meaning."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    key = {"recipients": [RECIPIENT]} if call is seal_file else {"identities": [IDENTITY]}
    touch = Path.touch
    monkeypatch.setattr(Path, "touch", lambda self, *a, **k: self.symlink_to("/dev/full"))

    with pytest.raises(BadFile, match="out: no space left on device; free some space"):
        call(source if call is seal_file else sealed, tmp_path / "out", **key)

    monkeypatch.setattr(Path, "touch", touch)
    assert names(tmp_path) == [source.name, sealed.name]


@pytest.mark.parametrize("call", [seal_file, unseal_file], ids=["seal", "unseal"])
@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError, ZeroDivisionError])
def test_a_fault_of_the_caller_keeps_its_meaning(call, fault, sealed, source, tmp_path):
    """Ctrl-C in the middle is Ctrl-C, not a damaged file; a closed terminal is not a disk."""
    key = {"recipients": [RECIPIENT]} if call is seal_file else {"identities": [IDENTITY]}
    before = names(tmp_path)

    def stop(done, total):
        if done:
            raise fault

    with pytest.raises(fault) as caught:
        call(source if call is seal_file else sealed, tmp_path / "out", **key, progress=stop)

    assert type(caught.value) is fault
    assert names(tmp_path) == before


@pytest.mark.parametrize("call", [seal_file, unseal_file], ids=["seal", "unseal"])
def test_ctrl_c_between_two_reads_is_ctrl_c(call, sealed, source, tmp_path):
    """A signal often lands where a call begins; there, too, nothing is left behind."""
    key = {"recipients": [RECIPIENT]} if call is seal_file else {"identities": [IDENTITY]}
    before = names(tmp_path)

    def at_call(frame, event, arg):
        if event == "call" and frame.f_code is agefile._Tap.read.__code__:
            raise KeyboardInterrupt

    sys.setprofile(at_call)
    try:
        with pytest.raises(KeyboardInterrupt):
            call(source if call is seal_file else sealed, tmp_path / "out", **key)
    finally:
        sys.setprofile(None)

    assert names(tmp_path) == before


def killed(call, source, target, key, seconds):
    """Run a call in a process of its own and kill it after a while; return whether it was."""
    code = (
        "import sys; from pathlib import Path; from kit import agefile; print(flush=True);"
        f"agefile.{call}(Path(sys.argv[1]), Path(sys.argv[2]), **{key!r})"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, source, target], stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        return process.wait() == -signal.SIGKILL


def sweep(folder, size, moments):
    """Kill sealing and unsealing at moments of their run; nothing half may carry the name."""
    source = put(folder / "a", os.urandom(size))
    plain, hit = source.read_bytes(), 0
    start = time.perf_counter()
    seal_file(source, folder / "b", recipients=[RECIPIENT])
    whole = time.perf_counter() - start
    for call, given_, target, key in (
        ("seal_file", source, folder / "s", {"recipients": [RECIPIENT]}),
        ("unseal_file", folder / "b", folder / "o", {"identities": [IDENTITY]}),
    ):
        for moment in moments:
            was_killed = killed(call, given_, target, key, whole * moment)
            hit += was_killed
            left = set(names(folder)) - {"a", "b", target.name}
            assert len(left) <= 1
            assert all(re.fullmatch(rf"\.{target.name}\.[0-9a-f]{{8}}\.part", x) for x in left)
            assert was_killed or target.exists()
            if target.exists() and call == "unseal_file":
                assert target.read_bytes() == plain
            getattr(agefile, call)(given_, target, **key, overwrite=True)
            assert set(names(folder)) == {"a", "b", target.name}
            target.unlink()
    return hit


@posix_only
def test_a_power_cut_leaves_no_half_file(tmp_path):
    """After kill -9 there is the whole file or none, and the next run clears what was left."""
    assert sweep(tmp_path, 24 << 20, [0.0, 0.3]) > 0


@posix_only
@pytest.mark.slow
def test_power_cuts_at_many_moments(tmp_path):
    """The same at forty moments of larger files."""
    assert sweep(tmp_path, 64 << 20, [n / 20 for n in range(20)]) > 20


def test_what_a_power_cut_left_is_cleared_though_the_target_is_there(source, tmp_path):
    """Killed between taking the name and dropping the other one, the text is still removed."""
    put(tmp_path / "out", b"whole")
    put(tmp_path / ".out.0123abcd.part", b"whole")
    put(tmp_path / ".out.mine.part", b"not ours")

    with pytest.raises(BadFile, match="file exists"):
        seal_file(source, tmp_path / "out", recipients=[RECIPIENT])

    assert names(tmp_path) == [".out.mine.part", source.name, "out"]


@posix_only
@pytest.mark.slow
def test_a_large_file_needs_little_memory(tmp_path):
    """200 MB pass through a till with little memory, both ways."""
    with (tmp_path / "a").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1_000_000))
    code = (
        "import resource, sys; from pathlib import Path; from kit import agefile\n"
        "a, b, c = map(Path, sys.argv[1:])\n"
        "def peak():\n"
        "    if sys.platform != 'linux':\n"
        "        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        # there, that begins with the peak of the process that started this one
        "    return int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        f"agefile.seal_file(a, b, recipients=[{RECIPIENT!r}])\n"
        f"agefile.unseal_file(b, c, identities=[{IDENTITY!r}])\n"
        "print(peak() - before)"
    )
    paths = [tmp_path / name for name in "abc"]
    done = subprocess.run([sys.executable, "-c", code, *paths], check=True, capture_output=True)

    assert int(done.stdout) < 16 * 1024  # KiB
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


# ---- with the age program ----


@needs_age
@pytest.mark.parametrize("size", [0, 1, CHUNK, 2 * CHUNK + 1])
def test_the_age_program_opens_ours_and_we_open_its(size, tmp_path):
    """Whoever restores the shop needs no kit, only a program that every system has."""
    source = put(tmp_path / "a", os.urandom(size))
    key = put(tmp_path / "key", IDENTITY.encode())
    seal_file(source, tmp_path / "ours", recipients=[RECIPIENT])
    run = {"check": True, "capture_output": True}
    opened = subprocess.run([AGE, "-d", "-i", key, tmp_path / "ours"], **run).stdout
    subprocess.run([AGE, "-r", RECIPIENT, "-o", tmp_path / "its", source], **run)
    subprocess.run([AGE, "-a", "-r", RECIPIENT, "-o", tmp_path / "text", source], **run)
    unseal_file(tmp_path / "its", tmp_path / "c", identities=[key.read_text()])
    unseal_file(tmp_path / "text", tmp_path / "d", identities=[key.read_text()])

    assert opened == source.read_bytes()
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes() == opened


AT_A_TERMINAL = """
import os, pty, sys
pid, terminal = pty.fork()  # age asks for a passphrase at a terminal only
if not pid:
    os.execv(sys.argv[2], sys.argv[2:])
while True:
    try:
        said = os.read(terminal, 4096)
    except OSError:  # the program has ended
        break
    if b"passphrase" in said:
        os.write(terminal, sys.argv[1].encode() + b"\\n")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@posix_only
@needs_age
def test_passphrases_work_with_the_age_program_both_ways(by_words, tmp_path):
    """A passphrase file opens at any computer with age on it."""
    sealed, words, _ = by_words
    typed = [sys.executable, "-c", AT_A_TERMINAL, words, AGE]
    subprocess.run([*typed, "-d", "-o", tmp_path / "b", sealed], check=True, timeout=60)
    subprocess.run([*typed, "-p", "-o", tmp_path / "its", tmp_path / "b"], check=True, timeout=60)
    unseal_file(tmp_path / "its", tmp_path / "c", passphrase=words)

    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes() == TEXT


def test_the_signatures_keep_secrets_by_name():
    """A key and a path cannot be swapped by accident."""
    for call in (seal_file, unseal_file):
        kinds = [p.kind for p in inspect.signature(call).parameters.values()]
        assert kinds == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * 2 + [
            inspect.Parameter.KEYWORD_ONLY
        ] * (len(kinds) - 2)
