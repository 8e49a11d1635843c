"""Nobody changes an audit log without it being told what, and where. These are the promises."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kit import audit, store, tamper
from kit.tamper import Broken, Fault, TamperError, Unreadable, verify, verify_lines

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(32))
OLD = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC, OLD_PUBLIC = (key.public_key().public_bytes_raw() for key in (SIGNING, OLD))
COLUMNS = [column.name for column in audit.AUDIT.columns]
SIZE = 12
EVENTS = [
    audit.Event(
        f"emp-{n % 3}",
        "cashier",
        "sale",
        "look" if n % 2 else "search",
        subject=f"cus_{n}" if n % 2 else None,
        filter=None if n % 2 else f"name {n}",
        count=n,
        at=NOW + timedelta(minutes=n),
    )
    for n in range(SIZE)
]


def new_log(key=SIGNING):
    """Return a log that signs with this key."""
    return audit.Log(key=bytes(32), sign=key.sign, public_key=key.public_key().public_bytes_raw())


def fill(engine):
    """Write twelve entries with checkpoints at 4, 8 and 12; return the checkpoints as JSON."""
    metadata = sa.MetaData()
    audit.table(metadata)
    metadata.create_all(engine)
    marks = []
    for start in (0, 4, 8):
        with engine.begin() as connection:
            new_log().extend(connection, EVENTS[start : start + 4], now=NOW)
            at = NOW + timedelta(days=start)
            marks.append(new_log().checkpoint(connection, now=at).to_json())
    return marks


def unlock(connection):
    """Do what somebody does who holds the file: drop the triggers."""
    if connection.dialect.name == "sqlite":
        for name in ("kit_audit", "kit_checkpoints"):
            for verb in ("update", "delete", "replace"):
                connection.exec_driver_sql(f"DROP TRIGGER {name}_no_{verb}")
    else:
        for name in ("kit_audit", "kit_checkpoints"):
            connection.exec_driver_sql(f"DROP TRIGGER {name}_only_grows ON {name}")


@pytest.fixture
def open_log(database):
    """Return a log that its triggers no longer guard, and its checkpoints."""
    engine = store.connect(database)
    if engine.dialect.name == "sqlite":
        Path(engine.url.database).touch()
    marks = fill(engine)
    with engine.begin() as connection:
        unlock(connection)
        yield connection, marks


@pytest.fixture(scope="module")
def memory():
    """Return an unguarded log in memory, its rows and its checkpoints, for many small crimes."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    marks = fill(engine)
    with engine.begin() as connection:
        unlock(connection)
        connection.exec_driver_sql("DELETE FROM kit_checkpoints")
        rows = [tuple(row) for row in connection.execute(sa.select(audit.AUDIT))]
        yield connection, rows, marks
    engine.dispose()


def put(connection, rows):
    """Replace all entries."""
    connection.exec_driver_sql("DELETE FROM kit_audit")
    if rows:
        values = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
        connection.execute(sa.insert(audit.AUDIT), values)


def faults(connection, *marks, keys=(PUBLIC,)):
    """Return what is found: kind, first and last entry."""
    try:
        verify(connection, public_keys=keys, checkpoints=marks)
    except Broken as broken:
        return [(fault.kind, fault.first, fault.last) for fault in broken.faults]
    return []


def edit(row, **changes):
    """Return a row with some fields changed."""
    return tuple(dict(zip(COLUMNS, row, strict=True), **changes).values())


def chained(rows):
    """Do what a careful forger does: compute all numbers and hashes anew."""
    made, prev = [], bytes(32)
    for seq, row in enumerate(rows, 1):
        body = json.dumps([seq, *row[1:9]], separators=(",", ":")).encode()
        found = tamper.hashlib.sha256(prev + body).digest()
        made.append((seq, *row[1:9], prev, found))
        prev = found
    return made


