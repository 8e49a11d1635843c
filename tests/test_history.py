"""Whoever changes a customer's row leaves a name, and no value is kept twice."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit import history, inventory, schema, store

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
FIELDS = inventory.Inventory.default().fields
PROTECT = {name: field.protect for name, field in FIELDS.items()}
ANA = {"customer_id": "C-1", "name": "Ana", "email": b"old token", "version": 1}


def tables():
    """Return the tables of a shop, with a history."""
    made = schema.metadata(PROTECT)
    history.table(made)
    return made


SHOP = tables()
CUSTOMERS, ADDRESSES = SHOP.tables["customers"], SHOP.tables["addresses"]


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    """Make a shop with a history, on SQLite. Tests leave it as they find it."""
    return made(store.connect(tmp_path_factory.mktemp("history") / "shop.sqlite"))


@pytest.fixture(scope="module")
def server(postgres_server):
    """Make the same on PostgreSQL."""
    postgres_server.psql("CREATE DATABASE history")
    yield made(store.connect(postgres_server.get_uri(database="history")))
    postgres_server.psql("DROP DATABASE history WITH (FORCE)")


@pytest.fixture(params=["lite", "server"])
def engine(request):
    """Open first one, then the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def connection(engine):
    """Open it with one customer in it, for one piece of work that is not kept."""
    with work(engine) as open_:
        yield open_


def made(engine):
    """Make the tables and the history."""
    store.create(engine, SHOP)
    with engine.begin() as connection:
        history.install(connection, SHOP)
    return engine


@contextmanager
def work(engine):
    """Open a shop with one customer whose history is empty, and keep nothing."""
    with engine.connect() as connection:
        with history.acting(connection, "till", now=NOW):
            connection.execute(sa.insert(CUSTOMERS).values(ANA))
        connection.execute(sa.delete(history.HISTORY))
        yield connection


def entries(connection, table="customers", row_id="C-1"):
    """Return what the history says of one row."""
    return [
        (c.actor, c.action, c.column, c.old, c.new) for c in history.of(connection, table, row_id)
    ]


def test_who_changed_what_and_when_is_known(connection):
    """A customer's e-mail address is wrong: who typed it, when, and what stood there before?"""
    with history.acting(connection, "ben", now=NOW):
        connection.execute(sa.update(CUSTOMERS).values(email=b"new token", version=2))

    (change,) = history.of(connection, "customers", "C-1")
    assert (change.actor, change.at, change.action) == ("ben", NOW, "update")
    assert (change.column, change.old, change.new) == ("email", b"old token", b"new token")


def test_open_columns_leave_no_value_behind(connection):
    """A name that was corrected, or should not have been there, is not kept in the history."""
    with history.acting(connection, "ben", now=NOW):
        connection.execute(sa.update(CUSTOMERS).values(name="Anna", visits=3))

    assert entries(connection) == [
        ("ben", "update", "name", None, None),
        ("ben", "update", "visits", None, None),
    ]


def test_columns_that_follow_others_have_no_entry(connection):
    """A new address is one change, not one for each number that is kept to find it by."""
    with history.acting(connection, "ben", now=NOW):
        connection.execute(
            sa.update(CUSTOMERS).values(email=b"new", email_index=7, email_index_key=1, version=2)
        )

    assert [entry[2] for entry in entries(connection)] == ["email"]


def test_adding_and_deleting_leave_one_entry_each(connection):
    """A bulk import does not write every cell twice, and a deleted row is not kept in secret."""
    with history.acting(connection, "ben", now=NOW):
        connection.execute(sa.insert(CUSTOMERS).values(ANA | {"customer_id": "C-2"}))
        connection.execute(sa.delete(CUSTOMERS).where(CUSTOMERS.c.customer_id == "C-2"))

    assert entries(connection, row_id="C-2") == [
        ("ben", "insert", None, None, None),
        ("ben", "delete", None, None, None),
    ]


