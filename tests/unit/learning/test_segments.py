from __future__ import annotations

import numpy as np
import pytest

from personalization.learning.bgnbd import BGNBD
from personalization.learning.buyer import Buyer
from personalization.learning.purchases import History, Purchases
from personalization.learning.segments import (
    SEGMENTS,
    Segment,
    Stage,
    cuts,
    fifth,
    rfm,
    segments,
    stage_of,
    stages,
    warmth,
    warmth_of,
)

MODEL = BGNBD(logs=np.log([0.243, 4.414, 0.793, 2.426]), covariance=np.eye(4), log_likelihood=0.0)


def past(*rows: tuple[float, float, float, float, float]) -> History:
    """Rows of frequency, recency, age, monetary, pause."""
    x, t_x, age, monetary, pause = np.array(rows, float).T
    return History(np.arange(len(rows)), Purchases(frequency=x, recency=t_x, age=age), monetary, pause)


def test_fifths_go_from_1_to_5_and_equals_score_equal() -> None:
    rows = [(float(i), float(i), 10.0, float(i), 0.0) for i in range(10)]
    assert rfm(past(*rows))[:, 1].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert rfm(past(*[(2.0, 3.0, 9.0, 1.0, 1.0)] * 7)).tolist() == [[3, 3, 3]] * 7
    assert rfm(past((0.0, 0.0, 1.0, 0.0, 0.0))).tolist() == [[3, 3, 3]]


@pytest.mark.parametrize("values", [[3.0], [1.0, 1.0, 1.0], [0.0] * 90 + [1.0] * 10, list(range(23)), [5.0, 1.0, 1.0, 9.0]])
def test_cut_points_score_as_the_people_they_were_cut_among(values: list[float]) -> None:
    together = rfm(past(*[(float(i), float(i), 1e6, value, 0.0) for i, value in enumerate(values)]))[:, 2]
    limits = cuts(np.array(values, float))
    assert [fifth(limits, float(value)) for value in values] == together.tolist()
    assert fifth(limits, -1.0) <= fifth(limits, 1e9)


def test_recency_and_frequency_name_the_segment() -> None:
    scores = np.array([[5, 5, 1], [5, 1, 1], [1, 5, 5], [1, 1, 1]])
    assert segments(scores) == [Segment.CHAMPIONS, Segment.NEW, Segment.CANNOT_LOSE, Segment.HIBERNATING]
    assert {segment for row in SEGMENTS for segment in row} == set(Segment)


@pytest.mark.parametrize("frequency", [0.0, 1.0, 20.0])
def test_silence_cools_from_1_down(frequency: float) -> None:
    recency = 20.0 if frequency else 0.0
    weeks = np.arange(0.0, 60.0)
    made = Purchases(frequency=np.full(60, frequency), recency=np.full(60, recency), age=recency + weeks)
    found = warmth(MODEL, made)
    assert found[0] == pytest.approx(1.0)
    assert (np.diff(found) < 0.0).all()
    assert (found > 0.0).all()


def test_who_bought_often_cools_faster() -> None:
    often, once = (
        warmth(MODEL, Purchases(frequency=np.array([x]), recency=np.array([20.0]), age=np.array([30.0]))) for x in (20.0, 1.0)
    )
    assert often < once


def test_every_stage_of_a_journey_is_told() -> None:
    journey = past(
        (0.0, 0.0, 2.0, 0.0, 0.0),
        (5.0, 30.0, 31.0, 9.0, 5.0),
        (8.0, 90.0, 91.0, 9.0, 70.0),
        (5.0, 20.0, 35.0, 9.0, 4.0),
        (5.0, 20.0, 80.0, 9.0, 4.0),
        (0.0, 0.0, 80.0, 0.0, 0.0),
    )
    made, buyer = journey.made, Buyer.of(MODEL)
    people = list(zip(made.frequency.tolist(), made.recency.tolist(), made.age.tolist(), strict=True))
    alone = [stage_of(buyer, *one, pause) for one, pause in zip(people, journey.pause.tolist(), strict=True)]
    assert alone == stages(MODEL, journey)
    assert [warmth_of(buyer, *one) for one in people] == pytest.approx(warmth(MODEL, made))
    assert alone == [Stage.NEW, Stage.ACTIVE, Stage.WON_BACK, Stage.AT_RISK, Stage.LAPSED, Stage.LAPSED]
