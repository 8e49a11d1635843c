"""The book of requests only ever grows: what was asked and answered can be shown later."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from little_shop import NOW, opened, tables

from kit import request_book, store
from kit.request_book import BadEntry, BookError, Overtaken

NEW_YORK = timezone(timedelta(hours=-5))


@pytest.fixture
def connection(database):
    """Return a connection to a database that holds an empty book."""
    engine = opened(database, tables())
    with store.begin(engine) as made:
        request_book.create(made)
        yield made
    engine.dispose()


def write(connection, request_id, *events):
    """Write events without details."""
    for event in events:
        request_book.append(connection, request_id, event, {}, actor="max", now=NOW)


def test_what_is_written_is_read_in_order(connection):
    """The oldest first, one request or all, with times in UTC whatever zone they came in."""
    at = NOW.astimezone(NEW_YORK)
    detail = {"kinds": ["know"], "note": "é \u202e"}
    first = request_book.append(connection, "req-1", "received", detail, actor="max", now=at)
    write(connection, "req-2", "received")
    write(connection, "req-1", "acknowledged")

    assert first == 1
    told = list(request_book.events(connection))
    assert [(e["request_id"], e["number"], e["event"]) for e in told] == [
        ("req-1", 1, "received"), ("req-2", 1, "received"), ("req-1", 2, "acknowledged"),
    ]  # fmt: skip
    assert told[0]["detail"] == detail
    assert {e["at"] for e in told} == {NOW}
    assert [e["number"] for e in request_book.events(connection, "req-1")] == [1, 2]
    assert list(request_book.events(connection, "req-9")) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE kit_requests SET actor = 'sam'",
        "UPDATE kit_requests SET event = 'purged'",
        "DELETE FROM kit_requests",
        "DELETE FROM kit_requests WHERE event = 'purged'",
    ],
)
def test_nothing_is_changed_or_deleted(connection, statement):
    """A hand that slips in the database cannot make a request go away."""
    write(connection, "req-1", "received", "answered")
    write(connection, "req-2", "received")
    request_book.purge(connection, ["req-1"], actor="max", now=NOW)
    before = connection.execute(sa.select(request_book.BOOK)).all()

    with pytest.raises(sa.exc.DBAPIError, match="only ever added to"), connection.begin_nested():
        connection.exec_driver_sql(statement)
    assert connection.execute(sa.select(request_book.BOOK)).all() == before


def test_a_purge_leaves_one_line_and_touches_nobody_else(connection):
    """That there was a request can still be seen, nothing more."""
    write(connection, "req-1", "received", "answered")
    write(connection, "req-2", "received")
    gone = request_book.purge(connection, ["req-1"], actor="max", now=NOW)

    assert gone == 2
    assert [e["request_id"] for e in request_book.events(connection)] == ["req-2"]
    book = request_book.BOOK.c
    (left,) = connection.execute(sa.select(book.event, book.detail).filter_by(request_id="req-1"))
    assert tuple(left) == ("purged", "{}")


def test_a_number_is_not_used_again(connection):
    """Not after a purge either: an old line in a backup is never taken for a new one."""
    write(connection, "req-1", "received")
    highest = connection.scalar(sa.select(sa.func.max(request_book.BOOK.c.seq)))
    request_book.purge(connection, ["req-1"], actor="max", now=NOW)
    write(connection, "req-2", "received")

    assert connection.scalar(sa.select(sa.func.max(request_book.BOOK.c.seq))) == highest + 2


def test_the_slower_of_two_is_told_to_look_again(tmp_path):
    """Two programs on PostgreSQL may both see number 1; the database lets one of them be 2."""
    engine = opened(tmp_path / "s.sqlite", tables())
    with store.begin(engine) as connection:
        request_book.create(connection)
        write(connection, "req-1", "received")
        connection.exec_driver_sql(  # as if another had written after we looked
            "CREATE TRIGGER faster BEFORE INSERT ON kit_requests WHEN NEW.event = 'asked' BEGIN "
            "INSERT INTO kit_requests (request_id, number, at, actor, event, detail) "
            "VALUES (NEW.request_id, NEW.number, NEW.at, 'sam', 'denied', '{}'); END"
        )
        with pytest.raises(Overtaken, match="look again"):
            write(connection, "req-1", "asked")
        assert [e["event"] for e in request_book.events(connection)] == ["received"]
    engine.dispose()


def test_the_table_is_made_once(connection):
    """A shop that was set up before there was a book gets one, and keeps it."""
    write(connection, "req-1", "received")
    request_book.create(connection)

    assert len(list(request_book.events(connection))) == 1


def test_the_number_of_a_request_tells_nothing():
    """It stands on letters and in mails."""
    one, two = (request_book.new_id(NOW) for _ in range(2))

    assert one != two
    assert one.startswith("req-20261124-")
    assert len(one) == 21


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"now": datetime(2026, 11, 24)}, BadEntry, id="no zone"),  # noqa: DTZ001
        pytest.param({"actor": "Ana Example"}, BadEntry, id="actor no word"),
        pytest.param({"actor": "ana@example.com"}, BadEntry, id="actor is an address"),
        pytest.param({"event": "Answered!"}, BadEntry, id="event no word"),
        pytest.param({"event": "purged"}, BadEntry, id="purge by hand"),
        pytest.param({"request_id": "../req"}, BadEntry, id="number is a path"),
    ],
)
def test_refuses(connection, change, error):
    """Every way to hold it wrong is refused, and nothing is written."""
    given = {"request_id": "req-1", "event": "received", "actor": "max", "now": NOW, **change}
    with pytest.raises(error) as caught:
        request_book.append(connection, given["request_id"], given["event"], {},
                            actor=given["actor"], now=given["now"])  # fmt: skip

    assert isinstance(caught.value, BookError)
    assert "example" not in str(caught.value)
    assert list(request_book.events(connection)) == []
