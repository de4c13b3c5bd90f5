"""Teaching a tenant's models by command: from its log, or from a table of its own, with a report in plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from personalization.errors import Invalid
from personalization.lab.tables import table_of
from personalization.models.base import Examples
from personalization.operations.examples import examples_of_table
from personalization.operations.model_life import COMMAND, ModelLife
from personalization.operations.training import Lineage

Document = dict[str, Any]
Step = Callable[[int, int], None]
#: Opens a progress bar of that name.
Bars = Callable[[str], AbstractContextManager[Step]]


def taught_by_log(life: ModelLife, model_ids: Sequence[str], bars: Bars) -> list[Document]:
    """One version of each model, in TRAINING no longer: what became of it."""
    told = []
    for model_id in model_ids:
        with bars(f"Training {model_id}") as step:
            told.append(life.run(life.begun(model_id, COMMAND), step))
    return told


def taught_by_table(life: ModelLife, model_id: str, examples: Examples, lineage: Lineage) -> Document:
    return life.keep(life.begun(model_id, COMMAND), examples, lineage)


def examples_in(file: Path, outcome: str, time: str | None, person: str | None, leaks: Sequence[str]) -> Examples:
    """The rows of a .csv (or .csv.gz) or .parquet file as cases. leaks: columns that may know the outcome all the same.

    Raises MisconfiguredError where the file cannot be read, ArrayInvalid or Invalid where its columns cannot teach.
    """
    return examples_of_table(table_of(file), outcome, time=time, person=person, allowed=leaks)


def rows_of(told: Sequence[Document]) -> list[tuple[str, ...]]:
    """model and version, status, metric, value, base rate."""
    rows: list[tuple[str, ...]] = []
    for one in told:
        named = (f"{one['model_id']} {one['version']}", one["status"])
        metrics, base = one["performance_metrics"], one.get("base_rates", {})
        for i, (name, value) in enumerate(metrics.items()):
            rows.append((*(named if not i else ("", "")), name, _figure(value), _figure(base.get(name))))
        if not metrics:
            rows.append((*named, "", "", ""))
    return rows


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


COLUMNS = ("model", "status", "metric", "value", "base rate")


def expect_file(source: str, file: Path | None, outcome: str | None, models: Sequence[str]) -> None:
    """Raises Invalid saying what a table needs beside it."""
    if source == "events":
        return
    if file is None or outcome is None or len(models) != 1:
        raise Invalid(f"--from {source} needs --file, --outcome and one --model (usually churn).")
