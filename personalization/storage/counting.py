"""How counts of a log become a Summary, whatever kept them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from personalization.clock import MINUTE, to_datetime, zone
from personalization.storage.base import Summary
from personalization.vocabulary import Action, EventType

#: Every zone's day begins on a multiple of this, so counts per quarter can be put into days.
QUARTER = 15 * MINUTE
#: So many qualities are handed out at most, the newest.
MOST_QUALITIES = 100_000


@dataclass(frozen=True)
class DecisionCount:
    """Decisions of one quarter alike in action and suppression; engaged and converted count those cited."""

    quarter: int
    action: str
    suppression: str | None
    n: int
    engaged: int
    converted: int
    quality: float
    with_quality: int


@dataclass(frozen=True)
class EventCount:
    """Events of one quarter and type, with the sum of their values and of those that cite a decision."""

    quarter: int
    type: str
    n: int
    value: float
    cited_value: float


Arm = tuple[bool, int, int, int, float, float, float]


def summary_of(
    decisions: Iterable[DecisionCount],
    events: Iterable[EventCount],
    arms: Iterable[Arm],
    qualities: Iterable[float],
    zone_name: str,
) -> Summary:
    of_decisions, of_events = list(decisions), list(events)
    sends = [c for c in of_decisions if c.action == Action.SEND]
    bought = [c for c in of_events if c.type == EventType.CONVERTED]
    with_quality = sum(c.with_quality for c in of_decisions)
    return Summary(
        decisions=sum(c.n for c in of_decisions),
        sends=sum(c.n for c in sends),
        suppressions=_totals((c.suppression, c.n) for c in of_decisions if c.suppression is not None),
        events=_totals((c.type, c.n) for c in of_events),
        revenue=sum(c.value for c in bought),
        attributed_revenue=sum(c.cited_value for c in bought),
        engaged_sends=sum(c.engaged for c in sends),
        converted_sends=sum(c.converted for c in sends),
        quality_mean=sum(c.quality for c in of_decisions) / with_quality if with_quality else None,
        qualities=tuple(qualities),
        series=_series(of_decisions, of_events, zone_name),
        arms=tuple(sorted(arms)),
    )


def _totals(counts: Iterable[tuple[str | None, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for name, n in counts:
        totals[str(name)] = totals.get(str(name), 0) + n
    return dict(sorted(totals.items()))


def _series(decisions: list[DecisionCount], events: list[EventCount], zone_name: str) -> tuple[Mapping[str, Any], ...]:
    """A row of each local day on which something happened."""
    days: dict[str, dict[str, Any]] = {}

    def day(quarter: int) -> dict[str, Any]:
        date = to_datetime(quarter * QUARTER, zone(zone_name)).date().isoformat()
        nothing = {"date": date, "decisions": 0, "sends": 0, "engaged": 0, "converted": 0, "events": 0, "revenue": 0.0}
        return days.setdefault(date, nothing)

    for count in decisions:
        row, send = day(count.quarter), count.action == Action.SEND
        row["decisions"] += count.n
        if send:
            row["sends"] += count.n
            row["engaged"] += count.engaged
            row["converted"] += count.converted
    for event in events:
        row = day(event.quarter)
        row["events"] += event.n
        if event.type == EventType.CONVERTED:
            row["revenue"] += event.value
    return tuple(days[date] for date in sorted(days))
