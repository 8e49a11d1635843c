# SPDX-License-Identifier: MIT-0
"""Open the lessons with one command, on a computer that has nothing but Python.

    python3 start.py                open the lessons in JupyterLab (on Windows: py start.py)
    python3 start.py tour           the life of customer data, in the terminal
    python3 start.py setup          only make ready
    python3 start.py test [ARGS]    every check; with ARGS pytest alone, which gets them
    python3 start.py bench [NAME]   the benchmarks
    python3 start.py wheels DIR     download everything for a workshop without internet
    python3 start.py --from DIR     install from that folder; with any command
    python3 start.py lock           pin the packages anew, for developers; needs uv

The first run makes the folder ``.venv`` beside this file and installs into it the packages of
``requirements.txt``, each compared with the SHA-256 written there. A stamp is written into it
last: a run that was cut off is seen and repaired, and a finished one starts at once.

Exit code: 0 done, 1 failed, 2 wrong usage; ``lab`` and ``tour`` pass on their own.
"""

import argparse
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VERSIONS = ["3.11", "3.12", "3.13", "3.14"]  # of Python, from the oldest that the kit runs on


def newer_python() -> str:
    """Return a command on this computer that starts a new enough Python, or nothing."""
    names = [["py", "-3"]] if os.name == "nt" else []
    names += [[f"python{version}"] for version in reversed(VERSIONS)] + [["python3"]]
    for name in names:
        test = [*name, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        quiet = subprocess.DEVNULL
        if shutil.which(name[0]) and subprocess.call(test, stdout=quiet, stderr=quiet) == 0:
            return " ".join(name)
    return ""


# Down to here every Python 3.6 must come; to parse the rest is enough.
if sys.version_info < (3, 11):  # noqa: UP036 (an old Python gets a sentence, no traceback)
    found = newer_python()
    todo = f"run: {found} start.py" if found else "install a newer one from python.org"
    here = "{}.{}".format(*sys.version_info)
    sys.exit(f"start.py: Python {here} is too old, 3.11 or newer is needed; {todo}")

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
WINDOWS = os.name == "nt"
BIN = VENV / ("Scripts" if WINDOWS else "bin")
PYTHON = BIN / ("python.exe" if WINDOWS else "python")
KIT = BIN / ("kit.exe" if WINDOWS else "kit")
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
SITE = VENV / ("Lib" if WINDOWS else f"lib/python{VERSION}") / "site-packages"
LOG = VENV / "install.log"
STAMP = VENV / "complete.json"
RUN, TEST = "requirements.txt", "requirements-test.txt"
USAGE = "python3 start.py [COMMAND] [ARGUMENTS]"

NO_ROOM = (
    "the disk is full; make about {room} MB of room, then run it again (free now: {here} MB here, "
    "{temporary} MB in the folder for temporary files)"
)
ALTERED = "a download does not match the lock: cut short or changed on the way; run it again"
NO_NETWORK = (
    "no network; connect to the internet and run it again, or use a folder of wheels (--from)"
)
NO_TRUST = "the network's certificate is not trusted; name the network's own in PIP_CERT"
NO_PACKAGE = "{package} is not to be had for {target}; use a 64-bit Python 3.11 to 3.14"
TOO_LONG = "the path of this folder is too long for Windows; move it to a shorter one, like C:\\kit"
NO_RIGHT = (
    "no right to write here; close JupyterLab and editors, or copy the kit to your own folder"
)
# What pip or venv says on one system or another, and what it means. The first that fits wins:
# a lost connection, for one, also ends in "no matching distribution".
REASONS = {
    r"No space left|\[Errno 28\]|Disk quota exceeded|WinError 112|not enough space": NO_ROOM,
    r"No usable temporary directory": NO_ROOM,
    r"DO NOT MATCH THE HASHES": ALTERED,
    r"CERTIFICATE_VERIFY_FAILED": NO_TRUST,
    r"NewConnectionError|Failed to establish|name resolution|getaddrinfo|[Tt]imed out": NO_NETWORK,
    r"ProxyError|Connection(?:Reset|Refused|Aborted)|RemoteDisconnected|Timeout": NO_NETWORK,
    r"Long Path support": TOO_LONG,
    r"No matching distribution found for (?P<package>[\w.-]+)": NO_PACKAGE,
    r"Permission ?[Dd]enied|\[Errno 13\]|WinError 5\b|Read-only file system": NO_RIGHT,
}


class Stop(Exception):
    """An expected failure: one plain line, what happened and what to do next."""


def explain(said: str, otherwise: str, target: str = "") -> str:
    """Return the plain reason that an error or the output of pip or venv comes down to."""
    target = target or f"this Python ({VERSION}, {64 if sys.maxsize > 2**32 else 32} bit)"
    room = free_room()
    for pattern, sentence in REASONS.items():
        match = re.search(pattern, said)
        if match:
            return sentence.format(target=target, **match.groupdict(), **room)
    return NO_ROOM.format(**room) if room["here"] < 20 else otherwise  # MB; cuts off logs, too


def free_room() -> dict[str, int]:
    """Return the megabytes that are needed, free here, and free where pip unpacks."""
    try:
        temporary = shutil.disk_usage(tempfile.gettempdir()).free // 2**20
    except OSError:  # there is no folder for temporary files that can be written to
        temporary = 0
    # 770 MB with TEST, the bytecode that comes later, and downloads while they are unpacked
    here = shutil.disk_usage(ROOT).free // 2**20
    return {"room": 1200, "here": here, "temporary": temporary}


def child_env() -> dict[str, str]:
    """Return the environment of everything that is started: as if .venv were activated."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    env["PATH"] = str(BIN) + os.pathsep + env.get("PATH", "")
    return {**env, "VIRTUAL_ENV": str(VENV), "PYTHONUTF8": "1"}  # text is UTF-8 on every system


def pip_env(*, online: bool) -> dict[str, str]:
    """Return pip's environment: offline it knows no index, whatever this computer is set to.

    Online the person's own mirror, proxy or certificate hold, but nothing that would put the
    packages into another place.
    """
    if online:
        astray = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PIP_NO_BINARY")
        return {**{k: v for k, v in child_env().items() if k not in astray}, "PIP_USER": "0"}
    env = {k: v for k, v in child_env().items() if not k.startswith("PIP_")}
    return {**env, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}


def wanted(lock: str) -> dict[str, str]:
    """Return what the stamp must say for *lock* to be installed, here, by this Python."""
    stamp = {"folder": str(ROOT), "python": VERSION}
    for name in {RUN, lock, "pyproject.toml"}:
        stamp[name] = hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
    return stamp


def stamped(wish: dict[str, str]) -> bool:
    """Say whether .venv was finished, and as *wish* says."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(stamp, dict) and PYTHON.exists() and wish.items() <= stamp.items()


def make_venv() -> None:
    """Make an empty .venv, in place of a half-made one. What is not a .venv is never deleted."""
    for part in ("venv", "ensurepip"):
        if importlib.util.find_spec(part) is None:
            raise Stop(
                f"this Python lacks its part {part}, so .venv cannot be made; on Debian or Ubuntu: "
                f"sudo apt install python{VERSION}-venv, elsewhere install Python from python.org"
            )
    if os.path.lexists(VENV):
        ours = VENV.is_dir() and not VENV.is_symlink()
        if ours and not (VENV / "pyvenv.cfg").is_file():  # cut off even earlier: only empty folders
            ours = not any(path.is_file() for path in VENV.rglob("*"))
        if not ours:
            raise Stop(f"{VENV} is not a virtual environment; rename it, then run it again")
        print("The .venv here is unfinished or was made elsewhere: making it again.")
        shutil.rmtree(VENV)
    # A .venv cannot be made anew by the Python inside it: go to the one it was made from.
    python = getattr(sys, "_base_executable", None) or sys.executable
    command = [python, "-I", "-X", "utf8", "-m", "venv", str(VENV)]
    made = subprocess.run(command, env=pip_env(online=False), capture_output=True)
    if made.returncode:
        said = (made.stdout + made.stderr).decode("utf-8", "replace").strip()
        raise Stop(explain(said, f".venv could not be made: {said.splitlines()[-1:]}"))


def progress(packages: int) -> str:
    """Read off pip's log how far it is."""
    text = LOG.read_text(encoding="utf-8", errors="replace")
    packages -= len(re.findall(r"^Ignoring ", text, re.M))
    done = len(re.findall(r"^(?:Collecting|Requirement already satisfied:) ", text, re.M))
    if "\nInstalling collected packages" not in text:
        return f"  fetching {min(done, packages)} of {packages}"
    done = len(list(SITE.glob("*.dist-info")))
    return f"  unpacking {min(done, packages)} of {packages}"


def pip(arguments: list[str], env: dict[str, str], packages: int = 0, target: str = "") -> None:
    """Run pip with its output in the log, and one moving line for a person who watches.

    Raises:
        Stop: If pip fails, with what its words come down to.
    """
    quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command = [str(PYTHON), "-I", "-X", "utf8", "-m", "pip", *arguments, *quiet]
    watched = packages and sys.stdout.isatty()
    with LOG.open("wb") as log:
        with subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log) as process:
            while process.poll() is None:
                time.sleep(0.2)  # seconds between two looks at the log
                if watched:
                    print("\r" + progress(packages).ljust(40), end="", flush=True)
    if watched:
        print("\r" + " " * 40 + "\r", end="", flush=True)
    if process.returncode:
        words = f"the packages could not be installed; pip's own words are in {LOG}"
        raise Stop(explain(LOG.read_text(encoding="utf-8", errors="replace"), words, target))


