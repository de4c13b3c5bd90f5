"""What families of days have in common: how they are judged by what came, explained, and restored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from personalization.clock import DAY
from personalization.errors import ArrayInvalid, ArtifactRefused
from personalization.learning.bgnbd import BGNBD
from personalization.learning.buyer import Buyer
from personalization.learning.calibration import auc, log_loss
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.laplace import LOGARITHM, Fitted, Interval, Link, interval
from personalization.learning.purchases import DAYS_A_WEEK
from personalization.models.base import Examples, Explained, Judged
from personalization.models.days import Acted

F = TypeVar("F", bound=Fitted)

#: Weeks that scores look ahead.
AHEAD = 4.0
#: Of the papers' 1/10 sample of CDNOW, weeks and dollars of 1997: Fader, Hardie and Lee 2005, table 2, and Fader and Hardie
#: 2013, section 5. It serves before there are people to learn from: something finite, and not of this tenant.
CDNOW_BUYING = np.log([0.243, 4.414, 0.793, 2.426])
CDNOW_SPENDING = np.log([6.25, 2.74, 15.44])

_LEAST = 1e-9


def weeks_of(examples: Examples) -> float:
    """How far outcomes were looked for."""
    return examples.horizon / DAY / DAYS_A_WEEK


def judged(cases: int, rows: IntArray, score: str, p: Array, expected: Array, counts: Array, **more: float) -> Judged:
    """Of so many cases the rows (n,) that something can be said of; others lose nothing. p (n,) of no such day in the horizon,
    expected (n,) of such days, by the counts (n,) that came. Base rate: the share of those who did not come back, as if it had
    been known; for counts, no difference among people."""
    losses = np.zeros(cases)
    if not len(rows):
        return Judged(losses=losses, metrics={})
    stayed_away = (counts == 0.0).astype(np.float64)
    losses[rows] = -np.log(np.clip(np.where(stayed_away == 1.0, p, 1.0 - p), _LEAST, 1.0))
    metrics = {
        "log_loss": log_loss(stayed_away, p),
        "auc_of_days": auc(1.0 - stayed_away, expected),
        "correlation_of_days": correlation(expected, counts),
        "days_expected": float(expected.mean()),
    }
    base = {
        "log_loss": log_loss(stayed_away, np.full(len(rows), stayed_away.mean())),
        "auc_of_days": 0.5,
        "correlation_of_days": 0.0,
        "days_expected": float(counts.mean()),
    }
    return Judged(losses=losses, metrics=metrics | more, base=base, p={score: p}, y={score: stayed_away})


def correlation(forecast: Array, truth: Array) -> float:
    """Pearson's; 0 where one of them does not vary."""
    if len(forecast) < 2 or np.ptp(forecast) <= 0.0 or np.ptp(truth) <= 0.0:
        return 0.0
    return float(np.corrcoef(forecast, truth)[0, 1])


def expected_ahead(buying: BGNBD, who: Acted) -> float:
    """Days with it in the weeks that scores look ahead."""
    return Buyer.of(buying).expected(who.x, who.t_x, who.age, AHEAD)


def explained(score: Callable[..., float], who: Acted, *models: Fitted, start: str, link: Link = LOGARITHM) -> Explained:
    """A score(*models, who) with the 95 % interval that the doubt about the models leaves, and what makes it: `start`, the score
    of who has just begun; `habit`, their days so far; `silence`, the time since. The three sum to the score."""
    found = one(lambda *moved: score(*moved, who), *models, link=link)
    begun, then = score(*models, Acted(0.0, 0.0, 0.0)), score(*models, Acted(who.x, who.t_x, who.t_x))
    parts = ((start, begun), ("habit", then - begun), ("silence", float(found.value[0]) - then))
    reasons = tuple(sorted(parts, key=lambda part: -abs(part[1])))
    return Explained(float(found.value[0]), float(found.low[0]), float(found.high[0]), reasons)


def one(score: Callable[..., float], *models: Fitted, link: Link = LOGARITHM) -> Interval:
    """Of a single number."""
    return interval(lambda *moved: np.array([score(*moved)]), *models, link=link)


def restored(kind: type[F], packed: Mapping[str, Any], name: str, parameters: int) -> F:
    """The fitted model kept under that name. Raises ArtifactRefused."""
    try:
        found = kind.unpack(packed[name])
    except (ArrayInvalid, KeyError, TypeError, ValueError) as wrong:
        raise ArtifactRefused(f"its part {name} cannot be read ({type(wrong).__name__})") from wrong
    if len(found.logs) != parameters:
        raise ArtifactRefused(f"its part {name} has {len(found.logs)} parameters where {parameters} are needed")
    return found