@pytest.mark.parametrize(("before", "after"), [(None, b"t"), (b"t", None), (b"", None)])
def test_empty_cells_count(connection, before, after):
    """Filling in an address and blanking one are changes, though NULL is equal to nothing."""
    with history.acting(connection, "ben", now=NOW):
        connection.execute(sa.update(CUSTOMERS).values(phone=before))
        connection.execute(sa.delete(history.HISTORY))
        connection.execute(sa.update(CUSTOMERS).values(phone=after))

    assert entries(connection) == [("ben", "update", "phone", before, after)]


def test_writing_the_same_again_is_no_change(connection):
    """Saving a form without a change leaves nothing, and needs no name."""
    connection.execute(sa.update(CUSTOMERS).values(email=ANA["email"], name="Ana", phone=None))

    assert entries(connection) == []


def test_one_statement_over_many_rows_is_written_for_each(connection):
    """Somebody who blanks every address in one go is found in every customer's history."""
    rows = [ANA | {"customer_id": f"C-{n}"} for n in range(2, 5)]
    with history.acting(connection, "ben", now=NOW):
        connection.execute(sa.insert(CUSTOMERS), rows)
        connection.execute(sa.update(CUSTOMERS).values(email=None))

    for n in range(2, 5):
        assert entries(connection, row_id=f"C-{n}")[1] == (
            "ben", "update", "email", b"old token", None,
        )  # fmt: skip


def test_a_new_key_is_a_row_deleted_and_a_row_added(connection):
    """A token opens under its old key only, so nothing is told of the new row in its words."""
    with history.acting(connection, "ben", now=NOW):
        connection.execute(sa.update(CUSTOMERS).values(customer_id="C-9", email=b"new token"))

    assert entries(connection) == [("ben", "delete", None, None, None)]
    assert entries(connection, row_id="C-9") == [("ben", "insert", None, None, None)]


def test_what_the_database_does_by_itself_is_written_too(connection):
    """Deleting a customer takes addresses along and unlinks sales: both are in the history."""
    with history.acting(connection, "ben", now=NOW):
        connection.execute(sa.insert(ADDRESSES).values(address_id="A-1", customer_id="C-1"))
        connection.execute(sa.insert(SHOP.tables["sales"]).values(sale_id="S-1", customer_id="C-1"))
        connection.execute(sa.delete(CUSTOMERS))

    assert entries(connection, "addresses", "A-1")[-1][1] == "delete"
    assert entries(connection, "sales", "S-1")[-1][1:3] == ("update", "customer_id")


@pytest.mark.parametrize(
    "statement",
    [
        sa.update(CUSTOMERS).values(name="Anna"),
        sa.delete(CUSTOMERS),
        sa.insert(CUSTOMERS).values(ANA | {"customer_id": "C-2"}),
        sa.update(CUSTOMERS).values(customer_id="C-9"),
    ],
    ids=["update", "delete", "insert", "new key"],
)
def test_nobody_changes_anything_without_a_name(connection, statement):
    """A forgotten program, or a hand in the database, is stopped, not left anonymous."""
    with pytest.raises(sa.exc.DBAPIError, match="nobody says who makes this change"):
        connection.execute(statement)


def test_the_name_ends_with_its_block(connection):
    """The next change is not put down to the one before, also when that one failed."""
    with pytest.raises(ZeroDivisionError), history.acting(connection, "ben", now=NOW):
        _ = 1 / 0

    with pytest.raises(sa.exc.DBAPIError, match="nobody"):
        connection.execute(sa.delete(CUSTOMERS))


def test_a_statement_that_fails_is_told_as_it_is(connection):
    """What went wrong is not hidden by the name's own end."""
    with pytest.raises(sa.exc.DBAPIError) as caught, history.acting(connection, "ben", now=NOW):
        connection.execute(sa.insert(CUSTOMERS).values(ANA))

    assert "customer" in str(caught.value.orig).lower()


