# SPDX-License-Identifier: MIT-0
"""The commands about a shop's folder: `kit init`, `find`, `who`, `delete`, `undelete`, `audit`.

Each is done by somebody on the staff: ``--as NAME``, or KIT_ACTOR, or else the owner. The role
decides what is shown, and the log remembers who asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli_keys import new_secret, secret
from kit.terminal import FOUND, Json, ShopFolder, answer, now, progress, say, warn

if TYPE_CHECKING:
    from kit.shop import Shop

Actor = Annotated[
    str | None, typer.Option("--as", envvar="KIT_ACTOR", help="Who you are, from shop.toml.")
]
Purpose = Annotated[str, typer.Option("--for", help="What for, one of the inventory's purposes.")]
Customer = Annotated[str, typer.Argument(help="E-mail address, telephone, name or number.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what would be.")]

app = typer.Typer(
    name="audit",
    help="The log of who saw and changed whose data.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@contextmanager
def opened(folder: Path, actor: str | None) -> Iterator[tuple[Shop, str]]:
    """Open a shop, say who is at work, and say what is wrong with its backups."""
    from kit import settings, upkeep
    from kit.shop import SETTINGS, Shop

    said = settings.load(folder / SETTINGS)  # before anybody types a passphrase
    who = actor or said.owner
    said.role(who)
    if red := upkeep.alarm(folder, said, now=now()):
        warn(f"Backups are RED: {red}")
    with Shop.open(folder, secret(folder)) as shop:
        yield shop, who


def _zone() -> str:
    """Return this computer's time zone by name, or ask for it."""
    place = os.environ.get("TZ") or os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    if not place:
        raise typer.BadParameter("say it, for example America/New_York", param_hint="--time-zone")
    return place


def init(
    folder: Annotated[Path, typer.Argument(help="The new folder.")],
    name: Annotated[str | None, typer.Option(help="The shop's name; else the folder's.")] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Such as America/New_York; else this computer's.")
    ] = None,
    region: Annotated[str, typer.Option(help="The country, in two letters.")] = "US",
    owner: Annotated[str, typer.Option(help="Your name in the log: small letters.")] = "owner",
    database: Annotated[
        str, typer.Option(help="Or postgresql://USER@HOST/NAME, an empty database.")
    ] = "sqlite:///shop.sqlite",
) -> None:
    """Make a shop's folder: settings, data inventory, keys, an empty database.

    Example: kit init myshop --name "Corner Flowers" --owner maria
    """
    from kit.shop import NotAShop, Shop

    if folder.exists() and any(folder.iterdir()):
        raise NotAShop(f"{folder.name} is not empty; choose a new folder")
    zone = time_zone or _zone()
    with Shop.init(
        folder,
        new_secret(folder),
        name=name or folder.resolve().name,
        time_zone=zone,
        region=region,
        owner=owner,
        database_url=database,
        now=now(),
    ):
        pass
    say(f"{folder}: made, for {owner}, times as in {zone}.")
    say("  inventory.toml  what you hold and why: go through it, delete what you do not hold")
    say("  shop.toml       who works here, in which role")
    typed = f'"{folder}"' if " " in str(folder) else folder
    say(f"Next: kit keys recovery --shop {typed}, then kit import FILE --shop {typed}")


def take_in(file: Path, folder: Path, actor: str | None, *, as_json: bool, **reading: Any) -> None:
    """Import a till's export into a shop. The command itself is `import` in cli.py."""
    from kit import imports, show

    with opened(folder, actor) as (shop, who), progress(f"importing {file.name}") as tick:
        done = imports.import_file(
            shop,
            file,
            actor=who,
            now=now(),
            progress=lambda table, rows, total: tick(rows, total),
            **reading,
        )
    if as_json:
        answer(
            {
                "layout": done.report.layout.id,
                "rows": done.report.rows,
                "added": done.added,
                "changed": done.changed,
                "same": done.same,
                "rejects": [vars(reject) for reject in done.rejects],
                "left_out": [vars(left) for left in done.left_out],
                "never_loaded": dict(done.report.dropped),
                "not_in_inventory": done.report.gaps,
                "unmapped": done.report.unmapped,
                "checks": [{**vars(check), "ok": check.ok} for check in done.report.checks],
                "erased": done.erased,
                "imported_before": done.before,
            }
        )
    else:
        say(show.taken(done))
    if done.rejects or not all(check.ok for check in done.report.checks):
        raise typer.Exit(FOUND)


def find(
    text: Customer,
    purpose: Purpose = "sale",
    actor: Actor = None,
    shop: ShopFolder = Path(),
    as_json: Json = False,
) -> None:
    """Find a customer; what your role may not see is masked, and the look is logged.

    Example: kit find +12125550142 --as sam --for loyalty
    """
    with opened(shop, actor) as (opened_shop, who):
        found = opened_shop.find(text, actor=who, purpose=purpose, now=now())
    if as_json:
        return answer([vars(seen) for seen in found])
    for seen in found:
        say(seen.id)
        for name, value in seen.fields.items():
            if value not in (None, "") and name != "customer_id":
                say(f"  {name:<14} {value}")
        say(f"  {'sales':<14} {seen.sales:,}; points {seen.points or 0:,}")
    if not found:
        say("Nobody was found.")


