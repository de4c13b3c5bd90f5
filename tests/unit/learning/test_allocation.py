from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from personalization.errors import ArrayInvalid
from personalization.learning import shadow_prices
from personalization.learning.allocation import allocate
from personalization.learning.audience import Factored, Limits, affordable
from tests.unit.learning.allocations import best, check, crossing, problems


@given(problems())
@settings(max_examples=150, deadline=None)
def test_an_allocation_keeps_every_limit_and_its_bound(problem: tuple[np.ndarray, Limits]) -> None:
    check(allocate(*problem), *problem)


@pytest.mark.parametrize("per_user", [1, 2, 3])
@pytest.mark.parametrize("kind", ["uniform", "heavy-tailed", "three levels", "all equal", "five segments"])
def test_what_is_proven_to_be_missing_is_next_to_nothing(kind: str, per_user: int) -> None:
    values, limits = crossing(1_000)
    rng = np.random.default_rng(2)
    given = {
        "uniform": values,
        "heavy-tailed": rng.pareto(1.1, values.shape),
        "three levels": rng.integers(0, 3, values.shape) / 2.0,
        "all equal": np.full(values.shape, 7.0),
        "five segments": rng.random((5, 5, 6))[rng.integers(0, 5, len(values))],
    }[kind]
    asked = Limits(budgets=limits.budgets, capacities=limits.capacities, per_user=per_user)
    found = allocate(given, asked)
    check(found, given, asked)
    assert found.gap < 0.005


@pytest.mark.parametrize("seed", range(8))
def test_small_audiences_are_as_close_to_the_optimum_as_they_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, limits = rng.random((5, 2, 2)), Limits(budgets=rng.integers(0, 4, 2), capacities=rng.integers(0, 4, 2))
    found, most = allocate(values, limits), best(values, limits)
    assert found.value <= most * (1.0 + 1e-12)
    assert most <= found.bound * (1.0 + 1e-12)
    assert found.value >= most * (1.0 - found.gap)


def test_the_same_audience_gets_the_same_answer_and_is_left_as_it_was() -> None:
    values, limits = crossing()
    kept = values.copy()
    first, second = allocate(values, limits), allocate(values, limits)
    assert (first.sends == second.sends).all()
    assert (first.value, first.bound, first.prices) == (second.value, second.bound, second.prices)
    assert (values == kept).all()
    assert limits.budgets == pytest.approx([30.0, 45.0, 60.0, 15.0, 36.0])


def test_where_people_stand_in_the_array_does_not_matter() -> None:
    values, limits = crossing()
    caps = np.arange(len(values)) % 3
    order = np.random.default_rng(3).permutation(len(values))
    found = allocate(values, Limits(budgets=limits.budgets, capacities=limits.capacities, per_user=caps))
    moved = allocate(values[order], Limits(budgets=limits.budgets, capacities=limits.capacities, per_user=caps[order]))
    back = np.column_stack([order[moved.sends[:, 0]], moved.sends[:, 1:]])
    assert sorted(back.tolist()) == found.sends.tolist()
    assert moved.prices == found.prices


def test_the_unit_of_the_values_does_not_matter() -> None:
    values, limits = crossing()
    found, cents = allocate(values, limits), allocate(values * 128.0, limits)
    assert (cents.sends == found.sends).all()
    assert cents.value == found.value * 128.0


def test_more_budget_is_never_worth_less() -> None:
    values, limits = crossing()
    smaller = -1.0
    for part in (0.0, 0.1, 0.5, 1.0, 2.0, 10.0):
        found = allocate(values, Limits(budgets=np.asarray(limits.budgets) * part, capacities=limits.capacities))
        assert found.bound >= smaller
        assert found.value >= smaller * (1.0 - 0.005)
        smaller = found.value


def test_without_limits_everybody_gets_what_is_best_for_them() -> None:
    values, _ = crossing()
    found = allocate(values, Limits())
    assert found.value == pytest.approx(values.max(axis=(1, 2)).sum(dtype=float))
    assert found.gap < 1e-6
    three = allocate(values, Limits(per_user=3))
    assert three.value == pytest.approx(np.sort(values.reshape(len(values), -1))[:, -3:].sum(dtype=float))


