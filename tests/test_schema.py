"""The database has a place for what the inventory names, and for nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from kit import practice, schema, store
from kit.inventory import Inventory
from kit.schema import SchemaError, metadata

DEFAULT = {name: field.protect for name, field in Inventory.default().fields.items()}
NOON = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
SMALL = """
format = 1
[customers]
key = "customer_id"
[customers.columns]
customer_id = "text"
email = "text"
[sales]
key = "sale_id"
[sales.columns]
sale_id = "text"
customer_id = "text"
[sales.links]
customer_id = ["customers", "unlink"]
"""


def columns(protect, table):
    """Return the names of a table's columns."""
    return metadata(protect).tables[table].c.keys()


def test_every_field_of_the_made_up_shop_has_a_place():
    """What the generator makes can be loaded as it is."""
    made, tables = practice.made_up(50), metadata(DEFAULT).tables

    for name in made.tables:
        assert set(made.schema(name).names) <= set(tables[name].c.keys())


def test_every_field_of_the_inventory_has_a_place():
    """What a till's export brings has one too."""
    tables = metadata(DEFAULT).tables
    lost = [f for f in DEFAULT if f.split(".")[1] not in tables[f.split(".")[0]].c]

    assert lost == []


def test_a_column_that_nobody_wrote_down_is_left_out():
    """Delete a field from the inventory, and there is no place to keep it."""
    without = {field: p for field, p in DEFAULT.items() if field != "customers.birthday"}

    assert "birthday" in columns(DEFAULT, "customers")
    assert "birthday" not in columns(without, "customers")


def test_keys_stay_whatever_the_inventory_says():
    """Rows must still find each other."""
    assert columns({}, "sales") == ["sale_id", "store_id", "employee_id", "customer_id"]
    assert columns({}, "customers") == ["customer_id", "version"]


def test_a_sealed_column_is_bytes_whatever_its_type():
    """A birthday under seal is a token, not a date."""
    table = metadata({"customers.birthday": "seal", "customers.visits": "open"}).tables["customers"]

    assert table.c.birthday.type.python_type is bytes
    assert table.c.birthday.info == {"protect": "seal"}
    assert table.c.visits.type.python_type is int


def test_text_sorts_by_its_bytes_on_postgresql():
    """As on SQLite: the same list in the same order, whatever the server's language."""
    table = metadata({"customers.last_name": "open"}).tables["customers"]
    dialect = postgresql.dialect()

    assert table.c.last_name.type.compile(dialect) == 'TEXT COLLATE "C"'
    assert table.c.customer_id.type.compile(dialect) == 'TEXT COLLATE "C"'


def test_every_type_says_what_it_is_in_python():
    """So that a row can be checked before the database sees it."""
    kinds = {name: kind.python_type for name, kind in schema.TYPES.items()}

    assert kinds == {
        "text": str,
        "integer": int,
        "boolean": bool,
        "date": date,
        "timestamp": datetime,
    }


def test_an_indexed_column_gets_its_number_and_the_number_of_the_key():
    """An e-mail is found again, also while keys change."""
    table = metadata({"customers.email": "seal and index"}).tables["customers"]

    assert table.c.keys() == ["customer_id", "email", "email_index", "email_index_key", "version"]
    assert {c.name for index in table.indexes for c in index.columns} == {"email_index"}


def test_tables_stand_parents_first():
    """In this order they can be loaded."""
    seen = set()
    for table in metadata(DEFAULT).tables.values():
        assert {key.column.table.name for key in table.foreign_keys} <= seen
        seen.add(table.name)


def test_links_that_are_followed_are_indexed():
    """Deleting one customer does not read all sales; stores and products go too seldom."""
    tables = metadata(DEFAULT).tables
    indexed = {column.name for index in tables["sales"].indexes for column in index.columns}

    assert indexed == {"customer_id", "employee_id"}
    assert [index.name for index in tables["lines"].indexes] == ["ix_lines_sale_id"]


def test_sales_and_records_of_requests_outlive_their_customer():
    """The books keep their totals, and the shop its proof of having answered."""
    rules = {
        (table.name, key.parent.name): key.ondelete
        for table in metadata(DEFAULT).tables.values()
        for key in table.foreign_keys
    }

    assert rules["sales", "customer_id"] == "SET NULL"
    assert rules["privacy_requests", "customer_id"] == "SET NULL"
    assert rules["addresses", "customer_id"] == "CASCADE"
    assert rules["lines", "product_id"] == "RESTRICT"


def test_what_people_edit_has_a_version():
    """Two of them at once are noticed; a sale is never edited."""
    tables = metadata(DEFAULT).tables

    assert {name for name, table in tables.items() if "version" in table.c} == {
        "customers",
        "addresses",
        "products",
        "employees",
        "suppliers",
    }


def test_sqlite_checks_types(tmp_path):
    """A word does not slip into a column of numbers, whoever writes it."""
    engine = store.connect(tmp_path / "shop.sqlite")
    store.create(engine, metadata(DEFAULT))

    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as plain:
        with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT"):
            plain.execute("INSERT INTO sales (sale_id, net_cents) VALUES ('s1', 'ten')")
        kinds = plain.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'")
        assert {strict for name, strict in kinds if not name.startswith("sqlite_")} == {1}


