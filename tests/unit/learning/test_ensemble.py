from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from personalization.learning.ensemble import POINTS, STEPS, alone, draws, independent, standard, unfolded


def some(d: int, seed: int = 3) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(d, d + 2)) / np.sqrt(d)
    return root @ root.T + 0.01 * np.eye(d)


def test_draws_have_the_covariance_of_the_belief() -> None:
    covariance = some(40)
    drawn = unfolded(draws(covariance)).astype(np.float64)
    assert drawn @ drawn.T / POINTS == pytest.approx(covariance, abs=1e-3)
    assert np.abs(drawn.mean(axis=1)).max() < 1e-3


def test_beyond_as_many_weights_as_draws_the_covariance_is_near() -> None:
    covariance = some(300)
    drawn = unfolded(draws(covariance)).astype(np.float64)
    apart = drawn @ drawn.T / POINTS - covariance
    assert np.abs(apart).max() < 0.3
    assert np.sqrt((apart**2).mean()) < 0.07


def test_each_weight_is_drawn_as_a_normal() -> None:
    rows = [*independent(200), *standard(range(1_000, 1_200))]
    assert all(kstest(row, "norm").pvalue > 0.05 for row in rows)


def test_the_same_key_is_drawn_the_same_and_another_key_otherwise() -> None:
    both = standard([7, 7, 8])
    assert (both[0] == both[1]).all()
    assert abs(np.corrcoef(both[0], both[2])[0, 1]) < 0.25
    assert (standard([2**32 - 1]) == standard([2**32 - 1])).all()
    assert (alone(0.5, 7) == np.rint(0.5 * both[0] * STEPS)).all()


def test_a_belief_that_hardly_changed_is_drawn_hardly_otherwise() -> None:
    covariance = some(40)
    moved = np.abs(draws(covariance).astype(int) - draws(0.99 * covariance)).max() / STEPS
    assert moved < 0.05 * np.sqrt(np.diagonal(covariance).max())


def test_draws_stay_within_their_sixteen_bits() -> None:
    assert np.abs(draws(np.eye(3) * 1e6)).max() == 2**15 - 1
    assert draws(np.zeros((0, 0))).shape == (0, POINTS)
