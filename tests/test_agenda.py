"""A calendar file opens everywhere, and no text in it can pretend to be another entry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.agenda import AgendaError, BadEntry, write

NOW = datetime(2026, 11, 24, 8, 10, tzinfo=UTC)


@dataclass
class Entry:
    """One date."""

    key: str = "theft|us-ca"
    on: date | datetime = date(2026, 12, 24)
    title: str = "Tell the people"
    text: str = "within 30 days"


def unfolded(file):
    """Return the lines of a file, unfolded as RFC 5545 3.1 says."""
    assert file.endswith(b"\r\n")
    return file.decode().replace("\r\n ", "").removesuffix("\r\n").split("\r\n")


def parsed(file):
    """Return the entries of a file, read by the RFC and not by our own code: a dict for each."""
    lines = unfolded(file)
    assert (lines[0], lines[-1]) == ("BEGIN:VCALENDAR", "END:VCALENDAR")
    assert lines[1:3] == ["VERSION:2.0", "PRODID:-//customer-data-kit//agenda//EN"]
    events, inside = [], []
    for line in lines[4:-1]:
        name, _, value = line.partition(":")
        if name == "BEGIN":
            inside.append(value)
            if value == "VEVENT":
                events.append({})
        elif name == "END":
            assert inside.pop() == value
        else:
            alarm = "ALARM " if inside[-1] == "VALARM" else ""
            assert alarm + name not in events[-1]
            events[-1][alarm + name] = value
    assert not inside
    return events


def meant(value):
    """Undo the escaping of RFC 5545 3.3.11."""
    told, rest = "", iter(value)
    for character in rest:
        if character == "\\":
            character = {"n": "\n"}.get(following := next(rest), following)
        told += character
    return told


def test_a_day_is_an_all_day_entry():
    """It ends on the next day, and does not make the day look busy."""
    (event,) = parsed(write([Entry()], now=NOW))

    assert event["DTSTART;VALUE=DATE"] == "20261224"
    assert event["DTEND;VALUE=DATE"] == "20261225"
    assert event["DTSTAMP"] == "20261124T081000Z"
    assert event["TRANSP"] == "TRANSPARENT"
    assert event["SUMMARY"] == "Tell the people"
    assert event["ALARM TRIGGER"] == "-P3D"


def test_an_instant_is_shown_at_that_instant():
    """72 hours do not end at midnight; the reader's program shows them in its own zone."""
    berlin = datetime(2026, 10, 27, 14, tzinfo=ZoneInfo("Europe/Berlin"))

    (event,) = parsed(write([Entry(on=berlin)], now=NOW))

    assert event["DTSTART"] == "20261027T130000Z"
    assert "DTEND;VALUE=DATE" not in event
    assert event["ALARM TRIGGER"] == "-PT12H"


def test_a_newer_file_changes_entries_instead_of_doubling_them():
    """The UID hangs on the key alone."""
    old = parsed(write([Entry(), Entry(key="b")], now=NOW))
    new = parsed(write([Entry(on=date(2027, 1, 4), title="Moved")], now=NOW))

    assert old[0]["UID"] == new[0]["UID"] != old[1]["UID"]


def test_of_two_entries_with_one_key_the_later_stands():
    """Two entries with one UID would be an error in the file."""
    (event,) = parsed(write([Entry(), Entry(title="Later")], now=NOW))

    assert event["SUMMARY"] == "Later"


@given(st.text(min_size=1).filter(str.strip), st.text())
def test_any_text_comes_back_and_breaks_nothing(title, text):
    """Line ends, commas and semicolons, "END:VEVENT" and emoji included."""
    file = write([Entry(title="x" + title, text=text)], now=NOW)
    (event,) = parsed(file)

    assert all(len(line) <= 75 for line in file.split(b"\r\n"))
    said = meant(event["SUMMARY"])
    visible = [c for c in title if c.isalnum()]
    assert [c for c in said[1:] if c.isalnum()] == visible
    assert "\n" not in said


@pytest.mark.parametrize(
    "hostile",
    [
        "Ana\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:forged",
        "Ana\rATTENDEE:mailto:ana@example.com",
        "Ana\nATTACH:https://example.com/x",
        "Ana\u2028END:VCALENDAR",
        "\u202egnp.exe",
        "a;b,c\\n",
    ],
)
def test_a_hostile_text_stays_one_text(hostile):
    """A name cannot end its line or turn the reading direction."""
    (event,) = parsed(write([Entry(title=hostile, text=hostile)], now=NOW))

    assert set(event) == {
        *("UID", "DTSTAMP", "DTSTART;VALUE=DATE", "DTEND;VALUE=DATE", "SUMMARY", "DESCRIPTION"),
        *("TRANSP", "ALARM ACTION", "ALARM TRIGGER", "ALARM DESCRIPTION"),
    }
    assert "\u202e" not in event["SUMMARY"]
    assert "\n" not in meant(event["SUMMARY"])


def test_folding_never_splits_a_character():
    """A line is folded at 75 octets, and é is two of them."""
    file = write([Entry(title="é" * 200)], now=NOW)

    for line in file.split(b"\r\n"):
        line.decode()
        assert len(line) <= 75
    assert parsed(file)[0]["SUMMARY"] == "é" * 200
    assert max(map(len, write([Entry(title="x" * 200)], now=NOW).split(b"\r\n"))) == 75


@pytest.mark.parametrize(
    ("entry", "now", "says"),
    [
        pytest.param(Entry(title=" "), NOW, "entry 1", id="no title"),
        pytest.param(Entry(key=""), NOW, "entry 1", id="no key"),
        pytest.param(Entry(on=NOW.replace(tzinfo=None)), NOW, "zone", id="naive"),
        pytest.param(Entry(), NOW.replace(tzinfo=None), "zone", id="naive now"),
    ],
)
def test_refuses(entry, now, says):
    """By number, not by title."""
    with pytest.raises(BadEntry, match=says) as caught:
        write([entry], now=now)
    assert isinstance(caught.value, AgendaError)
    assert "people" not in str(caught.value)


def test_an_empty_calendar_is_one():
    """Nothing to tell anybody is a file, too."""
    assert parsed(write([], now=NOW)) == []
