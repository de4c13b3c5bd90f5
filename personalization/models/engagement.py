"""What comes of the next send to a person: opened, clicked, converted, unsubscribed, and engaged with in any way.

One calibrated ridge logit an outcome (`models.tabular`), taught by the tenant's own sends. Only logits are chosen among, so that
all five scores of a person take microseconds (`models.lookup`). It reads the person alone: a live score is of no channel,
template or hour yet, and a column that is always missing when it counts would teach the others wrong weights. So a score is the
mean over what the policy sends, to whom and when, as it did in the log, at the level of the log's newest part.

Before anything was taught it says what the profile and the forecast of a decision say: Beta posterior means of the person's own
sends, from the shares in `models.features`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.special import betaincinv

from personalization.errors import ArrayInvalid, ArtifactRefused
from personalization.learning.classifying import METHODS, Fit, ridge
from personalization.learning.evaluation import Array
from personalization.learning.tables import Table
from personalization.models.base import Case, Examples, Explained, Features, Judged, Model
from personalization.models.features import ENGAGED, ENGAGED_PERSONAL, EXPECTED, PERSONAL
from personalization.models.figures import figures, losses_of
from personalization.models.tabular import Tabular, brought_up, taught

#: Score -> the outcome of a case that it is the probability of. The last is any of opened, clicked, converted, replied.
OUTCOMES: Mapping[str, str] = MappingProxyType(
    {
        "open": "opened",
        "click": "clicked",
        "convert": "converted",
        "unsubscribe": "unsubscribed",
        "engagement_prediction": "engaged",
    }
)
#: Rare outcomes want more held back than `classifying.METHODS` do; the first serves where there is nothing to choose by.
_LOGITS: Mapping[str, Fit] = {"logit 100": partial(ridge, penalty=100.0), "logit 10": METHODS["logit 10"]}
#: Share of the cases, the newest ones, at whose level the scores are: what a policy earns rises as it learns.
_NEWEST = 0.2
#: Columns of the models of rhythm and purchases: they say again what engagements of late and silence say, and each costs a
#: microsecond a prediction.
_OF_OTHERS = ("active_", "bought_span", "bought_age", "bought_pause")
_PRIOR, _LEAST = "prior", 100


@dataclass(frozen=True)
class EngagementFamily:
    model_id: str = "engagement"
    model_type: str = "calibrated_logit"
    case: Case = Case.SEND
    scores: tuple[str, ...] = tuple(OUTCOMES)
    least: int = _LEAST

    def prior(self) -> Model:
        return Believed()

    def fit(self, examples: Examples, rng: np.random.Generator) -> Engagement:
        """Raises ArrayInvalid."""
        newest = examples.taken(np.arange(int((1.0 - _NEWEST) * len(examples)), len(examples)))
        table = {name: values for name, values in examples.table.items() if not name.startswith(_OF_OTHERS)}
        found = taught(table, _outcomes(examples), rng, _LOGITS)
        return Engagement(brought_up(found, newest.table, _outcomes(newest)))

    def judge(self, model: Model, examples: Examples) -> Judged:
        """The loss of a case is the mean of its five log-losses; figures of the base rate are of the judged cases' own."""
        y = _outcomes(examples)
        p = model.many(examples.table) if isinstance(model, Engagement) else _one_by_one(model, examples)
        metrics: dict[str, float] = {}
        base: dict[str, float] = {}
        for score in OUTCOMES:
            metrics |= figures(score, y[score], p[score])
            base |= figures(score, y[score], np.full(len(examples), y[score].mean() if len(examples) else 0.0))
        losses = np.mean([losses_of(y[score], p[score]) for score in OUTCOMES], axis=0)
        return Judged(losses=losses, metrics=metrics, base=base, p=p, y=y)

    def unpack(self, packed: Mapping[str, Any]) -> Model:
        if packed.get("kind") == _PRIOR:
            return Believed()
        found = Tabular.unpack(packed)
        if tuple(found.classifiers) != self.scores:
            raise ArtifactRefused("its outcomes are other ones")
        return Engagement(found)


@dataclass(frozen=True, eq=False)
class Engagement:
    """A taught one. table: a classifier a score."""

    table: Tabular

    def predict(self, features: Features) -> dict[str, float]:
        return _coherent(self.table.one(features))

    def many(self, table: Table) -> dict[str, Array]:
        """(n,) a score: `predict` of every row."""
        p = self.table.many(table)
        return {**p, _ANY: np.max([p[score] for score in (*_GOOD, _ANY)], axis=0)}

    def explain(self, features: Features) -> Mapping[str, Explained]:
        found = self.table.explain(features)
        most = max((found[score] for score in (_ANY, *_GOOD)), key=lambda one: float(one.value or 0.0))
        return {**found, _ANY: most}

    def pack(self) -> dict[str, Any]:
        return self.table.pack()


@dataclass(frozen=True)
class Believed:
    """The prior: what a person's own sends say, few as they may be."""

    def predict(self, features: Features) -> dict[str, float]:
        return _coherent([_known(features, feature, share) for feature, share in _BELIEFS])

    def explain(self, features: Features) -> Mapping[str, Explained]:
        """95 % of each Beta posterior."""
        sends = max(_known(features, "sends", 0.0), 0.0)
        weights = [PERSONAL + sends] * len(EXPECTED) + [ENGAGED_PERSONAL + sends]
        return {
            score: Explained(p, *_beta_interval(p, n))
            for (score, p), n in zip(self.predict(features).items(), weights, strict=True)
        }

    def pack(self) -> dict[str, Any]:
        return {"kind": _PRIOR}


_GOOD, _ANY = ("open", "click", "convert"), "engagement_prediction"
#: Features that are a posterior mean already, and what is believed where they are unknown.
_BELIEFS = (*EXPECTED.items(), ("engagement_score", ENGAGED))


def _coherent(p: list[float]) -> dict[str, float]:
    """Who opens has engaged: the chance of any is never below that of one."""
    a, b, c, d, any_ = p
    return {"open": a, "click": b, "convert": c, "unsubscribe": d, _ANY: max(a, b, c, any_)}


def _known(features: Features, name: str, otherwise: float) -> float:
    value = features.get(name)
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else otherwise


def _beta_interval(p: float, n: float) -> tuple[float, float]:
    """95 % of Beta(p n, (1 - p) n)."""
    inside = min(max(p, 1e-9), 1.0 - 1e-9)
    low, high = betaincinv(inside * n, (1.0 - inside) * n, np.array([0.025, 0.975])).tolist()
    return min(low, p), max(high, p)


def _outcomes(examples: Examples) -> dict[str, Array]:
    """By score, in their order. Raises ArrayInvalid where one was not looked for."""
    found = dict(examples.outcomes)
    good = [found[name] for name in ("opened", "clicked", "converted", "replied") if name in found]
    if "engaged" not in found and good:
        found["engaged"] = np.max(good, axis=0)
    if absent := [outcome for outcome in OUTCOMES.values() if outcome not in found]:
        raise ArrayInvalid(absent[0], "is not among the outcomes", "give 1 where it came of the send and 0 where not")
    return {score: found[outcome] for score, outcome in OUTCOMES.items()}


def _one_by_one(model: Model, examples: Examples) -> dict[str, Array]:
    names = list(examples.table)
    rows = zip(*examples.table.values(), strict=True)
    found = [model.predict(dict(zip(names, row, strict=True))) for row in rows]
    return {score: np.array([float(one[score] or 0.0) for one in found]) for score in OUTCOMES}


FAMILY = EngagementFamily()
