"""What is known of one person: what was declared, and what their behaviour taught. A value; change is a new value."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from personalization.clock import DAY, HOUR, hour_of_week
from personalization.daybook import DayBook, day_of
from personalization.messages import LogEntry
from personalization.sent import SentMessages, Shown, changed, decision_key, first_of, message_of, sent, shown_after
from personalization.tenant import QuietHours
from personalization.vocabulary import ENGAGED_TYPES, EventType, LogType, PersonalizationTrigger

K = TypeVar("K")

#: Behaviour loses half its weight in this time.
HALF_LIFE = 28 * DAY
#: What was engaged with lately loses half its weight in this time.
SHORT_HALF_LIFE = 7 * DAY
#: Landmark of the forward decay, 2020-01-01T00:00:00Z.
LANDMARK = 1_577_836_800 * 1_000_000
#: The row type under which followers see a decision.
DECIDED = "decided"

#: Half-lives after the landmark (until 2096) beyond which weights grow no more, so that none becomes infinite.
_MOST_HALF_LIVES = 1_000.0
#: Slot times of sends that are remembered one by one.
RECENT_SENDS = 64
#: Hours of engagements that are.
RECENT_OCCASIONS = 32

_SENDING = frozenset({DECIDED, str(LogType.ACTIVATED), str(LogType.DISCARDED)})
_ENGAGED = frozenset(str(t) for t in ENGAGED_TYPES)
_ENGAGEMENT = frozenset(str(t) for t in EventType)
_PATTERN_EVIDENCE = 10.0
_ENGAGEMENT_THRESHOLDS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class ContentPreferences:
    topics: tuple[str, ...] = ()
    tone: str | None = None
    length: str | None = None


@dataclass(frozen=True, kw_only=True)
class TimingPreferences:
    """preferred_hours: local hours 0..23."""

    preferred_hours: tuple[int, ...] = ()
    quiet_hours: QuietHours | None = None


@dataclass(frozen=True, kw_only=True)
class FrequencyPreferences:
    max_per_day: int | None = None
    max_per_week: int | None = None


@dataclass(frozen=True, kw_only=True)
class Consent:
    """None = not said, the tenant's default holds.

    channels           : False closes a channel for every message
    marketing_channels : False closes it for promotional ones (an unsubscribe or complaint says so)
    """

    personalization: bool | None = None
    learning: bool | None = None
    marketing: bool | None = None
    channels: Mapping[str, bool] = field(default_factory=dict)
    marketing_channels: Mapping[str, bool] = field(default_factory=dict)


class Patterns(msgspec.Struct, frozen=True, kw_only=True):
    """What the log taught of one person: forward-decayed counts (Cormode et al. 2009, exponential g).

    A count at time t is stored as the sum of exp(lambda (t_i - LANDMARK)) and read as that sum times
    exp(-lambda (t - LANDMARK)), so adding never touches old weight and late events find their place.

    channels : channel -> event type (or "sent") -> weight
    engaged  : local hour of week 0..167 -> weight of engagements
    sent     : local hour of week -> weight of sends
    engagements, exposures : weights of all of these together
    totals   : event type -> weight, whatever the channel
    monetary : decayed value of conversions; spend the undecayed one
    recent   : slot times of the newest (at most 64) live sends, ascending
    lately   : engagements with a half-life of 7 days, as of last_engaged_at
    shown    : `shown_key` of a variant -> when it went out last; the newest 32
    messages : those with a message_id that were sent lately; one by several channels stands once in `recent`
    occasions: the newest (at most 32) hours since 1970 in which they engaged, ascending, each once
    active   : local days with an engagement
    bought   : local days with a conversion of some value, and its amounts
    """

    channels: Mapping[str, Mapping[str, float]] = msgspec.field(default_factory=dict)
    engaged: Mapping[int, float] = msgspec.field(default_factory=dict)
    sent: Mapping[int, float] = msgspec.field(default_factory=dict)
    engagements: float = 0.0
    exposures: float = 0.0
    totals: Mapping[str, float] = msgspec.field(default_factory=dict)
    frequency: float = 0.0
    monetary: float = 0.0
    spend: float = 0.0
    events: int = 0
    sends: int = 0
    first_event_at: int | None = None
    last_event_at: int | None = None
    last_sent_at: int | None = None
    recent: tuple[int, ...] = ()
    lately: float = 0.0
    last_engaged_at: int | None = None
    messages: SentMessages = ()
    shown: Shown = msgspec.field(default_factory=dict)
    occasions: tuple[int, ...] = ()
    active: DayBook = DayBook()
    bought: DayBook = DayBook()

    def after(self, entry: LogEntry) -> Patterns:
        """The patterns once this row of the log is known; rows that say nothing of behaviour change nothing."""
        if entry.type in _ENGAGEMENT:
            return self._after_engagement(entry)
        if entry.type in _SENDING and entry.channel:
            messages = sent(self.messages, entry) if entry.type == DECIDED else changed(self.messages, entry)
            if entry.active:
                return self._after_send(entry, -1.0 if entry.type == LogType.DISCARDED else +1.0, messages)
            return self if messages is self.messages else replace(self, messages=messages)
        if entry.type == LogType.ANONYMIZED and (self.messages or self.recent):
            return replace(self, messages=(), recent=())  # the log's rows name no message any more
        return self

    def _after_send(self, entry: LogEntry, sign: float, messages: SentMessages) -> Patterns:
        weight = sign * growth(entry.at)
        return replace(
            self,
            channels=_added2(self.channels, entry.channel or "", "sent", weight),
            sent=_added(self.sent, _local_hour(entry), weight),
            exposures=self.exposures + weight,
            sends=self.sends + int(sign),
            last_sent_at=_latest(self.last_sent_at, entry.at) if sign > 0 else self.last_sent_at,
            recent=self._recent_after(entry, sign, messages),
            shown=shown_after(self.shown, entry, sign > 0),
            messages=messages,
        )

    def _recent_after(self, entry: LogEntry, sign: float, messages: SentMessages) -> tuple[int, ...]:
        """A message stands at its first send."""
        if messages is self.messages:
            return _with(self.recent, entry.at) if sign > 0 else _without(self.recent, entry.at)
        found = message_of(self.messages, decision_key(entry.decision_id)) if entry.message is None else None
        key = found.key if found is not None else entry.message
        was, now = first_of(self.messages, key), first_of(messages, key)
        if was == now:
            return self.recent
        recent = self.recent if was is None else _without(self.recent, was)
        return recent if now is None else _with(recent, now)

    def _after_engagement(self, entry: LogEntry) -> Patterns:
        weight = growth(entry.at)
        value = entry.value if entry.type == EventType.CONVERTED and entry.value else 0.0
        engaged, rewarded = _likes(entry), entry.type == EventType.REWARDED
        told, acted = engaged or not rewarded, engaged and not rewarded
        return replace(
            self,
            channels=_added2(self.channels, entry.channel, entry.type, weight) if entry.channel and told else self.channels,
            engaged=_added(self.engaged, _local_hour(entry), weight) if acted else self.engaged,
            engagements=self.engagements + weight * engaged,
            lately=self._lately_with(entry.at) if engaged else self.lately,
            last_engaged_at=_latest(self.last_engaged_at, entry.at) if engaged else self.last_engaged_at,
            occasions=_once(self.occasions, entry.at // HOUR) if engaged and not rewarded else self.occasions,
            totals=_added(self.totals, entry.type, weight),
            frequency=self.frequency + weight,
            monetary=self.monetary + weight * value,
            spend=self.spend + value,
            events=self.events + 1,
            first_event_at=entry.at if self.first_event_at is None else min(self.first_event_at, entry.at),
            last_event_at=_latest(self.last_event_at, entry.at),
            messages=changed(self.messages, entry) if self.messages else self.messages,
            active=self.active.after(day_of(entry.at, entry.zone_offset)) if acted else self.active,
            bought=self.bought.after(day_of(entry.at, entry.zone_offset), value) if value > 0.0 else self.bought,
        )

    def _lately_with(self, at: int) -> float:
        if self.last_engaged_at is None:
            return 1.0
        if at < self.last_engaged_at:
            return self.lately + faded(self.last_engaged_at - at)
        return self.lately * faded(at - self.last_engaged_at) + 1.0

    def engaged_lately(self, now: int) -> float:
        """Engagements with a half-life of 7 days, as of `now`."""
        return 0.0 if self.last_engaged_at is None else self.lately * faded(now - self.last_engaged_at)

    def engagement_score(self, now: int) -> float:
        """Posterior mean share of sends that were engaged with, Beta(1, 3) prior."""
        fade = fading(now)
        engaged = fade * self.engagements
        return (engaged + 1.0) / (max(fade * self.exposures, engaged) + 4.0)

    def load(self, now: int, period: int = 7 * DAY) -> int:
        """Live sends with a slot in [now - period, now), 64 at most."""
        return bisect_left(self.recent, now) - bisect_left(self.recent, now - period)

    def engaged_on(self, channel: str) -> float:
        """Stored (undecayed) weight of engagements on a channel."""
        counts = self.channels.get(channel, {})
        return sum([weight for type_, weight in counts.items() if type_ in _ENGAGED or type_ == EventType.REWARDED])

    def sent_on(self, channel: str) -> float:
        return self.channels.get(channel, {}).get("sent", 0.0)


class PersonalizationProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One person's profile. Declared sections come from callers, `patterns` from the log alone.

    version     : grows by one with every declared change; 0 = nothing declared yet, only behaviour is known
    learned_seq : the last row of the log that changed `patterns`
    """

    tenant_id: str
    user_ref: bytes
    version: int = 0
    created_at: int = 0
    updated_at: int = 0
    attributes: Mapping[str, Any] = msgspec.field(default_factory=dict)
    traits: Mapping[str, Any] = msgspec.field(default_factory=dict)
    language: str | None = None
    timezone: str | None = None
    content_preferences: ContentPreferences = ContentPreferences()
    channel_preferences: Mapping[str, float] = msgspec.field(default_factory=dict)
    timing_preferences: TimingPreferences = TimingPreferences()
    frequency_preferences: FrequencyPreferences = FrequencyPreferences()
    reachability: Mapping[str, bool] = msgspec.field(default_factory=dict)
    consent: Consent = Consent()
    patterns: Patterns = Patterns()
    learned_seq: int = 0
    triggers: tuple[PersonalizationTrigger, ...] = ()

    def after(self, entry: LogEntry) -> PersonalizationProfile:
        """The profile once this row of the log is known. Applying a row twice is a mistake of the caller's."""
        patterns = self.patterns.after(entry)
        if patterns is self.patterns:
            return self
        due = _crossed(self.patterns, patterns, entry)
        triggers = tuple(dict.fromkeys((*self.triggers, *due))) if due else self.triggers
        return replace(self, patterns=patterns, learned_seq=entry.seq, triggers=triggers)

    @property
    def declared(self) -> bool:
        """Whether callers know this profile; without a declaration it holds behaviour alone."""
        return self.version > 0

    def due_triggers(self) -> tuple[PersonalizationTrigger, ...]:
        """The reasons, gathered by `after` since loading, to look at this profile anew."""
        return self.triggers

    def allows(self, section: str, default: bool) -> bool:
        """Whether consent to "personalization", "learning" or "marketing" is given; `default` where nothing was said."""
        said = getattr(self.consent, section)
        return default if said is None else bool(said)

    def engagement_score(self, now: int) -> float:
        """Posterior mean share of sends that were engaged with, Beta(1, 3) prior, in 0..1."""
        return self.patterns.engagement_score(now)

    def confidence_level(self, now: int) -> float:
        """Share of what is believed that evidence rather than the prior says, n / (n + 10)."""
        n = fading(now) * (self.patterns.frequency + max(self.patterns.exposures, 0.0))
        return n / (n + 10.0)

    def data_quality_score(self) -> float:
        """Share of the sections a decision reads that are filled."""
        filled = (
            bool(self.attributes),
            bool(self.traits),
            self.language is not None,
            self.timezone is not None,
            bool(self.channel_preferences) or bool(self.patterns.channels),
            bool(self.timing_preferences.preferred_hours) or bool(self.patterns.engaged),
        )
        return sum(filled) / len(filled)


