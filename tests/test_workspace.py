"""A learner's folder is never overwritten. These are the promises of `kit lab` and `kit reset`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kit.workspace import (
    CannotWrite,
    NoLessons,
    NotALab,
    UnknownLesson,
    WorkspaceError,
    is_lab,
    laid_version,
    lay_out,
    reset,
    touched,
)

FIRST = "notebooks/00_take_stock.ipynb"
SECOND = "notebooks/01_collect.ipynb"
NOW = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)


@pytest.fixture
def source(tmp_path):
    """Return a small repository with two lessons."""
    root = tmp_path / "repository"
    for name in (
        FIRST,
        SECOND,
        "notebooks/glossary.md",
        "notebooks/monday/inventory.md",
        "notebooks/trainer/notes_00.md",
        "notebooks/.ipynb_checkpoints/00_take_stock-checkpoint.ipynb",
        "sample_data/clean/customers.csv",
        "sample_data/.hidden/x.csv",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"first {name}\n")
    return root


@pytest.fixture
def lab(source, tmp_path):
    """Return a learner's folder, just laid out."""
    return lay_out(tmp_path / "my lessons ü", source=source, version="1.0").folder


def held(folder):
    """Return every file a learner sees, with its text."""
    return {
        p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8")
        for p in folder.rglob("*")
        if p.is_file() and ".kit" not in p.parts
    }


def test_lays_out_lessons_records_and_sample_data(lab):
    """A learner gets what is needed, and neither the trainer's notes nor old copies."""
    assert set(held(lab)) == {
        ".gitignore",
        FIRST,
        SECOND,
        "notebooks/glossary.md",
        "records/inventory.md",
        "sample_data/clean/customers.csv",
    }
    assert is_lab(lab)
    assert laid_version(lab) == "1.0"
    assert touched(lab) == ()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_takes_nothing_from_the_folder(lab):
    """Records with real names are ignored from the first minute."""
    subprocess.run(["git", "init", "-q", str(lab)], check=True)  # noqa: S607
    (lab / "records/customers.csv").write_text("real")

    for name in held(lab):
        subprocess.run(["git", "check-ignore", "-q", name], cwd=lab, check=True)  # noqa: S607


def test_going_on_changes_nothing(lab, source):
    """The second `kit lab` opens what is there."""
    before = held(lab)
    done = lay_out(lab, source=source, version="1.0")

    assert (done.added, done.updated, done.kept) == ((), (), ())
    assert held(lab) == before


def test_new_version_replaces_what_was_not_touched(lab, source):
    """An update brings new lessons, and lists the learner's own that it left alone."""
    (lab / SECOND).write_text("mine")
    for name in (FIRST, SECOND):
        (source / name).write_text("second")
    done = lay_out(lab, source=source, version="2.0")

    assert (done.added, done.updated, done.kept) == ((), (FIRST,), (SECOND,))
    assert held(lab)[FIRST] == "second"
    assert held(lab)[SECOND] == "mine"
    assert laid_version(lab) == "2.0"
    assert lay_out(lab, source=source, version="2.0").kept == (SECOND,)


def test_work_on_an_unchanged_lesson_is_not_reported(lab, source):
    """Only what has something newer is worth a line."""
    (lab / SECOND).write_text("mine")

    assert lay_out(lab, source=source, version="2.0").kept == ()
    assert held(lab)[SECOND] == "mine"
    assert touched(lab) == (SECOND,)


def test_a_deleted_lesson_comes_back(lab, source):
    """Deleting a lesson by accident is undone by opening the lab again."""
    (lab / FIRST).unlink()

    assert touched(lab) == (FIRST,)
    assert lay_out(lab, source=source, version="1.0").added == (FIRST,)


def test_an_interrupted_start_is_continued(lab, source):
    """A laptop that ran out of battery does not leave a folder that nobody may use."""
    (lab / SECOND).unlink()
    manifest = lab / ".kit/manifest.json"
    manifest.write_text(json.dumps({"kit": "1.0", "files": {}}))
    (lab / FIRST).write_text("mine, written before the manifest")
    done = lay_out(lab, source=source, version="1.0")

    assert done.added == (SECOND,)
    assert held(lab)[FIRST] == "mine, written before the manifest"


