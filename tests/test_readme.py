"""The README is true: its commands exist, its transcript is what the command prints."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from kit.cli import app
from tests.test_cli import kit

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = {
    command.name or command.callback.__name__.strip("_") for command in app.registered_commands
} | {group.typer_instance.info.name for group in app.registered_groups}


def test_every_command_in_the_documents_exists():
    """Who types what is written gets what was promised."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("notebooks/**/*.md")]
    named = set()
    for page in pages:
        named |= set(re.findall(r"`kit ([a-z]+)", page.read_text(encoding="utf-8")))

    assert {"tour", "lab", "scan", "copy"} <= named
    assert named <= COMMANDS


def test_the_transcript_is_what_the_command_prints():
    """The picture of the command line in the README is a photograph, not a painting."""
    block = re.search(r"<!-- transcript.*?-->\n```\n\$ kit (.*?)\n(.*?)```", README, re.S)
    ran = kit(*block[1].split())

    assert ran.returncode == 3
    assert ran.stdout.strip() == block[2].strip()


def test_links_lead_somewhere():
    """Every file that the README points to is there."""
    targets = re.findall(r"\]\(([^)#:]+)\)", README)

    assert len(targets) > 5
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_readme_is_short():
    """A page is read; a book is not."""
    assert len(README.splitlines()) <= 120


def test_the_map_in_the_readme_names_every_tool():
    """A developer finds each file that can be copied out."""
    from kit import copying

    assert set(copying.tools()) <= set(re.findall(r"`(\w+)`", README))


def test_the_start_commands_are_those_of_start_py():
    """`python3 start.py WORD` works for each word in the documents."""
    text = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    words = set(re.findall(r"start\.py ([a-z]+)", text))
    code = (ROOT / "start.py").read_text(encoding="utf-8")

    assert {"test", "tour", "wheels", "bench"} <= words
    assert [word for word in words if not re.search(rf"\b{word}\b", code)] == []
    assert sys.version_info >= (3, 11)
