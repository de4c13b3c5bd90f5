"""The demo's templates: every variant, in every language, for a person well known and for one unknown."""

from __future__ import annotations

import datetime as dt
import json
import re
from importlib.resources import files
from typing import Any

import pytest
from babel.dates import format_date
from babel.numbers import format_currency

from personalization.clock import instant, zone
from personalization.content.languages import CODES
from personalization.content.locales import babel_locale
from personalization.content.quality import fits
from personalization.content.templates import compile_content
from personalization.tenant import DEFAULT_CHANNELS

LANGUAGES = ("en", "de", "fr", "es", "pt-BR")
#: What is written in every language; all else in the five above.
EVERYWHERE = ("offer", "a")
SAMPLES = {
    path.name.removesuffix(".json"): json.loads(path.read_text("utf-8"))
    for path in (files("personalization") / "lab" / "samples").iterdir()
    if path.name.endswith(".json")
}
RICH = {
    "user": {"first_name": "Maximiliane <3", "plan": "pro", "favorite_topic": "art"},
    "discount": 0.25,
    "price": 1234.5,
    "credit": 12.5,
    "valid_until": "2026-11-23",
    "link": "https://example.org/?a=1&b=2",
}
BARE: dict[str, Any] = {"user": {}}
#: Of the five languages as their readers know them; of the others as CLDR has them.
MONEY = {"en": "€1,234.50", "de": "1.234,50 €", "fr": "1 234,50 €", "es": "1.234,50 €", "pt-BR": "€ 1.234,50"}
DATE = {
    "en": "November 23, 2026",
    "de": "23. November 2026",
    "fr": "23 novembre 2026",
    "es": "23 de noviembre de 2026",
    "pt-BR": "23 de novembro de 2026",
}
CASES = [
    pytest.param(parts, language, id=f"{name}-{variant['variant_id']}-{language}")
    for name, sample in SAMPLES.items()
    for variant in sample["variants"]
    for language, parts in variant["content"].items()
]


def text_of(parts: dict[str, str], language: str, values: dict[str, Any]) -> dict[str, str]:
    content = compile_content(parts, language)
    assert content.missing(values) == frozenset()
    text = content.render(values, locale=language, zone=zone("Europe/Berlin"), now=instant("2026-11-01T00:00:00Z"), currency="EUR")
    return {part: plain(written) for part, written in text.items()}


def plain(text: str) -> str:
    return text.replace("\u202f", " ").replace("\xa0", " ")


@pytest.mark.parametrize(("parts", "language"), CASES)
@pytest.mark.parametrize("values", [RICH, BARE], ids=["rich", "bare"])
def test_every_variant_is_written_without_a_hole(parts: dict[str, str], language: str, values: dict[str, Any]) -> None:
    text = text_of(parts, language, values)
    assert set(text) == {"subject", "text", "html", "title"}
    assert len(text["title"]) <= 50
    assert "\n" not in text["subject"] + text["title"]
    for written in text.values():
        assert written.strip()
        assert not re.search(r"\{\{|\{%|\bNone\b|\bnil\b|  | [,.]|,,|\(\)", written)
    assert ("Maximiliane &lt;3" in text["html"]) is (values is RICH)
    assert ("Maximiliane <3" in text["text"]) is (values is RICH)


@pytest.mark.parametrize(("parts", "language"), CASES)
def test_dates_and_money_are_the_languages_own(parts: dict[str, str], language: str) -> None:
    text = text_of(parts, language, RICH)["text"]
    money = MONEY.get(language) or plain(format_currency(1234.5, "EUR", locale=babel_locale(language)))
    date = DATE.get(language) or plain(format_date(dt.date(2026, 11, 23), "long", locale=babel_locale(language)))
    assert (money in text) is ("price" in parts["text"])
    assert (date in text) is ("valid_until" in parts["text"])


def test_the_samples_are_complete() -> None:
    assert set(SAMPLES) == {"welcome", "offer", "re-engagement"}
    for name, sample in SAMPLES.items():
        assert sample["template_id"] == name
        assert sample["category"] == ("transactional" if name == "welcome" else "promotional")
        assert sample["baseline_variant_id"] == "a"
        assert [variant["variant_id"] for variant in sample["variants"]] == ["a", "b", "c", "d"]
        assert {variant["features"]["tone"] for variant in sample["variants"]} == {"friendly", "formal", "playful", "urgent"}
        for variant in sample["variants"]:
            everywhere = (name, variant["variant_id"]) == EVERYWHERE
            assert set(variant["content"]) == set(CODES if everywhere else LANGUAGES)


@pytest.mark.parametrize(("parts", "language"), CASES)
def test_every_variant_fits_email_and_sms(parts: dict[str, str], language: str) -> None:
    content = compile_content(parts, language)
    assert fits(content, "email", DEFAULT_CHANNELS["email"])
    assert fits(content, "sms", DEFAULT_CHANNELS["sms"])


def test_every_short_variant_fits_a_push() -> None:
    for sample in SAMPLES.values():
        for variant in sample["variants"]:
            for parts in variant["content"].values():
                short = fits(compile_content(parts, ""), "push", DEFAULT_CHANNELS["push"])
                assert short is (variant["features"]["length"] == "short")
