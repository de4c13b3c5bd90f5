"""What followers of the log keep: snapshots of what they learned, and how far they are."""

from __future__ import annotations

import sqlalchemy as sa

from personalization.storage.base import Snapshot
from personalization.storage.sql.engine import Database, Sql
from personalization.storage.sql.schema import checkpoints, snapshots

_COLUMNS = tuple(snapshots.c[name] for name in ("snapshot_id", "tenant_id", "model_id", "seq", "created_at", "body"))
_CHECKPOINT = (checkpoints.c.tenant_id == sa.bindparam("tenant"), checkpoints.c.follower == sa.bindparam("by"))

LOAD_CHECKPOINT = Sql(sa.select(checkpoints.c.seq, checkpoints.c.body).where(*_CHECKPOINT))
MOVE_CHECKPOINT = Sql(
    sa.update(checkpoints)
    .values(seq=sa.bindparam("new_seq", type_=sa.BigInteger), body=sa.bindparam("new_body", type_=sa.LargeBinary))
    .where(*_CHECKPOINT)
)


class SqlSnapshots:
    """A SnapshotStore. Ids are taken one publisher at a time, so a smaller one never appears after a larger one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish(self, tenant_id: str, model_id: str, seq: int, at: int, body: bytes) -> Snapshot:
        """The newest of a model is never pruned, so the largest id is never used twice."""
        with self._database.write() as transaction:
            transaction.serialise()
            largest = transaction.execute(sa.select(sa.func.max(snapshots.c.snapshot_id))).scalar() or 0
            snapshot = Snapshot(largest + 1, tenant_id, model_id, seq, at, body)
            transaction.execute(sa.insert(snapshots).values({column: getattr(snapshot, column.name) for column in _COLUMNS}))
        return snapshot

    def get(self, tenant_id: str, snapshot_id: int) -> Snapshot | None:
        statement = sa.select(*_COLUMNS).where(snapshots.c.tenant_id == tenant_id, snapshots.c.snapshot_id == snapshot_id)
        with self._database.read() as transaction:
            found = transaction.execute(statement).first()
        return None if found is None else Snapshot(*found)

    def newest(self, after: int = 0) -> list[Snapshot]:
        statement = sa.select(*_COLUMNS).where(snapshots.c.snapshot_id.in_(_newest_ids().where(snapshots.c.snapshot_id > after)))
        with self._database.read() as transaction:
            return [Snapshot(*row) for row in transaction.execute(statement.order_by(snapshots.c.snapshot_id))]

    def prune(self, before: int) -> int:
        old = (snapshots.c.created_at < before) & snapshots.c.snapshot_id.not_in(_newest_ids())
        with self._database.write() as transaction:
            return transaction.execute(sa.delete(snapshots).where(old)).rowcount


def _newest_ids() -> sa.Select[tuple[int]]:
    return sa.select(sa.func.max(snapshots.c.snapshot_id)).group_by(snapshots.c.tenant_id, snapshots.c.model_id)


class SqlCheckpoints:
    """A CheckpointStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, tenant_id: str, follower: str) -> tuple[int, bytes] | None:
        with self._database.read() as transaction:
            found = transaction.rows(LOAD_CHECKPOINT, (tenant_id, follower))
        return (found[0][0], found[0][1]) if found else None

    def save(self, tenant_id: str, follower: str, seq: int, body: bytes) -> None:
        with self._database.write(durable=False) as transaction:
            if not transaction.run(MOVE_CHECKPOINT, (seq, body, tenant_id, follower)):
                transaction.insert(checkpoints, [(tenant_id, follower, seq, body)], ignore=True)
