"""Keys change while the shop is open: nothing is lost, nothing waits long, nothing old stays."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import sqlalchemy as sa
from real_shop import CUSTOMERS, LATER, NOW, WORDS, content, exports, filled, make, sound, taken
from test_imports import ROOT, edited

from kit import audit, rekey, removals, rows
from kit.keys import NotAllowed
from kit.rekey import RekeyError
from kit.shop import STAND_INS, Shop

OWNER = {"actor": "owner", "now": LATER}
ASKED = {"actor": "owner", "purpose": "sale", "now": LATER}


@pytest.fixture
def shop(tmp_path):
    """Return a shop in which rows, history and trash hold tokens."""
    with lived_in(tmp_path, filled(tmp_path / "shop")) as made:
        yield made


def lived_in(tmp_path, shop):
    """Change some customers, so that there is a history, and delete one."""

    def change(listed):
        return [
            row | {"Phone Number": "+12125550143", "Memo": "likes tulips"} for row in listed[:9]
        ]

    taken(shop, edited(tmp_path, exports("square")["customers"], change), now=LATER)
    removals.delete(shop, "square-cus_0000000006", **OWNER)
    return shop


def rotated(shop, *purposes):
    """Make new keys; return the numbers of the old ones."""
    old = [shop.keyring.primary(purpose).id for purpose in purposes]
    for purpose in purposes:
        rekey.rotate_key(shop, purpose, now=LATER)
    return old


def tables(shop):
    """Return what people read of the shop."""
    return {name: found for name, found in content(shop).items() if not name.startswith("kit_")}


def past(shop):
    """Return the history, with values in place of tokens."""
    table = shop.tables.tables["kit_history"]
    with shop.reading() as connection:
        listed = rows.find(connection, table, {})
    for entry in listed:
        place = "{table_name}.{column_name}.{row_id}".format_map(entry)
        for name in ("old", "new"):
            entry[name] = entry[name] and shop.cipher.unseal(entry[name], context=place)
    return listed


def change_note(shop, key, note):
    """Change a customer's note, as a colleague at the next till does."""
    table = shop.tables.tables["customers"]
    sealed = {
        name: cells[0] for name, cells in shop.seal("customers", {"note": [note]}, [key]).items()
    }
    with shop.writing("max", LATER) as connection:
        version = rows.get(connection, table, key)["version"]
        rows.change(connection, table, key, sealed, version=version)


def note_of(shop, key):
    """Return a customer's note."""
    return next(row["note"] for row in tables(shop)["customers"] if row["customer_id"] == key)


def test_everything_is_brought_to_the_new_keys(tmp_path, shop):
    """Rows, numbers to search by, history and trash; no value changes, no trace is left."""
    before, told = tables(shop), past(shop)
    used = rekey.in_use(shop)
    old = rotated(shop, "field", "index")
    ticks = []
    done = rekey.renew(shop, **OWNER, progress=lambda *at: ticks.append(at))

    assert {*used} == {*old}
    assert {*rekey.in_use(shop)} == {shop.keyring.primary(p).id for p in ("field", "index")}
    assert (tables(shop), past(shop)) == (before, told)
    assert ticks[-1] == (done, None)
    assert done > CUSTOMERS
    ana = next(row for row in before["customers"] if row["email"] and row["phone"])
    for text in (ana["email"].upper(), ana["phone"]):
        assert ana["customer_id"] in [seen.id for seen in shop.find(text, **ASKED)]
    with shop.reading() as connection:
        last = [e for e in audit.entries(connection) if e["action"] == "keys"][-1]
    assert (last["actor"], last["count"]) == ("owner", done)
    assert rekey.renew(shop, **OWNER) == 0
    sound(shop)
    with Shop.open(shop.folder, WORDS) as again:
        assert tables(again) == before


def test_on_postgresql(tmp_path, postgres):
    """The same through the same code."""
    with lived_in(tmp_path, filled(tmp_path / "shop", postgres)) as shop:
        before, told = tables(shop), past(shop)
        old = rotated(shop, "field", "index")
        assert rekey.renew(shop, **OWNER) > CUSTOMERS
        for key in old:
            rekey.retire(shop, key)
        assert (tables(shop), past(shop)) == (before, told)
        assert rekey.renew(shop, **OWNER) == 0
        sound(shop)


class Stop(Exception):
    """Somebody closes the lid."""


def test_it_can_be_stopped_after_any_batch_and_gone_on_with(shop, monkeypatch):
    """In between everything opens, and everybody is found, whichever key their number is of."""
    monkeypatch.setattr(rekey, "AT_ONCE", 40)
    before = tables(shop)
    known = [row for row in before["customers"] if row["email"]]
    old = rotated(shop, "field", "index")
    done = 0
    for stopped in range(100):

        def tick(so_far, total):
            raise Stop(so_far)

        try:
            rekey.renew(shop, **OWNER, progress=tick)
        except Stop as stop:
            done += stop.args[0]
            assert tables(shop) == before
            one = known[stopped % len(known)]
            assert [seen.id for seen in shop.find(one["email"], **ASKED)] == [one["customer_id"]]
        else:
            break
    assert 5 < stopped < 99
    assert done > CUSTOMERS
    assert old[0] not in rekey.in_use(shop)
    sound(shop)


