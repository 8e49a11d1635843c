"""A shop's folder is made whole or not at all, opens with its own keys only, and logs each look."""

from __future__ import annotations

import re
import shutil
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from real_shop import (
    CHEAPEST,
    LATER,
    NOW,
    WORDS,
    ZONE,
    content,
    exports,
    filled,
    make,
    sound,
    taken,
)
from test_imports import narrow

from kit import audit, rows, store, tamper
from kit.audit import BadEntry
from kit.keyfile import BadKeyFile, CannotOpen, KeyFile, Passphrase, Refused
from kit.keys import Keyring
from kit.passphrase import TooWeak
from kit.settings import SettingsError
from kit.shop import (
    FOLDERS,
    KEYRING,
    SETTINGS,
    NoSuchCustomer,
    NotAllowed,
    NotAShop,
    Shop,
    ShopError,
    noted_generation,
)

NEW = {"name": "Corner Flowers", "time_zone": ZONE, "now": NOW}
OWNER = {"actor": "owner", "purpose": "sale", "now": NOW}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return a shop with a week of sales, shared by the tests that only look."""
    with filled(tmp_path_factory.mktemp("week") / "shop") as made:
        yield made


def entries(shop):
    """Return the log, oldest first."""
    with shop.reading() as connection:
        return list(audit.entries(connection))


def somebody(shop, *columns):
    """Return the first customer who has all of these."""
    return next(row for row in content(shop)["customers"] if all(row[name] for name in columns))


def setting(folder, old, new):
    """Change a line of shop.toml."""
    text = (folder / SETTINGS).read_text(encoding="utf-8")
    assert old in text
    (folder / SETTINGS).write_text(text.replace(old, new), encoding="utf-8")


# ---- making and opening


def test_a_new_shop(tmp_path):
    """All that it needs, nothing that others can open, and its first day is in the log."""
    (tmp_path / "shop").mkdir()
    with Shop.init(tmp_path / "shop", WORDS, owner="maria", **NEW) as shop:
        names = {path.name for path in shop.folder.iterdir()}
        assert {*FOLDERS, "shop.toml", "inventory.toml", "shop.sqlite", "keyring.json"} <= names
        assert [(e["actor"], e["role"], e["action"]) for e in entries(shop)] == [
            ("maria", "owner", "settings")
        ]
        assert sa.inspect(shop.engine).has_table("kit_requests")
        sound(shop)
    if sys.platform != "win32":
        for name in (*FOLDERS, "shop.sqlite", "keyring.json"):
            assert stat.S_IMODE((shop.folder / name).stat().st_mode) & 0o077 == 0
    with Shop.open(tmp_path / "shop", WORDS) as again:
        assert again.settings.owner == "maria"
        assert [path.name for path in again.files()][0] == "shop.sqlite"
        assert noted_generation(again.folder) == again.keyring.generation == 1


@pytest.mark.parametrize(
    ("words", "more", "error", "said"),
    [
        pytest.param("flowers", {}, TooWeak, "six", id="weak passphrase"),
        pytest.param("corner flowers corner flowers", {}, TooWeak, "", id="the shop's name"),
        pytest.param(WORDS, {"time_zone": "Mars"}, SettingsError, "time_zone", id="no such zone"),
        pytest.param(WORDS, {"owner": "Maria S."}, SettingsError, "small letters", id="owner"),
        pytest.param(WORDS, {"database_url": "mysql://x/y"}, store.StoreError, "", id="database"),
        pytest.param(WORDS, {"database_url": "postgresql://localhost:1/x"}, store.Missing, "no",
                     id="no server"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("existed", [True, False])
def test_what_cannot_be_made_leaves_nothing_behind(tmp_path, words, more, error, said, existed):
    """The next try begins with a clean folder."""
    if existed:
        (tmp_path / "shop").mkdir()
    with pytest.raises(error, match=said or None) as caught:
        Shop.init(tmp_path / "shop", words, **NEW | more)

    assert words not in str(caught.value) or words == "flowers"
    assert [*tmp_path.rglob("*")] == [tmp_path / "shop"][: int(existed)]


def test_a_folder_from_which_git_would_publish_it(tmp_path):
    """The keyring is refused there, after the rest was written: all of it goes again."""
    (tmp_path / ".git").mkdir()
    with pytest.raises(Refused, match="git would publish"):
        Shop.init(tmp_path / "shop", WORDS, **NEW)

    assert [path.name for path in tmp_path.iterdir()] == [".git"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    """Nobody's files are mixed with a shop's, and no shop is made over another."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(NotAShop, match="is not empty"):
        Shop.init(tmp_path, WORDS, **NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def lines_of_init():
    """Return the numbers of the lines between `try` and `except` of `Shop.init`."""
    code, start = Shop.init.__func__.__code__, Shop.init.__func__.__code__.co_firstlineno
    text = Path(code.co_filename).read_text(encoding="utf-8").splitlines()
    first = next(n for n in range(start, len(text)) if text[n - 1].strip() == "try:") + 1
    last = next(n for n in range(first, len(text)) if "except BaseException" in text[n - 1])
    return code, range(first, last)


def test_whatever_step_fails_nothing_is_left(tmp_path):
    """The power goes at any line of it: stop there, look, go on at the next."""
    code, lines = lines_of_init()
    stopped = []

    def trace(frame, event, _):
        if frame.f_code is code:
            return at_line
        return None

    def at_line(frame, event, _):
        if event == "line" and frame.f_lineno == line:
            raise KeyboardInterrupt
        return at_line

    for line in lines:
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            Shop.init(tmp_path / "a" / "shop", WORDS, **NEW).close()
        except KeyboardInterrupt:
            stopped.append(line)
            assert not (tmp_path / "a" / "shop").exists()
        finally:
            sys.settrace(before)
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
    assert len(stopped) > 10


def test_the_wrong_passphrase_opens_nothing(tmp_path):
    """And the message does not repeat it."""
    with make(tmp_path / "shop") as shop:
        pass
    with pytest.raises(CannotOpen, match="wrong passphrase") as caught:
        Shop.open(shop.folder, "quartz-bamboo-lantern")
    assert "quartz" not in str(caught.value)


def test_an_older_keyring_that_was_put_back_is_refused(tmp_path):
    """It lacks the newest key: new rows would not open, and nobody would know why."""
    with make(tmp_path / "shop") as shop:
        shutil.copy(shop.folder / KEYRING, tmp_path / "old.json")
        shop.keyring.rotate("field", now=NOW)
    with Shop.open(shop.folder, WORDS) as shop:
        assert noted_generation(shop.folder) == shop.keyring.generation
    shutil.copy(tmp_path / "old.json", shop.folder / KEYRING)

    with pytest.raises(NotAShop, match="an older keyring was put back"):
        Shop.open(shop.folder, WORDS)


def test_a_database_of_a_newer_kit_is_refused(tmp_path):
    """An old program does not write into what it does not know."""
    with make(tmp_path / "shop") as shop, shop.writing("owner", NOW) as connection:
        store.note(connection, "format", "99")

    with pytest.raises(store.Newer, match="update the kit"):
        Shop.open(shop.folder, WORDS)


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        pytest.param("shop.toml", SettingsError, "kit init", id="no settings"),
        pytest.param("keyring.json", BadKeyFile, "no such file", id="no keys"),
        pytest.param("shop.sqlite", store.Missing, "no database", id="no database"),
    ],
)
def test_a_folder_in_which_something_is_missing(tmp_path, name, error, said):
    """What is missing is named, and nothing is made in its place."""
    with make(tmp_path / "shop") as shop:
        pass
    (shop.folder / name).unlink()

    with pytest.raises(error, match=said):
        Shop.open(shop.folder, WORDS)
    assert not (shop.folder / name).exists()


