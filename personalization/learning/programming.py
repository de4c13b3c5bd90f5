"""The best allocation, proven, for any limits: integer programming with HiGHS, which comes with scipy.

The linear program is solved over ever more columns until no other has a positive reduced cost (Gilmore and Gomory 1961): a few a
user instead of all cells. Then every column that cannot be part of anything better than what `learning.allocation` found is
dropped (reduced-cost fixing, Dantzig, Fulkerson and Johnson 1954), and what is left is solved in whole numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array

from personalization.learning.allocation import Allocation, allocate, answered
from personalization.learning.audience import Array, Audience, Flags, Limits, Values
from personalization.learning.placing import Placing
from personalization.learning.shadow_prices import Prices, of_caps, priced

#: Columns a user has at first beyond its cap, and gets at most in a round.
_FIRST, _MORE = 4, 3
#: Of the gap: how far from the linear program's columns a first whole answer is looked for.
_NEAR = 0.01
#: Share of the value that sums of floats may be off by.
_EXACT = 1e-9


def by_programming(values: Values, limits: Limits, seconds: float = 60.0) -> Allocation:
    """Gap 0; or, where whole numbers take more than `seconds`, the best found and its gap. Raises ArrayInvalid.

    At 10,000 x 5 x 24 it takes 1 to 5 s, and 20 s or more where values tie.
    """
    audience, found = Audience(values, limits), allocate(values, limits)
    if found.gap <= _EXACT:
        return found
    program = _Program(audience)
    least, prices = program.relaxed(found.prices)
    if found.value < least * (1.0 - _EXACT):
        return program.whole(found, least, prices, seconds)
    return Allocation(sends=found.sends, value=found.value, bound=max(least, found.value), prices=prices)


class _Program:
    """Columns are pairs of user and cell, kept as flags (users, cells). HiGHS gets values over the highest: its tolerances, 1e-7,
    are absolute."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self._worth = audience.read(np.arange(audience.users))
        self._limits = np.concatenate([audience.caps, audience.budgets, audience.capacities.ravel()])

    def relaxed(self, prices: Prices) -> tuple[float, Prices]:
        """Value and prices of the linear program over all columns."""
        columns = self._largest(self._worth - prices.surface().ravel(), int(self._audience.caps.max()) + _FIRST)
        while True:
            solved = linprog(self._costs(columns), A_ub=self._rows(columns), b_ub=self._limits, bounds=(0.0, 1.0), method="highs")
            of_users, others = np.split(-solved.ineqlin.marginals * self._audience.unit, [self._audience.users])
            prices = priced(self._audience, np.maximum(others, 0.0))
            costs = self._worth - prices.surface().ravel() - of_users[:, None]
            wanting = np.where(columns, -np.inf, costs) > _EXACT * self._audience.unit
            if not wanting.any():
                return float(-solved.fun) * self._audience.unit, prices
            columns |= self._largest(np.where(wanting, costs, -np.inf), _MORE)

    def whole(self, found: Allocation, least: float, prices: Prices, seconds: float) -> Allocation:
        """First over the few columns next to the linear program's, for a value to beat, then over all that can beat it."""
        nets = self._worth - prices.surface().ravel()
        lost = np.maximum(of_caps(self._audience, nets)[:, None] - nets, 0.0)  # by the bound, if that send is made
        best, proven = found, least
        for part in (_NEAR, 1.0):
            columns = lost <= part * max(least - best.value, 0.0) * (1.0 + _EXACT)
            solved = self._solved(columns, seconds / 2.0)
            if solved.x is not None and -solved.fun * self._audience.unit > best.value:
                best = self._placed(columns, solved.x > 0.5, prices)
            proven = least if solved.mip_dual_bound is None else min(-solved.mip_dual_bound * self._audience.unit, least)
        return Allocation(sends=best.sends, value=best.value, bound=max(proven, best.value), prices=prices)

    def _solved(self, columns: Flags, seconds: float) -> Any:
        return milp(
            self._costs(columns),
            constraints=LinearConstraint(self._rows(columns), ub=self._limits),
            bounds=Bounds(0.0, 1.0),
            integrality=np.ones(int(columns.sum())),
            options={"time_limit": seconds, "mip_rel_gap": _EXACT},
        )

    def _placed(self, columns: Flags, chosen: Flags, prices: Prices) -> Allocation:
        users, cells = (pair[chosen] for pair in np.nonzero(columns))
        placing = Placing(self._audience)
        placing.place(users, cells, self._worth[users, cells])
        return answered(placing, 0.0, prices)

    def _costs(self, columns: Flags) -> Array:
        return -self._worth[columns] / self._audience.unit

    def _largest(self, of: Array, k: int) -> Flags:
        """The k largest of each user, as far as they are finite."""
        k = min(k, self._audience.cells)
        cells = np.argpartition(of, -k, axis=1)[:, -k:]
        columns = np.zeros(of.shape, dtype=bool)
        np.put_along_axis(columns, cells, True, axis=1)
        return columns & np.isfinite(of)

    def _rows(self, columns: Flags) -> csr_array:
        """(users + channels + capacities, columns) each column under its user's cap, its budget and its capacity."""
        users, cells = np.nonzero(columns)
        budgets = self._audience.users + cells // self._audience.slots
        capacities = self._audience.users + self._audience.channels + self._audience.limit_of(cells)
        rows = np.concatenate([users, budgets, capacities])
        entries: tuple[npt.NDArray[Any], Any] = (np.ones(len(rows)), (rows, np.tile(np.arange(len(users)), 3)))
        return csr_array(entries, shape=(len(self._limits), len(users)))
