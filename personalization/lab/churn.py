"""Who leaves and who answers, on real customers: the product's classifiers on rows that they never saw.

Design, method and calibration are learned anew from the rows that teach each fold. Figures are of all out-of-fold probabilities
together; intervals resample people. Peers' figures are those published for the whole logs, of which the folder may hold a part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from personalization.lab.datasets import OutcomeLog, bank_marketing, iranian_churn, telco
from personalization.lab.scores import Score
from personalization.learning.calibration import auc, brier, expected_calibration_error
from personalization.learning.classifying import classifier, methods_of
from personalization.learning.crossfit import folds_of
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.tables import encoder

TELCO, TELCO_FILES = "Telco churn", ("telco.csv.gz",)
IRANIAN, IRANIAN_FILES = "Iranian churn", ("iranian_churn.csv.gz",)
BANK, BANK_FILES = "bank response, no duration", ("bank_marketing.csv.gz",)

_FOLDS, _RESAMPLES = 5, 200
#: In time, the share of a log that teaches.
_TEACHING = 0.7

Step = Callable[[int, int], None]
Measure = Callable[[Array, Array], float]


@dataclass(frozen=True)
class Judged:
    """p (n,): of each judged row, from rows that it is not among. methods: which method served, one a fold."""

    y: Array
    p: Array
    methods: Counter[str]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One figure and what it is held against; base_rate: the same of one probability for all."""

    metric: str
    measure: Measure
    base_rate: float | None = None
    peer: float | None = None
    must: float | None = None
    at_most: bool = False


def telco_churn(folder: Path, step: Step) -> list[Score]:
    """Five folds. Raises DataMissing."""
    found = cross_validated(telco(folder), step)
    rate = float(found.y.mean())
    asked = [
        Asked(metric="5-fold AUC", measure=auc, base_rate=0.5, peer=0.849, must=0.84),
        Asked(metric="5-fold Brier", measure=brier, base_rate=rate * (1.0 - rate), peer=0.135, must=0.137, at_most=True),
        Asked(metric="5-fold ECE, 15 bins of equal mass", measure=expected_calibration_error, must=0.03, at_most=True),
        Asked(metric="5-fold accuracy", measure=accuracy, base_rate=1.0 - rate, peer=0.804),
    ]
    return scores(TELCO, found, asked)


def iranian(folder: Path, step: Step) -> list[Score]:
    """Five folds of the rows that differ. Raises DataMissing."""
    found = cross_validated(iranian_churn(folder).distinct(), step)
    rate = float(found.y.mean())
    asked = [
        Asked(metric="5-fold accuracy", measure=accuracy, base_rate=1.0 - rate, peer=0.950, must=0.94),
        Asked(metric="5-fold AUC", measure=auc, base_rate=0.5, peer=0.982, must=0.97),
        Asked(metric="5-fold ECE, 15 bins of equal mass", measure=expected_calibration_error),
    ]
    return scores(IRANIAN, found, asked)


def bank_response(folder: Path, step: Step) -> list[Score]:
    """Five folds, and the last 30 % of the calls after the first 70 %. Raises DataMissing."""
    log = bank_marketing(folder)
    found = cross_validated(log, lambda done, total: step(done, total + 1))
    later = in_time(log)
    step(_FOLDS + 1, _FOLDS + 1)
    rate = float(found.y.mean())
    asked = [
        Asked(metric="5-fold AUC", measure=auc, base_rate=0.5, peer=0.791, must=0.78),
        Asked(metric="5-fold ECE, 15 bins of equal mass", measure=expected_calibration_error),
        Asked(metric="5-fold accuracy", measure=accuracy, base_rate=1.0 - rate, peer=0.900),
    ]
    in_order = [Asked(metric="time split AUC", measure=auc, base_rate=0.5, peer=0.654)]
    return scores(BANK, found, asked) + scores(BANK, later, in_order)


def cross_validated(log: OutcomeLog, step: Step = lambda done, total: None, seed: int = 5) -> Judged:
    rng = np.random.default_rng(seed)
    folds = folds_of(len(log), _FOLDS, rng)
    p, methods = np.empty(len(log)), Counter[str]()
    for fold in range(_FOLDS):
        held = np.flatnonzero(folds == fold)
        p[held], method = _predicted(log, np.flatnonzero(folds != fold), held, rng)
        methods[method] += 1
        step(fold + 1, _FOLDS)
    return Judged(np.array(log.outcomes), p, methods)


def in_time(log: OutcomeLog, seed: int = 5) -> Judged:
    """The first rows teach, the others judge; what serves is chosen by what foretold later rows among the first."""
    rows, end = np.arange(len(log)), int(_TEACHING * len(log))
    p, method = _predicted(log, rows[:end], rows[end:], np.random.default_rng(seed), in_order=True)
    return Judged(np.array(log.outcomes[end:]), p, Counter([method]))


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


def _score(task: str, found: Judged, asked: Asked) -> Score:
    """The metric's name says which methods served the folds; an ECE has no interval, resampling moves it up."""
    served = ", ".join(f"{method} x{count}" for method, count in found.methods.most_common())
    low, high = (None, None) if asked.measure is expected_calibration_error else _interval(found, asked.measure)
    return Score(
        task=task,
        metric=f"{asked.metric} ({served})",
        value=asked.measure(found.y, found.p),
        low=low,
        high=high,
        peer=asked.peer,
        base_rate=asked.base_rate,
        must=asked.must,
        at_most=asked.at_most,
    )


def _interval(found: Judged, measure: Measure, seed: int = 1) -> tuple[float, float]:
    rng, n = np.random.default_rng(seed), len(found.y)
    drawn = (rng.integers(n, size=n) for _ in range(_RESAMPLES))
    low, high = np.quantile([measure(found.y[rows], found.p[rows]) for rows in drawn], (0.025, 0.975))
    return float(low), float(high)
