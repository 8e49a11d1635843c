"""The list of backups: whatever is missing, altered, exchanged or forged is named as what it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import manifest as m
from kit.manifest import (
    FIRST,
    Altered,
    BadManifest,
    Forged,
    Manifest,
    ManifestError,
    NewerFormat,
    NotSigned,
    Pruned,
    check,
    manifest_name,
    name,
    pruned_name,
    read,
    sha256,
    sign,
    sign_pruned,
)

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
OURS = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
THEIRS = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC = OURS.public_key().public_bytes_raw()
THIEF = THEIRS.public_key().public_bytes_raw()
PLACE = "usb"

# Made once and kept: if it stops being read, old backups are lost with it.
GOLDEN = (
    b'{"at":"2026-11-23T18:45:02Z","audit":[40,"b81f37a043a6f767e7c94d105f4bd31282f3ecc20680'
    b'bb9d09bd93461cf4c863"],"base":120,"base_sha256":"44d168a71a960d528ef3a88c5c2458146cd17'
    b'b8646e2be872e29e425b0a14e37","beside":{"keys-000003-5d41402a.age":"48a53f0774c8ceff574'
    b'a1fdcb0d470dbd382b3db273cff4344b6d39d5379c923"},"engine":"SQLite 3.40.1","file":"00012'
    b'3-20261123T184502Z-diff.tar.age","format":1,"generation":3,"inside_sha256":"deac327560'
    b'd7327cb416d8d33aa8de74fc86412989fc4641d81893998df40028","keep_until":"2026-12-24","key'
    b'_ids":[7,4000000000],"kind":"diff","kit":"0.1.0","ledger":[2,"fe14010b4fe83303852f0467'
    b'c919ef9a7ca089b91e96e3aad7d426dd87079297"],"page_size":4096,"plain_sha256":"916b8807a7'
    b'7477057f184358d9f23c6455a254d641984c6676ccf8168f8d5cff","plain_size":4096,"prev":"1be0'
    b'0341082e25c4e251ca6713e767f7131a2823b0052caf9c9b006ec512f6cb","public_key":"03a107bff3'
    b'ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8","recipients":["e37425255c92f8d'
    b'2","444e4a779066f275"],"schema_sha256":"df0ad6e43880f09c90ebf95f19110178aba6890df0010e'
    b'bda7485029e2b543b4","seq":123,"sha256":"60494dd27d9c549e18307a1ceed071724a043d33e88413'
    b'd5b331c7e020ddac7c","size":1123,"what":"manifest of a backup","signature":"88092154596'
    b"31019920421ac88e7a0b88afea2cc5ae86572ff49878f77cf41cb67231ba15367ceb8a983b23db8b6880ce"
    b'f11125a704a3f49844d1ebbf5802d0a"}'
)


def hashed(text):
    """Return a hash that differs for each text."""
    return hashlib.sha256(str(text).encode()).hexdigest()


def told(seq, prev=FIRST, *, at=None, base=None, **more):
    """Return what a manifest tells of a made-up backup."""
    at = at or NOW - timedelta(days=30) + timedelta(hours=seq)
    kind = "diff" if base else "full"
    made = Manifest(
        seq=seq,
        prev=prev,
        at=at,
        kind=kind,
        base=base,
        file=name(seq, at, kind, ".tar.age" if base else ".sqlite.zst.age"),
        size=1000 + seq,
        sha256=hashed(f"file {seq}"),
        plain_size=4096,
        plain_sha256=hashed(f"copy {seq}"),
        base_sha256=hashed(f"copy {base}") if base else None,
        page_size=4096,
        schema_sha256=hashed("schema"),
        inside_sha256=m.digest({"rows": {"customers": seq}}),
        engine="SQLite 3.40.1",
        kit="0.1.0",
        recipients=(m.fingerprint("age1example"), m.fingerprint("age1other")),
        key_ids=(7, 4_000_000_000),
        generation=3,
        ledger=(2, hashed("ledger")),
        audit=(40, hashed("audit")),
        keep_until=date(2026, 12, 24),
        beside={"keys-000003-5d41402a.age": hashed("keys")},
    )
    return replace(made, **more)


def sealed(manifest, key=OURS):
    """Return its file, signed by us or by another key."""
    return sign(manifest, key.sign, key.public_key().public_bytes_raw())


def place(count=8, **changed):
    """Return the manifests and the names of all files of a place: a full one, then differentials.

    Each fifth is a full one. *changed* is handed to `told` of all.
    """
    files, names, prev, base = {}, set(), FIRST, None
    for seq in range(1, count + 1):
        if seq % 5 == 1:
            base = None
        one = told(seq, prev, base=base, **changed)
        base = base or seq
        files[manifest_name(one)] = sealed(one)
        prev = sha256(files[manifest_name(one)])
        names |= {one.file, manifest_name(one)}
    return files, names


def look(files, names=None, **more):
    """Check a place and return (number, kind) of each fault."""
    return [(fault.seq, fault.kind) for fault in looked(files, names, **more).faults]


def looked(files, names=None, *, keys=(PUBLIC,), now=NOW, **more):
    """Check a place."""
    return check(files, public_keys=keys, now=now, names=names, **more)


def file_of(files, seq):
    """Return the name of a manifest's file."""
    return next(file for file in files if file.startswith(f"{seq:06}"))


