# SPDX-License-Identifier: MIT-0
"""Write the letters of a breach with the headings a law prescribes, and keep your reasons on file.

Copy: ``kit copy breach_letters --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

From the findings of ``breach.py`` and your own words (`Story`)::

    letters   for each place, one to its people in the form that its law asks for (title, headings,
              size of type; what it must and must not say), and one to each authority
    memo      what happened, every finding with reason, rule and date, and how long to keep it
    entries   every date for a calendar file, such as ``agenda.write`` makes

A letter is plain text and one HTML page without any script. Names go into it cleaned and escaped.
The notice "not legal advice" stands in the memo, never in a letter. Nothing is sent: read each
letter, `Letter.check` says what to look at.

Source: the forms come from the rows handed over (their `value`); the sentences are our own.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, Protocol, TypeAlias

When: TypeAlias = date | datetime
USUAL = (  # where no law prescribes headings
    *("What happened", "What information was involved", "What we are doing", "What you can do"),
    "For more information",
)
TITLE = "Notice of Data Breach"
QUIET_TITLE = "About your information"  # where the letter must not tell the nature of the breach
TYPE_POINTS = 12  # where a law asks for less or nothing; the larger of the two counts
ABOUT_LETTERS = {"title", "headings", "must", "must_not"}  # what a form may say of a letter
LONGEST_NAME = 120  # characters of a name in a letter
CARD = {"card_pan", "card_cvv", "card_track", "card_pin", "card_expiry", "bank_account"}
LOGIN = {"password", "password_hash", "security_qa", "login_token"}
IDENTITY = {"ssn", "tax_id", "driver_licence", "state_id", "passport", "military_id"}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>body {{ font: {points}pt/1.5 serif; max-width: 40em; margin: 2em auto; padding: 0 1em }}
h1 {{ font-size: 1.4em }} h2 {{ font-size: 1.1em }} p {{ white-space: pre-line }}</style>
</head><body>
{body}
</body></html>
"""


class LetterError(Exception):
    """Base of the errors below. Messages name parts of your words, never a customer."""


class NotReady(LetterError):
    """Something that has to stand in a letter is missing; it is named."""


