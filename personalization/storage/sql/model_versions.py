"""Versions of models in a SQL database. One writer at a time, so that `change` and the one LIVE version hold over processes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from personalization.errors import Conflict, NotFound
from personalization.storage.model_versions import ARTIFACTS_KEPT, ModelVersion
from personalization.storage.sql.engine import Database, Transaction
from personalization.storage.sql.schema import model_versions as table
from personalization.storage.sql.schema import tenants
from personalization.vocabulary import ModelStatus

_NAMES = ("tenant_id", "model_id", "version", "status", "created_at", "changed_at", "change", "document", "digest")
_COLUMNS = tuple(table.c[name] for name in _NAMES)


class SqlModelVersions:
    """A ModelVersionStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, tenant_id: str, model_id: str, document: Mapping[str, Any], at: int) -> ModelVersion:
        ours = _of(tenant_id, model_id)
        with self._database.write() as transaction:
            transaction.serialise()
            if transaction.execute(sa.select(tenants.c.tenant_id).where(tenants.c.tenant_id == tenant_id)).first() is None:
                raise NotFound("tenant")
            if transaction.execute(sa.select(table.c.version).where(ours, table.c.status == ModelStatus.TRAINING)).first():
                raise Conflict(f"{model_id} is being trained already; wait for that version.")
            newest = transaction.execute(sa.select(sa.func.max(table.c.version)).where(ours)).scalar() or 0
            old = ours & (table.c.version <= newest + 1 - ARTIFACTS_KEPT) & (table.c.status != ModelStatus.LIVE)
            transaction.execute(sa.update(table).where(old).values(artifact=None))
            new = ModelVersion(
                tenant_id=tenant_id,
                model_id=model_id,
                version=newest + 1,
                status=ModelStatus.TRAINING,
                created_at=at,
                changed_at=at,
                change=_next(transaction),
                document=dict(document),
            )
            transaction.execute(sa.insert(table).values(_row(new)))
        return new

    def get(self, tenant_id: str, model_id: str, version: int) -> ModelVersion | None:
        found = self._found(sa.select(*_COLUMNS).where(_of(tenant_id, model_id), table.c.version == version))
        return found[0] if found else None

    def newest(
        self, tenant_id: str, model_id: str, limit: int, before: int | None = None, status: ModelStatus | None = None
    ) -> list[ModelVersion]:
        older = sa.true() if before is None else table.c.version < before
        standing = sa.true() if status is None else table.c.status == status
        wanted = sa.select(*_COLUMNS).where(_of(tenant_id, model_id), older, standing)
        return self._found(wanted.order_by(table.c.version.desc()).limit(limit))

    def artifact(self, tenant_id: str, model_id: str, version: int) -> bytes | None:
        wanted = sa.select(table.c.artifact).where(_of(tenant_id, model_id), table.c.version == version)
        with self._database.read() as transaction:
            found = transaction.execute(wanted).scalar()
        return None if found is None else bytes(found)

    def trained(self, version: ModelVersion, at: int, artifact: bytes | None, digest: str | None) -> bool:
        ours = _of(version.tenant_id, version.model_id) & (table.c.version == version.version)
        with self._database.write() as transaction:
            transaction.serialise()
            made = {"status": version.status, "document": json.dumps(version.document), "artifact": artifact, "digest": digest}
            statement = sa.update(table).where(ours, table.c.status == ModelStatus.TRAINING)
            return transaction.execute(statement.values(**made, changed_at=at, change=_next(transaction))).rowcount == 1

    def move(
        self, tenant_id: str, model_id: str, version: int, status: ModelStatus, at: int, document: Mapping[str, Any]
    ) -> ModelVersion | None:
        ours = _of(tenant_id, model_id)
        with self._database.write() as transaction:
            transaction.serialise()
            if status is ModelStatus.LIVE:
                before = ours & (table.c.status == ModelStatus.LIVE) & (table.c.version != version)
                retired = sa.update(table).where(before).values(status=ModelStatus.RETIRED, changed_at=at)
                transaction.execute(retired.values(change=_next(transaction)))
            moved = sa.update(table).where(ours, table.c.version == version).values(status=status, changed_at=at)
            transaction.execute(moved.values(change=_next(transaction), document=json.dumps(document)))
        return self.get(tenant_id, model_id, version)

    def live(self, after: int = 0) -> list[ModelVersion]:
        return self._standing(ModelStatus.LIVE, after)

    def training(self) -> list[ModelVersion]:
        return self._standing(ModelStatus.TRAINING, 0)

    def _standing(self, status: ModelStatus, after: int) -> list[ModelVersion]:
        wanted = sa.select(*_COLUMNS).where(table.c.status == status, table.c.change > after)
        return self._found(wanted.order_by(table.c.change))

    def _found(self, wanted: sa.Select[Any]) -> list[ModelVersion]:
        with self._database.read() as transaction:
            rows = transaction.execute(wanted).all()
        return [_version(dict(zip(_NAMES, row, strict=True))) for row in rows]


def _of(tenant_id: str, model_id: str) -> sa.ColumnElement[bool]:
    return (table.c.tenant_id == tenant_id) & (table.c.model_id == model_id)


def _next(transaction: Transaction) -> int:
    return int(transaction.execute(sa.select(sa.func.max(table.c.change))).scalar() or 0) + 1


def _row(version: ModelVersion) -> dict[str, Any]:
    return {**{name: getattr(version, name) for name in _NAMES}, "document": json.dumps(version.document)}


def _version(row: dict[str, Any]) -> ModelVersion:
    return ModelVersion(**{**row, "status": ModelStatus(row["status"]), "document": json.loads(row["document"])})
