# SPDX-License-Identifier: MIT-0
"""What lesson 2 asks: say who sees a telephone number, and find in the log who looked.

The lesson takes from here what it works on, too: a careless database, points, a busy night.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from kit import lesson, rows, settings
from kit import store as database
from kit.lesson import Exercise, quiz
from kit.shop import Shop

COLUMNS = {
    "First Name": "first_name",
    "Last Name": "last_name",
    "Birthday": "birthday",
    "Phone Number": "phone",
}
USUAL, NIGHT = 25, 400  # customers that David looks at on a day, and in one night
RIGHT = ("owner", "manager", "cashier")
WHO = "warren"


# ---- what the lesson works on -------------------------------------------------------------------


def fresh_folder() -> Path:
    """Return the learner's folder for this lesson, without what an earlier run left there."""
    folder = lesson.workspace() / "my-work" / "store"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def new_shop(secret: str, *, now: datetime) -> Shop:
    """Make Fern & Finch's shop in that folder, with everybody who works there."""
    folder = fresh_folder() / "shop"
    about = {"name": "Fern & Finch", "time_zone": "America/New_York", "owner": "mara"}
    Shop.init(folder, secret, **about, now=now).close()
    with (folder / "shop.toml").open("a", encoding="utf-8") as file:
        file.write('david = "manager"\nwarren = "cashier"\nnora = "marketer"\n')
    return Shop.open(folder, secret)


def addresses_and_numbers() -> list[str]:
    """Return every e-mail address and telephone number that the till exports."""
    customers = lesson.sample("tills/square_customers.csv")
    both = [*customers["Email Address"], *customers["Phone Number"]]
    return [text for text in both if text]


def found_in(folder: Path, texts: list[str]) -> list[str]:
    """Return which of these texts stand in any file below a folder, read byte by byte."""
    held = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return [text for text in texts if text.encode() in held]


def plain_database(path: Path) -> sqlite3.Connection:
    """Return the customer list in a database file, as a program writes it that takes no care."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA secure_delete = OFF")  # what most systems do, but not Debian
    list_ = lesson.sample("tills/square_customers.csv")[[*COLUMNS]].rename(columns=COLUMNS)
    list_.to_sql("customers", connection, index=False)
    return connection


def add_points(shop: Shop) -> int:
    """Put the points of the loyalty programme beside their customers; return how many entries."""
    table = shop.tables.tables["loyalty"]
    with database.begin(shop.engine) as connection:
        known = set(connection.scalars(sa.select(shop.tables.tables["customers"].c.customer_id)))
        there = set(connection.scalars(sa.select(table.c.entry_id)))
        made = [
            {
                "entry_id": row["entry_id"],
                "customer_id": f"square-{row['customer_id']}",
                "kind": row["kind"],
                "points": int(row["points"]),
                "happened_at": datetime.fromisoformat(row["happened_at"]),
            }
            for row in lesson.sample("clean/loyalty.csv").to_dict("records")
        ]
        made = [row for row in made if row["customer_id"] in known]
        new = [row for row in made if row["entry_id"] not in there]
        rows.load(connection, table, [new] if new else [])
    return len(made)


def night_log(zone: tzinfo) -> pd.DataFrame:
    """Return four weeks of a log, as a larger shop's would be, and the night after them."""
    looks: list[tuple[datetime, str]] = []
    for day in pd.bdate_range("2026-10-26", "2026-11-20"):
        opens = datetime(day.year, day.month, day.day, 10, tzinfo=zone)
        looks += [(opens + timedelta(minutes=15 * i), f"customer {i}") for i in range(USUAL)]
    night = datetime(2026, 11, 21, 2, tzinfo=zone)
    looks += [(night + timedelta(seconds=6 * i), f"customer {i}") for i in range(NIGHT)]
    log = pd.DataFrame(looks, columns=["at", "subject"])
    return log.assign(actor="david", role="manager", purpose="sale", action="look", count=1)


