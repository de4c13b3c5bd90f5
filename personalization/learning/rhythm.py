"""Everybody's own rhythm: how surprising a silence, or a burst, is to someone of such gaps between active days.

Gaps of a person are Gamma of shape k, regular where k is large, as chance has it (Poisson) where k is 1, in bouts below, around
a mean of their own; over the people of a tenant, in weeks,

    gap ~ Gamma(k, k mu),   mu ~ Gamma(r, alpha),   k one of 1/2, 1, 2, 4, 8 with probabilities w_k               (1)

(gaps as Erlang: Chatfield and Goodhardt 1973; with regularity that differs by person: Platzer and Reutterer 2016, "Ticking away
the moments"). Estimated over everybody (empirical Bayes). With A = alpha / k, of n gaps with sum S and sum of logarithms L

    P(gaps | k) = A^r / Gamma(r) Gamma(r + k n) / (A + S)^(r + k n) exp((k - 1) L) / Gamma(k)^n                 (2)

which weighs the k of each person, and the next m gaps together last longer than s (compound gamma, Dubey 1970) with

    P(s) = sum over k of P(k | gaps) I(r + k n, k m; (A + S) / (A + S + s))                                     (3)

I the regularised incomplete beta function; for k = m = 1 it is Lomax's ((alpha + S) / (alpha + S + s))^(r + n). Who stops for good
is outside of (1): their silence is what is found. Of the gaps of people who keep their rhythm, a share q has a tail (3) below q.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp, psi
from scipy.special.cython_special import betainc

from personalization.errors import ArrayInvalid
from personalization.learning.laplace import Array, Fitted, Likelihood, most_likely

SHAPES = (0.5, 1.0, 2.0, 4.0, 8.0)
_K = np.array(SHAPES)
#: A shape less likely than this is passed over.
_LEAST = 1e-6


class Gaps(NamedTuple):
    """n gaps of one person: their number, sum (weeks) and sum of logarithms."""

    n: float
    total: float
    logs: float


class Rhythm(Fitted):
    """logs (6,) of r, alpha (weeks), and the odds of each shape above 1/2 to it."""

    @property
    def weights(self) -> Array:
        """(5,) probabilities of the shapes."""
        return _weights(self.logs[2:])


@dataclass(frozen=True, slots=True)
class Pulse:
    """A `Rhythm` for one person at a time, in plain floats. shapes: k, A, log(w_k A^r / Gamma(r)), log Gamma(k)."""

    r: float
    shapes: tuple[tuple[float, float, float, float], ...]

    @classmethod
    def of(cls, model: Rhythm) -> Pulse:
        r, alpha = np.exp(model.logs[:2]).tolist()
        return cls(
            r,
            tuple(
                (k, alpha / k, math.log(w) + r * math.log(alpha / k) - math.lgamma(r), math.lgamma(k))
                for k, w in zip(SHAPES, model.weights.tolist(), strict=True)
            ),
        )

    def longer(self, gaps: Gaps, m: float, weeks: float) -> float:
        """Equation (3): how likely the next m gaps last longer together. Some five microseconds."""
        if weeks <= 0.0:
            return 1.0
        return self._tail(gaps, m, weeks, longer=True)

    def shorter(self, gaps: Gaps, m: float, weeks: float) -> float:
        """1 less equation (3), exact where that is next to 1."""
        return self._tail(gaps, m, weeks, longer=False)

    def evidence(self, gaps: Gaps) -> float:
        """Logarithm of equation (2) over all shapes: of the gaps' density."""
        likely, most = self._likely(gaps)
        return math.log(sum(likely)) + most

    def _tail(self, gaps: Gaps, m: float, weeks: float, longer: bool) -> float:
        found, whole = 0.0, 0.0
        for (k, rest, _, _), weight in zip(self.shapes, self._likely(gaps)[0], strict=True):
            whole += weight
            if weight > _LEAST:
                kept, ahead, known = self.r + k * gaps.n, k * m, rest + gaps.total
                over = known + weeks
                found += weight * (betainc(kept, ahead, known / over) if longer else betainc(ahead, kept, weeks / over))
        return float(found / whole)

    def _likely(self, gaps: Gaps) -> tuple[list[float], float]:
        """Equation (2) of each shape times its w, over the largest of them, and the logarithm of that one."""
        (n, total, logs), r, lgamma, log, found = gaps, self.r, math.lgamma, math.log, []
        for k, rest, constant, log_gamma in self.shapes:
            kept = r + k * n
            found.append(constant + (k - 1.0) * logs - n * log_gamma + lgamma(kept) - kept * log(rest + total))
        most = max(found)
        return [math.exp(joint - most) for joint in found], most


def fit_rhythm(n: Array, total: Array, logs: Array) -> Rhythm:
    """n, total, logs (people,) as in `Gaps`; those without a gap say nothing. Raises ArrayInvalid. O(people) a step."""
    if not (np.isfinite(n).all() and np.isfinite(total).all() and np.isfinite(logs).all()) or (n < 0.0).any():
        raise ArrayInvalid("gaps", "hold a negative number, NaN or an infinity", "leave those people out")
    told = (n > 0.0) & (total > 0.0)
    if not told.any():
        raise ArrayInvalid("gaps", "are none: nobody was active on two days", "wait for people to come back")
    n, total, logs = n[told], total[told], logs[told]
    scales = np.array([1.0, float(total.sum() / n.sum()), *np.ones(len(SHAPES) - 1)])
    modes, covariance, value = most_likely(_likelihood(n, total, logs, np.log(scales)), scales)
    return Rhythm(logs=modes, covariance=covariance, log_likelihood=value)


def _likelihood(n: Array, total: Array, log_gaps: Array, scales: Array) -> Likelihood:
    """The logarithm of (2), mixed over k and summed over people, and its gradient in the logs."""
    count, fixed = n[:, None] * _K, log_gaps[:, None] * (_K - 1.0) - n[:, None] * gammaln(_K)

    def likelihood(u: Array) -> tuple[float, Array]:
        logs = u + scales
        (r, alpha), weights = np.exp(logs[:2]), _weights(logs[2:])
        rest, kept = alpha / _K, r + count
        known = np.log(rest + total[:, None])
        joint = np.log(weights) + r * np.log(rest) - gammaln(r) + gammaln(kept) - kept * known + fixed
        each = logsumexp(joint, axis=1)
        mine = np.exp(joint - each[:, None])
        by_r = mine * (np.log(rest) - psi(r) + psi(kept) - known)
        by_alpha = mine * (r - kept * rest / (rest + total[:, None]))
        odds = mine.sum(axis=0)[1:] - len(n) * weights[1:]
        return float(each.sum()), np.array([r * by_r.sum(), by_alpha.sum(), *odds])

    return likelihood


def _weights(odds: Array) -> Array:
    logs = np.concatenate([[0.0], odds])
    return np.asarray(np.exp(logs - logsumexp(logs)), np.float64)
