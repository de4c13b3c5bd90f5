"""The thread that follows the log, and who of several processes leads."""

from __future__ import annotations

import logging
from threading import Event, Thread

from personalization import telemetry
from personalization.cache import CachedProfiles
from personalization.errors import PersonalizationError
from personalization.models.registry import PolicyBook
from personalization.models.shelf import Shelf
from personalization.operations.budgets import Budgets
from personalization.operations.erasing import Eraser
from personalization.operations.learner import Learner
from personalization.operations.projector import PAGE, PROJECTOR, Projector
from personalization.storage.base import Storage

log = logging.getLogger(__name__)

#: The thread's name.
FOLLOWERS = "followers"
#: Seconds between two looks at the log.
PAUSE = 0.2


class Followers:
    """The thread that follows the log: as leader it projects, learns and prices, else it takes over what the leader did.

    It looks every PAUSE seconds, so that many rows share a look, and at once again after a full page.
    """

    def __init__(
        self,
        storage: Storage,
        profiles: CachedProfiles,
        book: PolicyBook,
        shelf: Shelf,
        projector: Projector,
        learner: Learner,
        eraser: Eraser,
        budgets: Budgets,
    ) -> None:
        self._storage, self._profiles, self._book, self._shelf = storage, profiles, book, shelf
        self._projector, self._learner, self._eraser, self._budgets = projector, learner, eraser, budgets
        self._seen: dict[str, int] = {}
        self._stop = Event()
        self._failures = telemetry.FOLLOWER_FAILURES.labels("followers")
        self._thread: Thread | None = None
        self._leading = False

    def start(self) -> None:
        self._stop.clear()
        self._thread = Thread(target=self._run, name=FOLLOWERS, daemon=True)
        self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Stop after the step in hand, keep what was learned, let another process lead."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)
        if self._leading:
            self._learner.save()
        self._follow()
        self._storage.election.release()

    def leads(self) -> bool:
        """Whether this process is the one that projects, learns and trains."""
        return self._leading

    def step(self) -> int:
        """One look at every tenant; how many rows there were at most. For tests and tools without the thread."""
        self._eraser.watch()
        self._shelf.refresh()
        if self._storage.election.hold():
            self._leading = True
            tenants = self._storage.log.heads()
            rows = max(max(map(self._lead, tenants), default=0), self._eraser.step())
            for tenant_id in tenants:
                self._budgets.step(tenant_id)
            return rows
        self._follow()
        self._book.refresh()
        return max(map(self._watch, self._storage.log.heads()), default=0)

    def _follow(self) -> None:
        """Lead no more: begin from the checkpoints if elected again."""
        if self._leading:
            self._leading = False
            self._projector.forget()
            self._learner.forget()
            self._eraser.forget()
            self._budgets.forget()

    def _lead(self, tenant_id: str) -> int:
        return max(self._projector.step(tenant_id), self._learner.step(tenant_id))

    def _watch(self, tenant_id: str) -> int:
        """Forget the cached profiles that the leader projected since the last look."""
        known = self._storage.checkpoints.load(tenant_id, PROJECTOR)
        head, seen = (known[0] if known else 0), self._seen.get(tenant_id, 0)
        if head <= seen:
            return 0
        seen = seen or max(0, head - PAGE)
        rows = self._storage.log.read(tenant_id, seen, min(head - seen, PAGE))
        self._profiles.forget(tenant_id, {row.user_ref for row in rows if row.user_ref is not None})
        self._seen[tenant_id] = rows[-1].seq if rows else head
        return len(rows)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                rows = self.step()
            except PersonalizationError as failure:
                self._failures.inc()
                log.warning("followers wait: %s", failure)
                rows = 0
            except Exception:
                self._failures.inc()
                log.exception("followers wait")
                rows = 0
            if rows < PAGE:
                self._stop.wait(PAUSE)
