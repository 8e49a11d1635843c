"""The person at the till sees a name and the points, and no way round shows more."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa

from kit import grants, history, inventory, roles, schema, store

FIELDS = inventory.Inventory.default().fields
SEE = {name: field.see for name, field in FIELDS.items()}
SHOP = schema.metadata({name: field.protect for name, field in FIELDS.items()})
history.table(SHOP)
CUSTOMERS = SHOP.tables["customers"]
TOKEN = b"\x01 a token of an address that no cashier needs"
PEOPLE = [
    {"customer_id": "C-1", "name": "Ana", "accepts_email": True, "accepts_sms": False},
    {"customer_id": "C-2", "name": "Ben", "accepts_email": False, "accepts_sms": True},
    {"customer_id": "C-3", "name": "Eve", "accepts_email": False, "accepts_sms": False},
    {"customer_id": "C-4", "name": "Kim", "accepts_email": None, "accepts_sms": None},
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Make a shop with four customers, and a view that somebody made."""
    path = tmp_path_factory.mktemp("roles") / "shop.sqlite"
    engine = store.connect(path)
    store.create(engine, SHOP)
    with engine.begin() as connection:
        rows = [p | {"email": TOKEN, "email_index": 7, "loyalty_points": 5} for p in PEOPLE]
        connection.execute(sa.insert(CUSTOMERS), rows)
        connection.exec_driver_sql("CREATE VIEW everybody AS SELECT * FROM customers")
        connection.exec_driver_sql("CREATE VIEW head_count AS SELECT count(*) AS n FROM customers")
        connection.exec_driver_sql(
            "CREATE VIEW joined AS SELECT email FROM customers NATURAL JOIN loyalty"
        )
        connection.exec_driver_sql("CREATE VIEW through AS SELECT 1 FROM joined")
        connection.exec_driver_sql("CREATE VIEW past AS SELECT * FROM kit_history")
    return path


@pytest.fixture
def reader(path):
    """Open it for reading."""
    return store.connect(path, role="read")


def look(engine, role, query, **more):
    """Return the rows that a role gets."""
    with roles.as_role(engine, role, SHOP, SEE, **more) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


# ---- what is seen, for screens -----------------------------------------------------------------


def test_the_roles_are_those_of_the_inventory():
    """A role that only one of the two knows would see nothing, or not be checked."""
    assert sorted(roles.ROLES) == sorted(inventory.ROLES)


def test_what_a_role_sees_is_what_the_inventory_says():
    """One file decides, for every table and column and role."""
    for role in roles.ROLES:
        for table in SHOP.sorted_tables:
            for name, seen in roles.sight(role, table, SEE).items():
                if field := FIELDS.get(f"{table.name}.{name}"):
                    assert seen == (role in field.see)


def test_columns_that_follow_others_are_seen_with_them():
    """Who sees e-mail addresses finds one by its index; who sees a row knows its version."""
    manager, cashier, marketer = (
        roles.sight(r, CUSTOMERS, SEE) for r in ("manager", "cashier", "marketer")
    )

    assert manager["email_index"] and manager["email_index_key"] and manager["version"]
    assert not cashier["email_index"] and not cashier["email_index_key"]
    assert cashier["version"] and marketer["version"]
    assert not roles.sight("cashier", SHOP.tables["employees"], SEE)["version"]
    assert not roles.sight("cashier", CUSTOMERS, SEE | {"customers.version": ["owner"]})["version"]
    assert not roles.sight("manager", CUSTOMERS, SEE | {"customers.email_index": []})["email_index"]


def test_what_nobody_wrote_down_is_seen_by_nobody():
    """A column that is new in the database waits for the inventory."""
    fewer = {name: who for name, who in SEE.items() if name != "customers.name"}

    assert not any(roles.sight(role, CUSTOMERS, fewer)["name"] for role in roles.ROLES)


def test_the_kits_own_tables_are_seen_by_nobody():
    """The history is a copy of what the role may not see, even if somebody writes it down."""
    more = SEE | {"kit_history.old": ["owner"]}

    assert not [n for role in roles.ROLES for n in roles.visible(role, SHOP, more) if "kit_" in n]
    assert sorted(roles.visible("trainer", SHOP, SEE)) == [
        "categories", "customers", "products", "stores",
    ]  # fmt: skip


def test_a_masked_row_shows_what_the_role_sees():
    """A cashier can ask "is it the one at example.com?" without having the address."""
    row = {"name": "Ana", "email": "ana@example.com", "note": "likes lilies", "version": 3}

    assert roles.masked(row, "cashier", CUSTOMERS, SEE) == {
        "name": "Ana", "email": "a•••@example.com", "note": "•••", "version": 3,
    }  # fmt: skip
    assert roles.masked(row, "owner", CUSTOMERS, SEE) == row


