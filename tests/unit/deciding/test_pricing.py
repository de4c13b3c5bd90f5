"""Single decisions at shadow prices: what they choose, when they send nothing, what they say and what they record."""

from __future__ import annotations

from collections import Counter
from functools import cache

import msgspec
import numpy as np
import pytest
from msgspec.structs import asdict, replace

from personalization.clock import DAY
from personalization.deciding.assembly import decide_many, record_of
from personalization.deciding.contributions import weighed
from personalization.deciding.demand import worths
from personalization.deciding.feasible import prepare
from personalization.deciding.paths import CHANNEL, SEND, TIMING, VARIANT, paths
from personalization.deciding.record import (
    Candidate,
    ChannelOption,
    Inputs,
    Outcome,
    PricedInputs,
    Record,
    decode_record,
    encode_record,
)
from personalization.deciding.replay import replay
from personalization.deciding.stages import draw_many
from personalization.deciding.wording import named
from personalization.learning.encoding import BIAS, QUANTUM, Taken, channel_key, feature_key, variant_acts
from personalization.learning.logistic import RewardModel
from personalization.learning.policy import Policy, decode_policy, encode_policy
from personalization.models.prices import MICRO, MOST, Price, Pricing, decode_pricing, encode_pricing
from personalization.service import SERVICE_LEVELS
from personalization.tenant import TenantConfig
from personalization.vocabulary import Category, ServiceLevel, Suppression
from tests.unit.deciding.test_feasible import NOW, asked, profile, question, template

ONE = int(1 / QUANTUM)
PLANS = tuple(feature_key(f"trait:plan={name}") for name in "abc")
CHANNELS = ("email", "push", "sms")
ARMS = tuple(variant_acts(name, []) for name in "xy")
#: P(click) by plan and channel.
TRUTH = np.array([(0.10, 0.20, 0.45), (0.12, 0.20, 0.30), (0.15, 0.10, 0.12)])


@cache
def learned() -> Policy:
    rng, model = np.random.default_rng(7), RewardModel()
    plans, channels, hours = (rng.integers(0, n, 3_000) for n in (3, 3, 168))
    actions = [Taken(ARMS[i % 2], channel_key(CHANNELS[c]), int(h)) for i, (c, h) in enumerate(zip(channels, hours, strict=True))]
    clicks = (rng.random(3_000) < TRUTH[plans, channels]).astype(float)
    model.enter([context(plan) for plan in plans], actions, clicks.tolist(), [1.0] * 3_000)
    return decode_policy(encode_policy(model, {}), 1, "m")


def context(plan: int) -> tuple[tuple[int, int], ...]:
    return (BIAS, ONE), (PLANS[plan], ONE)


def inputs(plan: int = 0, seed: int = 0, channels: tuple[str, ...] = CHANNELS, **changes: object) -> Inputs:
    base = Inputs(
        seed=seed.to_bytes(16, "big"),
        now=0,
        model_id="m",
        snapshot_id=1,
        features=context(plan),
        candidates=tuple(Candidate(name, "en", ARMS[i], 1000, (1 << len(channels)) - 1) for i, name in enumerate("xy")),
        baseline=0,
        channels=tuple(ChannelOption(name, 0, b"\x0f") for name in channels),
        earliest=0,
        first_hour=1,
        hours=bytes(range(8, 12)),
        habits=b"",
        exploration=0,
        method="thompson",
        stages=VARIANT | CHANNEL | TIMING | SEND,
        forced="",
    )
    return replace(base, **changes)


def priced(one: Inputs, *prices: float) -> PricedInputs:
    """prices : in rewards, of a send by each of its channels"""
    return PricedInputs(**asdict(one), pricing_id=3, prices=tuple(round(price * MICRO) for price in prices))


def policy_of(model_id: str, snapshot_id: int) -> Policy:
    return learned()


def draw(one: Inputs) -> Outcome:
    return draw_many([one], policy_of)[0]


