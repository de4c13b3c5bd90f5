"""95 % intervals of a mean whose rows are weighted, skewed, perhaps of few people, and perhaps rarely anything but 0.

Weights are skewed, and so are clicks: a normal interval misses the truth on the side where the rare large rows lie. We
take Hall's cubic transformation ("On the removal of skewness by transformation", 1992), which removes skewness to the
order a studentised bootstrap does, without its resamples and without chance:

    (1)  [V - se h(t), V - se h(-t)],   h(t) = 3 m / g ((1 + g (t / m - g / (6 m^2)))^(1/3) - 1),   m = sqrt(n), g = skewness of psi

with psi_i = z_i - V, se^2 = sum psi_i^2 / (n (n - 1)) and t Student's 97.5 % point. Its degrees of freedom are the effective
sample size of the squared weights less one: a variance that few heavy rows carry is not well known (Satterthwaite 1946
matches moments so). Rows of one person are one psi. Where fewer than FEW (effective) rows differ from
the most common reward no sample variance can be trusted (it is 0 when none was clicked); the interval is then widened to

    (2)  Wilson's (1927) for a share of the rewards' range, for as many trials as the effective sample size.

Losses are rarer than gains and larger (an unsubscribe costs many clicks): a handful of them carries most of the variance,
and most logs hold fewer than there should be. Where their evidence is below FEW, mean gain G, of (1), and mean loss L, of
(2), are taken apart and put together again (Zou and Donner 2008, "Construction of confidence limits about effect
measures"):

    (3)  [V - sqrt((G - g)^2 + (l' - L)^2), V + sqrt((g' - G)^2 + (L - l)^2)],   V = G - L, G in [g, g'], L in [l, l']

All arrays (n,); O(n log n).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Bounds = tuple[float, float]

#: Effective rows that must differ from the most common reward for (1) to stand alone.
FEW = 10
_TAIL = 0.975


def effective_sample_size(weights: Array) -> float:
    """(sum w)^2 / sum w^2 (Kish 1965, eq. 11.7.1): evenly weighted rows that say as much."""
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def standard_error(scores: Array, clusters: IntArray | None) -> float:
    psi = _influences(scores, clusters)
    return math.sqrt(float(psi @ psi) * len(psi) / max(len(psi) - 1, 1)) / len(scores)


def skewed(scores: Array, weights: Array, clusters: IntArray | None) -> Bounds:
    """Equation (1) for the mean of the scores."""
    psi, value, error = _influences(scores, clusters), float(scores.mean()), standard_error(scores, clusters)
    t = float(stdtrit(max(min(effective_sample_size(weights * weights), len(psi)) - 1.0, 1.0), _TAIL))
    skewness = float((psi**3).mean() / (psi**2).mean() ** 1.5) if error else 0.0
    return value - error * _unskewed(t, skewness, len(psi)), value - error * _unskewed(-t, skewness, len(psi))


def widened(scores: Array, weights: Array, rewards: Array, size: float, clusters: IntArray | None) -> Bounds:
    """Equation (1), and (2) where there is little evidence. rewards : of the rows, whose weighted mean the scores estimate"""
    low, high = skewed(scores, weights, clusters)
    values, counts = np.unique(rewards, return_counts=True)
    if _evidence(weights, rewards != values[np.argmax(counts)], size) >= FEW:
        return low, high
    least, reach = (float(rewards.min()), float(np.ptp(rewards))) if np.ptp(rewards) else (min(float(rewards[0]), 0.0), 1.0)
    share_low, share_high = wilson((float(scores.mean()) - least) / reach, size)
    return min(low, least + reach * share_low), max(high, least + reach * share_high)


def few_losses(weights: Array, rewards: Array, lowest: float) -> bool:
    """Whether losses occur, and too rarely for (1). lowest : what a row may earn at least"""
    return lowest < 0.0 and _evidence(weights, rewards < 0.0, effective_sample_size(weights)) < FEW


def apart(
    scores: Array, weights: Array, lost: Array, rewards: Array, size: float, clusters: IntArray | None, lowest: float
) -> Bounds:
    """Equation (3). lost : what the scores lack because of losses, so that scores + lost estimate the mean gain"""
    gains, gain, loss = scores + lost, float((scores + lost).mean()), float(lost.mean())
    low, high = widened(gains, weights, np.maximum(rewards, 0.0), size, clusters)
    least, most = (-lowest * share for share in wilson(-loss / lowest, size))
    return gain - loss - math.hypot(gain - low, most - loss), gain - loss + math.hypot(high - gain, loss - least)


def wilson(share: float, size: float) -> Bounds:
    """Wilson's 95 % interval for a share, from so many trials (at least one)."""
    n, z, p = max(size, 1.0), float(stdtrit(math.inf, _TAIL)), min(max(share, 0.0), 1.0)
    centre, half = p + z * z / (2.0 * n), z * math.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
    return (centre - half) / (1.0 + z * z / n), (centre + half) / (1.0 + z * z / n)


def _influences(scores: Array, clusters: IntArray | None) -> Array:
    """Of each row, or of all rows of a cluster together."""
    psi = scores - scores.mean()
    return psi if clusters is None else np.asarray(np.bincount(clusters, psi)[np.unique(clusters)], np.float64)


def _unskewed(t: float, skewness: float, n: int) -> float:
    """h(t) of equation (1); t itself where there is no skewness."""
    g = skewness / math.sqrt(n)
    if abs(g) < 1e-6:
        return t
    return 3.0 / g * (math.cbrt(1.0 + g * (t - g / 6.0)) - 1.0)


def _evidence(weights: Array, differing: npt.NDArray[np.bool_], size: float) -> float:
    """Effective rows among those: the fewer of how many weigh in their sum, and of how many the effective sample size would
    hold at their share of the weight."""
    mine = weights * differing
    return min(effective_sample_size(mine), size * float(mine.sum() / weights.sum()))
