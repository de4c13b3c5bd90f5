"""The optimum over a whole audience: who gets a message by which channel in which slot, within budgets, capacities and caps.

The problem is (1) in `learning.audience`. With budgets by channel and capacities by slot it is a three-dimensional transport,
NP-hard, but whole numbers cost it next to nothing: a corner of its linear program splits at most as many users as there are
limits. So prices are learned first (`learning.shadow_prices`), which bound the optimum from above, and people are placed at
those prices (`learning.placing`). The gap between what was placed and the bound is proven, not estimated.

`learning.programming` and `learning.qubo` answer the same question by other means, to the same signature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from personalization.learning import shadow_prices
from personalization.learning.audience import Audience, Limits, Values
from personalization.learning.placing import Placing
from personalization.learning.shadow_prices import Dual, Prices


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """sends : (m, 3) user, channel, slot, in the order of users     value : of those sends
    bound : no allocation is worth more     prices : those of the bound
    """

    sends: npt.NDArray[np.int64]
    value: float
    bound: float
    prices: Prices

    @property
    def gap(self) -> float:
        """Share of the bound that may be missing."""
        return 1.0 - self.value / self.bound if self.bound > 0.0 else 0.0


def allocate(values: Values, limits: Limits) -> Allocation:
    """Close to the best allocation, and how close. values : (users, channels, slots). Raises ArrayInvalid.

    Same input, same answer. O(users * cells), 50 to 160 times. Where people are few and alike, whole numbers can cost a few
    percent; `learning.programming` finds the optimum of some hundred people at once.
    """
    audience = Audience(values, limits)
    dual, placing = Dual(audience), Placing(audience)
    prices = dual.prices()
    surface = prices.surface().ravel()
    if audience.most:
        placing.spread(lambda users: dual.shares(users, prices), surface)
        placing.fill(surface)
    return answered(placing, shadow_prices.bound(audience, prices), prices)


def answered(placing: Placing, bound: float, prices: Prices) -> Allocation:
    """What was placed, with a bound that rounding may have left a last digit under it."""
    value = placing.value
    return Allocation(sends=placing.sends(), value=value, bound=max(bound, value), prices=prices)
