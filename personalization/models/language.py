"""In which language a text is: naive Bayes over its characters and words (learning.naive_bayes), 75 languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from personalization.learning.evaluation import Array, IntArray
from personalization.learning.naive_bayes import NaiveBayes, taught, unpacked
from personalization.learning.ngrams import Recipe, counts, windows
from personalization.models.shipped import shipped

NAME = "language"
#: ISO 639-2 for what has no language that is known: nothing, numbers, pictures.
UNDETERMINED = "und"
#: 2^21 slots hold some 500,000 known n-grams.
_RECIPE = Recipe(characters=(1, 2, 3, 4), words=1, across=True, bits=21)


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """languages: ISO 639-1, sorted."""

    languages: tuple[str, ...]
    bayes: NaiveBayes

    def languages_of(self, texts: Sequence[str]) -> list[str]:
        """A code a text, UNDETERMINED where it has no letter or nothing in it is known."""
        found = (code for part in windows(texts, _RECIPE) for code in self._codes(*self.bayes.scores(part)))
        return [code if any(map(str.isalpha, text)) else UNDETERMINED for text, code in zip(texts, found, strict=True)]

    def _codes(self, scores: Array, known: IntArray) -> list[str]:
        best = np.argmax(scores, axis=1).tolist()
        return [self.languages[i] if n else UNDETERMINED for i, n in zip(best, known.tolist(), strict=True)]

    def pack(self) -> dict[str, Any]:
        return {"languages": list(self.languages), "bayes": self.bayes.pack()}


def unpack(packed: Mapping[str, Any]) -> LanguageModel:
    return LanguageModel(tuple(packed["languages"]), unpacked(packed["bayes"]))


def fit(texts: Sequence[str], languages: Sequence[str]) -> LanguageModel:
    """Same texts, same model. Raises ArrayInvalid."""
    names = tuple(sorted(set(languages)))
    index = {name: i for i, name in enumerate(names)}
    labels: IntArray = np.array([index[one] for one in languages], np.int64)
    return LanguageModel(names, taught(counts(texts, _RECIPE), labels, len(names)))


@cache
def language_model() -> LanguageModel:
    """The shipped one."""
    return unpack(shipped(NAME))
