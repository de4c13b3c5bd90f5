"""The twin of the SQL store of ended tokens, in a dict."""

from __future__ import annotations

from threading import Lock


class MemoryRevocations:
    """A RevocationStore that ends with the process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], tuple[int, int]] = {}
        self._lock = Lock()

    def add(self, tenant_id: str, digest: bytes, at: int, expires_at: int) -> None:
        with self._lock:
            first_at, until = self._known.get((tenant_id, digest), (at, expires_at))
            self._known[tenant_id, digest] = (first_at, max(until, expires_at))

    def has(self, tenant_id: str, digest: bytes) -> bool:
        return (tenant_id, digest) in self._known

    def since(self, at: int) -> list[tuple[str, bytes]]:
        with self._lock:
            return sorted(token for token, (revoked_at, _) in self._known.items() if revoked_at >= at)

    def prune(self, before: int) -> int:
        with self._lock:
            ended = [token for token, (_, until) in self._known.items() if until < before]
            for token in ended:
                del self._known[token]
            return len(ended)
