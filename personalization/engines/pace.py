"""How much somebody gets against how much they answer: momentum, saturation, fatigue. O(log 64) a look."""

from __future__ import annotations

import math
from bisect import bisect_left

import msgspec

from personalization.clock import DAY
from personalization.profile import HALF_LIFE, SHORT_HALF_LIFE, Patterns, fading

RISING, STEADY, FALLING = "rising", "steady", "falling"
UNDER, ON_TARGET, OVER = "under", "on_target", "over"
RESTED, TIRING, FATIGUED = "rested", "tiring", "fatigued"

WEEK = 7 * DAY
#: Unanswered sends tire for this long.
_TIRES = 3 * DAY
#: Unanswered sends within it from which on somebody is tiring, and fatigued.
_TIRING, _FATIGUED = 2, 4
#: A steady rate r leaves r * half-life / ln 2 in a decayed count, so this times the count is what comes in a week.
A_WEEK = math.log(2.0) * WEEK / HALF_LIFE
#: Of a steady rate the long count has so many times the short one.
_SPANS = HALF_LIFE / SHORT_HALF_LIFE
#: Below so much decayed evidence nothing is said of momentum.
_EVIDENCE = 1.0
_RISING, _FALLING = 1.5, 1.0 / 1.5
#: Sends a week for each engagement a week that still count as on target.
SENDS_AN_ENGAGEMENT = 3.0


class Pace(msgspec.Struct, frozen=True):
    """What came and went of late.

    momentum    : rate of engagement of the last days (half-life 7) over the long run's (28), one pseudo-engagement on
                  either side of a steady rate: 1 is steady, up to 4; None when hardly anything was ever engaged with
    load        : sends of the last 7 days
    appetite    : messages they engage with in a week in the long run, and one more for whoever is hardly known
    unanswered  : sends of the last 3 days after which no engagement came
    recovers_at : when, left alone, they will be rested; None: they are. An engagement rests them at once
    """

    momentum: float | None
    load: int
    appetite: float
    unanswered: int
    recovers_at: int | None

    @property
    def words(self) -> tuple[str | None, str, str]:
        """Momentum; saturation: fewer sends than their appetite (who answers everything could take more), up to three times
        it, or more; fatigue."""
        n, going = self.unanswered, self.momentum
        return (
            None if going is None else RISING if going >= _RISING else FALLING if going <= _FALLING else STEADY,
            UNDER if self.load < self.appetite else ON_TARGET if self.load <= SENDS_AN_ENGAGEMENT * self.appetite else OVER,
            FATIGUED if n >= _FATIGUED else TIRING if n >= _TIRING else RESTED,
        )


def pace(patterns: Patterns, now: int) -> Pace:
    recent, heard, tired_since = patterns.recent, patterns.last_engaged_at, now - _TIRES
    long_run = fading(now) * patterns.engagements if heard is not None else 0.0
    if heard is not None and heard >= tired_since:
        tired_since = heard + 1
    end = bisect_left(recent, now)
    first = bisect_left(recent, tired_since, 0, end)
    return Pace(
        (_SPANS * patterns.engaged_lately(now) + 1.0) / (long_run + 1.0) if long_run >= _EVIDENCE else None,
        end - bisect_left(recent, now - WEEK, 0, first),
        1.0 + A_WEEK * long_run,
        end - first,
        recent[end - _TIRING] + _TIRES + 1 if end - first >= _TIRING else None,
    )
