"""Why a decision is what it is: contributions of what was seen, what certainty would do, which rules bound it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from personalization.clock import rfc3339, zone
from personalization.deciding.guarding import guardrail_documents
from personalization.deciding.record import Record, Triple
from personalization.deciding.slots import slot_time
from personalization.deciding.stages import VARIANT, PolicyOf
from personalization.errors import NotFound
from personalization.learning.encoding import KIND_VARIANT, QUANTUM, ActKey
from personalization.vocabulary import Action

_MOST_CONTRIBUTIONS = 8


def explanation(record: Record, policy_of: PolicyOf, names: Mapping[int, str]) -> dict[str, Any]:
    """Additive in the logit of the greedy variant's expected reward, against the mean of the feasible variants."""
    outcome = record.outcome
    return {
        "summary": _summary(record),
        "contributions": _contributions(record, policy_of, names),
        "greedy_action": {"action": Action.SUPPRESS} if outcome.greedy is None else triple_document(record, outcome.greedy),
        "exploration_probability": outcome.explored,
        "constraints": [
            {"name": c.name, "channel": c.subject, "binding": c.binding, "retry_at": _when(record, c.retry_at)}
            for c in record.constraints
        ]
        + guardrail_documents(record),
        "counterfactuals": _counterfactuals(record),
    }


def _summary(record: Record) -> str:
    outcome, inputs = record.outcome, record.inputs
    if outcome.chosen is None:
        until = f" until {_when(record, inputs.retry_at)}" if inputs.retry_at is not None else ""
        return f"Nothing is sent{until}: {str(outcome.suppression).replace('_', ' ')}."
    sent = triple_document(record, outcome.chosen)
    how = {
        "holdout": "the person is in the holdout, so the baseline goes out",
        "apprentice": "the policy watches while the baseline goes out",
        "baseline": "the baseline goes out",
        "fallback": f"the baseline goes out because of {record.fallback}",
    }.get(record.mode)
    if how is None:
        how = "it is what the policy holds best" if outcome.chosen == outcome.greedy else "the policy explores to learn"
    return f"Variant {sent['variant_id']} goes by {sent['channel']} at {sent['timing']}: {how}."


def _contributions(record: Record, policy_of: PolicyOf, names: Mapping[int, str]) -> list[dict[str, Any]]:
    inputs, outcome = record.inputs, record.outcome
    if outcome.greedy is None or not inputs.stages & VARIANT or not inputs.features:
        return []
    try:
        policy = policy_of(inputs.model_id, inputs.snapshot_id)
    except NotFound:
        return []
    acts = [[(ActKey(KIND_VARIANT, key), 1.0) for key in candidate.actions] for candidate in inputs.candidates]
    per_variant = [policy.contributions(inputs.features, variant) for variant in acts]
    means = [sum(column) / len(per_variant) for column in zip(*per_variant, strict=True)]
    effects = [effect - mean for effect, mean in zip(per_variant[outcome.greedy.variant], means, strict=True)]
    ranked = sorted(zip(inputs.features, effects, strict=True), key=lambda found: -abs(found[1]))[:_MOST_CONTRIBUTIONS]
    return [
        {"feature": names.get(key, f"{key:08x}"), "value": value * QUANTUM, "effect": round(effect, 9)}
        for (key, value), effect in ranked
    ]


def _counterfactuals(record: Record) -> list[dict[str, str]]:
    return [
        {"if": f"{c.name} did not hold for {'any channel' if c.subject == '*' else c.subject}", "then": _would(record, c.subject)}
        for c in record.constraints
        if c.binding
    ]


def _would(record: Record, subject: str) -> str:
    target = "the message" if subject == "*" else f"the message by {subject}"
    return f"{target} would be in the feasible set at {_when(record, record.inputs.earliest)}"


def triple_document(record: Record, triple: Triple) -> dict[str, Any]:
    inputs = record.inputs
    return {
        "action": Action.SEND,
        "variant_id": inputs.candidates[triple.variant].variant_id,
        "channel": inputs.channels[triple.channel].name,
        "timing": _when(record, slot_time(inputs.earliest, inputs.first_hour, triple.slot)),
    }


def _when(record: Record, at: int | None) -> str | None:
    return None if at is None else rfc3339(at, zone(record.zone))
