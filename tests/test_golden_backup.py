"""A backup made by version 1 restores for ever: with the paper, without the PC that made it.

`make_golden_backup.py` made it once. If a change makes a test fail here, the change is wrong:
people have such backups in a safe.
"""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime

import pytest
import real_shop
from make_golden_backup import ESCROW, FOLDER, GONE, NAMES, NEW, OWNER, PEOPLE, SALES
from real_shop import WORDS
from test_restore_by_hand import follow, needs_tools, path  # noqa: F401 (path is a fixture)

from kit import removals, restore
from kit.places import Place

SIGNED_BY = "6fdb b83a e53c a434"  # as it stood on the papers of that shop
DATABASE = "ec009f88eb35fded04db892b82d4557fb49d063d9ed649e156390af90d1b0f6a"
TODAY = datetime(2026, 12, 1, 8, tzinfo=UTC)
IN_TEN_YEARS = datetime(2036, 12, 1, 8, tzinfo=UTC)


def lost_and_found(tmp_path, key, now, number=None):
    """Return the shop made anew from the backup and a key on paper."""
    place, seen = Place(FOLDER), []
    shop = restore.rebuild(
        tmp_path / "new", place, key, lambda: WORDS, compare=seen.append, now=now
    )
    assert seen == [SIGNED_BY]
    restore.restore(shop, place, [key], actor="owner", now=now, number=number)
    return shop


def expected(*without):
    """Return the customers as they were put in."""
    return {
        number: dict(zip(NAMES, values, strict=True))
        for number, values in PEOPLE.items()
        if number not in without
    }


def found(shop):
    """Return the customers and sales of a shop."""
    held = real_shop.content(shop)
    people = {row["customer_id"]: {n: row[n] for n in NAMES} for row in held["customers"]}
    sales = {row["sale_id"]: (row["customer_id"], row["total_cents"]) for row in held["sales"]}
    return people, sales


@pytest.fixture(autouse=True)
def untouched():
    """Restoring changes nothing in the place."""
    before = {file.name: file.read_bytes() for file in FOLDER.iterdir()}
    yield
    assert {file.name: file.read_bytes() for file in FOLDER.iterdir()} == before


@pytest.mark.parametrize(
    ("key", "now"),
    [pytest.param(OWNER, TODAY, id="owner"), pytest.param(ESCROW, IN_TEN_YEARS, id="in ten years")],
)
def test_the_newest_backup_of_version_1_restores(key, now, tmp_path):
    """Full and differential, keys, settings and erasures, from one small folder and a paper."""
    with lost_and_found(tmp_path, key, now) as shop:
        assert found(shop) == (expected(GONE), SALES)
        assert shop.settings.name == "Golden Flowers"
        assert shop.ledger.erased([*PEOPLE]) == {GONE}
        assert [seen.id for seen in shop.find(
            "zoe@example.org", actor="owner", purpose="sale", now=now
        )] == ["cus-2"]  # fmt: skip
        real_shop.sound(shop)


def test_the_older_backup_of_version_1_restores(tmp_path):
    """The full one alone, by its number."""
    with lost_and_found(tmp_path, ESCROW, TODAY, number=1) as shop:
        assert found(shop) == (expected(GONE, NEW), SALES)
        real_shop.sound(shop)


def test_life_goes_on_after_it(tmp_path):
    """Whoever is erased then does not come back with it."""
    with lost_and_found(tmp_path, OWNER, TODAY) as shop:
        plan = removals.plan_erasure(shop, "cus-1", now=TODAY)
        removals.erase(shop, plan, actor="owner", now=TODAY)
        done = restore.restore(shop, Place(FOLDER), [OWNER], actor="owner", now=IN_TEN_YEARS)
        assert done.erased == 1
        assert {*found(shop)[0]} == {"cus-2", "cus-4"}


@needs_tools
def test_by_hand_too(path, tmp_path):  # noqa: F811
    """The RESTORE.txt of that day still leads to the database, byte for byte."""
    folder = tmp_path / "by hand"
    shutil.copytree(FOLDER, folder)
    (folder / "key.txt").write_text(f"{OWNER}\n", encoding="utf-8")

    ended = follow(folder, path)

    assert ended.returncode == 0, ended.stderr
    digest = hashlib.sha256((folder / "shop.sqlite").read_bytes()).hexdigest()
    assert digest == DATABASE
