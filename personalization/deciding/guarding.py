"""Guardrails in a decision: variants that do more harm than is acceptable leave the draw while another one remains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from personalization.deciding.record import Guarded, Inputs, Outcome, Record
from personalization.learning.guardrails import Guardrails, Standing, worst
from personalization.learning.policy import Policy

#: Recommended where no variant was left, so that the least bad went.
LEAST_BAD = "guardrails_crossed"

#: Keys of the features of every candidate; the first of each is the variant's own.
Actions = tuple[tuple[int, ...], ...]


def admitted(policy: Policy, guardrails: Guardrails, actions: Actions) -> tuple[int, ...]:
    """Which of the candidates may be drawn: those over no guardrail, else the one that is least over its worst."""
    over = _over(policy, guardrails, actions)
    if not over:
        return tuple(range(len(actions)))
    left = tuple(i for i in range(len(actions)) if i not in over)
    return left or (min(over, key=lambda i: (over[i].excess, i)),)


def guarded(inputs: Inputs, outcome: Outcome, policy_of: Callable[[str, int], Policy]) -> tuple[Guarded, ...]:
    """The candidates over a guardrail, as the record keeps them; none where the policy did not choose among them."""
    if not inputs.guardrails or not inputs.stages or inputs.forced or outcome.chosen is None:
        return ()
    policy, actions = policy_of(inputs.model_id, inputs.snapshot_id), tuple([c.actions for c in inputs.candidates])
    drawn = admitted(policy, inputs.guardrails, actions)
    return tuple(
        Guarded(inputs.candidates[i].variant_id, found.event, found.rate, found.limit, found.probability, i in drawn)
        for i, found in _over(policy, inputs.guardrails, actions).items()
    )


def guardrail_documents(record: Record) -> list[dict[str, Any]]:
    """As constraints of an explanation; one that took its variant out of the draw is binding."""
    return [
        {
            "name": "guardrail",
            "channel": "*",
            "binding": not one.admitted,
            "retry_at": None,
            "variant_id": one.variant_id,
            "event": one.event,
            "rate": one.rate,
            "limit": one.limit,
            "probability": one.probability,
        }
        for one in record.guarded
    ]


def _over(policy: Policy, guardrails: Guardrails, actions: Actions) -> dict[int, Standing]:
    """Candidate -> the guardrail it is furthest over."""
    if not guardrails:
        return {}
    standings = policy.standings(guardrails)
    found = {i: worst(standings.get(action[0], ())) for i, action in enumerate(actions)}
    return {i: one for i, one in found.items() if one is not None}