def test_everybody_is_found_while_it_runs(shop, monkeypatch):
    """By e-mail and telephone, after each batch."""
    monkeypatch.setattr(rekey, "AT_ONCE", 10)
    rotated(shop, "field", "index")
    known = [row for row in tables(shop)["customers"] if row["email"]]
    looks = []

    def look(*at):
        row = known[len(looks) % len(known)]
        looks.append([seen.id for seen in shop.find(row["email"], **ASKED)] == [row["customer_id"]])

    rekey.renew(shop, **OWNER, progress=look)
    assert len(looks) > 20
    assert all(looks)


class Busy:
    """A cipher during whose work somebody else gets in first, once."""

    def __init__(self, cipher, meanwhile):
        self.cipher, self.meanwhile = cipher, meanwhile

    def __getattr__(self, name):
        return getattr(self.cipher, name)

    def seal_column(self, *args, **more):
        """Do the other's work first."""
        if more["column"] == "note" and self.meanwhile:
            self.meanwhile.pop()()
        return self.cipher.seal_column(*args, **more)


def test_a_change_made_meanwhile_wins(shop):
    """Between reading a batch and writing it, a colleague saves: theirs is what stays."""
    rotated(shop, "field")
    key = next(row["customer_id"] for row in tables(shop)["customers"] if row["note"])
    with Shop.open(shop.folder, WORDS) as other:
        shop.cipher = Busy(shop.cipher, [lambda: change_note(other, key, "likes roses")])
        rekey.renew(shop, **OWNER)

        assert shop.cipher.meanwhile == []
        assert note_of(other, key) == "likes roses"
        assert [e["new"] for e in past(other) if e["row_id"] == key][-1] == "likes roses"
        sound(other)


def test_what_an_old_program_writes_meanwhile_is_done_too(shop):
    """A till that was opened before knows the old key only; until it is reopened, both are used."""
    with Shop.open(shop.folder, WORDS) as other:
        (old,) = rotated(shop, "field")
        key = next(row["customer_id"] for row in tables(shop)["customers"] if row["note"])
        shop.cipher = Busy(shop.cipher, [lambda: change_note(other, key, "likes roses")])
        rekey.renew(shop, **OWNER)
        assert old not in rekey.in_use(shop)
        assert note_of(shop, key) == "likes roses"

        change_note(other, key, "likes lilies")
    with pytest.raises(NotAllowed, match="in use"):
        rekey.retire(shop, old)
    rekey.renew(shop, **OWNER)
    rekey.retire(shop, old)
    assert note_of(shop, key) == "likes lilies"
    sound(shop)


@pytest.mark.parametrize("where", ["row", "number", "history", "trash", "checkpoint"])
def test_a_key_is_not_retired_while_anything_needs_it(tmp_path, where):
    """Then values would not open, or proof would be none."""
    with make(tmp_path / "shop") as shop:
        purpose = {"number": "index", "checkpoint": "signing"}.get(where, "field")
        if where == "checkpoint":
            shop.checkpoint(actor="owner", now=NOW)
        else:
            only_in(shop, where, tmp_path)
        assert rekey.in_use(shop)[shop.keyring.primary(purpose).id] > 0
        (old,) = rotated(shop, purpose)

        with pytest.raises(NotAllowed, match=f"key {old} is in use"):
            rekey.retire(shop, old)
        rekey.renew(shop, **OWNER)
        if where == "checkpoint":  # it was signed, and stays so
            with pytest.raises(NotAllowed):
                rekey.retire(shop, old)
        else:
            rekey.retire(shop, old)
            assert {k.id: k.state for k in shop.keyring.keys}[old] == "disabled"


def only_in(shop, where, tmp_path):
    """Have tokens of the field key, or numbers of the index key, in one place only."""
    path = edited(tmp_path, exports("square")["customers"], lambda listed: listed[6:7])
    taken(shop, path)
    key = "square-cus_0000000006"
    customers = shop.tables.tables["customers"]
    if where == "history":
        change_note(shop, key, "likes roses")
    if where == "trash":
        removals.delete(shop, key, **OWNER)
    if where in ("history", "trash"):
        with shop.writing("owner", NOW) as connection:
            connection.execute(sa.delete(customers))
            past = shop.tables.tables["kit_history"].c
            keep = past.new.is_not(None) if where == "history" else sa.false()
            connection.execute(sa.delete(past.seq.table).where(sa.not_(keep)))


@pytest.mark.parametrize("purpose", ["ledger", "audit", STAND_INS])
def test_a_key_of_what_must_be_found_for_ever_is_not_rotated(shop, purpose):
    """An erased customer would be unknown to the ledger, and come back."""
    before = shop.keyring.status()

    with pytest.raises(RekeyError, match="stays"):
        rekey.rotate_key(shop, purpose, now=NOW)
    assert shop.keyring.status() == before


