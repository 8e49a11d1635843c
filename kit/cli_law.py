# SPDX-License-Identifier: MIT-0
"""The commands about law: `kit law covered`, `clock`, `show`, `review`, `check`.

They tell what the rows say and where it was read. Whatever they print ends with how old it is and
that no lawyer wrote it.
"""

from __future__ import annotations

import re
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.terminal import FOUND, Json, ShopFolder, answer, now, say

if TYPE_CHECKING:
    from kit.clocks import Pause
    from kit.law_review import Reader, Step
    from kit.legal import Book
    from kit.settings import Settings

app = typer.Typer(
    name="law",
    help="Which rules bind the shop, by when to answer, and where it is written.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Facts = Annotated[
    Path | None, typer.Option("--facts", help="Your own folder of facts; else the kit's.")
]
On = Annotated[str | None, typer.Option("--on", help="The day asked about; else today.")]
WHEN = "2026-03-02, or with the time and zone 2026-03-02T10:00-08:00"


@app.command()
def covered(
    key: Annotated[str | None, typer.Argument(help="One law or rule; else all.")] = None,
    shop: ShopFolder = Path(),
    state: Annotated[str | None, typer.Option(help="Where the shop is, such as CA.")] = None,
    revenue: Annotated[float | None, typer.Option(min=0, help="Revenue of a year, in $.")] = None,
    consumers: Annotated[
        int | None, typer.Option(min=0, help="People of that state whose data you hold.")
    ] = None,
    fact: Annotated[
        list[str] | None, typer.Option(help="More, such as any_sale=no or sale_share_pct=0.")
    ] = None,
    on: On = None,
    everything: Annotated[bool, typer.Option("--all", help="Show each no, too.")] = False,
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """Say which laws bind the shop, and why: yes, no, or unknown until you say more.

    The facts come from [business] in shop.toml, or from the options.
    Example: kit law covered --state CA --revenue 400000 --consumers 1200 --fact residents_of=US-CA
    """
    from kit import show_law

    book, day = _book(facts), _date(on) if on else now().date()
    settings = _settings(shop)
    business = {**(settings.business if settings else {}), **_said(state, revenue, consumers, fact)}
    if not business:
        raise typer.BadParameter(
            "say --state and --revenue, or write [business] in shop.toml", param_hint="--state"
        )
    found = [book.covered(key, business, day)] if key else book.survey(business, day)
    used = [id_ for one in found for part in (one, *one.partial) for id_ in part.rows]
    if as_json:
        laws = [show_law.coverage_data(one) for one in found]
        return answer({"on": day, "laws": laws, **_closing(book, used)})
    for line in show_law.coverage(book, found, everything=everything or bool(key)):
        say(line)
    _close(book, used)


@app.command()
def clock(
    rule: Annotated[str, typer.Argument(help="A rule's id or fact, such as ca.respond.")],
    received: Annotated[str | None, typer.Option(help=f"When it came in: {WHEN}.")] = None,
    discovered: Annotated[str | None, typer.Option(help="When a breach was found.")] = None,
    event: Annotated[
        list[str] | None, typer.Option(help="Any other: NAME=WHEN, such as told_people=2026-03-02.")
    ] = None,
    extend_notice: Annotated[
        str | None, typer.Option(help="When the customer was told of an extension.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why more time is needed.")] = "",
    pause: Annotated[
        list[str] | None, typer.Option(help="REASON=FROM/TO, where the rule stops its clock.")
    ] = None,
    zone: Annotated[str | None, typer.Option(help="Else the shop's, or this computer's.")] = None,
    shop: ShopFolder = Path(),
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """Count a deadline: when it is due, and by when to send.

    Exit code 3: there is no date yet, and something to do. Example: kit law clock ca.respond
    --received 2026-03-02
    """
    from kit import show_law

    book, settings = _book(facts), _settings(shop)
    here = _zone(zone) if zone else settings.zone if settings else now().tzinfo
    events = {
        **({"received": _moment(received)} if received else {}),
        **({"discovered": _moment(discovered)} if discovered else {}),
        **{name: _moment(when) for name, when in _pairs(event, "--event")},
    }
    assert here is not None  # noqa: S101 (terminal.now is aware)
    made = book.deadline(rule, events, zone=here, pauses=_pauses(pause))
    if extend_notice:
        made = book.extend(made, notice_at=_moment(extend_notice), reason=reason)
    row = book.get(made.rule)
    if as_json:
        shown = {**show_law.deadline_data(made), "plain": row.plain}
        answer({**shown, **_closing(book, [row.id])})
    else:
        for line in show_law.deadline(made, row):
            say(line)
        _close(book, [row.id])
    if made.state != "computed":
        raise typer.Exit(FOUND)


@app.command()
def show(
    name: Annotated[
        str | None, typer.Argument(help="A rule's id or fact, or a law; without, all laws.")
    ] = None,
    on: On = None,
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """Print a rule with its source, its words, its dates and its doubts.

    Example: kit law show ca.respond
    """
    from kit import show_law

    book, day = _book(facts), _date(on) if on else None
    if name is None:
        laws = sorted(book.laws.values(), key=lambda law: law.key)
        if as_json:
            return answer([{"key": law.key, "name": law.name} for law in laws])
        for law in laws:
            say(f"{law.key:<18} {law.name}")
        return _close(book, [row.id for row in book.all_rows])
    rows = [row for row in book.all_rows if name in (row.id, row.fact, row.law.key)]
    rows = [row for row in rows if day is None or row.in_force(day)] or [book.get(name, day)]
    if as_json:
        return answer([{**show_law.rule_data(row), **_closing(book, [row.id])} for row in rows])
    for row in rows:
        if name == row.law.key:
            say(f"{row.id:<34} {row.plain}")
            continue
        for line in show_law.rule(row):
            say(line)
    _close(book, [row.id for row in rows])


@app.command()
def check(
    facts: Facts = None,
    everything: Annotated[bool, typer.Option("--all", help="Show what to complete, too.")] = False,
    release: Annotated[
        bool, typer.Option("--release", help="What is overdue for 30 days or less may leave.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the facts: sources, dates, worked examples, what is overdue.

    Exit code 3: something is wrong or overdue. Example: kit law check --facts my-facts
    """
    from kit import law, law_check, legal

    folder, today = facts or law.FACTS, now().date()
    try:
        problems = legal.Book(folder).check(today)
    except law.BadFacts:  # one file that cannot be read must not hide what is wrong with the rest
        problems = law_check.check(folder, today=today)
    shown = [one for one in problems if everything or one.level != "warn"]
    if as_json:
        answer([vars(one) for one in shown])
    else:
        for one in shown:
            say(f"{one.level:<8} {one.row}: {one.what}")
        warns = sum(one.level == "warn" for one in problems)
        say(f"{len(problems) - warns} to mend, {warns} to complete by a person")
    passed = {"warn", "overdue"} if release else {"warn"}
    if any(one.level not in passed for one in problems):
        raise typer.Exit(FOUND)


@app.command()
def review(
    reader: Annotated[str | None, typer.Option(help="Your name; it will stand in the row.")] = None,
    lawyer: Annotated[bool, typer.Option("--lawyer", help="You are one.")] = False,
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """Walk through the rules that are to be read again: open the address, say what stands there.

    Without a terminal it only lists them, with exit code 3. Example: kit law review --reader Maria
    """
    from kit import law
    from kit.law_review import BadAnswer, Reader

    book, today = _book(facts), now().date()
    steps = book.steps(today)
    if as_json or not steps or not sys.stdin.isatty():
        if as_json:
            answer([vars(step) for step in steps])
        for step in () if as_json else steps:
            say(f"{step.review_by}  {step.id:<34} {step.address}")
        if not steps and not as_json:
            first = min(row.review_by for row in book.all_rows if row.review_by >= today)
            say(f"Nothing is due. Next: {first}.")
        raise typer.Exit(FOUND if steps else 0)
    who = Reader(reader or typer.prompt("Your name"), role="lawyer" if lawyer else "not a lawyer")
    say(f"{len(steps)} rules to read again. Each answer is saved at once; q stops.")
    for number, step in enumerate(steps, 1):
        say(f"\n{number} of {len(steps)}  {step.id}, to be read by {step.review_by}")
        goes_on = None
        while goes_on is None:
            try:
                goes_on = _ask(book, step, who, facts or law.FACTS, today)
            except (BadAnswer, typer.BadParameter) as error:
                say(f"  not written down: {error}")
        if not goes_on:
            break
    left = len(_book(facts).steps(today))
    say(f"{left} left. Next: kit law check")


def _ask(book: Book, step: Step, reader: Reader, folder: Path, today: date) -> bool:
    """Ask about one row and write the answer down; False: stop."""
    from kit import law_review

    say(f"  {step.plain}")
    say(f"  {step.cite}" + (f': "{step.quote}"' if step.quote else ""))
    said = typer.prompt(f"  {step.question} s = skip, q = stop", default="s").strip().lower()
    again = law_review.next_reading(step, today)
    if said in ("y", "yes"):
        law_review.still_there(folder, step.id, reader=reader, today=today, again_by=again)
    elif said in ("n", "no"):
        law_review.not_found(folder, step.id, reader=reader, today=today)
    elif said in ("new", "new text", "t"):
        row = book.get(step.id)
        asked: dict[str, Any] = {
            "quote": typer.prompt("  The new words, 15 at most, as they stand there"),
            "plain": typer.prompt("  What they mean, in a sentence of yours"),
            "starts": _date(typer.prompt("  The first day on which they are the law")),
            "address": typer.prompt("  Where they stand, if elsewhere", default=""),
        }
        if row.clock:
            asked["n"] = typer.prompt(f"  How many {row.clock['unit']}s", default=row.clock["n"])
            begins = (row.clock.get("start_any") or [row.clock["start"]])[0]
            when = _moment(typer.prompt(f"  A case worked by hand: {begins} when"))
            asked["example"] = {begins: when, "due": _moment(typer.prompt("  ... due when"))}
        made = law_review.new_text(
            folder, step.id, reader=reader, today=today, again_by=again, **asked
        )
        say(f"  new row {made}")
        for fault in _book(folder).recompute(made, asked["example"]) if row.clock else ():
            say(f"  your case does not come out, {fault}: look at it in {row.law.key}.toml")
    return said not in ("q", "quit")


def _book(facts: Path | None) -> Book:
    from kit import law, legal

    return legal.Book(facts or law.FACTS)


def _close(book: Book, ids: list[str]) -> None:
    from kit import show_law

    for line in show_law.closing(book, ids, now().date()):
        say(line)


def _closing(book: Book, ids: list[str]) -> dict[str, str]:
    return {"overdue": book.banner(ids, now().date()), "notice": book.disclaimer(ids)}


def _settings(folder: Path) -> Settings | None:
    """Return what shop.toml says; None outside a shop's folder."""
    from kit import settings

    path = folder / "shop.toml"
    return settings.load(path) if path.exists() or folder != Path() else None


def _said(
    state: str | None, revenue: float | None, consumers: int | None, facts: list[str] | None
) -> dict[str, Any]:
    """Return the facts given as options."""
    said: dict[str, Any] = {}
    if state:
        said["state"] = place = state if "-" in state else f"US-{state.upper()}"
        said |= {"consumers": {place: consumers}} if consumers is not None else {}
    elif consumers is not None:
        raise typer.BadParameter("say of which state: --state", param_hint="--consumers")
    if revenue is not None:
        said["revenue_usd"] = int(revenue) if revenue == int(revenue) else revenue
    words = {"yes": True, "true": True, "no": False, "false": False}
    for name, text in _pairs(facts, "--fact"):
        if re.fullmatch(r"\d+(\.\d+)?", text):
            said[name] = float(text) if "." in text else int(text)
        else:
            several = name in ("residents_of", "sales_tax_in", "stores_elements")
            said[name] = text.split(",") if several else words.get(text.lower(), text)
    return said


def _pairs(texts: list[str] | None, option: str) -> list[tuple[str, str]]:
    parts = [text.partition("=") for text in texts or []]
    if not all(name and value for name, _, value in parts):
        raise typer.BadParameter("write it as NAME=VALUE", param_hint=option)
    return [(name, value) for name, _, value in parts]


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter("a day is written 2026-03-02") from None


def _moment(text: str) -> date | datetime:
    """Return a day, or a time with its zone: a time without one is refused, not guessed."""
    if "T" not in text and " " not in text.strip():
        return _date(text)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"a moment is written {WHEN}") from None
    if moment.tzinfo is None:
        raise typer.BadParameter(f"say the zone of that time, too: {WHEN}")
    return moment


def _pauses(texts: list[str] | None) -> list[Pause]:
    from kit.clocks import Pause

    found = []
    for reason, span in _pairs(texts, "--pause"):
        begun, _, over = span.partition("/")
        found.append(Pause(reason, _moment(begun), _moment(over) if over else None))
    return found


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise typer.BadParameter("write it as America/New_York", param_hint="--zone") from None
