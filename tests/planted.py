"""A small family of models over planted cases, for what is true of any family: a probability that rises with x."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from personalization.clock import DAY
from personalization.errors import ArtifactRefused
from personalization.learning.logit import Logit, logit
from personalization.learning.tables import Value
from personalization.models.base import Case, Examples, Explained, Features, Judged


@dataclass(frozen=True)
class PlantedModel:
    fitted: Logit

    def predict(self, features: Features) -> Mapping[str, Value]:
        return {"y": float(self.fitted.probabilities(_x([features.get("x")]))[0])}

    def explain(self, features: Features) -> Mapping[str, Explained]:
        low, high = self.fitted.interval(_x([features.get("x")]))
        return {"y": Explained(self.predict(features)["y"], float(low[0]), float(high[0]), (("x", float(self.fitted.mode[1])),))}

    def pack(self) -> dict[str, Any]:
        return self.fitted.pack()


class Planted:
    """Whether y happens, by x."""

    model_id, model_type, case, scores, least = "planted", "logit", Case.PERSON, ("y",), 100

    def prior(self) -> PlantedModel | None:
        return None

    def fit(self, examples: Examples, rng: np.random.Generator) -> PlantedModel:
        return PlantedModel(logit(_x(examples.table["x"]), examples.outcomes["y"]))

    def judge(self, model: Any, examples: Examples) -> Judged:
        y = examples.outcomes["y"]
        p = model.fitted.probabilities(_x(examples.table["x"]))
        losses = -np.log(np.where(y == 1.0, p, 1.0 - p))
        rate = float(y.mean())
        base = -(rate * np.log(rate) + (1.0 - rate) * np.log(1.0 - rate))
        return Judged(losses=losses, metrics={"log_loss": float(losses.mean())}, base={"log_loss": base}, p={"y": p}, y={"y": y})

    def unpack(self, packed: Mapping[str, Any]) -> PlantedModel:
        if set(packed) != {"mode", "root"}:
            raise ArtifactRefused("it is no planted model")
        return PlantedModel(Logit.unpack(packed))


def planted(n: int, start: int, *, slope: float = 1.5, seed: int = 0) -> Examples:
    """One case an hour from `start` on, each of a person of its own; known a day later."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return Examples(
        table={"x": list(x)},
        outcomes={"y": (rng.random(n) < 1.0 / (1.0 + np.exp(-slope * x))).astype(np.float64)},
        at=start + np.arange(n, dtype=np.int64) * (DAY // 24),
        people=np.arange(n),
        horizon=DAY,
    )


def _x(values: Any) -> Any:
    return np.array([[0.0 if value is None else float(value)] for value in values])
