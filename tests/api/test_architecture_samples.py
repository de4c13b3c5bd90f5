"""The two integration samples of the architecture document, run as written there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from personalization import create_personalization_service
from personalization.clock import SystemClock
from personalization.messages import EngagementEvent
from personalization.service import PersonalizationService
from personalization.settings import DEVELOPMENT, Settings
from personalization.vocabulary import EventType, PersonalizationTrigger


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PersonalizationService]:
    settings = Settings(app_env=DEVELOPMENT, database_url=f"sqlite:///{tmp_path}/p.db", state_dir=tmp_path)
    service = create_personalization_service("acme", {"exploration": 0.1}, settings)
    service.create_template(
        {"template_id": "welcome", "variants": [{"variant_id": "a", "content": {"en": {"text": "Hi {{ city }}"}}}]}
    )
    yield service
    service.close()


@dataclass
class StoredTemplate:
    template_id: str


class Parent:
    """The notification system around us."""

    def __init__(self) -> None:
        self.delivered: list[tuple[Mapping[str, str], Sequence[str]]] = []

    def get_template(self, template_id: str) -> StoredTemplate:
        return StoredTemplate(template_id)

    async def deliver(self, content: Mapping[str, str], channels: Sequence[str]) -> str:
        self.delivered.append((content, channels))
        return "delivered"


def test_enhanced_notification_delivery(service: PersonalizationService) -> None:
    notification_service, personalization_service = Parent(), service.aio
    template_id, user_id, context = "welcome", "ada", {"city": "Ur"}

    async def enhanced_notification_delivery() -> Any:
        # 1. Get notification template
        template = notification_service.get_template(template_id)

        # 2. Personalize content
        personalized = await personalization_service.personalize_notification(template, user_id, context)

        # 3. Deliver through optimized channels
        return await notification_service.deliver(personalized["content"], personalized["optimal_channels"])

    assert asyncio.run(enhanced_notification_delivery()) == "delivered"
    content, channels = notification_service.delivered[0]
    assert content == {"text": "Hi Ur"}
    assert channels


def test_event_driven_integration(service: PersonalizationService) -> None:
    personalization_service, event_handler = service.aio, service.on
    updated: list[Any] = []

    @event_handler("notification.engagement")
    async def handle_engagement(event: Any) -> None:
        updated.append(
            await personalization_service.update_user_preferences(
                event.user_id, event.engagement_data, PersonalizationTrigger.ENGAGEMENT_THRESHOLD
            )
        )

    heard: list[Any] = []
    service.register_hook("profile_updated", heard.append)
    service.put_profile("ada", {"language": "en"})
    now = SystemClock().now()
    service.record([EngagementEvent(event_id="e", type=EventType.CLICKED, user_id="ada", channel="push", occurred_at=now)])
    assert updated[0]["user_id"] == "ada"
    assert {"user_id": "ada", "triggers": ["engagement_threshold"]} in heard


def test_a_campaign_answers_for_everyone(service: PersonalizationService) -> None:
    answers = service.personalize_campaign("welcome", [f"u{i}" for i in range(700)], {"city": "Ur"})
    assert [answer["user_id"] for answer in answers] == [f"u{i}" for i in range(700)]
    assert all(answer["content"] == {"text": "Hi Ur"} for answer in answers)


def test_the_python_interface_is_there(service: PersonalizationService) -> None:
    service.update_user_preferences("ada", {"channel_preferences": {"push": 0.8}}, PersonalizationTrigger.CONTEXT_SHIFT)
    assert service.get_user_profile("ada")["channel_preferences"] == {"push": 0.8}
    assert service.get_personalization_insights("ada")["predictive_scores"]["engagement_prediction"] > 0
    answer = service.personalize_notification({"subject": "A", "text": "B"}, "ada", channels=["push", "email"])
    assert answer["content"] == {"subject": "A", "text": "B"}
    assert set(answer["optimal_channels"]) == {"push", "email"}
