"""What becomes of a message, in numbers: what events are worth, how long they are waited for, how much harm is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from personalization.clock import HOUR
from personalization.vocabulary import Aggregation, EventType

#: A single reward beyond this is cut to it.
REWARD_LIMIT = 1_000.0
#: Events that say a message did harm, which a guardrail may watch.
HARMS = (EventType.UNSUBSCRIBED, EventType.COMPLAINED, EventType.BOUNCED, EventType.DISMISSED)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ByValue:
    """An event is worth weight + per_value * its value. Values in another currency than the tenant's are not counted."""

    per_value: float
    weight: float = 0.0


Weight = float | ByValue


@dataclass(frozen=True, kw_only=True)
class RewardSpec:
    """A success metric.

    weights   : event type, or "custom:<name>", -> its worth in reward units
    wait_time : microseconds after the slot's time until the reward is final
    default   : the reward when nothing weighted happens
    cost_weight : reward units that one unit of currency spent on a message is worth
    guardrails : event type of HARMS -> highest acceptable rate of them a send
    """

    weights: Mapping[str, Weight] = field(default_factory=lambda: {"clicked": 1.0, "converted": 5.0, "unsubscribed": -5.0})
    wait_time: int = 24 * HOUR
    default: float = 0.0
    aggregation: Aggregation = Aggregation.FIRST_PER_TYPE
    cost_weight: float = 1.0
    guardrails: Mapping[str, float] = field(default_factory=dict)

    @property
    def limits(self) -> tuple[tuple[str, float], ...]:
        """The guardrails, in a fixed order."""
        return tuple(sorted(self.guardrails.items()))

    def worth(self, key: str, value: float | None) -> float | None:
        """Of one event, value in the tenant's currency; None when such events do not count.

        >>> RewardSpec(weights={"converted": ByValue(per_value=0.1, weight=1.0)}).worth("converted", 25.0)
        3.5
        """
        weight = self.weights.get(key)
        if isinstance(weight, ByValue):
            return cut(weight.weight + weight.per_value * (value or 0.0))
        return None if weight is None else cut(weight)


@dataclass(frozen=True, kw_only=True)
class OwnReward:
    """What a template says of its own success; all else is the tenant's. Of weights and guardrails each key stands alone,
    and None takes the tenant's away."""

    weights: Mapping[str, Weight | None] = field(default_factory=dict)
    wait_time: int | None = None
    default: float | None = None
    aggregation: Aggregation | None = None
    cost_weight: float | None = None
    guardrails: Mapping[str, float | None] = field(default_factory=dict)

    def over(self, tenant: RewardSpec) -> RewardSpec:
        return RewardSpec(
            weights=_over(self.weights, tenant.weights),
            wait_time=_said(self.wait_time, tenant.wait_time),
            default=_said(self.default, tenant.default),
            aggregation=_said(self.aggregation, tenant.aggregation),
            cost_weight=_said(self.cost_weight, tenant.cost_weight),
            guardrails=_over(self.guardrails, tenant.guardrails),
        )


def cut(reward: float) -> float:
    return max(-REWARD_LIMIT, min(REWARD_LIMIT, reward))


def _said(own: T | None, tenants: T) -> T:
    return tenants if own is None else own


def _over(own: Mapping[str, T | None], tenants: Mapping[str, T]) -> Mapping[str, T]:
    return {key: value for key, value in {**tenants, **own}.items() if value is not None}
