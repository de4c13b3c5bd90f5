"""The followers of the log: the projector keeps profiles, the learner keeps policies. Both are functions of the sequence."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from heapq import heappop, heappush
from threading import Event, Thread

import msgspec

from personalization import telemetry
from personalization.cache import CachedProfiles
from personalization.clock import DAY, SECOND, Clock
from personalization.deciding.document import slot_at
from personalization.deciding.features import QUANTUM
from personalization.deciding.record import decode_record
from personalization.errors import PersonalizationError
from personalization.learning.bandits import encode_policy
from personalization.learning.credit import CreditLedger, OpenDecision, opening_reward
from personalization.messages import LogEntry
from personalization.models.registry import PolicyBook
from personalization.profile import DECIDED, Patterns, PersonalizationProfile
from personalization.recent import Recent
from personalization.storage.base import Mark, Storage
from personalization.tenant import RewardSpec
from personalization.vocabulary import EventType, LogType

log = logging.getLogger(__name__)

PROJECTOR, LEARNER = "projector", "learner"

#: Seconds between two looks at the log.
PAUSE = 0.2
_ROWS = 1_000
_PUBLISH_EVERY = SECOND
_CHECKPOINT_EVERY = 5 * SECOND
#: A checkpoint that takes long is made less often: at most this share of the time goes into it.
_CHECKPOINT_SHARE = 0.02
#: Profiles whose patterns the projector remembers.
_KNOWN = 50_000
_SNAPSHOTS_KEPT = 30 * DAY
_ENGAGEMENT = frozenset(str(t) for t in EventType)
#: Rows after which a profile kept in memory may no longer be what is declared, since another process may have written.
_DECLARING = frozenset(
    {LogType.PROFILE_UPDATED, LogType.CONSENT_CHANGED, EventType.UNSUBSCRIBED, EventType.COMPLAINED, EventType.BOUNCED}
)

#: Told the profiles that changed and why they are to be looked at anew.
Changed = Callable[[str, list[PersonalizationProfile]], None]


class Pages:
    """The log, page by page. Followers that stand at the same row share one reading."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._last: tuple[str, int, list[LogEntry]] = ("", 0, [])

    def read(self, tenant_id: str, after: int) -> list[LogEntry]:
        if self._last[:2] != (tenant_id, after) or not self._last[2]:
            self._last = (tenant_id, after, self._storage.log.read(tenant_id, after, _ROWS))
        return self._last[2]


class Projector:
    """Brings profiles up to the log, row by row in its order."""

    def __init__(self, storage: Storage, profiles: CachedProfiles, pages: Pages, changed: Changed) -> None:
        self._storage, self._profiles, self._pages, self._changed = storage, profiles, pages, changed
        self._rows = telemetry.FOLLOWER_SEQ.labels(PROJECTOR)
        self.forget()

    def step(self, tenant_id: str) -> int:
        """Apply the next page; how many rows it had."""
        at = self._at.get(tenant_id)
        if at is None:
            known = self._storage.checkpoints.load(tenant_id, PROJECTOR)
            at = self._at[tenant_id] = known[0] if known else 0
        rows = self._pages.read(tenant_id, at)
        if not rows:
            return 0
        users = {row.user_ref for row in rows if row.user_ref is not None}
        before = self._load(tenant_id, users)
        after = project(before, rows)
        touched = [profile for ref, profile in after.items() if profile.patterns is not before[ref].patterns]
        if self._profiles.project(tenant_id, touched, rows[-1].seq, at):
            self._at[tenant_id] = rows[-1].seq
            self._profiles.forget(tenant_id, [row.user_ref for row in rows if row.type in _DECLARING and row.user_ref is not None])
            for profile in touched:
                self._known.put((tenant_id, profile.user_ref), replace(profile, triggers=()))
            self._rows.inc(len(rows))
            self._changed(tenant_id, touched)
        else:
            self.forget()
        return len(rows)

    def forget(self) -> None:
        """Another process projects now; begin from its checkpoint if elected again."""
        self._at: dict[str, int] = {}
        self._known: Recent[tuple[str, bytes], PersonalizationProfile] = Recent(_KNOWN)

    def _load(self, tenant_id: str, user_refs: Iterable[bytes]) -> dict[bytes, PersonalizationProfile]:
        """The profiles with their patterns as last projected. Nobody else changes patterns, so those are remembered."""
        found, missing = {}, []
        for user_ref in user_refs:
            known = self._known.get((tenant_id, user_ref))
            if known is None:
                missing.append(user_ref)
            else:
                found[user_ref] = known
        if missing:
            found.update(self._storage.profiles.load(tenant_id, missing))
        return found


