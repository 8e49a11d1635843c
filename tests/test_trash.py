"""The trash promises that a customer deleted by mistake comes back whole, or not at all."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import little_shop as shop
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import encrypt, rows, store, trash
from kit.trash import Conflict, InUse, NotThere, TooLate, Trash, TrashError, Unreadable

NOW = shop.NOW
LATER = NOW + timedelta(days=29)


@pytest.fixture
def made():
    """Return the tables."""
    return shop.tables()


@pytest.fixture
def engine(database, made):
    """Return the little shop."""
    engine = shop.opened(database, made)
    with store.begin(engine) as connection:
        shop.fill(connection, made)
    return engine


@pytest.fixture
def bin_(made):
    """Return its trash."""
    return Trash(made, shop.CIPHER)


def test_a_customer_comes_back_with_points_and_purchases(engine, made, bin_):
    """Every row of the shop is as it was, links and version numbers included."""
    before = shop.snapshot(engine, made)
    with store.begin(engine) as connection:
        gone = bin_.delete(connection, "cus_1", now=NOW)
    without = shop.snapshot(engine, made)
    with store.begin(engine) as connection:
        back = bin_.undelete(connection, gone.trash_id, now=LATER)

    assert without != before
    assert shop.snapshot(engine, made) == before
    assert gone == back
    assert gone.rows == {"customers": 1, "addresses": 1, "consents": 1, "loyalty": 2}
    assert gone.links == {"sales.customer_id": 2, "privacy_requests.customer_id": 1}


def test_the_sales_stay_and_others_are_untouched(engine, made, bin_):
    """A deletion changes no month's total and nobody else's rows."""
    before, sums = shop.snapshot(engine, made), shop.totals(engine, made)
    with store.begin(engine) as connection:
        bin_.delete(connection, "cus_1", now=NOW)
    after = shop.snapshot(engine, made)

    assert shop.totals(engine, made) == sums
    for name in ("customers", "addresses", "consents", "loyalty"):
        assert after[name] == [row for row in before[name] if "'cus_1'" not in row]
    for name in ("lines", "payments", "products"):
        assert after[name] == before[name]
    assert not any("'cus_1'" in row for row in after["sales"])


def test_the_trash_shows_a_number_and_a_date_and_nothing_else(engine, made, bin_):
    """A stolen database does not tell who was deleted."""
    with store.begin(engine) as connection:
        gone = bin_.delete(connection, "cus_1", now=NOW)
        row = connection.execute(sa.select(made.tables["kit_trash"])).mappings().one()
        opened = shop.CIPHER.unseal(row["sealed"], context=f"kit_trash.sealed.{gone.trash_id}")
        content = json.loads(opened)

    assert (row["subject"], row["until"]) == ("cus_1", "2026-12-24T09:30:00.000000Z")
    assert b"Ana" not in row["sealed"]
    assert opened == json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert content["format"] == 1
    assert content["links"][1] == ["sales", "customer_id", "cus_1", ["sal_1", "sal_2"]]
    customer = content["rows"][0][1][0]
    assert customer["first_name"] == "Ana"
    assert [*customer["email"]] == ["$bytes"]
    assert customer["created_at"] == {"$time": "2020-11-24T09:30:00+00:00"}


def test_a_trash_made_by_the_first_version_still_opens(engine, made, bin_):
    """The format is kept for ever, or gets a new number."""
    written = (
        '{"format":1,"links":[["sales","customer_id","cus_9",["sal_4"]]],"rows":[["customers",'
        '[{"accepts_email":true,"birthday":{"$bytes":"AQA="},"created_at":{"$time":'
        '"2020-11-24T09:30:00+00:00"},"customer_id":"cus_9","first_visit_on":'
        '{"$date":"2020-11-24"},"loyalty_points":3,"name":null,"version":4}]]]}'
    )
    with store.begin(engine) as connection:
        put(connection, made, written)
        bin_.undelete(connection, "t1", now=NOW)
        row = rows.get(connection, made.tables["customers"], "cus_9")
        sale = rows.get(connection, made.tables["sales"], "sal_4")

    assert row["birthday"] == b"\x01\x00"
    assert row["first_visit_on"] == date(2020, 11, 24)
    assert row["created_at"] == datetime(2020, 11, 24, 9, 30, tzinfo=UTC)
    assert (row["accepts_email"], row["version"]) == (True, 4)
    assert sale["customer_id"] == "cus_9"


def put(connection, made, written, *, context="kit_trash.sealed.t1"):
    """Put something sealed by hand into the trash."""
    row = {"trash_id": "t1", "subject": "cus_9", "deleted_at": "2026-11-24T09:30:00.000000Z"}
    row |= {"until": "2026-12-24T09:30:00.000000Z"}
    row |= {"sealed": shop.CIPHER.seal(written, context=context)}
    connection.execute(sa.insert(made.tables["kit_trash"]), row)


def test_what_lies_in_the_trash_is_listed_newest_first(engine, made, bin_):
    """The shop sees what can be taken back, and until when."""
    with store.begin(engine) as connection:
        first = bin_.delete(connection, "cus_1", now=NOW)
        second = bin_.delete(connection, "cus_2", now=NOW + timedelta(days=1))
        listed = bin_.listed(connection, now=LATER)
        later = bin_.listed(connection, now=NOW + timedelta(days=30))

    assert [entry.trash_id for entry in listed] == [second.trash_id, first.trash_id]
    assert listed[1] == trash.Entry(first.trash_id, "cus_1", NOW, NOW + timedelta(days=30))
    assert later == listed[:1]


def test_the_window_ends_to_the_second(engine, made):
    """After the days that were promised nobody can bring the customer back."""
    bin_ = Trash(made, shop.CIPHER, keep_days=3)
    over = NOW + timedelta(days=3)
    with store.begin(engine) as connection:
        gone = bin_.delete(connection, "cus_1", now=NOW)
        with pytest.raises(TooLate, match="until 2026-11-27; look for it in a backup"):
            bin_.undelete(connection, gone.trash_id, now=over)
        bin_.undelete(connection, gone.trash_id, now=over - timedelta(microseconds=1))


def test_emptying_destroys_what_is_over_and_no_more(engine, made, bin_):
    """The second customer was deleted a day later, and can still come back."""
    with store.begin(engine) as connection:
        first = bin_.delete(connection, "cus_1", now=NOW)
        second = bin_.delete(connection, "cus_2", now=NOW + timedelta(days=1))
        counts = [bin_.empty(connection, now=NOW + timedelta(days=days)) for days in (29, 30)]
        with pytest.raises(NotThere):
            bin_.undelete(connection, first.trash_id, now=NOW)
        bin_.undelete(connection, second.trash_id, now=LATER)

    assert counts == [0, 1]


def test_an_erased_customer_cannot_come_back(engine, made, bin_):
    """Deleted twice, erased once: nothing is left to bring back."""
    with store.begin(engine) as connection:
        first = bin_.delete(connection, "cus_1", now=NOW)
        other = bin_.delete(connection, "cus_2", now=NOW)
        gone = bin_.forget(connection, "cus_1"), bin_.forget(connection, "cus_1")
        with pytest.raises(NotThere, match="came back already, or was emptied or erased"):
            bin_.undelete(connection, first.trash_id, now=NOW)
        bin_.undelete(connection, other.trash_id, now=NOW)

    assert gone == (1, 0)


def change(name, key, **values):
    """Return what changes or, without values, deletes a row."""

    def do(connection, made):
        table = made.tables[name]
        (column,) = table.primary_key.columns
        chosen = column == key
        wanted = sa.update(table).values(values) if values else sa.delete(table)
        connection.execute(wanted.where(chosen))

    return do


def back_again(connection, made):
    """Use the number of the deleted customer again."""
    shop.add(connection, made, "customers", [{"customer_id": "cus_1", "first_name": "Other"}])


def taken_address(connection, made):
    """Use the number of an address again."""
    shop.add(connection, made, "addresses", [{"address_id": "adr_1", "customer_id": "cus_3"}])


OTHERS = change("sales", "sal_2", customer_id="cus_3")
SOLD = change("sales", "sal_1")
NAMED = [
    pytest.param(back_again, "customers: the number is in use again (1)", True, id="number taken"),
    pytest.param(taken_address, "addresses: the number is in use again (1)", True, id="address"),
    pytest.param(OTHERS, "sales: names another row now (1)", False, id="sale of another"),
    pytest.param(SOLD, "loyalty: a row that it names is gone (1); sales: a row that was linked is "
                 "gone (1)", False, id="sale gone"),
]  # fmt: skip


@pytest.mark.parametrize(("meanwhile", "named", "final"), NAMED)
def test_what_stands_in_the_way_is_named_and_nothing_comes_back(
    engine, made, bin_, meanwhile, named, final
):
    """Half a customer would be worse than none."""
    with store.begin(engine) as connection:
        gone = bin_.delete(connection, "cus_1", now=NOW)
        meanwhile(connection, made)
    before = shop.snapshot(engine, made)

    for leave_out in (False, final):
        with pytest.raises(Conflict) as caught, store.begin(engine) as connection:
            bin_.undelete(connection, gone.trash_id, now=NOW, leave_out=leave_out)
        assert str(caught.value).startswith(f"{named}; put that right")
        assert str(caught.value).endswith("backup") is final
        assert "cus_" not in str(caught.value)
        assert {o.final for o in caught.value.found} == {final}
    assert shop.snapshot(engine, made) == before


def test_the_rest_comes_back_without_what_is_gone(engine, made, bin_):
    """An expired sale does not keep a customer out."""
    with store.begin(engine) as connection:
        gone = bin_.delete(connection, "cus_1", now=NOW)
        SOLD(connection, made)
        OTHERS(connection, made)
        back = bin_.undelete(connection, gone.trash_id, now=NOW, leave_out=True)
        points = rows.find(connection, made.tables["loyalty"], {"customer_id": "cus_1"})
        other = rows.get(connection, made.tables["sales"], "sal_2")

    assert back.links == {"privacy_requests.customer_id": 1}
    assert {row["entry_id"]: row["sale_id"] for row in points} == {"poi_1": None, "poi_2": "sal_2"}
    assert other["customer_id"] == "cus_3"


def stored(name, row, *, format=1, links=()):  # noqa: A002
    """Return a trash text of one row."""
    return json.dumps({"format": format, "rows": [[name, [row]]], "links": list(links)})


OLD_COLUMNS = {"customer_id": "cus_9", "shoe_size": 9, "hat": None, "email": "x@example.com"}
LINKS = [["gone", "customer_id", "cus_9", ["1"]], ["sales", "buyer", "cus_9", ["sal_4"]]]


@pytest.mark.parametrize(
    ("written", "error", "named"),
    [
        pytest.param(stored("customers", {}, format=2), Unreadable, "newer kit", id="format"),
        pytest.param("[]", Unreadable, "newer kit", id="not ours"),
        pytest.param("no", Unreadable, "newer kit", id="not JSON"),
        pytest.param(stored("cellars", {"a": 1}), Conflict, "cellars: the shop has no such table",
                     id="table gone"),
        pytest.param(stored("customers", OLD_COLUMNS), Conflict,
                     "customers: the column is gone, or protected otherwise (2)", id="columns"),
        pytest.param(stored("addresses", {"address_id": "a", "customer_id": "cus_8"}), Conflict,
                     "addresses: a row that it names is gone (1)", id="an address of nobody"),
        pytest.param(stored("shifts", {"shift_id": "s"}), Conflict,
                     "shifts: refused by the database (1)", id="a column that is needed now"),
        pytest.param(stored("categories", {"category_id": "c"}, links=LINKS), Conflict,
                     "gone: the link has no column now (1); sales: the link has no", id="links"),
    ],
)  # fmt: skip
def test_refuses_what_no_longer_fits(engine, made, bin_, written, error, named):
    """The shop's tables changed while the customer lay in the trash."""
    with store.begin(engine) as connection:
        put(connection, made, written)
    before = shop.snapshot(engine, made)

    with pytest.raises(error) as caught, store.begin(engine) as connection:
        bin_.undelete(connection, "t1", now=NOW)
    assert named in str(caught.value)
    assert isinstance(caught.value, TrashError)
    assert not {"cus_9", "cus_8", "x@example.com"} & set(str(caught.value).split())
    assert shop.snapshot(engine, made) == before


