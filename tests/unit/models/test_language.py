"""The shipped model of languages on texts that nobody taught it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from personalization.models.language import UNDETERMINED, fit, language_model, unpack

SENTENCES = {
    "en": "Your parcel was left with the neighbours, please ring their bell.",
    "de": "Ihr Paket wurde bei den Nachbarn abgegeben, bitte klingeln Sie dort.",
    "fr": "Votre colis a été déposé chez les voisins, veuillez sonner chez eux.",
    "es": "Su paquete se dejó con los vecinos, por favor llame a su timbre.",
    "fi": "Pakettisi jätettiin naapureille, soita heidän ovikelloaan.",
    "ar": "تم ترك طردك لدى الجيران، يرجى قرع جرس بابهم.",
    "hi": "आपका पार्सल पड़ोसियों के पास छोड़ा गया है।",
    "ja": "お荷物は隣の家に預けました。",
    "ru": "Ваша посылка оставлена у соседей, позвоните им в дверь.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_of_its_language(language: str) -> None:
    assert language_model().languages_of([SENTENCES[language]]) == [language]


@pytest.mark.parametrize("text", ["", "   ", "😀😀", "@ada https://x.example"])
def test_what_has_no_words_has_no_language(text: str) -> None:
    assert language_model().languages_of([text]) == [UNDETERMINED]


def test_no_texts_have_no_languages() -> None:
    assert language_model().languages_of([]) == []


def test_it_knows_75_languages() -> None:
    assert len(set(language_model().languages)) == 75


def test_the_packed_model_answers_alike() -> None:
    again = unpack(language_model().pack())
    assert again.languages_of(list(SENTENCES.values())) == list(SENTENCES)


def test_many_threads_read_it_at_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(language_model().languages_of, [list(SENTENCES.values())] * 8))
    assert found == [list(SENTENCES)] * 8


def test_teaching_is_repeatable() -> None:
    texts, marks = ["ab ab", "cd cd", "ab", "cd"], ["x", "y", "x", "y"]
    one, two = fit(texts, marks), fit(texts, marks)
    assert one.languages_of(["ab", "cd"]) == two.languages_of(["ab", "cd"]) == ["x", "y"]
