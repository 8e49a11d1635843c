"""Who is deleted by mistake comes back as they were; who was erased never does."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import timedelta

import pytest
import sqlalchemy as sa
from real_shop import LATER, NOW, WORDS, content, exports, filled, sound, sums, taken
from test_imports import ROOT

from kit import audit, rekey, removals, retention, rows, store, trash
from kit.backup_state import Home
from kit.shop import NoSuchCustomer, NotAllowed, Shop

OWNER = {"actor": "owner", "now": NOW}
THEN = NOW + timedelta(days=580)  # some bought nothing for 3 years; no sale is 4 years old


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request, tmp_path):
    """Return a shop with a week of sales, on either database."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres")
    with filled(tmp_path / "shop", url) as made:
        yield made


@pytest.fixture
def lite(tmp_path):
    """Return one on SQLite."""
    with filled(tmp_path / "shop") as made:
        yield made


def buyer(shop):
    """Return a customer with an e-mail address, a postal address and sales."""
    found = content(shop)
    bought = {row["customer_id"] for row in found["sales"]}
    at_home = {row["customer_id"] for row in found["addresses"]}
    return next(
        row for row in found["customers"] if row["email"] and row["customer_id"] in bought & at_home
    )


def tables(shop):
    """Return what the shop holds, without the kit's own tables."""
    return {name: rows for name, rows in content(shop).items() if not name.startswith("kit_")}


def actions(shop, subject):
    """Return what the log tells about a customer."""
    with shop.reading() as connection:
        found = audit.entries(connection, subject=shop.log.subject(subject))
        return [(entry["actor"], entry["action"]) for entry in found]


def test_a_customer_is_deleted_and_comes_back_as_they_were(shop):
    """With address and purchases; no total changes in between; all of it is in the log."""
    ana, before, sold = buyer(shop), tables(shop), sums(shop, "square")
    moved = removals.delete(shop, ana["email"].upper(), **OWNER)
    between = tables(shop)

    assert moved.rows["customers"] == 1
    assert ana["customer_id"] not in str(between)
    assert shop.find(ana["email"], actor="owner", purpose="sale", now=NOW) == []
    assert sums(shop, "square") == sold
    assert [entry.trash_id for entry in removals.listed(shop, now=NOW)] == [moved.trash_id]

    back = removals.undelete(shop, moved.trash_id, actor="max", now=LATER)
    assert back.rows == moved.rows
    assert tables(shop) == before
    assert removals.listed(shop, now=LATER) == []
    (seen,) = shop.find(ana["email"], actor="owner", purpose="sale", now=LATER)
    assert seen.id == ana["customer_id"]
    told = [("owner", "delete"), ("max", "undelete"), ("owner", "look")]
    assert actions(shop, ana["customer_id"]) == told
    sound(shop)


def test_the_trash_can_be_read_by_nobody(lite):
    """A thief who has the file reads no deleted customer either."""
    ana = buyer(lite)
    removals.delete(lite, ana["customer_id"], **OWNER)
    everything = b"".join(p.read_bytes() for p in lite.folder.rglob("*") if p.is_file())

    for name in ("email", "phone"):
        assert ana[name] is None or ana[name].encode() not in everything
    assert ana["last_name"].encode() + b'"' not in everything


@pytest.mark.parametrize("actor", ["sam", "mia", "tom"])
def test_only_owner_and_manager_remove_anybody(lite, actor):
    """Whoever else tries is told, and so is the log."""
    ana, before = buyer(lite), tables(lite)
    moved = removals.delete(lite, ana["customer_id"], actor="max", now=NOW)
    with pytest.raises(NotAllowed, match="It was noted"):
        removals.undelete(lite, moved.trash_id, actor=actor, now=NOW)
    removals.undelete(lite, moved.trash_id, **OWNER)
    with pytest.raises(NotAllowed, match="ask owner or manager"):
        removals.delete(lite, ana["customer_id"], actor=actor, now=NOW)

    assert tables(lite) == before
    with lite.reading() as connection:
        tried = [e["action"] for e in audit.entries(connection, actor=actor)]
    assert tried == ["refused:undelete", "refused:delete"]


