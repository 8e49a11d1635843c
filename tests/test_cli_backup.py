"""`kit backup …`: what an owner types and reads, from the first key to the day of the fire."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import closing

import pytest
import real_shop
from test_cli_shop import done, kit, ready

from kit import upkeep
from kit.shop import Shop


@pytest.fixture
def shop(tmp_path):
    """Return the folder of a shop with customers and sales, and no backup yet."""
    real_shop.filled(tmp_path / "shop").close()
    return ready(tmp_path / "shop")


def paper(shop, told, name):
    """Copy a paper key from the terminal to a file, as a person copies it to paper."""
    key = " ".join(re.findall(r"^  ([A-Z0-9 -]+)$", told, re.M))  # in fours, as it is shown
    path = shop.parent / name
    path.write_text(key, encoding="utf-8")
    return {"KIT_PAPER_KEY_FILE": str(path)}


def backed_up(shop):
    """Make keys, name a place and back up; return how each key is handed over."""
    owner = paper(shop, done(shop, "keys", "recovery"), "owner")
    escrow = paper(shop, done(shop, "backup", "person", "escrow"), "escrow")
    done(shop, "backup", "place", "usb", str(shop.parent / "usb"), "--offsite")
    done(shop, "backup", "make")
    return owner, escrow


def test_each_step_says_the_next_one(shop):
    """From nothing to a first backup, an owner only does what the last line says."""
    told = kit(shop, "backup", "make")
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.endswith("Next: kit keys recovery\n")
    owner = paper(shop, done(shop, "keys", "recovery"), "owner")
    assert kit(shop, "backup", "make").stderr.endswith("Next: kit backup person escrow\n")
    assert done(shop, "backup", "person", "escrow").endswith("Next: kit backup make\n")
    made = done(shop, "backup", "make")
    assert made.startswith("Backup 1: everything, ")
    assert "here       stored, read back and right\n" in made
    signed = re.search(r"Write on both papers: signed by ((?:[0-9a-f]{4} ?){4})$", made)[1]
    assert len(signed) == 19

    status = kit(shop, "backup", "status")
    assert status.returncode == 3
    assert "RED: no place is away from the shop" in status.stdout
    assert "Can restore: escrow, owner" in status.stdout
    done(shop, "backup", "place", "usb", str(shop.parent / "usb"), "--offsite")
    assert "what changed since backup 1" in done(shop, "backup", "make")
    done(shop, "keys", "rehearse", **owner)
    drilled = done(shop, "backup", "drill", **owner)
    assert re.match(r"Restored \d+ customers on .* from .*usb", drilled)
    assert done(shop, "backup", "status").endswith(
        "Green: proven off-site, restored for practice, and two people can do it again.\n"
    )


def test_every_start_says_that_backups_are_red(shop, capsys):
    """A shop that forgets its backups is told at every command, on standard error."""
    with Shop.open(shop, real_shop.WORDS) as open_shop:
        red = upkeep.alarm(shop, open_shop.settings, now=real_shop.NOW)
    assert "kit keys recovery" in red

    import io
    import os
    import sys
    from contextlib import redirect_stderr

    from kit import cli

    err = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(err), pytest.raises(SystemExit):
        patch.setenv("KIT_PASSPHRASE_FILE", str(shop / "passphrase"))
        patch.setattr(sys, "argv", ["kit", "find", "nobody", "--shop", os.fspath(shop)])
        cli.main()
    assert err.getvalue().splitlines()[0] == f"Backups are RED: {red}"
    assert capsys.readouterr().out == "Nobody was found.\n"


def test_a_fire(shop, tmp_path):
    """The shop's folder is gone; a disk from elsewhere and a paper bring it back."""
    _, escrow = backed_up(shop)
    made = json.loads(done(shop, "backup", "list", "--json"))
    assert [(one["seq"], one["kind"], one["places"]) for one in made] == [
        (1, "full", ["here", "usb"])
    ]
    with Shop.open(shop, real_shop.WORDS) as before:
        content = real_shop.content(before)
    passphrase = (shop / "passphrase").read_bytes()
    shutil.rmtree(shop)
    (tmp_path / "passphrase").write_bytes(passphrase)
    (tmp_path / "passphrase").chmod(0o600)

    told = done(
        tmp_path,
        "backup",
        "restore",
        "--new",
        "--from",
        "usb",
        "--shop",
        "again",
        "--yes",
        **escrow,
    )

    assert "The list of backups was signed by: " in told
    assert "Restored backup 1 of " in told
    with Shop.open(tmp_path / "again", real_shop.WORDS) as after:
        found = real_shop.content(after)
        assert {**found, "kit_meta": 0} == {**content, "kit_meta": 0}
    ready(tmp_path / "again")
    assert "1 backups, newest 1" in kit(tmp_path / "again", "backup", "status").stdout
    assert "what changed" not in done(tmp_path / "again", "backup", "make")


def test_restore_asks_first(shop):
    """It replaces the database; without --yes it only says so."""
    owner, _ = backed_up(shop)
    told = done(shop, "backup", "restore", **owner)
    assert "This replaces the database" in told

    told = done(shop, "backup", "restore", "--yes", "--from", "here", **owner)
    assert "What was there before is in .before-restore-" in told

    # Customers are in it, so nobody may forget it, nor lose it without a word.
    (kept,) = shop.glob(".before-restore-*")
    old = kept.with_name(".before-restore-20200101T120000Z")
    old.mkdir()
    status = kit(shop, "backup", "status").stdout
    day = re.search(rf"in it: {kept.name}\. .* from (\S+) on, kit expire --yes", status)[1]
    told = done(shop, "expire")
    assert f"stays   {kept.name}: what a restore replaced, until {day}\n" in told
    assert f"delete  {old.name}: what a restore replaced, until 2020-01-31\n" in told
    assert told.endswith("Nothing was changed. To let it go: kit expire --yes\n")


