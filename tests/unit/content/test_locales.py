"""Language tags, and which text a person gets."""

from __future__ import annotations

import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from personalization.content.locales import babel_locale, canonical_language, choose_locale, language_match


@pytest.mark.parametrize(
    ("tag", "canonical"),
    [
        ("en", "en"), ("EN-gb", "en-GB"), ("pt_br", "pt-BR"), ("zh-hant-hk", "zh-Hant-HK"), ("zh-TW", "zh-TW"),
        ("es-419", "es-419"),
        ("de-DE-u-co-phonebk", "de-DE"), ("de-AT-1996", "de-AT-1996"), ("iw", "he"), ("tlh", "tlh"), ("es-DE", "es-DE"),
        ("und", "und"), ("prs", "fa-AF"), ("sh", "sr-Latn"), ("sh-Cyrl", "sr-Cyrl"), ("tl-PH", "fil-PH"), ("cmn-TW", "zh-TW"),
    ],
)  # fmt: skip
def test_tags_are_brought_into_their_usual_form(tag: str, canonical: str) -> None:
    assert canonical_language(tag) == canonical


@pytest.mark.parametrize(
    "tag", ["", "e", "english", "123", "en-", "en--GB", "xx", "en-XX", "de DE", "en\n", "x-private", "en-Zzzq", "é"]
)
def test_what_is_no_tag_is_refused_with_a_sentence(tag: str) -> None:
    with pytest.raises(ValueError, match="write it like en, pt-BR or zh-Hant"):
        canonical_language(tag)


@pytest.mark.parametrize(
    ("wanted", "available", "chosen"),
    [
        (["pt-BR"], ["pt-BR", "pt", "en"], "pt-BR"),
        (["pt-BR"], ["pt", "en"], "pt"),
        (["pt-BR"], ["pt-PT", "en"], "pt-PT"),
        (["pt"], ["pt-BR", "en"], "pt-BR"),
        (["pt"], ["pt-PT", "pt-BR"], "pt-BR"),
        (["pt-AO"], ["pt-BR", "pt", "pt-PT"], "pt-PT"),
        (["en-GB"], ["en", "en-001"], "en-001"),
        (["en-GB"], ["en", "de"], "en"),
        (["es-MX"], ["es", "es-419"], "es-419"),
        (["zh-Hant-HK"], ["zh", "zh-Hant"], "zh-Hant"),
        (["zh-TW"], ["zh-Hans", "zh-Hant"], "zh-Hant"),
        (["zh-TW"], ["zh", "en"], "en"),
        (["zh-CN"], ["zh-Hans", "en"], "zh-Hans"),
        (["sr-Latn"], ["sr", "en"], "en"),
        (["de-AT"], ["en", "de-CH"], "de-CH"),
        (["fr", "de"], ["en", "de"], "de"),
        (["fr-CA", "en"], ["en", "fr"], "fr"),
        (["nonsense tag", "de"], ["en", "de"], "de"),
        (["fr"], ["en-GB"], "en-GB"),
        ([], ["en", "und"], "en"),
        (["fr"], ["und"], "und"),
        (["fr"], ["und", "fr"], "fr"),
        (["no"], ["en", "nb"], "nb"),
        (["nn-NO"], ["en", "nb"], "nb"),
        (["nb"], ["en", "no"], "no"),
        (["nn"], ["nb", "nn"], "nn"),
        (["prs"], ["en", "fa"], "fa"),
        (["sh"], ["en", "sr"], "en"),
        (["tl"], ["en", "fil"], "fil"),
        (["fr"], ["de"], None),
        (["fr"], [], None),
    ],
)
def test_the_nearest_available_language_is_chosen(wanted: list[str], available: list[str], chosen: str | None) -> None:
    assert choose_locale(wanted, available, "en") == chosen


@pytest.mark.parametrize(
    ("wanted", "got", "match"),
    [
        ("en-GB", "en-GB", 1.0), ("en-GB", "en-001", 1.0), ("en-GB", "en", 1.0), ("en", "en-GB", 0.9),
        ("pt-PT", "pt-BR", 0.9),
        ("zh-TW", "zh", 0.5), ("zh-TW", "zh-Hant", 1.0), ("fr", "en", 0.5), ("fr", "und", 1.0), ("und", "en", 0.5),
        ("no such", "en", 0.5), ("no", "nb", 0.9), ("nb", "no", 1.0), ("da", "nb", 0.5),
    ],
)  # fmt: skip
def test_how_well_a_language_matches(wanted: str, got: str, match: float) -> None:
    assert language_match(wanted, got) == match


@given(st.from_regex(r"[a-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}", fullmatch=True))
def test_any_tag_is_served_or_passed_over(tag: str) -> None:
    assert choose_locale([tag], ["en", "nb", "fa"], "en") in ("en", "nb", "fa")
    assert language_match(tag, "en") in (1.0, 0.9, 0.5)


@pytest.mark.parametrize("tag", sorted(get_global("language_aliases")))
def test_every_old_name_of_a_language_is_a_tag_or_refused_with_a_sentence(tag: str) -> None:
    try:
        canonical = canonical_language(tag)
    except ValueError as refused:
        assert "is not a language tag" in str(refused)  # noqa: PT017
    else:
        assert canonical_language(canonical) == canonical


@pytest.mark.parametrize(
    ("tag", "data"),
    [("pt-BR", "pt_BR"), ("zh-TW", "zh_Hant_TW"), ("de-1996", "de"), ("und", "en"), ("tlh", "en"), ("nonsense tag", "en")],
)
def test_formats_come_from_the_nearest_cldr_data(tag: str, data: str) -> None:
    assert str(babel_locale(tag)) == data
