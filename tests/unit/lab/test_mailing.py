from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from personalization.lab.datasets import DEFAULT_FOLDER, TrialLog, insurance, starbucks
from personalization.lab.mailing import INSURANCE_FILES, STARBUCKS_FILES, insurance_targeting, judged, trial_of
from personalization.settings import settings_from

FOLDER = Path(settings_from().data_dir or DEFAULT_FOLDER)
with_data = pytest.mark.skipif(
    any(not (FOLDER / name).exists() for name in (*INSURANCE_FILES, *STARBUCKS_FILES)),
    reason=f"the randomised mailings are not in {FOLDER}; set PERSONALIZATION_DATA",
)


def mailed(rows: int, help_: float, seed: int = 1) -> TrialLog:
    """Mail helps the young and harms the others as much."""
    rng = np.random.default_rng(seed)
    age, given = rng.uniform(20.0, 80.0, rows), rng.integers(2, size=rows)
    rewards = rng.random(rows) < 0.3 + given * np.where(age < 50.0, help_, -help_)
    return TrialLog(
        name="made up",
        arms=("nothing", "mailing"),
        traits=[{"age": one, "height": two} for one, two in zip(age.tolist(), rng.random(rows).tolist(), strict=True)],
        given=given.tolist(),
        rewards=rewards.astype(float).tolist(),
    )


def test_both_learners_mail_whom_it_helps() -> None:
    everybody, *learners = judged(mailed(3_000, 0.2))
    assert everybody.covers(0.0)
    for one in learners:
        assert one.gain.low > 0.05
        assert one.qini.low > 0.0
        assert 0.4 < one.mailed < 0.6


def test_a_mailing_that_changes_nobody_gains_nothing() -> None:
    _, *learners = judged(mailed(1_500, 0.0))
    assert all(one.gain.covers(0.0) and one.qini.low <= 0.0 <= one.qini.high for one in learners)


@with_data
def test_the_trials_have_the_rows_and_columns_of_their_description() -> None:
    for log, columns in ((insurance(FOLDER).first(500), 67), (starbucks(FOLDER).first(500), 7)):
        assert trial_of(log).x.shape == (500, columns)
        assert 0.4 < trial_of(log).treated.mean() < 0.6


@with_data
@pytest.mark.long
def test_insurance_is_mailed_to_whom_it_changes() -> None:
    scores = insurance_targeting(FOLDER, lambda done, total: None)
    assert all(score.met is not False for score in scores)
    assert [bool(score.curve) for score in scores] == [False, False, False, True, True]
