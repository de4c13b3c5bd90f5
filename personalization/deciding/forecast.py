"""What will likely happen after a send: shares of a model's past decisions, drawn towards the person's own."""

from __future__ import annotations

from collections.abc import Mapping

from personalization.profile import PersonalizationProfile, fading
from personalization.vocabulary import EventType

#: Event types of the four forecasts, and the shares believed before any data (pseudo-decisions: _PRIOR).
_TYPES = (EventType.OPENED, EventType.CLICKED, EventType.CONVERTED, EventType.UNSUBSCRIBED)
_FIRST_GUESS = (0.2, 0.03, 0.01, 0.002)
_PRIOR, _PERSONAL = 20.0, 10.0


def forecast(counts: Mapping[str, float], profile: PersonalizationProfile | None, now: int) -> tuple[float, float, float, float]:
    """P(open), P(click), P(convert), P(unsubscribe): two nested Beta posteriors, tenant's model, then person.

    counts : "exposed" and event types -> decisions of the model
    """
    exposed = counts.get("exposed", 0.0)
    shares = [
        (_PRIOR * guess + counts.get(type_, 0.0)) / (_PRIOR + exposed) for type_, guess in zip(_TYPES, _FIRST_GUESS, strict=True)
    ]
    if profile is not None and profile.patterns.channels:
        fade, channels = fading(now), profile.patterns.channels.values()
        sent = fade * sum(counts_.get("sent", 0.0) for counts_ in channels)
        own = [fade * sum(counts_.get(type_, 0.0) for counts_ in channels) for type_ in _TYPES]
        shares = [(_PERSONAL * s + min(k, sent)) / (_PERSONAL + max(sent, 0.0)) for s, k in zip(shares, own, strict=True)]
    a, b, c, d = (round(min(max(share, 0.0), 1.0), 4) for share in shares)
    return a, b, c, d
