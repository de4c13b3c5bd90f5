"""Languages: which tags are ones, which of the available texts a person reads best, and how well it matches.

Inheritance is CLDR's (UTS #35 part 1, "Locale Inheritance"): en-GB reads en-001, then en; zh-TW reads zh-Hant, never zh.
Every function is pure and cached.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import filterfalse

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from personalization.template import ANY_LOCALE

#: How well a text in another region's form of the wanted language serves.
OTHER_REGION = 0.9
#: How well a text in another language serves.
OTHER_LANGUAGE = 0.5

_ROOT = "root"
_KNOWN = Locale("en")
_PARENTS: Mapping[str, str] = get_global("parent_exceptions")
_LIKELY: Mapping[str, str] = get_global("likely_subtags")
_ALIASES: Mapping[str, str] = get_global("language_aliases")
_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|\d{3}))?"
    r"(?P<variants>(?:-(?:[a-z\d]{5,8}|\d[a-z\d]{3}))*)(?:-[a-wy-z\d](?:-[a-z\d]{2,8})+)*(?:-x(?:-[a-z\d]{1,8})+)?",
    re.IGNORECASE,
)

#: CLDR keeps Bokmål as the data of "no", whose readers read Nynorsk too.
_NORWEGIAN: Mapping[str, str] = {"nb": "no", "nn": "no"}

#: language, script when it is not the likely one, region.
_Subtags = tuple[str, str, str]


@lru_cache(maxsize=4096)
def canonical_language(tag: str) -> str:
    """The BCP 47 tag in its usual letter case, without extensions; raises ValueError with a sentence.

    Language, script and region must be known to CLDR; ANY_LOCALE is accepted.

    >>> canonical_language("EN_gb"), canonical_language("zh-hant-hk"), canonical_language("de-DE-u-co-phonebk")
    ('en-GB', 'zh-Hant-HK', 'de-DE')
    """
    if tag == ANY_LOCALE:
        return tag
    found = _TAG.fullmatch(tag.replace("_", "-"))
    if found is None:
        raise ValueError(f"{tag[:40]!r} is not a language tag; write it like en, pt-BR or zh-Hant")
    alias = _ALIASES.get(found["language"].lower(), found["language"].lower())
    language, *implied = alias.split("_")  # Dari is fa_AF, Serbo-Croatian sr_Latn
    script = (found["script"] or next(filter(_is_script, implied), "")).title()
    region = (found["region"] or next(filterfalse(_is_script, implied), "")).upper()
    for subtag, known in ((language, _KNOWN.languages), (script, _KNOWN.scripts), (region, _KNOWN.territories)):
        if subtag and subtag not in known:
            raise ValueError(f"{tag[:40]!r} is not a language tag: CLDR knows no {subtag!r}; write it like en, pt-BR or zh-Hant")
    return "-".join(filter(None, (language, script, region, found["variants"].lower().strip("-"))))


def choose_locale(wanted: Sequence[str], available: Collection[str], default: str) -> str | None:
    """The available locale to write in; None when none will do.

    Each wanted tag is tried in order: itself, its CLDR parents, then its language as another region writes it.
    `default` is tried the same way after them, and ANY_LOCALE comes last. Tags that are none are passed over.

    >>> choose_locale(["pt-BR"], {"pt", "en"}, "en"), choose_locale(["pt"], {"pt-BR", "en"}, "en")
    ('pt', 'pt-BR')
    """
    return _choose(tuple(wanted), frozenset(available), default)


@lru_cache(maxsize=4096)
def _choose(wanted: tuple[str, ...], available: frozenset[str], default: str) -> str | None:
    by_subtags = {_subtags(tag): tag for tag in sorted(available, reverse=True) if tag != ANY_LOCALE and _valid(tag)}
    for tag in (*wanted, default):
        if tag in available and tag != ANY_LOCALE:
            return tag
        if tag == ANY_LOCALE or not _valid(tag):
            continue
        found = _inherited(_subtags(tag), by_subtags) or _elsewhere(_subtags(tag), by_subtags)
        if found is not None:
            return found
    return ANY_LOCALE if ANY_LOCALE in available else None


@lru_cache(maxsize=4096)
def language_match(wanted: str, got: str) -> float:
    """1.0 when `got` is the wanted tag, a parent of it, or ANY_LOCALE; 0.9 another region; 0.5 another language.

    >>> language_match("en-GB", "en"), language_match("pt", "pt-BR"), language_match("fr", "en")
    (1.0, 0.9, 0.5)
    """
    if got in (wanted, ANY_LOCALE):
        return 1.0
    if wanted == ANY_LOCALE or not (_valid(wanted) and _valid(got)):
        return OTHER_LANGUAGE
    if _subtags(got) in _chain(_subtags(wanted)):
        return 1.0
    return OTHER_REGION if _written(_subtags(wanted)) == _written(_subtags(got)) else OTHER_LANGUAGE


@lru_cache(maxsize=1024)
def babel_locale(tag: str) -> Locale:
    """The CLDR data to format with: the tag's own, else its nearest parent's; English for ANY_LOCALE and unknown tags."""
    if tag != ANY_LOCALE and _valid(tag):
        for subtags in _chain(_subtags(tag)):
            language, script, region = subtags
            for spelled in dict.fromkeys((script, _written(subtags)[1])):
                try:
                    return Locale(language, region or None, spelled or None)
                except UnknownLocaleError:
                    continue
    return Locale("en")


@lru_cache(maxsize=1024)
def script_of(tag: str) -> str:
    """The ISO 15924 code a text of that tag is written in; "" where CLDR names none.

    >>> script_of("sr"), script_of("sr-Latn"), script_of("zh-TW")
    ('Cyrl', 'Latn', 'Hant')
    """
    return _written(_subtags(tag))[1] if tag != ANY_LOCALE and _valid(tag) else ""


def forget() -> None:
    """Drop every remembered tag: a made-up one may be somebody's own."""
    for remembering in (canonical_language, _choose, language_match, babel_locale, script_of, _valid, _subtags):
        remembering.cache_clear()


