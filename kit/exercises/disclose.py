# SPDX-License-Identifier: MIT-0
"""What lesson 5 asks: count the last day, choose what to ask a stranger, decide what stays.

The lesson takes from here what it works on, too: a shop, parts of a page, a copy, a stolen list.
"""

from __future__ import annotations

import html
import re
import secrets
import shutil
import textwrap
import zipfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from kit import asking, breach, disclose, grounds, identity, imports, legal, lesson
from kit.breach import Assessment
from kit.exercises import store
from kit.identity import Need
from kit.incident import DataSet, Incident
from kit.lesson import Exercise, quiz
from kit.shop import Shop

TARA = "square-cus_0000000000"
NOTE = "likes peonies; Stuart Chapman knows her usual bouquet"
CARD_STAND_IN = "tok_made_up_for_the_lesson"  # of the company that takes the payments
PAYMENT = "square-pay_0000000002"
VENDORS = """\
format = 1

[[vendor]]
name = "Petal Post"
role = "service provider"
gets = ["addresses", "customers.phone"]
why = "brings bouquets"
contact = "privacy@petalpost.example.com"
find_by = ["phone"]
send = "raw"
"""
ZONE = ZoneInfo("America/New_York")
CAME = datetime(2026, 11, 28, 21, tzinfo=ZONE)  # a Saturday evening
READ = datetime(2026, 12, 1, 9, tzinfo=ZONE)
KNOWN = ("points", "bought", "postcode", "phone")  # what the shop holds of Tara, and may ask
FATES = ("delete", "keep without name", "keep")
GOOD = {
    "address": "delete",
    "points": "delete",
    "sales": "keep without name",
    "card_last4": "delete",
    "request": "keep without name",
}
AS_TABLE = {  # a notebook draws a list of pairs askew
    "<dl>": "<table>",
    "</dl>": "</table>",
    "<dt>": '<tr><th scope="row">',
    "</dt>": "</th>",
    "<dd>": "<td>",
    "</dd>": "</td></tr>",
}
CARD_NUMBER = re.compile(r"\d{4}[ -]\d{4,6}[ -]\d{4,5}")
AES = {"encrypted": True, "algorithm": "AES-256-GCM", "bits": 256}
LOCKS: dict[str, dict[str, Any]] = {  # how the stolen list was locked
    "open": {},
    "key stolen": {**AES, "key_exposed": True},
    "key unknown": {**AES, "key_exposed": None},
    "key safe": {**AES, "key_exposed": False},
}
EVERYBODY = frozenset({"name", "phone", "email", "postal_address", "birth_date", "purchases"})


# ---- what the lesson works on -------------------------------------------------------------------


def fresh_folder() -> Path:
    """Return the learner's folder for this lesson, without what an earlier run left there."""
    folder = lesson.workspace() / "my-work" / "disclose"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def flower_shop(folder: Path, secret: str, *, now: datetime) -> Shop:
    """Make Fern & Finch's shop: customers, sales, points, and what it holds on Tara besides."""
    about = {"name": "Fern & Finch", "time_zone": "America/New_York", "owner": "mara"}
    Shop.init(folder, secret, **about, now=now).close()
    with (folder / "shop.toml").open("a", encoding="utf-8") as file:
        file.write('david = "manager"\nwarren = "cashier"\n')
    (folder / "vendors.toml").write_text(VENDORS, encoding="utf-8")
    shop = Shop.open(folder, secret)
    for name in ("customers", "items", "catalog", "transactions"):
        imports.import_file(shop, lesson.path(f"tills/square_{name}.csv"), actor="mara", now=now)
    store.add_points(shop)
    _write(shop, "customers", TARA, now, note=NOTE)
    _write(shop, "payments", PAYMENT, now, card_token=CARD_STAND_IN)
    return shop


def _write(shop: Shop, table: str, key: str, now: datetime, **cells: str) -> None:
    """Write cells into a row, sealed as the inventory says."""
    made = shop.tables.tables[table]
    sealed = shop.seal(table, {name: [value] for name, value in cells.items()}, [key])
    one = next(iter(made.primary_key)) == key
    with shop.writing("mara", now) as connection:
        change = {name: values[0] for name, values in sealed.items()}
        connection.execute(sa.update(made).where(one).values(change))


