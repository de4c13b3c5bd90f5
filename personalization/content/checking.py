"""What is wrong with a translation, as far as a program can tell: letters, direction, plurals, what nobody translated, length.

Only what the template itself says is read, never a person's values.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from personalization.content.languages import language
from personalization.content.locales import OTHER_REGION, language_match
from personalization.content.quality import fits
from personalization.content.templates import ESCAPED_PARTS, CompiledContent
from personalization.tenant import ChannelSpec

Kind = Literal["script", "direction", "plural", "missing_part", "untranslated", "length", "voice", "segments"]

#: ISO 15924 -> how Unicode's names of its letters begin.
_LETTERS: Mapping[str, frozenset[str]] = {
    script: frozenset(names.split())
    for script, names in {
        "Arab": "ARABIC", "Armn": "ARMENIAN", "Beng": "BENGALI", "Cyrl": "CYRILLIC", "Deva": "DEVANAGARI", "Ethi": "ETHIOPIC",
        "Geor": "GEORGIAN", "Grek": "GREEK", "Gujr": "GUJARATI", "Guru": "GURMUKHI", "Hans": "CJK", "Hant": "CJK",
        "Hebr": "HEBREW", "Jpan": "CJK HIRAGANA KATAKANA", "Khmr": "KHMER", "Knda": "KANNADA", "Kore": "HANGUL CJK",
        "Laoo": "LAO", "Latn": "LATIN", "Mlym": "MALAYALAM", "Mymr": "MYANMAR", "Orya": "ORIYA", "Sinh": "SINHALA",
        "Taml": "TAMIL", "Telu": "TELUGU", "Thai": "THAI",
    }.items()
}  # fmt: skip
_ALL_LETTERS = frozenset(chain.from_iterable(_LETTERS.values()))

#: Bounded, so that no text takes quadratic time.
MARKUP = r"<(?:style|script)\b[^<]*</\w+>|<[^<>]*>"
ADDRESSES = r"[A-Za-z][A-Za-z0-9+.-]{0,15}://[^\s\"'<>]*|[\w.+-]{1,64}@\S+"
_NOT_WORDS = re.compile(rf"{MARKUP}|&#?\w{{1,32}};|{ADDRESSES}", re.IGNORECASE)
_FIRST_DIR = re.compile(r"\s*(?:<!doctype[^>]*>\s*)?<\w[^>]*\bdir\s*=\s*[\"']?(ltr|rtl)\b", re.IGNORECASE)
_SENTENCES = re.compile(r"[\n.!?。！？।…:]+")
_WORD = re.compile(r"[^\W\d_]+")
#: A sentence of fewer words, or of fewer letters where words are not set apart, may well be the same in two languages.
_FEW_WORDS, _FEW_LETTERS = 4, 20
_SHOWN_WORDS = 5


@dataclass(frozen=True)
class Finding:
    """part: "" where the content as a whole is meant; message: a sentence."""

    kind: Kind
    part: str
    message: str


def findings(
    content: CompiledContent, locale: str, original: CompiledContent, original_locale: str, channels: Mapping[str, ChannelSpec]
) -> list[Finding]:
    """What to look at in `content`, written in `locale` after `original`. A channel counts when the original keeps its limit,
    or when it keeps none."""
    found: list[Finding] = []
    for part in content.parts:
        found += _strange_letters(content, part, locale)
        found += _misdirected(content, part, locale)
        found += _plurals_missing(content, part, locale)
        if content is not original and language_match(original_locale, locale) < OTHER_REGION:
            found += _untranslated(content, part, original, original_locale)
    absent = [part for part in original.parts if part not in content.parts]
    found += [Finding("missing_part", part, f"the part {part} is there in {original_locale} and not here") for part in absent]
    return [*found, *_too_long(content, original, channels)]


def _strange_letters(content: CompiledContent, part: str, locale: str) -> Iterator[Finding]:
    known = _LETTERS.get(language(locale).script)
    if known is None:
        return
    words = _WORD.findall(_said(content, part))
    strange = list(dict.fromkeys(word for word in words if any(_script(letter) in _ALL_LETTERS - known for letter in word)))
    if strange:
        shown = ", ".join(strange[:_SHOWN_WORDS])
        yield Finding("script", part, f"{language(locale).endonym} is not written in the letters of: {shown}")


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


def _misdirected(content: CompiledContent, part: str, locale: str) -> Iterator[Finding]:
    said, known = _FIRST_DIR.match(content.words(part)), language(locale)
    if part in ESCAPED_PARTS and said and said[1].lower() != known.direction:
        yield Finding("direction", part, f"it says dir={said[1]}, and {known.endonym} is {known.direction}")


def _plurals_missing(content: CompiledContent, part: str, locale: str) -> Iterator[Finding]:
    for offered in content.plurals(part):
        missing = [category for category in language(locale).plurals if category not in offered]
        if missing:
            yield Finding("plural", part, f"a plural lacks {', '.join(missing)}; such numbers take other")


def _untranslated(content: CompiledContent, part: str, original: CompiledContent, original_locale: str) -> Iterator[Finding]:
    same = _sentences(content, part) & _sentences(original, part)
    if same:
        yield Finding("untranslated", part, f"reads as in {original_locale}: {min(same)[:80]}")


def _sentences(content: CompiledContent, part: str) -> set[str]:
    sentences = (" ".join(sentence.split()) for sentence in _SENTENCES.split(_said(content, part)))
    return {sentence for sentence in sentences if len(_WORD.findall(sentence)) >= _FEW_WORDS or _letters(sentence) >= _FEW_LETTERS}


def _letters(sentence: str) -> int:
    return sum(map(len, _WORD.findall(sentence)))


def _said(content: CompiledContent, part: str) -> str:
    return _NOT_WORDS.sub("\n", content.words(part))


def _too_long(content: CompiledContent, original: CompiledContent, channels: Mapping[str, ChannelSpec]) -> Iterator[Finding]:
    kept = [name for name, spec in channels.items() if fits(original, name, spec)]
    for name in kept or channels:
        if not fits(content, name, channels[name]):
            yield Finding("length", "", f"it is longer than the {channels[name].max_length} characters of {name}")
