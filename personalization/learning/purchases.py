"""From transactions to what models of purchases read: how often, how lately, since when, how much (Fader and Hardie 2005).

Transactions of one customer on one day are one purchase. The first makes a customer and is not counted as a repeat:

    frequency x   : repeat purchases            recency t_x : weeks from the first purchase to the last, 0 where x = 0
    age T         : weeks from the first purchase to the end of the observation
    monetary      : mean amount of a repeat purchase, 0 where x = 0

"A note on implementing the Pareto/NBD model in MATLAB", section 2, for the first three; the fourth as in the gamma-gamma notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from personalization.errors import ArrayInvalid
from personalization.learning.laplace import Array

DAYS_A_WEEK = 7.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Purchases:
    """frequency, recency, age (n,) of n customers. Raises ArrayInvalid on what no customer can have done."""

    frequency: Array
    recency: Array
    age: Array

    def __post_init__(self) -> None:
        x, t_x, age = self.frequency, self.recency, self.age
        if not x.shape == t_x.shape == age.shape or x.ndim != 1:
            raise ArrayInvalid("frequency, recency, age", "differ in length", "give one of each a customer")
        if not (np.isfinite(x).all() and np.isfinite(t_x).all() and np.isfinite(age).all()):
            raise ArrayInvalid("frequency, recency, age", "hold NaN or an infinity", "leave those customers out")
        if (x < 0.0).any() or (x != np.floor(x)).any():
            raise ArrayInvalid("frequency", "is not a count", "count repeat purchases: 0, 1, 2, …")
        if (t_x < 0.0).any() or (t_x > age).any():
            raise ArrayInvalid("recency", "lies outside 0 to age", "end the observation after the last purchase")
        if ((x == 0.0) & (t_x > 0.0)).any():
            raise ArrayInvalid("recency", "is above 0 without a repeat purchase", "count it from the first purchase to the last")

    def __len__(self) -> int:
        return len(self.frequency)


class History(NamedTuple):
    """customers (n,) ascending, as they were given    monetary (n,)    pause (n,): weeks between the last purchase and the one
    before it, 0 where there is none."""

    customers: npt.NDArray[np.int64]
    made: Purchases
    monetary: Array
    pause: Array


def history(customers: npt.NDArray[np.int64], days: npt.NDArray[np.int64], amounts: Array, until: int) -> History:
    """m transactions in any order, as whole days of a caller's calendar, up to and with the day `until`; later ones are left
    out, so the same log can be split at any day. Raises ArrayInvalid. O(m log m)."""
    _check(customers, days, amounts, until)
    seen = days <= until
    buyers, buyer = np.unique(customers[seen], return_inverse=True)
    order = np.lexsort((days[seen], buyer))
    who, when, spent = _by_day(buyer[order], days[seen][order], amounts[seen][order])
    first = np.flatnonzero(np.diff(who, prepend=-1))
    last = np.append(first[1:], len(who)) - 1
    frequency = (last - first).astype(np.float64)
    repeats = np.add.reduceat(spent, first) - spent[first]
    before = np.maximum(last - 1, first)
    return History(
        customers=buyers,
        made=Purchases(frequency=frequency, recency=_weeks(when[last] - when[first]), age=_weeks(until - when[first])),
        monetary=np.divide(repeats, frequency, out=np.zeros_like(repeats), where=frequency > 0.0),
        pause=_weeks(when[last] - when[before]),
    )


def _by_day(who: npt.NDArray[np.int64], when: npt.NDArray[np.int64], spent: Array) -> tuple[npt.NDArray[np.int64], ...]:
    """Customer, day and amount of each purchase; rows come sorted by customer and day."""
    new = np.flatnonzero((np.diff(who, prepend=-1) != 0) | (np.diff(when, prepend=when[0] - 1) != 0))
    return who[new], when[new], np.add.reduceat(spent, new)


def _weeks(days: npt.NDArray[np.int64]) -> Array:
    return np.asarray(days / DAYS_A_WEEK, np.float64)


def _check(customers: npt.NDArray[np.int64], days: npt.NDArray[np.int64], amounts: Array, until: int) -> None:
    if not len(customers) == len(days) == len(amounts):
        raise ArrayInvalid("customers, days, amounts", "differ in length", "give one of each a transaction")
    if not (days <= until).any():
        raise ArrayInvalid("days", f"hold no transaction up to day {until}", "give at least one, or a later end")
    if not (np.isfinite(amounts).all() and (amounts >= 0.0).all()):
        raise ArrayInvalid("amounts", "hold a negative number, NaN or an infinity", "leave returns and broken rows out")
