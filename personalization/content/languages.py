"""The languages that are spoken end to end: every one has CLDR's plurals, dates, numbers, money, lists and units, and the demo's
offer is written in it. Any other language of CLDR is formatted as well; what follows from CLDR holds for those too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from babel import Locale

from personalization.content.locales import babel_locale, script_of

CODES: tuple[str, ...] = (
    "af", "ar", "az", "bg", "bn", "bs", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fil",
    "fr", "gl", "gu", "he", "hi", "hr", "hu", "hy", "id", "is", "it", "ja", "ka", "ko", "lt", "lv", "mk", "mr", "ms",
    "nb", "nl", "pa", "pl", "pt-BR", "pt-PT", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "sw", "ta", "te", "th", "tr", "uk", "ur",
    "vi", "zh-Hans", "zh-Hant",
)  # fmt: skip

#: CLDR's plural categories, in its order.
CATEGORIES = ("zero", "one", "two", "few", "many", "other")

#: CLDR's rules look at small numbers, at the last two digits and at whole thousands and millions.
_INTEGERS = (*range(201), 1_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Language:
    """code: BCP 47; endonym: its own name; script: ISO 15924, "" when CLDR names none; plurals: the categories that integers
    take, in the order of CATEGORIES."""

    code: str
    endonym: str
    script: str
    direction: Literal["ltr", "rtl"]
    plurals: tuple[str, ...]


@lru_cache(maxsize=1024)
def language(tag: str) -> Language:
    """What CLDR says of a language tag; of a tag it has no data for, what it says of English."""
    locale = babel_locale(tag)
    name = locale.get_display_name(locale) or tag
    taken = {locale.plural_form(n) for n in _INTEGERS}
    return Language(
        code=tag,
        endonym=name[:1].title() + name[1:],
        script=script_of(tag),
        direction="rtl" if right_to_left(tag) else "ltr",
        plurals=tuple(category for category in CATEGORIES if category in taken),
    )


@lru_cache(maxsize=1024)
def right_to_left(tag: str) -> bool:
    """Whether a text of that locale begins at the right."""
    locale: Locale = babel_locale(tag)
    return bool(locale.text_direction == "rtl")


def forget() -> None:
    """Drop every remembered tag, as locales.forget does."""
    language.cache_clear()
    right_to_left.cache_clear()
