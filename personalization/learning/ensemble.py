"""Fixed draws from a belief about weights: the belief, as POINTS equally likely vectors of weights.

Ensemble sampling (Lu and Van Roy 2017) with the exact posterior behind it: a score's draws are sums of its weights' draws,
so whoever decides reads them off a table and needs no covariance. With a posterior covariance S = L L' the draws are L z.
Each weight's z are the normal quantiles of POINTS equal cells (Latin hypercube, McKay, Beckman and Conover 1979), scaled
to variance 1, in an order of the weight's own that never changes: what is believed little different is drawn little
different, in every process. Two weights' z are correlated by 1 / sqrt(POINTS), 0.06, which is the error of a deviation.

Draws are whole multiples of 2^-12 below 8, 16 bits each, so that their sums over features are exact in float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from personalization.learning.thompson import POINTS

Draws = npt.NDArray[np.int16]

#: Steps of a draw in one unit.
STEPS = 2.0**12
_MOST = 2**15 - 1


def draws(covariance: npt.NDArray[np.float64]) -> Draws:
    """(d, POINTS) in steps: weight i's differences from its mean. O(d^2 (d + POINTS))."""
    d = len(covariance)
    return _stepped(np.linalg.cholesky(covariance) @ _numbered(d)) if d else np.zeros((0, POINTS), np.int16)


def alone(deviation: float, key: int) -> Draws:
    """(POINTS,) in steps: of a weight that is independent of all others."""
    return _stepped(deviation * standard([key])[0])


def unfolded(found: Draws) -> npt.NDArray[np.float32]:
    """In units."""
    return (found / np.float32(STEPS)).astype(np.float32)


def standard(keys: Iterable[int]) -> npt.NDArray[np.float64]:
    """(n, POINTS) standard normal draws, a row a key: the same for the same key."""
    order = np.argsort(_mixed(np.fromiter(keys, np.uint64)[:, None], np.arange(POINTS, dtype=np.uint64)), axis=1, kind="stable")
    return np.asarray(_cells()[order])


@lru_cache(maxsize=1)
def _cells() -> npt.NDArray[np.float64]:
    quantiles = ndtri((np.arange(POINTS) + 0.5) / POINTS)
    return np.asarray(quantiles / np.sqrt(np.mean(quantiles**2)))


@lru_cache(maxsize=8)
def _numbered(d: int) -> npt.NDArray[np.float64]:
    return standard(range(d))


def _mixed(key: npt.NDArray[np.uint64], at: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each pair (Steele, Lea and Flood 2014, SplitMix)."""
    z = (key << np.uint64(32)) + (at + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def _stepped(values: npt.NDArray[np.float64]) -> Draws:
    return np.clip(np.rint(values * STEPS), -_MOST, _MOST).astype(np.int16)
