"""Who is calling: API keys and bearer tokens, verified once and remembered until they end.

An API key reads `dpk_<key_id>_<secret>`. The secret is 256 random bits, of which only the SHA-256 is stored. A slow
hash (argon2, bcrypt) protects secrets that people choose and attackers can guess; nobody guesses 256 random bits, and
a slow hash would cost every first request of a key a tenth of a second.

Our own tokens are JWTs signed with HS256 by flask-jwt-extended, for the audience "personalization"; what is asked of any
token is in `tokens`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Protocol

from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token

from personalization.clock import HOUR, SECOND, Clock
from personalization.errors import MisconfiguredError, StorageUnavailable, Unauthenticated
from personalization.security.signing_keys import HS256
from personalization.security.tokens import AUDIENCE, Claims, TokenReader
from personalization.settings import MINIMUM_SECRET_BYTES, Settings
from personalization.vocabulary import Role

TOKEN_LIFETIME = 15 * 60 * SECOND
#: What another process revoked is found out after at most STALE; a thread asks every POLL.
POLL, STALE = 2 * SECOND, 3 * SECOND

_KEY = re.compile(r"dpk_([A-Za-z0-9-]{16})_([A-Za-z0-9_-]{43})")
_NEVER = 2**63 - 1
# Revocations are stamped by the clock of the process that made them, and may commit a while later.
_OVERLAP = 60 * SECOND
_REMEMBERED = 20_000
#: Seconds that a request waits for the answer where what is known is older than STALE.
_PATIENCE = 0.5
#: Revocations are kept this much longer than the token, for clocks that are behind.
_MARGIN = HOUR


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


class Revocations(Protocol):
    """Where ended tokens are kept, by the SHA-256 of their jti. Raises StorageUnavailable."""

    def add(self, tenant_id: str, digest: bytes, at: int, expires_at: int) -> None: ...

    def has(self, tenant_id: str, digest: bytes) -> bool: ...

    def since(self, at: int) -> list[tuple[str, bytes]]: ...

    def prune(self, before: int) -> int: ...


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
    if key.lstrip().startswith("-----BEGIN"):
        raise MisconfiguredError("JWT_SECRET_KEY must be a secret, not a PEM: a key that others hold belongs into JWT_PUBLIC_KEY")
    app.config.update(
        JWT_SECRET_KEY=key,
        JWT_ALGORITHM=HS256,
        JWT_DECODE_ALGORITHMS=[HS256],
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
    """A credential once verified. key_id: the API key it is or was exchanged for; digest: of a token's jti."""

    __slots__ = ("digest", "ends_at", "key_id", "principal")

    def __init__(self, principal: Principal, ends_at: int, key_id: str | None, digest: bytes = b"") -> None:
        self.principal, self.ends_at, self.key_id, self.digest = principal, ends_at, key_id, digest


