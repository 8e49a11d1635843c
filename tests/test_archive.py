"""A stolen archive tells nothing, an altered one is refused, and a sound one opens for ever."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest
from pyrage import x25519

from kit import archive, pack
from kit.archive import (
    ArchiveError,
    BadFile,
    BadKey,
    Damaged,
    Sealed,
    WrongBase,
    WrongKey,
    diff,
    full,
    unpack_diff,
    unpack_full,
)

MIB = 1 << 20
TOOLS = ("bash", "age", "zstd", "tar", "dd", "truncate", "sha256sum")
missing = [name for name in TOOLS if not shutil.which(name)]
needs_tools = pytest.mark.skipif(bool(missing), reason=f"not installed here: {' '.join(missing)}")
posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no such thing")

# Made once and kept: if these stop opening, old backups have too.
OWNER = "AGE-SECRET-KEY-17MSJ8Q9ZS6VGJ78JJSHFWD8NA9L4SWV4JC0P22JQHVKHWWZ6J09QSDD2ND"
SECOND = "AGE-SECRET-KEY-1YE27KJW88K0ZWE7CPNKFW58M7K2KHCKVNFW2G02G9MPE7L4VTYXSTFT88U"
TEXT = b"Ana Example, ana@example.com\n" * 9
NEWER = TEXT[:100] + b"Ben Example" + TEXT[100:]
OLD_FULL = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBYL0hiM05oTnpXemRVci9mNStCL2VrSkFwTXhPdmRnK0RhcFR5"
    "WHZkaUhFCkt3dkVxMnpLS3ozTUk3NUczdjdERUxUTVI4R2lGRFlTU2FiaDJiREpaMFkKLT4gWDI1NTE5IFhiL3dRQnlG"
    "RWtDU29TSXlTbkViZjBGc05pYWlxMWxzdm1zbnovTTlLZzAKeUhscXhBeElCenM2bWhHV0djK203WlBOUkVkNXpaRXJq"
    "REtPSG5UemhuTQotPiAqMlRnfik2LWdyZWFzZSBhd1ZadnYgTUpPYU4gYjl7eEguCmNsNG8zQzRCSHZQaDFkQlRUekhX"
    "aE9pUzdvSGtlSXduTXU5VTV6WGM5bjBDeUEwYXZOLzhNRVl5blovV3dPSXEKKzEvMmtiOTNVTmFuZ0g2QldUelRrTVVI"
    "a29iZ2ZmYwotLS0gMFlRZkZMbEhSR05CT2RJRDBwc0o5VFRackdad09jaGVVL3M5alkwaGxOYwrk37Kdq4k7ak0T7FUy"
    "aDMyqUbzLlS7SrUin2DgOoT+obL4PJJf9ktpKubCYjUCsSwhWNWNo8Od1qlKrkPVuZoyTIzD8tAbZycuDhjcNzU="
)
OLD_DIFF = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBSRStwUk8ydXc1UFVVRXZtSEdZbU5TNmtGdVM5L1lMQ3Z5SVE0"
    "ZkhYZlZ3CitIUkhldkE4dWRWNnRPVmM2TVpoRHlnMFd5bjZPU1FzR1JNMUliZm9WcU0KLT4gWDI1NTE5IFNseFJmSEo1"
    "YXBXTnJHNFNIUG1ZbUJEZVdrNldhSkVwdGpOVzEvQ1FZVm8KdWlUZkxTWXh3dmhzYU9Oc3FUWjZpTlczU1JtL0FiQVNr"
    "aHBOWFJ4U1NoOAotPiBqe31KcWhGLy1ncmVhc2UKaTZKMU82Yi9MU05BUVI3VXRKRXVsb1JkVTlLQldaS1E2MEhQa1hU"
    "QlNRUkE5aXRTcUJyNnk5MUE4Wm1lM0xPaQp6Z3ZBYXcvOWd6T2c1MndkOXYrN0dBWE44NzJHekxWWGZVdkw5VVJzZnNY"
    "UFlxdWt6Z3kvCi0tLSB2Lzdpc0xzVnlFQ2p2aW5rck1PMklnVjhuOFA0VHpzZk14d1JQa2ZOWVJJCskg9qI3VnMc0eXG"
    "ig5zhmkdHVmg1lYtiZ7MnFGVymebrsRTToMGjjvc9Z7xsViuusF4VaNsdJ2iCFsHct+L8b9GP0OP9gIafzmcgzuQAKVE"
    "IM8rpDZIqnrIFvJ9aQOen6a9FMD5ZtMvHhPkLsf0LD2sAMCU6H5qMU4lYVHilFek/6x4x5cpQ266r+wV9aEwtz0sJy/N"
    "PQ4Os69Z11YnUwQ+TFTxICf8a17poubieSYQujR25jmpKXi4tnuASGiJNReyYbRNJyUvEqw0NXj5JsKzCIoE9AGdQ/xI"
    "cOHAHWBak+Yr0O6Oyv1a5GPI13CRXgUQDZ2CeK1+5Uz3nVaFO/wpq+7bGP3sacOz6poZTKga8bwvlPsv7WJrlLThVyYm"
    "FdlVdS8APSGl50/nObaO+B5GOxTO0aj9TK4OsW7iXf2bRt9xq5sRkGDEXnY9A1vgGOj53WX6uB8jo3P3nRHIM/TquMyt"
    "8WeTJwlJzOudDJ4WP4b9IB4eCodF/+LSMF+rjxxzctwOIYwMU+hv4tFXbPhka0LPqNEBpOX2tJqX+8qg2RXjTIHF8eF6"
    "NjvAwt8PWysinVX5L8r7n5HGrl+rnY0/cClL7JgcuBR3LrcFgJy4MYtG4Zd2ecPb+solMGH+9s30Jx/KQjPWjShtNG6J"
    "hAWl1GHEHGhzheT8X/xvi17ZVlWTxl2mE5bHqELywfsjcV/fgRSyBWyKycrgMjHPO+Y95Ij31atYTzKGk3Ma6cjtpUnG"
    "gQYHkIS+7IxsyS+0R3QDucaHLwms9eZue+GP+4W6XvrIofTqF+FhpG6nfjMbrq25uApWdZpruk0gbdclkiQVRkIpk7sI"
    "Qkqq3b2i0WBViKqIAT31uZyqhcdqJnaA/k1O8bjRucv4pZcso6mF4hQ9VxHPI6WvE8mg+opfCq3eAmdQdoXsf6WJbAgT"
    "xtx9Dso+1fOATv8uTZ6OmrSa3IXvSmgbgYt+3gfOif6EOzHCt6ow6TtXu9ZQ7ApyJvwCr8TJ8dXvOI31cql02hIwUMBa"
    "XCZCW8unwEgeHQBjQV8wVv5r97TNGyXooF7T4Czq3g+M5s/vnqXwRv0LCTHgWQKFMk1hqtIWHPPgMfnas/4AWxbp7b90"
    "rpP78EYoapL5pnlKw6oAiHFi8jZKW/EQ8zLM9OarB0WmpqbHEb7hCeHXedqntNU8msUP9fTwsdgudQkxoj1PjbqGMKQv"
    "/w0Zo/Ri/csV7ywZNl2syZ5HDs+9/jhGzb3wMd5ddMhWls83dbBOeHmDGFb2GyoykFFVq5eB8pwmqPy5I1u0yL7ufTIV"
    "0BYKL7ee2sGgBXDkIAMAFCAKJbwacei+7YBJZgKupHGBSZ4SWgpAg8ThSgmCvMUwqDXcq3evKtYL+uX+66i3OYcul9tI"
    "xXrJ0GHlKyh04tpGhg1li2YBpZTDeq4zVdEToW/CURYyEgJE9Ash7LDr5g4UpkU/XTNEPVWqkCdKf5s1HN89JYLW/e8x"
    "yOeoyeSP8PEbOHYjPR5VdQFuN7mlJrO5xQjFzfHE6enSa6Bk1Ft8yAvTgilYBdqYkuvXUocfrNdQzy1SzA2lgPAPjcwV"
    "KiT+ofFm9u7AEsxKtQIDpVgMW+IuKiZd0scrbrH+AW/OZLhdBwyGG93AJuBvNXakVHhcKf/YWfNoKhO6d1H78KgmNOx6"
    "R4GgfPPdV5Q+6reS1LlzGqWUEq36s31u5MKifr3Y8b6fm1RaXGHaQ+MYFzldrVuLPHTwM1U6gd8c3HbyA2UbH2ghYb5J"
    "vm0N94BmRH7vray68PMTSY6kozzepLXyCB04yHhR7Anu4J+QdiNZvTOe5zPzdzgRFhlhMMdCYb+StZs06w1uytwy9Md2"
    "PPEq0B+jwp5SqbAJnMYl02qvPOFN7rX4JXTKid0Jvq2YXwJcfk+8dUGSTuKJxnocFPVGSktmnXvJKt+G2rovc1UezN+I"
    "SzgmqGzSd1IjViL/d0geNxKPmN4+P9MUhoRFNzX8dqUPSd3A5VgkWyGrABIZHoJuzmHzGl/zC9A461hK0RSLeOM1MVs8"
    "jhtynI4sWTvT4XWL/CgXerAnH7sLmeV+U7fNyEIQXIWVEIgL2F2WFQQ6/XzimtMedQ2yp0Hu6QARW7b8kYaHv1PcPLxi"
    "RYdJlIuyjj8WROwZnoCjdJsYmvyxqVLzeJClEiA2I0Q/Oh8HTfwBXVYawvGBLzmNCZza7Qfs9wKi1oxTZRgc/YE3Le8x"
    "97uEp+WRXKyHXgAbCckaPtT1ZfO+6B8kkfcRxNPKA44GiJz8J6v3ArK6tZJ/ZuCTrlkTNLq8s16SgNlvBS/51tyaQ94G"
    "svGAzivNaM3egfuO195DXhJrGncOc1lCH/nEqokDBQsuBj/GnSgpd3w3i0y00qm4HqFw6aJxNYwZe8XtiougTUvVXGaK"
    "16L7bfIDHywsTYMJ9u2c5S7ASxfbtWL9bXYhmuJLfRBGkUnGNj6fvxCeRZ775349nGxKObuGhGxUfRMqMWAq4DaVzN/j"
    "sene1uPV2mhko+j7cZik+CYWPhkIBGjQ+39FSNwKjrDWRzNh5p4VY56pksXJ5Pan6pfjxeKmBmFVx7i9b7vFCJEE6HEs"
    "+pE9U/9q/+8/6q5rCv7J3Vqp8VVU9j1w1PfuA/1UhdeDaWdHdzeMBchAIrix03Z8OuABni43rKHMtnzEix8Iww0NlYBj"
    "mZLy7Ckoq8/Akb3RY11YeuEEucXYC+UF/8T6KIDTnu2hxaZRVp5K2xA5Beif8bJkjDzmbH7vQ+76B6Qfp4WfBrOqJ6s="
)

TO = [str(x25519.Identity.from_str(text).to_public()) for text in (OWNER, SECOND)]


def text(seed, size):
    """Return made-up text that can be squeezed, the same for a seed."""
    draw = random.Random(seed)  # noqa: S311
    words = [str(draw.getrandbits(24)).encode() for _ in range(500)]
    return b" ".join(draw.choices(words, k=size // 6 + 2))[:size]


def put(path, data):
    """Write bytes and return the path."""
    path.write_bytes(data)
    return path


def sha256(data):
    """Return the hash as a manifest holds it."""
    return hashlib.sha256(data).hexdigest()


def names(folder):
    """Return all names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def expect(sealed, plain, base=None):
    """Return what a manifest would tell of these bytes."""
    return Sealed(len(sealed), sha256(sealed), len(plain), sha256(plain), base and sha256(base))


