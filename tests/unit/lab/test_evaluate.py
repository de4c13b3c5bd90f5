from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from personalization.errors import MisconfiguredError
from personalization.lab import coverage, targeting
from personalization.lab.datasets import DEFAULT_FOLDER
from personalization.lab.evaluate import TASKS, Evaluation, ModelUnknown, Step, Task, evaluate, tasks_of
from personalization.lab.pages import Chart, LineChart, page
from personalization.lab.scores import Curve, Score
from personalization.settings import settings_from

FOLDER = settings_from().data_dir or DEFAULT_FOLDER
with_data = pytest.mark.skipif(
    any(task.missing(Path(FOLDER)) for task in TASKS), reason=f"not all logs are in {FOLDER}; set PERSONALIZATION_DATA"
)
with_peers = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("sklearn", "lightgbm", "lifetimes")), reason="the extra peers is not installed"
)
KEYS = ["task", "metric", "value", "low", "high", "peer", "base_rate", "must", "met", "peer_of", "note"]


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
    assert found.rows()[1] == ("  m", "0.5000", "0.4000 .. 0.6000", "0.7000 published", "0.1000", ">= 0.6000", "MISSED")
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


def test_each_kind_of_curve_has_a_chart_of_its_own_with_what_it_is_held_against() -> None:
    points = ((100.0, 0.7), (200.0, 0.8))
    found = Evaluation(
        [
            Score(task="t", metric="AUC (x)", value=0.8, must=0.75, base_rate=0.5, curve=points, drawn=Curve.LEARNING),
            Score(task="t", metric="ECE", value=0.1, curve=((0.1, 0.2), (0.9, 0.8)), drawn=Curve.CALIBRATION),
        ]
    )
    calibration, learning = found.charts()[1:]
    assert isinstance(calibration, LineChart)
    assert isinstance(learning, LineChart)
    assert [line.points for line in calibration.lines][1:] == [((0.0, 0.0), (1.0, 1.0))]
    assert (learning.asked, learning.bottom) == ([(0.0, 200.0, 0.75)], 0.5)
    assert [(line.name, line.points) for line in learning.lines] == [("AUC", points)]
    assert page("t", found.sentences(), found.charts(), found.columns(), found.rows()).count("<polyline") == 3


def test_a_measured_peer_is_told_from_a_published_one_and_what_was_missed_says_why() -> None:
    missed = Score(task="t", metric="m", value=0.5, peer=0.7, must=0.6, note="The file is a part.")
    found = Evaluation([missed, missed.beside("LightGBM", 0.55), Score(task="t", metric="n", value=0.1)])
    assert [row[3] for row in found.rows()[1:]] == ["0.7000 published", "0.5500 LightGBM", ""]
    assert [row["peer_of"] for row in found.document()] == ["published", "LightGBM", None]
    assert found.sentences()[2:] == ["t, m: The file is a part."] * 2


def test_one_model_s_tasks_are_picked_by_its_name_and_an_unknown_one_is_answered_with_all_names() -> None:
    assert {task.model for task in tasks_of("churn")} == {"churn"}
    assert tasks_of(None) == TASKS
    assert all(task.model for task in TASKS)
    with pytest.raises(ModelUnknown, match="policy, evaluation, hours, purchases, uplift, churn"):
        tasks_of("weather")


@with_peers
def test_peers_are_asked_only_where_they_are_wanted_and_known(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a\nb\n")
    task = replace(LINES, beside=lambda folder, step: [Score(task="lines", metric="beside", value=0.0)])
    assert [[s.metric for s in evaluate(tmp_path, silent, (task,), wanted).scores] for wanted in (False, True)] == [
        ["count", "again"],
        ["beside"],
    ]
    assert [s.metric for s in evaluate(tmp_path, silent, (LINES,), beside=True).scores] == ["count", "again"]


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
