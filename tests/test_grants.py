"""On a server, who sees what is up to the server; and when somebody changes that, it is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from kit import grants, history, inventory, roles, schema, store

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
FIELDS = inventory.Inventory.default().fields
WHO = {name: field.see for name, field in FIELDS.items()}
SHOP = schema.metadata({name: field.protect for name, field in FIELDS.items()})
history.table(SHOP)
CUSTOMERS = SHOP.tables["customers"]
SEE = {role: roles.visible(role, SHOP, WHO) for role in roles.ROLES}
CHANGE = {"marketer": {"customers": ["loyalty_points"]}}
RULES = {"prefix": "grants_", "rows": roles.ROWS, "change": CHANGE}
KEEPER = "grants_keeper"  # owns the database and its tables, and is no superuser
ANA = {"customer_id": "C-1", "name": "Ana", "email": b"\x01 a token", "accepts_sms": True}
EVE = {"customer_id": "C-2", "name": "Eve", "email": b"\x01 a token", "accepts_sms": False}


@pytest.fixture(scope="module")
def server(postgres_server):
    """Make a shop whose owner is no superuser, with a login for each role."""
    postgres_server.psql(f"CREATE ROLE {KEEPER} LOGIN CREATEROLE")
    postgres_server.psql(f"CREATE DATABASE grants OWNER {KEEPER}")
    engine = store.connect(
        sa.make_url(postgres_server.get_uri(database="grants")).set(username=KEEPER)
    )
    store.create(engine, SHOP)
    with engine.begin() as connection:
        history.install(connection, SHOP)
        grants.grant(connection, SHOP, SEE, **RULES)
        for role in roles.ROLES:
            connection.exec_driver_sql(f"CREATE ROLE grants_a_{role} LOGIN")
            connection.exec_driver_sql(f"GRANT grants_{role} TO grants_a_{role}")
        with history.acting(connection, "till", now=NOW):
            connection.execute(sa.insert(CUSTOMERS), [ANA, EVE])
    yield engine
    postgres_server.psql("DROP DATABASE grants WITH (FORCE)")
    for role in roles.ROLES:
        postgres_server.psql(f"DROP ROLE grants_a_{role}, grants_{role}")
    postgres_server.psql(f"DROP ROLE {KEEPER}")


@pytest.fixture
def keeper(server):
    """Connect as the owner of the tables, for what is not kept."""
    with server.connect() as connection:
        yield connection


@pytest.fixture
def superuser(server):
    """Connect as the one whom no rule holds, for what is not kept."""
    with store.connect(server.url.set(username="postgres")).connect() as connection:
        yield connection


def login(server, role):
    """Connect as a person with one role."""
    return store.connect(server.url.set(username=f"grants_a_{role}")).connect()


def test_nothing_is_amiss_after_granting(keeper):
    """The check knows what it should find, down to the last column."""
    assert grants.check(keeper, SHOP, SEE, **RULES) == []


@pytest.mark.parametrize("role", roles.ROLES)
def test_the_server_gives_what_the_inventory_says(keeper, role):
    """For every column of every table, asked of the server itself."""
    query = sa.text("SELECT has_column_privilege(:who, :table, :column, 'SELECT')")
    for table in SHOP.sorted_tables:
        for column in table.c.keys():
            asked = {"who": f"grants_a_{role}", "table": table.name, "column": column}
            expected = column in SEE[role].get(table.name, [])
            assert keeper.scalar(query, asked) == expected, asked


def test_a_cashier_logs_in_and_sees_the_name(server):
    """Whatever program they use, on a login of their own."""
    with login(server, "cashier") as connection:
        assert sorted(connection.scalars(sa.select(CUSTOMERS.c.name))) == ["Ana", "Eve"]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT email FROM customers",
        "SELECT * FROM customers",
        "SELECT count(*) FROM customers WHERE email IS NULL",
        "SELECT count(*) FROM customers c JOIN customers d USING (email)",
        "SELECT email FROM customers FULL JOIN (SELECT NULL::bytea AS email) s USING (email)",
        "SELECT name FROM employees",
        "SELECT * FROM kit_history",
        "SELECT * FROM kit_meta",
        "UPDATE customers SET name = 'Eve'",
        "DELETE FROM customers",
        "INSERT INTO customers (customer_id) VALUES ('C-9')",
        "TRUNCATE customers CASCADE",
        "CREATE TABLE mine (a text)",
        "ALTER TABLE customers DISABLE ROW LEVEL SECURITY",
        "SET ROLE grants_owner",
        "GRANT SELECT ON customers TO grants_a_cashier",
        "COPY customers TO STDOUT",
    ],
)
def test_a_cashier_gets_no_further(server, query):
    """The server refuses, also for what they would only compare or count."""
    with login(server, "cashier") as connection:
        with pytest.raises(sa.exc.ProgrammingError, match="denied|must be owner"):
            connection.execute(sa.text(query))


def test_rows_that_are_not_for_a_role_are_not_there(server):
    """The marketer meets those who said yes; training is done with made-up people."""
    query = sa.select(CUSTOMERS.c.customer_id)
    with login(server, "marketer") as connection:
        assert connection.scalars(query).all() == ["C-1"]
    with login(server, "trainer") as connection:
        assert connection.scalars(query).all() == []
    with login(server, "manager") as connection:
        assert sorted(connection.scalars(query)) == ["C-1", "C-2"]


def test_the_owner_of_the_tables_is_held_by_rules(keeper):
    """Without FORCE a program that connects as the owner would see all, whatever the rules say."""
    count = sa.select(sa.func.count()).select_from(CUSTOMERS)
    assert keeper.scalar(count) == 2
    for policy in ("keeper", *roles.ROLES):
        keeper.exec_driver_sql(f"DROP POLICY kit_{policy} ON customers")

    assert keeper.scalar(count) == 0
    keeper.exec_driver_sql("ALTER TABLE customers NO FORCE ROW LEVEL SECURITY")
    assert keeper.scalar(count) == 2


def test_a_change_that_reached_nobody_is_an_error(server):
    """The server says "UPDATE 0" and calls it a success."""
    with login(server, "marketer") as connection, history.acting(connection, "mia", now=NOW):
        for key, reached in (("C-1", True), ("C-2", False), ("C-9", False)):
            done = connection.execute(
                sa.update(CUSTOMERS)
                .where(CUSTOMERS.c.customer_id == key)
                .values(loyalty_points=CUSTOMERS.c.loyalty_points + 1)
            )
            if reached:
                grants.changed(done)
            else:
                with pytest.raises(grants.NothingChanged, match="0 rows changed where 1"):
                    grants.changed(done)


def test_who_may_change_something_leaves_their_own_name(server, keeper):
    """The history is written though the role has no right to it, and says who logged in."""
    with login(server, "marketer") as connection:
        with history.acting(connection, "somebody_else", now=NOW):
            connection.execute(sa.update(CUSTOMERS).values(loyalty_points=9))
        connection.commit()

    (_, change) = history.of(keeper, "customers", "C-1")
    assert (change.actor, change.column) == ("grants_a_marketer", "loyalty_points")


def test_granting_again_follows_the_inventory(keeper):
    """A field that a role no longer sees is taken back, and what was added by hand with it."""
    keeper.exec_driver_sql("GRANT SELECT (email) ON customers TO grants_cashier")
    keeper.exec_driver_sql("GRANT SELECT ON customers TO PUBLIC")
    less = SEE | {"cashier": {"customers": ["customer_id"]}}

    grants.grant(keeper, SHOP, less, **RULES)

    assert grants.check(keeper, SHOP, less, **RULES) == []
    keeper.exec_driver_sql("SET LOCAL ROLE grants_cashier")
    assert len(keeper.scalars(sa.text("SELECT customer_id FROM customers")).all()) == 2
    with pytest.raises(sa.exc.ProgrammingError, match="denied"):
        keeper.execute(sa.select(CUSTOMERS.c.name))


def test_granting_leaves_alone_what_is_not_ours(keeper):
    """Somebody may need their own rule; it is told, and not taken away unasked."""
    keeper.exec_driver_sql("CREATE POLICY more ON customers TO grants_trainer USING (true)")

    grants.grant(keeper, SHOP, SEE, **RULES)

    told = grants.check(keeper, SHOP, SEE, **RULES)
    assert told == ["customers: policy more is none of ours"]


@pytest.mark.parametrize(
    ("drift", "told"),
    [
        ("ALTER TABLE sales DISABLE ROW LEVEL SECURITY", "sales: row-level security is off"),
        ("ALTER TABLE sales NO FORCE ROW LEVEL SECURITY",
         "sales: row-level security does not hold its owner (FORCE)"),
        ("GRANT SELECT (email) ON customers TO grants_cashier",
         "customers: grants_cashier should not have SELECT on email"),
        ("GRANT SELECT ON kit_history TO PUBLIC",
         "kit_history: PUBLIC should not have SELECT on all of it"),
        ("GRANT DELETE ON sales TO grants_a_cashier WITH GRANT OPTION",
         "sales: grants_a_cashier should not have DELETE WITH GRANT OPTION on all of it"),
        ("REVOKE SELECT (name) ON customers FROM grants_cashier",
         "customers: grants_cashier lacks SELECT on name"),
        ("CREATE TABLE notes (a text)",
         "notes: in the database, but nobody covered it; drop it, or declare it"),
        ("CREATE VIEW all_of_it AS SELECT * FROM customers",
         "all_of_it: in the database, but nobody covered it; drop it, or declare it"),
        ("DROP TABLE payouts", "payouts: is not in the database"),
        ("DROP POLICY kit_cashier ON customers", "customers: policy kit_cashier is missing"),
        ("CREATE POLICY more ON customers TO grants_trainer USING (true)",
         "customers: policy more is none of ours"),
        ("ALTER POLICY kit_marketer ON customers USING (accepts_email OR true)",
         "customers: policy kit_marketer says something else"),
        ("ALTER POLICY kit_trainer ON customers TO PUBLIC",
         "customers: policy kit_trainer says something else"),
        ("GRANT CREATE ON SCHEMA public TO grants_cashier",
         "grants_cashier: may make tables, which nobody would cover"),
        ("ALTER ROLE grants_cashier LOGIN",
         "grants_cashier: more than a group: it may log in, or do what only logins should"),
        ("GRANT grants_manager TO grants_cashier",
         "grants_cashier: more than a group: it may log in, or do what only logins should"),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO grants_cashier",
         "tables that are made later are given away (ALTER DEFAULT PRIVILEGES)"),
    ],
)  # fmt: skip
def test_whatever_drifts_is_told(keeper, drift, told):
    """A quick fix at the server is found at the next check, and not in an investigation."""
    keeper.exec_driver_sql(drift)

    assert told in grants.check(keeper, SHOP, SEE, **RULES)


@pytest.mark.parametrize(
    "drift",
    [
        "ALTER ROLE grants_a_cashier SUPERUSER",
        "ALTER ROLE grants_a_cashier BYPASSRLS",
        "GRANT pg_read_all_data TO grants_a_cashier",
    ],
)
def test_who_is_above_the_rules_is_told(superuser, drift):
    """A role of the shop is worth nothing to a login that no rule holds."""
    superuser.exec_driver_sql(drift)

    told = "grants_a_cashier: is in a group of the shop, and above all rules"
    assert told in grants.check(superuser, SHOP, SEE, **RULES)


def test_a_group_that_is_gone_is_told(keeper):
    """The inventory names a role that the server does not know."""
    more = SEE | {"gardener": {"stores": ["name"]}}

    assert grants.check(keeper, SHOP, more, **RULES) == [
        "grants_gardener: there is no such group",
        "stores: grants_gardener lacks SELECT on name",
        "stores: policy kit_gardener is missing",
    ]


def test_a_rule_without_its_columns_lets_nobody_through(keeper):
    """The shop stopped holding what the rule asks for."""
    rows = roles.ROWS | {("marketer", "customers"): ("accepts_fax",)}
    rules = RULES | {"rows": rows}

    grants.grant(keeper, SHOP, SEE, **rules)
    assert grants.check(keeper, SHOP, SEE, **rules) == []
    keeper.exec_driver_sql("SET LOCAL ROLE grants_marketer")
    assert keeper.scalars(sa.text("SELECT customer_id FROM customers")).all() == []


def test_names_that_the_server_would_quote(keeper):
    """A table called order, or with capitals, is no reason for a false alarm."""
    made = sa.MetaData()
    columns = [sa.Column(n, sa.Boolean) for n in ("select", "Yes")]
    sa.Table("order", made, sa.Column("id", sa.Text, primary_key=True), *columns)
    see = {"cashier": {"order": ["id"]}, "manager": {"order": ["id"]}}
    rows = {("cashier", "order"): ("select", "Yes"), ("manager", "order"): ("Yes",)}
    made.create_all(keeper)

    grants.grant(keeper, made, see, prefix="grants_", rows=rows)

    told = grants.check(keeper, made, see, prefix="grants_", rows=rows)
    assert [sentence for sentence in told if sentence.startswith("order")] == []


def test_refuses_sqlite(tmp_path):
    """It has no roles, and says what to do instead."""
    engine = store.connect(tmp_path / "shop.sqlite")
    store.create(engine, SHOP)
    with engine.connect() as connection:
        for call in (grants.grant, grants.check):
            with pytest.raises(grants.NotReady, match="as_role"):
                call(connection, SHOP, SEE, **RULES)


def test_refuses_a_login_that_may_not_do_it(server):
    """A cashier does not hand out rights."""
    with login(server, "cashier") as connection, pytest.raises(grants.NotReady, match="42501"):
        grants.grant(connection, SHOP, SEE, **RULES)


@pytest.mark.parametrize(
    ("see", "rules"),
    [
        ({}, {}),
        ({"Cash Ier": {}}, {}),
        (SEE, {"prefix": ""}),
        (SEE, {"prefix": "shop; DROP TABLE customers"}),
        ({"cashier": {"customres": ["name"]}}, {}),
    ],
    ids=["no role", "no word", "no prefix", "not a prefix", "no such table"],
)
def test_refuses_names_that_do_not_fit(keeper, see, rules):
    """Nothing is granted by halves."""
    with pytest.raises(grants.NotReady):
        grants.grant(keeper, SHOP, see, **RULES | {"change": {}} | rules)
