"""The keyring promises that keys change without losing a value, and never show themselves."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import shutil
import tempfile
import traceback
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kit import keyfile, passphrase, recovery
from kit.keyfile import KeyFile, Passphrase
from kit.keys import (
    DEFAULT,
    KEY_BYTES,
    BadKeyring,
    Key,
    Keyring,
    KeyringError,
    NoSuchKey,
    NotAllowed,
)

NOW = datetime(2026, 11, 24, 9, 0, 0, 123456, tzinfo=UTC)
CREATED = "2026-11-24T09:00:00Z"
HOUSE = "pseudonyms:mailing-house"
WORDS = "acorn-violin-harbor-pepper-quilt-tundra"
OTHER_WORDS = "lantern-walnut-oyster-trumpet-ginger-fjord"
CHEAPEST = {"m_kib": 19_456, "t": 2, "p": 1}  # the least that a keyring may cost
ROWS = [
    (1, "field", "primary", CREATED, bytes(range(32))),
    (2**32 - 1, "field", "destroyed", CREATED, b""),
    (7, HOUSE, "primary", CREATED, bytes(range(64))),
]


class Drawer:
    """Keeps root keys in memory, so that a real key file costs no 0.15 s to open."""

    kind = "drawer"

    def __init__(self):
        self.kept = {}

    def wrap(self, secret, context):
        """Keep it and give a ticket."""
        ticket = os.urandom(16)
        self.kept[ticket] = (secret, context)
        return ticket

    def unwrap(self, wrapped, context):
        """Take the ticket."""
        secret, bound_to = self.kept[wrapped]
        assert context == bound_to
        return secret


@pytest.fixture
def place(tmp_path):
    """Where a keyring is kept: call it for a fresh look at the same file."""
    drawer = Drawer()
    return lambda: KeyFile(tmp_path / "keyring.json", drawer)


@pytest.fixture
def ring(place):
    """A new keyring with one key of each purpose."""
    return Keyring.create(place(), now=NOW)


def sole(ring, purpose):
    """Return the only key of a purpose."""
    (key,) = [key for key in ring.keys if key.purpose == purpose]
    return key


# ---- what a keyring holds ----


def test_a_new_keyring_has_one_key_for_each_purpose(ring):
    """Setting up needs no choice: every tool of the kit finds its key."""
    assert tuple(key.purpose for key in ring.keys) == DEFAULT
    assert {key.state for key in ring.keys} == {"primary"}
    assert {key.purpose: len(key.secret) for key in ring.keys} == {p: KEY_BYTES[p] for p in DEFAULT}
    assert len({key.secret for key in ring.keys}) == len({key.id for key in ring.keys}) == 6
    assert all(0 < key.id < 2**32 for key in ring.keys)
    assert ring.generation == 1
    assert repr(ring) == "Keyring(6 keys, generation 1)"


def test_two_keyrings_share_no_key(tmp_path):
    """Keys are random: another shop's keyring opens nothing of ours."""
    one, two = (Keyring.create(KeyFile(tmp_path / n, Drawer()), now=NOW) for n in "ab")

    assert not {key.secret for key in one.keys} & {key.secret for key in two.keys}


def test_purposes_can_be_chosen_and_asking_twice_makes_one_key(place):
    """A tool that is lifted out makes the one key that it needs."""
    ring = Keyring.create(place(), now=NOW, purposes=["field", "field", HOUSE])

    assert [key.purpose for key in ring.keys] == ["field", HOUSE]


def test_the_time_is_kept_in_utc_and_whole_seconds(place):
    """Keys made in two time zones can be put in order."""
    here = NOW.astimezone(timezone(timedelta(hours=-5)))
    ring = Keyring.create(place(), now=here, purposes=["field"])

    assert sole(ring, "field").created == NOW.replace(microsecond=0)
    assert ring.status()[0]["created"] == CREATED


def test_status_shows_everything_but_the_secrets(ring):
    """The table can be put on the wall."""
    for row, key in zip(ring.status(), ring.keys, strict=True):
        assert row == {
            "id": key.id,
            "purpose": key.purpose,
            "state": "primary",
            "created": CREATED,
        }


def test_numbers_are_never_used_twice(ring, monkeypatch):
    """A number stands in every token: two keys with one number would lose values."""
    taken, draws, random = ring.primary("audit").id, [], os.urandom
    numbers = iter([0, taken, taken, 5])

    def urandom(size):
        draws.append(size)
        return next(numbers).to_bytes(4, "big") if size == 4 else random(size)

    monkeypatch.setattr("kit.keys.os.urandom", urandom)

    assert ring.rotate("audit", now=NOW).id == 5
    assert draws[:4] == [4, 4, 4, 4]


