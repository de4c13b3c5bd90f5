from collections.abc import Sequence

import numpy as np
import pytest

from personalization.learning.design import DIMENSIONS
from personalization.learning.encoding import (
    BIAS,
    KIND_VARIANT,
    Feature,
    Taken,
    ago,
    channel_key,
    family_of,
    feature_key,
    variant_acts,
)
from personalization.learning.logistic import Entered, RewardModel
from personalization.learning.policy import Policy, decode_policy, encode_policy

EMAIL, PUSH = channel_key("email"), channel_key("push")


ARMS = tuple(variant_acts(name, []) for name in "abc")
CONTEXT: tuple[Feature, ...] = ((BIAS, 256), (feature_key("trait:plan=pro"), 256))
KINDS = tuple(feature_key(f"trait:kind={i}") for i in range(6))


def mail(arm: int, hour: int = 9) -> Taken:
    return Taken(ARMS[arm], EMAIL, hour)


def policy(model: RewardModel) -> Policy:
    return decode_policy(encode_policy(model, {}), 1, "m")


def add(model: RewardModel, context: Sequence[Feature], taken: Taken, reward: float) -> Entered:
    return model.enter([context], [taken], [reward], [1.0])[0]


def taught(rows: int = 400, seed: int = 1, rates: tuple[float, ...] = (0.1, 0.4, 0.2)) -> RewardModel:
    rng, model = np.random.default_rng(seed), RewardModel()
    arms = rng.integers(len(ARMS), size=rows)
    rewards = (rng.random(rows) < np.array(rates)[arms]).astype(float).tolist()
    model.enter([CONTEXT] * rows, [mail(arm) for arm in arms], rewards, [1.0] * rows)
    model.settle([0] * rows)
    return model


def kinds(lift: float, rows: int = 3_000) -> RewardModel:
    """Arm a earns 0.3; arm b earns 0.3 as well, but `lift` more or less by the person's kind."""
    rng, model = np.random.default_rng(1), RewardModel()
    who, arms = rng.integers(len(KINDS), size=rows), rng.integers(2, size=rows)
    rewards = rng.random(rows) < 0.3 + arms * lift * np.where(who % 2, 1, -1)
    contexts = [((BIAS, 256), (KINDS[kind], 256)) for kind in who]
    model.enter(contexts, [mail(arm) for arm in arms], rewards.astype(float).tolist(), [1.0] * rows)
    return model


def deviation(model: RewardModel, key: int) -> float:
    return model.deviations[family_of(key), KIND_VARIANT]


def test_the_share_of_clicks_of_each_arm_is_found() -> None:
    learned = policy(taught(4_000))
    choice = learned.variants([CONTEXT], ARMS)[0]
    found = [learned.value(learned.base(CONTEXT) + score) for score in choice.scores]
    assert found == pytest.approx([0.1, 0.4, 0.2], abs=0.04)


def test_a_corrected_reward_is_as_if_it_had_always_been() -> None:
    direct, corrected = taught(60), taught(60)
    add(direct, CONTEXT, mail(0), 3.0)
    corrected.correct(CONTEXT, mail(0), 0.0, 3.0, 1.0, add(corrected, CONTEXT, mail(0), 0.0))
    assert corrected.posterior()[0] == pytest.approx(direct.posterior()[0], abs=0.02)
    assert corrected.total().gain == pytest.approx(direct.total().gain)
    assert corrected.total().curvature == pytest.approx(direct.total().curvature)


def test_a_decision_that_leaves_takes_all_it_brought() -> None:
    model = taught(50)
    before = model.total()
    model.leave(CONTEXT, mail(2), 1.0, 1.0, add(model, CONTEXT, mail(2), 1.0))
    after = model.total()
    for name in ("curvature", "mass", "gain", "loss", "scalars"):
        assert getattr(after, name) == pytest.approx(getattr(before, name), abs=1e-9)


def test_rows_cut_into_calls_at_the_refreshes_give_the_same_bits_each_time() -> None:
    assert encode_policy(taught(300), {}) == encode_policy(taught(300), {})


def test_state_survives_packing_bit_for_bit() -> None:
    model = taught(700)
    again = RewardModel.unpack(model.pack())
    for one in (model, again):
        one.settle([0] * 100)
        add(one, CONTEXT, mail(0), 1.0)
    assert again.pack() == model.pack()
    assert encode_policy(again, {}) == encode_policy(model, {})


def test_where_context_makes_no_difference_its_weights_shrink() -> None:
    assert deviation(kinds(0.0), KINDS[0]) < 0.5 * deviation(kinds(0.2), KINDS[0])


