"""What a decision said of itself it says for ever, on every store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from personalization.bootstrap import House, build_house
from personalization.clock import HOUR, ManualClock
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.settings import DEVELOPMENT, Settings
from personalization.storage.base import Storage
from personalization.vocabulary import EventType

OFFER = {
    "template_id": "offer",
    "channels": ["email", "push", "sms"],
    "variants": [
        {"variant_id": name, "features": {"tone": tone}, "content": {"en": {"text": f"Hi, {name}"}}}
        for name, tone in (("a", "warm"), ("b", "dry"), ("c", "urgent"))
    ],
}
PERSON = {
    "timezone": "Europe/London",
    "traits": {"plan": "pro"},
    "timing_preferences": {"preferred_hours": [22], "quiet_hours": {"start": "21:00", "end": "08:00"}},
}


@pytest.fixture
def house(storage: Storage, clock: ManualClock) -> Iterator[House]:
    house = build_house(Settings(app_env=DEVELOPMENT), clock, storage)
    storage.tenants.create("acme", clock.now())
    service = house.service("acme")
    service.create_template(OFFER)
    service.put_profile("u", PERSON)
    live(house, clock)
    yield house
    house.orchestrator.close()


def live(house: House, clock: ManualClock) -> None:
    """A day in which b is liked."""
    service = house.service("acme")
    for hour in range(8):
        asked = [
            PersonalizationRequest(tenant_id="acme", user_id=f"{hour}-{n}" if n else "u", template_id="offer") for n in range(10)
        ]
        answers = [answer.document for answer in service.personalize_many(asked)]  # type: ignore[union-attr]
        clicked = [
            EngagementEvent(
                event_id=a["decision_id"],
                type=EventType.CLICKED,
                user_id=a["user_id"],
                decision_id=a["decision_id"],
                occurred_at=clock.now(),
            )
            for a in answers
            if a["variant_id"] == "b"
        ]
        service.record(clicked)
        clock.advance(HOUR)
        while house.followers.step():
            pass


def test_an_explanation_adds_up_and_stays_what_it_was_through_learning_and_replay(house: House, clock: ManualClock) -> None:
    service = house.service("acme")
    service.patch_config({"frequency_caps": [{"limit": 1, "period": "P1D", "channel": "push"}], "exploration": 0.5})
    asked = [
        PersonalizationRequest(tenant_id="acme", user_id=user, template_id="offer", explain=True, context={"page": "home"})
        for user in ("u", "u", "u", "new", None)
    ]
    answers = [service.personalize(one).document for one in asked]
    live(house, clock)
    service.put_profile("u", {"traits": {"plan": "free"}})
    for answer in answers:
        found = answer["explanation"]
        effects = sum(row["effect"] for row in found["contributions"])
        assert effects == pytest.approx(found["greedy_logit"] - found["baseline_logit"], abs=1e-6)
        again = service.decision(answer["decision_id"], replay=True)
        assert again["explanation"] == found
        assert again["replay"]["identical"] is True
        crossed = [row["feature"].partition(" x ")[2] for row in found["contributions"] if " x " in row["feature"]]
        assert all("=" in name for name in crossed)


def test_a_record_holds_no_words_of_the_context_and_stays_small(house: House) -> None:
    service = house.service("acme")
    asked = PersonalizationRequest(
        tenant_id="acme", user_id="u", template_id="offer", explain=True, context={"page": "secretword", "city": "Ur"}
    )
    decision_id = service.personalize(asked).document["decision_id"]
    stored = house.storage.log.decision("acme", decision_id)
    assert stored is not None
    assert b"secretword" not in stored.record
    assert len(stored.record) < 1_200
    plain = service.personalize(PersonalizationRequest(tenant_id="acme", user_id="u", template_id="offer")).document
    stored = house.storage.log.decision("acme", plain["decision_id"])
    assert stored is not None
    assert len(stored.record) < 1_000
