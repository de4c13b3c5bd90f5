"""A reward model for doubly robust evaluation, cross-fitted: no row is predicted by a model that has seen it.

Chernozhukov et al. 2018 ("Double/debiased machine learning", definition 3.1) say why: a model that saw the row follows
its noise, and the correction term of the doubly robust score then misses it (judged on its own training log a policy
looks far better than it is). Reward of action a in context x is f(x . (s + v_a)) with weights s shared by all actions
and v_a of its own, the latter fitted to what the shared ones leave: f is the identity (ridge, Hoerl and Kennard 1970)
or the logistic function (for rewards in [0, 1]).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from personalization.errors import Invalid
from personalization.learning.encoding import BIAS, QUANTUM, Feature
from personalization.learning.evaluation import Array, IntArray

#: Newton steps of the logistic fit; the ridge fit is one.
_STEPS = 12


def design(contexts: Sequence[Sequence[Feature]], most: int = 128) -> Array:
    """(n, d) contexts as columns: the bias first, then the `most` features that occur most often, d <= most + 1."""
    counts = Counter(key for context in contexts for key, _ in context if key != BIAS)
    columns = {BIAS: 0} | {key: i + 1 for i, (key, _) in enumerate(counts.most_common(most))}
    x = np.zeros((len(contexts), len(columns)))
    for i, context in enumerate(contexts):
        for key, value in context:
            if key in columns:
                x[i, columns[key]] = value * QUANTUM
    return x


def folds_of(n: int, folds: int, rng: np.random.Generator, clusters: IntArray | None = None) -> IntArray:
    """(n,) a fold number in [0, folds) for each row, folds of equal size, at random; rows of one cluster stay together."""
    if clusters is None:
        return rng.permutation(np.arange(n) % folds)
    _, owner = np.unique(clusters, return_inverse=True)
    return folds_of(int(owner.max()) + 1, folds, rng)[owner]


def cross_fitted(
    x: Array, actions: IntArray, rewards: Array, k: int, folds: IntArray, *, logistic: bool = False, penalty: float = 10.0
) -> Array:
    """(n, k) expected rewards, those of a fold from the rows of all others.

    x : (n, d) contexts, with a constant column    actions : (n,) in [0, k)    folds : (n,)
    penalty : rows of evidence a weight of an action's own is worth a priori; a tenth of it for the shared weights
    Raises Invalid for fewer than two folds, or logistic with rewards outside [0, 1]. O(k n d^2).
    """
    if len(np.unique(folds)) < 2:
        raise Invalid.field("folds", "needs at least two folds, or a row would be predicted by a model that saw it")
    if logistic and (rewards.min() < 0.0 or rewards.max() > 1.0):
        raise Invalid.field("rewards", "must lie in [0, 1] for a logistic model; take the ridge one")
    predicted = np.empty((len(x), k))
    for fold in np.unique(folds):
        held = folds == fold
        predicted[held] = _predictions(x[held], x[~held], actions[~held], rewards[~held], k, logistic, penalty)
    return predicted


def _predictions(x: Array, seen: Array, actions: IntArray, rewards: Array, k: int, logistic: bool, penalty: float) -> Array:
    fit = logistic_weights if logistic else ridge_weights
    shared = fit(seen, rewards, np.zeros(len(seen)), penalty / 10.0)
    scores = np.repeat((x @ shared)[:, None], k, axis=1)
    for action in np.unique(actions):
        mine = actions == action
        scores[:, action] += x @ fit(seen[mine], rewards[mine], seen[mine] @ shared, penalty)
    return np.asarray(expit(scores) if logistic else scores, np.float64)


def ridge_weights(x: Array, y: Array, offset: Array, penalty: float) -> Array:
    """(d,) least squares of y : (n,) on offset + x w, x : (n, d)."""
    return np.asarray(np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (y - offset)), np.float64)


def logistic_weights(x: Array, y: Array, offset: Array, penalty: float) -> Array:
    """(d,) of P(y) = f(offset + x w): penalised maximum likelihood by Newton's method; the penalty is in units of a row's
    largest curvature, 1/4."""
    ridge, weights = penalty / 4.0, np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = expit(offset + x @ weights)
        slope = x.T @ (y - p) - ridge * weights
        curvature = (x * (p * (1.0 - p))[:, None]).T @ x + ridge * np.eye(x.shape[1])
        step = np.linalg.solve(curvature, slope)
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    return weights
