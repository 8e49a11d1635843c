# SPDX-License-Identifier: MIT-0
"""Add, find and change rows without storing a plain e-mail by mistake or losing a colleague's edit.

Copy: ``kit copy rows --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

A connection (from store.py, or any of SQLAlchemy's), a table (from schema.py) and rows as dicts::

    rows.load(connection, customers, batches)              # 100,000 in a second or two
    row = rows.find(connection, customers, {"phone_index": [n]})[0]
    rows.change(connection, customers, row["customer_id"], {"note": token},
                version=row["version"])                    # Conflict if somebody was faster

Every value is looked at before the database sees it: its type, half characters, length. A column
that its table marks as sealed takes tokens only. Sealing is done before, opening after; no key
comes here. Each call does all of its work or, on an error, nothing, and the connection goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa

KINDS = {
    str: "text",
    int: "a whole number",
    bool: "True or False",
    date: "a date",
    datetime: "a time",
    bytes: "bytes",
}
LONGEST_CELL = 1 << 20  # bytes; what is longer is a file and belongs elsewhere
LONGEST_KEY = 255  # characters; PostgreSQL cannot index more than 2,704 bytes
SHORTEST_TOKEN = 22  # bytes, see encrypt.py
MOST_VALUES = 10_000  # in one search; SQLite takes 32,766
AT_ONCE = 10_000  # rows
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SMALLEST, LARGEST = -(2**63), 2**63 - 1
TOO_LONG = f"more than {LONGEST_CELL:,} bytes; keep it as a file"
VERSION = "version"

Row: TypeAlias = dict[str, Any]
Progress: TypeAlias = Callable[[int, int | None], None]


class RowsError(Exception):
    """Base of the errors below. Messages never hold a value."""


class BadRow(RowsError):
    """A value does not fit its column, or a row that it names is not there."""


class Exists(RowsError):
    """There is a row with this key already."""


class NotThere(RowsError):
    """There is no such row."""


class InUse(RowsError):
    """Other rows name the row, so it stays."""


class Conflict(RowsError):
    """Somebody else changed the row after you read it."""


def add(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Add a row.

    Raises:
        Exists: There is one with its key.
        BadRow: A value does not fit, or a row that it names is not there.
    """
    load(connection, table, [[row]])


def load(
    connection: sa.Connection,
    table: sa.Table,
    batches: Iterable[Any],
    *,
    progress: Progress | None = None,
) -> int:
    """Add many rows, or none of them if one is refused. Return how many.

    Args:
        connection: Where a transaction has begun; you commit it.
        table: Where they go.
        batches: Arrow tables or record batches, mappings of column name to a list of values, or
            lists of rows, mixed as you like. Columns that a batch lacks stay empty.
        progress: Called now and then with the rows so far, and None.

    Raises:
        Exists: As for `add`.
        BadRow: As for `add`; where a value does not fit, it names the row, counted from 1.
    """
    done = 0
    dialect, (quote, mark) = connection.dialect, _spelled(connection)
    with _all_or_nothing(connection, table):
        for piece in (piece for batch in batches for piece in _pieces(batch)):
            named = {_column(table, name): cells for name, cells in _by_column(piece).items()}
            _check_lengths(table, named)
            for column, cells in named.items():
                _check(column, cells, done)
            written = [_written(column, cells, dialect) for column, cells in named.items()]
            rows = [*zip(*written, strict=True)]
            if rows:
                names = ", ".join(map(quote.format_column, named))
                connection.exec_driver_sql(  # the driver's own loop; half the time of SQLAlchemy's
                    f"INSERT INTO {quote.format_table(table)} ({names}) "  # noqa: S608 (our names)
                    f"VALUES ({', '.join([mark] * len(named))})",
                    rows,
                )
            done += len(rows)
            if progress:
                progress(done, None)
    return done


def get(connection: sa.Connection, table: sa.Table, key: Any) -> Row:
    """Return the row with this key, a tuple if the key has several columns, or raise `NotThere`."""
    row = connection.execute(sa.select(table).where(_is(table, key))).mappings().first()
    if row is None:
        raise NotThere(f"{table.name}: no row with this key; was it deleted?")
    return dict(row)


