from __future__ import annotations

import numpy as np
import pytest

from personalization.learning.drawing import GRID, draw, shares
from personalization.learning.linucb import confidence_width, decide_one, upper_bounds
from tests.unit.learning.policies import some


def test_the_highest_bound_is_taken_for_certain() -> None:
    means, deviations = np.array([[0.5, 0.4, 0.0]]), np.array([[0.0, 0.1, 0.2]])
    index, propensity = draw(shares(*upper_bounds(means, deviations, 2.0), 0.0), np.array([12345]))
    assert (index[0], propensity[0]) == (1, 1.0)


def test_an_exploration_share_is_spread_evenly_over_the_others() -> None:
    odds = upper_bounds(np.array([[0.5, 0.4, 0.0, 9.0]]), np.zeros((1, 4)), 1.0, np.array([[True, True, True, False]]))
    assert shares(*odds, 0.25)[0] == pytest.approx([GRID * 3 / 4, GRID / 8, GRID / 8, 0], abs=2)


@pytest.mark.parametrize("exploration", [0.0, 0.1])
def test_one_decision_is_what_the_batch_answers(exploration: float) -> None:
    means, factor, allowed, uniforms = some(2_000)
    deviations = np.abs(factor[:, :, 0])
    index, propensity = draw(shares(*upper_bounds(means, deviations, 1.5, allowed), exploration), uniforms)
    for i in range(len(means)):
        row = (means[i].tolist(), deviations[i].tolist(), 1.5, int(uniforms[i]), exploration, allowed[i].tolist())
        assert decide_one(*row) == (index[i], propensity[i])


def test_the_width_is_that_of_the_paper() -> None:
    assert confidence_width(2.0 / np.e**8) == pytest.approx(3.0)
    with pytest.raises(ValueError, match="delta"):
        confidence_width(0.0)


def test_one_decision_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="means or deviations"):
        decide_one([1.0, 2.0], [0.1, float("inf")], 1.0)
