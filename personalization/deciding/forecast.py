"""What will likely happen after a send: two nested Beta posteriors, the model's decisions and then the person's own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from personalization.profile import PersonalizationProfile, fading

#: Event types of the four forecasts, and the shares believed before any data (pseudo-decisions: _PRIOR).
_GUESSES = (("opened", 0.2), ("clicked", 0.03), ("converted", 0.01), ("unsubscribed", 0.002))
_PRIOR, _PERSONAL = 20.0, 10.0


Forecast = tuple[float, float, float, float]


def shares_of(counts: Mapping[str, float]) -> Forecast:
    """P(open), P(click), P(convert), P(unsubscribe) of a model's decisions: Beta posterior means.

    counts : "exposed" and event types -> decisions of the model
    """
    n = _PRIOR + counts.get("exposed", 0.0)
    a, b, c, d = ((_PRIOR * guess + counts.get(type_, 0.0)) / n for type_, guess in _GUESSES)
    return a, b, c, d


def forecast(shares: Forecast, profile: PersonalizationProfile | None, now: int) -> Forecast:
    """The model's shares drawn towards the person's own, in steps of 1/10,000."""
    if profile is None or profile.patterns.exposures <= 0.0:
        return _rounded(shares)
    fade, totals = fading(now), profile.patterns.totals
    sent = fade * profile.patterns.exposures
    n = _PERSONAL + sent
    a, b, c, d = [
        round((_PERSONAL * share + min(fade * totals[type_], sent)) / n if type_ in totals else _PERSONAL * share / n, 4)
        for (type_, _), share in zip(_GUESSES, shares, strict=True)
    ]
    return a, b, c, d


@lru_cache(maxsize=1024)
def _rounded(shares: Forecast) -> Forecast:
    a, b, c, d = (round(min(max(share, 0.0), 1.0), 4) for share in shares)
    return a, b, c, d
