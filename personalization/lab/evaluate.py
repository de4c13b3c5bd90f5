"""The quality of what the product learns, on logs of real people: a table of tasks, each a list of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from personalization.errors import MisconfiguredError
from personalization.lab import churn, coverage, engagement, feelings, hours, mailing, peers, purchases, targeting, words
from personalization.lab.datasets import DataMissing
from personalization.lab.pages import Bar, Chart, Line, LineChart
from personalization.lab.scores import Curve, Score

Step = Callable[[int, int], None]
#: Opens a progress bar of that name.
Bars = Callable[[str], AbstractContextManager[Step]]


@dataclass(frozen=True)
class Task:
    """files: what must lie in the folder for the task to run; none for one in the simulated world. model: what it judges.
    beside: the same with peers fitted in the same folds, where there are any."""

    name: str
    files: tuple[str, ...]
    run: Callable[[Path, Step], list[Score]]
    model: str = ""
    beside: Callable[[Path, Step], list[Score]] | None = None

    def missing(self, folder: Path) -> list[str]:
        return [name for name in self.files if not (folder / name).exists()]


def _churn(name: str, files: tuple[str, ...], run: Callable[..., list[Score]]) -> Task:
    return Task(name, files, run, "churn", beside=partial(run, peers=peers.CLASSIFIERS))


TASKS = (
    Task(
        targeting.TASK,
        targeting.FILES,
        targeting.hillstrom_policy,
        "policy",
        beside=partial(targeting.hillstrom_policy, peer=peers.logistic_regression),
    ),
    Task(coverage.TASK, coverage.FILES, coverage.coverage, "evaluation"),
    Task(hours.TASK, hours.FILES, hours.send_hour, "hours"),
    Task(purchases.TASK, purchases.FILES, purchases.purchases, "purchases"),
    Task(purchases.RETAIL_TASK, purchases.RETAIL_FILES, purchases.retail_purchases, "purchases"),
    Task(
        mailing.INSURANCE,
        mailing.INSURANCE_FILES,
        mailing.insurance_targeting,
        "uplift",
        beside=partial(mailing.insurance_targeting, peer=peers.boosting),
    ),
    Task(mailing.STARBUCKS, mailing.STARBUCKS_FILES, mailing.starbucks_targeting, "uplift"),
    _churn(churn.TELCO, churn.TELCO_FILES, churn.telco_churn),
    _churn(churn.IRANIAN, churn.IRANIAN_FILES, churn.iranian),
    _churn(churn.BANK, churn.BANK_FILES, churn.bank_response),
    Task(engagement.TASK, (), engagement.engagement, "engagement"),
    Task(words.LANGUAGE, words.LANGUAGE_FILES, words.language, "language"),
    Task(feelings.TWEETS, feelings.TWEETS_FILES, feelings.tweets_polarity, "sentiment"),
    Task(feelings.UMSAB, feelings.UMSAB_FILES, feelings.umsab_sentiment, "sentiment"),
    Task(feelings.XED, feelings.XED_FILES, feelings.xed_feelings, "sentiment"),
    Task(feelings.GOEMOTIONS, feelings.GOEMOTIONS_FILES, feelings.goemotions_feelings, "sentiment"),
    Task(feelings.GROUPED, feelings.GOEMOTIONS_FILES, feelings.goemotions_groups, "sentiment"),
)


class ModelUnknown(MisconfiguredError):
    title = "Unknown model"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no model {name!r} to evaluate; take one of {', '.join(dict.fromkeys(t.model for t in TASKS))}.")


def tasks_of(model: str | None) -> tuple[Task, ...]:
    """Of one model; of all when it is None. Raises ModelUnknown."""
    found = tuple(task for task in TASKS if model in (None, task.model))
    if not found:
        raise ModelUnknown(str(model))
    return found


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
        return asked + self.remarks()

    def remarks(self) -> list[str]:
        """Why what was missed was missed, and what was not measured."""
        why = [f"{s.task}, {s.metric}: {s.note}" for s in self.scores if s.note]
        return why + [f"{task} was not measured: the folder lacks {', '.join(files)}." for task, files in self.skipped]

    def charts(self) -> list[Chart | LineChart]:
        """Bars of one task side by side, each with its must; then the curves of those that have any."""
        tasks = dict.fromkeys(score.task for score in self.scores)
        bars = [Chart(task, [_bar(score) for score in self.scores if score.task == task]) for task in tasks]
        drawn = {
            (task, curve): [s for s in self.scores if s.task == task and s.curve and s.drawn == curve]
            for task in tasks
            for curve in Curve
        }
        return [*bars, *(_CHARTS[curve](task, scores) for (task, curve), scores in drawn.items() if scores)]


def evaluate(folder: Path, bars: Bars, tasks: Sequence[Task] = TASKS, beside: bool = False) -> Evaluation:
    """Run every task whose files are there; beside: with peers in the same folds. Raises DataMissing when the folder
    has no task's files, and ExtraMissing."""
    wanted = [name for task in tasks for name in task.files]
    if wanted and not any(task.files and not task.missing(folder) for task in tasks):
        raise DataMissing(folder / wanted[0])
    if beside:
        peers.check_installed()
    scores: list[Score] = []
    skipped = []
    for task in tasks:
        if missing := task.missing(folder):
            skipped.append((task.name, missing))
            continue
        with bars(task.name) as step:
            run = task.beside if beside and task.beside else task.run
            scores += run(folder, step)
    return Evaluation(scores, skipped)


_VERDICTS = {True: "met", False: "MISSED", None: ""}


def _row(score: Score) -> tuple[str, ...]:
    interval = "" if score.low is None or score.high is None else f"{score.low:.4f} .. {score.high:.4f}"
    must = "" if score.must is None else _asked(score)
    return (
        f"  {score.metric}",
        f"{score.value:.4f}",
        interval,
        "" if score.peer is None else f"{score.peer:.4f} {score.peer_of}",
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


def _qini(task: str, scores: Sequence[Score]) -> LineChart:
    """Each curve is above the line of a random order where it knows anything."""
    ends = scores[0].curve[0], scores[0].curve[-1]
    return LineChart(
        f"{task}: gain a person", "share mailed, by predicted uplift", [*_lines(scores), Line("random order", ends, dashed=True)]
    )


def _calibration(task: str, scores: Sequence[Score]) -> LineChart:
    """Reliability diagram (Murphy and Winkler 1977), out of fold."""
    honest = Line("as foretold", ((0.0, 0.0), (1.0, 1.0)), dashed=True)
    return LineChart(f"{task}: share that did", "foretold probability", [*_lines(scores), honest])


def _learning(task: str, scores: Sequence[Score]) -> LineChart:
    """From the base rate on; what is asked is a line across."""
    last = max(score.curve[-1][0] for score in scores)
    asked = [(0.0, last, score.must) for score in scores if score.must is not None]
    bottom = min(score.base_rate or 0.0 for score in scores)
    return LineChart(f"{task}: what more rows teach", "rows that taught", _lines(scores), asked, bottom)


def _lines(scores: Sequence[Score]) -> list[Line]:
    """Named as far as the key has room."""
    return [Line(score.metric.partition(" (")[0].partition(", ")[0], score.curve) for score in scores]


_CHARTS: Mapping[Curve, Callable[[str, Sequence[Score]], LineChart]] = MappingProxyType(
    {Curve.QINI: _qini, Curve.CALIBRATION: _calibration, Curve.LEARNING: _learning}
)
