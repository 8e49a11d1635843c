"""Backups: time, size and memory against restic and borg, on the same database, in one run.

Run with `python3 start.py bench backup`. A made-up shop of about 300 MB is loaded as the kit loads
one, with customers sealed and indexed, and then backed up, changed and restored by three programs.

The kit's work is copying the database while it may be in use, sealing, storing, reading back and
signing; the other two read the quiet file. That is what the goals are about. "kit, from cold" is
the whole process: starting Python and opening the shop with its passphrase, about a second and
64 MB of memory (Argon2) whatever the size of the shop. What the others restore is not proven; so
beside the plain times stands what a restore takes when each copy is looked through afterwards by
SQLite, as the kit does before it trusts one.
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
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

RUNS = 3  # the best counts: the machine may be busy
CUSTOMERS = 45_000  # 300 MB with 200,000 sales and their lines, payments and stock
SHARE = 100  # a hundredth of all rows is new after a day
TIME_GOAL = SIZE_GOAL = 1.0
DAY_GOAL = 1 / 5
RESTORE_GOAL = 1.2
MEMORY_GOAL_MB = 80
ROOT = Path(__file__).parents[2]
WORDS = "ocean-teapot-violin-candle-marble-tunnel"
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
PEAK = Path("/proc/self/clear_refs")
PAPER = {  # of nobody: published here
    "owner": "AGE-SECRET-KEY-17MSJ8Q9ZS6VGJ78JJSHFWD8NA9L4SWV4JC0P22JQHVKHWWZ6J09QSDD2ND",
    "escrow": "AGE-SECRET-KEY-1YE27KJW88K0ZWE7CPNKFW58M7K2KHCKVNFW2G02G9MPE7L4VTYXSTFT88U",
}


# ---- what runs in processes of its own ----


def load(shop, customers: int, *, seed: int, sign: str = "") -> None:
    """Load a made-up shop; *sign* stands before new keys, if there are rows already."""
    from kit import practice, rows

    made, tables = practice.made_up(customers, seed=seed), shop.tables.tables
    names = [table.name for table in shop.tables.sorted_tables if table.name in made.tables]
    old = {"stores", "employees", "shifts", "suppliers", "categories", "products"} if sign else ()
    for name in (name for name in names if name not in old):
        columns = tables[name].c
        key = next(iter(tables[name].primary_key)).name
        links = {
            c.name for c in columns for link in c.foreign_keys if link.column.table.name not in old
        }

        def batches(name=name, columns=columns, key=key, links=links):
            for batch in made.batches(name):
                data = {n: cells for n, cells in batch.to_pydict().items() if n in columns}
                for own in (links | {key}) & {*data}:
                    data[own] = [cell and sign + cell for cell in data[own]]
                yield shop.seal(name, data, data[key])

        with shop.writing("owner", NOW) as connection:
            rows.load(connection, tables[name], batches())


def build(folder: Path) -> None:
    """Make the shop, with two people and one place."""
    import pyrage

    from kit import settings
    from kit.shop import SETTINGS, Shop

    Shop.init(folder, WORDS, name="Bench", time_zone="America/New_York", now=NOW).close()
    text = (folder / SETTINGS).read_text(encoding="utf-8")
    for person, secret in PAPER.items():
        public = str(pyrage.x25519.Identity.from_str(secret).to_public())
        text = settings.with_line(text, "backup.people", person, public)
    (folder / SETTINGS).write_text(text, encoding="utf-8")
    with Shop.open(folder, WORDS) as shop:
        load(shop, CUSTOMERS, seed=1)


def day(folder: Path) -> None:
    """Add a hundredth of all rows."""
    from kit.shop import Shop

    with Shop.open(folder, WORDS) as shop:
        load(shop, CUSTOMERS // SHARE, seed=2, sign="day-")


def make(folder: Path) -> None:
    """Back up: the first time in full, then what changed."""
    from kit import backup
    from kit.shop import Shop

    with Shop.open(folder, WORDS) as shop:
        before = len([*(folder / "backups").glob("*.manifest.json")])
        done = backup.make(shop, actor="owner", now=NOW + before * timedelta(hours=1))
        assert done.manifest.kind == ("diff" if before else "full"), done.why_full  # noqa: S101


def restore(folder: Path) -> None:
    """Restore the newest backup and prove it."""
    from kit import backup
    from kit import restore as restoring
    from kit.shop import Shop

    with Shop.open(folder, WORDS) as shop:
        place = backup.places(folder, shop.settings)["here"]
        restoring.restore(
            shop, place, [PAPER["owner"]], actor="owner", now=NOW + timedelta(days=1), name="here"
        )


def unpack(folder: Path) -> None:
    """Bring the newest backup back, compare every byte with the signed list, and stop there."""
    from kit import archive, backup, opening, pack
    from kit.backup_state import Home
    from kit.shop import Shop

    with Shop.open(folder, WORDS) as shop:
        place = backup.places(folder, shop.settings)["here"]
        state = Home(folder).load()
        checked = opening.look(shop, place, name="here", now=NOW + timedelta(days=1), state=state)
        wanted, keys = opening.choose(checked, None), [PAPER["owner"]]
        base = next(one for one in checked.here if one.seq == wanted.base)
        for one in (base, wanted):
            place.get(one.file, folder / one.file, size=one.size)
        told = [
            archive.Sealed(o.size, o.sha256, o.plain_size, o.plain_sha256, o.base_sha256)
            for o in (base, wanted)
        ]
        full, copy = folder / "full", folder / "copy"
        archive.unpack_full(folder / base.file, full, keys, told[0], pack=pack)
        archive.unpack_diff(full, folder / wanted.file, copy, keys, told[1], pack=pack)


def peak_mb() -> float:
    """Return the most memory this process had, in MB; 0 where that is not told."""
    if not PEAK.exists():
        return 0.0
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measured(name: str, folder: Path) -> None:
    """Do one of these and print the seconds and MB of memory that it took once all was open."""
    from kit import backup, restore  # noqa: F401
    from kit.shop import Shop

    real, began, cold = Shop.open, [], [0.0]

    def opened(*args):
        shop = real(*args)
        if PEAK.exists():
            cold.append(peak_mb())
            PEAK.write_text("5")  # forget the peak until now
        began.append(time.perf_counter())
        return shop

    Shop.open = opened
    CHILDREN[name](folder)
    if began:
        print(time.perf_counter() - began[0], peak_mb(), max(*cold, peak_mb()))


CHILDREN = {one.__name__: one for one in (build, day, make, restore, unpack)}


# ---- what is measured ----


@dataclass(frozen=True)
class Spent:
    """What one command took."""

    seconds: float
    processor: float  # seconds of it, which a busy machine does not change as much
    peak_mb: float
    added: int = 0  # bytes
    told: str = ""


def size_of(place: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def run(
    command: list[str | Path], env: dict[str, str], *, place: Path | None = None,
    cwd: Path | None = None,
) -> Spent:  # fmt: skip
    """Run a command that may store something in *place*; measure time and memory."""
    before = size_of(place) if place else 0
    os.sync()  # or this one waits for the disk to take what the last one wrote
    start = time.perf_counter()
    with subprocess.Popen(
        command, env={**os.environ, **env}, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        told, said = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)  # this process is small, so it tells the truth
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{command[0]} failed: {said.decode()}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    added = size_of(place) - before if place else 0
    processor = usage.ru_utime + usage.ru_stime
    return Spent(seconds, processor, usage.ru_maxrss / unit, added, told.decode())


class Restic:
    """restic, as it comes."""

    def __init__(self, folder: Path) -> None:
        self.place, self.target = folder / "restic", folder / "restic-restored"
        self.env = {"RESTIC_PASSWORD": "made up", "RESTIC_CACHE_DIR": str(folder / "cache")}
        self.place.mkdir()
        run(["restic", "init", "-r", self.place], self.env)

    def make(self, shop: Path) -> Spent:
        """Back up."""
        command = ["restic", "-q", "backup", "-r", self.place, shop / "shop.sqlite"]
        return run(command, self.env, place=self.place)

    def restore(self, shop: Path) -> tuple[Spent, Path]:
        """Restore the newest."""
        command = ["restic", "-q", "restore", "latest", "-r", self.place, "--target", self.target]
        return run(command, self.env), next(self.target.rglob("shop.sqlite"))


class Borg:
    """borg with encryption, and with the kit's compression."""

    def __init__(self, folder: Path) -> None:
        self.place, self.target = folder / "borg", folder / "borg-restored"
        self.env = {"BORG_PASSPHRASE": "made up", "BORG_BASE_DIR": str(folder / "borg_base")}
        self.number = 0
        self.place.mkdir()
        self.target.mkdir()
        run(["borg", "init", "-e", "repokey-blake2", self.place], self.env)

    def make(self, shop: Path) -> Spent:
        """Back up."""
        self.number += 1
        name = f"{self.place}::{self.number}"
        command = ["borg", "create", "-C", "zstd,3", name, shop / "shop.sqlite"]
        return run(command, self.env, place=self.place)

    def restore(self, shop: Path) -> tuple[Spent, Path]:
        """Restore the newest."""
        command = ["borg", "extract", f"{self.place}::{self.number}"]
        spent = run(command, self.env, cwd=self.target)
        return spent, next(self.target.rglob("shop.sqlite"))


