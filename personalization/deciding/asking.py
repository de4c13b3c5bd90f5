"""From a request to the question it asks: whose it is, under which id, by which random seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from personalization.deciding.planning import Plan
from personalization.deciding.question import Question
from personalization.deciding.strategies import Capabilities
from personalization.messages import PersonalizationRequest
from personalization.models.prices import NO_PRICES, Pricing
from personalization.profile import Consent, PersonalizationProfile
from personalization.template import ANY_LOCALE, Template, Variant
from personalization.tenant import DEFAULT_SEND_WINDOW, TenantConfig
from personalization.vocabulary import Category


def question_of(
    request: PersonalizationRequest,
    *,
    level: str,
    capabilities: Capabilities,
    config: TenantConfig,
    now: int,
    salt: bytes,
    new_id: Callable[[], str],
    plan: Plan,
    snapshot_id: int,
    user_ref: bytes | None,
    profile: PersonalizationProfile | None,
    cache_hit: bool,
    pricing: Pricing = NO_PRICES,
) -> Question:
    """Without the user's reservations.

    salt   : the tenant's secret of assignments, so that nobody outside can foretell a draw
    new_id : makes the decision_id where neither the request nor its idempotency key names one
    """
    decision_id = request.decision_id or _from_key(salt, request.idempotency_key) or new_id()
    return Question(
        request=request,
        decision_id=decision_id,
        seed=blake2b(decision_id.encode(), key=salt, digest_size=16).digest(),
        now=now,
        config=config,
        level=level,
        capabilities=capabilities,
        plan=plan,
        model_id=plan.model_id,
        snapshot_id=snapshot_id,
        user_ref=user_ref,
        profile=profile,
        bucket=_bucket(salt, user_ref) if user_ref is not None and (config.holdout or config.holdout_no_send) else 1.0,
        values=_values(profile, request.context),
        cache_hit=cache_hit,
        pricing=pricing,
    )


def inline(request: PersonalizationRequest) -> Template:
    """The template without an id that the contents of a request are."""
    variants = request.variants or (Variant(variant_id="content", content={ANY_LOCALE: dict(request.content or {})}),)
    return Template(
        tenant_id=request.tenant_id,
        template_id="",
        version=0,
        name="inline",
        variants=variants,
        baseline_variant_id=variants[0].variant_id,
        category=request.category or Category.PROMOTIONAL,
    )


def nobody(tenant_id: str) -> PersonalizationProfile:
    """Who an erased person is to a decision: unknown, and not to be personalised for nor learned from."""
    return PersonalizationProfile(tenant_id=tenant_id, user_ref=b"", consent=Consent(personalization=False, learning=False))


def latest_slot(question: Question) -> int:
    """The latest time a slot of the send window may have."""
    window = question.request.send_window
    if window is None:
        return question.now + DEFAULT_SEND_WINDOW
    if window.latest is not None:
        return window.latest
    return max(question.now, window.earliest or question.now) + DEFAULT_SEND_WINDOW


def _values(profile: PersonalizationProfile | None, context: Mapping[str, Any]) -> dict[str, Any]:
    return {**context, "user": {**profile.traits, **profile.attributes} if profile else {}}


def _bucket(salt: bytes, user_ref: bytes) -> float:
    """The user's stable place in [0, 1)."""
    return int.from_bytes(blake2b(user_ref, key=salt, digest_size=8).digest(), "big") / 2**64


def _from_key(salt: bytes, key: str | None) -> str | None:
    return None if key is None else blake2b(b"idempotency:" + key.encode(), key=salt, digest_size=16).hexdigest()
