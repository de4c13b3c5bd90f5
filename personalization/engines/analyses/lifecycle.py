"""Where somebody stands: their stage and the chance behind it, their rhythm against its own past, what they spend."""

from __future__ import annotations

from itertools import pairwise

from personalization.clock import DAY, HOUR
from personalization.engines.analyses.answered import counted
from personalization.engines.analyses.finding import SURE, Finding, Scores, days, finding, pattern, percent
from personalization.learning.rates import Rate, decayed_time, settled
from personalization.profile import HALF_LIFE, PersonalizationProfile

#: Least chance of churn of whoever is cooling, and of the lapsing.
_COOLING, _LAPSING = 0.5, 0.8
#: Of the gaps between engagements, before any data: one of a week.
_GAPS = Rate(1.0, 7.0)
#: Of purchases a day: Jeffreys' prior, which needs no usual rate. Purchases are forecast for so many days.
_PURCHASES, _AHEAD = 0.5, 28.0


def analysis(profile: PersonalizationProfile, now: int, scores: Scores) -> Finding:
    """scores: `churn_risk`, None where nothing was heard. strength: the chance of the stage, times how much of the doubt
    about the person's rhythm the events after the first removed."""
    churn = scores.get("churn_risk")
    if churn is None:
        return finding(0.0, 0.0, "Nothing was heard of this person yet.", "Welcome them.", [])
    stage, chance = _stage(float(churn))
    evidence = counted(profile, profile.patterns.frequency, now)
    rhythm = _rhythm(profile, now)
    patterns = [_stage_row(stage, chance), *rhythm, *_spend(profile, now, scores)]
    strength = chance * settled(evidence - 1.0)
    slower = bool(rhythm) and rhythm[0]["probability"] >= SURE
    summary = f"{_SUMMARIES[stage]}{', and silent for longer than is usual for them' if slower else ''}."
    return {**finding(strength, evidence, summary, _ADVICE[stage], patterns), "stage": stage}


def _stage(churn: float) -> tuple[str, float]:
    """And its chance: that they are gone, or that they are not."""
    if churn >= _COOLING:
        return "lapsing" if churn >= _LAPSING else "cooling", churn
    return "active", 1.0 - churn


_SUMMARIES = {"lapsing": "This person is lapsing", "cooling": "This person is cooling", "active": "This person is active"}
_ADVICE = {"lapsing": "Win them back, gently.", "cooling": "Remind them of what they liked.", "active": "Carry on."}
_CHANCES = {"lapsing": "gone", "cooling": "gone", "active": "still there"}


def _stage_row(stage: str, chance: float) -> Finding:
    return pattern("stage", f"With a chance of {percent(chance)} they are {_CHANCES[stage]}.", chance, stage=stage)


def _rhythm(profile: PersonalizationProfile, now: int) -> list[Finding]:
    """The silence since they engaged last against the gaps before: exponential gaps, whose rate is Gamma.

    probability: that a gap of theirs, at their usual rhythm, is shorter than this silence.
    """
    gaps = [(later - sooner) * HOUR / DAY for sooner, later in pairwise(profile.patterns.occasions)]
    if not gaps:
        return []
    silence = max(now - profile.patterns.occasions[-1] * HOUR, 0) / DAY
    chance = 1.0 - _GAPS.after(float(len(gaps)), sum(gaps)).none_in(silence)
    usual = sum(gaps) / len(gaps)
    words = f"Used to engage every {days(usual)}; the last time was {days(silence)} ago"
    words += ", which is longer than usual for them." if chance >= SURE else "."
    return [pattern("rhythm", words, chance, days_between=usual, days_since=silence, gaps=len(gaps))]


def _spend(profile: PersonalizationProfile, now: int, scores: Scores) -> list[Finding]:
    """probability: that they buy within 28 days; purchases are Poisson, their rate Gamma."""
    patterns = profile.patterns
    stored = patterns.totals.get("converted", 0.0)
    bought = counted(profile, stored, now)
    if not patterns.spend or bought <= 0.0 or patterns.first_event_at is None:
        return []
    mean = patterns.monetary / stored
    known = decayed_time((now - patterns.first_event_at) / DAY, HALF_LIFE / DAY)
    chance = 1.0 - Rate(_PURCHASES + bought, max(known, 1.0)).none_in(_AHEAD)
    words = f"Spent {patterns.spend:.2f} so far, lately {mean:.2f} a purchase; chance to buy within 28 days: {percent(chance)}."
    numbers = {"spend": patterns.spend, "mean_purchase": mean, "purchases": bought, "lifetime_value": scores.get("lifetime_value")}
    return [pattern("spend", words, chance, **numbers)]
