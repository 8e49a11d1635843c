# SPDX-License-Identifier: MIT-0
"""The keys in a shop's folder, and the files and tables that they seal.

Here the tools for keys meet those for tables; `kit keys`, `kit seal` and `kit unseal` call it.
A folder holds ``keyring.json``, locked by the passphrase; ``keyring-recovery.age``, the same keys
for the day when the passphrase is lost; and ``recovery.pub``, the public half of the paper key.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyrage

from kit import delimited, encrypt, frames, kinds, passphrase, recovery, sheets, sources, unpack
from kit.encrypt import Cipher
from kit.keyfile import KeyFile, Passphrase
from kit.keys import Keyring

KEYRING, COPY, PUBLIC = "keyring.json", "keyring-recovery.age", "recovery.pub"
READERS = (sheets, unpack, delimited)
SUFFIX = ".sealed"


class VaultError(Exception):
    """Base of the errors below. Messages never hold a value, a key or a passphrase."""


class NoKeyring(VaultError):
    """The folder has no keyring, or no recovery copy."""


class WontSeal(VaultError):
    """The table or its columns do not fit; nothing was written."""


@dataclass(frozen=True)
class Sealed:
    """What was done to a table."""

    path: Path
    rows: int
    columns: tuple[str, ...]
    table: str  # part of every token's place: needed again to open it


def create(folder: Path, secret: str, *, now: datetime) -> Keyring:
    """Make a keyring in a folder, with one key for each purpose.

    Raises:
        TooWeak: The passphrase would be guessed.
        VaultError: There is no such folder.
    """
    if not folder.is_dir():
        raise VaultError(f"{folder}: no such folder; make it, or a whole shop's: kit init {folder}")
    passphrase.check(secret, also=[folder.resolve().name])
    return Keyring.create(KeyFile(folder / KEYRING, Passphrase(secret)), now=now)


def open_keyring(folder: Path, secret: str) -> Keyring:
    """Open the keyring of a folder."""
    expect(folder)
    return Keyring.open(KeyFile(folder / KEYRING, Passphrase(secret)))


def change_passphrase(folder: Path, secret: str, new: str) -> None:
    """Lock the same keys with a new passphrase."""
    expect(folder)
    passphrase.check(new, also=[folder.resolve().name])
    file = KeyFile(folder / KEYRING, Passphrase(secret))
    file.load()
    file.change_passphrase(Passphrase(new))


def has_keyring(folder: Path) -> bool:
    """Tell whether the folder has a keyring."""
    return (folder / KEYRING).exists()


def expect(folder: Path) -> None:
    """Refuse a folder without a keyring, before anybody types a passphrase."""
    if not has_keyring(folder):
        raise NoKeyring(
            f"no {KEYRING} in {folder.resolve().name}; make one with `kit keys create`, or say "
            "--shop DIR"
        )


def has_shop(folder: Path) -> bool:
    """Tell whether it is a shop's folder, with a database whose rows the keys seal."""
    return (folder / "shop.toml").exists()


def has_paper_key(folder: Path) -> bool:
    """Tell whether a paper key was made for this folder."""
    return (folder / PUBLIC).exists() and (folder / PUBLIC).read_bytes().strip() != b""


def copy_state(folder: Path, keyring: Keyring) -> str:
    """Say whether the recovery copy is as new as the keys, without opening it.

    A new key makes the copy that was written before it useless for what it seals.
    """
    if not (folder / COPY).exists() or not has_paper_key(folder):
        return "none; make one with kit keys recovery"
    noted = (folder / PUBLIC).read_text(encoding="utf-8").split()[-1]
    if noted != str(keyring.generation):
        return "older than the last change of the keys; kit keys recovery writes it anew"
    return f"of change number {noted}; prove it with kit keys rehearse"


def write_copy(folder: Path, keyring: Keyring, *, recipient: str | None = None) -> None:
    """Write the recovery copy anew.

    Args:
        folder: The shop's folder.
        keyring: Its open keyring.
        recipient: The public half of a new paper key, **after** the paper key was shown; None for
            the one that there is.

    Raises:
        NoKeyring: There is no paper key yet.
    """
    public = folder / PUBLIC
    if recipient is None:
        if not has_paper_key(folder):
            raise NoKeyring("there is no paper key yet; make one with `kit keys recovery`")
        recipient = public.read_text(encoding="utf-8").split()[0]
    _replace(folder / COPY, recovery.copy(keyring, recipient))
    note = f"{recipient}\n# {COPY} holds the keys of change number {keyring.generation}\n"
    _replace(public, note.encode())


