# SPDX-License-Identifier: MIT-0
"""Let customers go: by mistake and back again, because their time is over, or because they ask."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from kit import erasure, history, periods, retention, rows, trash
from kit import store as database
from kit.backup_state import Home
from kit.shop import TELLING, NotAllowed, Shop

MAY = ("owner", "manager")  # roles that remove customers
HISTORY_DAYS = 365  # how long it can be asked who changed what
Progress = Callable[[int, int], None]


class RemovalsError(Exception):
    """Base of the error below."""


class Remains(RemovalsError):
    """Everything is deleted, but the files are not clean yet."""


@dataclass(frozen=True)
class Expired:
    """What an expiry did, beside the rows and cells: old deletions, old history, old yeses."""

    done: retention.Done
    trash: int
    history: int
    consents: int  # that had run out; what waited for them goes the next time


def allow(shop: Shop, actor: str, action: str, now: datetime) -> None:
    """Refuse whoever may not remove customers, and log that it was tried."""
    role = shop.settings.role(actor)
    if role not in MAY:
        with shop.writing(actor, now) as connection:
            shop.note(connection, actor, action, "proof", now, refused=True)
        raise NotAllowed(f"a {role} removes nobody; ask {' or '.join(MAY)}. It was noted")


def delete(shop: Shop, text: str, *, actor: str, now: datetime) -> trash.Moved:
    """Delete one customer, so that it can be taken back for some days."""
    allow(shop, actor, "delete", now)
    with shop.writing(actor, now) as connection:
        subject = shop.one(connection, text)["customer_id"]
        moved = shop.trash.delete(connection, subject, now=now)
        shop.note(connection, actor, "delete", "proof", now, subject=subject)
    return moved


def undelete(
    shop: Shop, trash_id: str, *, actor: str, now: datetime, leave_out: bool = False
) -> trash.Moved:
    """Bring a deleted customer back, unless they were erased since."""
    allow(shop, actor, "undelete", now)
    with shop.writing(actor, now) as connection:
        moved = shop.trash.undelete(connection, trash_id, now=now, leave_out=leave_out)
        if shop.ledger.erased([moved.subject]):
            raise trash.NotThere("this customer was erased at their own request; nothing came back")
        shop.note(connection, actor, "undelete", "proof", now, subject=moved.subject)
    return moved


def listed(shop: Shop, *, now: datetime) -> list[trash.Entry]:
    """Return what can still be brought back, newest first."""
    with database.begin(shop.engine) as connection:
        return shop.trash.listed(connection, now=now)


def plan_erasure(shop: Shop, text: str, *, now: datetime, actor: str = "") -> erasure.Plan:
    """Say what erasing one customer would remove, what stays and why. Nothing is changed.

    It is a look at somebody's data: where *actor* is named, only who may erase may look, and it is
    logged. Without, the caller sees to that.
    """
    if actor:
        allow(shop, actor, "erase", now)
    with shop.writing(actor, now) if actor else shop.reading() as connection:
        subject = shop.one(connection, text)["customer_id"]
        if actor:
            shop.note(connection, actor, "look", "proof", now, subject=subject)
        return erasure.plan(connection, shop.tables, subject, rules=_books(shop, now))


def erase(shop: Shop, plan: erasure.Plan, *, actor: str, now: datetime) -> erasure.Erased:
    """Erase one customer for good: rows, links, history, trash; then look for remnants.

    First it is written down outside the database, so that a crash is made good by `finish`, and so
    that no backup and no old export brings the customer back.

    Raises:
        Locked: All is erased, but somebody reads the database and still sees it; `finish` later.
        Remains: Something of them is still in a file of the database; `finish` later.
    """
    allow(shop, actor, "erase", now)
    subject = plan.subject
    with shop.writing(actor, now) as connection:
        plan = erasure.plan(connection, shop.tables, subject, rules=plan.rules)  # as it is now
        tokens, values = _terms(shop, connection, plan)
        shop.ledger.begin(subject, now=now)
        done = _erase(shop, connection, plan)
        shop.note(connection, actor, "erase", "proof", now, subject=subject)
    Home(shop.folder).forget_base()  # what backups build on holds them, too
    database.settle(shop.engine)
    if left := _left(shop, tokens, values):
        raise Remains(
            f"something of this customer is still in {', '.join(left)}; close every program that "
            "has the database open, then repeat"
        )
    shop.ledger.done(subject, now=now)
    return done


def finish(shop: Shop, *, actor: str, now: datetime) -> int:
    """Finish erasures that a crash or a reader cut short; return how many."""
    lines = shop.ledger.unfinished()
    wanted = {line.subject for line in lines}
    if not wanted:
        return 0
    _again(shop, wanted, actor, now)
    for line in lines:
        shop.ledger.finish(line, now=now)
    return len(lines)


def replay(shop: Shop, *, actor: str, now: datetime) -> int:
    """Erase again whom a restored copy brought back; return how many there were."""
    return _again(shop, {line.subject for line in shop.ledger.lines()}, actor, now)


def _again(shop: Shop, wanted: set[str], actor: str, now: datetime) -> int:
    """Erase the customers whom the ledger knows by these hashes, wherever they still are."""
    if not wanted:
        return 0
    tokens: set[bytes] = set()
    values: set[str] = set()
    with shop.writing(actor, now) as connection:
        for entry in shop.trash.listed(connection, now=now):
            if shop.ledger.subject(entry.subject) in wanted:  # brought back, their rows are known
                with suppress(trash.TrashError):  # they came back otherwise
                    shop.trash.undelete(connection, entry.trash_id, now=now, leave_out=True)
        ids = connection.scalars(sa.select(shop.tables.tables["customers"].c.customer_id)).all()
        found = [one for one in ids if shop.ledger.subject(one) in wanted]
        for subject in found:
            plan = erasure.plan(connection, shop.tables, subject, rules=_books(shop, now))
            their_tokens, their_values = _terms(shop, connection, plan)
            tokens, values = tokens | their_tokens, values | their_values
            _erase(shop, connection, plan)
            shop.note(connection, actor, "erase", "proof", now, subject=subject)
        deleted = connection.scalars(sa.select(shop.tables.tables["kit_trash"].c.subject)).all()
        for subject in {one for one in deleted if shop.ledger.subject(one) in wanted}:
            shop.trash.forget(connection, subject)
            found.append(subject)
    Home(shop.folder).forget_base()  # what backups build on holds them, too
    database.settle(shop.engine)
    if left := _left(shop, tokens, values):
        raise Remains(
            f"something of erased customers is still in {', '.join(left)}; close every program "
            "that has the database open, then repeat"
        )
    return len(found)


def _erase(shop: Shop, connection: sa.Connection, plan: erasure.Plan) -> erasure.Erased:
    done = erasure.erase(connection, shop.tables, plan)
    shop.trash.forget(connection, plan.subject)
    for table, keys in done.keys.items():
        history.forget(connection, table, map(str, keys))  # the deletions themselves too
    return done


def _books(shop: Shop, now: datetime) -> dict[str, erasure.Rule]:
    """Return why sales and payments stay: as long as the inventory keeps them, without the name."""
    today = now.astimezone(shop.settings.zone).date()
    keep = shop.inventory.fields["sales.total_cents"].keep
    books = erasure.Rule("books", "the shop must keep its sales records", keep.until(today))
    rules = {
        name: replace(books, empty=TELLING.get(name, ()))
        for name in ("sales", "lines", "payments", "refunds")
    }
    asked = shop.inventory.fields["privacy_requests.request_id"].keep.until(today)
    proof = erasure.Rule("proof", "it must be shown what was answered", asked)
    return rules | {"privacy_requests": proof}


def _terms(
    shop: Shop, connection: sa.Connection, plan: erasure.Plan
) -> tuple[set[bytes], set[str]]:
    """Return the tokens that go, with rows or out of them, and what they hold, to search for."""
    tokens: set[bytes] = set()
    values: set[str] = set()
    for name, keys in (*plan.going.items(), *plan.emptied.items()):
        table = shop.tables.tables[name]
        sealed = shop.sealed_columns(name)
        found = rows.find(connection, table, {next(iter(table.primary_key)).name: keys})
        tokens |= {row[column] for row in found for column in sealed if row[column]}
        for plain in shop.opened(name, found):
            values |= {str(plain[c]) for c in sealed if plain[c] and len(str(plain[c])) > 7}
    return tokens, values


def _left(shop: Shop, tokens: set[bytes], values: set[str]) -> dict[str, int]:
    """Return the files in which something of them is left, if it is not somebody else's too."""
    files = shop.files()
    left = erasure.search(files, tokens | {value.encode() for value in values})
    if left and values:
        with shop.reading() as connection:
            own = {v for v in values if not erasure.in_the_clear(connection, shop.tables, v)}
        left = erasure.search(files, tokens | {value.encode() for value in own})
    return left


