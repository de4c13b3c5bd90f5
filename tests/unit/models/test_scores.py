"""One document of all scores."""

import json

import pytest

from personalization.clock import instant, rfc3339
from personalization.models import activity, rhythm, value
from personalization.models.base import Explained, Features
from personalization.models.features import features_of
from personalization.models.scores import CONTRACT, Serving, predictive_scores
from personalization.profile import PersonalizationProfile
from tests.unit.models.lives import TODAY, known

NOW = instant("2026-11-23T10:00:00Z")
PRIORS: Serving = {family.FAMILY.model_id: (0, None, family.FAMILY.prior()) for family in (activity, value, rhythm)}
BUYER = known([TODAY - 30, TODAY - 20, TODAY - 3], [10.0, 20.0, 30.0])


class Brought:
    """A model of a user's own."""

    def predict(self, features: Features) -> dict[str, float | str | None]:
        return {"churn_risk": 0.5, "engagement_prediction": 0.25, "lucky": "yes"}

    def explain(self, features: Features) -> dict[str, Explained]:
        return {}

    def pack(self) -> dict[str, object]:
        return {}


def test_the_contract_s_fields_are_numbers_or_null_whatever_serves() -> None:
    blank = features_of(PersonalizationProfile(tenant_id="t", user_ref=b"u" * 16), NOW)
    nobody, nothing, someone = (
        predictive_scores(PRIORS, blank, NOW),
        predictive_scores({}, BUYER, NOW),
        predictive_scores(PRIORS, BUYER, NOW),
    )
    assert [nobody[name] for name in CONTRACT] == [0.25, None, None]
    assert [nothing[name] for name in CONTRACT] == [None, None, None]
    assert all(isinstance(someone[name], float) for name in CONTRACT[1:])


def test_every_score_of_every_family_is_there_with_what_scored_it_and_when() -> None:
    found = predictive_scores({**PRIORS, "activity": (3, NOW - 1_000_000, activity.FAMILY.prior())}, BUYER, NOW)
    scores = {name for family in (activity, value, rhythm) for name in family.FAMILY.scores}
    assert scores < set(found)
    assert found["as_of"] == rfc3339(NOW)
    assert found["models"]["activity"] == {"version": 3, "trained_at": rfc3339(NOW - 1_000_000)}
    assert found["models"]["value"] == {"version": 0, "trained_at": None}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_models_that_are_brought_add_scores_and_take_none_away() -> None:
    found = predictive_scores({**PRIORS, "mine": (1, NOW, Brought())}, BUYER, NOW)
    assert found["lucky"] == "yes"
    assert found["engagement_prediction"] == 0.25
    assert found["churn_risk"] == predictive_scores(PRIORS, BUYER, NOW)["churn_risk"] != 0.5


class Failing(Brought):
    def predict(self, features: Features) -> dict[str, float | str | None]:
        raise RuntimeError("no day for predictions")


def test_a_model_that_fails_takes_no_other_score_away(caplog: pytest.LogCaptureFixture) -> None:
    found = predictive_scores({"failing": (1, NOW, Failing()), **PRIORS}, BUYER, NOW)
    assert found["churn_risk"] is not None
    assert "the model failing says nothing" in caplog.text
