"""The first command a shop owner types works, or says in one line what to do instead.

Every test runs the real start.py in a small project of its own. Its packages are wheels made here,
so that nothing is fetched; stand-ins for ruff, mypy and pytest say how they were called.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
START = ROOT / "start.py"
CLOSED = "http://127.0.0.1:9/simple"  # the discard port: nobody answers on this computer
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs a program that only Linux has")

PYPROJECT = """
[build-system]
requires = ["flit_core"]
build-backend = "flit_core.buildapi"
[project]
name = "customer-data-kit"
version = "1.0"
description = "a small project in its place"
[project.scripts]
kit = "kit.cli:main"
[tool.flit.module]
name = "kit"
"""
CLI = """
import sys
def main():
    print("kit was called with", sys.argv[1:])
    sys.exit(3 if "three" in sys.argv else 0)
"""
STAND_IN = """
import pathlib, sys
print("{name} was called with", " ".join(sys.argv[1:]) or "nothing", flush=True)
wish = pathlib.Path("exit-{name}")
sys.exit(int(wish.read_text()) if wish.exists() else 0)
"""


# A project small enough to be made in seconds ---------------------------------------------------


def pack(folder, name, version, files):
    """Write a wheel, and return its line for a lock."""
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, data in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{path},sha256={digest},{len(data)}\n")
            archive.writestr(path, data)
        archive.writestr(f"{info}/RECORD", "".join(rows) + f"{info}/RECORD,,\n")
    (folder / f"{name}-{version}-py3-none-any.whl").write_bytes(content.getvalue())
    return pin(f"{name}=={version}", hashlib.sha256(content.getvalue()).hexdigest())


def pin(requirement, digest="0" * 64):
    """Return one requirement in the shape of a lock."""
    return f"{requirement} \\\n    --hash=sha256:{digest}\n"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Return a folder of wheels with the two locks that they fit."""
    folder = tmp_path_factory.mktemp("wheels")
    flit = importlib.metadata.distribution("flit_core")
    code = {
        str(path).replace("\\", "/"): path.locate().read_bytes()
        for path in flit.files
        if path.parts[0] == "flit_core" and path.suffix != ".pyc"
    }
    lock = pack(folder, "flit_core", flit.version, code)
    windows = pack(folder, "only_windows", "1.0", {"only_windows.py": b""})
    lock += windows.replace("==1.0", "==1.0 ; sys_platform == 'win32'")
    tools = ("ruff", "mypy", "pytest")
    stand_ins = {f"{name}.py": STAND_IN.format(name=name).encode() for name in tools}
    (folder / "requirements.txt").write_text(lock)
    lock += pack(folder, "stand_ins", "1.0", stand_ins)
    (folder / "requirements-test.txt").write_text(lock)
    return folder


def make_project(folder, wheels):
    """Lay down the small project, without .venv."""
    (folder / "kit").mkdir(parents=True)
    shutil.copy(START, folder)
    for lock in wheels.glob("*.txt"):
        shutil.copy(lock, folder)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "kit" / "__init__.py").write_text('"""A kit in its place."""\n')
    (folder / "kit" / "cli.py").write_text(CLI)
    return folder


