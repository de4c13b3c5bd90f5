from __future__ import annotations

import array_api_strict as strict
import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.learning.recovering import UNKNOWN, Recovery, estimate, penalised, softmax, statistics


def logged(n: int, gamma: float, half_life: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Days (a fifth of the arms never seen), clicks, and scores that are off by a tenth."""
    rng = np.random.default_rng(seed)
    days = np.where(rng.random(n) < 0.2, np.inf, rng.exponential(6.0, n))
    scores = rng.uniform(0.3, 0.6, n)
    chance = scores - 0.1 - gamma * np.exp2(-days / half_life)
    return days, (rng.random(n) < chance).astype(float), scores


def test_the_penalty_halves_with_every_half_life() -> None:
    days = np.array([[0.0, 3.0, 6.0, np.inf, np.nan]])
    assert penalised(np.ones((1, 5)), days, Recovery(0.5, 3.0, 0.1))[0] == pytest.approx([0.5, 0.75, 0.875, 1.0, 1.0])


@pytest.mark.parametrize("half_life", [1.0, 4.0, 8.0])
def test_the_half_life_and_the_penalty_are_found(half_life: float) -> None:
    found = estimate(statistics(*logged(60_000, 0.2, half_life)))
    assert half_life / 1.5 < found.half_life < half_life * 1.5
    assert found.gamma == pytest.approx(0.2, abs=0.04)
    assert 0.0 < found.deviation < 0.02


def test_without_an_effect_there_is_next_to_no_penalty() -> None:
    found = estimate(statistics(*logged(60_000, 0.0, 4.0)))
    assert 0.0 <= found.gamma < 0.03


def test_statistics_of_parts_add_up_and_rows_can_be_taken_out() -> None:
    days, rewards, scores = logged(1_000, 0.2, 4.0)
    whole = statistics(days, rewards, scores)
    parts = statistics(days[:400], rewards[:400], scores[:400]) + statistics(days[400:], rewards[400:], scores[400:])
    assert parts == pytest.approx(whole)
    undone = whole + statistics(days[400:], rewards[400:], scores[400:], -np.ones(600))
    assert undone == pytest.approx(statistics(days[:400], rewards[:400], scores[:400]), abs=1e-9)


def test_another_library_gives_the_same_statistics() -> None:
    rows = logged(500, 0.2, 4.0)
    other = statistics(*(strict.asarray(array) for array in rows))
    assert np.asarray(other) == pytest.approx(statistics(*rows), rel=1e-12)
    assert estimate(other).half_life == estimate(statistics(*rows)).half_life


def test_few_rows_or_rows_all_alike_say_nothing() -> None:
    assert estimate(statistics(*logged(20, 0.2, 4.0))) is UNKNOWN
    assert estimate(statistics(np.full(100, np.inf), np.ones(100), np.ones(100))) is UNKNOWN
    assert (penalised(np.ones((1, 2)), np.zeros((1, 2)), UNKNOWN) == 1.0).all()


def test_odds_are_those_of_a_softmax_over_what_is_eligible() -> None:
    odds, greedy = softmax(np.array([[1.0, 0.5, 7.0]]), 0.5, np.array([[True, True, False]]))
    assert greedy.tolist() == [0]
    assert odds[0] == pytest.approx([1.0, np.exp(-1.0), 0.0])


@pytest.mark.parametrize("bad", [0.0, -1.0, float("inf"), float("nan")])
def test_a_temperature_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        softmax(np.ones((1, 2)), bad)


def test_rows_that_are_no_numbers_are_refused_with_what_to_change() -> None:
    with pytest.raises(ArrayInvalid, match="leave those rows out"):
        statistics(np.ones(3), np.array([1.0, np.nan, 0.0]), np.ones(3))
    with pytest.raises(ArrayInvalid, match="days: are negative"):
        penalised(np.ones((1, 1)), np.array([[-1.0]]), UNKNOWN)
