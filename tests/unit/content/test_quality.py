"""Quality: what raises it, what breaks it, and which channels a content fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalization.content.quality import PERSONAL_FLOOR, fits, quality, static_quality
from personalization.content.templates import CompiledContent, compile_content
from personalization.tenant import DEFAULT_CHANNELS, ChannelSpec


def content(**parts: str) -> CompiledContent:
    return compile_content(parts, "")


PERSONAL = content(text="{{ a | default: 'x' }} {{ b | default: 'x' }} {{ c | default: 'x' }}")
FREE = [ChannelSpec()]


def test_a_complete_text_in_the_wanted_language_within_the_limit_is_perfect() -> None:
    assert quality(static_quality(PERSONAL, "de", "de-AT", FREE), PERSONAL, {"a": 1, "b": 2, "c": 3}).score == 1.0


def test_real_values_raise_the_score_and_defaults_are_named() -> None:
    static = static_quality(PERSONAL, "en", "en", FREE)
    scores = [static.score(PERSONAL, v) for v in ({}, {"a": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 1})]
    assert scores == sorted(scores)
    assert len(set(scores)) == 4
    assert scores[0] == PERSONAL_FLOOR
    assert quality(static, PERSONAL, {}).reasons == ("100% of its variables fall back to defaults",)


def test_another_language_costs_more_than_another_region() -> None:
    plain = content(text="Hallo")
    scores = [static_quality(plain, got, "pt-PT", FREE).score(plain, {}) for got in ("pt-PT", "pt-BR", "en")]
    assert scores == [1.0, 0.9, 0.5]
    assert "wanted was pt-PT" in static_quality(plain, "en", "pt-PT", FREE).reasons[0]


def test_a_text_three_times_too_long_scores_low_however_personal_it_is() -> None:
    long = content(text="x" * 480)
    static = static_quality(long, "en", "en", [ChannelSpec(max_length=160)])
    assert static.score(long, {}) < 0.12
    assert "longer" in static.reasons[0]


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 500))
def test_a_longer_text_or_a_lower_limit_never_scores_higher(limit: int, length: int, more: int) -> None:
    def score(characters: int, allowed: int) -> float:
        return static_quality(content(text="x" * characters), "en", "en", [ChannelSpec(max_length=allowed)]).base

    assert score(length, limit) >= score(length + more, limit)
    assert score(length, limit + more) >= score(length, limit)
    assert 0.0 <= score(length, limit) <= 1.0


def test_the_best_channel_offered_counts() -> None:
    long = content(text="x" * 480)
    assert static_quality(long, "en", "en", [ChannelSpec(max_length=160), ChannelSpec()]).base == 1.0


@pytest.mark.parametrize(
    ("parts", "channels"),
    [
        ({"text": "x"}, "email push in_app sms voice webhook"),
        ({"body": "x"}, "email push in_app sms voice webhook"),
        ({"subject": "x", "html": "x"}, "email in_app webhook"),
        ({"title": "x", "body": "x"}, "email push in_app sms voice webhook"),
        ({"message": "x"}, "email push in_app sms voice webhook"),
        ({"title": "x"}, "email push in_app sms voice webhook"),
        ({}, ""),
    ],
)
def test_any_text_goes_anywhere_but_html_only_where_markup_is_read(parts: dict[str, str], channels: str) -> None:
    names = ("email", "push", "in_app", "sms", "voice", "webhook")
    assert " ".join(name for name in names if fits(content(**parts), name, ChannelSpec())) == channels


def test_the_shortest_suitable_part_must_keep_the_limit() -> None:
    long_and_short = content(text="x" * 500, body="x" * 100)
    assert fits(long_and_short, "sms", DEFAULT_CHANNELS["sms"])
    assert not fits(content(text="x" * 500, html="x"), "sms", DEFAULT_CHANNELS["sms"])
    assert not fits(content(title="x" * 100, body="x" * 200), "push", DEFAULT_CHANNELS["push"])
    assert fits(content(subject="x" * 100, text="x" * 200), "push", DEFAULT_CHANNELS["push"])
