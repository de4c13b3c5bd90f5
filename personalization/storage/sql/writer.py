"""Group commit: who finds others waiting commits for them too."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from personalization.errors import StorageUnavailable
from personalization.storage.sql.engine import Database, Transaction, renew_after_fork
from personalization.storage.sql.head import Head, locked_head

#: Appends items of one kind to a tenant's log; one result each, in order. May run again when a transaction failed.
Appender = Callable[[Transaction, Head, Sequence[Any]], list[Any]]


class _Work:
    """What one caller wants appended, and what became of it. Its caller waits for `turn`, which comes when the work is
    done, or when it is the caller's part to `lead`."""

    def __init__(self, tenant_id: str, kind: str, items: Sequence[Any]) -> None:
        self.tenant_id = tenant_id
        self.kind = kind
        self.items = items
        self.results: list[Any] | None = None
        self.error: Exception | None = None
        self.leads = False
        self.turn = threading.Lock()
        self.turn.acquire()

    @property
    def done(self) -> bool:
        return self.results is not None or self.error is not None


class GroupCommit:
    """Appends of any thread, one transaction at a time a process, no thread of its own.

    A caller queues its work. When nobody commits, it commits everything queued by then; else it waits until it is done
    or its turn has come, which is handed to the longest waiting, so that what gathers during one commit is the next.
    Tenants go in sorted order, work of one tenant and kind in the order of arrival as if it were one call. When a joint
    transaction fails each work is tried alone, so a bad one fails its own caller only; a database that is away fails all.
    """

    def __init__(self, database: Database, appenders: Mapping[str, Appender], durable: frozenset[str]) -> None:
        self._database = database
        self._appenders = appenders
        self._durable = durable
        self._renew()
        renew_after_fork(self, GroupCommit._renew)

    def _renew(self) -> None:
        self._mutex = threading.Lock()
        self._busy = False
        self._queue: deque[_Work] = deque()

    def append(self, tenant_id: str, kind: str, items: Sequence[Any]) -> list[Any]:
        work = _Work(tenant_id, kind, items)
        if not self._first(work):
            self._wait(work)
        if not work.done:
            self._lead()
        if work.error is not None:
            raise work.error
        return work.results or []

    def _first(self, work: _Work) -> bool:
        with self._mutex:
            self._queue.append(work)
            first, self._busy = not self._busy, True
        return first

    def _wait(self, work: _Work) -> None:
        """A caller interrupted while it waits leaves the queue, and gives its turn to the next if it came meanwhile."""
        try:
            work.turn.acquire()
        except BaseException:
            with self._mutex:
                if work in self._queue:
                    self._queue.remove(work)
                leads = work.leads and not work.done
            if leads:
                self._hand_on()
            raise

    def _lead(self) -> None:
        with self._mutex:
            works = list(self._queue)
            self._queue.clear()
        try:
            self._commit(works)
        finally:
            for work in works:
                work.turn.release()
            self._hand_on()

    def _hand_on(self) -> None:
        with self._mutex:
            self._busy = bool(self._queue)
            if self._busy:
                self._queue[0].leads = True
                self._queue[0].turn.release()

    def _commit(self, works: list[_Work]) -> None:
        try:
            self._together(works)
        except StorageUnavailable as away:
            for work in works:
                work.error = away
        except Exception as failure:
            self._apart(works, failure)
        finally:
            for work in works:
                if not work.done:
                    work.error = StorageUnavailable("the commit was interrupted")

    def _apart(self, works: list[_Work], failure: Exception) -> None:
        if len(works) == 1:
            works[0].error = failure
            return
        for work in works:
            self._commit([work])

    def _together(self, works: list[_Work]) -> None:
        results: list[tuple[_Work, list[Any]]] = []
        with self._database.write(durable=any(work.kind in self._durable for work in works)) as transaction:
            for tenant_id, of_tenant in groupby(sorted(works, key=_place), key=_tenant):
                with locked_head(transaction, tenant_id) as head:
                    for kind, of_kind in groupby(of_tenant, key=_kind):
                        results += self._appended(transaction, head, kind, list(of_kind))
        for work, result in results:
            work.results = result

    def _appended(self, transaction: Transaction, head: Head, kind: str, works: list[_Work]) -> list[tuple[_Work, list[Any]]]:
        outcomes = iter(self._appenders[kind](transaction, head, [item for work in works for item in work.items]))
        return [(work, [next(outcomes) for _ in work.items]) for work in works]


def _place(work: _Work) -> tuple[str, str]:
    return work.tenant_id, work.kind


def _tenant(work: _Work) -> str:
    return work.tenant_id


def _kind(work: _Work) -> str:
    return work.kind
