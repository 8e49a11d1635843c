# SPDX-License-Identifier: MIT-0
"""What lesson 0 asks: find the column that nobody wrote down, and write it down properly."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from kit import inventory
from kit.lesson import Exercise, quiz

PLANTED = "Allergies"  # the column of found/customers_export.csv that nobody wrote down
NAME = "customers.allergies"
WRITTEN = """\
[customers.allergies]
what = "what the customer is allergic to"
class = "health"
purposes = ["sale"]
keep = "1 year after last purchase"
protect = "seal"
see = ["owner", "manager"]
"""
EXAMPLE = {"till", "old phone", "office"}  # the list that the lesson shows
ENDS = {"1 year after last purchase", "12 months after last purchase"}
COPIED = "telephone number"  # what the entry says that the lesson shows
QUESTIONS = {
    "what": "in words a customer understands what the field is",
    "class": "which kind of data it is",
    "purposes": "why you hold it",
    "keep": "until when you keep it",
    "protect": "how it is protected",
    "see": "who sees it",
}


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
        return "that column is written down; which one did Stuart add?"
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
    own = table.get("allergies") if isinstance(table, dict) else None
    if not isinstance(own, dict):
        return "the first line names the field: [customers.allergies]"
    for key, question in QUESTIONS.items():
        if key not in own:
            return f"a line is missing: {key} = ...; it says {question}"
    whole = Path(inventory.__file__).with_name("inventory.toml").read_text(encoding="utf-8")
    try:
        held = inventory.Inventory.parse(f"{whole}\n{answer}")
    except inventory.InventoryError as error:
        return re.sub(r"^inventory(, line \d+)?(, \[[\w.]+\])?: ", "", str(error))
    field = held.fields[NAME]
    if field.kind != "health":
        return 'an allergy is a fact about health: class = "health"'
    if extra := sorted(set(field.purposes) - {"sale"}):
        return f"an allergy is not for {extra[0]!r}; it is needed to hand over the bouquet: 'sale'"
    if COPIED in field.what.casefold():
        return "what still speaks of the telephone; say what this field is"
    if str(field.keep) not in ENDS:
        return f"Mara decided on one year after the last purchase; keep says {field.keep}"
    if field.protect == "open":
        return 'a thief reads what is open; lock it with protect = "seal"'
    if field.protect != "seal":
        return 'nobody searches by an allergy, so it gets no search number: protect = "seal"'
    if extra := sorted(set(field.see) - {"owner", "manager"}):
        return f"Mara decided on owner and manager; {extra[0]} is one more"
    if missing := sorted({"owner", "manager"} - set(field.see)):
        return f"Mara decided on owner and manager; {missing[0]} is not there"
    return None


def name_places(answer: object) -> str | None:
    """Want a list of places, whatever they are."""
    if not isinstance(answer, list | tuple | set):
        return 'write a list: square brackets around places in quotes, such as ["till", "phone"]'
    places = {str(one).strip(" .").casefold() for one in answer} - {""}
    if len(places) < 3:
        return f"name three places; so far there are {len(places)}"
    if places == EXAMPLE:
        return "these three stand in the example; where does a copy lie in your own shop?"
    return None


EXERCISES = (
    Exercise(
        "take_stock.1",
        5,
        find_column,
        right="Nobody had written it down, so nobody knew why it is there or when it goes.",
        hints=(
            "Stuart wanted to spare people who cannot bear lilies. What would he write down?",
            "Put report.unwritten[0].columns in place of the dots.",
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
        right="Whoever reads this knows why the shop asks, when the note goes, and who sees it.",
        hints=(
            "Copy the telephone's entry between two marks of three quotes, and change each line.",
            'Purposes and people are lists, with brackets: purposes = ["sale"]',
            'An end is a number, a unit and an event: keep = "1 year after last purchase"',
        ),
        source=f'entry = """\n{WRITTEN}"""',
        wrong=(
            (7, "between two marks of three quotes"),
            (WRITTEN.replace('"sale"]', '"sale"'), "not TOML"),
            (WRITTEN.replace("allergies]", "phone]"), "[customers.allergies]"),
            (WRITTEN.replace('purposes = ["sale"]\n', ""), "it says why you hold it"),
            (WRITTEN.replace('["sale"]', "[]"), "has no purpose"),
            (WRITTEN.replace('"sale"', '"just in case"'), "'just in case' is not one of"),
            (WRITTEN.replace('"sale"', '"marketing"'), "not for 'marketing'"),
            (WRITTEN.replace("1 year after last purchase", "forever"), "keep"),
            (WRITTEN.replace("1 year", "10 years"), "keep says 10 years after last purchase"),
            (WRITTEN.replace("1 year", "3 years"), "keep says 3 years after last purchase"),
            (WRITTEN.replace("last purchase", "collection"), "one year after the last purchase"),
            (WRITTEN.replace("what the customer is allergic to", COPIED), "of the telephone"),
            (WRITTEN.replace('"seal"', '"seal and index"'), "no search number"),
            (WRITTEN.replace('"owner", "manager"', '"owner"'), "manager is not there"),
            (WRITTEN.replace('"health"', '"note"'), "a fact about health"),
            (WRITTEN.replace('"seal"', '"open"'), "a thief reads what is open"),
            (WRITTEN.replace('"manager"', '"cashier"'), "cashier is one more"),
            (WRITTEN.replace('"manager"', '"everybody"'), "'everybody' is not one of"),
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
            (["till", "Till", " ", "..."], "so far there are 1"),
            (["till", "old phone", "office"], "stand in the example"),
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
        hint="Look at the table with telephone numbers: where is it when the notebook is mailed?",
    ),
)
