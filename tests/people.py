"""Simulated people: sends at random hours of a few weeks, answered by a rate of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from personalization.clock import DAY, HOUR, instant
from personalization.messages import LogEntry
from personalization.profile import PersonalizationProfile

NOW = instant("2026-11-23T10:00:00Z")  # a Monday

#: (time of the send, its channel, whether the send before was answered) -> chance that it is.
Answering = Callable[[int, str, bool], float]
Row = tuple[int, str, str | None, float | None]


def lived(rows: Iterable[Row]) -> PersonalizationProfile:
    """Of rows (time, type, channel, value) in any order."""
    profile = PersonalizationProfile(tenant_id="t", user_ref=b"u" * 16, version=1)
    for seq, (at, type_, channel, value) in enumerate(rows, 1):
        entry = LogEntry(seq=seq, type=type_, at=at, recorded_at=at, user_ref=b"u" * 16, channel=channel, value=value)
        profile = profile.after(entry)
    return profile


def simulated(
    seed: int,
    answering: Answering = lambda at, channel, before: 0.4,
    *,
    days: int = 30,
    a_day: int = 4,
    hours: Sequence[int] = range(7, 22),
    channels: Sequence[str] = ("email", "push"),
    lag: float = 1.0,
) -> PersonalizationProfile:
    """Opens, exponential `lag` hours after their send; three in ten are clicked too."""
    rng, rows, answered = np.random.default_rng(seed), list[Row](), False
    for day in range(days, 0, -1):
        for hour in sorted(rng.choice(np.array(hours), a_day).tolist()):
            at = NOW - NOW % DAY - day * DAY + hour * HOUR + int(rng.integers(HOUR))
            channel = str(rng.choice(np.array(channels)))
            rows.append((at, "decided", channel, None))
            answered = bool(rng.random() < answering(at, channel, answered))
            if answered:
                rows += _answer(at + int(rng.exponential(lag) * HOUR), channel, bool(rng.random() < 0.3))
    return lived([row for row in rows if row[0] < NOW])


def _answer(at: int, channel: str, clicked: bool) -> list[Row]:
    opened: Row = (at, "opened", channel, None)
    return [opened, (at + 1, "clicked", channel, None)] if clicked else [opened]
