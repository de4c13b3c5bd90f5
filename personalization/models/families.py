"""The families of models there are: ours, and those that installed packages bring under the entry points `personalization.models`.

An entry point names a class (called without arguments) or an object that is a `models.base.Family`. Its model_id must be its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from personalization.errors import MisconfiguredError
from personalization.models import activity, rhythm, value
from personalization.models.base import Case, Family
from personalization.models.churn import ChurnFamily
from personalization.models.engagement import EngagementFamily

log = logging.getLogger(__name__)

GROUP = "personalization.models"

OURS: tuple[Family, ...] = (EngagementFamily(), activity.FAMILY, value.FAMILY, rhythm.FAMILY, ChurnFamily())


def families(brought: Iterable[EntryPoint] | None = None) -> Mapping[str, Family]:
    """By model_id. A package that cannot be loaded is left out with a warning, so that it stops nobody's decisions.

    Raises MisconfiguredError where two families have one model_id.
    """
    found: dict[str, Family] = {}
    for family in (*OURS, *_loaded(entry_points(group=GROUP) if brought is None else brought)):
        if family.model_id in found:
            raise MisconfiguredError(f"Two families of models are called {family.model_id!r}: rename the one that you brought.")
        found[family.model_id] = family
    return MappingProxyType(found)


def _loaded(brought: Iterable[EntryPoint]) -> list[Family]:
    found = []
    for point in brought:
        try:
            loaded = point.load()
            family = loaded() if isinstance(loaded, type) else loaded
        except Exception:
            log.exception("the model %s is left out: it cannot be loaded from %s", point.name, point.value)
            continue
        if wants := _wanting(family):
            log.error("the model %s is left out: %s has no %s", point.name, point.value, ", ".join(wants))
            continue
        found.append(family)
    return found


def _wanting(family: Any) -> list[str]:
    """What it lacks of a Family."""
    verbs = [name for name in ("prior", "fit", "judge", "unpack") if not callable(getattr(family, name, None))]
    nouns = [name for name in ("model_id", "model_type", "scores", "least") if not hasattr(family, name)]
    return nouns + verbs + ([] if isinstance(getattr(family, "case", None), Case) else ["case"])
