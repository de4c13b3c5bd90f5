"""What the product reads in texts, taught and judged on texts that people have marked; and the models that it ships, built.

`python -m personalization.lab.words DATA` writes the artefacts of models.shipped from the folder's texts, the same bytes each
time. What judges a figure here never taught the model that it is of.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from personalization.lab.corpora import NOTHING, Marked, languages
from personalization.lab.reader import taught_reader
from personalization.lab.scores import Score
from personalization.learning.intervals import wilson
from personalization.models import language as language_model
from personalization.models import sentiment
from personalization.models.language import LanguageModel, fit
from personalization.models.shipped import FOLDER, kept

LANGUAGE, LANGUAGE_FILES = "language of a text", ("langid.csv.gz",)

Step = Callable[[int, int], None]


def language(folder: Path, step: Step) -> list[Score]:
    """Taught anew without one text in five of each kind, and judged by those. Raises DataMissing."""
    parts = {kind: marked.apart() for kind, marked in languages(folder).items()}
    held = {kind: judging for kind, (_, judging) in parts.items()}
    model = taught_language({kind: teaching for kind, (teaching, _) in parts.items()}, held["sentences"])
    step(1, 2)
    found = [_language_score(model, kind, marked) for kind, marked in held.items()]
    step(2, 2)
    return found


def taught_language(parts: Mapping[str, Marked], held: Marked = NOTHING) -> LanguageModel:
    """Of all kinds, but for pairs of words that stand in a sentence held to judge: they were cut from such sentences."""
    seen = {f"{mark}: {words}" for text, mark in zip(held.texts, held.marks, strict=True) for words in _neighbours(text)}
    rows = [row for marked in parts.values() for row in zip(marked.texts, marked.marks, strict=True)]
    kept = [(text, mark) for text, mark in rows if f"{mark}: {text.lower()}" not in seen]
    return fit([text for text, _ in kept], [mark for _, mark in kept])


def _neighbours(text: str) -> list[str]:
    words = text.lower().split()
    return [f"{one} {next_}" for one, next_ in pairwise(words)]


def _language_score(model: LanguageModel, kind: str, marked: Marked) -> Score:
    right = np.array(model.languages_of(marked.texts)) == np.array(marked.marks)
    low, high = wilson(float(right.mean()), len(right))
    base = max(map(marked.marks.count, set(marked.marks))) / len(marked)
    asked = kind == "sentences"
    return Score(
        task=LANGUAGE,
        metric=f"accuracy, {kind}, {len(marked)} held out",
        value=float(right.mean()),
        low=low,
        high=high,
        peer=0.980 if asked else None,
        base_rate=base,
        must=0.98 if asked else None,
    )


def build(folder: Path, into: Path = FOLDER) -> dict[str, int]:
    """Write the shipped models; name -> bytes. Raises DataMissing."""
    packed = {
        language_model.NAME: taught_language(languages(folder)).pack(),
        sentiment.NAME: taught_reader(folder).pack(),
    }
    return {name: kept(name, model, into) for name, model in packed.items()}


if __name__ == "__main__":
    sys.stdout.writelines(f"{name}.npz: {size:,} bytes\n" for name, size in build(Path(sys.argv[1])).items())
