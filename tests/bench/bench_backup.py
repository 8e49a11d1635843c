"""Backups: time, size and memory against restic and borg, on the same database, in one run.

Run with `python3 start.py bench`, or this file alone. The goals, on 300 MB of a shop's sales: a
full backup no slower and no larger than the better of the two; after a day's sales, a fifth of
what restic adds. The kit's time includes copying the database while it may be in use, which the
other two do not do; they read the quiet file.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

RUNS = 3  # the best counts: the machine may be busy
SALES = 1_280_000  # 300 MB with their lines and customers
CUSTOMERS = 120_000
DAY = 100  # a day brings one sale for that many there are
TIME_GOAL = SIZE_GOAL = 1.0
DAY_GOAL = 5.0
MEMORY_GOAL_MB = 40  # above what Python takes with everything imported
ROOT = Path(__file__).parents[2]

SHOP = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name TEXT, email TEXT, phone TEXT,
                        street TEXT, city TEXT, joined TEXT, points INTEGER, note TEXT);
CREATE TABLE products (product_id INTEGER PRIMARY KEY, name TEXT, price_cents INTEGER);
CREATE TABLE sales (sale_id INTEGER PRIMARY KEY, customer_id INTEGER, at TEXT, till TEXT,
                    employee TEXT, paid_by TEXT, total_cents INTEGER);
CREATE TABLE lines (line_id INTEGER PRIMARY KEY, sale_id INTEGER, product_id INTEGER,
                    product TEXT, quantity INTEGER, price_cents INTEGER, tax_cents INTEGER,
                    note TEXT);
CREATE INDEX customers_by_email ON customers (email);
CREATE INDEX sales_by_customer ON sales (customer_id);
CREATE INDEX lines_by_sale ON lines (sale_id);
CREATE TABLE words (n INTEGER PRIMARY KEY, first TEXT, last TEXT, street TEXT, item TEXT,
                    note TEXT);
"""
FIRST = "Ana Ben Carla Dmitri Elena Farid Grace Hugo Ines Jonas Kofi Lena Mario Nadia Omar Priya"
LAST = "Abbott Baker Castillo Dunn Eriksen Fischer Garcia Hughes Ito Jansen Kowalski Lopez Moreau"
STREET = "Oak Maple Cedar Pine Elm Washington Lake Hill Walnut Spring North Ridge Church Willow"
ITEM = "rye loaf,sourdough loaf,cinnamon roll,bagel,espresso,flat white,oat latte,green tea,muffin"
NOTE = ",,,,,,no sugar please,extra hot,gift wrap,cut in slices,to go,birthday: write a name"

# A number from a number, spread evenly and the same on every run: MIX(n, 7) differs from MIX(n, 8).
MIX = "(((({n} + {salt} * 7919) * 2654435761 + 12345) % 4294967296) / 64)"


def mix(n: str, salt: int, most: int) -> str:
    """Return SQL for a number below *most*."""
    return MIX.format(n=n, salt=salt) + f" % {most}"


def word(n: str, salt: int, column: str, number: int) -> str:
    """Return SQL for a word."""
    return f"(SELECT {column} FROM words WHERE n = {mix(n, salt, number)})"  # noqa: S608


def numbers(first: int, count: int) -> str:
    """Return SQL for a table of numbers."""
    last = first + count - 1
    return f"WITH RECURSIVE c(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM c WHERE n < {last})"  # noqa: S608


def add_sales(db: sqlite3.Connection, first: int, count: int) -> None:
    """Add sales with two to four lines each."""
    day = f"date('2023-01-02', '+' || (n * 1100 / {SALES}) || ' days')"
    clock = (
        f"printf(' %02d:%02d:%02d', 8 + {mix('n', 1, 11)}, {mix('n', 2, 60)}, {mix('n', 3, 60)})"
    )
    db.execute(
        f"{numbers(first, count)} INSERT INTO sales SELECT n, 1 + {mix('n', 4, CUSTOMERS)},"  # noqa: S608
        f" {day} || {clock}, 'till ' || (1 + {mix('n', 5, 3)}), {word('n', 6, 'first', 16)},"
        f" CASE {mix('n', 7, 4)} WHEN 0 THEN 'cash' ELSE 'card' END, 250 + {mix('n', 8, 6000)}"
        " FROM c"
    )
    for number in range(4):  # the third and fourth line only now and then
        line = f"(n * 4 + {number})"
        db.execute(
            f"{numbers(first, count)} INSERT INTO lines SELECT {line}, n,"  # noqa: S608
            f" product_id, p.name, 1 + {mix(line, 12, 20)} / 17, price_cents,"
            f" price_cents * 8 / 100, {word(line, 13, 'note', 12)} FROM c JOIN products AS p"
            f" ON p.product_id = 1 + {mix(line, 14, 400)}"
            f" WHERE {number} < 2 OR {mix(line, 15, 4)} = 0"
        )


