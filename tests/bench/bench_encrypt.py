"""Column encryption: the kit against pandas with Fernet, Tink and SQLAlchemy-Utils, in one run.

Run with `python3 start.py bench`, or this file alone. The goals: 8 times as fast as
`pandas.apply(Fernet.encrypt)`, and at most 2.2 times the bare AES-GCM loop, both ways.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from dataclasses import dataclass

import pandas as pd
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Unicode
from sqlalchemy_utils import StringEncryptedType
from sqlalchemy_utils.types.encrypted.encrypted_type import AesEngine, AesGcmEngine

from kit import encrypt

CELLS = 200_000
RUNS = 5  # interleaved, the best of each counts: the machine may be busy with other things
FERNET_GOAL = 8.0
BARE_GOAL = 2.2
SLOW = 10  # the per-cell libraries see a tenth of the cells


@dataclass(frozen=True)
class Key:
    """A key of the keyring below."""

    id: int
    secret: bytes


class Ring:
    """A keyring of one key for each purpose."""

    def __init__(self) -> None:
        self.keys = {"field": Key(7, os.urandom(32)), "deterministic": Key(8, os.urandom(64))}

    def primary(self, purpose: str) -> Key:
        """Return the only key."""
        return self.keys[purpose]

    def find(self, purpose: str, key_id: int) -> Key:
        """Return it again."""
        return self.keys[purpose]


def tinks(ring: Ring) -> dict[str, object]:
    """Return Tink's two primitives over the same keys, or none where it is not installed."""
    try:
        import tink
        from tink import aead, daead, secret_key_access
    except ImportError:
        return {}
    aead.register()
    daead.register()
    made = {}
    for purpose, name, head, kind in (
        ("field", "AesGcmKey", b"\x1a\x20", aead.Aead),
        ("deterministic", "AesSivKey", b"\x12\x40", daead.DeterministicAead),
    ):
        key = ring.primary(purpose)
        data = {
            "typeUrl": f"type.googleapis.com/google.crypto.tink.{name}",
            "value": base64.b64encode(head + key.secret).decode(),
            "keyMaterialType": "SYMMETRIC",
        }
        entry = {"keyData": data, "status": "ENABLED", "keyId": key.id, "outputPrefixType": "TINK"}
        keyset = json.dumps({"primaryKeyId": key.id, "key": [entry]})
        handle = tink.json_proto_keyset_format.parse(keyset, secret_key_access.TOKEN)
        made[purpose] = handle.primitive(kind)
    return made


