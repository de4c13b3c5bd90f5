"""One figure of a quality measurement, with what it has to be held against."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any


class Curve(StrEnum):
    """What the points of a curve are."""

    QINI = "qini"
    CALIBRATION = "calibration"
    LEARNING = "learning"


#: A peer's figure that was not measured here.
PUBLISHED = "published"


@dataclass(frozen=True, kw_only=True)
class Score:
    """low, high: a 95 % interval. peer: what others reach on this task. base_rate: what doing nothing clever reaches.

    peer_of: who the peer is, measured in the same run on the same rows, or "published": read elsewhere, of the whole log
    must : what is asked for, at least (at most where `at_most`); None where a figure is only reported
    note : why it was missed
    curve: (x, y) points that the value sums up or ends, where a page can draw them; drawn: which curve that is
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
    peer_of: str = PUBLISHED
    note: str = ""
    curve: tuple[tuple[float, float], ...] = ()
    drawn: Curve = Curve.QINI

    @property
    def met(self) -> bool | None:
        """None where nothing is asked."""
        if self.must is None:
            return None
        return self.value <= self.must if self.at_most else self.value >= self.must

    def beside(self, peer_of: str, peer: float) -> Score:
        """Held against a peer that was measured."""
        return replace(self, peer=peer, peer_of=peer_of)

    def document(self) -> dict[str, Any]:
        """task, metric, value, low, high, peer, base_rate, must, met, peer_of (None without a peer), note."""
        row = {name: value for name, value in asdict(self).items() if name not in ("at_most", "curve", "drawn", "peer_of", "note")}
        return {**row, "met": self.met, "peer_of": None if self.peer is None else self.peer_of, "note": self.note}
