"""Versions of models: the contract of storage/model_versions.py, sentence by sentence, on every store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from personalization.errors import Conflict, NotFound
from personalization.storage.base import Storage
from personalization.storage.model_versions import ARTIFACTS_KEPT, ModelVersion
from personalization.vocabulary import ModelStatus
from tests.conftest import NOW
from tests.contracts.conftest import at_once


def trained(store: Storage, tenant: str = "acme", model: str = "engagement", body: bytes = b"model") -> ModelVersion:
    """One more version, READY."""
    new = store.model_versions.begin(tenant, model, {"lineage": {"seed": 1}}, NOW)
    ready = replace(new, status=ModelStatus.READY, document={**new.document, "performance_metrics": {"auc": 0.5}})
    assert store.model_versions.trained(ready, NOW + 1, body, "digest")
    found = store.model_versions.get(tenant, model, new.version)
    assert found is not None
    return found


def move(store: Storage, version: ModelVersion, status: ModelStatus, **document: Any) -> ModelVersion | None:
    told = {**version.document, **document}
    return store.model_versions.move(version.tenant_id, version.model_id, version.version, status, NOW + 2, told)


def test_a_version_goes_from_training_to_ready_with_its_artifact(store: Storage) -> None:
    found = trained(store)
    assert (found.version, found.status, found.digest, found.created_at, found.changed_at) == (1, "ready", "digest", NOW, NOW + 1)
    assert found.document == {"lineage": {"seed": 1}, "performance_metrics": {"auc": 0.5}}
    assert store.model_versions.artifact("acme", "engagement", 1) == b"model"
    assert store.model_versions.artifact("twin", "engagement", 1) is None
    assert store.model_versions.get("twin", "engagement", 1) is None


def test_a_model_is_trained_once_at_a_time(store: Storage) -> None:
    first = store.model_versions.begin("acme", "engagement", {}, NOW)
    with pytest.raises(Conflict, match="trained already"):
        store.model_versions.begin("acme", "engagement", {}, NOW)
    store.model_versions.begin("acme", "value", {}, NOW)
    store.model_versions.begin("twin", "engagement", {}, NOW)
    assert [(v.tenant_id, v.model_id) for v in store.model_versions.training()] == [
        ("acme", "engagement"),
        ("acme", "value"),
        ("twin", "engagement"),
    ]
    assert store.model_versions.trained(replace(first, status=ModelStatus.FAILED), NOW, None, None)
    assert not store.model_versions.trained(replace(first, status=ModelStatus.READY), NOW, b"late", "late")
    assert store.model_versions.artifact("acme", "engagement", 1) is None
    assert store.model_versions.begin("acme", "engagement", {}, NOW).version == 2
    with pytest.raises(NotFound):
        store.model_versions.begin("nobody", "engagement", {}, NOW)


def test_one_version_is_live_and_the_one_before_retires(store: Storage) -> None:
    first, second, other = trained(store), trained(store), trained(store, "twin")
    assert move(store, first, ModelStatus.LIVE) is not None
    assert move(store, other, ModelStatus.LIVE) is not None
    seen = store.model_versions.live()[-1].change
    moved = move(store, second, ModelStatus.LIVE, gate="better")
    assert moved is not None
    assert moved.document["gate"] == "better"
    assert [(v.tenant_id, v.version) for v in store.model_versions.live()] == [("twin", 1), ("acme", 2)]
    assert store.model_versions.live(after=seen) == [moved]
    assert store.model_versions.newest("acme", "engagement", 9, status=ModelStatus.LIVE) == [moved]
    assert store.model_versions.newest("acme", "engagement", 9, status=ModelStatus.SHADOW) == []
    assert [(v.version, v.status) for v in store.model_versions.newest("acme", "engagement", 10)] == [(2, "live"), (1, "retired")]
    assert store.model_versions.move("acme", "engagement", 9, ModelStatus.LIVE, NOW, {}) is None


def test_versions_are_listed_newest_first_in_pages(store: Storage) -> None:
    for _ in range(5):
        trained(store)
    assert [v.version for v in store.model_versions.newest("acme", "engagement", 2)] == [5, 4]
    assert [v.version for v in store.model_versions.newest("acme", "engagement", 2, before=4)] == [3, 2]


def test_old_artifacts_go_and_the_live_one_stays(store: Storage) -> None:
    move(store, trained(store), ModelStatus.LIVE)
    for _ in range(ARTIFACTS_KEPT + 1):
        trained(store)
    kept = [n for n in range(1, ARTIFACTS_KEPT + 3) if store.model_versions.artifact("acme", "engagement", n) is not None]
    assert kept == [1, *range(3, ARTIFACTS_KEPT + 3)]


def test_of_versions_made_live_at_once_one_is(store: Storage) -> None:
    versions = [trained(store) for _ in range(4)]
    at_once([lambda v=v: move(store, v, ModelStatus.LIVE) for v in versions])  # type: ignore[misc]
    assert len(store.model_versions.live()) == 1
    changes = [v.change for v in store.model_versions.newest("acme", "engagement", 10)]
    assert len(set(changes)) == len(changes)
