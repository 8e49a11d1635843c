"""`kit keys`, `kit seal` and `kit unseal`, run as a user runs them; no secret is ever shown."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from datetime import UTC, datetime

import keyring
import keyring.errors
import pytest
import real_shop
from keyrings.alt.file import PlaintextKeyring
from run_kit import run
from test_cli import KIT, ROOT
from test_cli import kit as alone

from kit import agefile, audit, vault
from kit.passphrase import store
from kit.shop import Shop

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
WORDS = "ocean-teapot-violin-candle-marble-tunnel"
OTHER = "quartz-bamboo-lantern-pepper-saddle-ribbon"


@pytest.fixture
def shop(tmp_path):
    """Return a folder with a passphrase file and a customer list."""
    (tmp_path / "passphrase").write_text(WORDS + "\n", encoding="utf-8")
    (tmp_path / "passphrase").chmod(0o600)
    (tmp_path / "customers.csv").write_bytes(
        (ROOT / "sample_data/clean/customers.csv").read_bytes()
    )
    return tmp_path


def kit(shop, *arguments, **environment):
    """Run a command in the shop's folder; nobody sits in front."""
    told = {"KIT_PASSPHRASE_FILE": str(shop / "passphrase")} | environment
    ran = run(*arguments, cwd=shop, **told)
    assert WORDS not in ran.stdout + ran.stderr
    return ran


