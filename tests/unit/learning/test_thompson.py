from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from personalization.errors import ArrayInvalid
from personalization.learning.drawing import GRID, draw, shares
from personalization.learning.ensemble import POINTS
from personalization.learning.thompson import chances, decide_one
from tests.unit.learning.policies import drawn_from, some


def shares_of_best(means: np.ndarray, factor: np.ndarray) -> np.ndarray:
    odds = chances(means[None], drawn_from(factor[None])).odds[0]
    return odds / odds.sum()


def test_two_arms_have_the_probability_of_a_normal_difference() -> None:
    for lead in (0.0, 0.3, 1.0, 2.0):
        found = shares_of_best(np.array([0.0, lead]), np.diag([0.6, 0.8]))
        assert found[1] == pytest.approx(ndtr(lead), abs=0.02)


@pytest.mark.parametrize(("k", "r", "within"), [(4, 4, 0.05), (8, 8, 0.05), (8, 32, 0.05), (64, 64, 0.05)])
def test_chances_to_be_best_are_near_those_of_many_random_points(k: int, r: int, within: float) -> None:
    rng = np.random.default_rng(6)
    for _ in range(5):
        means, factor = rng.normal(size=k) * 0.5, rng.normal(size=(k, r)) / np.sqrt(r)
        samples = means[:, None] + factor @ rng.normal(size=(r, 40_000))
        expected = np.bincount(samples.argmax(axis=0), minlength=k) / 40_000
        assert np.abs(shares_of_best(means, factor) - expected).max() < within


def test_arms_that_tie_share_evenly() -> None:
    odds, _ = chances(np.zeros((1, 4)), np.ones((1, 4, 20)))
    assert len(set(odds[0].tolist())) == 1


def test_an_arm_no_point_favours_is_not_given_up() -> None:
    found = shares_of_best(np.array([1.0, 0.1, 0.0]), np.diag([0.15, 0.2, 0.17]))
    assert 1e-6 < found[2] < found[1] < 1.0 / POINTS
    assert shares_of_best(np.array([1.0, 0.0]), np.zeros((2, 1))).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("exploration", [0.1, 1.0])
def test_one_decision_is_what_the_batch_answers(exploration: float) -> None:
    means, factor, allowed, uniforms = some(1_000)
    means[:300], factor[:300, 4:] = np.round(means[:300]), factor[:300, :4]
    drawn = drawn_from(factor)
    index, propensity = draw(shares(*chances(means, drawn, allowed), exploration), uniforms)
    for i in range(len(means)):
        one = decide_one(means[i].tolist(), drawn[i], int(uniforms[i]), exploration, allowed[i].tolist())
        assert one == (index[i], propensity[i])


@pytest.mark.parametrize(("shape", "said"), [((2, 3), "shape"), ((2, 4, 5), "shape"), ((2, 3, 0), "column a draw")])
def test_draws_of_another_shape_is_refused(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ArrayInvalid, match=said):
        chances(np.zeros((2, 3)), np.zeros(shape))


def test_one_decision_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="means"):
        decide_one([1.0, float("nan")], np.eye(2), 0)
    with pytest.raises(ArrayInvalid, match="drawn"):
        chances(np.zeros((1, 2)), np.array([[[1.0], [np.inf]]]))
    assert 0.0 < decide_one([1.0, 2.0], np.eye(2), GRID - 1)[1] <= 1.0
