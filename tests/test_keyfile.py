"""The key file promises that a thief cannot open it and that nothing can spoil it."""

from __future__ import annotations

import base64
import copy
import hmac
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.keyfile import (
    BadKeyFile,
    CannotOpen,
    Changed,
    KeyFile,
    KeyFileError,
    OutOfBounds,
    Passphrase,
    Refused,
)
from kit.keys import Keyring, NoSuchKey

ROOT = Path(__file__).parent.parent
GIT, STRACE = shutil.which("git"), shutil.which("strace")
CHEAPEST = {"m_kib": 19_456, "t": 2, "p": 1}  # the least that a keyring may cost: 0.03 s
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
CREATED = "2026-11-24T09:00:00Z"
WORDS = "caf\u00e9 acorn violin harbor pepper quilt"
OTHER_WORDS = "lantern walnut oyster trumpet ginger fjord"
ROWS = [
    (439041101, "field", "primary", CREATED, bytes(range(32))),
    (2, "signing", "enabled", CREATED, bytes(range(32, 64))),
    (7, "audit", "destroyed", CREATED, b""),
]

# Made once with this module and kept: if this stops opening, old keyrings have too. It holds ROWS.
OLD = b"""{
 "format": 1,
 "generation": 7,
 "kdf": {
  "name": "argon2id",
  "v": 19,
  "m_kib": 19456,
  "t": 2,
  "p": 1,
  "salt": "qTGUymfbHPaQcZ7otwENdQ=="
 },
 "keys": [
  {
   "id": "1a2b3c4d",
   "purpose": "field",
   "state": "primary",
   "created": "2026-11-24T09:00:00Z",
   "wrapped": "aZce3Zanr3WcTvQrsB8veS7boRFoAWcOCMIwQrMdAaK6nW+8L+yV3cEv42ZvpACGwCCWVskAWf9ZYXFu"
  },
  {
   "id": "00000002",
   "purpose": "signing",
   "state": "enabled",
   "created": "2026-11-24T09:00:00Z",
   "wrapped": "2jlKh4JdbM4m2u1RCYnjv1ioqyhezBBV63QfHjzxa5280LbtUmyhlMHPUZjcpSs84Fvw/drKrUXWTqH3"
  },
  {
   "id": "00000007",
   "purpose": "audit",
   "state": "destroyed",
   "created": "2026-11-24T09:00:00Z"
  }
 ],
 "seal": "ZVYiWbS/erOrmhoFwb71FFW+eQqSuCCK5gg618ClNMk="
}"""

posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no such thing")
needs_git = pytest.mark.skipif(not GIT, reason="git is not installed")
needs_strace = pytest.mark.skipif(
    not STRACE or subprocess.run([STRACE, "true"], capture_output=True).returncode != 0,
    reason="strace is not installed, or may not be used here",
)


class NotKept(Exception):
    """The drawer has no such root key."""


class Drawer:
    """Keeps root keys in memory: opens at once, so that every bit can be tried."""

    def __init__(self, kind="drawer"):
        self.kind, self.kept = kind, {}

    def wrap(self, secret, context):
        """Keep it and give a ticket."""
        ticket = os.urandom(16)
        self.kept[ticket, context] = secret
        return ticket

    def unwrap(self, wrapped, context):
        """Take the ticket."""
        if (wrapped, context) not in self.kept:
            raise NotKept
        return self.kept[wrapped, context]


def words(text=WORDS):
    """Return a passphrase that costs little to try."""
    return Passphrase(text, **CHEAPEST)


