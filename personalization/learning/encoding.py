"""Features as numbers: what is known of a person and a moment, and what an action is made of.

A decision's design is phi = x (x) u, every context feature seen together with every action feature (Li et al. 2010, hybrid
form), so what is learned of a feature serves variants never seen, and an anonymous context (the bias alone) still has the
offsets. Beside it stand pieces of evidence about this one person, each with a weight shared by everybody.

An action is u = {shared, the variant and its declared features, the channel, the hour's harmonics, weekend}. Hours are a
Fourier series of the local hour of day with HARMONICS pairs, so neighbouring hours learn from each other and midnight has
no seam.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: One unit of a context feature's value, and of a piece of evidence (in logits).
QUANTUM, EVIDENCE = 1 / 256, 1 / 32
#: (key, value in quanta): one active feature.
Feature = tuple[int, int]
#: The context feature that is always 1, and the action feature that every action has.
BIAS, SHARED = 1, 1

#: Bits of a key: whether the feature only surrounds the decision, whether it only tells how much is engaged with at all, its
#: family (what stands before "="), its name.
_AMBIENT, _LEVEL, _FAMILY_BITS, _NAME_BITS = 1 << 31, 1 << 30, 6, 24

#: Kinds of action features: each has a prior of its own.
KIND_SHARED, KIND_VARIANT, KIND_CHANNEL, KIND_WEEKEND, KIND_EVIDENCE = 0, 1, 2, 3, 4
KIND_HARMONIC = 5
HARMONICS = 3
KIND_LOAD = KIND_HARMONIC + HARMONICS


@lru_cache(maxsize=65536)
def feature_key(name: str, ambient: bool = False, level: bool = False) -> int:
    """A stable 32-bit key of a feature named "family=value" or "family", never BIAS. Same name, same key, in every process.

    ambient : it surrounds the decision (language, day part) rather than being declared of it; believed to matter less
    level   : it tells how much this person engages with now, not with what
    """
    family = _hashed(name.partition("=")[0], _FAMILY_BITS)
    return max(_AMBIENT * ambient | _LEVEL * level | family << _NAME_BITS | _hashed(name, _NAME_BITS), 2)


def family_of(key: int) -> int:
    """Features of one family share a prior. 0 for the bias."""
    return 0 if key == BIAS else 1 + (key >> _NAME_BITS)


def is_ambient(key: int) -> bool:
    return bool(key & _AMBIENT)


def tells_level(key: int) -> bool:
    return bool(key & _LEVEL)


def _hashed(name: str, bits: int) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big") & ((1 << bits) - 1)


def cross_key(context: int, action: int) -> int:
    """The key of a context feature seen together with an action feature (multiplicative hash, 32 bits)."""
    mixed = (context * 0x9E3779B1 + action * 0x85EBCA77) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF


# -- actions ---------------------------------------------------------------------------------------------------------


class ActKey(NamedTuple):
    """An action feature: its kind and its key."""

    kind: int
    key: int


SHARED_ACT = ActKey(KIND_SHARED, SHARED)
#: Evidence that this person likes a channel, or an hour: log-odds over their mean of channels or hours.
PREFERENCE, HABIT = (ActKey(KIND_EVIDENCE, feature_key(f"evidence:{name}")) for name in ("channel", "hour"))
#: The person's load: sends of their last seven days, and those beyond LIGHT of them, in fours.
LOADED = tuple(ActKey(KIND_LOAD, feature_key(f"load:{name}")) for name in ("all", "beyond"))
LIGHT = 3
_WAVES = [(k, name) for k in range(1, HARMONICS + 1) for name in ("cos", "sin")]
#: What the local hour of week of a slot activates.
HOUR_ACTS: tuple[ActKey, ...] = (
    *(ActKey(KIND_HARMONIC + k - 1, feature_key(f"hour:{name}{k}")) for k, name in _WAVES),
    ActKey(KIND_WEEKEND, feature_key("hour:weekend")),
)


def variant_acts(variant_id: str, features: Iterable[tuple[str, object]]) -> tuple[int, ...]:
    """Keys of the variant's own offset and of its declared features (at most 8, by name)."""
    declared = [feature_key(f"action:{name}={value}") for name, value in sorted(features)[:8]]
    return (feature_key(f"arm:{variant_id}"), *declared)


def channel_key(name: str) -> int:
    return feature_key(f"channel={name}")


def hour_values(hour_of_week: int) -> tuple[float, ...]:
    """Of HOUR_ACTS."""
    return _HOURS[hour_of_week]


def _hour_values(hour_of_week: int) -> tuple[float, ...]:
    day, hour = divmod(hour_of_week, 24)
    turn = 2.0 * math.pi * hour / 24
    waves = [round((math.cos if name == "cos" else math.sin)(k * turn), 12) for k, name in _WAVES]
    return (*waves, float(day >= 5))


_HOURS = tuple(_hour_values(hour) for hour in range(168))


def evidence(logits: float) -> int:
    """In quanta, cut to a byte.

    >>> evidence(1.0), evidence(-99.0)
    (32, -127)
    """
    return max(-127, min(127, round(logits / EVIDENCE)))


def evidences(logits: npt.NDArray[np.float64]) -> bytes:
    """`evidence` of each, a signed byte each."""
    return np.clip(np.rint(logits / EVIDENCE), -127, 127).astype(np.int8).tobytes()


def signed(byte: int) -> int:
    """The evidence that a byte holds."""
    return byte - 256 if byte > 127 else byte


#: The shortest time told apart since a variant was shown, in days, and how often it is doubled.
_SOONEST, _DOUBLINGS = 0.125, 10


def ago(days: float | None) -> int:
    """Days since something was shown as a small number, in half doublings: 0 for never.

    >>> ago(None), ago(0.0), ago(1.0), ago(1.3), days_ago(ago(1.0)), days_ago(0)
    (0, 1, 7, 8, 1.0, inf)
    """
    if days is None:
        return 0
    return 1 + max(0, min(2 * _DOUBLINGS, round(2.0 * math.log2(max(days, _SOONEST) / _SOONEST))))


def days_ago(number: int) -> float:
    return math.inf if number == 0 else float(_SOONEST * 2.0 ** ((number - 1) / 2.0))


def load_values(load: int) -> tuple[float, ...]:
    """Of LOADED."""
    return load / 4, max(load - LIGHT, 0) / 4


class Taken(NamedTuple):
    """The action of a decision as learning sees it.

    variant : keys of its features     channel : its key     hour : local hour of week of the slot
    preference, habit : evidence, in quanta
    load    : sends of the person's last seven days before this one
    shown   : how long ago this person got the variant last, see `ago`
    """

    variant: tuple[int, ...]
    channel: int
    hour: int
    preference: int = 0
    habit: int = 0
    load: int = 0
    shown: int = 0


#: What is taken where nothing is sent: no variant, and one channel and hour for all, which then mean nothing.
NOTHING_SENT = Taken((), 0, 0)
