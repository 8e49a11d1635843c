# SPDX-License-Identifier: MIT-0
"""Make sure that it is the customer who asks, without asking them for a passport.

Copy: ``kit copy identity --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

Whoever answers a stranger with a customer's data has a data breach; whoever asks for an ID card,
a fee or a notary breaks the rules of California at least. In between lies a ladder: how many
things only the customer and the shop know must match (`Need`), by what is asked for and how much
harm a wrong answer does. The numbers come from the law's rules; this file has none::

    held = {"points": 120, "joined": date(2024, 5, 3), "phone": "+12125550142"}
    asked = identity.questions(held, need, used=["email"])      # by e-mail they were found
    outcome = identity.judge(held, answers, need, asked=asked, failed=0)
    outcome.message                       # the same words, whichever answer was wrong

Only what the shop holds is asked for; never what found the record, what is printed on a receipt,
what is under dispute, or anything new. At least one point must be `strong`: known to the customer
and the shop, not to the family or whoever finds a letter. Blank answers are allowed, a wrong one
fails the attempt, and attempts are few. Nothing is kept here: store `Outcome.method`, not answers.

Source: the forms of verification, 11 CCR 7060-7062. That a name and an e-mail address are not
enough: J. Pavur and C. Knerr, "GDPArrrrr", Black Hat USA 2019.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

MOST_FAILED = 3  # attempts; then a person decides. Three guesses at a points balance are none
SPARE = 1  # questions more than must match, as people forget
SORRY = "what was said does not match what the shop holds"
UNSIGNED = "a declaration that is signed is needed, too"  # said whatever the answers were
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class IdentityError(Exception):
    """Base of the errors below. Messages never hold an answer, or what it should have been."""


class OverAsking(IdentityError):
    """This must not be asked for. `what` names it."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what = what


class NotEnough(IdentityError):
    """The shop holds too little to check anybody by; go on with less, or with the account."""


class TooMany(IdentityError):
    """There were too many failed attempts; a person has to decide."""


@dataclass(frozen=True)
class Need:
    """How sure one has to be.

    Attributes:
        matches: Data points that must match; 0 means that nobody is checked.
        rule: Id of the rule that says so.
        declaration: A signed declaration is needed, too, and has to be kept.
    """

    matches: int
    rule: str
    declaration: bool = False


@dataclass(frozen=True)
class Point:
    """One thing that can be asked. `strong`: nobody but customer and shop knows it."""

    name: str
    ask: str
    strong: bool
    same: Callable[[Any, str], bool] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Outcome:
    """What came of a check, fit to be kept.

    Attributes:
        verified: It is the customer, as surely as was needed.
        method: How it was checked, in words, without any answer.
        message: What may be said to whoever asks.
        enough_for_less: The lower need was met, of a check that failed.
    """

    verified: bool
    method: str
    message: str
    enough_for_less: bool = False


NEVER = {
    "government_id": "an identity card, a passport or a driving licence is never asked for",
    "licence": "an identity card, a passport or a driving licence is never asked for",
    "passport": "an identity card, a passport or a driving licence is never asked for",
    "ssn": "a social security number is never asked for, nor a part of it",
    "photo": "a picture of a person or of a paper is never asked for",
    "fee": "checking who somebody is costs the customer nothing",
    "notary": "no notary at the customer's cost",
    "card": "a card number never leaves the payment terminal",
    "password": "a password is typed by the customer where they log in, and told to nobody",
    "name": "a name proves nothing; it is on every letter",
    "receipt": "what is printed on a receipt is known to whoever finds it",
    "order_number": "what is printed on a receipt is known to whoever finds it",
    "card_last4": "what is printed on a receipt is known to whoever finds it",
}


def _plain(text: object) -> str:
    """Fold what people write differently: capitals, accents, blanks, hyphens."""
    wide = unicodedata.normalize("NFKD", str(text)).casefold()
    return "".join(c for c in wide if c.isalnum())


