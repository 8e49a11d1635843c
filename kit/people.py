# SPDX-License-Identifier: MIT-0
"""Make up people and places for a shop, none of whom can be called, written to or visited.

Copy: ``kit copy generate people trade --into DIR``, or take these files as they are.
Needs: Python 3.11, numpy, pyarrow. Nothing else from this kit.
Data: none.

Hand `People` to ``generate.Shop`` as one of its parts. It makes stores, employees, suppliers,
customers, addresses, consents and privacy requests: each maker takes row numbers and returns
columns of whole numbers, which the shop writes as text, dates and times.

- E-mail: example.com, .net and .org only (RFC 2606). The customer's number in it makes it unique.
- Telephone: in the USA 555-0100 to 555-0199, set aside for fiction, in each of 359 area codes; in
  the United Kingdom Ofcom's numbers for drama. After those, and everywhere else, +1 N9X: an area
  code whose second digit is 9 is never given out. No number is used twice.
- A consent is given, confirmed and withdrawn, in this order; the flag `accepts_email` says how it
  stands on the last day. Somebody without an e-mail address has not accepted any.
- Customers are numbered in the order of signing up. Some neighbours in the list share a home.

Source: North American Numbering Plan (555 line numbers; N9X reserved for expansion); Ofcom,
"Telephone numbers for use in TV and radio drama programmes".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Columns = dict[str, Any]  # whole numbers, or Arrow text, one array per column

NULL = int(np.iinfo(np.int64).min)  # stands for "no value"; same as in generate.py
DAY, MICRO = 86_400, 1_000_000  # seconds; microseconds
STAFF = 3  # people in each store; same as in trade.py
OVERFLOW = 640_000_000  # numbers +1 N9X NXX XXXX: 80 area codes, 800 exchanges, 10,000 lines
FIRST_NUMBER = {"stores": 0, "employees": 60, "suppliers": 240, "customers": 300}  # of each table
ADULT_DAYS = 23_700  # birthdays from 1940 to 2004
FROM_1940 = -10_957  # days from 1970 to 1940


class Drawing(Protocol):
    """What is used of the shop: its size, its days, its lists, and draws by column and row."""

    customers: int
    stores: int
    seed: int
    locale: str
    country: str
    law: dict[str, Any]
    map: dict[str, Any]
    pools: Mapping[str, list[str]]
    lists: dict[str, Any]
    first_day: int
    epoch_day: int
    midnight: Ints
    end: int

    def below(self, column: str, rows: Ints, n: int | Ints) -> Ints:
        """Draw a number below *n* for each row."""

    def share(self, name: str, rows: Ints) -> Flags:
        """Flag a share of the rows."""

    def pick(self, name: str, column: str, rows: Ints) -> Ints:
        """Draw by weight."""

    def spread(self, rows: int) -> Ints:
        """Share rows out to days."""

    def moment(self, column: str, first: Ints, rows: Ints) -> tuple[Ints, Ints]:
        """Return day and second of spread rows."""

    def utc(self, day: Ints, second: Ints) -> Ints:
        """Return microseconds since 1970."""


def shuffled(i: Ints, n: int, start: int) -> Ints:
    """Give each *i* below *n* another place below *n*: no two the same, and no list kept."""
    step = next(prime for prime in (26_573_219, 15_485_863, 104_729) if n % prime)
    return (i * step + start) % n


def plain(name: str) -> str:
    """Return the letters a to z of a name, for an e-mail address: "Zoë" becomes "zoe"."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "".join(letter for letter in letters if letter.isalpha())


