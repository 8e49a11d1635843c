"""An export comes into the shop whole or not at all, once, sealed, without what is not allowed."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from real_shop import (
    CUSTOMERS,
    LATER,
    NOW,
    WORDS,
    content,
    exports,
    filled,
    made_up,
    make,
    sound,
    sums,
    taken,
)

from kit import audit, counter, emit, files, imports, rows, show, store
from kit.inventory import Inventory
from kit.settings import SettingsError
from kit.shop import INVENTORY, Shop

ROOT = Path(__file__).parent.parent
VENDORS = sorted({layout.partition(".")[0] for layout in emit.layouts()})
SELLERS = ("square", "shopify", "woocommerce", "toast", "clover")  # the others know payments only


@pytest.fixture
def shop(tmp_path):
    """Return a new shop."""
    with make(tmp_path / "shop") as made:
        yield made


def edited(tmp_path, path, change, name="edited.csv", encoding="utf-8"):
    """Write an export anew with its rows, as dicts, changed by a function; return the new file."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        header, listed = list(reader.fieldnames), list(reader)
    new = tmp_path / name
    with new.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(change(listed) or listed)
    return new


def one(tmp_path, column, text, export="customers"):
    """Write Square's export with another text in one cell of its first row."""

    def change(listed):
        listed[0][column] = text
        if export == "customers":
            listed[23]["Memo"] = ""  # the made-up shop has a word about health here

    return edited(tmp_path, exports("square")[export], change)


def people(shop):
    """Return the customers' values, by their number."""
    return {row["customer_id"]: row for row in content(shop)["customers"]}


def every(shop, table):
    """Return how many rows a table has."""
    with store.begin(shop.engine) as connection:
        found = shop.tables.tables[table]
        return connection.scalar(sa.select(sa.func.count()).select_from(found))


# ---- what comes in


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_export_comes_in_and_a_second_time_changes_nothing(tmp_path, vendor):
    """For each till and each of its exports; the sales come to what the shop sold."""
    with make(tmp_path / "shop") as shop:
        for path in exports(vendor).values():
            first = taken(shop, path)
            before = content(shop)
            again = taken(shop, path, now=LATER)

            assert first.added or first.same or first.left_out
            assert (again.added, again.changed) == ({}, {})
            assert (first.before, again.before) == (None, NOW)
            assert content(shop) == before
        if vendor in SELLERS:
            sales = made_up(CUSTOMERS)["sales"]
            wanted = [sum(sales[name].to_pylist()) for name in ("net_cents", "tax_cents")]
            known = sums(shop, vendor)
            assert known == (len(sales), None if vendor == "clover" else wanted[0], wanted[1])
        sound(shop)


def test_the_main_path_is_the_same_on_postgresql(tmp_path, postgres):
    """A shop that grows moves to a server, and nothing else changes."""
    with filled(tmp_path / "one") as lite, filled(tmp_path / "two", postgres) as server:
        for path in (exports("square")["transactions"], exports("stripe")["payments_classic"]):
            assert taken(lite, path).changed == taken(server, path).changed
        again = taken(server, exports("square")["transactions"])
        assert (again.added, again.changed) == ({}, {})

        ours, theirs = content(lite), content(server)
        for table in ("stores", "customers", "addresses", "products", "sales", "lines", "payments"):
            for row in (*ours[table], *theirs[table]):
                row.pop("employee_id", 0)  # made of a name and the shop's own key
            assert ours[table] == theirs[table] != []
        assert len(ours["kit_history"]) == len(theirs["kit_history"]) > 0
        sound(server)


