import numpy as np
import pytest

from personalization.learning.choosing import WIDTH
from personalization.learning.encoding import (
    BIAS,
    EVIDENCE,
    KIND_VARIANT,
    QUANTUM,
    ActKey,
    Feature,
    Taken,
    channel_key,
    cross_key,
    feature_key,
    variant_acts,
)
from personalization.learning.logistic import RewardModel
from personalization.learning.policy import Policy, decode_policy, encode_policy, fresh_policy
from personalization.vocabulary import PolicyMethod

ARMS = tuple(variant_acts(name, [("tone", tone)]) for name, tone in (("a", "warm"), ("b", "dry"), ("c", "warm")))
CONTEXT: tuple[Feature, ...] = ((BIAS, 256), (feature_key("trait:plan=pro"), 256))
CHANNELS = tuple(channel_key(name) for name in ("email", "push", "sms"))
EMAIL = CHANNELS[0]


def taught(rows: int = 400, rates: tuple[float, ...] = (0.1, 0.4, 0.2), seed: int = 1) -> Policy:
    return decode_policy(encode_policy(model_of(rows, rates, seed), {}), 1, "m")


def model_of(rows: int, rates: tuple[float, ...] = (0.1, 0.4, 0.2), seed: int = 1) -> RewardModel:
    rng, model = np.random.default_rng(seed), RewardModel()
    arms, channels = rng.integers(3, size=rows), rng.integers(3, size=rows)
    rewards = rng.random(rows) < np.array(rates)[arms] * (1.0 + 0.5 * (channels == 1))
    taken = [Taken(ARMS[a], CHANNELS[c], int(h)) for a, c, h in zip(arms, channels, rng.integers(168, size=rows), strict=True)]
    model.enter([CONTEXT] * rows, taken, rewards.astype(float).tolist(), [1.0] * rows)
    return model


def test_before_anything_is_known_every_option_is_about_as_likely() -> None:
    fresh = fresh_policy("m")
    for shares in (
        fresh.variants([CONTEXT], tuple(variant_acts(name, ()) for name in "abcd"))[0].shares,
        fresh.channels([(CONTEXT, CHANNELS, (0, 0, 0), (0.0, 0.0, 0.0))])[0].shares,
    ):
        assert sum(shares) == pytest.approx(1.0)
        assert min(shares) > 0.6 / len(shares)


def test_the_best_of_each_stage_is_found_and_the_others_fade() -> None:
    learned = taught(6_000)
    words = learned.variants([CONTEXT], ARMS)[0]
    where = learned.channels([(CONTEXT, CHANNELS, (0, 0, 0), (0.0, 0.0, 0.0))])[0]
    assert (words.greedy, where.greedy) == (1, 1)
    assert words.shares[1] > 0.95
    assert where.shares[1] > 0.8


def test_shares_are_those_of_thompson_sampling() -> None:
    model, arms, rng = model_of(40), ARMS[:2], np.random.default_rng(5)
    mean, covariance = model.posterior()
    weights = rng.multivariate_normal(mean, WIDTH**2 * covariance, 40_000, method="cholesky")
    phi = np.zeros((2, len(mean)))
    for a, arm in enumerate(arms):
        for key, value in CONTEXT:
            for act in arm:
                phi[a, model.design.index[cross_key(key, act)]] += value * QUANTUM
    wins = ((weights @ phi.T).argmax(axis=1) == 1).mean()
    policy = decode_policy(encode_policy(model, {}), 1, "m")
    assert policy.variants([CONTEXT], arms)[0].shares[1] == pytest.approx(wins, abs=0.03)


def test_an_arm_never_seen_is_worth_trying() -> None:
    arms = (*ARMS, variant_acts("new", []))
    choice = taught(6_000).variants([CONTEXT], arms)[0]
    assert choice.greedy == 1
    assert choice.shares[3] > choice.shares[0]


def test_what_is_learned_of_a_tone_serves_an_arm_never_seen() -> None:
    model = RewardModel()
    warm, dry = variant_acts("x", [("tone", "warm")]), variant_acts("y", [("tone", "dry")])
    taken = [Taken(warm if i % 2 else dry, EMAIL, 9) for i in range(200)]
    model.enter([CONTEXT] * 200, taken, [float(i % 2) for i in range(200)], [1.0] * 200)
    strangers = (variant_acts("p", [("tone", "dry")]), variant_acts("q", [("tone", "warm")]))
    assert decode_policy(encode_policy(model, {}), 1, "m").variants([CONTEXT], strangers)[0].greedy == 1


