"""Erasing one customer: what means nothing without them goes, the books stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
import sqlalchemy as sa
from little_shop import NOW, add, fill, opened, sale, snapshot, tables, totals

from kit import rows, store
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


def bought(engine, made, customer):
    """Return the numbers of a customer's sales."""
    sales = made.tables["sales"].c
    with store.begin(engine) as connection:
        query = sa.select(sales.sale_id).where(sales.customer_id == customer)
        return list(connection.scalars(query))


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
    theirs = {gone, *bought(engine, made, gone)}

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
    for name, found in after.items():
        old = [row for row in before[name] if not any(f"'{one}'" in row for one in theirs)]
        assert [row for row in found if row in old] == old, name


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


def test_what_was_sealed_in_rows_that_stay_is_emptied(engine, made):
    """Also in what hangs on them: a note on a line or the token of a card may say who it was."""
    gone = busiest(engine, made)
    sold = bought(engine, made, gone)
    before = snapshot(engine, made)
    rules = {"payments": Rule("books", "the shop must keep its books", empty=("card_last4",))}
    with store.begin(engine) as connection:
        done = erase(connection, made, plan(connection, made, gone, rules=rules))
        left = {
            name: rows.find(connection, made.tables[name], {"sale_id": sold})
            for name in ("sales", "lines", "payments")
        }

    assert {row["note"] for row in left["sales"]} == {None}
    cards = {(row["card_token"], row["card_last4"]) for row in left["payments"]}
    assert cards == {(None, None)}
    assert [row["amount_cents"] for row in left["payments"]] == [1_000] * len(sold)
    assert "card_token': b" in str(before["payments"])
    told = {step.table: step for step in done.steps}
    assert (told["payments"].action, told["payments"].retained) == ("anonymise", len(sold))
    assert "the shop must keep its books; nothing in them names you" in told["payments"].message


def test_what_was_added_after_the_plan_goes_too(engine, made):
    """The plan is a promise to the customer, not a list of rows."""
    gone = busiest(engine, made)
    with store.begin(engine) as connection:
        planned = plan(connection, made, gone, rules=TAX)
        add(connection, made, "addresses", [{"address_id": "adr_9", "customer_id": gone}])
        sale(connection, made, 9, gone.removeprefix("cus_"), NOW)
        done = erase(connection, made, planned)

    assert "adr_9" in done.keys["addresses"]
    assert gone not in str(snapshot(engine, made))
    assert "sal_9" in str(snapshot(engine, made)["sales"])


def test_a_hold_that_came_after_the_plan_stops_it(engine, made):
    """A court case began in between: nothing is touched."""
    gone = busiest(engine, made)
    before = snapshot(engine, made)
    with store.begin(engine) as connection:
        planned = plan(connection, made, gone)
        hold = {"payments": Rule("dispute", "the card company asks", whole=True)}
        with pytest.raises(Held, match="payments: the card company asks"):
            erase(connection, made, replace(planned, rules=hold))

    assert snapshot(engine, made) == before


def test_nobody_adds_to_a_customer_while_they_are_erased(postgres, made):
    """On a server others write at the same time: a new address waits, then finds nobody."""
    engine = opened(postgres, made)
    with store.begin(engine) as connection:
        fill(connection, made)
    addresses, other = made.tables["addresses"], store.connect(postgres, wait_s=0)
    with store.begin(engine) as connection:
        erase(connection, made, plan(connection, made, "cus_1"))
        with pytest.raises(store.Locked), store.begin(other) as late:
            late.execute(sa.insert(addresses).values(address_id="adr_9", customer_id="cus_1"))

    assert "adr_9" not in str(snapshot(engine, made))


def test_a_row_reached_twice_goes_once(tmp_path):
    """Two links to the customer, one that takes the row along and one that does not."""
    made = sa.MetaData()
    key = {"primary_key": True}
    people = sa.Table("people", made, sa.Column("id", sa.Text, **key))
    by, of = (sa.ForeignKey("people.id", ondelete=how) for how in ("SET NULL", "CASCADE"))
    visits = sa.Table(
        "visits", made,
        sa.Column("id", sa.Text, **key), sa.Column("by", sa.Text, by), sa.Column("of", sa.Text, of),
    )  # fmt: skip
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'x.sqlite'}")
    made.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(people), [{"id": "a"}, {"id": "b"}])
        connection.execute(
            sa.insert(visits),
            [{"id": "1", "by": "a", "of": "a"}, {"id": "2", "by": "a", "of": "b"}],
        )
        done = erase(connection, made, plan(connection, made, "a", root="people"))
        left = connection.execute(sa.select(visits)).all()
    engine.dispose()

    assert done.report()["removed"] == {"people": 1, "visits": 1}
    assert done.report()["retained"] == {"visits": 1}
    assert left == [("2", None, "b")]
