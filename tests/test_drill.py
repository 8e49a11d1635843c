"""A drill restores for real, certifies what it found, and touches nothing of the shop."""

from __future__ import annotations

import backed_up
import pytest
import real_shop
from backed_up import AWAY, DAY, ESCROW, HOUR, OWNER, change, files, filled, make
from real_shop import NOW

from kit import backup, certificate, drill, removals, rows, upkeep
from kit.backup_state import Home
from kit.drill import DrillError

LATER = NOW + DAY


@pytest.fixture
def shop(tmp_path):
    """Return a shop with two backups, the second a differential."""
    with filled(tmp_path / "shop") as made:
        make(made)
        change(made)
        make(made, now=NOW + HOUR)
        yield made


def practise(shop, key=OWNER, **more):
    """Hold a drill."""
    place = backed_up.place(shop)
    return drill.run(shop, place, key, actor="owner", now=LATER, name=AWAY, **more)


@pytest.mark.parametrize(
    ("key", "who"), [(OWNER, "owner"), (ESCROW, "escrow")], ids=["owner", "escrow"]
)
def test_a_drill_proves_what_a_restore_would_do(shop, key, who):
    """With each key in turn; the certificate says whose it was."""
    before = real_shop.content(shop)
    done = practise(shop, key)

    assert done.drill.passed
    assert done.drill.failures == ()
    assert done.drill.key == who
    assert [one.seq for one in done.drill.restored] == [2, 1]
    assert done.drill.rows["customers"] == len(before["customers"])
    assert done.drill.canaries == done.drill.canaries_of == 20
    assert done.drill.recovery_covers_keys
    assert real_shop.content(shop) == before
    assert backed_up.left_lying(shop) == []


def test_the_certificate_is_signed_and_kept_in_both_places(shop):
    """One for the folder of records, one beside the backups."""
    done = practise(shop)

    read = certificate.read(done.record.read_bytes(), backup.signers(shop.keyring))
    assert read == done.drill
    assert "<html" in done.page.read_text(encoding="utf-8")
    assert files(shop)[done.record.name] == done.record.read_bytes()
    state = Home(shop.folder).load()
    assert (state.drill["seq"], state.drill["ok"], state.drill["key"]) == (2, True, "owner")


def test_the_paper_key_is_read_back_by_it(shop):
    """A drill with the owner's key is a rehearsal; one with the other key is none."""
    practise(shop, ESCROW)
    assert Home(shop.folder).load().rehearsed == {}
    practise(shop, OWNER)
    assert Home(shop.folder).load().rehearsed["key"] == "owner"


def test_a_damaged_backup_fails_the_drill(shop):
    """The older one is tried, too; the page is red, and status with it."""
    kept = files(shop)
    name = next(n for n in kept if n.endswith(".tar.age"))
    data = kept[name]
    backed_up.put_back(shop, {**kept, name: data[:300] + b"\0" + data[301:]})

    done = practise(shop)

    assert not done.drill.passed
    assert "backup 2 could not be restored" in done.drill.failures[0]
    assert [one.seq for one in done.drill.restored] == [1]
    assert Home(shop.folder).load().drill["ok"] is False
    red = upkeep.status(shop.folder, shop.settings, now=LATER).red
    assert any("the last drill failed" in line for line in red)
    assert not any("no backup was ever restored" in line for line in red)


def test_a_newest_backup_that_was_there_and_is_gone_fails_the_drill(shop):
    """Else a thief takes the newest away, and a page with an older one says that all is well."""
    kept = files(shop)
    backed_up.put_back(shop, {n: d for n, d in kept.items() if not n.endswith(".tar.age")})

    done = practise(shop)

    assert "the file of backup 2 is missing, and no record let it go" in done.drill.failures
    upkeep.verify(shop, now=LATER)  # it is known by now, and what is there restores
    assert practise(shop).drill.passed


def test_a_forged_list_fails_the_drill(shop):
    """A drill of somebody else's backups proves nothing about ours."""
    kept = files(shop)
    name = next(n for n in kept if n.endswith("diff.manifest.json"))
    backed_up.put_back(shop, {**kept, name: kept[name].replace(b'"seq":2', b'"seq":3')})

    done = practise(shop)

    assert any("altered" in failure for failure in done.drill.failures)


def test_erased_customers_are_absent_from_what_a_drill_restores(shop):
    """They are in the backup, and must not come out of it."""
    customer = sorted(r["customer_id"] for r in real_shop.content(shop)["customers"])[0]
    plan = removals.plan_erasure(shop, customer, now=NOW)
    removals.erase(shop, plan, actor="owner", now=NOW)

    done = practise(shop)

    assert done.drill.erased_absent
    assert done.drill.passed


def test_a_database_that_was_emptied_is_noticed(shop):
    """Whoever took over the till can sign backups of rubbish; last month's customers tell."""
    table = shop.tables.tables["customers"]
    ids = [row["customer_id"] for row in real_shop.content(shop)["customers"]]
    for one in ids[:-3]:
        removals.delete(shop, one, actor="owner", now=NOW)
    with shop.reading() as connection:
        assert len(rows.find(connection, table, {})) == 3
    make(shop, now=NOW + 2 * HOUR, full=True)

    done = practise(shop, pick=lambda older: older[0])

    assert any("ask who emptied the database" in failure for failure in done.drill.failures)


def test_keys_that_went_along_too_old_fail_the_drill(shop):
    """A backup whose values no kept key opens is no backup."""
    kept = files(shop)
    name = next(n for n in kept if n.startswith("keys"))
    backed_up.put_back(shop, {n: d for n, d in kept.items() if n != name})

    done = practise(shop)

    assert done.drill.recovery_covers_keys is False
    assert any("keys that went along" in failure for failure in done.drill.failures)


def test_a_strangers_key_proves_nothing(shop):
    """The certificate does not hold the key."""
    done = practise(shop, backed_up.STRANGER)

    assert not done.drill.passed
    assert done.drill.key == "another key"
    for path in (done.page, done.record):
        assert backed_up.STRANGER.encode() not in path.read_bytes()


@pytest.mark.parametrize(("key", "says"), [("AGE-SECRET-KEY-1QQ", "mistyped"), ("", "mistyped")])
def test_a_mistyped_key_is_said_at_once(shop, key, says):
    """Before anything is fetched."""
    with pytest.raises(DrillError, match=says):
        practise(shop, key)


def test_nothing_to_practise_with(tmp_path):
    """A new shop is told what to do first."""
    with filled(tmp_path / "new") as shop, pytest.raises(DrillError, match="kit backup make"):
        practise(shop)


def test_postgresql_is_practised_too(tmp_path, postgres, monkeypatch):
    """The dump is loaded into a database of its own, and whoever was erased is not in it."""
    backed_up.postgres_programs(monkeypatch)
    with filled(tmp_path / "shop", postgres) as shop:
        make(shop)
        gone = sorted(row["customer_id"] for row in real_shop.content(shop)["customers"])[0]
        plan = removals.plan_erasure(shop, gone, now=NOW)
        removals.erase(shop, plan, actor="owner", now=NOW)
        server = shop.engine.execution_options(isolation_level="AUTOCOMMIT")
        with server.connect() as connection:  # as a drill leaves it that was killed
            name = drill.practice_name(shop.engine.url)
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        done = practise(shop)
        assert done.drill.failures == ()
        assert done.drill.erased_absent
        with shop.engine.connect() as connection:
            names = connection.exec_driver_sql("SELECT datname FROM pg_database").scalars().all()
        assert not [name for name in names if name.startswith("kit_drill")]
        assert done.drill.rows["customers"] > 0
