"""Texts as bags of hashed n-grams, a whole batch at a time.

Every n-gram is a window of the text's code points c. With prefix sums of the polynomial hash (Karp and Rabin 1987),

    H_j = sum over i < j of c_i B^i  (mod 2^64),     hash of [s, e) = (H_e - H_s) B^-s,

any window costs two look-ups, B being odd and so invertible. The hash's upper bits are its slot (Fibonacci hashing, Knuth 6.4).
Nothing here depends on the other texts of the batch. Cost: some 20 ns a window.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from personalization.learning.evaluation import IntArray

Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]
#: Where windows start, and where they end.
Spans = tuple[IntArray, IntArray]

#: Of a text only its first characters count.
CHARACTERS = 4_000
#: Code points hashed at a time, a text at least.
_AT_ONCE = 16_000
_BASE, _GOLDEN = 0x9E3779B97F4A7C55, 0x9E3779B97F4A7C15
_SPACE = 0x20
#: A run of so many words is of another kind than the same characters inside a word.
_WORD = 100
#: Links and names of accounts say nothing; digits are all alike.
_LINK = re.compile(r"(?:https?://|www\.)\S+|(?<!\w)@\w+")
_DIGIT = re.compile(r"\d")
#: Marks and pictures are words of their own. Letters, and the vowel signs that follow them in Indic scripts, are not touched.
_MARK = re.compile(
    r"([!-&(-/:-@\[-^`{-~¡-¿،؛؟۔।\u2010-\u2027\u2030-\u205e\u2600-\u27bf\u3000-\u303f\uff01-\uff0f\U0001f000-\U0001faff])"
)


@dataclass(frozen=True)
class Recipe:
    """Which windows count: characters of these lengths, inside a word (its bounding spaces belong to it) or also across, and runs
    of up to `words` words. bits: there are 2^bits slots."""

    characters: tuple[int, ...]
    words: int = 0
    across: bool = False
    bits: int = 20


class Windows(NamedTuple):
    """The n-grams of n texts. rows (m,): of which text. slots (m,): which n-gram."""

    n: int
    rows: IntArray
    slots: IntArray


def plain(text: str) -> str:
    """The text as its n-grams are taken: in small letters, words apart by one space, a space at either end."""
    kept = _LINK.sub(" ", text[:CHARACTERS].lower())
    words = _MARK.sub(r" \1 ", _DIGIT.sub("0", kept)).split()
    return f" {' '.join(words)} "


def windows(texts: Sequence[str], recipe: Recipe) -> Iterator[Windows]:
    """The batch in parts that fit the processor's cache."""
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(plain(text))
        size += len(part[-1])
        if size >= _AT_ONCE:
            yield _windows(part, recipe)
            part, size = [], 0
    if part:
        yield _windows(part, recipe)


def counts(texts: Sequence[str], recipe: Recipe) -> sparse.csr_array:
    """(n, 2^bits) how often each slot's n-grams are in each text, float32."""
    parts = [_counts(found, 1 << recipe.bits) for found in windows(texts, recipe)]
    return sparse.csr_array(sparse.vstack([sparse.csr_array((0, 1 << recipe.bits), dtype=np.float32), *parts], format="csr"))


def _counts(found: Windows, slots: int) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(found.rows), np.float32), (found.rows, found.slots)), shape=(found.n, slots))


def _windows(texts: Sequence[str], recipe: Recipe) -> Windows:
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    space = points == _SPACE
    spans = [_characters(rows, space, length, recipe.across) for length in recipe.characters]
    spans += [_words(rows, space, length) for length in range(1, recipe.words + 1)]
    hashed = _Hashed(points)
    kinds = (*recipe.characters, *(_WORD + length for length in range(1, recipe.words + 1)))
    slots = [hashed.slots(starts, ends, kind, recipe.bits) for (starts, ends), kind in zip(spans, kinds, strict=True)]
    return Windows(len(texts), np.concatenate([rows[starts] for starts, _ in spans]), np.concatenate(slots))


class _Hashed:
    """points : (m,). Prefix sums of their hash."""

    def __init__(self, points: npt.NDArray[np.uint32]) -> None:
        powers = _powers(_BASE, len(points))
        self._inverse = _powers(pow(_BASE, -1, 1 << 64), len(points))
        self._sums = np.zeros(len(points) + 1, np.uint64)
        np.cumsum(points * powers, out=self._sums[1:])

    def slots(self, starts: IntArray, ends: IntArray, kind: int, bits: int) -> IntArray:
        hashes = (self._sums[ends] - self._sums[starts]) * self._inverse[starts] + np.uint64(kind)
        return ((hashes * np.uint64(_GOLDEN)) >> np.uint64(64 - bits)).astype(np.int64)


def _powers(base: int, n: int) -> Hashes:
    steps = np.full(n, base, np.uint64)
    steps[:1] = 1
    return np.multiply.accumulate(steps)


def _characters(rows: IntArray, space: Flags, length: int, across: bool) -> Spans:
    starts = np.arange(max(len(rows) - length + 1, 0))
    kept = rows[starts] == rows[starts + length - 1]
    if length == 1:
        kept &= ~space
    elif not across:
        before = np.concatenate([[0], np.cumsum(space)])
        kept &= before[starts + length - 1] == before[starts + 1]
    return starts[kept], starts[kept] + length


def _words(rows: IntArray, space: Flags, length: int) -> Spans:
    starts, ends = np.flatnonzero(space[:-1] & ~space[1:]) + 1, np.flatnonzero(~space[:-1] & space[1:]) + 1
    starts, ends = starts[: max(len(starts) - length + 1, 0)], ends[length - 1 :]
    kept = rows[starts] == rows[ends - 1]
    return starts[kept], ends[kept]
