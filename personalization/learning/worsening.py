"""Whether a model loses more than when it was taught, judged on rows it meets after that (prequential: each row is predicted
before it may teach; Gama, Sebastiao and Rodrigues 2013, "On evaluating stream learning algorithms").

Let L be the mean loss of the n newer rows and M, with standard error s, that of the m rows held out at training. Two answers:

    one look    L - M - t sqrt(e^2 + s^2) > 0                                                 (Welch 1947)
    always      n (L - M) > u(n^2 (e^2 + s^2)),  u(v) = sqrt(2 (v + r) ln(1 + sqrt((v + r) / r) / (2 a)))

with e the standard error of L, rows of one person being one (`intervals`). u is the one-sided normal mixture boundary (Howard,
Ramdas, McAuliffe and Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences", eq. 14), with an estimated
variance (Waudby-Smith et al. 2024, "Time-uniform central limit theory"): a sum without drift and of variance v ever gets over it
with probability a at most, so it may be looked at after every row. It is meant for independent rows. What a person's rows, or
all rows by the error of M, have in common makes the sum at one time more like that at another than in the case it is made for,
and so less likely to get over it (Slepian 1962). r is set once, by m and s, and makes it lowest after about m rows.

A model that gets worse late would be shielded by its good past. So such a sum begins anew every m rows, the k-th (from 1) with a
probability of 1 / (k (k + 1)) of what is allowed in all, which is a sum of 1; the last RECENT of them are looked at.
Losses are in any one unit (nats, squared error).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from personalization.errors import ArrayInvalid
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.intervals import standard_error

Level = Literal["steady", "shifting", "drifted"]

#: Of models that do not get worse: how many ever raise an alarm, and how many a single look calls shifting.
FALSE_ALARMS = 0.01
#: People before whom no mean is judged.
FEWEST = 30
#: Sums begun that are looked at.
RECENT = 20
#: Of a mean; below it lies no difference.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Loss:
    """Mean loss of rows, its standard error (rows of a person together), deviation of a row, and how many of either."""

    mean: float
    standard_error: float
    deviation: float
    rows: int
    people: int


@dataclass(frozen=True, kw_only=True)
class Worsening:
    """then, now : mean loss held out at training, and of as many of the latest rows
    rise      : 99 % lower bound of now - then, valid for a single look
    always    : the same since row `since`, valid at all looks together; -inf while there are too few people
    people    : in the latest rows
    """

    then: float
    now: float
    rise: float
    always: float
    since: int
    people: int

    @property
    def alarm(self) -> bool:
        return self.always > 0.0

    @property
    def level(self) -> Level:
        return "drifted" if self.alarm else "shifting" if self.rise > 0.0 else "steady"

    @property
    def sentence(self) -> str:
        if max(self.rise, self.always) == -math.inf:
            return f"The loss is not judged yet: {self.people} people, at least {FEWEST} are needed then and now."
        return f"The loss is {self.level}: {self.then:.4g} held out, {self.now:.4g} of the latest rows. {_ADVICE[self.level]}"


_ADVICE: dict[Level, str] = {
    "steady": "Nothing to do.",
    "shifting": "One look says so, chance may too: look at the columns.",
    "drifted": "Retrain, on rows of late.",
}


def loss(losses: Array, clusters: IntArray | None = None) -> Loss:
    """losses (n,)    clusters (n,): rows of one number are one person's. Raises ArrayInvalid. O(n log n)."""
    return _latest(losses, _people(losses, clusters), 0)


def worsening(then: Loss, losses: Array, clusters: IntArray | None = None) -> Worsening:
    """losses (n,) of all rows since the model was taught, in order of time; otherwise as `loss`. O(RECENT^2 m log m)."""
    people = _people(losses, clusters)
    starts = range(0, len(losses), then.rows)[-RECENT:]
    bounds = {start: _always(then, _latest(losses, people, start), start // then.rows + 1) for start in starts}
    since = max(bounds, key=lambda start: bounds[start])
    now = _latest(losses, people, max(len(losses) - then.rows, 0))
    return Worsening(then=then.mean, now=now.mean, rise=_once(then, now), always=bounds[since], since=since, people=now.people)


def _latest(losses: Array, people: IntArray, start: int) -> Loss:
    mine, clusters = losses[start:], people[start:]
    met = int(np.count_nonzero(np.bincount(clusters)))
    return Loss(float(mine.mean()), standard_error(mine, clusters), float(mine.std()), len(mine), met)


def _once(then: Loss, now: Loss) -> float:
    """Welch's lower bound of the rise."""
    if min(then.people, now.people) < FEWEST:
        return -math.inf
    a, b = _variances(then, now)
    freedom = (a + b) ** 2 / max(a**2 / (then.people - 1) + b**2 / (now.people - 1), 1e-300)
    return now.mean - then.mean + float(stdtrit(max(freedom, 1.0), FALSE_ALARMS)) * math.sqrt(a + b)


def _always(then: Loss, now: Loss, k: int) -> float:
    """The lower bound of the rise by the k-th sum."""
    if min(then.people, now.people) < FEWEST:
        return -math.inf
    known, own = _variances(then, now)
    best, a = 2.0 * (then.rows * then.standard_error) ** 2, FALSE_ALARMS / (k * (k + 1))
    return now.mean - then.mean - _boundary(now.rows**2 * (own + known), best, a) / now.rows


def _variances(then: Loss, now: Loss) -> tuple[float, float]:
    """s^2 and e^2, neither below what the other's rows would say: a few alike rows, or a mean low for want of the large losses,
    know too little of their own spread. Nor is rounding a rise."""
    known = max(then.standard_error**2, now.deviation**2 / then.rows, (_ROUNDING * then.mean) ** 2)
    return known, max(now.standard_error**2, then.deviation**2 / now.rows)


def _boundary(v: float, best: float, a: float) -> float:
    """u(v), lowest near v = best (Howard et al. 2021, section 3.5, for a probability of 2 a on both sides)."""
    log = 2.0 * math.log(1.0 / (2.0 * a))
    r = max(best / (log + math.log1p(log)), 1e-300)
    return math.sqrt(2.0 * (v + r) * math.log1p(math.sqrt((v + r) / r) / (2.0 * a)))


def _people(losses: Array, clusters: IntArray | None) -> IntArray:
    """(n,) from 0 on, each row a person of its own where there are no clusters."""
    if not len(losses) or losses.ndim != 1 or not np.isfinite(losses).all():
        raise ArrayInvalid("losses", "are none, not finite or not one a row", "give one finite loss a row")
    if clusters is not None and len(clusters) != len(losses):
        raise ArrayInvalid("clusters", "are not one a row", "give the number of each row's person")
    return np.arange(len(losses)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
