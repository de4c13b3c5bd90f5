"""Whether a person is silent, or busy, beyond their own rhythm (`learning.rhythm`).

    anomaly       0 to 1: 1 less twice the probability that someone of these gaps is silent for so long, or active that often,
                  by chance; twice, since there are two ways to stand out. Above 0.99 one steady gap in 200 is, on either side
    anomaly_kind  silent, burst, or none up to 0.99

A burst is four gaps between active days that, with the time since, take less than gaps of before would. Gaps are whole days, so
half a day is added or taken away (continuity). None of both for who was never active.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from operator import add, sub
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from personalization.errors import ArrayInvalid
from personalization.learning.calibration import auc
from personalization.learning.laplace import LOG_ODDS
from personalization.learning.purchases import DAYS_A_WEEK
from personalization.learning.rhythm import SHAPES, Gaps, Pulse, Rhythm, fit_rhythm
from personalization.learning.tables import Value
from personalization.models.base import Case, Examples, Explained, Features, Judged, Model
from personalization.models.days import ACTIVE, BURST, acted, column, newest, number
from personalization.models.foresight import CDNOW_BUYING, one, restored

_SCORES = ("anomaly", "anomaly_kind")
_RARE, _HALF_DAY, _LOG_WEEK = 0.99, 0.5 / DAYS_A_WEEK, math.log(DAYS_A_WEEK)
_NOTHING: Mapping[str, Value] = MappingProxyType(dict.fromkeys(_SCORES))
_UNKNOWN: Mapping[str, Explained] = MappingProxyType(dict.fromkeys(_SCORES, Explained(None, None, None)))


class Anomaly(StrEnum):
    SILENT = "silent"
    BURST = "burst"
    NONE = "none"


class _Moment(NamedTuple):
    """Where a person stands: all gaps, weeks of silence since, and the last `BURST` gaps where they are remembered."""

    gaps: Gaps
    silence: float
    burst: Gaps | None


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnRhythm:
    """people : how many taught it, 0 of the prior."""

    rhythm: Rhythm
    people: int
    _pulse: Pulse = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pulse", Pulse.of(self.rhythm))

    def predict(self, features: Features) -> Mapping[str, Value]:
        at = _moment(features)
        if at is None:
            return _NOTHING
        kind = _side(at)
        anomaly = _anomaly(self._pulse, at, kind)
        return {"anomaly": anomaly, "anomaly_kind": str(kind if anomaly > _RARE else Anomaly.NONE)}

    def explain(self, features: Features) -> Mapping[str, Explained]:
        at = _moment(features)
        if at is None:
            return _UNKNOWN
        kind, found = _side(at), self.predict(features)
        doubt = one(lambda moved: _anomaly(Pulse.of(moved), at, kind), self.rhythm, link=LOG_ODDS)
        reasons = ((str(kind), float(doubt.value[0])), ("gaps_known" if self.people else "published_prior", at.gaps.n))
        return {
            "anomaly": Explained(found["anomaly"], float(doubt.low[0]), float(doubt.high[0]), reasons),
            "anomaly_kind": Explained(found["anomaly_kind"], None, None, reasons),
        }

    def surprise(self, before: Gaps, gap: Gaps) -> tuple[float, float]:
        """Of one more gap: minus the logarithm of its density (a week) given those before, and the probability of a longer one."""
        joined = Gaps(*map(add, before, gap))
        density = self._pulse.evidence(joined) - self._pulse.evidence(before)
        return -density, self._pulse.longer(before, 1.0, max(gap.total - _HALF_DAY, 0.0))

    def pack(self) -> dict[str, Any]:
        return {"rhythm": self.rhythm.pack(), "people": self.people}


class RhythmFamily:
    """Whether a person is silent, or busy, beyond their own rhythm. The prior takes rates as published of CDNOW and all
    regularities for equally likely: with few gaps nothing stands out."""

    model_id = "rhythm"
    model_type = "gamma_gaps"
    case = Case.PERSON
    scores = _SCORES
    least = 100

    def prior(self) -> Model:
        odds = np.zeros(len(SHAPES) - 1)
        return OwnRhythm(rhythm=Rhythm.elsewhere(np.concatenate([CDNOW_BUYING[:2], odds])), people=0)

    def fit(self, examples: Examples, rng: np.random.Generator) -> Model:
        """By each person's newest case; rng is not needed. Raises ArrayInvalid."""
        people = newest(examples, ACTIVE)
        n, total = column(people, "active_days") - 1.0, column(people, "active_span") / DAYS_A_WEEK
        if not (n > 0.0).any():
            raise ArrayInvalid("active_days", "is above 1 for nobody", "wait for people to come back, or import the past")
        logs = column(people, "active_log_gaps") - n * _LOG_WEEK
        return OwnRhythm(rhythm=fit_rhythm(n, total, logs), people=int((n > 0.0).sum()))

    def judge(self, model: Model, examples: Examples) -> Judged:
        """By each case's last gap given those before it: minus the logarithm of its density, against one exponential for all;
        false_alarms are those gaps that were called silent before they ended, 0.005 if all is well; auc_of_silence ranks by silence
        who was not active in the horizon. A last gap can be older than what judges, and so have taught; six parameters do not
        remember one. Raises TypeError for a model of another family."""
        if not isinstance(model, OwnRhythm):
            raise TypeError(f"{type(model).__name__} is no model of rhythm")
        rows, losses = np.flatnonzero(column(examples, "active_days") >= 3.0), np.zeros(len(examples))
        if not len(rows):
            return Judged(losses=losses, metrics={})
        asked = examples.taken(rows)
        people, last = _each(asked), column(asked, "active_pause") / DAYS_A_WEEK
        surprises, tails = np.array([_last_gap(model, features) for features in people], np.float64).T
        losses[rows] = surprises
        anomaly = np.array([number(model.predict(features), "anomaly") for features in people], np.float64)
        return Judged(
            losses=losses,
            metrics={
                "log_loss": float(surprises.mean()),
                "false_alarms": float((tails < (1.0 - _RARE) / 2.0).mean()),
                "auc_of_silence": auc((asked.outcomes["active_days"] == 0.0).astype(np.float64), anomaly),
            },
            base={"log_loss": float(1.0 + np.log(last.mean())), "auc_of_silence": 0.5},
        )

    def unpack(self, packed: Mapping[str, Any]) -> Model:
        return OwnRhythm(rhythm=restored(Rhythm, packed, "rhythm", 1 + len(SHAPES)), people=int(packed.get("people", 0)))


