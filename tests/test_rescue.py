"""One customer comes back from a backup whole, opens again, and brings nobody else along."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from datetime import timedelta
from pathlib import Path

import little_shop as shop
import pytest
import real_shop
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit import history, rescue, rows, schema, snapshot, store
from kit.rescue import BadChoice, Blocked, Changed, Lost, NotThere, RescueError

THEIRS = ("customers", "addresses", "consents", "loyalty")


@pytest.fixture
def made():
    """Return the tables."""
    return shop.tables()


@pytest.fixture
def copy(tmp_path, made):
    """Return the restored copy: the little shop, as it was."""
    engine = shop.opened(f"sqlite:///{tmp_path / 'copy.sqlite'}", made)
    with store.begin(engine) as connection:
        shop.fill(connection, made)
    return engine


@pytest.fixture
def live(database, made, copy):
    """Return the shop in use, the same at first, in SQLite and in PostgreSQL."""
    engine = shop.opened(database, made)
    duplicate(copy, engine, made)
    return engine


def duplicate(source, target, made):
    """Fill an empty shop with the rows of another."""
    with store.begin(source) as there, store.begin(target) as here:
        for table in made.sorted_tables:
            found = rows.find(there, table, {})
            if found and not table.name.startswith("kit_"):
                here.execute(sa.insert(table), found)


def run(engine, *queries):
    """Change the shop in use."""
    with store.begin(engine) as connection:
        for query in queries:
            connection.execute(query)


def gone(made, number="cus_1"):
    """Delete a customer as the foreign keys say."""
    table = made.tables["customers"]
    return sa.delete(table).where(table.c.customer_id == number)


def look(copy, live, made, number="cus_1"):
    """Look at one customer."""
    with store.begin(copy) as there, store.begin(live) as here:
        return rescue.look(there, here, made, number)


def rescued(copy, live, made, number="cus_1", **more):
    """Look, and bring back what was seen."""
    with store.begin(copy) as there, store.begin(live) as here:
        seen = rescue.look(there, here, made, number)
        return rescue.bring_back(there, here, made, seen, **more)


def every_token_opens(engine, made):
    """Open all that is sealed, each under its own row."""
    opened = 0
    with store.begin(engine) as connection:
        for table in made.tables.values():
            sealed = [c.name for c in table.c if c.info.get("protect", "").startswith("seal")]
            for row in rows.find(connection, table, {}) if sealed else ():
                for name in sealed:
                    place = f"{table.name}.{name}.{row[next(iter(table.primary_key)).name]}"
                    if row[name] is not None:
                        assert shop.CIPHER.unseal(row[name], context=place)
                        opened += 1
    return opened


def test_a_deleted_customer_comes_back_with_points_and_purchases(copy, live, made):
    """Every row of the shop is as it was, and every e-mail opens again."""
    before, tokens = shop.snapshot(live, made), every_token_opens(live, made)
    run(live, gone(made))
    without = every_token_opens(live, made)
    done = rescued(copy, live, made)

    assert without < tokens
    assert shop.snapshot(live, made) == before
    assert every_token_opens(live, made) == tokens
    assert done.added == {"customers": 1, "addresses": 1, "consents": 1, "loyalty": 2}
    assert done.links == {"sales.customer_id": 2, "privacy_requests.customer_id": 1}
    assert (done.replaced, done.skipped, done.lost) == ({}, {}, ())
    assert look(copy, live, made).nothing


def test_looking_changes_nothing_and_names_what_would_come(copy, live, made):
    """The owner sees what will happen before it happens."""
    run(live, gone(made))
    before = shop.snapshot(live, made)
    seen = look(copy, live, made)
    tables = {t.table: t for t in seen.tables}

    assert shop.snapshot(live, made) == before
    assert not seen.nothing
    assert tables["customers"].missing == ("cus_1",)
    assert tables["loyalty"].missing == ("poi_1", "poi_2")
    assert (tables["sales"].missing, tables["sales"].same) == ((), 2)
    assert seen.links["sales.customer_id"] == ("sal_1", "sal_2")
    order = [t.table for t in seen.tables]
    assert order.index("customers") < order.index("addresses") and order.index(
        "sales"
    ) < order.index("lines")


def test_nothing_is_done_where_nothing_is_missing(copy, live, made):
    """A customer who is there already is left alone."""
    before = shop.snapshot(live, made)
    seen = look(copy, live, made)
    done = rescued(copy, live, made, on_conflict="replace")

    assert seen.nothing
    assert shop.snapshot(live, made) == before
    assert not any((done.added, done.replaced, done.skipped, done.links))


def test_a_half_deleted_customer_is_made_whole(copy, live, made):
    """Somebody deleted by hand, and stopped halfway: what is missing comes, what is there stays."""
    before = shop.snapshot(live, made)
    tables = made.tables
    run(
        live,
        sa.delete(tables["addresses"]).where(tables["addresses"].c.customer_id == "cus_1"),
        sa.delete(tables["loyalty"]).where(tables["loyalty"].c.entry_id == "poi_2"),
        sa.delete(tables["sales"]).where(tables["sales"].c.sale_id == "sal_1"),
    )
    damaged = shop.snapshot(live, made)
    done = rescued(copy, live, made)

    assert damaged != before
    assert shop.snapshot(live, made) == before
    assert done.added == {"addresses": 1, "loyalty": 1, "sales": 1, "lines": 1, "payments": 1}
    assert done.links == {"loyalty.sale_id": 1}  # the point was kept, but its sale was gone


@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_rows_that_differ_are_left_or_replaced_as_told(copy, live, made, policy):
    """Nobody's newer phone number is overwritten unless the owner says so."""
    customers, sales = made.tables["customers"], made.tables["sales"]
    token = shop.CIPHER.seal("+12125550199", context="customers.phone.cus_1")
    with store.begin(live) as connection:
        rows.change(connection, customers, "cus_1", {"phone": token}, version=1)
    run(
        live,
        sa.update(sales).where(sales.c.sale_id == "sal_1").values(customer_id=None, total_cents=1),
    )
    seen = look(copy, live, made)
    done = rescued(copy, live, made, on_conflict=policy)
    with store.begin(live) as connection, store.begin(copy) as there:
        now = rows.get(connection, customers, "cus_1")
        was = rows.get(there, customers, "cus_1")
        sale = rows.get(connection, sales, "sal_1")

    assert {t.table: t.different for t in seen.tables if t.different} == {
        "customers": ("cus_1",),
        "sales": ("sal_1",),
    }
    assert sale["customer_id"] == "cus_1"  # set again either way
    if policy == "skip":
        assert now["phone"] == token
        assert (now["version"], sale["total_cents"]) == (2, 1)
        assert done.skipped == {"customers": 1, "sales": 1} and not done.replaced
    else:
        assert now == was | {"version": 3}
        assert sale["total_cents"] == 1_000
        assert done.replaced == {"customers": 1, "sales": 1} and not done.skipped