class Work:
    """The same cells for everyone, and each way to seal and to open them."""

    def __init__(self) -> None:
        names = [f"customer {number:06}@example.com" for number in range(CELLS)]
        self.values = [name[:25] for name in names]
        self.rows = [str(number) for number in range(CELLS)]
        self.series = pd.Series(self.values)
        self.place = {"table": "customers", "column": "email"}
        self.cipher = encrypt.Cipher(Ring())
        self.tokens = self.cipher.seal_column(self.values, rows=self.rows, **self.place)
        self.siv = self.cipher.seal_column(self.values, deterministic=True, **self.place)
        self.fernet = Fernet(Fernet.generate_key())
        self.fernets = self.series.apply(self.fernet_one)
        self.aead = AESGCM(os.urandom(32))
        self.plain = [value.encode() for value in self.values]
        self.nonces = [os.urandom(12) for _ in range(CELLS)]
        self.sealed = self.bare_seal()
        self.few = self.values[: CELLS // SLOW]
        self.tinks = tinks(self.cipher._keys)
        self.columns = {  # what SQLAlchemy calls for each cell of such a column
            "AES": StringEncryptedType(Unicode, "a made-up passphrase", AesEngine, "pkcs5"),
            "GCM": StringEncryptedType(Unicode, "a made-up passphrase", AesGcmEngine),
        }
        self.column_tokens = {
            name: [column.process_bind_param(value, None) for value in self.few]
            for name, column in self.columns.items()
        }

    def fernet_one(self, value: str) -> bytes:
        """Encrypt as most tutorials do."""
        return self.fernet.encrypt(value.encode())

    def bare_seal(self) -> list[bytes]:
        """Encrypt with everything ready, the floor of any Python loop."""
        return [
            self.aead.encrypt(nonce, plain, None)
            for nonce, plain in zip(self.nonces, self.plain, strict=True)
        ]

    def bare_open(self) -> list[bytes]:
        """Decrypt likewise."""
        return [
            self.aead.decrypt(nonce, sealed, None)
            for nonce, sealed in zip(self.nonces, self.sealed, strict=True)
        ]

    def ways(self):
        """Yield name, cells, sealing and opening of each."""
        cipher, place, rows = self.cipher, self.place, self.rows
        yield (
            "kit, a column",
            CELLS,
            lambda: cipher.seal_column(self.values, rows=rows, **place),
            lambda: cipher.unseal_column(self.tokens, rows=rows, **place),
        )
        yield (
            "kit, deterministic",
            CELLS,
            lambda: cipher.seal_column(self.values, deterministic=True, **place),
            lambda: cipher.unseal_column(self.siv, deterministic=True, **place),
        )
        yield "bare AES-GCM loop", CELLS, self.bare_seal, self.bare_open
        yield (
            "pandas.apply(Fernet)",
            CELLS,
            lambda: self.series.apply(self.fernet_one),
            lambda: self.fernets.apply(lambda token: self.fernet.decrypt(token).decode()),
        )
        if self.tinks:
            gcm, siv = self.tinks["field"], self.tinks["deterministic"]
            few, few_plain = self.tokens[: len(self.few)], self.plain[: len(self.few)]
            places = [f"customers.email.{row}".encode() for row in rows[: len(self.few)]]
            yield (
                "Tink AES-GCM",
                len(few),
                lambda: [gcm.encrypt(p, at) for p, at in zip(few_plain, places, strict=True)],
                lambda: [gcm.decrypt(t, at) for t, at in zip(few, places, strict=True)],
            )
            yield (
                "Tink AES-SIV",
                len(few),
                lambda: [siv.encrypt_deterministically(p, b"customers.email") for p in few_plain],
                lambda: [
                    siv.decrypt_deterministically(t, b"customers.email")
                    for t in self.siv[: len(few)]
                ],
            )
        for name, column in self.columns.items():
            yield (
                f"SQLAlchemy-Utils {name}",
                len(self.few),
                lambda column=column: [column.process_bind_param(v, None) for v in self.few],
                lambda column=column, name=name: [
                    column.process_result_value(t, None) for t in self.column_tokens[name]
                ],
            )


def seconds(work) -> float:
    """Return the processor time of one call, so that a busy machine tells the same."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> int:
    """Compare in one run; fail when a goal is missed."""
    work = Work()
    assert work.cipher.unseal_column(work.tokens, rows=work.rows, **work.place) == work.values
    ways = list(work.ways())
    best = {name: [float("inf"), float("inf")] for name, *_ in ways}
    for _ in range(RUNS):
        for name, cells, seal, unseal in ways:
            for way, call in enumerate((seal, unseal)):
                best[name][way] = min(best[name][way], seconds(call) / cells * 1e6)
    ours, bare, fernet = (best[ways[i][0]] for i in (0, 2, 3))
    print(f"{CELLS:,} cells of 25 characters, best of {RUNS}, microseconds a cell")
    print(f"{'':26}{'seal':>8}{'unseal':>8}   kit is faster by")
    for name, (seal, unseal) in best.items():
        ratios = f"{seal / ours[0]:8.1f}{unseal / ours[1]:8.1f}"
        print(f"  {name:24}{seal:8.2f}{unseal:8.2f}   {ratios}")
    print(f"goals: {FERNET_GOAL:.0f} times as fast as Fernet, {BARE_GOAL} times the bare loop")
    met = True
    for way, verb in enumerate(("seal", "unseal")):
        faster, times = fernet[way] / ours[way], ours[way] / bare[way]
        print(f"  {verb:8} {faster:.1f} times as fast, {times:.2f} times the bare loop")
        met &= faster >= FERNET_GOAL and times <= BARE_GOAL
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
