# SPDX-License-Identifier: MIT-0
"""Know a till export by the names in its header, and never load a card number from it.

Copy: ``kit copy pos --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: tills.

In goes a header line, out comes a `Match`: which export it is, and which columns to load as what
(``intake.read`` loads them). The answer is in ``tills/<vendor>.toml``, one `Layout` per export,
with the month and place its header was read; ``tills/README.md`` explains the keys. Names decide,
never position. What a layout has no use for is not loaded; what is forbidden cannot be.
"""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

TILLS = Path(__file__).with_name("tills")
TYPES = frozenset("text money number date time datetime bool phone email consent id".split())
ROWS = frozenset("line sale payment customer product payout".split())
STATUSES = frozenset("verified secondary unverified".split())
SHAPES = {"str": str, "int": int, "bool": bool, "Mapping[str, str]": dict}  # else tuple
ENDINGS = {"money": ("_cents",), "datetime": ("_at",), "date": ("_on", ".birthday")}
T = TypeVar("T")
CLOSE = 0.75  # difflib ratio from which two names are alike: "Quantity" and "Quantities" are

# Never loaded, whatever a layout or a mapping says. Compared with the whole header in lower case,
# every run of other signs made a blank, ``#`` made "no". Card data: PCI DSS 4.0, requirement 3.
FORBIDDEN = {
    "card number": r"((credit|debit|bank|payment|cc|full|masked|customer|gift) ?)*"
    r"card ?(no|nr|num|number)|cc ?(no|num|number)|((full|card) )?pan( number)?"
    r"|primary account number|(kredit)?karten ?(nummer|nr)|kaartnummer|номер карты"
    r"|num[eé]ro de (la )?carte( bancaire)?|numero (della )?carta"
    r"|n[uú]mero (de|do|de la) (tarjeta|cart[aã]o)( de cr[eé]dito)?"
    r"|(クレジット)?カード番号|(信用)?卡号",
    "security code": r"(.* )?(cvv ?2?|cvc ?2?|cvn ?2?|csc|cav2|card cid)( (code|number|no|value))?"
    r"|(.* )?(security|verification) (code|number|value)|(karten)?pr[uü]f(nummer|ziffer)"
    r"|cryptogramme( visuel)?|c[oó]d(igo|ice) (de|di) (seguridad|sicurezza|seguran[cç]a)"
    r"|セキュリティ ?コード|安全码",
    "track data": r"(.* )?(track ?([123]|one|two|three|data)|mag(netic)? ?stripe)( data)?",
    "card PIN": r"(card )?pin( (block|number|no))?",
    "network address": r"(.* )?ip ?(v?[46])?( ?addr(ess)?| ?adresse)?|remote addr(ess)?"
    r"|(adresse|direcci[oó]n|indirizzo|endere[cç]o) ip",
    "browser": r"(.* )?user ?agent( string)?",
}


class PosError(Exception):
    """Base of the errors below. Messages name layouts and column positions, never the file's text.

    Not even its header: in a file without one, the first line is a customer.
    """


class TillError(PosError):
    """A file in ``tills/`` is broken. ``file`` and ``key`` say where."""

    def __init__(self, file: str, key: str, problem: str) -> None:
        super().__init__(f"tills/{file}, {key}: {problem}")
        self.file, self.key = file, key