def test_the_name_is_nobody_elses(connection):
    """Two tills at once: one's name never gets into the other's transaction."""
    statement = sa.insert(CUSTOMERS).values(ANA | {"customer_id": "C-2"})
    with history.acting(connection, "ben", now=NOW):
        with store.connect(connection.engine.url, wait_s=0).connect() as other:
            with pytest.raises(sa.exc.DBAPIError, match="nobody|locked"):
                other.execute(statement)


def test_the_name_is_not_committed_on_sqlite(lite):
    """A program that commits too early cannot leave its name for whoever comes next."""
    with work(lite) as connection, pytest.raises(sa.exc.IntegrityError, match="FOREIGN KEY"):
        with history.acting(connection, "ben", now=NOW):
            connection.commit()


def test_the_name_is_not_committed_on_postgresql(server):
    """The same, but there the transaction goes through and the next one is refused."""
    with server.connect() as connection, history.acting(connection, "ben", now=NOW):
        connection.commit()

        with pytest.raises(sa.exc.DBAPIError, match="nobody"):
            connection.execute(sa.insert(CUSTOMERS).values(ANA))


def test_a_change_that_is_rolled_back_leaves_no_entry(engine):
    """The history is of what happened, in the change's own transaction."""
    with engine.connect() as connection:
        with history.acting(connection, "ben", now=NOW):
            connection.execute(sa.insert(CUSTOMERS).values(ANA))
        connection.rollback()

        assert entries(connection) == []


@pytest.mark.parametrize("actor", ["", "Ana Example", "ana@example.com", "x" * 41])
def test_refuses_an_actor_that_is_no_word(connection, actor):
    """A customer's name or address never becomes the name of who acts."""
    with (
        pytest.raises(history.BadEntry, match="one word"),
        history.acting(connection, actor, now=NOW),
    ):
        pass


def test_refuses_a_time_without_a_zone(connection):
    """Nine in the evening is not the same moment everywhere."""
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(history.BadEntry, match="zone"):
        history.trim(connection, before=naive)
    with pytest.raises(history.BadEntry), history.acting(connection, "ben", now=naive):
        pass


def test_refuses_a_second_name_at_once(connection):
    """Of two names one would be wrong."""
    with history.acting(connection, "ben", now=NOW):
        with pytest.raises(history.NotReady, match="already"):
            with history.acting(connection, "eve", now=NOW):
                pass
        connection.execute(sa.update(CUSTOMERS).values(name="Anna"))

    assert [entry[0] for entry in entries(connection)] == ["ben"]


def test_trimming_deletes_what_is_older(connection):
    """A history is personal data too, and has an end date."""
    for day in range(3):
        with history.acting(connection, "ben", now=NOW + timedelta(days=day)):
            connection.execute(sa.update(CUSTOMERS).values(visits=day))

    assert history.trim(connection, before=NOW + timedelta(days=2)) == 2
    assert [c.at for c in history.of(connection, "customers", "C-1")] == [NOW + timedelta(days=2)]


def test_forgetting_deletes_all_of_some_rows(connection, monkeypatch):
    """An erased customer is not found in the history either; others are left alone."""
    monkeypatch.setattr(history, "KEYS_AT_ONCE", 2)
    with history.acting(connection, "ben", now=NOW):
        for n in range(2, 7):
            connection.execute(sa.insert(CUSTOMERS).values(ANA | {"customer_id": f"C-{n}"}))

    assert history.forget(connection, "customers", [f"C-{n}" for n in range(2, 6)]) == 4
    assert history.forget(connection, "addresses", ["C-6"]) == 0
    assert entries(connection, row_id="C-2") == []
    assert len(entries(connection, row_id="C-6")) == 1


def test_a_number_is_not_used_again(connection):
    """Who reads on from the last number seen misses nothing, also after an erasure."""
    with history.acting(connection, "ben", now=NOW):
        connection.execute(sa.update(CUSTOMERS).values(visits=1))
        (first,) = history.of(connection, "customers", "C-1")
        history.forget(connection, "customers", ["C-1"])
        connection.execute(sa.update(CUSTOMERS).values(visits=2))

    (second,) = history.of(connection, "customers", "C-1")
    assert second.seq > first.seq


