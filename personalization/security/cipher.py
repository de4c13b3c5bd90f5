"""Envelope encryption: a value under the user's key, that under the tenant's, that under the installation's."""

from __future__ import annotations

import hmac
import os
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from personalization.errors import MisconfiguredError, SealBroken
from personalization.recent import Recent
from personalization.sealing import Owner, TenantKeys

_KEY_BYTES, _NONCE_BYTES = 32, 12
_TENANT_KEY, _INDEX_KEY, _USER_KEY = "tenant key", "index key", "user key"

#: An unwrapped data key, and the part of the AAD that names its owner.
_Unwrapped = tuple[AESGCM, bytes]


class EnvelopeCipher:
    """The Cipher of every stored value: AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces.

    keys : (id, 32 bytes) as configured, newest first; the first wraps what is new, the others open what is old.
    A sealed value is nonce, ciphertext, tag. A tenant's wrapped keys begin with the id of the key that wraps them, so
    rotation rewraps two short values a tenant and touches nothing else. An unwrapped key stays in memory, 2.5 KB each,
    until `remembered` others were used after it.
    """

    def __init__(self, keys: tuple[tuple[str, bytes], ...], remembered: int = 20_000) -> None:
        if not keys:
            raise MisconfiguredError("ENCRYPTION_KEYS is empty: nothing can be sealed; set it to `k1:$(openssl rand -base64 32)`")
        self._newest_id = keys[0][0]
        self._master = {key_id: AESGCM(key) for key_id, key in keys}
        self._data_keys: Recent[tuple[str, bytes | None, bytes], _Unwrapped] = Recent(remembered)
        self._index_keys: Recent[tuple[str, bytes], bytes] = Recent(remembered)

    def new_tenant_keys(self, tenant_id: str) -> TenantKeys:
        data_key, index_key = os.urandom(_KEY_BYTES), os.urandom(_KEY_BYTES)
        return TenantKeys(tenant_id, self._wrap(tenant_id, _TENANT_KEY, data_key), self._wrap(tenant_id, _INDEX_KEY, index_key))

    def new_user_key(self, keys: TenantKeys, user_ref: bytes) -> bytes:
        tenant_key, _ = self._data_key(keys, None, None)
        key, nonce = os.urandom(_KEY_BYTES), os.urandom(_NONCE_BYTES)
        wrapped = nonce + tenant_key.encrypt(nonce, key, _associated(keys.tenant_id, user_ref) + _USER_KEY.encode())
        self._data_keys.put((keys.tenant_id, user_ref, wrapped), (AESGCM(key), _associated(keys.tenant_id, user_ref)))
        return wrapped

    def mac(self, keys: TenantKeys, purpose: str, data: bytes) -> bytes:
        name = purpose.encode()
        return hmac.digest(self._index_key(keys), len(name).to_bytes(4) + name + data, "sha256")

    def forget(self, owner: Owner) -> None:
        self._data_keys.drop(_name(owner.keys, owner.user_ref, owner.wrapped_key))

    def seal(self, owner: Owner, field: str, value: bytes) -> bytes:
        key, owned = self._data_key(owner.keys, owner.user_ref, owner.wrapped_key)
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + key.encrypt(nonce, value, owned + field.encode())

    def open(self, owner: Owner, field: str, sealed: bytes) -> bytes:
        key, owned = self._data_key(owner.keys, owner.user_ref, owner.wrapped_key)
        return _opened(key, sealed, owned + field.encode(), field)

    def rewrap(self, keys: TenantKeys) -> TenantKeys:
        """The same keys, wrapped by the newest configured key; everything sealed and every MAC stays as it is."""
        tenant_id = keys.tenant_id
        data_key = self._unwrap(tenant_id, _TENANT_KEY, keys.wrapped_key)
        index_key = self._unwrap(tenant_id, _INDEX_KEY, keys.wrapped_index_key)
        return TenantKeys(tenant_id, self._wrap(tenant_id, _TENANT_KEY, data_key), self._wrap(tenant_id, _INDEX_KEY, index_key))

    def _data_key(self, keys: TenantKeys, user_ref: bytes | None, wrapped: bytes | None) -> _Unwrapped:
        name = _name(keys, user_ref, wrapped)
        return self._data_keys.get(name) or self._unwrap_data_key(keys, name)

    def _unwrap_data_key(self, keys: TenantKeys, name: tuple[str, bytes | None, bytes]) -> _Unwrapped:
        tenant_id, user_ref, wrapped = name
        owned = _associated(tenant_id, user_ref)
        if user_ref is None:
            key = self._unwrap(tenant_id, _TENANT_KEY, wrapped)
        else:
            tenant_key, _ = self._data_key(keys, None, None)
            key = _opened(tenant_key, wrapped, owned + _USER_KEY.encode(), _USER_KEY)
        unwrapped = (AESGCM(key), owned)
        self._data_keys.put(name, unwrapped)
        return unwrapped

    def _index_key(self, keys: TenantKeys) -> bytes:
        name = (keys.tenant_id, keys.wrapped_index_key)
        known = self._index_keys.get(name)
        if known is None:
            known = self._unwrap(keys.tenant_id, _INDEX_KEY, keys.wrapped_index_key)
            self._index_keys.put(name, known)
        return known

    def _wrap(self, tenant_id: str, what: str, key: bytes) -> bytes:
        key_id, nonce = self._newest_id.encode(), os.urandom(_NONCE_BYTES)
        sealed = self._master[self._newest_id].encrypt(nonce, key, _associated(tenant_id, None) + what.encode())
        return len(key_id).to_bytes(2) + key_id + nonce + sealed

    def _unwrap(self, tenant_id: str, what: str, wrapped: bytes) -> bytes:
        end = 2 + int.from_bytes(wrapped[:2])
        master = self._master.get(wrapped[2:end].decode(errors="replace"))
        if master is None:
            raise SealBroken(f"{what} of tenant {tenant_id}")
        return _opened(master, wrapped[end:], _associated(tenant_id, None) + what.encode(), what)


