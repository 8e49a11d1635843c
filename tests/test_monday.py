"""Each lesson ends with what to do on Monday. Its commands work, one lesson after another."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import nbformat
from run_kit import run

ROOT = Path(__file__).parent.parent
LESSONS = sorted(ROOT.glob("notebooks/*.ipynb"))
WORDS = "marble otter lantern quiet saddle plum"
DONE = (0, 3)  # 3: done, and found something to act on, such as rejects or card numbers


def commands(path):
    """Return the commands of a lesson's last section, as they are typed."""
    text = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells)
    monday = text.partition("## Monday in your shop")[2]
    return [
        line for block in re.findall(r"```\n(.*?)```", monday, re.S) for line in block.splitlines()
    ]


def test_monday_commands_work_one_lesson_after_another(tmp_path):
    """An owner who types what stands there gets a shop, its keys, a backup and a certificate."""
    shutil.copytree(ROOT / "sample_data/found", tmp_path / "YOUR_FOLDER")
    shutil.copy(ROOT / "sample_data/tills/square_customers.csv", tmp_path / "YOUR_EXPORT.csv")
    (tmp_path / "STICK").mkdir()
    stick, paper = str(tmp_path / "STICK"), tmp_path / "paper"
    said, made = {}, 0
    for line in (line for path in LESSONS for line in commands(path)):
        program, *words = shlex.split(line.replace("YOUR_NAME", "mara"))
        assert program == "kit"
        if words[0] == "init" and (tmp_path / "myshop").exists():
            made += 1  # "unless you have one from lesson 2"
            continue
        words = [stick if word == "STICK" else word for word in words]
        keys = {"KIT_PASSPHRASE": WORDS, "KIT_PAPER_KEY_FILE": str(paper)}
        done = run(*words, cwd=tmp_path, **keys)

        assert done.returncode in DONE, (line, done.stderr)
        said[" ".join(words[:2])] = done.stdout
        if words[:2] == ["keys", "recovery"]:
            paper.write_text("".join(re.findall(r"^  (AGE-.*|[A-Z0-9 ]+)$", done.stdout, re.M)))

    assert made == 1
    assert {"init myshop", "scan YOUR_FOLDER", "keys rehearse"} <= {*said}
    assert "30" in said["backup drill"]
    assert list((tmp_path / "myshop/records").glob("drill-*.html"))