@pytest.mark.parametrize(
    "value",
    [None, "", TOKEN, "a@example.com", "@example.com", "ana@", "ana", "call ana@example.com"],
    ids=["empty", "no text", "token", "one letter", "no name", "no place", "no @", "a sentence"],
)
def test_a_mask_says_nothing_more(value):
    """Whether there is an address at all, and how long it is, is also nobody's business."""
    assert roles.masked({"email": value}, "cashier", CUSTOMERS, SEE) == {"email": "•••"}


def test_a_mask_covers_what_is_no_column():
    """A cell that somebody added on the way is not shown for want of a rule."""
    assert roles.masked({"opened": "x"}, "owner", CUSTOMERS, SEE) == {"opened": "•••"}


def test_only_an_address_is_half_covered():
    """A name or a note in the shape of an address stays covered."""
    row = dict.fromkeys(("note", "username"), "ana@example.com")

    assert set(roles.masked(row, "cashier", CUSTOMERS, SEE).values()) == {"•••"}


# ---- SQLite ------------------------------------------------------------------------------------


def test_a_cashier_sees_the_name_and_not_the_address(reader):
    """The columns are there, and the ones that are not for the role are empty."""
    with roles.as_role(reader, "cashier", SHOP, SEE) as connection:
        rows = [dict(row) for row in connection.execute(CUSTOMERS.select()).mappings()]

    assert [row["name"] for row in rows] == ["Ana", "Ben", "Eve", "Kim"]
    assert {row["email"] for row in rows} == {row["email_index"] for row in rows} == {None}


def test_a_manager_sees_the_token(reader):
    """The same file, another role; the token still needs a key."""
    assert look(reader, "manager", "SELECT email FROM customers LIMIT 1") == [(TOKEN,)]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT email FROM everybody WHERE name = 'Ana'", [(None,)]),
        ("WITH a AS (SELECT email AS e FROM customers) SELECT DISTINCT e FROM a", [(None,)]),
        ("SELECT max(email), min(email_index), count(email) FROM customers", [(None, None, 0)]),
        ("SELECT count(*) FROM customers WHERE email_index = 7", [(0,)]),
        ("SELECT count(*) FROM customers WHERE email LIKE '%token%'", [(0,)]),
        ("SELECT count(*) FROM customers a JOIN customers b ON a.email = b.email", [(0,)]),
        ("SELECT x'01' IN (SELECT email FROM customers)", [(None,)]),
        ("SELECT count(*) FROM customers GROUP BY email", [(4,)]),
        ("SELECT (SELECT hex(email)) FROM customers LIMIT 1", [("",)]),
        ("SELECT email FROM customers UNION SELECT email FROM customers", [(None,)]),
        ("SELECT max(email) OVER () FROM customers LIMIT 1", [(None,)]),
        ("SELECT json_array(email) FROM main.customers LIMIT 1", [("[null]",)]),
        ("SELECT count(*) FROM customers INDEXED BY ix_customers_email_index "
         "WHERE email_index = 7", [(0,)]),
    ],
)  # fmt: skip
def test_no_path_leads_to_a_hidden_column(reader, query, shown):
    """Neither a view nor a count nor a guess tells what is in it."""
    assert look(reader, "cashier", query) == shown


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT * FROM kit_history", "see kit_history"),
        ("SELECT * FROM past", "see kit_history"),
        ("SELECT * FROM kit_meta", "see kit_meta"),
        ("SELECT * FROM employees", "see employees"),
        ("SELECT count(*) FROM EMPLOYEES", "see employees"),
        ("SELECT count(*) FROM main.employees", "see employees"),
        ("SELECT 'E-1' IN employees", "see employees"),
        ("SELECT count(*) FROM sqlite_master", "see sqlite_master"),
        ("SELECT count(*) FROM joined", "joined would go past"),
        ("SELECT count(*) FROM through", "through would go past"),
        ("SELECT name FROM customers WHERE EXISTS (SELECT 1 FROM employees)", "see employees"),
        ("SELECT sql FROM sqlite_master", "see sqlite_master"),
        ("SELECT * FROM pragma_table_info('customers')", "look"),
        ("PRAGMA table_info(customers)", "look"),
        ("PRAGMA query_only = OFF", "look"),
        ("ATTACH ':memory:' AS other", "look"),
        ("SELECT load_extension('x')", "look"),
        ("SAVEPOINT one", "look"),
        ("CREATE TEMP TABLE mine AS SELECT * FROM customers", "look"),
        ("CREATE TEMP VIEW customers AS SELECT * FROM main.customers", "look"),
        ("CREATE TABLE mine (a)", "look"),
        ("UPDATE customers SET name = 'Eve'", "look"),
        ("DELETE FROM customers", "look"),
        ("INSERT INTO customers (customer_id) VALUES ('C-9')", "look"),
        ("DROP TABLE customers", "look"),
        ("REINDEX", "look"),
    ],
)
def test_everything_else_is_refused(reader, query, what):
    """The error says what is not allowed."""
    with pytest.raises(roles.Refused, match=what):
        look(reader, "cashier", query)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT email FROM customers FULL JOIN (SELECT 1 AS email WHERE 0) USING (email)",
        "SELECT name FROM employees Natural FULL JOIN (SELECT 1 AS name WHERE 0)",
        "SELECT count(*) FROM employees JOIN (SELECT 'Ana' AS name)using(name)",
    ],
)
def test_joins_that_sqlite_does_not_ask_about_are_refused(reader, query):
    """They would show a hidden column, even of a table that is refused altogether."""
    with pytest.raises(roles.Refused, match="ON"):
        look(reader, "cashier", query)


