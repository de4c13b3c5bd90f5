"""The projector keeps profiles: behaviour is derived from the log, row by row in its order."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from personalization import telemetry
from personalization.cache import CachedProfiles
from personalization.messages import LogEntry
from personalization.profile import PersonalizationProfile
from personalization.recent import Recent
from personalization.storage.base import Storage
from personalization.vocabulary import EventType, LogType

PROJECTOR = "projector"

#: Rows of a page.
PAGE = 1_000
#: Profiles whose patterns the projector remembers.
_KNOWN = 50_000
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
            self._last = (tenant_id, after, self._storage.log.read(tenant_id, after, PAGE))
        return self._last[2]

    def forget(self) -> None:
        """Rows were blanked; read again."""
        self._last = ("", 0, [])


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
