"""A copy of the database is whole, private and proven, even while the till is selling."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from kit import snapshot
from kit.snapshot import BadDatabase, BadTarget, Busy, SnapshotError, canaries, facts, take

KEY = bytes(range(32))
posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no such thing")

# A till that moves money between accounts as fast as it can, until its input is closed. Few cache
# pages, so that a transaction reaches the file before it is done.
TILL = """
import random, sqlite3, sys, threading
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("PRAGMA journal_mode = " + sys.argv[2])
db.execute("PRAGMA synchronous = OFF")
db.execute("PRAGMA cache_size = 5")
draw = random.Random(7)
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
print(flush=True)
while not stop.is_set():
    db.execute("BEGIN IMMEDIATE")
    for _ in range(60):
        one, two = draw.sample(range(1, 2001), 2)
        db.execute("UPDATE accounts SET cents = cents - 5 WHERE id = ?", (one,))
        db.execute("UPDATE accounts SET cents = cents + 5 WHERE id = ?", (two,))
    db.execute("COMMIT")
"""
ACCOUNTS = """
CREATE TABLE accounts (id INTEGER PRIMARY KEY, cents INTEGER, note TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
INSERT INTO accounts SELECT i, 1000, hex(zeroblob(100)) FROM n;
"""
SHOP = """
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name TEXT, email TEXT);
CREATE TABLE sales (sale_id INTEGER PRIMARY KEY,
                    customer_id INTEGER REFERENCES customers, cents INTEGER);
CREATE TABLE "odd ""name" (a);
CREATE INDEX by_customer ON sales (customer_id);
CREATE VIRTUAL TABLE found USING fts5(name);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90)
INSERT INTO customers SELECT i, 'Ana Example', 'ana' || i || '@example.com' FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
INSERT INTO sales SELECT i, 1 + i % 90, 250 FROM n;
ANALYZE;
"""


def make(path, script, *, mode="DELETE"):
    """Make a database, close it, and return its path."""
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")
        db.executescript(script)
    return path


def change(path, *statements):
    """Change a database behind the kit's back."""
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


@pytest.fixture
def live(tmp_path):
    """A small shop."""
    return make(tmp_path / "shop.sqlite", SHOP)


@contextmanager
def till(path, mode):
    """Let a till write to a database in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", TILL, path, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        yield process
        process.stdin.close()


def sound(path):
    """Whether a copy opens, is well-formed, and holds every cent."""
    try:
        with closing(sqlite3.connect(path)) as db:
            ok = db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            return ok and db.execute("SELECT sum(cents) FROM accounts").fetchone() == (2_000_000,)
    except sqlite3.Error:
        return False


def names(folder):
    """Return all names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


# ---- whole, while the till is selling ----


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
@pytest.mark.parametrize("copies", [5, pytest.param(40, marks=pytest.mark.slow)])
def test_no_sale_is_cut_in_half(mode, copies, tmp_path):
    """Not a cent is missing from a copy, though copying the file loses some sooner or later."""
    live = make(tmp_path / "live.sqlite", ACCOUNTS, mode=mode)
    with till(live, mode):
        for number in range(copies):
            take(live, tmp_path / f"copy{number}")
        for _ in range(1000):
            shutil.copy(live, tmp_path / "plain")
            if not sound(tmp_path / "plain"):
                break
            for end in ("-wal", "-shm", "-journal"):  # of a copy, they would spoil the next
                (tmp_path / f"plain{end}").unlink(missing_ok=True)
        else:
            pytest.fail("copying the file never failed: this test proves nothing")

    copied = [tmp_path / f"copy{number}" for number in range(copies)]
    assert all(map(sound, copied))
    assert len({facts(path).sha256 for path in copied}) > 1  # the till did sell meanwhile


def test_a_busy_till_cannot_hold_up_the_copy(tmp_path, monkeypatch):
    """A write between each two steps does not make it begin anew, nor gets into it."""
    live = make(tmp_path / "live.sqlite", ACCOUNTS, mode="WAL")
    monkeypatch.setattr(snapshot, "PAGES", 10)
    steps = []
    with closing(sqlite3.connect(live)) as writer:

        def sell(done, total):
            steps.append((done, total))
            assert len(steps) < 1000, "it begins anew with each write"
            writer.execute("UPDATE accounts SET cents = cents + 1")
            writer.commit()

        take(live, tmp_path / "copy", progress=sell)

    size = (tmp_path / "copy").stat().st_size
    assert sound(tmp_path / "copy")
    assert len(steps) > 10
    assert steps == sorted(steps)
    assert steps[-1] == (size, size)


