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

from personalization.learning.earning import OpenDecision, earned
from personalization.learning.experience import ModelState
from personalization.learning.frequency import Losses
from personalization.reward import RewardSpec

#: Decisions of one user that count in full; the n-th after that counts (FULL / n)^2, so all together stay bounded.
FULL = 100
#: Decisions a model must have seen before others inherit of it.
_EXPERIENCED = 200.0


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
            self._lost(decision, 0.0)
            self._model(decision).left(decision)
            self._loaded(decision, -decision.weight)
            self._forget(decision.user_ref)

    def exposed(self, seqs: Iterable[int]) -> None:
        """The decisions of one `exposed` row enter, those of a model together."""
        entering: dict[str, list[OpenDecision]] = defaultdict(list)
        for seq in seqs:
            decision = self.open.get(seq)
            if decision is not None and not decision.exposed and decision.active:
                decision.exposed, decision.weight = True, self._weight(decision.user_ref)
                entering[decision.model_id].append(decision)
        for decisions in entering.values():
            self._model(decisions[0]).entered(decisions)
            for decision in decisions:
                self._loaded(decision, decision.weight)
                self._lost(decision, decision.lost)

    def engaged(
        self, decision_id: str, type_: str, key: str, value: float | None, spec: RewardSpec, at: int = 0
    ) -> OpenDecision | None:
        """An event that cites an open decision: its reward changes as `spec` counts it, or is final when given.

        value : of a given reward, or an amount in the tenant's currency     at : when it happened
        """
        decision = self.open.get(self.by_id.get(decision_id, -1))
        if decision is None:
            return None
        self._reward(decision, earned(decision, type_, key, value, spec, at))
        if type_ not in decision.seen:
            decision.seen = (*decision.seen, type_)
            if decision.exposed:
                self._model(decision).count(decision, type_, decision.weight)
        return decision

    def matured(self, seqs: Iterable[int]) -> None:
        """Nothing changes these any more."""
        settled: dict[tuple[str, bool], list[int]] = defaultdict(list)
        for seq in seqs:
            decision = self.open.pop(seq, None)
            if decision is not None:
                del self.by_id[decision.decision_id]
                if decision.exposed:
                    settled[decision.model_id, decision.sent].append(decision.entered.block)
                    self._model(decision).settled(decision)
        for (model_id, sent), blocks in settled.items():
            self.models[model_id].of(sent).settle(blocks)

    def _reward(self, decision: OpenDecision, reward: float) -> None:
        if decision.exposed and reward != decision.reward:
            self._model(decision).corrected(decision, reward)
        decision.reward = reward
        if decision.exposed:
            self._lost(decision, decision.lost)

    def _lost(self, decision: OpenDecision, loss: float) -> None:
        """What an exposed decision cost turns out to be this."""
        if loss != decision.loss:
            self.losses.changed(decision.action.load, decision.weight, decision.loss, loss)
            self._model(decision).lost(decision, loss)
            decision.loss = loss

    def _loaded(self, decision: OpenDecision, weight: float) -> None:
        if decision.sent:
            self.losses.sent(decision.action.load, weight)

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

    def _forget(self, user_ref: bytes | None) -> None:
        """One decision less of this user; the weights of the others stay what they were."""
        if user_ref is not None:
            self.influence[user_ref] -= 1
            if not self.influence[user_ref]:
                del self.influence[user_ref]

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
            models={name: ModelState.unpack(model) for name, model in packed.models},
            losses=Losses.unpack(packed.losses),
            influence=dict(packed.influence),
        )

    def digest(self) -> str:
        """What was learned, in one hash; when it was last published does not matter."""
        return blake2b(self._packed({}), digest_size=16).hexdigest()

    def _packed(self, changed: Mapping[str, float]) -> bytes:
        models = [(name, model.pack(changed.get(name, 0.0))) for name, model in sorted(self.models.items())]
        return msgspec.msgpack.encode(
            _Packed(self.seq, list(self.open.values()), models, self.losses.pack(), sorted(self.influence.items()))
        )


class _Packed(msgspec.Struct, array_like=True):
    """A ledger at rest. open: in the order of the log, which is that of `seq`."""

    seq: int
    open: list[OpenDecision]
    models: Sequence[tuple[str, Sequence[Any]]]
    losses: Sequence[Any]
    influence: list[tuple[bytes, int]]
