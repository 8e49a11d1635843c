"""No crash, full disk or second program spoils the key file: the old one or the new one opens."""

from __future__ import annotations

import hashlib
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kit import keyfile
from kit.keyfile import CannotOpen, KeyFile, Passphrase, Refused
from kit.keys import Keyring

ROOT = Path(__file__).parent.parent
STRACE = shutil.which("strace")
CHEAPEST = {"m_kib": 19_456, "t": 2, "p": 1}  # the least that a keyring may cost: 0.03 s
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
WORDS = "caf\u00e9 acorn violin harbor pepper quilt"
OTHER_WORDS = "lantern walnut oyster trumpet ginger fjord"
ROWS = [(5, "field", "primary", "2026-11-24T09:00:00Z", bytes(range(32)))]

posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no such thing")
needs_strace = pytest.mark.skipif(
    not STRACE or subprocess.run([STRACE, "true"], capture_output=True).returncode != 0,
    reason="strace is not installed, or may not be used here",
)


def words(text=WORDS):
    """Return a passphrase that costs little to try."""
    return Passphrase(text, **CHEAPEST)


def names(folder):
    """Return all names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def file(tmp_path):
    """A key file that holds ROWS, opened."""
    made = KeyFile(tmp_path / "keyring.json", words())
    made.create(ROWS)
    return made


# ---- two programs at once ----


RACE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from kit.keyfile import Changed, KeyFile, Passphrase
from kit.keys import Keyring

file = KeyFile(Path(sys.argv[1]), Passphrase(sys.argv[2], 19456, 2, 1))
print("ready", flush=True)
sys.stdin.readline()
done = 0
while done < 8:
    try:
        key = Keyring.open(file).rotate("field", now=datetime(2026, 11, 24, tzinfo=UTC))
    except Changed:
        continue
    print(key.id, flush=True)
    done += 1
"""


def start(script, *arguments):
    """Run a script in a Python of its own and wait until it says that it is ready."""
    child = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"ready\n"
    return child


def test_no_change_is_lost_among_programs_that_save_at_once(tmp_path):
    """Each of two programs makes 8 keys as fast as it can; all 16 are there."""
    ring = Keyring.create(KeyFile(tmp_path / "k", words()), now=NOW, purposes=["field"])
    children = [start(RACE, tmp_path / "k", WORDS) for _ in range(2)]
    for child in children:
        child.stdin.write(b"go\n")
        child.stdin.flush()
    made = [int(line) for child in children for line in child.communicate()[0].split()]
    seen = Keyring.open(KeyFile(tmp_path / "k", words()), at_least=17)

    assert len(made) == 16
    assert {key.id for key in seen.keys} == {ring.keys[0].id, *made}
    assert seen.generation == 17
    assert names(tmp_path) == ["k", "k.lock"]


