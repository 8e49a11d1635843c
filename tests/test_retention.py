"""Retention promises that what has had its time is gone from the file, and nothing else is."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import little_shop as shop
import pytest
import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kit import history, retention, rows, store
from kit.inventory import Keep
from kit.periods import Days
from kit.retention import Changed, Kept, Line, Remains, RetentionError

NOW = shop.NOW
PROOF = {"consent_id": "con_4", "customer_id": "cus_2", "channel": "sms", "purpose": "offers"}
PROOF |= {"event": "withdrawn", "happened_at": shop.ago(years=1)}


@pytest.fixture(scope="module")
def made():
    """Return the tables."""
    return shop.tables()


@pytest.fixture(scope="module")
def template(made, tmp_path_factory):
    """Return a little shop to be copied, and an engine for one of the copies.

    An engine keeps the SQL that it has written out; a new one for each test takes twice as long.
    """
    path = tmp_path_factory.mktemp("retention") / "template.sqlite"
    with store.begin(shop.opened(path, made)) as connection:
        shop.fill(connection, made)
    return path, store.connect(path.with_name("shop.sqlite"), wait_s=0)


@pytest.fixture
def lite(template):
    """Return the little shop in SQLite."""
    path, engine = template
    return fresh(path, engine)


def fresh(path, engine):
    """Put the little shop where an engine looks for it."""
    for end in ("", "-wal", "-shm"):
        Path(f"{engine.url.database}{end}").unlink(missing_ok=True)
    shutil.copy(path, engine.url.database)
    return engine


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request, made, lite):
    """Return the little shop in SQLite, then in PostgreSQL."""
    if request.param == "sqlite":
        return lite
    engine = shop.opened(request.getfixturevalue("postgres"), made)
    with store.begin(engine) as connection:
        shop.fill(connection, made)
    return engine


def planned(engine, made, *, keep=shop.KEEP, now=NOW, **more):
    """Return the plan."""
    with store.begin(engine) as connection:
        return retention.plan(connection, made, keep, Days(made, now=now, **more))


def expired(engine, plan, **more):
    """Do what was planned."""
    with engine.connect() as connection:
        return retention.expire(connection, plan, **more)


def test_the_plan_says_what_goes_under_which_rule_and_changes_nothing(engine, made):
    """The owner sees the list before anything is gone."""
    before = shop.snapshot(engine, made)
    plan = planned(engine, made)

    assert shop.snapshot(engine, made) == before
    assert {(x.table, x.column, x.action, x.count) for x in plan.lines} == {
        ("addresses", "", "remove", 1),
        ("consents", "", "remove", 2),
        ("loyalty", "", "remove", 2),
        ("privacy_requests", "", "remove", 1),
        ("customers", "", "remove", 1),
        ("lines", "", "remove", 1),
        ("payments", "", "remove", 1),
        ("sales", "", "remove", 1),
        ("customers", "note", "empty", 2),
        ("sales", "customer_id", "empty", 1),
        ("sales", "note", "empty", 2),
    }
    assert Line("customers", "note", "empty", 2, "1 year after collection") in plan.lines
    rules = "1 year after collection, 3 years after last purchase"
    assert Line("customers", "", "remove", 1, rules) in plan.lines
    assert "sal_5" not in repr(plan)


def test_the_plan_says_what_stays_and_why(lite, made):
    """Cleo never bought anything, Ana's consent stands, and nobody wrote down who left."""
    plan = planned(lite, made)
    kept = {(k.table, k.reason): k.count for k in plan.kept}

    assert kept == {
        ("addresses", "no day is known: last purchase"): 1,
        ("consents", "not yet: withdrawal"): 1,
        ("employees", "no day is known: employment ended"): 1,
        ("customers", "no day is known: last purchase"): 1,
    }