def test_a_slip_of_the_finger(shop):
    """One customer, deleted weeks ago, with all that hung on them."""
    owner, _ = backed_up(shop)
    with Shop.open(shop, real_shop.WORDS) as before:
        content = real_shop.content(before)
    someone = next(row for row in content["customers"] if row["email"])
    deleted = done(shop, "delete", someone["email"])
    trash_id = deleted.split()[-1]
    with closing(Shop.open(shop, real_shop.WORDS)) as open_shop:
        with open_shop.writing("owner", real_shop.NOW) as connection:
            open_shop.trash.forget(connection, someone["customer_id"])
    assert kit(shop, "undelete", trash_id).returncode == 1

    looked = done(shop, "backup", "rescue", someone["email"], **owner)
    assert "customers: 1 only in the backup" in looked
    assert looked.endswith("To bring it back: add --yes\n")
    assert "Back: 1 customers" in done(shop, "backup", "rescue", someone["email"], "--yes", **owner)
    with Shop.open(shop, real_shop.WORDS) as after:
        assert real_shop.content(after)["customers"] == content["customers"]
    again = done(shop, "backup", "rescue", someone["email"], "--yes", **owner)
    assert again.endswith("Everything is there already, as it was.\nNothing was changed.\n")


def test_something_wrong_is_exit_code_three(shop):
    """A script that runs at night can tell."""
    owner, escrow = backed_up(shop)
    assert "every byte of them right" in done(shop, "backup", "verify")
    broken = next((shop.parent / "usb").glob("*.sqlite.zst.age"))
    data = broken.read_bytes()
    broken.write_bytes(data[:500] + b"\0" + data[501:])

    verified = kit(shop, "backup", "verify")
    drilled = kit(shop, "backup", "drill", **escrow)

    assert verified.returncode == drilled.returncode == 3
    assert "WRONG: the file of backup 1 is altered" in verified.stdout
    assert verified.stdout.count("Copy a right file there: ") == 1
    assert "FAILED: backup 1 could not be restored" in drilled.stdout
    kept = kit(shop, "backup", "restore", "--yes", **owner)
    assert (kept.returncode, kept.stdout) == (1, "")
    assert "is altered" in kept.stderr
    shutil.rmtree(shop.parent / "usb")
    assert kit(shop, "backup", "make").returncode == 3


def test_a_certificate_is_genuine_or_not(shop):
    """The insurer sends it back and asks."""
    owner, _ = backed_up(shop)
    done(shop, "backup", "drill", **owner)
    (record,) = (shop / "records").glob("drill-*.json")

    assert done(shop, "backup", "certificate", record).startswith("Genuine, signed by this shop. ")
    record.write_bytes(record.read_bytes().replace(b"owner", b"other"))
    refused = kit(shop, "backup", "certificate", record)
    assert refused.returncode == 1
    assert "altered" in refused.stderr


def test_old_ones_go_only_when_told(shop):
    """And nothing young goes at all."""
    backed_up(shop)
    assert "1 stay, would go: 0" in done(shop, "backup", "prune")
    assert "1 stay, let go: 0" in done(shop, "backup", "prune", "--yes")


def test_an_erasure_says_until_when(shop):
    """The customer who asked is told a date."""
    backed_up(shop)
    with Shop.open(shop, real_shop.WORDS) as open_shop:
        someone = next(r for r in real_shop.content(open_shop)["customers"] if r["email"])
    (shop / ".before-restore-20261101T120000Z").mkdir()
    told = done(shop, "erase", someone["email"], "--yes")

    assert "What a restore replaced may hold it until 2026-12-01" in told
    assert re.search(r"^Backups hold it until 20\d\d-\d\d-\d\d; no restore", told, re.M)
    assert told.endswith("Next: kit backup make, so that the places know of it too.\n")


def test_no_place_at_all_says_how_to_name_one(shop):
    """Whoever empties the list in shop.toml reads what is missing, not an error of the kit."""
    path = shop / "shop.toml"
    said = path.read_text(encoding="utf-8").partition("[backup.places]")[0]
    path.write_text(said + "[backup.places]\n", encoding="utf-8")
    refused = kit(shop, "backup", "restore", "--yes")
    assert refused.returncode == 2
    assert "kit backup place NAME ADDRESS" in re.sub(r"\s+", " ", refused.stderr)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["backup", "person", "owner"], "kit keys recovery", id="owner again"),
        pytest.param(["backup", "place", "My Disk", "x"], "one word", id="name of a place"),
        pytest.param(["backup", "verify", "--from", "moon"], "there are: here", id="no such place"),
        pytest.param(["backup", "drill", "--from", "nowhere"], "not there", id="not plugged in"),
        pytest.param(["backup", "restore", "--new"], "--from", id="new from where"),
        pytest.param(["backup", "certificate", "none.json"], "none.json", id="no certificate"),
    ],
)
def test_refusals(shop, arguments, says):
    """One line: what is wrong and what to do."""
    _, escrow = (paper(shop, done(shop, "backup", "person", "escrow"), "escrow"),) * 2
    told = kit(shop, *arguments, **escrow)

    assert told.returncode in (1, 2)
    assert says in told.stderr
    assert "Traceback" not in told.stderr
