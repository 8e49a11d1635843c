"""Customers go: by mistake and back, because their time is over, or for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from kit import audit, imports, practice, removals, retention, store
from kit.shop import NoSuchCustomer, NotAllowed, Shop
from kit.trash import NotThere, TooLate

NOW = datetime(2026, 11, 24, 15, tzinfo=UTC)
WORDS = "ocean-teapot-violin-candle-marble-tunnel"


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Return a till's exports of 40 customers."""
    return practice.make_shop(tmp_path_factory.mktemp("till"), 40, till="square")


@pytest.fixture
def shop(tmp_path, exports):
    """Return a shop with these customers and their sales."""
    folder = tmp_path / "shop"
    with Shop.init(folder, WORDS, name="X", time_zone="America/New_York", now=NOW):
        pass
    text = (folder / "shop.toml").read_text(encoding="utf-8")
    (folder / "shop.toml").write_text(text + 'sam = "cashier"\n', encoding="utf-8")
    with Shop.open(folder, WORDS) as opened:
        for path in exports:
            imports.import_file(opened, path, actor="owner", now=NOW)
        yield opened


def bought(shop):
    """Return the number of a customer with sales."""
    sales = shop.tables.tables["sales"]
    query = sa.select(sales.c.customer_id).where(sales.c.customer_id.is_not(None)).limit(1)
    with shop.reading() as connection:
        return connection.scalar(query)


def totals(shop):
    """Return the sum of each month."""
    sales = shop.tables.tables["sales"]
    found = {}
    with shop.reading() as connection:
        for at, cents in connection.execute(sa.select(sales.c.sold_at, sales.c.total_cents)):
            found[at.strftime("%Y-%m")] = found.get(at.strftime("%Y-%m"), 0) + (cents or 0)
    return found


def content(shop):
    """Return every row of the shop's own tables but their versions."""
    with shop.reading() as connection:
        return {
            table.name: sorted(map(str, connection.execute(sa.select(table))))
            for table in shop.tables.sorted_tables
            if not table.name.startswith("kit_")
        }


def test_a_deleted_customer_comes_back_as_they_were(shop):
    """With address and purchases; the sums never change."""
    before, sums = content(shop), totals(shop)
    customer = bought(shop)

    moved = removals.delete(shop, customer, actor="owner", now=NOW)
    assert totals(shop) == sums
    assert [e.subject for e in removals.listed(shop, now=NOW)] == [customer]
    with pytest.raises(NoSuchCustomer):
        removals.delete(shop, customer, actor="owner", now=NOW)
    removals.undelete(shop, moved.trash_id, actor="owner", now=NOW)

    assert content(shop) == before
    assert shop.verify_log().entries > 0


def test_the_window_closes(shop):
    """After 30 days it is gone."""
    moved = removals.delete(shop, bought(shop), actor="owner", now=NOW)

    with pytest.raises(TooLate):
        removals.undelete(shop, moved.trash_id, actor="owner", now=NOW + timedelta(days=31))


def test_who_was_erased_elsewhere_does_not_come_back_from_the_trash(shop):
    """A ledger that came with a restore knows more than the trash."""
    customer = bought(shop)
    moved = removals.delete(shop, customer, actor="owner", now=NOW)
    shop.ledger.begin(customer, now=NOW)
    shop.ledger.done(customer, now=NOW)

    with pytest.raises(NotThere, match="at their own request"):
        removals.undelete(shop, moved.trash_id, actor="owner", now=NOW)
    with pytest.raises(NoSuchCustomer):
        removals.plan_erasure(shop, customer, now=NOW)


def test_an_erased_customer_is_gone_for_good(shop, exports):
    """From rows, history, trash and files; an old export does not bring them back."""
    customer, sums = bought(shop), totals(shop)
    plan = removals.plan_erasure(shop, customer, now=NOW)
    done = removals.erase(shop, plan, actor="owner", now=NOW)

    assert done.report()["retained"]["sales"] >= 1
    assert "until 2030-11-24" in " ".join(done.report()["messages"])
    assert totals(shop) == sums
    with pytest.raises(NoSuchCustomer):
        removals.plan_erasure(shop, customer, now=NOW)
    again = imports.import_file(shop, exports[0], actor="owner", now=NOW)
    for path in exports:
        again = imports.import_file(shop, path, actor="owner", now=NOW)
    assert again.erased == 1
    with store.begin(shop.engine) as connection:
        table = shop.tables.tables["customers"]
        assert connection.scalar(sa.select(table).where(table.c.customer_id == customer)) is None
    assert shop.ledger.unfinished() == []
    for path in shop.files():
        data = path.read_bytes() if path.exists() else b""
        assert f"{customer}\n".encode() not in data