def done(shop, *arguments, **environment):
    """Run a command that must succeed; return what it says."""
    ran = kit(shop, *arguments, **environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def paper_key(told):
    """Return the paper key from the terminal, as a person copies it."""
    return "".join(re.findall(r"^  [A-Z0-9 -]+$", told, re.M)).replace(" ", "")


def test_the_life_of_a_key(shop):
    """Create, copy, rehearse, seal, rotate, lose the passphrase, recover, open, retire."""
    assert "Made 6 keys" in done(shop, "keys", "create")
    (shop / "paper").write_text(paper_key(done(shop, "keys", "recovery")), encoding="utf-8")
    paper = {"KIT_PAPER_KEY_FILE": str(shop / "paper")}
    assert "all 6 keys are in it" in done(shop, "keys", "rehearse", **paper)
    assert "sealed email, phone" in done(shop, "seal", "customers.csv", "--columns", "email,phone")

    old = json.loads(done(shop, "keys", "status", "--json"))["keys"][0]["id"]
    assert f"key {old} still opens" in done(shop, "keys", "rotate")
    assert "all 7 keys" in done(shop, "keys", "rehearse", **paper)

    (shop / "keyring.json").rename(shop / "lost.json")
    (shop / "passphrase").write_text(OTHER, encoding="utf-8")
    assert "7 keys are back" in done(shop, "keys", "recover", "keyring-recovery.age", **paper)
    assert "opened email, phone" in done(shop, "unseal", "customers.sealed.csv")
    assert rows(shop / "customers.opened.csv") == rows(shop / "customers.csv")

    kept = kit(shop, "keys", "retire", old)
    assert (kept.returncode, "in use" in kept.stderr) == (1, True)
    assert "is disabled" in done(shop, "keys", "retire", old, "--nothing-uses-it")
    shut = kit(shop, "unseal", "customers.sealed.csv", "--overwrite")
    assert (shut.returncode, "disabled" in shut.stderr) == (1, True)
    done(shop, "keys", "enable", old)
    done(shop, "unseal", "customers.sealed.csv", "--overwrite")


def rows(path):
    """Return the rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_passphrase_changes(shop):
    """The old one opens the old copy only."""
    done(shop, "keys", "create")
    (shop / "new").write_text(OTHER, encoding="utf-8")
    (shop / "new").chmod(0o600)

    done(shop, "keys", "passphrase", KIT_NEW_PASSPHRASE_FILE=str(shop / "new"))

    ran = kit(shop, "keys", "status")
    assert (ran.returncode, "wrong passphrase" in ran.stderr) == (1, True)
    assert "Recovery copy: none" in done(
        shop, "keys", "status", KIT_PASSPHRASE_FILE=str(shop / "new")
    )


def test_retiring_without_a_database_says_who_has_to_know(shop):
    """Nobody else can look whether a file still needs the key."""
    keyring = vault.create(shop, WORDS, now=NOW)
    old = keyring.primary("field").id
    keyring.rotate("field", now=NOW)

    told = run("keys", "retire", old, cwd=shop, KIT_PASSPHRASE=WORDS)

    assert (told.returncode, "--nothing-uses-it" in told.stderr) == (1, True)


def test_rotation_without_a_copy_warns(shop):
    """A key that is in no recovery copy dies with the PC."""
    done(shop, "keys", "create")

    ran = kit(shop, "keys", "rotate", "index")

    assert (ran.returncode, "kit keys recovery" in ran.stderr) == (0, True)


def test_whole_files_go_to_people_or_under_a_passphrase(shop):
    """An age file that its recipient opens, and one that the passphrase opens."""
    identity, recipient = agefile.new_identity()
    (shop / "identity").write_text(identity, encoding="utf-8")
    data = (shop / "customers.csv").read_bytes()

    done(shop, "seal", "customers.csv", "--to", recipient)
    (shop / "customers.csv").unlink()
    done(shop, "unseal", "customers.csv.age", "--identity", "identity")
    assert (shop / "customers.csv").read_bytes() == data

    done(shop, "seal", "customers.csv", "--out", "x.age")
    done(shop, "unseal", "x.age")
    assert (shop / "x").read_bytes() == data


def test_no_keys_are_made_where_no_folder_is(shop):
    """A mistyped name is said, with what makes a folder."""
    ran = kit(shop, "keys", "create", "--shop", "nowhere")

    assert ran.returncode == 1
    assert "nowhere: no such folder; make it, or a whole shop's: kit init nowhere" in ran.stderr


def test_keys_go_to_tink_only_when_told_how(shop):
    """Sealed for somebody, or in the clear with a warning, but never by default."""
    done(shop, "keys", "create")
    recipient = agefile.new_identity()[1]

    assert kit(shop, "keys", "export", "field", "--out", "a.json").returncode == 2
    assert not (shop / "a.json").exists()
    done(shop, "keys", "export", "field", "--out", "a.age", "--to", recipient)
    ran = kit(shop, "keys", "export", "field", "--out", "b.json", "--in-the-clear")
    assert "Delete it" in ran.stderr
    assert json.loads((shop / "b.json").read_text(encoding="utf-8"))["primaryKeyId"]


def test_a_shops_log_says_that_its_keys_went_out(tmp_path):
    """Whoever has them opens every value: that is seen, and what was refused is not logged."""
    words = {"KIT_PASSPHRASE": WORDS}
    real_shop.make(tmp_path / "s").close()
    out = ("--out", "k.json", "--in-the-clear")

    assert run("keys", "export", "nonsense", *out, cwd=tmp_path / "s", **words).returncode == 2
    assert run("keys", "export", "ledger", *out, cwd=tmp_path / "s", **words).returncode == 1
    assert run("keys", "export", "field", *out, cwd=tmp_path / "s", **words).returncode == 0
    assert run("keys", "export", "field", *out, cwd=tmp_path / "s", **words).returncode == 1

    with Shop.open(tmp_path / "s", WORDS) as shop, shop.reading() as connection:
        assert [e["action"] for e in audit.entries(connection)].count("export") == 1


@pytest.mark.parametrize("written", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_key_opens_however_its_file_was_saved(shop, written):
    """PowerShell and Notepad save texts in their own ways; what is no text is said in words."""
    identity, recipient = agefile.new_identity()
    agefile.seal_file(shop / "customers.csv", shop / "c.age", recipients=[recipient])
    text = "é" if written == "latin-1" else f"# created: today\r\n{identity}\r\n"
    (shop / "id.txt").write_bytes(text.encode(written))

    told = run("unseal", "c.age", "--identity", "id.txt", cwd=shop)

    if written == "latin-1":
        assert (told.returncode, "id.txt is no text" in told.stderr) == (2, True)
    else:
        assert (shop / "c").read_bytes() == (shop / "customers.csv").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["keys", "status"], 1, "kit keys create", id="no keyring"),
        pytest.param(["seal", "customers.csv", "--columns", "email"], 1, "kit keys create",
                     id="seal without a keyring"),
        pytest.param(["seal", "customers.csv", "--to", "age1x"], 1, "character", id="recipient"),
        pytest.param(["seal", "nope.csv"], 2, "does not exist", id="no file, before a passphrase"),
        pytest.param(["seal", "customers.csv", "--columns", "email", "--to", "age1x"], 2, "whole",
                     id="columns to a recipient"),
        pytest.param(["unseal", "customers.csv"], 1, "kit keys create", id="unseal, no keyring"),
        pytest.param(["keys", "recover", "passphrase"], 2, "KIT_PAPER_KEY_FILE", id="no paper key"),
        pytest.param(["keys", "recover", "nope.age"], 2, "does not exist", id="no copy"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_plain_line(shop, arguments, code, says):
    """It says what to do next."""
    ran = kit(shop, *arguments)

    assert ran.returncode == code, ran.stderr
    assert says in ran.stderr
    if code == 1:
        assert len(ran.stderr.splitlines()) == 1


def test_a_keyring_is_not_made_over_another(shop):
    """Neither anew nor from a copy."""
    done(shop, "keys", "create")
    before = (shop / "keyring.json").read_bytes()

    assert kit(shop, "keys", "create").returncode == 2
    assert kit(shop, "keys", "recover", "keyring-recovery.age").returncode == 2
    assert (shop / "keyring.json").read_bytes() == before


def test_without_a_passphrase_and_without_a_person_it_says_so(shop):
    """A job at night does not wait for somebody to type."""
    done(shop, "keys", "create")

    ran = kit(shop, "keys", "status", KIT_PASSPHRASE_FILE="")

    assert ran.returncode == 1
    assert "KIT_PASSPHRASE_FILE is empty" in ran.stderr


def terminal(shop, *arguments, lines):
    """Run a command in a real terminal, answer each prompt, and return what stood on the screen."""
    import pty

    environment = {k: v for k, v in os.environ.items() if not k.startswith("KIT_PASS")}
    process, screen = pty.fork()
    if process == 0:
        os.chdir(shop)
        os.execve(  # noqa: S606 (no shell)
            sys.executable,
            [*KIT, *arguments],
            {**environment, "PYTHONPATH": str(ROOT), "TERM": "dumb"},
        )
    seen, answers = b"", list(lines)
    try:
        while chunk := os.read(screen, 4096):
            seen += chunk
            if answers and re.search(rb"(passphrase|again|paper): $", seen, re.I):
                os.write(screen, answers.pop(0).encode() + b"\n")
                seen += b"\n"
    except OSError:  # the terminal closes with the program
        pass
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), seen.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_in_a_terminal_it_suggests_and_asks_twice(tmp_path):
    """What is typed is not shown; two that differ are refused."""
    code, screen = terminal(tmp_path, "keys", "create", lines=[WORDS, WORDS])
    assert code == 0, screen
    assert len(re.search(r"^  (\S+)\r$", screen, re.M)[1].split("-")) == 6
    assert WORDS not in screen
    assert vault.open_keyring(tmp_path, WORDS).generation == 1

    code, screen = terminal(tmp_path, "keys", "recovery", lines=[WORDS])
    assert code == 0, screen
    paper = paper_key(screen.replace("\r", ""))
    code, screen = terminal(tmp_path, "keys", "rehearse", lines=[WORDS, paper])
    assert code == 0, screen
    assert paper not in screen

    code, screen = terminal(tmp_path, "keys", "passphrase", lines=[WORDS, OTHER, WORDS])
    assert (code, "not alike" in screen) == (2, True)
    other = tmp_path / "b"
    other.mkdir()
    code, screen = terminal(other, "keys", "create", lines=[WORDS, OTHER])
    assert (code, "not alike" in screen) == (2, True)
    assert not (other / "keyring.json").exists()


def test_the_keychain_remembers(shop):
    """A real keychain, here one in a file, opens the keyring without a prompt."""
    chain = {
        "PYTHON_KEYRING_BACKEND": "keyrings.alt.file.PlaintextKeyring",
        "XDG_DATA_HOME": str(shop / "data"),
        "HOME": str(shop),
    }
    done(shop, "keys", "create")

    words = {"KIT_PASSPHRASE_FILE": str(shop / "passphrase")}
    # In a process of its own: this one may know the keychain of whoever runs the tests.
    ran = alone("keys", "remember", "--shop", shop, **words, **chain)

    assert ran.returncode == 1
    assert "keychain" in ran.stderr  # one that keeps secrets unlocked is refused


class Locking(PlaintextKeyring):
    """A keychain in a file that says of itself that it locks its entries."""

    priority = 5


class Full(Locking):
    """One that takes nothing more."""

    def set_password(self, service, username, password):
        """Refuse."""
        raise keyring.errors.PasswordSetError


@pytest.fixture
def keychain(tmp_path, monkeypatch):
    """Make a keychain in a file the system's own; return what makes it one of another kind."""
    for name in ("KIT_PASSPHRASE", "KIT_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    before = keyring.get_keyring()

    def use(kind):
        chain = kind()
        chain.file_path = str(tmp_path / "keychain.cfg")
        keyring.set_keyring(chain)

    use(Locking)
    yield use
    keyring.set_keyring(before)


def test_the_keychain_learns_the_new_passphrase(shop, keychain):
    """It is asked before people are: with the old one in it, nobody could open anything."""
    (shop / "new").write_text(OTHER, encoding="utf-8")
    (shop / "new").chmod(0o600)
    now, then = {"KIT_NEW_PASSPHRASE_FILE": str(shop / "new")}, {"KIT_PASSPHRASE": WORDS}
    vault.create(shop, WORDS, now=NOW)
    assert run("keys", "remember", cwd=shop, **then).returncode == 0

    assert run("keys", "passphrase", cwd=shop, **now).returncode == 0
    assert run("keys", "status", cwd=shop).returncode == 0

    (shop / "new").write_text(WORDS, encoding="utf-8")
    keychain(Full)
    told = run("keys", "passphrase", cwd=shop, **now)
    assert (told.returncode, "kit keys remember" in told.stderr) == (0, True)
    keychain(Locking)
    assert "wrong passphrase" in run("keys", "status", cwd=shop).stderr
    assert run("keys", "remember", cwd=shop, **then).returncode == 0
    assert run("keys", "status", cwd=shop).returncode == 0


def test_what_was_sealed_is_known_by_what_it_holds(shop, keychain):
    """Not by its name; and the keychain's passphrase is the keyring's, not that of every file."""
    store(OTHER, f"customer-data-kit {shop.resolve()}")
    data, words = (shop / "customers.csv").read_bytes(), {"KIT_PASSPHRASE": WORDS}

    assert run("seal", "customers.csv", "--out", "safe.bin", cwd=shop, **words).returncode == 0
    asked = run("unseal", "safe.bin", cwd=shop)
    assert (asked.returncode, "no passphrase" in asked.stderr) == (1, True)
    assert run("unseal", "safe.bin", cwd=shop, **words).returncode == 0

    assert (shop / "safe.bin.opened").read_bytes() == data
    (shop / "customers.csv").rename(shop / "list.age")
    assert "never sealed" in run("unseal", "list.age", cwd=shop, **words).stderr


def test_a_sealed_table_says_under_which_name_it_opens(shop):
    """A mail program renames files; the table's name is part of what the cells are bound to."""
    words = {"KIT_PASSPHRASE": WORDS}
    vault.create(shop, WORDS, now=NOW)
    told = run(
        "seal", "customers.csv", "--columns", "email", "--out", "a (1).csv", cwd=shop, **words
    )
    name = re.search(r"--table (\S+)", told.stdout)[1]

    refused = run("unseal", "a (1).csv", cwd=shop, **words)
    assert (refused.returncode, "--table" in refused.stderr) == (1, True)
    assert run("unseal", "a (1).csv", "--table", name, cwd=shop, **words).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["seal", "customers.csv"], "six random words"),
        (["seal", "."], "is a folder"),
        (["seal", "customers.csv", "--columns", ""], "no column was named"),
    ],
)
def test_nothing_is_called_sealed_that_is_not_safe(shop, arguments, says):
    """A passphrase that is guessed first, a folder, no column at all: nothing is written."""
    vault.create(shop, WORDS, now=NOW)
    before = sorted(shop.iterdir())
    said = "password123456" if says.startswith("six") else WORDS

    told = run(*arguments, cwd=shop, KIT_PASSPHRASE=said)

    assert (told.returncode, says in told.stderr) == (1, True), told.stderr
    assert sorted(shop.iterdir()) == before
