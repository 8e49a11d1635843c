# SPDX-License-Identifier: MIT-0
"""Find every mistake in a folder of law rows before a customer's date is counted with one.

Copy: ``kit copy law_check --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

The files are read as they are, so that one wrong row does not hide the others::

    check(Path("facts"), today=date(2026, 11, 24), recompute=recompute)
    [Problem(level="fail", row="us-xx-law.answer", what="the quote has 16 words; 15 at most")]

fail     the row may mislead: a release must not leave with it
warn     a person should complete it: no quote yet, only a host as its address, nobody reviewed it
overdue  it was to be read again by now; a fail after 30 days

Worked examples are recomputed by what is handed in, so that this file counts no days itself.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

GRACE = timedelta(days=30)  # overdue for longer than that fails a release
LONGEST_QUOTE = 15  # words: enough to find the place again, too few to replace it
DUTIES = frozenset(
    "confirm_receipt respond extend stop_sale confirm_optout withhold verify delete keep_record "
    "notice loyalty_notice vendor_terms tell_people tell_authority tell_agency write_memo receipt "
    "store display retain secure stop_messages applies elements cure appeal collect consent "
    "liability counting definition".split()
)
EVENTS = frozenset(
    "received discovered notified determined reason_to_believe confirmed able_to_notify aware "
    "scope_identified vendor_told told_people clicked revoked id_info fee answered sent "
    "last_updated notice_given benefit_lost sold".split()
)
ONE_OF: Mapping[str, frozenset[str]] = {
    "duty": DUTIES,
    "confidence": frozenset({"high", "medium", "low"}),
    "quality": frozenset({"verified", "imported", "scraped"}),
    "recipient": frozenset(
        {"people", "attorney_general", "agency", "credit_bureaus", "authority", "owner"}
    ),
    "order": frozenset({"before_people", "with_people"}),
}
KINDS = frozenset({"privacy", "breach", "federal", "card", "other", "guidance"})
SOURCES = frozenset({"primary", "mirror-of-primary", "summary", "host-only", "not-recorded"})
REASONS = frozenset({"amended", "expired", "replaced", "corrected"})
UNITS = frozenset({"hour", "calendar_day", "business_day", "month"})
OPS = frozenset({">", ">=", "<", "<="})
PERIODS = frozenset({"calendar_year", "preceding_calendar_year", "one_year"})
COUNTINGS = frozenset({"bought_sold_shared", "sensitive", "offered_for_sale", "with_devices"})
NUMBERS = frozenset({"revenue_usd", "consumers", "sale_share_pct"})
PLACED = frozenset({"consumers", "residents_of", "shop_in", "sales_tax_in"})
YES_NO = frozenset(
    "any_sale sells_sensitive holds_sensitive sba_small has_website card_payments sends_email "
    "sends_texts is_financial_institution prints_receipts serves_children_online".split()
)
FIELDS = NUMBERS | PLACED | YES_NO | {"always", "stores_element_in"}
WRITTEN = ("id", "fact", "duty", "plain", "cite", "confidence", "quality")
DATED = ("read_on", "review_by")
ROW_KEYS = frozenset(
    {*WRITTEN, *DATED, "quote", "doubts", "applies_to", "source", "in_force", "reviewed_by"}
    | {"clock", "keep", "value", "breach", "elements", "only_if", "covered_if", "examples"}
    | {"recipient", "recipient_name", "order", "no_fixed_day", "scope", "superseded"}
)
LAW_KEYS = frozenset(
    {"key", "name", "jurisdiction", "kind", "in_force", "calendar", "covered_if", "includes"}
    | {"follows"}
)
CLOCK_KEYS = frozenset(
    {"start", "n", "unit", "first_day", "start_any", "start_needs", "stop", "extend", "calendar"}
    | {"count_saturday", "count_first_day", "sooner_of", "direction"}
)
BREACH = {
    "encrypted": {"key_matters", "safe", "not_read", "ignored"},
    "harm_test": {"none", "written"},
}
EXTEND_KEYS = {"n", "unit", "total_from", "notice_by", "needs_reason"}

Raw: TypeAlias = Mapping[str, Any]
Recompute: TypeAlias = Callable[[str, Raw], Iterable[str]]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and in which row."""

    level: str
    row: str
    what: str


