"""What must stay true of the house itself."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import personalization

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "personalization").rglob("*.py"))


def names_used(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_the_package_opens_by_two_doors() -> None:
    assert callable(personalization.create_app)
    assert callable(personalization.create_personalization_service)
    with pytest.raises(AttributeError):
        _ = personalization.something_else


def test_only_settings_reads_the_environment() -> None:
    readers = [path for path in SOURCES if re.search(r"os\.environ\b|os\.getenv\b", path.read_text())]
    assert [path.name for path in readers] == ["settings.py"]


@pytest.mark.parametrize(
    "call", ["datetime.now", "datetime.utcnow", "time.time", "random.random", "np.random.rand", "np.random.seed"]
)
def test_time_and_chance_are_handed_in(call: str) -> None:
    assert [path.name for path in SOURCES if call in names_used(path)] == []


def test_only_the_clock_reads_the_clock() -> None:
    readers = [path.name for path in SOURCES if {"time.time_ns", "time.perf_counter", "time.monotonic"} & names_used(path)]
    assert set(readers) <= {"clock.py", "bench.py"}


def test_every_module_says_what_it_is() -> None:
    silent = [str(path) for path in SOURCES if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))]
    assert [path for path in silent if "versions" not in path] == []


def test_readme_names_its_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    for mark in ("first-run", "tests"):
        assert re.search(rf"<!-- {mark} -->\n```sh\n.+\n```", readme)
