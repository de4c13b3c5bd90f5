"""Templates as the engine keeps them: immutable versions of a message with alternative contents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from personalization.reward import OwnReward, RewardSpec
from personalization.vocabulary import Category

#: The locale a content has when nobody said which; it stands for the request's language.
ANY_LOCALE = "und"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """features: declared non-PII facts the policy may generalise over; content: locale -> part -> Liquid text."""

    variant_id: str
    content: Mapping[str, Mapping[str, str]]
    features: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Template:
    """One version of a template. `channels` empty means the tenant's; `reward` None means the tenant's too."""

    tenant_id: str
    template_id: str
    version: int
    name: str
    variants: tuple[Variant, ...]
    baseline_variant_id: str
    default_language: str = "en"
    category: str = Category.PROMOTIONAL
    channels: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: int = 0
    updated_at: int = 0
    reward: OwnReward | None = None

    def rewarded(self, tenants: RewardSpec) -> RewardSpec:
        """How its success is counted, where the tenant counts like this."""
        return tenants if self.reward is None else self.reward.over(tenants)
