"""The messages of a scenario, one by one, through whatever decides."""

from __future__ import annotations

import math
from heapq import heappop, heappush

import numpy as np

from personalization.clock import HOUR
from personalization.lab.product import START, Event
from personalization.lab.reading import AN_HOUR, Door, Step
from personalization.lab.scenarios import Numbers, Traffic
from personalization.lab.world import sigmoid
from personalization.vocabulary import EventType


def play(product: Door, traffic: Traffic, step: Step = lambda done: None) -> Numbers:
    """(n,): the chosen actions. Each reward is learned before the message it is due before."""
    product.people(traffic.traits())
    actions = np.zeros(len(traffic), np.int64)
    waiting: list[tuple[int, int, Event]] = []
    table = [sigmoid(logits) for logits in traffic.logits]
    for i in range(len(traffic)):
        product.clock(START + i * HOUR // AN_HOUR)
        choice = product.decide([int(traffic.user[i])])[0]
        if choice.action is None:
            raise AssertionError("sending is compulsory here, and nothing forbids it")
        actions[i] = choice.action
        p = table[traffic.phase[i]][traffic.segment[i], choice.action]
        if traffic.effect[i]:
            p = _shifted(p, traffic.effect[i])
        heappush(waiting, (int(traffic.due[i]), i, Event(choice, EventType.REWARDED, float(traffic.uniform[i] < p))))
        product.learn(_due(waiting, i + 1))
        if not i % AN_HOUR:
            step(i)
    return actions


def _due(waiting: list[tuple[int, int, Event]], number: int) -> list[Event]:
    events = []
    while waiting and waiting[0][0] <= number:
        events.append(heappop(waiting)[2])
    return events


def _shifted(p: float, effect: float) -> float:
    return 1.0 / (1.0 + (1.0 - p) / p * math.exp(-effect))
