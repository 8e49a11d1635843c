"""How the backups stand is told by what was read back, and old ones go by the rules."""

from __future__ import annotations

from datetime import timedelta

import backed_up
import pytest
import real_shop
from backed_up import AWAY, DAY, HERE, HOUR, OWNER, change, files, filled, make, names
from real_shop import NOW

from kit import backup, drill, manifest, restore, settings, upkeep
from kit.backup_state import Home
from kit.shop import SETTINGS, Shop
from kit.upkeep import UpkeepError


@pytest.fixture
def shop(tmp_path):
    """Return a shop with two backups, the second a differential."""
    with filled(tmp_path / "shop") as made:
        make(made)
        change(made)
        make(made, now=NOW + HOUR)
        yield made


def red(shop, now=NOW + 2 * HOUR):
    """Return what is red."""
    return upkeep.status(shop.folder, shop.settings, now=now).red


def test_the_list_says_what_is_where(shop):
    """Oldest first."""
    found = upkeep.listed(shop.folder, shop.settings, backup.signers(shop.keyring))

    assert [one.manifest.seq for one in found] == [1, 2]
    assert all({*one.places} == {HERE, AWAY} for one in found)


def test_a_new_shop_is_red_and_says_what_comes_next(tmp_path):
    """Step by step, and nothing of it stops a script."""
    real_shop.filled(tmp_path / "shop").close()
    said = settings.load(tmp_path / "shop" / SETTINGS)

    told = upkeep.status(tmp_path / "shop", said, now=NOW)

    assert "kit keys recovery" in told.red[0]
    assert any("kit backup make" in line for line in told.red)
    assert any("away from the shop" in line for line in told.red)
    assert (told.leaves_on, told.people) == (None, ())


def test_green_takes_an_off_site_copy_a_rehearsal_and_a_drill(shop):
    """Each alone is not enough."""
    assert any("read the paper key back" in line for line in red(shop))
    assert any("kit backup drill" in line for line in red(shop))
    upkeep.rehearsed(shop.folder, now=NOW + HOUR)
    assert not any("paper key" in line for line in red(shop))
    drill.run(shop, backed_up.place(shop), OWNER, actor="owner", now=NOW + 2 * HOUR, name=AWAY)
    assert red(shop) == ()


def test_a_folder_in_the_shops_own_is_not_away_from_it(shop):
    """A relative path is easily typed; the thief of the laptop would have both."""
    backup.add_place(shop.folder, "stick", "stick", offsite=True)

    said = settings.load(shop.folder / SETTINGS)
    found = upkeep.status(shop.folder, said, now=NOW).red
    assert found[0].startswith("stick is named as away from the shop, but lies in the shop's own")
    backup.add_place(shop.folder, "stick", "../stick", offsite=True)
    said = settings.load(shop.folder / SETTINGS)
    assert not any("own folder" in text for text in upkeep.status(shop.folder, said, now=NOW).red)


def test_an_old_copy_is_red_however_often_it_was_read_back(shop):
    """Reading the same old backup every day proves the copy, and not that there are new ones."""
    drill.run(shop, backed_up.place(shop), OWNER, actor="owner", now=NOW + HOUR, name=AWAY)
    later = NOW + 4 * DAY
    upkeep.verify(shop, now=later)

    assert any("is 3 days old" in line for line in red(shop, later))
    assert not any("is 3 days old" in line for line in red(shop, NOW + 3 * DAY))
    old = NOW + timedelta(days=40)
    drilled = "last drill was 39 days ago, with the key of owner; now with another person's"
    assert any(drilled in line for line in red(shop, old))
    assert upkeep.alarm(shop.folder, shop.settings, now=old) == red(shop, old)[0]


def test_the_day_on_which_somebody_is_gone_from_all(shop):
    """A promise to a customer needs a date."""
    told = upkeep.status(shop.folder, shop.settings, now=NOW + HOUR)

    assert told.leaves_on > (NOW + 7 * DAY).date()


def test_that_day_is_none_on_which_a_backup_is_promised_to_be_there(shop):
    """What a manifest promised holds, also after shop.toml was changed to keep less."""
    with few(shop) as thrifty:
        told = upkeep.status(thrifty.folder, thrifty.settings, now=NOW + HOUR)

    assert told.leaves_on >= (NOW + 7 * DAY).date()


def test_every_byte_is_read(shop):
    """What is right counts, from the newest on."""
    found = {one.name: one for one in upkeep.verify(shop, now=NOW + DAY)}

    assert {name: one.right for name, one in found.items()} == {HERE: (1, 2), AWAY: (1, 2)}
    assert not any(one.faults for one in found.values())
    assert Home(shop.folder).load().place(AWAY).seen == "2026-11-25T09:30:00Z"