def test_answers_do_not_depend_on_who_else_is_asked_about() -> None:
    rng = np.random.default_rng(3)
    contexts = [((BIAS, 256), *((feature_key(f"t{j}={rng.integers(4)}"), 256) for j in range(6))) for _ in range(100)]
    body = encode_policy(model_of(200), {})
    together = decode_policy(body, 1, "m").variants(contexts, ARMS)
    assert together == [decode_policy(body, 1, "m").variants([context], ARMS)[0] for context in contexts]


def test_evidence_about_a_person_counts_from_the_first_decision() -> None:
    fresh = fresh_policy("m")
    liked = round(2.0 / EVIDENCE)
    where = fresh.channels([(CONTEXT, CHANNELS, (0, 0, liked), (0.0, 0.0, 0.0))])[0]
    habits = bytes([0] * 8 + [liked] + [0] * 15)
    when = fresh.hours([(CONTEXT, bytes(range(24)), habits)])[0]
    assert (where.greedy, when.greedy) == (2, 8)


def test_what_speaks_against_a_channel_lowers_it() -> None:
    fresh = fresh_policy("m")
    plain = fresh.channels([(CONTEXT, CHANNELS, (0, 0, 0), (0.0, 0.0, 0.0))])[0]
    dear = fresh.channels([(CONTEXT, CHANNELS, (0, 0, 0), (0.0, 0.0, -1.5))])[0]
    assert dear.shares[2] < plain.shares[2]


def test_a_snapshot_reads_back_as_it_was_written() -> None:
    model = RewardModel()
    model.enter([CONTEXT], [Taken(ARMS[0], EMAIL, 9)], [1.0], [1.0])
    body = encode_policy(model, {"exposed": 1.0})
    one, again = decode_policy(body, 1, "m"), decode_policy(body, 1, "m")
    assert one.variants([CONTEXT], ARMS) == again.variants([CONTEXT], ARMS)
    assert one.counts == {"exposed": 1.0}


def test_contributions_add_up_to_the_logit() -> None:
    learned = taught(500)
    acts = [(ActKey(KIND_VARIANT, key), 1.0) for key in ARMS[1]]
    assert sum(learned.contributions(CONTEXT, acts)) == pytest.approx(learned.variants([CONTEXT], ARMS)[0].scores[1], abs=1e-6)


@pytest.mark.parametrize("method", PolicyMethod)
def test_every_method_finds_the_best_and_shares_sum_to_one(method: PolicyMethod) -> None:
    choice = taught(6_000).variants([CONTEXT], ARMS, method)[0]
    assert choice.greedy == 1
    assert sum(choice.shares) == pytest.approx(1.0)
    assert choice.shares[1] == max(choice.shares)


def test_upper_bounds_leave_nothing_to_chance_and_inverse_gaps_do() -> None:
    learned = taught(200)
    assert learned.variants([CONTEXT], ARMS, PolicyMethod.LINUCB)[0].shares.count(0.0) == 2
    assert min(learned.variants([CONTEXT], ARMS, PolicyMethod.SQUARECB)[0].shares) > 0.0


def test_a_policy_tells_how_far_people_and_options_were_found_to_differ() -> None:
    told = taught(2_000).deviations()
    assert set(told) == {"everybody", "segment", "person"}
    assert told["everybody"]["variant"] > 0.0
    assert told["segment"]["variant"] < told["everybody"]["variant"]


def test_what_is_asked_together_is_answered_as_alone() -> None:
    contexts = [((BIAS, 256), (feature_key(f"trait:n={i}"), 256)) for i in range(12)]
    hours = [(context, bytes(range(24)), bytes([i] * 24)) for i, context in enumerate(contexts)]
    channels = [(context, CHANNELS, (i, 0, -i), (0.0, -0.1, 0.0)) for i, context in enumerate(contexts)]
    together, alone = taught(300), taught(300)
    assert together.hours(hours) == [alone.hours([ask])[0] for ask in hours]
    assert together.channels(channels) == [alone.channels([ask])[0] for ask in channels]


def test_what_fills_a_policys_memory_changes_no_answer() -> None:
    """More pairs never seen, more sets of variants and more features than a policy has room for."""
    body = encode_policy(model_of(200), {})
    crowded, arms = decode_policy(body, 1, "m"), tuple(variant_acts(f"v{i}", [("tone", i)]) for i in range(40))
    strangers = [((BIAS, 256), *((feature_key(f"s{i}={j}"), 256) for j in range(20))) for i in range(64)]
    found = crowded.variants(strangers, arms)
    for i in range(300):
        crowded.variants([CONTEXT], (*ARMS, variant_acts(f"w{i}", [])))
    assert found[7] == decode_policy(body, 1, "m").variants([strangers[7]], arms)[0]
    assert crowded.variants([CONTEXT], ARMS) == decode_policy(body, 1, "m").variants([CONTEXT], ARMS)
