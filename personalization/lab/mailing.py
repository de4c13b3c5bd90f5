"""Whom does a mailing change? Learners of uplift on randomised mailings, judged on people they did not see.

Protocol: 5 folds, thrice, the predictions of the three averaged. A person's uplift, and the outcomes that the doubly robust
scores need, come from models of the other four; how far those are drawn in is chosen there too, by the squared error of
outcomes. Whoever has uplift above 0 is mailed. Gains are doubly robust, over mailing nobody, in outcomes a person, with 95 %
intervals; their base rate is what mailing everybody gains, that of a Qini coefficient a random order. The files are for
benchmarks only: nothing that ships comes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from personalization.lab.datasets import TrialLog, insurance, starbucks
from personalization.lab.scores import Score
from personalization.learning.additive import additive, chosen_penalty
from personalization.learning.evaluation import Array, Estimate
from personalization.learning.qini import Qini, qini
from personalization.learning.uplift import (
    Fit,
    Predict,
    Trial,
    dr_learner,
    effects,
    folds_by_arm,
    gain,
    outcomes_expected,
    pseudo_effects,
)

INSURANCE, STARBUCKS = "insurance targeting", "promotion targeting (Starbucks)"
INSURANCE_FILES, STARBUCKS_FILES = ("insurance_rct.csv.gz",), ("starbucks_rct.csv.gz",)

#: What the gain must be, and what a T-learner over LightGBM reached, learned from the trial's training part and judged on its
#: validation part.
_MUST, _PEER = 0.025, 0.036
_FOLDS, _SPLITS, _SEED = 5, 3, 5
#: Folds for the models of outcomes inside the DR-learner.
_INNER = 2

Step = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One learner on one trial. mailed : share of the people"""

    name: str
    mailed: float
    gain: Estimate
    qini: Qini


def insurance_targeting(folder: Path, step: Step, peer: Fit | None = None) -> list[Score]:
    """The T-learner is what is asked about, beside one of the peer where one is given. Raises DataMissing."""
    log = insurance(folder)
    everybody, t, dr = judged(log, step)
    asked = _gain(INSURANCE, t, everybody, must=_MUST, peer=_PEER)
    return [
        asked if peer is None else asked.beside("T-LightGBM", t_learned(log, peer).value),
        Score(task=INSURANCE, metric=f"{t.name}: gain, lower bound", value=t.gain.low, base_rate=everybody.value, must=0.0),
        _gain(INSURANCE, dr, everybody),
        _qini(INSURANCE, t),
        _qini(INSURANCE, dr),
    ]


def starbucks_targeting(folder: Path, step: Step) -> list[Score]:
    """Reported only. Raises DataMissing."""
    everybody, *learners = judged(starbucks(folder), step)
    return [_gain(STARBUCKS, one, everybody) for one in learners] + [_qini(STARBUCKS, one) for one in learners]


def judged(log: TrialLog, step: Step = lambda done, total: None, seed: int = _SEED) -> tuple[Estimate, Judged, Judged]:
    """What mailing everybody gains, then T-learner (whose models of outcomes are those that judge) and DR-learner."""
    trial, rng = trial_of(log), np.random.default_rng(seed)
    learner = dr_learner(_fit(rng), _fit(rng, logistic=False), rng, _INNER)
    expected, uplift = np.zeros((len(trial), 2)), np.zeros(len(trial))
    for split in range(_SPLITS):
        folds = folds_by_arm(trial, _FOLDS, rng)
        expected += outcomes_expected(trial, _fit(rng), folds) / _SPLITS
        step(2 * split + 1, 2 * _SPLITS)
        uplift += effects(trial, learner, folds) / _SPLITS
        step(2 * split + 2, 2 * _SPLITS)
    return (
        gain(trial, np.ones(len(trial)), expected),
        _judged("T-learner", trial, expected[:, 1] - expected[:, 0], expected),
        _judged("DR-learner", trial, uplift, expected),
    )


def t_learned(log: TrialLog, fit: Fit, seed: int = _SEED) -> Estimate:
    """What a T-learner of another library gains, by this protocol; it is judged by its own models of outcomes, as ours is."""
    trial, rng = trial_of(log), np.random.default_rng(seed)
    found = [outcomes_expected(trial, fit, folds_by_arm(trial, _FOLDS, rng)) for _ in range(_SPLITS)]
    expected = np.mean(found, axis=0)
    return gain(trial, expected[:, 1] - expected[:, 0], expected)


def trial_of(log: TrialLog) -> Trial:
    """Arm 1 is the treatment; its propensity is its share of the trial."""
    treated = np.array(log.given) == 1
    return Trial(
        x=np.array([list(traits.values()) for traits in log.traits], np.float64),
        treated=treated,
        outcomes=np.array(log.rewards),
        propensities=np.full(len(log), treated.mean()),
    )


def _judged(name: str, trial: Trial, uplift: Array, expected: Array) -> Judged:
    return Judged(
        name=name,
        mailed=float((uplift > 0.0).mean()),
        gain=gain(trial, uplift, expected),
        qini=qini(uplift, pseudo_effects(trial, expected), np.abs(trial.per_propensity())),
    )


def _fit(rng: np.random.Generator, logistic: bool = True) -> Fit:
    """Drawn in as far as the rows it is fitted to say."""

    def fit(x: Array, y: Array) -> Predict:
        return additive(x, y, penalty=chosen_penalty(x, y, rng, logistic=logistic), logistic=logistic).predictions

    return fit


# -- scores ----------------------------------------------------------------------------------------------------------


def _gain(task: str, one: Judged, everybody: Estimate, *, must: float | None = None, peer: float | None = None) -> Score:
    return Score(
        task=task,
        metric=f"{one.name}: gain over mailing nobody, mails {one.mailed:.0%}",
        value=one.gain.value,
        low=one.gain.low,
        high=one.gain.high,
        peer=peer,
        base_rate=everybody.value,
        must=must,
    )


def _qini(task: str, one: Judged) -> Score:
    found = one.qini
    return Score(
        task=task,
        metric=f"{one.name}: Qini coefficient",
        value=found.coefficient,
        low=found.low,
        high=found.high,
        base_rate=0.0,
        curve=tuple(zip(found.shares.tolist(), found.gains.tolist(), strict=True)),
    )