def checked(
    shop: Shop,
    what: str,
    said: Mapping[str, str],
    came: Mapping[str, Any],
    sure: Mapping[str, Any],
    *,
    declaration: str = "",
) -> str:
    """Take in what Tara asks, check what she says, and return the number of her request."""
    number = disclose.open_request(shop, TARA, what, actor="warren", **came).request.request_id
    outcome = asking.verify(shop, number, said, declaration=declaration, **sure)
    if not outcome.verified:
        raise lesson.LessonError("Tara is not let in; run this lesson from its first cell")
    return number


def files_in(package: Path) -> dict[str, bytes]:
    """Return the files of an opened package, by name."""
    with zipfile.ZipFile(package) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def copy_of(shop: Shop, secret: str) -> Shop:
    """Return a copy of a shop's folder, open, so that a cell can be run again."""
    folder = shop.folder.with_name(f"copy-{secrets.token_hex(4)}")
    shutil.copytree(shop.folder, folder)
    return Shop.open(folder, secret)


def put_back(old: Shop, into: Shop, secret: str) -> Shop:
    """Return a copy of *into* that holds the database of *old*, as after putting back a backup."""
    folder = copy_of(into, secret)
    folder.close()
    for source, target in zip(old.files(), folder.files(), strict=True):
        target.unlink(missing_ok=True)
        if source.exists():
            shutil.copyfile(source, target)
    return Shop.open(folder.folder, secret)


@dataclass(frozen=True)
class Part:
    """A part of a page, which a notebook shows as it looks, and a terminal as text."""

    source: str

    def __repr__(self) -> str:
        """Return its text, a line for each paragraph."""
        text = re.sub(r"</(?:h\d|p|li|td)>", "\n", self.source)
        text = html.unescape(re.sub(r"<[^>]+>", "", text.replace("</th>", ": ")))
        lines = [" ".join(line.split()) for line in text.splitlines()]
        return "\n".join(piece for line in lines for piece in textwrap.wrap(line, lesson.LINE))

    def _repr_html_(self) -> str:
        return self.source


def parts(page: bytes, *titles: str) -> Part:
    """Return what stands under some headings of a page.

    Args:
        page: HTML, as the package holds it.
        titles: The headings.
    """
    text, found = page.decode(), []
    for title in titles:
        head = rf"<h[23][^>]*>(?:<bdi>)?{re.escape(title)}(?:</bdi>)?</h[23]>"
        part = re.search(rf"{head}.*?(?=<h[123]|</main>)", text, re.S)
        if part is None:
            raise lesson.LessonError(f"no heading {title!r} on this page")
        found.append(re.sub(r' (?:id|class)="[^"]*"', "", part[0]).strip())
    source = "\n".join(found)
    for old, new in AS_TABLE.items():
        source = source.replace(old, new)
    return Part(source)


def stolen_list(**lock: Any) -> tuple[DataSet, ...]:
    """Return what lay on the laptop: the list that lesson 0 found, by what it gives away.

    Args:
        lock: How it was encrypted, in the words of `incident.DataSet`.
    """
    people: dict[frozenset[str], Counter[str]] = defaultdict(Counter)
    for row in lesson.sample("found/customers_export.csv").to_dict("records"):
        held = set(EVERYBODY)
        if row["Allergies"] or "allergic" in row["Memo"]:
            held.add("medical")
        if CARD_NUMBER.search(row["Memo"]):
            held.add("card_pan")
        if "cvv" in row["Memo"]:
            held |= {"card_cvv", "card_expiry"}
        code = grounds.STATE_CODES.get(row["State"].upper())
        people[frozenset(held)][f"US-{code}" if code else breach.NOWHERE] += 1
    return tuple(
        DataSet(f"list, part {number}", held, dict(where), **lock)
        for number, (held, where) in enumerate(people.items(), 1)
    )


def assess(laws: legal.Book, zone: tzinfo, **lock: Any) -> Assessment:
    """Say what each rule asks for after the theft of that list, if it was locked in this way."""
    night = datetime(2026, 11, 22, 23, tzinfo=zone)
    morning = datetime(2026, 11, 23, 9, tzinfo=zone)
    lost = Incident("laptop", stolen_list(**lock), night, morning, morning, morning, morning)
    on = morning.date()
    return breach.assess(
        lost, laws.rows(on), lambda rule, when: laws.deadline(rule, when, zone=zone, on=on)
    )