class PlainCipher:
    """Seals nothing. For a backtest's in-memory store, whose rows die with the process; never for stored data.

    MACs depend on the tenant's id alone, so two runs assign the same holdout.
    """

    def new_tenant_keys(self, tenant_id: str) -> TenantKeys:
        return TenantKeys(tenant_id, b"", blake2b(tenant_id.encode(), digest_size=_KEY_BYTES).digest())

    def new_user_key(self, keys: TenantKeys, user_ref: bytes) -> bytes:
        return b""

    def mac(self, keys: TenantKeys, purpose: str, data: bytes) -> bytes:
        name = purpose.encode()
        return blake2b(len(name).to_bytes(4) + name + data, key=keys.wrapped_index_key, digest_size=32).digest()

    def forget(self, owner: Owner) -> None:
        pass

    def seal(self, owner: Owner, field: str, value: bytes) -> bytes:
        return value

    def open(self, owner: Owner, field: str, sealed: bytes) -> bytes:
        return sealed


def _name(keys: TenantKeys, user_ref: bytes | None, wrapped: bytes | None) -> tuple[str, bytes | None, bytes]:
    return keys.tenant_id, user_ref, wrapped if wrapped is not None else keys.wrapped_key


def _associated(tenant_id: str, user_ref: bytes | None) -> bytes:
    """Names an owner unambiguously: every part says its length, and whose key it is; the field may follow as the last part."""
    tenant = tenant_id.encode()
    owner = b"t" if user_ref is None else b"u" + len(user_ref).to_bytes(4) + user_ref
    return len(tenant).to_bytes(4) + tenant + owner


def _opened(key: AESGCM, sealed: bytes, associated: bytes, what: str) -> bytes:
    if len(sealed) < _NONCE_BYTES:
        raise SealBroken(what)
    try:
        return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated)
    except InvalidTag:
        raise SealBroken(what) from None
