# SPDX-License-Identifier: MIT-0
"""What lesson 4 asks: break a backup, order the steps of a bad morning, choose places that last.

The lesson takes from here what it works on, too: a shop with a till, a copy by hand, a bad program.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from pyrage import x25519

from kit import archive, imports, lesson, pack, recovery, removals, vault
from kit import store as database
from kit.lesson import Exercise, quiz, tried
from kit.rescue import Preview
from kit.shop import Shop

ORDER = ["unplug", "wipe", "restore", "backup"]
PLACES = ("folder", "drawer", "disk", "sister", "cloud")
LASTING = {"sister", "cloud"}


# ---- what the lesson works on -------------------------------------------------------------------


def fresh_folder() -> Path:
    """Return the learner's folder for this lesson, without what an earlier run left there."""
    folder = lesson.workspace() / "my-work" / "back_up"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def flower_shop(folder: Path, secret: str, *, now: datetime) -> Shop:
    """Make Fern & Finch's shop, with what its till exports."""
    about = {"name": "Fern & Finch", "time_zone": "America/New_York", "owner": "mara"}
    shop = Shop.init(folder, secret, **about, now=now)
    with (folder / "shop.toml").open("a", encoding="utf-8") as file:
        file.write('david = "manager"\n')
    for name in ("customers", "items"):
        imports.import_file(shop, lesson.path(f"tills/square_{name}.csv"), actor="mara", now=now)
    return shop


def fresh_shop(before: Shop, secret: str, *, now: datetime) -> tuple[Path, Path, str]:
    """Make the shop anew, and an empty stick beside it; return both folders, and Mara's paper key.

    The key is made and read back as in lesson 3b.
    """
    before.close()
    work = fresh_folder()
    paper, public = recovery.new_paper_key()
    with flower_shop(work / "shop", secret, now=now) as shop:
        vault.write_copy(shop.folder, shop.keyring, recipient=public)
        vault.rehearse(shop.folder, shop.keyring, paper)
    (work / "stick").mkdir()
    return work / "shop", work / "stick", paper


@contextmanager
def selling(shop: Shop, sales: int) -> Iterator[None]:
    """Sell, with the till open as on any day: what it writes reaches the main file later."""
    with closing(sqlite3.connect(shop.folder / "shop.sqlite", isolation_level=None)) as till:
        till.execute("BEGIN")
        till.execute("SELECT count(*) FROM sales").fetchone()  # the till looks at this moment
        with database.begin(shop.engine) as connection:
            for number in range(sales):
                sale = {"sale_id": f"today-{number}", "total_cents": 2_500}
                connection.execute(shop.tables.tables["sales"].insert().values(**sale))
        yield


def sales_in(path: Path) -> int:
    """Return how many sales a database file holds."""
    with closing(sqlite3.connect(path)) as copy:
        return int(copy.execute("SELECT count(*) FROM sales").fetchone()[0])


def show(seen: Preview) -> bool:
    """Say what would come back, and agree to it."""
    for table in seen.tables:
        if table.missing:
            lesson.say(f"to come back from {table.table}: {len(table.missing)}")
    for place, keys in seen.links.items():
        lesson.say(f"to be linked again, {place}: {len(keys)}")
    return True


def erase(shop: Shop, name: str, *, now: datetime) -> None:
    """Erase a customer who asked for it, if they are still there."""
    for seen in shop.find(name, actor="mara", purpose="sale", now=now):
        plan = removals.plan_erasure(shop, seen.id, now=now)
        removals.erase(shop, plan, actor="mara", now=now)


def lose(shop: Shop) -> None:
    """Leave the laptop on the train, with all that is on it."""
    shop.close()
    shutil.rmtree(shop.folder)


def same_as(noted: str) -> Callable[[str], None]:
    """Return what compares a fingerprint with the one on paper."""

    def compare(found: str) -> None:
        if found != noted:
            raise AssertionError("somebody else signed these backups; stop, and ask who")

    return compare


def scramble(*paths: Path) -> None:
    """Do to files what ransomware does: make them unreadable, and leave their names."""
    for path in paths:
        path.write_bytes(os.urandom(path.stat().st_size))


@contextmanager
def zeroed(*paths: Path) -> Iterator[None]:
    """Overwrite files with zeros, then put back what was in them."""
    sizes = {path: path.stat().st_size for path in paths}
    with without(*paths):
        for path, size in sizes.items():
            path.write_bytes(bytes(size))
        yield


@contextmanager
def without(*paths: Path) -> Iterator[None]:
    """Take files away, then put them back."""
    held = {path: path.read_bytes() for path in paths}
    for path in paths:
        path.unlink()
    try:
        yield
    finally:
        for path, data in held.items():
            path.write_bytes(data)


def forget(kept: Path | None) -> None:
    """Delete what a restore kept of what it replaced; it holds customers, too."""
    if kept:
        shutil.rmtree(kept)


# ---- what it asks -------------------------------------------------------------------------------


