"""What makes a backup small gives back every byte, and trusts nothing that it takes apart."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import pack
from kit.pack import WINDOW, Broken, Changes, PackError, TooLarge, Whole, changes, restore_text
from kit.pack import whole as squeeze

# Made once and kept: if these stop opening, old backups have too.
OLD = b"Ana Example, ana@example.com\n" * 9
NEW = OLD[:100] + b"Ben Example" + OLD[100:]
OLD_WHOLE = bytes.fromhex(
    "28b52ffd04580d0100b8416e61204578616d706c652c20616e6140652e636f6d0a020065a0a806c30c03f2660698"
)
OLD_CHANGES_FRAME = bytes.fromhex(
    "28b52ffd04589d00001842656e04001443c0f1310a7c464cd0d200046bbb3f23"
)


def text(seed, size):
    """Return made-up text that can be squeezed, the same for a seed."""
    draw = random.Random(seed)  # noqa: S311
    words = [str(draw.getrandbits(24)).encode() for _ in range(500)]
    return b" ".join(draw.choices(words, k=size // 6 + 2))[:size]


def packed(old, new):
    """Return the tar that makes *new* of *old*."""
    return b"".join(changes(io.BytesIO(old).read, io.BytesIO(new).read))


def unpacked(kind, *source, data, size, step=10_000):
    """Take *data* apart, fed in small pieces; return what came out."""
    out = bytearray()
    feed = kind(*source, out.extend, size)
    for start in range(0, len(data), step):
        feed.feed(data[start : start + step])
    feed.finish()
    return bytes(out)


def applied(old, data, size, step=10_000):
    """Put the windows of a tar on an old copy."""
    return unpacked(Changes, io.BytesIO(old).read, data=data, size=size, step=step)


def members(data):
    """Return the names and frames in a tar."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar}


