"""Recovering, sleeping arms: what was shown of late is worth less, and recovers; what is not eligible sleeps.

Yancey and Settles 2020 ("A sleeping, recovering bandit algorithm for optimizing recurring notifications", eq. 7 and 8):
an arm shown d days ago scores

    s - gamma 2^(-d / h),   drawn with softmax(. / T) over the eligible arms;

gamma is the penalty at once, h its half-life in days. Both are estimated from logged rows: reward = score + c -
gamma 2^(-d / h), c what the scores are off by; for each h of a fixed grid that is least squares in (c, gamma), and the
h of the least weighted squares is taken. Its sums are sufficient statistics: they add up over rows and machines, and a
row is taken out, or its reward corrected, by adding it again with a negative weight.

days : since the arm was last shown to this person, inf or NaN for never     rows : (m,)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from array_api_compat import array_namespace, device

from personalization.errors import ArrayInvalid
from personalization.learning.drawing import Odds, lead_of
from personalization.learning.scoring import Array, checked, on_grid

#: Days: a quarter to 64, in steps of sqrt(2).
HALF_LIVES = tuple(2.0 ** (step / 2.0) for step in range(-4, 13))
#: Rows of no effect that gamma is held back with, in units of the regressor's spread.
_PRIOR_ROWS = 10.0
#: Below this many rows nothing is estimated.
_FEWEST = 30.0


@dataclass(frozen=True)
class Recovery:
    """gamma >= 0 in units of the reward, half_life in days; deviation: of gamma at that half-life, inf if not estimated."""

    gamma: float
    half_life: float
    deviation: float


#: Nothing is known: no penalty.
UNKNOWN = Recovery(0.0, 1.0, math.inf)


def penalised(scores: Array, days: Array, recovery: Recovery) -> Array:
    """Scores (n, k) less what they have not recovered of, days (n, k). O(n k)."""
    return scores - recovery.gamma * _remaining(days, recovery.half_life)


def softmax(scores: Array, temperature: float, allowed: Array | None = None) -> Odds:
    """Odds exp((score - best) / temperature) over the eligible arms, the best one has 1. O(n k)."""
    if not 0.0 < temperature < math.inf:
        raise ArrayInvalid("temperature", "is not above 0 and finite", "give the difference of scores that shall matter")
    values, allowed = checked("scores", scores, allowed)
    xp = array_namespace(values)
    greedy, best = lead_of(values, allowed)
    odds = xp.exp(xp.clip((values - best) / temperature, -80.0, 0.0))
    return Odds(xp.where(allowed, on_grid(odds), 0.0), greedy)


def statistics(days: Array, rewards: Array, scores: Array, weights: Array | None = None) -> Array:
    """(half-lives, 6): sums of weight * (1, x, x^2, y, x y, y^2), x = 2^(-d / h), y = score - reward. O(m half-lives).

    Statistics of several logs add up. scores : what the model expected without the penalty.
    """
    xp = array_namespace(days, rewards, scores)
    y = scores - rewards
    weight = xp.ones_like(y) if weights is None else weights
    if not bool(xp.all(xp.isfinite(y) & xp.isfinite(weight))):
        raise ArrayInvalid("rewards, scores or weights", "hold NaN or an infinity", "leave those rows out")
    lives = xp.asarray(HALF_LIVES, dtype=y.dtype, device=device(y))[:, None]
    x = _remaining(days, lives)
    moments = (xp.ones_like(x), x, x * x, y * xp.ones_like(x), x * y, y * y * xp.ones_like(x))
    return xp.stack([xp.sum(weight * moment, axis=-1) for moment in moments], axis=-1)


def estimate(sums: Array) -> Recovery:
    """gamma and half-life of the least squares over HALF_LIVES; UNKNOWN where rows are few or all alike."""
    fits = [_fit(tuple(float(value) for value in sums[i, :]), half_life) for i, half_life in enumerate(HALF_LIVES)]
    known = [fit for fit in fits if fit is not None]
    if not known:
        return UNKNOWN
    return min(known, key=lambda fit: fit[0])[1]


def _fit(sums: tuple[float, ...], half_life: float) -> tuple[float, Recovery] | None:
    """Residual squares and the fit at one half-life."""
    n, x, xx, y, xy, yy = sums
    if n < _FEWEST:
        return None
    spread, joint, total = xx - x * x / n, xy - x * y / n, yy - y * y / n
    if spread <= 1e-9 * n:
        return None
    held = spread * (1.0 + _PRIOR_ROWS / n)
    gamma = max(joint / held, 0.0)
    squares = max(total - 2.0 * gamma * joint + gamma * gamma * spread, 0.0)
    return squares, Recovery(gamma, half_life, math.sqrt(squares / max(n - 2.0, 1.0) / held))


def _remaining(days: Array, half_life: float | Array) -> Array:
    """2^(-d / h), 0 for never. Raises ArrayInvalid on negative days."""
    xp = array_namespace(days)
    if bool(xp.any(days < 0.0)):
        raise ArrayInvalid("days", "are negative", "count from the arm's last showing before this decision; late clocks count as 0")
    shown = xp.isfinite(days)
    since = xp.where(shown, days, 0.0)
    remaining = xp.exp(since * (-math.log(2.0)) / half_life)
    return xp.where(shown, remaining, 0.0)
