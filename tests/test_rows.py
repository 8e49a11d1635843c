"""A row comes back as it was put in, or is refused in words that do not repeat it."""

from __future__ import annotations

import traceback
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import pyarrow as pa
import pytest
import sqlalchemy as sa

from kit import practice, rows, schema, store
from kit.inventory import Inventory
from kit.rows import (
    BadRow,
    Conflict,
    Exists,
    InUse,
    NotThere,
    RowsError,
    add,
    change,
    change_many,
    delete,
    find,
    get,
    load,
)

OPEN = dict.fromkeys(Inventory.default().fields, "open")
PROTECT = OPEN | {"customers.email": "seal and index", "customers.note": "seal"}
TABLES = schema.metadata(PROTECT).tables
CUSTOMERS, SALES, PRODUCTS, LINES = (
    TABLES[name] for name in ("customers", "sales", "products", "lines")
)
IMPORTED = TABLES["kit_imported"]
NOON = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
TOKEN = b"\x01" + bytes(range(40))
SECRET = "Wilhelmina"  # stands in values that must not be repeated


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request, tmp_path_factory):
    """Return a new database of either kind."""
    if request.param == "sqlite":
        made = store.connect(tmp_path_factory.mktemp("rows") / "shop.sqlite")
    else:
        server = request.getfixturevalue("postgres_server")
        server.psql("CREATE DATABASE rows;")
        made = store.connect(server.get_uri(database="rows"))
    store.create(made, CUSTOMERS.metadata)
    return made


@pytest.fixture
def connection(engine):
    """Return an open connection; what a test writes is never kept."""
    with engine.connect() as opened:
        yield opened


def ids(found):
    """Return the keys of customers."""
    return [row["customer_id"] for row in found]


def test_a_row_comes_back_as_it_was(connection):
    """With its gaps, its empty texts, its signs and its first version."""
    row = dict.fromkeys(CUSTOMERS.c.keys())
    row |= {"customer_id": "c'1\"; DROP TABLE customers; --", "first_name": "Zoë 🌷", "version": 1}
    row |= {"last_name": "", "nickname": "%s ? :x {y} \\", "company": "a\r\n\t\x01\x1b[31m\u202e"}
    row |= {"note": TOKEN, "birthday": date(1990, 2, 28), "created_at": NOON, "visits": -(2**63)}
    row |= {"accepts_email": True, "accepts_sms": False}
    add(connection, CUSTOMERS, row)

    assert get(connection, CUSTOMERS, row["customer_id"]) == row
    assert find(connection, CUSTOMERS, {"nickname": row["nickname"]}) == [row]


def test_a_time_comes_back_in_utc(connection):
    """Whatever zone it was handed over in."""
    here = NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))
    add(connection, CUSTOMERS, {"customer_id": "c1", "created_at": here})

    assert get(connection, CUSTOMERS, "c1")["created_at"].tzinfo is UTC
    assert ids(find(connection, CUSTOMERS, {"created_at": here})) == ["c1"]


def test_a_whole_shop_is_loaded(connection):
    """Every table of the made-up shop, parents first, straight from Arrow."""
    made, seen = practice.made_up(60), []
    shop = [name for name in TABLES if name in made.tables]
    for name in shop:
        read = made.table(name)
        if name == "customers":
            read = read.drop_columns(["email", "note"])
        load(connection, TABLES[name], [read], progress=lambda *at: seen.append(at))
        found = find(connection, TABLES[name], {}, columns=read.column_names)
        assert found == read.sort_by(read.column_names[0]).to_pylist()

    assert seen == [(made.table(name).num_rows, None) for name in shop]


def test_batches_of_every_shape(connection):
    """Arrow, columns and rows; a column that one of them lacks stays empty."""
    names = pa.table({"customer_id": ["c1", "c2"], "first_name": ["Ana", None]})
    added = load(
        connection,
        CUSTOMERS,
        [
            names,
            names.set_column(0, "customer_id", pa.array(["c3", "c4"])).to_batches()[0],
            {"customer_id": ("c5",), "visits": [3]},
            [{"customer_id": "c6"}, {"customer_id": "c7", "visits": 4}],
            [],
            {"customer_id": []},
            names.slice(0, 0),
        ],
    )

    assert added == 7
    assert ids(find(connection, CUSTOMERS, {})) == [f"c{n}" for n in range(1, 8)]
    assert ids(find(connection, CUSTOMERS, {"visits": [3, 4]})) == ["c5", "c7"]


