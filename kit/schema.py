# SPDX-License-Identifier: MIT-0
"""Lay out a shop's database so that it has no place for a field you never wrote down.

Copy: ``kit copy schema --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: schema.toml.

One section per table, parents before children::

    [sales]
    key = "sale_id"                          # text, never used again
    versioned = true                         # optional: people change these rows
    needed = ["sold_at"]                     # optional: may not be empty

    [sales.columns]
    sold_at = "timestamp"                    # one of TYPES

    [sales.links]                            # column to the key of another table, and what
    customer_id = ["customers", "unlink"]    # becomes of this row when that one is deleted

`metadata` turns it into SQLAlchemy tables, given how each column is protected. A column with no
protection is left out, keys excepted. A sealed one holds tokens, so it is bytes whatever its type::

                SQLite, STRICT                            PostgreSQL
    text        TEXT                                      text COLLATE "C"
    integer     INTEGER                                   bigint
    boolean     INTEGER, 0 or 1                           boolean
    date        TEXT, 2026-11-24                          date
    timestamp   TEXT, 2026-11-24T09:30:00.000000Z         timestamp with time zone
    sealed      BLOB                                      bytea

Both sort text by its bytes. "seal and index" adds the columns ``NAME_index``, the number to
search by, and ``NAME_index_key``, the key that made it. A versioned table gets ``version``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

DATA = Path(__file__).with_name("schema.toml")
FORMAT = 1
PROTECTIONS = ("open", "seal", "seal and index", "pseudonym")
ON_DELETE = {"refuse": "RESTRICT", "unlink": "SET NULL", "delete": "CASCADE"}
FOLLOWED = ("unlink", "delete")  # indexed: finding a customer's sales must not read all sales
NAME = re.compile(r"(?!kit_)[a-z][a-z0-9_]*")  # part of a token's place, so without a dot
SEALED = sa.LargeBinary()


class SchemaError(Exception):
    """The tables and the protections do not fit together, or a stored value is not of its type."""


class Flag(sa.types.TypeDecorator[bool]):
    """True or False; on SQLite 1 or 0, as STRICT tables know no boolean."""

    impl = sa.Boolean
    cache_ok = True

    @property
    def python_type(self) -> type[bool]:
        """What a value is in Python."""
        return bool

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return what a value is in the database."""
        return sa.Integer() if dialect.name == "sqlite" else sa.Boolean()

    def process_bind_param(self, value: bool | None, dialect: sa.Dialect) -> Any:
        """Write; the driver knows how."""
        return value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> bool | None:
        """Read."""
        return value if value is None else bool(value)


