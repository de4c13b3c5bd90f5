"""H: some convert without a message, some because of it. Whom not to send to?"""

from __future__ import annotations

import math

import numpy as np

from personalization.clock import HOUR
from personalization.lab.product import START, Event, Product
from personalization.lab.reading import AN_HOUR, Reading, Run, Step
from personalization.lab.scenarios import Mask, Numbers, Scenario
from personalization.lab.world import SEGMENTS, SEND_COST, best_fixed_by_value, sigmoid, unprompted, world_a
from personalization.vocabulary import EventType

#: Messages in one point of the curve.
_POINT = 5_000


def uplift(product: Product, scenario: Scenario, seed: int, messages: int, step: Step) -> Run:
    traffic = scenario.traffic(seed, messages)
    product.people(traffic.traits())
    p = sigmoid(traffic.logits[0])
    base = unprompted(p)
    actions, held = np.full(messages, -1), np.zeros(messages, bool)
    for i in range(messages):
        product.clock(START + i * HOUR // AN_HOUR)
        choice, s = product.decide([i])[0], traffic.segment[i]
        held[i] = choice.held
        if choice.action is not None:
            actions[i] = choice.action
        chance, cost = (base[s], 0.0) if choice.action is None else (p[s, choice.action], SEND_COST)
        product.learn([Event(choice, EventType.REWARDED, float(traffic.uniform[i] < chance) - cost)])
        if not i % AN_HOUR:
            step(i)
    return uplift_judged(scenario, traffic.segment, actions, held)


def uplift_judged(scenario: Scenario, segment: Numbers, actions: Numbers, held: Mask) -> Run:
    """Over the last half of the messages without the holdout, which is no choice of the policy's. actions : -1 = not sent.

    Where the policy did not send, send-to-all gets the mean of the triples it does send to that segment, if any.
    """
    p = sigmoid(world_a().logits())
    base, best = unprompted(p), p.max(axis=1)
    sends, last = actions >= 0, np.arange(len(segment)) >= len(segment) // 2
    sent_value = np.where(sends, p[segment, actions] - SEND_COST, 0.0)
    judged_, own = last & ~held, last & sends
    mean_sent = np.array(
        [sent_value[own & (segment == s)].mean() if (own & (segment == s)).any() else 0.0 for s in range(SEGMENTS)]
    )
    policy = np.where(sends, sent_value, base[segment])
    to_all = float(np.where(sends, sent_value, mean_sent[segment])[judged_].mean())
    to_none = float(base[segment][judged_].mean())
    oracle = float(np.maximum(best - SEND_COST, base)[segment][judged_].mean())
    fixed = p[:, best_fixed_by_value(p)] - SEND_COST
    reading = Reading(
        window=f"last {len(segment) - len(segment) // 2:,}; must: above send-to-all and send-to-none",
        policy=float(policy[judged_].mean()),
        random=float((p.mean(axis=1) - SEND_COST)[segment][judged_].mean()),
        best_fixed=float(fixed[segment][judged_].mean()),
        oracle=oracle,
        must=math.nextafter(max(to_all, to_none), math.inf),
        stretch=to_all + 0.5 * (oracle - to_all),
        complete=len(segment) >= scenario.messages,
    )
    blocks = [slice(at, at + _POINT) for at in range(0, len(segment), _POINT)]
    curve = tuple((float(b.start), float(policy[b][~held[b]].mean())) for b in blocks)
    return Run(readings=(reading,), curve=curve)