def who(
    text: Customer, actor: Actor = None, shop: ShopFolder = Path(), as_json: Json = False
) -> None:
    """Tell who looked at a customer's data, and who changed what.

    Example: kit who ana@example.com
    """
    with opened(shop, actor) as (opened_shop, me):
        seen, changes = opened_shop.who(text, actor=me, now=now())
        zone = opened_shop.settings.zone
    if as_json:
        changed = [
            {"at": c.at, "actor": c.actor, "what": c.action, "column": c.column} for c in changes
        ]
        return answer({"seen": seen, "changed": changed})
    for entry in seen:
        when = entry["at"].astimezone(zone)
        say(
            f"{when:%Y-%m-%d %H:%M}  {entry['actor']} ({entry['role']}): {entry['action']}, "
            f"for {entry['purpose']}"
        )
    for change in changes:
        what = f"{change.action} {change.column}" if change.column else change.action
        say(f"{change.at.astimezone(zone):%Y-%m-%d %H:%M}  {change.actor}: {what}")


def delete(text: Customer, actor: Actor = None, shop: ShopFolder = Path()) -> None:
    """Delete a customer by mistake or on purpose: for some days it can be taken back.

    To delete somebody for good, because they ask: kit erase. Example: kit delete ana@example.com
    """
    from kit import removals

    with opened(shop, actor) as (opened_shop, who):
        moved = removals.delete(opened_shop, text, actor=who, now=now())
    rows = ", ".join(f"{count} {table}" for table, count in moved.rows.items() if count)
    say(f"Deleted: {rows}. Sales stay, without the name.")
    say(f"Until {moved.until:%Y-%m-%d} it can be taken back: kit undelete {moved.trash_id}")


def undelete(
    trash_id: Annotated[
        str | None, typer.Argument(help="From kit delete; without it, list what there is.")
    ] = None,
    leave_out: Annotated[
        bool, typer.Option(help="Bring back the rest, if something is in the way.")
    ] = False,
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """Bring back a deleted customer with points and purchases.

    Example: kit undelete 5f3c…
    """
    from kit import removals

    with opened(shop, actor) as (opened_shop, who):
        if trash_id is None:
            for entry in removals.listed(opened_shop, now=now()):
                say(
                    f"{entry.trash_id}  customer {entry.subject}, deleted "
                    f"{entry.deleted_at:%Y-%m-%d}, can come back until {entry.until:%Y-%m-%d}"
                )
            return
        moved = removals.undelete(opened_shop, trash_id, actor=who, now=now(), leave_out=leave_out)
    rows = ", ".join(f"{count} {table}" for table, count in moved.rows.items() if count)
    links = sum(moved.links.values())
    say(f"Back: {rows}" + (f", and {links} links to their sales." if links else "."))


def erase(text: Customer, yes: Yes = False, actor: Actor = None, shop: ShopFolder = Path()) -> None:
    """Erase a customer for good, because they asked. It cannot be taken back.

    Without --yes it only says what would go and what stays. Example: kit erase ana@example.com
    """
    from kit import removals, restore, upkeep
    from kit.shop import NoSuchCustomer

    with opened(shop, actor) as (opened_shop, who):
        removals.allow(opened_shop, who, "erase", now())
        finished = removals.finish(opened_shop, actor=who, now=now())
        if finished:
            what = "An erasure" if finished == 1 else f"{finished} erasures"
            say(f"{what} that something cut short: finished now.")
        try:
            plan = removals.plan_erasure(opened_shop, text, actor=who, now=now())
        except NoSuchCustomer:
            if finished:  # it was this one, as like as not
                return say("Nobody else fits.")
            raise
        for step in plan.steps:
            say(f"{step.action:<10} {step.message}")
        if not yes:
            say("Did they ask? kit request open --kind delete tells companies and keeps a record.")
            say("Nothing was changed. To erase for good: add --yes")
            return
        removals.erase(opened_shop, plan, actor=who, now=now())
        files = opened_shop.files()
    if files:
        say("Erased, and searched for: nothing is left in the database's files.")
    else:
        say("Erased. PostgreSQL's own log keeps old pages for a while longer.")
    leaves = upkeep.status(shop, opened_shop.settings, now=now()).leaves_on
    until = f"Backups hold it until {leaves}" if leaves else "There is no backup that holds it"
    say(f"{until}; no restore and no import brings it back.")
    for path, end in restore.replaced(shop, opened_shop.settings).items():
        say(f"What a restore replaced may hold it until {end}, or until you delete it: {path.name}")
    if leaves:
        say("Next: kit backup make, so that the places know of it too.")


def expire(yes: Yes = False, actor: Actor = None, shop: ShopFolder = Path()) -> None:
    """Say what has to go because its time is over, and with --yes let it go.

    Example: kit expire --yes
    """
    from kit import disclose, legal, removals, restore

    with opened(shop, actor) as (opened_shop, who):
        plan = removals.plan_expiry(opened_shop, now=now())
        for line in plan.lines:
            what = f"{line.table}.{line.column}" if line.column else f"rows of {line.table}"
            say(f"{line.action:<7} {line.count:>8,}  {what}  ({line.rule})")
        for kept in plan.kept:
            names = ", ".join(kept.columns[:3]) + (" …" if len(kept.columns) > 3 else "")
            columns = f" ({names})" if names else ""
            say(f"stays   {kept.count:>8,}  {kept.table}{columns}: {kept.reason}")
        over = {path.name for path in restore.kept(opened_shop, now=now())}
        for path, until in restore.replaced(shop, opened_shop.settings).items():
            what = "delete " if path.name in over else "stays  "
            say(f"{what} {path.name}: what a restore replaced, until {until}")
        if not plan.lines and not over:
            say("Nothing has to go today.")
        if not yes:
            if plan.lines or over:
                say("Nothing was changed. To let it go: kit expire --yes")
            return
        with progress("letting go") as tick:
            done = removals.expire(opened_shop, plan, actor=who, now=now(), progress=tick)
        asked = disclose.purge(opened_shop, laws=legal.Book(), actor=who, now=now())
        replaced = restore.forget_kept(opened_shop, now=now())
    went, emptied = sum(done.done.removed.values()), sum(done.done.emptied.values())
    say(
        f"Gone: {went:,} rows, {emptied:,} cells, "
        f"{done.trash:,} old deletions, {done.history:,} lines of history, "
        f"{done.consents:,} consents that ran out, "
        f"{len(asked):,} requests answered long ago, {replaced} replaced databases."
    )
    if done.done.note:
        warn(done.done.note)


def _marks(path: Path) -> list[str]:
    """Return the checkpoints of a file, also as an editor or a mail program saved it."""
    from kit.tamper import Unreadable

    data = path.read_bytes()
    with suppress(UnicodeDecodeError):
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        if lines := [line for line in text.splitlines() if line.strip()]:
            return lines
    raise Unreadable(f"{path.name}: holds no checkpoint; name the file of kit audit checkpoint")


@app.command()
def verify(
    checkpoint: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint that was kept elsewhere.")
    ] = None,
    shop: ShopFolder = Path(),
) -> None:
    """Check every entry of the log: none missing, altered or out of order.

    Exit code 3 means that something is wrong. Example: kit audit verify --checkpoint usb/log.json
    """
    from kit.tamper import Broken

    marks = [line for path in checkpoint or [] for line in _marks(path)]
    with opened(shop, None) as (opened_shop, _):
        try:
            done = opened_shop.verify_log(marks)
        except Broken as broken:
            for fault in broken.faults:
                say(fault.text)
            raise typer.Exit(FOUND) from None
    say(f"{done.entries:,} entries, and nothing is missing or altered.")
    if done.proven < done.entries:
        proven = f"Whole up to entry {done.proven:,}, says a checkpoint. " if done.proven else ""
        say(
            f"{proven}A log that was cut off at its end looks the same: keep checkpoints elsewhere "
            f"(kit audit checkpoint) and name {'a newer' if proven else 'one'} here."
        )