def test_who_had_read_a_replaced_row_must_read_it_again(copy, live, made):
    """The cashier who was just editing does not write over what was brought back."""
    customers = made.tables["customers"]
    with store.begin(live) as connection:
        rows.change(connection, customers, "cus_1", {"loyalty_points": 99}, version=1)
    rescued(copy, live, made, on_conflict="replace")

    with store.begin(live) as connection, pytest.raises(rows.Conflict):
        rows.change(connection, customers, "cus_1", {"loyalty_points": 100}, version=2)


def test_a_row_that_was_changed_and_changed_back_is_the_same(copy, live, made):
    """The count of changes alone makes no difference that somebody has to decide about."""
    customers = made.tables["customers"]
    run(live, sa.update(customers).where(customers.c.customer_id == "cus_1").values(version=9))

    assert look(copy, live, made).nothing


def test_a_sale_that_is_somebody_elses_by_now_stays_theirs(copy, live, made):
    """Two customers were merged since: the link is a difference, not an emptied one."""
    sales = made.tables["sales"]
    run(
        live,
        sa.update(sales).where(sales.c.sale_id == "sal_1").values(customer_id="cus_2"),
        gone(made),
    )
    done = rescued(copy, live, made)
    with store.begin(live) as connection:
        sale = rows.get(connection, sales, "sal_1")

    assert sale["customer_id"] == "cus_2"
    assert done.skipped == {"sales": 1}
    assert done.links["sales.customer_id"] == 1  # the other one


def test_nobody_else_comes_along(copy, live, made):
    """Ben's point for Ana's sale is not brought back with Ana: he may have been erased."""
    stray = {"entry_id": "poi_9", "customer_id": "cus_2", "sale_id": "sal_1", "points": 1}
    with store.begin(copy) as connection:
        shop.add(connection, made, "loyalty", [stray | {"happened_at": shop.NOW}])
    run(live, gone(made), gone(made, "cus_2"))
    others = [r for r in shop.snapshot(live, made)["sales"] if "'sal_3'" in r or "'sal_5'" in r]
    done = rescued(copy, live, made)
    after = shop.snapshot(live, made)

    assert done.added["loyalty"] == 2
    assert not any("'cus_2'" in row for name in THEIRS for row in after[name])
    assert [r for r in after["sales"] if "'sal_3'" in r or "'sal_5'" in r] == others


