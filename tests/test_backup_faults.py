"""Power cuts, full disks, bad lines, busy tills: a backup is there whole or not, and restores."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import backed_up
import killed
import pytest
import real_shop
import sqlalchemy as sa
from backed_up import AWAY, DAY, ESCROW, HERE, HOUR, OWNER, change, make
from killed import Victims
from real_shop import NOW, WORDS
from test_places import shaky  # noqa: F401 (a fixture)

from kit import archive, backup, opening, places, removals, restore, upkeep
from kit import store as database
from kit.backup_state import Home
from kit.shop import SETTINGS, Shop

LATER = NOW + 10 * DAY
POINTS = 60  # of each kind of work
WORKS = ["make_full", "make", "prune", "restore"]
RARE = "keep = { hourly = 0, daily = 2, weekly = 0, monthly = 0, within_days = 0 }"
needs_strace = pytest.mark.skipif(bool(killed.why_not()), reason=killed.why_not() or "it is there")
needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


# ---- scenes ----


def prepared(folder, rules=""):
    """Return an open shop whose folder, with that of its place away, can be copied and moved."""
    real_shop.filled(folder / "shop").close()
    backed_up.equip(folder / "shop", away=folder / "away")
    backup.add_place(folder / "shop", AWAY, "../away", offsite=True)
    path = folder / "shop" / SETTINGS
    said = path.read_text(encoding="utf-8")
    path.write_text(said.replace("[backup]", f"[backup]\n{rules}"), encoding="utf-8")
    return Shop.open(folder / "shop", WORDS)


def people(shop):
    """Return the numbers of all customers."""
    with database.begin(shop.engine) as connection:
        return set(connection.scalars(sa.select(shop.tables.tables["customers"].c.customer_id)))


def erase(shop, customer, *, now):
    """Erase somebody for good."""
    plan = removals.plan_erasure(shop, customer, now=now)
    removals.erase(shop, plan, actor="owner", now=now)


class Scene:
    """A shop just before something is done to it, and what has to hold afterwards."""

    def __init__(self, folder, work):
        self.folder, self.work = folder, work
        self.now = NOW + 6 * DAY
        with prepared(folder, RARE if work == "prune" else "") as shop:
            make(shop)
            self.older = people(shop)
            self.erased = min(self.older)
            if work == "restore":
                erase(shop, self.erased, now=NOW)
            for number in range(1, 5 if work == "prune" else 2):
                make(shop, now=NOW + number * DAY, full=True)
                change(shop, number)
                make(shop, now=NOW + number * DAY + HOUR)
            self.content = real_shop.content(shop)
            self.last = 2 * number + 1
            plan = upkeep.prune(shop, now=self.now, do=False)[0].plan
            self.kept = {*plan.keep} if work == "prune" else {*range(1, self.last + 1)}
            assert len(self.kept) < self.last or work != "prune"

    def copy(self, target):
        """Return another one like it."""
        shutil.copytree(self.folder, target)
        return target / "shop"

    def check(self, folder):
        """See to it that nothing is lost, whatever happened, and that all goes on."""
        with Shop.open(folder, WORDS) as shop:
            real_shop.sound(shop)
            self.check_content(shop)
            content = real_shop.content(shop)
            for found in upkeep.verify(shop, now=self.now):
                assert found.faults == ()
                assert self.kept <= {*found.right}
            done = make(shop, now=LATER)
            assert done.manifest.seq in (self.last + 1, self.last + 2)
            for found in upkeep.verify(shop, now=LATER):
                assert found.faults == ()
                assert {*self.kept, done.manifest.seq} <= {*found.right}
            assert backed_up.left_lying(shop) == []
            for kept in shop.folder.glob(".before-restore-*"):
                assert (kept / "shop.sqlite").exists(), "half of what was kept is worse than none"
            upkeep.prune(shop, now=LATER + HOUR, do=True)
            held = [seq for one in upkeep.listed(shop.folder, shop.settings, public(shop))
                    for seq in [one.manifest.seq]]  # fmt: skip
            place = backed_up.place(shop)
            first = restore.restore(
                shop, place, [ESCROW], actor="owner", now=LATER + DAY, name=AWAY, number=held[0]
            )
            assert first.manifest.seq == held[0]
            back = restore.restore(
                shop, place, [OWNER], actor="owner", now=LATER + 2 * DAY, name=AWAY
            )
            assert back.manifest.seq == done.manifest.seq
            assert real_shop.content(shop) == content
            real_shop.sound(shop)
            assert backed_up.left_lying(shop) == []

    def check_content(self, shop):
        """The database is the old one or the restored one, never a mixture and never gone."""
        if self.work == "restore":
            assert people(shop) in (self.older - {self.erased}, {*self.ids("customers")})
            assert shop.ledger.erased([self.erased]) == {self.erased}
        else:
            assert real_shop.content(shop) == self.content

    def ids(self, table):
        """Return the keys of the rows that were there before."""
        return [row["customer_id"] for row in self.content[table]]


def public(shop):
    """Return the keys that may have signed the list."""
    return backup.signers(shop.keyring)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Return each scene, made when it is first wanted."""
    made = {}

    def scene(work):
        if work not in made:
            made[work] = Scene(tmp_path_factory.mktemp(work), work)
        return made[work]

    return scene