class Kit:
    """The kit, in a process of its own."""

    env = {"PYTHONPATH": str(ROOT)}  # noqa: RUF012

    def __init__(self, folder: Path) -> None:
        pass

    def child(self, work: str, shop: Path, place: Path | None = None) -> Spent:
        """Do one thing to a shop."""
        return run([sys.executable, __file__, work, shop], self.env, place=place)

    def make(self, shop: Path) -> Spent:
        """Back up."""
        return self.child("make", shop, shop / "backups")


def look_through(database: Path) -> float:
    """Return the seconds SQLite takes to look whether a database is sound."""
    start = time.perf_counter()
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]  # noqa: S101
        assert not db.execute("PRAGMA foreign_key_check").fetchall()  # noqa: S101
    return time.perf_counter() - start


def once(folder: Path, template: Path, best: dict[str, dict[str, Spent]]) -> None:
    """Back up, add a day, back up again and restore, with each program."""
    shop, kit = folder / "shop", Kit(folder)
    shutil.copytree(template, shop)
    others = {"restic": Restic(folder), "borg": Borg(folder)}

    def note(what: str, name: str, spent: Spent) -> None:
        known = best.setdefault(what, {}).get(name, spent)
        best[what][name] = min(known, spent, key=lambda one: one.seconds)

    def note_kit(what: str, spent: Spent) -> None:
        seconds, peak, cold = map(float, spent.told.split())
        note(what, "kit, from cold", replace(spent, peak_mb=cold))
        note(what, "kit", replace(spent, seconds=seconds, peak_mb=peak))

    note_kit("full", kit.make(shop))
    for name, tool in others.items():
        note("full", name, tool.make(shop))
    kit.child("day", shop)
    note_kit("day", kit.make(shop))
    for name, tool in others.items():
        note("day", name, tool.make(shop))
    for name, tool in others.items():
        spent, restored = tool.restore(shop)
        note("restore", name, spent)
        proven = replace(spent, seconds=spent.seconds + look_through(restored))
        note("restore and look through", name, proven)
    note_kit("restore", kit.child("unpack", shop))
    note_kit("restore and look through", kit.child("restore", shop))


