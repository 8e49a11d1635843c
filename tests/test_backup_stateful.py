"""Backups against a model of them: each restores whatever happens, and nobody erased comes back."""

from __future__ import annotations

import builtins
import io
import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from unittest import mock

import backed_up
import pytest
import real_shop
import sqlalchemy as sa
from backed_up import AWAY, ESCROW, HERE, OWNER
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from real_shop import NOW, WORDS

from kit import backup, counter, opening, removals, rescue, restore, rows, store, upkeep
from kit.backup_state import Home
from kit.shop import SETTINGS, Shop

RARE = "keep = { hourly = 0, daily = 2, weekly = 0, monthly = 0, within_days = 0 }"
TOUCHES = [(os, name) for name in "open replace rename unlink remove mkdir rmdir fsync".split()]
TOUCHES += [(io, "open"), (builtins, "open"), (shutil, "copyfile")]
MINUTE = timedelta(minutes=1)
WHEN = st.integers(0, 150)  # how often files are touched before the plug is pulled


class PowerCut(BaseException):
    """The plug was pulled."""


@contextmanager
def plug_pulled(after):
    """From the n-th touch of a file on, nothing of this computer works any more."""
    left = [after]

    def dying(real):
        def touch(*args, **more):
            left[0] -= 1
            if left[0] < 0:
                raise PowerCut
            return real(*args, **more)

        return touch

    with ExitStack() as stack:
        for module, name in TOUCHES:
            stack.enter_context(mock.patch.object(module, name, dying(getattr(module, name))))
        yield


