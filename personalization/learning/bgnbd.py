"""BG/NBD: how often customers buy until they stop for good (Fader, Hardie and Lee 2005, "Counting your customers the easy way").

While alive a customer buys at rate lambda a week, and after each purchase stops with chance p; over customers

    lambda ~ Gamma(r, alpha),   p ~ Beta(a, b)

From (x, t_x, T), see `learning.purchases`, the likelihood of one customer (the paper's equation 6) is

    L = G B [ (alpha + T)^-(r + x) + (x > 0) a / (b + x - 1) (alpha + t_x)^-(r + x) ]                           (1)
    G = Gamma(r + x) alpha^r / Gamma(r),   B = B(a, b + x) / B(a, b)

and given it, alive with the odds of the first summand to the second (Fader and Hardie 2008, "Computing P(alive)"),

    E[purchases in t] = P(alive) (a + b + x - 1) / (a - 1)
                        [1 - (1 + y)^(1 - a) F(a + b - r - 1, a - 1; a + b + x - 1; y / (1 + y))]               (2)
    P(some purchase in t) = P(alive) [1 - ((alpha + T) / (alpha + T + t))^(r + x)]                              (3)

with y = t / (alpha + T). (2) is the paper's equation 10 after Euler's transformation of Gauss's F, which takes x out of what
overflows. P(alive) is 1 for everybody without a repeat, whatever their silence: rank people by (2) or (3), not by it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit, gammaln, hyp2f1, psi

from personalization.errors import ArrayInvalid
from personalization.learning.laplace import Array, Fitted, Likelihood, most_likely
from personalization.learning.purchases import Purchases

#: How near to its removable pole at a = 1 equation (2) is evaluated.
POLE = 1e-6


class BGNBD(Fitted):
    """logs (4,) of r, alpha (weeks), a, b. All forecasts are (n,), for n customers, or (m, n) for t (m, 1) weeks."""

    @property
    def parameters(self) -> tuple[float, float, float, float]:
        """r, alpha (weeks), a, b"""
        r, alpha, a, b = np.exp(self.logs).tolist()
        return r, alpha, a, b

    def alive(self, made: Purchases) -> Array:
        """Probability that they will ever buy again; 1 without a repeat purchase."""
        x = made.frequency
        return np.where(x > 0.0, expit(-_log_odds_stopped(self.logs, made)), 1.0)

    def expected(self, made: Purchases, weeks: float | Array) -> Array:
        """Purchases in the coming weeks, equation (2)."""
        r, alpha, a, b = self.parameters
        mean = _while_alive(r + made.frequency, a, b + made.frequency, _checked(weeks) / (alpha + made.age))
        return np.asarray(self.alive(made) * mean, np.float64)

    def some(self, made: Purchases, weeks: float | Array) -> Array:
        """Probability of at least one purchase in the coming weeks, equation (3)."""
        ahead, x = _checked(weeks), made.frequency
        r, alpha, _, _ = self.parameters
        return np.asarray(-self.alive(made) * np.expm1(-(r + x) * np.log1p(ahead / (alpha + made.age))), np.float64)


def _while_alive(shape: Array, a: float, left: Array, share: Array) -> Array:
    """(2) without P(alive). shape: r + x, left: b + x, share: t / (alpha + T). Where F overflows, which takes an a in the
    hundreds, the chance to stop is taken for its mean, which it then lies next to."""
    below = a - 1.0 if abs(a - 1.0) > POLE else POLE
    with np.errstate(over="ignore", invalid="ignore"):
        inner = hyp2f1(a + left - 1.0 - shape, below, below + left, share / (1.0 + share))
        mean = (below + left) / below * (1.0 - (1.0 + share) ** -below * inner)
    stop = a / (a + left)
    middle = -np.expm1(-shape * np.log1p(stop * share)) / stop
    return np.asarray(np.where(np.isfinite(mean), np.clip(mean, 0.0, shape * share), middle), np.float64)


def fit_bgnbd(made: Purchases) -> BGNBD:
    """Raises ArrayInvalid without a customer, or if none has been one for any time. O(n) a step, over distinct customers."""
    if not len(made) or not made.age.max() > 0.0:
        raise ArrayInvalid("customers", "none was observed for any time", "end the observation after the first purchases")
    rows, counts = np.unique(np.stack([made.frequency, made.recency, made.age], axis=1), axis=0, return_counts=True)
    scales = np.array([1.0, float(made.age.mean()), 1.0, 1.0])
    logs, covariance, value = most_likely(_likelihood(rows, counts.astype(np.float64), np.log(scales)), scales)
    return BGNBD(logs=logs, covariance=covariance, log_likelihood=value)


class _Counted(NamedTuple):
    """Customers by frequency: what of (1) depends on x alone is summed over few values."""

    x: Array
    counts: Array


def _likelihood(rows: Array, counts: Array, scales: Array) -> Likelihood:
    """The logarithm of (1) over rows (n, 3) of (x, t_x, T), each `counts` (n,) times, and its gradient in the logs."""
    x, t_x, age = rows.T
    again = x > 0.0
    values, of = np.unique(x, return_inverse=True)
    by_x = _Counted(values, np.bincount(of, weights=counts).astype(np.float64))
    made = Purchases(frequency=x, recency=t_x, age=age)

    def likelihood(u: Array) -> tuple[float, Array]:
        logs = u + scales
        r, alpha = np.exp(logs[:2])
        odds = np.where(again, _log_odds_stopped(logs, made), -np.inf)
        tail = np.logaddexp(0.0, odds) - (r + x) * np.log(alpha + age)
        slopes = _factor_slopes(by_x, logs) + _tail_slopes(made, logs, counts, expit(odds))
        return _factors(by_x, logs) + float(counts @ tail), slopes * np.exp(logs)

    return likelihood


def _log_odds_stopped(logs: Array, made: Purchases) -> Array:
    """log of the second summand of (1) over the first; meaningless where x = 0."""
    _, alpha, a, b = np.exp(logs)
    x = made.frequency
    ratio = np.log((alpha + made.age) / (alpha + made.recency))
    return np.asarray(np.log(a / (b + np.maximum(x, 1.0) - 1.0)) + (np.exp(logs[0]) + x) * ratio, np.float64)


def _factors(by_x: _Counted, logs: Array) -> float:
    """log of G B, summed over customers."""
    (r, _, a, b), x = np.exp(logs), by_x.x
    g = gammaln(r + x) - gammaln(r) + r * logs[1]
    return float(by_x.counts @ (g + gammaln(a + b) - gammaln(a + b + x) + gammaln(b + x) - gammaln(b)))


def _factor_slopes(by_x: _Counted, logs: Array) -> Array:
    """(4,) derivatives of `_factors` in r, alpha, a, b."""
    (r, alpha, a, b), (x, counts) = np.exp(logs), by_x
    both, n = psi(a + b) - psi(a + b + x), counts.sum()
    return np.array(
        [counts @ (psi(r + x) - psi(r)) + n * logs[1], n * r / alpha, counts @ both, counts @ (both + psi(b + x) - psi(b))]
    )


def _tail_slopes(made: Purchases, logs: Array, counts: Array, stopped: Array) -> Array:
    """(4,) derivatives of the logarithm of (1)'s bracket, summed; stopped (n,): the second summand's share of it."""
    r, alpha, a, b = np.exp(logs)
    gone, left, x = counts * stopped, counts * (1.0 - stopped), made.frequency
    end, last = alpha + made.age, alpha + made.recency
    waited = left @ np.log(end) + gone @ np.log(last)
    rate = left @ ((r + x) / end) + gone @ ((r + x) / last)
    return np.array([-waited, -rate, gone.sum() / a, -(gone @ (1.0 / (b + np.maximum(x, 1.0) - 1.0)))])


def _checked(weeks: float | Array) -> Array:
    ahead = np.asarray(weeks, np.float64)
    if not (np.isfinite(ahead).all() and (ahead >= 0.0).all()):
        raise ArrayInvalid("weeks", "are negative or not finite", "give a horizon of 0 weeks or more")
    return ahead
