"""How freely a decision may be made: what the tenant, the person's consent, the level and the request say together."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from personalization.deciding.strategies import STAGES, Capabilities, switched
from personalization.vocabulary import LearningMode, Mode


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """exploration : highest P(joint action differs from the greedy one), in millionths
    stages      : which stages a model takes part in
    trains      : what is sent may be learned from     learns : what happens where nothing is
    held_back   : the baseline goes out by the first channel at the earliest slot
    parts       : what else of the strategies runs, see `strategies`
    """

    mode: Mode
    exploration: int
    stages: int
    trains: bool
    learns: bool
    held_back: bool
    parts: int


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
    parts = switched(capabilities, strategies) if personal else 0
    mode = _mode(capabilities, learning_mode, exploration, personal and not quality_failed, learns, holdout)
    return Terms(
        mode=mode,
        exploration=0 if mode in (Mode.BASELINE, Mode.GREEDY) else round(exploration * 1e6),
        stages=parts & STAGES,
        trains=mode in (Mode.ONLINE, Mode.GREEDY) and learning_mode is LearningMode.ONLINE and learns,
        learns=learning_mode is LearningMode.ONLINE and personal and learns,
        held_back=mode in (Mode.HOLDOUT, Mode.APPRENTICE) or quality_failed or not personal,
        parts=parts,
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
