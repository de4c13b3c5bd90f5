from __future__ import annotations

import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.learning.drawing import GRID, draw, shares
from personalization.learning.scoring import quantised, scores, settled
from personalization.learning.squarecb import decide_one, inverse_gaps, learning_rate
from tests.unit.learning.policies import some


def test_probabilities_are_those_of_the_paper() -> None:
    odds, greedy = inverse_gaps(np.array([[0.5, 0.25, 0.0]]), 8.0)
    assert greedy.tolist() == [0]
    assert odds[0] == pytest.approx([1.0 - 1 / 5 - 1 / 7, 1 / 5, 1 / 7])


def test_only_allowed_arms_count() -> None:
    odds, greedy = inverse_gaps(np.array([[0.5, 0.25, 0.0]]), 8.0, np.array([[False, True, True]]))
    assert greedy.tolist() == [1]
    assert odds[0].tolist() == [0.0, 0.75, 0.25]


def test_gamma_zero_draws_evenly_and_a_large_one_is_greedy() -> None:
    means, _, _, _ = some()
    assert inverse_gaps(means, 0.0).odds == pytest.approx(1 / 8)
    assert inverse_gaps(means, 1e12).odds.max(axis=1) == pytest.approx(1.0, abs=1e-6)


def test_every_row_may_have_its_own_gamma() -> None:
    means, _, allowed, _ = some()
    own = np.random.default_rng(3).random(len(means)) * 100.0
    odds, _ = inverse_gaps(means, own, allowed)
    for i in range(len(means)):
        assert (odds[i] == inverse_gaps(means[i : i + 1], float(own[i]), allowed[i : i + 1]).odds[0]).all()


@pytest.mark.parametrize("exploration", [0.1, 1.0])
def test_one_decision_from_its_context_is_what_the_batch_answers(exploration: float) -> None:
    rng = np.random.default_rng(8)
    contexts, weights = quantised(rng.normal(size=(5_000, 32))), settled(rng.normal(size=(32, 8)) * 0.2)
    allowed, uniforms = rng.random((5_000, 8)) < 0.8, rng.integers(0, GRID, 5_000)
    allowed[7] = False
    index, propensity = draw(shares(*inverse_gaps(scores(contexts, weights), 30.0, allowed), exploration), uniforms)
    for i in range(5_000):
        one = decide_one((contexts[i] @ weights).tolist(), 30.0, int(uniforms[i]), exploration, allowed[i].tolist())
        assert one == (index[i], propensity[i])


def test_the_learning_rate_grows_with_the_root_of_rewards_and_arms() -> None:
    assert learning_rate(0, 4, 8) == 0.0
    assert learning_rate(400, 4, 8) == 2.0 * learning_rate(100, 4, 8) == 2.0 * learning_rate(400, 1, 8)
    assert learning_rate(100, 4, 8, variance=0.25) == 2.0 * learning_rate(100, 4, 8)


@pytest.mark.parametrize("bad", [(-1.0, 2, 2), (1.0, 0, 2), (1.0, 2, 0), (float("nan"), 2, 2)])
def test_a_learning_rate_of_nothing_is_refused(bad: tuple[float, int, int]) -> None:
    with pytest.raises(ValueError, match="learning_rate"):
        learning_rate(*bad)


@pytest.mark.parametrize("gamma", [-1.0, float("inf"), float("nan"), 1e300])
def test_a_gamma_that_is_no_rate_is_refused(gamma: float) -> None:
    with pytest.raises(ArrayInvalid, match="gamma"):
        decide_one([1.0, 2.0], gamma, 0)
    with pytest.raises(ArrayInvalid, match="gamma"):
        inverse_gaps(np.ones((1, 2)), gamma)
    with pytest.raises(ArrayInvalid, match="gamma"):
        inverse_gaps(np.ones((1, 2)), np.array([gamma]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1e300, 1e20])
def test_one_decision_refuses_scores_that_are_no_numbers(bad: float) -> None:
    with pytest.raises(ValueError, match="scores: hold NaN, an infinity or a number beyond"):
        decide_one([1.0, bad], 1.0, 0)
    assert decide_one([1.0, bad], 1.0, 0, allowed=[True, False]) == (0, 1.0)
