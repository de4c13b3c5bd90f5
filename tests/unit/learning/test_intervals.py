from __future__ import annotations

import numpy as np
import pytest

from personalization.learning.evaluation import Array, ChoiceLog, ips, on_policy
from personalization.learning.intervals import skewed, standard_error, widened

#: A click is worth 1 and an unsubscribe -20; how often they come.
CLICKS, LEAVES, COST = 0.3, 0.004, 20.0
TRUTH = CLICKS - COST * LEAVES


def rewards(rows: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    return (rng.random(rows) < CLICKS) - COST * (rng.random(rows) < LEAVES)


def log_of(earned: Array, lowest: float = 0.0, clusters: np.ndarray | None = None) -> ChoiceLog:
    return ChoiceLog(
        actions=np.zeros(len(earned), np.int64), rewards=earned, propensities=np.ones(len(earned)), clusters=clusters, lowest=lowest
    )


def test_a_handful_of_large_losses_needs_them_taken_apart() -> None:
    """Logs that happen to hold few of them look better than they are; taken apart they are held no worse for it."""
    made = [rewards(800, seed) for seed in range(400)]
    found = [on_policy(log_of(earned, lowest=-COST)) for earned in made]
    plain = [skewed(earned, np.ones(len(earned)), None) for earned in made]
    assert sum(e.covers(TRUTH) for e in found) >= 0.93 * 400
    assert sum(e.low > TRUTH for e in found) <= 0.04 * 400 < sum(low > TRUTH for low, _ in plain)
    assert np.mean([e.high - e.low for e in found]) < np.mean([high - low for low, high in plain])


def test_losses_seen_elsewhere_count_where_none_is_seen() -> None:
    earned = np.maximum(rewards(300, 1), 0.0)
    unaware, aware = on_policy(log_of(earned)), on_policy(log_of(earned, lowest=-COST))
    assert aware.value == unaware.value
    assert aware.high == pytest.approx(unaware.high)
    assert aware.low < unaware.low - 0.1


def test_many_losses_are_nothing_special() -> None:
    rng = np.random.default_rng(3)
    earned = rng.choice([-1.0, 0.0, 1.0], 2_000, p=[0.1, 0.6, 0.3])
    assert (on_policy(log_of(earned)).low, on_policy(log_of(earned)).high) == skewed(earned, np.ones(2_000), None)


def test_a_variance_that_few_heavy_rows_carry_is_trusted_less() -> None:
    scores, even, heavy = np.random.default_rng(0).normal(0.0, 1.0, 1_000), np.ones(1_000), np.ones(1_000)
    heavy[:4] = 30.0
    low, high = skewed(scores, heavy, None)
    assert (high - low) / 2 > 2.4 * standard_error(scores, None)
    low, high = skewed(scores, even, None)
    assert (high - low) / 2 == pytest.approx(1.96 * standard_error(scores, None), rel=0.01)


def test_rows_of_one_person_are_one_piece_of_evidence() -> None:
    earned = np.repeat((np.random.default_rng(5).random(200) < 0.4).astype(float), 5)
    alone, together = on_policy(log_of(earned)), on_policy(log_of(earned, clusters=np.repeat(np.arange(200), 5)))
    assert together.standard_error == pytest.approx(np.sqrt(5) * alone.standard_error, rel=0.01)


def test_losses_under_weights_are_held_too() -> None:
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        chance = rng.choice([0.2, 0.8], 1_000)
        actions = (rng.random(1_000) >= chance).astype(np.int64)
        earned = rewards(1_000, seed + 1_000)
        log = ChoiceLog(actions=actions, rewards=earned, propensities=np.where(actions == 0, chance, 1 - chance), lowest=-COST)
        inside += ips(log, np.tile([1.0, 0.0], (1_000, 1))).covers(TRUTH)
    assert inside >= 186


def test_without_clicks_the_interval_is_wilsons() -> None:
    low, high = widened(np.zeros(100), np.ones(100), np.zeros(100), 100.0, None)
    assert low == pytest.approx(0.0, abs=1e-12)
    assert high == pytest.approx(3.8415 / 103.8415, rel=1e-3)