def test_of_nobody_or_of_several_nothing_is_deleted(lite):
    """A name that two customers share is no order to delete one of them."""
    before = tables(lite)
    shared = before["customers"][0]["last_name"]
    with lite.writing("owner", NOW) as connection:
        table = lite.tables.tables["customers"]
        connection.execute(table.insert(), [{"customer_id": "twin", "last_name": shared}])
    with pytest.raises(NoSuchCustomer, match="2 customers fit; say the number"):
        removals.delete(lite, shared, **OWNER)
    with pytest.raises(NoSuchCustomer, match="nobody fits"):
        removals.delete(lite, "nobody@example.com", **OWNER)

    assert removals.listed(lite, now=NOW) == []
    assert len(tables(lite)["customers"]) == len(before["customers"]) + 1


def test_after_its_window_nothing_comes_back(lite):
    """Thirty days, as shop.toml says."""
    ana = buyer(lite)
    moved = removals.delete(lite, ana["customer_id"], **OWNER)
    late = NOW + timedelta(days=lite.settings.undo_days)

    with pytest.raises(trash.TooLate, match="look for it in a backup"):
        removals.undelete(lite, moved.trash_id, actor="owner", now=late)
    assert removals.listed(lite, now=late) == []
    removals.undelete(lite, moved.trash_id, actor="owner", now=late - timedelta(seconds=1))


def test_who_was_erased_does_not_come_back_from_the_trash(lite):
    """Not even half: the deletion stays a deletion."""
    ana = buyer(lite)
    moved = removals.delete(lite, ana["customer_id"], **OWNER)
    lite.ledger.begin(ana["customer_id"], now=NOW)
    before = tables(lite)

    with pytest.raises(trash.NotThere, match="nothing came back"):
        removals.undelete(lite, moved.trash_id, **OWNER)
    assert tables(lite) == before
    assert actions(lite, ana["customer_id"]) == [("owner", "delete")]


def test_what_came_back_otherwise_is_not_doubled(lite):
    """The till still has the customer, so the next import brings them; undo says so."""
    ana = buyer(lite)
    moved = removals.delete(lite, ana["customer_id"], **OWNER)
    done = taken(lite, exports("square")["customers"], now=LATER)
    before = tables(lite)

    assert done.added["customers"] == 1
    for leave_out in (False, True):
        with pytest.raises(trash.Conflict):
            removals.undelete(lite, moved.trash_id, actor="owner", now=LATER, leave_out=leave_out)
    assert tables(lite) == before


def test_what_is_in_the_way_can_be_left_out(lite):
    """A sale that is gone since is not waited for."""
    ana = buyer(lite)
    moved = removals.delete(lite, ana["customer_id"], **OWNER)
    sales = lite.tables.tables["sales"]
    with lite.writing("owner", NOW) as connection:
        connection.execute(sales.delete())
    with pytest.raises(trash.Conflict, match="gone"):
        removals.undelete(lite, moved.trash_id, **OWNER)

    back = removals.undelete(lite, moved.trash_id, **OWNER, leave_out=True)
    assert sum(back.links.values()) == 0
    assert ana in tables(lite)["customers"]


def test_undo_after_a_rotation(lite):
    """The keys were changed, and the old ones retired, while the customer lay in the trash."""
    ana, before = buyer(lite), tables(lite)
    moved = removals.delete(lite, ana["customer_id"], **OWNER)
    old = [lite.keyring.primary(purpose).id for purpose in ("field", "index")]
    for purpose in ("field", "index"):
        rekey.rotate_key(lite, purpose, now=NOW)
    rekey.renew(lite, **OWNER)
    for key in old:
        rekey.retire(lite, key)

    removals.undelete(lite, moved.trash_id, **OWNER)
    assert tables(lite) == before
    (seen,) = lite.find(ana["email"], actor="owner", purpose="sale", now=NOW)
    assert seen.id == ana["customer_id"]


def test_a_deletion_that_fails_is_none(lite):
    """The log cannot be written, so nothing is deleted: no deed without its entry."""
    ana, before = buyer(lite), tables(lite)
    with lite.writing("owner", NOW) as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER stop BEFORE INSERT ON kit_audit "
            "WHEN NEW.action IN ('delete', 'undelete') BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    with pytest.raises(store.StoreError):
        removals.delete(lite, ana["customer_id"], **OWNER)

    assert tables(lite) == before
    assert removals.listed(lite, now=NOW) == []


