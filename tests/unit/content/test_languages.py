"""The languages spoken end to end: what CLDR says of each, and that every filter writes in it."""

from __future__ import annotations

import pytest
from babel import Locale

from personalization.clock import instant, zone
from personalization.content.languages import CATEGORIES, CODES, language, right_to_left
from personalization.content.locales import canonical_language
from personalization.content.templates import compile_content

NOW = instant("2026-11-23T10:00:00Z")
VALUES = {"n": 1234.5, "d": "2026-12-01", "m": "2026-11-23T12:00:00Z", "l": ["A", "B", "C"]}
FILTERS = (
    "{{ d | date: 'long' }}",
    "{{ m | time }}",
    "{{ m | datetime }}",
    "{{ m | relative }}",
    "{{ n | number }}",
    "{{ 0.125 | percent: 1 }}",
    "{{ n | money: 'EUR' }}",
    "{{ n | unit: 'kilometer' }}",
    "{{ l | list }}",
)


def test_there_are_more_than_45_languages_each_once_and_canonical() -> None:
    assert len(CODES) == len(set(CODES)) >= 45
    assert [canonical_language(code) for code in CODES] == list(CODES) == sorted(CODES)
    assert len({code.partition("-")[0] for code in CODES}) >= 45


@pytest.mark.parametrize("code", CODES)
def test_every_language_is_known_to_cldr(code: str) -> None:
    known = language(code)
    assert "" not in (known.endonym, known.script)
    assert known.plurals
    assert set(known.plurals) <= set(CATEGORIES)
    assert known.direction == Locale.parse(code.replace("-", "_")).text_direction


@pytest.mark.parametrize(
    ("code", "endonym", "script", "direction", "plurals"),
    [
        ("ar", "العربية", "Arab", "rtl", ("zero", "one", "two", "few", "many", "other")),
        ("he", "עברית", "Hebr", "rtl", ("one", "two", "other")),
        ("pl", "Polski", "Latn", "ltr", ("one", "few", "many")),
        ("ru", "Русский", "Cyrl", "ltr", ("one", "few", "many")),
        ("fr", "Français", "Latn", "ltr", ("one", "many", "other")),
        ("ja", "日本語", "Jpan", "ltr", ("other",)),
        ("ka", "ქართული", "Geor", "ltr", ("one", "other")),
        ("zh-Hant", "中文 (繁體)", "Hant", "ltr", ("other",)),
        ("sr-Latn", "Srpski (latinica)", "Latn", "ltr", ("one", "few", "other")),
    ],
)
def test_what_is_said_of_a_language_is_cldrs(
    code: str, endonym: str, script: str, direction: str, plurals: tuple[str, ...]
) -> None:
    known = language(code)
    assert (known.endonym, known.script, known.direction, known.plurals) == (endonym, script, direction, plurals)


def test_arabic_hebrew_persian_and_urdu_begin_at_the_right() -> None:
    assert [code for code in CODES if right_to_left(code)] == ["ar", "fa", "he", "ur"]
    assert [right_to_left(tag) for tag in ("ar-EG", "he-IL", "und", "no such tag")] == [True, True, False, False]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("source", FILTERS)
def test_every_filter_writes_in_every_language(code: str, source: str) -> None:
    content = compile_content({"text": source, "html": source}, "")
    text = content.render(VALUES, locale=code, zone=zone("UTC"), now=NOW, currency="EUR")["text"]
    assert text.strip()
    assert any(letter.isalnum() for letter in text)


@pytest.mark.parametrize("code", [code for code in CODES if code != "en"])
def test_a_language_writes_something_of_its_own(code: str) -> None:
    content = compile_content({"text": "".join(FILTERS)}, "")
    english, own = (content.render(VALUES, locale=each, zone=zone("UTC"), now=NOW, currency="EUR")["text"] for each in ("en", code))
    assert own != english