def test_next_weeks_export_changes_what_the_till_changed(tmp_path, shop):
    """A new address replaces the old one, an empty cell nothing, and the history knows."""
    first = exports("square")["customers"]
    taken(shop, first)
    old = people(shop)

    def change(listed):
        listed[0] |= {"Phone Number": "+12125550143", "Nickname": "Tia", "City": "", "Memo": ""}
        listed[1] |= {"Postal Code": "01234"}
        return [*listed, listed[0] | {"Square Customer ID": "cus_new", "Email Address": ""}]

    done = taken(shop, edited(tmp_path, first, change), now=LATER)
    new, ids = people(shop), [*old]
    assert (done.added, done.changed) == (
        {"customers": 1, "addresses": 1}, {"customers": 1, "addresses": 1},
    )  # fmt: skip
    assert new[ids[0]] == old[ids[0]] | {"phone": "+12125550143", "nickname": "Tia"}
    assert all(new[key] == old[key] for key in ids[1:])
    assert new["square-cus_new"]["phone"] == "+12125550143"
    _, changes = shop.who(ids[0], actor="owner", now=LATER)
    assert {c.column for c in changes if c.action == "update"} == {"phone", "nickname"}
    found = shop.find("212 555 0143", actor="owner", purpose="sale", now=LATER)
    assert [seen.id for seen in found] == [ids[0], "square-cus_new"]
    sound(shop)


def test_the_tills_yes_does_not_undo_a_no(shop):
    """Who took it back here gets no offers because an export of last week says otherwise."""
    taken(shop, exports("square")["customers"])
    first, second, *_ = [row for row in people(shop).values() if row["accepts_email"]]
    more = {"purpose": "marketing", "source": "till", "actor": "owner", "now": NOW}
    counter.withdraw(shop, first["customer_id"], **more)
    done = taken(shop, exports("square")["customers"], now=LATER)

    assert not done.changed
    now = people(shop)
    assert now[first["customer_id"]]["accepts_email"] is False
    assert now[second["customer_id"]]["accepts_email"] is True


def test_a_part_of_an_export_does_not_mix_up_the_lines(tmp_path, shop):
    """Somebody exports one category only: its lines would be numbered 1, 2 over the others."""
    path = exports("square")["items"]
    taken(shop, path)
    before = content(shop)

    part = taken(shop, edited(tmp_path, path, lambda all_: all_[1::3]))

    assert (part.added, part.changed) == ({}, {})
    assert [(left.table, left.reason) for left in part.left_out] == [("lines", imports.PARTS)]
    assert content(shop) | {"kit_history": 0} == before | {"kit_history": 0}
    assert taken(shop, exports("toast")["items"]).left_out == ()  # its lines have numbers
    whole = edited(tmp_path, path, without_first_sale, "b.csv")
    assert taken(shop, whole).left_out == ()


def without_first_sale(listed):
    """Return the lines of the other sales."""
    return [row for row in listed if row["Transaction ID"] != listed[0]["Transaction ID"]]


def test_progress_is_told_table_by_table(shop):
    """Nobody closes a window that moves."""
    told = []
    taken(shop, exports("square")["items"], progress=lambda *at: told.append(at))

    assert [name for name, *_ in told] == [
        "stores", "employees", "categories", "products", "customers", "sales", "lines", "payments",
    ]  # fmt: skip
    assert all(done == total for _, done, total in told)


def test_an_import_is_in_the_log(shop):
    """Who, how many people, and which file; nobody can read there whose data it was."""
    taken(shop, exports("square")["customers"], actor="max")
    with store.begin(shop.engine) as connection:
        entry = list(audit.entries(connection))[-1]

    told = [entry[name] for name in ("actor", "role", "action", "purpose", "count", "subject")]
    assert told == ["max", "manager", "import", "accounts", CUSTOMERS, None]


def test_somebody_who_does_not_work_here_imports_nothing(shop):
    """The name in the log is one from shop.toml."""
    with pytest.raises(SettingsError, match="nobody on the staff"):
        taken(shop, exports("square")["customers"], actor="eve")
    assert every(shop, "customers") == 0


def test_a_link_that_the_inventory_does_not_name(tmp_path, shop):
    """Which shop a sale was in is a link; it is compared, not written anew each time."""
    narrow(shop.folder, "sales.store_id", "customers.birthday")
    with Shop.open(shop.folder, WORDS) as smaller:
        taken(smaller, exports("square")["items"])
        again = taken(smaller, exports("square")["items"])
        done = taken(smaller, exports("square")["customers"])

    assert again.changed == {}
    assert done.report.gaps == ("customers.birthday",)