def find(
    connection: sa.Connection,
    table: sa.Table,
    where: Mapping[str, Any],
    *,
    columns: Iterable[str] = (),
    limit: int | None = None,
) -> list[Row]:
    """Return the rows, sorted by key, in which every column named in *where* has its value.

    A list stands for any one of its values, None for an empty cell. Search a sealed column by the
    numbers of its blind index, ``{"email_index": [n1, n2]}``, one for each key in use. Then
    **unseal and compare**, because other rows have the same number.

    Args:
        connection: To read from.
        table: Which table.
        where: Column name to value or values. Empty: all rows.
        columns: Only these; otherwise all.
        limit: At most so many rows.
    """
    shown: list[Any] = [_column(table, name) for name in columns] or [table]
    query = sa.select(*shown).order_by(*table.primary_key.columns).limit(limit)
    for name, wanted in where.items():
        column = _column(table, name)
        values = [*wanted] if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]
        if len(values) > MOST_VALUES:
            raise BadRow(f"{table.name}.{name}: more than {MOST_VALUES:,} values; search in parts")
        _check(column, values)
        full = [value for value in values if value is not None]
        empty = column.is_(None) if len(full) < len(values) else sa.false()
        query = query.where(column.in_(full) | empty)
    result = connection.execute(query)
    names = [*result.keys()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]  # faster than mappings


def change(
    connection: sa.Connection,
    table: sa.Table,
    key: Any,
    changes: Mapping[str, Any],
    *,
    version: int | None = None,
) -> None:
    """Change some columns of one row.

    Args:
        connection: Where a transaction has begun; you commit it.
        table: Which table.
        key: The row's key. It stays: tokens are bound to it.
        changes: Column name to new value.
        version: The row's version when you read it, in a table that has versions; it grows by 1.

    Raises:
        Conflict: Somebody changed the row since.
        NotThere: There is no such row.
        BadRow: A value does not fit, or a row that it names is not there.
    """
    values = {name: [value] for name, value in changes.items()}
    change_many(connection, table, [key], values, versions=None if version is None else [version])


def change_many(
    connection: sa.Connection,
    table: sa.Table,
    keys: Sequence[Any],
    changes: Mapping[str, Sequence[Any]],
    *,
    versions: Sequence[int] | None = None,
) -> None:
    """Change the same columns of many rows, or of none of them if one is refused.

    Args:
        connection: Where a transaction has begun; you commit it.
        table: Which table.
        keys: The rows' keys. They stay.
        changes: Column name to new values, one for each key.
        versions: The rows' versions when you read them, one for each key, as for `change`.

    Raises:
        Conflict: Somebody changed one of the rows since, or it is named twice with its version.
        NotThere: As for `change`.
        BadRow: As for `change`; where a value does not fit, it names the row, counted from 1.
    """
    named = {_column(table, name): cells for name, cells in changes.items()}
    where, counted = _by_key(table, keys), dict[sa.Column[Any], Sequence[Any]]()
    for column in named:
        if column.primary_key or column.name == VERSION:
            raise BadRow(f"{table.name}.{column.name} cannot be changed; add a new row instead")
    if VERSION in table.c:
        if versions is None:
            raise BadRow(f"{table.name}: hand over the version that the row had as you read it")
        counted[table.c[VERSION]] = versions
    if not named and not counted:
        raise BadRow(f"{table.name}: nothing to change; name a column")
    given = {**named, **where, **counted}
    if {*map(len, given.values())} != {len(keys)}:
        raise BadRow(f"{table.name}: keys, values and versions differ in number; was one cut?")
    if not keys:
        return
    for column, cells in (named | counted).items():
        _check(column, cells, 0 if len(keys) > 1 else None)
    quote, mark = _spelled(connection)
    new = [f"{quote.format_column(c)} = {mark}" for c in named]
    new += [f"{quote.format_column(c)} = {quote.format_column(c)} + 1" for c in counted]
    same = [f"{quote.format_column(c)} = {mark}" for c in (*where, *counted)]
    written = [_written(column, cells, connection.dialect) for column, cells in given.items()]
    with _all_or_nothing(connection, table):
        changed = connection.exec_driver_sql(
            f"UPDATE {quote.format_table(table)} SET {', '.join(new)} "  # noqa: S608 (our names)
            f"WHERE {' AND '.join(same)}",
            [*zip(*written, strict=True)],
        ).rowcount
        if changed != len(keys):
            _explain(connection, table, keys)