def test_why_such_joins_are_refused(path):
    """Should it be skipped everywhere one day, the rule can go."""
    driver = sqlite3.connect(path)
    driver.set_authorizer(
        lambda action, *more: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_READ else 0
    )
    query = "SELECT email FROM customers NATURAL FULL JOIN (SELECT 1 AS email WHERE 0)"
    try:
        assert driver.execute(query).fetchall() == [(TOKEN,)] * 4
    except sqlite3.DatabaseError:
        pytest.skip(f"SQLite {sqlite3.sqlite_version} asks, or has no such join")
    finally:
        driver.close()


def test_a_copy_is_refused(reader, tmp_path):
    """VACUUM INTO writes a file with everything in it."""
    with roles.as_role(reader, "owner", SHOP, SEE) as connection:
        driver = connection.connection.dbapi_connection
        with pytest.raises(sqlite3.DatabaseError, match="authorization denied"):
            driver.execute("VACUUM INTO ?", [str(tmp_path / "copy.sqlite")])


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("WITH a AS (SELECT 1) SELECT count(*) FROM a", [(1,)]),
        ("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3) "
         "SELECT max(i) FROM n", [(3,)]),
        ("SELECT n FROM head_count", [(4,)]),
        ("SELECT count(*) FROM everybody", [(4,)]),
        ("SELECT count(*) FROM CUSTOMERS", [(4,)]),
        ("SELECT upper(c.name) FROM customers c LEFT JOIN sales s ON s.customer_id = c.customer_id "
         "ORDER BY 1 LIMIT 1", [("ANA",)]),
        ("EXPLAIN QUERY PLAN SELECT 1", [(1, 0, 0, "SCAN CONSTANT ROW")]),
    ],
)  # fmt: skip
def test_ordinary_questions_are_answered(reader, query, shown):
    """The guard is not in the way of the work."""
    assert look(reader, "cashier", query)[0][-1] == shown[0][-1]


def test_writing_is_refused_also_on_a_connection_that_could(path):
    """A program that opened the file to write does no harm in a role's name."""
    with pytest.raises(roles.Refused, match="look"):
        look(store.connect(path), "owner", "UPDATE customers SET name = 'Eve'")


def test_a_function_that_the_program_added_is_refused(path):
    """It might be the one that unseals."""
    engine = store.connect(path, role="read")

    @sa.event.listens_for(engine, "connect")
    def add(driver, record):
        driver.create_function("unseal", 1, bytes.decode)

    with pytest.raises(roles.Refused):
        look(engine, "manager", "SELECT unseal(email) FROM customers")


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("owner", ["Ana", "Ben", "Eve", "Kim"]),
        ("cashier", ["Ana", "Ben", "Eve", "Kim"]),
        ("marketer", [None, None]),
        ("trainer", []),
    ],
)
def test_rows_that_are_not_for_a_role_are_not_there(reader, role, names):
    """Who wants no offers is not shown to the marketer; training is done with made-up people."""
    query = "SELECT name FROM customers ORDER BY customer_id"

    assert [name for (name,) in look(reader, role, query)] == names


def test_a_marketer_sees_who_said_yes(reader):
    """By e-mail or by text message; who was never asked has not said yes."""
    query = "SELECT customer_id, accepts_email, email FROM customers"

    assert look(reader, "marketer", query) == [("C-1", 1, None), ("C-2", 0, None)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM main.customers",
        "SELECT * FROM everybody",
        "SELECT n FROM head_count",
        "WITH customers AS (SELECT * FROM main.customers) SELECT * FROM customers",
    ],
)
def test_no_path_leads_round_the_rule(reader, query):
    """The table behind the rule answers to nothing but the rule."""
    with pytest.raises(roles.Refused, match="see customers"):
        look(reader, "marketer", query)


