"""The strategies of the architecture as named sets of parts: what each switches on, what a level grants, what took part.

What runs in a decision is the union of the parts of the strategies asked for (all, when none is named) among those that the
service level grants. A strategy took part where a part that shows it found something or had a choice to make.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, reduce
from operator import or_

import msgspec

from personalization.deciding.paths import CHANNEL, SEND, TIMING, VARIANT
from personalization.vocabulary import Strategy

#: Stages that a model takes part in, as Inputs keeps them.
STAGES = SEND | VARIANT | CHANNEL | TIMING
#: Engines that are read.
CONTEXT, BEHAVIOR, SYNC = 16, 32, 64
#: Evidence about this one person: observed hours and channels, bounces.
HABIT, TASTE, REACH = 128, 256, 512
#: Declared features of variants; the forecast of engagement.
DECLARED, FORECAST = 1024, 2048
#: Shadow prices of channels whose budget binds.
PRICES = 4096


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What takes part in a decision at a service level."""

    variant_policy: bool = False
    forecast: bool = False
    send_time: bool = False
    channel_choice: bool = False
    send_choice: bool = False
    channel_sync: bool = False
    shadow_prices: bool = False


class Kit(msgspec.Struct, frozen=True):
    """switches : the parts a strategy switches on     shows : those by which one sees that it took part"""

    switches: int
    shows: int


#: What each strategy is made of. Emotion has no engine yet.
STRATEGIES: Mapping[Strategy, Kit] = {
    Strategy.NEURAL_CONTENT: Kit(VARIANT | DECLARED, DECLARED),
    Strategy.BEHAVIORAL_ADAPTIVE: Kit(CHANNEL | TIMING | BEHAVIOR | HABIT | TASTE | REACH, BEHAVIOR | HABIT | TASTE | REACH),
    Strategy.EMOTIONAL_RESONANCE: Kit(0, 0),
    Strategy.CONTEXTUAL_INTELLIGENCE: Kit(VARIANT | CONTEXT, CONTEXT),
    Strategy.PREDICTIVE_OPTIMIZATION: Kit(STAGES | FORECAST | PRICES, STAGES),
    Strategy.CROSS_CHANNEL_SYNC: Kit(SYNC, SYNC),
}

#: What each capability of a level grants.
GRANTS: Mapping[str, int] = {
    "variant_policy": VARIANT | DECLARED | CONTEXT,
    "forecast": FORECAST,
    "send_time": TIMING | BEHAVIOR | HABIT,
    "channel_choice": CHANNEL | BEHAVIOR | TASTE | REACH,
    "send_choice": SEND | BEHAVIOR,
    "channel_sync": SYNC,
    "shadow_prices": PRICES,
}


@lru_cache(maxsize=256)
def granted(capabilities: Capabilities) -> int:
    return reduce(or_, (parts for name, parts in GRANTS.items() if getattr(capabilities, name)), 0)


@lru_cache(maxsize=1024)
def switched(capabilities: Capabilities, asked: tuple[str, ...]) -> int:
    """The parts that run. asked: strategies of the request, all when empty"""
    return granted(capabilities) & reduce(or_, (kit.switches for name, kit in STRATEGIES.items() if not asked or name in asked))


@lru_cache(maxsize=1024)
def applied(asked: tuple[str, ...], took: int) -> tuple[str, ...]:
    """The strategies asked for of which a part took part."""
    return tuple(str(name) for name, kit in STRATEGIES.items() if kit.shows & took and (not asked or name in asked))
