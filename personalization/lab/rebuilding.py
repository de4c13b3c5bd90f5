"""Whether what is live is what the log says: every tenant derived anew from its first row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

from personalization.operations.learner import LEARNER
from personalization.operations.projector import PROJECTOR
from personalization.operations.rebuilding import RebuildCheck, rebuild
from personalization.storage.base import Storage

#: How often a tenant whose followers moved on meanwhile is compared again.
_TRIES = 5

Step = Callable[[int, int], None]


@dataclass(frozen=True)
class Rebuilt:
    """seq: rows compared, over all tenants."""

    seq: int
    live_hash: str
    rebuilt_hash: str
    identical: bool

    def document(self) -> dict[str, Any]:
        return asdict(self)


def check(storage: Storage, tenants: Sequence[str], step: Step) -> Rebuilt:
    """Compare these tenants. A server may go on writing: a difference counts only while the followers stood still."""
    found = [_settled(storage, tenant_id, step) for tenant_id in tenants]
    if len(found) == 1:
        return Rebuilt(found[0].seq, found[0].live_hash, found[0].rebuilt_hash, found[0].identical)
    return Rebuilt(
        sum(one.seq for one in found),
        _combined([one.live_hash for one in found]),
        _combined([one.rebuilt_hash for one in found]),
        all(one.identical for one in found),
    )


def _settled(storage: Storage, tenant_id: str, step: Step) -> RebuildCheck:
    for _ in range(_TRIES):
        before = _checkpoints(storage, tenant_id)
        found = rebuild(storage, tenant_id, step)
        if found.identical or _checkpoints(storage, tenant_id) == before:
            break
    return found


def _checkpoints(storage: Storage, tenant_id: str) -> list[int | None]:
    known = [storage.checkpoints.load(tenant_id, follower) for follower in (PROJECTOR, LEARNER)]
    return [None if one is None else one[0] for one in known]


def _combined(hashes: Sequence[str]) -> str:
    return blake2b("".join(hashes).encode(), digest_size=16).hexdigest()
