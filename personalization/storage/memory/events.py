"""What appending an event does: one row, its words, what it cites, what it says of the profile."""

from __future__ import annotations

from msgspec import structs

from personalization.messages import LogEntry
from personalization.storage.base import ACCEPTED, CONFLICT, DUPLICATE, GONE, NewEvent, ProfileChange
from personalization.storage.memory.decisions import digest, release
from personalization.storage.memory.rows import TenantRows, empty_profile
from personalization.storage.rules import UNREACHABLE, unreachable, withdrawn
from personalization.vocabulary import ENGAGED_TYPES, EventType


def append_event(tenant: TenantRows, event: NewEvent, at: int) -> str:
    """What became of it: the contract's word."""
    if event.user_ref in tenant.gone:
        return GONE
    body = digest(event.body)
    earlier = tenant.events.setdefault(digest(event.event_id.encode()), body)
    if earlier is not body:
        return DUPLICATE if earlier == body else CONFLICT
    entry = _entry(tenant, event, at)
    tenant.append(entry, event.user_ref)
    if event.text is not None or event.metadata:
        tenant.words[entry.seq] = (event.text, event.metadata)
    _cite(tenant, event)
    _exist(tenant, event.user_ref, at)
    if event.change is not None:
        _change(tenant, event.change, event.type, at)
    return ACCEPTED


def _entry(tenant: TenantRows, event: NewEvent, at: int) -> LogEntry:
    return LogEntry(
        seq=len(tenant.log) + 1,
        type=event.type,
        at=event.occurred_at,
        recorded_at=at,
        user_ref=event.user_ref,
        decision_id=event.decision_id,
        template_id=event.template_id,
        channel=event.channel,
        name=event.name,
        value=event.value,
        currency=event.currency,
        zone_offset=event.zone_offset,
    )


def _cite(tenant: TenantRows, event: NewEvent) -> None:
    if event.decision_id is None:
        return
    if event.type in ENGAGED_TYPES:
        tenant.engaged.add(event.decision_id)
    if event.type == EventType.CONVERTED:
        tenant.converted.add(event.decision_id)
    if event.releases:
        release(tenant, tenant.decisions.get(event.decision_id))


def _exist(tenant: TenantRows, user_ref: bytes, at: int) -> None:
    """Who does something has a profile, if a bare one."""
    known = tenant.profiles.get(user_ref)
    if known is None:
        tenant.profiles[user_ref] = empty_profile(tenant.keys.tenant_id, user_ref, 1, at)
    elif known.version == 0:
        tenant.profiles[user_ref] = structs.replace(known, version=1)


def _change(tenant: TenantRows, change: ProfileChange, type_: str, at: int) -> None:
    """A change that changes nothing leaves the version as it is."""
    profile = tenant.profiles.get(change.user_ref)
    if profile is None:
        return
    if change.kind == UNREACHABLE:
        after = structs.replace(profile, reachability=unreachable(profile.reachability, change.channel))
    else:
        after = structs.replace(profile, consent=withdrawn(profile.consent, change.channel))
    if after == profile:
        return
    tenant.profiles[change.user_ref] = structs.replace(after, version=profile.version + 1, updated_at=at)
    if after.consent != profile.consent:
        tenant.consents[change.user_ref].append((at, f"event:{type_}", after.consent))