class Day(sa.types.TypeDecorator[date]):
    """A date; on SQLite text such as 2026-11-24."""

    impl = sa.Date
    cache_ok = True

    @property
    def python_type(self) -> type[date]:
        """What a value is in Python."""
        return date

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return what a value is in the database."""
        return sa.Text() if dialect.name == "sqlite" else sa.Date()

    def process_bind_param(self, value: date | None, dialect: sa.Dialect) -> Any:
        """Write."""
        return value if value is None or dialect.name != "sqlite" else value.isoformat()

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> date | None:
        """Read."""
        return _read(date.fromisoformat, value) if isinstance(value, str) else value


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware time, in UTC when it comes back; on SQLite text that sorts by time."""

    impl = sa.DateTime
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """What a value is in Python."""
        return datetime

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return what a value is in the database."""
        return sa.Text() if dialect.name == "sqlite" else sa.TIMESTAMP(timezone=True)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        """Write; a time without a zone is refused."""
        if value is None:
            return None
        if value.utcoffset() is None:
            raise SchemaError("a time without a zone; hand over an aware datetime")
        value = value.astimezone(UTC)
        if dialect.name != "sqlite":
            return value
        return value.isoformat("T", "microseconds").removesuffix("+00:00") + "Z"

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """Read."""
        if isinstance(value, str):
            value = _read(datetime.fromisoformat, value)
        return value if value is None else value.astimezone(UTC)


Value = TypeVar("Value")


def _read(parse: Callable[[str], Value], text: str) -> Value:
    with suppress(ValueError):  # it holds the text
        return parse(text)
    raise SchemaError("a date or time in the database is none; restore the newest good backup")


TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = Moment()
TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "text": TEXT,
    "integer": INTEGER,
    "boolean": Flag(),
    "date": Day(),
    "timestamp": MOMENT,
}


def metadata(protect: Mapping[str, str], *, path: Path = DATA) -> sa.MetaData:
    """Return the tables of a shop, parents first, and two of the kit's own.

    Args:
        protect: ``table.column`` to one of `PROTECTIONS`, as the inventory has it. Columns that it
            does not name are left out. What it names and the file does not have is passed over.
        path: Another shop's tables.

    Raises:
        SchemaError: A protection is unknown, a key is to be sealed, or the file is faulty.
    """
    with path.open("rb") as file:
        tables = tomllib.load(file)
    if tables.pop("format", None) != FORMAT:
        raise SchemaError(f"{path.name}: not of format {FORMAT}; was it made for another kit?")
    made = sa.MetaData()
    keys: dict[str, str] = {}
    for table, entry in tables.items():
        try:
            keys[table] = entry["key"]
            columns = list(_columns(table, entry, protect, keys))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise SchemaError(f"{path.name}, table {table}: cannot use {error}") from None
        sa.Table(table, made, *columns, sqlite_strict=True)
    _add_own(made)
    return made


def _columns(
    table: str, entry: Mapping[str, Any], protect: Mapping[str, str], keys: Mapping[str, str]
) -> Iterator[sa.Column[Any]]:
    links, needed = entry.get("links", {}), {entry["key"], *entry.get("needed", ())}
    if odd := [n for n in (table, *entry["columns"]) if not NAME.fullmatch(n)]:
        raise ValueError(f"the name {odd[0]}; small letters, digits and _ only, not kit_")
    if odd := sorted({*needed, *links} - {*entry["columns"]}):
        raise ValueError(f"{odd[0]}: it is not among the columns")
    for name, kind in entry["columns"].items():
        protection = protect.get(f"{table}.{name}")
        sealed = protection in ("seal", "seal and index")
        if protection not in (None, *PROTECTIONS):
            raise SchemaError(f"{table}.{name}: a protection is one of {', '.join(PROTECTIONS)}")
        if sealed and name in (entry["key"], *links):
            raise SchemaError(f"{table}.{name}: a key cannot be sealed; protect it as a pseudonym")
        if protection is None and name not in (entry["key"], *links):
            continue
        link, then = [], ""
        if name in links:
            parent, then = links[name]
            link = [sa.ForeignKey(f"{parent}.{keys[parent]}", ondelete=ON_DELETE[then])]
        yield sa.Column(
            name,
            SEALED if sealed else TYPES[kind],
            *link,
            primary_key=name == entry["key"],
            nullable=name not in needed,
            index=then in FOLLOWED,
            info={"protect": protection or "open"},
        )
        if protection == "seal and index":
            yield sa.Column(f"{name}_index", INTEGER, index=True)
            yield sa.Column(f"{name}_index_key", INTEGER)
    if entry.get("versioned"):
        yield sa.Column("version", INTEGER, nullable=False, server_default=sa.text("1"))


def _add_own(made: sa.MetaData) -> None:
    """Add facts about the database, and which row of which file became which row here."""
    imported = ("source", "kind", "vendor_id", "table_name", "row_id", "file_sha256")
    columns = [
        sa.Column(n, TEXT, primary_key=i < 3, nullable=False) for i, n in enumerate(imported)
    ]
    columns.append(sa.Column("at", MOMENT, nullable=False))
    sa.Table("kit_imported", made, *columns, sqlite_strict=True)
    facts = sa.Column("key", TEXT, primary_key=True), sa.Column("value", TEXT, nullable=False)
    sa.Table("kit_meta", made, *facts, sqlite_strict=True)
