"""What the policy sees of a decision: a short list of (key, value) pairs, values quantised."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from personalization.engines import context as context_engine
from personalization.engines.behavior import PACES
from personalization.engines.calendars import WEEKEND, WORKDAY
from personalization.engines.context import MOMENTS, moment, passed
from personalization.engines.reading import ONE, Reading, Signal, category, declared, feature_of
from personalization.learning.encoding import BIAS, Feature, feature_key
from personalization.profile import PersonalizationProfile
from personalization.recent import Recent

#: Features beyond the bias; what comes later in the order is left out.
_MOST = 23

_BIAS = ((BIAS, ONE),)

#: Profiles whose features are remembered.
_profiles: Recent[tuple[str, bytes, int, str], tuple[Feature, ...]] = Recent(20_000)


def profile_features(profile: PersonalizationProfile | None, language: str) -> tuple[Feature, ...]:
    """Traits by name, then the language. The same for every decision of one profile version, so they are remembered."""
    if profile is None:
        return _unknown(language)
    key = (profile.tenant_id, profile.user_ref, profile.version, language)
    found = _profiles.get(key)
    if found is None:
        found = _keyed(_of_profile(profile, language))
        _profiles.put(key, found)
    return found


def forget() -> None:
    """Drop every remembered profile, trait, context value and language."""
    _profiles.clear()
    _unknown.cache_clear()
    context_engine.forget()
    feature_key.cache_clear()
    feature_of.cache_clear()


def moment_features(hour_of_week: int) -> Reading:
    """Of an hour somewhere without public holidays."""
    return moment(hour_of_week, WEEKEND if hour_of_week // 24 >= 5 else WORKDAY)


def gathered(who: tuple[Feature, ...], *readings: Reading) -> tuple[Feature, ...]:
    """The bias and at most 23 features."""
    features = _BIAS + who
    for reading in readings:
        features += reading.features
    return features if len(features) <= _MOST + 1 else features[: _MOST + 1]


def feature_names(profile: PersonalizationProfile | None, language: str, context: Mapping[str, Any]) -> dict[int, str]:
    """Names behind the keys that `gathered` may hold, for explanations."""
    named = [name for name, _ in _of_profile(profile, language)]
    return {BIAS: "variant"} | {feature_of(name): name for name in (*named, *_CLOSED, *passed(context).names)}


#: Of the features that the engines name themselves.
_CLOSED = ("profile=unknown", *MOMENTS, *PACES)


@lru_cache(maxsize=1024)
def _unknown(language: str) -> tuple[Feature, ...]:
    return _keyed(_of_profile(None, language))


def _of_profile(profile: PersonalizationProfile | None, language: str) -> list[Signal]:
    who = [category("profile", "unknown")] if profile is None else declared("trait", profile.traits)
    return [*who, category("language", language)]


def _keyed(signals: list[Signal]) -> tuple[Feature, ...]:
    return tuple([(feature_of(name), value) for name, value in signals])
