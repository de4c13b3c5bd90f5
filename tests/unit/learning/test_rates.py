"""Gamma posteriors against closed forms and draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from personalization.learning.rates import Rate, chance_higher, decayed_time, settled


def test_of_two_exponentials_the_chance_is_their_exposures_share() -> None:
    assert chance_higher(Rate(1.0, 2.0), Rate(1.0, 6.0)) == pytest.approx(0.75)


@pytest.mark.parametrize(("one", "other"), [((3.0, 2.0), (5.0, 4.0)), ((0.5, 1.0), (30.0, 40.0)), ((12.0, 3.0), (9.0, 9.0))])
def test_the_chance_to_be_higher_agrees_with_draws(one: tuple[float, float], other: tuple[float, float]) -> None:
    rng, n = np.random.default_rng(3), 400_000
    drawn = (rng.gamma(one[0], 1.0 / one[1], n) > rng.gamma(other[0], 1.0 / other[1], n)).mean()
    assert chance_higher(Rate(*one), Rate(*other)) == pytest.approx(drawn, abs=3e-3)
    assert chance_higher(Rate(*one), Rate(*other)) + chance_higher(Rate(*other), Rate(*one)) == pytest.approx(1.0)


def test_an_interval_holds_ninety_five_of_a_hundred() -> None:
    rate = Rate(1.0, 1.0).after(7.0, 12.0)
    low, high = rate.interval
    assert rate.above(low) - rate.above(high) == pytest.approx(0.95)
    assert rate.above(high) == pytest.approx(0.025)
    assert rate.below(low) == pytest.approx(0.025)
    assert rate.mean == pytest.approx(8.0 / 13.0)


def test_a_silence_is_as_probable_as_the_mixture_of_exponentials_says() -> None:
    rate, rng = Rate(4.0, 9.0), np.random.default_rng(5)
    assert rate.none_in(3.0) == pytest.approx(np.exp(-3.0 * rng.gamma(4.0, 1.0 / 9.0, 200_000)).mean(), abs=2e-3)
    assert rate.none_in(0.0) == 1.0


def test_a_decayed_count_of_a_steady_rate_comes_to_the_decayed_time() -> None:
    ages = np.arange(0.0, 50.0, 1e-3)
    assert decayed_time(50.0, 7.0) == pytest.approx(float((2.0 ** (-ages / 7.0)).sum() * 1e-3), rel=1e-3)
    assert decayed_time(-1.0, 7.0) == 0.0
    assert decayed_time(1e6, 7.0) == pytest.approx(7.0 / math.log(2.0))


def test_doubt_about_a_rate_goes_as_events_come() -> None:
    gone = [settled(n) for n in (-1.0, 0.0, 1.0, 3.0, 99.0)]
    assert gone == sorted(gone)
    assert (gone[0], gone[-1]) == pytest.approx((0.0, 0.9))
