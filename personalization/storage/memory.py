"""The twin of the SQL stores in plain dicts: the same contract, nothing kept. For tests and in-process backtests.

Nothing is sealed, as nothing is written anywhere; the cipher only makes the tenants' secrets. Every call takes one lock.
"""

from __future__ import annotations

import os
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from threading import RLock
from typing import Any

import msgspec
from msgspec import structs

from personalization.errors import Conflict, NotFound
from personalization.messages import LogEntry
from personalization.profile import Consent, Patterns, PersonalizationProfile
from personalization.sealing import Cipher, TenantKeys
from personalization.storage.base import (
    ACCEPTED,
    CONFLICT,
    DUPLICATE,
    GONE,
    LOST,
    RECORDED,
    REPEATED,
    ApiKeyRecord,
    DecisionOutcome,
    Erasure,
    Mark,
    NewDecision,
    NewEvent,
    ProfileChange,
    Reservation,
    Snapshot,
    Storage,
    StoredDecision,
    Summary,
    Words,
)
from personalization.storage.counting import MOST_QUALITIES, QUARTER, Arm, DecisionCount, EventCount, summary_of
from personalization.storage.memory_privacy import MemoryPrivacy, user_mac
from personalization.storage.memory_repeats import MemoryRepeats
from personalization.storage.memory_revocations import MemoryRevocations
from personalization.storage.rules import (
    ACTIVE,
    DISCARDED,
    INACTIVE,
    LOGGED,
    PROJECTOR,
    UNREACHABLE,
    Held,
    admitted,
    as_log_entry,
    as_turn,
    reach,
    takes_reservation,
    unreachable,
    withdrawn,
)
from personalization.template import Template
from personalization.tenant import TenantConfig
from personalization.vocabulary import ENGAGED_TYPES, Action, EventType, LogType, Mode


def open_memory_storage(cipher: Cipher, token: Callable[[int], bytes] = os.urandom) -> Storage:
    """A store that ends with the process. `token` makes pseudonyms."""
    house = Rows()
    tenants = MemoryTenants(house, cipher)
    repeats = MemoryRepeats(tenants.exists)
    return Storage(
        tenants=tenants,
        keys=MemoryApiKeys(house),
        revocations=MemoryRevocations(),
        users=MemoryUsers(house, cipher, token),
        profiles=MemoryProfiles(house),
        templates=MemoryTemplates(house),
        log=MemoryLog(house),
        snapshots=MemorySnapshots(house),
        checkpoints=MemoryCheckpoints(house),
        privacy=MemoryPrivacy(house, repeats, cipher, token),
        repeats=repeats,
        election=MemoryElection(),
        life=MemoryLife(),
    )


@dataclass
class DecisionRow:
    """A decision with what StoredDecision does not say."""

    new: NewDecision
    seq: int
    status: str
    body: bytes


@dataclass
class TenantRows:
    """All rows of one tenant. `log` holds row seq at index seq - 1: a LogEntry, or a decision that becomes one when read.

    events    : digest of event_id -> digest of its body
    gone      : pseudonyms that are nobody's any more; erased: the newest tombstone; barred: HMAC of an erased id -> erasure_id
    nameless  : ids given to decisions when they were anonymised
    """

    keys: TenantKeys
    configs: list[TenantConfig]
    log: list[LogEntry | DecisionRow] = field(default_factory=list)
    rows_of_user: defaultdict[bytes, list[int]] = field(default_factory=lambda: defaultdict(list))
    events: dict[bytes, bytes] = field(default_factory=dict)
    words: dict[int, Words] = field(default_factory=dict)
    decisions: dict[str, DecisionRow] = field(default_factory=dict)
    engaged: set[str] = field(default_factory=set)
    converted: set[str] = field(default_factory=set)
    reserved: defaultdict[bytes, list[tuple[int, int, str, str]]] = field(default_factory=lambda: defaultdict(list))
    refs: dict[str, bytes] = field(default_factory=dict)
    ids: dict[bytes, str] = field(default_factory=dict)
    profiles: dict[bytes, PersonalizationProfile] = field(default_factory=dict)
    consents: defaultdict[bytes, list[tuple[int, str, Consent]]] = field(default_factory=lambda: defaultdict(list))
    templates: dict[str, list[Template]] = field(default_factory=dict)
    deleted_templates: set[str] = field(default_factory=set)
    checkpoints: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    gone: set[bytes] = field(default_factory=set)
    erased: int = 0
    erasures: dict[str, Erasure] = field(default_factory=dict)
    barred: dict[bytes, str] = field(default_factory=dict)
    nameless: set[str] = field(default_factory=set)

    def append(self, row: LogEntry | DecisionRow, user_ref: bytes | None) -> None:
        self.log.append(row)
        if user_ref is not None:
            self.rows_of_user[user_ref].append(len(self.log))

    def note(self, type_: LogType, at: int, body: Mapping[str, Any], user_ref: bytes | None = None) -> None:
        entry = LogEntry(seq=len(self.log) + 1, type=type_, at=at, recorded_at=at, user_ref=user_ref, body=body)
        self.append(entry, user_ref)

    def entry(self, seq: int) -> LogEntry:
        row = self.log[seq - 1]
        return row if isinstance(row, LogEntry) else as_log_entry(row.seq, *(getattr(row.new, name) for name in LOGGED[1:]))


