"""Nobody is signed up by somebody else: the link works once, for a while, for one address."""

from __future__ import annotations

import base64
import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import optin
from kit.optin import BadCall, BadToken, Expired, Moved, OptinError, UsedUp

UNHURRIED = settings(deadline=None)  # a busy machine is no failure
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
KEY, OTHER = bytes(range(32)), bytes(32)
ID, ADDRESS = "rec_1.offers_by_email", "ana@example.com"

# Made with the first version and kept: links that are under way when the kit is updated still work.
OLD = (
    "d1.AAAAAGsH9RCctRPUNT3bUnS1KPlO_JOo5JUs4CtojM_yV1E4WD2i6HJlY18xLm9mZmVyc19ieV9lbWFpbO8XLpzX"
    "Jw10f2dOEc1x6jvviJs3TXmDbhe_Zm_acccb"
)


class Table:
    """The record of used links, as a shop would keep it."""

    def __init__(self, path=":memory:"):
        self.path = path
        self.connection = self.open()

    def __del__(self):
        """Leave nothing open."""
        self.connection.close()

    def open(self):
        """Return a connection of one's own."""
        connection = sqlite3.connect(self.path, timeout=20, check_same_thread=False)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS used_links (nonce BLOB PRIMARY KEY, until TEXT) STRICT"
        )
        return connection

    def add(self, nonce, until, connection=None):
        """Write the nonce down, unless it is there."""
        with connection or self.connection as one:
            row = (nonce, until.isoformat())
            done = one.execute("INSERT INTO used_links VALUES (?, ?) ON CONFLICT DO NOTHING", row)
            return done.rowcount == 1


def redeem(token, *, keys=(KEY,), address=ADDRESS, seen=None, now=NOW):
    """Press the button."""
    return optin.redeem(
        token, keys=keys, address_of=lambda _: address, seen=seen or Table(), now=now
    )


def token(**more):
    """Make a link."""
    return optin.make(**{"consent_id": ID, "address": ADDRESS, "key": KEY, "now": NOW, **more})


def test_a_link_confirms_once():
    """Pressing twice changes nothing the second time."""
    seen, made = Table(), token()

    assert redeem(made, seen=seen) == ID
    with pytest.raises(UsedUp):
        redeem(made, seen=seen)


def test_an_old_link_still_works():
    """The format has not changed since the first version."""
    assert redeem(OLD) == ID


def test_the_layout_is_the_documented_one():
    """Seconds in 8 bytes, nonce 16, address 16, the number, mac 32."""
    raw = base64.urlsafe_b64decode(OLD[3:] + "=" * (-len(OLD[3:]) % 4))

    assert int.from_bytes(raw[:8], "big") == (NOW + timedelta(days=2)).timestamp()
    assert raw[40:-32] == ID.encode()
    assert len(raw) == 8 + 16 + 16 + len(ID) + 32


def test_a_link_does_not_name_anybody():
    """Who looks over the mail server's shoulder learns a number, and no address."""
    made = token()

    assert ADDRESS.encode() not in base64.urlsafe_b64decode(made[3:] + "=" * (-len(made[3:]) % 4))
    assert made != token()


def test_a_link_runs_out():
    """A mail found a year later signs nobody up."""
    made = token(valid=timedelta(hours=1))

    assert redeem(made, now=NOW + timedelta(minutes=59)) == ID
    with pytest.raises(Expired) as caught:
        redeem(made, now=NOW + timedelta(hours=1))
    assert caught.value.since == NOW + timedelta(hours=1)


@pytest.mark.parametrize("address", ["ben@example.com", "", None])
def test_a_link_confirms_one_address(address):
    """If the address was changed in the meantime, the old mailbox says yes to nothing."""
    with pytest.raises(Moved):
        redeem(token(), address=address)


def test_a_refused_link_is_not_used_up():
    """A clock that is wrong for a minute costs nobody the confirmation."""
    seen, made = Table(), token()
    with pytest.raises(Expired):
        redeem(made, seen=seen, now=NOW + timedelta(days=3))
    with pytest.raises(Moved):
        redeem(made, seen=seen, address="ben@example.com")

    assert redeem(made, seen=seen) == ID


