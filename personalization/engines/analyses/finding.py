"""What every analysis answers: a finding, and the patterns behind it.

An analysis is a pure function (profile, now, scores) -> Finding. `scores` are the predictive scores of that person at that
time, so that whoever predicts better changes no analysis. The summary says only what is sure, or seems so; `patterns` hold
the numbers of everything looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from personalization.profile import PersonalizationProfile

Finding = dict[str, Any]
Scores = Mapping[str, Any]
Analysis = Callable[[PersonalizationProfile, int, Scores], Finding]

#: What is at least so probable is said, and what is said to seem so.
SURE, LIKELY = 0.95, 0.8
#: Share of sends below which somebody engages rarely, and from which on often.
RARELY, OFTEN = 0.2, 0.5


def finding(strength: float, evidence: float, summary: str, implication: str, patterns: list[Finding]) -> Finding:
    return {
        "summary": summary,
        "strength": round(strength, 4),
        "evidence": round(evidence, 4),
        "implication": implication,
        "patterns": patterns,
    }


def pattern(name: str, words: str, probability: float | None, **numbers: Any) -> Finding:
    """probability: that the pattern is there; None where `words` only say what was recorded."""
    return {"name": name, "words": words, "probability": _rounded(probability), **{key: _rounded(n) for key, n in numbers.items()}}


def _rounded(number: Any) -> Any:
    return round(number, 4) if isinstance(number, float) else number


def percent(share: float) -> str:
    """
    >>> percent(0.314), percent(0.004), percent(0.0), percent(0.999)
    ('31 %', 'less than 1 %', '0 %', 'over 99 %')
    """
    if 0.0 < share < 0.005:
        return "less than 1 %"
    return "over 99 %" if 0.995 <= share < 1.0 else f"{share:.0%}".replace("%", " %")


def days(length: float) -> str:
    """A length in days.

    >>> days(0.04), days(0.5), days(1.0), days(3.24), days(45.4)
    ('1 hour', '12 hours', '1 day', '3.2 days', '45 days')
    """
    if length < 1.0:
        return _counted(max(round(24 * length), 1), "hour")
    return _counted(round(length, 1) if length < 10.0 else round(length), "day")


def _counted(number: float, unit: str) -> str:
    return f"{number:g} {unit}" if number == 1 else f"{number:g} {unit}s"


def listed(words: list[str]) -> str:
    """
    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
