"""The suite as host programs see it: coroutines that train, predict and judge."""

from __future__ import annotations

import asyncio

import pytest

from personalization.ai_models import BaseAIModel, BehavioralAnalysisModel, SentimentModel
from personalization.errors import Conflict
from tests.conftest import NOW
from tests.planted import Planted, planted


def test_a_model_is_trained_asked_and_judged_by_coroutines() -> None:
    async def life() -> None:
        model: BaseAIModel = BehavioralAnalysisModel(Planted())
        with pytest.raises(Conflict, match=r"await train\(examples\)"):
            await model.predict({"x": 1.0})
        assert (await model.train(planted(1_000, NOW)))["cases"] == 1_000
        found = await model.predict({"x": 2.0})
        assert (found.model_id, found.model_version) == ("planted", "1")
        assert 0.9 < float(found.value["y"]) < 1.0  # type: ignore[arg-type]
        assert 0.9 < float(found.confidence["y"]) < 1.0  # type: ignore[arg-type]
        assert found.explanation["y"][0][0] == "x"
        assert found.latency_ms > 0.0
        judged = await model.evaluate(planted(1_000, NOW, seed=1))
        assert judged["metrics"]["log_loss"] < judged["base_rates"]["log_loss"]

    asyncio.run(life())


def test_fewer_examples_leave_less_confidence() -> None:
    async def confidence(n: int) -> float:
        model = BehavioralAnalysisModel(Planted(), {"seed": 1})
        await model.train(planted(n, NOW))
        found = (await model.predict({"x": 2.0})).confidence["y"]
        assert found is not None
        return found

    assert asyncio.run(confidence(50)) < asyncio.run(confidence(5_000))


def test_the_reader_of_texts_is_asked_and_judged_and_says_where_it_is_taught() -> None:
    async def life() -> None:
        model = SentimentModel({"language": "en"})
        found = await model.predict("I love it, thank you so much!")
        assert found.value["label"] == "positive"
        assert float(found.value["joy"]) > float(found.value["anger"])  # type: ignore[arg-type]
        assert 1.0 / 3.0 <= float(found.confidence["label"]) <= 1.0  # type: ignore[arg-type]
        pairs = [("I love it!", "positive"), ("I hate it!", "negative"), ("What an awful day", "negative")]
        assert (await model.evaluate(pairs))["metrics"]["accuracy"] > 2.0 / 3.0
        with pytest.raises(Conflict, match=r"lab\.words"):
            await model.train(pairs)

    asyncio.run(life())
