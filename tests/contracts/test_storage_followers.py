"""What followers keep, and the life of a store: the contract of storage/base.py, sentence by sentence, on every store."""

from __future__ import annotations

from personalization.clock import DAY
from personalization.storage.base import Storage
from tests.conftest import NOW
from tests.contracts.conftest import at_once


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
