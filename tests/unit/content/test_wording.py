"""Plural forms, chosen forms, lists, units and relative times, as each language has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalization.clock import instant, zone
from personalization.content.languages import CATEGORIES, CODES
from personalization.content.locales import babel_locale
from personalization.content.templates import compile_content
from personalization.errors import MissingVariables, RenderingFailed

NOW = instant("2026-11-23T10:00:00Z")
NAMED = compile_content({"text": "{{ n | plural: " + ", ".join(f"{name}: '{name}'" for name in CATEGORIES) + " }}"}, "")


def shown(source: str, values: dict[str, object] | None = None, *, locale: str = "en", part: str = "text") -> str:
    content = compile_content({part: source}, "")
    return content.render(values or {}, locale=locale, zone=zone("UTC"), now=NOW, currency="EUR")[part].replace("\xa0", " ")


RUSSIAN = "{{ n | plural: one: '# товар', few: '# товара', many: '# товаров', other: '# товара' }}"
ARABIC = "{{ n | plural: zero: 'لا كتب', one: 'كتاب', two: 'كتابان', few: '# كتب', many: '# كتابًا', other: '# كتاب' }}"


@pytest.mark.parametrize(
    ("locale", "source", "number", "text"),
    [
        ("en", "{{ n | plural: one: 'item', other: 'items' }}", 1, "item"),
        ("en", "{{ n | plural: one: 'item', other: 'items' }}", 0, "items"),
        ("en", "{{ n | plural: one: 'item', other: 'items' }}", 1.0, "item"),
        ("en", "{{ n | plural: one: 'item', other: 'items' }}", "1", "item"),
        ("en", "{{ n | plural: one: '# item', other: '# items' }}", 1234.5, "1,234.5 items"),
        ("en", "{{ n | plural: zero: 'nothing', one: 'one', other: '#' }}", 0, "nothing"),
        ("fr", "{{ n | plural: one: '# article', other: '# articles' }}", 0, "0 article"),
        ("fr", "{{ n | plural: one: '# article', many: '# d’articles', other: '# articles' }}", 1_000_000, "1 000 000 d’articles"),
        ("ru", RUSSIAN, 1, "1 товар"),
        ("ru", RUSSIAN, 22, "22 товара"),
        ("ru", RUSSIAN, 11, "11 товаров"),
        ("ru", RUSSIAN, 1.5, "1,5 товара"),
        ("ar", ARABIC, 0, "لا كتب"),
        ("ar", ARABIC, 2, "كتابان"),
        ("ar", ARABIC, 5, "5 كتب"),
        ("ar", ARABIC, 11, "11 كتابًا"),
        ("ar", ARABIC, 100, "100 كتاب"),
        ("ja", "{{ n | plural: other: '#点' }}", 1, "1点"),
        ("sl", "{{ n | plural: one: 'knjiga', two: 'knjigi', few: 'knjige', other: 'knjig' }}", 102, "knjigi"),
        ("cy", "{{ n | plural: two: 'dau', other: 'arall' }}", 2, "dau"),
        ("pl", "{{ n | plural: one: 'plik', other: 'pliki' }}", 5, "pliki"),
    ],
)
def test_a_number_takes_its_languages_form(locale: str, source: str, number: object, text: str) -> None:
    assert shown(source, {"n": number}, locale=locale).replace("\u202f", " ") == text


@given(st.sampled_from(CODES), st.integers(1, 10**12))
def test_every_number_takes_the_category_of_cldr(code: str, number: int) -> None:
    text = NAMED.render({"n": number}, locale=code, zone=zone("UTC"), now=NOW, currency="EUR")["text"]
    assert text.strip("\u2068\u2069") == babel_locale(code).plural_form(number)


def test_a_plural_keeps_the_markup_of_the_template_and_escapes_the_persons() -> None:
    source = "{{ n | plural: one: '<b>#</b> item', other: '<b>#</b> items' }} {{ n | plural: other: w }}"
    assert shown(source, {"n": 2, "w": "<i>"}, part="html") == "<b>2</b> items &lt;i&gt;"


def test_a_plural_of_nothing_is_missing_and_of_no_number_fails_with_a_reason() -> None:
    with pytest.raises(MissingVariables, match="n"):
        shown("{{ n | plural: other: 'items' }}")
    assert shown("{{ n | default: 3 | plural: other: '# items' }}") == "3 items"
    with pytest.raises(RenderingFailed, match="no number"):
        shown("{{ n | plural: other: 'items' }}", {"n": "some"})


@pytest.mark.parametrize(
    ("gender", "text"),
    [
        ("female", "Liebe"),
        ("MALE ", "Lieber"),
        ("diverse", "Hallo"),
        (None, "Hallo"),
        ("", "Hallo"),
        (7, "Hallo"),
        (["male"], "Hallo"),
    ],
)
def test_a_form_is_chosen_by_a_value_and_other_stands_for_all_else(gender: object, text: str) -> None:
    source = "{{ user.gender | select: female: 'Liebe', male: 'Lieber', other: 'Hallo' }}"
    assert shown(source, {"user": {"gender": gender}}, locale="de") == text
    assert shown("{% if true %}" + source + "{% endif %}", {"user": {"gender": gender}}, locale="de") == text


def test_a_chosen_form_needs_no_value_but_what_it_writes_does() -> None:
    polite = "{{ user.formality | select: formal: 'Ihr', other: 'dein' }}"
    content = compile_content({"text": polite}, "")
    assert (content.required, content.optional) == (frozenset(), frozenset({"user.formality"}))
    assert shown(polite, {"user": {"formality": "formal"}}) == "Ihr"
    assert compile_content({"text": "{{ a | select: x: b, other: 'c' }}"}, "").required == frozenset({"b"})


@pytest.mark.parametrize(
    ("locale", "source", "text"),
    [
        ("en", "{{ l | list }}", "Ada, Bo, and Cy"),
        ("de", "{{ l | list }}", "Ada, Bo und Cy"),
        ("de", "{{ l | list: 'or' }}", "Ada, Bo oder Cy"),
        ("ja", "{{ l | list }}", "Ada、Bo、Cy"),
        ("en", "{{ l | list: 'unit' }}", "Ada, Bo, Cy"),
        ("en", "{{ 'Ada' | list }}", "Ada"),
        ("en", "{{ 5 | unit: 'kilometer' }}", "5 km"),
        ("de", "{{ 1.5 | unit: 'hour', 'long' }}", "1,5 Stunden"),
        ("ru", "{{ 5 | unit: 'kilometer', 'long' }}", "5 километров"),
        ("fr", "{{ 21.0 | unit: 'celsius' }}", "21 °C"),
    ],
)
def test_lists_and_units_are_the_languages_own(locale: str, source: str, text: str) -> None:
    assert shown(source, {"l": ["Ada", "Bo", "Cy"]}, locale=locale).replace("\u202f", " ") == text


@pytest.mark.parametrize(
    ("locale", "value", "text"),
    [
        ("en", "2026-11-26", "in 3 days"),
        ("en", "2026-11-22", "1 day ago"),
        ("de", "2026-11-24", "in 1 Tag"),
        ("en", "2026-11-23T12:00:00Z", "in 2 hours"),
        ("ru", "2026-11-23T09:55:00Z", "5 минут назад"),
        ("ar", "2026-11-26", "خلال 3 أيام"),
        ("ja", "2026-11-26", "3 日後"),
    ],
)
def test_how_long_from_now_is_told_in_the_language(locale: str, value: str, text: str) -> None:
    assert shown("{{ v | relative }}", {"v": value}, locale=locale) == text


@pytest.mark.parametrize(
    ("source", "value", "reason"),
    [
        ("{{ v | list }}", [{"name": "Ada"}], "texts and numbers"),
        ("{{ v | list }}", ["x"] * 101, "at most 100"),
        ("{{ v | unit: 'kilometer' }}", "far", "no number"),
        ("{{ v | relative }}", "soon", "ISO 8601"),
        ("{{ v | relative }}", True, "cannot be read"),
        ("{{ v | relative }}", 10**30, "calendar"),
        ("{{ 5 | unit: v }}", "cubits", "no such unit"),
    ],
)
def test_what_cannot_be_worded_fails_with_a_reason(source: str, value: object, reason: str) -> None:
    with pytest.raises(RenderingFailed, match=reason):
        shown(source, {"v": value})


@given(
    st.sampled_from(
        ["plural: other: '#'", "select: a: 'x', other: 'y'", "list", "unit: 'hour'", "relative", "money", "percent", "number"]
    ),
    st.one_of(
        st.none(), st.booleans(), st.floats(), st.integers(), st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text())
    ),
    st.sampled_from(["en", "ar", "ru", "ja"]),
)
def test_an_odd_value_is_written_or_refused_with_a_sentence(filter_: str, value: object, locale: str) -> None:
    said = "A text."
    try:
        shown("{{ v | " + filter_ + " }}", {"v": value}, locale=locale)
    except (MissingVariables, RenderingFailed) as refused:
        said = refused.detail
    assert said.endswith(".")
