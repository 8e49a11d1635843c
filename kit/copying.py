# SPDX-License-Identifier: MIT-0
"""Lift a tool out of the kit into your own program, with its data and nothing else.

The answer to "may I use just this one file?" is yes: MIT-0 asks for no notice, a tool imports no
other tool, and this module copies the file, its data, and says what to install.
"""

from __future__ import annotations

import ast
import difflib
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

KIT = Path(__file__).parent
PACKAGE_NAMES = {  # where the two names differ
    "backports": "backports.zstd",
    "email_validator": "email-validator",
    "jupyter_client": "jupyter-client",
}


class CopyingError(Exception):
    """Base of the errors below."""


class NoSuchTool(CopyingError):
    """The name is not that of a tool that can be copied out."""


class WouldOverwrite(CopyingError):
    """A file of that name is there already."""


@dataclass(frozen=True)
class Tool:
    """One tool: its file, its data and what it needs."""

    path: Path
    data: Path | None
    packages: tuple[str, ...]  # as they are called for pip
    gain: str  # first sentence of its docstring


@cache  # reading all of them takes a third of a second
def tools() -> Mapping[str, Tool]:
    """Return the tools that can be copied out, by name: the header says so, and none needs kit."""
    found = {}
    for path in sorted(KIT.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(r"^\s*(from|import) kit\b", text, re.M):
            continue
        docstring = ast.get_docstring(ast.parse(text)) or ""
        needs = re.search(r"^Needs: Python 3\.11(.*?)\.(?:\s|$)", docstring, re.M)
        data = re.search(r"^Data: (.*?)\.$", docstring, re.M)
        if needs and data:
            packages = [name for name in needs[1].split(", ") if name]
            found[path.stem] = Tool(
                path=path,
                data=None if data[1] == "none" else KIT / data[1],
                packages=tuple(PACKAGE_NAMES.get(name, name) for name in packages),
                gain=docstring.splitlines()[0],
            )
    return found


def copy_out(names: Iterable[str], into: Path) -> list[Path]:
    """Copy tools and their data into a folder.

    Args:
        names: Module names, such as ``["encrypt", "law"]``.
        into: Folder to copy to; made if it is not there.

    Returns:
        The files and folders written.

    Raises:
        NoSuchTool: A name is unknown; the nearest one is named. Nothing is copied.
        WouldOverwrite: A file is there already. Nothing is copied.
    """
    known = tools()
    wanted: list[Path] = []
    for name in dict.fromkeys(names):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            raise NoSuchTool(f"no tool called {name}; {hint}")
        wanted += [path for path in (known[name].path, known[name].data) if path]
    for path in wanted:
        if (into / path.name).exists():
            raise WouldOverwrite(
                f"{into / path.name} is there already; move it away or choose another folder"
            )
    into.mkdir(parents=True, exist_ok=True)
    for path in wanted:
        if path.is_dir():
            shutil.copytree(path, into / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(path, into / path.name)
    return [into / path.name for path in wanted]
