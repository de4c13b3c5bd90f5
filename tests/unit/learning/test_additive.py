from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from personalization.errors import Invalid
from personalization.learning.additive import PENALTIES, additive, chosen_penalty


def thresholds(rows: int = 3_000, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, outcomes and their probabilities: more likely above the middle of the first column, and along the second."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.exponential(size=rows), rng.normal(size=rows), rng.integers(3, size=rows)])
    p = 1.0 / (1.0 + np.exp(1.5 - 2.0 * (x[:, 0] > np.log(2.0)) - 0.5 * x[:, 1]))
    return x, (rng.random(rows) < p).astype(float), p


def test_thresholds_and_slopes_are_found_whatever_the_scale() -> None:
    x, y, p = thresholds()
    found = additive(x, y, penalty=10.0).predictions(x)
    assert np.sqrt(np.square(found - p).mean()) < 0.04
    scaled = x * [1e6, 1e-6, 1.0]
    assert additive(scaled, y, penalty=10.0).predictions(scaled) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_new_people_are_told_better_than_by_the_base_rate(seed: int) -> None:
    x, y, p = thresholds(seed=seed)
    found = additive(x[:1_000], y[:1_000], penalty=10.0).predictions(x[1_000:])
    assert np.square(found - p[1_000:]).mean() < 0.3 * np.square(y[:1_000].mean() - p[1_000:]).mean()


def test_a_rare_outcome_stays_as_rare_as_it_is() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(4_000, 2)), (rng.random(4_000) < 0.01).astype(float)
    assert additive(x, y, penalty=300.0).predictions(x).mean() == pytest.approx(y.mean(), rel=0.02)


@pytest.mark.parametrize("logistic", [True, False])
def test_what_never_varied_gives_finite_answers_in_range(logistic: bool) -> None:
    x, y = np.ones((5, 2)), np.zeros(5)
    found = additive(x, y, penalty=1.0, logistic=logistic).predictions(np.array([[1e9, -1e9]]))
    assert np.isfinite(found).all()
    assert (found >= 0.0).all()
    assert (found < 0.5).all()


def test_the_same_rows_give_the_same_model_and_stay_as_they_were() -> None:
    x, y, _ = thresholds(rows=200)
    before = x.copy(), y.copy()
    first, again = additive(x, y, penalty=3.0), additive(x, y, penalty=3.0)
    assert (first.predictions(x) == again.predictions(x)).all()
    assert (x == before[0]).all()
    assert (y == before[1]).all()
    with pytest.raises(FrozenInstanceError):
        first.basis = again.basis  # type: ignore[misc]


def test_noise_is_drawn_in_further_than_a_signal() -> None:
    x, y, _ = thresholds()
    noise = np.random.default_rng(3).integers(2, size=len(y)).astype(float)
    signal = chosen_penalty(x, y, np.random.default_rng(4))
    assert signal < chosen_penalty(x, noise, np.random.default_rng(4)) == PENALTIES[-1]


def test_tables_and_outcomes_that_fit_no_model_are_refused() -> None:
    with pytest.raises(Invalid, match="finite numbers"):
        additive(np.array([[1.0], [np.nan]]), np.zeros(2), penalty=1.0)
    with pytest.raises(Invalid, match="at least one row"):
        additive(np.empty((0, 2)), np.empty(0), penalty=1.0)
    with pytest.raises(Invalid, match="0 and 1"):
        additive(np.zeros((2, 1)), np.array([0.0, 2.0]), penalty=1.0)
