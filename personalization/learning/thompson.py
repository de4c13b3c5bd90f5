"""Thompson sampling whose propensities are known: how often an arm is best over fixed draws of the belief.

Thompson 1933; Agrawal and Goyal 2013 ("Thompson sampling for contextual bandits with linear payoffs"): an arm is drawn with
the probability that it is best under the posterior. That integral has no closed form. It is summed over the draws that
learning.ensemble holds, the same for everybody, so the distribution is a function of the posterior alone and what is drawn
from it has exactly its logged propensity, whatever the sum's error. Arms that tie in a draw share it.

An arm that is best in no draw keeps min(half a draw, exp(-z^2 / 2) / 2), z its lead over the greedy arm in deviations of
the difference (Chernoff's bound on the chance to beat it): finitely many draws would else give it up for good.

means : (n, k) posterior means of scores      drawn : (n, k, p) draws of how far the scores are from their means
With a logistic link scores are logits: the link is monotone, so the best arm and all below stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from array_api_compat import array_namespace

from personalization.errors import ArrayInvalid
from personalization.learning.drawing import Odds, at, draw_one, lead_of
from personalization.learning.scoring import MOST, SCORE_STEPS, Array, bounded, checked, not_finite

#: What a draw is worth in odds: whole numbers, so that sums of them are exact.
_WORTH = 4096.0


def chances(means: Array, drawn: Array, allowed: Array | None = None) -> Odds:
    """Odds (n, k), proportional to the chance to be best, and the arm of the highest mean (n,). O(n k p).

    Element by element, so a row's answer does not depend on the batch. Raises ArrayInvalid on other shapes and on NaN and
    infinities where allowed.
    """
    means, allowed = checked("means", means, allowed)
    drawn = _checked(drawn, allowed)
    xp = array_namespace(means)
    greedy, best = lead_of(means, allowed)
    reachable = xp.where(allowed, means, -float("inf"))
    samples = drawn + xp.astype(reachable, drawn.dtype)[:, :, None]
    odds = xp.where(allowed, _worth(samples == xp.max(samples, axis=1, keepdims=True), means.dtype), 0.0)
    if bool(xp.all((odds > 0.0) | ~allowed)):
        return Odds(odds, greedy)
    lead = xp.sum(xp.where(at(greedy, means.shape[1])[:, :, None], drawn, 0.0), axis=1, keepdims=True)
    variance = xp.astype(xp.mean((drawn - lead) * (drawn - lead), axis=-1), means.dtype)
    return Odds(xp.where(allowed & (odds == 0.0), _kept(best - means, variance, drawn.shape[2]), odds), greedy)


def chances_one(means: Sequence[float], drawn: npt.NDArray[Any]) -> tuple[list[float], int]:
    """`chances` of one decision, as the batch answers, without its overhead: odds of all arms and the greedy one.

    drawn : (k, p), finite
    """
    values = np.array(means)
    if not (np.abs(values) <= MOST).all():
        raise not_finite("means")
    values = np.rint(values * SCORE_STEPS) / SCORE_STEPS
    samples = drawn + values.astype(drawn.dtype)[:, None]
    wins = samples == samples.max(axis=0)
    greedy = int(values.argmax())
    if int(np.count_nonzero(wins)) == wins.shape[1]:
        odds = (wins.sum(axis=1) * _WORTH).tolist()
    else:
        odds = (wins * np.floor(_WORTH / wins.sum(axis=0))).sum(axis=1).tolist()
    if all(odds):
        return odds, greedy
    apart = drawn - drawn[greedy]
    kept = _kept_of_one(values[greedy] - values, np.add.reduce(apart * apart, axis=1) / wins.shape[1], wins.shape[1]).tolist()
    return [own or least for own, least in zip(odds, kept, strict=True)], greedy


def decide_one(
    means: Sequence[float],
    drawn: npt.NDArray[Any],
    uniform: int,
    exploration: float = 1.0,
    allowed: Sequence[bool] | None = None,
) -> tuple[int, float]:
    """The arm and its propensity for one decision, as the batch answers. -1 if none is allowed."""
    arms = [arm for arm in range(len(means)) if allowed is None or allowed[arm]]
    if not arms:
        return -1, 1.0
    at, propensity = draw_one(*chances_one([means[arm] for arm in arms], drawn[arms]), uniform, exploration)
    return arms[at], propensity


def _worth(wins: Array, real: Any) -> Array:
    """(n, k) from which arms are best in which draw (n, k, p): arms that tie share it."""
    xp = array_namespace(wins)
    counts = xp.count_nonzero(wins, axis=-1)
    if int(xp.sum(counts)) == wins.shape[0] * wins.shape[2]:
        return xp.astype(counts, real) * _WORTH
    held = xp.astype(wins, real)
    return xp.sum(held * xp.floor(_WORTH / xp.sum(held, axis=1, keepdims=True)), axis=-1)


def _kept(lead: Array, variance: Array, p: int) -> Array:
    """(n, k) what an arm keeps that is best nowhere. variance : of its difference from the greedy one"""
    xp = array_namespace(lead)
    certain = variance <= 0.0
    squared = lead * lead / xp.where(certain, 1.0, variance)
    bound = xp.where(certain, 0.0, xp.exp(-0.5 * xp.clip(squared, 0.0, 100.0)))
    return xp.clip(xp.round(bound * (0.5 * _WORTH * p)), 0.0, 0.5 * _WORTH)


def _kept_of_one(lead: npt.NDArray[np.float64], variance: npt.NDArray[Any], p: int) -> npt.NDArray[np.float64]:
    certain = variance <= 0.0
    squared = np.minimum(lead * lead / np.where(certain, 1.0, variance), 100.0)
    bound = np.where(certain, 0.0, np.exp(-0.5 * squared))
    return np.asarray(np.minimum(np.rint(bound * (0.5 * _WORTH * p)), 0.5 * _WORTH))


def _checked(drawn: Array, allowed: Array) -> Array:
    """0 where not allowed, which may hold anything."""
    xp = array_namespace(drawn)
    if drawn.ndim != 3 or tuple(drawn.shape[:2]) != tuple(allowed.shape) or drawn.shape[2] < 1:
        raise ArrayInvalid("drawn", f"has shape {tuple(drawn.shape)}", f"give it {tuple(allowed.shape)} and a column a draw")
    drawn = xp.where(allowed[:, :, None], drawn, 0.0)
    if not bounded(drawn):
        raise not_finite("drawn")
    return drawn
