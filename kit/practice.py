# SPDX-License-Identifier: MIT-0
"""Made-up shops in files: to learn on, to test with, and to show what a till would export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from kit import dirty, emit, generate, people, tables, trade, workbook

PARTS = (people.People, trade.Trade)
FORMATS = ("csv", "parquet", "sqlite", "xlsx")
Progress = Callable[[int, int | None], None]


class PracticeError(Exception):
    """A shop of this kind cannot be made up, or there is one in the way."""


def made_up(customers: int, *, seed: int = 42, locale: str = "en_US") -> generate.Shop:
    """Return a made-up shop: the same seed makes the same one, table by table as asked for."""
    return generate.Shop(customers, parts=PARTS, seed=seed, locale=locale)


def make_shop(
    folder: Path,
    customers: int,
    *,
    seed: int = 42,
    locale: str = "en_US",
    format: str = "csv",  # noqa: A002 (the word everyone looks for)
    dirt: int = 0,
    till: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write a made-up shop to a folder.

    Args:
        folder: Made if it is not there.
        customers: How many; sales and all else follow from it.
        seed: The same seed makes the same shop.
        locale: A Faker locale, such as ``de_DE``.
        format: One of `FORMATS`.
        dirt: 0 for a tidy shop, 1 to 3 for its untidy twin, written with the answer key ``truth``.
        till: A vendor (``square``) or a layout (``square.items``): write its exports instead.
        overwrite: Replace files of the same name.
        progress: Called with the rows written and, where it is known, the rows to write.

    Returns:
        The files written.
    """
    shop = made_up(customers, seed=seed, locale=locale)
    if dirt and till is not None:
        raise PracticeError(
            "an untidy shop cannot be written as a till's export; choose one of the two"
        )
    if not dirt and till is None and format != "xlsx":  # streamed: memory does not grow
        streams = {name: _reader(shop, name) for name in shop.tables}
        return tables.write(streams, folder, format=format, overwrite=overwrite, progress=progress)
    made: dict[str, pa.Table] = {name: shop.table(name) for name in shop.tables}
    if dirt:
        twin = dirty.dirty(made, seed=seed, level=dirt)
        if format == "csv":  # as a careless program writes it: ragged rows, nothing neutralised
            return twin.write(folder, overwrite=overwrite)
        made = {**twin.tables, "truth": twin.truth}
    if till is not None:
        return _as_till(made, till, folder, overwrite, progress)
    write = workbook.write if format == "xlsx" else partial(tables.write, format=format)
    return write(made, folder, overwrite=overwrite, progress=progress)


def _reader(shop: generate.Shop, name: str) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(shop.schema(name), shop.batches(name))


def _as_till(
    made: Mapping[str, pa.Table],
    till: str,
    folder: Path,
    overwrite: bool,
    progress: Progress | None,
) -> list[Path]:
    """Write the exports of one till, one file for each layout that is known well enough."""
    ids: Sequence[str] = [i for i in emit.layouts() if i == till or i.split(".")[0] == till]
    if not ids:
        vendors = sorted({i.split(".")[0] for i in emit.layouts()})
        raise PracticeError(f"no till called {till}; there are: {', '.join(vendors)}")
    paths = [folder / f"{i.replace('.', '_')}.csv" for i in ids]
    for path in paths:
        if path.exists() and not overwrite:
            raise PracticeError(f"{path.name} is already there; choose another folder or overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    for layout, path in zip(ids, paths, strict=True):
        if overwrite:
            path.unlink(missing_ok=True)
        emit.emit(made, layout, path, progress=progress)
    return paths


def stream_lines(
    folder: Path, lines: int, *, seed: int, locale: str, progress: Progress | None = None
) -> Path:
    """Write millions of sale lines to one Parquet file; memory stays the same for any number."""
    return generate.stream(folder, lines, parts=PARTS, seed=seed, locale=locale, progress=progress)
