import numpy as np
import pytest

from personalization.learning.bandits import (
    BIAS,
    DIMENSIONS,
    QUANTUM,
    BanditStatistics,
    Policy,
    action_features,
    cross_key,
    decode_policy,
    encode_policy,
    feature_key,
    fresh_policy,
)

ARMS = tuple(action_features(name, [("tone", tone)]) for name, tone in (("a", "warm"), ("b", "dry"), ("c", "warm")))
CONTEXT = ((BIAS, 256), (feature_key("trait:plan=pro"), 256))


def everything(n: int, k: int = 3) -> np.ndarray:
    return np.ones((n, k), np.bool_)


def taught(rounds: int = 400, seed: int = 1, rates: tuple[float, ...] = (0.1, 0.4, 0.2)) -> BanditStatistics:
    rng, statistics = np.random.default_rng(seed), BanditStatistics()
    for _ in range(rounds):
        arm = int(rng.integers(len(ARMS)))
        statistics.add(CONTEXT, ARMS[arm], float(rng.random() < rates[arm]), 1.0)
    return statistics


def policy(statistics: BanditStatistics) -> Policy:
    return decode_policy(encode_policy(statistics, {}), 1, "m")


def test_before_anything_is_known_every_arm_is_as_likely() -> None:
    means, greedy, odds = fresh_policy("m").compare([CONTEXT], ARMS, everything(1))
    assert means.tolist() == [[0.0, 0.0, 0.0]]
    assert greedy.tolist() == [0]
    assert odds.tolist() == [[1.0, 1.0, 1.0]]


def test_the_best_arm_is_found_and_the_others_fade() -> None:
    means, greedy, odds = policy(taught(4_000)).compare([CONTEXT], ARMS, everything(1))
    assert greedy.tolist() == [1]
    assert odds[0, 0] < 0.01
    assert means[0, 1] == pytest.approx(0.4, abs=0.05)


def test_a_corrected_reward_is_as_if_it_had_always_been() -> None:
    direct, corrected = BanditStatistics(), BanditStatistics()
    direct.add(CONTEXT, ARMS[0], 3.0, 1.0)
    corrected.add(CONTEXT, ARMS[0], 0.0, 1.0)
    corrected.correct(CONTEXT, ARMS[0], 0.0, 3.0, 1.0)
    assert direct.pack() == corrected.pack()


def test_a_negative_weight_takes_a_decision_out() -> None:
    statistics = taught(50)
    before = statistics.posterior()[0]
    statistics.add(CONTEXT, ARMS[2], 1.0, 1.0)
    statistics.add(CONTEXT, ARMS[2], 1.0, -1.0)
    assert statistics.posterior()[0] == pytest.approx(before, abs=1e-12)


def test_an_arm_never_seen_is_worth_trying() -> None:
    arms = (*ARMS, action_features("new", []))
    _, greedy, odds = policy(taught(4_000)).compare([CONTEXT], arms, everything(1, 4))
    assert greedy.tolist() == [1]
    assert odds[0, 3] > odds[0, 0]


def test_what_is_learned_of_a_tone_serves_an_arm_never_seen() -> None:
    statistics = BanditStatistics()
    warm, dry = action_features("x", [("tone", "warm")]), action_features("y", [("tone", "dry")])
    for i in range(200):
        statistics.add(CONTEXT, warm if i % 2 else dry, float(i % 2), 1.0)
    strangers = (action_features("p", [("tone", "dry")]), action_features("q", [("tone", "warm")]))
    _, greedy, _ = policy(statistics).compare([CONTEXT], strangers, everything(1, 2))
    assert greedy.tolist() == [1]


def test_answers_do_not_depend_on_who_else_is_asked_about() -> None:
    rng = np.random.default_rng(3)
    contexts = [((BIAS, 256), *((feature_key(f"t{j}={rng.integers(4)}"), 256) for j in range(6))) for _ in range(100)]
    statistics = BanditStatistics()
    for context in contexts * 3:
        statistics.add(context, ARMS[int(rng.integers(3))], float(rng.random()), 1.0)
    learned = policy(statistics)
    together = learned.compare(contexts, ARMS, everything(100))
    for i, context in enumerate(contexts):
        alone = policy(statistics).compare([context], ARMS, everything(1))
        for whole, single in zip(together, alone, strict=True):
            assert np.array_equal(whole[i], single[0])


def test_more_features_than_room_share_dimensions_and_stay_finite() -> None:
    statistics = BanditStatistics()
    for i in range(500):
        statistics.add(((BIAS, 256), (feature_key(f"city={i}"), 256)), ARMS[i % 3], float(i % 2), 1.0)
    mean, covariance = statistics.posterior()
    assert statistics.size <= DIMENSIONS
    assert np.isfinite(mean).all()
    assert np.isfinite(covariance).all()


def test_state_survives_packing_bit_for_bit() -> None:
    statistics = taught(100)
    again = BanditStatistics.unpack(statistics.pack())
    assert again.pack() == statistics.pack()
    again.add(CONTEXT, ARMS[0], 1.0, 1.0)
    statistics.add(CONTEXT, ARMS[0], 1.0, 1.0)
    assert again.pack() == statistics.pack()


def test_extreme_values_give_finite_answers() -> None:
    statistics = BanditStatistics()
    statistics.add(((BIAS, 256), (feature_key("huge"), 256_000_000)), ARMS[0], 1_000.0, 1.0)
    means, _, odds = policy(statistics).compare([((BIAS, 256), (feature_key("huge"), -256_000_000))], ARMS, everything(1))
    assert np.isfinite(means).all()
    assert ((odds >= 0.0) & (odds <= 1.0)).all()


def test_an_arm_that_is_not_allowed_is_never_greedy() -> None:
    allowed = np.array([[True, False, True]])
    _, greedy, odds = policy(taught(4_000)).compare([CONTEXT], ARMS, allowed)
    assert greedy.tolist() != [1]
    assert odds[0, 1] == 0.0


def test_two_arms_are_drawn_as_thompson_sampling_would() -> None:
    statistics = taught(60)
    arms = ARMS[:2]
    learned = policy(statistics)
    _, greedy, odds = learned.compare([CONTEXT], arms, everything(1, 2))
    share = odds[0, 1 - greedy[0]] / odds[0].sum()
    rng = np.random.default_rng(5)
    d = learned.dimensions
    weights = rng.multivariate_normal(learned.mean[:d], learned.covariance[:d, :d], 20_000)
    phi = np.zeros((2, d))
    for a, arm in enumerate(arms):
        for key, value in CONTEXT:
            for act in arm:
                phi[a, learned.index[cross_key(key, act)]] += value * QUANTUM
    scores = weights @ phi.T
    wins = (scores[:, 1 - greedy[0]] > scores[:, greedy[0]]).mean()
    assert share == pytest.approx(wins, abs=0.015)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_rows_give_the_same_policy(seed: int) -> None:
    assert encode_policy(taught(50, seed), {}) == encode_policy(taught(50, seed), {})
