"""What happened to a tenant's people, read once from the log and told as cases: each as it was known at its moment.

Both readers take the rows in order of sequence, one by one. Neither keeps more than so many cases.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from personalization.clock import DAY, MINUTE
from personalization.deciding.document import slot_at
from personalization.deciding.record import Record, decode_record
from personalization.learning.tables import Value
from personalization.messages import LogEntry
from personalization.models.features import features_of
from personalization.operations.rewarding import MetricOf
from personalization.profile import DECIDED, Patterns, PersonalizationProfile
from personalization.vocabulary import ENGAGED_TYPES, EventType, LogType, Mode

#: Cut dates of people at most.
CUTS = 6
_ENGAGED = frozenset(str(one) for one in ENGAGED_TYPES)
_SEEN = {*_ENGAGED, str(EventType.UNSUBSCRIBED)}

People = Mapping[bytes, PersonalizationProfile]


#: Names and values of features; a dict of each would take thrice the room.
Known = tuple[tuple[str, ...], tuple[Value, ...]]


class Told(NamedTuple):
    """One case. until : microseconds, when its outcomes were over"""

    at: int
    until: int
    user_ref: bytes
    known: Known
    outcomes: Mapping[str, float]


# -- sends -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Send:
    """until : when the wait for its reward is over"""

    at: int
    until: int
    user_ref: bytes
    active: bool
    known: Known
    seen: set[str] = field(default_factory=set)


class Sends:
    """The newest `most` sends of these people, each with what was known of the person before the row of its decision.

    A send counts once it went out (active, its slot past) and the wait of its reward is over: an event counts that cites it and
    happened before. Messages of holdouts and of those who keep to the baseline were sent like any other; fallbacks were not
    meant to be.
    """

    def __init__(self, people: People, metric_of: MetricOf, now: int, most: int) -> None:
        self._people, self._metric_of, self._now, self._most = people, metric_of, now, most
        self._patterns: dict[bytes, Patterns] = {}
        self._sends: deque[tuple[str, _Send]] = deque()
        self._by_id: dict[str, _Send] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def read(self, row: LogEntry) -> None:
        if row.user_ref is None or row.user_ref not in self._people:
            return
        before = self._patterns.get(row.user_ref) or Patterns()
        if row.type == DECIDED and row.record is not None and row.channel is not None:
            self._decided(row, row.user_ref, decode_record(row.record), before)
        elif row.decision_id in self._by_id:
            self._happened(row, self._by_id[row.decision_id])
        self._patterns[row.user_ref] = before.after(row)

    def told(self) -> Iterator[Told]:
        for _, send in self._sends:
            if send.active and send.until <= self._now:
                outcomes = {kind: float(kind in send.seen) for kind in sorted(_SEEN)}
                outcomes["engaged"] = float(not send.seen.isdisjoint(_ENGAGED))
                yield Told(send.at, send.until, send.user_ref, send.known, outcomes)

    def _decided(self, row: LogEntry, user_ref: bytes, record: Record, before: Patterns) -> None:
        if record.mode == Mode.FALLBACK or record.outcome.chosen is None or row.decision_id is None:
            return
        template = None if record.template_id is None else (record.template_id, record.template_version or 0)
        until = slot_at(record.inputs, record.outcome.chosen) + self._metric_of(record.config_version, template).reward.wait_time
        at = record.inputs.now
        send = _Send(at, until, user_ref, row.active, _known(self._people[user_ref], before, at, self._names))
        self._sends.append((row.decision_id, send))
        self._by_id[row.decision_id] = send
        if len(self._sends) > self._most:
            del self._by_id[self._sends.popleft()[0]]

    def _happened(self, row: LogEntry, send: _Send) -> None:
        if row.type in (LogType.ACTIVATED, LogType.DISCARDED):
            send.active = row.type == LogType.ACTIVATED
        elif row.type in _SEEN and row.at <= send.until:
            send.seen.add(row.type)


# -- people ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Lived:
    """What a person did between two cuts."""

    active: set[int] = field(default_factory=set)
    bought: set[int] = field(default_factory=set)
    spend: float = 0.0


class Lives:
    """These people at cut dates a horizon apart, the newest one horizon before `now`, and what they did until the next one.

    Everybody is a case of whom anything was known then. A row counts as known when it happened, not when it came in, so that
    history that was imported teaches too; what was reported late was therefore known a little too early.
    """

    def __init__(self, people: People, now: int, horizon: int) -> None:
        self._people, self._horizon = people, horizon
        self._cuts = [now - k * horizon for k in range(CUTS, 0, -1)]
        self._patterns: dict[bytes, list[Patterns]] = {}
        self._lived: dict[tuple[bytes, int], _Lived] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def read(self, row: LogEntry) -> None:
        if row.user_ref is None or row.user_ref not in self._people:
            return
        span = (row.at - self._cuts[0]) // self._horizon + 1
        if span > CUTS:
            return
        if span >= 0 and row.type in _ENGAGED:
            self._live(row, row.user_ref, span)
        if span < CUTS:
            self._learn(row, row.user_ref, max(span, 0))

    def told(self) -> Iterator[Told]:
        for k, cut in enumerate(self._cuts):
            for user_ref, patterns in self._patterns.items():
                then = patterns[min(k, len(patterns) - 1)]
                if then.events or then.sends:
                    known = _known(self._people[user_ref], then, cut, self._names)
                    yield Told(cut, cut + self._horizon, user_ref, known, self._outcomes(user_ref, k))

    def _learn(self, row: LogEntry, user_ref: bytes, span: int) -> None:
        """patterns[k] is what was known at the k-th cut; a late row is known at every cut since it happened."""
        patterns = self._patterns.setdefault(user_ref, [Patterns()])
        patterns.extend([patterns[-1]] * (span + 1 - len(patterns)))
        for k in range(span, len(patterns)):
            patterns[k] = patterns[k].after(row)

    def _live(self, row: LogEntry, user_ref: bytes, span: int) -> None:
        lived = self._lived.setdefault((user_ref, span), _Lived())
        day = (row.at + row.zone_offset * MINUTE) // DAY
        lived.active.add(day)
        if row.type == EventType.CONVERTED and row.value is not None and row.value > 0.0:
            lived.bought.add(day)
            lived.spend += row.value

    def _outcomes(self, user_ref: bytes, k: int) -> dict[str, float]:
        """churned: NaN where they were not active before either."""
        before, after = self._lived.get((user_ref, k)), self._lived.get((user_ref, k + 1), _Lived())
        return {
            "active_days": float(len(after.active)),
            "purchases": float(len(after.bought)),
            "spend": after.spend,
            "churned": float("nan") if before is None else float(not after.active),
        }


def _known(person: PersonalizationProfile, patterns: Patterns, at: int, names: dict[tuple[str, ...], tuple[str, ...]]) -> Known:
    """Names of equal cases are kept once."""
    found = features_of(replace(person, patterns=patterns), at)
    listed = tuple(found)
    return names.setdefault(listed, listed), tuple(found.values())
