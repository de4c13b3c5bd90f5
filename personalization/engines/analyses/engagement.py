"""How much somebody engages: the share of sends, its trend, each kind, streaks, and what is too much for them."""

from __future__ import annotations

from personalization.clock import rfc3339
from personalization.engines.analyses.answered import PRIOR, answered, counted, sends_known, sent, share
from personalization.engines.analyses.finding import OFTEN, RARELY, Finding, Scores, finding, pattern, percent
from personalization.engines.analyses.momentum import momentum
from personalization.engines.analyses.streaks import spacing
from personalization.engines.pace import A_WEEK, OVER, SENDS_AN_ENGAGEMENT, UNDER, Pace, pace
from personalization.learning.proportions import Share, settled
from personalization.learning.rates import Rate
from personalization.profile import PersonalizationProfile

#: Kinds of engagement, in words, and the share of sends believed of each before any data, worth as many sends as PRIOR.
_KINDS = {
    "opened": ("opens", 0.25),
    "clicked": ("clicks", 0.03),
    "converted": ("converts after", 0.01),
    "replied": ("replies to", 0.01),
}
#: Less of the doubt gone than this, nothing is said of how often.
_TOO_EARLY = 0.25


def analysis(profile: PersonalizationProfile, now: int, scores: Scores) -> Finding:
    """strength: how much of the prior's doubt about the share of sends engaged with they removed."""
    engaged, sends, going = share(profile, now), sent(profile, now), pace(profile.patterns, now)
    known = sends_known(profile, now)
    strength, lately = settled(PRIOR, engaged), momentum(profile, now, going)
    patterns = [
        lately,
        _saturation(going),
        _fatigue(going),
        _share(engaged, sends, known),
        *_kinds(profile, now, sends if known else None),
        spacing(profile, now),
    ]
    often = _how_often(engaged, strength) if known or not answered(profile, now) else _UNKNOWN
    said = [often, *_TRENDS[lately["trend"]], *_TOO_MUCH[going.words[1]], *_TOO_MUCH[going.words[2]]]
    return finding(strength, sends, f"{', '.join(said)}.", _advice(going, engaged, strength), patterns)


def _how_often(share: Share, strength: float) -> str:
    if strength < _TOO_EARLY:
        return "This person is too little known to say how often they engage"
    low, high = share.interval
    return f"This person {_OFTEN[_word(share.mean)]}, with {percent(share.mean)} of sends ({percent(low)} to {percent(high)})"


def _word(share: float) -> str:
    return "rarely" if share < RARELY else "often" if share >= OFTEN else "now and then"


_UNKNOWN = "This person engages with more than is known to be sent, so how often cannot be said"
_OFTEN = {"rarely": "rarely engages", "now and then": "engages now and then", "often": "engages often"}
_BETWEEN = {"rarely": (0.0, RARELY), "now and then": (RARELY, OFTEN), "often": (OFTEN, 1.0)}
_TRENDS = {None: (), "up": ("lately more than before",), "down": ("lately less than before",)}
_TOO_MUCH = {
    **dict.fromkeys(("under", "on_target", "rested"), ()),
    "over": ("and gets more in a week than they answer",),
    "tiring": ("and left the last sends unanswered",),
    "fatigued": ("and is tired of unanswered sends",),
}


def _advice(going: Pace, share: Share, strength: float) -> str:
    if going.recovers_at is not None:
        return f"Wait until {rfc3339(going.recovers_at)}, or for them to engage."
    if OVER in going.words:
        return "Send less this week."
    return "Weigh what else they get this week." if strength >= _TOO_EARLY and share.mean < RARELY else "Send as planned."


# -- patterns --------------------------------------------------------------------------------------------------------


def _share(share: Share, sends: float, known: bool) -> Finding:
    word, (low, high) = _word(share.mean), share.interval
    words = f"Engages with {percent(share.mean)} of sends (95 % interval {percent(low)} to {percent(high)}): {word}."
    words = words if known else "Too little is known of what was sent; the numbers are what is believed of anybody."
    return pattern("share", words, share.between(*_BETWEEN[word]), rate=share.mean, low=low, high=high, sends=sends)


def _kinds(profile: PersonalizationProfile, now: int, sends: float | None) -> list[Finding]:
    """Those that occurred."""
    totals = profile.patterns.totals
    return [_kind(type_, counted(profile, totals[type_], now), sends) for type_ in _KINDS if type_ in totals]


def _kind(type_: str, events: float, sends: float | None) -> Finding:
    """Without known sends events only."""
    verb, guess = _KINDS[type_]
    if sends is None:
        return pattern(
            type_, f"{type_.capitalize()} {events:.1f} times of late.", None, rate=None, low=None, high=None, events=events
        )
    weight = PRIOR.a + PRIOR.b
    share = Share(weight * guess, weight * (1.0 - guess)).after(min(events, sends), sends)
    word, (low, high) = _word(share.mean), share.interval
    words = f"{verb.capitalize()} {percent(share.mean)} of sends (95 % interval {percent(low)} to {percent(high)}): {word}."
    chance = share.between(*_BETWEEN[word])
    return pattern(type_, words, chance, rate=share.mean, low=low, high=high, events=events)


def _saturation(going: Pace) -> Finding:
    """The appetite is a rate, a posteriori Gamma with the mean that `pace` names."""
    appetite = Rate(going.appetite / A_WEEK, 1.0 / A_WEEK)
    under, over = appetite.above(float(going.load)), appetite.below(going.load / SENDS_AN_ENGAGEMENT)
    word = going.words[1]
    chance = under if word == UNDER else over if word == OVER else 1.0 - under - over
    words = _SATURATION[word].format(going.load, going.appetite)
    numbers = {"sends_in_7_days": going.load, "appetite_a_week": going.appetite}
    return pattern("saturation", words, chance, saturation=word, **numbers)


_SATURATION = {
    "under": "Could take more: {} sent in 7 days, about {:.1f} wanted.",
    "on_target": "Gets what they can take: {} sent in 7 days, about {:.1f} wanted.",
    "over": "Gets more than they answer: {} sent in 7 days, about {:.1f} wanted.",
}


def _fatigue(going: Pace) -> Finding:
    rested = None if going.recovers_at is None else rfc3339(going.recovers_at)
    words = (
        f"Left {going.unanswered} of the sends of the last 3 days unanswered."
        if going.unanswered
        else "No send of the last 3 days is unanswered."
    )
    return pattern("fatigue", words, None, fatigue=going.words[2], unanswered_in_3_days=going.unanswered, recovers_at=rested)
