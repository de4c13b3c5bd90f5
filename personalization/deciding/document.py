"""The answer to a decision, made from its record alone, so that the first answer and a later look agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from personalization.clock import rfc3339, zone
from personalization.deciding.explanation import explanation, triple_document
from personalization.deciding.paths import PolicyOf, bits
from personalization.deciding.recommending import SENTENCES
from personalization.deciding.record import MILLE, Inputs, Outcome, PricedInputs, Record, Triple
from personalization.deciding.slots import slot_time
from personalization.vocabulary import Action, Suppression


def document(
    record: Record,
    *,
    decision_id: str,
    user_id: str | None,
    original: Mapping[str, str],
    personalized: Mapping[str, str] | None,
    policy_of: PolicyOf,
    names: Mapping[int, str],
) -> dict[str, Any]:
    """The JSON-ready answer. personalized is None when suppressed or not to be rendered; names: feature key -> name."""
    inputs, outcome = record.inputs, record.outcome
    chosen, place = outcome.chosen, zone(record.zone)
    quality = None if chosen is None else inputs.candidates[chosen.variant].quality / MILLE
    answer: dict[str, Any] = {
        "decision_id": decision_id,
        "user_id": user_id,
        "action": Action.SUPPRESS if chosen is None else Action.SEND,
        "suppression": _suppression(record),
        "template_id": record.template_id,
        "template_version": record.template_version,
        "variant_id": None if chosen is None else inputs.candidates[chosen.variant].variant_id,
        "personalized_content": personalized,
        "original_content": original,
        "language": record.language if chosen is None else _spoken(record, chosen),
        "optimal_channels": optimal_channels(inputs, outcome),
        "optimal_timing": None if chosen is None else rfc3339(slot_at(inputs, chosen), place),
        "strategies_applied": list(record.strategies),
        "personalization_level": record.level,
        "quality_score": quality,
        "confidence_score": outcome.confidence,
        "predicted_engagement": dict(zip(("open", "click", "convert", "unsubscribe"), record.forecast, strict=True)),
        "propensity": {
            "send": outcome.send,
            "variant": outcome.variant,
            "channel": outcome.channel,
            "timing": outcome.timing,
            "joint": outcome.joint,
        },
        "policy": {
            "model_id": inputs.model_id,
            "version": str(inputs.snapshot_id),
            "mode": record.mode,
            "profile": "known" if record.known else "unknown",
        },
        "recommendations": [SENTENCES[code] for code in record.recommendations],
        "fallback": record.fallback is not None,
        "fallback_reason": record.fallback,
        "cache_hit": record.cache_hit,
        "processing_time_ms": record.milliseconds,
    }
    if isinstance(inputs, PricedInputs):
        answer["policy"]["prices"] = str(inputs.pricing_id)
    if outcome.shadow is not None:
        answer["shadow"] = triple_document(record, outcome.shadow)
    if record.explain:
        answer["explanation"] = explanation(record, policy_of, names)
    return answer


def slot_at(inputs: Inputs, chosen: Triple) -> int:
    return slot_time(inputs.earliest, inputs.first_hour, chosen.slot)


def optimal_channels(inputs: Inputs, outcome: Outcome) -> list[str]:
    """Names the chosen variant may go by, best first, the chosen one first; empty when suppressed."""
    if outcome.chosen is None:
        return []
    fits = [i for i in bits(inputs.candidates[outcome.chosen.variant].channels) if i != outcome.chosen.channel]
    fits.sort(key=lambda i: outcome.ranking.find(i) % (len(inputs.channels) + 1))
    return [inputs.channels[i].name for i in (outcome.chosen.channel, *fits)]


def _suppression(record: Record) -> dict[str, Any] | None:
    reason, at = record.outcome.suppression, retry_at(record)
    if record.outcome.chosen is not None:
        return None
    return {"reason": reason, "retry_at": None if at is None else rfc3339(at, zone(record.zone))}


def retry_at(record: Record) -> int | None:
    """When a message that was not sent may go."""
    inputs = record.inputs
    return inputs.relieved_at if record.outcome.suppression == Suppression.FATIGUE else inputs.retry_at


def _spoken(record: Record, chosen: Triple) -> str:
    locale = record.inputs.candidates[chosen.variant].locale
    return record.language if locale == "und" else locale