def make_ready(lock: str, wheels: Path | None) -> None:
    """Have .venv finished for *lock*: at once if its stamp fits, else by installing.

    Args:
        lock: Name of the file with the pinned packages.
        wheels: Folder to install from, or None for the network.
    """
    wish = wanted(lock)
    if stamped(wish):
        return
    begin = time.monotonic()
    if not stamped({key: wish[key] for key in ("folder", "python")}):
        make_venv()
    before = STAMP.read_bytes() if STAMP.exists() else b""
    STAMP.unlink(missing_ok=True)  # from here on .venv is unfinished
    packages = len(re.findall(r"^[\w.-]+(?:\[.*\])?==", (ROOT / lock).read_text("utf-8"), re.M))
    print(f"Installing {packages} packages into .venv: about 2 minutes the first time.")
    place = ["--no-index", "--find-links", str(wheels.resolve())] if wheels else ["--retries", "2"]
    # --no-compile: Python does it later, and only for the files that are used
    install = ["install", "--require-hashes", "--only-binary", ":all:", "--no-compile", *place]
    try:
        pip([*install, "-r", lock], pip_env(online=not wheels), packages)
    except Stop:
        if before and b"\nInstalling collected packages" not in LOG.read_bytes():
            STAMP.write_bytes(before)  # nothing was changed: what was ready still is
        raise
    # Built by flit-core, which the lock has brought, so that nothing comes here unhashed.
    own = ["install", "--no-deps", "--no-build-isolation", "--no-index", "--editable", "."]
    pip(own, pip_env(online=False))
    if not str(ROOT).isascii():
        # Before Python 3.13, Windows reads the link to kit/ in its own code page; this is ASCII.
        line = f"import sys; sys.path.append({ascii(str(ROOT))})\n"
        (SITE / "customer_data_kit_path.pth").write_text(line, encoding="ascii")
    part = STAMP.with_suffix(".part")
    part.write_text(json.dumps(wish, indent=1), encoding="utf-8")
    part.replace(STAMP)  # written last and in one go
    print(f"Ready after {time.monotonic() - begin:.0f} seconds.")


