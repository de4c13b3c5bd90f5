"""How freely a decision may be made: what the tenant, the person's consent, the level and the request say together."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from personalization.deciding.stages import CHANNEL, SEND, TIMING, VARIANT
from personalization.vocabulary import LearningMode, Mode, Strategy

_ALL_STRATEGIES = frozenset(Strategy)


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What takes part in a decision at a service level."""

    variant_policy: bool = False
    forecast: bool = False
    send_time: bool = False
    channel_choice: bool = False
    send_choice: bool = False
    channel_sync: bool = False


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """exploration : highest P(joint action differs from the greedy one), in millionths
    stages      : which stages a model takes part in
    held_back   : the baseline goes out by the first channel at the earliest slot
    strategies  : those that may take part
    """

    mode: Mode
    exploration: int
    stages: int
    trains: bool
    held_back: bool
    strategies: frozenset[str]


@lru_cache(maxsize=4096)
def terms_of(
    capabilities: Capabilities,
    strategies: tuple[str, ...],
    learning_mode: LearningMode,
    exploration: float,
    *,
    personal: bool,
    learns: bool,
    holdout: bool,
    quality_failed: bool,
) -> Terms:
    """The same for many people, so it is remembered.

    strategies : those the request asks for, all when empty
    personal   : consent to personalization     learns : consent to learning
    holdout    : the person is in the holdout   quality_failed : no variant was good enough
    """
    asked = frozenset(strategies) or _ALL_STRATEGIES
    mode = _mode(capabilities, learning_mode, exploration, personal and not quality_failed, learns, holdout)
    return Terms(
        mode=mode,
        exploration=0 if mode in (Mode.BASELINE, Mode.GREEDY) else round(exploration * 1e6),
        stages=_stages(capabilities, asked) if personal else 0,
        trains=mode in (Mode.ONLINE, Mode.GREEDY) and learning_mode is LearningMode.ONLINE and learns,
        held_back=mode in (Mode.HOLDOUT, Mode.APPRENTICE) or quality_failed or not personal,
        strategies=asked,
    )


def _mode(
    capabilities: Capabilities, learning_mode: LearningMode, exploration: float, personal: bool, learns: bool, holdout: bool
) -> Mode:
    if not personal or not capabilities.variant_policy:
        return Mode.BASELINE
    if holdout:
        return Mode.HOLDOUT
    if learning_mode is LearningMode.APPRENTICE:
        return Mode.APPRENTICE
    return Mode.GREEDY if learning_mode is LearningMode.OFF or not learns or exploration == 0.0 else Mode.ONLINE


def _stages(capabilities: Capabilities, asked: frozenset[str]) -> int:
    behaviour = Strategy.BEHAVIORAL_ADAPTIVE in asked
    words = Strategy.PREDICTIVE_OPTIMIZATION in asked or Strategy.NEURAL_CONTENT in asked
    return (
        VARIANT * (capabilities.variant_policy and words)
        + CHANNEL * (capabilities.channel_choice and behaviour)
        + TIMING * (capabilities.send_time and behaviour)
        + SEND * (capabilities.send_choice and Strategy.PREDICTIVE_OPTIMIZATION in asked)
    )
