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

    [backup]                             # optional
    offsite = ["cloud"]                  # which places are away from the shop
    keep = { daily = 7, monthly = 12 }   # how many of each; see kit/keeping.py

    [backup.places]                      # a folder, a disk, s3://BUCKET/FOLDER, sftp://USER@HOST/DIR
    here = "backups"                     # a relative path starts in the shop's folder
    cloud = "s3://my-backups/flowers"

    [backup.people]                      # who can restore: public keys (age1...), two at least
    owner = "age1..."
    escrow = "age1..."

    [business]                           # optional: facts that decide which laws bind the shop
    state = "US-CA"
    revenue_usd = 400_000

A password for a database does not belong in it: PostgreSQL's own programs and this kit read
``PGPASSWORD`` or ``~/.pgpass``.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
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
SECTIONS = ("backup", "business")
PLACES = {"here": "backups"}  # where backups go until somebody says where else
KEPT = ("hourly", "daily", "weekly", "monthly", "within_days")
MOST_KEPT = 1_000  # a typing error is caught; no rule for backups known to us keeps more
PASSWORD = re.compile("://[^/]*:[^/@]+@|[?&]password=", re.IGNORECASE)  # in an address
PUBLIC_KEY = re.compile("age1[02-9ac-hj-np-z]{58}")


class SettingsError(Exception):
    """The file cannot be read, or says something that is not allowed."""


@dataclass(frozen=True)
class Backups:
    """What `shop.toml` says about backups."""

    places: Mapping[str, str]  # name → address
    offsite: tuple[str, ...]  # names of places that are away from the shop
    people: Mapping[str, str]  # who can restore → public key
    keep: Mapping[str, int]  # how many of each kind


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
    backup: Backups
    business: Mapping[str, Any]  # facts that decide which laws bind; what is missing is unknown

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
    return parse(read(path), name=path.name)


def read(path: Path) -> str:
    """Return the text of a `shop.toml`, as any editor saves it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(
            f"no {path.name} here; make a shop's folder with `kit init DIR`, or say --shop DIR"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path.name}: cannot be read ({type(error).__name__}); save it again as UTF-8 text"
        ) from None


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
    _known(said, (*REQUIRED, *OPTIONAL, *SECTIONS), name)
    parts = {key: said.pop(key, {}) for key in SECTIONS}
    for key, part in parts.items():
        if not isinstance(part, dict):
            raise SettingsError(f"{name}: {key} must be a section, [{key}]")
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
    return Settings(**full, backup=_backups(parts["backup"], name), business=parts["business"])


def _known(said: Iterable[str], known: Sequence[str], name: str) -> None:
    """Refuse a key that is not known, and say which one may be meant."""
    for key in said:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise SettingsError(
                f"{name}: {key!r} is not known"
                + (f"; did you mean {near[0]!r}" if near else "; delete it, or update the kit")
            )


def _backups(said: Mapping[str, Any], name: str) -> Backups:
    """Return what [backup] says, checked."""
    _known(said, ("places", "offsite", "people", "keep"), f"{name}, [backup]")
    places, people = said.get("places", PLACES), said.get("people", {})
    for key, texts in (("places", places), ("people", people)):
        if not isinstance(texts, dict) or not all(isinstance(t, str) and t for t in texts.values()):
            raise SettingsError(f'{name}: [backup.{key}] must have lines such as NAME = "TEXT"')
    for address in places.values():
        if PASSWORD.search(address):
            raise SettingsError(
                f"{name}: a password does not belong in [backup.places]; use the place's own "
                "settings, such as an SSH key or the environment"
            )
    for person, key in people.items():
        if not PUBLIC_KEY.fullmatch(key):
            raise SettingsError(
                f"{name}: the key of {person} under [backup.people] must be a public one, age1 and "
                "58 more signs; a secret key stays on paper"
            )
    offsite = said.get("offsite", [])
    if not isinstance(offsite, list) or not all(isinstance(one, str) for one in offsite):
        raise SettingsError(f'{name}: offsite must be a list of names, such as ["cloud"]')
    for one in offsite:
        if one not in places:
            raise SettingsError(f"{name}: offsite names {one!r}, which is not in [backup.places]")
    keep = said.get("keep", {})
    if not isinstance(keep, dict) or not all(
        type(count) is int and 0 <= count <= MOST_KEPT for count in keep.values()
    ):
        raise SettingsError(f"{name}: keep must have numbers of 0 to {MOST_KEPT}")
    _known(keep, KEPT, f"{name}, keep")
    return Backups(dict(places), tuple(offsite), dict(people), dict(keep))


def _check(full: Mapping[str, object], staff: Mapping[str, str], name: str) -> None:
    """Refuse what would fail only later, far from this file."""
    try:
        ZoneInfo(str(full["time_zone"]))
    except (ValueError, OSError, LookupError):  # by how wrong it is
        raise SettingsError(f"{name}: {ZONE}") from None
    if not re.fullmatch("[A-Z]{2}", str(full["region"])):
        raise SettingsError(f"{name}: region must be a country in two letters, such as US or DE")
    if PASSWORD.search(str(full["database"])):
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


def with_line(text: str, section: str, key: str, value: str | Sequence[str]) -> str:
    """Return the text of a `shop.toml` with one more line, or another value in it.

    Raises:
        SettingsError: The key is not one word, or what comes out is not allowed.
    """
    if not re.fullmatch("[a-z][a-z0-9_-]{0,31}", key):
        raise SettingsError(
            "a name in shop.toml is one word in small letters, such as usb or escrow; take another"
        )
    written = _quoted(value) if isinstance(value, str) else f"[{', '.join(map(_quoted, value))}]"
    line = f"{key} = {written}"
    lines = text.splitlines()
    start = next((i for i, old in enumerate(lines) if old.strip() == f"[{section}]"), None)
    if start is None:
        lines += ["", f"[{section}]", line]
    else:
        ends = (i for i, old in enumerate(lines) if i > start and old.lstrip().startswith("["))
        end = next(ends, len(lines))
        mark = re.compile(rf"\s*{re.escape(key)}\s*=")
        there = [i for i in range(start + 1, end) if mark.match(lines[i])]
        while end > start + 1 and not lines[end - 1].strip():
            end -= 1
        lines[there[0] if there else end : there[0] + 1 if there else end] = [line]
    made = "\n".join(lines) + "\n"
    parse(made)
    return made


def _quoted(value: object) -> str:
    """Return a TOML text; control characters are left out."""
    kept = "".join(c for c in str(value) if c.isprintable())
    return '"' + kept.replace("\\", "\\\\").replace('"', '\\"') + '"'
