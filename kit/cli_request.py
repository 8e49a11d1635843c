# SPDX-License-Identifier: MIT-0
"""The commands about what customers ask: `kit request open`, `verify`, `answer`, `close` and more.

Four of them lead from a mail to a finished package; each says what comes next, and by when. What is
printed is for the shop: nothing of it goes to the customer, but for the answer itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli_shop import Actor, opened
from kit.terminal import FOUND, Json, ShopFolder, answer, now, progress, say, warn

if TYPE_CHECKING:
    from kit.legal import Book
    from kit.request_state import Request
    from kit.shop import Shop

Number = Annotated[str, typer.Argument(help="The number of the request: kit request list.")]
KINDS = "know, categories, delete, correct, opt_out, limit or withdraw."
CHANNELS = "email, telephone, letter, till, web, browser or agent."
ENDS = (
    "handed_over, revoked, expired; or refused: no_match, insuf_verification, suspected_fraud, "
    "claim_not_covered, outside_jurisdiction, too_many_requests, other."
)
WHEN = "2026-03-02, or with the time 2026-03-02T10:00"

app = typer.Typer(
    name="request",
    help="What customers ask: to see, correct or delete their data, or not to share it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(name="open")
def open_(
    email: Annotated[str | None, typer.Option(help="The customer's e-mail address.")] = None,
    phone: Annotated[str | None, typer.Option(help="Or telephone.")] = None,
    name: Annotated[str | None, typer.Option(help="Or name.")] = None,
    kind: Annotated[str, typer.Option(help=KINDS)] = "know",
    channel: Annotated[str, typer.Option(help=CHANNELS)] = "email",
    received: Annotated[str | None, typer.Option(help=f"When it came: {WHEN}; else now.")] = None,
    place: Annotated[
        str, typer.Option(help="Where the customer lives: US-CA, DE; else as the address says.")
    ] = "",
    customer: Annotated[str, typer.Option(help="Their number, if several fit: kit find.")] = "",
    agent: Annotated[str, typer.Option(help="A word for who asks on their behalf.")] = "",
    about: Annotated[list[str] | None, typer.Option(help="Which field is to be corrected.")] = None,
    actor: Actor = None,
    shop: ShopFolder = Path(),
    as_json: Json = False,
) -> None:
    """Take in what a customer asks; say by when to confirm and to answer.

    Example: kit request open --email ana@example.com --kind know --place US-CA
    """
    from kit import disclose, grounds, legal

    given = [text for text in (email, phone, name, customer) if text]
    if not given:
        raise typer.BadParameter("say who asks: --email, --phone or --name", param_hint="--email")
    laws = legal.Book()
    with opened(shop, actor) as (opened_shop, who):
        moment = now()
        taken = disclose.open_request(
            opened_shop,
            given[0],
            kind,
            laws=laws,
            channel=channel,
            received=_moment(received, opened_shop, moment) if received else moment,
            place=place,
            customer=customer,
            agent=agent,
            disputed=about or (),
            actor=who,
            now=moment,
        )
    request = taken.request
    if as_json:
        return answer({**_told(request), "found": taken.found, "often": taken.often})
    say(f"{request.request_id}: asks {disclose.ASKED[kind]}")
    say(f"  lives in {grounds.told(request.jurisdiction)}; ground: {request.regime}")
    if taken.coverage:
        say(f"  {taken.coverage.reason}")
    for one in request.deadlines:
        words = {"confirm_receipt": "confirm it", "respond": "answer it", "stop_sale": "do it"}
        day = _day(one.send_by or one.due) if one.due else f"no date: {one.why}"
        say(f"  {words[one.duty]:<11} by {day}  ({one.row})")
        for doubt in one.doubts:
            say(f"    doubt: {doubt}")
    if not taken.found:
        say("  Nobody in the shop fits. Do not say so before it is clear who asks.")
    if taken.often:
        say(f"  Asked before: {taken.often}")
    _next(request, laws, [one.row for one in request.deadlines])


@app.command(name="list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are done.")] = False,
    actor: Actor = None,
    shop: ShopFolder = Path(),
    as_json: Json = False,
) -> None:
    """List requests in which something is to do, the next step and its date.

    Exit code 3: a date is over. Example: kit request list
    """
    from kit import disclose

    with opened(shop, actor) as (opened_shop, _):
        found = disclose.listed(opened_shop, open_only=not everything)
        today = now().astimezone(opened_shop.settings.zone).date()
    if as_json:
        answer([_told(request) for request in found])
    late = 0
    for request in [] if as_json else found:
        step = disclose.next_step(request)
        over = step.by is not None and f"{step.by:%Y-%m-%d}" < f"{today:%Y-%m-%d}"
        late += over
        when = f" by {_day(step.by)}{' (LATE)' if over else ''}" if step.by else ""
        say(f"{request.request_id}  {request.kinds[0]:<10} {request.status:<11} {step.what}{when}")
    if not (found or as_json):
        say("Nothing is open.")
    if late:
        raise typer.Exit(FOUND)


@app.command()
def show(
    number: Number, actor: Actor = None, shop: ShopFolder = Path(), as_json: Json = False
) -> None:
    """Show the record of a request, as it is kept: never who asked.

    Example: kit request show req-20260302-5f3c9a11
    """
    from kit import disclose

    with opened(shop, actor) as (opened_shop, _), opened_shop.reading() as connection:
        request = disclose.get(connection, number)
    if as_json:
        return answer(_told(request))
    for key, value in request.record().items():
        if value not in ("", None, {}, []):
            say(f"{key:<20} {value}")
    _next(request)


@app.command()
def verify(
    number: Number,
    declaration: Annotated[
        str, typer.Option(help="A scan of the signed declaration, or the number of the paper.")
    ] = "",
    account: Annotated[
        bool, typer.Option(help="They signed in to their account anew, before your eyes.")
    ] = False,
    permission: Annotated[
        str, typer.Option(help="What the customer signed for an agent: scan, or number.")
    ] = "",
    power_of_attorney: Annotated[bool, typer.Option(help="And it is one.")] = False,
    settle: Annotated[bool, typer.Option(help="The kinds of data are enough.")] = False,
    answers: Annotated[
        Path | None, typer.Option(help="Answers as JSON, - for standard input; else you are asked.")
    ] = None,
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """Find out whether it is the customer who asks. Answers are compared, and not kept.

    Example: kit request verify req-20260302-5f3c9a11 --declaration "binder 3, sheet 7"
    """
    from kit import asking, disclose, legal

    laws = legal.Book()
    with opened(shop, actor) as (opened_shop, who):
        by: dict[str, Any] = {"laws": laws, "actor": who, "now": now()}
        if account or power_of_attorney:
            said: dict[str, str] | None = None if account else {}
        else:
            said = _asked(asking.questions(opened_shop, number, **by), answers)
        outcome = asking.verify(
            opened_shop,
            number,
            said,
            declaration=asking.paper(declaration),
            permission=asking.paper(permission),
            power_of_attorney=power_of_attorney,
            settle=settle,
            **by,
        )
        with opened_shop.reading() as connection:
            request = disclose.get(connection, number)
    if request.outcome in ("verified", "not needed"):
        say(f"It is clear who asks ({request.method}).")
        if request.reassessed_from:
            say("It was not enough for all that is held: the kinds of data are given instead.")
    else:
        say(f"Not verified: {outcome.message}. Say no more than that.")
        if outcome.enough_for_less:
            say("For the kinds of data it would be enough: the same with --settle")
    _next(request)
    if not outcome.verified and request.outcome == "failed":
        raise typer.Exit(FOUND)


@app.command()
def notice(
    number: Number,
    arrived: Annotated[bool, typer.Option("--arrived", help="That their request came.")] = False,
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """Write down that the customer was told which points they lose, or that the request came.

    Example: kit request notice req-20260302-5f3c9a11 --arrived
    """
    from kit import deleting, disclose

    tell = disclose.acknowledge if arrived else deleting.tell_loss
    with opened(shop, actor) as (opened_shop, who):
        request = tell(opened_shop, number, actor=who, now=now())
    say("Noted." if arrived else "Noted. If a rule wants time, kit request answer says how long.")
    _next(request)


@app.command(name="answer")
def answer_(
    number: Number,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete for good; without this, only say what would be.")
    ] = False,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="A correction: FIELD=VALUE, or FIELD=")
    ] = None,
    recipient: Annotated[
        str, typer.Option(help="The customer's own age key, age1…; else a passphrase is made.")
    ] = "",
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """Answer: make the package, correct, delete, or keep the no.

    Example: kit request answer req-20260302-5f3c9a11
    """
    from kit import answering, disclose, legal

    laws = legal.Book()
    with opened(shop, actor) as (opened_shop, who):
        by: dict[str, Any] = {"actor": who, "now": now()}
        with opened_shop.reading() as connection:
            (kind,) = disclose.get(connection, number).kinds
        if kind in ("know", "categories", "delete") and (text := disclose.alone(opened_shop)):
            warn(text)
        if kind in ("know", "categories"):
            with progress("making the package"):
                made = answering.access(opened_shop, number, laws=laws, recipient=recipient, **by)
            for one in made.content.sections:
                say(f"  {one.title}: {len(one.rows):,}")
            for held in made.content.withheld:
                say(f"  held and not sent: {held.what} ({held.cite})")
            say(f"{made.path}")
            if made.words:
                say(f"Passphrase, to be told by telephone or in person: {made.words}")
            request = made.request
        elif kind == "delete":
            request = _delete(opened_shop, number, laws, yes=yes, by=by)
        elif kind == "correct":
            request = answering.correct(opened_shop, number, _changes(change), **by)
            say(f"Corrected: {request.nature.partition(': ')[2]}")
        else:
            request = answering.say_no(opened_shop, number, **by)
            say("Kept with the customer, from now on. Tell them so.")
    _next(request, laws, [one.row for one in request.deadlines])


def _delete(shop: Shop, number: str, laws: Book, *, yes: bool, by: dict[str, Any]) -> Request:
    from kit import deleting, disclose, upkeep

    until = upkeep.status(shop.folder, shop.settings, now=by["now"]).leaves_on
    if not yes:
        made = deleting.plan(shop, number, laws=laws, backups_until=until, **by)
        for line in made.lines:
            say(f"{line.action:<10} {line.message}  ({line.rule_id})")
        if made.lost:
            say(f"Lost: {made.lost}. Tell the customer before, then: kit request notice {number}")
        _write_to(made.unreachable)
        say("Nothing was changed. To delete for good: add --yes")
        return made.request
    done = deleting.delete(shop, number, laws=laws, backups_until=until, **by)
    say(done.letter)
    _write_to(done.report["unreachable"])
    for vendor in done.request.waiting_for:
        folder = shop.folder / disclose.REQUESTS / number
        say(f"Send to {vendor.name}: its message in {folder}; ask again on {vendor.chase_on}.")
    return done.request


def _write_to(names: Iterable[str]) -> None:
    for name in names:
        say(f"{name} has data, but would not find the customer: write to it yourself.")


@app.command()
def extend(
    number: Number,
    reason: Annotated[str, typer.Option(help="Why, as the customer was told.")],
    noticed: Annotated[str, typer.Option(help=f"When the customer was told: {WHEN}.")],
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """Take more time, of which the customer was told before the first date.

    Example: kit request extend req-20260302-5f3c9a11 --reason "many requests" --noticed 2026-04-10
    """
    from kit import disclose, legal

    laws = legal.Book()
    with opened(shop, actor) as (opened_shop, who):
        by: dict[str, Any] = {"laws": laws, "actor": who, "now": now()}
        told = _moment(noticed, opened_shop, by["now"])
        request = disclose.extend(opened_shop, number, reason=reason, noticed=told, **by)
    longer = request.deadline("respond")
    say(f"Extended to {_day(longer.send_by or longer.due if longer else None)}.")
    _next(request, laws, [longer.row] if longer else [])


@app.command()
def close(
    number: Number,
    because: Annotated[str, typer.Option(help=ENDS)] = "handed_over",
    basis: Annotated[str, typer.Option(help="For a refusal: why, or the id of the rule.")] = "",
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """End a request: the customer has the answer, took it back, or it is refused.

    Example: kit request close req-20260302-5f3c9a11
    """
    from kit import disclose

    with opened(shop, actor) as (opened_shop, who):
        request = disclose.close(opened_shop, number, because, basis=basis, actor=who, now=now())
    say(f"{number}: {request.status}{f' ({request.reason})' if request.reason else ''}")
    if "sealed" in request.sent and because == "handed_over":
        say("The sealed copy in the shop was deleted; its SHA-256 stays in the book.")
    _next(request)


@app.command()
def confirm(
    number: Number,
    vendor: Annotated[str, typer.Argument(help="Its name, as in vendors.toml.")],
    receipt: Annotated[Path, typer.Argument(help="Its letter; only the SHA-256 is kept.")],
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """Write down that a company says it is done.

    Example: kit request confirm req-20260302-5f3c9a11 "Parcel Co" mail.eml
    """
    from kit import disclose

    with opened(shop, actor) as (opened_shop, who):
        request = disclose.confirm(opened_shop, number, vendor, receipt, actor=who, now=now())
    say(f"{vendor}: done. {len(request.waiting_for)} still open.")
    _next(request)


@app.command()
def purge(actor: Actor = None, shop: ShopFolder = Path()) -> None:
    """Forget requests whose record need no longer be kept. Example: kit request purge."""
    from kit import disclose, legal

    with opened(shop, actor) as (opened_shop, who):
        gone = disclose.purge(opened_shop, laws=legal.Book(), actor=who, now=now())
    say(f"{len(gone)} records are gone." if gone else "No record has had its time.")


def _asked(points: list[Any], path: Path | None) -> dict[str, str]:
    """Return the answers, from a file or from whoever sits here with the customer."""
    if path is None:
        if points:
            say("Ask the customer. Leave out what they do not remember; do not help them.")
        return {one.name: typer.prompt(f"  {one.ask}", default="", show_default=False)
                for one in points}  # fmt: skip
    text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise typer.BadParameter('must be JSON such as {"points": "120"}', param_hint="--answers")
    return {str(name): str(value) for name, value in said.items()}


def _changes(given: list[str] | None) -> dict[str, str | None]:
    pairs = [one.partition("=") for one in given or [""]]
    if not all(sep for _, sep, _ in pairs):
        raise typer.BadParameter("say what to: --set phone=212-555-0142", param_hint="--set")
    return {field: value or None for field, _, value in pairs}


def _moment(text: str, shop: Shop, today: datetime) -> datetime:
    """Read a day or a time in the shop's own zone; of a day, its middle; of today, at most now."""
    try:
        if len(text) == 10:
            noon = datetime.combine(date.fromisoformat(text), time(12), shop.settings.zone)
            same = noon.date() == today.astimezone(shop.settings.zone).date()
            return min(noon, today) if same else noon
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"write it as {WHEN}") from None
    return found if found.tzinfo else found.replace(tzinfo=shop.settings.zone)


def _day(by: date | datetime | None) -> str:
    return f"{by:%a %Y-%m-%d}{f' {by:%H:%M}' if isinstance(by, datetime) else ''}" if by else "?"


def _told(request: Request) -> dict[str, Any]:
    from kit import disclose

    step = disclose.next_step(request)
    return {**request.record(), "deadlines": [*map(vars, request.deadlines)], "next": vars(step)}


def _next(request: Request, laws: Book | None = None, rows: Iterable[str] = ()) -> None:
    """Say what comes next, and by when; what rests on rules ends with how old they are."""
    from kit import disclose

    step = disclose.next_step(request)
    by = f", by {_day(step.by)}" if step.by else ""
    say(f"Next: {step.what}{by}{step.command and f': {step.command}'}")
    if request.deadline("confirm_receipt") and not (request.acknowledged_at or request.over):
        say(f"When the customer was told so: kit request notice {request.request_id} --arrived")
    if laws is not None and (used := list(rows)):
        for text in (laws.banner(used, now().date()), laws.disclaimer(used)):
            if text:
                warn(text)
