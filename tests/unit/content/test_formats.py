"""Dates, numbers and money, each as its readers write them."""

from __future__ import annotations

import pytest

from personalization.clock import instant, zone
from personalization.content import formats, languages
from personalization.content.templates import compile_content
from personalization.errors import RenderingFailed, TemplateInvalid

NOW = instant("2026-11-23T10:00:00Z")


def shown(source: str, value: object = None, *, locale: str = "en", where: str = "UTC", currency: str = "EUR") -> str:
    content = compile_content({"text": "{{ v" + source + " }}"}, "")
    text = content.render({"v": value}, locale=locale, zone=zone(where), now=NOW, currency=currency)["text"]
    return text.replace("\xa0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("pattern", "locale", "text"),
    [
        ("short", "en", "11/23/26"),
        ("medium", "en-GB", "23 Nov 2026"),
        ("long", "en", "November 23, 2026"),
        ("long", "de", "23. November 2026"),
        ("long", "fr", "23 novembre 2026"),
        ("long", "es", "23 de noviembre de 2026"),
        ("long", "pt-BR", "23 de novembro de 2026"),
        ("full", "de", "Montag, 23. November 2026"),
        ("long", "es-DE", "23 de noviembre de 2026"),
        ("long", "und", "November 23, 2026"),
        ("%d.%m.%Y", "de", "23.11.2026"),
        ("%A %-d %B", "fr", "lundi 23 novembre"),
        ("%B %e, %Y at %H:%M", "en", "November 23, 2026 at 00:00"),
        ("it's the %dth", "en", "it's the 23th"),
        ("d. MMMM", "de", "23. November"),
        ("100%%", "en", "100%"),
    ],
)
def test_dates_follow_the_locale(pattern: str, locale: str, text: str) -> None:
    assert shown(f' | date: "{pattern}"', "2026-11-23", locale=locale) == text


