"""Do 95 % intervals of off-policy evaluation hold the truth? Logs resampled from real people, so that the truth is known.

A world takes its people, and how often each kind of them answered each action, from a log in which actions were drawn
at random; a new log is drawn from it under a logging policy of our choice. A candidate's value is then a sum, not an
estimate, and the share of logs whose interval holds it is what the intervals are worth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from personalization.errors import SupportThin
from personalization.lab.datasets import ClickLog, TrialLog, hillstrom, open_bandit
from personalization.lab.scores import Score
from personalization.learning.crossfit import cross_fitted, folds_of
from personalization.learning.evaluation import Array, ChoiceLog, Estimate, dr, ips, self_check, snips
from personalization.learning.intervals import effective_sample_size

TASK = "OPE coverage"
FILES = ("hillstrom.csv.gz", "obd_random_men.csv.gz", "obd_bts_men.csv.gz")

RUNS = 200
_MUST, _FOLDS, _NORMAL_95 = 0.90, 2, 1.959964
_EXPLORATION = 0.1

Step = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class World:
    """c kinds of people and k actions. shares (c,) of the people; rates (c, k) of answering, in [0, 1]."""

    shares: Array
    rates: Array

    def value(self, policy: Array) -> float:
        """The true mean reward of a policy (c, k)."""
        return float(self.shares @ (policy * self.rates).sum(axis=1))

    def log(self, logging: Array, rows: int, rng: np.random.Generator) -> tuple[Array, ChoiceLog]:
        """One-hot kinds (rows, c) and what a logging policy (c, k) would have recorded of them."""
        kinds = rng.choice(len(self.shares), rows, p=self.shares)
        actions = np.minimum((logging.cumsum(axis=1)[kinds] < rng.random(rows)[:, None]).sum(axis=1), logging.shape[1] - 1)
        rewards = (rng.random(rows) < self.rates[kinds, actions]).astype(np.float64)
        return np.eye(len(self.shares))[kinds], ChoiceLog(actions=actions, rewards=rewards, propensities=logging[kinds, actions])


@dataclass(frozen=True, kw_only=True)
class Case:
    """Logs of so many rows under `logging` (c, k), to judge `candidate` (c, k)."""

    name: str
    world: World
    logging: Array
    candidate: Array
    rows: int


@dataclass(frozen=True, kw_only=True)
class Covered:
    """Of `runs` logs, in how many the interval held the truth; plain: in how many value +- 1.96 standard errors did."""

    case: str
    method: str
    runs: int
    covered: int
    plain: int
    effective: float

    @property
    def share(self) -> float:
        return self.covered / self.runs


def coverage(folder: Path, step: Step, runs: int = RUNS) -> list[Score]:
    """A score an estimator and case, and one for the case whose logs say nothing. Raises DataMissing."""
    cases, thin = cases_of(hillstrom(folder), open_bandit(folder, "random"), open_bandit(folder, "bts"))
    scores: list[Score] = []
    for i, case in enumerate(cases):
        scores += [_score(found) for found in covered(case, runs, lambda done, _, i=i: step(i * runs + done, len(cases) * runs))]  # type: ignore[misc]
    return [*scores, _refusals(thin, runs), _agreements(cases, runs)]


def covered(case: Case, runs: int, step: Step = lambda done, total: None, seed: int = 11) -> list[Covered]:
    """How often each estimator's interval held the case's truth. Raises SupportThin."""
    truth, rng = case.world.value(case.candidate), np.random.default_rng(seed)
    found: dict[str, list[Estimate]] = {}
    for run in range(runs):
        for estimate in estimates(case, rng):
            found.setdefault(estimate.method, []).append(estimate)
        step(run + 1, runs)
    return [
        Covered(
            case=case.name,
            method=method,
            runs=runs,
            covered=sum(e.covers(truth) for e in made),
            plain=sum(abs(e.value - truth) <= _NORMAL_95 * e.standard_error for e in made),
            effective=float(np.median([e.effective_sample_size for e in made])),
        )
        for method, made in found.items()
    ]


def estimates(case: Case, rng: np.random.Generator) -> Iterator[Estimate]:
    """IPS, SNIPS and DR of the candidate from one new log; the reward model sees the kind of person."""
    kinds, log = case.world.log(case.logging, case.rows, rng)
    target = kinds @ case.candidate
    x = np.hstack([np.ones((len(log), 1)), kinds])
    folds = folds_of(len(log), _FOLDS, rng)
    yield ips(log, target)
    yield snips(log, target)
    yield dr(log, target, cross_fitted(x, log.actions, log.rewards, target.shape[1], folds))


def refused(case: Case, runs: int, seed: int = 13) -> tuple[int, float]:
    """In how many logs the evaluation refuses to judge the candidate, and their median effective sample size."""
    rng, sizes, refusals = np.random.default_rng(seed), [], 0
    for _ in range(runs):
        kinds, log = case.world.log(case.logging, case.rows, rng)
        target = kinds @ case.candidate
        sizes.append(effective_sample_size(log.taken(target) / log.propensities))
        try:
            snips(log, target)
        except SupportThin:
            refusals += 1
    return refusals, float(np.median(sizes))


def agreeing(case: Case, runs: int, seed: int = 17) -> int:
    """In how many logs the logging policy agrees with its own log."""
    rng = np.random.default_rng(seed)
    logs = (case.world.log(case.logging, case.rows, rng) for _ in range(runs))
    return sum(self_check(log, kinds @ case.logging).agrees for kinds, log in logs)


def _score(found: Covered) -> Score:
    low, high = _wilson(found.covered, found.runs)
    return Score(
        task=TASK,
        metric=f"{found.method}, {found.case}, effective rows {found.effective:,.0f}",
        value=found.share,
        low=low,
        high=high,
        base_rate=found.plain / found.runs,
        must=_MUST,
    )


def _refusals(thin: Case, runs: int) -> Score:
    refusals, effective = refused(thin, runs)
    low, high = _wilson(refusals, runs)
    metric = f"refused, {thin.name}, effective rows {effective:,.1f}"
    return Score(task=TASK, metric=metric, value=refusals / runs, low=low, high=high, must=_MUST)


def _agreements(cases: Sequence[Case], runs: int) -> Score:
    """The A/A check: how often a logging policy is told from its own log to be what it is."""
    agreed = sum(agreeing(case, runs) for case in cases)
    low, high = _wilson(agreed, runs * len(cases))
    return Score(
        task=TASK, metric="A/A check agrees, all cases", value=agreed / (runs * len(cases)), low=low, high=high, must=_MUST
    )


def _wilson(hits: int, runs: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z, p = _NORMAL_95, hits / runs
    half = z * math.sqrt(p * (1 - p) / runs + z * z / (4 * runs * runs))
    centre, scale = p + z * z / (2 * runs), 1 + z * z / runs
    return (centre - half) / scale, (centre + half) / scale


# -- the cases -------------------------------------------------------------------------------------------------------


def cases_of(trial: TrialLog, uniform: ClickLog, chosen: ClickLog) -> tuple[list[Case], Case]:
    """The cases that are judged, and the one that must be refused."""
    mail, shop = _mail(trial), _shop(uniform)
    best = np.eye(mail.rates.shape[1])[mail.rates.argmax(axis=1)]
    at_random, fixed = np.full_like(best, 1 / 3), np.tile(np.eye(3)[trial.best_arm()], (len(best), 1))
    explored = (1 - _EXPLORATION) * best + _EXPLORATION * (1 - best) / 2
    anything, thompson = np.full_like(shop.rates, 1 / shop.rates.shape[1]), _shown(chosen, shop.rates.shape)
    rarest = np.tile(np.eye(shop.rates.shape[1])[thompson.sum(axis=0).argmin()], (len(thompson), 1))
    return [
        Case(name="mail: random log, best arm a person", world=mail, logging=at_random, candidate=best, rows=3_000),
        Case(name="mail: log exploring 0.1, one arm for all", world=mail, logging=explored, candidate=fixed, rows=3_000),
        Case(name="mail: log exploring 0.1, random", world=mail, logging=explored, candidate=at_random, rows=3_000),
        Case(name="shop: random log, Thompson sampling", world=shop, logging=anything, candidate=thompson, rows=10_000),
        Case(name="shop: Thompson's log, random", world=shop, logging=thompson, candidate=anything, rows=10_000),
    ], Case(name="shop: Thompson's log, its rarest item for all", world=shop, logging=thompson, candidate=rarest, rows=10_000)


def _mail(trial: TrialLog) -> World:
    """Kinds: what they bought, how, whether they are new."""
    kinds = [(t["mens"], t["womens"], t["newbie"], t["channel"]) for t in trial.traits]
    places = {kind: i for i, kind in enumerate(sorted(set(kinds)))}
    return _counted([places[kind] for kind in kinds], trial.given, trial.rewards)


def _shop(uniform: ClickLog) -> World:
    """Kinds: the position on the page."""
    return _counted(uniform.positions, uniform.items, uniform.clicks)


def _counted(kinds: Sequence[int], actions: Sequence[int], rewards: Sequence[float]) -> World:
    shape = max(kinds) + 1, max(actions) + 1
    seen, answered = np.zeros(shape), np.zeros(shape)
    np.add.at(seen, (kinds, actions), 1.0)
    np.add.at(answered, (kinds, actions), rewards)
    return World(shares=seen.sum(axis=1) / seen.sum(), rates=answered / np.maximum(seen, 1.0))


def _shown(chosen: ClickLog, shape: tuple[int, ...]) -> Array:
    """(positions, items): how probable each item was where it was shown, on average; never seen counts as a thousandth."""
    seen, probable = np.zeros(shape), np.zeros(shape)
    np.add.at(seen, (chosen.positions, chosen.items), 1.0)
    np.add.at(probable, (chosen.positions, chosen.items), chosen.propensities)
    mean = np.maximum(probable / np.maximum(seen, 1.0), 1e-3)
    return np.asarray(mean / mean.sum(axis=1, keepdims=True), np.float64)
