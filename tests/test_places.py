"""Where backups lie: whole and proven under their name, or not there at all, whatever happens."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from kit.places import (
    Damaged,
    Locked,
    NoRoom,
    NotThere,
    Place,
    PlaceError,
    Taken,
    Unreachable,
)

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
NAME = "000123-20261123T184502Z-full.sqlite.zst.age"
DATA = bytes(range(256)) * 40
LONG = os.urandom(17 << 20)  # in four pieces
REGION = "us-east-1"
posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no such thing")


def sha256(data):
    """Return the hash that is handed over with a file."""
    return hashlib.sha256(data).hexdigest()


def put(place, data=DATA, name=NAME, folder=None, **more):
    """Put bytes as a file."""
    source = folder / "source"
    source.write_bytes(data)
    place.put(source, name, sha256=sha256(data), **more)


class Waits(list):
    """Notes how long was waited, and waits not at all."""

    __call__ = list.append


class Shaky(MemoryFileSystem):
    """Files in memory, on a line that fails as it is told to."""

    protocol = "shaky"
    store = {}
    pseudo_dirs = [""]
    cachable = False
    faults = []  # what goes wrong next, first one first
    late = set()  # what is there and not listed yet
    connected = 0

    def __init__(self, **options):
        super().__init__(**options)
        type(self).connected += 1

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(str(path).removeprefix(f"{cls.protocol}://"))

    def fail(self, kind):
        """Whether this goes wrong now."""
        if self.faults and self.faults[0].removesuffix(" always") == kind:
            if not self.faults[0].endswith("always"):
                self.faults.pop(0)
            return True
        return False

    def put_file(self, lpath, rpath, callback=None, **_):
        """Copy a file in, in two pieces."""
        data = Path(lpath).read_bytes()
        callback.absolute_update(len(data) // 2)
        self.pipe_file(rpath, data)
        callback.absolute_update(len(data))

    def pipe_file(self, path, value, mode="overwrite"):
        """Write, or fail as told."""
        if self.fail("drop up"):
            if self.protocol == "shaky":  # an object store shows nothing of a broken upload
                super().pipe_file(path, value[: len(value) // 2])
            raise ConnectionResetError(errno.ECONNRESET, "secret-in-a-text")
        if self.fail("refuse"):
            raise RuntimeError("key=secret-in-a-text")
        if self.fail("full"):
            raise OSError(errno.ENOSPC, "full")
        if self.fail("cut up"):
            value = value[:-1]
        if self.fail("flip up"):
            value = value[:-1] + bytes([value[-1] ^ 1])
        super().pipe_file(path, value)

    def cat_file(self, path, start=None, end=None, **_):
        """Read, or fail as told."""
        if self.fail("drop down") or (start and self.fail("drop in the middle")):
            raise TimeoutError("secret-in-a-text")
        data = super().cat_file(path, start=start, end=end)
        if self.fail("cut down"):
            return data[:-1]
        return data

    def ls(self, path, detail=True, **_):
        """List, but not what is late."""
        found = super().ls(path, detail=True)
        return [one for one in found if one["name"].rpartition("/")[2] not in self.late]


class ShakyBucket(Shaky):
    """The same as an object store, which shows only whole files."""

    protocol = "oss"
    store = {}
    pseudo_dirs = [""]


@pytest.fixture(params=["shaky", "oss"])
def shaky(request):
    """A place on a line that fails, once like SFTP and once like an object store."""
    made = {"shaky": Shaky, "oss": ShakyBucket}[request.param]
    fsspec.register_implementation(request.param, made, clobber=True)
    made.store.clear()
    made.faults, made.late, made.connected = [], set(), 0
    made.pseudo_dirs[:] = ["", "/bucket"]
    place = Place(f"{request.param}://bucket/shop", pause=Waits())
    made.store_names = lambda: [name.rpartition("/")[2] for name in made.store]
    if request.param == "shaky":
        made().mkdir("/bucket/shop")
        made.connected = 0
    return place, made


@pytest.fixture
def aws(monkeypatch, tmp_path):
    """Settings of AWS's tools that lead nowhere, and forget this machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture(scope="module")
def server():
    """A server on this machine that answers as S3 would."""
    moto_server = pytest.importorskip("moto.server", reason="moto is not installed")
    moto = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def buckets(aws, server):
    """Make buckets over HTTP, and hand over the options that lead to them."""
    boto3 = pytest.importorskip("boto3")
    login = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    client = boto3.client("s3", endpoint_url=server, region_name=REGION, **login)
    yield client, {"key": "testing", "secret": "testing", "endpoint_url": server}
    client.close()


