from personalization.reward import REWARD_LIMIT, ByValue, OwnReward, RewardSpec
from personalization.vocabulary import Aggregation

TENANTS = RewardSpec(
    weights={"clicked": 1.0, "converted": 5.0}, wait_time=7, default=0.5, cost_weight=2.0, guardrails={"unsubscribed": 0.01}
)


def test_what_a_template_leaves_out_is_the_tenants() -> None:
    assert OwnReward().over(TENANTS) == TENANTS


def test_what_a_template_says_stands_even_when_it_is_nothing() -> None:
    own = OwnReward(wait_time=9, default=0.0, aggregation=Aggregation.MAX, cost_weight=0.0).over(TENANTS)
    assert (own.wait_time, own.default, own.aggregation, own.cost_weight) == (9, 0.0, Aggregation.MAX, 0.0)
    assert own.weights == TENANTS.weights


def test_a_template_changes_single_weights_and_guardrails() -> None:
    own = OwnReward(weights={"opened": 0.1, "clicked": None}, guardrails={"complained": 0.001, "unsubscribed": None})
    assert own.over(TENANTS).weights == {"converted": 5.0, "opened": 0.1}
    assert own.over(TENANTS).limits == (("complained", 0.001),)


def test_a_weight_by_value_grows_with_the_value_and_counts_alone_without_one() -> None:
    spec = RewardSpec(weights={"converted": ByValue(per_value=0.1, weight=1.0)})
    assert spec.worth("converted", 30.0) == 4.0
    assert spec.worth("converted", None) == 1.0
    assert spec.worth("clicked", 30.0) is None


def test_one_event_is_worth_no_more_than_the_limit() -> None:
    spec = RewardSpec(weights={"converted": ByValue(per_value=1e300), "clicked": -1e300})
    assert spec.worth("converted", 1e300) == REWARD_LIMIT
    assert spec.worth("converted", -1e300) == -REWARD_LIMIT
    assert spec.worth("clicked", None) == -REWARD_LIMIT
