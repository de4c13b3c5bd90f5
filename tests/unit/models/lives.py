"""People who live by the models' own laws, told as cases: what families of days are taught and judged by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from personalization.clock import DAY
from personalization.daybook import DayBook
from personalization.learning.tables import Value
from personalization.models.base import Examples, Features
from personalization.models.days import day_features

#: The day of the cut.
TODAY = 20_000
AHEAD = 28


def lived(rng: np.random.Generator, r: float = 1.5, alpha: float = 3.0, a: float = 0.8, b: float = 4.0) -> list[int]:
    """Active days of one person by BG/NBD, from up to a year before the cut to four weeks after it."""
    rate, stops = max(rng.gamma(r, 1.0 / alpha) / 7.0, 1e-4), rng.beta(a, b)
    at, end, days = TODAY - rng.uniform(7.0, 365.0), TODAY + AHEAD + 1, []
    while at < end:
        days.append(int(at))
        at += rng.exponential(1.0 / rate)
        if rng.random() < stops:
            break
    return days


def book(days: Iterable[int], amounts: Iterable[float] | None = None) -> DayBook:
    found = DayBook()
    for day, amount in zip(days, amounts or iter(lambda: 0.0, None), strict=False):
        found = found.after(day, amount)
    return found


def known(days: Sequence[int], amounts: Sequence[float] | None = None, today: int = TODAY) -> Features:
    """Features of somebody who was active, and bought where there are amounts, on these days until today."""
    past = [day for day in days if day <= today]
    return day_features(book(past), book(past, amounts) if amounts else DayBook(), today)


def cases(people: Sequence[Sequence[int]], amounts: Sequence[Sequence[float]] | None = None) -> Examples:
    """Each person once, at the cut."""
    paid = amounts or [[]] * len(people)
    rows = [known(days, spent) for days, spent in zip(people, paid, strict=True)]
    later = [len({day for day in days if TODAY < day <= TODAY + AHEAD}) for days in people]
    spend = [
        sum(spent[i] for i, day in enumerate(days) if day > TODAY) if spent else 0.0
        for days, spent in zip(people, paid, strict=True)
    ]
    names = tuple(rows[0]) if rows else ()
    counts = np.array(later, np.float64)
    table: dict[str, list[Value]] = {name: [row[name] for row in rows] for name in names}
    return Examples(
        table=table,
        outcomes={
            "active_days": counts,
            "purchases": counts if amounts else np.zeros(len(people)),
            "spend": np.array(spend, np.float64),
        },
        at=np.full(len(people), TODAY * DAY, np.int64),
        people=np.arange(len(people)),
        horizon=AHEAD * DAY,
    )


def many(n: int, seed: int) -> Examples:
    """n people, whose days are purchases too, of a mean amount of their own."""
    rng = np.random.default_rng(seed)
    people = [lived(rng) for _ in range(n)]
    means = 6.0 / rng.gamma(4.0, 1.0 / 15.0, n)
    return cases(
        people, [(rng.gamma(6.0, mean / 6.0, len(days)) + 0.01).tolist() for days, mean in zip(people, means, strict=True)]
    )


def each(examples: Examples) -> list[Features]:
    names = tuple(examples.table)
    return [dict(zip(names, row, strict=True)) for row in zip(*examples.table.values(), strict=True)]
