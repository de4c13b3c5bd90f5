"""Does a ranking by uplift find those whom a treatment changes? The Qini curve (Radcliffe 2007, "Using control groups to
target on predicted lift") and its coefficient, doubly robust.

People in the order of their predicted uplift, highest first; z_i their doubly robust effect (`uplift.pseudo_effects`), or
without models of outcomes y_i t_i / p - y_i (1 - t_i) / (1 - p), with which (1) is Radcliffe's count of incremental
outcomes, a person of the whole:

    Q(phi) = 1/n sum of z_i over the first share phi of the people                                               (1)
    q      = integral of Q(phi) - phi Q(1) = 1/n sum_i z_i (1/2 - u_i),   u_i the person's rank as a share       (2)

the area between the curve and the line of a random order (Devriendt et al. 2020, "Learning to rank for uplift modeling",
compare its variants). (2) is a U-statistic; its interval is that of `learning.intervals` for the influences

    psi_i = z_i (1/2 - u_i) - 1/n sum of z_j over those ranked after i, centred                                  (3)

(Hoeffding 1948), with the ranking taken as given. People of one predicted uplift share their mean rank. O(n log n).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from personalization.errors import Invalid
from personalization.learning.evaluation import Array
from personalization.learning.intervals import skewed

_POINTS = 51


@dataclass(frozen=True, kw_only=True)
class Qini:
    """shares, gains : (51,) the curve (1), in units of the outcome a person    low, high : 95 % interval of the coefficient (2)"""

    shares: Array
    gains: Array
    coefficient: float
    low: float
    high: float


def qini(uplift: Array, pseudo: Array, weights: Array) -> Qini:
    """uplift : (n,) predicted, each without its own row    pseudo : (n,) the z    weights : (n,) 1 / P(the treatment it had)

    Raises Invalid.
    """
    if len(uplift) < 2 or not uplift.shape == pseudo.shape == weights.shape or not np.isfinite([uplift, pseudo]).all():
        raise Invalid.field("uplift", "needs at least 2 people, each with a finite uplift, effect and weight")
    ranks = (rankdata(-uplift) - 0.5) / len(uplift)
    scores = pseudo * (0.5 - ranks)
    later = _later(uplift, pseudo)
    low, high = skewed(scores - later + later.mean(), weights, None)
    shares = np.linspace(0.0, 1.0, _POINTS)
    return Qini(shares=shares, gains=_curve(uplift, pseudo, shares), coefficient=float(scores.mean()), low=low, high=high)


def _later(uplift: Array, pseudo: Array) -> Array:
    """(n,) 1/n sum of z_j over those of less uplift, and half of those of the same."""
    _, group = np.unique(uplift, return_inverse=True)
    sums = np.bincount(group, pseudo)
    return np.asarray((np.cumsum(sums) - 0.5 * sums)[group] / len(uplift), np.float64)


def _curve(uplift: Array, pseudo: Array, shares: Array) -> Array:
    """(1) at these shares; among people of one uplift the curve is a line."""
    levels, group = np.unique(-uplift, return_inverse=True)
    people = np.concatenate([[0.0], np.cumsum(np.bincount(group, minlength=len(levels)))]) / len(uplift)
    gains = np.concatenate([[0.0], np.cumsum(np.bincount(group, pseudo))]) / len(uplift)
    return np.interp(shares, people, gains)