def names(folder):
    """Return all names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def path(tmp_path):
    """Where OLD lies."""
    (tmp_path / "keyring.json").write_bytes(OLD)
    return tmp_path / "keyring.json"


@pytest.fixture
def file(path):
    """OLD, opened."""
    opened = KeyFile(path, words())
    opened.load()
    return opened


# ---- opens again ----


def test_old_files_still_open(path):
    """A keyring made with version 1 opens for ever."""
    file = KeyFile(path, words())

    assert file.load() == ROWS
    assert file.generation == 7
    assert repr(file) == "KeyFile('keyring.json', generation=7)"


def test_the_format_is_the_documented_one(tmp_path):
    """Anyone can open it with the description alone, should this kit be gone."""
    path = tmp_path / "k"
    KeyFile(path, Passphrase(WORDS, 20_000, 3, 2)).create(ROWS, generation=5)
    content = json.loads(path.read_bytes())
    kdf, seal = content["kdf"], base64.b64decode(content["seal"])
    salt = base64.b64decode(kdf.pop("salt"))
    slow = Argon2id(salt=salt, length=32, iterations=3, lanes=2, memory_cost=20_000)
    root = slow.derive(WORDS.encode())
    wrap_key, seal_key = (
        HKDFExpand(hashes.SHA256(), 32, f"kit/keyring/{use}/v1".encode()).derive(root)
        for use in ("wrap", "seal")
    )
    sealed = json.loads(path.read_bytes())
    del sealed["seal"]

    assert kdf == {"name": "argon2id", "v": 19, "m_kib": 20_000, "t": 3, "p": 2}
    assert (len(salt), content["format"], content["generation"]) == (16, 1, 5)
    canonical = json.dumps(sealed, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert seal == hmac.digest(seal_key, canonical.encode(), "sha256")
    for entry, (number, purpose, state, created, secret) in zip(content["keys"], ROWS, strict=True):
        wrapped = base64.b64decode(entry.pop("wrapped", ""))
        assert entry == {
            "id": f"{number:08x}",
            "purpose": purpose,
            "state": state,
            "created": created,
        }
        bound_to = json.dumps(
            ["kit/keyring/v1", entry["id"], purpose, created], separators=(",", ":")
        )
        assert len(wrapped) == (12 + len(secret) + 16 if secret else 0)
        if wrapped:
            opened = AESGCM(wrap_key).decrypt(wrapped[:12], wrapped[12:], bound_to.encode())
            assert opened == secret


texts = st.text(max_size=20)
rows = st.lists(
    st.tuples(
        st.integers(0, 2**32 - 1),
        texts,
        texts.filter(lambda s: s != "destroyed"),
        texts,
        st.binary(max_size=80),
    )
    | st.tuples(st.integers(0, 2**32 - 1), texts, st.just("destroyed"), texts, st.just(b"")),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(first=rows, second=rows, generation=st.integers(1, 2**63))
def test_whatever_is_saved_comes_back(first, second, generation):
    """No key is lost or changed by being saved, whatever it is for."""
    drawer = Drawer()
    with tempfile.TemporaryDirectory() as name:
        file = KeyFile(Path(name) / "k", drawer)
        file.create(iter(first), generation=generation)
        assert KeyFile(file.path, drawer).load(at_least=generation) == first
        file.save(iter(second))
        assert KeyFile(file.path, drawer).load() == second
        assert file.generation == generation + 1


def test_accents_typed_on_another_keyboard_open_it(path):
    """One system types é as two characters, another as one."""
    assert KeyFile(path, words("cafe\u0301" + WORDS[4:])).load() == ROWS
    with pytest.raises(CannotOpen):
        KeyFile(path, words("cafe" + WORDS[4:])).load()


def test_the_cost_of_the_file_counts_not_that_of_the_program(path):
    """A keyring from another PC opens, and a change leaves its cost alone."""
    file = KeyFile(path, Passphrase(WORDS, 30_000, 4, 2))
    assert file.load() == ROWS
    file.save(ROWS)

    assert json.loads(path.read_bytes())["kdf"] == json.loads(OLD)["kdf"]


def test_a_guess_costs_what_rfc_9106_recommends(tmp_path):
    """64 MiB and 3 rounds in 4 lanes, unless told otherwise."""
    KeyFile(tmp_path / "k", Passphrase(WORDS)).create(ROWS)
    kdf = json.loads((tmp_path / "k").read_bytes())["kdf"]

    assert (kdf["m_kib"], kdf["t"], kdf["p"]) == (65_536, 3, 4)


def test_a_thief_reads_no_key_in_it(file):
    """The file shows how many keys there are and what for; two saves look nothing alike."""
    file.save(ROWS)
    one = file.path.read_bytes()
    file.save(ROWS)
    two = file.path.read_bytes()

    for row in ROWS[:2]:
        assert row[4] not in one
        assert base64.b64encode(row[4])[:-4] not in one
        assert row[4].hex().encode() not in one
    wrapped = [{e.get("wrapped") for e in json.loads(data)["keys"]} for data in (OLD, one, two)]
    file.change_passphrase(words())
    salts = [json.loads(data)["kdf"]["salt"] for data in (OLD, file.path.read_bytes())]
    KeyFile(file.path.with_name("k"), words()).create(ROWS)
    salts.append(json.loads(file.path.with_name("k").read_bytes())["kdf"]["salt"])
    assert len(set(salts)) == 3  # one table of guesses does not serve for two files
    assert wrapped[0] & wrapped[1] & wrapped[2] == {None}
    assert len(wrapped[0] | wrapped[1] | wrapped[2]) == 7


# ---- refuses what is not what was written ----


def changed(**more):
    """Return OLD with fields replaced; ``kdf_t=5`` is the field t in kdf, ``key_id`` in a key."""
    content = json.loads(OLD)
    for name, value in more.items():
        part, _, inner = name.partition("_")
        block = {"kdf": content["kdf"], "key": content["keys"][0], "gone": content["keys"][2]}
        place = block.get(part, content) if inner else content
        if value is None:
            del place[inner or name]
        else:
            place[inner or name] = value
    return json.dumps(content).encode()


B64 = base64.b64encode
DEEP = b"[" * 100_000
TWICE = OLD.replace(b'"t": 2,', b'"t": 2, "t": 2,')
TWICE_IN_KEY = OLD.replace(b'"state": "enabled",', b'"state": "enabled", "state": "primary",')


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        pytest.param(b"", BadKeyFile, "cut short", id="empty"),
        pytest.param(b"{}", BadKeyFile, "fields", id="nothing in it"),
        pytest.param(b"[]", BadKeyFile, "fields", id="a list"),
        pytest.param(b"\xff\xfe{}", BadKeyFile, "not a keyring", id="no text"),
        pytest.param(b"NaN", BadKeyFile, "fields", id="not a number"),
        pytest.param(DEEP, BadKeyFile, "not a keyring", id="deep"),
        pytest.param(
            b'{"generation": ' + b"9" * 5000 + b"}", BadKeyFile, "not a", id="huge number"
        ),
        pytest.param(OLD + b" " * (1 << 20), BadKeyFile, "over 1048576 bytes", id="over the cap"),
        pytest.param(TWICE, BadKeyFile, "not a keyring", id="a name twice"),
        pytest.param(TWICE_IN_KEY, BadKeyFile, "not a keyring", id="a name twice in a key"),
        pytest.param(changed(note="x"), BadKeyFile, "update the kit", id="unknown field"),
        pytest.param(changed(seal=None), BadKeyFile, "fields", id="no seal"),
        pytest.param(changed(format=2), BadKeyFile, "format 1", id="newer format"),
        pytest.param(changed(format=1.0), BadKeyFile, "fields", id="format as fraction"),
        pytest.param(changed(generation=True), BadKeyFile, "fields", id="generation true"),
        pytest.param(changed(generation="7"), BadKeyFile, "fields", id="generation as text"),
        pytest.param(changed(generation=8), CannotOpen, "altered", id="other generation"),
        pytest.param(changed(keys={}), BadKeyFile, "fields", id="keys no list"),
        pytest.param(changed(keys=["x"]), BadKeyFile, "fields", id="a key no block"),
        pytest.param(changed(keys=[]), CannotOpen, "altered", id="keys taken out"),
        pytest.param(changed(kdf={}), BadKeyFile, "fields", id="empty kdf"),
        pytest.param(changed(kdf=[]), BadKeyFile, "fields", id="kdf a list"),
        pytest.param(changed(kdf_x=1), BadKeyFile, "fields", id="unknown field in kdf"),
        pytest.param(changed(kdf_t=None), BadKeyFile, "fields", id="no rounds"),
        pytest.param(changed(kdf_t="2"), BadKeyFile, "fields", id="rounds as text"),
        pytest.param(changed(kdf_t=2.0), BadKeyFile, "fields", id="rounds as fraction"),
        pytest.param(changed(kdf_name="scrypt"), BadKeyFile, "fields", id="another kdf"),
        pytest.param(
            changed(kdf={"name": "no way!", "wrapped": ""}), BadKeyFile, "no way to", id="bad kind"
        ),
        pytest.param(
            changed(kdf={"name": "rot13", "wrapped": ""}), CannotOpen, "by rot13", id="other kind"
        ),
        pytest.param(changed(kdf_salt=""), BadKeyFile, "16 bytes", id="no salt"),
        pytest.param(
            changed(kdf_salt=B64(bytes(15)).decode()), BadKeyFile, "16 bytes", id="salt of 15"
        ),
        pytest.param(
            changed(kdf_salt=B64(bytes(17)).decode()), BadKeyFile, "16 bytes", id="salt of 17"
        ),
        pytest.param(
            changed(kdf_salt=B64(bytes(16)).decode()), CannotOpen, "wrong", id="another salt"
        ),
        pytest.param(changed(kdf_salt="qTGU\n"), BadKeyFile, "base64", id="salt with line end"),
        pytest.param(changed(kdf_salt="\u00e9"), BadKeyFile, "base64", id="salt not ASCII"),
        pytest.param(changed(kdf_v=18), OutOfBounds, "v of a guess", id="v 18"),
        pytest.param(changed(kdf_v=20), OutOfBounds, "v of a guess", id="v 20"),
        pytest.param(changed(kdf_m_kib=19_455), OutOfBounds, "19456 to 1048576", id="m too small"),
        pytest.param(changed(kdf_m_kib=1_048_577), OutOfBounds, "m_kib", id="m too big"),
        pytest.param(changed(kdf_m_kib=-1), OutOfBounds, "m_kib", id="m negative"),
        pytest.param(changed(kdf_m_kib=19_457), CannotOpen, "altered", id="m other"),
        pytest.param(changed(kdf_t=1), OutOfBounds, "t of a guess", id="t too small"),
        pytest.param(changed(kdf_t=17), OutOfBounds, "t of a guess", id="t too big"),
        pytest.param(changed(kdf_t=3), CannotOpen, "altered", id="t other"),
        pytest.param(changed(kdf_p=0), OutOfBounds, "p of a guess", id="p too small"),
        pytest.param(changed(kdf_p=17), OutOfBounds, "p of a guess", id="p too big"),
        pytest.param(changed(kdf_p=16), CannotOpen, "altered", id="p other"),
        pytest.param(changed(key_id="1A2B3C4D"), BadKeyFile, "8 hex", id="id in capitals"),
        pytest.param(changed(key_id="1a2b3c4d5"), BadKeyFile, "8 hex", id="id of 9"),
        pytest.param(changed(key_id="1a2b3c4d\n"), BadKeyFile, "8 hex", id="id with line end"),
        pytest.param(changed(key_id="1a2b3c4e"), CannotOpen, "altered", id="other id"),
        pytest.param(changed(key_purpose="index"), CannotOpen, "altered", id="other purpose"),
        pytest.param(changed(key_state="enabled"), CannotOpen, "altered", id="other state"),
        pytest.param(
            changed(key_state="destroyed"), BadKeyFile, "fields", id="destroyed, with key"
        ),
        pytest.param(changed(gone_state="enabled"), BadKeyFile, "fields", id="enabled, no key"),
        pytest.param(changed(key_wrapped=""), CannotOpen, "altered", id="key taken out"),
        pytest.param(changed(key_x="1"), BadKeyFile, "fields", id="unknown field in a key"),
        pytest.param(changed(seal=""), CannotOpen, "altered", id="empty seal"),
        pytest.param(changed(seal=B64(bytes(32)).decode()), CannotOpen, "altered", id="zero seal"),
        pytest.param(changed(seal="*"), BadKeyFile, "base64", id="seal no base64"),
    ],
)
def test_refuses(path, data, error, says):
    """Whatever was done to the file, it is refused, and the message says what may help."""
    path.write_bytes(data)

    with pytest.raises(error, match=says) as caught:
        KeyFile(path, words()).load()
    assert isinstance(caught.value, KeyFileError)
    assert "; " in str(caught.value)
    assert not str(caught.value).endswith(".")
    assert path.read_bytes() == data


def test_a_file_of_another_kit_names_what_it_is(path):
    """A file that is not readable or not there is no mystery."""
    for place, says in (
        (path.parent, "cannot be read"),
        (path.with_name("none"), "no such file; create a keyring, or recover it"),
        (path / "below", "cannot be read|no such file"),
    ):
        with pytest.raises(BadKeyFile, match=says):
            KeyFile(place, words()).load()


@posix_only
def test_a_file_that_asks_for_64_gib_gets_nothing(path):
    """Whoever can write to the folder cannot bring the PC down with it."""
    import resource

    path.write_bytes(changed(kdf_m_kib=64 * 1024 * 1024))
    few = 8 * 1024 * (1024 if sys.platform == "darwin" else 1)  # 8 MiB; others count in KiB
    before, clock = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()

    with pytest.raises(OutOfBounds):
        KeyFile(path, words()).load()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < few
    assert time.process_time() - clock < 0.02  # less than one cheapest guess


@pytest.mark.parametrize(
    ("cost", "fits"),
    [
        ({"m_kib": 19_455}, False),
        ({"m_kib": 19_456}, True),
        ({"m_kib": 1_048_576}, True),
        ({"m_kib": 1_048_577}, False),
        ({"m_kib": "65536"}, False),
        ({"t": 1}, False),
        ({"t": 2}, True),
        ({"t": 16}, True),
        ({"t": 17}, False),
        ({"p": 0}, False),
        ({"p": 1}, True),
        ({"p": 16}, True),
        ({"p": 17}, False),
    ],
)
def test_no_passphrase_can_cost_too_little_or_too_much(cost, fits):
    """A developer in a hurry cannot make a keyring that is guessed in an afternoon."""
    if fits:
        assert Passphrase(WORDS, **cost)
    else:
        with pytest.raises(OutOfBounds, match=next(iter(cost))):
            Passphrase(WORDS, **cost)


@pytest.mark.parametrize("text", ["", " \t", "caf\udce9 acorn"], ids=["empty", "blank", "Latin-1"])
def test_a_passphrase_is_text(text):
    """A terminal in an old encoding is found out at once, not on the next PC."""
    with pytest.raises(Refused, match="take six random words"):
        Passphrase(text)


def test_the_wrong_passphrase_opens_nothing(path):
    """And it says that this may be all that is wrong."""
    for wrong in (OTHER_WORDS, WORDS + " ", WORDS.upper(), WORDS[:-1]):
        with pytest.raises(CannotOpen, match="wrong passphrase, or an altered file; type it again"):
            KeyFile(path, words(wrong)).load()


def refused_in_every_way(path, wrapper, data, *, cuts):
    """Try every changed bit, or every place to cut, with a file of this content."""
    seen = set()
    tries = (
        [data[:length] for length in range(len(data))]
        if cuts
        else [
            data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            for at in range(len(data))
            for bit in range(8)
        ]
    )
    for attempt in tries:
        path.write_bytes(attempt)
        with pytest.raises((BadKeyFile, OutOfBounds, CannotOpen, NotKept)) as caught:
            KeyFile(path, wrapper).load()
        seen.add(type(caught.value))
    return seen


def test_no_bit_of_it_can_change_unnoticed(path):
    """A failing disk or a clever neighbour: the keyring says so instead of giving wrong keys."""
    drawer = Drawer()
    KeyFile(path.with_name("k"), drawer).create(ROWS)
    data = path.with_name("k").read_bytes()

    seen = refused_in_every_way(path, drawer, data, cuts=False)
    assert seen == {BadKeyFile, CannotOpen, NotKept}
    assert refused_in_every_way(path, drawer, data, cuts=True) == {BadKeyFile}
    path.write_bytes(data)
    assert KeyFile(path, drawer).load() == ROWS


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(OLD) - 1), bit=st.integers(0, 7))
def test_no_bit_of_a_file_with_passphrase_can_change_unnoticed(at, bit):
    """The same for the form with a passphrase; every bit of it is tried among the slow tests."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "keyring.json"
        path.write_bytes(OLD[:at] + bytes([OLD[at] ^ 1 << bit]) + OLD[at + 1 :])
        with pytest.raises((BadKeyFile, OutOfBounds, CannotOpen)):
            KeyFile(path, words()).load()