def test_a_good_log_is_told_how_far_it_is_proven(open_log):
    """The result says what was checked, and what no checkpoint from outside covers."""
    connection, marks = open_log
    found = verify(connection, public_keys=[PUBLIC], checkpoints=marks[:2])

    assert (found.entries, found.checkpoints, found.proven) == (12, 3, 8)
    head = connection.scalar(sa.select(audit.AUDIT.c.hash).where(audit.AUDIT.c.seq == 12))
    assert found.head == head
    assert verify(connection, public_keys=[PUBLIC]).proven == 0


def test_an_empty_log_is_good(database):
    """On the first day there is nothing to find."""
    engine = store.connect(database)
    if engine.dialect.name == "sqlite":
        Path(engine.url.database).touch()
    metadata = sa.MetaData()
    audit.table(metadata)
    metadata.create_all(engine)
    with engine.begin() as connection:
        mark = new_log().checkpoint(connection, now=NOW).to_json()
        found = verify(connection, public_keys=[PUBLIC], checkpoints=[mark])

    assert (found.entries, found.checkpoints, found.proven) == (0, 1, 0)


CRIMES = {
    "a name changed": ("UPDATE kit_audit SET actor = 'emp-9' WHERE seq = 5", [("altered", 5, 5)]),
    "two in a row": ("UPDATE kit_audit SET count = 0 WHERE seq IN (5, 6)", [("altered", 5, 6)]),
    "one removed": ("DELETE FROM kit_audit WHERE seq = 5", [("missing", 5, 5)]),
    "the first removed": ("DELETE FROM kit_audit WHERE seq < 3", [("missing", 1, 2)]),
    "several at once": (
        "DELETE FROM kit_audit WHERE seq IN (3, 9); UPDATE kit_audit SET role = 'owner' "
        "WHERE seq = 7; UPDATE kit_audit SET hash = prev WHERE seq = 11",
        [("missing", 3, 3), ("altered", 7, 7), ("missing", 9, 9), ("altered", 11, 11)],
    ),
    "two exchanged": (
        "UPDATE kit_audit SET seq = 99 WHERE seq = 5; UPDATE kit_audit SET seq = 5 WHERE seq = 6; "
        "UPDATE kit_audit SET seq = 6 WHERE seq = 99",
        [("out of order", 5, 5), ("out of order", 6, 6)],
    ),
    "one moved to the end": (
        "UPDATE kit_audit SET seq = 13 WHERE seq = 5",
        [("out of order", 13, 13)],
    ),
    "the end cut off": ("DELETE FROM kit_audit WHERE seq > 9", [("truncated", 10, 12)]),
    "all removed": ("DELETE FROM kit_audit", [("truncated", 1, 12)]),
    "one copied over another": (
        "DELETE FROM kit_audit WHERE seq = 9; INSERT INTO kit_audit SELECT 9, at, actor, role, "
        "purpose, action, subject, filter, count, prev, hash FROM kit_audit WHERE seq = 2",
        [("duplicate", 9, 9)],
    ),
    "one copied to the end": (
        "INSERT INTO kit_audit SELECT 13, at, actor, role, purpose, action, subject, filter, "
        "count, prev, hash FROM kit_audit WHERE seq = 2",
        [("duplicate", 13, 13)],
    ),
    "one before the first": (
        "INSERT INTO kit_audit SELECT 0, at, actor, role, purpose, action, subject, filter, "
        "count, prev, hash FROM kit_audit WHERE seq = 2",
        [("duplicate", 0, 0)],
    ),
    "the link changed": (
        "UPDATE kit_audit SET prev = hash WHERE seq = 5",
        [("altered", 5, 5)],
    ),
    "the hash changed where a checkpoint is": (
        "UPDATE kit_audit SET hash = prev WHERE seq = 8",
        [("altered", 8, 8)],
    ),
    "a checkpoint forged": (
        "UPDATE kit_checkpoints SET seq = 3 WHERE seq = 4",
        [("checkpoint", 3, 3)],
    ),
    "a checkpoint unsigned": (
        "UPDATE kit_checkpoints SET public_key = hash WHERE seq = 4",
        [("checkpoint", 4, 4)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("crime", CRIMES)
def test_every_crime_has_its_name(open_log, crime):
    """On both systems, each fault is told by its kind and its number, several at once."""
    connection, marks = open_log
    statements, expected = CRIMES[crime]
    for statement in statements.split("; "):
        connection.exec_driver_sql(statement)

    assert faults(connection, *marks) == expected


def test_faults_are_told_in_words(open_log):
    """The owner reads which entries, what happened to them, and what to do."""
    connection, marks = open_log
    connection.exec_driver_sql("UPDATE kit_audit SET actor = 'emp-9' WHERE seq IN (2, 3)")
    connection.exec_driver_sql("DELETE FROM kit_audit WHERE seq IN (5, 7) OR seq > 10")
    with pytest.raises(Broken) as caught:
        verify(connection, public_keys=[PUBLIC], checkpoints=marks)

    assert str(caught.value) == (
        "entries 2 to 3 were altered; entry 5 is missing; entry 7 is missing; and 1 more; "
        "copy it as it is now, then ask who had the database"
    )
    assert caught.value.faults[3] == Fault(
        "truncated", 11, 12, "entries 11 to 12 were cut off the end after 2026-12-02T09:30"
    )


WORDS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["emp-1", "", "null", '","', "look\0", "look ", "LOOK", "2026-11-24T09:30:00.000000Z"]
)
VALUES = {
    **dict.fromkeys(("at", "actor", "role", "purpose", "action"), WORDS),
    **dict.fromkeys(("subject", "filter"), st.none() | WORDS),
    "count": st.integers(-(2**63), 2**63 - 1),
    "seq": st.integers(-5, 40),
    **dict.fromkeys(("prev", "hash"), st.binary(max_size=40)),
}
MANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(data=st.data(), place=st.integers(0, SIZE - 1), column=st.sampled_from(COLUMNS))
def test_any_change_of_any_field_is_found_and_named(memory, data, place, column):
    """Whatever is written over whatever field, the entry is named."""
    connection, rows, marks = memory
    value = data.draw(VALUES[column])
    assume(value != rows[place][COLUMNS.index(column)])
    changed = [edit(row, **{column: value}) if n == place else row for n, row in enumerate(rows)]
    if column == "seq":
        other = [row for n, row in enumerate(rows) if n != place and row[0] == value]
        changed = [row for row in changed if row not in other]
    put(connection, changed)
    found = faults(connection, *marks)

    named = {n for _, first, last in found for n in range(first, last + 1)}
    assert (value if column == "seq" else place + 1) in named


@MANY
@given(gone=st.sets(st.integers(1, SIZE - 1), min_size=1))
def test_any_removal_from_the_middle_is_found_and_named(memory, gone):
    """Exactly the missing numbers are told, without any checkpoint."""
    connection, rows, _ = memory
    put(connection, [row for row in rows if row[0] not in gone])
    found = faults(connection)

    assert {kind for kind, _, _ in found} == {"missing"}
    assert {n for _, first, last in found for n in range(first, last + 1)} == gone


@MANY
@given(order=st.permutations(range(SIZE)))
def test_any_other_order_is_found_and_named(memory, order):
    """Whatever entries changed places, those places are told, and that they are only moved."""
    assume(order != list(range(SIZE)))
    connection, rows, marks = memory
    put(connection, [edit(rows[n], seq=seq) for seq, n in enumerate(order, 1)])

    moved = [("out of order", seq, seq) for seq, n in enumerate(order, 1) if n + 1 != seq]
    assert faults(connection, *marks) == moved


@MANY
@given(left=st.integers(0, SIZE - 1), mark=st.integers(0, 2))
def test_any_cut_is_found_against_a_checkpoint(memory, left, mark):
    """What is missing at the end is told up to what the checkpoint knew; no further."""
    connection, rows, marks = memory
    put(connection, rows[:left])
    known = 4 * (mark + 1)

    expected = [("truncated", left + 1, known)] if left < known else []
    assert faults(connection, marks[mark]) == expected
    assert faults(connection) == []  # the reason for keeping checkpoints elsewhere


@MANY
@given(gone=st.integers(0, SIZE - 1))
def test_a_log_written_anew_is_found_against_a_checkpoint(memory, gone):
    """A forger who recomputes everything is betrayed by what was signed before."""
    connection, rows, marks = memory
    put(connection, chained(rows[:gone] + rows[gone + 1 :]))

    kinds = faults(connection, *marks)
    assert kinds[-1][0] == "truncated"
    if gone < 8:
        first = gone // 4 * 4
        assert kinds[0] == ("rewritten", first + 1, first + 4)
    assert faults(connection) == []


def test_one_entry_replaced_with_a_good_hash_is_found_by_the_next(memory):
    """To hide one change, all that follows must be forged too."""
    connection, rows, marks = memory
    forged = chained([edit(row, actor="emp-9") if row[0] == 5 else row for row in rows])
    put(connection, [forged[4] if row[0] == 5 else row for row in rows])
    assert faults(connection) == [("replaced", 5, 5)]

    first = chained([edit(rows[0], actor="emp-9"), *rows[1:]])
    put(connection, [first[0], *rows[1:]])
    assert faults(connection) == [("replaced", 1, 1)]


def test_a_gap_with_good_hashes_is_found(memory):
    """Numbers leave none out, even when the rest was chained anew around the gap."""
    connection, rows, _ = memory
    made, prev = [], bytes(32)
    for row in (row for row in rows if row[0] != 5):
        body = json.dumps(row[:9], separators=(",", ":")).encode()
        made.append((*row[:9], prev, tamper.hashlib.sha256(prev + body).digest()))
        prev = made[-1][10]
    put(connection, made)

    assert faults(connection) == [("missing", 5, 5)]


def test_a_first_entry_that_follows_another_log_is_found(memory):
    """The end of one log is not the whole of another."""
    connection, rows, _ = memory
    body = json.dumps([1, *rows[1][1:9]], separators=(",", ":")).encode()
    found = tamper.hashlib.sha256(rows[0][10] + body).digest()
    put(connection, [(1, *rows[1][1:9], rows[0][10], found)])

    assert faults(connection) == [("replaced", 1, 1)]


def test_when_everything_is_altered_it_is_one_fault(memory):
    """A thousand lines of the same help nobody."""
    connection, rows, marks = memory
    put(connection, [edit(rows[n % SIZE], seq=n + 1, actor="emp-9") for n in range(200)])

    assert faults(connection, *marks) == [("altered", 1, 200)]


def test_it_stops_after_a_thousand_faults(memory):
    """It is then not the end that is missing; it was not looked at."""
    connection, rows, marks = memory
    put(connection, [edit(rows[0], seq=2 * n) for n in range(1, 6_000)])
    found = faults(connection, *marks)

    assert 1_000 < len(found) < 6_000
    assert {kind for kind, _, _ in found} == {"missing", "altered"}


def test_keys_that_were_replaced_still_count(database):
    """After a change of the signing key, old checkpoints are checked with the old public key."""
    engine = store.connect(database)
    if engine.dialect.name == "sqlite":
        Path(engine.url.database).touch()
    metadata = sa.MetaData()
    audit.table(metadata)
    metadata.create_all(engine)
    marks = []
    with engine.begin() as connection:
        for key in (OLD, SIGNING):
            new_log(key).extend(connection, EVENTS[:2], now=NOW)
            marks.append(new_log(key).checkpoint(connection, now=NOW).to_json())
        found = verify(connection, public_keys=[PUBLIC, OLD_PUBLIC], checkpoints=marks)

        assert (found.checkpoints, found.proven) == (2, 4)
        assert faults(connection, *marks, keys=[PUBLIC]) == [("checkpoint", 2, 2)]


def test_a_checkpoint_signed_by_a_stranger_counts_for_nothing(memory):
    """Anybody can sign; only the keys that were handed over are believed."""
    connection, rows, marks = memory
    put(connection, rows)
    stranger = json.loads(marks[0]) | {"hash": "00" * 32}
    del stranger["signature"]
    message = json.dumps(stranger, sort_keys=True, separators=(",", ":")).encode()
    forged = json.dumps(stranger | {"signature": OLD.sign(message).hex()})

    assert faults(connection, forged) == [("checkpoint", 4, 4)]


# --- a table without its guards, and lines from a file


LOOSE = """CREATE TABLE kit_audit (seq, at, actor, role, purpose, action, subject, filter, count,
prev, hash)"""


@pytest.fixture
def loose(memory):
    """Return a log that somebody put into a table without types, keys and triggers."""
    _, rows, marks = memory
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(LOOSE)
        connection.exec_driver_sql(
            "CREATE TABLE kit_checkpoints (seq, at, hash, public_key, signature)"
        )
        put(connection, rows)
        yield connection, marks
    engine.dispose()


def test_a_table_without_its_key_may_hold_doubles(loose):
    """The key of the table is not what the check relies on."""
    connection, marks = loose
    assert faults(connection, *marks) == []
    connection.exec_driver_sql("INSERT INTO kit_audit SELECT * FROM kit_audit WHERE seq = 5")

    assert faults(connection, *marks) == [("duplicate", 5, 5)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("prev = NULL", [("altered", 5, 5)]),
        ("prev = 'text'", [("altered", 5, 5)]),
        ("hash = NULL", [("altered", 5, 5)]),
        ("actor = NULL", [("altered", 5, 5)]),
        ("count = '4'", [("altered", 5, 5)]),
        ("count = 4.0", [("altered", 5, 5)]),
    ],
)
def test_other_types_are_altered_entries(loose, change, expected):
    """A number that became text reads the same to a person, not to the hash."""
    connection, marks = loose
    connection.exec_driver_sql(f"UPDATE kit_audit SET {change} WHERE seq = 5")  # noqa: S608

    assert faults(connection, *marks) == expected


@pytest.mark.parametrize("change", ["actor = x'00'", "seq = 'five'", "seq = NULL"])
def test_what_cannot_be_read_is_told(loose, change):
    """A log that was made unreadable is not a good log."""
    connection, _ = loose
    connection.exec_driver_sql(f"UPDATE kit_audit SET {change} WHERE seq = 5")  # noqa: S608

    with pytest.raises(Unreadable, match="restore"):
        verify(connection, public_keys=[PUBLIC])


def test_a_database_without_a_log_is_told():
    """Somebody dropped the table, or it is the wrong database."""
    engine = sa.create_engine("sqlite://", poolclass=sa.NullPool)
    with engine.begin() as connection, pytest.raises(Unreadable):
        verify(connection, public_keys=[PUBLIC])


@pytest.fixture
def exported(memory):
    """Return the log as lines, and its checkpoints."""
    connection, rows, marks = memory
    put(connection, rows)
    return list(audit.lines(audit.entries(connection))), marks


def line_faults(lines, *marks):
    """Return what is found in lines."""
    try:
        verify_lines(lines, public_keys=[PUBLIC], checkpoints=marks)
    except Broken as broken:
        return [(fault.kind, fault.first, fault.last) for fault in broken.faults]
    return []


def test_lines_are_checked_as_the_database_is(exported):
    """What left the shop can be checked where it arrived."""
    lines, marks = exported
    good = verify_lines(iter(lines), public_keys=[PUBLIC], checkpoints=marks)
    assert (good.entries, good.checkpoints, good.proven) == (12, 3, 12)
    altered = lines[5].replace('"count":5', '"count":4')

    assert line_faults(lines[:5] + [altered] + lines[6:], *marks) == [("altered", 6, 6)]
    assert line_faults(lines[:5] + lines[6:], *marks) == [("missing", 6, 6)]
    assert line_faults(lines[:10], *marks) == [("truncated", 11, 12)]
    assert line_faults(lines[:5] + [lines[4]] + lines[5:]) == [("duplicate", 5, 5)]
    changed = lines[:5] + [lines[4].replace("emp", "imp")] + lines[5:]
    assert line_faults(changed) == [("altered", 5, 5), ("duplicate", 5, 5)]


@MANY
@given(order=st.permutations(range(SIZE)))
def test_lines_in_another_order_are_told(exported, order):
    """Which lines stand too late, whatever the order."""
    lines, marks = exported
    late = {n + 1 for i, n in enumerate(order) if any(m > n for m in order[:i])}

    found = line_faults([lines[n] for n in order], *marks)
    assert found == [("out of order", n, n) for n in sorted(late)]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("", id="empty"),
        pytest.param("[1]", id="no object"),
        pytest.param("[]", id="nothing in it"),
        pytest.param("7", id="a number"),
        pytest.param('{"seq": 1}', id="fields missing"),
        pytest.param("SEQ", id="number as text"),
        pytest.param("HEX", id="no hex"),
        pytest.param("TWICE", id="a field twice"),
    ],
)
def test_lines_that_are_no_entries_are_refused(exported, line):
    """A damaged file is told by its line."""
    lines, _ = exported
    line = {
        "SEQ": lines[1].replace('"seq":2', '"seq":"2"'),
        "HEX": lines[1].replace('"prev":"', '"prev":"zz'),
        "TWICE": lines[1].replace('"seq":2', '"seq":2,"seq":2'),
    }.get(line, line)
    with pytest.raises(Unreadable, match="line 2: not an entry"):
        verify_lines([lines[0], line], public_keys=[PUBLIC])


