"""An action in names, as it stands outside the feasible set it was chosen from."""

from __future__ import annotations

from personalization.deciding.record import Doing, Inputs, Triple
from personalization.deciding.slots import slot_time
from personalization.vocabulary import Suppression


def doing(inputs: Inputs, triple: Triple | None, held: str | None = None) -> Doing:
    """In names; None is to send nothing. held : why the policy would not"""
    if triple is None:
        if inputs.refusal is not None:
            return Doing(reason=inputs.refusal, retry_at=inputs.retry_at)
        return Doing(reason=held, retry_at=inputs.relieved_at if held == Suppression.FATIGUE else None)
    return Doing(
        inputs.candidates[triple.variant].variant_id,
        inputs.channels[triple.channel].name,
        slot_time(inputs.earliest, inputs.first_hour, triple.slot),
    )
