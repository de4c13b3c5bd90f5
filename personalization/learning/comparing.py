"""Champion and challenger on the same rows: whether the challenger may take the champion's place.

Each row's improvement is the champion's loss less the challenger's. Its mean has the 95 % interval of `intervals` (1), rows of
one person together. Against a margin, a share of the champion's mean loss that nobody would notice (non-inferiority, ICH E9):

    worse      high < 0
    better     low > 0
    not worse  low >= - margin
    thin       anything else: the challenger may be worse by more than the margin, and may be better; or too few people

Of fewer than FEW people whose losses differ no interval can be trusted to tell better from worse, only how much it can matter.
Rows must be new to both, as for `worsening`. Better and not worse may be promoted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from personalization.errors import ArrayInvalid
from personalization.learning.evaluation import LEAST_EFFECTIVE, Array, IntArray
from personalization.learning.intervals import FEW, effective_sample_size, skewed

Verdict = Literal["better", "not worse", "worse", "thin"]

#: Share of the champion's mean loss that a challenger may be worse by.
MARGIN = 0.01


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """champion, challenger : mean losses    low, high : 95 % of champion - challenger    margin : in units of the loss
    people : evenly frequent people who would say as much (Kish)
    """

    champion: float
    challenger: float
    low: float
    high: float
    margin: float
    people: float
    verdict: Verdict

    @property
    def improvement(self) -> float:
        return self.champion - self.challenger

    @property
    def promotes(self) -> bool:
        return self.verdict in ("better", "not worse")

    @property
    def sentence(self) -> str:
        found = f"{self.improvement:+.4g} (95 % {self.low:+.4g} to {self.high:+.4g}) of a loss of {self.champion:.4g}"
        return f"The challenger is {_WORDS[self.verdict]}: improvement {found}, {self.people:,.0f} people."


_WORDS: dict[Verdict, str] = {
    "better": "better, promote it",
    "not worse": "not worse, it may be promoted",
    "worse": "worse, keep the champion",
    "thin": "not judged yet, keep the champion and collect more rows",
}


def compared(
    champion: Array, challenger: Array, clusters: IntArray | None = None, *, margin: float = MARGIN, least: float = LEAST_EFFECTIVE
) -> Comparison:
    """champion, challenger (n,) losses of the same rows    clusters (n,): rows of one number are one person's

    margin : share of the champion's mean loss    least : people below whom it is thin.    Raises ArrayInvalid. O(n log n).
    """
    _check(champion, challenger, clusters)
    people = np.arange(len(champion)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    gains, allowed = champion - challenger, margin * abs(float(champion.mean()))
    low, high = skewed(gains, np.ones(len(gains)), people) if people.max() else (-math.inf, math.inf)
    effective = effective_sample_size(np.bincount(people).astype(np.float64))
    differing = int(np.count_nonzero(np.bincount(people, gains)))
    return Comparison(
        champion=float(champion.mean()),
        challenger=float(challenger.mean()),
        low=low,
        high=high,
        margin=allowed,
        people=effective,
        verdict="thin" if effective < least else _verdict(low, high, allowed, differing >= FEW),
    )


def _verdict(low: float, high: float, margin: float, telling: bool) -> Verdict:
    if telling and high < 0.0:
        return "worse"
    if telling and low > 0.0:
        return "better"
    return "not worse" if low >= -margin else "thin"


def _check(champion: Array, challenger: Array, clusters: IntArray | None) -> None:
    n = len(champion)
    if not n or len(challenger) != n or not (np.isfinite(champion).all() and np.isfinite(challenger).all()):
        raise ArrayInvalid("losses", "are none, not finite, or not of the same rows", "give both models' losses of each row")
    if clusters is not None and len(clusters) != n:
        raise ArrayInvalid("clusters", "are not one a row", "give the number of each row's person")
