from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from personalization.lab.churn import (
    BANK_FILES,
    IRANIAN_FILES,
    TELCO_FILES,
    Asked,
    Judged,
    bank_response,
    cross_validated,
    in_time,
    iranian,
    scores,
    telco_churn,
)
from personalization.lab.datasets import DEFAULT_FOLDER, OutcomeLog
from personalization.learning.calibration import auc
from personalization.settings import settings_from

FOLDER = Path(settings_from().data_dir or DEFAULT_FOLDER)
FILES = (*TELCO_FILES, *IRANIAN_FILES, *BANK_FILES)
with_data = pytest.mark.skipif(
    any(not (FOLDER / name).exists() for name in FILES), reason=f"not all logs are in {FOLDER}; set PERSONALIZATION_DATA"
)


def log(n: int, told: float, seed: int = 1) -> OutcomeLog:
    """A feature that is the outcome and noise, the more of it told the less noise."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.4).astype(float)
    return OutcomeLog(name="made up", table={"x": (told * y + rng.normal(size=n)).tolist()}, outcomes=y.tolist())


def test_what_is_not_told_is_not_found_and_what_is_told_is() -> None:
    """An outcome of noise predicted well would mean that a judged row had been seen."""
    for told, low, high in ((0.0, 0.4, 0.56), (2.0, 0.88, 0.96)):
        found = cross_validated(log(800, told))
        assert low < auc(found.y, found.p) < high
        assert sum(found.methods.values()) == 5


def test_in_time_the_last_rows_are_judged() -> None:
    whole = log(500, 2.0)
    found = in_time(whole)
    assert found.y.tolist() == list(whole.outcomes[350:])


def test_rows_alike_in_everything_are_kept_once() -> None:
    twice = OutcomeLog(name="t", table={"x": [1.0, 2.0, 1.0, 1.0]}, outcomes=[0.0, 0.0, 0.0, 1.0])
    assert twice.distinct() == OutcomeLog(name="t", table={"x": [1.0, 2.0, 1.0]}, outcomes=[0.0, 0.0, 1.0])


def test_a_score_names_who_served_and_has_an_interval() -> None:
    y = np.array([0.0, 1.0] * 50)
    (score,) = scores("t", Judged(y, 0.3 + 0.2 * y, Counter({"logit 1": 5})), [Asked(metric="AUC", measure=auc, must=0.9)])
    assert (score.metric, score.value, score.low, score.high, score.met) == ("AUC (logit 1 x5)", 1.0, 1.0, 1.0, True)


@with_data
def test_who_leaves_telco_is_predicted_as_well_as_asked() -> None:
    seen: list[tuple[int, int]] = []
    found = telco_churn(FOLDER, lambda done, total: seen.append((done, total)))
    assert [score.met for score in found] == [True, True, True, None]
    assert seen[-1] == (5, 5)


@with_data
def test_who_leaves_an_iranian_company_is_predicted_as_well_as_asked() -> None:
    found = iranian(FOLDER, lambda done, total: None)
    assert [score.met for score in found] == [True, True, None]
    assert found[0].base_rate == pytest.approx(0.845, abs=5e-4)


@pytest.mark.long
@with_data
def test_answers_to_a_bank_are_predicted_as_well_as_the_first_part_of_its_log_allows() -> None:
    """The part at hand is the first 70 % of the calls, where gradient boosting reaches .650; the must is of the whole."""
    assert bank_response(FOLDER, lambda done, total: None)[0].value >= 0.64
