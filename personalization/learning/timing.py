"""When a person engages: hours of the week in their own zone, tenant > (segment) > person.

A population is learned over the 168 hours of the week; a person differs from it by 24 factors of the hour of day, whose
neighbours inform each other, and by one of the weekend: on real logs finer patterns of single persons did not predict better.
Each factor is the posterior mean of equation (1) in `learning.week`, a hierarchical Dirichlet-multinomial where no sends are
known and its Gamma-Poisson form, engagements against sends, where they are. A send's engagements must be counted in the hour
the message went out, or hours after the usual send time look better than they are.

What is expected of hour w of a person with N engagements, S_w sends, and a population of relative rates r_w and shares pi_w:

    x_w = rho r_w S_w + o pi_w                                        (3)
    o   = engagements outside the hours sent to / pi outside them     (4)  those that come without a send, at most N
    rho = (N - o + 1) / (sum r S + 1 / rate)                          (5)  this person's engagements a send, shrunk to `rate`

(5) takes out that some people engage more with everything; without sends x_w = N pi_w. Counts come already decayed (forward
decay, Cormode et al. 2009), so they forget at the caller's half-life.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, log, sqrt
from operator import add, mul, truediv
from types import MappingProxyType
from typing import Any, NamedTuple

from personalization.errors import Invalid
from personalization.learning.week import (
    CELLS,
    CHAIN,
    DAY_HOURS,
    HOUR_OF,
    KIND_OF,
    descended,
    relative,
    shares,
    smoothed,
    summed,
    trigamma,
)

#: Engagements (of the day) that a person's own hours have to bring against the population's: what predicts best on the two
#: public logs of `personalization evaluate`, flat between 10 and 40. `learning.concentration` estimates it from people.
CONCENTRATION = 20.0
#: The same for the weekend against the working days.
_KIND_CONCENTRATION = 20.0
#: Share of a person's concentration that `appeal` spreads evenly over the day, not as the population's rates: an hour in which
#: hardly anybody engages would be all but unknown of a person otherwise, and its logarithm has no bottom.
_EVEN = 0.5
#: Engagements a send where nothing is known, as in `engagement_score`.
_RATE = 0.25
_FIRST_OF_WEEKEND = 5 * DAY_HOURS
_NOTHING: Mapping[int, float] = MappingProxyType({})

Counts = Mapping[int, float]


class Appeal(NamedTuple):
    """values (168,): log of the predicted rate of engagement at that hour over the person's mean rate over the hours.

    deviations (168,): posterior standard deviations of the log rates.
    """

    values: tuple[float, ...]
    deviations: tuple[float, ...]


class _Prior(NamedTuple):
    """The c of equation (1): hours (24,), already smoothed; kinds: working days, weekend."""

    hours: Sequence[float]
    kinds: Sequence[float]


class _Person(NamedTuple):
    """What is particular of one person: posterior Gamma(shapes, rates) of the hours' (24,) and the kinds' (2,) factors."""

    hours: list[float]
    kinds: list[float]
    hour_shapes: list[float]
    hour_rates: list[float]
    kind_shapes: list[float]


class _Tables(NamedTuple):
    """Of a population's tables what every person needs. near_shares (24,): smoothed."""

    logs: list[float]
    near_shares: list[float]
    share_kinds: tuple[list[float], list[float]]
    rate_kinds: tuple[list[float], list[float]]
    of_shares: _Prior
    of_rates: _Prior
    cold: Appeal


