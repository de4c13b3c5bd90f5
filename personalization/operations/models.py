"""The models as the API shows them."""

from __future__ import annotations

from typing import Any

from personalization.errors import NotFound
from personalization.learning.policy import Policy
from personalization.models.registry import PolicyBook
from personalization.operations.paging import key_of, page


def listed(book: PolicyBook, tenant_id: str, limit: int, cursor: str | None) -> dict[str, Any]:
    after = key_of(cursor)
    found = [policy for policy in book.models(tenant_id) if policy.model_id > after][: limit + 1]
    return page([model_document(policy) for policy in found], found, limit, lambda policy: policy.model_id)


def found(book: PolicyBook, tenant_id: str, model_id: str) -> dict[str, Any]:
    """Raises NotFound for a model that has learned nothing yet."""
    for policy in book.models(tenant_id):
        if policy.model_id == model_id:
            return model_document(policy)
    raise NotFound("model")


def model_document(policy: Policy) -> dict[str, Any]:
    exposed = policy.counts.get("exposed", 0.0)
    return {
        "model_id": policy.model_id,
        "model_type": "contextual_bandit",
        "version": str(policy.snapshot_id),
        "status": "live",
        "performance_metrics": {
            "decisions": exposed,
            "reward_range": [policy.low, policy.top],
            "deviations": policy.deviations(),
            "repeats": {"penalty": policy.recovery.gamma, "half_life_days": policy.recovery.half_life},
            "losses": {"size": policy.burden.size, "by_load": list(policy.burden.rates)},
            "rates": {kind: n / exposed for kind, n in sorted(policy.counts.items()) if kind != "exposed" and exposed > 0},
        },
        "deployment_config": {"dimensions": policy.dimensions, "learned_weight": policy.weight},
    }
