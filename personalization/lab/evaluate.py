"""The quality of what the product learns, on logs of real people: a table of tasks, each a list of scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personalization.lab import churn, coverage, engagement, feelings, hours, mailing, purchases, targeting, words
from personalization.lab.datasets import DataMissing
from personalization.lab.pages import Bar, Chart, Line, LineChart
from personalization.lab.scores import Score

Step = Callable[[int, int], None]
#: Opens a progress bar of that name.
Bars = Callable[[str], AbstractContextManager[Step]]


@dataclass(frozen=True)
class Task:
    """files: what must lie in the folder for the task to run; none for one in the simulated world."""

    name: str
    files: tuple[str, ...]
    run: Callable[[Path, Step], list[Score]]

    def missing(self, folder: Path) -> list[str]:
        return [name for name in self.files if not (folder / name).exists()]


TASKS = (
    Task(targeting.TASK, targeting.FILES, targeting.hillstrom_policy),
    Task(coverage.TASK, coverage.FILES, coverage.coverage),
    Task(hours.TASK, hours.FILES, hours.send_hour),
    Task(purchases.TASK, purchases.FILES, purchases.purchases),
    Task(purchases.RETAIL_TASK, purchases.RETAIL_FILES, purchases.retail_purchases),
    Task(mailing.INSURANCE, mailing.INSURANCE_FILES, mailing.insurance_targeting),
    Task(mailing.STARBUCKS, mailing.STARBUCKS_FILES, mailing.starbucks_targeting),
    Task(churn.TELCO, churn.TELCO_FILES, churn.telco_churn),
    Task(churn.IRANIAN, churn.IRANIAN_FILES, churn.iranian),
    Task(churn.BANK, churn.BANK_FILES, churn.bank_response),
    Task(engagement.TASK, (), engagement.engagement),
    Task(words.LANGUAGE, words.LANGUAGE_FILES, words.language),
    Task(feelings.TWEETS, feelings.TWEETS_FILES, feelings.tweets_polarity),
    Task(feelings.UMSAB, feelings.UMSAB_FILES, feelings.umsab_sentiment),
    Task(feelings.XED, feelings.XED_FILES, feelings.xed_feelings),
    Task(feelings.GOEMOTIONS, feelings.GOEMOTIONS_FILES, feelings.goemotions_feelings),
    Task(feelings.GROUPED, feelings.GOEMOTIONS_FILES, feelings.goemotions_groups),
)


@dataclass(frozen=True)
class Evaluation:
    """skipped: (task, missing files)."""

    scores: Sequence[Score]
    skipped: Sequence[tuple[str, Sequence[str]]] = ()

    @property
    def met(self) -> bool:
        return all(score.met is not False for score in self.scores)

    def document(self) -> list[dict[str, Any]]:
        return [score.document() for score in self.scores]

    def columns(self) -> tuple[str, ...]:
        return ("", "value", "95 % interval", "peer", "base rate", "must", "")

    def rows(self) -> list[tuple[str, ...]]:
        """The name of each task, and under it a row a score."""
        rows: list[tuple[str, ...]] = []
        for task in dict.fromkeys(score.task for score in self.scores):
            rows.append((task, *[""] * (len(self.columns()) - 1)))
            rows += [_row(score) for score in self.scores if score.task == task]
        return rows

    def sentences(self) -> list[str]:
        """What was asked and what came of it; then what was not measured."""
        asked = [f"{s.task}: {s.metric} {s.value:.4f}, {_asked(s)}: {_VERDICTS[s.met]}" for s in self.scores if s.must is not None]
        return asked + [f"{task} was not measured: the folder lacks {', '.join(files)}." for task, files in self.skipped]

    def charts(self) -> list[Chart | LineChart]:
        """Bars of one task side by side, each with its must; then the curves of those that have any."""
        tasks = dict.fromkeys(score.task for score in self.scores)
        bars = [Chart(task, [_bar(score) for score in self.scores if score.task == task]) for task in tasks]
        drawn = {task: [s for s in self.scores if s.task == task and s.curve] for task in tasks}
        return [*bars, *(_curves(task, scores) for task, scores in drawn.items() if scores)]


def evaluate(folder: Path, bars: Bars, tasks: Sequence[Task] = TASKS) -> Evaluation:
    """Run every task whose files are there. Raises DataMissing when none are there."""
    if all(task.missing(folder) or not task.files for task in tasks):
        raise DataMissing(folder / tasks[0].files[0])
    scores: list[Score] = []
    skipped = []
    for task in tasks:
        if missing := task.missing(folder):
            skipped.append((task.name, missing))
            continue
        with bars(task.name) as step:
            scores += task.run(folder, step)
    return Evaluation(scores, skipped)


_VERDICTS = {True: "met", False: "MISSED", None: ""}


def _row(score: Score) -> tuple[str, ...]:
    interval = "" if score.low is None or score.high is None else f"{score.low:.4f} .. {score.high:.4f}"
    must = "" if score.must is None else _asked(score)
    return (
        f"  {score.metric}",
        f"{score.value:.4f}",
        interval,
        _figure(score.peer),
        _figure(score.base_rate),
        must,
        _VERDICTS[score.met],
    )


def _asked(score: Score) -> str:
    return f"{'<=' if score.at_most else '>='} {score.must:.4f}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _bar(score: Score) -> Bar:
    return Bar(score.metric, max(score.value, 0.0), f"{score.value:.4f}", score.must)


def _curves(task: str, scores: Sequence[Score]) -> LineChart:
    """Qini curves, each above the line of a random order where it knows anything."""
    ends = scores[0].curve[0], scores[0].curve[-1]
    lines = [Line(score.metric, score.curve) for score in scores]
    return LineChart(
        f"{task}: gain a person", "share mailed, by predicted uplift", [*lines, Line("random order", ends, dashed=True)]
    )