def test_a_program_that_holds_the_file_is_waited_for_not_run_over(file, monkeypatch):
    """Two saves never mix; the second gives up after a while and says why."""
    monkeypatch.setattr(keyfile, "LOCK_SECONDS", 0.05)
    old = file.path.read_bytes()
    lock = sqlite3.connect(file.path.with_name("keyring.json.lock"), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")

    with pytest.raises(Refused, match="another program that holds the file"):
        file.save([])
    assert file.path.read_bytes() == old
    lock.close()
    file.save([])
    assert KeyFile(file.path, words()).load(at_least=2) == []


# ---- the disk ----


@contextmanager
def full_disk():
    """Let no file grow beyond 100 bytes."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@posix_only
def test_a_full_disk_leaves_the_old_file(file):
    """The save fails, the shop goes on with the keyring it had."""
    old = file.path.read_bytes()
    with full_disk(), pytest.raises(Refused, match="cannot be saved .* nothing .*; .* space"):
        file.save(ROWS * 2)
    with full_disk(), pytest.raises(Refused):
        file.change_passphrase(words(OTHER_WORDS))

    assert file.path.read_bytes() == old
    assert names(file.path.parent) == ["keyring.json", "keyring.json.lock"]
    file.save([])
    assert KeyFile(file.path, words()).load(at_least=2) == []


@contextmanager
def without_rights(folder):
    """Take away the right to write in a folder, from the administrator as well."""
    everybody = os.geteuid() == 0
    folder.chmod(0o555)
    if everybody:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if everybody:
            os.seteuid(0)
        folder.chmod(0o700)


@posix_only
def test_a_folder_without_rights_leaves_the_old_file():
    """A read-only stick or another user's folder: said plainly, nothing spoiled."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "keyring.json"
        file = KeyFile(path, words())
        file.create(ROWS)
        path.with_name("keyring.json.lock").unlink()
        path.chmod(0o444)
        old = path.read_bytes()
        with without_rights(path.parent):
            with pytest.raises(Refused, match="the right to write"):
                file.save([])
            with pytest.raises(Refused):
                KeyFile(path.with_name("k"), words()).create(ROWS)
        assert path.read_bytes() == old
        assert names(path.parent) == ["keyring.json"]


# ---- killed at any moment ----

CHANGES = """
import hashlib, sys
from datetime import UTC, datetime
from pathlib import Path
from kit.keyfile import CannotOpen, KeyFile, Passphrase
from kit.keys import Keyring

NOW = datetime(2026, 11, 24, tzinfo=UTC)
phrases = [Passphrase(text, 19456, 2, 1) for text in sys.argv[2:4]]
for current, phrase in enumerate(phrases):
    try:
        ring = Keyring.open(KeyFile(Path(sys.argv[1]), phrase))
        break
    except CannotOpen:
        pass

def say(key):
    print(key.id, hashlib.sha256(key.secret).hexdigest(), ring.generation, current, flush=True)

print("ready", flush=True)
while True:
    say(ring.rotate("field", now=NOW))
    old = ring.rotate("audit", now=NOW)
    say(old)
    ring.store.change_passphrase(phrases[1 - current])
    current = 1 - current
    say(ring.rotate("audit", now=NOW))
    ring.retire(old.id, in_use=False)
    say(old)
    ring.enable(old.id)
"""


def survives(folder, seed, kills):
    """Kill a program that never stops changing the keyring, and look at what it left."""
    path, rng = folder / "keyring.json", random.Random(seed)  # noqa: S311 (moments, no keys)
    Keyring.create(KeyFile(path, words()), now=NOW, purposes=["field", "audit"])
    expected, generation, leftovers = {}, 1, 0
    for _ in range(kills):
        child = start(CHANGES, path, WORDS, OTHER_WORDS)
        killed_at = time.monotonic() + rng.uniform(0, 0.25)
        said = b""
        while (left := killed_at - time.monotonic()) > 0:
            if select.select([child.stdout], [], [], left)[0]:
                said += os.read(child.stdout.fileno(), 65_536)
        child.send_signal(signal.SIGKILL)
        said += child.communicate()[0]
        assert child.returncode == -signal.SIGKILL
        for line in said.split(b"\n")[:-1]:  # each was said after its save had returned
            number, digest, generation, _ = line.decode().split()
            expected[int(number)] = digest
        generation = int(generation)

        opens = []
        for text in (WORDS, OTHER_WORDS):
            try:
                opens.append(Keyring.open(KeyFile(path, words(text)), at_least=generation))
            except CannotOpen:
                pass
        (ring,) = opens  # with the old passphrase or the new one, never with both
        held = {key.id: hashlib.sha256(key.secret).hexdigest() for key in ring.keys}
        assert expected.items() <= held.items()
        assert {row["state"] for row in ring.status()} <= {"primary", "enabled", "disabled"}
        leftovers += path.with_name("keyring.json.new").exists()
        ring.rotate("field", now=NOW)
        assert names(folder) == ["keyring.json", "keyring.json.lock"]
        expected |= held
    return len(expected), leftovers


@posix_only
def test_killed_at_any_moment_no_key_is_lost(tmp_path):
    """Power cut, task manager, closed lid: the old keyring or the new one opens."""
    keys, _ = survives(tmp_path, seed=1, kills=10)

    assert keys > 20


@posix_only
@pytest.mark.slow
def test_killed_a_hundred_times_no_key_is_lost(tmp_path):
    """The same at a hundred other moments."""
    total = [survives(Path(tempfile.mkdtemp(dir=tmp_path)), seed, 20) for seed in range(2, 8)]

    assert sum(keys for keys, _ in total) > 120


ONE_CHANGE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from kit.keyfile import KeyFile, Passphrase
from kit.keys import Keyring

old, new = (Passphrase(text, 19456, 2, 1) for text in sys.argv[2:4])
ring = Keyring.open(KeyFile(Path(sys.argv[1]), old))
if sys.argv[4] == "rotate":
    ring.rotate("field", now=datetime(2026, 11, 24, tzinfo=UTC))
else:
    ring.store.change_passphrase(new)
"""
CALLS = {
    "write": "write",
    "fsync": "fsync",
    "rename": "?rename,?renameat,?renameat2",
    "unlink": "?unlink,?unlinkat",
}


def killed_at_each(call, change, folder):
    """Kill one change at the first, second, ... of these system calls; say what it left each time.

    The last of them is the change that was not killed, as there are no more such calls.
    """
    left = []
    while True:
        path = folder / str(len(left)) / "keyring.json"
        path.parent.mkdir()
        before = Keyring.create(KeyFile(path, words()), now=NOW, purposes=["field"])
        done = subprocess.run(
            [STRACE, "-f", "-qq", "-o", os.devnull]
            + ["-e", f"trace={CALLS[call]}"]
            + ["-e", f"inject={CALLS[call]}:signal=KILL:when={len(left) + 1}"]
            + [sys.executable, "-c", ONE_CHANGE, path, WORDS, OTHER_WORDS, change],
            cwd=ROOT,
            capture_output=True,
        )
        text = OTHER_WORDS if change == "passphrase" else WORDS
        try:
            after = Keyring.open(KeyFile(path, words(text)))
        except CannotOpen:
            after = Keyring.open(KeyFile(path, words()))
        assert after.keys[0].secret == before.keys[0].secret
        assert len(after.keys) == after.generation or change == "passphrase"
        left.append("old" if after.generation == 1 else "new")
        if path.with_name("keyring.json.new").exists():
            left[-1] += ", leftover"
        after.rotate("field", now=NOW)
        assert names(path.parent) == ["keyring.json", "keyring.json.lock"]
        if done.returncode == 0:
            return left
        assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), done.stderr


@needs_strace
@pytest.mark.parametrize("change", ["passphrase", pytest.param("rotate", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("unlink", ["old", "new", "new"]),  # of a leftover before, and again after
        ("write", ["old, leftover", "new"]),
        ("fsync", ["old, leftover", "new", "new"]),  # of the file, of the folder
        ("rename", ["old, leftover", "new"]),
    ],
)
def test_killed_at_every_system_call(call, change, expected, tmp_path):
    """Before the new file is in place, the old one is whole; after it, the new one."""
    assert killed_at_each(call, change, tmp_path) == expected
