"""Customers in groups that marketers know: segments by recency, frequency and monetary value, and stages of a journey.

Segments: each of R, F and M is scored 1 (lowest fifth) to 5 among the customers given, by mid-ranks, so equals score equal
and customers who are all alike score 3 (Hughes 1994, "Strategic database marketing"); R and F name the segment.

Stages: what silence has left of the chance of a purchase within a quarter, relative to the day of the last purchase,

    warmth = P(some purchase in h | x, t_x, T) / P(some purchase in h | x, t_x, t_x),   h = 13 weeks

by BG/NBD. Unlike P(alive), which is 1 for who bought once, it falls with every week of silence, faster for who bought often.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from personalization.learning.bgnbd import BGNBD
from personalization.learning.buyer import Buyer
from personalization.learning.laplace import Array
from personalization.learning.purchases import History, Purchases

_FIFTHS, _QUARTER = 5, 13.0
#: Least warmth of who is active, and of who is at risk; below are the lapsed.
_ACTIVE, _AT_RISK = 0.5, 0.25


class Segment(StrEnum):
    CHAMPIONS = "champions"
    LOYAL = "loyal"
    POTENTIAL_LOYALISTS = "potential_loyalists"
    NEW = "new"
    PROMISING = "promising"
    NEED_ATTENTION = "need_attention"
    ABOUT_TO_SLEEP = "about_to_sleep"
    AT_RISK = "at_risk"
    CANNOT_LOSE = "cannot_lose"
    HIBERNATING = "hibernating"


class Stage(StrEnum):
    NEW = "new"
    ACTIVE = "active"
    WON_BACK = "won_back"
    AT_RISK = "at_risk"
    LAPSED = "lapsed"


#: By R (rows 1 to 5), then F (columns 1 to 5).
SEGMENTS = (
    (Segment.HIBERNATING, Segment.HIBERNATING, Segment.AT_RISK, Segment.AT_RISK, Segment.CANNOT_LOSE),
    (Segment.HIBERNATING, Segment.HIBERNATING, Segment.AT_RISK, Segment.AT_RISK, Segment.CANNOT_LOSE),
    (Segment.ABOUT_TO_SLEEP, Segment.ABOUT_TO_SLEEP, Segment.NEED_ATTENTION, Segment.LOYAL, Segment.LOYAL),
    (Segment.PROMISING, Segment.POTENTIAL_LOYALISTS, Segment.POTENTIAL_LOYALISTS, Segment.LOYAL, Segment.LOYAL),
    (Segment.NEW, Segment.POTENTIAL_LOYALISTS, Segment.POTENTIAL_LOYALISTS, Segment.CHAMPIONS, Segment.CHAMPIONS),
)


def rfm(past: History) -> npt.NDArray[np.int64]:
    """(n, 3) scores 1 to 5 of recency (5: bought last), frequency and monetary value. O(n log n)."""
    made = past.made
    return np.stack([_fifths(made.recency - made.age), _fifths(made.frequency), _fifths(past.monetary)], axis=1)


def segments(scores: npt.NDArray[np.int64]) -> list[Segment]:
    """Of each row of `rfm`."""
    return [SEGMENTS[r - 1][f - 1] for r, f in scores[:, :2].tolist()]


def cuts(values: Array) -> tuple[float, ...]:
    """The least value of each fifth but the first, infinite where a fifth has none, so that `fifth` scores later customers as
    `rfm` scores these."""
    distinct, place = np.unique(values, return_inverse=True)
    score = np.zeros(len(distinct), np.int64)
    score[place] = _fifths(values)
    return tuple(float(distinct[score >= least].min(initial=np.inf)) for least in range(2, _FIFTHS + 1))


def fifth(limits: tuple[float, ...], value: float) -> int:
    """1 to 5."""
    return 1 + bisect_right(limits, value)


def warmth(buying: BGNBD, made: Purchases) -> Array:
    """(n,) in 0 to 1; 1 on the day of a purchase."""
    then = Purchases(frequency=made.frequency, recency=made.recency, age=made.recency)
    return np.asarray(buying.some(made, _QUARTER) / buying.some(then, _QUARTER), np.float64)


def stages(buying: BGNBD, past: History) -> list[Stage]:
    """new: bought once, of late. won back: active, but was lapsed when they bought last."""
    lapsed_then = warmth(buying, _before_the_last(past)) < _AT_RISK
    return [
        _stage(warm, bool(again), bool(lapsed))
        for warm, again, lapsed in zip(warmth(buying, past.made).tolist(), past.made.frequency > 0.0, lapsed_then, strict=True)
    ]


def warmth_of(buyer: Buyer, x: float, t_x: float, age: float) -> float:
    """Of one customer."""
    return buyer.some(x, t_x, age, _QUARTER) / buyer.some(x, t_x, t_x, _QUARTER)


def stage_of(buyer: Buyer, x: float, t_x: float, age: float, pause: float) -> Stage:
    """Of one customer; pause: weeks between the last two purchases."""
    found = _stage(warmth_of(buyer, x, t_x, age), x > 0.0, False)
    if found is not Stage.ACTIVE:
        return found
    then = warmth_of(buyer, x - 1.0, t_x - pause if x > 1.0 else 0.0, t_x)
    return Stage.WON_BACK if then < _AT_RISK else found


def _stage(warm: float, again: bool, lapsed_then: bool) -> Stage:
    if warm < _ACTIVE:
        return Stage.AT_RISK if warm >= _AT_RISK else Stage.LAPSED
    if not again:
        return Stage.NEW
    return Stage.WON_BACK if lapsed_then else Stage.ACTIVE


def _before_the_last(past: History) -> Purchases:
    """As they stood when they bought last, that purchase not yet made."""
    x, t_x = past.made.frequency, past.made.recency
    before = np.maximum(x - 1.0, 0.0)
    return Purchases(frequency=before, recency=np.where(before > 0.0, t_x - past.pause, 0.0), age=t_x)


def _fifths(values: Array) -> npt.NDArray[np.int64]:
    return np.asarray(1 + (rankdata(values) - 0.5) * _FIFTHS // len(values), np.int64)
