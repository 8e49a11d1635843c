"""Every look at a customer leaves an entry that nobody can quietly change: these promises."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kit import store, tamper
from kit.audit import (
    ACTIONS,
    AUDIT,
    CHECKPOINTS,
    AuditError,
    BadEntry,
    BadKey,
    Event,
    Log,
    NotWriting,
    entries,
    lines,
    table,
    told,
)

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
KEY = bytes(range(32))
SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = SIGNING.public_key().public_bytes_raw()
LOOK = {"actor": "emp-1", "role": "cashier", "purpose": "sale", "action": "look"}

# Made once with this module and kept: if these change, every log in the world stops verifying.
FIRST = '[1,"2026-11-24T09:30:00.000000Z","emp-1","cashier","sale","look","%s",null,1]'
FIRST_HASH = "9c44642d6c9a67c7571610c23c109edfbcc512057c5e1ac66434461a577dbac2"


def new_log(**options):
    """Return a log whose keys are the same each time."""
    return Log(**{"key": KEY, "sign": SIGNING.sign, "public_key": PUBLIC} | options)


LOG = new_log()


def create(url):
    """Make a database with an audit log in it and return what opens it."""
    engine = store.connect(url)
    if engine.dialect.name == "sqlite":
        Path(engine.url.database).touch()
    metadata = sa.MetaData()
    table(metadata)
    metadata.create_all(engine)
    return engine


def plain(url, **options):
    """Open a database as somebody would who does not know the kit."""
    return sa.create_engine(url, poolclass=sa.NullPool, **options)


@pytest.fixture
def engine(database):
    """Open a database with an empty log, on both systems."""
    return create(database)


@pytest.fixture
def sqlite(tmp_path):
    """Open a SQLite database with an empty log."""
    return create(f"sqlite:///{tmp_path / 'shop.sqlite'}")


def rows(engine):
    """Return all entries."""
    with engine.connect() as connection:
        return list(entries(connection))


def check(engine, **options):
    """Verify the log."""
    with engine.connect() as connection:
        return tamper.verify(connection, public_keys=[PUBLIC], **options)


def test_the_documented_bytes(engine):
    """Another language can recompute an entry from the description alone."""
    with engine.begin() as connection:
        assert LOG.append(connection, now=NOW, **LOOK, subject="cus_1") == 1
        search = LOOK | {"action": "search"}
        assert LOG.append(connection, now=NOW, **search, filter="name: Ana", count=7) == 2
    first, second = rows(engine)
    subject = hmac.digest(KEY, b"subject\0cus_1", "sha256").hex()
    asked = hmac.digest(KEY, b"filter\0name: Ana", "sha256").hex()
    body = FIRST % subject

    assert first["prev"] == bytes(32)
    assert first["hash"] == hashlib.sha256(bytes(32) + body.encode()).digest()
    assert first["hash"].hex() == FIRST_HASH
    body = [2, "2026-11-24T09:30:00.000000Z", *search.values(), None, asked, 7]
    compact = json.dumps(body, separators=(",", ":")).encode()
    assert second["prev"] == first["hash"]
    assert second["hash"] == hashlib.sha256(first["hash"] + compact).digest()


def test_the_customer_is_not_in_it(engine):
    """Whoever reads the log alone learns about no customer; whoever has the key can ask."""
    with engine.begin() as connection:
        LOG.append(connection, now=NOW, **LOOK, subject="ana@example.com")
        LOG.append(connection, now=NOW, **LOOK, filter="+12125550143")
        kept = str(connection.execute(sa.select(AUDIT)).all())
        mine = list(entries(connection, subject=LOG.subject("ana@example.com")))

    assert "ana" not in kept
    assert "5550143" not in kept
    assert [row["seq"] for row in mine] == [1]
    assert new_log(key=bytes(32)).subject("ana@example.com") != LOG.subject("ana@example.com")


def test_a_customer_and_a_search_for_the_same_text_differ():
    """The two kinds of hash cannot be mixed up."""
    assert LOG.subject("cus_1") != hmac.digest(KEY, b"filter\0cus_1", "sha256").hex()


def test_the_change_and_its_entry_stand_and_fall_together(engine):
    """A change that is undone leaves no entry, and none is kept without one."""
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        LOG.append(connection, now=NOW, **LOOK)
        raise ZeroDivisionError
    with engine.begin() as connection:
        assert LOG.append(connection, now=NOW, **LOOK) == 1

    assert check(engine).entries == 1


def test_refused_attempts_are_kept_too(engine):
    """Who tried doors that were locked is as telling as who went through."""
    with engine.begin() as connection:
        LOG.append(connection, now=NOW, **LOOK | {"action": "export"}, refused=True)

    assert [row["action"] for row in rows(engine)] == ["refused:export"]


def test_many_at_once_are_the_same_as_one_by_one(engine, tmp_path):
    """The fast way and the slow way write the same log."""
    events = [Event(**LOOK, subject=f"cus_{n}", at=NOW + timedelta(seconds=n)) for n in range(40)]
    other = create(f"sqlite:///{tmp_path / 'other.sqlite'}")
    with engine.begin() as one, other.begin() as two:
        assert LOG.extend(one, iter(events), now=NOW) == 40
        for n in range(40):
            LOG.append(two, now=NOW + timedelta(seconds=n), **LOOK, subject=f"cus_{n}")

    assert rows(engine) == rows(other)
    assert check(engine).entries == 40


def test_more_than_fit_in_one_go(sqlite):
    """A year of entries is written in parts, and the chain goes on over them."""
    events = (Event(**LOOK) for _ in range(10_001))
    with sqlite.begin() as connection:
        LOG.extend(connection, events, now=NOW)
        LOG.extend(connection, [], now=NOW)

    assert check(sqlite).entries == 10_001


def test_times_are_kept_in_utc(engine):
    """A shop in another zone, or a change of clocks, does not move an entry."""
    local = NOW.astimezone(timezone(timedelta(hours=-5)))
    with engine.begin() as connection:
        LOG.append(connection, now=local, **LOOK)

    assert [row["at"] for row in rows(engine)] == [NOW]


@pytest.mark.parametrize(
    ("change", "told_"),
    [
        pytest.param({"actor": "ana@example.com"}, "actor", id="an address"),
        pytest.param({"actor": "Ana Example"}, "actor", id="a name"),
        pytest.param({"actor": "2125550143"}, "actor", id="a number"),
        pytest.param({"actor": "a" * 41}, "actor", id="too long"),
        pytest.param({"actor": ""}, "actor", id="empty"),
        pytest.param({"actor": None}, "actor", id="nobody"),
        pytest.param({"actor": 'x","y'}, "actor", id="quotes"),
        pytest.param({"actor": "emp-1\n"}, "actor", id="a second line"),
        pytest.param({"actor": "cus_1", "subject": "cus_1"}, "customer's id", id="the customer"),
        pytest.param({"role": "queen"}, "role is not one of: cashier, owner", id="unknown role"),
        pytest.param({"purpose": "curiosity"}, "purpose is not", id="unknown purpose"),
        pytest.param({"action": "peep"}, "action is not one of", id="unknown action"),
        pytest.param({"action": "called her, no answer"}, "action must be", id="free text"),
        pytest.param({"count": -1}, "count", id="negative"),
        pytest.param({"count": True}, "count", id="no number"),
        pytest.param({"count": 2**63}, "count", id="too large"),
        pytest.param({"subject": 17}, "subject", id="subject is no text"),
        pytest.param({"subject": ""}, "subject", id="empty subject"),
        pytest.param({"filter": b"x"}, "filter", id="filter is no text"),
        pytest.param({"now": NOW.replace(tzinfo=None)}, "zone", id="no zone"),
    ],
)
def test_refuses(sqlite, change, told_):
    """What is not a known word does not get in, is not repeated, and nothing is written."""
    log = new_log(roles=["owner", "cashier"], purposes=("sale",))
    with pytest.raises(BadEntry) as caught, sqlite.begin() as connection:
        log.append(connection, **{"now": NOW} | LOOK | change)

    assert isinstance(caught.value, AuditError)
    assert told_ in str(caught.value)
    said = [value for value in change.values() if isinstance(value, str) and len(value) > 4]
    assert not [value for value in said if value in str(caught.value)]
    assert rows(sqlite) == []


def test_a_shop_can_have_words_of_its_own(sqlite):
    """The list of actions is a start, and a word is learned once."""
    log = new_log(actions=[*ACTIONS, "stocktake"])
    with sqlite.begin() as connection:
        for n in range(5_050):  # more actors than it remembers
            log._checked(Event(**LOOK | {"actor": f"emp-{n}"}), "")
        log.append(connection, now=NOW, **LOOK | {"action": "stocktake"})

    assert len(log._known) <= 5_000


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"key": bytes(16)}, id="short key"),
        pytest.param({"public_key": bytes(31)}, id="short public key"),
    ],
)
def test_refuses_keys_that_do_not_fit(options):
    """A wrong key is seen when the log is opened, not when it is needed."""
    with pytest.raises(BadKey):
        new_log(**options)


def test_the_key_is_not_shown():
    """A log left as the last line of a cell gives nothing away."""
    assert KEY.hex() not in repr(LOG)
    assert repr(KEY) not in repr(LOG)


# --- transactions and writers


def test_refuses_to_write_outside_a_transaction(tmp_path, postgres):
    """Without one the change could be kept and its entry lost, or two entries get one number."""
    create(f"sqlite:///{tmp_path / 'shop.sqlite'}")
    create(postgres)
    for url in (f"sqlite:///{tmp_path / 'shop.sqlite'}", postgres):
        bare = plain(url, isolation_level="AUTOCOMMIT")
        with bare.connect() as connection, pytest.raises(NotWriting, match="begin one"):
            LOG.append(connection, now=NOW, **LOOK)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_refuses_a_view_of_yesterday(postgres, level):
    """At these levels PostgreSQL would show a head that others have long gone past."""
    create(postgres)
    with (
        plain(postgres, isolation_level=level).begin() as connection,
        pytest.raises(NotWriting, match="READ COMMITTED"),
    ):
        LOG.append(connection, now=NOW, **LOOK)


def test_a_transaction_that_began_without_the_lock_is_refused_when_late(sqlite):
    """It has read what another writer changed since; to write on would fork the chain."""
    deferred = plain(sqlite.url, connect_args={"timeout": 0})
    sa.event.listen(deferred, "connect", lambda c, _: setattr(c, "isolation_level", None))
    sa.event.listen(deferred, "begin", lambda c: c.exec_driver_sql("BEGIN"))
    with deferred.begin() as late:
        late.execute(sa.select(AUDIT)).all()
        with sqlite.begin() as quick:
            LOG.append(quick, now=NOW, **LOOK)
        with pytest.raises(NotWriting, match="BEGIN IMMEDIATE"):
            LOG.append(late, now=NOW, **LOOK)
    with deferred.begin() as alone:
        assert LOG.append(alone, now=NOW, **LOOK) == 2

    assert check(sqlite).entries == 2


def test_somebody_else_writing_for_long_is_told(postgres):
    """Waiting ends; the message says what to do."""
    create(postgres)
    impatient = store.connect(postgres, wait_s=0.05)
    with store.connect(postgres).begin() as first:
        LOG.append(first, now=NOW, **LOOK)
        with impatient.begin() as second, pytest.raises(NotWriting, match="do it all again"):
            LOG.append(second, now=NOW, **LOOK)


def test_other_faults_of_the_database_are_not_renamed(sqlite):
    """A read-only database is not somebody else writing."""
    reader = store.connect(str(sqlite.url), role="read")
    with reader.begin() as connection, pytest.raises(sa.exc.OperationalError, match="readonly"):
        LOG.append(connection, now=NOW, **LOOK)


WRITER = """
import sys
from datetime import UTC, datetime
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kit import store
from kit.audit import Log

