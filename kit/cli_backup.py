# SPDX-License-Identifier: MIT-0
"""The commands about backups: `kit backup …`.

Backing up needs the passphrase, restoring a key from paper: it is typed, or comes from the file
that KIT_PAPER_KEY_FILE names, never from an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli_keys import ask, new_secret, paper_key, secret
from kit.cli_shop import Actor, Customer, Yes, opened
from kit.terminal import FOUND, Json, ShopFolder, answer, now, say, steps, warn

if TYPE_CHECKING:
    from kit.places import Place
    from kit.rescue import Preview
    from kit.settings import Settings
    from kit.shop import Shop

From = Annotated[
    str | None,
    typer.Option("--from", help="A place's name in shop.toml, or its address; else off-site."),
]
Number = Annotated[int | None, typer.Option(help="Of an older backup, from kit backup list.")]

app = typer.Typer(
    name="backup",
    help="Back up the shop, prove it, and get it back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _source(folder: Path, said: Settings, named: str | None) -> tuple[str | None, Place]:
    """Return a place by name or address; unsaid, the first off-site one."""
    from kit import backup

    homes = backup.places(folder, said)
    if named is not None and named not in homes:
        return None, backup.place_at(named)
    name = named or next(iter((*said.backup.offsite, *homes)), None)
    if name is None:
        raise typer.BadParameter(backup.ADD_PLACE, param_hint="--from")
    return name, homes[name]


@contextmanager
def _closed_shop(folder: Path, actor: str | None) -> Iterator[tuple[Shop, str]]:
    """Open a shop whose database may be gone or damaged."""
    from kit import settings
    from kit.inventory import Inventory
    from kit.keyfile import KeyFile, Passphrase
    from kit.keys import Keyring
    from kit.shop import INVENTORY, KEYRING, SETTINGS, Shop

    said = settings.load(folder / SETTINGS)
    who = actor or said.owner
    said.role(who)
    ring = Keyring.open(KeyFile(folder / KEYRING, Passphrase(secret(folder))))
    with Shop(folder, said, Inventory.load(folder / INVENTORY), ring) as shop:
        yield shop, who


@app.command()
def person(
    name: Annotated[str, typer.Argument(help="Such as escrow: one word, small letters.")],
    shop: ShopFolder = Path(),
) -> None:
    """Make a paper key for a second person who can restore; it is shown once.

    Example: kit backup person escrow
    """
    from kit import backup

    paper = backup.add_person(shop, name)
    say(f"The paper key of {name}. Write it down in capital letters and give it to somebody you")
    say("trust who does not live where you live: a notary, your accountant, a sister.")
    say()
    for start in range(0, len(paper), 20):
        say("  " + " ".join(paper[i : i + 4] for i in range(start, start + 20, 4)))
    say()
    say("It is stored on no computer and is not shown again. It opens every backup from now on.")
    say("Next: kit backup make")


@app.command()
def place(
    name: Annotated[str, typer.Argument(help="One word, such as usb or cloud.")],
    address: Annotated[
        str, typer.Argument(help="A folder, s3://BUCKET/FOLDER or sftp://USER@HOST/FOLDER.")
    ],
    offsite: Annotated[
        bool, typer.Option("--offsite", help="It is away from the shop, or is taken there.")
    ] = False,
    shop: ShopFolder = Path(),
) -> None:
    """Name one more place where backups go.

    Example: kit backup place usb /media/usb/flowers --offsite
    """
    from kit import backup

    where = address if "://" in address else str(Path(address).resolve())
    if "://" not in address:
        Path(where).mkdir(mode=0o700, exist_ok=True)  # later on it has to be there: plugged in
    backup.add_place(shop, name, where, offsite=offsite)
    say(f"{name}: written to shop.toml. Next: kit backup make")


@app.command()
def make(
    full: Annotated[bool, typer.Option("--full", help="All of it, not only what changed.")] = False,
    actor: Actor = None,
    shop: ShopFolder = Path(),
    as_json: Json = False,
) -> None:
    """Back up the database in use to every place in shop.toml, sealed for two people.

    Exit code 3: some place did not take it. Example: kit backup make
    """
    from kit import backup, show

    with opened(shop, actor) as (place, who), steps("working") as tick:
        done = backup.make(place, actor=who, now=now(), full=full, progress=tick)
        signed = backup.fingerprint(place.keyring.public_key())
    made = done.manifest
    if as_json:
        answer({"seq": made.seq, "kind": made.kind, "size": made.size, "places": done.places})
    else:
        what = "everything" if made.kind == "full" else f"what changed since backup {made.base}"
        say(f"Backup {made.seq}: {what}, {show.size(made.size)}")
        if done.why_full and made.seq > 1:
            say(f"  a full one: {done.why_full}")
        for name, fault in done.places.items():
            say(f"  {name:<10} {fault or 'stored, read back and right'}")
        for note in done.notes:
            warn(note)
        if made.seq == 1:
            say(f"Write on both papers: signed by {signed}")
    if any(done.places.values()):
        raise typer.Exit(FOUND)


@app.command(name="list")
def list_(shop: ShopFolder = Path(), as_json: Json = False) -> None:
    """List the backups, and where each is.

    Example: kit backup list
    """
    from kit import backup, show, upkeep

    with _closed_shop(shop, None) as (place, _):
        found = upkeep.listed(shop, place.settings, backup.signers(place.keyring))
        zone = place.settings.zone
    if as_json:
        return answer(
            [
                {"seq": m.seq, "at": m.at, "kind": m.kind, "base": m.base, "size": m.size,
                 "places": one.places}
                for one in found for m in [one.manifest]
            ]
        )  # fmt: skip
    for one in found:
        made = one.manifest
        kind = "full" if made.kind == "full" else f"on {made.base}"
        say(
            f"{made.seq:>6}  {made.at.astimezone(zone):%Y-%m-%d %H:%M}  {kind:<8} "
            f"{show.size(made.size):>9}  {', '.join(one.places)}"
        )
    if not found:
        say("There is no backup yet. Next: kit backup make")


@app.command()
def status(shop: ShopFolder = Path(), as_json: Json = False) -> None:
    """Say how the backups stand, by what was read back; no passphrase is needed.

    Exit code 3: something is red. Example: kit backup status
    """
    from kit import restore, settings, upkeep
    from kit.shop import SETTINGS

    said = settings.load(shop / SETTINGS)
    before = restore.replaced(shop, said)
    stand = upkeep.status(shop, said, now=now())
    if as_json:
        answer(
            {
                "red": stand.red,
                "places": [vars(one) for one in stand.places],
                "drill": stand.drill,
                "people": stand.people,
                "leaves_on": stand.leaves_on,
                "replaced": {path.name: until for path, until in before.items()},
            }
        )
    else:
        for one in stand.places:
            where = "off-site" if one.offsite else "in the shop"
            newest = (
                f"newest {one.seq}, of {one.made.astimezone(said.zone):%Y-%m-%d %H:%M}, proven "
                f"{one.seen.astimezone(said.zone):%Y-%m-%d %H:%M}"
                if one.made and one.seen
                else "nothing proven yet"
            )
            say(f"{one.name:<10} {where:<12} {one.backups:>4} backups, {newest}  {one.label}")
        say(f"Can restore: {', '.join(stand.people) or 'nobody yet'}")
        if stand.drill:
            how = "passed" if stand.drill["ok"] else "FAILED"
            what = f"backup {stand.drill['seq']}, with the key of {stand.drill['key']}"
            say(f"Last drill: {stand.drill['at'][:10]}, {what}, {how}")
        if stand.leaves_on:
            say(f"A person erased today leaves the last backup on {stand.leaves_on}, if each day "
                "has its kit backup make and kit backup prune --yes.")  # fmt: skip
        for path, until in before.items():
            say(f"A restore replaced a database, and customers are in it: {path.name}. Take out "
                f"what you miss; from {until} on, kit expire --yes deletes it.")  # fmt: skip
        for line in stand.red:
            say(f"RED: {line}")
        if not stand.red:
            say("Green: proven off-site, restored for practice, and two people can do it again.")
    if stand.red:
        raise typer.Exit(FOUND)


@app.command()
def verify(
    only: Annotated[str | None, typer.Option("--from", help="One place, by its name.")] = None,
    shop: ShopFolder = Path(),
    as_json: Json = False,
) -> None:
    """Read every backup in every place, and compare each byte with the signed list.

    Exit code 3: something is wrong. It cannot show that a key opens them: kit backup drill.
    """
    from kit import upkeep

    with _closed_shop(shop, None) as (place, _), steps("working") as tick:
        found = upkeep.verify(place, now=now(), only=only, progress=tick)
    if as_json:
        answer([{"name": one.name, "right": one.right, "faults": one.faults} for one in found])
    for one in [] if as_json else found:
        say(f"{one.name}: {len(one.right)} backups, every byte of them right")
        for fault in one.faults:
            say(f"  WRONG: {fault}")
        if one.checked and one.faults:
            say("  Copy a right file there: of a backup from elsewhere, a manifest from .backup.")
    if any(one.faults for one in found):
        raise typer.Exit(FOUND)


@app.command()
def drill(
    source: From = None,
    actor: Actor = None,
    shop: ShopFolder = Path(),
    as_json: Json = False,
) -> None:
    """Restore for practice with a key from paper, and keep a certificate. Once a month.

    Nothing of the shop is touched. Exit code 3: it failed. Example: kit backup drill --from cloud
    """
    from kit import drill, recovery

    with opened(shop, actor) as (place, who):
        name, home = _source(shop, place.settings, source)
        key = recovery.check(paper_key())
        with steps("working") as tick:
            done = drill.run(place, home, key, actor=who, now=now(), name=name, progress=tick)
    if as_json:
        answer({"passed": done.drill.passed, "sentence": done.drill.sentence,
                "failures": done.drill.failures, "page": done.page})  # fmt: skip
    else:
        say(done.drill.sentence)
        for failure in done.drill.failures:
            say(f"FAILED: {failure}")
        say(f"The certificate: {done.page}")
    if not done.drill.passed:
        raise typer.Exit(FOUND)


@app.command(name="certificate")
def certificate_(
    file: Annotated[
        Path, typer.Argument(help="The signed record of a drill, which ends in .json.")
    ],
    shop: ShopFolder = Path(),
) -> None:
    """Say whether the certificate of a drill is genuine, and what it proves.

    Example: kit backup certificate records/drill-20261124T093000Z.json
    """
    from kit import backup, certificate

    with _closed_shop(shop, None) as (place, _):
        found = certificate.read(file.read_bytes(), backup.signers(place.keyring))
    say(f"Genuine, signed by this shop. {found.sentence}")


@app.command()
def prune(yes: Yes = False, shop: ShopFolder = Path(), as_json: Json = False) -> None:
    """Say which old backups the rules no longer keep, and with --yes let them go.

    Example: kit backup prune --yes
    """
    from kit import upkeep

    with _closed_shop(shop, None) as (place, _), steps("working") as tick:
        found = upkeep.prune(place, now=now(), do=yes, progress=tick)
    if as_json:
        answer([{"name": one.name, "would_go": one.plan.remove, "gone": one.gone,
                 "faults": one.faults} for one in found])  # fmt: skip
    for one in [] if as_json else found:
        what = f"let go: {len(one.gone)}" if yes else f"would go: {len(one.plan.remove)}"
        say(f"{one.name}: {len(one.plan.keep)} stay, {what}")
        for text in (*one.plan.notes, *one.faults):
            say(f"  {text}")
    if not yes and not as_json and any(one.plan.remove for one in found):
        say("Nothing was changed. To let them go: kit backup prune --yes")
    if any(one.faults for one in found):
        raise typer.Exit(FOUND)


@app.command()
def restore(
    source: From = None,
    number: Number = None,
    new: Annotated[
        bool, typer.Option("--new", help="The folder is lost: make it anew, with its keys.")
    ] = False,
    without_ledger: Annotated[
        bool, typer.Option("--without-ledger", help="Erased customers may come back; I know.")
    ] = False,
    yes: Yes = False,
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """Replace the database by a proven backup; what was there is kept for a month.

    On a new computer: kit backup restore --new --from s3://… --shop myshop --yes
    """
    from kit import backup, recovery, restore

    if new:
        if source is None:
            raise typer.BadParameter("say where the backups are", param_hint="--from")
        key = recovery.check(paper_key())
        place = _source(shop, _nothing(), source)[1]
        with restore.rebuild(
            shop, place, key, lambda: new_secret(shop), compare=_compare, now=now()
        ) as made:
            who = actor or made.settings.owner
            homes = backup.places(shop, made.settings)
            name = next((n for n, home in homes.items() if home.label == place.label), None)
            with steps("working") as tick:
                done = restore.restore(
                    made, place, [key], actor=who, now=now(), name=name, number=number,
                    without_ledger=without_ledger, progress=tick,
                )  # fmt: skip
    else:
        with _closed_shop(shop, actor) as (made, who):
            name, place = _source(shop, made.settings, source)
            if not yes:
                say(f"This replaces the database by a backup from {place.label}.")
                say("Close the till and every other program first, then add --yes")
                return
            key = recovery.check(paper_key())
            with steps("working") as tick:
                done = restore.restore(
                    made, place, [key], actor=who, now=now(), name=name, number=number,
                    without_ledger=without_ledger, progress=tick,
                )  # fmt: skip
    rows = ", ".join(f"{count:,} {table}" for table, count in list(done.rows.items())[:4])
    say(f"Restored backup {done.manifest.seq} of {done.manifest.at:%Y-%m-%d %H:%M} UTC: {rows} …")
    if done.erased:
        say(f"{done.erased} customers who had been erased since were erased again.")
    if done.kept:
        say(f"What was there before is in {done.kept.name}; it holds customers, too. After "
            f"{done.delete_on}, kit expire --yes deletes it.")  # fmt: skip
    say("Look a few customers up before you trust it: kit find NAME")


def _nothing() -> Settings:
    """Return settings that name no place: there is no shop.toml yet."""
    from kit import settings

    return settings.parse(settings.write(name="new", time_zone="UTC"))


def _compare(fingerprint: str) -> None:
    """Let somebody compare the signing key with the papers."""
    say(f"The list of backups was signed by: {fingerprint}")
    if prompt := ask():
        typed = prompt("Does that stand on your papers? Type yes: ")
        if typed.strip().lower() != "yes":
            raise typer.BadParameter("then somebody else may have made these backups; ask for help")


@app.command()
def rescue(
    text: Customer,
    source: From = None,
    number: Number = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the backup's row where one was changed since.")
    ] = False,
    yes: Yes = False,
    actor: Actor = None,
    shop: ShopFolder = Path(),
) -> None:
    """Bring back one customer from a backup, with all that hung on them.

    Without --yes it only says what would come back. Example: kit backup rescue ana@example.com
    """
    from kit import recovery, restore

    def confirm(seen: Preview) -> bool:
        for table in seen.tables:
            if table.missing or table.different:
                say(f"{table.table}: {len(table.missing)} only in the backup, "
                    f"{len(table.different)} changed since")  # fmt: skip
        for link, keys in seen.links.items():
            say(f"{link}: {len(keys)} links to set again")
        for lost in seen.lost:
            warn(str(lost))
        if seen.nothing:
            say("Everything is there already, as it was.")
        return yes and not seen.nothing

    with opened(shop, actor) as (made, who):
        name, place = _source(shop, made.settings, source)
        key = recovery.check(paper_key())
        with steps("working") as tick:
            done = restore.rescue_customer(
                made, place, [key], text, actor=who, now=now(), confirm=confirm, name=name,
                number=number, on_conflict="replace" if replace else "skip", progress=tick,
            )  # fmt: skip
    if done is None:
        say("Nothing was changed." + ("" if yes else " To bring it back: add --yes"))
    else:
        rows = ", ".join(f"{count} {table}" for table, count in done.added.items() if count)
        links = sum(done.links.values())
        say(f"Back: {rows or 'no rows'}, {links} links.")
