"""Do a person's engagements stand out in some hours or days, beyond when messages reached them?

H0: each of N engagements falls in cell w of the week with the chance q_w that the sends let expect. An answer comes some
time after its send, and some engagement comes by itself, so that q is, for one of a few lags l and loose shares e,

    q = (1 - e) (sends after a lag that is exponential with mean l) + e / 168           (1)

or, as where no sends are known, even over the week. H1: for some window of the day or the week the chance p to fall inside
is larger than q, the sum of q_w over the window; a priori p ~ Beta(c q, c (1 - q)), p > q. With k engagements inside

    BF = B(k + cq, N - k + c(1-q)) / (B(cq, c(1-q)) q^k (1-q)^(N-k))  P(p > q | k, N) / P(p > q)       (2)

(Good 1967, "A Bayesian significance test for multinomial distributions", in two cells and one-sided). As in the Bayesian
scan of Neill, Moore and Cooper 2006 ("A Bayesian spatial scan statistic") the windows of a family share its prior, so many
windows cost what they should; lags, loose shares and c are averaged over. The four families have a prior chance of 1/2
together. By Markov's inequality a Bayes factor reaches B under H0, as averaged here, with a chance of at most 1 / B: "found"
at 0.95 errs in at most 1 of 19, and in far fewer for decayed counts, each weighing less than one. Nothing is drawn at random.

Where all sends leave at one hour, a taste for the hours after it and a slow answer look alike, and it is taken for the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaln, expit, gammaln, logsumexp, softmax

from personalization.learning.week import CELLS, DAY_HOURS

Array = npt.NDArray[np.float64]

#: (1): hours, and shares. So many and so far apart that no lag seen in practice looks like a taste for some hour.
_LAGS, _LOOSE = (0.02, 0.2, 0.5, 2.0, 6.0), (0.01, 0.1, 0.5)
#: c of (2), in engagements.
_CONCENTRATIONS = np.array([2.0, 8.0])[:, None, None]
#: Of the hours' distribution by which lags are judged.
_HOURS_CONCENTRATION = 24.0
_LEAST, _NEVER = 1e-9, 1e-300
_DAYS = 7


class Window(NamedTuple):
    """length cells on a circle from start: hours of the day, or days of the week."""

    start: int
    length: int


class Peak(NamedTuple):
    """The window of a family that stands out most.

    probability : that some window of the family does        share : of the engagements, inside
    usual       : the share that the sends let expect
    """

    window: Window
    probability: float
    share: float
    usual: float


class Peaks(NamedTuple):
    """probability: that anything stands out, 1/2 before any data. expected (168,): share of the engagements by hour of
    week, as the sends let expect."""

    probability: float
    families: Mapping[str, Peak]
    expected: Array


class _Family(NamedTuple):
    """inside (m, 168): 1 where a cell lies in the window."""

    windows: tuple[Window, ...]
    inside: Array


def peaks(engaged: Mapping[int, float], sent: Mapping[int, float]) -> Peaks:
    """Counts by local hour of week 0..167, decayed alike. Some 8 ms."""
    counts, usual = _dense(engaged), _usual(_dense(sent))
    expected = softmax(_log_likelihoods(counts, usual)) @ usual
    factors = {name: _log_factors(family, counts, usual) for name, family in FAMILIES.items()}
    odds = {name: float(logsumexp(each) - np.log(len(each) * len(FAMILIES))) for name, each in factors.items()}
    found = {name: _peak(FAMILIES[name], counts, expected, int(np.argmax(each)), odds[name]) for name, each in factors.items()}
    return Peaks(float(expit(logsumexp(list(odds.values())))), found, np.asarray(expected))


def _peak(family: _Family, counts: Array, expected: Array, best: int, odds: float) -> Peak:
    inside, total = family.inside[best], max(float(counts.sum()), _LEAST)
    return Peak(family.windows[best], float(expit(odds)), float(inside @ counts) / total, float(inside @ expected))


def _usual(sent: Array) -> Array:
    """(s, 168): equation (1), each lag and loose share, and the even week."""
    even = np.full((1, CELLS), 1.0 / CELLS)
    if not sent.any():
        return even
    later = [_later(sent / sent.sum(), lag) for lag in _LAGS]
    return np.concatenate([even, *([(1.0 - loose) * q[None] + loose * even for q in later for loose in _LOOSE])])


def _later(shares: Array, lag: float) -> Array:
    """Each after its lag, on the circle of the week. Within their hour sends are spread evenly, so that the answer falls in
    the same hour with the chance 1 - l d, and l d^2 exp(-(m - 1) / l) in the m-th after it, d = 1 - exp(-1 / l)."""
    d = -np.expm1(-1.0 / lag)
    kernel = lag * d * d * np.exp(-(np.arange(CELLS) - 1.0) / lag)
    kernel[0] = 1.0 - lag * d
    moved = np.fft.irfft(np.fft.rfft(shares) * np.fft.rfft(kernel / kernel.sum()), CELLS)
    return np.asarray(np.maximum(moved, 0.0))


def _log_factors(family: _Family, counts: Array, usual: Array) -> Array:
    """(m,) logarithm of (2) by window, averaged over usual (s, 168) and c."""
    q = np.clip(family.inside @ usual.T, _LEAST, 1.0 - _LEAST)
    k, total = (family.inside @ counts)[:, None], counts.sum()
    a, b = _CONCENTRATIONS * q, _CONCENTRATIONS * (1.0 - q)
    more, less = a + k, b + (total - k)
    larger = np.log(np.maximum(betainc(less, more, 1.0 - q), _NEVER)) - np.log(betainc(b, a, 1.0 - q))
    apart = logsumexp(betaln(more, less) - betaln(a, b) + larger, axis=(0, 2)) - np.log(len(_CONCENTRATIONS))
    return np.asarray(apart - logsumexp(k * np.log(q) + (total - k) * np.log1p(-q), axis=1))


def _log_likelihoods(counts: Array, usual: Array) -> Array:
    """(s,) of the hours of the day, Dirichlet-multinomial about each q, so that a peak may stand beside the lag."""
    n, q = counts.reshape(_DAYS, DAY_HOURS).sum(axis=0), usual.reshape(-1, _DAYS, DAY_HOURS).sum(axis=1)
    c = _HOURS_CONCENTRATION * np.maximum(q, _LEAST)
    return np.asarray((gammaln(c + n) - gammaln(c)).sum(axis=1))


def _dense(counts: Mapping[int, float]) -> Array:
    dense = np.zeros(CELLS)
    for w, weight in counts.items():
        dense[w] = max(weight, 0.0)
    return dense


def _family(windows: Iterable[Window], hours: bool) -> _Family:
    """Windows of hours of the day, or of days of the week."""
    kept = tuple(windows)
    cells = np.arange(CELLS) % DAY_HOURS if hours else np.arange(CELLS) // DAY_HOURS
    period = DAY_HOURS if hours else _DAYS
    return _Family(kept, np.array([(cells - w.start) % period < w.length for w in kept], np.float64))


#: hour_of_day: any window of these lengths. part_of_day: night, morning, afternoon, evening. kind_of_day: weekend, working days.
FAMILIES: Mapping[str, _Family] = {
    "hour_of_day": _family((Window(h, n) for n in (1, 2, 3, 4, 6, 8, 12) for h in range(DAY_HOURS)), hours=True),
    "part_of_day": _family((Window(h, 6) for h in (0, 6, 12, 18)), hours=True),
    "day_of_week": _family((Window(d, 1) for d in range(_DAYS)), hours=False),
    "kind_of_day": _family((Window(5, 2), Window(0, 5)), hours=False),
}
