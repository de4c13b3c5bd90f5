"""Who leaves, or any other yes-or-no outcome of people: a calibrated classifier of what is known of them (`learning.classifying`).

Taught by a table of a tenant's own (contracts that ended, answers that came), or by its log: `churned` is nothing at all within the
horizon by somebody who engaged in the one before. Which method serves is chosen on rows that it did not see. There is no prior:
who leaves differs so much between trades that a figure before any data would be a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from personalization.errors import ArrayInvalid, ArtifactRefused
from personalization.learning.classifying import METHODS
from personalization.learning.evaluation import Array, IntArray
from personalization.models.base import Case, Examples, Explained, Features, Judged, Model
from personalization.models.figures import figures, losses_of
from personalization.models.tabular import Tabular, taught

SCORE, OUTCOME = "churn", "churned"
_LEAST = 100


@dataclass(frozen=True)
class ChurnFamily:
    model_id: str = "churn"
    model_type: str = "calibrated_classifier"
    case: Case = Case.PERSON
    scores: tuple[str, ...] = (SCORE,)
    least: int = _LEAST

    def prior(self) -> None:
        return None

    def fit(self, examples: Examples, rng: np.random.Generator) -> Churn:
        """Raises ArrayInvalid."""
        asked = examples.taken(_asked(examples))
        return Churn(taught(asked.table, {SCORE: _outcome(asked)}, rng, METHODS))

    def judge(self, model: Model, examples: Examples) -> Judged:
        """Figures of the base rate are of the judged cases' own. A case that nothing can be said of loses nothing.

        Raises ArrayInvalid where nothing can be said of any.
        """
        if not isinstance(model, Churn):
            raise ArrayInvalid("model", "is none of this family", "give what `fit` or `unpack` made")
        rows = _asked(examples)
        if not len(rows):
            raise ArrayInvalid(
                "outcomes", "say of nobody whether they left", "wait until those who were active are a horizon older"
            )
        asked, losses = examples.taken(rows), np.zeros(len(examples))
        y, p = _outcome(asked), model.many(asked.table)
        losses[rows] = losses_of(y, p)
        base = figures(SCORE, y, np.full(len(y), y.mean()))
        return Judged(losses=losses, metrics=figures(SCORE, y, p), base=base, p={SCORE: p}, y={SCORE: y})

    def unpack(self, packed: Mapping[str, Any]) -> Churn:
        found = Tabular.unpack(packed)
        if tuple(found.classifiers) != self.scores:
            raise ArtifactRefused("its outcome is another one")
        return Churn(found)


@dataclass(frozen=True, eq=False)
class Churn:
    table: Tabular

    def predict(self, features: Features) -> dict[str, float]:
        return {SCORE: self.table.one(features)[0]}

    def many(self, table: Mapping[str, Any]) -> Array:
        """(n,): `predict` of every row."""
        return self.table.many(table)[SCORE]

    def explain(self, features: Features) -> Mapping[str, Explained]:
        return self.table.explain(features)

    def pack(self) -> dict[str, Any]:
        return self.table.pack()


def _asked(examples: Examples) -> IntArray:
    """The cases of which the outcome can be said at all: nobody leaves who was not there."""
    return np.flatnonzero(np.isfinite(_outcome(examples)))


def _outcome(examples: Examples) -> Array:
    """`churned`, or the only outcome there is. Raises ArrayInvalid."""
    found = examples.outcomes
    if OUTCOME not in found and len(found) != 1:
        raise ArrayInvalid("outcomes", f"are {len(found)}, none of them {OUTCOME!r}", f"give one, or name it {OUTCOME!r}")
    return found[OUTCOME] if OUTCOME in found else next(iter(found.values()))


FAMILY = ChurnFamily()