@pytest.fixture
def bucket(buckets):
    """An ordinary bucket, empty."""
    client, options = buckets
    client.create_bucket(Bucket="shop")
    with Place("s3://shop/backups", options=options, pause=Waits()) as place:
        yield place
    listed = client.list_object_versions(Bucket="shop")
    for one in listed.get("Versions", []) + listed.get("DeleteMarkers", []):
        client.delete_object(Bucket="shop", Key=one["Key"], VersionId=one["VersionId"])


@pytest.fixture(params=["folder", "shaky", "oss", "s3", "sftp"])
def place(request, tmp_path):
    """Each kind of place in turn, empty."""
    if request.param == "folder":
        (tmp_path / "usb").mkdir()
        return Place(tmp_path / "usb", pause=Waits())
    if request.param == "s3":
        return request.getfixturevalue("bucket")
    if request.param == "sftp":
        return request.getfixturevalue("far")
    made = {"shaky": Shaky, "oss": ShakyBucket}[request.param]
    fsspec.register_implementation(request.param, made, clobber=True)
    made.store.clear()
    made.faults, made.late = [], set()
    made.pseudo_dirs[:] = ["", "/bucket"]
    made().mkdir("/bucket/shop")
    return Place(f"{request.param}://bucket/shop", pause=Waits())


# ---- SFTP on this machine ----


@pytest.fixture
def ssh(tmp_path):
    """A real SSH server on loopback that serves one folder."""
    pytest.importorskip("paramiko", reason="paramiko (extra sftp) is not installed")
    from little_sftp import Server

    (tmp_path / "far").mkdir()
    with Server(tmp_path / "far") as running:
        known = tmp_path / "known_hosts"
        known.write_text(f"[127.0.0.1]:{running.port} {running.public}\n")
        running.known = known
        yield running


@pytest.fixture
def far(ssh):
    """A place on that server."""
    from kit import sftp

    options = {"known_hosts": ssh.known, "look_for_keys": False, "allow_agent": False}
    address = f"sftp://ana:made-up@127.0.0.1:{ssh.port}/"
    with Place(address, options=options, sftp=sftp.connect, pause=Waits()) as place:
        yield place


# ---- every kind of place ----


@pytest.mark.parametrize("data", [DATA, LONG, b""], ids=["small", "in pieces", "empty"])
def test_what_is_put_comes_back(place, tmp_path, data):
    """A folder, a bucket or a server: every byte, and nothing else in the list."""
    put(place, data, folder=tmp_path)
    place.get(NAME, tmp_path / "back", size=len(data))

    assert (tmp_path / "back").read_bytes() == data
    assert place.names() == [NAME]
    assert not list(tmp_path.glob(".*.part"))


def test_a_name_is_used_once(place, tmp_path):
    """No program overwrites a backup; the same file again is done already."""
    put(place, folder=tmp_path)
    put(place, folder=tmp_path)

    with pytest.raises(Taken, match="nothing was changed"):
        put(place, DATA + b"x", folder=tmp_path)
    with pytest.raises(Taken):
        put(place, DATA[:-1] + b"x", folder=tmp_path)
    assert place.read(NAME, most=len(DATA)) == DATA


def test_small_files_may_be_renewed_if_told(place):
    """RESTORE.txt and the status change; nothing else does."""
    place.put_bytes(b"one", "RESTORE.txt")
    with pytest.raises(Taken):
        place.put_bytes(b"two", "RESTORE.txt")
    place.put_bytes(b"three", "RESTORE.txt", replace=True)
    place.put_bytes(b"three", "RESTORE.txt")

    assert place.read("RESTORE.txt", most=10) == b"three"
    assert place.names() == ["RESTORE.txt"]


def test_an_empty_place_is_no_fault(place):
    """The first backup goes somewhere where nothing is yet."""
    assert place.names() == []


