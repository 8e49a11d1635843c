# SPDX-License-Identifier: MIT-0
"""What lesson 3 asks: open one sealed cell, decide for each column, and know what still shows."""

from __future__ import annotations

from kit.frames import PROTECTIONS
from kit.lesson import Exercise, quiz

RACHEL, TARA = "+16235550161", "+14435550142"  # made up, as in sample_data/clean/customers.csv
PLACE = "customers.phone.cus_0000000001"
COLUMNS = ("customer_id", "name", "phone", "street", "city", "allergic")
PLAN = """\
delivery = {
    "customer_id": "open",
    "name": "open",
    "phone": "seal and index",
    "street": "seal",
    "city": "open",
    "allergic": "seal",
}"""
GOOD = {
    "customer_id": "open",
    "name": "open",
    "phone": "seal and index",
    "street": "seal",
    "city": "open",
    "allergic": "seal",
}


def open_cell(answer: object) -> str | None:
    """Want Rachel's telephone number."""
    if not isinstance(answer, str):
        return "a telephone number is text; let cipher.unseal give it to you"
    if answer.startswith("k1."):
        return "this is still the token; hand it to cipher.unseal, with its place"
    if answer == TARA:
        return "this is Tara's number; which row and which customer number are Rachel's?"
    if answer.startswith(("customers.", "cus_")):
        return "this is the place; hand it to cipher.unseal as context=, behind the token"
    return None if answer == RACHEL else "that is not what unseal gives you for row 1"


def plan_columns(answer: object) -> str | None:
    """Want one protection for each column, which neither gives away nor hides too much."""
    if not isinstance(answer, dict):
        return 'write pairs between curly brackets, such as {"name": "open", "city": "open"}'
    plan = {name: str(how).strip().casefold() for name, how in answer.items()}
    if missing := [name for name in COLUMNS if name not in plan]:
        return f"{missing[0]} is missing; every column needs a decision"
    if more := [name for name in plan if name not in COLUMNS]:
        return f"the delivery list has no column {more[0]!r}; look at the six names again"
    if wrong := [name for name in COLUMNS if plan[name] not in PROTECTIONS[:3]]:
        return f'{wrong[0]}: write "open", "seal" or "seal and index"'
    if plan["customer_id"] != "open":
        return "the customer number stays open: every token is tied to it"
    if plan["allergic"] == "open":
        return "an allergy is a fact about health; a thief reads what is open"
    if plan["allergic"] == "seal and index":
        return "yes and no would have a search number each, and counting tells them apart: seal"
    if plan["phone"] != "seal and index":
        return "Stuart looks customers up by telephone, and a thief must not read it"
    if plan["street"] == "open":
        return "a street is where somebody sleeps; Stuart opens the few he drives to"
    if indexed := [name for name in ("name", "street") if plan[name] == "seal and index"]:
        return f"nobody looks customers up by {indexed[0]}; a search number would only tell more"
    if plan["city"] != "open":
        return "Mara counts deliveries by town, and cannot count what is sealed"
    return None


EXERCISES = (
    Exercise(
        "encrypt.1",
        5,
        open_cell,
        right="You had the key, and named the place that the token is tied to.",
        hints=(
            'Tara\'s number opens with context="customers.phone.cus_0000000000".',
            'Write number = cipher.unseal(sealed.loc[1, "phone"], context="..."), with her place.',
        ),
        source=(
            'number = cipher.unseal(sealed.loc[1, "phone"],'
            ' context="customers.phone.cus_0000000001")'
        ),
        wrong=(
            (16235550161, "is text"),
            ("k1.AbCdEf", "still the token"),
            (TARA, "this is Tara's number"),
            (PLACE, "this is the place"),
            ("Rachel", "not what unseal gives you"),
        ),
    ),
    Exercise(
        "encrypt.2",
        10,
        plan_columns,
        right="Sealed is what a thief could use, open is what the shop must count or be tied to.",
        hints=(
            "Ask of each column: could a thief do harm with it? Does the shop search or count it?",
            "Two columns must stay open. One is searched, so it gets a search number.",
            "An answer that is yes or no never gets a search number: there would be only two.",
        ),
        source=PLAN,
        wrong=(
            ("seal", "between curly brackets"),
            ({"name": "seal"}, "customer_id is missing"),
            (GOOD | {"shoe_size": "seal"}, "no column 'shoe_size'"),
            (GOOD | {"name": "lock"}, 'name: write "open"'),
            (GOOD | {"customer_id": "seal"}, "the customer number stays open"),
            (GOOD | {"allergic": "open"}, "a fact about health"),
            (GOOD | {"allergic": "seal and index"}, "counting tells them apart"),
            (GOOD | {"phone": "seal"}, "looks customers up by telephone"),
            (GOOD | {"street": "open"}, "where somebody sleeps"),
            (GOOD | {"street": "seal and index"}, "nobody looks customers up by street"),
            (GOOD | {"city": "seal"}, "counts deliveries by town"),
        ),
    ),
    quiz(
        "encrypt.quiz1",
        3,
        "b",
        {
            "a": "guessing the key takes longer than the sun will shine, on any computer.",
            "b": "Only the key is secret. It lies in the keyring, behind the passphrase.",
            "c": "the program is public, and may be: it holds no secret.",
        },
        hint="Which of the three do you have, and nobody else?",
    ),
    quiz(
        "encrypt.quiz2",
        2,
        "c",
        {
            "a": "a seal protects copies. Here the keyring is open, and whoever types can read.",
            "b": "the search numbers are the smallest worry: the keyring is open.",
            "c": "Whoever controls the running computer reads what you read. So lock the screen.",
        },
        hint="Where is the key at that moment?",
    ),
)
