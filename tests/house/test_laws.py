"""Whatever decides has its law tests: engines, methods, stages and constraints are counted here, so none comes without."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

from personalization import engines
from personalization.deciding import feasible, openings, paths
from personalization.learning.choosing import METHODS
from personalization.vocabulary import PolicyMethod, Suppression
from tests.contracts.test_constraints import CONSTRAINTS
from tests.contracts.test_engines import ENGINES
from tests.unit.deciding import test_propensities
from tests.unit.learning.policies import POLICIES

#: Methods that leave nothing to chance, so that no frequency proves them.
CERTAIN = {PolicyMethod.LINUCB}


def test_every_engine_keeps_the_laws_of_engines() -> None:
    """An engine is a module of `engines` that reads; its line is in tests/contracts/test_engines.py."""
    modules = [importlib.import_module(f"{engines.__name__}.{one.name}") for one in pkgutil.iter_modules(engines.__path__)]
    reading = {module.__name__.rpartition(".")[2] for module in modules if callable(getattr(module, "read", None))}
    assert reading == ENGINES.keys()


def test_every_method_keeps_the_laws_of_policies_and_its_propensities() -> None:
    """Its kernel is in tests/unit/learning/policies.py, its draws in tests/unit/deciding/test_propensities.py; the laws of
    the reward model's methods go over the whole of PolicyMethod."""
    assert METHODS.keys() == set(PolicyMethod)
    assert METHODS.keys() <= POLICIES.keys()
    assert METHODS.keys() - CERTAIN == set(test_propensities.METHODS)


def test_every_stage_has_its_propensities_held_against_frequencies() -> None:
    bits = {name.lower() for name, value in vars(paths).items() if _is_stage(name, value)}
    assert bits == set(test_propensities.STAGES)


def _is_stage(name: str, value: object) -> bool:
    """A public bit of a record's `stages`; SENT is an option of one."""
    public = name.isupper() and name != "SENT" and not name.startswith("_")
    return public and isinstance(value, int) and value.bit_count() == 1 and value < 256


def test_every_constraint_keeps_the_laws_of_constraints() -> None:
    """A constraint is what `Constraint(…)` is called with in `deciding`; its line is in tests/contracts/test_constraints.py."""
    folder = Path(feasible.__file__).parent
    named = {name for path in folder.glob("*.py") for name in _named(ast.parse(path.read_text()))}
    assert named == CONSTRAINTS.keys()


def _named(tree: ast.AST) -> set[str]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Constraint"]
    return set().union(*(_names(call.args[0]) for call in calls))


def _names(first: ast.expr) -> set[str]:
    """Written out, a Suppression, or one of those that close a channel."""
    if isinstance(first, ast.Constant):
        return {str(first.value)}
    if isinstance(first, ast.Attribute):
        return {Suppression[first.attr]}
    assert ast.unparse(first) == "reason", f"Constraint({ast.unparse(first)}, …): say here which names that may be"
    return {Suppression[name] for name in re.findall(r"Suppression\.(\w+)", inspect.getsource(openings._closed))}


def test_the_laws_count_what_they_are_given() -> None:
    """A constraint that is new is seen."""
    assert _named(ast.parse('Constraint("budget", "*", True); Constraint(Suppression.FATIGUE, "*", True)')) == {"budget", "fatigue"}
