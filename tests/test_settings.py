"""shop.toml: what is written is read back, and what is not understood is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.settings import SettingsError, load, parse, write

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
            'database = "postgresql://me:secret@host/shop"\n' + GOOD, "PGPASSWORD", id="password"
        ),
    ],
)
def test_what_is_wrong_is_named(text, says):
    """One line, with what to do; a password is not repeated."""
    with pytest.raises(SettingsError, match=says) as caught:
        parse(text)
    assert "secret" not in str(caught.value)


def test_files(tmp_path):
    """A missing file and a broken one say what to do."""
    with pytest.raises(SettingsError, match="kit init"):
        load(tmp_path / "shop.toml")
    (tmp_path / "shop.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="UTF-8"):
        load(tmp_path / "shop.toml")
    (tmp_path / "shop.toml").write_text(GOOD, encoding="utf-8")
    assert load(tmp_path / "shop.toml").staff == {"maria": "owner"}
