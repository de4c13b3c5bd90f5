from __future__ import annotations

import math

import numpy as np
import pytest

from personalization.errors import ArrayInvalid
from personalization.learning.comparing import MARGIN, Verdict, compared


def losses(seed: int, improvement: float, people: int = 300, rows: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses about 1 of two models that err alike; by how much the challenger is better differs from person to person."""
    rng = np.random.default_rng(seed)
    clusters = rng.permutation(np.repeat(np.arange(people), rows))
    champion = 1.0 + rng.normal(size=people)[clusters] + 0.5 * rng.normal(size=people * rows)
    gains = improvement + 0.1 * rng.normal(size=people)[clusters] + 0.05 * rng.normal(size=people * rows)
    return champion, champion - gains, clusters


@pytest.mark.parametrize(("improvement", "verdict"), [(0.05, "better"), (-0.05, "worse")])
def test_a_challenger_clearly_better_or_worse_is_called_so(improvement: float, verdict: Verdict) -> None:
    found = compared(*losses(1, improvement))
    assert found.verdict == verdict
    assert found.promotes == (verdict == "better")
    assert found.low < found.improvement < found.high
    assert ("promote it" in found.sentence) == found.promotes


def test_a_challenger_that_cannot_be_worse_by_more_than_the_margin_may_be_promoted() -> None:
    found = compared(*losses(1, 0.0, people=3_000))
    assert found.margin == pytest.approx(MARGIN * found.champion)
    assert -found.margin < found.low < 0.0 < found.high
    assert (found.verdict, found.promotes) == ("not worse", True)


def test_a_challenger_that_may_be_worse_by_more_than_the_margin_is_not_promoted() -> None:
    found = compared(*losses(1, 0.0), margin=0.002)
    assert found.low < -found.margin
    assert (found.verdict, found.promotes) == ("thin", False)


def test_many_rows_of_a_few_people_are_thin_however_good_they_look() -> None:
    few = compared(*losses(1, 1.0, people=40, rows=100))
    assert (few.verdict, few.people, few.promotes) == ("thin", pytest.approx(40.0), False)
    assert "collect more rows" in few.sentence
    champion, challenger, clusters = losses(1, 1.0, people=100, rows=1)
    clusters = np.concatenate([clusters, np.zeros(5_000, np.int64)])
    heavy = compared(np.append(champion, np.full(5_000, 2.0)), np.append(challenger, np.ones(5_000)), clusters)
    assert (heavy.verdict, heavy.people) == ("thin", pytest.approx(1.0, abs=0.1))
    alone = compared(np.full(10, 2.0), np.ones(10), np.zeros(10, np.int64))
    assert (alone.verdict, alone.low, alone.high) == ("thin", -math.inf, math.inf)


def test_the_same_model_again_is_not_worse_and_one_that_differs_for_a_few_people_is_not_called_better() -> None:
    champion, _, clusters = losses(1, 0.0)
    again = compared(champion, champion, clusters)
    assert (again.verdict, again.low, again.high) == ("not worse", 0.0, 0.0)
    luckier = champion - 0.5 * (clusters < 9)
    assert compared(champion, luckier, clusters).verdict == "not worse"
    assert compared(champion, champion - 0.5 * (clusters < 20), clusters).verdict == "better"
    assert compared(champion, champion + 0.5 * (clusters < 9), clusters).verdict == "thin"


def test_the_interval_holds_the_true_improvement_of_19_in_20_and_by_rows_alone_it_would_not() -> None:
    """500 logs of 100 people, 4 rows each, improvements skewed (exponential) over people. Standard error of a share: 1 %."""
    held, alone = [], []
    for seed in range(500):
        rng = np.random.default_rng(seed)
        clusters = np.repeat(np.arange(100), 4)
        champion = rng.random(400)
        challenger = champion - rng.exponential(0.02, 100)[clusters]
        by_person, by_row = compared(champion, challenger, clusters), compared(champion, challenger)
        held.append(by_person.low <= 0.02 <= by_person.high)
        alone.append(by_row.low <= 0.02 <= by_row.high)
    assert 0.925 < np.mean(held) < 0.975
    assert np.mean(alone) < 0.8


def test_a_challenger_worse_by_twice_the_margin_hardly_ever_passes_the_gate() -> None:
    passed = [compared(*losses(seed, -2.0 * MARGIN)).promotes for seed in range(300)]
    assert np.mean(passed) <= 0.025


def test_losses_that_cannot_be_compared_are_refused() -> None:
    for champion, challenger in ((np.empty(0), np.empty(0)), (np.ones(2), np.ones(3)), (np.ones(2), np.array([1.0, np.nan]))):
        with pytest.raises(ArrayInvalid, match=r"^losses: "):
            compared(champion, challenger)
    with pytest.raises(ArrayInvalid, match=r"^clusters: "):
        compared(np.ones(2), np.ones(2), np.zeros(3, np.int64))
