from __future__ import annotations

import array_api_strict as strict
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, ndtr

from personalization.errors import ArrayInvalid
from personalization.learning.drawing import GRID, draw, shares
from personalization.learning.thompson import DIMENSIONS, POINTS, chances, decide_one, expected_reward, factor_of, normal_points
from tests.unit.learning.policies import some


def shares_of_best(means: np.ndarray, factor: np.ndarray) -> np.ndarray:
    odds = chances(means[None], factor[None]).odds[0]
    return odds / odds.sum()


def test_two_arms_have_the_probability_of_a_normal_difference() -> None:
    for lead in (0.0, 0.3, 1.0, 2.0):
        found = shares_of_best(np.array([0.0, lead]), np.diag([0.6, 0.8]))
        assert found[1] == pytest.approx(ndtr(lead), abs=0.012)


@pytest.mark.parametrize(("k", "r", "within"), [(4, 4, 0.035), (8, 8, 0.04), (8, 32, 0.055), (64, 64, 0.06)])
def test_chances_to_be_best_are_near_those_of_many_random_points(k: int, r: int, within: float) -> None:
    rng = np.random.default_rng(6)
    for _ in range(5):
        means, factor = rng.normal(size=k) * 0.5, rng.normal(size=(k, r)) / np.sqrt(r)
        samples = means[:, None] + factor @ rng.normal(size=(r, 40_000))
        expected = np.bincount(samples.argmax(axis=0), minlength=k) / 40_000
        assert np.abs(shares_of_best(means, factor) - expected).max() < within


def test_arms_that_tie_share_evenly() -> None:
    odds, _ = chances(np.zeros((1, 4)), np.ones((1, 4, 2)))
    assert len(set(odds[0].tolist())) == 1


def test_an_arm_no_point_favours_is_not_given_up() -> None:
    found = shares_of_best(np.array([1.0, 0.1, 0.0]), np.diag([0.15, 0.2, 0.17]))
    assert 1e-6 < found[2] < found[1] < 1.0 / POINTS
    assert shares_of_best(np.array([1.0, 0.0]), np.zeros((2, 1))).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("exploration", [0.1, 1.0])
def test_one_decision_is_what_the_batch_answers(exploration: float) -> None:
    means, factor, allowed, uniforms = some(1_000)
    means[:300], factor[:300, 4:] = np.round(means[:300]), factor[:300, :4]
    index, propensity = draw(shares(*chances(means, factor, allowed), exploration), uniforms)
    for i in range(len(means)):
        one = decide_one(means[i].tolist(), factor[i], int(uniforms[i]), exploration, allowed[i].tolist())
        assert one == (index[i], propensity[i])


def test_the_points_are_fixed_standard_normal_and_on_a_grid() -> None:
    points = normal_points(DIMENSIONS)
    assert points.shape == (POINTS, DIMENSIONS)
    assert (points * 1024 == np.round(points * 1024)).all()
    assert np.abs(points.mean(axis=0)).max() < 1e-3
    assert np.abs(points.T @ points / POINTS - np.eye(DIMENSIONS)).max() < 1e-3
    assert not points.flags.writeable
    assert normal_points(2)[:3].tolist() == [[-0.2080078125, 0.611328125], [0.953125, -0.083984375], [-0.71875, -0.8876953125]]


def test_a_factor_gives_its_covariance_back_row_by_row() -> None:
    rng = np.random.default_rng(9)
    roots = rng.normal(size=(20, 8, 12))
    roots[:, 5] = roots[:, 2]
    covariance = roots @ roots.transpose(0, 2, 1)
    factor = factor_of(covariance)
    assert factor @ factor.transpose(0, 2, 1) == pytest.approx(covariance, abs=1e-9)
    assert factor[:, 5] == pytest.approx(factor[:, 2], abs=1e-12)
    assert all((factor_of(covariance[i : i + 1])[0] == factor[i]).all() for i in range(20))
    assert (np.asarray(factor_of(strict.asarray(covariance))) == factor).all()


def test_a_covariance_of_nothing_has_a_factor_of_nothing() -> None:
    assert (factor_of(np.zeros((2, 3, 3))) == 0.0).all()


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 1.0), (-2.0, 0.25), (1.5, 4.0), (3.0, 0.0)])
def test_the_expected_reward_is_near_the_integral_it_stands_for(mean: float, variance: float) -> None:
    def inside(z: float) -> float:
        return float(expit(mean + z * np.sqrt(variance)) * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))

    found = expected_reward(np.array([mean]), np.array([variance]))[0]
    assert found == pytest.approx(quad(inside, -8, 8)[0], abs=0.015)


def test_extreme_logits_stay_finite() -> None:
    found = expected_reward(np.array([-1e300, 1e300]), np.array([0.0, 1e300]))
    assert ((found >= 0.0) & (found <= 1.0)).all()


@pytest.mark.parametrize(("shape", "said"), [((2, 3), "shape"), ((2, 4, 5), "shape"), ((2, 3, DIMENSIONS + 1), "factor_of")])
def test_a_factor_of_another_shape_is_refused(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ArrayInvalid, match=said):
        chances(np.zeros((2, 3)), np.zeros(shape))


def test_one_decision_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="means"):
        decide_one([1.0, float("nan")], np.eye(2), 0)
    with pytest.raises(ValueError, match="factor"):
        decide_one([1.0, 2.0], np.diag([1.0, np.inf]), 0)
    assert 0.0 < decide_one([1.0, 2.0], np.eye(2), GRID - 1)[1] <= 1.0
