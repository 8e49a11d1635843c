"""The stolen laptop at the command line: a draft, then whom to tell and by when."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from real_shop import WORDS, filled
from test_cli_request import done, kit

from kit.breach import Finding
from kit.cli_breach import _line


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a shop in it and a passphrase file beside it."""
    filled(tmp_path / "shop").close()
    (tmp_path / "passphrase").write_text(WORDS + "\n", encoding="utf-8")
    (tmp_path / "passphrase").chmod(0o600)
    return tmp_path


def test_from_the_theft_to_the_letters(folder):
    """A draft to complete, then findings, a memo, a calendar, and letters in your own words."""
    draft = ("breach", "draft", "laptop stolen", "--key-exposed", "no")
    said = done(folder, *draft, "--discovered", "2026-11-24T08:10")
    assert "sealed fields: " in said
    path = folder / "shop" / "records" / "breach-laptop-stolen" / "incident.toml"
    assert f"kit breach assess {path.relative_to(folder / 'shop')}" in said
    text = path.read_text(encoding="utf-8")
    assert "key_exposed = false" in text
    path.write_text(
        re.sub(r"persons = \{.*\}", "persons = { US-CA = 600, DE = 2 }", text), encoding="utf-8"
    )
    story = folder / "story.toml"
    story.write_text(
        'shop = "Corner Flowers"\ncontact = "212-555-0142"\nwhat_happened = "A laptop is gone."\n'
        'doing = "New locks."\n',
        encoding="utf-8",
    )
    ran = kit(folder, "breach", "assess", path, "--all", "--story", story)

    assert ran.returncode == 3
    assert "US-CA" in ran.stdout
    assert "always      Ask a lawyer at once." in ran.stdout
    assert {"memo.md", "dates.ics"} <= {p.name for p in path.parent.iterdir()}
    assert re.search(r"authority .* \d\d:\d\d [-+]\d{4} at the earliest", ran.stdout)
    assert "lawyer" in ran.stderr
    assert "see the end of memo.md" in ran.stdout
    assert "told people is not given, due Wed 2026-12-09 at the earliest" in ran.stdout
    told = json.loads(kit(folder, "breach", "assess", path, "--json").stdout)
    assert {one["verdict"] for one in told["findings"]} <= {"duty", "no duty", "unknown"}
    again = kit(folder, *draft, "--discovered", "2026-11-24T08:10")
    assert again.returncode == 1  # what a person completed is not overwritten
    assert "exists: go on with it" in again.stderr
    path.write_bytes(b"\xff\xfe")
    assert "not a text file" in kit(folder, "breach", "assess", path).stderr


def test_a_password_that_was_stolen(folder):
    """Only whom it looked at, by the log; if nobody, it says so."""
    draft = ("breach", "draft", "password guessed", "--discovered", "2026-11-24T08:10")
    span = ("--since", "2026-01-01T00:00", "--by", "sam")
    assert "nobody whose data were looked at" in done(folder, *draft, *span)
    assert "samm is not on the staff" in kit(folder, *draft, *span[:3], "samm").stderr
    assert kit(folder, *draft, "--by", "sam").returncode == 2  # else all data count as taken
    assert kit(folder, *draft, *span, "--until", "2025-01-01T00:00").returncode == 2
    refused = kit(folder, *draft[:3], "--discovered", "yesterday")
    assert refused.returncode == 2
    assert "2026-11-24T08:10" in refused.stderr
    assert kit(folder, *draft, "--key-exposed", "perhaps").returncode == 2


def test_a_day_that_is_over_says_so():
    """72 hours end at a time of day, not at midnight."""
    at = datetime(2026, 11, 27, 9, tzinfo=UTC)
    late, soon = (
        Finding("duty", "EU", "", "why", due=at + timedelta(hours=hours)) for hours in (-1, 1)
    )
    assert "by Fri 2026-11-27 08:00 +0000, which is over: do it now: why" in _line(late, at)
    assert "by Fri 2026-11-27 10:00 +0000: why" in _line(soon, at)
    assert "which is over" in _line(replace(late, due=date(2026, 11, 26)), at)
    assert "which is over" not in _line(replace(late, due=date(2026, 11, 27)), at)