def test_a_rule_may_ask_what_the_role_does_not_see(reader):
    """And a rule whose columns are not in the database lets nobody through."""
    rows = {("marketer", "customers"): ("loyalty_points",), ("trainer", "visits"): ()}
    see = SEE | {"customers.loyalty_points": ("owner",)}
    with roles.as_role(reader, "marketer", SHOP, see, rows=rows) as connection:
        found = connection.execute(sa.text("SELECT loyalty_points FROM customers")).all()
    assert found == [(None,)] * 4

    rows = {("marketer", "customers"): ("accepts_fax",)}
    assert look(reader, "marketer", "SELECT * FROM customers", rows=rows) == []


def test_a_row_number_tells_nothing(tmp_path):
    """How many came before somebody is in it; only tables of others have one."""
    made = sa.MetaData()
    sa.Table("notes", made, sa.Column("id", sa.Text, primary_key=True))
    engine = store.connect(tmp_path / "notes.sqlite")
    (tmp_path / "notes.sqlite").touch()
    with engine.begin() as connection:
        made.create_all(connection)
        connection.exec_driver_sql("INSERT INTO notes VALUES ('a')")

    with roles.as_role(engine, "owner", made, {"notes.id": ["owner"]}) as connection:
        assert connection.execute(sa.text("SELECT id, rowid FROM notes")).all() == [("a", None)]


def test_a_pool_does_not_hand_the_connection_on(path):
    """Who comes next is not half blind, and not somebody else."""
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.QueuePool, pool_size=1)
    query = "SELECT email FROM customers WHERE customer_id = 'C-1'"

    assert look(engine, "cashier", query) == [(None,)]
    with engine.connect() as connection:
        assert connection.execute(sa.text(query)).scalar() == TOKEN
    assert look(engine, "cashier", query) == [(None,)]
    engine.dispose()


def test_other_faults_are_left_as_they_are(reader):
    """A slip in a query is not called forbidden."""
    with pytest.raises(sa.exc.OperationalError, match="no such column"):
        look(reader, "owner", "SELECT shoe_size FROM customers")


def test_refuses_a_role_that_is_none(reader):
    """A slip in a name does not become a role that sees everything, or nothing."""
    with pytest.raises(roles.UnknownRole, match="cashier, marketer"):
        look(reader, "boss", "SELECT 1")


def test_what_the_authorizer_does_not_stop(reader, tmp_path):
    """It is against mistakes: code in the same program can copy the file, as the docs say."""
    with sqlite3.connect(tmp_path / "copy.sqlite") as copy:
        with roles.as_role(reader, "trainer", SHOP, SEE) as connection:
            connection.connection.dbapi_connection.backup(copy)
        assert copy.execute("SELECT email FROM customers LIMIT 1").fetchone() == (TOKEN,)
    copy.close()


# ---- PostgreSQL --------------------------------------------------------------------------------


@pytest.fixture
def server(postgres):
    """Make the same shop on PostgreSQL."""
    engine = store.connect(postgres)
    store.create(engine, SHOP)
    see = {role: roles.visible(role, SHOP, SEE) for role in roles.ROLES}
    with engine.begin() as connection:
        connection.execute(sa.insert(CUSTOMERS), [p | {"email": TOKEN} for p in PEOPLE])
        grants.grant(connection, SHOP, see, prefix="roles_", rows=roles.ROWS)
    yield engine
    with engine.begin() as connection:
        for role in roles.ROLES:
            connection.exec_driver_sql(f"DROP OWNED BY roles_{role}")
            connection.exec_driver_sql(f"DROP ROLE roles_{role}")


def test_a_role_on_postgresql_sees_the_same(server):
    """What was learned on the laptop holds on the server."""
    count = "SELECT count(*) FROM customers"
    assert look(server, "cashier", count, prefix="roles_") == [(4,)]
    assert look(server, "marketer", count, prefix="roles_") == [(2,)]
    assert look(server, "trainer", count, prefix="roles_") == [(0,)]
    for query in ("SELECT email FROM customers", "SELECT * FROM kit_history"):
        with pytest.raises(roles.Refused, match="cashier may not do this"):
            look(server, "cashier", query, prefix="roles_")
    with pytest.raises(roles.NotReady, match="grants"):
        look(server, "cashier", count, prefix="elsewhere_")


def test_a_rollback_does_not_end_the_role(server):
    """The rest of the block is not the owner's."""
    with pytest.raises(roles.Refused):
        with roles.as_role(server, "cashier", SHOP, SEE, prefix="roles_") as connection:
            connection.rollback()
            connection.execute(sa.select(CUSTOMERS.c.email))
    with server.connect() as connection:
        assert connection.scalar(sa.select(CUSTOMERS.c.email).limit(1)) == TOKEN
