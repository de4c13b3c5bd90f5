"""Whether answers come in streaks, or evenly spread, beyond what chance does."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from personalization.clock import DAY, HOUR
from personalization.engines.analyses.finding import SURE, Finding, pattern, percent
from personalization.learning.proportions import Share, chance_to_differ
from personalization.profile import RECENT_OCCASIONS, PersonalizationProfile

#: A younger send may still be answered.
_PENDING = DAY
#: Sends within so many hours are sent together.
_TOGETHER = 6
_EVENLY = Share(1.0, 1.0)


def spacing(profile: PersonalizationProfile, now: int) -> Finding:
    """Whether a send after an answered one is answered more often, or less, than one after an unanswered one: two shares.

    probability: that the two differ.
    """
    answers = _answers(profile, now)
    after = [[answer for before, answer in pairwise(answers) if before is kind] for kind in (True, False)]
    counts = [(float(sum(found)), float(len(found))) for found in after]
    chance = chance_to_differ(counts, _EVENLY)
    streak, alone = (_EVENLY.after(*count).mean for count in counts)
    word = None if chance < SURE else "bursty" if streak > alone else "regular"
    words = _SPACING[word].format(percent(streak), percent(alone))
    rates = {"rate_after_answer": streak, "rate_after_silence": alone}
    return pattern("spacing", words, chance, spacing=word, **rates, sends=len(answers))


_SPACING = {
    None: "Answers come neither in streaks nor evenly spread, as far as can be told.",
    "bursty": "Answers come in streaks: {} of sends after an answered one, {} after an unanswered one.",
    "regular": "Answers are evenly spread: {} of sends after an answered one, {} after an unanswered one.",
}


def _answers(profile: PersonalizationProfile, now: int) -> list[bool]:
    """Of the remembered sends, oldest first, whether an engagement came before the next one; from the oldest remembered
    engagement on, where older ones may be forgotten. What was sent together counts once: its answers cannot be told apart."""
    occasions, begun = profile.patterns.occasions, _apart([at for at in profile.patterns.recent if at <= now])
    if len(occasions) == RECENT_OCCASIONS:
        begun = begun[max(bisect_right(begun, occasions[0]) - 1, 0) :]
    ripe = bisect_right(begun, (now - _PENDING) // HOUR)
    ends = [*begun[1:], now // HOUR + 1][:ripe]
    return [bisect_left(occasions, begin) < bisect_left(occasions, end) for begin, end in zip(begun[:ripe], ends, strict=True)]


def _apart(sends: Sequence[int]) -> list[int]:
    """The hours of the first of those sent together."""
    hours: list[int] = []
    for at in sends:
        if not hours or at // HOUR >= hours[-1] + _TOGETHER:
            hours.append(at // HOUR)
    return hours
