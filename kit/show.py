# SPDX-License-Identifier: MIT-0
"""Say what was found, in lines that a person reads in a terminal or under a lesson's cell.

Every function takes a report and returns text; nothing is printed here, and no value is shown.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.files import Imported, Rejected, ScanReport, Unwritten
    from kit.imports import Taken
    from kit.scan import Finding
    from kit.sources import Skipped

WIDTH = 96  # characters; a terminal and a notebook both show them without a break
COLUMNS_SHOWN = 6  # names of columns; --json has them all
REJECTS_SHOWN = 5  # reasons in full; the rest is counted
CARD_COLUMNS = {"card number", "security code", "track data", "card PIN"}


def scan(report: ScanReport, *, everything: bool = False) -> str:
    """Return what a scan found: card data first, with what to do; then the rest, file by file.

    Args:
        report: As `files.scan_files` gives it.
        everything: Show also what was ruled out, and why.
    """
    return "\n".join(_scan(report, everything))


def _scan(report: ScanReport, everything: bool) -> Iterator[str]:
    cards = [f for f in report.findings if f.card_data]
    others = [f for f in report.findings if not f.card_data and f.confidence != "vetoed"]
    vetoed = [f for f in report.findings if f.confidence == "vetoed"]
    if cards:
        yield "CARD DATA: act today"
        for finding in cards:
            yield f"  {_where(finding)}: {_count(finding.count, 'cell')} with {finding.kind}"
            yield f"    {_rows(finding)}, {finding.confidence}: {finding.example}"
            yield from _wrapped(f"Why: {finding.reason}")
        for advice in dict.fromkeys(f.advice for f in cards):
            yield from _wrapped(f"Do: {advice}")
        yield ""
    if others:
        yield "PERSONAL DATA: fine if you need it, have written it down and protect it"
        for place, found in groupby(others, key=_place):
            yield f"  {place}"
            for finding in found:
                sure = "" if finding.confidence == "confirmed" else f" ({finding.confidence})"
                yield f"    {finding.column}: {finding.kind}, {_count(finding.count, 'cell')}{sure}"
        yield ""
    if report.unwritten:
        yield "HELD BUT NOT WRITTEN DOWN: add to your inventory, or delete"
        for table in report.unwritten:
            names = ", ".join(table.columns[:COLUMNS_SHOWN])
            more = len(table.columns) - COLUMNS_SHOWN
            tail = f" and {more} more" if more > 0 else ""
            yield from _wrapped(f"  {_place(table)}: {names}{tail}", indent="  ")
        yield ""
    if everything and vetoed:
        yield "RULED OUT, and why"
        for finding in vetoed:
            yield f"  {_where(finding)}: {finding.reason}"
        yield ""
    if report.skipped:
        yield "NOT LOOKED INTO"
        for skip in report.skipped:
            yield f"  {_place(skip)}: {skip.reason}"
        yield ""
    yield (
        f"{_count(report.looked_at, 'table or text', 'tables and texts')} looked at: "
        f"{_count(len(cards), 'finding')} of card data, {len(others)} of personal data, "
        f"{len(vetoed)} ruled out" + ("" if everything or not vetoed else " (see them with --all)")
    )


def imported(report: Imported) -> str:
    """Return what a till export held and what became of it."""
    return "\n".join(_imported(report))


def _imported(report: Imported) -> Iterator[str]:
    yield _layout(report)
    yield (
        f"{_count(report.rows, 'row')} in the file, {report.table.num_rows:,} taken over"
        f"{_set_aside(report)}"
    )
    yield from _left_behind(report)
    if report.unmapped:
        yield from _wrapped(f"  no use for: {', '.join(report.unmapped)}", indent="    ")
    for column, reason, rows in _by_reason(report.rejects):
        what = f"{_count(len(rows), 'reject')}: {column or 'the whole row'}: {reason}"
        yield f"  {what} ({rows_text(rows)})"
    yield from _totals(report)


def _layout(report: Imported) -> str:
    layout = report.layout
    return f"{layout.title} ({layout.id}), layout {layout.status}: {layout.source}, {layout.seen}"


def _set_aside(report: Imported) -> str:
    """Say how many rows stayed out whole."""
    out = _out(report)
    return f", {_count(len(out), 'row')} set aside whole: see below" if out else ""


def _out(report: Imported) -> set[int]:
    """Return the rows of which nothing was taken: one date that is none is enough."""
    return {r.row for r in report.rejects} - {*report.table.column("#row").to_pylist()}


def _left_behind(report: Imported) -> Iterator[str]:
    """Say which columns stay in the file, and that what must not be there is still in it."""
    for header, why in report.dropped:
        yield f"  never loaded: {header} ({why})"
    if CARD_COLUMNS & {why for _, why in report.dropped}:
        yield "  the file itself still has them: kit scan FILE says whether to act today"
    if report.gaps:
        yield from _wrapped(f"  refused, not in your inventory: {', '.join(report.gaps)}", "    ")


def _totals(report: Imported) -> Iterator[str]:
    good = sum(check.ok for check in report.checks)
    yield f"{good} of {_count(len(report.checks), 'control total')} agree"
    for check in report.checks:
        if not check.ok:
            yield f"  NOT EQUAL: {check.what}: {check.expected:,} in the file, {check.found:,} here"


def taken(done: Taken) -> str:
    """Return what an import into a shop did."""
    return "\n".join(_taken(done))


def _taken(done: Taken) -> Iterator[str]:
    yield _layout(done.report)
    yield f"{_count(done.report.rows, 'row')} in the file{_set_aside(done.report)}"
    if done.before is not None:
        yield f"  This very file was imported before, on {done.before:%Y-%m-%d}."
    for verb, counts in (("new", done.added), ("changed", done.changed), ("as before", done.same)):
        if counts:
            told = ", ".join(f"{table} {count:,}" for table, count in counts.items())
            yield f"  {verb + ':':<11}{told}"
    for left in done.left_out:
        yield f"  left out:  {_count(left.rows, 'row')} of {left.table}: {left.reason}"
    if done.erased:
        yield f"  erased:    {_count(done.erased, 'customer')} who asked to be forgotten stay so"
    yield from _left_behind(done.report)
    if done.rejects:
        yield f"{_count(len(done.rejects), 'cell or row', 'cells and rows')} not taken:"
        out = _out(done.report)  # of these nothing is in the shop, so they come first
        reasons = sorted(_by_reason(done.rejects), key=lambda group: out.isdisjoint(group[2]))
        for column, reason, rows in reasons[:REJECTS_SHOWN]:
            what = f"{column}: {reason}" if column else reason
            yield f"  {what} ({rows_text(rows)})"
        if (more := len(reasons) - REJECTS_SHOWN) > 0:
            yield f"  and for {_count(more, 'more reason')}: --json has them all"
    yield from _totals(done.report)


def _by_reason(rejects: Iterable[Rejected]) -> Iterator[tuple[str, str, list[int]]]:
    """Yield (column, reason, rows), most frequent first."""
    groups: dict[tuple[str, str], list[int]] = {}
    for reject in rejects:
        groups.setdefault((reject.column, reject.reason), []).append(reject.row)
    for (column, reason), rows in sorted(groups.items(), key=lambda item: -len(item[1])):
        yield column, reason, rows


def rows_text(rows: Iterable[int], most: int = REJECTS_SHOWN) -> str:
    """Return ``row 3`` or ``rows 3, 5, 8 …``."""
    listed = list(rows)
    shown = ", ".join(f"{row:,}" for row in listed[:most])
    return f"row{'s' if len(listed) > 1 else ''} {shown}{' …' if len(listed) > most else ''}"


def size(size_bytes: int) -> str:
    """Return a file's size as people say it: ``3.4 MB``."""
    amount = float(size_bytes)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _place(found: Finding | Unwritten | Skipped) -> str:
    """Return the file as the user named it, and where in it."""
    path = found.path.as_posix()
    return f"{path} › {found.place}" if found.place else path


def _where(finding: Finding) -> str:
    return f"{_place(finding)} › {finding.column}"


def _rows(finding: Finding) -> str:
    return rows_text(finding.rows)


def _wrapped(text: str, indent: str = "    ") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent if text[0] != " " else "",
                         subsequent_indent=indent + "  ", break_long_words=False)  # fmt: skip
