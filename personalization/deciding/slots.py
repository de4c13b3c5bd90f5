"""When a message may go out: hourly slots of a send window, in the person's zone, without quiet hours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from personalization.clock import DAY, HOUR, MINUTE, hour_of_week, utc_offset
from personalization.tenant import QuietHours

#: A window longer than a week offers the slots of its first week.
MOST_SLOTS = 169


@dataclass(frozen=True)
class Slots:
    """Slots of [earliest, latest): the earliest instant, then every full local hour.

    hours : local hour of week of each slot     open : bit k set when slot k is outside quiet hours
    """

    earliest: int
    first_hour: int
    hours: tuple[int, ...]
    open: int

    @cached_property
    def hours_of_day(self) -> bytes:
        """The local hour 0..23 of each slot, a byte a slot."""
        return bytes([hour % 24 for hour in self.hours])

    def at(self, k: int) -> int:
        return slot_time(self.earliest, self.first_hour, k)


def slot_time(earliest: int, first_hour: int, k: int) -> int:
    return earliest if k == 0 else first_hour + (k - 1) * HOUR


@lru_cache(maxsize=4096)
def slots_of(zone: ZoneInfo, earliest: int, latest: int, quiet: tuple[QuietHours, ...]) -> Slots:
    """The slots of a window; kept, since the users of one batch share theirs. O(slots)."""
    offset = utc_offset(earliest, zone)
    first_hour = earliest - (earliest + offset) % HOUR + HOUR
    count = 1 + max(0, min(MOST_SLOTS - 1, -(-(latest - first_hour) // HOUR)))
    last = slot_time(earliest, first_hour, count - 1)
    steady = utc_offset(last, zone) == offset and last - earliest < 8 * DAY
    hours, open_ = [], 0
    for k in range(count):
        at = slot_time(earliest, first_hour, k)
        local = offset if steady else utc_offset(at, zone)
        hours.append(hour_of_week(at, local))
        if not any(q.contains((at + local) // MINUTE % 1440) for q in quiet):
            open_ |= 1 << k
    return Slots(earliest, first_hour, tuple(hours), open_)


def next_open(zone: ZoneInfo, after: int, quiet: Iterable[QuietHours]) -> int | None:
    """The first quarter of an hour from `after` on, within eight days, that is outside quiet hours."""
    quiet = tuple(quiet)
    at = after
    while at < after + 8 * DAY:
        if not any(q.contains((at + utc_offset(at, zone)) // MINUTE % 1440) for q in quiet):
            return at
        at += 15 * MINUTE - (at + utc_offset(at, zone)) % (15 * MINUTE)
    return None
