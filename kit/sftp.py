# SPDX-License-Identifier: MIT-0
"""Reach an SFTP server only if it is known, so that no stranger in between gets the password.

Copy: ``kit copy sftp --into DIR``, or take this file as it is.
Needs: Python 3.11, fsspec, paramiko. Nothing else from this kit.
Data: none.

fsspec's own SFTP accepts whichever server answers. This one asks the list of known hosts, where
``ssh user@host`` puts a server once you have said yes to its fingerprint. Otherwise it is the
same: a file system of fsspec, for paths like ``/srv/backups``. It asks for larger pieces,
which over a slow line takes a fraction of the time.

Prefer a key to a password: with neither, the keys of ``ssh`` and its agent are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import paramiko  # type: ignore[import-untyped]
from fsspec.implementations.sftp import SFTPFileSystem  # type: ignore[import-untyped]

WAIT_S = 30  # for a server to answer
STALLED_S = 60  # without a byte
AT_ONCE = (6, 1, 1)  # TCP_NODELAY; else each request waits 40 ms for company
ASKED = 255 << 10  # bytes in one request, the most OpenSSH gives; paramiko's own is 32 KiB


class SftpError(Exception):
    """Base of the error below. Messages never hold a password or a key."""


class UnknownServer(SftpError):
    """The server is not in the list of known hosts, or shows another key than there."""


class KnownServer(SFTPFileSystem):  # type: ignore[misc]  # fsspec brings no types
    """fsspec's file system over SFTP, for servers that are known."""

    cachable = False  # an instance holds a connection and may hold a password

    def close(self) -> None:
        """End the connection."""
        with suppress(Exception):  # it may have ended by itself
            self.ftp.close()
        self.client.close()

    def put_file(self, lpath: str, rpath: str, callback: Any = None, **_: Any) -> None:
        """Copy a file there, with many packets under way."""
        show: Callable[[int, int], None] | None = None
        if callback:
            show = lambda done, total: callback.absolute_update(done)  # noqa: E731
        self.ftp.put(lpath, rpath, callback=show, confirm=False)

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Return a part of a file."""
        first = start or 0
        last = int(self.info(path)["size"]) if end is None else end
        with self.ftp.open(path, "rb") as file:
            # Its prefetch and readv ask from a second thread, and now and then stall for good.
            file.MAX_REQUEST_SIZE = ASKED
            file.seek(first)
            return bytes(file.read(last - first))

    def mv(self, old: str, new: str, **_: Any) -> None:
        """Rename a file; one that has the new name is replaced."""
        try:
            self.ftp.posix_rename(old, new)
        except OSError:  # a server without that extension renames to free names only
            with suppress(OSError):
                self.ftp.remove(new)
            self.ftp.rename(old, new)

    def _connect(self) -> None:
        known = self.ssh_kwargs.pop("known_hosts", None)
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys(known and str(known))
        self.client.set_missing_host_key_policy(_Refuse())
        try:
            self.client.connect(self.host, **{"timeout": WAIT_S, **self.ssh_kwargs})
            self.ftp = self.client.open_sftp()
            self.ftp.get_channel().settimeout(STALLED_S)
            with suppress(AttributeError):  # a proxy is no socket
                self.client.get_transport().sock.setsockopt(*AT_ONCE)
        except paramiko.BadHostKeyException:
            self.client.close()
            say = "ask its owner whether the key was changed, then correct the list of known hosts"
            raise UnknownServer(
                f"{self.host} shows another key than it did before; {say}"
            ) from None
        except BaseException:
            self.client.close()
            raise


class _Refuse(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        say = "sign in once with ssh and compare its fingerprint"
        raise UnknownServer(f"{hostname} is not among the known hosts; {say}")


def connect(address: str, options: Mapping[str, Any]) -> tuple[KnownServer, str]:
    """Connect to a server.

    Args:
        address: ``sftp://user@host:port/folder``.
        options: ``password``, ``key_filename``, ``known_hosts`` (a file; otherwise that of
            ``ssh``) and whatever else paramiko's SSHClient.connect takes.

    Returns:
        The file system and the folder in it.

    Raises:
        UnknownServer: It is not known, or is another one than it was.
    """
    told = KnownServer._get_kwargs_from_urls(address) | dict(options)
    return KnownServer(**told), KnownServer._strip_protocol(address).rstrip("/")