def changed(data, **values):
    """Return a file with other values, as somebody would do who cannot sign."""
    return json.dumps(json.loads(data) | values, separators=(",", ":")).encode()


def signed_json(values, key=OURS):
    """Return a file that tells anything, signed."""
    public = key.public_key().public_bytes_raw().hex()
    message = json.dumps(
        {"public_key": public, **values}, sort_keys=True, separators=(",", ":")
    ).encode()
    return message[:-1] + b',"signature":"' + key.sign(message).hex().encode() + b'"}'


# ---- one manifest ----


def test_a_manifest_comes_back_as_it_was_told():
    """Nothing is lost between the computer that backs up and the one that restores."""
    for one in (told(1), told(2, hashed("x"), base=1), told(3, keep_until=None, recipients=())):
        assert read(sealed(one), public_keys=[THIEF, PUBLIC]) == one


def test_the_first_version_is_read_for_ever():
    """A manifest written by version 1 of the format opens, and is written the same today."""
    one = told(123, hashed(122), base=120, at=datetime(2026, 11, 23, 18, 45, 2, tzinfo=UTC))

    assert read(GOLDEN, public_keys=[PUBLIC]) == one
    assert sealed(one) == GOLDEN
    assert manifest_name(one) == "000123-20261123T184502Z-diff.manifest.json"


def test_the_file_is_what_its_description_says():
    """Anybody checks it with an Ed25519 program: sorted JSON, the signature last."""
    data = sealed(told(1))
    body, signature = data[:-1].split(b',"signature":')
    fields = json.loads(body + b"}")

    OURS.public_key().verify(bytes.fromhex(json.loads(signature)), body + b"}")
    assert data.isascii()
    assert b" " not in data.replace(b"SQLite 3", b"").replace(b"manifest of a backup", b"")
    assert list(fields) == sorted(fields)
    assert (fields["format"], fields["what"]) == (1, "manifest of a backup")


def test_a_manifest_tells_no_business_secret():
    """Whoever finds the disk learns neither how many customers there are nor who may open it."""
    data = sealed(told(1, recipients=(m.fingerprint("age1example"),)))

    assert b"customers" not in data
    assert b"age1" not in data
    assert m.digest({"a": 1, "b": 2}) == m.digest({"b": 2, "a": 1}) != m.digest({"a": 1, "b": 3})