class Shop:
    """A folder with a copy, its full archive, a newer copy and its differential."""

    def __init__(self, folder, old, new):
        self.folder, self.old, self.new = folder, old, new
        self.base, self.copy = put(folder / "last_full", old), put(folder / "copy", new)
        self.full, self.diff = folder / "1-full.sqlite.zst.age", folder / "2-diff.tar.age"
        self.made_full = full(self.base, self.full, TO, pack=pack)
        self.made_diff = diff(
            self.base, self.copy, self.diff, TO, base_sha256=sha256(old), pack=pack
        )
        self.made = {
            "full": (self.full, self.made_full),
            "diff": (self.diff, self.made_diff),
        }

    def open(self, kind, target=None, *, key=OWNER, told=None, **more):
        """Open one of the two archives and return what came out."""
        target = target or self.folder / "out"
        if kind == "full":
            unpack_full(self.full, target, [key], told or self.made_full, pack=pack, **more)
        else:
            told = told or self.made_diff
            unpack_diff(self.base, self.diff, target, [key], told, pack=pack, **more)
        return target.read_bytes()


@pytest.fixture
def shop(tmp_path):
    """A copy of a few windows, and a newer one that is a little longer."""
    old = text(1, 2 * MIB + 500)
    return Shop(tmp_path, old, old[: MIB + 50] + b"sold" + old[MIB + 54 :] + b"more")


