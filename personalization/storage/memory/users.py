"""Who has which pseudonym."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from personalization.sealing import Cipher, TenantKeys
from personalization.storage.memory.rows import Room, Rows, TenantRows, empty_profile


class MemoryUsers(Room):
    """A UserStore. Ids are not sealed, as nothing is written anywhere."""

    def __init__(self, house: Rows, cipher: Cipher, token: Callable[[int], bytes]) -> None:
        super().__init__(house)
        self._cipher, self._token = cipher, token

    def resolve(
        self, tenant_id: str, user_ids: Iterable[str], at: int, create: bool = False, afresh: bool = False
    ) -> dict[str, bytes]:
        with self._lock:
            tenant = self._house.tenant(tenant_id)
            wanted = list(dict.fromkeys(user_ids))
            for user_id in wanted if create else ():
                if user_id not in tenant.refs and (afresh or not self._barred(tenant, user_id)):
                    tenant.refs[user_id] = user_ref = self._token(16)
                    tenant.ids[user_ref] = user_id
                    tenant.profiles[user_ref] = empty_profile(tenant_id, user_ref, 0, at)
                    tenant.barred.pop(user_mac(self._cipher, tenant.keys, user_id), None)
            return {user_id: tenant.refs[user_id] for user_id in wanted if user_id in tenant.refs}

    def _barred(self, tenant: TenantRows, user_id: str) -> bool:
        return bool(tenant.barred) and user_mac(self._cipher, tenant.keys, user_id) in tenant.barred

    def reveal(self, tenant_id: str, user_refs: Iterable[bytes]) -> dict[bytes, str]:
        with self._lock:
            ids = self._house.tenant(tenant_id).ids
            return {user_ref: ids[user_ref] for user_ref in user_refs if user_ref in ids}


def user_mac(cipher: Cipher, keys: TenantKeys, user_id: str) -> bytes:
    """What stays of the id of somebody erased, so that it can be barred."""
    return cipher.mac(keys, "user_id", user_id.encode())[:16]