@pytest.fixture(scope="module")
def victims():
    """Return what makes processes to be killed."""
    with Victims([OWNER, ESCROW]) as started:
        yield started


# ---- power cuts ----


def sweep(scene, victims, tmp_path, most):
    """Kill the work at so many of its system calls, and look each time."""
    calls = victims.calls(scene.work, scene.copy(tmp_path / "counted"), scene.now)
    points = killed.spread(calls, most)
    died = 0
    for name, number in points:
        folder = scene.copy(tmp_path / "copy")
        died += victims.kill(scene.work, folder, scene.now, name, number)
        try:
            scene.check(folder)
        except BaseException:
            print(f"{scene.work} was killed at call {number} of {name}")
            raise
        shutil.rmtree(tmp_path / "copy")
    print(f"{scene.work}: killed at {died} of {sum(calls.values())} calls, {len(calls)} names")
    assert died > len(points) / 2


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("work", WORKS)
def test_a_power_cut_anywhere_loses_no_backup(work, scenes, victims, tmp_path):
    """At calls spread over all names and over the whole work."""
    sweep(scenes(work), victims, tmp_path, POINTS)


@needs_fork
@pytest.mark.parametrize("work", WORKS)
def test_a_power_cut_at_a_random_moment_loses_no_backup(work, scenes, victims, tmp_path):
    """Also where system calls cannot be watched; some come after the end."""
    scene, moments = scenes(work), random.Random(work)  # noqa: S311
    folder, began = scene.copy(tmp_path / "whole"), time.perf_counter()
    assert victims.run(work, folder, scene.now) == 0
    took = time.perf_counter() - began
    for number in range(2):
        folder = scene.copy(tmp_path / str(number))
        moment = moments.uniform(0.001, took)
        status = victims.run(work, folder, scene.now, alarm_s=moment)
        assert status in (0, -signal.SIGALRM), victims.told()
        scene.check(folder)


CALL = re.compile(r"(\w+)\((?:AT_FDCWD(?:<[^>]*>)?, )?(.*)")
NAMED = re.compile(r'"([^"]+)"|<([^>]+)>')


def order(victims, work, folder, now, log):
    """Return what was made sure to be on the disk and what was renamed, in order."""
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2"
    assert victims.run(work, folder, now, strace=["-y", "-e", calls, "-o", str(log)]) == 0
    found = []
    for line in log.read_text().splitlines():
        if (call := CALL.search(line)) and line.endswith("= 0"):
            names = [a or b for a, b in NAMED.findall(call[2])]
            found.append((call[1].rstrip("at2"), *[Path(n).name for n in names if n != "."]))
    return found


