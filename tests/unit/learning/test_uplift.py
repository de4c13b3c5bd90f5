from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from personalization.errors import Invalid, SupportThin
from personalization.learning.additive import additive
from personalization.learning.crossfit import folds_of
from personalization.learning.uplift import (
    Fit,
    Learner,
    Predict,
    Trial,
    deviations,
    dr_learner,
    effects,
    gain,
    outcomes_expected,
    propensities_estimated,
    pseudo_effects,
    t_learner,
)


def fitting(penalty: float, logistic: bool = True) -> Fit:
    def fit(x: np.ndarray, y: np.ndarray) -> Predict:
        return additive(x, y, penalty=penalty, logistic=logistic).predictions

    return fit


@pytest.fixture(params=["T", "DR"])
def learner(request: pytest.FixtureRequest) -> Learner:
    return learner_of(request.param)


def learner_of(name: str) -> Learner:
    if name == "T":
        return t_learner(fitting(10.0))
    return dr_learner(fitting(10.0), fitting(100.0, logistic=False), np.random.default_rng(1), folds=2)


def trial(rows: int = 4_000, seed: int = 1, confounded: bool = False) -> tuple[Trial, np.ndarray]:
    """The treatment helps where x_0 > 0 and harms elsewhere; x_1 moves the outcome, and where confounded the treatment too."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    effect = np.where(x[:, 0] > 0.0, 0.2, -0.1)
    p = 0.15 + 0.8 / (1.0 + np.exp(-2.0 * x[:, 1])) - 0.1 if confounded else np.full(rows, 0.4)
    treated = rng.random(rows) < p
    chance = 0.3 + 0.15 * np.tanh(x[:, 1]) + treated * effect
    outcomes = (rng.random(rows) < chance).astype(float)
    return Trial(x=x, treated=treated, outcomes=outcomes, propensities=p), effect


def folds(rows: int, k: int = 3) -> np.ndarray:
    return folds_of(rows, k, np.random.default_rng(2))


@pytest.mark.parametrize("seed", range(3))
def test_who_is_helped_and_who_is_harmed_is_told_apart(learner: Learner, seed: int) -> None:
    made, effect = trial(seed=seed)
    found = effects(made, learner, folds(len(made)))
    assert np.sqrt(np.square(found - effect).mean()) < 0.6 * effect.std()
    assert ((found > 0.0) == (effect > 0.0)).mean() > 0.85


def test_doubly_robust_effects_average_to_the_effect_even_where_outcomes_are_misjudged() -> None:
    made, effect = trial(rows=20_000)
    wrong = np.tile([0.9, 0.1], (len(made), 1))
    assert pseudo_effects(made, wrong).mean() == pytest.approx(effect.mean(), abs=0.03)
    assert pseudo_effects(made, wrong).std() > pseudo_effects(made, outcomes_expected(made, fitting(10.0), folds(20_000))).std()


@pytest.mark.parametrize("name", ["T", "DR"])
def test_a_person_does_not_know_their_own_outcome(name: str) -> None:
    made, _ = trial(rows=120)
    apart = folds(120)
    changed = replace(made, outcomes=np.where(np.arange(120) == 0, 1.0 - made.outcomes, made.outcomes))
    before, after = (effects(one, learner_of(name), apart) for one in (made, changed))
    same = apart == apart[0]
    assert (before[same] == after[same]).all()
    assert (before[~same] != after[~same]).any()


def test_the_same_seed_gives_the_same_effects_and_the_trial_stays_as_it_was() -> None:
    made, _ = trial(rows=300)
    before = made.x.copy(), made.outcomes.copy()

    first, again = (effects(made, learner_of("DR"), folds(300)) for _ in range(2))
    assert (first == again).all()
    assert (made.x == before[0]).all()
    assert (made.outcomes == before[1]).all()


def test_six_people_give_a_finite_answer(learner: Learner) -> None:
    made, _ = trial(rows=400)
    few = made.rows(np.concatenate([np.flatnonzero(made.treated)[:3], np.flatnonzero(~made.treated)[:3]]))
    assert np.isfinite(learner(few)(made.x)).all()


def test_uncertainty_is_as_wide_as_effects_learned_from_other_people_differ(learner: Learner) -> None:
    x = np.array([[1.0, 0.0, 0.0], [-1.0, 0.5, 0.0]])
    told = deviations(trial(rows=1_500)[0], learner, x, np.random.default_rng(4), draws=30)
    differing = np.std([learner(trial(rows=1_500, seed=seed)[0])(x) for seed in range(30)], axis=0)
    assert told == pytest.approx(differing, rel=0.6)
    assert (deviations(trial(rows=6_000)[0], learner, x, np.random.default_rng(4)) < told).all()


def test_what_targeting_gains_is_covered_and_a_cost_is_paid() -> None:
    made, effect = trial()
    expected = outcomes_expected(made, fitting(10.0), folds(len(made)))
    uplift = expected[:, 1] - expected[:, 0]
    free, dear = gain(made, uplift, expected), gain(made, uplift, expected, cost=0.1)
    assert free.covers(float(((uplift > 0.0) * effect).mean()))
    assert dear.covers(float(((uplift > 0.1) * (effect - 0.1)).mean()))
    assert free.low > 0.0
    assert dear.value < free.value
    assert gain(made, np.zeros(len(made)), expected).value == 0.0


def test_estimated_propensities_take_away_what_confounds() -> None:
    made, effect = trial(rows=12_000, confounded=True)
    apart = folds(len(made))
    estimated = replace(made, propensities=propensities_estimated(made.x, made.treated, fitting(10.0), apart))
    assert np.abs(estimated.propensities - made.propensities).mean() < 0.03
    naive = made.outcomes[made.treated].mean() - made.outcomes[~made.treated].mean()
    known_nothing = np.full((len(made), 2), made.outcomes.mean())
    mended = pseudo_effects(estimated, known_nothing).mean()
    assert abs(naive - effect.mean()) > 0.1
    assert abs(mended - effect.mean()) < 0.04


def test_propensities_keep_away_from_certainty() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(500, 1)) * 10.0
    found = propensities_estimated(x, x[:, 0] > 0.0, fitting(0.01), folds(500))
    assert found.min() >= 0.02
    assert found.max() <= 0.98


def test_trials_from_which_nothing_can_be_learned_are_refused() -> None:
    made, _ = trial(rows=50)
    with pytest.raises(Invalid, match="people with and people without"):
        replace(made, treated=np.ones(50, bool))
    with pytest.raises(Invalid, match="between 0 and 1"):
        replace(made, propensities=np.ones(50))
    with pytest.raises(Invalid, match="as many"):
        replace(made, outcomes=np.ones(49))
    with pytest.raises(Invalid, match="finite"):
        replace(made, outcomes=np.full(50, np.nan))
    with pytest.raises(Invalid, match="two folds"):
        effects(made, learner_of("T"), np.zeros(50, int))
    with pytest.raises(SupportThin):
        gain(made, np.ones(50), np.zeros((50, 2)))
