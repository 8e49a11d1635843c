# SPDX-License-Identifier: MIT-0
"""Search every byte of what is about to leave the shop, so that no secret goes out with it.

Copy: ``kit copy outgoing --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

`pack` makes a zip of files after `leaks` has looked at every file, every file name and the zip
itself, for card numbers, social security numbers and secrets that it is told of: tokens, keys,
what other people are called, words that were planted for the purpose. A secret is found as it is,
escaped for HTML or JSON, in hex, in Base64 and in UTF-16; one of fewer than four characters is
passed over, as it would be found anywhere. Numbers are found in text only.

The zip is stored, not squeezed, so that its bytes can be searched; names are plain, times are
fixed, and nothing says who made it, or where: the same files are the same bytes.

Source: the Luhn sum, ISO/IEC 7812-1 annex B; APPNOTE.TXT 6.3.10 for what a zip could tell.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping

SHORTEST = 4  # characters of a secret
LEAST_BASE64 = 6  # characters of it that must be found; fewer are found by chance
NAME = re.compile(r"(?:[a-z]{1,20}/)?[a-z][a-z0-9_-]{0,40}\.[a-z]{3,4}")
CARD = re.compile(r"(?<!\d)\d(?:[ .-]{0,2}\d){12,18}(?!\d)")
ISSUED = re.compile(
    r"4\d{12}(\d{3}){0,2}|5[1-5]\d{14}|2(22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"
    r"|3[47]\d{13}|3(0[0-5]|[689]\d)\d{11,16}|35(2[89]|[3-8]\d)\d{12,15}"
    r"|6(011|4[4-9]\d|5\d\d|2\d\d)\d{12,15}|(5[06-9]|6[37])\d{11,17}"
)
SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}([- ])(?!00)\d\d\1(?!0000)\d{4}(?![\d-])")
DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")  # may hold any digits


class OutgoingError(Exception):
    """Base of the errors below. Nothing was packed; messages never hold a value."""


class Leak(OutgoingError):
    """Something that must not leave is in there. `found` says where, and what kind."""

    def __init__(self, found: Iterable[str]) -> None:
        self.found = tuple(dict.fromkeys(found))
        super().__init__(
            f"{'; '.join(self.found)}; nothing was written. Look at what the inventory says under "
            "disclose for what is in there"
        )


class BadName(OutgoingError):
    """A file has a name that might tell something, or lead out of its folder."""


def pack(files: Mapping[str, bytes], *, secrets: Iterable[str] = ()) -> bytes:
    """Return a zip of the files, if nothing in it must stay here.

    Args:
        files: Name, such as ``csv/sales.csv``, to content.
        secrets: As for `leaks`.

    Raises:
        Leak: Something must not leave.
        BadName: A name is not plain.
    """
    if odd := [name for name in files if not NAME.fullmatch(name)]:
        raise BadName(f"{len(odd)} files have names that are not plain; give them others")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as made:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)  # of 1980-01-01, as a zip knows no older day
            entry.create_system, entry.external_attr = 3, 0o600 << 16
            made.writestr(entry, content)
    if found := leaks({**files, "the zip": out.getvalue()}, secrets):
        raise Leak(found)
    return out.getvalue()


def leaks(files: Mapping[str, bytes], secrets: Iterable[str]) -> list[str]:
    """Say where something is that must not leave, and what kind; the thing itself is not shown.

    Args:
        files: Name to content.
        secrets: What must not be in them, or in their names.
    """
    listed = [secret for secret in dict.fromkeys(secrets) if len(secret) >= SHORTEST]
    forms = [(form, number) for number, one in enumerate(listed) for form in _forms(one)]
    found = []
    for name, content in files.items():
        for place, data in (("the name of a file", name.encode()), (name, content)):
            if hits := {number for form, number in forms if form in data}:
                found.append(f"{place}: {len(hits)} of the secrets")
            text = DIGEST.sub("", data.decode("utf-8", "ignore"))
            if any(is_card(hit[0]) for hit in CARD.finditer(text)):
                found.append(f"{place}: a card number")
            if SSN.search(text):
                found.append(f"{place}: a social security number")
    return found


def is_card(text: str) -> bool:
    """Return whether digits begin, end and add up like a card's number. Same as in package.py."""
    digits = re.sub(r"\D", "", text)
    doubled = (sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    total = sum(map(int, digits[::-2])) + sum(doubled)
    return total % 10 == 0 and ISSUED.fullmatch(digits) is not None


def _forms(secret: str) -> Iterator[bytes]:
    """Yield a secret as it may stand in a file."""
    raw = secret.encode("utf-8", "surrogatepass")
    for text in dict.fromkeys((secret, html.escape(secret), json.dumps(secret)[1:-1])):
        yield text.encode("utf-8", "surrogatepass")
    yield raw.hex().encode()
    yield secret.encode("utf-16-le", "surrogatepass")
    for start, first in enumerate((0, 2, 3)):  # the three ways in which it can fall into Base64
        text64 = base64.b64encode(bytes(start) + raw)[first:-4]
        if len(text64) >= LEAST_BASE64:
            yield text64
