"""The twin of storage/sql/repeats.py in a dict: answers of requests with an Idempotency-Key, nothing kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock

from personalization.errors import NotFound
from personalization.storage.base import CLAIMED, REPEATED, REUSED, RUNNING, Claim


@dataclass(frozen=True)
class _Row:
    body: bytes
    begun_at: int
    ends: int
    answer: bytes | None = None

    def free(self, at: int, stale: int) -> bool:
        return self.ends <= at or (self.answer is None and self.begun_at <= stale)


class MemoryRepeats:
    """A RepeatStore."""

    def __init__(self, tenant_exists: Callable[[str], bool]) -> None:
        self._tenant_exists = tenant_exists
        self._rows: dict[tuple[str, str], _Row] = {}
        self._lock = Lock()

    def claim(self, tenant_id: str, key: str, body: bytes, at: int, stale: int, ends: int) -> Claim:
        if not self._tenant_exists(tenant_id):
            raise NotFound("tenant")
        self.prune(at)
        with self._lock:
            row = self._rows.get((tenant_id, key))
            if row is None or row.free(at, stale):
                self._rows[tenant_id, key] = _Row(body, at, ends)
                return Claim(CLAIMED)
        if row.body != body:
            return Claim(REUSED)
        return Claim(RUNNING) if row.answer is None else Claim(REPEATED, row.answer)

    def settle(self, tenant_id: str, key: str, at: int, answer: bytes) -> bool:
        with self._lock:
            row = self._ours(tenant_id, key, at)
            if row is not None:
                self._rows[tenant_id, key] = replace(row, answer=answer)
            return row is not None

    def release(self, tenant_id: str, key: str, at: int) -> bool:
        with self._lock:
            row = self._ours(tenant_id, key, at)
            if row is not None:
                del self._rows[tenant_id, key]
            return row is not None

    def prune(self, at: int) -> int:
        with self._lock:
            ended = [name for name, row in self._rows.items() if row.ends <= at]
            for name in ended:
                del self._rows[name]
            return len(ended)

    def forget(self, tenant_id: str) -> int:
        """Drop every answer of a tenant, as somebody leaves it; how many there were."""
        with self._lock:
            answered = [name for name, row in self._rows.items() if name[0] == tenant_id and row.answer is not None]
            for name in answered:
                del self._rows[name]
            return len(answered)

    def _ours(self, tenant_id: str, key: str, at: int) -> _Row | None:
        row = self._rows.get((tenant_id, key))
        return row if row is not None and row.begun_at == at and row.answer is None else None
