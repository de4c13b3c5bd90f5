"""Shadow prices of budgets: what is solved from past decisions, and what single decisions earn by it where the truth is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from personalization.clock import DAY, HOUR
from personalization.models.prices import MICRO, MOST
from personalization.operations.budgets import coming, due, shadow_prices
from personalization.tenant import Budget, TenantConfig
from tests.unit.operations.budgeted import BUDGETS, LIMIT, MIDNIGHT, World, best, earned

# -- the prices of one solve -----------------------------------------------------------------------------------------


def test_a_price_is_what_the_first_one_left_out_would_have_brought() -> None:
    worth = [{"sms": gain, "email": 0.1} for gain in np.linspace(0.11, 1.1, 100)]
    prices = shadow_prices(worth, {"sms": 20.0})
    assert prices["sms"] == pytest.approx(worth[79]["sms"] - 0.1, abs=0.011)
    assert prices["email"] == 0.0


def test_what_nobody_runs_out_of_costs_nothing_and_what_is_gone_costs_the_most() -> None:
    worth = [{"sms": 0.5, "push": 0.4}] * 50
    assert shadow_prices(worth, {"sms": 50.0}) == {"push": 0.0, "sms": 0.0}
    assert shadow_prices(worth, {"sms": 0.0}) == {"push": 0.0, "sms": MOST / MICRO}
    assert shadow_prices([], {"sms": 9.0, "voice": 0.0}) == {"sms": 0.0, "voice": MOST / MICRO}


def test_two_scarce_channels_have_prices_of_their_own() -> None:
    rng = np.random.default_rng(3)
    worth = [dict(zip(("email", "push", "sms"), row, strict=True)) for row in rng.random((1_000, 3))]
    prices = shadow_prices(worth, {"sms": 100.0, "push": 200.0})
    names = sorted(prices)
    net = np.array([[one[name] - prices[name] for name in names] for one in worth])
    chosen = Counter(names[i] for i in net.argmax(axis=1))
    assert prices["sms"] > prices["push"] > prices["email"] == 0.0
    assert (chosen["sms"], chosen["push"]) == (pytest.approx(100, abs=5), pytest.approx(200, abs=5))


# -- what is still to come -------------------------------------------------------------------------------------------


def counted(rates: dict[int, float]) -> Callable[[int, int], int]:
    """Decisions between two instants. rates : by the hour, from MIDNIGHT on and before"""

    def count(since: int, until: int) -> int:
        hours = range((since - MIDNIGHT) // HOUR, (until - MIDNIGHT) // HOUR)
        return round(sum(rates.get(hour, 0.0) for hour in hours))

    return count


def test_the_rest_of_a_period_is_as_that_of_the_one_before_by_how_this_one_compares() -> None:
    yesterday = {hour - 24: 10.0 if hour < 12 else 90.0 for hour in range(24)}
    today = {hour: 2 * yesterday[hour - 24] for hour in range(6)}
    found = coming(counted({**yesterday, **today}), (MIDNIGHT, MIDNIGHT + DAY), MIDNIGHT + 6 * HOUR, MIDNIGHT - 30 * DAY)
    rest = 6 * 10 + 12 * 90
    assert found == pytest.approx(rest * (120 + 120) / (60 + 120))


def test_without_a_period_before_the_rate_so_far_goes_on() -> None:
    count = counted(dict.fromkeys(range(-2, 6), 30.0))
    found = coming(count, (MIDNIGHT, MIDNIGHT + DAY), MIDNIGHT + 6 * HOUR, MIDNIGHT - 2 * HOUR)
    assert found == pytest.approx(18 * 30)


def test_a_burst_in_the_first_minute_is_not_taken_for_the_rate_of_a_day() -> None:
    found = coming(lambda since, until: 500, (MIDNIGHT, MIDNIGHT + DAY), MIDNIGHT + 12 * HOUR, MIDNIGHT + 12 * HOUR - 1)
    assert found == 500 * 12


def test_prices_are_due_after_an_hour_or_a_24th_of_the_period_and_when_one_ends() -> None:
    day, week = Budget(channel="sms", limit=1, period=DAY), Budget(channel="sms", limit=1, period=7 * DAY)
    short = Budget(channel="push", limit=1, period=2 * HOUR)
    config = TenantConfig(budgets=(day, week), timezone="Asia/Kathmandu")
    assert due(config, MIDNIGHT) == MIDNIGHT + HOUR
    assert due(config, MIDNIGHT + 18 * HOUR) == MIDNIGHT + 18 * HOUR + HOUR // 4
    assert due(TenantConfig(budgets=(day, short)), MIDNIGHT) == MIDNIGHT + HOUR // 12


# -- in a world whose truth is known ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_ten_thousand_decisions_at_prices_come_close_to_the_best_in_hindsight_and_beat_first_come_first_served(seed: int) -> None:
    world = World(seed)
    world.service.patch_config({"budgets": BUDGETS})
    plans, at_prices = world.day(1)
    world.service.patch_config({"budgets": None})
    same, first_come = world.day(2, sms=LIMIT)
    world.close()
    steered, served = (earned(plans, sent) / best(plans) for sent in (at_prices, first_come))
    assert (same == plans).all()
    assert at_prices.count("sms") == pytest.approx(LIMIT, rel=0.02)
    assert first_come.count("sms") == pytest.approx(LIMIT, rel=0.05)
    assert steered > 0.98
    assert steered > served + 0.15
