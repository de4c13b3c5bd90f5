"""How well sentiment and emotion are read, on texts that did not teach what is judged.

The shipped reader's teachers are in lab.reader. Lines of XED are translated from one another, so a language close to a taught one
(Serbian, Croatian, Bosnian) is judged too kindly; English and Finnish were read apart. UMSAB's figure is of a model of its own,
beside the reader's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from personalization.lab.corpora import Felt, Marked, Rated, goemotions, hutto, umsab, xed, xed_files
from personalization.lab.reader import (
    BAD,
    FINE_PLAN,
    GOOD,
    GROUPS,
    READ_BY_PEOPLE,
    SEED,
    indicators,
    polarity,
    probabilities,
)
from personalization.lab.scores import Score
from personalization.learning.evaluation import Array
from personalization.learning.intervals import wilson
from personalization.learning.linear import Linear, Plan, fit
from personalization.learning.ngrams import Flags, counts
from personalization.models.sentiment import EMOTIONS, ENGLISH, FINE, LABELS, RECIPE, compounds, sentiment_reader

TWEETS, TWEETS_FILES = "tweets polarity", ("hutto_tweets.csv.gz",)
UMSAB, UMSAB_FILES = "UMSAB sentiment, 8 languages", ("umsab.csv.gz",)
XED, XED_FILES = "XED polarity and emotions", READ_BY_PEOPLE
GOEMOTIONS, GOEMOTIONS_FILES = "GoEmotions", ("goemotions_original.csv.gz",)
GROUPED = "GoEmotions in groups"

_SNIPPETS = ("tweets", "amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets")
_EKMAN = {
    "anger": "anger annoyance disapproval",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "joy": "joy amusement approval excitement gratitude love optimism relief pride admiration desire caring",
    "neutral": "neutral",
    "sadness": "sadness disappointment embarrassment grief remorse",
    "surprise": "surprise realization confusion curiosity",
}
_UMSAB = Plan(penalty=0.5, least=2)
#: A peer whose figure is told to three digits is matched from half a digit below.
_ROUNDED = 0.0005

Step = Callable[[int, int], None]


def tweets_polarity(folder: Path, step: Step) -> list[Score]:
    """Is the sign of the mean human judgement told? On the fifth of the tweets that did not teach, on all other snippets; the
    peer is VADER alone on the same."""
    found = []
    for at, name in enumerate(_SNIPPETS):
        if (folder / f"hutto_{name}.csv.gz").exists():
            rated = hutto(folder, name)
            found.append(_signs(name, rated.apart()[1] if name == "tweets" else rated))
        step(at + 1, len(_SNIPPETS))
    return found


def _signs(name: str, rated: Rated) -> Score:
    kept = rated.taken(np.flatnonzero(rated.means).tolist())
    up = kept.means > 0.0
    compound = compounds(kept.texts)
    p = sentiment_reader().polarities(kept.texts, [ENGLISH] * len(kept.texts))[:, 0]
    ours = share(TWEETS, f"accuracy of the sign, {name}", (p > 0.5) == up, _most(up))
    peer = float(((compound > 0.0) == up).mean())
    return _asked(ours, peer, 0.93 if name == "tweets" else None)


def umsab_sentiment(folder: Path, step: Step) -> list[Score]:
    """Official training part against the validation part (the test part is held back): macro-F1 of three classes."""
    teaching, judging = umsab(folder, "train"), umsab(folder, "val")
    texts, marks = ([x for one in teaching.values() for x in getattr(one, part)] for part in ("texts", "marks"))
    model = fit(
        counts(texts, RECIPE), np.eye(len(LABELS))[[LABELS.index(mark) for mark in marks]], _UMSAB, np.random.default_rng(SEED)
    )
    step(1, 2)
    own = {name: _f1_of(probabilities(model, one.texts), one) for name, one in judging.items()}
    codes = {"arabic": "ar", "english": "en", "french": "fr", "german": "de", "hindi": "hi", "italian": "it", "portuguese": "pt"}
    reader = sentiment_reader()
    shipped = {
        name: _f1_of(reader.probabilities(one.texts, [codes.get(name, "es")] * len(one))[0], one) for name, one in judging.items()
    }
    step(2, 2)
    asked = Score(
        task=UMSAB,
        metric="mean macro-F1, taught by UMSAB (not shipped)",
        value=_mean(own),
        peer=0.556,
        base_rate=1.0 / 6.0,
        must=0.55,
    )
    told = [
        Score(task=UMSAB, metric=f"macro-F1, {name}, the shipped reader", value=value, base_rate=1.0 / 6.0)
        for name, value in shipped.items()
    ]
    return [asked, Score(task=UMSAB, metric="mean macro-F1, the shipped reader", value=_mean(shipped), base_rate=1.0 / 6.0), *told]


def xed_feelings(folder: Path, step: Step) -> list[Score]:
    """The fifth of each file that did not teach."""
    names = xed_files(folder)
    found, told = [], {}
    peers = {"xed_en-annotated.csv.gz": 0.779, "xed_fi-annotated.csv.gz": 0.760}
    for at, name in enumerate(names):
        felt = xed(folder, name).apart()[1]
        right, up = _polar(felt)
        if name in peers:
            base = share(XED, f"accuracy of the polarity, {name[4:6]}", right, _most(up))
            found.append(_asked(base, peers[name], peers[name] - _ROUNDED))
        elif len(right) >= 100:
            told[name] = float(right.mean())
        step(at + 1, len(names))
    if told:
        low, high = min(told.values()), max(told.values())
        metric = f"accuracy of the polarity, mean of {len(told)} projected files ({low:.3f} to {high:.3f})"
        found.append(Score(task=XED, metric=metric, value=_mean(told), base_rate=0.56, must=0.60))
    return [*found, _eight(xed(folder, "xed_en-annotated.csv.gz").apart()[1])]


def _polar(felt: Felt) -> tuple[Flags, Flags]:
    signs = polarity(felt.feelings, GOOD, BAD)
    kept = np.flatnonzero(~np.isnan(signs)).tolist()
    up = signs[kept] == 1.0
    return (probabilities(sentiment_reader().every, felt.taken(kept).texts)[:, 0] > 0.5) == up, up


def _eight(felt: Felt) -> Score:
    model = sentiment_reader().every
    shown = probabilities(model, felt.texts) >= model.thresholds
    y = indicators(felt, len(EMOTIONS))
    value = macro_f1(y, shown[:, 2:])
    return Score(task=XED, metric="macro-F1 of 8 emotions, en", value=value, peer=0.440, base_rate=_always(y), must=0.440)


def goemotions_feelings(folder: Path, step: Step) -> list[Score]:
    """The shipped model on the official development part (the test part is held back)."""
    found = _groups(GOEMOTIONS, sentiment_reader().fine, {name: name for name in FINE}, goemotions(folder)[1], 0.476, 0.45)
    step(1, 1)
    return [found]


def goemotions_groups(folder: Path, step: Step) -> list[Score]:
    """Official training part against the development part, by models of the groups as the peers made them; they do not ship."""
    (teaching, judging), found = goemotions(folder), []
    x, rng = counts(teaching.texts, RECIPE), np.random.default_rng(SEED)
    for at, (groups, peer, must) in enumerate(((_EKMAN, 0.587, 0.57), (GROUPS, 0.658, 0.64))):
        model = fit(x, _grouped(teaching, groups), FINE_PLAN, rng)
        found.append(_groups(GROUPED, model, groups, judging, peer, must))
        step(at + 1, 2)
    return found


def _groups(task: str, model: Linear, groups: Mapping[str, str], felt: Felt, peer: float, must: float) -> Score:
    y = _grouped(felt, groups)
    value = macro_f1(y, probabilities(model, felt.texts) >= model.thresholds)
    metric = f"macro-F1 of {len(groups)}"
    return Score(task=task, metric=metric, value=value, peer=peer, base_rate=_always(y), must=must)


def _grouped(felt: Felt, groups: Mapping[str, str]) -> Array:
    """(n, groups) whether any feeling of the group was seen."""
    one = indicators(felt, len(FINE))
    return np.stack([one[:, list(map(FINE.index, names.split()))].max(axis=1) for names in groups.values()], axis=1)


def macro_f1(y: Array, shown: Array | Flags) -> float:
    """y, shown : (n, k) 0 or 1. The mean over k; 0 for what is neither there nor shown."""
    hits = (y * shown).sum(axis=0)
    return float(np.mean(2.0 * hits / np.maximum(y.sum(axis=0) + shown.sum(axis=0), 1.0)))


def share(task: str, metric: str, right: Flags, base_rate: float) -> Score:
    low, high = wilson(float(right.mean()), len(right))
    return Score(
        task=task, metric=f"{metric}, {len(right)} held out", value=float(right.mean()), low=low, high=high, base_rate=base_rate
    )


def _asked(score: Score, peer: float, must: float | None) -> Score:
    return replace(score, peer=peer, must=must)


def _f1_of(p: Array, marked: Marked) -> float:
    classes = np.eye(len(LABELS))
    return macro_f1(classes[[LABELS.index(mark) for mark in marked.marks]], classes[p.argmax(axis=1)])


def _always(y: Array) -> float:
    """Macro-F1 of whoever says yes to everything."""
    return macro_f1(y, np.ones_like(y))


def _most(up: Flags) -> float:
    return float(max(up.mean(), 1.0 - up.mean()))


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)
