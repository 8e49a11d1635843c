"""A restore never lies: proven before anything is replaced, or nothing is touched."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import backed_up
import pyrage
import pytest
import real_shop
import sqlalchemy as sa
from backed_up import AWAY, DAY, ESCROW, HOUR, OWNER, change, files, filled, make
from real_shop import NOW, WORDS

from kit import (
    archive,
    backup,
    beside,
    manifest,
    opening,
    pgdump,
    removals,
    rescue,
    restore,
    settings,
    swap,
    upkeep,
)
from kit import store as database
from kit.backup_state import Home
from kit.opening import NotProven
from kit.shop import LEDGER, NotAllowed, NotAShop, Shop
from kit.snapshot import take

LATER = NOW + 2 * DAY


@pytest.fixture
def shop(tmp_path):
    """Return a shop with customers, sales and one backup."""
    with filled(tmp_path / "shop") as made:
        make(made)
        yield made


def back(shop, key=OWNER, *, now=LATER, where=AWAY, **more):
    """Restore."""
    place = backed_up.place(shop, where)
    return restore.restore(shop, place, [key], actor="owner", now=now, name=where, **more)


def interrupt_at(wanted):
    """Return a progress that presses Ctrl-C when a step begins."""

    def progress(step, done, total):
        if step == wanted:
            raise KeyboardInterrupt

    return progress


def people(shop):
    """Return the numbers of all customers."""
    with database.begin(shop.engine) as connection:
        return set(connection.scalars(sa.select(shop.tables.tables["customers"].c.customer_id)))


def bytes_of(shop):
    """Return the files of the database by name."""
    return {path.name: path.read_bytes() for path in shop.files() if path.exists()}


def lose(shop):
    """Lose the database, as a broken disk does."""
    for path in shop.files():
        path.unlink(missing_ok=True)


def erase(shop, customer, *, now=NOW):
    """Erase somebody for good."""
    plan = removals.plan_erasure(shop, customer, now=now)
    removals.erase(shop, plan, actor="owner", now=now)


@pytest.mark.parametrize("key", [OWNER, ESCROW], ids=["owner", "escrow"])
def test_a_lost_database_is_back(shop, key):
    """Every value opens, every sum is the same, and the log says that it was restored."""
    before = real_shop.content(shop)
    lose(shop)

    done = back(shop, key)

    assert real_shop.content(shop) == before
    real_shop.sound(shop)
    assert done.rows["customers"] == len(before["customers"])
    assert (done.kept, done.erased) == (None, 0)
    assert backed_up.left_lying(shop) == []


def test_a_differential_brings_back_the_newest_state(shop):
    """Full and differential together."""
    change(shop)
    make(shop, now=NOW + HOUR)
    lose(shop)

    assert back(shop).manifest.seq == 2
    assert "new-1" in people(shop)
    real_shop.sound(shop)


def test_an_older_backup_by_its_number(shop):
    """The mistake of yesterday is in the newest one, too."""
    change(shop)
    make(shop, now=NOW + HOUR)

    assert back(shop, number=1).manifest.seq == 1
    assert "new-1" not in people(shop)
    with pytest.raises(NotProven, match="there is no backup 9 in this place; there are: 1, 2"):
        back(shop, number=9)


def test_what_was_there_is_kept_for_a_while(shop):
    """Restoring the wrong day must not be the second accident."""
    change(shop)
    done = back(shop)

    assert "new-1" not in people(shop)
    with closing(sqlite3.connect(done.kept / "shop.sqlite")) as old:
        found = old.execute("SELECT count(*) FROM customers WHERE customer_id = 'new-1'")
        assert found.fetchone() == (1,)
    assert done.kept.stat().st_mode & 0o777 == 0o700
    assert (done.delete_on - LATER.date()).days == 30


def test_a_backup_of_another_list_leaves_ours_as_it_is(shop, tmp_path):
    """After two computers backed up into one place, a new list is begun; it has to go on."""
    change(shop)
    make(shop, now=NOW + HOUR)
    old = shutil.copytree(backed_up.away(shop), tmp_path / "old")
    shutil.rmtree(shop.folder / ".backup")
    for where in (backed_up.HERE, AWAY):
        backed_up.put_back(shop, {}, where)
    assert make(shop, now=LATER).manifest.seq == 1

    theirs = backup.place_at(str(old))
    restore.restore(shop, theirs, [OWNER], actor="owner", now=LATER, number=2)

    assert make(shop, now=LATER + HOUR).manifest.seq == 2


def test_what_was_kept_has_an_end(shop):
    """Customers who were erased since are in it."""
    done = back(shop)

    (shop.folder / ".before-restore-of-mine").mkdir()
    (shop.folder / ".before-restore-20270101T120000Z.part").mkdir()
    assert restore.replaced(shop.folder, shop.settings) == {done.kept: done.delete_on}
    assert restore.forget_kept(shop, now=LATER + 29 * DAY) == 0
    assert done.kept.exists()
    assert restore.forget_kept(shop, now=LATER + 31 * DAY) == 1
    assert not done.kept.exists()


def test_twice_in_one_second(shop):
    """A script may try again at once; what was there is kept both times."""
    first, second = back(shop), back(shop)

    assert first.kept != second.kept
    assert first.kept.exists()
    assert second.kept.exists()


def test_the_next_backup_goes_on_after_a_restore(shop):
    """The list has no gap, and the next backup is a full one."""
    change(shop)
    make(shop, now=NOW + HOUR)
    back(shop, number=1)

    done = make(shop, now=LATER + HOUR)

    assert (done.manifest.seq, done.manifest.kind) == (3, "full")


def test_a_wrong_key_changes_nothing(shop):
    """And the message says whose key to try."""
    before = bytes_of(shop)
    with pytest.raises(archive.WrongKey, match="other person"):
        back(shop, backed_up.STRANGER)
    assert bytes_of(shop) == before
    assert backed_up.left_lying(shop) == []


def test_a_cashier_restores_nothing(shop):
    """An old backup would undo what was found out since."""
    place = backed_up.place(shop)
    with pytest.raises(NotAllowed, match="ask owner or manager"):
        restore.restore(shop, place, [OWNER], actor="sam", now=LATER, name=AWAY)


def damaged(kept, name, how):
    """Return files with one changed."""
    return {**kept, name: how(kept[name])}


def of(kept, end):
    """Return the name of the file that ends so."""
    return next(name for name in sorted(kept) if name.endswith(end))


FAULTS = {
    "a byte flipped": (
        lambda k: damaged(k, of(k, ".sqlite.zst.age"), lambda d: d[:900] + b"\0" + d[901:]),
        (archive.Damaged,),
        "altered",
    ),
    "cut short": (
        lambda k: damaged(k, of(k, ".sqlite.zst.age"), lambda d: d[:-1]),
        (archive.Damaged, Exception),
        "",
    ),
    "longer": (
        lambda k: damaged(k, of(k, ".sqlite.zst.age"), lambda d: d + b"x"),
        (archive.Damaged, Exception),
        "",
    ),
    "manifest altered": (
        lambda k: damaged(k, of(k, "full.manifest.json"), lambda d: d.replace(b"0.1.0", b"0.2.0")),
        (NotProven,),
        "manifest 1 was altered",
    ),
    "first manifest gone": (
        lambda k: {n: d for n, d in k.items() if n != of(k, "full.manifest.json")},
        (NotProven,),
        "manifest 1 is missing",
    ),
    "newest manifest gone": (
        lambda k: {n: d for n, d in k.items() if not n.endswith("diff.manifest.json")},
        (NotProven,),
        "newest here is 1, but 2 was seen",
    ),
    "newest file gone": (
        lambda k: {n: d for n, d in k.items() if not n.endswith(".tar.age")},
        (NotProven,),
        "the file of backup 2, the newest, is not here",
    ),
    "base gone": (
        lambda k: {n: d for n, d in k.items() if not n.endswith(".sqlite.zst.age")},
        (NotProven,),
        "builds on backup 1, which is not in this place",
    ),
    "nothing there": (lambda k: {}, (NotProven, beside.BesideError), "2 was seen"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=[*FAULTS])
def test_each_fault_is_named_and_changes_nothing(shop, fault):
    """A failed restore leaves the database to the byte, and no readable copy behind."""
    change(shop)
    make(shop, now=NOW + HOUR)
    how, kinds, says = FAULTS[fault]
    backed_up.put_back(shop, how(files(shop)))
    before = bytes_of(shop)

    with pytest.raises(kinds) as caught:
        back(shop)

    assert says in str(caught.value)
    assert type(caught.value).__module__.startswith("kit.")
    assert bytes_of(shop) == before
    assert backed_up.left_lying(shop) == []
    assert not list(shop.folder.glob(".before-restore-*"))


def test_two_files_exchanged(shop):
    """Each is a good backup, and none is the one that the list tells of."""
    change(shop)
    make(shop, now=NOW + HOUR, full=True)
    kept = files(shop)
    one, two = (name for name in sorted(kept) if name.endswith(".sqlite.zst.age"))
    backed_up.put_back(shop, {**kept, one: kept[two], two: kept[one]})

    with pytest.raises(Exception, match="another file has its name|cut short|longer|bytes"):
        back(shop)


def test_an_older_set_that_was_put_back_is_noticed(shop):
    """A thief who replays last week's disk hides what was backed up since."""
    kept = files(shop)
    change(shop)
    make(shop, now=NOW + HOUR)
    backed_up.put_back(shop, kept)

    with pytest.raises(NotProven, match="newest here is 1, but 2 was seen"):
        back(shop)
    assert back(shop, number=1).manifest.seq == 1


