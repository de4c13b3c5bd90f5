"""Whether a model still sees the world that it was taught in: what it reads, what it loses, and who would do better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from personalization.learning.drift import Drift, drift
from personalization.learning.reference import Reference
from personalization.models.base import Examples
from personalization.models.shelf import Shelf
from personalization.operations.training import gated, latest
from personalization.storage.model_versions import ModelVersion

Document = dict[str, Any]


def watched(shelf: Shelf, live: ModelVersion, shadows: Sequence[ModelVersion], examples: Examples) -> Document:
    """The live version on what came after it was taught, and each shadow beside it on the same cases.

    Raises ArtifactRefused; NotFound where an artifact is kept no more.
    """
    family = shelf.family(live.model_id)
    model, packed = shelf.opened(live)
    judged = family.judge(model, examples)
    found = drift(Reference.unpack(packed["reference"]), latest(examples).table, judged.losses, examples.people)
    beside = [
        {"version": s.version, **gated(shelf, family, family.judge(shelf.load(s), examples), examples, live)} for s in shadows
    ]
    return {**_told(found), "cases": len(examples), "challengers": beside}


def _told(found: Drift) -> Document:
    columns = {shift.name: {"psi": round(shift.psi, 4), "level": shift.level} for shift in found.shifts}
    loss = found.loss
    losses = None if loss is None else {"level": loss.level, "then": round(loss.then, 6), "now": round(loss.now, 6)}
    return {"alarm": found.alarm, "loss": losses, "columns": columns, "sentences": list(found.sentences)}
