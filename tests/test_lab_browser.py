"""Lesson 0 in a real browser: it opens, runs from top to bottom, and asks nobody but this computer.

Needs a Chromium or Chrome on this computer; Playwright only drives it, and downloads none.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from test_lab import served, stop

from kit.workspace import FIRST_LESSON, lay_out

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE_MS = 60_000  # a slow laptop needs 20 s for the first page
QUIET = [  # the browser itself asks its maker for updates and lists otherwise
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]


def chromium():
    """Return the path of a browser, or None."""
    found = os.environ.get("KIT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as play:
            own = Path(play.chromium.executable_path)
        found = str(own) if own.is_file() else None
    return found


@pytest.fixture
def browser():
    """Return a running browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if (program := chromium()) is None:
        pytest.skip("no Chromium or Chrome on this computer; install one, or set KIT_CHROMIUM")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_api.sync_playwright() as play:
        running = play.chromium.launch(
            executable_path=program, args=[*QUIET, *(["--no-sandbox"] if root else [])]
        )
        yield running
        running.close()


def seen(notebook):
    """Return what a reader sees below each code cell, however many pieces it came in."""
    return [
        "".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_lesson_0_runs_in_jupyterlab(browser, tmp_path):
    """What `kit lab` opens works: all cells run, as stored, and nothing is fetched from outside."""
    folder = lay_out(tmp_path / "my lessons").folder
    stored = nbformat.read(folder / FIRST_LESSON, as_version=4)
    empty = nbformat.read(folder / FIRST_LESSON, as_version=4)
    for cell in empty.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(empty, folder / FIRST_LESSON)
    asked, complaints = set(), []
    with served(folder, open_browser=False) as (process, address):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
        page.on("websocket", lambda socket: asked.add(urlsplit(socket.url).hostname))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.get_by_role("heading", name="Take stock of what you hold").wait_for()
        page.locator('[data-status="idle"]').first.wait_for()  # the kernel is there
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        last = sum(cell.cell_type == "code" for cell in empty.cells)
        page.get_by_text(f"[{last}]:", exact=True).first.wait_for()
        page.screenshot(path=tmp_path / "lesson_00.png")
        page.keyboard.press("Control+s")
        page.wait_for_function("() => !document.querySelector('.lm-TabBar-tab.jp-mod-dirty')")
        page.close()
        stop(process)
    ran = nbformat.read(folder / FIRST_LESSON, as_version=4)

    assert seen(ran) == seen(stored)
    assert asked <= {"127.0.0.1", None}  # None: pictures that stand in the page itself
    assert complaints == []
