"""What a profile says of channels and hours, declared and observed, as evidence in logits (see `learning.encoding`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import log

import numpy as np

from personalization.clock import HOUR
from personalization.deciding.slots import Slots
from personalization.learning.encoding import evidence, evidences
from personalization.learning.timing import FLAT, appeal, delayed
from personalization.profile import PersonalizationProfile, fading
from personalization.recent import Recent

#: Pseudo-sends behind a declared channel preference, and behind the belief that a channel is like the person's others.
_SAID, _ALIKE = 10.0, 6.0
#: Engagements and sends believed of a person before any.
_ENGAGED, _SENT = 1.0, 4.0
#: A rate of 0 or 1 is taken as this far from certain.
_DOUBT = 0.05
#: How many hours after their sends engagements come, by share: they are counted when they happen.
_ANSWERED = (0.5, 0.2, 0.1, 0.1, 0.1)
#: What a declared hour is worth, in logits.
_DECLARED_HOUR = 1.5

#: Hours of the people decided for last; they change with an engagement and, slowly, with the clock.
_hours: Recent[tuple[str, bytes, int, tuple[int, ...], int], bytes] = Recent(20_000)


def forget() -> None:
    """Drop every remembered person's hours."""
    _hours.clear()


def channel_evidence(profile: PersonalizationProfile | None, channels: Sequence[str], now: int, observe: bool) -> tuple[int, ...]:
    """Evidence for each channel, in quanta: what was declared, and how the engagement rate there compares with this
    person's own over all channels (Beta posterior means); what is observed outweighs what was said with every send.
    Without `observe` the declaration alone."""
    if profile is None or not (profile.channel_preferences or (observe and profile.patterns.channels)):
        return (0,) * len(channels)
    said = [profile.channel_preferences.get(name) for name in channels]
    seen = _seen(profile, channels, fading(now)) if observe else [(0.0, 0.0)] * len(channels)
    usual = (sum([engaged for engaged, _ in seen]) + _ENGAGED) / (sum([sent for _, sent in seen]) + _SENT)
    told = [_log_odds(rate) * _SAID / (_SAID + sent) for rate, (_, sent) in zip(said, seen, strict=True) if rate is not None]
    neutral = sum(told) / len(told) if told else 0.0
    return tuple([_evidence(rate, engaged, sent, usual, neutral) for rate, (engaged, sent) in zip(said, seen, strict=True)])


def _evidence(said: float | None, engaged: float, sent: float, usual: float, neutral: float) -> int:
    observed = _log_odds((engaged + _ALIKE * usual) / (sent + _ALIKE)) - _log_odds(usual)
    declared = 0.0 if said is None else _log_odds(said) * _SAID / (_SAID + sent) - neutral
    return evidence(observed + declared)


def _seen(profile: PersonalizationProfile, channels: Sequence[str], fade: float) -> list[tuple[float, float]]:
    """Engagements and sends by channel."""
    found = []
    for name in channels:
        engaged = fade * profile.patterns.engaged_on(name)
        found.append((engaged, max(fade * profile.patterns.sent_on(name), engaged)))
    return found


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
        table = _table(preferred, engaged, profile.patterns.sent if engaged else {}, fading(at))
        _hours.put(key, table)
    return bytes(slots.hours).translate(table)


def _table(preferred: Iterable[int], engaged: Mapping[int, float], sent: Mapping[int, float], fade: float) -> bytes:
    """Evidence of the 168 local hours of the week, declared and observed added up; the rest of a byte's values is 0."""
    observed = np.array(appeal(FLAT, engaged, delayed(sent, _ANSWERED), fade).values)
    declared = np.isin(np.arange(len(observed)) % 24, list(preferred))
    return evidences(observed + _DECLARED_HOUR * declared).ljust(256, b"\0")


@lru_cache(maxsize=4096)
def hours_of_week(hours: tuple[int, ...]) -> bytes:
    """As records keep them."""
    return bytes(hours)
