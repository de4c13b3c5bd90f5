from __future__ import annotations

import numpy as np
import pytest

from personalization.errors import Invalid
from personalization.learning.qini import qini


def pseudo_of(treated: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Without models of outcomes, half of the people treated."""
    return np.where(treated, 2.0, -2.0) * outcomes


def test_the_curve_is_radcliffes_count_of_incremental_outcomes() -> None:
    rng = np.random.default_rng(1)
    treated, outcomes, n = np.tile([True, False], 100), rng.integers(2, size=200).astype(float), 200
    uplift = -np.repeat(np.arange(100.0), 2)
    found = qini(uplift, pseudo_of(treated, outcomes), np.full(n, 2.0))
    for share, height in zip(found.shares, found.gains, strict=True):
        first = slice(0, round(share * n))
        incremental = outcomes[first][treated[first]].sum() - outcomes[first][~treated[first]].sum()
        assert height == pytest.approx(2.0 * incremental / n)


def test_the_coefficient_is_the_area_between_the_curve_and_a_random_order() -> None:
    rng = np.random.default_rng(2)
    uplift, pseudo = rng.normal(size=2_000), rng.normal(size=2_000) + 0.3
    found = qini(uplift, pseudo, np.full(2_000, 2.0))
    below = np.trapezoid(found.gains - found.shares * found.gains[-1], found.shares)
    assert found.coefficient == pytest.approx(below, abs=2e-3)
    assert found.gains[0] == 0.0
    assert found.gains[-1] == pytest.approx(pseudo.mean())


def test_people_of_one_uplift_are_in_no_order() -> None:
    pseudo = np.array([1.0, -1.0, 5.0, 0.0])
    alike = qini(np.zeros(4), pseudo, np.full(4, 2.0))
    assert alike.coefficient == 0.0
    assert alike.gains == pytest.approx(alike.shares * pseudo.mean())
    swapped = np.array([1, 0, 3, 2])
    halves = np.array([1.0, 1.0, 0.0, 0.0])
    assert qini(halves, pseudo, np.ones(4)).coefficient == qini(halves, pseudo[swapped], np.ones(4)).coefficient


def test_the_right_order_has_a_positive_and_the_reverse_the_opposite_coefficient() -> None:
    rng = np.random.default_rng(3)
    effect = rng.normal(size=3_000)
    right, wrong = (qini(sign * effect, effect + rng.normal(size=3_000), np.full(3_000, 2.0)) for sign in (1.0, -1.0))
    assert right.low > 0.0 > wrong.high
    assert right.coefficient == pytest.approx(-wrong.coefficient, rel=0.1)


def test_intervals_cover_the_coefficient_of_endless_people() -> None:
    rng, covered = np.random.default_rng(4), 0
    for _ in range(200):
        uplift, treated = rng.random(400), rng.random(400) < 0.5
        outcomes = (rng.random(400) < 0.2 + 0.3 * treated * uplift).astype(float)
        found = qini(uplift, pseudo_of(treated, outcomes), np.full(400, 2.0))
        covered += found.low <= 0.3 / 12.0 <= found.high
    assert covered >= 182


def test_effects_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(Invalid, match="finite"):
        qini(np.zeros(3), np.array([0.0, np.nan, 0.0]), np.ones(3))
