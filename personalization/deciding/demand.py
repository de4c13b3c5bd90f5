"""What past decisions say of the demand to come: how much a send by each open channel would be worth to each of them today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from personalization.deciding.paths import SEND, Path, PolicyOf, bits, channel_ask, channel_logits, paths
from personalization.deciding.pricing import gain
from personalization.deciding.record import Inputs, Record
from personalization.learning.policy import Policy
from personalization.vocabulary import ServiceLevel


def steerable(record: Record) -> bool:
    """Whether prices would have had a say."""
    inputs = record.inputs
    return bool(record.level == ServiceLevel.QUANTUM and inputs.stages & SEND and inputs.candidates and not inputs.forced)


def worths(records: Sequence[Record], policy_of: PolicyOf) -> list[Mapping[str, float]]:
    """Channel -> what the greedy variant at its best hour there is expected to bring, in rewards, beyond what comes without it.

    records : steerable ones     policy_of : those of today
    """
    inputs = [replace(record.inputs, snapshot_id=0) for record in records]
    found = zip(inputs, paths(inputs, policy_of), strict=True)
    return [_worth(one, path, path.policy) for one, path in found if path is not None and path.policy is not None]


def _worth(one: Inputs, path: Path, policy: Policy) -> dict[str, float]:
    options = bits(one.candidates[path.variant.greedy].channels)
    channels = [one.channels[i] for i in options]
    choice = policy.channels([channel_ask(one, channels, policy, path.logit)], one.method)[0]
    logits = channel_logits(one, options, choice, path.logit, policy)
    return {channel.name: gain(one, policy, logit)[0] for channel, logit in zip(channels, logits, strict=True)}