@pytest.mark.skipif(sys.platform == "win32", reason="the long name cannot be made there at all")
def test_a_start_that_fails_half_way_is_continued(source, tmp_path):
    """After a full disk, the same command goes on instead of calling the folder somebody else's."""
    stubborn = source / "sample_data" / ("x" * 255)  # one more letter is too long for the disk
    stubborn.write_text("")
    with pytest.raises(CannotWrite, match="free some space or choose another folder"):
        lay_out(tmp_path / "lab", source=source, version="1.0")
    stubborn.unlink()
    done = lay_out(tmp_path / "lab", source=source, version="1.0")

    assert FIRST in held(done.folder)
    assert touched(done.folder) == ()


def test_opening_and_running_a_lesson_is_not_work_to_keep(lab, source):
    """JupyterLab rewrites a notebook that is only looked at; updates must still reach it."""

    def book(typed, *, ran):
        """Return a notebook as JupyterLab saves it, before and after Run All."""
        outputs = [{"output_type": "stream", "name": "stdout", "text": ["4\n"]}] if ran else []
        cell = {"cell_type": "code", "source": typed, "outputs": outputs, "metadata": {}}
        about = {"language_info": {"version": "3.13.0"}} if ran else {}
        return json.dumps({"cells": [cell], "metadata": about})

    (source / FIRST).write_text(book("2 + 2", ran=False))
    lay_out(lab, source=source, version="1.1")
    (lab / FIRST).write_text(book(["2 + ", "2"], ran=True))
    assert touched(lab) == ()

    (source / FIRST).write_text(book("2 + 3", ran=False))
    assert lay_out(lab, source=source, version="2.0").updated == (FIRST,)

    (lab / FIRST).write_text(book("2 + 4", ran=True))
    assert touched(lab) == (FIRST,)
    (source / FIRST).write_text(book("2 + 5", ran=False))
    assert lay_out(lab, source=source, version="3.0").kept == (FIRST,)
    assert reset(lab, "0", now=NOW, source=source)[0].aside


def test_reset_puts_work_aside_and_lays_down_a_fresh_copy(lab, source):
    """Starting a lesson again keeps what was written."""
    (lab / FIRST).write_text("mine")
    (done,) = reset(lab, "0", now=NOW, source=source)

    assert done.path == FIRST
    assert done.aside == "my-work/00_take_stock-2026-03-02-0915.ipynb"
    assert held(lab)[done.aside] == "mine"
    assert held(lab)[FIRST] == f"first {FIRST}\n"


def test_reset_twice_in_a_minute_keeps_both(lab, source):
    """The second copy does not land on the first."""
    for text in ("mine", "mine too"):
        (lab / FIRST).write_text(text)
        (done,) = reset(lab, "00_take_stock", now=NOW, source=source)

    assert held(lab)["my-work/00_take_stock-2026-03-02-0915.ipynb"] == "mine"
    assert held(lab)[done.aside] == "mine too"


@pytest.mark.parametrize("lose", [True, False], ids=["deleted", "untouched"])
def test_reset_of_nothing_to_keep_puts_nothing_aside(lab, source, lose):
    """No heap of equal copies."""
    if lose:
        (lab / FIRST).unlink()
    (done,) = reset(lab, FIRST, now=NOW, source=source)

    assert done.aside is None
    assert held(lab)[FIRST] == f"first {FIRST}\n"
    assert not (lab / "my-work").exists()


def test_reset_brings_the_newest_lesson(lab, source):
    """After an update, a kept lesson is exchanged on request, and is untouched from then on."""
    (lab / FIRST).write_text("mine")
    (source / FIRST).write_text("second")
    lay_out(lab, source=source, version="2.0")
    reset(lab, "00", now=NOW, source=source)

    assert held(lab)[FIRST] == "second"
    assert touched(lab) == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("0", [FIRST], id="number"),
        pytest.param("01", [SECOND], id="two digits"),
        pytest.param("01_collect", [SECOND], id="name"),
        pytest.param("01_collect.ipynb", [SECOND], id="file name"),
        pytest.param("notebooks\\01_collect.ipynb", [SECOND], id="Windows path"),
        pytest.param("sample_data", ["sample_data/clean/customers.csv"], id="folder"),
        pytest.param("records/inventory.md", ["records/inventory.md"], id="record"),
    ],
)
def test_lessons_go_by_several_names(lab, source, name, expected):
    """What a learner types is what they see in the file list."""
    assert [done.path for done in reset(lab, name, now=NOW, source=source)] == expected