def test_no_end_of_a_file_with_passphrase_can_be_missing(path):
    """A copy that was cut short is seen before a guess is spent on it."""
    assert refused_in_every_way(path, words(), OLD, cuts=True) == {BadKeyFile}


@pytest.mark.slow
def test_every_bit_of_a_file_with_passphrase(path):
    """All of them, 0.03 s for each that is not visibly wrong."""
    seen = refused_in_every_way(path, words(), OLD, cuts=False)

    assert seen == {BadKeyFile, OutOfBounds, CannotOpen}


def test_a_key_that_was_swapped_under_the_seal_is_seen(tmp_path):
    """Each key is bound to its number and purpose, should the seal itself be got round."""
    drawer, path = Drawer(), tmp_path / "k"
    KeyFile(path, drawer).create(ROWS)
    (root,) = drawer.kept.values()
    seal_key = HKDFExpand(hashes.SHA256(), 32, b"kit/keyring/seal/v1").derive(root)

    def sealed_again(change):
        content = json.loads(whole)
        del content["seal"]
        change(content["keys"])
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        seal = base64.b64encode(hmac.digest(seal_key, canonical, "sha256")).decode()
        path.write_text(json.dumps({**content, "seal": seal}))
        return KeyFile(path, drawer)

    whole = path.read_bytes()
    assert sealed_again(lambda keys: keys[0].update(state="enabled")).load()[0][2] == "enabled"
    for change in (
        lambda keys: keys[0].update(wrapped=keys[1]["wrapped"]),
        lambda keys: keys[0].update(id="00000003"),
        lambda keys: keys[0].update(purpose="index"),
        lambda keys: keys[0].update(created="2026-11-24T09:00:01Z"),
        lambda keys: keys[0].update(wrapped=""),
        lambda keys: keys[0].update(wrapped="AAAA"),
    ):
        with pytest.raises(CannotOpen, match="a key in it was altered"):
            sealed_again(change).load()


