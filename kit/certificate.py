# SPDX-License-Identifier: MIT-0
"""Show on one signed page that a backup was really restored, or in red that it could not be.

Copy: ``kit copy certificate --into DIR``, or take this file as it is.
Needs: Python 3.11, cryptography. Nothing else from this kit.
Data: none.

A restore drill is told as a `Drill`. `to_json` signs it for programs, `to_html` makes the page for
the folder of records, the insurer or the accountant::

    {"drill":{...},"format":1,"public_key":hex,"signature":hex,"what":"restore drill"}

sorted, no spaces, ASCII; the signature is Ed25519 over the same without ``"signature"``. The page
holds no script and asks nobody for anything. It proves nothing by itself, as anybody can print one:
the signed record beside it does, with `read`.

Source: RFC 8032 (Ed25519); https://www.w3.org/TR/WCAG22/ for contrast and structure.
"""

from __future__ import annotations

import base64
import hashlib
import json
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = 1
WHAT = "restore drill"
MOST_BYTES = 1 << 20  # a certificate has about 2 kB
MOST_LINES = 6  # of failures and of backups on the page, which is one; all are in the record
MOST_TABLES = 24
MONTHS = (
    "January February March April May June July August September October November December"
).split()


class CertificateError(Exception):
    """Base of the errors below. Messages never hold what stands in a certificate."""


class BadCertificate(CertificateError):
    """It is no certificate, is cut short, or a newer kit wrote it."""


class Forged(CertificateError):
    """It was altered, or somebody else signed it."""


class BadDrill(CertificateError):
    """What is to be certified cannot be: a time has no zone, or a number is below 0."""


@dataclass(frozen=True)
class Restored:
    """One backup that was restored."""

    seq: int
    at: datetime


@dataclass(frozen=True)
class Drill:
    """What a drill did and found."""

    at: datetime  # when the drill was done
    shop: str
    place: str  # label of where the backups came from, without credentials
    restored: tuple[Restored, ...]  # newest first
    key: str  # whose key opened it, such as owner or escrow
    rows: Mapping[str, int]  # restored rows of each table; customers among them
    canaries: int  # marked customers that were found again
    canaries_of: int  # marked customers that were looked for
    erased_absent: bool  # nobody who was erased is in it, after the ledger was replayed
    took: timedelta  # from the first byte fetched to the proven database
    age: timedelta  # of the newest restored data when the drill began
    chain: tuple[int, str]  # number and hash of the newest manifest
    ledger: tuple[int, str]  # of the erasure ledger
    audit: tuple[int, str]  # of the audit log
    versions: Mapping[str, str]  # program to version
    recovery_covers_keys: bool | None  # the recovery copy opens every token; None: not looked at
    failures: tuple[str, ...] = ()  # sentences

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it proves nothing, in sentences; none if it passed."""
        found = [*self.failures]
        if not self.restored and not found:
            found.append("no backup was restored")
        if not self.erased_absent and not found:
            found.append("somebody who was erased is in it again")
        if self.recovery_covers_keys is False and not found:
            found.append("the recovery copy lacks keys that the data needs")
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Whether the drill proved that the shop can be restored."""
        return not self.problems

    @property
    def sentence(self) -> str:
        """What was proven, or that nothing was, in one sentence."""
        day, place = _day(self.at), self.place
        if not self.passed:
            number = _counted(len(self.problems), "problem")
            return f"Nothing is proven: the drill on {day} from {place} found {number}."
        what = "customer" if "customers" in self.rows else "row"
        number = _counted(self.rows.get("customers", sum(self.rows.values())), what)
        took, age = _lasted(self.took), _lasted(self.age, whole=True)
        return f"Restored {number} on {day} in {took} from {place}; the data was {age} old."


