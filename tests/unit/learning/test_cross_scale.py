from __future__ import annotations

import numpy as np

from personalization.learning.bandits import BIAS, BanditStatistics, action_features, decode_policy, encode_policy, feature_key

ARMS = tuple(action_features(name, ()) for name in "ab")
KINDS = tuple(feature_key(f"trait:kind={i}") for i in range(6))


def taught(lift: float, rows: int = 4_000) -> BanditStatistics:
    """Arm a earns 0.2; arm b earns 0.2 as well, but `lift` more or less by the person's kind."""
    rng, statistics = np.random.default_rng(1), BanditStatistics()
    for _ in range(rows):
        kind, arm = int(rng.integers(len(KINDS))), int(rng.integers(2))
        rate = 0.2 + arm * lift * (1 if kind % 2 else -1)
        statistics.add(((BIAS, 256), (KINDS[kind], 256)), ARMS[arm], float(rng.random() < rate), 1.0)
    return statistics


def test_before_any_data_the_prior_stays_as_it_is() -> None:
    assert BanditStatistics().cross_scale() == 1.0


def test_where_context_makes_no_difference_its_weights_shrink() -> None:
    assert taught(0.0).cross_scale() < 0.5


def test_where_context_decides_its_weights_are_free() -> None:
    assert taught(0.15).cross_scale() == 1.0


def test_a_policy_knows_the_scale_it_was_made_with() -> None:
    statistics = taught(0.0)
    assert decode_policy(encode_policy(statistics, {}), 1, "m").cross_scale == statistics.cross_scale()