@pytest.fixture
def small(tmp_path):
    """A backup small enough to alter each of its bytes."""
    return Shop(tmp_path, TEXT, NEWER)


# ---- opens again ----


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(2 * MIB + 500, 3 * MIB + 7, id="grown"),
        pytest.param(3 * MIB + 7, MIB + 100, id="shrunk"),
        pytest.param(3 * MIB, MIB, id="shrunk to a border"),
        pytest.param(MIB + 5, MIB + 5, id="unchanged"),
        pytest.param(5, 3 * MIB, id="nearly new"),
        pytest.param(0, 0, id="empty"),
    ],
)
def test_both_archives_give_back_every_byte(old, new, tmp_path):
    """Whatever the shop did since the last full backup, each of the two keys restores it."""
    shop = Shop(tmp_path, text(1, old), text(1, new))

    for number, key in enumerate((OWNER, SECOND)):
        assert shop.open("full", tmp_path / f"full{number}", key=key) == shop.old
        assert shop.open("diff", tmp_path / f"diff{number}", key=key) == shop.new
    assert not [name for name in names(tmp_path) if "part" in name]


def test_old_archives_still_open(tmp_path):
    """What was sealed with the first version opens for ever."""
    base = tmp_path / "base"
    unpack_full(put(tmp_path / "full", OLD_FULL), base, [OWNER], expect(OLD_FULL, TEXT), pack=pack)
    told = expect(OLD_DIFF, NEWER, TEXT)
    unpack_diff(base, put(tmp_path / "diff", OLD_DIFF), tmp_path / "x", [SECOND], told, pack=pack)

    assert base.read_bytes() == TEXT
    assert (tmp_path / "x").read_bytes() == NEWER


