"""PostgreSQL: a pool with timeouts, partitions by month, advisory locks."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgresql_insert

from personalization.clock import Clock, from_datetime, to_datetime
from personalization.storage.sql.engine import Database, Sql, Transaction, abandon, available, renew_after_fork
from personalization.storage.sql.packing import read_json, write_json

#: Advisory locks of this house, in one number space of the database.
MIGRATION_LOCK, PARTITION_LOCK, SNAPSHOT_LOCK, LEADER_LOCK = (0x70727A00 + n for n in range(4))

_CONNECT = {
    "connect_timeout": 5,
    "application_name": "personalization",
    "options": "-c statement_timeout=15s -c idle_in_transaction_session_timeout=60s -c timezone=UTC",
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_POOL_SIZE, _POOL_OVERFLOW, _POOL_SECONDS = 10, 10, 5.0
_PAGE = 1_000
#: A table up to this many bytes is written anew by a scrub; larger ones are vacuumed in place.
_REWRITTEN = 64 * 2**20
#: Tables in which people leave rows, and where the server keeps samples of column values.
_PERSONAL = (
    "users",
    "profiles",
    "consents",
    "events",
    "decisions",
    "cap_reservations",
    "checkpoints",
    "snapshots",
    "idempotency",
    "erasures",
)
_LEAVES = sa.text(
    "SELECT quote_ident(c.relname), pg_total_relation_size(c.oid) FROM pg_class c "
    "LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent "
    "WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid) AND coalesce(p.relname, c.relname) = ANY(:names) ORDER BY c.relname"
)

#: psycopg2 hands out bytea as memoryview; the house wants bytes.
_BYTES = psycopg2.extensions.new_type(
    psycopg2.BINARY.values,
    "BYTES",
    lambda value, cursor: None if value is None else bytes(psycopg2.BINARY(value, cursor)),
)


def _as_text(json: str) -> str:
    """Prepared statements read the same of both databases; the rooms parse it."""
    return json


class PostgresDatabase(Database):
    """A server. Every statement ends within 15 s; a checkout tests the connection, so a restarted server costs nobody an error."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = sa.make_url(url)
        self._clock = clock
        self._open()
        self.dialect = self._engine.dialect
        renew_after_fork(self, PostgresDatabase._reopen)

    def _open(self) -> None:
        self._months: set[tuple[int, int]] = set()
        self._making_months = threading.Lock()
        self._engine = sa.create_engine(
            self._url,
            paramstyle="format",
            isolation_level="READ COMMITTED",
            pool_size=_POOL_SIZE,
            max_overflow=_POOL_OVERFLOW,
            pool_timeout=_POOL_SECONDS,
            pool_pre_ping=True,
            json_serializer=write_json,
            json_deserializer=read_json,
            pool_use_lifo=True,
            executemany_mode="values_plus_batch",
            connect_args=_CONNECT,
        )

        @sa.event.listens_for(self._engine, "connect")
        def prepare(connection: Any, _: object) -> None:
            psycopg2.extensions.register_type(_BYTES, connection)
            psycopg2.extras.register_default_jsonb(connection, loads=_as_text)

    def _reopen(self) -> None:
        abandon([self._engine.pool])
        self._engine.dispose(close=False)
        self._open()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, durable: bool) -> Iterator[sa.Connection]:
        with self._engine.begin() as connection:
            yield connection

    def lone_connection(self) -> sa.Connection:
        """A connection outside the pool and outside transactions, for a lock that lives as long as it. pg_stat_activity
        tells by its name which process holds it."""
        named = {**_CONNECT, "application_name": f"personalization follower {os.getpid()}"}
        alone = sa.create_engine(self._url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT", connect_args=named)
        return alone.connect()

    def insert(self, cursor: Any, table: sa.Table, rows: Sequence[tuple[Any, ...]], ignore: bool) -> None:
        psycopg2.extras.execute_values(cursor, _values_of(table, ignore, self.dialect), rows, page_size=_PAGE)

    def change(self, cursor: Any, sql: Sql, rows: Sequence[tuple[Any, ...]]) -> None:
        psycopg2.extras.execute_batch(cursor, sql.text(self.dialect), rows, page_size=_PAGE)

    @contextmanager
    def migrating(self) -> Iterator[sa.Connection]:
        with available(), self._engine.begin() as connection:
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            yield connection
        self._months.clear()

    def ensure_month(self, at: int) -> None:
        """What finds no partition of its month lies in the default one, which is slower but right, so a failure to make
        a partition stops nobody: it is tried again unless the default one already holds rows of that month."""
        month = _month_of(at)
        if month in self._months:
            return
        with self._making_months:
            for one in (month, _month_after(month)):
                if one not in self._months and self._make_partition(one):
                    self._months.add(one)

    def _make_partition(self, month: tuple[int, int]) -> bool:
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.text("SET LOCAL lock_timeout = '300ms'"))
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(PARTITION_LOCK)))
                connection.exec_driver_sql(_partition(month))
        except sa.exc.IntegrityError:
            return True
        except sa.exc.DBAPIError:
            return False
        return True

    def serialise(self, transaction: Transaction) -> None:
        transaction.execute(sa.select(sa.func.pg_advisory_xact_lock(SNAPSHOT_LOCK)))

    def scrub(self) -> str:
        """A vacuum frees the space of dead rows and leaves their bytes lying in it, so small tables are written anew. That
        needs the table for itself for a moment: who cannot have it within a second vacuums in place. Samples of column
        values are taken anew for the same reason."""
        with available(), self.lone_connection() as connection:
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("SET lock_timeout = '1s'")
            leaves = connection.execute(_LEAVES, {"names": list(_PERSONAL)}).all()
            rewritten = [_vacuumed(connection, name, anew=size <= _REWRITTEN) for name, size in leaves]
            connection.exec_driver_sql("ANALYZE events")  # samples of a partitioned table as a whole
            rewritten.append(_vacuumed(connection, "pg_catalog.pg_statistic", anew=True))
        return "rewritten" if all(rewritten) else "vacuumed"

    def close(self) -> None:
        self._engine.dispose()


def _vacuumed(connection: sa.Connection, table: str, anew: bool) -> bool:
    """Whether the table was written anew."""
    if anew:
        try:
            connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {table}")
            return True
        except sa.exc.OperationalError as busy:
            if not isinstance(busy.orig, psycopg2.errors.LockNotAvailable):
                raise
    connection.exec_driver_sql(f"VACUUM (ANALYZE) {table}")
    return False


def _month_of(at: int) -> tuple[int, int]:
    moment = to_datetime(at)
    return moment.year, moment.month


def _month_after(month: tuple[int, int]) -> tuple[int, int]:
    return (month[0] + 1, 1) if month[1] == 12 else (month[0], month[1] + 1)


def _beginning(month: tuple[int, int]) -> int:
    return from_datetime(datetime(*month, 1, tzinfo=UTC))


def _partition(month: tuple[int, int]) -> str:
    first, last = _beginning(month), _beginning(_month_after(month))
    name = f"events_{month[0]:04}_{month[1]:02}"
    return f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF events FOR VALUES FROM ({first}) TO ({last})"


_prefixes: dict[tuple[str, bool], str] = {}


def _values_of(table: sa.Table, ignore: bool, dialect: sa.Dialect) -> str:
    known = _prefixes.get((table.name, ignore))
    if known is None:
        prefix, _, _ = Sql(postgresql_insert(table)).text(dialect).partition(" VALUES ")
        known = _prefixes[table.name, ignore] = f"{prefix} VALUES %s{' ON CONFLICT DO NOTHING' if ignore else ''}"
    return known
