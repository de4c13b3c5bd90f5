"""SQLite: WAL, one writer connection behind a lock, readers as many as threads ask for."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from personalization.clock import Clock
from personalization.errors import MisconfiguredError, StorageUnavailable
from personalization.storage.sql.engine import Database, Sql, Transaction, abandon, available, renew_after_fork
from personalization.storage.sql.lock import ProcessLock
from personalization.storage.sql.packing import read_json, write_json

_READERS = 64
_MIGRATION_WAIT = 60.0
#: A database up to this many bytes is written anew by a scrub.
_REWRITTEN = 32 * 2**20
#: A larger cache and rarer checkpoints serve the appends, which touch pages at random. Deleted bytes become zeros at once.
_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = ON",
)
_READER_PRAGMAS = ("PRAGMA query_only = ON", "PRAGMA cache_size = -4096", "PRAGMA temp_store = MEMORY")
_BUSY_SECONDS = 10.0
_FULL, _NORMAL = "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"


class SQLiteDatabase(Database):
    """A file. A transaction that is not `durable` is committed without fsync: a killed process loses nothing of it, a
    power cut may lose the last instants; the next durable one makes it safe too."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = sa.make_url(url)
        self._clock = clock
        if not self._url.database or self._url.database == ":memory:":
            raise MisconfiguredError(
                "DATABASE_URL must name a file for SQLite, like sqlite:////var/lib/personalization/personalization.db"
            )
        self.path = Path(self._url.database)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._open()
        self.dialect = self._readers.dialect
        renew_after_fork(self, SQLiteDatabase._reopen)

    def _open(self) -> None:
        self._turn = threading.Lock()
        self._writer: sa.Connection | None = None
        self._synchronous = ""
        self._writers = self._engine(1, _WRITER_PRAGMAS, "BEGIN IMMEDIATE")
        self._readers = self._engine(_READERS, _READER_PRAGMAS, "BEGIN")

    def _reopen(self) -> None:
        abandon([self._writers.pool, self._readers.pool, self._writer])
        self._open()

    def _engine(self, size: int, pragmas: Sequence[str], begin: str) -> sa.Engine:
        engine = sa.create_engine(
            self._url,
            poolclass=sa.QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_timeout=_BUSY_SECONDS,
            json_serializer=write_json,
            json_deserializer=read_json,
            pool_use_lifo=True,
            connect_args={"isolation_level": None, "timeout": _BUSY_SECONDS, "check_same_thread": False, "cached_statements": 512},
        )

        @sa.event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _: object) -> None:
            for pragma in pragmas:
                connection.execute(pragma)

        @sa.event.listens_for(engine, "begin")
        def start(connection: sa.Connection) -> None:
            driver: Any = connection.connection.dbapi_connection
            driver.execute(begin)

        return engine

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._readers.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, durable: bool) -> Iterator[sa.Connection]:
        with self._turn:
            connection = self._writer = self._writer or self._writers.connect()
            self._synchronise(connection, _FULL if durable else _NORMAL)
            with connection.begin():
                yield connection

    def _synchronise(self, connection: sa.Connection, pragma: str) -> None:
        """SQLite ignores this pragma inside a transaction, so it comes before."""
        if pragma != self._synchronous:
            driver: Any = connection.connection.dbapi_connection
            driver.execute(pragma)
            self._synchronous = pragma

    def insert(self, cursor: Any, table: sa.Table, rows: Sequence[tuple[Any, ...]], ignore: bool) -> None:
        cursor.executemany(_inserting(table, ignore).text(self.dialect), rows)

    def change(self, cursor: Any, sql: Sql, rows: Sequence[tuple[Any, ...]]) -> None:
        cursor.executemany(sql.text(self.dialect), rows)

    @contextmanager
    def migrating(self) -> Iterator[sa.Connection]:
        lock = ProcessLock(self.path.with_name(f"{self.path.name}.migration"), self._clock)
        with lock.held(_MIGRATION_WAIT), available(), self.writing(durable=True) as connection:
            yield connection

    def ensure_month(self, at: int) -> None:
        pass

    def serialise(self, transaction: Transaction) -> None:
        """BEGIN IMMEDIATE did it."""

    def scrub(self) -> str:
        """What was deleted is zeros in its page; what pages keep in their unused middle goes by writing a small database
        anew. Then the write-ahead log is emptied into the file and cut to nothing."""
        with available(), self._turn:
            connection = self._writer = self._writer or self._writers.connect()
            driver: Any = connection.connection.dbapi_connection
            rewritten = self.path.stat().st_size <= _REWRITTEN
            driver.execute("PRAGMA busy_timeout = 1000")  # writers wait meanwhile
            try:
                if rewritten:
                    driver.execute("VACUUM")
                busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                driver.execute(f"PRAGMA busy_timeout = {int(_BUSY_SECONDS * 1000)}")
        if busy:
            raise StorageUnavailable("a reader holds the write-ahead log")
        return "rewritten" if rewritten else "overwritten"

    def close(self) -> None:
        with self._turn:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._readers.dispose()
            self._writers.dispose()
            self._synchronous = ""


_insertions: dict[tuple[str, bool], Sql] = {}


def _inserting(table: sa.Table, ignore: bool) -> Sql:
    known = _insertions.get((table.name, ignore))
    if known is None:
        statement = sqlite_insert(table)
        known = _insertions[table.name, ignore] = Sql(statement.on_conflict_do_nothing() if ignore else statement)
    return known