def broken(shop, table, column, key):
    """Spoil the last byte of one token."""
    with shop.writing("owner", NOW) as connection:
        found = shop.tables.tables[table]
        mine = next(iter(found.primary_key)) == key
        token = connection.scalar(sa.select(found.c[column]).where(mine))
        spoilt = token[:-1] + bytes([token[-1] ^ 1])
        connection.execute(sa.update(found).where(mine).values({column: spoilt}))
    return spoilt


def test_values_that_do_not_open_stop_nothing_else(shop):
    """A dying disk has eaten some: they are named, left as they are, and all others are done."""
    before = tables(shop)
    ana = next(row["customer_id"] for row in before["customers"] if row["email"] and row["phone"])
    changed = next(e["seq"] for e in past(shop) if e["new"])
    spoilt = broken(shop, "customers", "email", ana)
    broken(shop, "kit_history", "new", changed)
    with shop.reading() as connection:
        trash_id = connection.scalar(sa.select(shop.tables.tables["kit_trash"].c.trash_id))
    rotated(shop, "field", "index")
    broken(shop, "kit_trash", "sealed", trash_id)
    with pytest.raises(RekeyError, match="1 of customers.email") as caught:
        rekey.renew(shop, **OWNER)

    for word in (ana, before["customers"][0]["last_name"], "@"):
        assert word not in str(caught.value)
    assert "1 of kit_trash" in str(caught.value)
    with shop.reading() as connection:
        row = rows.get(connection, shop.tables.tables["customers"], ana)
    assert row["email"] == spoilt
    assert row["phone"][1:5] == shop.keyring.primary("field").id.to_bytes(4, "big")


REKEY = """
import os, signal, sys, threading, time
from datetime import datetime
from pathlib import Path
from kit import imports, rekey
from kit.shop import Shop
now = datetime.fromisoformat({now!r})
with Shop.open(Path({folder!r}), {words!r}) as shop:
    {work}
"""


def started(folder, work):
    """Start a program with the shop open."""
    code = REKEY.format(folder=str(folder), words=WORDS, now=str(LATER), work=work)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def killed(tmp_path, seed):
    """Kill a rotation at a moment; every row opens, and the next run completes it."""
    delay = random.Random(seed).uniform(0, 0.5)  # noqa: S311 (no secret)
    work = (
        f"threading.Timer({delay}, os.kill, (os.getpid(), signal.SIGKILL)).start(); "
        "rekey.AT_ONCE = 5; rekey.rotate_key(shop, 'field', now=now); "
        "rekey.rotate_key(shop, 'index', now=now); rekey.renew(shop, actor='owner', now=now)"
    )
    with lived_in(tmp_path, filled(tmp_path / "shop")) as shop:
        before, told = tables(shop), past(shop)
    program = started(tmp_path / "shop", work)
    _, said = program.communicate()
    assert program.returncode in (0, -9), said

    with Shop.open(tmp_path / "shop", WORDS) as shop:
        assert (tables(shop), past(shop)) == (before, told)
        ana = next(row for row in before["customers"] if row["email"])
        assert [s.id for s in shop.find(ana["email"], **ASKED)] == [ana["customer_id"]]
        rekey.renew(shop, **OWNER)
        primary = {shop.keyring.primary(p).id for p in ("field", "index")}
        assert {*rekey.in_use(shop)} == primary
        for key in shop.keyring.keys:
            if key.purpose in ("field", "index") and key.state == "enabled":
                rekey.retire(shop, key.id)
        assert (tables(shop), past(shop)) == (before, told)
        sound(shop)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_killed_in_the_middle(tmp_path):
    """Nothing is lost, and nobody has to know where it was."""
    killed(tmp_path, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
@pytest.mark.parametrize("seed", range(1, 42))
def test_killed_at_many_moments(tmp_path, seed):
    """Likewise."""
    killed(tmp_path, seed)


READ = (
    "print('open', flush=True); longest = 0; looks = 0; end = threading.Event(); "
    "threading.Thread(target=lambda: (sys.stdin.read(), end.set())).start()\n"
    "    while not end.is_set():\n"
    "        began = time.perf_counter()\n"
    "        shop.find({email!r}, actor='owner', purpose='sale', now=now)[0]\n"
    "        longest = max(longest, time.perf_counter() - began); looks += 1\n"
    "    print(longest, looks)"
)


def test_somebody_who_looks_customers_up_is_not_shut_out(shop, monkeypatch):
    """Another program searches all the time; it waits for a batch, and never for all of it."""
    monkeypatch.setattr(rekey, "AT_ONCE", 3)  # so that there are many
    rotated(shop, "field", "index")
    ana = next(row for row in tables(shop)["customers"] if row["email"])
    reader = started(shop.folder, READ.format(email=ana["email"]))
    assert reader.stdout.readline() == "open\n"
    rekey.renew(shop, **OWNER)
    told, said = reader.communicate("")

    assert reader.returncode == 0, said
    longest, looks = map(float, told.split())
    assert looks >= 1
    assert longest < 4  # seconds; after 5 it would be told that somebody else is writing
    sound(shop)
