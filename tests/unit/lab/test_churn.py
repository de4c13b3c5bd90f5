from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
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
    reliability,
    scores,
    taught_more,
    telco_churn,
)
from personalization.lab.datasets import DEFAULT_FOLDER, OutcomeLog
from personalization.learning.calibration import auc, brier
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


def test_what_was_missed_says_why_and_what_the_best_peer_reaches() -> None:
    y = np.array([0.0, 1.0] * 50)
    asked = [
        Asked(metric="AUC", measure=auc, peer=0.8, must=1.1, why="The file is a part."),
        Asked(metric="Brier", measure=brier, must=0.3, at_most=True),
    ]
    told = {"one": 0.4 + 0.1 * y, "two": np.full(100, 0.5)}
    alone, _ = scores("t", Judged(y, 0.3 + 0.2 * y, Counter({"logit 1": 5})), asked)
    missed, met = scores("t", Judged(y, 0.3 + 0.2 * y, Counter({"logit 1": 5}), told), asked)
    assert (alone.peer, alone.peer_of) == (0.8, "published")
    assert alone.note == "The file is a part. --peers shows what others reach on the same rows."
    assert (missed.peer, missed.peer_of) == (1.0, "one")
    assert missed.note == "The file is a part. On the same rows and folds: one 1.0000, two 0.5000."
    assert (met.peer, met.peer_of, met.note) == (pytest.approx(0.205), "one", "")


def test_reliability_is_on_the_line_where_probabilities_are_true_and_off_it_where_not() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(30_000)
    y = (rng.random(30_000) < p).astype(float)
    honest, bold = (reliability(Judged(y, q, Counter())) for q in (p, p**3))
    assert len(honest) == 15
    assert all(abs(share - told) < 0.04 for told, share in honest)
    assert max(abs(share - told) for told, share in bold) > 0.3


def test_more_rows_teach_more_and_the_curve_ends_in_the_figure() -> None:
    whole = log(600, 1.0)
    found = cross_validated(whole)
    points = taught_more(whole, found)
    assert [rows for rows, _ in points] == [48.0, 96.0, 192.0, 336.0, 480.0]
    assert points[-1][1] == auc(found.y, found.p)
    assert all(0.6 < area < 0.85 for _, area in points)


@with_data
def test_who_leaves_telco_is_predicted_as_well_as_asked() -> None:
    seen: list[tuple[int, int]] = []
    found = telco_churn(FOLDER, lambda done, total: seen.append((done, total)))
    assert [score.met for score in found] == [True, True, True, None]
    assert seen[-1] == (5, 5)
    assert found[0].curve[-1][1] == found[0].value > found[0].curve[0][1]


@with_data
def test_who_leaves_an_iranian_company_is_predicted_as_well_as_asked() -> None:
    found = iranian(FOLDER, lambda done, total: None)
    assert [score.met for score in found] == [True, True, None]
    assert found[0].base_rate == pytest.approx(0.845, abs=5e-4)


@pytest.mark.long
@with_data
def test_answers_to_a_bank_are_predicted_as_well_as_the_first_part_of_its_log_allows() -> None:
    """The part at hand is the first 70 % of the calls, where gradient boosting reaches .650; the must is of the whole. In time
    nothing tells much, but what serves must not rank people the wrong way round."""
    found = bank_response(FOLDER, lambda done, total: None)
    assert found[0].value >= 0.64
    assert "whole log" in found[0].note
    if find_spec("lightgbm"):
        assert found[3].value >= 0.5