def rehearse(folder: Path, keyring: Keyring, typed: str) -> None:
    """Prove that the recovery copy and the paper key, typed from the paper, give every key back."""
    recovery.rehearse(keyring, _copy(folder / COPY), typed)


def recover(
    copy: Path, typed: str, folder: Path, ask: Callable[[], str], *, at_least: int = 0
) -> Keyring:
    """Make the keyring anew from a recovery copy and the paper key.

    Args:
        copy: The recovery copy.
        typed: The paper key, as typed from the paper.
        folder: Where to put the keyring; none may be there.
        ask: Gives the new passphrase; called after the paper key has opened the copy.
        at_least: The highest generation that the shop's database has seen.
    """
    generation, rows = recovery.read(_copy(copy), typed)
    secret = ask()
    passphrase.check(secret, also=[folder.resolve().name])
    file = KeyFile(folder / KEYRING, Passphrase(secret))
    return Keyring.restore(file, rows, generation=max(generation, at_least) + 1)


def export(keyring: Keyring, purpose: str, target: Path, *, recipient: str | None) -> None:
    """Write the usable keys of a purpose as a Tink keyset, sealed for *recipient*, or in the clear.

    Args:
        keyring: An open keyring.
        purpose: Such as ``field``.
        target: A new file, readable by its owner only.
        recipient: An age public key; None writes **the keys as they are**.
    """
    data = keyring.export_tink(purpose).encode()
    if recipient is not None:
        to = pyrage.x25519.Recipient.from_str(recovery.check(recipient))
        data = pyrage.encrypt(data, [to])
    _expect_place(target)
    if target.exists():
        raise VaultError(f"{target.name}: is there already; choose another name")
    _replace(target, data)


def seal_table(
    source: Path,
    target: Path | None,
    columns: Sequence[str],
    *,
    keyring: Keyring,
    key_column: str | None = None,
    table: str | None = None,
    overwrite: bool = False,
) -> Sealed:
    """Seal some columns of a table file, and leave the rest as it is.

    Args:
        source: CSV, XLSX with one sheet, or what else `sources` reads. It stays.
        target: The CSV to write; None for ``NAME.sealed.csv`` beside the source.
        columns: Headers of the columns to seal. Empty cells stay empty.
        keyring: An open keyring with a key of purpose "field".
        key_column: Holds an id for each row, none twice; tokens are bound to it. None for a
            column called id, or ending so, if there is just one.
        table: The table's name, part of every token's place; None takes the file's name.
        overwrite: Replace a target that is there.
    """
    names, header, frame = _read(source, columns)
    if not columns:  # or the copy would be called sealed, with everything in the clear
        raise WontSeal(f"{source.name}: no column was named; it has: {_listed(names)}")
    for name in columns:
        if name not in names:
            raise WontSeal(f"{source.name}: no column of that name; it has: {_listed(names)}")
    key = _key_column(names, key_column, source)
    protect = {header[name]: "seal" for name in columns}
    place = table or _place(source.stem)
    sealed = frames.seal_frame(
        frame,
        protect,
        cipher=Cipher(keyring, kinds=kinds),
        table=place,
        key_column=header[key],
        to_text=encrypt.to_text,
    )
    path = target or source.with_name(f"{source.stem}{SUFFIX}.csv")
    _write_csv(path, names, sealed, overwrite)
    return Sealed(path, sealed.num_rows, tuple(columns), place)


