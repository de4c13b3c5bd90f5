"""Turns: bounded queues, deadlines, one micro-batching worker for real-time requests and a pool for the others."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Generic, TypeVar

from personalization import telemetry
from personalization.clock import Clock
from personalization.errors import Overloaded, PersonalizationError, StorageUnavailable

log = logging.getLogger(__name__)

A = TypeVar("A")
R = TypeVar("R")


class Queue(StrEnum):
    REAL_TIME = "real_time"
    STANDARD = "standard"
    BATCH = "batch"


@dataclass(frozen=True, kw_only=True)
class QueuePlan:
    """capacity in requests; deadline in seconds unless the request says otherwise; batch: most requests a worker takes."""

    capacity: int
    deadline: float
    workers: int
    batch: int


QUEUES = {
    Queue.REAL_TIME: QueuePlan(capacity=5_000, deadline=1.0, workers=1, batch=64),
    Queue.STANDARD: QueuePlan(capacity=10_000, deadline=30.0, workers=2, batch=1),
    Queue.BATCH: QueuePlan(capacity=2_000, deadline=300.0, workers=1, batch=1),
}
#: Requests that may be inside at once; the rest is refused rather than kept waiting.
ADMISSION_LIMIT = 48
#: How long past its deadline a caller waits for a worker that has already begun.
_GRACE = 30.0


class _Job(Generic[A, R]):
    """Some asks, answered together. Whoever claims it answers it: a worker, or the caller when it is late."""

    __slots__ = ("answers", "asks", "deadline", "done", "failure", "queued", "turn")

    def __init__(self, asks: Sequence[A], queued: float, deadline: float) -> None:
        self.asks, self.queued, self.deadline = asks, queued, deadline
        self.answers: list[R] = []
        self.failure: BaseException | None = None
        self.turn, self.done = Lock(), Lock()
        self.done.acquire()

    def claim(self) -> bool:
        return self.turn.acquire(blocking=False)


class _BoundedQueue(Generic[A, R]):
    """First in, first out; holds at most `capacity` asks and refuses more with Overloaded."""

    def __init__(self, name: Queue, plan: QueuePlan) -> None:
        self.depth = 0
        self._name, self._plan = name, plan
        self._jobs: SimpleQueue[_Job[A, R] | None] = SimpleQueue()
        self._counting = Lock()
        self._closed = False
        self._gauge = telemetry.QUEUE_DEPTH.labels(name)
        self._rejected = telemetry.REJECTIONS.labels(name)

    def put(self, job: _Job[A, R]) -> None:
        with self._counting:
            refused = self._closed or self.depth + len(job.asks) > self._plan.capacity
            if not refused:
                self.depth += len(job.asks)
                self._jobs.put(job)
        if refused:
            self._rejected.inc()
            raise Overloaded(self._name, self.depth)

    def take(self) -> list[_Job[A, R]]:
        """At least one job, waiting for it, and as many as there are up to the plan's batch; none once closed and empty."""
        first = self._jobs.get()
        if first is None:
            self._jobs.put(None)
            return []
        taken = [first]
        while len(taken) < self._plan.batch and not self._jobs.empty():
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)
                break
            taken.append(job)
        with self._counting:
            self.depth -= sum([len(job.asks) for job in taken])
        self._gauge.set(self.depth)
        return taken

    def close(self) -> None:
        """No more jobs; the sign of it lies behind those there are, and every worker puts it back for the next."""
        with self._counting:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)


class _Ticket:
    """Given back when its block ends."""

    __slots__ = ("_home",)

    def __init__(self, home: SimpleQueue[None]) -> None:
        self._home = home

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._home.put(None)