# ---- an older one put back, two programs at once ----


def test_an_older_keyring_that_was_put_back_is_seen(file):
    """A stolen passphrase that was changed long ago opens nothing today."""
    file.change_passphrase(words(OTHER_WORDS))
    file.save(ROWS)
    file.path.write_bytes(OLD)

    assert KeyFile(file.path, words()).load(at_least=7) == ROWS
    with pytest.raises(Changed, match="is generation 7, but 9 was seen before; .* look for"):
        KeyFile(file.path, words()).load(at_least=file.generation)
    with pytest.raises(Changed):
        file.save(ROWS)
    assert file.path.read_bytes() == OLD


def test_the_later_of_two_programs_is_told(file):
    """The till and the office rotate at once: no key of either is overwritten."""
    other = KeyFile(file.path, words())
    other.load()
    other.save([*ROWS, (8, "field", "enabled", CREATED, bytes(32))])

    for attempt in (lambda: file.save(ROWS), lambda: file.change_passphrase(words(OTHER_WORDS))):
        with pytest.raises(Changed, match="another program saved it; open it again and repeat"):
            attempt()
    assert file.generation == 7
    assert len(file.load()) == 4
    file.save(ROWS)
    assert file.generation == 9


def test_a_file_that_is_gone_is_not_made_anew(file):
    """Somebody moved the keyring: saving would hide that the newer one is elsewhere."""
    file.path.unlink()

    with pytest.raises(Changed):
        file.save(ROWS)
    assert not file.path.exists()


