"""A real SSH server for tests, on loopback, that serves one folder over SFTP."""

from __future__ import annotations

import os
import socket
import threading

import paramiko


class Server:
    """Runs in a thread until it is closed. `drop_after` ends the line after so many bytes."""

    def __init__(self, root, password="made-up"):  # noqa: S107 (a made-up one)
        self.root, self.password = root, password
        self.key = paramiko.ECDSAKey.generate()
        self.public = f"{self.key.get_name()} {self.key.get_base64()}"
        self.drop_after, self.plain_rename, self.signed_in = None, False, 0
        self.transports = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        """Let whoever comes in, one after the other."""
        while True:
            try:
                line, _ = self.listening.accept()
            except OSError:  # closed
                return
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else 40 ms for each answer
            transport = paramiko.Transport(line)
            transport.add_server_key(self.key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files, self, transport)
            self.transports.append(transport)
            try:
                transport.start_server(server=Door(self))
            except (paramiko.SSHException, EOFError, OSError):  # whoever came did not trust us
                transport.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join(5)
        for transport in self.transports:
            transport.close()
            transport.join(5)


class Door(paramiko.ServerInterface):
    """Lets in who knows the password."""

    def __init__(self, server):
        self.server = server

    def check_auth_password(self, username, password):
        """Compare it."""
        right = (username, password) == ("ana", self.server.password)
        self.server.signed_in += right
        return paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username):
        """Only passwords."""
        return "password"

    def check_channel_request(self, kind, chanid):
        """Only sessions."""
        return paramiko.OPEN_SUCCEEDED


class Files(paramiko.SFTPServerInterface):
    """The folder."""

    def __init__(self, door, server, transport, *args, **kwargs):
        super().__init__(door, *args, **kwargs)
        self.server, self.transport, self.written = server, transport, 0

    def place(self, path):
        """Return the path on this computer."""
        return self.server.root / self.canonicalize(path).lstrip("/")

    def done(self, work, *args):
        """Do something and say how it went."""
        try:
            work(*args)
        except OSError as problem:
            return paramiko.SFTPServer.convert_errno(problem.errno)
        return paramiko.SFTP_OK

    def list_folder(self, path):
        """List it."""
        try:
            found = list(os.scandir(self.place(path)))
        except OSError as problem:
            return paramiko.SFTPServer.convert_errno(problem.errno)
        return [paramiko.SFTPAttributes.from_stat(one.stat(), one.name) for one in found]

    def stat(self, path):
        """Tell of a file."""
        try:
            return paramiko.SFTPAttributes.from_stat(self.place(path).stat())
        except OSError as problem:
            return paramiko.SFTPServer.convert_errno(problem.errno)

    lstat = stat

    def open(self, path, flags, attr):
        """Open one."""
        try:
            handle = os.open(self.place(path), flags | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as problem:
            return paramiko.SFTPServer.convert_errno(problem.errno)
        made = Handle(self, flags)
        made.readfile = made.writefile = os.fdopen(
            handle, "r+b" if flags & os.O_RDWR else "wb" if flags & os.O_WRONLY else "rb"
        )
        return made

    def remove(self, path):
        """Delete one."""
        return self.done(os.remove, self.place(path))

    def rename(self, old, new):
        """Rename to a free name only, as the protocol says."""
        if self.place(new).exists():
            return paramiko.SFTP_FAILURE
        return self.done(os.rename, self.place(old), self.place(new))

    def posix_rename(self, old, new):
        """Rename as a server with OpenSSH's extension does."""
        if self.server.plain_rename:
            return paramiko.SFTP_OP_UNSUPPORTED
        return self.done(os.replace, self.place(old), self.place(new))


class Handle(paramiko.SFTPHandle):
    """An open file."""

    def __init__(self, files, flags):
        super().__init__(flags)
        self.files = files

    def write(self, offset, data):
        """Write, until the line is to break."""
        files = self.files
        files.written += len(data)
        limit = files.server.drop_after
        if limit is not None and files.written > limit:
            files.transport.close()
            return paramiko.SFTP_CONNECTION_LOST
        return super().write(offset, data)