url, actor, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
key = Ed25519PrivateKey.from_private_bytes(bytes(32))
log = Log(key=bytes(32), sign=key.sign, public_key=key.public_key().public_bytes_raw())
engine = store.connect(url, wait_s=120)
now = datetime(2026, 11, 24, tzinfo=UTC)
for n in range(times):
    with engine.begin() as connection:
        for _ in range(3 if times > 10_000 else 1):
            seq = log.append(
                connection, now=now, actor=actor, role="cashier", purpose="sale", action="look",
                subject=f"cus_{n}",
            )
    if times > 10_000:
        print(seq, flush=True)
"""


def write(url, actor, times):
    """Start another process that appends."""
    command = [sys.executable, "-c", WRITER, str(url), actor, str(times)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("tills", "times"), [(3, 40), pytest.param(8, 200, marks=pytest.mark.slow)]
)
def test_tills_that_write_at_once_lose_nothing(sqlite, tills, times):
    """Each entry of each process is there once, in one chain."""
    writers = [write(sqlite.url, f"emp-{n}", times) for n in range(tills)]
    assert [writer.communicate() and writer.returncode for writer in writers] == [0] * tills

    assert check(sqlite).entries == tills * times
    assert Counter(row["actor"] for row in rows(sqlite)) == {
        f"emp-{n}": times for n in range(tills)
    }


def test_processes_and_threads_on_postgresql_lose_nothing(postgres):
    """The same on a server, where readers of an old head would fork the chain."""
    engine = create(postgres)

    def run(actor):
        for _ in range(30):
            with engine.begin() as connection:
                LOG.append(connection, now=NOW, **LOOK | {"actor": actor})

    writer = write(postgres, "emp-1", 30)
    threads = [threading.Thread(target=run, args=(f"emp-{n}",)) for n in range(2, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.communicate()

    assert writer.returncode == 0
    assert check(engine).entries == 180


def test_a_writer_that_is_killed_leaves_a_good_log(sqlite):
    """Power goes, the process dies in the middle: whole transactions, and a chain that holds."""
    writer = write(sqlite.url, "emp-1", 1_000_000)
    promised = [int(writer.stdout.readline()) for _ in range(15)][-1]
    writer.kill()
    writer.communicate()
    found = check(sqlite).entries

    assert found >= promised
    assert found % 3 == 0
    with sqlite.begin() as connection:
        assert LOG.append(connection, now=NOW, **LOOK) == found + 1


# --- only ever added to


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE kit_audit SET actor = 'emp-2' WHERE seq = 1",
        "DELETE FROM kit_audit WHERE seq = 1",
        "INSERT INTO kit_audit SELECT * FROM kit_audit WHERE seq = 1",
        "UPDATE kit_checkpoints SET seq = 9",
        "DELETE FROM kit_checkpoints",
    ],
)
def test_the_front_door_is_closed(engine, statement):
    """No ordinary connection changes or deletes what was written."""
    with engine.begin() as connection:
        LOG.append(connection, now=NOW, **LOOK)
        LOG.checkpoint(connection, now=NOW)
    with pytest.raises(sa.exc.DBAPIError), engine.begin() as connection:
        connection.exec_driver_sql(statement)

    assert check(engine).checkpoints == 1


def test_replace_is_closed_too_without_recursive_triggers(sqlite):
    """REPLACE deletes the old row unseen, unless asked for."""
    with sqlite.begin() as connection:
        LOG.append(connection, now=NOW, **LOOK)
        LOG.checkpoint(connection, now=NOW)
    bare = plain(sqlite.url)
    for statement in (
        "REPLACE INTO kit_audit SELECT * FROM kit_audit",
        "REPLACE INTO kit_checkpoints SELECT * FROM kit_checkpoints",
    ):
        with bare.begin() as connection, pytest.raises(sa.exc.IntegrityError, match="only ever"):
            connection.exec_driver_sql(statement)


def test_the_right_to_add_is_enough(postgres):
    """A till's role that may add and read, and nothing else, can log."""
    engine = create(postgres)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE audited_till")
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("GRANT SELECT, INSERT ON kit_audit TO audited_till")
            connection.exec_driver_sql("SET LOCAL ROLE audited_till")
            assert LOG.append(connection, now=NOW, **LOOK) == 1
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP OWNED BY audited_till; DROP ROLE audited_till")