def build(path: Path) -> None:
    """Make a shop of about 300 MB with SQL alone."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SHOP)
        rows = [
            (n, FIRST.split()[n], LAST.split()[n % 13], STREET.split()[n % 14],
             ITEM.split(",")[n % 9], NOTE.split(",")[n % 12])
            for n in range(16)
        ]  # fmt: skip
        db.executemany("INSERT INTO words VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.execute(
            f"{numbers(1, 400)} INSERT INTO products SELECT n,"  # noqa: S608
            f" {word('n', 1, 'item', 9)} || ' no. ' || n, 150 + {mix('n', 2, 900)} FROM c"
        )
        first, last = word("n", 1, "first", 16), word("n", 2, "last", 13)
        db.execute(
            f"{numbers(1, CUSTOMERS)} INSERT INTO customers SELECT n, {first} || ' ' || {last},"  # noqa: S608
            f" lower({first} || '.' || {last}) || n || '@example.com',"
            f" printf('+1212555%04d', 100 + {mix('n', 3, 100)}),"
            f" (1 + {mix('n', 4, 900)}) || ' ' || {word('n', 5, 'street', 14)} || ' Street',"
            f" 'Springfield', date('2019-01-01', '+' || {mix('n', 6, 2500)} || ' days'),"
            f" {mix('n', 7, 3000)}, {word('n', 8, 'note', 12)} FROM c"
        )
        add_sales(db, 1, SALES)
        db.commit()


def a_day(path: Path) -> None:
    """Sell for a day: one new sale for a hundred, and points for those who bought."""
    with closing(sqlite3.connect(path)) as db:
        add_sales(db, SALES + 1, SALES // DAY)
        db.execute("UPDATE customers SET points = points + 5 WHERE customer_id % 2000 = 7")
        db.commit()


@dataclass
class Spent:
    """What one command took."""

    seconds: float
    peak_mb: float
    added: int


def size_of(place: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [place] if place.is_file() else [p for p in place.rglob("*") if p.is_file()]
    return sum(path.stat().st_size for path in files)


def run(command: list[str | Path], place: Path, env: dict[str, str]) -> Spent:
    """Run a command that stores something in *place*; measure wall time and memory."""
    before, start = size_of(place), time.perf_counter()
    with subprocess.Popen(
        command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed: {said.decode()}")
    return Spent(time.perf_counter() - start, usage.ru_maxrss / 1024, size_of(place) - before)


class Restic:
    """restic, as it comes."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "restic"
        self.place.mkdir()
        self.env = {"RESTIC_PASSWORD": "made up", "RESTIC_CACHE_DIR": str(folder / "cache")}
        run(["restic", "init", "-r", self.place], self.place, self.env)

    def make(self, database: Path) -> Spent:
        """Back up."""
        return run(["restic", "-q", "backup", "-r", self.place, database], self.place, self.env)


class Borg:
    """borg with encryption, and with the kit's compression."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "borg"
        self.env = {"BORG_PASSPHRASE": "made up", "BORG_BASE_DIR": str(folder / "borg_base")}
        self.place.mkdir()
        run(["borg", "init", "-e", "repokey-blake2", self.place], self.place, self.env)

    def make(self, database: Path) -> Spent:
        """Back up."""
        name = f"{self.place}::{{now:%H%M%S.%f}}"
        return run(["borg", "create", "-C", "zstd,3", name, database], self.place, self.env)


class Kit:
    """The kit, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "kit"
        self.place.mkdir()
        self.env = {"PYTHONPATH": str(ROOT)}
        self.idle = run([sys.executable, __file__, "nothing"], self.place, self.env)

    def make(self, database: Path) -> Spent:
        """Back up: the first time in full, then what changed."""
        return run([sys.executable, __file__, self.place, database], self.place, self.env)


