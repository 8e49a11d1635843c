# SPDX-License-Identifier: MIT-0
"""What all commands share: how they answer, show progress, read a key's file and the clock.

Answers go to standard output, progress and warnings to standard error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

FOUND = 3  # exit code: done, and there is something to act on

Json = Annotated[bool, typer.Option("--json", help="Answer as JSON, for another program.")]
ShopFolder = Annotated[Path, typer.Option("--shop", help="The shop's folder; else this one.")]


def say(text: str = "") -> None:
    """Print a line to standard output."""
    typer.echo(text)


def warn(text: str) -> None:
    """Print a line to standard error."""
    typer.echo(text, err=True)


def answer(value: object) -> None:
    """Print a JSON answer."""
    say(json.dumps(value, ensure_ascii=False, indent=2, default=str))


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Draw a bar on standard error while the work inside goes on."""
    with steps(what) as step:
        yield lambda done, total: step(what, done, total)


@contextmanager
def steps(first: str) -> Iterator[Callable[[str, int, int | None], None]]:
    """Draw a bar that says which step of the work inside goes on."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(first, total=None)
        yield lambda step, done, total: bar.update(
            task, description=step, completed=done, total=total
        )


def key_text(path: Path) -> str:
    """Read a file with a key as people save it: on Windows it may be UTF-16, or begin with a mark.

    Its bytes are in no message: a file that is half right still holds a key.
    """
    data = path.read_bytes()
    with suppress(UnicodeDecodeError):
        marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        return data.decode("utf-16" if marked else "utf-8-sig").strip()
    raise typer.BadParameter(f"{path.name} is no text; save the key alone, as a text file")


def now() -> datetime:
    """Read the clock: the one place where a command does."""
    return datetime.now().astimezone()
