"""shop.toml: what is written is read back, and what is not understood is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.settings import SettingsError, load, parse, with_line, write

GOOD = 'format = 1\nname = "Flowers"\ntime_zone = "Europe/Berlin"\n[staff]\nmaria = "owner"\n'


def test_a_new_file_reads_back():
    """What `kit init` writes is what it reads."""
    read = parse(write(name='Ana\'s "Corner"', time_zone="America/New_York", owner="ana"))

    assert (read.name, read.owner) == ('Ana\'s "Corner"', "ana")
    assert str(read.zone) == "America/New_York"
    assert (read.region, read.database) == ("US", "sqlite:///shop.sqlite")
    assert (read.index_bits, read.undo_days) == (10, 30)


@given(st.text(min_size=1))
def test_any_name_reads_back(name):
    """Quotes and backslashes are a name's own business; control characters are dropped."""
    kept = "".join(c for c in name if c.isprintable())
    if kept:
        assert parse(write(name=name, time_zone="UTC")).name == kept


def test_roles():
    """A person has the role that is written down; others have none."""
    read = parse(GOOD + 'sam = "cashier"\n')

    assert (read.role("maria"), read.role("sam")) == ("owner", "cashier")
    with pytest.raises(SettingsError, match="known: maria, sam"):
        read.role("eve")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(GOOD.replace("format = 1", "format = 2"), "format = 1", id="format"),
        pytest.param(GOOD.replace("Flowers", 'Flow"ers'), "line 2", id="not TOML"),
        pytest.param("format = 1\n", "name is missing", id="no name"),
        pytest.param(GOOD.replace('"Flowers"', '""'), "name is missing", id="empty name"),
        pytest.param(GOOD.replace('maria = "owner"\n', ""), "staff is missing", id="no staff"),
        pytest.param(GOOD.replace('"owner"', '"boss"'), "must be one of owner", id="role"),
        pytest.param(GOOD.replace('"owner"', '"cashier"'), "nobody under", id="no owner"),
        pytest.param(GOOD.replace("maria", '"Maria Smith"'), "small letters", id="staff name"),
        pytest.param(GOOD.replace("Europe/Berlin", "Mars"), "America/New_York", id="zone"),
        pytest.param(GOOD.replace("Europe/Berlin", "../etc"), "America/New_York", id="zone path"),
        pytest.param("datbase = 1\n" + GOOD, "did you mean 'database'", id="misspelled"),
        pytest.param("zzz = 1\n" + GOOD, "delete it", id="unknown"),
        pytest.param("index_bits = 64\n" + GOOD, "1 to 63", id="bits"),
        pytest.param("undo_days = true\n" + GOOD, "a whole number", id="bool"),
        pytest.param("region = 1\n" + GOOD, "in quotes", id="kind"),
        pytest.param('region = "USA"\n' + GOOD, "two letters", id="region"),
        pytest.param(
            'database = "postgresql://me:hunter2@host/shop"\n' + GOOD, "PGPASSWORD", id="password"
        ),
        pytest.param(
            'database = "postgresql://me@host/shop?sslmode=require&Password=hunter2"\n' + GOOD,
            "PGPASSWORD",
            id="password behind",
        ),
        pytest.param("backup = 1\n" + GOOD, r"a section, \[backup\]", id="section"),
        pytest.param(GOOD + "[backup]\nplace = 1\n", "did you mean 'places'", id="backup key"),
        pytest.param(GOOD + "[backup.places]\nhere = 1\n", 'NAME = "TEXT"', id="place"),
        pytest.param(
            GOOD + '[backup.places]\nnas = "sftp://me:hunter2@nas/b"\n', "password", id="in place"
        ),
        pytest.param(
            GOOD + '[backup.people]\nowner = "AGE-SECRET-KEY-1QQ"\n', "on paper", id="secret key"
        ),
        pytest.param(GOOD + '[backup]\noffsite = ["usb"]\n', "names 'usb'", id="offsite"),
        pytest.param(GOOD + '[backup]\noffsite = "usb"\n', "a list", id="offsite list"),
        pytest.param(GOOD + "[backup]\nkeep = { daily = -1 }\n", "0 to 1000", id="keep"),
        pytest.param(GOOD + "[backup]\nkeep = { dayly = 1 }\n", "mean 'daily'", id="kept"),
    ],
)
def test_what_is_wrong_is_named(text, says):
    """One line, with what to do; a password is not repeated."""
    with pytest.raises(SettingsError, match=says) as caught:
        parse(text)
    assert "hunter2" not in str(caught.value)


def test_backups_and_the_business():
    """Where backups go, who opens them, and what decides on laws, is in the same file."""
    key = "age1" + "q" * 58
    more = f"""
[backup]
offsite = ["cloud"]
keep = {{ daily = 14 }}
[backup.places]
here = "backups"
cloud = "s3://flowers/backups"
[backup.people]
owner = "{key}"
[business]
state = "US-CA"
consumers = {{ "US-CA" = 1200 }}
"""
    said = parse(GOOD + more)

    assert said.backup.places == {"here": "backups", "cloud": "s3://flowers/backups"}
    assert (said.backup.offsite, said.backup.keep) == (("cloud",), {"daily": 14})
    assert said.backup.people == {"owner": key}
    assert said.business["consumers"]["US-CA"] == 1200
    assert parse(GOOD).backup.places == {"here": "backups"}
    assert parse(GOOD).business == {}


def test_a_line_is_added_where_it_belongs():
    """A program that adds a key leaves all that a person has written, comments too."""
    key = "age1" + "q" * 58
    once = with_line(GOOD + "# mine\n", "backup.people", "owner", key)
    twice = with_line(once, "backup.people", "escrow", key)
    listed = with_line(with_line(once, "backup", "offsite", []), "backup", "offsite", ["here"])
    again = with_line(twice, "backup.people", "owner", "age1" + "p" * 58)

    assert "# mine\n" in again
    assert (parse(listed).backup.offsite, parse(listed).backup.people) == (
        ("here",),
        {"owner": key},
    )
    assert parse(twice).backup.people == {"escrow": key, "owner": key}
    assert parse(again).backup.people == {"escrow": key, "owner": "age1" + "p" * 58}


def test_files(tmp_path):
    """A missing file and a broken one say what to do."""
    with pytest.raises(SettingsError, match="kit init"):
        load(tmp_path / "shop.toml")
    (tmp_path / "shop.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="UTF-8"):
        load(tmp_path / "shop.toml")
    (tmp_path / "shop.toml").write_text(GOOD, encoding="utf-8")
    assert load(tmp_path / "shop.toml").staff == {"maria": "owner"}
