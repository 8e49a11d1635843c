"""Keys in a shop's folder, and the tables they seal: nothing lost, nothing left in the clear."""

from __future__ import annotations

import csv
import json
import os
import shutil
import stat
import sys
from datetime import UTC, datetime

import pandas as pd
import pytest

from kit import agefile, encrypt, frames, recovery, vault
from kit.encrypt import CannotDecrypt
from kit.passphrase import TooWeak

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
WORDS = "ocean-teapot-violin-candle-marble-tunnel"
OTHER = "quartz-bamboo-lantern-pepper-saddle-ribbon"
ROWS = [
    ["Customer ID", "First Name", "E-mail Address", "Note"],
    ["c1", "Ana", "ana@example.com", 'says "hi", twice\nand again'],
    ["c2", "=Bo", "", "+1 555-0142"],
    ["c3", "Çelik", "celik@example.org", "k1 is no token"],
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make a folder with a keyring: a passphrase takes its time on purpose."""
    folder = tmp_path_factory.mktemp("made")
    vault.create(folder, WORDS, now=NOW)
    return folder


@pytest.fixture
def keyring(made, tmp_path):
    """Return the keyring of a folder."""
    shutil.copy(made / vault.KEYRING, tmp_path)
    return vault.open_keyring(tmp_path, WORDS)


@pytest.fixture
def customers(tmp_path):
    """Return a customer list as a till writes it."""
    return write(tmp_path / "my customers.csv", ROWS)


def write(path, rows):
    """Write rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def read(path):
    """Return the rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_sealed_table_comes_back_as_it_was(keyring, customers):
    """Other columns stay byte for byte; empty cells stay empty; order and headers stay."""
    sealed = vault.seal_table(customers, None, ["E-mail Address", "Note"], keyring=keyring)
    opened = vault.unseal_table(sealed.path, None, keyring=keyring)

    rows = read(sealed.path)
    assert sealed.path.name == "my customers.sealed.csv"
    assert (sealed.rows, sealed.table) == (3, "my_customers")
    assert [row[:2] for row in rows] == [row[:2] for row in ROWS]
    assert all(row[3].startswith("k1.") for row in rows[1:])
    assert [bool(row[2]) for row in rows[1:]] == [True, False, True]
    assert b"ana@example.com" not in sealed.path.read_bytes()
    assert read(opened.path) == ROWS
    assert opened.columns == ("E-mail Address", "Note")


def test_a_row_swap_is_refused(keyring, customers):
    """Nobody can move one customer's e-mail to another row."""
    sealed = vault.seal_table(customers, None, ["E-mail Address"], keyring=keyring).path
    rows = read(sealed)
    rows[1][2], rows[3][2] = rows[3][2], rows[1][2]
    write(sealed, rows)

    with pytest.raises(CannotDecrypt, match="moved from another row"):
        vault.unseal_table(sealed, None, keyring=keyring)
    assert not (sealed.parent / "my customers.opened.csv").exists()


def test_a_renamed_file_opens_with_the_tables_name(keyring, customers):
    """The table's name is part of each token's place."""
    sealed = vault.seal_table(customers, None, ["Note"], keyring=keyring)
    renamed = sealed.path.rename(sealed.path.with_name("list.csv"))

    with pytest.raises(CannotDecrypt, match="another name .* --table") as refused:
        vault.unseal_table(renamed, None, keyring=keyring)
    assert refused.value.cell == 1
    with pytest.raises(CannotDecrypt, match="^wrong.Note, cell 1: wrong key"):
        vault.unseal_table(renamed, None, keyring=keyring, table="wrong")
    vault.unseal_table(renamed, None, ["Note"], keyring=keyring, table=sealed.table)
    assert read(renamed.with_name("list.opened.csv")) == ROWS


@pytest.mark.parametrize(
    ("rows", "columns", "more", "says"),
    [
        pytest.param(ROWS, ["Phone"], {}, "no column of that name", id="no such column"),
        pytest.param(
            ROWS, ["Note"], {"key_column": "Phone"}, "no key column", id="no such key column"
        ),
        pytest.param(
            [["a", "b"], ["1", "2"]], ["b"], {}, "which column holds the row's id", id="no id"
        ),
        pytest.param([["id", "user_id", "b"], ["1", "2", "3"]], ["b"], {}, "--key", id="two ids"),
        pytest.param(
            [["id", "a b", "a-b"], ["1", "2", "3"]], ["a b"], {}, "signs only", id="headers alike"
        ),
        pytest.param(
            [["id", "b"], ["1", "2"], ["1", "2", "3", "4"], ["2", "x"]], ["b"], {}, "row 3",
            id="ragged",
        ),
        pytest.param([["id", "b"]], ["b"], {}, "no rows", id="empty"),
        pytest.param(ROWS, [], {}, "no column was named", id="no column"),
        pytest.param(
            [["id", "b", "b "], ["1", "x", "y"]], ["b"], {}, "two columns are called b", id="alike"
        ),
        pytest.param([["id", "b"], ["1", "x"], ["1", "y"]], ["b"], {}, "stands twice", id="twice"),
        pytest.param([["id", "b"], ["", "x"], ["1", "y"]], ["b"], {}, "missing", id="blank id"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(keyring, tmp_path, rows, columns, more, says):
    """Nothing is written, and the message says what to do, not what stands in the cell."""
    source = write(tmp_path / "t.csv", rows)

    with pytest.raises(Exception, match=says):
        vault.seal_table(source, None, columns, keyring=keyring, **more)
    assert not list(tmp_path.glob("t.sealed*"))


def test_blank_lines_are_no_rows(keyring, tmp_path):
    """Spreadsheets leave them at the end; nobody should look for an id that is missing there."""
    source = write(tmp_path / "t.csv", [["id", "b"], ["1", "x"], [], ["2", ""], ["", ""], []])

    sealed = vault.seal_table(source, None, ["b"], keyring=keyring)

    assert sealed.rows == 2
    vault.unseal_table(sealed.path, None, keyring=keyring)
    assert read(tmp_path / "t.opened.csv") == [["id", "b"], ["1", "x"], ["2", ""]]


def test_an_index_column_goes_with_its_header(keyring, tmp_path):
    """Or every later value of a row would stand under the wrong name."""
    frame = pd.DataFrame({"id": ["1"], "email": ["ana@example.com"], "city": ["Ghent"]})
    sealed = frames.seal_frame(
        frame,
        {"email": "seal and index"},
        cipher=encrypt.Cipher(keyring),
        table="t",
        key_column="id",
        to_text=encrypt.to_text,
        number=lambda column, values: [5 for _ in values],
    )
    sealed[["id", "email", "email_index", "city"]].to_csv(tmp_path / "t.sealed.csv", index=False)

    opened = vault.unseal_table(tmp_path / "t.sealed.csv", None, keyring=keyring)

    assert read(opened.path) == [["id", "email", "city"], ["1", "ana@example.com", "Ghent"]]


def test_targets_are_not_overwritten_unasked(keyring, customers):
    """A second run needs a word; a name of one's own is taken."""
    first = vault.seal_table(customers, None, ["Note"], keyring=keyring).path
    before = first.read_bytes()

    with pytest.raises(vault.WontSeal, match="--overwrite"):
        vault.seal_table(customers, None, ["Note"], keyring=keyring)
    assert first.read_bytes() == before
    vault.seal_table(customers, None, ["Note"], keyring=keyring, overwrite=True)
    assert first.read_bytes() != before
    other = vault.seal_table(customers, first.with_name("x.csv"), ["Note"], keyring=keyring)
    assert other.path.name == "x.csv"


@pytest.mark.parametrize("name", [".", "no such folder/x.csv"])
def test_a_place_that_is_none_is_named_as_it_was_typed(keyring, customers, tmp_path, name):
    """The message names what was typed, not a file that nobody has heard of."""
    target = tmp_path / name

    with pytest.raises(vault.VaultError, match="a folder that is there") as refused:
        vault.seal_table(customers, target, ["Note"], keyring=keyring, overwrite=True)
    assert str(target) in str(refused.value)
    with pytest.raises(vault.VaultError, match="a folder that is there"):
        vault.export(keyring, "field", target, recipient=None)


def test_opening_what_is_not_sealed_says_so(keyring, customers):
    """The wrong file is named as that."""
    with pytest.raises(vault.WontSeal, match="no column holds anything sealed"):
        vault.unseal_table(customers, None, keyring=keyring)
    with pytest.raises(vault.WontSeal, match="no column of that name"):
        vault.unseal_table(customers, None, ["Phone"], keyring=keyring)


def test_sealing_twice_is_refused(keyring, customers):
    """What is sealed already would hide behind two keys."""
    sealed = vault.seal_table(customers, None, ["Note"], keyring=keyring).path

    with pytest.raises(encrypt.AlreadySealed):
        vault.seal_table(sealed, None, ["Note"], keyring=keyring)


def test_a_column_that_starts_with_a_digit_has_a_place_too(keyring, tmp_path):
    """Any header can be sealed."""
    source = write(tmp_path / "t.csv", [["number", "2nd phone"], ["1", "+12125550142"]])
    by = {"keyring": keyring, "key_column": "number"}

    sealed = vault.seal_table(source, None, ["2nd phone"], **by)

    vault.unseal_table(sealed.path, None, **by)
    assert read(tmp_path / "t.opened.csv")[1] == ["1", "+12125550142"]


def test_the_folder_opens_with_its_passphrase_only(keyring, tmp_path):
    """A weak or wrong passphrase is refused; a folder without a keyring is named as that."""
    assert vault.open_keyring(tmp_path, WORDS).keys == keyring.keys
    with pytest.raises(Exception, match="wrong passphrase"):
        vault.open_keyring(tmp_path, OTHER)
    with pytest.raises(vault.NoKeyring, match="kit keys create"):
        vault.open_keyring(tmp_path / "elsewhere", WORDS)
    (tmp_path / "new").mkdir()
    with pytest.raises(TooWeak):
        vault.create(tmp_path / "new", "password1234567", now=NOW)
    assert not vault.has_keyring(tmp_path / "new")
    assert not vault.has_shop(tmp_path)


def test_a_changed_passphrase(keyring, tmp_path):
    """Same keys, another lock."""
    vault.change_passphrase(tmp_path, WORDS, OTHER)

    assert vault.open_keyring(tmp_path, OTHER).keys == keyring.keys
    with pytest.raises(Exception, match="wrong passphrase"):
        vault.open_keyring(tmp_path, WORDS)
    with pytest.raises(TooWeak):
        vault.change_passphrase(tmp_path, OTHER, "12345")


def test_the_paper_key_brings_every_key_back(keyring, tmp_path):
    """The laptop burns; the copy and the paper are elsewhere."""
    assert vault.copy_state(tmp_path, keyring).startswith("none")
    assert not vault.has_paper_key(tmp_path)
    with pytest.raises(vault.NoKeyring, match="no paper key yet"):
        vault.write_copy(tmp_path, keyring)
    paper, public = recovery.new_paper_key()
    vault.write_copy(tmp_path, keyring, recipient=public)
    assert vault.has_paper_key(tmp_path)
    keyring.rotate("field", now=NOW)

    with pytest.raises(recovery.Incomplete):
        vault.rehearse(tmp_path, keyring, paper)
    vault.write_copy(tmp_path, keyring)
    vault.rehearse(tmp_path, keyring, paper.lower())

    new = tmp_path / "new laptop"
    new.mkdir()
    back = vault.recover(tmp_path / vault.COPY, paper, new, lambda: OTHER)
    assert back.keys == keyring.keys
    assert back.generation == keyring.generation + 1
    assert vault.open_keyring(new, OTHER).keys == keyring.keys
    with pytest.raises(vault.NoKeyring, match="kit keys recovery"):
        vault.recover(new / "gone.age", paper, new, lambda: OTHER)


def test_a_copy_older_than_a_key_is_told(keyring, tmp_path):
    """The new key seals values that the old copy cannot open, be it made in the same second."""
    vault.write_copy(tmp_path, keyring, recipient=recovery.new_paper_key()[1])
    assert vault.copy_state(tmp_path, keyring).startswith("of change number 1")

    keyring.rotate("field", now=NOW)
    assert vault.copy_state(tmp_path, keyring).startswith("older than the last change")

    vault.write_copy(tmp_path, keyring)
    assert vault.copy_state(tmp_path, keyring).startswith("of change number 2")


def test_an_emptied_note_of_the_paper_key_is_none(keyring, tmp_path):
    """A folder that is synchronised can lose what a file holds; the next step is said."""
    vault.write_copy(tmp_path, keyring, recipient=recovery.new_paper_key()[1])
    (tmp_path / vault.PUBLIC).write_bytes(b"")

    assert "kit keys recovery" in vault.copy_state(tmp_path, keyring)
    with pytest.raises(vault.NoKeyring, match="kit keys recovery"):
        vault.write_copy(tmp_path, keyring)


def test_a_recovered_keyring_is_newer_than_what_the_database_saw(keyring, tmp_path):
    """Or it would be taken for an old one that somebody put back."""
    paper, public = recovery.new_paper_key()
    vault.write_copy(tmp_path, keyring, recipient=public)
    (tmp_path / "new").mkdir()

    back = vault.recover(tmp_path / vault.COPY, paper, tmp_path / "new", lambda: OTHER, at_least=9)

    assert back.generation == 10


def test_a_new_paper_key_replaces_the_old_one(keyring, tmp_path):
    """A paper that somebody saw opens no new copy."""
    old, new = recovery.new_paper_key(), recovery.new_paper_key()
    vault.write_copy(tmp_path, keyring, recipient=old[1])
    vault.write_copy(tmp_path, keyring, recipient=new[1])

    vault.rehearse(tmp_path, keyring, new[0])
    with pytest.raises(recovery.WrongPaperKey):
        vault.rehearse(tmp_path, keyring, old[0])


def test_exported_keys_are_sealed_or_asked_for(keyring, tmp_path):
    """The clear file is what Tink reads; the sealed one opens for its recipient alone."""
    identity, recipient = agefile.new_identity()
    vault.export(keyring, "field", tmp_path / "a.json", recipient=None)
    vault.export(keyring, "field", tmp_path / "a.json.age", recipient=recipient)
    agefile.unseal_file(tmp_path / "a.json.age", tmp_path / "b.json", identities=[identity])

    keyset = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert keyset["primaryKeyId"] == keyring.primary("field").id
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    with pytest.raises(vault.VaultError, match="there already"):
        vault.export(keyring, "field", tmp_path / "a.json", recipient=None)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps rights elsewhere")
def test_files_are_readable_by_their_owner_only(keyring, customers, tmp_path):
    """Everything that is written may hold customers or keys."""
    vault.write_copy(tmp_path, keyring, recipient=recovery.new_paper_key()[1])
    sealed = vault.seal_table(customers, None, ["Note"], keyring=keyring).path
    opened = vault.unseal_table(sealed, None, keyring=keyring).path

    for path in (tmp_path / vault.KEYRING, tmp_path / vault.COPY, sealed, opened):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_a_full_disk_leaves_nothing_behind(keyring, customers, monkeypatch):
    """The part that was written is deleted, and the old file stays."""
    target = vault.seal_table(customers, None, ["Note"], keyring=keyring).path
    before = target.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda handle: os.write(handle, b"x") and 1 / 0)

    with pytest.raises(ZeroDivisionError):
        vault.seal_table(customers, None, ["Note"], keyring=keyring, overwrite=True)
    with pytest.raises(ZeroDivisionError):
        vault.write_copy(customers.parent, keyring, recipient=recovery.new_paper_key()[1])

    assert target.read_bytes() == before
    assert not list(customers.parent.glob(".*part"))


def test_an_empty_column_of_a_table_stays_empty(keyring, tmp_path):
    """Types do not matter: a table with an empty column is sealed as any other."""
    source = write(tmp_path / "t.csv", [["id", "b", "c"], ["1", "", "x"], ["2", "", "y"]])

    sealed = vault.seal_table(source, None, ["b", "c"], keyring=keyring)

    assert [row[1] for row in read(sealed.path)[1:]] == ["", ""]
