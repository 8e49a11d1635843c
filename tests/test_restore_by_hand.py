"""RESTORE.txt is followed to the letter, with a shell and standard programs: the shop is back.

The commands are taken out of the file as it lies in the place, the files are those that lie there,
and nothing of the kit runs. In ten years, this is what is left.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import tarfile
from contextlib import closing

import backed_up
import pytest
from backed_up import AWAY, DAY, ESCROW, HERE, HOUR, OWNER, STRANGER, change, filled, make
from real_shop import NOW

from kit import removals
from kit.shop import INVENTORY, LEDGER, SETTINGS

TOOLS = ["bash", "age", "zstd", "tar", "dd", "truncate", "sha256sum"]
WITH_THEM = ["basename", "cp", "mkdir", "mv", "rm"]  # of the shell's everyday company
LACKING = [tool for tool in TOOLS if not shutil.which(tool)]
needs_tools = pytest.mark.skipif(bool(LACKING), reason=f"not installed here: {', '.join(LACKING)}")


@pytest.fixture
def shop(tmp_path):
    """Return a shop with customers and sales that can be backed up."""
    with filled(tmp_path / "shop") as made:
        yield made


@pytest.fixture
def path(tmp_path):
    """Return a PATH on which there are only the programs that RESTORE.txt names."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in (*TOOLS, *WITH_THEM):
        (folder / tool).symlink_to(shutil.which(tool))
    return str(folder)


def follow(folder, path):
    """Do what the file in this folder says; return how it ended."""
    lines = (folder / "RESTORE.txt").read_text(encoding="utf-8").splitlines()
    script = [line[4:] for line in lines if line.startswith("    ")]
    assert script[0] == "set -e -o pipefail"
    (folder / "restore.sh").write_text("\n".join(script) + "\n", encoding="utf-8")
    return subprocess.run(
        [shutil.which("bash"), "restore.sh"], cwd=folder, env={"PATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def copied(shop, target, key, where):
    """Copy a place into a new folder, and type the paper key into a file there."""
    shutil.copytree(backed_up.away(shop, where), target)
    (target / "key.txt").write_text(f"{key}\n", encoding="utf-8")
    return target


def sha256(path):
    """Return the hash of a file in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@needs_tools
@pytest.mark.parametrize(("key", "where"), [(OWNER, AWAY), (ESCROW, HERE)], ids=["owner", "escrow"])
@pytest.mark.parametrize("kind", ["full", "diff"])
def test_the_shop_comes_back_without_the_kit(kind, key, where, shop, path, tmp_path):
    """Byte for byte what was backed up, from either place and with either person's key."""
    done = make(shop)
    if kind == "diff":
        for number in range(3):
            change(shop, number)
        done = make(shop, now=NOW + HOUR)
    assert done.manifest.kind == kind
    folder = copied(shop, tmp_path / "by hand", key, where)

    ended = follow(folder, path)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "shop.sqlite: OK"
    restored = folder / "shop.sqlite"
    assert sha256(restored) == done.manifest.plain_sha256
    assert restored.stat().st_size == done.manifest.plain_size
    if os.name == "posix":
        assert restored.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(restored)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        new = db.execute("SELECT count(*) FROM customers WHERE customer_id LIKE 'new-%'").fetchone()
        assert new == (3 if kind == "diff" else 0,)


@needs_tools
@pytest.mark.parametrize("kind", ["full", "diff"])
def test_a_wrong_key_and_a_damaged_file_stop_it(kind, shop, path, tmp_path):
    """No file of that name is left that somebody could take for the shop's database."""
    make(shop)
    change(shop)
    done = make(shop, now=NOW + HOUR, full=kind == "full")

    stranger = copied(shop, tmp_path / "stranger", STRANGER, AWAY)
    assert follow(stranger, path).returncode != 0
    assert not (stranger / "shop.sqlite").exists()

    hurt = copied(shop, tmp_path / "hurt", OWNER, AWAY)
    data = bytearray((hurt / done.manifest.file).read_bytes())
    data[-100] ^= 1
    (hurt / done.manifest.file).write_bytes(data)
    ended = follow(hurt, path)
    assert ended.returncode != 0
    assert "shop.sqlite: OK" not in ended.stdout


@needs_tools
def test_what_lies_beside_opens_by_hand_too(shop, path, tmp_path):
    """Keys, settings and the list of erasures: each opens with the command that stands there."""
    make(shop)
    with shop.reading() as connection:
        table = shop.tables.tables["customers"]
        gone = connection.scalars(table.select().with_only_columns(table.c.customer_id)).first()
    plan = removals.plan_erasure(shop, gone, now=NOW)
    removals.erase(shop, plan, actor="owner", now=NOW)
    done = make(shop, now=NOW + DAY)
    folder = copied(shop, tmp_path / "by hand", OWNER, AWAY)
    told = (folder / "RESTORE.txt").read_text(encoding="utf-8")
    assert "age -d -i key.txt FILE" in told

    opened = {}
    for name in done.manifest.beside:
        assert name in told
        command = [shutil.which("age"), "-d", "-i", "key.txt", name]
        ended = subprocess.run(command, cwd=folder, env={"PATH": path}, capture_output=True)
        assert ended.returncode == 0, ended.stderr
        opened[name.partition("-")[0]] = ended.stdout

    assert opened["ledger"] == (shop.folder / LEDGER).read_bytes()
    (tmp_path / "folder.tar").write_bytes(opened["folder"])
    with tarfile.open(tmp_path / "folder.tar") as tar:
        for name in (SETTINGS, INVENTORY):
            assert tar.extractfile(name).read() == (shop.folder / name).read_bytes()
    assert b"field" in opened["keys"]
    assert shop.keyring.primary("field").id > 0


@needs_tools
def test_an_older_backup_by_the_names_and_numbers_of_its_list(shop, path, tmp_path):
    """RESTORE.txt tells of the newest; for another, its manifest has the size and the hash."""
    first = make(shop)
    change(shop)
    older = make(shop, now=NOW + HOUR)
    change(shop, 2)
    newer = make(shop, now=NOW + 2 * HOUR)
    folder = copied(shop, tmp_path / "by hand", OWNER, AWAY)
    text = (folder / "RESTORE.txt").read_text(encoding="utf-8")
    for was, now in (
        (newer.manifest.file, older.manifest.file),
        (newer.manifest.plain_sha256, older.manifest.plain_sha256),
        (f"truncate -s {newer.manifest.plain_size} ", f"truncate -s {older.manifest.plain_size} "),
    ):
        assert was in text
        text = text.replace(was, now)
    (folder / "RESTORE.txt").write_text(text, encoding="utf-8")

    ended = follow(folder, path)

    assert ended.returncode == 0, ended.stderr
    assert sha256(folder / "shop.sqlite") == older.manifest.plain_sha256
    assert older.manifest.base == first.manifest.seq
