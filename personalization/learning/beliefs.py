"""What a posterior says of action features in one context: weights summed over the context's features.

With the values x of the context's features, the belief about an action feature a has

    mean_a = sum_i x_i mu[i, a],    draws_a = sum_i x_i draws[i, a]

mu the posterior means and draws those of learning.ensemble, which hold the covariances. Pairs never seen have their prior.
All numbers are on grids where such sums are exact, so they do not depend on what else is asked, nor on the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock

import numpy as np
import numpy.typing as npt

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
from personalization.learning.ensemble import POINTS, Draws, alone, unfolded

Single = npt.NDArray[np.float32]

#: Steps of a mean in one unit.
_STEPS = 2.0**24
#: Sets of action features that are remembered.
_SETS_KEPT = 256
#: Evidence is about the person, whatever the context.
_PERSONAL = frozenset({PREFERENCE, HABIT})


class Beliefs:
    """Immutable. mean : (d,)    draws : (d, POINTS) in steps

    known : the channel whose effect is 0 by construction (see learning.design)
    """

    def __init__(
        self, index: Mapping[int, int], mean: Array, draws: Draws, deviations: Mapping[Group, float], known: ActKey | None
    ) -> None:
        self._index, self._mean, self._draws = index, np.rint(mean * _STEPS) / _STEPS, draws
        for array in (self._mean, self._draws):
            array.setflags(write=False)
        self._deviations, self._known = deviations, known
        self._full = len(index) >= REMEMBERED
        self._table = _Table(self._mean, draws)
        self._growing = Lock()

    def about(self, contexts: Sequence[Sequence[Feature]], acts: tuple[ActKey, ...]) -> tuple[Array, Single]:
        """mean (n, m) and draws around it (n, m, POINTS) of the action features in each context. O(n m POINTS) a feature."""
        table, rows, x = self._read(contexts, acts)
        n, longest, m = rows.shape
        drawn = np.matmul(x.astype(np.float32)[:, None, :], table.draws[rows].reshape(n, longest, m * POINTS))
        return np.matmul(x[:, None, :], table.mean[rows])[:, 0], drawn.reshape(n, m, POINTS)

    def mean(self, contexts: Sequence[Sequence[Feature]], acts: tuple[ActKey, ...]) -> Array:
        """(n, m)"""
        table, rows, x = self._read(contexts, acts)
        return np.asarray(np.matmul(x[:, None, :], table.mean[rows])[:, 0])

    def weight(self, context: int, act: ActKey) -> float:
        """Mean of one weight."""
        row = self._row(context, act)
        return prior_mean(group_of(context, act)) if row is None else float(self._mean[row])

    def _read(self, contexts: Sequence[Sequence[Feature]], acts: tuple[ActKey, ...]) -> tuple[_Table, IntArray, Array]:
        """Where the weights stand (n, features, m), and the features' values (n, features); shorter contexts end in nothing."""
        longest = max(1, *map(len, contexts))
        padded = [[*context, *[_NOTHING] * (longest - len(context))] for context in contexts]
        keys = {key for context in padded for key, _ in context}
        table = self._table
        places = table.sets.get(acts)
        if places is None or not places.at.keys() >= keys:
            table, places = self._place(keys, acts)
        at = places.at
        rows = places.rows[np.array([[at[key] for key, _ in context] for context in padded])]
        return table, rows, np.array([[quanta for _, quanta in context] for context in padded]) * QUANTUM

    def _place(self, keys: Iterable[int], acts: tuple[ActKey, ...]) -> tuple[_Table, _Places]:
        """Make room for what was not asked about before. A full table begins anew; who reads the old one may go on."""
        with self._growing:
            table = self._table
            if len(table.rows) >= REMEMBERED or len(table.sets) >= _SETS_KEPT:
                table = self._table = _Table(self._mean, self._draws)
            places = table.sets.get(acts)
            if places is None or len(places.at) >= REMEMBERED:
                places = _Places(len(acts))
            new = [key for key in keys if key not in places.at]
            places.add(new, [[self._standing(table, key, act) for act in acts] for key in new])
            table.sets[acts] = places
        return table, places

    def _standing(self, table: _Table, context: int, act: ActKey) -> int:
        if not crosses(context, act) or (context != BIAS and act in _PERSONAL):
            return 0
        row = self._row(context, act)
        if row is not None:
            return row + 1
        if act == self._known or (act.kind != KIND_VARIANT and context != BIAS):
            return 0
        key = cross_key(context, act.key)
        known = table.rows.get(key)
        if known is None:
            group = group_of(context, act)
            deviation = self._deviations.get(group) or prior_deviation(group)
            known = table.rows[key] = table.add(prior_mean(group), alone(deviation, key))
        return known

    def _row(self, context: int, act: ActKey) -> int | None:
        """Where a pair stands; None where it was never seen. In a model that remembers no more pairs all stand somewhere."""
        key = cross_key(context, act.key)
        row = self._index.get(key)
        return row if row is not None or not self._full or not crosses(context, act) else min(hashed(key), len(self._mean) - 1)


#: Fills up a context: no key of a feature, worth nothing.
_NOTHING: Feature = (0, 0)


class _Places:
    """Where context features stand under one set of action features. at : feature -> row of rows (features, m)"""

    def __init__(self, width: int) -> None:
        self.at = {_NOTHING[0]: 0}
        self.rows = np.zeros((1, width), np.intp)

    def add(self, keys: Sequence[int], rows: Sequence[Sequence[int]]) -> None:
        """Rows come before who finds them: readers take no lock."""
        if keys:
            first = len(self.rows)
            self.rows = np.vstack([self.rows, rows])
            self.at.update(zip(keys, range(first, first + len(keys)), strict=True))


class _Table:
    """mean (r,) and draws (r, POINTS): nothing, the weights that were learned, then those never seen that were asked about.

    rows : pair never seen -> its row     sets : action features -> their places
    """

    def __init__(self, mean: Array, draws: Draws) -> None:
        self.mean, self.draws = np.append(0.0, mean), np.vstack([np.zeros((1, POINTS), np.float32), unfolded(draws)])
        self.rows: dict[int, int] = {}
        self.sets: dict[tuple[ActKey, ...], _Places] = {}
        self._size = len(self.mean)

    def add(self, mean: float, draws: Draws) -> int:
        """The row; arrays grow by being replaced, so who has a row finds it in any array read later."""
        row = self._size
        if row == len(self.mean):
            self.mean = np.concatenate([self.mean, np.zeros(row)])
            self.draws = np.concatenate([self.draws, np.zeros((row, POINTS), np.float32)])
        self.mean[row], self.draws[row] = mean, unfolded(draws)
        self._size = row + 1
        return row
