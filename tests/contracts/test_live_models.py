"""From a tenant's own log to the scores of its people, the same on every store and in every process."""

from __future__ import annotations

import numpy as np
import pytest

from personalization.bootstrap import House, build_house
from personalization.clock import DAY, HOUR, ManualClock
from personalization.errors import Conflict, NotFound
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.service import PersonalizationService
from personalization.settings import DEVELOPMENT, Settings
from personalization.storage.base import Storage
from personalization.vocabulary import EventType
from tests.following import follow

OFFER = {
    "template_id": "offer",
    "channels": ["email"],
    "variants": [{"variant_id": v, "content": {"en": {"text": v}}} for v in "ab"],
}
PEOPLE, WEEKS = 80, 24


@pytest.fixture
def service(house: House) -> PersonalizationService:
    service = house.service("acme")
    service.create_template(OFFER)
    return service


def lived(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    """Half a year in which keen people open what they get, and some of them buy; the others hardly look."""
    rng, n = np.random.default_rng(7), 0
    for i in range(PEOPLE):
        service.put_profile(f"u{i}", {"language": "en"})
    for _ in range(WEEKS):
        asked = [
            PersonalizationRequest(tenant_id="acme", user_id=f"u{i}", template_id="offer", require_real_time=True, render=False)
            for i in range(PEOPLE)
        ]
        answers = service.personalize_many(asked)
        clock.advance(HOUR)
        events = []
        for i, answer in enumerate(answers):
            keen, decision = i % 2 == 0, answer.document["decision_id"]  # type: ignore[union-attr]
            for kind, chance, value in ((EventType.OPENED, 0.7 if keen else 0.1, None), (EventType.CONVERTED, 0.3 * keen, 20.0)):
                if rng.random() < chance:
                    n += 1
                    events.append(
                        EngagementEvent(
                            event_id=f"e{n}",
                            type=kind,
                            user_id=f"u{i}",
                            occurred_at=clock.now(),
                            decision_id=decision,
                            value=value,
                            currency="EUR" if value else None,
                        )
                    )
        assert service.record(events).accepted == len(events)
        follow(house)
        clock.advance(7 * DAY - HOUR)
    follow(house)


def mean_churn(service: PersonalizationService, first: int) -> float:
    """Of every second person: of one, chance decides."""
    scores = (service.user_insights(f"u{i}", True)["predictive_scores"] for i in range(first, PEOPLE, 2))
    known = [score["churn_risk"] for score in scores if score["churn_risk"] is not None]
    return float(np.mean(known))


def test_a_log_teaches_what_profiles_then_show_in_every_process(
    house: House, service: PersonalizationService, clock: ManualClock, storage: Storage
) -> None:
    lived(house, service, clock)
    other = build_house(Settings(app_env=DEVELOPMENT), clock, storage)
    before = service.user_insights("u0", True)["predictive_scores"]
    assert before["models"]["engagement"] == {"version": 0, "trained_at": None}
    for model_id in ("engagement", "activity", "value", "rhythm"):
        assert service.train_model(model_id)["status"] == "training"
    with pytest.raises(Conflict, match="trained already"):
        service.train_model("engagement")
    assert house.trainer.step() == 5, "churn is due by schedule"
    found = service.model("engagement")
    assert (found["version"], found["status"]) == ("1", "live"), found["report"]
    assert found["performance_metrics"]["open_log_loss"] < found["base_rates"]["open_log_loss"]
    keen, quiet = (service.user_insights(user, True)["predictive_scores"] for user in ("u0", "u1"))
    assert keen["models"]["engagement"]["version"] == 1
    assert keen["models"]["activity"]["version"] == 1
    assert keen["open"] > 0.5 > 0.3 > quiet["open"]
    assert mean_churn(service, 0) < mean_churn(service, 1) - 0.2
    assert keen["lifetime_value"] > 0.0
    other.followers.step()
    assert other.service("acme").user_insights("u0", True)["predictive_scores"] == keen
    assert service.models(20, None)["items"][0]["model_id"] == "variants:offer"
    card = service.model_card("engagement")
    assert card["training_data"]["people"] == PEOPLE
    assert "open_log_loss" in card["markdown"]
    assert house.service("twin").model("engagement")["version"] == "0"


def test_a_policy_has_snapshots_a_card_and_is_judged_off_policy(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    lived(house, service, clock)
    versions = service.model_versions("variants:offer", 2, None)
    assert [item["status"] for item in versions["items"]] == ["live", "retired"]
    older = service.model_versions("variants:offer", 2, versions["next_cursor"])["items"]
    assert int(older[0]["version"]) < int(versions["items"][1]["version"])
    assert "propensities" in service.model_card("variants:offer")["markdown"]
    judged = service.evaluate_model("variants:offer")["off_policy"]
    assert {one["candidate"] for one in judged} >= {"always a", "always b"}
    for call in (service.train_model, service.promote_model, service.rollback_model):
        with pytest.raises(Conflict, match="learns from every event by itself"):
            call("variants:offer")
    with pytest.raises(NotFound):
        service.train_model("variants:nobody")