def test_more_features_than_room_share_dimensions_and_stay_finite() -> None:
    model = RewardModel()
    contexts = [((BIAS, 256), (feature_key(f"city={i}"), 256)) for i in range(400)]
    model.enter(contexts, [mail(i % 3) for i in range(400)], [float(i % 2) for i in range(400)], [1.0] * 400)
    mean, covariance = model.posterior()
    assert model.design.size <= DIMENSIONS
    assert np.isfinite(mean).all()
    assert np.isfinite(covariance).all()


def test_extreme_values_give_finite_beliefs() -> None:
    model = RewardModel()
    huge = ((BIAS, 256), (feature_key("huge"), 256_000_000))
    for reward in (1_000.0, -1_000.0, 0.0, 1e-9):
        add(model, huge, mail(0), reward)
    mean, covariance = model.posterior()
    assert np.isfinite(mean).all()
    assert np.isfinite(covariance).all()


def test_rewards_of_any_size_are_learned() -> None:
    """Orders of 0 to 200: the arm that sells more is found, and its mean too."""
    rng, model = np.random.default_rng(2), RewardModel()
    arms = rng.integers(2, size=3_000)
    orders = np.where(rng.random(3_000) < 0.2, rng.uniform(0, 200, 3_000) * np.where(arms, 1.0, 0.5), 0.0)
    model.enter([CONTEXT] * 3_000, [mail(arm) for arm in arms], orders.tolist(), [1.0] * 3_000)
    assert policy(model).variants([CONTEXT], ARMS[:2])[0].greedy == 1
    assert 0.05 < model.dispersion() < 0.6


def test_rare_losses_stay_out_and_common_ones_are_part_of_the_range() -> None:
    rare, common = RewardModel(), RewardModel()
    rare.enter([CONTEXT] * 200, [mail(0)] * 200, [-20.0, *[1.0] * 199], [1.0] * 200)
    common.enter([CONTEXT] * 200, [mail(0)] * 200, [-1.0, 0.5] * 100, [1.0] * 200)
    assert rare.range() == (0.0, 1.0)
    assert common.range() == (-1.0, 0.5)


def drifting(rows: int, turned: bool) -> RewardModel:
    """Three arms; after half of the rows, if turned, the best becomes the worst."""
    rng, model = np.random.default_rng(4), RewardModel()
    for at in range(0, 2 * rows, 50):
        rates = np.array((0.1, 0.4, 0.2) if not turned or at < rows else (0.4, 0.1, 0.2))
        arms = rng.integers(3, size=50)
        rewards = (rng.random(50) < rates[arms]).astype(float).tolist()
        entered = model.enter([CONTEXT] * 50, [mail(arm) for arm in arms], rewards, [1.0] * 50)
        model.settle([row.block for row in entered])
    return model


def test_a_world_that_turned_is_forgotten_and_one_that_stays_is_not() -> None:
    turned, steady = drifting(3_000, turned=True), drifting(3_000, turned=False)
    assert turned.forgot > 0
    assert steady.forgot == 0
    assert policy(turned).variants([CONTEXT], ARMS)[0].greedy == 0
    assert policy(steady).variants([CONTEXT], ARMS)[0].greedy == 1
    assert steady.weight == pytest.approx(6_000)


def test_a_block_is_not_judged_before_its_rewards_are_known() -> None:
    """Rewards that are still to come must not look like a world without any."""
    rng, model = np.random.default_rng(5), drifting(1_000, turned=False)
    late: list[tuple[Taken, float, Entered]] = []
    for _ in range(30):
        arms = rng.integers(3, size=50)
        rewards = (rng.random(50) < np.array((0.1, 0.4, 0.2))[arms]).astype(float)
        entered = model.enter([CONTEXT] * 50, [mail(arm) for arm in arms], [0.0] * 50, [1.0] * 50)
        late += [(mail(arm), reward, row) for arm, reward, row in zip(arms, rewards, entered, strict=True)]
        while len(late) > 600:
            taken, reward, row = late.pop(0)
            if reward:
                model.correct(CONTEXT, taken, 0.0, reward, 1.0, row)
            model.settle([row.block])
    assert model.forgot == 0