# ---- for good


def erased(shop, customer, **more):
    """Erase one."""
    plan = removals.plan_erasure(shop, customer, now=NOW)
    return removals.erase(shop, plan, **OWNER | more)


def bytes_of(shop):
    """Return all that lies in the shop's folder."""
    return b"".join(path.read_bytes() for path in shop.folder.rglob("*") if path.is_file())


def annotate(shop, customer):
    """Write what tells who it was into their sales and payments, sealed as a till's import does."""
    with shop.writing("owner", NOW) as connection:
        sales = shop.tables.tables["sales"]
        mine = sa.select(sales.c.sale_id).where(sales.c.customer_id == customer)
        for name in ("sales", "lines", "payments"):
            table = shop.tables.tables[name]
            key = next(iter(table.primary_key))
            for row_id in connection.scalars(sa.select(key).where(table.c.sale_id.in_(mine))).all():
                sealed = shop.seal(name, {"note": ["for Ana upstairs"]}, [row_id])
                change = sa.update(table).where(key == row_id)
                connection.execute(change.values(note=sealed["note"][0]))
        payments = shop.tables.tables["payments"]
        theirs = payments.c.sale_id.in_(mine)
        connection.execute(sa.update(payments).where(theirs).values(card_last4="4242"))
        return set(connection.scalars(mine))


def test_an_erased_customer_is_gone_for_good(shop):
    """Rows, notes, card and history go, the books stay, and no old export brings them back."""
    ana, sold = buyer(shop), sums(shop, "square")
    mine, before = annotate(shop, ana["customer_id"]), tables(shop)
    looked = shop.find(ana["email"], actor="sam", purpose="sale", now=NOW)
    done = erased(shop, ana["email"])

    assert [seen.id for seen in looked] == [ana["customer_id"]]
    assert done.report()["removed"]["customers"] == 1
    assert done.report()["retained"]["sales"] == len(mine)
    assert "until 2030-11-24, because the shop must keep" in " ".join(done.report()["messages"])
    assert ana["customer_id"] not in str(content(shop))
    assert sums(shop, "square") == sold
    for name in ("sales", "lines", "payments"):
        kept = {row["sale_id"]: row for row in tables(shop)[name] if row["sale_id"] in mine}
        assert {*kept} == mine
        assert {row["note"] for row in kept.values()} == {None}
        assert {row.get("card_last4") for row in kept.values()} == {None}
        others = [row for row in before[name] if row["sale_id"] not in mine]
        assert [row for row in tables(shop)[name] if row["sale_id"] not in mine] == others
    with pytest.raises(NoSuchCustomer):
        removals.plan_erasure(shop, ana["customer_id"], now=NOW)
    after = tables(shop)
    assert taken(shop, exports("square")["customers"], now=LATER).erased == 1
    taken(shop, exports("square")["items"], now=LATER)
    assert tables(shop) == after
    assert shop.ledger.unfinished() == []
    assert actions(shop, ana["customer_id"]) == [("sam", "look"), ("owner", "erase")]
    sound(shop)


def test_no_file_holds_a_byte_of_who_was_erased(lite):
    """Neither their values nor their tokens, in the open till's database or beside it."""
    ana = buyer(lite)
    annotate(lite, ana["customer_id"])
    with lite.reading() as connection:
        row = rows.get(connection, lite.tables.tables["customers"], ana["customer_id"])
    tokens = [row[name] for name in ("email", "phone", "birthday", "note") if row[name]]
    assert all(token in bytes_of(lite) for token in tokens)
    with Shop.open(lite.folder, WORDS) as other, other.engine.connect():
        erased(lite, ana["customer_id"])

        left = bytes_of(lite)
    assert len(tokens) >= 2
    assert not any(token in left for token in tokens)
    assert ana["customer_id"].encode() + b'"' not in left


