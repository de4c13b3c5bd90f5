"""What a posterior says of action features in one context: weights summed over the context's features.

With the weights' mean mu and covariance S, and x the values of the context's features, the belief about the action features
a, b is normal with

    mean_a = sum_i x_i mu[i, a],    cov_ab = sum_ij x_i x_j S[(i, a), (j, b)]

Pairs never seen have their prior. Sums are made element by element, so they do not depend on what else is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from scipy.linalg.lapack import dpotrf

from personalization.learning.design import (
    REMEMBERED,
    Array,
    Group,
    IntArray,
    crosses,
    group_of,
    hashed,
    prior_deviation,
    prior_mean,
)
from personalization.learning.encoding import BIAS, HABIT, KIND_VARIANT, PREFERENCE, QUANTUM, ActKey, Feature, cross_key
from personalization.recent import Recent

#: Added to variances, so that a root of nothing stays nothing.
_JITTER = 1e-6
#: Beliefs that are remembered, and sets of action features.
_KEPT, _SETS_KEPT = 8_192, 256
#: Evidence is about the person, whatever the context.
_PERSONAL = frozenset({PREFERENCE, HABIT})


class Belief(msgspec.Struct, frozen=True):
    """mean : (m,)    root : (m, m) lower root of the covariance"""

    mean: Array
    root: Array


class _Places(msgspec.Struct, frozen=True):
    """Where a context feature lands under a set of action features. rows : (m,), the last dimension where unseen

    mean, variance : (m,) of the prior where unseen, else 0
    """

    rows: IntArray
    mean: Array
    variance: Array


class Beliefs:
    """Immutable. mean : (d + 1,), the last one 0 for what is unseen     covariance : (d + 1, d + 1)

    known : the channel whose effect is 0 by construction (see learning.design)
    """

    def __init__(
        self,
        index: Mapping[int, int],
        mean: Array,
        covariance: Array,
        deviations: Mapping[Group, float],
        known: ActKey | None,
    ) -> None:
        self._index, self._mean, self._covariance = index, mean, covariance
        self._deviations, self._known = deviations, known
        self._full = len(index) >= REMEMBERED
        for array in (mean, covariance):
            array.setflags(write=False)
        self._places: dict[tuple[ActKey, ...], dict[int, _Places]] = {}
        self._made: Recent[tuple[object, ...], Belief] = Recent(_KEPT)

    def about(self, context: tuple[Feature, ...], acts: tuple[ActKey, ...]) -> Belief:
        """O(m^2 n^2) for n features, remembered."""
        context = self._telling(context, acts[0])
        key = (context, acts)
        found = self._made.get(key)
        if found is None:
            found = self._belief(context, acts)
            self._made.put(key, found)
        return found

    def weight(self, context: int, act: ActKey) -> float:
        """Mean of one weight."""
        row = self._row(context, act)
        return prior_mean(group_of(context, act)) if row is None else float(self._mean[row])

    def _belief(self, context: Sequence[Feature], acts: tuple[ActKey, ...]) -> Belief:
        places = [self._place(key, acts) for key, _ in context or ((BIAS, 0),)]
        x = np.array([quanta for _, quanta in context] or [0]) * QUANTUM
        rows, m = np.array([place.rows for place in places]), len(acts)
        mean = x @ (self._mean[rows] + np.array([place.mean for place in places]))
        flat, weights = rows.ravel(), x.repeat(m)
        wide = self._covariance[flat[:, None], flat] * weights[:, None] * weights
        covariance = wide.reshape(len(x), m, len(x), m).sum(axis=(0, 2))
        at = np.arange(m)
        covariance[at, at] += (x * x) @ np.array([place.variance for place in places]) + _JITTER
        root, failed = dpotrf((covariance + covariance.T) / 2.0, lower=1, clean=1)
        if failed:
            raise np.linalg.LinAlgError("The covariance of a belief has no root; the snapshot is damaged.")
        return Belief(mean, root)

    @staticmethod
    def _telling(context: tuple[Feature, ...], act: ActKey) -> tuple[Feature, ...]:
        """The features that are crossed with such an action feature: the same belief for all who differ in others alone."""
        return tuple([feature for feature in context if crosses(feature[0], act)])

    def _place(self, context: int, acts: tuple[ActKey, ...]) -> _Places:
        table = self._places.get(acts)
        if table is None:
            if len(self._places) >= _SETS_KEPT:
                self._places.clear()
            table = self._places.setdefault(acts, {})
        found = table.get(context)
        if found is None:
            if len(table) >= REMEMBERED:
                table.clear()
            found = table[context] = self._placed(context, acts)
        return found

    def _placed(self, context: int, acts: tuple[ActKey, ...]) -> _Places:
        m = len(acts)
        rows, mean, variance = np.full(m, len(self._mean) - 1), np.zeros(m), np.zeros(m)
        for j, act in enumerate(acts):
            if context != BIAS and act in _PERSONAL:
                continue
            row = self._row(context, act)
            if row is not None:
                rows[j] = row
            elif act != self._known and (act.kind == KIND_VARIANT or context == BIAS):
                group = group_of(context, act)
                mean[j] = prior_mean(group)
                variance[j] = (self._deviations.get(group) or prior_deviation(group)) ** 2
        return _Places(rows, mean, variance)

    def _row(self, context: int, act: ActKey) -> int | None:
        """Where a pair stands; None where it was never seen. In a model that remembers no more pairs all stand somewhere."""
        key = cross_key(context, act.key)
        row = self._index.get(key)
        return row if row is not None or not self._full or not crosses(context, act) else min(hashed(key), len(self._mean) - 1)
