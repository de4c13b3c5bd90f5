"""Decisions: how they get into the log under the caps, and how they are found again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from personalization.messages import LogEntry
from personalization.sealing import Cipher, Owner, TenantKeys
from personalization.storage.base import (
    CONFLICT,
    LOST,
    RECORDED,
    REPEATED,
    DecisionOutcome,
    NewDecision,
    Reservation,
    StoredDecision,
)
from personalization.storage.rules import ACTIVE, INACTIVE, LOGGED, Held, admitted, as_log_entry, reach, takes_reservation
from personalization.storage.sql.engine import Lookup, Sql, Transaction
from personalization.storage.sql.fence import Fence
from personalization.storage.sql.head import Head
from personalization.storage.sql.schema import cap_reservations, decisions
from personalization.storage.sql.users import SqlUsers

_MAC_BYTES = 16
_VALUES = "values"
_FOR_EVER = 2**62

_KNOWN = Lookup(
    lambda tenant, ids: sa.select(decisions.c.decision_id, decisions.c.body_mac, decisions.c.seq).where(
        decisions.c.tenant_id == tenant, decisions.c.decision_id.in_(ids)
    )
)
_RESERVATION = (cap_reservations.c.user_ref, cap_reservations.c.slot_at, cap_reservations.c.channel, cap_reservations.c.category)
_RESERVED = Lookup(
    lambda tenant, refs: (
        sa.select(*_RESERVATION)
        .where(cap_reservations.c.tenant_id == tenant, cap_reservations.c.user_ref.in_(refs))
        .where(cap_reservations.c.slot_at >= sa.bindparam("since"), cap_reservations.c.slot_at < sa.bindparam("until"))
    )
)
_HOLDERS = Lookup(
    lambda tenant, ids: sa.select(decisions.c.user_ref, decisions.c.slot_at, decisions.c.seq).where(
        decisions.c.tenant_id == tenant, decisions.c.decision_id.in_(ids)
    )
)
_RELEASE = Sql(
    sa.delete(cap_reservations).where(
        cap_reservations.c.tenant_id == sa.bindparam("tenant"),
        cap_reservations.c.user_ref == sa.bindparam("ref", type_=sa.LargeBinary),
        cap_reservations.c.slot_at == sa.bindparam("slot"),
        cap_reservations.c.seq == sa.bindparam("seq"),
    )
)


class _Row(NamedTuple):
    """A StoredDecision's columns, and `active`; what is heavy comes last."""

    seq: int
    tenant_id: str
    decision_id: str
    user_ref: bytes | None
    decided_at: int
    slot_at: int | None
    action: str
    mode: str
    category: str
    template_id: str | None
    template_version: int | None
    variant_id: str | None
    channel: str | None
    zone_offset: int
    status: str
    active: bool
    record: bytes = b""
    sealed_values: bytes | None = None


_COLUMNS = tuple(decisions.c[name] for name in _Row._fields)
FULL = Lookup(lambda tenant, ids: sa.select(*_COLUMNS).where(decisions.c.tenant_id == tenant, decisions.c.decision_id.in_(ids)))
LIGHT = Lookup(
    lambda tenant, ids: sa.select(*_COLUMNS[:-2]).where(decisions.c.tenant_id == tenant, decisions.c.decision_id.in_(ids))
)
LOGGED_COLUMNS = tuple(decisions.c[name] for name in LOGGED)


class PreparedDecision(msgspec.Struct, frozen=True):
    """A decision with all that needs no transaction: MAC, seal and the columns after tenant_id and seq."""

    decision: NewDecision
    body_mac: bytes
    tail: tuple[Any, ...]


def prepare_decisions(
    users: SqlUsers, fence: Fence, cipher: Cipher, keys: TenantKeys, new: Sequence[NewDecision]
) -> list[PreparedDecision]:
    """Raises NotFound when values would have to be sealed for a user nobody knows; one who left is refused later."""
    owners = users.owners(keys.tenant_id, [d.user_ref for d in new if d.values is not None and d.user_ref is not None])
    macs = {body: cipher.mac(keys, "decision_body", body)[:_MAC_BYTES] for body in {d.body for d in new}}
    return [_prepared(cipher, keys, owners, fence, decision, macs[decision.body]) for decision in new]


def _prepared(
    cipher: Cipher, keys: TenantKeys, owners: Mapping[bytes, Owner], fence: Fence, d: NewDecision, body_mac: bytes
) -> PreparedDecision:
    owner = Owner(keys) if d.user_ref is None else owners.get(d.user_ref)
    if d.values is None:
        sealed = None
    elif owner is not None:
        sealed = cipher.seal(owner, _VALUES, d.values)
    else:
        sealed = fence.nothing(keys.tenant_id, d.user_ref or b"")
    return PreparedDecision(
        d,
        body_mac,
        (
            d.decision_id,
            d.user_ref,
            d.decided_at,
            d.slot_at,
            str(d.action),
            str(d.mode),
            str(d.category),
            d.template_id,
            d.template_version,
            d.variant_id,
            d.channel,
            None if d.suppression is None else str(d.suppression),
            d.quality,
            d.zone_offset,
            d.active,
            ACTIVE if d.active else INACTIVE,
            body_mac,
            d.record,
            sealed,
            d.message,
        ),
    )