def delete(
    connection: sa.Connection, table: sa.Table, key: Any, *, version: int | None = None
) -> None:
    """Delete one row, and what its table says goes with it.

    Raises:
        InUse: Rows name it that do not go with it.
        NotThere: There is no such row.
        Conflict: A *version* was given, and somebody changed the row since.
    """
    query = sa.delete(table).where(_is(table, key))
    if version is not None:
        query = query.where(table.c[VERSION] == version)
    with _all_or_nothing(connection, table, linked=InUse):
        deleted = connection.execute(query).rowcount
    if not deleted:
        _explain(connection, table, [key])


def _explain(connection: sa.Connection, table: sa.Table, keys: Sequence[Any]) -> None:
    for key in keys:
        get(connection, table, key)
    raise Conflict(
        f"{table.name}: somebody changed this row after you read it; "
        "read it again, look at what is new, then make your change"
    )


@contextmanager
def _all_or_nothing(
    connection: sa.Connection, table: sa.Table, *, linked: type[RowsError] = BadRow
) -> Iterator[None]:
    """Set a savepoint, so that after an error the caller may go on with the connection."""
    try:
        with connection.begin_nested():
            yield
    except (sa.exc.IntegrityError, sa.exc.DataError) as error:
        failed = _in_words(error.orig, table.name, linked)
        if failed is None:
            raise
        raise failed from None  # the driver's own text may hold a value


def _in_words(driver: Any, table: str, linked: type[RowsError]) -> RowsError | None:
    """Return an error of ours, or None if a trigger of somebody else's said no."""
    code = getattr(driver, "sqlite_errorname", None) or driver.sqlstate
    if code in ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE", "23505"):
        return Exists(f"{table}: a row with this key is there already; change that one")
    trigger = code == "SQLITE_CONSTRAINT_TRIGGER"  # RESTRICT too is one to SQLite
    if code in ("SQLITE_CONSTRAINT_FOREIGNKEY", "23503", "23001") or (
        trigger and str(driver).startswith("FOREIGN KEY")
    ):
        if linked is InUse:
            return InUse(f"{table}: other rows name this one; delete or change those first")
        return BadRow(f"{table}: a row that it names is not there; add that one first")
    if trigger:
        return None
    return BadRow(f"{table}: a value is missing or does not fit; compare with the table's columns")


def _is(table: sa.Table, key: Any) -> sa.ColumnElement[bool]:
    return sa.and_(*(column == cells[0] for column, cells in _by_key(table, [key]).items()))


def _by_key(table: sa.Table, keys: Sequence[Any]) -> dict[sa.Column[Any], Sequence[Any]]:
    """Return the columns of the key, each with its part of every key."""
    columns = [*table.primary_key.columns]
    parts = [key if isinstance(key, tuple) else (key,) for key in keys]
    if any(len(part) != len(columns) or None in part for part in parts):
        raise BadRow(f"{table.name}: the key is {', '.join(c.name for c in columns)}")
    made: dict[sa.Column[Any], Sequence[Any]]
    made = {column: [part[at] for part in parts] for at, column in enumerate(columns)}
    for column, cells in made.items():
        _check(column, cells)
    return made


def _spelled(connection: sa.Connection) -> tuple[Any, str]:
    """Return what quotes names for this database, and what stands for a value."""
    dialect = connection.dialect
    return dialect.identifier_preparer, "?" if dialect.name == "sqlite" else "%s"


def _column(table: sa.Table, name: str) -> sa.Column[Any]:
    if name not in table.c:  # and do not repeat it: the header of a stray column may be a value
        raise BadRow(f"{table.name}: no such column; it has {', '.join(table.c.keys())}")
    return table.c[name]


