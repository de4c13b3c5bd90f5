"""Texts that people have marked: with their language, with how they feel. Read like the logs of lab.datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from personalization.lab.datasets import _rows
from personalization.learning.evaluation import Array
from personalization.models.sentiment import LABELS

#: Of every hundred texts so many judge where the source has no split of its own.
_JUDGING = 20
#: Labels of XED, in the order of models.sentiment.EMOTIONS.
_EMOTIONS = tuple("12345678")


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
        teaching, judging = drawn_apart(len(self), seed)
        return self.taken(teaching), self.taken(judging)

    def __add__(self, other: Marked) -> Marked:
        return Marked(self.texts + other.texts, self.marks + other.marks)


def drawn_apart(n: int, seed: int) -> tuple[list[int], list[int]]:
    """Rows that teach, and rows that judge."""
    order = np.random.default_rng(seed).permutation(n).tolist()
    judging = n * _JUDGING // 100
    return order[judging:], order[:judging]


NOTHING = Marked((), ())


def languages(folder: Path) -> dict[str, Marked]:
    """Kind (sentences, word-pairs, single-words) -> texts marked with their language, 75 of them (Leipzig Corpora Collection,
    Goldhahn, Eckart and Quasthoff 2012). Raises DataMissing."""
    rows = _rows(folder / "langid.csv.gz")
    kinds = dict.fromkeys(row["kind"] for row in rows)
    return {kind: _marked([(row["text"], row["lang"]) for row in rows if row["kind"] == kind]) for kind in kinds}


def _marked(pairs: Sequence[tuple[str, str]]) -> Marked:
    return Marked(tuple(text for text, _ in pairs), tuple(mark for _, mark in pairs))


@dataclass(frozen=True)
class Felt:
    """feelings: indices of what people saw in each text."""

    texts: tuple[str, ...]
    feelings: tuple[frozenset[int], ...]

    def __len__(self) -> int:
        return len(self.texts)

    def taken(self, rows: Sequence[int]) -> Felt:
        return Felt(tuple(self.texts[i] for i in rows), tuple(self.feelings[i] for i in rows))

    def apart(self, seed: int = 0) -> tuple[Felt, Felt]:
        teaching, judging = drawn_apart(len(self), seed)
        return self.taken(teaching), self.taken(judging)

    def without(self, texts: Set[str]) -> Felt:
        return self.taken([i for i, text in enumerate(self.texts) if text not in texts])


def xed_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("xed_*.csv.gz"))


def xed(folder: Path, name: str) -> Felt:
    """Lines of film subtitles with eight emotions, 0 to 7 (Öhman et al. 2020, CC BY 4.0), in English and Finnish read by people, in
    others carried over from these. Rows whose labels are torn are left out. Raises DataMissing."""
    rows = [(row["text"], [mark.strip() for mark in row["labels"].split(",")]) for row in _rows(folder / name)]
    whole = [(text, marks) for text, marks in rows if all(mark in _EMOTIONS for mark in marks)]
    return Felt(tuple(text for text, _ in whole), tuple(frozenset(_EMOTIONS.index(mark) for mark in marks) for _, marks in whole))


def goemotions(folder: Path) -> tuple[Felt, Felt]:
    """Comments on Reddit with 28 feelings in the order of models.sentiment.FINE, several a text (Demszky et al. 2020,
    Apache-2.0): the official training and development parts. Raises DataMissing."""
    rows = _rows(folder / "goemotions_original.csv.gz")
    return _comments(rows, "train"), _comments(rows, "dev")


def _comments(rows: Sequence[Mapping[str, str]], split: str) -> Felt:
    kept = [row for row in rows if row["split"] == split]
    return Felt(tuple(row["text"] for row in kept), tuple(frozenset(map(int, row["labels"].split(","))) for row in kept))


def afrisenti(folder: Path, part: str) -> Marked:
    """Tweets in African languages, marked negative, neutral or positive (Muhammad et al. 2023, CC BY 4.0). part: train or dev."""
    rows = [row for path in sorted(folder.glob(f"afrisenti_*_{part}.csv.gz")) for row in _rows(path)]
    return _marked([(row["tweet"], row["label"]) for row in rows])


def umsab(folder: Path, split: str) -> dict[str, Marked]:
    """Language -> tweets marked negative, neutral or positive (Barbieri, Espinosa-Anke and Camacho-Collados 2022; the tweets' own
    terms). split: train or val. Raises DataMissing."""
    rows = [row for row in _rows(folder / "umsab.csv.gz") if row["split"] == split]
    found = dict.fromkeys(row["lang"] for row in rows)
    return {
        name: _marked([(row["text"], LABELS[int(row["label_0neg_1neu_2pos"])]) for row in rows if row["lang"] == name])
        for name in found
    }


@dataclass(frozen=True)
class Rated:
    """means: people's mean judgement of each text, -4 to 4."""

    texts: tuple[str, ...]
    means: Array

    def taken(self, rows: Sequence[int]) -> Rated:
        return Rated(tuple(self.texts[i] for i in rows), self.means[np.array(rows, np.int64)])

    def apart(self, seed: int = 0) -> tuple[Rated, Rated]:
        teaching, judging = drawn_apart(len(self.texts), seed)
        return self.taken(teaching), self.taken(judging)


def hutto(folder: Path, name: str) -> Rated:
    """English snippets (Hutto and Gilbert 2014, MIT). name: tweets, amazonReviewSnippets, … Raises DataMissing."""
    rows = _rows(folder / f"hutto_{name}.csv.gz")
    return Rated(tuple(row["text"] for row in rows), np.array([float(row["mean"]) for row in rows]))
