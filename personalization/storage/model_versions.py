"""What the house may rely on of the versions of a tenant's models, whatever keeps them. The rules of `storage.base` hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from personalization.vocabulary import ModelStatus

#: Versions of a model that keep their artifact, beside the live one; of those before them the document remains.
ARTIFACTS_KEPT = 20


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One version of one model.

    change   : grows with every change of any version, over the whole installation
    document : what is told of it: performance_metrics, deployment_config, lineage, …
    digest   : sha256 of the artifact, None while there is none
    """

    tenant_id: str
    model_id: str
    version: int
    status: ModelStatus
    created_at: int
    changed_at: int
    change: int
    document: Mapping[str, Any]
    digest: str | None = None


class ModelVersionStore(Protocol):
    """Of one model at most one version is LIVE, whoever changes it."""

    def begin(self, tenant_id: str, model_id: str, document: Mapping[str, Any], at: int) -> ModelVersion:
        """The next version, in TRAINING: whoever leads will train it. Raises Conflict while one is in TRAINING already, and
        NotFound without the tenant. Artifacts beyond ARTIFACTS_KEPT go."""
        ...

    def get(self, tenant_id: str, model_id: str, version: int) -> ModelVersion | None: ...

    def newest(
        self, tenant_id: str, model_id: str, limit: int, before: int | None = None, status: ModelStatus | None = None
    ) -> list[ModelVersion]:
        """Newest first, those with version < before, of that status."""
        ...

    def artifact(self, tenant_id: str, model_id: str, version: int) -> bytes | None: ...

    def trained(self, version: ModelVersion, at: int, artifact: bytes | None, digest: str | None) -> bool:
        """Store what training made of a version in TRAINING: its status, document and artifact. False, and nothing stored, when
        it is in TRAINING no more."""
        ...

    def move(
        self, tenant_id: str, model_id: str, version: int, status: ModelStatus, at: int, document: Mapping[str, Any]
    ) -> ModelVersion | None:
        """Give a version another status and document; a LIVE one takes the place of the one before, which is RETIRED in the same
        transaction. None when there is no such version."""
        ...

    def live(self, after: int = 0) -> list[ModelVersion]:
        """Every tenant's LIVE versions with change > after, in order of change."""
        ...

    def training(self) -> list[ModelVersion]:
        """Every tenant's versions in TRAINING, the oldest first."""
        ...
