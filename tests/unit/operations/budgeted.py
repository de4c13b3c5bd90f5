"""People to whom sms is worth more or less than e-mail, by their plan, and days of decisions for them under a budget of sms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from personalization.bootstrap import House, memory_house
from personalization.clock import DAY, HOUR, ManualClock, instant
from personalization.deciding.record import decode_record
from personalization.learning.allocation import allocate
from personalization.learning.audience import Limits
from personalization.learning.logistic import RewardModel
from personalization.learning.policy import encode_policy
from personalization.messages import PersonalizationRequest
from personalization.operations.budgets import Budgets
from personalization.operations.learner import taken
from personalization.profile import DECIDED

MIDNIGHT = instant("2026-11-24T00:00:00Z")
PLANS, SHARES = ("a", "b", "c", "d", "e"), (0.1, 0.15, 0.25, 0.25, 0.25)
CHANNELS = ("email", "sms")
#: P(click) by plan and channel.
TRUTH = np.array([(0.12, 0.50), (0.10, 0.38), (0.12, 0.28), (0.14, 0.20), (0.12, 0.14)])
HOURLY = np.array([1, 1, 1, 1, 1, 2, 4, 6, 7, 6, 5, 5, 6, 6, 5, 5, 5, 6, 7, 8, 6, 4, 3, 2])
DECISIONS, LIMIT = 10_000, 2_000
BUDGETS = [{"channel": "sms", "limit": LIMIT, "period": "P1D"}]
OFFER = {"template_id": "offer", "channels": list(CHANNELS), "variants": [{"variant_id": "x", "content": {"en": {"text": "hi"}}}]}


class World:
    """A house at level quantum with a policy learned from a day of random sends."""

    def __init__(self, seed: int) -> None:
        self._seed, self.clock = seed, ManualClock(MIDNIGHT)
        ids = iter(range(1 << 40))
        self.house: House = memory_house(clock=self.clock, token=bytes, new_id=lambda: f"{seed}-{next(ids)}")
        self.house.storage.tenants.create("acme", MIDNIGHT)
        self.service = self.house.service("acme")
        self.service.create_template(OFFER)
        free = {name: {"cost": 0.0} for name in CHANNELS}
        self.service.patch_config({"service_level": "quantum", "exploration": 1.0, "channels": free})
        self._budgets = Budgets(self.house.storage, self.house.book, self.clock)
        self._learn(self.day(0)[0])
        self.service.patch_config({"exploration": 0.1})

    def close(self) -> None:
        self.house.orchestrator.close()

    def day(self, number: int, sms: int = DECISIONS) -> tuple[np.ndarray, list[str]]:
        """The plans of those who were decided for, and how they were sent to. sms : so many, first come first served"""
        rng = np.random.default_rng((self._seed, number > 0))  # the same people on every day but the first
        plans, sent = rng.choice(len(PLANS), DECISIONS, p=SHARES), list[str]()
        for hour, people in enumerate(np.split(plans, np.cumsum(rng.multinomial(DECISIONS, HOURLY / HOURLY.sum()))[:-1])):
            self.clock.set(MIDNIGHT + number * DAY + hour * HOUR)
            for some in np.array_split(people, 4):
                self._budgets.step("acme")
                sent += self._decided(some, CHANNELS[:1] if sent.count("sms") >= sms else CHANNELS)
                self.clock.advance(HOUR // 5)
        return plans, sent

    def _decided(self, plans: np.ndarray, channels: tuple[str, ...]) -> Iterator[str]:
        asked = {"tenant_id": "acme", "template_id": "offer", "channels": channels, "require_real_time": True, "render": False}
        requests = [PersonalizationRequest(**asked, context={"plan": PLANS[plan]}) for plan in plans]  # type: ignore[arg-type]
        for answer in self.service.personalize_many(requests):
            yield next(iter(answer.document["optimal_channels"]), "")  # type: ignore[union-attr]

    def _learn(self, plans: np.ndarray) -> None:
        """From clicks on what was decided for these."""
        rng, model, store = np.random.default_rng((self._seed, 2)), RewardModel(), self.house.storage
        rows = [row for row in store.log.read("acme", 0, 2 * DECISIONS) if row.type == DECIDED]
        inputs, chosen = zip(
            *[(found.inputs, found.outcome.chosen) for found in map(decode_record, (r.record for r in rows))], strict=True
        )
        clicked = rng.random(len(rows)) < [TRUTH[plan, CHANNELS.index(row.channel)] for plan, row in zip(plans, rows, strict=True)]
        model.enter(
            [one.features for one in inputs], list(map(taken, inputs, chosen)), clicked.astype(float).tolist(), [1.0] * len(rows)
        )
        body = encode_policy(model, {})
        self.house.book.put(store.snapshots.publish("acme", "variants:offer", rows[-1].seq, self.clock.now(), body))


def earned(plans: np.ndarray, sent: Sequence[str]) -> float:
    """Expected clicks."""
    return float(sum(TRUTH[plan, CHANNELS.index(channel)] for plan, channel in zip(plans, sent, strict=True) if channel))


def best(plans: np.ndarray) -> float:
    """Of those who know everybody beforehand."""
    return allocate(TRUTH[plans][:, :, None], Limits(budgets=[np.inf, LIMIT])).value