# ---- what it asks -------------------------------------------------------------------------------


@cache
def _days() -> dict[str, date]:
    """Return the last day to answer, and days that people find instead."""
    laws = legal.Book()
    rule = laws.get("ca.respond", CAME.date())
    made = laws.deadline(rule, {"received": CAME}, zone=ZONE)
    late = laws.deadline(rule, {"received": READ}, zone=ZONE)
    said = laws.deadline("ca.ack", {"received": CAME}, zone=ZONE)
    more = laws.extend(made, notice_at=READ, reason="many requests")
    worked = CAME.date()
    for _ in range(rule.clock["n"]):
        worked += timedelta(days=3 if worked.weekday() == 4 else 2 if worked.weekday() == 5 else 1)
    found = {"right": made.due, "read": late.due, "arrived": said.due, "longer": more.due}
    days = {name: day for name, day in found.items() if day is not None}
    year = days["right"].replace(year=CAME.year)  # a slip in January
    return {**days, "working": worked, "first": days["right"] - timedelta(days=1), "year": year}


def count_days(answer: object) -> str | None:
    """Want the last day on which Tina may have her answer."""
    if isinstance(answer, datetime):
        answer = answer.date()
    if isinstance(answer, str):
        try:
            answer = date.fromisoformat(answer.strip())
        except ValueError:
            return 'write year, month and day in quotes, such as "2026-12-24"'
    if not isinstance(answer, date):
        return 'write year, month and day in quotes, such as "2026-12-24"'
    days = _days()
    return {
        days["right"]: None,
        days["read"]: "the days run from when it came, not from when somebody read it",
        days["arrived"]: "until then say that it arrived; the answer has more time",
        days["longer"]: "that is with more time, of which Tina must first be told, and why",
        days["working"]: "this rule counts all days, Saturdays and Sundays, too",
        days["year"]: "the day is right, but that year is over by then; which one follows?",
        days["first"]: "a good day to aim at, and one day early: day one is the day after it came",
    }.get(answer, "that is another day; day one is the day after it came, and all days count")


def choose_facts(answer: object) -> str | None:
    """Want as many things as must match, all of them held and allowed."""
    if not isinstance(answer, list | tuple | set):
        return 'write a list: square brackets around words in quotes, such as ["phone"]'
    asked = [str(one).strip().casefold() for one in answer]
    if strange := sorted({*asked} - {*identity.POINTS, *identity.NEVER}):
        return f"{strange[0]!r} is not on the form; copy the words as they stand there"
    row = legal.Book().get("ca.verify.spec", CAME.date())
    need = Need(row.value["matches"], row.id, True)
    try:
        identity.may_ask(asked, need, held=KNOWN)
    except identity.OverAsking as refusal:
        return str(refusal)
    if len({*asked}) < need.matches:
        return f"{len({*asked})} of the {need.matches} that must match; read the rule once more"
    if "points" not in asked:
        return "the man had all of these right in the end; which one did he not know?"
    return None


def decide_rows(answer: object) -> str | None:
    """Want one fate for each row, so that nothing names her and the books stay whole."""
    if not isinstance(answer, dict):
        return 'write pairs between curly brackets, such as {"address": "delete"}'
    fates: dict[object, object] = answer
    if missing := [name for name in GOOD if name not in fates]:
        return f"{missing[0]} is missing; each of the five needs a decision"
    if more := [name for name in fates if name not in GOOD]:
        return f"{more[0]!r} is not among the five; look at the words again"
    if wrong := [name for name in GOOD if fates[name] not in FATES]:
        return f'{wrong[0]}: write "delete", "keep without name" or "keep"'
    if fates["address"] != "delete":
        return "the address has no use without her, and nothing asks you to keep it"
    if fates["points"] != "delete":
        return "points belong to a person; without her they are nobody's. Tell her before"
    if fates["sales"] == "delete":
        return "the tax office may ask for every sale, and its sum must stay"
    if fates["card_last4"] != "delete":
        return "four digits add up no books, and with a shop and a day they are hers"
    if fates["request"] == "delete":
        return "then nobody can show that she asked, and that you did it"
    if wrong := [name for name in ("sales", "request") if fates[name] == "keep"]:
        return f"{wrong[0]}: the row stays, but who needs her name in it?"
    return None


