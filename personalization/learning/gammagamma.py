"""Gamma-gamma: how much customers spend a purchase (Fader and Hardie 2013, "The gamma-gamma model of monetary value").

Amounts of a customer are Gamma(p, nu) around a mean of their own, p / nu; over customers nu ~ Gamma(q, v). The mean m of x
purchases has the density (the note's equation 1a)

    f(m | x) = Gamma(p x + q) / (Gamma(p x) Gamma(q)) v^q m^(p x - 1) x^(p x) / (x m + v)^(p x + q)            (1)

and the customer's own mean is expected to be (its equation 5)

    E[M | m, x] = p (v + x m) / (p x + q - 1)                                                                   (2)

of anybody p v / (q - 1), which is why q stays above 1. Frequency and amount are taken to be independent.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, psi

from personalization.errors import ArrayInvalid
from personalization.learning.laplace import Array, Fitted, Likelihood, most_likely


class GammaGamma(Fitted):
    """logs (3,) of p, q - 1, v (in units of the amounts)."""

    @property
    def parameters(self) -> tuple[float, float, float]:
        """p, q, v"""
        p, above, v = np.exp(self.logs).tolist()
        return p, 1.0 + above, v

    def expected(self, frequency: Array, monetary: Array) -> Array:
        """(n,) mean amounts of future purchases, equation (2); of customers without a repeat, the population's mean."""
        x, m = _checked(frequency, monetary)
        p, q, v = self.parameters
        return np.asarray(p * (v + x * m) / (p * x + q - 1.0), np.float64)


def fit_gammagamma(frequency: Array, monetary: Array) -> GammaGamma:
    """From those with a repeat purchase of any worth; frequency, monetary (n,) as in `learning.purchases`. Raises ArrayInvalid
    if nobody has one."""
    x, m = _checked(frequency, monetary)
    spent = (x > 0.0) & (m > 0.0)
    if not spent.any():
        raise ArrayInvalid(
            "monetary", "holds no repeat purchase of any worth", "wait for repeat purchases, or give amounts above 0"
        )
    x, m = x[spent], m[spent]
    scales = np.array([1.0, 1.0, float(m.mean())])
    logs, covariance, value = most_likely(_likelihood(x, m, np.log(scales)), scales)
    return GammaGamma(logs=logs, covariance=covariance, log_likelihood=value)


def _likelihood(x: Array, m: Array, scales: Array) -> Likelihood:
    """The logarithm of (1) over customers, and its gradient in the logs of p, q - 1 and v."""
    total, log_total, log_m, n = x * m, np.log(x * m), float(np.log(m).sum()), len(x)

    def likelihood(u: Array) -> tuple[float, Array]:
        logs = u + scales
        p, above, v = np.exp(logs)
        q, shape, joint = 1.0 + above, p * x, p * x + 1.0 + above
        log_rest = np.log(total + v)
        common = psi(joint) - log_rest
        value = gammaln(joint) - gammaln(shape) - gammaln(q) + q * logs[2] + shape * log_total - joint * log_rest
        slopes = (
            x @ (common - psi(shape) + log_total),
            common.sum() + n * (logs[2] - psi(q)),
            n * q / v - (joint / (total + v)).sum(),
        )
        return float(value.sum()) - log_m, np.array(slopes) * (p, above, v)

    return likelihood


def _checked(frequency: Array, monetary: Array) -> tuple[Array, Array]:
    for name, values in (("frequency", frequency), ("monetary", monetary)):
        if not (np.isfinite(values).all() and (values >= 0.0).all()):
            raise ArrayInvalid(name, "holds a negative number, NaN or an infinity", "leave returns and broken rows out")
    if frequency.shape != monetary.shape:
        raise ArrayInvalid("frequency, monetary", "differ in length", "give one of each a customer")
    return frequency, monetary
