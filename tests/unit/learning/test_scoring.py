from __future__ import annotations

import array_api_strict as strict
import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.learning.scoring import LARGEST, deviations, quantised, scores, settled, settled_factors


def made_up(n: int = 1_000, d: int = 32, k: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    return rng.normal(size=(n, d)), rng.normal(size=(d, k)), rng.normal(size=(k, d, d)) * 0.1


def test_scores_and_deviations_are_bit_for_bit_the_same_in_any_batch() -> None:
    x, weights, factors = made_up()
    x, weights, factors = quantised(x), settled(weights), settled_factors(factors)
    mine, spread = scores(x, weights), deviations(x, factors)
    for size in (1, 7, 64):
        for start in range(0, 200, size):
            rows = slice(start, start + size)
            assert (scores(x[rows], weights) == mine[rows]).all()
            assert (deviations(x[rows], factors) == spread[rows]).all()


def test_only_settled_scores_lie_on_the_grid_of_scores() -> None:
    x, weights, _ = made_up(2_000, 64)
    exact = scores(quantised(x), settled(weights))
    assert (exact * 2.0**30 == np.round(exact * 2.0**30)).all()
    loose = scores(x, weights)
    assert (loose * 2.0**30 != np.round(loose * 2.0**30)).any()


def test_grids_change_scores_by_little() -> None:
    x, weights, factors = made_up()
    assert scores(quantised(x), settled(weights)) == pytest.approx(x @ weights, abs=0.06)
    expected = np.sqrt(((np.einsum("nd,kdr->nkr", quantised(x), factors)) ** 2).sum(axis=-1))
    assert deviations(quantised(x), settled_factors(factors)) == pytest.approx(expected, abs=1e-4)


def test_another_library_scores_the_same() -> None:
    x, weights, factors = made_up(50)
    there = [strict.asarray(array) for array in (x, weights, factors)]
    other = scores(quantised(there[0]), settled(there[1]))
    assert (np.asarray(other) == scores(quantised(x), settled(weights))).all()
    spread = deviations(quantised(there[0]), settled_factors(there[2]))
    assert (np.asarray(spread) == deviations(quantised(x), settled_factors(factors))).all()


def test_a_feature_cannot_explode() -> None:
    assert quantised(np.array([[1e300, -1e300, 0.5]])).tolist() == [[LARGEST, -LARGEST, 0.5]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused_with_what_to_change(bad: float) -> None:
    with pytest.raises(ValueError, match="contexts: hold NaN or an infinity; leave the feature out"):
        quantised(np.array([[1.0, bad]]))
    with pytest.raises(ArrayInvalid, match="weights"):
        settled(np.array([bad]))
    with pytest.raises(ArrayInvalid, match="factors"):
        settled_factors(np.array([bad]))