class PersonalizationOrchestrator(Generic[A, R]):
    """Gives every request its turn within its deadline.

    decide : answers a list of asks, one answer each; called from worker threads, several at once
    late   : the ask to answer instead when its deadline has passed (the baseline as fallback)

    Threads start with the first submit of a process, so a fork before that is harmless. `close` answers what is
    queued and stops.
    """

    def __init__(
        self, decide: Callable[[Sequence[A]], list[R]], late: Callable[[A], A], clock: Clock, admission: int = ADMISSION_LIMIT
    ) -> None:
        self._decide, self._late, self._clock, self._admission = decide, late, clock, admission
        self._process = 0
        self._starting = Lock()
        self._waits = {queue: telemetry.QUEUE_WAIT.labels(queue) for queue in Queue}
        self._refused = telemetry.REJECTIONS.labels("admission")

    def submit(self, queue: Queue, asks: Sequence[A], deadline: float | None = None) -> list[R]:
        """The answers, in order. Blocks until they are there; deadline in seconds from now.

        Raises Overloaded when the queue is full. Past its deadline a request that no worker has begun is answered on
        the caller's thread, by the fallback.
        """
        self._ensure_started()
        now = self._clock.monotonic()
        allowed = QUEUES[queue].deadline if deadline is None else deadline
        job: _Job[A, R] = _Job(asks, now, now + allowed)
        self._queues[queue].put(job)
        if not job.done.acquire(timeout=max(allowed, 0.0)):
            if job.claim():
                self._answer([job])
            elif not job.done.acquire(timeout=_GRACE):
                raise StorageUnavailable("a decision takes too long")
        if job.failure is not None:
            raise job.failure
        return job.answers

    def admitted(self) -> _Ticket:
        """Room for one more request inside, until the block ends. Raises Overloaded when there is none."""
        self._ensure_started()
        try:
            self._tickets.get_nowait()
        except Empty:
            self._refused.inc()
            raise Overloaded("admission", self._admission) from None
        return _Ticket(self._tickets)

    def depths(self) -> dict[str, int]:
        self._ensure_started()
        return {queue: self._queues[queue].depth for queue in Queue}

    def close(self, timeout: float = 20.0) -> None:
        """Refuse what comes, answer what waits, stop the threads."""
        if self._process != os.getpid():
            return
        for queue in self._queues.values():
            queue.close()
        for thread in self._threads:
            thread.join(timeout)

    def _ensure_started(self) -> None:
        if self._process == os.getpid():
            return
        with self._starting:
            if self._process == os.getpid():
                return
            self._tickets: SimpleQueue[None] = SimpleQueue()
            for _ in range(self._admission):
                self._tickets.put(None)
            self._queues: dict[Queue, _BoundedQueue[A, R]] = {q: _BoundedQueue(q, plan) for q, plan in QUEUES.items()}
            self._threads = [
                Thread(target=self._work, args=(queue,), name=f"{queue}-{i}", daemon=True)
                for queue, plan in QUEUES.items()
                for i in range(plan.workers)
            ]
            self._process = os.getpid()
            for thread in self._threads:
                thread.start()

    def _work(self, queue: Queue) -> None:
        while self._worked(queue):
            pass

    def _worked(self, queue: Queue) -> bool:
        """One turn, in a frame of its own, so that a waiting worker remembers nobody's request. False once closed."""
        jobs = self._queues[queue].take()
        now = self._clock.monotonic()
        mine = [job for job in jobs if job.claim()]
        for job in mine:
            self._waits[queue].observe(now - job.queued)
        if mine:
            self._answer(mine)
        return bool(jobs)

    def _answer(self, jobs: Sequence[_Job[A, R]]) -> None:
        now = self._clock.monotonic()
        asks = [ask if job.deadline > now else self._late(ask) for job in jobs for ask in job.asks]
        try:
            answers = self._decide(asks) if asks else []
            at = 0
            for job in jobs:
                job.answers = answers[at : at + len(job.asks)]
                at += len(job.asks)
        except Exception as failure:
            if not isinstance(failure, PersonalizationError):
                log.exception("decisions failed")
            for job in jobs:
                job.failure = failure
        finally:
            for job in jobs:
                job.done.release()
