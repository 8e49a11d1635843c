"""The recovery copy promises that a lost passphrase or a burnt shop is not the end of the data."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import keys, recovery
from kit.keyfile import KeyFile, Passphrase
from kit.keys import Keyring
from kit.recovery import (
    LETTERS,
    BadCopy,
    Incomplete,
    Mistyped,
    RecoveryError,
    WrongPaperKey,
    check,
    new_paper_key,
    read,
    rehearse,
)

AGE = shutil.which("age")
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
CREATED = "2026-11-24T09:00:00Z"
CHEAPEST = {"m_kib": 19_456, "t": 2, "p": 1}  # the least that a keyring may cost
needs_age = pytest.mark.skipif(not AGE, reason="the age program is not installed")

# The key of 32 bytes 0x42 that age's own tests use, and its public half.
PAPER = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
PUBLIC = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
OTHER_PAPER, OTHER_PUBLIC = new_paper_key()
ROWS = [
    (439041101, "field", "primary", CREATED, bytes(range(32))),
    (2, "signing", "enabled", CREATED, bytes(range(32, 64))),
    (7, "audit", "destroyed", CREATED, b""),
]

# Made once with this module and kept: if this stops opening, old copies have too. It holds ROWS.
OLD = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSA1bEs5SnBtTmRUUEdORXdqWHR5aXVOT0hNZzRpTTgxczNM"
    "ZXk0T0N1U21nCkhvZU1DN0VOMHJNN2c1eHF1TUZaS21VQmw1TCs3dkxISjVrcHFjcU0ya1EKLT4gZi1ncmVhc2Ug"
    "Sk51eHkgWEM1P0U5WSBad3NUTiAoRWkKZVltbkZRUkdmUFo4QXZ0dlcreFAvSG1zcmtTclBhY25oaldPaC84Tnlk"
    "L3R1Q2Fnd2trSmZrbnNXb0R1Q3JqWApka3NVUHQvRFFTQVNxN1R4TDdneFdKdlhrczBmVTd5aWZjSjRHUlcvNmkz"
    "bE9hRHZQU0t3ZlhiNmo1b0ovS3JRCjlBCi0tLSBRcC9UaitGQjdUaFlvb0gxTXVCTXBGa2tTaXNVVjBaTUI0Tmhx"
    "Zml4RzRnCnYW15+J6Xnl9h8ChqGlpsKcTOmIq6NE5FuJHAevY7A+z6c/V9vmunrQjIlhXOoy0cPmv4v31j1UNtnW"
    "Nwb92w79q8Rd+nofJkM7frKepA8Nu5QzBf9v90QzBRQ/Uk8DlMSmrd2RjSex5Wur6TgxPdQslRPmwO8lPau/Qu6t"
    "6cVbVj9Fd6ztza2bgS/n9lwTD5O+vYMjJtM+KcH6THm0/xzLM3/CtlhInl911b9JCW4VX7G3y1nSDoil5/xwM3XW"
    "aewR03iMdBwbXdgThpkwR+FLekUru7OndWJlJ4wK2J+fWOkFJSTESYLAgsm+/7jcWg8evC8JDa5OgsezLCDDLT8b"
    "qGY1CD77FdmC5ktx4Jv7UsS7+MUsRhhRSPGBnt+wHQ5NKy16Z2PCoBzPbvxBsG81ZdzIwf7AigUg4NTRe8Hcv3xK"
    "vHd/Q7pkviDwqjImhmsvE1Fnmmcqc1XRSC3Uuaz5tZB2LHVnpS1swGHOR10YxLER2G6RbTqot7D/SpMQ1WFvXXik"
    "+ZuzNbOQu8T3xXZDDF2yU7QPFpLG4HrhFl661RCy7ZZtI1rzPVwARgh7J/E19nyu5EQ+na9aQcGUNqFy6GHNqC9z"
    "aNpO2leEt9ThXoY2vuFKYyOG8zZzKqUHNg9K0lvY29kdBLxOyIxmOhQv/XMDV8dkqtXOa6Bpd0TYURgLrCGfQ3nt"
    "FZTkzXEqcAVTo27Ur/1wkt/oZUTN0qs8zMBRrMxlVI0opQ=="
)

BY_PASSPHRASE = base64.b64decode(  # an age file of another kind
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCB4Ty9EbFZpTld4RkJBWnBENE5zdFhnIDEwCm93YlMxNDBxb3ZQ"
    "ZngwTkRGQXJrUnVoK3JxdzRsdW5EU2Y2dkRNM2tHeGcKLS0tIGlpTnNuVFRjRXZKYW56K1I3Tit5UDVhNG9HMTE4T280"
    "SGJ2U0ZaWW1FdGMKhkVD7DJOjPKFL46sGrWFgCtYuQSyOAxdMiTew8DpRPWKzY3/y1M7LCephd8qe/t4"
)


def a_key(row, **more):
    """Return what is read off a key."""
    names = ("id", "purpose", "state", "created", "secret")
    return SimpleNamespace(**{**dict(zip(names, row, strict=True)), "created": NOW, **more})


def a_keyring(rows=ROWS, generation=7):
    """Return what is read off a keyring."""
    return SimpleNamespace(generation=generation, keys=[a_key(row) for row in rows])


def sealed(content, public=PUBLIC):
    """Make an age file by hand, as anyone with the public half can."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return pyrage.encrypt(text, [pyrage.x25519.Recipient.from_str(public)])


