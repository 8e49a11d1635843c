# SPDX-License-Identifier: MIT-0
"""The commands about keys: `kit keys …`, `kit seal`, `kit unseal`.

A passphrase or a secret key is never an argument: arguments show in the process list and stay in
the shell's history. It comes from the environment, a file, the keychain or a prompt.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.terminal import Json, ShopFolder, answer, key_text, now, progress, say, warn

if TYPE_CHECKING:
    from kit.keys import Keyring
    from kit.shop import Shop

app = typer.Typer(
    name="keys",
    help="Make, change and save the keys that seal customers' data.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PAPER_KEY_FILE = "KIT_PAPER_KEY_FILE"  # for scripts and tests; people type it from the paper


def ask() -> Callable[[str], str] | None:
    """Return what asks for a line without showing it, or None where nobody sits in front."""
    return getpass if sys.stdin.isatty() else None


def secret(folder: Path) -> str:
    """Return the passphrase from the environment, a file, the keychain or the prompt."""
    from kit import passphrase

    return passphrase.find(os.environ, ask=ask(), service=_service(folder))


def opened(folder: Path) -> Keyring:
    """Open the keyring of a folder."""
    from kit import vault

    vault.expect(folder)  # before asking for a passphrase
    return vault.open_keyring(folder, secret(folder))


def new_secret(folder: Path) -> str:
    """Return a passphrase for a new keyring: from the environment, or suggested and typed twice."""
    words = _new_words()
    _renew_entry(folder, words)
    return words


def _new_words() -> str:
    from kit import passphrase

    return passphrase.find(os.environ, ask=_typed_twice if ask() else None)


def _typed_twice(_: str = "") -> str:
    from kit import passphrase

    say("A passphrase of six random words, for example:")
    say(f"  {passphrase.suggest()}")
    say("Write it on paper before you type it. Nobody can reset it.")
    typed = getpass("New passphrase: ")
    if getpass("The same again: ") != typed:
        raise typer.BadParameter("the two are not alike; start again")
    return typed


def _renew_entry(folder: Path, words: str) -> None:
    """Put a new passphrase in the keychain if there is an old one: it is asked before people."""
    from kit import passphrase

    try:
        passphrase.find({}, service=_service(folder))
    except passphrase.PassphraseError:
        return
    try:
        passphrase.store(words, _service(folder))
    except passphrase.PassphraseError as error:
        warn(f"The keychain still has the old passphrase: {error}. Then: kit keys remember")


def _service(folder: Path) -> str:
    return f"customer-data-kit {folder.resolve()}"


def paper_key() -> str:
    """Return the paper key as typed."""
    if name := os.environ.get(PAPER_KEY_FILE):
        return key_text(Path(name))
    if prompt := ask():
        return prompt("Paper key, from the paper: ")
    raise typer.BadParameter(f"start this in a terminal, or set {PAPER_KEY_FILE}")


@app.command()
def create(shop: ShopFolder = Path()) -> None:
    """Make the keyring of a shop's folder, one key for each purpose.

    Example: kit keys create --shop myshop
    """
    from kit import vault

    if vault.has_keyring(shop):
        raise typer.BadParameter("there is a keyring already; see kit keys status")
    keyring = vault.create(shop, new_secret(shop), now=now())
    say(f"Made {len(keyring.keys)} keys in {vault.KEYRING}; it is no use without the passphrase.")
    say("Next: kit keys recovery, so that a lost passphrase is not the end of the data.")


@app.command()
def status(shop: ShopFolder = Path(), as_json: Json = False) -> None:
    """List the keys by number, purpose and state; no secret is shown.

    Example: kit keys status
    """
    from kit import vault

    keyring = opened(shop)
    copy = vault.copy_state(shop, keyring)
    if as_json:
        return answer({"generation": keyring.generation, "keys": keyring.status(), "copy": copy})
    for key in keyring.status():
        say(f"{key['id']:>10}  {key['state']:<9}  {key['created']}  {key['purpose']}")
    say(f"Change number {keyring.generation}. Recovery copy: {copy}")


@app.command()
def rotate(
    purpose: Annotated[str, typer.Argument(help="Which keys: field, index …")] = "field",
    resume: Annotated[
        bool, typer.Option("--resume", help="No new key: go on where it was stopped.")
    ] = False,
    shop: ShopFolder = Path(),
) -> None:
    """Make a new key, and seal a shop's stored rows anew with it while people go on working.

    Can be stopped and gone on with. Example: kit keys rotate field
    """
    from kit import rekey, vault

    if not vault.has_shop(shop):
        keyring = _holding(purpose, opened(shop))
        old, new = keyring.primary(purpose), keyring.rotate(purpose, now=now())
        say(f"Key {new.id} seals from now on; key {old.id} still opens what it sealed.")
        return _copy_anew(shop, keyring)
    with _open_shop(shop) as place:
        if not resume:
            _holding(purpose, place.keyring)
            old, new = place.keyring.primary(purpose), rekey.rotate_key(place, purpose, now=now())
            say(f"Key {new.id} seals from now on; key {old.id} still opens what it sealed.")
            _copy_anew(shop, place.keyring)
        with progress("sealing anew") as tick:
            done = rekey.renew(place, actor=place.settings.owner, now=now(), progress=tick)
    say(f"{done:,} values sealed or numbered anew. kit keys retire takes the old key out of use.")


def _holding(purpose: str, keyring: Keyring) -> Keyring:
    known = dict.fromkeys(key.purpose for key in keyring.keys)
    if purpose not in known:
        raise typer.BadParameter(f"must be one of: {', '.join(known)}", param_hint="PURPOSE")
    return keyring


def _copy_anew(folder: Path, keyring: Keyring) -> None:
    from kit import vault

    if vault.has_paper_key(folder):
        vault.write_copy(folder, keyring)
        say(f"Written anew: {vault.COPY}. Take it out of the shop; the old one lacks the new key.")
    else:
        warn("There is no recovery copy yet: kit keys recovery")


def _open_shop(folder: Path) -> Shop:
    from kit.shop import Shop

    return Shop.open(folder, secret(folder))


@app.command()
def retire(
    key_id: Annotated[int, typer.Argument(help="Its number, from kit keys status.")],
    unused: Annotated[
        bool,
        typer.Option(
            "--nothing-uses-it",
            help="Without a shop's database: you have looked, and no file holds a value under it.",
        ),
    ] = False,
    shop: ShopFolder = Path(),
) -> None:
    """Disable an old key. Refused while something still needs it.

    A shop's rows are counted; of other files only you know. Example: kit keys retire 439041101
    """
    from kit import rekey, vault

    if vault.has_shop(shop):
        with _open_shop(shop) as place:
            rekey.retire(place, key_id)
    else:
        keyring = opened(shop)
        if not unused:
            warn("Only you know what it sealed here. If nothing is left: --nothing-uses-it")
        keyring.retire(key_id, in_use=not unused)
    say(f"Key {key_id} is disabled. Should something turn up: kit keys enable {key_id}")


@app.command()
def enable(
    key_id: Annotated[int, typer.Argument(help="Its number, from kit keys status.")],
    shop: ShopFolder = Path(),
) -> None:
    """Let a disabled key open values again.

    Example: kit keys enable 439041101
    """
    opened(shop).enable(key_id)
    say(f"Key {key_id} opens again what it sealed.")


@app.command()
def recovery(
    new: Annotated[
        bool, typer.Option("--new", help="A new paper key; the old paper opens no new copy.")
    ] = False,
    shop: ShopFolder = Path(),
) -> None:
    """Write a recovery copy: every key, in a file that only a key on paper opens.

    The first time it shows the paper key, once. Example: kit keys recovery
    """
    from kit import recovery, vault

    keyring, public = opened(shop), None
    if new or not vault.has_paper_key(shop):
        paper, public = recovery.new_paper_key()
        say("Write this paper key down, in capital letters, and keep it away from the shop:")
        say()
        for start in range(0, len(paper), 20):
            say("  " + " ".join(paper[i : i + 4] for i in range(start, start + 20, 4)))
        say()
        say("It is stored on no computer and is not shown again.")
    vault.write_copy(shop, keyring, recipient=public)
    say(f"Written: {vault.COPY}. Take a copy of that file out of the shop.")
    say("Next: kit keys rehearse, with the paper in your hand.")


@app.command()
def rehearse(shop: ShopFolder = Path()) -> None:
    """Type the paper key back, and prove that the recovery copy gives every key.

    Example: kit keys rehearse
    """
    from kit import upkeep, vault

    keyring = opened(shop)
    vault.rehearse(shop, keyring, paper_key())
    if vault.has_shop(shop):
        upkeep.rehearsed(shop, now=now())
    say(f"The paper key opens the recovery copy, and all {len(keyring.keys)} keys are in it.")


@app.command()
def recover(
    copy: Annotated[Path, typer.Argument(exists=True, help="The recovery copy, from outside.")],
    shop: ShopFolder = Path(),
) -> None:
    """Make the keyring anew from the recovery copy and the paper key.

    Example: kit keys recover usb-stick/keyring-recovery.age --shop myshop
    """
    from kit import rekey, vault
    from kit.shop import noted_generation

    if vault.has_keyring(shop):
        raise typer.BadParameter(f"there is a {vault.KEYRING}; move it away first, keep it")
    typed = paper_key()
    seen = noted_generation(shop) if vault.has_shop(shop) else 0
    keyring = vault.recover(copy, typed, shop, lambda: new_secret(shop), at_least=seen)
    say(f"{len(keyring.keys)} keys are back. Open a few real values before you trust them.")
    if seen:
        with _open_shop(shop) as place:
            lost = set(rekey.in_use(place)) - {key.id for key in keyring.keys}
        if lost:
            warn(f"The copy is too old: {len(lost)} keys in use are not in it. Find a newer one.")


@app.command()
def passphrase(shop: ShopFolder = Path()) -> None:
    """Change the passphrase; the keys stay.

    For a script, set KIT_NEW_PASSPHRASE_FILE. Example: kit keys passphrase
    """
    from kit import passphrase, vault

    vault.expect(shop)
    old = secret(shop)
    if name := os.environ.get("KIT_NEW_PASSPHRASE_FILE"):
        fresh = passphrase.find({"KIT_PASSPHRASE_FILE": name})
    elif ask():
        fresh = _typed_twice()
    else:
        raise typer.BadParameter("start this in a terminal, or set KIT_NEW_PASSPHRASE_FILE")
    vault.change_passphrase(shop, old, fresh)
    _renew_entry(shop, fresh)
    say("The passphrase is changed. An old copy of the keyring still opens with the old one.")


@app.command()
def remember(shop: ShopFolder = Path()) -> None:
    """Store the passphrase in the system's keychain, so that nobody types it on this PC.

    Again after somebody else has changed it. Example: kit keys remember
    """
    from kit import passphrase, vault

    vault.expect(shop)
    said = passphrase.find(os.environ, ask=ask())  # not from the keychain: it may be an old one
    vault.open_keyring(shop, said)
    passphrase.store(said, _service(shop))
    say("Stored in the keychain. Whoever is logged in as you can open the keyring now.")


@app.command()
def export(
    purpose: Annotated[str, typer.Argument(help="field, deterministic or pseudonyms:WHO.")],
    out: Annotated[Path, typer.Option(help="A new file.")],
    to: Annotated[str | None, typer.Option(help="Seal it for this age public key (age1…).")] = None,
    clear: Annotated[
        bool, typer.Option("--in-the-clear", help="Write the keys as they are.")
    ] = False,
    shop: ShopFolder = Path(),
) -> None:
    """Hand the keys to another program, as a Tink keyset.

    Example: kit keys export field --out keyset.json.age --to age1…
    """
    from kit import vault

    if (to is None) != clear:
        raise typer.BadParameter("choose --to age1… or --in-the-clear")
    if not vault.has_shop(shop):
        vault.export(_holding(purpose, opened(shop)), purpose, out, recipient=to)
    else:
        with _open_shop(shop) as place:
            keyring, who, moment = _holding(purpose, place.keyring), place.settings.owner, now()
            with place.writing(who, moment) as connection:  # no file, no entry; no entry, no file
                place.note(connection, who, "export", "proof", moment, filter=f"keys:{purpose}")
                vault.export(keyring, purpose, out, recipient=to)
    say(f"wrote {out}")
    if clear:
        warn("It opens every value of your customers. Delete it as soon as it has been read.")


def seal(
    file: Annotated[Path, typer.Argument(exists=True, help="The file to seal; it stays as it is.")],
    columns: Annotated[
        str | None, typer.Option(help="Seal only these columns of a table: email,phone")
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option(help="Whole file: an age public key. Give two.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write.")] = None,
    key: Annotated[str | None, typer.Option(help="Column with the row's id.")] = None,
    table: Annotated[str | None, typer.Option(help="The table's name, else the file's.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file to write.")] = False,
    shop: ShopFolder = Path(),
) -> None:
    """Seal a whole file (age), or some columns of a table.

    Example: kit seal customers.csv --columns email,phone
    """
    from kit import agefile, passphrase, vault

    if columns is not None:
        if to:
            raise typer.BadParameter("--to seals whole files; columns are sealed with your keyring")
        names = [name.strip() for name in columns.split(",") if name.strip()]
        done = vault.seal_table(
            file, out, names, keyring=opened(shop), key_column=key, table=table, overwrite=overwrite
        )
        say(f"{done.path}: {done.rows:,} rows, sealed {', '.join(done.columns)}")
        say(f"Once it has another name, it opens with --table {done.table} only: write that down.")
        say("The file it came from still has them in the clear: delete it when you can.")
        return
    target = out or Path(f"{file}.age")
    words = None if to else _new_words()
    if words is not None:
        passphrase.check(words)
    with progress(f"sealing {file.name}") as tick:
        agefile.seal_file(
            file, target, recipients=to or (), passphrase=words, overwrite=overwrite, progress=tick
        )
    say(f"{target}: sealed. {file.name} is still there in the clear: delete it when you can.")


def unseal(
    file: Annotated[Path, typer.Argument(help="A sealed file, or a table with sealed columns.")],
    columns: Annotated[str | None, typer.Option(help="Only these columns: email,phone")] = None,
    identity: Annotated[
        Path | None, typer.Option(help="File with an age secret key; else it is asked for.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write.")] = None,
    key: Annotated[str | None, typer.Option(help="Column with the row's id.")] = None,
    table: Annotated[str | None, typer.Option(help="The table's name, else the file's.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file to write.")] = False,
    shop: ShopFolder = Path(),
) -> None:
    """Open a sealed file, or the sealed columns of a table.

    Example: kit unseal customers.csv.age --out customers.csv
    """
    from kit import agefile, passphrase, vault

    try:
        needs = agefile.opens_with(file)
    except agefile.NotAgeFile:
        if file.suffix == ".age":
            raise
        needs = "keyring"
    if needs == "keyring":
        names = [name.strip() for name in (columns or "").split(",") if name.strip()]
        done = vault.unseal_table(
            file, out, names, keyring=opened(shop), key_column=key, table=table, overwrite=overwrite
        )
        say(f"{done.path}: {done.rows:,} rows, opened {', '.join(done.columns)}")
        warn("It holds customer data in the clear: delete it when you are done.")
        return
    target = out or (file.with_suffix("") if file.suffix == ".age" else Path(f"{file}.opened"))
    # its own passphrase, not the one in the keychain: that is the keyring's
    words = passphrase.find(os.environ, ask=ask()) if needs == "passphrase" else None
    secrets = [] if words else [key_text(identity) if identity else paper_key()]
    with progress(f"opening {file.name}") as tick:
        agefile.unseal_file(
            file, target, identities=secrets, passphrase=words, overwrite=overwrite, progress=tick
        )
    say(f"{target}: opened. Delete it when you are done.")
