# SPDX-License-Identifier: MIT-0
"""Open a shop's database so that nothing is half written, and nothing deleted stays behind.

Copy: ``kit copy store --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

The database is one SQLite file, or PostgreSQL with the same code (install psycopg too)::

    engine = store.connect(Path("shop.sqlite"))
    store.create(engine, tables)                           # once; tables from schema.py
    with store.begin(engine) as connection:                # all of it or nothing
        ...                                                # rows.py, or any SQLAlchemy

`connect` is the one place that opens a shop's database, so that every connection has the settings
below. Each is opened for one piece of work and closed after it: nothing of one use is left for
the next. Who opens to write waits at once for others who are writing, not when it is too late.

The table ``kit_meta`` holds facts about the database itself, such as its format.

Source: https://www.sqlite.org/pragma.html and https://www.sqlite.org/rescode.html;
https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

FORMAT = 1
PRAGMAS = (
    "foreign_keys = ON",
    "secure_delete = ON",  # else deleted values stay in the file; holds for one connection only
    "synchronous = FULL",
    "trusted_schema = OFF",
    "recursive_triggers = ON",  # else REPLACE deletes a row and no trigger sees it
    "temp_store = MEMORY",  # a large sort would put a copy of the rows on the disk
)
ALSO = {"write": "journal_mode = WAL", "read": "query_only = ON"}
META = sa.table("kit_meta", sa.column("key", sa.Text), sa.column("value", sa.Text))


class StoreError(Exception):
    """Base of the errors below. Messages never hold a value."""


class Locked(StoreError):
    """Somebody else is writing, and did not finish in time. Nothing was written."""


class ReadOnly(StoreError):
    """The connection, or a rule in the database, does not allow it."""


class DiskFull(StoreError):
    """There is no room, or the disk fails. Nothing was written."""


class Damaged(StoreError):
    """It is not a shop's database, or parts of it are broken."""


class Newer(StoreError):
    """A newer kit made the database."""


class Missing(StoreError):
    """No database answers there."""


class Exists(StoreError):
    """There is such a database already."""


ADVICE = {
    StoreError: "the database refused this",
    Locked: "somebody else is writing to the database; try again in a moment",
    ReadOnly: "not allowed on this connection; open the database to write, or ask the owner",
    DiskFull: "nothing was written: the disk is full or fails; make room, then try again",
    Damaged: "not a database, or a damaged one; restore the newest good backup",
    Missing: "no database answers there; check its name and your right to open it, or make it",
}
SQLITE = {  # result codes; 1811: a trigger said no
    **{3: ReadOnly, 5: Locked, 6: Locked, 8: ReadOnly, 10: DiskFull, 11: Damaged, 13: DiskFull},
    **{14: Missing, 23: ReadOnly, 26: Damaged, 1811: ReadOnly},
}
POSTGRES = {  # codes, or the first two letters of one; a connection that failed has none
    **{"": Missing, "08": Missing, "57": Missing, "40": Locked, "55P03": Locked, "53100": DiskFull},
    **{"25006": ReadOnly, "42501": ReadOnly, "P0001": ReadOnly, "XX": Damaged},
}


def connect(
    url: str | sa.URL | Path, *, role: Literal["write", "read"] = "write", wait_s: float = 5
) -> sa.Engine:
    """Return what opens the database, for `begin`. Nothing is opened yet.

    Args:
        url: A path or ``sqlite:///FILE``, or ``postgresql://USER:PASSWORD@HOST/NAME``.
        role: "read" can change nothing.
        wait_s: How long to wait for others who are writing, in seconds.

    Raises:
        StoreError: It is none of these, or psycopg is not installed.
    """
    address = _address(url)
    if sqlite := address.drivername == "sqlite":
        arguments: dict[str, Any] = {"uri": True, "timeout": wait_s}
    else:
        only = "on" if role == "read" else "off"
        longest = max(1, round(wait_s * 1000))  # 0 would be for ever
        waits = f"-c timezone=UTC -c lock_timeout={longest}"
        arguments = {"options": f"{waits} -c default_transaction_read_only={only}"}
    try:
        engine = sa.create_engine(
            address, poolclass=sa.NullPool, hide_parameters=True, connect_args=arguments
        )
    except ImportError:
        raise StoreError("PostgreSQL needs one more package; install psycopg[binary]") from None
    if sqlite:
        _set_up_sqlite(engine, role)
    return engine


def _address(url: str | sa.URL | Path) -> sa.URL:
    if isinstance(url, Path):
        url = sa.URL.create("sqlite", database=str(url))
    with suppress(sa.exc.ArgumentError):
        made = sa.make_url(url)
        if made.get_backend_name() == "postgresql":
            return made.set(drivername="postgresql+psycopg")
        if made.get_backend_name() == "sqlite" and made.database not in (None, "", ":memory:"):
            return made.set(drivername="sqlite", database=str(Path(str(made.database)).absolute()))
    raise StoreError("not a database's address; write sqlite:///FILE or postgresql://HOST/NAME")