def test_what_a_manifest_keeps_is_true(shop):
    """Sizes and hashes are those of the files, not of what was meant to be written."""
    for path, made, plain in (
        (shop.full, shop.made_full, shop.old),
        (shop.diff, shop.made_diff, shop.new),
    ):
        data = path.read_bytes()
        assert made == expect(data, plain, shop.old if path == shop.diff else None)
        assert data.startswith(b"age-encryption.org/v1\n-> X25519 ")


def test_a_thief_finds_no_customer(small):
    """Neither archive holds any of the text, nor its squeezed form."""
    for path in (small.full, small.diff):
        data = path.read_bytes()
        assert b"example.com" not in data
        assert b"\x28\xb5\x2f\xfd" not in data  # as zstd begins
        assert b"000000.zst" not in data


def test_the_same_day_sealed_twice_looks_different(small, tmp_path):
    """Nobody can tell from outside that nothing was sold."""
    full(small.base, tmp_path / "again", TO, pack=pack)

    assert (tmp_path / "again").read_bytes() != small.full.read_bytes()


def test_a_day_is_small(shop):
    """Two rows changed in 2 MB: the differential is a few hundred bytes and the tar around."""
    assert shop.diff.stat().st_size < 6000 < shop.full.stat().st_size


@posix_only
def test_only_the_owner_may_read_what_is_restored(shop):
    """Another user of the computer cannot, and not while it is being written either."""
    seen = []

    def look(done, total):
        (part,) = shop.folder.glob(".out.*.part")
        seen.append(stat.S_IMODE(part.stat().st_mode))

    shop.open("full", progress=look)

    assert set(seen) == {0o600}
    for path in (shop.folder / "out", shop.full):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_progress_is_told_in_steps(shop, tmp_path):
    """A bar moves about once per MiB and ends at its end."""
    for number, work in enumerate(
        (
            lambda show, to: full(shop.copy, to, TO, pack=pack, progress=show),
            lambda show, to: diff(
                shop.base, shop.copy, to, TO, base_sha256=sha256(shop.old), pack=pack, progress=show
            ),
            lambda show, to: shop.open("diff", to, progress=show),
        )
    ):
        steps = []
        work(lambda *step, steps=steps: steps.append(step), tmp_path / str(number))

        assert steps == sorted(steps)
        assert 3 <= len(steps) < 10
        assert steps[-1] == (len(shop.new), len(shop.new))


# ---- standard programs open it ----


