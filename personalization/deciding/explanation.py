"""Why a decision is what it is, from its record and its policy alone: so GET says what the first answer said.

It holds under exploration: contributions, constraints and counterfactuals are about the greedy action, and beside it stands
with which probability each stage leaves it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from personalization.clock import rfc3339, zone
from personalization.deciding.contributions import Part, Weighed, weighed
from personalization.deciding.guarding import guardrail_documents
from personalization.deciding.paths import Path, PolicyOf, paths
from personalization.deciding.record import Record, Triple
from personalization.deciding.slots import slot_time
from personalization.deciding.stages import kept
from personalization.deciding.wording import named, summary, supposed, would
from personalization.errors import NotFound
from personalization.vocabulary import Action

#: Contributions told one by one; the others are added up.
_MOST_CONTRIBUTIONS = 8
_DIGITS = 9


def explanation(record: Record, policy_of: PolicyOf, names: Mapping[int, str]) -> dict[str, Any]:
    """names: feature key -> name. Without the policy's snapshot there are no contributions and no stages."""
    outcome, inputs = record.outcome, record.inputs
    try:
        path = paths([inputs], policy_of)[0]
    except NotFound:
        path = None
    found = None if path is None else weighed(inputs, path)
    return {
        "summary": summary(record, found.parts if found else (), names),
        "contributions": [] if found is None else _contributions(found, names),
        "baseline_logit": None if found is None else round(found.baseline_logit, _DIGITS),
        "greedy_logit": None if found is None else round(found.greedy_logit, _DIGITS),
        "expected_reward": None if found is None else round(found.expected_reward, _DIGITS),
        "greedy_action": {"action": Action.SUPPRESS} if outcome.greedy is None else triple_document(record, outcome.greedy),
        "exploration_probability": outcome.explored,
        "stages": [] if path is None else _stages(record, path),
        "constraints": [
            {"name": c.name, "channel": c.subject, "binding": c.binding, "retry_at": _when(record, c.retry_at)}
            for c in record.constraints
        ]
        + guardrail_documents(record),
        "counterfactuals": [{"if": supposed(record, one, names), "then": would(record, one)} for one in record.what_ifs],
    }


def _contributions(found: Weighed, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """The weightiest; what is left, rounding included, in one, so that all add up."""
    told = found.parts if len(found.parts) <= _MOST_CONTRIBUTIONS else found.parts[:_MOST_CONTRIBUTIONS]
    rows = [_row(named(part, names), part) for part in told]
    left = found.greedy_logit - found.baseline_logit - sum(row["effect"] for row in rows)
    if len(found.parts) > len(told):
        rows.append({"feature": "everything else", "value": len(found.parts) - len(told), "effect": round(left, _DIGITS)})
    return rows


def _row(name: str, part: Part) -> dict[str, Any]:
    return {"feature": name, "value": round(part.value, _DIGITS), "effect": round(part.effect, _DIGITS)}


# -- stages ----------------------------------------------------------------------------------------------------------


def _stages(record: Record, path: Path) -> list[dict[str, Any]]:
    """Of the stages after the first the probabilities are those given that something is sent."""
    outcome = record.outcome
    rows = [_sending(record, path)]
    greedy, chosen = _told(record, path.greedy), _told(record, outcome.chosen)
    drawn = (outcome.variant, outcome.channel, outcome.timing)
    for at, stage in enumerate(("variant", "channel", "timing")):
        share = float(greedy[at] == chosen[at]) if record.inputs.forced else kept(path)[at]
        rows.append(_stage(stage, greedy[at], chosen[at], None if outcome.chosen is None else drawn[at], share))
    return rows


def _sending(record: Record, path: Path) -> dict[str, Any]:
    """The whole probability of the greedy action is the product over its stages; that of sending is what the others leave."""
    outcome = record.outcome
    greedy, chosen = (Action.SUPPRESS if triple is None else Action.SEND for triple in (outcome.greedy, outcome.chosen))
    if record.inputs.forced:
        return _stage("send", greedy, chosen, 1.0, float(greedy == chosen))
    share = (1.0 - outcome.explored) / (math.prod(kept(path)) if outcome.greedy is not None else 1.0)
    return _stage("send", greedy, chosen, outcome.send, round(share, _DIGITS))


def _stage(stage: str, greedy: Any, chosen: Any, propensity: float | None, share: float) -> dict[str, Any]:
    return {"stage": stage, "greedy": greedy, "chosen": chosen, "propensity": propensity, "greedy_probability": share}


def _told(record: Record, triple: Triple | None) -> Sequence[Any]:
    if triple is None:
        return None, None, None
    found = triple_document(record, triple)
    return found["variant_id"], found["channel"], found["timing"]


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
