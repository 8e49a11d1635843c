"""What goes along with a backup opens for the right people, and only as it was sent."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile

import pyrage
import pytest

from kit import beside
from kit.beside import BesideError, Damaged, Missing, WrongKey

OWNER, ESCROW, STRANGER = (pyrage.x25519.Identity.generate() for _ in range(3))
TO = [str(OWNER.to_public()), str(ESCROW.to_public())]
PARTS = {"ledger": ("000007", b"seven lines"), "folder": ("a1b2c3d4e5f6", b"settings")}


def sealed(tmp_path, parts=PARTS):
    """Return sealed files by name."""
    return beside.seal(tmp_path / "beside", parts, TO)


def test_both_people_open_what_was_sent(tmp_path):
    """The owner is in hospital: the second person restores."""
    files = sealed(tmp_path)

    for name, path in files.items():
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        for person in (OWNER, ESCROW):
            opened = beside.unseal(name, data, [str(person)], sha256=digest)
            assert opened == PARTS[name.partition("-")[0]][1]


def test_the_same_is_sealed_only_once(tmp_path):
    """An hourly backup does not send the same keys every hour; a change goes along at once."""
    first = {name: path.read_bytes() for name, path in sealed(tmp_path).items()}
    again = {name: path.read_bytes() for name, path in sealed(tmp_path).items()}
    newer = sealed(tmp_path, {**PARTS, "ledger": ("000008", b"eight lines")})

    assert again == first
    assert len({*first} & {*newer}) == 1
    assert {path.name for path in (tmp_path / "beside").iterdir()} == {*newer}
    others = beside.seal(tmp_path / "beside", PARTS, TO[:1])
    assert not {*others} & {*first}, "for other people it is another file"


def test_sealed_on_another_computer_it_is_another_file(tmp_path):
    """The list tells of this very file: one of the same name with other bytes would be damaged."""
    first, second = sealed(tmp_path / "old"), sealed(tmp_path / "new")

    assert not {*first} & {*second}


def test_what_is_sealed_already_is_not_sealed_twice(tmp_path):
    """The copy of the keys is an age file of its own."""
    copy = pyrage.encrypt(b"all keys", [OWNER.to_public()])
    files = sealed(tmp_path, {"keys": ("000003", lambda: copy)})

    assert next(iter(files.values())).read_bytes() == copy


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights another way")
def test_nobody_else_reads_them_here(tmp_path):
    """Even sealed, they are nobody's business."""
    for path in sealed(tmp_path).values():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_altered_byte_is_noticed(tmp_path):
    """With the hash of the signed list, and without it."""
    name, path = next(iter(sealed(tmp_path).items()))
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    for place in range(0, len(data), 7):
        bad = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(Damaged, match="from elsewhere"):
            beside.unseal(name, bad, [str(OWNER)], sha256=digest)
    for size in (0, 10, len(data) - 1):
        with pytest.raises(Damaged):
            beside.unseal(name, data[:size], [str(OWNER)], sha256=None)


def test_a_file_of_somebody_else_is_not_believed(tmp_path):
    """Whoever has the public keys can write a file that opens; the signed list tells."""
    name, path = next(iter(sealed(tmp_path).items()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    forged = pyrage.encrypt(b"nobody was erased", [OWNER.to_public()])

    assert beside.unseal(name, forged, [str(OWNER)], sha256=None) == b"nobody was erased"
    with pytest.raises(Damaged, match="another file has its name"):
        beside.unseal(name, forged, [str(OWNER)], sha256=digest)


def test_a_strangers_key_opens_nothing(tmp_path):
    """The message says whose key to try."""
    name, path = next(iter(sealed(tmp_path).items()))
    with pytest.raises(WrongKey, match="other person") as caught:
        beside.unseal(name, path.read_bytes(), [str(STRANGER)], sha256=None)
    assert "AGE-SECRET" not in str(caught.value)


def test_the_newest_is_found_by_its_number():
    """Times of files mean nothing after they were copied."""
    end = "-aaaaaaaa-bbbbbbbb.age"
    names = [f"ledger-000009{end}", f"ledger-000010{end}", f"keys-000099{end}"]

    assert beside.newest([*names, "ledger-x.age", "x"], "ledger") == names[1]
    assert beside.which(names[1]) == 10
    assert beside.which(f"folder-123456789012{end}") == beside.which("x") == 0
    with pytest.raises(Missing, match="folder-"):
        beside.newest(names, "folder")


def test_settings_come_back_as_they_were():
    """And the tar is the same on every computer, and tells of none."""
    files = {"shop.toml": b"a", "inventory.toml": b"b" * 3000}
    data = beside.pack(files)

    assert beside.unpack(data, files) == files
    assert beside.unpack(data, ["shop.toml"], allowed=["inventory.toml", "other"]) == files
    assert data == beside.pack(dict(reversed(files.items())))
    assert beside.digest(data) != beside.digest(beside.pack({**files, "shop.toml": b"c"}))


def tar_of(*members):
    """Return a tar of hostile members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def link(name):
    """Return a symbolic link."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"x" * 512, id="no tar"),
        pytest.param(tar_of((tarfile.TarInfo("shop.toml"), b"a")), id="lacks one"),
        pytest.param(tar_of((tarfile.TarInfo("../shop.toml"), b"a")), id="another folder"),
        pytest.param(tar_of((link("shop.toml"), b"")), id="a link"),
        pytest.param(
            tar_of((tarfile.TarInfo("shop.toml"), b"a"), (tarfile.TarInfo("shop.toml"), b"b")),
            id="twice",
        ),
    ],
)
def test_a_hostile_tar_is_refused(data):
    """Nothing is ever written where the tar says."""
    with pytest.raises(Damaged):
        beside.unpack(data, ("shop.toml", "inventory.toml"))


def test_a_kind_that_is_not_known_is_refused(tmp_path):
    """Its name could not be told from a backup's."""
    with pytest.raises(BesideError, match="cannot be sent along"):
        sealed(tmp_path, {"diary": ("000001", b"")})


def test_people_are_told_what_the_files_are():
    """RESTORE.txt names each."""
    text = beside.how(["keys-000003-aaaaaaaa-bbbbbbbb.age", "x"], "verify.pub")

    assert "- keys-000003-aaaaaaaa-bbbbbbbb.age: the keys that open the sealed columns" in text
    assert "verify.pub is the public key" in text
