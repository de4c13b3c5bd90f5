"""Columns of a table as a design matrix: numbers standardised and bent at their quantiles, categories one-hot.

A number x becomes x itself and its piecewise linear encoding (Gorishniy, Rubachev and Babenko 2022, "On embeddings for
numerical features in tabular deep learning", eq. 1): for each pair of neighbouring quantiles a < b of what was learned from

    clip((x - a) / (b - a), 0, 1)

so that a linear model can follow any curve. Numbers beyond those seen count as the nearest seen. Missing (None, NaN, an
infinity, a blank text) takes the mean and an indicator of its own; a category not seen before is all zero; what does not vary
is dropped. Values are all numbers (booleans are 0 and 1) or all text in a column; anything else is ArrayInvalid.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from personalization.errors import ArrayInvalid
from personalization.learning.calibration import auc
from personalization.learning.crossfit import folds_of
from personalization.learning.evaluation import Array, IntArray

BoolArray = npt.NDArray[np.bool_]
Value = float | str | None
Table = Mapping[str, Sequence[Value]]

#: Quantiles a number is bent at, and categories of a column that get an indicator (the most frequent ones).
_PIECES, _MOST = 8, 50
#: A single feature that ranks people better than this (AUC) most likely knows the outcome.
LEAK = 0.95
_LEAK_BINS = 20


@dataclass(frozen=True)
class Number:
    """mean: of the values that were there. knots: their distinct quantiles, ascending."""

    name: str
    mean: float
    knots: tuple[float, ...]

    def columns(self, values: Sequence[Value]) -> list[Array]:
        x = numbers_of(self.name, values)
        missing = np.isnan(x)
        x = np.clip(np.where(missing, self.mean, x), self.knots[0], self.knots[-1])
        pieces = [np.clip((x - a) / (b - a), 0.0, 1.0) for a, b in zip(self.knots, self.knots[1:], strict=False)]
        return [x, *(pieces if len(pieces) > 1 else []), missing.astype(np.float64)]

    @property
    def bends(self) -> list[bool]:
        """Of each of `columns` whether it only bends the line."""
        pieces = len(self.knots) - 1
        return [False, *([True] * pieces if pieces > 1 else []), False]


@dataclass(frozen=True)
class Category:
    name: str
    values: tuple[str, ...]

    def columns(self, values: Sequence[Value]) -> list[Array]:
        texts = texts_of(self.name, values)
        return [np.array([text == value for text in texts], np.float64) for value in ("", *self.values)]

    @property
    def bends(self) -> list[bool]:
        return [False] * (1 + len(self.values))


@dataclass(frozen=True)
class Encoder:
    """What a design was learned from. kept: the columns that varied; centres, scales: of each of those."""

    parts: tuple[Number | Category, ...]
    kept: tuple[int, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]

    def design(self, table: Table) -> Array:
        """(n, d), without a constant column. Raises ArrayInvalid where a column is missing or of another type. O(n d)."""
        rows = rows_of(table)
        if absent := [part.name for part in self.parts if part.name not in table]:
            raise ArrayInvalid(absent[0], "is not in the table", "give every column that was learned from")
        columns = _columns(self.parts, table)
        x = np.stack([columns[i] for i in self.kept], axis=1) if self.kept else np.empty((rows, 0))
        return np.asarray((x - np.array(self.centres)) / np.array(self.scales), np.float64)

    @property
    def bent(self) -> BoolArray:
        """(d,) which columns of the design only bend a number's line; without them it is straight."""
        bends = [bend for part in self.parts for bend in part.bends]
        return np.array([bends[i] for i in self.kept], np.bool_)

    def pack(self) -> dict[str, Any]:
        """Plain data; `unpack` restores it to the bit."""
        numbers = [[i, p.name, p.mean, list(p.knots)] for i, p in enumerate(self.parts) if isinstance(p, Number)]
        categories = [[i, p.name, list(p.values)] for i, p in enumerate(self.parts) if isinstance(p, Category)]
        scaling = {"kept": list(self.kept), "centres": list(self.centres), "scales": list(self.scales)}
        return {"numbers": numbers, "categories": categories, **scaling}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Encoder:
        parts: dict[int, Number | Category] = {i: Number(name, mean, tuple(knots)) for i, name, mean, knots in packed["numbers"]}
        parts |= {i: Category(name, tuple(values)) for i, name, values in packed["categories"]}
        scaling = (tuple(packed[name]) for name in ("kept", "centres", "scales"))
        return cls(tuple(parts[i] for i in sorted(parts)), *scaling)


def encoder(table: Table) -> Encoder:
    """Learn a design from a table. Raises ArrayInvalid on unequal lengths and on columns that mix numbers and text."""
    rows = rows_of(table)
    parts = tuple(part for name, values in table.items() if (part := _part(name, values)) is not None)
    columns = _columns(parts, table) if rows else []
    kept = tuple(i for i, column in enumerate(columns) if np.ptp(column) > 0.0)
    scaled = [_scaling(columns[i]) for i in kept]
    return Encoder(parts, kept, tuple(centre for centre, _ in scaled), tuple(scale for _, scale in scaled))