# ---- round trip ----


def test_old_copies_still_open():
    """A copy that has lain in a safe since version 1 opens for ever."""
    assert read(OLD, PAPER) == (7, ROWS)
    rehearse(a_keyring(), OLD, PAPER)


def test_after_a_fire_every_key_is_back(tmp_path):
    """The whole way: set up, copy, rehearse, lose everything, read, restore."""
    paper, public = new_paper_key()
    ring = Keyring.create(KeyFile(tmp_path / "a", Passphrase("lost words", **CHEAPEST)), now=NOW)
    ring.rotate("field", now=NOW + timedelta(days=1))
    copy = recovery.copy(ring, public)
    rehearse(ring, copy, paper)
    (tmp_path / "a").unlink()
    generation, rows = read(copy, paper)
    file = KeyFile(tmp_path / "b", Passphrase("new words", **CHEAPEST))
    back = Keyring.restore(file, rows, generation=generation)

    assert back.keys == ring.keys
    assert back.generation == ring.generation == 2
    again = KeyFile(tmp_path / "b", Passphrase("new words", **CHEAPEST))
    assert Keyring.open(again, at_least=2).keys == ring.keys
    ring.covered_by(row[0] for row in rows)


texts = st.text(max_size=20)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 2**32 - 1), texts, texts, st.just(CREATED), st.binary(max_size=80)
        ),
        min_size=1,
        unique_by=lambda row: row[0],
    ),
    generation=st.integers(1, 2**63),
)
def test_whatever_was_copied_comes_back(rows, generation):
    """No key is lost or changed on the way through the copy."""
    copy = recovery.copy(a_keyring(rows, generation), PUBLIC)

    assert read(copy, PAPER) == (generation, rows)
    rehearse(a_keyring(rows), copy, PAPER)


def test_two_people_can_each_open_it_alone():
    """The owner on holiday is no reason to wait."""
    copy = recovery.copy(a_keyring(), PUBLIC, OTHER_PUBLIC)

    assert read(copy, PAPER) == read(copy, OTHER_PAPER) == (7, ROWS)
    with pytest.raises(WrongPaperKey, match="another paper key than the one this copy is for"):
        read(copy, new_paper_key()[0])


def test_times_are_written_in_utc():
    """A copy made in another time zone says the same."""
    there = NOW.astimezone(timezone(timedelta(hours=-5)))
    keyring = SimpleNamespace(generation=1, keys=[a_key(ROWS[0], created=there)])

    assert read(recovery.copy(keyring, PUBLIC), PAPER)[1][0][3] == CREATED


def test_a_thief_reads_nothing_in_it():
    """The copy shows neither keys nor what they are for, and two look nothing alike."""
    one, two = (recovery.copy(a_keyring(), PUBLIC) for _ in range(2))

    for text in (b"field", b"keyring", ROWS[0][4], base64.b64encode(ROWS[0][4]), PUBLIC.encode()):
        assert text not in one
    assert one[200:] != two[200:]


def test_paper_keys_are_random_and_fit_together():
    """Each shop has its own."""
    pairs = [new_paper_key() for _ in range(50)]

    assert len({paper for paper, _ in pairs} | {public for _, public in pairs}) == 100
    assert {(len(paper), len(public)) for paper, public in pairs} == {(74, 62)}
    for paper, public in pairs:
        assert (check(paper), check(public)) == (paper, public)
        assert str(pyrage.x25519.Identity.from_str(paper).to_public()) == public


# ---- the age program ----