@dataclass(frozen=True, kw_only=True)
class Population:
    """shares (168,): where engagements fall, sum 1. rates (168,): engagements a send, relative, mean 1. rate: engagements a send.

    variances (24,): of the logarithms of `rates`, by hour of day    concentration: how alike its people are
    """

    shares: tuple[float, ...] = (1.0 / CELLS,) * CELLS
    rates: tuple[float, ...] = (1.0,) * CELLS
    variances: tuple[float, ...] = (0.0,) * DAY_HOURS
    rate: float = _RATE
    concentration: float = CONCENTRATION

    def packed(self) -> list[Any]:
        """For msgpack; `unpacked` restores it to the bit."""
        return [list(self.shares), list(self.rates), list(self.variances), self.rate, self.concentration]

    @classmethod
    def unpacked(cls, packed: Sequence[Any]) -> Population:
        hours, rates, variances, rate, concentration = packed
        return cls(shares=tuple(hours), rates=tuple(rates), variances=tuple(variances), rate=rate, concentration=concentration)

    @cached_property
    def tables(self) -> _Tables:
        even = [(1.0 - _EVEN) * rate / CELLS + _EVEN / CELLS for rate in self.rates]
        of_rates, logs = self._prior(even), [log(rate) for rate in self.rates]
        hours = [doubt + trigamma(c) for doubt, c in zip(self.variances, of_rates.hours, strict=True)]
        return _Tables(
            logs=logs,
            near_shares=smoothed(summed(HOUR_OF, self.shares)),
            share_kinds=_by_kind(self.shares),
            rate_kinds=_by_kind(self.rates),
            of_shares=self._prior(self.shares),
            of_rates=of_rates,
            cold=Appeal(tuple(logs), _roots(hours, of_rates.kinds)),
        )

    def _prior(self, spread: Sequence[float]) -> _Prior:
        hours = [self.concentration * share for share in smoothed(summed(HOUR_OF, spread))]
        return _Prior(hours, [_KIND_CONCENTRATION * share for share in summed(KIND_OF, spread)])


#: Nothing is known.
FLAT = Population()


def population(
    engaged: Counts, sent: Counts = _NOTHING, *, concentration: float = CONCENTRATION, above: Population = FLAT
) -> Population:
    """A tenant, or a segment below it, from the sums of its people's counts by hour of week. Raises Invalid."""
    _check(engaged, sent, concentration)
    total = sum(engaged.values())
    rate, expected, organic = _expected(above, engaged, sent, 1.0)
    counts = _dense(engaged)
    active, _ = descended(counts, [total * share for share in above.shares], above.shares)
    due = [organic * share + expected.get(w, 0.0) for w, share in enumerate(above.shares)]
    answered, variances = descended(counts, due)
    return Population(
        shares=tuple(shares(_times(above.shares, active))),
        rates=tuple(CELLS * share for share in shares(_times(above.rates, answered))),
        variances=_inherited(above, variances, sum(expected.values()) + organic),
        rate=rate,
        concentration=concentration,
    )


def appeal(population: Population, engaged: Counts, sent: Counts = _NOTHING, fade: float = 1.0) -> Appeal:
    """How the hours of the week compare for a person. Counts by local hour of week 0..167, times `fade`; a person of whom
    nothing is known has their population's, all 0 when nothing is known of that either. Some 35 microseconds, next to none for
    a person of whom nothing is known."""
    tables = population.tables
    if not engaged and not sent:
        return tables.cold
    _, expected, organic = _expected(population, engaged, sent, fade)
    person = _against(tables, tables.of_rates, engaged, fade, expected, organic)
    own = [sum(map(mul, rates, person.hours)) * kind for rates, kind in zip(tables.rate_kinds, person.kinds, strict=True)]
    level, apart = log(sum(own) / CELLS / person.kinds[0]), log(person.kinds[1] / person.kinds[0])
    hours = [log(factor) - level for factor in person.hours]
    week = _week(hours, [hour + apart for hour in hours])
    return Appeal(tuple(map(add, tables.logs, week)), _deviations(population, person))


def hour_distribution(population: Population, engaged: Counts, fade: float = 1.0) -> list[float]:
    """(168,) probabilities that the person's next engagement falls in that hour of the week."""
    if not engaged:
        return list(population.shares)
    tables = population.tables
    person = _against(tables, tables.of_shares, engaged, fade, _NOTHING, fade * sum(engaged.values()))
    week = _week(*([hour * kind for hour in person.hours] for kind in person.kinds))
    return shares(_times(population.shares, week))


def delayed(sent: Counts, lags: Sequence[float]) -> dict[int, float]:
    """Sends moved to when they are answered: lags[l] of them l hours later. For callers whose engagements are counted when
    they happen and not, as equation (3) wants, when their message went out."""
    moved: dict[int, float] = {}
    for w, weight in sent.items():
        for lag, part in enumerate(lags):
            later = (w + lag) % CELLS
            moved[later] = moved.get(later, 0.0) + part * weight
    return moved


# -- one person ------------------------------------------------------------------------------------------------------


