"""What README.md and CONTRIBUTING.md say about this repository, checked."""

from __future__ import annotations

import ast
import builtins
import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FACES = {"copying", "lesson", "workspace", "lab", "doctor", "show", "tour", "terminal"}
# where tools meet
BACKUPS = {"backup", "storing", "opening", "restore", "drill", "upkeep"}
REQUESTS = {"grounds", "disclose", "asking", "gathering", "answering", "deleting", "exposed"}
SHOP = {"shop", "imports", "counter", "removals", "rekey"}
MEETING = {"files", "practice", "vault", "legal", *SHOP, *BACKUPS, *REQUESTS}
CLI = {"cli", "cli_keys", "cli_shop", "cli_backup", "cli_law", "cli_request", "cli_breach"}
FACES = FACES | {"show_law"}
ON_TOP = {"__init__", "cluster"} | CLI | MEETING | FACES
MODULES = sorted(ROOT.glob("kit/*.py"))
TOOLS = [path for path in MODULES if path.stem not in ON_TOP]
NAMES = {path.stem for path in TOOLS}
MAY_IMPORT = {  # every other module imports nothing from kit/
    **dict.fromkeys(("files", "practice", "vault", "legal", "shop", "storing", "cluster"), NAMES),
    **dict.fromkeys(("imports", "rekey"), NAMES | {"files", "shop"}),
    "counter": NAMES | {"imports", "shop"},
    "removals": NAMES | {"shop", "counter"},
    "backup": NAMES | {"shop", "vault", "rekey", "storing"},
    "opening": NAMES | {"shop", "backup"},
    "upkeep": NAMES | {"shop", "backup", "opening"},
    "restore": NAMES | {"shop", "backup", "opening", "removals", "vault"},
    "drill": NAMES | {"shop", "backup", "opening", "removals", "restore"},
    "grounds": NAMES | {"shop", "legal"},
    "disclose": NAMES | {"shop", "legal", "grounds"},
    **dict.fromkeys(("asking", "gathering"), NAMES | {"shop", "legal", "disclose"}),
    "answering": NAMES | {"shop", "legal", "disclose", "gathering", "counter"},
    "deleting": NAMES
    | {"shop", "legal", "disclose", "gathering", "answering", "removals", "restore"},
    "exposed": NAMES | {"shop", "legal", "grounds", "disclose"},
    "lesson": NAMES | {"exercises", "doctor"},
    "exercises": NAMES | MEETING | {"lesson"},
    "show": NAMES | MEETING,
    "show_law": NAMES | MEETING,
    "tour": NAMES | MEETING | {"show"},
    "cli_keys": NAMES | MEETING | FACES,
    "cli_shop": NAMES | MEETING | {"cli_keys"} | FACES,
    "cli_law": NAMES | MEETING | {"cli_keys"} | FACES,
    **dict.fromkeys(
        ("cli_backup", "cli_request", "cli_breach"),
        NAMES | MEETING | {"cli_keys", "cli_shop"} | FACES,
    ),
    "cli": NAMES | MEETING | {"cluster"} | CLI | FACES,
}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "base", "misc", "manager", "core"}
LONGEST_FILE = 450  # lines; a copied file is one that somebody must review


def stem(path):
    """Name a test after its file."""
    return path.stem


def tree(path):
    """Return a module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path):
    """Return the dotted names a module imports, even inside functions; `from a import b` is a.b."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "no relative imports: they break when the file is copied"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def header(path, label):
    """Return the text after ``Needs:`` or ``Data:`` in a module docstring."""
    found = re.search(rf"^{label}: (.*?)\.(?:\s|$)", ast.get_docstring(tree(path)), re.M)
    assert found, f"the docstring has no line {label}:"
    return found[1]


def needs(path):
    """Return the third-party import names that a module's header declares."""
    first, *packages = header(path, "Needs").split(", ")
    assert first == "Python 3.11"
    return set(packages)


@pytest.mark.parametrize("module", MODULES + sorted(ROOT.glob("kit/exercises/*.py")), ids=stem)
def test_imports_go_one_way(module):
    """Tools import no tool; they meet in shop.py; the faces sit on top."""
    name = "exercises" if module.parent.name == "exercises" else module.stem
    siblings = {n.split(".")[1] for n in imported(module) if n.startswith("kit.")}

    assert siblings <= MAY_IMPORT.get(name, set()) | (
        {"exercises"} if name == "exercises" else set()
    )


@pytest.mark.parametrize("module", TOOLS, ids=stem)
def test_needs_line_is_true(module):
    """The docstring names every third-party package the module imports: four at most."""
    known = {*sys.stdlib_module_names, "compression"}  # the latter since Python 3.14
    roots = {name.partition(".")[0] for name in imported(module)} - known

    assert roots == needs(module)
    assert len(roots) <= 4


