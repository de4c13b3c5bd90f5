"""Positive parameters by maximum likelihood, with what is not known of them, carried to whatever is forecast with them.

Parameters are estimated as logarithms u (k,), relative to the scale of the data. Their prior

    density of u_j in proportion to exp(-(u_j / 4)^8)                                                       (1)

is all but flat over three thousandfold and falls off steeply beyond: it moves no estimate that data determine, and keeps all
others, of few or of equal customers, finite. Laplace's approximation (MacKay 2003, "Information theory, inference, and
learning algorithms", chapter 27), with the variance 5 of (1) in the place of its curvature, which is none in the middle:

    u ~ N(mode, covariance),   covariance = inverse of the observed information at the mode + 1 / 5         (2)

and a forecast f(u), through a link g that keeps it in its range, has to first order (the delta method)

    var g(f) = sum over j of (d g(f(mode + s L_j)) / ds)^2,   L L' = covariance                             (3)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from personalization.errors import ArrayInvalid

Array = npt.NDArray[np.float64]
#: Log-likelihood of u (k,), and its gradient (k,).
Likelihood = Callable[[Array], tuple[float, Array]]

#: Of the prior (1): its width and power, the variance 4^2 Gamma(3 / 8) / Gamma(1 / 8), and how far a logarithm may go at all.
_WIDTH, _POWER, _VARIANCE, _FARTHEST = 4.0, 8, 5.03, 12.0
#: Steps in u for the curvature, which also ends the climb; in deviations for (3); the deviations of a 95 % interval.
_NEAR, _STEP, _WIDE = 1e-5, 0.05, 1.959964
#: Of the climb: steps, halvings of each, the longest step in u, the least curvature that is followed.
_CLIMBS, _HALVINGS, _LONGEST, _LEAST = 50, 20, 2.0, 1e-3


class Interval(NamedTuple):
    """value, low and high (n,): a forecast and its 95 % interval, which is of the expectation and not of single outcomes."""

    value: Array
    low: Array
    high: Array


class Link(NamedTuple):
    """A scale on which a forecast is about normal, and the way back."""

    there: Callable[[Array], Array]
    back: Callable[[Array], Array]


#: For what is above 0, and for probabilities.
LOGARITHM = Link(lambda value: np.log(np.maximum(value, 1e-300)), lambda scaled: np.exp(np.minimum(scaled, 700.0)))
LOG_ODDS = Link(lambda value: logit(np.clip(value, 1e-300, 1.0 - 1e-15)), expit)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """What (2) believes: a value; it keeps read-only copies of its arrays.

    logs (k,) of the parameters    covariance (k, k) of the logs    log_likelihood : of the data at the mode, prior left out
    """

    logs: Array
    covariance: Array
    log_likelihood: float

    def __post_init__(self) -> None:
        k = len(self.logs)
        if self.covariance.shape != (k, k) or not (np.isfinite(self.logs).all() and np.isfinite(self.covariance).all()):
            raise ArrayInvalid("logs, covariance", "are not finite arrays of shapes (k,) and (k, k)", "unpack what was packed")
        for name in ("logs", "covariance"):
            kept = np.array(getattr(self, name), np.float64)
            kept.setflags(write=False)
            object.__setattr__(self, name, kept)

    @property
    def deviations(self) -> Array:
        """(k,) posterior standard deviations of the logs: to first order those of the parameters, relative to them."""
        return np.sqrt(np.diag(self.covariance))

    def nearby(self) -> Iterator[tuple[Self, Self]]:
        """The models a step up and a step down each direction L_j of (3)."""
        variances, directions = np.linalg.eigh(self.covariance)
        for direction in (directions * np.sqrt(np.maximum(variances, 0.0))).T:
            yield self._moved(_STEP * direction), self._moved(-_STEP * direction)

    def pack(self) -> dict[str, Any]:
        """Arrays and plain data; `unpack` restores it to the bit."""
        return {"logs": self.logs, "covariance": self.covariance, "log_likelihood": self.log_likelihood}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        """Raises ArrayInvalid on arrays that do not fit."""
        logs, covariance = (np.asarray(packed[name], np.float64) for name in ("logs", "covariance"))
        return cls(logs=logs, covariance=covariance, log_likelihood=float(packed["log_likelihood"]))

    @classmethod
    def elsewhere(cls, logs: Array) -> Self:
        """Estimated of others: here these are no more than where the prior (1) begins, which leaves all of its variance open."""
        return cls(logs=logs, covariance=_VARIANCE * np.eye(len(logs)), log_likelihood=0.0)

    def _moved(self, by: Array) -> Self:
        return replace(self, logs=self.logs + by)


def interval(forecast: Callable[..., Array], *models: Fitted, link: Link = LOGARITHM) -> Interval:
    """Equation (3) for forecast(*models) -> (n,), models estimated apart from each other. Two forecasts a parameter."""
    value = forecast(*models)
    variance = np.zeros_like(value)
    for i, model in enumerate(models):
        for pair in model.nearby():
            up, down = (link.there(forecast(*models[:i], moved, *models[i + 1 :])) for moved in pair)
            variance += ((up - down) / (2.0 * _STEP)) ** 2
    middle, wide = link.there(value), _WIDE * np.sqrt(variance)
    return Interval(value, np.minimum(link.back(middle - wide), value), np.maximum(link.back(middle + wide), value))


def most_likely(likelihood: Likelihood, scales: Array) -> tuple[Array, Array, float]:
    """logs, covariance and log-likelihood as in `Fitted`. scales (k,): the parameters are these times exp(u). Some ten steps of
    2 k + 2 likelihoods."""

    def posterior(u: Array) -> tuple[float, Array]:
        (value, slopes), far = likelihood(u), u / _WIDTH
        return value - float(np.sum(far**_POWER)), slopes - _POWER / _WIDTH * far ** (_POWER - 1)

    mode = _summit(posterior, np.zeros(len(scales)))
    known, directions = _curvature(likelihood, mode)
    variances = 1.0 / (np.maximum(known, 0.0) + 1.0 / _VARIANCE)
    return mode + np.log(scales), np.asarray((directions * variances) @ directions.T, np.float64), likelihood(mode)[0]


def _summit(posterior: Likelihood, u: Array) -> Array:
    """Newton's method, by the size of each curvature so that it climbs wherever it starts. Without BLAS on long arrays, which
    is slower than all the rest when its threads wait for each other."""
    for _ in range(_CLIMBS):
        value, slopes = posterior(u)
        curvatures, directions = _curvature(posterior, u)
        step = directions @ (directions.T @ slopes / np.maximum(np.abs(curvatures), _LEAST))
        higher = _higher(posterior, value, u, step / max(1.0, float(np.abs(step).max()) / _LONGEST))
        if np.abs(higher - u).max() < _NEAR:
            return higher
        u = higher
    return u


def _higher(posterior: Likelihood, value: float, u: Array, step: Array) -> Array:
    """The step, halved until it does not lead down; u itself where none leads up."""
    for halving in range(_HALVINGS):
        there = np.clip(u + step / 2.0**halving, -_FARTHEST, _FARTHEST)
        if posterior(there)[0] >= value:
            return there
    return u


def _curvature(likelihood: Likelihood, u: Array) -> tuple[Array, Array]:
    """Eigenvalues (k,) and eigenvectors (columns) of minus the second derivatives, from differences of the slopes."""
    steps = _NEAR * np.eye(len(u))
    bent = np.array([likelihood(u - step)[1] - likelihood(u + step)[1] for step in steps]) / (2.0 * _NEAR)
    curvatures, directions = np.linalg.eigh((bent + bent.T) / 2.0)
    return curvatures, directions