def test_printing_an_entry_shows_no_token(connection):
    """An entry left as the last line of a cell is not saved with its token."""
    with history.acting(connection, "ben", now=NOW):
        connection.execute(sa.update(CUSTOMERS).values(email=b"new token"))

    assert "token" not in repr(history.of(connection, "customers", "C-1"))


def test_installing_again_changes_nothing(connection):
    """It may be called at every start; no entry is doubled."""
    history.install(connection, SHOP)
    with history.acting(connection, "ben", now=NOW):
        connection.execute(sa.update(CUSTOMERS).values(visits=1))

    assert len(entries(connection)) == 1
    assert history.missing(connection, SHOP) == []


def test_a_column_that_came_later_is_missed_until_installed_again(connection):
    """An update of the kit adds a column; the check says whose changes would not be seen."""
    connection.exec_driver_sql("ALTER TABLE products ADD COLUMN shelf TEXT")
    newer = tables()
    newer.tables["products"].append_column(sa.Column("shelf", sa.Text))

    assert history.missing(connection, newer) == ["products"]
    history.install(connection, newer)
    assert history.missing(connection, newer) == []


def test_a_trigger_that_was_dropped_is_missed(connection):
    """Who takes a trigger away is noticed."""
    on = "" if connection.dialect.name == "sqlite" else " ON customers"
    connection.exec_driver_sql(f"DROP TRIGGER kit_history_customers_delete{on}")

    assert history.missing(connection, SHOP) == ["customers"]


def test_only_some_tables_if_you_say_so(connection):
    """A shop that imports a million lines a year may leave them out."""
    history.install(connection, SHOP, tables=["customers"])
    connection.execute(sa.insert(SHOP.tables["stores"]).values(store_id="X"))

    assert history.missing(connection, SHOP, tables=["customers"]) == []
    assert "stores" in history.missing(connection, SHOP)
    with pytest.raises(sa.exc.DBAPIError, match="nobody"):
        connection.execute(sa.delete(CUSTOMERS))


def test_a_table_of_nothing_but_a_key(connection):
    """Adding and deleting are all that can happen to it."""
    made = sa.MetaData()
    tags = sa.Table("tags", made, sa.Column("tag", sa.Text, primary_key=True))
    made.create_all(connection)
    history.install(connection, made)
    with history.acting(connection, "ben", now=NOW):
        connection.execute(sa.insert(tags).values(tag="a"))
        connection.execute(sa.update(tags).values(tag="b"))

    assert [e[1] for e in entries(connection, "tags", "a")] == ["insert", "delete"]
    assert [e[1] for e in entries(connection, "tags", "b")] == ["insert"]


@pytest.mark.parametrize(
    ("keys", "others"), [("ab", []), ("a", ["b'); --"])], ids=["two keys", "no plain name"]
)
def test_refuses_a_table_that_does_not_fit(connection, keys, others):
    """It says so before anything is made, and does not run a column's name as a command."""
    made = sa.MetaData()
    columns = [sa.Column(key, sa.Text, primary_key=True) for key in keys]
    sa.Table("odd", made, *columns, *(sa.Column(name, sa.Text) for name in others))

    with pytest.raises(history.BadTable):
        history.install(connection, made)