class Rows:
    """Every tenant's rows, and the lock over all of them."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.tenants: dict[str, TenantRows] = {}
        self.api_keys: dict[str, ApiKeyRecord] = {}
        self.snapshots: dict[int, Snapshot] = {}

    def known(self, tenant_id: str) -> TenantRows:
        """For reading: nobody's rows when there is no such tenant."""
        return self.tenants.get(tenant_id) or TenantRows(TenantKeys(tenant_id, b"", b""), [])

    def tenant(self, tenant_id: str) -> TenantRows:
        found = self.tenants.get(tenant_id)
        if found is None:
            raise NotFound("tenant")
        return found


class Room:
    def __init__(self, house: Rows) -> None:
        self._house = house
        self._lock = house.lock


class MemoryTenants(Room):
    def __init__(self, house: Rows, cipher: Cipher) -> None:
        super().__init__(house)
        self._cipher = cipher

    def create(self, tenant_id: str, at: int) -> bool:
        with self._lock:
            if tenant_id in self._house.tenants:
                return False
            self._house.tenants[tenant_id] = TenantRows(self._cipher.new_tenant_keys(tenant_id), [TenantConfig()])
            return True

    def exists(self, tenant_id: str) -> bool:
        return tenant_id in self._house.tenants

    def config(self, tenant_id: str, version: int | None = None) -> TenantConfig:
        configs = self._house.tenant(tenant_id).configs
        if version is None:
            return configs[-1]
        if not 0 <= version < len(configs):
            raise NotFound("configuration version")
        return configs[version]

    def save_config(self, tenant_id: str, config: TenantConfig, at: int) -> TenantConfig:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            if tenant.configs[-1].version != config.version:
                raise Conflict("The configuration was changed since it was read; read it again and repeat the change.")
            saved = replace(config, version=config.version + 1)
            tenant.configs.append(saved)
            tenant.note(LogType.CONFIG_CHANGED, at, {"version": saved.version})
            return saved

    def secret(self, tenant_id: str, purpose: str) -> bytes:
        return self._cipher.mac(self._house.tenant(tenant_id).keys, f"secret:{purpose}", b"")

    def list(self) -> list[str]:
        return sorted(self._house.tenants)


class MemoryApiKeys(Room):
    def add(self, record: ApiKeyRecord) -> None:
        with self._lock:
            self._house.tenant(record.tenant_id)
            if record.key_id in self._house.api_keys:
                raise Conflict(f"There is an API key {record.key_id} already.")
            self._house.api_keys[record.key_id] = record

    def get(self, key_id: str) -> ApiKeyRecord | None:
        return self._house.api_keys.get(key_id)

    def revoke(self, tenant_id: str, key_id: str, at: int) -> bool:
        with self._lock:
            found = self._house.api_keys.get(key_id)
            if found is None or found.tenant_id != tenant_id or found.revoked_at is not None:
                return False
            self._house.api_keys[key_id] = replace(found, revoked_at=at)
            return True

    def revoked_since(self, at: int) -> list[str]:
        with self._lock:
            return sorted(k.key_id for k in self._house.api_keys.values() if k.revoked_at is not None and k.revoked_at >= at)

    def list(self, tenant_id: str, limit: int, after: str = "") -> list[ApiKeyRecord]:
        with self._lock:
            ours = [
                k for k in self._house.api_keys.values() if k.tenant_id == tenant_id and k.revoked_at is None and k.key_id > after
            ]
            return sorted(ours, key=lambda k: k.key_id)[:limit]


