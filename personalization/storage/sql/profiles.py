"""Profiles by pseudonym: attributes sealed, the rest plain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import sqlalchemy as sa
from msgspec import structs

from personalization.errors import Conflict
from personalization.profile import Consent, Patterns, PersonalizationProfile
from personalization.sealing import Cipher, Owner
from personalization.storage.base import ProfileChange
from personalization.storage.rules import PROJECTOR, UNREACHABLE, unreachable, withdrawn
from personalization.storage.sql.engine import AT_MOST, Database, Lookup, Sql, Transaction
from personalization.storage.sql.fence import Fence
from personalization.storage.sql.head import Head, locked_head
from personalization.storage.sql.packing import (
    Declared,
    declared_of,
    empty_profile,
    pack,
    read_json,
    unpack,
    unpack_consent,
    unpack_declared,
    unpack_patterns,
    write_json,
)
from personalization.storage.sql.schema import checkpoints, consents, profiles
from personalization.storage.sql.snapshots import LOAD_CHECKPOINT, MOVE_CHECKPOINT
from personalization.storage.sql.users import SqlUsers
from personalization.vocabulary import LogType

_ATTRIBUTES = "attributes"
_COLUMNS = tuple(profiles.c)
_OF_USER = (profiles.c.tenant_id == sa.bindparam("tenant"), profiles.c.user_ref == sa.bindparam("ref", type_=sa.LargeBinary))


class _Row(NamedTuple):
    """A row, in the order of the table's columns; traits as JSON text."""

    tenant_id: str
    user_ref: bytes
    version: int
    created_at: int
    updated_at: int
    sealed_attributes: bytes | None
    traits: str
    language: str | None
    timezone: str | None
    declared: bytes
    consent: bytes
    patterns: bytes
    learned_seq: int


_MANY = Lookup(lambda tenant, refs: sa.select(*_COLUMNS).where(profiles.c.tenant_id == tenant, profiles.c.user_ref.in_(refs)))
_SCAN = Sql(
    sa.select(*_COLUMNS)
    .where(profiles.c.tenant_id == sa.bindparam("tenant"), profiles.c.user_ref > sa.bindparam("after"))
    .order_by(profiles.c.user_ref)
    .suffix_with(AT_MOST)
)
_LIFT = Lookup(
    lambda tenant, refs: (
        sa.update(profiles)
        .values(version=sa.literal_column("1"))
        .where(profiles.c.tenant_id == tenant, profiles.c.user_ref.in_(refs), profiles.c.version == sa.literal_column("0"))
    )
)
#: What nobody may change by saving.
_KEPT = ("tenant_id", "user_ref", "created_at", "patterns", "learned_seq")


def _update_of(*names: str) -> sa.Update:
    """Sets these columns, to binds named new_<column>, of the user of the binds `tenant` and `ref`."""
    values = {name: sa.bindparam(f"new_{name}", type_=profiles.c[name].type) for name in names}
    return sa.update(profiles).values(values).where(*_OF_USER)


_SAVED = [name for name in _Row._fields if name not in _KEPT]
_SAVE, _PROJECT = _update_of(*_SAVED), Sql(_update_of("patterns", "learned_seq"))
_CHANGE = _update_of("version", "updated_at", "declared", "consent")


@dataclass(frozen=True)
class _Stored:
    """What of a stored profile a change needs to know."""

    version: int
    created_at: int
    consent: Consent
    patterns: Patterns
    learned_seq: int


_NEW = _Stored(0, 0, Consent(), Patterns(), 0)