def test_what_was_planned_goes_and_nothing_else(engine, made):
    """Ben is gone, his newer sale is nobody's now; Ana and Cleo lost their old notes."""
    before, sums = shop.snapshot(engine, made), shop.totals(engine, made)
    done = expired(engine, planned(engine, made))
    after = shop.snapshot(engine, made)

    del sums["2021-11"]  # Ben's first sale: its own four years are over
    assert shop.totals(engine, made) == sums
    assert done.removed == {
        "addresses": 1, "consents": 2, "loyalty": 2, "privacy_requests": 1, "customers": 1,
        "lines": 1, "payments": 1, "sales": 1,
    }  # fmt: skip
    assert done.emptied == {"customers.note": 2, "sales.note": 2, "sales.customer_id": 2}
    for name in ("addresses", "consents", "loyalty"):
        assert after[name] == [row for row in before[name] if "cus_2" not in row]
    for name in ("lines", "payments"):
        assert after[name] == [row for row in before[name] if "sal_5" not in row]
    for name in ("stores", "employees", "products"):
        assert after[name] == before[name]
    with store.begin(engine) as connection:
        third = rows.get(connection, made.tables["sales"], "sal_3")
        cleo = rows.get(connection, made.tables["customers"], "cus_3")
    assert (third["customer_id"], third["note"], third["total_cents"]) == (None, None, 1_000)
    assert (cleo["note"], cleo["version"], cleo["first_name"]) == (None, 2, "Cleo")


def test_a_second_plan_finds_nothing_left(lite, made):
    """What has been done is not done again, nor is the same plan."""
    plan = planned(lite, made)
    expired(lite, plan)
    again = expired(lite, plan)

    assert (again.removed, again.emptied) == ({}, {})
    assert planned(lite, made).lines == ()


def test_columns_that_find_a_sealed_one_go_with_it(lite, made):
    """A number made from the address would still tell whether somebody had it."""
    keep = {"customers.email": Keep(1, "year", "collection")}
    done = expired(lite, planned(lite, made, keep=keep))
    with store.begin(lite) as connection:
        found = rows.find(connection, made.tables["customers"], {})

    assert done.emptied == {"customers.email": 3}
    assert {(r["email"], r["email_index"], r["email_index_key"]) for r in found} == {(None,) * 3}
    assert all(r["phone_index"] is not None for r in found)


def test_a_row_that_proof_hangs_on_is_emptied_and_goes_with_the_proof(lite, made):
    """The no of last year has to be kept for two more; the name and address do not."""
    with store.begin(lite) as connection:
        connection.execute(sa.insert(made.tables["consents"]), PROOF)
    plan = planned(lite, made)
    expired(lite, plan)
    with store.begin(lite) as connection:
        ben = rows.get(connection, made.tables["customers"], "cus_2")
    later = planned(lite, made, now=NOW + timedelta(days=800))
    expired(lite, later)

    assert Kept("customers", (), 1, "rows that stay hang on it") in plan.kept
    held = {name for name, cell in ben.items() if cell is not None}
    assert held == {"customer_id", "version", "created_at"}
    with store.begin(lite) as connection:
        assert rows.find(connection, made.tables["customers"], {"customer_id": "cus_2"}) == []
        assert rows.find(connection, made.tables["consents"], {"customer_id": "cus_2"}) == []


def test_a_note_that_outlives_the_rest_still_ends(lite, made):
    """The day it counts from stays with it, and goes with it."""
    people = [(298, [(1_871, 900)], [], None, False)]  # imported last year, with an old purchase
    with store.begin(lite) as connection:
        peopled(connection, made, people)
    expired(lite, planned(lite, made))
    with store.begin(lite) as connection:
        left = rows.get(connection, made.tables["customers"], "cus_10")
    expired(lite, planned(lite, made, now=NOW + timedelta(days=70)))

    assert left["note"] and left["created_at"] and not left["first_name"]
    assert not any("'cus_10'" in row for row in shop.snapshot(lite, made)["customers"])


def test_nothing_of_a_customer_on_hold_is_touched(lite, made):
    """A lawsuit about the old sale needs the old sale."""
    before = shop.snapshot(lite, made)
    plan = planned(lite, made, holds={"cus_2": "a lawsuit"})
    expired(lite, plan)
    after = shop.snapshot(lite, made)

    assert Kept("sales", (), 2, "on hold: a lawsuit") in plan.kept
    for name in ("customers", "addresses", "consents", "loyalty", "sales", "payments"):
        mine = [row for row in before[name] if "'cus_2'" in row or "'sal_5'" in row]
        assert mine and all(row in after[name] for row in mine)


