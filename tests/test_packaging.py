"""What a stranger's computer fetches and runs is what was read and tested here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent


def read_lock(name):
    """Return requirement → its hashes, from one of our own locks."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return {
        line.partition(" --hash=")[0].strip(): re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
        for line in lines
    }


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt"])
def test_every_package_is_pinned_with_its_hashes_and_no_address(name):
    """What a shop installs is byte for byte what was tested, wherever it comes from."""
    text = (ROOT / name).read_text(encoding="utf-8")

    assert "://" not in text
    assert not re.search(r"^\s*-(?!-hash=)", text, re.M), "no option but hashes"
    for requirement, hashes in read_lock(name).items():
        assert re.match(r"[a-z0-9][a-z0-9.-]*(\[[a-z,]+\])?==\S+( ; .+)?$", requirement)
        assert hashes, requirement


def test_the_locks_hold_what_pyproject_names():
    """A package that was added but not locked would be missing at every first run."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = settings["optional-dependencies"]

    def bare(requirements):
        """Return the names alone, in one spelling."""
        found = {re.sub("[._]", "-", re.match(r"[\w.-]+", t)[0].lower()) for t in requirements}
        return found - {"customer-data-kit"}

    run, test = read_lock("requirements.txt"), read_lock("requirements-test.txt")
    assert bare(settings["dependencies"] + extras["lab"]) <= bare(run)
    assert bare(extras["test"]) <= bare(test)
    pinned = [{r.partition(" ; ")[0]: h for r, h in lock.items()} for lock in (run, test)]
    assert pinned[0].items() <= pinned[1].items(), "start.py test adds to what is there"
    assert "flit-core" in bare(run), "start.py builds the kit with it"


def test_the_workflow_runs_only_code_that_was_read():
    """An action is named by the hash of one commit: its owner cannot change it afterwards."""
    text = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)(.*)", text)

    assert used
    for action, comment in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)


def test_the_workflow_may_only_read_and_covers_three_systems():
    """A shop's computer is any of the three, with an old Python or a new one, next month too."""
    text = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    rows = workflow["jobs"]["test"]["strategy"]["matrix"]["include"]

    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    systems = ("ubuntu-latest", "macos-latest", "windows-latest")
    pairs = {(row["system"], row["python"]) for row in rows}
    assert pairs == {(system, python) for system in systems for python in ("3.11", "3.14")}
    strict = [(row["system"], row["python"]) for row in rows if not row["tier"]]
    assert strict == [("ubuntu-latest", "3.11")]
    assert "schedule" in workflow[True]  # YAML reads the key `on` as a yes


@pytest.mark.skipif(sys.platform != "linux", reason="CI is a Linux script")
@pytest.mark.parametrize(("fails", "code"), [("", 0), ("test", 1), ("test --slow", 1)])
def test_ci_runs_both_parts_and_fails_with_either(tmp_path, fails, code):
    """A change is not accepted because the second half passed."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    stubs = {
        "python3": f'echo "ran $*"; [ "$*" != "start.py {fails}" ]',
        "id": "echo 1000",  # not root: nothing is installed from a test
        "dirname": "echo .ci",
    }
    for name, line in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    bash = shutil.which("bash")
    env = {"PATH": str(tmp_path)}

    result = subprocess.run(
        [bash, ".ci/run"], cwd=tmp_path, env=env, capture_output=True, text=True
    )

    assert "tests that need them are skipped" in result.stdout
    ran = [line for line in result.stdout.splitlines() if line.startswith("ran ")]
    assert ran == ["ran start.py test", "ran start.py test --slow"]
    assert result.returncode == code
