from __future__ import annotations

from importlib.util import find_spec

import pytest

from personalization import cli
from personalization.cli import main
from personalization.errors import ExtraMissing
from personalization.lab import allocation_bench
from personalization.lab.allocation_bench import (
    ANNEALING,
    BATCH,
    DUAL,
    FLOW,
    PROGRAMMING,
    TREE,
    AllocationBench,
    Timed,
    bench_allocation,
)
from personalization.lab.pages import page


def measured(seconds: float = 0.3, gap: float = 0.001) -> AllocationBench:
    ours, exact = Timed(seconds, 999.0, gap), Timed(4.0, 1000.0, 0.0)
    return AllocationBench(
        {"uniform": {DUAL: ours, PROGRAMMING: exact}, BATCH: {DUAL: Timed(9.0, 9.0, 0.1)}}, ("ortools is missing",)
    )


def test_what_ours_misses_is_told_beside_the_best() -> None:
    found = measured()
    assert found.met
    assert found.below("uniform", DUAL) == pytest.approx(0.001)
    assert found.document()["instances"]["uniform"][PROGRAMMING]["below_best"] == 0.0
    assert "ortools is missing" in found.sentences()
    assert {len(row) for row in found.rows()} == {len(found.columns())}


@pytest.mark.parametrize(("seconds", "gap"), [(2.1, 0.001), (0.3, 0.006)])
def test_each_must_that_was_missed_is_said_and_the_small_batch_is_not_judged(seconds: float, gap: float) -> None:
    found = measured(seconds, gap)
    assert not found.met
    html = page("Allocation", found.sentences(), found.charts(), found.columns(), found.rows())
    assert html.count('<li class="missed">') == 1


def test_every_instance_is_solved_by_every_solver_that_fits() -> None:
    seen: list[tuple[int, int]] = []
    found = bench_allocation(progress=lambda done, total: seen.append((done, total)), users=200)
    assert seen[-1][0] == seen[-1][1] == len(found.found)
    assert all(solvers[DUAL].gap < 0.02 for solvers in found.found.values())
    assert (FLOW in found.found[TREE]) == (find_spec("ortools") is not None)
    assert (ANNEALING in found.found[BATCH]) == (find_spec("dwave") is not None)


def test_without_the_extras_the_rest_is_measured_and_the_reason_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise ExtraMissing("dimod", "quantum")

    monkeypatch.setitem(allocation_bench._SOLVERS, ANNEALING, absent)  # type: ignore[index]
    found = bench_allocation(short=True, users=100)
    assert set(found.found[BATCH]) == {DUAL, PROGRAMMING}
    assert found.missing == (
        "annealed QUBO was not measured: dimod is not installed; pip install 'deep-personalization[quantum]'.",
    )


def test_one_command_measures_one_thing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--policies", "--allocation"])
    assert "not allowed with" in capsys.readouterr().err


def test_the_command_prints_the_figures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bench = ("Allocating", lambda short, progress: measured())
    monkeypatch.setitem(cli._BENCHES, "allocation", bench)  # type: ignore[index]
    assert main(["bench", "--allocation", "--short"]) == 0
    said = capsys.readouterr().out
    assert "0.1000%" in said
    assert "must < 2; gap 0.1000%, must < 0.5%: met" in said
