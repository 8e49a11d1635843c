"""Rows in a database behave as they would in a dict, whatever is done with them in any order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kit import rows, schema, store
from kit.rows import Conflict, Exists, NotThere

NAMES = ("first_name", "visits", "accepts_sms", "birthday", "created_at")
PROTECT = {f"customers.{name}": "open" for name in NAMES} | {"customers.note": "seal"}
CUSTOMERS = schema.metadata(PROTECT).tables["customers"]
FIRST, LAST = datetime(2, 1, 1), datetime(9998, 12, 31)  # noqa: DTZ001 (Hypothesis adds the zone)
KEYS = st.sampled_from(["c1", "C1", "c 1", "c'1", "1", "ć"])
VALUES = {
    "first_name": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    "visits": st.none() | st.integers(-(2**63), 2**63 - 1),
    "accepts_sms": st.none() | st.booleans(),
    "birthday": st.none() | st.dates(),
    "created_at": st.none() | st.datetimes(FIRST, LAST, timezones=st.just(UTC)),
    "note": st.none() | st.binary(min_size=21, max_size=99).map(lambda body: b"\x01" + body),
}  # fmt: skip
CELLS = st.fixed_dictionaries({}, optional=VALUES)


class Model(RuleBasedStateMachine):
    """Whatever is added, changed, deleted and found, a dict would have answered the same."""

    engine: sa.Engine

    @initialize()
    def empty(self):
        """Begin with no customers, in a piece of work that is never kept."""
        self.model = {}
        self.connection = self.engine.connect()

    def teardown(self):
        """Throw it away."""
        self.connection.close()

    def expect(self, error, work, *args, **more):
        """Do it, and see it refused if it should be."""
        if error is None:
            work(self.connection, CUSTOMERS, *args, **more)
        else:
            with pytest.raises(error):
                work(self.connection, CUSTOMERS, *args, **more)
        return error is None

    @rule(key=KEYS, cells=CELLS)
    def add(self, key, cells):
        """Add one customer."""
        row = {"customer_id": key} | cells
        if self.expect(Exists if key in self.model else None, rows.add, row):
            self.model[key] = dict.fromkeys(VALUES) | row | {"version": 1}

    @rule(keys=st.lists(KEYS, max_size=4))
    def load(self, keys):
        """Add several, or none if one of them is there or comes twice."""
        clash = len({*keys, *self.model}) < len(keys) + len(self.model)
        batches = [[{"customer_id": key}] for key in keys]
        if self.expect(Exists if clash else None, rows.load, batches):
            for key in keys:
                self.model[key] = dict.fromkeys(VALUES) | {"customer_id": key, "version": 1}

    @rule(key=KEYS, cells=CELLS, late=st.booleans())
    def change(self, key, cells, late):
        """Change one, sometimes with an old version."""
        row = self.model.get(key)
        version = (row["version"] if row else 1) - late
        error = NotThere if row is None else Conflict if late else None
        if self.expect(error, rows.change, key, cells, version=version):
            row |= cells | {"version": row["version"] + 1}

    @rule(key=KEYS)
    def delete(self, key):
        """Delete one."""
        if self.expect(None if key in self.model else NotThere, rows.delete, key):
            del self.model[key]

    @rule(key=KEYS, other=KEYS)
    def find(self, key, other):
        """Find others that have the same cell."""
        for name in VALUES:
            wanted = self.model.get(key, {}).get(name)
            also = self.model.get(other, {}).get(name)
            found = rows.find(self.connection, CUSTOMERS, {name: [wanted, also]})
            assert [row["customer_id"] for row in found] == sorted(
                (k for k, row in self.model.items() if row[name] in (wanted, also)),
                key=str.encode,
            )

    @invariant()
    def same(self):
        """The whole table is the whole dict."""
        if hasattr(self, "model"):
            names = ["customer_id", "version", *VALUES]
            found = rows.find(self.connection, CUSTOMERS, {}, columns=names)
            assert {row["customer_id"]: row for row in found} == self.model


def test_it_behaves_as_a_dict_would(database):
    """Made-up days at the till, 20 steps each."""
    engine = store.connect(database)
    store.create(engine, CUSTOMERS.metadata)
    machine = type("OneDatabase", (Model,), {"engine": engine})
    days = 40 if engine.dialect.name == "sqlite" else 20
    machine.TestCase.settings = settings(max_examples=days, stateful_step_count=20, deadline=None)
    machine.TestCase("runTest").runTest()