def test_columns_that_the_shop_dropped_are_left_out_on_demand(engine, made, bin_):
    """A field that left the inventory does not come back by the side door."""
    with store.begin(engine) as connection:
        put(connection, made, stored("customers", OLD_COLUMNS, links=LINKS))
        back = bin_.undelete(connection, "t1", now=NOW, leave_out=True)
        row = rows.get(connection, made.tables["customers"], "cus_9")

    assert (row["email"], back.links) == (None, {})


def test_a_sealed_row_opens_only_in_its_own_place(engine, made, bin_):
    """Nobody brings back a customer by pasting one deletion over another."""
    with store.begin(engine) as connection:
        put(connection, made, stored("customers", {}), context="kit_trash.sealed.t2")
        with pytest.raises(encrypt.CannotDecrypt):
            bin_.undelete(connection, "t1", now=NOW)


@pytest.mark.parametrize(
    ("subject", "number", "error", "named"),
    [
        pytest.param("customers", "cus_9", NotThere, "no row with this number", id="unknown"),
        pytest.param("stores", "sto_1", InUse, "employees: rows name this one", id="a store"),
    ],
)
def test_refuses_to_delete(engine, made, subject, number, error, named):
    """Nothing is deleted, and nothing is in the trash."""
    before = shop.snapshot(engine, made)

    with store.begin(engine) as connection, pytest.raises(error) as caught:
        Trash(made, shop.CIPHER, subject=subject).delete(connection, number, now=NOW)
    assert named in str(caught.value)
    assert number not in str(caught.value)
    assert shop.snapshot(engine, made) == before