class Credentials:
    """Verifies credentials of one installation; safe to call from any thread, inside an application context.

    Only what was verified is remembered, so a key works the moment it is stored. What is revoked here ends at once; a key
    or token revoked by another process within three seconds, a key with every token it was exchanged for; a token whose
    signing key is no longer published once that is known. While the database does not answer, remembered credentials go on
    and others are refused.
    """

    def __init__(
        self, keys: Keys, revocations: Revocations, tokens: TokenReader, clock: Clock, tenant_exists: Callable[[str], bool]
    ) -> None:
        self._keys, self._revocations, self._tokens = keys, revocations, tokens
        self._clock, self._tenant_exists = clock, tenant_exists
        self._by_key: dict[str, _Remembered] = {}
        self._by_header: dict[str, _Remembered] = {}
        self._lock, self._asking, self._answer = Lock(), Lock(), Event()
        self._hanging = False
        self._generation = self._key_generation = 0
        self._asked_at = self._answered_at = clock.now()

    def principal(self, authorization: str | None, api_key: str | None) -> Principal:
        """Whom the Authorization header, or else the X-API-Key header, stands for. Raises Unauthenticated."""
        now = self._clock.now()
        if abs(now - self._asked_at) >= POLL:  # a clock may be set back
            self._ask_for_revoked(now)
        if authorization is not None:
            return self._known(self._by_header, authorization, now, self._verified_header)
        if api_key is not None:
            return self._known(self._by_key, api_key, now, self._verified_key)
        raise Unauthenticated

    def issue(self, principal: Principal) -> str:
        """A token for the holder of an API key, of TOKEN_LIFETIME; it ends with the key."""
        now = self._clock.now()
        token: str = create_access_token(
            identity=principal.subject,
            expires_delta=False,
            additional_claims={
                "iat": now // SECOND,
                "exp": (now + TOKEN_LIFETIME) // SECOND,
                "tenant_id": principal.tenant_id,
                "roles": sorted(principal.roles),
                "key_id": principal.credential_id,
            },
        )
        return token

    def forget_key(self, key_id: str) -> None:
        """The key was revoked."""
        self._drop(lambda known: known.key_id == key_id)

    def revoke_token(self, tenant_id: str, token: str) -> None:
        """End a token of that tenant, for every process and for good, also one that cannot be verified at the moment; one
        that is none, has ended, or is another tenant's, is no news (RFC 7009). Raises StorageUnavailable."""
        said = self._tokens.unverified(token)
        if said is None or said.tenant_id != tenant_id:
            return
        try:
            self._revoke(tenant_id, said.jti, self._tokens.claims(token).expires_at)
        except Unauthenticated:
            self._revoke(tenant_id, said.jti, _NEVER)

    def revoke_jti(self, tenant_id: str, jti: str) -> None:
        """End the tenant's token of that id, for every process and for good. Raises StorageUnavailable."""
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
        claims = self._tokens.claims(token)
        digest = _digest(claims.jti)
        self._expect_valid(claims, digest)
        principal = Principal(claims.tenant_id, claims.subject, claims.roles, claims.jti)
        key = self._standing_key(claims, now)
        if key is None:
            return _Remembered(principal, claims.expires_at, None, digest)
        return _Remembered(principal, min(claims.expires_at, key.expires_at or _NEVER), key.key_id, digest)

    def _expect_valid(self, claims: Claims, digest: bytes) -> None:
        if not self._tenant_exists(claims.tenant_id):
            raise Unauthenticated("the token names no tenant of this installation")
        if self._revocations.has(claims.tenant_id, digest):
            raise Unauthenticated("the token was revoked")

    def _standing_key(self, claims: Claims, now: int) -> KeyRecord | None:
        """The key a token was exchanged for, when it was, and still stands."""
        if claims.key_id is None:
            return None
        record = self._keys.get(claims.key_id)
        if record is None or record.tenant_id != claims.tenant_id:
            raise Unauthenticated("the API key behind this token is not known")
        _expect_standing(record, now)
        return record

    # -- endings

    def _revoke(self, tenant_id: str, jti: str, until: int) -> None:
        now, digest = self._clock.now(), _digest(jti)
        self._revocations.add(tenant_id, digest, now, until)
        self._drop(lambda known: known.digest == digest and known.principal.tenant_id == tenant_id)
        self._revocations.prune(now - _MARGIN)

    def _drop(self, ended: Callable[[_Remembered], bool]) -> None:
        with self._lock:
            self._generation += 1
            for remembered in (self._by_key, self._by_header):
                for header in [header for header, known in remembered.items() if ended(known)]:
                    del remembered[header]

    def _ask_for_revoked(self, now: int) -> None:
        """A thread of its own asks; requests go on meanwhile. Where what is known is too old they wait for the answer, but
        a database that hangs is waited for once."""
        answer = self._answer
        if self._asking.acquire(blocking=False):
            Thread(target=self._ask, args=(now,), name="revocations", daemon=True).start()
        if abs(now - self._asked_at) >= STALE and not self._hanging:
            self._hanging = not answer.wait(_PATIENCE)

    def _ask(self, now: int) -> None:
        try:
            self._drop_unpublished()
            self._drop_revoked(now)
        finally:
            self._asked_at, self._hanging = now, False
            answer, self._answer = self._answer, Event()
            answer.set()
            self._asking.release()

    def _drop_revoked(self, now: int) -> None:
        """Since the store last answered; while it does not, what is known goes on."""
        since = min(self._answered_at, now) - _OVERLAP
        try:
            keys, tokens = frozenset(self._keys.revoked_since(since)), frozenset(self._revocations.since(since))
        except StorageUnavailable:
            return
        self._answered_at = now
        if keys or tokens:
            self._drop(lambda known: known.key_id in keys or (known.principal.tenant_id, known.digest) in tokens)

    def _drop_unpublished(self) -> None:
        generation = self._tokens.refresh_when_old()
        if generation != self._key_generation:
            self._key_generation = generation
            self._drop(lambda known: known.digest != b"")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _expect_standing(record: KeyRecord, now: int) -> None:
    if record.revoked_at is not None:
        raise Unauthenticated("this API key was revoked")
    if record.expires_at is not None and record.expires_at <= now:
        raise Unauthenticated("this API key has expired")
