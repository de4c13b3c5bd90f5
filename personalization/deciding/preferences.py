"""What a profile says of channels and hours, declared and observed, as beliefs with a deviation."""

from __future__ import annotations

from math import sqrt

from personalization.deciding.record import MILLE
from personalization.deciding.slots import Slots
from personalization.profile import PersonalizationProfile, fading

#: Pseudo-sends behind a declared channel preference, and behind none.
_DECLARED, _SILENT = 10.0, 2.0
#: The engagement rate believed of a channel that nobody said anything of.
_SILENT_RATE = 0.3
#: Pseudo-engagements, spread over the day, behind an observed hour (Dirichlet prior).
_HOUR_PRIOR = 12.0
#: Weights of the hours before, at and after (the kernel that smooths counts over the day).
_KERNEL = (0.25, 0.5, 0.25)
#: Share of a slot's score that a declared hour decides where one is declared.
_DECLARED_SHARE = 0.8


def channel_belief(profile: PersonalizationProfile | None, channel: str, now: int, observe: bool) -> tuple[int, int]:
    """Mean and deviation, in thousandths, of the engagement rate on a channel: Beta posterior, the declared preference
    as prior. Without `observe` the declaration alone."""
    if profile is None:
        return _beta(_SILENT_RATE, _SILENT, 0.0, 0.0)
    declared = profile.channel_preferences.get(channel)
    rate, strength = (_SILENT_RATE, _SILENT) if declared is None else (declared, _DECLARED)
    if not observe or channel not in profile.patterns.channels:
        return _beta(rate, strength, 0.0, 0.0)
    fade = fading(now)
    engaged = fade * profile.patterns.engaged_on(channel)
    return _beta(rate, strength, engaged, max(fade * profile.patterns.sent_on(channel), engaged))


def _beta(rate: float, strength: float, engaged: float, sent: float) -> tuple[int, int]:
    n = strength + sent
    mean = (rate * strength + engaged) / n
    return round(mean * MILLE), round(sqrt(mean * (1.0 - mean) / (n + 1.0)) * MILLE)


def slot_beliefs(profile: PersonalizationProfile | None, slots: Slots, observe: bool) -> tuple[bytes, bytes]:
    """Mean and deviation of each slot's appeal, a byte a slot; empty when nothing tells the hours apart."""
    if profile is None or len(slots.hours) == 1:
        return b"", b""
    preferred = profile.timing_preferences.preferred_hours
    hours = _observed_hours(profile, slots) if observe and profile.patterns.engaged else None
    if not preferred and hours is None:
        return b"", b""
    means, deviations = hours or ([0.0] * 24, [0.0] * 24)
    share = _DECLARED_SHARE if preferred else 0.0
    score = [share * (hour in preferred) + (1.0 - share) * means[hour] for hour in range(24)]
    spread = [(1.0 - share) * deviation for deviation in deviations]
    return (
        bytes(round(255 * score[hour % 24]) for hour in slots.hours),
        bytes(min(255, round(255 * spread[hour % 24])) for hour in slots.hours),
    )


def _observed_hours(profile: PersonalizationProfile, slots: Slots) -> tuple[list[float], list[float]]:
    """Dirichlet posterior over the 24 local hours, relative to the best hour."""
    fade = fading(slots.earliest)
    counts = [0.0] * 24
    for hour, weight in profile.patterns.engaged.items():
        for shift, part in zip((-1, 0, 1), _KERNEL, strict=True):
            counts[(hour + shift) % 24] += part * weight * fade
    total = sum(counts) + _HOUR_PRIOR
    shares = [(count + _HOUR_PRIOR / 24) / total for count in counts]
    best = max(shares)
    return [p / best for p in shares], [sqrt(p * (1.0 - p) / (total + 1.0)) / best for p in shares]
