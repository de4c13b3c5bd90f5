"""Who of several processes leads."""

from __future__ import annotations

import threading
from contextlib import suppress

import sqlalchemy as sa

from personalization.storage.sql.engine import abandon, renew_after_fork
from personalization.storage.sql.postgresql import LEADER_LOCK, PostgresDatabase

_TRY = sa.select(sa.func.pg_try_advisory_lock(LEADER_LOCK))
_UNLOCK = sa.select(sa.func.pg_advisory_unlock(LEADER_LOCK))
_STILL_THERE = sa.select(sa.literal(1))


class Alone:
    """The Election of a store that one process owns."""

    def hold(self) -> bool:
        return True

    def release(self) -> None:
        pass


class PostgresElection:
    """A session advisory lock on a connection of its own: it ends with that connection, so with the process. `hold`
    costs one small statement and asks the server each time, so a leader whose connection broke, or who cannot reach
    the database, knows at its next call."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._renew()
        renew_after_fork(self, PostgresElection._reopen)

    def _renew(self) -> None:
        self._turn = threading.Lock()
        self._connection: sa.Connection | None = None
        self._leads = False

    def _reopen(self) -> None:
        abandon([self._connection])
        self._renew()

    def hold(self) -> bool:
        with self._turn:
            try:
                self._connection = self._connection or self._database.lone_connection()
                self._leads = bool(self._connection.execute(_STILL_THERE if self._leads else _TRY).scalar())
            except sa.exc.DBAPIError:
                self._drop()
            return self._leads

    def release(self) -> None:
        """Unlocks first: the server takes a moment to see that a session is gone."""
        with self._turn:
            if self._connection is not None and self._leads:
                with suppress(sa.exc.DBAPIError):
                    self._connection.execute(_UNLOCK)
            self._drop()

    def _drop(self) -> None:
        self._leads = False
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.invalidate()
            connection.close()