def clean_env(**changes):
    """Return an environment in which pip has no settings, and only we say what it finds."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    return {**env, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": CLOSED, **changes}


def start(folder, *arguments, python=(sys.executable,), **changes):
    """Run start.py in *folder* as a person would, with the settings in *changes*."""
    return subprocess.run(
        [*python, str(folder / "start.py"), *map(str, arguments)],
        cwd=folder,
        env=clean_env(PYTHONUTF8="1", **changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
    )


def disguised(code):
    """Return a Python that runs *code* before start.py, and so is old or lacks something."""
    runner = "import runpy, sys; del sys.argv[0]; " + code
    return (sys.executable, "-c", runner + "; runpy.run_path(sys.argv[0], run_name='__main__')")


def refusal(result):
    """Return the one line with which start.py gave up."""
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stderr.startswith("start.py: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert "127.0.0.1" not in result.stdout + result.stderr, "the index is nobody's business"
    return result.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory, wheels):
    """Return a project after its first run, which found a .venv that was cut off at once."""
    folder = make_project(tmp_path_factory.mktemp("shop") / "Käse & Blüten", wheels)
    (folder / ".venv" / "lib").mkdir(parents=True)
    # What a person may have set for other projects must not lead the packages astray.
    result = start(folder, "setup", "--from", wheels, PIP_TARGET="elsewhere", PIP_USER="1")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture
def project(made, wheels):
    """Return the project of `made`, and put back its locks afterwards."""
    yield made
    for lock in wheels.glob("*.txt"):
        shutil.copy(lock, made)
    for wish in made.glob("exit-*"):
        wish.unlink()


def add_to_lock(project, line):
    """Add a package to what the lessons need, as an update of the kit does."""
    with (project / "requirements.txt").open("a") as lock:
        lock.write(line)


# The first run, and the second ------------------------------------------------------------------


def test_the_lessons_open_in_a_folder_with_spaces_and_umlauts(project):
    """A shop keeps the kit where it keeps everything: in "Käse & Blüten"."""
    result = start(project, "lab", "my lessons", "--port", "8899")

    assert result.stdout == "kit was called with ['lab', 'my lessons', '--port', '8899']\n"
    assert result.returncode == 0


def test_without_a_command_the_lessons_open(project):
    """The shortest command is the one that people type."""
    assert start(project).stdout == "kit was called with ['lab']\n"
    assert start(project, "--quiet").stdout == "kit was called with ['lab', '--quiet']\n"


def test_the_exit_code_of_the_kit_is_passed_on(project):
    """A script around it learns that something needs action."""
    assert start(project, "tour", "three").returncode == 3


def test_a_second_run_calls_no_pip(project):
    """Once installed, the lessons open at once, even where there is no network and no pip."""
    pip = next((project / ".venv").glob("[Ll]ib/**/site-packages/pip/__init__.py"))
    text = pip.read_text(encoding="utf-8")
    pip.write_text("raise SystemExit('pip was called')\n", encoding="utf-8")
    try:
        result = start(project, "setup")
    finally:
        pip.write_text(text, encoding="utf-8")

    assert (result.returncode, result.stderr) == (0, "")
    assert "nstalling" not in result.stdout


def test_the_link_to_the_kit_is_read_alike_in_every_code_page(project):
    """On a German Windows, `kit` also starts by itself from a folder with an umlaut."""
    link = next((project / ".venv").glob("[Ll]ib/**/customer_data_kit_path.pth"))

    line = link.read_bytes().decode("ascii")
    assert ast.literal_eval(re.search(r"append\((.*)\)", line)[1]) == str(project)


def test_what_tests_need_is_added_to_what_is_there(project, wheels):
    """A learner who becomes a contributor does not install everything again."""
    mark = project / ".venv" / "mark"
    mark.touch()

    assert start(project, "test", "--from", wheels).returncode == 0
    assert mark.exists()
    assert set(json.loads((project / ".venv" / "complete.json").read_text())) >= {
        "requirements.txt",
        "requirements-test.txt",
        "pyproject.toml",
    }


# What may be wrong with a computer ---------------------------------------------------------------


def test_a_half_made_venv_is_repaired(project, wheels):
    """A lid closed in the middle of the first run costs two minutes, not an afternoon."""
    (project / ".venv" / "complete.json").unlink()
    mark = project / ".venv" / "mark"
    mark.touch()

    result = start(project, "setup", "--from", wheels)

    assert result.returncode == 0, result.stderr
    assert "making it again" in result.stdout
    assert not mark.exists()
    assert start(project, "tour").returncode == 0


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_not_a_venv_is_never_deleted(tmp_path, wheels, kind):
    """Somebody's own folder of that name is worth more than our install."""
    folder = make_project(tmp_path / "kit", wheels)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "customers.txt").write_text("all of them")
    if kind == "folder":
        shutil.copytree(precious, folder / ".venv")
    elif kind == "file":
        shutil.copy(precious / "customers.txt", folder / ".venv")
    else:
        (precious / "pyvenv.cfg").touch()  # a link to a real one is not ours either
        try:
            (folder / ".venv").symlink_to(precious, target_is_directory=True)
        except OSError:
            pytest.skip("this account may not make links (Windows)")

    assert "is not a virtual environment; rename it" in refusal(start(folder, "setup"))
    kept = folder / ".venv" if kind == "file" else folder / ".venv" / "customers.txt"
    assert kept.read_text() == "all of them"