def by_hand(folder, wanted, *args, **more):
    """Run the commands of RESTORE.txt to the letter, in a folder with these files and the key."""
    place = folder / "by hand"
    place.mkdir()
    for name in wanted:
        shutil.copy(folder / name, place)
    (place / "key.txt").write_text(f"{SECOND}\n", encoding="utf-8")
    lines = pack.restore_text(*args, **more).splitlines()
    script = "".join(line[4:] + "\n" for line in lines if line.startswith("    "))
    put(place / "restore.sh", script.encode())
    command = [shutil.which("bash"), "restore.sh"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    return done, place / "shop.sqlite"


@needs_tools
@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(2 * MIB + 500, 3 * MIB + 7, id="grown"),
        pytest.param(3 * MIB + 7, MIB + 100, id="shrunk"),
        pytest.param(MIB + 5, MIB + 5, id="unchanged"),
        pytest.param(5, 2 * MIB, id="nearly new"),
        pytest.param(12 * MIB, 12 * MIB + 1, id="more than nine windows"),
    ],
)
def test_the_database_comes_back_by_hand(old, new, tmp_path):
    """If this kit is gone in ten years, bash, age, zstd, tar and dd restore the shop."""
    after = bytearray(text(1, new))
    for start in range(100, new - 100, MIB):
        if old != new:
            after[start : start + 4] = b"sold"
    shop = Shop(tmp_path, text(1, old), bytes(after))
    done, found = by_hand(
        tmp_path,
        [shop.full.name, shop.diff.name],
        shop.full.name,
        shop.made_full.plain_sha256,
        diff=shop.diff.name,
        diff_size=shop.made_diff.plain_size,
        diff_sha256=shop.made_diff.plain_sha256,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["base: OK", "shop.sqlite: OK"]
    assert found.read_bytes() == shop.new
    assert names(found.parent) == sorted(
        [shop.full.name, shop.diff.name, "key.txt", "restore.sh", "shop.sqlite", "w"]
    )


@needs_tools
def test_a_full_backup_comes_back_by_hand(shop):
    """One file and one key are enough, also under a name with a blank."""
    name = "full backup.age"
    shop.full.rename(shop.folder / name)
    done, found = by_hand(shop.folder, [name], name, shop.made_full.plain_sha256)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "shop.sqlite: OK"
    assert found.read_bytes() == shop.old
    assert stat.S_IMODE(found.stat().st_mode) == 0o600


@needs_tools
@pytest.mark.parametrize("place", [10, 250, -1])
def test_by_hand_too_a_damaged_file_stops(place, shop):
    """The commands end with an error instead of half a database that looks like one."""
    data = bytearray(shop.full.read_bytes())
    data[place] ^= 1
    shop.full.write_bytes(data)
    done, found = by_hand(
        shop.folder, [shop.full.name], shop.full.name, shop.made_full.plain_sha256
    )

    assert done.returncode != 0
    assert "shop.sqlite: OK" not in done.stdout
    assert not found.exists()


# ---- altered, exchanged, forged ----


EVERY = pytest.mark.parametrize(
    ("kind", "step"),
    [("full", 1), ("diff", 19), pytest.param("diff", 1, marks=pytest.mark.slow)],
)
TOLD = pytest.mark.parametrize("told", ["as it was", "as it is"])


@EVERY
@TOLD
def test_every_flipped_byte_is_noticed(kind, step, told, small):
    """Even if the manifest's hash were wrong too, the encryption notices each of them."""
    path, made = small.made[kind]
    data = bytearray(path.read_bytes())
    before = names(small.folder)
    for place in range(0, len(data), step):
        data[place] ^= 1
        path.write_bytes(data)
        expected = replace(made, sha256=sha256(data)) if told == "as it is" else made
        with pytest.raises((Damaged, WrongKey)) as caught:
            small.open(kind, told=expected)
        assert caught.type is Damaged or told == "as it is"
        data[place] ^= 1

    assert names(small.folder) == before


@EVERY
@TOLD
def test_every_cut_and_every_addition_is_noticed(kind, step, told, small):
    """A stick that was pulled out too early leaves a file that is told apart from a sound one."""
    path, made = small.made[kind]
    whole = path.read_bytes()
    others = [whole[:length] for length in range(0, len(whole), step)]
    for other in [*others, whole[:-1], whole + b"\0", whole + whole]:
        path.write_bytes(other)
        expected = made
        if told == "as it is":
            expected = replace(made, size=len(other), sha256=sha256(other))
        with pytest.raises(Damaged, match="cut short|longer than it was made|no age file"):
            small.open(kind, told=expected)

    assert "out" not in names(small.folder)


def test_two_files_that_changed_names_are_noticed(shop, tmp_path):
    """A sound archive of another day is not the one that was asked for."""
    other = tmp_path / "other"
    sealed = full(shop.copy, other, TO, pack=pack)
    same_size = replace(shop.made_full, size=sealed.size)

    with pytest.raises(Damaged, match="is altered, or another file has its name; take the same"):
        unpack_full(other, tmp_path / "out", [OWNER], same_size, pack=pack)
    with pytest.raises(Damaged, match="another file has its name"):
        unpack_full(shop.diff, tmp_path / "out", [OWNER], shop.made_full, pack=pack)
    with pytest.raises(Damaged, match="holds another database than its manifest says"):
        told = replace(sealed, plain_sha256=sha256(shop.old))
        unpack_full(other, tmp_path / "out", [OWNER], told, pack=pack)
    with pytest.raises(Damaged, match="does not inflate"):
        told = replace(shop.made_diff, plain_size=len(shop.old), base_sha256=None)
        unpack_full(shop.diff, tmp_path / "out", [OWNER], told, pack=pack)
    with pytest.raises(Damaged, match="no tar of windows"):
        told = replace(shop.made_full, base_sha256=sha256(shop.old))
        unpack_diff(shop.base, shop.full, tmp_path / "out", [OWNER], told, pack=pack)

    assert "out" not in names(tmp_path)


def test_a_differential_needs_its_own_base(shop, tmp_path):
    """The wrong full archive is named, and nothing is left of the try."""
    with pytest.raises(WrongBase, match="2-diff.tar.age does not build on copy; unpack its own"):
        unpack_diff(shop.copy, shop.diff, tmp_path / "out", [OWNER], shop.made_diff, pack=pack)
    with pytest.raises(WrongBase, match="nowhere, the copy of the last full archive, is not"):
        unpack_diff(
            tmp_path / "nowhere", shop.diff, tmp_path / "out", [OWNER], shop.made_diff, pack=pack
        )

    assert "out" not in names(tmp_path)


def test_no_differential_on_another_base(shop, tmp_path):
    """The last full copy was altered or deleted: a differential on it would restore nothing."""
    with pytest.raises(WrongBase, match="copy is not what the last full archive has; make a"):
        diff(shop.copy, shop.base, tmp_path / "x", TO, base_sha256=sha256(shop.old), pack=pack)
    with pytest.raises(WrongBase, match="is not there"):
        diff(tmp_path / "no", shop.base, tmp_path / "x", TO, base_sha256="", pack=pack)

    assert "x" not in names(tmp_path)


def forged(folder, inside, plain_size):
    """Seal something as anybody can who has the public keys; return it with a matching hash."""
    sealed = pyrage.encrypt(inside, [x25519.Recipient.from_str(text) for text in TO])
    return put(folder / "forged", sealed), Sealed(len(sealed), sha256(sealed), plain_size, "")


def test_a_bomb_does_not_fill_the_disk(tmp_path):
    """A file of a few kB that inflates to 200 MB is stopped at the size that was told."""
    squeezed = pack.zstd.compress(bytes(200 * MIB))
    path, told = forged(tmp_path, squeezed, 3 * MIB)
    most = []

    def watch(done, total):
        (part,) = tmp_path.glob(".out.*.part")
        most.append(part.stat().st_size)

    assert len(squeezed) < 20_000
    with pytest.raises(Damaged, match="forged holds more than its manifest says"):
        unpack_full(path, tmp_path / "out", [OWNER], told, pack=pack, progress=watch)

    assert max(most) <= 3 * MIB
    assert names(tmp_path) == ["forged"]


@pytest.mark.parametrize("cut", [1, 5, 50])
def test_a_squeezed_text_without_its_end_is_noticed(cut, tmp_path):
    """The encryption is sound and zstd says nothing, but the end is missing."""
    squeezed = pack.zstd.compress(text(1, 5000), options=pack.LEVEL)
    path, told = forged(tmp_path, squeezed[:-cut], 5000)

    with pytest.raises(Damaged, match="forged (ends too early|does not inflate)"):
        unpack_full(path, tmp_path / "out", [OWNER], told, pack=pack)

    assert names(tmp_path) == ["forged"]


# ---- keys ----


def test_another_key_opens_nothing(shop):
    """The error says whose key to try, not that the file is damaged."""
    other = str(x25519.Identity.generate())

    for kind in ("full", "diff"):
        with pytest.raises(WrongKey, match="this key does not open .*; try the other person's"):
            shop.open(kind, key=other)
    assert shop.open("full", key=f" {OWNER.lower()}\n") == shop.old


@pytest.mark.parametrize(
    ("recipients", "says"),
    [
        pytest.param([], "two persons", id="none"),
        pytest.param(TO[:1], "two persons", id="one"),
        pytest.param([TO[0], TO[0].upper()], "two persons", id="one twice"),
        pytest.param([TO[0], TO[1][:-1] + "q"], "recipient 2 is mistyped", id="mistyped"),
        pytest.param([TO[0], ""], "recipient 2 is mistyped", id="empty"),
        pytest.param([TO[0], OWNER], "is a secret key", id="secret"),
    ],
)
def test_refuses_to_seal_for_too_few_or_mistyped(recipients, says, shop, tmp_path):
    """A backup that one lost key makes worthless is not made; the key itself is never repeated."""
    target = tmp_path / "x"
    for seal in (
        lambda: full(shop.base, target, recipients, pack=pack),
        lambda: diff(shop.base, shop.copy, target, recipients, base_sha256="", pack=pack),
    ):
        with pytest.raises(BadKey, match=says) as caught:
            seal()
        assert isinstance(caught.value, ArchiveError)
        assert OWNER[16:] not in str(caught.value)
    assert "x" not in names(tmp_path)


@pytest.mark.parametrize(
    ("identities", "says"),
    [
        pytest.param([], "no key was given", id="none"),
        pytest.param([OWNER[:-1]], "key 1 is mistyped", id="mistyped"),
        pytest.param([OWNER, TO[0]], "key 2 is mistyped", id="public half"),
    ],
)
def test_refuses_to_open_with_mistyped_keys(identities, says, shop, tmp_path):
    """A typing error is told as one, without the key."""
    with pytest.raises(BadKey, match=says) as caught:
        unpack_full(shop.full, tmp_path / "out", identities, shop.made_full, pack=pack)

    assert OWNER[16:-1] not in str(caught.value)


# ---- whatever fails leaves nothing ----


def calls(shop):
    """Return each of the four by its name, writing to *out*."""
    out, base = shop.folder / "out", sha256(shop.old)
    return {
        "full": lambda **more: full(shop.copy, out, TO, pack=pack, **more),
        "diff": lambda **more: diff(
            shop.base, shop.copy, out, TO, base_sha256=base, pack=pack, **more
        ),
        "unpack_full": lambda **more: shop.open("full", **more),
        "unpack_diff": lambda **more: shop.open("diff", **more),
    }


EACH = pytest.mark.parametrize("call", ["full", "diff", "unpack_full", "unpack_diff"])


@EACH
def test_never_overwrites(call, shop):
    """A backup has one name for ever, and a restore does not cost the shop what it has."""
    put(shop.folder / "out", b"mine")

    with pytest.raises(BadFile, match="out: file exists; choose another name"):
        calls(shop)[call]()

    assert (shop.folder / "out").read_bytes() == b"mine"


@EACH
@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError, ZeroDivisionError])
def test_a_fault_of_the_caller_keeps_its_meaning(call, fault, shop):
    """Ctrl-C in the middle is Ctrl-C, not a damaged file, and leaves no customers behind."""
    before = names(shop.folder)

    def stop(done, total):
        raise fault

    with pytest.raises(fault) as caught:
        calls(shop)[call](progress=stop)

    assert type(caught.value) is fault
    assert names(shop.folder) == before


