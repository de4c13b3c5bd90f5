"""What would make decisions better: a code and a sentence each, the most important first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from personalization.deciding.planning import Plan
from personalization.deciding.strategies import STRATEGIES, Capabilities, granted
from personalization.messages import PersonalizationRequest
from personalization.profile import PersonalizationProfile
from personalization.tenant import TenantConfig
from personalization.vocabulary import Category, Strategy

#: Of one answer, at most.
MOST = 5
#: From this share on, people who get nothing tell whether sending helps.
_TELLS_UPLIFT = 0.02

_PRICED = "service level quantum"
_LEARNS = "service level standard or higher"
_PERSONAL = "service level premium or higher"
_SYNCED = "service level enterprise or higher"

#: code -> sentence, in the order of importance.
SENTENCES: Mapping[str, str] = {
    "quality_below": "No variant reached min_quality_score, so the baseline was returned: fill variables, shorten or translate.",
    "guardrails_crossed": "Every variant is over one of its guardrails; the least harmful went out: write another one.",
    "lacks_neural_content": f"neural_content needs {_LEARNS}; it changed nothing here.",
    "lacks_behavioral_adaptive": f"behavioral_adaptive needs {_PERSONAL}; it changed nothing here.",
    "lacks_emotional_resonance": "emotional_resonance needs a model of emotions, which comes later; it changed nothing here.",
    "lacks_contextual_intelligence": f"contextual_intelligence needs {_LEARNS}; it changed nothing here.",
    "lacks_predictive_optimization": f"predictive_optimization needs {_LEARNS}; it changed nothing here.",
    "lacks_cross_channel_sync": f"cross_channel_sync needs {_SYNCED}; it changed nothing here.",
    "neural_content_chooses": "neural_content needs your words: it learns which declared features work and writes none.",
    "sync_needs_message": "cross_channel_sync needs a message_id and a user_id, so that one message can be told from another.",
    "anonymous": "Pass a user_id, so that preferences, consent and frequency caps can be kept.",
    "unknown_user": "Create a profile for this user, so that language, zone and behaviour count.",
    "budgets_need_prices": f"Budgets take {_PRICED}: at this one nothing steers towards them.",
    "no_engagement": "Send engagement events that cite the decision_id: none has come in for this message, so nothing is learned.",
    "no_exploration": "Set exploration above 0: without it nothing is tried, so nothing new can be learned.",
    "one_variant": "Add a second variant, so that there is something to learn.",
    "no_holdout": "Set a holdout (such as 0.05): without one the lift cannot be measured.",
    "no_timezone": "Set the profile's timezone, so that hours are the person's own.",
    "no_language": "Set the profile's language, so that the right words are chosen.",
    "no_traits": "Declare traits of this person (plan, country, …), so that what works for people like them counts.",
    "no_declared_features": "Declare features of the variants (such as tone), so that what is learned of one serves the others.",
    "no_send_holdout": "Set holdout_no_send to 0.02 or more, so that it can be told whether sending helps at all (uplift).",
}

_BITS = {code: 1 << place for place, code in enumerate(SENTENCES)}


def wish(code: str) -> int:
    """The bit by which that recommendation goes into a mask."""
    return _BITS[code]


@lru_cache(maxsize=4096)
def chosen(wishes: int) -> tuple[str, ...]:
    """The codes of a mask, the most important ones."""
    return tuple(code for code, bit in _BITS.items() if wishes & bit)[:MOST]


_QUALITY_BELOW, _UNKNOWN, _ANONYMOUS, _ONE_VARIANT = map(wish, ("quality_below", "unknown_user", "anonymous", "one_variant"))
_NO_ZONE, _NO_LANGUAGE, _NO_TRAITS = map(wish, ("no_timezone", "no_language", "no_traits"))
_NO_EXPLORATION, _NO_HOLDOUT, _NO_SEND_HOLDOUT = map(wish, ("no_exploration", "no_holdout", "no_send_holdout"))
_NO_DECLARED, _CHOOSES, _NEEDS_MESSAGE = map(wish, ("no_declared_features", "neural_content_chooses", "sync_needs_message"))
_NEED_PRICES = wish("budgets_need_prices")
NO_ENGAGEMENT, GUARDRAILS_CROSSED = wish("no_engagement"), wish("guardrails_crossed")


def wishes_of(
    profile: PersonalizationProfile | None,
    request: PersonalizationRequest,
    plan: Plan,
    config: TenantConfig,
    capabilities: Capabilities,
    quality_failed: bool,
) -> int:
    """What would make this decision better, as a mask."""
    wishes = _QUALITY_BELOW * quality_failed | _of_the_tenant(config, capabilities, plan.category)
    wishes |= _NEED_PRICES * (bool(config.budgets) and not capabilities.shadow_prices)
    if request.strategies:
        named = request.message_id is not None and request.user_id is not None
        wishes |= _of_strategies(capabilities, request.strategies, named)
    if profile is None or not profile.version:
        wishes |= _UNKNOWN if request.user_id else _ANONYMOUS
    else:
        wishes |= (
            _NO_ZONE * (profile.timezone is None) | _NO_LANGUAGE * (profile.language is None) | _NO_TRAITS * (not profile.traits)
        )
    if len(plan.variants) == 1:
        return wishes | _ONE_VARIANT
    return wishes | _NO_DECLARED * (capabilities.variant_policy and not plan.declares)


def _of_the_tenant(config: TenantConfig, capabilities: Capabilities, category: str) -> int:
    if not capabilities.variant_policy:
        return 0
    tried = _NO_EXPLORATION * (config.exploration == 0.0)
    if category == Category.TRANSACTIONAL:
        return tried
    measured = config.holdout > 0.0 or config.holdout_no_send > 0.0
    uplift = not capabilities.send_choice or config.holdout_no_send >= _TELLS_UPLIFT
    return tried | _NO_HOLDOUT * (not measured) | _NO_SEND_HOLDOUT * (not uplift)


@lru_cache(maxsize=1024)
def _of_strategies(capabilities: Capabilities, asked: tuple[str, ...], message: bool) -> int:
    """What strategies that were asked for by name are wanting. message: whether the request names a person's message"""
    can = granted(capabilities)
    held = {name for name, kit in STRATEGIES.items() if name in asked and kit.switches & can}
    lacking = sum(wish(f"lacks_{name}") for name in STRATEGIES if name in asked and name not in held)
    unnamed = Strategy.CROSS_CHANNEL_SYNC in held and not message
    return lacking | _CHOOSES * (Strategy.NEURAL_CONTENT in held) | _NEEDS_MESSAGE * unnamed
