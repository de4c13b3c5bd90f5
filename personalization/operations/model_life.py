"""The life of one tenant's predictive models: asked for, trained, judged, promoted through a gate, rolled back, watched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from personalization import telemetry
from personalization.clock import HOUR, Clock, instant, rfc3339
from personalization.errors import ArtifactRefused, Conflict, Invalid, NotFound, PromotionRefused
from personalization.models.base import Examples
from personalization.models.shelf import Shelf
from personalization.operations.paging import number_of, page
from personalization.operations.training import Examine, Lineage, Step, appraised, made
from personalization.operations.watching import watched
from personalization.storage.base import Storage
from personalization.storage.model_versions import ARTIFACTS_KEPT, ModelVersion
from personalization.tenant import TenantConfig
from personalization.vocabulary import ModelStatus

log = logging.getLogger(__name__)

Document = dict[str, Any]

#: A version of no row: the family's prior, or nothing at all.
UNTRAINED = "untrained"
#: Who asked for a version, where a command teaches it itself; and how long that may take.
COMMAND, COMMAND_LASTS = "command", 12 * HOUR
#: Microseconds between two looks at whether a live version has drifted.
WATCH_EVERY = 6 * HOUR
_NO_STEP: Step = lambda done, total: None  # noqa: E731
_PROMOTABLE = (ModelStatus.READY, ModelStatus.SHADOW, ModelStatus.RETIRED)


class ModelLife:
    """Raises NotFound for a model of no family and for a version that is not there."""

    def __init__(
        self, tenant_id: str, storage: Storage, shelf: Shelf, config: Callable[[], TenantConfig], clock: Clock, examine: Examine
    ) -> None:
        self._tenant_id, self._storage, self._shelf = tenant_id, storage, shelf
        self._config, self._clock, self._examine = config, clock, examine
        self._versions = storage.model_versions
        self._trained, self._failed = (telemetry.MODELS.labels(what) for what in ("trained", "failed"))
        self._alarms = telemetry.MODELS.labels("alarm")

    # -- looking -----------------------------------------------------------------------------------------------------

    def document(self, model_id: str) -> Document:
        """What serves: the live version, else the prior; and the newest version where it is another one."""
        live, newest = self.live(model_id), self._versions.newest(self._tenant_id, model_id, 1)
        told = self._untrained(model_id) if live is None else self.told(live)
        if newest and (live is None or newest[0].version != live.version):
            told["newest"] = {"version": str(newest[0].version), "status": str(newest[0].status)}
        return told

    def begun_ever(self) -> list[str]:
        """Families with a version, whatever became of it."""
        return [model_id for model_id in self._shelf.families if self._versions.newest(self._tenant_id, model_id, 1)]

    def versions(self, model_id: str, limit: int, cursor: str | None) -> Document:
        self._shelf.family(model_id)
        found = self._versions.newest(self._tenant_id, model_id, limit + 1, number_of(cursor))
        return page([self.told(version) for version in found], found, limit, lambda version: version.version)

    def live(self, model_id: str) -> ModelVersion | None:
        self._shelf.family(model_id)
        found = self._versions.newest(self._tenant_id, model_id, 1, status=ModelStatus.LIVE)
        return found[0] if found else None

    def told(self, version: ModelVersion) -> Document:
        return {
            **self._named(version.model_id),
            "version": str(version.version),
            "status": str(version.status),
            "performance_metrics": {},
            **version.document,
            "created_at": rfc3339(version.created_at),
            "changed_at": rfc3339(version.changed_at),
            "digest": version.digest,
        }

    def _untrained(self, model_id: str) -> Document:
        served = self._shelf.serving(self._tenant_id).get(model_id)
        words = "No version was trained yet" + ("; the published or assumed figures of the prior serve." if served else ".")
        status = str(ModelStatus.LIVE) if served else UNTRAINED
        return {**self._named(model_id), "version": "0", "status": status, "performance_metrics": {}, "report": [words]}

    def _named(self, model_id: str) -> Document:
        family, schedule = self._shelf.family(model_id), self._config().retraining
        deployed = {"scores": list(family.scores), "case": str(family.case), "least_cases": family.least}
        deployed |= {"automatic": schedule.automatic, "promote": schedule.promote}
        return {"model_id": model_id, "model_type": family.model_type, "deployment_config": deployed}

    # -- training ----------------------------------------------------------------------------------------------------

    def train(self, model_id: str) -> Document:
        """Ask for a new version; whoever leads trains it. Raises Conflict while one is being trained."""
        return self.told(self.begun(model_id, "request"))

    def begun(self, model_id: str, by: str) -> ModelVersion:
        """A new version in TRAINING."""
        self._shelf.family(model_id)
        return self._versions.begin(self._tenant_id, model_id, {"asked_by": by}, self._clock.now())

    def waiting(self, version: ModelVersion) -> None:
        """What the trainer does with a version in TRAINING. One that a command teaches, perhaps by a table, is left to it, and
        given up where the command has ended without a word."""
        if version.document.get("asked_by") != COMMAND:
            self.run(version)
        elif self._clock.now() - version.created_at > COMMAND_LASTS:
            told = {**version.document, "report": ["The command that asked for it ended before it was done; give it again."]}
            given_up = replace(version, status=ModelStatus.FAILED, document=told)
            self._versions.trained(given_up, self._clock.now(), None, None)

    def run(self, version: ModelVersion, step: Step = _NO_STEP) -> Document:
        """Train a version in TRAINING on the tenant's log, keep what came of it, and promote it where that is wished."""
        now, head = self._clock.now(), self._storage.log.heads().get(self._tenant_id, 0)
        family = self._shelf.family(version.model_id)
        return self.keep(version, self._examine(self._tenant_id, family.case, now, step), Lineage(source="events", log_seq=head))

    def keep(self, version: ModelVersion, examples: Examples, lineage: Lineage) -> Document:
        """What becomes of a version in TRAINING that is taught by these examples."""
        found = made(self._shelf, version, examples, lineage, self.live(version.model_id))
        kept = self._versions.trained(found.version, self._clock.now(), found.body, found.digest)
        (self._failed if found.version.status is ModelStatus.FAILED else self._trained).inc()
        ready = kept and found.version.status is ModelStatus.READY
        if ready and self._config().retraining.promote and found.version.document["gate"]["promotes"]:
            return self.promote(version.model_id, version.version)
        return self.told(self._found(version.model_id, version.version))

    def schedule(self, now: int) -> None:
        """Ask for new versions of what the log teaches and is due: old enough, and the log has grown since by what one takes."""
        schedule, head = self._config().retraining, self._storage.log.heads().get(self._tenant_id, 0)
        if not schedule.automatic:
            return
        for model_id, family in self._shelf.families.items():
            newest = self._versions.newest(self._tenant_id, model_id, 1)
            lineage = (newest[0].document.get("lineage") or {}) if newest else {}
            due = not newest or (newest[0].status is not ModelStatus.TRAINING and newest[0].created_at + schedule.every <= now)
            by_log = lineage.get("source") in (None, "events")  # what a table taught has an outcome of its own
            if due and by_log and head - (lineage.get("log_seq") or 0) >= family.least:
                with suppress(Conflict):  # somebody asked for it in this moment
                    self.begun(model_id, "schedule")

    def watch(self, now: int) -> None:
        """Look whether live versions still see the world they were taught in; what was found is kept with them."""
        for model_id, family in self._shelf.families.items():
            live = self.live(model_id)
            seen = None if live is None else live.document.get("monitoring")
            if live is None or (seen is not None and abs(now - instant(seen["at"])) < WATCH_EVERY):
                continue
            found: Document
            try:
                later = _since(self._examine(self._tenant_id, family.case, now, _NO_STEP), [live])
                shadows = self._versions.newest(self._tenant_id, model_id, ARTIFACTS_KEPT, status=ModelStatus.SHADOW)
                found = watched(self._shelf, live, shadows, later)
            except (Invalid, NotFound, ArtifactRefused) as thin:
                found = {"alarm": False, "sentences": [thin.detail]}
            if found["alarm"]:
                self._alarms.inc()
                log.warning("%s %s of %s: %s", model_id, live.version, self._tenant_id, " ".join(found["sentences"]))
            first = (seen or {}).get("alarmed_at") or (rfc3339(now) if found["alarm"] else None)
            told = {"at": rfc3339(now), "alarmed_at": first, **found}
            self._moved(live, live.status, {**live.document, "monitoring": told})

    # -- judging and serving -----------------------------------------------------------------------------------------

    def evaluate(self, model_id: str, number: int | None = None) -> Document:
        """A version (the live one unless told) on the cases that came after it was taught, beside the live one; kept with it.

        Raises Invalid where nothing came after."""
        version = self._chosen(model_id, number)
        now, family = self._clock.now(), self._shelf.family(model_id)
        examples = self._examine(self._tenant_id, family.case, now, _NO_STEP)
        live = self.live(model_id)
        found = appraised(self._shelf, version, _since(examples, [v for v in (version, live) if v is not None]), live)
        found["evaluated_at"] = rfc3339(now)
        gate = {} if version.status is ModelStatus.LIVE else {"gate": found["gate"]}
        self._moved(version, version.status, {**version.document, **gate, "evaluation": found})
        return {**self._named(model_id), "version": str(version.version), "status": str(version.status), **found}

    def promote(self, model_id: str, number: int | None = None, status: ModelStatus = ModelStatus.LIVE) -> Document:
        """Let a version (the newest unless told) serve, or stand in the SHADOW of the one that does.

        Raises PromotionRefused where the gate says that it is worse or that too little is known; a first version passes.
        """
        version = self._newest(model_id) if number is None else self._found(model_id, number)
        if version.status not in _PROMOTABLE:
            raise Conflict(f"Version {version.version} is {version.status}; only a trained version that does not serve can.")
        live, document = self.live(model_id), dict(version.document)
        if status is ModelStatus.LIVE:
            if live is not None:
                document["gate"] = self._passed(version, live)
            document["replaces"] = None if live is None else live.version
        return self._moved(version, status, document)

    def rollback(self, model_id: str) -> Document:
        """Let the version serve again that the live one replaced. Raises Conflict where there is none."""
        live = self.live(model_id)
        before = None if live is None or not live.document.get("replaces") else live.document["replaces"]
        if before is None or self._versions.artifact(self._tenant_id, model_id, before) is None:
            raise Conflict(f"No version of {model_id} served before the live one, so there is none to go back to.")
        version = self._found(model_id, before)
        return self._moved(version, ModelStatus.LIVE, version.document)

    def _passed(self, version: ModelVersion, live: ModelVersion) -> Mapping[str, Any]:
        """The gate beside the live version, as it was judged unless another one lives since. Raises PromotionRefused."""
        gate: Mapping[str, Any] = version.document["gate"]
        if gate["against"] != live.version:
            gate = self.evaluate(version.model_id, version.version)["gate"]
        if not gate["promotes"]:
            raise PromotionRefused(version.model_id, version.version, gate["sentence"])
        return gate

    def _moved(self, version: ModelVersion, status: ModelStatus, document: Mapping[str, Any]) -> Document:
        now = self._clock.now()
        moved = self._versions.move(self._tenant_id, version.model_id, version.version, status, now, document)
        self._shelf.refresh()
        return self.told(moved or replace(version, status=status, document=document))

    # -- finding -----------------------------------------------------------------------------------------------------

    def _chosen(self, model_id: str, number: int | None) -> ModelVersion:
        """That version, else the live one, else the newest that was trained."""
        if number is not None:
            return self._found(model_id, number)
        return self.live(model_id) or self._newest(model_id)

    def _found(self, model_id: str, number: int) -> ModelVersion:
        self._shelf.family(model_id)
        found = self._versions.get(self._tenant_id, model_id, number)
        if found is None:
            raise NotFound("version")
        return found

    def _newest(self, model_id: str) -> ModelVersion:
        """The newest that was trained. Raises Conflict."""
        self._shelf.family(model_id)
        for version in self._versions.newest(self._tenant_id, model_id, 100):
            if version.status in (*_PROMOTABLE, ModelStatus.LIVE):
                return version
        raise Conflict(f"No version of {model_id} was trained yet: POST /ai/models/{model_id}/train first.")


def _since(examples: Examples, versions: list[ModelVersion]) -> Examples:
    """What came after these were taught. Raises Invalid where nothing did."""
    taught = [(version.document.get("lineage") or {}).get("taught_until") for version in versions]
    ends = [instant(text) for text in taught if text]
    later = examples.taken((examples.at > max(ends, default=-1)).nonzero()[0])
    if not len(later):
        raise Invalid("No case came since these versions were taught whose outcome is known; wait for some.")
    return later
