"""What only PostgreSQL does: partitions, the election of one leader, sessions that break."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from personalization.clock import DAY, ManualClock, instant
from personalization.errors import StorageUnavailable
from personalization.security.cipher import EnvelopeCipher
from personalization.storage.base import ACCEPTED, NewDecision, NewEvent, Storage
from personalization.storage.sql.open import open_sql_storage
from tests.conftest import NOW

ADA = b"a" * 16


@pytest.fixture
def store(postgres_url: str, cipher: EnvelopeCipher, clock: ManualClock) -> Iterator[Storage]:
    opened = open_sql_storage(postgres_url, cipher, clock)
    opened.life.migrate()
    opened.tenants.create("acme", NOW)
    yield opened
    opened.life.close()


@pytest.fixture
def sql(postgres_url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def event(event_id: str, **given: Any) -> NewEvent:
    return NewEvent(event_id=event_id, type="clicked", user_ref=ADA, occurred_at=NOW, body=b"body", **given)


def partitions(sql: sa.Connection, table: str) -> list[str]:
    statement = sa.text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:table AS regclass) ORDER BY 1")
    return list(sql.execute(statement, {"table": table}).scalars())


def rows_in(sql: sa.Connection, partition: str) -> int:
    return int(sql.execute(sa.select(sa.func.count()).select_from(sa.table(partition))).scalar_one())


def test_events_lie_in_the_partition_of_the_month_they_came_in(store: Storage, sql: sa.Connection) -> None:
    store.log.append_events("acme", [event("e1")], NOW)
    store.log.append_events("acme", [event("e2")], instant("2027-01-01T00:00:00Z"))
    assert partitions(sql, "events") == ["events_2026_11", "events_2026_12", "events_2027_01", "events_2027_02", "events_default"]
    assert [rows_in(sql, name) for name in partitions(sql, "events")] == [1, 0, 1, 0, 0]
    assert [e.seq for e in store.log.read("acme", 0, 9)] == [1, 2]


def test_what_has_no_partition_is_kept_in_the_default_one(store: Storage, sql: sa.Connection) -> None:
    lone = instant("2027-06-15T00:00:00Z")
    store.tenants.save_config("acme", store.tenants.config("acme"), lone)
    assert rows_in(sql, "events_default") == 1
    assert store.log.append_events("acme", [event("e1")], lone) == [ACCEPTED]
    assert rows_in(sql, "events_default") == 2
    assert "events_2027_07" in partitions(sql, "events")


def test_a_month_that_retires_takes_no_event_id_with_it(store: Storage, sql: sa.Connection) -> None:
    store.log.append_events("acme", [event("e1")], NOW)
    sql.execute(sa.text("DROP TABLE events_2026_11"))
    assert store.log.append_events("acme", [event("e1"), event("e2")], NOW + 40 * DAY) == ["duplicate", ACCEPTED]
    assert [e.seq for e in store.log.read("acme", 0, 9)] == [2]


def test_event_keys_are_spread_over_eight_partitions(store: Storage, sql: sa.Connection) -> None:
    store.log.append_events("acme", [event(f"e{n}") for n in range(400)], NOW)
    assert len(partitions(sql, "event_keys")) == 8
    assert all(rows_in(sql, name) > 20 for name in partitions(sql, "event_keys"))


def test_one_of_two_processes_leads_until_it_lets_go(store: Storage, postgres_url: str, cipher: EnvelopeCipher) -> None:
    other = open_sql_storage(postgres_url, cipher)
    assert store.election.hold()
    assert not other.election.hold()
    assert store.election.hold()
    store.election.release()
    assert other.election.hold()
    assert not store.election.hold()
    other.election.release()
    other.life.close()
    assert store.election.hold()
    store.election.release()


def test_a_leader_whose_session_broke_knows_at_its_next_call(
    store: Storage, postgres_url: str, cipher: EnvelopeCipher, sql: Any
) -> None:
    other = open_sql_storage(postgres_url, cipher)
    assert store.election.hold()
    sql.execute(
        sa.text("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()")
    )
    assert other.election.hold()
    assert not store.election.hold()
    assert not store.election.hold()
    other.election.release()
    assert store.election.hold()
    store.election.release()
    other.life.close()


def test_broken_sessions_of_the_pool_are_replaced_unseen(store: Storage, sql: sa.Connection) -> None:
    store.log.append_events("acme", [event("e1")], NOW)
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    sql.execute(sa.text(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}"))  # noqa: S608
    assert store.log.append_events("acme", [event("e2")], NOW) == [ACCEPTED]
    assert len(store.log.read("acme", 0, 9)) == 2


def test_a_read_only_server_is_unavailable_for_writing(store: Storage, sql: sa.Connection, postgres_url: str) -> None:
    name = sa.make_url(postgres_url).database
    sql.execute(sa.text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    readers = open_sql_storage(postgres_url, EnvelopeCipher((("k1", bytes(range(32))),)))
    with pytest.raises(StorageUnavailable, match="read-only"):
        readers.log.append_events("acme", [event("e1")], NOW)
    with pytest.raises(StorageUnavailable, match="read-only"):
        readers.tenants.create("other", NOW)
    assert readers.tenants.exists("acme")
    readers.life.close()


def test_a_server_that_is_not_there_is_unavailable(cipher: EnvelopeCipher) -> None:
    nowhere = open_sql_storage("postgresql+psycopg2://postgres:@127.0.0.1:9/none", cipher)
    with pytest.raises(StorageUnavailable):
        nowhere.life.ping()
    with pytest.raises(StorageUnavailable):
        nowhere.tenants.create("acme", NOW)
    assert not nowhere.election.hold()
    nowhere.life.close()


@pytest.mark.parametrize("make", ["sqlite", "postgresql"])
def test_a_forked_child_and_its_parent_go_on_with_connections_of_their_own(
    make: str, request: pytest.FixtureRequest, cipher: EnvelopeCipher, clock: ManualClock
) -> None:
    store = open_sql_storage(request.getfixturevalue("sqlite_url" if make == "sqlite" else "postgres_url"), cipher, clock)
    store.life.migrate()
    store.tenants.create("acme", NOW)
    assert store.election.hold()
    child = os.fork()
    if child == 0:
        try:
            leads = store.election.hold()
            taken = [store.log.append_events("acme", [event(f"c{n}")], NOW) for n in range(5)]
            os._exit(0 if taken == [[ACCEPTED]] * 5 and leads == (make == "sqlite") else 1)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    for n in range(5):
        assert store.log.append_events("acme", [event(f"p{n}")], NOW) == [ACCEPTED]
    assert os.waitpid(child, 0)[1] == 0
    assert store.election.hold()
    assert [e.seq for e in store.log.read("acme", 0, 99)] == list(range(1, 11))
    store.election.release()
    store.life.close()


def test_a_slow_statement_is_ended_and_reported(store: Storage) -> None:
    database = store.log._database  # type: ignore[attr-defined]

    def sleep() -> None:
        with database.write() as transaction:
            transaction.execute(sa.text("SET LOCAL statement_timeout = '50ms'"))
            transaction.execute(sa.text("SELECT pg_sleep(5)"))

    with pytest.raises(StorageUnavailable, match="timeout"):
        sleep()


def test_a_user_who_was_erased_can_be_sealed_for_no_more(
    store: Storage, sql: sa.Connection, postgres_url: str, cipher: EnvelopeCipher
) -> None:
    ada = store.users.resolve("acme", ["ada"], NOW, create=True)["ada"]
    one = NewDecision(
        decision_id="d",
        user_ref=ada,
        decided_at=NOW,
        slot_at=NOW,
        action="send",
        mode="online",
        record=b"",
        body=b"",
        category="promotional",
        values=b"values",
    )
    store.log.append_decisions("acme", [one])
    sql.execute(sa.text("DELETE FROM users"))
    again = open_sql_storage(postgres_url, cipher)
    stored = again.log.decision("acme", "d")
    assert stored is not None
    assert stored.values is None
    again.life.close()