def test_links_to_what_is_gone_stay_empty_and_are_told(copy, live, made):
    """The employee who made the sale has left, the product is gone: the sale comes back without."""
    tables = made.tables
    run(
        live,
        gone(made),
        sa.delete(tables["sales"]),
        sa.delete(tables["employees"]),
        sa.delete(tables["products"]),
    )
    done = rescued(copy, live, made)
    with store.begin(live) as connection:
        sale = rows.get(connection, tables["sales"], "sal_1")
        line = rows.get(connection, tables["lines"], "lin_1")

    assert (sale["employee_id"], sale["store_id"], sale["customer_id"]) == (None, "sto_1", "cus_1")
    assert line["product_id"] is None
    why = "names a row that the shop no longer has; the link stays empty"
    assert done.lost == (
        Lost("sales", "employee_id", why, 2),
        Lost("lines", "product_id", why, 2),
    )
    assert str(done.lost[0]) == f"sales.employee_id: {why}"


def without(protect, *names):
    """Return the tables of a shop that does not know some columns yet, or any more."""
    made = schema.metadata({k: v for k, v in protect.items() if k not in names})
    return made


def test_a_column_that_the_backup_lacks_is_named(tmp_path, database):
    """The shop began to keep nicknames after the backup: they are told to be empty, not guessed."""
    older, made = without(shop.PROTECT, "customers.note", "customers.tags"), shop.tables()
    copy = shop.opened(f"sqlite:///{tmp_path / 'old.sqlite'}", older)
    person = {"customer_id": "cus_1", "first_name": "Ana", "email": "ana@example.com"}
    with store.begin(copy) as connection:
        shop.add(connection, older, "customers", [person])
    live = shop.opened(database, made)
    seen = look(copy, live, made)
    done = rescued(copy, live, made)
    with store.begin(live) as connection:
        row = rows.get(connection, made.tables["customers"], "cus_1")

    named = {(lost.table, lost.column) for lost in done.lost}
    assert {("customers", "note"), ("customers", "tags")} <= named
    assert all("the copy has no such" in lost.why and lost.rows == 1 for lost in done.lost)
    assert seen.lost == done.lost
    assert (row["first_name"], row["note"]) == ("Ana", None)
    place = "customers.email.cus_1"
    assert shop.CIPHER.unseal(row["email"], context=place) == "ana@example.com"


def test_a_replaced_row_keeps_what_the_backup_does_not_know(tmp_path, database):
    """A new column is not emptied by an old backup."""
    older, made = without(shop.PROTECT, "customers.note"), shop.tables()
    copy, live = shop.opened(f"sqlite:///{tmp_path / 'old'}", older), shop.opened(database, made)
    with store.begin(copy) as there, store.begin(live) as here:
        shop.add(there, older, "customers", [{"customer_id": "cus_1", "first_name": "Ana"}])
        shop.add(here, made, "customers", [{"customer_id": "cus_1", "note": "rings twice"}])
    rescued(copy, live, made, on_conflict="replace")
    with store.begin(live) as connection:
        row = rows.get(connection, made.tables["customers"], "cus_1")

    assert row["first_name"] == "Ana"
    assert shop.CIPHER.unseal(row["note"], context="customers.note.cus_1") == "rings twice"


def test_a_column_or_table_that_the_shop_gave_up_is_named(copy, database):
    """What the shop no longer keeps stays in the backup, and the owner is told."""
    newer = without(shop.PROTECT, "customers.note")
    live = shop.opened(database, newer)
    run(
        copy,
        sa.text("CREATE TABLE pets (pet_id TEXT PRIMARY KEY, owner TEXT REFERENCES customers)"),
    )
    run(copy, sa.text("INSERT INTO pets VALUES ('p1', 'cus_1'), ('p2', 'cus_2')"))
    with store.begin(live) as connection:
        shop.add(connection, newer, "stores", [{"store_id": "sto_1"}])
        shop.add(connection, newer, "products", [{"product_id": "pro_1"}])
    done = rescued(copy, live, newer)

    assert Lost("customers", "note", "the shop has no such column now", 1) in done.lost
    assert Lost("pets", "", "the shop has no such table now", 1) in done.lost
    assert done.added["customers"] == 1


