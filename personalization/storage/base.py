"""What the house may rely on from any store, whatever keeps the bytes.

Every method may be called from any thread. Every write is atomic and durable when it returns: after fsync, but what the
log is followed with (decisions, marks, projections, checkpoints) after group commit, which a power cut may take back to
one earlier moment together. Reads see every write that returned before them. Methods block for the database only.
A database that does not answer raises StorageUnavailable. Tenants never see each other's rows.

Instants are microseconds since 1970 UTC; user_ref is 16 random bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from personalization.messages import LogEntry
from personalization.profile import Consent, PersonalizationProfile
from personalization.storage.model_versions import ModelVersionStore
from personalization.template import Template
from personalization.tenant import FrequencyCap, TenantConfig

# -- tenants and keys ------------------------------------------------------------------------------------------------


class TenantStore(Protocol):
    def create(self, tenant_id: str, at: int) -> bool:
        """Make the tenant with fresh keys, config version 0 (the defaults) and log head 0. False when it exists."""
        ...

    def exists(self, tenant_id: str) -> bool: ...

    def list(self) -> list[str]:
        """Every tenant id, sorted."""
        ...

    def config(self, tenant_id: str, version: int | None = None) -> TenantConfig:
        """That version of the configuration, the newest by default. Raises NotFound."""
        ...

    def save_config(self, tenant_id: str, config: TenantConfig, at: int) -> TenantConfig:
        """Store `config` as version config.version + 1 and return it; appends a config_changed log row in the same
        transaction. Raises Conflict when another version was saved since."""
        ...

    def secret(self, tenant_id: str, purpose: str) -> bytes:
        """32 bytes that only this tenant has, stable for ever (holdout assignment, seeds)."""
        ...


@dataclass(frozen=True, kw_only=True)
class ApiKeyRecord:
    """digest: SHA-256 of the secret part."""

    key_id: str
    tenant_id: str
    role: str
    name: str
    digest: bytes
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None


class ApiKeyStore(Protocol):
    def add(self, record: ApiKeyRecord) -> None: ...

    def get(self, key_id: str) -> ApiKeyRecord | None: ...

    def revoke(self, tenant_id: str, key_id: str, at: int) -> bool:
        """False when the tenant has no such unrevoked key."""
        ...

    def revoked_since(self, at: int) -> list[str]:
        """key_ids of every tenant revoked at or after `at`."""
        ...

    def list(self, tenant_id: str, limit: int, after: str = "") -> list[ApiKeyRecord]:
        """Unrevoked keys in order of key_id, those after `after`."""
        ...


class RevocationStore(Protocol):
    """Bearer tokens ended before their time, by the SHA-256 of their jti."""

    def add(self, tenant_id: str, digest: bytes, at: int, expires_at: int) -> None:
        """End a token that would have expired at `expires_at`. Once more is no news: `at` stays, the later end counts."""
        ...

    def has(self, tenant_id: str, digest: bytes) -> bool: ...

    def since(self, at: int) -> list[tuple[str, bytes]]:
        """(tenant_id, digest) of those ended at or after `at`, of every tenant, sorted."""
        ...

    def prune(self, before: int) -> int:
        """Forget those that would have expired before `before`; how many."""
        ...


# -- users and profiles ----------------------------------------------------------------------------------------------


class UserStore(Protocol):
    """The only place that knows user ids: sealed, found through an HMAC. Keeps an in-process LRU of both directions."""

    def resolve(
        self, tenant_id: str, user_ids: Iterable[str], at: int, create: bool = False, afresh: bool = False
    ) -> dict[str, bytes]:
        """user_id -> user_ref of those known; with `create` the unknown ones get a fresh random pseudonym, a data key and
        a profile of version 0, which only behaviour will fill. Erased ids are not created, unless `afresh` says that they
        are to begin anew.
        Two callers who create the same id at once get the same pseudonym."""
        ...

    def reveal(self, tenant_id: str, user_refs: Iterable[bytes]) -> dict[bytes, str]:
        """user_ref -> user_id of those known."""
        ...


class ProfileStore(Protocol):
    """Profiles by pseudonym. Attributes are sealed at rest, the rest is plain."""

    def load(self, tenant_id: str, user_refs: Iterable[bytes]) -> dict[bytes, PersonalizationProfile]:
        """Those that exist."""
        ...

    def save(self, profile: PersonalizationProfile, source: str, at: int) -> PersonalizationProfile:
        """Store the declared sections (never `patterns`, `learned_seq`, `triggers`) as version profile.version + 1 and
        return the profile as stored (learned sections as they are in the store). Version 0 is that of no profile and of
        one of which only behaviour is known. One profile_updated log row with body {"version", "source"} is appended in
        the same transaction; when the consent differs from the stored one also a consent history row and a
        consent_changed log row of the same body.
        Raises Conflict when the stored version is another one, or the pseudonym is nobody's any more."""
        ...

    def save_many(self, profiles: Sequence[PersonalizationProfile], source: str, at: int) -> list[PersonalizationProfile | None]:
        """`save` of many users of one tenant in one transaction, in order; None for each that met a version conflict."""
        ...

    def project(self, tenant_id: str, profiles: Sequence[PersonalizationProfile], seq: int, expected: int) -> bool:
        """Store `patterns` and `learned_seq` of these profiles and move the checkpoint "projector" from
        `expected` to `seq`, in one transaction. False, and nothing stored, when the checkpoint is not at `expected`.
        Profiles whose row does not exist are skipped."""
        ...

    def scan(self, tenant_id: str, after: bytes | None, limit: int) -> list[PersonalizationProfile]:
        """In order of user_ref, those after `after`; attributes are left out (empty)."""
        ...

    def consents(self, tenant_id: str, user_ref: bytes) -> list[tuple[int, str, Consent]]:
        """(at, source, consent) oldest first."""
        ...