# ---- what locks it ----


def test_a_changed_passphrase_locks_the_same_keys(file):
    """Someone who leaves the shop knows a passphrase that no longer opens anything."""
    file.change_passphrase(words(OTHER_WORDS))

    assert KeyFile(file.path, words(OTHER_WORDS)).load(at_least=8) == ROWS
    with pytest.raises(CannotOpen):
        KeyFile(file.path, words()).load()
    assert json.loads(file.path.read_bytes())["kdf"]["salt"] != json.loads(OLD)["kdf"]["salt"]
    file.save(ROWS[:1])  # the file that changed goes on with the new one
    assert KeyFile(file.path, words(OTHER_WORDS)).load(at_least=9) == ROWS[:1]
    assert file.load() == ROWS[:1]


def test_a_passphrase_can_give_way_to_something_else_and_come_back(file):
    """From a passphrase to the keychain and back, with the same keys."""
    drawer = Drawer()
    file.change_passphrase(drawer)

    assert KeyFile(file.path, drawer).load() == ROWS
    assert json.loads(file.path.read_bytes())["kdf"]["name"] == "drawer"
    with pytest.raises(CannotOpen, match="locked by drawer, not by argon2id; open it with that"):
        KeyFile(file.path, words()).load()
    file.change_passphrase(words(OTHER_WORDS))
    assert KeyFile(file.path, words(OTHER_WORDS)).load() == ROWS
    with pytest.raises(CannotOpen, match="locked by argon2id, not by drawer"):
        KeyFile(file.path, drawer).load()


