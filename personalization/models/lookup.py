"""Logits of one person's features in microseconds, without arrays.

`learning.tables` turns a number into columns that are linear between its knots, and a text into indicators; a logit adds them up
with weights. So all that a column of the table gives to the log-odds of an outcome is one piecewise linear function (a number), or
one figure a value (a text): these are worked out once, and a prediction is a look into each, the sum, and a calibration.
Equal to design, logit and calibration one after the other up to rounding.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from personalization.learning.calibration import Calibration, Isotonic
from personalization.learning.classifying import Classifier
from personalization.learning.evaluation import Array
from personalization.learning.logit import Logit
from personalization.learning.tables import Category, Encoder, Number, Value

#: What one column gives to the log-odds of each outcome, and by how much that rises a unit.
_Given = tuple[tuple[float, ...], tuple[float, ...]]
#: Beyond these log-odds `learning.calibration` tells no difference (probabilities 1e-9 from 0 and 1).
_MOST = math.log(1e9 - 1.0)


class _Line(NamedTuple):
    """least, most: of the knots, which ascend; starts: what is given at each; missing: what is given where nothing is known."""

    name: str
    least: float
    most: float
    knots: tuple[float, ...]
    starts: tuple[_Given, ...]
    missing: _Given


class _Values(NamedTuple):
    """What each text gives; "" is missing. unseen: what one gives that was not there."""

    name: str
    given: Mapping[str, _Given]
    unseen: _Given


class Lookup:
    """Of the logits of several outcomes over one design. Immutable, read from any thread."""

    def __init__(self, design: Encoder, logits: Sequence[Logit], calibrations: Sequence[Calibration]) -> None:
        weights, bias = _of_raw_columns(design, logits)
        self._bias: list[float] = bias.tolist()
        self._lines: list[_Line] = []
        self._values: list[_Values] = []
        at = 0
        for part in design.parts:
            width = len(part.columns([None]))
            self._add(part, weights[at : at + width])
            at += width
        self._calibrations = [_of_log_odds(one) for one in calibrations]

    @classmethod
    def of(cls, design: Encoder, classifiers: Sequence[Classifier]) -> Lookup | None:
        """None where one of them is no logit."""
        logits = [one.model for one in classifiers if isinstance(one.model, Logit)]
        return cls(design, logits, [one.calibration for one in classifiers]) if len(logits) == len(classifiers) else None

    def _add(self, part: Number | Category, weights: Array) -> None:
        """weights : (columns of the part, outcomes)"""
        level = (0.0,) * weights.shape[1]
        if not weights.any():
            return
        if isinstance(part, Category):
            given = [(tuple(row), level) for row in weights.tolist()]
            self._values.append(_Values(part.name, dict(zip(("", *part.values), given, strict=True)), (level, level)))
            return
        at = np.stack(part.columns([*part.knots, None]), axis=1) @ weights
        rises = np.diff(at[:-1], axis=0) / np.diff(part.knots)[:, None]
        starts = tuple(zip(map(tuple, at[:-1].tolist()), [*map(tuple, rises.tolist()), level], strict=True))
        missing = tuple(at[-1].tolist()), level
        self._lines.append(_Line(part.name, part.knots[0], part.knots[-1], part.knots, starts, missing))

    def log_odds(self, features: Mapping[str, Value]) -> list[float]:
        """Before calibration, of each outcome. What is not there, not finite or of another type counts as missing."""
        get, found = features.get, []
        for name, least, most, knots, starts, missing in self._lines:
            value = get(name)
            x = value if isinstance(value, float) else _number(value)
            if not least <= x < most:
                if not math.isfinite(x):
                    found.append((0.0, missing))
                    continue
                x = min(max(x, least), most)
            k = bisect_right(knots, x) - 1
            found.append((x - knots[k], starts[k]))
        for name, given, unseen in self._values:
            found.append((0.0, given.get(_text(get(name)), unseen)))
        return [bias + sum([at[i] + step * rise[i] for step, (at, rise) in found]) for i, bias in enumerate(self._bias)]

    def __call__(self, features: Mapping[str, Value]) -> list[float]:
        """Calibrated probabilities of each outcome."""
        return [calibrate(z) for calibrate, z in zip(self._calibrations, self.log_odds(features), strict=True)]


def _number(value: Value) -> float:
    """A text among numbers is as good as nothing."""
    return math.nan if value is None or isinstance(value, str) else float(value)


def _text(value: Value) -> str:
    """A blank one is missing, a number among texts is its text."""
    if isinstance(value, str):
        return value if value.strip() else ""
    return "" if value is None else str(value)


def _of_raw_columns(design: Encoder, logits: Sequence[Logit]) -> tuple[Array, Array]:
    """(columns before scaling, outcomes) and (outcomes,): the same logits, without centres and scales."""
    modes = np.stack([one.mode for one in logits], axis=1)
    kept = modes[1:] / np.array(design.scales)[:, None]
    weights = np.zeros((sum(len(part.columns([None])) for part in design.parts), len(logits)))
    weights[list(design.kept)] = kept
    return weights, modes[0] - np.array(design.centres) @ kept


def _of_log_odds(calibration: Calibration) -> Callable[[float], float]:
    if isinstance(calibration, Isotonic):
        at, values = calibration.at, calibration.values
        return lambda z: _interpolated(_sigmoid(z), at, values)
    slope, intercept = calibration.slope, calibration.intercept
    return lambda z: _sigmoid(slope * min(max(z, -_MOST), _MOST) + intercept)


def _sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z)) if z >= 0.0 else (grown := math.exp(max(z, -700.0))) / (1.0 + grown)


def _interpolated(p: float, at: tuple[float, ...], values: tuple[float, ...]) -> float:
    if p <= at[0]:
        return values[0]
    if p >= at[-1]:
        return values[-1]
    k = bisect_right(at, p)
    share = (p - at[k - 1]) / (at[k] - at[k - 1])
    return values[k - 1] + share * (values[k] - values[k - 1])