def worth(plan: int, channel: str) -> float:
    """What is expected where there is no other channel."""
    alone = inputs(plan, channels=(channel,))
    path = paths([alone], policy_of)[0]
    assert path is not None
    found = weighed(alone, path)
    assert found is not None
    return found.expected_reward


def recorded(one: Inputs) -> Record:
    """Its decision at level quantum."""
    asking = question(template("one", "two"), capabilities=SERVICE_LEVELS[ServiceLevel.QUANTUM], level=ServiceLevel.QUANTUM)
    decided = decide_many([asking], [prepare(asking)], policy_of)[0]
    return replace(record_of(asking, decided, policy_of, 1.0), inputs=one, outcome=draw(one))


# -- what is chosen --------------------------------------------------------------------------------------------------


def test_the_greedy_channel_is_the_one_worth_most_beyond_its_price_and_nothing_goes_where_none_is() -> None:
    rng, seen = np.random.default_rng(5), Counter[str | None]()
    for prices in rng.random((200, 3)) * 0.5:
        for plan in range(3):
            left = {name: worth(plan, name) - price for name, price in zip(CHANNELS, prices, strict=True)}
            best = max(left, key=left.__getitem__)
            if sorted(left.values())[1] > left[best] - 1e-3 or abs(left[best]) < 1e-3:
                continue
            outcome = draw(priced(inputs(plan), *prices))
            went = None if outcome.chosen is None else CHANNELS[outcome.chosen.channel]
            assert went == (best if left[best] > 0.0 else None)
            assert outcome.suppression == (None if went else Suppression.BUDGET)
            seen[went] += 1
    assert min(seen[went] for went in (None, *CHANNELS)) > 20


def test_the_demand_is_told_in_the_values_that_decisions_choose_by() -> None:
    records = [recorded(replace(inputs(plan), snapshot_id=9)) for plan in range(3)]
    for plan, found in enumerate(worths(records, policy_of)):
        assert found == pytest.approx({name: worth(plan, name) for name in CHANNELS}, abs=1e-6)


def test_a_channel_without_a_price_is_worth_what_it_was() -> None:
    free = draw(inputs(2, exploration=300_000))
    dear = draw(priced(inputs(2, exploration=300_000), 0.0, 0.0, MOST / MICRO))
    assert free.greedy == dear.greedy
    assert dear.send == 1.0


def test_a_budget_that_is_gone_leaves_the_channel_to_nobody_however_much_is_explored() -> None:
    gone = [priced(inputs(0, seed, exploration=MICRO), 0.0, 0.0, MOST / MICRO) for seed in range(500)]
    drawn = {one.chosen.channel for one in draw_many(gone, policy_of) if one.chosen}
    assert drawn
    assert drawn <= {0, 1}


@pytest.mark.parametrize("method", ["thompson", "squarecb"])
@pytest.mark.parametrize("exploration", [1.0, 0.2])
def test_the_logged_propensity_is_how_often_it_happens(method: str, exploration: float) -> None:
    """At prices that are just about what the sends are worth, so that every stage has a say."""
    just = [worth(0, name) for name in CHANNELS]
    many = [priced(inputs(0, seed, method=method, exploration=round(exploration * MICRO)), *just) for seed in range(8_000)]
    outcomes = draw_many([replace(one, seed=bytes([i % 251]) + i.to_bytes(15, "big")) for i, one in enumerate(many)], policy_of)
    counts, said = Counter(one.chosen for one in outcomes), {one.chosen: one.joint for one in outcomes}
    assert len(counts) > 5
    assert 0.0 < said[None] < 1.0
    for chosen, count in counts.items():
        assert abs(count / len(many) - said[chosen]) < 5 * (said[chosen] * (1 - said[chosen]) / len(many)) ** 0.5 + 1e-3
    assert all(one.explored <= exploration + 1e-9 for one in outcomes)


def test_a_draw_does_not_depend_on_its_company() -> None:
    many = [priced(inputs(i % 3, i, exploration=MICRO), 0.1, 0.0, 0.2) if i % 2 else inputs(i % 3, i) for i in range(60)]
    assert draw_many(many, policy_of) == [draw(one) for one in many]


