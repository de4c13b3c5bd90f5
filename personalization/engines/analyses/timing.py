"""When somebody engages: whether hours or days stand out, beyond when messages reached them, and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from personalization.engines.analyses.answered import counted, once, sends_known, share
from personalization.engines.analyses.finding import LIKELY, SURE, Finding, Scores, finding, pattern, percent
from personalization.learning.peaks import Peak, Peaks, Window, peaks
from personalization.learning.proportions import lifted
from personalization.learning.rates import Rate
from personalization.profile import PersonalizationProfile

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_PARTS = {0: "at night", 6: "in the morning", 12: "in the afternoon", 18: "in the evening"}
_DAY_HOURS, _PART, _SATURDAY = 24, 6, 5
#: Engagements that an hour is believed to have, as many as elsewhere, before any data.
_AS_USUAL = Rate(1.0, 1.0)


def analysis(profile: PersonalizationProfile, now: int, scores: Scores) -> Finding:
    """strength: how far the engagements took the probability that anything stands out from 1/2 to 1."""
    weight = once(profile, now)
    engaged = {hour: weight * counted(profile, count, now) for hour, count in profile.patterns.engaged.items()}
    known = profile.patterns.sent if sends_known(profile, now) else {}
    sent = {hour: counted(profile, count, now) for hour, count in known.items()}
    found = peaks(engaged, sent)
    patterns = [*_families(found), *_hours(profile, now, engaged, found), *_days(profile, now, engaged, found)]
    summary, advice = _in_words(found) if found.probability >= LIKELY else ("No hour stands out yet.", "Let send time explore.")
    return finding(lifted(found.probability, 0.5), counted(profile, profile.patterns.engagements, now), summary, advice, patterns)


def _in_words(found: Peaks) -> tuple[str, str]:
    """What is sure of the hours and of the days; the most probable of all where none is sure alone."""
    best = max(found.families, key=lambda name: found.families[name].probability)
    sure = [name for name in found.families if found.families[name].probability >= SURE] or [best]
    days = sorted(_DAILY.intersection(sure), key=lambda name: -found.families[name].probability)
    hours = [name for name in sure if name not in _DAILY]
    when = " and ".join([_where(name, found.families[name].window) for name in (*hours[:1], *days[:1])])
    engages = "Engages" if found.probability >= SURE else "Seems to engage"
    return f"{engages} most {when}, local time.", f"Prefer to send {when}."


_DAILY = frozenset({"day_of_week", "kind_of_day"})


def _where(name: str, window: Window) -> str:
    if name == "day_of_week":
        return f"on {_DAYS[window.start]}s"
    if name == "kind_of_day":
        return "at weekends" if window.start == _SATURDAY else "on working days"
    if window.length == _PART and window.start in _PARTS:
        return _PARTS[window.start]
    return f"between {window.start:02}:00 and {(window.start + window.length) % _DAY_HOURS:02}:00"


def _families(found: Peaks) -> list[Finding]:
    return [_family(name, peak) for name, peak in found.families.items()]


def _family(name: str, peak: Peak) -> Finding:
    where = _where(name, peak.window)
    shares = f"{percent(peak.share)} of engagement {where}, where {percent(peak.usual)} were usual"
    said = "Stands out" if peak.probability >= SURE else "May stand out"
    words = f"{said}: {shares}." if peak.probability >= LIKELY else f"{_NONE[name]}."
    numbers = {"share": peak.share, "usual_share": peak.usual}
    return pattern(name, words, peak.probability, start=peak.window.start, length=peak.window.length, **numbers)


_NONE = {
    "hour_of_day": "No hour stands out",
    "part_of_day": "No part of the day stands out",
    "day_of_week": "No day stands out",
    "kind_of_day": "Neither weekends nor working days stand out",
}


# -- hours and days --------------------------------------------------------------------------------------------------


def best_hours(profile: PersonalizationProfile, now: int) -> list[Finding]:
    """Of the week, most engagement first; at most five."""
    hours = sorted(profile.patterns.engaged.items(), key=lambda found: (-found[1], found[0]))[:5]
    return [
        {"hour_of_week": h, "day": _DAYS[h // 24], "hour": h % 24, "engagements": round(counted(profile, w, now), 4)}
        for h, w in hours
    ]


def _hours(profile: PersonalizationProfile, now: int, engaged: Mapping[int, float], found: Peaks) -> list[Finding]:
    rows = best_hours(profile, now)
    where = [f"on {row['day']}s at {row['hour']:02}:00" for row in rows]
    return [
        {**row, **_cell("hour", place, [row["hour_of_week"]], profile, now, engaged, found)}
        for row, place in zip(rows, where, strict=True)
    ]


def _days(profile: PersonalizationProfile, now: int, engaged: Mapping[int, float], found: Peaks) -> list[Finding]:
    """Of engagement, most first."""
    days = [0.0] * 7
    for hour, weight in profile.patterns.engaged.items():
        days[hour // _DAY_HOURS] += counted(profile, weight, now)
    ranked = sorted((day for day in range(7) if days[day] > 0.0), key=lambda day: (-days[day], day))
    return [
        {
            "day": _DAYS[day],
            "engagements": round(days[day], 4),
            **_cell("day", f"on {_DAYS[day]}s", range(day * _DAY_HOURS, (day + 1) * _DAY_HOURS), profile, now, engaged, found),
        }
        for day in ranked
    ]


def _cell(
    name: str,
    where: str,
    cells: Sequence[int],
    profile: PersonalizationProfile,
    now: int,
    engaged: Mapping[int, float],
    found: Peaks,
) -> Finding:
    """probability: that the rate is higher there than it is usual for this person. Gamma-Poisson, as in `learning.week` (1).

    rate: engaged sends a send, None where no sends are known.
    """
    total = sum(engaged.values())
    times = _AS_USUAL.after(sum([engaged.get(cell, 0.0) for cell in cells]), total * float(found.expected[list(cells)].sum()))
    low, high = times.interval
    usual = share(profile, now).mean if sends_known(profile, now) else None
    rates = {
        name: None if usual is None else min(usual * n, 1.0) for name, n in (("rate", times.mean), ("low", low), ("high", high))
    }
    words = f"Engages {times.mean:.1f} times as much as usual {where} (95 % interval {low:.1f} to {high:.1f})."
    return pattern(name, words, times.above(1.0), times_usual=times.mean, **rates)
