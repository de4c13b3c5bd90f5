"""One message by several channels, through the whole loop on every store."""

from __future__ import annotations

from typing import Any

import pytest

from personalization.bootstrap import House
from personalization.clock import DAY, HOUR, MINUTE, ManualClock, rfc3339
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.operations.rebuilding import rebuild
from personalization.service import PersonalizationService
from personalization.storage.base import Storage
from personalization.vocabulary import EventType
from tests.conftest import NOW
from tests.following import follow

OFFER = {
    "template_id": "offer",
    "channels": ["email", "push"],
    "variants": [{"variant_id": name, "content": {"en": {"text": f"variant {name}"}}} for name in "abcdefgh"],
}
Sent = tuple[Any, ...]


@pytest.fixture
def service(house: House) -> PersonalizationService:
    service = house.service("acme")
    service.create_template(OFFER)
    return service


def decide(house: House, message_id: str | None = "m", **fields: Any) -> dict[str, Any]:
    wanted = {"template_id": "offer", "require_real_time": True, "message_id": message_id, **fields}
    answer = house.service("acme").personalize(PersonalizationRequest(tenant_id="acme", user_id="u", **wanted))
    follow(house)
    return dict(answer.document)


def happen(house: House, type_: EventType, decision: dict[str, Any], **metadata: Any) -> None:
    event = EngagementEvent(
        event_id=f"{type_}-{decision['decision_id']}",
        type=type_,
        user_id="u",
        occurred_at=house.clock.now(),
        decision_id=decision["decision_id"],
        metadata=metadata,
    )
    assert house.service("acme").record([event]).accepted == 1
    follow(house)


def channel(decision: dict[str, Any]) -> str:
    assert decision["action"] == "send", decision["suppression"]
    return str(decision["optimal_channels"][0])