def test_a_drawer_that_gives_back_another_key_is_refused(tmp_path):
    """Better no keyring than one that never opens again."""

    class Forgetful(Drawer):
        def unwrap(self, wrapped, context):
            return os.urandom(32)

    with pytest.raises(Refused, match="drawer did not give back what it was to keep"):
        KeyFile(tmp_path / "k", Forgetful()).create(ROWS)
    with pytest.raises(BadKeyFile, match="names no way to open it"):
        KeyFile(tmp_path / "k", Drawer("My Drawer")).create(ROWS)
    assert names(tmp_path) == []


def test_an_altered_file_of_a_drawer_is_not_blamed_on_a_passphrase(tmp_path):
    """There is none to type again."""
    drawer, path = Drawer(), tmp_path / "k"
    KeyFile(path, drawer).create(ROWS)
    path.write_bytes(path.read_bytes().replace(b'"generation": 1', b'"generation": 2'))

    with pytest.raises(CannotOpen, match="^the keyring was altered; take another copy"):
        KeyFile(path, drawer).load()


# ---- what is refused before it is written ----


def test_a_keyring_is_never_overwritten_by_a_new_one(file):
    """`create` on the wrong folder destroys nothing."""
    for fresh in (KeyFile(file.path, words(OTHER_WORDS)), file):
        with pytest.raises(Refused, match="is there already; open it, or take another name"):
            fresh.create(ROWS[:1])
    assert file.path.read_bytes() == OLD


