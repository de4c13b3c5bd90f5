"""What a send is worth to a decision, and what the price of a send by its channel leaves of that.

A price is in rewards: what one more send within the channel's budget would bring elsewhere (bid-price control, Talluri and van
Ryzin 1998, "An analysis of bid-price controls for network revenue management"). So a channel competes with its expected reward
less its price, and what is not worth its price is not sent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from personalization.deciding.record import Inputs, PricedInputs, Triple
from personalization.learning.encoding import channel_key
from personalization.learning.policy import Policy, sigmoid
from personalization.models.prices import MICRO
from personalization.vocabulary import Suppression

#: Under this part of the best channel's reward, what a price leaves is counted along the tangent there.
_FEW = 0.1
#: So much, in logits, is as good as never.
_NEVER = 40.0
#: Probabilities are at least this far from none and from certain.
_EDGE = 1e-9


def price_of(one: Inputs, channel: int) -> float:
    """Of a send by it, in rewards."""
    return one.prices[channel] / MICRO if isinstance(one, PricedInputs) else 0.0


def gain(one: Inputs, policy: Policy, logit: float) -> tuple[float, float, Suppression]:
    """What one more message is expected to bring beyond what comes without it, how unsure that is, and why it is not sent where
    that is nothing. logit : what variant, channel and hour add

    How sure the reward of a message is does not count: far more people get one than none, so nearly all doubt is about those.
    """
    logit += policy.base(one.features)
    worth, deviation = policy.marginal(logit, one.load) if policy.burdened else (policy.value(logit + policy.tired(one.load)), 0.0)
    without, doubt = policy.unsent.expected(one.features) if policy.unsent else (0.0, 0.0)
    reason = Suppression.LOW_UPLIFT if policy.unsent and worth >= 0.0 else Suppression.FATIGUE
    return worth - without, math.hypot(deviation, doubt), reason


def doubt(one: Inputs, policy: Policy, action: Triple, logit: float) -> float:
    """How unsure the reward of a message is: against a price it counts. logit : as of `gain`"""
    channel, hour = channel_key(one.channels[action.channel].name), one.hours[action.slot]
    deviation = policy.doubt(one.features, one.candidates[action.variant].actions, channel, hour)
    likely = sigmoid(logit + policy.base(one.features))
    return deviation * (policy.top - policy.low) * likely * (1.0 - likely)


def prices_off(one: Inputs, options: Sequence[int], logits: Sequence[float], policy: Policy) -> tuple[float, ...]:
    """What the price of a send by each of the channels takes off it, in logits: as much as leaves its reward less the price.

    logits : as of `gain`, of a send by each

    What is worth little or less than nothing keeps its order.
    """
    base = policy.base(one.features) + policy.tired(one.load)
    likely = [sigmoid(base + logit) for logit in logits]
    least = min(max(likely) * _FEW, 0.5)
    left = [p - price_of(one, i) / (policy.top - policy.low) for i, p in zip(options, likely, strict=True)]
    off = [_logit(rest, least) - _logit(p, _EDGE) for rest, p in zip(left, likely, strict=True)]
    return tuple([round(max(one, -_NEVER), 6) for one in off])


def _logit(p: float, least: float) -> float:
    """Under `least` along the tangent there."""
    at = min(max(p, least, _EDGE), 1.0 - _EDGE)
    return math.log(at / (1.0 - at)) + min(p - at, 0.0) / (at * (1.0 - at))
