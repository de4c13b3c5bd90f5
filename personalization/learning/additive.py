"""A regression whose score is a sum over columns, each a line and steps at its quartiles (Hastie and Tibshirani 1986,
"Generalized additive models"), drawn in by a ridge: for outcomes in {0, 1} that of `logit`, else of least squares (Hoerl and
Kennard 1970). It takes columns of any scale and finds thresholds; it does not see interactions.

    score(x) = w_0 + sum_j (w_j (x_j - m_j) / s_j + sum_c v_jc 1[x_j > q_jc])

with m, s and q of the rows it was fitted to. O(n d^2) for d columns, a dozen times where logistic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from personalization.errors import Invalid
from personalization.learning.crossfit import folds_of, ridge_weights
from personalization.learning.evaluation import Array
from personalization.learning.logit import Logit, logit

#: Steps of a column are at these quantiles, where they differ.
_QUANTILES = (0.25, 0.5, 0.75)
#: Rows of evidence against each weight, among which a part of the rows chooses.
PENALTIES = (10.0, 30.0, 100.0, 300.0, 1000.0)
_FOLDS = 3
#: A row tells of a log-odds at most as much as this many rows of least squares.
_CURVATURE = 0.25


@dataclass(frozen=True)
class Basis:
    """mean, scale : (d,)    columns, cuts : (m,) the column of each step and where it is"""

    mean: Array
    scale: Array
    columns: tuple[int, ...]
    cuts: Array

    @classmethod
    def of(cls, x: Array) -> Basis:
        """Raises Invalid unless x is (n, d), finite and not empty."""
        if x.ndim != 2 or not x.size or not np.isfinite(x).all():
            raise Invalid.field("x", "must be a table of finite numbers with at least one row and one column")
        steps = [(j, cut) for j, column in enumerate(x.T) for cut in np.unique(np.quantile(column, _QUANTILES))]
        steps = [(j, cut) for j, cut in steps if cut < x[:, j].max()]
        spread = x.std(axis=0)
        return cls(x.mean(axis=0), np.where(spread > 0.0, spread, 1.0), tuple(j for j, _ in steps), np.array([c for _, c in steps]))

    def terms(self, x: Array) -> Array:
        """(n, d + m); steps are centred on 0."""
        steps = (x[:, list(self.columns)] > self.cuts) - 0.5
        return np.hstack([(x - self.mean) / self.scale, steps])


@dataclass(frozen=True)
class Plane:
    """score = mean + (terms - centre) weights    centre, weights : (d + m,)"""

    mean: float
    centre: Array
    weights: Array

    def scores(self, terms: Array) -> Array:
        return np.asarray(self.mean + (terms - self.centre) @ self.weights, np.float64)


@dataclass(frozen=True)
class Additive:
    """A fitted model. Immutable."""

    basis: Basis
    model: Logit | Plane

    def predictions(self, x: Array) -> Array:
        """(n,) expected outcomes of rows (n, d); probabilities where logistic."""
        terms = self.basis.terms(x)
        return self.model.probabilities(terms) if isinstance(self.model, Logit) else self.model.scores(terms)


def additive(x: Array, y: Array, *, penalty: float, logistic: bool = True) -> Additive:
    """The model of rows x : (n, d) and outcomes y : (n,), in {0, 1} where logistic. Raises Invalid."""
    basis = Basis.of(x)
    if len(y) != len(x) or not np.isfinite(y).all():
        raise Invalid.field("y", "must be one finite outcome a row")
    terms = basis.terms(x)
    return Additive(basis, logit(terms, y, penalty * _CURVATURE) if logistic else _plane(terms, y, penalty))


def _plane(terms: Array, y: Array, penalty: float) -> Plane:
    """Least squares drawn in towards the mean outcome."""
    mean, centre = float(y.mean()), terms.mean(axis=0)
    return Plane(mean, centre, ridge_weights(terms - centre, y, np.full(len(y), mean), penalty))


def chosen_penalty(x: Array, y: Array, rng: np.random.Generator, *, logistic: bool = True) -> float:
    """Of PENALTIES the one of least squared error on rows that were left out of the fit."""
    folds = folds_of(len(y), _FOLDS, rng)
    errors = [0.0] * len(PENALTIES)
    for held in (folds == fold for fold in range(_FOLDS)):
        for i, penalty in enumerate(PENALTIES):
            model = additive(x[~held], y[~held], penalty=penalty, logistic=logistic)
            errors[i] += float(np.square(y[held] - model.predictions(x[held])).sum())
    return PENALTIES[int(np.argmin(errors))]