EXERCISES = (
    Exercise(
        "disclose.1",
        5,
        count_days,
        right="It came on a Saturday, and the clock ran. Somebody has to look at the mail.",
        hints=(
            "Which day is day one: the one on which it came, or the next?",
            "received = datetime(2026, 11, 28, 21, tzinfo=zone) is when it came.",
            'last_day = laws.deadline("ca.respond", {"received": received}, zone=zone).due',
        ),
        source=(
            "received = datetime(2026, 11, 28, 21, tzinfo=zone)\n"
            'last_day = laws.deadline("ca.respond", {"received": received}, zone=zone).due'
        ),
        wrong=(
            ("in January", "year, month and day"),
            (45, "year, month and day"),
            (_days()["read"], "not from when somebody read it"),
            (str(_days()["arrived"]), "say that it arrived"),
            (_days()["longer"], "with more time"),
            (_days()["working"], "Saturdays and Sundays, too"),
            (_days()["first"], "one day early"),
            (str(_days()["year"]), "which one follows"),
            (_days()["right"] + timedelta(days=1), "that is another day"),
        ),
    ),
    Exercise(
        "disclose.2",
        5,
        choose_facts,
        right="You hold all of them already, and her former husband does not know them all.",
        hints=(
            "Cross out what you do not hold, what stands on a letter, and what lies in a wallet.",
            "Four are left. The rule says how many must match; prefer what nobody but Tara knows.",
        ),
        source='ask_for = ["points", "bought", "postcode"]',
        wrong=(
            ("points", "square brackets"),
            (["points", "birthday"], "'birthday' is not on the form"),
            (["points", "bought", "government_id"], "never asked for"),
            (["points", "bought", "name"], "a name proves nothing"),
            (["points", "bought", "card_last4"], "printed on a receipt"),
            (["points", "bought", "email"], "does not hold it"),
            (["points", "bought"], "that must match"),
            (["phone", "bought", "postcode"], "the man had all of these right"),
        ),
    ),
    Exercise(
        "disclose.3",
        5,
        decide_rows,
        right="What names her goes. What the books and the proof need stays, without her.",
        hints=(
            "Ask of each row: who would miss it, and would they miss her name in it?",
            "Two rows stay, and neither needs her name.",
        ),
        source="fate = {\n" + "".join(f'    "{n}": "{how}",\n' for n, how in GOOD.items()) + "}",
        wrong=(
            ("delete", "curly brackets"),
            ({"address": "delete"}, "points is missing"),
            (GOOD | {"shoes": "delete"}, "'shoes' is not among the five"),
            (GOOD | {"sales": "burn"}, 'sales: write "delete"'),
            (GOOD | {"address": "keep"}, "no use without her"),
            (GOOD | {"points": "keep"}, "points belong to a person"),
            (GOOD | {"sales": "delete"}, "the tax office may ask"),
            (GOOD | {"card_last4": "keep without name"}, "four digits"),
            (GOOD | {"request": "delete"}, "nobody can show"),
            (GOOD | {"sales": "keep"}, "who needs her name"),
            (GOOD | {"request": "keep"}, "request: the row stays"),
        ),
    ),
    quiz(
        "disclose.quiz1",
        3,
        "b",
        {
            "a": "a letterhead is quickly made. What did Tara sign?",
            "b": "The days run from today, and he needs her permission before you send anything.",
            "c": "customers may send somebody. Refusing to listen breaks the rule, too.",
        },
        hint="What did the former husband lack, besides the points?",
    ),
    quiz(
        "disclose.quiz2",
        2,
        "b",
        {
            "a": "a seal helps only against somebody without the key. Do you know that?",
            "b": "Nobody knows where the key is, so it counts as taken.",
            "c": "the days run from when you found out, whatever the thief does.",
        },
        hint="Look at the second and the third line of the table.",
    ),
)
