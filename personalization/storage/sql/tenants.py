"""Tenants, their keys and the versions of their configuration."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from personalization.errors import Conflict, NotFound
from personalization.recent import Recent
from personalization.sealing import Cipher, TenantKeys
from personalization.storage.sql.engine import Database, Transaction
from personalization.storage.sql.head import locked_head
from personalization.storage.sql.packing import read_config, write_json
from personalization.storage.sql.schema import log_heads, tenant_configs, tenants
from personalization.tenant import TenantConfig
from personalization.vocabulary import LogType

_REMEMBERED = 10_000


class SqlTenants:
    """A TenantStore. Keys and versions never change, so they are read once a process."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher
        self._keys: Recent[str, TenantKeys] = Recent(_REMEMBERED)
        self._configs: Recent[tuple[str, int], TenantConfig] = Recent(_REMEMBERED)

    def create(self, tenant_id: str, at: int) -> bool:
        keys = self._cipher.new_tenant_keys(tenant_id)
        with self._database.write() as transaction:
            if self._exists(transaction, tenant_id):
                return False
            transaction.insert(tenants, [(tenant_id, at, keys.wrapped_key, keys.wrapped_index_key)], ignore=True)
            made = self._keys_of(transaction, tenant_id) == keys
            if made:
                transaction.insert(tenant_configs, [(tenant_id, 0, at, write_json(TenantConfig()))])
                transaction.insert(log_heads, [(tenant_id, 0, 0)])
        return made

    def exists(self, tenant_id: str) -> bool:
        if self._keys.get(tenant_id):
            return True
        with self._database.read() as transaction:
            return self._exists(transaction, tenant_id)

    def _exists(self, transaction: Transaction, tenant_id: str) -> bool:
        return transaction.execute(sa.select(sa.literal(1)).where(tenants.c.tenant_id == tenant_id)).first() is not None

    def config(self, tenant_id: str, version: int | None = None) -> TenantConfig:
        known = None if version is None else self._configs.get((tenant_id, version))
        return known or self._read_config(tenant_id, version)

    def _read_config(self, tenant_id: str, version: int | None) -> TenantConfig:
        statement = sa.select(tenant_configs.c.config).where(tenant_configs.c.tenant_id == tenant_id)
        statement = statement.order_by(tenant_configs.c.version.desc()).limit(1)
        with self._database.read() as transaction:
            found = transaction.execute(
                statement if version is None else statement.where(tenant_configs.c.version == version)
            ).first()
        if found is None:
            raise NotFound("tenant" if version is None else "configuration version")
        config = read_config(found.config)
        self._configs.put((tenant_id, config.version), config)
        return config

    def save_config(self, tenant_id: str, config: TenantConfig, at: int) -> TenantConfig:
        saved = replace(config, version=config.version + 1)
        with self._database.write() as transaction, locked_head(transaction, tenant_id) as head:
            newest = sa.select(sa.func.max(tenant_configs.c.version)).where(tenant_configs.c.tenant_id == tenant_id)
            if transaction.execute(newest).scalar_one() != config.version:
                raise Conflict("The configuration was changed since it was read; read it again and repeat the change.")
            transaction.insert(tenant_configs, [(tenant_id, saved.version, at, write_json(saved))])
            head.append(LogType.CONFIG_CHANGED, at, {"version": saved.version})
        return saved

    def secret(self, tenant_id: str, purpose: str) -> bytes:
        return self._cipher.mac(self.keys(tenant_id), f"secret:{purpose}", b"")

    def keys(self, tenant_id: str) -> TenantKeys:
        """The tenant's wrapped keys. Raises NotFound."""
        known = self._keys.get(tenant_id)
        if known is None:
            with self._database.read() as transaction:
                known = self._keys_of(transaction, tenant_id)
            self._keys.put(tenant_id, known)
        return known

    def _keys_of(self, transaction: Transaction, tenant_id: str) -> TenantKeys:
        statement = sa.select(tenants.c.tenant_id, tenants.c.wrapped_key, tenants.c.wrapped_index_key)
        found = transaction.execute(statement.where(tenants.c.tenant_id == tenant_id)).first()
        if found is None:
            raise NotFound("tenant")
        return TenantKeys(*found)

    def list(self) -> list[str]:
        with self._database.read() as transaction:
            return sorted(transaction.execute(sa.select(tenants.c.tenant_id)).scalars())
