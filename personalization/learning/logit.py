"""Ridge logistic regression of an outcome, with the posterior of Laplace's approximation.

P(y = 1 | x) = sigmoid(b + w . x), w_j ~ N(0, 1 / penalty_j); the mode by Newton's method (iteratively reweighted least squares,
Hastie, Tibshirani and Friedman 2009, section 4.4.1), the posterior N(mode, H^-1) with H the curvature there (MacKay 1992).
The intercept b has the prior of one row that is half a one, half a zero, so that one class only, or no rows at all, has a
finite answer of wide interval. Probabilities are at the mode; the interval is 95 % of b + w . x, taken through the sigmoid.

x : (n, d) finite, without a constant column    y : (n,) 0 or 1    O(n d^2) a step
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from personalization.errors import ArrayInvalid
from personalization.learning.evaluation import Array

_STEPS = 50
_Z = 1.959964


@dataclass(frozen=True, eq=False)
class Logit:
    """mode: (d + 1,), the intercept first. root: (d + 1, d + 1) with root' root the posterior covariance."""

    mode: Array
    root: Array

    def probabilities(self, x: Array) -> Array:
        """(n,). Raises ArrayInvalid where x is not (n, d) and finite."""
        return np.asarray(expit(_with_bias(x, len(self.mode) - 1) @ self.mode), np.float64)

    def interval(self, x: Array) -> tuple[Array, Array]:
        """(n,), (n,): 95 % interval of each probability, of what the rows do not tell about the weights."""
        centre, spread = _with_bias(x, len(self.mode) - 1) @ self.mode, _Z * self.deviations(x)
        return np.asarray(expit(centre - spread), np.float64), np.asarray(expit(centre + spread), np.float64)

    def deviations(self, x: Array) -> Array:
        """(n,): posterior standard deviation of each row's log-odds."""
        return np.asarray(np.linalg.norm(_with_bias(x, len(self.mode) - 1) @ self.root.T, axis=1), np.float64)

    def pack(self) -> dict[str, Any]:
        """Arrays alone; `unpack` restores it to the bit."""
        return {"mode": self.mode, "root": self.root}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Logit:
        return cls(np.asarray(packed["mode"], np.float64), np.asarray(packed["root"], np.float64))


def logit(x: Array, y: Array, penalty: float | Array = 1.0) -> Logit:
    """penalty: of every weight, or (d,) of each. Raises ArrayInvalid on values that are not finite, outcomes that are not 0 or 1,
    a penalty that is not above 0."""
    check(x, y)
    if not np.all((penalty > 0.0) & (penalty < np.inf)):
        raise ArrayInvalid("penalty", "is not above 0 and finite", "give the precision of the weights' prior")
    rows, targets = _with_prior_row(x, y)
    held = np.concatenate([[0.0], np.broadcast_to(penalty, x.shape[1])])
    mode = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        step = _halved(rows, targets, held, mode, _newton(rows, targets, held, mode))
        mode = mode + step
        if np.abs(step).max() < 1e-8:
            break
    return Logit(mode, np.linalg.inv(np.linalg.cholesky(_curvature(rows, expit(rows @ mode), held))))


def check(x: Array, y: Array) -> None:
    if x.ndim != 2 or y.shape != (len(x),):
        raise ArrayInvalid("x or y", f"have shapes {x.shape} and {y.shape}", "give (n, d) features and (n,) outcomes")
    if not np.isin(y, (0.0, 1.0)).all():
        raise ArrayInvalid("y", "holds values other than 0 and 1", "give 1 where it happened and 0 where not")
    _check_finite(x)


def check_columns(x: Array, d: int) -> None:
    if x.ndim != 2 or x.shape[1] != d:
        raise ArrayInvalid("x", f"has shape {x.shape}", f"give (n, {d}), the columns that were learned from")
    _check_finite(x)


def _with_bias(x: Array, d: int) -> Array:
    check_columns(x, d)
    return np.concatenate([np.ones((len(x), 1)), x], axis=1)


def _check_finite(x: Array) -> None:
    if not np.isfinite(x).all():
        raise ArrayInvalid("x", "holds NaN or an infinity", "encode the table with `learning.tables`, which takes them as missing")


def _with_prior_row(x: Array, y: Array) -> tuple[Array, Array]:
    rows = np.concatenate([np.zeros((1, x.shape[1])), x])
    return _with_bias(rows, x.shape[1]), np.concatenate([[0.5], y])


def _newton(rows: Array, y: Array, held: Array, mode: Array) -> Array:
    p = expit(rows @ mode)
    return np.asarray(np.linalg.solve(_curvature(rows, p, held), rows.T @ (y - p) - held * mode), np.float64)


def _curvature(rows: Array, p: Array, held: Array) -> Array:
    """(d + 1, d + 1), of the negative log posterior; the prior's row keeps it positive definite."""
    return np.asarray((rows * (p * (1.0 - p))[:, None]).T @ rows + np.diag(held), np.float64)


def _halved(rows: Array, y: Array, held: Array, mode: Array, step: Array) -> Array:
    """Newton's step, halved until the penalised loss does not grow: from afar a whole one may overshoot."""

    def loss(weights: Array) -> float:
        z = rows @ weights
        return float((np.logaddexp(0.0, z) - y * z).sum() + held @ weights**2 / 2.0)

    before = loss(mode)
    while loss(mode + step) > before and np.abs(step).max() > 1e-10:
        step = step / 2.0
    return step
