"""Budgets from configuration to decision on every store: prices are solved, kept, loaded elsewhere, named and replayed."""

from __future__ import annotations

from typing import Any

import pytest

from personalization.bootstrap import House, build_house
from personalization.clock import DAY, HOUR, MINUTE, ManualClock, instant
from personalization.deciding.record import PricedInputs, decode_record
from personalization.errors import NotFound
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.models.prices import MICRO, MOST, NO_PRICES, PRICES
from personalization.operations import budgets
from personalization.operations.budgets import Tallies, sampled
from personalization.operations.rebuilding import rebuild
from personalization.service import PersonalizationService
from personalization.settings import DEVELOPMENT, Settings
from personalization.storage.base import Storage
from personalization.vocabulary import EventType
from tests.conftest import NOW
from tests.contracts.conftest import append, decision, suppressed
from tests.following import follow

MORNING = instant("2026-11-23T06:00:00Z")
OFFER = {"template_id": "offer", "channels": ["email", "sms"], "variants": [{"variant_id": "a", "content": {"en": {"text": "hi"}}}]}
PEOPLE = 120
SMS = {"channel": "sms", "limit": 12, "period": "P1D"}


def decided(service: PersonalizationService, name: str, people: int = PEOPLE, **asked: Any) -> list[dict[str, Any]]:
    requests = [
        PersonalizationRequest(
            tenant_id="acme",
            user_id=f"{name}{n}",
            template_id="offer",
            context={"plan": ("pro", "free")[n % 2]},
            require_real_time=True,
            **asked,
        )
        for n in range(people)
    ]
    return [answer.document for answer in service.personalize_many(requests)]  # type: ignore[union-attr]


@pytest.fixture
def service(house: House, clock: ManualClock) -> PersonalizationService:
    """Who has learned from a day of random sends that sms works, above all for every second person."""
    clock.set(MORNING)
    service = house.service("acme")
    service.create_template(OFFER)
    service.patch_config(
        {"service_level": "quantum", "exploration": 1.0, "channels": {"sms": {"cost": 0.0}, "email": {"cost": 0.0}}}
    )
    for hour in range(3):
        clicked = [
            EngagementEvent(
                event_id=one["decision_id"],
                type=EventType.CLICKED,
                user_id=one["user_id"],
                decision_id=one["decision_id"],
                occurred_at=clock.now(),
            )
            for n, one in enumerate(decided(service, f"{hour}-"))
            if one["optimal_channels"][0] == "sms" and n % 4 != 3
        ]
        service.record(clicked)
        follow(house)
        clock.advance(HOUR)
        follow(house)
    service.patch_config({"exploration": 0.0})
    clock.set(MORNING + DAY)
    return service


def test_a_budget_is_given_to_those_whom_it_serves_best(house: House, service: PersonalizationService) -> None:
    assert {one["optimal_channels"][0] for one in decided(service, "before", 10)} == {"sms"}
    service.patch_config({"budgets": [{**SMS, "limit": PEOPLE}]})
    follow(house)
    found = decided(service, "after")
    by_sms = [n for n, one in enumerate(found) if one["optimal_channels"][0] == "sms"]
    assert by_sms == list(range(0, PEOPLE, 2))
    assert {one["policy"]["prices"] for one in found} == {str(house.book.pricing("acme").snapshot_id)}


