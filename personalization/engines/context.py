"""The context engine: the moment where the person is, their device and session, and whatever else the caller passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from personalization.clock import hour_of_week, utc_offset, zone
from personalization.engines.calendars import HOLIDAY, WEEKEND, WORKDAY, country_code, day_kind
from personalization.engines.reading import ONE, Reading, category, declared, finite, reading
from personalization.messages import PersonalizationRequest
from personalization.profile import PersonalizationProfile

#: Features of what the caller passes, at most; keys we know come first, the others in order of their names.
MOST_FEATURES = 16

_UTC = zone("UTC")
_DAYPARTS = ("night", "night", "morning", "morning", "afternoon", "evening")
#: Names of the features every moment has.
MOMENTS = (*(f"daypart={part}" for part in dict.fromkeys(_DAYPARTS)), *(f"day={kind}" for kind in (WORKDAY, WEEKEND, HOLIDAY)))
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LONGEST_WORD = 32


def read(
    profile: PersonalizationProfile | None, request: PersonalizationRequest, now: int, default_zone: ZoneInfo = _UTC
) -> Reading:
    """now: the moment the message is for. default_zone: of people who said none."""
    said = profile.timezone if profile is not None else None
    here = _here(zone(said) if said else default_zone, now, country(profile))
    return here + passed(request.context) if request.context else here


@lru_cache(maxsize=4096)
def _here(place: ZoneInfo, now: int, country: str | None) -> Reading:
    """Kept, since the people of one batch share theirs."""
    offset = utc_offset(now, place)
    return moment(hour_of_week(now, offset), day_kind(now + offset, country))


def forget() -> None:
    """Drop every remembered language."""
    _region.cache_clear()


def country(profile: PersonalizationProfile | None) -> str | None:
    """Trait or attribute `country`, else the region of the language."""
    if profile is None:
        return None
    said = profile.traits.get("country") or profile.attributes.get("country")
    return (country_code(said) if said else None) or _region(profile.language)


@lru_cache(maxsize=1024)
def _region(language: str | None) -> str | None:
    """
    >>> _region("en-GB"), _region("zh-Hant-TW"), _region("en"), _region("not-a-region")
    ('GB', 'TW', None, None)
    """
    parts = (language or "").replace("_", "-").split("-")[1:3]
    return next((code for part in parts if len(part) == 2 and (code := country_code(part))), None)


@lru_cache(maxsize=2048)
def moment(hour: int, kind: str) -> Reading:
    """Day part and kind of day. hour: of the week, local; kind: WORKDAY, WEEKEND or HOLIDAY."""
    signals = (category("daypart", _DAYPARTS[hour % 24 // 4]), category("day", kind))
    return reading(signals, (("hour", str(hour % 24)), ("weekday", _WEEKDAYS[hour // 24])))


def passed(context: Mapping[str, Any]) -> Reading:
    """What the caller passes; at most 16 features. A key we know whose value says nothing is left out."""
    known = [(f"{key}={word}", ONE) for key, read_ in _KNOWN if key in context and (word := read_(context[key])) is not None]
    unknown = islice(declared("context", context, _NAMES), MOST_FEATURES - len(known))
    return reading([*known, *unknown])


# -- keys we know ----------------------------------------------------------------------------------------------------


def _one_of(words: Mapping[str, str]) -> Callable[[object], str | None]:
    """One word for what callers call it; a short word we do not know stands for itself."""

    def read_(value: object) -> str | None:
        if not isinstance(value, str) or len(value) > _LONGEST_WORD or not value.isprintable():
            return None
        word = value.strip().lower().replace("-", "_").replace(" ", "_")
        return words.get(word, word) or None

    return read_


def _words(**groups: str) -> dict[str, str]:
    return {alias: word for word, aliases in groups.items() for alias in (word, *aliases.split())}


def battery(value: object) -> str | None:
    """Share (up to 1), percent (above 1 to 100, or "85%") or a word, as low, medium or high.

    >>> battery(0.15), battery(55), battery("85%"), battery("charging"), battery(-3), battery(True)
    ('low', 'medium', 'high', 'charging', None, None)
    """
    if isinstance(value, str):
        word = value.strip().lower()
        return word if word in ("low", "medium", "high", "charging") else battery(_percent(word))
    level = finite(value)
    if level is None or not 0.0 <= level <= 100.0:
        return None
    share = level / 100.0 if level > 1.0 else level
    return "low" if share < 0.2 else "medium" if share < 0.6 else "high"


def _percent(word: str) -> float | None:
    digits = word.removesuffix("%")
    return int(digits) / 100.0 if digits.isascii() and digits.isdigit() and len(digits) <= 3 else None


def session(value: object) -> str | None:
    """Seconds in the session, or an object with `seconds`, as new, running or long; whatever else says that there is one
    as active: an id is nobody's feature.

    >>> session(5), session({"seconds": 120}), session("8f3a"), session(False), session([])
    ('new', 'running', 'active', 'none', None)
    """
    if isinstance(value, bool):
        return "active" if value else "none"
    if isinstance(value, str):
        return "active" if value else "none"
    if isinstance(value, Mapping):
        return session(value["seconds"]) if finite(value.get("seconds")) is not None else "active"
    seconds = finite(value)
    if seconds is None or seconds < 0.0:
        return None
    return "new" if seconds < 30.0 else "running" if seconds < 600.0 else "long"


_DEVICES = _words(phone="mobile smartphone iphone android ios", tablet="ipad", desktop="laptop pc computer mac", tv="television")
_NETWORKS = _words(wifi="wi_fi wlan", cellular="mobile 3g 4g 5g lte", slow="2g slow_2g edge", wired="ethernet", offline="none")
_PLACES = _words(
    home="house", work="office workplace", transit="commute commuting bus train car", shop="store mall", travel="abroad"
)

#: What each makes of its value; None: it says nothing.
_KNOWN: tuple[tuple[str, Callable[[object], str | None]], ...] = (
    ("device", _one_of(_DEVICES)),
    ("connectivity", _one_of(_NETWORKS)),
    ("battery", battery),
    ("place", _one_of(_PLACES)),
    ("session", session),
)
_NAMES = frozenset(key for key, _ in _KNOWN)