def test_another_file_in_place_of_the_database(tmp_path):
    """It says so, and leaves it."""
    with make(tmp_path / "shop") as shop:
        pass
    (shop.folder / "shop.sqlite").unlink()
    with closing(sqlite3.connect(shop.folder / "shop.sqlite")) as other:
        other.execute("CREATE TABLE recipes (name)")

    with pytest.raises(store.Damaged, match="no shop's database"):
        Shop.open(shop.folder, WORDS)


def test_the_database_may_lie_elsewhere(tmp_path, monkeypatch):
    """On another disk; the address may name a variable, so that the folder can be moved."""
    with make(tmp_path / "shop") as shop:
        pass
    shutil.move(shop.folder / "shop.sqlite", tmp_path / "other.sqlite")
    setting(shop.folder, "sqlite:///shop.sqlite", f"sqlite:///{tmp_path / 'other.sqlite'}")

    with Shop.open(shop.folder, WORDS) as shop:
        assert shop.files()[0] == tmp_path / "other.sqlite"


def test_on_postgresql(tmp_path, postgres):
    """The same shop: found, logged, verified; no files of its own to look through."""
    with filled(tmp_path / "shop", postgres) as shop:
        ana = somebody(shop, "email")
        found = shop.find(ana["email"].upper(), **OWNER)
        assert [seen.id for seen in found] == [ana["customer_id"]]
        assert [seen.id for seen in shop.find(ana["last_name"].lower(), **OWNER)]
        assert [e["action"] for e in shop.who(ana["customer_id"], actor="owner", now=NOW)[0]][0]
        assert shop.files() == []
        # made with the others: who answers the first request may have no right to make a table
        assert sa.inspect(shop.engine).has_table("kit_requests")
        mark = shop.checkpoint(actor="owner", now=NOW).to_json()
        assert shop.verify_log([mark]).proven > 0
        sound(shop)


