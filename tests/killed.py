"""Kill a backup, a prune or a restore at any system call, and see what it left.

Run as a program, this file is a process that has everything imported and that splits off one child
for each piece of work: a second of starting up is paid once. `strace` joins the child before it
begins, and kills it at the n-th call of a name, as a power cut would.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).parent
TRACER = 0x59616D61  # prctl PR_SET_PTRACER: let strace join, also where the system forbids it
ANY = -1
DIED = re.compile(r"killed by SIG(KILL|ALRM)")
CALL = re.compile(r"(?:(\d+) +)?(\w+)\(")


def why_not():
    """Return why system calls cannot be watched here, or nothing."""
    if not sys.platform.startswith("linux"):
        return "strace watches system calls on Linux only"
    if not (strace := shutil.which("strace")):
        return "strace is not installed: apt install strace"
    tried = subprocess.run(
        [strace, "-o", os.devnull, "-e", "inject=getpid:signal=KILL", "true"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"strace may not watch programs here: {tried.stderr[:80]}" if tried.returncode else ""


class Victims:
    """Makes processes that work on a shop, and that can be killed."""

    def __init__(self, keys):
        """Start; *keys* open the backups."""
        self.errors = tempfile.TemporaryFile("w+")
        self.parent = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "KEYS": json.dumps(keys), "PYTHONPATH": f"{HERE.parent}:{HERE}"},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.parent.stdin.close()
        self.parent.wait()
        self.parent.stdout.close()
        self.errors.close()

    def run(self, work, folder, now, *, strace=(), alarm_s=0.0):
        """Do a piece of work in a process of its own; return how it ended.

        Args:
            work: One of `WORKS`.
            folder: The shop's.
            now: The time.
            strace: Arguments with which strace joins it before it begins.
            alarm_s: After so many seconds it is killed, wherever it is.
        """
        said = {"work": work, "folder": str(folder), "now": now.isoformat(), "alarm_s": alarm_s}
        self.tell(json.dumps(said) + "\n")
        number, watcher = self.parent.stdout.readline().strip(), None
        assert number.isdigit(), self.told()
        if strace:
            watcher = subprocess.Popen(
                [shutil.which("strace"), "-f", "-p", number, *strace],
                stderr=subprocess.PIPE,
                text=True,
            )
            while "attached" not in (line := watcher.stderr.readline()):
                assert line, "strace could not join the process"
        self.tell("g")
        status = os.waitstatus_to_exitcode(int(self.parent.stdout.readline()))
        if watcher:
            watcher.communicate()
        return status

    def told(self):
        """Return what went wrong in words."""
        self.errors.seek(0)
        return self.errors.read()

    def tell(self, text):
        """Write to the parent of all."""
        self.parent.stdin.write(text)
        self.parent.stdin.flush()

    def calls(self, work, folder, now):
        """Do it once and return how often each system call was made, at most by one thread."""
        with tempfile.NamedTemporaryFile("r") as log:
            assert self.run(work, folder, now, strace=["-o", log.name]) == 0, self.told()
            found = Counter(m.groups() for line in log if (m := CALL.match(line)))
        most = Counter()
        for (_, name), count in found.items():
            most[name] = max(most[name], count)
        return dict(most)

    def kill(self, work, folder, now, name, number):
        """Kill it as it makes a system call for the n-th time; return whether it came so far."""
        where = ["-o", os.devnull, "-e", f"trace={name}"]
        where += ["-e", f"inject={name}:signal=KILL:when={number}"]
        status = self.run(work, folder, now, strace=where)
        assert status in (0, -signal.SIGKILL), self.told()
        return status != 0


def spread(calls, most):
    """Return about *most* points (name, number), spread over all names, and over each."""
    share = 1
    while share < max(calls.values()) and sum(min(n, share) for n in calls.values()) < most:
        share += 1
    points = []
    for name, count in sorted(calls.items()):
        wanted = min(count, share)
        points += [(name, 1 + number * count // wanted) for number in range(wanted)]
    step = max(1, len(points) // most)
    return points[::step][:most] if len(points) > most else points


def make(shop, now, keys):
    """Back up what changed."""
    from kit import backup

    backup.make(shop, actor="owner", now=now)


def make_full(shop, now, keys):
    """Back up everything."""
    from kit import backup

    backup.make(shop, actor="owner", now=now, full=True)


def prune(shop, now, keys):
    """Let go of old backups."""
    from kit import upkeep

    upkeep.prune(shop, now=now, do=True)


def restore(shop, now, keys):
    """Restore the first backup from the place away from the shop."""
    import backed_up

    from kit import restore

    place = backed_up.place(shop)
    restore.restore(shop, place, keys, actor="owner", now=now, name=backed_up.AWAY, number=1)


WORKS = {one.__name__: one for one in (make, make_full, prune, restore)}


def serve():
    """Split off a child for each line that comes in."""
    import ctypes

    import backed_up  # noqa: F401
    import real_shop

    from kit import drill  # noqa: F401
    from kit.shop import Shop

    keys = json.loads(os.environ["KEYS"])
    with open(0, "rb", buffering=0) as orders:  # noqa: PTH123
        while line := orders.readline():
            order = json.loads(line.lstrip(b"g"))  # of a child that was killed before it began
            if child := os.fork():
                _, status = os.waitpid(child, 0)
                os.write(1, f"{status}\n".encode())
                continue
            if sys.platform.startswith("linux"):
                ctypes.CDLL(None).prctl(TRACER, ANY)
            with Shop.open(Path(order["folder"]), real_shop.WORDS) as shop:
                os.write(1, f"{os.getpid()}\n".encode())
                orders.read(1)
                signal.setitimer(signal.ITIMER_REAL, order["alarm_s"])
                WORKS[order["work"]](shop, datetime.fromisoformat(order["now"]), keys)
            os._exit(0)


if __name__ == "__main__":
    serve()