def plan_expiry(shop: Shop, *, now: datetime) -> retention.Plan:
    """Say what has to go by now, by the inventory's rules. Nothing is changed."""
    keep = {name: field.keep for name, field in shop.inventory.fields.items()}
    with database.begin(shop.engine) as connection:
        days = periods.Days(shop.tables, now=now, zone=shop.settings.zone)
        return retention.plan(connection, shop.tables, keep, days)


def expire(
    shop: Shop,
    plan: retention.Plan,
    *,
    actor: str,
    now: datetime,
    progress: Progress | None = None,
) -> Expired:
    """Let go of what was planned, of deletions past their window, and of history past its year.

    Raises:
        Changed: Something happened since the plan; look at a new one.
        Remains: All is deleted, but somebody has the database open and sees old pages.
    """
    from kit import counter  # pandas, slow to load

    allow(shop, actor, "expire", now)

    def also(
        connection: sa.Connection, table: str, columns: tuple[str, ...], keys: list[Any]
    ) -> None:
        history.forget(connection, table, map(str, keys))  # its tokens are of what has to go
        shop.note(connection, actor, "expire", "proof", now, filter=table, count=len(keys))

    with shop.writing(actor, now) as connection:
        emptied = shop.trash.empty(connection, now=now)
        trimmed = history.trim(connection, before=now - timedelta(days=HISTORY_DAYS))
        over = counter.run_out(shop, connection, now=now)
        done_now = (("kit_trash", emptied), ("kit_history", trimmed), ("consents", over))
        for what, count in done_now:
            if count:
                shop.note(connection, actor, "expire", "proof", now, filter=what, count=count)
    try:
        with shop.engine.connect() as connection:
            done = retention.expire(
                connection,
                plan,
                progress=progress,
                acting=lambda c: history.acting(c, actor, now=now),
                also=also,
            )
    finally:  # also when somebody still reads: all is deleted then, and backups build on a copy
        Home(shop.folder).forget_base()
    return Expired(done, emptied, trimmed, over)