def child(place: Path, database: Path) -> None:
    """Do what a backup by the kit does."""
    from kit import archive, pack, snapshot

    recipients = [  # of two keys that were thrown away
        "age1mfsmux8zy0s5t622ln9hhz0rga0xs62laq4tcr5mzu2ewxfxcvlqthqdwu",
        "age1gkggjulad0ed0gn8a2yz2pv4774dzaznmt8tc7va0ecjjasfw97s2pukjy",
    ]
    last, new = place.parent / "last_full.sqlite", place.parent / "new.sqlite"
    if last.exists():
        digest = (place.parent / "digest").read_text()
        snapshot.take(database, new)
        archive.diff(last, new, place / "diff", recipients, base_sha256=digest, pack=pack)
    else:
        snapshot.take(database, last)
        made = archive.full(last, place / "full", recipients, pack=pack)
        (place.parent / "digest").write_text(made.plain_sha256)


def show(what: str, results: dict[str, Spent]) -> None:
    """Print a table."""
    print(what)
    for name, spent in results.items():
        print(
            f"  {name:7} {spent.seconds:6.2f} s {spent.added / 1e6:8.2f} MB stored"
            f" {spent.peak_mb:5.0f} MB of memory at most"
        )


def goal(what: str, value: float, most: float) -> bool:
    """Print a goal and whether it was met."""
    print(f"  {what}: {value:.2f}, at most {most:.2f}: {'met' if value <= most else 'MISSED'}")
    return value <= most


def main() -> int:
    """Compare; fail if a goal is missed."""
    if missing := [name for name in ("restic", "borg") if not shutil.which(name)]:
        print(f"skipped: {' and '.join(missing)} is not installed here")
        return 0
    fulls: dict[str, list[Spent]] = {}
    days: dict[str, list[Spent]] = {}
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        first, second = Path(name, "shop.sqlite"), Path(name, "after", "shop.sqlite")
        build(first)
        second.parent.mkdir()
        shutil.copy(first, second)
        a_day(second)
        mb = first.stat().st_size / 1e6
        print(f"a shop of {mb:.0f} MB, made in {time.perf_counter() - start:.0f} s; best of {RUNS}")
        for number in range(RUNS):
            folder = Path(name, str(number))
            folder.mkdir()
            for tool in (Kit(folder), Restic(folder), Borg(folder)):
                fulls.setdefault(type(tool).__name__, []).append(tool.make(first))
                days.setdefault(type(tool).__name__, []).append(tool.make(second))
                if isinstance(tool, Kit):
                    idle = tool.idle.peak_mb
            shutil.rmtree(folder)
    full, day = (
        {name: min(all_, key=lambda spent: spent.seconds) for name, all_ in each.items()}
        for each in (fulls, days)
    )
    show("full backup", full)
    show("after one more day (1 % more sales, 0.05 % of customers changed)", day)
    others = [full["Restic"], full["Borg"]]
    seconds, size = min(o.seconds for o in others), min(o.added for o in others)
    print(f"goals (Python with the kit imported takes {idle:.0f} MB)")
    met = [
        goal("time of a full backup / the faster one's", full["Kit"].seconds / seconds, TIME_GOAL),
        goal("size of a full backup / the smaller one's", full["Kit"].added / size, SIZE_GOAL),
        goal("size of the day / restic's", day["Kit"].added / day["Restic"].added, 1 / DAY_GOAL),
        goal("memory, MB", max(full["Kit"].peak_mb, day["Kit"].peak_mb) - idle, MEMORY_GOAL_MB),
    ]
    print(
        f"  the day with borg takes {day['Borg'].added / day['Kit'].added:.1f} times the kit's size"
    )
    return 0 if all(met) else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["nothing"]:
        from kit import archive, pack, snapshot  # noqa: F401
    elif sys.argv[1:]:
        child(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        sys.exit(main())