def test_what_is_not_there_or_too_much_is_said(place, tmp_path):
    """Never an empty file in its place, never more than there is room for."""
    put(place, folder=tmp_path)
    for work in (
        lambda: place.read("none", most=9),
        lambda: place.get("none", tmp_path / "x"),
        lambda: place.remove("none"),
    ):
        with pytest.raises(NotThere, match="has no none"):
            work()
    with pytest.raises(Damaged, match="over 9 bytes"):
        place.read(NAME, most=9)
    with pytest.raises(Damaged, match="not 9"):
        place.get(NAME, tmp_path / "x", size=9)
    with pytest.raises(Taken, match="another name"):
        place.get(NAME, tmp_path / "source")
    assert not (tmp_path / "x").exists()


def test_a_file_is_removed(place, tmp_path):
    """Also all its versions."""
    put(place, folder=tmp_path)
    place.put_bytes(b"x", "other")
    place.remove(NAME)

    assert place.names() == ["other"]


def test_progress_goes_there_and_back(place, tmp_path):
    """A bar for a slow line: once for sending, once for comparing."""
    steps = []
    put(place, LONG, folder=tmp_path, progress=lambda *step: steps.append(step))

    assert steps == sorted(steps)
    assert steps[-1] == (2 * len(LONG), 2 * len(LONG))
    steps.clear()
    place.get(NAME, tmp_path / "back", progress=lambda *step: steps.append(step))
    assert [done for done, _ in steps] == [5 << 20, 10 << 20, 15 << 20, len(LONG)]


def test_a_name_is_no_path(place, tmp_path):
    """Nothing is written or read outside the place."""
    for name in ("", "a/b", "../a", ".hidden", "a b", "ä", "a" * 201, "a\n"):
        for work in (
            lambda name=name: place.put_bytes(b"x", name),
            lambda name=name: put(place, name=name, folder=tmp_path),
            lambda name=name: place.read(name, most=9),
            lambda name=name: place.get(name, tmp_path / "x"),
            lambda name=name: place.remove(name),
        ):
            with pytest.raises(PlaceError, match="letters, digits"):
                work()
    assert place.names() == []


def test_a_file_that_changed_meanwhile_is_not_put(place, tmp_path):
    """Its hash was taken when it was made; what is there now is another."""
    (tmp_path / "source").write_bytes(DATA + b"x")
    with pytest.raises(Damaged, match="make the backup again"):
        place.put(tmp_path / "source", NAME, sha256=sha256(DATA))
    with pytest.raises(Unreachable, match="this computer"):
        place.put(tmp_path / "none", NAME, sha256=sha256(DATA))
    assert place.names() == []


def test_leftovers_are_swept_and_nothing_else(place):
    """A power cut leaves parts, and backups without a manifest that were made again."""
    old, new = "20261122T090000Z", "20261124T090000Z"
    part = f".{NAME}.0123abcd.part"
    lone = f"000007-{old}-full.sqlite.zst.age"  # made again under number 7
    lost = f"000005-{old}-full.sqlite.zst.age"  # only its manifest is gone
    stay = [
        lost,
        f"000008-{new}-full.sqlite.zst.age",
        f"000007-{new}-diff.tar.age",
        f"000007-{new}-diff.manifest.json",
        "RESTORE.txt",
        ".something-else.part",
    ]
    fs, root = place._fs()
    for name in (part, lone, *stay):
        fs.pipe_file(f"{root}/{name}", b"x")
    made = place._listed()[0][1]

    assert place.sweep(made.replace(year=2026, month=11, day=23, hour=8, minute=0)) == []
    if made > NOW:
        assert place.sweep(NOW) == [lone]
        assert place.sweep(made + timedelta(hours=23)) == []
        assert place.sweep(made + timedelta(hours=25)) == [part]
    else:
        assert set(place.sweep(made + timedelta(days=400))) >= {part, lone}
    assert place.names() == sorted(stay)
    with pytest.raises(PlaceError, match="time zone"):
        place.sweep(datetime(2026, 1, 1))  # noqa: DTZ001 (the test's point)


# ---- lines that fail ----


