# SPDX-License-Identifier: MIT-0
"""What lesson 3b asks: change a key in the right order, and place the paper key."""

from __future__ import annotations

from kit.lesson import Exercise, quiz

ORDER = ["rotate", "copy", "reseal", "retire"]
COMPUTERS = {"cloud", "computer", "drive", "email", "laptop", "mail", "phone", "photo", "telephone"}
SHOP, AWAY = {"counter", "shop", "till"}, {"away", "far", "not", "outside"}


def order_steps(answer: object) -> str | None:
    """Want the four steps of a change of keys in an order that loses nothing."""
    if not isinstance(answer, list | tuple):
        return 'write a list: square brackets around four words in quotes, such as ["copy", ...]'
    steps = [str(one).strip().casefold() for one in answer]
    if sorted(steps) != sorted(ORDER):
        return f"take each of the four once: {', '.join(sorted(ORDER))}"
    if steps.index("retire") < steps.index("reseal"):
        return "retire comes too early: values under the old key could not be opened any more"
    if steps.index("reseal") < steps.index("rotate"):
        return "reseal moves values to the new key, and there is none yet"
    if steps.index("copy") < steps.index("rotate"):
        return "a recovery copy from before lacks the new key"
    if steps.index("copy") > steps.index("reseal"):
        return "if the computer broke now, values under the new key would be lost; copy sooner"
    return None


def place_paper(answer: object) -> str | None:
    """Want two places, whatever they are."""
    if not isinstance(answer, list | tuple | set):
        return 'write a list: square brackets around places in quotes, such as ["safe", "bank"]'
    places = {str(one).strip(" .").casefold() for one in answer} - {""}
    if len(places) < 2:
        return f"name two places; so far there are {len(places)}"
    for place in sorted(places):
        words = {*place.replace("-", "").split()}
        if found := sorted(words & COMPUTERS):
            return f"{found[0]}: whoever breaks in there by network reads the key; think of paper"
        if words & SHOP and not words & AWAY:
            return f"{place}: a burglar or a fire comes there first; think of a place far from it"
    return None


EXERCISES = (
    Exercise(
        "keys.1",
        5,
        order_steps,
        right="At no moment was a value without its key, or a key without a copy.",
        hints=(
            "Before each step, imagine that the computer breaks. What would be lost?",
            "The new key comes first. The old one goes last.",
        ),
        source='steps = ["rotate", "copy", "reseal", "retire"]',
        wrong=(
            ("rotate", "square brackets"),
            (["rotate", "rotate", "reseal", "retire"], "each of the four once"),
            (["rotate", "copy", "retire", "reseal"], "retire comes too early"),
            (["reseal", "rotate", "copy", "retire"], "there is none yet"),
            (["copy", "rotate", "reseal", "retire"], "lacks the new key"),
            (["rotate", "reseal", "copy", "retire"], "copy sooner"),
        ),
    ),
    Exercise(
        "keys.2",
        8,
        place_paper,
        right="",
        hints=("A burglar, a fire, a quarrel: where would the paper survive each of them?",),
        source='places = ["bank box", "sealed envelope, far away"]',
        wrong=(
            ("safe", "square brackets"),
            (["safe", "Safe ", "..."], "so far there are 1"),
            (["bank box", "photo on my phone"], "by network"),
            (["bank box", "drawer in the shop"], "a place far from it"),
            (["bank box", "e-mail to myself"], "by network"),
        ),
        points=(
            "Neither place is the shop: a fire or a burglar takes what lies together.",
            "Neither is a computer, a telephone or a photograph in a cloud.",
            "The recovery copy lies elsewhere: paper and copy together open everything.",
            "Two people know where to look, and the envelope shows if somebody opened it.",
        ),
    ),
    quiz(
        "keys.quiz1",
        2,
        "c",
        {
            "a": "whoever takes the backup then takes the key along.",
            "b": "an attachment lies in two mailboxes and with two companies for years.",
            "c": "A backup without its key is useless to a thief, and yours is kept elsewhere.",
        },
        hint="Think of the finder in the taxi. What must not be on the stick?",
    ),
    quiz(
        "keys.quiz2",
        1,
        "b",
        {
            "a": "there is no back door. A kit with one would open it for thieves, too.",
            "b": "Without passphrase and paper key the values are gone. So rehearse today.",
            "c": "six random words stand up to any computer that you can rent.",
        },
        hint="Who else has a key?",
    ),
    quiz(
        "keys.quiz3",
        2,
        "a",
        {
            "a": "Until then some value or some backup can be opened with the old key only.",
            "b": "the table may be done, but last month's backup still needs the old key.",
            "c": "a number of days proves nothing; counting does.",
        },
        hint="What would you want to restore in December?",
    ),
)
