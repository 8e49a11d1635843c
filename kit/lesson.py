# SPDX-License-Identifier: MIT-0
"""Practise on made-up customers: sample data, exercises with answers, and rails for real data.

Copy: ``kit copy lesson --into DIR``, or take this file as it is.
Needs: Python 3.11, pandas. Of this kit: doctor, and exercises/ with one file per lesson.
Data: exercises.

Everything here prints plain text, which a screen reader can read and a test can
compare. Nothing is counted, logged or sent.

A check has five answers, told apart by their first words: "Not tried yet", "Right.",
"Not yet:", "Your code stopped" and "There is no single answer." It never raises, so
that *Run All* always reaches the end of a lesson.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import pandas as pd

from kit import doctor as machine

ROOT = Path(__file__).resolve().parent.parent
LINE = 88  # characters: fits a projector without scrolling sideways
HOSTED = {  # sign in the environment, who runs the notebook
    "BINDER_": "Binder",
    "COLAB_": "Google Colab",
    "KAGGLE_": "Kaggle",
    "DEEPNOTE_": "Deepnote",
    "CODESPACES": "GitHub Codespaces",
    "JUPYTERHUB_": "a JupyterHub",
}
NOT_TRIED = "Not tried yet. Replace the dots, then run this cell again."
BANNER = """\
REAL DATA: {name} is not part of the lessons.
- It stays where it is, on this computer. Nothing is sent.
- What a cell prints is saved in the notebook, and that is a copy of the data.
- Before you share this notebook: menu Edit, Clear Outputs of All Cells, save,
  then run: kit scan YOUR_NOTEBOOK.ipynb"""

T = TypeVar("T")


class LessonError(Exception):
    """Base of the errors below."""


class NoSample(LessonError):
    """There is no such file among the sample data."""


class NoExercise(LessonError):
    """There is no exercise of that name."""


class HostedNotebook(LessonError):
    """Somebody else's computer was about to read real customer data."""


class NotTried(Exception):
    """Raised by a review that meets the starter's dots."""


@dataclass(frozen=True)
class Exercise:
    """One exercise, with everything said about it, so that a test can hold it to that.

    Args:
        id: Lesson and number, such as "take_stock.1".
        minutes: Time to plan for, as in the lesson's heading.
        review: Returns None for a right answer, else what is wrong with it.
        right: Said on success: why it works.
        hints: Each says more than the one before.
        source: The solution as code; a test runs it inside the lesson.
        wrong: Answers that people give, each with a part of its reply.
        points: For a question without a single answer: what a good one holds.
    """

    id: str
    minutes: int
    review: Callable[[object], str | None]
    right: str
    hints: tuple[str, ...]
    source: str
    wrong: tuple[tuple[object, str], ...] = ()
    points: tuple[str, ...] = ()

    def check(self, answer: object) -> None:
        """Say how *answer* does. Never raises, so that Run All reaches the bottom."""
        _print(self.verdict(answer))

    def verdict(self, answer: object) -> str:
        """Return what `check` prints."""
        try:
            problem = self.review(tried(answer))
        except NotTried:
            return NOT_TRIED
        except Exception as error:
            return f"Your code stopped with {type(error).__name__}: {error}"
        if problem:
            return f"Not yet: {problem}"
        if self.points:
            points = "".join(f"\n- {point}" for point in self.points)
            return f"There is no single answer. Compare yours with these points:{points}"
        return f"Right. {self.right}"

    def hint(self, number: int = 1) -> None:
        """Print one hint; later ones say more."""
        _print(self.hints[min(max(number, 1), len(self.hints)) - 1])

    def solution(self) -> None:
        """Print one right answer, as code to put in place of the dots."""
        print(self.source)


def tried(answer: T) -> T:
    """Return *answer*, or raise `NotTried` if it is, or holds, the starter's dots."""
    inside = answer if isinstance(answer, list | tuple | set) else ()
    if answer is ... or any(part is ... for part in inside):
        raise NotTried
    return answer


def quiz(
    id: str,  # noqa: A002
    minutes: int,
    right: str,
    options: Mapping[str, str],
    *,
    hint: str,
) -> Exercise:
    """Make a question with lettered options, each with its explanation.

    Args:
        id: Lesson and name, such as "take_stock.quiz1".
        minutes: Time to plan for.
        right: Letter of the right option.
        options: Explanation of every option, by letter.
        hint: One hint, which does not name the letter.
    """

    def review(answer: object) -> str | None:
        letter = str(answer).strip(" .)").casefold()
        if letter not in options:
            return f"answer with one letter in quotes: {', '.join(options)}"
        return None if letter == right else options[letter]

    return Exercise(
        id,
        minutes,
        review,
        right=options[right],
        hints=(hint,),
        source=f'answer = "{right}"',
        wrong=(
            *((letter, text) for letter, text in options.items() if letter != right),
            ("all of them", "one letter in quotes"),
        ),
    )