# ---- finding


def test_a_customer_is_found_by_whatever_they_say(shop):
    """E-mail in any case, telephone as it is written here, either name or both, the number."""
    ana = somebody(shop, "email", "phone", "last_name")
    digits = ana["phone"].removeprefix("+1")
    for text in (
        ana["email"],
        f"  {ana['email'].upper()} ",
        ana["phone"],
        f"({digits[:3]}) {digits[3:6]}-{digits[6:]}",
        f"1 {digits[:3]}.{digits[3:6]}.{digits[6:]}",
        f"{ana['first_name']}  {ana['last_name']}".upper(),
        ana["customer_id"],
    ):
        assert ana["customer_id"] in [seen.id for seen in shop.find(text, **OWNER)], text
    for part in (ana["first_name"], ana["last_name"].lower()):
        assert ana["customer_id"] in [seen.id for seen in shop.find(part, **OWNER)]

    (seen,) = shop.find(ana["customer_id"], **OWNER)
    assert seen.fields == ana
    sales = [row for row in content(shop)["sales"] if row["customer_id"] == seen.id]
    assert (seen.sales, seen.points) == (len(sales), None)


@pytest.mark.parametrize(
    "text",
    [
        "nobody@example.com", "@", "+12125550199", "555", "12", "+1 212 5550 1", "Nobody Here",
        "+9999999999999999999", "%", "_", "' OR 1=1 --", "square-", "a" * 255,
    ],
)  # fmt: skip
def test_nobody_is_found_by_what_fits_nobody(shop, text):
    """Not even by what a careless program would take for a pattern or for SQL."""
    assert shop.find(text, **OWNER) == []


@pytest.mark.parametrize("text", ["", "   ", "a\0b", "\ud800", "x" * 300, "x" * 70_000 + "@y"])
def test_what_nobody_can_be_called_is_refused_in_words(shop, text):
    """With an error of the kit, which does not repeat it."""
    with pytest.raises(Exception, match=".") as caught:
        shop.find(text, **OWNER)

    assert type(caught.value).__module__.startswith("kit.")
    assert not text.strip() or text[:20] not in str(caught.value)
    assert text in ("a\0b", "\ud800") or "customer_id" not in str(caught.value)


def test_names_that_no_database_folds(tmp_path):
    """José, ÉMILE and Straße, typed in another case, or composed otherwise."""
    with make(tmp_path / "shop") as shop:
        with shop.writing("owner", NOW) as connection:
            listed = [
                {"customer_id": "c1", "first_name": "JOSÉ", "last_name": "Ñandú"},
                {"customer_id": "c2", "name": "Émile de la Straße"},
                {"customer_id": "c3", "first_name": "Jose"},
            ]
            rows.load(connection, shop.tables.tables["customers"], [listed])
        for text, wanted in {
            "josé ñandú": ["c1"], "JOSÉ": ["c1"], "Jose\u0301": ["c1"], "jose": ["c3"],
            "ÉMILE DE LA STRASSE": ["c2"], "émile de la straße": ["c2"],
        }.items():  # fmt: skip
            assert [seen.id for seen in shop.find(text, **OWNER)] == wanted, text


def test_who_shares_a_number_of_the_index_is_not_taken_for_another(tmp_path):
    """With one bit, half of the customers have the same number; each hit is opened and compared."""
    with make(tmp_path / "shop") as shop:
        pass
    setting(shop.folder, "index_bits = 10", "index_bits = 1")
    with Shop.open(shop.folder, WORDS) as shop:
        taken(shop, exports("square")["customers"])
        with shop.reading() as connection:
            listed = rows.find(connection, shop.tables.tables["customers"], {})
            numbers = {row["email_index"] for row in listed}
        known = [row for row in content(shop)["customers"] if row["email"]]

        assert numbers == {0, 1, None}
        assert len(known) >= 10
        for row in known:
            (seen,) = shop.find(row["email"], **OWNER)
            assert seen.id == row["customer_id"]
        assert shop.find("nobody@example.com", **OWNER) == []