def project(profiles: dict[bytes, PersonalizationProfile], rows: Iterable[LogEntry]) -> dict[bytes, PersonalizationProfile]:
    """The profiles once these rows are known; rows of users without a profile are passed over."""
    after = dict(profiles)
    for row in rows:
        if row.user_ref is not None and row.user_ref in after:
            after[row.user_ref] = after[row.user_ref].after(row)
    return after


class Learner:
    """Joins engagement to decisions, updates the statistics and publishes snapshots. Owned by one thread."""

    def __init__(self, storage: Storage, book: PolicyBook, pages: Pages, clock: Clock) -> None:
        self._storage, self._book, self._pages, self._clock = storage, book, pages, clock
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
        if done and self._clock.now() >= kept.save_at:
            self._save(tenant_id, kept)
        return done + due

    def _advance(self, tenant_id: str, kept: _Kept) -> tuple[int, int]:
        """How many rows were applied, and how many appended because they were due."""
        rows = self._pages.read(tenant_id, kept.ledger.seq)
        reward_of = self._reward_of(tenant_id)
        for row in rows:
            apply(kept.ledger, row, reward_of)
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

    def ledger(self, tenant_id: str) -> CreditLedger:
        return self._kept(tenant_id).ledger

    def _kept(self, tenant_id: str) -> _Kept:
        if tenant_id not in self._ledgers:
            known = self._storage.checkpoints.load(tenant_id, LEARNER)
            ledger = CreditLedger.unpack(known[1]) if known else CreditLedger()
            self._ledgers[tenant_id] = _Kept(ledger, saved=ledger.seq, save_at=self._clock.now() + _CHECKPOINT_EVERY)
        return self._ledgers[tenant_id]

    def _reward_of(self, tenant_id: str) -> Callable[[int], RewardSpec]:
        return lambda version: self._storage.tenants.config(tenant_id, version).reward

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
            if not model.worth_publishing() or now - kept.published_at.get(model_id, -_PUBLISH_EVERY) < _PUBLISH_EVERY:
                continue
            body = encode_policy(model.statistics, model.counts)
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
            kept.save_at = self._clock.now() + max(_CHECKPOINT_EVERY, int(took / _CHECKPOINT_SHARE))


@dataclass
class _Kept:
    """A ledger and what the clock is waited for: not part of what is learned, made again from the ledger."""

    ledger: CreditLedger
    saved: int
    save_at: int
    published_at: dict[str, int] = field(default_factory=dict)
    pruned_at: int = 0
    _slots: list[tuple[int, int]] = field(default_factory=list)
    _waits: list[tuple[int, int]] = field(default_factory=list)
    _cited: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        for decision in self.ledger.open.values():
            self._wait_for(decision)

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


def apply(ledger: CreditLedger, row: LogEntry, reward_of: Callable[[int], RewardSpec]) -> None:
    """The ledger once this row is known. reward_of: config version -> how rewards were counted then."""
    ledger.seq = row.seq
    if row.type == DECIDED:
        decision = opened(row, reward_of)
        if decision is not None:
            ledger.decided(decision)
    elif row.type in _ENGAGEMENT and row.decision_id is not None:
        found = ledger.open.get(ledger.by_id.get(row.decision_id, -1))
        if found is not None:
            ledger.engaged(row.decision_id, row.type, row.reward_key, row.value, reward_of(found.config_version))
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


def opened(row: LogEntry, reward_of: Callable[[int], RewardSpec]) -> OpenDecision | None:
    """What the learner keeps of a decision; None for one that may not be learned from."""
    if row.channel is None or row.record is None or row.decision_id is None:
        return None
    record = decode_record(row.record)
    chosen = record.outcome.chosen
    if not record.trains or chosen is None:
        return None
    spec = reward_of(record.config_version)
    at = slot_at(record.inputs, chosen)
    return OpenDecision(
        seq=row.seq,
        decision_id=row.decision_id,
        model_id=record.inputs.model_id,
        user_ref=row.user_ref,
        context=tuple((key, value * QUANTUM) for key, value in record.inputs.features),
        action=record.inputs.candidates[chosen.variant].actions,
        slot_at=at,
        matures_at=at + spec.wait_time,
        config_version=record.config_version,
        active=row.active,
        reward=opening_reward(spec),
    )


