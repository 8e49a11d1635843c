# SPDX-License-Identifier: MIT-0
"""A shop's folder: its settings, inventory, keys and database, opened together.

Everything personal is sealed before it reaches the database and opened after it has left it; every
look at it is logged in the same transaction, before the answer is given.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import phonenumbers
import sqlalchemy as sa

from kit import (
    audit,
    blind_index,
    history,
    kinds,
    ledger,
    passphrase,
    request_book,
    roles,
    rows,
    schema,
    settings,
    tamper,
    trash,
)
from kit import store as database
from kit.audit import Log
from kit.blind_index import BlindIndex
from kit.encrypt import Cipher
from kit.inventory import Inventory
from kit.keyfile import KeyFile, Passphrase
from kit.keys import DEFAULT, Key, Keyring
from kit.settings import Settings

if TYPE_CHECKING:
    from kit import watch

SETTINGS, INVENTORY, KEYRING = "shop.toml", "inventory.toml", "keyring.json"
LEDGER = "erasures.jsonl"
FOLDERS = ("backups", "requests", "reports", "records")
STAND_INS = "pseudonyms:imports"  # makes ids of customers whom a till knows by e-mail only
INDEX_KINDS = {"email": "e-mail", "phone": "phone", "name": "name", "last_name": "name"}
SEALED = ("seal", "seal and index")
TELLING = {"payments": ("card_last4",)}  # in the clear, and yet of one person
CUSTOMERS = "customers"
NAMES = ("last_name", "first_name", "name")
EXTENSION = ";ext="  # stands behind a telephone number that has one; it is found without
OWN_PURPOSES = ("accounts", "proof")  # of what the kit itself writes in the log


class ShopError(Exception):
    """Base of the errors below."""


class NotAShop(ShopError):
    """The folder is no shop's, or is one already."""


class NotAllowed(ShopError):
    """The role does not allow it. It was logged."""


class NoSuchCustomer(ShopError):
    """Nobody was found."""


@dataclass(frozen=True)
class Seen:
    """One customer as a role may see them: what is hidden is masked."""

    id: str
    fields: Mapping[str, Any]
    points: int | None
    sales: int


