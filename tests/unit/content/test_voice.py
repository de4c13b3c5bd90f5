"""Whether a text speaks as the tenant does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalization.content.voice import breaches
from personalization.tenant import Footer, Voice

STRICT = Voice(
    banned_phrases=("for free", "無料", "straße", "café"),
    required_phrases=("Acme",),
    max_emoji=1,
    max_exclamations=1,
    capitals=False,
    acronyms=("SMS",),
    max_grade=6,
    max_lix={"de": 40},
    footers=(Footer(text="Reply STOP to end", channel="sms"), Footer(text="Acme Ltd, London", country="GB")),
)


def said(voice: Voice, text: str, language: str = "en", part: str = "text") -> list[str]:
    return [breach.message for breach in breaches(voice, {part: text}, language=language)]


def test_a_voice_that_asks_for_nothing_finds_nothing() -> None:
    assert said(Voice(), "FREE!!! 😀😀😀") == []


@pytest.mark.parametrize(
    "text",
    [
        "get it for free",
        "FOR  Free.",
        "ｆｏｒ ｆｒｅｅ",
        "for fr\u200bee",
        "for f\u00adree",
        "for\u2060 f\u034free",
        "for\nfree",
        "for — free",
        "𝐟𝐨𝐫 𝐟𝐫𝐞𝐞",
        "今なら無料です",
        "今なら無\u200b料です",
        "Hauptstrasse, Straße, STRASSE",
        "le cafe\u200b\u0301",
    ],
)
def test_a_banned_phrase_is_found_however_it_is_dressed(text: str) -> None:
    [message] = said(Voice(banned_phrases=STRICT.banned_phrases), text)
    assert message.endswith("which the voice bans: say it otherwise")


@pytest.mark.parametrize("text", ["for freedom", "before free", "for", "free for", "無 and 料", "for a free one"])
def test_other_words_are_not_the_phrase(text: str) -> None:
    assert said(Voice(banned_phrases=STRICT.banned_phrases), text) == []


def test_html_is_read_as_it_is_seen() -> None:
    voice = Voice(banned_phrases=("for free",), capitals=False)
    assert len(said(voice, "<p>for <b>fr</b>ee</p>", part="html")) == 1
    assert len(said(voice, "<p>for &#102;ree</p>", part="html")) == 1
    assert said(voice, "<style>P { X: Y }</style><DIV CLASS='for free'>for</DIV><p>free</p>", part="html") != []
    assert said(voice, "<IMG ALT='BIG'><p title='for free'>yes</p>", part="html") == []


def test_a_required_phrase_stands_in_every_body() -> None:
    voice = Voice(required_phrases=("Acme",))
    found = breaches(voice, {"subject": "Hi", "text": "by ACME", "html": "<p>by us</p>"}, language="en")
    assert [(breach.kind, breach.part) for breach in found] == [("voice", "html")]
    assert breaches(voice, {"title": "Hi", "line": "by Acme"}, language="en") == ()


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x", 0),
        ("😀", 1),
        ("👩‍👩‍👧‍👦", 1),
        ("👍🏽", 1),
        ("🇩🇪🇫🇷", 2),
        ("1️⃣ 1", 1),
        ("❤️", 1),
        ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", 1),
        ("© ™ → ✓ 漢 é", 0),
        ("☎️☎", 1),
        ("😀😀", 2),
    ],
)
def test_emoji_are_counted_as_people_see_them(text: str, count: int) -> None:
    expected = [f"emoji: {count} where the voice allows 0, remove {count}"] if count else []
    assert said(Voice(max_emoji=0), text) == expected


def test_exclamation_marks_of_every_width_count() -> None:
    assert said(Voice(max_exclamations=1), "¡Hola! One") == []
    assert said(Voice(max_exclamations=1), "Yes！‼") == ["exclamation marks: 3 where the voice allows 1, remove 2"]


def test_capitals_are_for_acronyms_and_codes() -> None:
    voice = Voice(capitals=False, acronyms=("sms",))
    assert said(voice, "An SMS with SAVE20 at HTTPS://X.EU/ABC and I, A, Ö, 優惠") == []
    assert said(voice, "ＳＡＬＥ and ΤΏΡΑ, SALE") == ["is in capitals: SALE, ΤΏΡΑ; write it small or add it to acronyms"]


def test_reading_level_is_that_of_the_language() -> None:
    hard = "Notwithstanding considerable organisational difficulties, international collaboration " * 4
    lix = Voice(max_lix={"de": 40})
    assert "reads at grade" in said(Voice(max_grade=6), hard, "en-GB")[0]
    assert said(lix, hard, "en") == said(Voice(max_grade=6), hard, "de") == []
    assert "reads at LIX" in said(lix, hard, "de-AT")[0]
    assert said(Voice(max_lix={"ja": 40}), hard, "ja") == said(lix, hard, "sv") == []
    assert said(lix, hard, "de", part="subject") == []


def test_the_footer_that_names_most_ends_every_body() -> None:
    voice = Voice(
        footers=(
            Footer(text="Acme"),
            Footer(text="Reply STOP to end", channel="sms"),
            Footer(text="STOP au 36123", channel="sms", country="FR"),
            Footer(text="STOP an 0800", channel="sms", language="de"),
        )
    )

    def found(text: str, channel: str, country: str = "", language: str = "en") -> list[str]:
        parts = {"text": text, "html": "<p>Hi</p><p>Acme.</p>"}
        return [b.message for b in breaches(voice, parts, language=language, channels=[channel], country=country)]

    assert found("Hi! Reply STOP to end.", "sms") == found("Hi! ACME", "email") == found("Salut STOP au 36123", "sms", "FR") == []
    assert found("Hallo. STOP an 0800", "sms", "DE", "de-DE") == []
    assert found("Reply STOP to end or not", "sms") == ["does not end as sms has to: end it with “Reply STOP to end”"]
    assert found("Hi! Reply STOP to end.", "sms", "FR") == ["does not end as sms has to: end it with “STOP au 36123”"]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 130_000,
        "." * 130_000 + "x",
        "<" * 130_000,
        "<style " * 18_000,
        "<b" * 60_000,
        "a@" * 60_000,
        "http:" * 20_000,
        "字" * 130_000,
        "😀\u200d" * 60_000,
        "1\ufe0f" * 60_000,
        "A'" * 60_000,
        "\u0301\u0323" * 65_000,
        "\U0001f1e6" * 130_001,
        "for " * 30_000,
        "\ufdfa" * 20_000,
        "&#" + "1" * 130_000,
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_no_text_takes_quadratic_time(text: str) -> None:
    for language in ("en", "de"):
        found = breaches(STRICT, {"text": text, "html": text}, language=language, channels=["sms"], country="GB")
        assert {breach.message[:12] for breach in found} >= {"does not say", "does not end"}


@given(
    st.dictionaries(st.sampled_from(["text", "html", "subject", "x"]), st.text(max_size=300)),
    st.sampled_from(["en", "de", "ja", "und"]),
)
def test_no_text_breaks_the_check(parts: dict[str, str], language: str) -> None:
    found = breaches(STRICT, parts, language=language, channels=["sms", "email"], country="GB")
    assert all(breach.kind == "voice" and breach.part in parts and breach.message for breach in found)


@given(
    st.text(min_size=1, max_size=30).filter(lambda text: any(map(str.isalnum, text))), st.text(max_size=30), st.text(max_size=30)
)
def test_a_phrase_is_found_in_any_text_around_it(phrase: str, before: str, after: str) -> None:
    banned = said(Voice(banned_phrases=(phrase,)), f"{before} . {phrase} . {after}")
    required = said(Voice(required_phrases=(phrase,)), f"{before} . {phrase} . {after}")
    assert len(banned) + len(required) == 1
