"""What customers will buy: BG/NBD and gamma-gamma on logs of transactions, held against the papers and what came after.

CDNOW, the papers' 1/10 sample: the first 39 weeks teach, the next 39 judge. The parameters must be the published ones; then

    correlation (Pearson) of expected and actual repeat purchases, and AUC of the expected ones for "bought again at all"

over all customers. Base rate: the same of how often each bought before. P(alive) is shown beside it as a warning: it is 1 for
whoever bought once. Intervals resample customers (percentile bootstrap, Efron 1979, 500 draws of a fixed seed), those of the
parameters come from the observed information. Fits are timed best of five, beside the library `lifetimes` where that is
installed (extra `peers`). UCI's Online Retail II of 2010 is judged alike on its last 30 % of days and only reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from personalization.clock import DAY, SystemClock
from personalization.daybook import DayBook
from personalization.lab.datasets import TransactionLog, cdnow, online_retail
from personalization.lab.scores import Score
from personalization.learning.bgnbd import BGNBD, fit_bgnbd
from personalization.learning.calibration import auc
from personalization.learning.gammagamma import GammaGamma, fit_gammagamma
from personalization.learning.laplace import Array
from personalization.learning.lifetime import WEEKS_A_MONTH, lifetime_value
from personalization.learning.purchases import DAYS_A_WEEK, History, history
from personalization.models.base import Examples
from personalization.models.days import day_features

TASK, FILES = "purchases, CDNOW", ("cdnow_sample.csv.gz",)
RETAIL_TASK, RETAIL_FILES = "purchases, Online Retail 2010", ("online_retail_2010.csv.gz",)

#: As published: Fader, Hardie and Lee 2005, table 2; Fader and Hardie 2013, section 5.
_PAPER = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426, "log-likelihood": -9582.4, "p": 6.25, "q": 3.74, "v": 15.44}
_OFF, _SECONDS, _CORRELATION, _AUC = 0.005, 0.26, 0.62, 0.77
_TAUGHT_WEEKS, _JUDGED_WEEKS = 39, 39
_TAUGHT_SHARE = 0.7
_DRAWS, _SEED, _ROUNDS = 500, 7, 5
_WIDE = 1.959964
_PEER = "lifetimes"

Step = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was fitted on the first part, and of each customer (n,) what came after in `weeks`: purchases and amounts."""

    buying: BGNBD
    spending: GammaGamma
    past: History
    weeks: float
    bought: Array
    spent: Array

    @property
    def expected(self) -> Array:
        return self.buying.expected(self.past.made, self.weeks)


def purchases(folder: Path, step: Step) -> list[Score]:
    """Scores on CDNOW. Raises DataMissing."""
    log = cdnow(folder)
    step(1, 4)
    found = judged(log, int(log.days.min()) - 1 + int(_TAUGHT_WEEKS * DAYS_A_WEEK), _JUDGED_WEEKS)
    step(2, 4)
    scores = [*_parameters(found), *_speed(found.past)]
    step(3, 4)
    scores += _foresight(TASK, found, _peer_expected(found), _CORRELATION, _AUC)
    step(4, 4)
    return scores


def retail_purchases(folder: Path, step: Step) -> list[Score]:
    """Scores on Online Retail, nothing asked. Raises DataMissing."""
    log = online_retail(folder)
    step(1, 2)
    first, last = int(log.days.min()), int(log.days.max())
    until = first + int(_TAUGHT_SHARE * (last - first))
    scores = _foresight(RETAIL_TASK, judged(log, until, (last - until) / DAYS_A_WEEK))
    step(2, 2)
    return scores


def cases(log: TransactionLog, until: int, weeks: float) -> Examples:
    """Customers as profiles would know them on the day `until`, and what each did in the weeks after: what a family is taught
    and judged by. Purchases are all that they do, so they are engagements too."""
    past: dict[int, DayBook] = {}
    later: dict[int, list[float]] = {}
    end = until + round(weeks * DAYS_A_WEEK)
    for customer, day, amount in zip(*_by_day(log), strict=True):
        if day <= until:
            past[customer] = past.get(customer, DayBook()).after(day, amount)
        elif day <= end and customer in past:
            later.setdefault(customer, []).append(amount)
    rows = [day_features(book, book, until) for book in past.values()]
    counts = np.array([float(len(later.get(customer, ()))) for customer in past])
    spent = np.array([sum(later.get(customer, ())) for customer in past])
    return Examples(
        table={name: [row[name] for row in rows] for name in rows[0]},
        outcomes={"active_days": counts, "purchases": counts, "spend": spent, "churned": (counts == 0.0).astype(np.float64)},
        at=np.full(len(past), until * DAY, np.int64),
        people=np.array(list(past), np.int64),
        horizon=round(weeks * DAYS_A_WEEK) * DAY,
    )


def _by_day(log: TransactionLog) -> tuple[list[int], list[int], list[float]]:
    """Customer, day and amount of each purchase, by day."""
    pairs, of = np.unique(np.stack([log.days, log.customers]), axis=1, return_inverse=True)
    return pairs[1].tolist(), pairs[0].tolist(), np.bincount(of.ravel(), log.amounts).tolist()


def judged(log: TransactionLog, until: int, weeks: float) -> Judged:
    """Fitted up to and with the day `until`, judged by the weeks after it."""
    past = history(log.customers, log.days, log.amounts, until)
    end = until + round(weeks * DAYS_A_WEEK)
    later = (log.days > until) & (log.days <= end) & np.isin(log.customers, past.customers)
    who = np.searchsorted(past.customers, log.customers[later])
    days = np.unique(np.stack([who, log.days[later]]), axis=1)[0]
    return Judged(
        buying=fit_bgnbd(past.made),
        spending=fit_gammagamma(past.made.frequency, past.monetary),
        past=past,
        weeks=weeks,
        bought=np.bincount(days, minlength=len(past.customers)).astype(np.float64),
        spent=np.bincount(who, log.amounts[later], minlength=len(past.customers)).astype(np.float64),
    )


