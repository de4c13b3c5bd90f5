"""The laws every policy keeps."""

from __future__ import annotations

import array_api_strict as strict
import numpy as np
import pytest
from array_api_compat import array_namespace
from scipy.stats import chisquare

from personalization.errors import ArrayInvalid, Invalid
from personalization.learning.drawing import GRID, draw
from tests.unit.learning.policies import EXPLORATION, POLICIES, points_of, regret, some

every_policy = pytest.mark.parametrize("name", POLICIES)


@every_policy
def test_every_row_is_the_whole_grid_and_what_is_not_allowed_gets_nothing(name: str) -> None:
    means, factor, allowed, _ = some()
    points = points_of(name, means, factor, allowed)
    assert points.dtype == np.int64
    assert (points >= 0).all()
    assert (points[:-1].sum(axis=1) == GRID).all()
    assert (points[~allowed] == 0).all()


@every_policy
def test_the_greedy_arm_keeps_what_exploration_does_not_take(name: str) -> None:
    means, factor, allowed, _ = some()
    _, greedy = POLICIES[name](means, factor, allowed)
    points = points_of(name, means, factor, allowed)
    kept = points[np.arange(len(greedy) - 1), greedy[:-1]]
    assert (GRID - kept <= EXPLORATION[name] * GRID).all()


@every_policy
def test_a_row_alone_is_answered_as_in_company(name: str) -> None:
    means, factor, allowed, uniforms = some()
    together = points_of(name, means, factor, allowed)
    index, propensity = draw(together, uniforms)
    for i in range(len(means)):
        row = slice(i, i + 1)
        alone = points_of(name, means[row], factor[row], allowed[row])
        assert (alone == together[row]).all()
        arm, chance = draw(alone, uniforms[row])
        assert (arm[0], chance[0]) == (index[i], propensity[i])


@every_policy
def test_order_and_memory_layout_do_not_matter(name: str) -> None:
    means, factor, allowed, _ = some()
    together = points_of(name, means, factor, allowed)
    order = np.random.default_rng(2).permutation(len(means))
    assert (points_of(name, means[order], factor[order], allowed[order]) == together[order]).all()
    turned = points_of(name, np.asfortranarray(means), np.asfortranarray(factor), np.asfortranarray(allowed))
    assert (turned == together).all()


@every_policy
def test_a_strict_array_library_gives_the_same_answer(name: str) -> None:
    means, factor, allowed, uniforms = some()
    index, propensity = draw(points_of(name, means, factor, allowed), uniforms)
    other = points_of(name, strict.asarray(means), strict.asarray(factor), strict.asarray(allowed))
    arm, chance = draw(other, strict.asarray(uniforms))
    assert array_namespace(chance) is strict
    assert (np.asarray(arm) == index).all()
    assert (np.asarray(chance) == propensity).all()


@every_policy
def test_a_device_without_float64_draws_with_true_propensities(name: str) -> None:
    means, factor, allowed, uniforms = some()
    there = strict.Device("no_float64")
    single = [strict.asarray(a.astype(np.float32), device=there) for a in (means, factor)]
    points = points_of(name, *single, strict.asarray(allowed, device=there))
    arm, chance = draw(points, strict.asarray(uniforms, device=there))
    assert chance.dtype == strict.float32
    told, drawn, taken = (np.asarray(a.to_device(strict.Device("CPU_DEVICE"))) for a in (chance, arm, points))
    assert (taken[:-1].sum(axis=1) == GRID).all()
    assert (told[:-1] == taken[np.arange(len(taken) - 1), drawn[:-1]] / GRID).all()
    assert np.abs(taken - points_of(name, means, factor, allowed)).max() < 0.02 * GRID


@every_policy
def test_every_point_of_the_grid_is_drawn_once(name: str) -> None:
    means, factor, allowed, _ = some(6)
    points = points_of(name, means, factor, allowed)[0:1]
    arms, propensity = draw(np.broadcast_to(points, (GRID, 8)), np.arange(GRID))
    assert (np.bincount(arms, minlength=8) == points[0]).all()
    assert (propensity == points[0][arms] / GRID).all()


