"""How a policy chooses among the options of a stage: a table of methods, one kernel each.

Beliefs are normal in the logit (linear Thompson sampling with a logistic link, Chapelle and Li 2011). Thompson's posterior
is drawn in by WIDTH (ibid., section 5: a narrower one loses less in finite time).

scores : (n, k) posterior means     drawn : (n, k, POINTS) draws around them, see learning.ensemble
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np
from scipy.special import expit

from personalization.learning.beliefs import Single
from personalization.learning.design import Array
from personalization.learning.drawing import Odds
from personalization.learning.linucb import confidence_width, upper_bounds
from personalization.learning.squarecb import inverse_gaps, learning_rate
from personalization.learning.thompson import chances, chances_one
from personalization.vocabulary import PolicyMethod

#: What the deviations of Thompson's posterior are multiplied with.
WIDTH = 0.7
#: Chance that LinUCB's bounds do not hold.
_DELTA = 0.1
#: Variance of a reward, at most, as a share of its range squared.
_COIN = 0.25
#: From how many decisions on a kernel for many is faster.
_MANY = 6


class Learned(Protocol):
    """What was learned from: weight of the decisions, dimensions of the model."""

    weight: float
    dimensions: int


class Choice(msgspec.Struct, frozen=True):
    """One stage's options: the greedy one, the share of each under the policy, and their scores in logits."""

    greedy: int
    shares: tuple[float, ...]
    scores: tuple[float, ...]


def _thompson(policy: Learned, scores: Array, drawn: Single) -> list[Choice]:
    """An option as often as it is the best under the posterior."""
    leading = scores / WIDTH
    if len(scores) < _MANY:
        return [_choice(*chances_one(*one), own) for *one, own in zip(leading, drawn, scores, strict=True)]
    return _choices(chances(leading, drawn), scores)


def _squarecb(policy: Learned, scores: Array, drawn: Single) -> list[Choice]:
    """Inverse gap weighting of the expected rewards, as shares of the reward's range."""
    gamma = learning_rate(policy.weight, scores.shape[1], policy.dimensions, _COIN)
    return _choices(inverse_gaps(expit(scores), gamma), scores)


def _linucb(policy: Learned, scores: Array, drawn: Single) -> list[Choice]:
    """The option of the highest upper confidence bound, always."""
    deviations = np.sqrt(np.square(drawn, dtype=np.float64).mean(axis=2))
    _, greedy = upper_bounds(scores, deviations, confidence_width(_DELTA))
    return _choices(Odds(np.eye(scores.shape[1])[greedy], greedy), scores)


def _choices(found: Odds, scores: Array) -> list[Choice]:
    return [_choice(*one) for one in zip(found.odds.tolist(), found.greedy.tolist(), scores, strict=True)]


def _choice(odds: Sequence[float], greedy: int, scores: Array) -> Choice:
    total = sum(odds)
    return Choice(greedy, tuple([share / total for share in odds]), tuple(scores.tolist()))


#: How a policy chooses: name -> (policy, scores (n, k), their draws (n, k, POINTS)) to choices (n,).
METHODS: Mapping[str, Callable[[Learned, Array, Single], list[Choice]]] = {
    PolicyMethod.THOMPSON: _thompson,
    PolicyMethod.SQUARECB: _squarecb,
    PolicyMethod.LINUCB: _linucb,
}
