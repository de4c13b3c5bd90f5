"""Scenarios of the simulated world run through the product, over seeds and explorations, and what is asked of them."""

from __future__ import annotations

import math
import multiprocessing
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from personalization.lab.backtest import collector_at_rest
from personalization.lab.pages import Line, LineChart
from personalization.lab.reading import Reading, Run
from personalization.lab.runs import run
from personalization.lab.scenarios import SCENARIOS, Scenario

Progress = Callable[[int, int], None]

MET, MISSED, SHORT = "met", "MISSED", "not judged"
#: Seconds between two looks at how far the processes are.
_LOOK = 0.3
#: Share of the runs that must tell something to be judged, where the product may refuse.
_LEAST_TOLD = 0.25


@dataclass(frozen=True)
class Job:
    """One run: which scenario (its name), policy seed, exploration, and so many messages (None = all)."""

    scenario: str
    seed: int
    exploration: float
    messages: int | None

    @property
    def steps(self) -> int:
        return self.messages or SCENARIOS[self.scenario].messages


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One window over all runs of one exploration. mean, standard_error: of the policy's value; NaN where there is none.

    refused                    : runs that told nothing; not in the mean
    random, best_fixed, oracle : what these earn on the same messages, in the mean over runs
    verdict                    : empty where nothing is asked
    """

    scenario: str
    window: str
    exploration: float
    runs: int
    refused: int
    mean: float
    standard_error: float
    random: float
    best_fixed: float
    oracle: float
    must: float | None
    stretch: float | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """A scenario's figures, and the mean curve of each exploration."""

    scenario: Scenario
    seeds: int
    figures: tuple[Figure, ...]
    curves: tuple[tuple[float, tuple[tuple[float, float], ...]], ...]

    @property
    def met(self) -> bool:
        return not any(figure.verdict == MISSED for figure in self.figures)

    def document(self) -> dict[str, Any]:
        figures = [{name: _number(value) for name, value in asdict(figure).items()} for figure in self.figures]
        curves = [{"exploration": exploration, "points": curve} for exploration, curve in self.curves]
        return {
            "scenario": self.scenario.name,
            "title": self.scenario.title,
            "seeds": self.seeds,
            "met": self.met,
            "figures": figures,
            "curves": curves,
        }


def simulate(
    names: Sequence[str],
    seeds: int,
    messages: int | None = None,
    processes: int = 1,
    progress: Progress = lambda done, total: None,
) -> list[Found]:
    """Every scenario named, with the policy seeds 0 .. seeds - 1. processes: how many run at once; 1 = in this one."""
    wanted = {name: _jobs(SCENARIOS[name], seeds, messages) for name in dict.fromkeys(names)}
    jobs = [job for listed in wanted.values() for job in listed]
    runs = dict(zip(jobs, _here(jobs, progress) if processes == 1 else _spread(jobs, processes, progress), strict=True))
    return [_found(SCENARIOS[name], seeds, {job: runs[job] for job in listed}) for name, listed in wanted.items()]


def _jobs(scenario: Scenario, seeds: int, messages: int | None) -> list[Job]:
    numbers = range(seeds * scenario.runs)
    return [Job(scenario.name, seed, exploration, messages) for exploration in scenario.explorations for seed in numbers]


# -- running ---------------------------------------------------------------------------------------------------------


def _here(jobs: Sequence[Job], progress: Progress) -> list[Run]:
    total, runs = sum(job.steps for job in jobs), []
    for i, job in enumerate(jobs):
        before = sum(earlier.steps for earlier in jobs[:i])
        runs.append(_run(job, lambda done, before=before: progress(before + done, total)))  # type: ignore[misc]
    return runs


def _run(job: Job, step: Callable[[int], None]) -> Run:
    """The matrices are small: one thread is faster, and several processes would fight over the cores."""
    with collector_at_rest(), threadpool_limits(1, user_api="blas"):
        return run(SCENARIOS[job.scenario], job.seed, job.exploration, job.messages, step)


