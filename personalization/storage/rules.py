"""What the contract means, said once for every store: consent taken back by an event, caps, how rows look in the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from personalization.messages import LogEntry
from personalization.profile import DECIDED, Consent
from personalization.storage.base import NewDecision, StoredDecision
from personalization.vocabulary import Action, LogType

WITHDRAW_MARKETING, UNREACHABLE = "withdraw_marketing", "unreachable"
ACTIVE, INACTIVE, DISCARDED = "active", "inactive", "discarded"
PROJECTOR = "projector"
#: Rows that say a pseudonym is nobody's any more; body: {"previous": number of the tombstone before, or 0}.
TOMBSTONES = (LogType.ERASED, LogType.ANONYMIZED)
#: So many tombstones are looked at by a process that knows none.
RECENT_TOMBSTONES = 256

#: Who a row of the log is about.
_SUBJECT = ("user_ref", "decision_id", "template_id", "zone_offset")


def withdrawn(consent: Consent, channel: str | None) -> Consent:
    """The consent once marketing was taken back, on one channel or (None) on all."""
    if channel is None:
        return replace(consent, marketing=False)
    return replace(consent, marketing_channels={**consent.marketing_channels, channel: False})


def unreachable(reachability: Mapping[str, bool], channel: str | None) -> dict[str, bool]:
    return {**reachability, channel: False} if channel else dict(reachability)


#: A reservation as the stores keep it: slot_at, channel, category.
Held = tuple[int, str, str]


def admitted(decision: NewDecision, held: Sequence[Held]) -> bool:
    """Whether every cap of this send leaves room for it beside what is reserved."""
    if decision.slot_at is None:
        return True
    channel, category = decision.channel or "", decision.category
    return all(
        cap.admits([slot_at for slot_at, c, k in held if cap.covers(c, k)], decision.slot_at)
        for cap in decision.caps
        if cap.covers(channel, category)
    )


def takes_reservation(decision: NewDecision) -> bool:
    return decision.reserves and decision.user_ref is not None and decision.slot_at is not None


def reach(decisions: Sequence[NewDecision]) -> int:
    """The earliest slot whose reservation can matter to the caps of these decisions."""
    return min(min(d.decided_at, d.slot_at or d.decided_at) - max(cap.period for cap in d.caps) for d in decisions)


#: What `as_log_entry` takes of a decision, in order.
LOGGED = (
    *("seq", "decided_at", "slot_at", "action", "user_ref", "decision_id", "template_id", "channel", "zone_offset"),
    *("active", "record", "variant_id", "message"),
)


def as_log_entry(
    seq: int,
    decided_at: int,
    slot_at: int | None,
    action: str,
    user_ref: bytes | None,
    decision_id: str,
    template_id: str | None,
    channel: str | None,
    zone_offset: int,
    active: bool,
    record: bytes,
    variant_id: str | None,
    message: bytes | None,
) -> LogEntry:
    """A decision as followers see it; `active`: whether it entered the log so."""
    return LogEntry(
        seq=seq,
        type=DECIDED,
        at=decided_at if slot_at is None else slot_at,
        recorded_at=decided_at,
        user_ref=user_ref,
        decision_id=decision_id,
        template_id=template_id,
        channel=channel if action == Action.SEND else None,
        zone_offset=zone_offset,
        active=bool(active),
        record=record,
        variant_id=variant_id,
        message=message,
    )


def as_turn(decision: StoredDecision, type_: LogType, seq: int, at: int) -> LogEntry:
    """The row that says a decision was activated, or discarded (then `active` is what it was before)."""
    was_active = type_ == LogType.ACTIVATED or decision.status == ACTIVE
    return LogEntry(seq=seq, type=type_, recorded_at=at, active=was_active, body={"seq": decision.seq}, **subject(decision))


def subject(decision: StoredDecision) -> dict[str, Any]:
    """Whom and what a row about this decision names: the channel only of a send, `at` its slot's time."""
    return {
        **{name: getattr(decision, name) for name in _SUBJECT},
        "channel": decision.channel if decision.action == Action.SEND else None,
        "at": decision.decided_at if decision.slot_at is None else decision.slot_at,
    }
