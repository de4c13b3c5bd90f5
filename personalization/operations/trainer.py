"""The thread that trains: versions that were asked for, and on a tenant's schedule new ones of what has grown old.

Only the process that leads trains. A version stays in TRAINING until somebody has trained it, so one that a dying process left
behind is begun anew by the next leader.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from threading import Event, Thread

from personalization import telemetry
from personalization.clock import MINUTE, Clock
from personalization.errors import PersonalizationError
from personalization.models.shelf import Shelf
from personalization.operations.model_life import ModelLife
from personalization.storage.base import Storage

log = logging.getLogger(__name__)

TRAINER = "trainer"
#: Seconds between two looks for versions to train, and microseconds between two looks at the schedules.
PAUSE, SCHEDULE_EVERY = 1.0, 10 * MINUTE


class Trainer:
    """start -> (train) -> close. `step` is one look, for tests and tools without the thread."""

    def __init__(
        self, storage: Storage, shelf: Shelf, life: Callable[[str], ModelLife], clock: Clock, leading: Callable[[], bool]
    ) -> None:
        self._storage, self._shelf, self._life, self._clock, self._leading = storage, shelf, life, clock, leading
        self._stop = Event()
        self._thread: Thread | None = None
        self._looked = clock.now()
        self._failures = telemetry.FOLLOWER_FAILURES.labels(TRAINER)

    def start(self) -> None:
        self._stop.clear()
        self._thread = Thread(target=self._run, name=TRAINER, daemon=True)
        self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Stop after the version in hand, if it takes no longer than that."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def step(self) -> int:
        """Train what waits; how many versions. Now and then first look at what is due."""
        if not self._leading():
            return 0
        now = self._clock.now()
        if abs(now - self._looked) >= SCHEDULE_EVERY:
            self._looked = now
            for tenant_id in self._storage.tenants.list():
                self._tried(partial(self._look, tenant_id, now))
        waiting = self._storage.model_versions.training()
        for version in waiting:
            if version.model_id in self._shelf.families and not self._stop.is_set():
                self._tried(partial(self._life(version.tenant_id).waiting, version))
        self._shelf.refresh()
        return len(waiting)

    def _look(self, tenant_id: str, now: int) -> None:
        self._life(tenant_id).schedule(now)
        self._life(tenant_id).watch(now)

    def _tried(self, work: Callable[[], object]) -> None:
        """What fails is tried again at the next look, and holds up nobody else's."""
        try:
            work()
        except PersonalizationError as failure:
            self._failures.inc()
            log.warning("the trainer waits: %s", failure)
        except Exception:
            self._failures.inc()
            log.exception("the trainer waits")

    def _run(self) -> None:
        while not self._stop.wait(PAUSE):
            self._tried(self.step)
