"""Where somebody stands: their stage and the chance behind it, their rhythm against its own past, what they spend."""

from __future__ import annotations

from itertools import pairwise

from personalization.clock import DAY, HOUR
from personalization.engines.analyses.answered import counted
from personalization.engines.analyses.finding import SURE, Finding, Scores, days, finding, pattern, percent
from personalization.learning.rates import Rate, decayed_time, settled
from personalization.learning.segments import Stage
from personalization.profile import HALF_LIFE, PersonalizationProfile

#: Of the gaps between engagements, before any data: one of a week.
_GAPS = Rate(1.0, 7.0)
#: Of purchases a day: Jeffreys' prior, which needs no usual rate. Purchases are forecast for so many days.
_PURCHASES, _AHEAD = 0.5, 28.0


def analysis(profile: PersonalizationProfile, now: int, scores: Scores) -> Finding:
    """scores: `journey_stage` and `churn_risk`, None where nothing was heard. strength: the chance behind the stage, times how
    much of the doubt about the person's rhythm the events after the first removed."""
    churn, stage = scores.get("churn_risk"), scores.get("journey_stage")
    if churn is None or stage is None:
        return finding(0.0, 0.0, "Nothing was heard of this person yet.", "Welcome them.", [])
    chance = float(churn) if stage in _GOING else 1.0 - float(churn)
    evidence = counted(profile, profile.patterns.frequency, now)
    rhythm = _rhythm(profile, now)
    patterns = [_stage_row(stage, float(churn)), *rhythm, *_spend(profile, now, scores)]
    slower = bool(rhythm) and rhythm[0]["probability"] >= SURE
    summary, advice = _STAGES[stage]
    summary += ", and silent for longer than is usual for them." if slower else "."
    return {**finding(chance * settled(evidence - 1.0), evidence, summary, advice, patterns), "stage": stage}


_GOING = frozenset({Stage.AT_RISK, Stage.LAPSED})
_STAGES: dict[str, tuple[str, str]] = {
    Stage.NEW: ("This person is new", "Show them what there is."),
    Stage.ACTIVE: ("This person is active", "Carry on."),
    Stage.WON_BACK: ("This person came back", "Carry on, and keep what brought them back."),
    Stage.AT_RISK: ("This person may be leaving", "Remind them of what they liked."),
    Stage.LAPSED: ("This person has lapsed", "Win them back, gently."),
}


def _stage_row(stage: str, churn: float) -> Finding:
    """probability: that they do not engage in the coming four weeks."""
    words = f"With a chance of {percent(churn)} they do not engage in the coming four weeks."
    return pattern("stage", words, churn, stage=stage)


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
