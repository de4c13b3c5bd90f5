"""Requests with an Idempotency-Key, and what they were answered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from personalization.clock import MINUTE
from personalization.errors import StorageUnavailable
from personalization.sealing import Cipher, Owner, TenantKeys
from personalization.storage.base import CLAIMED, REPEATED, REUSED, RUNNING, Claim
from personalization.storage.sql.engine import Database
from personalization.storage.sql.schema import idempotency
from personalization.storage.sql.tenants import SqlTenants

_INSERTS: dict[str, Callable[[sa.Table], Any]] = {"postgresql": postgresql_insert, "sqlite": sqlite_insert}
_ANSWER = "idempotency answer"
_MAC_BYTES = 16
#: A process sweeps with its first claim and then with one claim in so much time.
_SWEEP = MINUTE


class SqlRepeats:
    """A RepeatStore. One statement takes a key that is free or has ended, so that of many callers one gets it."""

    def __init__(self, database: Database, cipher: Cipher, tenants: SqlTenants) -> None:
        self._database, self._cipher, self._tenants = database, cipher, tenants
        self._pruned_at = 0

    def claim(self, tenant_id: str, key: str, body: bytes, at: int, stale: int, ends: int) -> Claim:
        keys = self._tenants.keys(tenant_id)
        self._sweep(at)
        body_mac = self._cipher.mac(keys, "idempotency body", body)[:_MAC_BYTES]
        row = {
            "tenant_id": tenant_id,
            "key_mac": self._key_mac(keys, key),
            "body_mac": body_mac,
            "begun_at": at,
            "expires_at": ends,
            "sealed_answer": None,
        }
        with self._database.write() as transaction:
            if transaction.execute(self._taking(row, at, stale)).rowcount:
                return Claim(CLAIMED)
            found = transaction.execute(
                sa.select(idempotency.c.body_mac, idempotency.c.sealed_answer).where(*_row_of(tenant_id, row["key_mac"]))
            ).first()
        # Between the two statements the request may have failed and given its key back: as good as running.
        if found is None:
            return Claim(RUNNING)
        if found.body_mac != body_mac:
            return Claim(REUSED)
        if found.sealed_answer is None:
            return Claim(RUNNING)
        return Claim(REPEATED, self._cipher.open(Owner(keys), _ANSWER, found.sealed_answer))

    def settle(self, tenant_id: str, key: str, at: int, answer: bytes) -> bool:
        keys = self._tenants.keys(tenant_id)
        sealed = self._cipher.seal(Owner(keys), _ANSWER, answer)
        with self._database.write() as transaction:
            ours = _ours(tenant_id, self._key_mac(keys, key), at)
            return transaction.execute(sa.update(idempotency).where(*ours).values(sealed_answer=sealed)).rowcount > 0

    def release(self, tenant_id: str, key: str, at: int) -> bool:
        ours = _ours(tenant_id, self._key_mac(self._tenants.keys(tenant_id), key), at)
        with self._database.write() as transaction:
            return transaction.execute(sa.delete(idempotency).where(*ours)).rowcount > 0

    def prune(self, at: int) -> int:
        with self._database.write(durable=False) as transaction:
            return transaction.execute(sa.delete(idempotency).where(idempotency.c.expires_at <= at)).rowcount

    def _sweep(self, at: int) -> None:
        """Two sweeps at once may meet on PostgreSQL; whoever loses tries again a minute later."""
        if at - self._pruned_at >= _SWEEP:
            self._pruned_at = at
            with suppress(StorageUnavailable):
                self.prune(at)

    def _taking(self, row: dict[str, Any], at: int, stale: int) -> Any:
        there = idempotency.c
        free = (there.expires_at <= at) | (there.sealed_answer.is_(None) & (there.begun_at <= stale))
        return (
            _INSERTS[self._database.dialect.name](idempotency)
            .values(row)
            .on_conflict_do_update(index_elements=["tenant_id", "key_mac"], set_=row, where=free)
        )

    def _key_mac(self, keys: TenantKeys, key: str) -> bytes:
        return self._cipher.mac(keys, "idempotency", key.encode())[:_MAC_BYTES]


def _row_of(tenant_id: str, key_mac: Any) -> tuple[sa.ColumnElement[bool], ...]:
    return idempotency.c.tenant_id == tenant_id, idempotency.c.key_mac == key_mac


def _ours(tenant_id: str, key_mac: bytes, at: int) -> tuple[sa.ColumnElement[bool], ...]:
    return *_row_of(tenant_id, key_mac), idempotency.c.begun_at == at, idempotency.c.sealed_answer.is_(None)