@posix_only
def test_what_a_crashed_till_left_is_put_right(tmp_path):
    """A power cut in the middle of a sale does not end up in the backup."""
    live = make(tmp_path / "live.sqlite", ACCOUNTS)
    crash = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "db.execute('PRAGMA cache_size = 5'); db.execute('BEGIN');"
        "db.execute('UPDATE accounts SET cents = 0'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", crash, live], check=False)
    assert Path(f"{live}-journal").exists()

    take(live, tmp_path / "copy")

    assert sound(tmp_path / "copy")


def test_sales_that_are_only_in_the_side_file_are_copied(tmp_path):
    """The newest sales of a WAL database are not yet in the file that has its name."""
    live = make(tmp_path / "live.sqlite", ACCOUNTS, mode="WAL")
    with closing(sqlite3.connect(live)) as db:
        db.execute("UPDATE accounts SET note = 'new'")
        db.commit()
        take(live, tmp_path / "copy")

    with closing(sqlite3.connect(tmp_path / "copy")) as db:
        assert db.execute("SELECT DISTINCT note FROM accounts").fetchall() == [("new",)]


# ---- a file that stands alone ----


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_copy_stands_alone(mode, tmp_path):
    """Opening it makes no file beside it that could be taken for a part of it, or be left out."""
    live = make(tmp_path / "live.sqlite", SHOP, mode=mode)
    with closing(sqlite3.connect(live)) as db:  # so that the side files are there
        db.execute("SELECT * FROM customers").fetchall()
        (tmp_path / "out").mkdir()
        copy = tmp_path / "out" / "copy"
        take(live, copy)

    assert copy.read_bytes()[18:20] == b"\1\1"  # else a reader would make -wal and -shm
    facts(copy)
    with closing(sqlite3.connect(copy)) as db:
        db.execute("SELECT * FROM customers").fetchall()
        assert names(copy.parent) == ["copy"]


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_two_copies_of_a_quiet_shop_are_the_same(mode, tmp_path):
    """So that only real changes are stored again."""
    live = make(tmp_path / "live.sqlite", SHOP, mode=mode)
    for name in ("one", "two"):
        take(live, tmp_path / name)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@posix_only
def test_a_copy_is_private_at_all_times(live, tmp_path):
    """A copy is as secret as the shop; another user of the computer cannot read it, even half."""
    seen = []

    def look(done, total):
        (folder,) = tmp_path.glob(".copy.*.part")
        seen.append(stat.S_IMODE(folder.stat().st_mode))

    live.chmod(0o644)
    take(live, tmp_path / "copy", progress=look)

    assert seen == [0o700]
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600
    assert names(tmp_path) == ["copy", "shop.sqlite"]


def test_a_copy_is_on_the_disk_before_it_has_its_name(live, tmp_path, monkeypatch):
    """After a power cut there is a whole copy or none."""
    fsync, there = os.fsync, []
    monkeypatch.setattr(
        os, "fsync", lambda fd: (there.append((tmp_path / "copy").exists()), fsync(fd))
    )

    take(live, tmp_path / "copy")

    assert there == ([False, True] if os.name == "posix" else [False])


# ---- refused, and nothing left ----


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "is not there", id="missing"),
        pytest.param(b"", "holds no table", id="empty file"),
        pytest.param(b"x" * 5000, "not a database; choose another file, or give", id="encrypted"),
    ],
)
def test_refuses_what_is_no_shop(content, says, tmp_path):
    """A backup of nothing looks like a backup; it is refused before it pushes out a good one."""
    live = tmp_path / "shop.sqlite"
    if content is not None:
        live.write_bytes(content)
    before = names(tmp_path)

    with pytest.raises(BadDatabase, match=says) as caught:
        take(live, tmp_path / "copy")

    assert isinstance(caught.value, SnapshotError)
    assert names(tmp_path) == before


def test_a_database_without_tables_is_refused(tmp_path):
    """SQLite's own tables do not count."""
    script = "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT); DROP TABLE t;"
    live = make(tmp_path / "shop.sqlite", script)

    with pytest.raises(BadDatabase, match="holds no table"):
        take(live, tmp_path / "copy")


