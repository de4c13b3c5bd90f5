"""Beta posteriors against closed forms, and the laws their probabilities keep."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from personalization.learning.proportions import Share, chance_to_differ, chances_to_be_largest, lifted, settled

UNIFORM = Share(1.0, 1.0)


def chance_larger(one: Share, other: Share) -> float:
    """P(one > other) for whole numbers: one beats by its a - 1 successes among all orders, summed exactly.

    P(X > Y) = sum_(i < a1) C(a2 + b2 - 1 ..)… in the form sum_i B(a2 + i, b1 + b2) / ((b1 + i) B(1 + i, b1) B(a2, b2)).
    """
    a, b, c, d = (int(value) for value in (*other, *one))

    def beta(x: int, y: int) -> Fraction:
        return Fraction(1, x * comb(x + y - 1, x))

    return float(sum(beta(a + i, b + d) / ((d + i) * beta(1 + i, d) * beta(a, b)) for i in range(c)))


@pytest.mark.parametrize(
    ("one", "other"), [((2, 3), (1, 4)), ((1, 1), (1, 1)), ((5, 20), (20, 5)), ((200, 300), (210, 290)), ((2, 2), (900, 300))]
)
def test_the_chance_to_be_larger_is_the_closed_form(one: tuple[int, int], other: tuple[int, int]) -> None:
    shares = [Share(*map(float, one)), Share(*map(float, other))]
    assert chances_to_be_largest(shares)[0] == pytest.approx(chance_larger(*shares), abs=2e-4)


def test_chances_to_be_largest_sum_to_one_and_equals_share_alike() -> None:
    alike = chances_to_be_largest([Share(3.0, 7.0)] * 4)
    assert alike == pytest.approx([0.25] * 4)
    mixed = chances_to_be_largest([Share(0.12, 3.88), Share(40.0, 60.0), Share(2.0, 6.0), Share(1.0, 3.0)])
    assert sum(mixed) == pytest.approx(1.0)
    assert chances_to_be_largest([UNIFORM]) == [1.0]


def test_of_three_it_agrees_with_draws() -> None:
    shares = [Share(4.0, 9.0), Share(3.0, 5.0), Share(10.0, 30.0)]
    rng = np.random.default_rng(1)
    drawn = np.stack([rng.beta(share.a, share.b, 400_000) for share in shares])
    assert chances_to_be_largest(shares) == pytest.approx(np.bincount(drawn.argmax(axis=0)) / 400_000, abs=3e-3)


def test_an_interval_holds_ninety_five_of_a_hundred() -> None:
    share = Share(1.0, 3.0).after(12.5, 40.0)
    low, high = share.interval
    assert share.between(low, high) == pytest.approx(0.95)
    assert share.between(0.0, low) == pytest.approx(0.025)
    assert share.mean == pytest.approx(13.5 / 44.0)


def test_more_hits_than_trials_are_taken_for_trials() -> None:
    assert UNIFORM.after(3.0, 1.0) == Share(4.0, 1.0)
    assert UNIFORM.after(-1e-12, -1e-12) == UNIFORM


def test_doubt_goes_as_evidence_comes() -> None:
    prior = Share(1.0, 3.0)
    for rate in (0.0, 0.1, 0.5, 0.9, 1.0):
        gone = [settled(prior, prior.after(rate * n, n)) for n in (0.0, 1.0, 4.0, 16.0, 64.0, 1e4)]
        assert gone == sorted(gone)
        assert gone[0] == 0.0
        assert gone[-1] > 0.95


def test_whether_shares_differ_is_jeffreys_answer() -> None:
    """3 of 4 against 0 of 4, uniform prior: B(4, 2) B(1, 5) / B(4, 6) by hand."""
    apart = (1 / 20) * (1 / 5) / (1 / 504)
    assert chance_to_differ([(3.0, 4.0), (0.0, 4.0)], UNIFORM) == pytest.approx(apart / (1.0 + apart))


def test_nothing_known_differs_with_one_half_and_alike_ever_less() -> None:
    assert chance_to_differ([(0.0, 0.0), (0.0, 0.0)], UNIFORM) == pytest.approx(0.5)
    alike = [chance_to_differ([(n / 4, n), (n / 4, n)], UNIFORM) for n in (4.0, 40.0, 400.0)]
    assert alike == sorted(alike, reverse=True)
    assert alike[-1] < 0.1
    assert chance_to_differ([(90.0, 100.0), (10.0, 100.0)], UNIFORM) > 0.999


def test_a_probability_is_lifted_from_where_it_was() -> None:
    assert [lifted(p, 0.5) for p in (0.2, 0.5, 0.75, 1.0)] == [0.0, 0.0, 0.5, 1.0]
