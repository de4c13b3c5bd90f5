"""The simulated world: who clicks on what, where and when, and what somebody who knew it all would earn.

Six segments; an action is variant x channel x hour of day, numbered variant * 72 + channel * 24 + hour. The click
probability is p = sigmoid(base + variant + channel + hour), each term by segment. Everything here is exact: probabilities
and expectations, no realised clicks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SEED = 20261123
SEGMENTS, VARIANTS, CHANNELS, HOURS = 6, 4, 3, 24
ACTIONS = VARIANTS * CHANNELS * HOURS
#: Share of the messages that goes to each segment.
SHARES = (0.30, 0.25, 0.20, 0.10, 0.10, 0.05)

#: Deviation of a user's own effect in the logit.
_USER_DEVIATION = 0.3


@dataclass(frozen=True)
class World:
    """Terms of the logit. base : (6,)    variant : (6, 4)    channel : (6, 3)    hour : (6, 24)"""

    base: Array
    variant: Array
    channel: Array
    hour: Array

    def logits(self) -> Array:
        """(6, 288)"""
        terms = self.variant[:, :, None, None] + self.channel[:, None, :, None] + self.hour[:, None, None, :]
        return np.asarray(self.base[:, None] + terms.reshape(SEGMENTS, ACTIONS))

    def probabilities(self) -> Array:
        """(6, 288)"""
        return sigmoid(self.logits())

    def drifted(self) -> World:
        """Every variant takes the place of the next one."""
        return replace(self, variant=np.roll(self.variant, 1, axis=1))

    def indifferent(self) -> World:
        """Whatever is sent makes no difference."""
        return replace(self, variant=0 * self.variant, channel=0 * self.channel, hour=0 * self.hour)


def world_a() -> World:
    return _drawn()[0]


def user_effects(users: int) -> Array:
    """(users,) in the logit: the world's draws after those of world A."""
    return np.asarray(_drawn()[1].normal(0.0, _USER_DEVIATION, users))


def _drawn() -> tuple[World, np.random.Generator]:
    """The order of these draws is the world."""
    r = np.random.default_rng(SEED)
    base = r.normal(-2.0, 0.4, SEGMENTS)
    variant = r.normal(0.0, 0.8, (SEGMENTS, VARIANTS))
    channel = r.normal(0.0, 0.6, (SEGMENTS, CHANNELS))
    peak = r.uniform(7.0, 22.0, SEGMENTS)
    turn = (np.arange(HOURS) - peak[:, None]) * 2.0 * np.pi / HOURS
    return World(base, variant, channel, 1.2 * np.exp(2.0 * (np.cos(turn) - 1.0))), r


def sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def action_number(variant: int, channel: int, hour: int) -> int:
    return (variant * CHANNELS + channel) * HOURS + hour


# -- who knows how much ----------------------------------------------------------------------------------------------


def best_fixed(p: Array) -> int:
    """The action whose value over the oracle's is highest in the mean over segments. p : (6, 288)"""
    return int(relative(p).mean(axis=0).argmax())


def best_fixed_by_value(p: Array) -> int:
    """The action that the most of all people click on. p : (6, 288)"""
    return int((np.array(SHARES) @ p).argmax())


def relative(p: Array) -> Array:
    """Each action's value over that of its segment's best."""
    return np.asarray(p / p.max(axis=1, keepdims=True))


def ceiling_without_segment(p: Array, missing: float) -> float:
    """What can be reached when that share of messages says nothing of the segment and nobody guesses it."""
    return float((1.0 - missing) + missing * relative(p)[:, best_fixed(p)].mean())


# -- fatigue ---------------------------------------------------------------------------------------------------------

#: Days of the simulation and days that a send is remembered.
DAYS, WEEK = 56, 7
#: What an unsubscribe costs, in clicks.
UNSUBSCRIBE_COST = 20.0
#: Most sends in seven days that a fixed cap may allow; None = no cap.
CAPS: tuple[int | None, ...] = (1, 2, 3, 4, 5, 6, 7, None)


def tired(logit: Array | float, sends7: Array | float) -> Array:
    """P(click) of a send after so many in the 7 days before."""
    return sigmoid(np.asarray(logit) - 0.25 * np.maximum(np.asarray(sends7) - 3.0, 0.0))


def leaves(sends7: Array | float) -> Array:
    """P(unsubscribe) by a send after so many in the 7 days before."""
    return sigmoid(-6.5 + 0.35 * np.maximum(np.asarray(sends7, np.float64) - 3.0, 0.0))


def capped_value(logits: Array, cap: int | None) -> Array:
    """Expected clicks - 20 unsubscribes a user-week, by segment, of sending one triple whenever fewer than `cap` sends lie
    in the 7 days before. logits : (6,) of the triple each segment gets, or (6, n) of several such plans."""
    sent: list[int] = []
    alive, value = 1.0, np.zeros(logits.shape)
    for _ in range(DAYS):
        sends7 = sum(sent[-WEEK:])
        sends = cap is None or sends7 < cap
        sent.append(int(sends))
        if sends:
            value = value + alive * (tired(logits, sends7) - UNSUBSCRIBE_COST * leaves(sends7))
            alive *= 1.0 - float(leaves(sends7))
    return value / (DAYS / WEEK)


@lru_cache(maxsize=1)
def best_fixed_cap() -> tuple[float, int | None]:
    """A user-week under the best fixed triple and the best cap for everybody, and that cap."""
    logits = world_a().logits()
    triple = logits[:, best_fixed_by_value(world_a().probabilities())]
    return max((float(SHARES @ capped_value(triple, cap)), cap) for cap in CAPS[:-1])


@lru_cache(maxsize=1)
def oracle_caps() -> float:
    """A user-week under every segment's best triple and best cap."""
    logits = world_a().logits().max(axis=1)
    return float(SHARES @ np.max([capped_value(logits, cap) for cap in CAPS], axis=0))


# -- uplift ----------------------------------------------------------------------------------------------------------

#: What a send costs, in conversions.
SEND_COST = 0.01
#: Chance to convert without a message, in units of p*(s).
_UNPROMPTED = (0.0, 0.0, 0.0, 0.0, 1.3, 0.5)


def unprompted(p: Array) -> Array:
    """(6,): the chance to convert without a message. p : (6, 288)"""
    return np.asarray(np.array(_UNPROMPTED) * p.max(axis=1))


def mean_value(by_segment: Sequence[float] | Array) -> float:
    """Over all messages."""
    return float(np.array(SHARES) @ np.asarray(by_segment))
