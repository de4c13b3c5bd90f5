"""The policies of a tenant as the API shows them: what they learned, their snapshots, and what the log says of them."""

from __future__ import annotations

from typing import Any

from personalization.clock import Clock, rfc3339
from personalization.deciding.planning import model_of
from personalization.errors import NotFound
from personalization.learning.policy import Policy
from personalization.models.registry import PolicyBook
from personalization.operations.judging import judge
from personalization.operations.outcomes import Outcomes
from personalization.operations.paging import number_of, page
from personalization.storage.base import Storage

Document = dict[str, Any]

_FAR = 2**62


class Policies:
    """Raises NotFound for a policy that has learned nothing yet."""

    def __init__(self, tenant_id: str, storage: Storage, book: PolicyBook, outcomes: Outcomes, clock: Clock) -> None:
        self._tenant_id, self._storage, self._book, self._outcomes, self._clock = tenant_id, storage, book, outcomes, clock

    def names(self) -> list[str]:
        return [policy.model_id for policy in self._book.models(self._tenant_id)]

    def document(self, model_id: str) -> Document:
        for policy in self._book.models(self._tenant_id):
            if policy.model_id == model_id:
                return model_document(policy, self._outcomes)
        raise NotFound("model")

    def versions(self, model_id: str, limit: int, cursor: str | None) -> Document:
        """Its snapshots, the newest first; they are kept for 30 days."""
        told = self.document(model_id)
        before = number_of(cursor)
        found = self._storage.privacy.snapshots(self._tenant_id, model_id, _FAR if before is None else before, limit + 1)
        items = [
            {
                **told,
                "version": str(snapshot.snapshot_id),
                "status": "live" if str(snapshot.snapshot_id) == told["version"] else "retired",
                "performance_metrics": told["performance_metrics"] if str(snapshot.snapshot_id) == told["version"] else {},
                "created_at": rfc3339(snapshot.created_at),
                "lineage": {"source": "events", "log_seq": snapshot.seq},
            }
            for snapshot in found
        ]
        return page(items, found, limit, lambda snapshot: snapshot.snapshot_id)

    def evaluate(self, model_id: str) -> Document:
        """What its variants, each for all, and the policy as it was learned until half of the log would have earned on the other
        half, doubly robust. Raises SupportThin."""
        told = self.document(model_id)
        template_id = model_id.removeprefix(model_of(""))
        found = judge(self._storage, self._tenant_id, self._clock.now(), template_id)
        names = ("model_id", "model_type", "version", "status", "deployment_config", "performance_metrics")
        return {**{name: told[name] for name in names}, "off_policy": [judgement.document() for judgement in found]}


def model_document(policy: Policy, outcomes: Outcomes) -> dict[str, Any]:
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
            "guardrails": outcomes.guardrails(policy),
            "rates": {kind: n / exposed for kind, n in sorted(policy.counts.items()) if kind != "exposed" and exposed > 0},
        },
        "deployment_config": {"dimensions": policy.dimensions, "learned_weight": policy.weight},
    }
