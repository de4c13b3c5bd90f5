"""Counts over a tenant's log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from personalization.messages import LogEntry
from personalization.storage.base import Summary
from personalization.storage.counting import MOST_QUALITIES, QUARTER, Arm, DecisionCount, EventCount, summary_of
from personalization.storage.memory.rows import DecisionRow, TenantRows
from personalization.storage.rules import ACTIVE, DISCARDED
from personalization.vocabulary import Action, EventType, Mode

_ENGAGEMENT = frozenset(str(t) for t in EventType)


def summarise(tenant: TenantRows, since: int, until: int, zone: str) -> Summary:
    """Discarded decisions count nowhere; `arms` is of active sends alone."""
    taken = [d for d in tenant.decisions.values() if since <= d.new.decided_at < until and d.status != DISCARDED]
    events = [e for e in tenant.log if isinstance(e, LogEntry) and since <= e.at < until and e.type in _ENGAGEMENT]
    qualities = [(d.new.decided_at, d.seq, d.new.quality) for d in taken if d.new.quality is not None]
    newest = [quality for _, _, quality in sorted(qualities, reverse=True)[:MOST_QUALITIES]]
    return summary_of(_decision_counts(tenant, taken), _event_counts(events), _arms(tenant, taken), newest, zone)


def _decision_counts(tenant: TenantRows, taken: Sequence[DecisionRow]) -> list[DecisionCount]:
    alike: defaultdict[tuple[int, str, str | None], list[DecisionRow]] = defaultdict(list)
    for row in taken:
        alike[row.new.decided_at // QUARTER, row.new.action, row.new.suppression].append(row)
    return [
        DecisionCount(
            *key,
            len(rows),
            sum(row.new.decision_id in tenant.engaged for row in rows if row.new.action == Action.SEND),
            sum(row.new.decision_id in tenant.converted for row in rows if row.new.action == Action.SEND),
            sum(row.new.quality or 0.0 for row in rows),
            sum(row.new.quality is not None for row in rows),
        )
        for key, rows in alike.items()
    ]


def _event_counts(events: Sequence[LogEntry]) -> list[EventCount]:
    alike: defaultdict[tuple[int, str], list[LogEntry]] = defaultdict(list)
    for event in events:
        alike[event.at // QUARTER, event.type].append(event)
    return [
        EventCount(
            *key, len(rows), sum(e.value or 0.0 for e in rows), sum(e.value or 0.0 for e in rows if e.decision_id is not None)
        )
        for key, rows in alike.items()
    ]


def _arms(tenant: TenantRows, taken: Sequence[DecisionRow]) -> list[Arm]:
    users: defaultdict[tuple[bool, bytes], list[bool]] = defaultdict(list)
    for row in taken:
        if row.new.action == Action.SEND and row.status == ACTIVE and row.new.user_ref is not None:
            users[row.new.mode == Mode.HOLDOUT, row.new.user_ref].append(row.new.decision_id in tenant.engaged)
    arms: defaultdict[bool, list[tuple[int, int]]] = defaultdict(list)
    for (held, _), engaged in users.items():
        arms[held].append((len(engaged), sum(engaged)))
    return [
        (
            held,
            len(counts),
            sum(n for n, _ in counts),
            sum(k for _, k in counts),
            float(sum(n * n for n, _ in counts)),
            float(sum(n * k for n, k in counts)),
            float(sum(k * k for _, k in counts)),
        )
        for held, counts in arms.items()
    ]
