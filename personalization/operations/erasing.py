"""The leader's part when people leave: every row, what was learned of them, the bytes, and then the certificate."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from personalization.clock import Clock, rfc3339
from personalization.learning.credit import CreditLedger
from personalization.learning.experience import ModelState
from personalization.learning.policy import decode_policy
from personalization.models.registry import PolicyBook
from personalization.operations.learner import Learner, apply, published
from personalization.operations.projector import PAGE, Pages, Projector
from personalization.operations.rewarding import MetricOf, metrics
from personalization.storage.base import Erasure, Storage
from personalization.version import VERSION

#: Pages of the log that are learned anew between two looks at its end.
_PAGES_A_LOOK = 10
_SNAPSHOTS_A_LOOK = 100
#: Scrubs take at most this share of the time; a failed one is tried again after so many seconds.
_SCRUB_SHARE, _SCRUB_AGAIN = 0.2, 10.0

#: Drops people from this process's memory: tenant_id, pseudonyms.
Forget = Callable[[str, Iterable[bytes]], None]


class Eraser:
    """Finishes what `PrivacyStore.begin` began, also after a crash in between. Owned by the followers' thread.

    A tenant's pending people make one batch: their rows are swept, then its policies are learned anew from the log's first
    row without them, a few pages a look, while live learning goes on; snapshots that know a feature which only they had
    are deleted, the database's files are scrubbed, and the certificates are written. Who comes later is in the next batch.
    """

    def __init__(
        self, storage: Storage, book: PolicyBook, projector: Projector, learner: Learner, pages: Pages, forget: Forget, clock: Clock
    ) -> None:
        self._storage, self._book, self._projector, self._learner = storage, book, projector, learner
        self._pages, self._forget, self._clock = pages, forget, clock
        self._seen: dict[str, int] = {}
        self._batches: dict[str, _Batch] = {}
        self._scrub_at = 0.0

    def watch(self) -> None:
        """Every process's part: forget who left since the last look, whoever let them go."""
        for tenant_id, (newest, user_refs) in self._storage.privacy.departures(self._seen).items():
            self._forget(tenant_id, user_refs)
            self._seen[tenant_id] = newest

    def step(self) -> int:
        """One look; how many rows were learned anew, so that 0 means there is nothing to hurry for."""
        rows = 0
        for tenant_id, pending in groupby(sorted(self._storage.privacy.pending(), key=_tenant), key=_tenant):
            batch = self._batches.get(tenant_id)
            if batch is None:
                batch = self._batches[tenant_id] = self._begun(tenant_id, list(pending))
            rows += self._relearn(batch)
        done = [batch for batch in self._batches.values() if batch.relearned is None]
        if done and self._clock.monotonic() >= self._scrub_at:
            self._finish(done, self._scrubbed())
        return rows

    def forget(self) -> None:
        """Another process leads now."""
        self._batches.clear()

    def _begun(self, tenant_id: str, pending: list[Erasure]) -> _Batch:
        for erasure in pending:
            sweep(self._storage, erasure)
        self._pages.forget()
        self._projector.forget()
        ids = {erasure.erasure_id for erasure in pending}
        erasures = [erasure for erasure in self._storage.privacy.pending() if erasure.erasure_id in ids]
        taught = any(erasure.swept.get("decisions", 0) + erasure.swept.get("cited", 0) for erasure in erasures)
        return _Batch(tenant_id, erasures, CreditLedger() if taught else None, metrics(self._storage, tenant_id))

    def _relearn(self, batch: _Batch) -> int:
        if batch.relearned is None:
            return 0
        ledger, live, rows = batch.relearned, self._learner.ledger(batch.tenant_id), 0
        for _ in range(_PAGES_A_LOOK):
            page = self._storage.log.read(batch.tenant_id, ledger.seq, min(PAGE, live.seq - ledger.seq))
            for row in page:
                apply(ledger, row, batch.metric_of)
            rows += len(page)
            if ledger.seq >= live.seq:
                self._adopt(batch, live, ledger)
                break
        return rows

    def _adopt(self, batch: _Batch, live: CreditLedger, ledger: CreditLedger) -> None:
        for model_id, before in sorted(live.models.items()):
            after = ledger.models.get(model_id) or ModelState()
            if _learned(before) == _learned(after):
                after.changed = before.changed
            else:
                self._publish(batch.tenant_id, model_id, ledger, after)
        self._learner.adopt(batch.tenant_id, ledger)
        batch.relearned = None

    def _publish(self, tenant_id: str, model_id: str, ledger: CreditLedger, model: ModelState) -> None:
        """What was learned without them is the newest now; older snapshots that know more features go."""
        newest = self._storage.snapshots.publish(tenant_id, model_id, ledger.seq, self._clock.now(), published(ledger, model))
        self._book.put(newest)
        model.changed = 0.0
        before, known = newest.snapshot_id, model.pairs()
        while found := self._storage.privacy.snapshots(tenant_id, model_id, before, _SNAPSHOTS_A_LOOK):
            before = found[-1].snapshot_id
            theirs = [s.snapshot_id for s in found if decode_policy(s.body, s.snapshot_id, model_id).pairs() - known]
            if theirs:
                self._storage.privacy.retire(tenant_id, theirs)

    def _scrubbed(self) -> str:
        """Others want the database too, so scrubs take a small share of the time, and one that failed is not repeated at
        once."""
        began = self._clock.monotonic()
        self._scrub_at = began + _SCRUB_AGAIN
        how = self._storage.privacy.scrub()
        self._scrub_at = began + (self._clock.monotonic() - began) / _SCRUB_SHARE
        return how

    def _finish(self, done: Iterable[_Batch], how: str) -> None:
        for batch in done:
            secret = certificate_secret(self._storage, batch.tenant_id)
            for erasure in batch.erasures:
                now = self._clock.now()
                self._storage.privacy.complete(erasure, now, json.dumps(certificate_of(erasure, now, how, secret)))
            self._forget(batch.tenant_id, [erasure.user_ref for erasure in batch.erasures if erasure.user_ref is not None])
            del self._batches[batch.tenant_id]


