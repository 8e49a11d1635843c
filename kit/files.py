# SPDX-License-Identifier: MIT-0
"""Files of customer data: read a till's export, look for personal data in what lies around.

Each function here hands one tool's answer to the next. If it could be tested without a file, it
belongs in a tool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kit import (
    cards,
    convert,
    delimited,
    intake,
    personal,
    pos,
    scan,
    sheets,
    sources,
    tables,
    unpack,
    workbook,
)
from kit.inventory import Inventory

READERS = (sheets, unpack, delimited)  # the first that knows a file reads it
FORMATS = ("csv", "parquet", "sqlite", "xlsx")
ROW = sources.ROW
LAST_FOUR = ".card_last4"
Progress = Callable[[int, int | None], None]


class FilesError(Exception):
    """Base of the errors below."""


class NoTimeZone(FilesError):
    """The export's times say no zone, and the caller said none either."""


@dataclass(frozen=True)
class Rejected:
    """A row, or one cell of it, that was not taken over, and why. Never the value."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """A till export, read.

    Attributes:
        layout: The till and table it comes from, with how well the layout is verified.
        table: ``#row`` and typed columns named ``table.column``; only what the inventory names.
        rows: Records in the file, the ones not taken over included.
        rejects: Rows and cells not taken over.
        dropped: (header, why) of columns that were never loaded.
        unmapped: Headers that the kit has no use for; not loaded either.
        gaps: Fields that the inventory does not name; refused.
        checks: Control totals; look at those that are not ``ok``.
    """

    layout: pos.Layout
    table: pa.Table
    rows: int
    rejects: tuple[Rejected, ...]
    dropped: tuple[tuple[str, str], ...]
    unmapped: tuple[str, ...]
    gaps: tuple[str, ...]
    checks: tuple[intake.Check, ...]


@dataclass(frozen=True)
class Unwritten:
    """Columns of a table about people that are held but not in the inventory."""

    path: Path
    place: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class ScanReport:
    """What a scan found, what it could not look into, and what the inventory lacks."""

    findings: tuple[scan.Finding, ...]
    skipped: tuple[sources.Skipped, ...]
    unwritten: tuple[Unwritten, ...]
    looked_at: int  # tables and texts

    @property
    def card_data(self) -> bool:
        """Whether there is card data to act on today."""
        return any(finding.card_data for finding in self.findings)


def read_export(
    path: Path,
    *,
    inventory: Inventory,
    time_zone: str | None = None,
    region: str = "US",
    day_first: bool | None = None,
    layout: str | None = None,
    confirmed: Mapping[str, str] | None = None,
) -> Imported:
    """Read a till's export: recognise it, load what is allowed, convert it, check the sums.

    Args:
        path: The file, as the till wrote it.
        inventory: What the shop has written down; other fields are refused.
        time_zone: The shop's own zone, e.g. ``America/New_York``. Needed where the till writes
            times without one.
        region: The shop's country in two letters, for phone numbers.
        day_first: True for 31/12, False for 12/31, None to let each column show it.
        layout: The id of the layout, if the file fits two.
        confirmed: File header → the vendor's header, for labels in another language.

    Raises:
        NoTimeZone: If a time zone is needed and not given.
        Exception: The tools' own families: `sources`, `pos`, `intake`, `convert`.
    """
    source = sources.open_one(path, readers=READERS)
    match = pos.recognise(source.header, layout=layout, confirmed=confirmed)
    zoneless = sorted(
        {c.field for c in _without_zone(match.layout)} & {p.field for p in match.picks}
    )
    if zoneless and time_zone is None:
        raise NoTimeZone(
            f"{match.layout.title}: {zoneless[0]} is written without a time zone; "
            "say the shop's own, for example --time-zone America/New_York"
        )
    allowed = [pick for pick in match.picks if inventory.find(pick.field)]
    gaps = inventory.gaps(pick.field for pick in match.picks)
    export = intake.read(
        source,
        [intake.Take(**vars(pick)) for pick in allowed],
        group_field=match.layout.repeat_field,
        group_type=match.layout.repeat_type,
    )
    converted = convert.convert(
        export.table,
        export.types,
        time_zone=time_zone or "UTC",
        region=region,
        day_first=day_first,
    )
    here = set(converted.table.column_names)
    foots = {
        field: rule
        for field, rule in match.layout.foots.items()
        if {field, *rule.replace(" + ", " - ").split(" - ")} <= here
    }
    checks = intake.reconcile(export, converted.table, refused=converted.rejects, foots=foots)
    rejects = [Rejected(r.row, r.column, r.reason) for r in export.rejects]
    rejects += [Rejected(r.row, r.column, r.reason) for r in converted.rejects]
    table = _without_cards(converted.table, export.types, rejects)
    return Imported(
        layout=match.layout,
        table=table,
        rows=export.rows,
        rejects=tuple(sorted(rejects, key=lambda reject: reject.row)),
        dropped=match.dropped,
        unmapped=match.unmapped,
        gaps=tuple(gaps),
        checks=tuple(checks),
    )


def _without_cards(table: pa.Table, types: Mapping[str, str], rejects: list[Rejected]) -> pa.Table:
    """Empty the cells in which a card number was typed, or stands instead of its last four."""
    for name, type_ in types.items():
        if name.endswith(LAST_FOUR):
            reason = "holds more than a card's last four digits; nothing else may be kept"
        elif type_ == "text":
            reason = "holds what looks like a card number; leave it to the terminal"
        else:
            continue  # one in 30 long numbers of an order passes as a card's
        cells = table[name].combine_chunks()
        coded = cells.dictionary_encode()  # names of products repeat: each is looked at once
        look = cards.look(coded.dictionary)
        odd = (look.trust > cards.ODD) | look.code | look.track
        odd = look.digits > 4 if name.endswith(LAST_FOUR) else odd
        if odd.any():
            odd = np.append(odd, False)[coded.indices.fill_null(-1).to_numpy()]
            places = table[ROW].filter(pa.array(odd)).to_pylist()
            rejects += [Rejected(row, name, reason) for row in dict.fromkeys(places)]
            kept = pc.if_else(pa.array(odd), pa.scalar(None, pa.string()), cells)
            table = table.set_column(table.column_names.index(name), name, kept)
    return table


def _without_zone(layout: pos.Layout) -> Iterator[pos.Column]:
    """Yield the columns whose times say no zone."""
    times = [column for column in layout.columns if column.type == "datetime"]
    said = {c.field for c in times if c.zone or c.part == "zone" or "%z" in c.format.lower()}
    yield from (column for column in times if column.field not in said)


def scan_files(
    paths: Iterable[Path],
    *,
    inventory: Inventory,
    region: str = "US",
    progress: Progress | None = None,
) -> ScanReport:
    """Look for personal and card data in files and folders, and compare with the inventory.

    Args:
        paths: Files and folders; nothing is changed or unpacked to disk.
        inventory: What the shop has written down.
        region: The shop's country in two letters, for phone numbers.
        progress: Called with what has been read and what there is to read.
    """
    skipped: list[sources.Skipped] = []
    findings: list[scan.Finding] = []
    unwritten: list[Unwritten] = []
    looked_at = 0
    for source in sources.find(paths, readers=READERS, skipped=skipped, progress=progress):
        watched = _Watched(source)
        found = scan.scan(watched, cards=cards, personal=personal, region=region)
        findings += found
        unread = [reject.reason for reject in source.rejects if not reject.row]  # of no single row
        skipped += [sources.Skipped(source.path, reason, source.place) for reason in unread]
        looked_at += 1
        if source.kind in ("text", "notebook"):
            continue  # prose has no columns to write down
        if any(finding.confidence != "vetoed" for finding in found):
            known = _known(source, inventory)
            gaps = tuple(
                name if personal.is_name(name) else f"column {number}"  # a header may be a customer
                for number, name in enumerate(source.names, 1)
                if name in watched.filled and name not in known
            )
            if gaps:
                unwritten.append(Unwritten(source.path, source.place, gaps))
    return ScanReport(tuple(findings), tuple(skipped), tuple(unwritten), looked_at)


class _Watched:
    """A source that notes which of its columns hold anything, while another tool reads it."""

    def __init__(self, source: sources.Source) -> None:
        self.source, self.filled = source, set[str]()
        self.path, self.place, self.kind = source.path, source.place, source.kind
        self.header, self.header_row = source.header, source.header_row

    def batches(self) -> Iterator[pa.RecordBatch]:
        for batch in self.source.batches():
            for name in set(self.source.names) - self.filled:
                if pc.any(pc.not_equal(batch[name], "")).as_py():
                    self.filled.add(name)
            yield batch


def _known(source: sources.Source, inventory: Inventory) -> set[str]:
    """Return the columns of a table that the inventory names: by header, or by ``table.column``."""
    table = source.place.removeprefix("table ") or source.path.stem
    known = {name for name in source.names if inventory.find(name)}
    known |= {name for name in source.names if inventory.find(f"{table}.{name}")}
    try:
        match = pos.recognise(source.header)
    except pos.PosError:
        return known
    fields = {pick.index: pick.field for pick in match.picks}
    return known | {source.names[index] for index, field in fields.items() if inventory.find(field)}


def write_rows(
    report: Imported,
    folder: Path,
    *,
    format: str = "csv",  # noqa: A002 (the word everyone looks for)
    overwrite: bool = False,
) -> list[Path]:
    """Write the rows of an export, and the list of those not taken over, to a folder."""
    shape = pa.schema([("row", pa.int64()), ("column", pa.string()), ("reason", pa.string())])
    rejects = pa.Table.from_pylist([vars(reject) for reject in report.rejects], schema=shape)
    name = report.layout.id.replace(".", "_")
    made = {name: report.table, f"{name[:23]}_rejects": rejects}  # a sheet's name has 31 letters
    write = workbook.write if format == "xlsx" else partial(tables.write, format=format)
    return write(made, folder, name=name, overwrite=overwrite)
