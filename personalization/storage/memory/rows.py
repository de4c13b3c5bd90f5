"""What the memory store holds: every tenant's rows, and the one lock over all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from personalization.errors import NotFound
from personalization.messages import LogEntry
from personalization.profile import Consent, PersonalizationProfile
from personalization.sealing import TenantKeys
from personalization.storage.base import ApiKeyRecord, Erasure, NewDecision, Snapshot, Words
from personalization.storage.model_versions import ModelVersion
from personalization.storage.rules import LOGGED, as_log_entry
from personalization.template import Template
from personalization.tenant import TenantConfig
from personalization.vocabulary import LogType


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
        self.model_versions: dict[tuple[str, str, int], tuple[ModelVersion, bytes | None]] = {}

    def known(self, tenant_id: str) -> TenantRows:
        """For reading: nobody's rows when there is no such tenant."""
        return self.tenants.get(tenant_id) or TenantRows(TenantKeys(tenant_id, b"", b""), [])

    def tenant(self, tenant_id: str) -> TenantRows:
        found = self.tenants.get(tenant_id)
        if found is None:
            raise NotFound("tenant")
        return found


class Room:
    """One store of the house: all of them share its rows and its lock."""

    def __init__(self, house: Rows) -> None:
        self._house = house
        self._lock = house.lock


def empty_profile(tenant_id: str, user_ref: bytes, version: int, at: int) -> PersonalizationProfile:
    return PersonalizationProfile(tenant_id=tenant_id, user_ref=user_ref, version=version, created_at=at, updated_at=at)
