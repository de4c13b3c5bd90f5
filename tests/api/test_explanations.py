"""Explanations, strategies and recommendations over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from personalization.deciding.wording import REASONS
from personalization.rest.answers import Explanation
from personalization.vocabulary import Strategy, Suppression
from tests.api.routes import PREFIX
from tests.api.test_journey import OFFER, Keys, app, call, client, house, keys

__all__ = ["app", "client", "house", "keys"]

ASKED = {"user_id": "u", "template_id": "offer", "explain": True, "context": {"device": "phone"}}
PROFILE = {"timezone": "Europe/London", "timing_preferences": {"quiet_hours": {"start": "00:00", "end": "23:59"}}}


@pytest.fixture
def answer(client: FlaskClient, keys: Keys) -> Any:
    key = keys()
    call(client, "POST", "/personalization/templates", key, OFFER, 201)

    def asked(config: dict[str, Any] | None = None, profile: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        if config:
            call(client, "PATCH", "/management/config", key, config)
        if profile:
            call(client, "PUT", "/personalization/profiles/u", key, profile, 201)
        made = call(client, "POST", "/personalization/personalize", key, {**ASKED, **fields})
        again = call(client, "GET", f"/personalization/decisions/{made['decision_id']}?replay=true", key)
        assert again["replay"]["identical"] is True
        assert {name: again[name] for name in made} == made
        return made

    return asked


def test_an_explanation_has_every_documented_field(answer: Any) -> None:
    found = answer()["explanation"]
    assert set(found) == set(Explanation.__struct_fields__)
    assert [row["stage"] for row in found["stages"]] == ["send", "variant", "channel", "timing"]
    assert 1 <= len(found["counterfactuals"]) <= 4
    assert all(set(row) == {"if", "then"} for row in found["counterfactuals"])
    assert "x device=phone" in str(found["contributions"])


def test_what_binds_says_when_it_lets_go_and_what_would_be_done_without_it(answer: Any) -> None:
    found = answer(profile=PROFILE, require_real_time=True)
    assert found["suppression"]["reason"] == "quiet_hours"
    explained = found["explanation"]
    assert explained["greedy_action"] == {"action": "suppress"}
    (binding,) = [row for row in explained["constraints"] if row["binding"]]
    assert (binding["name"], binding["retry_at"]) == ("quiet_hours", found["suppression"]["retry_at"])
    assert explained["counterfactuals"][0]["if"].startswith("quiet hours ")
    assert " by " in explained["counterfactuals"][0]["then"]


def test_without_explain_there_is_none(answer: Any) -> None:
    assert "explanation" not in answer(explain=False)


@pytest.mark.parametrize("strategy", Strategy)
def test_a_level_without_models_applies_no_strategy_and_says_what_is_needed(answer: Any, strategy: Strategy) -> None:
    found = answer({"service_level": "basic"}, strategies=[strategy])
    assert found["strategies_applied"] == []
    assert found["recommendations"][0].startswith(f"{strategy} needs ")


def test_recommendations_are_few_sentences(answer: Any) -> None:
    found = answer(strategies=["cross_channel_sync", "emotional_resonance", "neural_content"])["recommendations"]
    assert len(found) == 5
    assert all(sentence.endswith(".") for sentence in found)


def test_every_reason_has_its_sentence() -> None:
    assert set(Suppression) <= set(REASONS)


def test_the_fields_are_documented(client: FlaskClient, keys: Keys) -> None:
    schemas = client.get(f"{PREFIX}/openapi.json", headers=keys()).get_json()["components"]["schemas"]
    assert {"stages", "baseline_logit", "greedy_logit", "expected_reward"} <= set(schemas["Explanation"]["properties"])
    assert "add up to" in str(schemas["Explanation"]["properties"]["contributions"])
    assert set(schemas["ExplainedStage"]["properties"]) == {"stage", "greedy", "chosen", "propensity", "greedy_probability"}