def test_one_altered_byte_is_found_and_stays_red(shop):
    """A quick check of other programs calls such a backup sound."""
    kept = files(shop)
    name = next(n for n in kept if n.endswith(".tar.age"))
    data = kept[name]
    backed_up.put_back(shop, {**kept, name: data[:-5] + b"\0" + data[-4:]})

    found = {one.name: one for one in upkeep.verify(shop, now=NOW + DAY)}

    assert found[AWAY].right == (1,)
    assert found[AWAY].faults == ("the file of backup 2 is altered, or another has its name",)
    assert found[HERE].faults == ()
    assert any("away: the file of backup 2" in line for line in red(shop))
    assert Home(shop.folder).load().place(AWAY).seq == 1


def test_nothing_builds_on_a_full_one_that_was_found_altered(shop):
    """Green with a differential on a broken base: every off-site backup would restore nothing."""
    kept = files(shop)
    name = next(n for n in kept if n.endswith(".sqlite.zst.age"))
    backed_up.put_back(shop, {**kept, name: kept[name][:-5] + b"\0" + kept[name][-4:]})
    upkeep.verify(shop, now=NOW + 2 * HOUR)

    done = make(shop, now=NOW + 3 * HOUR)

    assert (done.manifest.kind, done.why_full) == (
        "full",
        "backup 1 is not known to be right in away",
    )
    place = backed_up.place(shop)
    came = restore.restore(shop, place, [OWNER], actor="owner", now=NOW + 4 * HOUR, name=AWAY)
    assert came.manifest.seq == 3


def test_a_list_that_does_not_hold_stays_red_until_it_does(shop):
    """The newest would not be restored from there, however many backups come after it."""
    kept = files(shop)
    name = next(n for n in sorted(kept) if n.endswith(".manifest.json"))
    backed_up.put_back(shop, {**kept, name: b"x"})
    upkeep.verify(shop, now=NOW + 2 * HOUR)

    make(shop, now=NOW + 3 * HOUR)

    assert "away: manifest 1 is cut short, or is something else" in red(shop)
    (backed_up.away(shop) / name).write_bytes(kept[name])
    upkeep.verify(shop, now=NOW + 4 * HOUR)
    assert not any("away: " in line for line in red(shop))


def test_a_full_one_that_is_gone_everywhere_is_made_anew(shop):
    """Else every run at night ends with an error, until somebody looks."""
    for where in (HERE, AWAY):
        kept = files(shop, where)
        left = {n: d for n, d in kept.items() if not n.endswith(".sqlite.zst.age")}
        backed_up.put_back(shop, left, where)
    upkeep.verify(shop, now=NOW + 2 * HOUR)

    done = make(shop, now=NOW + 3 * HOUR)

    assert "no place is known to hold backup 1" in str(done.why_full)


def test_a_clock_that_was_ahead_keeps_nothing_green(shop):
    """A backup dated next year would be young for a year, though none came since."""
    make(shop, now=NOW + 400 * DAY)
    drill.run(shop, backed_up.place(shop), OWNER, actor="owner", now=NOW + 400 * DAY, name=AWAY)

    told = red(shop, NOW + 20 * DAY)

    assert any("away from the shop is dated in the future" in line for line in told)
    assert any("last drill is dated in the future" in line for line in told)
    make(shop, now=NOW + 20 * DAY)
    assert not any("from the shop is dated" in line for line in red(shop, NOW + 20 * DAY))
    assert any("is 4 days old" in line for line in red(shop, NOW + 24 * DAY))


def test_a_file_that_was_there_and_is_gone_is_missed(shop):
    """And one that never was there is not."""
    kept = files(shop)
    gone = {n: d for n, d in kept.items() if not n.endswith(".tar.age")}
    backed_up.put_back(shop, gone)
    (found,) = upkeep.verify(shop, now=NOW + DAY, only=AWAY)
    assert found.faults == ("the file of backup 2 is missing, and no record let it go",)
    (again,) = upkeep.verify(shop, now=NOW + DAY, only=AWAY)
    assert again.faults == ()


def test_a_place_that_does_not_answer_is_named(shop):
    """The others are verified all the same."""
    away = backed_up.away(shop)
    away.rename(away.with_name("unplugged"))

    found = {one.name: one for one in upkeep.verify(shop, now=NOW + DAY)}

    assert found[AWAY].checked is None
    assert found[AWAY].faults
    assert found[HERE].right == (1, 2)
    with pytest.raises(UpkeepError, match="there are: here, away"):
        upkeep.verify(shop, now=NOW + DAY, only="usb")


