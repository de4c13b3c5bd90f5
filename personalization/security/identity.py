"""Who is calling: API keys and bearer tokens, verified once and remembered until they end.

An API key reads `dpk_<key_id>_<secret>`. The secret is 256 random bits, of which only the SHA-256 is stored. A slow
hash (argon2, bcrypt) protects secrets that people choose and attackers can guess; nobody guesses 256 random bits, and
a slow hash would cost every first request of a key a tenth of a second.

A token is a JWT signed with HS256 by flask-jwt-extended, for the audience "personalization".
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any, Protocol

from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError

from personalization.clock import SECOND, Clock
from personalization.errors import MisconfiguredError, Overloaded, StorageUnavailable, Unauthenticated
from personalization.settings import MINIMUM_SECRET_BYTES, Settings
from personalization.vocabulary import Role

AUDIENCE = "personalization"
ALGORITHM = "HS256"
TOKEN_LIFETIME = 15 * 60 * SECOND
#: A key revoked by another process is found out after at most STALE; one thread asks every POLL.
POLL, STALE = 2 * SECOND, 3 * SECOND

_KEY = re.compile(r"dpk_([A-Za-z0-9-]{16})_([A-Za-z0-9_-]{43})")
_REQUIRED_CLAIMS = ("sub", "tenant_id", "roles", "iss", "aud", "exp", "iat", "jti")
_ROLES = frozenset(Role)
_NEVER = 2**63
# Revocations are stamped by the clock of the process that made them, and may commit a while later.
_OVERLAP = 60 * SECOND
_REMEMBERED = 20_000
_REVOKED_PER_TENANT = 20_000


@dataclass(frozen=True)
class Principal:
    """A verified caller. credential_id: the key's id or the token's jti; subject: the key's id or the token's sub."""

    tenant_id: str
    subject: str
    roles: frozenset[Role]
    credential_id: str


class KeyRecord(Protocol):
    """What is stored of an API key; instants in microseconds."""

    @property
    def key_id(self) -> str: ...
    @property
    def tenant_id(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def expires_at(self) -> int | None: ...
    @property
    def revoked_at(self) -> int | None: ...


class Keys(Protocol):
    """Where API keys are looked up. Raises StorageUnavailable."""

    def get(self, key_id: str) -> KeyRecord | None: ...

    def revoked_since(self, at: int) -> list[str]: ...


@dataclass(frozen=True)
class NewKey:
    """A fresh key: `api_key` is shown once, `digest` is stored."""

    key_id: str
    api_key: str
    digest: bytes


def new_key() -> NewKey:
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    return NewKey(key_id, f"dpk_{key_id}_{secret}", _digest(secret))


def install_tokens(app: Flask, settings: Settings) -> None:
    """Make `app` sign and verify tokens. Raises MisconfiguredError when the key is missing or under 32 bytes."""
    key = settings.jwt_secret_key or ""
    if len(key.encode()) < MINIMUM_SECRET_BYTES:
        raise MisconfiguredError(f"JWT_SECRET_KEY must have at least {MINIMUM_SECRET_BYTES} bytes: try `openssl rand -hex 32`")
    app.config.update(
        JWT_SECRET_KEY=key,
        JWT_ALGORITHM=ALGORITHM,
        JWT_DECODE_ALGORITHMS=[ALGORITHM],
        JWT_ENCODE_ISSUER=settings.jwt_issuer,
        JWT_DECODE_ISSUER=settings.jwt_issuer,
        JWT_ENCODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_ENCODE_NBF=False,
        JWT_DECODE_LEEWAY=0,
        JWT_COOKIE_CSRF_PROTECT=False,
    )
    JWTManager(app)


class _Remembered:
    """A credential once verified. key_id: the API key it is or was exchanged for."""

    __slots__ = ("ends_at", "key_id", "principal")

    def __init__(self, principal: Principal, ends_at: int, key_id: str | None) -> None:
        self.principal, self.ends_at, self.key_id = principal, ends_at, key_id


class Credentials:
    """Verifies credentials of one installation; safe to call from any thread, inside an application context.

    Only what was verified is remembered, so a key works the moment it is stored. What is revoked here ends at once;
    a key revoked by another process within three seconds, with every token it was exchanged for. A token revoked here
    stays revoked in this process only. While the database does not answer, remembered credentials go on.
    """

    def __init__(self, keys: Keys, clock: Clock, tenant_exists: Callable[[str], bool]) -> None:
        self._keys, self._clock, self._tenant_exists = keys, clock, tenant_exists
        self._by_key: dict[str, _Remembered] = {}
        self._by_header: dict[str, _Remembered] = {}
        self._revoked = _RevokedTokens()
        self._lock, self._polling = Lock(), Lock()
        self._generation = 0
        self._asked_at = self._answered_at = clock.now()

    def principal(self, authorization: str | None, api_key: str | None) -> Principal:
        """Whom the Authorization header, or else the X-API-Key header, stands for. Raises Unauthenticated."""
        now = self._clock.now()
        if now - self._asked_at >= POLL:
            self._ask_for_revoked(now)
        if authorization is not None:
            return self._known(self._by_header, authorization, now, self._verified_header)
        if api_key is not None:
            return self._known(self._by_key, api_key, now, self._verified_key)
        raise Unauthenticated

    def issue(self, principal: Principal) -> str:
        """A token for the holder of an API key, of TOKEN_LIFETIME; it ends when the key is revoked."""
        token: str = create_access_token(
            identity=principal.subject,
            expires_delta=timedelta(microseconds=TOKEN_LIFETIME),
            additional_claims={
                "tenant_id": principal.tenant_id,
                "roles": sorted(principal.roles),
                "key_id": principal.credential_id,
            },
        )
        return token

    def forget_key(self, key_id: str) -> None:
        """The key was revoked."""
        self._drop({key_id})

    def revoke_token(self, tenant_id: str, token: str) -> None:
        """End a token of that tenant; one that is none, or another tenant's, is no news (RFC 7009)."""
        try:
            claims = self._claims(token)
        except Unauthenticated:
            return
        if claims["tenant_id"] == tenant_id:
            self._revoke(tenant_id, claims["jti"], int(claims["exp"]) * SECOND)

    def revoke_jti(self, tenant_id: str, jti: str) -> None:
        """End the tenant's token of that id, as long as this process lives."""
        self._revoke(tenant_id, jti, _NEVER)

    def _known(
        self,
        remembered: dict[str, _Remembered],
        header: str,
        now: int,
        verify: Callable[[str, int], _Remembered],
    ) -> Principal:
        found = remembered.get(header)
        if found is None or found.ends_at <= now:
            found = self._remember(remembered, header, now, verify)
        return found.principal

    def _remember(
        self,
        remembered: dict[str, _Remembered],
        header: str,
        now: int,
        verify: Callable[[str, int], _Remembered],
    ) -> _Remembered:
        generation = self._generation
        verified = verify(header, now)
        with self._lock:
            # Something was revoked while this credential was being verified: let the next request verify it again.
            if generation == self._generation:
                remembered.pop(header, None)
                if len(remembered) >= _REMEMBERED:
                    del remembered[next(iter(remembered))]
                remembered[header] = verified
        return verified

    # -- API keys

    def _verified_key(self, api_key: str, now: int) -> _Remembered:
        parts = _KEY.fullmatch(api_key)
        record = self._keys.get(parts[1]) if parts else None
        if parts is None or record is None or not hmac.compare_digest(record.digest, _digest(parts[2])):
            raise Unauthenticated("this API key is not known")
        _expect_standing(record, now)
        principal = Principal(record.tenant_id, record.key_id, frozenset({Role(record.role)}), record.key_id)
        return _Remembered(principal, record.expires_at or _NEVER, record.key_id)

    # -- tokens

    def _verified_header(self, authorization: str, now: int) -> _Remembered:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("the Authorization header must read `Bearer <token>`")
        claims = self._claims(token)
        self._expect_valid(claims, now)
        principal = Principal(claims["tenant_id"], claims["sub"], frozenset(map(Role, claims["roles"])), claims["jti"])
        return _Remembered(principal, int(claims["exp"]) * SECOND, self._standing_key(claims, now))

    def _claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a well-signed, current and complete token."""
        try:
            claims: Mapping[str, Any] = decode_token(token)
        except (PyJWTError, JWTExtendedException, ValueError, TypeError, OverflowError, RecursionError) as bad:
            raise Unauthenticated(_why(bad)) from None
        for name in _REQUIRED_CLAIMS:
            if claims.get(name) in (None, "", []):
                raise Unauthenticated(f"the token has no {name}")
        _expect_types(claims)
        return claims

    def _expect_valid(self, claims: Mapping[str, Any], now: int) -> None:
        if int(claims["exp"]) * SECOND <= now:
            raise Unauthenticated("the token has expired")
        if not self._tenant_exists(claims["tenant_id"]):
            raise Unauthenticated("the token names no tenant of this installation")
        if self._revoked.has(claims["tenant_id"], claims["jti"], now):
            raise Unauthenticated("the token was revoked")

    def _standing_key(self, claims: Mapping[str, Any], now: int) -> str | None:
        """The key a token was exchanged for, when it was, and still stands."""
        key_id = claims.get("key_id")
        if not isinstance(key_id, str):
            return None
        record = self._keys.get(key_id)
        if record is None or record.tenant_id != claims["tenant_id"]:
            raise Unauthenticated("the API key behind this token is not known")
        _expect_standing(record, now)
        return key_id

    # -- endings

    def _revoke(self, tenant_id: str, jti: str, until: int) -> None:
        self._revoked.add(tenant_id, jti, until, self._clock.now())
        with self._lock:
            self._generation += 1
            _discard(self._by_header, lambda known: known.principal.credential_id == jti)

    def _drop(self, key_ids: Iterable[str]) -> None:
        ended = frozenset(key_ids)
        with self._lock:
            self._generation += 1
            for remembered in (self._by_key, self._by_header):
                _discard(remembered, lambda known: known.key_id in ended)

    def _ask_for_revoked(self, now: int) -> None:
        """One thread asks the store; the others go on, unless what they know is too old."""
        if not self._polling.acquire(blocking=now - self._asked_at >= STALE):
            return
        try:
            if now - self._asked_at >= POLL:
                self._drop_revoked(now)
                self._asked_at = now
        finally:
            self._polling.release()

    def _drop_revoked(self, now: int) -> None:
        """Since the store last answered; while it does not, what is known goes on."""
        try:
            revoked = self._keys.revoked_since(self._answered_at - _OVERLAP)
        except StorageUnavailable:
            return
        self._answered_at = now
        if revoked:
            self._drop(revoked)


class _RevokedTokens:
    """jti of revoked tokens until they would have expired, at most so many of a tenant."""

    def __init__(self) -> None:
        self._until: dict[str, dict[str, int]] = {}
        self._lock = Lock()

    def add(self, tenant_id: str, jti: str, until: int, now: int) -> None:
        """Raises Overloaded when the tenant's list is full, rather than forget one."""
        with self._lock:
            known = self._until.setdefault(tenant_id, {})
            if len(known) >= _REVOKED_PER_TENANT:
                _discard(known, lambda ends_at: ends_at <= now)
            if len(known) >= _REVOKED_PER_TENANT and jti not in known:
                raise Overloaded("revoked tokens", len(known), retry_after=60)
            known[jti] = max(until, known.get(jti, 0))

    def has(self, tenant_id: str, jti: str, now: int) -> bool:
        return self._until.get(tenant_id, {}).get(jti, 0) > now


