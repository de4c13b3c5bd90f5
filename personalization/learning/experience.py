"""What one model has seen: rewards with a message and without one, how often which events followed, and how often people were
lost, by variant too."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from personalization.learning.earning import OpenDecision
from personalization.learning.logistic import RewardModel

#: Publish once this share of a model's weight is new.
_CHANGED_SHARE = 0.02
#: Variants counted one by one, since callers may name ever new ones; the others stand together under a key that none has.
_VARIANTS, OTHERS = 4_096, 0
#: What a decision counts as once it is exposed.
EXPOSED = "exposed"

Counts = dict[str, float]


@dataclass
class ModelState:
    """rewards: what was earned; counts of decisions by event type; changed: weight learned since the last publication.

    unsent   : what was earned where nothing was sent, in contexts alone; everything else is of what was sent
    variants : variant -> its own counts      harm : variant -> losses and sends
    """

    rewards: RewardModel = field(default_factory=RewardModel)
    counts: Counts = field(default_factory=dict)
    changed: float = 0.0
    harm: dict[int, list[float]] = field(default_factory=dict)
    variants: dict[int, Counts] = field(default_factory=dict)
    unsent: RewardModel = field(default_factory=RewardModel)

    def worth_publishing(self) -> bool:
        return self.changed > 0.0 and self.changed >= _CHANGED_SHARE * self.rewards.weight

    def entered(self, decisions: Sequence[OpenDecision]) -> None:
        """Each is told how it came in."""
        for sent in (True, False):
            self._enter([d for d in decisions if d.sent is sent], self.of(sent))
        for decision in decisions:
            self._sent(decision, decision.weight)
            self.changed += decision.weight

    def of(self, sent: bool) -> RewardModel:
        """What is learned of rewards with a message, or without one."""
        return self.rewards if sent else self.unsent

    def pairs(self) -> set[int]:
        """Keys of the pairs of context and action that were seen."""
        return self.rewards.design.index.keys() | self.unsent.design.index.keys()

    def _enter(self, decisions: Sequence[OpenDecision], rewards: RewardModel) -> None:
        came_in = rewards.enter(
            [d.context for d in decisions],
            [d.action for d in decisions],
            [d.reward for d in decisions],
            [d.weight for d in decisions],
        )
        for decision, entered in zip(decisions, came_in, strict=True):
            decision.entered = entered

    def left(self, decision: OpenDecision) -> None:
        """As if it had never been; its loss was taken back before."""
        self.of(decision.sent).leave(decision.context, decision.action, decision.reward, decision.weight, decision.entered)
        self._sent(decision, -decision.weight)
        self.changed += decision.weight

    def corrected(self, decision: OpenDecision, reward: float) -> None:
        self.of(decision.sent).correct(
            decision.context, decision.action, decision.reward, reward, decision.weight, decision.entered
        )
        self.changed += decision.weight

    def count(self, decision: OpenDecision, kind: str, weight: float) -> None:
        """An event of what was sent."""
        if not decision.sent:
            return
        for counts in (self.counts, self.variants.setdefault(_counted_as(decision.variant, self.variants), {})):
            counts[kind] = counts.get(kind, 0.0) + weight

    def lost(self, decision: OpenDecision, loss: float) -> None:
        """A loss where there was none, or none where there was one."""
        self.harm_by(decision.variant)[0] += decision.weight * ((loss > 0.0) - (decision.loss > 0.0))

    def _sent(self, decision: OpenDecision, weight: float) -> None:
        if not decision.sent:
            return
        self.harm_by(decision.variant)[1] += weight
        for kind in (EXPOSED, *decision.seen):
            self.count(decision, kind, weight)

    def harm_by(self, variant: int) -> list[float]:
        return self.harm.setdefault(_counted_as(variant, self.harm), [0.0, 0.0])

    def pack(self, changed: float) -> tuple[Any, ...]:
        variants = [(variant, sorted(counts.items())) for variant, counts in sorted(self.variants.items())]
        return self.rewards.pack(), sorted(self.counts.items()), changed, sorted(self.harm.items()), variants, self.unsent.pack()

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> ModelState:
        rewards, counts, changed, harm, variants, unsent = packed
        own: Mapping[int, Counts] = {variant: dict(found) for variant, found in variants}
        return cls(RewardModel.unpack(rewards), dict(counts), changed, dict(harm), dict(own), RewardModel.unpack(unsent))


def _counted_as(variant: int, known: Collection[int]) -> int:
    return variant if variant in known or len(known) < _VARIANTS else OTHERS
