"""How alike people are: the concentration of a Dirichlet-multinomial whose mean is known, by maximum likelihood.

Minka 2000 ("Estimating a Dirichlet distribution", the Polya distribution), fixed point (55) with the mean m held, so that the
precision s alone is moved; each step raises the likelihood, or leaves it where it is highest:

    s <- s * sum_i sum_k m_k [psi(n_ik + s m_k) - psi(s m_k)] / sum_i [psi(n_i + s) - psi(s)]

Counts must be whole events. Decayed ones look less scattered than they are, and the estimate too large: what is learned from
them takes the concentration that predicts later events best.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import psi

from personalization.errors import Invalid

Array = npt.NDArray[np.float64]

#: More than this is no difference between people, less is nothing in common.
LEAST, MOST = 0.1, 10_000.0
_STEPS, _CLOSE = 1_000, 1e-6


def concentration(counts: Array, mean: Array, start: float = 20.0) -> float:
    """counts (n, k): people's events by hour    mean (k,): the population's shares, each above 0. Raises Invalid.

    People with fewer than two events say nothing and are left out; `start` is the answer when nobody says anything.
    O(n k) a step, some tens of steps, at most 1,000 (people without a difference are approached slowly).
    """
    if counts.ndim != 2 or mean.shape != counts.shape[1:] or not (np.isfinite(counts).all() and (counts >= 0.0).all()):
        raise Invalid.field("counts", f"must be finite, not negative and of shape (n, {len(mean)})")
    if not (mean > 0.0).all():
        raise Invalid.field("mean", "must be above 0 everywhere")
    telling = counts[counts.sum(axis=1) >= 2.0]
    return _climbed(telling, mean / mean.sum(), start) if len(telling) else start


def _climbed(counts: Array, mean: Array, s: float) -> float:
    totals = counts.sum(axis=1)
    for _ in range(_STEPS):
        shared = (mean * (psi(counts + s * mean) - psi(s * mean))).sum()
        following = min(max(s * float(shared / (psi(totals + s) - psi(s)).sum()), LEAST), MOST)
        if abs(following - s) <= _CLOSE * s:
            return following
        s = following
    return s