def _discard(mapping: dict[str, Any], ended: Callable[[Any], bool]) -> None:
    for name in [name for name, value in mapping.items() if ended(value)]:
        del mapping[name]


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _expect_standing(record: KeyRecord, now: int) -> None:
    if record.revoked_at is not None:
        raise Unauthenticated("this API key was revoked")
    if record.expires_at is not None and record.expires_at <= now:
        raise Unauthenticated("this API key has expired")


def _expect_types(claims: Mapping[str, Any]) -> None:
    if not all(isinstance(claims[name], str) for name in ("sub", "tenant_id", "jti", "iss")):
        raise Unauthenticated("sub, tenant_id, jti and iss of the token must be strings")
    # PostgreSQL takes no NUL, and no id of ours holds one.
    if not all(str(claims.get(name, "")).isprintable() for name in ("sub", "tenant_id", "jti", "key_id")):
        raise Unauthenticated("sub, tenant_id and jti of the token must be printable")
    if not all(type(claims[name]) in (int, float) for name in ("exp", "iat")):
        raise Unauthenticated("exp and iat of the token must be numbers")
    roles = claims["roles"]
    if not isinstance(roles, list) or not all(isinstance(role, str) and role in _ROLES for role in roles):
        raise Unauthenticated("roles of the token must be a list of known roles")
    if claims.get("type") == "refresh":
        raise Unauthenticated("a refresh token opens nothing")


def _why(bad: Exception) -> str:
    return f"the token is not valid ({type(bad).__name__})"
