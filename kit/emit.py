# SPDX-License-Identifier: MIT-0
"""Write a made-up shop as a till vendor would export it, so that an import can be proven.

Copy: ``kit copy emit --into DIR``, or take this file as it is.
Needs: Python 3.11, numpy, pyarrow. Nothing else from this kit.
Data: tills.

In: the tables of a made-up shop, by name (``sales``, ``lines``, ``customers`` …; ids, cents, UTC
moments). Out: one CSV file, its header and its cells as ``tills/<vendor>.toml`` says: the order of
columns, the money style, the date format in the shop's own time, the apostrophes against
spreadsheets, the order-level cells that Shopify leaves blank after a sale's first line.

What the shop does not know is written as the layout's constants or left blank. Totals that a till
would keep (visits, amounts refunded) are summed from the tables. Columns that a reader must never
load (IP address, user agent) are filled with junk, so that a test can look for it. Only layouts
whose header was seen (verified) or noted down by others (secondary) are written.

Text that a spreadsheet would run as a formula gets an apostrophe in front, as the vendors' own
exports do. A telephone number that begins with + stays as it is.
"""

from __future__ import annotations

import difflib
import itertools
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

TILLS = Path(__file__).with_name("tills")
TABBED = ("toast.mix",)  # the others are separated by commas
ROOTS = {
    "line": "lines",
    "sale": "sales",
    "payment": "payments",
    "customer": "customers",
    "product": "products",
}
LINKS = {  # which row of another table belongs to a row, and by which id; the first one counts
    "lines": {"sales": "sale_id", "products": "product_id"},
    "payments": {"sales": "sale_id"},
    "sales": {
        "stores": "store_id",
        "employees": "employee_id",
        "customers": "customer_id",
        "payments": "sale_id",
    },
    "customers": {"addresses": "customer_id"},
    "products": {"categories": "category_id", "suppliers": "supplier_id"},
}
SUMS = {  # what a till keeps: table and key, column and how
    "customers.visits": ("sales", "customer_id", "sale_id", "count"),
    "customers.spent_cents": ("sales", "customer_id", "total_cents", "sum"),
    "customers.first_visit_on": ("sales", "customer_id", "sold_at", "min"),
    "customers.last_visit_on": ("sales", "customer_id", "sold_at", "max"),
    "sales.refunded_cents": ("refunds", "sale_id", "amount_cents", "sum"),
    "sales.paid_cents": ("payments", "sale_id", "amount_cents", "sum"),
    "sales.units": ("lines", "sale_id", "quantity", "sum"),
    "payments.refunded_cents": ("refunds", "payment_id", "amount_cents", "sum"),
    "payments.paid_on": ("payments", "payment_id", "paid_at", "min"),
    "products.units": ("lines", "product_id", "quantity", "sum"),
    "products.gross_cents": ("lines", "product_id", "gross_cents", "sum"),
    "products.discount_cents": ("lines", "product_id", "discount_cents", "sum"),
    "products.net_cents": ("lines", "product_id", "net_cents", "sum"),
}
JUNK = {  # made up, and never to be seen again after an import
    "customer_ip_address": "203.0.113.7",
    "customer_user_agent": "Mozilla/5.0 (made up)",
    "Card number": "424242******4242",
}
OTHER = {"name": "Sales tax", "rate": "8.25", "key": "campaign"}  # <…> that no table fills in
RAILS = {
    "America/New_York": "Eastern Time (US & Canada)",
    "America/Chicago": "Central Time (US & Canada)",
    "America/Denver": "Mountain Time (US & Canada)",
    "America/Los_Angeles": "Pacific Time (US & Canada)",
    "America/Phoenix": "Arizona",
    "America/Juneau": "Alaska",
    "Pacific/Honolulu": "Hawaii",
}
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
SECOND, QUARTER, DAY = 1_000_000, 900_000_000, 86_400_000_000  # microseconds
FORMULA = "^[=+@\t\r-]"

Ints = NDArray[np.int64]
Places = Mapping[str, pa.Array]  # of each table, the row that belongs to each row of the file
Spec = Mapping[str, Any]  # one column of a layout; its keys are explained in pos.py


class EmitError(Exception):
    """Base of the errors below."""


class UnknownLayout(EmitError):
    """No layout has this id, or nobody has seen a file of it."""


class NotInShop(EmitError):
    """The made-up shop has no table that this layout's rows could come from."""


class AlreadyThere(EmitError):
    """The file exists, and is not overwritten."""