def test_start_parses_on_an_old_python():
    """A Python of 2016 gives a sentence, not a syntax error."""
    ast.parse(START.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_an_old_python_is_told_so(tmp_path, wheels):
    """The usual trouble with a Mac or an old Linux is named in one line."""
    old = disguised("sys.version_info = (3, 8, 18)")
    line = refusal(start(make_project(tmp_path / "kit", wheels), python=old, PATH=""))

    assert "Python 3.8 is too old, 3.11 or newer is needed; install" in line


@LINUX
def test_an_old_python_names_the_newer_one_beside_it(tmp_path, wheels):
    """Where both are installed, typing three more characters is all that is missing."""
    folder = make_project(tmp_path / "kit", wheels)
    for name, code in (("python3.13", 1), ("python3.12", 0), ("python3.11", 0)):
        program = folder / name
        program.write_text(f"#!/bin/sh\nexit {code}\n")  # the 3.13 is there, but does not start
        program.chmod(0o755)
    old = disguised("sys.version_info = (3, 8, 18)")

    assert "run: python3.12 start.py" in refusal(start(folder, python=old, PATH=str(folder)))


@pytest.mark.parametrize("part", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_what_to_install(tmp_path, wheels, part):
    """Debian and Ubuntu leave it out, and its own message is long."""
    lacking = disguised(f"sys.modules['{part}'] = None")
    line = refusal(start(make_project(tmp_path / "kit", wheels), "setup", python=lacking))

    assert f"lacks its part {part}" in line
    assert "apt install python3." in line
    assert not (tmp_path / "kit" / ".venv").exists()


def test_no_network_is_said_plainly_and_spoils_nothing(project):
    """An update on the train fails, and yesterday's lessons still open."""
    before = (project / ".venv" / "complete.json").read_bytes()
    add_to_lock(project, pin("never-heard-of==1.0"))

    assert "no network; connect to the internet" in refusal(start(project))
    assert (project / ".venv" / "complete.json").read_bytes() == before


def test_a_download_that_was_altered_is_refused(project, wheels):
    """Nobody between a shop and the packages can slip in another one."""
    add_to_lock(project, pin("stand-ins==1.0"))

    line = refusal(start(project, "setup", "--from", wheels))

    assert "does not match the lock" in line


def test_a_lock_without_hashes_is_not_installed(project, wheels):
    """A line added by hand does not open the door to whatever is found under that name."""
    before = (project / ".venv" / "complete.json").read_bytes()
    (project / "requirements.txt").write_text("only-windows==1.0\n")

    assert "pip's own words are in" in refusal(start(project, "setup", "--from", wheels))
    assert (project / ".venv" / "complete.json").read_bytes() == before


def test_a_package_that_is_not_in_the_folder_is_named(project, wheels):
    """The trainer learns what is missing on the stick while there still is a network."""
    add_to_lock(project, pin("never-heard-of==1.0"))

    line = refusal(start(project, "setup", "--from", wheels))

    assert "never-heard-of is not to be had for this Python" in line


@LINUX
def test_a_full_disk_is_said_plainly(tmp_path, wheels):
    """Old laptops are full, and pip's own message for it has forty lines."""
    make_project(tmp_path / "kit", wheels)
    script = (
        'mount -t tmpfs -o size=4m none "$1" || exit 77; cp -r "$2"/kit/. "$1" || exit 77; '
        'cd "$1" && exec "$3" start.py setup'
    )
    (tmp_path / "small").mkdir()
    own = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    command = [*own, "sh", "-c", script, "sh", tmp_path / "small", tmp_path, sys.executable]
    if not shutil.which("unshare"):
        pytest.skip("unshare is not here: a small disk cannot be made")
    result = subprocess.run(command, env=clean_env(), capture_output=True, text=True)
    if result.returncode != 1 or "start.py" not in result.stderr:
        pytest.skip(f"a small disk cannot be made here: {result.stderr.strip()[-80:]}")

    assert "the disk is full; make about" in refusal(result)


def load():
    """Return start.py as a module."""
    spec = importlib.util.spec_from_file_location("start", START)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        pytest.param("OSError: [Errno 28] No space left on device", "disk is full", id="disk"),
        pytest.param("[WinError 112] Es steht nicht genug", "disk is full", id="disk, Windows"),
        pytest.param("OSError: [Errno 122] Disk quota exceeded: 'x'", "disk is full", id="quota"),
        pytest.param(
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "does not match the lock",
            id="altered",
        ),
        pytest.param(
            "NewConnectionError('...: [Errno -3] Temporary failure in name resolution')\n"
            "ERROR: No matching distribution found for numpy==2.4.6",
            "no network",
            id="no network, although pip ends with another reason",
        ),
        pytest.param("NameResolutionError('[Errno 11001] getaddrinfo')", "no network", id="dns"),
        pytest.param("ProxyError('Cannot connect to proxy.')", "no network", id="proxy"),
        pytest.param("ReadTimeoutError('Read timed out.')", "no network", id="slow network"),
        pytest.param(
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] ...'))",
            "PIP_CERT",
            id="a network that reads along",
        ),
        pytest.param(
            "ERROR: No matching distribution found for pyarrow==26.0.1",
            "pyarrow is not to be had for this Python",
            id="too new a Python",
        ),
        pytest.param("HINT: ... does not have Windows Long Path support", "too long", id="path"),
        pytest.param("PermissionError: [Errno 13] Permission denied", "no right", id="rights"),
        pytest.param("OSError: [Errno 30] Read-only file system", "no right", id="read-only"),
        pytest.param("something nobody has seen", "see the log", id="unknown"),
    ],
)
def test_pip_is_put_into_plain_words(said, meaning):
    """Whatever goes wrong, a shop owner reads one line and knows what to do."""
    sentence = load().explain(said, "see the log")

    assert meaning in sentence
    assert "\n" not in sentence
    assert "{" not in sentence


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["teach"], id="no such command"),
        pytest.param(["setup", "now"], id="setup takes nothing"),
        pytest.param(["wheels"], id="wheels needs a folder"),
        pytest.param(["wheels", "out", "--for", "amiga"], id="no such system"),
        pytest.param(["wheels", "out", "--python", "2.7"], id="no such Python"),
        pytest.param(["--from", "not-there"], id="no such folder"),
    ],
)
def test_refuses_wrong_usage(tmp_path, wheels, arguments):
    """A slip of the finger installs nothing and says how it is typed."""
    folder = make_project(tmp_path / "kit", wheels)

    result = start(folder, *arguments)

    assert result.returncode == 2
    assert result.stderr.startswith("usage: python3 start.py")
    assert not (folder / ".venv").exists()


