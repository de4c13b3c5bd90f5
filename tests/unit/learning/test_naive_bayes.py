"""Sparse naive Bayes against the dense sums of its definition."""

from __future__ import annotations

import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.learning.naive_bayes import SMOOTHING, NaiveBayes, taught, unpacked
from personalization.learning.ngrams import Recipe, counts, windows

RECIPE = Recipe(characters=(1, 2), words=1, across=True, bits=12)
ALPHABETS = ["abcd", "cdef", "efgh", "aceg", "bdfh", "abgh", "cdgh", "abef", "adeh", "bcfg"]


def made_up(n: int, seed: int = 1) -> tuple[list[str], np.ndarray]:
    """Each class prefers letters of its own; all share most of them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(ALPHABETS), size=n)
    texts = ["".join(rng.choice(list(ALPHABETS[k] * 3 + "abcdefgh "), size=30)) for k in labels]
    return texts, labels


def model(seed: int = 1) -> NaiveBayes:
    texts, labels = made_up(400, seed)
    return taught(counts(texts, RECIPE), labels, len(ALPHABETS))


def scores(found: NaiveBayes, texts: list[str]) -> np.ndarray:
    return np.concatenate([found.scores(part)[0] for part in windows(texts, RECIPE)])


def test_scores_are_the_sums_of_the_definition() -> None:
    texts, labels = made_up(400)
    x = counts(texts, RECIPE).toarray()
    known = (x > 0).sum(0) >= 2
    c = np.stack([x[labels == k].sum(0) for k in range(len(ALPHABETS))])
    log_p = np.log((c + SMOOTHING) / (c.sum(1, keepdims=True) + SMOOTHING * known.sum()))
    judged = made_up(50, seed=2)[0]
    exact = counts(judged, RECIPE).toarray()[:, known] @ log_p[:, known].T
    step = np.log1p(c.max() / SMOOTHING) / 255
    assert np.abs(scores(model(), judged) - exact).max() < 0.51 * step * 90  # so many n-grams a text, half a step each
    assert (scores(model(), judged).argmax(1) == exact.argmax(1)).mean() > 0.95


def test_it_beats_random_over_seeds() -> None:
    for seed in range(5):
        texts, labels = made_up(200, seed=100 + seed)
        assert (scores(model(seed), texts).argmax(1) == labels).mean() > 0.5  # of ten classes


def test_a_text_scores_the_same_in_every_batch() -> None:
    texts = made_up(40)[0]
    alone = np.concatenate([scores(model(), [text]) for text in texts])
    assert (scores(model(), texts) == alone).all()


def test_the_packed_model_scores_to_the_bit() -> None:
    texts = made_up(40)[0]
    assert (scores(unpacked(model().pack()), texts) == scores(model(), texts)).all()


def test_teaching_twice_gives_the_same_bits_and_leaves_its_input_alone() -> None:
    texts, labels = made_up(100)
    x = counts(texts, RECIPE)
    before = x.toarray()
    one, two = taught(x, labels, 10), taught(x, labels, 10)
    assert (x.toarray() == before).all()
    assert all(np.array_equal(a, b) for a, b in zip(one.pack().values(), two.pack().values(), strict=True))


def test_a_text_of_unknown_n_grams_scores_zero_and_knows_nothing() -> None:
    (part,) = windows(["ωψξ"], RECIPE)
    found, known = model().scores(part)
    assert known.tolist() == [0]
    assert (found == 0.0).all()


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArrayInvalid):
        taught(counts(["a"], RECIPE), np.array([0, 1]), 2)
    with pytest.raises(ArrayInvalid):
        taught(counts([], RECIPE), np.array([], np.int64), 2)