class UnknownLayout(PosError):
    """No layout fits. ``nearest`` is the id of the closest one, ``missing`` what it still needs."""

    def __init__(self, message: str, nearest: str = "", missing: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.nearest, self.missing = nearest, missing


class AmbiguousLayout(PosError):
    """Several layouts fit equally well. ``candidates`` are their ids."""

    def __init__(self, candidates: tuple[str, ...]) -> None:
        super().__init__(f"{' and '.join(candidates)} fit equally well; say which with layout=")
        self.candidates = candidates


class BadMapping(PosError):
    """A confirmed mapping leads to a header that no layout has, or loads a forbidden column."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One header of a layout and the field it fills; the keys are explained above."""

    field: str
    type: str
    header: str = ""
    match: str = ""
    also: tuple[str, ...] = ()
    part: str = ""
    format: str = ""
    zone: str = ""
    guard: str = ""
    sign: int = 1
    fill: bool = False
    sources: tuple[str, ...] = ()  # the key ``from``

    @property
    def names(self) -> tuple[str, ...]:
        """Return every plain header the column may have."""
        return (self.header, *self.also) if self.header else ()

    def fits(self, header: str) -> re.Match[str] | None:
        """Return the match of a templated header, None if it is another."""
        return re.fullmatch(self.match, clean(header), re.IGNORECASE) if self.match else None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One export of one vendor. Show the owner ``title``, ``status``, ``source`` and ``seen``."""

    id: str
    title: str
    vendor: str
    status: str
    source: str
    seen: str = ""
    row: str = ""
    header: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    forward_fill: str = ""
    row_needs: tuple[str, ...] = ()
    repeat: str = ""
    repeat_field: str = ""
    repeat_type: str = "text"
    columns: tuple[Column, ...] = ()  # the key ``column``
    totals: Mapping[str, str] = field(default_factory=dict)
    foots: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)

    def column(self, header: str) -> Column | None:
        """Return the column for a header of a file, None if the layout has no use for it."""
        name = normal(header)
        plain = (c for c in self.columns if name in map(normal, c.names))
        return next(plain, None) or next((c for c in self.columns if c.fits(header)), None)

    def accepts(self, header: str) -> set[str]:
        """Return the names, as compared, under which a header of this layout may stand."""
        column = self.column(header)
        return {normal(n) for n in column.names} if column and column.names else {normal(header)}


@dataclass(frozen=True)
class Pick:
    """One column of the file to load, in the words of `intake.Take`."""

    index: int  # from 0
    field: str
    type: str
    group: str  # "3" of "Product Item 3 Name"; else ""
    zone: str
    sign: int
    fill: bool
    key: bool  # it is forward_fill
    needed: bool  # it is in row_needs
    total: bool  # it is in totals


@dataclass(frozen=True)
class Match:
    """What a header means.

    Attributes:
        layout: The export it is from.
        picks: The columns to load, in the layout's order.
        dropped: (header, reason) of those that are never loaded.
        unmapped: Headers that the layout has no use for; not loaded either.
        missing: Headers that the layout could use and the file has not.
    """

    layout: Layout
    picks: tuple[Pick, ...]
    dropped: tuple[tuple[str, str], ...]
    unmapped: tuple[str, ...]
    missing: tuple[str, ...]


def clean(header: str) -> str:
    """Return a header without invisible signs, full-width letters and doubled blanks."""
    visible = re.sub("[\ufeff\u200b-\u200d\u2060]", "", header)
    return " ".join(unicodedata.normalize("NFKC", visible).split())


@functools.lru_cache(4096)  # each header is compared with some 300 others
def normal(header: str) -> str:
    """Return a header as headers are compared: clean, and in one case."""
    return clean(header).casefold()


def forbidden(header: str) -> str:
    """Say why a column of this name is never loaded (``"card number"``), or return ``""``."""
    plain = " ".join(re.sub(r"[\W_]+", " ", normal(header).replace("#", " no ")).split())
    return next((why for why, names in FORBIDDEN.items() if re.fullmatch(names, plain)), "")


@functools.cache
def layouts(folder: Path = TILLS) -> tuple[Layout, ...]:
    """Return every layout in ``tills/``, the unverified ones too; `TillError` if one is broken."""
    found: dict[str, Layout] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TillError(path.name, "the whole file", f"not TOML: {error}") from None
        tables, vendor = raw.get("layout"), raw.get("vendor")
        if not isinstance(vendor, str) or not isinstance(tables, list):
            raise TillError(path.name, "the whole file", "needs vendor and [[layout]]")
        for number, table in enumerate(tables, start=1):
            layout = _layout(table, vendor, path.name, f"layout {number}")
            if layout.id in found:
                raise TillError(path.name, layout.id, "this id is taken; give it another")
            found[layout.id] = layout
    return tuple(found.values())


def _make(kind: type[T], raw: object, error: Callable[[str, str], TillError]) -> T:
    """Make a `Layout` or `Column` of a TOML table; refuse keys unknown, missing or misshapen."""
    if not isinstance(raw, dict):
        raise error("", "should be a table")
    args = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
    for spec in fields(kind):  # type: ignore[arg-type]
        value = args.get(spec.name, spec.default)
        inside = [*value.values()] if isinstance(value, dict) else value
        shape = SHAPES.get(str(spec.type), tuple)
        if spec.name in args and type(value) is not shape:
            raise error(spec.name, "has the wrong shape; see README.md beside it")
        if isinstance(inside, tuple | list) and not {type(i) for i in inside} <= {str, Column}:
            raise error(spec.name, "should hold text only")
    try:
        return kind(**args)
    except TypeError as problem:  # a key too many or too few; says which
        raise error("", str(problem).partition(" ")[2]) from None


def _layout(raw: object, vendor: str, file: str, place: str) -> Layout:
    """Return one layout, checked."""
    table = dict(raw) if isinstance(raw, dict) else {}

    def error(key: str, problem: str, within: str = "") -> TillError:
        return TillError(file, ", ".join(filter(None, (within, key))), problem)

    place = str(table.get("id", place))
    columns, listed = [], table.pop("column", [])
    for column in listed if isinstance(listed, list) else [listed]:
        named = dict(column) if isinstance(column, dict) else {}
        at = f"{place}, column {named.get('header') or named.get('match')}"
        if "from" in named:
            named["sources"] = named.pop("from")
        columns.append(_make(Column, named, functools.partial(error, within=at)))
    table |= {"vendor": vendor, "columns": columns}
    layout = _make(Layout, table, functools.partial(error, within=place))
    for key, problem in _problems(layout):
        raise error(key, problem, place)
    return layout


def _problems(layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong with it)."""
    filled: dict[str, Column] = {}
    seen: set[str] = set()
    claims = bool(layout.header or layout.columns or layout.required)
    whole = (
        (not re.fullmatch(r"[a-z]+(\.[a-z]+){1,2}", layout.id), "id", "should be vendor.table"),
        (layout.status not in STATUSES, "status", f"known are {', '.join(sorted(STATUSES))}"),
        (not re.fullmatch(r"(20\d\d-[01]\d)?", layout.seen), "seen", "should be like 2026-07"),
        (claims == (layout.status == "unverified"), "status", "only an unverified one is empty"),
        (claims and layout.row not in ROWS, "row", f"known are {', '.join(sorted(ROWS))}"),
        (claims and not layout.required, "required", "missing or empty"),
        (bool(layout.repeat) != bool(layout.repeat_field), "repeat", "needs repeat_field as well"),
    )
    yield from ((key, problem) for bad, key, problem in whole if bad)
    for c in layout.columns:
        try:
            groups = [*re.compile(c.match).groupindex]
        except re.error:
            yield c.match, "not a regular expression"
            continue
        names = {normal(n) for n in c.names}
        first = filled.setdefault(c.field, c)
        typed = [t for t, ends in ENDINGS.items() if c.field.endswith(ends)]
        ending = typed[0] if typed else "text" if c.type in ENDINGS else c.type
        taken = first is not c and not (c.part and first.part and c.type == first.type)
        never = any(map(forbidden, names)) or names & {normal(n) for n in layout.drop}
        rules = (
            (bool(c.header) == bool(c.match), "needs header or match, and not both"),
            (not re.fullmatch(r"[a-z_]+\.[a-z][a-z0-9_]*", c.field), "field is not table.column"),
            (c.type not in TYPES, f"no such type; known are {', '.join(sorted(TYPES))}"),
            (ending != c.type, f"a field of this name is of type {ending}"),
            (c.sign not in ((1, -1) if c.type == "money" else (1,)), "sign is 1, or -1 for money"),
            (never, "this column may not be loaded"),
            (names & seen, "this header stands in two columns"),
            (taken, f"{c.field} is filled twice; give each column a part of its own"),
            (c.fill and not layout.forward_fill, "fill needs forward_fill in the layout"),
            (groups not in ([], [layout.repeat]), "a named part that is not the layout's repeat"),
        )
        yield from ((c.header or c.match, problem) for bad, problem in rules if bad)
        seen |= names
    known = seen | {normal(h) for h in layout.header}
    for key in ("required", "any", "constants", "row_needs"):
        if any(normal(h) not in known for h in getattr(layout, key)):
            yield key, "names a header that the layout does not have"
    if layout.forward_fill and layout.column(layout.forward_fill) is None:
        yield "forward_fill", "names a header without a column"
    for header, target in layout.totals.items():
        column = layout.column(header)
        if column is None or (column.field, column.type) != (target, "money"):
            yield "totals", f"{target} is not the money that this header fills"
    for target, terms in layout.foots.items():
        if any(f not in filled for f in (target, *re.split(" [+-] ", terms))):
            yield "foots", "should be fields of this layout, joined by + and -"


def recognise(
    header: Sequence[str],
    *,
    layout: str | None = None,
    confirmed: Mapping[str, str] | None = None,
    folder: Path = TILLS,
) -> Match:
    """Say which till export has this header, and what each column means.

    Case, blanks, invisible signs and order do not count. Among the layouts that fit, the one that
    knows most of the header wins.

    Args:
        header: The header line as it stands in the file.
        layout: The id of the layout, where the owner says so; its required headers must be there.
        confirmed: The shop's own mapping, file header → vendor header, for labels in another
            language: ``{"Correo electrónico": "Email"}``.
        folder: Where the layouts are.

    Raises:
        UnknownLayout: If none fits; names the nearest, and what it still needs.
        AmbiguousLayout: If two fit equally well.
        BadMapping: If *confirmed* leads nowhere, or renames a forbidden column.
        TillError: If a layout file is broken.
    """
    known = layouts(folder)
    mapping = {normal(ours): theirs for ours, theirs in (confirmed or {}).items()}
    shown = [mapping.get(normal(h), h) for h in header]
    names = {normal(h) for h in shown} - {""}
    for theirs in mapping.values():
        if not any(normal(theirs) in map(normal, y.header) or y.column(theirs) for y in known):
            raise BadMapping("confirmed: a header that no layout has; take one from the vendor's")
    if any(map(forbidden, [*mapping, *mapping.values()])):
        raise BadMapping("confirmed: a forbidden column; card and network data are never loaded")
    choice = [y for y in known if y.columns and layout in (None, y.id)]
    if not choice:
        alike = difflib.get_close_matches(layout or "", [y.id for y in known if y.columns], n=1)
        hint = f"; did you mean {alike[0]}" if alike else ""
        why = f"no layout has this id and a known header{hint}; kit tills lists them"
        raise UnknownLayout(why, "".join(alike))
    fitting = [y for y in choice if _fits(y, names)]
    if not fitting:
        raise _unknown(choice, names, shown)
    scores = {y.id: sum(1 for h in shown if _knows(y, h)) for y in fitting}
    best = [y for y in fitting if scores[y.id] == max(scores.values())]
    if len(best) > 1:
        raise AmbiguousLayout(tuple(y.id for y in best))
    return _match(best[0], header, shown)


def _knows(layout: Layout, header: str) -> bool:
    """Return True if a header belongs to the layout, used or not."""
    return normal(header) in map(normal, layout.header) or layout.column(header) is not None


def _fits(layout: Layout, names: set[str]) -> bool:
    """Apply required, any and forbidden."""
    return (
        all(layout.accepts(h) & names for h in layout.required)
        and (not layout.any or any(layout.accepts(h) & names for h in layout.any))
        and not names & {normal(h) for h in layout.forbidden}
    )


def _unknown(choice: Sequence[Layout], names: set[str], shown: Sequence[str]) -> UnknownLayout:
    """Return the error that names the nearest layout, and columns with nearly the wanted name."""
    places = {normal(h): n for n, h in enumerate(shown, start=1)}

    def near(layout: Layout) -> tuple[float, int]:
        there = sum(1 for h in layout.required if layout.accepts(h) & names)
        return there / len(layout.required), sum(1 for h in shown if _knows(layout, h))

    nearest = max(choice, key=near)
    if len(choice) > 1 and not near(nearest)[1]:
        return UnknownLayout("no till layout is near this file; export it again, with its header")
    missing = tuple(h for h in nearest.required if not nearest.accepts(h) & names)
    hints = []
    for wanted in missing:
        alike = difflib.get_close_matches(normal(wanted), [*places], n=1, cutoff=CLOSE)
        hints.append(
            f'"{wanted}"' + (f" (column {places[alike[0]]} is nearly it)" if alike else "")
        )
    wants = f"needs also {', '.join(hints)}" if hints else "is ruled out by another column"
    return UnknownLayout(
        f"no till layout fits this file; the nearest, {nearest.title} ({nearest.id}), {wants}; "
        "confirm a mapping from your header to the vendor's, or export again",
        nearest.id,
        missing,
    )


def _match(layout: Layout, header: Sequence[str], shown: Sequence[str]) -> Match:
    """Sort the columns of a file into loaded, never loaded, and without use."""
    found: list[tuple[Column, int, str]] = []
    dropped, unmapped = [], []
    drop = {normal(h) for h in layout.drop}
    for index, (own, name) in enumerate(zip(header, shown, strict=True)):
        why = (
            forbidden(own)
            or forbidden(name)
            or ("the layout says so" if normal(name) in drop else "")
        )
        column = layout.column(name)
        # a header that stands twice fills a text together; of an amount or a date the first counts
        twice = column and column.header and column.type != "text"
        if why:
            dropped.append((own, why))
        elif column is None or (twice and column in [c for c, _, _ in found]):
            unmapped.append(own or f"column {index + 1}")
        else:
            fit = column.fits(name)
            found.append((column, index, fit.groupdict().get(layout.repeat, "") if fit else ""))
    found.sort(key=lambda f: layout.columns.index(f[0]))

    def among(column: Column, headers: Iterable[str]) -> bool:
        return any(layout.column(h) is column for h in headers)

    picks = []
    for c, index, group in found:
        roles = [among(c, h) for h in ([layout.forward_fill], layout.row_needs, layout.totals)]
        picks.append(Pick(index, c.field, c.type, group, c.zone, c.sign, c.fill, *roles))
    there = [c for c, _, _ in found]
    missing = tuple(c.header for c in layout.columns if c.header and c not in there)
    return Match(layout, tuple(picks), tuple(dropped), tuple(unmapped), missing)
