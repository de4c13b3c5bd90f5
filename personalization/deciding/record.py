"""What a decision keeps so that it can be recomputed: its quantised inputs and what came of them, under 1 KB."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from personalization.learning.encoding import Feature
from personalization.vocabulary import ServiceLevel

#: Qualities, costs and reachabilities are recorded in thousandths.
MILLE = 1000


class Candidate(msgspec.Struct, array_like=True, frozen=True):
    """A variant of the feasible set. quality: thousandths; channels: bit mask over Inputs.channels."""

    variant_id: str
    locale: str
    actions: tuple[int, ...]
    quality: int
    channels: int


class ChannelOption(msgspec.Struct, array_like=True, frozen=True):
    """A channel of the feasible set.

    preference : what is known of this person, evidence in quanta     slots : bit mask over the slots, little-endian
    cost  : of a message, in thousandths of a reward                  reach : thousandths of the messages that arrive
    """

    name: str
    preference: int
    slots: bytes
    cost: int = 0
    reach: int = MILLE


class Constraint(msgspec.Struct, array_like=True, frozen=True):
    """A rule that took something out of the feasible set. binding: it left nothing of its subject; of a decision that was
    explained: without it another action would be the greedy one."""

    name: str
    subject: str
    binding: bool
    retry_at: int | None = None


class Guarded(msgspec.Struct, array_like=True, frozen=True):
    """A variant that is over a guardrail: so often this event followed it, where so often is acceptable, with what
    probability it really is more often.

    admitted : it may go all the same, being the least bad     binding : but for the guardrail it would be the greedy one
    """

    variant_id: str
    event: str
    rate: float
    limit: float
    probability: float
    admitted: bool
    binding: bool


class Inputs(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Everything the draw reads. Nothing else may influence it.

    exploration : highest P(joint action differs from the greedy one), in millionths
    method      : how the policy chooses, see learning.choosing
    stages      : bit 0 variant, 1 channel, 2 timing, 3 send: which stages a model takes part in
    shown       : how long ago the person got each candidate (encoding.ago), empty where none was
    load        : the person's sends of the last seven days    relieved_at : when the oldest of them is a week ago
    forced      : "" draws; "baseline" takes the baseline, its draw kept as the shadow
    hours       : local hour of week of each slot, a byte each
    habits      : evidence of this person's hours in quanta, a signed byte a slot; empty where nothing is known
    refusal     : why nothing is feasible, with the next allowed time
    guardrails  : event type -> highest acceptable rate of them a send, where a model chooses the variant
    """

    seed: bytes
    now: int
    model_id: str
    snapshot_id: int
    features: tuple[Feature, ...]
    candidates: tuple[Candidate, ...]
    baseline: int
    channels: tuple[ChannelOption, ...]
    earliest: int
    first_hour: int
    hours: bytes
    habits: bytes
    exploration: int
    method: str
    stages: int
    forced: str
    shown: bytes = b""
    load: int = 0
    relieved_at: int | None = None
    refusal: str | None = None
    retry_at: int | None = None
    guardrails: tuple[tuple[str, float], ...] = ()


class PricedInputs(Inputs, array_like=True, frozen=True, kw_only=True):
    """Where budgets bind, of a decision that chooses whether to send and by which channel.

    pricing_id : the snapshot its prices were read from     prices : of a send by each channel, in millionths of a reward
    """

    pricing_id: int = 0
    prices: tuple[int, ...] = ()


class Triple(msgspec.Struct, array_like=True, frozen=True):
    """Indexes into candidates, channels and slots."""

    variant: int
    channel: int
    slot: int


class Outcome(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What was drawn. Probabilities are exact fractions of the grid the draw was made on.

    chosen     : what is sent, None when suppressed
    greedy     : what certainty would send, None when it would not
    suppression: why nothing is sent
    held       : why the policy would not send, where it may not
    shadow     : what the policy drew when `forced` returned something else
    explored   : P(the joint action differs from the greedy one)
    confidence : posterior probability that the sent variant is the best feasible one
    ranking    : channels of the feasible set, best first, a byte each
    """

    chosen: Triple | None
    greedy: Triple | None
    shadow: Triple | None
    send: float
    variant: float
    channel: float
    timing: float
    explored: float
    confidence: float
    ranking: bytes = b""
    suppression: str | None = None
    held: str | None = None

    @property
    def joint(self) -> float:
        return self.send * self.variant * self.channel * self.timing


class Doing(msgspec.Struct, array_like=True, frozen=True):
    """What would be done, in names. reason, retry_at: of sending nothing"""

    variant_id: str | None = None
    channel: str | None = None
    at: int | None = None
    reason: str | None = None
    retry_at: int | None = None

    def same(self, other: Doing) -> bool:
        """Whether it comes to the same for the person, whatever the reason."""
        return (self.variant_id, self.channel, self.at) == (other.variant_id, other.channel, other.at)


class WhatIf(msgspec.Struct, array_like=True, frozen=True):
    """What would be greedy under one changed input. kind: see `explanation`; subjects: channels; feature: its key"""

    kind: str
    then: Doing
    subjects: tuple[str, ...] = ()
    at: int | None = None
    feature: int = 0


class Record(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """A decision at rest.

    forecast    : P(open, click, convert, unsubscribe)
    trains      : whether the learner may use it
    what_ifs    : of a decision that was to be explained
    guarded     : the feasible variants that are over a guardrail, where a policy chose among them
    """

    format: int
    code: str
    inputs: Inputs
    outcome: Outcome
    mode: str
    level: str
    trains: bool
    config_version: int
    template_id: str | None
    template_version: int | None
    language: str
    zone: str
    forecast: tuple[float, float, float, float]
    strategies: tuple[str, ...]
    recommendations: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    fallback: str | None
    known: bool
    render: bool
    explain: bool
    cache_hit: bool
    milliseconds: float
    what_ifs: tuple[WhatIf, ...] = ()
    guarded: tuple[Guarded, ...] = ()


FORMAT = 2


class _Priced(msgspec.Struct, array_like=True, frozen=True):
    """A record as far as its inputs."""

    format: int
    code: str
    inputs: PricedInputs


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)
_priced_decoder = msgspec.msgpack.Decoder(_Priced)


def encode_record(record: Record) -> bytes:
    return _encoder.encode(record)


def decode_record(data: bytes) -> Record:
    """Raises msgspec.ValidationError on bytes that are no record."""
    record = _decoder.decode(data)
    if record.level != ServiceLevel.QUANTUM:
        return record
    inputs = _priced_decoder.decode(data).inputs
    return replace(record, inputs=inputs) if inputs.prices else record
