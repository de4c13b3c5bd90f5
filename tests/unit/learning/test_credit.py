import pytest

from personalization.learning.credit import FULL, CreditLedger
from personalization.learning.earning import OpenDecision
from personalization.learning.encoding import BIAS, NOTHING_SENT, Taken, channel_key, variant_acts
from personalization.reward import RewardSpec
from personalization.vocabulary import Aggregation

EMAIL = channel_key("email")


SPEC = RewardSpec(weights={"clicked": 1.0, "converted": 5.0, "unsubscribed": -5.0, "custom:cart": 2.0})

MAIL = Taken(variant_acts("a", []), EMAIL, 9)


def decision(seq: int = 1, user: bytes | None = b"u", **fields: object) -> OpenDecision:
    return OpenDecision(
        seq,
        f"d{seq}",
        "m",
        user,
        ((BIAS, 256),),
        Taken(variant_acts("a", []), EMAIL, 9),
        slot_at=0,
        matures_at=10,
        config_version=0,
        **fields,
    )  # type: ignore[arg-type]


def ledger_with(*decisions: OpenDecision) -> CreditLedger:
    ledger = CreditLedger()
    for one in decisions:
        ledger.decided(one)
    return ledger


def total(ledger: CreditLedger) -> float:
    return ledger.models["m"].rewards.total().scalars[3] if "m" in ledger.models else 0.0


def engage(ledger: CreditLedger, type_: str, spec: RewardSpec = SPEC, value: float | None = None, key: str | None = None) -> None:
    ledger.engaged("d1", type_, key or type_, value, spec)


def test_a_decision_enters_learning_when_it_is_exposed() -> None:
    ledger = ledger_with(decision())
    assert ledger.models == {}
    ledger.exposed([1])
    assert ledger.models["m"].rewards.weight == 1.0
    assert ledger.models["m"].counts == {"exposed": 1.0}


def test_it_enters_with_the_default_and_is_corrected() -> None:
    ledger = ledger_with(decision(reward=0.5))
    ledger.exposed([1])
    assert total(ledger) == 0.5
    engage(ledger, "clicked")
    assert total(ledger) == 1.0
    engage(ledger, "converted")
    assert total(ledger) == 6.0


def test_an_event_before_exposure_counts_at_exposure() -> None:
    ledger = ledger_with(decision())
    engage(ledger, "clicked")
    assert total(ledger) == 0.0
    ledger.exposed([1])
    assert total(ledger) == 1.0
    assert ledger.models["m"].counts == {"exposed": 1.0, "clicked": 1.0}


@pytest.mark.parametrize(
    ("aggregation", "reward"), [(Aggregation.FIRST_PER_TYPE, 6.0), (Aggregation.SUM, 7.0), (Aggregation.MAX, 5.0)]
)
def test_events_become_one_reward_as_the_tenant_wants(aggregation: Aggregation, reward: float) -> None:
    spec = RewardSpec(weights=SPEC.weights, aggregation=aggregation)
    ledger = ledger_with(decision())
    ledger.exposed([1])
    for type_ in ("clicked", "clicked", "converted"):
        engage(ledger, type_, spec)
    assert total(ledger) == reward


def test_a_given_reward_is_final() -> None:
    ledger = ledger_with(decision())
    ledger.exposed([1])
    engage(ledger, "clicked")
    engage(ledger, "rewarded", value=0.25)
    engage(ledger, "converted")
    assert total(ledger) == 0.25


def test_events_after_the_wait_change_nothing() -> None:
    ledger = ledger_with(decision())
    ledger.exposed([1])
    ledger.matured([1])
    engage(ledger, "clicked")
    assert total(ledger) == 0.0
    assert ledger.open == {}


def test_custom_events_count_by_their_name() -> None:
    ledger = ledger_with(decision())
    ledger.exposed([1])
    engage(ledger, "custom", key="custom:cart")
    assert total(ledger) == 2.0


def test_a_discarded_decision_leaves_no_trace() -> None:
    ledger = ledger_with(decision(1), decision(2))
    ledger.exposed([1, 2])
    engage(ledger, "clicked")
    ledger.discarded(1)
    only = ledger_with(decision(2))
    only.exposed([2])
    assert total(ledger) == total(only)
    assert ledger.models["m"].rewards.weight == 1.0
    assert ledger.models["m"].counts["clicked"] == 0.0


def test_an_inactive_decision_waits_for_its_activation() -> None:
    ledger = ledger_with(decision(active=False))
    ledger.exposed([1])
    assert ledger.models == {}
    ledger.activated(1)
    ledger.exposed([1])
    assert ledger.models["m"].rewards.weight == 1.0


def test_exposing_twice_counts_once() -> None:
    ledger = ledger_with(decision())
    ledger.exposed([1, 1])
    ledger.exposed([1])
    assert ledger.models["m"].rewards.weight == 1.0


