# SPDX-License-Identifier: MIT-0
"""Say in plain words whether this computer is ready for the lessons, and what to do if not.

Copy: ``kit copy doctor --into DIR``, or take this file as it is.
Needs: Python 3.11, jupyter_client. Nothing else from this kit.
Data: none.

One line per check, and under each ``[FAIL]`` one thing to do::

    [ OK ] Python 3.13 for 64 bits
    [FAIL] the notebook kernel runs in another Python
           run python3 start.py again

``[NOTE]`` works, but is worth knowing. The home folder is written ``~``, so that
the output can be mailed to a trainer. Nothing is changed and nothing is sent.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

OK, NOTE, FAIL = "OK", "NOTE", "FAIL"
MARKS = {OK: "[ OK ]", NOTE: "[NOTE]", FAIL: "[FAIL]"}
ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
MADE_ON = date(2026, 11, 1)  # a clock before this is wrong: the kit did not exist
CLOCK_YEARS = 15  # a clock later than this after MADE_ON is more likely wrong than right
FULL_BYTES = 100_000_000  # lessons, a made-up shop of 10,000 customers and its backups: about 60 MB
LOW_BYTES = 1_000_000_000  # where most systems begin to misbehave
MANIFEST = ".kit/manifest.json"  # as workspace.py writes it
SYNCED = {  # folder name, as it begins, and who takes it off this computer
    "onedrive": "OneDrive",
    "dropbox": "Dropbox",
    "google drive": "Google Drive",
    "googledrive": "Google Drive",
    "my drive": "Google Drive",
    "icloud": "iCloud",
    "mobile documents": "iCloud",
    "nextcloud": "Nextcloud",
    "owncloud": "ownCloud",
    "box sync": "Box",
    "pclouddrive": "pCloud",
}
AGAIN = "run python3 start.py again"


@dataclass(frozen=True)
class Check:
    """One line of the report. `remedy` is the one thing to do, "" where there is none."""

    level: str  # OK, NOTE or FAIL
    text: str
    remedy: str = ""


def check(folder: Path, *, now: datetime, lock: Path | None = None) -> list[Check]:
    """Look at everything the lessons need.

    Args:
        folder: The learner's folder, which need not exist yet.
        now: Aware time, as this computer's clock gives it.
        lock: File of ``name==version`` lines to compare with; None means the
            kit's own, and a note where there is none.
    """
    if now.tzinfo is None:
        raise TypeError("now= needs a time zone")
    lock = lock or ROOT / "requirements.txt"
    return [
        python(),
        kernel(),
        packages(lock),
        lessons(folder),
        sample_data(folder),
        writable(folder),
        private(folder),
        space(folder),
        utf8(),
        time_zones(),
        clock(now),
        port(),
    ]


def report(checks: Iterable[Check]) -> str:
    """Return the lines to show, with the home folder as ``~``."""
    lines = []
    for one in checks:
        lines.append(f"{MARKS[one.level]} {one.text}")
        if one.remedy:
            lines.append(f"       {one.remedy}")
    return _homeless("\n".join(lines))


def ready(checks: Iterable[Check]) -> bool:
    """Return whether nothing failed; notes do not count."""
    return all(one.level != FAIL for one in checks)


def python(found: tuple[int, int] = sys.version_info[:2], bits: int | None = None) -> Check:
    """The lessons need Python 3.11 or newer; 32 bits lack ready-made packages."""
    bits = bits or (64 if sys.maxsize > 2**32 else 32)
    text = f"Python {found[0]}.{found[1]} for {bits} bits"
    if found < OLDEST_PYTHON:
        return Check(FAIL, text, "install Python 3.11 or newer from python.org")
    if bits < 64:
        return Check(FAIL, text, "install the 64-bit Python from python.org")
    return Check(OK, text)


def kernel() -> Check:
    """The classic fault: notebooks run in another Python than the one the kit is in."""
    if importlib.util.find_spec("ipykernel") is None:
        return Check(FAIL, "notebooks cannot run: ipykernel is missing", AGAIN)
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        return Check(FAIL, "notebooks cannot run: jupyter_client is missing", AGAIN)
    own = Path(sys.prefix) / "share" / "jupyter" / "kernels"
    try:  # kit lab looks in the kit's own Python first; other ways to open a notebook may not
        ours = KernelSpecManager(kernel_dirs=[str(own)]).get_kernel_spec("python3").argv[0]
        usual = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Check(FAIL, "there is no notebook kernel named python3", AGAIN)
    if not _is_here(ours):
        return Check(FAIL, f"notebooks run in another Python: {ours}", AGAIN)
    if not _is_here(usual):
        return Check(
            NOTE,
            f"notebooks opened without kit lab run in another Python: {usual}",
            "open the lessons with kit lab only",
        )
    return Check(OK, "notebooks run in the Python of the kit")


def packages(lock: Path) -> Check:
    """Other versions than the tested ones may show other outputs."""
    if not lock.is_file():
        return Check(NOTE, "package versions were not compared: the lock comes with the repository")
    wanted = _locked(lock)
    missing, other = [], []
    for name, (versions, everywhere) in wanted.items():
        try:
            if version(name) not in versions:
                other.append(name)
        except PackageNotFoundError:
            if everywhere:
                missing.append(name)
    if missing:
        return Check(FAIL, f"missing packages: {_some(missing)}", AGAIN)
    if other:
        return Check(NOTE, f"versions other than the tested ones: {_some(other)}", AGAIN)
    return Check(OK, f"{len(wanted)} packages as tested")


def lessons(folder: Path) -> Check:
    """Lessons of one version call tools of the same version."""
    manifest = _manifest(folder)
    here = _kit_version()
    if manifest is None:
        return Check(NOTE, f"no lessons in {folder}", "kit lab lays them down and opens them")
    laid = str(manifest.get("kit"))
    if laid != here:
        return Check(
            FAIL,
            f"lessons of version {laid}, tools of version {here}",
            "run kit lab: it brings new lessons and keeps what you wrote",
        )
    return Check(OK, f"lessons and tools have version {here}")


def sample_data(folder: Path) -> Check:
    """Changed sample data make the lessons show other numbers."""
    files = (_manifest(folder) or {}).get("files")
    hashes = {
        name: digest
        for name, digest in (files.items() if isinstance(files, dict) else ())
        if name.startswith("sample_data/")
    }
    if not hashes:
        return Check(NOTE, "sample data were not compared: none laid down yet")
    changed = [name for name, digest in hashes.items() if _sha256(folder / name) != digest]
    if changed:
        return Check(
            FAIL,
            f"sample data changed or missing: {_some([Path(n).name for n in changed])}",
            "run kit reset sample_data: yours are kept in my-work",
        )
    return Check(OK, f"{len(hashes)} files of sample data as delivered")


def writable(folder: Path) -> Check:
    """A lesson saves notebooks, records and a small database."""
    place = _nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=place):
            return Check(OK, f"{folder} can be written to")
    except OSError:
        return Check(
            FAIL,
            f"{folder} cannot be written to",
            "choose a folder in your home folder: kit lab DIR",
        )


def private(folder: Path, environ: Mapping[str, str] = os.environ) -> Check:
    """A folder that a sync program or git uploads takes real names with it."""
    folder = folder.resolve()
    for part in (folder, *folder.parents):
        name = part.name.casefold()
        for start, service in SYNCED.items():
            if name.startswith(start) or str(part) == environ.get(service, "\0"):
                return Check(
                    FAIL,
                    f"{folder} is uploaded by {service}",
                    "choose a folder that is not synchronised: kit lab DIR",
                )
    ignored = folder / ".gitignore"
    listed = ignored.is_file() and "*" in ignored.read_text(encoding="utf-8").split()
    in_git = any((part / ".git").exists() for part in (folder, *folder.parents))
    if in_git and folder.is_dir() and not listed:
        return Check(
            FAIL,
            f"{folder} lies in a git repository that would take it along",
            "run kit lab again: it adds a .gitignore",
        )
    return Check(OK, "your folder stays on this computer: no sync program, no git")


def space(folder: Path, free: int | None = None) -> Check:
    """A full disk stops a backup half-way."""
    free = shutil.disk_usage(_nearest(folder)).free if free is None else free
    text = f"{free / 1e9:.1f} GB of free space"
    if free < FULL_BYTES:
        return Check(FAIL, text, "free at least 1 GB, for example by emptying the bin")
    if free < LOW_BYTES:
        return Check(NOTE, text, "enough for the lessons, but little for anything else")
    return Check(OK, text)


def utf8(encoding: str | None = None) -> Check:
    """Names such as José must come out of the terminal as they went in."""
    encoding = encoding or getattr(sys.stdout, "encoding", None) or "ascii"
    if encoding.casefold().replace("-", "").startswith("utf8"):
        return Check(OK, "text is UTF-8")
    return Check(
        NOTE,
        f"this terminal writes {encoding}: names with accents may look wrong",
        "set PYTHONUTF8=1",
    )


def time_zones(zone: str = "America/New_York") -> Check:
    """Retention dates are counted in the shop's own time zone."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return Check(FAIL, "no time-zone data", AGAIN)
    return Check(OK, "time-zone data are there")