def tar_of(*entries):
    """Return a tar of names and contents, or of ready-made entries, in this order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in entries:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def frame(data, **options):
    """Return a plain zstd frame."""
    names = {pack.PARAMETER[name]: value for name, value in options.items()}
    packer = pack.zstd.ZstdCompressor(options={**pack.LEVEL, **names})
    return packer.compress(data) + packer.flush()


# ---- gives back every byte ----

SIZES = st.one_of(
    st.integers(0, 20),
    st.integers(0, 2).flatmap(lambda n: st.integers(-9, 9).map(lambda d: max(n * WINDOW + d, 0))),
)


@settings(max_examples=40, deadline=None)
@given(old=SIZES, new=SIZES, edits=st.lists(st.integers(0, 3 * WINDOW), max_size=3))
def test_changes_make_the_new_copy_of_the_old_one(old, new, edits):
    """Grown, shrunk or altered anywhere, tiny or empty: what is restored is what was there."""
    before, after = text(1, old), bytearray(text(1, new))
    for place in edits:
        after[place : place + 3] = b"new"[: max(len(after) - place, 0)]

    data = packed(before, bytes(after))

    assert applied(before, data, len(after)) == after


@settings(max_examples=20, deadline=None)
@given(size=SIZES, step=st.sampled_from([1000, 10_000, WINDOW]))
def test_a_whole_copy_comes_back(size, step):
    """Whatever the size, and in whatever pieces it arrives."""
    data = text(2, size)
    packed_up = b"".join(squeeze(io.BytesIO(data).read))

    assert unpacked(Whole, data=packed_up, size=size, step=step) == data


def test_old_backups_still_open():
    """What was packed with the first version opens for ever."""
    tar = tar_of(("000000.zst", OLD_CHANGES_FRAME))

    assert unpacked(Whole, data=OLD_WHOLE, size=len(OLD)) == OLD
    assert applied(OLD, tar, len(NEW)) == NEW


# ---- small, and as documented ----


def test_only_changed_windows_are_stored_and_only_what_changed_in_them():
    """A row changed in 5 MB takes a few hundred bytes, not a megabyte."""
    old = text(3, 5 * WINDOW + 1000)
    new = bytearray(old)
    new[2 * WINDOW + 50 : 2 * WINDOW + 60] = b"0123456789"
    data = packed(old, bytes(new))

    assert list(members(data)) == ["000002.zst"]
    assert len(members(data)["000002.zst"]) < 300
    assert len(data) < 2500


def test_far_away_in_its_window_the_old_text_is_still_found():
    """A row put in at the beginning of a window moves a megabyte; still only the row is stored."""
    old = random.Random(4).randbytes(WINDOW)  # noqa: S311

    assert len(packed(old, (b"x" + old)[:WINDOW])) < 2500


def test_unchanged_is_an_empty_tar():
    """Nothing happened over night: 1 KiB of zeros says so."""
    old = text(5, WINDOW + 5)

    assert packed(old, old) == bytes(1024)
    assert applied(old, bytes(1024), len(old)) == old


def test_a_shrunk_copy_stores_no_window_for_what_is_gone():
    """After the database was tidied up, its tail is cut off."""
    old = text(6, 3 * WINDOW)

    assert packed(old, old[:WINDOW]) == bytes(1024)
    assert applied(old, bytes(1024), WINDOW) == old[:WINDOW]


def test_the_layout_is_the_documented_one():
    """A plain ustar member of six digits, no time, no owner; a zstd frame with a checksum."""
    data = packed(b"", b"new bytes")
    (info,) = tarfile.open(fileobj=io.BytesIO(data)).getmembers()
    content = members(data)["000000.zst"]

    assert (info.name, info.mtime, info.uid, info.mode) == ("000000.zst", 0, 0, 0o600)
    assert data[257:265] == b"ustar\x0000"
    assert len(data) % 512 == 0
    assert content[:4] == b"\x28\xb5\x2f\xfd"
    assert content[4] & 0b100  # checksum
    assert next(iter(squeeze(io.BytesIO(b"").read)))[4] & 0b100


def test_more_windows_than_there_are_numbers_are_refused():
    """A database of over 1 TiB is told so, instead of a backup that nobody can restore."""
    same = b"x"

    with pytest.raises(TooLarge, match="over 1 TiB"):
        for _ in changes(lambda size: same, lambda size: same):
            pass


# ---- trusts nothing ----

BEFORE = text(7, 2 * WINDOW + 500)
AFTER = b"!" + BEFORE[1:WINDOW] + b"?" + BEFORE[WINDOW + 1 :] + b"more"
FIRST, SECOND, THIRD = members(packed(BEFORE, AFTER)).items()


def special(name, kind, **more):
    """Return a tar entry that is no regular file."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in more.items():
        setattr(info, key, value)
    return info


