"""What was seen of the backups is remembered whole, by one program at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

from kit.backup_state import BadState, Busy, Home, PlaceState, State, StateError, moment, text

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
HOLD = """
import sys
from pathlib import Path
from kit.backup_state import Home
with Home(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def seen():
    """Return a state with something in every part."""
    return State(
        head=(43, "a" * 64),
        ledger=(7, "b" * 64),
        places={"usb": PlaceState([12, 43], 43, text(NOW), text(NOW), "unplugged")},
        drill={"at": text(NOW), "ok": True},
        rehearsed={"at": text(NOW), "key": "c" * 16},
    )


def test_what_was_seen_is_there_next_time(tmp_path):
    """A backup that vanished overnight is missed the next morning."""
    home = Home(tmp_path)
    assert home.load() == State()

    home.save(seen())

    assert home.load() == seen()
    assert home.load().place("new") == PlaceState()


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights another way")
def test_nobody_else_may_read_it(tmp_path):
    """The folder holds a copy of the database."""
    home = Home(tmp_path)
    home.save(seen())

    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((home.folder / "state.json").stat().st_mode) == 0o600
    with home.work() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param('{"format": 1}', id="lacks parts"),
        pytest.param('{"format": 2, "places": {}}', id="newer"),
        pytest.param('{"format": 1, "head": 1, "ledger": 1, "places": {"a": 1}}', id="other kinds"),
    ],
)
def test_a_state_that_was_meddled_with_is_refused(tmp_path, said):
    """Guessing would hide that backups are gone."""
    home = Home(tmp_path)
    home.write("state.json", said.encode())

    with pytest.raises(BadState, match=r"state\.json"):
        home.load()


def test_a_write_that_fails_leaves_the_old_state(tmp_path, monkeypatch):
    """A full disk does not lose what was known."""
    home = Home(tmp_path)
    home.save(seen())

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        home.save(State())
    monkeypatch.undo()

    assert home.load() == seen()
    assert [path.name for path in home.folder.iterdir()] == ["state.json"]


def test_two_programs_do_not_back_up_at_once(tmp_path):
    """Two would write two backups with one number; and a program that dies holds nobody up."""
    home = Home(tmp_path)
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match="wait for it"), home.locked():
            pass
        other.kill()
        other.wait()
    with home.locked():
        pass


def test_work_is_deleted_whatever_happens(tmp_path):
    """No readable copy of the database stays behind, not even after a power cut."""
    home = Home(tmp_path)
    with home.locked():
        left = home.folder / "work-left"
        left.mkdir()
        (left / "copy.sqlite").write_bytes(b"names")
        with pytest.raises(ZeroDivisionError), home.work() as folder:
            (folder / "copy.sqlite").write_bytes(b"names")
            raise ZeroDivisionError

    assert not left.exists()
    assert not folder.exists()


def test_the_base_goes_with_an_erased_customer(tmp_path):
    """The copy for differentials still holds them."""
    home = Home(tmp_path)
    home.forget_base()
    home.write("last_full.sqlite", b"Ana")

    home.forget_base()

    assert not home.base.exists()


def test_moments_are_told_in_utc():
    """A shop that moves its clock by an hour is not told of a backup in the future."""
    east = NOW.astimezone(timezone(timedelta(hours=9)))

    assert text(east) == "2026-11-24T09:30:00Z"
    assert moment(text(east)) == NOW
    assert moment("") is None
    with pytest.raises(StateError, match="time zone"):
        text(NOW.replace(tzinfo=None))
