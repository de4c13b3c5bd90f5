"""Dates, numbers and money as a person of that locale and zone reads them (CLDR, through Babel).

Digits are 0 to 9 in every language, so that what a text says can be typed and searched. The latest figures and days are remembered
as written: a campaign names the same price and the same day to everybody, and CLDR's patterns cost 10 to 25 microseconds a turn.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, format_decimal, format_percent

from personalization.clock import to_datetime

STYLES = ("short", "medium", "long", "full")
NOW_WORDS = ("now", "today")

_LARGEST = Decimal(10) ** 18
_MOST_DECIMALS = 10
_LONGEST_PATTERN = 100
_REMEMBERED = 4_096
_CURRENCY = re.compile(r"[A-Z]{3}")
_CURRENCIES = frozenset(Locale("en").currencies)
#: Epoch numbers from here on are milliseconds (as seconds they would lie past the year 5000).
_MILLISECONDS_FROM = 100_000_000_000
_ISO_BASIC_DIGITS = 8

#: strftime -> CLDR (UTS #35 part 4, "Date Field Symbol Table").
_DIRECTIVES = {
    "a": "EEE", "A": "EEEE", "b": "MMM", "h": "MMM", "B": "MMMM", "d": "dd", "-d": "d", "e": "d", "m": "MM", "-m": "M",
    "y": "yy", "Y": "y", "H": "HH", "-H": "H", "k": "H", "I": "hh", "-I": "h", "l": "h", "M": "mm", "-M": "m", "S": "ss",
    "-S": "s", "p": "a", "P": "a", "j": "DDD", "-j": "D", "Z": "z", "z": "xx", "F": "y-MM-dd", "D": "MM/dd/yy",
    "T": "HH:mm:ss", "R": "HH:mm", "%": "'%'", "n": " ", "t": " ",
}  # fmt: skip
_DIRECTIVE = re.compile(r"%(-?.)", re.DOTALL)


class Unformattable(ValueError):
    """A value that is no date or number, or an unknown pattern; the sentence never shows the value."""


@dataclass(frozen=True)
class Presentation:
    """For whom is written: `now` in microseconds, `currency` an ISO 4217 code, `rtl` whether the text begins at the right.
    Methods raise Unformattable."""

    locale: Locale
    zone: dt.tzinfo
    now: int
    currency: str
    rtl: bool = False

    @property
    def presentation(self) -> Presentation:
        """Itself: it is all that the formatting filters read of the context they are called in."""
        return self

    def moment(self) -> dt.datetime:
        return to_datetime(self.now, self.zone)

    def date(self, value: object, pattern: str = "medium") -> str:
        """A day in one of STYLES, a strftime or a CLDR pattern. Text that is no date stays as it is, as Liquid has it.

        A value without a time is a day of the calendar and is never moved to another zone; a time without an offset is
        the person's own.
        """
        if pattern == "%s":
            return str(int(self.moment_of(value).timestamp()))
        day = self._day(value)
        if isinstance(day, str):
            return day
        if pattern in STYLES:
            return _written_day(day.date() if isinstance(day, dt.datetime) else day, pattern, self.locale)
        moment = day if isinstance(day, dt.datetime) else self._midnight(day)
        return str(format_datetime(moment, format=cldr_pattern(pattern), tzinfo=self.zone, locale=self.locale))

    def time(self, value: object, pattern: str = "short") -> str:
        style = pattern if pattern in STYLES else cldr_pattern(pattern)
        return str(format_time(self.moment_of(value), format=style, tzinfo=self.zone, locale=self.locale))

    def datetime(self, value: object, pattern: str = "medium") -> str:
        style = pattern if pattern in STYLES else cldr_pattern(pattern)
        return str(format_datetime(self.moment_of(value), format=style, tzinfo=self.zone, locale=self.locale))

    def number(self, value: object, decimals: int | None = None) -> str:
        return _written_number(decimal_of(value), None if decimals is None else _places(decimals), self.locale)

    def percent(self, value: object, decimals: int = 0) -> str:
        """A share as a percentage: 0.15 reads 15%."""
        return _written_share(round(decimal_of(value), _places(decimals) + 2) or Decimal(0), self.locale)

    def money(self, value: object, currency: str | None = None) -> str:
        code = currency or self.currency
        if not isinstance(code, str) or not _CURRENCY.fullmatch(code):
            raise Unformattable("a currency is three capital letters such as EUR")
        if currency and code not in _CURRENCIES:
            raise Unformattable(f"CLDR knows no currency {code}; write its ISO 4217 code")
        return _written_sum(decimal_of(value), code, self.locale)

    def _day(self, value: object) -> dt.date | str:
        """A calendar day, a moment in the person's zone, or the text itself when it is no date."""
        if isinstance(value, str):
            try:
                return self._parsed(value)
            except ValueError:
                return value
        return self.moment_of(value)

    def moment_of(self, value: object) -> dt.datetime:
        """The moment a value names, in the person's zone; a calendar day is its first moment."""
        if isinstance(value, str):
            try:
                parsed = self._parsed(value)
            except ValueError as unreadable:
                raise Unformattable("the text is no ISO 8601 date or time") from unreadable
            return parsed if isinstance(parsed, dt.datetime) else self._midnight(parsed)
        if isinstance(value, dt.datetime):
            return value.astimezone(self.zone)
        if isinstance(value, dt.date):
            return self._midnight(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._epoch(value)
        raise Unformattable(f"a date cannot be read from a value of type {type(value).__name__}")

    def _parsed(self, text: str) -> dt.date:
        """Raises ValueError when the text is no date."""
        text = text.strip()
        if text in NOW_WORDS:
            return self.moment()
        if text.isdecimal() and text.isascii() and len(text) != _ISO_BASIC_DIGITS:
            return self._epoch(int(text[:20]))
        try:
            return dt.date.fromisoformat(text)
        except ValueError:
            moment = dt.datetime.fromisoformat(text)
        return moment.replace(tzinfo=self.zone) if moment.tzinfo is None else self._zoned(moment)

    def _midnight(self, day: dt.date) -> dt.datetime:
        return dt.datetime(day.year, day.month, day.day, tzinfo=self.zone)

    def _epoch(self, number: float) -> dt.datetime:
        seconds = number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
        try:
            return to_datetime(round(seconds * 1_000_000), self.zone)
        except (OverflowError, ValueError) as outside:
            raise Unformattable("the number lies outside the calendar") from outside

    def _zoned(self, moment: dt.datetime) -> dt.datetime:
        try:
            return moment.astimezone(self.zone)
        except OverflowError as outside:
            raise ValueError("outside the calendar") from outside


@lru_cache(maxsize=1024)
def cldr_pattern(pattern: str) -> str:
    """A CLDR pattern of a strftime or CLDR one. Raises Unformattable for an unknown directive."""
    if not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN:
        raise Unformattable(f"a date pattern is a text of at most {_LONGEST_PATTERN} characters")
    if "%" not in pattern:
        return pattern
    pieces, end = [], 0
    for found in _DIRECTIVE.finditer(pattern):
        pieces.append(_quoted(pattern[end : found.start()]))
        directive = _DIRECTIVES.get(found[1])
        if directive is None:
            raise Unformattable(f"unknown date directive {found[0]!r}; write a style such as long, or directives such as %d %B %Y")
        pieces.append(directive)
        end = found.end()
    return "".join(pieces) + _quoted(pattern[end:])


def _quoted(text: str) -> str:
    """Literal text inside a CLDR pattern: letters must be quoted."""
    return re.sub(r"[A-Za-z']+", lambda word: "'" + word[0].replace("'", "''") + "'", text)


def decimal_of(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise Unformattable(f"a number cannot be read from a value of type {type(value).__name__}")
    try:
        number = Decimal(str(value)[:64].strip())
    except InvalidOperation as unreadable:
        raise Unformattable("the text is no number; write it like 1234.5") from unreadable
    if not number.is_finite() or abs(number) >= _LARGEST:
        raise Unformattable("the number is not finite or has more than 18 digits")
    return number or Decimal(0)  # never -0, which equals 0 and is written otherwise


def _places(decimals: object) -> int:
    if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= _MOST_DECIMALS:
        raise Unformattable(f"decimals are a whole number from 0 to {_MOST_DECIMALS}")
    return decimals


@lru_cache(maxsize=_REMEMBERED)
def _written_day(day: dt.date, style: str, locale: Locale) -> str:
    return str(format_date(day, format=style, locale=locale))


@lru_cache(maxsize=_REMEMBERED)
def _written_number(number: Decimal, decimals: int | None, locale: Locale) -> str:
    if decimals is None:
        return str(format_decimal(number, locale=locale))
    return str(format_decimal(round(number, decimals), format=_fixed(decimals, locale), locale=locale))


@lru_cache(maxsize=_REMEMBERED)
def _written_share(share: Decimal, locale: Locale) -> str:
    return str(format_percent(share, locale=locale, decimal_quantization=False))


@lru_cache(maxsize=_REMEMBERED)
def _written_sum(number: Decimal, currency: str, locale: Locale) -> str:
    return str(format_currency(number, currency, locale=locale))


def forget() -> None:
    """Drop every remembered figure and day: a rare one may be somebody's own."""
    for remembering in (_written_day, _written_number, _written_share, _written_sum):
        remembering.cache_clear()


@lru_cache(maxsize=1024)
def _fixed(decimals: int, locale: Locale) -> str:
    """The locale's grouping with exactly that many decimals."""
    whole = str(locale.decimal_formats[None].pattern).partition(";")[0].partition(".")[0]
    return f"{whole}.{'0' * decimals}" if decimals else whole