class MemoryUsers(Room):
    def __init__(self, house: Rows, cipher: Cipher, token: Callable[[int], bytes]) -> None:
        super().__init__(house)
        self._cipher, self._token = cipher, token

    def resolve(
        self, tenant_id: str, user_ids: Iterable[str], at: int, create: bool = False, afresh: bool = False
    ) -> dict[str, bytes]:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            wanted = list(dict.fromkeys(user_ids))
            for user_id in wanted if create else ():
                if user_id not in tenant.refs and (afresh or not self._barred(tenant, user_id)):
                    tenant.refs[user_id] = user_ref = self._token(16)
                    tenant.ids[user_ref] = user_id
                    tenant.profiles[user_ref] = empty_profile(tenant_id, user_ref, 0, at)
                    tenant.barred.pop(user_mac(self._cipher, tenant.keys, user_id), None)
            return {user_id: tenant.refs[user_id] for user_id in wanted if user_id in tenant.refs}

    def _barred(self, tenant: TenantRows, user_id: str) -> bool:
        return bool(tenant.barred) and user_mac(self._cipher, tenant.keys, user_id) in tenant.barred

    def reveal(self, tenant_id: str, user_refs: Iterable[bytes]) -> dict[bytes, str]:
        with self._lock:
            ids = self._house.tenant(tenant_id).ids
            return {user_ref: ids[user_ref] for user_ref in user_refs if user_ref in ids}


class MemoryProfiles(Room):
    def load(self, tenant_id: str, user_refs: Iterable[bytes]) -> dict[bytes, PersonalizationProfile]:
        with self._lock:
            profiles = self._house.known(tenant_id).profiles
            return {user_ref: profiles[user_ref] for user_ref in user_refs if user_ref in profiles}

    def save(self, profile: PersonalizationProfile, source: str, at: int) -> PersonalizationProfile:
        saved = self.save_many([profile], source, at)[0]
        if saved is None:
            raise Conflict("The profile was changed since it was read; read it again and repeat the change.")
        return saved

    def save_many(self, profiles: Sequence[PersonalizationProfile], source: str, at: int) -> list[PersonalizationProfile | None]:
        with self._lock:
            return [self._save(self._house.tenant(profile.tenant_id), profile, source, at) for profile in profiles]

    def _save(self, tenant: TenantRows, profile: PersonalizationProfile, source: str, at: int) -> PersonalizationProfile | None:
        before = tenant.profiles.get(profile.user_ref)
        if profile.user_ref in tenant.gone or profile.version != (before.version if before else 0):
            return None
        saved = structs.replace(
            profile,
            version=profile.version + 1,
            created_at=before.created_at if before else at,
            updated_at=at,
            patterns=before.patterns if before else Patterns(),
            learned_seq=before.learned_seq if before else 0,
            triggers=(),
        )
        tenant.profiles[profile.user_ref] = saved
        body = {"version": saved.version, "source": source}
        tenant.note(LogType.PROFILE_UPDATED, at, body, saved.user_ref)
        if saved.consent != (before.consent if before else Consent()):
            tenant.note(LogType.CONSENT_CHANGED, at, body, saved.user_ref)
            tenant.consents[saved.user_ref].append((at, source, saved.consent))
        return saved

    def project(self, tenant_id: str, profiles: Sequence[PersonalizationProfile], seq: int, expected: int) -> bool:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            if tenant.checkpoints.get(PROJECTOR, (0, b""))[0] != expected:
                return False
            for profile in profiles:
                stored = tenant.profiles.get(profile.user_ref)
                if stored is not None:
                    tenant.profiles[profile.user_ref] = structs.replace(
                        stored, patterns=profile.patterns, learned_seq=profile.learned_seq
                    )
            tenant.checkpoints[PROJECTOR] = (seq, b"")
            return True

    def scan(self, tenant_id: str, after: bytes | None, limit: int) -> list[PersonalizationProfile]:
        with self._lock:
            profiles = self._house.known(tenant_id).profiles
            following = sorted(user_ref for user_ref in profiles if after is None or user_ref > after)[:limit]
            return [structs.replace(profiles[user_ref], attributes={}) for user_ref in following]

    def consents(self, tenant_id: str, user_ref: bytes) -> list[tuple[int, str, Consent]]:
        with self._lock:
            return list(self._house.known(tenant_id).consents.get(user_ref, ()))