@pytest.mark.parametrize(
    "fault",
    ["drop up", "cut up", "flip up", "drop down", "cut down", "drop in the middle", "refuse"],
)
def test_one_fault_is_made_good_by_itself(shaky, fault, tmp_path):
    """A line that breaks once costs a second, not the backup; the second try is a new line."""
    place, fs = shaky
    fs.faults = [fault]
    put(place, LONG, folder=tmp_path)

    assert fs.faults == []
    assert place._pause == [1.0]
    assert fs.connected == 2
    assert place.read(NAME, most=len(LONG)) == LONG
    assert fs.store_names() == [NAME]


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ("drop up", Unreachable, "connection reset by peer; check the network"),
        ("refuse", Unreachable, "RuntimeError; check the network"),
        ("cut up", Damaged, "arrived altered"),
        ("flip up", Damaged, "arrived altered"),
        ("drop down", Unreachable, "TimeoutError; check the network"),
        ("cut down", Damaged, "cut short"),
        ("full", NoRoom, "free some space"),
    ],
)
def test_a_fault_that_lasts_is_told_and_leaves_no_half_file(shaky, fault, error, says, tmp_path):
    """What is under a backup's name is the whole backup, or nothing is."""
    place, fs = shaky
    fs.faults = [fault + " always"]
    with pytest.raises(error, match=says) as caught:
        put(place, folder=tmp_path)
    fs.faults = []

    assert "secret" not in str(caught.value) + repr(caught.value.__cause__)
    left = fs.store_names()
    if fs is ShakyBucket and fault == "drop down":  # it is whole, and that cannot be seen now
        assert left == [NAME] and fs.store[f"/bucket/shop/{NAME}"].getvalue() == DATA
    else:
        assert left == []
    put(place, folder=tmp_path)
    assert place.read(NAME, most=len(DATA)) == DATA


def test_a_place_that_lists_late_has_the_backup_all_the_same(shaky, tmp_path):
    """The list is behind; the file is there, is compared, and counts."""
    place, fs = shaky
    fs.late = {NAME}
    put(place, folder=tmp_path)

    assert place.names() == []
    assert place.read(NAME, most=len(DATA)) == DATA
    put(place, folder=tmp_path)  # nothing is sent again
    assert place._pause == []


@pytest.mark.parametrize("fault", ["drop down", "cut down", "drop in the middle"])
def test_a_broken_download_leaves_nothing_on_this_computer(shaky, fault, tmp_path):
    """Once is made good; for good is told."""
    place, fs = shaky
    put(place, LONG, folder=tmp_path)
    fs.faults = [fault]
    place.get(NAME, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == LONG

    fs.faults = [fault + " always"]
    with pytest.raises((Unreachable, Damaged)):
        place.get(NAME, tmp_path / "again")
    with pytest.raises((Unreachable, Damaged)):
        place.read(NAME, most=len(LONG))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "source"]


# ---- folders ----


@pytest.fixture
def usb(tmp_path):
    """A folder as a place."""
    (tmp_path / "usb").mkdir()
    return tmp_path / "usb"


def test_a_disk_that_is_not_plugged_in_is_not_made_up(tmp_path):
    """Else the backup would land on the computer that it is to outlive."""
    for address in (tmp_path / "usb", f"file://{tmp_path / 'usb'}"):
        place = Place(address)
        with pytest.raises(NotThere, match="plug it in"):
            place.names()
        with pytest.raises(NotThere, match="plug it in"):
            put(place, folder=tmp_path)
    assert not (tmp_path / "usb").exists()


def test_folders_and_other_peoples_files_are_left_alone(usb):
    """Only files are listed, and a folder of a file's name is no backup."""
    (usb / "photos").mkdir()
    (usb / "My list.txt").write_bytes(b"")
    place = Place(str(usb))

    assert place.names() == ["My list.txt"]
    assert place.sweep(NOW + timedelta(days=9999)) == []
    with pytest.raises(NotThere):
        place.read("photos", most=9)