def clock(now: datetime) -> Check:
    """A wrong clock gives wrong deadlines."""
    text = f"the clock says {now:%Y-%m-%d %H:%M}"
    if not MADE_ON <= now.date() <= MADE_ON.replace(year=MADE_ON.year + CLOCK_YEARS):
        return Check(FAIL, text, "set this computer's date and time")
    return Check(OK, text)


def port() -> Check:
    """JupyterLab talks to the browser over a port of this computer."""
    try:
        with socket.socket() as door:
            door.bind(("127.0.0.1", 0))
    except OSError:
        return Check(
            FAIL,
            "no port can be opened on 127.0.0.1",
            "allow Python in the settings of your security program",
        )
    return Check(OK, "the browser can reach JupyterLab on this computer")


def _is_here(program: str) -> bool:
    """Return whether a kernel's program is this Python; Jupyter replaces a bare name by it."""
    bare = {"python", "python3", f"python{sys.version_info[0]}.{sys.version_info[1]}"}
    return program in bare or Path(program).absolute() == Path(sys.executable).absolute()


def _kit_version() -> str:
    try:
        return version("customer-data-kit")
    except PackageNotFoundError:
        return "unknown"


def _manifest(folder: Path) -> Mapping[str, object] | None:
    """Return what workspace.py noted, or None."""
    try:
        read = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) else None


def _locked(lock: Path) -> dict[str, tuple[set[str], bool]]:
    """Return, per package, its locked versions and whether every system needs it."""
    wanted: dict[str, tuple[set[str], bool]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)\s*(;?)", line):
            name, release, marker = found.groups()
            versions, everywhere = wanted.get(name, (set(), False))
            wanted[name] = ({*versions, release}, everywhere or not marker)
    return wanted


def _nearest(folder: Path) -> Path:
    """Return *folder*, or the closest folder above it that exists."""
    return next(part for part in _upwards(folder.resolve()) if part.is_dir())


def _upwards(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.parents


def _some(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _homeless(text: str) -> str:
    """Write the home folder as ``~``, in each form it may stand in."""
    home = Path.home()
    if len(home.parts) < 2:  # home is "/" itself: nothing to hide, and every path would match
        return text
    for form in sorted({str(home), str(home.resolve()), home.as_posix()}, key=len, reverse=True):
        text = re.sub(rf"{re.escape(form)}(?![\w.-])", "~", text)
    return text