class SqlProfiles:
    """A ProfileStore."""

    def __init__(self, database: Database, cipher: Cipher, users: SqlUsers, fence: Fence) -> None:
        self._database = database
        self._fence = fence
        self._cipher = cipher
        self._users = users

    def load(self, tenant_id: str, user_refs: Iterable[bytes]) -> dict[bytes, PersonalizationProfile]:
        wanted = list(dict.fromkeys(user_refs))
        if not wanted:
            return {}
        with self._database.read() as transaction:
            rows = _rows(transaction, tenant_id, wanted)
        owners = self._users.owners(tenant_id, [row.user_ref for row in rows if row.sealed_attributes is not None])
        return {row.user_ref: _profile(row, self._attributes(owners, row)) for row in rows}

    def _attributes(self, owners: Mapping[bytes, Owner], row: _Row) -> Mapping[str, Any]:
        if row.sealed_attributes is None or row.user_ref not in owners:
            return {}
        opened: dict[str, Any] = unpack(self._cipher.open(owners[row.user_ref], _ATTRIBUTES, row.sealed_attributes))
        return opened

    def save(self, profile: PersonalizationProfile, source: str, at: int) -> PersonalizationProfile:
        saved = self.save_many([profile], source, at)[0]
        if saved is None:
            raise Conflict("The profile was changed since it was read; read it again and repeat the change.")
        return saved

    def save_many(self, profiles: Sequence[PersonalizationProfile], source: str, at: int) -> list[PersonalizationProfile | None]:
        if not profiles:
            return []
        tenant_id = profiles[0].tenant_id
        sealed = self._sealed(tenant_id, profiles)
        with self._database.write() as transaction, locked_head(transaction, tenant_id) as head:
            saving = _Saving(transaction, head, _stored(transaction, tenant_id, [p.user_ref for p in profiles]), source, at)
            gone = self._fence.refuses if self._fence.stands(transaction, head) else _nobody
            saved = [
                None if gone(tenant_id, profile.user_ref) else saving.save(profile, attributes)
                for profile, attributes in zip(profiles, sealed, strict=True)
            ]
            saving.flush()
        return saved

    def _sealed(self, tenant_id: str, profiles: Sequence[PersonalizationProfile]) -> list[bytes | None]:
        owners = self._users.owners(tenant_id, [p.user_ref for p in profiles if p.attributes])
        return [self._seal(owners, profile) if profile.attributes else None for profile in profiles]

    def _seal(self, owners: Mapping[bytes, Owner], profile: PersonalizationProfile) -> bytes | None:
        owner = owners.get(profile.user_ref)
        if owner is None:
            return self._fence.nothing(profile.tenant_id, profile.user_ref)
        return self._cipher.seal(owner, _ATTRIBUTES, pack(profile.attributes))

    def project(self, tenant_id: str, profiles: Sequence[PersonalizationProfile], seq: int, expected: int) -> bool:
        learned = [(pack(p.patterns), p.learned_seq, tenant_id, p.user_ref) for p in profiles]
        with self._database.write(durable=False) as transaction, locked_head(transaction, tenant_id):
            checkpoint = transaction.rows(LOAD_CHECKPOINT, (tenant_id, PROJECTOR))
            if (checkpoint[0][0] if checkpoint else 0) != expected:
                return False
            transaction.change(_PROJECT, learned)
            if checkpoint:
                transaction.run(MOVE_CHECKPOINT, (seq, b"", tenant_id, PROJECTOR))
            else:
                transaction.insert(checkpoints, [(tenant_id, PROJECTOR, seq, b"")])
        return True

    def scan(self, tenant_id: str, after: bytes | None, limit: int) -> list[PersonalizationProfile]:
        with self._database.read() as transaction:
            return [_profile(_Row._make(row), {}) for row in transaction.rows(_SCAN, (tenant_id, after or b"", limit))]

    def consents(self, tenant_id: str, user_ref: bytes) -> list[tuple[int, str, Consent]]:
        statement = sa.select(consents.c.at, consents.c.source, consents.c.consent)
        statement = statement.where(consents.c.tenant_id == tenant_id, consents.c.user_ref == user_ref).order_by(consents.c.version)
        with self._database.read() as transaction:
            return [(row.at, row.source, unpack_consent(row.consent)) for row in transaction.execute(statement)]


class _Saving:
    """The rows of one `save_many`, gathered and then written at once."""

    def __init__(self, transaction: Transaction, head: Head, stored: dict[bytes, _Stored], source: str, at: int) -> None:
        self._transaction = transaction
        self._head = head
        self._stored = stored
        self._source = source
        self._at = at
        self._new: dict[bytes, tuple[Any, ...]] = {}
        self._changed: list[dict[str, Any]] = []
        self._consents: list[tuple[Any, ...]] = []

    def save(self, profile: PersonalizationProfile, attributes: bytes | None) -> PersonalizationProfile | None:
        before = self._stored.get(profile.user_ref, _NEW)
        if profile.version != before.version:
            return None
        saved = structs.replace(
            profile,
            version=before.version + 1,
            created_at=before.created_at or self._at,
            updated_at=self._at,
            patterns=before.patterns,
            learned_seq=before.learned_seq,
            triggers=(),
        )
        self._write(saved, attributes)
        self._stored[profile.user_ref] = _Stored(saved.version, saved.created_at, saved.consent, saved.patterns, saved.learned_seq)
        self._log(saved, consent_changed=saved.consent != before.consent)
        return saved

    def _write(self, saved: PersonalizationProfile, attributes: bytes | None) -> None:
        row = _values(saved, attributes)
        if saved.user_ref not in self._stored:
            self._new[saved.user_ref] = row
        else:
            values = {f"new_{name}": getattr(row, name) for name in _SAVED}
            self._changed.append({**values, "new_traits": saved.traits, "tenant": saved.tenant_id, "ref": saved.user_ref})

    def _log(self, saved: PersonalizationProfile, consent_changed: bool) -> None:
        body = {"version": saved.version, "source": self._source}
        self._head.append(LogType.PROFILE_UPDATED, self._at, body, user_ref=saved.user_ref)
        if consent_changed:
            self._head.append(LogType.CONSENT_CHANGED, self._at, body, user_ref=saved.user_ref)
            self._consents.append((saved.tenant_id, saved.user_ref, saved.version, self._at, self._source, pack(saved.consent)))

    def flush(self) -> None:
        self._transaction.insert(profiles, list(self._new.values()))
        if self._changed:
            self._transaction.execute(_SAVE, self._changed)
        self._transaction.insert(consents, self._consents)