def _expected(above: Population, engaged: Counts, sent: Counts, fade: float) -> tuple[float, Counts, float]:
    """rho of (5), the part of x that sends explain by hour, and o of (4)."""
    total = fade * sum(engaged.values())
    if not sent:
        return above.rate, _NOTHING, total
    rates, pi = above.rates, above.shares
    worth = {w: fade * rates[w] * weight for w, weight in sent.items() if weight > 0.0}
    loose = fade * sum([weight for w, weight in engaged.items() if w not in worth])
    unsent = 1.0 - sum([pi[w] for w in worth])
    organic = min(loose / unsent, total) if loose and unsent > 0.0 else 0.0
    rho = (total - organic + 1.0) / (sum(worth.values()) + 1.0 / above.rate)
    return rho, {w: rho * sends for w, sends in worth.items()}, organic


def _against(tables: _Tables, prior: _Prior, engaged: Counts, fade: float, expected: Counts, organic: float) -> _Person:
    """Equation (1) over the hours of the day, then over working days and weekend given those."""
    counts, weekend = _by_hour(engaged), sum([weight for w, weight in engaged.items() if w >= _FIRST_OF_WEEKEND])
    kinds = fade * (sum(counts) - weekend), fade * weekend
    counts = [fade * count for count in counts]
    shapes = list(map(add, smoothed(counts), prior.hours))
    rates = [organic * share + c for share, c in zip(tables.near_shares, prior.hours, strict=True)]
    if expected:
        rates = list(map(add, rates, smoothed(_by_hour(expected))))
    hours = list(map(truediv, shapes, rates))
    kinds_due = [organic * sum(map(mul, share, hours)) for share in tables.share_kinds]
    for w, weight in expected.items():
        kinds_due[w >= _FIRST_OF_WEEKEND] += weight * hours[w % DAY_HOURS]
    factors = [relative(*kind) for kind in zip(kinds, kinds_due, prior.kinds, strict=True)]
    return _Person(hours, factors, shapes, rates, list(map(add, kinds, prior.kinds)))


def _by_hour(counts: Counts) -> list[float]:
    hours = [0.0] * DAY_HOURS
    for w, weight in counts.items():
        hours[w % DAY_HOURS] += weight
    return hours


def _deviations(population: Population, person: _Person) -> tuple[float, ...]:
    """Equation (2) of both factors; the population's own doubt counts as far as the person's evidence leaves it."""
    prior, hour_rates, shapes = population.tables.of_rates.hours, person.hour_rates, person.hour_shapes
    left = list(map(truediv, prior, hour_rates))
    doubts = map(mul, population.variances, map(mul, left, left))
    hours = list(map(add, doubts, [1.0 / (shape * shape) + 1.0 / (shape + 0.5) for shape in shapes]))  # trigamma, in line
    return _roots(hours, person.kind_shapes)


def _roots(hours: Sequence[float], kind_shapes: Sequence[float]) -> tuple[float, ...]:
    """(168,) deviations from the variances of the hours (24,) and of the kinds."""
    return tuple(_week(*([sqrt(hour + kind) for hour in hours] for kind in map(trigamma, kind_shapes))))


def _week(working_day: list[float], weekend_day: list[float]) -> list[float]:
    return working_day * 5 + weekend_day * 2


# -- a population ----------------------------------------------------------------------------------------------------


def _inherited(above: Population, variances: Sequence[float], expected: float) -> tuple[float, ...]:
    """(24,): own variances, and those above as far as own evidence leaves them."""
    left = (CHAIN[0].concentration / (CHAIN[0].concentration + expected)) ** 2
    own = [variance / 7 for variance in summed(HOUR_OF, variances)]
    return tuple(variance + left * doubt for variance, doubt in zip(own, above.variances, strict=True))


def _by_kind(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """(24,) sums over the working days, and over the weekend."""
    split = _FIRST_OF_WEEKEND
    return summed(HOUR_OF[:split], values[:split]), summed(HOUR_OF[split:], values[split:])


def _dense(counts: Counts) -> list[float]:
    return [max(counts.get(w, 0.0), 0.0) for w in range(CELLS)]


def _times(values: Sequence[float], factors: Sequence[float]) -> list[float]:
    return list(map(mul, values, factors))


def _check(engaged: Counts, sent: Counts, concentration: float) -> None:
    for name, counts in (("engaged", engaged), ("sent", sent)):
        if not all(w in range(CELLS) and isfinite(weight) for w, weight in counts.items()):
            raise Invalid.field(name, "must map hours of the week, 0 to 167, to finite weights")
    if not (isfinite(concentration) and concentration > 0.0):
        raise Invalid.field("concentration", "must be a finite number above 0")