def test_nothing_of_a_customer_who_waits_for_an_answer_is_touched(lite, made):
    """Ben asked what is held about him: it is not deleted while he waits."""
    with store.begin(lite) as connection:
        asked = {"request_id": "req_3", "customer_id": "cus_2", "received_at": shop.ago(days=9)}
        connection.execute(sa.insert(made.tables["privacy_requests"]), asked)
    plan = planned(lite, made)

    assert Kept("customers", (), 1, "something is open in privacy_requests") in plan.kept
    assert {w.table.name for w in plan.work} == {"customers", "sales"}  # Ana's and Cleo's notes
    assert not any("cus_2" in w.keys or "sal_5" in w.keys for w in plan.work)


def test_a_row_with_a_column_that_has_no_rule_stays(lite, made):
    """Nothing is deleted because somebody forgot to write a field down."""
    keep = {name: rule for name, rule in shop.KEEP.items() if name != "payments.method"}
    plan = planned(lite, made, keep=keep)

    removed = {line.table for line in plan.lines if line.action == "remove"}
    assert "payments" not in removed
    assert "sales" not in removed  # a payment hangs on each
    assert Kept("sales", (), 1, "rows that stay hang on it") in plan.kept


def test_links_to_a_row_that_goes_are_listed(lite, made):
    """Rules of the shop's own: customers go before the link's own time is over."""
    keep = shop.KEEP | {"sales.customer_id": Keep(9, "year", "sale")}
    plan = planned(lite, made, keep=keep)
    done = expired(lite, plan)

    assert Line("sales", "customer_id", "unlink", 1, "with its row in customers") in plan.lines
    assert done.emptied["sales.customer_id"] == 2  # one of them went a moment later


def test_a_cell_that_may_not_be_empty_waits_for_its_row(lite, made):
    """An address without its customer would be nobody's."""
    keep = shop.KEEP | {"addresses.customer_id": Keep(1, "day", "last purchase")}
    keep |= {"addresses.street": Keep(9, "year", "last purchase")}
    plan = planned(lite, made, keep=keep)

    assert Kept("addresses", ("customer_id",), 1, "goes with its row only") in plan.kept


def test_a_row_of_keys_and_links_goes_by_their_rules(tmp_path):
    """Who belongs to which club is all that the row says."""
    made = sa.MetaData()
    sa.Table("clubs", made, sa.Column("id", sa.Integer, primary_key=True))
    member = sa.Column("club", sa.ForeignKey("clubs.id", ondelete="CASCADE"), nullable=False)
    day = sa.Column("created_at", sa.DateTime(timezone=True))
    sa.Table("members", made, sa.Column("id", sa.Integer, primary_key=True), member)
    sa.Table("people", made, sa.Column("id", sa.Integer, primary_key=True), day)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'clubs.sqlite'}")
    made.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(made.tables["clubs"]), [{"id": 1}, {"id": 2}])
        connection.execute(sa.insert(made.tables["members"]), {"id": 3, "club": 1})
    keep = {"members.club": Keep(1, "day", "collection"), "clubs.id": Keep(1, "day", "last use")}
    days = Days(made, now=NOW, subject="people")
    with engine.connect() as connection:
        plan = retention.plan(connection, made, keep, days)

    assert plan.lines == ()
    assert {(k.table, k.count, k.reason) for k in plan.kept} == {
        ("members", 1, "no day is known: collection"),
        ("clubs", 2, "no day is known: last use"),
    }


# --- doing it


def buys(connection, made):
    """Let Ben buy again."""
    shop.sale(connection, made, 9, 2, NOW)


def hangs(connection, made):
    """Hang a proof of last year on Ben."""
    connection.execute(sa.insert(made.tables["consents"]), PROOF)


def asks(connection, made):
    """Let Ben ask something."""
    table = made.tables["privacy_requests"]
    connection.execute(sa.insert(table), {"request_id": "req_9", "customer_id": "cus_2"})


def notes(connection, made):
    """Date Ana's sale of two years ago as of today."""
    table = made.tables["sales"]
    change = sa.update(table).where(table.c.sale_id == "sal_2").values(sold_at=NOW)
    connection.execute(change)


