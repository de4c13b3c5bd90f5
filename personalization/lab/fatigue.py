"""G: people tire of messages and leave. When not to send?"""

from __future__ import annotations

import numpy as np

from personalization.clock import DAY, HOUR
from personalization.lab.product import START, Event
from personalization.lab.reading import AN_HOUR, Door, Reading, Run, Step
from personalization.lab.scenarios import Scenario
from personalization.lab.world import (
    DAYS,
    SEED,
    SEGMENTS,
    SHARES,
    UNSUBSCRIBE_COST,
    WEEK,
    best_fixed_cap,
    capped_value,
    leaves,
    mean_value,
    oracle_caps,
    tired,
    world_a,
)
from personalization.vocabulary import EventType

#: Times the best fixed cap that the policy must and might reach.
_MUST, _STRETCH = 1.2, 1.4


def fatigue(product: Door, scenario: Scenario, seed: int, messages: int, step: Step) -> Run:
    """Each day every user still there is decided for once; somebody who unsubscribed is gone."""
    people = scenario.users or 0
    days = max(1, min(DAYS, messages // people))
    rng = np.random.default_rng([SEED, seed])
    segment = rng.choice(SEGMENTS, size=people, p=SHARES)
    uniform = rng.random((DAYS, people, 2))
    logits, sent, alive = world_a().logits(), np.zeros((days, people), np.int64), np.ones(people, bool)
    value = np.zeros(days)
    product.people(segment.tolist())
    for day in range(days):
        sends7 = sent[max(0, day - WEEK) : day].sum(axis=0)
        for user in np.flatnonzero(alive).tolist():
            product.clock(START + day * DAY + user * HOUR // AN_HOUR)
            choice = product.decide([user])[0]
            if choice.action is None:
                continue
            sent[day, user] = 1
            p, q = float(tired(logits[segment[user], choice.action], sends7[user])), float(leaves(sends7[user]))
            value[day] += p - UNSUBSCRIBE_COST * q
            clicks, goes = uniform[day, user] < (p, q)
            alive[user] = not goes
            events = [Event(choice, EventType.REWARDED, float(clicks) - UNSUBSCRIBE_COST * float(goes))]
            product.learn([*events, Event(choice, EventType.UNSUBSCRIBED)] if goes else events)
            step(day * people + user)
    weeks = days / WEEK
    fixed, cap = best_fixed_cap()
    reading = Reading(
        window=f"a user-week, best fixed cap {cap}",
        policy=float(value.sum()) / people / weeks,
        random=mean_value(capped_value(logits, None).mean(axis=1)),
        best_fixed=fixed,
        oracle=oracle_caps(),
        must=_MUST * fixed,
        stretch=_STRETCH * fixed,
        complete=days == DAYS,
    )
    return Run(readings=(reading,), curve=tuple((day + 1.0, float(v) / people * WEEK) for day, v in enumerate(value)))