def test_a_locked_database_is_busy(live, tmp_path):
    """Some program that hangs does not make the backup hang, and the error says try again."""
    with closing(sqlite3.connect(live, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Busy, match="locked by another program"):
            take(live, tmp_path / "copy", wait_s=0)

    assert "copy" not in names(tmp_path)
    take(live, tmp_path / "copy", wait_s=0)


def test_never_overwrites(live, tmp_path):
    """Swapping the two names by mistake does not cost the shop its database."""
    (tmp_path / "copy").write_bytes(b"mine")

    with pytest.raises(BadTarget, match="copy is there already; choose another name"):
        take(live, tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == b"mine"


def test_a_missing_folder_is_named(live, tmp_path):
    """A disk that is not plugged in is no riddle."""
    with pytest.raises(BadTarget, match="copy: no such file or directory; check the disk"):
        take(live, tmp_path / "usb" / "copy")


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError, ZeroDivisionError])
def test_a_fault_of_the_caller_keeps_its_meaning(fault, live, tmp_path):
    """Ctrl-C in the middle leaves no half copy of the customers, and is no full disk."""

    def stop(done, total):
        raise fault

    with pytest.raises(fault) as caught:
        take(live, tmp_path / "copy", progress=stop)

    assert type(caught.value) is fault
    assert names(tmp_path) == ["shop.sqlite"]


def test_the_next_run_deletes_what_a_power_cut_left(live, tmp_path):
    """Half a copy of the customers does not lie about for ever; other files stay."""
    (tmp_path / ".copy.ab12_x9z.part").mkdir()
    (tmp_path / ".copy.ab12_x9z.part" / "copy").write_bytes(b"half")
    (tmp_path / ".copy.mine.part").mkdir()

    take(live, tmp_path / "copy")

    assert names(tmp_path) == [".copy.mine.part", "copy", "shop.sqlite"]


LIMITED = """
import resource, sys
from pathlib import Path
from kit import snapshot
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))
try:
    snapshot.take(Path(sys.argv[1]), Path(sys.argv[2]))
except snapshot.BadTarget as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 100, 4096, 50_000])
def test_a_full_disk_leaves_nothing(room, tmp_path):
    """The owner reads "disk", and no half copy of the customers stays behind."""
    pytest.importorskip("resource", reason="this system cannot limit the size of files")
    live = make(tmp_path / "live.sqlite", ACCOUNTS)
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", LIMITED, live, tmp_path / "out" / "copy", str(room)]

    done = subprocess.run(command, check=True, capture_output=True, text=True)

    assert re.match(r"live\.sqlite: .*(disk|full).*; .*(disk|space)", done.stdout)
    assert names(tmp_path / "out") == []
    assert sound(live)


def test_a_full_disk_at_the_very_end_leaves_nothing(live, tmp_path, monkeypatch):
    """Some disks say only when asked to be sure that they are full."""

    def full(fd):
        raise OSError(28, "")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(BadTarget, match="copy: no space left on device; check the disk"):
        take(live, tmp_path / "copy")

    assert names(tmp_path) == ["shop.sqlite"]


# ---- facts ----


def test_facts_identify_a_copy(live, tmp_path):
    """What a restore is compared with: a hash of every byte, and figures a person can judge."""
    take(live, tmp_path / "copy")
    told = facts(tmp_path / "copy")

    assert told.size == (tmp_path / "copy").stat().st_size
    assert re.fullmatch("[0-9a-f]{64}", told.sha256)
    assert told.page_size == 4096
    assert {name: n for name, n in told.rows.items() if not name.startswith("found_")} == {
        "customers": 90,
        "sales": 300,
        'odd "name': 0,
    }
    assert told.problems == ()
    assert facts(tmp_path / "copy", check=False).problems is None


def test_rows_change_the_hash_and_tables_the_schema(live, tmp_path):
    """A new table asks for a full backup; a day's sales and new statistics do not."""
    take(live, tmp_path / "old")
    change(live, "INSERT INTO customers VALUES (91, 'Ben Example', NULL)", "ANALYZE")
    take(live, tmp_path / "sold")
    change(live, "CREATE TABLE stamps (a)")
    take(live, tmp_path / "new")
    old, sold, new = (facts(tmp_path / name) for name in ("old", "sold", "new"))

    assert len({old.sha256, sold.sha256, new.sha256}) == 3
    assert old.schema_sha256 == sold.schema_sha256 != new.schema_sha256
    assert sold.rows["customers"] == 91