# ---- the steps of a key's life ----


def test_a_key_goes_its_whole_way(ring, place):
    """Old values open until nothing needs their key; then it can be forgotten."""
    old = ring.primary("field")
    new = ring.rotate("field", now=NOW + timedelta(days=365))

    assert ring.primary("field") == new != old
    assert (ring.find("field", old.id).state, ring.find("field", new.id).state) == (
        "enabled",
        "primary",
    )
    assert ring.find("field", old.id).secret == old.secret

    asked = []
    ring.retire(old.id, in_use=lambda key_id: bool(asked.append(key_id)))
    assert asked == [old.id]
    with pytest.raises(NoSuchKey, match="enable it first") as caught:
        ring.find("field", old.id)
    assert caught.value.key_id == old.id

    ring.enable(old.id)
    assert ring.find("field", old.id).secret == old.secret

    ring.retire(old.id, in_use=False)
    ring.destroy(old.id)
    with pytest.raises(NoSuchKey, match="was destroyed"):
        ring.find("field", old.id)
    assert [key.secret for key in ring.keys if key.id == old.id] == [b""]
    assert [row["state"] for row in ring.status() if row["id"] == old.id] == ["destroyed"]
    assert ring.generation == 6
    assert Keyring.open(place(), at_least=6).keys == ring.keys


@pytest.mark.parametrize("in_use", [True, lambda key_id: True], ids=["told", "asked"])
def test_a_key_in_use_is_not_retired(ring, in_use):
    """A table or a kept backup that needs the key keeps it alive."""
    old = ring.primary("field")
    ring.rotate("field", now=NOW)

    with pytest.raises(NotAllowed, match="is in use"):
        ring.retire(old.id, in_use=in_use)
    assert ring.find("field", old.id).secret == old.secret


def in_state(ring, state):
    """Return the number of a key in this state."""
    key_id = ring.primary("field").id
    if state != "primary":
        ring.rotate("field", now=NOW)
    if state in ("disabled", "destroyed"):
        ring.retire(key_id, in_use=False)
    if state == "destroyed":
        ring.destroy(key_id)
    return key_id


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ("primary", "retire"),
        ("primary", "enable"),
        ("primary", "destroy"),
        ("enabled", "enable"),
        ("enabled", "destroy"),
        ("disabled", "retire"),
        ("destroyed", "retire"),
        ("destroyed", "enable"),
        ("destroyed", "destroy"),
    ],
)
def test_no_step_can_be_skipped(ring, place, state, step):
    """A key that locks or opens values cannot be destroyed by one wrong word."""
    key_id = in_state(ring, state)
    before = ring.keys
    more = {"in_use": False} if step == "retire" else {}

    with pytest.raises(NotAllowed, match=f"^key {key_id} is {state}; only an? "):
        getattr(ring, step)(key_id, **more)
    assert ring.keys == Keyring.open(place()).keys == before


@pytest.mark.parametrize(
    ("step", "error", "says"),
    [
        pytest.param(lambda r: r.primary(HOUSE), NoSuchKey, "add one first", id="no such purpose"),
        pytest.param(lambda r: r.rotate(HOUSE, now=NOW), NoSuchKey, "add one", id="rotate nothing"),
        pytest.param(lambda r: r.find("field", 0), NoSuchKey, "no key 0", id="number 0"),
        pytest.param(lambda r: r.enable(0), NoSuchKey, "no key 0; look", id="enable nothing"),
        pytest.param(
            lambda r: r.find("field", r.primary("index").id), NoSuchKey, "for index", id="moved"
        ),
        pytest.param(lambda r: r.add("field", now=NOW), NotAllowed, "rotate it", id="there is one"),
        pytest.param(lambda r: r.add("feild", now=NOW), NotAllowed, "not a purpose", id="typo"),
        pytest.param(lambda r: r.add("", now=NOW), NotAllowed, "not a purpose", id="nothing"),
        pytest.param(
            lambda r: r.add("pseudonyms", now=NOW), NotAllowed, "recipient", id="no recipient"
        ),
        pytest.param(
            lambda r: r.add("pseudonyms:", now=NOW), NotAllowed, "colon", id="empty recipient"
        ),
        pytest.param(
            lambda r: r.add("pseudonyms:a\n", now=NOW), NotAllowed, "purpose", id="two lines"
        ),
        pytest.param(
            lambda r: r.add("pseudonyms:a" + 64 * "b", now=NOW), NotAllowed, "purpose", id="long"
        ),
        pytest.param(lambda r: r.add("field:x", now=NOW), NotAllowed, "purpose", id="no index"),
        pytest.param(
            lambda r: r.add(HOUSE, now=NOW.replace(tzinfo=None)), NotAllowed, "aware", id="naive"
        ),
        pytest.param(lambda r: r.export_tink("index"), NotAllowed, "export field", id="no Tink"),
        pytest.param(lambda r: r.export_tink(HOUSE), NoSuchKey, "add one", id="nobody's"),
        pytest.param(lambda r: r.public_key(r.primary("field").id), NoSuchKey, "field", id="sign"),
    ],
)
def test_refuses(ring, place, step, error, says):
    """Every wrong step says what to do instead, and changes nothing."""
    before = ring.keys

    with pytest.raises(error, match=says) as caught:
        step(ring)
    assert isinstance(caught.value, KeyringError)
    assert str(caught.value)[0].islower()
    assert not str(caught.value).endswith(".")
    assert ring.keys == Keyring.open(place()).keys == before