def append_decisions(transaction: Transaction, head: Head, prepared: Sequence[PreparedDecision]) -> list[DecisionOutcome]:
    tenant_id, take = head.tenant_id, head.take
    named = [p.decision.decision_id for p in prepared if p.decision.body]
    known = {id_: (mac, seq) for id_, mac, seq in transaction.among(_KNOWN, tenant_id, named)}
    book = _reservations(transaction, tenant_id, [p.decision for p in prepared if p.decision.caps])
    outcomes, rows, reservations = [], [], []
    for one in prepared:
        decision = one.decision
        earlier = known.get(decision.decision_id)
        if earlier is not None:
            outcomes.append(DecisionOutcome(REPEATED, earlier[1]) if earlier[0] == one.body_mac else DecisionOutcome(CONFLICT))
            continue
        held = book.get(decision.user_ref)
        if decision.caps and not admitted(decision, held or ()):
            outcomes.append(DecisionOutcome(LOST, reserved=tuple(Reservation(*slot) for slot in sorted(held or ()))))
            continue
        seq = take()
        known[decision.decision_id] = (one.body_mac, seq)
        outcomes.append(DecisionOutcome(RECORDED, seq))
        rows.append((tenant_id, seq, *one.tail))
        if takes_reservation(decision):
            slot_at, channel, category = decision.slot_at, decision.channel or "", str(decision.category)
            reservations.append((tenant_id, decision.user_ref, slot_at, seq, channel, category))
            if held is not None:
                held.append((slot_at or 0, channel, category))
    transaction.insert(decisions, rows)
    transaction.insert(cap_reservations, reservations)
    return outcomes


def _reservations(transaction: Transaction, tenant_id: str, capped: Sequence[NewDecision]) -> dict[bytes | None, list[Held]]:
    """What is reserved for each user whose caps must be checked, as far back as it matters."""
    users = list(dict.fromkeys(d.user_ref for d in capped if d.user_ref is not None))
    book: dict[bytes | None, list[Held]] = {user_ref: [] for user_ref in users}
    if users:
        for user_ref, slot_at, channel, category in transaction.among(_RESERVED, tenant_id, users, reach(capped), _FOR_EVER):
            book[user_ref].append((slot_at, channel, category))
    return book


def reserved(
    transaction: Transaction, tenant_id: str, user_refs: Sequence[bytes], since: int, until: int
) -> dict[bytes, list[Reservation]]:
    """In order of slot_at."""
    found: dict[bytes, list[Held]] = {}
    for user_ref, slot_at, channel, category in transaction.among(_RESERVED, tenant_id, user_refs, since, until):
        found.setdefault(user_ref, []).append((slot_at, channel, category))
    return {user_ref: [Reservation(*slot) for slot in sorted(slots)] for user_ref, slots in found.items()}


def release_cited(transaction: Transaction, tenant_id: str, decision_ids: Sequence[str]) -> None:
    """Give up the reservations of these decisions."""
    for user_ref, slot_at, seq in list(transaction.among(_HOLDERS, tenant_id, decision_ids)):
        release(transaction, tenant_id, user_ref, slot_at, seq)


def release(transaction: Transaction, tenant_id: str, user_ref: bytes | None, slot_at: int | None, seq: int) -> None:
    if user_ref is not None and slot_at is not None:
        transaction.run(_RELEASE, (tenant_id, user_ref, slot_at, seq))


def stored(row: tuple[Any, ...], values: bytes | None = None) -> StoredDecision:
    """From the columns of FULL or LIGHT."""
    r = _Row(*row)
    return StoredDecision(
        seq=r.seq,
        tenant_id=r.tenant_id,
        decision_id=r.decision_id,
        user_ref=r.user_ref,
        decided_at=r.decided_at,
        slot_at=r.slot_at,
        action=r.action,
        mode=r.mode,
        category=r.category,
        template_id=r.template_id,
        template_version=r.template_version,
        variant_id=r.variant_id,
        channel=r.channel,
        zone_offset=r.zone_offset,
        status=r.status,
        record=r.record,
        values=values,
    )


def opened(users: SqlUsers, cipher: Cipher, keys: TenantKeys, row: tuple[Any, ...]) -> StoredDecision:
    """From the columns of FULL. The values of a user who was erased are gone with their key: None."""
    r = _Row(*row)
    owner = Owner(keys) if r.user_ref is None else users.owners(keys.tenant_id, [r.user_ref]).get(r.user_ref)
    values = cipher.open(owner, _VALUES, r.sealed_values) if r.sealed_values is not None and owner is not None else None
    return stored(row, values)


def entry_of_decision(row: tuple[Any, ...]) -> LogEntry:
    """From LOGGED_COLUMNS."""
    return as_log_entry(*row)
