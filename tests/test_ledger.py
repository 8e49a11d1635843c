"""The erasure ledger: whoever is in it stays forgotten, and nobody can read who that is."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.ledger import FIRST, Altered, CannotWrite, Ledger, LedgerError, OlderThanSeen

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
KEY = bytes(range(32))


@pytest.fixture
def ledger(tmp_path):
    """Return a ledger with two erasures, the second not finished."""
    made = Ledger(tmp_path / "erasures.jsonl", KEY)
    made.begin("square-1", now=NOW)
    made.done("square-1", now=NOW + timedelta(minutes=1))
    made.begin("square-2", now=NOW + timedelta(hours=1))
    return made


def test_who_was_erased_is_known_by_id_only(ledger):
    """The file holds no id; the question needs the key."""
    assert ledger.erased(["square-1", "square-2", "square-3"]) == {"square-1", "square-2"}
    assert Ledger(ledger.path, bytes(32)).erased(["square-1"]) == set()
    assert b"square" not in ledger.path.read_bytes()


def test_what_was_begun_and_not_done_is_to_be_done_again(ledger):
    """A power cut in the middle forgets nobody."""
    assert [line.seq for line in ledger.unfinished()] == [3]
    ledger.finish(ledger.unfinished()[0], now=NOW)
    assert ledger.unfinished() == []


def test_an_empty_ledger(tmp_path):
    """Nobody was erased yet, and the file is made by the first who is."""
    empty = Ledger(tmp_path / "e.jsonl", KEY)

    assert (empty.head, empty.lines(), empty.unfinished()) == ((0, FIRST), [], [])
    assert empty.erased(["x"]) == set()
    empty.expect(0, FIRST)
    assert not empty.path.exists()


def test_times_are_utc_and_aware(ledger):
    """A time without a zone is refused."""
    assert ledger.lines()[0].at == NOW
    with pytest.raises(LedgerError, match="time zone"):
        ledger.begin("x", now=datetime(2026, 1, 1))  # noqa: DTZ001 (the test's point)


@given(st.data())
@settings(max_examples=80)
def test_every_change_of_a_line_is_seen(tmp_path_factory, data):
    """One byte, a line less, two lines swapped: named by its number."""
    path = tmp_path_factory.mktemp("l") / "e.jsonl"
    made = Ledger(path, KEY)
    for number in range(4):
        made.begin(f"c{number}", now=NOW)
    good = path.read_bytes()
    lines = good.splitlines(keepends=True)
    kind = data.draw(st.sampled_from(["byte", "drop", "swap"]))
    if kind == "byte":
        at = data.draw(st.integers(0, len(good) - 2))
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    elif kind == "drop":
        at = data.draw(st.integers(0, 2))
        path.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))
    else:
        lines[1], lines[2] = lines[2], lines[1]
        path.write_bytes(b"".join(lines))

    with pytest.raises(Altered) as caught:
        made.lines()
    assert 1 <= caught.value.line <= 5


def test_a_cut_end_is_seen_against_a_head_kept_elsewhere(ledger):
    """The file alone cannot tell; a backup's manifest can."""
    seq, head = ledger.head
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:-1]))

    assert len(ledger.lines()) == 2
    with pytest.raises(OlderThanSeen, match="ends at line 2"):
        ledger.expect(seq, head)
    ledger.begin("somebody-else", now=NOW)
    with pytest.raises(Altered, match="another one than was seen"):
        ledger.expect(seq, head)


def test_half_a_line_of_a_killed_program_is_no_harm(ledger):
    """It was never begun; the next line takes its place."""
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + b'{"seq":4,"at"')

    assert len(ledger.lines()) == 3
    ledger.begin("square-9", now=NOW)
    assert ledger.path.read_bytes().startswith(whole)
    assert ledger.erased(["square-9"]) == {"square-9"}


def test_lines_that_are_none(ledger):
    """Not JSON, or JSON of another kind."""
    for odd in (b"x\n", b"[]\n", b'{"seq":4}\n'):
        ledger.path.write_bytes(odd)
        with pytest.raises(Altered, match="line 1 of the erasure ledger is none"):
            ledger.lines()


def test_a_full_disk_erases_nothing(ledger, monkeypatch):
    """The line is not there in half, and the caller is told before it deletes anything."""
    before = ledger.path.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match="nothing was erased"):
        ledger.begin("square-7", now=NOW)
    assert ledger.path.read_bytes() == before


def test_a_folder_that_is_not_there(tmp_path):
    """Likewise."""
    with pytest.raises(CannotWrite):
        Ledger(tmp_path / "gone" / "e.jsonl", KEY).begin("x", now=NOW)


def test_the_key_has_32_bytes(tmp_path):
    """A passphrase is no key."""
    with pytest.raises(LedgerError, match="32 bytes"):
        Ledger(tmp_path / "e", b"short")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps rights elsewhere")
def test_only_its_owner_reads_it(ledger):
    """Even a list of hashes says how many left."""
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600


def test_another_language_can_check_the_chain(ledger):
    """The hash is over the line's own JSON without its last field."""
    import hashlib

    for text in ledger.path.read_text(encoding="utf-8").splitlines():
        body = text[: text.rindex(',"hash"')] + "}"
        assert hashlib.sha256(body.encode()).hexdigest() == json.loads(text)["hash"]