def test_a_column_that_was_plain_is_not_put_where_tokens_belong(tmp_path, database):
    """An e-mail from before the shop encrypted never lands in the clear in a sealed column."""
    plain = schema.metadata(shop.PROTECT | {"customers.email": "open"})
    made = shop.tables()
    copy, live = shop.opened(f"sqlite:///{tmp_path / 'old'}", plain), shop.opened(database, made)
    with store.begin(copy) as there:
        shop.add(there, plain, "customers", [{"customer_id": "cus_1", "email": "ana@example.com"}])
    done = rescued(copy, live, made)
    with store.begin(live) as connection:
        row = rows.get(connection, made.tables["customers"], "cus_1")

    (email,) = [lost for lost in done.lost if lost.column == "email"]
    assert "another way" in email.why
    assert row["email"] is None


def test_the_columns_of_the_shop_in_use_are_looked_at_too(copy, database):
    """A database that lags behind its own settings loses nothing unseen."""
    made = shop.tables()
    live = shop.opened(database, without(shop.PROTECT, "customers.note", "addresses.street"))
    with store.begin(live) as connection:
        connection.execute(sa.insert(made.tables["stores"]).values(store_id="sto_1"))
        connection.execute(sa.insert(made.tables["products"]).values(product_id="pro_1"))
    done = rescued(copy, live, made)

    why = "the shop's database has no such column, so what the copy holds stays behind"
    assert Lost("customers", "note", why, 1) in done.lost
    assert Lost("addresses", "street", why, 1) in done.lost


@pytest.fixture
def strict():
    """Return tables where an order cannot be without its till and a till not without a place."""
    made = sa.MetaData()
    sa.Table("customers", made, sa.Column("id", sa.Text, primary_key=True))
    sa.Table("tills", made, sa.Column("id", sa.Text, primary_key=True))
    sa.Table(
        "orders",
        made,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("customer", sa.ForeignKey("customers.id", ondelete="CASCADE"), nullable=False),
        sa.Column("till", sa.ForeignKey("tills.id"), nullable=False),
        sa.Column("code", sa.Text, unique=True),
    )
    sa.Table(
        "kit_meta", made, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text)
    )
    return made


def test_a_row_that_cannot_be_without_another_blocks(tmp_path, database, strict):
    """Nothing comes back halfway: the owner is told what has to be there first."""
    copy = shop.opened(f"sqlite:///{tmp_path / 'c'}", strict)
    live = shop.opened(database, strict)
    orders, tills = strict.tables["orders"], strict.tables["tills"]
    for engine in (copy, live):
        run(engine, sa.insert(strict.tables["customers"]).values(id="Q7"))
    run(copy, sa.insert(tills).values(id="T9"))
    run(copy, sa.insert(orders).values(id="O8", customer="Q7", till="T9", code="C6"))
    before = shop.snapshot(live, strict)
    seen = look(copy, live, strict, "Q7")

    with pytest.raises(Blocked, match="orders.till: names a row that the shop no longer has") as no:
        rescued(copy, live, strict, "Q7")
    assert [lost.final for lost in seen.lost] == [True]
    assert shop.snapshot(live, strict) == before
    assert not {"Q7", "O8", "T9", "C6"} & set(str(no.value).replace(";", " ").split())


def test_a_needed_column_that_the_backup_lacks_blocks(tmp_path, database, strict):
    """A row is never filled up with something made up."""
    copy = shop.opened(f"sqlite:///{tmp_path / 'c'}", strict)
    run(copy, sa.insert(strict.tables["customers"]).values(id="Q7"))
    newer = sa.MetaData()
    sa.Table(
        "customers",
        newer,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("since", sa.Text, nullable=False),
    )
    sa.Table(
        "kit_meta", newer, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text)
    )
    live = shop.opened(database, newer)

    with pytest.raises(Blocked, match="customers.since: the copy has no such column"):
        rescued(copy, live, newer, "Q7")
    run(live, sa.insert(newer.tables["customers"]).values(id="Q7", since="2026"))
    assert rescued(copy, live, newer, "Q7").added == {}  # no new row, so nothing is needed