def _pieces(batch: Any) -> Iterator[Any]:
    """Cut Arrow tables and lists, so that only a part is Python objects at any time."""
    if isinstance(batch, Mapping):
        yield batch
    elif hasattr(batch, "num_rows"):
        for start in range(0, batch.num_rows, AT_ONCE):
            piece = batch.slice(start, AT_ONCE)
            columns = zip(piece.schema.names, piece.columns, strict=True)
            yield {name: _values(column) for name, column in columns}
    else:
        for start in range(0, len(batch), AT_ONCE):
            yield batch[start : start + AT_ONCE]


def _values(column: Any) -> list[Any]:
    """Return an Arrow column as a list; times in a fifth of Arrow's, which asks for each zone."""
    if str(column.type) != "timestamp[us, tz=UTC]":
        return column.to_pylist()  # type: ignore[no-any-return]
    numbers = column.cast("int64").to_pylist()
    try:
        return [None if n is None else EPOCH + timedelta(microseconds=n) for n in numbers]
    except OverflowError:
        raise BadRow("a time is beyond the calendar; correct it first") from None


def _by_column(batch: Any) -> Mapping[str, Sequence[Any]]:
    if isinstance(batch, Mapping):
        return batch
    names = dict.fromkeys(name for row in batch for name in row)
    return {name: [row.get(name) for row in batch] for name in names}


def _check_lengths(table: sa.Table, named: Mapping[sa.Column[Any], Sequence[Any]]) -> None:
    if len({*map(len, named.values())}) > 1:
        raise BadRow(f"{table.name}: the columns of a batch differ in length; was one cut?")
    for column in table.columns:
        given = column.server_default is not None or column.default is not None
        if not column.nullable and not given and column not in named:
            raise BadRow(f"{table.name}.{column.name} is needed; add it to every row")


def _check(column: sa.Column[Any], cells: Sequence[Any], done: int | None = None) -> None:
    if _reason(column, cells):
        faults = ((at, _reason(column, [cell])) for at, cell in enumerate(cells))
        at, reason = next((at, reason) for at, reason in faults if reason)
        row = "" if done is None else f", row {done + at + 1}"
        raise BadRow(f"{column.table.name}.{column.name}{row}: {reason}")


def _reason(column: sa.Column[Any], cells: Sequence[Any]) -> str | None:
    """Say why one of the cells does not fit. No Python code runs per cell, as there are many."""
    full: list[Any] = [cell for cell in cells if cell is not None]
    if len(full) < len(cells) and not column.nullable:
        return "may not be empty"
    kind = column.type.python_type
    if not full or kind not in KINDS:
        return None
    if {*map(type, full)} != {kind}:
        return f"not {KINDS[kind]}"
    if kind is str:
        return _reason_of_text(full, key=bool(column.primary_key or column.foreign_keys))
    if kind is int and not SMALLEST <= min(full) <= max(full) <= LARGEST:
        return "a whole number of more than 64 bits"
    if kind is datetime and any(c.utcoffset() is None or not 1 < c.year < 9999 for c in full):
        return "a time without its zone, or at an end of the calendar"
    if kind is bytes:
        if max(map(len, full)) > LONGEST_CELL:
            return TOO_LONG
        sealed = column.info.get("protect") in ("seal", "seal and index")
        if sealed and ({c[:1] for c in full} != {b"\x01"} or min(map(len, full)) < SHORTEST_TOKEN):
            return "not a token; seal the value first"
    return None


def _reason_of_text(full: list[str], *, key: bool) -> str | None:
    joined = "".join(full)
    if "\0" in joined:
        return "holds a NUL character; remove it"
    try:
        joined.encode()
    except UnicodeEncodeError:  # it holds the text
        return "holds half a character; read the file with its right encoding"
    longest = max(full, key=len)
    if len(longest) > LONGEST_CELL // 4 and max(len(c.encode()) for c in full) > LONGEST_CELL:
        return TOO_LONG
    if key and not (all(full) and len(longest) <= LONGEST_KEY):
        return f"a key has 1 to {LONGEST_KEY} characters"
    return None


def _written(column: sa.Column[Any], cells: Sequence[Any], dialect: sa.Dialect) -> Sequence[Any]:
    """Return the cells as the driver takes them."""
    write = column.type.dialect_impl(dialect).bind_processor(dialect)
    return [*map(write, cells)] if write else cells