def test_truncate_and_upsert_are_closed_too(postgres):
    """PostgreSQL has two more ways to change rows."""
    engine = create(postgres)
    with engine.begin() as connection:
        LOG.append(connection, now=NOW, **LOOK)
    for statement in (
        "TRUNCATE kit_audit",
        "INSERT INTO kit_audit SELECT * FROM kit_audit ON CONFLICT (seq) DO UPDATE SET count = 9",
    ):
        with pytest.raises(sa.exc.DBAPIError, match="only ever"), engine.begin() as connection:
            connection.exec_driver_sql(statement)


def test_the_tables_can_be_taken_down(engine):
    """Nothing is left of them, so that they can be made again."""
    metadata = sa.MetaData()
    table(metadata)
    metadata.drop_all(engine)
    metadata.create_all(engine)

    assert check(engine).entries == 0


# --- checkpoints and reading


def test_a_checkpoint_says_where_the_log_stands(engine):
    """It is signed over the documented bytes, and can be checked without the kit."""
    with engine.begin() as connection:
        LOG.append(connection, now=NOW, **LOOK)
        mark = LOG.checkpoint(connection, now=NOW)
        kept = connection.execute(sa.select(CHECKPOINTS)).mappings().one()
    told_ = json.loads(mark.to_json())
    signature = bytes.fromhex(told_.pop("signature"))

    assert told_ == {
        "at": "2026-11-24T09:30:00.000000Z",
        "format": 1,
        "hash": rows(engine)[0]["hash"].hex(),
        "public_key": PUBLIC.hex(),
        "seq": 1,
        "what": "checkpoint of an audit log",
    }
    message = json.dumps(told_, sort_keys=True, separators=(",", ":")).encode()
    Ed25519PublicKey.from_public_bytes(PUBLIC).verify(signature, message)
    assert kept == vars(mark)
    assert check(engine, checkpoints=[mark.to_json()]).proven == 1


