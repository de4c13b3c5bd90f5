"""Who owns a sealed value, and what a cipher promises. Stores are handed a Cipher; security makes one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class TenantKeys:
    """A tenant's data key and HMAC index key, both wrapped by the installation's key."""

    tenant_id: str
    wrapped_key: bytes
    wrapped_index_key: bytes


@dataclass(frozen=True)
class Owner:
    """Whose key seals a value: a user's, or with user_ref None the tenant's own."""

    keys: TenantKeys
    user_ref: bytes | None = None
    wrapped_key: bytes | None = None


class Cipher(Protocol):
    """Seals with AES-256-GCM under the owner's data key; AAD = tenant, user_ref, field. Thread-safe, never blocks."""

    def new_tenant_keys(self, tenant_id: str) -> TenantKeys: ...

    def new_user_key(self, keys: TenantKeys, user_ref: bytes) -> bytes:
        """A fresh data key, wrapped by the tenant's."""
        ...

    def mac(self, keys: TenantKeys, purpose: str, data: bytes) -> bytes:
        """32 bytes of HMAC-SHA256 under the tenant's index key; another purpose gives unrelated bytes."""
        ...

    def forget(self, owner: Owner) -> None:
        """Drop the owner's unwrapped data key from memory; the next use unwraps it again."""
        ...

    def seal(self, owner: Owner, field: str, value: bytes) -> bytes: ...

    def open(self, owner: Owner, field: str, sealed: bytes) -> bytes:
        """Raises SealBroken when owner, field or bytes are not those of `seal`."""
        ...
