"""The design of decisions: in which dimension every pair of a context feature and an action feature lands.

The first EXACT pairs of a model get a dimension of their own, later ones share the rest by hashing. What never varies needs
none: channel and hour are told by their difference from those of the model's first decision, and features that only
surround a decision are not crossed with the hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import sub

import numpy as np
import numpy.typing as npt

from personalization.learning.encoding import (
    BIAS,
    EVIDENCE,
    HABIT,
    HARMONICS,
    HOUR_ACTS,
    KIND_CHANNEL,
    KIND_EVIDENCE,
    KIND_HARMONIC,
    KIND_LOAD,
    KIND_SHARED,
    KIND_VARIANT,
    KIND_WEEKEND,
    LOADED,
    PREFERENCE,
    QUANTUM,
    SHARED_ACT,
    ActKey,
    Feature,
    Taken,
    cross_key,
    family_of,
    hour_values,
    is_ambient,
    load_values,
    tells_level,
)

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

EXACT, DIMENSIONS = 288, 320
#: Pairs whose dimension is remembered; callers may send ever new values, so later ones are found by their hash alone.
REMEMBERED = 8_192
#: Instead of a dimension, for a pair that is not modelled.
NOWHERE = -1

#: Prior standard deviations of weights, in logits, by kind: of the bias, of what is declared, of what only surrounds.
_HARMONICS = {KIND_HARMONIC: 0.5, KIND_HARMONIC + 1: 0.25, KIND_HARMONIC + 2: 0.12}
_OFFSETS = {
    KIND_SHARED: 3.0,
    KIND_VARIANT: 0.5,
    KIND_CHANNEL: 0.5,
    KIND_WEEKEND: 0.25,
    KIND_EVIDENCE: 0.5,
    KIND_LOAD: 0.5,
    **_HARMONICS,
}
_DECLARED = {kind: 0.8 * deviation for kind, deviation in _OFFSETS.items()} | {KIND_SHARED: 0.5}
_AMBIENT = {kind: 0.16 * deviation for kind, deviation in _OFFSETS.items()} | {KIND_SHARED: 0.15}

#: What is known of the person rather than of their like; in use from the start.
PERSONAL = (PREFERENCE, HABIT, *LOADED)

#: (family of the context feature, kind of the action feature): weights that share a prior.
Group = tuple[int, int]


def group_of(context: int, act: ActKey) -> Group:
    return family_of(context), act.kind


def prior_deviation(group: Group) -> float:
    family, kind = group
    if family == 0:
        return _OFFSETS[kind]
    return (_AMBIENT if is_ambient_family(family) else _DECLARED)[kind]


def is_ambient_family(family: int) -> bool:
    return is_ambient((family - 1) << 24)


_PARTS = {
    KIND_SHARED: "reward",
    KIND_VARIANT: "variant",
    KIND_CHANNEL: "channel",
    KIND_WEEKEND: "weekend",
    KIND_EVIDENCE: "habits",
    KIND_LOAD: "load",
} | {KIND_HARMONIC + k: "hour" for k in range(HARMONICS)}


def told(group: Group) -> tuple[str, str]:
    """Level and part of a group, in words: everybody, segment (what is declared), moment (what surrounds), person."""
    family, kind = group
    if family == 0:
        return "person" if kind in (KIND_EVIDENCE, KIND_LOAD) else "everybody", _PARTS[kind]
    return "moment" if is_ambient_family(family) else "segment", _PARTS[kind]


def prior_mean(group: Group) -> float:
    """About a quarter of the top reward to begin with, and evidence counts as it is."""
    return {KIND_SHARED: -1.0, KIND_EVIDENCE: 1.0}.get(group[1], 0.0) if group[0] == 0 else 0.0


@dataclass
class Design:
    """index: cross key -> dimension, in the order of arrival; groups: of each dimension in use; first: the first action."""

    index: dict[int, int] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    first: tuple[int, int] | None = None
    _landings: dict[tuple[ActKey, ...], _Landing] = field(default_factory=dict, repr=False, compare=False)

    @property
    def size(self) -> int:
        return len(self.groups)

    def without_variants(self) -> tuple[Design, list[int]]:
        """The same design with nothing of its variants, and which dimensions are left of it."""
        place = {row: key for key, row in self.index.items() if row < EXACT and self.groups[row][1] != KIND_VARIANT}
        left = sorted(place)
        return Design({place[row]: i for i, row in enumerate(left)}, [self.groups[row] for row in left], self.first), left

    def phi(self, contexts: Sequence[Sequence[Feature]], taken: Sequence[Taken]) -> Array:
        """(n, size): what each decision activates; unseen pairs get their dimension now. O(n size)."""
        if self.first is None and taken:
            self.first = taken[0].channel, taken[0].hour
        alike: dict[tuple[ActKey, ...], list[int]] = defaultdict(list)
        told = [self._told(action) for action in taken]
        for i, (acts, _) in enumerate(told):
            alike[acts].append(i)
        parts = [
            self._crossed(acts, [contexts[i] for i in members], np.array([told[i][1] for i in members]))
            for acts, members in alike.items()
        ]
        phi = np.zeros((len(taken), self.size))
        for members, part in zip(alike.values(), parts, strict=True):
            phi[members, : part.shape[1]] = part
        self._evidence(phi, taken)
        return phi

    def _told(self, action: Taken) -> tuple[tuple[ActKey, ...], tuple[float, ...]]:
        """The action features and their values, as far as they differ from the first action's."""
        channel, hour = self.first or (action.channel, action.hour)
        return _differences(action.variant, action.channel, action.hour, channel, hour)

    def _crossed(self, acts: tuple[ActKey, ...], contexts: Sequence[Sequence[Feature]], values: Array) -> Array:
        landing = self._landing(acts)
        keys = [key for context in contexts for key, _ in context]
        new = [key for key in dict.fromkeys(keys) if key not in landing.place]
        landing.add(new, [[self._dimension(key, act) if crosses(key, act) else NOWHERE for act in acts] for key in new])
        return spread(contexts, landing.rows[[landing.place[key] for key in keys]], values, self.size)

    def _landing(self, acts: tuple[ActKey, ...]) -> _Landing:
        """What it remembers can be found again, so a full one begins anew."""
        if len(self._landings) >= REMEMBERED:
            self._landings.clear()
        landing = self._landings.get(acts)
        if landing is None or len(landing.place) >= REMEMBERED:
            landing = self._landings[acts] = _Landing(len(acts))
        return landing

    def _evidence(self, phi: Array, taken: Sequence[Taken]) -> None:
        known = [(EVIDENCE * a.preference, EVIDENCE * a.habit, *load_values(a.load)) for a in taken]
        phi[:, [self._dimension(BIAS, act) for act in PERSONAL]] += np.array(known)

    def __post_init__(self) -> None:
        for act in PERSONAL:
            self._dimension(BIAS, act)

    def _dimension(self, context: int, act: ActKey) -> int:
        key = cross_key(context, act.key)
        row = self.index.get(key)
        if row is None:
            row = self.size if self.size < EXACT else hashed(key)
            self.groups += [group_of(context, act)] * (row + 1 - self.size)
            if len(self.index) < REMEMBERED:
                self.index[key] = row
        return row


