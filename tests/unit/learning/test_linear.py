"""Logistic regressions over n-grams: the laws of models, and that they say what they were taught."""

from __future__ import annotations

import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.learning.calibration import expected_calibration_error
from personalization.learning.linear import Linear, Plan, fit, solved, threshold, unpacked
from personalization.learning.ngrams import Recipe, counts, windows

RECIPE = Recipe(characters=(), words=1, bits=14)
WORDS = [a + b for a in "bcdfghklmn" for b in "aeiou"]


def made_up(n: int, seed: int = 1) -> tuple[list[str], np.ndarray]:
    """Two outcomes, each made likelier by five words; the second is known of every other text."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(WORDS), size=(n, 6))
    z = np.stack([(chosen < 5).sum(1) * 3.0 - 1.5, (chosen >= 45).sum(1) * 3.0 - 1.5], axis=1)
    y = (rng.random((n, 2)) < 1.0 / (1.0 + np.exp(-z))).astype(float)
    y[::2, 1] = np.nan
    return [" ".join(WORDS[i] for i in row) for row in chosen], y


def model(seed: int = 1, **plan: float) -> Linear:
    texts, y = made_up(1500, seed)
    return fit(counts(texts, RECIPE), y, Plan(**plan), np.random.default_rng(seed))


def probabilities(found: Linear, texts: list[str]) -> np.ndarray:
    return np.concatenate([found.probabilities(part) for part in windows(texts, RECIPE)])


def test_it_beats_random_and_is_calibrated_over_seeds() -> None:
    for seed in range(3):
        texts, y = made_up(1000, seed=50 + seed)
        p = probabilities(model(seed), texts)
        for k in range(2):
            known = ~np.isnan(y[:, k])
            assert ((p[known, k] > 0.5) == y[known, k]).mean() > max(y[known, k].mean(), 1 - y[known, k].mean()) + 0.1
            assert expected_calibration_error(y[known, k], p[known, k]) < 0.09


def test_what_is_noise_is_not_learned() -> None:
    texts, _ = made_up(1500)
    noise = np.random.default_rng(3).integers(2, size=(1500, 1)).astype(float)
    p = probabilities(fit(counts(texts, RECIPE), noise, Plan(), np.random.default_rng(1)), texts)
    assert np.abs(p - 0.5).max() < 0.2


def test_probabilities_are_finite_and_within_bounds_for_any_text() -> None:
    p = probabilities(model(), ["", " ", "😀", "\ud800", WORDS[0] * 10_000, " ".join(WORDS)])
    assert np.isfinite(p).all()
    assert ((p > 0.0) & (p < 1.0)).all()


def test_a_text_reads_the_same_in_every_batch() -> None:
    texts, found = made_up(60)[0], model()
    assert (probabilities(found, texts) == np.concatenate([probabilities(found, [text]) for text in texts])).all()


def test_the_packed_model_answers_to_the_bit() -> None:
    texts, found = made_up(60)[0], model()
    assert (probabilities(unpacked(found.pack()), texts) == probabilities(found, texts)).all()


def test_teaching_twice_gives_the_same_bits_and_leaves_its_input_alone() -> None:
    texts, y = made_up(200)
    x, before = counts(texts, RECIPE), y.copy()
    one, two = (fit(x, y, Plan(), np.random.default_rng(1)).pack() for _ in range(2))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert np.array_equal(y, before, equal_nan=True)
    assert (x != counts(texts, RECIPE)).nnz == 0


def test_a_smaller_model_keeps_the_words_that_speak() -> None:
    texts, y = made_up(1000, seed=9)
    p = probabilities(model(kept=10), texts)
    assert ((p[:, 0] > 0.5) == y[:, 0]).mean() > 0.7


def test_the_threshold_is_where_f1_is_greatest() -> None:
    rng = np.random.default_rng(4)
    p = rng.random(200)
    y = (rng.random(200) < p**2).astype(float)
    f1 = [2 * (y * (p >= t)).sum() / (y.sum() + (p >= t).sum()) for t in p]
    assert threshold(y, p) == p[int(np.argmax(f1))]


def test_outcomes_that_are_never_known_are_refused() -> None:
    with pytest.raises(ArrayInvalid):
        fit(counts(["a b"], RECIPE), np.array([[np.nan]]), Plan(), np.random.default_rng(1))
    with pytest.raises(ArrayInvalid):
        fit(counts(["a b"], RECIPE), np.zeros((2, 1)), Plan(), np.random.default_rng(1))


def test_a_text_that_counts_twice_is_as_two_of_it() -> None:
    texts, y = made_up(300)
    x, plan = counts(texts, RECIPE), Plan(penalty=1.0, iterations=300)
    once = solved(x, y[:, :1], plan, np.ones(300) + (np.arange(300) < 100))
    twice = solved(counts([*texts, *texts[:100]], RECIPE), np.concatenate([y, y[:100]])[:, :1], plan, np.ones(400))
    assert np.abs(once[0] - twice[0]).max() < 0.02
    assert once[1] == pytest.approx(twice[1], abs=0.02)