@needs_strace
@pytest.mark.parametrize(("work", "what"), [("make_full", ".manifest.json"), ("restore", "sqlite")])
def test_what_takes_a_name_is_on_the_disk_before(work, what, scenes, victims, tmp_path):
    """The bytes, then the name, then the folder: else a power cut leaves a name with no bytes."""
    scene = scenes(work)
    folder = scene.copy(tmp_path / "copy")
    done = order(victims, work, folder, scene.now, tmp_path / "log")

    places = {"shop"} if work == "restore" else {"backups", "away"}
    seen = 0
    for at, call in enumerate(done):
        if call[0] == "rename" and call[-1].endswith(what) and ".part" not in call[-1]:
            assert ("fsync", call[1]) in done[:at], call
            seen += done[at + 1] in {("fsync", place) for place in places}
    assert seen >= len(places), done
    data = [n for n, call in enumerate(done) if call[0] == "rename" and call[-1].endswith(".age")]
    lists = [n for n, call in enumerate(done) if call[0] == "rename" and ".manifest" in call[-1]]
    assert work == "restore" or max(data) < min(lists), "the list comes last"


# ---- full disks ----


SMALL = """
import resource, sys
sys.path[:0] = sys.argv[1:3]
import json, os
from datetime import datetime
from pathlib import Path
import killed, real_shop
from kit import cli
from kit.shop import Shop
work, folder, now, keys, most = sys.argv[3:]
with Shop.open(Path(folder), real_shop.WORDS) as shop:
    if int(most):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), resource.RLIM_INFINITY))
    try:
        killed.WORKS[work](shop, datetime.fromisoformat(now), json.loads(keys))
    except Exception as error:
        print(cli._explain(error), file=sys.stderr)
        os._exit(1)
os._exit(0)
"""


def tried(scene, folder, most=0):
    """Do the work in a process whose files may only have so many bytes; return what it said."""
    keys = json.dumps([OWNER, ESCROW])
    here = Path(__file__).parent
    command = [sys.executable, "-c", SMALL, here.parent, here]
    command += [scene.work, folder, scene.now.isoformat(), keys, str(most)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here.parent)
    assert done.returncode in (0, 1), done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == done.returncode, done.stderr
    return done.returncode, "".join(lines)


def is_clear(said):
    """One line, in words, that says whose fault it is and what to do."""
    assert said.startswith("kit: ")
    assert "fault of the kit itself" not in said
    assert re.search("room|space|full|disk|no file of this size", said), said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limit on a file's size on Windows")
@pytest.mark.parametrize("work", ["make_full", "restore"])
def test_a_disk_that_takes_no_large_file_is_told(work, scenes, tmp_path):
    """Whatever did not fit, nothing that is half written looks like a backup or a database."""
    scene = scenes(work)
    for most in (40_000, 400_000):  # the sealed copy does not fit, then the copy of the database
        folder = scene.copy(tmp_path / str(most))
        failed, said = tried(scene, folder, most)
        assert failed
        is_clear(said)
        with Shop.open(folder, WORDS) as shop:
            assert backed_up.left_lying(shop) == []
        scene.check(folder)


