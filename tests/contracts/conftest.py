"""What the contract suites share: a store with twin tenants, a house around it, and rows to fill it with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from personalization.bootstrap import House, build_house
from personalization.clock import DAY, HOUR, ManualClock
from personalization.messages import LogEntry
from personalization.profile import (
    Consent,
    ContentPreferences,
    FrequencyPreferences,
    Patterns,
    PersonalizationProfile,
    TimingPreferences,
)
from personalization.reward import ByValue, OwnReward
from personalization.settings import DEVELOPMENT, Settings
from personalization.storage.base import DecisionOutcome, NewDecision, NewEvent, Storage
from personalization.template import Template, Variant
from personalization.tenant import FrequencyCap, QuietHours
from tests.conftest import NOW

ADA, BOB = b"a" * 16, b"b" * 16
ONE_A_DAY = (FrequencyCap(limit=1, period=DAY),)
PATTERNS = Patterns(
    channels={"email": {"sent": 1.0000000000000002, "clicked": 5e-324}},
    engaged={0: 0.1, 167: 1e300},
    sent={33: -0.0},
    frequency=1 / 3,
    monetary=2 / 3,
    spend=9.99,
    events=3,
    sends=2,
    first_event_at=NOW,
    last_event_at=NOW + 1,
    recent=(NOW - 1, NOW, NOW),
)


@pytest.fixture
def store(storage: Storage) -> Storage:
    """With two tenants, twins in everything."""
    for tenant in ("acme", "twin"):
        assert storage.tenants.create(tenant, NOW)
    return storage


@pytest.fixture
def house(storage: Storage, clock: ManualClock) -> Iterator[House]:
    """A house around it, with twin tenants; nothing follows the log unless told to."""
    house = build_house(Settings(app_env=DEVELOPMENT), clock, storage)
    for tenant in ("acme", "twin"):
        storage.tenants.create(tenant, clock.now())
    yield house
    house.orchestrator.close()


_numbers = count(1)


def decision(**given: Any) -> NewDecision:
    defaults: dict[str, Any] = {
        "decision_id": f"d{next(_numbers)}",
        "user_ref": ADA,
        "decided_at": NOW,
        "slot_at": NOW + HOUR,
        "action": "send",
        "mode": "online",
        "record": b"record",
        "body": b"body",
        "category": "promotional",
        "template_id": "offer",
        "template_version": 1,
        "variant_id": "a",
        "channel": "email",
        "quality": 0.5,
        "zone_offset": 60,
        "reserves": True,
    }
    return NewDecision(**{**defaults, **given})


def suppressed(reason: str = "no_consent", **given: Any) -> NewDecision:
    return decision(action="suppress", suppression=reason, slot_at=None, channel=None, reserves=False, **given)


def event(type_: str = "clicked", **given: Any) -> NewEvent:
    defaults: dict[str, Any] = {
        "event_id": f"e{next(_numbers)}",
        "type": type_,
        "user_ref": ADA,
        "occurred_at": NOW,
        "body": b"body",
    }
    return NewEvent(**{**defaults, **given})


def append(store: Storage, *decisions: NewDecision, tenant: str = "acme") -> list[DecisionOutcome]:
    return store.log.append_decisions(tenant, decisions)


def whole_log(store: Storage, tenant: str = "acme") -> list[LogEntry]:
    return store.log.read(tenant, 0, 100_000)


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run them from as many threads, started together."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def user(store: Storage, name: str = "ada", tenant: str = "acme") -> bytes:
    return store.users.resolve(tenant, [name], NOW, create=True)[name]


def profile(ref: bytes = ADA, **given: Any) -> PersonalizationProfile:
    return PersonalizationProfile(**{"tenant_id": "acme", "user_ref": ref, **given})


def everything(ref: bytes) -> PersonalizationProfile:
    return profile(
        ref,
        attributes={"first_name": "Ada", "nested": {"list": [1, 2.5, None, True]}, "é": "ü"},
        traits={"plan": "pro", "age": 36, "score": 1 / 3, "vip": True, "tags": ["x"], "none": None},
        language="en-GB",
        timezone="Europe/London",
        content_preferences=ContentPreferences(topics=("art",), tone="friendly", length="short"),
        channel_preferences={"email": 0.1 + 0.2},
        timing_preferences=TimingPreferences(preferred_hours=(9, 18), quiet_hours=QuietHours(60, 120)),
        frequency_preferences=FrequencyPreferences(max_per_day=2, max_per_week=5),
        reachability={"sms": False},
        consent=Consent(personalization=True, marketing=False, channels={"sms": False}, marketing_channels={"email": False}),
    )


def template(**given: Any) -> Template:
    variants = (Variant(variant_id="a", content={"en": {"subject": "Hi {{ user.name }}"}}, features={"tone": "warm", "n": 0.1}),)
    defaults: dict[str, Any] = {
        "tenant_id": "acme",
        "template_id": "offer",
        "version": 0,
        "name": "Offer",
        "variants": variants,
        "baseline_variant_id": "a",
        "channels": ("email",),
        "metadata": {"k": [1, {"x": None}]},
        "created_at": NOW,
        "reward": OwnReward(
            weights={"clicked": None, "converted": ByValue(per_value=1 / 3)}, wait_time=7, guardrails={"bounced": None}
        ),
    }
    return Template(**{**defaults, **given})