def _nobody(tenant_id: str, user_ref: bytes) -> bool:
    return False


def add_bare(transaction: Transaction, tenant_id: str, user_refs: Sequence[bytes], at: int) -> None:
    """An empty profile for those who have none, and version 1 for those of whom only behaviour was known."""
    transaction.insert(profiles, [empty_profile(tenant_id, ref, 1, at) for ref in user_refs], ignore=True)
    transaction.run_among(_LIFT, tenant_id, user_refs)


def apply_changes(transaction: Transaction, tenant_id: str, changes: Sequence[tuple[ProfileChange, str, int]]) -> None:
    """What events, in order, do to the declared sections: (change, event type, when received). A change that changes
    nothing leaves the version as it is."""
    found = _rows(transaction, tenant_id, list({change.user_ref for change, _, _ in changes}))
    now = {row.user_ref: (row.version, unpack_declared(row.declared), unpack_consent(row.consent)) for row in found}
    updates, history = {}, []
    for change, type_, at in changes:
        if change.user_ref not in now:
            continue
        version, declared, consent = now[change.user_ref]
        after = _after(change, declared, consent)
        if after == (declared, consent):
            continue
        now[change.user_ref] = (version + 1, *after)
        updates[change.user_ref] = {
            "new_version": version + 1,
            "new_updated_at": at,
            "new_declared": pack(after[0]),
            "new_consent": pack(after[1]),
            "tenant": tenant_id,
            "ref": change.user_ref,
        }
        if after[1] != consent:
            history.append((tenant_id, change.user_ref, version + 1, at, f"event:{type_}", pack(after[1])))
    if updates:
        transaction.execute(_CHANGE, list(updates.values()))
        transaction.insert(consents, history)


def _after(change: ProfileChange, declared: Declared, consent: Consent) -> tuple[Declared, Consent]:
    if change.kind == UNREACHABLE:
        return replace(declared, reachability=unreachable(declared.reachability, change.channel)), consent
    return declared, withdrawn(consent, change.channel)


def _rows(transaction: Transaction, tenant_id: str, user_refs: Sequence[bytes]) -> list[_Row]:
    return [_Row._make(row) for row in transaction.among(_MANY, tenant_id, user_refs)]


def _stored(transaction: Transaction, tenant_id: str, user_refs: Sequence[bytes]) -> dict[bytes, _Stored]:
    rows = _rows(transaction, tenant_id, list(dict.fromkeys(user_refs)))
    return {
        row.user_ref: _Stored(
            row.version, row.created_at, unpack_consent(row.consent), unpack_patterns(row.patterns), row.learned_seq
        )
        for row in rows
    }


def _values(profile: PersonalizationProfile, attributes: bytes | None) -> _Row:
    return _Row(
        profile.tenant_id,
        profile.user_ref,
        profile.version,
        profile.created_at,
        profile.updated_at,
        attributes,
        write_json(profile.traits),
        profile.language,
        profile.timezone,
        pack(declared_of(profile)),
        pack(profile.consent),
        pack(profile.patterns),
        profile.learned_seq,
    )


def _profile(row: _Row, attributes: Mapping[str, Any]) -> PersonalizationProfile:
    declared = unpack_declared(row.declared)
    return PersonalizationProfile(
        tenant_id=row.tenant_id,
        user_ref=row.user_ref,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        attributes=attributes,
        traits=read_json(row.traits),
        language=row.language,
        timezone=row.timezone,
        content_preferences=declared.content_preferences,
        channel_preferences=declared.channel_preferences,
        timing_preferences=declared.timing_preferences,
        frequency_preferences=declared.frequency_preferences,
        reachability=declared.reachability,
        consent=unpack_consent(row.consent),
        patterns=unpack_patterns(row.patterns),
        learned_seq=row.learned_seq,
    )
