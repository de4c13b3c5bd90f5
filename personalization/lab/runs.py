"""One run of a scenario through the product, and what it was worth. Values are true probabilities, never realised clicks.

Every message is decided with all rewards known that come before it, so messages go through one by one. Only in C they go
in hours of 250: there the clicks do not depend on what is sent, so neither does the lift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol

import numpy as np

from personalization.clock import DAY, HOUR
from personalization.lab.product import START, Choice, Event, Product
from personalization.lab.scenarios import Mask, Numbers, Scenario, Traffic, Window, ordinals
from personalization.lab.world import (
    DAYS,
    SEED,
    SEGMENTS,
    SEND_COST,
    SHARES,
    UNSUBSCRIBE_COST,
    WEEK,
    Array,
    best_fixed_cap,
    capped_value,
    leaves,
    mean_value,
    oracle_caps,
    sigmoid,
    tired,
    unprompted,
    world_a,
)
from personalization.vocabulary import EventType

AN_HOUR = 250
#: Messages of a segment in one point of a curve, and those of all in one point of H's.
_POINT, _POINT_OF_ALL = 50, 5_000
#: G: times the best fixed cap that the policy must and might reach.
_MUST_OF_CAP, _STRETCH_OF_CAP = 1.2, 1.4

Step = Callable[[int], None]


class Door(Protocol):
    """What decides: the product, or whatever it is compared with."""

    def people(self, segments: Sequence[int | None]) -> None:
        """Called once: what is told of users 0, 1, …"""
        ...

    def clock(self, now: int) -> None: ...

    def decide(self, users: Sequence[int]) -> list[Choice]: ...

    def learn(self, events: Sequence[Event]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a run was worth in one window, beside what others would have earned there.

    complete : whether the run was long enough for the window to be judged
    """

    window: str
    policy: float
    random: float
    best_fixed: float
    oracle: float
    must: float | None = None
    stretch: float | None = None
    complete: bool = True


@dataclass(frozen=True, kw_only=True)
class Run:
    """readings, and the policy's value over time: (x, value)."""

    readings: tuple[Reading, ...]
    curve: tuple[tuple[float, float], ...] = ()


def run(scenario: Scenario, seed: int, exploration: float, messages: int | None = None, step: Step = lambda done: None) -> Run:
    """Through a house of its own. Same arguments, same answer."""
    with Product(f"{scenario.name}{seed}", {**scenario.config, "exploration": exploration}) as product:
        return _RUNS.get(scenario.name, _relative_to_oracle)(product, scenario, seed, messages or scenario.messages, step)


# -- A, B, D, E, F: value over the oracle's ------------------------------------------------------------------------------


def _relative_to_oracle(product: Product, scenario: Scenario, seed: int, messages: int, step: Step) -> Run:
    traffic = scenario.traffic(seed, messages)
    return judged(scenario, traffic, play(product, traffic, step))


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


def judged(scenario: Scenario, traffic: Traffic, actions: Numbers) -> Run:
    """The mean over segments of (value of these actions / value of the oracle's), by the segment's message count."""
    since = traffic.phase == (1 if scenario.drift_at is not None else 0)
    count, segment = ordinals(traffic.segment[since]), traffic.segment[since]
    values = {"policy": traffic.chances(actions), "random": traffic.random(), "best_fixed": traffic.fixed()}
    values = {name: value[since] for name, value in values.items()}
    oracle = traffic.oracle()[since]

    def ratio(name: str, start: int, stop: int) -> float:
        return over_segments(values[name], oracle, segment, (count >= start) & (count < stop))

    readings = [
        Reading(
            window=window.name,
            **{name: ratio(name, window.start, window.stop) for name in values},
            oracle=1.0,
            must=window.must,
            stretch=window.stretch,
            complete=_filled(window, segment),
        )
        for window in scenario.windows
    ]
    starts = range(0, max(window.stop for window in scenario.windows), _POINT)
    curve = [(start + _POINT / 2, ratio("policy", start, start + _POINT)) for start in starts]
    return Run(readings=tuple(readings), curve=tuple((x, y) for x, y in curve if not math.isnan(y)))


def over_segments(value: Array, oracle: Array, segment: Numbers, where: Mask) -> float:
    """NaN when a segment has no message there."""
    earned = np.bincount(segment[where], value[where], SEGMENTS)
    possible = np.bincount(segment[where], oracle[where], SEGMENTS)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float((earned / possible).mean())


def _filled(window: Window, segment: Numbers) -> bool:
    """Whether every segment came at least nine tenths of the way through; the rarest has about 2,000 messages of 40,000."""
    fewest = int(np.bincount(segment, minlength=SEGMENTS).min())
    return fewest >= window.start + 0.9 * (window.stop - window.start)


# -- C: the interval of the lift -------------------------------------------------------------------------------------


def _noise(product: Product, scenario: Scenario, seed: int, messages: int, step: Step) -> Run:
    """Clicks are reported as `clicked` too, after the final `rewarded`, so that the product's overview counts them."""
    traffic = scenario.traffic(seed, messages)
    product.people(traffic.traits())
    clicked = traffic.uniform < traffic.oracle()
    for at in range(0, messages, AN_HOUR):
        product.clock(START + at // AN_HOUR * HOUR)
        choices = product.decide(traffic.user[at : at + AN_HOUR].tolist())
        hits = clicked[at : at + AN_HOUR].tolist()
        product.learn([Event(choice, EventType.REWARDED, float(hit)) for choice, hit in zip(choices, hits, strict=True)])
        product.learn([Event(choice, EventType.CLICKED) for choice, hit in zip(choices, hits, strict=True) if hit])
        step(at)
    lift = product.lift()
    value, low, high = lift["value"], lift["low"], lift["high"]
    if value is None or low is None or high is None:
        covers, complete = 0.0, False
    else:
        covers, complete = float(low <= 0.0 <= high), messages >= scenario.messages
    reading = Reading(
        window="interval of the lift covers 0",
        policy=covers,
        random=math.nan,
        best_fixed=math.nan,
        oracle=math.nan,
        must=0.92,
        complete=complete,
    )
    return Run(readings=(reading,), curve=() if value is None else ((float(seed), value),))


# -- G: fatigue ------------------------------------------------------------------------------------------------------


def _fatigue(product: Product, scenario: Scenario, seed: int, messages: int, step: Step) -> Run:
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
        must=_MUST_OF_CAP * fixed,
        stretch=_STRETCH_OF_CAP * fixed,
        complete=days == DAYS,
    )
    return Run(readings=(reading,), curve=tuple((day + 1.0, float(v) / people * WEEK) for day, v in enumerate(value)))


# -- H: uplift -------------------------------------------------------------------------------------------------------


def _uplift(product: Product, scenario: Scenario, seed: int, messages: int, step: Step) -> Run:
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
    fixed = p[:, int((np.array(SHARES) @ p).argmax())] - SEND_COST
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
    blocks = [slice(at, at + _POINT_OF_ALL) for at in range(0, len(segment), _POINT_OF_ALL)]
    curve = tuple((float(b.start), float(policy[b][~held[b]].mean())) for b in blocks)
    return Run(readings=(reading,), curve=curve)


_RUNS: Mapping[str, Callable[[Product, Scenario, int, int, Step], Run]] = {"C": _noise, "G": _fatigue, "H": _uplift}
