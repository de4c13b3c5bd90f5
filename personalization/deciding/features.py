"""What the policy sees of a decision: a short list of (key, value) pairs, values quantised."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from personalization.learning.bandits import BIAS, feature_key
from personalization.profile import PersonalizationProfile

#: One unit of a recorded feature value.
QUANTUM = 1 / 256
#: Features beyond the bias; what comes later in the order below is left out.
_MOST = 23

#: A longer text is no category.
_LONGEST = 64

#: A feature as recorded: key and value in quanta.
Quantised = tuple[int, int]

_ONE = int(1 / QUANTUM)
_DAYPARTS = ("night", "night", "morning", "morning", "afternoon", "evening")


#: A feature before hashing: its name and its value in quanta.
Named = tuple[str, int]


def profile_features(profile: PersonalizationProfile | None, language: str) -> Iterable[Named]:
    """Traits by name, then the language."""
    if profile is None:
        yield "profile=unknown", _ONE
    else:
        yield from _declared("trait", profile.traits)
    yield f"language={language}", _ONE


def moment_features(hour_of_week: int, context: Mapping[str, Any]) -> Iterable[Named]:
    """Day part, weekend, and whatever the caller passes in the context (unknown keys are features by hashing)."""
    day, hour = divmod(hour_of_week, 24)
    yield f"daypart={_DAYPARTS[hour // 4]}", _ONE
    yield f"weekend={day >= 5}", _ONE
    yield from _declared("context", context)


def gathered(*parts: Iterable[Named]) -> tuple[tuple[Quantised, ...], dict[int, str]]:
    """The bias and at most 23 features, each key once; and the names behind the keys, for explanations."""
    features, names = {BIAS: _ONE}, {BIAS: "variant"}
    for name, value in chain.from_iterable(parts):
        key = feature_key(name)
        if value and key not in features:
            features[key], names[key] = value, name
            if len(features) > _MOST:
                break
    return tuple(features.items()), names


def _declared(kind: str, declared: Mapping[str, Any]) -> Iterable[Named]:
    for name in sorted(declared):
        value = declared[name]
        if isinstance(value, bool):
            yield f"{kind}:{name}={value}", _ONE
        elif isinstance(value, int | float):
            yield f"{kind}:{name}", round(math.asinh(value) * 0.5 / QUANTUM)
        elif isinstance(value, str) and len(value) <= _LONGEST:
            yield f"{kind}:{name}={value}", _ONE