def test_a_shop_that_holds_less(tmp_path):
    """Fields that its owner deleted from the inventory are neither looked in nor missed."""
    with make(tmp_path / "shop") as shop:
        pass
    narrow(
        shop.folder,
        "customers.first_name", "customers.email", "customers.phone", "loyalty.points",
    )  # fmt: skip
    with Shop.open(shop.folder, WORDS) as shop:
        taken(shop, exports("square")["customers"])
        ana = somebody(shop, "last_name")
        assert ana.keys().isdisjoint({"first_name", "email", "phone"})
        assert ana["customer_id"] in [s.id for s in shop.find(ana["last_name"], **OWNER)]
        assert shop.find("ana@example.com", **OWNER) == []
        assert shop.find("+12125550143", **OWNER) == []
        assert shop.find(ana["customer_id"], **OWNER)[0].points is None


def test_the_kits_own_purposes_need_no_place_in_the_inventory(tmp_path):
    """Whoever tidies the list of purposes does not stop the log."""
    with make(tmp_path / "shop") as shop:
        path = shop.folder / "inventory.toml"
        text = path.read_text(encoding="utf-8")
        text = re.sub("^(accounts|proof) = .*\n", "", text, flags=re.MULTILINE)
        text = text.replace('"accounts"', '"sale"').replace('"proof"', '"sale"')
        path.write_text(text.replace('["sale", "sale"', '["sale"'), encoding="utf-8")

    with Shop.open(shop.folder, WORDS) as shop:
        taken(shop, exports("square")["customers"])
        with pytest.raises(BadEntry, match="purpose is not one of"):
            shop.find("Ana", actor="owner", purpose="gossip", now=NOW)


# ---- who may see what, and who looked


def test_a_cashier_sees_masked_what_is_not_for_the_till(shop):
    """Enough to ask "is it the one at example.com?", no more; a manager sees it."""
    ana = somebody(shop, "email", "phone")
    (seen,) = shop.find(ana["customer_id"], **OWNER | {"actor": "sam"})
    (all_,) = shop.find(ana["customer_id"], **OWNER | {"actor": "max"})

    assert seen.fields["email"] == f"{ana['email'][0]}•••@{ana['email'].partition('@')[2]}"
    assert {seen.fields[name] for name in ("phone", "birthday", "note")} == {"•••"}
    assert seen.fields["first_name"] == ana["first_name"]
    assert all_.fields["email"] == ana["email"]


@pytest.mark.parametrize("actor", ["mia", "tom"])
def test_marketer_and_trainer_look_up_nobody(shop, actor):
    """Nothing comes back, and that it was tried is in the log."""
    ana, before = somebody(shop, "email"), len(entries(shop))
    with pytest.raises(NotAllowed, match="It was noted") as caught:
        shop.find(ana["email"], **OWNER | {"actor": actor})
    with pytest.raises(NotAllowed, match="It was noted"):  # who looked would tell that she is one
        shop.who(ana["email"], actor=actor, now=NOW)
    last = entries(shop)[-1]

    assert isinstance(caught.value, ShopError)
    assert ana["email"] not in str(caught.value)
    assert len(entries(shop)) == before + 2
    assert (last["actor"], last["action"], last["subject"]) == (actor, "refused:search", None)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"purpose": "gossip"}, BadEntry, id="a purpose that is none"),
        pytest.param({"actor": "eve"}, SettingsError, id="somebody unknown"),
    ],
)
def test_without_a_purpose_or_a_name_nobody_looks(shop, change, error):
    """The log takes only words that were agreed on, and what is not logged is not told."""
    before = len(entries(shop))

    with pytest.raises(error):
        shop.find(somebody(shop, "email")["email"], **OWNER | change)
    assert len(entries(shop)) == before


