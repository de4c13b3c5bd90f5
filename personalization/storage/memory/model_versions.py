"""Versions of models in dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from personalization.errors import Conflict
from personalization.storage.memory.rows import Room
from personalization.storage.model_versions import ARTIFACTS_KEPT, ModelVersion
from personalization.vocabulary import ModelStatus


class MemoryModelVersions(Room):
    """A ModelVersionStore."""

    def begin(self, tenant_id: str, model_id: str, document: Mapping[str, Any], at: int) -> ModelVersion:
        with self._lock:
            self._house.tenant(tenant_id)
            known = self.newest(tenant_id, model_id, ARTIFACTS_KEPT + 1)
            if any(version.status is ModelStatus.TRAINING for version in known):
                raise Conflict(f"{model_id} is being trained already; wait for that version.")
            for old in known[ARTIFACTS_KEPT - 1 :]:
                if old.status is not ModelStatus.LIVE:
                    self._keep(old, None)
            new = ModelVersion(
                tenant_id=tenant_id,
                model_id=model_id,
                version=known[0].version + 1 if known else 1,
                status=ModelStatus.TRAINING,
                created_at=at,
                changed_at=at,
                change=self._next(),
                document=dict(document),
            )
            self._keep(new, None)
            return new

    def get(self, tenant_id: str, model_id: str, version: int) -> ModelVersion | None:
        found = self._house.model_versions.get((tenant_id, model_id, version))
        return None if found is None else found[0]

    def newest(
        self, tenant_id: str, model_id: str, limit: int, before: int | None = None, status: ModelStatus | None = None
    ) -> list[ModelVersion]:
        ours = [v for v in self._all() if (v.tenant_id, v.model_id) == (tenant_id, model_id)]
        found = [v for v in ours if (before is None or v.version < before) and status in (None, v.status)]
        return sorted(found, key=lambda v: -v.version)[:limit]

    def artifact(self, tenant_id: str, model_id: str, version: int) -> bytes | None:
        found = self._house.model_versions.get((tenant_id, model_id, version))
        return None if found is None else found[1]

    def trained(self, version: ModelVersion, at: int, artifact: bytes | None, digest: str | None) -> bool:
        with self._lock:
            known = self.get(version.tenant_id, version.model_id, version.version)
            if known is None or known.status is not ModelStatus.TRAINING:
                return False
            self._keep(replace(version, changed_at=at, change=self._next(), digest=digest), artifact)
            return True

    def move(
        self, tenant_id: str, model_id: str, version: int, status: ModelStatus, at: int, document: Mapping[str, Any]
    ) -> ModelVersion | None:
        with self._lock:
            known = self.get(tenant_id, model_id, version)
            if known is None:
                return None
            if status is ModelStatus.LIVE:
                for other in self.live():
                    if (other.tenant_id, other.model_id) == (tenant_id, model_id) and other.version != version:
                        self._moved(other, ModelStatus.RETIRED, at, other.document)
            return self._moved(known, status, at, document)

    def live(self, after: int = 0) -> list[ModelVersion]:
        found = [v for v in self._all() if v.status is ModelStatus.LIVE and v.change > after]
        return sorted(found, key=lambda v: v.change)

    def training(self) -> list[ModelVersion]:
        return sorted((v for v in self._all() if v.status is ModelStatus.TRAINING), key=lambda v: v.change)

    def _moved(self, known: ModelVersion, status: ModelStatus, at: int, document: Mapping[str, Any]) -> ModelVersion:
        moved = replace(known, status=status, changed_at=at, change=self._next(), document=dict(document))
        self._keep(moved, self.artifact(known.tenant_id, known.model_id, known.version))
        return moved

    def _all(self) -> list[ModelVersion]:
        with self._lock:
            return [version for version, _ in self._house.model_versions.values()]

    def _next(self) -> int:
        return max((version.change for version in self._all()), default=0) + 1

    def _keep(self, version: ModelVersion, artifact: bytes | None) -> None:
        self._house.model_versions[version.tenant_id, version.model_id, version.version] = version, artifact
