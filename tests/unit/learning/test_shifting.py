"""A level that moved is found on the newest rows, and few rows move it little."""

import numpy as np
import pytest
from scipy.special import expit, logit

from personalization.learning.calibration import Isotonic, Platt
from personalization.learning.shifting import shift, shifted


def _rows(n: int, moved: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(2.0, 3.0, n)
    return (rng.random(n) < expit(logit(p) + moved)).astype(np.float64), p


@pytest.mark.parametrize("moved", [-0.4, 0.0, 0.3])
def test_many_rows_tell_by_how_much_it_moved(moved: float) -> None:
    assert shift(*_rows(20_000, moved)) == pytest.approx(moved, abs=0.05)


def test_few_rows_move_it_little_and_none_not_at_all() -> None:
    assert abs(shift(np.ones(3), np.full(3, 0.5))) < 0.1
    assert shift(np.empty(0), np.empty(0)) == 0.0


def test_certain_probabilities_and_one_class_stay_finite() -> None:
    for y in (np.zeros(1_000), np.ones(1_000)):
        for p in (0.0, 0.5, 1.0):
            assert np.isfinite(shift(y, np.full(1_000, p)))


@pytest.mark.parametrize("calibration", [Platt(1.5, 0.2), Isotonic((0.1, 0.5, 0.9), (0.2, 0.4, 0.8))])
def test_a_shifted_calibration_moves_the_log_odds_it_gives(calibration: Platt | Isotonic) -> None:
    p = np.array([0.1, 0.5, 0.9])
    assert logit(shifted(calibration, 0.7)(p)) == pytest.approx(logit(calibration(p)) + 0.7)
