"""Recording what people did: checked one by one, appended together, acknowledged once durable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from personalization import telemetry
from personalization.cache import CachedProfiles
from personalization.clock import DAY, MINUTE, SECOND, Clock, utc_offset, zone
from personalization.errors import FieldError, Invalid
from personalization.messages import EngagementEvent, EventsReceipt
from personalization.profile import PersonalizationProfile
from personalization.storage.base import ACCEPTED, CONFLICT, DUPLICATE, GONE, NewEvent, ProfileChange, Storage, StoredDecision
from personalization.vocabulary import EventType

_AHEAD, _BACK = 10 * MINUTE, 400 * DAY
_WITHDRAWING = (EventType.UNSUBSCRIBED, EventType.COMPLAINED)
_outcomes = {outcome: telemetry.EVENTS.labels(outcome) for outcome in (ACCEPTED, DUPLICATE, CONFLICT, GONE, "invalid")}

_ERASED = [FieldError("user_id", "erased: this person was erased; only a PUT of the profile starts afresh")]


class Events:
    """One tenant's events."""

    def __init__(
        self,
        tenant_id: str,
        storage: Storage,
        profiles: CachedProfiles,
        clock: Clock,
        recorded: Callable[[list[EngagementEvent]], None],
    ) -> None:
        self._tenant_id, self._storage, self._profiles, self._clock = tenant_id, storage, profiles, clock
        self._recorded = recorded

    def record(self, events: Sequence[EngagementEvent | Invalid], any_age: bool = False) -> EventsReceipt:
        """Accepted ones are on disk when this returns; a bad one is a rejected row and nothing else.

        any_age : accept events older than 400 days (imports)
        """
        now = self._clock.now()
        rejected: dict[int, list[FieldError]] = {}
        valid: list[tuple[int, EngagementEvent]] = []
        for i, event in enumerate(events):
            errors = list(event.errors) if isinstance(event, Invalid) else _out_of_time(event, now, any_age)
            if errors:
                rejected[i] = errors
            elif not isinstance(event, Invalid):
                valid.append((i, event))
        cited = self._cited(event for _, event in valid)
        refs = self._storage.users.resolve(self._tenant_id, {e.user_id for _, e in valid}, now, create=True) if valid else {}
        wrong = {i: _citing(event, refs[event.user_id], cited) if event.user_id in refs else _ERASED for i, event in valid}
        rejected.update({i: errors for i, errors in wrong.items() if errors})
        valid = [(i, event) for i, event in valid if i not in rejected]
        outcomes = self._append([event for _, event in valid], refs, cited, now)
        for (i, _), outcome in zip(valid, outcomes, strict=True):
            if outcome == CONFLICT:
                rejected[i] = [FieldError("event_id", "conflict: this id was used for another event")]
            elif outcome == GONE:
                rejected[i] = _ERASED
            _outcomes[outcome].inc()
        _outcomes["invalid"].inc(len(events) - len(valid))
        self._recorded([event for (_, event), outcome in zip(valid, outcomes, strict=True) if outcome == ACCEPTED])
        return EventsReceipt(outcomes.count(ACCEPTED), outcomes.count(DUPLICATE), sorted(rejected.items()))

    def _append(
        self,
        events: Sequence[EngagementEvent],
        refs: Mapping[str, bytes],
        cited: Mapping[str, StoredDecision],
        now: int,
    ) -> list[str]:
        if not events:
            return []
        profiles = self._profiles.load(self._tenant_id, {refs[event.user_id] for event in events})
        default = self._storage.tenants.config(self._tenant_id).timezone
        fresh = [
            _new_event(event, refs[event.user_id], profiles.get(refs[event.user_id]), cited.get(event.decision_id or ""), default)
            for event in events
        ]
        outcomes = self._storage.log.append_events(self._tenant_id, fresh, now)
        if GONE in outcomes:
            outcomes = self._again(events, outcomes, cited, now)
        touched = {e.user_ref for e in fresh if e.change is not None or e.user_ref not in profiles}
        self._profiles.forget(self._tenant_id, touched)
        return outcomes

    def _again(
        self, events: Sequence[EngagementEvent], outcomes: Sequence[str], cited: Mapping[str, StoredDecision], now: int
    ) -> list[str]:
        """People who left while their events were on the way: GONE stays for the erased, the others are somebody new."""
        left = [event for event, outcome in zip(events, outcomes, strict=True) if outcome == GONE]
        refs = self._storage.users.resolve(self._tenant_id, {event.user_id for event in left}, now, create=True)
        new = iter(self._append([e for e in left if e.user_id in refs and e.decision_id is None], refs, cited, now))
        return [
            next(new) if outcome == GONE and event.user_id in refs and event.decision_id is None else outcome
            for event, outcome in zip(events, outcomes, strict=True)
        ]

    def _cited(self, events: Iterable[EngagementEvent]) -> dict[str, StoredDecision]:
        wanted = {event.decision_id for event in events if event.decision_id is not None}
        return self._storage.log.decisions(self._tenant_id, wanted) if wanted else {}


def _out_of_time(event: EngagementEvent, now: int, any_age: bool) -> list[FieldError]:
    if event.occurred_at > now + _AHEAD:
        return [FieldError("occurred_at", "is more than 10 minutes ahead of our clock")]
    if event.occurred_at < now - _BACK and not any_age:
        return [FieldError("occurred_at", "is more than 400 days back; import older events with `personalization import`")]
    return []


def _citing(event: EngagementEvent, user_ref: bytes, cited: Mapping[str, StoredDecision]) -> list[FieldError]:
    """What is wrong with the decision an event cites. Callers' clocks often have whole seconds, so those are compared."""
    if event.decision_id is None:
        return []
    decision = cited.get(event.decision_id)
    if decision is None:
        return [FieldError("decision_id", "is no decision of this tenant")]
    if decision.user_ref is not None and decision.user_ref != user_ref:
        return [FieldError("decision_id", "is a decision for another user")]
    if event.occurred_at // SECOND < decision.decided_at // SECOND:
        return [FieldError("occurred_at", "lies before the cited decision")]
    return []


def _new_event(
    event: EngagementEvent,
    user_ref: bytes,
    profile: PersonalizationProfile | None,
    decision: StoredDecision | None,
    default_zone: str,
) -> NewEvent:
    channel = event.channel or (decision.channel if decision else None)
    bounced_hard = event.type is EventType.BOUNCED and event.metadata.get("bounce") != "soft"
    return NewEvent(
        event_id=event.event_id,
        type=event.type,
        user_ref=user_ref,
        occurred_at=event.occurred_at,
        body=msgspec.json.encode(event, order="deterministic"),
        zone_offset=utc_offset(event.occurred_at, zone((profile.timezone if profile else None) or default_zone)) // MINUTE,
        decision_id=event.decision_id,
        template_id=event.template_id or (decision.template_id if decision else None),
        channel=channel,
        name=event.name,
        value=event.value,
        currency=event.currency,
        text=event.text,
        metadata=event.metadata,
        change=_change(event, user_ref, channel, bounced_hard),
        releases=event.type is EventType.BOUNCED,
    )


def _change(event: EngagementEvent, user_ref: bytes, channel: str | None, bounced_hard: bool) -> ProfileChange | None:
    """What the event withdraws: marketing on its channel (or all), or the channel's reachability."""
    if event.type in _WITHDRAWING:
        return ProfileChange(user_ref=user_ref, kind="withdraw_marketing", channel=channel)
    if bounced_hard and channel is not None:
        return ProfileChange(user_ref=user_ref, kind="unreachable", channel=channel)
    return None
