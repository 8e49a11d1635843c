"""Periods promise that nothing is called over before its time, and that no day is ever guessed."""

from __future__ import annotations

import inspect
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import little_shop as shop
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import consent, periods, retention
from kit.inventory import Keep
from kit.periods import Anchor, Days, PeriodError

NOW = shop.NOW
MORE = {
    "last purchase": Anchor(
        "customers",
        ("sales.sold_at", "customers.last_visit_on", "customers.created_at"),
        waits=True,
    )
}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled(request, tmp_path_factory):
    """Return the tables, and a connection to a little shop in SQLite, then in PostgreSQL."""
    url = tmp_path_factory.mktemp("periods") / "shop.sqlite"
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        server.psql("CREATE DATABASE periods;")
        url = server.get_uri(database="periods")
    made = shop.tables()
    engine = shop.opened(url, made)
    with engine.connect() as connection:
        shop.fill(connection, made)
        yield made, connection


@pytest.fixture
def little(filled):
    """Return the same; what the test changes is undone."""
    made, connection = filled
    with connection.begin_nested() as undone:
        yield made, connection
        undone.rollback()


def rule(words):
    """Return "3 years after sale" as a rule."""
    count, unit, _, event = words.split(maxsplit=3)
    return Keep(int(count), unit.removesuffix("s"), event)


def passing(connection, table, test):
    """Return the keys of the rows that pass."""
    (key,) = table.primary_key.columns
    return sorted(connection.scalars(sa.select(key).where(test)))


def over(little, field, words, *, now=NOW, keys=None, loose=False, **more):
    """Return the rows in which the time of a column is over."""
    made, connection = little
    name, column = field.split(".")
    days = Days(made, now=now, **more)
    table = made.tables[name]
    test = days.over(table, column, rule(words), keys, loose=loose)
    (key,) = table.primary_key.columns
    return passing(connection, table, test if keys is None else sa.and_(test, key.in_(keys)))


def reasons(little, field, words, **more):
    """Return why rows stay."""
    made, connection = little
    name, column = field.split(".")
    days, table = Days(made, now=NOW, **more), made.tables[name]
    told = days.reasons(table, column, rule(words))
    assert days.state(table, column, rule(words)) is days.state(table, column, rule(words))
    return rows_by_reason(connection, table, told)


def rows_by_reason(connection, table, told):
    """Return the rows that pass each test, where any do."""
    found = {why: passing(connection, table, test) for why, test in told}
    return {why: rows for why, rows in found.items() if rows}


OVER = [
    pytest.param("sales.note", "1 year after sale", ["sal_2", "sal_3", "sal_5"], id="own day"),
    pytest.param("lines.note", "4 years after sale", ["lin_5"], id="day of the sale"),
    pytest.param("customers.email", "3 years after last purchase", ["cus_2"], id="newest sale"),
    pytest.param("addresses.street", "2 days after last purchase", ["adr_2"], id="by the customer"),
    pytest.param("sales.customer_id", "3 years after last purchase", ["sal_3", "sal_5"],
                 id="every sale of whom"),
    pytest.param("customers.note", "3 years after collection", ["cus_1", "cus_2"], id="row's day"),
    pytest.param("consents.event", "3 years after withdrawal", ["con_2", "con_3"], id="yes and no"),
    pytest.param("customers.accepts_email", "1 month after withdrawal", ["cus_2"], id="of a no"),
    pytest.param("privacy_requests.kind", "24 months after request answered", ["req_1"],
                 id="answer"),
    pytest.param("employees.name", "1 day after employment ended", [], id="no such column"),
    pytest.param("customers.name", "1 day after account closed", [], id="nor this"),
    pytest.param("products.name", "1 day after last use", ["pro_1"], id="the newest sale's day"),
    pytest.param("products.name", "1 week after last use", [], id="used this week"),
    pytest.param("stores.name", "1 day after last use", ["sto_1"], id="a store"),
    pytest.param("categories.name", "1 day after last use", [], id="used by no row with a day"),
    pytest.param("payments.note", "1 day after last purchase", [], id="names no customer"),
    pytest.param("stores.name", "1 day after collection", [], id="no day of its own"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "words", "rows"), OVER)
