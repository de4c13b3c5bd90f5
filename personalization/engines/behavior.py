"""The behaviour engine: what a person's engagement so far says, in words and numbers, of the next message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from personalization.profile import PersonalizationProfile, fading

Finding = dict[str, Any]

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


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


def _engagement(profile: PersonalizationProfile, now: int) -> Finding:
    score = profile.engagement_score(now)
    words = "engages often" if score >= 0.5 else "engages now and then" if score >= 0.2 else "rarely engages"
    advice = "Weigh what else they get this week." if score < 0.2 else "Send as planned."
    return _found(score, fading(now) * profile.patterns.exposures, f"This person {words}.", advice)


def _timing(profile: PersonalizationProfile, now: int) -> Finding:
    best = best_hours(profile, now)
    evidence = fading(now) * profile.patterns.engagements
    if not best:
        return _found(0.0, 0.0, "No hour stands out yet.", "Let send time explore.")
    strength = best[0]["engagements"] / evidence
    words = f"Most engaged on {best[0]['day']} at {best[0]['hour']:02}:00 local time."
    return {**_found(strength, evidence, words, f"Prefer {best[0]['hour']:02}:00."), "patterns": best}


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
