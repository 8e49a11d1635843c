# SPDX-License-Identifier: MIT-0
"""Find customer and card data where nobody remembers putting it, without repeating one value.

Copy: ``kit copy scan --into DIR``, or take this file as it is.
Needs: Python 3.11, numpy, pyarrow. Nothing else from this kit.
Data: words.

`scan` is handed a table and the two modules that know what to look for, `cards` and `personal`.
It gives back one `Finding` per column, kind and confidence::

    confirmed      the cells are what the kind says
    suspected      open the file at these rows and look
    by name only   the column's name says so; nobody can tell a person's name by its shape
    vetoed         looks like card data and is none: the reason is given

Card data is looked for in every cell. Other kinds are looked for in 500 distinct cells per batch
and column, and in all of them where that sample, the column's name or free text asks for it. Where
the first 100 hits of a batch hold what they promise, the rest are counted by their pattern.
One batch is held at a time. Nothing is downloaded.

Source: PCI DSS 4.0.1, requirement 3.3.1: track data and security codes may not be kept after
authorisation. What the words and patterns rest on is written beside them in the data folder.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SAMPLE = 500  # distinct cells, at least, that decide about a full pass
CHECKED = 100  # cells per column and batch that go through the slow checks, about 50 µs each
SHOWN = 10  # row numbers kept per finding
VOTE = 0.6  # this share of a column's cells makes the column
CARD, CODE, TRACK = CARD_KINDS = ("card number", "security code", "track data")
ORDER = ("confirmed", "suspected", "by name only", "vetoed")
BLANKS = pa.array(["", "-", "--", "none", "n/a", "na", "null", "nan"])

_ADVICE = tomllib.loads(
    Path(__file__).with_name("words").joinpath("advice.toml").read_text(encoding="utf-8")
)
_PROSE = r"\S\s+\S+\s+\S+\s+\S"
_LETTERS = r"^[^0-9]*[\pL][^0-9]*$"
_SHORT = r"^[='\" ]*[0-9]{3,4}[\"' ]*$"
_EXPIRY = r"^(?:0?[1-9]|1[0-2])[/\-](?:20)?[2-4][0-9]$"
_CUT = r"(?:^|[^0-9])[0-9]{0,6}[ \-]?(?:[*xX•●#][ \-]?){4,}[0-9]{4}$"
_ROUNDED = r"^[2-6][.,][0-9]{2,14}[eE]\+?1[2-8]$"  # 4.24E+15

Mask = NDArray[np.bool_]


class ScanError(Exception):
    """Base of the errors below. Messages never hold a cell's value."""


class NotText(ScanError):
    """A column was handed over as something other than text."""


class Source(Protocol):
    """One table: what `scan` needs to know of it. See `kit/sources.py`."""

    path: Path
    place: str  # where in the file, e.g. "sheet Notes (hidden)"
    kind: str  # of file; notebook and text are read as free text
    header: tuple[str, ...]
    header_row: int

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield row numbers and then the columns, all of them text."""


class Look(Protocol):
    """What a card reader saw in each cell. See `kit/cards.py`."""

    text: pa.StringArray
    digits: NDArray[np.int32]
    trust: NDArray[np.int8]
    tried: Mask
    whole: Mask
    rounded: Mask
    code: Mask
    track: Mask


class Cards(Protocol):
    """Who knows what a card number looks like: the module `cards`."""

    def look(self, column: pa.StringArray) -> Look:
        """Look at every cell."""

    def judge(
        self,
        trust: int,
        *,
        named: str,
        cells: int,
        tried: int,
        whole: int,
        passed: int,
        serial: bool,
    ) -> tuple[str, str]:
        """Give confidence and reason for the numbers of one trust in a column."""

    def mask(self, text: str) -> str:
        """Show that a number stands in *text* without showing it."""


class Shape(Protocol):
    """How cells of one kind look. See `kit/personal.py`."""

    digits: int
    pattern: str
    under_name: str
    in_text: str
    literal: str
    single: str


class Meaning(Protocol):
    """What a column's name says about its cells. See `kit/personal.py`."""

    kind: str
    no_card: str
    card: bool
    id: bool
    free: bool


class Personal(Protocol):
    """Who knows what personal data look like: the module `personal`."""

    @property
    def SHAPES(self) -> Mapping[str, Shape]:  # noqa: N802 (a constant of the module)
        """The shape of each kind."""

    def is_name(self, cell: str) -> bool:
        """Say whether a header cell is safe to show."""

    def meaning(self, name: str, *, where: str = "") -> Meaning:
        """Look a column's name up."""

    def check(self, kind: str, text: str, *, named: bool, region: str) -> str:
        """Give a masked example if *text* is of the kind, or nothing."""