class Backups(RuleBasedStateMachine):
    """Customers come, change and go; backups are made, let go, cut short, and brought back."""

    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="kit-backups-"))
        self.now, self.number = NOW, 0
        self.model, self.erased = {}, set()
        self.kept = {}  # by number of the backup, what was in it
        self.crashed = False  # since the last run that came to its end
        folder = self.home / "shop"
        real_shop.make(folder).close()
        backed_up.equip(folder)
        said = (folder / SETTINGS).read_text(encoding="utf-8")
        (folder / SETTINGS).write_text(
            said.replace("[backup]", f"[backup]\n{RARE}"), encoding="utf-8"
        )
        self.shop = Shop.open(folder, WORDS)

    def teardown(self):
        """See what every backup that is left holds, and bring one back."""
        try:
            self.every_backup_holds_what_it_held()
            if self.here():
                self.restore(min(self.here()))
                self.the_shop_is_the_model()
        finally:
            self.shop.close()
            shutil.rmtree(self.home)

    # ---- what is looked at

    def people(self, shop):
        """Return the telephone number of each customer."""
        table = shop.tables.tables["customers"]
        with store.begin(shop.engine) as connection:
            stored = [dict(row) for row in connection.execute(sa.select(table)).mappings()]
        return {row["customer_id"]: row["phone"] for row in shop.opened("customers", stored)}

    def without_erased(self, held):
        """Return customers without those who were erased since."""
        return {one: phone for one, phone in held.items() if one not in self.erased}

    def here(self, name=AWAY):
        """Return the numbers of the backups that a place has and tells of."""
        return {one.seq for one in self.look(name).here}

    def look(self, name=AWAY):
        """Check a place's list."""
        state = Home(self.shop.folder).load()
        place = backed_up.place(self.shop, name)
        return opening.look(self.shop, place, name=name, now=self.now, state=state)

    def faults(self, name=AWAY):
        """Return what is wrong with a place's list, and is not harmless."""
        found = self.look(name).faults
        return [fault.text for fault in found if fault.kind not in opening.HARMLESS]

    def tick(self):
        """Let a minute go by."""
        self.now += MINUTE

    # ---- customers

    @initialize()
    def begin(self):
        """The first customers and the first backup."""
        self.sign_up()
        self.sign_up()
        self.back_up(full=True)

    @rule()
    def sign_up(self):
        """Somebody new."""
        self.number += 1
        customer, phone = f"cus-{self.number}", f"+1212555{100 + self.number % 100:04}"
        cells = {"customer_id": [customer], "phone": [phone]}
        table = self.shop.tables.tables["customers"]
        with self.shop.writing("owner", self.now) as connection:
            sealed = self.shop.seal("customers", cells, [customer])
            rows.add(connection, table, {name: column[0] for name, column in sealed.items()})
        self.model[customer] = phone

    @precondition(lambda self: self.model)
    @rule(data=st.data(), last=st.integers(100, 199))
    def change(self, data, last):
        """A new telephone number."""
        customer = data.draw(st.sampled_from(sorted(self.model)))
        with self.shop.reading() as connection:
            row = rows.get(connection, self.shop.tables.tables["customers"], customer)
        self.model[customer] = f"+1646555{last:04}"
        counter.change(
            self.shop, customer, {"phone": self.model[customer]}, version=row["version"],
            actor="owner", now=self.now,
        )  # fmt: skip

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def delete(self, data):
        """By mistake."""
        customer = data.draw(st.sampled_from(sorted(self.model)))
        removals.delete(self.shop, customer, actor="owner", now=self.now)
        del self.model[customer]

    @precondition(lambda self: self.model)
    @rule(data=st.data(), after=st.one_of(st.none(), WHEN))
    def erase(self, data, after):
        """For good; if the power goes, what was begun is finished."""
        customer = data.draw(st.sampled_from(sorted(self.model)))
        plan = removals.plan_erasure(self.shop, customer, now=self.now)
        self.pull(after, lambda: removals.erase(self.shop, plan, actor="owner", now=self.now))
        removals.finish(self.shop, actor="owner", now=self.now)
        if after is None or self.shop.ledger.erased([customer]):
            self.erased.add(customer)
            del self.model[customer]

    # ---- backups

    def pull(self, after, work):
        """Do something, and pull the plug meanwhile; return whether it came to its end."""
        self.tick()
        try:
            if after is None:
                work()
            else:
                with plug_pulled(after):
                    work()
        except PowerCut:
            self.crashed = True
            self.shop.close()
            self.shop = Shop.open(self.shop.folder, WORDS)
            return False
        return True

    @rule(full=st.booleans())
    def back_up(self, full):
        """Every backup that there was stays, the new one is in both places."""
        self.tick()
        before = {name: self.here(name) for name in (HERE, AWAY)}
        done = backed_up.make(self.shop, now=self.now, full=full)
        self.kept[done.manifest.seq] = dict(self.model)
        self.crashed = False
        for name, had in before.items():
            assert had | {done.manifest.seq} <= self.here(name)
            assert self.faults(name) == []
        assert {*self.kept} <= {*range(1, done.manifest.seq + 1)}

    @rule(full=st.booleans(), after=WHEN)
    def back_up_and_crash(self, full, after):
        """It is there whole, or it is not there."""
        before = self.here()
        self.pull(after, lambda: backup.make(self.shop, actor="owner", now=self.now, full=full))
        for name in Home(self.shop.folder).manifests():
            self.kept.setdefault(int(name[:6]), dict(self.model))
        assert before <= self.here() <= {*self.kept}

    @rule(after=st.one_of(st.none(), WHEN))
    def prune(self, after):
        """The newest stays, and what it needs."""
        before = self.look().chain
        newest = max(self.here())
        self.pull(after, lambda: upkeep.prune(self.shop, now=self.now, do=True))
        assert newest in self.here()
        assert self.look().chain == before
        assert self.faults() == []

    @rule(hours=st.integers(1, 60))
    def wait(self, hours):
        """Time goes by."""
        self.now += timedelta(hours=hours)

    def restore(self, number, key=OWNER):
        """Go back to a backup."""
        place = backed_up.place(self.shop)
        restore.restore(
            self.shop, place, [key], actor="owner", now=self.now, name=AWAY, number=number
        )
        self.model = self.without_erased(self.kept[number])

    @rule(data=st.data(), key=st.sampled_from([OWNER, ESCROW]))
    def go_back(self, data, key):
        """To any backup that is there."""
        self.tick()
        self.restore(data.draw(st.sampled_from(sorted(self.here()))), key)
        self.crashed = False

    @rule(data=st.data(), after=WHEN)
    def go_back_and_crash(self, data, after):
        """The database is the old one or the restored one."""
        number = data.draw(st.sampled_from(sorted(self.here())))
        before = dict(self.model)
        self.model = before
        if not self.pull(after, lambda: self.restore(number)):
            found = self.people(self.shop)
            assert found in (before, self.without_erased(self.kept[number]))
            self.model = found

    @rule(data=st.data())
    def rescue(self, data):
        """One who is gone by mistake comes back; one who was erased does not."""
        self.tick()
        number = data.draw(st.sampled_from(sorted(self.here())))
        gone = sorted({*self.kept[number]} - {*self.model})
        if not gone:
            return
        customer = data.draw(st.sampled_from(gone))
        work = dict(actor="owner", now=self.now, name=AWAY, number=number, confirm=lambda _: True)
        place = backed_up.place(self.shop)
        if customer in self.erased:
            with pytest.raises(rescue.NotThere):
                restore.rescue_customer(self.shop, place, [OWNER], customer, **work)
        else:
            restore.rescue_customer(self.shop, place, [OWNER], customer, **work)
            self.model[customer] = self.kept[number][customer]

    @rule()
    def every_backup_holds_what_it_held(self):
        """Each that is there opens, and holds those customers, beside those erased since."""
        home = Home(self.shop.folder)
        with home.locked(), home.work() as work:
            checked = self.look()
            for one in checked.here:
                place, folder = backed_up.place(self.shop), work / str(one.seq)
                folder.mkdir()  # its own: to look into a copy changes it
                copy = opening.fetch(self.shop, place, checked, one, folder, [OWNER])
                with restore.shop_at(self.shop, copy.path) as held:
                    found = self.people(held)
                assert self.without_erased(found) == self.without_erased(self.kept[one.seq])

    # ---- always

    @invariant()
    def the_shop_is_the_model(self):
        """The customers with their numbers, nobody who was erased, and a log that holds."""
        assert self.people(self.shop) == self.model
        assert not self.erased & {*self.model}
        assert self.shop.ledger.erased([*self.model, *self.erased]) == self.erased
        self.shop.verify_log()

    @invariant()
    def nothing_lies_about(self):
        """No copy of the database, unless a run was cut short just now."""
        assert self.crashed or backed_up.left_lying(self.shop) == []


def settled(examples):
    """Return settings for a run of so many examples."""
    return settings(
        max_examples=examples,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )


def test_backups_are_their_model():
    """A few histories; more in the slow run."""
    run_state_machine_as_test(Backups, settings=settled(4))


@pytest.mark.slow
def test_backups_are_their_model_for_long():
    """Many histories."""
    run_state_machine_as_test(Backups, settings=settled(60))