def few(shop):
    """Return the shop with rules that let go soon."""
    path = shop.folder / SETTINGS
    text = path.read_text(encoding="utf-8")
    rule = "keep = { hourly = 0, daily = 2, weekly = 0, monthly = 0, within_days = 0 }"
    path.write_text(text.replace("[backup]", f"[backup]\n{rule}"), encoding="utf-8")
    shop.close()
    return Shop.open(shop.folder, real_shop.WORDS)


def test_old_backups_go_and_the_list_stays_whole(shop):
    """What was let go is signed, so that it is not taken for theft."""
    with few(shop) as thrifty:
        for day in range(1, 5):
            make(thrifty, now=NOW + day * DAY, full=True)
        moment = NOW + 4 * DAY + HOUR
        plans = upkeep.prune(thrifty, now=moment, do=False)
        assert len([n for n in names(thrifty) if n.endswith(".sqlite.zst.age")]) == 5

        done = {one.name: one for one in upkeep.prune(thrifty, now=moment, do=True)}

        assert {one.name: one.plan.remove for one in plans} == {
            name: one.gone for name, one in done.items()
        }
        assert done[AWAY].gone
        left = [n for n in names(thrifty) if n.endswith(".age") and n[0] == "0"]
        assert len(left) == 6 - len(done[AWAY].gone)
        assert len([n for n in names(thrifty) if n.endswith(".manifest.json")]) == 6
        assert not any(one.faults for one in upkeep.verify(thrifty, now=moment))
        place = backed_up.place(thrifty)
        wanted = restore.restore(thrifty, place, [OWNER], actor="owner", now=moment, name=AWAY)
        assert wanted.manifest.seq == 6


def test_the_last_proven_one_stays_also_when_a_later_drill_failed(shop):
    """A mistyped key, or a rotten newest one, must not let the only proven backup go."""
    with few(shop) as thrifty:
        place = backed_up.place(thrifty)
        drill.run(thrifty, place, OWNER, actor="owner", now=NOW + 2 * HOUR, name=AWAY)
        for day in range(1, 5):
            make(thrifty, now=NOW + day * DAY, full=True)
        stranger, moment = backed_up.STRANGER, NOW + 4 * DAY + HOUR
        drill.run(thrifty, place, stranger, actor="owner", now=moment, name=AWAY)
        drill.run(thrifty, place, stranger, actor="owner", now=moment + HOUR, name=AWAY)

        (there, away) = upkeep.prune(thrifty, now=moment + HOUR, do=True)

        assert away.gone == there.gone == (3, 4)
        assert "the newest that was proven" in away.plan.keep[2]


def test_a_flood_of_backups_lets_no_good_one_go(shop):
    """Junk made in one night must not push out the week before it."""
    for minute in range(1, 9):
        make(shop, now=NOW + DAY + minute * timedelta(minutes=10), full=True)

    (there, away) = upkeep.prune(shop, now=NOW + DAY + 2 * HOUR, do=True)

    assert away.gone == there.gone == ()
    assert {1, 2} <= {*away.plan.keep}


def test_nothing_goes_from_a_list_that_does_not_hold(shop):
    """A thief who breaks the list must not make us delete the rest."""
    with few(shop) as thrifty:
        for day in range(1, 5):
            make(thrifty, now=NOW + day * DAY, full=True)
        kept = files(thrifty)
        name = next(n for n in sorted(kept) if n.endswith(".manifest.json"))
        backed_up.put_back(thrifty, {n: d for n, d in kept.items() if n != name})

        done = {one.name: one for one in upkeep.prune(thrifty, now=NOW + 4 * DAY + HOUR, do=True)}

        assert done[AWAY].gone == ()
        assert "nothing is let go" in done[AWAY].faults[-1]
        assert done[HERE].gone


def test_what_a_crash_left_half_gone_is_finished(shop):
    """The record was signed, and the power went before the file was deleted."""
    with few(shop) as thrifty:
        for day in range(1, 5):
            make(thrifty, now=NOW + day * DAY, full=True)
        moment = NOW + 4 * DAY + HOUR
        kept = files(thrifty)
        done = {one.name: one for one in upkeep.prune(thrifty, now=moment, do=True)}
        after = files(thrifty)
        lost = {n: d for n, d in kept.items() if n not in after}
        assert lost
        backed_up.put_back(thrifty, {**after, **lost})

        again = {one.name: one for one in upkeep.prune(thrifty, now=moment, do=True)}

        assert again[AWAY].gone == done[AWAY].gone
        assert {*names(thrifty)} == {*after}
        assert manifest.PRUNED_NAME.fullmatch(next(n for n in after if n.startswith("pruned")))
