# SPDX-License-Identifier: MIT-0
"""The commands about a theft or a leak: `kit breach draft` and `kit breach assess`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli_shop import Actor, opened
from kit.terminal import FOUND, Json, ShopFolder, answer, now, say, warn

if TYPE_CHECKING:
    from kit.breach import Finding
    from kit.shop import Shop

WHEN = "2026-11-24T08:10, in the shop's own time"
KEY = "Has the thief the keys, too: yes, no or unknown, which counts as yes."

app = typer.Typer(
    name="breach",
    help="After a theft or a leak: whose data, which, whom to tell and by when.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def draft(
    name: Annotated[str, typer.Argument(help='Your word for it: "laptop stolen from the van".')],
    discovered: Annotated[str, typer.Option(help=f"When you found out: {WHEN}.")],
    occurred: Annotated[str | None, typer.Option(help="When it happened, if you know.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Somebody looked: from when. Else: all data were taken.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Until when; else now.")] = None,
    by: Annotated[list[str] | None, typer.Option(help="Whose account it was.")] = None,
    key_exposed: Annotated[str, typer.Option(help=KEY)] = "unknown",
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """Write down what the log and the inventory know of it, for you to complete.

    Example: kit breach draft "laptop stolen" --discovered 2026-11-24T08:10 --key-exposed no
    """
    from kit import exposed, incident, legal

    keys = {"yes": True, "no": False, "unknown": None}
    if key_exposed not in keys:
        raise typer.BadParameter("must be yes, no or unknown", param_hint="--key-exposed")
    if (until or by) and not since:
        raise typer.BadParameter("say from when, too", param_hint="--since")
    laws = legal.Book()
    with opened(shop, actor) as (opened_shop, who):
        moment = now()
        found, whose = None, None
        if since:
            first = _moment(since, opened_shop)
            last = _moment(until, opened_shop) if until else moment
            if last <= first:
                raise typer.BadParameter("must be before --until", param_hint="--since")
            found = exposed.looked_at(
                opened_shop,
                since=first,
                until=last,
                people=by or (),
                actor=who,
                now=moment,
            )
            whose = None if found.everybody else found.customers
        sets = exposed.data_sets(
            opened_shop,
            laws,
            customers=whose,
            roles=found.roles if found else (),
            key_exposed=keys[key_exposed],
        )
        for name_ in sorted({*(by or ())} - {*opened_shop.settings.staff}):
            warn(f"{name_} is not on the staff in shop.toml: is the name right?")
        if not sets:
            gone = f", but for {found.gone:,} who are gone since" if found and found.gone else ""
            say(f"The log shows nobody whose data were looked at in that time{gone}.")
            return
        folder = exposed.folder_of(opened_shop, name)
        text = exposed.draft(
            name,
            sets,
            occurred=_moment(occurred, opened_shop) if occurred else None,
            discovered=_moment(discovered, opened_shop),
        )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "incident.toml"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise incident.BadIncident(
                f"{path} exists: go on with it, or give this incident another name"
            ) from None
    if found:
        say(f"{found.entries:,} entries of the log, {len(found.customers):,} customers")
        if found.gone:
            say(f"  and {found.gone:,} who are gone since")
        if found.everybody:
            say("  many were handled at once, so all customers are counted")
    for one in sets:
        say(f"{one.name}: {', '.join(sorted(one.elements))}")
        say(f"  {', '.join(f'{place} {n:,}' for place, n in one.persons.items() if n)}")
    there = "" if shop == Path() else f" --shop {shop}"
    say(f"Next: complete {path}, then: kit breach assess {path}{there}")


@app.command()
def assess(
    file: Annotated[Path, typer.Argument(help="The incident: incident.toml.")],
    story: Annotated[
        Path | None,
        typer.Option(help="Your own words for the letters, as TOML: what_happened, doing …"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show each no, too.")] = False,
    actor: Actor = None,
    shop: ShopFolder = Path(),
    as_json: Json = False,
) -> None:
    """Say whom to tell, by when, and why nobody else; write memo, calendar and letters.

    Exit code 3: somebody has to be told, or it is not settled.
    Example: kit breach assess records/breach-laptop-stolen/incident.toml
    """
    from kit import exposed, legal

    laws = legal.Book()
    what = exposed.read_incident(file)
    words = exposed.read_story(story) if story else None
    with opened(shop, actor) as (opened_shop, who):
        moment, said = now(), opened_shop.settings
        moment = moment.astimezone(said.zone)
        today = moment.date()
        found = exposed.assess(what, laws, said.business, zone=said.zone, today=today)
        with opened_shop.writing(who, moment) as connection:
            opened_shop.note(connection, who, "print", "proof", moment, filter="breach")
        written = exposed.write_up(
            file.parent, what, found, laws, story=words, zone=said.zone, now=moment
        )
    telling = [one for one in found.findings if everything or one.verdict != "no duty"]
    if as_json:
        answer(
            {
                "findings": [vars(one) for one in found.findings],
                "always": found.always,
                "files": [str(path) for path in written],
            }
        )
    else:
        for one in telling:
            say(_line(one, moment))
        for text in found.always:
            say(f"always      {text}")
        for path in written:
            say(f"wrote {path}")
        if words:
            say("Before a letter goes out: see the end of memo.md")
        else:
            say("For letters, say it in your own words: --story story.toml")
    for text in exposed.notices(laws, [one.rule for one in found.findings if one.rule], today):
        warn(text)
    if any(one.verdict != "no duty" for one in found.findings):
        raise typer.Exit(FOUND)


def _line(one: Finding, at: datetime) -> str:
    from kit import show_law

    by = one.send_by or one.due
    when = f" by {show_law.moment(by)}" if by else f" {one.when}" if one.when else ""
    if by and (by < at if isinstance(by, datetime) else by < at.date()):
        when += ", which is over: do it now"
    when += f", due {show_law.moment(one.floor)} at the earliest" if one.floor and not by else ""
    task = f"; {one.task}" if one.task else ""
    rule = f" ({one.rule})" if one.rule else ""
    who = one.who or "ask a lawyer"
    return f"{one.verdict:<11} {one.place}: {who}{when}: {one.reason}{task}{rule}"


def _moment(text: str, shop: Shop) -> datetime:
    """Read a time in the shop's own zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"write it as {WHEN}") from None
    if len(text) <= 10:
        raise typer.BadParameter(f"some rules count hours: write it as {WHEN}")
    found = found if found.tzinfo else found.replace(tzinfo=shop.settings.zone)
    if found > now():
        raise typer.BadParameter(f"{text} is in the future; correct it")
    return found
