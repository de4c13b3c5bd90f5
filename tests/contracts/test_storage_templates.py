"""Templates: the contract of storage/base.py, sentence by sentence, on every store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from personalization.errors import Conflict
from personalization.storage.base import Storage
from tests.conftest import NOW
from tests.contracts.conftest import template


def test_template_versions_are_immutable_and_kept(store: Storage) -> None:
    first = store.templates.save(template())
    assert first == template(version=1)
    second = store.templates.save(replace(first, name="Better"))
    assert second.version == 2
    assert store.templates.get("acme", "offer") == second
    assert store.templates.get("acme", "offer", 1) == first
    assert store.templates.get("acme", "offer", 3) is None
    assert store.templates.get("acme", "other") is None
    assert store.templates.get("twin", "offer") is None
    assert store.templates.versions("acme", "offer", 9) == [second, first]
    assert store.templates.versions("acme", "offer", 9, before=2) == [first]
    assert store.templates.versions("acme", "offer", 1) == [second]


def test_a_template_saved_since_is_a_conflict(store: Storage) -> None:
    first = store.templates.save(template())
    store.templates.save(first)
    for stale in (template(), first, template(template_id="unknown", version=1)):
        with pytest.raises(Conflict):
            store.templates.save(stale)
    assert store.templates.get("acme", "offer") == replace(first, version=2)


def test_a_deleted_template_is_found_by_version_and_its_id_goes_on(store: Storage) -> None:
    first = store.templates.save(template())
    assert store.templates.delete("acme", "offer", NOW)
    assert not store.templates.delete("acme", "offer", NOW)
    assert not store.templates.delete("acme", "other", NOW)
    assert store.templates.get("acme", "offer") is None
    assert store.templates.get("acme", "offer", 1) == first
    assert store.templates.list("acme", 9) == []
    assert store.templates.versions("acme", "offer", 9) == []
    with pytest.raises(Conflict):
        store.templates.save(first)
    assert store.templates.save(template()).version == 2
    assert store.templates.get("acme", "offer") == template(version=2)


def test_templates_are_listed_in_order(store: Storage) -> None:
    saved = [store.templates.save(template(template_id=name)) for name in ("b", "a", "c")]
    saved[0] = store.templates.save(saved[0])
    store.templates.save(template(tenant_id="twin", template_id="d"))
    assert store.templates.list("acme", 2) == [saved[1], saved[0]]
    assert store.templates.list("acme", 2, after="b") == [saved[2]]
