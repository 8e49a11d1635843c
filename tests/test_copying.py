"""The README promises that any tool can be lifted out and works alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kit import copying

ROOT = Path(__file__).parent.parent


ALONE = """
import importlib, pathlib, sys

for folder in sorted(pathlib.Path().iterdir()):
    before = {*sys.modules}
    sys.path.insert(0, str(folder.resolve()))
    try:
        importlib.import_module(folder.name)
    except Exception as problem:
        print(f"{folder.name}: {problem!r}")
    new = {*sys.modules} - before
    print(*(f"{folder.name} takes {name} along" for name in new if name.split(".")[0] == "kit"))
    del sys.path[0]
    for name in new:  # so that the next one finds no file of this one
        if str(folder.resolve()) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
"""


def test_every_copied_tool_runs_without_the_kit(tmp_path):
    """A developer copies one file and imports it, in a folder with nothing else of ours in it."""
    for name in copying.tools():
        written = copying.copy_out([name], tmp_path / name)
        assert written[0].name == f"{name}.py"
    ran = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=tmp_path, check=True, capture_output=True, text=True
    )

    assert ran.stdout.split() == []


def test_what_to_install_is_what_the_kit_itself_was_tested_with():
    """A name that is not in the lock may be anybody's package, and a developer would install it."""
    lock = (ROOT / "requirements-test.txt").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w-]+)==", lock, re.M))
    told = {package for tool in copying.tools().values() for package in tool.packages}

    assert len(told) > 15
    assert {package.replace(".", "-") for package in told} <= locked


def test_data_travels_with_the_tool(tmp_path):
    """The inventory to start from is read from beside the copied file."""
    copying.copy_out(["inventory"], tmp_path)

    code = "import inventory; print(len(inventory.Inventory.default().fields))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert int(ran.stdout) > 100


def test_nothing_is_overwritten_or_half_copied(tmp_path):
    """A developer's own changes to a copied file survive a second copy."""
    mine = tmp_path / "inventory.toml"
    mine.write_text("mine", encoding="utf-8")

    with pytest.raises(copying.WouldOverwrite, match="is there already"):
        copying.copy_out(["inventory"], tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["inventory.toml"]
    assert mine.read_text(encoding="utf-8") == "mine"


def test_a_misspelt_name_gets_the_nearest_one(tmp_path):
    """A typing error costs a second, not a search."""
    with pytest.raises(copying.NoSuchTool, match="did you mean inventory"):
        copying.copy_out(["inventry"], tmp_path / "new")

    assert not (tmp_path / "new").exists()


def test_faces_are_not_tools():
    """What sits on top of the tools cannot run without them, so it is not offered."""
    assert not {"cli", "shop", "lesson", "copying"} & set(copying.tools())
