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