PAX = special("000000.zst", tarfile.REGTYPE, pax_headers={"comment": "x"})
LINK = special("000000.zst", tarfile.SYMTYPE, linkname="customers.csv")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(tar_of(FIRST, FIRST, SECOND, THIRD), "out of its place", id="twice"),
        pytest.param(tar_of(SECOND, FIRST, THIRD), "out of its place", id="not in order"),
        pytest.param(
            tar_of(FIRST, SECOND, THIRD, ("000003.zst", b"x")), "out of its place", id="one more"
        ),
        pytest.param(tar_of(("../000000.zst", FIRST[1])), "something else", id="another folder"),
        pytest.param(tar_of(("/000000.zst", FIRST[1])), "something else", id="from the root"),
        pytest.param(tar_of(("00000.zst", FIRST[1])), "something else", id="five digits"),
        pytest.param(tar_of(("٠٠٠٠٠٠.zst", FIRST[1])), "something else", id="other digits"),
        pytest.param(tar_of((LINK, b"")), "something else", id="link"),
        pytest.param(
            tar_of((special("000000.zst", tarfile.DIRTYPE), b"")), "something else", id="folder"
        ),
        pytest.param(
            tar_of((special("000000.zst", tarfile.FIFOTYPE), b"")), "something else", id="pipe"
        ),
        pytest.param(
            tar_of((special("000000.zst", tarfile.GNUTYPE_SPARSE), b"")), "something", id="sparse"
        ),
        pytest.param(tar_of((PAX, FIRST[1])), "something else", id="extended header"),
        pytest.param(tar_of(("000000.zst", b"")), "impossible size", id="nothing in it"),
        pytest.param(
            tar_of(("000000.zst", bytes(pack.MOST_FRAME + 1))), "impossible size", id="too much"
        ),
        pytest.param(tar_of(("000000.zst", b"no frame")), "does not inflate", id="no frame"),
        pytest.param(tar_of(("000000.zst", frame(bytes(50 * WINDOW)))), "another size", id="bomb"),
        pytest.param(tar_of(("000000.zst", frame(b"short"))), "another size", id="short window"),
        pytest.param(tar_of(("000000.zst", FIRST[1] + b"x")), "another size", id="frame and more"),
        pytest.param(tar_of(("000000.zst", FIRST[1][:-1])), "another size", id="frame cut"),
        pytest.param(
            tar_of(("000000.zst", frame(BEFORE[:WINDOW], window_log=27))),
            "does not inflate",
            id="asks for 128 MiB",
        ),
        pytest.param(tar_of(FIRST, SECOND), "lacks a window", id="the end is missing"),
        pytest.param(tar_of(FIRST, SECOND, THIRD)[:-10240], "too early", id="no end"),
        pytest.param(packed(BEFORE, AFTER) + b"x" + bytes(511), "no tar", id="rubbish behind"),
        pytest.param(
            packed(BEFORE, AFTER) + packed(BEFORE, AFTER), "out of its place", id="another tar"
        ),
        pytest.param(
            tar_of(FIRST) + tar_of(SECOND, THIRD), "out of its place", id="goes on after its end"
        ),
        pytest.param(packed(BEFORE, AFTER) + bytes(5), "too early", id="a few bytes behind"),
        pytest.param(b"customers: Ana" * 100, "no tar", id="text"),
        pytest.param(b"", "too early", id="nothing"),
    ],
)
def test_refuses_what_changes_did_not_make(data, says):
    """A forged differential writes no file elsewhere, fills no disk, and gives no database."""
    with pytest.raises(Broken, match=says) as caught:
        applied(BEFORE, data, len(AFTER))

    assert isinstance(caught.value, PackError)


def test_another_old_copy_is_noticed():
    """The checksum of each window sees that it was put on the wrong one."""
    other = BEFORE[::-1]

    with pytest.raises(Broken, match="does not inflate"):
        applied(other, packed(BEFORE, AFTER), len(AFTER))


def test_an_old_copy_that_is_too_short_lacks_windows():
    """An unchanged window is looked for where it must be."""
    with pytest.raises(Broken, match="lacks a window"):
        applied(BEFORE[: WINDOW + 10], tar_of(THIRD), len(AFTER))


SQUEEZED = b"".join(squeeze(io.BytesIO(OLD).read))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(SQUEEZED + b"x", "goes on behind its end", id="a byte behind"),
        pytest.param(SQUEEZED + SQUEEZED, "goes on behind its end", id="another frame"),
        pytest.param(frame(OLD + b"x"), "holds more", id="a byte more"),
        pytest.param(frame(bytes(50 * WINDOW)), "holds more", id="bomb"),
        pytest.param(frame(OLD[:-1]), "ends too early", id="a byte less"),
        pytest.param(frame(OLD, window_log=27), "does not inflate", id="asks for 128 MiB"),
        pytest.param(b"customers: Ana", "does not inflate", id="text"),
        pytest.param(b"", "ends too early", id="nothing"),
    ],
)
@pytest.mark.parametrize("step", [1, 10_000])
def test_refuses_what_whole_did_not_make(data, says, step):
    """A small file cannot fill the disk, and nothing is added or left out unnoticed."""
    out = bytearray()
    feed = Whole(out.extend, len(OLD))

    with pytest.raises(Broken, match=says):
        for start in range(0, len(data), step):
            feed.feed(data[start : start + step])
        feed.finish()

    assert len(out) <= len(OLD)


