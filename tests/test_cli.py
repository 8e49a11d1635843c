"""The command line: exit codes, one plain line on every error, JSON where a program reads on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_kit import run

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample_data"
KIT = [sys.executable, "-c", "from kit.cli import main; main()"]


def kit(*arguments, **environment):
    """Run a command as a user would, in a process of its own."""
    return subprocess.run(
        [*KIT, *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env={**os.environ, "PYTHONUTF8": "1", "COLUMNS": "100", "TERM": "dumb", **environment},
    )


def test_help_is_quick_because_it_loads_nothing_slow():
    """`kit --help` answers at once: no pandas, no Arrow, no Faker, no cryptography."""
    code = (
        "import sys, kit.cli\n"
        "try: kit.cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'pandas', 'pyarrow', 'faker', 'numpy', 'cryptography', 'jupyterlab'}\n"
        "sys.exit(str(slow & set(sys.modules)) if slow & set(sys.modules) else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert ran.returncode == 0, ran.stderr
    assert "generate" in ran.stdout


def test_every_command_explains_itself():
    """Each command has a sentence and, where it takes anything, an example."""
    from kit.cli import app

    for command in app.registered_commands:
        text = command.callback.__doc__
        assert text.splitlines()[0].endswith("."), command.callback.__name__
    assert "Example: kit scan" in kit("scan", "--help").stdout


def test_a_scan_with_card_data_exits_3_and_shows_no_number():
    """A script can act on it, and the terminal's history holds nothing."""
    ran = kit("scan", "sample_data/found")

    assert ran.returncode == 3
    assert ran.stdout.startswith("CARD DATA: act today")
    assert "42** **** **** 4242" in ran.stdout
    assert "4242 4242 4242 4242" not in ran.stdout + ran.stderr
    assert "customers_export.csv: Allergies" in ran.stdout


def test_a_clean_scan_exits_0(tmp_path):
    """Nothing to act on is not a failure."""
    (tmp_path / "colours.csv").write_text("colour,number\nred,1\n", encoding="utf-8")

    ran = run("scan", tmp_path, cwd=ROOT)

    assert ran.returncode == 0
    assert "0 findings of card data" in ran.stdout


def test_what_nobody_could_read_is_not_called_clean(tmp_path):
    """A script that goes by the exit code must not take an unreadable file for a clean one."""
    (tmp_path / "export.xlsx").write_bytes(bytes(range(100)))

    ran = run("scan", tmp_path / "export.xlsx", cwd=ROOT)

    assert ran.returncode == 1
    assert "NOT LOOKED INTO" in ran.stdout


def test_json_is_json_and_nothing_else():
    """Standard output can be piped into another program."""
    ran = run("scan", "sample_data/found", "--json", cwd=ROOT)
    told = json.loads(ran.stdout)

    assert ran.returncode == 3
    assert told["card_data"] is True
    assert told["not_in_inventory"][0]["columns"] == ["Allergies"]


def test_an_import_tells_what_it_did(tmp_path):
    """Recognised, counted, checked, and written only where the owner said."""
    ran = kit("import", "sample_data/tills/square_items.csv", "--out", tmp_path / "rows")

    assert ran.returncode == 0, ran.stderr
    assert "(square.items), layout verified" in ran.stdout
    assert "control totals agree" in ran.stdout
    assert "in the clear" in ran.stdout
    assert (tmp_path / "rows/square_items.csv").exists()


