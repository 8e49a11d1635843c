"""`kit lab` opens the lessons on this computer, for its owner only."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import pytest
from tornado.websocket import websocket_connect

from kit.lab import LESSON, LabError, NothingToOpen, serve

SERVE = (  # a test run in the background of a shell would hand down that Ctrl+C is ignored
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from pathlib import Path; from kit import lab; lab.serve(Path(sys.argv[1]), **{})"
)


@pytest.fixture
def folder(tmp_path):
    """Return a learner's folder with one empty lesson."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Count")])
    path = tmp_path / "my lessons ü" / LESSON
    path.parent.mkdir(parents=True)
    path.write_text(nbformat.writes(book), encoding="utf-8")
    return tmp_path / "my lessons ü"


def stop(process):
    """Press Ctrl+C, and return the exit code; Windows has no such signal for one process."""
    if sys.platform == "win32":
        process.terminate()
        process.wait(timeout=30)
        return 0
    process.send_signal(signal.SIGINT)
    return process.wait(timeout=30)


@contextmanager
def served(folder, environment=None, **settings):
    """Run `serve` in a process of its own; yield the process and the printed address."""
    command = [sys.executable, "-u", "-c", SERVE.format(settings), str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        yield process, re.search(r"http://\S+", "".join(lines))[0]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def ask(address, data=None):
    """Return status and text of a page."""
    try:
        with urllib.request.urlopen(address, data, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def test_serves_on_this_computer_with_a_token(folder):
    """Neither the network nor another user of this computer gets in without the address."""
    with served(folder, open_browser=False) as (process, address):
        home = address.partition("/lab")[0]
        token = address.partition("?token=")[2]
        status, page = ask(address)
        settings = json.loads(
            re.search(r'<script id="jupyter-config-data".*?>(.*?)</', page, re.S)[1]
        )

        assert home.startswith("http://127.0.0.1:")
        assert status == 200
        assert ask(f"{home}/api/contents")[0] == 403
        assert ask(f"{home}/api/contents?token=wrong")[0] == 403
        assert ask(f"{home}/api/contents?token={token}")[0] == 200
        assert len(token) >= 32
        with socket.socket() as other, pytest.raises(OSError):
            other.settimeout(2)
            other.connect(
                (socket.gethostbyname(socket.gethostname()), int(home.rpartition(":")[2]))
            )
            if other.getpeername()[0] == "127.0.0.1":
                raise OSError("this computer has no other address to try")

        assert stop(process) == 0
    assert settings["news"] == {"disabled": True}
    assert "@jupyterlab/apputils-extension:announcements" in settings["disabledExtensions"]
    assert "@jupyterlab/extensionmanager-extension" in settings["disabledExtensions"]


@pytest.mark.skipif(sys.platform == "win32", reason="BROWSER and file modes are Unix things")
def test_the_browser_is_not_handed_the_token(folder, tmp_path):
    """Arguments show in the process list; a page that only its owner can read does not."""
    note = tmp_path / "opened"
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\nls -l "${{1#file://}}" >/dev/null\necho "$1" > "{note}"\n')
    program.chmod(0o700)
    os.mkfifo(note)
    with served(folder, {"BROWSER": f"{program} %s"}) as (process, address):
        opened = note.read_text().strip()
        page = folder / ".kit/jupyter/open.html"

        assert opened == page.as_uri()
        assert address in page.read_text()
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        stop(process)
    assert not page.exists()


async def typed(address, line, until):
    """Type a line into a terminal of the lab, and return what shows until a word comes."""
    home, token = address.partition("/lab")[0], address.rpartition("?")[2]
    name = json.loads(ask(f"{home}/api/terminals?{token}", data=b"")[1])["name"]
    where = f"{home}/terminals/websocket/{name}?{token}".replace("http:", "ws:")
    terminal, shown = await websocket_connect(where), ""
    await terminal.write_message(json.dumps(["stdin", f"{line}\r"]))
    while until not in shown:
        kind, *text = json.loads(await terminal.read_message())
        shown += text[0] if kind == "stdout" else ""
    terminal.close()
    return shown


@pytest.mark.skipif(sys.platform == "win32", reason="another shell, with another way to ask")
def test_the_terminal_finds_the_command_kit(folder):
    """Each lesson ends with commands; in the lab's own terminal they work as they stand."""
    with served(folder, {"SHELL": "/bin/sh", "PATH": os.defpath}, open_browser=False) as (
        process,
        address,
    ):
        line = "command -v kit; echo th''at was all"
        shown = asyncio.run(asyncio.wait_for(typed(address, line, "that was all"), 60))
        stop(process)

    assert str(Path(sys.executable).parent / "kit") in shown


def keep_asking(address, ended):
    """Load a lesson again and again, as a browser with many tabs does."""
    while not ended.is_set():
        with suppress(OSError):
            ask(address)


def kernels(address, **more):
    """Ask for the kernels that run, or start one."""
    home, token = address.partition("/lab")[0], address.rpartition("?")[2]
    request = urllib.request.Request(f"{home}/api/kernels?{token}", **more)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        return json.load(answer)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no Ctrl+C for one process")
def test_ctrl_c_stops_it_in_the_middle_of_the_work(folder):
    """Files are being read and a kernel computes: it stops at once, and the kernel with it."""
    ended = threading.Event()
    with served(folder, open_browser=False) as (process, address):
        kernel = kernels(address, data=b"{}", method="POST")
        lesson = address.replace("/lab/tree/", "/api/contents/")
        asking = [
            threading.Thread(target=keep_asking, args=(lesson, ended), daemon=True)
            for _ in range(4)
        ]
        for thread in asking:
            thread.start()
        for _ in range(30):
            assert ask(lesson)[0] == 200
        children = children_of(process.pid)

        assert kernel["id"] in [one["id"] for one in kernels(address)]
        assert stop(process) == 0
        assert len(children) >= 1
        assert [pid for pid in children if alive(pid)] == []
        ended.set()
        for thread in asking:
            thread.join()


def children_of(pid):
    """Return the processes that a process has started."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="],  # noqa: S607
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    pairs = (line.split() for line in listed.splitlines())
    return [int(child) for child, parent in pairs if int(parent) == pid]


def alive(pid):
    """Tell whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_taken_port_is_said_to_be_taken(folder):
    """The learner is told which port, not shown a traceback of somebody else's program."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        port = door.getsockname()[1]
        command = [sys.executable, "-c", SERVE.format({"open_browser": False, "port": port})]
        done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)

    assert f"port {port} is in use" in done.stderr.splitlines()[-1]
    assert "PortTaken" in done.stderr


def test_refuses_a_folder_without_lessons(tmp_path):
    """An empty folder is not opened as if it were the lessons."""
    with pytest.raises(NothingToOpen, match="run kit lab") as caught:
        serve(tmp_path)

    assert isinstance(caught.value, LabError)
    assert str(tmp_path) not in str(caught.value)
