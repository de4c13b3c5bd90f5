"""Names and numbers that run the other way, and characters that nobody sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalization.clock import instant, zone
from personalization.content.direction import directed, inserted, without_isolates_in_tags
from personalization.content.languages import CODES
from personalization.content.templates import compile_content

NOW = instant("2026-11-23T10:00:00Z")
HIDDEN = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u2060\ufeff"


def rendered(source: str, values: dict[str, object], locale: str, part: str = "text") -> str:
    content = compile_content({part: source}, "")
    return content.render(values, locale=locale, zone=zone("UTC"), now=NOW, currency="EUR")[part]


@pytest.mark.parametrize(
    ("locale", "name", "text"),
    [
        ("ar", "Ada", "مرحبًا \u2068Ada\u2069!"),
        ("ar", "ليلى", "مرحبًا ليلى!"),
        ("he", "+49 30 1234", "مرحبًا \u2068+49 30 1234\u2069!"),
        ("fa", "2026-11-23", "مرحبًا \u20682026-11-23\u2069!"),
        ("ar", "12", "مرحبًا 12!"),
        ("en", "ليلى", "مرحبًا \u2068ليلى\u2069!"),
        ("en", "Zoë", "مرحبًا Zoë!"),
        ("ja", "花子", "مرحبًا 花子!"),
        ("und", "Ada", "مرحبًا Ada!"),
    ],
)
def test_only_a_value_of_the_other_direction_is_isolated(locale: str, name: str, text: str) -> None:
    assert rendered("مرحبًا {{ name }}!", {"name": name}, locale) == text
    assert rendered("{% if name %}مرحبًا {{ name }}!{% endif %}", {"name": name}, locale) == text
    assert rendered("{% capture all %}{{ name }}{% endcapture %}مرحبًا {{ all }}!", {"name": name}, locale) == text


def test_what_the_template_puts_before_a_value_stays_outside() -> None:
    assert rendered("خصم لك{{ n | prepend: '، ' }}", {"n": "Ada"}, "ar") == "خصم لك، \u2068Ada\u2069"
    assert rendered("لك{{ n | append: '،' }}", {"n": "Yahoo!"}, "ar") == "لك\u2068Yahoo!\u2069،"


@pytest.mark.parametrize("link", ["https://example.org/a?b=1", "mailto:ada@example.org", "ada@example.org", "www.example.org"])
def test_addresses_are_left_alone(link: str) -> None:
    assert rendered("{{ v }}", {"v": link}, "ar") == link


def test_isolates_stay_out_of_tags() -> None:
    html = rendered('<img alt="{{ name }}" src=x><p>{{ name }}</p>', {"name": "Ada"}, "ar", "html")
    assert html == '<div dir="rtl"><img alt="Ada" src=x><p>\u2068Ada\u2069</p></div>'
    assert rendered('<img alt="{{ name }}">', {"name": "ليلى"}, "en", "html") == '<img alt="ليلى">'


@pytest.mark.parametrize("code", CODES)
def test_html_says_its_direction_where_it_runs_from_the_right(code: str) -> None:
    assert ('dir="rtl"' in rendered("<p>x</p>", {}, code, "html")) is (code in ("ar", "fa", "he", "ur"))
    assert rendered("<p>x</p>", {}, code) == "<p>x</p>"


@pytest.mark.parametrize(
    ("html", "said"),
    [
        ("<html><body>x</body></html>", '<html dir="rtl"><body>x</body></html>'),
        ("<!DOCTYPE html>\n<HTML lang='ar'>x", "<!DOCTYPE html>\n<HTML dir=\"rtl\" lang='ar'>x"),
        ('<table dir="ltr"></table>', '<table dir="ltr"></table>'),
        ("x", '<div dir="rtl">x</div>'),
        (" ", " "),
    ],
)
def test_a_direction_is_said_once(html: str, said: str) -> None:
    assert directed(html) == said
    assert directed(directed(html)) == said


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("locale", ["en", "ar"])
@pytest.mark.parametrize("part", ["text", "html", "subject"])
def test_overrides_and_unseen_characters_of_a_value_are_not_written(hidden: str, locale: str, part: str) -> None:
    text = rendered("{{ v }}", {"v": f"pay{hidden}pal"}, locale, part)
    assert text.replace("\u2068paypal\u2069", "paypal").removeprefix('<div dir="rtl">').removesuffix("</div>") == "paypal"


@pytest.mark.parametrize(
    "value",
    [
        "@" * 100_000 + " x",
        "a" + " " * 100_000 + "א",
        ", " * 50_000 + "a א",
        "א" * 100_000,
        "a:" * 50_000,
        "1 " * 50_000,
        "<" * 100_000,
    ],
)
def test_no_value_takes_quadratic_time(value: str) -> None:
    for rtl in (True, False):
        assert len(inserted(value, rtl)) - len(value) in (0, 2)
    assert without_isolates_in_tags("\u2068" + value) == "\u2068" + value


def test_joiners_that_letters_need_stay() -> None:
    assert rendered("{{ v }}", {"v": "می‌خواهم"}, "fa") == "می‌خواهم"
    assert rendered("{{ v }}", {"v": "👩‍💻"}, "en") == "👩‍💻"


def test_a_text_of_one_direction_costs_no_character() -> None:
    source = "Hi {{ name }}, {{ price | money }} until {{ day | date: 'long' }}"
    text = rendered(source, {"name": "Ada", "price": 5, "day": "2026-11-23"}, "en")
    assert text == "Hi Ada, €5.00 until November 23, 2026"
    arabic = rendered(
        "{{ price | money }} {{ day | date: 'long' }} {{ n | percent }}", {"price": 5, "day": "2026-11-23", "n": 0.2}, "ar"
    )
    assert "\u2068" not in arabic


@given(st.text(), st.booleans())
def test_isolates_are_balanced_and_nothing_else_is_added(text: str, rtl: bool) -> None:
    got = inserted(text, rtl)
    assert got.count("\u2068") == got.count("\u2069") <= 1
    kept = "".join(letter for letter in text if letter not in HIDDEN)
    assert "".join(letter for letter in got if letter not in HIDDEN).replace("\ufff9", "") in (kept, *_without_rare(kept))
    assert inserted(got, rtl) == got


def _without_rare(text: str) -> list[str]:
    return ["".join(letter for letter in text if not ("\u2061" <= letter <= "\u2064" or "\ufff9" <= letter <= "\ufffb"))]