def _set_up_sqlite(engine: sa.Engine, role: str) -> None:
    mode, how = ("ro", "") if role == "read" else ("rw", " IMMEDIATE")

    @sa.event.listens_for(engine, "do_connect")
    def make_no_file(dialect: Any, record: Any, args: list[str], params: Any) -> None:
        args[0] = f"{Path(args[0]).as_uri()}?mode={mode}"

    @sa.event.listens_for(engine, "connect")
    def set_up(driver: Any, record: Any) -> None:
        driver.isolation_level = None  # else Python begins a transaction when it sees fit
        for pragma in (*PRAGMAS, ALSO[role]):
            driver.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin_at_once(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"BEGIN{how}")  # of two who read first, one could not write

    @sa.event.listens_for(engine, "handle_error")
    def go_no_further(context: sa.engine.ExceptionContext) -> None:
        # On a full disk SQLite undoes all since BEGIN; the next row would be kept on its own.
        if context.connection is not None:
            driver: Any = context.connection.connection.driver_connection
            context.is_disconnect = not driver.in_transaction


@contextmanager
def begin(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open the database for one piece of work; on any error nothing of it is kept.

    Raises:
        StoreError: One of those above.
        Exception: What your own code raises passes through.
    """
    with _plainly(), engine.begin() as connection:
        yield connection


@contextmanager
def _plainly() -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except (sa.exc.DBAPIError, sa.exc.PendingRollbackError) as error:
        raise _in_words(error) from None  # the driver's own text may hold a value


def create(engine: sa.Engine, metadata: sa.MetaData, *, format: int = FORMAT) -> None:  # noqa: A002
    """Make the database: a file that only you can open, or tables in PostgreSQL.

    Raises:
        Exists: There is one; it is left as it is.
        Missing: The folder is not there, or not yours to write in.
    """
    path = Path(str(engine.url.database)) if engine.dialect.name == "sqlite" else None
    if path:
        try:  # the files beside it, -wal and -shm, get the same rights from SQLite
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise Exists(f"{path.name} is there already; open it or take another name") from None
        except OSError as error:
            raise Missing(
                f"{path.name} cannot be made: {error.strerror}; choose a folder"
            ) from None
    try:
        with begin(engine) as connection:
            if sa.inspect(connection).has_table(META.name):
                raise Exists("there is a shop in this database already; open it instead")
            metadata.create_all(connection)
            note(connection, "format", str(format))
    except BaseException:
        if path:
            path.unlink()
        raise


def check(engine: sa.Engine, *, format: int = FORMAT, quick: bool = False) -> None:  # noqa: A002
    """Refuse a database that a newer kit made, or that is damaged.

    Args:
        engine: From `connect`.
        format: The newest that you know.
        quick: Look at the format only, not at every page (about 1 s for 100 MB).

    Raises:
        StoreError: `Newer`, `Damaged`, or `Missing`.
    """
    with begin(engine) as connection:
        if not sa.inspect(connection).has_table(META.name):
            raise Damaged("this is no shop's database; is it the right one?")
        found = noted(connection, "format") or ""
        if not (found.isascii() and found.isdecimal()):
            raise Damaged("the database does not say its format; restore the newest good backup")
        if int(found) > format:
            raise Newer(f"the database has format {found}, known is {format}; update the kit")
        if engine.dialect.name == "sqlite" and not quick:
            pages = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            if pages != ["ok"] or connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                raise Damaged(ADVICE[Damaged])


def settle(engine: sa.Engine) -> None:
    """Make sure that what was deleted is in none of the database's files. After an erasure.

    SQLite: empties the file ``-wal``. PostgreSQL: writes every table anew, which only their owner
    can do; its own log keeps old pages for a while longer.

    Raises:
        Locked: Somebody is reading or writing; try again.
    """
    with _plainly(), engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            driver: Any = connection.connection.driver_connection
            if driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise Locked("somebody has the database open; try again in a moment")
        else:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql("VACUUM FULL")


def note(connection: sa.Connection, key: str, value: str) -> None:
    """Write a fact about the database, such as the keyring's generation, over the one before."""
    connection.execute(sa.delete(META).where(META.c.key == key))
    connection.execute(sa.insert(META).values(key=key, value=value))


def noted(connection: sa.Connection, key: str) -> str | None:
    """Return what was noted, or None."""
    found: str | None = connection.scalar(sa.select(META.c.value).where(META.c.key == key))
    return found


def _in_words(error: sa.exc.SQLAlchemyError) -> StoreError:
    driver: Any = getattr(error, "orig", None)
    if code := getattr(driver, "sqlite_errorcode", None):
        family = SQLITE.get(code) or SQLITE.get(code & 0xFF, StoreError)
        code = driver.sqlite_errorname
    elif hasattr(driver, "sqlstate"):
        code = driver.sqlstate or ""
        family = POSTGRES.get(code) or POSTGRES.get(code[:2], StoreError)
    else:
        family, code = StoreError, type(driver or error).__name__
    return family(ADVICE[family] + (f" ({code})" if family is StoreError else ""))