@dataclass
class _Batch:
    """People of one tenant who leave together. relearned: the policies' ledger on its way, None when it is in force."""

    tenant_id: str
    erasures: list[Erasure]
    relearned: CreditLedger | None
    metric_of: MetricOf


def sweep(storage: Storage, erasure: Erasure) -> None:
    """Every row of the log that is left of them."""
    while storage.privacy.sweep(erasure):
        pass


def certificate_of(erasure: Erasure, now: int, storage: str, secret: bytes) -> dict[str, Any]:
    """What can be shown afterwards; `mac` is HMAC-SHA256 over the other members as compact JSON with sorted keys."""
    said = {
        "erasure_id": erasure.erasure_id,
        "tenant_id": erasure.tenant_id,
        "user_id_hmac": erasure.id_mac.hex(),
        "requested_at": rfc3339(erasure.requested_at),
        "completed_at": rfc3339(now),
        "swept": dict(sorted(erasure.swept.items())),
        "storage": storage,
        "code_version": VERSION,
    }
    return {**said, "mac": _mac(said, secret)}


def certificate_is_genuine(certificate: Mapping[str, Any], secret: bytes) -> bool:
    said = {name: value for name, value in certificate.items() if name != "mac"}
    return hmac.compare_digest(str(certificate.get("mac")), _mac(said, secret))


def certificate_secret(storage: Storage, tenant_id: str) -> bytes:
    return storage.tenants.secret(tenant_id, "erasure certificate")


def _mac(said: Mapping[str, Any], secret: bytes) -> str:
    return hmac.digest(secret, json.dumps(said, sort_keys=True, separators=(",", ":")).encode(), "sha256").hex()


def _learned(model: ModelState) -> tuple[object, ...]:
    return model.rewards.pack(), model.unsent.pack(), sorted(model.counts.items())


def _tenant(erasure: Erasure) -> str:
    return erasure.tenant_id
