"""Days with an engagement (`active`) and days with a purchase (`bought`): as columns of examples, and read back from them.

    …_days  : how many                      …_span  : days from the first one to the last
    …_age   : days from the first to today  …_pause : days between the last two, 0 where there is one

All but the count are None where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from personalization.daybook import DayBook
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.purchases import DAYS_A_WEEK, Purchases
from personalization.learning.tables import Value
from personalization.models.base import Examples, Features

ACTIVE, BOUGHT = "active", "bought"
#: Gaps between active days that are looked at together for a burst.
BURST = 4

#: Nothing is counted beyond.
_MOST = 1e12
_SPAN = ("days", "span", "age", "pause")
_MORE = {ACTIVE: ("log_gaps", "burst", "burst_log_gaps"), BOUGHT: ("again",)}
_NAMES = {what: tuple(f"{what}_{name}" for name in _SPAN) for what in _MORE}
_NEVER: Mapping[str, Mapping[str, Value]] = {
    what: {f"{what}_{name}": 0.0 if name == "days" else None for name in (*_SPAN, *more)} for what, more in _MORE.items()
}


class Acted(NamedTuple):
    """x days after the first one, t_x and age in weeks, as in `learning.purchases`."""

    x: float
    t_x: float
    age: float


def day_features(active: DayBook, bought: DayBook, today: int) -> dict[str, Value]:
    """active_log_gaps : sum of the logarithms of the gaps in days    active_burst(_log_gaps) : span and that sum of the last
    `BURST` gaps alone, None where they are too long ago    bought_again : amounts of all days but the first."""
    return {**_active(active, today), **_bought(bought, today)}


def _active(book: DayBook, today: int) -> Mapping[str, Value]:
    if not book.days:
        return _NEVER[ACTIVE]
    burst = book.burst(BURST)
    return {
        **_span(ACTIVE, book, today),
        "active_log_gaps": book.log_gaps,
        "active_burst": None if burst is None else float(burst.span),
        "active_burst_log_gaps": None if burst is None else burst.log_gaps,
    }


def _bought(book: DayBook, today: int) -> Mapping[str, Value]:
    return {**_span(BOUGHT, book, today), "bought_again": book.again} if book.days else _NEVER[BOUGHT]


def _span(what: str, book: DayBook, today: int) -> dict[str, Value]:
    return {
        f"{what}_days": float(book.days),
        f"{what}_span": float(book.last - book.first),
        f"{what}_age": float(max(today, book.last) - book.first),
        f"{what}_pause": float(book.last - book.before),
    }


# -- read back -------------------------------------------------------------------------------------------------------


def number(features: Features, name: str) -> float:
    """0 where it is unknown, or is no number that days or amounts can be."""
    value = features.get(name)
    return float(value) if isinstance(value, (int, float)) and 0.0 <= value <= _MOST else 0.0


def acted(features: Features, what: str) -> Acted | None:
    """None where there was no such day yet."""
    days, span, age, _ = _NAMES[what]
    x = number(features, days) - 1.0
    if x < 0.0:
        return None
    from_first, until_now = number(features, span), number(features, age)
    return Acted(x, from_first / DAYS_A_WEEK, max(until_now, from_first) / DAYS_A_WEEK)


def column(examples: Examples, name: str) -> Array:
    """(n,), 0 where it is unknown."""
    values = examples.table.get(name)
    return np.zeros(len(examples)) if values is None else np.array([number({name: value}, name) for value in values], np.float64)


def made(examples: Examples, what: str) -> Purchases:
    """Of cases that have such a day. Raises ArrayInvalid."""
    span, age = column(examples, f"{what}_span"), column(examples, f"{what}_age")
    return Purchases(
        frequency=column(examples, f"{what}_days") - 1.0, recency=span / DAYS_A_WEEK, age=np.maximum(age, span) / DAYS_A_WEEK
    )


def some(examples: Examples, what: str) -> IntArray:
    """Rows with such a day."""
    return np.flatnonzero(column(examples, f"{what}_days") >= 1.0)


def newest(examples: Examples, what: str) -> Examples:
    """Each person's newest case, of those with such a day: earlier ones are part of it and say nothing more."""
    last = {int(person): row for row, person in enumerate(examples.people.tolist())}
    return examples.taken(np.intersect1d(np.array(sorted(last.values()), np.int64), some(examples, what)))