def narrow(folder, *fields):
    """Delete fields from a shop's inventory, as its owner does."""
    kept = Inventory.load(folder / INVENTORY)
    text = (folder / INVENTORY).read_text(encoding="utf-8")
    for field in fields:
        assert field in kept.fields
        start = text.index(f"[{field}]")
        end = text.index("\n[", start)
        text = text[:start] + text[end + 1 :]
    (folder / INVENTORY).write_text(text, encoding="utf-8")


def test_after_rotations_the_same_customer_has_the_same_id(shop):
    """Who is known by e-mail only gets an id made with a key; it stays the first one for ever."""
    path = exports("shopify")["customers_flat"]
    taken(shop, path)
    before = people(shop).keys()
    shop.keyring.rotate(imports.STAND_INS, now=LATER)  # what `kit keys rotate` refuses

    assert taken(shop, path).added == {}
    assert people(shop).keys() == before
    assert imports._Oldest(shop.keyring).find(imports.STAND_INS, shop.keyring.keys[-1].id)


# ---- all of it or nothing


class Stop(Exception):
    """Something that went wrong in the middle."""


def fails_at(shop, number):
    """Have the database fail at a statement; return the listener, to take it off again."""
    left = [number]

    @sa.event.listens_for(shop.engine, "before_cursor_execute")
    def fail(*more):
        if not left[0]:
            raise Stop
        left[0] -= 1

    return fail


@pytest.mark.parametrize("part", [0, 3])
def test_whatever_step_fails_nothing_of_it_is_kept(tmp_path, part):
    """The power goes, the disk is pulled: at every sixth statement; the next try completes."""
    path = exports("square")["items"]
    with make(tmp_path / "shop") as shop:
        taken(shop, exports("square")["customers"])
        before, number, stopped = content(shop, leave_out=()), part, 0
        while True:
            fail = fails_at(shop, number)
            try:
                taken(shop, path)
            except Stop:
                stopped += 1
            else:
                break
            finally:
                sa.event.remove(shop.engine, "before_cursor_execute", fail)
            assert content(shop, leave_out=()) == before
            number += 6
        assert stopped > 5
        sound(shop)
        assert sums(shop, "square")[0] == len(made_up(CUSTOMERS)["sales"])


def test_stopped_while_it_tells_how_far_it_is(shop):
    """Ctrl+C in the middle."""
    before = content(shop, leave_out=())
    for stop_at in range(8):
        told = iter(range(stop_at))

        def tick(*at, told=told):
            if next(told, None) is None:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            taken(shop, exports("square")["items"], progress=tick)
        assert content(shop, leave_out=()) == before


IMPORT = """
import os, signal, sys, threading
from datetime import datetime
from pathlib import Path
from kit import imports
from kit.shop import Shop
with Shop.open(Path({folder!r}), {words!r}) as shop:
    {first}
    for path in map(Path, {paths!r}):
        imports.import_file(shop, path, actor="owner", now=datetime.fromisoformat({now!r}))
"""


def started(folder, *paths, first="pass"):
    """Start a program that imports; *first* is done before."""
    names = [str(path) for path in paths]
    code = IMPORT.format(folder=str(folder), words=WORDS, paths=names, first=first, now=str(NOW))
    program = [sys.executable, "-c", code]
    return subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def killed(tmp_path, seed, customers):
    """Kill a program at a moment of its import, and check what it left."""
    path, sales = exports("square", customers)["items"], made_up(customers)["sales"]
    delay = random.Random(seed).uniform(0, 0.2 + customers / 300)  # noqa: S311 (no secret)
    timer = f"threading.Timer({delay}, os.kill, (os.getpid(), signal.SIGKILL)).start()"
    with make(tmp_path / "shop") as shop:
        taken(shop, exports("square", customers)["customers"])
        before = content(shop)
    program = started(tmp_path / "shop", path, first=timer)
    _, said = program.communicate()
    assert program.returncode in (0, -9), said

    with Shop.open(tmp_path / "shop", WORDS) as shop:
        sound(shop)
        found = content(shop)
        assert found == before or len(found["lines"]) == len(made_up(customers)["lines"])
        taken(shop, path)
        assert sums(shop, "square")[:2] == (len(sales), sum(sales["net_cents"].to_pylist()))
        assert taken(shop, path).changed == {}
        sound(shop)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_killed_in_the_middle(tmp_path):
    """The database opens, the log and all links hold, and the import is done again."""
    killed(tmp_path, 0, CUSTOMERS)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