class Finding(Protocol):
    """What one rule says, such as ``breach.Finding``; its attributes are explained there."""

    @property
    def verdict(self) -> str: ...  # noqa: D102
    @property
    def place(self) -> str: ...  # noqa: D102
    @property
    def rule(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def cite(self) -> str: ...  # noqa: D102
    @property
    def recipient(self) -> str: ...  # noqa: D102
    @property
    def who(self) -> str: ...  # noqa: D102
    @property
    def persons(self) -> int | None: ...  # noqa: D102
    @property
    def when(self) -> str: ...  # noqa: D102
    @property
    def due(self) -> When | None: ...  # noqa: D102
    @property
    def send_by(self) -> When | None: ...  # noqa: D102
    @property
    def latest(self) -> When | None: ...  # noqa: D102
    @property
    def floor(self) -> When | None: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def doubts(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def taken(self) -> tuple[str, ...]: ...  # noqa: D102


class Form(Protocol):
    """A rule about what a letter must look like, such as a ``law.Row`` with the duty "notice"."""

    @property
    def jurisdiction(self) -> str: ...  # noqa: D102
    @property
    def value(self) -> Mapping[str, Any]: ...  # noqa: D102


@dataclass(frozen=True)
class Story:
    """Your own words; each goes into letters as it is, cleaned.

    Attributes:
        shop: Name of the business.
        address: Its postal address.
        contact: Telephone and e-mail at which people can ask.
        what_happened: What happened and when, in two or three sentences; no guesses.
        doing: What you have done and are doing about it.
        can_do: What people can do; standard advice for the data taken is added.
        offered: What you offer to limit the harm, "" if nothing.
        monitoring_months: Months of credit monitoring in that offer.
    """

    shop: str
    address: str
    contact: str
    what_happened: str
    doing: str
    can_do: str = ""
    offered: str = ""
    monitoring_months: int = 0


@dataclass(frozen=True)
class Letter:
    """One letter; `text` and `page` put a name into it.

    Attributes:
        place: Whose law it follows.
        recipient: "people", or an authority as in the finding.
        title: Its first line.
        parts: Heading and words, in this order; a heading may be "".
        points: Size of the type.
        check: What a person looks at before it goes out.
    """

    place: str
    recipient: str
    title: str
    parts: tuple[tuple[str, str], ...]
    points: int
    check: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """Return a name for its file, without an ending."""
        return re.sub(r"[^a-z0-9]+", "-", f"letter-{self.place}-{self.recipient}".lower()).strip(
            "-"
        )

    def text(self, name: str = "") -> str:
        """Return it as plain text, addressed to one person or to nobody by name."""
        lines = [self.title, "", f"Dear {self._to(name)},", ""]
        for heading, words in self.parts:
            lines += [heading, ""] if heading else []
            lines += [words, ""]
        return "\n".join(lines)

    def page(self, name: str = "") -> str:
        """Return it as one HTML page without script."""
        body = [f"<h1>{html.escape(self.title)}</h1>"]
        body.append(f"<p>Dear <bdi>{html.escape(self._to(name))}</bdi>,</p>")
        for heading, words in self.parts:
            body += [f"<h2>{html.escape(heading)}</h2>"] if heading else []
            body += [f"<p>{html.escape(one)}</p>" for one in words.split("\n\n")]
        title = html.escape(self.title)
        return PAGE.format(title=title, points=self.points, body="\n".join(body))

    def _to(self, name: str) -> str:
        said = " ".join(_clean(name).split())[:LONGEST_NAME]
        return said or ("customer" if self.recipient == "people" else "Sir or Madam")


@dataclass(frozen=True)
class Entry:
    """One date for a calendar."""

    key: str
    on: When
    title: str
    text: str


def letters(
    findings: Iterable[Finding],
    story: Story,
    forms: Iterable[Form],
    labels: Mapping[str, str],
) -> list[Letter]:
    """Draft every letter that a duty, or a rule that could not be decided, asks for.

    Args:
        findings: All of them; those without a duty are passed over.
        story: Your words.
        forms: The rules in force about notices; those about other notices are passed over.
        labels: Element to plain words: ``{"card_pan": "full card number"}``.

    Raises:
        NotReady: A word of yours is missing, or one that a law wants in the letter.
    """
    for part in ("shop", "contact", "what_happened", "doing"):
        if not getattr(story, part).strip():
            raise NotReady(f"{part} is empty; say it in your own words")
    clean = Story(**{one.name: _clean(getattr(story, one.name)) for one in fields(Story)})
    by_place = {form.jurisdiction: form.value for form in forms if ABOUT_LETTERS & set(form.value)}
    made = []
    for one in findings:
        if one.verdict == "no duty" or one.recipient in ("", "acquirer", "register"):
            continue
        words = [labels.get(name, name.replace("_", " ")) for name in one.taken]
        if one.recipient == "people":
            made.append(_to_people(one, clean, by_place.get(one.place, {}), words))
        else:
            made.append(_to_authority(one, clean, words))
    return made


def _to_people(one: Finding, story: Story, form: Mapping[str, Any], words: Sequence[str]) -> Letter:
    said = {
        USUAL[0]: story.what_happened,
        USUAL[1]: "\n".join(f"- {word}" for word in words) or "We do not know yet.",
        USUAL[2]: "\n\n".join(part for part in (story.doing, story.offered) if part),
        USUAL[3]: "\n\n".join(_advice(one.taken, story.can_do)),
        USUAL[4]: f"{story.contact}\n\n{story.shop}\n{story.address}",
    }
    check = [*_must(one, story, form), "Is it still true? Is every customer's address right?"]
    headings, title = [*form.get("headings", USUAL)], form.get("title", TITLE)
    if form.get("must_not"):
        said.pop(USUAL[0])
        said[USUAL[2]] = story.offered  # your own words could tell what may not be told
        said[USUAL[3]] += "".join(f"\n\n{text}" for text in _RIGHTS.values())
        headings = [heading for heading in USUAL if said.get(heading)]
        title = QUIET_TITLE
        check.append(f"It must not tell the {' or the '.join(form['must_not'])}.")
    same = {heading.casefold(): words for heading, words in said.items()}
    if unknown := [heading for heading in headings if heading.casefold() not in same]:
        raise NotReady(f"{one.place}: nothing is written for the heading {unknown[0]!r}")
    opening = f"{story.shop} holds information about you, and this letter is about it."
    parts = [("", opening), *((heading, same[heading.casefold()]) for heading in headings)]
    points = max(TYPE_POINTS, form.get("min_point_size", 0))
    if one.verdict == "unknown":
        check.insert(0, f"Whether {one.place} asks for it is not settled: {one.reason}.")
    return Letter(one.place, "people", title, tuple(parts), points, tuple(check))


_RIGHTS = {  # what a form may ask for under "must", and how it is said
    "right to a police report": "You have the right to a police report about this, if one exists.",
    "how to ask for a security freeze": "You can ask each of the nationwide credit bureaus, on its "
    "website, by telephone or by post, to freeze your file. It will ask for your name, addresses, "
    "date of birth and proof of who you are. Nobody can then take out credit in your name.",
    "no charge for a security freeze": "A freeze costs nothing, and lifting it costs nothing.",
}


def _must(one: Finding, story: Story, form: Mapping[str, Any]) -> Iterator[str]:
    """Look for what a law wants in the letter."""
    for point in form.get("must", ()):
        if point == "mitigation services":
            if not story.offered:
                raise NotReady(f"{one.place}: the letter has to name what you offer: offered=")
        elif point not in _RIGHTS:
            raise NotReady(f"{one.place}: nothing is written about: {point}")
    months = form.get("credit_monitoring_months", 0)
    if set(form.get("credit_monitoring_if", ())) & set(one.taken):
        if story.monitoring_months < months:
            raise NotReady(f"{one.place}: offer {months} months of credit monitoring or more")
        yield f"The offer has to name {story.monitoring_months} months of credit monitoring."


def _advice(taken: Sequence[str], own: str) -> Iterator[str]:
    if own:
        yield own
    if CARD & set(taken):
        yield "Look through your card and bank statements, and ask your bank for a new card."
    if LOGIN & set(taken):
        yield "Change your password with us, and wherever else you use the same one."
    if IDENTITY & set(taken):
        yield "You can ask the credit bureaus for your report, and to freeze your file."
    yield "Beware of calls and messages that mention this letter: we never ask for a password."


def _to_authority(one: Finding, story: Story, words: Sequence[str]) -> Letter:
    number = "not known yet" if one.persons is None else f"at most {one.persons:,}"
    enclosed = [
        ("Information involved", "\n".join(f"- {word}" for word in words) or "not known yet"),
        ("What we are doing", story.doing),
        ("The letter to the people affected", "A copy is enclosed."),
    ]
    if one.recipient == "risk_test":  # nobody is written to
        said = "We have decided in writing that the people affected are not likely to be harmed."
        enclosed = [("Our decision", f"{said} It is enclosed.")]
    parts = (
        ("", f"{story.shop} reports a breach of personal information."),
        ("What happened", story.what_happened),
        (f"People affected ({one.place})", number),
        *enclosed,
        ("Contact", f"{story.contact}\n\n{story.shop}\n{story.address}"),
    )
    check = [f"What does it ask for, and has it a form of its own? kit law show {one.rule}"]
    if one.verdict == "unknown":
        check.insert(0, f"Whether it has to be told is not settled: {one.reason}.")
    title = f"Report to: {one.who}"
    own = one.recipient in ("agency", "risk_test")
    slug = one.rule.rpartition(".")[2] if own else one.recipient
    return Letter(one.place, slug, title, parts, TYPE_POINTS, tuple(check))


def memo(
    findings: Sequence[Finding],
    facts: Mapping[str, str],
    *,
    always: Iterable[str],
    kept: Mapping[str, date | None],
    disclaimer: str,
    now: datetime,
) -> str:
    """Write down what was decided and why, as text; keep it also where nobody has to be told.

    Args:
        findings: All of them.
        facts: What happened, by heading: data sets, encryption, key, moments, who decided.
        always: What to do whatever the rules say.
        kept: Rule about keeping to the last day; None where it cannot be counted yet.
        disclaimer: What stands on everything that an operator reads.
        now: When it is written, aware.
    """
    if now.utcoffset() is None:
        raise LetterError("now has no time zone; hand over an aware datetime")
    lines = ["# Breach: what was decided and why", "", disclaimer, ""]
    lines += [f"Written {now.isoformat(timespec='minutes')}.", "", "## What is known", ""]
    told = {name: " ".join(_clean(said).split()) for name, said in facts.items()}  # one line each
    lines += [f"- {name}: {said or 'not known'}" for name, said in told.items()]
    for verdict, heading in (
        ("duty", "To be told"),
        ("unknown", "Not settled: treat as a duty until a lawyer says otherwise"),
        ("no duty", "Not to be told, and why"),
    ):
        some = [one for one in findings if one.verdict == verdict]
        lines += ["", f"## {heading}", "", *(_line(one) for one in some)] + ["None."] * (not some)
    lines += ["", "## Whatever the rules say", "", *(f"- {one}" for one in always)]
    lines += ["", "## Keep this memo", ""]
    for rule, until in kept.items():
        day = f"until {until} at least" if until else "its last day cannot be counted yet"
        lines.append(f"- {day} ({rule})")
    if not kept:
        lines.append("No rule used here names a period. Keep it until a lawyer says otherwise.")
    return "\n".join(lines) + "\n"


def _line(one: Finding) -> str:
    by = "; ".join(part for part in (_day(one), one.when, one.task) if part)
    rule = f" [{', '.join(part for part in (one.rule, one.cite) if part)}]" if one.rule else ""
    doubts = f" Doubts: {'; '.join(one.doubts)}." if one.doubts and one.verdict != "no duty" else ""
    who = f", {one.who}" if one.who else ""
    return f"- {one.place}{who}: {one.reason}.{f' By: {by}.' if by else ''}{rule}{doubts}"


def _day(one: Finding) -> str:
    if one.due is None:
        return f"due {_shown(one.floor)} at the earliest" if one.floor else ""
    send_by = one.send_by or one.due
    same = send_by == one.due
    return _shown(send_by) if same else f"{_shown(send_by)} (due {_shown(one.due)})"


def _shown(day: When) -> str:
    return f"{day:%Y-%m-%d %H:%M %z}" if isinstance(day, datetime) else f"{day:%Y-%m-%d}"


def entries(findings: Iterable[Finding], incident: str, *, today: date) -> list[Entry]:
    """Return what goes into the calendar: every date, and what has none on *today*.

    Args:
        findings: All of them; those without a duty are passed over.
        incident: Your word for it; with rule and place it is the entry's key.
        today: The day at the shop.
    """
    made = []
    for one in findings:
        if one.verdict == "no duty":
            continue
        on = one.send_by or one.due or one.floor or today
        start = "" if one.due else "Start now: " if not one.floor else "May be due: "
        sure = "" if one.verdict == "duty" else " (not settled)"
        title = f"{start}{one.who or 'ask a lawyer'}, {one.place}{sure}"
        text = "\n".join(part for part in (_line(one), f"Incident: {incident}") if part)
        made.append(Entry(f"{incident}|{one.place}|{one.rule}|{one.recipient}", on, title, text))
    return made


def _clean(said: Any) -> Any:
    """Return text without what would change how the rest of the page reads."""
    if not isinstance(said, str):
        return said
    said = said.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    bidi = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    kept = (c for c in said if c == "\n" or (unicodedata.category(c) != "Cc" and c not in bidi))
    return "".join(kept).strip()
