"""Who leaves and who answers, on real customers: the product's classifiers on rows that they never saw.

Design, method and calibration are learned anew from the rows that teach each fold. Figures are of all out-of-fold probabilities
together; intervals resample people. Peers are fitted in the same folds where they are given; else their figures are those
published for the whole logs, of which the folder may hold a part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from personalization.lab.datasets import OutcomeLog, bank_marketing, iranian_churn, telco
from personalization.lab.peers import Peer
from personalization.lab.scores import Curve, Score
from personalization.learning.calibration import auc, brier, expected_calibration_error
from personalization.learning.classifying import classifier, methods_of
from personalization.learning.crossfit import folds_of
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.tables import encoder

TELCO, TELCO_FILES = "Telco churn", ("telco.csv.gz",)
IRANIAN, IRANIAN_FILES = "Iranian churn", ("iranian_churn.csv.gz",)
BANK, BANK_FILES = "bank response, no duration", ("bank_marketing.csv.gz",)

_FOLDS, _RESAMPLES = 5, 200
_ECE = "5-fold ECE, 15 bins of equal mass"
#: In time, the share of a log that teaches.
_TEACHING = 0.7
#: Shares of the rows that teach a fold, below all of them, on the curve of what more rows teach.
_SHARES = (0.1, 0.2, 0.4, 0.7)
_PART = (
    "The published figure is of the whole log, 41,188 calls over which the economy, and with it the share of answers, changed; "
    "this file holds {rows:,} of them, of which {rate:.1%} answered."
)

NOBODY: Mapping[str, Peer] = MappingProxyType({})

Step = Callable[[int, int], None]
Measure = Callable[[Array, Array], float]
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Judged:
    """p (n,): of each judged row, from rows that it is not among. methods: which method served, one a fold. peers: their p (n,)."""

    y: Array
    p: Array
    methods: Counter[str]
    peers: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One figure and what it is held against; base_rate: the same of one probability for all; why: said where it is missed."""

    metric: str
    measure: Measure
    base_rate: float | None = None
    peer: float | None = None
    must: float | None = None
    at_most: bool = False
    why: str = ""
    curve: Callable[[Judged], Points] | None = None
    drawn: Curve = Curve.CALIBRATION


def telco_churn(folder: Path, step: Step, peers: Mapping[str, Peer] = NOBODY) -> list[Score]:
    """Five folds. Raises DataMissing."""
    log = telco(folder)
    found, more = cross_validated(log, step, peers=peers), partial(taught_more, log)
    rate = float(found.y.mean())
    asked = [
        Asked(metric="5-fold AUC", measure=auc, base_rate=0.5, peer=0.849, must=0.84, curve=more, drawn=Curve.LEARNING),
        Asked(metric="5-fold Brier", measure=brier, base_rate=rate * (1.0 - rate), peer=0.135, must=0.137, at_most=True),
        Asked(metric=_ECE, measure=expected_calibration_error, must=0.03, at_most=True, curve=reliability),
        Asked(metric="5-fold accuracy", measure=accuracy, base_rate=1.0 - rate, peer=0.804),
    ]
    return scores(TELCO, found, asked)


def iranian(folder: Path, step: Step, peers: Mapping[str, Peer] = NOBODY) -> list[Score]:
    """Five folds of the rows that differ. Raises DataMissing."""
    log = iranian_churn(folder).distinct()
    found, more = cross_validated(log, step, peers=peers), partial(taught_more, log)
    rate = float(found.y.mean())
    asked = [
        Asked(metric="5-fold accuracy", measure=accuracy, base_rate=1.0 - rate, peer=0.950, must=0.94),
        Asked(metric="5-fold AUC", measure=auc, base_rate=0.5, peer=0.982, must=0.97, curve=more, drawn=Curve.LEARNING),
        Asked(metric=_ECE, measure=expected_calibration_error, at_most=True, curve=reliability),
    ]
    return scores(IRANIAN, found, asked)


def bank_response(folder: Path, step: Step, peers: Mapping[str, Peer] = NOBODY) -> list[Score]:
    """Five folds, and the last 30 % of the calls after the first 70 %. Raises DataMissing."""
    log = bank_marketing(folder)
    found = cross_validated(log, lambda done, total: step(done, total + 1), peers=peers)
    later = in_time(log, peers=peers)
    step(_FOLDS + 1, _FOLDS + 1)
    rate = float(found.y.mean())
    why = _PART.format(rows=len(log), rate=rate)
    asked = [
        Asked(metric="5-fold AUC", measure=auc, base_rate=0.5, peer=0.791, must=0.78, why=why),
        Asked(metric=_ECE, measure=expected_calibration_error, at_most=True, curve=reliability),
        Asked(metric="5-fold accuracy", measure=accuracy, base_rate=1.0 - rate, peer=0.900),
    ]
    in_order = [Asked(metric="time split AUC", measure=auc, base_rate=0.5, peer=0.654)]
    return scores(BANK, found, asked) + scores(BANK, later, in_order)