# A workshop without internet ---------------------------------------------------------------------


def names(folder):
    """Return the names of the wheels in a folder."""
    return sorted(path.name.partition("-")[0] for path in folder.glob("*.whl"))


def test_wheels_for_this_system_and_for_another(project, wheels, tmp_path):
    """A trainer with a Mac fills the stick for twelve Windows laptops, with what only they need."""
    found = {"PIP_FIND_LINKS": str(wheels), "PIP_NO_INDEX": "1"}
    here = start(project, "wheels", tmp_path / "hier", **found)
    there = start(project, "wheels", tmp_path / "there", "--for", "windows", **found)
    more = start(project, "wheels", tmp_path / "more", "--for", "linux", "--all", **found)

    assert [r.returncode for r in (here, there, more)] == [0, 0, 0], here.stderr + there.stderr
    everywhere = ["flit_core", "only_windows"] if sys.platform == "win32" else ["flit_core"]
    assert names(tmp_path / "hier") == everywhere
    assert names(tmp_path / "there") == ["flit_core", "only_windows"]
    assert names(tmp_path / "more") == ["flit_core", "stand_ins"]
    assert "    py start.py --from DIR" in (tmp_path / "there" / "README.txt").read_text()


# The checks and the benchmarks --------------------------------------------------------------------


