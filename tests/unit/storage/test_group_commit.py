from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from personalization.clock import ManualClock
from personalization.errors import StorageUnavailable
from personalization.security.cipher import EnvelopeCipher
from personalization.storage.base import Mark, NewDecision, NewEvent, Storage
from personalization.storage.sql.open import open_sql_storage
from tests.conftest import NOW


@pytest.fixture
def store(sqlite_url: str, cipher: EnvelopeCipher, clock: ManualClock) -> Iterator[Storage]:
    opened = open_sql_storage(sqlite_url, cipher, clock)
    opened.life.migrate()
    for tenant in ("acme", "twin"):
        opened.tenants.create(tenant, NOW)
    yield opened
    opened.life.close()


@pytest.fixture
def commits(store: Storage) -> list[str]:
    """The level of fsync of every commit of the writer, as it goes."""
    seen: list[str] = []
    writers: sa.Engine = database(store)._writers

    @sa.event.listens_for(writers, "commit")
    def note(connection: sa.Connection) -> None:
        driver: Any = connection.connection.dbapi_connection
        seen.append({1: "NORMAL", 2: "FULL"}[driver.execute("PRAGMA synchronous").fetchone()[0]])

    return seen


def database(store: Storage) -> Any:
    return store.log._database  # type: ignore[attr-defined]


def event(event_id: str, body: Any = b"body") -> NewEvent:
    return NewEvent(event_id=event_id, type="clicked", user_ref=b"a" * 16, occurred_at=NOW, body=body)


def decision(decision_id: str) -> NewDecision:
    return NewDecision(
        decision_id=decision_id,
        user_ref=b"a" * 16,
        decided_at=NOW,
        slot_at=NOW,
        action="send",
        mode="online",
        record=b"",
        body=b"",
        category="promotional",
    )


def queued_together(store: Storage, calls: list[Callable[[], Any]]) -> list[Future[Any]]:
    """One call commits alone, held up until all others stand in the queue behind it."""
    commit = store.log._commit  # type: ignore[attr-defined]
    with ThreadPoolExecutor(len(calls) + 1) as threads:
        with database(store).writing(durable=True):
            first = threads.submit(store.log.append_events, "acme", [event("first")], NOW)
            _until(lambda: commit._busy and not commit._queue)
            others = [threads.submit(call) for call in calls]
            _until(lambda: len(commit._queue) == len(calls))
        first.result()
    return others


def _until(condition: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came to that")


def test_who_waits_meanwhile_is_committed_in_one_transaction(store: Storage, commits: list[str]) -> None:
    calls: list[Callable[[], Any]] = [lambda n=n: store.log.append_events("acme", [event(f"e{n}")], NOW) for n in range(10)]  # type: ignore[misc]
    calls += [
        lambda: store.log.append_decisions("twin", [decision("d")]),
        lambda: store.log.append_marks("twin", [Mark(type="x", at=NOW)], NOW),
    ]
    commits.clear()
    results = [future.result() for future in queued_together(store, calls)]
    assert results[:10] == [["accepted"]] * 10
    assert len(commits) == 3  # the one that held up, the first, and all the others
    assert store.log.heads() == {"acme": 11, "twin": 2}


def test_of_a_joint_transaction_that_fails_only_the_bad_part_fails(store: Storage) -> None:
    calls: list[Callable[[], Any]] = [lambda n=n: store.log.append_events("acme", [event(f"e{n}")], NOW) for n in range(5)]  # type: ignore[misc]
    bad = msgspec.structs.replace(decision("bad"), slot_at=2**70)
    calls.insert(2, lambda: store.log.append_decisions("acme", [bad]))
    futures = queued_together(store, calls)
    with pytest.raises(OverflowError):
        futures.pop(2).result()
    assert [future.result() for future in futures] == [["accepted"]] * 5
    assert [e.seq for e in store.log.read("acme", 0, 99)] == [1, 2, 3, 4, 5, 6]


def test_events_are_fsynced_and_decisions_alone_are_not(store: Storage, commits: list[str]) -> None:
    commits.clear()
    store.log.append_decisions("acme", [decision("d1")])
    store.log.append_events("acme", [event("e1")], NOW)
    store.log.append_decisions("acme", [decision("d2")])
    store.tenants.create("third", NOW)
    assert commits == ["NORMAL", "FULL", "NORMAL", "FULL"]


def test_after_a_failure_the_queue_goes_on(store: Storage) -> None:
    holder = database(store)
    original, holder._turn = holder._turn, _Broken()
    with pytest.raises(StorageUnavailable):
        store.log.append_events("acme", [event("e1")], NOW)
    holder._turn = original
    assert store.log.append_events("acme", [event("e1")], NOW) == ["accepted"]


class _Broken:
    def __enter__(self) -> None:
        raise sa.exc.OperationalError("BEGIN", {}, Exception("disk I/O error"))

    def __exit__(self, *_: object) -> None: ...
