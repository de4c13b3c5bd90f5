"""What the policy sees of a decision: a short list of (key, value) pairs, values quantised."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from personalization.learning.encoding import BIAS, QUANTUM, Feature, feature_key
from personalization.profile import PersonalizationProfile
from personalization.recent import Recent

#: Features beyond the bias; what comes later in the order below is left out.
_MOST = 23

#: A longer text is no category.
_LONGEST = 64

_ONE = int(1 / QUANTUM)
_BIAS = ((BIAS, _ONE),)
_DAYPARTS = ("night", "night", "morning", "morning", "afternoon", "evening")


#: Profiles whose features are remembered.
_profiles: Recent[tuple[str, bytes, int, str], tuple[Feature, ...]] = Recent(20_000)


def profile_features(profile: PersonalizationProfile | None, language: str) -> tuple[Feature, ...]:
    """Traits by name, then the language. The same for every decision of one profile version, so they are remembered."""
    if profile is None:
        return _unknown(language)
    key = (profile.tenant_id, profile.user_ref, profile.version, language)
    found = _profiles.get(key)
    if found is None:
        found = (*_declared("trait", profile.traits), _category("language", language, ambient=True))
        _profiles.put(key, found)
    return found


def forget() -> None:
    """Drop every remembered profile, trait, context value and language."""
    _profiles.clear()
    _unknown.cache_clear()
    feature_key.cache_clear()


@lru_cache(maxsize=256)
def moment_features(hour_of_week: int) -> tuple[Feature, ...]:
    """Day part and weekend."""
    day, hour = divmod(hour_of_week, 24)
    return _category("daypart", _DAYPARTS[hour // 4], ambient=True), _category("weekend", day >= 5, ambient=True)


def context_features(context: Mapping[str, Any]) -> tuple[Feature, ...]:
    """Whatever the caller passes: unknown keys are features by hashing."""
    return tuple(_declared("context", context)) if context else ()


def gathered(*parts: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """The bias and at most 23 features."""
    features = sum(parts, _BIAS)
    return features if len(features) <= _MOST + 1 else features[: _MOST + 1]


def feature_names(profile: PersonalizationProfile | None, language: str, context: Mapping[str, Any]) -> dict[int, str]:
    """Names behind the keys that `gathered` may hold, for explanations."""
    traits = profile.traits if profile is not None else {}
    ambient = [f"language={language}", *(f"daypart={part}" for part in _DAYPARTS), "weekend=True", "weekend=False"]
    named = ["profile=unknown"]
    named += [f"trait:{name}{end}" for name, value in traits.items() for end in ("", f"={value}")]
    named += [f"context:{name}{end}" for name, value in context.items() for end in ("", f"={value}")]
    return {BIAS: "variant"} | {feature_key(name, True): name for name in ambient} | {feature_key(name): name for name in named}


@lru_cache(maxsize=1024)
def _unknown(language: str) -> tuple[Feature, ...]:
    return _category("profile", "unknown"), _category("language", language, ambient=True)


def _category(name: str, value: object, ambient: bool = False) -> Feature:
    return feature_key(f"{name}={value}", ambient), _ONE


def _declared(kind: str, declared: Mapping[str, Any]) -> Iterator[Feature]:
    for name in sorted(declared):
        value = declared[name]
        if isinstance(value, bool):
            yield _category(f"{kind}:{name}", value)
        elif isinstance(value, int | float):
            yield feature_key(f"{kind}:{name}"), round(math.asinh(value) * 0.5 / QUANTUM)
        elif isinstance(value, str) and len(value) <= _LONGEST:
            yield _category(f"{kind}:{name}", value)
