"""API keys, by digest."""

from __future__ import annotations

import sqlalchemy as sa

from personalization.errors import Conflict, NotFound
from personalization.storage.base import ApiKeyRecord
from personalization.storage.sql.engine import Database
from personalization.storage.sql.schema import api_keys

_COLUMNS = tuple(
    api_keys.c[name] for name in ("key_id", "tenant_id", "role", "name", "digest", "created_at", "expires_at", "revoked_at")
)


class SqlApiKeys:
    """An ApiKeyStore that reads the database every time: a revocation is seen at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: ApiKeyRecord) -> None:
        try:
            with self._database.write() as transaction:
                transaction.execute(sa.insert(api_keys).values({column: getattr(record, column.name) for column in _COLUMNS}))
        except sa.exc.IntegrityError as refused:
            if self.get(record.key_id):
                raise Conflict(f"There is an API key {record.key_id} already.") from refused
            raise NotFound("tenant") from refused

    def get(self, key_id: str) -> ApiKeyRecord | None:
        with self._database.read() as transaction:
            found = transaction.execute(sa.select(*_COLUMNS).where(api_keys.c.key_id == key_id)).first()
        return None if found is None else _record(found)

    def revoke(self, tenant_id: str, key_id: str, at: int) -> bool:
        ours = (api_keys.c.tenant_id == tenant_id) & (api_keys.c.key_id == key_id) & api_keys.c.revoked_at.is_(None)
        with self._database.write() as transaction:
            return transaction.execute(sa.update(api_keys).where(ours).values(revoked_at=at)).rowcount > 0

    def revoked_since(self, at: int) -> list[str]:
        with self._database.read() as transaction:
            statement = sa.select(api_keys.c.key_id).where(api_keys.c.revoked_at >= at)
            return sorted(transaction.execute(statement).scalars())

    def list(self, tenant_id: str, limit: int, after: str = "") -> list[ApiKeyRecord]:
        statement = sa.select(*_COLUMNS).where(api_keys.c.tenant_id == tenant_id, api_keys.c.revoked_at.is_(None))
        with self._database.read() as transaction:
            found = transaction.execute(statement.where(api_keys.c.key_id > after).order_by(api_keys.c.key_id).limit(limit))
            return [_record(row) for row in found]


def _record(row: sa.Row[tuple[object, ...]]) -> ApiKeyRecord:
    return ApiKeyRecord(**row._mapping)
