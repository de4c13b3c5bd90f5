"""The predictive models this process scores with: of each family the live version of the tenant, or the family's prior."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from threading import Lock
from types import MappingProxyType
from typing import Any, NamedTuple

from personalization import telemetry
from personalization.errors import ArtifactRefused, NotFound, PersonalizationError
from personalization.models import artifact
from personalization.models.base import Family, Model
from personalization.storage.model_versions import ModelVersion, ModelVersionStore

log = logging.getLogger(__name__)


class Served(NamedTuple):
    """version: 0 is the prior, which nobody's data taught. trained_at: microseconds."""

    version: int
    trained_at: int | None
    model: Model


class Shelf:
    """`serving` never blocks; `refresh` may be called from any thread. A model, once handed out, never changes.

    An artifact that is refused changes nothing: what served before serves on, and the refusal is counted.
    """

    def __init__(self, versions: ModelVersionStore, families: Mapping[str, Family]) -> None:
        self.families = families
        self._versions = versions
        self._priors = {name: Served(0, None, model) for name, family in families.items() if (model := family.prior()) is not None}
        self._live: dict[str, Mapping[str, Served]] = {}
        self._seen = 0
        self._lock = Lock()
        self._loaded, self._refused = (telemetry.MODELS.labels(what) for what in ("loaded", "refused"))

    def family(self, model_id: str) -> Family:
        """Raises NotFound."""
        found = self.families.get(model_id)
        if found is None:
            raise NotFound("model")
        return found

    def serving(self, tenant_id: str) -> Mapping[str, Served]:
        """By model_id; without those that are untrained and have no prior."""
        return self._live.get(tenant_id) or self._priors

    def refresh(self) -> None:
        """Take up what went live since the last look, in this process or another."""
        for version in self._versions.live(self._seen):
            with self._lock:
                self._seen = max(self._seen, version.change)
            served = self.serving(version.tenant_id).get(version.model_id)
            if version.model_id in self.families and (served is None or served.version != version.version):
                self._take(version)

    def load(self, version: ModelVersion) -> Model:
        """The model of any version. Raises ArtifactRefused; NotFound where its artifact is kept no more."""
        return self.opened(version)[0]

    def opened(self, version: ModelVersion) -> tuple[Model, Mapping[str, Any]]:
        """The model, and what was packed beside it."""
        body = self._versions.artifact(version.tenant_id, version.model_id, version.version)
        if body is None:
            raise NotFound("artifact")
        packed = artifact.read(body, version.model_id, version.digest)
        try:
            return self.family(version.model_id).unpack(packed["model"]), packed
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as foreign:
            raise ArtifactRefused(f"it does not hold what {version.model_id} packs ({foreign!r})") from foreign

    def _take(self, version: ModelVersion) -> None:
        try:
            model = self.load(version)
        except PersonalizationError as refused:  # also where an optional dependency is missing here
            self._refused.inc()
            log.error("%s %s of %s does not serve: %s", version.model_id, version.version, version.tenant_id, refused)
            return
        served = Served(version.version, version.created_at, model)
        with self._lock:
            before = self._live.get(version.tenant_id) or self._priors
            self._live[version.tenant_id] = MappingProxyType({**before, version.model_id: served})
        self._loaded.inc()
