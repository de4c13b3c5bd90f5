"""Model cards made by the machine (Mitchell et al. 2019, "Model cards for model reporting"): sections of figures and sentences,
and the same as Markdown for people. Whatever a card says is read from the version, nothing is written by hand but what the
family says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import getmodule
from typing import Any

from personalization.models.base import Case, Family

Document = dict[str, Any]

_CASES = {
    Case.SEND: "one case is a send that reached its time, with what was known before it and what came of it",
    Case.PERSON: "one case is a person at a moment, with what was known then and what they did in the weeks after",
}


_IN_TIME = "judged on the last fifth of the cases in time; what was not known before the first of them did not teach"
_AT_RANDOM = "judged on a fifth of the rows drawn at random, since they have no time"


def card(told: Mapping[str, Any], family: Family) -> Document:
    """Of a version as `ModelLife.told` tells it."""
    lineage, gate = told.get("lineage") or {}, told.get("gate")
    sections = {
        "details": {
            name: told[name] for name in ("model_id", "model_type", "version", "status", "created_at", "digest") if name in told
        },
        "intended_use": _use(family),
        "training_data": {**lineage, "case": _CASES[family.case]},
        "evaluation": {
            "protocol": _AT_RANDOM if lineage.get("file") and not lineage.get("from") else _IN_TIME,
            "performance_metrics": told["performance_metrics"],
            "base_rates": told.get("base_rates", {}),
            "calibration": told.get("calibration", {}),
            "since": told.get("evaluation"),
        },
        "promotion": gate or {},
        "monitoring": told.get("monitoring") or {},
        "caveats": list(_caveats(told, lineage)),
    }
    return {"model_id": told["model_id"], "version": told["version"], **sections, "markdown": _markdown(sections, told)}


def policy_card(told: Mapping[str, Any]) -> Document:
    """Of a policy, which learns within a second of every event and has a snapshot where others have versions."""
    sections = {
        "details": {name: told[name] for name in ("model_id", "model_type", "version", "status")},
        "intended_use": "Chooses whether, what, by which channel and when to send, for the messages of one template.",
        "training_data": {
            "case": "one case is a decision that was exposed, with its reward once the wait is over",
            "cases": told["performance_metrics"].get("decisions"),
        },
        "evaluation": {
            "protocol": "POST /ai/models/{model_id}/evaluate judges it off-policy on the tenant's own log",
            "performance_metrics": told["performance_metrics"],
        },
        "promotion": {},
        "monitoring": {},
        "caveats": [
            "It explores by chance, with the propensities that every decision shows.",
            "Rates are of what it sent itself; what it would earn elsewhere, off-policy evaluation and the holdout say.",
        ],
    }
    return {"model_id": told["model_id"], "version": told["version"], **sections, "markdown": _markdown(sections, told)}


def _use(family: Family) -> str:
    written = type(family).__doc__ or ""
    told = getmodule(type(family)).__doc__ if written.startswith(f"{type(family).__name__}(") else written
    about = " ".join((told or "").strip().partition("\n\n")[0].split())
    return f"{about} Predicts {', '.join(family.scores)}; used for scores, segments and analysis, not to refuse anybody anything."


def _caveats(told: Mapping[str, Any], lineage: Mapping[str, Any]) -> Iterable[str]:
    if not lineage:
        yield "Nobody's data taught this version: its figures are those of the prior, taken from the source its family names."
        return
    yield f"Everything comes from {lineage['people']:,} people of one tenant; it says nothing of people unlike them."
    yield "Cases of one person are not independent; intervals count people."
    if lineage.get("file"):
        yield "It was taught from a file: columns that are no traits of a profile are missing when it scores."
    base, metrics = told.get("base_rates", {}), told["performance_metrics"]
    if weak := [name for name in base if name.endswith("log_loss") and _no_better(metrics[name], base[name])]:
        yield f"It is no better than one prediction for all in {', '.join(weak)}."


def _no_better(figure: float | None, base: float | None) -> bool:
    return figure is not None and base is not None and figure >= base


def _markdown(sections: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    lines = [f"# {told['model_id']}, version {told['version']}"]
    lines += [*told.get("report", ())]
    for name, section in sections.items():
        lines += ["", f"## {name.replace('_', ' ').capitalize()}", *_lines(section)]
    return "\n".join(lines) + "\n"


def _lines(section: Any) -> list[str]:
    if isinstance(section, str):
        return [section]
    if isinstance(section, Mapping):
        return [
            f"- {name.replace('_', ' ')}: {_plain(value)}" for name, value in section.items() if value not in (None, {}, [])
        ] or ["-"]
    return [f"- {one}" for one in section] or ["-"]


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(f"({_plain(one)})" if isinstance(one, (list, tuple)) else _plain(one) for one in value)
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
