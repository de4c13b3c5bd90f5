"""The behaviour engine: what a person's engagement so far says, in words and numbers, of the next message."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from personalization.clock import rfc3339
from personalization.engines.pace import FALLING, FATIGUED, ON_TARGET, OVER, RESTED, RISING, STEADY, TIRING, UNDER, Pace, pace
from personalization.engines.reading import NOTHING, Reading, category, reading
from personalization.messages import PersonalizationRequest
from personalization.profile import PersonalizationProfile, fading

Finding = dict[str, Any]

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


_PARTS = ("momentum", "saturation", "fatigue")
#: What is usual makes no feature, since the policy pays for each.
_USUAL = frozenset({STEADY, ON_TARGET, RESTED})
#: Names of the features that can be.
PACES = (
    *(f"momentum={word}" for word in (RISING, FALLING)),
    *(f"saturation={word}" for word in (UNDER, OVER)),
    *(f"fatigue={word}" for word in (TIRING, FATIGUED)),
)


def read(profile: PersonalizationProfile | None, request: PersonalizationRequest, now: int) -> Reading:
    """Momentum, saturation and fatigue; at most three features, none of somebody nothing is known of. O(log 64)."""
    patterns = profile.patterns if profile is not None else None
    if patterns is None or not (patterns.recent or patterns.events):
        return NOTHING
    return _reading(pace(patterns, now).words)


@lru_cache(maxsize=64)
def _reading(words: tuple[str | None, str, str]) -> Reading:
    found = tuple(zip(_PARTS, words, strict=True))
    signals = [category(part, word) for part, word in found if word is not None and word not in _USUAL]
    return reading(signals, tuple((part, word) for part, word in found if word in _USUAL))


def best_channels(profile: PersonalizationProfile, now: int) -> list[Finding]:
    """By observed engagement per send, Beta(1, 3) prior."""
    fade = fading(now)
    rates = []
    for channel in profile.patterns.channels:
        engaged = fade * profile.patterns.engaged_on(channel)
        sent = max(fade * profile.patterns.sent_on(channel), engaged)
        rates.append({"channel": channel, "engagement_rate": round((engaged + 1) / (sent + 4), 4), "evidence": round(sent, 2)})
    return sorted(rates, key=lambda row: (-row["engagement_rate"], row["channel"]))


def best_hours(profile: PersonalizationProfile, now: int) -> list[Finding]:
    fade = fading(now)
    hours = sorted(profile.patterns.engaged.items(), key=lambda found: (-found[1], found[0]))[:5]
    return [{"hour_of_week": h, "day": _DAYS[h // 24], "hour": h % 24, "engagements": round(fade * w, 4)} for h, w in hours]


def best_days(profile: PersonalizationProfile, now: int) -> list[Finding]:
    """Of engagement, most first."""
    fade, days = fading(now), [0.0] * 7
    for hour, weight in profile.patterns.engaged.items():
        days[hour // 24] += fade * weight
    ranked = sorted(range(7), key=lambda day: (-days[day], day))
    return [{"day": _DAYS[day], "engagements": round(days[day], 4)} for day in ranked if days[day] > 0.0]


def _engagement(profile: PersonalizationProfile, now: int) -> Finding:
    score = profile.engagement_score(now)
    words = "engages often" if score >= 0.5 else "engages now and then" if score >= 0.2 else "rarely engages"
    going = pace(profile.patterns, now)
    more = "".join(_WORDS.get(word or "", "") for word in going.words)
    advice = _advice(going) or ("Weigh what else they get this week." if score < 0.2 else "Send as planned.")
    found = _found(score, fading(now) * profile.patterns.exposures, f"This person {words}{more}.", advice)
    return {**found, "patterns": _paces(going)}


_WORDS = {
    "rising": ", lately more than before",
    "falling": ", lately less than before",
    "over": ", and gets more in a week than they answer",
    "tiring": ", and left the last sends unanswered",
    "fatigued": ", and is tired of unanswered sends",
}


def _advice(going: Pace) -> str | None:
    if going.recovers_at is not None:
        return f"Wait until {rfc3339(going.recovers_at)}, or for them to engage."
    return "Send less this week." if OVER in going.words else None


def _paces(going: Pace) -> list[Finding]:
    """The words, and the numbers behind them."""
    momentum, saturation, fatigue = going.words
    rested = None if going.recovers_at is None else rfc3339(going.recovers_at)
    return [
        {"momentum": momentum, "ratio": None if going.momentum is None else round(going.momentum, 4)},
        {"saturation": saturation, "sends_in_7_days": going.load, "appetite_a_week": round(going.appetite, 4)},
        {"fatigue": fatigue, "unanswered_in_3_days": going.unanswered, "recovers_at": rested},
    ]


def _timing(profile: PersonalizationProfile, now: int) -> Finding:
    best = best_hours(profile, now)
    evidence = fading(now) * profile.patterns.engagements
    if not best:
        return _found(0.0, 0.0, "No hour stands out yet.", "Let send time explore.")
    strength = best[0]["engagements"] / evidence
    days = best_days(profile, now)
    words = f"Most engaged on {best[0]['day']} at {best[0]['hour']:02}:00 local time; best day {days[0]['day']}."
    return {**_found(strength, evidence, words, f"Prefer {best[0]['hour']:02}:00."), "patterns": [*best, *days]}


def _channel(profile: PersonalizationProfile, now: int) -> Finding:
    best = best_channels(profile, now)
    if not best:
        return _found(0.0, 0.0, "No channel was used yet.", "Use the declared preference.")
    words = f"{best[0]['channel']} works best, {best[0]['engagement_rate']:.0%} of its sends are engaged with."
    return {**_found(best[0]["engagement_rate"], best[0]["evidence"], words, f"Prefer {best[0]['channel']}."), "patterns": best}


def _lifecycle(profile: PersonalizationProfile, now: int) -> Finding:
    churn = profile.churn_risk(now)
    if churn is None:
        return _found(0.0, 0.0, "Nothing was heard of this person yet.", "Welcome them.")
    stage = "lapsing" if churn >= 0.8 else "cooling" if churn >= 0.5 else "active"
    advice = {"lapsing": "Win them back, gently.", "cooling": "Remind them of what they liked.", "active": "Carry on."}[stage]
    return {**_found(churn, profile.patterns.events, f"This person is {stage}.", advice), "stage": stage}


def _found(strength: float, evidence: float, words: str, implication: str) -> Finding:
    return {
        "summary": words,
        "strength": round(strength, 4),
        "evidence": round(evidence, 4),
        "implication": implication,
        "patterns": [],
    }


#: The kinds of analysis: patterns found, how strong (0..1), on how much decayed evidence, what they imply.
ANALYSES: dict[str, Callable[[PersonalizationProfile, int], Finding]] = {
    "engagement": _engagement,
    "timing": _timing,
    "channel": _channel,
    "lifecycle": _lifecycle,
}
