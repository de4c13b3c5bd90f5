"""A version of a model from examples: taught by the past, judged on what came after, and told in words.

The first TEACHING of the cases, in order of time, teach; the others judge, so that what is claimed is about the future. The live
version is judged on the same cases, which neither has seen, and the difference is the gate of promotion. Nothing is fitted again
to all cases afterwards: what was judged is what serves.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np

from personalization.clock import DAY, rfc3339
from personalization.errors import ArtifactRefused, Invalid, NotFound
from personalization.learning.calibration import calibration_curve
from personalization.learning.comparing import compared
from personalization.learning.reference import reference
from personalization.learning.worsening import loss
from personalization.models import artifact
from personalization.models.base import Case, Examples, Family, Judged, Model
from personalization.models.shelf import Shelf
from personalization.storage.model_versions import ModelVersion
from personalization.version import VERSION
from personalization.vocabulary import ModelStatus

log = logging.getLogger(__name__)

Document = dict[str, Any]
Step = Callable[[int, int], None]
#: Gives a tenant's examples of a kind as its log has them at an instant.
Examine = Callable[[str, Case, int, Step], Examples]

#: Share of the cases that teach.
TEACHING = 0.8
_BINS = 10


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Where examples came from. log_seq: the newest row that was read, where it was a log. timed: whether `at` is a time, or
    rows of a file were dealt at random."""

    source: str
    log_seq: int | None = None
    file: str | None = None
    timed: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Made:
    """What training makes of a version: its document, and its artifact unless it failed."""

    version: ModelVersion
    body: bytes | None = None
    digest: str | None = None


def made(shelf: Shelf, version: ModelVersion, examples: Examples, lineage: Lineage, live: ModelVersion | None) -> Made:
    """READY with its artifact, or FAILED with the reason. The version's number is the seed."""
    family, teaching, judging = shelf.family(version.model_id), *examples.split(TEACHING)
    told = {**version.document, "lineage": _lineage(lineage, examples, teaching, version.version)}
    try:
        if len(examples) < family.least or not len(teaching) or not len(judging):
            raise Invalid(_too_few(family, len(examples)))
        model = family.fit(teaching, np.random.default_rng(version.version))
        judged = family.judge(model, judging)
        gate = gated(shelf, family, judged, judging, live)
        known = reference(latest(teaching).table, loss(judged.losses, judging.people))
        body = artifact.written({"model": model.pack(), "reference": known.pack()}, family.model_id)
    except Invalid as thin:
        return _failed(version, told, thin.detail)
    except Exception as broken:  # a family that somebody brought must not be tried for ever
        log.exception("%s cannot be taught", family.model_id)
        return _failed(version, told, f"The family {family.model_id} failed ({broken!r}); the server's log tells where. Mend it.")
    told |= {**_figures(judged, gate), "report": _report(family, judged, teaching, judging, gate, lineage.timed)}
    return Made(version=replace(version, status=ModelStatus.READY, document=told), body=body, digest=artifact.digest_of(body))


def _failed(version: ModelVersion, told: Document, why: str) -> Made:
    return Made(version=replace(version, status=ModelStatus.FAILED, document={**told, "report": [why]}))


def _too_few(family: Family, cases: int) -> str:
    known = "once its reward's wait is over" if family.case is Case.SEND else "four weeks later"
    wanted = f"it takes {family.least}, over a longer time than that"
    return f"{cases} cases teach too little: {wanted}. What came of a {family.case} is known {known}; ask again then."


def appraised(shelf: Shelf, version: ModelVersion, examples: Examples, live: ModelVersion | None) -> Document:
    """The figures of a version on examples that came after it was taught, and how it stands beside the live one there."""
    family = shelf.family(version.model_id)
    judged = family.judge(shelf.load(version), examples)
    beside = None if live is None or live.version == version.version else live
    gate = gated(shelf, family, judged, examples, beside)
    return {"cases": len(examples), "people": len(np.unique(examples.people)), **_figures(judged, gate)}


