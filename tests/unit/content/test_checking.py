"""What a program can find wrong with a translation."""

from __future__ import annotations

import pytest

from personalization.content.checking import Finding, findings
from personalization.content.templates import compile_content
from personalization.tenant import ChannelSpec

ENGLISH = {"subject": "Something nice for you", "text": "We have put together something nice. See {{ link }}"}
SMS = {"sms": ChannelSpec(max_length=100), "email": ChannelSpec()}


def found(locale: str, parts: dict[str, str], original: dict[str, str] = ENGLISH, default: str = "en") -> list[Finding]:
    return findings(compile_content(parts, ""), locale, compile_content(original, ""), default, SMS)


def kinds(locale: str, parts: dict[str, str], original: dict[str, str] = ENGLISH, default: str = "en") -> list[tuple[str, str]]:
    return [(finding.kind, finding.part) for finding in found(locale, parts, original, default)]


GERMAN = {"subject": "Etwas Schönes für Sie", "text": "Wir haben etwas Schönes vorbereitet. Ansehen: {{ link }}"}


def test_a_good_translation_has_no_finding() -> None:
    assert found("de", GERMAN) == []
    assert found("en", ENGLISH) == []


@pytest.mark.parametrize(
    ("locale", "text", "strange"),
    [
        ("ru", "Привет, Aдa", "Aдa"),  # the first letter is a Latin one
        ("ar", "عرض special لك", "special"),
        ("de", "Ηallo", "Ηallo"),  # begins with a Greek eta
        ("sr", "Zdravo", "Zdravo"),
        ("ja", "안녕하세요", "안녕하세요"),
        ("el", "<p class='big'>Γεια</p><b>now</b>", "now"),
        ("he", "שלום {{ n | default: 'friend' }}", "friend"),
        ("uk", "{{ n | plural: one: '# товар', few: '# товари', many: '# items', other: '# товару' }}", "items"),
    ],
)
def test_letters_of_another_script_are_found(locale: str, text: str, strange: str) -> None:
    [finding] = found(locale, {"text": text}, {"text": "x"})
    assert (finding.kind, finding.part) == ("script", "text")
    assert finding.message.endswith(f"is not written in the letters of: {strange}")


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("ar", "عرض 20% <a href='https://example.com'>هنا</a> {{ link | default: 'https://example.com' }} &amp;"),
        ("ja", "特典をみるカードー、20%"),
        ("ko", "혜택 韓國"),
        ("zh-Hant", "優惠"),
        ("sr-Latn", "Zdravo"),
        ("vi", "Ưu đãi"),
        ("ru", "<style>p { color: red }</style>Привет {{ name }} {{ day | date: 'long' }} ada@example.org"),
        ("und", "anything что угодно"),
    ],
)
def test_markup_addresses_and_a_languages_own_letters_are_fine(locale: str, text: str) -> None:
    assert found(locale, {"text": text}, {"text": "x"}) == []


@pytest.mark.parametrize(
    ("locale", "offered", "missing"),
    [
        ("pl", "one: 'a', other: 'b'", "few, many"),
        ("ar", "one: 'a', two: 'a', few: 'a', other: 'b'", "zero, many"),
        ("fr", "one: 'a', other: 'b'", "many"),
        ("en", "other: 'b'", "one"),
        ("en", "one: 'a', other: 'b'", ""),
        ("ja", "other: 'b'", ""),
        ("pl", "one: 'a', few: 'a', many: 'a', other: 'b'", ""),
    ],
)
def test_plural_categories_without_a_form_are_named(locale: str, offered: str, missing: str) -> None:
    text = {"text": "{% if n %}{{ n | plural: " + offered + " }}{% endif %}"}
    messages = [finding.message for finding in found(locale, text, {"text": "x"}) if finding.kind == "plural"]
    assert messages == ([f"a plural lacks {missing}; such numbers take other"] if missing else [])


def test_a_sentence_that_nobody_translated_is_found_and_a_short_one_is_not() -> None:
    half = {**GERMAN, "text": "We have put together something nice. Ansehen: {{ link }}"}
    assert kinds("de", half) == [("untranslated", "text")]
    assert kinds("de", ENGLISH) == [("untranslated", "subject"), ("untranslated", "text")]
    assert kinds("de", {"text": "OK, top! {{ link }}"}, {"text": "OK, top! {{ link }}"}) == []
    assert (
        kinds(
            "ja",
            {"text": "限定のご案内をお届けします。本日から来週の日曜日まで。"},
            {"text": "限定のご案内をお届けします。本日から来週の日曜日まで。"},
            "zh",
        )
        == []
    )


def test_another_region_of_the_same_language_may_read_alike() -> None:
    assert found("en-GB", ENGLISH) == []


@pytest.mark.parametrize(
    ("locale", "html", "found"),
    [
        ("he", '<div dir="ltr">שלום</div>', [("direction", "html")]),
        ("he", "<!doctype html><html lang=he dir=rtl><p>שלום</p>", []),
        ("he", "<p>שלום</p>", []),
        ("de", '<div class=a dir="RTL">Hallo</div>', [("direction", "html")]),
        ("de", '<p>Hallo</p><p dir="rtl">x</p>', []),
    ],
)
def test_html_that_says_another_direction_than_its_language_has_is_found(
    locale: str, html: str, found: list[tuple[str, str]]
) -> None:
    assert kinds(locale, {"html": html}, {"html": "x"}) == found


def test_a_part_that_is_only_there_in_the_default_language_is_found() -> None:
    assert kinds("de", {"subject": GERMAN["subject"]}) == [("missing_part", "text")]


def test_a_translation_too_long_for_a_channel_that_the_default_language_fits_is_found() -> None:
    long = {"subject": "x", "text": "Wort " * 30}
    assert [finding.message for finding in found("de", long)] == ["it is longer than the 100 characters of sms"]
    assert kinds("de", long, {"subject": "x", "text": "word " * 30}) == []


@pytest.mark.parametrize(
    "text", ["a" * 130_000, "<style " * 18_000, "a." * 60_000, "a@" * 60_000, "http:" * 20_000, "字" * 130_000]
)
def test_no_text_takes_quadratic_time(text: str) -> None:
    assert {kind for kind, _ in kinds("de", {"text": text}, {"text": "x" * 500})} <= {"script"}