def test_each_event_has_its_day(little, field, words, rows):
    """A rule means the same for every table it is written for, asked about all rows or some."""
    assert over(little, field, words) == rows
    assert over(little, field, words, keys=[*rows, "sal_1", "cus_1", "con_1"]) == rows


@pytest.mark.parametrize(
    ("field", "words", "why"),
    [
        pytest.param("customers.email", "3 years after last purchase",
                     {"no day is known: last purchase": ["cus_3"]}, id="never bought"),
        pytest.param("consents.event", "3 years after withdrawal",
                     {"not yet: withdrawal": ["con_1"]}, id="not withdrawn"),
        pytest.param("employees.name", "1 day after employment ended",
                     {"no day is known: employment ended": ["emp_1"]}, id="no column for it"),
        pytest.param("customers.email", "1 day after last purchase",
                     {"no day is known: last purchase": ["cus_3"], "a consent stands": ["cus_1"]},
                     id="a yes holds it up"),
        pytest.param("customers.note", "1 day after collection", {}, id="nothing holds up a note"),
    ],
)  # fmt: skip
def test_it_is_told_why_something_stays(little, field, words, why):
    """What has no day, or not yet, is listed and never guessed."""
    assert reasons(little, field, words) == why


def test_a_period_includes_its_last_day(little):
    """Sold on 24 November 2024: "2 years after sale" ends with 24 November 2026."""
    words = ("sales.note", "2 years after sale")

    assert "sal_2" not in over(little, *words, now=NOW.replace(hour=23))
    assert "sal_2" in over(little, *words, now=NOW + timedelta(days=1))


def test_days_are_those_of_the_shop(little):
    """Sold at half past nine in London is the next day in Auckland, and still Tuesday in LA."""
    night = {"now": datetime(2026, 11, 25, 7, 30, tzinfo=UTC)}
    words = ("sales.note", "2 years after sale")

    assert "sal_2" in over(little, *words, **night)
    assert "sal_2" not in over(little, *words, zone=ZoneInfo("America/Los_Angeles"), **night)
    early = {"now": datetime(2026, 11, 24, 11, 30, tzinfo=UTC)}
    assert "sal_3" in over(little, "sales.note", "3 years after sale", **early)


def test_a_visit_counts_as_a_purchase(little):
    """The day of the last visit comes with the customer list, the sales may not."""
    made, connection = little
    visit = sa.update(made.tables["customers"]).values(last_visit_on=date(2025, 1, 1))
    connection.execute(visit)

    assert over(little, "customers.email", "1 year after last purchase") == ["cus_2", "cus_3"]
    assert over(little, "customers.email", "2 years after last purchase") == []


def test_the_day_of_joining_counts_only_if_the_shop_says_so(little):
    """Cleo joined two years ago and never bought."""
    words = ("customers.email", "1 year after last purchase")

    assert over(little, *words) == ["cus_2"]
    assert over(little, *words, anchors=periods.ANCHORS | MORE) == ["cus_2", "cus_3"]


def test_nothing_speaks_against_what_is_unknown_by_now(little):
    """Once the sale that was the last one is gone, a plan made before still holds."""
    words = ("customers.email", "3 years after last purchase")

    assert over(little, *words, loose=True) == ["cus_2", "cus_3"]
    assert over(little, *words, loose=True, keys=["cus_1", "cus_2"]) == ["cus_2"]
    assert (
        over(little, "consents.event", "1 day after withdrawal", loose=True, keys=["con_1"]) == []
    )


def said(made, connection, events):
    """Replace all consents by these of Ana: (number, channel, event, when)."""
    connection.execute(sa.delete(made.tables["consents"]))
    common = {"customer_id": "cus_1", "purpose": "offers"}
    rows = [
        {"consent_id": f"con_{n}", "channel": c, "event": e, "happened_at": at} | common
        for n, c, e, at in events
    ]
    connection.execute(sa.insert(made.tables["consents"]), rows)