def growth(at: int) -> float:
    """Forward-decay weight of something that happens at `at`."""
    return math.exp2(min((at - LANDMARK) / HALF_LIFE, _MOST_HALF_LIVES))


@lru_cache(maxsize=64)
def fading(now: int) -> float:
    """What turns stored weights into counts as of `now`."""
    return math.exp2((LANDMARK - now) / HALF_LIFE)


def faded(age: int) -> float:
    """What the short half-life leaves of one after `age`; nothing fades before its time."""
    return math.exp2(-max(age, 0) / SHORT_HALF_LIFE)


def _likes(entry: LogEntry) -> bool:
    """Whether a row says that the message reached the person and they liked it. When a reward was given says nothing of when
    they did."""
    return entry.type in _ENGAGED or (entry.type == EventType.REWARDED and (entry.value or 0.0) > 0.0)


def _local_hour(entry: LogEntry) -> int:
    return hour_of_week(entry.at, entry.zone_offset * (HOUR // 60))


def _with(recent: tuple[int, ...], at: int) -> tuple[int, ...]:
    if not recent or at >= recent[-1]:
        return (*recent[-RECENT_SENDS + 1 :], at)
    found = list(recent)
    insort(found, at)
    return tuple(found[-RECENT_SENDS:])


def _once(occasions: tuple[int, ...], hour: int) -> tuple[int, ...]:
    """The newest hours with this one among them; the same whatever the order they come in."""
    k = bisect_left(occasions, hour)
    if k < len(occasions) and occasions[k] == hour:
        return occasions
    return (*occasions[:k], hour, *occasions[k:])[-RECENT_OCCASIONS:]


def _without(recent: tuple[int, ...], at: int) -> tuple[int, ...]:
    """One of those at that time is taken out; one that is no longer remembered leaves nothing to take."""
    k = bisect_left(recent, at)
    return recent[:k] + recent[k + 1 :] if k < len(recent) and recent[k] == at else recent


def _latest(known: int | None, at: int) -> int:
    return at if known is None else max(known, at)


def _added(counts: Mapping[K, float], key: K, weight: float) -> dict[K, float]:
    return {**counts, key: counts.get(key, 0.0) + weight}


def _added2(counts: Mapping[str, Mapping[str, float]], outer: str, inner: str, weight: float) -> dict[str, Mapping[str, float]]:
    return {**counts, outer: _added(counts.get(outer, {}), inner, weight)}


def _crossed(before: Patterns, now: Patterns, entry: LogEntry) -> list[PersonalizationTrigger]:
    """The triggers that this row sets off."""
    triggers = [PersonalizationTrigger.USER_INTERACTION] if entry.type in _ENGAGEMENT else []
    fade = fading(entry.at)
    if fade * before.engagements < _PATTERN_EVIDENCE <= fade * now.engagements:
        triggers.append(PersonalizationTrigger.BEHAVIORAL_PATTERN)
    old, new = before.engagement_score(entry.at), now.engagement_score(entry.at)
    if any((old < t) != (new < t) for t in _ENGAGEMENT_THRESHOLDS):
        triggers.append(PersonalizationTrigger.ENGAGEMENT_THRESHOLD)
    if entry.type in (EventType.UNSUBSCRIBED, EventType.COMPLAINED):
        triggers.append(PersonalizationTrigger.PREDICTIVE_SIGNAL)
    return triggers
