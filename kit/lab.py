# SPDX-License-Identifier: MIT-0
"""Open a folder of lessons in JupyterLab, for this computer only and without asking the network.

Copy: ``kit copy lab --into DIR``, or take this file as it is.
Needs: Python 3.11, jupyterlab, traitlets. Nothing else from this kit.
Data: none.

The server listens on 127.0.0.1, asks for a fresh password (Jupyter calls it the
token), and runs the notebooks in the Python that runs this function. Its settings
live in ``.kit/jupyter`` inside the folder, so that all laptops of a course look
alike and nobody's own Jupyter settings are changed.

Source: JupyterLab 4 documentation, "Announcements" and "Extensions": news, update
check and extension manager are the three parts that ask the network.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PORT = 8888  # Jupyter's usual one; the next free one is taken if it is in use
PORT_TRIES = 50
TOKEN_BYTES = 24  # 192 bits, as long as Jupyter's own
STOP_S = 15  # seconds to end in order; Jupyter gives a kernel 5
LESSON = "notebooks/00_take_stock.ipynb"
SETTINGS = {  # files below .kit/jupyter
    "labconfig/page_config.json": {
        "disabledExtensions": {
            "@jupyterlab/apputils-extension:announcements": True,
            "@jupyterlab/extensionmanager-extension": True,
        }
    },
    "ipython/profile_default/ipython_kernel_config.json": {
        "HistoryManager": {"enabled": False},  # else all that is typed is kept in one more file
        "IPKernelApp": {"log_level": 40},  # errors only; warnings are for Jupyter's developers
    },
}


class LabError(Exception):
    """Base of the errors below."""


class NoJupyter(LabError):
    """JupyterLab is not installed in this Python."""


class NothingToOpen(LabError):
    """The folder does not hold the lesson."""


class PortTaken(LabError):
    """Another program answers on that port."""


def serve(
    folder: Path,
    *,
    lesson: str = LESSON,
    open_browser: bool = True,
    port: int | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Open *folder* in JupyterLab and stay until Ctrl+C.

    Whoever has the address can read the folder and run programs as you, so it
    is printed once and never handed to another program as an argument.

    Args:
        folder: A learner's copy of the lessons.
        lesson: Notebook to show first, below *folder*, with ``/``.
        open_browser: False leaves the browser alone; the address is printed either way.
        port: A fixed port; None takes 8888 or the next free one.
        say: Receives each line for the learner; None writes to stdout.

    Raises:
        NothingToOpen: *folder* has no such lesson.
        NoJupyter: JupyterLab is not installed.
        PortTaken: *port*, or all ports that were tried, are in use.
    """
    say = say or _say
    folder = folder.resolve()
    if not (folder / lesson).is_file():
        raise NothingToOpen(f"{folder.name} has no {lesson}; run kit lab to lay down the lessons")
    settings = folder / ".kit" / "jupyter"
    for name, content in SETTINGS.items():
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
        (settings / name).write_text(json.dumps(content), encoding="utf-8")
    os.environ.update(  # before the import below, which reads them
        KIT_WORKSPACE=str(folder),  # kernels inherit it: lessons find records and sample data
        IPYTHONDIR=str(settings / "ipython"),
        JUPYTER_CONFIG_DIR=str(settings),
        JUPYTERLAB_SETTINGS_DIR=str(settings / "lab" / "user-settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(settings / "lab" / "workspaces"),
        JUPYTER_PREFER_ENV_PATH="1",  # a python3 kernel in the home folder may be another Python
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    )
    try:
        from jupyterlab.labapp import LabApp  # type: ignore[import-untyped]
        from traitlets.config import Config
    except ImportError:
        raise NoJupyter("JupyterLab is not installed here; run python3 start.py") from None
    token = secrets.token_urlsafe(TOKEN_BYTES)
    config = Config()
    config.Application.log_level = "CRITICAL"
    config.IdentityProvider.token = token
    config.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
    config.LabApp.default_url = f"/lab/tree/{lesson}"
    config.LabApp.extension_manager = "readonly"
    config.LabApp.news_url = None
    config.ServerApp.allow_root = hasattr(os, "geteuid") and os.geteuid() == 0
    config.ServerApp.ip = "127.0.0.1"
    config.ServerApp.open_browser = False  # `_browse` does it
    config.ServerApp.port = port or PORT
    config.ServerApp.port_retries = 0 if port else PORT_TRIES
    config.ServerApp.root_dir = str(folder)
    if os.name != "nt":  # a login shell would set PATH anew, and not find the command kit
        config.ServerApp.terminado_settings = {"shell_command": [os.environ.get("SHELL") or "sh"]}
    try:
        server = LabApp.initialize_server(argv=[], config=config)
    except SystemExit:  # Jupyter's way to say that no port was free
        raise PortTaken(f"port {port or PORT} is in use; name another one with --port") from None
    address = f"http://127.0.0.1:{server.port}/lab/tree/{lesson}?token={token}"
    page = settings / "open.html"

    def announce() -> None:
        say("Your lessons are open at")
        say(f"  {address}")
        say("Keep this address to yourself. To stop, press Ctrl+C here.")
        if open_browser:
            _browse(address, page)

    server.io_loop.add_callback(announce)  # behind Jupyter's own, which opens the port
    try:
        with _one_ctrl_c_stops(server):
            server.start()
    finally:
        page.unlink(missing_ok=True)
        _let_go(server.io_loop.asyncio_loop)


@contextmanager
def _one_ctrl_c_stops(server: Any) -> Iterator[None]:
    """Have Ctrl+C end the kernels and the server in order; a second one, or time, ends it at once.

    Jupyter asks "are you sure" on a terminal, and elsewhere leaves its kernels to find out.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield  # it runs in the background, where Ctrl+C is not meant for it
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        loop = server.io_loop
        loop.asyncio_loop.call_soon_threadsafe(loop.call_later, STOP_S, loop.stop)
        server.stop(from_signal=True)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _let_go(loop: asyncio.AbstractEventLoop) -> None:
    """End what is still being answered: else its threads wait for more, and Python for them."""
    if tasks := asyncio.all_tasks(loop):
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=STOP_S))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # what follows runs for hours


def _browse(address: str, page: Path) -> None:
    """Open *address* through a private page: arguments of programs show in the process list.

    Jupyter's own such page lies in a hidden folder, which browsers installed as
    a snap (Ubuntu's default) may not read.
    """
    page.unlink(missing_ok=True)
    private = os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(private, "w", encoding="utf-8") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={address}">')
    threading.Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()
