"""What followers of the log keep, and the life of a store that has none of its own."""

from __future__ import annotations

from personalization.storage.base import Snapshot
from personalization.storage.memory.rows import Room


class MemorySnapshots(Room):
    """A SnapshotStore."""

    def publish(self, tenant_id: str, model_id: str, seq: int, at: int, body: bytes) -> Snapshot:
        with self._lock:
            snapshot = Snapshot(max(self._house.snapshots, default=0) + 1, tenant_id, model_id, seq, at, body)
            self._house.snapshots[snapshot.snapshot_id] = snapshot
            return snapshot

    def get(self, tenant_id: str, snapshot_id: int) -> Snapshot | None:
        found = self._house.snapshots.get(snapshot_id)
        return found if found is not None and found.tenant_id == tenant_id else None

    def newest(self, after: int = 0) -> list[Snapshot]:
        with self._lock:
            return [s for s in self._newest() if s.snapshot_id > after]

    def _newest(self) -> list[Snapshot]:
        """Ids grow, so the newest of a model is the one that comes last."""
        last = {(s.tenant_id, s.model_id): s for _, s in sorted(self._house.snapshots.items())}
        return sorted(last.values(), key=lambda s: s.snapshot_id)

    def prune(self, before: int) -> int:
        with self._lock:
            kept = {s.snapshot_id for s in self._newest()}
            old = [s.snapshot_id for s in self._house.snapshots.values() if s.created_at < before and s.snapshot_id not in kept]
            for snapshot_id in old:
                del self._house.snapshots[snapshot_id]
            return len(old)


class MemoryCheckpoints(Room):
    """A CheckpointStore."""

    def load(self, tenant_id: str, follower: str) -> tuple[int, bytes] | None:
        return self._house.known(tenant_id).checkpoints.get(follower)

    def save(self, tenant_id: str, follower: str, seq: int, body: bytes) -> None:
        with self._lock:
            self._house.tenant(tenant_id).checkpoints[follower] = (seq, body)


class MemoryElection:
    """An Election without rivals: no other process sees these rows."""

    def hold(self) -> bool:
        return True

    def release(self) -> None:
        pass


class MemoryLife:
    """A Life without a database."""

    def ping(self) -> None:
        pass

    def schema(self) -> str:
        return "head"

    def migrate(self) -> None:
        pass

    def close(self) -> None:
        pass
