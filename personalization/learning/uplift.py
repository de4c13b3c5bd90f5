"""Whom does a message change? The effect of a treatment on each person, from a log in which not everybody got it.

Person i of n: x_i, treated t_i with probability p_i (known, as in a trial, or estimated), outcome y_i. The effect is
tau(x) = E[y | x, treated] - E[y | x, not], the uplift. Two learners, over any model of outcomes given as a function:

    T   (1)  tau(x) = m_1(x) - m_0(x), a model of the treated and one of the others         (Kuenzel et al. 2019, eq. 2)
    DR  (2)  a regression on x of  z_i = m_1 - m_0 + t_i (y_i - m_1) / p_i - (1 - t_i) (y_i - m_0) / (1 - p_i)

with m_a(x_i) from models that did not see row i (Kennedy 2020, "Towards optimal doubly robust estimation of heterogeneous
causal effects", algorithm 1). E[z | x] = tau(x) if either the propensities or the models of outcomes are right, so (2) may
be simpler than the outcomes are; (1) errs less where what moves the outcome also moves the effect, and rows are few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from personalization.errors import Invalid
from personalization.learning.crossfit import folds_of
from personalization.learning.evaluation import Array, ChoiceLog, Estimate, IntArray, difference

#: Rows (n, d) to expected outcomes or effects (n,).
Predict = Callable[[Array], Array]
#: Fits rows (n, d) and outcomes (n,).
Fit = Callable[[Array, Array], Predict]

#: Estimated propensities are held this far from 0 and 1, or single rows would carry everything (Crump et al. 2009: 0.1 to
#: drop such rows; we keep them, and cut what they weigh).
_LEAST_PROPENSITY = 0.02


@dataclass(frozen=True, kw_only=True)
class Trial:
    """n people, some of them treated. Raises Invalid on shapes or values that do not fit, or where one arm is empty.

    x : (n, d)    treated : (n,) bool    outcomes : (n,)    propensities : (n,) P(treated | x), in (0, 1)
    """

    x: Array
    treated: npt.NDArray[np.bool_]
    outcomes: Array
    propensities: Array

    def __post_init__(self) -> None:
        n = len(self.x)
        if self.x.ndim != 2 or any(column.shape != (n,) for column in (self.treated, self.outcomes, self.propensities)):
            raise Invalid.field("trial", "needs a table x and as many treated, outcomes and propensities as it has rows")
        if not (np.isfinite(self.x).all() and np.isfinite(self.outcomes).all()):
            raise Invalid.field("trial", "needs finite x and outcomes")
        if not ((self.propensities > 0.0).all() and (self.propensities < 1.0).all()):
            raise Invalid.field("propensities", "must lie between 0 and 1: whoever was sure of the treatment tells nothing of it")
        if self.treated.all() or not self.treated.any():
            raise Invalid.field("treated", "needs people with and people without the treatment")

    def __len__(self) -> int:
        return len(self.x)

    def rows(self, chosen: npt.NDArray[np.bool_] | IntArray) -> Trial:
        return Trial(
            x=self.x[chosen],
            treated=self.treated[chosen],
            outcomes=self.outcomes[chosen],
            propensities=self.propensities[chosen],
        )

    def per_propensity(self) -> Array:
        """(n,) 1 / p_i of the treated and -1 / (1 - p_i) of the others."""
        return np.where(self.treated, 1.0 / self.propensities, -1.0 / (1.0 - self.propensities))


#: Learns effects from a trial.
Learner = Callable[[Trial], Predict]


def t_learner(fit: Fit) -> Learner:
    """Equation (1)."""

    def learn(trial: Trial) -> Predict:
        without, with_it = _by_arm(trial, fit)
        return lambda x: with_it(x) - without(x)

    return learn


def dr_learner(fit: Fit, regress: Fit, rng: np.random.Generator, folds: int = 5) -> Learner:
    """Equation (2). fit : of outcomes    regress : of the z, which are real numbers even where outcomes are 0 or 1"""

    def learn(trial: Trial) -> Predict:
        expected = outcomes_expected(trial, fit, folds_by_arm(trial, folds, rng))
        return regress(trial.x, pseudo_effects(trial, expected))

    return learn


def folds_by_arm(trial: Trial, folds: int, rng: np.random.Generator) -> IntArray:
    """(n,) a fold number in [0, folds) for each person; both arms are spread evenly over the folds."""
    found = np.empty(len(trial), np.int64)
    for arm in (trial.treated, ~trial.treated):
        found[arm] = folds_of(int(arm.sum()), folds, rng)
    return found


def outcomes_expected(trial: Trial, fit: Fit, folds: IntArray) -> Array:
    """(n, 2) expected outcomes without and with the treatment, of models that did not see the row. folds : (n,)"""
    found = np.empty((len(trial), 2))
    for held in _held(folds):
        for arm, expected in enumerate(_by_arm(trial.rows(~held), fit)):
            found[held, arm] = expected(trial.x[held])
    return found


def pseudo_effects(trial: Trial, expected: Array) -> Array:
    """(n,) the z of equation (2). expected : (n, 2)"""
    missed = trial.outcomes - np.where(trial.treated, expected[:, 1], expected[:, 0])
    return np.asarray(expected[:, 1] - expected[:, 0] + trial.per_propensity() * missed, np.float64)


def effects(trial: Trial, learner: Learner, folds: IntArray) -> Array:
    """(n,) uplift of each person, learned from the other folds."""
    found = np.empty(len(trial))
    for held in _held(folds):
        found[held] = learner(trial.rows(~held))(trial.x[held])
    return found


def deviations(trial: Trial, learner: Learner, x: Array, rng: np.random.Generator, draws: int = 20) -> Array:
    """(m,) standard deviations of the uplift of people x : (m, d), learned from people drawn again (bootstrap, Efron 1979).
    What a penalty holds back shows in no draw: they are of the estimate, not of its bias."""
    drawn = [learner(trial.rows(_again(trial, rng)))(x) for _ in range(draws)]
    return np.asarray(np.std(drawn, axis=0, ddof=1), np.float64)


def propensities_estimated(x: Array, treated: npt.NDArray[np.bool_], fit: Fit, folds: IntArray) -> Array:
    """(n,) P(treated | x) where nobody wrote it down, each from the other folds. It is right only if x holds all that both
    the treatment and the outcome hang on (no unmeasured confounder), which no data can tell."""
    found = np.empty(len(x))
    for held in _held(folds):
        found[held] = fit(x[~held], treated[~held].astype(np.float64))(x[held])
    return np.clip(found, _LEAST_PROPENSITY, 1.0 - _LEAST_PROPENSITY)


def gain(trial: Trial, uplift: Array, expected: Array, *, cost: float = 0.0) -> Estimate:
    """What treating whoever has uplift > cost earns over treating nobody, a person: doubly robust, with its interval.

    uplift : (n,) learned without the row, as is expected : (n, 2)    cost : of a treatment, in units of the outcome
    Raises SupportThin, Invalid.
    """
    treat = (uplift > cost).astype(np.float64)
    log = ChoiceLog(
        actions=trial.treated.astype(np.int64),
        rewards=trial.outcomes - cost * trial.treated,
        propensities=1.0 / np.abs(trial.per_propensity()),
    )
    nobody = np.tile([1.0, 0.0], (len(trial), 1))
    return difference(log, np.column_stack([1.0 - treat, treat]), nobody, expected - [0.0, cost])


def _by_arm(trial: Trial, fit: Fit) -> tuple[Predict, Predict]:
    """Models of the outcome without, and with the treatment."""
    return (
        fit(trial.x[~trial.treated], trial.outcomes[~trial.treated]),
        fit(trial.x[trial.treated], trial.outcomes[trial.treated]),
    )


def _held(folds: IntArray) -> list[npt.NDArray[np.bool_]]:
    """Which rows each fold holds back."""
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise Invalid.field("folds", "needs at least two folds, or a row would be judged by what was learned from it")
    return [folds == fold for fold in numbers]


def _again(trial: Trial, rng: np.random.Generator) -> IntArray:
    """Rows drawn with replacement inside each arm, so that neither is ever empty."""
    arms = (np.flatnonzero(~trial.treated), np.flatnonzero(trial.treated))
    return np.concatenate([rng.choice(arm, len(arm)) for arm in arms])