def test_refuses_a_time_without_a_zone(engine, bin_):
    """A window that ends an hour early would be a broken promise."""
    with store.begin(engine) as connection, pytest.raises(TrashError, match="no time zone"):
        bin_.empty(connection, now=NOW.replace(tzinfo=None))


def test_declaring_the_table_twice_gives_the_same_one(made):
    """Whoever opens the shop need not know who declared it first."""
    assert trash.table(made) is made.tables["kit_trash"]


# --- other tables than the shop's


def family():
    """Return tables with two levels, rows that name each other, and a key that is a number."""
    made = sa.MetaData()
    sa.Table("clubs", made, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "members",
        made,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("club", sa.ForeignKey("clubs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("invited_by", sa.ForeignKey("members.id", ondelete="SET NULL")),
        sa.Column("joined", sa.DateTime),
        sa.Column("fee", sa.Float),
    )
    sa.Table(
        "visits",
        made,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("club", sa.ForeignKey("clubs.id", ondelete="CASCADE")),
        sa.Column("member", sa.ForeignKey("members.id", ondelete="CASCADE")),
    )
    trash.table(made)
    return made


def test_rows_that_hang_on_two_others_go_and_come_once(tmp_path):
    """A visit belongs to the club and to the member, who were invited by one another."""
    made = family()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'club.sqlite'}")
    made.create_all(engine)
    with engine.begin() as connection:
        clubs, members, visits = (made.tables[n] for n in ("clubs", "members", "visits"))
        connection.execute(sa.insert(clubs), [{"id": 1}, {"id": 2}])
        people = [(1, 1, None), (2, 1, 1), (3, 2, 2), (4, 2, 3)]
        at = datetime(2020, 1, 1)  # noqa: DTZ001
        more = {"fee": 1.5, "joined": at}
        new = [{"id": i, "club": c, "invited_by": by} | more for i, c, by in people]
        connection.execute(sa.insert(members), new)
        connection.execute(sa.insert(visits), [{"id": n, "club": 1, "member": 2} for n in (1, 2)])
    before = shop.snapshot(engine, made)
    bin_ = Trash(made, shop.CIPHER, subject="clubs")
    with engine.begin() as connection:
        gone = bin_.delete(connection, 1, now=NOW)
    with engine.begin() as connection:
        bin_.undelete(connection, gone.trash_id, now=NOW)

    assert gone.rows == {"clubs": 1, "members": 2, "visits": 2}
    assert gone.links == {"members.invited_by": 1}
    assert shop.snapshot(engine, made) == before


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        pytest.param(sa.Column("photo", sa.PickleType), {1}, "holds set", id="a value"),
        pytest.param(sa.Column("half", sa.Integer, primary_key=True), 1, "one column", id="a key"),
    ],
)
def test_refuses_tables_that_it_cannot_keep(tmp_path, column, value, named):
    """Better no deletion than one that cannot be taken back."""
    made = sa.MetaData()
    friends = sa.Table("friends", made, sa.Column("id", sa.Integer, primary_key=True), column)
    trash.table(made)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'friends.sqlite'}")
    made.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(friends), {"id": 1, column.name: value})
        with pytest.raises(TrashError, match=named):
            Trash(made, shop.CIPHER, subject="friends").delete(connection, 1, now=NOW)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """Return tables and an empty shop; nothing is ever kept in it."""
    made = shop.tables()
    return made, shop.opened(tmp_path_factory.mktemp("trash") / "shop.sqlite", made)