def run(command: list[str]) -> int:
    """Run a program in .venv until it ends by itself, and return its exit code."""
    process = subprocess.Popen(command, env=child_env())
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 1
        except KeyboardInterrupt:  # the program got the key too: JupyterLab asks before it stops
            continue


# loadfile: the cells of one notebook stay together, in order; 60 s is the limit of a lesson's cell
NBVAL = "-n 2 --dist loadfile --nbval-current-env --nbval-cell-timeout=60".split()
NBVAL += ["--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]


def run_checks(rest: list[str], *, slow: bool, lax: bool) -> int:
    """Run every check, even if one fails, and sum up."""
    os.chdir(ROOT)
    tool = [str(PYTHON), "-m"]
    pytest = [*tool, "pytest", "-m", "slow" if slow else "not slow"]
    if rest:
        return run([*pytest, *rest])
    tier = "--nbval-lax" if lax else "--nbval"
    steps = {
        "ruff check": [*tool, "ruff", "check"],
        "ruff format": [*tool, "ruff", "format", "--check"],
        "mypy": [*tool, "mypy"],
        "tests": [*pytest, "-n", "2"],
        "lessons": [*tool, "pytest", "notebooks", tier, *NBVAL],
    }
    if slow:
        steps = {"slow tests": steps["tests"]}
    lines, failures = [], 0
    for name, command in steps.items():
        print(f"\n== {name}")
        begin = time.monotonic()
        code = run(command)
        if slow and code == 5:  # pytest's word for: none was there to run
            print("No test is marked slow yet: nothing to do.")
            code = 0
        failures += code != 0
        took = time.monotonic() - begin
        lines.append(f"{name:<12} {'FAILED' if code else 'passed'} {took:7.1f} s")
    print("\n" + "\n".join(lines))
    print(f"steps: {len(steps) - failures} passed, {failures} failed")
    return 1 if failures else 0


def run_benchmarks(names: list[str]) -> int:
    """Run the benchmarks in tests/bench, all or those named, one after the other."""
    found = {path.stem.removeprefix("bench_"): path for path in ROOT.glob("tests/bench/bench_*.py")}
    unknown = [name for name in names if name not in found]
    if unknown or not found:
        known = " ".join(sorted(found)) or "none yet"
        raise Stop(f"no benchmark has the name {' '.join(unknown)}; there are: {known}")
    codes = []
    for name in names or sorted(found):
        print(f"\n== {name}")
        codes.append(run([str(PYTHON), str(found[name])]))
    return 1 if any(codes) else 0


# Asked of pip's own reader of markers, in .venv: which lines of the lock hold on that system?
HOLDS = """
import json, sys
from pip._vendor.packaging.markers import Marker
markers, environment = json.load(sys.stdin)
print(json.dumps([not text or Marker(text).evaluate(environment) for text in markers]))
"""
# The systems of --for: what pip calls their wheels, and what the lock's markers ask of them.
SYSTEMS = {
    "windows": ("win_amd64", "win32 nt Windows AMD64"),
    "macos": ("macosx_14_0_arm64", "darwin posix Darwin arm64"),
    "linux": ("manylinux2014_x86_64", "linux posix Linux x86_64"),
}
MARKERS = ("sys_platform", "os_name", "platform_system", "platform_machine")
GLIBC = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1)]  # as old as Debian 10