def called(result):
    """Return how the stand-ins were called, in order."""
    return [line for line in result.stdout.splitlines() if " was called with " in line]


def test_every_check_runs_although_one_fails(project, wheels):
    """One run shows everything that is wrong, and its last line counts it."""
    (project / "exit-mypy").write_text("1")

    result = start(project, "test", "--from", wheels)

    assert called(result) == [
        "ruff was called with check",
        "ruff was called with format --check",
        "mypy was called with nothing",
        "pytest was called with -m not slow -n 2",
        "pytest was called with notebooks --nbval -n 2 --dist loadfile --nbval-current-env "
        "--nbval-cell-timeout=60 --nbval-sanitize-with tests/nbval_sanitize.cfg",
    ]
    assert re.search(r"^mypy +FAILED +\d+\.\d s$", result.stdout, re.M)
    assert re.search(r"^lessons +passed +\d+\.\d s$", result.stdout, re.M)
    assert result.stdout.splitlines()[-1] == "steps: 4 passed, 1 failed"
    assert result.returncode == 1


def test_other_systems_compare_only_what_holds_there(project, wheels):
    """A lesson's saved output has the look of one system, and must not fail on the others."""
    assert (
        "notebooks --nbval-lax -n 2" in called(start(project, "test", "--lax", "--from", wheels))[4]
    )


def test_arguments_go_to_pytest_alone(project, wheels):
    """While working on one thing, its tests are all that one waits for."""
    (project / "exit-pytest").write_text("5")

    result = start(project, "test", "--from", wheels, "-k", "one thing", "tests/test_x.py")

    assert called(result) == ["pytest was called with -m not slow -k one thing tests/test_x.py"]
    assert result.returncode == 5, "no test of that name is a failure"


@pytest.mark.parametrize(("pytest_says", "code"), [("0", 0), ("5", 0), ("1", 1)])
def test_slow_tests_run_by_themselves(project, wheels, pytest_says, code):
    """The long ones do not hold up the short ones; that there are none is no failure."""
    (project / "exit-pytest").write_text(pytest_says)

    result = start(project, "test", "--slow", "--from", wheels)

    assert called(result) == ["pytest was called with -m slow -n 2"]
    assert result.returncode == code
    assert result.stdout.splitlines()[-1] == f"steps: {1 - code} passed, {code} failed"


def test_benchmarks_run_one_after_the_other(project, wheels):
    """Two at once would spoil each other's figures."""
    folder = project / "tests" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench_scan.py").write_text("print('scan: 9 x')")
    (folder / "bench_generate.py").write_text("raise SystemExit('generate: too slow')")

    result = start(project, "bench", "--from", wheels)

    assert result.stdout.index("== generate") < result.stdout.index("scan: 9 x")
    assert result.returncode == 1
    assert start(project, "bench", "scan").returncode == 0
    assert "there are: generate scan" in refusal(start(project, "bench", "sacn"))


def test_without_uv_the_lock_is_left_alone(tmp_path, wheels):
    """Half a lock would be worse than yesterday's."""
    folder = make_project(tmp_path / "kit", wheels)
    before = (folder / "requirements.txt").read_bytes()

    assert "made by uv, which is not here" in refusal(start(folder, "lock", PATH=str(tmp_path)))
    assert (folder / "requirements.txt").read_bytes() == before
