"""CDNOW's figures: Fader, Hardie and Lee 2005, "Counting your customers the easy way", and Fader and Hardie 2013."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from personalization.lab.datasets import DEFAULT_FOLDER, cdnow, online_retail
from personalization.lab.purchases import FILES, RETAIL_FILES, Judged, cases, judged, purchases
from personalization.learning.bgnbd import BGNBD
from personalization.learning.gammagamma import GammaGamma
from personalization.learning.purchases import Purchases
from personalization.models import activity, rhythm, value
from personalization.models.base import Family
from personalization.settings import settings_from

FOLDER = Path(settings_from().data_dir or DEFAULT_FOLDER)
with_data = pytest.mark.skipif(not (FOLDER / FILES[0]).exists(), reason=f"{FILES[0]} is not in {FOLDER}; set PERSONALIZATION_DATA")
with_retail = pytest.mark.skipif(not (FOLDER / RETAIL_FILES[0]).exists(), reason=f"{RETAIL_FILES[0]} is not in {FOLDER}")
PAPER = BGNBD(logs=np.log([0.243, 4.414, 0.793, 2.426]), covariance=np.eye(4), log_likelihood=-9582.4)
NOTE = GammaGamma(logs=np.log([6.25, 2.74, 15.44]), covariance=np.eye(3), log_likelihood=0.0)
#: The paper's worked example, customer 0001 of the sample.
CUSTOMER = Purchases(frequency=np.array([2.0]), recency=np.array([30.43]), age=np.array([38.86]))


@cache
def found() -> Judged:
    log = cdnow(FOLDER)
    return judged(log, int(log.days.min()) - 1 + 39 * 7, 39.0)


def test_the_customer_of_the_paper_buys_1_226_times_in_39_weeks() -> None:
    assert PAPER.expected(CUSTOMER, 39.0) == pytest.approx([1.226], abs=0.001)
    assert PAPER.alive(CUSTOMER) == pytest.approx([0.7266], abs=0.0005)


def test_the_mean_amount_is_the_note_s() -> None:
    """The population's mean p v / (q - 1) is 35; of who bought twice at 22 on average it shrinks there."""
    assert NOTE.expected(np.array([0.0]), np.array([0.0])) == pytest.approx([35.2], abs=0.1)
    mean = 6.25 * (15.44 + 2 * 22.35) / (2 * 6.25 + 3.74 - 1.0)
    assert NOTE.expected(np.array([2.0]), np.array([22.35])) == pytest.approx([mean])


@with_data
def test_the_parameters_of_cdnow_are_those_published() -> None:
    assert len(found().past.customers) == 2_357
    assert found().buying.parameters == pytest.approx((0.243, 4.414, 0.793, 2.426), rel=0.005)
    assert found().buying.log_likelihood == pytest.approx(-9582.4, abs=0.05)


@with_data
def test_the_amounts_of_cdnow_are_those_published() -> None:
    assert int((found().past.made.frequency > 0.0).sum()) == 946
    assert found().spending.parameters == pytest.approx((6.25, 3.74, 15.44), rel=0.005)


@with_data
@pytest.mark.filterwarnings("ignore")  # the peer's own
def test_what_cdnow_asks_is_met_but_for_the_clock() -> None:
    """No time is judged here: `personalization evaluate` does."""
    scores = purchases(FOLDER, lambda done, total: None)
    asked = [score for score in scores if score.must is not None and "seconds" not in score.metric]
    assert len(asked) == 3
    assert all(score.met for score in asked)
    assert all(math.isfinite(score.value) for score in scores)


@pytest.mark.parametrize("family", [activity.FAMILY, value.FAMILY], ids=lambda family: str(family.model_id))
@with_data
def test_the_families_that_serve_foresee_cdnow_s_next_39_weeks(family: Family) -> None:
    """Taught and judged as the product does it: by features of profiles, of one customer at a time."""
    log = cdnow(FOLDER)
    examples = cases(log, int(log.days.min()) - 1 + 39 * 7, 39.0)
    model = family.fit(examples, np.random.default_rng(0))
    judged = family.judge(model, examples)
    assert judged.metrics["auc_of_days"] >= 0.77
    assert judged.metrics["correlation_of_days"] >= 0.62
    assert judged.metrics["log_loss"] < judged.base["log_loss"] - 0.09
    assert sorted(judged.metrics) == sorted(family.judge(family.prior() or model, examples).metrics)


@with_retail
def test_the_families_that_serve_foresee_a_gift_shop_s_last_months() -> None:
    log = online_retail(FOLDER)
    first, last = int(log.days.min()), int(log.days.max())
    until = first + int(0.7 * (last - first))
    examples = cases(log, until, (last - until) / 7.0)
    judged = value.FAMILY.judge(value.FAMILY.fit(examples, np.random.default_rng(0)), examples)
    assert judged.metrics["auc_of_days"] > 0.72
    assert judged.metrics["correlation_of_days"] > 0.76
    assert judged.metrics["correlation_of_spend"] > 0.8
    assert judged.metrics["log_loss"] < judged.base["log_loss"] - 0.05
    gaps = rhythm.FAMILY.judge(rhythm.FAMILY.fit(examples, np.random.default_rng(0)), examples)
    assert gaps.metrics["log_loss"] < gaps.base["log_loss"] - 0.05
    assert gaps.metrics["false_alarms"] < 0.01