def to_json(drill: Drill, sign: Callable[[bytes], bytes], public_key: bytes) -> bytes:
    """Return the signed certificate for programs.

    Args:
        drill: What to certify, also if it failed.
        sign: Makes an Ed25519 signature, such as ``keyring.sign``.
        public_key: Its public half, 32 bytes.

    Raises:
        BadDrill: A time has no zone, or a number is below 0.
        Forged: *sign* and *public_key* do not belong together.
    """
    content = {"drill": _plain(drill), "format": FORMAT, "public_key": public_key.hex()}
    message = _canonical(content | {"what": WHAT})
    signature = sign(message)
    _prove(public_key, signature, message)
    return _canonical(content | {"what": WHAT, "signature": signature.hex()})


def read(data: bytes, public_keys: Collection[bytes]) -> Drill:
    """Return what a certificate tells, if one of the shop's keys signed it.

    Args:
        data: The record, as `to_json` made it.
        public_keys: 32 bytes each: of the signing key, and of those that it replaced.

    Raises:
        BadCertificate: It is none, or a newer kit wrote it.
        Forged: It was altered, or none of *public_keys* signed it.
    """
    content = _parsed(data)
    if content.get("what") != WHAT or not isinstance(content.get("format"), int):
        raise BadCertificate("this is no certificate of a restore drill; choose another file")
    if content["format"] != FORMAT:
        raise BadCertificate(f"made by a newer kit: format {content['format']}; update the kit")
    try:
        signature = bytes.fromhex(content.pop("signature"))
        public_key = bytes.fromhex(content["public_key"])
    except (KeyError, TypeError, ValueError):
        raise BadCertificate("the certificate is not signed; look for the one that is") from None
    if public_key not in public_keys:
        raise Forged("somebody else signed this certificate; ask who put it there")
    message = _canonical(content)
    _prove(public_key, signature, message)
    if _canonical(content | {"signature": signature.hex()}) != data:
        raise Forged("the certificate was written anew after it was signed; look for the original")
    try:
        return _drill(content["drill"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise BadCertificate("the certificate lacks something; make a new drill") from None


def _prove(public_key: bytes, signature: bytes, message: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Forged(
            "the signature does not fit: the certificate was altered after it was made"
        ) from None


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _parsed(data: bytes) -> dict[str, Any]:
    def no(text: str) -> NoReturn:
        raise ValueError

    content: Any = None
    if len(data) <= MOST_BYTES:
        try:
            content = json.loads(data.decode("ascii"), parse_constant=no)
        except (ValueError, RecursionError):
            content = None
    if not isinstance(content, dict):
        raise BadCertificate("this is no certificate, or it is cut short; choose another file")
    return content


def _plain(drill: Drill) -> dict[str, Any]:
    numbers = [drill.canaries, drill.canaries_of - drill.canaries, *drill.rows.values()]
    if min(*numbers, drill.took.total_seconds(), drill.age.total_seconds()) < 0:
        raise BadDrill("a number of the drill is below 0; is the clock of this computer right?")
    return {
        "age_s": drill.age.total_seconds(),
        "at": _moment(drill.at),
        "audit": [*drill.audit],
        "canaries": [drill.canaries, drill.canaries_of],
        "chain": [*drill.chain],
        "erased_absent": drill.erased_absent,
        "failures": [*drill.failures],
        "key": drill.key,
        "ledger": [*drill.ledger],
        "place": drill.place,
        "recovery_covers_keys": drill.recovery_covers_keys,
        "restored": [[one.seq, _moment(one.at)] for one in drill.restored],
        "rows": {**drill.rows},
        "shop": drill.shop,
        "took_s": drill.took.total_seconds(),
        "versions": {**drill.versions},
    }


def _drill(told: Mapping[str, Any]) -> Drill:
    def head(name: str) -> tuple[int, str]:
        seq, digest = told[name]
        return int(seq), str(digest)

    canaries, canaries_of = told["canaries"]
    return Drill(
        at=datetime.fromisoformat(told["at"]),
        shop=str(told["shop"]),
        place=str(told["place"]),
        restored=tuple(Restored(s, datetime.fromisoformat(at)) for s, at in told["restored"]),
        key=str(told["key"]),
        rows={str(name): int(number) for name, number in told["rows"].items()},
        canaries=int(canaries),
        canaries_of=int(canaries_of),
        erased_absent=told["erased_absent"] is True,
        took=timedelta(seconds=told["took_s"]),
        age=timedelta(seconds=told["age_s"]),
        chain=head("chain"),
        ledger=head("ledger"),
        audit=head("audit"),
        versions={str(name): str(version) for name, version in told["versions"].items()},
        recovery_covers_keys=told["recovery_covers_keys"],
        failures=tuple(str(text) for text in told["failures"]),
    )


def _moment(at: datetime) -> str:
    if at.utcoffset() is None:
        raise BadDrill("a time has no time zone; hand over aware ones")
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


# ---- the page

CSS = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0 auto;max-width:48rem;padding:1rem;background:#fff;color:#1b1b1b;
font:1rem/1.45 system-ui,"Segoe UI",Roboto,Helvetica,Arial,sans-serif;overflow-wrap:anywhere}
header{border:.25rem solid #0b5d1e;border-radius:.5rem;padding:.75rem 1rem}
header.failed{border-color:#a40000;background:#fdecec}
h1{font-size:1.45rem;line-height:1.3;margin:0 0 .5rem}
header p{margin:0}
strong.verdict{color:#fff;background:#0b5d1e;border-radius:.25rem;padding:.1rem .6rem}
.failed strong.verdict{background:#a40000}
.failed h1{color:#a40000}
h2{font-size:1.1rem;margin:1.1rem 0 .3rem;border-bottom:1px solid #767676}
ul{margin:.3rem 0;padding-left:1.3rem}
.no{color:#a40000;font-weight:bold}
dl{display:grid;grid-template-columns:minmax(9rem,14rem) 1fr;gap:.15rem 1rem;margin:.3rem 0}
dt{color:#4a4a4a}dd{margin:0}
dl.rows{grid-template-columns:repeat(auto-fill,minmax(10rem,1fr))}
dl.rows div{display:flex;justify-content:space-between;gap:.5rem;border-bottom:1px dotted #767676}
code{font:.85em/1.3 ui-monospace,Consolas,monospace}
footer{margin-top:1.2rem;border-top:1px solid #767676;padding-top:.5rem;font-size:.9rem}
.sign{display:flex;gap:1.5rem;margin-top:1.6rem}
.sign span{flex:1;border-top:1px solid #1b1b1b;padding-top:.2rem}
@media(max-width:32rem){dl{grid-template-columns:1fr}dd{margin-bottom:.35rem}
h1{font-size:1.25rem}dl.rows{grid-template-columns:1fr}}
@page{margin:13mm}
@media print{body{max-width:none;padding:0;font-size:9pt;line-height:1.25}h1{font-size:14pt}
h2{font-size:10.5pt;margin-top:.45rem}dl{grid-template-columns:10rem 1fr;gap:.05rem 1rem}
dl.rows{grid-template-columns:repeat(4,1fr)}code{font-size:.78em}footer{margin-top:.6rem}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
STYLE = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE}'; base-uri 'none'; form-action 'none'"
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Restore drill: {verdict}</title>
<style>{css}</style>
</head>
<body>
<header class="{verdict}">
<h1>{sentence}</h1>
<p><strong class="verdict">{said}</strong> {shop} · certificate of a restore drill</p>
</header>
<main>
{sections}
</main>
<footer>
<p>A drill fetches a backup, opens it with a key from paper and looks through what comes out; the
shop itself is not touched. The signed record, from which this page was made, lies beside it under
the same name and ends in .json; "kit backup certificate" says whether it is genuine.</p>
<p class="sign"><span>Read by</span><span>Date</span></p>
</footer>
</body>
</html>
"""


def to_html(drill: Drill) -> str:
    """Return the page: one sheet of paper, no script, nothing fetched.

    Raises:
        BadDrill: As `to_json`.
    """
    _plain(drill)
    heads = {
        "Backup list": drill.chain,
        "Erasure ledger": drill.ledger,
        "Log of who did what": drill.audit,
    }
    numbered = {f"Backup {one.seq}": f"of {_day_and_time(one.at)}" for one in drill.restored}
    done = {
        "Drill": _day_and_time(drill.at),
        "Backups came from": drill.place,
        **dict([*numbered.items()][:MOST_LINES]),
        "Opened with the key of": drill.key,
        "Took": _lasted(drill.took),
        "Age of the data": _lasted(drill.age, whole=True),
    }
    tables = [*sorted(drill.rows.items())][:MOST_TABLES]
    rows = "".join(f"<div><dt>{_e(n)}</dt><dd>{number:,}</dd></div>" for n, number in tables)
    stood = "".join(
        f"<dt>{name}</dt><dd>number {seq:,} <code>{_e(digest)}</code></dd>"
        for name, (seq, digest) in heads.items()
    )
    sections = [
        ("Why it failed", _listed([_problem(text) for text in drill.problems])),
        ("What was done", _facts(done)),
        ("What was checked", _listed(_checks(drill))),
        ("Rows that came back", f'<dl class="rows">{rows}</dl>' if rows else ""),
        ("Where the lists stood", f"<dl>{stood}</dl>"),
        (
            "Programs",
            _e(", ".join(f"{name} {is_}" for name, is_ in sorted(drill.versions.items()))),
        ),
    ]
    return PAGE.format(
        policy=escape(POLICY),
        css=CSS,
        verdict="passed" if drill.passed else "failed",
        said="Passed" if drill.passed else "Failed",
        sentence=_e(drill.sentence),
        shop=_e(drill.shop),
        sections="\n".join(
            f"<section><h2>{h}</h2>{text}</section>" for h, text in sections if text
        ),
    )


def _checks(drill: Drill) -> list[str]:
    """Return what was looked at, each as a list item that says yes or no in words."""
    covers = {
        True: "Yes: the recovery copy holds every key that the data needs",
        False: "No: the recovery copy lacks keys that the data needs",
        None: "Not looked at: whether the recovery copy holds every key that the data needs",
    }[drill.recovery_covers_keys]
    absent = "nobody who was erased is in it"
    found = f"{drill.canaries:,} of {_counted(drill.canaries_of, 'marked customer')} found again"
    if not drill.restored:
        return ["Nothing came back that could be looked through"]
    told = [
        f"Yes: {absent}" if drill.erased_absent else f"Not shown: that {absent}",
        covers,
        found if drill.canaries_of else "No marked customers to look for",
    ]
    return [
        f'<span class="no">{t}</span>' if t.startswith(("No:", "Not shown")) else t for t in told
    ]


def _problem(text: str) -> str:
    return f'<span class="no">{_e(text[:1].upper() + text[1:])}</span>'


def _listed(items: list[str]) -> str:
    more = len(items) - MOST_LINES
    shown = items[:MOST_LINES] + (
        [f"and {more:,} more, which the record names"] if more > 0 else []
    )
    return "<ul>" + "".join(f"<li>{item}</li>" for item in shown) + "</ul>" if shown else ""


def _facts(facts: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{_e(k)}</dt><dd>{_e(v)}</dd>" for k, v in facts.items()) + "</dl>"


def _e(text: str) -> str:
    """Return text that can do no harm in a page, nor turn the words around it."""
    kept = "".join(
        c if unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    return f"<bdi>{escape(kept)}</bdi>"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _day(at: datetime) -> str:
    return f"{at.day} {MONTHS[at.month - 1]} {at.year}"


def _day_and_time(at: datetime) -> str:
    return f"{_day(at)}, {at:%H:%M} {at.tzname()}"


def _lasted(time: timedelta, *, whole: bool = False) -> str:
    """Say a length of time in one or two units; *whole*: without parts of a minute."""
    seconds = time.total_seconds()
    units: Iterable[tuple[str, int]] = (("day", 86400), ("hour", 3600), ("minute", 60))
    if not whole and seconds < 60:
        return f"{seconds:.1f} seconds"
    for name, length in units:
        if seconds >= 2 * length or (name == "minute" and seconds >= length):
            return _counted(int(seconds // length), name)
    return "less than a minute"