def test_whoever_is_kept_on_the_baseline_gets_it_at_any_price() -> None:
    held = priced(inputs(0, forced="baseline"), MOST / MICRO, MOST / MICRO, MOST / MICRO)
    outcome = draw(held)
    assert outcome.chosen is not None
    assert (outcome.chosen.channel, outcome.joint, outcome.suppression) == (0, 1.0, None)


# -- who has prices --------------------------------------------------------------------------------------------------

PRICING = Pricing({"push": Price(40_000, NOW + DAY)}, 7)


def priced_as(level: ServiceLevel = ServiceLevel.QUANTUM, category: str = Category.PROMOTIONAL, **changes: object) -> Inputs:
    of = template("one", "two", category=category)
    wanted = {"profile": profile(), "capabilities": SERVICE_LEVELS[level], "pricing": PRICING, "request": asked(), **changes}
    return prepare(question(of, TenantConfig(), **wanted)).inputs


def test_prices_are_those_of_the_open_channels_in_their_order() -> None:
    found = priced_as()
    assert isinstance(found, PricedInputs)
    assert dict(zip((one.name for one in found.channels), found.prices, strict=True))["push"] == 40_000
    assert sum(found.prices) == 40_000
    assert found.pricing_id == 7


@pytest.mark.parametrize("level", [level for level in ServiceLevel if level != ServiceLevel.QUANTUM])
def test_no_other_level_has_prices(level: ServiceLevel) -> None:
    assert type(priced_as(level)) is Inputs
    assert priced_as(level) == priced_as(level, pricing=Pricing())


def test_a_price_ends_with_its_period() -> None:
    assert type(priced_as(pricing=Pricing({"push": Price(40_000, NOW)}, 7))) is Inputs


def test_transactional_messages_and_strategies_that_do_not_choose_whether_to_send_have_no_prices() -> None:
    assert type(priced_as(category=Category.TRANSACTIONAL)) is Inputs
    assert type(priced_as(request=asked(strategies=("behavioral_adaptive",)))) is Inputs
    assert isinstance(priced_as(request=asked(strategies=("predictive_optimization",))), PricedInputs)


def test_prices_round_trip() -> None:
    assert decode_pricing(encode_pricing(PRICING.channels), 7) == PRICING


# -- what is recorded and said ---------------------------------------------------------------------------------------


def test_a_record_keeps_its_prices_and_replays_from_them() -> None:
    one = priced(inputs(0, exploration=MICRO), 0.02, 0.0, 0.3)
    record = recorded(one)
    again = decode_record(encode_record(record))
    assert again == record
    assert isinstance(again.inputs, PricedInputs)
    assert replay(again, again.code, policy_of).identical is True
    dearer = replace(again, inputs=replace(again.inputs, prices=(20_000, 0, 900_000)))
    assert replay(dearer, again.code, policy_of).identical is False


def test_a_record_without_prices_is_what_it_was_to_the_byte() -> None:
    record = recorded(inputs())
    data = encode_record(record)
    assert type(decode_record(data).inputs) is Inputs
    assert decode_record(data) == record
    assert len(msgspec.msgpack.decode(data)[2]) == len(Inputs.__struct_fields__)
    assert len(encode_record(recorded(priced(inputs(), 0.0, 0.0, 0.1)))) <= len(data) + 12


def test_contributions_name_the_shadow_price_and_add_up() -> None:
    one = priced(inputs(1), 0.0, 0.02, 0.05)
    path = paths([one], policy_of)[0]
    assert path is not None
    found = weighed(one, path)
    assert found is not None
    parts = {named(part, {}): part for part in found.parts}
    assert parts["channel sms: shadow price"].value == pytest.approx(0.05)
    assert parts["channel sms: shadow price"].effect < 0.0
    assert sum(part.effect for part in found.parts) == pytest.approx(found.greedy_logit - found.baseline_logit)
    assert found.expected_reward == pytest.approx(worth(1, "sms") - 0.05, abs=1e-5)
