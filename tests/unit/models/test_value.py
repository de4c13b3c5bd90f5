"""What one person will buy is what the array functions say of many, in segments of the people that taught."""

import numpy as np
import pytest

from personalization.learning.lifetime import lifetime_value
from personalization.learning.purchases import History
from personalization.learning.segments import rfm, segments
from personalization.models.days import column, made
from personalization.models.value import FAMILY, Worth
from tests.unit.models.lives import TODAY, each, known, many

EXAMPLES = many(400, 31)
MODEL = FAMILY.fit(EXAMPLES, np.random.default_rng(0))


def fitted() -> Worth:
    assert isinstance(MODEL, Worth)
    return MODEL


def past() -> History:
    who = made(EXAMPLES, "bought")
    mean = column(EXAMPLES, "bought_again") / np.maximum(who.frequency, 1.0)
    return History(np.arange(len(who)), who, mean, np.zeros(len(who)))


def told(name: str) -> np.ndarray:
    return np.array([MODEL.predict(of)[name] for of in each(EXAMPLES)])


def test_the_scores_of_one_are_those_of_many() -> None:
    worth = lifetime_value(fitted().buying, fitted().spending, past())
    assert told("lifetime_value").astype(float) == pytest.approx(worth, rel=1e-6)
    assert told("purchases_expected").astype(float) == pytest.approx(fitted().buying.expected(past().made, 4.0), rel=1e-6)


def test_segments_are_those_of_the_people_that_taught() -> None:
    assert told("rfm_segment").tolist() == [str(segment) for segment in segments(rfm(past()))]
    assert len(set(told("rfm_segment"))) >= 6


def test_before_the_first_training_there_are_no_segments() -> None:
    of = known([TODAY - 20, TODAY - 5], [10.0, 20.0])
    prior = FAMILY.prior().predict(of)
    assert prior["rfm_segment"] is None
    assert isinstance(prior["lifetime_value"], float)
    assert "published_prior" in dict(FAMILY.prior().explain(of)["lifetime_value"].reasons)


def test_spending_more_is_worth_more_and_silence_less() -> None:
    days = [TODAY - 90, TODAY - 60, TODAY - 30, TODAY - 2]

    def worth(amount: float, days: list[int]) -> float:
        return float(MODEL.predict(known(days, [10.0, *[amount] * (len(days) - 1)]))["lifetime_value"] or 0.0)

    assert worth(50.0, days) > 2.0 * worth(10.0, days)
    assert worth(50.0, days) > 2.0 * worth(50.0, [day - 250 for day in days])


def test_amounts_in_another_currency_scale_what_is_forecast() -> None:
    """After training; the published prior knows dollars alone."""
    table = {**EXAMPLES.table, "bought_again": [100.0 * float(value or 0.0) for value in EXAMPLES.table["bought_again"]]}
    yen = FAMILY.fit(type(EXAMPLES)(**{**vars(EXAMPLES), "table": table}), np.random.default_rng(0))
    days = [TODAY - 90, TODAY - 60, TODAY - 30]
    one, other = MODEL.predict(known(days, [5.0] * 3)), yen.predict(known(days, [500.0] * 3))
    assert float(other["lifetime_value"] or 0.0) == pytest.approx(100.0 * float(one["lifetime_value"] or 0.0), rel=1e-3)


def test_the_reasons_of_a_value_sum_to_it() -> None:
    for of in each(EXAMPLES)[:10]:
        found = MODEL.explain(of)["lifetime_value"]
        assert sum(weight for _, weight in found.reasons) == pytest.approx(found.value)
