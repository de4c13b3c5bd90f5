from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from personalization.errors import MisconfiguredError
from personalization.lab import coverage, targeting
from personalization.lab.datasets import DEFAULT_FOLDER
from personalization.lab.evaluate import TASKS, Evaluation, Step, Task, evaluate
from personalization.lab.pages import Chart, LineChart
from personalization.lab.scores import Score
from personalization.settings import settings_from

FOLDER = settings_from().data_dir or DEFAULT_FOLDER
with_data = pytest.mark.skipif(
    any(task.missing(Path(FOLDER)) for task in TASKS), reason=f"not all logs are in {FOLDER}; set PERSONALIZATION_DATA"
)
KEYS = ["task", "metric", "value", "low", "high", "peer", "base_rate", "must", "met"]


@contextmanager
def silent(name: str) -> Iterator[Step]:
    yield lambda done, total: None


def counted(folder: Path, step: Step) -> list[Score]:
    """A task that measures how many lines its file has."""
    step(1, 1)
    lines = float(len((folder / "lines.txt").read_text().splitlines()))
    return [Score(task="lines", metric="count", value=lines, must=2.0), Score(task="lines", metric="again", value=lines)]


LINES = Task("lines", ("lines.txt",), counted)
ABSENT = Task("absent", ("nothing.csv", "more.csv"), counted)


def test_a_task_runs_where_its_file_is_and_the_others_are_named(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a\nb\n")
    found = evaluate(tmp_path, silent, (ABSENT, LINES))
    assert [score.value for score in found.scores] == [2.0, 2.0]
    assert found.met
    assert found.sentences() == [
        "lines: count 2.0000, >= 2.0000: met",
        "absent was not measured: the folder lacks nothing.csv, more.csv.",
    ]


def test_rows_say_what_was_asked_and_whether_it_was_met() -> None:
    scores = [
        Score(task="t", metric="m", value=0.5, low=0.4, high=0.6, peer=0.7, base_rate=0.1, must=0.6),
        Score(task="t", metric="error", value=0.5, must=0.6, at_most=True),
        Score(task="u", metric="told", value=-0.5),
    ]
    found = Evaluation(scores)
    rows = json.loads(json.dumps(found.document()))
    assert all(list(row) == KEYS for row in rows)
    assert [row["met"] for row in rows] == [False, True, None]
    assert not found.met
    assert [row[0] for row in found.rows()] == ["t", "  m", "  error", "u", "  told"]
    assert found.rows()[1] == ("  m", "0.5000", "0.4000 .. 0.6000", "0.7000", "0.1000", ">= 0.6000", "MISSED")
    assert found.rows()[2][-2:] == ("<= 0.6000", "met")
    assert [chart.title for chart in found.charts()] == ["t", "u"]
    last = found.charts()[1]
    assert isinstance(last, Chart)
    assert last.bars[0].value == 0.0


def test_curves_are_drawn_after_the_bars_beside_a_random_order() -> None:
    curve = ((0.0, 0.0), (0.5, 0.4), (1.0, 0.5))
    found = Evaluation([Score(task="t", metric="m", value=0.1, curve=curve), Score(task="u", metric="m", value=0.1)])
    assert [chart.title for chart in found.charts()] == ["t", "u", "t: gain a person"]
    drawn = found.charts()[2]
    assert isinstance(drawn, LineChart)
    assert [line.points for line in drawn.lines] == [curve, (curve[0], curve[2])]


def test_a_folder_without_any_of_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfiguredError, match="PERSONALIZATION_DATA"):
        evaluate(tmp_path, silent)


@pytest.mark.long
@with_data
def test_the_bandit_targets_hillstrom_as_well_as_asked() -> None:
    assert all(score.met is not False for score in targeting.hillstrom_policy(Path(FOLDER), lambda done, total: None))


@pytest.mark.long
@with_data
def test_intervals_hold_the_truth_of_resampled_logs_as_often_as_asked() -> None:
    scores = coverage.coverage(Path(FOLDER), lambda done, total: None)
    assert len(scores) == 16
    assert all(score.met for score in scores)