# -- templates -------------------------------------------------------------------------------------------------------


class TemplateStore(Protocol):
    def get(self, tenant_id: str, template_id: str, version: int | None = None) -> Template | None:
        """That immutable version, the newest by default. A deleted template is found by version only.
        Versions never change, so they are kept in an in-process LRU."""
        ...

    def save(self, template: Template) -> Template:
        """Store as version template.version + 1 and return it. Version 0 means new: Conflict when the id is in use
        (a deleted id starts again at the next unused version). Conflict when the newest version is another one."""
        ...

    def delete(self, tenant_id: str, template_id: str, at: int) -> bool: ...

    def versions(self, tenant_id: str, template_id: str, limit: int, before: int | None = None) -> list[Template]:
        """Newest first; none of a deleted template."""
        ...

    def list(self, tenant_id: str, limit: int, after: str = "") -> list[Template]:
        """Newest versions in order of template_id, those after `after`, without the deleted."""
        ...


# -- the log ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ProfileChange:
    """What an event does to the declared sections, in the event's own transaction.

    kind    : "withdraw_marketing" (channel None = all) or "unreachable"
    """

    user_ref: bytes
    kind: str
    channel: str | None = None


class NewEvent(Struct, frozen=True, kw_only=True):
    """body: the event's canonical bytes, of which the store keeps a MAC; text and metadata are sealed together.

    releases : the cited decision's cap reservation is released (a bounce)
    """

    event_id: str
    type: str
    user_ref: bytes
    occurred_at: int
    body: bytes
    zone_offset: int = 0
    decision_id: str | None = None
    template_id: str | None = None
    channel: str | None = None
    name: str | None = None
    value: float | None = None
    currency: str | None = None
    text: str | None = None
    metadata: Mapping[str, Any] = msgspec.field(default_factory=dict)
    change: ProfileChange | None = None
    releases: bool = False


ACCEPTED, DUPLICATE, CONFLICT = "accepted", "duplicate", "conflict"
#: The person was erased or anonymised since the pseudonym was looked up: nothing was stored; look it up again.
GONE = "gone"


