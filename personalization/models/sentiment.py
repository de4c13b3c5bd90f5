"""How a text feels: sentiment in many languages, eight emotions (Plutchik 1980), and twenty-seven finer ones in English.

P(neutral) and P(positive | not neutral) come from one model of n-grams for all languages. In English its two logits are joined with
the compound score of VADER (Hutto and Gilbert 2014), whose rules know negation, intensity and emphasis:

    P = sigmoid(a c + b z + d),   c = compound for positive, |compound| for neutral

Where no text was marked neutral (most languages), a text is the more likely neutral the nearer it is to neither side:
P(neutral) = sigmoid(a |z_positive| + d). Every probability is calibrated on texts that did not teach it. Words that no teacher
wrote move nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from personalization.learning.evaluation import Array
from personalization.learning.linear import Linear, unpacked
from personalization.learning.ngrams import CHARACTERS, Recipe, windows
from personalization.models.language import language_model
from personalization.models.shipped import shipped

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

NAME, ENGLISH = "sentiment", "en"
RECIPE = Recipe(characters=(3, 4, 5), words=2, bits=21)
EMOTIONS = ("anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
#: Outcomes of the model for all languages.
HEADS = ("positive", "neutral", *EMOTIONS)
#: GoEmotions (Demszky et al. 2020), the outcomes of the English model; "neutral" is the last.
FINE = (
    *("admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire", "disappointment"),
    *("disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy", "love", "nervousness"),
    *("optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral"),
)
#: Languages in which texts marked neutral taught (AfriSenti, GoEmotions).
NEUTRAL_TAUGHT = frozenset({"am", "ar", "en", "ha", "ig", "pcm", "pt", "rw", "sw", "ts", "tw", "yo"})
LABELS = ("negative", "neutral", "positive")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """sentiment: P(positive) - P(negative), -1 to 1. label: the likeliest of LABELS. confidence: its probability.
    emotions: name -> probability that the text shows it; several may be likely, or none."""

    language: str
    sentiment: float
    label: str
    emotions: Mapping[str, float]
    confidence: float


@dataclass(frozen=True, eq=False)
class SentimentReader:
    """every: HEADS in all languages. fine: FINE in English. blend: (3, 3) rows a, b, d of positive and of neutral in
    English, and of neutral where none was taught."""

    every: Linear
    fine: Linear
    blend: Array

    def read(self, texts: Sequence[str], language: str | None = None) -> list[Reading]:
        """language: of all of them, ISO 639-1; told from each text when None. A text reads the same in every batch."""
        languages = language_model().languages_of(texts) if language is None else [language] * len(texts)
        p, emotions = self.probabilities(texts, languages)
        return [_reading(*row) for row in zip(languages, p.tolist(), emotions, strict=True)]

    def probabilities(self, texts: Sequence[str], languages: Sequence[str]) -> tuple[Array, list[dict[str, float]]]:
        """(n, 3) of LABELS, and emotions by name."""
        heads = self.polarities(texts, languages)
        english = _english(languages)
        emotions = [dict(zip(EMOTIONS, row, strict=True)) for row in heads[:, 2:].tolist()]
        for i, row in zip(english, self._fine([texts[i] for i in english]).tolist(), strict=True):
            emotions[i] |= dict(zip(FINE[:-1], row[:-1], strict=True))
        positive, neutral = heads[:, 0], heads[:, 1]
        return np.stack([(1.0 - neutral) * (1.0 - positive), neutral, (1.0 - neutral) * positive], axis=1), emotions

    def polarities(self, texts: Sequence[str], languages: Sequence[str]) -> Array:
        """(n, heads) probabilities of HEADS, the first two of English texts with VADER's word."""
        found = [(self.every.scores(part), self.every.probabilities(part)) for part in windows(texts, RECIPE)]
        if not found:
            return np.zeros((0, len(HEADS)))
        z, p = (np.concatenate(parts) for parts in zip(*found, strict=True))
        english = _english(languages)
        untaught = [i for i, language in enumerate(languages) if language not in NEUTRAL_TAUGHT]
        a, _, d = self.blend[2]
        p[untaught, 1] = expit(a * np.abs(z[untaught, 0]) + d)
        p[english, :2] = blended(self.blend, compounds([texts[i] for i in english]), z[english, :2])
        return np.asarray(p, np.float64)

    def _fine(self, texts: Sequence[str]) -> Array:
        return np.concatenate([np.zeros((0, len(FINE))), *map(self.fine.probabilities, windows(texts, RECIPE))])

    def pack(self) -> dict[str, Any]:
        return {"every": self.every.pack(), "fine": self.fine.pack(), "blend": self.blend}


def unpack(packed: Mapping[str, Any]) -> SentimentReader:
    return SentimentReader(unpacked(packed["every"]), unpacked(packed["fine"]), packed["blend"])


@cache
def sentiment_reader() -> SentimentReader:
    """The shipped one."""
    return unpack(shipped(NAME))


def compounds(texts: Sequence[str]) -> Array:
    """(n,) VADER's compound scores of English texts, -1 to 1."""
    rules = _vader()
    return np.array([rules.polarity_scores(text[:CHARACTERS])["compound"] for text in texts], np.float64)


def evidence(compound: Array, z: Array) -> tuple[Array, Array]:
    """(n, 2) each: what speaks for positive, and for neutral. z: (n, 2)."""
    return np.stack([compound, z[:, 0]], axis=1), np.stack([np.abs(compound), z[:, 1]], axis=1)


def blended(blend: Array, compound: Array, z: Array) -> Array:
    """(n, 2) P(positive | not neutral) and P(neutral)."""
    columns = [x[:, 0] * a + x[:, 1] * b + d for x, (a, b, d) in zip(evidence(compound, z), blend[:2].tolist(), strict=True)]
    return np.asarray(expit(np.stack(columns, axis=1)), np.float64)


@cache
def _vader() -> SentimentIntensityAnalyzer:
    """Imported when first asked: it reads its lexicon, and brings an HTTP client along that nobody uses."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def _english(languages: Sequence[str]) -> list[int]:
    return [i for i, language in enumerate(languages) if language == ENGLISH]


def _reading(language: str, p: Sequence[float], emotions: Mapping[str, float]) -> Reading:
    label = LABELS[max(range(len(LABELS)), key=p.__getitem__)]
    return Reading(language=language, sentiment=p[2] - p[0], label=label, emotions=emotions, confidence=max(p))