def leaks(table: Table, outcomes: Array, rng: np.random.Generator, bound: float = LEAK) -> dict[str, float]:
    """Features that alone rank people with an AUC above `bound`, and that AUC: most likely they were written after the outcome.

    A feature's score is the rate of outcomes among the rows of its value (numbers: of their twentieth; missing is a value of its
    own) in the other half of the table, so that an identifier does not look like a leak. outcomes : (n,) 0 or 1.
    Raises ArrayInvalid.
    """
    if len(outcomes) < 2 or rows_of(table) != len(outcomes) or not np.isin(outcomes, (0.0, 1.0)).all():
        raise ArrayInvalid("outcomes", "are not 0 or 1, too few, or not as many as rows", "give one outcome a row, at least two")
    halves = folds_of(len(outcomes), 2, rng)
    found = {name: _alone(_labels(name, values), outcomes, halves) for name, values in table.items()}
    return {name: area for name, area in found.items() if area > bound}


def _part(name: str, values: Sequence[Value]) -> Number | Category | None:
    """None where every value is missing."""
    present = [value for value in values if not _missing(value)]
    if not present:
        return None
    if isinstance(present[0], str):
        counts = Counter(text for text in texts_of(name, values) if text)
        return Category(name, tuple(text for text, _ in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))[:_MOST]))
    x = numbers_of(name, values)
    x = x[~np.isnan(x)]
    knots = np.unique(np.quantile(x, np.linspace(0.0, 1.0, _PIECES + 1)))
    return Number(name, float(np.mean(x)), tuple(knots.tolist()))


def _columns(parts: Sequence[Number | Category], table: Table) -> list[Array]:
    return [column for part in parts for column in part.columns(table[part.name])]


def _scaling(column: Array) -> tuple[float, float]:
    """Centre and scale; indicators stay as they are, so that none of them set is all zero."""
    if set(np.unique(column)) <= {0.0, 1.0}:
        return 0.0, 1.0
    return float(column.mean()), float(column.std()) or 1.0


def rows_of(table: Table) -> int:
    """How many. Raises ArrayInvalid on no columns, unequal lengths and values of another type than `Value`."""
    lengths = {name: len(values) for name, values in table.items()}
    if not lengths:
        raise ArrayInvalid("table", "has no columns", "give at least one")
    rows = next(iter(lengths.values()))
    for name, length in lengths.items():
        if length != rows:
            raise ArrayInvalid(name, f"has {length} rows where others have {rows}", "give one value a person, None for unknown")
    for name, values in table.items():
        _check_kinds(name, values)
    return rows


def _check_kinds(name: str, values: Sequence[Value]) -> None:
    if kinds := {type(value) for value in values if not isinstance(value, (Real, np.bool_, str, NoneType))}:
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ArrayInvalid(name, f"holds values of type {found}", "give numbers or text, None for unknown; dates as days since")


def _missing(value: Value) -> bool:
    return value is None or (not value.strip() if isinstance(value, str) else not math.isfinite(value))


def numbers_of(name: str, values: Sequence[Value]) -> Array:
    """(n,), NaN where missing."""
    if wrong := next((value for value in values if isinstance(value, str) and value.strip()), None):
        raise ArrayInvalid(name, f"holds the text {wrong!r} among numbers", "give numbers only, None for unknown")
    x = [math.nan if value is None or isinstance(value, str) or _missing(value) else float(value) for value in values]
    return np.clip(np.array(x, np.float64), -1e100, 1e100)


def texts_of(name: str, values: Sequence[Value]) -> list[str]:
    """(n,), "" where missing."""
    wrong = next((value for value in values if not _missing(value) and not isinstance(value, str)), None)
    if wrong is not None:
        raise ArrayInvalid(name, f"holds the number {wrong!r} among text", "give text only, None for unknown")
    return ["" if _missing(value) else str(value) for value in values]


def _labels(name: str, values: Sequence[Value]) -> list[str]:
    part = _part(name, values)
    if part is None or isinstance(part, Category):
        return texts_of(name, values)
    x = numbers_of(name, values)
    edges = np.unique(np.nanquantile(x, np.linspace(0.0, 1.0, _LEAK_BINS + 1)[1:-1]))
    return [str(label) for label in np.where(np.isnan(x), -1, np.searchsorted(edges, x))]


def _alone(labels: Sequence[str], outcomes: Array, halves: IntArray) -> float:
    """AUC of the rates of the other half's rows of the same label, shrunk by one row at the overall rate."""
    _, codes = np.unique(np.array(labels), return_inverse=True)
    scores = np.empty(len(outcomes))
    for half in (0, 1):
        mine = halves == half
        rows = np.bincount(codes[~mine], minlength=codes.max() + 1)
        ones = np.bincount(codes[~mine], weights=outcomes[~mine], minlength=codes.max() + 1)
        scores[mine] = ((ones + outcomes.mean()) / (rows + 1.0))[codes[mine]]
    return auc(outcomes, scores)
