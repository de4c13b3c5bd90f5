from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from personalization.lab.backtest import MUST, Choice, InProcess, backtest, replay
from personalization.lab.datasets import DEFAULT_FOLDER, TrialLog, hillstrom
from personalization.settings import settings_from

FOLDER = settings_from().data_dir or DEFAULT_FOLDER
with_hillstrom = pytest.mark.skipif(
    not Path(FOLDER, "hillstrom.csv.gz").exists(), reason=f"no hillstrom.csv.gz in {FOLDER}; set PERSONALIZATION_DATA"
)


def trial(rows: int = 600, rates: tuple[float, ...] = (0.05, 0.5)) -> TrialLog:
    rng = np.random.default_rng(3)
    given = rng.integers(len(rates), size=rows).tolist()
    return TrialLog(
        name="made up",
        arms=tuple("ab"[: len(rates)]),
        traits=[{"plan": ("free", "pro")[i % 2]} for i in range(rows)],
        given=given,
        rewards=[float(rng.random() < rates[arm]) for arm in given],
    )


class Always:
    """A door behind which every row gets arm 0."""

    rows_a_call = 7

    def __init__(self) -> None:
        self.accepted: list[Choice] = []
        self.discarded: list[Choice] = []

    def prepare(self, log: TrialLog) -> None:
        pass

    def decide(self, rows: Sequence[int]) -> list[Choice]:
        return [Choice(row, f"d{row}", 0, "") for row in rows]

    def settle(self, accepted: Sequence[Choice], discarded: Sequence[Choice], rewards: Sequence[float]) -> None:
        assert len(accepted) == len(rewards)
        self.accepted += accepted
        self.discarded += discarded


def test_only_rows_whose_arm_was_chosen_count() -> None:
    log, door = trial(100), Always()
    earned = replay(log, range(100), door)
    assert earned == [r for g, r in zip(log.given, log.rewards, strict=True) if g == 0]
    assert len(door.accepted) + len(door.discarded) == 100


def test_the_product_finds_the_better_arm_and_what_it_did_not_choose_leaves_no_trace() -> None:
    log = trial()
    with InProcess() as door:
        earned = replay(log, range(len(log)), door)
        ledger = door._house.learner.ledger("backtest")
        assert ledger.models["variants:trial"].counts["exposed"] == len(earned)
        assert not ledger.open
    assert np.mean(earned[-100:]) > 0.35


def test_a_backtest_says_how_far_it_came() -> None:
    found = backtest(trial(), permutations=2)
    assert found.permutations == 2
    assert found.best_arm == "b"
    assert found.random < found.mean < found.best_fixed + 0.1
    assert found.document()["share"] == pytest.approx((found.mean - found.random) / (found.best_fixed - found.random))


@with_hillstrom
def test_on_a_part_of_hillstrom_the_product_beats_random() -> None:
    found = backtest(hillstrom(FOLDER).first(8_000), permutations=2)
    assert found.mean > found.random


@pytest.mark.long
@pytest.mark.timeout(1_200)
@with_hillstrom
def test_on_hillstrom_the_product_comes_most_of_the_way_to_the_best_arm() -> None:
    assert backtest(hillstrom(FOLDER), permutations=20).share >= MUST
