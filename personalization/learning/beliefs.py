"""What a posterior says of action features in one context: weights summed over the context's features.

With the values x of the context's features, the belief about an action feature a has

    mean_a = sum_i x_i mu[i, a],    draws_a = sum_i x_i draws[i, a]

mu the posterior means and draws those of learning.ensemble, which hold the covariances. Pairs never seen have their prior.
All numbers are on grids where such sums are exact, so they do not depend on what else is asked, nor on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
#: What a table has room for: weights never seen, sets of action features, and context features under each of those.
_UNSEEN, _SETS, _FEATURES = 4_096, 256, 4_096
#: Rows of draws that are gathered at once.
_GATHERED = 4_096
#: Evidence is about the person, whatever the context.
_PERSONAL = frozenset({PREFERENCE, HABIT})
#: Fills up a context: no key of a feature, worth nothing.
_NOTHING: Feature = (0, 0)


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

    def about(self, contexts: Sequence[Sequence[Feature]], acts: tuple[ActKey, ...]) -> tuple[Array, Single]:
        """mean (n, m) and draws around it (n, m, POINTS) of the action features in each context. O(n m POINTS) a feature."""
        some = max(1, _GATHERED // (len(acts) * max(1, *map(len, contexts))))
        if len(contexts) <= some:
            return self._about(contexts, acts)
        means, drawn = zip(*[self._about(contexts[at : at + some], acts) for at in range(0, len(contexts), some)], strict=True)
        return np.concatenate(means), np.concatenate(drawn)

    def mean(self, contexts: Sequence[Sequence[Feature]], acts: tuple[ActKey, ...]) -> Array:
        """(n, m)"""
        table, rows, x = self._read(contexts, acts)
        return np.asarray(np.matmul(x[:, None, :], table.mean[rows])[:, 0])

    def weight(self, context: int, act: ActKey) -> float:
        """Mean of one weight."""
        row = self._row(context, act)
        return prior_mean(group_of(context, act)) if row is None else float(self._mean[row])

    def _about(self, contexts: Sequence[Sequence[Feature]], acts: tuple[ActKey, ...]) -> tuple[Array, Single]:
        """Sums of whole multiples of a draw are exact in float32, others need float64."""
        table, rows, x = self._read(contexts, acts)
        n, longest, m = rows.shape
        real = np.float32 if (x == np.rint(x)).all() else np.float64
        drawn = np.matmul(x.astype(real)[:, None, :], table.draws[rows].reshape(n, longest, m * POINTS).astype(real, copy=False))
        return np.matmul(x[:, None, :], table.mean[rows])[:, 0], drawn.astype(np.float32, copy=False).reshape(n, m, POINTS)

    def _read(self, contexts: Sequence[Sequence[Feature]], acts: tuple[ActKey, ...]) -> tuple[_Table, IntArray, Array]:
        """Where the weights stand (n, features, m), and the features' values (n, features); shorter contexts end in nothing."""
        longest = max(1, *map(len, contexts))
        padded = [[*context, *[_NOTHING] * (longest - len(context))] for context in contexts]
        keys = [key for context in padded for key, _ in context]
        table, placed = self._placed(keys, acts)
        rows = np.frombuffer(b"".join(placed), np.intp).reshape(len(contexts), longest, len(acts))
        return table, rows, np.array([[quanta for _, quanta in context] for context in padded]) * QUANTUM

    def _placed(self, keys: Sequence[int], acts: tuple[ActKey, ...]) -> tuple[_Table, list[bytes]]:
        """The rows of each context feature's pairs. A full table begins anew; who reads the old one goes on."""
        try:
            return self._table, self._found(self._table, keys, acts)
        except _Full:
            table = _Table(self._mean, self._draws, max(_UNSEEN, len(set(keys)) * len(acts)))
            placed = self._found(table, keys, acts)
            self._table = table
            return table, placed

    def _found(self, table: _Table, keys: Sequence[int], acts: tuple[ActKey, ...]) -> list[bytes]:
        known = table.of(acts)
        for key in keys:
            if key not in known:
                known[key] = np.array([self._standing(table, key, act) for act in acts], np.intp).tobytes()
        return [known[key] for key in keys]

    def _standing(self, table: _Table, context: int, act: ActKey) -> int:
        if context == _NOTHING[0] or not crosses(context, act) or (context != BIAS and act in _PERSONAL):
            return _Table.NOTHING
        row = self._row(context, act)
        if row is not None:
            return row + 1
        if act == self._known or (act.kind != KIND_VARIANT and context != BIAS):
            return _Table.NOTHING
        key = cross_key(context, act.key)
        found = table.unseen.get(key)
        if found is None:
            group = group_of(context, act)
            deviation = self._deviations.get(group) or prior_deviation(group)
            found = table.unseen[key] = table.add(prior_mean(group), alone(deviation, key))
        return found

    def _row(self, context: int, act: ActKey) -> int | None:
        """Where a pair stands; None where it was never seen. In a model that remembers no more pairs all stand somewhere."""
        key = cross_key(context, act.key)
        row = self._index.get(key)
        return row if row is not None or not self._full or not crosses(context, act) else min(hashed(key), len(self._mean) - 1)


class _Full(Exception):
    """A table has no room for one more."""


class _Table:
    """mean (r,) and draws (r, POINTS): nothing, the weights that were learned, then those never seen that were asked about.

    unseen : pair never seen -> its row

    Threads share it without waiting: rows are handed out once each and written before they can be found.
    """

    NOTHING = 0

    def __init__(self, mean: Array, draws: Draws, room: int = _UNSEEN) -> None:
        first = 1 + len(mean)
        self.mean, self.draws = np.zeros(first + room), np.zeros((first + room, POINTS), np.float32)
        self.mean[1:first], self.draws[1:first] = mean, unfolded(draws)
        self.unseen: dict[int, int] = {}
        self._sets: dict[tuple[ActKey, ...], dict[int, bytes]] = {}
        self._rows = iter(range(first, first + room))

    def of(self, acts: tuple[ActKey, ...]) -> dict[int, bytes]:
        """Context feature -> the rows of its pairs with these action features. Raises _Full."""
        known = self._sets.get(acts)
        if known is None or len(known) >= _FEATURES:
            if len(self._sets) >= _SETS or known is not None:
                raise _Full
            known = self._sets.setdefault(acts, {})
        return known

    def add(self, mean: float, draws: Draws) -> int:
        """Its row. Raises _Full."""
        row = next(self._rows, None)
        if row is None:
            raise _Full
        self.mean[row], self.draws[row] = mean, unfolded(draws)
        return row
