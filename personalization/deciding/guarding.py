"""Guardrails in a decision: variants that do more harm than is acceptable leave the draw while another one remains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from personalization.deciding.record import Guarded, Inputs, Outcome, Record
from personalization.learning.guardrails import Guardrails, Standing, worst
from personalization.learning.policy import Policy

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
        Guarded(
            variant_id=inputs.candidates[i].variant_id,
            event=found.event,
            rate=found.rate,
            limit=found.limit,
            probability=found.probability,
            admitted=i in drawn,
            binding=i not in drawn and _greedy(inputs, policy, actions, (*drawn, i)) == i,
        )
        for i, found in _over(policy, inputs.guardrails, actions).items()
    )


def guardrail_documents(record: Record) -> list[dict[str, Any]]:
    """As constraints of an explanation."""
    return [
        {
            "name": "guardrail",
            "channel": "*",
            "binding": one.binding,
            "retry_at": None,
            "variant_id": one.variant_id,
            "event": one.event,
            "rate": one.rate,
            "limit": one.limit,
            "probability": one.probability,
        }
        for one in record.guarded
    ]


def offered(actions: Actions, shown: bytes, options: tuple[int, ...]) -> tuple[Actions, bytes]:
    """What a policy is asked about these of the candidates."""
    return tuple([actions[i] for i in options]), bytes([shown[i] for i in options]) if shown else shown


def _greedy(inputs: Inputs, policy: Policy, actions: Actions, options: tuple[int, ...]) -> int:
    asked, shown = offered(actions, inputs.shown, options)
    return options[policy.variants([inputs.features], asked, inputs.method, shown)[0].greedy]


def _over(policy: Policy, guardrails: Guardrails, actions: Actions) -> dict[int, Standing]:
    """Candidate -> the guardrail it is furthest over."""
    if not guardrails:
        return {}
    standings = policy.standings(guardrails)
    found = {i: worst(standings.get(action[0], ())) for i, action in enumerate(actions)}
    return {i: one for i, one in found.items() if one is not None}
