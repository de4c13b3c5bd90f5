"""The tenant's one gapless sequence of events and decisions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from personalization.errors import Conflict, NotFound
from personalization.messages import LogEntry
from personalization.sealing import Cipher
from personalization.storage.base import GONE, DecisionOutcome, Mark, NewDecision, NewEvent, Reservation, StoredDecision, Summary
from personalization.storage.rules import ACTIVE, DISCARDED, as_turn
from personalization.storage.sql.decisions import (
    FULL,
    LIGHT,
    LOGGED_COLUMNS,
    append_decisions,
    entry_of_decision,
    opened,
    prepare_decisions,
    release,
    reserved,
    stored,
)
from personalization.storage.sql.engine import AT_MOST, Database, Sql, Transaction
from personalization.storage.sql.events import ENTRY_COLUMNS, append_events, append_marks, entry_of_event, prepare_events
from personalization.storage.sql.fence import Fence
from personalization.storage.sql.head import locked_head
from personalization.storage.sql.insights import summarise, tallied
from personalization.storage.sql.schema import decisions, events, log_heads
from personalization.storage.sql.tenants import SqlTenants
from personalization.storage.sql.users import SqlUsers
from personalization.storage.sql.writer import GroupCommit
from personalization.vocabulary import LogType

_EVENTS, _DECISIONS, _MARKS = "events", "decisions", "marks"
_NEWEST = 2**62

_HEAD = Sql(sa.select(log_heads.c.head).where(log_heads.c.tenant_id == sa.bindparam("tenant")))


def _onward(table: sa.Table, columns: Iterable[sa.Column[Any]]) -> Sql:
    ours = (table.c.tenant_id == sa.bindparam("tenant"), table.c.seq > sa.bindparam("after"), table.c.seq <= sa.bindparam("head"))
    return Sql(sa.select(*columns).where(*ours).order_by(table.c.seq).suffix_with(AT_MOST))


def _back(table: sa.Table, columns: Iterable[sa.Column[Any]]) -> Sql:
    ours = (
        table.c.tenant_id == sa.bindparam("tenant"),
        table.c.user_ref == sa.bindparam("ref", type_=sa.LargeBinary),
        table.c.seq < sa.bindparam("before"),
    )
    return Sql(sa.select(*columns).where(*ours).order_by(table.c.seq.desc()).suffix_with(AT_MOST))


_EVENTS_ONWARD, _DECISIONS_ONWARD = _onward(events, ENTRY_COLUMNS), _onward(decisions, LOGGED_COLUMNS)
_EVENTS_BACK, _DECISIONS_BACK = _back(events, ENTRY_COLUMNS), _back(decisions, LOGGED_COLUMNS)


class SqlLog:
    """A LogStore. Sealing and MACs are made by the caller's thread before it waits for its turn to commit."""

    def __init__(self, database: Database, cipher: Cipher, tenants: SqlTenants, users: SqlUsers, fence: Fence) -> None:
        self._database = database
        self._cipher = cipher
        self._tenants = tenants
        self._users = users
        self._fence = fence
        self._commit = GroupCommit(
            database,
            {
                _EVENTS: fence.around(append_events, lambda one: one.event.user_ref, GONE),
                _DECISIONS: fence.around(append_decisions, lambda one: one.decision.user_ref, DecisionOutcome(GONE)),
                _MARKS: append_marks,
            },
            durable=frozenset({_EVENTS}),
        )

    def append_events(self, tenant_id: str, events: Sequence[NewEvent], at: int) -> list[str]:
        self._database.ensure_month(at)
        prepared = prepare_events(self._users, self._fence, self._cipher, self._tenants.keys(tenant_id), events, at)
        return self._commit.append(tenant_id, _EVENTS, prepared)

    def append_decisions(self, tenant_id: str, decisions: Sequence[NewDecision]) -> list[DecisionOutcome]:
        prepared = prepare_decisions(self._users, self._fence, self._cipher, self._tenants.keys(tenant_id), decisions)
        return self._commit.append(tenant_id, _DECISIONS, prepared)

    def append_marks(self, tenant_id: str, marks: Sequence[Mark], at: int) -> int:
        self._database.ensure_month(at)
        taken = self._commit.append(tenant_id, _MARKS, [(mark, at) for mark in marks])
        return int(taken[-1]) if taken else self._head(tenant_id)

    def activate(self, tenant_id: str, decision_id: str, at: int) -> StoredDecision:
        return self._turn(tenant_id, decision_id, at, LogType.ACTIVATED, ACTIVE)

    def discard(self, tenant_id: str, decision_id: str, at: int) -> StoredDecision:
        return self._turn(tenant_id, decision_id, at, LogType.DISCARDED, DISCARDED)

    def _turn(self, tenant_id: str, decision_id: str, at: int, type_: LogType, status: str) -> StoredDecision:
        keys = self._tenants.keys(tenant_id)
        with self._database.write() as transaction, locked_head(transaction, tenant_id) as head:
            row = next(transaction.among(FULL, tenant_id, [decision_id]), None)
            if row is None:
                raise NotFound("decision")
            before = stored(row)
            if before.status == DISCARDED and status == ACTIVE:
                raise Conflict("The decision was discarded; ask for a new one.")
            if before.status != status:
                ours = (decisions.c.tenant_id == tenant_id, decisions.c.seq == before.seq)
                transaction.execute(sa.update(decisions).where(*ours).values(status=status))
                head.append_entry(as_turn(before, type_, head.take(), at))
            if status == DISCARDED:
                release(transaction, tenant_id, before.user_ref, before.slot_at, before.seq)
        return replace(opened(self._users, self._cipher, keys, row), status=status)

    def heads(self) -> dict[str, int]:
        with self._database.read() as transaction:
            return {row.tenant_id: row.head for row in transaction.execute(sa.select(log_heads.c.tenant_id, log_heads.c.head))}

    def _head(self, tenant_id: str) -> int:
        with self._database.read() as transaction:
            return _head_of(transaction, tenant_id)

    def read(self, tenant_id: str, after: int, limit: int) -> list[LogEntry]:
        """The head is read first: every row up to it is there by then, whatever is committed meanwhile."""
        with self._database.read() as transaction:
            bounds = (tenant_id, after, _head_of(transaction, tenant_id), limit)
            found = [entry_of_event(row) for row in transaction.rows(_EVENTS_ONWARD, bounds)]
            found += [entry_of_decision(row) for row in transaction.rows(_DECISIONS_ONWARD, bounds)]
        return sorted(found, key=_seq)[:limit]

    def decision(self, tenant_id: str, decision_id: str) -> StoredDecision | None:
        with self._database.read() as transaction:
            row = next(transaction.among(FULL, tenant_id, [decision_id]), None)
        return None if row is None else opened(self._users, self._cipher, self._tenants.keys(tenant_id), row)

    def decisions(self, tenant_id: str, decision_ids: Iterable[str]) -> dict[str, StoredDecision]:
        wanted = list(dict.fromkeys(decision_ids))
        if not wanted:
            return {}
        with self._database.read() as transaction:
            return {row[2]: stored(row) for row in transaction.among(LIGHT, tenant_id, wanted)}

    def reserved(self, tenant_id: str, user_refs: Iterable[bytes], since: int, until: int) -> dict[bytes, list[Reservation]]:
        wanted = list(dict.fromkeys(user_refs))
        if not wanted:
            return {}
        with self._database.read() as transaction:
            return reserved(transaction, tenant_id, wanted, since, until)

    def timeline(self, tenant_id: str, user_ref: bytes, limit: int, before: int | None = None) -> list[LogEntry]:
        bounds = (tenant_id, user_ref, _NEWEST if before is None else before, limit)
        with self._database.read() as transaction:
            found = [entry_of_event(row) for row in transaction.rows(_EVENTS_BACK, bounds)]
            found += [entry_of_decision(row) for row in transaction.rows(_DECISIONS_BACK, bounds)]
        return sorted(found, key=_seq, reverse=True)[:limit]

    def summary(self, tenant_id: str, since: int, until: int, zone: str) -> Summary:
        with self._database.read() as transaction:
            return summarise(transaction, tenant_id, since, until, zone)

    def tally(self, tenant_id: str, since: int, until: int) -> dict[str | None, int]:
        with self._database.read() as transaction:
            return tallied(transaction, tenant_id, since, until)


def _head_of(transaction: Transaction, tenant_id: str) -> int:
    found = transaction.rows(_HEAD, (tenant_id,))
    return int(found[0][0]) if found else 0


def _seq(entry: LogEntry) -> int:
    return entry.seq
