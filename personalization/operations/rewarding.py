"""Success metrics as documents, a tenant's and a template's, and which one a decision of the log is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any, NamedTuple

from personalization.clock import duration, length_of
from personalization.errors import Invalid
from personalization.reward import ByValue, OwnReward, RewardSpec, Weight
from personalization.storage.base import Storage
from personalization.vocabulary import Aggregation

#: Metrics of old versions that are kept at hand.
_KEPT = 4_096

#: A template and its version.
Versioned = tuple[str, int]


class Metric(NamedTuple):
    """How a decision is judged. currency: of the values that events carry."""

    reward: RewardSpec
    currency: str


#: Of a configuration version and a template version; None for a message without a template.
MetricOf = Callable[[int, Versioned | None], Metric]


def metrics(storage: Storage, tenant_id: str) -> MetricOf:
    """Versions are immutable, so each is read once. Raises NotFound for a configuration version that never was."""

    @lru_cache(maxsize=_KEPT)
    def metric_of(config_version: int, versioned: Versioned | None) -> Metric:
        config = storage.tenants.config(tenant_id, config_version)
        template = None if versioned is None else storage.templates.get(tenant_id, *versioned)
        return Metric(config.reward if template is None else template.rewarded(config.reward), config.currency)

    return metric_of


# -- documents -------------------------------------------------------------------------------------------------------


def reward_document(spec: RewardSpec) -> dict[str, Any]:
    return {
        "weights": {key: _weight_document(weight) for key, weight in spec.weights.items()},
        "wait_time": duration(spec.wait_time),
        "default": spec.default,
        "aggregation": spec.aggregation,
        "cost_weight": spec.cost_weight,
        "guardrails": dict(spec.guardrails),
    }


def reward_of(document: Mapping[str, Any]) -> RewardSpec:
    """What it leaves out has its default. Raises Invalid."""
    own = own_reward(document)
    plain = RewardSpec() if "weights" not in document else replace(RewardSpec(), weights={})
    return own.over(plain)


def own_reward(document: Mapping[str, Any]) -> OwnReward:
    """Raises Invalid."""
    wait_time, aggregation = document.get("wait_time"), document.get("aggregation")
    return OwnReward(
        weights={key: _weight(key, said) for key, said in (document.get("weights") or {}).items()},
        wait_time=None if wait_time is None else length_of(wait_time),
        default=_number(document.get("default")),
        aggregation=None if aggregation is None else Aggregation(aggregation),
        cost_weight=_number(document.get("cost_weight")),
        guardrails={event: _number(rate) for event, rate in (document.get("guardrails") or {}).items()},
    )


def own_reward_document(own: OwnReward | None) -> dict[str, Any] | None:
    """What was said, and no more."""
    if own is None:
        return None
    said: dict[str, Any] = {
        "weights": {key: _weight_document(weight) for key, weight in own.weights.items()} or None,
        "wait_time": None if own.wait_time is None else duration(own.wait_time),
        "default": own.default,
        "aggregation": own.aggregation,
        "cost_weight": own.cost_weight,
        "guardrails": dict(own.guardrails) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _number(said: float | None) -> float | None:
    return None if said is None else float(said)


def _weight(key: str, said: Any) -> Weight | None:
    if not isinstance(said, Mapping):
        return _number(said)
    if said.get("per_value") is None:
        raise Invalid.field(f"reward.weights.{key}.per_value", "is required, beside weight")
    return ByValue(per_value=float(said["per_value"]), weight=float(said.get("weight") or 0.0))


def _weight_document(weight: Weight | None) -> float | dict[str, float] | None:
    return asdict(weight) if isinstance(weight, ByValue) else weight