class Shop:
    """An open shop. Use it in a `with` block, or call `close`."""

    def __init__(
        self, folder: Path, said: Settings, inventory: Inventory, keyring: Keyring
    ) -> None:
        self.folder, self.settings, self.inventory, self.keyring = folder, said, inventory, keyring
        self.protect = {name: field.protect for name, field in inventory.fields.items()}
        self.see = {name: field.see for name, field in inventory.fields.items()}
        self.tables = schema.metadata(self.protect)
        for tool in (audit, history, trash):
            tool.table(self.tables)
        sa.Table(
            "kit_imports",
            self.tables,
            sa.Column("file_sha256", schema.TEXT, primary_key=True),
            sa.Column("layout", schema.TEXT, nullable=False),
            sa.Column("rows", schema.INTEGER, nullable=False),
            sa.Column("at", schema.MOMENT, nullable=False),
            sqlite_strict=True,
        )
        self.engine = database.connect(_address(folder, said.database))
        self.cipher = Cipher(keyring, kinds=kinds)
        self.trash = trash.Trash(self.tables, self.cipher, keep_days=said.undo_days)
        self.ledger = ledger.Ledger(folder / LEDGER, _oldest(keyring, "ledger").secret)
        self.index = BlindIndex(keyring)
        self.log = Log(
            key=_oldest(keyring, "audit").secret,  # or a customer's older entries are not found
            sign=keyring.sign,
            public_key=keyring.public_key(),
            roles=settings.ROLES,
            purposes=[*inventory.purposes, *OWN_PURPOSES],
        )

    @property
    def changed_by_people(self) -> list[str]:
        """The tables whose rows people change; what a till wrote stays as it is."""
        return [t.name for t in self.tables.sorted_tables if rows.VERSION in t.c]

    @classmethod
    def init(
        cls,
        folder: Path,
        secret: str,
        *,
        name: str,
        time_zone: str,
        region: str = "US",
        owner: str = "owner",
        database_url: str = "sqlite:///shop.sqlite",
        now: datetime,
    ) -> Shop:
        """Make a shop's folder: settings, inventory to start from, keys, empty database.

        Raises `NotAShop` if the folder holds files, `TooWeak` if the passphrase would be guessed.
        """
        if folder.exists() and any(folder.iterdir()):
            raise NotAShop(f"{folder.name} is not empty; choose a new folder")
        text = settings.write(
            name=name, time_zone=time_zone, region=region, owner=owner, database=database_url
        )
        passphrase.check(secret, also=[name, folder.resolve().name])
        existed = folder.exists()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            for part in FOLDERS:
                (folder / part).mkdir(mode=0o700)
            (folder / SETTINGS).write_text(text, encoding="utf-8")
            shutil.copyfile(Path(schema.__file__).with_name(INVENTORY), folder / INVENTORY)
            keys = KeyFile(folder / KEYRING, Passphrase(secret))
            keyring = Keyring.create(keys, now=now, purposes=(*DEFAULT, STAND_INS))
            shop = cls(folder, settings.load(folder / SETTINGS), Inventory.default(), keyring)
            database.create(shop.engine, shop.tables)
            with database.begin(shop.engine) as connection:
                history.install(connection, shop.tables, tables=shop.changed_by_people)
                request_book.create(connection)  # later its user may have no right to
            with shop.writing(owner, now) as connection:
                shop.note(connection, owner, "settings", "accounts", now)
        except BaseException:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if not existed:
                folder.rmdir()
            raise
        return shop

    @classmethod
    def open(cls, folder: Path, secret: str) -> Shop:
        """Open a shop's folder with its passphrase.

        Raises `SettingsError` if there is none, or its settings are faulty.
        """
        said = settings.load(folder / SETTINGS)
        keyring = Keyring.open(KeyFile(folder / KEYRING, Passphrase(secret)))
        shop = cls(folder, said, Inventory.load(folder / INVENTORY), keyring)
        database.check(shop.engine, quick=True)
        shop.expect_generation()
        return shop

    def expect_generation(self) -> None:
        """Refuse a keyring older than the one that the database was last used with."""
        with database.begin(self.engine) as connection:
            noted = int(database.noted(connection, "keyring generation") or 0)
            if noted > self.keyring.generation:
                raise NotAShop(
                    f"the keyring has seen {self.keyring.generation} changes, the database "
                    f"{noted}: an older keyring was put back; look for the newer one"
                )
            if noted < self.keyring.generation:
                database.note(connection, "keyring generation", str(self.keyring.generation))

    # ---- writing and sealing

    @contextmanager
    def writing(self, actor: str, now: datetime) -> Iterator[sa.Connection]:
        """Begin a change by somebody: all of it is kept with its log entry, or nothing."""
        with database.begin(self.engine) as connection:
            with history.acting(connection, actor, now=now):
                yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open the database to read; a look at somebody's data is logged with `writing`."""
        with database.begin(self.engine) as connection:
            yield connection

    def note(
        self,
        connection: sa.Connection,
        actor: str,
        action: str,
        purpose: str,
        now: datetime,
        **more: Any,
    ) -> None:
        """Log what somebody does, in the transaction of the doing."""
        role = self.settings.role(actor)
        self.log.append(
            connection, now=now, actor=actor, role=role, purpose=purpose, action=action, **more
        )

    def sealed_columns(self, table: str) -> list[str]:
        """Return which columns of a table hold tokens."""
        return [c.name for c in self.tables.tables[table].c if c.info.get("protect") in SEALED]

    def seal(
        self, table: str, columns: Mapping[str, Sequence[Any]], ids: Sequence[str]
    ) -> dict[str, Sequence[Any]]:
        """Return columns as the database takes them: tokens, and numbers to search by."""
        made = dict(columns)
        for name in set(self.sealed_columns(table)) & set(columns):
            cells = columns[name]
            made[name] = self.cipher.seal_column(cells, table=table, column=name, rows=ids)
            if self.protect[f"{table}.{name}"] == "seal and index":
                numbers = self.numbers(table, name, cells)
                made[f"{name}_index"] = numbers
                key = self.index.key_id
                made[f"{name}_index_key"] = [None if n is None else key for n in numbers]
        return made

    def opened(self, table: str, found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return rows as people read them: values in place of tokens, no numbers to search by."""
        key = next(iter(self.tables.tables[table].primary_key)).name
        ids = [row[key] for row in found]
        columns = {name: [row[name] for row in found] for name in (found[0] if found else ())}
        for name in set(self.sealed_columns(table)) & set(columns):
            columns[name] = self.cipher.unseal_column(
                columns[name], table=table, column=name, rows=ids
            )
        kept = [n for n in columns if "protect" in self.tables.tables[table].c[n].info]
        return [
            dict(zip(kept, cells, strict=True))
            for cells in zip(*(columns[name] for name in kept), strict=True)
        ]

    def numbers(
        self, table: str, name: str, cells: Sequence[Any], key_id: int | None = None
    ) -> list[int | None]:
        """Return the numbers that a sealed column's values are found by."""
        kind = INDEX_KINDS.get(name, "exact")
        bits = self.settings.index_bits
        if kind == "phone":
            cells = [cell and cell.partition(EXTENSION)[0] for cell in cells]
        return self.index.numbers(f"{table}.{name}", cells, kind=kind, bits=bits, key_id=key_id)

    # ---- finding

    def find(self, text: str, *, actor: str, purpose: str, now: datetime) -> list[Seen]:
        """Return the customers with this e-mail address, telephone, name or number.

        Sealed columns are found by their blind index, and every hit is opened and compared. What
        *actor*'s role may not see is masked. The search is logged, and so is each person found. A
        role that sees nobody's name is `NotAllowed`, and that is logged too.
        """
        role = self._allow(text, actor, purpose, now)
        with self.writing(actor, now) as connection:
            found = self.opened(CUSTOMERS, self.candidates(connection, text))
            self.note(connection, actor, "search", purpose, now, filter=text, count=len(found))
            for row in found:
                self.note(connection, actor, "look", purpose, now, subject=row["customer_id"])
            return [self._seen(connection, row, role) for row in found]

    def _allow(self, text: str, actor: str, purpose: str, now: datetime) -> str:
        """Return the role of somebody who may look for customers; note and refuse who may not."""
        if not 0 < len(text.strip()) <= rows.LONGEST_KEY:
            raise NoSuchCustomer("nobody to look for; say an e-mail address, telephone or name")
        role = self.settings.role(actor)
        sight = roles.sight(role, self.tables.tables[CUSTOMERS], self.see)
        if not any(sight.get(name) for name in NAMES):
            with self.writing(actor, now) as connection:
                self.note(connection, actor, "search", purpose, now, filter=text, refused=True)
            raise NotAllowed(f"a {role} looks up nobody; ask the owner. It was noted")
        return role

    def candidates(self, connection: sa.Connection, text: str) -> list[dict[str, Any]]:
        """Return the stored rows of customers who fit *text*."""
        table, text = self.tables.tables[CUSTOMERS], text.strip()
        wanted = blind_index.normalise("name", text)
        if "@" in text and "email" in table.c:
            return self._by_index(connection, "email", text)
        if (phone := self._phone(text)) and "phone" in table.c:
            return self._by_index(connection, "phone", phone)
        if by_id := rows.find(connection, table, {"customer_id": text}):
            return by_id
        cells: list[Any] = [table.c[name] for name in NAMES if name in table.c]
        if {"first_name", "last_name"} <= {*table.c.keys()}:
            cells.append(sa.func.coalesce(cells[1], "") + " " + sa.func.coalesce(cells[0], ""))
        query = sa.select(table.c.customer_id, *cells)
        if text.isascii():  # no database folds José: then all are looked at, 10 us each
            query = query.where(sa.or_(*(sa.func.lower(cell) == wanted for cell in cells)))
        ids = [
            key
            for key, *names in connection.execute(query)
            if wanted in {blind_index.normalise("name", name) for name in names if name}
        ]
        return rows.find(connection, table, {"customer_id": ids})

    def _by_index(self, connection: sa.Connection, name: str, text: str) -> list[dict[str, Any]]:
        """Search under every index key in use: while a rotation runs there are two."""
        numbers = [self.numbers(CUSTOMERS, name, [text], key.id)[0] for key in self.index_keys()]
        table = self.tables.tables[CUSTOMERS]
        where = {f"{name}_index": [n for n in numbers if n is not None]}
        hits = rows.find(connection, table, where)
        kind = INDEX_KINDS[name]
        wanted = blind_index.normalise(kind, text)
        opened = self.opened(CUSTOMERS, hits)
        return [
            row
            for row, plain in zip(hits, opened, strict=True)
            if plain[name]
            and blind_index.normalise(kind, plain[name].partition(EXTENSION)[0]) == wanted
        ]

    def index_keys(self) -> Iterable[Key]:
        """Return the keys that numbers in the database may be made with."""
        return [
            key
            for key in self.keyring.keys
            if key.purpose == "index" and key.state in ("primary", "enabled")
        ]

    def _phone(self, text: str) -> str | None:
        if sum(c.isdigit() for c in text) >= 7 and not any(c.isalpha() for c in text):
            with suppress(phonenumbers.NumberParseException):
                number = phonenumbers.parse(text, self.settings.region)
                return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
        return None

    def one(self, connection: sa.Connection, text: str) -> dict[str, Any]:
        """Return the stored row of the one customer who fits; refuse none and many."""
        found = self.candidates(connection, text)
        if len(found) != 1:
            said = f"{len(found)} customers fit; say the number of one" if found else "nobody fits"
            raise NoSuchCustomer(f"{said}: kit find shows who is there")
        return found[0]

    def _seen(self, connection: sa.Connection, row: Mapping[str, Any], role: str) -> Seen:
        tables = self.tables.tables
        mine = {"customer_id": row["customer_id"]}
        held = tables["loyalty"].c.get("points", sa.cast(None, schema.INTEGER))
        points = sa.select(sa.func.sum(held)).select_from(tables["loyalty"]).filter_by(**mine)
        sold = sa.select(sa.func.count()).select_from(tables["sales"]).filter_by(**mine)
        shown = roles.masked(row, role, self.tables.tables[CUSTOMERS], self.see)
        return Seen(
            row["customer_id"], shown, connection.scalar(points), connection.scalar(sold) or 0
        )

    # ---- the log

    def who(
        self, text: str, *, actor: str, now: datetime
    ) -> tuple[list[dict[str, Any]], list[history.Change]]:
        """Return who looked at a customer's data, and who changed what; for who may `find` them."""
        self._allow(text, actor, "proof", now)
        with self.writing(actor, now) as connection:
            subject = self.one(connection, text)["customer_id"]
            self.note(connection, actor, "look", "proof", now, subject=subject)
            told = [
                {k: entry[k] for k in ("at", "actor", "role", "purpose", "action")}
                for entry in audit.entries(connection, subject=self.log.subject(subject))
            ]
            return told, history.of(connection, CUSTOMERS, subject)

    def verify_log(self, checkpoints: Iterable[str] = ()) -> tamper.Verified:
        """Check every entry of the log, and against checkpoints that were kept elsewhere."""
        keys = [
            self.keyring.public_key(key.id)
            for key in self.keyring.keys
            if key.purpose == "signing" and key.state in ("primary", "enabled")
        ]
        with database.begin(self.engine) as connection:
            return tamper.verify(connection, public_keys=keys, checkpoints=list(checkpoints))

    def checkpoint(self, *, actor: str, now: datetime) -> audit.Checkpoint:
        """Sign where the log stands; keep the answer outside the shop."""
        with self.writing(actor, now) as connection:
            self.note(connection, actor, "verify", "proof", now)
            return self.log.checkpoint(connection, now=now)

    def unusual(self, *, since: datetime, now: datetime) -> list[watch.Finding]:
        """Return what is unusual in who looked at whom since a moment."""
        from kit import watch  # pandas, slow to load

        with database.begin(self.engine) as connection:
            entries = list(audit.entries(connection, until=now))
        return watch.unusual(entries, zone=self.settings.zone, since=since) if entries else []

    def files(self) -> list[Path]:
        """Return the files of the database, none for PostgreSQL."""
        if self.engine.dialect.name != "sqlite":
            return []
        path = Path(str(self.engine.url.database))
        return [path.with_name(path.name + end) for end in ("", "-wal", "-shm", "-journal")]

    def close(self) -> None:
        """Close the database."""
        self.engine.dispose()

    def __enter__(self) -> Shop:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def noted_generation(folder: Path) -> int:
    """Return how many changes of the keyring the database has seen; no key is needed."""
    engine = database.connect(_address(folder, settings.load(folder / SETTINGS).database))
    with database.begin(engine) as connection:
        return int(database.noted(connection, "keyring generation") or 0)


def _oldest(keyring: Keyring, purpose: str) -> Key:
    """Return the first key of a purpose, for hashes that must stay the same for ever."""
    return next(key for key in keyring.keys if key.purpose == purpose and key.secret)


def _address(folder: Path, said: str) -> str | Path:
    """Return the database's address; a relative SQLite path starts in the shop's folder."""
    url = sa.make_url(said)
    if url.get_backend_name() == "sqlite" and url.database:
        return folder.resolve() / url.database
    return os.path.expandvars(said)