@EACH
def test_ctrl_c_between_two_reads_is_ctrl_c(call, shop):
    """A signal often lands where a call begins; there, too, nothing is left behind."""
    before = names(shop.folder)

    def at_call(frame, event, arg):
        if event == "call" and frame.f_code is archive._Pipe.read.__code__:
            raise KeyboardInterrupt

    sys.setprofile(at_call)
    try:
        with pytest.raises(KeyboardInterrupt):
            calls(shop)[call]()
    finally:
        sys.setprofile(None)

    assert names(shop.folder) == before


def made(call, shop):
    """Return how large a file one of the four writes, and delete it."""
    calls(shop)[call]()
    size = (shop.folder / "out").stat().st_size
    (shop.folder / "out").unlink()
    return size


@EACH
@pytest.mark.parametrize("part", [0, 0.01, 0.5, 1], ids=["none", "little", "half", "not the last"])
def test_a_full_disk_leaves_nothing(call, part, shop):
    """The owner reads "disk", and neither half a customer list nor half an archive stays."""
    resource = pytest.importorskip("resource", reason="this system cannot limit file sizes")
    room, before = int(made(call, shop) * part), names(shop.folder)
    if part == 1:  # the length of an age header is drawn anew each time
        room -= 1 if "unpack" in call else 400
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(BadFile, match="out: file too large; the disk takes"):
            calls(shop)[call]()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert names(shop.folder) == before