def test_names_sort_by_number_and_tell_the_time_in_utc():
    """A shop owner who looks into the folder sees the newest at the end."""
    summer = datetime(2026, 7, 1, 2, tzinfo=timezone(timedelta(hours=2)))

    assert name(123, summer, "full", ".pgdump.age") == "000123-20260701T000000Z-full.pgdump.age"
    assert m.DATA_NAME.fullmatch(name(1, NOW, "diff", ".tar.age"))
    assert m.MANIFEST_NAME.fullmatch(manifest_name(told(5)))
    for seq, kind in ((0, "full"), (1_000_000, "full"), (1, "half")):
        with pytest.raises(BadManifest):
            name(seq, NOW, kind, ".age")
    with pytest.raises(BadManifest, match="zone"):
        name(1, datetime(2026, 1, 1), "full", ".age")  # noqa: DTZ001 (the test's point)


def test_every_byte_of_a_manifest_counts():
    """A flipped, missing or added byte is never believed."""
    data = sealed(told(1))
    for at in range(len(data)):
        for bad in (
            data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :],
            data[:at],
            data[:at] + b" " + data[at:],
        ):
            with pytest.raises((Altered, NotSigned)):
                read(bad, public_keys=[PUBLIC])
    with pytest.raises(NotSigned):
        read(data + b"\n", public_keys=[PUBLIC])


GOOD = json.loads(sealed(told(2, hashed(1), base=1)))
GOOD.pop("signature")


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        pytest.param(b"", NotSigned, "cut short", id="empty"),
        pytest.param(b"\xff" * 9, NotSigned, "cut short", id="noise"),
        pytest.param(b"{" * 900 + sealed(told(1)), Altered, "altered", id="deep nesting"),
        pytest.param(b"[1]", NotSigned, "cut short", id="other JSON"),
        pytest.param(sealed(told(1)) + b" " * (1 << 20), NotSigned, "cut short", id="endless"),
        pytest.param(sealed(told(1), THEIRS), Forged, "somebody else", id="another key"),
        pytest.param(changed(sealed(told(1)), size=1), Altered, "altered", id="changed"),
        pytest.param(
            changed(sealed(told(1), THEIRS), public_key=PUBLIC.hex()),
            Altered,
            "altered",
            id="forged with our public key",
        ),
        pytest.param(
            signed_json(GOOD | {"format": 2, "more": 1}), NewerFormat, "update", id="newer"
        ),
        pytest.param(signed_json(GOOD | {"format": "1"}), BadManifest, "no manif", id="odd format"),
        pytest.param(signed_json(GOOD | {"what": "x"}), BadManifest, "no manif", id="another kind"),
        pytest.param(signed_json(GOOD | {"more": 1}), BadManifest, "holds more", id="one more"),
        pytest.param(signed_json({"format": 1, "what": m.BACKUP}), BadManifest, "lacks", id="less"),
        *[
            pytest.param(
                signed_json(GOOD | odd), BadManifest, "manifest|number", id=f"odd {odd}"[:40]
            )
            for odd in (
                {"seq": 0},
                {"seq": "2"},
                {"seq": True},
                {"size": -1},
                {"size": 1.5},
                {"sha256": "ab"},
                {"sha256": None},
                {"prev": FIRST.upper() + "0"},
                {"at": "2026-11-23"},
                {"at": 5},
                {"kind": "full"},
                {"kind": ["diff"]},
                {"base": None},
                {"base": 0},
                {"base": 2},
                {"base_sha256": None},
                {"file": "../000002-20261025T113000Z-diff.tar.age"},
                {"file": None},
                {"file": "000003-20261025T113000Z-diff.tar.age"},
                {"ledger": []},
                {"audit": [1, 2]},
                {"key_ids": ["7"]},
                {"recipients": [7]},
                {"recipients": 7},
                {"keep_until": "soon"},
            )
        ],
    ],
)
def test_refuses(data, error, says):
    """What is no manifest of ours is refused as what it is, and nothing of it is told."""
    with pytest.raises(ManifestError, match=says) as caught:
        read(data, public_keys=[PUBLIC])

    assert type(caught.value) is error
    assert PUBLIC.hex() not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nothing_odd_is_signed():
    """A mistake in a program is found when the backup is made, not when it is needed."""
    for odd in (
        {"sha256": "x"},
        {"file": "a.age"},
        {"base": 3},
        {"at": NOW.replace(microsecond=1)},
    ):
        with pytest.raises(BadManifest):
            sealed(told(3, **odd) if "at" not in odd else replace(told(3), **odd))
    with pytest.raises(BadManifest, match="belong together"):
        sign(told(1), THEIRS.sign, PUBLIC)