def test_remnants_are_told_and_the_erasure_stays_unfinished(shop, monkeypatch):
    """Whoever reads the file sees old pages; finishing later completes it."""
    customer = bought(shop)
    plan = removals.plan_erasure(shop, customer, now=NOW)
    with monkeypatch.context() as patch:
        patch.setattr(removals.erasure, "search", lambda *args: {"shop.sqlite": 1})
        with pytest.raises(removals.Remains, match=r"shop\.sqlite"):
            removals.erase(shop, plan, actor="owner", now=NOW)

    assert len(shop.ledger.unfinished()) == 1
    assert removals.finish(shop, actor="owner", now=NOW) == 1
    assert removals.finish(shop, actor="owner", now=NOW) == 0


def test_a_crash_after_the_ledger_is_made_good(shop):
    """It was written down that they go; they do."""
    customer = bought(shop)
    shop.ledger.begin(customer, now=NOW)  # and then the power went

    assert removals.finish(shop, actor="owner", now=NOW) == 1
    with pytest.raises(NoSuchCustomer):
        removals.plan_erasure(shop, customer, now=NOW)


def test_what_is_over_goes_and_the_sums_stay(shop):
    """In ten years everything personal is gone, the plan says so before, and a second is empty."""
    later = NOW.replace(year=2036)
    sums, moved = totals(shop), removals.delete(shop, bought(shop), actor="owner", now=NOW)
    plan = removals.plan_expiry(shop, now=NOW + timedelta(days=365))
    before = content(shop)
    assert plan.lines
    assert content(shop) == before

    steps = []
    done = removals.expire(
        shop, plan, actor="owner", now=NOW + timedelta(days=365),
        progress=lambda rows, total: steps.append((rows, total)),
    )  # fmt: skip

    assert sum(done.done.removed.values()) > 0
    assert done.trash == 1
    assert steps[-1][0] == steps[-1][1]
    assert removals.listed(shop, now=NOW) == []
    assert moved.trash_id
    assert totals(shop) == sums
    again = removals.plan_expiry(shop, now=NOW + timedelta(days=365))
    assert again.lines == ()
    assert removals.plan_expiry(shop, now=later).lines
    assert shop.verify_log().entries > 0


def test_a_plan_that_no_longer_holds_is_refused(shop):
    """Somebody bought again, or the rows went meanwhile: look at a new plan."""
    then = NOW + timedelta(days=365)
    plan = removals.plan_expiry(shop, now=then)
    table = shop.tables.tables["sales"]
    with shop.writing("owner", NOW) as connection:
        connection.execute(sa.update(table).values(sold_at=then))

    with pytest.raises(retention.Changed):
        removals.expire(shop, plan, actor="owner", now=then)


def test_a_cashier_removes_nobody_and_that_is_logged(shop):
    """Four doors, all of them shut."""
    customer = bought(shop)
    erasing = removals.plan_erasure(shop, customer, now=NOW)
    expiring = removals.plan_expiry(shop, now=NOW)
    for attempt in (
        lambda: removals.delete(shop, customer, actor="sam", now=NOW),
        lambda: removals.undelete(shop, "x", actor="sam", now=NOW),
        lambda: removals.erase(shop, erasing, actor="sam", now=NOW),
        lambda: removals.expire(shop, expiring, actor="sam", now=NOW),
    ):
        with pytest.raises(NotAllowed, match="a cashier removes nobody"):
            attempt()
    with shop.reading() as connection:
        tried = [e["action"] for e in audit.entries(connection, actor="sam")]
    assert tried == ["refused:delete", "refused:undelete", "refused:erase", "refused:expire"]