@pytest.mark.parametrize("seed", range(1, 42))
def test_killed_at_many_moments(tmp_path, seed):
    """Likewise."""
    killed(tmp_path, seed, 300)


def test_two_programs_import_at_once(tmp_path):
    """One waits for the other, and nothing is doubled."""
    with make(tmp_path / "shop"):
        pass
    some = exports("square")
    programs = [
        started(tmp_path / "shop", *paths)
        for paths in ([some["customers"], some["items"]], [some["items"], some["transactions"]])
    ]
    for program in programs:
        _, said = program.communicate()
        assert program.returncode == 0, said

    with Shop.open(tmp_path / "shop", WORDS) as shop, make(tmp_path / "other") as other:
        for name in ("customers", "items", "transactions"):
            taken(other, some[name])
        found, wanted = content(shop), content(other)
        for table in ("customers", "lines", "payments", "products"):
            assert found[table] == wanted[table]
        assert sums(shop, "square") == sums(other, "square")
        assert every(shop, "kit_imports") == 3
        sound(shop)


FULL = (
    "import resource; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))"
)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on a file's size on Windows")
def test_a_full_disk(tmp_path):
    """It is said in words, and the shop is as it was."""
    with make(tmp_path / "shop") as shop:
        before = content(shop, leave_out=())
        program = started(tmp_path / "shop", exports("square")["items"], first=FULL)
        _, said = program.communicate()

        assert "nothing was written: the disk is full" in said.splitlines()[-1]
        assert content(shop, leave_out=()) == before
        sound(shop)


def test_a_database_that_somebody_else_writes_to_or_that_is_read_only(shop):
    """Told, and nothing is half done."""
    path, before = exports("square")["customers"], content(shop, leave_out=())
    address = str(shop.engine.url)
    busy, shop.engine = shop.engine, store.connect(address, wait_s=0)
    with store.begin(busy), pytest.raises(store.Locked, match="try again"):
        taken(shop, path)
    shop.engine = store.connect(address, role="read")
    with pytest.raises(store.ReadOnly, match="ask the owner"):
        taken(shop, path)
    shop.engine = busy
    assert content(shop, leave_out=()) == before


# ---- sealed from the first row


def secrets_of(shop):
    """Return every sealed value of every customer, employee, sale and payment, as bytes."""
    told = set()
    for table, listed in content(shop).items():
        if not table.startswith("kit_"):
            for name in shop.sealed_columns(table):
                told |= {str(row[name]).encode() for row in listed if row[name] is not None}
    return told


def seen_in(folder, told):
    """Return which of some values stand in any file of a folder."""
    everything = b"\0".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    return {one for one in told if one in everything}


def test_no_file_of_the_shop_holds_a_sealed_value_in_the_clear(tmp_path):
    """Whoever steals the folder gets no e-mail, telephone, note, birthday, street or card token."""
    with make(tmp_path / "thief") as shop:
        for vendor in VENDORS:
            for path in exports(vendor).values():
                taken(shop, path)
        taken(shop, one(tmp_path, "Birthday", "1984-02-29"))
        told = secrets_of(shop)
        filled = {n for row in content(shop)["customers"] for n in row if row[n]}
        filled |= {n for row in content(shop)["payments"] for n in row if row[n]}

        assert len(told) > 150
        assert {"email", "phone", "note", "birthday", "card_token"} <= filled
        assert seen_in(shop.folder, told) == set()
        names = {b"Jose Ortiz", b"Ortiz"}  # kept open, as the inventory says: the search works
        assert seen_in(shop.folder, names) == names


