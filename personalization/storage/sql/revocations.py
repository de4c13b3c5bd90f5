"""Bearer tokens that were ended before their time."""

from __future__ import annotations

import sqlalchemy as sa

from personalization.storage.sql.engine import Database
from personalization.storage.sql.schema import revoked_tokens


class SqlRevocations:
    """A RevocationStore that reads the database every time: a revocation is seen at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, tenant_id: str, digest: bytes, at: int, expires_at: int) -> None:
        same = (revoked_tokens.c.tenant_id == tenant_id) & (revoked_tokens.c.digest == digest)
        later = sa.case((revoked_tokens.c.expires_at > expires_at, revoked_tokens.c.expires_at), else_=expires_at)
        with self._database.write() as transaction:
            if not transaction.execute(sa.update(revoked_tokens).where(same).values(expires_at=later)).rowcount:
                transaction.insert(revoked_tokens, [(tenant_id, digest, at, expires_at)], ignore=True)

    def has(self, tenant_id: str, digest: bytes) -> bool:
        statement = sa.select(sa.literal(1)).where(revoked_tokens.c.tenant_id == tenant_id, revoked_tokens.c.digest == digest)
        with self._database.read() as transaction:
            return transaction.execute(statement).first() is not None

    def since(self, at: int) -> list[tuple[str, bytes]]:
        statement = sa.select(revoked_tokens.c.tenant_id, revoked_tokens.c.digest).where(revoked_tokens.c.revoked_at >= at)
        with self._database.read() as transaction:
            return sorted((tenant_id, digest) for tenant_id, digest in transaction.execute(statement))

    def prune(self, before: int) -> int:
        with self._database.write() as transaction:
            return transaction.execute(sa.delete(revoked_tokens).where(revoked_tokens.c.expires_at < before)).rowcount
