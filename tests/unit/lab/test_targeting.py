from __future__ import annotations

import numpy as np
import pytest

from personalization.lab.datasets import TrialLog
from personalization.lab.targeting import choices, contexts_of, judged, learned
from personalization.learning.crossfit import design


def trial(rows: int, rates: dict[str, tuple[float, float]], seed: int = 1) -> TrialLog:
    """Two arms, answered by plan as `rates` says."""
    rng = np.random.default_rng(seed)
    plans = [("free", "pro")[i] for i in rng.integers(2, size=rows)]
    given = rng.integers(2, size=rows).tolist()
    rewards = [float(rng.random() < rates[plan][arm]) for plan, arm in zip(plans, given, strict=True)]
    return TrialLog(name="made up", arms=("a", "b"), traits=[{"plan": plan} for plan in plans], given=given, rewards=rewards)


def test_a_policy_that_learned_who_wants_what_is_seen_to_be_worth_it() -> None:
    random, fixed, greedy, explored, over = judged(trial(4_000, {"free": (0.4, 0.1), "pro": (0.1, 0.4)}))
    assert greedy.covers(0.4)
    assert random.covers(0.25)
    assert fixed.high < greedy.low
    assert over.low > 0.1
    assert random.value < explored.value <= greedy.value


def test_what_was_learned_from_noise_is_worth_no_more_than_chance() -> None:
    random, _, greedy, _, over = judged(trial(2_000, {"free": (0.3, 0.3), "pro": (0.3, 0.3)}))
    assert greedy.covers(random.value)
    assert over.covers(0.0)


def test_greedy_takes_one_arm_and_exploration_stays_within_its_bound() -> None:
    log = trial(200, {"free": (0.4, 0.3), "pro": (0.3, 0.4)})
    contexts = contexts_of(log)
    greedy, explored = choices(learned(log, contexts, np.arange(200)), contexts, log.arms)
    assert ((greedy == 0.0) | (greedy == 1.0)).all()
    assert explored.sum(axis=1) == pytest.approx(1.0)
    off = 1.0 - (explored * greedy).sum(axis=1)
    assert off.max() <= 0.1 + 1e-9
    assert off.max() > 0.0


def test_people_of_one_log_are_not_taken_for_those_of_another() -> None:
    one, other = (trial(50, {"free": (0.4, 0.3), "pro": (0.3, 0.4)}, seed) for seed in (1, 2))
    before = contexts_of(one)
    assert contexts_of(other) != before
    assert contexts_of(one) == before


def test_a_design_has_a_column_a_feature_and_the_bias_first() -> None:
    contexts = contexts_of(trial(50, {"free": (0.4, 0.3), "pro": (0.3, 0.4)}))
    x = design(contexts)
    assert design(contexts, most=2).shape == (50, 3)
    assert (x[:, 0] == 1.0).all()
    assert x.shape == (50, 6)
    assert set(x[:, 1:].sum(axis=1)) == {4.0}
