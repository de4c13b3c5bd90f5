"""Teaching by command: from a table with its report, or from the log; what a table lacks is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from personalization.bootstrap import memory_house
from personalization.errors import Invalid
from personalization.lab import teaching
from personalization.operations.model_life import ModelLife
from personalization.operations.training import Lineage

CSV = Lineage(source="csv", file="own.csv", timed=False)


@contextmanager
def bar(name: str) -> Iterator[object]:
    yield lambda done, total: None


@pytest.fixture
def life() -> ModelLife:
    house = memory_house()
    house.storage.tenants.create("acme", house.clock.now())
    return house.service("acme").model_life


def written(folder: Path, *, leak: bool = False) -> Path:
    """Customers of whom those on plan b leave more."""
    rng = np.random.default_rng(0)
    rows = ["plan,months,closed,left"]
    for _ in range(800):
        plan = str(rng.choice(["a", "b"]))
        left = int(rng.random() < (0.6 if plan == "b" else 0.1))
        rows.append(f"{plan},{rng.integers(1, 60)},{left if leak else 0},{'yes' if left else 'no'}")
    (folder / "own.csv").write_text("\n".join(rows) + "\n")
    return folder / "own.csv"


def test_a_table_teaches_and_its_report_is_plain(life: ModelLife, tmp_path: Path) -> None:
    told = teaching.taught_by_table(life, "churn", teaching.examples_in(written(tmp_path), "left", None, None, ()), CSV)
    assert told["status"] == "live"
    assert told["performance_metrics"]["churn_auc"] > 0.7
    assert told["lineage"]["file"] == "own.csv"
    rows = teaching.rows_of([told])
    assert rows[0][:2] == ("churn 1", "live")
    assert "churn_auc" in [row[2] for row in rows]
    model = life._shelf.serving("acme")["churn"].model
    assert (
        float(model.predict({"trait:plan": "b"})["churn"] or 0.0) > 0.4 > float(model.predict({"trait:plan": "a"})["churn"] or 0.0)
    )


def test_a_column_that_knows_the_outcome_is_named_and_may_be_allowed(life: ModelLife, tmp_path: Path) -> None:
    file = written(tmp_path, leak=True)
    with pytest.raises(Invalid, match="closed: alone tells the outcome"):
        teaching.examples_in(file, "left", None, None, ())
    assert len(teaching.examples_in(file, "left", None, None, ["closed"])) == 800


def test_a_log_with_too_little_fails_with_a_reason(life: ModelLife) -> None:
    told = teaching.taught_by_log(life, ["engagement"], bar)  # type: ignore[arg-type]
    assert told[0]["status"] == "failed"
    assert teaching.rows_of(told) == [("engagement 1", "failed", "", "", "")]
    assert "once its reward's wait is over" in told[0]["report"][0]


def test_a_table_needs_a_file_an_outcome_and_a_model(tmp_path: Path) -> None:
    teaching.expect_file("events", None, None, [])
    for file, outcome, models in (
        (None, "left", ["churn"]),
        (tmp_path, None, ["churn"]),
        (tmp_path, "left", []),
        (tmp_path, "x", ["a", "b"]),
    ):
        with pytest.raises(Invalid, match="--from csv needs"):
            teaching.expect_file("csv", file, outcome, models)