def test_a_time_beyond_the_calendar_in_arrow(connection):
    """A slip in an export; Python has no such day."""
    late = pa.array([2**62], pa.timestamp("us", tz="UTC"))
    with pytest.raises(BadRow, match="beyond the calendar"):
        load(connection, CUSTOMERS, [pa.table({"customer_id": ["c1"], "created_at": late})])


def test_large_batches_are_cut(connection, monkeypatch):
    """Only a part is in memory as Python objects, and progress is told after each."""
    monkeypatch.setattr(rows, "AT_ONCE", 2)
    table, told = pa.table({"customer_id": list("abcde")}), []
    load(connection, CUSTOMERS, [table], progress=lambda *at: told.append(at))
    more = [{"customer_id": letter} for letter in "fgh"]
    load(connection, CUSTOMERS, [more], progress=lambda *at: told.append(at))

    assert told == [(2, None), (4, None), (5, None), (2, None), (3, None)]


def test_one_bad_row_and_none_is_added(connection):
    """Half an import is worse than none; the connection goes on."""
    add(connection, CUSTOMERS, {"customer_id": "c0"})
    with pytest.raises(Exists):
        load(connection, CUSTOMERS, [[{"customer_id": f"c{n}"}] for n in (1, 2, 1)])
    with pytest.raises(BadRow, match="customers.visits, row 3: not a whole number"):
        load(
            connection,
            CUSTOMERS,
            [[{"customer_id": f"c{n}", "visits": 1}] for n in (1, 2)]
            + [[{"customer_id": "c3", "visits": SECRET}]],
        )
    add(connection, CUSTOMERS, {"customer_id": "c9"})

    assert ids(find(connection, CUSTOMERS, {})) == ["c0", "c9"]


def test_finding(connection):
    """By one value, by any of several, by an empty cell, by two columns, in order of the key."""
    load(connection, CUSTOMERS, [{
        "customer_id": ["c3", "C2", "c1", "ć4"],
        "first_name": ["Ana", "Ana", "Ben", None],
        "visits": [1, 2, 2, None],
    }])  # fmt: skip

    def found(**where):
        return ids(find(connection, CUSTOMERS, where))

    assert found() == ["C2", "c1", "c3", "ć4"]
    assert found(first_name="Ana") == ["C2", "c3"]
    assert found(first_name="Ana", visits=2) == ["C2"]
    assert found(first_name={"Ben", "Cem"}) == ["c1"]
    assert found(first_name=["Ben", None]) == ["c1", "ć4"]
    assert found(first_name=None) == ["ć4"]
    assert found(first_name=[]) == []
    assert ids(find(connection, CUSTOMERS, {}, limit=2)) == ["C2", "c1"]
    assert find(connection, CUSTOMERS, {"visits": 1}, columns=["visits"]) == [{"visits": 1}]


def test_finding_by_the_numbers_of_a_blind_index(connection):
    """Several rows share a number: all of them come, for the caller to unseal and compare."""
    sealed = [TOKEN + bytes([n]) for n in range(4)]
    load(connection, CUSTOMERS, [{
        "customer_id": list("abcd"),
        "email": sealed,
        "email_index": [7, 8, 7, 9],
        "email_index_key": [1, 1, 1, 2],
    }])  # fmt: skip
    found = find(connection, CUSTOMERS, {"email_index": [7, 9]}, columns=["customer_id", "email"])

    assert [(r["customer_id"], r["email"]) for r in found] == [
        ("a", sealed[0]), ("c", sealed[2]), ("d", sealed[3]),
    ]  # fmt: skip


def test_a_change_changes_only_what_it_names(connection):
    """And counts the version up."""
    add(connection, CUSTOMERS, {"customer_id": "c1", "first_name": "Ana", "visits": 1})
    add(connection, CUSTOMERS, {"customer_id": "c2", "first_name": "Ben", "visits": 1})
    change(connection, CUSTOMERS, "c1", {"visits": 2, "note": TOKEN}, version=1)
    change(connection, CUSTOMERS, "c1", {"note": None}, version=2)
    row = get(connection, CUSTOMERS, "c1")

    assert [row[n] for n in ("first_name", "visits", "note", "version")] == ["Ana", 2, None, 3]
    assert get(connection, CUSTOMERS, "c2")["visits"] == 1


def test_a_colleagues_change_is_not_lost(connection):
    """Two have the same customer on the screen; the second to save is told to look again."""
    add(connection, CUSTOMERS, {"customer_id": SECRET, "visits": 1})
    change(connection, CUSTOMERS, SECRET, {"visits": 2}, version=1)

    with pytest.raises(Conflict, match="customers: somebody changed this row") as caught:
        change(connection, CUSTOMERS, SECRET, {"visits": 7}, version=1)
    with pytest.raises(Conflict):
        delete(connection, CUSTOMERS, SECRET, version=1)
    assert SECRET not in str(caught.value)
    assert get(connection, CUSTOMERS, SECRET)["visits"] == 2
    delete(connection, CUSTOMERS, SECRET, version=2)


