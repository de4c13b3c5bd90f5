"""The end of a tenant's log inside a transaction, and the rows the engine itself puts there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from personalization.errors import NotFound
from personalization.messages import LogEntry
from personalization.storage.sql.engine import Sql, Transaction
from personalization.storage.sql.packing import pack
from personalization.storage.sql.schema import events, log_heads

_LOCK = Sql(
    sa.select(log_heads.c.head, log_heads.c.erased).where(log_heads.c.tenant_id == sa.bindparam("tenant")).with_for_update()
)
_MOVE = Sql(
    sa.update(log_heads)
    .values(head=sa.bindparam("new_head", type_=sa.BigInteger))
    .where(log_heads.c.tenant_id == sa.bindparam("tenant"))
)


class Head:
    """Counts up; the row lock it stands for makes sequence order commit order. erased: number of the newest tombstone."""

    def __init__(self, transaction: Transaction, tenant_id: str, seq: int, erased: int) -> None:
        self.tenant_id = tenant_id
        self.seq, self.erased = seq, erased
        self._transaction = transaction
        self._rows: list[tuple[Any, ...]] = []

    def take(self) -> int:
        self.seq += 1
        return self.seq

    def append(
        self, type_: str, at: int, body: Mapping[str, Any], recorded_at: int | None = None, user_ref: bytes | None = None
    ) -> None:
        """One of the engine's own rows."""
        recorded_at = at if recorded_at is None else recorded_at
        self.append_entry(LogEntry(seq=self.take(), type=type_, at=at, recorded_at=recorded_at, user_ref=user_ref, body=body))

    def append_entry(self, entry: LogEntry) -> None:
        """A row whose number was taken from here."""
        self._rows.append(event_row(self.tenant_id, entry))

    def flush(self) -> None:
        self._transaction.insert(events, self._rows)


@contextmanager
def locked_head(transaction: Transaction, tenant_id: str) -> Iterator[Head]:
    """The head of that tenant's log, locked until the transaction ends and written back when the block does.
    Raises NotFound for an unknown tenant. Several tenants in sorted order only."""
    found = transaction.rows(_LOCK, (tenant_id,))
    if not found:
        raise NotFound("tenant")
    head = Head(transaction, tenant_id, int(found[0][0]), int(found[0][1]))
    yield head
    if head.seq != found[0][0]:
        head.flush()
        transaction.run(_MOVE, (head.seq, tenant_id))


def event_row(tenant_id: str, entry: LogEntry, sealed_words: bytes | None = None) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        tenant_id,
        entry.seq,
        entry.recorded_at,
        str(entry.type),
        entry.at,
        entry.user_ref,
        entry.decision_id,
        entry.template_id,
        entry.channel,
        entry.name,
        entry.value,
        entry.currency,
        entry.zone_offset,
        entry.active,
        sealed_words,
        None if entry.body is None else pack(entry.body),
    )