@pytest.mark.parametrize("where", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"])
def test_a_calendar_day_is_the_same_day_in_every_zone(where: str) -> None:
    assert shown(" | date: 'short'", "2026-11-23", where=where) == "11/23/26"
    assert shown(" | date: '%F'", "2026-11-23", where=where) == "2026-11-23"


def test_a_moment_is_told_in_the_persons_zone() -> None:
    assert shown(" | datetime: 'short'", "2026-11-23T23:30:00Z", locale="de", where="Europe/Berlin") == "24.11.26, 00:30"
    assert shown(" | time", "2026-11-23T23:30:00+01:00", where="America/New_York") == "5:30 PM"
    assert shown(" | time: 'HH:mm'", "2026-11-23T09:05:00", where="Asia/Tokyo") == "09:05"


@pytest.mark.parametrize("value", [1795430400, 1795430400.0, "1795430400", 1795430400000, "2026-11-23T12:00:00+02:00", "20261123"])
def test_epoch_numbers_and_iso_texts_are_dates(value: object) -> None:
    assert shown(" | date: '%F'", value) in ("2026-11-23", "2026-11-24")


def test_epoch_seconds_are_exact() -> None:
    assert shown(" | date: '%s'", 1795430400) == "1795430400"


def test_a_text_that_is_no_date_stays_as_it_is() -> None:
    assert shown(" | date: 'long'", "next Friday") == "next Friday"


@pytest.mark.parametrize(
    ("source", "locale", "text"),
    [
        (" | money", "en", "€1,234.50"),
        (" | money", "de", "1.234,50 €"),
        (" | money", "fr", "1 234,50 €"),
        (" | money: 'USD'", "pt-BR", "US$ 1.234,50"),
        (" | currency", "en", "€1,234.50"),
        (" | currency: 'GBP'", "en-GB", "£1,234.50"),
        (" | money: 'JPY'", "en", "¥1,234"),
        (" | number", "de", "1.234,5"),
        (" | number: 2", "en", "1,234.50"),
        (" | number: 0", "es", "1.234"),
    ],
)
def test_numbers_and_money_follow_the_locale(source: str, locale: str, text: str) -> None:
    assert shown(source, 1234.5, locale=locale) == text
    assert shown(source, "1234.5", locale=locale) == text


def test_money_is_the_tenants_unless_it_is_named() -> None:
    assert shown(" | money", 5, currency="BRL", locale="pt-BR") == "R$ 5,00"


def test_percent_takes_a_share() -> None:
    assert [shown(" | percent", 0.15, locale=locale) for locale in ("en", "de", "fr")] == ["15%", "15 %", "15 %"]
    assert shown(" | percent: 1", 0.1234) == "12.3%"
    assert shown(" | percent: 0", 0.999) == "100%"
    assert shown(" | percent", -0.0001) == shown(" | percent", 0) == "0%"


@pytest.mark.parametrize(
    "filters", [(" | percent", " | percent: 2"), (" | money", " | money: 'EUR'"), (" | number: 1", " | number: 3")]
)
def test_what_was_written_before_changes_nothing(filters: tuple[str, str]) -> None:
    values = ["0.2", "0.20", 0.2, "0.200", "2E-1"]
    formats.forget()
    first = [shown(source, value) for source in filters for value in values]
    formats.forget()
    again = [shown(source, value) for source in reversed(filters) for value in reversed(values)]
    assert first == list(reversed(again))


@pytest.mark.parametrize(
    ("source", "value", "reason"),
    [
        (" | money", "a lot", "no number"),
        (" | money", True, "no|cannot"),
        (" | money", [1], "cannot be read"),
        (" | number", "1e999999", "18 digits"),
        (" | number", "NaN", "not finite"),
        (" | date", [1], "cannot be read"),
        (" | date", 10**30, "calendar"),
        (" | time", "soon", "ISO 8601"),
    ],
)
def test_what_cannot_be_formatted_fails_with_a_reason(source: str, value: object, reason: str) -> None:
    with pytest.raises(RenderingFailed, match=reason):
        shown(source, value)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (" | money: 'euro'", "three capital letters"),
        (" | money: 'XYZ'", "CLDR knows no currency XYZ"),
        (" | number: 99", "decimals"),
        (" | number: 'two'", "decimals"),
        (" | percent: -1", "decimals"),
        (" | date: '%Q'", "directive"),
        (" | date: 'long', 'short'", "too many positional arguments"),
        (" | datetime: 'QQQQQQQQ'", "no such pattern"),
        (" | time: 3", "date pattern is a text"),
        (" | unit: 'parsec-ish'", "no such unit"),
        (" | unit", "name"),
        (" | list: 'xor'", "and, or, or unit"),
        (" | relative: 'tiny'", "short, long, narrow"),
        (" | plural: one: 'item'", "other"),
        (" | plural: ones: 'item', other: 'items'", "ones"),
        (" | plural: 'item', 'items'", "positional"),
        (" | plural: one: w, few: 'items'", "other"),
        (" | select: female: 'she'", "other"),
    ],
)
def test_wrong_arguments_are_found_when_the_template_is_saved(source: str, reason: str) -> None:
    with pytest.raises(TemplateInvalid, match=reason):
        compile_content({"text": "{{ v" + source + " }}"}, "")


def test_a_wrong_argument_from_a_variable_is_found_when_it_is_written() -> None:
    content = compile_content({"text": "{{ 5 | money: code }}"}, "")
    with pytest.raises(RenderingFailed, match="three capital letters"):
        content.render({"code": "euro"}, locale="en", zone=zone("UTC"), now=NOW, currency="EUR")


def test_figures_and_tags_remembered_as_written_are_forgotten_when_somebody_leaves() -> None:
    shown(" | money", 4711.25, locale="de-LI")
    shown(" | date: 'long'", "1906-12-09", locale="de-LI")
    shown(" | number", 4711.25)
    shown(" | percent", 0.4711)
    remembering = [
        formats._written_sum, formats._written_day, formats._written_number, formats._written_share,
        languages.language, languages.right_to_left,
    ]  # fmt: skip
    languages.language("de-LI")
    assert all(each.cache_info().currsize for each in remembering)
    formats.forget()
    languages.forget()
    assert not any(each.cache_info().currsize for each in remembering)
