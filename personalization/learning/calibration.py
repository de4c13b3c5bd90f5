"""How good probabilities of an outcome are, and how to make them honest.

    Brier      mean (p - y)^2                                                   (Brier 1950)
    log-loss   - mean [y ln p + (1 - y) ln (1 - p)]                             nats
    ECE        sum over bins of share |mean p - mean y|, 15 bins of equal mass  (Naeini, Cooper and Hauskrecht 2015)
    AUC        P(p of a one > p of a zero), ties half                           (Hanley and McNeil 1982)

    Platt      sigmoid(a logit p + b), targets (N+ + 1) / (N+ + 2) and 1 / (N- + 2)
               (Platt 1999, "Probabilistic outputs for support vector machines"; Lin, Lin and Weng 2007 for the Newton steps)
    isotonic   the non-decreasing steps nearest to the outcomes, by pooling adjacent violators (Zadrozny and Elkan 2002),
               joined by straight lines and kept off 0 and 1 by 1 / (n + 2)

Calibrations are fitted on probabilities made without the row they are of. y : (n,) 0 or 1, p : (n,) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit
from scipy.stats import rankdata

from personalization.errors import ArrayInvalid
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.intervals import wilson

#: Probabilities are kept this far from 0 and 1 where their logarithm is taken.
_LEAST = 1e-9
_STEPS = 50


def auc(y: Array, p: Array) -> float:
    """0.5 where only one class is there: nothing can be ranked."""
    ones = float(y.sum())
    zeros = len(y) - ones
    if not ones or not zeros:
        return 0.5
    return float((rankdata(p)[y == 1.0].sum() - ones * (ones + 1.0) / 2.0) / (ones * zeros))


def brier(y: Array, p: Array) -> float:
    return float(np.mean((p - y) ** 2))


def log_loss(y: Array, p: Array) -> float:
    z = _logit(p)
    return float(np.mean(np.logaddexp(0.0, z) - y * z))


def expected_calibration_error(y: Array, p: Array, bins: int = 15) -> float:
    """Rows of one probability may fall into two bins; they are ordered by probability alone."""
    parts = np.array_split(np.argsort(p, kind="stable"), bins)
    return float(sum(abs(float((p[part] - y[part]).sum())) for part in parts) / max(len(p), 1))


@dataclass(frozen=True)
class Bin:
    """Rows of like probability: mean p, share of ones, its 95 % interval (Wilson 1927, rows independent), how many."""

    predicted: float
    observed: float
    low: float
    high: float
    rows: int


def calibration_curve(y: Array, p: Array, bins: int = 10) -> tuple[Bin, ...]:
    """Bins of about equal mass, ascending, fewer where probabilities are tied: those of one value stay together.

    A bin whose interval lies beside its mean p is off. Raises ArrayInvalid. O(n log n).
    """
    _check(y, p)
    if bins < 1:
        raise ArrayInvalid("bins", "are less than one", "ask for at least one")
    edges = np.unique(np.quantile(p, np.arange(1, bins) / bins, method="inverted_cdf"))
    codes = np.searchsorted(edges, p)
    parts = [codes == code for code in np.unique(codes)]
    return tuple(_bin(y[part], p[part]) for part in parts)


def _bin(y: Array, p: Array) -> Bin:
    low, high = wilson(float(y.mean()), len(y))
    return Bin(float(p.mean()), float(y.mean()), low, high, len(y))


@dataclass(frozen=True)
class Platt:
    """As it is: the identity."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, p: Array) -> Array:
        return np.asarray(expit(self.slope * _logit(p) + self.intercept), np.float64)

    def pack(self) -> dict[str, Any]:
        return {"kind": "platt", "slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True)
class Isotonic:
    """at, values: the corners, ascending and non-decreasing."""

    at: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, p: Array) -> Array:
        return np.asarray(np.interp(p, self.at, self.values), np.float64)

    def pack(self) -> dict[str, Any]:
        return {"kind": "isotonic", "at": list(self.at), "values": list(self.values)}


Calibration = Platt | Isotonic
AS_IT_IS = Platt()


def unpack_calibration(packed: Mapping[str, Any]) -> Calibration:
    if packed["kind"] == "platt":
        return Platt(packed["slope"], packed["intercept"])
    return Isotonic(tuple(packed["at"]), tuple(packed["values"]))


def platt(y: Array, p: Array) -> Platt:
    """Newton's method on two parameters, with a step halved until the likelihood grows. Raises ArrayInvalid."""
    _check(y, p)
    ones = float(y.sum())
    target = np.where(y == 1.0, (ones + 1.0) / (ones + 2.0), 1.0 / (len(y) - ones + 2.0))
    x = np.stack([_logit(p), np.ones(len(p))], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        fitted = expit(x @ weights)
        curvature = (x * (fitted * (1.0 - fitted))[:, None]).T @ x + 1e-9 * np.eye(2)
        step = _halved(x, target, weights, np.linalg.solve(curvature, x.T @ (target - fitted)))
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    return Platt(max(float(weights[0]), 0.0), float(weights[1]))


def isotonic(y: Array, p: Array) -> Isotonic:
    """Rows of one probability count as one. Raises ArrayInvalid. O(n log n)."""
    _check(y, p)
    at, code, counts = np.unique(p, return_inverse=True, return_counts=True)
    pooled = isotonic_regression(np.bincount(code, weights=y) / counts, weights=counts)
    edge = 1.0 / (len(y) + 2.0)
    starts, ends = pooled.blocks[:-1], pooled.blocks[1:] - 1
    corners = np.unique(np.concatenate([starts, ends]))
    return Isotonic(tuple(at[corners].tolist()), tuple(np.clip(pooled.x[corners], edge, 1.0 - edge).tolist()))


def calibrated(y: Array, p: Array, folds: IntArray) -> tuple[Calibration, float]:
    """The calibration of the least log-loss on folds it was not fitted on, and that loss; none of them where none helps."""
    losses = {fit: log_loss(y, _crossed(fit, y, p, folds)) for fit in (platt, isotonic)}
    best = min(losses, key=lambda fit: losses[fit])
    plain = log_loss(y, p)
    return (best(y, p), losses[best]) if losses[best] < plain else (AS_IT_IS, plain)


def _crossed(fit: Any, y: Array, p: Array, folds: IntArray) -> Array:
    out = np.empty(len(p))
    for fold in np.unique(folds):
        held = folds == fold
        out[held] = fit(y[~held], p[~held])(p[held])
    return out


def _halved(x: Array, target: Array, weights: Array, step: Array) -> Array:
    def loss(w: Array) -> float:
        return float((np.logaddexp(0.0, x @ w) - target * (x @ w)).sum())

    before = loss(weights)
    for _ in range(20):
        if loss(weights + step) <= before:
            return step
        step = step / 2.0
    return np.zeros(2)


def _logit(p: Array) -> Array:
    kept = np.clip(p, _LEAST, 1.0 - _LEAST)
    return np.asarray(np.log(kept) - np.log1p(-kept), np.float64)


def _check(y: Array, p: Array) -> None:
    if not len(y) or len(y) != len(p) or not np.isin(y, (0.0, 1.0)).all():
        raise ArrayInvalid("outcomes", "are none, not 0 or 1, or not as many as probabilities", "give one outcome a probability")
    if not ((p >= 0.0) & (p <= 1.0)).all():
        raise ArrayInvalid("probabilities", "lie outside [0, 1]", "give probabilities, not scores")