def goal(what: str, value: float, most: float) -> bool:
    """Print a goal and whether it was met."""
    print(f"  {what}: {value:.2f}, at most {most:.2f}: {'met' if value <= most else 'MISSED'}")
    return value <= most


def main() -> int:
    """Compare; fail if a goal is missed."""
    if missing := [name for name in ("restic", "borg") if not shutil.which(name)]:
        print(f"skipped: {' and '.join(missing)} is not installed here")
        return 0
    best: dict[str, dict[str, Spent]] = {}
    with tempfile.TemporaryDirectory() as name:
        start, template = time.perf_counter(), Path(name, "template")
        Kit(template).child("build", template)
        size = (template / "shop.sqlite").stat().st_size
        print(f"a shop of {size / 1e6:.0f} MB, made in {time.perf_counter() - start:.0f} s")
        for number in range(RUNS):
            folder = Path(name, str(number))
            folder.mkdir()
            once(folder, template, best)
            shutil.rmtree(folder)
    print(f"best of {RUNS}:      seconds  processor  MB stored  MB of memory")
    for what, each in best.items():
        print(what)
        for tool, spent in each.items():
            print(
                f"  {tool:16}{spent.seconds:8.2f}{spent.processor:11.2f}{spent.added / 1e6:11.2f}"
                f"{spent.peak_mb:14.0f}"
            )

    def ratio(what: str, of: str = "seconds") -> float:
        told = {tool: getattr(spent, of) for tool, spent in best[what].items()}
        told.pop("kit, from cold")
        return told.pop("kit") / min(told.values())

    peak = max(best[what]["kit"].peak_mb for what in ("full", "day", "restore and look through"))
    print("goals, against the better of the two")
    met = [
        goal("time of a full backup", ratio("full"), TIME_GOAL),
        goal("size of a full backup", ratio("full", "added"), SIZE_GOAL),
        goal("size of the day", ratio("day", "added"), DAY_GOAL),
        goal("time of a restore, every byte compared", ratio("restore"), RESTORE_GOAL),
        goal("time with looking through", ratio("restore and look through"), RESTORE_GOAL),
        goal("memory in MB", peak, MEMORY_GOAL_MB),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    if sys.argv[1:]:
        measured(sys.argv[1], Path(sys.argv[2]))
    else:
        sys.exit(main())
