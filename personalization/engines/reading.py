"""What an engine says of the moment: features for the policy, and in words what it really found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from personalization.learning.encoding import QUANTUM, Feature, feature_key

#: A feature by its name: (name, value in quanta). A category's name holds its value, "device=phone".
Signal = tuple[str, int]

ONE = int(1 / QUANTUM)
#: Families of features that surround a decision rather than being declared of it.
_AMBIENT = frozenset({"language", "daypart", "day", "momentum", "saturation", "fatigue"})
#: Of these, families that tell how much is engaged with rather than with what.
_LEVEL = frozenset({"momentum", "saturation", "fatigue"})
#: A longer text is no category, a longer name no feature.
_LONGEST_TEXT, _LONGEST_NAME = 64, 128


class Reading(msgspec.Struct, frozen=True):
    """What an engine `read(profile, request, now)`. Pure: the same three give the same reading, none of them is altered,
    nothing a caller passes raises.

    features : for the policy, values quantised
    names    : theirs, in the same order
    silent   : (part, word) of what was there too and makes no feature
    """

    features: tuple[Feature, ...] = ()
    names: tuple[str, ...] = ()
    silent: tuple[tuple[str, str], ...] = ()

    @property
    def found(self) -> tuple[tuple[str, str], ...]:
        """(part, word) of everything that was really there."""
        return (*map(_part, self.names), *self.silent)

    @property
    def parts(self) -> tuple[str, ...]:
        """What was really there, each once."""
        return tuple(dict.fromkeys(part for part, _ in self.found))

    def __add__(self, other: Reading) -> Reading:
        return Reading(self.features + other.features, self.names + other.names, self.silent + other.silent)


NOTHING = Reading()


@lru_cache(maxsize=65536)
def feature_of(name: str) -> int:
    """The key of the feature of that name."""
    family = name.partition("=")[0]
    return feature_key(name, family in _AMBIENT, family in _LEVEL)


def reading(signals: Sequence[Signal], silent: tuple[tuple[str, str], ...] = ()) -> Reading:
    return Reading(tuple([(feature_of(name), value) for name, value in signals]), tuple([name for name, _ in signals]), silent)


def _part(name: str) -> tuple[str, str]:
    """ "device=phone" is the device, "context:page=home" something of the context."""
    kind, _, rest = name.partition(":")
    part, _, word = name.partition("=")
    return (kind, rest) if rest and "=" not in kind else (part, word)


def category(name: str, value: object) -> Signal:
    return f"{name}={value}", ONE


def declared(kind: str, values: Mapping[str, Any], but: frozenset[str] = frozenset()) -> Iterator[Signal]:
    """Unknown keys as features by hashing, in order of their names: numbers as asinh(x) / 2, truths and short texts as
    categories. Anything else (lists, objects, what is not finite, too long or not printable) is no feature."""
    for name in sorted([name for name in values if isinstance(name, str) and name not in but]):
        signal = _signal(f"{kind}:{name}", values[name]) if len(name) <= _LONGEST_NAME and name.isprintable() else None
        if signal is not None:
            yield signal


def _signal(name: str, value: object) -> Signal | None:
    if isinstance(value, str):
        return (f"{name}={value}", ONE) if len(value) <= _LONGEST_TEXT and value.isprintable() else None
    if isinstance(value, bool):
        return f"{name}={value}", ONE
    number = finite(value)
    return None if number is None else (name, round(math.asinh(number) * 0.5 / QUANTUM))


def finite(value: object) -> float | None:
    """A number that can be reckoned with; truths, texts, NaN, infinities and integers beyond any float are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
