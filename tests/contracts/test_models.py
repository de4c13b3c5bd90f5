"""Laws that every family of predictive models keeps, whatever its method. A family is one line in LAWFUL."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest

from personalization.clock import DAY
from personalization.errors import ArrayInvalid, ArtifactRefused
from personalization.learning.tables import Value
from personalization.models import artifact, churn, engagement
from personalization.models.base import Examples, Family, Features, Model

PLANS = ("free", "pro", "team")


def known(n: int, rng: np.random.Generator) -> tuple[dict[str, list[Value]], np.ndarray]:
    """Features of n people, and what they add to the log-odds of something good."""
    engaged, sends, plan = rng.beta(1.0, 3.0, n), rng.poisson(9.0, n).astype(np.float64), rng.integers(3, size=n)
    quiet = np.where(rng.random(n) < 0.2, np.nan, rng.gamma(2.0, 10.0, n))
    table: dict[str, list[Value]] = {
        "engagement_score": engaged.tolist(),
        "sends": sends.tolist(),
        "days_since_engaged": [None if math.isnan(days) else days for days in quiet.tolist()],
        "trait:plan": [PLANS[k] for k in plan.tolist()],
    }
    return table, 6.0 * (engaged - 0.25) + 0.5 * (plan - 1.0) - np.where(np.isnan(quiet), 1.0, quiet / 40.0)


def sends(n: int, seed: int) -> Examples:
    """Of people who come again and again."""
    rng = np.random.default_rng(seed)
    table, logit = known(n, rng)
    shifts = {"opened": 0.0, "clicked": -1.5, "converted": -2.5, "replied": -4.0}
    outcomes = {kind: _drawn(logit + shift, rng) for kind, shift in shifts.items()}
    outcomes["unsubscribed"] = _drawn(-5.0 - logit, rng)
    return _cases(table, outcomes, people=rng.integers(max(n // 5, 1), size=n))


def leavers(n: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    table, logit = known(n, rng)
    return _cases(table, {"churned": _drawn(-0.5 - logit, rng)}, people=np.arange(n))


def _drawn(logit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (rng.random(len(logit)) < 1.0 / (1.0 + np.exp(-logit))).astype(np.float64)


def _cases(table: Mapping[str, Sequence[Value]], outcomes: Mapping[str, np.ndarray], people: np.ndarray) -> Examples:
    return Examples(table=table, outcomes=outcomes, at=np.arange(len(people)) * DAY, people=people, horizon=DAY)


@dataclass(frozen=True)
class Lawful:
    """family, and so many planted cases of a seed that it can learn from    probabilities : those of its scores that are such
    beats : figures that must be better than the base rate's by so much (a loss lower)
    """

    family: Family
    planted: Callable[[int, int], Examples]
    probabilities: tuple[str, ...]
    beats: Mapping[str, float]


LAWFUL = (
    Lawful(engagement.FAMILY, sends, engagement.FAMILY.scores, {"open_log_loss": 0.05, "engagement_prediction_log_loss": 0.05}),
    Lawful(churn.FAMILY, leavers, churn.FAMILY.scores, {"churn_log_loss": 0.05}),
)
MANY = 600


@pytest.fixture(params=LAWFUL, ids=lambda law: str(law.family.model_id), scope="module")
def law(request: pytest.FixtureRequest) -> Lawful:
    found: Lawful = request.param
    return found


@pytest.fixture(scope="module")
def model(law: Lawful) -> Model:
    return law.family.fit(law.planted(MANY, 1), np.random.default_rng(1))


def features(examples: Examples, row: int) -> dict[str, Value]:
    return {name: values[row] for name, values in examples.table.items()}


def body(law: Lawful, model: Model) -> bytes:
    return artifact.written(model.pack(), law.family.model_id)


def sane(law: Lawful, model: Model, of: Features) -> None:
    """Every score is there, finite, inside its interval, and a probability where it is one."""
    predicted, explained = model.predict(of), model.explain(of)
    assert tuple(predicted) == law.family.scores
    assert set(explained) == set(predicted)
    for name in law.probabilities:
        value, told = predicted[name], explained[name]
        assert isinstance(value, float)
        assert 0.0 <= value <= 1.0
        assert told.value == pytest.approx(value, abs=1e-9)
        low, high = told.low, told.high
        assert low is not None
        assert high is not None
        assert 0.0 <= low <= value + 1e-9
        assert value - 1e-9 <= high <= 1.0
        assert all(math.isfinite(weight) for _, weight in told.reasons)


def test_a_family_says_what_it_is(law: Lawful) -> None:
    family = law.family
    assert all((family.model_id, family.model_type, family.scores, family.least > 0))
    assert set(law.probabilities) <= set(family.scores)


def test_the_same_cases_and_seed_make_the_same_model(law: Lawful, model: Model) -> None:
    again = law.family.fit(law.planted(MANY, 1), np.random.default_rng(1))
    assert body(law, again) == body(law, model)


def test_what_is_given_is_not_altered(law: Lawful, model: Model) -> None:
    cases = law.planted(200, 3)
    before = copy.deepcopy((dict(cases.table), dict(cases.outcomes), cases.at, cases.people))
    law.family.judge(law.family.fit(cases, np.random.default_rng(2)), cases)
    of = features(cases, 0)
    asked = dict(of)
    model.predict(of)
    model.explain(of)
    assert of == asked
    after = (dict(cases.table), dict(cases.outcomes), cases.at, cases.people)
    assert before[0] == after[0]
    assert all(np.array_equal(before[1][name], after[1][name]) for name in before[1])
    assert np.array_equal(before[2], after[2])
    assert np.array_equal(before[3], after[3])


def test_a_model_that_was_kept_predicts_to_the_bit_what_it_did(law: Lawful, model: Model) -> None:
    restored = law.family.unpack(artifact.read(body(law, model), law.family.model_id))
    cases = law.planted(50, 5)
    for row in range(len(cases)):
        assert restored.predict(features(cases, row)) == model.predict(features(cases, row))
    assert restored.explain(features(cases, 0)) == model.explain(features(cases, 0))
    assert body(law, restored) == body(law, model)


def test_what_pack_did_not_make_is_refused(law: Lawful) -> None:
    with pytest.raises(ArtifactRefused):
        law.family.unpack({"nothing": 1})


STRANGE: tuple[Features, ...] = (
    {},
    {"never heard of": 1.0},
    {"engagement_score": math.nan, "sends": math.inf, "days_since_engaged": -math.inf, "trait:plan": " "},
    {"engagement_score": "text", "sends": None, "days_since_engaged": 1e300, "trait:plan": 3.0},
    {"engagement_score": 1, "sends": -5, "days_since_engaged": True, "trait:plan": "unseen"},
)


@pytest.mark.parametrize("of", STRANGE)
def test_every_answer_is_finite_whatever_is_known(law: Lawful, model: Model, of: Features) -> None:
    sane(law, model, of)
    prior = law.family.prior()
    if prior is not None:
        sane(law, prior, of)
        restored = law.family.unpack(artifact.read(body(law, prior), law.family.model_id))
        assert restored.predict(of) == prior.predict(of)


def test_one_person_is_told_what_many_are(law: Lawful, model: Model) -> None:
    cases = law.planted(200, 7)
    judged = law.family.judge(model, cases)
    assert len(judged.losses) == len(cases)
    for name, p in judged.p.items():
        alone = [model.predict(features(cases, row))[name] for row in range(len(cases))]
        assert np.abs(np.array(alone, np.float64) - p).max() < 1e-9


def test_it_beats_the_base_rate_over_seeds(law: Lawful) -> None:
    gains: dict[str, list[float]] = {name: [] for name in law.beats}
    for seed in range(5):
        taught = law.family.fit(law.planted(MANY, seed), np.random.default_rng(seed))
        judged = law.family.judge(taught, law.planted(1_000, 100 + seed))
        for name, found in gains.items():
            found.append(judged.base[name] - judged.metrics[name])
    for name, found in gains.items():
        assert min(found) > 0.0, (name, found)
        assert float(np.mean(found)) > law.beats[name], (name, found)


def test_it_can_be_read_while_other_threads_teach_and_read(law: Lawful, model: Model) -> None:
    cases = law.planted(150, 9)
    expected = [model.predict(features(cases, row)) for row in range(20)]

    def teach() -> bytes:
        return body(law, law.family.fit(cases, np.random.default_rng(3)))

    def read() -> bool:
        return all([model.predict(features(cases, row)) for row in range(20)] == expected for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        taught, readers = [pool.submit(teach) for _ in range(2)], [pool.submit(read) for _ in range(2)]
        assert all(reader.result() for reader in readers)
        assert {one.result() for one in taught} == {teach()}


def test_no_cases_are_refused_with_a_reason(law: Lawful) -> None:
    with pytest.raises(ArrayInvalid):
        law.family.fit(law.planted(0, 1), np.random.default_rng(1))


def test_columns_that_say_nothing_do_no_harm(law: Lawful) -> None:
    cases = law.planted(300, 11)
    n = len(cases)
    empty: dict[str, list[Value]] = {
        "constant": [1.0] * n,
        "missing": [None] * n,
        "infinite": [math.inf] * n,
        "mostly": [None] * (n - 1) + [2.0],
        "one text": ["x"] * n,
    }
    taught = law.family.fit(replace(cases, table={**cases.table, **empty}), np.random.default_rng(1))
    sane(law, taught, {**features(cases, 0), "infinite": math.inf, "mostly": 2.0})


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_one_class_only_gives_a_finite_answer_of_its_rate(law: Lawful, outcome: float) -> None:
    cases = law.planted(200, 13)
    alike = replace(cases, outcomes={name: np.full(len(cases), outcome) for name in cases.outcomes})
    taught = law.family.fit(alike, np.random.default_rng(1))
    sane(law, taught, features(cases, 0))
    for name in law.probabilities:
        assert taught.predict(features(cases, 0))[name] == pytest.approx(outcome, abs=0.05)


def test_a_hundred_people_leave_wide_intervals(law: Lawful, model: Model) -> None:
    few, cases = law.family.fit(law.planted(100, 15), np.random.default_rng(1)), law.planted(100, 16)
    name = law.probabilities[0]
    for row in range(5):
        sane(law, few, features(cases, row))
    told = [few.explain(features(cases, row))[name] for row in range(20)]
    assert float(np.mean([(one.high or 0.0) - (one.low or 0.0) for one in told])) > 0.1