def check(
    folder: Path, *, today: date, recompute: Recompute | None = None, used: Iterable[str] = ()
) -> list[Problem]:
    """Return what is wrong with a folder of facts, the worst first.

    Args:
        folder: The files, with ``obsolete/`` and ``CHANGES.md`` in it.
        today: Tells what is overdue, and what was read in the future.
        recompute: Given a row's id and one of its examples, says what does not come out.
        used: Ids and facts that lessons and programs ask for.
    """
    found: list[Problem] = []
    files = _Files(folder, found)
    for row in files.rows:
        id_ = str(row.get("id") or f"row {row['_number']} of {row['_file']}")
        try:
            found += [Problem("fail", id_, what) for what in _row_faults(row, files, today)]
            found += [Problem("warn", id_, what) for what in _to_complete(row)]
        except (AttributeError, KeyError, TypeError, ValueError):  # a list for a table, say
            found.append(Problem("fail", id_, "a part of it is of the wrong kind"))
        found += _overdue(id_, row, today)
        if recompute and row.get("id"):
            for number, example in enumerate(row.get("examples", ()), 1):
                faults = recompute(str(row["id"]), example)
                found += [Problem("fail", id_, f"example {number}: {what}") for what in faults]
    for one in files.calendars:
        found += [Problem("fail", str(one.get("key")), what) for what in _calendar_faults(one)]
        found += _overdue(str(one.get("key")), one, today, "compare the list, then mend its dates")
    found += [Problem("fail", name, "is used, but there is no such row") for name in
              sorted(set(used) - files.ids - files.facts)]  # fmt: skip
    return sorted(found, key=lambda one: (("fail", "overdue", "warn").index(one.level), one.row))


def undocumented(before: Path, after: Path) -> list[Problem]:
    """Return the rows that differ between two states of a folder and have no new line for it.

    A row's sentence, number or date that changes needs a line in CHANGES.md that was not there
    before; a rule that changes is a new row, and the old one gets its last day.
    """
    old = {row.get("id"): row for row in _Files(before, []).rows}
    lines = set(_text(before / "CHANGES.md").splitlines())
    new = "\n".join(x for x in _text(after / "CHANGES.md").splitlines() if x not in lines)
    found = []
    for row in _Files(after, []).rows:
        was = old.pop(row.get("id"), None)
        if not _same(was, row) and not _mentions(new, row):
            found.append(
                Problem("fail", str(row.get("id")), "changed without a line in CHANGES.md")
            )
    gone = [Problem("fail", str(id_), "was deleted; give it a last day instead") for id_ in old]
    return found + gone


class _Files:
    """What stands in the folder."""

    def __init__(self, folder: Path, found: list[Problem]) -> None:
        self.rows: list[dict[str, Any]] = []
        self.changes = _text(folder / "CHANGES.md")
        elements = _tables(folder / "elements.toml", "element", found)
        self.elements = {one.get("name") for one in elements}
        self.calendars = _tables(folder / "calendars.toml", "calendar", found)
        names = [one.get("name") for one in elements]
        for name in {name for name in names if names.count(name) > 1}:
            found.append(Problem("fail", str(name), "is twice in elements.toml"))
        for path in sorted([*folder.glob("*.toml"), *folder.glob("obsolete/*.toml")]):
            if path.stem in ("elements", "calendars"):
                continue
            said = _toml(path, found)
            head = said["law"] if isinstance(said.get("law"), Mapping) else {}
            key = str(head.get("key"))
            if said:
                found += [Problem("fail", key, what) for what in _law_faults(head, path, self)]
            for number, row in enumerate(_tables(path, "row", found, said), 1):
                self.rows.append({**row, "_law": key, "_file": path.name, "_number": number})
        self.ids = {row.get("id") for row in self.rows}
        self.facts = {row.get("fact") for row in self.rows}


def _toml(path: Path, found: list[Problem]) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found.append(Problem("fail", path.name, "is missing"))
    except (OSError, ValueError) as error:
        found.append(Problem("fail", path.name, f"cannot be read: {error}"))
    return {}


