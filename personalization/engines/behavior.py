"""The behaviour engine: what a person's engagement so far says, in words and numbers, of the next message."""

from __future__ import annotations

from functools import lru_cache

from personalization.engines.analyses import channel, engagement, lifecycle, timing
from personalization.engines.analyses.finding import Analysis
from personalization.engines.pace import FALLING, FATIGUED, ON_TARGET, OVER, RESTED, RISING, STEADY, TIRING, UNDER, pace
from personalization.engines.reading import NOTHING, Reading, category, reading
from personalization.messages import PersonalizationRequest
from personalization.profile import PersonalizationProfile

_PARTS = ("momentum", "saturation", "fatigue")
#: What is usual makes no feature, since the policy pays for each.
_USUAL = frozenset({STEADY, ON_TARGET, RESTED})
#: Names of the features that can be.
PACES = (
    *(f"momentum={word}" for word in (RISING, FALLING)),
    *(f"saturation={word}" for word in (UNDER, OVER)),
    *(f"fatigue={word}" for word in (TIRING, FATIGUED)),
)


def read(profile: PersonalizationProfile | None, request: PersonalizationRequest, now: int) -> Reading:
    """Momentum, saturation and fatigue; at most three features, none of somebody nothing is known of. O(log 64)."""
    patterns = profile.patterns if profile is not None else None
    if patterns is None or not (patterns.recent or patterns.events):
        return NOTHING
    return _reading(pace(patterns, now).words)


@lru_cache(maxsize=64)
def _reading(words: tuple[str | None, str, str]) -> Reading:
    found = tuple(zip(_PARTS, words, strict=True))
    signals = [category(part, word) for part, word in found if word is not None and word not in _USUAL]
    return reading(signals, tuple((part, word) for part, word in found if word in _USUAL))


#: The kinds of analysis: patterns found, how strong (0..1), on how much decayed evidence, what they imply.
ANALYSES: dict[str, Analysis] = {
    "engagement": engagement.analysis,
    "timing": timing.analysis,
    "channel": channel.analysis,
    "lifecycle": lifecycle.analysis,
}
