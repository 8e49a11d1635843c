"""A backup goes to every place, sealed for two people, and exists only when it is whole."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys

import backed_up
import pytest
import real_shop
from backed_up import AWAY, DAY, ESCROW, HERE, HOUR, OWNER, change, files, filled, make, names
from real_shop import NOW

from kit import archive, audit, backup, beside, manifest, pack, rekey, removals, settings, vault
from kit import store as database
from kit.backup import BackupError, NoPeople, NothingStored, Untrue
from kit.backup_state import Home
from kit.rekey import RekeyError
from kit.settings import SettingsError
from kit.shop import SETTINGS, Shop


@pytest.fixture
def shop(tmp_path):
    """Return a shop with customers and sales."""
    with filled(tmp_path / "shop") as made:
        yield made


def opened(shop, done, where=AWAY, key=OWNER):
    """Return the database in a full backup."""
    target = shop.folder / "opened.sqlite"
    target.unlink(missing_ok=True)
    one = done.manifest
    told = archive.Sealed(one.size, one.sha256, one.plain_size, one.plain_sha256)
    archive.unpack_full(backed_up.away(shop, where) / one.file, target, [key], told, pack=pack)
    return target


def test_the_first_backup_is_whole_and_lies_in_every_place(shop):
    """Two places, two people, and a sheet that says how to restore by hand."""
    done = make(shop)

    assert (done.manifest.seq, done.manifest.kind, done.manifest.base) == (1, "full", None)
    assert {*done.places} == {HERE, AWAY}
    for where in (HERE, AWAY):
        there = names(shop, where)
        assert done.manifest.file in there
        assert manifest.manifest_name(done.manifest) in there
        assert {"RESTORE.txt", "verify.pub"} < {*there}
        assert {name.partition("-")[0] for name in done.manifest.beside} == {"keys", "folder"}
        assert {*done.manifest.beside} < {*there}
        assert done.manifest.file in files(shop, where)["RESTORE.txt"].decode()
    assert backed_up.left_lying(shop) == []


def test_both_people_open_it_and_nobody_else(shop):
    """Each alone; the PC that made it holds neither key."""
    done = make(shop)

    for key in (OWNER, ESCROW):
        assert opened(shop, done, key=key).read_bytes()[:15] == b"SQLite format 3"
    with pytest.raises(archive.WrongKey):
        opened(shop, done, key=backed_up.STRANGER)


def test_nothing_of_a_customer_can_be_read_in_a_place(shop):
    """A thief of the USB disk reads neither names nor numbers of customers."""
    make(shop)
    people = real_shop.made_up(real_shop.CUSTOMERS)["customers"].to_pylist()
    words = [row["email"] for row in people if row["email"]] + [row["last_name"] for row in people]

    for data in files(shop).values():
        assert not [word for word in words if word.encode() in data]


def test_what_changed_is_a_differential(shop):
    """An hour later only the changed parts go out, and both together are the database."""
    first = make(shop)
    change(shop)
    second = make(shop, now=NOW + HOUR)

    assert (second.manifest.kind, second.manifest.base) == ("diff", 1)
    assert second.manifest.size < first.manifest.size / 4
    assert second.manifest.prev == manifest.sha256(
        files(shop)[manifest.manifest_name(first.manifest)]
    )
    assert second.manifest.file in files(shop)["RESTORE.txt"].decode()


@pytest.mark.parametrize(
    ("after", "why"),
    [
        pytest.param(7 * DAY, "a week old", id="week"),
        pytest.param(-HOUR, "the clock was changed", id="clock"),
    ],
)
def test_time_makes_a_full_one(shop, after, why):
    """A chain that grows for ever is one that breaks some day."""
    make(shop)
    change(shop)

    done = make(shop, now=NOW + after)

    assert done.manifest.kind == "full"
    assert why in done.why_full


def test_a_full_one_when_asked_for_and_when_the_base_is_gone(shop):
    """The copy that differentials build on is only a convenience."""
    make(shop)
    assert make(shop, now=NOW + HOUR, full=True).why_full == "it was asked for"
    Home(shop.folder).base.unlink()
    assert "missing" in make(shop, now=NOW + 2 * HOUR).why_full
    data = bytearray(Home(shop.folder).base.read_bytes())
    data[5000] ^= 1
    Home(shop.folder).base.write_bytes(data)
    assert "altered" in make(shop, now=NOW + 3 * HOUR).why_full


def test_an_erasure_makes_a_full_one_and_deletes_the_copy(shop):
    """The copy beside the database still held the erased customer."""
    make(shop)
    row = next(r for r in real_shop.content(shop)["customers"] if r["email"])
    plan = removals.plan_erasure(shop, row["customer_id"], now=NOW)
    removals.erase(shop, plan, actor="owner", now=NOW)
    assert not Home(shop.folder).base.exists()

    done = make(shop, now=NOW + HOUR)

    assert done.manifest.kind == "full"
    assert done.manifest.ledger == shop.ledger.head
    ledger = next(name for name in done.manifest.beside if name.startswith("ledger"))
    sealed = files(shop)[ledger]
    told = beside.unseal(ledger, sealed, [ESCROW], sha256=done.manifest.beside[ledger])
    assert told == shop.ledger.path.read_bytes()


def test_the_log_is_proven_by_every_backup(shop):
    """A log that is cut off later does not agree with the mark that left the shop."""
    done = make(shop)

    with database.begin(shop.engine) as connection:
        entries = list(audit.entries(connection))
    seq, digest = done.manifest.audit
    assert entries[seq - 1]["action"] == "backup"
    assert entries[seq - 1]["hash"].hex() == digest


def test_one_person_is_not_enough(tmp_path):
    """A lost key must not be the loss of all backups; the message says what comes next."""
    real_shop.filled(tmp_path / "shop").close()
    with Shop.open(tmp_path / "shop", real_shop.WORDS) as bare:
        with pytest.raises(NoPeople, match="there are 0.*kit keys recovery"):
            backup.make(bare, actor="owner", now=NOW)
    said = (tmp_path / "shop" / SETTINGS).read_text(encoding="utf-8")
    one = settings.with_line(said, "backup.people", "owner", backed_up.public(OWNER))
    (tmp_path / "shop" / SETTINGS).write_text(one, encoding="utf-8")
    with Shop.open(tmp_path / "shop", real_shop.WORDS) as lonely:
        with pytest.raises(NoPeople, match="there is 1.*kit backup person"):
            backup.make(lonely, actor="owner", now=NOW)


def test_a_second_person_gets_a_key_of_their_own(tmp_path):
    """It is shown once; only its public half is kept, and it is not replaced by mistake."""
    real_shop.filled(tmp_path / "shop").close()
    paper = backup.add_person(tmp_path / "shop", "escrow")

    said = settings.load(tmp_path / "shop" / SETTINGS)
    assert said.backup.people == {"escrow": backed_up.public(paper)}
    for path in (tmp_path / "shop").rglob("*"):
        assert not path.is_file() or paper.encode() not in path.read_bytes()
    for wrong in ("Ana B", "a.b", 'x"', "", "a" * 33):
        with pytest.raises(SettingsError, match="one word in small letters"):
            backup.add_person(tmp_path / "shop", wrong)
    with pytest.raises(BackupError, match="has a key already") as caught:
        backup.add_person(tmp_path / "shop", "escrow")
    assert paper not in str(caught.value)


def test_a_place_is_named_by_a_command(tmp_path):
    """People who do not like to edit files can name a place, and move it."""
    folder = tmp_path / "shop"
    real_shop.filled(folder).close()
    backup.add_place(folder, "usb", "/media/usb", offsite=True)
    backup.add_place(folder, "nas", "sftp://me@nas/b", offsite=False)
    backup.add_place(folder, "usb", "/media/other", offsite=False)

    said = settings.load(folder / SETTINGS).backup
    assert said.places == {"here": "backups", "nas": "sftp://me@nas/b", "usb": "/media/other"}
    assert said.offsite == ()
    with pytest.raises(SettingsError, match="one word"):
        backup.add_place(folder, "My USB", "/media/usb", offsite=True)


def test_settings_saved_by_another_editor_or_not_there(tmp_path):
    """Notepad puts a mark before the text; and a folder without a shop says what to do."""
    folder = tmp_path / "shop"
    real_shop.filled(folder).close()
    text = (folder / SETTINGS).read_text(encoding="utf-8")
    (folder / SETTINGS).write_text(text, encoding="utf-8-sig")
    backup.add_place(folder, "usb", "/media/usb", offsite=True)
    backup.add_person(folder, "escrow")

    assert settings.load(folder / SETTINGS).backup.offsite == ("usb",)
    with pytest.raises(SettingsError, match="kit init"):
        backup.add_place(tmp_path, "usb", "/media/usb", offsite=True)
    with pytest.raises(SettingsError, match="kit init"):
        backup.add_person(tmp_path, "escrow")


def test_a_place_that_is_unplugged_holds_up_no_other(shop):
    """The backup is there, and what went wrong is told and remembered."""
    away = backed_up.away(shop)
    make(shop)
    hidden = away.with_name("unplugged")
    away.rename(hidden)
    change(shop)

    done = backup.make(shop, actor="owner", now=NOW + HOUR)

    assert done.places[HERE] == ""
    assert done.places[AWAY]
    state = Home(shop.folder).load()
    assert state.place(AWAY).fault == done.places[AWAY]
    assert (state.place(AWAY).seq, state.place(HERE).seq) == (1, 2)

    hidden.rename(away)
    change(shop, 2)
    back = make(shop, now=NOW + 2 * HOUR)
    assert back.manifest.seq == 3
    assert manifest.manifest_name(done.manifest) in names(shop)
    assert done.manifest.file not in names(shop)
    assert Home(shop.folder).load().place(AWAY).fault == ""


def test_a_place_that_missed_the_full_one_is_given_it(shop):
    """A differential without its base would be of no use there."""
    away = backed_up.away(shop)
    away.rmdir()
    first = backup.make(shop, actor="owner", now=NOW)
    assert first.places[AWAY]
    away.mkdir()
    change(shop)

    second = make(shop, now=NOW + HOUR)

    assert second.manifest.kind == "diff"
    assert first.manifest.file in names(shop)
    assert Home(shop.folder).load().place(AWAY).has == [1, 2]


def test_no_place_no_backup(shop):
    """Nothing is counted that is nowhere, and the next one takes its number."""
    for where in (HERE, AWAY):
        away = backed_up.away(shop, where)
        shutil.rmtree(away, ignore_errors=True)
    with pytest.raises(NothingStored, match="here: .*away: "):
        backup.make(shop, actor="owner", now=NOW)
    assert Home(shop.folder).load().head == (0, "0" * 64)
    assert Home(shop.folder).manifests() == {}
    for where in (HERE, AWAY):
        backed_up.away(shop, where).mkdir()

    assert make(shop, now=NOW + HOUR).manifest.seq == 1


def test_a_list_that_lost_its_end_here_is_found_again_in_a_place(shop):
    """A state that was restored from last week goes on from what the places know."""
    make(shop)
    home = Home(shop.folder)
    old = {path: path.read_bytes() for path in home.folder.rglob("*.json")}
    change(shop)
    second = make(shop, now=NOW + HOUR)
    shutil.rmtree(home.folder / "manifests")
    for path, data in old.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    third = make(shop, now=NOW + 2 * HOUR)

    assert third.manifest.seq == 3
    assert third.manifest.prev == manifest.sha256(
        files(shop)[manifest.manifest_name(second.manifest)]
    )


def test_a_list_that_does_not_hold_stops_everything(shop):
    """Going on would bury the evidence under new backups."""
    make(shop)
    change(shop)
    make(shop, now=NOW + HOUR)
    home = Home(shop.folder)
    first = sorted(home.manifests())[0]
    for where in (home.folder / "manifests", *(backed_up.away(shop, w) for w in (HERE, AWAY))):
        (where / first).unlink()

    with pytest.raises(Untrue, match="manifest 1 is missing"):
        backup.make(shop, actor="owner", now=NOW + 2 * HOUR)


def test_two_lists_in_one_place_name_the_way_out(shop, tmp_path):
    """A folder that was set back while a disk was away: no later run could ever go on."""
    make(shop)
    before = shutil.copytree(Home(shop.folder).folder, tmp_path / "before")
    here = files(shop, HERE)
    make(shop, now=NOW + HOUR)
    backed_up.put_back(shop, here, HERE)
    shutil.rmtree(Home(shop.folder).folder)
    before.rename(Home(shop.folder).folder)
    away = backed_up.away(shop)
    away.rename(tmp_path / "unplugged")
    backup.make(shop, actor="owner", now=NOW + 2 * HOUR)
    (tmp_path / "unplugged").rename(away)

    with pytest.raises(backup.Untrue, match=r"claim number 2: .*move .backup out") as caught:
        make(shop, now=NOW + 3 * HOUR)

    assert "kit backup place" in str(caught.value)


def test_a_long_list_is_read_as_often_as_a_short_one(shop, monkeypatch):
    """Read once for each of its backups, a list of 50 days made an hourly backup take 100 s."""
    real, reads = Home.manifests, []
    monkeypatch.setattr(Home, "manifests", lambda home: reads.append(home) or real(home))
    told = []
    for hour in range(4):
        make(shop, now=NOW + hour * HOUR)
        told.append(len(reads))
        reads.clear()

    assert told[3] == told[0]


def test_a_key_that_a_kept_backup_needs_is_not_retired(shop):
    """Restored next month, its values have to open."""
    make(shop)
    old = shop.keyring.primary("field").id
    rekey.rotate_key(shop, "field", now=NOW)
    shop.close()
    with Shop.open(shop.folder, real_shop.WORDS) as again:
        rekey.renew(again, actor="owner", now=NOW)
        with pytest.raises(RekeyError, match="1 kept backups need key"):
            rekey.retire(again, old)
        newer = make(again, now=NOW + HOUR, full=True).manifest
        assert old not in newer.key_ids
        assert again.keyring.primary("field").id in newer.key_ids
        home = Home(shop.folder)
        state = home.load()
        for where in state.places.values():
            where.has = [2]
        home.save(state)
        rekey.retire(again, old)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights another way")
def test_the_copy_beside_the_database_is_as_private_as_it(shop):
    """It can be read without any key."""
    make(shop)

    for path in Home(shop.folder).folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600) or (
            path.name == "lock"
        )


def test_the_manifest_tells_no_business_secret(shop):
    """It lies unsealed in the cloud: no name of a customer, no number of sales."""
    done = make(shop)
    told = json.loads(files(shop)[manifest.manifest_name(done.manifest)])

    assert told["inside_sha256"] == done.manifest.inside_sha256
    assert not {"rows", "marks", "customers", "sales"} & {*told}


def test_postgresql_is_backed_up_whole(tmp_path, postgres, monkeypatch):
    """The same command; what comes out is for pg_restore."""
    backed_up.postgres_programs(monkeypatch)
    with filled(tmp_path / "shop", postgres) as shop:
        done = make(shop)
        assert done.manifest.file.endswith("-full.pgdump.age")
        assert done.why_full == "PostgreSQL is always backed up whole"
        assert "pg_restore" in files(shop)["RESTORE.txt"].decode()
        assert make(shop, now=NOW + HOUR).manifest.kind == "full"


def test_a_backup_loads_no_tables_of_spreadsheets():
    """The pandas package would double the memory and the time of a small backup."""
    code = "import sys; from kit import drill, restore, upkeep; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
    assert backup.PUBLIC == vault.PUBLIC