OLD, OLDER, NEWER = shop.ago(years=5), shop.ago(years=6), shop.ago(years=4)
AGAIN = [("email", "given", OLDER), ("email", "withdrawn", OLD), ("email", "given", NEWER)]
COURSES = [
    pytest.param([("email", "given", OLDER), ("email", "withdrawn", OLD)], True, id="taken back"),
    pytest.param([("email", "given", OLD), ("email", "withdrawn", OLD)], True, id="at one moment"),
    pytest.param([("email", "given", OLDER), ("email", "expired", OLD)], True, id="ran out"),
    pytest.param([("email", "withdrawn", OLD)], True, id="no from the start"),
    pytest.param(AGAIN, False, id="yes again"),
    pytest.param([("email", "given", OLDER), ("sms", "withdrawn", OLD)], False, id="of another"),
    pytest.param([("email", "given", None), ("email", "withdrawn", OLD)], False, id="no day"),
    pytest.param([("email", None, OLDER), ("email", "withdrawn", OLD)], True, id="of no kind"),
    pytest.param([(None, "given", OLDER), (None, "withdrawn", OLD)], True, id="of no channel"),
    pytest.param([("email", "given", OLDER), ("email", "withdrawn", NOW)], False, id="just now"),
]  # fmt: skip


@pytest.mark.parametrize(("events", "ended"), COURSES)
def test_a_yes_and_its_no_end_together(little, events, ended):
    """The proof of a yes goes with that of the no, and never while the yes stands."""
    said(*little, [(n, *event) for n, event in enumerate(events)])
    first = over(little, "consents.event", "3 years after withdrawal")
    customer = over(little, "customers.email", "3 years after withdrawal")

    assert ("con_0" in first) is ended
    assert (customer == ["cus_1"]) is ended


def test_rules_of_a_row_wait_while_any_consent_of_the_customer_stands(little):
    """As long as Ana gets the newsletter, her address book stays, however long ago she bought."""
    made, connection = little
    words = ("addresses.street", "1 day after last purchase")
    with_yes = over(little, *words)
    said(made, connection, [(1, "email", "given", OLDER), (2, "email", "withdrawn", OLD)])
    without = over(little, *words)

    assert (with_yes, without) == (["adr_2"], ["adr_1", "adr_2"])


SAYING = st.tuples(
    st.sampled_from(["email", "sms"]), st.sampled_from(consent.EVENTS), st.integers(0, 3)
)


@given(st.lists(SAYING, max_size=6))
@settings(max_examples=60, deadline=None)
def test_what_stands_for_the_consent_tool_stands_here(filled, events):
    """A proof is never called over while `consent.state` still says yes."""
    made, connection = filled
    rows = [(n, c, e, OLD + timedelta(days=day)) for n, (c, e, day) in enumerate(events)]
    with connection.begin_nested() as undone:
        said(made, connection, rows or [(0, "email", "withdrawn", OLD)])
        over_now = over(filled, "consents.event", "1 year after withdrawal")
        undone.rollback()
    known = [
        consent.Event(f"con_{n}", "cus_1", c, "offers", e, None, "", happened_at=at)
        for n, c, e, at in rows
    ]
    for event in known:
        now = consent.state([e for e in known if e.key == event.key], at=NOW)
        if now.yes:
            assert event.consent_id not in over_now


RULES = st.builds(
    Keep,
    st.integers(0, 40),
    st.sampled_from(["day", "week", "month", "year"]),
    st.sampled_from(["sale", "last purchase"]),
)
ZONES = st.sampled_from(["UTC", "America/New_York", "Pacific/Auckland", "Pacific/Honolulu"])


