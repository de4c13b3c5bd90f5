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
#: Decisions after which what is counted of late has lost half its weight: what people do follows the policy as it learns.
_LATELY = 500.0

Counts = dict[str, float]


@dataclass
class ModelState:
    """rewards: what was earned; counts of decisions by event type; changed: weight learned since the last publication.

    unsent   : what was earned where nothing was sent, in contexts alone; everything else is of what was sent
    variants : variant -> its own counts      harm : variant -> losses and sends
    lately   : as `counts`, of the decisions that nothing changes any more, the newest weighing most
    """

    rewards: RewardModel = field(default_factory=RewardModel)
    counts: Counts = field(default_factory=dict)
    changed: float = 0.0
    harm: dict[int, list[float]] = field(default_factory=dict)
    variants: dict[int, Counts] = field(default_factory=dict)
    unsent: RewardModel = field(default_factory=RewardModel)
    lately: Counts = field(default_factory=dict)

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

    def settled(self, decision: OpenDecision) -> None:
        """An exposed decision is over; before, what is missing of it may still come, and its share would be too low."""
        if decision.sent:
            kept = 2.0 ** (-decision.weight / _LATELY)
            self.lately = {kind: kept * n for kind, n in self.lately.items()}
            for kind in (EXPOSED, *decision.seen):
                self.lately[kind] = self.lately.get(kind, 0.0) + decision.weight

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
        lately = sorted(self.lately.items())
        counted = sorted(self.counts.items()), changed, sorted(self.harm.items()), variants
        return self.rewards.pack(), *counted, self.unsent.pack(), lately

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> ModelState:
        """Also of a checkpoint from before `lately` was counted."""
        rewards, counts, changed, harm, variants, unsent, *lately = packed
        own: Mapping[int, Counts] = {variant: dict(found) for variant, found in variants}
        found = RewardModel.unpack(rewards), dict(counts), changed, dict(harm), dict(own), RewardModel.unpack(unsent)
        return cls(*found, dict(lately[0]) if lately else {})


def _counted_as(variant: int, known: Collection[int]) -> int:
    return variant if variant in known or len(known) < _VARIANTS else OTHERS
