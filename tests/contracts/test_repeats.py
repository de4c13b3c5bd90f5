"""The contract of RepeatStore, on every store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from personalization.clock import DAY, SECOND
from personalization.errors import NotFound
from personalization.storage.base import CLAIMED, REPEATED, REUSED, RUNNING, Claim, RepeatStore, Storage
from tests.conftest import NOW, Reopen

LEASE = 60 * SECOND


@pytest.fixture
def store(storage: Storage) -> RepeatStore:
    for tenant in ("acme", "twin"):
        storage.tenants.create(tenant, NOW)
    return storage.repeats


def claim(store: RepeatStore, at: int = NOW, body: bytes = b"body", key: str = "k", tenant: str = "acme") -> Claim:
    return store.claim(tenant, key, body, at, at - LEASE, at + DAY)


def test_a_key_is_claimed_once_and_then_answers_what_was_settled(store: RepeatStore) -> None:
    assert claim(store) == Claim(CLAIMED)
    assert claim(store, NOW + 1) == Claim(RUNNING)
    assert store.settle("acme", "k", NOW, b"answer")
    assert claim(store, NOW + 2) == Claim(REPEATED, b"answer")


def test_another_body_is_refused_while_running_and_after(store: RepeatStore) -> None:
    claim(store)
    assert claim(store, body=b"other") == Claim(REUSED)
    store.settle("acme", "k", NOW, b"answer")
    assert claim(store, body=b"other") == Claim(REUSED)


def test_other_keys_and_other_tenants_know_nothing_of_it(store: RepeatStore) -> None:
    claim(store)
    store.settle("acme", "k", NOW, b"answer")
    assert claim(store, tenant="twin") == Claim(CLAIMED)
    assert claim(store, key="l") == Claim(CLAIMED)
    assert not store.settle("twin", "l", NOW, b"answer")


def test_a_released_claim_was_never_there(store: RepeatStore) -> None:
    claim(store)
    assert store.release("acme", "k", NOW)
    assert not store.release("acme", "k", NOW)
    assert claim(store, NOW + 1, b"other") == Claim(CLAIMED)


def test_an_answered_claim_cannot_be_released(store: RepeatStore) -> None:
    claim(store)
    store.settle("acme", "k", NOW, b"answer")
    assert not store.release("acme", "k", NOW)
    assert claim(store) == Claim(REPEATED, b"answer")


def test_a_stale_claim_is_taken_over_and_its_first_holder_has_lost_it(store: RepeatStore) -> None:
    claim(store)
    assert claim(store, NOW + LEASE - 1) == Claim(RUNNING)
    assert claim(store, NOW + LEASE, b"other") == Claim(CLAIMED)
    assert not store.settle("acme", "k", NOW, b"too late")
    assert not store.release("acme", "k", NOW)
    assert store.settle("acme", "k", NOW + LEASE, b"answer")
    assert claim(store, NOW + LEASE + 1, b"other") == Claim(REPEATED, b"answer")


def test_an_answer_ends_when_it_was_said_to(store: RepeatStore) -> None:
    claim(store)
    store.settle("acme", "k", NOW, b"answer")
    assert claim(store, NOW + DAY - 1) == Claim(REPEATED, b"answer")
    assert claim(store, NOW + DAY, b"other") == Claim(CLAIMED)


def test_what_has_ended_is_pruned_and_nothing_else(store: RepeatStore) -> None:
    claim(store)
    claim(store, key="later", at=NOW + 1)
    assert store.prune(NOW + DAY - 1) == 0
    assert store.prune(NOW + DAY) == 1
    assert claim(store, key="later", at=NOW + 2) == Claim(RUNNING)


def test_claiming_prunes_by_itself(store: RepeatStore) -> None:
    claim(store)
    claim(store, key="much later", at=NOW + 2 * DAY)
    assert store.prune(NOW + 2 * DAY) == 0


def test_of_fifty_claims_at_once_one_gets_the_key(store: RepeatStore) -> None:
    together = threading.Barrier(10)

    def claimed(_: int) -> str:
        together.wait()
        return claim(store).status

    with ThreadPoolExecutor(10) as pool:
        found = list(pool.map(claimed, range(50)))
    assert sorted(found) == [CLAIMED] + [RUNNING] * 49


def test_a_tenant_nobody_made_is_not_found(store: RepeatStore) -> None:
    with pytest.raises(NotFound):
        claim(store, tenant="nobody")


def test_claims_and_answers_are_there_after_a_restart_and_sealed(reopen: Reopen) -> None:
    first = reopen()
    first.tenants.create("acme", NOW)
    claim(first.repeats)
    first.repeats.settle("acme", "k", NOW, b"canary-answer")
    claim(first.repeats, key="canary-key")
    first.life.close()
    again = reopen().repeats
    assert claim(again) == Claim(REPEATED, b"canary-answer")
    assert claim(again, key="canary-key") == Claim(RUNNING)
