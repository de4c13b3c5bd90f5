"""Linear Thompson sampling whose propensities are known: the chance that an arm is best, over a fixed set of points.

Thompson 1933; Agrawal and Goyal 2013 ("Thompson sampling for contextual bandits with linear payoffs"): an arm is drawn
with the probability that it is best under the posterior. That integral has no closed form. It is summed here over
POINTS fixed quasi-normal points, always the same, so the distribution is a function of the posterior alone and what is
drawn from it has exactly its logged propensity, whatever the sum's error (over made-up posteriors the worst arm's is
0.012 at four arms, 0.02 at eight, 0.025 at 64 on average, 0.05 at worst). Arms that tie at a point share it.

Points: Richtmyer's sequence frac(i sqrt(p_j)) with the first primes p_j (as Genz 1992 takes it for the multivariate
normal integral), through the normal quantile, whitened to mean 0 and covariance 1, on a grid of 2^-10. Halton's points
are four times worse beyond 16 dimensions, Sobol's about as good.

An arm no point favours keeps min(half a point, exp(-z^2 / 2) / 2), z its lead over the greedy arm in deviations of the
difference (Chernoff's bound on the chance to beat it): finitely many points would else give it up for good.

means : (n, k) posterior means of scores      factor : (n, k, r), scores' covariance is factor factor', r <= DIMENSIONS
With a logistic link scores are logits: the link is monotone, so the best arm and all below stay the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace, device
from scipy.special import ndtri

from personalization.errors import ArrayInvalid
from personalization.learning.drawing import Odds, at, draw_one, lead_of
from personalization.learning.scoring import FACTOR_STEPS, MOST, SCORE_STEPS, Array, bounded, checked, not_finite, on_grid

#: Points of the sum, and the most dimensions they are made for.
POINTS, DIMENSIONS = 256, 128
#: What a point is worth in odds: whole numbers, so that sums of them are exact.
_WORTH = 4096.0
#: Rows summed at once, so that their points stay in the processor's cache.
_BLOCK = 64

_POINT_STEPS = 2.0**10


def chances(means: Array, factor: Array, allowed: Array | None = None) -> Odds:
    """Odds (n, k), proportional to the chance to be best, and the arm of the highest mean (n,). O(n k r POINTS).

    The same row alone and in company: sums are exact where |mean|, |factor| < 2^10 or so (see scoring).
    """
    means, allowed = checked("means", means, allowed)
    factor = _checked_factor(factor, allowed)
    xp = array_namespace(means)
    n, k, r = factor.shape
    points = xp.asarray(normal_points(r).T, dtype=means.dtype, device=device(means))
    found = []
    for start in range(0, max(n, 1), _BLOCK):
        rows = slice(start, min(start + _BLOCK, n))
        drawn = xp.matmul(xp.reshape(factor[rows, :, :], (-1, r)), points)
        found.append(_best(means[rows, :], xp.reshape(drawn, (-1, k, POINTS)), allowed[rows, :]))
    return Odds(xp.concat([one.odds for one in found]), xp.concat([one.greedy for one in found]))


def chances_drawn(means: Array, drawn: Array) -> Odds:
    """The same over draws (n, k, p) of how far the scores are from their means, as learning.ensemble makes them. O(n k p)."""
    xp = array_namespace(means)
    return _best(means, drawn, xp.ones(means.shape, dtype=xp.bool, device=device(means)))


def chances_drawn_one(means: Sequence[float], drawn: npt.NDArray[np.floating[Any]]) -> tuple[list[float], int]:
    """`chances_drawn` of one decision, as the batch answers, without its overhead. drawn : (k, p)"""
    values = np.array(means)
    samples = drawn + values.astype(drawn.dtype)[:, None]
    wins = samples == samples.max(axis=0)
    greedy = int(values.argmax())
    if int(np.count_nonzero(wins)) == POINTS:
        counts = (wins.sum(axis=1) * _WORTH).tolist()
    else:
        counts = (wins * np.floor(_WORTH / wins.sum(axis=0))).sum(axis=1).tolist()
    if all(counts):
        return counts, greedy
    apart = drawn - drawn[greedy]
    kept = _kept_of_one(values[greedy] - values, np.add.reduce(apart * apart, axis=1) / POINTS).tolist()
    return [count or own for count, own in zip(counts, kept, strict=True)], greedy


def _kept_of_one(lead: npt.NDArray[np.float64], variance: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    certain = variance <= 0.0
    squared = np.minimum(lead * lead / np.where(certain, 1.0, variance), 100.0)
    bound = np.where(certain, 0.0, np.exp(-0.5 * squared))
    return np.asarray(np.minimum(np.rint(bound * (0.5 * _WORTH * POINTS)), 0.5 * _WORTH))


def chances_one(
    means: Sequence[float], factor: npt.NDArray[np.float64], allowed: Sequence[bool] | None = None
) -> tuple[list[float], int]:
    """`chances` of one decision, as the batch answers, without its overhead: odds of all arms (0 where not allowed), and
    the greedy one (-1 if none is allowed). factor : (k, r)"""
    arms = list(range(len(means))) if allowed is None else [arm for arm, may in enumerate(allowed) if may]
    if not arms:
        return [0.0] * len(means), -1
    try:
        values = [round(means[arm] * SCORE_STEPS) / SCORE_STEPS for arm in arms]
    except (ValueError, OverflowError) as error:
        raise not_finite("means") from error
    if max(values) > MOST or min(values) < -MOST:
        raise not_finite("means")
    spread = np.rint((factor if allowed is None else factor[arms]) * FACTOR_STEPS) / FACTOR_STEPS
    if not (np.abs(spread) <= MOST).all():
        raise not_finite("factor")
    own, greedy = chances_drawn_one(values, spread @ _transposed(spread.shape[1]))
    odds = [0.0] * len(means)
    for arm, found in zip(arms, own, strict=True):
        odds[arm] = found
    return odds, arms[greedy]


def decide_one(
    means: Sequence[float],
    factor: npt.NDArray[np.float64],
    uniform: int,
    exploration: float = 1.0,
    allowed: Sequence[bool] | None = None,
) -> tuple[int, float]:
    """The arm and its propensity for one decision, as the batch answers. -1 if none is allowed."""
    return draw_one(*chances_one(means, factor, allowed), uniform, exploration)


def factor_of(covariance: Array) -> Array:
    """(n, k, k) lower Cholesky factors of the scores' covariances (n, k, k). O(n k^3), k small.

    Row by row of its own, so it does not depend on the batch; arms without a variance left of their own get zeros, so
    arms that are alike stay so.
    """
    xp = array_namespace(covariance)
    k = covariance.shape[-1]
    columns: list[Array] = []
    for j in range(k):
        rest = covariance[:, :, j]
        for done in columns:
            rest = rest - done * done[:, j : j + 1]
        own = xp.where(rest[:, j] > _NOISE * covariance[:, j, j], rest[:, j], 0.0)[:, None]
        inverse = xp.where(own > 0.0, 1.0 / xp.sqrt(xp.where(own > 0.0, own, 1.0)), 0.0)
        reached = xp.arange(k, device=device(rest))[None, :] >= j
        columns.append(xp.where(reached, rest * inverse, 0.0))
    return xp.stack(columns, axis=-1)


def expected_reward(means: Array, variances: Array) -> Array:
    """E[sigmoid(score)] under normal scores: sigmoid(mean / sqrt(1 + pi variance / 8)), any shape.

    MacKay 1992 ("The evidence framework applied to classification networks", eq. 5 and 6).
    """
    xp = array_namespace(means, variances)
    moderated = xp.clip(means / xp.sqrt(1.0 + variances * (math.pi / 8.0)), -80.0, 80.0)
    return 1.0 / (1.0 + xp.exp(-moderated))


@lru_cache(maxsize=DIMENSIONS)
def normal_points(r: int) -> npt.NDArray[np.float64]:
    """(POINTS, r) the fixed points. Raises ArrayInvalid beyond DIMENSIONS."""
    if not 1 <= r <= DIMENSIONS:
        raise ArrayInvalid("factor", f"has {r} columns", f"give it 1 to {DIMENSIONS}; `factor_of` makes one column an arm")
    uniform = np.arange(1, POINTS + 1)[:, None] * np.sqrt(_primes(r)) % 1.0
    normal = np.asarray(ndtri(uniform))
    normal -= normal.mean(axis=0)
    values, vectors = np.linalg.eigh(normal.T @ normal / POINTS)
    points: npt.NDArray[np.float64] = np.rint((normal @ (vectors / np.sqrt(values)) @ vectors.T) * _POINT_STEPS) / _POINT_STEPS
    points.setflags(write=False)
    return points


def _best(means: Array, drawn: Array, allowed: Array) -> Odds:
    """What the draws at which an arm is best are worth; an arm that is never best keeps a little."""
    xp = array_namespace(means)
    greedy, best = lead_of(means, allowed)
    reachable = xp.where(allowed, means, -float("inf"))
    samples = drawn + xp.astype(reachable, drawn.dtype)[:, :, None]
    odds = xp.where(allowed, _worth(samples == xp.max(samples, axis=1, keepdims=True), means.dtype), 0.0)
    if bool(xp.all(odds > 0.0)):
        return Odds(odds, greedy)
    lead = xp.sum(xp.where(at(greedy, means.shape[1])[:, :, None], drawn, 0.0), axis=1, keepdims=True)
    variance = xp.astype(xp.mean((drawn - lead) * (drawn - lead), axis=-1), means.dtype)
    return Odds(xp.where(allowed & (odds == 0.0), _kept(best - means, variance), odds), greedy)


def _worth(wins: Array, real: Any) -> Array:
    """(n, k) from which arms are best in which draw (n, k, p): arms that tie share it."""
    xp = array_namespace(wins)
    counts = xp.count_nonzero(wins, axis=-1)
    if int(xp.sum(counts)) == wins.shape[0] * wins.shape[2]:
        return xp.astype(counts, real) * _WORTH
    held = xp.astype(wins, real)
    return xp.sum(held * xp.floor(_WORTH / xp.sum(held, axis=1, keepdims=True)), axis=-1)


def _kept(lead: Array, variance: Array) -> Array:
    """(n, k) what an arm keeps that is best nowhere. variance : of its difference from the greedy one"""
    xp = array_namespace(lead)
    certain = variance <= 0.0
    squared = lead * lead / xp.where(certain, 1.0, variance)
    bound = xp.where(certain, 0.0, xp.exp(-0.5 * xp.clip(squared, 0.0, 100.0)))
    return xp.clip(xp.round(bound * (0.5 * _WORTH * POINTS)), 0.0, 0.5 * _WORTH)


def _checked_factor(factor: Array, allowed: Array) -> Any:
    xp = array_namespace(factor)
    if factor.ndim != 3 or tuple(factor.shape[:2]) != tuple(allowed.shape):
        raise ArrayInvalid("factor", f"has shape {tuple(factor.shape)}", f"give it {tuple(allowed.shape)} and a column a dimension")
    factor = xp.where(allowed[:, :, None], factor, 0.0)
    if not bounded(factor):
        raise not_finite("factor")
    return on_grid(factor, FACTOR_STEPS)


@lru_cache(maxsize=DIMENSIONS)
def _transposed(r: int) -> npt.NDArray[np.float64]:
    return np.ascontiguousarray(normal_points(r).T)


def _primes(n: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < n:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


#: A variance below this share of what it started from is rounding.
_NOISE = 2.0**-40