def test_two_checkpoints_at_once_are_one(engine):
    """A second backup in the same moment needs no second row."""
    with engine.begin() as connection:
        marks = [LOG.checkpoint(connection, now=NOW + timedelta(n)) for n in (0, 0, 1)]
        kept = connection.scalar(sa.select(sa.func.count()).select_from(CHECKPOINTS))

    assert marks[0] == marks[1] != marks[2]
    assert marks[0].seq == 0
    assert kept == 2


def test_a_checkpoint_that_nobody_could_check_is_not_written(sqlite):
    """A public key of another pair is noticed now, not after the loss."""
    log = new_log(sign=Ed25519PrivateKey.generate().sign)
    with sqlite.begin() as connection, pytest.raises(BadKey, match="pair"):
        log.checkpoint(connection, now=NOW)


def test_entries_can_be_narrowed(engine):
    """Who looked at this customer, what did this person do, on that day."""
    events = [
        Event(**LOOK | {"actor": f"emp-{n % 2}"}, subject=f"cus_{n % 3}", at=NOW + timedelta(n))
        for n in range(12)
    ]
    with engine.begin() as connection:
        LOG.extend(connection, events, now=NOW)

        def numbers(**options):
            return [row["seq"] for row in entries(connection, **options)]

        assert numbers() == list(range(1, 13))
        assert numbers(since=NOW + timedelta(2), until=NOW + timedelta(4)) == [3, 4]
        assert numbers(actor="emp-1") == [2, 4, 6, 8, 10, 12]
        assert numbers(subject=LOG.subject("cus_0"), actor="emp-1") == [4, 10]


