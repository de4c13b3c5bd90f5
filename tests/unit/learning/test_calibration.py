from __future__ import annotations

import msgspec
import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.learning.calibration import (
    AS_IT_IS,
    Isotonic,
    Platt,
    auc,
    brier,
    calibrated,
    calibration_curve,
    expected_calibration_error,
    isotonic,
    log_loss,
    platt,
    unpack_calibration,
)
from personalization.learning.crossfit import folds_of


def drawn(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Honest probabilities, and outcomes drawn with them."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1.0, 2.0, n)
    return (rng.random(n) < p).astype(float), p


def sharpened(p: np.ndarray, by: float) -> np.ndarray:
    return p**by / (p**by + (1.0 - p) ** by)


def test_figures_of_four_rows_are_those_by_hand() -> None:
    y, p = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.2, 0.6, 0.6, 0.9])
    assert auc(y, p) == pytest.approx(3.5 / 4)
    assert brier(y, p) == pytest.approx((0.04 + 0.16 + 0.36 + 0.01) / 4)
    assert log_loss(y, p) == pytest.approx(-np.log([0.8, 0.6, 0.4, 0.9]).mean())
    assert expected_calibration_error(y, p, bins=2) == pytest.approx((abs(0.8 - 1.0) + abs(1.5 - 1.0)) / 4)


def test_figures_of_one_class_or_of_certainty_are_finite() -> None:
    assert auc(np.ones(3), np.array([0.1, 0.2, 0.3])) == 0.5
    assert 10.0 < log_loss(np.array([1.0]), np.array([0.0])) < 30.0


def test_honest_probabilities_have_next_to_no_error_and_sharpened_ones_have() -> None:
    y, p = drawn(20_000)
    assert expected_calibration_error(y, p) < 0.015
    assert expected_calibration_error(y, sharpened(p, 3.0)) > 0.1


def test_a_curve_of_ten_rows_is_that_by_hand() -> None:
    y, p = np.array([0.0, 0, 0, 1, 0, 1, 1, 0, 1, 1]), np.arange(10) / 10
    low, high = calibration_curve(y, p, bins=2)
    assert (low.predicted, low.observed, low.rows) == (pytest.approx(0.2), pytest.approx(0.2), 5)
    assert (high.predicted, high.observed, high.rows) == (pytest.approx(0.7), pytest.approx(0.8), 5)
    assert (low.low, low.high) == (pytest.approx(0.0362, abs=1e-4), pytest.approx(0.6245, abs=1e-4))


def test_a_curve_holds_every_row_once_in_order_and_keeps_ties_together() -> None:
    y, p = drawn(1_003)
    curve = calibration_curve(y, p)
    assert [one.rows for one in curve] == pytest.approx([100.3] * 10, abs=1.0)
    assert sum(one.rows for one in curve) == 1_003
    assert [one.predicted for one in curve] == sorted(one.predicted for one in curve)
    assert [one.rows for one in calibration_curve(y, np.round(p))] == [int((p <= 0.5).sum()), int((p > 0.5).sum())]
    assert len(calibration_curve(y, np.full(1_003, 0.3))) == 1
    assert calibration_curve(np.ones(1), np.ones(1))[0].high == pytest.approx(1.0)


def test_intervals_of_a_curve_hold_honest_probabilities_and_not_sharpened_ones() -> None:
    """Stated: 19 of 20 bins; of 1,000 bins it is within 2 of 100 of that."""
    held, bent = [], []
    for seed in range(100):
        y, p = drawn(1_000, seed)
        held += [one.low <= one.predicted <= one.high for one in calibration_curve(y, p)]
        bent += [one.low <= one.predicted <= one.high for one in calibration_curve(y, sharpened(p, 3.0))]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)
    assert np.mean(bent) < 0.4


def test_platt_finds_by_how_much_probabilities_were_sharpened() -> None:
    y, p = drawn(50_000)
    found = platt(y, sharpened(p, 2.0))
    assert found.slope == pytest.approx(0.5, abs=0.02)
    assert found.intercept == pytest.approx(0.0, abs=0.05)


def test_isotonic_pools_adjacent_violators() -> None:
    found = isotonic(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.3, 0.4]))
    assert found(np.array([0.1, 0.2, 0.3, 0.4])) == pytest.approx([1 / 6, 0.5, 0.5, 5 / 6])


@pytest.mark.parametrize("fit", [platt, isotonic])
def test_a_calibration_keeps_order_stays_in_range_and_packs(fit: type[Platt]) -> None:
    y, p = drawn(500)
    found = fit(y, p)
    out = found(np.linspace(0.0, 1.0, 101))
    assert (np.diff(out) >= 0.0).all()
    assert (out > 0.0).all()
    assert (out < 1.0).all()
    assert unpack_calibration(msgspec.msgpack.decode(msgspec.msgpack.encode(found.pack()))) == found


def test_what_is_chosen_mends_what_is_wrong_and_leaves_what_is_right() -> None:
    y, p = drawn(3_000)
    folds = folds_of(len(p), 3, np.random.default_rng(1))
    assert calibrated(y, p, folds)[1] <= log_loss(y, p)
    bent = sharpened(p, 3.0)
    found, loss = calibrated(y, bent, folds)
    assert found != AS_IT_IS
    assert loss < log_loss(y, bent) - 0.05
    steps = np.where(p > 0.5, 0.2, 0.6) * np.where(p > 0.8, 0.1, 1.0) + p / 100
    assert isinstance(calibrated(y, steps, folds)[0], (Isotonic, Platt))


def test_outcomes_and_probabilities_that_are_none_are_refused() -> None:
    with pytest.raises(ArrayInvalid, match="outcomes"):
        platt(np.array([2.0]), np.array([0.5]))
    with pytest.raises(ArrayInvalid, match="probabilities"):
        isotonic(np.array([1.0]), np.array([1.5]))
    with pytest.raises(ArrayInvalid, match="bins"):
        calibration_curve(np.array([1.0]), np.array([0.5]), bins=0)