def test_a_table_without_versions_is_changed_without(connection):
    """A record of a request is closed by whoever answers it."""
    add(connection, SALES, {"sale_id": "s1", "net_cents": 100})
    change(connection, SALES, "s1", {"net_cents": 90})

    assert get(connection, SALES, "s1")["net_cents"] == 90


def test_many_rows_are_changed_at_once(connection):
    """Each gets its own values, its version counts up, and the others stay."""
    load(connection, CUSTOMERS, [{"customer_id": list("abc"), "visits": [1, 2, 3]}])
    values = {"visits": [10, None], "note": [TOKEN, None], "birthday": [date(1990, 2, 28)] * 2}
    change_many(connection, CUSTOMERS, ["a", "c"], values, versions=[1, 1])
    change_many(connection, CUSTOMERS, ["c"], {"created_at": [NOON]}, versions=[2])
    change_many(connection, CUSTOMERS, [], {"visits": []}, versions=[])
    shown = ["customer_id", "visits", "note", "created_at", "version"]
    found = find(connection, CUSTOMERS, {}, columns=shown)

    assert [tuple(row.values()) for row in found] == [
        ("a", 10, TOKEN, None, 2), ("b", 2, None, None, 1), ("c", None, None, NOON, 3),
    ]  # fmt: skip


def test_many_rows_of_a_key_of_several_columns_and_no_version(connection):
    """Named by tuples, as everywhere."""
    row = {"source": "square", "kind": "customer", "table_name": "customers", "at": NOON}
    for number in "12":
        add(connection, IMPORTED, row | {"vendor_id": number, "row_id": "c", "file_sha256": "00"})
    keys = [("square", "customer", "2"), ("square", "customer", "1")]
    change_many(connection, IMPORTED, keys, {"row_id": ["c2", "c1"]})

    assert [r["row_id"] for r in find(connection, IMPORTED, {})] == ["c1", "c2"]


@pytest.mark.parametrize(
    ("keys", "changes", "versions", "error", "said"),
    [
        pytest.param("ab", {"visits": [7, 8]}, [1, 9], Conflict, "somebody", id="changed since"),
        pytest.param("aa", {"visits": [7, 8]}, [1, 1], Conflict, "somebody", id="named twice"),
        pytest.param("az", {"visits": [7, 8]}, [1, 1], NotThere, "no row", id="not there"),
        pytest.param("ab", {"visits": [7, SECRET]}, [1, 1], BadRow, "row 2: not a", id="type"),
        pytest.param("ab", {"email": [TOKEN, SECRET.encode()]}, [1, 1], BadRow, "not a token",
                     id="not sealed"),
        pytest.param("ab", {"visits": [7]}, [1, 1], BadRow, "differ in number", id="cut"),
        pytest.param("ab", {"visits": [7, 8]}, [1], BadRow, "differ in number", id="versions cut"),
        pytest.param("ab", {"visits": [7, 8]}, [1, None], BadRow, "version, row 2: may not",
                     id="no version"),
        pytest.param(["a", None], {"visits": [7, 8]}, [1, 1], BadRow, "the key is", id="no key"),
    ],
)  # fmt: skip
def test_one_bad_change_and_none_is_made(connection, keys, changes, versions, error, said):
    """Half of a list changed is worse than none."""
    load(connection, CUSTOMERS, [{"customer_id": list("ab"), "visits": [1, 2]}])
    with pytest.raises(error, match=said) as caught:
        change_many(connection, CUSTOMERS, [*keys], changes, versions=versions)

    assert SECRET not in "".join(traceback.format_exception_only(caught.value))
    found = find(connection, CUSTOMERS, {})
    assert [(row["visits"], row["version"]) for row in found] == [(1, 1), (2, 1)]


def test_deleting_follows_the_links(connection):
    """What hangs on a customer goes; the sale stays, with its total and no customer."""
    add(connection, CUSTOMERS, {"customer_id": "c1"})
    add(connection, TABLES["addresses"], {"address_id": "a1", "customer_id": "c1"})
    add(connection, SALES, {"sale_id": "s1", "customer_id": "c1", "net_cents": 100})
    delete(connection, CUSTOMERS, "c1")

    assert find(connection, TABLES["addresses"], {}) == []
    assert get(connection, SALES, "s1")["customer_id"] is None
    assert get(connection, SALES, "s1")["net_cents"] == 100


