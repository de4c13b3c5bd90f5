"""The life of a model on every store: trained, judged, promoted through a gate, served by every process, rolled back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import pytest

from personalization.clock import DAY, HOUR, ManualClock
from personalization.errors import Conflict, Invalid, NotFound, PromotionRefused
from personalization.models.base import Case, Examples
from personalization.models.shelf import Shelf
from personalization.operations.model_life import COMMAND, COMMAND_LASTS, ModelLife
from personalization.operations.trainer import SCHEDULE_EVERY, Trainer
from personalization.operations.training import Lineage
from personalization.storage.base import Storage
from personalization.storage.model_versions import ModelVersion
from personalization.tenant import Retraining, TenantConfig
from personalization.vocabulary import ModelStatus
from tests.conftest import NOW
from tests.contracts.conftest import event, user
from tests.planted import Planted, planted

BY_HAND = TenantConfig(retraining=Retraining(promote=False))
FAMILIES = MappingProxyType({"planted": Planted()})


@dataclass
class World:
    """A tenant whose log is planted: one case an hour from 100 days before NOW on."""

    store: Storage
    clock: ManualClock
    slope: float = 1.5
    config: TenantConfig = BY_HAND
    shelf: Shelf = field(init=False)

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.store.model_versions, FAMILIES)
        self.life = ModelLife("acme", self.store, self.shelf, lambda: self.config, self.clock, self.examine)
        self.trainer = Trainer(self.store, self.shelf, lambda tenant: self.life, self.clock, lambda: True)

    def examine(self, tenant: str, case: Case, now: int, step: object) -> Examples:
        assert (tenant, case) == ("acme", Case.PERSON)
        start = NOW - 100 * DAY
        return planted(max((now - DAY - start) // HOUR, 0), start, slope=self.slope)

    def train(self) -> ModelVersion:
        number = int(self.life.train("planted")["version"])
        assert self.trainer.step() == 1
        found = self.store.model_versions.get("acme", "planted", number)
        assert found is not None
        return found


@pytest.fixture
def world(store: Storage, clock: ManualClock) -> World:
    return World(store, clock)


def test_a_version_is_trained_in_the_background_and_judged_on_the_future(world: World) -> None:
    asked = world.life.train("planted")
    assert (asked["status"], asked["version"]) == ("training", "1")
    with pytest.raises(Conflict, match="trained already"):
        world.life.train("planted")
    world.trainer.step()
    told = world.life.versions("planted", 10, None)["items"][0]
    assert told["status"] == "ready"
    assert told["performance_metrics"]["log_loss"] < told["base_rates"]["log_loss"] - 0.1
    lineage = told["lineage"]
    assert lineage["cases"] == lineage["people"] == 99 * 24
    assert lineage["taught_until"] < lineage["until"]
    assert len(told["calibration"]["y"]) == 10
    assert len(told["digest"]) == 64
    assert any("none of those was known" in sentence for sentence in told["report"])


def test_the_first_version_serves_once_promoted_and_every_process_takes_it_up(world: World) -> None:
    world.train()
    other = World(world.store, world.clock)
    assert other.shelf.serving("acme") == {}
    assert world.life.promote("planted")["status"] == "live"
    assert world.shelf.serving("acme")["planted"].version == 1
    assert world.shelf.serving("twin") == {}
    other.shelf.refresh()
    mine, theirs = (shelf.serving("acme")["planted"].model.predict({"x": 0.7}) for shelf in (world.shelf, other.shelf))
    assert mine == theirs


def test_a_worse_version_is_refused_and_a_rollback_goes_one_back(world: World) -> None:
    world.train()
    world.life.promote("planted")
    world.slope = -1.5
    world.clock.advance(20 * DAY)
    assert world.train().document["gate"]["verdict"] == "better"
    assert world.life.promote("planted", 2)["replaces"] == 1
    world.clock.advance(20 * DAY)
    with pytest.raises(PromotionRefused, match="worse"):
        world.life.promote("planted", 1)
    assert world.shelf.serving("acme")["planted"].version == 2
    assert world.life.rollback("planted")["version"] == "1"
    assert world.shelf.serving("acme")["planted"].version == 1
    with pytest.raises(Conflict, match="none to go back to"):
        world.life.rollback("planted")


def test_a_shadow_serves_nobody_and_may_go_live(world: World) -> None:
    world.train()
    world.life.promote("planted")
    world.clock.advance(10 * DAY)
    world.train()
    assert world.life.promote("planted", 2, ModelStatus.SHADOW)["status"] == "shadow"
    assert world.shelf.serving("acme")["planted"].version == 1
    assert world.life.promote("planted", 2)["status"] in ("live",)
    assert [v["status"] for v in world.life.versions("planted", 10, None)["items"]] == ["live", "retired"]


def test_evaluating_takes_only_what_came_after(world: World) -> None:
    world.train()
    world.life.promote("planted")
    before = world.life.evaluate("planted")["cases"]
    world.clock.advance(10 * DAY)
    found = world.life.evaluate("planted")
    assert found["cases"] == before + 240
    assert world.life.document("planted")["evaluation"]["cases"] == found["cases"]
    assert world.shelf.serving("acme")["planted"].version == 1


def test_too_few_cases_fail_with_a_reason_and_serve_nobody(world: World, clock: ManualClock) -> None:
    clock.advance(-97 * DAY)
    failed = world.train()
    assert failed.status is ModelStatus.FAILED
    assert "it takes 100" in failed.document["report"][0]
    with pytest.raises(Conflict, match="was trained yet"):
        world.life.promote("planted")
    with pytest.raises(Conflict, match="failed"):
        world.life.promote("planted", 1)


def test_unknown_models_and_versions_are_not_found(world: World) -> None:
    for call in (world.life.train, world.life.document, world.life.evaluate, world.life.promote, world.life.rollback):
        with pytest.raises(NotFound):
            call("nobody")
    with pytest.raises(NotFound):
        world.life.evaluate("planted", 7)


def test_a_broken_artifact_is_refused_and_the_old_version_serves_on(world: World) -> None:
    world.train()
    world.life.promote("planted")
    served = world.shelf.serving("acme")["planted"]
    for body in (b"", b"\x80\x04pickled", world.store.model_versions.artifact("acme", "planted", 1)[:-40]):  # type: ignore[index]
        new = world.store.model_versions.begin("acme", "planted", {}, NOW)
        ready = replace(new, status=ModelStatus.READY)
        world.store.model_versions.trained(ready, NOW, body, "0" * 64)
        world.store.model_versions.move("acme", "planted", new.version, ModelStatus.LIVE, NOW, {})
        world.shelf.refresh()
        assert world.shelf.serving("acme")["planted"] is served


def test_a_version_left_in_training_is_begun_anew_by_the_next_leader(world: World) -> None:
    world.life.train("planted")
    another = World(world.store, world.clock)
    assert another.trainer.step() == 1
    assert world.life.versions("planted", 1, None)["items"][0]["status"] == "ready"
    following = Trainer(world.store, world.shelf, lambda tenant: world.life, world.clock, lambda: False)
    world.life.train("planted")
    assert following.step() == 0


def test_models_are_trained_anew_when_due_and_promoted_by_their_gate(world: World) -> None:
    world.config = TenantConfig(retraining=Retraining(every=DAY))
    ada = user(world.store)
    world.store.log.append_events("acme", [event(user_ref=ada) for _ in range(150)], NOW)
    world.clock.advance(SCHEDULE_EVERY)
    assert world.trainer.step() == 1
    assert world.life.document("planted")["status"] == "live"
    assert world.life.document("planted")["asked_by"] == "schedule"
    world.clock.advance(SCHEDULE_EVERY)
    assert world.trainer.step() == 0
    world.clock.advance(DAY)
    assert world.trainer.step() == 0, "nothing new in the log"
    world.store.log.append_events("acme", [event(user_ref=ada) for _ in range(150)], NOW)
    world.clock.advance(SCHEDULE_EVERY)
    assert world.trainer.step() == 1
    world.config = TenantConfig(retraining=Retraining(automatic=False))
    world.store.log.append_events("acme", [event(user_ref=ada) for _ in range(150)], NOW)
    world.clock.advance(2 * DAY)
    assert world.trainer.step() == 0


def test_nothing_new_to_judge_by_is_said(world: World) -> None:
    version = world.train()
    later = {**version.document, "lineage": {**version.document["lineage"], "taught_until": "2099-01-01T00:00:00Z"}}
    world.store.model_versions.move("acme", "planted", 1, ModelStatus.READY, NOW, later)
    with pytest.raises(Invalid, match="No case came"):
        world.life.evaluate("planted", 1)


def test_a_drifting_world_raises_an_alarm_and_a_shadow_is_judged_beside(world: World) -> None:
    world.train()
    world.life.promote("planted")
    world.clock.advance(10 * DAY)
    world.life.watch(world.clock.now())
    steady = world.life.document("planted")["monitoring"]
    assert steady["alarm"] is False
    assert steady["columns"]["x"]["level"] == "steady"
    world.slope = -1.5
    world.train()
    world.life.promote("planted", 2, ModelStatus.SHADOW)
    world.clock.advance(30 * DAY)
    world.life.watch(world.clock.now())
    drifted = world.life.document("planted")["monitoring"]
    assert drifted["alarm"] is True
    assert drifted["loss"]["level"] == "drifted"
    assert "Retrain" in drifted["sentences"][0]
    assert [(c["version"], c["verdict"]) for c in drifted["challengers"]] == [(2, "better")]


def test_what_a_table_taught_is_not_replaced_by_the_log(world: World) -> None:
    world.config = TenantConfig(retraining=Retraining(every=DAY))
    table = replace_times(world.examine("acme", Case.PERSON, NOW, None))
    told = world.life.keep(world.life.begun("planted", "command"), table, Lineage(source="csv", file="own.csv", timed=False))
    assert told["status"] == "live"
    assert told["lineage"]["from"] is None
    assert "drawn at random" in told["report"][0]
    ada = user(world.store)
    world.store.log.append_events("acme", [event(user_ref=ada) for _ in range(150)], NOW)
    world.clock.advance(2 * DAY)
    assert world.trainer.step() == 0


def replace_times(examples: Examples) -> Examples:
    """The cases of a file without a time: in some order."""
    return replace(examples, at=np.arange(len(examples)), horizon=0)


def test_a_family_that_breaks_fails_once_with_its_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Planted, "fit", lambda *given: 1 / 0)
    failed = world.train()
    assert failed.status is ModelStatus.FAILED
    assert "ZeroDivisionError" in failed.document["report"][0]
    assert world.trainer.step() == 0


def test_a_version_that_a_command_teaches_is_left_to_it_and_given_up_when_it_died(world: World) -> None:
    asked = world.life.begun("planted", COMMAND)
    world.trainer.step()
    assert world.life.versions("planted", 1, None)["items"][0]["status"] == "training"
    world.clock.advance(COMMAND_LASTS + HOUR)
    world.trainer.step()
    given_up = world.life.versions("planted", 1, None)["items"][0]
    assert (given_up["version"], given_up["status"]) == (str(asked.version), "failed")
    assert "give it again" in given_up["report"][0]


def test_a_column_of_numbers_and_text_fails_once_with_its_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = world.examine("acme", Case.PERSON, NOW, None)
    table = {**mixed.table, "trait:plan": ["a" if i % 2 else 1.0 for i in range(len(mixed))]}
    monkeypatch.setattr(world.life, "_examine", lambda *given: replace(mixed, table=table))
    failed = world.train()
    assert failed.status is ModelStatus.FAILED
    assert "trait:plan" in failed.document["report"][0]
    assert world.trainer.step() == 0