def _spread(jobs: Sequence[Job], processes: int, progress: Progress) -> list[Run]:
    context = multiprocessing.get_context("spawn")
    done, total = context.Array("q", len(jobs), lock=False), sum(job.steps for job in jobs)
    with ProcessPoolExecutor(processes, context, _begin, (done,)) as pool:
        futures = [pool.submit(_counted, i, job) for i, job in enumerate(jobs)]
        try:
            while wait(futures, _LOOK).not_done and not any(f.done() and f.exception() for f in futures):
                progress(sum(done), total)
            return [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(done: Any) -> None:
    """In a new process: where it says how far it is."""
    global _done
    _done = done


def _counted(number: int, job: Job) -> Run:
    def step(messages: int) -> None:
        _done[number] = messages

    found = _run(job, step)
    step(job.steps)
    return found


_done: Any = None


# -- figures ---------------------------------------------------------------------------------------------------------


def _found(scenario: Scenario, seeds: int, runs: dict[Job, Run]) -> Found:
    figures, curves = [], []
    for exploration in scenario.explorations:
        mine = [one for job, one in runs.items() if job.exploration == exploration]
        windows = zip(*(one.readings for one in mine), strict=True)
        figures += [_figure(scenario, exploration, readings) for readings in windows]
        curves.append((exploration, _mean_curve(mine)))
    return Found(scenario=scenario, seeds=seeds, figures=tuple(figures), curves=tuple(curves))


def _figure(scenario: Scenario, exploration: float, readings: Sequence[Reading]) -> Figure:
    first, values = readings[0], [reading.policy for reading in readings if not reading.refused]
    figure = Figure(
        scenario=scenario.name,
        window=first.window,
        exploration=exploration,
        runs=len(readings),
        refused=len(readings) - len(values),
        mean=fmean(values) if values else math.nan,
        standard_error=float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0,
        random=fmean(reading.random for reading in readings),
        best_fixed=fmean(reading.best_fixed for reading in readings),
        oracle=fmean(reading.oracle for reading in readings),
        must=_mean_of(reading.must for reading in readings),
        stretch=_mean_of(reading.stretch for reading in readings),
        verdict="",
    )
    return Figure(**{**asdict(figure), "verdict": _verdict(scenario, figure, readings)})


def _verdict(scenario: Scenario, figure: Figure, readings: Sequence[Reading]) -> str:
    """Only of the exploration that the scenario is judged at."""
    if figure.must is None or figure.exploration != scenario.explorations[0]:
        return ""
    told = sum(not reading.refused for reading in readings)
    if not all(reading.complete for reading in readings) or len(readings) < scenario.fewest or told < _LEAST_TOLD * len(readings):
        return SHORT
    return MET if figure.mean >= figure.must else MISSED


def _mean_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _mean_curve(runs: Sequence[Run]) -> tuple[tuple[float, float], ...]:
    """The mean over the runs that have a point there."""
    values: dict[float, list[float]] = defaultdict(list)
    for one in runs:
        for x, y in one.curve:
            values[x].append(y)
    return tuple((x, fmean(values[x])) for x in sorted(values))


def _number(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


# -- telling ---------------------------------------------------------------------------------------------------------

COLUMNS = ("scenario, messages", "exploration", "value", "random", "best fixed", "oracle", "must", "stretch", "verdict")


def rows(found: Sequence[Found]) -> list[tuple[str, ...]]:
    """A row a figure, as COLUMNS has it."""
    return [_row(figure) for one in found for figure in one.figures]


def _row(figure: Figure) -> tuple[str, ...]:
    error = f" ± {figure.standard_error:.3f}" if figure.runs > 1 and not math.isnan(figure.mean) else ""
    refused = f", {figure.refused} of {figure.runs} refused" if figure.refused else ""
    beside = [_said(value) for value in (figure.random, figure.best_fixed, figure.oracle, figure.must, figure.stretch)]
    name = f"{figure.scenario}  {figure.window}"
    return name, f"{figure.exploration:g}", _said(figure.mean) + error + refused, *beside, figure.verdict


def _said(value: float | None) -> str:
    return "" if value is None else "–" if math.isnan(value) else f"{value:.4f}"


def sentences(found: Sequence[Found]) -> list[str]:
    """One of each thing that is asked; those end in "met" or "MISSED"."""
    return [
        f"{f.scenario} ({one.scenario.title}), {f.window}: {_said(f.mean)} of {f.must:.4f} asked: {f.verdict}"
        for one in found
        for f in one.figures
        if f.verdict
    ]


def charts(found: Sequence[Found]) -> list[LineChart]:
    """The policy's value over time, against oracle, random and best fixed."""
    return [_chart(one) for one in found if any(curve for _, curve in one.curves)]


def _chart(found: Found) -> LineChart:
    lines = [Line(f"exploration {exploration:g}", curve) for exploration, curve in found.curves if curve]
    ends = lines[0].points[0][0], lines[0].points[-1][0]
    known = [f for f in found.figures if not math.isnan(f.random) and f.exploration == found.scenario.explorations[0]]
    if known:
        beside = (("oracle", known[-1].oracle), ("best fixed", known[-1].best_fixed), ("random", known[-1].random))
        lines += [Line(name, [(x, value) for x in ends], dashed=True) for name, value in beside]
    asked = [(w.start, w.stop, w.must) for w in found.scenario.windows if w.must is not None and w.stop <= ends[1] + 50]
    return LineChart(f"{found.scenario.name}: {found.scenario.title}", _across(found.scenario), lines, asked)


def _across(scenario: Scenario) -> str:
    if scenario.windows:
        return "messages of each segment" + (" after the drift" if scenario.drift_at is not None else "")
    return {"C": "run", "G": "day", "H": "messages"}[scenario.name]
