"""A full disk, a broken file, a slip in a value: said in words, and nothing is half written."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import traceback
from contextlib import closing, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from kit import rows, schema
from kit.store import Damaged, DiskFull, StoreError, begin, check, connect, create

ROOT = Path(__file__).parent.parent
TABLES = schema.metadata({"customers.first_name": "open"})
CUSTOMERS, SALES = TABLES.tables["customers"], TABLES.tables["sales"]
MARKER = "Wilhelmina Example"


@pytest.fixture
def path(tmp_path):
    """Return where a new SQLite database is."""
    made = tmp_path / "shop.sqlite"
    create(connect(made), TABLES)
    return made


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


def limited(path, pages):
    """Return what opens the database with room for a few pages more."""
    engine = connect(path)

    @sa.event.listens_for(engine, "connect")
    def limit(driver, record):
        now = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count = {now + pages}")

    return engine


def test_a_full_disk(path):
    """All is as it was, and the database is sound."""
    with begin(connect(path)) as connection:
        put(connection, "Ana")
    with pytest.raises(DiskFull, match="make room"), begin(limited(path, 20)) as connection:
        connection.execute(sa.delete(CUSTOMERS))
        put(connection, *["x" * 2000] * 200)

    assert count(connect(path)) == 1
    check(connect(path))


def test_after_a_full_disk_no_single_row_is_kept(path):
    """SQLite undoes all on its own then; a program that goes on would keep the rest without it."""
    with pytest.raises(StoreError), begin(limited(path, 20)) as connection:
        put(connection, "Ana")
        with pytest.raises(sa.exc.OperationalError):
            connection.execute(sa.insert(SALES), [{"sale_id": "x" * 3000}] * 1)
            put(connection, *["x" * 2000] * 200)
        with pytest.raises(sa.exc.PendingRollbackError):
            connection.execute(sa.insert(SALES), [{"sale_id": "s1"}])

    assert count(connect(path)) == 0


def test_a_full_disk_in_the_middle_of_a_load(path):
    """Nothing of it is kept, nor of what came before or after it in the same piece of work."""
    with pytest.raises(StoreError), begin(limited(path, 10)) as connection:
        rows.add(connection, SALES, {"sale_id": "s1"})
        many = [{"customer_id": f"c{n}", "first_name": "x" * 2000} for n in range(100)]
        with suppress(sa.exc.OperationalError):
            rows.load(connection, CUSTOMERS, [many])
        rows.add(connection, SALES, {"sale_id": "s2"})

    with begin(connect(path)) as connection:
        assert rows.find(connection, SALES, {}) == rows.find(connection, CUSTOMERS, {}) == []


FILL = """
import resource, sys
from pathlib import Path
import sqlalchemy as sa
sys.path.insert(0, sys.argv[2])
from test_store_faults import CUSTOMERS
from kit import store
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
try:
    with store.begin(store.connect(Path(sys.argv[1]))) as connection:
        connection.exec_driver_sql("PRAGMA cache_size = 10")
        rows = [{"customer_id": f"d{n}", "first_name": "x" * 2000} for n in range(2000)]
        connection.execute(sa.insert(CUSTOMERS), rows)
except store.DiskFull as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on a file's size on Windows")
def test_a_disk_that_refuses_to_write(path):
    """A file that may not grow fails otherwise than a full disk; the message is the same."""
    with begin(connect(path)) as connection:
        put(connection, "Ana")
    run = [sys.executable, "-c", FILL, path, Path(__file__).parent]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "nothing was written: the disk is full or fails" in done.stderr
    assert count(connect(path)) == 1
    check(connect(path))


@pytest.mark.parametrize("role", ["write", "read"])
def test_a_file_that_is_no_database(tmp_path, role):
    """A spreadsheet under the wrong name is left alone."""
    (tmp_path / "shop.sqlite").write_text("Name,Email\n" * 200, encoding="utf-8")

    with pytest.raises(Damaged, match="newest good backup"):
        check(connect(tmp_path / "shop.sqlite", role=role))
    assert (tmp_path / "shop.sqlite").read_text(encoding="utf-8").startswith("Name,Email")


@pytest.mark.parametrize("place", range(2, 12, 3))
def test_a_broken_page(path, place):
    """A page of a dying disk is found before it is trusted."""
    with begin(connect(path)) as connection:
        put(connection, *[f"{'x' * 300}{n}" for n in range(300)])
    data = bytearray(path.read_bytes())
    data[-4096 * place : -4096 * place + 64] = bytes(range(64))
    path.write_bytes(data)

    with pytest.raises(Damaged):
        check(connect(path))


def test_an_index_that_disagrees(path):
    """One changed letter breaks no page, but the row is no longer found by its key."""
    with begin(connect(path)) as connection:
        connection.execute(sa.insert(CUSTOMERS).values(customer_id="needle"))
    path.write_bytes(path.read_bytes().replace(b"needle", b"noodle", 1))

    with pytest.raises(Damaged):
        check(connect(path))


def test_a_file_cut_short(path):
    """A copy that did not finish is no database."""
    os.truncate(path, path.stat().st_size // 2)

    with pytest.raises(Damaged):
        check(connect(path))


def test_a_sale_of_nobody_is_damage(path):
    """Another program that does not keep the links leaves a trace."""
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.execute("INSERT INTO sales (sale_id, customer_id) VALUES ('s1', 'nobody')")

    check(connect(path), quick=True)
    with pytest.raises(Damaged):
        check(connect(path))


def test_no_message_holds_a_value(database):
    """PostgreSQL would quote the key, SQLAlchemy the whole row."""
    create(connect(database), TABLES)
    with pytest.raises(StoreError, match="refused this") as caught, begin(connect(database)) as c:
        put(c, MARKER)
        c.execute(sa.insert(CUSTOMERS).values(customer_id=MARKER, first_name=MARKER))
        c.execute(sa.insert(CUSTOMERS).values(customer_id=MARKER, first_name=MARKER))

    assert MARKER not in "".join(traceback.format_exception(caught.value))


def test_no_error_of_the_library_holds_a_row(path):
    """Whoever works without `begin` does not log the customer either."""
    with pytest.raises(sa.exc.IntegrityError) as caught, connect(path).begin() as connection:
        put(connection, MARKER)
        put(connection, MARKER)

    assert MARKER not in str(caught.value)


def test_a_value_the_driver_cannot_take_is_an_error_of_the_family(path):
    """No code comes with it, and its text holds the value."""
    with pytest.raises(StoreError, match="ProgrammingError|InterfaceError") as caught:
        with begin(connect(path)) as connection:
            connection.exec_driver_sql("SELECT ?", (Path(MARKER),))

    assert MARKER not in str(caught.value)
