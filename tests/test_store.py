"""Nothing is half written, nobody writes over another, and what is deleted is gone."""

from __future__ import annotations

import re
import sqlite3
import sys
import threading
import traceback
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from kit import schema
from kit.store import (
    Damaged,
    Exists,
    Locked,
    Missing,
    Newer,
    ReadOnly,
    StoreError,
    begin,
    check,
    connect,
    create,
    note,
    noted,
    settle,
)

ROOT = Path(__file__).parent.parent
TABLES = schema.metadata({"customers.first_name": "open", "sales.net_cents": "open"})
CUSTOMERS, SALES = TABLES.tables["customers"], TABLES.tables["sales"]
MARKER = "Wilhelmina Example"
OPENS_ALSO = {  # and why: files of others, or no database of a shop
    "back_up.py": "writes as a till would while lesson 4 copies the file",
    "tables.py": "reads and writes tables for other programs",
    "unpack.py": "reads anybody's SQLite file",
    "keyfile.py": "uses an empty one as a lock",
    "swap.py": "puts what a database that is replaced has beside it into it, and changes no row",
    "snapshot.py": "copies the whole file with SQLite's own backup, and changes no row",
}


@pytest.fixture
def path(tmp_path):
    """Return where a new SQLite database is."""
    made = tmp_path / "shop.sqlite"
    create(connect(made), TABLES)
    return made


@pytest.fixture
def shop(database):
    """Return the address of a new database of either kind."""
    create(connect(database), TABLES)
    return database


def count(engine):
    """Return how many customers there are."""
    with begin(engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(CUSTOMERS))


def put(connection, *names):
    """Add customers."""
    connection.execute(
        sa.insert(CUSTOMERS),
        [{"customer_id": f"c{n}", "first_name": name} for n, name in enumerate(names)],
    )


def everything(folder):
    """Return the bytes of every file."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


@pytest.mark.parametrize("role", ["write", "read"])
def test_every_connection_has_the_settings(path, role):
    """Forgotten once is forgotten for all rows of that day."""
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "trusted_schema": 0,
        "recursive_triggers": 1,
        "temp_store": 2,
        "busy_timeout": 700,
        "query_only": int(role == "read"),
    }
    with begin(connect(path, role=role, wait_s=0.7)) as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}
        begins = connection.connection.driver_connection.isolation_level

    assert found == wanted
    assert begins is None  # or Python would begin and end transactions on its own


def test_a_connection_to_postgresql_has_its_settings(postgres):
    """Times in UTC, no waiting for ever, and no change by a reader."""
    wanted = {"TimeZone": "UTC", "lock_timeout": "700ms", "transaction_read_only": "on"}
    with begin(connect(postgres, role="read", wait_s=0.7)) as connection:
        found = {name: connection.exec_driver_sql(f"SHOW {name}").scalar() for name in wanted}

    assert found == wanted


def test_nobody_else_opens_a_shops_database():
    """One place has the settings, so no other may open it."""
    opening = re.compile(r"sqlite3\.connect\(|create_engine\(|psycopg\.connect\(")
    guilty = {
        module.name
        for module in ROOT.glob("kit/**/*.py")
        if opening.search(module.read_text(encoding="utf-8"))
    }

    assert guilty - {"store.py"} <= OPENS_ALSO.keys()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps rights in its own lists")
def test_only_you_can_open_the_files(path):
    """The other account on the till's PC cannot read them, whatever its umask."""
    with begin(connect(path)) as connection:
        put(connection, "Ana")
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}

    assert modes == {f"shop.sqlite{end}": 0o600 for end in ("", "-wal", "-shm")}


@pytest.mark.parametrize("name", ["shop #1 100% ?mode=memory.sqlite", "Läden & Söhne.sqlite"])
def test_a_file_may_have_any_name(tmp_path, name):
    """A sign in the name does not open another file."""
    name = name.replace("?", "" if sys.platform == "win32" else "?")
    engine = connect(tmp_path / name)
    create(engine, TABLES)

    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert engine.url.database == str(tmp_path / name)


