"""The policies and prices this process decides with: the newest snapshot of each model, and past policies by number."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TypeVar

from personalization import telemetry
from personalization.errors import NotFound
from personalization.learning.policy import Policy, decode_policy, fresh_policy
from personalization.models.prices import NO_PRICES, PRICES, Pricing, decode_pricing
from personalization.storage.base import Snapshot, SnapshotStore

K = TypeVar("K")
V = TypeVar("V", Policy, Pricing)

#: Past policies, some megabytes each.
_KEPT = 64

_loaded = telemetry.SNAPSHOTS.labels("loaded")


class PolicyBook:
    """Reads never block on the database for a model's newest policy; past ones are fetched once and kept a while.

    `put` and `refresh` may be called from any thread; a policy, once handed out, never changes.
    """

    def __init__(self, snapshots: SnapshotStore) -> None:
        self._snapshots = snapshots
        self._newest: dict[tuple[str, str], Policy] = {}
        self._past: OrderedDict[tuple[str, int], Policy] = OrderedDict()
        self._pricings: dict[str, Pricing] = {}
        self._seen = 0
        self._lock = Lock()

    def current(self, tenant_id: str, model_id: str) -> Policy:
        """The newest known policy; the fresh one (snapshot 0) before anything was learned."""
        return self._newest.get((tenant_id, model_id)) or fresh_policy(model_id)

    def get(self, tenant_id: str, model_id: str, snapshot_id: int) -> Policy:
        """Raises NotFound when the snapshot was retired."""
        if snapshot_id == 0:
            return fresh_policy(model_id)
        newest = self._newest.get((tenant_id, model_id))
        if newest is not None and newest.snapshot_id == snapshot_id:
            return newest
        return self._past.get((tenant_id, snapshot_id)) or self._fetch(tenant_id, snapshot_id)

    def models(self, tenant_id: str) -> list[Policy]:
        """The newest policies of a tenant, by model id."""
        return [policy for key, policy in sorted(self._newest.items()) if key[0] == tenant_id]

    def pricing(self, tenant_id: str) -> Pricing:
        """The newest known shadow prices."""
        return self._pricings.get(tenant_id, NO_PRICES)

    def put(self, snapshot: Snapshot) -> None:
        """Decide with this snapshot from now on, unless a newer one is known."""
        if snapshot.model_id == PRICES:
            pricing = decode_pricing(snapshot.body, snapshot.snapshot_id)
            self._keep(self._pricings, snapshot.tenant_id, pricing)
        else:
            policy = decode_policy(snapshot.body, snapshot.snapshot_id, snapshot.model_id)
            self._keep(self._newest, (snapshot.tenant_id, snapshot.model_id), policy)
        _loaded.inc()

    def _keep(self, newest: dict[K, V], key: K, found: V) -> None:
        with self._lock:
            known = newest.get(key)
            if known is None or known.snapshot_id < found.snapshot_id:
                newest[key] = found
            self._seen = max(self._seen, found.snapshot_id)

    def refresh(self) -> None:
        """Load what other processes published."""
        for snapshot in self._snapshots.newest(self._seen):
            self.put(snapshot)

    def _fetch(self, tenant_id: str, snapshot_id: int) -> Policy:
        snapshot = self._snapshots.get(tenant_id, snapshot_id)
        if snapshot is None:
            raise NotFound("snapshot")
        policy = decode_policy(snapshot.body, snapshot_id, snapshot.model_id)
        with self._lock:
            self._past[tenant_id, snapshot_id] = policy
            if len(self._past) > _KEPT:
                self._past.popitem(last=False)
        return policy
