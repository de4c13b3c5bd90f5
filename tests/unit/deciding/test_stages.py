from collections import Counter
from hashlib import blake2b

import msgspec
import numpy as np
import pytest

from personalization.deciding.paths import CHANNEL, SEND, TIMING, VARIANT
from personalization.deciding.record import Candidate, ChannelOption, Inputs, Outcome
from personalization.deciding.stages import draw_many
from personalization.learning.drawing import GRID
from personalization.learning.encoding import BIAS, NOTHING_SENT, Taken, channel_key, variant_acts
from personalization.learning.frequency import Losses
from personalization.learning.logistic import RewardModel
from personalization.learning.policy import Policy, decode_policy, encode_policy, fresh_policy

EMAIL, PUSH = channel_key("email"), channel_key("push")


ARMS = tuple(variant_acts(name, []) for name in "abc")


def learned() -> Policy:
    rng, model = np.random.default_rng(7), RewardModel()
    taken = [Taken(ARMS[i % 3], (EMAIL, PUSH)[i // 3 % 2], i % 168) for i in range(300)]
    rewards = [float(rng.random() < (0.2, 0.3, 0.25)[i % 3]) for i in range(300)]
    model.enter([((BIAS, 256),)] * 300, taken, rewards, [1.0] * 300)
    return decode_policy(encode_policy(model, {}), 1, "m")


POLICY = learned()


def inputs(seed: int = 0, **changes: object) -> Inputs:
    base = Inputs(
        seed=blake2b(str(seed).encode(), digest_size=16).digest(),
        now=0,
        model_id="m",
        snapshot_id=1,
        features=((BIAS, 256),),
        candidates=tuple(Candidate(name, "en", ARMS[i], 1000, 0b11) for i, name in enumerate("abc")),
        baseline=0,
        channels=(ChannelOption("email", 1, b"\xff"), ChannelOption("push", -1, b"\x0f")),
        earliest=0,
        first_hour=1,
        hours=bytes(range(6, 14)),
        habits=bytes([0, 4, 0, 0, 254, 254, 254, 254]),
        exploration=300_000,
        method="thompson",
        stages=VARIANT | CHANNEL | TIMING,
        forced="",
    )
    return msgspec.structs.replace(base, **changes)


def draw(one: Inputs) -> Outcome:
    return draw_many([one], lambda model_id, snapshot_id: POLICY)[0]


def test_the_logged_propensity_is_how_often_it_happens() -> None:
    n = 20_000
    outcomes = draw_many([inputs(seed) for seed in range(n)], lambda model_id, snapshot_id: POLICY)
    counts = Counter(outcome.chosen for outcome in outcomes)
    said = {outcome.chosen: outcome.joint for outcome in outcomes}
    assert len(counts) > 10
    for chosen, count in counts.items():
        p = said[chosen]
        assert abs(count / n - p) < 5 * (p * (1 - p) / n) ** 0.5 + 1e-4


@pytest.mark.parametrize("exploration", [0, 10_000, 100_000, 500_000])
def test_exploration_bounds_how_often_the_action_differs_from_the_greedy_one(exploration: int) -> None:
    outcome = draw(inputs(exploration=exploration))
    assert outcome.explored <= exploration / 1e6 + 1e-9
    if exploration == 0:
        assert outcome.chosen == outcome.greedy
        assert outcome.joint == 1.0


def test_explored_is_one_minus_the_probability_of_the_greedy_action() -> None:
    outcomes = draw_many([inputs(seed) for seed in range(200)], lambda model_id, snapshot_id: POLICY)
    greedy = next(outcome for outcome in outcomes if outcome.chosen == outcome.greedy)
    assert greedy.explored == pytest.approx(1.0 - greedy.joint)


def test_probabilities_lie_on_the_grid_and_sum_to_one() -> None:
    outcomes = draw_many([inputs(seed) for seed in range(500)], lambda model_id, snapshot_id: POLICY)
    by_variant = {outcome.chosen.variant: outcome.variant for outcome in outcomes if outcome.chosen}
    assert all((p * GRID).is_integer() for p in by_variant.values())
    assert sum(by_variant.values()) == pytest.approx(1.0)


def test_a_variant_goes_only_where_it_fits() -> None:
    only_push = (Candidate("a", "en", ARMS[0], 1000, 0b10), Candidate("b", "en", ARMS[1], 1000, 0b01))
    for seed in range(300):
        chosen = draw(inputs(seed, candidates=only_push)).chosen
        assert chosen is not None
        assert chosen.channel == (1 if chosen.variant == 0 else 0)


def test_a_slot_is_one_of_its_channels() -> None:
    channels = (ChannelOption("email", 0, b"\x01"), ChannelOption("push", 0, b"\xf0"))
    for seed in range(300):
        chosen = draw(inputs(seed, channels=channels)).chosen
        assert chosen is not None
        assert chosen.slot in ((0,) if chosen.channel == 0 else (4, 5, 6, 7))


def test_a_single_possibility_has_probability_one() -> None:
    one = inputs(candidates=(Candidate("a", "en", ARMS[0], 1000, 1),), channels=(ChannelOption("email", 0, b"\x01"),))
    outcome = draw(one)
    assert (outcome.variant, outcome.channel, outcome.timing, outcome.joint) == (1.0, 1.0, 1.0, 1.0)


def test_holding_back_returns_the_baseline_and_keeps_the_shadow() -> None:
    outcome = draw(inputs(forced="baseline"))
    assert outcome.chosen is not None
    assert (outcome.chosen.variant, outcome.chosen.channel, outcome.chosen.slot) == (0, 0, 0)
    assert outcome.joint == 1.0
    assert outcome.shadow is not None
    assert outcome.explored == 0.0


def test_nothing_feasible_is_nothing_chosen() -> None:
    outcome = draw(inputs(candidates=(), channels=(), refusal="no_consent"))
    assert outcome.chosen is None
    assert outcome.joint == 1.0


def test_a_draw_does_not_depend_on_its_company() -> None:
    many = [inputs(seed) for seed in range(100)]
    together = draw_many(many, lambda model_id, snapshot_id: POLICY)
    assert together == [draw(one) for one in many]


def test_without_a_variant_policy_the_baseline_goes_out() -> None:
    for seed in range(50):
        chosen = draw(inputs(seed, stages=CHANNEL | TIMING, baseline=2)).chosen
        assert chosen is not None
        assert chosen.variant == 2


def test_ties_are_explored_evenly() -> None:
    fresh = fresh_policy("m")
    outcomes = draw_many([inputs(seed, exploration=1_000_000, stages=VARIANT) for seed in range(6_000)], lambda m, s: fresh)
    counts = Counter(outcome.chosen.variant for outcome in outcomes if outcome.chosen)
    assert all(count == pytest.approx(2_000, abs=200) for count in counts.values())


# -- send or not -----------------------------------------------------------------------------------------------------


def burdened(size: float) -> Policy:
    """People leave by one message in ten from the fourth of a week on; each costs `size`."""
    rng, model, losses = np.random.default_rng(8), RewardModel(), Losses()
    loads = rng.integers(0, 8, 2_000)
    taken = [Taken(ARMS[i % 3], EMAIL, i % 168, load=int(load)) for i, load in enumerate(loads)]
    model.enter([((BIAS, 256),)] * 2_000, taken, (rng.random(2_000) < 0.3).astype(float).tolist(), [1.0] * 2_000)
    for load in loads.tolist():
        losses.sent(load, 1.0)
        if load >= 4 and rng.random() < 0.1:
            losses.changed(load, 1.0, 0.0, size)
    return decode_policy(encode_policy(model, {}, losses.burden({})), 1, "m")


DEAR, CHEAP = burdened(20.0), burdened(1e-6)
ALL = VARIANT | CHANNEL | TIMING | SEND


def decided(policy: Policy, load: int, **changes: object) -> list[Outcome]:
    many = [inputs(seed, load=load, stages=ALL, **changes) for seed in range(2_000)]
    return draw_many(many, lambda model_id, snapshot_id: policy)


def test_a_message_that_costs_more_than_it_brings_is_held_back() -> None:
    assert all(o.chosen is None and o.suppression == "fatigue" and o.greedy is None for o in decided(DEAR, 6, exploration=0))
    assert all(o.chosen is not None for o in decided(DEAR, 0, exploration=0))
    assert all(o.chosen is not None and o.send == 1.0 for o in decided(CHEAP, 6, exploration=0))


def test_where_nobody_was_ever_lost_everything_is_sent() -> None:
    assert all(o.chosen is not None and o.send == 1.0 for o in decided(POLICY, 40, exploration=1_000_000))


def test_whether_it_is_sent_happens_as_often_as_is_logged() -> None:
    at_odds = next(load for load in range(8) if 0.02 < decided(DEAR, load, exploration=1_000_000)[0].send < 0.98)
    outcomes = decided(DEAR, at_odds, exploration=1_000_000)
    sent = [o for o in outcomes if o.chosen is not None]
    held = [o for o in outcomes if o.chosen is None]
    assert {o.send for o in sent} == {1.0 - held[0].send}
    assert len(sent) / len(outcomes) == pytest.approx(sent[0].send, abs=0.04)


def test_exploration_bounds_sending_what_should_be_held_back() -> None:
    for load in range(8):
        outcomes = decided(DEAR, load, exploration=100_000)
        assert max(o.explored for o in outcomes) <= 0.1 + 1e-9
        off = sum(o.chosen != o.greedy for o in outcomes) / len(outcomes)
        assert off == pytest.approx(outcomes[0].explored, abs=0.03)


def unprompted(rate: float, rows: int = 1_000) -> Policy:
    """Messages earn 0.3; so many rows of people without one earn `rate`."""
    rng, with_it, without = np.random.default_rng(9), RewardModel(), RewardModel()
    taken = [Taken(ARMS[i % 3], EMAIL, i % 168) for i in range(2_000)]
    with_it.enter([((BIAS, 256),)] * 2_000, taken, (rng.random(2_000) < 0.3).astype(float).tolist(), [1.0] * 2_000)
    got = (rng.random(rows) < rate).astype(float).tolist()
    without.enter([((BIAS, 256),)] * rows, [NOTHING_SENT] * rows, got, [1.0] * rows)
    return decode_policy(encode_policy(with_it, {}, unsent=without), 1, "m")


def test_who_does_as_well_without_a_message_gets_none() -> None:
    outcomes = decided(unprompted(0.6), 0, exploration=0)
    assert all(o.chosen is None and o.suppression == "low_uplift" and o.held == "low_uplift" for o in outcomes)
    assert all(o.chosen is not None and o.send == 1.0 for o in decided(unprompted(0.0), 0, exploration=1_000_000))


def test_too_few_without_a_message_hold_nobody_back() -> None:
    assert all(o.chosen is not None and o.send == 1.0 for o in decided(unprompted(0.9, rows=99), 0, exploration=1_000_000))


def test_where_the_uplift_is_in_doubt_it_is_sent_as_often_as_is_logged() -> None:
    for rate in (0.30, 0.33, 0.36):
        outcomes = decided(unprompted(rate, rows=300), 0, exploration=1_000_000)
        sent = [o for o in outcomes if o.chosen is not None]
        share = sent[0].send if sent else 0.0
        assert len(sent) / len(outcomes) == pytest.approx(share, abs=0.04)
    assert max(o.explored for o in decided(unprompted(0.33, rows=300), 0, exploration=100_000)) <= 0.1 + 1e-9


def test_a_snapshot_says_of_itself_what_comes_without_a_message() -> None:
    policy = unprompted(0.6)
    assert policy.unsent is not None
    value, deviation = policy.unsent.expected(((BIAS, 256),))
    assert value == pytest.approx(0.6, abs=0.05)
    assert 0.0 < deviation < 0.05
    assert unprompted(0.9, rows=99).unsent is None


def test_an_erased_trait_is_looked_for_among_those_without_a_message_too() -> None:
    without = RewardModel()
    without.enter([((BIAS, 256), (7, 256))] * 100, [NOTHING_SENT] * 100, [0.0] * 100, [1.0] * 100)
    policy = decode_policy(encode_policy(RewardModel(), {}, unsent=without), 1, "m")
    assert policy.pairs() == without.design.index.keys() != policy.index.keys()


def test_the_baseline_of_a_holdout_is_never_held_back() -> None:
    assert all(o.chosen is not None and o.send == 1.0 for o in decided(DEAR, 7, forced="baseline"))
