"""The database is replaced in one step, nothing old spoils the new one, and the old one is kept."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from kit import swap
from kit.swap import InUse, SwapError


def database(path, rows, *, mode="WAL"):
    """Make a database with so many rows."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
        db.execute("CREATE TABLE t (n)")
        db.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(rows)])
    return path


def count(path):
    """Return how many rows it has."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT count(*) FROM t").fetchone()[0]


def crashed(path, rows):
    """Make a database whose newest rows are in a -wal that a crash left behind."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (n)")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(rows)])
        kept = {end: path.with_name(path.name + end).read_bytes() for end in ("", "-wal")}
    for end, data in kept.items():
        path.with_name(path.name + end).write_bytes(data)
    return path


@pytest.fixture
def new(tmp_path):
    """Return a new database with 7 rows, in another folder."""
    (tmp_path / "work").mkdir()
    return database(tmp_path / "work" / "restored", 7, mode="DELETE")


@pytest.mark.parametrize("make", [database, crashed], ids=["closed", "crashed"])
def test_the_new_one_is_there_and_the_old_one_is_kept(tmp_path, new, make):
    """Also what a crashed program had not yet written into the file."""
    live = make(tmp_path / "shop.sqlite", 5)

    kept = swap.replace(live, new, keep=".before")

    assert count(live) == 7
    assert count(kept / "shop.sqlite") == 5
    assert kept == tmp_path / ".before"
    assert not new.exists()
    assert not (tmp_path / ".shop.sqlite.restored").exists()
    if os.name != "nt":
        assert stat.S_IMODE(kept.stat().st_mode) == 0o700
        assert stat.S_IMODE(live.stat().st_mode) == 0o600


def test_a_quiet_one_is_kept_without_copying_it(tmp_path, new):
    """Of 300 MB, that saves a second."""
    live = database(tmp_path / "shop.sqlite", 5)
    inode, data = live.stat().st_ino, live.read_bytes()

    kept = swap.replace(live, new, keep=".before")

    assert (kept / "shop.sqlite").read_bytes() == data
    assert os.name == "nt" or (kept / "shop.sqlite").stat().st_ino == inode


def test_a_disk_without_second_names_gets_a_copy(tmp_path, new, monkeypatch):
    """Such as a USB stick as it is sold."""

    def no(*names):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no)
    live = database(tmp_path / "shop.sqlite", 5)

    assert count(swap.replace(live, new, keep=".before") / "shop.sqlite") == 5
    assert count(live) == 7


def test_a_lost_or_damaged_one_is_replaced(tmp_path, new):
    """That is what a restore is for."""
    live = tmp_path / "shop.sqlite"
    assert swap.replace(live, new, keep=".before") is None
    assert count(live) == 7

    live.write_bytes(b"encrypted by criminals")
    other = database(tmp_path / "work" / "other", 9, mode="DELETE")
    kept = swap.replace(live, other, keep=".before")
    assert count(live) == 9
    assert (kept / "shop.sqlite").read_bytes() == b"encrypted by criminals"


def test_twice_under_one_name(tmp_path, new):
    """What was kept first is not written over."""
    live = database(tmp_path / "shop.sqlite", 5)
    first = swap.replace(live, new, keep=".before")
    second = swap.replace(live, database(tmp_path / "other", 9, mode="DELETE"), keep=".before")

    assert (count(first / live.name), count(second / live.name), count(live)) == (5, 7, 9)


@pytest.mark.parametrize("reading", [True, False], ids=["reading", "idle"])
def test_whoever_has_it_open_is_noticed(tmp_path, new, reading):
    """They would go on writing into the file that was replaced."""
    live = database(tmp_path / "shop.sqlite", 5)
    with closing(sqlite3.connect(live, isolation_level=None)) as till:
        if reading:
            till.execute("BEGIN")
        till.execute("SELECT count(*) FROM t").fetchone()
        before = live.read_bytes()
        with pytest.raises(InUse, match="close the till") as caught:
            swap.replace(live, new, keep=".before")
        assert isinstance(caught.value, SwapError)
        assert live.read_bytes() == before
        assert till.execute("SELECT count(*) FROM t").fetchone() == (5,)
    assert not (tmp_path / ".before").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot open a folder")
@pytest.mark.parametrize("make", [database, crashed], ids=["closed", "crashed"])
def test_a_failure_after_the_last_step_does_not_lose_the_old_one(tmp_path, new, make, monkeypatch):
    """The new one is there already; deleting what was kept would delete today's sales."""
    live = make(tmp_path / "shop.sqlite", 5)
    before = live.read_bytes()
    real = os.fsync

    def fails(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(5, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="Input/output"):
        swap.replace(live, new, keep=".before")

    assert live.read_bytes() == before
    assert count(live) == 5
    assert not (tmp_path / ".before").exists()


@pytest.mark.parametrize("make", [database, crashed], ids=["closed", "crashed"])
@pytest.mark.parametrize("step", ["fsync", "rename", "replace", "link", "mkdir", "chmod"])
def test_whatever_fails_leaves_the_old_one_to_the_byte(tmp_path, new, make, step, monkeypatch):
    """A full disk, a lost right, a pulled plug."""
    live = make(tmp_path / "shop.sqlite", 5)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("shop.sqlite*")}
    real = getattr(os, step)
    failed = []

    def fails(*arguments, **more):
        if any(str(one).endswith(("restored", ".part", "sqlite")) or step == "fsync"
               for one in arguments) and len(failed) < 4:  # fmt: skip
            failed.append(step)
            raise OSError(28, "No space left on device")
        return real(*arguments, **more)

    monkeypatch.setattr(os, step, fails)
    try:
        swap.replace(live, new, keep=".before")
    except OSError:
        monkeypatch.undo()
        after = {path.name: path.read_bytes() for path in tmp_path.glob("shop.sqlite*")}
        assert {n: d for n, d in after.items() if n != "shop.sqlite-shm"} == before
        assert {path.name for path in tmp_path.iterdir()} <= {*after, "work"}
        assert count(live) == 5
    else:  # it has another way, or does not need this step
        assert step in ("link", "replace", "rename", "chmod")
        assert count(live) == 7