# ---- a whole place ----


def test_a_sound_place_has_no_fault():
    """Eight backups, each with its file: nothing to say."""
    files, names = place()
    found = looked(files | {"RESTORE.txt": b"", "ledger.age": b""}, names)

    assert found.faults == ()
    assert [one.seq for one in found.chain] == [one.seq for one in found.here] == [*range(1, 9)]
    assert found.head == (8, sha256(files[file_of(files, 8)]))
    assert look(files, names, head=found.head) == []
    assert looked({}).head == (0, FIRST)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_is_done_to_the_files_is_named(data):
    """Alter, remove or permute manifests and files: each touched number is in a fault."""
    files, names = place()
    head = looked(files, names).head
    order = sorted(files)
    kind = data.draw(st.sampled_from(["alter", "remove", "permute", "forge", "unfile"]))
    touched = data.draw(st.sets(st.integers(1, 8), min_size=1))
    if kind == "alter":
        for seq in touched:
            old = files[file_of(files, seq)]
            at = data.draw(st.integers(0, len(old) - 1))
            files[file_of(files, seq)] = old[:at] + bytes([old[at] ^ 4]) + old[at + 1 :]
    elif kind == "remove":
        for seq in touched:
            files.pop(file_of(files, seq))
    elif kind == "forge":
        for seq in touched:
            file = file_of(files, seq)
            files[file] = sealed(read(files[file], public_keys=[PUBLIC]), THEIRS)
    elif kind == "unfile":
        names -= {file for file in names if file.endswith(".age") and int(file[:6]) in touched}
    else:
        mixed = data.draw(st.permutations(order))
        touched = {int(a[:6]) for a, b in zip(order, mixed, strict=True) if a != b}
        files = {a: files[b] for a, b in zip(order, mixed, strict=True)}
    found = looked(files, names, head=head)

    if kind == "remove":
        newest = max({*range(1, 9)} - touched, default=0)
        starts = {seq for seq in touched if seq < newest and seq - 1 not in touched}
        assert {f.seq for f in found.faults if f.kind == "missing"} == starts
        assert (8 in touched) == ("older" in {f.kind for f in found.faults})
        assert not touched & {one.seq for one in found.chain}
    else:
        word = {"alter": "altered", "forge": "forged", "unfile": "no file", "permute": "moved"}
        assert {f.seq for f in found.faults if f.kind == word[kind]} == touched
        assert bool(touched) == bool(found.faults)


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ([3], ["manifest 3 is missing"]),
        ([1], ["manifest 1 is missing", *[f"backup {n} needs backup 1" for n in (2, 3, 4, 5)]]),
        ([2, 3, 4], ["manifests 2 to 4 are missing"]),
        ([2, 4], ["manifest 2 is missing", "manifest 4 is missing"]),
        ([8], ["newest here is 7, but 8 was seen"]),
        ([7, 8, 3], ["manifest 3 is missing", "newest here is 6, but 8 was seen"]),
        ([*range(1, 9)], ["no good manifest is here, but 8 was seen"]),
    ],
)
def test_what_is_missing_is_named_by_number(gone, says):
    """Also the newest, which only a note that is kept elsewhere can tell."""
    files, names = place()
    head = looked(files).head
    for seq in gone:
        files.pop(file_of(files, seq))
    found = looked(files, names, head=head)

    assert len(found.faults) == len(says)
    assert all(f.text.startswith(text) for f, text in zip(found.faults, says, strict=True))