def test_what_came_after_the_plan_goes_too(shop):
    """While the owner reads the plan, the till sells to the customer once more."""
    ana = buyer(shop)
    plan = removals.plan_erasure(shop, ana["email"], now=NOW)
    with shop.writing("sam", NOW) as connection:
        made = shop.tables.tables
        one = {"address_id": "new", "customer_id": ana["customer_id"], "city": "Troy"}
        rows.add(connection, made["addresses"], one)
        token = shop.seal("sales", {"note": ["for Ana upstairs"]}, ["new"])["note"][0]
        sale = {"sale_id": "new", "customer_id": ana["customer_id"], "sold_at": NOW, "note": token}
        rows.add(connection, made["sales"], sale)
    done = removals.erase(shop, plan, **OWNER)

    (new,) = [row for row in tables(shop)["sales"] if row["sale_id"] == "new"]
    assert (new["customer_id"], new["note"]) == (None, None)
    assert "new" not in [row["address_id"] for row in tables(shop)["addresses"]]
    assert "new" in done.keys["addresses"]


def test_somebody_who_still_sees_the_old_pages_is_named(lite):
    """All is erased, but their view keeps it in the file: it is finished once they close."""
    ana = buyer(lite)
    lite.engine = store.connect(lite.files()[0], wait_s=0)
    with store.connect(lite.files()[0], role="read").connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM customers").all()
        with pytest.raises(store.Locked, match="somebody has the database open"):
            erased(lite, ana["customer_id"])
    assert len(lite.ledger.unfinished()) == 1
    assert removals.finish(lite, **OWNER) == 1

    assert removals.finish(lite, **OWNER) == 0
    assert lite.ledger.unfinished() == []
    assert ana["customer_id"] not in str(content(lite))


def test_what_another_program_left_in_the_file_is_told(lite):
    """A tool of somebody's wrote a copy of a value into the file: it is found, byte by byte."""
    ana = buyer(lite)
    with lite.reading() as connection:
        token = rows.get(connection, lite.tables.tables["customers"], ana["customer_id"])["email"]
    with lite.writing("owner", NOW) as connection:
        connection.exec_driver_sql("CREATE TABLE scratch (b BLOB)")
        connection.exec_driver_sql("INSERT INTO scratch VALUES (?)", (token,))
    with pytest.raises(removals.Remains, match=r"shop\.sqlite") as caught:
        erased(lite, ana["customer_id"])

    assert ana["customer_id"] not in str(caught.value)
    assert len(lite.ledger.unfinished()) == 1


def test_a_plain_copy_that_another_program_left_is_told(lite):
    """Their e-mail address in a table that is not the kit's."""
    ana = buyer(lite)
    with lite.writing("owner", NOW) as connection:
        connection.exec_driver_sql("CREATE TABLE scratch (b TEXT)")
        connection.exec_driver_sql("INSERT INTO scratch VALUES (?)", (f"<{ana['email']}>",))
    with pytest.raises(removals.Remains, match=r"shop\.sqlite"):
        erased(lite, ana["customer_id"])


def test_a_value_in_the_kits_own_tables_is_told(lite):
    """The log and the like hold nobody's address, so one that is there is no coincidence."""
    ana = buyer(lite)
    meta = lite.tables.tables["kit_meta"]
    with lite.writing("owner", NOW) as connection:
        connection.execute(sa.insert(meta).values(key="odd", value=ana["email"]))
    with pytest.raises(removals.Remains, match=r"shop\.sqlite"):
        erased(lite, ana["customer_id"])


@pytest.mark.parametrize("where", ["a column's name", "a product", "half of a product"])
def test_words_that_stand_elsewhere_too_hold_up_no_erasure(lite, where):
    """A note "birthday", or one that names a product: it would have been found for ever."""
    ana = buyer(lite)["customer_id"]
    product = max((row["name"] for row in content(lite)["products"]), key=len)
    note = {"a column's name": "birthday", "a product": product}.get(where, product[:9])
    table = lite.tables.tables["customers"]
    with lite.writing("owner", NOW) as connection:
        sealed = lite.seal("customers", {"note": [note]}, [ana])["note"][0]
        connection.execute(sa.update(table).where(table.c.customer_id == ana).values(note=sealed))

    assert len(note) > 7
    erased(lite, ana)
    assert lite.ledger.unfinished() == []


