# SPDX-License-Identifier: MIT-0
"""Decide which backups stay: many of today, some of last month, never the last proven one gone.

Copy: ``kit copy keeping --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, tzinfo


class KeepingError(Exception):
    """Base of the errors below. Nothing was removed: this module only plans."""


class BadRules(KeepingError):
    """The rules cannot be followed."""


class BadTime(KeepingError):
    """A time has no zone."""


@dataclass(frozen=True)
class Rules:
    """How many are kept. Each number counts hours, days, weeks or months that have a backup."""

    hourly: int = 24
    daily: int = 7
    weekly: int = 4
    monthly: int = 12
    within_days: int = 7  # everything younger stays, whatever else was made meanwhile


@dataclass(frozen=True)
class Backup:
    """One backup, as its signed manifest tells."""

    seq: int
    at: datetime
    kind: str  # "full" or "diff"
    base: int | None = None  # number of the full one that a differential needs
    keep_until: date | None = None  # not to be removed before


@dataclass(frozen=True)
class Plan:
    """What stays and why, and what may go."""

    keep: dict[int, tuple[str, ...]]  # by number, the reasons in words
    remove: tuple[int, ...]
    notes: tuple[str, ...]  # sentences for people


def plan(
    backups: Iterable[Backup],
    *,
    now: datetime,
    zone: tzinfo,
    rules: Rules = Rules(),  # noqa: B008 (frozen)
    proven: int | None = None,
) -> Plan:
    """Say which backups stay and which may be removed.

    Args:
        backups: All whose files are there.
        now: The time, with its zone.
        zone: The shop's, in which its days begin and end.
        rules: How many stay.
        proven: Number of the newest backup that a drill restored.
    """
    raise NotImplementedError


def leaves_on(
    backups: Iterable[Backup],
    *,
    now: datetime,
    zone: tzinfo,
    rules: Rules = Rules(),  # noqa: B008 (frozen)
) -> date:
    """Return the day on which the last of these backups is let go.

    Args:
        backups: All whose files are there and hold somebody who is erased now.
        now: The time, with its zone.
        zone: The shop's.
        rules: As for `plan`.
    """
    raise NotImplementedError