@EACH
def test_a_disk_that_is_full_at_the_very_end_leaves_nothing(call, shop, monkeypatch):
    """Some disks say only when asked to be sure that they are full."""

    def full_disk(fd):
        raise OSError(28, "")

    before = names(shop.folder)
    monkeypatch.setattr(os, "fsync", full_disk)

    with pytest.raises(BadFile, match="out: no space left on device; free some space"):
        calls(shop)[call]()

    assert names(shop.folder) == before


@EACH
def test_it_is_on_the_disk_before_it_has_its_name(call, shop, monkeypatch):
    """After a power cut there is a whole archive or none."""
    fsync, there = os.fsync, []
    monkeypatch.setattr(
        os, "fsync", lambda fd: (there.append((shop.folder / "out").exists()), fsync(fd))
    )

    calls(shop)[call]()

    assert there == ([False, True] if os.name == "posix" else [False])


@EACH
def test_the_next_run_deletes_what_a_power_cut_left(call, shop):
    """Half a customer list does not lie about for ever; other files stay."""
    put(shop.folder / ".out.0123abcd.part", b"half")
    put(shop.folder / ".out.mine.part", b"mine")

    calls(shop)[call]()

    assert [name for name in names(shop.folder) if "part" in name] == [".out.mine.part"]


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        pytest.param("no", "out", "no: no such file or directory; check the name", id="source"),
        pytest.param("last_full", "no/out", "out: no such file or directory", id="folder"),
        pytest.param(".", "out", ": is a directory|permission denied", id="a folder"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(source, target, says, shop):
    """A disk that is not plugged in is no riddle."""
    with pytest.raises(BadFile, match=says):
        full(shop.folder / source, shop.folder / target, TO, pack=pack)


def test_a_disk_that_cannot_be_read_is_named(tmp_path):
    """A failing disk is not taken for the end of the database."""
    if not (source := Path("/proc/self/mem")).exists():
        pytest.skip("this system has no file that opens and cannot be read")

    with pytest.raises(BadFile, match="mem: input/output error; check the disk"):
        full(source, tmp_path / "out", TO, pack=pack)

    assert names(tmp_path) == []


def test_a_copy_too_large_for_the_format_is_told(shop, monkeypatch):
    """A differential of over a million windows could not be restored."""
    monkeypatch.setattr(pack, "MOST_WINDOWS", 2)

    with pytest.raises(BadFile, match="copy is over 1 TiB, too large for this format"):
        calls(shop)["diff"]()

    assert "out" not in names(shop.folder)


# ---- any size in little memory ----

STREAM = """
import re, sys
from pathlib import Path
from kit import archive, pack

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

old, new, *keys = sys.argv[1:]
old, new, to, keys = Path(old), Path(new), keys[:2], keys[2:]
full, diff, base, out = (old.with_name(name) for name in ("full", "diff", "base", "out"))
start = peak()
told = archive.full(old, full, to, pack=pack)
more = archive.diff(old, new, diff, to, base_sha256=told.plain_sha256, pack=pack)
archive.unpack_full(full, base, keys, told, pack=pack)
archive.unpack_diff(base, diff, out, keys, more, pack=pack)
print(peak() - start)
"""


@pytest.mark.parametrize("size", [100 * MIB, pytest.param(300 * MIB, marks=pytest.mark.slow)])
def test_a_large_database_takes_little_memory(size, tmp_path):
    """A till with 2 GB of memory backs up and restores a database of any size."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell a process's peak of memory")
    piece = text(1, 4 * MIB)
    for name, mark in (("old", b"a"), ("new", b"b")):
        with (tmp_path / name).open("wb") as file:
            for number in range(size // len(piece)):
                file.write(mark + piece[number + 1 :] + piece[: number + 1][1:] + b"\n")
    command = [sys.executable, "-c", STREAM, tmp_path / "old", tmp_path / "new", *TO, OWNER]

    done = subprocess.run(command, check=True, capture_output=True, text=True)

    assert int(done.stdout) <= 40
    with (tmp_path / "new").open("rb") as new, (tmp_path / "out").open("rb") as out:
        assert hashlib.file_digest(new, "md5").digest() == hashlib.file_digest(out, "md5").digest()
