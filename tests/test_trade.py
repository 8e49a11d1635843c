"""Every sum, stock and balance of the made-up shop works out, or no lesson could check one."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import generate, people, trade

SIZES = [(1, "en_US"), (10, "de_DE"), (100, "ja_JP"), (1_000, "it_IT"), (10_000, "en_US")]
PARENTS = {  # column: the table whose first column it is
    "store_id": "stores",
    "employee_id": "employees",
    "category_id": "categories",
    "supplier_id": "suppliers",
    "product_id": "products",
    "customer_id": "customers",
    "sale_id": "sales",
    "line_id": "lines",
    "payment_id": "payments",
}
MONEY = ["gross_cents", "discount_cents", "net_cents", "tax_cents"]


def make(customers, seed=42, locale="en_US"):
    """Return all tables as data frames."""
    shop = generate.Shop(customers, parts=(people.People, trade.Trade), seed=seed, locale=locale)
    return {name: shop.table(name).to_pandas() for name in shop.tables} | {"zone": shop.time_zone}


@cache
def made(customers, locale="en_US"):
    """Return the same, made once."""
    return make(customers, locale=locale)


sizes = pytest.mark.parametrize(("customers", "locale"), SIZES)


def check_references(t):
    """Assert that every reference resolves, and every first column is unique."""
    for name, table in t.items():
        if name == "zone":
            continue
        assert table.iloc[:, 0].is_unique, name
        for column in set(table.columns[1:]) & set(PARENTS):
            known = t[PARENTS[column]][column]
            assert table[column].dropna().isin(known).all(), f"{name}.{column}"


def check_sums(t):
    """Assert that lines, sales and payments add up, and refunds stay within."""
    lines, sales, payments = t["lines"], t["sales"].set_index("sale_id"), t["payments"]
    sums = lines.groupby("sale_id")[MONEY].sum()
    paid = payments.groupby("sale_id")["amount_cents"].sum()

    pd.testing.assert_frame_equal(sums, sales[MONEY].sort_index())
    assert (
        sales["total_cents"] == sales["net_cents"] + sales["tax_cents"] + sales["tip_cents"]
    ).all()
    assert (paid.sort_index() == sales["total_cents"].sort_index()).all()
    assert (payments["amount_cents"] > 0).all()
    assert (lines["gross_cents"] == lines["quantity"] * lines["unit_price_cents"]).all()
    assert (lines["net_cents"] == lines["gross_cents"] - lines["discount_cents"]).all()
    assert (lines["tax_cents"] == (lines["net_cents"] * 825 + 5_000) // 10_000).all()
    prices = lines["product_id"].map(t["products"].set_index("product_id")["price_cents"])
    assert (lines["unit_price_cents"] == prices).all()
    numbers = lines.groupby("sale_id")["line_number"]
    assert (numbers.max() == numbers.count()).all() and (numbers.min() == 1).all()


def check_refunds(t):
    """Assert that no more comes back than was paid, later, for a line of that sale."""
    refunds = t["refunds"].merge(t["lines"], on="line_id", suffixes=("", "_line"))
    refunds = refunds.merge(t["payments"], on="payment_id", suffixes=("", "_payment"))

    assert len(refunds) == len(t["refunds"])
    assert (refunds["sale_id"] == refunds["sale_id_line"]).all()
    assert (refunds["sale_id"] == refunds["sale_id_payment"]).all()
    assert (refunds["amount_cents"] <= refunds["net_cents"] + refunds["tax_cents"]).all()
    assert (refunds["amount_cents"] <= refunds["amount_cents_payment"]).all()
    assert (refunds["refunded_at"] > refunds["paid_at"]).all()
    assert (refunds["refunded_at"] < pd.Timestamp("2026-07-02", tz="UTC")).all()


def check_loyalty(t):
    """Assert that no balance was ever below zero, and points belong to the buyer of the sale."""
    ledger = t["loyalty"]
    assert ledger.empty == t["sales"]["customer_id"].isna().all()
    if ledger.empty:
        return
    assert (ledger.groupby("customer_id")["points"].cumsum() >= 0).all()
    assert ((ledger["points"] > 0) == (ledger["kind"] == "earn")).all()
    sale = t["sales"].set_index("sale_id").loc[ledger["sale_id"]]
    assert (sale["customer_id"].to_numpy() == ledger["customer_id"].to_numpy()).all()
    assert (sale["sold_at"].to_numpy() == ledger["happened_at"].to_numpy()).all()
    times = ledger.groupby("customer_id")["happened_at"]
    assert times.is_monotonic_increasing.all()
    named = t["sales"].dropna(subset="customer_id")
    earned = ledger[ledger["kind"] == "earn"].set_index("sale_id")["points"]
    expected = (named.set_index("sale_id")["net_cents"] // 100).pipe(lambda s: s[s > 0])
    assert earned.sort_index().equals(expected.sort_index())


def check_stock(t):
    """Assert that no shelf ever held fewer than nothing, and moves are those of the sales."""
    moves = t["stock_moves"].sort_values("moved_at", kind="stable")
    opening = moves["product_id"].map(t["products"].set_index("product_id")["opening_stock"])
    level = moves.groupby(["store_id", "product_id"])["quantity"].cumsum() + opening
    assert (level >= 0).all()
    sold = moves[moves["kind"] == "sale"]
    assert -sold["quantity"].sum() == t["lines"]["quantity"].sum()
    assert len(sold) == len(t["lines"])
    assert (moves["kind"] == "return").sum() == len(t["refunds"])
    store = sold["sale_id"].map(t["sales"].set_index("sale_id")["store_id"])
    assert (store == sold["store_id"]).all()
    signs = moves.groupby("kind")["quantity"].agg(["min", "max"])
    assert signs.loc["sale", "max"] < 0
    assert signs.loc["delivery", "min"] > 0


def check_times(t):
    """Assert that sales happen while the shop is open, by somebody on shift, to somebody known."""
    zone = ZoneInfo(t["zone"])
    sales = t["sales"]
    assert sales["sold_at"].is_monotonic_increasing
    local = sales["sold_at"].dt.tz_convert(zone)
    assert local.dt.hour.between(8, 20).all()
    assert local.min() >= pd.Timestamp("2024-07-01", tz=zone)
    assert local.max() < pd.Timestamp("2026-07-01", tz=zone)
    assert not local.dt.strftime("%m-%d").isin(["01-01", "12-25"]).any()
    shifts = t["shifts"].sort_values("starts_at")
    found = pd.merge_asof(
        sales, shifts, left_on="sold_at", right_on="starts_at", by=["employee_id", "store_id"]
    )
    assert (found["sold_at"] < found["ends_at"]).all()
    known = sales.dropna(subset="customer_id")
    created = known["customer_id"].map(t["customers"].set_index("customer_id")["created_at"])
    assert (created < known["sold_at"]).all()
    hired = pd.to_datetime(t["employees"]["hired_on"])
    assert hired.max() < pd.Timestamp("2024-07-01")


CHECKS = [check_references, check_sums, check_refunds, check_loyalty, check_stock, check_times]


@sizes
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_the_books_are_in_order(check, customers, locale):
    """A shop of any size and country can be checked by a learner, and nothing is wrong with it."""
    check(made(customers, locale))


@settings(max_examples=5, deadline=None)
@given(customers=st.integers(1, 30), seed=st.integers(0, 2**63 - 1))
def test_the_books_are_in_order_for_any_seed(customers, seed):
    """Not one lucky seed, but all."""
    tables = make(customers, seed, "ja_JP")
    for check in CHECKS:
        check(tables)


def test_the_second_hour_of_clock_changes_is_no_shop_hour():
    """Opening hours hold in local time, in summer and in winter."""
    sold = made(1_000, "it_IT")["sales"]["sold_at"].dt.tz_convert("Europe/Rome")

    assert set(sold.dt.hour) == set(range(8, 21))
    assert len({moment.utcoffset() for moment in sold}) == 2


def test_no_card_number_is_anywhere():
    """Brand, last four and a token of letters: what a till may show."""
    payments = made(1_000, "it_IT")["payments"]
    cards = payments[payments["method"] == "card"]
    cash = payments[payments["method"] == "cash"]

    assert cards["card_token"].str.fullmatch("tok_[a-p]{16}").all()
    assert cards["card_last4"].str.fullmatch(r"\d{4}").all()
    assert set(cards["card_brand"]) == {"visa", "mastercard", "amex", "discover"}
    assert cash[["card_brand", "card_last4", "card_token"]].isna().all(axis=None)
    assert cards["card_token"].duplicated().any()  # people use the same card again


def test_barcodes_are_for_use_inside_a_shop():
    """No made-up product has the barcode of a real one."""
    codes = made(10, "de_DE")["products"]["barcode"]

    assert codes.is_unique
    assert codes.str.fullmatch(r"200\d{10}").all()
    for code in codes:
        assert sum(int(d) * (1 + 2 * (n % 2)) for n, d in enumerate(code)) % 10 == 0


def test_customers_buy_as_often_as_in_life():
    """Targets: one-time buyers 34 %, top tenth 43 %, top hundredth 13 %, 99th percentile 30."""
    bought = made(10_000)["sales"]["customer_id"]
    visits = bought.value_counts().to_numpy()

    assert abs(bought.isna().mean() - 0.45) < 0.01
    assert abs((visits == 1).mean() - 0.344) < 0.03
    assert abs(visits[: len(visits) // 10].sum() / visits.sum() - 0.433) < 0.03
    assert abs(visits[: len(visits) // 100].sum() / visits.sum() - 0.131) < 0.03
    assert abs(np.percentile(visits, 99) - 30) <= 4
    assert abs(visits.mean() - 4.27) < 0.4
    assert np.median(visits) == 2


def test_baskets_and_days_are_as_in_life():
    """2.8 lines a sale, Saturdays busiest, a peak before Christmas, 3 to 8 % returns."""
    t = made(10_000)
    sold = t["sales"]["sold_at"].dt.tz_convert("America/New_York")
    per_weekday = sold.dt.day_of_week.value_counts()

    assert abs(len(t["lines"]) / len(sold) - 2.77) < 0.05
    assert per_weekday.idxmax() == 5
    assert per_weekday.idxmin() in (0, 1)
    days = sold.dt.strftime("%m-%d").value_counts()
    assert days["12-20"] > 1.8 * days["12-03"]
    assert 0.03 < len(t["refunds"]) / len(sold) < 0.08
    assert abs((t["lines"]["discount_cents"] > 0).mean() - 0.10) < 0.01


def test_some_products_are_bought_together():
    """A basket has a reason, so that a lesson on trends finds pairs with lift above 1."""
    t = made(10_000)
    lines = (
        t["lines"].merge(t["products"], on="product_id").merge(t["categories"], on="category_id")
    )
    has = pd.crosstab(lines["sale_id"], lines["name_y"]).astype(bool)
    seeds, tools = has["Seeds and bulbs"], has["Garden tools"]

    assert (seeds & tools).mean() / (seeds.mean() * tools.mean()) > 1.3


def test_deliveries_come_before_the_shop_opens():
    """Stock is there before the first sale of the week."""
    t = made(100, "ja_JP")
    moves = t["stock_moves"]
    local = moves[moves["kind"] == "delivery"]["moved_at"].dt.tz_convert("Asia/Tokyo")

    assert (local.dt.day_of_week == 0).all()
    assert (local.dt.time == time(6)).all()


def test_nothing_happens_after_the_last_day():
    """The shop ends on a fixed day, so that next year's run gives the same values."""
    end = datetime(2026, 7, 1, tzinfo=UTC) + timedelta(days=1)
    for name, table in made(1_000, "it_IT").items():
        for column in () if name == "zone" else table.columns:
            if column.endswith("_at"):
                assert (table[column].dropna() < end).all(), f"{name}.{column}"


def test_loyalty_points_are_really_spent():
    """A ledger without a single redemption would prove nothing."""
    kinds = made(10_000)["loyalty"]["kind"].value_counts()

    assert kinds["redeem"] > 500


def test_names_written_twice_are_the_same():
    """The three files share a few numbers; each holds its own."""
    assert people.STAFF == trade.STAFF
    assert people.NULL == trade.NULL == generate.NULL