def test_a_product_that_was_sold_stays(connection):
    """Or the receipt would name nothing."""
    add(connection, PRODUCTS, {"product_id": "p1"})
    add(connection, SALES, {"sale_id": "s1"})
    add(connection, LINES, {"line_id": "l1", "sale_id": "s1", "product_id": "p1"})

    with pytest.raises(InUse, match="products: other rows name this one"):
        delete(connection, PRODUCTS, "p1")
    assert get(connection, PRODUCTS, "p1")["version"] == 1


def test_a_key_of_several_columns(connection):
    """A vendor's number is known by the vendor, the kind and the number together."""
    row = {"source": "square", "kind": "customer", "vendor_id": "1", "table_name": "customers"}
    add(connection, IMPORTED, row | {"row_id": "c1", "file_sha256": "00", "at": NOON})

    assert get(connection, IMPORTED, ("square", "customer", "1"))["row_id"] == "c1"
    with pytest.raises(BadRow, match="the key is source, kind, vendor_id"):
        get(connection, IMPORTED, "square")
    delete(connection, IMPORTED, ("square", "customer", "1"))


@pytest.mark.parametrize(
    ("work", "error", "said"),
    [
        pytest.param(lambda c: get(c, CUSTOMERS, SECRET), NotThere, "no row with this", id="get"),
        pytest.param(lambda c: delete(c, SALES, SECRET), NotThere, "was it deleted", id="delete"),
        pytest.param(
            lambda c: change(c, CUSTOMERS, SECRET, {"visits": 1}, version=1),
            NotThere, "no row", id="change what is not there",
        ),
        pytest.param(
            lambda c: add(c, CUSTOMERS, {"customer_id": "old", "first_name": SECRET}),
            Exists, "customers: a row with this key", id="add twice",
        ),
        pytest.param(
            lambda c: add(c, SALES, {"sale_id": "s1", "customer_id": SECRET}),
            BadRow, "sales: a row that it names is not there", id="sale of nobody",
        ),
        pytest.param(
            lambda c: change(c, SALES, "old", {"customer_id": SECRET}),
            BadRow, "that it names is not there", id="given to nobody",
        ),
        pytest.param(
            lambda c: change(c, CUSTOMERS, "old", {"visits": SECRET}, version=1),
            BadRow, "customers.visits: not a whole number", id="change to another type",
        ),
        pytest.param(
            lambda c: change(c, CUSTOMERS, "old", {"customer_id": SECRET}, version=1),
            BadRow, "cannot be changed", id="another key",
        ),
        pytest.param(
            lambda c: change(c, CUSTOMERS, "old", {"version": 9}, version=1),
            BadRow, "cannot be changed", id="another version",
        ),
        pytest.param(
            lambda c: change(c, CUSTOMERS, "old", {"visits": 1}),
            BadRow, "hand over the version", id="no version",
        ),
        pytest.param(lambda c: change(c, SALES, "old", {}), BadRow, "nothing to", id="no change"),
        pytest.param(
            lambda c: change(c, CUSTOMERS, "old", {SECRET: 1}, version=1),
            BadRow, "no such column; it has customer_id, ", id="change a column too many",
        ),
        pytest.param(
            lambda c: find(c, CUSTOMERS, {SECRET: 1}), BadRow, "no such column", id="find by none"
        ),
        pytest.param(
            lambda c: find(c, CUSTOMERS, {"visits": SECRET}), BadRow, "not a whole", id="find text"
        ),
        pytest.param(
            lambda c: find(c, CUSTOMERS, {"visits": [*range(10_001)]}),
            BadRow, "more than 10,000 values; search in parts", id="find too many",
        ),
        pytest.param(lambda c: get(c, CUSTOMERS, 1), BadRow, "not text", id="key of a wrong type"),
        pytest.param(lambda c: get(c, CUSTOMERS, None), BadRow, "the key is", id="no key"),
        pytest.param(
            lambda c: add(c, CUSTOMERS, {"first_name": SECRET}),
            BadRow, "customer_id is needed", id="row without key",
        ),
        pytest.param(
            lambda c: load(c, CUSTOMERS, [{"customer_id": [SECRET], "visits": [1, 2]}]),
            BadRow, "differ in length", id="columns of two lengths",
        ),
        pytest.param(
            lambda c: add(c, LINES, {"line_id": SECRET, "sale_id": None}),
            BadRow, "lines.sale_id, row 1: may not be empty", id="empty where needed",
        ),
    ],
)  # fmt: skip
def test_refuses(connection, work, error, said):
    """Each way to hold it wrong has its error, none leaks, and the connection goes on."""
    add(connection, CUSTOMERS, {"customer_id": "old"})
    add(connection, SALES, {"sale_id": "old"})
    with pytest.raises(error, match=said) as caught:
        work(connection)

    assert isinstance(caught.value, RowsError)
    assert SECRET not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert ids(find(connection, CUSTOMERS, {})) == ["old"]