class MemoryTemplates(Room):
    def get(self, tenant_id: str, template_id: str, version: int | None = None) -> Template | None:
        with self._lock:
            tenant = self._house.known(tenant_id)
            versions = tenant.templates.get(template_id, [])
            if version is not None:
                return versions[version - 1] if 0 < version <= len(versions) else None
            return versions[-1] if versions and template_id not in tenant.deleted_templates else None

    def save(self, template: Template) -> Template:
        with self._lock:
            tenant, template_id = self._house.tenant(template.tenant_id), template.template_id
            versions = tenant.templates.get(template_id, [])
            alive = bool(versions) and template_id not in tenant.deleted_templates
            if template.version == 0 and alive:
                raise Conflict(f"There is a template {template_id} already; PUT changes it.")
            if template.version != 0 and (not alive or versions[-1].version != template.version):
                raise Conflict(f"Template {template_id} was changed since it was read; read it again and repeat the change.")
            saved = replace(template, version=len(versions) + 1)
            tenant.templates.setdefault(template_id, []).append(saved)
            tenant.deleted_templates.discard(template_id)
            return saved

    def delete(self, tenant_id: str, template_id: str, at: int) -> bool:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            if template_id not in tenant.templates or template_id in tenant.deleted_templates:
                return False
            tenant.deleted_templates.add(template_id)
            return True

    def versions(self, tenant_id: str, template_id: str, limit: int, before: int | None = None) -> list[Template]:
        with self._lock:
            tenant = self._house.known(tenant_id)
            versions = [] if template_id in tenant.deleted_templates else tenant.templates.get(template_id, [])
            return [t for t in reversed(versions) if before is None or t.version < before][:limit]

    def list(self, tenant_id: str, limit: int, after: str = "") -> list[Template]:
        with self._lock:
            tenant = self._house.known(tenant_id)
            alive = sorted(t for t in tenant.templates if t > after and t not in tenant.deleted_templates)[:limit]
            return [tenant.templates[template_id][-1] for template_id in alive]