def unseal_table(
    source: Path,
    target: Path | None,
    columns: Sequence[str] = (),
    *,
    keyring: Keyring,
    key_column: str | None = None,
    table: str | None = None,
    overwrite: bool = False,
) -> Sealed:
    """Undo `seal_table`; without *columns*, for every column that holds tokens."""
    names, header, frame = _read(source)
    wanted = list(columns) or [name for name in names if _holds_tokens(frame[header[name]])]
    if not wanted:
        raise WontSeal(f"{source.name}: no column holds anything sealed; is it the right file")
    if set(wanted) - set(names):
        raise WontSeal(f"{source.name}: no column of that name; it has: {_listed(names)}")
    key = _key_column(names, key_column, source)
    place = table or _place(source.stem.removesuffix(SUFFIX))
    try:
        opened = frames.unseal_frame(
            frame,
            [header[name] for name in wanted],
            cipher=Cipher(keyring, kinds=kinds),
            table=place,
            key_column=header[key],
        )
    except encrypt.CannotDecrypt as error:
        if table is not None:
            raise
        raise encrypt.CannotDecrypt(
            f"{source.name}: does not open as the table {place}; if the file has another name than "
            f"the one that was sealed, say that one with --table; otherwise: {error}",
            cell=error.cell,
        ) from None
    path = target or source.with_name(f"{source.stem.removesuffix(SUFFIX)}.opened.csv")
    left = [name for name in names if header[name] in opened.column_names]  # no index any more
    _write_csv(path, left, opened, overwrite)
    return Sealed(path, opened.num_rows, tuple(wanted), place)


def _read(source: Path, named: Sequence[str] = ()) -> tuple[list[str], dict[str, str], pa.Table]:
    """Return headers, each header's name in tokens' places, and the table under those names.

    Of two columns that have one of the *named* headers, the second would stay in the clear.
    """
    table = sources.open_one(source, readers=READERS)
    batches = list(table.batches())
    if table.rejects:
        raise WontSeal(
            f"{source.name}: {len(table.rejects)} rows do not fit its columns, the first is row "
            f"{table.rejects[0].row}; repair them first, so that none is lost"
        )
    names = list(table.names)
    if twice := [name for name in named if [*map(str.strip, table.header)].count(name) > 1]:
        raise WontSeal(f"{source.name}: two columns are called {twice[0]}; rename one")
    header = {name: _place(name) for name in names}
    if len(set(header.values())) < len(names):
        raise WontSeal(f"{source.name}: two headers differ in signs only; rename one")
    frame = pa.Table.from_batches(batches).drop_columns(["#row"]) if batches else None
    if frame is None or not frame.num_rows:
        raise WontSeal(f"{source.name}: no rows in it; is it the right file")
    empty = pa.scalar(None, pa.string())
    cells = [pc.if_else(pc.equal(column, ""), empty, column) for column in frame.columns]
    written = reduce(pc.or_, map(pc.is_valid, cells))  # blank lines, such as at the end, go
    return names, header, pa.table(cells, [header[name] for name in names]).filter(written)


def _place(name: str) -> str:
    """Return a name as it may stand in a token's place: letters, digits and _."""
    plain = re.sub(r"\W", "_", name, flags=re.A)
    return f"_{plain}" if plain[:1].isdigit() or not plain else plain


def _key_column(names: Sequence[str], said: str | None, source: Path) -> str:
    if said is not None:
        if said not in names:
            raise WontSeal(f"{source.name}: no key column of that name; it has: {_listed(names)}")
        return said
    ids = [name for name in names if re.fullmatch(r"(?i)(.*[\s_])?id", name)]
    if len(ids) != 1:
        raise WontSeal(
            f"{source.name}: which column holds the row's id? Say it with --key; tokens are bound "
            f"to it. It has: {_listed(names)}"
        )
    return ids[0]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (" …" if len(names) > 12 else "")


def _holds_tokens(column: pa.ChunkedArray) -> bool:
    return any(map(encrypt.looks_sealed, column.to_pylist()))


def _expect_place(path: Path) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise VaultError(f"{path}: name a new file to write, in a folder that is there")


def _write_csv(path: Path, names: Sequence[str], frame: pa.Table, overwrite: bool) -> None:
    _expect_place(path)
    if path.exists() and not overwrite:
        raise WontSeal(f"{path.name}: is there already; choose another name or --overwrite")
    new = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(_private(new), "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            cells = [column.to_pylist() for column in frame.columns]
            writer.writerows(zip(*cells, strict=True))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _replace(path: Path, data: bytes) -> None:
    """Put *data* in place in one step, readable by its owner only."""
    new = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(_private(new), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _private(path: Path) -> int:
    path.unlink(missing_ok=True)  # left by a program that was killed
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)


def _copy(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NoKeyring(f"no {path.name} there; write it with `kit keys recovery`") from None