class Nowhere(tzinfo):
    """A zone that does not say how far from UTC it is."""

    def utcoffset(self, when):
        """Return nothing."""


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        pytest.param("email", SECRET, "not bytes", id="plain e-mail in a sealed column"),
        pytest.param("email", SECRET.encode() * 3, "not a token; seal", id="plain bytes there"),
        pytest.param("note", b"\x01" + SECRET.encode(), "not a token", id="too short for a token"),
        pytest.param("note", b"\x01" + bytes(2**20), "1,048,576 bytes", id="sealed megabyte"),
        pytest.param("nickname", SECRET + "\0", "NUL", id="NUL"),
        pytest.param("nickname", SECRET + "\ud83d", "half a character", id="half an emoji"),
        pytest.param("nickname", SECRET * 10**6, "more than 1,048,576 bytes", id="10 MB"),
        pytest.param("nickname", "é" * 2**19 + "x", "keep it as a file", id="one byte too many"),
        pytest.param("nickname", b"Ana", "not text", id="bytes for text"),
        pytest.param("visits", 2**63, "more than 64 bits", id="too large"),
        pytest.param("visits", -(2**63) - 1, "more than 64 bits", id="too small"),
        pytest.param("visits", 1.0, "not a whole number", id="not whole"),
        pytest.param("visits", True, "not a whole number", id="flag for a number"),
        pytest.param("accepts_email", 1, "not True or False", id="number for a flag"),
        pytest.param("birthday", NOON, "not a date", id="time for a date"),
        pytest.param("birthday", "1990-02-28", "not a date", id="text for a date"),
        pytest.param("created_at", date(2026, 1, 1), "not a time", id="date for a time"),
        pytest.param("created_at", datetime(2026, 1, 1), "without its zone", id="naive"),  # noqa: DTZ001
        pytest.param("created_at", NOON.replace(tzinfo=Nowhere()), "its zone", id="no offset"),
        pytest.param("created_at", NOON.replace(year=9999), "calendar", id="end of time"),
        pytest.param("customer_id", "", "1 to 255 characters", id="empty key"),
        pytest.param("customer_id", SECRET * 26, "1 to 255 characters", id="long key"),
    ],
)  # fmt: skip
def test_refuses_a_value(connection, column, value, said):
    """Before the database sees it, and never repeating it."""
    row = {"customer_id": "c1"} | {column: value}
    with pytest.raises(BadRow, match=said) as caught:
        load(connection, CUSTOMERS, [[row]])

    assert str(caught.value).startswith(f"customers.{column}, row 1: ")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("nickname", "é" * 2**19),
        ("note", b"\x01" + bytes(2**20 - 1)),
        ("customer_id", "é" * 255),
        ("created_at", datetime(2, 1, 1, tzinfo=UTC)),
        ("visits", 2**63 - 1),
    ],
)
def test_takes_the_largest_value(connection, column, value):
    """The bounds are where they are said to be, in both databases."""
    add(connection, CUSTOMERS, {"customer_id": "c1"} | {column: value})

    assert find(connection, CUSTOMERS, {}, columns=[column]) == [{column: value}]


def test_what_only_the_database_can_refuse_is_in_words(connection):
    """A rule that somebody added to a table speaks through the same error."""
    metadata = sa.MetaData()
    table = sa.Table(
        "prices",
        metadata,
        sa.Column("price_id", sa.Text, primary_key=True),
        sa.Column("cents", sa.BigInteger, sa.CheckConstraint("cents > 0")),
        sa.Column("more", sa.JSON),  # of a type that is not looked at here
    )
    metadata.create_all(connection)
    add(connection, table, {"price_id": "p1", "cents": 1, "more": {"a": 1}})

    with pytest.raises(BadRow, match="does not fit"):
        add(connection, table, {"price_id": "p2", "cents": 0})
    assert get(connection, table, "p1")["more"] == {"a": 1}


def test_the_no_of_a_trigger_is_not_blamed_on_the_row(tmp_path):
    """It is passed on to whoever opened the database."""
    engine = store.connect(tmp_path / "shop.sqlite")
    store.create(engine, CUSTOMERS.metadata)
    with pytest.raises(store.ReadOnly), store.begin(engine) as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER never BEFORE INSERT ON sales BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        add(connection, SALES, {"sale_id": "s1"})
