"""Probabilities of yes-or-no outcomes of one person, from one table: a design that they share, and a classifier of each.

An interval is of what the cases do not tell: of a logit its posterior of the log-odds, carried to the calibrated probability; of
any other method Wilson's interval (1927) of the share that came true among cases of about that probability, predicted without
them. A reason is by how much a column moves the log-odds, before calibration: of a logit from where the mean of the cases that
taught stands, of any other method from where a person stands of whom it is not known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from scipy.special import expit, logit

from personalization.errors import ArrayInvalid, ArtifactRefused
from personalization.learning.calibration import Platt
from personalization.learning.classifying import Classifier, Fit, classifier
from personalization.learning.crossfit import folds_of
from personalization.learning.evaluation import Array
from personalization.learning.intervals import wilson
from personalization.learning.logit import Logit
from personalization.learning.shifting import shift, shifted
from personalization.learning.tables import Category, Encoder, Number, Table, Value, encoder
from personalization.models.base import Explained, Features
from personalization.models.lookup import Lookup

#: Reasons that are named, and how much (log-odds) is worth naming.
_REASONS, _SMALL = 5, 0.01
_Z = 1.959964
#: Groups of about equal probability, and cases in one at least.
_GROUPS, _GROUP = 15, 20


@dataclass(frozen=True, eq=False)
class Groups:
    """Cases of about equal probability, predicted without them. tops, cases, ones (groups,): the highest probability of each but
    the last, how many there are, how many came true."""

    tops: Array
    cases: Array
    ones: Array

    def interval(self, p: float) -> tuple[float, float]:
        """95 %, never without p."""
        k = int(np.searchsorted(self.tops, p))
        low, high = wilson(float(self.ones[k] / self.cases[k]), float(self.cases[k]))
        return min(low, p), max(high, p)

    def pack(self) -> dict[str, Array]:
        return {"tops": self.tops, "cases": self.cases, "ones": self.ones}


@dataclass(frozen=True, eq=False)
class Tabular:
    """typical (d,): the mean of the design over the cases that taught. groups: of the outcomes whose method has no posterior."""

    design: Encoder
    classifiers: Mapping[str, Classifier]
    typical: Array
    groups: Mapping[str, Groups]

    @cached_property
    def _lookup(self) -> Lookup | None:
        return Lookup.of(self.design, list(self.classifiers.values()))

    def one(self, features: Features) -> list[float]:
        """The probability of each outcome, in the order of the classifiers; microseconds where all of them are logits."""
        if self._lookup is not None:
            return self._lookup(features)
        return [float(p[0]) for p in self.many(_row(features, self.design.parts)).values()]

    def many(self, table: Table) -> dict[str, Array]:
        """(n,) each. What the table lacks, or holds in another type, counts as missing."""
        x = self.design.design(_fitting(table, self.design.parts))
        return {name: one.probabilities(x) for name, one in self.classifiers.items()}

    def explain(self, features: Features) -> dict[str, Explained]:
        row = _fitting(_row(features, self.design.parts), self.design.parts)
        return {name: self._explained(name, row) for name in self.classifiers}

    def _explained(self, name: str, row: Table) -> Explained:
        one, x = self.classifiers[name], self.design.design(row)
        p = float(one.probabilities(x)[0])
        if isinstance(one.model, Logit):
            return Explained(p, *_posterior(one, p, x), self._contributions(one.model, x[0]))
        return Explained(p, *self.groups[name].interval(p), self._without_each(one, row))

    def _contributions(self, model: Logit, x: Array) -> tuple[tuple[str, float], ...]:
        moved = np.zeros(sum(_widths(self.design.parts)))
        moved[list(self.design.kept)] = model.mode[1:] * (x - self.typical)
        return _most(zip(_names(self.design.parts), (moved[at].sum() for at in _places(self.design.parts)), strict=True))

    def _without_each(self, one: Classifier, row: Table) -> tuple[tuple[str, float], ...]:
        names = list(row)
        rows = {name: [*row[name], *(None if other == name else row[name][0] for other in names)] for name in names}
        z = logit(np.clip(one.model.probabilities(self.design.design(rows)), 1e-9, 1.0 - 1e-9))
        return _most(zip(names, z[0] - z[1:], strict=True))

    def pack(self) -> dict[str, Any]:
        return {
            "design": self.design.pack(),
            "classifiers": [[name, one.pack()] for name, one in self.classifiers.items()],
            "typical": self.typical,
            "groups": {name: one.pack() for name, one in self.groups.items()},
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Tabular:
        """Raises ArtifactRefused."""
        try:
            classifiers = {str(name): Classifier.unpack(one) for name, one in packed["classifiers"]}
            groups = {name: Groups(**one) for name, one in packed["groups"].items()}
            return cls(Encoder.unpack(packed["design"]), classifiers, np.asarray(packed["typical"], np.float64), groups)
        except (KeyError, TypeError, ValueError, AttributeError) as broken:
            raise ArtifactRefused(f"it is no model of a table ({type(broken).__name__})") from broken


def taught(table: Table, outcomes: Mapping[str, Array], rng: np.random.Generator, methods: Mapping[str, Fit]) -> Tabular:
    """A classifier an outcome; of equal outcomes equal ones. Raises ArrayInvalid."""
    if not all(len(y) for y in outcomes.values()):
        raise ArrayInvalid("examples", "hold no case", "wait until there is something to learn from")
    design = encoder(table)
    x, seeds = design.design(table), rng.bit_generator.random_raw(2)
    found = {name: classifier(x, y, np.random.default_rng(seeds), methods) for name, y in outcomes.items()}
    groups = {
        name: _groups(x, outcomes[name], one, np.random.default_rng(seeds), methods)
        for name, one in found.items()
        if not isinstance(one.model, Logit)
    }
    return Tabular(design, found, x.mean(axis=0), groups)


def brought_up(model: Tabular, table: Table, outcomes: Mapping[str, Array]) -> Tabular:
    """The model at the level of these cases, the newest of those that taught it (`learning.shifting`)."""
    p = model.many(table)
    moved = {
        name: replace(one, calibration=shifted(one.calibration, shift(outcomes[name], p[name])))
        for name, one in model.classifiers.items()
    }
    return replace(model, classifiers=moved)


def _groups(x: Array, y: Array, served: Classifier, rng: np.random.Generator, methods: Mapping[str, Fit]) -> Groups:
    """Each half predicted by what the other half teaches."""
    halves, p = folds_of(len(y), 2, rng), np.empty(len(y))
    for half in (0, 1):
        mine = halves == half
        p[mine] = classifier(x[~mine], y[~mine], rng, {served.method: methods[served.method]}).probabilities(x[mine])
    parts = np.array_split(np.argsort(p, kind="stable"), max(min(_GROUPS, len(y) // _GROUP), 1))
    tops = np.array([p[part[-1]] for part in parts[:-1]])
    return Groups(tops, np.array([float(len(part)) for part in parts]), np.array([y[part].sum() for part in parts]))


def _posterior(one: Classifier, p: float, x: Array) -> tuple[float, float]:
    """A calibration that steepens the log-odds widens their interval too; one that flattens makes nobody surer."""
    assert isinstance(one.model, Logit)
    slope = max(one.calibration.slope, 1.0) if isinstance(one.calibration, Platt) else 1.0
    centre, half = float(logit(min(max(p, 1e-9), 1.0 - 1e-9))), _Z * slope * float(one.model.deviations(x)[0])
    return float(expit(centre - half)), float(expit(centre + half))


def _most(contributions: Iterator[tuple[str, Any]]) -> tuple[tuple[str, float], ...]:
    found = [(name, round(float(value), 6)) for name, value in contributions if abs(value) >= _SMALL]
    return tuple(sorted(found, key=lambda one: -abs(one[1]))[:_REASONS])


# -- features as a design wants them -----------------------------------------------------------------------------------

_Parts = Sequence[Number | Category]


def _row(features: Features, parts: _Parts) -> Table:
    return {part.name: [features.get(part.name)] for part in parts}


def _fitting(table: Table, parts: _Parts) -> Table:
    """The columns that the parts know, all of their type; with none at all a table as long."""
    rows = len(next(iter(table.values()), ()))
    found = {part.name: [_fit(value, part) for value in table.get(part.name, [None] * rows)] for part in parts}
    return found or {"": [None] * rows}


def _fit(value: Value, part: Number | Category) -> Value:
    if isinstance(part, Category):
        return value if value is None or isinstance(value, str) else str(value)
    return None if isinstance(value, str) or (value is not None and not math.isfinite(value)) else value


def _names(parts: _Parts) -> list[str]:
    return [part.name for part in parts]


def _widths(parts: _Parts) -> list[int]:
    return [len(part.columns([None])) for part in parts]


def _places(parts: _Parts) -> list[slice]:
    ends = list(accumulate(_widths(parts)))
    return [slice(end - width, end) for end, width in zip(ends, _widths(parts), strict=True)]