class MemoryLog(Room):
    def append_events(self, tenant_id: str, events: Sequence[NewEvent], at: int) -> list[str]:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            return [self._append_event(tenant, event, at) for event in events]

    def _append_event(self, tenant: TenantRows, event: NewEvent, at: int) -> str:
        if event.user_ref in tenant.gone:
            return GONE
        body = _digest(event.body)
        earlier = tenant.events.setdefault(_digest(event.event_id.encode()), body)
        if earlier is not body:
            return DUPLICATE if earlier == body else CONFLICT
        entry = LogEntry(
            seq=len(tenant.log) + 1,
            type=event.type,
            at=event.occurred_at,
            recorded_at=at,
            user_ref=event.user_ref,
            decision_id=event.decision_id,
            template_id=event.template_id,
            channel=event.channel,
            name=event.name,
            value=event.value,
            currency=event.currency,
            zone_offset=event.zone_offset,
        )
        tenant.append(entry, event.user_ref)
        if event.text is not None or event.metadata:
            tenant.words[entry.seq] = (event.text, event.metadata)
        self._cite(tenant, event)
        known = tenant.profiles.get(event.user_ref)
        if known is None:
            tenant.profiles[event.user_ref] = empty_profile(tenant.keys.tenant_id, event.user_ref, 1, at)
        elif known.version == 0:
            tenant.profiles[event.user_ref] = structs.replace(known, version=1)
        if event.change is not None:
            _change(tenant, event.change, event.type, at)
        return ACCEPTED

    def _cite(self, tenant: TenantRows, event: NewEvent) -> None:
        if event.decision_id is None:
            return
        if event.type in ENGAGED_TYPES:
            tenant.engaged.add(event.decision_id)
        if event.type == EventType.CONVERTED:
            tenant.converted.add(event.decision_id)
        if event.releases:
            _release(tenant, tenant.decisions.get(event.decision_id))

    def append_decisions(self, tenant_id: str, decisions: Sequence[NewDecision]) -> list[DecisionOutcome]:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            capped = [d for d in decisions if d.caps]
            since = reach(capped) if capped else 0
            return [self._append_decision(tenant, decision, since) for decision in decisions]

    def _append_decision(self, tenant: TenantRows, decision: NewDecision, since: int) -> DecisionOutcome:
        if decision.user_ref in tenant.gone:
            return DecisionOutcome(GONE)
        body = _digest(decision.body)
        known = tenant.decisions.get(decision.decision_id)
        if known is not None:
            return DecisionOutcome(REPEATED, known.seq) if known.body == body else DecisionOutcome(CONFLICT)
        if decision.caps and decision.user_ref is not None:
            held = _slots(tenant, decision.user_ref, since, None)
            if not admitted(decision, held):
                return DecisionOutcome(LOST, reserved=tuple(Reservation(*slot) for slot in sorted(held)))
        elif decision.caps and not admitted(decision, ()):
            return DecisionOutcome(LOST)
        seq = len(tenant.log) + 1
        row = DecisionRow(decision, seq, ACTIVE if decision.active else INACTIVE, body)
        tenant.append(row, decision.user_ref)
        tenant.decisions[decision.decision_id] = row
        if takes_reservation(decision) and decision.user_ref is not None:
            insort(tenant.reserved[decision.user_ref], _reservation(row))
        return DecisionOutcome(RECORDED, seq)

    def append_marks(self, tenant_id: str, marks: Sequence[Mark], at: int) -> int:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            for mark in marks:
                body = msgspec.msgpack.decode(msgspec.msgpack.encode(mark.body))
                tenant.append(LogEntry(seq=len(tenant.log) + 1, type=mark.type, at=mark.at, recorded_at=at, body=body), None)
            return len(tenant.log)

    def activate(self, tenant_id: str, decision_id: str, at: int) -> StoredDecision:
        return self._turn(tenant_id, decision_id, at, LogType.ACTIVATED, ACTIVE)

    def discard(self, tenant_id: str, decision_id: str, at: int) -> StoredDecision:
        return self._turn(tenant_id, decision_id, at, LogType.DISCARDED, DISCARDED)

    def _turn(self, tenant_id: str, decision_id: str, at: int, type_: LogType, status: str) -> StoredDecision:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            row = tenant.decisions.get(decision_id)
            if row is None:
                raise NotFound("decision")
            if row.status == DISCARDED and status == ACTIVE:
                raise Conflict("The decision was discarded; ask for a new one.")
            if row.status != status:
                tenant.append(as_turn(_stored(tenant_id, row), type_, len(tenant.log) + 1, at), row.new.user_ref)
                row.status = status
            if status == DISCARDED:
                _release(tenant, row)
            return _stored(tenant_id, row, whole=True)

    def heads(self) -> dict[str, int]:
        with self._lock:
            return {tenant_id: len(tenant.log) for tenant_id, tenant in self._house.tenants.items()}

    def read(self, tenant_id: str, after: int, limit: int) -> list[LogEntry]:
        with self._lock:
            tenant = self._house.tenants.get(tenant_id)
            return (
                [] if tenant is None else [tenant.entry(seq) for seq in range(after + 1, min(after + limit, len(tenant.log)) + 1)]
            )

    def decision(self, tenant_id: str, decision_id: str) -> StoredDecision | None:
        with self._lock:
            row = self._house.known(tenant_id).decisions.get(decision_id)
            return None if row is None else _stored(tenant_id, row, whole=True)

    def decisions(self, tenant_id: str, decision_ids: Iterable[str]) -> dict[str, StoredDecision]:
        with self._lock:
            rows = self._house.known(tenant_id).decisions
            return {id_: replace(_stored(tenant_id, rows[id_]), record=b"") for id_ in decision_ids if id_ in rows}

    def reserved(self, tenant_id: str, user_refs: Iterable[bytes], since: int, until: int) -> dict[bytes, list[Reservation]]:
        with self._lock:
            tenant = self._house.known(tenant_id)
            found = {user_ref: _slots(tenant, user_ref, since, until) for user_ref in user_refs}
            return {user_ref: [Reservation(*slot) for slot in sorted(slots)] for user_ref, slots in found.items() if slots}

    def timeline(self, tenant_id: str, user_ref: bytes, limit: int, before: int | None = None) -> list[LogEntry]:
        with self._lock:
            tenant = self._house.known(tenant_id)
            rows = tenant.rows_of_user.get(user_ref, [])
            end = len(rows) if before is None else bisect_left(rows, before)
            return [tenant.entry(seq) for seq in reversed(rows[max(end - limit, 0) : end])]

    def summary(self, tenant_id: str, since: int, until: int, zone: str) -> Summary:
        with self._lock:
            tenant = self._house.known(tenant_id)
            taken = [d for d in tenant.decisions.values() if since <= d.new.decided_at < until and d.status != DISCARDED]
            events = [e for e in tenant.log if isinstance(e, LogEntry) and since <= e.at < until and e.type in _ENGAGEMENT]
            qualities = [(d.new.decided_at, d.seq, d.new.quality) for d in taken if d.new.quality is not None]
            newest = [quality for _, _, quality in sorted(qualities, reverse=True)[:MOST_QUALITIES]]
            return summary_of(_decision_counts(tenant, taken), _event_counts(events), _arms(tenant, taken), newest, zone)


