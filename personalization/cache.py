"""A ProfileStore around a ProfileStore: the most recently used profiles stay in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from threading import Lock

from personalization import telemetry
from personalization.clock import SECOND, Clock
from personalization.profile import Consent, PersonalizationProfile
from personalization.storage.base import ProfileStore

CAPACITY = 20_000
TIME_TO_LIVE = 3600 * SECOND

_hit, _miss = telemetry.CACHE.labels("hit"), telemetry.CACHE.labels("miss")

Key = tuple[str, bytes]


class CachedProfiles:
    """Keeps at most `capacity` profiles (and the knowledge that there is none), least recently used first out.

    Writes through this object are seen at once; what other processes write is seen after `forget`.
    """

    def __init__(self, inner: ProfileStore, clock: Clock, capacity: int = CAPACITY) -> None:
        self._inner, self._clock, self._capacity = inner, clock, capacity
        self._kept: OrderedDict[Key, tuple[int, PersonalizationProfile | None]] = OrderedDict()
        self._lock = Lock()
        self._generation = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def load(self, tenant_id: str, user_refs: Iterable[bytes]) -> dict[bytes, PersonalizationProfile]:
        found: dict[bytes, PersonalizationProfile] = {}
        missing: list[bytes] = []
        oldest = self._clock.now() - TIME_TO_LIVE
        with self._lock:
            generation = self._generation
            for user_ref in user_refs:
                kept = self._kept.get((tenant_id, user_ref))
                if kept is None or kept[0] < oldest:
                    missing.append(user_ref)
                    continue
                self._kept.move_to_end((tenant_id, user_ref))
                if kept[1] is not None:
                    found[user_ref] = kept[1]
        _hit.inc(len(found))
        if missing:
            _miss.inc(len(missing))
            loaded = self._inner.load(tenant_id, missing)
            found.update(loaded)
            self._keep(tenant_id, {user_ref: loaded.get(user_ref) for user_ref in missing}, generation)
        return found

    def save(self, profile: PersonalizationProfile, source: str, at: int) -> PersonalizationProfile:
        try:
            return self._inner.save(profile, source, at)
        finally:
            self.forget(profile.tenant_id, [profile.user_ref])

    def save_many(self, profiles: Sequence[PersonalizationProfile], source: str, at: int) -> list[PersonalizationProfile | None]:
        try:
            return self._inner.save_many(profiles, source, at)
        finally:
            for profile in profiles:
                self.forget(profile.tenant_id, [profile.user_ref])

    def project(self, tenant_id: str, profiles: Sequence[PersonalizationProfile], seq: int, expected: int) -> bool:
        try:
            return self._inner.project(tenant_id, profiles, seq, expected)
        finally:
            self.forget(tenant_id, [profile.user_ref for profile in profiles])

    def scan(self, tenant_id: str, after: bytes | None, limit: int) -> list[PersonalizationProfile]:
        return self._inner.scan(tenant_id, after, limit)

    def consents(self, tenant_id: str, user_ref: bytes) -> list[tuple[int, str, Consent]]:
        return self._inner.consents(tenant_id, user_ref)

    def forget(self, tenant_id: str, user_refs: Iterable[bytes]) -> None:
        """The next load of these reads the store."""
        with self._lock:
            self._generation += 1
            for user_ref in user_refs:
                self._kept.pop((tenant_id, user_ref), None)

    def _keep(self, tenant_id: str, loaded: dict[bytes, PersonalizationProfile | None], generation: int) -> None:
        """Keep what was read, unless something was forgotten meanwhile: it might be what was read."""
        now = self._clock.now()
        with self._lock:
            if generation != self._generation:
                return
            for user_ref, profile in loaded.items():
                self._kept[tenant_id, user_ref] = (now, profile)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