def test_a_recipient_gets_a_key_of_its_own(ring, place):
    """What the mailing house knows is no use to the printer."""
    house, printer = (ring.add(name, now=NOW) for name in (HOUSE, "pseudonyms:printer"))

    assert house.secret != printer.secret
    assert len(house.secret) == 64
    assert Keyring.open(place()).find(HOUSE, house.id) == house


def test_the_keyring_in_memory_is_never_ahead_of_the_file(ring, place):
    """A value is never locked with a key that was not saved."""
    other = Keyring.open(place())
    other.rotate("field", now=NOW)
    before = ring.primary("field")

    with pytest.raises(keyfile.Changed):
        ring.rotate("field", now=NOW)
    assert ring.primary("field") == before
    with pytest.raises(keyfile.Changed):
        Keyring.open(place(), at_least=3)


def test_a_recovery_copy_must_hold_every_usable_key(ring):
    """Found in the monthly check, not after the fire."""
    held = [key.id for key in ring.keys]
    ring.covered_by(held)
    in_state(ring, "destroyed")
    new = ring.primary("field")

    with pytest.raises(NoSuchKey, match="write a new copy now") as caught:
        ring.covered_by(held)
    assert caught.value.key_id == new.id
    ring.covered_by([*held[1:], new.id])  # the destroyed one is not missed


# ---- coming back from a recovery copy ----