FAMILY = RhythmFamily()


def _moment(features: Features) -> _Moment | None:
    who = acted(features, ACTIVE)
    if who is None:
        return None
    span = features.get("active_burst")
    gaps = Gaps(who.x, who.t_x, number(features, "active_log_gaps") - who.x * _LOG_WEEK)
    if not isinstance(span, float):
        return _Moment(gaps, who.age - who.t_x, None)
    logs = number(features, "active_burst_log_gaps") - BURST * _LOG_WEEK
    return _Moment(gaps, who.age - who.t_x, Gaps(float(BURST), span / DAYS_A_WEEK, logs))


def _side(at: _Moment) -> Anomaly:
    """A burst where the last gaps and the time since are shorter than as many of before, a silence otherwise."""
    gaps, burst = at.gaps, at.burst
    if burst is None or gaps.n <= burst.n:
        return Anomaly.SILENT
    return (
        Anomaly.BURST if (burst.total + at.silence) * (gaps.n - burst.n) < burst.n * (gaps.total - burst.total) else Anomaly.SILENT
    )


def _anomaly(pulse: Pulse, at: _Moment, kind: Anomaly) -> float:
    gaps, burst = at.gaps, at.burst
    if kind is Anomaly.BURST and burst is not None:
        before = Gaps(gaps.n - burst.n, gaps.total - burst.total, gaps.logs - burst.logs)
        chance = pulse.shorter(before, burst.n, burst.total + at.silence + _HALF_DAY)
    else:
        chance = pulse.longer(gaps, 1.0, max(at.silence - _HALF_DAY, 0.0))
    return max(1.0 - 2.0 * chance, 0.0)


def _last_gap(model: OwnRhythm, features: Features) -> tuple[float, float]:
    """What the last gap was taken for, of somebody with one."""
    at, pause = _moment(features), number(features, "active_pause")
    if at is None or pause <= 0.0:
        raise ArrayInvalid("active_pause", "is missing where there are two active days", "take features of profiles")
    gap = Gaps(1.0, pause / DAYS_A_WEEK, math.log(pause / DAYS_A_WEEK))
    return model.surprise(Gaps(*map(sub, at.gaps, gap)), gap)


def _each(examples: Examples) -> list[Features]:
    names = [name for name in examples.table if name.startswith(ACTIVE)]
    return [dict(zip(names, values, strict=True)) for values in zip(*(examples.table[name] for name in names), strict=True)]