@posix_only
def test_only_the_owner_may_read_what_is_put_and_fetched(usb, tmp_path):
    """Though it is sealed."""
    place = Place(usb)
    put(place, folder=tmp_path)
    place.get(NAME, tmp_path / "back")

    for path in (usb / NAME, tmp_path / "back"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix_only
def test_it_is_on_the_disk_before_it_has_its_name(usb, tmp_path, monkeypatch):
    """File, name, folder: a power cut at any moment leaves a whole backup or none."""
    seen = []
    sync, rename = os.fsync, Path.replace

    def fsync(handle):
        seen.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        sync(handle)

    def replace(path, target):
        seen.append("name")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    put(Place(usb), folder=tmp_path)

    assert seen == ["file", "name", "folder"]


@pytest.mark.parametrize("times", [1, 6, 99])
def test_a_virus_scanner_that_holds_the_new_file_is_waited_for(usb, tmp_path, monkeypatch, times):
    """On Windows a new file may be busy for a moment; nobody waits for ever."""
    rename, left = Path.replace, [times]

    def replace(path, target):
        if left[0]:
            left[0] -= 1
            problem = PermissionError(errno.EACCES, "busy")
            problem.winerror = 32
            raise problem
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    place = Place(usb, pause=Waits())
    if times == 99:
        with pytest.raises(Unreachable, match="permission denied; check that the disk"):
            put(place, folder=tmp_path)
        assert os.listdir(usb) == []  # noqa: PTH208 (hidden ones too)
        assert sum(place._pause) < 8
    else:
        put(place, folder=tmp_path)
        assert len(place._pause) == times


FULL = """
import resource, signal, sys
from pathlib import Path
from kit.places import NoRoom, Place
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
place = Place(sys.argv[1])
try:
    if sys.argv[5] == "put":
        place.put(Path(sys.argv[2]), "backup", sha256=sys.argv[3])
    else:
        place.get("there", Path(sys.argv[2] + ".back"))
except NoRoom as problem:
    print(problem)
    sys.exit(9)
"""


@posix_only
@pytest.mark.parametrize("how", ["put", "get"])
@pytest.mark.parametrize("room", [0, 1, 4096, len(DATA) - 1])
def test_a_full_disk_is_told_and_leaves_nothing(usb, tmp_path, room, how):
    """A file-size limit stands for a disk that has so much room left."""
    source = tmp_path / "source"
    source.write_bytes(DATA)
    (usb / "there").write_bytes(DATA)
    ran = subprocess.run(
        [sys.executable, "-c", FULL, usb, source, sha256(DATA), str(room), how],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 9, ran.stderr
    assert "has no room for it; free some space" in ran.stdout
    assert sorted(path.name for path in usb.iterdir()) == ["there"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "usb"]


# ---- S3 ----


def test_a_locked_bucket_is_respected_and_explained(buckets, tmp_path):
    """Not even the shop's own key removes it early, and hiding it would only look like that."""
    client, options = buckets
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}
    client.put_object_lock_configuration(
        Bucket="locked",
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
    )
    with Place("s3://locked/shop", options=options, pause=Waits()) as place:
        put(place, folder=tmp_path)
        with pytest.raises(Locked, match="COMPLIANCE: nobody can"):
            place.remove(NAME)

        assert place.names() == [NAME]
        assert place.read(NAME, most=len(DATA)) == DATA


def test_removing_from_a_bucket_with_versions_leaves_none(buckets, tmp_path):
    """Otherwise an erased customer would go on lying there, out of sight."""
    client, options = buckets
    client.create_bucket(Bucket="versions")
    client.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    with Place("s3://versions/shop", options=options, pause=Waits()) as place:
        for text in (b"one", b"two", b"three"):
            place.put_bytes(text, "status.json", replace=True)
        place.put_bytes(b"x", "status.json.old")
        place.remove("status.json")

        left = client.list_object_versions(Bucket="versions")
        assert [one["Key"] for one in left["Versions"]] == ["shop/status.json.old"]
        assert "DeleteMarkers" not in left
        assert place.names() == ["status.json.old"]


def test_a_bucket_that_is_not_there_and_a_server_that_does_not_answer(buckets, tmp_path):
    """Each is told as what it is, and the key is not told."""
    _, options = buckets
    with pytest.raises(NotThere, match="s3://none/shop is not there"):
        Place("s3://none/shop", options=options, pause=Waits()).names()
    with pytest.raises(NotThere):
        put(Place("s3://none/shop", options=options, pause=Waits()), folder=tmp_path)

    away = options | {"endpoint_url": "http://127.0.0.1:9", "key": "AKIASECRET"}
    away["config_kwargs"] = {"retries": {"total_max_attempts": 1}}
    place = Place("s3://shop", options=away, pause=Waits())
    with pytest.raises(Unreachable, match="check the network") as caught:
        place.names()
    assert place._pause == [1.0]
    assert "SECRET" not in str(caught.value)


def test_big_files_go_up_in_parts(bucket, tmp_path):
    """Over 10 MiB in parts of 5, so that little memory is needed; a small one at once."""
    put(bucket, LONG, folder=tmp_path)
    fs, root = bucket._fs()

    assert fs.info(f"{root}/{NAME}")["ETag"].strip('"').endswith("-4")


# ---- SFTP ----


@pytest.mark.parametrize("plain", [False, True])
def test_every_server_can_rename(far, ssh, plain):
    """Also one that knows only the old way, which never replaces a file."""
    ssh.plain_rename = plain
    far.put_bytes(b"one", "RESTORE.txt")
    far.put_bytes(b"two", "RESTORE.txt", replace=True)

    assert [path.read_bytes() for path in ssh.root.iterdir()] == [b"two"]


def test_a_server_that_is_not_known_never_sees_the_password(ssh, tmp_path):
    """Somebody in the middle poses as it: we do not sign in."""
    import paramiko

    from kit import sftp

    other = tmp_path / "other"
    another = paramiko.ECDSAKey.generate()
    impostor = f"[127.0.0.1]:{ssh.port} {another.get_name()} {another.get_base64()}\n"
    for known in ("", impostor):
        other.write_text(known)
        place = Place(
            f"sftp://ana:made-up@127.0.0.1:{ssh.port}/",
            options={"known_hosts": other, "look_for_keys": False, "allow_agent": False},
            sftp=sftp.connect,
            pause=Waits(),
        )
        with pytest.raises(Unreachable, match="UnknownServer.*ssh knows this server") as caught:
            place.names()
        assert "made-up" not in str(caught.value)
        assert "made-up" not in place.label
    assert ssh.signed_in == 0


def test_a_wrong_password_is_told_without_it(ssh):
    """And so is a server that is switched off."""
    from kit import sftp

    options = {"known_hosts": ssh.known, "look_for_keys": False, "allow_agent": False}
    address = f"sftp://ana:wrong-one@127.0.0.1:{ssh.port}/"
    with pytest.raises(Unreachable, match="AuthenticationException; check the network, the name"):
        Place(address, options=options, sftp=sftp.connect, pause=Waits()).names()
    with pytest.raises(Unreachable, match="check the network, the name and key") as caught:
        Place(
            address.replace(str(ssh.port), "9"), options=options, sftp=sftp.connect, pause=Waits()
        ).names()
    assert "wrong-one" not in str(caught.value)


def test_a_line_that_breaks_in_the_middle_leaves_no_half_backup(far, ssh, tmp_path):
    """What was sent so far is under another name, and the next try begins anew."""
    ssh.drop_after = 1 << 20
    with pytest.raises(Unreachable):
        put(far, LONG, folder=tmp_path)
    assert not (ssh.root / NAME).exists()
    assert far.names() == []

    ssh.drop_after = None
    put(far, LONG, folder=tmp_path)
    assert (ssh.root / NAME).read_bytes() == LONG
    assert far.sweep(NOW + timedelta(days=9999))
    assert [path.name for path in ssh.root.iterdir()] == [NAME]


# ---- addresses ----


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("s3://shop/backups", "s3://shop/backups"),
        ("s3://AKIA:secret@shop/backups", "s3://shop/backups"),
        ("s3://shop/backups?versionId=secret", "s3://shop/backups"),
        ("sftp://ana:sec/ret@example.com:22/b", "sftp://ana@example.com:22/b"),
        ("sftp://ana:sec@ret@example.com/b", "sftp://ana@example.com/b"),
        ("SFTP://ana@example.com/b", "sftp://ana@example.com/b"),
        ("backups", "backups"),
    ],
)
def test_a_label_shows_no_password(address, label):
    """It stands in reports and on the screen."""
    place = Place(address, sftp=lambda address, options: None)

    assert place.label == label
    assert "sec" not in place.label


@pytest.mark.parametrize(
    "address",
    ["", "https://example.com/x", "simplecache::s3://shop", "ssh://a@example.com", "sftp://a@b/c"],
)
def test_refuses(address):
    """What is no place for backups is told at once. SFTP needs a way that asks who answers."""
    with pytest.raises(PlaceError, match="no place for backups"):
        Place(address)


MISSING = """
import sys
sys.modules["s3fs"] = None
from kit.places import Place, PlaceError
try:
    Place("s3://shop/x").names()
except PlaceError as problem:
    print(problem)
"""


def test_a_package_that_is_missing_is_named():
    """By the name of our extra; a package called kit belongs to somebody else."""
    ran = subprocess.run(
        [sys.executable, "-c", MISSING],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )

    say = "needs a package that is not here; install customer-data-kit[s3] and try again"
    assert ran.stdout == f"s3://shop/x {say}\n"
    with pytest.raises(Unreachable, match="ValueError"):
        Place("nonsense://shop", pause=Waits()).names()