def test_of_more_people_than_slots_those_who_value_it_most_are_served() -> None:
    found = allocate(np.arange(1.0, 101.0).reshape(100, 1, 1), Limits(capacities=[3]))
    assert found.sends[:, 0].tolist() == [97, 98, 99]
    assert found.value == 297.0


@pytest.mark.parametrize(
    "limits",
    [Limits(budgets=[0, 0]), Limits(capacities=[0, 0, 0]), Limits(capacities=np.zeros((2, 3))), Limits(per_user=0)],
)
def test_where_nothing_may_be_sent_nothing_is(limits: Limits) -> None:
    found = allocate(np.ones((4, 2, 3)), limits)
    assert found.sends.shape == (0, 3)
    assert (found.value, found.bound, found.gap) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (4, 2, 0)])
def test_an_audience_of_nobody_or_nothing_to_send_by_gets_nothing(shape: tuple[int, ...]) -> None:
    assert allocate(np.ones(shape), Limits()).sends.shape == (0, 3)


def test_what_is_worth_nothing_less_or_not_allowed_is_never_sent() -> None:
    found = allocate(np.array([[[-1.0, 0.0]], [[-np.inf, 2.0]], [[-3.0, -np.inf]]]), Limits(per_user=2))
    assert found.sends.tolist() == [[1, 0, 1]]
    assert found.value == found.bound == 2.0


def test_a_person_with_a_cap_of_their_own_gets_no_more() -> None:
    values, _ = crossing()
    caps = np.arange(len(values)) % 4
    found = allocate(values, Limits(per_user=caps))
    assert (np.bincount(found.sends[:, 0], minlength=len(values)) == caps).all()


def test_factors_are_what_their_sum_is() -> None:
    rng = np.random.default_rng(4)
    people, hours, tastes = rng.random((200, 3)), rng.random((3, 5)), rng.random((200, 5))
    limits = Limits(budgets=[20, 30, 40], capacities=np.full(5, 15))
    factored = allocate(Factored(people, hours, tastes), limits)
    dense = allocate(people[:, :, None] + hours + tastes[:, None, :], limits)
    assert (factored.sends == dense.sends).all()
    assert factored.value == dense.value


def test_prices_of_a_large_audience_come_from_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_prices, "SAMPLE", 500)
    values, limits = crossing(3_000)
    found = allocate(values, limits)
    check(found, values, limits)
    assert found.gap < 0.005


def test_money_buys_whole_sends() -> None:
    assert affordable([10.0, 0.3, 5.0, 0.0], [3.0, 0.1, 0.0, 1.0]).tolist() == [3.0, 3.0, np.inf, 0.0]
    with pytest.raises(ArrayInvalid, match="costs: are"):
        affordable([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("values", "limits", "said"),
    [
        (np.ones((2, 3)), {}, "give users x channels x slots"),
        (np.full((2, 2, 3), np.nan), {}, "NaN.* give -inf for what must not be sent"),
        (np.full((2, 2, 3), np.inf), {}, "infinity"),
        (np.ones((2, 2, 3)), {"budgets": [1.0]}, "budgets: are .* give one for each channel"),
        (np.ones((2, 2, 3)), {"budgets": [1.0, -1.0]}, "budgets: hold NaN or a negative number"),
        (np.ones((2, 2, 3)), {"capacities": [1.0, 2.0]}, "give one for each slot, or channels x slots"),
        (np.ones((2, 2, 3)), {"capacities": [1.0, np.nan, 2.0]}, "capacities: hold NaN"),
        (np.ones((2, 2, 3)), {"per_user": [1, 1, 1]}, "give one number, or one for each user"),
        (np.ones((2, 2, 3)), {"per_user": -1}, "per_user: hold NaN or a negative number"),
    ],
)
def test_bad_input_is_refused_with_what_to_change(values: np.ndarray, limits: dict[str, Any], said: str) -> None:
    with pytest.raises(ArrayInvalid, match=said):
        allocate(values, Limits(**limits))


def test_factors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArrayInvalid, match="do not fit"):
        Factored(np.ones((4, 2)), np.ones((2, 3)), np.ones((5, 3)))
    with pytest.raises(ArrayInvalid, match="no matrices"):
        Factored(np.ones(4), np.ones((2, 3)), np.ones((4, 3)))