def test_refuses_to_act_outside_a_transaction(engine):
    """The name could not be kept until the change."""
    plain = sa.create_engine(engine.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with plain.connect() as connection:
        if engine.dialect.name == "sqlite":
            for pragma in history.NEEDED:
                connection.exec_driver_sql(f"PRAGMA {pragma} = ON")
        with pytest.raises(history.NotReady, match="no transaction"):
            with history.acting(connection, "ben", now=NOW):
                pass


# ---- SQLite only -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["INSERT OR REPLACE", "REPLACE"])
def test_a_replaced_row_was_deleted(lite, how):
    """REPLACE is a deletion that no other program shows."""
    with work(lite) as connection, history.acting(connection, "ben", now=NOW):
        connection.exec_driver_sql(f"{how} INTO customers (customer_id) VALUES ('C-1')")

        assert [e[1] for e in entries(connection)] == ["delete", "insert"]


@pytest.mark.parametrize("how", ["IGNORE", "REPLACE", "FAIL", "ABORT", "ROLLBACK"])
def test_no_way_of_writing_goes_round_the_name(lite, how):
    """OR IGNORE would skip an entry without a name and keep the change; a raised error stands."""
    with work(lite) as connection:
        with pytest.raises(sa.exc.DBAPIError, match="nobody"):
            connection.exec_driver_sql(f"UPDATE OR {how} customers SET name = 'Eve'")  # noqa: S608

        assert connection.scalar(sa.select(CUSTOMERS.c.name)) == "Ana"


@pytest.mark.parametrize("pragma", ["foreign_keys", "recursive_triggers"])
def test_refuses_a_connection_that_would_lose_changes(lite, pragma):
    """Without recursive_triggers REPLACE deletes unseen; without foreign_keys the name may stay."""
    with sa.create_engine(lite.url, poolclass=sa.NullPool).connect() as connection:
        for name in history.NEEDED:
            connection.exec_driver_sql(f"PRAGMA {name} = {int(name != pragma)}")
        with pytest.raises(history.NotReady, match=pragma):
            with history.acting(connection, "ben", now=NOW):
                pass


def test_refuses_to_act_where_no_history_is_kept(tmp_path):
    """Whoever believes that changes are written down is told that they are not."""
    engine = store.connect(tmp_path / "shop.sqlite")
    store.create(engine, SHOP)
    with engine.connect() as connection, pytest.raises(history.NotReady, match="install"):
        with history.acting(connection, "ben", now=NOW):
            pass


def test_other_faults_are_left_as_they_are(lite):
    """A database that is open for reading only is for whoever opened it to explain."""
    with store.connect(lite.url, role="read").connect() as connection:
        with pytest.raises(sa.exc.OperationalError, match="readonly"):
            with history.acting(connection, "ben", now=NOW):
                pass


# ---- PostgreSQL only ---------------------------------------------------------------------------


def test_truncating_is_refused(server):
    """TRUNCATE empties a table and fires no trigger for any row."""
    with work(server) as connection, pytest.raises(sa.exc.DBAPIError, match="no history"):
        with history.acting(connection, "ben", now=NOW):
            connection.exec_driver_sql("TRUNCATE customers CASCADE")


def test_who_logs_in_cannot_sign_for_somebody_else(server):
    """A login of one's own is one's name; only the tables' owner may act for others."""
    with server.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE history_eve LOGIN")
        connection.exec_driver_sql("GRANT SELECT, INSERT ON stores TO history_eve")
    try:
        eve = store.connect(server.url.set(username="history_eve"))
        with eve.connect() as connection, history.acting(connection, "ana", now=NOW):
            with pytest.raises(sa.exc.DBAPIError, match="denied for table kit_history"):
                history.of(connection, "stores", "X")
        with eve.begin() as connection, history.acting(connection, "ana", now=NOW):
            connection.execute(sa.insert(SHOP.tables["stores"]).values(store_id="X"))
        with server.connect() as connection:
            assert [e[0] for e in entries(connection, "stores", "X")] == ["history_eve"]
    finally:
        with server.begin() as connection:
            connection.exec_driver_sql("DROP OWNED BY history_eve")
            connection.exec_driver_sql("DROP ROLE history_eve")


def test_nobody_else_may_have_an_entry_written(server):
    """A table of one's own with our trigger on it would write whatever its owner likes."""
    with server.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE history_eve")
        connection.exec_driver_sql("CREATE SCHEMA eve AUTHORIZATION history_eve")
        connection.exec_driver_sql("SET LOCAL ROLE history_eve")
        connection.exec_driver_sql("CREATE TABLE eve.customers (customer_id text)")
        with pytest.raises(sa.exc.DBAPIError, match="denied for function"):
            connection.exec_driver_sql(
                "CREATE TRIGGER t AFTER INSERT ON eve.customers FOR EACH ROW "
                "EXECUTE FUNCTION public.kit_history_customers_insert()"
            )


def test_a_trigger_that_was_switched_off_is_missed(server):
    """It is still there, and does nothing."""
    with server.connect() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE customers DISABLE TRIGGER kit_history_customers_update"
        )

        assert history.missing(connection, SHOP) == ["customers"]


