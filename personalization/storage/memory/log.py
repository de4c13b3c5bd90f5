"""The tenant's one gapless sequence of events and decisions."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from personalization.errors import Conflict, NotFound
from personalization.messages import LogEntry
from personalization.storage.base import DecisionOutcome, Mark, NewDecision, NewEvent, Reservation, StoredDecision, Summary
from personalization.storage.memory.decisions import append_decision, release, reservations, stored
from personalization.storage.memory.events import append_event
from personalization.storage.memory.insights import summarise
from personalization.storage.memory.rows import Room
from personalization.storage.rules import ACTIVE, DISCARDED, as_turn, reach
from personalization.vocabulary import LogType


class MemoryLog(Room):
    """A LogStore."""

    def append_events(self, tenant_id: str, events: Sequence[NewEvent], at: int) -> list[str]:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            return [append_event(tenant, event, at) for event in events]

    def append_decisions(self, tenant_id: str, decisions: Sequence[NewDecision]) -> list[DecisionOutcome]:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            capped = [d for d in decisions if d.caps]
            since = reach(capped) if capped else 0
            return [append_decision(tenant, decision, since) for decision in decisions]

    def append_marks(self, tenant_id: str, marks: Sequence[Mark], at: int) -> int:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            for mark in marks:
                body = msgspec.msgpack.decode(msgspec.msgpack.encode(mark.body))
                tenant.append(LogEntry(seq=len(tenant.log) + 1, type=mark.type, at=mark.at, recorded_at=at, body=body), None)
            return len(tenant.log)

    def activate(self, tenant_id: str, decision_id: str, at: int) -> StoredDecision:
        return self._turn(tenant_id, decision_id, at, LogType.ACTIVATED, ACTIVE)

    def discard(self, tenant_id: str, decision_id: str, at: int) -> StoredDecision:
        return self._turn(tenant_id, decision_id, at, LogType.DISCARDED, DISCARDED)

    def _turn(self, tenant_id: str, decision_id: str, at: int, type_: LogType, status: str) -> StoredDecision:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            row = tenant.decisions.get(decision_id)
            if row is None:
                raise NotFound("decision")
            if row.status == DISCARDED and status == ACTIVE:
                raise Conflict("The decision was discarded; ask for a new one.")
            if row.status != status:
                tenant.append(as_turn(stored(tenant_id, row), type_, len(tenant.log) + 1, at), row.new.user_ref)
                row.status = status
            if status == DISCARDED:
                release(tenant, row)
            return stored(tenant_id, row, whole=True)

    def heads(self) -> dict[str, int]:
        with self._lock:
            return {tenant_id: len(tenant.log) for tenant_id, tenant in self._house.tenants.items()}

    def read(self, tenant_id: str, after: int, limit: int) -> list[LogEntry]:
        with self._lock:
            tenant = self._house.tenants.get(tenant_id)
            return (
                [] if tenant is None else [tenant.entry(seq) for seq in range(after + 1, min(after + limit, len(tenant.log)) + 1)]
            )

    def decision(self, tenant_id: str, decision_id: str) -> StoredDecision | None:
        with self._lock:
            row = self._house.known(tenant_id).decisions.get(decision_id)
            return None if row is None else stored(tenant_id, row, whole=True)

    def decisions(self, tenant_id: str, decision_ids: Iterable[str]) -> dict[str, StoredDecision]:
        with self._lock:
            rows = self._house.known(tenant_id).decisions
            return {id_: replace(stored(tenant_id, rows[id_]), record=b"") for id_ in decision_ids if id_ in rows}

    def reserved(self, tenant_id: str, user_refs: Iterable[bytes], since: int, until: int) -> dict[bytes, list[Reservation]]:
        with self._lock:
            tenant = self._house.known(tenant_id)
            found = {user_ref: reservations(tenant, user_ref, since, until) for user_ref in user_refs}
            return {user_ref: theirs for user_ref, theirs in found.items() if theirs}

    def timeline(self, tenant_id: str, user_ref: bytes, limit: int, before: int | None = None) -> list[LogEntry]:
        with self._lock:
            tenant = self._house.known(tenant_id)
            rows = tenant.rows_of_user.get(user_ref, [])
            end = len(rows) if before is None else bisect_left(rows, before)
            return [tenant.entry(seq) for seq in reversed(rows[max(end - limit, 0) : end])]

    def summary(self, tenant_id: str, since: int, until: int, zone: str) -> Summary:
        with self._lock:
            return summarise(self._house.known(tenant_id), since, until, zone)

    def tally(self, tenant_id: str, since: int, until: int) -> dict[str | None, int]:
        with self._lock:
            rows = self._house.known(tenant_id).decisions.values()
            return Counter(row.new.channel for row in rows if since <= row.new.decided_at < until and row.status != DISCARDED)