# -- against the papers ----------------------------------------------------------------------------------------------


def _parameters(found: Judged) -> Iterator[Score]:
    ours = dict(zip(("r", "alpha", "a", "b"), found.buying.parameters, strict=True))
    p, q, v = found.spending.parameters
    ours |= {"log-likelihood": found.buying.log_likelihood, "p": p, "q": q, "v": v}
    within = dict(zip(("r", "alpha", "a", "b"), found.buying.deviations, strict=True))
    within |= dict(zip(("p", "v"), found.spending.deviations[[0, 2]], strict=True))
    off = max(abs(value / _PAPER[name] - 1.0) for name, value in ours.items())
    yield Score(task=TASK, metric="largest relative distance from the papers' figures", value=off, must=_OFF, at_most=True)
    for name, value in ours.items():
        wide = np.exp(_WIDE * within[name]) if name in within else None
        low, high = (None, None) if wide is None else (float(value / wide), float(value * wide))
        yield Score(task=TASK, metric=name, value=value, low=low, high=high, peer=_PAPER[name])


def _speed(past: History) -> Iterator[Score]:
    peers = _peer_fits(past) if find_spec("lifetimes") else {}
    ours = {
        "BG/NBD": lambda: fit_bgnbd(past.made),
        "gamma-gamma": lambda: fit_gammagamma(past.made.frequency, past.monetary),
    }
    for name, fit in ours.items():
        peer = _seconds(peers[name]) if peers else None
        metric = f"seconds to fit {name}"
        must = _SECONDS if peer is None else min(_SECONDS, peer)
        yield Score(task=TASK, metric=metric, value=_seconds(fit), peer=peer, peer_of=_PEER, must=must, at_most=True)


def _peer_fits(past: History) -> dict[str, Callable[[], object]]:
    lifetimes = import_module("lifetimes")
    x, again = past.made.frequency, past.made.frequency > 0.0
    return {
        "BG/NBD": lambda: lifetimes.BetaGeoFitter().fit(x, past.made.recency, past.made.age),
        "gamma-gamma": lambda: lifetimes.GammaGammaFitter().fit(x[again], past.monetary[again]),
    }


def _peer_expected(found: Judged) -> Array | None:
    """What `lifetimes` expects, where it is installed."""
    if not find_spec("lifetimes"):
        return None
    made = found.past.made
    peer = import_module("lifetimes").BetaGeoFitter().fit(made.frequency, made.recency, made.age)
    expected = peer.conditional_expected_number_of_purchases_up_to_time(found.weeks, made.frequency, made.recency, made.age)
    return np.asarray(expected, np.float64)


def _seconds(fit: Callable[[], object]) -> float:
    """Of the quickest round: neither imports nor neighbours count."""
    clock, rounds = SystemClock(), []
    for _ in range(_ROUNDS):
        begun = clock.monotonic()
        fit()
        rounds.append(clock.monotonic() - begun)
    return min(rounds)


# -- against what came after -----------------------------------------------------------------------------------------


class _Foresight(NamedTuple):
    """A figure of how well `forecast` told `truth` (n,); the same of `plain`, what nothing clever would forecast."""

    metric: str
    measure: Callable[[Array, Array], float]
    forecast: Array
    truth: Array
    plain: Array
    peer: Array | None = None
    must: float | None = None


def _foresight(
    task: str, found: Judged, peer: Array | None = None, correlated: float | None = None, ranked: float | None = None
) -> list[Score]:
    before, bought, expected = found.past.made.frequency, found.bought, found.expected
    again, alive = (bought > 0.0).astype(np.float64), found.buying.alive(found.past.made)
    value = lifetime_value(found.buying, found.spending, found.past, months=round(found.weeks / WEEKS_A_MONTH), discount=0.0)
    of_purchases = f"correlation of purchases, {len(before):,} customers, {found.weeks:g} weeks"
    of_buyers = f"AUC of expected purchases, {again.mean():.1%} bought"
    figures = (
        _Foresight(of_purchases, _correlation, expected, bought, before, peer, correlated),
        _Foresight(of_buyers, _auc, expected, again, before, peer, ranked),
        _Foresight("AUC of P(alive), a warning", _auc, alive, again, before),
        _Foresight("expected over actual purchases (base rate: as many as before)", _ratio, expected, bought, before),
        _Foresight("correlation of amounts spent", _correlation, value, found.spent, before * found.past.monetary),
    )
    return [_score(task, one) for one in figures]


def _score(task: str, one: _Foresight) -> Score:
    rng, n = np.random.default_rng(_SEED), len(one.truth)
    draws = [one.measure(one.forecast[drawn], one.truth[drawn]) for drawn in rng.integers(n, size=(_DRAWS, n))]
    low, high = np.quantile(draws, [0.025, 0.975]).tolist()
    return Score(
        task=task,
        metric=one.metric,
        value=one.measure(one.forecast, one.truth),
        low=low,
        high=high,
        peer=None if one.peer is None else one.measure(one.peer, one.truth),
        peer_of=_PEER,
        base_rate=one.measure(one.plain, one.truth),
        must=one.must,
    )


def _correlation(forecast: Array, truth: Array) -> float:
    return float(np.corrcoef(forecast, truth)[0, 1])


def _auc(forecast: Array, truth: Array) -> float:
    return auc(truth, forecast)


def _ratio(forecast: Array, truth: Array) -> float:
    return float(forecast.sum() / truth.sum())
