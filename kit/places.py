# SPDX-License-Identifier: MIT-0
"""Put backups where a fire, a thief and a virus do not get all of them: disk, S3, SFTP.

Copy: ``kit copy places --into DIR``, or take this file as it is.
Needs: Python 3.11, fsspec. For s3:// also s3fs, for sftp:// also paramiko.
Data: none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

Progress = Callable[[int, int], None]
LOCK_TEXT = ""


class PlaceError(Exception):
    """Base of the errors below. Messages never hold a password, a key or any content."""


class NotThere(PlaceError):
    """The file is not in this place, or the place itself is not there."""


class Taken(PlaceError):
    """There is another file of that name; nothing was changed."""


class Unreachable(PlaceError):
    """The place does not answer or refuses us; a later run may succeed."""


class Damaged(PlaceError):
    """What arrived is not what was sent: cut short, longer or altered."""


class NoRoom(PlaceError):
    """The disk is full, or takes no file of this size."""


class Locked(PlaceError):
    """The store refuses to let a file go. `until` says how long, if it tells."""

    def __init__(self, message: str, *, until: datetime | None = None) -> None:
        super().__init__(message)
        self.until = until


class Place:
    """One place where backups lie. Close it, or use it with ``with``."""

    def __init__(
        self,
        address: str | Path,
        *,
        options: Mapping[str, Any] | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Name a place; nothing is opened yet.

        Args:
            address: A folder, ``s3://bucket/prefix``, ``sftp://user@host/folder``, or another
                address that fsspec knows.
            options: Handed on to fsspec, such as ``key`` and ``secret`` of an S3 bucket.
            pause: Waits for some seconds before something is tried again.
        """
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The address as people may see it, without a password."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        raise NotImplementedError

    def put(
        self, source: Path, name: str, *, sha256: str, progress: Progress | None = None
    ) -> None:
        """Copy a file there under a new name, read it again and compare."""
        raise NotImplementedError

    def put_bytes(self, data: bytes, name: str, *, replace: bool = False) -> None:
        """Put a small file; *replace* allows a newer one in the place of an older one."""
        raise NotImplementedError

    def get(
        self,
        name: str,
        target: Path,
        *,
        size: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Copy a file from there; *target* appears when it is complete."""
        raise NotImplementedError

    def read(self, name: str, *, most: int) -> bytes:
        """Return a small file of at most that many bytes."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Delete a file, with all its versions."""
        raise NotImplementedError

    def sweep(self, now: datetime) -> list[str]:
        """Delete what an interrupted run left there, and return the names."""
        raise NotImplementedError

    def close(self) -> None:
        """End connections."""
        raise NotImplementedError

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