class People:
    """The people around a shop; see the module's first lines."""

    def __init__(self, shop: Drawing) -> None:
        self._shop = shop
        self._first, self._last = (
            pa.array([plain(name) for name in shop.pools[kind]]) for kind in ("first", "last")
        )
        self._has_latin_names = not pc.any(pc.equal(self._first, "")).as_py()
        self._has_latin_names &= not pc.any(pc.equal(self._last, "")).as_py()
        self._sign_ups = shop.spread(shop.customers)
        self._safe = np.zeros(0, np.int64)  # numbers that are set aside for fiction
        if shop.country == "US":
            codes = np.array(shop.map["area_codes"])
            self._safe = (10_005_550_100 + codes[:, None] * 10**7 + np.arange(100)).ravel()
        elif shop.country == "GB":
            self._safe = (np.array(shop.map["uk_drama"])[:, None] + np.arange(1_000)).ravel()
        self.tables: dict[str, tuple[int, Callable[[Ints], Columns]]] = {
            "stores": (shop.stores, self._stores),
            "employees": (shop.stores * STAFF, self._employees),
            "suppliers": (shop.law["suppliers"], self._suppliers),
            "customers": (shop.customers, self._customers),
            "addresses": (shop.customers, self._addresses),
            "consents": (shop.customers, self._consents),
            "privacy_requests": (1 + shop.customers // 200, self._privacy_requests),
        }

    def _stores(self, i: Ints) -> Columns:
        place = self._place("stores", i)
        return place | {"store_id": i, "name": i, "phone": self._phone("stores", i)}

    def _employees(self, i: Ints) -> Columns:
        shop = self._shop
        first = shop.below("employees.first_name", i, 4_000)
        last = shop.below("employees.last_name", i, 4_000)
        raises = shop.below("employees.hourly_pay_cents", i, 25)
        return {
            "employee_id": i,
            "store_id": i // STAFF,
            "first_name": first,
            "last_name": last,
            "email": self._email("e", i, first, last),
            "phone": self._phone("employees", i),
            "role": i % STAFF,
            "hired_on": shop.epoch_day
            + shop.first_day
            - 30
            - shop.below("employees.days", i, 2_000),
            "hourly_pay_cents": 1_600 + 25 * raises + 700 * (i % STAFF == 0),
        }

    def _suppliers(self, i: Ints) -> Columns:
        return self._place("suppliers", i) | {
            "supplier_id": i,
            "name": self._shop.below("suppliers.name", i, 300),
            "email": self._email("orders", i),
            "phone": self._phone("suppliers", i),
        }

    def _customers(self, i: Ints) -> Columns:
        shop = self._shop
        first = shop.below("customers.first_name", i, 4_000)
        last = shop.below("customers.last_name", self._home(i), 4_000)
        created, has_email, has_phone = self._contact(i)
        born = FROM_1940 + shop.below("customers.birthday", i, ADULT_DAYS)
        company = shop.below("customers.company", i, 300)
        note = shop.below("customers.note", i, len(shop.lists["notes"]))
        email = self._email("c", i[has_email], first[has_email], last[has_email])
        return {
            "customer_id": i,
            "first_name": first,
            "last_name": last,
            "email": email.take(pa.array(np.cumsum(has_email) - 1, mask=~has_email)),
            "phone": np.where(has_phone, self._phone("customers", i), NULL),
            "birthday": np.where(shop.share("birthday_percent", i), born, NULL),
            "company": np.where(shop.share("company_percent", i), company, NULL),
            "accepts_email": self._consent("email", i, created, has_email)[1],
            "accepts_sms": self._consent("sms", i, created, has_phone)[1],
            "note": np.where(shop.share("note_percent", i), note, NULL),
            "created_at": created,
        }

    def _addresses(self, i: Ints) -> Columns:
        home = self._shop.share("home_percent", i)
        delivery = self._shop.share("delivery_percent", i)
        row, kind = np.nonzero(np.stack([home, delivery], axis=1))
        number = i[row] * 2 + kind
        where = np.where(kind == 0, self._home(i[row]) * 2, number)  # a household has one home
        return self._place("addresses", where) | {
            "address_id": number,
            "customer_id": i[row],
            "kind": kind,
        }

    def _consents(self, i: Ints) -> Columns:
        shop = self._shop
        created, has_email, has_phone = self._contact(i)
        email, _ = self._consent("email", i, created, has_email)
        sms, _ = self._consent("sms", i, created, has_phone)
        times = np.concatenate([email, sms], axis=1)
        row, step = np.nonzero(times != NULL)
        number = i[row] * 6 + step
        changed = (shop.law["new_wording"] - shop.law["first_sign_up"]).days
        return {
            "consent_id": number,
            "customer_id": i[row],
            "channel": step // 3,
            "purpose": step * 0,
            "event": step % 3,
            "wording": (created[row] >= shop.midnight[changed] * MICRO).astype(np.int64),
            "source": shop.below("consents.source", number, 3),
            "happened_at": times[row, step],
        }

    def _privacy_requests(self, i: Ints) -> Columns:
        shop = self._shop
        who = shuffled(i, shop.customers, shop.seed % shop.customers)
        created, _, _ = self._contact(who)
        kind = shop.below("privacy_requests.kind", i, 4)
        wait = shop.below("privacy_requests.wait", i, (shop.end - created) // MICRO)
        answer = 1 + shop.below("privacy_requests.answer", i, 40 * DAY)
        received = created + wait * MICRO
        answered = received + answer * MICRO
        done = answered < shop.end
        # a customer who was deleted would not be here: those requests were refused
        refused = (kind == 1) | (shop.below("privacy_requests.status", i, 20) == 0)
        return {
            "request_id": i,
            "customer_id": who,
            "kind": kind,
            "status": np.where(done, 1 + refused, 0),
            "received_at": received,
            "answered_at": np.where(done, answered, NULL),
        }

    # --- what several tables need

    def _contact(self, i: Ints) -> tuple[Ints, Flags, Flags]:
        """Return when customers signed up, and who left an e-mail address and a phone number."""
        created = self._shop.utc(*self._shop.moment("customers.created_at", self._sign_ups, i))
        left = self._shop.pick("contacts", "customers.contact", i)
        return created, (left == 1) | (left == 2), left < 2

    def _consent(self, channel: str, i: Ints, created: Ints, has: Flags) -> tuple[Ints, Flags]:
        """Return when it was given, confirmed and withdrawn, and whether it stands at the end."""
        shop, name = self._shop, f"consents.{channel}"
        given = has & (shop.below(f"{name}.given", i, 100) < shop.law["given_percent"])
        confirmed_at = created + (60 + shop.below(f"{name}.delay", i, 2 * DAY)) * MICRO
        withdrawn_at = confirmed_at + (DAY + shop.below(f"{name}.lasts", i, 700 * DAY)) * MICRO
        confirms = shop.below(f"{name}.confirmed", i, 100) < shop.law["confirmed_percent"]
        withdraws = shop.below(f"{name}.withdrawn", i, 100) < shop.law["withdrawn_percent"]
        confirmed = given & confirms & (confirmed_at < shop.end)
        withdrawn = confirmed & withdraws & (withdrawn_at < shop.end)
        events = ((given, created), (confirmed, confirmed_at), (withdrawn, withdrawn_at))
        times = np.stack([np.where(flag, at, NULL) for flag, at in events], axis=1)
        return times, confirmed & ~withdrawn

    def _home(self, i: Ints) -> Ints:
        """Return the customer whose last name and home address count: yours, or a neighbour's."""
        together = self._shop.share("household_percent", i // 2)
        return np.where(together, i // 2 * 2, i)

    def _place(self, table: str, i: Ints) -> Columns:
        shop = self._shop
        place = shop.below(f"{table}.place", i, 1_000)
        street = shop.lists["street"].take(pa.array(shop.below(f"{table}.street", i, 4_000)))
        house = pa.array(1 + shop.below(f"{table}.house", i, 240)).cast(pa.string())
        number_first = shop.locale.partition("_")[0] in shop.map["number_first"]
        both = (house, street) if number_first else (street, house)
        return {
            "street": pc.binary_join_element_wise(*both, " "),
            "city": place,
            "region": place,
            "postcode": place,
            "country": i * 0,
            "time_zone": i * 0,
        }

    def _phone(self, table: str, i: Ints) -> Ints:
        i = i + FIRST_NUMBER[table]
        n = shuffled(i, OVERFLOW, self._shop.seed % OVERFLOW)
        area = (2 + n // 80_000_000) * 100 + 90 + n // 8_000_000 % 10
        number = 10**10 + area * 10**7 + (200 + n // 10_000 % 800) * 10_000 + n % 10_000
        few = np.flatnonzero(i < len(self._safe))
        if few.size:
            start = self._shop.seed % len(self._safe)
            number[few] = self._safe[shuffled(i[few], len(self._safe), start)]
        return np.asarray(number)

    def _email(self, tag: str, i: Ints, first: Ints | None = None, last: Ints | None = None) -> Any:
        """Return ``first.last.c42@example.com``, or ``c42@example.com`` for other alphabets."""
        local = pc.binary_join_element_wise(tag, pa.array(i).cast(pa.string()), "")
        if first is not None and last is not None and self._has_latin_names:
            names = self._first.take(pa.array(first)), self._last.take(pa.array(last))
            local = pc.binary_join_element_wise(*names, local, ".")
        ends = pa.array(["example.com", "example.net", "example.org"])
        end = ends.take(pa.array(self._shop.below(f"email.{tag}", i, 3)))
        return pc.binary_join_element_wise(local, end, "@")