ZONES = st.timedeltas(timedelta(hours=-14), timedelta(hours=14)).map(
    lambda gap: timezone(timedelta(minutes=gap // timedelta(minutes=1)))
)
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=ZONES)  # noqa: DTZ001


def test_types_come_back_as_they_were(database):
    """A date is a date, a flag a flag, and a time is in UTC, from both databases."""
    tables = metadata(DEFAULT | {"customers.birthday": "open"}).tables
    engine = store.connect(database)
    store.create(engine, tables["customers"].metadata)
    here = timezone(timedelta(hours=-5))
    row = {
        "customer_id": "c1",
        "first_name": "Zoë 🌷",
        "last_name": "",
        "birthday": date(1, 1, 1),
        "accepts_email": False,
        "accepts_sms": None,
        "spent_cents": -(2**63),
        "visits": 2**63 - 1,
        "created_at": NOON.astimezone(here),
        "last_active_at": None,
    }
    with store.begin(engine) as connection:
        connection.execute(sa.insert(tables["customers"]).values(row))
        found = connection.execute(sa.select(tables["customers"])).mappings().one()

    assert {name: found[name] for name in row} == row
    assert {name: type(found[name]) for name in row} == {n: type(v) for n, v in row.items()}
    assert found["created_at"].tzinfo is UTC
    assert found["version"] == 1


@given(one=MOMENTS, two=MOMENTS)
def test_times_on_sqlite_sort_as_text(one, two):
    """The last purchase is the last also where the database knows no times."""
    dialect, moment = sa.create_engine("sqlite://").dialect, schema.Moment()
    texts = [moment.process_bind_param(value, dialect) for value in (one, two)]

    assert (texts[0] < texts[1]) == (one < two)
    assert [moment.process_result_value(text, dialect) for text in texts] == [one, two]


def test_a_time_without_its_zone_is_refused():
    """Nine o'clock where?"""
    with pytest.raises(SchemaError, match="without a zone"):
        schema.Moment().process_bind_param(datetime(2026, 1, 1), None)  # noqa: DTZ001


@pytest.mark.parametrize("kind", [schema.Day(), schema.Moment()])
def test_a_damaged_date_is_not_repeated(kind):
    """What stands there instead may be anything, also a name."""
    with pytest.raises(SchemaError) as caught:
        kind.process_result_value("Ana Example", sa.create_engine("sqlite://").dialect)

    assert "Ana" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("protect", "said"),
    [
        pytest.param({"customers.email": "hide"}, "email: a protection is one of", id="unknown"),
        pytest.param({"customers.customer_id": "seal"}, "cannot be sealed", id="sealed key"),
        pytest.param({"sales.customer_id": "seal and index"}, "cannot be sealed", id="sealed link"),
    ],
)
def test_refuses_a_protection(protect, said):
    """Every way to protect it wrong is named before there is a database."""
    with pytest.raises(SchemaError, match=said):
        metadata(protect)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("format = 1", "format = 2", "not of format 1", id="newer"),
        pytest.param("format = 1", "", "not of format 1", id="no format"),
        pytest.param('key = "sale_id"', "", "sales: cannot use 'key'", id="no key"),
        pytest.param('key = "sale_id"', 'key = "id"', "id: it is not among", id="unknown key"),
        pytest.param('email = "text"', 'email = "mail"', "'mail'", id="unknown type"),
        pytest.param('email = "text"', '"e.mail" = "text"', "the name e.mail", id="dot in a name"),
        pytest.param("[sales", "[kit_sales", "the name kit_sales", id="name of the kit's own"),
        pytest.param('"unlink"', '"forget"', "'forget'", id="unknown rule"),
        pytest.param('["customers",', '["people",', "'people'", id="unknown parent"),
        pytest.param('["customers", "unlink"]', '"customers"', "too many values", id="no rule"),
        pytest.param("[sales.links]", "[sales.links]\nx = 1", "x: it is not", id="unknown link"),
    ],
)
def test_refuses_a_faulty_file(tmp_path, old, new, said):
    """Who makes tables of their own is told the table and the word."""
    path = tmp_path / "tables.toml"
    path.write_text(SMALL.replace(old, new), encoding="utf-8")

    with pytest.raises(SchemaError, match=said):
        metadata({"customers.email": "open"}, path=path)


def test_another_shops_tables(tmp_path):
    """A file of one's own is enough."""
    path = tmp_path / "tables.toml"
    path.write_text(SMALL, encoding="utf-8")
    tables = metadata({}, path=path).tables

    assert list(tables) == ["customers", "sales", "kit_imported", "kit_meta"]


def test_the_file_says_what_its_words_mean():
    """Each key that is used stands in the docstring."""
    words = Path(schema.DATA).read_text(encoding="utf-8")

    for word in ("key", "versioned", "needed", "unlink", "columns", "links"):
        assert word in words
        assert word in schema.__doc__
