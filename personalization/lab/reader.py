"""The shipped reader of sentiment and emotion, taught.

By four in five rows of each file of XED, by AfriSenti's and GoEmotions' training parts, and by four in five of Hutto's tweets (the
English blend); texts that judge, wherever else they stand, are left out. UMSAB's tweets may teach nothing that ships.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

import numpy as np
from scipy import sparse

from personalization.lab.corpora import Felt, Marked, Rated, afrisenti, goemotions, hutto, xed, xed_files
from personalization.learning.evaluation import Array
from personalization.learning.linear import Linear, Plan, fit, solved
from personalization.learning.ngrams import counts, windows
from personalization.models.sentiment import EMOTIONS, FINE, HEADS, RECIPE, SentimentReader, compounds, evidence

#: Lines that people read in their own language.
READ_BY_PEOPLE = ("xed_en-annotated.csv.gz", "xed_fi-annotated.csv.gz")
#: Which of EMOTIONS are good and which bad; surprise is either.
GOOD, BAD = frozenset({1, 4, 7}), frozenset({0, 2, 3, 5})
#: GoEmotions' own grouping of FINE.
GROUPS = {
    "positive": "admiration amusement approval caring desire excitement gratitude joy love optimism pride relief",
    "negative": "anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse sadness",
    "ambiguous": "confusion curiosity realization surprise",
    "neutral": "neutral",
}
FINE_PLAN = Plan(penalty=0.4, kept=70_000)
SEED = 1

_EVERY = Plan(penalty=0.5, kept=240_000)
#: What such a line counts for; carried over to another language its feelings are less sure.
_READ = 3.0
#: Means nearer to 0 than this are neutral.
_NEUTRAL = 0.5
_SIGNS = {"positive": 1.0, "negative": 0.0}


def taught_reader(folder: Path) -> SentimentReader:
    """Raises DataMissing."""
    texts, outcomes, shares = teaching_texts(folder)
    rng = np.random.default_rng(SEED)
    every = fit(counts(texts, RECIPE), outcomes, _EVERY, rng, shares)
    teaching = goemotions(folder)[0].without(set(goemotions(folder)[1].texts))
    fine = fit(counts(teaching.texts, RECIPE), indicators(teaching, len(FINE)), FINE_PLAN, rng)
    return SentimentReader(every, fine, _blend(every, hutto(folder, "tweets").apart()[0], teaching))


def teaching_texts(folder: Path) -> tuple[list[str], Array, Array]:
    """Texts, (n, HEADS) outcomes, NaN for what their source does not tell, and (n,) what each text counts for."""
    parts = {name: xed(folder, name).apart() for name in xed_files(folder)}
    judging = {text for _, judges in parts.values() for text in judges.texts} | set(goemotions(folder)[1].texts)
    judging |= set(afrisenti(folder, "dev").texts)
    lines = [_of_lines(teaching.without(judging)) for teaching, _ in parts.values()]
    found = [*lines, _of_comments(goemotions(folder)[0].without(judging)), _of_tweets(afrisenti(folder, "train"), judging)]
    shares = [_READ if name in READ_BY_PEOPLE else 1.0 for name in parts] + [1.0, 1.0]
    return (
        [text for texts, _ in found for text in texts],
        np.concatenate([outcomes for _, outcomes in found]),
        np.repeat(shares, [len(texts) for texts, _ in found]),
    )


def _of_lines(felt: Felt) -> tuple[Sequence[str], Array]:
    outcomes = np.full((len(felt), len(HEADS)), np.nan)
    outcomes[:, 0] = polarity(felt.feelings, GOOD, BAD)
    outcomes[:, 2:] = indicators(felt, len(EMOTIONS))
    return felt.texts, outcomes


def _of_comments(felt: Felt) -> tuple[Sequence[str], Array]:
    outcomes = np.full((len(felt), len(HEADS)), np.nan)
    outcomes[:, 1] = _neutral(felt)
    return felt.texts, outcomes


def _of_tweets(marked: Marked, judging: Set[str]) -> tuple[Sequence[str], Array]:
    kept = marked.taken([i for i, text in enumerate(marked.texts) if text not in judging])
    outcomes = np.full((len(kept), len(HEADS)), np.nan)
    outcomes[:, 0] = [_SIGNS.get(mark, np.nan) for mark in kept.marks]
    outcomes[:, 1] = [float(mark == "neutral") for mark in kept.marks]
    return kept.texts, outcomes


def polarity(feelings: Sequence[frozenset[int]], good: frozenset[int], bad: frozenset[int]) -> Array:
    """(n,) 1 where only good ones are felt, 0 where only bad ones, NaN where both or neither."""
    return np.array([float(bool(felt & good)) if bool(felt & good) != bool(felt & bad) else np.nan for felt in feelings])


def indicators(felt: Felt, size: int) -> Array:
    return np.array([[float(k in feelings) for k in range(size)] for feelings in felt.feelings])


def _blend(every: Linear, rated: Rated, felt: Felt) -> Array:
    """(3, 3), see SentimentReader. In English VADER's compound score and the model's logits speak together as they do in tweets;
    how far a neutral text lies from either side is learned from comments, which did not teach that side."""
    near, z = np.abs(rated.means) < _NEUTRAL, _logits(every, rated.texts)
    up = np.where(near, np.nan, (rated.means > 0.0).astype(float))
    for_positive, for_neutral = evidence(compounds(rated.texts), z)
    distance = np.abs(_logits(every, felt.texts)[:, :1])
    elsewhere = np.concatenate([distance, np.zeros_like(distance)], axis=1)
    rows = [(for_positive, up), (for_neutral, near.astype(float)), (elsewhere, _neutral(felt))]
    return np.array([_spoken(x, y) for x, y in rows])


def _neutral(felt: Felt) -> Array:
    good, bad, neutral = (frozenset(map(FINE.index, GROUPS[group].split())) for group in ("positive", "negative", "neutral"))
    return polarity(felt.feelings, neutral, good | bad)


def _spoken(x: Array, y: Array) -> list[float]:
    weights, constant = solved(sparse.csr_array(x.astype(np.float32)), y[:, None], Plan(), np.ones(len(y)))
    return [*map(float, weights[:, 0]), *map(float, constant)]


def _logits(model: Linear, texts: Sequence[str]) -> Array:
    return np.concatenate([model.scores(part) for part in windows(texts, RECIPE)])


def probabilities(model: Linear, texts: Sequence[str]) -> Array:
    return np.concatenate([model.probabilities(part) for part in windows(texts, RECIPE)])