def latest(examples: Examples) -> Examples:
    """The last case of each person, in order of time."""
    _, from_the_end = np.unique(examples.people[::-1], return_index=True)
    return examples.taken(np.sort(len(examples) - 1 - from_the_end))


def gated(shelf: Shelf, family: Family, judged: Judged, judging: Examples, live: ModelVersion | None) -> Document:
    """How the challenger that was judged stands beside the live version on the same cases. A first version stands beside the
    prior, and where there is none beside one prediction for all; it then only has to lose no more."""
    champion = family.prior() if live is None else _champion(shelf, live)
    if champion is None:
        worse = [name for name in judged.base if name.endswith("log_loss") and judged.metrics[name] > judged.base[name]]
        words = f"It is no better than one prediction for all ({', '.join(worse)})." if worse else "Nothing stands beside it."
        return {"against": None, "verdict": "first", "promotes": not worse, "cases": len(judging), "sentence": words}
    found = compared(family.judge(champion, judging).losses, judged.losses, judging.people)
    promotes = found.improvement >= 0.0 if live is None else found.promotes
    figures = {"champion_loss": found.champion, "challenger_loss": found.challenger, "low": found.low, "high": found.high}
    told = {"against": 0 if live is None else live.version, "verdict": found.verdict, "promotes": promotes}
    beside = "The published prior" if live is None else f"Version {live.version}"
    sentence = f"{beside} is the champion. {found.sentence}"
    return {**told, "cases": len(judging), "people": found.people, **_rounded(figures), "sentence": sentence}


def _champion(shelf: Shelf, live: ModelVersion) -> Model | None:
    """None where what lives cannot be read any more."""
    try:
        return shelf.load(live)
    except (ArtifactRefused, NotFound):
        return None


def _figures(judged: Judged, gate: Document) -> Document:
    figures = {"performance_metrics": _rounded(judged.metrics), "base_rates": _rounded(judged.base)}
    return {**figures, "calibration": _curves(judged), "gate": gate}


def _lineage(lineage: Lineage, examples: Examples, teaching: Examples, seed: int) -> Document:
    timed = lineage.timed and len(examples) > 0
    span = (rfc3339(int(examples.at[0])), rfc3339(int(examples.at[-1]))) if timed else (None, None)
    return {
        "source": lineage.source,
        "file": lineage.file,
        "log_seq": lineage.log_seq,
        "from": span[0],
        "until": span[1],
        "taught_until": rfc3339(int(teaching.at[-1]) + teaching.horizon) if timed and len(teaching) else None,
        "horizon_days": examples.horizon / DAY,
        "cases": len(examples),
        "people": len(np.unique(examples.people)),
        "columns": sorted(examples.table),
        "code_version": VERSION,
        "seed": seed,
    }


def _curves(judged: Judged) -> Document:
    """By outcome, rows of: mean prediction, share it happened to, 95 % interval, cases."""
    return {
        name: [[round(figure, 4) for figure in astuple(row)] for row in calibration_curve(judged.y[name], p, _BINS)]
        for name, p in judged.p.items()
    }


def _report(family: Family, judged: Judged, teaching: Examples, judging: Examples, gate: Document, timed: bool) -> list[str]:
    """Plain sentences, the most important first."""
    what = "sends" if family.case is Case.SEND else "people at a moment"
    later = f"{len(judging):,} from {rfc3339(int(judging.at[0]))} on judged; none of those was known when it was taught."
    drawn = f"{len(judging):,} drawn at random judged, since the rows have no time: expect less of the future."
    told = [f"{len(teaching):,} {what} taught, {later if timed else drawn}"]
    for name, value in judged.metrics.items():
        base = f", one prediction for all has {judged.base[name]:.4g}" if name in judged.base else ""
        told.append(f"{name} is {value:.4g}{base}.")
    return [*told, gate["sentence"]]


def _rounded(figures: Mapping[str, float]) -> dict[str, float | None]:
    """For JSON, which knows no infinity: None."""
    return {name: float(f"{value:.6g}") if math.isfinite(value) else None for name, value in figures.items()}
