"""One person is told what the array functions tell of many; one churn for all."""

import numpy as np
import pytest

from personalization.learning.buyer import Buyer
from personalization.learning.purchases import DAYS_A_WEEK, History
from personalization.learning.segments import stages
from personalization.models.activity import FAMILY, Activity
from personalization.models.days import made
from tests.unit.models.lives import TODAY, each, known, many

EXAMPLES = many(400, 21)
MODEL = FAMILY.fit(EXAMPLES, np.random.default_rng(0))


def fitted() -> Activity:
    assert isinstance(MODEL, Activity)
    return MODEL


def told(name: str) -> np.ndarray:
    return np.array([MODEL.predict(of)[name] for of in each(EXAMPLES)])


def test_the_scores_of_one_are_those_of_many() -> None:
    who, buying = made(EXAMPLES, "active"), fitted().buying
    assert told("churn_risk").astype(float) == pytest.approx(1.0 - buying.some(who, 4.0), rel=1e-6)
    assert told("active_days_expected").astype(float) == pytest.approx(buying.expected(who, 4.0), rel=1e-6)
    pause = np.array(EXAMPLES.table["active_pause"], np.float64) / DAYS_A_WEEK
    past = History(np.arange(len(who)), who, np.zeros(len(who)), pause)
    assert told("journey_stage").tolist() == [str(stage) for stage in stages(buying, past)]
    assert len(set(told("journey_stage"))) >= 4


def test_who_was_active_once_grows_a_risk_as_silence_does() -> None:
    """P(alive) would say that nobody of them ever leaves."""
    risks = [float(MODEL.predict(known([TODAY - days]))["churn_risk"] or 0.0) for days in (0, 7, 28, 120, 360)]
    assert risks == sorted(risks)
    assert risks[-1] > risks[0] + 0.2


def test_the_next_activity_is_even_money() -> None:
    of = known([TODAY - 60, TODAY - 40, TODAY - 20, TODAY - 1])
    days = MODEL.predict(of)["days_to_next_activity"]
    assert isinstance(days, float)
    assert Buyer.of(fitted().buying).some(3.0, 59.0 / 7.0, 60.0 / 7.0, days / 7.0) == pytest.approx(0.5)


def test_who_has_more_likely_left_has_no_next_activity() -> None:
    of = known([*range(TODAY - 360, TODAY - 330)])
    assert MODEL.predict(of)["days_to_next_activity"] is None
    assert MODEL.explain(of)["days_to_next_activity"].value is None


def test_the_reasons_of_a_score_sum_to_it() -> None:
    for of in each(EXAMPLES)[:20]:
        for name in ("churn_risk", "active_days_expected"):
            found = MODEL.explain(of)[name]
            assert sum(weight for _, weight in found.reasons) == pytest.approx(found.value)
            assert {reason for reason, _ in found.reasons} == {"just_begun", "habit", "silence"}


def test_before_the_first_training_the_figures_are_said_to_be_published_ones() -> None:
    prior = FAMILY.prior()
    reasons = prior.explain(known([TODAY - 3]))["churn_risk"].reasons
    assert "published_prior" in dict(reasons)
    assert prior.pack()["people"] == 0
    assert fitted().people == 400
