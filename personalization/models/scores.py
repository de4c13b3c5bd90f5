"""What the served models say of one person now, in one document."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from personalization import telemetry
from personalization.clock import rfc3339
from personalization.learning.tables import Value
from personalization.models.base import Features, Model

log = logging.getLogger(__name__)

_failing = telemetry.MODELS.labels("failing")

#: model_id -> version (0: the prior), when it was trained (microseconds, None: never), and the model.
Serving = Mapping[str, tuple[int, int | None, Model]]

#: Always there, None where no model says.
CONTRACT = ("engagement_prediction", "churn_risk", "lifetime_value")
_MONEY = "lifetime_value"


def predictive_scores(models: Serving, features: Features, now: int) -> dict[str, Any]:
    """Every score by name, of the first model that has it; `as_of`, and the version of each model. Before a model of engagement
    serves, `engagement_prediction` is the share of sends that were engaged with (`engagement_score`)."""
    found: dict[str, Value] = {}
    for model_id, (_, _, model) in models.items():
        for name, value in _asked(model_id, model, features).items():
            found.setdefault(name, value)
    scores = {**dict.fromkeys(CONTRACT), CONTRACT[0]: features.get("engagement_score"), **found}
    return {
        **{name: _rounded(name, value) for name, value in scores.items()},
        "as_of": rfc3339(now),
        "models": {name: _version(version, trained_at) for name, (version, trained_at, _) in models.items()},
    }


def _asked(model_id: str, model: Model, features: Features) -> Mapping[str, Value]:
    """Nothing where it fails: a model that somebody brought must not take a profile away."""
    try:
        return model.predict(features)
    except Exception:
        _failing.inc()
        log.exception("the model %s says nothing", model_id)
        return {}


def _version(version: int, trained_at: int | None) -> dict[str, Any]:
    return {"version": version, "trained_at": None if trained_at is None else rfc3339(trained_at)}


def _rounded(name: str, value: Value) -> Value:
    return round(value, 2 if name == _MONEY else 4) if isinstance(value, float) else value
