"""What becomes of a template's messages, variant by variant, against its guardrails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict

from personalization.deciding.planning import model_of
from personalization.errors import NotFound
from personalization.learning.encoding import variant_acts
from personalization.learning.experience import EXPOSED, OTHERS
from personalization.learning.policy import Policy
from personalization.models.registry import PolicyBook
from personalization.operations.configuration import Configuration
from personalization.operations.rewarding import reward_document
from personalization.reward import RewardSpec
from personalization.storage.base import Storage
from personalization.template import Template

Document = dict[str, Any]

#: Standings that a model shows, since messages without a template may have any number of variants.
_MOST = 200


class Outcomes:
    """One tenant's templates, as far as the newest policies have seen what came of them."""

    def __init__(self, tenant_id: str, storage: Storage, book: PolicyBook, configuration: Configuration) -> None:
        self._tenant_id, self._templates, self._book = tenant_id, storage.templates, book
        self._configuration = configuration

    def template(self, template_id: str) -> Document:
        """Raises NotFound."""
        template = self._templates.get(self._tenant_id, template_id)
        if template is None:
            raise NotFound("template")
        policy = self._book.current(self._tenant_id, model_of(template_id))
        reward = template.rewarded(self._configuration.current().reward)
        return {
            "template_id": template_id,
            "template_version": template.version,
            "baseline_variant_id": template.baseline_variant_id,
            "model_id": policy.model_id,
            "model_version": str(policy.snapshot_id),
            "sends": round(policy.counts.get(EXPOSED, 0.0), 3),
            "reward": reward_document(reward),
            "variants": [_variant_document(name, key, policy, reward) for key, name in _names(template).items()],
        }

    def guardrails(self, policy: Policy) -> list[Document]:
        """Where the variants of any model stand against the guardrails in force, those over one first."""
        template = self._templates.get(self._tenant_id, template_of(policy.model_id) or "")
        tenants = self._configuration.current().reward
        reward = tenants if template is None else template.rewarded(tenants)
        names = {} if template is None else _names(template)
        found = [
            {"variant_id": names.get(key) or f"{key:08x}", **asdict(standing)}
            for key, standings in sorted(policy.standings(reward.limits).items())
            for standing in standings
            if key != OTHERS
        ]
        return sorted(found, key=lambda one: not one["over"])[:_MOST]


def template_of(model_id: str) -> str | None:
    """The template whose variants a model knows."""
    prefix = model_of("")
    return model_id.removeprefix(prefix) if model_id.startswith(prefix) else None


def _names(template: Template) -> Mapping[int, str]:
    return {variant_acts(variant.variant_id, ())[0]: variant.variant_id for variant in template.variants}


def _variant_document(variant_id: str, key: int, policy: Policy, reward: RewardSpec) -> Document:
    counts = policy.by_variant.get(key, {})
    sends = max(counts.get(EXPOSED, 0.0), 0.0)
    return {
        "variant_id": variant_id,
        "sends": round(sends, 3),
        "rates": {
            kind: round(min(max(n, 0.0) / sends, 1.0), 6) for kind, n in sorted(counts.items()) if kind != EXPOSED and sends > 0.0
        },
        "guardrails": [asdict(standing) for standing in policy.standings(reward.limits).get(key, ())],
    }
