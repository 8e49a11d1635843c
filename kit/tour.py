# SPDX-License-Identifier: MIT-0
"""Walk through the whole life of customer data on a made-up shop, in the terminal, in a minute.

Every step runs the real tools on real files; what it says is counted, not written here.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from kit import show
from kit.inventory import Inventory

CUSTOMERS = 1_000
SEED = 42
ZONE = "America/New_York"  # where the made-up shop is

Say = Callable[[str], None]
Progress = Callable[[str], AbstractContextManager[Callable[[int, int | None], None]]]


def walk(folder: Path | None, *, say: Say, progress: Progress) -> None:
    """Make a shop, read its till's export, scan it, find what nobody wrote down, seal it.

    Args:
        folder: Where to keep what is made; None throws it away at the end.
        say: Receives each line.
        progress: Opens a progress bar with a title, and gives what moves it.
    """
    if folder is not None:
        return _walk(folder, say, progress)
    with tempfile.TemporaryDirectory(prefix="kit-tour-") as temporary:
        _walk(Path(temporary), say, progress)


def _walk(folder: Path, say: Say, progress: Progress) -> None:
    from kit import files, practice, sources  # slow to load: Arrow, Faker

    inventory = Inventory.default()

    say("1. MAKE UP A SHOP. Nobody in it is real.")
    with progress("making up a shop") as tick:
        clean = practice.make_shop(folder / "shop", CUSTOMERS, seed=SEED, progress=tick)
        exports = practice.make_shop(
            folder / "till", CUSTOMERS, seed=SEED, till="square", progress=tick
        )
        practice.make_shop(folder / "untidy", CUSTOMERS, seed=SEED, dirt=2, progress=tick)
    total = sum(path.stat().st_size for path in clean)
    say(f"   {len(clean)} tables, {show.size(total)}: customers, sales, payments, staff, stock.")
    say("   A till holds all of it in one place. So does whoever copies the till's folder.")
    say("")

    say("2. READ THE TILL'S EXPORT. Columns by name, every sum checked, no card numbers.")
    for path in exports:
        with progress(f"reading {path.name}"):
            read = files.read_export(path, inventory=inventory, time_zone=ZONE)
        good = sum(check.ok for check in read.checks)
        say(
            f"   {path.name}: {read.rows:,} rows, {read.table.num_rows:,} taken over, "
            f"{good} of {len(read.checks)} control totals agree"
        )
    say("")

    say("3. SCAN WHAT LIES AROUND. The same shop, as tired people keep it.")
    customers = folder / "untidy" / "customers.csv"
    _add_column(customers, "allergies", "nuts")
    with progress("looking") as tick:
        report = files.scan_files([customers], inventory=inventory, progress=tick)
    for line in show.scan(report).splitlines():
        say(f"   {line}" if line else "")
    say("")

    say("4. COMPARE WITH THE INVENTORY. What nobody wrote down, nobody protects.")
    header = sources.open_one(customers, readers=files.READERS).header
    for gap in inventory.gaps(f"customers.{name}" for name in header):
        say(f"   {gap}: held, but with no purpose and no end. Write it down, or delete it.")
    written = len(inventory.fields)
    say(f"   The inventory to start from names {written} fields: kit/inventory.toml")
    say("")

    _seal(folder, say, progress)
    words = _store(folder, exports, say, progress)
    _back_up(folder, words, say, progress)
    _disclose(folder, words, say, progress)
    if folder.name.startswith("kit-tour-"):
        say("The made-up shop has been thrown away. To keep one: kit tour my-shop")
    else:
        say(f"The made-up shop is in {folder}")
    say("Next: kit lab opens the lessons; kit scan FOLDER looks at your own files.")


def _seal(folder: Path, say: Say, progress: Progress) -> None:
    """Seal the customers, look at them as a thief would, and lose the passphrase."""
    from kit import passphrase, recovery, vault
    from kit.encrypt import CannotDecrypt

    say("5. SEAL. A stolen copy is useless, and the keys survive.")
    words = passphrase.suggest()
    keyring = vault.create(folder, words, now=datetime.now().astimezone())
    say(f"   A passphrase of six random words: {words}")
    with progress("sealing"):
        sealed = vault.seal_table(
            folder / "shop" / "customers.csv", None, ["email", "phone", "note"], keyring=keyring
        )
    table = _rows(sealed.path)
    say(f"   {sealed.rows:,} customers, {', '.join(sealed.columns)} sealed. What a thief reads:")
    with_both = [row for row in table if row["email"] and row["phone"]]
    for row in with_both[:2]:
        cells = (row["first_name"], row["email"][:26] + "…", row["phone"][:26] + "…")
        say("      " + "  ".join(cells))
    mine, theirs = with_both[0], with_both[1]
    mine["email"], theirs["email"] = theirs["email"], mine["email"]
    swapped = sealed.path.with_name("customers.swapped.csv")
    _write(swapped, table)
    try:
        vault.unseal_table(swapped, None, keyring=keyring, table=sealed.table)
    except CannotDecrypt:
        say("   Two e-mails were swapped between customers: refused, nothing was opened.")
    else:
        say("   Two e-mails were swapped between customers, and NOBODY noticed.")
    paper, public = recovery.new_paper_key()
    vault.write_copy(folder, keyring, recipient=public)
    with progress("the passphrase is lost"):
        (folder / vault.KEYRING).rename(folder / "keyring-without-passphrase.json")
        back = vault.recover(folder / vault.COPY, paper, folder, passphrase.suggest)
        vault.unseal_table(sealed.path, None, keyring=back)
    same = (folder / "shop" / "customers.opened.csv").is_file() and _rows(
        folder / "shop" / "customers.opened.csv"
    ) == _rows(folder / "shop" / "customers.csv")
    say(
        f"   The passphrase was lost. The key on paper brought {len(back.keys)} keys back, and "
        + ("every value opened again." if same else "NOT every value opened again.")
    )
    say("")


def _store(folder: Path, exports: list[Path], say: Say, progress: Progress) -> str:
    """Put the till's exports into one database, look somebody up, lose them, and get them back.

    Returns the passphrase of the shop's folder.
    """
    from kit import imports, passphrase, removals
    from kit.shop import Shop

    say("6. STORE. One place, sealed from the first row; who looks is written down.")
    moment = datetime.now().astimezone()
    home, words = folder / "myshop", passphrase.suggest()
    with Shop.init(home, words, name="Tour", time_zone=ZONE, now=moment) as place:
        for path in exports:
            with progress(f"importing {path.name}"):
                taken = imports.import_file(place, path, actor="owner", now=moment)
            new = ", ".join(f"{table} {count:,}" for table, count in taken.added.items())
            say(f"   {path.name}: {new or 'nothing new'}")
        row = next(r for r in _rows(folder / "shop" / "customers.csv") if r["email"])
        leaks = [
            p.name for p in place.files() if p.exists() and row["email"].encode() in p.read_bytes()
        ]
        say(
            "   One e-mail address was looked for in every file of the database: "
            + (f"FOUND in {', '.join(leaks)}" if leaks else "not there in the clear.")
        )
        found = place.find(row["email"], actor="owner", purpose="sale", now=moment)
        say(f"   Found again through its search number: {len(found)} customer. It was logged.")
        moved = removals.delete(place, found[0].id, actor="owner", now=moment)
        removals.undelete(place, moved.trash_id, actor="owner", now=moment)
        links = sum(moved.links.values())
        say(f"   Deleted by accident, and brought back; sales linked again: {links}.")
        plan = removals.plan_expiry(place, now=moment)
        over = sum(line.count for line in plan.lines)
        say(f"   {over:,} rows and cells have had their time: kit expire lists and removes them.")
        say(f"   The log has {place.verify_log().entries} entries; none is missing or altered.")
    say("")
    return words


def _back_up(folder: Path, words: str, say: Say, progress: Progress) -> None:
    """Back up to two places, erase somebody, lose the database, and get it back without them."""
    from kit import backup, drill, recovery, removals, restore, vault
    from kit.shop import Shop

    say("7. BACK UP. Two places, two people who can open it, and proof that it works.")
    moment = datetime.now().astimezone()
    home, usb = folder / "myshop", folder / "usb-disk"
    usb.mkdir(exist_ok=True)
    backup.add_place(home, "usb", str(usb.resolve()), offsite=True)
    paper, public = recovery.new_paper_key()
    keys = [paper, backup.add_person(home, "escrow")]
    with Shop.open(home, words) as place:
        vault.write_copy(home, place.keyring, recipient=public)
        with progress("backing up"):
            first = backup.make(place, actor="owner", now=moment).manifest
        where = " and ".join(place.settings.backup.places)
        say(f"   Backup {first.seq}: everything, {show.size(first.size)}, in two places: {where}.")
        someone = next(row for row in _rows(folder / "shop" / "customers.csv") if row["phone"])
        plan = removals.plan_erasure(place, someone["phone"], now=moment)
        removals.erase(place, plan, actor="owner", now=moment)
        say("   Then a customer asked to be erased. The backup still holds them.")
        away = backup.places(home, place.settings)["usb"]
        with progress("a drill"):
            done = drill.run(place, away, keys[1], actor="owner", now=moment, name="usb")
        say(f"   {done.drill.sentence}")
        place.files()[0].write_bytes(b"encrypted by criminals; pay here")
        with progress("restoring"):
            back = restore.restore(place, away, [keys[0]], actor="owner", now=moment, name="usb")
        say(
            f"   The database was destroyed. Restored in {back.took.total_seconds():.1f} s: "
            f"{back.rows['customers']:,} customers, and {back.erased} erased again."
        )
        place.verify_log()
    say("")


def _disclose(folder: Path, words: str, say: Say, progress: Progress) -> None:
    """Answer a customer, and not somebody else in her name."""
    import sqlalchemy as sa

    from kit import answering, asking, disclose, law, legal
    from kit.shop import Shop

    say("8. DISCLOSE. A customer asks what you hold; she gets it, and nobody else does.")
    moment, laws = datetime.now().astimezone(), legal.Book()
    by: dict[str, Any] = {"actor": "owner", "now": moment, "laws": laws}
    with Shop.open(folder / "myshop", words) as place:
        sold = place.tables.tables["sales"].c
        with place.reading() as connection:
            often = sa.select(sold.customer_id).where(sold.customer_id.is_not(None))
            often = often.group_by(sold.customer_id).order_by(sa.func.count().desc()).limit(1)
            someone = connection.scalars(often).one()
        taken = disclose.open_request(
            place, someone, "know", channel="email", received=moment, place="US-CA", **by
        ).request
        todo = {"confirm_receipt": "Confirm that it arrived", "respond": "Answer"}
        for one in taken.deadlines:
            say(f"   {todo[one.duty]} by {one.send_by:%A %d %B %Y} ({one.row}).")
        guessed = {"postcode": "90210", "bought": "coffee", "points": "5"}
        stranger = asking.verify(place, taken.request_id, guessed, declaration="sheet 1", **by)
        say(f"   Somebody guesses: {stranger.message}." if not stranger.verified else "   LET IN")
        asking.verify(place, taken.request_id, None, **by)
        with progress("making the package"):
            made = answering.access(place, taken.request_id, **by)
        parts = ", ".join(f"{one.title} {len(one.rows)}" for one in made.content.sections)
        say(f"   She signs in to her account, and the package is made: {parts}.")
        size = show.size(made.path.stat().st_size)
        say(f"   Sealed, {size}, no card number in any byte; its passphrase goes by telephone.")
    say(f"   {law.disclaimer(laws.all_rows)}")
    say("")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _add_column(path: Path, name: str, value: str) -> None:
    """Do what happens in shops: somebody adds a column, for one customer, and tells nobody."""
    with path.open(encoding="utf-8", newline="") as file:
        header, first, *rest = csv.reader(file)
    rows = [[*header, name], [*first, value], *([*row, ""] for row in rest)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