@app.command(name="checkpoint")
def checkpoint_(
    out: Annotated[Path, typer.Argument(help="A file, best on a stick or in a mail.")],
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """Sign where the log stands, to be kept where nobody in the shop can change it.

    Example: kit audit checkpoint /media/stick/log.json
    """
    with opened(shop, actor) as (opened_shop, who):
        mark = opened_shop.checkpoint(actor=who, now=now())
    with out.open("a", encoding="utf-8") as file:
        file.write(mark.to_json() + "\n")
    say(f"{out}: the log had {mark.seq:,} entries.")


@app.command()
def unusual(
    days: Annotated[int, typer.Option(min=1, help="How far back to look.")] = 30,
    shop: ShopFolder = Path(),
    as_json: Json = False,
) -> None:
    """Say who looked at customers in an unusual way.

    Exit code 3 means that there is something to ask about. Example: kit audit unusual --days 7
    """
    moment = now()
    with opened(shop, None) as (opened_shop, _):
        found = opened_shop.unusual(since=moment - timedelta(days=days), now=moment)
    if as_json:
        answer([vars(one) for one in found])
    for one in [] if as_json else found:
        say(one.text)
    if not found:
        if not as_json:
            say(f"Nothing unusual in {days} days.")
        return
    raise typer.Exit(FOUND)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="A new file: one line of JSON for each entry.")],
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """Write the whole log, so that somebody else can check it.

    Example: kit audit export log.jsonl
    """
    from kit import audit

    with opened(shop, actor) as (opened_shop, who), out.open("x", encoding="utf-8") as file:
        with progress("writing") as tick, opened_shop.writing(who, now()) as connection:
            opened_shop.note(connection, who, "export", "proof", now())
            for number, line in enumerate(audit.lines(audit.entries(connection)), 1):
                file.write(line + "\n")
                if number % 10_000 == 0:
                    tick(number, None)
    say(f"wrote {out}")