def _equal(one: str, other: str, key: bytes) -> bool:
    """Compare so that the time it takes says nothing; two empty ones are no match."""
    left, right = (hashlib.blake2b(t.encode("utf-8", "replace"), key=key) for t in (one, other))
    return hmac.compare_digest(left.digest(), right.digest()) and bool(one)


def _same_text(held: object, said: str) -> bool:
    return _equal(_plain(held), _plain(said), os.urandom(16))


def _same_number(held: object, said: str) -> bool:
    found = re.findall(r"\d+", said.replace(",", "").replace(".", "").replace(" ", ""))
    return _equal(str(held), str(int(found[0])) if len(found) == 1 else "", os.urandom(16))


def _same_phone(held: object, said: str) -> bool:
    """Compare the last ten digits: with or without country code, as people give it."""
    left, right = (re.sub(r"\D", "", unicodedata.normalize("NFKC", str(t))) for t in (held, said))
    return _equal(left[-10:], right[-10:], os.urandom(16)) and len(right) >= 7


def _same_month(held: date, said: str) -> bool:
    """Accept ``2024-05``, ``5/2024``, ``May 2024`` and ``3 May 2024``."""
    plain = unicodedata.normalize("NFKC", said).casefold()
    years = re.findall(r"\b(?:19|20)\d\d\b", plain)
    words = [MONTHS.index(w[:3]) + 1 for w in re.findall("[a-z]+", plain) if w[:3] in MONTHS]
    numbers = [int(n) for n in re.findall(r"\b\d{1,2}\b", plain)]
    months = words or (numbers if len(numbers) == 1 else [])
    found = f"{years[0]}-{months[0]:02}" if len(years) == 1 and len(months) == 1 else ""
    return _equal(f"{held:%Y-%m}", found, os.urandom(16))


def _one_of(held: Collection[str], said: str) -> bool:
    """Accept a name of which every word is in one of the held ones: "sourdough" is enough."""
    key, words = os.urandom(16), [w for w in re.findall(r"\w+", said.casefold()) if len(w) > 2]
    hits = 0
    for one in held:
        of_it = [*map(_plain, re.findall(r"\w+", one.casefold()))]
        found = [sum(_equal(known, _plain(word), key) for known in of_it) > 0 for word in words]
        hits += bool(found) and all(found)
    return hits > 0 and max(map(len, words)) > 3


POINTS = {
    point.name: point
    for point in (
        Point("points", "How many points do you have?", True, _same_number),
        Point("bought", "Name something you bought before your last visit.", True, _one_of),
        Point("joined", "In which month and year did you join?", True, _same_month),
        Point("postcode", "What is the postcode of the address we have?", False, _same_text),
        Point("phone", "Which telephone number do we have?", False, _same_phone),
        Point("email", "Which e-mail address do we have?", False, _same_text),
    )
}


def questions(
    held: Mapping[str, Any] | None,
    need: Need,
    *,
    used: Collection[str] = (),
    disputed: Collection[str] = (),
    usual: Collection[str] = tuple(POINTS),
) -> list[Point]:
    """Return what to ask: one more than must match, the strongest first.

    Args:
        held: What the shop holds of the customer, by the names of `POINTS`; None where nobody was
            found. Then the same is asked as of most, so that the questions tell little.
        need: How sure one has to be.
        used: What found the record: it proves nothing a second time.
        disputed: What the customer says is wrong.
        usual: What the shop holds of most customers, to be asked where nobody was found.

    Raises:
        NotEnough: The shop does not hold enough that may be asked.
    """
    full = [n for n in POINTS if held and held.get(n) not in (None, "", (), [])]
    there = usual if held is None else full
    free = [POINTS[n] for n in POINTS if n in there and n not in {*used, *disputed}]
    if need.matches and (len(free) < need.matches or not free[0].strong):
        raise NotEnough(
            f"{need.matches} things must match, one of them known to nobody else, and the shop "
            f"holds {len(free)} that may be asked; go on with categories, or let them log in"
        )
    return free[: need.matches + SPARE] if need.matches else []