def test_a_relative_path_stays_where_it_was(tmp_path, monkeypatch):
    """A program that changes its folder goes on with the same database."""
    monkeypatch.chdir(tmp_path)
    engine = connect("sqlite:///shop.sqlite")
    create(engine, TABLES)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    check(engine)


def test_all_or_nothing(shop):
    """A program that stops half way leaves nothing half done, and its own error is seen."""
    engine = connect(shop)
    with pytest.raises(ZeroDivisionError), begin(engine) as connection:
        put(connection, "Ana", "Ben")
        raise ZeroDivisionError

    assert count(engine) == 0


def test_nothing_of_one_use_is_left_for_the_next(shop):
    """What one user's session held is not there for another."""
    engine = connect(shop)
    with begin(engine) as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE actor (name text)")
    with begin(engine) as connection:
        assert not sa.inspect(connection).has_table("actor")


def test_eight_who_read_then_write_all_succeed(path):
    """Two tills booking points at once lose none: who opens to write waits at the beginning."""
    engine = connect(path, wait_s=60)
    with begin(engine) as connection:
        note(connection, "points", "0")

    def book():
        for _ in range(10):
            with begin(engine) as connection:
                note(connection, "points", str(int(noted(connection, "points")) + 1))

    threads = [threading.Thread(target=book) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with begin(engine) as connection:
        assert noted(connection, "points") == "80"


def test_reading_goes_on_while_somebody_writes(shop):
    """The counter is not closed during the import; it sees the rows of before."""
    with begin(connect(shop)) as connection:
        put(connection, "Ana")

        assert count(connect(shop, role="read")) == 0


def test_a_note_replaces_the_one_before(shop):
    """The generation of the keyring is the newest one."""
    with begin(connect(shop)) as connection:
        note(connection, "generation", "1")
        note(connection, "generation", "2")

        assert noted(connection, "generation") == "2"
        assert noted(connection, "colour") is None


def test_a_new_database_is_sound(shop):
    """And says so, to a reader as well."""
    check(connect(shop))
    check(connect(shop, role="read"), quick=True)


def test_a_newer_database_is_refused(shop):
    """An old kit does not touch what it does not understand."""
    with begin(connect(shop)) as connection:
        note(connection, "format", "2")

    with pytest.raises(Newer, match="format 2, known is 1; update the kit"):
        check(connect(shop), quick=True)
    check(connect(shop), format=2)


@pytest.mark.parametrize("said", ["", "one", "١", "-1"])
def test_a_database_without_its_format_is_refused(path, said):
    """Somebody has been in it."""
    with begin(connect(path)) as connection:
        note(connection, "format", said)

    with pytest.raises(Damaged, match="does not say its format"):
        check(connect(path))


def test_a_database_of_something_else_is_refused(database, tmp_path):
    """Every program has a SQLite file somewhere."""
    if database.startswith("sqlite"):
        (tmp_path / "shop.sqlite").touch()

    with pytest.raises(Damaged, match="no shop's database"):
        check(connect(database))


def test_what_is_there_is_not_made_again(shop, tmp_path):
    """Two commands too many do not cost the customers."""
    engine = connect(shop)
    with begin(engine) as connection:
        put(connection, "Ana")

    with pytest.raises(Exists):
        create(engine, TABLES)
    assert count(engine) == 1


def test_a_database_that_cannot_be_finished_is_not_begun(database, tmp_path):
    """No empty file stands in the way of the next try."""
    wrong = sa.MetaData()
    sa.Table("customers", wrong, sa.Column("id", sa.Text(collation="nobody's"), primary_key=True))
    with pytest.raises(StoreError):
        create(connect(database), wrong)

    create(connect(database), TABLES)


def test_a_folder_that_is_not_there(tmp_path):
    """The message names the file and the reason."""
    with pytest.raises(Missing, match="shop.sqlite cannot be made: No such file"):
        create(connect(tmp_path / "nowhere" / "shop.sqlite"), TABLES)


@pytest.mark.parametrize("role", ["write", "read"])
def test_a_slip_in_the_name_makes_no_empty_database(tmp_path, role):
    """Else the shop would seem to have lost everything."""
    with pytest.raises(Missing, match="no database answers"):
        check(connect(tmp_path / "shpo.sqlite", role=role))

    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer():
    """The password in the address is not shown."""
    address = "postgresql://kit:tulip-rose@127.0.0.1:1/shop"
    with pytest.raises(Missing) as caught:
        check(connect(address))

    assert "tulip" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "address", ["", "shop", "mysql://localhost/shop", "sqlite://", "sqlite:///:memory:"]
)
def test_refuses_what_is_no_address(address):
    """A database in memory is gone with the program."""
    with pytest.raises(StoreError, match="sqlite:///FILE"):
        connect(address)