@pytest.fixture
def small_disk(tmp_path):
    """Return what makes a small disk in memory; root only."""
    if sys.platform != "linux" or os.geteuid() or not (mount := shutil.which("mount")):
        pytest.skip("a small disk in memory needs Linux, mount and root")
    made = []

    def disk(size):
        folder = tmp_path / f"disk{len(made)}"
        folder.mkdir()
        command = [mount, "-t", "tmpfs", "-o", f"size={size}", "kit-test", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no small disk can be made here: {done.stderr[:80]}")
        made.append(folder)
        return folder

    yield disk
    for folder in made:
        subprocess.run([shutil.which("umount"), folder], check=True)


def grow(folder):
    """Give a small disk room to go on."""
    command = [shutil.which("mount"), "-o", "remount,size=64m", folder]
    subprocess.run(command, check=True)


def on_small_disks(scene, small_disk, steps):
    """Work on disks with ever more room than the shop needs, and look each time."""
    used = sum(-(-p.stat().st_size // 4096) * 4096 for p in scene.folder.rglob("*") if p.is_file())
    outcomes = []
    for step in steps:
        disk = small_disk(used + 200_000 + step)
        folder = scene.copy(disk / "copy")
        failed, said = tried(scene, folder)
        outcomes.append(failed)
        if failed:
            is_clear(said)
        with Shop.open(folder, WORDS) as shop:
            assert backed_up.left_lying(shop) == []
        grow(disk)
        scene.check(folder)
    return outcomes


@pytest.mark.parametrize("work", ["make_full", "restore"])
def test_a_full_disk_leaves_nothing_half_written(work, scenes, small_disk):
    """The old backups and the database are as they were; with room, all goes on."""
    assert on_small_disks(scenes(work), small_disk, [100_000]) == [1]


@pytest.mark.slow
@pytest.mark.parametrize("work", ["make_full", "make", "prune", "restore"])
def test_a_disk_that_fills_at_any_moment(work, scenes, small_disk):
    """From much too small to large enough."""
    outcomes = on_small_disks(scenes(work), small_disk, range(0, 3_200_000, 100_000))

    assert outcomes == sorted(outcomes, reverse=True)
    assert outcomes[-1] == 0
    assert outcomes[0] == 1 or work == "prune"


# ---- bad lines ----


@pytest.fixture
def far(shaky, tmp_path, monkeypatch):  # noqa: F811
    """Return a shop with a place on a line that fails as it is told to."""
    monkeypatch.setattr(places, "AGAIN_S", 0)
    place, line = shaky
    real_shop.filled(tmp_path / "shop").close()
    backed_up.equip(tmp_path / "shop")
    backup.add_place(tmp_path / "shop", AWAY, place._address, offsite=True)
    with Shop.open(tmp_path / "shop", WORDS) as shop:
        yield shop, line


@pytest.mark.parametrize("fault", ["drop up", "cut up", "flip up", "drop down", "cut down"])
def test_one_fault_of_a_line_is_made_good(far, fault):
    """Nobody has to run it again."""
    shop, line = far
    make(shop)
    change(shop)
    line.faults = [fault]

    done = make(shop, now=NOW + HOUR)

    assert line.faults == []
    back = restore.restore(
        shop, backed_up.place(shop), [OWNER], actor="owner", now=LATER, name=AWAY
    )
    assert back.manifest.seq == done.manifest.seq == 2


@pytest.mark.parametrize("fault", ["drop up", "cut up", "flip up", "refuse", "full"])
def test_a_line_that_fails_for_good_is_told_and_made_good_by_the_next_run(far, fault):
    """The other place has the backup; this one has nothing that looks like one, and catches up."""
    shop, line = far
    make(shop)
    change(shop)
    line.faults = [f"{fault} always"]

    done = backup.make(shop, actor="owner", now=NOW + HOUR)

    assert done.places[HERE] == ""
    assert done.places[AWAY]
    assert "secret" not in done.places[AWAY]
    line.faults = []
    assert not [name for name in line.store_names() if name.startswith("000002")]
    assert any(done.places[AWAY] in red for red in said_red(shop))
    change(shop, 2)
    assert make(shop, now=NOW + DAY).manifest.seq == 3
    for found in upkeep.verify(shop, now=NOW + DAY):
        assert found.faults == ()
        assert 3 in found.right
    back = restore.restore(
        shop, backed_up.place(shop), [OWNER], actor="owner", now=LATER, name=AWAY
    )
    assert back.manifest.seq == 3


def said_red(shop):
    """Return what is wrong with the backups, in words."""
    return upkeep.status(shop.folder, shop.settings, now=NOW + HOUR).red


def test_a_store_that_lists_late_loses_nothing(far):
    """What was put is not in the list yet when the next backup is made."""
    shop, line = far
    make(shop)
    line.late = {*line.store_names()}
    change(shop)

    make(shop, now=NOW + HOUR)

    line.late = set()
    (found,) = upkeep.verify(shop, now=NOW + DAY, only=AWAY)
    assert (found.right, found.faults) == ((1, 2), ())


# ---- a busy till ----


TILL = """
import sqlite3, sys
with_wal = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
with_wal.execute("PRAGMA wal_autocheckpoint = 20")  # the file itself changes all the time
with_wal.execute("PRAGMA synchronous = OFF")
print("selling", flush=True)
turn = 0
while True:
    turn += 1
    with_wal.execute("BEGIN IMMEDIATE")
    for step in range(60):
        a, b = (turn * 7 + step) % 200, (turn * 13 + step * 3 + 1) % 200
        with_wal.execute("UPDATE accounts SET cents = cents - 5 WHERE id = ?", (a,))
        with_wal.execute("UPDATE accounts SET cents = cents + 5 WHERE id = ?", (b,))
    with_wal.execute("COMMIT")
"""


@contextmanager
def busy(database):
    """Let another program move money to and fro in a database; its sum never changes."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, cents INTEGER, note TEXT)")
        numbers = "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 199)"
        rows = "SELECT n, 1000, hex(randomblob(6000)) FROM c"
        db.execute(f"{numbers} INSERT INTO accounts {rows}")  # noqa: S608
    run = [sys.executable, "-c", TILL, database]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as till:
        till.stdout.readline()
        try:
            yield
            assert till.poll() is None, "the till was stopped by the backup"
        finally:
            till.kill()


def holds(copy):
    """Whether a copy is sound and no money is lost in it."""
    try:
        with closing(sqlite3.connect(copy)) as db:
            whole = db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return whole and db.execute("SELECT sum(cents) FROM accounts").fetchone() == (200_000,)
    except sqlite3.DatabaseError:
        return False


def test_a_busy_till_is_backed_up_between_two_sales(tmp_path):
    """Every backup of a database in use holds the right sum; a plain copy soon does not."""
    with prepared(tmp_path) as shop:
        live = shop.files()[0]
        plain = True
        with busy(live):
            made = [make(shop, now=NOW + n * HOUR) for n in range(5)]
            for number in range(500):
                copy = tmp_path / f"plain-{number}.sqlite"
                shutil.copy(live, copy)  # as people do
                if not (plain := holds(copy)):
                    break
                copy.unlink()
        assert {one.manifest.kind for one in made} == {"full", "diff"}
        assert len({one.manifest.plain_sha256 for one in made}) == 5, "the till was at work"
        for one in made:
            with opened(shop, one.manifest.seq) as copy:
                assert holds(copy)
        assert not plain, "a plain copy has to fail, or this test proves nothing"


@contextmanager
def opened(shop, number):
    """Open a backup as a restore does, and return the copy."""
    home = Home(shop.folder)
    with home.locked(), home.work() as work:
        place = backed_up.place(shop)
        checked = opening.look(shop, place, name=AWAY, now=LATER, state=home.load())
        wanted = opening.choose(checked, number)
        yield opening.fetch(shop, place, checked, wanted, work, [OWNER]).path


# ---- every byte ----


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "diff"])
def test_every_altered_byte_of_a_backup_is_refused(kind, scenes, tmp_path):
    """Flipped anywhere, cut anywhere, longer: refused before it is opened, and nothing is left."""
    folder = scenes("make").copy(tmp_path / "copy")
    with Shop.open(folder, WORDS) as shop:
        number = 2 if kind == "full" else 3
        home, place = Home(folder), backed_up.place(shop)
        checked = opening.look(shop, place, name=AWAY, now=LATER, state=home.load())
        wanted = opening.choose(checked, number)
        path = backed_up.away(shop) / wanted.file
        data = path.read_bytes()
        step = max(1, len(data) // 60)
        wrong = [data[:n] + bytes([data[n] ^ 1]) + data[n + 1 :] for n in range(0, len(data), step)]
        wrong += [data[:n] for n in range(0, len(data), 20 * step)] + [data + b"\0", data * 2]
        with home.work() as work:
            if kind == "diff":  # its base is all right, and there
                opening.fetch(shop, place, checked, opening.choose(checked, 2), work, [OWNER])
            before = sorted(path.name for path in work.iterdir())
            for altered in wrong:
                path.write_bytes(altered)
                with pytest.raises((archive.Damaged, places.Damaged)):
                    opening.fetch(shop, place, checked, wanted, work, [OWNER])
                (work / wanted.file).unlink(missing_ok=True)
                assert sorted(path.name for path in work.iterdir()) == before
            path.write_bytes(data)
            opening.fetch(shop, place, checked, wanted, work, [OWNER])
