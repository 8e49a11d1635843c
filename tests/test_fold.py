"""An export becomes tables: nothing doubled, nothing lost unseen, the same ids every time."""

from __future__ import annotations

import hashlib
import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import emit, files, fold, practice
from kit.inventory import Inventory

SALE = {"sales.sale_id": "S1", "lines.quantity": 1, "lines.net_cents": 500}


def stand_in(values):
    """Return short texts from which nobody reads the value."""
    return [None if v is None else hashlib.sha256(v.encode()).hexdigest()[:12] for v in values]


def folded(*rows, source="till"):
    """Fold rows given as dicts."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    table = pa.table({"#row": range(2, len(rows) + 2), **columns})
    return fold.fold(table, source=source, stand_in=stand_in)


def rows(result, table):
    """Return a table's rows."""
    return result.tables[table].to_pylist()


def test_one_sale_on_three_rows_is_one_sale_with_three_lines():
    """Equal lines stay two; the customer and the product stand once."""
    line = {**SALE, "customers.customer_id": "C9", "customers.name": "Ana", "products.sku": "42"}
    result = folded(line, line, {**line, "products.sku": "7", "lines.net_cents": 250})

    assert rows(result, "sales") == [
        {"sale_id": "till-S1", "customer_id": "till-C9", "net_cents": 1250}
    ]
    assert rows(result, "customers") == [{"customer_id": "till-C9", "name": "Ana"}]
    assert [r["product_id"] for r in rows(result, "products")] == ["till-sku-42", "till-sku-7"]
    assert [r["line_id"] for r in rows(result, "lines")] == [
        "till-S1-1", "till-S1-2", "till-S1-3",
    ]  # fmt: skip
    assert result.derived == {"sales": ("net_cents",)}
    assert result.left_out == ()


def test_what_the_sale_says_itself_is_kept():
    """A discount on the whole sale is in no line."""
    result = folded({**SALE, "sales.net_cents": 450})

    assert rows(result, "sales")[0]["net_cents"] == 450
    assert result.derived == {}


def test_lines_are_counted_per_sale_in_the_order_of_the_file():
    """Sales may be mixed; the numbers do not depend on it."""
    order = ["A", "B", "A", "C", "B", "A"]
    result = folded(*({**SALE, "sales.sale_id": name} for name in order))

    assert [r["line_id"] for r in rows(result, "lines")] == [
        "till-A-1", "till-B-1", "till-A-2", "till-C-1", "till-B-2", "till-A-3",
    ]  # fmt: skip


@given(st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=40))
@settings(max_examples=60)
def test_line_numbers_are_counted_as_by_hand(order):
    """For any mixture."""
    result = folded(*({**SALE, "sales.sale_id": name} for name in order))

    counts = {}
    for name, row in zip(order, rows(result, "lines"), strict=True):
        counts[name] = counts.get(name, 0) + 1
        assert row["line_id"] == f"till-{name}-{counts[name]}"
        assert row["sale_id"] == f"till-{name}"


def test_a_person_without_a_number_gets_a_stand_in():
    """An id travels far; it holds no e-mail address and no name."""
    result = folded(
        {"customers.email": "ana@example.com", "customers.name": "Ana", "employees.name": "Bo"}
    )

    key = rows(result, "customers")[0]["customer_id"]
    assert key.startswith("till-email-")
    assert "ana" not in key
    assert "Bo" not in rows(result, "employees")[0]["employee_id"]


def test_the_best_column_tells_rows_apart():
    """Each row takes the first that it has."""
    result = folded(
        {"products.product_id": "P1", "products.sku": "1"},
        {"products.product_id": None, "products.sku": "2"},
        {"products.product_id": " ", "products.sku": "3"},
    )

    assert [r["product_id"] for r in rows(result, "products")] == [
        "till-P1", "till-sku-2", "till-sku-3",
    ]  # fmt: skip


def test_the_first_value_counts_and_gaps_are_filled():
    """A name that stands on one row only is not lost."""
    result = folded(
        {"customers.customer_id": "C1", "customers.name": None, "customers.phone": "+12125550142"},
        {"customers.customer_id": "C1", "customers.name": "Ana", "customers.phone": None},
    )

    assert rows(result, "customers") == [
        {"customer_id": "till-C1", "name": "Ana", "phone": "+12125550142"}
    ]