def test_a_cut_end_shows_only_against_a_head_kept_elsewhere():
    """An intruder puts last month's files back: the list is sound, and the note says no."""
    files, names = place()
    head = looked(files).head
    old = {file: data for file, data in files.items() if int(file[:6]) <= 5}

    assert look(old) == []
    assert look(old, head=head) == [(8, "older")]


def test_an_altered_end_is_not_called_missing():
    """The newest is there and was altered: nobody has to look for it."""
    files, _ = place()
    head = looked(files).head
    files[file_of(files, 8)] = files[file_of(files, 8)][:-5]

    assert look(files, head=head) == [(8, "altered")]


def test_another_history_of_the_same_length_is_seen():
    """The till was set back and went on from there: number 8 is not the 8 that was seen."""
    files, _ = place()
    other, _ = place(size=9)

    assert look(other, head=looked(files).head) == [(8, "another")]
    assert look(files, head=looked(files).head) == []


def test_a_manifest_of_another_history_does_not_fit_in():
    """One of ours signed it, and still it does not belong here."""
    files, names = place()
    other, _ = place(size=9)
    files[file_of(files, 4)] = other[file_of(other, 4)]

    assert look(files, names) == [(4, "exchanged"), (5, "exchanged")]
    first = sealed(told(1, hashed("elsewhere")))
    assert look({manifest_name(told(1)): first}) == [(1, "exchanged")]


def test_two_backups_with_one_number_are_told_apart():
    """Two computers, or one that was set back, went on from number 7: both claim 8."""
    files, names = place()
    prev = sha256(files[file_of(files, 7)])
    rival = told(8, prev, at=NOW - timedelta(hours=1))
    files[manifest_name(rival)] = sealed(rival)
    found = looked(files, names | {rival.file})

    assert [f.text.partition(":")[0] for f in found.faults] == ["two backups claim number 8"]
    assert found.chain[-1] == rival  # the newer one, as nothing follows

    prev = sha256(files[file_of({n: 0 for n in files if n != manifest_name(rival)}, 8)])
    ninth = told(9, prev)
    files[manifest_name(ninth)] = sealed(ninth)
    found = looked(files, names | {rival.file, ninth.file})
    assert [(f.seq, f.kind) for f in found.faults] == [(8, "twice")]
    assert found.chain[-2] != rival  # the one that the next follows


def test_a_stranger_with_the_public_key_gets_nowhere():
    """What he writes is called forged; what was there stays in the list."""
    files, names = place()
    late = told(9, looked(files).head[1])
    forged = told(4, at=NOW)
    found = looked(
        files
        | {
            manifest_name(late): sealed(late, THEIRS),
            manifest_name(forged): sealed(forged, THEIRS),
        },
        names,
    )

    assert [f.text for f in found.faults] == [
        "manifest 4 was signed by somebody else (forged)",
        "manifest 9 was signed by somebody else (forged)",
    ]
    assert len(found.chain) == 8


def test_a_newer_kit_and_nonsense_of_our_own_are_called_that():
    """The first is cured by an update, the second by nothing but looking."""
    files, _ = place(2)
    files[file_of(files, 1)] = signed_json(GOOD | {"format": 2})
    files[file_of(files, 2)] = signed_json(GOOD | {"size": -1})

    assert look(files) == [(1, "newer"), (2, "bad")]


