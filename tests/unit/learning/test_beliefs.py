from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from personalization.learning.beliefs import Beliefs
from personalization.learning.encoding import BIAS, KIND_VARIANT, ActKey, Feature, cross_key, feature_key
from personalization.learning.ensemble import POINTS, draws, unfolded

ACTS = tuple(ActKey(KIND_VARIANT, feature_key(f"arm:{name}")) for name in "ab")
KEYS = (BIAS, *(feature_key(f"trait:n{j}") for j in range(9)))
PAIRS = [cross_key(key, act.key) for key in KEYS for act in ACTS]
MEAN = np.random.default_rng(1).normal(size=len(PAIRS))
DRAWS = draws(0.2 * np.eye(len(PAIRS)) + 0.05)


def beliefs() -> Beliefs:
    return Beliefs({pair: row for row, pair in enumerate(PAIRS)}, MEAN, DRAWS, {}, None)


@pytest.mark.parametrize("sizes", [(256, 512, -256), (1, 7, 1_931, 88_000)], ids=("whole", "any"))
def test_draws_add_up_exactly_whatever_the_size_of_features(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(4)
    contexts = [tuple((key, int(rng.choice(sizes))) for key in KEYS[: rng.integers(1, len(KEYS) + 1)]) for _ in range(20)]
    _, drawn = beliefs().about(contexts, ACTS)
    table = unfolded(DRAWS)
    for i, context in enumerate(contexts):
        for j in range(len(ACTS)):
            for point in range(0, POINTS, 37):
                exact = sum(Fraction(x, 256) * Fraction(float(table[len(ACTS) * n + j, point])) for n, (_, x) in enumerate(context))
                assert drawn[i, j, point] == np.float32(float(exact))


def test_beliefs_are_the_same_alone_and_in_company() -> None:
    contexts: list[tuple[Feature, ...]] = [tuple((key, 256) for key in KEYS[:n]) for n in range(1, 11)] + [()]
    means, drawn = beliefs().about(contexts, ACTS)
    for i, context in enumerate(contexts):
        mean, own = beliefs().about([context], ACTS)
        assert (mean[0] == means[i]).all()
        assert (own[0] == drawn[i]).all()
    assert (beliefs().mean(contexts, ACTS) == means).all()
    assert (drawn[-1] == 0.0).all()


def test_a_pair_never_seen_has_its_prior_and_always_the_same_draws() -> None:
    strange = ((BIAS, 256), (feature_key("trait:never=seen"), 256))
    new = (ActKey(KIND_VARIANT, feature_key("arm:new")),)
    mean, drawn = beliefs().about([strange], new)
    assert mean[0] == pytest.approx([0.0])
    assert drawn[0].std() == pytest.approx(np.hypot(0.5, 0.4), rel=0.1)
    assert (beliefs().about([strange], new)[1] == drawn).all()
