"""Power cuts, full disks, bad lines, busy tills: a backup is there whole or not, and restores."""

from __future__ import annotations

import shutil
import sys

import backed_up
import killed
import pytest
import real_shop
import sqlalchemy as sa
from backed_up import AWAY, DAY, ESCROW, HOUR, OWNER, change, make
from killed import Victims
from real_shop import NOW, WORDS

from kit import backup, removals, restore, upkeep
from kit import store as database
from kit.shop import SETTINGS, Shop

LATER = NOW + 10 * DAY
POINTS, MANY = 3, 60  # of each kind of work; all of them in the quick tests, and in the slow ones
WORKS = ["make_full", "make", "prune", "restore"]
RARE = "keep = { hourly = 0, daily = 2, weekly = 0, monthly = 0, within_days = 0 }"
needs_strace = pytest.mark.skipif(bool(killed.why_not()), reason=killed.why_not() or "it is there")
needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


# ---- scenes ----


def prepared(folder, rules=""):
    """Return an open shop whose folder, with that of its place away, can be copied and moved."""
    real_shop.filled(folder / "shop").close()
    backed_up.equip(folder / "shop", away=folder / "away")
    backup.add_place(folder / "shop", AWAY, "../away", offsite=True)
    path = folder / "shop" / SETTINGS
    said = path.read_text(encoding="utf-8")
    path.write_text(said.replace("[backup]", f"[backup]\n{rules}"), encoding="utf-8")
    return Shop.open(folder / "shop", WORDS)


def people(shop):
    """Return the numbers of all customers."""
    with database.begin(shop.engine) as connection:
        return set(connection.scalars(sa.select(shop.tables.tables["customers"].c.customer_id)))


def erase(shop, customer, *, now):
    """Erase somebody for good."""
    plan = removals.plan_erasure(shop, customer, now=now)
    removals.erase(shop, plan, actor="owner", now=now)


class Scene:
    """A shop just before something is done to it, and what has to hold afterwards."""

    def __init__(self, folder, work):
        self.folder, self.work = folder, work
        self.now = NOW + 6 * DAY
        with prepared(folder, RARE if work == "prune" else "") as shop:
            make(shop)
            self.older = people(shop)
            self.erased = min(self.older)
            if work == "restore":
                erase(shop, self.erased, now=NOW)
            for number in range(1, 5 if work == "prune" else 2):
                make(shop, now=NOW + number * DAY, full=True)
                change(shop, number)
                make(shop, now=NOW + number * DAY + HOUR)
            self.content = real_shop.content(shop)
            self.last = 2 * number + 1
            plan = upkeep.prune(shop, now=self.now, do=False)[0].plan
            self.kept = {*plan.keep} if work == "prune" else {*range(1, self.last + 1)}
            assert len(self.kept) < self.last or work != "prune"

    def copy(self, target):
        """Return another one like it."""
        shutil.copytree(self.folder, target)
        return target / "shop"

    def check(self, folder):
        """See to it that nothing is lost, whatever happened, and that all goes on."""
        with Shop.open(folder, WORDS) as shop:
            real_shop.sound(shop)
            self.check_content(shop)
            content = real_shop.content(shop)
            for found in upkeep.verify(shop, now=self.now):
                assert found.faults == ()
                assert self.kept <= {*found.right}
            done = make(shop, now=LATER)
            assert done.manifest.seq in (self.last + 1, self.last + 2)
            for found in upkeep.verify(shop, now=LATER):
                assert found.faults == ()
                assert {*self.kept, done.manifest.seq} <= {*found.right}
            assert backed_up.left_lying(shop) == []
            for kept in shop.folder.glob(".before-restore-*"):
                assert (kept / "shop.sqlite").exists(), "half of what was kept is worse than none"
            upkeep.prune(shop, now=LATER + HOUR, do=True)
            held = [seq for one in upkeep.listed(shop.folder, shop.settings, public(shop))
                    for seq in [one.manifest.seq]]  # fmt: skip
            place = backed_up.place(shop)
            first = restore.restore(
                shop, place, [ESCROW], actor="owner", now=LATER + DAY, name=AWAY, number=held[0]
            )
            assert first.manifest.seq == held[0]
            back = restore.restore(
                shop, place, [OWNER], actor="owner", now=LATER + 2 * DAY, name=AWAY
            )
            assert back.manifest.seq == done.manifest.seq
            assert real_shop.content(shop) == content
            real_shop.sound(shop)
            assert backed_up.left_lying(shop) == []

    def check_content(self, shop):
        """The database is the old one or the restored one, never a mixture and never gone."""
        if self.work == "restore":
            assert people(shop) in (self.older - {self.erased}, {*self.ids("customers")})
            assert shop.ledger.erased([self.erased]) == {self.erased}
        else:
            assert real_shop.content(shop) == self.content

    def ids(self, table):
        """Return the keys of the rows that were there before."""
        return [row["customer_id"] for row in self.content[table]]


def public(shop):
    """Return the keys that may have signed the list."""
    return backup.signers(shop.keyring)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Return each scene, made when it is first wanted."""
    made = {}

    def scene(work):
        if work not in made:
            made[work] = Scene(tmp_path_factory.mktemp(work), work)
        return made[work]

    return scene


@pytest.fixture(scope="module")
def victims():
    """Return what makes processes to be killed."""
    with Victims([OWNER, ESCROW]) as started:
        yield started


# ---- power cuts ----


def sweep(scene, victims, tmp_path, most):
    """Kill the work at so many of its system calls, and look each time."""
    calls = victims.calls(scene.work, scene.copy(tmp_path / "counted"), scene.now)
    points = killed.spread(calls, most)
    died = 0
    for name, number in points:
        folder = scene.copy(tmp_path / "copy")
        died += victims.kill(scene.work, folder, scene.now, name, number)
        try:
            scene.check(folder)
        except BaseException:
            print(f"{scene.work} was killed at call {number} of {name}")
            raise
        shutil.rmtree(tmp_path / "copy")
    print(f"{scene.work}: killed at {died} of {sum(calls.values())} calls, {len(calls)} names")
    assert died > len(points) / 2


@needs_strace
@pytest.mark.parametrize("work", WORKS)
def test_a_power_cut_loses_no_backup(work, scenes, victims, tmp_path):
    """At a few system calls; at many in the slow tests."""
    sweep(scenes(work), victims, tmp_path, POINTS)


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize("work", WORKS)
def test_a_power_cut_anywhere_loses_no_backup(work, scenes, victims, tmp_path):
    """At calls spread over all names and over the whole work."""
    sweep(scenes(work), victims, tmp_path, MANY)
