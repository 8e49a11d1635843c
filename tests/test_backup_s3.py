"""A shop's backups in a bucket and on a server, set up as a shop does: shop.toml and nothing else.

The bucket is on a server on this machine that answers as S3 does, and is reached over HTTP. What
S3 needs to know stands in the environment, as for Amazon's own programs; a server for SFTP is known
and let in by the files in ``.ssh``, as for ssh.
"""

from __future__ import annotations

import backed_up
import little_sftp
import pytest
import real_shop
from backed_up import AWAY, DAY, ESCROW, HOUR, OWNER, change, make
from real_shop import NOW, WORDS
from test_places import REGION, aws, server  # noqa: F401 (fixtures)

from kit import backup, drill, restore, upkeep
from kit.shop import SETTINGS, Shop

LATER = NOW + 9 * DAY
RARE = "keep = { hourly = 0, daily = 2, weekly = 0, monthly = 0, within_days = 0 }"


@pytest.fixture
def bucket(aws, server, monkeypatch):  # noqa: F811
    """Return the address of an empty bucket, to which the environment leads."""
    boto3 = pytest.importorskip("boto3")
    pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    client = boto3.client("s3", region_name=REGION)
    client.create_bucket(Bucket="shop-backups")
    yield "s3://shop-backups/corner-flowers"
    for one in client.list_objects_v2(Bucket="shop-backups").get("Contents", []):
        client.delete_object(Bucket="shop-backups", Key=one["Key"])
    client.delete_bucket(Bucket="shop-backups")
    client.close()


@pytest.fixture
def nas(tmp_path, monkeypatch):
    """Return the address of a folder on an SFTP server, which ssh knows and which knows our key."""
    paramiko = pytest.importorskip("paramiko")

    class Door(little_sftp.Door):
        """Lets in who has our key."""

        def check_auth_publickey(self, username, key):
            """Compare it."""
            right = (username, key) == ("ana", ours)
            return paramiko.AUTH_SUCCESSFUL if right else paramiko.AUTH_FAILED

        def get_allowed_auths(self, username):
            """Only keys."""
            return "publickey"

    ours = paramiko.ECDSAKey.generate()
    monkeypatch.setattr(little_sftp, "Door", Door)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    ssh = tmp_path / "home" / ".ssh"
    ssh.mkdir(parents=True)
    ours.write_private_key_file(str(ssh / "id_ecdsa"))
    (tmp_path / "far").mkdir()
    with little_sftp.Server(tmp_path / "far") as running:
        (ssh / "known_hosts").write_text(f"[127.0.0.1]:{running.port} {running.public}\n")
        yield f"sftp://ana@127.0.0.1:{running.port}/"


@pytest.fixture(params=["bucket", "nas"])
def shop(request, tmp_path):
    """Return a shop whose place away from it is a bucket, then one with a server."""
    folder = tmp_path / "shop"
    real_shop.filled(folder).close()
    backed_up.equip(folder)
    backup.add_place(folder, AWAY, request.getfixturevalue(request.param), offsite=True)
    said = (folder / SETTINGS).read_text(encoding="utf-8")
    (folder / SETTINGS).write_text(said.replace("[backup]", f"[backup]\n{RARE}"), encoding="utf-8")
    with Shop.open(folder, WORDS) as made:
        yield made


def names(shop):
    """Return the names of the files away."""
    with backed_up.place(shop) as place:
        return place.names()


def test_a_shop_backs_up_verifies_drills_prunes_and_restores_far_away(shop):
    """All that a shop does with a folder, it does with a bucket and with a server."""
    first = make(shop)
    for day in range(1, 6):
        change(shop, day)
        make(shop, now=NOW + day * DAY, full=True)
    change(shop, 6)
    last = make(shop, now=NOW + 5 * DAY + HOUR)
    assert (last.manifest.seq, last.manifest.kind) == (7, "diff")
    before = real_shop.content(shop)
    assert {first.manifest.file, last.manifest.file, "RESTORE.txt"} < {*names(shop)}

    (found,) = upkeep.verify(shop, now=LATER, only=AWAY)
    assert (found.right, found.faults) == ((1, 2, 3, 4, 5, 6, 7), ())

    with backed_up.place(shop) as place:
        drilled = drill.run(shop, place, ESCROW, actor="owner", now=LATER, name=AWAY)
    assert drilled.drill.failures == ()
    assert drilled.record.name in names(shop)

    pruned = {one.name: one for one in upkeep.prune(shop, now=LATER, do=True)}[AWAY]
    assert (pruned.gone[0], pruned.faults) == (1, ())
    assert first.manifest.file not in names(shop)
    (found,) = upkeep.verify(shop, now=LATER, only=AWAY)
    assert found.faults == ()
    assert 7 in found.right

    for path in shop.files():
        path.unlink(missing_ok=True)
    with backed_up.place(shop) as place:
        done = restore.restore(shop, place, [OWNER], actor="owner", now=LATER, name=AWAY)
    assert done.manifest.seq == 7
    assert real_shop.content(shop) == before
    real_shop.sound(shop)


def test_a_lost_shop_is_made_anew_from_far_away(shop, tmp_path):
    """With the address, the paper key and nothing else."""
    make(shop)
    before = real_shop.content(shop)
    with backed_up.place(shop) as place:
        new = restore.rebuild(
            tmp_path / "new", place, OWNER, lambda: WORDS, compare=lambda _: None, now=LATER
        )
        with new:
            restore.restore(new, place, [OWNER], actor="owner", now=LATER)
            after = real_shop.content(new)
    assert after.pop("kit_meta") and before.pop("kit_meta")
    assert after == before