@needs_age
def test_any_age_opens_the_copy(tmp_path):
    """In ten years, without this kit: age, a text editor and base64 are enough."""
    (tmp_path / "paper.txt").write_text(PAPER + "\n")
    (tmp_path / "copy.age").write_bytes(recovery.copy(a_keyring(), PUBLIC))
    opened = subprocess.run(
        [AGE, "-d", "-i", tmp_path / "paper.txt", tmp_path / "copy.age"],
        capture_output=True,
        check=True,
    )
    content = json.loads(opened.stdout)

    assert set(content) == {"format", "what", "generation", "keys"}
    assert (content["format"], content["generation"]) == (1, 7)
    assert "base64" in content["what"]
    for entry, (number, purpose, state, created, secret) in zip(content["keys"], ROWS, strict=True):
        assert base64.b64decode(entry.pop("secret")) == secret
        assert entry == {"id": number, "purpose": purpose, "state": state, "created": created}


@needs_age
def test_a_copy_made_with_any_age_opens(tmp_path):
    """Keys that somebody put together by hand after a disaster can be read."""
    entry = {"id": 5, "purpose": "field", "state": "primary", "created": CREATED, "secret": "AAEC"}
    text = json.dumps({"format": 1, "what": "by hand", "generation": 3, "keys": [entry]})
    subprocess.run(
        [AGE, "-r", PUBLIC, "-o", tmp_path / "copy.age"], input=text.encode(), check=True
    )

    assert read((tmp_path / "copy.age").read_bytes(), PAPER) == (
        3,
        [(5, "field", "primary", CREATED, b"\0\1\2")],
    )


# ---- typing a paper key ----


@pytest.mark.parametrize(
    "typed",
    [
        PAPER.lower(),
        " ".join(re.findall(".{1,4}", PAPER)),
        "\n".join(re.findall(".{1,16}", PAPER)) + "\r\n",
        f"\ufeff{PAPER}\u00a0".strip("\ufeff"),
        PAPER.title(),
    ],
    ids=["small letters", "groups of four", "lines", "odd blank", "mixed"],
)
def test_a_paper_key_is_forgiven_its_blanks(typed):
    """Nobody types 74 characters in a row, or cares for the shift key."""
    assert check(typed) == PAPER
    assert read(OLD, typed) == (7, ROWS)


def test_the_public_half_is_written_small():
    """As age prints it."""
    assert check(PUBLIC.upper()) == check(f" {PUBLIC}\n") == PUBLIC


def misread(text, places, others):
    """Give every place and text with one other character there."""
    for at in places:
        for letter in others(at):
            if letter != text[at].upper():
                yield at + 1, text[:at] + letter + text[at + 1 :]


def swapped(text):
    """Give every place and text with this character and the next one swapped."""
    for at, (one, two) in enumerate(itertools.pairwise(text)):
        if one != two:
            yield at + 1, text[:at] + two + one + text[at + 2 :]


def expect_places(attempts, *says):
    """Check that each attempt is refused with the right place and no word of the key."""
    for place, typed in attempts:
        with pytest.raises(Mistyped) as caught:
            check(typed)
        message = str(caught.value)
        assert caught.value.place == place, message
        assert any(text in message for text in says), message
        assert typed[16:32] not in message


@pytest.mark.parametrize("text", [PAPER, OTHER_PAPER, PUBLIC], ids=["paper", "random", "public"])
def test_every_misread_character_is_found(text):
    """The message says where to look on the paper; all 31 wrong letters are a slow test."""
    start = text.index("1") + 1

    def two(at):
        return LETTERS[at % 32], LETTERS[(at + 13) % 32]

    expect_places(misread(text, range(start, len(text)), two), "is misread")
    expect_places(misread(text, range(start, len(text)), lambda at: "BIO1"), "no B, I, O and 1")
    expect_places(misread(text, range(start), lambda at: "X?1"), "starts with AGE-SECRET-KEY-1")


@pytest.mark.slow
@pytest.mark.parametrize("text", [PAPER, PUBLIC], ids=["paper", "public"])
def test_every_misread_letter_is_found(text):
    """All of them, at all 58 places."""
    places = range(text.index("1") + 1, len(text))
    expect_places(misread(text, places, lambda at: LETTERS), "is misread")


def test_every_swapped_pair_is_found():
    """The commonest slip of a typist."""
    pairs = list(swapped(OTHER_PAPER))

    expect_places([pair for pair in pairs if pair[0] > 16], "swapped with the next")
    expect_places([pair for pair in pairs if pair[0] <= 16], "starts with")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_several_wrong_characters_are_never_accepted(data):
    """Up to four can never cancel out; the message then says to compare everything."""
    places = data.draw(st.lists(st.integers(16, 73), min_size=3, max_size=4, unique=True))
    typed = list(PAPER)
    for at in places:
        typed[at] = data.draw(st.sampled_from(LETTERS.replace(PAPER[at], "")))

    with pytest.raises(Mistyped, match="compare again, four at a time|compare it with the paper"):
        check("".join(typed))