def _tables(path: Path, name: str, found: list[Problem], said: Raw | None = None) -> list[Raw]:
    some = (_toml(path, found) if said is None else said).get(name, [])
    if isinstance(some, list) and all(isinstance(one, Mapping) for one in some):
        return some
    found.append(Problem("fail", path.name, f"write each {name} as [[{name}]], in two brackets"))
    return []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _law_faults(head: Raw, path: Path, files: _Files) -> Iterator[str]:
    yield from (f"{key!r} is not known under [law]" for key in head if key not in LAW_KEYS)
    for key in ("key", "name", "jurisdiction", "kind"):
        if not head.get(key):
            yield f"[law] has no {key}"
    if path.parent.name != "obsolete" and path.stem != head.get("key"):
        yield f"the key is not the file's name, {path.stem}"
    if not re.fullmatch(r"US-[A-Z]{2}|[A-Z]{2}|any", str(head.get("jurisdiction"))):
        yield "the jurisdiction must be like US-CA, US, EU or any"
    if head.get("kind") not in KINDS:
        yield f"kind must be one of {', '.join(sorted(KINDS))}"
    if head.get("calendar", "") not in {"", *(one.get("key") for one in files.calendars)}:
        yield f"calendar {head['calendar']!r} is not in calendars.toml"
    if tree := head.get("covered_if"):
        if "value" in str(tree):
            yield "covered_if under [law] must hold no number; write a row for it"
        yield from _tree_faults(tree, files.elements)


def _row_faults(row: Raw, files: _Files, today: date) -> Iterator[str]:
    id_, quote = str(row.get("id", "")), row.get("quote")
    yield from (
        f"{key!r} is not known" for key in row if key not in ROW_KEYS and not key.startswith("_")
    )
    for key in WRITTEN:
        if not isinstance(row.get(key), str) or not row[key].strip():
            yield f"{key} is missing"
    for key in DATED:
        if not _is_day(row.get(key)):
            yield f"{key} is missing or no date"
    for key, allowed in ONE_OF.items():
        if key in row and row[key] not in allowed:
            yield f"{key} {row[key]!r} is not one of {', '.join(sorted(allowed))}"
    if not id_.startswith(f"{row['_law']}."):
        yield f"the id must begin with {row['_law']} and a dot"
    if sum(other.get("id") == id_ for other in files.rows) > 1:
        yield "the id is there twice"
    if not isinstance(quote, str):
        yield 'quote is missing; write quote = "" if nobody read the words'
    else:
        if len(quote.split()) > LONGEST_QUOTE:
            yield f"the quote has {len(quote.split())} words; {LONGEST_QUOTE} at most"
        if "..." in quote or "…" in quote:
            yield "the quote has an ellipsis; take words that stand together"
        if not quote.strip() and row.get("quality") == "verified":
            yield "verified, but without a quote"
    if _is_day(row.get("read_on")) and row["read_on"] > today:
        yield "read_on is in the future"
    yield from _source_faults(row.get("source"))
    yield from _force_faults(row, files)
    yield from _clock_faults(row)
    yield from _duty_faults(row, files)
    if not _mentions(files.changes, row):
        yield "has no line in CHANGES.md"


def _source_faults(source: Any) -> Iterator[str]:
    if not isinstance(source, Mapping) or source.get("kind") not in SOURCES:
        yield f"source must have a kind: {', '.join(sorted(SOURCES))}"
        return
    name, url, kind = source.get("name"), str(source.get("url", "")), source["kind"]
    if not name:
        yield "source has no name"
    if kind == "host-only" and not re.fullmatch(r"(https?://)?[\w.-]+\.[a-z]+/?", url):
        yield "source.url must be the host alone while it is host-only"
    if kind not in ("host-only", "not-recorded") and not re.match(r"https?://\S+\.\S+", url):
        yield "source.url must be an address"