# What the database takes; that it refuses the last year of the calendar is a test of rows.
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=50, deadline=None)
@given(
    name=st.none() | st.text(max_size=8).filter(str.isprintable),
    points=st.none() | st.integers(-(2**63), 2**63 - 1),
    at=st.none() | MOMENTS,
    note=st.none() | st.text(),
    likes=st.none() | st.booleans(),
    sold=st.integers(0, 3),
)
def test_whatever_was_held_comes_back(empty, name, points, at, note, likes, sold):
    """Any customer with any purchases survives the way through the trash."""
    made, engine = empty
    row = {"customer_id": "c", "first_name": name, "loyalty_points": points, "note": note}
    row |= {"accepts_sms": likes, "created_at": at, "first_visit_on": at and at.date()}
    bin_ = Trash(made, shop.CIPHER)
    with engine.connect() as connection:
        shop.add(connection, made, "customers", [row])
        sales = [{"sale_id": f"s{n}", "customer_id": "c"} for n in range(sold)]
        rows.load(connection, made.tables["sales"], [sales])
        before = shop.snapshot(connection, made)
        gone = bin_.delete(connection, "c", now=NOW)
        without = shop.snapshot(connection, made)
        bin_.undelete(connection, gone.trash_id, now=NOW)

        assert without["customers"] == []
        assert shop.snapshot(connection, made) == before


def test_a_customer_with_very_many_purchases_fits(tmp_path, made):
    """The walk-in account of a till can have more sales than a query takes values."""
    engine = shop.opened(tmp_path / "shop.sqlite", made)
    bin_ = Trash(made, shop.CIPHER)
    with store.begin(engine) as connection:
        rows.add(connection, made.tables["customers"], {"customer_id": "c"})
        sales = [{"sale_id": f"s{n}", "customer_id": "c"} for n in range(40_000)]
        rows.load(connection, made.tables["sales"], [sales])
        gone = bin_.delete(connection, "c", now=NOW)
        back = bin_.undelete(connection, gone.trash_id, now=NOW)

    assert gone.links == back.links == {"sales.customer_id": 40_000}
