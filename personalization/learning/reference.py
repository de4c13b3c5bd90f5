"""What a model was taught by, kept small: how each column's values were spread, so that newer rows can be held against it.

A number is cut at its deciles, each an actual value; a value that two deciles share gets a bin of its own, so that constants,
counts and 0 or 1 are told apart as well. Of a text the most frequent values stand alone, the others together. Missing (as in
`tables`) is a bin of its own. A column without any value taught nothing and is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from personalization.errors import ArrayInvalid
from personalization.learning.evaluation import IntArray
from personalization.learning.tables import Table, Value, numbers_of, rows_of, texts_of
from personalization.learning.worsening import Loss

_BINS = 10
#: Values of a text that stand alone: at most so many, each of at least so many rows (Cochran 1954); so nobody's own is kept.
_MOST, _LEAST_ROWS = 20, 5


@dataclass(frozen=True)
class Column:
    """b bins of a column and the rows in each: missing, then those the cuts make.

    cuts   : (b - 2,) of numbers the upper ends of all bins but the last, ascending; of text the values that stand alone
    counts : (b,) rows
    """

    name: str
    text: bool
    cuts: tuple[float | str, ...]
    counts: tuple[int, ...]

    def count(self, values: Sequence[Value]) -> IntArray:
        """(b,) newer rows by bin. Raises ArrayInvalid where they are of another type."""
        return _counts(self.name, self.text, self.cuts, values)

    def label(self, which: int) -> str:
        """A bin in words."""
        if which == 0:
            return "missing"
        if self.text:
            return repr(self.cuts[which - 1]) if which <= len(self.cuts) else "other values"
        ends = (-math.inf, *(float(cut) for cut in self.cuts), math.inf, math.inf)
        return _between(*ends[which - 1 : which + 2])


@dataclass(frozen=True)
class Reference:
    """loss : of the rows held out when the model was taught; None where none were."""

    columns: tuple[Column, ...]
    loss: Loss | None = None

    def pack(self) -> dict[str, Any]:
        """Plain data, fit for JSON; `unpack` restores it to the bit."""
        columns = [[c.name, c.text, list(c.cuts), list(c.counts)] for c in self.columns]
        return {"columns": columns, "loss": None if self.loss is None else list(astuple(self.loss))}

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Reference:
        columns = (Column(name, text, tuple(cuts), tuple(counts)) for name, text, cuts, counts in packed["columns"])
        return cls(tuple(columns), None if packed["loss"] is None else Loss(*packed["loss"]))


def reference(table: Table, loss: Loss | None = None) -> Reference:
    """table : the rows that taught, one a person    loss : `worsening.loss` of the rows held out

    Raises ArrayInvalid on no rows, unequal lengths and columns that mix numbers and text. O(n log n) a column.
    """
    if not rows_of(table):
        raise ArrayInvalid("table", "has no rows", "give the rows that taught the model")
    return Reference(tuple(column for name, values in table.items() if (column := _column(name, values)) is not None), loss)


def _column(name: str, values: Sequence[Value]) -> Column | None:
    text = any(isinstance(value, str) and value.strip() for value in values)
    cuts = _frequent(texts_of(name, values)) if text else _deciles(name, values)
    if not text and not cuts:
        return None
    return Column(name, text, cuts, tuple(_counts(name, text, cuts, values).tolist()))


def _frequent(texts: Sequence[str]) -> tuple[str, ...]:
    counts = Counter(text for text in texts if text)
    ordered = sorted(counts, key=lambda text: (-counts[text], text))
    return tuple(text for text in ordered[:_MOST] if counts[text] >= _LEAST_ROWS)


def _deciles(name: str, values: Sequence[Value]) -> tuple[float, ...]:
    """A value that is two deciles is cut off from below too: at the number next to it."""
    x = numbers_of(name, values)
    x = x[~np.isnan(x)]
    if not len(x):
        return ()
    deciles, times = np.unique(np.quantile(x, np.arange(1, _BINS) / _BINS, method="inverted_cdf"), return_counts=True)
    return tuple(np.union1d(deciles, np.nextafter(deciles[times > 1], -np.inf)).tolist())


def _counts(name: str, text: bool, cuts: Sequence[float | str], values: Sequence[Value]) -> IntArray:
    if text:
        places = {"": 0} | {value: place for place, value in enumerate(cuts, 1)}
        codes = np.array([places.get(value, len(cuts) + 1) for value in texts_of(name, values)], np.int64)
    else:
        x = numbers_of(name, values)
        codes = np.where(np.isnan(x), 0, np.searchsorted(np.array(cuts, np.float64), x) + 1)
    return np.bincount(codes, minlength=len(cuts) + 2)


def _between(low: float, high: float, following: float) -> str:
    """Numbers above low, up to high; next to each other they are one value, and the bin before that one ends below it."""
    least, most = (f"{round(end, 12) + 0.0:.4g}" for end in (low, high))
    if math.nextafter(low, math.inf) == high:
        return most
    until = f"below {most}" if math.nextafter(high, math.inf) == following else f"up to {most}"
    return f"above {least}" if high == math.inf else until if low == -math.inf else f"above {least}, {until}"
