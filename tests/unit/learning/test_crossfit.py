from __future__ import annotations

import numpy as np
import pytest

from personalization.errors import Invalid
from personalization.learning.crossfit import cross_fitted, folds_of


def learnable(logistic: bool, rows: int = 6_000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, actions, rewards and the true expected reward of both actions."""
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(rows), rng.normal(size=rows)])
    actions = rng.integers(2, size=rows)
    scores = x @ np.array([[-1.0, -0.5], [0.8, -0.8]])
    truth = 1 / (1 + np.exp(-scores)) if logistic else scores
    mine = truth[np.arange(rows), actions]
    rewards = (rng.random(rows) < mine).astype(float) if logistic else mine + rng.normal(size=rows)
    return x, actions, rewards, truth


@pytest.mark.parametrize("logistic", [False, True])
def test_the_expected_reward_of_each_action_is_found(logistic: bool) -> None:
    x, actions, rewards, truth = learnable(logistic)
    found = cross_fitted(x, actions, rewards, 2, folds_of(len(x), 5, np.random.default_rng(2)), logistic=logistic)
    assert np.sqrt(((found - truth) ** 2).mean()) < 0.1 * truth.std()
    assert not logistic or (found.min() > 0.0 and found.max() < 1.0)


def test_a_row_does_not_know_its_own_reward() -> None:
    x, actions, rewards, _ = learnable(logistic=False, rows=60)
    folds = folds_of(60, 3, np.random.default_rng(3))
    before = cross_fitted(x, actions, rewards, 2, folds)
    rewards[0] += 1_000.0
    after = cross_fitted(x, actions, rewards, 2, folds)
    same = folds == folds[0]
    assert (before[same] == after[same]).all()
    assert (before[~same] != after[~same]).any()


def test_an_action_never_seen_is_believed_to_be_like_the_others() -> None:
    x, actions, rewards, _ = learnable(logistic=False)
    found = cross_fitted(x, actions, rewards, 3, folds_of(len(x), 2, np.random.default_rng(4)))
    assert abs(found[:, 2].mean() - rewards.mean()) < 0.05


def test_folds_are_of_one_size_and_keep_a_person_together() -> None:
    rng = np.random.default_rng(5)
    assert np.bincount(folds_of(10, 3, rng)).tolist() == [4, 3, 3]
    people = rng.integers(20, size=200)
    folds = folds_of(200, 4, rng, people)
    assert all(len(set(folds[people == person])) == 1 for person in range(20))
    assert set(folds) == {0, 1, 2, 3}


def test_one_fold_and_rewards_no_logistic_model_can_have_are_refused() -> None:
    x, actions, rewards, _ = learnable(logistic=False, rows=50)
    with pytest.raises(Invalid, match="two folds"):
        cross_fitted(x, actions, rewards, 2, np.zeros(50, int))
    with pytest.raises(Invalid, match="logistic"):
        cross_fitted(x, actions, rewards, 2, folds_of(50, 2, np.random.default_rng(6)), logistic=True)