def test_nothing_is_saved_to_a_file_that_was_not_opened(path):
    """What was not read cannot be kept."""
    for attempt in (
        lambda: KeyFile(path, words()).save(ROWS),
        lambda: KeyFile(path, words()).change_passphrase(words(OTHER_WORDS)),
    ):
        with pytest.raises(Refused, match="not open yet; load it first"):
            attempt()
    assert path.read_bytes() == OLD


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        pytest.param((1, "field", "destroyed", CREATED, bytes(32)), Refused, id="destroyed key"),
        pytest.param((2**32, "field", "primary", CREATED, bytes(32)), BadKeyFile, id="big number"),
        pytest.param((-1, "field", "primary", CREATED, bytes(32)), BadKeyFile, id="negative"),
    ],
)
def test_what_does_not_come_back_the_same_is_not_written(file, wrong, error):
    """Each save is opened again as a trial, before the old file goes."""
    with pytest.raises(error):
        file.save([*ROWS, wrong])
    assert file.path.read_bytes() == OLD
    assert names(file.path.parent) == ["keyring.json"]


def test_a_keyring_that_could_not_be_read_again_is_not_written(file):
    """The size cap of reading holds for writing as well."""
    many = [(n, "field", "enabled", CREATED, bytes(32)) for n in range(1, 6000)]

    with pytest.raises(Refused, match="too many keys; destroy old ones first"):
        file.save(many)
    file.save(many[:3500])
    assert len(file.load()) == 3500


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git work tree."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    subprocess.run([GIT, "init", "-q", tmp_path / "site"], check=True)
    (tmp_path / "site" / "shop").mkdir()
    return tmp_path / "site"


