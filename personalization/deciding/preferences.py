"""What a profile says of channels and hours, declared and observed, as evidence in logits (see `learning.encoding`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import log

from personalization.clock import HOUR
from personalization.deciding.slots import Slots
from personalization.learning.encoding import evidence
from personalization.profile import PersonalizationProfile, fading
from personalization.recent import Recent

#: Pseudo-sends behind a declared channel preference, and behind none.
_SAID, _SILENT = 10.0, 2.0
#: The engagement rate believed of a channel that nobody said anything of.
_SILENT_RATE = 0.3
#: A declared preference of 0 or 1 is taken as this far from certain.
_DOUBT = 0.05
#: Pseudo-engagements, spread over the day, behind an observed hour (Dirichlet prior).
_HOUR_PRIOR = 12.0
#: Weights of the hours before, at and after (the kernel that smooths counts over the day).
_KERNEL = ((-1, 0.25), (0, 0.5), (1, 0.25))
#: What a declared hour is worth, in logits.
_DECLARED_HOUR = 1.5

#: Hours of the people decided for last; they change with an engagement and, slowly, with the clock.
_hours: Recent[tuple[str, bytes, int, tuple[int, ...], int], bytes] = Recent(20_000)


def forget() -> None:
    """Drop every remembered person's hours."""
    _hours.clear()


def channel_evidence(profile: PersonalizationProfile | None, channels: Sequence[str], now: int, observe: bool) -> tuple[int, ...]:
    """Evidence for each channel, in quanta: log-odds of the engagement rate (Beta posterior mean, the declared preference
    as prior) over their mean. Without `observe` the declaration alone."""
    if profile is None or not (profile.channel_preferences or (observe and profile.patterns.channels)):
        return (0,) * len(channels)
    said, counts, fade = profile.channel_preferences, profile.patterns.channels if observe else {}, fading(now)
    odds = []
    for name in channels:
        rate, strength = (said[name], _SAID) if name in said else (_SILENT_RATE, _SILENT)
        engaged = fade * profile.patterns.engaged_on(name) if name in counts else 0.0
        sent = max(fade * profile.patterns.sent_on(name), engaged) if name in counts else 0.0
        odds.append(_log_odds((rate * strength + engaged) / (strength + sent)))
    mean = sum(odds) / len(odds)
    return tuple([evidence(one - mean) for one in odds])


def _log_odds(rate: float) -> float:
    rate = min(max(rate, _DOUBT), 1.0 - _DOUBT)
    return log(rate / (1.0 - rate))


def hour_evidence(profile: PersonalizationProfile | None, slots: Slots, observe: bool) -> bytes:
    """Evidence for each slot, a signed byte each; empty when nothing tells the hours apart."""
    if profile is None or len(slots.hours) == 1:
        return b""
    preferred = profile.timing_preferences.preferred_hours
    engaged = profile.patterns.engaged if observe else {}
    if not preferred and not engaged:
        return b""
    at = slots.earliest - slots.earliest % HOUR
    key = (profile.tenant_id, profile.user_ref, profile.patterns.events if observe else -1, preferred, at)
    table = _hours.get(key)
    if table is None:
        table = _table(preferred, engaged, fading(at))
        _hours.put(key, table)
    return slots.hours_of_day.translate(table.ljust(256))


def _table(preferred: Iterable[int], engaged: Mapping[int, float], fade: float) -> bytes:
    """Evidence of the 24 local hours, declared and observed added up."""
    declared = set(preferred)
    logits = _observed_hours(engaged, fade)
    return bytes([evidence(logit + _DECLARED_HOUR * (hour in declared)) & 0xFF for hour, logit in enumerate(logits)])


def _observed_hours(engaged: Mapping[int, float], fade: float) -> list[float]:
    """Log of the Dirichlet posterior share of each local hour over the mean share. All zero without engagements."""
    counts = [0.0] * 24
    for hour, weight in engaged.items():
        for shift, part in _KERNEL:
            counts[(hour + shift) % 24] += part * weight * fade
    logs = [log(_HOUR_PRIOR / 24 + count) for count in counts]
    mean = sum(logs) / 24
    return [one - mean for one in logs]


@lru_cache(maxsize=4096)
def hours_of_week(hours: tuple[int, ...]) -> bytes:
    """As records keep them."""
    return bytes(hours)
