"""When a message may go out: hourly slots of a send window, in the person's zone, without quiet hours."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from personalization.clock import DAY, HOUR, MINUTE, hour_of_week, utc_offset
from personalization.tenant import QuietHours

#: A window longer than a week offers the slots of its first week.
MOST_SLOTS = 169


class Slots(msgspec.Struct, frozen=True):
    """Slots of [earliest, latest): the earliest instant, then every full local hour. They lie an hour apart, so where clocks move
    by half an hour inside the window (Lord Howe, twice a year) those after the change are half past.

    hours : local hour of week of each slot     open : bit k set when slot k is outside quiet hours
    """

    earliest: int
    first_hour: int
    hours: tuple[int, ...]
    open: int

    def at(self, k: int) -> int:
        return slot_time(self.earliest, self.first_hour, k)


def slot_time(earliest: int, first_hour: int, k: int) -> int:
    return earliest if k == 0 else first_hour + (k - 1) * HOUR


@lru_cache(maxsize=4096)
def slots_of(zone: ZoneInfo, earliest: int, latest: int, quiet: tuple[QuietHours, ...]) -> Slots:
    """The slots of a window; kept, since the users of one batch share theirs."""
    offset = utc_offset(earliest, zone)
    first_hour = earliest - (earliest + offset) % HOUR + HOUR
    count = max(0, min(MOST_SLOTS - 1, -(-(latest - first_hour) // HOUR)))
    hours, open_ = _hourly(zone, first_hour, count, quiet)
    now, now_open = hour_of_week(earliest, offset), not is_quiet(earliest + offset, quiet)
    return Slots(earliest, first_hour, (now, *hours), open_ << 1 | now_open)


def no_slots(earliest: int) -> Slots:
    """Of a window that is over before it begins."""
    return Slots(earliest, earliest, (0,), 0)


@lru_cache(maxsize=4096)
def _hourly(zone: ZoneInfo, first_hour: int, count: int, quiet: tuple[QuietHours, ...]) -> tuple[tuple[int, ...], int]:
    """Local hours of week of the slots after the first, and which are outside quiet hours; the same for a whole hour."""
    hours, open_ = [], 0
    for k in range(count):
        at = first_hour + k * HOUR
        offset = utc_offset(at, zone)
        hours.append(hour_of_week(at, offset))
        if not is_quiet(at + offset, quiet):
            open_ |= 1 << k
    return tuple(hours), open_


@lru_cache(maxsize=4096)
def slot_mask(open_: int) -> bytes:
    """A bit a slot, little-endian, as records keep it."""
    return open_.to_bytes((open_.bit_length() + 7) // 8, "little")


def is_quiet(local: int, quiet: Iterable[QuietHours]) -> bool:
    """local: microseconds of local time."""
    minute = local // MINUTE % 1440
    return any(hours.contains(minute) for hours in quiet) if quiet else False


def next_open(zone: ZoneInfo, after: int, quiet: Iterable[QuietHours]) -> int | None:
    """The first quarter of an hour from `after` on, within eight days, that is outside quiet hours."""
    quiet = tuple(quiet)
    at = after
    while at < after + 8 * DAY:
        if not is_quiet(at + utc_offset(at, zone), quiet):
            return at
        at += 15 * MINUTE - (at + utc_offset(at, zone)) % (15 * MINUTE)
    return None