def test_the_influence_of_one_user_is_bounded() -> None:
    ledger = ledger_with(*(decision(seq) for seq in range(1, 3_001)))
    ledger.exposed(range(1, 3_001))
    assert FULL < ledger.models["m"].rewards.weight < 2.1 * FULL
    others = ledger_with(*(decision(seq, bytes([seq % 256, seq // 256])) for seq in range(1, 501)))
    others.exposed(range(1, 501))
    assert others.models["m"].rewards.weight == 500.0


def test_an_outlandish_reward_is_cut() -> None:
    ledger = ledger_with(decision())
    ledger.exposed([1])
    engage(ledger, "rewarded", value=1e12)
    assert total(ledger) == 1_000.0


def test_a_ledger_survives_packing_and_goes_on_the_same() -> None:
    ledger = ledger_with(decision(1), decision(2, active=False))
    ledger.exposed([1])
    engage(ledger, "clicked")
    again = CreditLedger.unpack(ledger.pack())
    assert again.digest() == ledger.digest()
    assert again.pack() == ledger.pack()
    for one in (ledger, again):
        one.activated(2)
        one.exposed([2])
        engage(one, "converted")
    assert again.digest() == ledger.digest()


def test_publishing_is_worth_it_only_when_something_changed() -> None:
    ledger = ledger_with(*(decision(seq, bytes([seq % 250, seq // 250])) for seq in range(1, 1_002)))
    ledger.exposed(range(1, 1_001))
    model = ledger.models["m"]
    assert model.worth_publishing()
    model.changed = 0.0
    assert not model.worth_publishing()
    ledger.exposed([1_001])
    assert not model.worth_publishing()


def lost(ledger: CreditLedger) -> tuple[float, float]:
    """Losses and what they cost."""
    return sum(ledger.losses.losses), ledger.losses.lost


def test_an_unsubscribe_is_a_loss_of_what_the_tenant_says() -> None:
    ledger = ledger_with(decision())
    ledger.exposed([1])
    engage(ledger, "unsubscribed")
    assert lost(ledger) == (1.0, 5.0)
    assert sum(ledger.losses.sends) == 1.0


def test_a_loss_before_exposure_counts_at_exposure() -> None:
    ledger = ledger_with(decision())
    engage(ledger, "unsubscribed")
    assert lost(ledger) == (0.0, 0.0)
    ledger.exposed([1])
    assert lost(ledger) == (1.0, 5.0)


def test_a_given_negative_reward_is_a_loss_and_is_not_counted_twice() -> None:
    ledger = ledger_with(decision())
    ledger.exposed([1])
    engage(ledger, "rewarded", value=-20.0)
    engage(ledger, "unsubscribed")
    assert lost(ledger) == (1.0, 20.0)


def test_who_leaves_after_a_given_reward_is_lost_all_the_same() -> None:
    ledger = ledger_with(decision())
    ledger.exposed([1])
    engage(ledger, "rewarded", value=1.0)
    engage(ledger, "unsubscribed")
    assert lost(ledger) == (1.0, 5.0)
    assert total(ledger) == 1.0


def test_a_discarded_decision_takes_its_loss_along() -> None:
    ledger = ledger_with(decision())
    ledger.exposed([1])
    engage(ledger, "unsubscribed")
    ledger.discarded(1)
    assert lost(ledger) == (0.0, 0.0)
    assert sum(ledger.losses.sends) == 0.0


# -- nothing sent ----------------------------------------------------------------------------------------------------


def unsent(seq: int) -> OpenDecision:
    one = decision(seq, user=None)
    one.action = NOTHING_SENT
    return one


def test_what_comes_without_a_message_is_learned_beside_what_comes_with_one() -> None:
    ledger = ledger_with(unsent(1), decision(2, user=None))
    ledger.exposed([1, 2])
    engage(ledger, "converted")
    model = ledger.models["m"]
    assert (model.unsent.weight, model.unsent.total().scalars[3]) == (1.0, 5.0)
    assert (model.rewards.weight, model.rewards.total().scalars[3]) == (1.0, 0.0)
    assert model.counts == {"exposed": 1.0}, "events of who got nothing are none of the messages'"
    ledger.matured([1, 2])
    assert not model.unsent.waiting
    assert not model.rewards.waiting


def test_who_got_nothing_was_not_lost_by_it() -> None:
    ledger = ledger_with(unsent(1))
    ledger.exposed([1])
    engage(ledger, "unsubscribed")
    assert ledger.losses == CreditLedger().losses
    assert ledger.models["m"].harm == {}


def test_a_decision_not_to_send_can_be_discarded_and_kept() -> None:
    ledger = ledger_with(unsent(1), unsent(2))
    ledger.exposed([1, 2])
    again = CreditLedger.unpack(ledger.pack())
    assert again.pack() == ledger.pack()
    for one in (ledger, again):
        one.discarded(1)
    assert ledger.models["m"].unsent.weight == 1.0
    assert ledger.digest() == again.digest()


def test_what_is_over_counts_of_late_with_all_that_was_seen() -> None:
    ledger = ledger_with(decision(1), decision(2))
    engage(ledger, "clicked")
    ledger.exposed([1, 2])
    assert ledger.models["m"].lately == {}, "more of them may still be clicked"
    ledger.matured([1, 2])
    lately = ledger.models["m"].lately
    assert lately["clicked"] == pytest.approx(2.0 ** (-1 / 500))
    assert lately["exposed"] == pytest.approx(1.0 + 2.0 ** (-1 / 500))
    assert CreditLedger.unpack(ledger.pack()).models["m"].lately == lately


def test_what_counts_of_late_loses_half_its_weight_in_five_hundred_decisions() -> None:
    ledger = CreditLedger()
    for seq in range(1, 502):
        ledger.decided(decision(seq, user=None))
        if seq == 1:
            engage(ledger, "opened")
        ledger.exposed([seq])
        ledger.matured([seq])
    assert ledger.models["m"].lately["opened"] == pytest.approx(0.5)
    assert ledger.models["m"].counts == {"exposed": 501.0, "opened": 1.0}
