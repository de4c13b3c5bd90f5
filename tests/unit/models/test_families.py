"""Families that packages bring: found by their entry points, left out where they are broken, refused where names collide."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from personalization.errors import MisconfiguredError
from personalization.models.families import GROUP, families
from tests.planted import Planted


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An installed module with families."""
    module = ModuleType("brought_by_a_user")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def point(name: str, attribute: str) -> EntryPoint:
    return EntryPoint(name, f"brought_by_a_user:{attribute}", GROUP)


def test_a_class_or_an_object_is_found_under_its_model_id(brought: ModuleType) -> None:
    brought.Planted = Planted  # type: ignore[attr-defined]
    brought.planted = Planted()  # type: ignore[attr-defined]
    ours = set(families([]))
    assert set(families([point("a", "Planted")])) == ours | {"planted"}
    assert families([point("a", "planted")])["planted"] is brought.planted


def test_what_cannot_be_loaded_is_left_out_and_said(brought: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    brought.Half = type("Half", (), {"model_id": "half", "fit": lambda self: None})  # type: ignore[attr-defined]
    brought.Broken = type("Broken", (), {"__init__": lambda self: 1 / 0})  # type: ignore[attr-defined]
    brought.Planted = Planted  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING):
        found = families([point("missing", "Nothing"), point("half", "Half"), point("broken", "Broken"), point("fine", "Planted")])
    assert "planted" in found
    assert not {"half", "missing", "broken"} & set(found)
    said = caplog.text
    assert "missing is left out" in said
    assert "has no model_type, scores, least, prior, judge, unpack, case" in said


def test_two_families_of_one_name_are_refused(brought: ModuleType) -> None:
    brought.Planted = Planted  # type: ignore[attr-defined]
    with pytest.raises(MisconfiguredError, match="'planted'"):
        families([point("a", "Planted"), point("b", "Planted")])