@settings(max_examples=60, deadline=None)
@given(
    keep=RULES,
    zone=ZONES,
    now=st.datetimes(datetime(2019, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_the_database_reckons_as_the_rule_does(filled, keep, zone, now):
    """Asked one by one, each row gives the same answer as all of them in one query."""
    made, connection = filled
    here = ZoneInfo(zone)
    sales = made.tables["sales"]
    days = Days(made, now=now, zone=here)
    found = passing(connection, sales, days.over(sales, "customer_id", keep))
    rows = connection.execute(sa.select(sales.c.sale_id, sales.c.customer_id, sales.c.sold_at))
    rows = rows.all()

    expected = []
    for number, customer, sold_at in rows:
        day = sold_at.astimezone(here).date()
        if keep.event == "last purchase":
            same = [at.astimezone(here).date() for _, c, at in rows if c == customer and c]
            day = max(same, default=None)
        standing_yes = keep.event == "last purchase" and customer == "cus_1"
        if day and not standing_yes and keep.until(day) < now.astimezone(here).date():
            expected.append(number)
    assert found == sorted(expected)


def test_a_sealed_day_cannot_be_read(little):
    """Then nothing is known, rather than everything over."""
    made, connection = little
    sealed = shop.schema.metadata(
        shop.PROTECT | {"sales.sold_at": "seal", "consents.event": "seal"}
    )

    assert over((sealed, connection), "sales.note", "1 year after sale") == []
    assert over((sealed, connection), "consents.channel", "1 year after withdrawal") == []


def test_a_table_that_is_not_there_dates_nothing():
    """A shop without sales has no last purchase."""
    made = sa.MetaData()
    people = sa.Table("people", made, sa.Column("id", sa.Text, primary_key=True))
    engine = sa.create_engine("sqlite://")
    made.create_all(engine)
    with engine.connect() as connection:
        connection.execute(sa.insert(people), {"id": "p"})
        days = Days(made, now=NOW, subject="people")
        state = days.state(people, "id", rule("1 day after sale"))
        assert passing(connection, people, sa.or_(state.known, state.late, state.pending)) == []
        assert (
            passing(
                connection, people, days.state(people, "id", rule("1 day after withdrawal")).pending
            )
            == []
        )


# --- rows that are not to be touched


def frozen(little, table, **more):
    """Return why rows are not to be touched."""
    made, connection = little
    told = Days(made, now=NOW, **more).frozen(made.tables[table])
    return rows_by_reason(connection, made.tables[table], told)


HOLDS = {"cus_1": "a lawsuit", "cus_2": "a recall", "cus_9": "a recall"}


@pytest.mark.parametrize(
    ("table", "ana", "ben"),
    [
        ("customers", ["cus_1"], ["cus_2"]),
        ("addresses", ["adr_1"], ["adr_2"]),
        ("sales", ["sal_1", "sal_2"], ["sal_3", "sal_5"]),
        ("payments", ["pay_1", "pay_2"], ["pay_3", "pay_5"]),
        ("loyalty", ["poi_1", "poi_2"], ["poi_3", "poi_5"]),
    ],
)
def test_a_hold_covers_all_that_leads_to_the_customer(little, table, ana, ben):
    """A lawsuit wants the payment as well as the name."""
    assert frozen(little, table, holds=HOLDS) == {
        "on hold: a lawsuit": ana,
        "on hold: a recall": ben,
    }


def test_nothing_is_touched_while_a_request_is_open(little):
    """Who asked what is held about them is not answered with an empty folder."""
    made, connection = little
    asked = made.tables["privacy_requests"]
    connection.execute(
        sa.update(asked).where(asked.c.request_id == "req_2").values(answered_at=None)
    )
    why = "something is open in privacy_requests"

    assert frozen(little, "customers") == {why: ["cus_1"]}
    assert frozen(little, "lines") == {why: ["lin_1", "lin_2"]}
    assert frozen(little, "products") == {}


def test_tables_that_name_one_another_are_walked_once():
    """A store has a manager, who works in a store."""
    made = sa.MetaData()
    sa.Table("people", made, sa.Column("id", sa.Text, primary_key=True))
    for one, other in (("shops", "staff"), ("staff", "shops")):
        link = sa.ForeignKey(
            f"{other}.id", ondelete="SET NULL", use_alter=True, name=f"{one}_{other}"
        )
        owner = sa.Column("owner", sa.ForeignKey("people.id"))
        sa.Table(
            one, made, sa.Column("id", sa.Text, primary_key=True), sa.Column(other, link), owner
        )
    days = Days(made, now=NOW, subject="people", holds={"p": "a lawsuit"})

    assert [why for why, _ in days.frozen(made.tables["shops"])] == ["on hold: a lawsuit"]


# --- what goes first


def test_what_hangs_on_a_row_goes_before_it_and_what_dates_it_after(little):
    """If the sales went first, nobody could tell any more whose last purchase was when."""
    made, _ = little
    keep = {}
    for field in shop.INVENTORY.fields.values():
        keep.setdefault(made.tables[field.table], {})[field.name] = field.keep
    order = [table.name for table in Days(made, now=NOW).order(keep)]

    assert sorted(order) == sorted(table.name for table in keep)
    for before, after in [
        ("addresses", "customers"), ("consents", "customers"), ("loyalty", "customers"),
        ("customers", "sales"), ("addresses", "sales"), ("refunds", "payments"),
        ("lines", "sales"), ("payments", "sales"), ("shifts", "employees"), ("lines", "products"),
    ]:  # fmt: skip
        assert order.index(before) < order.index(after)


def test_a_withdrawal_goes_after_what_it_took_back(little):
    """Cut short between the two, a yes without its no would read as a consent."""
    made, connection = little
    events = [
        (1, "email", "withdrawn", OLD),
        (2, "email", "given", OLD),
        (3, "sms", "given", OLDER),
    ]
    said(made, connection, events)
    table = made.tables["consents"]
    query = sa.select(table.c.consent_id).order_by(*Days(made, now=NOW).oldest_first(table))

    assert list(connection.scalars(query)) == ["con_3", "con_2", "con_1"]


def test_columns_with_one_rule_are_asked_about_once(little):
    """With the days on which cells were written, each is asked about alone."""
    made, _ = little
    rules = {"note": rule("1 year after collection"), "tags": rule("1 year after collection")}
    rules["email"] = rule("1 year after last purchase")

    assert Days(made, now=NOW).grouped(rules, rules) == [["note", "tags"], ["email"]]
    written = {"written": lambda table, column, since: sa.select(sa.literal("cus_1"))}
    assert len(Days(made, now=NOW, **written).grouped(rules, rules)) == 3


def test_a_note_counts_from_the_day_it_was_written_if_that_is_known(little):
    """A note of last week is not lost because its customer joined six years ago."""
    asked = []

    def written(table, column, since):
        asked.append((table.name, column, since))
        return sa.select(sa.literal("cus_1"))

    words = ("customers.note", "3 years after collection")

    assert over(little, *words, written=written) == ["cus_2"]
    assert asked[0] == ("customers", "note", datetime(2023, 11, 24, tzinfo=UTC))


def circle():
    """Return tables that hang on one another, and rules for them."""
    made = sa.MetaData()
    for one, other in (("a", "b"), ("b", "a")):
        link = sa.ForeignKey(f"{other}.id", use_alter=True, name=f"{one}_{other}")
        sa.Table(one, made, sa.Column("id", sa.Text, primary_key=True), sa.Column("x", link))
    keep = {table: {"id": rule("1 day after collection")} for table in made.tables.values()}
    return Days(made, now=NOW, subject="a").order(keep)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        pytest.param(lambda made: Days(made, now=NOW.replace(tzinfo=None)), "zone", id="no zone"),
        pytest.param(lambda made: Days(made, now=NOW).state(made.tables["sales"], "note",
                     rule("1 year after full moon")), "sales.note: nobody knows", id="an event"),
        pytest.param(lambda made: circle(), "hang on one another", id="a circle"),
    ],
)  # fmt: skip
def test_refuses(wrong, named):
    """Better no answer than one for another day."""
    with pytest.raises(PeriodError, match=named):
        wrong(shop.tables())


def test_the_lines_that_are_written_twice_are_the_same():
    """`retention` finds the key of a table as this does."""
    one, other = (inspect.getsource(m._key).partition("\n")[2] for m in (periods, retention))

    assert one == other
