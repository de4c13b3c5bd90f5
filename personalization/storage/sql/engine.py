"""Connections and transactions, and what the two databases do differently: see sqlite.py and postgresql.py."""

from __future__ import annotations

import os
import sqlite3
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg2
import psycopg2.errors
import sqlalchemy as sa

from personalization.errors import StorageUnavailable

_UNAVAILABLE = (
    sa.exc.OperationalError,
    sa.exc.InterfaceError,
    sa.exc.InternalError,
    sa.exc.TimeoutError,
    sqlite3.OperationalError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    psycopg2.InternalError,
    psycopg2.errors.UndefinedTable,
)
#: Keys are looked up this many at a time at most, in statements made for 1, 8, 64 or 512 of them.
_LOOKUP_SIZES = (1, 8, 64, 512)


class Database(ABC):
    """One database of one process: `read` and `write` give a transaction to any thread. Survives a fork: the child
    starts with connections of its own and never touches its parent's."""

    dialect: sa.Dialect

    @abstractmethod
    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection whose statements see one moment (SQLite) or one moment each (PostgreSQL)."""

    @abstractmethod
    def writing(self, durable: bool) -> AbstractContextManager[sa.Connection]:
        """A connection in a transaction that commits when the block ends well. `durable`: fsync before it returns."""

    @abstractmethod
    def insert(self, cursor: Any, table: sa.Table, rows: Sequence[tuple[Any, ...]], ignore: bool) -> None:
        """Many rows of all columns at once; with `ignore` those whose key is taken are left out."""

    @abstractmethod
    def change(self, cursor: Any, sql: Sql, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run one prepared statement for each of many tuples of values."""

    @abstractmethod
    def migrating(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that no other process's migration overlaps."""

    @abstractmethod
    def ensure_month(self, at: int) -> None:
        """Make sure that events received at `at` and in the month after it have their place."""

    @abstractmethod
    def serialise(self, transaction: Transaction) -> None:
        """From here to its end no other transaction that calls this runs, of any process."""

    @abstractmethod
    def scrub(self) -> str:
        """Make the bytes of deleted rows go from the files; see PrivacyStore."""

    @abstractmethod
    def close(self) -> None: ...

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        with available(), self.reading() as connection:
            yield Transaction(self, connection)

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[Transaction]:
        with available(), self.writing(durable) as connection:
            yield Transaction(self, connection)


#: The end of a prepared statement whose last value is the most rows wanted (Core's own limit adds binds on SQLite).
AT_MOST = sa.text("LIMIT :most")


class Sql:
    """A Core statement that runs straight on the driver's cursor with a plain tuple of values, in the order of its binds.

    The hot paths use it: SQLAlchemy's own execution costs more than SQLite's.
    """

    def __init__(self, statement: sa.ClauseElement) -> None:
        self._statement = statement
        self._texts: dict[str, str] = {}

    def text(self, dialect: sa.Dialect) -> str:
        known = self._texts.get(dialect.name)
        if known is None:
            known = self._texts[dialect.name] = str(self._statement.compile(dialect=dialect))
        return known


class Lookup:
    """A statement about a tenant and any number of keys: `make` gets the tenant's bind and the binds of the keys, and may
    add binds of its own after those."""

    def __init__(self, make: Callable[[sa.ColumnElement[Any], list[Any]], sa.ClauseElement]) -> None:
        self._sized = {
            size: Sql(make(sa.bindparam("tenant", type_=sa.Text), [sa.bindparam(f"key{n}", type_=sa.Text) for n in range(size)]))
            for size in _LOOKUP_SIZES
        }

    def runs(self, tenant_id: str, keys: Sequence[Any], more: tuple[Any, ...]) -> Iterator[tuple[Sql, tuple[Any, ...]]]:
        for start in range(0, len(keys), _LOOKUP_SIZES[-1]):
            some = keys[start : start + _LOOKUP_SIZES[-1]]
            size = next(size for size in _LOOKUP_SIZES if size >= len(some))
            yield self._sized[size], (tenant_id, *some, *[some[0]] * (size - len(some)), *more)


class Transaction:
    """What a block may do between begin and commit: Core statements with `execute`, prepared ones with the other verbs."""

    def __init__(self, database: Database, connection: sa.Connection) -> None:
        self._database = database
        self.connection = connection
        self.execute = connection.execute
        self._cursor: Any = connection.connection.cursor()

    def rows(self, sql: Sql, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        self._cursor.execute(sql.text(self._database.dialect), values)
        found: list[tuple[Any, ...]] = self._cursor.fetchall()
        return found

    def run(self, sql: Sql, values: tuple[Any, ...]) -> int:
        """How many rows it changed."""
        self._cursor.execute(sql.text(self._database.dialect), values)
        return int(self._cursor.rowcount)

    def among(self, lookup: Lookup, tenant_id: str, keys: Sequence[Any], *more: Any) -> Iterator[tuple[Any, ...]]:
        for sql, values in lookup.runs(tenant_id, keys, more):
            yield from self.rows(sql, values)

    def run_among(self, lookup: Lookup, tenant_id: str, keys: Sequence[Any]) -> None:
        for sql, values in lookup.runs(tenant_id, keys, ()):
            self.run(sql, values)

    def insert(self, table: sa.Table, rows: Sequence[tuple[Any, ...]], ignore: bool = False) -> None:
        if rows:
            self._database.insert(self._cursor, table, rows, ignore)

    def change(self, sql: Sql, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._database.change(self._cursor, sql, rows)

    def serialise(self) -> None:
        self._database.serialise(self)


@contextmanager
def available() -> Iterator[None]:
    """Turns what a driver says when the database does not answer, or has no schema, into StorageUnavailable."""
    try:
        yield
    except _UNAVAILABLE as error:
        raise StorageUnavailable(_reason(error)) from error
    except sa.exc.ProgrammingError as error:
        if not isinstance(error.orig, psycopg2.errors.UndefinedTable):
            raise
        raise StorageUnavailable(_reason(error)) from error


def _reason(error: Exception) -> str:
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig else error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]


def renew_after_fork(owner: object, renew: Callable[[Any], None]) -> None:
    """Call renew(owner) in every child that this process forks while owner lives."""
    alive = weakref.ref(owner)

    def in_child() -> None:
        found = alive()
        if found is not None:
            renew(found)

    os.register_at_fork(after_in_child=in_child)


#: What a child inherited and must never use nor close: closing would end its parent's sessions.
_inherited: list[object] = []


def abandon(inherited: Iterable[object]) -> None:
    _inherited.extend(inherited)
