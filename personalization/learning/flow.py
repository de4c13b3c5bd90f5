"""The best allocation, proven, where the limits form a tree: a minimum-cost flow (extra `optimize`).

From people to cells, and on to channels where capacities are by channel and slot; or to slots where no budget binds. Every corner
of such a flow is whole. ortools solves it by cost scaling (Goldberg 1997). Budgets by channel that cross capacities by slot are
no network: those are for `learning.programming`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from personalization.errors import ArrayInvalid, ExtraMissing
from personalization.learning.allocation import Allocation, answered
from personalization.learning.audience import Array, Audience, Limits, Values, Whole
from personalization.learning.placing import Placing
from personalization.learning.shadow_prices import Dual

#: Units of cost that the most valuable send is worth; times a million people that is below 2^63.
_UNITS = float(1 << 40)


def by_flow(values: Values, limits: Limits) -> Allocation:
    """Gap 0 but for values rounded to 2^-40 of the highest. Raises ArrayInvalid, and ExtraMissing without ortools."""
    solver = _solver()
    audience = Audience(values, limits)
    placing, (users, cells, worth) = Placing(audience), audience.sends()
    if audience.most:
        chosen = _flow(solver, audience, users, cells, worth)
        placing.place(users[chosen], cells[chosen], worth[chosen])
    return answered(placing, placing.value + audience.most * audience.unit / _UNITS, Dual(audience).prices())


def _flow(solver: Any, audience: Audience, users: Whole, cells: Whole, worth: Array) -> Whole:
    """Which sends are made. Nodes: people, cells, groups of cells, and the end, to which people also go who get nothing."""
    groups, each, together = _tree(audience)
    first_cell, first_group = audience.users, audience.users + audience.cells
    end = first_group + len(together)
    graph, people, pairs = solver.SimpleMinCostFlow(), np.arange(audience.users), np.arange(audience.cells)

    def arcs(tails: Whole, heads: Whole, capacities: Array | Whole, costs: Array) -> Whole:
        whole = (np.asarray(numbers, dtype=np.int64) for numbers in (tails, heads, capacities, costs))
        added: Whole = graph.add_arcs_with_capacity_and_unit_cost(*whole)
        return added

    costs = -np.rint(worth / audience.unit * _UNITS)
    sends = arcs(users, first_cell + cells, np.ones(len(users)), costs)
    arcs(people, np.full(audience.users, end), audience.caps, np.zeros(audience.users))
    arcs(first_cell + pairs, first_group + groups, each, np.zeros(audience.cells))
    arcs(first_group + np.arange(len(together)), np.full(len(together), end), together, np.zeros(len(together)))
    graph.set_nodes_supplies(people, audience.caps)
    graph.set_node_supply(end, -int(audience.caps.sum()))
    if graph.solve() != graph.OPTIMAL:
        raise ArrayInvalid("values", f"are of {audience.users:,} people, more than whole costs allow", "ask learning.allocation")
    return np.flatnonzero(graph.flows(sends) > 0)


def _tree(audience: Audience) -> tuple[Whole, Array, Array]:
    """Of each cell its group (cells,) and its own capacity (cells,); of each group its limit. Raises ArrayInvalid."""
    pairs, most = np.arange(audience.cells), float(audience.caps.sum())
    if not audience.by_slot:
        return pairs // audience.slots, audience.capacities.ravel(), audience.budgets
    alone = np.full(audience.cells, most)
    if (audience.capacities >= most).all():
        return pairs // audience.slots, alone, audience.budgets
    if (audience.budgets >= most).all():
        return pairs % audience.slots, alone, audience.capacities.ravel()
    change = "give capacities by channel and slot, or ask learning.programming"
    raise ArrayInvalid("limits", "cross: budgets by channel and capacities by slot are no network", change)


def _solver() -> Any:
    try:
        return import_module("ortools.graph.python.min_cost_flow")
    except ImportError as missing:
        raise ExtraMissing("ortools", "optimize") from missing
