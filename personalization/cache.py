"""Stores around stores: what was used recently stays in memory.

Profiles are kept until they are forgotten; the newest configuration and templates for FRESH, since another process may
change them. What is written through these objects is seen at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from msgspec.structs import replace

from personalization import telemetry
from personalization.clock import SECOND, Clock
from personalization.profile import Consent, PersonalizationProfile
from personalization.recent import Recent
from personalization.storage.base import ProfileStore, TemplateStore, TenantStore
from personalization.template import Template
from personalization.tenant import TenantConfig

CAPACITY = 20_000
TIME_TO_LIVE = 3600 * SECOND
#: How long the newest version of something is believed to be the newest.
FRESH = SECOND // 2
_NEWEST_KEPT = 10_000

_hit, _miss = telemetry.CACHE.labels("hit"), telemetry.CACHE.labels("miss")

Key = tuple[str, bytes]
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


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
        projected = False
        try:
            projected = self._inner.project(tenant_id, profiles, seq, expected)
        finally:
            if projected:
                self._renew(tenant_id, profiles)
            else:
                self.forget(tenant_id, [profile.user_ref for profile in profiles])
        return projected

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

    def _renew(self, tenant_id: str, projected: Sequence[PersonalizationProfile]) -> None:
        """What is kept of these gets the patterns that were projected; what is being read meanwhile is not kept."""
        with self._lock:
            self._generation += 1
            for profile in projected:
                at, kept = self._kept.pop((tenant_id, profile.user_ref), (0, None))
                if kept is not None:
                    renewed = replace(kept, patterns=profile.patterns, learned_seq=profile.learned_seq)
                    self._kept[tenant_id, profile.user_ref] = (at, renewed)

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


class _Newest(Generic[K, V]):
    """What was the newest a moment ago, for at most FRESH; thread-safe without a lock (see `Recent`)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: Recent[K, tuple[int, V]] = Recent(_NEWEST_KEPT)

    def get(self, key: K, read: Callable[[], V]) -> V:
        now, kept = self._clock.now(), self._kept.get(key)
        if kept is not None and abs(now - kept[0]) < FRESH:  # a clock may be set back
            return kept[1]
        value = read()
        self._kept.put(key, (now, value))
        return value

    def drop(self, key: K) -> None:
        self._kept.drop(key)


class CachedTenants:
    """A TenantStore that does not ask for the newest configuration at every decision."""

    def __init__(self, inner: TenantStore, clock: Clock) -> None:
        self._inner = inner
        self._newest: _Newest[str, TenantConfig] = _Newest(clock)
        self._secrets: Recent[tuple[str, str], bytes] = Recent(_NEWEST_KEPT)
        self.create, self.exists, self.list = inner.create, inner.exists, inner.list

    def config(self, tenant_id: str, version: int | None = None) -> TenantConfig:
        if version is not None:
            return self._inner.config(tenant_id, version)
        return self._newest.get(tenant_id, lambda: self._inner.config(tenant_id))

    def save_config(self, tenant_id: str, config: TenantConfig, at: int) -> TenantConfig:
        try:
            return self._inner.save_config(tenant_id, config, at)
        finally:
            self._newest.drop(tenant_id)

    def secret(self, tenant_id: str, purpose: str) -> bytes:
        found = self._secrets.get((tenant_id, purpose))
        if found is None:
            found = self._inner.secret(tenant_id, purpose)
            self._secrets.put((tenant_id, purpose), found)
        return found


class CachedTemplates:
    """A TemplateStore that does not ask for the newest version at every decision."""

    def __init__(self, inner: TemplateStore, clock: Clock) -> None:
        self._inner = inner
        self._newest: _Newest[tuple[str, str], Template | None] = _Newest(clock)
        self.list, self.versions = inner.list, inner.versions

    def get(self, tenant_id: str, template_id: str, version: int | None = None) -> Template | None:
        if version is not None:
            return self._inner.get(tenant_id, template_id, version)
        return self._newest.get((tenant_id, template_id), lambda: self._inner.get(tenant_id, template_id))

    def save(self, template: Template) -> Template:
        try:
            return self._inner.save(template)
        finally:
            self._newest.drop((template.tenant_id, template.template_id))

    def delete(self, tenant_id: str, template_id: str, at: int) -> bool:
        try:
            return self._inner.delete(tenant_id, template_id, at)
        finally:
            self._newest.drop((tenant_id, template_id))
