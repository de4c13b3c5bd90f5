"""People who leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from personalization.errors import NotFound
from personalization.messages import LogEntry
from personalization.sealing import Cipher
from personalization.storage.base import COMPLETED, ERASE, PENDING, Erasure, Snapshot, Words
from personalization.storage.memory.repeats import MemoryRepeats
from personalization.storage.memory.rows import Rows, TenantRows
from personalization.storage.memory.sweeping import blank, named, strip, swept_sections
from personalization.storage.memory.users import user_mac
from personalization.storage.rules import RECENT_TOMBSTONES
from personalization.vocabulary import LogType


class MemoryPrivacy:
    """A PrivacyStore. There are no files to scrub."""

    def __init__(self, house: Rows, repeats: MemoryRepeats, cipher: Cipher, token: Callable[[int], bytes]) -> None:
        self._house, self._lock, self._repeats, self._cipher, self._token = house, house.lock, repeats, cipher, token

    def begin(self, tenant_id: str, user_id: str, kind: str, erasure_id: str, at: int) -> Erasure:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            mac, user_ref = user_mac(self._cipher, tenant.keys, user_id), tenant.refs.pop(user_id, None)
            if user_ref is None:
                if kind == ERASE and mac in tenant.barred:
                    return tenant.erasures[tenant.barred[mac]]
                raise NotFound("user")
            del tenant.ids[user_ref]
            answers = {"repeatable_answers": self._repeats.forget(tenant_id)}
            swept = {"users": 1, **swept_sections(tenant, user_ref, kind), **answers}
            self._bury(tenant, user_ref, kind, at)
            erasure = Erasure(
                tenant_id=tenant_id,
                erasure_id=erasure_id,
                kind=kind,
                status=PENDING,
                id_mac=mac,
                requested_at=at,
                user_ref=user_ref,
                swept=swept,
            )
            tenant.erasures[erasure_id] = erasure
            if kind == ERASE:
                tenant.barred[mac] = erasure_id
            return erasure

    def _bury(self, tenant: TenantRows, user_ref: bytes, kind: str, at: int) -> None:
        tenant.note(LogType.ERASED if kind == ERASE else LogType.ANONYMIZED, at, {"previous": tenant.erased}, user_ref)
        tenant.rows_of_user[user_ref].pop()
        tenant.gone.add(user_ref)
        tenant.erased = len(tenant.log)

    def find(self, tenant_id: str, erasure_id: str) -> Erasure | None:
        found = self._house.known(tenant_id).erasures.get(erasure_id)
        return found if found is not None and found.kind == ERASE else None

    def pending(self) -> list[Erasure]:
        with self._lock:
            every = [e for tenant in self._house.tenants.values() for e in tenant.erasures.values() if e.status == PENDING]
        return sorted(every, key=lambda erasure: (erasure.requested_at, erasure.erasure_id))

    def sweep(self, erasure: Erasure, limit: int = 500) -> int:
        with self._lock:
            tenant = self._house.tenant(erasure.tenant_id)
            if erasure.user_ref is None:
                return 0
            seqs = tenant.rows_of_user.get(erasure.user_ref, [])
            if erasure.kind != ERASE:
                seqs = [seq for seq in seqs if named(tenant, seq)]
            some = seqs[:limit]
            counts = {"events": 0, "cited": 0, "decisions": 0}
            take = blank if erasure.kind == ERASE else partial(strip, token=self._token)
            for seq in some:
                take(tenant, seq, counts)
            if erasure.kind == ERASE:
                tenant.rows_of_user[erasure.user_ref] = seqs[limit:]
            self._count(tenant, erasure, counts)
            if not some:
                self._repeats.forget(erasure.tenant_id)  # those given while the rows were swept
            return len(some)

    def _count(self, tenant: TenantRows, erasure: Erasure, counts: Mapping[str, int]) -> None:
        known = tenant.erasures[erasure.erasure_id]
        swept = {**known.swept, **{what: known.swept.get(what, 0) + n for what, n in counts.items()}}
        tenant.erasures[erasure.erasure_id] = replace(known, swept=swept)

    def complete(self, erasure: Erasure, at: int, certificate: str) -> None:
        with self._lock:
            tenant = self._house.tenant(erasure.tenant_id)
            known = tenant.erasures.pop(erasure.erasure_id)
            if known.kind == ERASE:
                tenant.erasures[known.erasure_id] = replace(
                    known, status=COMPLETED, completed_at=at, certificate=certificate, user_ref=None
                )

    def departures(self, after: Mapping[str, int]) -> dict[str, tuple[int, list[bytes]]]:
        with self._lock:
            moved = {t: rows for t, rows in self._house.tenants.items() if rows.erased > after.get(t, 0)}
            return {t: (rows.erased, _tombstones(rows, after.get(t))) for t, rows in moved.items()}

    def scrub(self) -> str:
        return "rewritten"

    def words(self, tenant_id: str, user_ref: bytes, seqs: Iterable[int]) -> dict[int, Words]:
        with self._lock:
            tenant = self._house.known(tenant_id)
            theirs = set(tenant.rows_of_user.get(user_ref, ()))
            return {seq: tenant.words[seq] for seq in seqs if seq in theirs and seq in tenant.words}

    def retire(self, tenant_id: str, snapshot_ids: Iterable[int]) -> int:
        with self._lock:
            every = self._house.snapshots
            ours = [id_ for id_ in snapshot_ids if id_ in every and every[id_].tenant_id == tenant_id]
            for id_ in ours:
                del every[id_]
            return len(ours)

    def snapshots(self, tenant_id: str, model_id: str, before: int, limit: int) -> list[Snapshot]:
        with self._lock:
            ours = [s for s in self._house.snapshots.values() if (s.tenant_id, s.model_id) == (tenant_id, model_id)]
        return sorted((s for s in ours if s.snapshot_id < before), key=lambda s: -s.snapshot_id)[:limit]


def _tombstones(tenant: TenantRows, after: int | None) -> list[bytes]:
    """Newest first, back to `after` or a few hundred."""
    found: list[bytes] = []
    at = tenant.erased
    while at > (after or 0) and (after is not None or len(found) < RECENT_TOMBSTONES):
        row = tenant.log[at - 1]
        if not isinstance(row, LogEntry) or row.user_ref is None or row.body is None:
            break
        found.append(row.user_ref)
        at = row.body["previous"]
    return found