def test_nothing_is_looked_up_for_a_stranger():
    """A made-up link reaches no table: the address is asked for after the check."""
    asked = []

    with pytest.raises(BadToken):
        optin.redeem(token(key=OTHER), keys=[KEY], address_of=asked.append, seen=Table(), now=NOW)

    assert asked == []


def test_links_of_the_key_before_still_work():
    """Changing the key does not undo the mails of yesterday."""
    assert redeem(token(key=OTHER), keys=[KEY, OTHER]) == ID


@pytest.mark.parametrize("place", range(93))
def test_every_byte_is_protected(place):
    """No single byte can change unnoticed."""
    raw = bytearray(base64.urlsafe_b64decode(OLD[3:] + "=" * (-len(OLD[3:]) % 4)))
    raw[place] ^= 1

    with pytest.raises(BadToken):
        redeem("d1." + base64.urlsafe_b64encode(raw).decode().rstrip("="))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("d1.", id="prefix alone"),
        pytest.param(OLD[3:], id="no prefix"),
        pytest.param("d2." + OLD[3:], id="another version"),
        pytest.param(OLD[:-1], id="cut short"),
        pytest.param(OLD + "AAAA", id="longer"),
        pytest.param("d1.%%%%", id="not base64url"),
        pytest.param("d1.\u00e9\u00e9\u00e9\u00e9", id="not ASCII"),
        pytest.param("d1." + "A" * 10_000_000, id="10 MB"),
        pytest.param("d1." + "A" * 40, id="shorter than its parts"),
    ],
)
def test_refuses_what_is_no_link(text):
    """Whatever stands in the address line, the answer is one plain sentence without it."""
    with pytest.raises(BadToken) as caught:
        redeem(text)

    assert isinstance(caught.value, OptinError)
    assert not text[3:] or text[3:] not in str(caught.value)


@UNHURRIED
@given(st.text(max_size=200))
def test_no_text_is_a_link(text):
    """Nor does any text bring the page down."""
    with pytest.raises(BadToken):
        redeem("d1." + text)


WHOLE = st.characters(exclude_categories=["Cs"])


@UNHURRIED
@given(number=st.text(WHOLE, min_size=1, max_size=50), address=st.text(WHOLE, min_size=1))
def test_any_number_and_address_come_back(number, address):
    """Names of records in any alphabet go through."""
    made = optin.make(number, address=address, key=KEY, now=NOW)

    assert redeem(made, address=address) == number


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"key": bytes(16)}, "a key is 32 bytes", id="short key"),
        pytest.param({"now": datetime(2026, 1, 1)}, "no time zone", id="no zone"),  # noqa: DTZ001
        pytest.param({"valid": timedelta(0)}, "a second to 30 days", id="never valid"),
        pytest.param({"valid": timedelta(days=31)}, "a second to 30 days", id="too long"),
        pytest.param({"consent_id": ""}, "needs a consent's number", id="no number"),
        pytest.param({"consent_id": "x" * 201}, "up to 200 bytes", id="long number"),
        pytest.param({"address": ""}, "and an address", id="no address"),
        pytest.param({"address": "\ud800"}, "half a character", id="half a character"),
    ],
)
def test_refuses_to_make(change, says):
    """A link that protects nobody is not made."""
    with pytest.raises(BadCall, match=says):
        token(**change)


def test_refuses_a_naive_clock():
    """A time without a zone could keep a link alive for hours."""
    with pytest.raises(BadCall, match="no time zone"):
        redeem(OLD, now=datetime(2026, 11, 24))  # noqa: DTZ001


def test_of_two_presses_at_once_one_counts(tmp_path):
    """Two browser tabs, two processes: the database decides."""
    table = Table(tmp_path / "used.sqlite")
    nonce, answers = bytes(16), []

    def press():
        connection = table.open()
        answers.append(table.add(nonce, NOW, connection))
        connection.close()

    presses = [threading.Thread(target=press) for _ in range(4)]
    for one in presses:
        one.start()
    for one in presses:
        one.join()

    assert sorted(answers) == [False, False, False, True]