@pytest.mark.parametrize("trashed", [False, True])
def test_a_crash_after_it_was_written_down_is_made_good(lite, trashed):
    """The ledger says that they go; they do, also out of the trash."""
    ana = buyer(lite)
    if trashed:
        moved = removals.delete(lite, ana["customer_id"], **OWNER)
    lite.ledger.begin(ana["customer_id"], now=NOW)  # and then the power went

    assert removals.finish(lite, **OWNER) == 1
    assert ana["customer_id"] not in str(content(lite))
    if trashed:
        with pytest.raises(trash.NotThere):
            removals.undelete(lite, moved.trash_id, **OWNER)


# ---- because their time is over


def test_what_is_over_goes_and_the_sums_stay(shop):
    """The plan says so before and changes nothing; afterwards there is nothing left to do."""
    sold, before = sums(shop, "square"), tables(shop)
    removals.delete(shop, buyer(shop)["customer_id"], **OWNER)
    plan = removals.plan_expiry(shop, now=THEN)
    between, steps = tables(shop), []
    done = removals.expire(
        shop, plan, actor="owner", now=THEN, progress=lambda *at: steps.append(at)
    )

    assert between != before
    assert done.done.removed["customers"] == sum(
        line.count for line in plan.lines if (line.table, line.action) == ("customers", "remove")
    )
    assert done.done.removed["customers"] > 3
    assert (done.trash, steps[-1][0]) == (1, steps[-1][1])
    assert done.history > 0
    assert sums(shop, "square") == sold
    assert removals.plan_expiry(shop, now=THEN).lines == ()
    with shop.reading() as connection:
        told = [e for e in audit.entries(connection) if e["action"] == "expire"]
    assert sum(e["count"] for e in told) >= sum(done.done.removed.values())
    assert {e["filter"] for e in told} >= {
        shop.log._keyed("filter", name) for name in ("kit_trash", "kit_history", "customers")
    }
    sound(shop)


def test_while_somebody_reads_what_is_over_goes_from_under_the_backups_too(lite):
    """All is deleted then, and only the file is not clean; no copy beside it may keep them."""
    base, plan = Home(lite.folder).base, removals.plan_expiry(lite, now=THEN)
    base.parent.mkdir(parents=True, exist_ok=True)
    base.write_bytes(b"as it was at the last full backup")
    lite.engine = store.connect(lite.files()[0], wait_s=0)
    with store.connect(lite.files()[0], role="read").connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM customers").all()
        with pytest.raises(retention.Remains, match="expire again"):
            removals.expire(lite, plan, actor="owner", now=THEN)

    assert not base.exists()


def test_a_plan_that_no_longer_holds_is_refused(lite):
    """Somebody bought again meanwhile: look at a new plan."""
    plan, before = removals.plan_expiry(lite, now=THEN), tables(lite)["customers"]
    with lite.writing("sam", NOW) as connection:
        sale = lite.tables.tables["sales"]
        connection.execute(sa.update(sale).values(sold_at=THEN))

    with pytest.raises(retention.Changed):
        removals.expire(lite, plan, actor="owner", now=THEN)
    assert tables(lite)["customers"] == before


@pytest.mark.parametrize("actor", ["sam", "mia", "tom"])
def test_only_owner_and_manager_erase_or_expire(lite, actor):
    """Nothing is written down anywhere but in the log."""
    ana, before = buyer(lite), tables(lite)
    plan = removals.plan_erasure(lite, ana["customer_id"], now=NOW)
    with pytest.raises(NotAllowed):
        removals.erase(lite, plan, actor=actor, now=NOW)
    with pytest.raises(NotAllowed):  # what it would take away is as much of them as any look
        removals.plan_erasure(lite, ana["customer_id"], actor=actor, now=NOW)
    with pytest.raises(NotAllowed):
        removals.expire(lite, removals.plan_expiry(lite, now=THEN), actor=actor, now=THEN)

    assert tables(lite) == before
    assert lite.ledger.lines() == []
    with lite.reading() as connection:
        tried = [e["action"] for e in audit.entries(connection, actor=actor)]
    assert tried == ["refused:erase", "refused:erase", "refused:expire"]