def test_wrong_clocks_are_named():
    """Dated tomorrow, or before the one before it. A few minutes are no fault."""
    first = told(1, at=NOW - timedelta(days=1))
    second = told(2, sha256(sealed(first)), at=NOW + timedelta(days=9))
    third = told(3, sha256(sealed(second)), at=NOW - timedelta(days=2))
    fourth = told(4, sha256(sealed(third)), at=NOW - timedelta(days=3))
    fifth = told(5, sha256(sealed(fourth)), at=NOW + timedelta(minutes=9))
    files = {manifest_name(one): sealed(one) for one in (first, second, third, fourth, fifth)}

    assert look(files) == [(2, "future"), (4, "clock")]
    with pytest.raises(BadManifest, match="zone"):
        looked(files, now=datetime(2026, 1, 1))  # noqa: DTZ001 (the test's point)


# ---- letting go ----


def record(*gone, where=PLACE, key=OURS):
    """Return the name and file of a signed record."""
    told = Pruned(NOW, gone, where, "older than 12 months")
    data = sign_pruned(told, key.sign, key.public_key().public_bytes_raw())
    assert read_back(data, key) == told
    return {pruned_name(data): data}


def read_back(data, key=OURS):
    """Read a record."""
    return m.read_pruned(data, public_keys=[key.public_key().public_bytes_raw()])


def test_a_backup_that_was_let_go_is_no_fault_and_a_deleted_one_is():
    """Without a record, somebody deleted it."""
    files, names = place()
    less = {file for file in names if not file.startswith("000003-20") or file.endswith("json")}

    assert [f.text for f in looked(files, less).faults] == [
        "the file of backup 3 is missing, and no record let it go"
    ]
    found = looked(files | record(3), less, place=PLACE)
    assert found.faults == ()
    assert found.gone == {3}
    assert [one.seq for one in found.here] == [1, 2, 4, 5, 6, 7, 8]


def test_a_record_for_one_place_excuses_nothing_in_another():
    """An intruder copies the disk's record to the bucket, and deletes there."""
    files, names = place()
    less = {file for file in names if file != told(3, base=1).file}
    files |= record(3, where="another")

    assert look(files, less, place=PLACE) == [(3, "no file")]
    assert look(files, less) == []


def test_a_forged_or_broken_record_excuses_nothing():
    """It is named itself."""
    files, names = place()
    less = {file for file in names if file != told(3, base=1).file}
    ((file, data),) = record(3).items()

    assert look(files | record(3, key=THEIRS), less) == [(0, "forged"), (3, "no file")]
    assert look(files | {file: data[:-9]}, less) == [(0, "altered"), (3, "no file")]
    assert look(files | {file: files[file_of(files, 1)]}, less) == [(0, "bad"), (3, "no file")]
    for values in ({}, {"gone": [3, "x"], "at": "2026-11-24T09:30:00Z", "place": "", "rule": ""}):
        odd = signed_json({"format": 1, "what": m.PRUNED, **values})
        with pytest.raises(BadManifest):
            read_back(odd)


def test_a_record_written_before_a_crash_lets_the_next_run_finish():
    """The record came first, then the power cut: the file is still there, and is known as gone."""
    files, names = place()
    found = looked(files | record(7, 8), names)

    assert found.faults == ()
    assert found.gone == {7, 8}
    assert [one.seq for one in found.here] == [1, 2, 3, 4, 5, 6]


def test_a_differential_without_its_full_one_is_named():
    """It is there, and restores nothing."""
    files, names = place()

    assert look(files | record(1), names) == [(n, "no base") for n in (2, 3, 4, 5)]
    one = told(1)
    two = told(2, sha256(sealed(one)), base=1, base_sha256=hashed("another copy"))
    pair = {manifest_name(each): sealed(each) for each in (one, two)}
    assert looked(pair).faults[0].text == "backup 2 was made from another backup 1 than is here"


def test_records_are_in_order_and_never_empty():
    """A record of nothing would only be noise."""
    for gone in ((), (2, 1), (1, 1)):
        with pytest.raises(BadManifest):
            record(*gone)


def test_hundreds_of_backups_are_one_chain():
    """A shop that backs up for a month of hours has no fault either."""
    files, names = place(700)

    assert look(files, names) == []
