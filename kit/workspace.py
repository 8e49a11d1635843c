# SPDX-License-Identifier: MIT-0
"""Give each learner a copy of the lessons of their own, and never lose what they wrote in it.

Copy: ``kit copy workspace --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

The folder that `lay_out` makes::

    my-lessons/
      notebooks/    the lessons and the glossary
      sample_data/  the made-up shop
      records/      the records to fill in on Monday
      my-work/      what `reset` put aside
      .kit/         manifest.json: kit version, and a SHA-256 for each file that was laid down
      .gitignore    everything: real names may end up here

A file that still has the hash of the manifest is untouched and may be replaced by
a newer one. Any other file is the learner's: it is kept, or moved to `my-work`
when the learner asks for a fresh copy. Nothing is deleted. Of a notebook only the
text of its cells is hashed: JupyterLab rewrites the rest when a lesson is opened.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as installed_version
from pathlib import Path, PurePosixPath

SOURCE = Path(__file__).resolve().parent.parent  # a clone of the repository, or site-packages
FIRST_LESSON = "notebooks/00_take_stock.ipynb"
MANIFEST = ".kit/manifest.json"
ASIDE = "my-work"
IGNORE_ALL = "# real names may end up in this folder, so git takes nothing from it\n*\n"
LAID_DOWN = (  # pattern in the repository, folder in the learner's copy
    ("notebooks/*.ipynb", "notebooks"),
    ("notebooks/*.md", "notebooks"),
    ("notebooks/monday/*", "records"),
    ("kit/inventory.toml", "records"),  # the inventory to start from
    ("sample_data/**/*", "sample_data"),
)


class WorkspaceError(Exception):
    """Base of the errors below."""


class NoLessons(WorkspaceError):
    """This installation has tools but no lessons."""


class NotALab(WorkspaceError):
    """The folder holds something else than a learner's copy."""


class UnknownLesson(WorkspaceError):
    """No lesson or file of that name was laid down."""


class CannotWrite(WorkspaceError):
    """The disk or its permissions said no."""


@dataclass(frozen=True)
class LaidOut:
    """What `lay_out` did, each a list of paths below the folder, with ``/``."""

    folder: Path
    version: str
    added: tuple[str, ...] = ()  # new, or laid down again because it was missing
    updated: tuple[str, ...] = ()  # untouched, and replaced by a newer one
    kept: tuple[str, ...] = ()  # the learner's own, although this kit has a newer one


def lay_out(folder: Path, *, source: Path = SOURCE, version: str | None = None) -> LaidOut:
    """Copy the lessons into *folder*, or go on with the copy that is there.

    Args:
        folder: New, empty, or made by this function earlier.
        source: Repository that holds ``notebooks/`` and ``sample_data/``.
        version: Version to write into the manifest; None means the installed one.

    Raises:
        NoLessons: *source* has none, as in an installed wheel.
        NotALab: *folder* holds other files, or is one of the repository's own.
        CannotWrite: The disk refused.
    """
    version = version or installed_version("customer-data-kit")
    pristine = dict(_pristine(source))
    folder = folder.resolve()
    own = {source.resolve(), *(source.resolve() / PurePosixPath(p).parts[0] for p, _ in LAID_DOWN)}
    if folder in own or any(folder.is_relative_to(p) for p in own - {source.resolve()}):
        raise NotALab(f"{folder.name} belongs to the kit itself; name a new folder")
    if folder.is_file():
        raise NotALab(f"{folder.name} is a file; name a new folder")
    if folder.is_dir() and not (folder / MANIFEST).is_file() and any(folder.iterdir()):
        raise NotALab(f"{folder.name} holds other files; name a new or empty folder")
    files = _manifest(folder)[1] if is_lab(folder) else {}
    # first, so that an interrupted start is continued and not taken for somebody else's folder
    _write_manifest(folder, version, files)
    if not (folder / ".gitignore").exists():
        _write(folder / ".gitignore", IGNORE_ALL.encode())
    added, updated, kept = [], [], []
    for name, path in pristine.items():
        target, new = folder / name, path.read_bytes()
        if not target.exists():
            added.append(name)
        elif (held := _digest(target)) == _digest(path):
            files[name] = held
            continue
        elif held != files.get(name):
            if files.get(name) != _digest(path):
                kept.append(name)
            continue
        else:
            updated.append(name)
        _write(target, new)
        files[name] = _digest(path)
    _write_manifest(folder, version, files)
    return LaidOut(folder, version, tuple(added), tuple(updated), tuple(kept))


@dataclass(frozen=True)
class Fresh:
    """One file laid down again; *aside* is where the learner's copy went, None if untouched."""

    path: str
    aside: str | None


