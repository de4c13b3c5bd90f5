"""What an open decision has earned so far: the same whatever order its events arrive in, before its exposure or after."""

from __future__ import annotations

import msgspec

from personalization.learning.encoding import NOTHING_SENT, Feature, Taken
from personalization.learning.logistic import Entered
from personalization.reward import RewardSpec, cut
from personalization.vocabulary import Aggregation, EventType

#: Events that say a person was lost, or nearly.
_LEAVING = frozenset({EventType.UNSUBSCRIBED, EventType.COMPLAINED})


class Earned(msgspec.Struct, array_like=True, gc=False):
    """By the events of one key. at : when the first of them happened (microseconds)"""

    at: int
    worth: float


class OpenDecision(msgspec.Struct, array_like=True, gc=False):
    """A decision that may still learn. Times in microseconds; seen: event types so far; entered: what its model said when
    it came in; reward: as its model knows it, once exposed; loss: as it was counted.

    left : the most that an event which says the person was lost takes off     template : its id and version
    """

    seq: int
    decision_id: str
    model_id: str
    user_ref: bytes | None
    context: tuple[Feature, ...]
    action: Taken
    slot_at: int
    matures_at: int
    config_version: int
    active: bool = True
    exposed: bool = False
    final: bool = False
    weight: float = 0.0
    entered: Entered = Entered(0.0, 0, 0.0)
    reward: float = 0.0
    loss: float = 0.0
    earned: dict[str, Earned] = {}
    seen: tuple[str, ...] = ()
    left: float = 0.0
    template: tuple[str, int] | None = None

    @property
    def sent(self) -> bool:
        """Whether anything was; else its reward is what came without a message."""
        return self.action != NOTHING_SENT

    @property
    def variant(self) -> int:
        return self.action.variant[0]

    @property
    def lost(self) -> float:
        """What it cost that this person was lost, 0 when they were not. A given reward may hide that they left; who got
        nothing was not lost by it."""
        return 0.0 if not self.sent else max(-self.reward, self.left if self.final else 0.0, 0.0)


def opening_reward(spec: RewardSpec) -> float:
    return cut(spec.default)


def earned(decision: OpenDecision, type_: str, key: str, value: float | None, spec: RewardSpec, at: int) -> float:
    """The decision's reward after an event of `key` that happened at `at`. A given one is final; of two, the first to come."""
    worth = spec.worth(key, value)
    if type_ in _LEAVING and worth is not None:
        decision.left = max(decision.left, -worth)
    if decision.final:
        return decision.reward
    if type_ == EventType.REWARDED:
        decision.final = True
        return cut(value or 0.0)
    if worth is None:
        return decision.reward
    decision.earned[key] = _together(decision.earned.get(key), Earned(at, worth), spec.aggregation)
    return cut(_total(decision.earned, spec.aggregation))


def _together(known: Earned | None, new: Earned, aggregation: Aggregation) -> Earned:
    if known is None:
        return new
    first = min(known, new, key=lambda one: (one.at, -one.worth))
    if aggregation is Aggregation.SUM:
        return Earned(first.at, known.worth + new.worth)
    return Earned(first.at, max(known.worth, new.worth)) if aggregation is Aggregation.MAX else first


def _total(earned: dict[str, Earned], aggregation: Aggregation) -> float:
    worths = [one.worth for one in earned.values()]
    return max(worths) if aggregation is Aggregation.MAX else sum(worths)