@needs_git
def test_git_never_gets_the_keyring(repository):
    """A push would publish it for ever: refused, unless git was told to ignore it."""
    file = KeyFile(repository / "shop/keyring.json", words())
    for ignored in ("", "keyring.json\n", "*.new\n"):
        (repository / ".gitignore").write_text(ignored)
        with pytest.raises(Refused, match=r"git would publish it .* keyring.json\* to .gitignore"):
            file.create(ROWS)
        assert names(repository / "shop") == []

    (repository / ".gitignore").write_text("keyring.json*\n")
    file.create(ROWS)
    shown = subprocess.run([GIT, "-C", repository, "status", "-s", "-uall"], capture_output=True)
    assert shown.stdout == b"?? .gitignore\n"

    subprocess.run([GIT, "-C", repository, "add", "-f", "shop/keyring.json"], check=True)
    with pytest.raises(Refused):  # ignored, but somebody forced it in
        file.save(ROWS)


@needs_git
def test_without_git_a_work_tree_is_refused_all_the_same(repository, monkeypatch):
    """What cannot be asked is not assumed."""
    (repository / ".gitignore").write_text("*\n")
    monkeypatch.setenv("PATH", "")

    with pytest.raises(Refused, match="git would publish it"):
        KeyFile(repository / "keyring.json", words()).create(ROWS)


# ---- the disk ----


@posix_only
def test_nobody_else_can_read_the_file(file):
    """Another account of the same PC does not get to guess, whatever the umask."""
    file.path.chmod(0o644)
    old = os.umask(0)
    try:
        file.save(ROWS)
        KeyFile(file.path.with_name("k"), words()).create(ROWS)
    finally:
        os.umask(old)

    for path in (file.path, file.path.with_name("k")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix_only
def test_a_link_is_followed_and_stays(tmp_path, path):
    """A keyring on a stick stays on the stick, and what points there goes on pointing there."""
    (tmp_path / "shop").mkdir()
    link = tmp_path / "shop" / "keyring.json"
    link.symlink_to("../keyring.json")
    file = KeyFile(link, words())
    file.load()
    file.save(ROWS[:1])

    assert link.is_symlink()
    assert not path.is_symlink()
    assert KeyFile(path, words()).load() == ROWS[:1]
    assert names(tmp_path / "shop") == ["keyring.json"]

    (tmp_path / "stick").mkdir()
    new = tmp_path / "shop" / "new.json"
    new.symlink_to("../stick/new.json")
    KeyFile(new, words()).create(ROWS)
    assert new.is_symlink()
    assert names(tmp_path / "stick") == ["new.json", "new.json.lock"]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    """A stick that is not plugged in."""
    with pytest.raises(Refused, match=r"cannot be saved .*; is there such a folder, space"):
        KeyFile(tmp_path / "stick" / "keyring.json", words()).create(ROWS)


# ---- nothing lies about ----


def test_neither_passphrase_nor_open_file_can_be_copied(file):
    """No pickle on a disk, no worker process and no task graph gets them by accident."""
    for secret in (words(), file):
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(Refused, match="pickled or copied"):
                attempt(secret)
    assert repr(words()) == "Passphrase(m_kib=19456, t=2, p=1)"


def test_the_keyring_and_its_file_fit_together(tmp_path):
    """What the file says is what the keyring finds."""
    ring = Keyring.create(KeyFile(tmp_path / "k", words()), now=NOW)
    again = Keyring.open(KeyFile(tmp_path / "k", words()))

    assert again.keys == ring.keys
    with pytest.raises(NoSuchKey):
        again.find("field", ring.primary("index").id)
