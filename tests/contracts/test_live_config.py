"""A tenant's configuration changes live: the next decision follows it, here at once and in other processes within a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from personalization.bootstrap import House, build_house, memory_house
from personalization.clock import DAY, HOUR, SECOND, ManualClock
from personalization.messages import EngagementEvent, PersonalizationRequest
from personalization.operations.learner import LEARNER
from personalization.security.cipher import EnvelopeCipher
from personalization.service import PersonalizationService
from personalization.settings import DEVELOPMENT, Settings
from personalization.storage.sql.open import open_sql_storage
from personalization.vocabulary import EventType
from tests.conftest import MASTER_KEYS
from tests.following import follow

Document = dict[str, Any]
OFFER = {
    "template_id": "offer",
    "channels": ["email", "push"],
    "variants": [{"variant_id": v, "content": {"en": {"text": v}}} for v in "abc"],
}
_users = count()


def ask(**fields: Any) -> PersonalizationRequest:
    """Of somebody new, so that nobody's history matters."""
    return PersonalizationRequest(**{"tenant_id": "acme", "user_id": f"u{next(_users)}", "template_id": "offer", **fields})


def mode(wanted: str) -> Callable[[Document], bool]:
    return lambda answer: answer["policy"]["mode"] == wanted


def refused(reason: str) -> Callable[[Document], bool]:
    return lambda answer: answer["action"] == "suppress" and answer["suppression"]["reason"] == reason


#: A patch, and what every decision after it looks like (and none before).
CHANGES: dict[str, tuple[Document, Callable[[Document], bool]]] = {
    "apprentice": ({"learning_mode": "apprentice"}, mode("apprentice")),
    "learning off": ({"learning_mode": "off"}, mode("greedy")),
    "no exploration": ({"exploration": 0.0}, lambda a: a["policy"]["mode"] == "greedy" and a["propensity"]["joint"] == 1.0),
    "holdout": ({"holdout": 1.0}, mode("holdout")),
    "holdout without sending": ({"holdout_no_send": 1.0}, refused("holdout")),
    "level": ({"service_level": "basic"}, lambda a: a["personalization_level"] == "basic" and a["policy"]["mode"] == "baseline"),
    "quiet hours": ({"quiet_hours": {"start": "00:00", "end": "00:00"}}, refused("quiet_hours")),
    "caps": ({"frequency_caps": [{"limit": 0, "period": "P1D"}]}, refused("frequency_capped")),
    "consent": ({"consent_default": "required"}, refused("no_consent")),
    "quality": ({"min_quality_score": 1.0, "channels": {"push": {"max_length": 0}}}, lambda a: a["optimal_channels"] == ["email"]),
}


@pytest.fixture
def house(clock: ManualClock) -> Iterator[House]:
    house = memory_house(clock=clock)
    house.storage.tenants.create("acme", clock.now())
    yield house
    house.orchestrator.close()


@pytest.fixture
def service(house: House) -> PersonalizationService:
    service = house.service("acme")
    service.create_template(OFFER)
    return service


@pytest.mark.parametrize("change", CHANGES)
def test_a_patch_changes_the_next_decision_and_taking_it_back_the_one_after(service: PersonalizationService, change: str) -> None:
    patch, follows = CHANGES[change]
    before = service.config()
    assert not follows(service.personalize(ask()).document)
    service.patch_config(patch)
    assert all(follows(service.personalize(ask()).document) for _ in range(5))
    service.patch_config({name: before[name] for name in patch})
    assert not follows(service.personalize(ask()).document)


@pytest.fixture
def houses(postgres_url: str, clock: ManualClock) -> Iterator[tuple[House, House]]:
    """Two processes' houses on one PostgreSQL."""
    both = [
        build_house(Settings(app_env=DEVELOPMENT), clock, open_sql_storage(postgres_url, EnvelopeCipher(MASTER_KEYS), clock))
        for _ in range(2)
    ]
    both[0].storage.tenants.create("acme", clock.now())
    both[0].service("acme").create_template(OFFER)
    yield both[0], both[1]
    for house in both:
        house.orchestrator.close()
        house.close()


def test_another_process_follows_every_patch_within_a_second(houses: tuple[House, House], clock: ManualClock) -> None:
    here, there = (house.service("acme") for house in houses)
    for patch, follows in CHANGES.values():
        before = here.config()
        assert not follows(there.personalize(ask()).document)
        here.patch_config(patch)
        clock.advance(SECOND)
        assert follows(there.personalize(ask()).document)
        here.patch_config({name: before[name] for name in patch})
        clock.advance(SECOND)