def test_not_even_while_the_import_is_running(tmp_path, shop):
    """The file beside the database fills first."""
    with make(tmp_path / "done") as done:
        taken(done, exports("square")["customers"])
        told = secrets_of(done)
    seen = []
    path = exports("square")["customers"]
    taken(shop, path, progress=lambda *at: seen.append(seen_in(shop.folder, told)))

    assert seen == [set(), set()]


# ---- what is refused


def rejected(done):
    """Return what was not taken: row, column, reason."""
    return [(reject.row, reject.column, reject.reason) for reject in done.rejects]


BAD = {  # a column of the export, what somebody typed there, where it would go, why it does not
    "card": ("Memo", "pays with 4111 1111 1111 1111", "customers.note", "card number"),
    "code": ("Memo", "CVV 123 for next time", "customers.note", "card number"),
    "health": ("Memo", "has diabetes", "customers.note", "about health"),
    "name": ("First Name", "4111111111111111", "customers.first_name", "card number"),
    "postcode": ("Postal Code", "4111111111111111", "addresses.postcode", "card number"),
    "bell": ("First Name", "A\x07na", "customers.first_name", "control character"),
    "NUL": ("First Name", "A\x00na", "customers.first_name", "control character"),
    "10 MB": ("Memo", "x" * 10_000_000, "customers.note", "longer than 1000"),
    "no @": ("Email Address", "ana at example.com", "customers.email", "not an e-mail"),
    "no phone": ("Phone Number", "call me", "customers.phone", "not a possible phone"),
    "wrong bytes": ("Last Name", "Garc\ufffda", "customers.last_name", "wrong encoding"),
}
ODD = {
    "SQL": "'; DROP TABLE customers; --",
    "more SQL": 'Robert"); DELETE FROM sales; --',
    "placeholders": "%s %(x)s :name ? {0}",
    "formula": '=HYPERLINK("https://example.com","x")',
    "another formula": "+1+cmd|' /C calc'!A0",
    "not ASCII": "Zoë 🌷 O’Neill-Ñandú",
    "script": "<script>alert(1)</script>",
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Import customers with one thing wrong or odd in each row; return shop, report and rows."""

    def change(listed):
        for row, (column, text, *_) in zip(listed, BAD.values(), strict=False):
            row |= {"Memo": "", "Street Address 1": "1 Elm Street", column: text}
        for row, text in zip(listed[len(BAD) :], ODD.values(), strict=False):
            row |= {"Memo": "", "First Name": text, "Last Name": "Example"}
        return listed[: len(BAD) + len(ODD)]

    folder = tmp_path_factory.mktemp("odd")
    path = edited(folder, exports("square")["customers"], change)
    with make(folder / "shop") as shop:
        done = taken(shop, path)
        yield shop, done, {row["customer_id"]: row for row in content(shop)["customers"]}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_cell_is_left_out_with_its_reason(odd, case):
    """The rest of the row comes in; what the cell said is nowhere."""
    shop, done, _ = odd
    number, (_, text, field, said) = [*BAD].index(case), BAD[case]
    table, _, column = field.partition(".")
    row = next(r for r in content(shop)[table] if r["customer_id"].endswith(f"{number:010}"))

    ((where, reason),) = ((w, why) for at, w, why in rejected(done) if at == number + 2)
    assert (where, said in reason) == (field, True)
    assert text[:40] not in str(rejected(done))
    assert row[column] is None


@pytest.mark.parametrize("case", ODD)
def test_an_odd_name_comes_back_as_it_is(odd, case):
    """A name is a name, whatever it might do to a database or a spreadsheet; and it is found."""
    shop, done, known = odd
    number = len(BAD) + [*ODD].index(case)
    key = f"square-cus_{number:010}"

    assert known[key]["first_name"] == ODD[case]
    assert {row for row, *_ in rejected(done)} == {*range(2, len(BAD) + 2)}
    found = shop.find(f"{ODD[case]} Example", actor="owner", purpose="sale", now=NOW)
    assert [seen.id for seen in found] == [key]
    assert len(known) == len(BAD) + len(ODD)


def test_a_row_with_a_date_or_an_amount_that_is_none_stays_out(tmp_path, shop):
    """Nothing is taken over a guess; the row is told."""
    done = taken(shop, one(tmp_path, "Birthday", "1999-02-31"))

    assert [(row, where) for row, where, _ in rejected(done)] == [(2, "customers.birthday")]
    assert every(shop, "customers") == CUSTOMERS - 1


def test_rows_that_stayed_out_whole_are_told_before_cells(tmp_path, shop):
    """Whoever reads only a few lines learns that a customer is not in the shop at all."""
    typed = ("a@", "b", "@c", "d@@example.com", "e@example")

    def change(listed):
        for at, text in enumerate(typed):
            listed[at] |= {"Email Address": text, "Memo": "bell\x07", "Phone Number": "12"}
        listed[30]["Birthday"] = "1999-02-31"

    told = show.taken(taken(shop, edited(tmp_path, exports("square")["customers"], change)))

    assert f"{CUSTOMERS} rows in the file, 1 row set aside whole: see below" in told
    first = told.split("not taken:\n")[1].splitlines()[0]
    assert first == "  customers.birthday: no such day in the calendar; correct the cell (row 32)"


def test_a_telephone_number_with_an_extension(tmp_path, shop):
    """It is kept whole, and found by the number alone."""
    taken(shop, one(tmp_path, "Phone Number", "+1 212 555 0143 ext. 12"))
    first = content(shop)["customers"][0]

    assert first["phone"] == "+12125550143;ext=12"
    found = shop.find("(212) 555-0143", actor="owner", purpose="sale", now=NOW)
    assert [seen.id for seen in found] == [first["customer_id"]]


@pytest.mark.parametrize(
    ("column", "text", "field"),
    [
        pytest.param("Item Name", "Rose\x00bush", "name", id="NUL"),
        pytest.param("SKU", "9" * 300, "sku", id="a key of 300 characters"),
        pytest.param("Description", "x" * 300_000, "description", id="a book"),
    ],
)
def test_a_product_that_no_database_takes(tmp_path, shop, column, text, field):
    """The till wrote it, so it is not tidied; but one cell does not stop the others."""
    done = taken(shop, one(tmp_path, column, text, "catalog"))

    assert [(row, where) for row, where, _ in rejected(done)] == [(2, f"products.{field}")]
    assert every(shop, "products") == len(made_up(CUSTOMERS)["products"])


def test_a_sale_whose_number_is_a_novel(tmp_path, shop):
    """It could not be known again; told, and the others come in."""
    done = taken(shop, one(tmp_path, "Transaction ID", "x" * 300, "transactions"))

    assert "longer than 200" in rejected(done)[0][2]
    assert [left.table for left in done.left_out] == ["sales"]
    assert every(shop, "sales") == len(made_up(CUSTOMERS)["sales"]) - 1


@pytest.mark.parametrize(
    ("encoding", "readable"),
    [("utf-8-sig", True), ("utf-16", True), ("cp1252", True), ("shift_jis", False)],
)
def test_encodings(tmp_path, shop, encoding, readable):
    """A spreadsheet has saved it anew: read rightly or refused, never stored as gibberish."""

    def change(listed):
        listed[0]["First Name"] = "José" if encoding != "shift_jis" else "花子"

    taken(shop, edited(tmp_path, exports("square")["customers"], change, encoding=encoding))
    first = content(shop)["customers"][0]["first_name"]

    assert first == "José" if readable else "\ufffd" not in str(first)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("just,some\n1,2\n", "layout", id="of no till"),
        pytest.param("\x00\x01\x02" * 500, "file", id="no table at all"),
    ],
)
def test_a_file_that_is_no_export_is_refused(tmp_path, shop, text, said):
    """With a sentence, and the shop is as it was."""
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    before = content(shop, leave_out=())

    with pytest.raises(Exception, match=said) as caught:
        taken(shop, path)
    assert type(caught.value).__module__.startswith("kit.")
    assert content(shop, leave_out=()) == before


def test_rows_that_are_torn(tmp_path, shop):
    """A row with a cell too many or too few is set aside with its number."""
    lines = exports("square")["customers"].read_text(encoding="utf-8").splitlines()
    lines[3] += ",one,two"
    lines[5] = "half a row"
    del lines[24]  # the made-up shop has a word about health here
    path = tmp_path / "torn.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    done = taken(shop, path)

    assert {row for row, *_ in rejected(done)} == {4, 6}
    assert every(shop, "customers") == len(lines) - 3


def test_no_reason_repeats_what_a_customer_said(tmp_path, shop):
    """Whole columns of nonsense: refused or kept, but in no message."""
    marker = "Wilhelmina"

    def change(listed):
        for row in listed:
            for name in ("Email Address", "Phone Number", "Birthday", "First Visit", "Memo"):
                row[name] = f"{marker} has asthma"

    done = taken(shop, edited(tmp_path, exports("square")["customers"], change))

    assert len(done.rejects) >= 4 * CUSTOMERS
    assert marker not in str(done.rejects) + str(done.left_out) + str(done.report.checks)


# ---- who was erased stays so


def test_an_old_export_does_not_bring_back_who_was_erased(tmp_path, shop):
    """Their sales come, so that the books are right, without a name and without a note."""

    def change(listed):
        return [row | {"Notes": "for Ana", "Fulfillment Note": "for Ana"} for row in listed]

    path = edited(tmp_path, exports("square")["items"], change)
    with make(tmp_path / "other") as other:
        taken(other, path)
        sales = content(other)["sales"]
    buyer = next(row["customer_id"] for row in sales if row["customer_id"])
    theirs = {row["sale_id"] for row in sales if row["customer_id"] == buyer}
    shop.ledger.begin(buyer, now=NOW)
    shop.ledger.begin("square-cus_nobody", now=NOW)
    first = taken(shop, exports("square")["customers"])
    shop.ledger.done(buyer, now=NOW)
    second = taken(shop, path)
    found = content(shop)

    assert (first.erased, second.erased) == (1, 1)
    assert buyer not in str(found)
    assert sums(shop, "square")[0] == len(sales)
    for table in ("sales", "lines"):
        assert {row["sale_id"] in theirs for row in found[table] if row["note"]} == {False}
        assert {row["sale_id"] in theirs for row in found[table] if not row["note"]} == {True}
    assert taken(shop, path).changed == {}
    assert first.added["customers"] == CUSTOMERS - 1
    assert taken(shop, exports("square")["catalog"]).erased == 0
    sound(shop)


def test_everybody_in_the_file_was_erased(tmp_path, shop):
    """Then there is nothing to add."""
    path = edited(tmp_path, exports("square")["customers"], lambda listed: listed[:1])
    taken(shop, path)
    (only,) = people(shop)
    shop.ledger.begin(only, now=NOW)
    with shop.writing("owner", NOW) as connection:
        rows.delete(connection, shop.tables.tables["customers"], only)

    assert taken(shop, path).erased == 1
    assert people(shop) == {}


def test_who_is_erased_while_an_import_reads_its_file_does_not_come_back(shop):
    """The ledger is asked once nobody else can write, not before."""
    path = exports("square")["customers"]
    first = content_of_first(path)
    reader = files.read_export

    def slow(*args, **more):
        report = reader(*args, **more)
        shop.ledger.begin(first, now=NOW)
        return report

    imports.files.read_export, kept = slow, reader
    try:
        assert taken(shop, path).erased == 1
    finally:
        imports.files.read_export = kept
    assert first not in people(shop)


def content_of_first(path):
    """Return the id of the first customer of Square's export."""
    with path.open(encoding="utf-8", newline="") as file:
        return f"square-{next(csv.DictReader(file))['Square Customer ID']}"
