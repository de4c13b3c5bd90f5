"""Multinomial naive Bayes over hashed n-grams, kept sparse.

    score_k = sum over known n-grams g of ln p(g | k),   p(g | k) = (c_gk + a) / (C_k + a G)

(McCallum and Nigam 1998), equal priors. Most n-grams are of few classes, so what is kept of g is only where c_gk > 0, as
ln((c_gk + a) / a) in 255 steps, and the floor ln(a / (C_k + a G)) once a class. N-grams of one teaching text are unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from personalization.errors import ArrayInvalid
from personalization.learning.evaluation import Array, IntArray
from personalization.learning.ngrams import Windows

#: a: of .003, .01, .03 the best on held-out sentences of 75 languages.
SMOOTHING = 0.01
_STEPS = 255
#: Texts that an n-gram must be in to be known.
_LEAST = 2
#: Classes of an n-gram beyond which it is one of many.
_FEW = 8


@dataclass(frozen=True, eq=False)
class NaiveBayes:
    """known : (slots,) whether a slot's n-grams are known    members : (known,) classes they were seen in, each
    classes, steps : (all members,) which class, and how much more than the floor, in 255ths of `top`
    floor : (classes,) of a known n-gram never seen in that class"""

    known: npt.NDArray[np.bool_]
    members: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.uint8]
    steps: npt.NDArray[np.uint8]
    top: float
    floor: npt.NDArray[np.float32]

    def scores(self, found: Windows) -> tuple[Array, IntArray]:
        """(n, classes) log-likelihoods of the known n-grams of n texts, and how many of them there were (n,). O(n-grams)."""
        kept = self.known[found.slots]
        rows, slots = found.rows[kept], found.slots[kept]
        known = np.bincount(rows, minlength=found.n)
        often = self._sizes[slots] > _FEW
        above = self._of_few(rows[~often], slots[~often], found.n) + self._of_many(rows[often], slots[often], found.n)
        return above + known[:, None] * self.floor, known

    def _of_few(self, rows: IntArray, slots: IntArray, n: int) -> Array:
        size, count = len(self.floor), self._sizes[slots]
        at = np.repeat(self._first[slots] - (np.cumsum(count) - count), count) + np.arange(count.sum())
        cells = np.repeat(rows * size, count) + self.classes[at]
        found = np.bincount(cells, weights=self._weights[self.steps[at]], minlength=n * size)
        return np.asarray(found, np.float64).reshape(n, size)

    def _of_many(self, rows: IntArray, slots: IntArray, n: int) -> Array:
        """N-grams of many classes are taken as rows of a matrix: five times as fast."""
        index, matrix = self._matrix
        taken = sparse.csr_array((np.ones(len(rows)), (rows, index[slots])), shape=(n, len(matrix)))
        return np.asarray(taken @ matrix)

    @cached_property
    def _matrix(self) -> tuple[npt.NDArray[np.int32], Array]:
        """(slots,) which row, and (rows, classes) of those with more than _FEW classes."""
        many = self._sizes > _FEW
        index = np.cumsum(many, dtype=np.int32) - 1
        matrix = np.zeros((int(many.sum()), len(self.floor)))
        at = np.repeat(many[self.known], self.members)
        matrix[np.repeat(index[many], self._sizes[many]), self.classes[at]] = self._weights[self.steps[at]]
        return index, matrix

    @cached_property
    def _sizes(self) -> npt.NDArray[np.int32]:
        """(slots,) classes that a slot's n-grams were seen in."""
        sizes = np.zeros(len(self.known), np.int32)
        sizes[self.known] = self.members
        return sizes

    @cached_property
    def _first(self) -> npt.NDArray[np.int32]:
        """(slots,) where they stand."""
        return np.cumsum(self._sizes, dtype=np.int32) - self._sizes

    @cached_property
    def _weights(self) -> Array:
        return np.arange(_STEPS + 1.0, dtype=np.float64) * (self.top / _STEPS)

    def pack(self) -> dict[str, Any]:
        return {
            "known": np.packbits(self.known),
            "members": self.members,
            "classes": self.classes,
            "steps": self.steps,
            "top": self.top,
            "floor": self.floor,
        }


def unpacked(packed: Mapping[str, Any]) -> NaiveBayes:
    return NaiveBayes(**{**packed, "known": np.unpackbits(packed["known"]).astype(bool)})


def taught(counts: sparse.csr_array, labels: IntArray, classes: int) -> NaiveBayes:
    """counts: (n, slots), a multiple of 8 of them. labels: (n,) from 0, below `classes`, at most 256. Raises ArrayInvalid."""
    if not len(labels) or counts.shape[0] != len(labels) or not 0 < classes <= 256:
        raise ArrayInvalid("labels", "are none, not as many as texts, or of too many classes", "give one of at most 256 a text")
    seen = _seen(counts, labels, classes)
    known = np.bincount(counts.indices, minlength=counts.shape[1]) >= _LEAST
    total = np.bincount(seen.indices, weights=seen.data, minlength=classes)
    members = np.diff(seen.indptr)
    kept = np.repeat(known, members)
    above = np.log1p(seen.data[kept] / SMOOTHING)
    top = float(above.max(initial=0.0)) or 1.0
    return NaiveBayes(
        known=known,
        members=members[known].astype(np.uint8),
        classes=seen.indices[kept].astype(np.uint8),
        steps=np.round(above * (_STEPS / top)).astype(np.uint8),
        top=top,
        floor=np.log(SMOOTHING / (total + SMOOTHING * known.sum())).astype(np.float32),
    )


def _seen(counts: sparse.csr_array, labels: IntArray, classes: int) -> sparse.csr_array:
    """(slots, classes) how often."""
    member = (np.ones(len(labels), np.float32), (labels, np.arange(len(labels))))
    of_class = sparse.csr_array(member, shape=(classes, len(labels)))
    seen = sparse.csr_array((of_class @ counts).T)
    seen.sort_indices()
    return seen