def test_who_asks_what_an_erasure_would_take_is_in_the_log(lite):
    """It tells what the shop holds of somebody, so the customer can ask who looked."""
    ana = buyer(lite)
    removals.plan_erasure(lite, ana["email"], actor="max", now=NOW)

    looks, _ = lite.who(ana["customer_id"], actor="owner", now=NOW)
    assert [(e["actor"], e["action"]) for e in looks] == [("max", "look"), ("owner", "look")]


# ---- and the plug is pulled

CHILD = """
import os, signal, sys, threading
from datetime import datetime
from pathlib import Path
from kit import removals, retention
from kit.shop import Shop
now = datetime.fromisoformat({now!r})
retention.expire.__kwdefaults__["at_once"] = 3  # so that there are many batches
with Shop.open(Path({folder!r}), {words!r}) as shop:
    {plan}
    print("ready", flush=True)
    threading.Timer({delay}, os.kill, (os.getpid(), signal.SIGKILL)).start()
    {work}
"""
NO_KILL = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")


def killed(folder, plan, work, *, now, seed):
    """Run a removal in a program of its own and kill it at some moment."""
    delay = random.Random(seed).uniform(0, 0.12)  # noqa: S311 (no secret)
    code = CHILD.format(
        folder=str(folder), words=WORDS, now=str(now), plan=plan, work=work, delay=delay
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "ready\n", done.stderr
    assert done.returncode in (0, -9), done.stderr


def check_erasures_cut_short(tmp_path, seed):
    """Whoever was begun with is finished; everybody else is as they were."""
    with filled(tmp_path / "shop") as shop:
        before, sold = tables(shop), sums(shop, "square")
        wanted = [row["customer_id"] for row in before["customers"]][:6]
    plan = f"plans = [removals.plan_erasure(shop, one, now=now) for one in {wanted!r}]"
    work = "[removals.erase(shop, plan, actor='owner', now=now) for plan in plans]"
    killed(tmp_path / "shop", plan, work, now=NOW, seed=seed)

    with Shop.open(tmp_path / "shop", WORDS) as shop:
        sound(shop)
        begun = shop.ledger.erased(wanted)
        removals.finish(shop, **OWNER)
        after = tables(shop)
        left = [row for row in before["customers"] if row["customer_id"] not in begun]
        assert after["customers"] == left
        assert sums(shop, "square") == sold
        assert shop.ledger.unfinished() == []
        for one in {*wanted} - begun:
            erased(shop, one)
        assert {row["customer_id"] for row in tables(shop)["customers"]}.isdisjoint(wanted)
        sound(shop)


def check_an_expiry_cut_short(tmp_path, seed):
    """Each batch is whole or not there at all; the next run leaves what one run leaves."""
    with filled(tmp_path / "whole") as shop:
        removals.expire(shop, removals.plan_expiry(shop, now=THEN), actor="owner", now=THEN)
        wanted = tables(shop)
    with filled(tmp_path / "shop") as shop:
        sold = sums(shop, "square")
    plan = "plan = removals.plan_expiry(shop, now=now)"
    work = "removals.expire(shop, plan, actor='owner', now=now)"
    killed(tmp_path / "shop", plan, work, now=THEN, seed=seed)

    with Shop.open(tmp_path / "shop", WORDS) as shop:
        sound(shop)
        removals.expire(shop, removals.plan_expiry(shop, now=THEN), actor="owner", now=THEN)
        assert without_versions(tables(shop)) == without_versions(wanted)
        assert sums(shop, "square") == sold
        sound(shop)


def without_versions(found):
    """Return rows without the number of their changes: that depends on the batches."""
    return {
        name: [{k: v for k, v in row.items() if k != "version"} for row in listed]
        for name, listed in found.items()
    }


@NO_KILL
@pytest.mark.parametrize("check", [check_erasures_cut_short, check_an_expiry_cut_short])
def test_pulling_the_plug_loses_nothing(tmp_path, check):
    """At any moment: the shop is sound, and the next run completes it."""
    check(tmp_path, 1)


@NO_KILL
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 27))
@pytest.mark.parametrize("check", [check_erasures_cut_short, check_an_expiry_cut_short])
def test_pulling_the_plug_at_many_moments(tmp_path, check, seed):
    """Likewise."""
    check(tmp_path, seed)