def hashed(key: int) -> int:
    """The dimension of a pair that came too late for one of its own."""
    return EXACT + key % (DIMENSIONS - EXACT)


class _Landing:
    """Where context features land under one set of action features. rows: (n, n_acts), a row each key in `place`."""

    def __init__(self, width: int) -> None:
        self.place: dict[int, int] = {}
        self.rows = np.zeros((0, width), np.int64)

    def add(self, keys: Sequence[int], rows: Sequence[Sequence[int]]) -> None:
        if keys:
            self.place.update(zip(keys, range(len(self.rows), len(self.rows) + len(keys)), strict=True))
            self.rows = np.vstack([self.rows, rows])


def spread(contexts: Sequence[Sequence[Feature]], columns: IntArray, values: Array, width: int) -> Array:
    """(n, width): the products of context and action features added up in their columns.

    columns : (features of all contexts one after the other, n_acts), NOWHERE where a product counts for nothing
    values  : (n, n_acts) of the action features
    """
    of_context = np.array([value for context in contexts for _, value in context]) * QUANTUM
    owner = np.repeat(np.arange(len(contexts)), [len(context) for context in contexts])
    places = (owner * (width + 1))[:, None] + np.where(columns == NOWHERE, width, columns)
    flat = np.bincount(places.ravel(), (of_context[:, None] * values[owner]).ravel(), len(contexts) * (width + 1))
    return np.asarray(flat, np.float64).reshape(len(contexts), width + 1)[:, :width]


@lru_cache(maxsize=65536)
def crosses(context: int, act: ActKey) -> bool:
    """Whether this context feature may change what this action feature is worth: dimensions are few."""
    if context == BIAS or act.kind == KIND_SHARED:
        return True
    return not tells_level(context) and act.kind != KIND_WEEKEND and not (is_ambient(context) and act.kind in _HARMONICS)


@lru_cache(maxsize=16384)
def _differences(
    variant: tuple[int, ...], channel: int, hour: int, first_channel: int, first_hour: int
) -> tuple[tuple[ActKey, ...], tuple[float, ...]]:
    acts = [(SHARED_ACT, 1.0), *((ActKey(KIND_VARIANT, key), 1.0) for key in variant)]
    if channel != first_channel:
        acts.append((ActKey(KIND_CHANNEL, channel), 1.0))
    if hour != first_hour:
        acts += zip(HOUR_ACTS, map(sub, hour_values(hour), hour_values(first_hour)), strict=True)
    found, values = zip(*acts, strict=True)
    return found, values


def priors(groups: Sequence[Group], deviations: Mapping[Group, float]) -> tuple[Array, Array]:
    """mean and precision (d,) of the weights."""
    mean = np.array([prior_mean(group) for group in groups])
    return mean, np.array([deviations.get(group) or prior_deviation(group) for group in groups]) ** -2.0
