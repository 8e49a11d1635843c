"""Scan speed: the kit against Python's `re` on every cell, the same six patterns, in one run.

Run with `python3 start.py bench`, or this file alone. The goal is three times as fast.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from kit import cards, personal, scan

ROWS = 20_000
GOAL = 3.0
KINDS = ("e-mail", "phone", "iban", "ip address", "government id")
CARD = r"(?:[0-9][ \t\r\n.\-]{0,3}){12,18}[0-9]"


class Till:
    """A made-up till export in memory, 12 columns wide."""

    path, place, kind, header_row = Path("till.csv"), "", "csv", 1

    def __init__(self, rows: int, *, seed: int = 42, repeats: bool = True) -> None:
        draw = np.random.default_rng(seed).integers
        notes = ["", "", "", "call back", "leave it at the back door, please", "gift wrap"]
        shapes = {
            "Date": ("2026-07-{:02}", 28),
            "Time": ("11:{:02}:30", 60),
            "Item": ("Rye loaf no. {}", 40),
            "Qty": ("{}.0", 5),
            "Net Sales": ("${}.99", 90),
            "Transaction ID": ("{:016}", 10**16),
            "Card Brand": ("Visa", 1),
            "PAN Suffix": ("{:04}", 10**4),
            "Customer Name": ("Ana Example {}", 4000),
            "Email": ("ana{}@example.com", 4000),
            "Phone": ("(212) 555-01{:02}", 100),
        }
        columns = {
            name: [shape.format(number) for number in draw(0, limit, rows)]
            for name, (shape, limit) in shapes.items()
        }
        columns["Notes"] = [f"{notes[n % 6]} {n}" for n in draw(0, 300, rows)]
        columns["Notes"][rows // 2] = "card 4242 4242 4242 4242 exp 12/27"
        self.header = tuple(columns)
        self.columns = list(columns.values())
        if not repeats:  # the hardest case: not one cell twice
            self.columns = [[f"{c}, {n}" for n, c in enumerate(cells)] for cells in self.columns]
        arrays = [pa.array(range(2, rows + 2)), *map(pa.array, self.columns)]
        self.batch = pa.RecordBatch.from_arrays(arrays, ["#row", *self.header])

    def batches(self):
        """Yield it in one batch."""
        yield self.batch


def per_cell(till: Till) -> int:
    """Count the hits as a script would: every pattern on every cell."""
    patterns = [re.compile(personal.SHAPES[kind].pattern) for kind in KINDS] + [re.compile(CARD)]
    return sum(
        1
        for column in till.columns
        for cell in column
        for pattern in patterns
        if pattern.search(cell)
    )


def best_of(runs: int, work) -> float:
    """Return the shortest processor time in seconds, so that a busy machine tells the same."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def compare(till: Till, what: str) -> float:
    """Print cells a second for both ways; return the ratio."""
    cells = ROWS * len(till.header)
    plain = best_of(3, lambda: per_cell(till))
    ours = best_of(3, lambda: scan.scan(till, cards=cards, personal=personal))
    print(f"{cells:,} cells of {what}, 6 patterns, best of 3")
    print(f"  Python re, cell by cell          {cells / plain:12,.0f} cells/s")
    print(f"  kit scan, with checks and words  {cells / ours:12,.0f} cells/s")
    print(f"  ratio {plain / ours:.1f}")
    return plain / ours


def main() -> int:
    """Compare on a till's export and on cells that never repeat; fail below the goal."""
    till = Till(ROWS)
    found = scan.scan(till, cards=cards, personal=personal)
    assert any(f.kind == "card number" and f.confidence == "confirmed" for f in found)
    ratio = compare(till, "a till's export")
    compare(Till(ROWS, repeats=False), "the same as free text, no cell twice")
    print(f"goal for an export: {GOAL:.0f}")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
