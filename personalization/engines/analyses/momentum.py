"""Whether somebody engages more of late, or less: two rates, and the chance that one is higher."""

from __future__ import annotations

from collections.abc import Sequence

from personalization.clock import DAY
from personalization.engines.analyses.answered import counted, once, sends_known, sent
from personalization.engines.analyses.finding import SURE, Finding, pattern, percent
from personalization.engines.pace import Pace
from personalization.learning.rates import Rate, chance_higher, decayed_time
from personalization.profile import HALF_LIFE, LANDMARK, SHORT_HALF_LIFE, PersonalizationProfile, faded, growth

#: A trend is said when the other direction is as improbable as this, so that of steady people one in 20 has one at most.
_TREND = 1.0 - (1.0 - SURE) / 2.0
#: The same as `_whole`, at least: what counts before counts 2^(-t / 28) - 2^(-t / 7), which is x - x^4, 0.4725 at most.
_BEFORE = 1.0 / (0.25 ** (1.0 / 3.0) * 0.75)


def momentum(profile: PersonalizationProfile, now: int, going: Pace) -> Finding:
    """Engagements a send (a day where no sends are known): those with the half-life of 7 days, against what the half-life of
    28 counts beside them. Both rates have the same prior, one engagement at the rate of both together."""
    late, before, unit = _rates(profile, now)
    rises = chance_higher(late, before)
    trend = "up" if rises >= _TREND else "down" if rises <= 1.0 - _TREND else None
    return pattern(
        "momentum",
        _trend_words(late.mean, before.mean, rises, trend, unit),
        max(rises, 1.0 - rises),
        momentum=going.words[0],
        ratio=going.momentum,
        trend=trend,
        rate_lately=late.mean,
        rate_before=before.mean,
        rate_of=unit,
    )


def _trend_words(late: float, before: float, rises: float, trend: str | None, unit: str) -> str:
    if trend is None:
        return "No sure trend: what came lately is in line with what came before."
    more, chance = ("more" if trend == "up" else "less"), percent(max(rises, 1.0 - rises))
    return f"Engages {more} than before: {late:.2f} times a {unit} lately, {before:.2f} before (probability {chance})."


def _rates(profile: PersonalizationProfile, now: int) -> tuple[Rate, Rate, str]:
    """Lately, before, and what they are rates of."""
    (events, exposure), (events_before, exposure_before), unit = _periods(profile, now)
    prior = Rate(1.0, (exposure + exposure_before + 4.0) / (events + events_before + 1.0))
    whole = _whole([now - at for at in profile.patterns.recent if at <= now])
    return prior.after(whole * events, whole * exposure), prior.after(_BEFORE * events_before, _BEFORE * exposure_before), unit


def _whole(ages: Sequence[int]) -> float:
    """How many whole sends one unit of the decayed count stands for, sum w / sum w^2 (Kish 1965)."""
    weights = [faded(age) for age in ages]
    squares = sum([weight * weight for weight in weights])
    return sum(weights) / squares if squares else 1.0


def _periods(profile: PersonalizationProfile, now: int) -> tuple[tuple[float, float], tuple[float, float], str]:
    """(engagements, exposure) lately and before, and what the exposure counts."""
    patterns, weight = profile.patterns, once(profile, now)
    events, sends = weight * patterns.engaged_lately(now), sent(profile, now)
    events_before = max(weight * counted(profile, patterns.engagements, now) - events, 0.0)
    if sends_known(profile, now):
        recently = _sent_lately(patterns.recent, sends, now)
        return (events, recently), (events_before, max(sends - recently, 0.0)), "send"
    age = (now - (now if patterns.first_event_at is None else patterns.first_event_at)) / DAY
    recently = decayed_time(age, SHORT_HALF_LIFE / DAY)
    return (events, recently), (events_before, decayed_time(age, HALF_LIFE / DAY) - recently), "day"


def _sent_lately(recent: Sequence[int], sends: float, now: int) -> float:
    """Sends with the half-life of 7 days, those that are no longer remembered one by one taken to have come steadily."""
    past = [now - at for at in recent if at <= now]
    older, since = max(sends - sum([_left(age) for age in past]), 0.0), max(past, default=0)
    return sum([faded(age) for age in past]) + older * SHORT_HALF_LIFE / HALF_LIFE * faded(since) / _left(since)


def _left(age: int) -> float:
    """What the long half-life leaves of one."""
    return 1.0 / growth(LANDMARK + age)