def layouts() -> list[str]:
    """List the ids of the layouts that can be written, in alphabetical order."""
    return sorted(i for i, plan in _all().items() if "header" in plan and plan["row"] in ROOTS)


def emit(
    tables: Mapping[str, pa.Table],
    layout: str,
    path: Path,
    *,
    rows: int = 65_536,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Write the shop's rows as one of a vendor's exports.

    Args:
        tables: The made-up shop. Times are written in the time zone of its first store.
        layout: An id such as ``"square.items"``, from `layouts`.
        path: The new file. It must not exist.
        rows: How many are formatted at once; 79 columns of them are some 50 MB of text.
        progress: Told how many rows of how many are done.

    Returns:
        *path*.

    Raises:
        UnknownLayout: If there is no such layout, or its header was never seen.
        NotInShop: If the layout's rows are of a kind that *tables* does not have.
        AlreadyThere: If *path* exists.
    """
    plan = _plan(layout)
    root = "sales" if plan["row"] == "line" and "repeat" in plan else ROOTS.get(plan["row"], "")
    if root not in tables:
        raise NotInShop(f"the made-up shop has no {plan['row']} rows; choose another layout")
    if path.exists():
        raise AlreadyThere(f"{path.name} is already there; choose another name")
    zone = ZoneInfo(tables["stores"]["time_zone"][0].as_py() if "stores" in tables else "UTC")
    shop = _with_sums(tables, {spec["field"] for spec in plan["column"]}, zone)
    total = shop[root].num_rows
    places = _places(shop, root, pa.array(np.arange(total)))
    if root == "products" and "stores" in shop:  # stock is kept by shop: it stands at one store
        places["stores"] = pa.repeat(pa.scalar(0, pa.int64()), total)
    known = _known(plan, shop)
    columns = list(_columns(plan, shop, root, places))
    schema = pa.schema([(header, pa.string()) for header, _, _ in columns])
    again = np.zeros(total, bool)  # a line after the first one of its sale
    if root == "lines":
        again[1:] = np.diff(places["sales"].to_numpy()) == 0
    options = csv.WriteOptions(delimiter="\t" if layout in TABBED else ",")
    with csv.CSVWriter(path, schema, write_options=options) as writer:
        for start in range(0, total, rows):
            cells = []
            for header, spec, own in columns:
                here = {table: at.slice(start, rows) for table, at in own.items()}
                values = _cells(spec, known, here) if spec and own else None
                if spec and values is not None:  # few values are distinct: write each once
                    each = pc.dictionary_encode(values)
                    text = _written(spec, each.dictionary, zone).take(each.indices)
                else:
                    fixed = JUNK.get(header) or plan.get("constants", {}).get(header)
                    text = pa.repeat(pa.scalar(fixed, pa.string()), min(rows, total - start))
                if spec and spec.get("fill") and header != plan["forward_fill"]:
                    text = pc.if_else(pa.array(again[start : start + rows]), None, text)
                cells.append(text)
            writer.write_batch(pa.record_batch(cells, schema=schema))
            if progress:
                progress(min(start + rows, total), total)
    return path


@cache
def _all() -> dict[str, dict[str, Any]]:
    files = [
        tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(TILLS.glob("*.toml"))
    ]
    return {plan["id"]: plan for file in files for plan in file["layout"]}


def _plan(layout: str) -> dict[str, Any]:
    """Return a layout that may be written."""
    if layout not in _all():
        near = difflib.get_close_matches(layout, _all(), n=1, cutoff=0)
        raise UnknownLayout(f"there is no layout of this name; did you mean {near[0]}")
    plan = _all()[layout]
    if plan["status"] == "unverified":
        raise UnknownLayout(
            f"nobody has seen a file of {layout}, so none is made up; choose another"
        )
    return plan


def _with_sums(
    tables: Mapping[str, pa.Table], fields: set[str], zone: ZoneInfo
) -> dict[str, pa.Table]:
    """Return the tables with the totals that a till keeps, as far as *fields* asks for them."""
    shop = dict(tables)
    for target, (source, key, column, how) in SUMS.items():
        table, _, name = target.partition(".")
        if target not in fields or not {table, source} <= shop.keys():
            continue
        sums = shop[source].group_by(key).aggregate([(column, how)])
        at = pc.index_in(shop[table][key], value_set=sums[key])
        found = sums[f"{column}_{how}"].combine_chunks().take(at.combine_chunks())
        if how in ("sum", "count"):
            found = found.fill_null(0)
        else:  # the day in the shop's zone
            local, _, _ = _local(found, zone)
            days = pa.array((local // DAY).astype(np.int32), pa.date32())
            found = pc.if_else(found.is_valid(), days, None)
        shop[table] = shop[table].append_column(name, found)
    return shop


def _places(shop: Mapping[str, pa.Table], root: str, rows: pa.Array) -> dict[str, pa.Array]:
    """Follow the ids from the rows of one table to the rows of every other that belong to them."""
    places = {root: rows}
    todo = [root]
    for table in todo:  # grows while it is walked
        for other, key in LINKS.get(table, {}).items():
            if other in shop and other not in places:
                ids = shop[table][key].combine_chunks()
                at = pc.index_in(ids, value_set=shop[other][key].combine_chunks(), skip_nulls=True)
                places[other] = at.take(places[table]).cast(pa.int64())
                todo.append(other)
    return places


def _columns(
    plan: Mapping[str, Any], shop: Mapping[str, pa.Table], root: str, places: Places
) -> Iterator[tuple[str, Spec | None, Places]]:
    """Yield each header of the file, its column if it has a use, and where its cells come from."""
    groups: list[tuple[str, Places]] = []
    if plan.get("repeat_field") == "stores.name":
        names = shop["stores"]["name"].to_pylist()
        groups = [(name, {} if i else places) for i, name in enumerate(names)]
    elif "repeat" in plan:
        lines = shop["lines"]
        for number in range(1, pc.max(lines["line_number"]).as_py() + 1):
            rows = pc.indices_nonzero(pc.equal(lines["line_number"], number))
            sales = lines["sale_id"].combine_chunks().take(rows)
            at = rows.take(pc.index_in(shop[root]["sale_id"].combine_chunks(), value_set=sales))
            groups.append((str(number), _places(shop, "lines", at.cast(pa.int64()))))

    def kind(header: str) -> tuple[str, bool]:  # the groups of a run take turns
        return re.sub("[^<]*<?([^>]*).*", r"\1", header), header.endswith(">")

    for (part, _), run in itertools.groupby(plan["header"], kind):
        headers = list(run)
        repeated = part.casefold() in (str(plan.get("repeat")), "loc")
        for name, own in groups if repeated else [(OTHER.get(part, ""), places)]:
            for header in headers:
                shown = header.replace(f"<{part}>", name).replace("<rate>", OTHER["rate"])
                yield shown, _spec(plan, shown), own


def _spec(plan: Mapping[str, Any], header: str) -> Spec | None:
    """Return the column of a layout that a header belongs to."""
    for spec in plan["column"]:
        if header == spec.get("header") or re.fullmatch(spec.get("match", "$^"), header):
            return dict(spec)
    return None


def _known(plan: Mapping[str, Any], shop: Mapping[str, pa.Table]) -> dict[str, pa.Array]:
    """Return every field of a layout that the shop has, in one piece."""
    known = {}
    for field in {
        field for spec in plan["column"] for field in (spec["field"], *spec.get("from", []))
    }:
        table, _, name = field.partition(".")
        if table in shop and name in shop[table].column_names:
            known[field] = shop[table][name].combine_chunks()
    return known


def _cells(spec: Spec, known: Mapping[str, pa.Array], places: Places) -> pa.Array | None:
    """Return a field for some rows of the file, or nothing if the shop does not know it."""

    def take(field: str) -> pa.Array | None:
        at = places.get(field.partition(".")[0])
        return known[field].take(at) if field in known and at is not None else None

    values = take(spec["field"])
    if values is None:
        found = [take(field) for field in spec.get("from", [])]
        if not found or any(part is None for part in found):
            return None
        # null_handling="skip" loses rows that are null in every column (pyarrow 26)
        joined = pc.binary_join_element_wise(*found, " ", null_handling="replace")
        values = pc.utf8_trim_whitespace(joined)
    blank = spec.get("part", "first") != "first" and spec["type"] == "text"
    return None if blank else values  # the whole text stands in the first part


def _written(spec: Spec, values: pa.Array, zone: ZoneInfo) -> pa.Array:
    """Write values as the vendor does."""
    style = spec.get("format", "")
    if spec["type"] in ("datetime", "date"):
        zone = ZoneInfo(spec["zone"]) if "zone" in spec else zone
        return _moments(values, style or "%Y-%m-%d %H:%M:%S", zone)
    if spec["type"] == "money":
        return _money(pc.multiply(values, spec.get("sign", 1)), style)
    if spec["type"] in ("bool", "consent"):
        yes, no = (style or "yes/no").split("/")
        return pc.if_else(values, yes, no)
    text = values.cast(pa.string())
    text = pc.if_else(pc.equal(text, ""), None, text)
    if spec["type"] == "number":
        return pc.binary_join_element_wise(text, ".0" if "." in style else "", "")
    if spec.get("guard") == "=":
        return pc.binary_join_element_wise('="', text, '"', "")
    risky = pc.match_substring_regex(text, FORMULA)
    guarded = pc.binary_join_element_wise("'", text, "")
    if spec.get("guard"):
        return guarded
    return text if spec["type"] == "phone" else pc.if_else(risky, guarded, text)


def _money(cents: pa.Array, style: str) -> pa.Array:
    """Write cents like the sample *style*: ``$1,234.56``, ``1234.56000000``."""
    amount = pc.abs(cents)
    whole = pc.divide(amount, 100)
    rest = pc.utf8_lpad(pc.subtract(amount, pc.multiply(whole, 100)).cast(pa.string()), 2, "0")
    text = whole.cast(pa.string())
    for _ in range(6 if "," in style else 0):  # one comma each, from the right: enough for int64
        text = pc.replace_substring_regex(text, r"^(\d+)(\d{3})", r"\1,\2")
    sign = pc.if_else(pc.less(cents, 0), "-", "")
    mark, zeros = ("$" if "$" in style else ""), "0" * (len(style.partition(".")[2]) - 2)
    written = pc.binary_join_element_wise(sign, mark, text, ".", rest, "")
    return pc.binary_join_element_wise(written, zeros, "")


def _local(moments: pa.Array, zone: ZoneInfo) -> tuple[Ints, Ints, list[tuple[int, str]]]:
    """Return local microseconds, and which of some (minutes ahead of UTC, abbreviation) holds."""
    utc = moments.cast(pa.int64()).fill_null(0).to_numpy()
    quarters, which = np.unique(utc // QUARTER, return_inverse=True)  # clocks change on these
    epoch, rules = datetime(1970, 1, 1, tzinfo=UTC), []
    for quarter in quarters.tolist():
        at = (epoch + quarter * timedelta(minutes=15)).astimezone(zone)
        rules.append(((at.utcoffset() or timedelta()) // timedelta(minutes=1), at.tzname() or ""))
    ahead = np.array([minutes for minutes, _ in rules], np.int64)
    return utc + ahead[which] * 60 * SECOND, which, rules


def _moments(values: pa.Array, style: str, zone: ZoneInfo) -> pa.Array:
    """Write dates and times by a strftime pattern, or name their zone.

    Not by strftime itself: ``%-d`` is unknown to Windows, and ``%b`` follows its language.
    """
    if pa.types.is_date(values.type):
        local = values.cast(pa.int32()).fill_null(0).to_numpy().astype(np.int64) * DAY
        which, rules = local, list[tuple[int, str]]()
    else:
        local, which, rules = _local(values, zone)
    names = {"name": RAILS.get(zone.key, zone.key), "iana": zone.key, "abbreviation": "%Z"}
    day = local.astype("M8[us]").astype("M8[D]")
    month = day.astype("M8[M]")
    second = local % DAY // SECOND
    hour = second // 3600
    number = {
        "Y": day.astype("M8[Y]").astype(np.int64) + 1970,
        "m": month.astype(np.int64) % 12 + 1,
        "d": (day - month).astype(np.int64) + 1,
        "H": hour,
        "I": (hour + 11) % 12 + 1,
        "M": second // 60 % 60,
        "S": second % 60,
    }
    number["y"] = number["Y"] % 100
    parts: list[pa.Array | str] = []
    text = names.get(style, style)
    for piece in re.findall("%-?[A-Za-z]|[^%]+", text):
        letter = piece[-1]
        if not piece.startswith("%"):
            parts.append(piece)
        elif letter == "b":
            parts.append(pa.array(MONTHS).take(pa.array(number["m"] - 1)))
        elif letter == "p":
            parts.append(pa.array(["AM", "PM"]).take(pa.array(hour // 12)))
        elif letter in "zZ":
            shown = [name if letter == "Z" else _offset(ahead) for ahead, name in rules]
            parts.append(pa.array(shown, pa.string()).take(pa.array(which)))
        else:
            width = 1 if "-" in piece or letter == "Y" else 2
            parts.append(pc.utf8_lpad(pa.array(number[letter]).cast(pa.string()), width, "0"))
    written = pc.binary_join_element_wise(*parts, "")
    return pc.if_else(values.is_valid(), written, None)


def _offset(minutes: int) -> str:
    """Write minutes ahead of UTC as ``-0400``."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
