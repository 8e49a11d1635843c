"""How fast a shop is made, against what one would write with Faker. Run it as a script.

Ratios are of the same run on the same machine; goals: 200 times Faker row by row, 50 times Faker
with ``use_weighting=False``, 600 MB of memory at most for ten million sale lines.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from faker import Faker

from kit import generate, people, trade

PARTS = (people.People, trade.Trade)
FAKER_ROWS = 2_000  # enough for a second or so
CUSTOMERS = 500_000
STREAM_MB = 600


def faker_rows_per_second(*, weighted: bool) -> float:
    """Make the same columns row by row, as most tutorials do."""
    fake = Faker("en_US", use_weighting=weighted)
    fake.seed_instance(42)
    fake.first_name(), fake.last_name(), fake.company()  # first use loads the lists
    start = time.perf_counter()
    rows = [
        {
            "customer_id": number,
            "first_name": fake.first_name(),
            "last_name": fake.last_name(),
            "email": fake.email(),
            "phone": fake.phone_number(),
            "birthday": fake.date_of_birth(),
            "company": fake.company(),
            "accepts_email": fake.boolean(),
            "accepts_sms": fake.boolean(),
            "note": fake.word(),
            "created_at": fake.date_time_between("-2y"),
        }
        for number in range(FAKER_ROWS)
    ]
    return len(rows) / (time.perf_counter() - start)


def ours_rows_per_second(name: str) -> float:
    """Make one table of a large shop, piece by piece; its pools are drawn before the clock runs."""
    shop = generate.Shop(CUSTOMERS, parts=PARTS)
    start = time.perf_counter()
    rows = sum(batch.num_rows for batch in shop.batches(name))
    return rows / (time.perf_counter() - start)


def stream(lines: int) -> None:
    """Write lines to a new folder and print what it took; runs in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        path = generate.stream(Path(folder), lines, parts=PARTS)
        seconds = time.perf_counter() - start
        rows, size = pq.ParquetFile(path).metadata.num_rows, path.stat().st_size
    try:
        import resource
    except ImportError:  # Windows does not say
        return print(f"stream: {rows:,} lines in {seconds:.1f} s, {size / 2**20:.0f} MiB on disk")
    if sys.platform == "linux":  # there, getrusage begins with the peak of who started this
        peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**10
    else:
        unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, others KiB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(
        f"stream: {rows:,} lines in {seconds:.1f} s, {size / 2**20:.0f} MiB on disk, "
        f"peak memory {peak:.0f} MiB (goal: at most {STREAM_MB})"
    )


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--lines", type=int, default=10_000_000)
    parser.add_argument("--stream-only", action="store_true")
    options = parser.parse_args()
    if options.stream_only:
        return stream(options.lines)
    weighted, plain = (faker_rows_per_second(weighted=w) for w in (True, False))
    ours = ours_rows_per_second("customers")
    print(f"customers, 11 columns: {ours:,.0f} rows/s")
    print(f"  Faker row by row {weighted:,.0f} rows/s: {ours / weighted:.0f} x (goal: 200)")
    print(f"  use_weighting=False {plain:,.0f} rows/s: {ours / plain:.0f} x (goal: 50)")
    for name in ("sales", "lines", "payments"):
        print(f"{name}: {ours_rows_per_second(name):,.0f} rows/s")
    command = [sys.executable, __file__, "--stream-only", "--lines", str(options.lines)]
    subprocess.run(command, check=True)  # a new process, for its memory alone


if __name__ == "__main__":
    main()