README = """The packages of customer-data-kit for {target}. Without internet, in the
kit's own folder, where Python 3.11 or newer is installed, and with this folder's path for DIR:

    {start} --from DIR
"""


def lock_for(lock: str, environment: dict[str, str]) -> str:
    """Return the lines of a lock that hold in *environment*: pip asks only its own computer."""
    lines = (ROOT / lock).read_text("utf-8").replace("\\\n", " ").splitlines()
    parts = [line.partition(" --hash=") for line in lines if " --hash=" in line]
    pins = [pin.partition(";") for pin, _, _ in parts]
    question = json.dumps([[marker.strip() for _, _, marker in pins], environment]).encode()
    ask = [str(PYTHON), "-I", "-c", HOLDS]
    answer = subprocess.run(ask, input=question, stdout=subprocess.PIPE, check=True).stdout
    kept = zip(pins, parts, json.loads(answer), strict=True)
    return "".join(f"{pin[0]} --hash={part[2]}\n" for pin, part, holds in kept if holds)


def fetch_wheels(folder: Path, lock: str, system: str, python: str) -> int:
    """Download into a folder what `--from` needs on a computer without a network."""
    folder.mkdir(parents=True, exist_ok=True)
    name, facts = SYSTEMS.get(system, ("", ""))
    other = ["--python-version", python, "--implementation", "cp"] if python != VERSION else []
    other += [f"--platform={name}" for name in [name, *(GLIBC if "linux" in name else [])] if name]
    environment = dict(zip(MARKERS, facts.split(), strict=False), python_version=python)
    # The oldest and the newest 3.x.y: the lock may pin an older package for an older y.
    ends = [{**environment, "python_full_version": f"{python}.{last}"} for last in (0, 99)]
    target = f"Python {python} on {system or 'this system'}"
    print(f"Downloading the packages of {lock} for {target}.")
    with tempfile.TemporaryDirectory() as temporary:
        part = Path(temporary) / lock
        for text in sorted({lock_for(lock, end) for end in ends}):
            part.write_text(text, encoding="utf-8")
            place = ["--retries", "2", *other, "--dest", str(folder), "-r", str(part)]
            fetch = ["download", "--no-deps", "--require-hashes", "--only-binary", ":all:", *place]
            pip(fetch, pip_env(online=True), text.count("\n"), target)
    start = "py start.py" if system == "windows" else "python3 start.py"
    (folder / "README.txt").write_text(README.format(target=target, start=start), encoding="utf-8")
    found = list(folder.glob("*.whl"))
    size = sum(path.stat().st_size for path in found) // 2**20
    print(f"{len(found)} packages, {size} MB, are in {folder}: see README.txt there.")
    return 0


