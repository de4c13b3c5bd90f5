"""What a profile says of channels and hours, declared and observed, as beliefs with a deviation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import sqrt

from personalization.clock import HOUR
from personalization.deciding.record import MILLE
from personalization.deciding.slots import Slots
from personalization.profile import PersonalizationProfile, fading
from personalization.recent import Recent

#: Pseudo-sends behind a declared channel preference, and behind none.
_SAID, _SILENT = 10.0, 2.0
#: The engagement rate believed of a channel that nobody said anything of.
_SILENT_RATE = 0.3
#: Pseudo-engagements, spread over the day, behind an observed hour (Dirichlet prior).
_HOUR_PRIOR = 12.0
#: Weights of the hours before, at and after (the kernel that smooths counts over the day).
_KERNEL = ((-1, 0.25), (0, 0.5), (1, 0.25))
#: Share of a slot's score that a declared hour decides where one is declared.
_DECLARED_SHARE = 0.8

#: Hours of the people decided for last; they change with an engagement and, slowly, with the clock.
_hours: Recent[tuple[str, bytes, int, tuple[int, ...], int], tuple[bytes, bytes]] = Recent(20_000)


def forget() -> None:
    """Drop every remembered person's hours."""
    _hours.clear()


def channel_beliefs(
    profile: PersonalizationProfile | None, channels: Sequence[str], now: int, observe: bool
) -> list[tuple[int, int]]:
    """Mean and deviation, in thousandths, of the engagement rate on each channel: Beta posterior, the declared preference
    as prior. Without `observe` the declaration alone."""
    if profile is None:
        return [_declared(_SILENT_RATE, _SILENT)] * len(channels)
    said, counts, fade = profile.channel_preferences, profile.patterns.channels if observe else {}, fading(now)
    beliefs = []
    for name in channels:
        rate, strength = (said[name], _SAID) if name in said else (_SILENT_RATE, _SILENT)
        if name in counts:
            engaged = fade * profile.patterns.engaged_on(name)
            beliefs.append(_beta(rate, strength, engaged, max(fade * profile.patterns.sent_on(name), engaged)))
        else:
            beliefs.append(_declared(rate, strength))
    return beliefs


@lru_cache(maxsize=4096)
def _declared(rate: float, strength: float) -> tuple[int, int]:
    return _beta(rate, strength, 0.0, 0.0)


def _beta(rate: float, strength: float, engaged: float, sent: float) -> tuple[int, int]:
    n = strength + sent
    mean = (rate * strength + engaged) / n
    return round(mean * MILLE), round(sqrt(mean * (1.0 - mean) / (n + 1.0)) * MILLE)


def slot_beliefs(profile: PersonalizationProfile | None, slots: Slots, observe: bool) -> tuple[bytes, bytes]:
    """Mean and deviation of each slot's appeal in 1/255, a byte a slot; empty when nothing tells the hours apart."""
    if profile is None or len(slots.hours) == 1:
        return b"", b""
    preferred = profile.timing_preferences.preferred_hours
    engaged = profile.patterns.engaged if observe else {}
    if not preferred and not engaged:
        return b"", b""
    at = slots.earliest - slots.earliest % HOUR
    key = (profile.tenant_id, profile.user_ref, profile.patterns.events if observe else -1, preferred, at)
    tables = _hours.get(key)
    if tables is None:
        tables = _tables(preferred, engaged, fading(at))
        _hours.put(key, tables)
    means, deviations = tables
    return slots.hours_of_day.translate(means.ljust(256)), slots.hours_of_day.translate(deviations.ljust(256))


def _tables(preferred: Iterable[int], engaged: Mapping[int, float], fade: float) -> tuple[bytes, bytes]:
    """Mean and deviation of the 24 local hours."""
    share = _DECLARED_SHARE if preferred else 0.0
    means, deviations = _observed_hours(engaged, fade, 255.0 * (1.0 - share))
    for hour in preferred:
        means[hour] += round(255 * share)
    return bytes(means), bytes(deviations)


def _observed_hours(engaged: Mapping[int, float], fade: float, scale: float) -> tuple[bytearray, bytearray]:
    """Dirichlet posterior over the 24 local hours, relative to the best one: means and deviations times `scale`. All zero
    without engagements."""
    means, deviations = bytearray(24), bytearray(24)
    counts: dict[int, float] = {}
    for hour, weight in engaged.items():
        for shift, part in _KERNEL:
            near = (hour + shift) % 24
            counts[near] = counts.get(near, 0.0) + part * weight * fade
    if not counts:
        return means, deviations
    n, floor = sum(counts.values()) + _HOUR_PRIOR, _HOUR_PRIOR / 24
    best = floor + max(counts.values())
    means[:] = bytes((round(scale * floor / best),)) * 24
    deviations[:] = bytes((_spread(floor, n, best, scale),)) * 24
    for hour, count in counts.items():
        means[hour] = round(scale * (floor + count) / best)
        deviations[hour] = _spread(floor + count, n, best, scale)
    return means, deviations


def _spread(count: float, n: float, best: float, scale: float) -> int:
    """Deviation of a Dirichlet share, relative to the best one."""
    return min(255, round(scale * sqrt(count * (n - count) / (n + 1.0)) / best))