_ENGAGEMENT = frozenset(str(t) for t in EventType)


def empty_profile(tenant_id: str, user_ref: bytes, version: int, at: int) -> PersonalizationProfile:
    return PersonalizationProfile(tenant_id=tenant_id, user_ref=user_ref, version=version, created_at=at, updated_at=at)


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()


def _reservation(row: DecisionRow) -> tuple[int, int, str, str]:
    return row.new.slot_at or 0, row.seq, row.new.channel or "", str(row.new.category)


def _slots(tenant: TenantRows, user_ref: bytes, since: int, until: int | None) -> list[Held]:
    held = tenant.reserved.get(user_ref)
    if not held:
        return []
    end = len(held) if until is None else bisect_left(held, (until,))
    return [(slot_at, channel, category) for slot_at, _, channel, category in held[bisect_left(held, (since,)) : end]]


def _release(tenant: TenantRows, row: DecisionRow | None) -> None:
    held = None if row is None or row.new.user_ref is None else tenant.reserved.get(row.new.user_ref)
    if row is not None and held and _reservation(row) in held:
        held.remove(_reservation(row))


def _change(tenant: TenantRows, change: ProfileChange, type_: str, at: int) -> None:
    """A change that changes nothing leaves the version as it is."""
    profile = tenant.profiles.get(change.user_ref)
    if profile is None:
        return
    if change.kind == UNREACHABLE:
        after = structs.replace(profile, reachability=unreachable(profile.reachability, change.channel))
    else:
        after = structs.replace(profile, consent=withdrawn(profile.consent, change.channel))
    if after == profile:
        return
    tenant.profiles[change.user_ref] = structs.replace(after, version=profile.version + 1, updated_at=at)
    if after.consent != profile.consent:
        tenant.consents[change.user_ref].append((at, f"event:{type_}", after.consent))


def _stored(tenant_id: str, row: DecisionRow, whole: bool = False) -> StoredDecision:
    new = row.new
    return StoredDecision(
        seq=row.seq,
        tenant_id=tenant_id,
        decision_id=new.decision_id,
        user_ref=new.user_ref,
        decided_at=new.decided_at,
        slot_at=new.slot_at,
        action=new.action,
        mode=new.mode,
        category=new.category,
        template_id=new.template_id,
        template_version=new.template_version,
        variant_id=new.variant_id,
        channel=new.channel,
        zone_offset=new.zone_offset,
        status=row.status,
        record=new.record,
        values=new.values if whole else None,
    )


