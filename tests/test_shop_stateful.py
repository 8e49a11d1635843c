"""A shop against a model of it: whatever happens, nobody is lost and nobody comes back."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from real_shop import make

from kit import counter, forms, removals, rows, store
from kit.inventory import Inventory
from kit.shop import NoSuchCustomer
from kit.trash import TrashError

START = datetime(2026, 11, 24, 15, tzinfo=UTC)
READY = forms.ready(*forms.example(), Inventory.default().fields)
NUMBERS = itertools.count(1)


class Counter(RuleBasedStateMachine):
    """Customers come, change their number, say no, are deleted by mistake, come back, or leave."""

    address = None  # of a PostgreSQL server's empty databases, by the test below
    customers = Bundle("customers")

    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="kit-model-"))
        self.now = START
        self.shop = make(self.home / "shop", self.address() if self.address else None)
        self.model, self.trashed, self.erased = {}, {}, set()

    def teardown(self):
        """Leave nothing behind."""
        self.shop.close()
        shutil.rmtree(self.home)

    def row(self, customer):
        """Return the stored row."""
        with self.shop.reading() as connection:
            return rows.get(connection, self.shop.tables.tables["customers"], customer)

    @rule(target=customers, yes=st.booleans())
    def sign_up(self, yes):
        """Somebody new, with or without offers by e-mail."""
        number = next(NUMBERS)
        answers = {
            "customers.first_name": "Ana",
            "customers.email": f"ana{number}@example.com",
            "customers.phone": f"+1212555{100 + number % 100:04}",
        }
        answers = {k: v for k, v in answers.items() if k in READY.form.fields}
        boxes = {n: yes or box.required for n, box in READY.form.boxes.items()}
        taken = counter.sign_up(
            self.shop, READY, {**answers, **boxes}, source="website", actor="owner", now=self.now
        )
        customer = taken.receipt["pii_principal_id"]
        self.model[customer] = {
            "email": taken.row.get("customers.email"),
            "phone": taken.row.get("customers.phone"),
            "yes": {consent["purpose"] for consent in taken.consents},
        }
        return customer

    @rule(customer=customers, last=st.integers(100, 199))
    def change(self, customer, last):
        """A new telephone number."""
        if customer in self.model:
            phone = f"+1646555{last:04}"
            version = self.row(customer)["version"]
            counter.change(
                self.shop, customer, {"phone": phone}, version=version, actor="owner", now=self.now
            )
            self.model[customer]["phone"] = phone

    @rule(customer=customers)
    def withdraw(self, customer):
        """No more offers."""
        if customer in self.model and (said := sorted(self.model[customer]["yes"])):
            counter.withdraw(
                self.shop, customer, purpose=said[0], source="till", actor="owner", now=self.now
            )
            self.model[customer]["yes"].discard(said[0])

    @rule(customer=customers)
    def delete(self, customer):
        """By mistake."""
        if customer in self.model:
            moved = removals.delete(self.shop, customer, actor="owner", now=self.now)
            self.trashed[moved.trash_id] = (customer, self.model.pop(customer), moved.until)

    @rule(data=st.data())
    def undelete(self, data):
        """Back, as long as the window is open."""
        if self.trashed:
            trash_id = data.draw(st.sampled_from(sorted(self.trashed)))
            customer, was, until = self.trashed[trash_id]
            if self.now < until and customer not in self.erased:
                removals.undelete(self.shop, trash_id, actor="owner", now=self.now)
                self.model[customer] = was
                del self.trashed[trash_id]
            else:
                with pytest.raises(TrashError):
                    removals.undelete(self.shop, trash_id, actor="owner", now=self.now)

    @rule(customer=customers)
    def erase(self, customer):
        """For good."""
        if customer in self.model:
            plan = removals.plan_erasure(self.shop, customer, now=self.now)
            removals.erase(self.shop, plan, actor="owner", now=self.now)
            del self.model[customer]
            self.erased.add(customer)
        elif customer in self.erased:
            with pytest.raises(NoSuchCustomer):
                removals.plan_erasure(self.shop, customer, now=self.now)

    @rule(days=st.integers(1, 40))
    def wait_and_expire(self, days):
        """Time goes by, and what is over goes; nobody who never bought goes by a guess."""
        self.now += timedelta(days=days)
        plan = removals.plan_expiry(self.shop, now=self.now)
        removals.expire(self.shop, plan, actor="owner", now=self.now)
        for trash_id, (_, _, until) in list(self.trashed.items()):
            if until <= self.now:
                del self.trashed[trash_id]

    @rule(target=customers)
    def nobody(self):
        """Keep the bundle filled, so that every rule can run."""
        return multiple()

    @invariant()
    def the_shop_is_the_model(self):
        """The same customers with the same values, found by their e-mail; a log that holds."""
        table = self.shop.tables.tables["customers"]
        with store.begin(self.shop.engine) as connection:
            stored = [dict(r) for r in connection.execute(sa.select(table)).mappings()]
        plain = {row["customer_id"]: row for row in self.shop.opened("customers", stored)}
        assert set(plain) == set(self.model)
        for customer, said in self.model.items():
            assert (plain[customer]["email"], plain[customer]["phone"]) == (
                said["email"], said["phone"],
            )  # fmt: skip
            states = counter.consents(self.shop, customer, at=self.now)
            assert {key[2] for key, state in states.items() if state.yes} == said["yes"]
            if said["email"]:
                found = self.shop.find(said["email"], actor="owner", purpose="sale", now=self.now)
                assert [seen.id for seen in found] == [customer]
        assert self.shop.ledger.erased([*self.model, *self.erased]) == self.erased
        assert self.shop.verify_log().entries > 0


def settled(examples):
    """Return settings for a run of so many examples."""
    return settings(
        max_examples=examples,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def test_the_shop_is_its_model_on_sqlite():
    """A few histories; more in the slow run."""
    run_state_machine_as_test(Counter, settings=settled(6))


def test_the_shop_is_its_model_on_postgresql(postgres_server):
    """The same on a real PostgreSQL."""
    run_state_machine_as_test(on_postgresql(postgres_server), settings=settled(4))


@pytest.mark.slow
def test_the_shop_is_its_model_for_long(postgres_server):
    """Many histories, on both."""
    run_state_machine_as_test(Counter, settings=settled(60))
    run_state_machine_as_test(on_postgresql(postgres_server), settings=settled(30))


def on_postgresql(server):
    """Return the machine with an empty database for each history."""

    def address():
        name = f"model{next(NUMBERS)}"
        server.psql(f"CREATE DATABASE {name};")
        return server.get_uri(database=name)

    return type("OnPostgreSQL", (Counter,), {"address": staticmethod(address)})
