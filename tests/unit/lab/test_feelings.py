"""How the product reads feelings, held against what it must."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from personalization.lab import feelings
from personalization.lab.corpora import goemotions, xed
from personalization.lab.datasets import DEFAULT_FOLDER
from personalization.lab.evaluate import Step
from personalization.lab.feelings import macro_f1
from personalization.lab.reader import polarity, teaching_texts
from personalization.lab.scores import Score
from personalization.settings import settings_from

DATA = Path(settings_from().data_dir or DEFAULT_FOLDER)
TASKS = (
    pytest.param(feelings.TWEETS_FILES, feelings.tweets_polarity),
    pytest.param(feelings.UMSAB_FILES, feelings.umsab_sentiment),
    pytest.param(feelings.XED_FILES, feelings.xed_feelings),
    pytest.param(feelings.GOEMOTIONS_FILES, feelings.goemotions_feelings),
    pytest.param(feelings.GOEMOTIONS_FILES, feelings.goemotions_groups, marks=pytest.mark.long),
)


@pytest.mark.parametrize(("files", "task"), TASKS, ids=lambda value: getattr(value, "__name__", ""))
def test_every_figure_asked_for_is_reached(files: tuple[str, ...], task: Callable[[Path, Step], list[Score]]) -> None:
    if missing := [name for name in files if not (DATA / name).exists()]:
        pytest.skip(f"{', '.join(missing)} not in {DATA}; set PERSONALIZATION_DATA")
    found = task(DATA, lambda done, total: None)
    asked = [score for score in found if score.must is not None]
    assert asked
    assert [(score.metric, score.value, score.must) for score in asked if not score.met] == []
    assert all(score.base_rate is not None and score.value > score.base_rate for score in asked)


def test_macro_f1_is_the_mean_of_the_columns() -> None:
    y = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    shown = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert macro_f1(y, shown) == pytest.approx((2 / 3 + 4 / 5 + 0.0) / 3)


def test_a_text_of_mixed_feelings_has_no_polarity() -> None:
    felt = [frozenset({1}), frozenset({0, 6}), frozenset({1, 0}), frozenset({6})]
    assert np.array_equal(polarity(felt, frozenset({1}), frozenset({0})), [1.0, 0.0, np.nan, np.nan], equal_nan=True)


def test_what_judges_the_reader_never_taught_it() -> None:
    if any(not (DATA / name).exists() for name in feelings.XED_FILES):
        pytest.skip(f"XED is not in {DATA}; set PERSONALIZATION_DATA")
    taught = set(teaching_texts(DATA)[0])
    for name in feelings.XED_FILES:
        assert not taught & set(xed(DATA, name).apart()[1].texts)
    assert not taught & set(goemotions(DATA)[1].texts)