def _force_faults(row: Raw, files: _Files) -> Iterator[str]:
    force = row.get("in_force")
    if not isinstance(force, Mapping) or not _is_day(force.get("from")):
        yield "in_force.from is missing"
        return
    if "to" in force and not (_is_day(force["to"]) and force["to"] >= force["from"]):
        yield "in_force.to is no date on or after in_force.from"
    past = row.get("superseded")
    if past is not None:
        if past.get("reason") not in REASONS or "to" not in force:
            yield f"superseded needs in_force.to and a reason: {', '.join(sorted(REASONS))}"
        if past.get("by") and past["by"] not in files.ids:
            yield f"superseded by {past['by']!r}, which is no row"
    for other in files.rows:
        if other.get("id") != row.get("id") and _scope(other) == _scope(row):
            theirs = other.get("in_force", {})
            if _is_day(theirs.get("from")) and (
                theirs["from"] <= force.get("to", date.max)
                and force["from"] <= theirs.get("to", date.max)
            ):
                yield f"in force at the same time as {other.get('id')}, for the same duty"


def _scope(row: Raw) -> tuple[str, ...]:
    keys = ("_law", "duty", "fact", "recipient", "recipient_name", "applies_to", "scope")
    return tuple(str(row.get(key, "")) for key in keys)


def _clock_faults(row: Raw) -> Iterator[str]:
    keep, clock = row.get("keep"), row.get("clock")
    if keep is not None and not _counts(keep, {"start"}):
        yield "keep must have n, unit and start"
    if clock is None:
        return
    yield from (f"clock: {key!r} is not known" for key in clock if key not in CLOCK_KEYS)
    starts = {*clock.get("start_any", ()), *clock.get("start_needs", ())}
    several = clock.get("start") in ("latest_of", "earliest_of")
    if not _counts(clock, {"latest_of", "earliest_of"} if starts else set()):
        yield "clock must have n, a unit and a start that is known"
    if several != bool(clock.get("start_any")) or not starts <= EVENTS:
        yield "clock: start_any goes with latest_of or earliest_of, and names events"
    if clock.get("first_day") not in ("next", "same"):
        yield "clock: first_day must be next or same"
    if clock.get("direction", "before") != "before":
        yield "clock: direction can only be before"
    for other in clock.get("sooner_of", ()):
        if not _counts(other, set()):
            yield "clock: sooner_of must have n, unit and start"
    if (by := clock.get("extend")) is not None:
        if set(by) != EXTEND_KEYS or by["unit"] != clock.get("unit"):
            yield f"clock: extend must have {', '.join(sorted(EXTEND_KEYS))} in the clock's unit"
        elif (
            by["total_from"] not in {clock.get("start"), *starts} or by["notice_by"] != "first_due"
        ):
            yield "clock: extend counts from the clock's own start, with notice_by first_due"
    if row.get("confidence") == "low":
        yield "a row of low confidence must have no clock; say the number in its sentence"
    if row.get("confidence") == "medium" and not row.get("doubts"):
        yield "a clock of medium confidence must say its doubts"
    if not row.get("examples"):
        yield "a clock without a worked example"


def _counts(clock: Raw, others: set[str]) -> bool:
    n = clock.get("n")
    whole = isinstance(n, int) and not isinstance(n, bool) and n >= 0
    return whole and clock.get("unit") in UNITS and clock.get("start") in EVENTS | others


def _duty_faults(row: Raw, files: _Files) -> Iterator[str]:
    duty, tree = str(row.get("duty")), row.get("covered_if")
    if duty == "applies" and not tree:
        yield "says whom the law binds, but has no covered_if"
    if tree is not None:
        yield from _tree_faults(tree, files.elements)
    if duty.startswith("tell_"):
        if not row.get("recipient"):
            yield "must name a recipient"
        if not row.get("clock") and not row.get("no_fixed_day") and row.get("confidence") != "low":
            yield "must have a clock, or say no_fixed_day"
    limit = row.get("only_if")
    if limit is not None and (
        limit.get("op") not in OPS or limit.get("field") not in ("residents", "consumers")
    ):
        yield "only_if must be a number of residents or consumers with an op"
    breach = row.get("breach", {})
    for key, allowed in BREACH.items():
        if breach and breach.get(key) not in allowed:
            yield f"breach.{key} must be one of {', '.join(sorted(allowed))}"
    if breach and breach.get("elements") not in files.facts | {"unknown", "any"}:
        yield f"breach.elements {breach.get('elements')!r} is no fact"
    if breach.get("memo") and breach["memo"] not in files.facts:
        yield f"breach.memo {breach['memo']!r} is no fact"
    groups = row.get("elements", {}).get("combinations", [])
    if duty == "elements" and not groups:
        yield "must list combinations of elements"
    named = {name for combination in groups for group in combination for name in group}
    named |= set(row.get("value", {}).get("elements", ()))
    for name in sorted(named - files.elements):
        yield f"element {name!r} is not in elements.toml"