@pytest.mark.parametrize(
    ("typed", "says", "place"),
    [
        pytest.param("", "starts with AGE-SECRET-KEY-1", 1, id="nothing"),
        pytest.param("acorn-violin-harbor", "starts with", 2, id="the passphrase"),
        pytest.param("ssh-ed25519 AAAA", "starts with", 1, id="another key"),
        pytest.param(PAPER[:-1], "73 characters, not 74", None, id="the last one missing"),
        pytest.param(PAPER + "Q", "75 characters, not 74", None, id="one too many"),
        pytest.param(PUBLIC[:-2], "60 characters, not 62", None, id="public cut short"),
        pytest.param(PAPER[:16], "16 characters, not 74", None, id="the start only"),
        pytest.param(PAPER[:16] + 58 * "Q", "several", None, id="all the same"),
    ],
)
def test_what_is_no_paper_key_is_refused(typed, says, place):
    """Each slip has its own message."""
    with pytest.raises(Mistyped, match=says) as caught:
        check(typed)
    assert caught.value.place == place


def test_a_key_with_bits_to_spare_is_refused():
    """52 letters hold 260 bits, a key has 256: there is one way to write it, as in BIP 173."""
    body = [LETTERS.index(letter) for letter in PAPER[16:68]]
    body[51] |= 1
    total = recovery._check_sum("AGE-SECRET-KEY-", body + [0] * 6) ^ 1
    ends = "".join(LETTERS[total >> 5 * (5 - at) & 31] for at in range(6))

    with pytest.raises(Mistyped, match="several characters are wrong"):
        check(PAPER[:16] + "".join(LETTERS[value] for value in body) + ends)


def test_public_half_and_paper_key_are_not_mistaken_for_each_other():
    """The paper key never gets into a command that wants the public half."""
    with pytest.raises(Mistyped, match="that is the paper key itself"):
        recovery.copy(a_keyring(), PAPER)
    with pytest.raises(Mistyped, match="that is the paper key itself"):
        recovery.copy(a_keyring(), PUBLIC, OTHER_PAPER)
    with pytest.raises(WrongPaperKey, match="that is the public half"):
        read(OLD, PUBLIC)
    with pytest.raises(Mistyped):
        read(OLD, PAPER[:-1] + "Q")


# ---- altered and foreign copies ----


@pytest.mark.parametrize("bits", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_no_bit_of_a_copy_can_change_unnoticed(bits):
    """Years in a drawer: a stick that lost a bit is refused, never read as other keys."""
    seen = set()
    for at in range(len(OLD)):
        for bit in range(at % 8, at % 8 + bits):
            with pytest.raises((BadCopy, WrongPaperKey)) as caught:
                read(OLD[:at] + bytes([OLD[at] ^ 1 << bit % 8]) + OLD[at + 1 :], PAPER)
            seen.add((type(caught.value), str(caught.value).partition(";")[0]))

    assert seen == {
        (BadCopy, "not a recovery copy"),
        (BadCopy, "cut short or altered"),
        (WrongPaperKey, "another paper key than the one this copy is for"),
    }


def test_no_end_of_a_copy_can_be_missing():
    """A copy that was not finished is no copy."""
    for length in range(len(OLD)):
        with pytest.raises(BadCopy):
            read(OLD[:length], PAPER)
    with pytest.raises(BadCopy):
        read(OLD + b"x", PAPER)


ENTRY = {"id": 5, "purpose": "field", "state": "primary", "created": CREATED, "secret": "AAEC"}
CONTENT = {"format": 1, "what": "", "generation": 7, "keys": [ENTRY]}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\x00" * 50, id="a picture"),
        pytest.param(b"id,secret\n5,AAEC\n", id="a table"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param([], id="a list"),
        pytest.param({}, id="nothing in it"),
        pytest.param({**CONTENT, "note": 1}, id="unknown field"),
        pytest.param({**CONTENT, "format": "1"}, id="format as text"),
        pytest.param({**CONTENT, "format": 1.0}, id="format as fraction"),
        pytest.param({**CONTENT, "format": 2}, id="newer"),
        pytest.param({**CONTENT, "generation": "7"}, id="generation as text"),
        pytest.param({**CONTENT, "generation": 1e400}, id="generation without end"),
        pytest.param({**CONTENT, "keys": {}}, id="keys no list"),
        pytest.param({**CONTENT, "keys": []}, id="no keys"),
        pytest.param({**CONTENT, "keys": ["AAEC"]}, id="a key no block"),
        pytest.param({**CONTENT, "keys": [{**ENTRY, "id": "5"}]}, id="number as text"),
        pytest.param({**CONTENT, "keys": [{**ENTRY, "id": True}]}, id="number true"),
        pytest.param({**CONTENT, "keys": [{**ENTRY, "secret": 5}]}, id="key as number"),
        pytest.param({**CONTENT, "keys": [{**ENTRY, "secret": "AAE"}]}, id="no base64"),
        pytest.param({**CONTENT, "keys": [{**ENTRY, "secret": "\u00e9"}]}, id="not ASCII"),
        pytest.param({**CONTENT, "keys": [ENTRY, {**ENTRY, "extra": ""}]}, id="extra field"),
        pytest.param({**CONTENT, "keys": [ENTRY, {**ENTRY, "secret": "AAAA"}]}, id="one twice"),
    ],
)
def test_what_opens_but_is_no_copy_is_refused(content):
    """Anyone who has the public half can write such a file."""
    with pytest.raises(BadCopy) as caught:
        read(sealed(content), PAPER)
    assert "AAEC" not in f"{caught.value!r}{caught.value.__context__!r}"
    assert caught.value.__context__ is None
    if isinstance(content, dict) and content.get("format", 1) != 1:
        assert "not format 1" in str(caught.value)
    else:
        assert "look for another file" in str(caught.value)


