"""What appending a decision does: one row, and the reservation of its slot."""

from __future__ import annotations

from bisect import bisect_left, insort
from hashlib import blake2b

from personalization.storage.base import (
    CONFLICT,
    GONE,
    LOST,
    RECORDED,
    REPEATED,
    DecisionOutcome,
    NewDecision,
    Reservation,
    StoredDecision,
)
from personalization.storage.memory.rows import DecisionRow, TenantRows
from personalization.storage.rules import ACTIVE, INACTIVE, Held, admitted, takes_reservation


def append_decision(tenant: TenantRows, decision: NewDecision, since: int) -> DecisionOutcome:
    """since: the earliest slot whose reservation can matter to the caps of its call."""
    if decision.user_ref in tenant.gone:
        return DecisionOutcome(GONE)
    body = digest(decision.body)
    known = tenant.decisions.get(decision.decision_id)
    if known is not None:
        return DecisionOutcome(REPEATED, known.seq) if known.body == body else DecisionOutcome(CONFLICT)
    if decision.caps and decision.user_ref is not None:
        held = _slots(tenant, decision.user_ref, since, None)
        if not admitted(decision, held):
            return DecisionOutcome(LOST, reserved=tuple(Reservation(*slot) for slot in sorted(held)))
    elif decision.caps and not admitted(decision, ()):
        return DecisionOutcome(LOST)
    seq = len(tenant.log) + 1
    row = DecisionRow(decision, seq, ACTIVE if decision.active else INACTIVE, body)
    tenant.append(row, decision.user_ref)
    tenant.decisions[decision.decision_id] = row
    if takes_reservation(decision) and decision.user_ref is not None:
        insort(tenant.reserved[decision.user_ref], _reservation(row))
    return DecisionOutcome(RECORDED, seq)


def stored(tenant_id: str, row: DecisionRow, whole: bool = False) -> StoredDecision:
    """As it is now; its values only when it is asked for whole."""
    new = row.new
    return StoredDecision(
        seq=row.seq,
        tenant_id=tenant_id,
        decision_id=new.decision_id,
        user_ref=new.user_ref,
        decided_at=new.decided_at,
        slot_at=new.slot_at,
        action=new.action,
        mode=new.mode,
        category=new.category,
        template_id=new.template_id,
        template_version=new.template_version,
        variant_id=new.variant_id,
        channel=new.channel,
        zone_offset=new.zone_offset,
        status=row.status,
        record=new.record,
        values=new.values if whole else None,
    )


def reservations(tenant: TenantRows, user_ref: bytes, since: int, until: int) -> list[Reservation]:
    """Of slots in [since, until), in order."""
    return [Reservation(*slot) for slot in sorted(_slots(tenant, user_ref, since, until))]


def release(tenant: TenantRows, row: DecisionRow | None) -> None:
    """Give its slot back, if it holds one."""
    held = None if row is None or row.new.user_ref is None else tenant.reserved.get(row.new.user_ref)
    if row is not None and held and _reservation(row) in held:
        held.remove(_reservation(row))


def digest(body: bytes) -> bytes:
    """Bodies and ids are compared by it, not kept."""
    return blake2b(body, digest_size=16).digest()


def _slots(tenant: TenantRows, user_ref: bytes, since: int, until: int | None) -> list[Held]:
    held = tenant.reserved.get(user_ref)
    if not held:
        return []
    end = len(held) if until is None else bisect_left(held, (until,))
    return [(slot_at, channel, category) for slot_at, _, channel, category in held[bisect_left(held, (since,)) : end]]


def _reservation(row: DecisionRow) -> tuple[int, int, str, str]:
    return row.new.slot_at or 0, row.seq, row.new.channel or "", str(row.new.category)
