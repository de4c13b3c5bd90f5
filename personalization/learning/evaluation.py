"""Off-policy evaluation: what a candidate policy would have earned, from a log in which another one chose.

Row i of n: context x_i, action a_i drawn with probability p_i, reward r_i; the candidate chooses a with pi(a|x_i), and
w_i = pi(a_i|x_i) / p_i is the row's weight. Estimates of the candidate's value V, in units of the reward:

    IPS    (1)  mean of w_i r_i                                          (Horvitz and Thompson 1952)
    SNIPS  (2)  sum of w_i r_i / sum of w_i                              (Swaminathan and Joachims 2015, section 4)
    DR     (3)  mean of sum_a pi(a|x_i) q(x_i, a) + w_i (r_i - q(x_i, a_i))   (Dudik, Langford and Li 2011, section 3)

with q predictions of the reward that were made without row i (`learning.crossfit`). Each is V = mean of z_i up to terms
of order 1/n, so that with centred influences psi_i

    (4)  se^2 = sum psi_i^2 / (n (n - 1)),   psi_i = z_i - V

where for SNIPS psi_i = w_i (r_i - V) / mean w, the delta method's (Owen 2013, "Monte Carlo theory", section 9.2).

The interval is that of `learning.intervals`, for skewed rows and rare losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from personalization.errors import Invalid, SupportThin
from personalization.learning.intervals import apart, effective_sample_size, few_losses, skewed, standard_error, widened

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Rows' worth of evidence below which nothing is estimated.
LEAST_EFFECTIVE = 50.0
#: A shortfall of the mean weight from 1 that is this large and so many standard errors wide is no chance. A quarter is too
#: much whatever its standard error, which does not know of the large weights that were not drawn.
_SHORTFALL, _SHORTFALL_ERRORS, _MOST_SHORTFALL = 0.02, 5.0, 0.25
#: Honest logs of which an A/A check is wrong.
_FALSE_ALARMS = 0.001


@dataclass(frozen=True, kw_only=True)
class ChoiceLog:
    """n logged choices among k actions. Raises Invalid on shapes or values that do not fit.

    actions (n,) in [0, k)    rewards (n,)    propensities (n,) in (0, 1]: of the action taken, as drawn
    clusters (n,): rows of one number are one person's, and not independent; None where every row stands alone
    lowest : what a row may earn at least, where that is known to be less than any of these earned
    """

    actions: IntArray
    rewards: Array
    propensities: Array
    clusters: IntArray | None = None
    lowest: float = 0.0

    def __post_init__(self) -> None:
        n = len(self.actions)
        if n < 2 or len(self.rewards) != n or len(self.propensities) != n:
            raise Invalid.field("log", "needs at least 2 rows, and as many rewards and propensities as actions")
        if not (np.isfinite(self.rewards).all() and (self.propensities > 0.0).all() and (self.propensities <= 1.0).all()):
            raise Invalid.field("log", "needs finite rewards and propensities in (0, 1]")

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def least(self) -> float:
        return min(self.lowest, float(self.rewards.min()))

    def taken(self, table: Array) -> Array:
        """(n,): the entry of each row's own action in an (n, k) table."""
        return np.asarray(table[np.arange(len(self)), self.actions], np.float64)


@dataclass(frozen=True, kw_only=True)
class Clipping:
    """What cutting weights at `bound` took away.

    rows      : how many weights were cut
    share     : of all weight
    bias_bound: the estimate without clipping lies within this of the clipped one, in units of the reward
    """

    bound: float
    rows: int
    share: float
    bias_bound: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """value, low, high and standard_error in units of the reward; low and high bound a 95 % interval.

    effective_sample_size : (sum w)^2 / sum w^2 (Kish 1965, eq. 11.7.1): evenly weighted rows that say as much
    clipped               : None when no bound was asked for; the interval is that of the clipped estimate
    """

    method: str
    value: float
    low: float
    high: float
    standard_error: float
    effective_sample_size: float
    rows: int
    clipped: Clipping | None = None

    def covers(self, truth: float) -> bool:
        return self.low <= truth <= self.high


def ips(log: ChoiceLog, target: Array, *, clip: float | None = None, least: float = LEAST_EFFECTIVE) -> Estimate:
    """Equation (1). target: (n, k) what the candidate would do, rows summing to 1. Raises SupportThin, Invalid. O(n k)."""
    weights = _weights(log, target, least)
    cut, clipped = _clip(weights, clip, log.rewards)
    return _estimate("ips", log, cut, cut * log.rewards, clipped)


def snips(log: ChoiceLog, target: Array, *, clip: float | None = None, least: float = LEAST_EFFECTIVE) -> Estimate:
    """Equation (2): it does not follow a shift of all rewards, and stays in their range. Arguments and errors as for `ips`."""
    weights = _weights(log, target, least)
    cut, clipped = _clip(weights, clip, log.rewards, normalised=True)
    value = float(cut @ log.rewards / cut.sum())
    return _estimate("snips", log, cut, value + cut * (log.rewards - value) / cut.mean(), clipped, per_reward=1.0 / cut.mean())


def dr(log: ChoiceLog, target: Array, predictions: Array, *, clip: float | None = None, least: float = LEAST_EFFECTIVE) -> Estimate:
    """Equation (3). predictions: (n, k) expected rewards, each row's made without it. Otherwise as `ips`."""
    weights = _weights(log, target, least)
    if predictions.shape != target.shape or not np.isfinite(predictions).all():
        raise Invalid.field("predictions", f"must be finite and of the target's shape {target.shape}")
    missed = log.rewards - log.taken(predictions)
    cut, clipped = _clip(weights, clip, missed)
    return _estimate("dr", log, cut, (target * predictions).sum(axis=1) + cut * missed, clipped)