def break_backup(answer: object) -> str | None:
    """Want a function that changes a backup; try whether that is noticed."""
    if not callable(answer):
        return "write a function: def harm(data), which returns other bytes than it gets"
    keys = [x25519.Identity.generate() for _ in range(2)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with closing(sqlite3.connect(folder / "shop.sqlite")) as db, db:
            db.execute("CREATE TABLE sales (cents INTEGER)")
        sealed = folder / "backup.age"
        people = [str(key.to_public()) for key in keys]
        told = archive.full(folder / "shop.sqlite", sealed, people, pack=pack)
        data = sealed.read_bytes()
        harmed = tried(answer(data))
        if not isinstance(harmed, bytes):
            return f"your function returned {type(harmed).__name__}; return bytes"
        if harmed == data:
            return "these are the bytes that came in; nothing is broken yet"
        sealed.write_bytes(harmed)
        try:
            archive.unpack_full(sealed, folder / "copy", [str(keys[0])], told, pack=pack)
        except archive.Damaged:
            return None
    return "this change was not noticed: please tell the makers of the kit"


def order_steps(answer: object) -> str | None:
    """Want the steps after ransomware in an order that loses nothing more."""
    if not isinstance(answer, list | tuple):
        return 'write a list: square brackets around four words in quotes, such as ["wipe", ...]'
    steps = [str(one).strip().casefold() for one in answer]
    if sorted(steps) != sorted(ORDER):
        return f"take each of the four once: {', '.join(sorted(ORDER))}"
    if steps[0] != "unplug":
        return "while you do that, the program goes on, also over the network: unplug first"
    if steps.index("restore") < steps.index("wipe"):
        return "the bad program is still there and would take the restored shop as well: wipe first"
    if steps.index("backup") < steps.index("restore"):
        return "a backup made now would hold unreadable files; restore first"
    return None


def choose_places(answer: object) -> str | None:
    """Want the places that a fire and ransomware both leave alone."""
    if not isinstance(answer, list | tuple | set):
        return 'write a list: square brackets around words in quotes, such as ["drawer"]'
    named = {str(one).strip().casefold() for one in answer}
    if strange := sorted(named - {*PLACES}):
        return f"{strange[0]!r} is none of the five: {', '.join(PLACES)}"
    if "folder" in named:
        return "a folder on the laptop goes where the laptop goes"
    if "disk" in named:
        return "what is always plugged in is scrambled along with the laptop"
    if "drawer" in named:
        return "the drawer burns with the shop, and a burglar opens it first"
    if missing := sorted(LASTING - named):
        return f"one more outlives both: think again about {missing[0]}"
    return None


EXERCISES = (
    Exercise(
        "back_up.1",
        5,
        break_backup,
        right="It was noticed, and no half database was left. Try another change, if you like.",
        hints=(
            "data[:100] is the beginning of the file: somebody pulled out the stick too soon.",
            'Or add something to the end: return data + b"more".',
        ),
        source="def harm(data):\n    return data[:100]",
        wrong=(
            ("cut it", "write a function"),
            (lambda data: data, "nothing is broken yet"),
            (lambda data: str(data), "returned str"),
            (lambda data: None, "returned NoneType"),
        ),
    ),
    Exercise(
        "back_up.2",
        5,
        order_steps,
        right="Nothing more was lost, and the first good backup is of a good shop.",
        hints=(
            "What does the bad program do while you think? Stop that first.",
            "Where is the bad program when you restore? It must be gone by then.",
        ),
        source='steps = ["unplug", "wipe", "restore", "backup"]',
        wrong=(
            ("unplug", "square brackets"),
            (["unplug", "wipe", "restore", "restore"], "each of the four once"),
            (["backup", "unplug", "wipe", "restore"], "unplug first"),
            (["wipe", "unplug", "restore", "backup"], "unplug first"),
            (["unplug", "restore", "wipe", "backup"], "wipe first"),
            (["unplug", "wipe", "backup", "restore"], "restore first"),
        ),
    ),
    Exercise(
        "back_up.3",
        5,
        choose_places,
        right="One is out of reach, the other cannot be deleted from here. Two are enough.",
        hints=(
            "Walk through each place twice: first the fire, then the program on the laptop.",
            "Two places are away from the shop.",
        ),
        source='places = ["sister", "cloud"]',
        wrong=(
            ("cloud", "square brackets"),
            (["attic"], "'attic' is none of the five"),
            (["folder", "cloud"], "where the laptop goes"),
            (["disk", "sister"], "scrambled along"),
            (["drawer", "cloud"], "burns with the shop"),
            (["cloud"], "think again about sister"),
            (["sister"], "think again about cloud"),
        ),
    ),
    quiz(
        "back_up.quiz1",
        2,
        "c",
        {
            "a": "a program can write rubbish and be content; many shops found out too late.",
            "b": "David's copy was there, too, and had a size.",
            "c": "Only what was restored and looked through has been proven.",
        },
        hint="Which of the three did David's stick fail?",
    ),
    quiz(
        "back_up.quiz2",
        3,
        "a",
        {
            "a": "Restoring reads it and erases again, before anybody works with the shop.",
            "b": "old backups are never changed: she is in them until their time is over.",
            "c": "it was made before she asked, so it holds her.",
        },
        hint="Which file did Mara's shop keep besides the database, and send along?",
    ),
)
