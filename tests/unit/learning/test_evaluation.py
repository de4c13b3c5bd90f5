from __future__ import annotations

import math

import numpy as np
import pytest

from personalization.errors import Invalid, SupportThin
from personalization.learning.crossfit import cross_fitted, folds_of
from personalization.learning.evaluation import (
    Array,
    ChoiceLog,
    Estimate,
    difference,
    dr,
    ips,
    on_policy,
    self_check,
    snips,
)
from personalization.learning.intervals import effective_sample_size

#: Two kinds of people, three actions: how often each is answered, and how the log and the candidate choose.
RATES = np.array([[0.05, 0.20, 0.10], [0.15, 0.02, 0.10]])
LOGGING = np.array([[0.7, 0.1, 0.2], [0.2, 0.7, 0.1]])
CANDIDATE = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
TRUTH = float((CANDIDATE * RATES).sum(axis=1).mean())


def made(rows: int, seed: int, rates: Array = RATES) -> tuple[ChoiceLog, Array]:
    """A log with known truth, and each row's kind."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(2, size=rows)
    actions = (LOGGING.cumsum(axis=1)[kinds] < rng.random(rows)[:, None]).sum(axis=1)
    rewards = (rng.random(rows) < rates[kinds, actions]).astype(float)
    return ChoiceLog(actions=actions, rewards=rewards, propensities=LOGGING[kinds, actions]), kinds


def predicted(log: ChoiceLog, kinds: np.ndarray, seed: int = 0) -> Array:
    folds = folds_of(len(log), 2, np.random.default_rng(seed))
    return cross_fitted(np.eye(2)[kinds], log.actions, log.rewards, 3, folds)


def test_by_hand_on_four_rows() -> None:
    log = ChoiceLog(
        actions=np.array([0, 1, 0, 1]), rewards=np.array([1.0, 0.0, 0.0, 1.0]), propensities=np.array([0.5, 0.5, 0.8, 0.2])
    )
    target = np.array([[0.5, 0.5]] * 4)
    weights = np.array([1.0, 1.0, 0.625, 2.5])
    assert ips(log, target, least=0).value == pytest.approx((1.0 + 2.5) / 4)
    found = snips(log, target, least=0)
    assert found.value == pytest.approx(3.5 / 5.125)
    error = math.sqrt(float((weights**2 * (log.rewards - found.value) ** 2).sum()) * 4 / 3) / 5.125
    assert found.standard_error == pytest.approx(error)
    assert found.effective_sample_size == pytest.approx(5.125**2 / float(weights @ weights))
    predictions = np.array([[0.5, 0.1]] * 4)
    scores = 0.3 + weights * (log.rewards - np.array([0.5, 0.1, 0.5, 0.1]))
    assert dr(log, target, predictions, least=0).value == pytest.approx(scores.mean())


@pytest.mark.parametrize("method", ["ips", "snips", "dr"])
def test_intervals_hold_the_known_truth_of_made_up_logs(method: str) -> None:
    runs, inside, values = 200, 0, []
    for run in range(runs):
        log, kinds = made(1_500, seed=run)
        target = CANDIDATE[kinds]
        found: Estimate = (
            dr(log, target, predicted(log, kinds)) if method == "dr" else {"ips": ips, "snips": snips}[method](log, target)
        )
        inside += found.covers(TRUTH)
        values.append(found.value)
    assert inside >= 0.90 * runs
    assert inside < runs
    assert abs(np.mean(values) - TRUTH) < 4 * np.std(values) / math.sqrt(runs)


def test_a_skewed_log_needs_the_correction_that_a_normal_interval_lacks() -> None:
    rates, target = np.full((2, 2), 0.02), np.tile([0.05, 0.95], (600, 1))
    judged = inside = plain = 0
    for run in range(300):
        rng = np.random.default_rng(run)
        actions = (rng.random(600) < 0.1).astype(int)
        rewards = (rng.random(600) < rates[0, actions]).astype(float)
        log = ChoiceLog(actions=actions, rewards=rewards, propensities=np.where(actions == 1, 0.1, 0.9))
        try:
            found = ips(log, target, least=30)
        except SupportThin:
            continue
        judged += 1
        inside += found.covers(0.02)
        plain += abs(found.value - 0.02) <= 1.96 * found.standard_error
    assert judged > 270
    assert plain < 0.80 * judged
    assert inside >= 0.92 * judged


def test_doubly_robust_forgives_wrong_predictions_and_gains_from_good_ones() -> None:
    log, kinds = made(20_000, seed=1)
    target = CANDIDATE[kinds]
    wrong = dr(log, target, np.full((len(log), 3), 0.9))
    good = dr(log, target, RATES[kinds])
    assert wrong.covers(TRUTH)
    assert good.covers(TRUTH)
    assert good.standard_error < 0.95 * ips(log, target).standard_error < wrong.standard_error


def test_a_policy_on_its_own_log_covers_what_it_earned() -> None:
    log, kinds = made(3_000, seed=2)
    own = LOGGING[kinds]
    check = self_check(log, own)
    assert check.agrees
    assert check.mean == pytest.approx(on_policy(log).value)
    for found in (snips(log, own), dr(log, own, predicted(log, kinds))):
        assert found.covers(check.mean)


def test_propensities_that_are_not_those_of_the_draw_are_found() -> None:
    log, kinds = made(3_000, seed=2)
    said = np.roll(LOGGING, 1, axis=1)[kinds]
    lying = ChoiceLog(actions=log.actions, rewards=log.rewards, propensities=log.taken(said))
    assert not self_check(lying, said).agrees


def test_clipping_says_what_it_cut_and_how_far_off_it_may_be() -> None:
    log, kinds = made(5_000, seed=3)
    target = CANDIDATE[kinds]
    for estimator in (ips, snips):
        whole, cut = estimator(log, target), estimator(log, target, clip=2.0)
        assert whole.clipped is None
        assert cut.clipped is not None
        weights = log.taken(target) / log.propensities
        assert cut.clipped.rows == np.count_nonzero(weights > 2.0)
        assert cut.clipped.share == pytest.approx(1 - np.minimum(weights, 2.0).sum() / weights.sum())
        assert 0 < abs(whole.value - cut.value) <= cut.clipped.bias_bound
        assert cut.effective_sample_size > whole.effective_sample_size
    unneeded = ips(log, target, clip=100.0)
    assert unneeded.clipped is not None
    assert (unneeded.clipped.rows, unneeded.clipped.share, unneeded.clipped.bias_bound) == (0, 0.0, 0.0)


def test_thin_support_is_refused_with_what_is_missing() -> None:
    log, kinds = made(200, seed=4)
    with pytest.raises(SupportThin, match=r"200 rows weigh as much as \d+\.\d, at least 150 are needed"):
        snips(log, CANDIDATE[kinds], least=150)


def test_a_candidate_that_acts_where_the_log_never_did_is_refused() -> None:
    rng = np.random.default_rng(5)
    log = ChoiceLog(actions=rng.integers(2, size=1_000), rewards=rng.random(1_000), propensities=np.full(1_000, 0.5))
    target = np.tile([0.3, 0.3, 0.4], (1_000, 1))
    with pytest.raises(SupportThin, match="mean weight"):
        ips(log, target)


def test_without_a_single_click_the_interval_does_not_claim_certainty() -> None:
    log, kinds = made(500, seed=6, rates=np.zeros((2, 3)))
    found = snips(log, CANDIDATE[kinds])
    assert found.value == found.standard_error == found.low == 0.0
    assert 1.0 / found.effective_sample_size < found.high < 8.0 / found.effective_sample_size


def test_rows_of_one_person_count_as_one_when_told_so() -> None:
    log, _ = made(400, seed=7)
    often = ChoiceLog(
        actions=np.repeat(log.actions, 5),
        rewards=np.repeat(log.rewards, 5),
        propensities=np.repeat(log.propensities, 5),
        clusters=np.repeat(np.arange(400), 5),
    )
    assert on_policy(often).standard_error == pytest.approx(on_policy(log).standard_error)


def test_a_difference_is_narrower_than_two_intervals_and_none_between_equals() -> None:
    log, kinds = made(4_000, seed=8)
    predictions, target = predicted(log, kinds), CANDIDATE[kinds]
    near = 0.9 * target + 0.1 * LOGGING[kinds]
    found, apart = difference(log, near, target, predictions), dr(log, target, predictions)
    assert found.value == pytest.approx(dr(log, near, predictions).value - apart.value)
    assert found.standard_error < 0.5 * apart.standard_error
    same = difference(log, target, target, predictions)
    assert same.value == same.low == same.high == 0.0


def test_wrong_shapes_and_values_are_refused_by_name() -> None:
    log, kinds = made(500, seed=9)
    with pytest.raises(Invalid, match="sum to 1"):
        ips(log, CANDIDATE[kinds] * 0.5)
    with pytest.raises(Invalid, match="target"):
        ips(log, CANDIDATE[kinds][:, :1])
    with pytest.raises(Invalid, match="predictions"):
        dr(log, CANDIDATE[kinds], np.full((500, 3), np.nan))
    with pytest.raises(Invalid, match="clip"):
        ips(log, CANDIDATE[kinds], clip=0.0)
    with pytest.raises(Invalid, match="propensities"):
        ChoiceLog(actions=np.array([0, 1]), rewards=np.zeros(2), propensities=np.array([0.5, 0.0]))


def test_inputs_stay_as_they_are_and_equal_calls_give_equal_answers() -> None:
    log, kinds = made(500, seed=10)
    target, before = CANDIDATE[kinds], log.rewards.copy()
    assert snips(log, target, clip=2.0) == snips(log, target, clip=2.0)
    assert (log.rewards == before).all()
    assert (target == CANDIDATE[kinds]).all()


def test_even_weights_count_every_row() -> None:
    assert effective_sample_size(np.ones(9)) == pytest.approx(9.0)
    assert effective_sample_size(np.array([1.0, 0.0, 0.0])) == 1.0
    assert effective_sample_size(np.zeros(3)) == 0.0