def test_stock_is_added_up_over_the_stores():
    """The catalogue says it store by store, on rows that are otherwise alike."""
    result = folded(
        {"products.product_id": "P1", "products.opening_stock": 4, "stores.name": "North"},
        {"products.product_id": "P1", "products.opening_stock": 3, "stores.name": "South"},
    )
    alone = folded(
        {"products.product_id": "P1", "products.opening_stock": 4},
        {"products.product_id": "P1", "products.opening_stock": 4},
    )

    assert rows(result, "products")[0]["opening_stock"] == 7
    assert rows(alone, "products")[0]["opening_stock"] == 4


def test_what_could_not_be_known_again_is_counted():
    """A name alone is no customer: the next export would make a second one."""
    result = folded(
        {**SALE, "customers.name": "Ana", "addresses.city": "Here"},
        {**SALE, "customers.name": None, "addresses.city": None},
        {**SALE, "sales.sale_id": None, "customers.name": "Bo"},
    )

    told = {left.table: (left.rows, left.first) for left in result.left_out}
    assert told == {"customers": (2, 2), "addresses": (1, 2), "lines": (1, 4)}
    assert "customers" not in result.tables
    assert "no sale_id" in next(x.reason for x in result.left_out if x.table == "lines")


def test_payments_need_no_sale():
    """A card processor knows of payments only; a till's have their sale's number."""
    alone = folded({"payments.payment_id": "p1", "payments.amount_cents": 5})
    sold = folded({"sales.sale_id": "S1", "payments.method": "cash"})

    assert rows(alone, "payments") == [{"payment_id": "till-p1", "amount_cents": 5}]
    assert rows(sold, "payments")[0]["payment_id"] == "till-S1-1"


def test_rows_need_no_number():
    """A table from elsewhere may come without the column of row numbers."""
    flat = pa.table({"customers.name": ["Ana"], "unrelated": [1]})

    result = fold.fold(flat, source="till", stand_in=stand_in)

    assert result.left_out[0].first == 0


def test_an_unknown_table_is_refused():
    """A layout of somebody else's is not silently dropped."""
    with pytest.raises(fold.FoldError, match="planets"):
        folded({"planets.name": "x"})


def test_every_tills_export_folds_and_every_link_holds(tmp_path):
    """For each till: links point to rows that are there, and a shuffled file gives the same ids."""
    for till in dict.fromkeys(layout.split(".")[0] for layout in emit.layouts()):
        for path in practice.make_shop(tmp_path, 12, till=till):
            flat = files.read_export(
                path, inventory=Inventory.default(), time_zone="America/New_York"
            ).table
            result = fold.fold(flat, source=till, stand_in=stand_in)
            for name, table in result.tables.items():
                keys = table.column(fold.RULES[name].key).to_pylist()
                assert len(set(keys)) == len(keys)
                for link, to in fold.RULES[name].links.items():
                    if link in table.column_names:
                        known = (
                            result.tables[to].column(link).to_pylist()
                            if to in result.tables
                            else []
                        )
                        assert {x for x in table.column(link).to_pylist() if x} <= set(known)
            order = list(range(len(flat)))
            random.Random(1).shuffle(order)  # noqa: S311 (no secret)
            again = fold.fold(flat.take(order), source=till, stand_in=stand_in)
            for name in result.tables:
                key = fold.RULES[name].key
                assert set(again.tables[name].column(key).to_pylist()) == set(
                    result.tables[name].column(key).to_pylist()
                )


def test_no_value_of_a_person_is_in_an_id(tmp_path):
    """Ids stand in links, logs and file names."""
    for till in ("shopify", "woocommerce", "paypal"):
        for path in practice.make_shop(tmp_path, 30, till=till):
            flat = files.read_export(
                path, inventory=Inventory.default(), time_zone="America/New_York"
            ).table
            for name, table in fold.fold(flat, source=till, stand_in=stand_in).tables.items():
                assert not any("@" in key for key in table.column(fold.RULES[name].key).to_pylist())