def on_policy(log: ChoiceLog) -> Estimate:
    """What the logging policy itself earned: the mean reward, every weight 1."""
    return _estimate("on_policy", log, np.ones(len(log)), log.rewards, None)


def difference(log: ChoiceLog, candidate: Array, other: Array, predictions: Array, *, least: float = LEAST_EFFECTIVE) -> Estimate:
    """By how much the candidate is better than another policy: (3) of both on the same rows, their scores subtracted row by
    row, which is far narrower than two intervals side by side. All tables (n, k); errors as for `dr`. The interval only
    corrects for skewness."""
    weights = _weights(log, candidate, least) - _weights(log, other, least)
    missed = log.rewards - log.taken(predictions)
    scores = ((candidate - other) * predictions).sum(axis=1) + weights * missed
    return _estimate("dr difference", log, weights, scores, None, per_reward=0.0)


# -- A/A -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SelfCheck:
    """A policy judged on its own log. farthest: standard errors by which the worst action's count misses its propensities."""

    estimate: Estimate
    mean: float
    farthest: float
    bound: float

    @property
    def agrees(self) -> bool:
        return self.estimate.covers(self.mean) and self.farthest <= self.bound


def self_check(log: ChoiceLog, logging: Array) -> SelfCheck:
    """A/A: the logging policy's distribution (n, k) against its own log. Its estimate must cover what it earned, and every
    action must have been taken as often as its propensities say, within what chance allows (all actions together err in
    1 of 1,000 honest logs, Bonferroni). Disagreement means that the propensities are not those of the draw."""
    counts = np.bincount(log.actions, minlength=logging.shape[1])
    errors = np.sqrt(np.maximum((logging * (1.0 - logging)).sum(axis=0), 1e-12))
    farthest = float(np.max(np.abs(counts - logging.sum(axis=0)) / errors))
    bound = float(-stdtrit(len(log) - 1, _FALSE_ALARMS / 2 / logging.shape[1]))
    return SelfCheck(estimate=ips(log, logging, least=0.0), mean=float(log.rewards.mean()), farthest=farthest, bound=bound)


# -- weights ---------------------------------------------------------------------------------------------------------


def _weights(log: ChoiceLog, target: Array, least: float) -> Array:
    if target.ndim != 2 or len(target) != len(log) or log.actions.min() < 0 or log.actions.max() >= target.shape[1]:
        raise Invalid.field("target", "must have one row a logged choice and one column an action")
    if (target < 0.0).any() or np.abs(target.sum(axis=1) - 1.0).max() > 1e-6:
        raise Invalid.field("target", "each row must be probabilities that sum to 1")
    weights = log.taken(target) / log.propensities
    effective = effective_sample_size(weights)
    if effective < max(least, 1.0):
        raise SupportThin(f"the {len(log):,} rows weigh as much as {effective:.1f}, at least {max(least, 1.0):g} are needed")
    shortfall = 1.0 - float(weights.mean())
    chance = _SHORTFALL_ERRORS * float(weights.std()) / math.sqrt(len(log))
    if shortfall > max(_SHORTFALL, min(_MOST_SHORTFALL, chance)):
        raise SupportThin(f"the mean weight is {1.0 - shortfall:.3f} and not 1: the log lacks part of what the candidate does")
    return weights


def _clip(weights: Array, bound: float | None, errors: Array, normalised: bool = False) -> tuple[Array, Clipping | None]:
    """The weights cut at the bound. Bias: mean excess times the largest |error|; for (2) the share times their range."""
    if bound is None:
        return weights, None
    if bound <= 0.0:
        raise Invalid.field("clip", "must be above 0")
    excess = np.maximum(weights - bound, 0.0)
    cut = weights > bound
    share = float(excess.sum() / weights.sum())
    bias = share * float(np.ptp(errors)) if normalised else float(excess.mean() * np.abs(errors[cut]).max(initial=0.0))
    return np.minimum(weights, bound), Clipping(bound=bound, rows=int(cut.sum()), share=share, bias_bound=bias)


def _estimate(
    method: str, log: ChoiceLog, weights: Array, scores: Array, clipped: Clipping | None, *, per_reward: float = 1.0
) -> Estimate:
    """per_reward : the scores hold this times weight times reward; 0.0 where the difference of two policies is estimated,
    for which only the skewness is corrected."""
    value, size = float(scores.mean()), effective_sample_size(np.abs(weights))
    low, high = skewed(scores, weights, log.clusters) if not per_reward else _bounds(log, weights, scores, size, per_reward)
    return Estimate(
        method=method,
        value=value,
        low=low,
        high=high,
        standard_error=standard_error(scores, log.clusters),
        effective_sample_size=size,
        rows=len(log),
        clipped=clipped,
    )


def _bounds(log: ChoiceLog, weights: Array, scores: Array, size: float, per_reward: float) -> tuple[float, float]:
    if few_losses(weights, log.rewards, log.least):
        lost = per_reward * weights * np.maximum(-log.rewards, 0.0)
        return apart(scores, weights, lost, log.rewards, size, log.clusters, log.least)
    return widened(scores, weights, log.rewards, size, log.clusters)
