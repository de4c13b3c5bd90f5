"""What keeps writers with an old memory from storing anything under a pseudonym that is nobody's any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from personalization.errors import NotFound
from personalization.recent import Recent
from personalization.storage.rules import RECENT_TOMBSTONES
from personalization.storage.sql.engine import Database, Sql, Transaction
from personalization.storage.sql.head import Head
from personalization.storage.sql.packing import unpack
from personalization.storage.sql.schema import events, log_heads
from personalization.storage.sql.users import SqlUsers

_REMEMBERED = 10_000
_TOMBSTONE = Sql(
    sa.select(events.c.user_ref, events.c.body).where(
        events.c.tenant_id == sa.bindparam("tenant"), events.c.seq == sa.bindparam("seq")
    )
)
_NEWEST = Sql(sa.select(log_heads.c.erased).where(log_heads.c.tenant_id == sa.bindparam("tenant")))

#: Appends prepared items to the log, one result each.
Append = Callable[[Transaction, Head, Sequence[Any]], list[Any]]


class Fence:
    """The locked head of a tenant's log names the newest tombstone, and each tombstone the one before. So whoever holds
    the lock learns for the price of comparing two numbers whether somebody left, and whom to refuse."""

    def __init__(self, database: Database, users: SqlUsers) -> None:
        self._database, self._users = database, users
        self._seen: dict[str, int] = {}
        self._gone: Recent[tuple[str, bytes], bool] = Recent(_REMEMBERED)

    def stands(self, transaction: Transaction, head: Head) -> bool:
        """Whether anybody left this tenant; those who left since the last look are forgotten by this process."""
        return self._look(transaction, head.tenant_id, head.erased)

    def nothing(self, tenant_id: str, user_ref: bytes) -> bytes | None:
        """What is sealed for a pseudonym without a key: nothing, if it had one and will be refused. Raises NotFound when it
        never had."""
        with self._database.read() as transaction:
            newest = transaction.rows(_NEWEST, (tenant_id,))
            if newest:
                self._look(transaction, tenant_id, int(newest[0][0]))
        if not self.refuses(tenant_id, user_ref):
            raise NotFound("user")
        return None

    def _look(self, transaction: Transaction, tenant_id: str, newest: int) -> bool:
        seen = self._seen.get(tenant_id, 0)
        if newest > seen:
            left = departed(transaction, tenant_id, newest, self._seen.get(tenant_id))
            for user_ref in left:
                self._gone.put((tenant_id, user_ref), True)
            self._users.forget(tenant_id, left)
            self._seen[tenant_id] = newest
        return newest > 0

    def refuses(self, tenant_id: str, user_ref: bytes | None) -> bool:
        return user_ref is not None and self._gone.get((tenant_id, user_ref)) is not None

    def around(self, append: Append, ref_of: Callable[[Any], bytes | None], gone: Any) -> Append:
        """`append` that answers `gone` for items under a pseudonym that is nobody's."""

        def fenced(transaction: Transaction, head: Head, items: Sequence[Any]) -> list[Any]:
            if not self.stands(transaction, head):
                return append(transaction, head, items)
            refused = [self.refuses(head.tenant_id, ref_of(item)) for item in items]
            kept = iter(append(transaction, head, [item for item, no in zip(items, refused, strict=True) if not no]))
            return [gone if no else next(kept) for no in refused]

        return fenced


def departed(transaction: Transaction, tenant_id: str, newest: int, after: int | None) -> list[bytes]:
    """Pseudonyms of the tombstones after `after`, newest first; without it the last few hundred."""
    found: list[bytes] = []
    at = newest
    while at > (after or 0) and (after is not None or len(found) < RECENT_TOMBSTONES):
        rows = transaction.rows(_TOMBSTONE, (tenant_id, at))
        if not rows or rows[0][0] is None:
            break
        found.append(rows[0][0])
        at = int(unpack(rows[0][1])["previous"])
    return found
