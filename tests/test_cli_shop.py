"""`kit init`, `find`, `who`, `delete`, `erase`, `expire`, `audit`: what one types and reads."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

import pytest
from real_shop import WORDS, content, exports, filled, sums
from run_kit import run

from kit import cli_shop
from kit.shop import Shop
from kit.tamper import Unreadable
from kit.terminal import now

RED = "Backups are RED: "  # this shop has none; test_backup.py is about that


def kit(shop, *arguments, **environment):
    """Run a command in the shop's folder; return its exit code and what it says."""
    told = {"KIT_PASSPHRASE_FILE": str(shop / "passphrase")} | environment
    ran = run(*arguments, cwd=shop, **told)
    ran.stderr = "".join(x for x in ran.stderr.splitlines(True) if not x.startswith(RED))
    assert WORDS not in ran.stdout + ran.stderr
    return ran


def done(shop, *arguments, **environment):
    """Run a command that must succeed; return what it says."""
    ran = kit(shop, *arguments, **environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def shop(tmp_path):
    """Return the folder of a shop with customers and sales, and its passphrase in a file."""
    with filled(tmp_path / "shop") as made:
        pass
    return ready(made.folder)


def ready(folder):
    """Put the passphrase beside what is there."""
    (folder / "passphrase").write_text(WORDS + "\n", encoding="utf-8")
    (folder / "passphrase").chmod(0o600)
    return folder


def known(folder):
    """Return a customer with e-mail, telephone, an address and sales."""
    with Shop.open(folder, WORDS) as opened:
        found = content(opened)
    bought = {row["customer_id"] for row in found["sales"]}
    return next(
        row
        for row in found["customers"]
        if row["email"] and row["phone"] and row["customer_id"] in bought
    )


def books(folder):
    """Return number and sums of the sales."""
    with Shop.open(folder, WORDS) as opened:
        return sums(opened, "square")


def test_a_shop_is_made_and_filled(tmp_path):
    """From an empty folder to the first customer found; a second import changes nothing."""
    home = ready(tmp_path)
    told = done(home, "init", "shop", "--name", "Corner Flowers", "--time-zone", "America/New_York")
    assert "kit keys recovery --shop shop" in told
    path = exports("square")["customers"]
    first, again = (
        json.loads(kit(home, "import", path, "--shop", "shop", "--json").stdout) for _ in range(2)
    )

    assert first["added"]["customers"] > 10
    assert (again["added"], again["changed"]) == ({}, {})
    assert again["same"] == first["added"]
    assert again["imported_before"]
    assert all(check["ok"] for check in first["checks"])
    assert "Creation Source" in first["unmapped"]
    assert (first["never_loaded"], first["not_in_inventory"]) == ({}, [])
    ana = known_without_sales(home / "shop")
    found = done(home, "find", ana["email"].upper(), "--shop", "shop")
    assert found.splitlines()[0] == ana["customer_id"]
    refused = kit(home, "init", "shop")
    assert (refused.returncode, refused.stderr) == (
        1, "kit: shop is not empty; choose a new folder\n",
    )  # fmt: skip


def known_without_sales(folder):
    """Return a customer with an e-mail address."""
    with Shop.open(folder, WORDS) as opened:
        return next(row for row in content(opened)["customers"] if row["email"])


def test_who_looks_sees_what_their_role_may_and_is_remembered(shop):
    """The cashier gets half of the address; the customer is told who looked."""
    ana = known(shop)
    owner = done(shop, "find", ana["phone"])
    cashier = done(shop, "find", ana["phone"], "--for", "loyalty", KIT_ACTOR="sam")
    marketer = kit(shop, "find", ana["phone"], "--as", "mia")
    told = done(shop, "who", ana["customer_id"])

    assert ana["email"] in owner
    assert ana["email"] not in cashier
    assert f"{ana['email'][0]}•••@" in cashier
    assert (marketer.returncode, marketer.stdout) == (1, "")
    assert "ask the owner. It was noted" in marketer.stderr
    assert "sam (cashier): look, for loyalty" in told
    assert "owner (owner): look, for sale" in told
    assert ana["email"] not in told
    assert done(shop, "find", "nobody@example.com") == "Nobody was found.\n"


def test_a_deletion_is_taken_back(shop):
    """By the number that was told, or that the list shows; the books stay as they are."""
    ana, sold = known(shop), books(shop)
    told = done(shop, "delete", ana["email"])
    number = re.search(r"kit undelete (\S+)", told)[1]
    listed = done(shop, "undelete")
    between = kit(shop, "delete", ana["email"])
    back = done(shop, "undelete", number, "--as", "max")

    assert listed.startswith(f"{number}  customer {ana['customer_id']}, deleted ")
    assert (between.returncode, "nobody fits" in between.stderr) == (1, True)
    assert "Back: " in back
    assert known(shop) == ana
    assert books(shop) == sold
    assert done(shop, "undelete") == ""


def test_an_erasure_says_what_it_would_do_and_then_does_it(shop):
    """Without --yes nothing happens; after it an old export brings nobody back."""
    ana, sold = known(shop), books(shop)
    told = done(shop, "erase", ana["email"])
    assert "Nothing was changed" in told
    assert "kit request open --kind delete" in told
    assert known(shop) == ana
    curious = kit(shop, "erase", ana["email"], "--as", "sam")
    assert (curious.returncode, curious.stdout) == (1, "")
    refused = kit(shop, "erase", ana["email"], "--yes", "--as", "sam")
    erased = done(shop, "erase", ana["email"], "--yes")
    again = json.loads(kit(shop, "import", exports("square")["customers"], "--json").stdout)

    assert (refused.returncode, "It was noted" in refused.stderr) == (1, True)
    assert "nothing is left in the database's files" in erased
    assert "the shop must keep its sales records" in erased
    assert again["erased"] == 1
    assert books(shop) == sold
    assert kit(shop, "erase", ana["email"], "--yes").returncode == 1
    everything = b"".join(path.read_bytes() for path in shop.rglob("*") if path.is_file())
    assert ana["customer_id"].encode() + b'"' not in everything


def test_an_erasure_that_was_cut_short_is_finished_by_the_next_command(shop):
    """Whoever repeats it after a crash gets it done, not an error."""
    ana = known(shop)
    with Shop.open(shop, WORDS) as opened:
        opened.ledger.begin(ana["customer_id"], now=now())  # and then the power went

    told = done(shop, "erase", ana["email"], "--yes")
    assert told == "An erasure that something cut short: finished now.\nNobody else fits.\n"
    assert done(shop, "find", ana["email"]) == "Nobody was found.\n"


def test_what_is_over_is_shown_before_it_goes(shop):
    """The plan names rule and reason; a cashier may not carry it out."""
    with Shop.open(shop, WORDS) as opened:
        with opened.writing("owner", now()) as connection:
            connection.exec_driver_sql(
                "UPDATE sales SET sold_at = replace(sold_at, substr(sold_at, 1, 4), '2018') "
                "WHERE sale_id IN (SELECT sale_id FROM sales ORDER BY sale_id LIMIT 20)"
            )
    before = books(shop)
    told = done(shop, "expire")
    assert "remove        20  rows of sales  (" in told
    assert "Nothing was changed. To let it go: kit expire --yes" in told
    assert books(shop) == before
    refused = kit(shop, "expire", "--yes", "--as", "sam")
    gone = done(shop, "expire", "--yes")

    assert (refused.returncode, "It was noted" in refused.stderr) == (1, True)
    assert re.search(r"^Gone: [\d,]+ rows, [\d,]+ cells", gone, re.M)
    assert books(shop)[0] == before[0] - 20
    assert "rows of sales" not in done(shop, "expire")


def test_rows_move_to_a_new_key_and_the_old_one_is_retired(shop):
    """While any row needs it, that is refused; afterwards every value opens."""
    ana = known(shop)
    with Shop.open(shop, WORDS) as opened:
        old = opened.keyring.primary("field").id
        opened.keyring.rotate("field", now=now())
    refused = kit(shop, "keys", "retire", old)
    told = done(shop, "keys", "rotate", "--resume")

    assert (refused.returncode, f"key {old} is in use" in refused.stderr) == (1, True)
    assert re.search(r"^[\d,]+ values sealed or numbered anew", told, re.M)
    assert f"Key {old} is disabled" in done(shop, "keys", "retire", old)
    assert known(shop) == ana


def test_the_log_is_checked_and_a_cut_is_found(shop):
    """A checkpoint from a stick proves what was there; whoever cuts the log is found out."""
    assert "nothing is missing or altered" in done(shop, "audit", "verify")
    done(shop, "find", "Ana")
    assert "stick.json: the log had" in done(shop, "audit", "checkpoint", "stick.json")
    mark = (shop / "stick.json").read_text(encoding="utf-8").strip()
    (shop / "stick.json").write_bytes(f"\ufeff{mark}\r\n".encode())  # as Windows may save it
    assert "looks the same" not in done(shop, "audit", "verify", "--checkpoint", "stick.json")
    done(shop, "audit", "export", "log.jsonl", "--as", "max")
    lines = (shop / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(lines[-1])[k] for k in ("actor", "action")] == ["max", "export"]
    taken = kit(shop, "audit", "export", "log.jsonl")
    assert (taken.returncode, "exists" in taken.stderr) == (1, True)
    with closing(sqlite3.connect(shop / "shop.sqlite")) as thief:
        for table in ("kit_audit", "kit_checkpoints"):
            thief.execute(f"DROP TRIGGER {table}_no_delete")
            thief.execute(f"DELETE FROM {table} WHERE seq > 2")  # noqa: S608
        thief.commit()

    assert done(shop, "audit", "verify")  # its end could be anywhere
    found = kit(shop, "audit", "verify", "--checkpoint", "stick.json")
    assert found.returncode == 3
    assert re.match(r"entries 3 to \d+ were cut off the end", found.stdout)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_checkpoint_is_read_however_it_was_saved(tmp_path, encoding):
    """Out of a mail or an editor; a file without one proves nothing, and is not passed over."""
    path = tmp_path / "log.json"
    path.write_bytes("{1}\r\n\r\n{2}\r\n".encode(encoding))
    assert cli_shop._marks(path) == ["{1}", "{2}"]

    for empty in (b"", b" \n", bytes(range(128, 256))):
        path.write_bytes(empty)
        with pytest.raises(Unreadable, match="holds no checkpoint"):
            cli_shop._marks(path)


def test_a_night_of_browsing_is_something_to_ask_about(shop):
    """Four hundred looks at two in the morning: exit code 3, and a sentence with the name."""
    assert done(shop, "audit", "unusual") == "Nothing unusual in 30 days.\n"
    with Shop.open(shop, WORDS) as opened:
        night = now().astimezone(opened.settings.zone).replace(hour=2, minute=0)
        with opened.writing("sam", night) as connection:
            for n in range(400):
                opened.note(connection, "sam", "look", "sale", night, subject=f"cus_{n}")
    found = kit(shop, "audit", "unusual")
    as_json = kit(shop, "audit", "unusual", "--json")

    assert (found.returncode, as_json.returncode) == (3, 3)
    assert "sam" in found.stdout
    assert "400" in found.stdout
    assert json.loads(as_json.stdout)


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        pytest.param(["find"], 2, "Missing argument", id="nothing to look for"),
        pytest.param(["find", "Ana", "--for", "gossip"], 1, "purpose", id="no purpose"),
        pytest.param(["find", "Ana", "--as", "eve"], 1, "[staff]", id="nobody of the staff"),
        pytest.param(["find", "Ana", "--shop", "nowhere"], 1, "kit init", id="no shop"),
        pytest.param(["who", "nobody@example.com"], 1, "nobody fits", id="nobody"),
        pytest.param(["undelete", "5f3c"], 1, "not in the trash", id="never deleted"),
        pytest.param(["import", "passphrase"], 1, "passphrase", id="no export"),
        pytest.param(["keys", "rotate", "audit"], 1, "stays", id="a key that stays"),
        pytest.param(["keys", "retire", "7"], 1, "no key", id="no such key"),
        pytest.param(
            ["audit", "verify", "--checkpoint", "none"], 1, "No such file", id="no checkpoint"
        ),
    ],
)
def test_a_refusal_is_one_plain_line(shop, command, code, says):
    """What happened and what to do, without a traceback and without the passphrase."""
    ran = kit(shop, *command)

    assert (ran.returncode, ran.stdout) == (code, "")
    assert says in ran.stderr
    assert code == 2 or ran.stderr.startswith("kit: ")
    assert code == 2 or len(ran.stderr.splitlines()) == 1


def test_the_wrong_passphrase_opens_no_shop(shop):
    """And is not repeated."""
    (shop / "passphrase").write_text("quartz-bamboo-lantern", encoding="utf-8")
    ran = kit(shop, "find", "Ana")

    assert (ran.returncode, "wrong passphrase" in ran.stderr) == (1, True)
    assert "quartz" not in ran.stderr