# ---- any sequence of changes -------------------------------------------------------------------

IDS = ("1", "2", "3")
THINGS = sa.MetaData()
THING = sa.Table(
    "things",
    THINGS,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("a", sa.LargeBinary),
    sa.Column("b", sa.LargeBinary),
    sa.Column("c", sa.Text),
    sqlite_strict=True,
)
TOKENS = st.sampled_from([None, b"", b"t", b"u"])
VALUES = st.fixed_dictionaries(
    {}, optional={"a": TOKENS, "b": TOKENS, "c": st.sampled_from([None, "", "x", "X"])}
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "delete", "replace", "move"]),
        st.lists(st.sampled_from(IDS), min_size=1, unique=True),
        VALUES,
    ),
    max_size=12,
)


class Model:
    """What the history ought to say, worked out without a database."""

    def __init__(self):
        self.rows, self.told = {}, {}

    def tell(self, key, *entry):
        """Make an entry."""
        self.told.setdefault(key, []).append(entry)

    def put(self, key, values):
        """Add a row, or replace it."""
        self.drop(key)
        self.rows[key] = {"a": None, "b": None, "c": None} | values
        self.tell(key, "insert", None, None, None)

    def drop(self, key):
        """Delete a row, if it is there."""
        if self.rows.pop(key, None):
            self.tell(key, "delete", None, None, None)

    def update(self, key, values):
        """Change a row, if it is there."""
        row = self.rows.get(key)
        for name in sorted(values) if row else ():
            if values[name] != row[name]:
                pair = (None, None) if name == "c" else (row[name], values[name])
                self.tell(key, "update", name, *pair)
                row[name] = values[name]


def walk(connection, steps):
    """Do the steps in the database and in the model."""
    model = Model()
    for verb, keys, values in steps:
        first, last = keys[0], keys[-1]
        if verb == "insert" and first not in model.rows:
            connection.execute(sa.insert(THING).values(id=first, **values))
            model.put(first, values)
        elif verb == "replace" and connection.dialect.name == "sqlite":
            connection.execute(
                sa.insert(THING).prefix_with("OR REPLACE").values(id=first, **values)
            )
            model.put(first, values)
        elif verb == "update" and values:
            connection.execute(sa.update(THING).where(THING.c.id.in_(keys)).values(values))
            for key in keys:
                model.update(key, values)
        elif verb == "delete":
            connection.execute(sa.delete(THING).where(THING.c.id.in_(keys)))
            for key in keys:
                model.drop(key)
        elif verb == "move" and first in model.rows and last not in model.rows:
            connection.execute(
                sa.update(THING).where(THING.c.id == first).values(id=last, **values)
            )
            row = model.rows[first] | values
            model.drop(first)
            model.put(last, row)
    return model


def test_replaying_a_history_gives_what_happened(engine):
    """Whatever is done to rows, in any order, each one's history says it, and nothing else."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=STEPS)
    def check(connection, steps):
        with connection.begin_nested() as attempt:
            with history.acting(connection, "ben", now=NOW):
                model = walk(connection, steps)
            for key in IDS:
                told = [entry[1:] for entry in entries(connection, "things", key)]
                assert told == model.told.get(key, [])
            found = {
                r.pop("id"): r for r in map(dict, connection.execute(THING.select()).mappings())
            }
            assert found == model.rows
            attempt.rollback()

    with engine.connect() as connection:
        THINGS.create_all(connection)
        history.install(connection, THINGS)
        check(connection)