def cross_validated(
    log: OutcomeLog,
    step: Step = lambda done, total: None,
    seed: int = 5,
    *,
    share: float = 1.0,
    peers: Mapping[str, Peer] = NOBODY,
) -> Judged:
    """share: of the rows of the other folds, those that teach."""
    rng = np.random.default_rng(seed)
    folds = folds_of(len(log), _FOLDS, rng)
    p, methods, beside = np.empty(len(log)), Counter[str](), {name: np.empty(len(log)) for name in peers}
    for fold in range(_FOLDS):
        held, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        taught = others if share == 1.0 else np.sort(rng.permutation(others)[: int(share * len(others))])
        p[held], method = _predicted(log, taught, held, rng)
        for name, found in _predicted_by(peers, log, taught, held).items():
            beside[name][held] = found
        methods[method] += 1
        step(fold + 1, _FOLDS)
    return Judged(np.array(log.outcomes), p, methods, beside)


def taught_more(log: OutcomeLog, found: Judged) -> Points:
    """(rows that taught a fold, AUC), ending in what all of them taught."""
    whole = len(log) * (_FOLDS - 1) // _FOLDS
    fewer = ((share, cross_validated(log, share=share)) for share in _SHARES)
    return (*((float(int(share * whole)), auc(one.y, one.p)) for share, one in fewer), (float(whole), auc(found.y, found.p)))


def reliability(found: Judged, bins: int = 15) -> Points:
    """(mean probability, share of ones) of bins of equal mass, as `expected_calibration_error` takes them."""
    parts = np.array_split(np.argsort(found.p, kind="stable"), bins)
    return tuple((float(found.p[part].mean()), float(found.y[part].mean())) for part in parts if len(part))


def in_time(log: OutcomeLog, seed: int = 5, *, peers: Mapping[str, Peer] = NOBODY) -> Judged:
    """The first rows teach, the others judge; what serves is chosen by what foretold later rows among the first. A straight line
    that goes on beyond all values seen (as scikit-learn's does, ours stops) ranks the bank's later calls better, by luck: in
    the same choice among the first rows it loses far more than the base rate does."""
    rows, end = np.arange(len(log)), int(_TEACHING * len(log))
    p, method = _predicted(log, rows[:end], rows[end:], np.random.default_rng(seed), in_order=True)
    return Judged(np.array(log.outcomes[end:]), p, Counter([method]), _predicted_by(peers, log, rows[:end], rows[end:]))


def scores(task: str, found: Judged, asked: Sequence[Asked]) -> list[Score]:
    return [_score(task, found, one) for one in asked]


def accuracy(y: Array, p: Array) -> float:
    return float(np.mean((p > 0.5) == (y == 1.0)))


def _predicted(
    log: OutcomeLog, taught: IntArray, held: IntArray, rng: np.random.Generator, in_order: bool = False
) -> tuple[Array, str]:
    known = log.rows(taught.tolist())
    design = encoder(known.table)
    x, y, at = design.design(known.table), np.array(known.outcomes), taught if in_order else None
    served = classifier(x, y, rng, methods_of(design.bent), at=at)
    return served.probabilities(design.design(log.rows(held.tolist()).table)), served.method


def _predicted_by(peers: Mapping[str, Peer], log: OutcomeLog, taught: IntArray, held: IntArray) -> dict[str, Array]:
    known, others = log.rows(taught.tolist()), log.rows(held.tolist())
    return {name: peer(known, others) for name, peer in peers.items()}


def _score(task: str, found: Judged, asked: Asked) -> Score:
    """The metric's name says which methods served the folds; an ECE has no interval, resampling moves it up."""
    served = ", ".join(f"{method} x{count}" for method, count in found.methods.most_common())
    low, high = (None, None) if asked.measure is expected_calibration_error else _interval(found, asked.measure)
    beside = {name: asked.measure(found.y, p) for name, p in found.peers.items()}
    score = Score(
        task=task,
        metric=f"{asked.metric} ({served})",
        value=asked.measure(found.y, found.p),
        low=low,
        high=high,
        peer=asked.peer,
        base_rate=asked.base_rate,
        must=asked.must,
        at_most=asked.at_most,
        curve=asked.curve(found) if asked.curve else (),
        drawn=asked.drawn,
    )
    return _noted(_held_against(score, beside), asked.why, beside)


def _held_against(score: Score, beside: Mapping[str, float]) -> Score:
    """The best of the peers that were measured, if any was."""
    if not beside:
        return score
    best = (min if score.at_most else max)(beside, key=lambda name: beside[name])
    return score.beside(best, beside[best])


def _noted(score: Score, why: str, beside: Mapping[str, float]) -> Score:
    """Why it was missed, and what others reach."""
    if score.met is not False:
        return score
    reached = ", ".join(f"{name} {value:.4f}" for name, value in beside.items())
    others = f"On the same rows and folds: {reached}." if reached else "--peers shows what others reach on the same rows."
    return replace(score, note=f"{why} {others}".strip())


def _interval(found: Judged, measure: Measure, seed: int = 1) -> tuple[float, float]:
    rng, n = np.random.default_rng(seed), len(found.y)
    drawn = (rng.integers(n, size=n) for _ in range(_RESAMPLES))
    low, high = np.quantile([measure(found.y[rows], found.p[rows]) for rows in drawn], (0.025, 0.975))
    return float(low), float(high)
