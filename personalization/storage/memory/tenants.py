"""Tenants, their configurations and their API keys, in dicts."""

from __future__ import annotations

from dataclasses import replace

from personalization.errors import Conflict, NotFound
from personalization.sealing import Cipher
from personalization.storage.base import ApiKeyRecord
from personalization.storage.memory.rows import Room, Rows, TenantRows
from personalization.tenant import TenantConfig
from personalization.vocabulary import LogType


class MemoryTenants(Room):
    """A TenantStore."""

    def __init__(self, house: Rows, cipher: Cipher) -> None:
        super().__init__(house)
        self._cipher = cipher

    def create(self, tenant_id: str, at: int) -> bool:
        with self._lock:
            if tenant_id in self._house.tenants:
                return False
            self._house.tenants[tenant_id] = TenantRows(self._cipher.new_tenant_keys(tenant_id), [TenantConfig()])
            return True

    def exists(self, tenant_id: str) -> bool:
        return tenant_id in self._house.tenants

    def config(self, tenant_id: str, version: int | None = None) -> TenantConfig:
        configs = self._house.tenant(tenant_id).configs
        if version is None:
            return configs[-1]
        if not 0 <= version < len(configs):
            raise NotFound("configuration version")
        return configs[version]

    def save_config(self, tenant_id: str, config: TenantConfig, at: int) -> TenantConfig:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            if tenant.configs[-1].version != config.version:
                raise Conflict("The configuration was changed since it was read; read it again and repeat the change.")
            saved = replace(config, version=config.version + 1)
            tenant.configs.append(saved)
            tenant.note(LogType.CONFIG_CHANGED, at, {"version": saved.version})
            return saved

    def secret(self, tenant_id: str, purpose: str) -> bytes:
        return self._cipher.mac(self._house.tenant(tenant_id).keys, f"secret:{purpose}", b"")

    def list(self) -> list[str]:
        return sorted(self._house.tenants)


class MemoryApiKeys(Room):
    """An ApiKeyStore."""

    def add(self, record: ApiKeyRecord) -> None:
        with self._lock:
            self._house.tenant(record.tenant_id)
            if record.key_id in self._house.api_keys:
                raise Conflict(f"There is an API key {record.key_id} already.")
            self._house.api_keys[record.key_id] = record

    def get(self, key_id: str) -> ApiKeyRecord | None:
        return self._house.api_keys.get(key_id)

    def revoke(self, tenant_id: str, key_id: str, at: int) -> bool:
        with self._lock:
            found = self._house.api_keys.get(key_id)
            if found is None or found.tenant_id != tenant_id or found.revoked_at is not None:
                return False
            self._house.api_keys[key_id] = replace(found, revoked_at=at)
            return True

    def revoked_since(self, at: int) -> list[str]:
        with self._lock:
            return sorted(k.key_id for k in self._house.api_keys.values() if k.revoked_at is not None and k.revoked_at >= at)

    def list(self, tenant_id: str, limit: int, after: str = "") -> list[ApiKeyRecord]:
        with self._lock:
            ours = [
                k for k in self._house.api_keys.values() if k.tenant_id == tenant_id and k.revoked_at is None and k.key_id > after
            ]
            return sorted(ours, key=lambda k: k.key_id)[:limit]