def reset(folder: Path, lesson: str, *, now: datetime, source: Path = SOURCE) -> tuple[Fresh, ...]:
    """Lay down a fresh copy of one lesson, and put the learner's own aside first.

    Args:
        folder: A learner's copy, made by `lay_out`.
        lesson: Number ("3"), name ("03_encrypt"), path below *folder*, or a
            folder in it ("sample_data").
        source: Repository that holds the fresh copies.
        now: Aware time, which becomes part of the name of what is put aside.

    Returns:
        One entry per file, also for those that were untouched.

    Raises:
        NotALab: *folder* has no manifest.
        UnknownLesson: Nothing of that name is laid down.
        NoLessons, CannotWrite: As for `lay_out`.
    """
    if now.tzinfo is None:
        raise TypeError("now= needs a time zone")
    (kit, files), pristine = _manifest(folder), dict(_pristine(source))
    stamp = f"{now:%Y-%m-%d-%H%M}"
    done = []
    for name in _named(lesson, list(pristine)):
        target, new = folder / name, pristine[name].read_bytes()
        aside = None
        untouched = {files.get(name), _digest(pristine[name])}
        if target.exists() and _digest(target) not in untouched:
            aside = _put_aside(folder, target, stamp)
        _write(target, new)
        files[name] = _digest(pristine[name])
        done.append(Fresh(name, aside))
    _write_manifest(folder, kit, files)
    return tuple(done)


def touched(folder: Path) -> tuple[str, ...]:
    """Return the files that differ from what was laid down, or are missing."""
    return tuple(
        name
        for name, digest in _manifest(folder)[1].items()
        if not (folder / name).exists() or _digest(folder / name) != digest
    )


def laid_version(folder: Path) -> str:
    """Return the kit version whose lessons lie in *folder*."""
    return _manifest(folder)[0]


def is_lab(folder: Path) -> bool:
    """Return whether *folder* was made by `lay_out`."""
    return (folder / MANIFEST).is_file()


def _pristine(source: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file to lay down: its path in the learner's folder, and where it is now."""
    if not (source / FIRST_LESSON).is_file():
        raise NoLessons(
            "the lessons come with the repository, not with the package; "
            "get the repository and run python3 start.py in it"
        )
    for pattern, folder in LAID_DOWN:
        root = source / PurePosixPath(pattern).parts[0]
        for path in sorted(source.glob(pattern)):
            hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
            if path.is_file() and not hidden:
                below = path.relative_to(root) if "**" in pattern else Path(path.name)
                yield f"{folder}/{below.as_posix()}", path


def _named(lesson: str, names: list[str]) -> list[str]:
    """Return the names that *lesson* stands for."""
    wanted = PurePosixPath(lesson.replace("\\", "/").rstrip("/") or ".")
    number = wanted.name.zfill(2) if wanted.name.isdigit() else None
    found = [
        name
        for name in names
        if wanted == PurePosixPath(name)
        or wanted in PurePosixPath(name).parents
        or PurePosixPath(name).parts[0] == "notebooks"
        and (
            PurePosixPath(name).name.startswith(f"{number}_")
            or str(wanted) in (PurePosixPath(name).stem, PurePosixPath(name).name)
        )
    ]
    if not found or wanted == PurePosixPath("."):
        lessons = ", ".join(PurePosixPath(n).stem for n in names if n.endswith(".ipynb"))
        raise UnknownLesson(f"no lesson of that name; there are: {lessons}")
    return found


def _put_aside(folder: Path, target: Path, stamp: str) -> str:
    """Move the learner's file to `my-work` under a name that nothing has yet."""
    number = 1
    while True:
        again = "" if number == 1 else f"-{number}"
        aside = folder / ASIDE / f"{target.stem}-{stamp}{again}{target.suffix}"
        if not aside.exists():
            break
        number += 1
    try:
        aside.parent.mkdir(exist_ok=True)
        target.rename(aside)
    except OSError as error:
        raise CannotWrite(
            f"cannot move {target.name} aside: {error.strerror}; close it and try again"
        ) from None
    return aside.relative_to(folder).as_posix()


def _manifest(folder: Path) -> tuple[str, dict[str, str]]:
    """Return the kit version and the hashes that *folder* was laid down with."""
    try:
        read = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return str(read["kit"]), {str(k): str(v) for k, v in read["files"].items()}
    except FileNotFoundError:
        raise NotALab(f"{folder.name} holds no lessons; run kit lab {folder.name} first") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NotALab(
            f"{folder.name}/{MANIFEST} is damaged; rename the folder and run kit lab again"
        ) from None


def _write_manifest(folder: Path, version: str, files: dict[str, str]) -> None:
    text = json.dumps({"kit": version, "files": dict(sorted(files.items()))}, indent=1)
    _write(folder / MANIFEST, text.encode() + b"\n")


def _write(path: Path, data: bytes) -> None:
    """Write *path* whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # before the rename: a crash here leaves the old file
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise CannotWrite(
            f"cannot write {path.name}: {error.strerror}; free some space or choose another folder"
        ) from None


def _digest(path: Path) -> str:
    """Return the hash of a file; of a notebook, the hash of what somebody typed into it."""
    data = path.read_bytes()
    if path.suffix == ".ipynb":
        try:
            cells = json.loads(data)["cells"]
            typed = [[cell["cell_type"], "".join(cell["source"])] for cell in cells]
            data = json.dumps(typed).encode()
        except (ValueError, KeyError, TypeError):
            pass  # not a notebook any more: all of it counts
    return hashlib.sha256(data).hexdigest()
