"""The shipped reader: the laws of models, and plain sentences that it must not misread."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from personalization.models.language import UNDETERMINED
from personalization.models.sentiment import EMOTIONS, FINE, LABELS, Reading, sentiment_reader, unpack

GOOD = {
    "en": "I love it, thank you so much!",
    "de": "Ich liebe dich, das ist wunderbar!",
    "fr": "Je t'aime, c'est merveilleux !",
    "es": "Te quiero, es maravilloso, gracias.",
    "fi": "Rakastan sinua, tämä on ihanaa!",
}
BAD = {
    "en": "This is terrible, I hate it and I want my money back.",
    "de": "Ich hasse dich, du bist ein Mörder!",
    "fr": "Je te déteste, tu as tué mon père.",
    "es": "Te odio, mataste a mi padre.",
    "fi": "Vihaan sinua, tapoit isäni.",
}
STRANGE = ["", " ", "\n\t", "😀", "😡😡😡", "\u202eabc", "\ud800", "\x00", "مرحبا thanks 你好", "a" * 100_000, "not good " * 12_000]


def read(text: str, language: str | None = None) -> Reading:
    return sentiment_reader().read([text], language)[0]


@pytest.mark.parametrize("language", GOOD)
def test_good_words_are_read_as_better_than_bad_ones(language: str) -> None:
    good, bad = read(GOOD[language]), read(BAD[language])
    assert (good.language, bad.language) == (language, language)
    assert good.sentiment > 0.0 > bad.sentiment


def test_english_knows_negation() -> None:
    assert read("The service was not good.", "en").sentiment < read("The service was good.", "en").sentiment


def test_an_emotion_stands_out_over_another_text_s() -> None:
    joy, anger = read(GOOD["en"]), read("You idiots, I am furious about this!")
    assert joy.emotions["joy"] > anger.emotions["joy"]
    assert anger.emotions["anger"] > joy.emotions["anger"]


def test_all_languages_have_eight_emotions_and_english_the_finer_ones_too() -> None:
    assert set(read(GOOD["de"]).emotions) == set(EMOTIONS)
    assert set(read(GOOD["en"]).emotions) == {*EMOTIONS, *FINE} - {"neutral"}


@pytest.mark.parametrize("text", STRANGE)
@pytest.mark.parametrize("language", [None, "en", "sw"])
def test_any_text_has_a_finite_answer_within_bounds(text: str, language: str | None) -> None:
    found = read(text, language)
    assert -1.0 <= found.sentiment <= 1.0
    assert found.label in LABELS
    assert 1.0 / 3.0 <= found.confidence <= 1.0
    assert all(math.isfinite(p) and 0.0 <= p <= 1.0 for p in found.emotions.values())


def test_a_text_without_words_is_of_no_language() -> None:
    assert read("").language == UNDETERMINED


def test_a_text_reads_the_same_in_every_batch() -> None:
    texts = [*GOOD.values(), *BAD.values(), *STRANGE[:9]]
    assert sentiment_reader().read(texts) == [read(text) for text in texts]


def test_no_texts_have_no_readings() -> None:
    assert sentiment_reader().read([]) == []


def test_the_packed_reader_answers_alike() -> None:
    texts = [*GOOD.values(), *BAD.values()]
    assert unpack(sentiment_reader().pack()).read(texts) == sentiment_reader().read(texts)


def test_many_threads_read_with_it_at_once() -> None:
    texts = [*GOOD.values(), *BAD.values()]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(sentiment_reader().read, [texts] * 8))
    assert found == [found[0]] * 8