@contextmanager
def tampered(shop: Shop, *statements: str, seq: int) -> Iterator[sa.Connection]:
    """Open a copy of a shop's database in which somebody changed the log, past its guards."""
    copy = shop.folder.with_name("copy.sqlite")
    copy.write_bytes((shop.folder / "shop.sqlite").read_bytes())
    with database.begin(database.connect(copy)) as connection:
        for name in ("kit_audit", "kit_checkpoints"):
            for guard in ("no_update", "no_delete"):
                connection.exec_driver_sql(f"DROP TRIGGER {name}_{guard}")
        for statement in statements:
            connection.execute(sa.text(statement).bindparams(seq=seq))
    with database.begin(database.connect(copy)) as connection:
        yield connection


# ---- what it asks -------------------------------------------------------------------------------


def write_see(answer: object) -> str | None:
    """Want the roles that need the telephone, and no other."""
    if not isinstance(answer, list | tuple | set):
        return 'write a list: square brackets around roles in quotes, such as ["owner"]'
    named = {str(one).strip().casefold() for one in answer}
    if strange := sorted(named - {*settings.ROLES}):
        return f"{strange[0]!r} is not a role; there are: {', '.join(settings.ROLES)}"
    if "marketer" in named:
        return "Nora writes the newsletter: she needs to know who said yes, not their telephone"
    if "trainer" in named:
        return "whoever teaches works with made-up customers and needs nobody's telephone"
    if "cashier" not in named:
        return "Warren rings customers when their bouquet is ready, and he is a cashier"
    if missing := [role for role in RIGHT if role not in named]:
        return f"the {missing[0]} answers for the shop and sees it today; do not leave them out"
    return None


def read_log(answer: object) -> str | None:
    """Want the one person who looked while the shop was closed."""
    if not isinstance(answer, str):
        return 'write one name in quotes, such as "mara"'
    name, *_ = f"{answer} ".casefold().split(" ")  # the first name is enough
    if name == "david":
        return "David looked at five past ten, when the shop was open, to mail a receipt"
    if name == "mara":
        return "Mara asked the log itself, and so she stands in it too; that is her task"
    if name in ("stuart", "nora"):
        return f"{name.capitalize()} is not in Tara's table; read the column actor"
    return None if name == WHO else "nobody of that name is in the table; read the column actor"


EXERCISES = (
    Exercise(
        "store.1",
        5,
        write_see,
        right="Three roles have a reason today. The others can still be added when they have one.",
        hints=(
            "Ask for each role: what could they not do tomorrow without the number?",
            "Who rings customers? Who only writes to those who said yes? Leave that one out.",
            "Owner and manager have it already. One more role needs it.",
        ),
        source='see = ["owner", "manager", "cashier"]',
        wrong=(
            ("cashier", "square brackets"),
            (["owner", "Warren"], "'warren' is not a role"),
            ([*RIGHT, "marketer"], "not their telephone"),
            ([*RIGHT, "trainer"], "made-up customers"),
            (["owner", "manager"], "he is a cashier"),
            (["cashier", "manager"], "the owner answers for the shop"),
            (["cashier", "owner"], "the manager answers for the shop"),
        ),
    ),
    Exercise(
        "store.2",
        5,
        read_log,
        right="Nobody buys at that hour. It is a question to ask him, not yet a proof.",
        hints=(
            "The shop is open from ten to six. Compare the column at.",
            "One line is at twenty to eleven in the evening. Who stands beside it?",
        ),
        source=f'looked = "{WHO}"',
        wrong=(
            (22, "one name in quotes"),
            ("david", "when the shop was open"),
            ("Mara", "asked the log itself"),
            ("stuart", "Stuart is not in Tara's table"),
            ("nora", "Nora is not in Tara's table"),
            ("David Morris", "when the shop was open"),
            ("tara", "nobody of that name"),
        ),
    ),
    quiz(
        "store.quiz1",
        3,
        "b",
        {
            "a": "the end of a log can be cut off so that what is left looks whole.",
            "b": "It says how long the log was, and lies where nobody in the shop can change it.",
            "c": "the file itself says nothing; whoever has it can remove its guards.",
        },
        hint="Which of the three does the thief not have?",
    ),
    quiz(
        "store.quiz2",
        2,
        "c",
        {
            "a": "the tax office wants the amounts for four years; they need no name.",
            "b": "nothing that has had its time stays because something else has not.",
            "c": "Each field has its own end. The totals stay the same, and nobody is in them.",
        },
        hint="Who needs the amount of a sale, and who needs the name in it?",
    ),
)
