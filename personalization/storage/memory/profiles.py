"""Profiles, the consents in their past, and the projector's way of storing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import structs

from personalization.errors import Conflict
from personalization.profile import Consent, Patterns, PersonalizationProfile
from personalization.storage.memory.rows import Room, TenantRows
from personalization.storage.rules import PROJECTOR
from personalization.vocabulary import LogType


class MemoryProfiles(Room):
    """A ProfileStore."""

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