def may_ask(
    wanted: Iterable[str],
    need: Need,
    *,
    held: Collection[str],
    disputed: Collection[str] = (),
) -> None:
    """Refuse a list of things to ask for, such as a form's, if it asks too much.

    Raises:
        OverAsking: Something is never asked for, not held, under dispute, or more than is needed.
    """
    listed = list(dict.fromkeys(wanted))
    for what in listed:
        if what in NEVER:
            raise OverAsking(what, NEVER[what])
        if what not in POINTS or what not in held:
            raise OverAsking(what, "the shop does not hold it; asking would only collect more")
        if what in disputed:
            raise OverAsking(what, "it is what the customer wants corrected")
        if not need.matches:
            raise OverAsking(what, f"nobody is checked for this ({need.rule})")
    if len(listed) > need.matches + SPARE:
        raise OverAsking(listed[-1], f"{need.matches} that match are enough ({need.rule})")


def judge(
    held: Mapping[str, Any] | None,
    answers: Mapping[str, str],
    need: Need,
    *,
    asked: Iterable[Point],
    failed: int,
    declaration: bool = False,
    less: Need | None = None,
) -> Outcome:
    """Compare what was said with what is held, and say no more than must be said.

    Args:
        held: As for `questions`.
        answers: By the names of the points; blank ones count neither way.
        need: How sure one has to be.
        asked: What `questions` returned; other answers are not looked at.
        failed: Attempts that failed before.
        declaration: A signed declaration is there.
        less: The need of a smaller answer, such as categories, looked at if *need* is not met.

    Raises:
        TooMany: The attempts are used up.
    """
    if failed >= MOST_FAILED:
        raise TooMany(f"{failed} attempts have failed; close the request, or let them log in")
    right = wrong = strong = 0
    for point in asked:  # all of them, always: it takes as long, whichever is wrong
        said, known = answers.get(point.name, ""), (held or {}).get(point.name)
        fits = known is not None and point.same(known, said)
        right, strong = right + fits, strong + (fits and point.strong)
        wrong += bool(said.strip()) and not fits

    def enough(wanted: Need) -> bool:
        met = right >= wanted.matches and strong > 0 and not wrong
        return not wanted.matches or (met and (declaration or not wanted.declaration))

    signed = " and a signed declaration" if need.declaration else ""
    method = f"{need.matches} answers{signed}" if need.matches else "nothing to check"
    if enough(need):
        return Outcome(True, method, "thank you, that is enough")
    left = MOST_FAILED - failed - 1
    why = SORRY if declaration or not need.declaration else UNSIGNED
    told = f"{why}; {left} more {'attempt' if left == 1 else 'attempts'}"
    return Outcome(False, method, told, less is not None and enough(less))


def by_account(*, signed_in: bool, again: bool) -> Outcome:
    """Say whether a customer is known by their account: signed in, and the password once more."""
    verified = signed_in and again
    return Outcome(verified, "account, signed in anew", "" if verified else "sign in again, please")


def for_agent(need: Need, *, permission: bool, power_of_attorney: bool = False) -> Need:
    """Return how sure one has to be of the customer where somebody else asks for them.

    Raises:
        NotEnough: There is no permission that the customer signed.
    """
    if power_of_attorney:
        return replace(need, matches=0, declaration=False)
    if not permission:
        raise NotEnough("whoever asks for a customer needs a permission that the customer signed")
    return need


def forget(evidence: Iterable[Path]) -> int:
    """Delete what was handed in to prove something, once it is decided; return how many files."""
    gone = 0
    for path in evidence:
        if path.is_file() and not path.is_symlink():
            with path.open("r+b") as file:  # a copy on an SSD may survive; on a disk it does not
                file.write(bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            gone += 1
    return gone