def test_what_the_database_refuses_leaves_nothing_behind(tmp_path, database, strict):
    """A number that must be unique was given to somebody else: all of it is undone."""
    copy = shop.opened(f"sqlite:///{tmp_path / 'c'}", strict)
    live = shop.opened(database, strict)
    orders = strict.tables["orders"]
    for engine in (copy, live):
        run(engine, sa.insert(strict.tables["tills"]).values(id="T9"))
    run(copy, sa.insert(strict.tables["customers"]).values(id="Q7"))
    run(copy, sa.insert(orders).values(id="O8", customer="Q7", till="T9", code="C6"))
    run(live, sa.insert(strict.tables["customers"]).values(id="Q8"))
    run(live, sa.insert(orders).values(id="O1", customer="Q8", till="T9", code="C6"))
    before = shop.snapshot(live, strict)
    with store.begin(copy) as there, store.begin(live) as here:
        seen = rescue.look(there, here, strict, "Q7")
        with pytest.raises(Blocked, match="the database refused a row") as no:
            rescue.bring_back(there, here, strict, seen)
        assert here.scalar(sa.select(sa.func.count()).select_from(orders)) == 1  # goes on

    assert shop.snapshot(live, strict) == before
    assert no.value.__cause__ is None and no.value.__suppress_context__
    assert "C6" not in str(no.value)


def test_a_database_without_the_table_is_brought_up_to_date_first(copy, database, made):
    """An update that was never run is told, not worked around."""
    older = schema.metadata({k: v for k, v in shop.PROTECT.items()})
    live = shop.opened(database, older)
    run(live, sa.text("DROP TABLE consents"))

    with pytest.raises(Blocked, match="consents: the shop's database has no such table"):
        look(copy, live, made)


@pytest.mark.parametrize(
    ("number", "policy", "error"),
    [
        pytest.param("cus_77", "skip", NotThere, id="never was a customer"),
        pytest.param("", "skip", NotThere, id="no number"),
        pytest.param("cus_1", "new id", BadChoice, id="a new number"),
        pytest.param("cus_1", "", BadChoice, id="no policy"),
        pytest.param("cus_1", "REPLACE", BadChoice, id="another spelling"),
    ],
)
def test_refuses(copy, live, made, number, policy, error):
    """Nothing is guessed, and no message tells whose number it was."""
    run(live, gone(made))
    before = shop.snapshot(live, made)

    with pytest.raises(error) as caught:
        rescued(copy, live, made, number, on_conflict=policy)
    assert isinstance(caught.value, RescueError)
    assert "cus_" not in str(caught.value) and "Ana" not in str(caught.value)
    assert shop.snapshot(live, made) == before


def test_a_copy_of_something_else_is_refused(tmp_path, live, made):
    """A file without customers is no copy of the shop."""
    other = sa.MetaData()
    sa.Table(
        "kit_meta", other, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text)
    )
    copy = shop.opened(f"sqlite:///{tmp_path / 'other'}", other)

    with pytest.raises(NotThere, match="no table customers"):
        look(copy, live, made)


@pytest.mark.parametrize("change", ["deleted", "changed", "changed again"])
def test_what_changed_since_the_preview_is_not_overwritten(copy, live, made, change):
    """Between looking and agreeing the shop went on: what was agreed to is no longer true."""
    customers = made.tables["customers"]
    edit = sa.update(customers).where(customers.c.customer_id == "cus_1")
    if change == "changed again":
        run(live, edit.values(loyalty_points=5))
    seen = look(copy, live, made)
    run(live, gone(made) if change == "deleted" else edit.values(loyalty_points=6))
    before = shop.snapshot(live, made)

    with store.begin(copy) as there, store.begin(live) as here, pytest.raises(Changed):
        rescue.bring_back(there, here, made, seen, on_conflict="replace")
    assert shop.snapshot(live, made) == before


def test_a_copy_restored_into_postgresql_does_as_well(tmp_path, postgres, made, copy):
    """A shop on PostgreSQL restores its dump into a database beside the one in use."""
    scratch, live = shop.opened(postgres, made), shop.opened(f"sqlite:///{tmp_path / 'l'}", made)
    duplicate(copy, scratch, made)
    duplicate(copy, live, made)
    before = shop.snapshot(live, made)
    run(live, gone(made))
    rescued(scratch, live, made)

    assert shop.snapshot(live, made) == before


def test_more_rows_than_one_query_takes(copy, live, made):
    """A customer with thousands of purchases comes back in seconds."""
    with store.begin(copy) as connection:
        sold = {"store_id": "sto_1", "customer_id": "cus_3", "sold_at": shop.NOW}
        many = [{"sale_id": f"big_{n}", **sold, "total_cents": n} for n in range(11_000)]
        rows.load(connection, made.tables["sales"], [many])
    done = rescued(copy, live, made, "cus_3")
    again = look(copy, live, made, "cus_3")

    assert done.added == {"sales": 11_000}
    assert again.nothing


