"""The contract of storage/base.py, sentence by sentence, on every store."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from personalization.clock import DAY, HOUR, ManualClock, instant
from personalization.errors import Conflict, MisconfiguredError, NotFound, StorageUnavailable
from personalization.messages import LogEntry
from personalization.profile import (
    DECIDED,
    Consent,
    ContentPreferences,
    FrequencyPreferences,
    Patterns,
    PersonalizationProfile,
    TimingPreferences,
)
from personalization.security.cipher import EnvelopeCipher
from personalization.storage.base import (
    ACCEPTED,
    CONFLICT,
    DUPLICATE,
    LOST,
    RECORDED,
    REPEATED,
    ApiKeyRecord,
    DecisionOutcome,
    Mark,
    NewDecision,
    NewEvent,
    ProfileChange,
    Reservation,
    Storage,
    StoredDecision,
)
from personalization.storage.sql import sqlite
from personalization.storage.sql.lock import ProcessLock
from personalization.storage.sql.open import open_sql_storage
from personalization.template import Template, Variant
from personalization.tenant import ChannelSpec, FrequencyCap, QuietHours, RewardSpec, TenantConfig
from personalization.vocabulary import Aggregation, LogType
from tests.conftest import MASTER_KEYS, NOW, Reopen

ADA, BOB = b"a" * 16, b"b" * 16
ONE_A_DAY = (FrequencyCap(limit=1, period=DAY),)


@pytest.fixture
def store(storage: Storage) -> Storage:
    """With two tenants, twins in everything."""
    for tenant in ("acme", "twin"):
        assert storage.tenants.create(tenant, NOW)
    return storage


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


# -- tenants and keys ----------------------------------------------------------------------------------------------


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
        reward=RewardSpec(weights={"clicked": 1 / 3, "custom:cart": 2.0}, aggregation=Aggregation.SUM),
        frequency_caps=(FrequencyCap(limit=3, period=DAY, category="promotional"),),
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


# -- users and profiles --------------------------------------------------------------------------------------------


def test_a_user_id_has_one_pseudonym_in_a_tenant(store: Storage) -> None:
    assert store.users.resolve("acme", ["ada@x.org"], NOW) == {}
    created = store.users.resolve("acme", ["ada@x.org", "bob", "bob"], NOW, create=True)
    assert set(created) == {"ada@x.org", "bob"}
    assert all(len(ref) == 16 for ref in created.values())
    assert len(set(created.values())) == 2
    assert store.users.resolve("acme", ["bob", "eve"], NOW) == {"bob": created["bob"]}
    assert store.users.resolve("acme", ["bob"], NOW, create=True) == {"bob": created["bob"]}
    assert store.users.reveal("acme", [*created.values(), ADA]) == {ref: name for name, ref in created.items()}

    twin = store.users.resolve("twin", ["bob"], NOW, create=True)
    assert twin["bob"] != created["bob"]
    assert store.users.reveal("twin", created.values()) == {}


def test_two_callers_who_create_the_same_ids_get_the_same_pseudonyms(store: Storage) -> None:
    ids = [f"u{n}" for n in range(30)]
    orders = [ids, ids[::-1], ids[10:] + ids[:10], ids[20:] + ids[:20]]
    found = at_once([lambda order=order: store.users.resolve("acme", order, NOW, create=True) for order in orders])  # type: ignore[misc]
    assert all(refs == found[0] for refs in found)


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
)


def user(store: Storage, name: str = "ada", tenant: str = "acme") -> bytes:
    return store.users.resolve(tenant, [name], NOW, create=True)[name]


def test_a_profile_is_stored_to_the_last_field(store: Storage) -> None:
    whole = everything(user(store))
    saved = store.profiles.save(whole, "api", NOW)
    assert saved == structs.replace(whole, version=1, created_at=NOW, updated_at=NOW)
    assert store.profiles.load("acme", [whole.user_ref, BOB]) == {whole.user_ref: saved}

    again = store.profiles.save(structs.replace(saved, traits={"plan": "free"}, attributes={}), "api", NOW + 9)
    assert again == structs.replace(saved, version=2, updated_at=NOW + 9, traits={"plan": "free"}, attributes={})
    assert store.profiles.load("acme", [whole.user_ref])[whole.user_ref] == again


def test_saving_never_touches_what_was_learned(store: Storage) -> None:
    saved = store.profiles.save(profile(), "api", NOW)
    assert store.profiles.project("acme", [structs.replace(saved, patterns=PATTERNS, learned_seq=7)], seq=7, expected=0)
    stored = store.profiles.load("acme", [ADA])[ADA]
    assert stored == structs.replace(saved, patterns=PATTERNS, learned_seq=7)
    assert repr(stored.patterns) == repr(PATTERNS)

    again = store.profiles.save(structs.replace(saved, language="de"), "api", NOW)
    assert (again.patterns, again.learned_seq, again.language) == (PATTERNS, 7, "de")
    assert store.profiles.load("acme", [ADA])[ADA] == again


def test_a_profile_saved_since_is_a_conflict_and_leaves_nothing(store: Storage) -> None:
    store.profiles.save(profile(language="en"), "api", NOW)
    head = store.log.heads()["acme"]
    for stale in (profile(language="de"), profile(language="de", version=2)):
        with pytest.raises(Conflict):
            store.profiles.save(stale, "api", NOW)
    with pytest.raises(Conflict):
        store.profiles.save(profile(BOB, version=1), "api", NOW)
    assert store.profiles.load("acme", [ADA, BOB])[ADA].language == "en"
    assert store.log.heads()["acme"] == head


def test_of_many_who_save_one_version_one_wins(store: Storage) -> None:
    saved = store.profiles.save(profile(), "api", NOW)

    def attempt(n: int) -> bool:
        try:
            store.profiles.save(structs.replace(saved, language=f"l{n}"), "api", NOW)
        except Conflict:
            return False
        return True

    assert sum(at_once([lambda n=n: attempt(n) for n in range(8)])) == 1  # type: ignore[misc]
    assert store.profiles.load("acme", [ADA])[ADA].version == 2


def test_every_save_is_in_the_log_and_every_consent_in_its_history(store: Storage) -> None:
    saved = store.profiles.save(profile(), "api", NOW)
    refusing = store.profiles.save(structs.replace(saved, consent=Consent(marketing=False)), "import", NOW + 1)
    store.profiles.save(structs.replace(refusing, language="de"), "api", NOW + 2)
    assert [(e.seq, e.type, e.at, e.user_ref, e.body) for e in whole_log(store)] == [
        (1, LogType.PROFILE_UPDATED, NOW, ADA, {"version": 1, "source": "api"}),
        (2, LogType.PROFILE_UPDATED, NOW + 1, ADA, {"version": 2, "source": "import"}),
        (3, LogType.CONSENT_CHANGED, NOW + 1, ADA, {"version": 2, "source": "import"}),
        (4, LogType.PROFILE_UPDATED, NOW + 2, ADA, {"version": 3, "source": "api"}),
    ]
    assert store.profiles.consents("acme", ADA) == [(NOW + 1, "import", Consent(marketing=False))]
    assert store.profiles.consents("twin", ADA) == []


def test_many_profiles_are_saved_in_order_and_a_stale_one_harms_no_other(store: Storage) -> None:
    store.profiles.save(profile(BOB, language="en"), "api", NOW)
    saved = store.profiles.save_many(
        [profile(language="fr"), profile(BOB, language="de"), profile(version=1, language="it")], "bulk", NOW + 1
    )
    assert [None if p is None else (p.version, p.language) for p in saved] == [(1, "fr"), None, (2, "it")]
    stored = store.profiles.load("acme", [ADA, BOB])
    assert (stored[ADA].version, stored[ADA].language, stored[BOB].language) == (2, "it", "en")
    assert store.profiles.save_many([], "bulk", NOW) == []


def test_projecting_moves_the_checkpoint_or_stores_nothing(store: Storage) -> None:
    saved = store.profiles.save(profile(), "api", NOW)
    learned = structs.replace(saved, patterns=PATTERNS, learned_seq=4)
    assert not store.profiles.project("acme", [learned], seq=4, expected=3)
    assert store.profiles.load("acme", [ADA])[ADA].patterns == Patterns()
    assert store.profiles.project("acme", [learned, profile(BOB, patterns=PATTERNS)], seq=4, expected=0)
    assert store.checkpoints.load("acme", "projector") == (4, b"")
    assert store.profiles.load("acme", [ADA, BOB]) == {ADA: learned}
    assert store.profiles.project("acme", [], seq=9, expected=4)
    assert not store.profiles.project("acme", [], seq=9, expected=4)
    assert store.checkpoints.load("twin", "projector") is None


def test_of_many_projectors_one_moves_the_checkpoint(store: Storage) -> None:
    assert sum(at_once([lambda: store.profiles.project("acme", [], seq=5, expected=0)] * 6)) == 1


def test_a_scan_goes_through_all_profiles_without_their_attributes(store: Storage) -> None:
    refs = [user(store, f"u{n}") for n in range(7)]
    store.profiles.save_many([profile(ref, attributes={"n": 1}, traits={"t": 1}) for ref in refs], "bulk", NOW)
    seen: list[PersonalizationProfile] = []
    while found := store.profiles.scan("acme", seen[-1].user_ref if seen else None, 3):
        seen += found
    assert [p.user_ref for p in seen] == sorted(refs)
    assert all(p.attributes == {} and p.traits == {"t": 1} for p in seen)


def test_more_profiles_than_one_statement_holds_are_loaded(store: Storage) -> None:
    refs = [n.to_bytes(16) for n in range(1_300)]
    store.profiles.save_many([profile(ref) for ref in refs], "bulk", NOW)
    assert set(store.profiles.load("acme", refs)) == set(refs)


# -- templates -----------------------------------------------------------------------------------------------------


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
    }
    return Template(**{**defaults, **given})


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


# -- events --------------------------------------------------------------------------------------------------------


def test_an_event_is_taken_once_for_ever(store: Storage) -> None:
    one, other_body = event(event_id="e", body=b"1"), event(event_id="e", body=b"2")
    assert store.log.append_events("acme", [one, one, other_body, event()], NOW) == [ACCEPTED, DUPLICATE, CONFLICT, ACCEPTED]
    assert store.log.append_events("acme", [other_body, one], NOW + 9) == [CONFLICT, DUPLICATE]
    assert store.log.append_events("twin", [other_body], NOW) == [ACCEPTED]
    assert store.log.heads() == {"acme": 2, "twin": 1}
    assert store.log.append_events("acme", [], NOW) == []


def test_an_event_comes_out_as_it_went_in(store: Storage) -> None:
    whole = event(
        type_="custom",
        user_ref=user(store),
        occurred_at=NOW - DAY,
        zone_offset=-90,
        decision_id="d",
        template_id="t",
        channel="sms",
        name="cart",
        value=1 / 3,
        currency="EUR",
        text="thank you",
        metadata={"a": [1]},
    )
    store.log.append_events("acme", [whole, event()], NOW)
    first, second = whole_log(store)
    assert first == LogEntry(
        seq=1,
        type="custom",
        at=NOW - DAY,
        recorded_at=NOW,
        user_ref=whole.user_ref,
        decision_id="d",
        template_id="t",
        channel="sms",
        name="cart",
        value=1 / 3,
        currency="EUR",
        zone_offset=-90,
    )
    assert second == LogEntry(seq=2, type="clicked", at=NOW, recorded_at=NOW, user_ref=ADA)


def test_an_event_makes_a_bare_profile_for_who_has_none(store: Storage) -> None:
    saved = store.profiles.save(profile(language="de"), "api", NOW)
    store.log.append_events("acme", [event(), event(user_ref=BOB), event(user_ref=BOB)], NOW + 5)
    assert store.profiles.load("acme", [ADA, BOB]) == {
        ADA: saved,
        BOB: profile(BOB, version=1, created_at=NOW + 5, updated_at=NOW + 5),
    }


def test_behaviour_is_kept_of_who_is_only_a_pseudonym(store: Storage) -> None:
    ada, bob = user(store), user(store, "bob")
    unsaid = store.profiles.load("acme", [ada])[ada]
    assert unsaid == profile(ada, version=0, created_at=NOW, updated_at=NOW)
    learned = [profile(ref, patterns=PATTERNS, learned_seq=1) for ref in (ada, bob)]
    assert store.profiles.project("acme", learned, seq=1, expected=0)

    saved = store.profiles.save(profile(ada, language="de"), "api", NOW + 1)
    assert (saved.version, saved.language, saved.patterns, saved.created_at) == (1, "de", PATTERNS, NOW)
    store.log.append_events("acme", [event(user_ref=bob), event(user_ref=ada)], NOW + 1)
    stored = store.profiles.load("acme", [ada, bob])
    assert stored[ada] == saved
    assert (stored[bob].version, stored[bob].patterns) == (1, PATTERNS)


def test_an_unsubscribe_withdraws_marketing_in_the_events_own_transaction(store: Storage) -> None:
    store.profiles.save(profile(consent=Consent(marketing=True)), "api", NOW)
    here, everywhere = (ProfileChange(user_ref=ADA, kind="withdraw_marketing", channel=c) for c in ("email", None))
    leaving = event("unsubscribed", change=here)
    assert store.log.append_events("acme", [leaving, event("complained", change=everywhere)], NOW + 1) == [ACCEPTED, ACCEPTED]

    stored = store.profiles.load("acme", [ADA])[ADA]
    first, second = (
        Consent(marketing=True, marketing_channels={"email": False}),
        Consent(marketing=False, marketing_channels={"email": False}),
    )
    assert (stored.version, stored.updated_at, stored.consent) == (3, NOW + 1, second)
    assert store.profiles.consents("acme", ADA)[1:] == [
        (NOW + 1, "event:unsubscribed", first),
        (NOW + 1, "event:complained", second),
    ]
    assert store.log.append_events("acme", [leaving, event("unsubscribed", change=here)], NOW + 2) == [DUPLICATE, ACCEPTED]
    assert store.profiles.load("acme", [ADA])[ADA].version == 3


def test_a_withdrawal_of_someone_unknown_is_kept_on_the_bare_profile(store: Storage) -> None:
    store.log.append_events("acme", [event("complained", change=ProfileChange(user_ref=ADA, kind="withdraw_marketing"))], NOW)
    assert store.profiles.load("acme", [ADA])[ADA].consent == Consent(marketing=False)


def test_a_conflicting_event_changes_nothing(store: Storage) -> None:
    store.log.append_events("acme", [event(event_id="e", body=b"1")], NOW)
    change = ProfileChange(user_ref=ADA, kind="withdraw_marketing")
    assert store.log.append_events("acme", [event(event_id="e", body=b"2", change=change)], NOW) == [CONFLICT]
    assert store.profiles.load("acme", [ADA])[ADA].consent == Consent()


def test_a_hard_bounce_makes_unreachable_and_releases_the_cited_reservation(store: Storage) -> None:
    sent = decision()
    append(store, sent, decision(slot_at=NOW + DAY))
    change = ProfileChange(user_ref=ADA, kind="unreachable", channel="email")
    store.log.append_events("acme", [event("bounced", decision_id=sent.decision_id, change=change, releases=True)], NOW)
    stored = store.profiles.load("acme", [ADA])[ADA]
    assert (stored.reachability, stored.version) == ({"email": False}, 2)
    assert store.profiles.consents("acme", ADA) == []
    assert store.log.reserved("acme", [ADA], 0, NOW + 9 * DAY) == {ADA: [Reservation(NOW + DAY, "email", "promotional")]}


# -- decisions and caps --------------------------------------------------------------------------------------------


def test_a_decision_comes_out_as_it_went_in(store: Storage) -> None:
    sent = decision(user_ref=user(store), values=b"sealed values", record=bytes(range(256)), active=False)
    assert append(store, sent) == [DecisionOutcome(RECORDED, 1)]
    stored = store.log.decision("acme", sent.decision_id)
    assert stored is not None
    for name in set(StoredDecision.__dataclass_fields__) & set(NewDecision.__struct_fields__):
        assert getattr(stored, name) == getattr(sent, name)
    assert (stored.seq, stored.tenant_id, stored.status, stored.zone_offset) == (1, "acme", "inactive", 60)
    assert (stored.record, stored.values) == (sent.record, b"sealed values")
    light = store.log.decisions("acme", [sent.decision_id, "unknown"])
    assert light == {sent.decision_id: replace(stored, record=b"", values=None)}
    assert store.log.decision("twin", sent.decision_id) is None
    assert store.log.decisions("twin", [sent.decision_id]) == {}


def test_an_anonymous_decision_is_sealed_with_the_tenants_key(store: Storage) -> None:
    append(store, decision(decision_id="anonymous", user_ref=None, values=b"values", caps=ONE_A_DAY))
    stored = store.log.decision("acme", "anonymous")
    assert stored is not None
    assert (stored.user_ref, stored.values) == (None, b"values")


def test_a_decision_in_the_log_says_when_and_what_was_sent(store: Storage) -> None:
    sent, not_sent = decision(), suppressed(user_ref=BOB, active=False)
    append(store, sent, not_sent)
    first, second = whole_log(store)
    assert first == LogEntry(
        seq=1,
        type=DECIDED,
        at=NOW + HOUR,
        recorded_at=NOW,
        user_ref=ADA,
        decision_id=sent.decision_id,
        template_id="offer",
        channel="email",
        zone_offset=60,
        record=b"record",
    )
    assert (second.at, second.channel, second.active, second.user_ref) == (NOW, None, False, BOB)


def test_a_repeated_decision_id_is_repeated_or_a_conflict(store: Storage) -> None:
    one = decision(decision_id="d", body=b"1")
    other = msgspec.structs.replace(one, body=b"2")
    assert append(store, one, one, other) == [DecisionOutcome(RECORDED, 1), DecisionOutcome(REPEATED, 1), DecisionOutcome(CONFLICT)]
    assert append(store, other, one) == [DecisionOutcome(CONFLICT), DecisionOutcome(REPEATED, 1)]
    assert append(store, other, tenant="twin") == [DecisionOutcome(RECORDED, 1)]
    assert store.log.heads() == {"acme": 1, "twin": 1}
    assert len(store.log.reserved("acme", [ADA], 0, NOW + DAY)[ADA]) == 1


def test_a_lost_reservation_leaves_nothing_and_tells_what_is_reserved(store: Storage) -> None:
    first, second = decision(caps=ONE_A_DAY), decision(caps=ONE_A_DAY, slot_at=NOW + 2 * HOUR)
    assert append(store, first, second) == [
        DecisionOutcome(RECORDED, 1),
        DecisionOutcome(LOST, reserved=(Reservation(NOW + HOUR, "email", "promotional"),)),
    ]
    assert store.log.decision("acme", second.decision_id) is None
    assert store.log.heads()["acme"] == 1
    assert append(store, second)[0].status == LOST
    assert append(store, msgspec.structs.replace(second, slot_at=NOW + HOUR + DAY))[0].status == RECORDED
    assert append(store, decision(caps=ONE_A_DAY, user_ref=BOB))[0].status == RECORDED
    assert append(store, decision(caps=ONE_A_DAY), tenant="twin")[0].status == RECORDED


def test_a_cap_counts_only_what_it_covers(store: Storage) -> None:
    caps = (FrequencyCap(limit=1, period=DAY, channel="sms"), FrequencyCap(limit=2, period=DAY, category="promotional"))
    append(store, decision(channel="email", category="transactional", reserves=False))
    assert [o.status for o in append(store, *(decision(caps=caps, channel=c) for c in ("sms", "sms", "email", "push")))] == [
        RECORDED,
        LOST,
        RECORDED,
        LOST,
    ]
    assert append(store, decision(caps=caps, channel="push", category="digest"))[0].status == RECORDED


def test_past_reservations_count_as_long_as_the_period_is(store: Storage) -> None:
    append(store, decision(decided_at=NOW - 6 * DAY, slot_at=NOW - 6 * DAY))
    weekly = (FrequencyCap(limit=1, period=7 * DAY),)
    assert append(store, decision(caps=weekly, slot_at=NOW))[0].status == LOST
    assert append(store, decision(caps=weekly, slot_at=NOW + DAY))[0].status == RECORDED


def test_decisions_without_caps_reserve_all_the_same(store: Storage) -> None:
    append(store, decision(), decision(slot_at=NOW + 2 * HOUR, channel="sms"), decision(user_ref=BOB), suppressed())
    assert store.log.reserved("acme", [ADA, BOB, b"c" * 16], NOW, NOW + 2 * HOUR) == {
        ADA: [Reservation(NOW + HOUR, "email", "promotional")],
        BOB: [Reservation(NOW + HOUR, "email", "promotional")],
    }
    assert len(store.log.reserved("acme", [ADA], NOW + HOUR, NOW + 3 * HOUR)[ADA]) == 2
    assert store.log.reserved("acme", [ADA], NOW + HOUR + 1, NOW + 2 * HOUR) == {}
    assert store.log.reserved("twin", [ADA], 0, NOW + DAY) == {}
    assert append(store, decision(caps=ONE_A_DAY))[0].status == LOST


def test_fifty_parallel_calls_under_a_cap_of_one_record_one_send(store: Storage) -> None:
    outcomes = at_once([lambda: append(store, decision(caps=ONE_A_DAY))[0].status] * 50)
    assert sorted(outcomes) == [LOST] * 49 + [RECORDED]
    assert store.log.heads()["acme"] == 1
    assert len(store.log.reserved("acme", [ADA], 0, NOW + DAY)[ADA]) == 1


def test_a_thousand_decisions_of_one_call_get_their_numbers_in_order(store: Storage) -> None:
    many = [decision(user_ref=(n % 300).to_bytes(16), caps=(FrequencyCap(limit=9, period=DAY),)) for n in range(1_000)]
    assert append(store, *many) == [DecisionOutcome(RECORDED, n) for n in range(1, 1_001)]
    assert set(store.log.decisions("acme", [d.decision_id for d in many])) == {d.decision_id for d in many}


def test_activating_lets_a_decision_into_learning_once(store: Storage) -> None:
    waiting, done = decision(active=False), decision()
    append(store, waiting, done)
    assert store.log.activate("acme", waiting.decision_id, NOW + 5).status == "active"
    assert store.log.activate("acme", waiting.decision_id, NOW + 6).status == "active"
    assert store.log.activate("acme", done.decision_id, NOW + 6).status == "active"
    rows = whole_log(store)
    assert [e.active for e in rows] == [False, True, True]
    assert rows[2] == LogEntry(
        seq=3,
        type=LogType.ACTIVATED,
        at=NOW + HOUR,
        recorded_at=NOW + 5,
        user_ref=ADA,
        decision_id=waiting.decision_id,
        template_id="offer",
        channel="email",
        zone_offset=60,
        body={"seq": 1},
    )
    stored = store.log.decision("acme", waiting.decision_id)
    assert stored is not None
    assert stored.status == "active"
    with pytest.raises(NotFound):
        store.log.activate("acme", "unknown", NOW)
    with pytest.raises(NotFound):
        store.log.activate("twin", waiting.decision_id, NOW)


def test_discarding_releases_the_reservation_once_and_for_all(store: Storage) -> None:
    active, inactive = decision(caps=ONE_A_DAY), decision(user_ref=BOB, active=False)
    append(store, active, inactive)
    for _ in range(2):
        assert store.log.discard("acme", active.decision_id, NOW + 5).status == "discarded"
    store.log.discard("acme", inactive.decision_id, NOW + 6)
    assert store.log.reserved("acme", [ADA, BOB], 0, NOW + DAY) == {}
    rows = whole_log(store)[2:]
    assert [(e.type, e.active, e.at, e.body, e.channel) for e in rows] == [
        (LogType.DISCARDED, True, NOW + HOUR, {"seq": 1}, "email"),
        (LogType.DISCARDED, False, NOW + HOUR, {"seq": 2}, "email"),
    ]
    with pytest.raises(Conflict):
        store.log.activate("acme", active.decision_id, NOW)
    with pytest.raises(NotFound):
        store.log.discard("acme", "unknown", NOW)
    assert append(store, decision(caps=ONE_A_DAY))[0].status == RECORDED


# -- the sequence --------------------------------------------------------------------------------------------------


def test_events_decisions_and_marks_share_one_gapless_sequence(store: Storage) -> None:
    store.log.append_events("acme", [event(), event()], NOW)
    append(store, decision(), suppressed())
    assert (
        store.log.append_marks("acme", [Mark(type="exposed", at=NOW, body={"seqs": (3, 4)}), Mark(type="x", at=NOW)], NOW + 1) == 6
    )
    store.log.append_events("acme", [event()], NOW)
    assert store.log.append_marks("acme", [], NOW) == 7
    rows = whole_log(store)
    assert [(e.seq, e.type) for e in rows] == [
        (1, "clicked"),
        (2, "clicked"),
        (3, DECIDED),
        (4, DECIDED),
        (5, "exposed"),
        (6, "x"),
        (7, "clicked"),
    ]
    assert (rows[4].body, rows[4].recorded_at, rows[5].body) == ({"seqs": [3, 4]}, NOW + 1, {})
    assert store.log.heads() == {"acme": 7, "twin": 0}


def test_the_log_is_read_in_pieces_without_a_gap(store: Storage) -> None:
    for n in range(6):
        store.log.append_events("acme", [event() for _ in range(n)], NOW)
        append(store, *(decision() for _ in range(5 - n)))
    seen: list[int] = []
    while rows := store.log.read("acme", seen[-1] if seen else 0, 4):
        assert len(rows) <= 4
        seen += [e.seq for e in rows]
    assert seen == list(range(1, 31))
    assert store.log.read("acme", 30, 4) == []
    assert store.log.read("nobody", 0, 4) == []


def test_a_follower_never_skips_a_row_while_many_threads_append(store: Storage) -> None:
    writers, done = 8, threading.Event()
    seen: list[int] = []

    def follow() -> None:
        while not (done.is_set() and not store.log.read("acme", len(seen), 50)):
            seen.extend(e.seq for e in store.log.read("acme", len(seen), 50))

    def write(n: int) -> None:
        for k in range(10):
            if k % 3 == 0:
                store.log.append_events("acme", [event(user_ref=bytes([n]) * 16) for _ in range(3)], NOW)
            elif k % 3 == 1:
                append(store, decision(user_ref=bytes([n]) * 16), suppressed())
            else:
                store.profiles.save(profile(n.to_bytes(8) + k.to_bytes(8)), "api", NOW)

    follower = threading.Thread(target=follow)
    follower.start()
    at_once([lambda n=n: write(n) for n in range(writers)])  # type: ignore[misc]
    done.set()
    follower.join()
    assert seen == list(range(1, writers * (4 * 3 + 3 * 2 + 3) + 1))
    assert store.log.heads()["acme"] == len(seen)


def test_tenants_append_at_once_without_meeting(store: Storage) -> None:
    calls = [lambda t=t: store.log.append_events(t, [event(event_id="same")], NOW) for t in ("acme", "twin")]  # type: ignore[misc]
    assert at_once(calls * 4).count([ACCEPTED]) == 2
    assert store.log.heads() == {"acme": 1, "twin": 1}


def test_a_failing_append_fails_its_own_caller_only(store: Storage) -> None:
    def good(n: int) -> list[str]:
        return store.log.append_events("acme", [event(user_ref=bytes([n]) * 16)], NOW)

    def bad() -> str:
        try:
            store.log.append_events("acme", [event(body="no bytes")], NOW)
        except Exception as failure:
            return type(failure).__name__
        return "accepted"

    def unknown() -> str:
        try:
            store.log.append_events("nobody", [event()], NOW)
        except NotFound:
            return "not found"
        return "accepted"

    results = at_once([*(lambda n=n: good(n) for n in range(12)), bad, unknown, bad, unknown])  # type: ignore[misc]
    assert results[:12] == [[ACCEPTED]] * 12
    assert "accepted" not in results[12:]
    assert [e.seq for e in whole_log(store)] == list(range(1, 13))


def test_twin_tenants_never_see_each_others_rows(store: Storage) -> None:
    append(store, decision(decision_id="d"))
    store.log.append_events("acme", [event(decision_id="d")], NOW)
    store.profiles.save(profile(version=1), "api", NOW)
    store.checkpoints.save("acme", "learner", 3, b"x")
    snapshot = store.snapshots.publish("acme", "m", 1, NOW, b"x")
    assert whole_log(store, "twin") == []
    assert store.log.timeline("twin", ADA, 9) == []
    assert store.log.summary("twin", 0, 2 * NOW, "UTC").decisions == 0
    assert store.profiles.load("twin", [ADA]) == {}
    assert store.profiles.scan("twin", None, 9) == []
    assert store.checkpoints.load("twin", "learner") is None
    assert store.snapshots.get("twin", snapshot.snapshot_id) is None
    with pytest.raises(NotFound):
        store.log.discard("twin", "d", NOW)


# -- timeline and summary ------------------------------------------------------------------------------------------


def test_a_timeline_is_newest_first_and_paged(store: Storage) -> None:
    append(store, decision(), decision(user_ref=BOB), decision())
    store.log.append_events("acme", [event(), event(user_ref=BOB)], NOW)
    store.profiles.save(profile(version=1, consent=Consent(learning=False)), "api", NOW)
    append(store, suppressed())
    rows = store.log.timeline("acme", ADA, 99)
    assert [(e.seq, e.type) for e in rows] == [
        (8, DECIDED),
        (7, LogType.CONSENT_CHANGED),
        (6, LogType.PROFILE_UPDATED),
        (4, "clicked"),
        (3, DECIDED),
        (1, DECIDED),
    ]
    assert [e.seq for e in store.log.timeline("acme", ADA, 2)] == [8, 7]
    assert [e.seq for e in store.log.timeline("acme", ADA, 3, before=7)] == [6, 4, 3]
    assert [e.seq for e in store.log.timeline("acme", ADA, 3, before=3)] == [1]


def test_a_summary_counts_what_happened_between_two_instants(store: Storage) -> None:
    sent = [
        decision(quality=0.25),
        decision(quality=0.75),
        decision(user_ref=BOB, mode="holdout", quality=None),
        decision(active=False),
    ]
    outside = decision(decided_at=NOW - 3 * DAY)
    append(store, *sent, outside, suppressed("no_consent", quality=None), suppressed("fatigue"), decision(decision_id="gone"))
    store.log.discard("acme", "gone", NOW)
    store.log.append_events(
        "acme",
        [
            event("opened", decision_id=sent[0].decision_id),
            event("clicked", decision_id=sent[0].decision_id),
            event("converted", decision_id=sent[0].decision_id, value=10.0),
            event("converted", value=5.0),
            event("delivered", decision_id=sent[1].decision_id, value=99.0),
            event("replied", decision_id=sent[2].decision_id, user_ref=BOB),
            event("clicked", decision_id=outside.decision_id, occurred_at=NOW - 3 * DAY),
        ],
        NOW,
    )
    found = store.log.summary("acme", NOW - DAY, NOW + DAY, "Europe/Berlin")
    assert (found.decisions, found.sends) == (6, 4)
    assert found.suppressions == {"no_consent": 1, "fatigue": 1}
    assert found.events == {"opened": 1, "clicked": 1, "converted": 2, "delivered": 1, "replied": 1}
    assert (found.revenue, found.attributed_revenue) == (15.0, 10.0)
    assert (found.engaged_sends, found.converted_sends) == (2, 1)
    assert sorted(found.qualities) == [0.25, 0.5, 0.5, 0.75]
    assert found.quality_mean == pytest.approx(0.5)
    assert found.arms == ((False, 1, 2, 1, 4.0, 2.0, 1.0), (True, 1, 1, 1, 1.0, 1.0, 1.0))


def test_a_summary_of_nothing_is_empty(store: Storage) -> None:
    found = store.log.summary("acme", 0, NOW, "UTC")
    assert (found.decisions, found.quality_mean, found.series, found.arms, found.revenue) == (0, None, (), (), 0)


def test_a_summarys_days_are_local_also_where_the_clock_changes(store: Storage) -> None:
    times = ["2026-10-24T21:59:00Z", "2026-10-24T22:00:00Z", "2026-10-25T22:59:00Z", "2026-10-25T23:00:00Z"]
    append(store, *(decision(decided_at=instant(t), slot_at=instant(t)) for t in times))
    store.log.append_events("acme", [event("converted", value=2.0, occurred_at=instant(times[3]))], NOW)
    found = store.log.summary("acme", instant(times[0]), instant(times[3]) + 1, "Europe/Berlin")
    assert [(row["date"], row["decisions"], row["sends"], row["revenue"]) for row in found.series] == [
        ("2026-10-24", 1, 1, 0.0),
        ("2026-10-25", 2, 2, 0.0),
        ("2026-10-26", 1, 1, 2.0),
    ]


# -- what followers keep -------------------------------------------------------------------------------------------


def test_the_newest_snapshot_of_each_model_is_found_and_never_pruned(store: Storage) -> None:
    first = store.snapshots.publish("acme", "m", 1, NOW, b"1")
    second = store.snapshots.publish("acme", "m", 2, NOW + 1, b"2")
    other = store.snapshots.publish("twin", "m", 2, NOW + 2, b"3")
    assert first.snapshot_id < second.snapshot_id < other.snapshot_id
    assert store.snapshots.newest() == [second, other]
    assert store.snapshots.newest(after=second.snapshot_id) == [other]
    assert store.snapshots.get("acme", first.snapshot_id) == first
    assert store.snapshots.prune(NOW) == 0
    assert store.snapshots.prune(NOW + DAY) == 1
    assert store.snapshots.get("acme", first.snapshot_id) is None
    assert store.snapshots.newest() == [second, other]
    assert store.snapshots.publish("acme", "m", 3, NOW, b"4").snapshot_id > other.snapshot_id


def test_snapshots_published_at_once_get_ids_of_their_own(store: Storage) -> None:
    published = at_once([lambda n=n: store.snapshots.publish("acme", f"m{n}", 1, NOW, b"") for n in range(6)])  # type: ignore[misc]
    assert len({s.snapshot_id for s in published}) == 6


def test_a_checkpoint_is_where_it_was_left(store: Storage) -> None:
    assert store.checkpoints.load("acme", "learner") is None
    store.checkpoints.save("acme", "learner", 5, b"state")
    store.checkpoints.save("acme", "learner", 6, b"more")
    store.checkpoints.save("acme", "other", 1, b"")
    assert store.checkpoints.load("acme", "learner") == (6, b"more")
    assert store.checkpoints.load("acme", "other") == (1, b"")


def test_the_life_of_a_store(store: Storage) -> None:
    store.life.ping()
    assert store.life.schema() == "head"
    store.life.migrate()
    assert store.election.hold()
    assert store.election.hold()
    store.election.release()


# -- what is stored ------------------------------------------------------------------------------------------------


def test_reopening_keeps_everything(reopen: Reopen) -> None:
    first = reopen()
    first.tenants.create("acme", NOW)
    ada = user(first)
    saved = first.profiles.save(everything(ada), "api", NOW)
    append(first, decision(decision_id="d", user_ref=ada, values=b"values"))
    first.log.append_events("acme", [event(event_id="e", user_ref=ada, text="words")], NOW)
    template_ = first.templates.save(template())
    secret = first.tenants.secret("acme", "holdout")
    rows = whole_log(first)

    again = reopen()
    assert again.users.resolve("acme", ["ada"], NOW) == {"ada": ada}
    assert reopen().users.reveal("acme", [ada]) == {ada: "ada"}
    assert again.profiles.load("acme", [ada]) == {ada: saved}
    stored = again.log.decision("acme", "d")
    assert stored is not None
    assert stored.values == b"values"
    assert again.log.append_events("acme", [event(event_id="e", user_ref=ada)], NOW) == [DUPLICATE]
    assert again.templates.get("acme", "offer") == template_
    assert again.tenants.secret("acme", "holdout") == secret
    assert whole_log(again) == rows


def test_two_processes_on_one_database_share_one_sequence(reopen: Reopen) -> None:
    both = reopen(), reopen()
    both[0].tenants.create("acme", NOW)
    ones = [lambda s=s: append(s, decision(caps=ONE_A_DAY))[0].status for s in both]  # type: ignore[misc]
    assert sorted(at_once(ones * 10)) == [LOST] * 19 + [RECORDED]
    at_once([lambda s=s: s.log.append_events("acme", [event()], NOW) for s in both * 5])  # type: ignore[misc]
    assert [e.seq for e in whole_log(both[0])] == list(range(1, 12))
    assert whole_log(both[1]) == whole_log(both[0])


def test_an_empty_database_becomes_head_whoever_migrates_first(
    sqlite_url: str, empty_postgres_url: str, cipher: EnvelopeCipher, clock: ManualClock
) -> None:
    for url in (sqlite_url, empty_postgres_url):
        several = [open_sql_storage(url, cipher, clock) for _ in range(3)]
        assert several[0].life.schema() == "empty"
        at_once([storage.life.migrate for storage in several])
        assert [storage.life.schema() for storage in several] == ["head"] * 3
        several[0].life.migrate()
        for storage in several:
            storage.life.close()


SECRETS = (b"ada@example.org", b"Lovelace", b"private words", b"private note", b"rendered value")


def test_what_is_sealed_is_nowhere_in_the_files(sqlite_url: str, tmp_path: Path, clock: ManualClock) -> None:
    storage = open_sql_storage(sqlite_url, EnvelopeCipher(MASTER_KEYS), clock)
    storage.life.migrate()
    storage.tenants.create("acme", NOW)
    ada = user(storage, "ada@example.org")
    storage.profiles.save(profile(ada, attributes={"name": "Lovelace"}, traits={"plan": "visible plan"}), "api", NOW)
    storage.log.append_events(
        "acme",
        [event(event_id="event-of-ada@example.org", user_ref=ada, text="private words", metadata={"n": "private note"})],
        NOW,
    )
    append(storage, decision(user_ref=ada, values=b"rendered value"))
    storage.life.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"visible plan" in written
    assert [secret for secret in SECRETS if secret in written] == []


def test_the_migration_and_the_tables_in_use_are_the_same(sqlite_url: str, cipher: EnvelopeCipher, empty_postgres_url: str) -> None:
    import sqlalchemy as sa
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from personalization.storage.sql.schema import metadata

    for url in (sqlite_url, empty_postgres_url):
        storage = open_sql_storage(url, cipher)
        storage.life.migrate()
        storage.life.close()
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"include_name": _ours})
            assert compare_metadata(context, metadata) == []
        engine.dispose()


def _ours(name: str | None, type_: str, parents: Any) -> bool:
    """All but the partitions."""
    return type_ != "table" or not (name or "").startswith(("events_", "event_keys_"))


# -- when the database is away -------------------------------------------------------------------------------------


def test_a_database_of_a_newer_release_is_refused(sqlite_url: str, cipher: EnvelopeCipher, tmp_path: Path) -> None:
    storage = open_sql_storage(sqlite_url, cipher)
    storage.life.migrate()
    storage.life.close()
    with sqlite3.connect(tmp_path / "personalization.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'tomorrow'")
    connection.close()
    with pytest.raises(MisconfiguredError, match="tomorrow"):
        storage.life.schema()
    storage.life.close()


def test_without_a_schema_the_store_is_unavailable(sqlite_url: str, empty_postgres_url: str, cipher: EnvelopeCipher) -> None:
    for url in (sqlite_url, empty_postgres_url):
        storage = open_sql_storage(url, cipher)
        with pytest.raises(StorageUnavailable):
            storage.tenants.config("acme")
        with pytest.raises(StorageUnavailable):
            storage.tenants.create("acme", NOW)
        storage.life.close()


def test_a_full_disk_is_unavailable_and_afterwards_all_goes_on(sqlite_url: str, cipher: EnvelopeCipher, clock: ManualClock) -> None:
    storage = open_sql_storage(sqlite_url, cipher, clock)
    storage.life.migrate()
    storage.tenants.create("acme", NOW)
    database = storage.log._database  # type: ignore[attr-defined]
    with database.writing(durable=True) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageUnavailable, match="full"):
        append(storage, *(decision(record=b"r" * 1_000) for _ in range(100)))
    assert storage.log.heads() == {"acme": 0}
    with database.writing(durable=True) as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert append(storage, decision())[0] == DecisionOutcome(RECORDED, 1)
    storage.life.close()


def test_a_locked_file_is_unavailable_until_it_is_free(
    sqlite_url: str, cipher: EnvelopeCipher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.05)
    storage = open_sql_storage(sqlite_url, cipher)
    storage.life.migrate()
    storage.tenants.create("acme", NOW)
    other = sqlite3.connect(tmp_path / "personalization.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match="locked"):
        storage.log.append_events("acme", [event()], NOW)
    assert storage.log.heads() == {"acme": 0}
    other.execute("ROLLBACK")
    other.close()
    assert storage.log.append_events("acme", [event()], NOW) == [ACCEPTED]
    storage.life.close()


def test_a_lock_file_lets_one_process_in(tmp_path: Path) -> None:
    class Ticking(ManualClock):
        def monotonic(self) -> float:
            self.advance(40_000)
            return super().monotonic()

    first, second = (ProcessLock(tmp_path / "lock", Ticking(0)) for _ in range(2))
    first.acquire()
    with pytest.raises(MisconfiguredError, match="one long-running process"):
        second.acquire(wait=0.1)
    first.release()
    with second.held(wait=0.1), pytest.raises(MisconfiguredError):
        first.acquire()
    first.acquire()
    first.release()