def _tree_faults(tree: Any, elements: set[Any]) -> Iterator[str]:
    kinds = [word for word in ("any", "all", "not", "not_in_files", "field") if word in tree]
    if len(kinds) != 1:
        yield "covered_if: each node is one of any, all, not, not_in_files or a field"
        return
    kind = kinds[0]
    if kind in ("any", "all"):
        if not tree[kind]:
            yield f"covered_if: {kind} is empty"
        for one in tree[kind]:
            yield from _tree_faults(one, elements)
    elif kind == "not":
        yield from _tree_faults(tree["not"], elements)
    elif kind == "field":
        yield from _leaf_faults(tree, elements)


def _leaf_faults(leaf: Raw, elements: set[Any]) -> Iterator[str]:
    name, value = leaf["field"], leaf.get("value")
    if name not in FIELDS:
        yield f"covered_if: {name!r} is not known"
    if (name in NUMBERS) != (leaf.get("op") in OPS) or (
        name in NUMBERS and (isinstance(value, bool) or not isinstance(value, (int, float)))
    ):
        yield f"covered_if: {name} must be held against a value with an op"
    if (name in PLACED) != ("place" in leaf):
        yield f"covered_if: {name} must have a place, others none"
    if leaf.get("period", "one_year") not in PERIODS:
        yield f"covered_if: period must be one of {', '.join(sorted(PERIODS))}"
    if leaf.get("counting", "sensitive") not in COUNTINGS:
        yield f"covered_if: counting must be one of {', '.join(sorted(COUNTINGS))}"
    for element in leaf.get("elements", ()):
        if element not in elements:
            yield f"element {element!r} is not in elements.toml"
    more = {"op", "value", "place", "period", "counting", "exclude_payment_only", "is", "elements"}
    yield from (f"covered_if: {key!r} is not known" for key in leaf if key not in {"field", *more})


def _to_complete(row: Raw) -> Iterator[str]:
    if row.get("quality") != "verified" and not row.get("quote"):
        yield "quote to be supplied by a person"
    if row.get("source", {}).get("kind") in ("host-only", "not-recorded"):
        yield "the source has no full address yet"
    if not row.get("reviewed_by", {}).get("name"):
        yield "nobody has reviewed it"


def _overdue(id_: str, row: Raw, today: date, then: str = "kit law review") -> list[Problem]:
    review_by, force = row.get("review_by"), row.get("in_force")
    ends = force.get("to") if isinstance(force, Mapping) else None
    if not _is_day(review_by) or review_by >= today or (_is_day(ends) and ends < today):
        return []  # a rule that has ended is not read again
    level = "overdue" if today - review_by <= GRACE else "fail"
    return [Problem(level, id_, f"was to be read again by {review_by}; {then}")]


def _calendar_faults(one: Raw) -> Iterator[str]:
    days = [day.get("on") for day in one.get("days", [])]
    years = range(one.get("from_year", 0), one.get("to_year", -1) + 1)
    if not years or {day.year for day in days} != set(years):
        yield "must have days in every year from from_year to to_year, and in no other"
    if not one.get("source", {}).get("name") or not _is_day(one.get("read_on")):
        yield "must say its source and read_on"
    if len(set(days)) != len(days):
        yield "has a day twice"


def _mentions(text: str, row: Raw) -> bool:
    """Tell whether the list of changes has a line for a row, or for all of its law."""
    return f"`{row.get('id')}`" in text or f"`{row.get('_law')}.*`" in text


def _same(was: Raw | None, row: Raw) -> bool:
    plain = {key: value for key, value in row.items() if not key.startswith("_")}
    return was is not None and plain == {k: v for k, v in was.items() if not k.startswith("_")}


def _is_day(value: Any) -> TypeGuard[date]:
    return isinstance(value, date) and not isinstance(value, datetime)
