"""How many messages were sent and how many of them engaged with. A send that was opened and clicked has two events and is one."""

from __future__ import annotations

from personalization.learning.proportions import Share
from personalization.profile import PersonalizationProfile, fading, growth
from personalization.vocabulary import ENGAGED_TYPES, EventType

#: Share of sends engaged with before any data, as in `engagement_score`.
PRIOR = Share(1.0, 3.0)
#: An answer is younger than its send and weighs a little more. More answers a send than this are answers to unknown sends.
_YOUNGER = 1.1
_ENGAGED = frozenset(map(str, ENGAGED_TYPES))
_LIKED = _ENGAGED | {str(EventType.REWARDED)}


def counted(profile: PersonalizationProfile, weight: float, now: int) -> float:
    """A stored weight as a count as of `now`. What is still to come counts once at most, however far ahead it lies."""
    return min(max(fading(now) * weight, 0.0), float(profile.patterns.events + max(profile.patterns.sends, 0)))


def share(profile: PersonalizationProfile, now: int) -> Share:
    """Of all sends; the prior where they are not known."""
    return PRIOR.after(*_known(answered(profile, now), sent(profile, now)))


def share_on(profile: PersonalizationProfile, channel: str, now: int) -> Share:
    return PRIOR.after(*counts_on(profile, channel, now))


def counts_on(profile: PersonalizationProfile, channel: str, now: int) -> tuple[float, float]:
    """Answers and sends, both 0 where the sends are not known."""
    return _known(answered_on(profile, channel, now), sent_on(profile, channel, now))


def sends_known(profile: PersonalizationProfile, now: int) -> bool:
    """Whether there are sends, and enough for the engagement to be answers to them: events may be reported without any."""
    return _known(answered(profile, now), sent(profile, now))[1] > 0.0


def _known(answers: float, sends: float) -> tuple[float, float]:
    return (min(answers, sends), sends) if answers <= _YOUNGER * sends else (0.0, 0.0)


def sent(profile: PersonalizationProfile, now: int) -> float:
    """Decayed sends so far; those still to come are counted and not yet answered."""
    to_come = sum([growth(at) for at in profile.patterns.recent if at > now])
    return counted(profile, profile.patterns.exposures - to_come, now)


def answered_on(profile: PersonalizationProfile, channel: str, now: int) -> float:
    """Decayed sends by this channel that were engaged with, at least: as many as the most frequent kind of engagement."""
    counts = profile.patterns.channels.get(channel, {})
    return counted(profile, max([counts.get(type_, 0.0) for type_ in _LIKED]), now)


def sent_on(profile: PersonalizationProfile, channel: str, now: int) -> float:
    return counted(profile, profile.patterns.sent_on(channel), now)


def answered(profile: PersonalizationProfile, now: int) -> float:
    """By all channels, and by those that no event named."""
    patterns = profile.patterns
    unnamed = [
        patterns.totals.get(type_, 0.0) - sum([counts.get(type_, 0.0) for counts in patterns.channels.values()])
        for type_ in _ENGAGED
    ]
    return sum([answered_on(profile, channel, now) for channel in patterns.channels]) + counted(profile, max(unnamed), now)


def once(profile: PersonalizationProfile, now: int) -> float:
    """What an event of engagement weighs, so that all of them weigh as many as the sends that were answered: events of one
    send come together and are no evidence of each other (the design effect of Rao and Scott 1981, to first order)."""
    events = counted(profile, profile.patterns.engagements, now)
    return min(answered(profile, now) / events, 1.0) if events > 0.0 else 1.0
