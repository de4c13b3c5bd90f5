"""What a customer will still bring: purchases to come by BG/NBD, times their mean amount by gamma-gamma, discounted.

    LTV = E[M] sum over months k = 1 … n of (E[Y(k)] - E[Y(k - 1)]) / (1 + d)^k

with d the discount a month and Y(k) the purchases within k months (Fader, Hardie and Lee 2005, "RFM and CLV", in discrete
time). A customer's margin is the caller's to multiply with.
"""

from __future__ import annotations

import numpy as np

from personalization.errors import ArrayInvalid
from personalization.learning.bgnbd import BGNBD
from personalization.learning.gammagamma import GammaGamma
from personalization.learning.laplace import Array, Interval, interval
from personalization.learning.purchases import History

WEEKS_A_MONTH = 365.25 / 12.0 / 7.0


def lifetime_value(buying: BGNBD, spending: GammaGamma, past: History, *, months: int = 12, discount: float = 0.01) -> Array:
    """(n,) in units of the amounts. discount: a month, 0.01 is 12.7 % a year. Raises ArrayInvalid. O(n months)."""
    if months < 1 or not 0.0 <= discount < np.inf:
        raise ArrayInvalid("months, discount", "are not positive", "give at least one month and a discount of 0 or more")
    ends = np.arange(1.0, months + 1.0)[:, None]
    by_month = np.diff(buying.expected(past.made, np.asarray(WEEKS_A_MONTH * ends, np.float64)), axis=0, prepend=0.0)
    purchases = np.sum(by_month / (1.0 + discount) ** ends, axis=0)
    return np.asarray(purchases * spending.expected(past.made.frequency, past.monetary), np.float64)


def lifetime_interval(buying: BGNBD, spending: GammaGamma, past: History, *, months: int = 12, discount: float = 0.01) -> Interval:
    """The same with the 95 % interval that the doubt about both models leaves."""
    return interval(lambda b, s: lifetime_value(b, s, past, months=months, discount=discount), buying, spending)
