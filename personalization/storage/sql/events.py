"""Events: how they get into the log, once for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from personalization.messages import LogEntry
from personalization.sealing import Cipher, Owner, TenantKeys
from personalization.storage.base import ACCEPTED, CONFLICT, DUPLICATE, Mark, NewEvent
from personalization.storage.sql.decisions import release_cited
from personalization.storage.sql.engine import Lookup, Transaction
from personalization.storage.sql.fence import Fence
from personalization.storage.sql.head import Head, event_row
from personalization.storage.sql.packing import pack, unpack
from personalization.storage.sql.profiles import add_bare, apply_changes
from personalization.storage.sql.schema import event_keys, events
from personalization.storage.sql.users import SqlUsers

_MAC_BYTES = 16
#: The field under which text and metadata are sealed.
WORDS = "event"
_KNOWN = Lookup(
    lambda tenant, macs: sa.select(event_keys.c.event_mac, event_keys.c.body_mac).where(
        event_keys.c.tenant_id == tenant, event_keys.c.event_mac.in_(macs)
    )
)

#: An event's columns after tenant_id, seq and recorded_at, as far as they come from the event.
_Tail = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class PreparedEvent:
    """An event with all that needs no transaction: MACs and seals."""

    event: NewEvent
    at: int
    mac: bytes
    body_mac: bytes
    tail: _Tail


def prepare_events(
    users: SqlUsers, fence: Fence, cipher: Cipher, keys: TenantKeys, new: Sequence[NewEvent], at: int
) -> list[PreparedEvent]:
    """Raises NotFound when the words of an event would have to be sealed for a user nobody knows; one who left is refused
    later."""
    owners = users.owners(keys.tenant_id, [event.user_ref for event in new if event.text is not None or event.metadata])
    mac = cipher.mac
    return [
        PreparedEvent(
            event,
            at,
            mac(keys, "event_id", event.event_id.encode())[:_MAC_BYTES],
            mac(keys, "event_body", event.body)[:_MAC_BYTES],
            _tail(event, _sealed_words(cipher, keys, owners, fence, event)),
        )
        for event in new
    ]


def _sealed_words(cipher: Cipher, keys: TenantKeys, owners: dict[bytes, Owner], fence: Fence, event: NewEvent) -> bytes | None:
    if event.text is None and not event.metadata:
        return None
    owner = owners.get(event.user_ref)
    if owner is None:
        return fence.nothing(keys.tenant_id, event.user_ref)
    return cipher.seal(owner, WORDS, pack((event.text, event.metadata)))


def _tail(event: NewEvent, sealed_words: bytes | None) -> _Tail:
    return (
        str(event.type),
        event.occurred_at,
        event.user_ref,
        event.decision_id,
        event.template_id,
        event.channel,
        event.name,
        event.value,
        event.currency,
        event.zone_offset,
        True,
        sealed_words,
        None,
    )


def append_events(transaction: Transaction, head: Head, prepared: Sequence[PreparedEvent]) -> list[str]:
    known: dict[bytes, bytes] = dict(transaction.among(_KNOWN, head.tenant_id, [one.mac for one in prepared]))
    outcomes, accepted = [], []
    for one in prepared:
        body_mac = known.get(one.mac)
        if body_mac is None:
            known[one.mac] = one.body_mac
            accepted.append(one)
            outcomes.append(ACCEPTED)
        else:
            outcomes.append(DUPLICATE if body_mac == one.body_mac else CONFLICT)
    if accepted:
        _write(transaction, head, accepted)
    return outcomes


def _write(transaction: Transaction, head: Head, accepted: list[PreparedEvent]) -> None:
    tenant_id, take = head.tenant_id, head.take
    transaction.insert(events, [(tenant_id, take(), one.at, *one.tail) for one in accepted])
    transaction.insert(event_keys, [(tenant_id, one.mac, one.body_mac) for one in accepted])
    add_bare(transaction, tenant_id, sorted({one.event.user_ref for one in accepted}), accepted[0].at)
    changes = [(one.event.change, one.event.type, one.at) for one in accepted if one.event.change is not None]
    if changes:
        apply_changes(transaction, tenant_id, changes)
    released = [one.event.decision_id for one in accepted if one.event.releases and one.event.decision_id is not None]
    if released:
        release_cited(transaction, tenant_id, released)


def append_marks(transaction: Transaction, head: Head, marks: Sequence[tuple[Mark, int]]) -> list[int]:
    """(mark, recorded at) each; their numbers."""
    entries = [LogEntry(seq=head.take(), type=mark.type, at=mark.at, recorded_at=at, body=mark.body) for mark, at in marks]
    transaction.insert(events, [event_row(head.tenant_id, entry) for entry in entries])
    return [entry.seq for entry in entries]


def entry_of_event(row: tuple[Any, ...]) -> LogEntry:
    """From the columns `ENTRY_COLUMNS`."""
    seq, recorded_at, type_, at, user_ref, decision_id, template_id, channel, name, value, currency, zone_offset, active, body = row
    return LogEntry(
        seq=seq,
        type=type_,
        at=at,
        recorded_at=recorded_at,
        user_ref=user_ref,
        decision_id=decision_id,
        template_id=template_id,
        channel=channel,
        name=name,
        value=value,
        currency=currency,
        zone_offset=zone_offset,
        active=bool(active),
        body=None if body is None else unpack(body),
    )


ENTRY_COLUMNS = tuple(column for column in events.c if column.name not in ("tenant_id", "sealed_words"))
