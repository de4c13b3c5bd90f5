"""Time, handed in. Every instant inside is an int: microseconds since 1970-01-01 UTC."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_START = datetime(1970, 1, 1)
#: From 1973 on every zone changes its offset at a whole minute.
_WHOLE_MINUTES = 3 * 365 * DAY + DAY
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Tells the time. `now` never blocks; `monotonic` (seconds) is for measuring durations only."""

    def now(self) -> int: ...

    def monotonic(self) -> float: ...


class SystemClock:
    def now(self) -> int:
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        return time.perf_counter()


class ManualClock:
    """Stands still until told otherwise.

    >>> clock = ManualClock(instant("2026-01-05T00:00:00Z"))
    >>> clock.advance(HOUR)
    >>> rfc3339(clock.now())
    '2026-01-05T01:00:00Z'
    """

    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._now / SECOND

    def advance(self, microseconds: int) -> None:
        self._now += microseconds

    def set(self, now: int) -> None:
        self._now = now


def instant(text: str) -> int:
    """Microseconds of an RFC 3339 time. Raises ValueError when it has no offset or is no time.

    >>> instant("1970-01-01T01:00:00+01:00")
    0
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset; write it like 2026-11-23T10:00:00Z")
    return from_datetime(moment)


def from_datetime(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(at: int, zone: tzinfo = UTC) -> datetime:
    return (_EPOCH + timedelta(microseconds=at)).astimezone(zone)


def rfc3339(at: int, zone: tzinfo = UTC) -> str:
    """The RFC 3339 text of an instant, in `zone`.

    >>> rfc3339(0), rfc3339(0, zone("Europe/Berlin"))
    ('1970-01-01T00:00:00Z', '1970-01-01T01:00:00+01:00')
    """
    offset = utc_offset(at, zone)
    local = (_START + timedelta(microseconds=at + offset)).isoformat()
    return local + (_suffix(offset) if offset else "Z")


@lru_cache(maxsize=256)
def _suffix(offset: int) -> str:
    return datetime(2000, 1, 1, tzinfo=timezone(timedelta(microseconds=offset))).isoformat()[19:]


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name. Raises ValueError when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
        raise ValueError(f"{name!r} is not an IANA time zone; write it like Europe/London") from unknown


def utc_offset(at: int, zone_: tzinfo) -> int:
    """Microseconds to add to UTC for local time in `zone_` at that instant."""
    return _utc_offset(at - at % MINUTE if at >= _WHOLE_MINUTES else at, zone_)


@lru_cache(maxsize=16384)
def _utc_offset(at: int, zone_: tzinfo) -> int:
    offset = to_datetime(at, zone_).utcoffset()
    return 0 if offset is None else offset // _MICROSECOND


def hour_of_week(at: int, offset: int) -> int:
    """0 = Monday 00:00-01:00 local … 167 = Sunday 23:00-24:00; `offset` as of `utc_offset`.

    >>> hour_of_week(instant("2026-01-05T00:30:00Z"), 0)
    0
    """
    return ((at + offset) // HOUR + 72) % 168


_DURATION = re.compile(r"P(?:(\d{1,6})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,7})H)?(?:(\d{1,8})M)?(?:(\d{1,9}(?:\.\d{1,6})?)S)?)?")
_UNITS = (7 * DAY, DAY, HOUR, MINUTE, SECOND)


def length_of(duration: str) -> int:
    """Microseconds of an ISO 8601 duration of weeks, days, hours, minutes and seconds. Raises ValueError.

    >>> length_of("PT24H") == length_of("P1D") == DAY
    True
    """
    found = _DURATION.fullmatch(duration)
    if found is None or duration.endswith(("P", "T")):
        raise ValueError(f"{duration!r} is not a duration like PT24H or P1D")
    return sum(round(float(amount) * unit) for amount, unit in zip(found.groups(), _UNITS, strict=True) if amount)


def duration(length: int) -> str:
    """The shortest ISO 8601 text of that many microseconds.

    >>> duration(DAY), duration(36 * HOUR), duration(1_500_000), duration(0)
    ('P1D', 'P1DT12H', 'PT1.5S', 'PT0S')
    """
    days, rest = divmod(length, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    clock = f"{hours}H" * (hours > 0) + f"{minutes}M" * (minutes > 0) + f"{rest / SECOND:g}S" * (rest > 0)
    text = f"{days}D" * (days > 0) + f"T{clock}" * (clock != "")
    return f"P{text}" if text else "PT0S"
