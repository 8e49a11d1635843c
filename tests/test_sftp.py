"""SFTP: a server that is not known is sent nothing; one that is gets and gives every byte."""

from __future__ import annotations

import os

import pytest

paramiko = pytest.importorskip("paramiko", reason="paramiko (extra sftp) is not installed")

from little_sftp import Server  # noqa: E402 (only where there is paramiko)

from kit.sftp import SftpError, UnknownServer, connect  # noqa: E402

DATA = os.urandom(1_000_000)


@pytest.fixture
def ssh(tmp_path):
    """A real server on loopback that serves one folder."""
    (tmp_path / "far").mkdir()
    with Server(tmp_path / "far") as running:
        yield running


@pytest.fixture
def reach(ssh, tmp_path):
    """Connect to it, with any list of known hosts."""
    opened = []

    def work(known=None, password="made-up"):  # noqa: S107 (a made-up one)
        listed = tmp_path / "known_hosts"
        listed.write_text(f"[127.0.0.1]:{ssh.port} {known or ssh.public}\n")
        options = {"known_hosts": listed, "look_for_keys": False, "allow_agent": False}
        fs, root = connect(f"sftp://ana:{password}@127.0.0.1:{ssh.port}/far", options)
        opened.append(fs)
        assert root == "/far"
        return fs

    yield work
    for fs in opened:
        fs.close()


def test_every_byte_goes_there_and_back(reach, ssh, tmp_path):
    """In larger pieces than paramiko's own, also from the middle."""
    (tmp_path / "one").write_bytes(DATA)
    fs = reach()
    fs.put_file(str(tmp_path / "one"), "/one")

    assert (ssh.root / "one").read_bytes() == DATA
    assert fs.cat_file("/one") == DATA
    assert fs.cat_file("/one", start=300_000, end=900_001) == DATA[300_000:900_001]
    assert fs.cat_file("/one", start=999_990, end=2_000_000) == DATA[999_990:]


def test_progress_is_told(reach, tmp_path):
    """A bar moves."""
    seen = []

    class Shown:
        absolute_update = seen.append

    (tmp_path / "one").write_bytes(DATA)
    reach().put_file(str(tmp_path / "one"), "/one", callback=Shown)

    assert seen[-1] == len(DATA)
    assert seen == sorted(seen)


@pytest.mark.parametrize("plain", [False, True])
def test_renaming_replaces_on_every_server(reach, ssh, plain):
    """Also on one that knows only the old way."""
    ssh.plain_rename = plain
    fs = reach()
    for text in (b"one", b"two"):
        fs.pipe_file("/new", text)
        fs.mv("/new", "/name")

    assert [path.read_bytes() for path in ssh.root.iterdir()] == [b"two"]


def test_two_connections_are_two(reach):
    """None is left open for somebody else to find, with its password."""
    assert reach() is not reach()


@pytest.mark.parametrize(
    ("known", "says"),
    [
        pytest.param("nobody", "not among the known hosts; sign in once", id="not known"),
        pytest.param("impostor", "another key than it did before", id="somebody in between"),
    ],
)
def test_refuses(reach, ssh, known, says):
    """A stranger who answers never sees the password, and is called that."""
    other = paramiko.ECDSAKey.generate()
    line = f"{other.get_name()} {other.get_base64()}"
    with pytest.raises(SftpError, match=says) as caught:
        reach(line if known == "impostor" else f"x\nexample.com {line}")

    assert type(caught.value) is UnknownServer
    assert "made-up" not in str(caught.value)
    assert ssh.signed_in == 0


def test_a_wrong_password_closes_the_line(reach, ssh):
    """Nothing is left open behind it."""
    with pytest.raises(paramiko.AuthenticationException):
        reach(password="wrong")  # noqa: S106

    assert ssh.signed_in == 0
    ssh.transports[-1].join(5)
    assert not ssh.transports[-1].is_active()