@dataclass(frozen=True)
class Finding:
    """One kind of data in one column. It holds no value: `example` is masked."""

    path: Path
    place: str
    column: str  # a header cell that may itself be a value is shown as "column 3"
    kind: str
    confidence: str
    count: int  # cells
    rows: tuple[int, ...]  # the first ten of them
    reason: str
    example: str
    advice: str

    @property
    def card_data(self) -> bool:
        """Whether somebody must act today: card data, and no veto."""
        return self.kind in CARD_KINDS and self.confidence != "vetoed"


def scan(source: Source, *, cards: Cards, personal: Personal, region: str = "US") -> list[Finding]:
    """Look through one table and say what it holds, where, and what to do about it.

    Args:
        source: The table; read once, batch by batch.
        cards: The module `cards`.
        personal: The module `personal`.
        region: Country (two letters) whose telephone numbers are written without ``+``.

    Returns:
        Findings, card data first, vetoes last.

    Raises:
        NotText: If a batch holds a column that is not text.
    """
    personal.check("phone", "", named=False, region=region)  # an unknown region fails before work
    experts = _Experts(cards, personal, region)
    columns = [_Column(source, at, experts) for at in range(len(source.header))]
    for batch in _with_header(source, personal):
        rows = batch.column(0).to_numpy()
        for column, cells in zip(columns, batch.columns[1:], strict=True):
            if not pa.types.is_string(cells.type):
                raise NotText(f"{column.shown} is not text; hand over columns of text only")
            column.see(_Cells(cells, rows, cards))
    found = [finding for column in columns for finding in column.findings()]
    found += _codes_beside(columns)
    return sorted(found, key=lambda f: (not f.card_data, ORDER.index(f.confidence)))


def _with_header(source: Source, personal: Personal) -> Iterator[pa.RecordBatch]:
    """Yield the table, and before it those header cells that are data: the file has no header."""
    cells = [None if personal.is_name(cell) else cell for cell in source.header]
    if any(cells):
        row = pa.array([source.header_row], pa.int64())
        columns = [row, *(pa.array([cell], pa.string()) for cell in cells)]
        yield pa.RecordBatch.from_arrays(columns, [str(at) for at in range(len(columns))])
    yield from source.batches()


@dataclass
class _Experts:
    cards: Cards
    personal: Personal
    region: str