def test_postgresql_needs_its_driver(monkeypatch):
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(StoreError, match="install psycopg"):
        connect("postgresql://localhost/shop")


def test_who_waits_too_long_is_told(shop):
    """And nothing of theirs is written."""
    with begin(connect(shop)) as first:
        put(first, "Ana")
        with pytest.raises(Locked, match="try again"), begin(connect(shop, wait_s=0.05)) as second:
            put(second, "Ben")

    assert count(connect(shop)) == 1


def test_a_reader_cannot_write(shop):
    """A report cannot change what it reports."""
    with (
        pytest.raises(ReadOnly, match="open the database to write"),
        begin(connect(shop, role="read")) as connection,
    ):
        put(connection, "Ana")

    assert count(connect(shop)) == 0


def test_a_rule_in_the_database_is_a_refusal(path):
    """A trigger of the audit log says no, and the message does not blame the row."""
    with begin(connect(path)) as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER never BEFORE DELETE ON customers "
            "BEGIN SELECT RAISE(ABORT, 'never'); END"
        )
        put(connection, "Ana")

    with pytest.raises(ReadOnly), begin(connect(path)) as connection:
        connection.execute(sa.delete(CUSTOMERS))


def test_what_was_deleted_is_in_no_file(path):
    """Not in free pages, not in the file beside it, though somebody has the database open."""
    with closing(sqlite3.connect(path)) as open_till:  # else the last one out tidies up
        open_till.execute("SELECT count(*) FROM customers").fetchall()
        with begin(connect(path)) as connection:
            put(connection, MARKER + "!" * 9000)
        with begin(connect(path)) as connection:
            connection.execute(sa.delete(CUSTOMERS))
        assert MARKER.encode() in everything(path.parent)

        settle(connect(path))
        assert MARKER.encode() not in everything(path.parent)


def test_settling_says_when_it_could_not(path):
    """While somebody reads the rows of before, they cannot go."""
    with begin(connect(path, role="read")) as reader:
        reader.execute(sa.select(CUSTOMERS)).all()
        with begin(connect(path)) as connection:
            put(connection, "Ana")

        with pytest.raises(Locked):
            settle(connect(path, wait_s=0.05))


def test_settling_postgresql(postgres):
    """Its tables are written anew without the deleted rows."""
    engine = connect(postgres)
    create(engine, TABLES)
    with begin(engine) as connection:
        put(connection, *["x" * 1000] * 100)
        size = sa.text("SELECT pg_relation_size('customers')")
    with begin(engine) as connection:
        connection.execute(sa.delete(CUSTOMERS))
        assert connection.scalar(size) > 0

    settle(engine)

    with begin(engine) as connection:
        assert connection.scalar(size) == 0


def test_settling_needs_a_database(tmp_path):
    """And makes none."""
    with pytest.raises(Missing):
        settle(connect(tmp_path / "shop.sqlite"))