def test_every_look_is_in_the_log_and_can_be_asked(tmp_path):
    """Who, for what, whose data; found again by the customer, readable by nobody."""
    with filled(tmp_path / "shop") as shop:
        ana, ben = [row for row in content(shop)["customers"] if row["email"]][:2]
        for actor, purpose in (("sam", "loyalty"), ("max", "receipts")):
            shop.find(ana["email"], actor=actor, purpose=purpose, now=NOW)
        shop.find(ben["email"], **OWNER)
        told, changes = shop.who(ana["customer_id"], actor="owner", now=LATER)

        looks = [(e["actor"], e["role"], e["action"], e["purpose"]) for e in told]
        assert looks == [
            ("sam", "cashier", "look", "loyalty"),
            ("max", "manager", "look", "receipts"),
            ("owner", "owner", "look", "proof"),
        ]
        assert [(c.actor, c.action) for c in changes][0] == ("owner", "insert")
        log = str(entries(shop))
        assert all(word not in log for word in (ana["email"], ana["customer_id"], ana["last_name"]))
        searched = [e for e in entries(shop) if e["action"] == "search"]
        assert [e["count"] for e in searched] == [1, 1, 1]
        assert len({e["filter"] for e in searched}) == 2  # the same text, the same hash


def test_asking_about_nobody_or_about_several(shop):
    """It says how many fit, not who."""
    last = somebody(shop, "last_name")["last_name"]
    for text in ("nobody@example.com", "Nobody Here"):
        with pytest.raises(NoSuchCustomer, match="nobody fits"):
            shop.who(text, actor="owner", now=NOW)
    with shop.writing("owner", NOW) as connection:
        rows.add(
            connection, shop.tables.tables["customers"], {"customer_id": "two", "last_name": last}
        )
    with pytest.raises(NoSuchCustomer, match="2 customers fit") as caught:
        shop.who(last, actor="owner", now=NOW)
    assert last not in str(caught.value)


def test_what_was_done_to_the_log_is_found(tmp_path):
    """Whoever has the file can change it, but not unseen; a checkpoint proves its end."""
    with make(tmp_path / "shop") as shop:
        for _ in range(3):
            shop.find("Ana", **OWNER)
        mark = shop.checkpoint(actor="owner", now=NOW).to_json()
        assert (shop.verify_log().proven, shop.verify_log([mark]).proven) == (0, 5)
        with shop.writing("owner", NOW) as connection:
            connection.exec_driver_sql("DROP TRIGGER kit_audit_no_delete")
            connection.exec_driver_sql("DELETE FROM kit_audit WHERE seq = 3")

        with pytest.raises(tamper.Broken, match="entry 3 is missing"):
            shop.verify_log()


def test_checkpoints_of_an_older_signing_key_still_count(tmp_path):
    """The key may change; what it signed stays proof."""
    with make(tmp_path / "shop") as shop:
        mark = shop.checkpoint(actor="owner", now=NOW).to_json()
        old = shop.keyring.primary("signing").id
        shop.keyring.rotate("signing", now=NOW)
        assert shop.verify_log([mark]).proven == 2
    with make(tmp_path / "other") as shop:
        old = shop.keyring.primary("signing").id
        shop.keyring.rotate("signing", now=NOW)
        shop.keyring.retire(old, in_use=False)
        assert shop.verify_log().entries == 1


def test_what_is_unusual(tmp_path):
    """An empty log has nothing to tell; somebody who looks up a hundred people at night does."""
    with make(tmp_path / "shop") as shop:
        assert shop.unusual(since=NOW, now=NOW) == []
        taken(shop, exports("square")["customers"])
        night = LATER.replace(hour=8)  # three in the morning in New York
        for row in content(shop)["customers"]:
            shop.find(row["customer_id"], actor="sam", purpose="sale", now=night)
        found = shop.unusual(since=NOW, now=LATER)

    assert found
    assert "sam" in " ".join(one.text for one in found)


# ---- sealing


def test_values_are_sealed_to_their_rows_and_read_back(shop):
    """A token that is copied into another row does not open there."""
    with shop.reading() as connection:
        stored = rows.find(connection, shop.tables.tables["customers"], {})
    first, other = [row for row in stored if row["email"]][:2]

    assert shop.opened("customers", []) == []
    assert first["email"][:1] == b"\x01"
    with pytest.raises(Exception, match="moved from another row"):
        shop.opened("customers", [first | {"email": other["email"]}])


def test_two_passphrases_of_one_keyring(tmp_path):
    """The passphrase changes, the keys stay, the rows open."""
    with filled(tmp_path / "shop") as shop:
        before = content(shop)["customers"]
        other = "quartz-bamboo-lantern-pepper-saddle-ribbon"
        shop.keyring.store.change_passphrase(Passphrase(other, **CHEAPEST))
    with Shop.open(shop.folder, other) as again:
        assert content(again)["customers"] == before
    assert Keyring.open(KeyFile(shop.folder / KEYRING, Passphrase(other))).generation == 3
