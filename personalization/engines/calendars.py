"""What kind of day it is somewhere: workday, weekend or public holiday, by the `holidays` package's rules."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import lru_cache

import holidays
import holidays.countries  # every country's rules, so that none is loaded while somebody waits
import msgspec

from personalization.clock import DAY

WORKDAY, WEEKEND, HOLIDAY = "workday", "weekend", "holiday"

_EPOCH = date(1970, 1, 1).toordinal()
_MONDAY = 4  # 1970-01-05, as a number of days since 1970
_YEARS = range(1900, 2101)
_COUNTRIES = frozenset(holidays.list_supported_countries(include_aliases=False))
_ALIASES = {"UK": "GB"}


class Calendar(msgspec.Struct, frozen=True):
    """free: public holidays of the whole country, worked: weekend days that are worked, both as days since 1970;
    weekend: days of the week, 0 = Monday."""

    free: frozenset[int] = frozenset()
    worked: frozenset[int] = frozenset()
    weekend: frozenset[int] = frozenset((5, 6))


_PLAIN = Calendar()


def country_code(said: object) -> str | None:
    """ISO 3166-1 alpha-2, of a country there is a calendar of."""
    if not isinstance(said, str) or len(said) != 2:
        return None
    code = said.upper()
    code = _ALIASES.get(code, code)
    return code if code in _COUNTRIES else None


def day_kind(local: int, country: str | None) -> str:
    """local: microseconds of local time."""
    return _kind(local // DAY, country)


@lru_cache(maxsize=8192)
def _kind(day: int, country: str | None) -> str:
    calendar = _calendar(country, _year(day))
    if day in calendar.free:
        return HOLIDAY
    return WEEKEND if (day - _MONDAY) % 7 in calendar.weekend and day not in calendar.worked else WORKDAY


def _year(day: int) -> int:
    """Of a day since 1970; 0 where there is no calendar that far."""
    return date.fromordinal(day + _EPOCH).year if 1 - _EPOCH <= day <= date.max.toordinal() - _EPOCH else 0


@lru_cache(maxsize=2048)
def _calendar(country: str | None, year: int) -> Calendar:
    """Kept: half a millisecond for a country's year, and one small file of names the first time a country is met."""
    if country is None or year not in _YEARS:
        return _PLAIN
    known = holidays.country_holidays(country, years=year)
    return Calendar(_numbers(known), _numbers(known.weekend_workdays), frozenset(known.weekend))


def _numbers(days: Iterable[date]) -> frozenset[int]:
    return frozenset(day.toordinal() - _EPOCH for day in days)
