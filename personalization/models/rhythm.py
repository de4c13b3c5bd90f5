"""Whether a person is silent, or busy, beyond their own rhythm (`learning.rhythm`).

    anomaly       0 to 1: 1 less twice the probability that someone of these gaps is silent for so long, or active that often,
                  by chance; twice, since there are two ways to stand out. Above 0.99 one steady gap in 200 is, on either side
    anomaly_kind  silent, burst, or none up to 0.99

A burst is four gaps between active days that, with the time since, take less than gaps of before would. Gaps are whole days, so
half a day is added or taken away (continuity). None of both for who was never active.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from personalization.errors import ArrayInvalid
from personalization.learning.laplace import LOG_ODDS
from personalization.learning.purchases import DAYS_A_WEEK
from personalization.learning.rhythm import SHAPES, Gaps, Pulse, Rhythm, fit_rhythm
from personalization.learning.tables import Value
from personalization.models.base import Case, Examples, Explained, Features, Judged, Model
from personalization.models.days import ACTIVE, BURST, acted, column, newest, number, some
from personalization.models.foresight import CDNOW_BUYING, judged, one, restored, weeks_of

SILENT, BUSY, NONE = "silent", "burst", "none"

_SCORES = ("anomaly", "anomaly_kind")
_RARE, _HALF_DAY, _LOG_WEEK = 0.99, 0.5 / DAYS_A_WEEK, float(np.log(DAYS_A_WEEK))
_NOTHING: Mapping[str, Value] = dict.fromkeys(_SCORES)
_UNKNOWN: Mapping[str, Explained] = dict.fromkeys(_SCORES, Explained(None, None, None))


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
        return {"anomaly": anomaly, "anomaly_kind": kind if anomaly > _RARE else NONE}

    def explain(self, features: Features) -> Mapping[str, Explained]:
        at = _moment(features)
        if at is None:
            return _UNKNOWN
        kind, found = _side(at), self.predict(features)
        doubt = one(lambda moved: _anomaly(Pulse.of(moved), at, kind), self.rhythm, link=LOG_ODDS)
        reasons = ((kind, float(doubt.value[0])), ("gaps_known" if self.people else "published_prior", at.gaps.n))
        return {
            "anomaly": Explained(found["anomaly"], float(doubt.low[0]), float(doubt.high[0]), reasons),
            "anomaly_kind": Explained(found["anomaly_kind"], None, None, reasons),
        }

    def again(self, features: Features, weeks: float) -> float:
        """Probability of an active day within so many weeks of who keeps their rhythm."""
        at = _moment(features)
        if at is None:
            return 0.0
        silent = self._pulse.longer(at.gaps, 1.0, at.silence)
        return 1.0 - self._pulse.longer(at.gaps, 1.0, at.silence + weeks) / silent if silent > 0.0 else 0.0

    def pack(self) -> dict[str, Any]:
        return {"rhythm": self.rhythm.pack(), "people": self.people}


class RhythmFamily:
    """The prior takes rates as published of CDNOW and all regularities for equally likely: with few gaps nothing stands out."""

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
        """By outcome active_days, of those who came back before: of who has stopped for good it knows nothing, and is the worse
        for them. Raises TypeError for a model of another family."""
        if not isinstance(model, OwnRhythm):
            raise TypeError(f"{type(model).__name__} is no model of rhythm")
        rows, weeks = examples.taken(some(examples, ACTIVE)), weeks_of(examples)
        p = np.array([model.again(features, weeks) for features in _each(rows)], np.float64)
        return judged(p, p, rows.outcomes["active_days"])

    def unpack(self, packed: Mapping[str, Any]) -> Model:
        return OwnRhythm(rhythm=restored(Rhythm, packed, "rhythm", 1 + len(SHAPES)), people=int(packed.get("people", 0)))


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


def _side(at: _Moment) -> str:
    """A burst where the last gaps and the time since are shorter than as many of before, a silence otherwise."""
    gaps, burst = at.gaps, at.burst
    if burst is None or gaps.n <= burst.n:
        return SILENT
    return BUSY if (burst.total + at.silence) * (gaps.n - burst.n) < burst.n * (gaps.total - burst.total) else SILENT


def _anomaly(pulse: Pulse, at: _Moment, kind: str) -> float:
    gaps, burst = at.gaps, at.burst
    if kind == BUSY and burst is not None:
        before = Gaps(gaps.n - burst.n, gaps.total - burst.total, gaps.logs - burst.logs)
        chance = pulse.shorter(before, burst.n, burst.total + at.silence + _HALF_DAY)
    else:
        chance = pulse.longer(gaps, 1.0, max(at.silence - _HALF_DAY, 0.0))
    return max(1.0 - 2.0 * chance, 0.0)


def _each(examples: Examples) -> list[Features]:
    names = [name for name in examples.table if name.startswith(ACTIVE)]
    return [dict(zip(names, values, strict=True)) for values in zip(*(examples.table[name] for name in names), strict=True)]