def test_neighbouring_hours_learn_from_each_other_across_midnight() -> None:
    rng, model = np.random.default_rng(6), RewardModel()
    hours = rng.integers(168, size=4_000)
    near = np.minimum((hours - 23) % 24, (23 - hours) % 24) <= 3
    rewards = (rng.random(4_000) < np.where(near, 0.6, 0.1)).astype(float).tolist()
    model.enter([CONTEXT] * 4_000, [mail(0, int(hour)) for hour in hours], rewards, [1.0] * 4_000)
    scores = policy(model).hours(CONTEXT, bytes(range(24)), b"").scores
    assert max(range(24), key=scores.__getitem__) in (22, 23, 0)
    assert scores[0] > scores[4]
    assert scores[21] > scores[12]


def repeating(penalty: float, rows: int = 4_000) -> RewardModel:
    """Every variant earns .5, less `penalty` right after it was shown, half of it four days later."""
    rng, model = np.random.default_rng(7), RewardModel()
    days = rng.uniform(0.1, 30.0, rows)
    rewards = rng.random(rows) < 0.5 - penalty * 2.0 ** (-days / 4.0)
    taken = [mail(int(arm))._replace(shown=ago(day)) for arm, day in zip(rng.integers(3, size=rows), days, strict=True)]
    model.enter([CONTEXT] * rows, taken, rewards.astype(float).tolist(), [1.0] * rows)
    return model


def test_what_a_repeat_costs_is_learned_with_its_half_life() -> None:
    found = repeating(0.4).recovery()
    assert found.gamma == pytest.approx(0.4, abs=0.1)
    assert 2.0 <= found.half_life <= 8.0
    assert repeating(0.0).recovery().gamma == 0.0


def test_a_variant_shown_today_gives_way_and_recovers() -> None:
    learned = policy(repeating(0.4))
    fresh, today, long_ago = (
        learned.variants([CONTEXT], ARMS, shown=shown)[0].shares[0]
        for shown in (b"", bytes([ago(0.2), 0, 0]), bytes([ago(60.0), 0, 0]))
    )
    assert today < 0.5 * fresh
    assert long_ago == pytest.approx(fresh, abs=0.05)


def test_a_repeat_taken_back_or_corrected_leaves_the_sums_as_they_should_be() -> None:
    again = mail(0)._replace(shown=ago(1.0))
    model = repeating(0.4, 200)
    before = model.recovering
    entered = add(model, CONTEXT, again, 0.0)
    model.correct(CONTEXT, again, 0.0, 1.0, 1.0, entered)
    model.leave(CONTEXT, again, 1.0, 1.0, entered)
    assert model.recovering == pytest.approx(before, abs=1e-9)


def by_channel(model: RewardModel, arms: tuple[tuple[int, ...], ...], rows: int, seed: int) -> RewardModel:
    """Push earns three times what e-mail does, evenings twice what mornings do; variants earn the same."""
    rng = np.random.default_rng(seed)
    push, hours = rng.random(rows) < 0.5, rng.choice([8, 20], rows)
    rewards = rng.random(rows) < 0.1 * np.where(push, 3.0, 1.0) * np.where(hours == 20, 2.0, 1.0)
    taken = [Taken(arms[i % 2], PUSH if p else EMAIL, int(h)) for i, (p, h) in enumerate(zip(push, hours, strict=True))]
    model.enter([CONTEXT] * rows, taken, rewards.astype(float).tolist(), [1.0] * rows)
    return model


def test_an_heir_knows_channels_and_hours_but_nothing_of_variants() -> None:
    heir = by_channel(RewardModel(), ARMS[:2], 3_000, 1).heir()
    learned = policy(heir)
    assert learned.channels(CONTEXT, (EMAIL, PUSH), (0, 0), (0.0, 0.0)).greedy == 1
    assert learned.hours(CONTEXT, bytes([8, 20]), b"").greedy == 1
    assert heir.weight == pytest.approx(50.0)
    assert not {group for group in heir.design.groups if group[1] == KIND_VARIANT}
    assert min(learned.variants([CONTEXT], ARMS)[0].shares) > 0.2


def test_what_was_inherited_gives_way_to_what_is_seen() -> None:
    heir = by_channel(RewardModel(), ARMS[:2], 3_000, 1).heir()
    rng = np.random.default_rng(2)
    channels = rng.choice([EMAIL, PUSH], 1_500)
    rewards = rng.random(1_500) < np.where(channels == EMAIL, 0.4, 0.1)
    heir.enter([CONTEXT] * 1_500, [Taken(ARMS[2], int(c), 20) for c in channels], rewards.astype(float).tolist(), [1.0] * 1_500)
    assert policy(heir).channels(CONTEXT, (EMAIL, PUSH), (0, 0), (0.0, 0.0)).greedy == 0
