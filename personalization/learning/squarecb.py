"""SquareCB: inverse gap weighting of expected rewards.

Abe and Long 1999 ("Associative reinforcement learning using linear probabilistic concepts"); Foster and Rakhlin 2020
("Beyond UCB: Optimal and efficient contextual bandits with regression oracles", algorithm 1): with b the arm of the
highest score, every other arm a is drawn with

    p_a = 1 / (mu + gamma (score_b - score_a)),   b with the rest,

mu the number of allowed arms. gamma 0 draws evenly, a large one is greedy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from array_api_compat import array_namespace

from personalization.errors import ArrayInvalid
from personalization.learning.drawing import Odds, at, draw_one, lead_of
from personalization.learning.scoring import MOST, SCORE_STEPS, Array, checked, column, not_finite, summed


def learning_rate(n: float, k: int, d: int, variance: float = 1.0, scale: float = 8.0) -> float:
    """gamma after n rewards of k arms: scale * sqrt(k n / (d variance)).

    Simchi-Levi and Xu 2020 ("Bypassing the monster", algorithm 2): in each epoch gamma is proportional to sqrt(k / E),
    E the squared error of the scores; least squares over d weights (of all arms together) has E = d variance / n. An
    epoch is a snapshot of the model, n the rewards it was learned from. The constants of the proofs explore far too much:
    in small linear worlds scale 1 loses two to four times what Thompson sampling does, 8 about as much.
    """
    if not (n >= 0.0 and k >= 1 and d >= 1 and variance > 0.0 and scale > 0.0):
        raise ArrayInvalid("learning_rate", "needs n >= 0, k, d >= 1, variance, scale > 0", "count rewards, arms and weights")
    return scale * math.sqrt(k * n / (d * variance))


def inverse_gaps(scores: Array, gamma: float | Array, allowed: Array | None = None) -> Odds:
    """Probabilities (n, k) and the greedy arm (n,). gamma : one for all rows, or one a row, >= 0. O(n k)."""
    values, allowed = checked("scores", scores, allowed)
    xp = array_namespace(values)
    _check(gamma)
    greedy, best = lead_of(values, allowed)
    chosen = at(greedy, values.shape[1])
    arms = column(xp.sum(xp.astype(allowed, values.dtype), axis=-1))
    weighted = xp.abs(best - values) * column(gamma) + xp.where(arms > 0.0, arms, 1.0)
    others = xp.where(allowed & ~chosen, 1.0 / weighted, 0.0)
    return Odds(xp.where(chosen, 1.0 - column(summed(others)), others), greedy)


def decide_one(
    scores: Sequence[float], gamma: float, uniform: int, exploration: float = 1.0, allowed: Sequence[bool] | None = None
) -> tuple[int, float]:
    """The arm and its propensity for one decision: what the batch answers, in a few microseconds. -1 if none is allowed."""
    arms = range(len(scores)) if allowed is None else [arm for arm, may in enumerate(allowed) if may]
    if not arms:
        return -1, 1.0
    _check(gamma)
    try:
        values = [round(scores[arm] * SCORE_STEPS) / SCORE_STEPS for arm in arms]
    except (ValueError, OverflowError) as error:
        raise not_finite("scores") from error
    best, mu = max(values), len(values)
    if best > MOST or min(values) < -MOST:
        raise not_finite("scores")
    greedy, others = values.index(best), 0.0
    odds = [1.0 / ((best - value) * gamma + mu) for value in values]
    odds[greedy] = 0.0
    for own in odds:
        others += own
    odds[greedy] = 1.0 - others
    at, propensity = draw_one(odds, greedy, uniform, exploration)
    return arms[at], propensity


def _check(gamma: float | Array) -> None:
    if isinstance(gamma, int | float):
        fine = 0.0 <= gamma <= MOST
    else:
        fine = bool(array_namespace(gamma).all((gamma >= 0.0) & (gamma <= MOST)))
    if not fine:
        raise ArrayInvalid("gamma", "is negative, NaN or beyond 2^62", "take it from `learning_rate`")
