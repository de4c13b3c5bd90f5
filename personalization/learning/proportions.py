"""Shares of trials as Beta posteriors: how surely one lies where, which one is the largest, whether they differ at all.

k hits in n trials under a prior Beta(a, b) leave Beta(a + k, b + n - k). Decayed counts enter as they are: each trial's
likelihood is raised to the power of its weight (the power prior, Ibrahim and Chen 2000), which never claims more than the
trials hold. Counts that exceed their trials are taken for their trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincinv, betaln, expit

Array = npt.NDArray[np.float64]

#: Points of each posterior at which all are compared: what it costs is below 1e-4 of probability.
_POINTS = 256
_TAIL = 0.025


class Share(NamedTuple):
    """Beta(a, b)."""

    a: float
    b: float

    def after(self, hits: float, trials: float) -> Share:
        """The posterior of which this is the prior."""
        hits, trials = max(hits, 0.0), max(trials, hits, 0.0)
        return Share(self.a + hits, self.b + trials - hits)

    @property
    def mean(self) -> float:
        return self.a / (self.a + self.b)

    @property
    def deviation(self) -> float:
        total = self.a + self.b
        return sqrt(self.a * self.b / (total + 1.0)) / total

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, as much left out below as above."""
        return float(betaincinv(self.a, self.b, _TAIL)), float(betaincinv(self.a, self.b, 1.0 - _TAIL))

    def between(self, low: float, high: float) -> float:
        """Chance that the share lies there."""
        return float(betainc(self.a, self.b, high) - betainc(self.a, self.b, low))


def settled(prior: Share, posterior: Share) -> float:
    """How much of the prior's doubt is gone, 0..1: 1 - deviation now / deviation before.

    >>> settled(Share(1.0, 3.0), Share(1.0, 3.0))
    0.0
    """
    return max(0.0, 1.0 - posterior.deviation / prior.deviation)


def chances_to_be_largest(shares: Sequence[Share]) -> list[float]:
    """P(theta_i = max theta) of each, sum 1. O(n^2 POINTS)

    The integral of prod_(j != i) F_j dF_i is summed by trapezoids over the quantiles of all posteriors together, so no
    posterior is too narrow for the grid.
    """
    a, b = (np.array(values)[:, None] for values in zip(*shares, strict=True))
    levels = (np.arange(_POINTS) + 0.5) / _POINTS
    grid = np.unique(np.concatenate([[0.0, 1.0], betaincinv(a, b, levels).ravel()]))
    below = betainc(a, b, grid)
    chances = np.array([_stieltjes(np.delete(below, i, 0).prod(axis=0), below[i]) for i in range(len(shares))])
    return [float(chance) for chance in chances / chances.sum()]


def _stieltjes(values: Array, weights: Array) -> float:
    """Integral of values d(weights)."""
    return float(np.diff(weights) @ (values[1:] + values[:-1])) / 2.0


def chance_to_differ(counts: Sequence[tuple[float, float]], prior: Share) -> float:
    """P(the shares differ), 1/2 before any data. counts: (hits, trials) of each

    One share for all against one for each, every share Beta(a, b) (the 2 x K contingency table of Jeffreys 1961, 5.11,
    with a Beta prior instead of the uniform one).
    """
    hits, trials = (np.array(values) for values in zip(*counts, strict=True))
    trials = np.maximum(hits, trials)
    apart = _evidence(hits, trials, prior).sum()
    return float(expit(apart - _evidence(hits.sum(), trials.sum(), prior)))


def _evidence(hits: Array, trials: Array, prior: Share) -> Array:
    """Log marginal likelihood of the trials."""
    return np.asarray(betaln(prior.a + hits, prior.b + trials - hits) - betaln(prior.a, prior.b))


def lifted(probability: float, before: float) -> float:
    """How far evidence took a probability from where it was to certainty, 0..1.

    >>> lifted(0.75, 0.5), lifted(0.3, 0.5)
    (0.5, 0.0)
    """
    return max(0.0, (probability - before) / (1.0 - before))