@lru_cache(maxsize=4096)
def _valid(tag: str) -> bool:
    try:
        canonical_language(tag)
    except ValueError:
        return False
    return True


def _inherited(wanted: _Subtags, available: dict[_Subtags, str]) -> str | None:
    return next((available[parent] for parent in _chain(wanted) if parent in available), None)


def _elsewhere(wanted: _Subtags, available: dict[_Subtags, str]) -> str | None:
    """The same written language of another region: its most spoken one first, then in order of the tag."""
    likely = _LIKELY.get(wanted[0], "").rpartition("_")[2]
    same = [(subtags[2] != likely, tag) for subtags, tag in available.items() if _written(subtags) == _written(wanted)]
    return min(same)[1] if same else None


@lru_cache(maxsize=4096)
def _subtags(tag: str) -> _Subtags:
    found = _TAG.fullmatch(canonical_language(tag))
    if found is None:
        raise ValueError(tag)
    language, script, region = found["language"], found["script"] or "", found["region"] or ""
    return language, "" if script == _likely_script(language, region) else script, region


def _chain(subtags: _Subtags) -> list[_Subtags]:
    """The tag and its parents, nearest first."""
    chain = [subtags]
    while (parent := _parent(chain[-1])) is not None:
        chain.append(parent)
    return chain


def _parent(subtags: _Subtags) -> _Subtags | None:
    language, _, region = subtags
    script = _written(subtags)[1]
    named = _PARENTS.get(_joined(*subtags)) or _PARENTS.get(_joined(language, script, region))
    if named is not None:
        return None if named == _ROOT else _subtags(named)
    if not region:
        return None
    return language, "" if script == _likely_script(language, "") else script, ""


def _written(subtags: _Subtags) -> tuple[str, str]:
    language, script, region = subtags
    return _NORWEGIAN.get(language, language), script or _likely_script(language, region)


def _likely_script(language: str, region: str) -> str:
    likely = _LIKELY.get(_joined(language, "", region)) or _LIKELY.get(language) or ""
    return next((part for part in likely.split("_")[1:] if _is_script(part)), "")


def _is_script(subtag: str) -> bool:
    return len(subtag) == 4


def _joined(*subtags: str) -> str:
    return "_".join(filter(None, subtags))
