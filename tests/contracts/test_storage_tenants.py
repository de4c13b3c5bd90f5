"""Tenants, API keys and ended tokens: the contract of storage/base.py, sentence by sentence, on every store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from personalization.clock import DAY
from personalization.errors import Conflict, NotFound
from personalization.reward import ByValue, RewardSpec
from personalization.storage.base import ApiKeyRecord, Storage
from personalization.tenant import Budget, ChannelSpec, FrequencyCap, QuietHours, TenantConfig
from personalization.vocabulary import Aggregation, LogType
from tests.conftest import NOW, Reopen
from tests.contracts.conftest import ADA, at_once, decision, event, whole_log


def test_a_tenant_is_created_once_with_the_defaults(storage: Storage) -> None:
    assert not storage.tenants.exists("acme")
    assert storage.tenants.create("b", NOW)
    assert storage.tenants.create("acme", NOW)
    assert not storage.tenants.create("acme", NOW)
    assert storage.tenants.exists("acme")
    assert storage.tenants.list() == ["acme", "b"]
    assert storage.tenants.config("acme") == TenantConfig()
    assert storage.log.heads() == {"acme": 0, "b": 0}


def test_two_callers_who_create_a_tenant_at_once_create_one(storage: Storage) -> None:
    assert sum(at_once([lambda: storage.tenants.create("acme", NOW)] * 8)) == 1
    assert storage.tenants.config("acme").version == 0


def test_every_version_of_a_configuration_is_kept_to_the_last_field(store: Storage) -> None:
    changed = TenantConfig(
        exploration=0.1 + 0.2,
        reward=RewardSpec(
            weights={"clicked": 1 / 3, "custom:cart": 2.0, "converted": ByValue(per_value=0.1)},
            aggregation=Aggregation.SUM,
            guardrails={"complained": 0.1 + 0.2},
        ),
        frequency_caps=(FrequencyCap(limit=3, period=DAY, category="promotional"),),
        budgets=(Budget(channel="sms", limit=1_000, period=DAY),),
        quiet_hours=QuietHours(22 * 60, 7 * 60),
        channels={"sms": ChannelSpec(cost=0.05, max_length=160)},
    )
    saved = store.tenants.save_config("acme", changed, NOW + 1)
    assert saved == replace(changed, version=1)
    assert store.tenants.config("acme") == saved
    assert store.tenants.config("acme", 0) == TenantConfig()
    assert store.tenants.config("twin") == TenantConfig()
    assert [(e.type, e.at, e.body) for e in whole_log(store)] == [(LogType.CONFIG_CHANGED, NOW + 1, {"version": 1})]


def test_a_configuration_saved_since_is_a_conflict(store: Storage) -> None:
    store.tenants.save_config("acme", TenantConfig(exploration=0.2), NOW)
    with pytest.raises(Conflict):
        store.tenants.save_config("acme", TenantConfig(exploration=0.3), NOW)
    assert store.tenants.config("acme").exploration == 0.2
    assert store.log.heads()["acme"] == 1


def test_what_nobody_created_is_not_found(storage: Storage) -> None:
    with pytest.raises(NotFound):
        storage.tenants.config("acme")
    with pytest.raises(NotFound):
        storage.tenants.save_config("acme", TenantConfig(), NOW)
    with pytest.raises(NotFound):
        storage.log.append_events("acme", [event()], NOW)
    with pytest.raises(NotFound):
        storage.log.append_decisions("acme", [decision()])
    with pytest.raises(NotFound):
        storage.tenants.secret("acme", "holdout")
    storage.tenants.create("acme", NOW)
    with pytest.raises(NotFound):
        storage.tenants.config("acme", 7)


def test_nobodys_rows_are_none(storage: Storage) -> None:
    assert storage.profiles.load("nobody", [ADA]) == {}
    assert storage.profiles.scan("nobody", None, 9) == []
    assert storage.profiles.consents("nobody", ADA) == []
    assert storage.templates.get("nobody", "offer") is None
    assert storage.templates.list("nobody", 9) == []
    assert storage.log.decision("nobody", "d") is None
    assert storage.log.decisions("nobody", ["d"]) == {}
    assert storage.log.reserved("nobody", [ADA], 0, NOW) == {}
    assert storage.log.timeline("nobody", ADA, 9) == []
    assert storage.log.read("nobody", 0, 9) == []
    assert storage.log.summary("nobody", 0, NOW, "UTC").decisions == 0
    assert storage.checkpoints.load("nobody", "learner") is None
    assert storage.tenants.list() == []


def test_a_secret_is_the_tenants_alone_and_stable(store: Storage) -> None:
    secret = store.tenants.secret("acme", "holdout")
    assert len(secret) == 32
    assert secret == store.tenants.secret("acme", "holdout")
    assert len({secret, store.tenants.secret("acme", "seed"), store.tenants.secret("twin", "holdout")}) == 3


def test_api_keys_are_found_listed_and_revoked(store: Storage) -> None:
    keys = [
        ApiKeyRecord(key_id=f"k{n}", tenant_id="acme", role="admin", name="n", digest=b"d" * 32, created_at=NOW, expires_at=NOW + n)
        for n in range(3)
    ]
    for key in keys:
        store.keys.add(key)
    assert store.keys.get("k1") == keys[1]
    assert store.keys.get("k9") is None
    assert store.keys.list("acme", 2) == keys[:2]
    assert store.keys.list("acme", 2, after="k1") == keys[2:]
    assert store.keys.list("twin", 2) == []

    assert not store.keys.revoke("twin", "k1", NOW)
    assert store.keys.revoke("acme", "k1", NOW + 5)
    assert not store.keys.revoke("acme", "k1", NOW + 6)
    assert store.keys.get("k1") == replace(keys[1], revoked_at=NOW + 5)
    assert store.keys.list("acme", 9) == [keys[0], keys[2]]
    assert store.keys.revoked_since(NOW + 5) == ["k1"]
    assert store.keys.revoked_since(NOW + 6) == []


def test_ended_tokens_are_known_by_tenant_until_they_would_have_expired(store: Storage) -> None:
    one, other = b"1" * 32, b"2" * 32
    store.revocations.add("acme", one, NOW, NOW + 10)
    store.revocations.add("twin", other, NOW + 5, NOW + 20)
    assert (store.revocations.has("acme", one), store.revocations.has("twin", one)) == (True, False)
    assert store.revocations.since(NOW) == [("acme", one), ("twin", other)]
    assert store.revocations.since(NOW + 1) == [("twin", other)]
    assert store.revocations.prune(NOW + 10) == 0
    assert store.revocations.prune(NOW + 11) == 1
    assert (store.revocations.has("acme", one), store.revocations.has("twin", other)) == (False, True)


def test_ending_a_token_again_only_moves_its_end_onward(store: Storage) -> None:
    token = b"1" * 32
    for at, expires_at in ((NOW, NOW + 10), (NOW + 1, NOW + 30), (NOW + 2, NOW + 20)):
        store.revocations.add("acme", token, at, expires_at)
    assert store.revocations.since(NOW + 1) == []
    assert store.revocations.prune(NOW + 30) == 0
    assert store.revocations.prune(NOW + 31) == 1


def test_an_ended_token_stays_ended_in_a_store_opened_again(reopen: Reopen) -> None:
    first = reopen()
    first.tenants.create("acme", NOW)
    first.revocations.add("acme", b"1" * 32, NOW, NOW + 10)
    assert reopen().revocations.has("acme", b"1" * 32)


def test_an_api_key_needs_its_tenant_and_an_id_of_its_own(store: Storage) -> None:
    key = ApiKeyRecord(key_id="k", tenant_id="acme", role="admin", name="n", digest=b"d", created_at=NOW)
    store.keys.add(key)
    with pytest.raises(Conflict):
        store.keys.add(replace(key, tenant_id="twin"))
    with pytest.raises(NotFound):
        store.keys.add(replace(key, key_id="k2", tenant_id="nobody"))