def test_a_clock_set_back_a_day_keeps_nobody_waiting(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    """Neither for what another process configured, nor for the learner's snapshots and checkpoints."""
    other = build_house(Settings(app_env=DEVELOPMENT), clock, house.storage)
    there = other.service("acme")
    learn(house, service, clock)
    assert mode("online")(there.personalize(ask()).document)
    clock.advance(-DAY)
    service.patch_config({"exploration": 0.0})
    assert mode("greedy")(there.personalize(ask()).document)
    version = int(service.model("variants:offer")["version"])
    learn(house, service, clock)
    assert int(service.model("variants:offer")["version"]) > version
    kept = house.storage.checkpoints.load("acme", LEARNER)
    assert kept is not None
    assert kept[0] >= house.storage.log.heads()["acme"] - 2
    other.orchestrator.close()


# -- exploration -----------------------------------------------------------------------------------------------------


def learn(house: House, service: PersonalizationService, clock: ManualClock, n: int = 40) -> None:
    """n decisions, of which variant b is clicked."""
    answers = [a.document for a in service.personalize_many([ask(require_real_time=True) for _ in range(n)])]  # type: ignore[union-attr]
    service.record(
        [
            EngagementEvent(
                event_id=f"e-{a['decision_id']}",
                type=EventType.CLICKED,
                user_id=a["user_id"],
                occurred_at=clock.now(),
                decision_id=a["decision_id"],
            )
            for a in answers
            if a["variant_id"] == "b"
        ]
    )
    clock.advance(SECOND)
    follow(house)


def test_exploration_holds_from_the_next_decision_on(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    learn(house, service, clock)
    for bound in (0.05, 1.0, 0.2, 0.0):
        service.patch_config({"exploration": bound})
        answers = [a.document for a in service.personalize_many([ask(explain=True) for _ in range(100)])]  # type: ignore[union-attr]
        explored = [a["explanation"]["exploration_probability"] for a in answers]
        assert max(explored) <= bound
        assert (max(explored) > 0.0) is (bound > 0.0)
        assert bound > 0.0 or {a["propensity"]["joint"] for a in answers} == {1.0}


# -- learning --------------------------------------------------------------------------------------------------------


def statistics(house: House) -> dict[str, bytes]:
    """What every model of the tenant knows, bit for bit."""
    return {name: repr(model.rewards.pack()).encode() for name, model in house.learner.ledger("acme").models.items()}


@pytest.mark.parametrize("pause", ["off", "apprentice"])
def test_learning_stops_and_goes_on_from_there(
    house: House, service: PersonalizationService, clock: ManualClock, pause: str
) -> None:
    learn(house, service, clock)
    clock.advance(25 * HOUR)
    follow(house)
    known, version = statistics(house), service.model("variants:offer")["version"]
    service.patch_config({"learning_mode": pause})
    for _ in range(3):
        learn(house, service, clock)
    clock.advance(25 * HOUR)
    follow(house)
    assert statistics(house) == known
    assert service.model("variants:offer")["version"] == version
    service.patch_config({"learning_mode": "online"})
    learn(house, service, clock)
    model = service.model("variants:offer")
    assert model["performance_metrics"]["decisions"] == 80
    assert int(model["version"]) > int(version)


def test_what_was_decided_before_learning_stopped_is_learned_to_its_end(
    house: House, service: PersonalizationService, clock: ManualClock
) -> None:
    """A decision says itself whether it is learned from, so that the log alone tells what is known."""
    answer = service.personalize(ask(require_real_time=True)).document
    service.patch_config({"learning_mode": "off"})
    cited = {"user_id": answer["user_id"], "decision_id": answer["decision_id"], "occurred_at": clock.now()}
    service.record([EngagementEvent(event_id="e", type=EventType.CLICKED, **cited)])
    clock.advance(SECOND)
    follow(house)
    assert service.model("variants:offer")["performance_metrics"]["rates"] == {"clicked": 1.0}


def test_off_decides_by_what_was_learned(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    for _ in range(6):
        learn(house, service, clock)
    service.patch_config({"learning_mode": "off"})
    answers = service.personalize_many([ask() for _ in range(30)])
    assert {a.document["variant_id"] for a in answers} == {"b"}  # type: ignore[union-attr]


def test_tenants_are_configured_apart(house: House, service: PersonalizationService, clock: ManualClock) -> None:
    house.storage.tenants.create("twin", clock.now())
    twin = house.service("twin")
    twin.create_template(OFFER)
    service.patch_config({"learning_mode": "off", "exploration": 0.0, "holdout": 0.5})
    assert twin.config()["holdout"] == 0.0
    assert twin.personalize(ask(tenant_id="twin")).document["policy"]["mode"] == "online"
