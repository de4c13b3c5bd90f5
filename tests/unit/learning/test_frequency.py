import numpy as np
import pytest

from personalization.learning.frequency import LOADS, NO_BURDEN, Losses


def seen(rates: dict[int, tuple[int, int]], size: float = 20.0) -> Losses:
    """rates: load -> (sends, losses)"""
    losses = Losses()
    for load, (sends, lost) in rates.items():
        losses.sent(load, sends)
        for _ in range(lost):
            losses.changed(load, 1.0, 0.0, size)
    return losses


def test_before_a_few_losses_nothing_is_said() -> None:
    assert seen({0: (10_000, 4)}).burden({}) == NO_BURDEN
    assert seen({0: (10_000, 5)}).burden({}).known


def test_rates_are_found_and_never_fall_with_the_load() -> None:
    burden = seen({0: (5_000, 10), 3: (5_000, 8), 6: (5_000, 40), 9: (5_000, 38)}).burden({})
    assert list(burden.rates) == sorted(burden.rates)
    assert burden.rates[0] == pytest.approx(0.002, abs=0.0006)
    assert burden.rates[9] == pytest.approx(0.008, abs=0.001)
    assert burden.size == 20.0


def test_a_load_never_seen_is_believed_to_be_as_bad_as_those_below_it() -> None:
    burden = seen({0: (5_000, 10), 6: (5_000, 50)}).burden({})
    assert burden.loss(LOADS + 30) == burden.loss(LOADS - 1) >= burden.loss(6)


def test_one_more_message_is_worth_sending_while_the_week_gains() -> None:
    """Equation (1) by hand: gains of .4, .3, .2, .1 at loads 0 to 3 make weeks of .4, .6, .6, .4."""
    burden = seen({0: (10_000_000, 5)}).burden({})
    weeks = [burden.marginal(lambda load: 0.4 - 0.1 * load, load)[0] for load in range(4)]
    assert weeks == pytest.approx([0.4, 0.2, 0.0, -0.2], abs=1e-3)


def test_what_a_loss_costs_holds_messages_back() -> None:
    rates = {0: (5_000, 5), 4: (5_000, 5), 8: (5_000, 100)}
    dear, cheap = seen(rates, 20.0).burden({}), seen(rates, 0.1).burden({})
    assert dear.marginal(lambda load: 0.2, 8)[0] < 0.0 < cheap.marginal(lambda load: 0.2, 8)[0]


def test_a_loss_taken_back_leaves_no_trace() -> None:
    losses = seen({2: (100, 6)})
    losses.changed(2, 1.0, 0.0, 20.0)
    losses.changed(2, 1.0, 20.0, 0.0)
    assert losses.pack() == seen({2: (100, 6)}).pack()


def test_a_variant_that_drives_people_away_has_a_risk_of_its_own() -> None:
    burden = seen({0: (4_000, 40)}).burden({7: (30.0, 1_000.0), 8: (2.0, 1_000.0)})
    assert burden.risks[7] > 2.0
    assert burden.risks[8] < 0.6


def test_rates_lie_between_nothing_and_certainty_and_state_round_trips() -> None:
    rng = np.random.default_rng(3)
    losses = seen({load: (int(n), int(n * 0.3)) for load, n in enumerate(rng.integers(1, 50, LOADS))})
    burden = losses.burden({})
    assert all(0.0 <= rate <= 1.0 for rate in burden.rates)
    assert Losses.unpack(losses.pack()).burden({}) == burden