def test_an_unread_message_waits_and_then_goes_by_the_next_channel_in_the_same_variant(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    first = decide(house)
    assert "cross_channel_sync" in first["strategies_applied"]
    clock.advance(HOUR)
    waiting = decide(house)
    assert waiting["suppression"] == {"reason": "duplicate", "retry_at": rfc3339(NOW + 4 * HOUR)}
    assert "cross_channel_sync" in waiting["strategies_applied"]
    clock.advance(3 * HOUR)
    second = decide(house)
    assert {channel(first), channel(second)} == {"email", "push"}
    assert second["variant_id"] == first["variant_id"]
    assert second["optimal_channels"] == [channel(second)]
    clock.advance(DAY)
    assert decide(house)["suppression"] == {"reason": "duplicate", "retry_at": None}
    assert service.decision(second["decision_id"], replay=True)["replay"]["identical"] is True


def test_a_message_read_on_one_channel_goes_by_no_other(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    first = decide(house)
    clock.advance(MINUTE)
    happen(house, EventType.OPENED, first)
    clock.advance(5 * HOUR)
    assert decide(house)["suppression"] == {"reason": "duplicate", "retry_at": None}
    assert channel(decide(house, "another"))


def test_the_request_says_how_long_it_may_stay_unread(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    decide(house)
    clock.advance(HOUR)
    assert decide(house, escalate_after=2 * HOUR)["suppression"]["retry_at"] == rfc3339(NOW + 2 * HOUR)
    assert channel(decide(house, escalate_after=HOUR))


def test_a_due_message_that_falls_into_quiet_hours_may_go_when_they_end(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.patch_config({"quiet_hours": {"start": "13:00", "end": "16:00"}})
    decide(house)
    assert decide(house)["suppression"]["retry_at"] == "2026-11-23T16:00:00Z"


def test_a_message_by_two_channels_counts_once(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.patch_config({"frequency_caps": [{"limit": 1, "period": "P1D"}]})
    decide(house)
    clock.advance(4 * HOUR)
    assert channel(decide(house))
    assert decide(house, "another")["suppression"]["reason"] == "frequency_capped"
    assert decide(house, None)["suppression"]["reason"] == "frequency_capped"
    user_ref = house.storage.users.resolve("acme", ["u"], NOW)["u"]
    patterns = house.storage.profiles.load("acme", [user_ref])[user_ref].patterns
    assert (patterns.load(clock.now() + 1), patterns.sends, patterns.recent) == (1, 2, (NOW,))
    clock.advance(20 * HOUR)
    assert channel(decide(house, "another"))


def test_a_bounced_message_goes_by_the_next_channel_at_once_and_takes_its_place_under_the_cap(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.patch_config({"frequency_caps": [{"limit": 1, "period": "P1D"}]})
    first = decide(house)
    clock.advance(MINUTE)
    happen(house, EventType.BOUNCED, first, bounce="soft")
    second = decide(house)
    assert channel(second) != channel(first)
    assert second["variant_id"] == first["variant_id"]
    assert decide(house, "another")["suppression"]["reason"] == "frequency_capped"


def test_a_decision_that_was_not_sent_is_no_earlier_message(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    waiting = decide(house, activate=False)
    first = decide(house)
    assert first["action"] == "send"
    service.discard(first["decision_id"])
    follow(house)
    assert channel(decide(house, activate=False))
    service.activate(waiting["decision_id"])
    follow(house)
    assert decide(house)["suppression"]["reason"] == "duplicate"


def test_a_variant_that_fits_no_channel_left_is_not_replaced(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.patch_config({"channels": {"email": {}, "sms": {"max_length": 5}}})
    decide(house, channels=("email", "sms"))
    clock.advance(4 * HOUR)
    assert decide(house, channels=("email", "sms"))["suppression"]["reason"] == "ineligible"


def test_without_message_id_and_below_enterprise_nothing_changes(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    for _ in range(3):
        assert channel(decide(house, None))
    service.patch_config({"service_level": "premium"})
    first = decide(house)
    again = decide(house)
    assert channel(again)
    assert "cross_channel_sync" not in first["strategies_applied"] + again["strategies_applied"]
    service.patch_config({"service_level": "quantum"})
    assert decide(house)["suppression"]["reason"] == "duplicate"
    assert channel(decide(house, strategies=("predictive_optimization",)))


def test_anonymous_callers_have_no_earlier_message(house: House, service: PersonalizationService) -> None:
    request = PersonalizationRequest(tenant_id="acme", template_id="offer", message_id="m")
    for _ in range(2):
        assert service.personalize(request).document["action"] == "send"
        follow(house)


def test_what_is_known_of_messages_comes_from_the_log_alone_and_leaves_with_the_person(
    house: House, service: PersonalizationService, storage: Storage, clock: ManualClock
) -> None:
    first = decide(house)
    decide(house, "other", activate=False)
    happen(house, EventType.CLICKED, first)
    clock.advance(5 * HOUR)
    decide(house, "third")
    clock.advance(5 * HOUR)
    decide(house, "third")
    assert rebuild(storage, "acme").identical
    user_ref = storage.users.resolve("acme", ["u"], NOW)["u"]
    known = storage.profiles.load("acme", [user_ref])[user_ref].patterns.messages
    assert [(m.read, m.channels) for m in known if m.read] == [(True, (channel(first),))]
    assert len(known) == 3
    service.anonymize_user_data("u")
    follow(house)
    assert storage.profiles.load("acme", [user_ref])[user_ref].patterns.messages == ()
    assert {row.message for row in storage.log.read("acme", 0, 100)} == {None}
    assert rebuild(storage, "acme").identical


def test_a_channel_that_bounces_softly_is_chosen_less(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    service.put_profile("u", {"channel_preferences": {"email": 0.6, "push": 0.55}})
    service.patch_config({"exploration": 0.0})
    for _ in range(4):
        happen(house, EventType.BOUNCED, decide(house, None, channels=("email",)), bounce="soft")
        clock.advance(MINUTE)
    assert channel(decide(house, None)) == "push"
    assert channel(decide(house, None, channels=("email",))) == "email"