def test_a_forged_backup_is_refused(shop, tmp_path):
    """Anybody who has the public keys can seal a backup; only the shop's key signs the list."""
    folder = tmp_path / "thief"
    Shop.init(folder, WORDS, name="Thief", time_zone=real_shop.ZONE, now=NOW).close()
    backed_up.equip(folder)
    with Shop.open(folder, WORDS) as theirs:
        make(theirs, now=NOW + HOUR)
        backed_up.put_back(shop, files(theirs))

    with pytest.raises(NotProven, match="forged"):
        back(shop)


@pytest.mark.parametrize("end", ["-wal", "-journal"])
def test_stale_files_do_not_undo_a_restore(shop, end):
    """A crashed program's -wal beside a good copy undid a fifth of it, and SQLite said ok."""
    live = shop.files()[0]
    before = real_shop.content(shop)
    copy = shop.folder / "crashed.sqlite"
    take(live, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as db:
        db.execute(f"PRAGMA journal_mode = {'WAL' if end == '-wal' else 'DELETE'}")
        db.execute("BEGIN")
        db.execute("UPDATE customers SET version = version + 100")
        if end == "-wal":
            db.execute("COMMIT")
        else:
            db.execute("PRAGMA cache_spill = 1")
        stale = copy.with_name(copy.name + end)
        data = stale.read_bytes() if stale.exists() else b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" * 80
    lose(shop)
    live.write_bytes(b"not a database any more")
    live.with_name(live.name + end).write_bytes(data)

    done = back(shop)

    assert real_shop.content(shop) == before
    assert not live.with_name(live.name + "-journal").exists()
    assert (done.kept / (live.name + end)).read_bytes() == data


def test_a_till_that_is_still_open_is_noticed(shop):
    """It would go on writing into the file that was replaced."""
    before = bytes_of(shop)
    live = shop.files()[0]
    with closing(sqlite3.connect(live, isolation_level=None)) as till:
        till.execute("BEGIN")
        till.execute("SELECT count(*) FROM customers").fetchone()
        with pytest.raises(swap.InUse, match="close the till"):
            back(shop)
        till.execute("COMMIT")

    assert bytes_of(shop)["shop.sqlite"] == before["shop.sqlite"]
    assert not list(shop.folder.glob(".before-restore-*"))


def test_erased_customers_stay_erased(shop):
    """Restoring last week brings everybody back but them, and nothing of them is in the files."""
    rows_before = real_shop.content(shop)["customers"]
    gone = next(r for r in rows_before if r["email"] and r["phone"])
    erase(shop, gone["customer_id"])

    done = back(shop, number=1)

    assert done.erased == 1
    assert gone["customer_id"] not in people(shop)
    for data in bytes_of(shop).values():
        assert gone["customer_id"].encode() not in data or b"sale" in data
        assert gone["email"].encode() not in data
    real_shop.sound(shop)


def test_the_newest_ledger_counts_not_the_backups_own(shop):
    """On a new disk, the ledger beside the newest backup knows more than the one of that day."""
    first, second = sorted(people(shop))[:2]
    erase(shop, first)
    make(shop, now=NOW + HOUR)
    erase(shop, second)
    make(shop, now=NOW + 2 * HOUR)
    lose(shop)
    (shop.folder / LEDGER).unlink()

    assert back(shop, number=1).erased == 2
    assert not {first, second} & people(shop)
    assert shop.ledger.erased([first, second]) == {first, second}


def test_without_the_ledger_nothing_is_restored_unless_told(shop):
    """Somebody must say in words that erased customers may come back."""
    first = sorted(people(shop))[0]
    erase(shop, first)
    make(shop, now=NOW + HOUR)
    kept = {n: d for n, d in files(shop).items() if not n.startswith("ledger")}
    backed_up.put_back(shop, kept)
    (shop.folder / LEDGER).unlink()
    before = bytes_of(shop)

    with pytest.raises(restore.WithoutLedger, match="--without-ledger"):
        back(shop, number=1)
    assert bytes_of(shop) == before

    assert back(shop, number=1, without_ledger=True).erased == 0
    assert first in people(shop)


def test_a_deleted_customer_in_the_trash_of_a_backup_stays_erased(shop):
    """Deleted first, erased later: the backup's trash still holds them."""
    first = sorted(people(shop))[0]
    removals.delete(shop, first, actor="owner", now=NOW)
    make(shop, now=NOW + HOUR, full=True)
    entry = removals.listed(shop, now=NOW)[0]
    removals.undelete(shop, entry.trash_id, actor="owner", now=NOW)
    erase(shop, first)

    assert back(shop, number=2).erased == 1
    assert removals.listed(shop, now=LATER) == []


def test_a_full_disk_changes_nothing(shop, monkeypatch):
    """The copy does not fit beside the old database."""
    before = bytes_of(shop)

    def full(source, target):
        target.write_bytes(source.read_bytes()[:9000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(swap.os, "link", full)
    monkeypatch.setattr(swap.shutil, "copy2", full)
    with pytest.raises(OSError, match="No space"):
        back(shop)
    monkeypatch.undo()

    assert bytes_of(shop) == before
    assert backed_up.left_lying(shop) == []
    assert not list(shop.folder.glob(".before-restore-*"))


@pytest.mark.parametrize("key", [OWNER, ESCROW], ids=["owner", "escrow"])
def test_a_stolen_laptop(shop, tmp_path, key):
    """From the disk at the notary's and a key on paper to a working shop, in a new folder."""
    first = sorted(people(shop))[0]
    erase(shop, first)
    make(shop, now=NOW + HOUR)
    before, address = real_shop.content(shop), backed_up.place(shop)
    seen = []
    shop.close()
    shutil.rmtree(shop.folder)
    new = tmp_path / "new shop"

    with restore.rebuild(new, address, key, lambda: WORDS, compare=seen.append, now=LATER) as made:
        done = restore.restore(made, address, [key], actor="owner", now=LATER)

    assert len(seen[0].replace(" ", "")) == 16
    assert done.kept is None
    with Shop.open(new, WORDS) as again:
        after = real_shop.content(again)
        assert after.pop("kit_meta") != before.pop("kit_meta"), "one more change of the keys"
        assert after == before
        real_shop.sound(again)
        assert again.ledger.erased([first]) == {first}
        assert make(again, now=LATER + HOUR).manifest.seq == 3
        before = real_shop.content(again)
    shutil.rmtree(new)  # and stolen once more: what went along the second time opens, too
    with restore.rebuild(
        new, address, key, lambda: WORDS, compare=seen.append, now=LATER + DAY
    ) as made:
        restore.restore(made, address, [key], actor="owner", now=LATER + DAY)
    with Shop.open(new, WORDS) as third:
        assert {**real_shop.content(third), "kit_meta": 0} == {**before, "kit_meta": 0}
        assert third.ledger.erased([first]) == {first}


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        pytest.param("strangers key", Exception, id="stranger"),
        pytest.param("other keys", NotProven, id="keys exchanged"),
        pytest.param("no keys", beside.Missing, id="no keys"),
        pytest.param("folder altered", beside.Damaged, id="settings altered"),
        pytest.param("compared", ZeroDivisionError, id="somebody else signed"),
    ],
)
def test_a_new_folder_is_made_whole_or_not_at_all(shop, tmp_path, how, kind):
    """What does not fit together is refused, and leaves no keys lying about."""
    kept = files(shop)
    keys, folder = (next(n for n in kept if n.startswith(w)) for w in ("keys", "folder"))
    if how == "other keys":
        identity = pyrage.x25519.Identity.from_str(OWNER)
        kept[keys] = pyrage.encrypt(pyrage.decrypt(kept[keys], [identity]), [identity.to_public()])
    elif how == "no keys":
        del kept[keys]
    elif how == "folder altered":
        kept[folder] = kept[folder][:-1] + b"\0"
    backed_up.put_back(shop, kept)
    key = backed_up.STRANGER if how == "strangers key" else OWNER

    def compare(fingerprint):
        if how == "compared":
            raise ZeroDivisionError

    new = tmp_path / "new"
    with pytest.raises(kind) as caught:
        restore.rebuild(new, backed_up.place(shop), key, lambda: WORDS, compare=compare, now=LATER)
    assert key not in str(caught.value)
    assert not new.exists()


def test_a_folder_in_use_is_not_overwritten(shop):
    """A new shop goes into a new folder."""
    with pytest.raises(NotAShop, match="not empty.* leave out --new"):
        restore.rebuild(
            shop.folder, backed_up.place(shop), OWNER, lambda: WORDS, compare=print, now=LATER
        )


def test_one_customer_comes_back_with_everything(shop):
    """The rest of the database stays as it is now."""
    before = real_shop.content(shop)
    buyers = {row["customer_id"] for row in before["sales"] if row["customer_id"]}
    gone = next(r for r in before["customers"] if r["customer_id"] in buyers and r["email"])
    customer = gone["customer_id"]
    moved = removals.delete(shop, customer, actor="owner", now=NOW)
    with shop.writing("owner", NOW) as connection:
        shop.trash.forget(connection, customer)
    change(shop)
    seen = []

    done = restore.rescue_customer(
        shop,
        backed_up.place(shop),
        [OWNER],
        gone["email"],
        actor="owner",
        now=LATER,
        name=AWAY,
        confirm=lambda preview: bool(seen.append(preview)) or True,
    )

    after = real_shop.content(shop)
    assert next(r for r in after["customers"] if r["customer_id"] == customer) == gone
    for table in ("sales", "loyalty", "addresses"):
        assert after[table] == before[table]
    assert "new-1" in people(shop)
    assert done.added["customers"] == 1
    assert moved.rows["customers"] == 1
    real_shop.sound(shop)


def test_a_rescue_that_is_not_confirmed_changes_nothing(shop):
    """First look, then do."""
    customer = sorted(people(shop))[0]
    removals.delete(shop, customer, actor="owner", now=NOW)
    before = real_shop.content(shop)

    done = restore.rescue_customer(
        shop, backed_up.place(shop), [OWNER], customer,
        actor="owner", now=LATER, name=AWAY, confirm=lambda preview: False,
    )  # fmt: skip

    assert done is None
    assert real_shop.content(shop) == before


def test_an_erased_customer_is_not_rescued(shop):
    """They asked to be forgotten."""
    customer = sorted(people(shop))[0]
    erase(shop, customer)
    with pytest.raises(rescue.NotThere, match="own request"):
        restore.rescue_customer(
            shop, backed_up.place(shop), [OWNER], customer,
            actor="owner", now=LATER, name=AWAY, number=1, confirm=lambda preview: True,
        )  # fmt: skip
    assert customer not in people(shop)


def test_postgresql_is_restored_into_an_empty_database(
    tmp_path, postgres, postgres_server, monkeypatch
):
    """The same command; whoever was erased since is erased again."""
    backed_up.postgres_programs(monkeypatch)
    with filled(tmp_path / "shop", postgres) as shop:
        make(shop)
        make(shop, now=NOW + HOUR)
        gone = sorted(people(shop))[0]
        erase(shop, gone)
        before = real_shop.content(shop)
        with pytest.raises(pgdump.NotEmpty, match="make a new one"):
            back(shop, number=1)
        assert real_shop.content(shop) == before
        name = shop.engine.url.database
        postgres_server.psql(f"CREATE DATABASE {name}_new;")
        text = (shop.folder / "shop.toml").read_text(encoding="utf-8")
        new = text.replace(f"/{name}?", f"/{name}_new?").replace(f'/{name}"', f'/{name}_new"')
        assert new != text
        (shop.folder / "shop.toml").write_text(new, encoding="utf-8")
        fresh = Shop(
            shop.folder,
            settings.load(shop.folder / "shop.toml"),
            shop.inventory,
            shop.keyring,
        )
        try:
            with pytest.raises(KeyboardInterrupt):
                back(fresh, number=1, progress=interrupt_at("erasing again"))
            assert gone in people(fresh)
            alarm = upkeep.alarm(fresh.folder, fresh.settings, now=LATER)
            assert "erased may be back" in alarm
            with pytest.raises(pgdump.NotEmpty):  # another backup than the one that was cut short
                back(fresh, number=2)
            with pytest.raises(KeyboardInterrupt):
                back(fresh, number=1, progress=interrupt_at("erasing again"))
            assert back(fresh, number=1).erased == 1
            assert gone not in people(fresh)
            assert "erased" not in upkeep.alarm(fresh.folder, fresh.settings, now=LATER)
            assert real_shop.content(fresh)["sales"] == before["sales"]
        finally:
            fresh.close()
            postgres_server.psql(f"DROP DATABASE {name}_new WITH (FORCE);")


def test_what_is_harmless_is_no_reason_to_refuse(shop):
    """A disk that was unplugged for a day lacks that day's backup, and says so elsewhere."""
    away = backed_up.away(shop)
    change(shop)
    hidden = away.with_name("hidden")
    away.rename(hidden)
    backup.make(shop, actor="owner", now=NOW + HOUR)
    hidden.rename(away)
    change(shop, 2)
    make(shop, now=NOW + 2 * HOUR)

    checked = opening.look(
        shop, backed_up.place(shop), name=AWAY, now=LATER, state=Home(shop.folder).load()
    )
    assert [fault.kind for fault in checked.faults] == ["no file"]
    assert back(shop).manifest.seq == 3
    assert {one.seq for one in checked.here} == {1, 3}
    assert manifest.manifest_name(checked.chain[1]) in files(shop)
