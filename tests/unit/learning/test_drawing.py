from __future__ import annotations

import numpy as np
import pytest

from personalization.deciding.paths import Preference
from personalization.deciding.stages import staged
from personalization.errors import ArrayInvalid
from personalization.learning.drawing import GRID, draw, draw_one, greedy_of, shares


def odds_and_greedy(n: int = 300, k: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Odds against the greedy arm, on a grid that sums exactly in any order."""
    rng = np.random.default_rng(11)
    odds, greedy = np.round(rng.random((n, k)) * GRID) / GRID, rng.integers(0, k, n)
    odds[np.arange(n), greedy] = 1.0
    return odds, greedy


@pytest.mark.parametrize("exploration", [0.0, 0.05, 0.1, 0.5, 1.0])
def test_points_are_those_of_the_staged_draw(exploration: float) -> None:
    odds, greedy = odds_and_greedy()
    points = shares(odds, greedy, exploration)
    for row, best, mine in zip(odds.tolist(), greedy.tolist(), points, strict=True):
        stage = staged(Preference(tuple(range(8)), tuple(row), best), exploration)
        assert tuple(np.cumsum(mine)) == stage.bounds
        assert mine[best] / GRID == stage.kept


@pytest.mark.parametrize("exploration", [0.0, 0.03, 0.7, 1.0])
def test_one_decision_without_arrays_is_drawn_as_in_a_batch(exploration: float) -> None:
    rng = np.random.default_rng(12)
    odds, greedy = rng.exponential(size=(2_000, 8)), rng.integers(0, 8, 2_000)
    uniforms = rng.integers(0, GRID, 2_000)
    index, propensity = draw(shares(odds, greedy, exploration), uniforms)
    for i, row in enumerate(odds.tolist()):
        assert draw_one(row, int(greedy[i]), int(uniforms[i]), exploration) == (index[i], propensity[i])


def test_every_row_may_have_its_own_exploration() -> None:
    odds, greedy = odds_and_greedy()
    own = np.random.default_rng(13).random(len(odds))
    points = shares(odds, greedy, own)
    for i in range(len(odds)):
        assert (points[i] == shares(odds[i : i + 1], greedy[i : i + 1], float(own[i]))[0]).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_exploration_is_never_exceeded_by_rounding(kind: type) -> None:
    rng = np.random.default_rng(14)
    greedy = rng.integers(0, 64, 4_000)
    odds = (rng.random((4_000, 64)) * 10.0 ** rng.uniform(-7, 0, (4_000, 1))).astype(kind)
    odds[np.arange(4_000), greedy] = 1.0
    for exploration in (0.001, 0.1, 0.25, 0.9):
        points = shares(odds, greedy, exploration)
        assert (points >= 0).all()
        assert (points.sum(axis=1) == GRID).all()
        assert (GRID - points[np.arange(4_000), greedy] <= exploration * GRID).all()


def test_no_odds_but_a_greedy_arm_is_that_arm_for_certain() -> None:
    assert draw_one([0.0, 0.0], 1, 5) == (1, 1.0)
    index, propensity = draw(shares(np.zeros((1, 2)), np.array([1])), np.array([5]))
    assert (index[0], propensity[0]) == (1, 1.0)


def test_the_first_of_equal_scores_is_greedy() -> None:
    scores, allowed = np.array([[1.0, 2.0, 2.0], [2.0, 1.0, 0.0], [1.0, 1.0, 1.0]]), np.ones((3, 3), np.bool_)
    allowed[1, 0] = allowed[2] = False
    assert greedy_of(scores, allowed).tolist() == [1, 1, -1]


@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.uint64])
def test_uniforms_may_be_whole_numbers_of_any_kind(kind: type) -> None:
    points = np.array([[GRID // 2, GRID // 2], [0, 0]])
    index, propensity = draw(points, np.array([GRID - 1, 0], kind))
    assert index.tolist() == [1, -1]
    assert propensity.tolist() == [0.5, 1.0]


@pytest.mark.parametrize("uniform", [-1, GRID])
def test_uniforms_beside_the_grid_are_refused(uniform: int) -> None:
    with pytest.raises(ArrayInvalid, match="uniforms"):
        draw_one([1.0], 0, uniform)
    with pytest.raises(ArrayInvalid, match="uniforms"):
        draw(np.array([[GRID]]), np.array([uniform]))


@pytest.mark.parametrize("exploration", [-0.1, 1.1, float("nan")])
def test_an_exploration_that_is_no_share_is_refused(exploration: float) -> None:
    with pytest.raises(ValueError, match="exploration"):
        draw_one([1.0], 0, 0, exploration)
    with pytest.raises(ValueError, match="exploration"):
        shares(np.ones((1, 2)), np.zeros(1, np.int64), exploration)
    with pytest.raises(ValueError, match="exploration"):
        shares(np.ones((1, 2)), np.zeros(1, np.int64), np.array([exploration]))
