"""What the product's own bandit learns from a randomised trial, judged by doubly robust evaluation on rows it never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from personalization.deciding.features import forget, gathered, moment_features, profile_features
from personalization.deciding.paths import Preference
from personalization.deciding.stages import staged
from personalization.lab.datasets import TrialLog, hillstrom
from personalization.lab.scores import Score
from personalization.learning.crossfit import cross_fitted, design, folds_of
from personalization.learning.drawing import GRID
from personalization.learning.encoding import Feature, Taken, channel_key, variant_acts
from personalization.learning.evaluation import Array, ChoiceLog, Estimate, IntArray, difference, dr, on_policy
from personalization.learning.logistic import RewardModel
from personalization.learning.policy import Policy, decode_policy, encode_policy
from personalization.learning.uplift import Fit
from personalization.profile import PersonalizationProfile

TASK = "Hillstrom policy, visit"
FILES = ("hillstrom.csv.gz",)

#: What is asked of the policy, and the best of those published for the whole log (VW, mtr).
_MUST, _PEER = 0.180, 0.1839
_FOLDS, _EXPLORATION = 5, 0.1
#: Monday, 9:00, for everybody: the trial's mails went out together.
_HOUR_OF_WEEK = 9

Step = Callable[[int, int], None]


def hillstrom_policy(folder: Path, step: Step, peer: Fit | None = None) -> list[Score]:
    """Scores of the greedy policy and of the one that explores, beside the trial's own mean and its best fixed arm, and the
    greedy one beside a T-learner of the peer where one is given.

    Raises DataMissing.
    """
    log = hillstrom(folder)
    random, fixed, greedy, explored, over = judged(log, step)
    asked = _score("DR, greedy", greedy, base_rate=random.value, must=_MUST, peer=_PEER)

    best = log.arms[log.best_arm()]
    return [
        asked if peer is None else asked.beside("T-LogisticRegression", t_learned(log, peer).value),
        Score(task=TASK, metric="DR, greedy, lower bound", value=greedy.low, base_rate=random.value, must=random.value),
        _score("DR, as explored (0.1)", explored, base_rate=random.value, must=_MUST),
        Score(task=TASK, metric="DR, as explored, lower bound", value=explored.low, base_rate=random.value, must=random.value),
        _score(f"DR, always {best}", fixed, base_rate=random.value),
        _score("DR, greedy minus best fixed", over, base_rate=0.0),
    ]


def _score(metric: str, found: Estimate, *, base_rate: float, must: float | None = None, peer: float | None = None) -> Score:
    return Score(
        task=TASK,
        metric=metric,
        value=found.value,
        low=found.low,
        high=found.high,
        peer=peer,
        base_rate=base_rate,
        must=must,
    )


def judged(
    log: TrialLog, step: Step = lambda done, total: None, seed: int = 5
) -> tuple[Estimate, Estimate, Estimate, Estimate, Estimate]:
    """random, best fixed arm, greedy, as explored, and greedy minus best fixed; policies and reward model are cross-fitted
    on the same folds, so no row judges what was learned from it."""
    contexts, given = contexts_of(log), np.array(log.given)
    rewards, k = np.array(log.rewards), len(log.arms)
    folds = folds_of(len(log), _FOLDS, np.random.default_rng(seed))
    greedy, explored = np.zeros((len(log), k)), np.zeros((len(log), k))
    for fold in range(_FOLDS):
        held = folds == fold
        policy = learned(log, contexts, np.flatnonzero(~held))
        greedy[held], explored[held] = choices(policy, [contexts[i] for i in np.flatnonzero(held)], log.arms)
        step(fold + 1, _FOLDS + 1)
    predictions = cross_fitted(design(contexts), given, rewards, k, folds, logistic=True)
    choice_log = ChoiceLog(actions=given, rewards=rewards, propensities=np.full(len(log), 1.0 / k))
    fixed = np.tile(np.eye(k)[log.best_arm()], (len(log), 1))
    step(_FOLDS + 1, _FOLDS + 1)
    return (
        on_policy(choice_log),
        dr(choice_log, fixed, predictions),
        dr(choice_log, greedy, predictions),
        dr(choice_log, explored, predictions),
        difference(choice_log, greedy, fixed, predictions),
    )


def t_learned(log: TrialLog, fit: Fit, seed: int = 5) -> Estimate:
    """The policy of a model of each arm's reward, on the folds and by the reward model of `judged`."""
    x, given, rewards, k = design(contexts_of(log)), np.array(log.given), np.array(log.rewards), len(log.arms)
    folds = folds_of(len(log), _FOLDS, np.random.default_rng(seed))
    best = np.empty(len(log), np.int64)
    for held in (folds == fold for fold in range(_FOLDS)):
        arms = [fit(x[~held & (given == arm)], rewards[~held & (given == arm)])(x[held]) for arm in range(k)]
        best[held] = np.argmax(arms, axis=0)
    choice_log = ChoiceLog(actions=given, rewards=rewards, propensities=np.full(len(log), 1.0 / k))
    return dr(choice_log, np.eye(k)[best], cross_fitted(x, given, rewards, k, folds, logistic=True))


def contexts_of(log: TrialLog) -> list[tuple[Feature, ...]]:
    """What the product's policy sees of each person."""
    forget()  # people of another log had the same pseudonyms
    people = (PersonalizationProfile(tenant_id="trial", user_ref=i.to_bytes(16, "big"), traits=t) for i, t in enumerate(log.traits))
    moment = moment_features(_HOUR_OF_WEEK)
    return [gathered(profile_features(person, "en"), moment) for person in people]


def learned(log: TrialLog, contexts: Sequence[tuple[Feature, ...]], rows: IntArray) -> Policy:
    """The policy the product would publish after these rows."""
    model, arms = RewardModel(), _actions(log.arms)
    mails = [Taken(arms[log.given[i]], channel_key("email"), _HOUR_OF_WEEK) for i in rows]
    entered = model.enter([contexts[i] for i in rows], mails, [log.rewards[i] for i in rows], [1.0] * len(rows))
    model.settle([row.block for row in entered])
    return decode_policy(encode_policy(model, {}), 1, "variants:trial")


def choices(policy: Policy, contexts: Sequence[tuple[Feature, ...]], arms: Sequence[str]) -> tuple[Array, Array]:
    """(n, k) probabilities of each arm, greedy and with the exploration that is shipped, on the grid of a real draw."""
    found = policy.variants(contexts, _actions(arms))
    options = tuple(range(len(arms)))
    explored = [staged(Preference(options, choice.shares, choice.greedy), _EXPLORATION).bounds for choice in found]
    greedy = np.eye(len(arms))[[choice.greedy for choice in found]]
    return greedy, np.array([list(_steps(bounds)) for bounds in explored]) / GRID


def _actions(arms: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    return tuple(variant_acts(arm, ()) for arm in arms)


def _steps(bounds: Sequence[int]) -> Iterator[int]:
    yield from (upper - lower for lower, upper in pairwise((0, *bounds)))
