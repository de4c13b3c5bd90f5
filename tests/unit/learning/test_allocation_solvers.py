"""Integer programming, minimum-cost flow and the QUBO answer what `allocate` answers, as far as they are installed."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings

from personalization.errors import ArrayInvalid, ExtraMissing
from personalization.learning import flow
from personalization.learning.allocation import allocate
from personalization.learning.audience import Limits
from personalization.learning.flow import by_flow
from personalization.learning.programming import by_programming
from personalization.learning.qubo import MOST, by_annealing
from tests.unit.learning.allocations import best, check, crossing, problems

with_optimize = pytest.mark.skipif(find_spec("ortools") is None, reason="the extra optimize is not installed")
with_quantum = pytest.mark.skipif(find_spec("dwave") is None, reason="the extra quantum is not installed")


def treelike(n: int = 300, per_user: int = 1) -> tuple[np.ndarray, Limits]:
    values, limits = crossing(n)
    return values, Limits(budgets=limits.budgets, capacities=np.full((5, 6), 0.02 * n), per_user=per_user)


@given(problems(users=5))
@settings(max_examples=40, deadline=None)
def test_programming_keeps_every_limit_and_proves_the_optimum(problem: tuple[np.ndarray, Limits]) -> None:
    exact, ours = by_programming(*problem), allocate(*problem)
    check(exact, *problem)
    assert exact.gap < 1e-8
    assert ours.value <= exact.value * (1.0 + 1e-9)
    assert exact.value <= ours.bound * (1.0 + 1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_programming_finds_what_trying_everything_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, limits = rng.random((5, 2, 2)), Limits(budgets=rng.integers(1, 4, 2), capacities=rng.integers(1, 4, 2))
    assert by_programming(values, limits).value == pytest.approx(best(values, limits))


def test_the_unit_of_the_values_does_not_blur_the_optimum() -> None:
    values, limits = crossing(100)
    assert by_programming(values * 1e-9, limits).value == pytest.approx(by_programming(values, limits).value * 1e-9, rel=1e-7)


@pytest.mark.parametrize("per_user", [1, 2])
def test_ours_is_within_its_gap_of_the_optimum(per_user: int) -> None:
    values, limits = crossing()
    asked = Limits(budgets=limits.budgets, capacities=limits.capacities, per_user=per_user)
    ours, exact = allocate(values, asked), by_programming(values, asked)
    check(exact, values, asked)
    assert exact.value * (1.0 - ours.gap) <= ours.value <= exact.value <= ours.bound


def test_more_budget_is_never_worth_less_at_the_optimum() -> None:
    values, limits = crossing(100)
    found = [
        by_programming(values, Limits(budgets=np.asarray(limits.budgets) * part, capacities=limits.capacities))
        for part in (1, 2, 3)
    ]
    assert found[0].value <= found[1].value <= found[2].value


@with_optimize
@pytest.mark.parametrize("per_user", [1, 2])
def test_a_flow_and_a_program_find_the_same_optimum(per_user: int) -> None:
    problem = treelike(per_user=per_user)
    found = by_flow(*problem)
    check(found, *problem)
    assert found.gap < 1e-6
    assert found.value == pytest.approx(by_programming(*problem).value, rel=1e-9)


@with_optimize
@pytest.mark.parametrize("limits", [Limits(budgets=[20, 30, 5, 9, 40]), Limits(capacities=[9, 20, 7, 30, 1, 50]), Limits()])
def test_a_flow_has_budgets_or_slots_alone(limits: Limits) -> None:
    values, _ = crossing()
    found = by_flow(values, limits)
    check(found, values, limits)
    assert found.value == pytest.approx(by_programming(values, limits).value, rel=1e-9)


@with_optimize
def test_budgets_that_cross_slots_are_no_flow() -> None:
    with pytest.raises(ArrayInvalid, match=r"cross.*learning\.programming"):
        by_flow(*crossing())


@with_optimize
@given(problems(users=5))
@settings(max_examples=40, deadline=None)
def test_a_flow_keeps_every_limit(problem: tuple[np.ndarray, Limits]) -> None:
    values, limits = problem
    tree = limits if np.ndim(limits.capacities) == 2 else replace(limits, budgets=None)
    check(by_flow(values, tree), values, tree)


@with_optimize
def test_an_audience_beyond_whole_costs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "_UNITS", float(1 << 61))
    with pytest.raises(ArrayInvalid, match="more than whole costs allow"):
        by_flow(*treelike())


@with_quantum
@given(problems(users=4, cells=2))
@settings(max_examples=10, deadline=None)
def test_what_was_annealed_keeps_every_limit(problem: tuple[np.ndarray, Limits]) -> None:
    check(by_annealing(*problem, seed=1), *problem)


@with_quantum
def test_annealing_comes_close_to_the_optimum_of_a_small_batch() -> None:
    values, limits = np.random.default_rng(5).random((12, 3, 4)), Limits(budgets=[2, 3, 4], capacities=[2, 3, 2, 3])
    first, second = by_annealing(values, limits, seed=7), by_annealing(values, limits, seed=7)
    check(first, values, limits)
    assert (first.sends == second.sends).all()
    assert first.value >= 0.95 * by_programming(values, limits).value


@with_quantum
def test_a_batch_too_large_to_anneal_is_refused() -> None:
    with pytest.raises(ArrayInvalid, match=f"batches of at most {MOST:,}"):
        by_annealing(np.ones((400, 2, 2)), Limits(), seed=1)


@pytest.mark.parametrize(("module", "extra"), [("ortools", "optimize"), ("dimod", "quantum")])
def test_a_missing_extra_is_named(module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissing, match=rf"{module} is not installed; pip install 'deep-personalization\[{extra}\]'"):
        by_flow(*treelike(10)) if extra == "optimize" else by_annealing(*treelike(4), seed=1)