def test_lines_hold_all_that_is_needed_to_check_them(engine):
    """An auditor gets a file and two keys, and needs no database."""
    with engine.begin() as connection:
        LOG.extend(connection, [Event(**LOOK, subject=f"c{n}") for n in range(5)], now=NOW)
        mark = LOG.checkpoint(connection, now=NOW)
        exported = list(lines(entries(connection)))

    assert list(json.loads(exported[0]))[:3] == ["seq", "at", "actor"]
    found = tamper.verify_lines(exported, public_keys=[PUBLIC], checkpoints=[mark.to_json()])
    assert (found.entries, found.proven) == (5, 5)


def test_a_person_reads_it_in_their_own_time(engine):
    """One line an entry, in words, by the clock on the shop's wall."""
    with engine.begin() as connection:
        LOG.append(connection, now=NOW, **LOOK, subject="cus_1")
        export = LOOK | {"action": "export", "purpose": "marketing"}
        LOG.append(connection, now=NOW, **export, count=412, refused=True)
        text = list(told(entries(connection), zone=ZoneInfo("America/New_York")))

    assert text == [
        f"2026-11-24 04:30  emp-1 (cashier)  look  1 for sale, customer {LOG.subject('cus_1')[:8]}",
        "2026-11-24 04:30  emp-1 (cashier)  refused to export  412 for marketing",
    ]