def test_restored_keys_are_the_same_keys(place):
    """After a fire, every old value opens again."""
    ring = Keyring.restore(place(), iter(ROWS), generation=12)

    assert ring.generation == 12
    assert [row[4] for row in ROWS] == [key.secret for key in ring.keys]
    assert Keyring.open(place(), at_least=12).keys == ring.keys
    with pytest.raises(keyfile.Refused):
        Keyring.restore(place(), ROWS, generation=13)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param((0, "index", "primary", CREATED, bytes(32)), id="number 0"),
        pytest.param((2**32, "index", "primary", CREATED, bytes(32)), id="number over 4 bytes"),
        pytest.param((3, "cell", "primary", CREATED, bytes(32)), id="unknown purpose"),
        pytest.param((3, "pseudonyms", "primary", CREATED, bytes(64)), id="no recipient"),
        pytest.param((3, "index", "Primary", CREATED, bytes(32)), id="unknown state"),
        pytest.param((3, "index", "primary", CREATED, bytes(31)), id="short key"),
        pytest.param((3, "index", "primary", CREATED, b""), id="no key"),
        pytest.param((3, "field", "destroyed", CREATED, bytes(32)), id="destroyed with a key"),
        pytest.param((3, "index", "primary", "2026-11-24", bytes(32)), id="no time"),
        pytest.param((3, "index", "primary", "2026-1-24T09:00:00Z", bytes(32)), id="short month"),
        pytest.param((3, "index", "primary", CREATED[:-1] + "+02:00", bytes(32)), id="other zone"),
        pytest.param((3, "field", "primary", CREATED, bytes(32)), id="two primary keys"),
        pytest.param((3, "index", "enabled", CREATED, bytes(32)), id="no primary key"),
        pytest.param((7, "field", "enabled", CREATED, bytes(32)), id="one number twice"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(place, row):
    """Anyone can write a recovery copy for us: a foreign one never becomes the keyring."""
    with pytest.raises(BadKeyring, match="take another copy"):
        Keyring.restore(place(), [*ROWS, row], generation=1)
    assert not place().path.exists()
    with pytest.raises(BadKeyring):
        Keyring(place(), [*ROWS, row])


# ---- signatures ----


def test_anyone_can_check_a_signature_with_the_public_key(ring):
    """A backup is proven ours with 32 bytes that are no secret, older ones too."""
    old, signed = ring.primary("signing"), ring.sign(b"manifest")
    public = ring.public_key()
    ring.rotate("signing", now=NOW)

    assert ring.public_key(old.id) == public != ring.public_key()
    Ed25519PublicKey.from_public_bytes(public).verify(signed, b"manifest")
    for key, text in ((public, b"Manifest"), (ring.public_key(), b"manifest")):
        with pytest.raises(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(key).verify(signed, text)


def test_signatures_are_those_of_rfc_8032(place):
    """Test 2 of section 7.1: any Ed25519 checks what we signed."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    ring = Keyring(place(), [(1, "signing", "primary", CREATED, seed)])

    assert ring.public_key().hex() == (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    )
    assert ring.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


# ---- Tink ----


@pytest.mark.parametrize("purpose", ["field", "deterministic", HOUSE])
def test_the_exported_keyset_has_the_usable_keys_only(ring, purpose):
    """The number, the key and the state are those of the keyring; a retired key stays at home."""
    if purpose == HOUSE:
        ring.add(HOUSE, now=NOW)
    gone = ring.primary(purpose)
    old = ring.rotate(purpose, now=NOW)
    new = ring.rotate(purpose, now=NOW)
    ring.retire(gone.id, in_use=False)
    keyset = json.loads(ring.export_tink(purpose))

    assert keyset["primaryKeyId"] == new.id
    assert [key["keyId"] for key in keyset["key"]] == [old.id, new.id]
    assert {key["status"] for key in keyset["key"]} == {"ENABLED"}
    for key, ours in zip(keyset["key"], (old, new), strict=True):
        value = base64.b64decode(key["keyData"]["value"])
        assert (value[1], value[2:]) == (len(ours.secret), ours.secret)


@pytest.mark.parametrize("purpose", ["field", "deterministic", HOUSE])
def test_tink_uses_the_exported_keys(ring, purpose):
    """Another program with Tink opens our tokens, made under old and new keys, and we open its."""
    tink = pytest.importorskip("tink", reason="no Tink for this system")
    from tink import aead, daead, secret_key_access

    aead.register()
    daead.register()
    old = ring.add(HOUSE, now=NOW) if purpose == HOUSE else ring.primary(purpose)
    new = ring.rotate(purpose, now=NOW)
    keyset = tink.json_proto_keyset_format.parse(ring.export_tink(purpose), secret_key_access.TOKEN)

    def lock(key):
        """Make a token by hand: version, number, then plain AES."""
        start = b"\x01" + key.id.to_bytes(4, "big")
        if purpose == "field":
            nonce = os.urandom(12)
            return start + nonce + AESGCM(key.secret).encrypt(nonce, b"Ann", b"a.b.1")
        return start + AESSIV(key.secret).encrypt(b"Ann", [b"a.b.1"])

    if purpose == "field":
        theirs = keyset.primitive(aead.Aead)
        token = theirs.encrypt(b"Ann", b"a.b.1")
        assert AESGCM(new.secret).decrypt(token[5:17], token[17:], b"a.b.1") == b"Ann"
        assert [theirs.decrypt(lock(key), b"a.b.1") for key in (old, new)] == [b"Ann", b"Ann"]
    else:
        theirs = keyset.primitive(daead.DeterministicAead)
        token = theirs.encrypt_deterministically(b"Ann", b"a.b.1")
        assert token == lock(new)
        assert AESSIV(new.secret).decrypt(token[5:], [b"a.b.1"]) == b"Ann"
        assert theirs.decrypt_deterministically(lock(old), b"a.b.1") == b"Ann"
    assert token[:5] == b"\x01" + new.id.to_bytes(4, "big")


# ---- every order of steps ----


class Life(RuleBasedStateMachine):
    """Any number of steps in any order, on a real file, beside a plain list of what should be."""

    @initialize()
    def start(self):
        """Make a keyring."""
        self.folder, self.drawer = Path(tempfile.mkdtemp()), Drawer()
        self.ring = Keyring.create(self.store(), now=NOW, purposes=["field", "signing"])
        self.expected = {key.id: (key.purpose, "primary", key.secret) for key in self.ring.keys}
        self.steps = 1

    def store(self):
        """Look at the file afresh."""
        return KeyFile(self.folder / "keyring.json", self.drawer)

    def new(self, key):
        """Write down a key that was just made."""
        assert key.id not in self.expected
        self.expected[key.id] = (key.purpose, "primary", key.secret)
        self.steps += 1

    def pick(self, data, state):
        """Choose a key in a state, if there is one."""
        found = sorted(n for n, (_, s, _) in self.expected.items() if s == state)
        return data.draw(st.sampled_from(found)) if found else None

    def move(self, key_id, state, secret=None):
        """Write down a new state."""
        purpose, _, old = self.expected[key_id]
        self.expected[key_id] = (purpose, state, old if secret is None else secret)
        self.steps += 1

    @rule(purpose=st.sampled_from(["field", "index", HOUSE, "pseudonyms:printer"]))
    def add(self, purpose):
        """Add, or be refused."""
        if any(purpose == known for known, _, _ in self.expected.values()):
            with pytest.raises(NotAllowed):
                self.ring.add(purpose, now=NOW)
        else:
            self.new(self.ring.add(purpose, now=NOW))

    @rule(data=st.data())
    def rotate(self, data):
        """Rotate a purpose that there is."""
        old = self.pick(data, "primary")
        self.move(old, "enabled")
        self.steps -= 1
        self.new(self.ring.rotate(self.expected[old][0], now=NOW))

    @rule(data=st.data(), in_use=st.booleans())
    def retire(self, data, in_use):
        """Retire, or be refused."""
        if (key_id := self.pick(data, "enabled")) is not None:
            if in_use:
                with pytest.raises(NotAllowed):
                    self.ring.retire(key_id, in_use=True)
            else:
                self.ring.retire(key_id, in_use=False)
                self.move(key_id, "disabled")

    @rule(data=st.data())
    def enable(self, data):
        """Take a retired key back."""
        if (key_id := self.pick(data, "disabled")) is not None:
            self.ring.enable(key_id)
            self.move(key_id, "enabled")

    @rule(data=st.data())
    def destroy(self, data):
        """Forget a retired key."""
        if (key_id := self.pick(data, "disabled")) is not None:
            self.ring.destroy(key_id)
            self.move(key_id, "destroyed", b"")

    @rule()
    def change_the_lock(self):
        """Wrap the same keys anew."""
        self.ring.store.change_passphrase(self.drawer)
        self.steps += 1

    @rule()
    def reopen(self):
        """Close the program and start it again."""
        self.ring = Keyring.open(self.store(), at_least=self.steps)

    @invariant()
    def one_primary_each_and_nothing_lost(self):
        """What was saved is what was meant, and a new value always has exactly one key."""
        if not hasattr(self, "ring"):
            return
        seen = Keyring.open(self.store())
        assert seen.keys == self.ring.keys
        assert seen.generation == self.ring.generation == self.steps
        assert {k.id: (k.purpose, k.state, k.secret) for k in seen.keys} == self.expected
        purposes = {key.purpose for key in seen.keys}
        primary = [key.purpose for key in seen.keys if key.state == "primary"]
        assert sorted(primary) == sorted(purposes)
        assert {seen.primary(purpose).purpose for purpose in purposes} == purposes

    def teardown(self):
        """Leave nothing behind."""
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


# ---- nothing shows a key ----


def spilled(error):
    """Return everything that a log, a notebook or a crash report could show of an error."""
    text = "".join(traceback.format_exception(error))
    seen = error
    while seen is not None:
        text += f"{seen!r} {seen} {seen.args!r} {vars(seen)!r}"
        seen = seen.__cause__ or seen.__context__
    return text


def spellings(secret):
    """Return the ways in which bytes are shown."""
    plain = secret.encode() if isinstance(secret, str) else secret
    coded = base64.b64encode(plain).decode().rstrip("=")
    return {
        str(secret),
        repr(secret)[2:-1],
        plain.hex(),
        plain.hex().upper(),
        coded,
        coded.translate(str.maketrans("+/", "-_")),
        str(list(plain)),
    }


def test_no_message_shows_a_key_or_passphrase(tmp_path):
    """An error in a log, a notebook or a mail to support gives nothing away."""
    path, paper = tmp_path / "keyring.json", recovery.new_paper_key()
    words = Passphrase(WORDS, **CHEAPEST)
    file = KeyFile(path, words)
    ring = Keyring.create(file, now=NOW)
    sealed = recovery.copy(ring, paper[1])
    secrets = [*(key.secret for key in ring.keys), WORDS, OTHER_WORDS, paper[0], paper[0].lower()]
    gone, number = in_state(ring, "destroyed"), ring.primary("field").id
    ring.rotate("index", now=NOW)
    secrets += [key.secret for key in ring.keys if key.secret]
    typo = paper[0][:-1] + ("Q" if paper[0][-1] != "Q" else "P")
    foreign = [(1, "field", "primary", CREATED, key.secret) for key in ring.keys[:2]]
    open_file, unreadable = path.read_bytes(), tmp_path / "words.txt"
    unreadable.write_bytes(b"\xff" + WORDS.encode())
    unreadable.chmod(0o600)
    content = json.loads(open_file)
    content["keys"][0]["purpose"] = "index"
    (tmp_path / "moved.json").write_text(json.dumps(content))
    (tmp_path / "cut.json").write_bytes(open_file[:-9])
    age = [
        recovery.pyrage.encrypt(text, [recovery.pyrage.x25519.Recipient.from_str(paper[1])])
        for text in (ring.keys[1].secret, json.dumps([WORDS]).encode()[:-1])
    ]
    attempts = [
        lambda: pickle.dumps(ring),
        lambda: copy.copy(ring.primary("field")),
        lambda: copy.deepcopy(ring.primary("field")),
        lambda: pickle.dumps(ring.primary("field")),
        lambda: copy.copy(file),
        lambda: pickle.dumps(file),
        lambda: copy.deepcopy(words),
        lambda: pickle.dumps(words),
        lambda: ring.find("field", gone),
        lambda: ring.find("index", number),
        lambda: ring.retire(number, in_use=False),
        lambda: ring.add("field", now=NOW),
        lambda: ring.export_tink("audit"),
        lambda: Keyring(file, foreign),
        lambda: Passphrase(f"{WORDS}\udcff"),
        lambda: Passphrase(WORDS, m_kib=1),
        lambda: KeyFile(path, words).create([]),
        lambda: KeyFile(path, words).save([]),
        lambda: KeyFile(path, Passphrase(OTHER_WORDS, **CHEAPEST)).load(),
        lambda: KeyFile(path, Drawer()).load(),
        lambda: KeyFile(path, words).load(at_least=99),
        lambda: KeyFile(tmp_path / "moved.json", words).load(),
        lambda: KeyFile(tmp_path / "cut.json", words).load(),
        lambda: file.save([(1, "field", "destroyed", CREATED, ring.keys[1].secret)]),
        lambda: recovery.check(typo),
        lambda: recovery.check(paper[0][1:]),
        lambda: recovery.check(paper[0][:20] + "b" + paper[0][21:]),
        lambda: recovery.check(paper[0][:-2] + "QQ"),
        lambda: recovery.read(sealed, recovery.new_paper_key()[0]),
        lambda: recovery.read(sealed[:-1], paper[0]),
        lambda: recovery.read(age[0], paper[0]),
        lambda: recovery.read(age[1], paper[0]),
        lambda: recovery.copy(ring, paper[0]),
        lambda: recovery.rehearse(ring, sealed, paper[0]),
        lambda: passphrase.check("acorn violin " + WORDS[:5]),
        lambda: passphrase.find({"KIT_PASSPHRASE": f"{WORDS}\udcff"}),
        lambda: passphrase.find({"KIT_PASSPHRASE_FILE": WORDS}),
        lambda: passphrase.find({"KIT_PASSPHRASE_FILE": str(unreadable)}),
    ]
    family = (
        KeyringError,
        keyfile.KeyFileError,
        recovery.RecoveryError,
        passphrase.PassphraseError,
    )
    shown = [repr(x) for x in (ring, ring.keys, ring.status(), file, words)]
    shown += [str(x) for x in (ring, ring.keys[0], words)]
    for attempt in attempts:
        with pytest.raises(family) as caught:
            attempt()
        shown.append(spilled(caught.value))

    for secret in secrets:
        for form in spellings(secret):
            assert [text for text in shown if form and form in text] == []


def test_printing_a_key_shows_its_number_and_state():
    """A key left as the last line of a cell is not saved in the notebook."""
    key = Key(5, "field", "primary", bytes(range(32)), NOW)

    assert repr(key) == f"Key(id=5, purpose='field', state='primary', created={NOW!r})"
