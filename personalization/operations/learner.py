"""The learner keeps policies: a function of the log's sequence, joined to its decisions, published as snapshots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from personalization import telemetry
from personalization.clock import DAY, SECOND, Clock
from personalization.deciding.document import slot_at
from personalization.deciding.record import Inputs, Triple, decode_record
from personalization.learning.credit import CreditLedger
from personalization.learning.earning import OpenDecision, opening_reward
from personalization.learning.encoding import NOTHING_SENT, Taken, channel_key, signed
from personalization.learning.experience import ModelState
from personalization.learning.policy import encode_policy
from personalization.messages import LogEntry
from personalization.models.registry import PolicyBook
from personalization.operations.projector import Pages
from personalization.operations.rewarding import MetricOf, metrics
from personalization.profile import DECIDED
from personalization.storage.base import Mark, Storage
from personalization.vocabulary import EventType, LogType

LEARNER = "learner"

_PUBLISH_EVERY = SECOND
CHECKPOINT_EVERY = 5 * SECOND
#: A checkpoint that takes long is made less often: at most this share of the time goes into it.
_CHECKPOINT_SHARE = 0.02
_SNAPSHOTS_KEPT = 30 * DAY
_ENGAGEMENT = frozenset(str(t) for t in EventType)


class Learner:
    """Joins engagement to decisions, updates the statistics and publishes snapshots. Owned by one thread.

    checkpoint_every : microseconds between two checkpoints at least
    """

    def __init__(
        self, storage: Storage, book: PolicyBook, pages: Pages, clock: Clock, checkpoint_every: int = CHECKPOINT_EVERY
    ) -> None:
        self._storage, self._book, self._pages, self._clock = storage, book, pages, clock
        self._checkpoint_every = checkpoint_every
        self._ledgers: dict[str, _Kept] = {}
        self._rows = telemetry.FOLLOWER_SEQ.labels(LEARNER)
        self._published = telemetry.SNAPSHOTS.labels("published")

    def step(self, tenant_id: str) -> int:
        """Apply the next page, append what is due and apply that too, publish what changed; how many rows there were."""
        kept = self._kept(tenant_id)
        done, due = self._advance(tenant_id, kept)
        if due:
            done += self._advance(tenant_id, kept)[0]
        self._publish(tenant_id, kept)
        if done and kept.due(self._clock.now()):
            self._save(tenant_id, kept)
        return done + due

    def _advance(self, tenant_id: str, kept: _Kept) -> tuple[int, int]:
        """How many rows were applied, and how many appended because they were due."""
        rows = self._pages.read(tenant_id, kept.ledger.seq)
        for row in rows:
            apply(kept.ledger, row, kept.metric_of)
        self._rows.inc(len(rows))
        marks = self._due(kept, rows)
        if marks:
            self._storage.log.append_marks(tenant_id, marks, self._clock.now())
        return len(rows), len(marks)

    def save(self) -> None:
        """Checkpoint every ledger, so that the next learner begins here."""
        for tenant_id, kept in self._ledgers.items():
            self._save(tenant_id, kept)

    def forget(self) -> None:
        """Another process is the learner now; begin from its checkpoint if elected again."""
        self._ledgers.clear()

    def adopt(self, tenant_id: str, ledger: CreditLedger) -> None:
        """Go on from this ledger, which was learned anew from the same rows, and keep it at once."""
        before = self._kept(tenant_id)
        kept = _Kept(
            ledger,
            before.metric_of,
            saved=-1,
            saved_at=0,
            pause=0,
            published_at=before.published_at,
            pruned_at=before.pruned_at,
        )
        self._ledgers[tenant_id] = kept
        self._save(tenant_id, kept)

    def ledger(self, tenant_id: str) -> CreditLedger:
        return self._kept(tenant_id).ledger

    def _kept(self, tenant_id: str) -> _Kept:
        if tenant_id not in self._ledgers:
            known = self._storage.checkpoints.load(tenant_id, LEARNER)
            ledger = CreditLedger.unpack(known[1]) if known else CreditLedger()
            self._ledgers[tenant_id] = _Kept(
                ledger,
                metrics(self._storage, tenant_id),
                saved=ledger.seq,
                saved_at=self._clock.now(),
                pause=self._checkpoint_every,
            )
        return self._ledgers[tenant_id]

    def _due(self, kept: _Kept, rows: Iterable[LogEntry]) -> list[Mark]:
        """Exposures whose slot has come or that an event cited, and rewards whose wait is over."""
        now, ledger = self._clock.now(), kept.ledger
        kept.watch(rows)
        exposed = kept.take_exposed(now)
        matured = kept.take_matured(now)
        marks = [Mark(type=LogType.EXPOSED, at=now, body={"seqs": exposed})] if exposed else []
        if matured:
            marks.append(Mark(type=LogType.REWARD_MATURED, at=now, body={"seqs": [s for s in matured if s in ledger.open]}))
        return marks

    def _publish(self, tenant_id: str, kept: _Kept) -> None:
        now = self._clock.now()
        for model_id, model in kept.ledger.models.items():
            if not model.worth_publishing() or abs(now - kept.published_at.get(model_id, -_PUBLISH_EVERY)) < _PUBLISH_EVERY:
                continue
            body = published(kept.ledger, model)
            self._book.put(self._storage.snapshots.publish(tenant_id, model_id, kept.ledger.seq, now, body))
            model.changed = 0.0
            kept.published_at[model_id] = now
            self._published.inc()
            if now - kept.pruned_at > DAY:
                kept.pruned_at = now
                self._storage.snapshots.prune(now - _SNAPSHOTS_KEPT)

    def _save(self, tenant_id: str, kept: _Kept) -> None:
        if kept.ledger.seq != kept.saved:
            began = self._clock.monotonic()
            self._storage.checkpoints.save(tenant_id, LEARNER, kept.ledger.seq, kept.ledger.pack())
            kept.saved = kept.ledger.seq
            took = int((self._clock.monotonic() - began) * SECOND)
            kept.saved_at, kept.pause = self._clock.now(), max(self._checkpoint_every, int(took / _CHECKPOINT_SHARE))


@dataclass
class _Kept:
    """A ledger and what the clock is waited for: not part of what is learned, made again from the ledger.

    saved : seq of the last checkpoint, made at saved_at; the next one comes after a pause
    """

    ledger: CreditLedger
    metric_of: MetricOf
    saved: int
    saved_at: int
    pause: int
    published_at: dict[str, int] = field(default_factory=dict)
    pruned_at: int = 0
    _slots: list[tuple[int, int]] = field(default_factory=list)
    _waits: list[tuple[int, int]] = field(default_factory=list)
    _cited: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        for decision in self.ledger.open.values():
            self._wait_for(decision)

    def due(self, now: int) -> bool:
        """Whether a checkpoint may be made; also where the clock was set back."""
        return abs(now - self.saved_at) >= self.pause

    def watch(self, rows: Iterable[LogEntry]) -> None:
        for row in rows:
            if row.type == DECIDED:
                seq: int | None = row.seq
            elif row.type == LogType.ACTIVATED and row.body is not None:
                seq = row.body["seq"]
            else:
                seq = self.ledger.by_id.get(row.decision_id) if row.decision_id is not None else None
                if seq is not None and row.type in _ENGAGEMENT:
                    self._cite(self.ledger.open[seq])
                continue
            if seq in self.ledger.open:
                self._wait_for(self.ledger.open[seq])

    def take_exposed(self, now: int) -> list[int]:
        taken = set(self._cited)
        self._cited.clear()
        taken.update(_popped(self._slots, now))
        is_open = self.ledger.open
        return sorted(seq for seq in taken if seq in is_open and is_open[seq].active and not is_open[seq].exposed)

    def take_matured(self, now: int) -> list[int]:
        return sorted({seq for seq in _popped(self._waits, now) if seq in self.ledger.open})

    def _cite(self, decision: OpenDecision) -> None:
        if not decision.exposed:
            self._cited.add(decision.seq)
        if decision.final:
            heappush(self._waits, (0, decision.seq))

    def _wait_for(self, decision: OpenDecision) -> None:
        if decision.active and not decision.exposed:
            heappush(self._slots, (decision.slot_at, decision.seq))
        heappush(self._waits, (0 if decision.final else decision.matures_at, decision.seq))


def _popped(heap: list[tuple[int, int]], now: int) -> list[int]:
    taken = []
    while heap and heap[0][0] <= now:
        taken.append(heappop(heap)[1])
    return taken


def published(ledger: CreditLedger, model: ModelState) -> bytes:
    """The body of its next snapshot."""
    burden = ledger.losses.burden(model.harm)
    return encode_policy(model.rewards, model.counts, burden, model.variants, model.unsent, model.lately)


def apply(ledger: CreditLedger, row: LogEntry, metric_of: MetricOf) -> None:
    """The ledger once this row is known. metric_of: how rewards were counted when a decision was made."""
    ledger.seq = row.seq
    if row.type == DECIDED:
        decision = opened(row, metric_of)
        if decision is not None:
            ledger.decided(decision)
    elif row.type in _ENGAGEMENT and row.decision_id is not None:
        found = ledger.open.get(ledger.by_id.get(row.decision_id, -1))
        if found is not None:
            metric = metric_of(found.config_version, found.template)
            ledger.engaged(row.decision_id, row.type, row.reward_key, _value(row, metric.currency), metric.reward, row.at)
    elif row.body is None:
        return
    elif row.type == LogType.EXPOSED:
        ledger.exposed(row.body["seqs"])
    elif row.type == LogType.REWARD_MATURED:
        ledger.matured(row.body["seqs"])
    elif row.type == LogType.ACTIVATED:
        ledger.activated(row.body["seq"])
    elif row.type == LogType.DISCARDED:
        ledger.discarded(row.body["seq"])


def taken(inputs: Inputs, chosen: Triple) -> Taken:
    """What was sent, as learning sees it."""
    channel, habits = inputs.channels[chosen.channel], inputs.habits
    return Taken(
        variant=inputs.candidates[chosen.variant].actions,
        channel=channel_key(channel.name),
        hour=inputs.hours[chosen.slot],
        preference=channel.preference,
        habit=signed(habits[chosen.slot]) if habits else 0,
        load=inputs.load,
        shown=inputs.shown[chosen.variant] if inputs.shown else 0,
    )


def _value(row: LogEntry, currency: str) -> float | None:
    """A given reward, or an amount where it is one in this currency."""
    counts = row.type == EventType.REWARDED or row.currency in (None, currency)
    return row.value if counts else None


def opened(row: LogEntry, metric_of: MetricOf) -> OpenDecision | None:
    """What the learner keeps of a decision; None for one that may not be learned from."""
    if row.record is None or row.decision_id is None:
        return None
    record = decode_record(row.record)
    chosen = record.outcome.chosen
    if not record.trains:
        return None
    template = None if record.template_id is None else (record.template_id, record.template_version or 0)
    spec = metric_of(record.config_version, template).reward
    at = record.inputs.now if chosen is None else slot_at(record.inputs, chosen)
    return OpenDecision(
        seq=row.seq,
        decision_id=row.decision_id,
        model_id=record.inputs.model_id,
        user_ref=row.user_ref,
        context=record.inputs.features,
        action=NOTHING_SENT if chosen is None else taken(record.inputs, chosen),
        slot_at=at,
        matures_at=at + spec.wait_time,
        config_version=record.config_version,
        active=row.active,
        reward=opening_reward(spec),
        template=template,
    )