def test_a_file_for_a_passphrase_is_no_copy():
    """It is said, not tried for a second and a half."""
    with pytest.raises(WrongPaperKey):
        read(BY_PASSPHRASE, PAPER)
    with pytest.raises(BadCopy, match="look for the file that ends in .age"):
        read(json.dumps(CONTENT).encode(), PAPER)


def test_keys_in_a_copy_that_contradict_each_other_never_become_a_keyring(tmp_path):
    """An age file does not say who wrote it: what was read is judged again by the keyring."""
    _, rows = read(sealed(CONTENT), PAPER)

    with pytest.raises(keys.BadKeyring):
        Keyring.restore(KeyFile(tmp_path / "k", Passphrase("w", **CHEAPEST)), rows, generation=1)
    assert not list(tmp_path.iterdir())


# ---- rehearsal ----


def test_a_copy_from_before_a_new_key_is_incomplete(tmp_path):
    """The key of yesterday's rotation is in no copy: said now, not after the fire."""
    ring = Keyring.create(KeyFile(tmp_path / "k", Passphrase("w", **CHEAPEST)), now=NOW)
    copy = recovery.copy(ring, PUBLIC)
    old = ring.primary("field")
    new = ring.rotate("field", now=NOW)

    with pytest.raises(Incomplete, match="write a new copy") as caught:
        rehearse(ring, copy, PAPER)
    assert caught.value.key_id == new.id
    rehearse(ring, recovery.copy(ring, PUBLIC), PAPER)

    newer = recovery.copy(ring, PUBLIC)
    ring.retire(old.id, in_use=False)
    ring.destroy(old.id)
    rehearse(ring, newer, PAPER)  # it still has the destroyed key, which does no harm
    rehearse(ring, recovery.copy(ring, PUBLIC), PAPER)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"secret": bytes(32)}, id="another key"),
        pytest.param({"secret": b""}, id="no key"),
        pytest.param({"purpose": "index"}, id="another purpose"),
        pytest.param({"id": 6}, id="another number"),
    ],
)
def test_a_copy_with_other_keys_is_incomplete(change):
    """A copy of the neighbour's shop does not pass for ours."""
    other = SimpleNamespace(generation=7, keys=[a_key(ROWS[0], **change), a_key(ROWS[1])])

    with pytest.raises(Incomplete) as caught:
        rehearse(a_keyring(), recovery.copy(other, PUBLIC), PAPER)
    assert caught.value.key_id == ROWS[0][0]


def test_a_rehearsal_needs_the_right_paper(tmp_path):
    """It fails like the real thing would."""
    for sealed_copy, typed, error in (
        (OLD, OTHER_PAPER, WrongPaperKey),
        (OLD, PAPER[:-1], Mistyped),
        (OLD[:-1], PAPER, BadCopy),
    ):
        with pytest.raises(error) as caught:
            rehearse(a_keyring(), sealed_copy, typed)
        assert isinstance(caught.value, RecoveryError)
        assert str(caught.value)[0].islower() or str(caught.value)[0].isdigit()
        assert not str(caught.value).endswith(".")
