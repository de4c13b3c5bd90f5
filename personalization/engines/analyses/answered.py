"""How many messages were sent and how many of them engaged with. A send that was opened and clicked has two events and is one."""

from __future__ import annotations

from personalization.learning.proportions import Share
from personalization.profile import PersonalizationProfile, fading, growth
from personalization.vocabulary import ENGAGED_TYPES, EventType

#: Share of sends engaged with before any data, as in `engagement_score`.
PRIOR = Share(1.0, 3.0)
_ENGAGED = frozenset(map(str, ENGAGED_TYPES))
_LIKED = _ENGAGED | {str(EventType.REWARDED)}


def share(profile: PersonalizationProfile, now: int) -> Share:
    """Of all sends."""
    return PRIOR.after(answered(profile, now), sent(profile, now))


def share_on(profile: PersonalizationProfile, channel: str, now: int) -> Share:
    return PRIOR.after(answered_on(profile, channel, now), sent_on(profile, channel, now))


def sent(profile: PersonalizationProfile, now: int) -> float:
    """Decayed sends so far; those still to come are counted and not yet answered."""
    to_come = sum([growth(at) for at in profile.patterns.recent if at > now])
    return fading(now) * max(profile.patterns.exposures - to_come, 0.0)


def answered_on(profile: PersonalizationProfile, channel: str, now: int) -> float:
    """Decayed sends by this channel that were engaged with, at least: as many as the most frequent kind of engagement."""
    counts = profile.patterns.channels.get(channel, {})
    return fading(now) * max([counts.get(type_, 0.0) for type_ in _LIKED])


def sent_on(profile: PersonalizationProfile, channel: str, now: int) -> float:
    return fading(now) * max(profile.patterns.sent_on(channel), 0.0)


def answered(profile: PersonalizationProfile, now: int) -> float:
    """By all channels, and by none that was named."""
    patterns = profile.patterns
    unnamed = [
        patterns.totals.get(type_, 0.0) - sum([counts.get(type_, 0.0) for counts in patterns.channels.values()])
        for type_ in _ENGAGED
    ]
    return sum([answered_on(profile, channel, now) for channel in patterns.channels]) + fading(now) * max(*unnamed, 0.0)


def once(profile: PersonalizationProfile, now: int) -> float:
    """What an event of engagement weighs, so that all of them weigh as many as the sends that were answered: events of one
    send come together and are no evidence of each other (the design effect of Rao and Scott 1981, to first order)."""
    events = fading(now) * profile.patterns.engagements
    return min(answered(profile, now) / events, 1.0) if events > 0.0 else 1.0