def a_mark():
    """Return a checkpoint as a dict."""
    draft = audit.Checkpoint(4, bytes(32), "2026-11-24T09:30:00.000000Z", PUBLIC)
    return json.loads(draft.to_json())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="no object"),
        pytest.param(json.dumps(a_mark() | {"format": 2}), id="another format"),
        pytest.param(json.dumps(a_mark() | {"what": "a letter"}), id="something else"),
        pytest.param(json.dumps(a_mark() | {"seq": -1}), id="negative"),
        pytest.param(json.dumps(a_mark() | {"seq": "4"}), id="number as text"),
        pytest.param(json.dumps(a_mark() | {"hash": "zz"}), id="no hex"),
        pytest.param(json.dumps(a_mark() | {"more": 1}), id="a field too many"),
        pytest.param(json.dumps({"what": tamper.WHAT, "format": 1}), id="fields missing"),
    ],
)
def test_what_is_no_checkpoint_is_refused(text):
    """A line that was copied in part is told, before the log is read."""
    with pytest.raises(Unreadable, match="not a checkpoint") as caught:
        verify_lines([], public_keys=[PUBLIC], checkpoints=[text])

    assert isinstance(caught.value, TamperError)


def test_what_is_no_key_is_refused():
    """A key cut short is not a forged checkpoint."""
    mark = json.dumps(a_mark() | {"public_key": "00"})
    with pytest.raises(Unreadable, match="32 bytes"):
        verify_lines([], public_keys=[b"\0"], checkpoints=[mark])


def test_both_files_sign_the_same_bytes():
    """The message of a checkpoint is written twice, as no tool imports another."""
    here = inspect.getsource(tamper._Mark.signed_by).split("fields = {")[1].split("}")[0]

    assert here in inspect.getsource(audit.Checkpoint.message)
    assert (tamper.FORMAT, tamper.WHAT) == (audit.FORMAT, audit.WHAT)
