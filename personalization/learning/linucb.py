"""LinUCB: the arm of the highest upper confidence bound.

Li, Chu, Langford and Schapire 2010 ("A contextual-bandit approach to personalized news article recommendation",
algorithm 1): the arm that maximises x' theta_a + alpha sqrt(x' A_a^-1 x). The state decides, chance does not, so the
propensity is 1; a log of it can judge no other policy. An exploration share makes it one that can: that much of the
grid is spread evenly over the other allowed arms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from array_api_compat import array_namespace

from personalization.errors import ArrayInvalid
from personalization.learning.drawing import Odds, draw_one, greedy_of
from personalization.learning.scoring import MOST, SCORE_STEPS, Array, checked, not_finite


def confidence_width(delta: float) -> float:
    """alpha = 1 + sqrt(ln(2 / delta) / 2): bounds hold with probability 1 - delta (the paper's section 3.1)."""
    if not 0.0 < delta < 1.0:
        raise ArrayInvalid("delta", "is no probability", "give a number between 0 and 1")
    return 1.0 + math.sqrt(math.log(2.0 / delta) / 2.0)


def upper_bounds(means: Array, deviations: Array, alpha: float, allowed: Array | None = None) -> Odds:
    """The arm of the highest bound is the greedy one; all allowed arms have odds 1. O(n k).

    means, deviations : (n, k). `drawing.shares(*upper_bounds(...), exploration)` with exploration 0 is LinUCB itself.
    """
    means, allowed = checked("means", means, allowed)
    deviations, _ = checked("deviations", deviations, allowed)
    bounds, _ = checked("bounds", means + alpha * deviations, allowed)
    return Odds(array_namespace(means).astype(allowed, means.dtype), greedy_of(bounds, allowed))


def decide_one(
    means: Sequence[float],
    deviations: Sequence[float],
    alpha: float,
    uniform: int = 0,
    exploration: float = 0.0,
    allowed: Sequence[bool] | None = None,
) -> tuple[int, float]:
    """The arm and its propensity for one decision, as the batch answers. -1 if none is allowed."""
    arms = range(len(means)) if allowed is None else [arm for arm, may in enumerate(allowed) if may]
    if not arms:
        return -1, 1.0
    try:
        bounds = [_settled(_settled(means[arm]) + alpha * _settled(deviations[arm])) for arm in arms]
    except (ValueError, OverflowError) as error:
        raise not_finite("means or deviations") from error
    if max(bounds) > MOST or min(bounds) < -MOST:
        raise not_finite("means or deviations")
    at, propensity = draw_one([1.0] * len(bounds), bounds.index(max(bounds)), uniform, exploration)
    return arms[at], propensity


def _settled(value: float) -> float:
    return round(value * SCORE_STEPS) / SCORE_STEPS
