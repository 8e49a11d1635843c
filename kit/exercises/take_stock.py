# SPDX-License-Identifier: MIT-0
"""What lesson 0 asks: find the column that nobody wrote down, and write it down properly."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from kit import inventory
from kit.lesson import Exercise, quiz

PLANTED = "Partner Phone"  # the lesson plants it in a till export
NAME = "customers.anniversary"
WRITTEN = """\
[customers.anniversary]
what = "wedding anniversary, for a reminder"
purposes = ["marketing"]
keep = "1 year after last purchase"
see = ["owner", "marketer"]
"""
LONGEST_YEARS = 3  # a reminder that nobody answered for three years is not wanted


def find_column(answer: object) -> str | None:
    """Want the name of the planted column."""
    given = [answer] if isinstance(answer, str) else answer
    if not isinstance(given, list | tuple | set):
        return 'write the name of the column in quotes, such as "Phone Number"'
    plain = [str(one).strip().casefold() for one in given]
    if plain == [PLANTED.casefold()]:
        return None
    if PLANTED.casefold() in plain:
        return (
            "that column is among them, but the others are written down; name the one that is not"
        )
    if any(inventory.Inventory.default().find(str(one)) for one in given):
        return "that column is written down; which one did David add?"
    return "there is no such column in the export; look at the list once more"


def write_entry(answer: object) -> str | None:
    """Want an entry that the inventory accepts and that a customer would accept."""
    if not isinstance(answer, str):
        return 'write the lines between two marks of three quotes: """ and """'
    try:
        sections = tomllib.loads(answer)
    except tomllib.TOMLDecodeError:
        return 'this is not TOML; look for a missing quote, bracket or equals sign: name = "value"'
    table = sections.get("customers")
    own = table.get("anniversary") if isinstance(table, dict) else None
    if not isinstance(own, dict):
        return "the first line names the field: [customers.anniversary]"
    for key, question in QUESTIONS.items():
        if key not in own:
            return f"a line is missing: {key} = ...; it says {question}"
    whole = Path(inventory.__file__).with_name("inventory.toml").read_text(encoding="utf-8")
    try:
        held = inventory.Inventory.parse(f"{whole}\n{answer}")
    except inventory.InventoryError as error:
        return re.sub(r"^inventory(, line \d+)?(, \[[\w.]+\])?: ", "", str(error))
    field = held.fields[NAME]
    if extra := sorted(set(field.purposes) - {"marketing", "loyalty"}):
        return f"a reminder is not for {extra[0]!r}; offers to those who said yes are 'marketing'"
    if field.keep.unit == "year" and field.keep.count > LONGEST_YEARS:
        return f"{field.keep.count} years is too long for a reminder; one year is enough"
    if extra := sorted({"cashier", "trainer"} & set(field.see)):
        return f"a {extra[0]} sends no reminders; name only who needs it for the purpose"
    return None


QUESTIONS = {
    "what": "in words a customer understands what the field is",
    "purposes": "why you hold it",
    "keep": "until when you keep it",
    "see": "who sees it",
}


def name_places(answer: object) -> str | None:
    """Want a list of places, whatever they are."""
    if not isinstance(answer, list | tuple | set):
        return 'write a list: square brackets around places in quotes, such as ["till", "phone"]'
    places = [str(one).strip() for one in answer if str(one).strip()]
    if len(set(places)) < 3:
        return f"name three places; so far there are {len(set(places))}"
    return None


EXERCISES = (
    Exercise(
        "take_stock.1",
        5,
        find_column,
        right="Nobody had written it down, so nobody knew why it is there or when it goes.",
        hints=(
            "Scan David's file as you scanned the old export: shop.scan_files([planted], ...).",
            "What a scan finds and the inventory lacks is in .unwritten. Show its column.",
            'In full: lesson.table(shop.scan_files([planted], inventory=held).unwritten, "column")',
        ),
        source=f'column = "{PLANTED}"',
        wrong=(
            ("Phone Number", "that column is written down"),
            ("Shoe Size", "no such column in the export"),
            (["Birthday", PLANTED], "the others are written down"),
            (7, "in quotes"),
        ),
    ),
    Exercise(
        "take_stock.2",
        10,
        write_entry,
        right="A reader now knows why the shop asks for this date, and when it is deleted.",
        hints=(
            "Five lines: the name in square brackets, then what, purposes, keep and see.",
            'Purposes and people are lists, with brackets: see = ["owner", "marketer"]',
            'An end is a number, a unit and an event: keep = "1 year after last purchase"',
        ),
        source=f'entry = """\n{WRITTEN}"""',
        wrong=(
            (7, "between two marks of three quotes"),
            (WRITTEN.replace('"marketing"]', '"marketing"'), "not TOML"),
            (WRITTEN.replace("anniversary]", "birthday]"), "[customers.anniversary]"),
            (WRITTEN.replace('purposes = ["marketing"]\n', ""), "it says why you hold it"),
            (WRITTEN.replace('["marketing"]', "[]"), "has no purpose"),
            (WRITTEN.replace('"marketing"', '"just in case"'), "'just in case' is not one of"),
            (WRITTEN.replace('"marketing"', '"accounts"'), "not for 'accounts'"),
            (WRITTEN.replace("1 year after last purchase", "forever"), "keep"),
            (WRITTEN.replace("1 year", "10 years"), "10 years is too long"),
            (WRITTEN.replace('"marketer"', '"cashier"'), "a cashier sends no reminders"),
            (WRITTEN.replace('"marketer"', '"everybody"'), "'everybody' is not one of"),
        ),
    ),
    Exercise(
        "take_stock.3",
        5,
        name_places,
        right="",
        hints=("Follow one customer's name from the till onwards: who typed, sent or copied it?",),
        source='places = ["till", "mailbox", "old laptop"]',
        wrong=(
            ("till", "square brackets"),
            (["till", "till", " "], "so far there are 1"),
        ),
        points=(
            "It names copies, not only the till: downloads, sent mail, old phones, paper.",
            "It names what others hold for you: the newsletter service, the delivery driver.",
            "It says for each who can open it. A place that nobody is in charge of comes first.",
        ),
    ),
    quiz(
        "take_stock.quiz1",
        2,
        "c",
        {
            "a": "the last four digits are not enough to pay with, and a receipt may show them.",
            "b": "the brand tells nobody how to pay with the card.",
            "c": "No shop may keep the security code after the payment, not even encrypted.",
        },
        hint="One of the three proves that the card is in somebody's hand.",
    ),
    quiz(
        "take_stock.quiz2",
        2,
        "b",
        {
            "a": "data that might be useful some day have no purpose, and can only be stolen.",
            "b": "No purpose, no field: the safest data are those you do not have.",
            "c": "encryption hides a field, but does not give it a purpose.",
        },
        hint="What would you tell a customer who asks why you hold it?",
    ),
    quiz(
        "take_stock.quiz3",
        1,
        "a",
        {
            "a": "What a cell printed is stored in the notebook, so it travels with it.",
            "b": "the data file stays where it is, but what was printed from it goes along.",
            "c": "made-up rows harm nobody, but the same cells on your own data would.",
        },
        hint="Look at the table under the second cell: where is it when the notebook is mailed?",
    ),
)
