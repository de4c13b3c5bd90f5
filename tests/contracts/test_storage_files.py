"""What is stored in files and databases, and what happens when they are away: the contract of storage/base.py, continued."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from personalization.clock import ManualClock
from personalization.errors import MisconfiguredError, StorageUnavailable
from personalization.security.cipher import EnvelopeCipher
from personalization.storage.base import ACCEPTED, DUPLICATE, LOST, RECORDED, DecisionOutcome
from personalization.storage.sql import sqlite
from personalization.storage.sql.lock import ProcessLock
from personalization.storage.sql.open import open_sql_storage
from tests.conftest import MASTER_KEYS, NOW, Reopen
from tests.contracts.conftest import ONE_A_DAY, append, at_once, decision, event, everything, profile, template, user, whole_log


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