# A process with others' packages loaded and nothing of ours forks for each folder it is told:
# loading pandas and the like anew for each tool takes most of a minute.
IMPORTER = """
import importlib, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    folder, name = line.rstrip("\\n").split("\\t")
    if not (child := os.fork()):
        try:
            os.chdir(folder)
            importlib.import_module(name)
            ours = sorted(n for n in sys.modules if n.partition(".")[0] == "kit")
            os._exit(bool(ours))
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def imports_in():
    """Return what imports a module in a folder, in a process of its own."""

    def plainly(folder, name):
        command = [sys.executable, "-c", f"import {name}"]
        return subprocess.run(command, cwd=folder, check=False).returncode

    if not hasattr(os, "fork"):
        yield plainly
        return
    packages = ["numpy", "pandas", "pyarrow", "sqlalchemy"]
    command = [sys.executable, "-c", IMPORTER, *packages]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as server:

        def forked(folder, name):
            server.stdin.write(f"{folder}\t{name}\n")
            server.stdin.flush()
            return int(server.stdout.readline())

        yield forked
        server.stdin.close()


@pytest.mark.parametrize("module", TOOLS, ids=stem)
def test_module_copies_out_alone(module, tmp_path, imports_in):
    """The file and its data import in an empty folder, under their own name."""
    assert module.stem not in {n.partition(".")[0] for n in imported(module)}
    assert module.stem not in sys.stdlib_module_names
    shutil.copy(module, tmp_path)
    if (data := header(module, "Data")) != "none":
        assert (module.parent / data).exists()
        copy = shutil.copytree if (module.parent / data).is_dir() else shutil.copy
        copy(module.parent / data, tmp_path / data)
    assert imports_in(tmp_path, module.stem) == 0


@pytest.mark.parametrize("module", TOOLS, ids=stem)
def test_module_is_tested(module):
    """kit/x.py has tests/test_x.py."""
    assert (ROOT / f"tests/test_{module.stem}.py").exists()


@pytest.mark.parametrize("module", MODULES, ids=stem)
def test_names_and_sizes_stay_plain(module):
    """No drawer for everything, no file too long to review, licence on the first line."""
    text = module.read_text(encoding="utf-8")

    assert module.stem not in FORBIDDEN_NAMES
    assert len(text.splitlines()) <= LONGEST_FILE
    assert text.startswith("# SPDX-License-Identifier: MIT-0\n")


def test_the_package_itself_imports_nothing():
    """`import kit` is a map, not a load of pandas."""
    assert imported(ROOT / "kit/__init__.py") == set()


def test_the_map_names_every_tool():
    """`help(kit)` leads to every module there is."""
    text = ast.get_docstring(tree(ROOT / "kit/__init__.py"))

    assert NAMES <= set(re.findall(r"^(\w+)\s{2,}", text, re.M))


@pytest.mark.parametrize("module", TOOLS, ids=stem)
def test_each_tool_has_one_error_family(module):
    """A caller catches one base class and has caught them all."""
    classes = [node for node in tree(module).body if isinstance(node, ast.ClassDef)]
    errors = {c.name: {b.id for b in c.bases if isinstance(b, ast.Name)} for c in classes}
    roots = [name for name, bases in errors.items() if bases & {"Exception"}]
    builtin = {
        name
        for name, value in vars(builtins).items()
        if inspect.isclass(value) and issubclass(value, BaseException) and value is not Exception
    }

    assert len(roots) <= 1, "one base, straight from Exception"
    assert all(name.endswith("Error") for name in roots)
    assert not [name for name, bases in errors.items() if bases & builtin]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Build the wheel as it would be published."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
         "--no-index", "--disable-pip-version-check", "-w", folder, ROOT],
        check=True, capture_output=True,
    )  # fmt: skip
    return next(folder.glob("customer_data_kit-*.whl"))


def test_the_wheel_holds_the_kit_and_its_data_only(wheel):
    """A developer installs tools, not lessons, tests or sample customers."""
    names = zipfile.ZipFile(wheel).namelist()
    packed = {n for n in names if not n.split("/")[0].endswith(".dist-info")}

    assert {n.split("/")[0] for n in packed} == {"kit"}
    assert {Path(n).suffix for n in packed} <= {".py", ".toml", ".md"}
    assert {
        f"kit/{p.relative_to(ROOT / 'kit').as_posix()}" for p in ROOT.glob("kit/**/*.toml")
    } <= packed


def test_locks_name_no_index_and_hash_everything():
    """The lock is the same for every reader, and nothing unhashed is installed."""
    for name in ("requirements.txt", "requirements-test.txt"):
        text = (ROOT / name).read_text(encoding="utf-8")
        packages = re.findall(r"^[a-z0-9][\w.-]*(?:\[.*\])?==", text, re.M)
        blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.M)[1:]

        assert len(packages) == len(blocks) > 50
        assert all("--hash=sha256:" in block for block in blocks)
        assert "://" not in text


def test_no_index_and_no_machine_in_the_repository():
    """No tracked file names a package index or a folder of somebody's computer."""
    git = shutil.which("git")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    marks = re.compile(rb"(?<!emit-)index-" + rb"url|py" + rb"pi\.org|/home/\w|/Users/\w")
    guilty = [
        name
        for name in listed.stdout.decode().split("\0")
        if name and (ROOT / name).exists() and marks.search((ROOT / name).read_bytes())
    ]

    assert listed.stdout
    assert guilty == []


def test_versions_agree():
    """The package, the changelog and the packaging say the same version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[1]

    assert newest == project["version"]


def test_extras_are_the_promised_ones():
    """An owner, a developer with PostgreSQL and one with S3 each install what they need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert {"lab", "cluster", "postgres", "s3", "test"} <= set(project["optional-dependencies"])


def test_nothing_runs_a_shell_or_reaches_out():
    """No telemetry: no module of the kit opens a connection to anywhere."""
    reaching = {"urllib", "http", "requests", "socket", "ftplib", "smtplib", "httpx", "aiohttp"}
    allowed = {"workspace": {"socket"}, "doctor": {"socket"}}  # a free port on 127.0.0.1
    for module in MODULES:
        roots = {name.partition(".")[0] for name in imported(module)}
        assert not roots & reaching - allowed.get(module.stem, set()), module.stem