def test_facts_tell_what_is_wrong(live, tmp_path):
    """Sales of customers who are not there, and an index that lost a row, without naming them."""
    change(live, "DELETE FROM customers WHERE customer_id < 3")
    with closing(sqlite3.connect(live)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("CREATE UNIQUE INDEX by_email ON customers (email)")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, 'email)', 'name)')")
        db.commit()
    found = facts(live).problems

    assert "7 rows of sales belong to rows of customers that are not there" in found
    assert any("missing from index by_email" in text for text in found)
    assert not any("Example" in text for text in found)


def test_a_torn_page_is_found(live):
    """A copy of a failing disk is told as damaged, with what to do."""
    data = bytearray(live.read_bytes())
    data[4096 : 3 * 4096] = bytes(2 * 4096)
    live.write_bytes(data)

    with pytest.raises(BadDatabase, match="malformed; stop using it, keep it"):
        facts(live)


@pytest.mark.parametrize("end", ["-wal", "-journal"])
def test_a_stranger_beside_the_copy_is_refused(end, live):
    """A left-over side file of another database would turn a good copy into a bad one."""
    Path(f"{live}{end}").write_bytes(b"left over")

    with pytest.raises(BadDatabase, match=f"has shop.sqlite{end} beside it"):
        facts(live)


def test_facts_need_a_database(tmp_path):
    """A missing copy and a text file are no copies."""
    (tmp_path / "text").write_bytes(b"customers: Ana" * 100)

    with pytest.raises(BadDatabase, match="is not there"):
        facts(tmp_path / "none")
    with pytest.raises(BadDatabase, match="not a database"):
        facts(tmp_path / "text")


def test_a_name_with_signs_of_its_own_is_a_name(tmp_path):
    """A question mark in a folder's name does not open another file."""
    folder = tmp_path / ("50% #1" if os.name == "nt" else "50% #1?mode=memory")
    folder.mkdir()
    live = make(folder / "shop.sqlite", SHOP)
    take(live, folder / "copy")

    assert facts(folder / "copy").rows["customers"] == 90


# ---- canaries ----


def test_canaries_are_known_again(live, tmp_path):
    """Twenty customers, spread over the table, are the same ones after a restore."""
    marks = canaries(live, "customers", "customer_id", key=KEY)
    take(live, tmp_path / "copy")
    again = canaries(tmp_path / "copy", "customers", "customer_id", key=KEY, only=marks)

    assert again == marks
    assert 15 <= len(marks) <= 20
    assert min(marks) == 1
    assert max(marks) > 80
    assert "ana" not in str(marks)


def test_canaries_notice_rubbish(live):
    """An altered customer has another mark, an erased one has none, another key knows neither."""
    marks = canaries(live, "customers", "customer_id", key=KEY, count=3)
    one, two, three = marks
    change(
        live,
        f"UPDATE customers SET name = 'X' WHERE customer_id = {one}",  # noqa: S608
        f"DELETE FROM customers WHERE customer_id = {two}",  # noqa: S608
    )
    again = canaries(live, "customers", "customer_id", key=KEY, only=marks)
    other = canaries(live, "customers", "customer_id", key=bytes(32), only=marks)

    assert again == {one: again[one], three: marks[three]}
    assert again[one] != marks[one]
    assert other[three] != marks[three]


def test_few_customers_are_all_canaries(tmp_path):
    """A new shop has fewer than twenty customers, or none yet."""
    script = "CREATE TABLE customers (id INTEGER PRIMARY KEY);"
    empty, three = make(tmp_path / "empty", script), make(tmp_path / "three", script)
    change(three, "INSERT INTO customers VALUES (5), (6), (9)")

    assert canaries(empty, "customers", "id", key=KEY) == {}
    assert list(canaries(three, "customers", "id", key=KEY)) == [5, 6, 9]


def test_a_missing_table_is_told(live):
    """A typing error in the settings is no empty shop."""
    with pytest.raises(BadDatabase, match="no such table: customer; check"):
        canaries(live, "customer", "customer_id", key=KEY)


def test_what_is_known_is_not_read_again(live, tmp_path):
    """The hash of 300 MB is taken once, where the copy is sealed or unpacked."""
    take(live, tmp_path / "copy")

    assert facts(tmp_path / "copy", hashed=False).sha256 == ""
    assert facts(tmp_path / "copy", hashed=False).rows == facts(tmp_path / "copy").rows
