# SPDX-License-Identifier: MIT-0
"""Make up what a shop buys and sells, so that every sum, stock and balance works out.

Copy: ``kit copy generate people trade --into DIR``, or take these files as they are.
Needs: Python 3.11, numpy, pyarrow. Nothing else from this kit.
Data: none.

Hand `Trade` to ``generate.Shop`` as one of its parts. It makes categories, products, shifts, sales,
lines, payments, refunds, stock moves and the loyalty ledger: each maker takes row numbers and
returns columns of whole numbers, which the shop writes as text and times.

A sale is known from its number alone: sales are shared out to days, so their numbers run with time,
and the buyer is picked by weight among the customers who had signed up before that day (they are
numbered in the order of signing up). Line k of sale s is drawn at row 16 s + k.

Two things are sums over all sales, and the first use of them makes one pass (a second per million
lines): points, of which a sale spends only what earlier sales earned, and deliveries, which bring
every Monday at least what that store will sell that week. So no balance and no stock can go below
zero, whatever the seed.

Simpler than life: one tax rate, prices that never change, and a sale paid partly in cash and partly
by card is never refunded. Tips are part of a sale's total, not of its lines.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Columns = dict[str, Any]  # whole numbers, or Arrow text, one array per column

NULL = int(np.iinfo(np.int64).min)  # stands for "no value"; same as in generate.py
STAFF = 3  # people in each store: early, then late, then a day off; same as in people.py
MORNING, HANDOVER, NIGHT = 27_900, 52_200, 76_500  # shifts change at 7:45, 14:30 and 21:15
LINES = 16  # line numbers kept for each sale
CHUNK = 65_536  # sales summed at a time
REWARD = 500  # points are spent in steps of this many
COUNT_WEEKS = 13  # stock is counted every quarter
DELIVERY, COUNT, SALE, RETURN = range(4)  # kinds of stock moves, as in shop_data/products.toml
MONEY = ("gross_cents", "discount_cents", "net_cents", "tax_cents")


class Chooser(Protocol):
    """Chooses by weight; see ``generate.Weighted``."""

    before: Ints

    def at(self, place: Ints) -> Ints:
        """Return the item that holds each place."""


class Drawing(Protocol):
    """What is used of the shop: its size, its days, its lists, and draws by column and row."""

    customers: int
    stores: int
    sales: int
    law: dict[str, Any]
    goods: dict[str, Any]
    lists: dict[str, Any]
    first_day: int
    open: Flags

    def below(self, column: str, rows: Ints, n: int | Ints) -> Ints:
        """Draw a number below *n* for each row."""

    def u(self, column: str, rows: Ints) -> NDArray[np.uint64]:
        """Return 64 random bits for each row."""

    def share(self, name: str, rows: Ints) -> Flags:
        """Flag a share of the rows."""

    def pick(self, name: str, column: str, rows: Ints) -> Ints:
        """Draw by weight."""

    def weighted(self, weights: Ints) -> Chooser:
        """Return a chooser by weight."""

    def scaled(self, weights: Ints, total: int) -> Ints:
        """Scale weights to sum to *total*."""

    def lognormal(self, mean: str, sigma: str) -> Ints:
        """Return 1,024 equally likely values, in millionths."""

    def spread(self, rows: int, since: int = 0) -> Ints:
        """Share rows out to days."""

    def moment(self, column: str, first: Ints, rows: Ints) -> tuple[Ints, Ints]:
        """Return day and second of spread rows."""

    def utc(self, day: Ints, second: Ints | int) -> Ints:
        """Return microseconds since 1970."""


def each(sizes: Ints) -> tuple[Ints, Ints]:
    """Return parent and place of every child: sizes 2, 1 give (0, 0), (0, 1), (1, 0)."""
    parent = np.repeat(np.arange(len(sizes)), sizes)
    return parent, np.arange(len(parent)) - (np.cumsum(sizes) - sizes)[parent]


def barcode(number: int) -> str:
    """Return an EAN-13 from the range 200, which shops use inside and nobody is ever given."""
    digits = f"200{number:09d}"
    return digits + str(-sum(int(d) * (1 + n % 2 * 2) for n, d in enumerate(digits)) % 10)


class _Sums(NamedTuple):
    order: Ints  # sales by customer, then by time
    begin: Ints  # where each customer's begin in it
    points: Ints  # per sale
    pieces: Ints  # sold up to the end of each week, by store and product


class Trade:
    """The trade of a shop; see the module's first lines."""

    def __init__(self, shop: Drawing) -> None:
        self._shop = shop
        shifts = (len(shop.open) - shop.first_day) * shop.stores
        self._weeks = -(-(len(shop.open) - shop.first_day) // 7)
        self._sign_ups, self._sold = (
            shop.spread(shop.customers),
            shop.spread(shop.sales, shop.first_day),
        )
        rates = shop.lognormal("0", shop.law["sigma"])
        rate = shop.below("customers.rate", np.arange(shop.customers), len(rates))
        self._buyers = shop.weighted(rates[rate])
        self._names = [
            f"{noun}, {variant}"
            for nouns in shop.goods["categories"].values()
            for noun in nouns
            for variant in shop.goods["variants"]
        ]
        self._set_products()
        self.tables: dict[str, tuple[int, Callable[[Ints], Columns]]] = {
            "categories": (len(shop.goods["categories"]), self._categories),
            "products": (len(self._names), self._products),
            "shifts": (shifts, self._shifts),
            "sales": (shop.sales, self._sales),
            "lines": (shop.sales, self._lines),
            "payments": (shop.sales, self._payments),
            "refunds": (shop.sales, self._refunds),
            "stock_moves": (self._weeks + shop.sales, self._stock_moves),
            "loyalty": (shop.customers, self._loyalty),
        }

    def _set_products(self) -> None:
        """Set the prices, and the weight of each product for each reason to buy."""
        shop, law = self._shop, self._shop.law
        categories, missions = list(shop.goods["categories"]), shop.goods["missions"].values()
        rows = np.arange(len(self._names))
        self._category = rows * len(categories) // len(rows)
        ladder = shop.lognormal(law["price_log_mean"], law["price_log_sigma"]) // 10**6  # dollars
        dollars = ladder[shop.below("products.price_cents", rows // 2, len(ladder))]
        dollars = dollars * (2 + rows % 2) // 2  # a large one costs half as much again
        self._price = dollars * 100 + 49 + 50 * shop.below("products.ending", rows, 2)
        rank = np.argsort(np.argsort(shop.u("products.rank", rows)))
        context, offset, power = (
            Context(prec=40),
            *map(Decimal, (law["rank_offset"], law["rank_power"])),
        )
        wanted = np.array([int(context.power(int(r) + offset, power) * 10**6) for r in rank])
        self._mission = 2**32 // len(missions)  # places for each
        baskets = []
        for mission in missions:
            fits = np.isin(self._category, [categories.index(name) for name in mission])
            baskets.append(shop.scaled(wanted * np.where(fits, law["favoured"], 1), self._mission))
        self._baskets = shop.weighted(np.concatenate(baskets))

    def _categories(self, i: Ints) -> Columns:
        return {
            "category_id": i,
            "name": pa.array(self._shop.goods["categories"]).take(pa.array(i)),
        }

    def _products(self, i: Ints) -> Columns:
        shop, category = self._shop, self._category[i]
        codes = i * 10_000 + shop.below("products.barcode", i, 10_000)
        return {
            "product_id": i,
            "category_id": category,
            "supplier_id": shop.below("products.supplier_id", category, shop.law["suppliers"]),
            "sku": pa.array([f"{self._category[p] + 1:02d}-{p:04d}" for p in i], pa.string()),
            "barcode": pa.array([barcode(int(code)) for code in codes], pa.string()),
            "name": pa.array([self._names[p] for p in i], pa.string()),
            "price_cents": self._price[i],
            "cost_cents": self._price[i] * (45 + shop.below("products.cost_cents", i, 20)) // 100,
            "opening_stock": 20 + shop.below("products.opening_stock", i, 41),  # in each store
        }

    def _shifts(self, i: Ints) -> Columns:
        shop = self._shop
        i = i[shop.open[shop.first_day + i // shop.stores]]
        row, late = each(np.full(len(i), 2))
        day, store = shop.first_day + i[row] // shop.stores, i[row] % shop.stores
        return {
            "shift_id": i[row] * 2 + late,
            "employee_id": store * STAFF + (day - late) % STAFF,
            "store_id": store,
            "starts_at": shop.utc(day, np.where(late, HANDOVER, MORNING)),
            "ends_at": shop.utc(day, np.where(late, NIGHT, HANDOVER)),
        }

    # --- sales

    def _sale(self, i: Ints) -> dict[str, Ints]:
        """Return what is known of sales from their numbers alone."""
        shop = self._shop
        day, second = shop.moment("sales.sold_at", self._sold, i)
        store = shop.below("sales.store_id", i, shop.stores)
        reach = np.array(shop.law["lookback_days"])[shop.pick("lookback", "sales.lookback", i)]
        known, since = self._sign_ups[day], self._sign_ups[np.maximum(day - reach, 0)]
        low = self._buyers.before[np.where(since < known, since, 0)]
        place = low + shop.below("sales.customer_id", i, self._buyers.before[known] - low)
        walk_in = shop.share("walk_in_percent", i) | (known == 0)
        return {
            "sale_id": i,
            "store_id": store,
            "employee_id": store * STAFF + (day - (second >= HANDOVER)) % STAFF,
            "customer_id": np.where(walk_in, NULL, self._buyers.at(place)),
            "sold_at": shop.utc(day, second),
            "day": day,
            "size": shop.pick("basket", "sales.size", i) + 1,
        }

    def _line(self, sale: Ints, k: Ints) -> dict[str, Ints]:
        """Return lines; *k* is the place of the line in its sale, from 0."""
        shop, number = self._shop, sale * LINES + k
        mission = shop.below("sales.mission", sale, len(shop.goods["missions"]))
        place = mission * self._mission + shop.below("lines.product_id", number, self._mission)
        product = self._baskets.at(place) % len(self._price)
        quantity = shop.pick("quantity", "lines.quantity", number) + 1
        gross = quantity * self._price[product]
        discount = np.where(shop.share("discount_percent", number), (gross + 5) // 10, 0)
        net = gross - discount
        return {
            "line_id": number,
            "sale_id": sale,
            "line_number": k + 1,
            "product_id": product,
            "quantity": quantity,
            "unit_price_cents": self._price[product],
            "gross_cents": gross,
            "discount_cents": discount,
            "net_cents": net,
            "tax_cents": (net * shop.law["tax_per_10_000"] + 5_000) // 10_000,
        }

    def _lines(self, i: Ints) -> dict[str, Ints]:
        row, k = each(self._shop.pick("basket", "sales.size", i) + 1)
        return self._line(i[row], k)

    def _sales(self, i: Ints) -> dict[str, Ints]:
        sale, line = self._sale(i), self._lines(i)
        first = np.cumsum(sale["size"]) - sale["size"]
        sums = {name: np.add.reduceat(line[name], first) for name in MONEY}
        tip = 100 * (1 + self._shop.below("sales.tip_cents", i, 5))
        tip = np.where(self._shop.share("tip_percent", i), tip, 0)
        total = sums["net_cents"] + sums["tax_cents"] + tip
        return sale | sums | {"tip_cents": tip, "total_cents": total}

    def _payments(self, i: Ints) -> Columns:
        shop, sales = self._shop, self._sales(i)
        row, part = each(1 + shop.share("split_percent", i))
        sale, total, who = i[row], sales["total_cents"][row], sales["customer_id"][row]
        split = shop.share("split_percent", sale)
        cash = total * (20 + shop.below("payments.cash", sale, 60)) // 100  # of a split one
        card = np.where(split, part == 1, shop.share("card_percent", sale))
        second = shop.below("payments.second_card", sale, 5) == 0  # people have two cards
        wallet = np.where(who == NULL, 2 * (shop.customers + sale), 2 * who + second)
        return {
            "payment_id": sale * 2 + part,
            "sale_id": sale,
            "method": card.astype(np.int64),
            "card_brand": np.where(card, shop.pick("brands", "cards.brand", wallet), NULL),
            "card_last4": np.where(card, shop.below("cards.last4", wallet, 10_000), NULL),
            "card_token": np.where(card, shop.u("cards.token", wallet).astype(np.int64), NULL),
            "amount_cents": np.where(split, np.where(part, total - cash, cash), total),
            "paid_at": sales["sold_at"][row],
        }

    def _refunds(self, i: Ints) -> dict[str, Ints]:
        shop = self._shop
        i = i[shop.share("refund_percent", i) & ~shop.share("split_percent", i)]
        sale, last = self._sale(i), len(shop.open) - 1
        day = sale["day"] + 1 + shop.below("refunds.day", i, 21)
        day += ~shop.open[np.minimum(day, last)]  # closed days stand alone
        second = shop.law["opens"] * 3600 + shop.below("refunds.second", i, 13 * 3600)
        line = self._line(i, shop.below("refunds.line_id", i, sale["size"]))
        refund = line | {
            "refund_id": i,
            "payment_id": i * 2,
            "amount_cents": line["net_cents"] + line["tax_cents"],
            "reason": shop.below("refunds.reason", i, len(shop.lists["reasons"])),
            "refunded_at": shop.utc(np.minimum(day, last), second),
            "store_id": sale["store_id"],
        }
        return {name: values[day <= last] for name, values in refund.items()}

    # --- ledgers

    @functools.cached_property
    def _sums(self) -> _Sums:
        """Sum up all sales once."""
        shop = self._shop
        customer, points = np.empty(shop.sales, np.int32), np.empty(shop.sales, np.int64)
        pieces = np.zeros((self._weeks, shop.stores, len(self._price)), np.int64)
        for start in range(0, shop.sales, CHUNK):
            i = np.arange(start, min(start + CHUNK, shop.sales))
            sale, line = self._sale(i), self._lines(i)
            row, k = each(sale["size"])
            week = (sale["day"][row] - shop.first_day) // 7
            np.add.at(pieces, (week, sale["store_id"][row], line["product_id"]), line["quantity"])
            points[i] = np.add.reduceat(line["net_cents"], np.flatnonzero(k == 0)) // 100
            customer[i] = np.maximum(sale["customer_id"], -1)  # walk-ins come first
        order = np.argsort(customer, kind="stable")
        begin = np.searchsorted(customer[order], np.arange(shop.customers + 1))
        return _Sums(order, begin, points, np.cumsum(pieces, axis=0))

    def _loyalty(self, i: Ints) -> Columns:
        order, begin, all_points, _ = self._sums
        sale = order[begin[i[0]] : begin[i[-1] + 1]]
        customer = np.repeat(i, begin[i + 1] - begin[i])
        first = np.searchsorted(customer, customer)  # sale of the same customer
        points = all_points[sale]
        before = np.cumsum(points) - points
        before -= before[first]  # earned by the same customer's earlier sales
        spender = self._shop.share("spender_percent", customer)
        spent = before // REWARD * REWARD * spender  # up to and with this sale
        spends = np.diff(spent, prepend=0)
        spends[first] = 0
        entries = np.stack([-spends, points], axis=1)
        row, kind = np.nonzero(entries)
        return {
            "entry_id": sale[row] * 2 + kind,
            "customer_id": customer[row],
            "sale_id": sale[row],
            "kind": kind,
            "points": entries[row, kind],
            "happened_at": self._sale(sale[row])["sold_at"],
        }

    def _stock_moves(self, i: Ints) -> Columns:
        """Return each week's deliveries and counts, then for each sale what left and came back."""
        weeks, sales = i[i < self._weeks], i[i >= self._weeks] - self._weeks
        sale, line, refund = self._sale(sales), self._lines(sales), self._refunds(sales)
        row = np.repeat(np.arange(len(sales)), sale["size"])
        sold = line | {
            "unit": line["sale_id"],
            "move_id": line["line_id"] * 4 + SALE,
            "store_id": sale["store_id"][row],
            "kind": np.full(len(row), SALE),
            "quantity": -line["quantity"],
            "moved_at": sale["sold_at"][row],
        }
        returned = refund | {
            "unit": refund["sale_id"],
            "move_id": refund["refund_id"] * 4 + RETURN,
            "kind": np.full(len(refund["refund_id"]), RETURN),
            "moved_at": refund["refunded_at"],
        }
        moves = (*self._weekly(weeks), sold, returned)
        names = ("move_id", "product_id", "store_id", "sale_id", "kind", "quantity", "moved_at")
        order = np.argsort(np.concatenate([move["unit"] for move in moves]), kind="stable")
        return {name: np.concatenate([move[name] for move in moves])[order] for name in names}

    def _weekly(self, weeks: Ints) -> list[dict[str, Ints]]:
        shop, pack = self._shop, self._shop.law["pack"]
        covered = -(-self._sums.pieces // pack) * pack  # whole packs, never less than was sold
        arrived = np.diff(covered, axis=0, prepend=0)[weeks]
        slot = np.arange(covered.size).reshape(covered.shape)[weeks]
        missing = shop.share("missing_percent", slot.ravel()).reshape(slot.shape)
        counted = -1 * missing * (weeks % COUNT_WEEKS == COUNT_WEEKS - 1)[:, None, None]
        moves = []
        for kind, quantity, hour in ((DELIVERY, arrived, 6), (COUNT, counted, 7)):
            week, store, product = place = np.nonzero(quantity)
            moves.append(
                {
                    "unit": weeks[week] - self._weeks,  # before the first sale
                    "move_id": slot[place] * 4 + kind,
                    "product_id": product,
                    "store_id": store,
                    "sale_id": np.full(len(week), NULL),
                    "kind": np.full(len(week), kind),
                    "quantity": quantity[place],
                    "moved_at": shop.utc(shop.first_day + 7 * weeks[week], hour * 3600),
                }
            )
        return moves