def test_generate_makes_a_till_export_that_import_reads(tmp_path):
    """The round trip of the README, in the terminal."""
    made = run("generate", tmp_path, "--customers", 5, "--as", "stripe", "--json", cwd=ROOT)
    files = json.loads(made.stdout)["files"]
    read = run("import", files[0], "--json", cwd=ROOT)

    assert (made.returncode, read.returncode) == (0, 0)
    assert json.loads(read.stdout)["rejects"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["import", "nope.csv"], 1, "nope.csv: no such file", id="no file"),
        pytest.param(["import", "README.md"], 1, "export it again", id="not an export"),
        pytest.param(
            ["import", "sample_data/tills/toast_items.csv"], 1, "--time-zone", id="no zone"
        ),
        pytest.param(
            ["import", "sample_data/tills/toast_items.csv", "--time-zone", "Mars"], 1,
            "America/New_York", id="unknown zone",
        ),
        pytest.param(["generate", "x", "--format", "pdf"], 2, "must be one of", id="format"),
        pytest.param(["generate", "x", "--as", "abacus"], 1, "no till called abacus", id="till"),
        pytest.param(
            ["generate", "x", "--as", "square", "--format", "xlsx"], 2, "a till writes CSV",
            id="till's format",
        ),
        pytest.param(
            ["generate", "x", "--lines", "9", "--dirty", "1"], 2, "tidy lines", id="dirty lines"
        ),
        pytest.param(["generate", "x", "--locale", "en_XX"], 1, "nearest", id="locale"),
        pytest.param(["generate", "x", "--customers", "0"], 2, "--customers", id="no customers"),
        pytest.param(["scan", "nowhere"], 2, "is not there", id="no path"),
        pytest.param(
            ["scan", "README.md", "--inventory", "no.toml"], 1, "kit init", id="inventory"
        ),
        pytest.param(["copy", "encript", "--into", "x"], 1, "no tool called", id="tool"),
        pytest.param(["reset", "99"], 1, "kit lab", id="reset before lab"),
        pytest.param(["import", "README.md", "--header", "x"], 2, "YOURS=THEIRS", id="mapping"),
        pytest.param(["fly"], 2, "fly", id="no such command"),
    ],
)  # fmt: skip
def test_refuses(arguments, code, says, tmp_path):
    """An expected error is a plain word and an exit code, never a traceback, and leaves nothing."""
    before = {path.name for path in ROOT.iterdir()}
    ran = run(*arguments, cwd=ROOT)

    assert ran.returncode == code, ran.stderr
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
    assert {path.name for path in ROOT.iterdir()} == before
    if code == 1:
        assert len(ran.stderr.strip().splitlines()) == 1


def test_an_unexpected_fault_shows_no_data(tmp_path):
    """A bug of ours must not print a customer: the place is named, the message is not."""
    code = (
        "import kit.cli, kit.copying\n"
        "def broken(): raise ValueError('Ana Example, 555-0100')\n"
        "kit.copying.tools = broken\n"
        "import sys; sys.argv = ['kit', 'copy']; kit.cli.main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "KIT_DEBUG"},
    )

    assert ran.returncode == 1
    assert "ValueError" in ran.stderr
    assert "555-0100" not in ran.stderr
    assert "KIT_DEBUG" in ran.stderr


def test_the_tour_runs_and_leaves_nothing(tmp_path):
    """The first thing a visitor types works, counts what it says, and cleans up."""
    ran = kit("tour", TMPDIR=str(tmp_path), TEMP=str(tmp_path), TMP=str(tmp_path))

    assert ran.returncode == 0, ran.stderr
    assert "CARD DATA: act today" in ran.stdout
    assert "customers.allergies: held" in ran.stdout
    assert "between customers: refused" in ran.stdout
    assert "every value opened again" in ran.stdout
    assert "NOT every" not in ran.stdout
    assert "not there in the clear" in ran.stdout
    assert "Deleted by accident, and brought back" in ran.stdout
    assert "none is missing or altered" in ran.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_tour_keeps_the_shop_where_told(tmp_path):
    """Who wants to look at the files says where."""
    ran = kit("tour", tmp_path / "my shop")

    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "my shop/shop/customers.csv").exists()


def test_copy_says_what_to_install(tmp_path):
    """The developer's whole path: list, copy, install."""
    listed = run("copy", cwd=ROOT).stdout
    ran = run("copy", "scan", "--into", tmp_path, cwd=ROOT)

    assert "inventory" in listed
    assert "pip install numpy pyarrow" in ran.stdout
    assert (tmp_path / "scan.py").exists()
    assert (tmp_path / "words").is_dir()
