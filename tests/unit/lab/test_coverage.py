from __future__ import annotations

import numpy as np
import pytest

from personalization.errors import SupportThin
from personalization.lab.coverage import Case, World, agreeing, cases_of, covered, estimates, refused
from personalization.lab.datasets import ClickLog, TrialLog
from personalization.learning.evaluation import self_check

WORLD = World(shares=np.array([0.6, 0.4]), rates=np.array([[0.3, 0.1], [0.05, 0.2]]))
EVEN = np.full((2, 2), 0.5)


def case(candidate: np.ndarray, logging: np.ndarray = EVEN, rows: int = 400) -> Case:
    return Case(name="made up", world=WORLD, logging=logging, candidate=candidate, rows=rows)


def test_a_worlds_value_is_what_its_logs_earn_on_average() -> None:
    policy = np.array([[0.9, 0.1], [0.2, 0.8]])
    kinds, log = WORLD.log(policy, 200_000, np.random.default_rng(1))
    assert WORLD.value(policy) == pytest.approx(0.6 * (0.9 * 0.3 + 0.1 * 0.1) + 0.4 * (0.2 * 0.05 + 0.8 * 0.2))
    assert log.rewards.mean() == pytest.approx(WORLD.value(policy), abs=0.005)
    assert kinds.mean(axis=0) == pytest.approx(WORLD.shares, abs=0.005)
    assert (log.propensities == log.taken(kinds @ policy)).all()


def test_coverage_counts_intervals_that_hold_the_truth() -> None:
    found = covered(case(np.array([[1.0, 0.0], [0.0, 1.0]])), runs=60)
    assert [one.method for one in found] == ["ips", "snips", "dr"]
    assert all(one.share >= 0.85 for one in found)
    assert all(180 < one.effective < 220 for one in found)


def test_coverage_would_show_intervals_around_the_wrong_value() -> None:
    right = case(np.eye(2))
    rng = np.random.default_rng(2)
    elsewhere = World(shares=WORLD.shares, rates=WORLD.rates + 0.2).value(right.candidate)
    assert sum(e.covers(elsewhere) for _ in range(20) for e in estimates(right, rng)) < 10


def test_a_thin_case_is_refused_and_shows_its_effective_sample_size() -> None:
    thin = case(np.eye(2)[[1, 1]], logging=np.array([[0.98, 0.02], [0.98, 0.02]]))
    refusals, effective = refused(thin, runs=20)
    assert refusals == 20
    assert effective < 20
    with pytest.raises(SupportThin):
        covered(thin, runs=1)


def test_a_logging_policy_agrees_with_its_own_log_and_not_with_anothers() -> None:
    honest = case(np.eye(2))
    assert agreeing(honest, runs=20) >= 17
    rng = np.random.default_rng(9)
    _, log = honest.world.log(honest.logging, honest.rows, rng)
    assert not self_check(log, np.tile([0.8, 0.2], (len(log), 1))).agrees


def test_cases_are_made_from_real_tables() -> None:
    rng = np.random.default_rng(3)
    traits = [{"mens": True, "womens": i % 2 == 0, "newbie": False, "channel": ("Web", "Phone")[i % 3 % 2]} for i in range(300)]
    given = rng.integers(3, size=300).tolist()
    trial = TrialLog(name="t", arms=("a", "b", "c"), traits=traits, given=given, rewards=[float(arm == 1) for arm in given])
    shown = ClickLog(items=[0, 1, 2, 0] * 30, positions=[0, 0, 1, 1] * 30, propensities=[0.5] * 120, clicks=[1.0, 0, 0, 0] * 30)
    cases, thin = cases_of(trial, shown, shown)
    for one in [*cases, thin]:
        assert one.logging.shape == one.candidate.shape == one.world.rates.shape
        assert one.logging.sum(axis=1) == pytest.approx(1.0)
        assert one.world.shares.sum() == pytest.approx(1.0)
    assert cases[0].world.value(cases[0].candidate) == 1.0
    assert cases[3].world.rates.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