class NewDecision(Struct, frozen=True, kw_only=True):
    """record: the msgpack record, under 1 KB; values: what is sealed beside it; body: the request's canonical bytes, empty
    when the id was made for it and so cannot repeat.

    caps      : the caps this send must keep; empty when it bypasses them
    reserves  : whether the send takes a reservation at slot_at (every send but a transactional one, and one more of a
                message that has its place already)
    message   : `sent.message_key` of the request's message_id
    """

    decision_id: str
    user_ref: bytes | None
    decided_at: int
    slot_at: int | None
    action: str
    mode: str
    record: bytes
    body: bytes
    category: str
    template_id: str | None = None
    template_version: int | None = None
    variant_id: str | None = None
    channel: str | None = None
    suppression: str | None = None
    quality: float | None = None
    zone_offset: int = 0
    active: bool = True
    values: bytes | None = None
    reserves: bool = False
    caps: tuple[FrequencyCap, ...] = ()
    message: bytes | None = None


@dataclass(frozen=True)
class Reservation:
    slot_at: int
    channel: str
    category: str


@dataclass(frozen=True, kw_only=True)
class StoredDecision:
    """A decision as it lies in the log; `values` opened. status: "active", "inactive" or "discarded"."""

    seq: int
    tenant_id: str
    decision_id: str
    user_ref: bytes | None
    decided_at: int
    slot_at: int | None
    action: str
    mode: str
    category: str
    template_id: str | None
    template_version: int | None
    variant_id: str | None
    channel: str | None
    zone_offset: int
    status: str
    record: bytes
    values: bytes | None = None


class DecisionOutcome(Struct, frozen=True):
    """recorded: it is in the log now. repeated: an equal request with that id was recorded before. conflict: another
    request has that id. lost: a cap is full; `reserved` has the user's fresh reservations, and nothing was stored.
    gone: the pseudonym is nobody's any more, and nothing was stored."""

    status: str
    seq: int | None = None
    reserved: tuple[Reservation, ...] = ()


RECORDED, REPEATED, LOST = "recorded", "repeated", "lost"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A row that the engine itself appends. user_ref, channel, at and so on as in LogEntry."""

    type: str
    at: int
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts of one tenant over [since, until); discarded decisions count nowhere.

    series    : one row a local day on which something happened, oldest first: date, decisions, sends, engaged, converted,
                events, revenue
    qualities : of the newest 100,000 decisions that have one
    arms      : (holdout?, users, decisions, engaged decisions, sum over users of n², of n·k, of k²) for the lift, where
                a user has n active sends and k of them engaged
    """

    decisions: int = 0
    sends: int = 0
    suppressions: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    revenue: float = 0.0
    attributed_revenue: float = 0.0
    engaged_sends: int = 0
    converted_sends: int = 0
    quality_mean: float | None = None
    qualities: tuple[float, ...] = ()
    series: tuple[Mapping[str, Any], ...] = ()
    arms: tuple[tuple[bool, int, int, int, float, float, float], ...] = ()


class LogStore(Protocol):
    """The tenant's one gapless sequence of events and decisions.

    A sequence number is taken from log_heads inside the appending transaction, so sequence order is commit order.
    Concurrent appends are group-committed: a caller that finds others waiting commits for them too. A failing append
    fails its own caller only.
    """

    def append_events(self, tenant_id: str, events: Sequence[NewEvent], at: int) -> list[str]:
        """ACCEPTED, DUPLICATE (same event_id, same body), CONFLICT (same event_id, another body) or GONE for each, in order,
        also within one call. Accepted ones are durable (fsync), their changes applied (consent history included), a
        bare profile of version 1 made for users without one or with one of version 0. A change that changes nothing
        leaves the version as it is."""
        ...

    def append_decisions(self, tenant_id: str, decisions: Sequence[NewDecision]) -> list[DecisionOutcome]:
        """One outcome each, in order; earlier ones of the call count for the caps of later ones. Caps are checked under
        the tenant's log_heads row lock in the transaction that appends."""
        ...

    def append_marks(self, tenant_id: str, marks: Sequence[Mark], at: int) -> int:
        """Append the engine's own rows; the new head."""
        ...

    def activate(self, tenant_id: str, decision_id: str, at: int) -> StoredDecision:
        """Let an inactive decision into learning: status active, one "activated" row carrying user_ref, channel, template,
        zone_offset, `at` = slot_at and body {"seq": the decision's}. An active one stays as it is, without a row.
        Raises NotFound, or Conflict when it was discarded."""
        ...

    def discard(self, tenant_id: str, decision_id: str, at: int) -> StoredDecision:
        """Take a decision out: status discarded, reservation released, one "discarded" row as for `activate`, whose
        `active` says what it was before. A discarded one stays as it is. Raises NotFound."""
        ...

    def heads(self) -> dict[str, int]:
        """tenant_id -> number of the newest row."""
        ...

    def read(self, tenant_id: str, after: int, limit: int) -> list[LogEntry]:
        """The rows after `after` in sequence order, without a gap."""
        ...

    def decision(self, tenant_id: str, decision_id: str) -> StoredDecision | None: ...

    def decisions(self, tenant_id: str, decision_ids: Iterable[str]) -> dict[str, StoredDecision]:
        """Those that exist; `record` is empty and `values` None, for the checks of citing events."""
        ...

    def reserved(self, tenant_id: str, user_refs: Iterable[bytes], since: int, until: int) -> dict[bytes, list[Reservation]]:
        """Unreleased reservations with slot_at in [since, until), of users that have any."""
        ...

    def timeline(self, tenant_id: str, user_ref: bytes, limit: int, before: int | None = None) -> list[LogEntry]:
        """The user's rows, newest first, those with seq < before."""
        ...

    def summary(self, tenant_id: str, since: int, until: int, zone: str) -> Summary:
        """By decided_at and occurred_at. `engaged` = cited by an opened, clicked, converted or replied event."""
        ...

    def tally(self, tenant_id: str, since: int, until: int) -> dict[str | None, int]:
        """Decisions with decided_at in [since, until) by the channel they send by, None: nothing; discarded ones count nowhere."""
        ...


