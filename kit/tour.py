# SPDX-License-Identifier: MIT-0
"""Walk through the whole life of customer data on a made-up shop, in the terminal, in a minute.

Every step runs the real tools on real files; what it says is counted, not written here.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from kit import show
from kit.inventory import Inventory

CUSTOMERS = 1_000
SEED = 42
ZONE = "America/New_York"  # where the made-up shop is

Say = Callable[[str], None]
Progress = Callable[[str], AbstractContextManager[Callable[[int, int | None], None]]]


def walk(folder: Path | None, *, say: Say, progress: Progress) -> None:
    """Make a shop, read its till's export, scan it, and find what nobody wrote down.

    Args:
        folder: Where to keep what is made; None throws it away at the end.
        say: Receives each line.
        progress: Opens a progress bar with a title, and gives what moves it.
    """
    if folder is not None:
        return _walk(folder, say, progress)
    with tempfile.TemporaryDirectory(prefix="kit-tour-") as temporary:
        _walk(Path(temporary), say, progress)


def _walk(folder: Path, say: Say, progress: Progress) -> None:
    from kit import shop, sources  # slow to load: Arrow, Faker

    inventory = Inventory.default()

    say("1. MAKE UP A SHOP. Nobody in it is real.")
    with progress("making up a shop") as tick:
        clean = shop.make_shop(folder / "shop", CUSTOMERS, seed=SEED, progress=tick)
        exports = shop.make_shop(
            folder / "till", CUSTOMERS, seed=SEED, till="square", progress=tick
        )
        shop.make_shop(folder / "untidy", CUSTOMERS, seed=SEED, dirt=2, progress=tick)
    total = sum(path.stat().st_size for path in clean)
    say(f"   {len(clean)} tables, {show.size(total)}: customers, sales, payments, staff, stock.")
    say("   A till holds all of it in one place. So does whoever copies the till's folder.")
    say("")

    say("2. READ THE TILL'S EXPORT. Columns by name, every sum checked, no card numbers.")
    for path in exports:
        with progress(f"reading {path.name}"):
            read = shop.read_export(path, inventory=inventory, time_zone=ZONE)
        good = sum(check.ok for check in read.checks)
        say(
            f"   {path.name}: {read.rows:,} rows, {read.table.num_rows:,} taken over, "
            f"{good} of {len(read.checks)} control totals agree"
        )
    say("")

    say("3. SCAN WHAT LIES AROUND. The same shop, as tired people keep it.")
    customers = folder / "untidy" / "customers.csv"
    _add_column(customers, "allergies", "nuts")
    with progress("looking") as tick:
        report = shop.scan_files([customers], inventory=inventory, progress=tick)
    for line in show.scan(report).splitlines():
        say(f"   {line}" if line else "")
    say("")

    say("4. COMPARE WITH THE INVENTORY. What nobody wrote down, nobody protects.")
    header = sources.open_one(customers, readers=shop.READERS).header
    for gap in inventory.gaps(f"customers.{name}" for name in header):
        say(f"   {gap}: held, but with no purpose and no end. Write it down, or delete it.")
    written = len(inventory.fields)
    say(f"   The inventory to start from names {written} fields: kit/inventory.toml")
    say("")
    if folder.name.startswith("kit-tour-"):
        say("The made-up shop has been thrown away. To keep one: kit tour my-shop")
    else:
        say(f"The made-up shop is in {folder}")
    say("Next: kit lab opens the lessons; kit scan FOLDER looks at your own files.")


def _add_column(path: Path, name: str, value: str) -> None:
    """Do what happens in shops: somebody adds a column, for one customer, and tells nobody."""
    with path.open(encoding="utf-8", newline="") as file:
        header, first, *rest = csv.reader(file)
    rows = [[*header, name], [*first, value], *([*row, ""] for row in rest)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
