"""Texts that people have marked: with their language, with how they feel. Read like the logs of lab.datasets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from personalization.lab.datasets import _rows

#: Of every hundred texts so many judge where the source has no split of its own.
_JUDGING = 20


@dataclass(frozen=True)
class Marked:
    """marks: one a text."""

    texts: tuple[str, ...]
    marks: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def taken(self, rows: Sequence[int]) -> Marked:
        return Marked(tuple(self.texts[i] for i in rows), tuple(self.marks[i] for i in rows))

    def apart(self, seed: int = 0) -> tuple[Marked, Marked]:
        """Four in five that teach, one in five that judge, drawn by the seed."""
        order = np.random.default_rng(seed).permutation(len(self)).tolist()
        judging = len(self) * _JUDGING // 100
        return self.taken(order[judging:]), self.taken(order[:judging])

    def __add__(self, other: Marked) -> Marked:
        return Marked(self.texts + other.texts, self.marks + other.marks)


NOTHING = Marked((), ())


def languages(folder: Path) -> dict[str, Marked]:
    """Kind (sentences, word-pairs, single-words) -> texts marked with their language, 75 of them (Leipzig Corpora Collection,
    Goldhahn, Eckart and Quasthoff 2012). Raises DataMissing."""
    rows = _rows(folder / "langid.csv.gz")
    kinds = dict.fromkeys(row["kind"] for row in rows)
    return {kind: _marked([(row["text"], row["lang"]) for row in rows if row["kind"] == kind]) for kind in kinds}


def _marked(pairs: Sequence[tuple[str, str]]) -> Marked:
    return Marked(tuple(text for text, _ in pairs), tuple(mark for _, mark in pairs))
