"""`kit doctor` finds what stops a workshop, in words, before it stops it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kit import doctor
from kit.doctor import FAIL, NOTE, OK, Check

NOW = datetime(2026, 12, 1, 10, 0, tzinfo=UTC)


@pytest.fixture
def lab(tmp_path):
    """Return a learner's folder with one file of sample data."""
    folder = tmp_path / "lab"
    (folder / ".kit").mkdir(parents=True)
    (folder / "sample_data").mkdir()
    (folder / "sample_data/customers.csv").write_text("a")
    (folder / ".gitignore").write_text("*\n")
    digest = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # of "a"
    (folder / ".kit/manifest.json").write_text(
        json.dumps({"kit": doctor._kit_version(), "files": {"sample_data/customers.csv": digest}})
    )
    return folder


def test_a_good_machine_is_ready(lab, tmp_path):
    """Nothing fails where nothing is wrong."""
    lock = tmp_path / "lock.txt"
    lock.write_text("")
    found = doctor.check(lab, now=NOW, lock=lock)

    assert [one.text for one in found if one.level == FAIL] == []
    assert doctor.ready(found)


def test_every_failure_names_one_thing_to_do(tmp_path):
    """A learner alone at home is not left with a diagnosis only."""
    lines = doctor.report([Check(OK, "fine"), Check(FAIL, "broken", "mend it"), Check(NOTE, "so")])

    assert lines == "[ OK ] fine\n[FAIL] broken\n       mend it\n[NOTE] so"
    assert not doctor.ready([Check(FAIL, "broken", "mend it")])
    assert doctor.ready([Check(NOTE, "so")])


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        pytest.param(doctor.python((3, 10)), FAIL, "Python 3.10", id="old Python"),
        pytest.param(doctor.python((3, 13), 32), FAIL, "32 bits", id="32 bits"),
        pytest.param(doctor.python((3, 13), 64), OK, "Python 3.13", id="good Python"),
        pytest.param(doctor.space(Path(), 50_000_000), FAIL, "0.1 GB", id="full disk"),
        pytest.param(doctor.space(Path(), 500_000_000), NOTE, "0.5 GB", id="nearly full disk"),
        pytest.param(doctor.space(Path(), 5_000_000_000), OK, "5.0 GB", id="room on the disk"),
        pytest.param(doctor.utf8("cp1252"), NOTE, "cp1252", id="Windows code page"),
        pytest.param(doctor.utf8("UTF-8"), OK, "UTF-8", id="UTF-8"),
        pytest.param(doctor.time_zones("Nowhere/At_All"), FAIL, "no time-zone", id="no zones"),
        pytest.param(doctor.time_zones(), OK, "time-zone data", id="zones"),
        pytest.param(doctor.clock(NOW.replace(year=1980)), FAIL, "1980", id="flat battery"),
        pytest.param(doctor.clock(NOW.replace(year=2099)), FAIL, "2099", id="clock ahead"),
        pytest.param(doctor.clock(NOW), OK, "2026-12-01 10:00", id="good clock"),
        pytest.param(doctor.port(), OK, "browser", id="port"),
        pytest.param(doctor.kernel(), OK, "Python of the kit", id="kernel"),
    ],
)
def test_says(found, level, words):
    """Each fault has its own line; a failure always has its remedy."""
    assert found.level == level
    assert words in found.text
    assert bool(found.remedy) == (level != OK)


def test_lessons_and_tools_of_one_version(lab):
    """Old lessons call tools that may have changed."""
    manifest = lab / ".kit/manifest.json"
    assert doctor.lessons(lab).level == OK

    manifest.write_text(manifest.read_text().replace(doctor._kit_version(), "0.0.1"))
    assert doctor.lessons(lab).level == FAIL
    assert "0.0.1" in doctor.lessons(lab).text

    manifest.unlink()
    assert doctor.lessons(lab).level == NOTE