# -- what followers keep ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Snapshot:
    """Immutable policy parameters of one model. snapshot_id grows over the whole installation."""

    snapshot_id: int
    tenant_id: str
    model_id: str
    seq: int
    created_at: int
    body: bytes


class SnapshotStore(Protocol):
    def publish(self, tenant_id: str, model_id: str, seq: int, at: int, body: bytes) -> Snapshot: ...

    def get(self, tenant_id: str, snapshot_id: int) -> Snapshot | None: ...

    def newest(self, after: int = 0) -> list[Snapshot]:
        """The newest of each (tenant, model) among those with snapshot_id > after, in order of snapshot_id."""
        ...

    def prune(self, before: int) -> int:
        """Delete those created before `before` that are not the newest of their model; how many."""
        ...


class CheckpointStore(Protocol):
    def load(self, tenant_id: str, follower: str) -> tuple[int, bytes] | None: ...

    def save(self, tenant_id: str, follower: str, seq: int, body: bytes) -> None: ...


# -- leaving ---------------------------------------------------------------------------------------------------------

ERASE, ANONYMIZE = "erase", "anonymize"
PENDING, COMPLETED = "pending", "completed"


@dataclass(frozen=True, kw_only=True)
class Erasure:
    """A person on the way out, or gone. kind: ERASE or ANONYMIZE; status: PENDING or COMPLETED.

    id_mac   : 16 bytes of HMAC of the user_id, all that is kept of it
    user_ref : the former pseudonym, None once completed
    swept    : what -> how many rows of it went
    """

    tenant_id: str
    erasure_id: str
    kind: str
    status: str
    id_mac: bytes
    requested_at: int
    user_ref: bytes | None = None
    completed_at: int | None = None
    swept: Mapping[str, int] = field(default_factory=dict)
    certificate: str | None = None


#: What a person wrote or a caller added to an event: text and metadata.
Words = tuple[str | None, Mapping[str, Any]]


