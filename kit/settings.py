# SPDX-License-Identifier: MIT-0
"""Write down once who works in the shop, in which role, and where its data lies.

Copy: ``kit copy settings --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

The file `shop.toml` in a shop's folder::

    format = 1
    name = "Corner Flowers"
    time_zone = "America/New_York"
    region = "US"                        # country, in two letters: how telephones are written
    database = "sqlite:///shop.sqlite"   # a relative path starts in the folder
    index_bits = 10                      # see kit/blind_index.py
    undo_days = 30                       # how long a deleted customer can be brought back

    [staff]                              # who may be named with --as, and in which role
    maria = "owner"
    sam = "cashier"

A password for a database does not belong in it: PostgreSQL's own programs and this kit read
``PGPASSWORD`` or ``~/.pgpass``.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

FORMAT = 1
ROLES = ("owner", "manager", "cashier", "marketer", "trainer")
STAFF_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
REQUIRED: dict[str, type] = {"name": str, "time_zone": str, "staff": dict}
OPTIONAL: dict[str, object] = {
    "region": "US",
    "database": "sqlite:///shop.sqlite",
    "index_bits": 10,
    "undo_days": 30,
}
ZONE = 'time_zone must be one like "America/New_York" or "Europe/Berlin"'
BOUNDS = {"index_bits": (1, 63), "undo_days": (1, 365)}


class SettingsError(Exception):
    """The file cannot be read, or says something that is not allowed."""


@dataclass(frozen=True)
class Settings:
    """What `shop.toml` says."""

    name: str
    time_zone: str
    staff: Mapping[str, str]  # name in the log → role
    region: str
    database: str
    index_bits: int
    undo_days: int

    @property
    def zone(self) -> ZoneInfo:
        """The shop's own time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def owner(self) -> str:
        """The first owner, who is meant where nobody is named."""
        return next(name for name, role in self.staff.items() if role == "owner")

    def role(self, actor: str) -> str:
        """Return the role of somebody on the staff.

        Raises:
            SettingsError: Nobody is called that.
        """
        if actor not in self.staff:
            raise SettingsError(
                f"nobody on the staff is called that; known: {', '.join(self.staff)}. Add them "
                "under [staff] in shop.toml"
            )
        return self.staff[actor]


def load(path: Path) -> Settings:
    """Read a `shop.toml`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(
            f"no {path.name} here; make a shop's folder with `kit init DIR`, or say --shop DIR"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path.name}: cannot be read ({type(error).__name__}); save it again as UTF-8 text"
        ) from None
    return parse(text, name=path.name)


def parse(text: str, *, name: str = "shop.toml") -> Settings:
    """Read settings from text; *name* stands in the error messages."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line \d+", str(error))
        raise SettingsError(
            f"{name}{', ' + where[0] if where else ''}: not TOML here; look for a missing quote, "
            "bracket or equals sign"
        ) from None
    if said.pop("format", None) != FORMAT:
        raise SettingsError(f"{name}: must say `format = {FORMAT}` in its first line; add it")
    for key in said:
        if key not in REQUIRED and key not in OPTIONAL:
            near = difflib.get_close_matches(key, [*REQUIRED, *OPTIONAL], 1)
            raise SettingsError(
                f"{name}: {key!r} is not known"
                + (f"; did you mean {near[0]!r}" if near else "; delete it, or update the kit")
            )
    for key, kind in REQUIRED.items():
        if not isinstance(said.get(key), kind) or not said[key]:
            wanted = "a section [staff] with one line per person" if key == "staff" else "a text"
            raise SettingsError(f"{name}: {key} is missing or empty; it must be {wanted}")
    full = {**OPTIONAL, **said}
    for key, fallback in OPTIONAL.items():
        if type(full[key]) is not type(fallback):
            wanted = "a whole number" if isinstance(fallback, int) else "a text in quotes"
            raise SettingsError(f"{name}: {key} must be {wanted}")
    for key, (least, most) in BOUNDS.items():
        if not least <= full[key] <= most:
            raise SettingsError(f"{name}: {key} must be {least} to {most}")
    _check(full, full["staff"], name)
    return Settings(**full)


def _check(full: Mapping[str, object], staff: Mapping[str, str], name: str) -> None:
    """Refuse what would fail only later, far from this file."""
    try:
        ZoneInfo(str(full["time_zone"]))
    except (ValueError, OSError, LookupError):  # by how wrong it is
        raise SettingsError(f"{name}: {ZONE}") from None
    if not re.fullmatch("[A-Z]{2}", str(full["region"])):
        raise SettingsError(f"{name}: region must be a country in two letters, such as US or DE")
    if re.search("://[^/]*:[^/@]+@", str(full["database"])):
        raise SettingsError(
            f"{name}: a password does not belong in database; use PGPASSWORD or ~/.pgpass"
        )
    for person, role in staff.items():
        if not STAFF_NAME.fullmatch(person):
            raise SettingsError(
                f"{name}: a name under [staff] is small letters, digits, dot, - or _, 32 at most"
            )
        if role not in ROLES:
            raise SettingsError(f"{name}: the role of {person} must be one of {', '.join(ROLES)}")
    if "owner" not in staff.values():
        raise SettingsError(f"{name}: nobody under [staff] is owner; somebody must be")


def write(
    *,
    name: str,
    time_zone: str,
    region: str = "US",
    owner: str = "owner",
    database: str = "sqlite:///shop.sqlite",
) -> str:
    """Return the text of a new `shop.toml`; checked before it is returned."""
    quoted = {key: _quoted(value) for key, value in locals().copy().items()}
    text = f"""\
# The shop, for the kit. Change it with any editor; what is not understood is refused.
format = {FORMAT}
name = {quoted["name"]}
time_zone = {quoted["time_zone"]}
region = {quoted["region"]}
database = {quoted["database"]}
index_bits = 10   # more: searching is quicker, and a thief sees more of who is alike
undo_days = 30    # how long a deleted customer can be brought back

# Who uses the kit here, and as what: {", ".join(ROLES)}.
[staff]
{quoted["owner"]} = "owner"
"""
    parse(text)
    return text


def _quoted(value: object) -> str:
    """Return a TOML text; control characters are left out."""
    kept = "".join(c for c in str(value) if c.isprintable())
    return '"' + kept.replace("\\", "\\\\").replace('"', '\\"') + '"'