def test_changed_sample_data_are_named(lab):
    """A learner whose numbers differ from the lesson's finds out why."""
    assert doctor.sample_data(lab).level == OK

    (lab / "sample_data/customers.csv").write_text("b")
    assert doctor.sample_data(lab).level == FAIL
    assert "customers.csv" in doctor.sample_data(lab).text
    assert "kit reset sample_data" in doctor.sample_data(lab).remedy


@pytest.mark.parametrize(
    ("lock", "level", "words"),
    [
        pytest.param("pytest==0.0.1 \\\n    --hash=sha256:00\n", NOTE, "pytest", id="other"),
        pytest.param("no-such-thing==1.0\n", FAIL, "no-such-thing", id="missing"),
        pytest.param("no-such==1 ; sys_platform == 'x'\n", OK, "1 packages", id="other system"),
        pytest.param("# nothing\n", OK, "0 packages", id="empty"),
    ],
)
def test_packages_are_compared_with_the_lock(tmp_path, lock, level, words):
    """Other versions show other outputs; missing ones stop a lesson."""
    (tmp_path / "lock.txt").write_text(lock)

    assert doctor.packages(tmp_path / "lock.txt").level == level
    assert words in doctor.packages(tmp_path / "lock.txt").text


def test_a_wheel_without_a_lock_is_no_failure(tmp_path):
    """Installed from a wheel, there is nothing to compare with."""
    assert doctor.packages(tmp_path / "none.txt").level == NOTE


@pytest.mark.parametrize(
    "place",
    ["OneDrive - Shop/lab", "Dropbox/lab", "Google Drive/x/lab", "iCloud Drive (Archive)/lab"],
)
def test_a_synchronised_folder_fails(tmp_path, place):
    """Real names must not leave the computer by themselves."""
    found = doctor.private(tmp_path / place, {})

    assert found.level == FAIL
    assert "synchronised" in found.remedy


def test_a_synchronised_folder_is_known_by_its_variable(tmp_path):
    """Windows says where OneDrive is, whatever the folder is called."""
    assert doctor.private(tmp_path / "a", {"OneDrive": str(tmp_path)}).level == FAIL
    assert doctor.private(tmp_path / "a", {"OneDrive": str(tmp_path / "b")}).level == OK


def test_a_git_tree_that_would_take_it_along_fails(tmp_path):
    """A folder inside a repository needs its own .gitignore."""
    lab = tmp_path / "lab"
    (tmp_path / ".git").mkdir()
    lab.mkdir()
    assert doctor.private(lab, {}).level == FAIL

    (lab / ".gitignore").write_text("# nothing leaves\n*\n")
    assert doctor.private(lab, {}).level == OK


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that even root cannot fill")
def test_a_folder_that_cannot_be_written_fails():
    """A lesson that cannot save is found before the lesson."""
    found = doctor.writable(Path("/proc/lab"))

    assert found.level == FAIL
    assert found.remedy.endswith("kit lab DIR")


def test_writable_looks_at_the_folder_that_will_hold_it(tmp_path):
    """The folder need not exist yet, and the look leaves nothing behind."""
    assert doctor.writable(tmp_path / "a" / "b").level == OK
    assert list(tmp_path.iterdir()) == []


def test_the_home_folder_is_not_shown(tmp_path):
    """The report can be mailed: a user's name in a path stays at home."""
    code = (
        "from datetime import datetime, UTC; from pathlib import Path; from kit import doctor;"
        "now = datetime(2026, 12, 1, tzinfo=UTC);"
        "print(doctor.report(doctor.check(Path.home() / 'lab', now=now)))"
    )
    home = tmp_path / "jane.doe"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "USERPROFILE": str(home)}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout

    assert "jane" not in shown
    assert "~" in shown


def test_refuses_a_time_without_a_zone(lab):
    """The clock is compared in one zone."""
    with pytest.raises(TypeError, match="time zone"):
        doctor.check(lab, now=NOW.replace(tzinfo=None))
