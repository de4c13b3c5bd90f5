"""A lock file: one process at a time."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from personalization.clock import Clock
from personalization.errors import MisconfiguredError

_POLL_SECONDS = 0.05


class ProcessLock:
    """flock(2) on a file of its own, so it ends with the process that holds it, however that dies. Not for threads.

    A child forked while it is held shares it: it is free again when parent and children are gone.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._descriptor: int | None = None

    def acquire(self, wait: float = 0.0) -> None:
        """Hold the lock, waiting up to `wait` seconds for it. Raises MisconfiguredError naming who has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        until = self._clock.monotonic() + wait
        while not _try(descriptor):
            if self._clock.monotonic() >= until:
                owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                os.close(descriptor)
                raise MisconfiguredError(
                    f"Another process (pid {owner}) holds {self._path}: a SQLite database serves one long-running process. "
                    "Stop that one first, or set DATABASE_URL to PostgreSQL to run several."
                )
            threading.Event().wait(_POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextmanager
    def held(self, wait: float = 0.0) -> Iterator[None]:
        self.acquire(wait)
        try:
            yield
        finally:
            self.release()


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
