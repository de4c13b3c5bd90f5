from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from personalization.errors import ArrayInvalid
from personalization.learning.allocation import allocate
from personalization.learning.audience import Audience, Limits
from personalization.learning.shadow_prices import Dual, Prices, bound, net
from tests.unit.learning.allocations import crossing, problems


@given(problems(users=5), st.lists(st.floats(0.0, 50.0), min_size=6, max_size=6))
@settings(max_examples=60, deadline=None)
def test_any_prices_bound_any_allocation(problem: tuple[np.ndarray, Limits], prices: list[float]) -> None:
    audience = Audience(*problem)
    cells = np.resize(prices, audience.capacities.shape)
    guessed = Prices(tuple(prices[: audience.channels]), tuple(tuple(row) for row in cells.tolist()))
    assert bound(audience, guessed) >= allocate(*problem).value * (1.0 - 1e-12)


def test_prices_round_trip_to_the_bit() -> None:
    prices = allocate(*crossing()).prices
    assert Prices.unpacked(prices.packed()) == prices


@pytest.mark.parametrize("per_user", [1, 3])
def test_prices_leave_as_much_demand_as_there_is_room(per_user: int) -> None:
    values, limits = crossing(1_000)
    audience = Audience(values, Limits(budgets=limits.budgets, capacities=limits.capacities, per_user=per_user))
    dual = Dual(audience)
    prices = dual.prices()
    demand = dual.shares(audience.order, prices).sum(axis=0).reshape(5, 6)
    assert demand.sum(axis=0) == pytest.approx(np.full(6, 90.0), rel=0.02)
    assert (demand.sum(axis=1) <= audience.budgets * 1.02).all()


def test_a_limit_that_does_not_bind_is_free_and_a_closed_one_is_not_for_sale() -> None:
    values, _ = crossing()
    prices = allocate(values, Limits(budgets=[10, 300, 0, np.inf, 300])).prices
    assert prices.channels[0] > 0.1
    assert prices.channels[1] == prices.channels[3] == prices.channels[4] == pytest.approx(0.0, abs=1e-3)
    assert prices.channels[2] == np.inf
    assert net(values, prices)[:, 2].max() == -np.inf


def test_single_decisions_at_the_prices_come_to_the_optimum_of_the_whole() -> None:
    values, limits = crossing(2_000)
    found = allocate(values, limits)
    fresh = np.random.default_rng(9).random(values.shape)
    nets = np.array([net(one, found.prices) for one in fresh]).reshape(len(fresh), -1)
    chosen, sent = nets.argmax(axis=1), nets.max(axis=1) > 0.0
    alone = fresh.reshape(len(fresh), -1)[np.arange(len(fresh)), chosen][sent].sum()
    assert sent.sum() == pytest.approx(len(found.sends), rel=0.05)
    assert alone == pytest.approx(allocate(fresh, limits).value, rel=0.05)


def test_net_values_keep_their_shape_and_refuse_another() -> None:
    prices = Prices((1.0, 0.5), ((0.25, 0.0, 2.0),))
    assert net(np.full((2, 3), 2.0), prices).tolist() == [[0.75, 1.0, -1.0], [1.25, 1.5, -0.5]]
    assert net(np.zeros((7, 2, 3)), prices).shape == (7, 2, 3)
    with pytest.raises(ArrayInvalid, match="channels x slots"):
        net(np.ones((3, 2)), prices)


def test_prices_by_channel_and_slot_are_those_of_their_cells() -> None:
    values, _ = crossing()
    capacities = np.full((5, 6), 300.0)
    capacities[2, 3] = 1.0
    prices = allocate(values, Limits(capacities=capacities)).prices
    surface = prices.surface()
    assert surface[2, 3] == surface.max() > 0.05
    assert np.delete(surface, 15).max() < 1e-3