class PrivacyStore(Protocol):
    """People who leave, and what is kept under seal of those who stay. Every step may be repeated after a crash."""

    def begin(self, tenant_id: str, user_id: str, kind: str, erasure_id: str, at: int) -> Erasure:
        """In one transaction: the user's row goes, and with it the key of everything sealed; so do consents and cap
        reservations, and the profile (ERASE) or all of it but `patterns` (ANONYMIZE); a tombstone of the pseudonym is
        appended to the log. From then on nothing can be stored under it, by any process. Answers repeated by
        Idempotency-Key go too, since they may show anybody.
        An id that was erased before and not begun afresh answers that erasure. Raises NotFound for one never heard of."""
        ...

    def find(self, tenant_id: str, erasure_id: str) -> Erasure | None:
        """An ERASE of that id."""
        ...

    def pending(self) -> list[Erasure]:
        """Of every tenant, in order of their request."""
        ...

    def sweep(self, erasure: Erasure, limit: int = 500) -> int:
        """Sweep the next `limit` of the person's rows of the log, count them in `swept`, and say how many they were;
        0: there are none left. ERASE leaves a BLANK row with nothing but its number and time of receipt for each;
        ANONYMIZE takes words, values and ids of decisions and leaves the behaviour."""
        ...

    def complete(self, erasure: Erasure, at: int, certificate: str) -> None:
        """Keep the certificate of an ERASE and forget the pseudonym; of an ANONYMIZE nothing is kept."""
        ...

    def departures(self, after: Mapping[str, int]) -> dict[str, tuple[int, list[bytes]]]:
        """tenant_id -> (number of the newest tombstone, pseudonyms that left since), where it is beyond after[tenant_id];
        for a tenant not in `after` the last few hundred."""
        ...

    def scrub(self) -> str:
        """Make the bytes of deleted rows go from the database's files, and say how: "rewritten" (the tables were written
        anew), or "overwritten" or "vacuumed" where they are too large for that. Raises StorageUnavailable."""
        ...

    def words(self, tenant_id: str, user_ref: bytes, seqs: Iterable[int]) -> dict[int, Words]:
        """Of those rows of the user's log that have any."""
        ...

    def retire(self, tenant_id: str, snapshot_ids: Iterable[int]) -> int:
        """Delete these snapshots; how many there were."""
        ...

    def snapshots(self, tenant_id: str, model_id: str, before: int, limit: int) -> list[Snapshot]:
        """Newest first, those with snapshot_id < before."""
        ...


class Election(Protocol):
    """Who of several processes is the learner."""

    def hold(self) -> bool:
        """Try to be, or stay, the leader; True while it is so. Never blocks for long. Where one process owns the store
        (SQLite, memory) always True; on PostgreSQL a session advisory lock, lost with its connection."""
        ...

    def release(self) -> None: ...


# -- repeated requests -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """What became of a key. claimed: it is ours until settled or released. repeated: its request is answered, `answer` holds
    what it was answered with. running: its request is under way. reused: it came with another body."""

    status: str
    answer: bytes | None = None


CLAIMED, RUNNING, REUSED = "claimed", "running", "reused"


class RepeatStore(Protocol):
    """What requests with an Idempotency-Key were answered, sealed with the tenant's key. `key` names principal, route and
    key; of key and body only MACs are kept. Of many claims of one key at once one is CLAIMED."""

    def claim(self, tenant_id: str, key: str, body: bytes, at: int, stale: int, ends: int) -> Claim:
        """Take the key until `ends`. A row that ended by `at`, or is still unanswered and was claimed by `stale`, whose
        process has died, is taken over whatever its body was. Prunes too, once in a while. Raises NotFound without the
        tenant."""
        ...

    def settle(self, tenant_id: str, key: str, at: int, answer: bytes) -> bool:
        """Keep the answer for the claim of instant `at`. False when somebody else has taken it over since."""
        ...

    def release(self, tenant_id: str, key: str, at: int) -> bool:
        """Give an unanswered claim of instant `at` back, as if it had never been. False when it is not ours."""
        ...

    def prune(self, at: int) -> int:
        """Delete every tenant's rows that ended by `at`; how many."""
        ...


# -- all together ----------------------------------------------------------------------------------------------------


class Life(Protocol):
    def ping(self) -> None:
        """Raises StorageUnavailable when the database does not answer."""
        ...

    def schema(self) -> str:
        """Where the schema stands: "empty", "older" or "head"."""
        ...

    def migrate(self) -> None:
        """Bring the schema to head under an advisory or file lock; several processes may call it at once."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Storage:
    """The rooms of one store, and its life: open -> (use) -> close."""

    tenants: TenantStore
    keys: ApiKeyStore
    revocations: RevocationStore
    users: UserStore
    profiles: ProfileStore
    templates: TemplateStore
    log: LogStore
    snapshots: SnapshotStore
    model_versions: ModelVersionStore
    checkpoints: CheckpointStore
    privacy: PrivacyStore
    repeats: RepeatStore
    election: Election
    life: Life