def _decision_counts(tenant: TenantRows, taken: Sequence[DecisionRow]) -> list[DecisionCount]:
    alike: defaultdict[tuple[int, str, str | None], list[DecisionRow]] = defaultdict(list)
    for row in taken:
        alike[row.new.decided_at // QUARTER, row.new.action, row.new.suppression].append(row)
    return [
        DecisionCount(
            *key,
            len(rows),
            sum(row.new.decision_id in tenant.engaged for row in rows if row.new.action == Action.SEND),
            sum(row.new.decision_id in tenant.converted for row in rows if row.new.action == Action.SEND),
            sum(row.new.quality or 0.0 for row in rows),
            sum(row.new.quality is not None for row in rows),
        )
        for key, rows in alike.items()
    ]


def _event_counts(events: Sequence[LogEntry]) -> list[EventCount]:
    alike: defaultdict[tuple[int, str], list[LogEntry]] = defaultdict(list)
    for event in events:
        alike[event.at // QUARTER, event.type].append(event)
    return [
        EventCount(
            *key, len(rows), sum(e.value or 0.0 for e in rows), sum(e.value or 0.0 for e in rows if e.decision_id is not None)
        )
        for key, rows in alike.items()
    ]


def _arms(tenant: TenantRows, taken: Sequence[DecisionRow]) -> list[Arm]:
    users: defaultdict[tuple[bool, bytes], list[bool]] = defaultdict(list)
    for row in taken:
        if row.new.action == Action.SEND and row.status == ACTIVE and row.new.user_ref is not None:
            users[row.new.mode == Mode.HOLDOUT, row.new.user_ref].append(row.new.decision_id in tenant.engaged)
    arms: defaultdict[bool, list[tuple[int, int]]] = defaultdict(list)
    for (held, _), engaged in users.items():
        arms[held].append((len(engaged), sum(engaged)))
    return [
        (
            held,
            len(counts),
            sum(n for n, _ in counts),
            sum(k for _, k in counts),
            float(sum(n * n for n, _ in counts)),
            float(sum(n * k for n, k in counts)),
            float(sum(k * k for _, k in counts)),
        )
        for held, counts in arms.items()
    ]


class MemorySnapshots(Room):
    def publish(self, tenant_id: str, model_id: str, seq: int, at: int, body: bytes) -> Snapshot:
        with self._lock:
            snapshot = Snapshot(max(self._house.snapshots, default=0) + 1, tenant_id, model_id, seq, at, body)
            self._house.snapshots[snapshot.snapshot_id] = snapshot
            return snapshot

    def get(self, tenant_id: str, snapshot_id: int) -> Snapshot | None:
        found = self._house.snapshots.get(snapshot_id)
        return found if found is not None and found.tenant_id == tenant_id else None

    def newest(self, after: int = 0) -> list[Snapshot]:
        with self._lock:
            return [s for s in self._newest() if s.snapshot_id > after]

    def _newest(self) -> list[Snapshot]:
        """Ids grow, so the newest of a model is the one that comes last."""
        last = {(s.tenant_id, s.model_id): s for _, s in sorted(self._house.snapshots.items())}
        return sorted(last.values(), key=lambda s: s.snapshot_id)

    def prune(self, before: int) -> int:
        with self._lock:
            kept = {s.snapshot_id for s in self._newest()}
            old = [s.snapshot_id for s in self._house.snapshots.values() if s.created_at < before and s.snapshot_id not in kept]
            for snapshot_id in old:
                del self._house.snapshots[snapshot_id]
            return len(old)


class MemoryCheckpoints(Room):
    def load(self, tenant_id: str, follower: str) -> tuple[int, bytes] | None:
        return self._house.known(tenant_id).checkpoints.get(follower)

    def save(self, tenant_id: str, follower: str, seq: int, body: bytes) -> None:
        with self._lock:
            self._house.tenant(tenant_id).checkpoints[follower] = (seq, body)


class MemoryElection:
    def hold(self) -> bool:
        return True

    def release(self) -> None:
        pass


class MemoryLife:
    def ping(self) -> None:
        pass

    def schema(self) -> str:
        return "head"

    def migrate(self) -> None:
        pass

    def close(self) -> None:
        pass