def test_every_cut_is_noticed():
    """Of a frame without an end, zstd itself says nothing."""
    for length in range(len(SQUEEZED)):
        with pytest.raises(Broken):
            unpacked(Whole, data=SQUEEZED[:length], size=len(OLD))
    tar = packed(OLD, NEW)
    for length in [*range(len(tar) - 1023), *range(len(tar) - 511, len(tar), 7)]:
        with pytest.raises(Broken):
            applied(OLD, tar[:length], len(NEW))


@pytest.mark.parametrize("kind", ["whole", "changes"])
def test_no_altered_byte_gives_another_database(kind):
    """A flipped bit is refused, or lies where nobody reads (a padding, an owner's name)."""
    data = bytearray(SQUEEZED if kind == "whole" else packed(OLD, NEW))
    refused = 0
    for place in range(len(data)):
        data[place] ^= 1
        try:
            if kind == "whole":
                assert unpacked(Whole, data=bytes(data), size=len(OLD)) == OLD
            else:
                assert applied(OLD, bytes(data), len(NEW)) == NEW
        except Broken:
            refused += 1
        data[place] ^= 1

    assert refused > len(SQUEEZED) * 0.9


def test_every_length_of_feed_is_taken():
    """Whatever pieces the decryption hands over, down to single bytes."""
    assert applied(OLD, packed(OLD, NEW), len(NEW), step=1) == NEW


# ---- when a full backup is due ----


@dataclass
class Copy:
    """Facts of a copy."""

    page_size: int = 4096
    schema_sha256: str = "a"


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("base", "more", "says"),
    [
        pytest.param(Copy(), {}, None, id="a day later"),
        pytest.param(Copy(), {"diff_bytes": 30, "full_bytes": 100}, None, id="30 %"),
        pytest.param(Copy(), {"diff_bytes": 31, "full_bytes": 100}, "more than 30%", id="31 %"),
        pytest.param(None, {}, "missing", id="no copy"),
        pytest.param(Copy(), {"erased": True}, "erased", id="erasure"),
        pytest.param(Copy(8192), {}, "page size changed", id="other pages"),
        pytest.param(Copy(4096, "b"), {}, "tables", id="new table"),
        pytest.param(Copy(), {"age": 7 * DAY}, "a week old", id="a week"),
        pytest.param(Copy(), {"age": -DAY}, "clock was changed", id="clock"),
        pytest.param(Copy(), {"age": 7 * DAY - timedelta(seconds=1)}, None, id="almost"),
    ],
)
def test_a_full_backup_when_a_differential_will_not_do(base, more, says):
    """The reason can be shown to the owner."""
    reason = pack.worth_a_full(base, Copy(), **{"age": DAY, **more})

    assert reason == says if says is None else says in reason


def test_restoring_by_hand_is_written_down():
    """Names, sizes and hashes are filled in; tests of the archive run the commands."""
    hash_ = hashlib.sha256(b"").hexdigest()
    full = restore_text("a full.age", hash_)
    both = restore_text("a full.age", hash_, diff="b.age", diff_size=4096, diff_sha256="c" * 64)

    assert "age -d -i key.txt 'a full.age' | zstd -d > base" in full
    assert f'echo "{hash_}  shop.sqlite" | sha256sum -c' in full
    assert "tar" not in full.partition("set -e")[2].partition("\n\n")[0]
    assert "age -d -i key.txt b.age | tar xf - -C w" in both
    assert "truncate -s 4096 shop.sqlite" in both
    assert f'echo "{"c" * 64}  shop.sqlite" | sha256sum -c' in both