@pytest.mark.parametrize(
    ("meanwhile", "named"),
    [
        pytest.param(buys, "addresses: 1", id="bought again"),
        pytest.param(hangs, "customers: 1", id="something hangs on him"),
        pytest.param(asks, "addresses: 1", id="asked something"),
        pytest.param(notes, "sales: 1", id="another day"),
    ],
)
def test_a_plan_that_no_longer_holds_is_refused_before_anything_goes(
    engine, made, meanwhile, named
):
    """The list that the owner saw is done, or nothing."""
    plan = planned(engine, made)
    with store.begin(engine) as connection:
        meanwhile(connection, made)
    before = shop.snapshot(engine, made)

    with pytest.raises(Changed, match=named) as caught:
        expired(engine, plan)
    assert "cus_2" not in str(caught.value)
    assert shop.snapshot(engine, made) == before


def test_a_plan_goes_on_where_rows_are_gone_already(lite, made):
    """Somebody deleted Ben by hand: the rest of the plan still holds."""
    plan = planned(lite, made)
    with store.begin(lite) as connection:
        rows.delete(connection, made.tables["customers"], "cus_2", version=1)
    done = expired(lite, plan)

    assert "customers" not in done.removed
    assert planned(lite, made).lines == ()


def test_somebody_who_buys_while_it_runs_is_not_lost(engine, made):
    """Each batch asks again; what was done before stays done."""
    plan = planned(engine, made)

    def also(connection, table, columns, keys):
        if table == "loyalty":
            buys(connection, made)

    with pytest.raises(Changed, match="make a new plan"):
        expired(engine, plan, also=also)
    with store.begin(engine) as connection:
        ben = rows.get(connection, made.tables["customers"], "cus_2")
    assert ben["email"]
    expired(engine, planned(engine, made))
    assert planned(engine, made).lines == ()


def test_a_row_that_comes_to_hang_on_one_that_goes_is_not_dragged_along(lite, made):
    """An address added this minute was not on the list, though its time would be over."""
    plan = planned(lite, made)

    def also(connection, table, columns, keys):
        if table == "addresses":
            shop.add(connection, made, "addresses", [{"address_id": "new", "customer_id": "cus_2"}])

    with pytest.raises(Changed, match="customers: 1"):
        expired(lite, plan, also=also)
    expired(lite, planned(lite, made))
    assert "cus_2" not in str(shop.snapshot(lite, made))


def test_each_batch_is_done_by_somebody_and_told(engine, made):
    """The history has a name for every change, and the log hears of every row."""
    with store.begin(engine) as connection:
        both = shop.tables()
        history.table(both).create(connection)
        history.install(connection, both, tables=["customers", "addresses"])
    plan, told, steps = planned(engine, made), [], []
    with pytest.raises(RetentionError, match="batch was refused"):
        expired(engine, plan)

    done = expired(
        engine,
        plan,
        at_once=1,
        acting=lambda connection: history.acting(connection, "clock", now=NOW),
        also=lambda connection, *batch: told.append(batch),
        progress=lambda *step: steps.append(step),
    )
    with store.begin(engine) as connection:
        changes = history.of(connection, "customers", "cus_1")
    assert [(c.actor, c.column) for c in changes] == [("clock", "note")]
    assert ("customers", (), ["cus_2"]) in told
    assert ("customers", ("note",), ["cus_3"]) in told
    assert done.removed["customers"] == 1
    assert steps == [(n, len(steps)) for n in range(1, len(steps) + 1)]


def test_refuses_a_transaction_that_has_begun(lite, made):
    """What is committed batch by batch cannot be part of something else."""
    plan = planned(lite, made)
    with store.begin(lite) as connection, pytest.raises(RetentionError, match="has begun"):
        retention.expire(connection, plan)


def test_somebody_else_who_writes_is_told_in_words(lite, made):
    """A locked database is no traceback, and costs nothing but another try."""
    plan = planned(lite, made)
    with store.begin(lite), pytest.raises(RetentionError, match="try again") as caught:
        expired(lite, plan)
    assert "SELECT" not in str(caught.value)
    assert expired(lite, plan).removed["customers"] == 1


# --- the files


def traces(path, *values):
    """Return which of the database's files have one of the values in them."""
    files = [Path(f"{path}{end}") for end in ("", "-wal", "-shm")]
    found = {file.name: file.read_bytes() for file in files if file.exists()}
    return [name for name, data in found.items() if any(value in data for value in values)]


def secrets(engine, made):
    """Return what must be gone: Ben's name, his tokens, and the notes on old sales."""
    with store.begin(engine) as connection:
        ben = rows.get(connection, made.tables["customers"], "cus_2")
        sale = rows.get(connection, made.tables["sales"], "sal_2")
    return b"Ben", ben["email"], ben["phone"], ben["note"], sale["note"]