class _Cells:
    """The distinct cells of one column of one batch, and the way back to their rows."""

    def __init__(self, cells: pa.StringArray, rows: NDArray[np.int64], cards: Cards) -> None:
        encoded = cells.dictionary_encode()
        self.look = cards.look(encoded.dictionary)
        self.text = self.look.text
        self._rows = rows
        self._codes = encoded.indices.fill_null(-1).to_numpy()
        self._times = np.bincount(self._codes + 1, minlength=len(self.text) + 1)[1:]
        lowered = pc.ascii_lower(pc.utf8_trim_whitespace(self.text))
        self.filled: Mask = ~pc.is_in(lowered, BLANKS).to_numpy(zero_copy_only=False)
        at = np.flatnonzero(self.filled)
        self.sample = np.zeros(len(self.text), bool)
        self.sample[at[:: max(1, len(at) // SAMPLE)]] = True

    def count(self, mask: Mask) -> int:
        """Return how many rows have a cell that is in *mask*; a null is in none."""
        return int(self._times[mask].sum())

    def first(self, mask: Mask, few: int) -> list[int]:
        """Return the first *few* row numbers of them."""
        here = np.flatnonzero(np.append(mask, False)[self._codes])[:few]
        return [int(row) for row in self._rows[here]]

    def match(self, pattern: str, among: Mask) -> Mask:
        """Return where RE2 finds the pattern, looking only *among* some of the cells."""
        found, at = np.zeros(len(self.text), bool), np.flatnonzero(among)
        if len(at):
            some = self.text if len(at) == len(found) else self.text.take(pa.array(at))
            found[at] = pc.match_substring_regex(some, pattern).to_numpy(zero_copy_only=False)
        return found


@dataclass
class _Tally:
    """What was counted so far."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    example: str = ""

    def add(self, cells: _Cells, mask: Mask, example: Callable[[str], str] | None = None) -> None:
        """Count the rows of a batch; keep the first row numbers and one masked example."""
        if mask.any():
            self.count += cells.count(mask)
            if len(self.rows) < SHOWN:
                self.rows += cells.first(mask, SHOWN - len(self.rows))
            if example and not self.example:
                self.example = example(cells.text[int(np.argmax(mask))].as_py())


class _Column:
    """What is known of one column so far: counts, and at most 100 numbers to compare."""

    def __init__(self, source: Source, at: int, experts: _Experts) -> None:
        name, personal = source.header[at], experts.personal
        self.source, self.experts = source, experts
        self.shown = name if personal.is_name(name) else f"column {at + 1}"
        self.says = personal.meaning(name, where=f"{source.path.stem} {source.place}")
        self.free = self.says.free or source.kind in ("notebook", "text")
        self.tried = self.whole = self.passed = self.letters = self.expiry = 0
        self.numbers: set[str] = set()
        self.filled, self.short, self.cut, self.rounded = _Tally(), _Tally(), _Tally(), _Tally()
        self.code, self.track = _Tally(), _Tally()
        self.trusted = {trust: _Tally() for trust in (4, 3, 2, 1)}  # SURE to ODD in cards.py
        self.shapes = {kind: _Tally() for kind in personal.SHAPES}

    def see(self, cells: _Cells) -> None:
        """Take in one batch."""
        look, mask = cells.look, self.experts.cards.mask
        self.filled.add(cells, cells.filled)
        self.tried += cells.count(look.tried)
        self.whole += cells.count(look.whole)
        self.passed += cells.count(look.trust > 0)
        for trust, tally in self.trusted.items():
            tally.add(cells, look.trust == trust, mask)
        for at in np.flatnonzero(look.trust > 0)[: 100 - len(self.numbers)]:
            self.numbers.add(re.sub("[^0-9]", "", cells.text[int(at)].as_py()))
        self.code.add(cells, look.code, lambda _: "***")
        self.track.add(cells, look.track, mask)
        self.rounded.add(cells, look.rounded | cells.match(_ROUNDED, cells.sample))
        self.cut.add(cells, cells.match(_CUT, cells.sample))
        few = (look.digits == 3) | (look.digits == 4)
        self.short.add(cells, cells.match(_SHORT, few), lambda _: "***")
        self.expiry += cells.count(cells.match(_EXPIRY, cells.sample))
        if self.says.kind == "name":
            self.letters += cells.count(cells.match(_LETTERS, cells.filled))
        prose = cells.match(_PROSE, cells.sample).sum()
        self.free = self.free or bool(prose > 0.3 * cells.sample.sum())
        for kind, shape in self.experts.personal.SHAPES.items():
            self._see(cells, kind, shape)

    def _see(self, cells: _Cells, kind: str, shape: Shape) -> None:
        """Look for a kind that has a shape: RE2 finds, a check decides."""
        named = self.says.kind == kind
        pattern = (shape.under_name if named else "") or shape.pattern
        pattern = pattern or (shape.in_text if self.free else "")
        if not pattern:
            return
        among = cells.filled & (cells.look.digits >= shape.digits)
        if shape.literal:
            among = cells.match(shape.literal, among)
        elif shape.digits:
            among &= cells.look.trust == 0  # a card number is no telephone number
        if not (named or self.free or shape.literal):  # all cells, if the sample says so
            if not cells.match(pattern, among & cells.sample).any():
                return
        hits = cells.match(pattern, among)
        at = np.flatnonzero(hits)
        check, region = self.experts.personal.check, self.experts.region

        def checked(some: NDArray[np.int64]) -> dict[int, str]:
            texts = {int(here): cells.text[int(here)].as_py() for here in some}
            tried = {h: check(kind, t, named=named, region=region) for h, t in texts.items()}
            return {here: example for here, example in tried.items() if example}

        some = at[:: max(1, len(at) // CHECKED)]
        good = checked(some)
        if len(good) < VOTE * len(some):  # too few to speak for those that were not checked
            good = checked(at) if self.free or shape.literal else good
            hits[at] = False
        hits[some] = False
        hits[list(good)] = True
        self.shapes[kind].add(cells, hits, lambda _: next(iter(good.values())))

    def findings(self) -> Iterator[Finding]:
        """Give what the whole column comes to."""
        if self.filled.count:
            yield from self._numbers()
            yield from self._codes()
            yield from self._personal()

    def _numbers(self) -> Iterator[Finding]:
        """Give card numbers and, where there are none, why what looks like them is none."""
        cells, says, found = self.filled.count, self.says, set()
        named = "id" if says.id else "card" if says.kind == CARD else ""
        serial = len(self.numbers) >= 10 and len(os.path.commonprefix(list(self.numbers))) >= 9
        for trust, tally in self.trusted.items():
            if tally.count:
                counts = {"tried": self.tried, "whole": self.whole, "passed": self.passed}
                confidence, reason = self.experts.cards.judge(
                    trust, named=named, cells=cells, serial=serial, **counts
                )
                found.add(confidence)
                yield self._finding(CARD, confidence, tally, reason)
        if "confirmed" in found:
            return
        if named != "id" and self.rounded.count >= VOTE * cells:
            why = "the shape of card numbers whose last digit a spreadsheet turned into 0"
            yield self._finding(CARD, "suspected", self.rounded, why)
        elif self.cut.count and (named == "card" or self.cut.count >= VOTE * cells):
            yield self._finding(CARD, "vetoed", self.cut, "cut to first six and last four at most")
        elif not found and says.no_card and says.card:
            yield self._finding(CARD, "vetoed", self.filled, says.no_card)
        elif not found and self.tried:
            why = f"{self.tried:,} numbers of a card's length; none begins and adds up like one"
            yield self._finding(CARD, "vetoed", self.filled, why)
        elif not found and named == "card":
            why = "the column's name says card number, but no cell holds one; perhaps tokens"
            yield self._finding(CARD, "vetoed", self.filled, why)

    def _codes(self) -> Iterator[Finding]:
        """Give security codes and track data."""
        if self.track.count:
            yield self._finding(TRACK, "confirmed", self.track, "written as on a magnetic stripe")
        if self.says.no_card:
            return
        if self.code.count:
            why = "three or four digits beside a word for the code, or beside number and expiry"
            yield self._finding(CODE, "confirmed", self.code, why)
        if self.says.kind == CODE:
            n, cells = self.short.count, self.filled.count
            sure = n >= VOTE * cells and self.shown.casefold() != "cid"  # perhaps a customer's id
            confidence = "confirmed" if sure else "suspected" if n else "vetoed"
            why = f"the column's name says so; {n:,} of {cells:,} cells hold three or four digits"
            yield self._finding(CODE, confidence, self.short if n else self.filled, why)

    def _personal(self) -> Iterator[Finding]:
        """Give everything that is not card data."""
        cells, says = self.filled.count, self.says.kind
        for kind, tally in self.shapes.items():
            shape = self.experts.personal.SHAPES[kind]
            part = f"{tally.count:,} of {cells:,} cells fit"
            if tally.count and kind == says:
                yield self._finding(kind, "confirmed", tally, f"the column's name says so; {part}")
            elif tally.count and shape.pattern and tally.count >= VOTE * cells:
                yield self._finding(kind, "confirmed", tally, part)
            elif tally.count:
                yield self._finding(kind, shape.single, tally, f"{part}, among other things")
        guess = says not in ("", *CARD_KINDS) and not (
            says in self.shapes and self.shapes[says].count
        )
        if guess and (says != "name" or self.letters > cells / 2):
            example = f"the column's name says so; {cells:,} cells are filled"
            yield self._finding(says, "by name only", self.filled, example)

    def _finding(self, kind: str, confidence: str, tally: _Tally, reason: str) -> Finding:
        advice = _ADVICE["confirmed"] | _ADVICE.get(confidence, {})
        return Finding(
            path=self.source.path,
            place=self.source.place,
            column=self.shown,
            kind=kind,
            confidence=confidence,
            count=tally.count,
            rows=tuple(tally.rows),
            reason=reason,
            example=tally.example,
            advice=advice[kind],
        )


def _codes_beside(columns: list[_Column]) -> Iterator[Finding]:
    """Give columns of three or four digits that stand beside card numbers and expiry dates."""
    numbers = any(c.passed and c.passed >= VOTE * c.filled.count for c in columns)
    expiry = any(c.expiry and c.expiry >= VOTE * c.filled.count for c in columns)
    for column in columns if numbers and expiry else ():
        says = column.says
        if column.short.count >= max(1, VOTE * column.filled.count) and not (says.kind or says.id):
            why = "three or four digits beside a column of card numbers and one of expiry dates"
            yield column._finding(CODE, "suspected", column.short, why)