class Followers:
    """The thread that follows the log: as leader it projects and learns, else it takes over what the leader did.

    It looks every PAUSE seconds, so that many rows share a look, and at once again after a full page.
    """

    def __init__(
        self, storage: Storage, profiles: CachedProfiles, book: PolicyBook, projector: Projector, learner: Learner
    ) -> None:
        self._storage, self._profiles, self._book = storage, profiles, book
        self._projector, self._learner = projector, learner
        self._seen: dict[str, int] = {}
        self._stop = Event()
        self._failures = telemetry.FOLLOWER_FAILURES.labels("followers")
        self._thread: Thread | None = None
        self._leading = False

    def start(self) -> None:
        self._stop.clear()
        self._thread = Thread(target=self._run, name="followers", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Stop after the step in hand, keep what was learned, let another process lead."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)
        if self._leading:
            self._learner.save()
        self._storage.election.release()

    def step(self) -> int:
        """One look at every tenant; how many rows there were at most. For tests and tools without the thread."""
        if self._storage.election.hold():
            self._leading = True
            return max(map(self._lead, self._storage.log.heads()), default=0)
        if self._leading:
            self._leading = False
            self._projector.forget()
            self._learner.forget()
        self._book.refresh()
        return max(map(self._watch, self._storage.log.heads()), default=0)

    def _lead(self, tenant_id: str) -> int:
        return max(self._projector.step(tenant_id), self._learner.step(tenant_id))

    def _watch(self, tenant_id: str) -> int:
        """Forget the cached profiles that the leader projected since the last look."""
        known = self._storage.checkpoints.load(tenant_id, PROJECTOR)
        head, seen = (known[0] if known else 0), self._seen.get(tenant_id, 0)
        if head <= seen:
            return 0
        seen = seen or max(0, head - _ROWS)
        rows = self._storage.log.read(tenant_id, seen, min(head - seen, _ROWS))
        self._profiles.forget(tenant_id, {row.user_ref for row in rows if row.user_ref is not None})
        self._seen[tenant_id] = rows[-1].seq if rows else head
        return len(rows)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                rows = self.step()
            except PersonalizationError as failure:
                self._failures.inc()
                log.warning("followers wait: %s", failure)
                rows = 0
            except Exception:
                self._failures.inc()
                log.exception("followers wait")
                rows = 0
            if rows < _ROWS:
                self._stop.wait(PAUSE)


# -- rebuilding ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RebuildCheck:
    seq: int
    live_hash: str
    rebuilt_hash: str

    @property
    def identical(self) -> bool:
        return self.live_hash == self.rebuilt_hash


def rebuild(storage: Storage, tenant_id: str, progress: Callable[[int, int], None] = lambda done, total: None) -> RebuildCheck:
    """Derive patterns and ledger from the log's first row and hash them beside the live ones, each at its checkpoint."""
    projected = storage.checkpoints.load(tenant_id, PROJECTOR)
    learned = storage.checkpoints.load(tenant_id, LEARNER)
    until, ledger_until = (projected[0] if projected else 0), (learned[0] if learned else 0)
    live = _profiles_hash(storage, tenant_id), (CreditLedger.unpack(learned[1]) if learned else CreditLedger()).digest()
    ledger, profiles = CreditLedger(), _blank(storage, tenant_id)
    at, last = 0, max(until, ledger_until)
    while at < last:
        rows = storage.log.read(tenant_id, at, _ROWS)
        profiles = project(profiles, [row for row in rows if row.seq <= until])
        for row in rows:
            if row.seq <= ledger_until:
                apply(ledger, row, lambda version: storage.tenants.config(tenant_id, version).reward)
        at = rows[-1].seq
        progress(min(at, last), last)
    return RebuildCheck(until, _combined(*live), _combined(_patterns_hash(profiles.values()), ledger.digest()))


def _blank(storage: Storage, tenant_id: str) -> dict[bytes, PersonalizationProfile]:
    return {profile.user_ref: replace(profile, patterns=Patterns()) for profile in _scanned(storage, tenant_id)}


def _profiles_hash(storage: Storage, tenant_id: str) -> str:
    return _patterns_hash(_scanned(storage, tenant_id))


def _scanned(storage: Storage, tenant_id: str) -> Iterable[PersonalizationProfile]:
    after: bytes | None = None
    while page := storage.profiles.scan(tenant_id, after, 500):
        yield from page
        after = page[-1].user_ref


def _patterns_hash(profiles: Iterable[PersonalizationProfile]) -> str:
    """Over user_ref and patterns, in order of user_ref; dict order does not matter."""
    digest = blake2b(digest_size=16)
    for profile in sorted(profiles, key=lambda p: p.user_ref):
        digest.update(profile.user_ref)
        if profile.patterns != Patterns():
            digest.update(json.dumps(msgspec.to_builtins(profile.patterns, str_keys=True), sort_keys=True).encode())
    return digest.hexdigest()


def _combined(*hashes: str) -> str:
    return blake2b("".join(hashes).encode(), digest_size=16).hexdigest()