def test_nothing_that_went_is_left_in_any_file(lite, made):
    """Neither the database nor the files beside it hold a byte of Ben."""
    path, values = Path(lite.url.database), secrets(lite, made)
    with lite.connect() as connection:  # stays open, as the till's does
        assert traces(path, *values)
        with connection.begin():
            plan = retention.plan(connection, made, shop.KEEP, Days(made, now=NOW))
        done = retention.expire(connection, plan)
        assert Path(f"{path}-wal").stat().st_size == 0
        for value in values:
            assert traces(path, value) == []
        assert done.note == ""
        assert b"Ana" in path.read_bytes()


def test_a_connection_that_would_leave_traces_is_put_right(lite, made):
    """SQLite keeps deleted values in its pages unless told otherwise, for each connection."""
    path, values = Path(lite.url.database), secrets(lite, made)
    plan = planned(lite, made)
    with lite.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA secure_delete = OFF")
        retention.expire(connection, plan)

    assert traces(path, *values) == []


def test_somebody_who_reads_is_named_as_what_is_in_the_way(lite, made):
    """All is deleted, but their view of yesterday keeps the old pages; they are asked to close."""
    path, values = Path(lite.url.database), secrets(lite, made)
    plan = planned(lite, made)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM customers").fetchone()

    with pytest.raises(Remains, match="close what reads it, then expire again"):
        expired(lite, plan)
    assert planned(lite, made).lines == ()
    assert traces(path, *values)
    reader.close()
    with lite.connect() as connection:
        assert retention.sweep(connection) == ""
    assert traces(path, *values) == []


def test_sweeping_within_a_transaction_is_refused(lite):
    """It would wait for itself."""
    with store.begin(lite) as connection, pytest.raises(Remains):
        retention.sweep(connection)


def test_on_postgresql_it_is_said_what_is_left_to_do(postgres, made):
    """Nobody is told that a value is gone while a file still has it."""
    engine = shop.opened(postgres, made)
    done = expired(engine, planned(engine, made))

    assert "VACUUM FULL" in done.note


# --- any shop

PERSON = st.tuples(
    st.integers(0, 2_500),  # days since they joined
    st.lists(st.tuples(st.integers(0, 2_500), st.integers(1, 9_999)), max_size=4),  # sales
    st.lists(st.tuples(st.sampled_from(["given", "withdrawn"]), st.integers(0, 2_500)), max_size=3),
    st.sampled_from([None, 0, 1_000]),  # a request: none, open, answered so many days ago
    st.booleans(),  # on hold
)


def peopled(connection, made, people):
    """Add customers with all that hangs on them; return who is on hold."""
    holds = {}
    for n, (joined, sales, said, asked, hold) in enumerate(people, 10):
        who = {"customer_id": f"cus_{n}"}
        more = {"first_name": f"Name {n}", "note": "rings twice", "created_at": shop.ago(joined)}
        shop.add(connection, made, "customers", [who | more])
        shop.add(connection, made, "addresses", [who | {"address_id": f"adr_{n}", "city": "Here"}])
        for at, (event, age) in enumerate(said):
            row = PROOF | who | {"consent_id": f"con_{n}_{at}", "event": event}
            shop.add(connection, made, "consents", [row | {"happened_at": shop.ago(age)}])
        for at, (age, cents) in enumerate(sales):
            shop.sale(connection, made, f"{n}_{at}", n, shop.ago(age), cents)
        if asked is not None:
            row = who | {"request_id": f"req_{n}", "received_at": shop.ago(asked)}
            row |= {"answered_at": shop.ago(asked) if asked else None}
            shop.add(connection, made, "privacy_requests", [row])
        if hold:
            holds[f"cus_{n}"] = "a lawsuit"
    return holds


def sold(engine, made):
    """Return day and amount of each sale."""
    table = made.tables["sales"]
    with store.begin(engine) as connection:
        query = sa.select(table.c.sale_id, table.c.sold_at, table.c.total_cents)
        return {number: (at, cents) for number, at, cents in connection.execute(query)}


