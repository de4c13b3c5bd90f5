"""From the log to the bandit's statistics: which decision earned what, and when it counts.

Learning is a function of the sequence of rows alone. A decision enters with the reward known at its `exposed` row
(the default when nothing happened yet) and is corrected by deltas at later rows, until its `reward_matured` row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec

from personalization.learning.bandits import BanditStatistics, Feature
from personalization.tenant import RewardSpec
from personalization.vocabulary import Aggregation, EventType

#: Decisions of one user that count in full; the n-th after that counts (FULL / n)^2, so all together stay bounded.
FULL = 100
#: A single reward beyond this is cut to it.
REWARD_LIMIT = 1_000.0
#: Publish once this share of a model's weight is new.
_CHANGED_SHARE = 0.01


@dataclass
class OpenDecision:
    """A decision that may still learn. Times in microseconds; action: its features u_a."""

    seq: int
    decision_id: str
    model_id: str
    user_ref: bytes | None
    context: tuple[Feature, ...]
    action: tuple[int, ...]
    slot_at: int
    matures_at: int
    config_version: int
    active: bool = True
    exposed: bool = False
    final: bool = False
    weight: float = 0.0
    reward: float = 0.0
    earned: dict[str, float] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)


@dataclass
class ModelState:
    """statistics of the rewards; counts of decisions by event type; changed: weight learned since the last publication."""

    statistics: BanditStatistics = field(default_factory=BanditStatistics)
    counts: dict[str, float] = field(default_factory=dict)
    changed: float = 0.0

    def worth_publishing(self) -> bool:
        return self.changed > 0.0 and self.changed >= _CHANGED_SHARE * self.statistics.weight


@dataclass
class CreditLedger:
    """What one tenant's learner knows after row `seq`. Not thread-safe: one learner owns it."""

    seq: int = 0
    open: dict[int, OpenDecision] = field(default_factory=dict)
    by_id: dict[str, int] = field(default_factory=dict)
    models: dict[str, ModelState] = field(default_factory=dict)
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
            model.statistics.add(decision.context, decision.action, decision.reward, -decision.weight)
            for kind in ("exposed", *decision.seen):
                model.counts[kind] -= decision.weight
            model.changed += decision.weight

    def exposed(self, seqs: Iterable[int]) -> None:
        for seq in seqs:
            decision = self.open.get(seq)
            if decision is None or decision.exposed or not decision.active:
                continue
            decision.exposed, decision.weight = True, self._weight(decision.user_ref)
            model = self._model(decision)
            model.statistics.add(decision.context, decision.action, decision.reward, decision.weight)
            for kind in ("exposed", *decision.seen):
                model.counts[kind] = model.counts.get(kind, 0.0) + decision.weight
            model.changed += decision.weight

    def engaged(self, decision_id: str, type_: str, key: str, value: float | None, spec: RewardSpec) -> OpenDecision | None:
        """An event that cites an open decision: its reward changes by the tenant's weights, or is final when given."""
        decision = self.open.get(self.by_id.get(decision_id, -1))
        if decision is None or decision.final:
            return None
        if type_ == EventType.REWARDED:
            decision.final = True
            self._reward(decision, value or 0.0)
        elif key in spec.weights:
            decision.earned[key] = _aggregated(decision.earned.get(key), spec.weights[key], spec.aggregation)
            self._reward(decision, _total(decision.earned, spec.aggregation))
        if type_ not in decision.seen:
            decision.seen.add(type_)
            if decision.exposed:
                model = self._model(decision)
                model.counts[type_] = model.counts.get(type_, 0.0) + decision.weight
        return decision

    def matured(self, seqs: Iterable[int]) -> None:
        """Nothing changes these any more."""
        for seq in seqs:
            decision = self.open.pop(seq, None)
            if decision is not None:
                del self.by_id[decision.decision_id]

    def _reward(self, decision: OpenDecision, reward: float) -> None:
        reward = max(-REWARD_LIMIT, min(REWARD_LIMIT, reward))
        if decision.exposed and reward != decision.reward:
            model = self._model(decision)
            model.statistics.correct(decision.context, decision.action, decision.reward, reward, decision.weight)
            model.changed += decision.weight
        decision.reward = reward

    def _model(self, decision: OpenDecision) -> ModelState:
        return self.models.setdefault(decision.model_id, ModelState())

    def _weight(self, user_ref: bytes | None) -> float:
        if user_ref is None:
            return 1.0
        n = self.influence[user_ref] = self.influence.get(user_ref, 0) + 1
        return 1.0 if n <= FULL else (FULL / n) ** 2

    # -- keeping ------------------------------------------------------------------------------------------------------

    def pack(self) -> bytes:
        """Equal ledgers give equal bytes."""
        return msgspec.msgpack.encode(
            [
                self.seq,
                [_packed(decision) for _, decision in sorted(self.open.items())],
                [[name, m.statistics.pack(), sorted(m.counts.items()), m.changed] for name, m in sorted(self.models.items())],
                sorted(self.influence.items()),
            ]
        )

    @classmethod
    def unpack(cls, body: bytes) -> CreditLedger:
        """Raises msgspec.DecodeError on bytes that are no ledger."""
        seq, open_, models, influence = msgspec.msgpack.decode(body)
        decisions = [_unpacked(packed) for packed in open_]
        return cls(
            seq=seq,
            open={decision.seq: decision for decision in decisions},
            by_id={decision.decision_id: decision.seq for decision in decisions},
            models={
                name: ModelState(BanditStatistics.unpack(statistics), {kind: n for kind, n in counts}, changed)  # noqa: C416
                for name, statistics, counts, changed in models
            },
            influence={user: n for user, n in influence},  # noqa: C416
        )

    def digest(self) -> str:
        """What was learned, in one hash; when it was last published does not matter."""
        bare = [self.seq, [_packed(d) for _, d in sorted(self.open.items())]]
        models = [[name, m.statistics.pack(), sorted(m.counts.items())] for name, m in sorted(self.models.items())]
        return blake2b(msgspec.msgpack.encode([bare, models, sorted(self.influence.items())]), digest_size=16).hexdigest()


def opening_reward(spec: RewardSpec) -> float:
    return max(-REWARD_LIMIT, min(REWARD_LIMIT, spec.default))


def _aggregated(earned: float | None, weight: float, aggregation: Aggregation) -> float:
    if earned is None or aggregation is not Aggregation.SUM:
        return weight
    return earned + weight


def _total(earned: Mapping[str, float], aggregation: Aggregation) -> float:
    return max(earned.values()) if aggregation is Aggregation.MAX else sum(earned.values())


def _packed(decision: OpenDecision) -> Sequence[Any]:
    d = decision
    who = (d.seq, d.decision_id, d.model_id, d.user_ref, d.context, d.action, d.slot_at, d.matures_at, d.config_version)
    return (*who, d.active, d.exposed, d.final, d.weight, d.reward, sorted(d.earned.items()), sorted(d.seen))


def _unpacked(packed: Sequence[Any]) -> OpenDecision:
    seq, decision_id, model_id, user_ref, context, action, *rest, earned, seen = packed
    features = tuple((key, value) for key, value in context)
    decision = OpenDecision(seq, decision_id, model_id, user_ref, features, tuple(action), *rest)
    decision.earned.update(earned)
    decision.seen.update(seen)
    return decision