def test_the_sample_is_from_all_over_the_time_it_is_asked_of(
    house: House, service: PersonalizationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = house.storage.log
    assert len(sampled(log, "acme", 0)) == 3 * PEOPLE
    assert {record.inputs.now for record in sampled(log, "acme", MORNING + HOUR)} == {MORNING + HOUR, MORNING + 2 * HOUR}
    assert sampled(log, "acme", MORNING + DAY) == sampled(log, "twin", 0) == []
    monkeypatch.setattr(budgets, "_ROWS", 160)
    monkeypatch.setattr(budgets, "_DECISIONS", 30)
    few = sampled(log, "acme", 0)
    assert 15 <= len(few) <= 30
    assert {record.inputs.now for record in few} == {MORNING, MORNING + HOUR, MORNING + 2 * HOUR}


def test_hours_that_are_over_are_counted_once_some_at_a_look(store: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [decision(decided_at=NOW + n * 7 * MINUTE, channel=("sms", "email")[n % 3 == 0]) for n in range(60)]
    append(store, *rows, suppressed(decided_at=NOW))
    monkeypatch.setattr(budgets, "_HOURS", 4)
    tallies, now = Tallies(store.log, "acme"), NOW + 6 * HOUR
    assert [tallies.reach(NOW - HOUR, now) for _ in range(2)] == [False, True]
    for since, until in (
        (NOW, now),
        (NOW - 17 * MINUTE, now),
        (NOW + HOUR, NOW + 2 * HOUR),
        (NOW + 10 * MINUTE, NOW + 20 * MINUTE),
    ):
        assert tallies.of(since, until) == store.log.tally("acme", since, until)
    store.log.discard("acme", rows[0].decision_id, now)
    assert tallies.of(NOW, now).total() == sum(store.log.tally("acme", NOW, now).values()) + 1


def test_a_decision_names_its_prices_says_what_they_did_and_replays(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.patch_config({"budgets": [{**SMS, "limit": PEOPLE}], "exploration": 0.5})
    follow(house)
    answers = decided(service, "after", 12, explain=True)
    names = [row["feature"] for one in answers for row in one["explanation"]["contributions"]]
    assert any(name.endswith(": shadow price") for name in names)
    assert all("budget" in {row["name"] for row in one["explanation"]["constraints"]} for one in answers)
    assert any(row["binding"] for one in answers for row in one["explanation"]["constraints"] if row["name"] == "budget")
    stored = house.storage.log.decision("acme", answers[0]["decision_id"])
    assert stored is not None
    inputs = decode_record(stored.record).inputs
    assert isinstance(inputs, PricedInputs)
    assert inputs.pricing_id == house.book.pricing("acme").snapshot_id
    clock.advance(DAY)
    follow(house)
    assert house.book.pricing("acme").snapshot_id > inputs.pricing_id
    house.storage.privacy.retire("acme", [inputs.pricing_id])
    for answer in answers:
        again = service.decision(answer["decision_id"], replay=True)
        assert {name: again[name] for name in answer} == answer
        assert again["replay"] == {"identical": True, "differences": [], "reason": None}


def test_a_budget_that_is_gone_sends_nothing_until_the_next_period_begins(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.patch_config({"budgets": [{**SMS, "limit": 0}]})
    follow(house)
    found = decided(service, "gone", 4, channels=("sms",))
    assert {one["action"] for one in found} == {"suppress"}
    assert [one["suppression"] for one in found] == [{"reason": "budget", "retry_at": None}] * 4
    assert {one["optimal_channels"][0] for one in decided(service, "other", 4)} == {"email"}
    transactional = decided(service, "needed", 4, channels=("sms",), category="transactional")
    assert {one["action"] for one in transactional} == {"send"}
    clock.set(MORNING + 2 * DAY - 6 * HOUR)
    assert {one["action"] for one in decided(service, "midnight", 4, channels=("sms",))} == {"send"}


def test_prices_follow_what_is_left_and_are_solved_again_within_the_hour(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    service.patch_config({"budgets": [SMS]})
    follow(house)
    first = house.book.pricing("acme")
    decided(service, "few", 12, channels=("sms",), category="transactional")
    clock.advance(HOUR - MINUTE)
    follow(house)
    assert house.book.pricing("acme") is first
    assert 0 < first.channels["sms"].micros < MICRO
    clock.advance(MINUTE)
    follow(house)
    assert house.book.pricing("acme").channels["sms"].micros == MOST
    assert service.overview(None, None, None)["budgets"] == [
        {
            **SMS,
            "since": "2026-11-24T00:00:00Z",
            "until": "2026-11-25T00:00:00Z",
            "sent": 12,
            "price": MOST / MICRO,
        }
    ]


def test_other_processes_load_them_and_nothing_takes_them_for_a_model(house: House, service: PersonalizationService) -> None:
    service.patch_config({"budgets": [SMS]})
    follow(house)
    other = build_house(Settings(app_env=DEVELOPMENT), house.clock, house.storage)
    other.book.refresh()
    assert other.book.pricing("acme") == house.book.pricing("acme") != NO_PRICES
    assert other.book.pricing("twin") == NO_PRICES
    assert [one["model_id"] for one in other.service("acme").models(10, None)["items"]] == ["variants:offer"]
    with pytest.raises(NotFound):
        other.service("acme").model(PRICES)
    assert rebuild(house.storage, "acme").identical
    other.orchestrator.close()


def test_without_a_budget_and_at_other_levels_nobody_has_a_price(house: House, service: PersonalizationService) -> None:
    service.patch_config({"budgets": [SMS]})
    follow(house)
    service.patch_config({"service_level": "enterprise"})
    found = decided(service, "lower", 6)
    assert {one["optimal_channels"][0] for one in found} == {"sms"}
    assert all("prices" not in one["policy"] for one in found)
    assert any("quantum" in sentence for sentence in found[0]["recommendations"])
    service.patch_config({"service_level": "quantum", "budgets": None})
    assert {one["optimal_channels"][0] for one in decided(service, "free", 6)} == {"sms"}
    assert service.overview(None, None, None)["budgets"] == []