def check_any_shop(template, made, people):
    """Expire it; look at links, totals, and everybody who was not to be touched."""
    engine = fresh(*template)
    with store.begin(engine) as connection:
        holds = peopled(connection, made, people)
    before, sales = shop.snapshot(engine, made), sold(engine, made)
    expired(engine, planned(engine, made, holds=holds), at_once=3)
    after, left = shop.snapshot(engine, made), sold(engine, made)

    store.check(engine)  # every link leads somewhere
    assert planned(engine, made, holds=holds).lines == ()
    assert all(sales[number] == amount for number, amount in left.items())
    for number, (at, _) in sales.items():
        assert number in left or at < NOW.replace(year=NOW.year - 4)
    for n, (joined, bought, said, asked, hold) in enumerate(people, 10):
        mine = {name: [r for r in before[name] if f"'cus_{n}'" in r] for name in before}
        newest = min((age for age, _ in bought), default=None)
        if hold or asked == 0:
            assert all(set(mine[name]) <= set(after[name]) for name in mine)
        elif newest is not None and newest < 365:
            assert set(mine["addresses"]) <= set(after["addresses"])
            points = [sum(f"'cus_{n}'" in row for row in s["loyalty"]) for s in (before, after)]
            assert points[0] == points[1]
        elif newest is not None and min(newest, joined) > 1_100 and not said:
            assert not any(f"'cus_{n}'" in row for name in after for row in after[name])


SETTINGS = {"deadline": None, "phases": [Phase.generate]}  # to shrink it takes minutes


@settings(max_examples=4, **SETTINGS)
@given(st.lists(PERSON, min_size=3, max_size=6))
def test_links_hold_totals_stay_and_nobody_else_is_touched(template, made, people):
    """Whoever bought whatever when, and whatever else is going on with them."""
    check_any_shop(template, made, people)


@pytest.mark.slow
@settings(max_examples=100, **SETTINGS)
@given(st.lists(PERSON, max_size=6))
def test_links_hold_in_many_shops(template, made, people):
    """As above."""
    check_any_shop(template, made, people)


# --- pulling the plug

CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import little_shop as shop
from kit import retention, store
from kit.periods import Days

made = shop.tables()
engine = store.connect("sqlite:///" + sys.argv[2])
with store.begin(engine) as connection:
    plan = retention.plan(connection, made, shop.KEEP, Days(made, now=shop.NOW))
left = int(sys.argv[3])

def step():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

with engine.connect() as connection:
    driver = connection.connection.driver_connection
    driver.set_progress_handler(step, 50)  # called in the middle of statements
    retention.expire(connection, plan, at_once=3)
"""
CROWD = [
    (
        2_400,
        [(30 + 70 * n + 200 * k, 900 + n) for k in range(5)],
        [("given", 2_000), ("withdrawn", 100 * n)][: n % 4],
        (None, 1_000)[n % 2],
        False,
    )
    for n in range(20)
]


def check_after_the_plug_was_pulled(template, made, steps):
    """Kill it in the middle of a statement, look, finish, and compare with a run not cut short."""
    engine = fresh(*template)
    with store.begin(engine) as connection:
        peopled(connection, made, CROWD)
    with engine.connect() as connection:
        retention.sweep(connection)
    killed = store.connect(template[0].with_name("killed.sqlite"), wait_s=0)
    cut = fresh(engine.url.database, killed).url.database
    sales = sold(engine, made)
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(cut), str(steps)]
    child = subprocess.run(command, cwd=Path(__file__).parent.parent, check=False)

    assert child.returncode == -signal.SIGKILL
    store.check(killed)  # every page, every link
    assert all(sales[number] == amount for number, amount in sold(killed, made).items())
    for left in (killed, engine):
        expired(left, planned(left, made))
    assert shop.snapshot(killed, made) == shop.snapshot(engine, made)
    assert planned(killed, made).lines == ()


KILLED = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@KILLED
@pytest.mark.parametrize("steps", [1_200, 1_700])
def test_pulling_the_plug_costs_nothing(template, made, steps):
    """Whatever was half done is undone, and the next run completes it."""
    check_after_the_plug_was_pulled(template, made, steps)


@KILLED
@pytest.mark.slow
@pytest.mark.parametrize("steps", range(1_160, 2_140, 40))
def test_pulling_the_plug_at_many_moments(template, made, steps):
    """As above, from the first batch to the last."""
    check_after_the_plug_was_pulled(template, made, steps)