def make_lock(rest: list[str]) -> int:
    """Pin every package anew; what is given on the command line goes to uv."""
    if not shutil.which("uv"):
        raise Stop("the lock is made by uv, which is not here; install it, then run it again")
    base = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--generate-hashes", "--quiet"]
    base += ["--no-emit-index-url", "--python-version", "3.11"]  # the oldest this runs on
    base += ["--custom-compile-command", "python3 start.py lock", "--extra", "lab"]
    # the same versions in both, so that `test` only adds to what an owner runs
    for name, extra in ((TEST, ["--extra", "test"]), (RUN, ["-c", TEST])):
        command = [*base, *extra, *rest, "-o", name]
        if subprocess.call(command, cwd=ROOT, stdout=subprocess.DEVNULL):
            return 1
        print(f"{name} is made.")
    return 0


def main(arguments: list[str]) -> int:
    """Do one command; see the top of this file."""
    names = ("lab", "tour", "setup", "test", "bench", "wheels", "lock")
    parser = argparse.ArgumentParser("start.py", USAGE, __doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("command", choices=names, metavar="COMMAND", help=", ".join(names))
    add("--from", dest="wheels", metavar="DIR", type=Path, help="install from a folder of wheels")
    add("--slow", action="store_true", help="test: the slow tests, and only they")
    add("--lax", action="store_true", help="test: of the lessons' outputs only the essential ones")
    add("--for", dest="system", default="", choices=SYSTEMS, help="wheels: for another system")
    add("--python", choices=VERSIONS, default=VERSION, help="wheels: for another Python")
    add("--all", action="store_true", help="wheels: also what test and bench need")
    if not arguments or arguments[0].startswith("-") and arguments[0] not in ("-h", "--help"):
        arguments = ["lab", *arguments]
    options, rest = parser.parse_known_args(arguments)
    command = options.command
    if command == "setup" and rest:
        parser.error(f"setup does not know: {' '.join(rest)}")
    if command == "wheels" and (len(rest) != 1 or rest[0].startswith("-")):
        parser.error("wheels needs one folder: start.py wheels DIR")
    if options.wheels and not options.wheels.is_dir():
        parser.error(f"--from: there is no folder {options.wheels}")

    if command == "lock":
        return make_lock(rest)
    make_ready(TEST if command in ("test", "bench") else RUN, options.wheels)
    if command == "setup":
        print("To open the lessons: python3 start.py")
        return 0
    if command == "test":
        return run_checks(rest, slow=options.slow, lax=options.lax)
    if command == "bench":
        return run_benchmarks(rest)
    if command == "wheels":
        lock = TEST if options.all else RUN
        return fetch_wheels(Path(rest[0]).absolute(), lock, options.system, options.python)
    return run([str(KIT), command, *rest])


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path may not fit the console's letters; a line stands before those of the programs run.
        sys.stdout.reconfigure(errors="replace", line_buffering=True)
    try:
        sys.exit(main(sys.argv[1:]))
    except Stop as stop:
        sys.exit(f"start.py: {stop}")
    except KeyboardInterrupt:
        sys.exit("start.py: stopped; run it again to carry on")
    except OSError as error:
        sys.exit(f"start.py: {explain(str(error), str(error))}")