NAMES = ("addresses", "consents", "loyalty", "sales", "lines", "payments")
KEYS = {
    "addresses": ["adr_1"],
    "consents": ["con_1"],
    "loyalty": ["poi_1", "poi_2"],
    "sales": ["sal_1", "sal_2"],
    "lines": ["lin_1", "lin_2"],
    "payments": ["pay_1", "pay_2"],
}
AMOUNTS = {"sales": "total_cents", "lines": "net_cents", "loyalty": "points"}
ONE = st.sampled_from([(name, key) for name, keys in KEYS.items() for key in keys])


@functools.cache
def filled():
    """Fill the little shop once."""
    path = Path(real_shop.KEPT) / "little.sqlite"
    with store.begin(shop.opened(f"sqlite:///{path}", shop.tables())) as connection:
        shop.fill(connection, shop.tables())
    return path


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lost=st.sets(ONE),
    edited=st.sets(ONE),
    whole=st.booleans(),
    policy=st.sampled_from(rescue.POLICIES),
)
def test_any_damage_is_made_good(tmp_path_factory, lost, edited, whole, policy):
    """Whatever of a customer was deleted or changed: afterwards all is there, others untouched."""
    folder, made = tmp_path_factory.mktemp("any"), shop.tables()
    for name in ("copy", "live"):
        shutil.copyfile(filled(), folder / name)
    copy, live = store.connect(folder / "copy"), store.connect(folder / "live")
    before = shop.snapshot(live, made)
    for name, key in edited:
        if name in AMOUNTS:
            table = made.tables[name]
            own = next(iter(table.primary_key)) == key
            run(live, sa.update(table).where(own).values({AMOUNTS[name]: 77}))
    kept = shop.snapshot(live, made)
    for name, key in lost:
        table = made.tables[name]
        run(live, sa.delete(table).where(next(iter(table.primary_key)) == key))
    if whole:
        run(live, gone(made))
    damaged = shop.snapshot(live, made)
    done = rescued(copy, live, made, on_conflict=policy)
    after = shop.snapshot(live, made)

    if policy == "replace":
        assert after == before
    else:
        for name in before:
            assert len(after[name]) == len(before[name])
            assert set(after[name]) <= set(before[name]) | set(kept[name])
            # what was edited and still there was left alone
            assert {r for r in damaged[name] if "77" in r and "None" not in r} <= set(after[name])
    again = look(copy, live, made)
    assert not again.links and not any(t.missing for t in again.tables)
    assert done.lost == ()


def test_a_real_shop_gets_its_customer_back(tmp_path):
    """From a till's export to the deletion by hand and back: everything opens, the log holds."""
    with real_shop.filled(tmp_path / "shop") as open_shop:
        before = real_shop.content(open_shop)
        snapshot.take(open_shop.files()[0], tmp_path / "copy.sqlite")
        sales = open_shop.tables.tables["sales"]
        with open_shop.reading() as connection:
            buyer = connection.scalar(
                sa.select(sales.c.customer_id)
                .where(sales.c.customer_id.is_not(None))
                .group_by(sales.c.customer_id)
                .order_by(sa.func.count().desc())
            )
        with open_shop.writing("owner", real_shop.NOW) as connection:
            connection.execute(gone(open_shop.tables, buyer))
        copy = store.connect(tmp_path / "copy.sqlite", role="read")
        later = real_shop.NOW + timedelta(days=1)
        with store.begin(copy) as there, open_shop.writing("owner", later) as here:
            seen = rescue.look(there, here, open_shop.tables, buyer)
            done = rescue.bring_back(there, here, open_shop.tables, seen)
            noted = history.of(here, "customers", buyer)
        after = real_shop.content(open_shop)

        assert done.added["customers"] == 1 and done.links["sales.customer_id"] > 0
        assert [entry.action for entry in noted][-2:] == ["delete", "insert"]
        for name in before:
            if name != "kit_history":
                assert after[name] == before[name], name
        real_shop.sound(open_shop)


def test_a_preview_can_be_kept_and_told_apart():
    """Two previews are equal only if they saw the same rows."""
    one = rescue.Compared("sales", (), 1, (), "a")

    assert one != dataclasses.replace(one, mark="b")
    assert "mark" not in repr(one)
