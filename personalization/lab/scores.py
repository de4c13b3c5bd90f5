"""One figure of a quality measurement, with what it has to be held against."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Score:
    """low, high: a 95 % interval. peer: what others reach on this task. base_rate: what doing nothing clever reaches.

    must : what is asked for, at least (at most where `at_most`); None where a figure is only reported
    curve: (x, y) points that the value sums up, where a page can draw them
    """

    task: str
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    peer: float | None = None
    base_rate: float | None = None
    must: float | None = None
    at_most: bool = False
    curve: tuple[tuple[float, float], ...] = ()

    @property
    def met(self) -> bool | None:
        """None where nothing is asked."""
        if self.must is None:
            return None
        return self.value <= self.must if self.at_most else self.value >= self.must

    def document(self) -> dict[str, Any]:
        """task, metric, value, low, high, peer, base_rate, must, met."""
        row = asdict(self)
        del row["at_most"], row["curve"]
        return {**row, "met": self.met}
