"""What will likely happen after a send: nested posteriors, of the model's decisions, of its newest ones, and of the person's own.

A policy that learns earns more from week to week, and the shares of all its decisions lag behind. So the mean of all of them is
only where the newest begin: of events of one kind, k of n (weights that fade), with the share s of all decisions and A of them
believed before (a Gamma prior of shape A on a Poisson rate, Gelman et al. 2013, section 2.6), the share is

    (1)  (A + k) / (A / s + n)

so that what is frequent follows within some hundred decisions, and what is rare keeps the evidence of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from personalization.models.features import EXPECTED, PERSONAL
from personalization.profile import PersonalizationProfile, fading

#: Pseudo-decisions that the shares believed before any data weigh, and A of equation (1).
_PRIOR, _EVENTS = 20.0, 20.0
_NONE: Mapping[str, float] = MappingProxyType({})

Forecast = tuple[float, float, float, float]


def shares_of(counts: Mapping[str, float], lately: Mapping[str, float] = _NONE) -> Forecast:
    """P(open), P(click), P(convert), P(unsubscribe) of a model's decisions.

    counts : "exposed" and event types -> decisions of the model
    lately : the same of those whose wait is over, weights that fade
    """
    n, recent = _PRIOR + counts.get("exposed", 0.0), lately.get("exposed", 0.0)
    a, b, c, d = [
        _of_late((_PRIOR * share + counts.get(type_, 0.0)) / n, lately.get(type_, 0.0), recent) for type_, share in EXPECTED.items()
    ]
    return a, b, c, d


def _of_late(share: float, events: float, sends: float) -> float:
    """Equation (1)."""
    return min((_EVENTS + events) / (_EVENTS / share + sends), 1.0)


def forecast(shares: Forecast, profile: PersonalizationProfile | None, now: int) -> Forecast:
    """The model's shares drawn towards the person's own, in steps of 1/10,000."""
    if profile is None or profile.patterns.exposures <= 0.0:
        return _rounded(shares)
    fade, totals = fading(now), profile.patterns.totals
    sent = fade * profile.patterns.exposures
    n = PERSONAL + sent
    a, b, c, d = [
        round((PERSONAL * share + min(fade * totals[type_], sent)) / n if type_ in totals else PERSONAL * share / n, 4)
        for type_, share in zip(EXPECTED, shares, strict=True)
    ]
    return a, b, c, d


@lru_cache(maxsize=1024)
def _rounded(shares: Forecast) -> Forecast:
    a, b, c, d = (round(min(max(share, 0.0), 1.0), 4) for share in shares)
    return a, b, c, d
