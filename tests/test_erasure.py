"""Erasing one customer: what means nothing without them goes, the books stay."""

from __future__ import annotations

from datetime import date

import pytest
import sqlalchemy as sa
from little_shop import fill, opened, snapshot, tables, totals

from kit import store
from kit.erasure import Erased, Held, NotThere, Rule, erase, plan, search

TAX = {"sales": Rule("tax", "the tax office may ask for them", date(2030, 11, 24))}


@pytest.fixture
def made():
    """Return the shop's tables."""
    return tables()


@pytest.fixture
def engine(database, made):
    """Return a filled shop, on SQLite and on PostgreSQL."""
    engine = opened(database, made)
    with store.begin(engine) as connection:
        fill(connection, made)
    yield engine
    engine.dispose()


def customers(engine, made):
    """Return the numbers of all customers."""
    with store.begin(engine) as connection:
        return list(connection.scalars(sa.select(made.tables["customers"].c.customer_id)))


def busiest(engine, made):
    """Return the customer with the most sales."""
    sales = made.tables["sales"]
    query = sa.select(sales.c.customer_id).where(sales.c.customer_id.is_not(None))
    query = query.group_by(sales.c.customer_id).order_by(sa.func.count().desc()).limit(1)
    with store.begin(engine) as connection:
        return connection.scalar(query)


def test_a_plan_changes_nothing_and_tells_in_words(engine, made):
    """Removed, retained, messages: what the customer is told."""
    before = snapshot(engine, made)
    with store.begin(engine) as connection:
        found = plan(connection, made, _first(connection, made),
                     rules=TAX)  # fmt: skip

    told = {step.table: step for step in found.steps}
    assert told["customers"].removed == 1
    assert told["sales"].action == "anonymise"
    assert told["sales"].retained >= 1
    assert "until 2030-11-24, because the tax office may ask" in told["sales"].message
    assert not any(step.done for step in found.steps)
    assert snapshot(engine, made) == before


def _first(connection, made):
    sales = made.tables["sales"]
    return connection.scalar(
        sa.select(sales.c.customer_id).where(sales.c.customer_id.is_not(None)).limit(1)
    )


def test_one_goes_and_the_others_and_the_totals_stay(engine, made):
    """Rows of others are as before, every amount stays, and no row names the one who went."""
    gone = busiest(engine, made)
    before, sums = snapshot(engine, made), totals(engine, made)

    with store.begin(engine) as connection:
        done = erase(connection, made, plan(connection, made, gone, rules=TAX))

    after = snapshot(engine, made)
    assert isinstance(done, Erased)
    assert all(step.done for step in done.steps)
    assert done.report()["removed"]["customers"] == 1
    assert done.report()["retained"]["sales"] >= 1
    assert len(done.report()["messages"]) == len(done.steps)
    assert totals(engine, made) == sums
    assert gone not in str(after)
    for name, rows in after.items():
        old = [row for row in before[name] if f"'{gone}'" not in row]
        assert [row for row in rows if row in old] == old, name


def test_erasing_twice_says_so(engine, made):
    """And a number that never was."""
    gone = busiest(engine, made)
    with store.begin(engine) as connection:
        erase(connection, made, plan(connection, made, gone))
    for number in (gone, "nobody"):
        with store.begin(engine) as connection, pytest.raises(NotThere, match="erased already"):
            plan(connection, made, number)


def test_without_a_rule_the_books_are_named(engine, made):
    """The reason is never empty."""
    with store.begin(engine) as connection:
        found = plan(connection, made, _first(connection, made))
    message = next(s.message for s in found.steps if s.table == "sales")
    assert "kept, because they belong to the shop's books" in message


def test_a_row_that_must_not_be_touched_holds_the_customer(engine, made):
    """A running dispute: the reason is told, and nothing is planned."""
    hold = {"sales": Rule("dispute", "a court case is running", whole=True)}
    with store.begin(engine) as connection, pytest.raises(Held, match="a court case is running"):
        plan(connection, made, _first(connection, made), rules=hold)


def test_a_link_that_can_neither_go_nor_be_cut_holds_the_customer(tmp_path):
    """A table of somebody else's, with RESTRICT."""
    made = sa.MetaData()
    key = sa.Column("customer_id", sa.Text, primary_key=True)
    customers = sa.Table("customers", made, key)
    link = sa.ForeignKey("customers.customer_id")
    cases = sa.Table(
        "cases", made, sa.Column("id", sa.Text, primary_key=True), sa.Column("who", sa.Text, link)
    )
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'x.sqlite'}")
    made.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(customers).values(customer_id="a"))
        connection.execute(sa.insert(cases).values(id="1", who="a"))
        with pytest.raises(Held, match="cases: its rows cannot be without"):
            plan(connection, made, "a")
    engine.dispose()


def test_remnants_are_found_byte_by_byte(tmp_path, monkeypatch):
    """Also where a value lies across two pieces of a file; a file that is gone holds nothing."""
    monkeypatch.setattr("kit.erasure.CHUNK", 8)
    path = tmp_path / "shop.sqlite"
    path.write_bytes(b"0123ana@example.com4567")

    assert search([path, tmp_path / "gone"], [b"ana@example.com", b"bo@example.com", b""]) == {
        "shop.sqlite": 1
    }
    assert search([path], []) == {}


def test_sealed_cells_of_rows_that_stay_are_emptied(engine, made):
    """A note on a sale may say who it was."""
    gone = busiest(engine, made)
    sales = made.tables["sales"]
    sealed = [c for c in sales.c if isinstance(c.type, sa.LargeBinary)]
    with store.begin(engine) as connection:
        mine = sales.c.customer_id == gone
        ids = list(connection.scalars(sa.select(sales.c.sale_id).where(mine)))
        for column in sealed:
            token = b"\x01\0\0\0\x07" + bytes(40)
            connection.execute(sa.update(sales).where(mine).values({column: token}))
        erase(connection, made, plan(connection, made, gone))
        left = connection.execute(
            sa.select(*sealed, sales.c.customer_id).where(sales.c.sale_id.in_(ids))
        )
        assert {cell for row in left for cell in row} == {None}
