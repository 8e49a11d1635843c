# SPDX-License-Identifier: MIT-0
"""Let customers go: by mistake and back again, because their time is over, or because they ask."""

from __future__ import annotations

from datetime import datetime

from kit import store as database
from kit import trash
from kit.shop import Shop


def delete(shop: Shop, text: str, *, actor: str, now: datetime) -> trash.Moved:
    """Delete one customer, so that it can be taken back for some days."""
    with shop.writing(actor, now) as connection:
        subject = shop.one(connection, text)["customer_id"]
        moved = shop.trash.delete(connection, subject, now=now)
        shop.note(connection, actor, "delete", "proof", now, subject=subject)
    return moved


def undelete(
    shop: Shop, trash_id: str, *, actor: str, now: datetime, leave_out: bool = False
) -> trash.Moved:
    """Bring a deleted customer back, unless they were erased since."""
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