@pytest.mark.parametrize("name", ["9", "1_", "collect", "", ".", "..", "/", "../repository", "*"])
def test_refuses_names_that_stand_for_nothing(lab, source, name):
    """A typing error does not reset everything."""
    with pytest.raises(UnknownLesson, match="there are: 00_take_stock, 01_collect"):
        reset(lab, name, now=NOW, source=source)


def test_refuses_a_folder_with_other_files(source, tmp_path):
    """`kit lab Documents` does not strew lessons among letters."""
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/a.txt").write_text("dear")

    with pytest.raises(NotALab, match="holds other files"):
        lay_out(tmp_path / "letters", source=source, version="1.0")
    assert held(tmp_path / "letters") == {"a.txt": "dear"}


@pytest.mark.parametrize("place", ["", "notebooks", "sample_data", "notebooks/new"])
def test_refuses_the_repository_itself(source, place):
    """The pristine lessons are never edited."""
    with pytest.raises(NotALab, match="belongs to the kit itself"):
        lay_out(source / place, source=source, version="1.0")


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        pytest.param("", NotALab, id="empty"),
        pytest.param("[]", NotALab, id="a list"),
        pytest.param('{"kit": "1.0"}', NotALab, id="no files"),
        pytest.param('{"kit": "1.0", "files": []}', NotALab, id="files are a list"),
        pytest.param(None, NotALab, id="gone"),
    ],
)
def test_refuses(lab, source, damage, error):
    """A damaged manifest is said to be one; nothing is touched."""
    before = held(lab)
    manifest = lab / ".kit/manifest.json"
    if damage is None:
        manifest.unlink()
    else:
        manifest.write_text(damage)

    with pytest.raises(error) as caught:
        reset(lab, "0", now=NOW, source=source)
    assert isinstance(caught.value, WorkspaceError)
    assert str(lab) not in str(caught.value)
    with pytest.raises(error):
        lay_out(lab, source=source, version="1.0")
    assert held(lab) == before


def test_refuses_a_wheel_without_lessons(lab, tmp_path):
    """Installed without the repository, `kit lab` says where the lessons are."""
    with pytest.raises(NoLessons, match="come with the repository, not with the package"):
        lay_out(tmp_path / "new", source=tmp_path / "site-packages", version="1.0")
    assert not (tmp_path / "new").exists()


def test_refuses_a_file_in_place_of_the_folder(source, tmp_path):
    """A name that is taken is said to be taken."""
    (tmp_path / "taken").write_text("")

    with pytest.raises(NotALab, match="taken is a file"):
        lay_out(tmp_path / "taken", source=source, version="1.0")
    with pytest.raises(CannotWrite, match="cannot write"):
        lay_out(tmp_path / "taken" / "below", source=source, version="1.0")


def test_refuses_a_time_without_a_zone(lab, source):
    """Names of put-aside files mean the same everywhere."""
    with pytest.raises(TypeError, match="time zone"):
        reset(lab, "0", now=NOW.replace(tzinfo=None), source=source)


def test_the_real_lessons_are_found():
    """This repository is a source that `lay_out` accepts."""
    from kit.workspace import FIRST_LESSON, SOURCE

    assert (SOURCE / FIRST_LESSON).is_file()


def test_the_real_lessons_lie_where_the_tests_lay_them(tmp_path):
    """The whole of the repository's lessons and sample data arrives, byte for byte."""
    from kit.workspace import SOURCE

    done = lay_out(tmp_path / "lab")
    assert FIRST in done.added
    for name in done.added:
        monday = SOURCE / name.replace("records/", "notebooks/monday/")
        original = monday if monday.is_file() else SOURCE / name.replace("records/", "kit/")
        assert (done.folder / name).read_bytes() == original.read_bytes()
    shutil.rmtree(done.folder)
    assert Path(SOURCE / FIRST).is_file()