def exercise(id: str) -> Exercise:  # noqa: A002
    """Return one exercise by its name, such as "take_stock.1"."""
    topic = id.partition(".")[0]
    if topic not in _topics():
        raise NoExercise(f"no exercises for {topic!r}; there are: {', '.join(_topics())}")
    known = {one.id: one for one in _load(topic)}
    if id not in known:
        raise NoExercise(f"no exercise {id!r}; this lesson has: {', '.join(known)}")
    return known[id]


def exercises() -> tuple[Exercise, ...]:
    """Return the exercises of all lessons."""
    return tuple(one for topic in _topics() for one in _load(topic))


def _topics() -> list[str]:
    from kit import exercises as package

    return [module.name for module in pkgutil.iter_modules(package.__path__)]


def _load(topic: str) -> tuple[Exercise, ...]:
    # one lesson's file at a time: another lesson's may import what takes seconds
    found: tuple[Exercise, ...] = importlib.import_module(f"kit.exercises.{topic}").EXERCISES
    return found


@contextmanager
def refused(expected: type[Exception], *, hide: object = None) -> Iterator[None]:
    """Show that the code inside is refused; fail if it is not, or not for this reason.

    Args:
        expected: The error that it must stop with.
        hide: What differs in every run, such as the number of a key; shown as dots.
    """
    try:
        yield
    except expected as error:
        said = str(error) if hide is None else str(error).replace(str(hide), "...")
        _print(f"Refused ({type(error).__name__}): {said}")
    else:
        raise AssertionError(f"expected {expected.__name__}, but nothing was refused")


def say(text: str) -> None:
    """Print a long text in lines that fit."""
    _print(text)


def table(things: Iterable[object], *columns: str) -> pd.DataFrame:
    """Show some of what things say about themselves, one row for each.

    Args:
        things: Results with attributes, such as the findings of a scan.
        columns: Names of the attributes to show, in this order.
    """
    rows = [[getattr(thing, column) for column in columns] for thing in things]
    return pd.DataFrame(rows, columns=list(columns))


def sample(name: str) -> pd.DataFrame:
    """Read a CSV file of the sample data, every cell as the text that stands in it.

    A DataFrame, because Jupyter shows it as a table with header cells, which is
    easier to read than a list and is what a screen reader can walk through.

    Args:
        name: Path below ``sample_data/``, such as "clean/customers.csv".

    Raises:
        NoSample, HostedNotebook: As for `path`.
    """
    return pd.read_csv(path(name), dtype=str, keep_default_na=False, encoding="utf-8-sig")


def path(name: str | Path) -> Path:
    """Return where a file lies; warn if it is not sample data, refuse that on a hosted notebook.

    Args:
        name: Path below ``sample_data/``, or any path to a file of your own.

    Raises:
        NoSample: There is no such file.
        HostedNotebook: The file is not sample data, and this is somebody else's computer.
    """
    found = (samples() / name).resolve()  # an absolute name stands for itself
    if any(found.is_relative_to(home.resolve()) for home in (samples(), workspace())):
        if not found.exists():
            raise NoSample(f"no {Path(name).as_posix()} in sample_data; kit reset sample_data")
        return found
    if host := hosted():
        raise HostedNotebook(
            f"this notebook runs on {host}, which is not your computer; "
            "use sample data here, and your own data only after python3 start.py at home"
        )
    if not found.exists():
        raise NoSample(f"no file {found.name} there; check the folder and the spelling")
    print(BANNER.format(name=found.name))
    return found


def samples() -> Path:
    """Return the folder of the sample data: the learner's copy, else the repository's."""
    for home in (workspace(), ROOT):
        if (home / "sample_data").is_dir():
            return home / "sample_data"
    raise NoSample(
        "the sample data come with the repository, not with the package; "
        "get the repository and run python3 start.py in it"
    )


def workspace() -> Path:
    """Return the learner's folder, which holds records and what lessons write."""
    if named := os.environ.get("KIT_WORKSPACE"):
        return Path(named)
    here = Path.cwd()
    labs = [place for place in (here, *here.parents) if (place / ".kit/manifest.json").is_file()]
    return labs[0] if labs else ROOT / "my-lessons"


def hosted(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return who runs this notebook, None if it is most likely this computer."""
    if sys.platform == "emscripten":
        return "a web page"
    if "google.colab" in sys.modules:
        return "Google Colab"
    return next(
        (host for sign, host in HOSTED.items() if any(key.startswith(sign) for key in environ)),
        None,
    )


def doctor() -> None:
    """Print what `kit doctor` prints, from inside a notebook."""
    print(machine.report(machine.check(workspace(), now=datetime.now().astimezone())))


def _print(text: str) -> None:
    """Print *text* in lines that fit, points indented below their dash."""
    lines = []
    for line in text.splitlines():
        indent = "  " if line.startswith("- ") else ""
        lines += textwrap.wrap(line, LINE, subsequent_indent=indent, break_on_hyphens=False)
    print("\n".join(lines))
