"""Rates of events as Gamma posteriors: whether one is higher than another, whether a silence is longer than usual.

k events in an exposure x (sends, days) under a prior Gamma(s, r) leave Gamma(s + k, r + x). Decayed counts enter with
decayed exposures, as in `learning.proportions`.
"""

from __future__ import annotations

from math import exp, log, log1p, sqrt
from typing import NamedTuple

from scipy.special import betainc, gammainc, gammaincc, gammaincinv

_TAIL = 0.025
_LN2 = log(2.0)


class Rate(NamedTuple):
    """Gamma(shape, exposure): mean shape / exposure."""

    shape: float
    exposure: float

    def after(self, events: float, exposure: float) -> Rate:
        """The posterior of which this is the prior."""
        return Rate(self.shape + max(events, 0.0), self.exposure + max(exposure, 0.0))

    @property
    def mean(self) -> float:
        return self.shape / self.exposure

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, as much left out below as above."""
        low, high = (float(gammaincinv(self.shape, tail)) / self.exposure for tail in (_TAIL, 1.0 - _TAIL))
        return low, high

    def above(self, rate: float) -> float:
        """Chance that the rate is higher than that."""
        return float(gammaincc(self.shape, self.exposure * rate))

    def below(self, rate: float) -> float:
        return float(gammainc(self.shape, self.exposure * rate))

    def none_in(self, exposure: float) -> float:
        """Predictive chance of no event in so much more: (r / (r + x))^s, Lomax."""
        return exp(-self.shape * log1p(max(exposure, 0.0) / self.exposure))


def chance_higher(one: Rate, other: Rate) -> float:
    """P(one > other): of X ~ Gamma(s, 1), Y ~ Gamma(t, 1), X / (X + Y) is Beta(s, t)."""
    return float(betainc(other.shape, one.shape, other.exposure / (one.exposure + other.exposure)))


def decayed_time(age: float, half_life: float) -> float:
    """What a decayed count of a rate 1 comes to over `age`, in its unit: the integral of 2^(-t / half_life).

    >>> round(decayed_time(1e9, 7.0), 2)
    10.1
    """
    return half_life / _LN2 * (1.0 - exp(-_LN2 * max(age, 0.0) / half_life))


def settled(events: float) -> float:
    """How much of the doubt about a rate so many events took, 0..1: its coefficient of variation falls from 1, that of a
    prior worth one event, to 1 / sqrt(1 + events).

    >>> settled(0.0), settled(3.0)
    (0.0, 0.5)
    """
    return 1.0 - 1.0 / sqrt(1.0 + max(events, 0.0))
