"""Counts over a tenant's log, in four statements that both databases understand."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from personalization.storage.base import Summary
from personalization.storage.counting import MOST_QUALITIES, QUARTER, Arm, DecisionCount, EventCount, summary_of
from personalization.storage.rules import ACTIVE, DISCARDED
from personalization.storage.sql.engine import Transaction
from personalization.storage.sql.schema import decisions, events
from personalization.vocabulary import ENGAGED_TYPES, Action, EventType, Mode

_Conditions = tuple[sa.ColumnElement[bool], ...]


def summarise(transaction: Transaction, tenant_id: str, since: int, until: int, zone: str) -> Summary:
    """Discarded decisions count nowhere; `arms` is of active sends alone."""
    taken = _taken(tenant_id, since, until)
    return summary_of(
        _decision_counts(transaction, taken),
        _event_counts(transaction, tenant_id, since, until),
        _arms(transaction, taken),
        _qualities(transaction, taken),
        zone,
    )


def tallied(transaction: Transaction, tenant_id: str, since: int, until: int) -> dict[str | None, int]:
    """See LogStore.tally."""
    channel = decisions.c.channel
    statement = sa.select(channel, sa.func.count()).where(*_taken(tenant_id, since, until)).group_by(channel)
    return {name: int(n) for name, n in transaction.execute(statement)}


def _taken(tenant_id: str, since: int, until: int) -> _Conditions:
    return (
        decisions.c.tenant_id == tenant_id,
        decisions.c.decided_at >= since,
        decisions.c.decided_at < until,
        decisions.c.status != DISCARDED,
    )


def _decision_counts(transaction: Transaction, taken: _Conditions) -> list[DecisionCount]:
    one = (
        sa.select(
            (decisions.c.decided_at // QUARTER).label("quarter"),
            decisions.c.action,
            decisions.c.suppression,
            decisions.c.quality,
            _cited_by(sorted(ENGAGED_TYPES)).label("engaged"),
            _cited_by([EventType.CONVERTED]).label("converted"),
        )
        .where(*taken)
        .subquery()
    )
    alike = (one.c.quarter, one.c.action, one.c.suppression)
    sums = (
        sa.func.count(),
        sa.func.sum(one.c.engaged),
        sa.func.sum(one.c.converted),
        sa.func.sum(one.c.quality),
        sa.func.count(one.c.quality),
    )
    return [
        DecisionCount(int(quarter), action, suppression, n, int(engaged), int(converted), quality or 0.0, with_quality)
        for quarter, action, suppression, n, engaged, converted, quality, with_quality in transaction.execute(
            sa.select(*alike, *sums).group_by(*alike)
        )
    ]


def _event_counts(transaction: Transaction, tenant_id: str, since: int, until: int) -> list[EventCount]:
    quarter = (events.c.occurred_at // QUARTER).label("quarter")
    cited = sa.case((events.c.decision_id.is_not(None), events.c.value), else_=0.0)
    statement = (
        sa.select(quarter, events.c.type, sa.func.count(), sa.func.sum(events.c.value), sa.func.sum(cited))
        .where(events.c.tenant_id == tenant_id, events.c.occurred_at >= since, events.c.occurred_at < until)
        .where(events.c.type.in_([str(t) for t in EventType]))
        .group_by(quarter, events.c.type)
    )
    return [
        EventCount(int(quarter), type_, n, value or 0.0, cited or 0.0)
        for quarter, type_, n, value, cited in transaction.execute(statement)
    ]


def _arms(transaction: Transaction, taken: _Conditions) -> list[Arm]:
    """Of each user n active sends, k of them engaged; then the sums over users."""
    holdout = sa.case((decisions.c.mode == str(Mode.HOLDOUT), 1), else_=0).label("holdout")
    user = (
        sa.select(holdout, sa.func.count().label("n"), sa.func.sum(_cited_by(sorted(ENGAGED_TYPES))).label("k"))
        .where(*taken, decisions.c.action == str(Action.SEND), decisions.c.status == ACTIVE, decisions.c.user_ref.is_not(None))
        .group_by(decisions.c.user_ref, holdout)
        .subquery()
    )
    n, k = user.c.n, user.c.k
    sums = (sa.func.sum(value) for value in (n, k, n * n, n * k, k * k))
    return [
        (bool(held), users, int(n), int(k), float(nn), float(nk), float(kk))
        for held, users, n, k, nn, nk, kk in transaction.execute(
            sa.select(user.c.holdout, sa.func.count(), *sums).group_by(user.c.holdout)
        )
    ]


def _qualities(transaction: Transaction, taken: _Conditions) -> list[float]:
    statement = sa.select(decisions.c.quality).where(*taken, decisions.c.quality.is_not(None))
    return list(
        transaction.execute(
            statement.order_by(decisions.c.decided_at.desc(), decisions.c.seq.desc()).limit(MOST_QUALITIES)
        ).scalars()
    )


def _cited_by(types: list[EventType]) -> sa.ColumnElement[Any]:
    """1 for a send that an event of these types cites, else 0."""
    cites = sa.exists().where(
        events.c.tenant_id == decisions.c.tenant_id,
        events.c.decision_id == decisions.c.decision_id,
        events.c.type.in_([str(t) for t in types]),
    )
    return sa.case((sa.and_(decisions.c.action == str(Action.SEND), cites), 1), else_=0)
