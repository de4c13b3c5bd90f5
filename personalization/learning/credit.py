"""From the log to the bandit's statistics: which decision earned what, and when it counts.

Learning is a function of the sequence of rows alone. A decision enters with the reward known at its `exposed` row
(the default when nothing happened yet) and is corrected by deltas at later rows, until its `reward_matured` row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

from personalization.learning.encoding import Feature, Taken
from personalization.learning.frequency import Losses
from personalization.learning.logistic import Entered, RewardModel
from personalization.tenant import RewardSpec
from personalization.vocabulary import Aggregation, EventType

#: Decisions of one user that count in full; the n-th after that counts (FULL / n)^2, so all together stay bounded.
FULL = 100
#: A single reward beyond this is cut to it.
REWARD_LIMIT = 1_000.0
#: Decisions a model must have seen before others inherit of it.
_EXPERIENCED = 200.0
#: Events that say a person was lost, or nearly.
_GUARDRAILS = frozenset({EventType.UNSUBSCRIBED, EventType.COMPLAINED})
#: Publish once this share of a model's weight is new.
_CHANGED_SHARE = 0.01


class OpenDecision(msgspec.Struct, array_like=True, gc=False):
    """A decision that may still learn. Times in microseconds; seen: event types so far; entered: what its model said
    when it came in."""

    seq: int
    decision_id: str
    model_id: str
    user_ref: bytes | None
    context: tuple[Feature, ...]
    action: Taken
    slot_at: int
    matures_at: int
    config_version: int
    active: bool = True
    exposed: bool = False
    final: bool = False
    weight: float = 0.0
    entered: Entered = Entered(0.0, 0, 0.0)
    reward: float = 0.0
    loss: float = 0.0
    earned: dict[str, float] = msgspec.field(default_factory=dict)
    seen: tuple[str, ...] = ()


@dataclass
class ModelState:
    """rewards: what was earned; counts of decisions by event type; changed: weight learned since the last publication.

    harm : variant -> losses and sends
    """

    rewards: RewardModel = field(default_factory=RewardModel)
    counts: dict[str, float] = field(default_factory=dict)
    changed: float = 0.0
    harm: dict[int, list[float]] = field(default_factory=dict)

    def worth_publishing(self) -> bool:
        return self.changed > 0.0 and self.changed >= _CHANGED_SHARE * self.rewards.weight


@dataclass
class CreditLedger:
    """What one tenant's learner knows after row `seq`. Not thread-safe: one learner owns it."""

    seq: int = 0
    open: dict[int, OpenDecision] = field(default_factory=dict)
    by_id: dict[str, int] = field(default_factory=dict)
    models: dict[str, ModelState] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)
    influence: dict[bytes, int] = field(default_factory=dict)

    def decided(self, decision: OpenDecision) -> None:
        self.open[decision.seq] = decision
        self.by_id[decision.decision_id] = decision.seq

    def activated(self, seq: int) -> OpenDecision | None:
        decision = self.open.get(seq)
        if decision is not None:
            decision.active = True
        return decision

    def discarded(self, seq: int) -> None:
        """The decision leaves as if it had never been."""
        decision = self.open.pop(seq, None)
        if decision is None:
            return
        del self.by_id[decision.decision_id]
        if decision.exposed:
            model = self._model(decision)
            model.rewards.leave(decision.context, decision.action, decision.reward, decision.weight, decision.entered)
            self._lost(decision, 0.0)
            self._sent(model, decision, -decision.weight)
            for kind in ("exposed", *decision.seen):
                model.counts[kind] -= decision.weight
            model.changed += decision.weight

    def exposed(self, seqs: Iterable[int]) -> None:
        """The decisions of one `exposed` row enter, those of a model together."""
        entering: dict[str, list[OpenDecision]] = defaultdict(list)
        for seq in seqs:
            decision = self.open.get(seq)
            if decision is not None and not decision.exposed and decision.active:
                decision.exposed, decision.weight = True, self._weight(decision.user_ref)
                entering[decision.model_id].append(decision)
        for decisions in entering.values():
            self._enter(self._model(decisions[0]), decisions)

    def _enter(self, model: ModelState, decisions: Sequence[OpenDecision]) -> None:
        came_in = model.rewards.enter(
            [d.context for d in decisions],
            [d.action for d in decisions],
            [d.reward for d in decisions],
            [d.weight for d in decisions],
        )
        for decision, entered in zip(decisions, came_in, strict=True):
            decision.entered = entered
            self._sent(model, decision, decision.weight)
            loss, decision.loss = max(decision.loss, -decision.reward, 0.0), 0.0
            self._lost(decision, loss)
            for kind in ("exposed", *decision.seen):
                model.counts[kind] = model.counts.get(kind, 0.0) + decision.weight
        model.changed += sum([decision.weight for decision in decisions])

    def engaged(self, decision_id: str, type_: str, key: str, value: float | None, spec: RewardSpec) -> OpenDecision | None:
        """An event that cites an open decision: its reward changes by the tenant's weights, or is final when given."""
        decision = self.open.get(self.by_id.get(decision_id, -1))
        if decision is None:
            return None
        if decision.final:
            if type_ in _GUARDRAILS:
                self._lost(decision, max(decision.loss, -spec.weights.get(key, 0.0)))
            return None
        if type_ == EventType.REWARDED:
            decision.final = True
            self._reward(decision, value or 0.0)
        elif key in spec.weights:
            decision.earned[key] = _aggregated(decision.earned.get(key), spec.weights[key], spec.aggregation)
            self._reward(decision, _total(decision.earned, spec.aggregation))
        if type_ not in decision.seen:
            decision.seen = (*decision.seen, type_)
            if decision.exposed:
                model = self._model(decision)
                model.counts[type_] = model.counts.get(type_, 0.0) + decision.weight
        return decision

    def matured(self, seqs: Iterable[int]) -> None:
        """Nothing changes these any more."""
        settled: dict[str, list[int]] = defaultdict(list)
        for seq in seqs:
            decision = self.open.pop(seq, None)
            if decision is not None:
                del self.by_id[decision.decision_id]
                if decision.exposed:
                    settled[decision.model_id].append(decision.entered.block)
        for model_id, blocks in settled.items():
            self.models[model_id].rewards.settle(blocks)

    def _reward(self, decision: OpenDecision, reward: float) -> None:
        reward = max(-REWARD_LIMIT, min(REWARD_LIMIT, reward))
        if decision.exposed and reward != decision.reward:
            model = self._model(decision)
            model.rewards.correct(decision.context, decision.action, decision.reward, reward, decision.weight, decision.entered)
            model.changed += decision.weight
        self._lost(decision, max(-reward, 0.0))
        decision.reward = reward

    def _sent(self, model: ModelState, decision: OpenDecision, weight: float) -> None:
        self.losses.sent(decision.action.load, weight)
        model.harm.setdefault(decision.action.variant[0], [0.0, 0.0])[1] += weight

    def _lost(self, decision: OpenDecision, loss: float) -> None:
        """What a decision cost, once it was exposed; before, it is kept until then."""
        if decision.exposed and loss != decision.loss:
            self.losses.changed(decision.action.load, decision.weight, decision.loss, loss)
            harm = self._model(decision).harm[decision.action.variant[0]]
            harm[0] += decision.weight * ((loss > 0.0) - (decision.loss > 0.0))
        decision.loss = loss

    def _model(self, decision: OpenDecision) -> ModelState:
        known = self.models.get(decision.model_id)
        return known if known is not None else self.models.setdefault(decision.model_id, self._begun())

    def _begun(self) -> ModelState:
        """A new model begins with what the tenant's heaviest one knows of people, channels and hours."""
        _, heaviest = max(((m.rewards.weight, name) for name, m in self.models.items()), default=(0.0, ""))
        donor = self.models.get(heaviest)
        return ModelState(donor.rewards.heir()) if donor is not None and donor.rewards.weight >= _EXPERIENCED else ModelState()

    def _weight(self, user_ref: bytes | None) -> float:
        if user_ref is None:
            return 1.0
        n = self.influence[user_ref] = self.influence.get(user_ref, 0) + 1
        return 1.0 if n <= FULL else (FULL / n) ** 2

    # -- keeping ------------------------------------------------------------------------------------------------------

    def pack(self) -> bytes:
        """Equal ledgers give equal bytes."""
        return self._packed({name: model.changed for name, model in self.models.items()})

    @classmethod
    def unpack(cls, body: bytes) -> CreditLedger:
        """Raises msgspec.ValidationError or DecodeError on bytes that are no ledger."""
        packed = msgspec.msgpack.decode(body, type=_Packed)
        return cls(
            seq=packed.seq,
            open={decision.seq: decision for decision in packed.open},
            by_id={decision.decision_id: decision.seq for decision in packed.open},
            models={
                name: ModelState(RewardModel.unpack(s), dict(n), changed, dict(harm)) for name, s, n, changed, harm in packed.models
            },
            losses=Losses.unpack(packed.losses),
            influence=dict(packed.influence),
        )

    def digest(self) -> str:
        """What was learned, in one hash; when it was last published does not matter."""
        return blake2b(self._packed({}), digest_size=16).hexdigest()

    def _packed(self, changed: Mapping[str, float]) -> bytes:
        models = [
            (name, m.rewards.pack(), sorted(m.counts.items()), changed.get(name, 0.0), sorted(m.harm.items()))
            for name, m in sorted(self.models.items())
        ]
        return msgspec.msgpack.encode(
            _Packed(self.seq, list(self.open.values()), models, self.losses.pack(), sorted(self.influence.items()))
        )


class _Packed(msgspec.Struct, array_like=True):
    """A ledger at rest. open: in the order of the log, which is that of `seq`."""

    seq: int
    open: list[OpenDecision]
    models: Sequence[tuple[str, Sequence[Any], list[tuple[str, float]], float, list[tuple[int, list[float]]]]]
    losses: Sequence[Any]
    influence: list[tuple[bytes, int]]


def opening_reward(spec: RewardSpec) -> float:
    return max(-REWARD_LIMIT, min(REWARD_LIMIT, spec.default))


def _aggregated(earned: float | None, weight: float, aggregation: Aggregation) -> float:
    if earned is None or aggregation is not Aggregation.SUM:
        return weight
    return earned + weight


def _total(earned: Mapping[str, float], aggregation: Aggregation) -> float:
    return max(earned.values()) if aggregation is Aggregation.MAX else sum(earned.values())
