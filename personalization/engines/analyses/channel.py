"""By which channel somebody engages: each channel's share, which is the best and how surely, what bounces and drives away."""

from __future__ import annotations

from collections.abc import Sequence

from personalization.engines.analyses.answered import PRIOR, answered_on, counted, counts_on, sent_on, share_on
from personalization.engines.analyses.finding import LIKELY, RARELY, SURE, Finding, Scores, finding, listed, pattern, percent
from personalization.learning.proportions import Share, chance_to_differ, chances_to_be_largest, lifted, settled
from personalization.profile import PersonalizationProfile

#: Of bounces, before any data: worth as many sends as `channels.delivery` trusts in, and half a bounce.
_BOUNCES = Share(0.5, 3.5)
#: Bouncing more often than this is trouble.
_TROUBLE = 0.1
#: Decayed sends before a channel can be said to be never answered.
_FEW = 3.0


def analysis(profile: PersonalizationProfile, now: int, scores: Scores) -> Finding:
    """strength: how far the sends took the probability that channels differ from 1/2 to 1, times the chance that the best is
    the best; of a single channel, how much of the prior's doubt about its share they removed."""
    rows = _channels(profile, now)
    if not rows:
        return finding(0.0, 0.0, "No channel was used yet.", "Use the declared preference.", [])
    differ = _difference(profile, now, rows)
    best, chance = rows[0]["channel"], rows[0]["probability"]
    strength = lifted(differ["probability"], 0.5) * chance if len(rows) > 1 else settled(PRIOR, share_on(profile, best, now))
    losses = _losses(profile, now)
    summary, advice = _alone(rows[0]) if len(rows) == 1 else _compared(rows, differ["probability"])
    bad = [f"Check the address for {row['channel']}: it bounces." for row in losses if (row["probability"] or 0.0) >= SURE]
    return finding(
        strength,
        sum([row["evidence"] for row in rows]),
        summary,
        " ".join([advice, *bad]),
        [*rows, *([differ] if len(rows) > 1 else []), *_never(profile, now), *losses],
    )


def _alone(only: Finding) -> tuple[str, str]:
    name, rate = only["channel"], percent(only["engagement_rate"])
    if not only["evidence"]:
        return (
            f"Only {name} was used so far, and too little is known of what was sent by it.",
            f"Keep {name}, and try another to compare.",
        )
    return f"Only {name} was used so far: {rate} of its sends are engaged with.", f"Keep {name}, and try another to compare."


def _compared(rows: Sequence[Finding], differ: float) -> tuple[str, str]:
    """One channel, where it is probable that channels differ and that it is the best; else those that may be."""
    best = max(rows, key=lambda row: row["probability"])
    name, probability = best["channel"], min(differ, best["probability"])
    if probability >= LIKELY:
        works = "works" if probability >= SURE else "seems to work"
        return f"{name} {works} best: {percent(best['engagement_rate'])} of its sends are engaged with.", f"Prefer {name}."
    leaders = _leaders(rows)
    if differ >= LIKELY and len(leaders) < len(rows):
        return f"Channels differ, and the best is one of {listed(leaders)}.", f"Prefer {listed(leaders)}."
    if not any(row["evidence"] for row in rows):
        return "Too little is known of what was sent by which channel.", "Let channel choice explore."
    rates = listed([f"{row['channel']} {percent(row['engagement_rate'])}" for row in rows if row["evidence"]])
    return f"No channel stands out yet ({rates} of sends engaged with).", "Let channel choice explore."


def _leaders(rows: Sequence[Finding]) -> list[str]:
    """Those that are the best with the probability SURE together, fewest first."""
    leaders, together = [], 0.0
    for row in sorted(rows, key=lambda row: -row["probability"]):
        leaders.append(row["channel"])
        together += row["probability"]
        if together >= SURE:
            break
    return leaders


# -- patterns --------------------------------------------------------------------------------------------------------


def best_channels(profile: PersonalizationProfile, now: int) -> list[Finding]:
    """By observed engagement per send, Beta(1, 3) prior; where no sends are known, by engagement."""
    ranked = sorted(
        profile.patterns.channels,
        key=lambda name: (-share_on(profile, name, now).mean, -answered_on(profile, name, now), name),
    )
    return [
        {
            "channel": name,
            "engagement_rate": round(share_on(profile, name, now).mean, 4),
            "evidence": round(counts_on(profile, name, now)[1], 2),
        }
        for name in ranked
    ]


def _channels(profile: PersonalizationProfile, now: int) -> list[Finding]:
    """probability: that this channel's share is the largest."""
    rows = best_channels(profile, now)
    shares = [share_on(profile, row["channel"], now) for row in rows]
    chances = chances_to_be_largest(shares) if rows else []
    return [{**row, **_channel(row, share, chance)} for row, share, chance in zip(rows, shares, chances, strict=True)]


def _channel(row: Finding, share: Share, chance: float) -> Finding:
    name = row["channel"]
    low, high = share.interval
    words = f"Of sends by {name} {percent(share.mean)} are engaged with (95 % interval {percent(low)} to {percent(high)})."
    words = words if row["evidence"] else f"Too little is known of what was sent by {name}."
    return pattern("channel", words, chance, low=low, high=high)


def _difference(profile: PersonalizationProfile, now: int, rows: Sequence[Finding]) -> Finding:
    names = [row["channel"] for row in rows]
    chance = chance_to_differ([counts_on(profile, name, now) for name in names], PRIOR)
    words = "Channels differ in how often they are engaged with." if chance >= SURE else "No difference between channels is sure."
    return pattern("difference", words, chance)


def _never(profile: PersonalizationProfile, now: int) -> list[Finding]:
    """probability: that sends by it are engaged with rarely."""
    found = []
    for channel in sorted(profile.patterns.channels):
        sends = sent_on(profile, channel, now)
        if sends >= _FEW and not answered_on(profile, channel, now):
            chance = share_on(profile, channel, now).between(0.0, RARELY)
            words = f"Nothing sent by {channel} was ever engaged with."
            found.append(pattern("never_answered", words, chance, channel=channel, sends=sends))
    return found


def _losses(profile: PersonalizationProfile, now: int) -> list[Finding]:
    """Of bounces, probability: that more than one send in ten bounces."""
    found = []
    for channel, counts in sorted(profile.patterns.channels.items()):
        if bounced := counted(profile, counts.get("bounced", 0.0), now):
            share = _BOUNCES.after(bounced, sent_on(profile, channel, now))
            low, high = share.interval
            words = f"Of sends by {channel} {percent(share.mean)} bounce (95 % interval {percent(low)} to {percent(high)})."
            chance = share.between(_TROUBLE, 1.0)
            found.append(pattern("bounces", words, chance, channel=channel, rate=share.mean, low=low, high=high, events=bounced))
        for type_, words in _LEFT.items():
            if left := counted(profile, counts.get(type_, 0.0), now):
                found.append(pattern(type_, words.format(channel), None, channel=channel, events=left))
    return found


_LEFT = {"unsubscribed": "Unsubscribed from {}.", "complained": "Complained about a message by {}."}
