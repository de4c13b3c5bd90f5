"""What the product reads in texts, held against what it must."""

from __future__ import annotations

from pathlib import Path

import pytest

from personalization.lab.corpora import Marked, languages
from personalization.lab.datasets import DEFAULT_FOLDER
from personalization.lab.words import LANGUAGE_FILES, build, language, taught_language
from personalization.models.language import language_model
from personalization.models.shipped import FOLDER
from personalization.settings import settings_from

DATA = Path(settings_from().data_dir or DEFAULT_FOLDER)


def needs(files: tuple[str, ...]) -> pytest.MarkDecorator:
    missing = [name for name in files if not (DATA / name).exists()]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not in {DATA}; set PERSONALIZATION_DATA")


def test_what_judges_never_teaches() -> None:
    whole = Marked(tuple(map(str, range(100))), tuple("ab" * 50))
    teaching, judging = whole.apart()
    assert (len(teaching), len(judging)) == (80, 20)
    assert sorted(teaching.texts + judging.texts) == sorted(whole.texts)
    assert whole.apart() == whole.apart()


def test_a_pair_of_words_cut_from_a_judging_sentence_does_not_teach() -> None:
    parts = {"sentences": Marked(("one two", "one two", "ein zwei", "ein zwei"), ("en", "en", "de", "de"))}
    pairs = {**parts, "word-pairs": Marked(("three four",) * 2, ("en",) * 2)}
    held = Marked(("and three four more",), ("en",))
    assert taught_language(pairs, held).languages_of(["three"]) == taught_language(parts).languages_of(["three"])
    assert taught_language(pairs).languages_of(["three four"]) == ["en"]


@needs(LANGUAGE_FILES)
def test_the_language_of_held_out_sentences_is_told_as_often_as_asked() -> None:
    sentences = next(score for score in language(DATA, lambda done, total: None) if score.must is not None)
    assert sentences.met
    assert sentences.base_rate is not None
    assert sentences.base_rate < 0.02


@needs(LANGUAGE_FILES)
def test_the_shipped_model_of_languages_tells_them_too() -> None:
    """It was taught by these sentences among others: this proves the file, not the method."""
    sentences = languages(DATA)["sentences"].taken(range(0, 37_000, 20))
    found = language_model().languages_of(sentences.texts)
    assert sum(map(str.__eq__, found, sentences.marks)) / len(sentences) >= 0.98


@pytest.mark.long
@needs(LANGUAGE_FILES)
def test_the_shipped_models_are_built_again_to_the_byte(tmp_path: Path) -> None:
    for name in build(DATA, tmp_path):
        assert (tmp_path / f"{name}.sha256").read_text() == (FOLDER / f"{name}.sha256").read_text()