@every_policy
def test_a_million_draws_agree_with_their_propensities(name: str) -> None:
    rng = np.random.default_rng(20261123)
    means, factor, _, _ = some(1, k=5)
    points = points_of(name, means, factor)
    counts = sum(
        np.bincount(draw(np.broadcast_to(points, (100_000, 5)), rng.integers(0, GRID, 100_000))[0], minlength=5) for _ in range(10)
    )
    held = points[0] > 0
    assert counts[~held].sum() == 0
    assert chisquare(counts[held], points[0][held] / GRID * 1e6).pvalue > 1e-3


@every_policy
def test_nothing_allowed_is_nothing_drawn_for_certain(name: str) -> None:
    means, factor, allowed, uniforms = some()
    index, propensity = draw(points_of(name, means, factor, allowed), uniforms)
    assert (index[-1], propensity[-1]) == (-1, 1.0)
    assert (index[:-1] >= 0).all()


@every_policy
def test_a_single_arm_has_probability_one(name: str) -> None:
    means, factor, _, uniforms = some(20, k=1)
    index, propensity = draw(points_of(name, means, factor), uniforms)
    assert (index == 0).all()
    assert (propensity == 1.0).all()


@every_policy
def test_sixty_four_arms_are_drawn_from(name: str) -> None:
    means, factor, allowed, uniforms = some(50, k=64, r=64)
    points = points_of(name, means, factor, allowed)
    index, propensity = draw(points, uniforms)
    assert (points[:-1].sum(axis=1) == GRID).all()
    assert allowed[np.arange(49), index[:-1]].all()
    assert (propensity > 0.0).all()


@every_policy
def test_no_rows_give_no_answers(name: str) -> None:
    means, factor, allowed, uniforms = some()
    index, propensity = draw(points_of(name, means[:0], factor[:0], allowed[:0]), uniforms[:0])
    assert index.shape == propensity.shape == (0,)


@every_policy
def test_arms_that_are_alike_and_least_known_are_explored(name: str) -> None:
    points = points_of(name, np.zeros((1, 4)), np.eye(4)[None])
    assert (points[0] > 0).all()


@every_policy
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_scores_that_are_no_numbers_are_refused_with_what_to_change(name: str, bad: float) -> None:
    means, factor, _, _ = some()
    means[3, 2] = bad
    with pytest.raises(ValueError, match="mask the arm in `allowed`") as refused:
        points_of(name, means, factor)
    assert isinstance(refused.value, Invalid)


@every_policy
def test_what_sleeps_needs_no_score(name: str) -> None:
    means, factor, allowed, _ = some()
    expected = points_of(name, means, factor, allowed)
    asleep = np.where(allowed, means, np.nan)
    assert (points_of(name, asleep, np.where(allowed[:, :, None], factor, np.inf), allowed) == expected).all()


@every_policy
def test_wrong_shapes_are_refused(name: str) -> None:
    means, factor, allowed, _ = some()
    with pytest.raises(ArrayInvalid, match="shape"):
        points_of(name, means[:, :0], factor[:, :0])
    with pytest.raises(ArrayInvalid, match="allowed: has shape"):
        points_of(name, means, factor, allowed[:, :5])


@every_policy
def test_its_input_is_left_alone(name: str) -> None:
    given = some()
    kept = [array.copy() for array in given]
    draw(points_of(name, *given[:3]), given[3])
    assert all((a == b).all() for a, b in zip(given, kept, strict=True))


@every_policy
def test_regret_is_well_below_that_of_drawing_evenly(name: str) -> None:
    seeds = range(5)
    mine, even = (sum(regret(who, seed) for seed in seeds) for who in (name, None))
    assert mine < 0.5 * even
