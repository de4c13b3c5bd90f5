"""Deriving profiles and what was learned from the log's first row again, to hold it beside the live state."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from personalization.learning.credit import CreditLedger
from personalization.operations.learner import LEARNER, apply
from personalization.operations.projector import PAGE, PROJECTOR, project
from personalization.operations.rewarding import metrics
from personalization.profile import Patterns, PersonalizationProfile
from personalization.storage.base import Storage


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
    ledger, profiles, metric_of = CreditLedger(), _blank(storage, tenant_id), metrics(storage, tenant_id)
    at, last = 0, max(until, ledger_until)
    while at < last:
        rows = storage.log.read(tenant_id, at, PAGE)
        profiles = project(profiles, [row for row in rows if row.seq <= until])
        for row in rows:
            if row.seq <= ledger_until:
                apply(ledger, row, metric_of)
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
