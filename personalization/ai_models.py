"""The AI models suite: what the architecture calls models, over the families and versions that serve.

`BaseAIModel` is what a host program programs against; its verbs are coroutines, as in the architecture's samples, and run off the
event loop where they take time. `BehavioralAnalysisModel` is any predictive family with one of its fitted models, `SentimentModel`
the shipped reader of texts.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from personalization.errors import Conflict
from personalization.learning.tables import Value
from personalization.models.base import Examples, Explained, Family, Features, Model
from personalization.models.sentiment import sentiment_reader
from personalization.version import VERSION

__all__ = ["BaseAIModel", "BehavioralAnalysisModel", "ModelPrediction", "SentimentModel"]

Document = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelPrediction:
    """One prediction. value: by score. latency_ms: of this call.

    confidence  : by score, 1 less the width of its 95 % interval (of a posterior or a calibration); None where it has none
    explanation : by score what made it, most first, in the model's own units
    """

    value: Mapping[str, Value]
    confidence: Mapping[str, float | None]
    explanation: Mapping[str, tuple[tuple[str, float], ...]]
    model_id: str
    model_version: str
    latency_ms: float


class BaseAIModel(ABC):
    """A model that can be taught, asked and judged. config: whatever its kind takes."""

    def __init__(self, model_id: str, model_type: str, config: Mapping[str, Any]) -> None:
        self.model_id, self.model_type, self.config = model_id, model_type, config

    @abstractmethod
    async def train(self, training_data: Any) -> Document:
        """Learn from these data; what came of it. Raises Invalid saying what to change."""

    @abstractmethod
    async def predict(self, features: Any) -> ModelPrediction: ...

    @abstractmethod
    async def evaluate(self, test_data: Any) -> Document:
        """Figures on data it has not seen, each beside that of the base rate."""


class BehavioralAnalysisModel(BaseAIModel):
    """A family of predictive models, with the one of its models that was taught last.

    config : `seed` (0 unless given). Takes `models.base.Examples` to learn and be judged, features by name to predict.
    """

    def __init__(
        self, family: Family, config: Mapping[str, Any] | None = None, model: Model | None = None, version: int = 0
    ) -> None:
        super().__init__(family.model_id, family.model_type, dict(config or {}))
        self._family, self._version = family, version
        self._model = family.prior() if model is None else model

    async def train(self, training_data: Examples) -> Document:
        rng = np.random.default_rng(self.config.get("seed", 0))
        self._model = await asyncio.to_thread(self._family.fit, training_data, rng)
        self._version += 1
        return {"model_id": self.model_id, "version": str(self._version), "cases": len(training_data)}

    async def predict(self, features: Features) -> ModelPrediction:
        began = perf_counter()
        found = self._taught().explain(features)
        return ModelPrediction(
            value={name: one.value for name, one in found.items()},
            confidence={name: _confidence(one) for name, one in found.items()},
            explanation={name: one.reasons for name, one in found.items()},
            model_id=self.model_id,
            model_version=str(self._version),
            latency_ms=(perf_counter() - began) * 1e3,
        )

    async def evaluate(self, test_data: Examples) -> Document:
        judged = await asyncio.to_thread(self._family.judge, self._taught(), test_data)
        return {"cases": len(test_data), "metrics": dict(judged.metrics), "base_rates": dict(judged.base)}

    def _taught(self) -> Model:
        """Raises Conflict."""
        if self._model is None:
            raise Conflict(f"{self.model_id} has no prior and was not taught yet: await train(examples) first.")
        return self._model


class SentimentModel(BaseAIModel):
    """The shipped reader of sentiment and emotion. It is taught where it is built, so `train` is refused.

    config : `language` of all texts, told from each unless given. Takes a text to predict, (text, label) pairs to be judged.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__("sentiment", "logistic regressions over n-grams, with VADER in English", dict(config or {}))

    async def train(self, training_data: Any) -> Document:
        raise Conflict("sentiment ships taught: build it anew from your texts with python -m personalization.lab.words DATA.")

    async def predict(self, features: str) -> ModelPrediction:
        began = perf_counter()
        (found,) = await asyncio.to_thread(sentiment_reader().read, [features], self.config.get("language"))
        return ModelPrediction(
            value={"sentiment": found.sentiment, "label": found.label, "language": found.language, **found.emotions},
            confidence={"label": found.confidence},
            explanation={},
            model_id=self.model_id,
            model_version=VERSION,
            latency_ms=(perf_counter() - began) * 1e3,
        )

    async def evaluate(self, test_data: Sequence[tuple[str, str]]) -> Document:
        texts, labels = zip(*test_data, strict=True)
        found = await asyncio.to_thread(sentiment_reader().read, texts, self.config.get("language"))
        right = sum(reading.label == label for reading, label in zip(found, labels, strict=True))
        base = max(map(labels.count, labels))
        return {
            "cases": len(labels),
            "metrics": {"accuracy": right / len(labels)},
            "base_rates": {"accuracy": base / len(labels)},
        }


def _confidence(found: Explained) -> float | None:
    """Of a probability; other scores have intervals without a unit in which they were narrow."""
    if found.low is None or found.high is None or not 0.0 <= found.low <= found.high <= 1.0:
        return None
    return 1.0 - (found.high - found.low)
